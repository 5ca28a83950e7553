"""Softmax with cross-entropy on the GPU: see ``loss.cu``.

Before this: ``norm.py``. Next: ``random.py``.
"""

from __future__ import annotations

import numpy as np

from minigrad import backend

from .. import plain
from . import launch


def _labels(labels):
    return backend.cupy.ascontiguousarray(labels.astype(np.int64, copy=False))


def softmax_cross_entropy(z, labels):
    """See `minigrad.kernels.plain.softmax_cross_entropy`: returns (losses, p)."""
    if not launch.runs(z):
        return plain.softmax_cross_entropy(z, labels)
    xp, (N, C) = backend.cupy, z.shape
    z, labels = xp.ascontiguousarray(z), _labels(labels)
    losses, p = xp.empty((N,), dtype=z.dtype), xp.empty((N, C), dtype=z.dtype)
    threads = launch.block_size(C)
    launch.kernel("loss", "softmax_cross_entropy", z.dtype)(
        (N,), (threads,), (losses, p, z, labels, np.int32(C))
    )
    return losses, p


def softmax_cross_entropy_backward(g, p, labels):
    """See `minigrad.kernels.plain.softmax_cross_entropy_backward`."""
    if not launch.runs(p, g):
        return plain.softmax_cross_entropy_backward(g, p, labels)
    p = backend.cupy.ascontiguousarray(p)
    gz = backend.cupy.empty(p.shape, dtype=p.dtype)
    (step,), classes = launch.strides(g), np.int32(p.shape[1])
    launch.each(
        *("loss", "softmax_cross_entropy_backward", p, p.size),
        *(gz, g, step, p, _labels(labels), classes),
    )
    return gz
