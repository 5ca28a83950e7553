"""Softmax cross-entropy and relu on the CPU: in few calls of NumPy.

Before this: ``norm.py``. Next: ``dropout.py``.
"""

from __future__ import annotations

import numpy as np


def softmax_cross_entropy(z, labels):
    """See `minigrad.kernels.plain.softmax_cross_entropy`: returns (losses, p)."""
    rows = np.arange(len(z))
    p = z - np.maximum.reduce(z, axis=1, keepdims=True)
    picked = p[rows, labels]
    np.exp(p, out=p)
    total = np.add.reduce(p, axis=1, keepdims=True)
    p /= total
    losses = np.log(total[:, 0])
    losses -= picked
    return losses, p


def softmax_cross_entropy_backward(g, p, labels):
    """See `minigrad.kernels.plain.softmax_cross_entropy_backward`."""
    gz = np.multiply(p, g[:, None], order="C")  # by rows, as the products after it like it
    gz[np.arange(len(p)), labels] -= g
    return gz


ROW = 4096  # numbers: a row of zeros that stays in the nearest cache
_ZEROS = {kind: np.zeros(ROW, kind) for kind in "fd"}


def relu(x):
    """max(x, 0), from two arrays: NumPy is three times slower with an array and a number."""
    y = np.empty_like(x)
    zeros, flat_x, flat_y = _ZEROS.get(x.dtype.char), x.ravel("K"), y.ravel("K")
    if zeros is None or not (np.may_share_memory(flat_x, x) and np.may_share_memory(flat_y, y)):
        return np.maximum(x, 0)
    whole = x.size // ROW * ROW
    if whole:
        np.maximum(flat_x[:whole].reshape(-1, ROW), zeros, out=flat_y[:whole].reshape(-1, ROW))
    np.maximum(flat_x[whole:], zeros[: x.size - whole], out=flat_y[whole:])
    return y


def relu_backward(gy, y):
    """See `minigrad.kernels.plain.relu_backward`."""
    # A product is ten times faster than a choice. Of integers, so that 0 times infinity is 0.
    bits = gy.view(f"i{gy.dtype.itemsize}") * (y != 0)
    return bits.view(gy.dtype)
