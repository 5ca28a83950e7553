"""Batch norm: the function around ``ops/norm.py``, and the definition that it is held to."""

from __future__ import annotations

from ..ops.norm import BatchNorm
from .elementwise import sqrt
from .shape import reshape


def batch_norm(x, weight=None, bias=None, eps=1e-5) -> tuple:
    """Return x normalised for each channel over samples and places, and the statistics used.

    Parameters
    ----------
    x : Tensor, shape (N, C, ...)
    weight, bias : Tensor, shape (C,), optional
    eps : float, added to the variance.

    Returns
    -------
    Tensor of x's shape, and two arrays (C,): the mean and the biased variance.
    """
    inputs, statistics = (x,), []
    if weight is not None:
        inputs = (x, weight) if bias is None else (x, weight, bias)
    y = BatchNorm.apply(*inputs, eps=eps, statistics=statistics)
    if weight is None and bias is not None:
        y = y + reshape(bias, _per_channel(x))
    return y, *statistics


def batch_norm_simple(x, weight=None, bias=None, eps=1e-5):
    """Return x normalised for each channel over samples and places, from small ops."""
    axes, shape = _axes(x), _per_channel(x)
    mean = x.mean(axes, keepdim=True)
    var = ((x - mean) * (x - mean)).mean(axes, keepdim=True)
    y = (x - mean) / sqrt(var + eps)
    if weight is not None:
        y = y * reshape(weight, shape)
    return y if bias is None else y + reshape(bias, shape)


def _axes(x) -> tuple:
    return (0, *range(2, x.ndim))


def _per_channel(x) -> tuple:
    return (1, -1, *(1,) * (x.ndim - 2))
