"""Sums, means, variances, norms and extremes: the functions around ``ops/reduce.py``."""

from __future__ import annotations

import math
from collections import namedtuple

from .. import autograd, backend
from .._errors import message
from ..ops.reduce import Amax, Cumsum
from . import elementwise
from .shape import axes_of, axis_of, gather, index, reshape, squeeze, sum_to


def sum(x, dim=None, keepdim=False, *, dtype=None):
    """Return the sum over the axes `dim` (all by default); integers and booleans give int64."""
    if dtype is not None:
        x = x.to(dtype)
    axes = axes_of(dim, x.ndim, "sum")
    if len(axes) == x.ndim and not keepdim:
        return sum_to(x, ()) if x.ndim else x
    return _drop(sum_to(x, _kept_shape(x, axes)), x, axes, keepdim)


def mean(x, dim=None, keepdim=False, *, dtype=None):
    """Return the mean over the axes `dim` (all by default)."""
    x = _floats(x if dtype is None else x.to(dtype), "mean")
    axes = axes_of(dim, x.ndim, "mean")
    return sum(x, dim, keepdim) / math.prod([x.shape[i] for i in axes])


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
    return squares / (n - correction) if n > correction else squares * math.nan


def std(x, dim=None, unbiased=None, keepdim=False, *, correction=None):
    """Return the standard deviation over the axes `dim`, the root of `var`."""
    return elementwise.sqrt(var(x, dim, unbiased, keepdim, correction=correction))


def norm(x, p=2, dim=None, keepdim=False):
    """Return the p-norm over the axes `dim`; at 0 the derivative is 0.

    p may be 1, 2 or any positive number, or infinity.
    """
    if not p > 0:
        raise ValueError(message("norm", "no such norm.", expect="0 < p <= inf", actual=p))
    if p == math.inf:
        return amax(elementwise.abs(x), dim, keepdim)
    if p == 1:
        return sum(elementwise.abs(x), dim, keepdim)
    powers = sum(x * x if p == 2 else elementwise.abs(x) ** p, dim, keepdim)
    # The root's derivative is infinite at 0: take the root of 1 there, and then 0.
    zero = powers == 0
    return elementwise.where(zero, 0.0, elementwise.where(zero, 1.0, powers) ** (1 / p))


def amax(x, dim=None, keepdim=False):
    """Return the largest over the axes `dim`; ties share the gradient; NaN wins."""
    axes = axes_of(dim, x.ndim, "amax")
    if x.array.size == 0:
        raise ValueError(message("amax", "there is nothing to compare.", actual=tuple(x.shape)))
    return _drop(Amax.apply(x, axes=axes), x, axes, keepdim)


def amin(x, dim=None, keepdim=False):
    """Return the smallest over the axes `dim`; ties share the gradient; NaN wins."""
    return -amax(-x, dim, keepdim)


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
    values = gather(x, dim, indices) if x.ndim else x
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
    if array.size == 0:
        raise ValueError(message(name, "there is nothing to compare.", actual=tuple(x.shape)))
    if dim is not None and x.ndim:
        dim = axis_of(dim, x.ndim, name)
        found = getattr(xp, name)(array, axis=dim)
        found = xp.expand_dims(found, dim) if keepdim else found
    else:
        found = getattr(xp, name)(array)
        found = found.reshape((1,) * x.ndim) if keepdim else found
    return autograd.Tensor(xp.asarray(found, dtype=backend.int64))


def prod(x, dim=None, keepdim=False):
    """Return the product over the axes `dim`; right also where entries are 0."""
    axes = axes_of(dim, x.ndim, "prod")
    y = x
    for axis in axes:
        # One factor after the other: the derivative is each factor's rest, zeros included.
        product = None
        for i in range(x.shape[axis]):
            factor = index(y, (slice(None),) * axis + (slice(i, i + 1),))
            product = factor if product is None else product * factor
        if product is None:
            product = autograd.Tensor(
                backend.array_module(y.array).ones(_kept_shape(y, (axis,)), y.dtype)
            )
        y = product
    return _drop(y, x, axes, keepdim)


def cumsum(x, dim):
    """Return the running sums along axis `dim`."""
    return Cumsum.apply(x, axis=axis_of(dim, x.ndim, "cumsum"))


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
