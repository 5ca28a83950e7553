"""Sums, means, variances, norms and extremes: the functions around ``ops/reduce.py``."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import autograd, backend
from .._errors import message
from ..ops.reduce import Amax, Amin, Cumsum
from ..ops.shape import MeanTo, SumTo
from . import elementwise
from .shape import axes_of, axis_of, cat, gather, index, reshape, squeeze


def sum(x, dim=None, keepdim=False, *, dtype=None):
    """Return the sum over the axes `dim` (all by default); integers and booleans give int64."""
    x = _accumulator(x, dtype)
    axes = axes_of(dim, x.ndim, "sum")
    if len(axes) == x.ndim and not keepdim:
        return SumTo.apply(x, shape=())
    return _drop(SumTo.apply(x, shape=_kept_shape(x, axes)), x, axes, keepdim)


def mean(x, dim=None, keepdim=False, *, dtype=None):
    """Return the mean over the axes `dim` (all by default)."""
    x = _floats(x if dtype is None else x.to(dtype), "mean")
    axes = axes_of(dim, x.ndim, "mean")
    if len(axes) == x.ndim and not keepdim:
        return MeanTo.apply(x, shape=())
    return _drop(MeanTo.apply(x, shape=_kept_shape(x, axes)), x, axes, keepdim)


def var(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Return the variance over the axes `dim`: squared deviations summed, over n - correction.

    `correction` is 1 by default (the unbiased estimate); ``unbiased=False`` means 0.
    """
    x = _floats(x, "var")
    if isinstance(dim, bool):  # var(x, unbiased)
        dim, unbiased = None, dim
    if correction is None:
        correction = 1 if unbiased is None else int(unbiased)
    axes = axes_of(dim, x.ndim, "var")
    n = math.prod([x.shape[i] for i in axes])
    deviation = x - mean(x, axes, keepdim=True)
    squares = sum(deviation * deviation, axes, keepdim)
    return squares / (n - correction if n > correction else 0)


