"""Answers that have no derivative: comparisons, tests and orders. Nothing here is recorded."""

from __future__ import annotations

import numpy as np

from .. import autograd, backend
from .._errors import message
from . import shape
from .elementwise import _operand, broadcast_shape, promote
from .reduce import values_and_indices


def _compare(name: str, a, b):
    a, b = _operand(a, name), _operand(b, name)
    arrays = [x.array if isinstance(x, autograd.Tensor) else x for x in (a, b)]
    backend.refuse_mixed_devices(name, arrays)
    xp = backend.array_module(next((x for x in arrays if backend.is_array(x)), np.empty(0)))
    try:
        return autograd.Tensor(xp.asarray(getattr(xp, name)(*arrays)))
    except ValueError:
        broadcast_shape(name, *[x.shape for x in arrays if backend.is_array(x)])  # says it clearly
        raise


def can_compare(x) -> bool:
    """Whether ``tensor == x`` compares entries; None, strings and the like are just not equal.

    (Lists count in, so that they raise: that they equal no tensor would go unnoticed.)
    """
    numbers = (autograd.Tensor, bool, int, float, np.generic, list, tuple)
    return isinstance(x, numbers) or backend.is_array(x)


def eq(a, b):
    """Return where a equals b."""
    return _compare("equal", a, b)


def ne(a, b):
    """Return where a differs from b."""
    return _compare("not_equal", a, b)


def lt(a, b):
    """Return where a is below b."""
    return _compare("less", a, b)


def le(a, b):
    """Return where a is not above b."""
    return _compare("less_equal", a, b)


def gt(a, b):
    """Return where a is above b."""
    return _compare("greater", a, b)


def ge(a, b):
    """Return where a is not below b."""
    return _compare("greater_equal", a, b)


def logical_and(a, b):
    """Return where both are true, or not zero."""
    return _compare("logical_and", a, b)


def logical_or(a, b):
    """Return where one is true, or not zero."""
    return _compare("logical_or", a, b)


def logical_not(x):
    """Return where x is false, or zero."""
    return autograd.Tensor(x.array == 0)


def bitwise(name: str, a, b):
    """Return a and b combined bit by bit (booleans: logically) by NumPy's function `name`."""
    _refuse_floats(name, a, b)
    return _compare(name, *promote(a, b, where=name))


def invert(x):
    """Return x with every bit exchanged (booleans: where x is false)."""
    _refuse_floats("invert", x)
    return autograd.Tensor(~x.array)


def _refuse_floats(name, *operands):
    for x in operands:
        if isinstance(x, float) or (isinstance(x, autograd.Tensor) and x.dtype.kind == "f"):
            actual = getattr(x, "dtype", "float")
            raise TypeError(message(name, "not integers or booleans.", actual=actual))


def isnan(x):
    """Return where x is NaN."""
    return autograd.Tensor(x.array != x.array)


def isinf(x):
    """Return where x is plus or minus infinity."""
    return autograd.Tensor(abs(x.array) == float("inf"))


def isfinite(x):
    """Return where x is neither NaN nor infinite."""
    return autograd.Tensor(abs(x.array) < float("inf"))


def isclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False):
    """Return where ``|a - b| <= atol + rtol |b|``."""
    xp = backend.array_module(a.array)
    return autograd.Tensor(xp.isclose(a.array, b.array, rtol, atol, equal_nan))


def allclose(a, b, rtol=1e-5, atol=1e-8, equal_nan=False) -> bool:
    """Whether ``|a - b| <= atol + rtol |b|`` everywhere."""
    return bool(isclose(a, b, rtol, atol, equal_nan).array.all())


def equal(a, b) -> bool:
    """Whether a and b have one shape and equal entries."""
    return a.shape == b.shape and bool((a.array == b.array).all())


def argsort(x, dim=-1, descending=False, stable=False):
    """Return the indices that sort x along axis `dim`; int64."""
    dim = shape.axis_of(dim, x.ndim, "argsort")
    xp, array = backend.array_module(x.array), x.array
    if not array.ndim:
        return autograd.Tensor(xp.zeros((), dtype=backend.int64))
    if not descending:
        return autograd.Tensor(xp.argsort(array, axis=dim, kind="stable").astype(backend.int64))
    # Sorting the reversed axis and reversing the result keeps equal entries in order.
    backwards = (slice(None),) * dim + (slice(None, None, -1),)
    order = xp.argsort(array[backwards], axis=dim, kind="stable")[backwards]
    return autograd.Tensor(array.shape[dim] - 1 - order.astype(backend.int64))


def sort(x, dim=-1, descending=False, stable=False):
    """Return x sorted along axis `dim`, and the indices of its entries in x."""
    indices = argsort(x, dim, descending, stable)
    return values_and_indices(shape.gather(x, dim, indices), indices)


def topk(x, k, dim=-1, largest=True, sorted=True):
    """Return the k largest (or smallest) along axis `dim`, in order, and their indices."""
    dim = shape.axis_of(dim, x.ndim, "topk")
    if not 0 <= k <= x.shape[dim]:
        raise ValueError(
            message("topk", "k is out of range.", expect=f"0 to {x.shape[dim]}", actual=k)
        )
    order = argsort(x, dim, descending=largest)
    indices = shape.index(order, (slice(None),) * dim + (slice(0, k),))
    return values_and_indices(shape.gather(x, dim, indices), indices)


def nonzero(x):
    """Return the indices of the entries that are not zero, one row each; int64."""
    xp = backend.array_module(x.array)
    return autograd.Tensor(xp.argwhere(x.array).astype(backend.int64))
