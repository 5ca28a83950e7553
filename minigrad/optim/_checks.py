"""Bad input to optimizers and schedules, refused in one sentence each.

Nothing is computed here. Before this: ``optimizer.py``, which calls it. Next: nothing.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

import numpy as np

from .._errors import message
from .._tensor import Tensor

# Each a text for the error, and the condition; written so that NaN fails.
NOT_NEGATIVE = "a finite number >= 0", lambda x: 0 <= x < math.inf
POSITIVE = "a finite number > 0", lambda x: 0 < x < math.inf
FINITE = "a finite number", lambda x: -math.inf < x < math.inf
DECAY_RATE = "a number in [0, 1)", lambda x: 0 <= x < 1
FRACTION = "a number in [0, 1]", lambda x: 0 <= x <= 1
FACTOR = "a number in (0, 1]", lambda x: 0 < x <= 1


def check_number(where: str, name: str, value: Any, condition: tuple[str, Callable]) -> None:
    """Raise unless `value` is a number that meets `condition`, one of those above."""
    expect, holds = condition
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (numbers.Real, np.number)):
        problem = message(where, f"{name} is not a number.", expect=expect, actual=repr(value))
        raise TypeError(problem)
    if not holds(value):
        raise ValueError(message(where, f"{name} is out of range.", expect=expect, actual=value))


def check_whole(where: str, name: str, value: Any, least: int) -> None:
    """Raise unless `value` is an integer of at least `least`."""
    expect = f"an integer >= {least}"
    if isinstance(value, bool) or not hasattr(value, "__index__"):
        problem = message(where, f"{name} is not an integer.", expect=expect, actual=repr(value))
        raise TypeError(problem)
    if not value >= least:
        raise ValueError(message(where, f"{name} is out of range.", expect=expect, actual=value))


def check_choice(where: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        expect = " or ".join(map(repr, choices))
        problem = message(where, f"there is no such {name}.", expect=expect, actual=repr(value))
        raise ValueError(problem)


def check_not_differentiable(where: str, differentiable: bool) -> None:
    """Raise if PyTorch's option of that name is on: updates are in place and not recorded."""
    if differentiable:
        raise ValueError(
            message(
                where,
                "differentiable=True is not supported: a step changes the parameters in place.",
                do="write the step with tensors: w - lr * grad(loss, w, create_graph=True)[0]",
            )
        )


# ------------------------------------------------------------------------------------ parameters


def as_groups(where: str, params: Any) -> list[dict[str, Any]]:
    """Return the groups that the first argument of an optimizer stands for."""
    if isinstance(params, (Tensor, dict, str)) or not isinstance(params, Iterable):
        raise TypeError(
            message(
                where,
                "the parameters are not a list.",
                expect="a list or generator of tensors, or a list of groups (dicts)",
                actual=type(params).__name__,
                do="model.parameters() for a model, [w] for a single tensor",
            )
        )
    _refuse_set(where, params)
    params = list(params)
    if not params:
        refuse_empty(where)
    return params if isinstance(params[0], dict) else [{"params": params}]


def refuse_empty(where: str) -> NoReturn:
    """Raise because there is nothing to optimize."""
    raise ValueError(
        message(
            where,
            "there are no parameters to optimize.",
            expect="at least one tensor",
            actual="an empty list or an exhausted generator",
            do="call model.parameters() again (a generator that was looped over is empty), and "
            "see that the model's layers are its attributes or in an nn.ModuleList",
        )
    )


def check_group(where: str, group: Any) -> None:
    """Raise unless `group` is a dict with parameters in it."""
    if not isinstance(group, dict) or "params" not in group:
        actual = repr(list(group)) if isinstance(group, dict) else type(group).__name__
        raise TypeError(
            message(
                where,
                "a parameter group is not a dict with the key 'params'.",
                expect="{'params': [...], 'lr': 0.1}",
                actual=actual,
            )
        )


def as_parameters(where: str, params: Any) -> tuple[list[Tensor], list[str]]:
    """Return the tensors of a group, each checked, and their names, if they come with names."""
    if isinstance(params, Tensor):  # in a group one may stand alone
        params = [params]
    if isinstance(params, (dict, str)) or not isinstance(params, Iterable):
        problem = "'params' of a group is not a list of tensors."
        raise TypeError(message(where, problem, actual=type(params).__name__))
    _refuse_set(where, params)
    params = list(params)
    named = [isinstance(p, tuple) and len(p) == 2 and isinstance(p[0], str) for p in params]
    if not any(named):
        for i, p in enumerate(params):
            _check_parameter(where, i, p)
        return params, []
    check_names(where, all(named))
    for name, p in params:
        _check_parameter(where, repr(name), p)
    return [p for _, p in params], [name for name, _ in params]


def check_names(where: str, consistent: bool) -> None:
    """Raise unless `consistent`."""
    if not consistent:
        raise ValueError(message(where, "either all parameters come with names, or none."))


def _check_parameter(where: str, label: Any, p: Any) -> None:
    if not isinstance(p, Tensor):
        raise TypeError(
            message(
                where,
                f"parameter {label} is not a tensor.",
                expect="tensors, such as those of model.parameters()",
                actual=type(p).__name__,
            )
        )
    if not p.is_leaf:
        raise ValueError(
            message(
                where,
                f"parameter {label} is not a leaf: an operation made it from other tensors.",
                expect="a leaf of the graph",
                actual=f"a tensor of shape {tuple(p.shape)} made by {p.creator!r}",
                do="optimize what it was made from, or w = x.detach().clone().requires_grad_()",
            )
        )
    if not p.is_floating_point():
        raise TypeError(
            message(
                where,
                f"parameter {label} is not floating, so it has no gradient.",
                expect="a floating dtype",
                actual=p.dtype,
                do="x.float()",
            )
        )


def check_once_each(where: str, params: list[Tensor], groups: list[dict[str, Any]]) -> None:
    """Raise if one of `params` comes twice, or is in one of `groups` already."""
    seen = {p for group in groups for p in group["params"]}
    for p in params:
        if p in seen:
            raise ValueError(
                message(
                    where,
                    f"a parameter of shape {tuple(p.shape)} comes twice: in two groups, or twice "
                    "in one.",
                    expect="each parameter once",
                    do="leave it out of one; model.parameters() gives each once",
                )
            )
        seen.add(p)


def _refuse_set(where: str, params: Any) -> None:
    if isinstance(params, (set, frozenset)):
        problem = "the parameters are in a set, whose order changes from run to run."
        raise TypeError(message(where, problem, expect="a list"))


# ----------------------------------------------------------------------------------------- state


def check_state_dict(where: str, value: Any) -> None:
    """Raise unless `value` has the form of an optimizer's state."""
    if not (
        isinstance(value, dict)
        and isinstance(value.get("state"), dict)
        and all(isinstance(entry, dict) for entry in value["state"].values())
        and isinstance(value.get("param_groups"), (list, tuple))
        and all(
            isinstance(group, dict) and isinstance(group.get("params"), (list, tuple))
            for group in value["param_groups"]
        )
    ):
        raise ValueError(
            message(
                where,
                "this is not the state of an optimizer.",
                expect="{'state': {index: {...}}, 'param_groups': [{..., 'params': [...]}]}",
                actual=f"a dict with the keys {list(value)[:6]}"
                if isinstance(value, dict)
                else type(value).__name__,
            )
        )