def std(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Return the standard deviation over the axes `dim`; at 0 the derivative is 0."""
    return _root(var(x, dim, unbiased, keepdim, correction=correction), 2)


def norm(x, p=2, dim=None, keepdim=False):
    """Return the p-norm over the axes `dim`; at 0 the derivative is 0.

    p may be any positive number, infinity, or "fro", which is 2.
    """
    p = 2 if p == "fro" or p is None else p
    if not isinstance(p, (int, float)) or not p > 0:
        raise ValueError(message("norm", "no such norm.", expect="0 < p <= inf", actual=p))
    if p == math.inf:
        return amax(elementwise.abs(x), dim, keepdim)
    if p == 1:
        return sum(elementwise.abs(x), dim, keepdim)
    return _root(sum(x * x if p == 2 else elementwise.abs(x) ** p, dim, keepdim), p)


def _root(x, p):
    # The derivative is infinite at 0: take the root of 1 there, and then 0.
    zero = x == 0
    return (x.masked_fill(zero, 1.0) ** (1 / p)).masked_fill(zero, 0.0)


def amax(x, dim=None, keepdim=False):
    """Return the largest over the axes `dim`; ties share the gradient; NaN wins."""
    return _over_axes(Amax, x, dim, keepdim, "amax")


def amin(x, dim=None, keepdim=False):
    """Return the smallest over the axes `dim`; ties share the gradient; NaN wins."""
    return _over_axes(Amin, x, dim, keepdim, "amin")


def _over_axes(op, x, dim, keepdim, name):
    axes = axes_of(dim, x.ndim, name)
    _refuse_empty(x, axes, name)
    return _drop(op.apply(x, axes=axes), x, axes, keepdim)


def _refuse_empty(x, axes, name):
    if 0 in [x.shape[i] for i in axes]:
        raise ValueError(
            message(name, "there is nothing to compare.", actual=f"shape {tuple(x.shape)}")
        )


values_and_indices = namedtuple("values_and_indices", "values indices")


def max(x, dim=None, keepdim=False):
    """Return the largest of all; with `dim`, the largest along it and their indices.

    With `dim`, the gradient goes to the entry whose index is returned. Given a second tensor
    instead, return the larger of both, as `maximum`.
    """
    return _extreme(x, dim, keepdim, amax, argmax, elementwise.maximum)


def min(x, dim=None, keepdim=False):
    """Return the smallest, in the ways of `max`."""
    return _extreme(x, dim, keepdim, amin, argmin, elementwise.minimum)


def _extreme(x, dim, keepdim, over_all, index_of, of_two):
    if isinstance(dim, autograd.Tensor):
        return of_two(x, dim)
    if dim is None:
        return over_all(x)
    indices = index_of(x, dim, keepdim=True)
    values = gather(x, dim, indices) if x.ndim else x.clone()
    if not keepdim and x.ndim:
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return values_and_indices(values, indices)


def argmax(x, dim=None, keepdim=False):
    """Return the index of the largest (the first of ties), in all or along `dim`; int64."""
    return _index_of(x, dim, keepdim, "argmax")


def argmin(x, dim=None, keepdim=False):
    """Return the index of the smallest (the first of ties), in all or along `dim`; int64."""
    return _index_of(x, dim, keepdim, "argmin")


def _index_of(x, dim, keepdim, name):
    xp, array = backend.array_module(x.array), x.array
    dim = None if dim is None else axis_of(dim, x.ndim, name)
    _refuse_empty(x, range(x.ndim) if dim is None or not x.ndim else (dim,), name)
    if dim is not None and x.ndim:
        found = getattr(xp, name)(array, axis=dim)
        found = xp.expand_dims(found, dim) if keepdim else found
    else:
        found = getattr(xp, name)(array)
        found = found.reshape((1,) * x.ndim) if keepdim else found
    return autograd.Tensor(xp.asarray(found, dtype=backend.int64))


def prod(x, dim=None, keepdim=False, *, dtype=None):
    """Return the product over the axes `dim`; integers and booleans give int64.

    The first half of the factors is multiplied with the second, again and again: few products,
    and (unlike y / x) right derivatives where factors are 0.
    """
    y = _accumulator(x, dtype).clone()
    axes = axes_of(dim, x.ndim, "prod")
    for axis in axes:
        before = (slice(None),) * axis
        if x.shape[axis] == 0:
            y = sum(y, axis, keepdim=True) + 1
        while y.shape[axis] > 1:
            n = y.shape[axis] // 2
            a, b = index(y, (*before, slice(0, n))), index(y, (*before, slice(n, 2 * n)))
            rest = index(y, (*before, slice(2 * n, None)))
            y = cat([a * b, rest], axis) if rest.shape[axis] else a * b
    return _drop(y, x, axes, keepdim)


def cumsum(x, dim, *, dtype=None):
    """Return the running sums along axis `dim`; integers and booleans give int64."""
    axis = axis_of(dim, x.ndim, "cumsum")
    x = _accumulator(x, dtype)
    return Cumsum.apply(x, axis=axis) if x.ndim else x.clone()


def logsumexp(x, dim, keepdim=False):
    """Return ln sum e^x over the axes `dim`, without overflow."""
    axes = axes_of(dim, x.ndim, "logsumexp")
    # Taking the largest out changes nothing in the result, so it may count as a constant.
    largest = amax(x.detach(), axes, keepdim=True)
    largest = elementwise.where(abs(largest) == math.inf, 0.0, largest)
    total = elementwise.log(sum(elementwise.exp(x - largest), axes, keepdim=True)) + largest
    return _drop(total, x, axes, keepdim)


def all(x, dim=None, keepdim=False):
    """Return whether all entries (along `dim`) are true, or not zero."""
    return _truth(x, dim, keepdim, "all")


def any(x, dim=None, keepdim=False):
    """Return whether an entry (along `dim`) is true, or not zero."""
    return _truth(x, dim, keepdim, "any")


def _truth(x, dim, keepdim, name):
    xp = backend.array_module(x.array)
    axes = axes_of(dim, x.ndim, name)
    return autograd.Tensor(xp.asarray(getattr(xp, name)(x.array, axis=axes, keepdims=keepdim)))


def _accumulator(x, dtype):
    """Return x in `dtype`, or by default in the dtype of its sums."""
    if dtype is None:
        dtype = x.dtype if x.array.dtype.kind == "f" else backend.int64
    return x.to(dtype)


def _kept_shape(x, axes):
    return tuple([1 if i in axes else n for i, n in enumerate(x.shape)])


def _drop(y, x, axes, keepdim):
    """Return y, which has the reduced axes with size 1, with or without them."""
    return y if keepdim else reshape(y, tuple([n for i, n in enumerate(x.shape) if i not in axes]))


def _floats(x, name):
    if x.array.dtype.kind != "f":
        raise TypeError(
            message(
                name,
                "not floating numbers.",
                expect="a floating dtype",
                actual=x.dtype,
                do="x.float() or x.double() first",
            )
        )
    return x
