"""Bad input to pruning, refused in one sentence each; and amounts and axes made plain numbers.

Nothing is pruned here. Before this: ``prune.py``, which calls it. Next: nothing.
"""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Iterable

import numpy as np

from ..._errors import message
from ..._tensor import Tensor
from ..module import Module


def require_module(where: str, module) -> None:
    if not isinstance(module, Module):
        problem, actual = "this is no module.", type(module).__name__
        raise TypeError(message(where, problem, expect="an nn.Module", actual=actual))


def require_tensor(where: str, what: str, value) -> None:
    if not isinstance(value, Tensor):
        problem, do = f"the {what} is not a tensor.", "make it one with minigrad.tensor(...)"
        actual = type(value).__name__
        raise TypeError(message(where, problem, expect="a Tensor", actual=actual, do=do))


def check_amount(where: str, amount) -> None:
    expect = "a float from 0 to 1 (a fraction), or a whole number from 0 (a count)"
    if isinstance(amount, (bool, np.bool_)) or not isinstance(amount, numbers.Real):
        problem = "the amount is not a number."
        raise TypeError(message(where, problem, expect=expect, actual=repr(amount)))
    largest = math.inf if isinstance(amount, numbers.Integral) else 1
    if not 0 <= amount <= largest:
        problem = "the amount is out of range."
        raise ValueError(message(where, problem, expect=expect, actual=amount))


def count_of(where: str, amount: int | float, size: int, what: str) -> int:
    """Return how many of `size` entries or channels an amount is."""
    is_count = isinstance(amount, numbers.Integral)
    count = int(amount) if is_count else int(round(amount * size))
    if count > size:
        raise ValueError(
            message(
                where,
                f"the amount is more {what} than there are.",
                expect=f"at most {size}, the {what} that are not pruned yet",
                actual=amount,
                do="give a float, such as 0.2, for a fraction of what is left",
            )
        )
    return count


def check_options(where: str, method: type, options: dict) -> None:
    """Refuse options that the class of a pruning method does not take, or that it lacks."""
    signature = inspect.signature(method)
    try:
        signature.bind(**options)
    except TypeError as error:
        names = [str(parameter).replace("'", "") for parameter in signature.parameters.values()]
        actual = ", ".join(f"{name}={value!r}" for name, value in options.items()) or "none"
        problem = f"these are not the options of {method.__name__}: {error}."
        raise TypeError(message(where, problem, expect=", ".join(names), actual=actual)) from None


def check_norm(where: str, n) -> None:
    is_number = isinstance(n, numbers.Real) and not isinstance(n, (bool, np.bool_))
    if not (n in ("fro", "nuc") if isinstance(n, str) else is_number and n == n):
        raise ValueError(
            message(
                where,
                "there is no such norm.",
                expect="n a number, infinity, -infinity, 'fro' or 'nuc'",
                actual=repr(n),
            )
        )


def channel_axis(where: str, t: Tensor, dim) -> int:
    """Return the axis of the channels, counted from the front."""
    if t.ndim < 2:
        raise ValueError(
            message(
                where,
                "there are no channels to prune.",
                expect="a parameter of 2 axes or more",
                actual=f"shape {tuple(t.shape)}",
                do="prune its entries: an unstructured method",
            )
        )
    if isinstance(dim, (bool, np.bool_)) or not isinstance(dim, numbers.Integral):
        problem, expect = "dim is not an axis.", "a whole number"
        raise TypeError(message(where, problem, expect=expect, actual=repr(dim)))
    if not -t.ndim <= dim < t.ndim:
        expect = f"{-t.ndim} to {t.ndim - 1}, for shape {tuple(t.shape)}"
        raise IndexError(message(where, "dim is out of range.", expect=expect, actual=dim))
    return int(dim) % t.ndim


def scores_or(where: str, scores: Tensor | None, weight: Tensor) -> Tensor:
    """Return the scores if there are any, else the weights."""
    if scores is None:
        return weight
    require_tensor(where, "importance_scores", scores)
    if scores.shape != weight.shape:
        raise ValueError(
            message(
                where,
                "the importance scores do not fit the parameter.",
                expect=f"shape {tuple(weight.shape)}",
                actual=f"shape {tuple(scores.shape)}",
            )
        )
    refuse_nan(where, scores)
    return scores.detach()


def refuse_nan(where: str, t: Tensor) -> None:
    if t.isnan().any():
        problem = "NaN is neither more nor less important than a number."
        actual = f"{int(t.isnan().sum())} of {t.numel()} are NaN"
        raise ValueError(message(where, problem, expect="no NaN", actual=actual))


def check_mask(where: str, mask, shape: tuple) -> None:
    require_tensor(where, "mask", mask)
    if mask.shape != shape:
        raise ValueError(
            message(
                where,
                "the mask does not fit the parameter.",
                expect=f"shape {tuple(shape)}",
                actual=f"shape {tuple(mask.shape)}",
            )
        )


def as_pairs(where: str, parameters) -> list[tuple[Module, str]]:
    """Return the pairs of a module and a name, in a list."""
    expect = "a list of pairs of a module and a name, such as [(model[0], 'weight')]"
    if isinstance(parameters, (str, Tensor, Module)) or not isinstance(parameters, Iterable):
        actual = type(parameters).__name__
        raise TypeError(message(where, "this is no list.", expect=expect, actual=actual))
    pairs = list(parameters)
    if not pairs:
        raise ValueError(
            message(where, "there is nothing to prune.", expect=expect, actual="an empty list")
        )
    for pair in pairs:
        if not (isinstance(pair, (tuple, list)) and len(pair) == 2):
            problem = "this is no pair of a module and a name."
            raise TypeError(message(where, problem, expect=expect, actual=type(pair).__name__))
    pairs = [tuple(pair) for pair in pairs]
    if len(set(pairs)) < len(pairs):
        raise ValueError(
            message(where, "a parameter is in the list twice.", do="name each parameter once")
        )
    return pairs


def scores_by_pair(where: str, scores) -> dict:
    """Return the scores, a dict by (module, name); none are an empty one."""
    if not (scores is None or isinstance(scores, dict)):
        problem, expect = "the scores are not a dict.", "{(module, name): tensor}"
        raise TypeError(message(where, problem, expect=expect, actual=type(scores).__name__))
    return scores or {}
