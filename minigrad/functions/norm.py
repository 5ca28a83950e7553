"""Batch norm from small ops: the definition that the fused op is held to."""

from __future__ import annotations

from .elementwise import sqrt
from .shape import reshape


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
