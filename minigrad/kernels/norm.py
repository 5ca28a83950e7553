"""Batch normalization on the CPU: one channel is one row, and a few rows at a time stay in cache.

Before this: ``pool.py``. Next: ``loss.py``.
"""

from __future__ import annotations

import numpy as np

from . import plain
from .threads import run

BLOCK = 1 << 18  # numbers


def _as_rows(x):
    """x (N, C, ...) as (C, everything else) and the axis order that did it; a copy only if memory
    demands it.
    """
    samples_last = (*range(1, x.ndim), 0)
    channels_first = (1, 0, *range(2, x.ndim))
    for order in (samples_last, channels_first):
        moved = x.transpose(order)
        if moved.flags.c_contiguous:
            return moved.reshape(len(moved), -1), order
    return np.ascontiguousarray(x.transpose(samples_last)).reshape(x.shape[1], -1), samples_last


def _rows_like(x, order):
    """x as rows with the entries in the given order of axes."""
    return np.ascontiguousarray(x.transpose(order)).reshape(x.shape[1], -1)


def _from_rows(rows, shape, order):
    """The inverse of `_as_rows`."""
    return rows.reshape([shape[axis] for axis in order]).transpose(np.argsort(order))


def _blocks(C, M):
    step = max(1, BLOCK // max(1, M))
    return [slice(a, a + step) for a in range(0, C, step)]


def batch_norm(x, weight, bias, eps):
    """See `minigrad.kernels.plain.batch_norm`: returns (y, mean, var, rstd)."""
    if x.dtype == np.float16:
        return plain.batch_norm(x, weight, bias, eps)
    rows, order = _as_rows(x)
    C, M = rows.shape
    y = np.empty_like(rows)
    mean, var, rstd = np.empty((3, C), x.dtype)

    def one(block):
        source, out = rows[block], y[block]
        np.mean(source, axis=1, out=mean[block])
        np.subtract(source, mean[block, None], out=out)
        np.divide(np.einsum("cm,cm->c", out, out), M, out=var[block])
        np.divide(1, np.sqrt(var[block] + eps), out=rstd[block])
        out *= (rstd[block] if weight is None else rstd[block] * weight[block])[:, None]
        if bias is not None:
            out += bias[block, None]

    run(one, _blocks(C, M))
    return _from_rows(y, x.shape, order), mean, var, rstd


def batch_norm_backward(gy, x, weight, mean, rstd):
    """See `minigrad.kernels.plain.batch_norm_backward`: returns (gx, gw, gb)."""
    if x.dtype == np.float16:
        return plain.batch_norm_backward(gy, x, weight, mean, rstd)
    rows, order = _as_rows(x)
    upstream = _rows_like(gy, order)
    C, M = rows.shape
    gx = np.empty_like(rows)
    gw, gb = np.empty((2, C), x.dtype)

    def one(block):
        out, g = gx[block], upstream[block]
        scale = rstd[block] if weight is None else rstd[block] * weight[block]
        np.subtract(rows[block], mean[block, None], out=out)
        gw[block] = np.einsum("cm,cm->c", out, g) * rstd[block]
        np.add.reduce(g, axis=1, out=gb[block])
        out *= (gw[block] * rstd[block] * (-1 / M))[:, None]
        out += g
        out -= (gb[block] / M)[:, None]
        out *= scale[:, None]

    run(one, _blocks(C, M))
    return _from_rows(gx, x.shape, order), gw, gb
