"""Which weights: the parameters that a compression works on, found by name and checked.

The other files of this folder begin with one of these functions. Before this: ``__init__.py``.
Next: ``sparse.py``.
"""

from __future__ import annotations

import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module, Parameter


def select(model: Module, names: Iterable[str] | None, where: str) -> dict[str, Parameter]:
    """Return the named parameters; without names, all with two axes or more.

    Biases and normalization parameters have one axis. They are few and each matters, so nothing
    here touches them unless they are named.

    Raises
    ------
    AttributeError
        If a name is not a parameter of the model; the text lists those there are.
    ValueError
        If nothing is left to work on, or a parameter holds NaN or infinity.
    """
    require_model(model, where)
    if names is None:
        chosen = {name: p for name, p in model.named_parameters() if p.ndim > 1}
    else:
        names = names_in(names, where)
        chosen = {name: parameter_of(model, name, where) for name in names}
    if not chosen:
        raise ValueError(
            message(
                where,
                "the model has no weight to work on.",
                expect="parameters of two axes or more, or names of others",
                actual=[name for name, _ in model.named_parameters()],
            )
        )
    for name, p in chosen.items():
        check_finite(p, f"{where} {name!r}")
    return chosen


def require_model(model, where: str) -> None:
    """Refuse what is no network."""
    if not isinstance(model, Module):
        raise TypeError(
            message(where, "this is not a model.", expect="a Module", actual=type(model).__name__)
        )


def names_in(names: str | Iterable[str], where: str) -> list[str]:
    """Return the names in a list; one name may come without it."""
    if isinstance(names, str):
        return [names]
    if not isinstance(names, Iterable):
        problem, expect = "the names are no list.", "such as ['0.weight', '2.weight']"
        raise TypeError(message(where, problem, expect=expect, actual=repr(names)))
    return list(names)


def require_dict(value, where: str, what: str, expect: str) -> None:
    """Refuse what does not go by name."""
    if not isinstance(value, Mapping):
        problem = f"the {what} are no dict."
        raise TypeError(message(where, problem, expect=expect, actual=type(value).__name__))


def parameter_of(model: Module, name: str, where: str) -> Parameter:
    """Return the parameter of this name; if there is none, the error lists those there are."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    if name not in parameters:
        problem, expect = f"the model has no parameter {name!r}.", ", ".join(parameters) or "none"
        raise AttributeError(message(where, problem, expect=expect, actual=repr(name)))
    return parameters[name]


@dataclass
class MaskedWeight:
    """A weight, and the mask that ``nn.utils.prune`` holds over it (or None)."""

    parameter: Parameter
    mask: np.ndarray | None = None

    def values(self) -> np.ndarray:
        """Return the weight as the layer sees it, on the CPU."""
        values = backend.to_numpy(self.parameter.array)
        return values if self.mask is None else np.where(self.mask, values, values.dtype.type(0))


def select_masked(
    model: Module, names: Iterable[str] | None, where: str
) -> dict[str, MaskedWeight]:
    """Return what `select` does, and a pruned weight under the name that the layer knows.

    A pruned ``weight`` is a parameter ``weight_orig`` and a buffer ``weight_mask``; here it is
    called ``weight``, so that one name means one weight, before its pruning and after it.
    """
    if isinstance(model, Module):
        parameters = dict(model.named_parameters(remove_duplicate=False))
        buffers = dict(model.named_buffers(remove_duplicate=False))
    else:
        parameters, buffers = {}, {}
    masks = {name.removesuffix("_mask"): mask for name, mask in buffers.items()}
    masks = {name: mask for name, mask in masks.items() if f"{name}_orig" in parameters}
    if names is not None:
        names = names_in(names, where)
        names = [f"{name}_orig" if name in masks else name for name in names]
    found = {}
    for name, parameter in select(model, names, where).items():
        path, pruned = name.removesuffix("_orig"), name.removesuffix("_orig") in masks
        mask = backend.to_numpy(masks[path].array) != 0 if pruned else None
        found[path if pruned else name] = MaskedWeight(parameter, mask)
    return found


def check_finite(x: Tensor, where: str) -> np.ndarray:
    """Return the values of `x` as a NumPy array; refuse those that are not finite."""
    if not isinstance(x, Tensor):
        actual = type(x).__name__
        raise TypeError(message(where, "not a tensor.", expect="a Tensor", actual=actual))
    values = backend.to_numpy(x.array)
    if values.dtype.kind != "f":
        raise TypeError(
            message(where, "only floating numbers can be compressed so.", actual=values.dtype)
        )
    if not np.isfinite(values).all():
        raise ValueError(
            message(
                where,
                "the weight holds NaN or infinity.",
                expect="finite numbers: NaN has no magnitude that could be compared",
                actual=f"{np.count_nonzero(~np.isfinite(values))} of {values.size}",
                do="find out where training diverged before compressing",
            )
        )
    return values


def check_bits(bits, lowest: int, highest: int, where: str) -> int:
    """Return `bits` if it is a whole number in the range."""
    if not (is_whole(bits) and lowest <= bits <= highest):
        raise ValueError(
            message(
                where,
                "the number of bits is out of range.",
                expect=f"a whole number from {lowest} to {highest}",
                actual=repr(bits),
            )
        )
    return int(bits)


def is_whole(value) -> bool:
    """Whether this is an integer; True and False are none."""
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def is_number(value) -> bool:
    """Whether this is a real number; True and False are none."""
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))


def for_each(value, names: Iterable[str], where: str) -> dict:
    """Return one option for each name, from one for all of them or from a dict."""
    names = list(names)
    if not isinstance(value, Mapping):
        return dict.fromkeys(names, value)
    if set(value) != set(names):
        raise ValueError(
            message(
                where,
                "the options by name do not pair up with the weights.",
                expect=names,
                actual=list(value),
                do="give one for each, or say which weights are meant with names=",
            )
        )
    return {name: value[name] for name in names}
