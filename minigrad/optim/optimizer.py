"""What all optimizers share: which parameters, with which options, and what is remembered of them.

An optimizer is three short answers on top of this file. ``check`` says which options make sense,
``state_names`` names what is remembered of each parameter from step to step (a running average,
say), and ``update`` is the rule itself, on lists of arrays. The formulas are in the docstrings of
``sgd.py`` and its neighbours, their arithmetic in ``minigrad/kernels``.

Parameters come in *groups*, each a dict of options such as the learning rate, which may be
changed at any time: ``optimizer.param_groups[0]["lr"] = 0.01``. A schedule does nothing else.

Before this: ``nn/module.py``, or ``autograd.py``. Next: ``sgd.py``.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from types import ModuleType
from typing import Any

import numpy as np

from .. import autograd, backend, kernels
from .._errors import message
from .._tensor import Tensor
from . import _checks
from ._on_device import OnDevice


class Optimizer:
    """Changes parameters by their gradients; the base of all optimizers.

    A subclass defines `check`, `state_names` and `update`, as ``sgd.py`` does. One written for
    PyTorch, with a ``step`` of its own over ``param_groups`` and ``state``, works too.

    Parameters
    ----------
    params : iterable of Tensor, of (name, Tensor), or of dict
        The parameters: leaves of the graph, of a floating dtype, each once. Or groups of them:
        dicts ``{"params": [...], "lr": 0.1}`` with options that differ from the defaults.
    defaults : dict
        The options of groups that do not say otherwise.

    Attributes
    ----------
    param_groups : list of dict
        The groups: ``"params"``, a list of tensors, and the options.
    state : dict
        For each parameter that has been updated, a dict of what is remembered of it.
    defaults : dict

    Raises
    ------
    ValueError
        Without parameters; for a parameter that comes twice or is no leaf; for options out of
        range.
    TypeError
        For what is no list of tensors, and for tensors that are not floating.

    Notes
    -----
    Parameters without a gradient are skipped, and nothing is remembered of them. The arrays of
    the parameters are changed in place and stay where they are.
    """

    def __init__(self, params: Iterable, defaults: dict[str, Any]):
        self.defaults = dict(defaults)
        self.state: defaultdict[Tensor, dict] = defaultdict(dict)
        self.param_groups: list[dict[str, Any]] = []
        self._has_stepped = False  # a schedule warns if it is stepped first
        self._on_device: OnDevice | None = None
        for group in _checks.as_groups(type(self).__name__, params):
            self.add_param_group(group)
        if not self._parameters():
            _checks.refuse_empty(type(self).__name__)

    # ------------------------------------------------------------------------- one optimizer

    def check(self, group: dict[str, Any]) -> None:
        """Raise if an option of the group is out of range."""

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        """Name what is remembered of each parameter: ``"step"`` is a count, all else an array."""
        return ()

    def first_value(self, parameter: np.ndarray) -> np.ndarray | None:
        """Return what a remembered array is before the first step."""
        return backend.array_module(parameter).zeros_like(parameter)

    def update(
        self,
        kernels: ModuleType,
        params: list[np.ndarray],
        grads: list[np.ndarray],
        state: dict[str, list],
        group: dict[str, Any],
    ) -> None:
        """Change `params` in place.

        Parameters
        ----------
        kernels : module
            The array primitives for the arrays' device.
        params, grads : list of array
            Parameters and their gradients, all of one dtype and on one device.
        state : dict of list
            For each of `state_names` one entry a parameter; to be changed in place, except
            ``state["step"]``, which counts this step already.
        group : dict
            The options. Of a capturable optimizer ``"lr"`` is an array of one float64, and the
            counts are arrays of one int64, on the parameters' device.
        """
        raise NotImplementedError(message(type(self).__name__, "it defines no update."))

    # -------------------------------------------------------------------------------- a step

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update every parameter that has a gradient.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss and its gradients (``zero_grad``, ``backward``) and returns the
            loss. It is called once, before the update.

        Returns
        -------
        Tensor or None
            What the closure returned.

        Raises
        ------
        RuntimeError
            If a gradient, or what is remembered of a parameter, does not fit the parameter.
        """
        loss = None
        if closure is not None:
            with autograd.enable_grad():
                loss = closure()
        groups = self.param_groups
        # A list, so that all gradients have been checked before the first parameter changes.
        work = [(params, g) for g in groups for params in self._with_gradient(g["params"])]
        if self._on_device is not None:
            self._on_device.begin_step([p for params, _ in work for p in params], groups)
        for params, group in work:
            self._update_together(params, group)
        self._has_stepped = True
        return loss

    def _with_gradient(self, params: list[Tensor]) -> Iterator[list[Tensor]]:
        """Yield the parameters that have a gradient: those of one device and dtype together."""
        kinds: dict[Any, list[Tensor]] = {}
        for p in params:
            if p.grad is not None:
                self._check_fit(p, p.grad, "the gradient")
                on_cpu = type(p.array) is np.ndarray  # nearly always: the dtype says it all
                kind = p.array.dtype if on_cpu else (p.device, p.dtype)
                kinds.setdefault(kind, []).append(p)
        yield from kinds.values()

    def _update_together(self, params: list[Tensor], group: dict[str, Any]) -> None:
        names = self.state_names(group)
        entries = [self.state[p] for p in params]
        state = {
            name: [self._remembered(p, entry, name) for p, entry in zip(params, entries)]
            for name in names
        }
        arrays = [p.array for p in params]
        grads = [p.grad.array for p in params]
        if "lr" in group:
            group = {**group, "lr": self._learning_rate(group)}
        self.update(kernels.get(backend.array_module(arrays[0])), arrays, grads, state, group)
        for i, (p, entry) in enumerate(zip(params, entries)):
            p.bump_version()  # graphs that were recorded with the old values are void
            for name in names:
                value = state[name][i]
                if name == "step" and self._on_device is None:
                    entry[name] = value
                elif name not in entry or entry[name].array is not value:
                    entry[name] = Tensor(value)

    def _remembered(self, p: Tensor, entry: dict[str, Any], name: str):
        """Return the array, or for "step" the count with this step, to give to `update`."""
        if name == "step":
            return entry.get(name, 0) + 1 if self._on_device is None else self._on_device.count[p]
        if entry.get(name) is None:
            return self.first_value(p.array)
        self._check_fit(p, entry[name], f"state {name!r}")
        return entry[name].array

    def _learning_rate(self, group: dict[str, Any]):
        if self._on_device is None:
            return float(group["lr"])
        i = next(i for i, other in enumerate(self.param_groups) if other is group)
        return self._on_device.rates[i]

    def make_capturable(self) -> None:
        """Keep learning rates and step counts in the GPU's memory from now on.

        A captured step (see ``cuda.capture``) repeats launches with the arguments that they had, so
        a number that Python passes would stay as it was; what lies in memory is read afresh each
        time. Nothing else changes: ``param_groups[0]["lr"]`` is set as before.

        Raises
        ------
        ValueError
            If the parameters are not all on one GPU.
        """
        if self._on_device is None:
            self._move_to_device()

    def _move_to_device(self) -> None:
        counts = any("step" in self.state_names(group) for group in self.param_groups)
        self._on_device = OnDevice(self._parameters(), len(self.param_groups), counts)
        self._on_device.take_over(self.state)

    def _check_fit(self, p: Tensor, value: Tensor, what: str) -> None:
        a, b = p.array, value.array
        same_place = type(a) is type(b) and (type(a) is np.ndarray or p.device == value.device)
        if not (a.shape == b.shape and a.dtype == b.dtype and same_place):
            raise RuntimeError(
                message(
                    f"{type(self).__name__}.step",
                    f"{what} of {self._name_of(p)} does not fit the parameter.",
                    expect=f"shape {tuple(a.shape)}, {a.dtype}, on {p.device}",
                    actual=f"shape {tuple(b.shape)}, {b.dtype}, on {value.device}",
                    do="after a model was moved, converted or cut: compute the gradient again, and "
                    "make a new optimizer",
                )
            )

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, which `backward` would otherwise add to.

        Parameters
        ----------
        set_to_none : bool
            Whether ``.grad`` becomes None; else a new tensor of zeros. The difference: what has
            the gradient None is skipped by `step`, what has zeros is not, and momentum and
            weight decay move it.
        """
        for p in self._parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                array = p.grad.array
                p.grad = Tensor(backend.array_module(array).zeros_like(array))

    # -------------------------------------------------------------------------------- groups

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with options of their own, such as layers that are to be unfrozen.

        Parameters
        ----------
        param_group : dict
            ``"params"``, and the options that differ from `defaults`. It is copied.

        Raises
        ------
        ValueError, TypeError
            As for the class; then nothing was added.
        """
        where = type(self).__name__
        _checks.check_group(where, param_group)
        params, names = _checks.as_parameters(where, param_group["params"])
        group = {**self.defaults, **param_group, "params": params}
        if names:
            group["param_names"] = names
        if isinstance(group.get("lr"), Tensor):
            group["lr"] = group["lr"].item()
        self.check(group)
        _checks.check_once_each(where, params, self.param_groups)
        for other in self.param_groups:
            _checks.check_names(where, ("param_names" in other) == ("param_names" in group))
        self.param_groups.append(group)
        if getattr(self, "_on_device", None) is not None:  # there is one more to keep there
            self._move_to_device()

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.param_groups for p in group["params"]]

    def _name_of(self, p: Tensor) -> str:
        names = [name for group in self.param_groups for name in group.get("param_names", ())]
        i = next(i for i, q in enumerate(self._parameters()) if q is p)
        return f"parameter {names[i]!r}" if names else f"parameter {i}"

    # ------------------------------------------------------------------------- save and load

    def state_dict(self) -> dict[str, Any]:
        """Return all that `load_state_dict` needs to go on from here, as a copy.

        Returns
        -------
        dict
            ``{"state": {index: {name: value}}, "param_groups": [{options, "params": [index]}]}``
            as in PyTorch: parameters are named by their place, counted through all groups.
        """
        index = {p: i for i, p in enumerate(self._parameters())}
        state = {
            i: {
                name: int(value) if name == "step" else _copied(value)
                for name, value in self.state[p].items()
            }
            for p, i in index.items()
            if self.state.get(p)  # asks without making an entry
        }
        groups = []
        for group in self.param_groups:
            options = {key: _copied(value) for key, value in group.items() if key != "params"}
            groups.append({**options, "params": [index[p] for p in group["params"]]})
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned: options and all that is remembered.

        Parameters
        ----------
        state_dict : dict
            Of an optimizer of the same kind over parameters of the same shapes, in the same order
            and groups. It is copied; arrays are moved to the parameters' device and dtype.

        Raises
        ------
        ValueError
            If it does not fit. All that is wrong is named at once, and nothing is loaded.
        """
        where = f"{type(self).__name__}.load_state_dict"
        _checks.check_state_dict(where, state_dict)
        saved = state_dict["param_groups"]
        sizes = [
            [len(group["params"]) for group in groups] for groups in (self.param_groups, saved)
        ]
        if sizes[0] != sizes[1]:
            raise ValueError(
                message(
                    where,
                    "the groups do not hold the same numbers of parameters.",
                    expect=f"{len(sizes[0])} groups of {sizes[0]}",
                    actual=f"{len(sizes[1])} groups of {sizes[1]}",
                )
            )
        problems: list[str] = []
        groups = [self._new_group(i, group, problems) for i, group in enumerate(saved)]
        entries = self._new_entries(state_dict, groups, problems)
        if problems:
            raise ValueError(
                message(
                    where,
                    "the state does not fit this optimizer; nothing was loaded.",
                    actual="\n    ".join(["", *problems]),
                )
            )
        # From here on nothing can fail: all or nothing.
        for group, new in zip(self.param_groups, groups, strict=True):
            kept = {key: group[key] for key in ("params", "param_names") if key in group}
            group.clear()
            group.update({**new, **kept})
        self.state.clear()
        self._has_stepped = True  # in the training that is resumed
        params = self._parameters()
        self.state.update({params[i]: entry for i, entry in entries.items()})
        if self._on_device is not None:
            self._on_device.take_over(self.state)

    def _new_group(self, i: int, saved: dict, problems: list[str]) -> dict[str, Any]:
        """Return the options of a saved group, and note what is wrong with them."""
        group = {key: _copied(value) for key, value in saved.items() if key != "params"}
        missing = [key for key in self.defaults if key not in group]
        if missing:
            problems.append(f"group {i}: missing options {missing}")
            return group
        try:
            self.check(group)
        except (TypeError, ValueError) as error:
            problems.append(f"group {i}: {error}")
        return group

    def _new_entries(self, state_dict: dict, groups: list[dict], problems: list[str]) -> dict:
        """Return what is remembered of each parameter, by its place; note what is wrong."""
        names = [() if problems else self.state_names(group) for group in groups]
        saved = [(key, n) for g, n in zip(state_dict["param_groups"], names) for key in g["params"]]
        entries = {}
        for i, (p, (key, needed)) in enumerate(zip(self._parameters(), saved)):
            values = state_dict["state"].get(key, {})
            values = {name: value for name, value in values.items() if value is not None}
            missing = [name for name in needed if name not in values]
            if values and missing:
                problems.append(f"state of parameter {i}: missing {missing}")
            for name, value in values.items():
                shape = tuple(np.shape(getattr(value, "array", value)))
                wanted = () if name == "step" else p.shape
                if shape != tuple(wanted):
                    problems.append(
                        f"state of parameter {i}: {name} has shape {shape}, not {tuple(wanted)}"
                    )
            if values and not problems:
                entries[i] = {name: _fitted(name, value, p) for name, value in values.items()}
        unknown = set(state_dict["state"]) - {key for key, _ in saved}
        problems += [f"state of parameter {key!r}: there is no such parameter" for key in unknown]
        return entries

    def __repr__(self) -> str:
        lines = [f"{type(self).__name__} ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join([*lines, ")"])


def _copied(value: Any) -> Any:
    return value.detach().clone() if isinstance(value, Tensor) else copy.deepcopy(value)


def _fitted(name: str, value: Any, p: Tensor) -> Tensor | int:
    """Return a copy of a saved value with the dtype and on the device of `p`."""
    if name == "step":
        return int(value)  # PyTorch saves a tensor
    array = value.array if isinstance(value, Tensor) else np.asarray(value)
    return Tensor(backend.asarray_on(array.astype(p.dtype), p.device))
