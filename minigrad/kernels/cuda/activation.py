"""Bias, and the gradient of relu, on the GPU: see ``activation.cu``.

Before this: ``launch.py``. Next: ``layout.py``.
"""

from __future__ import annotations

import numpy as np

from minigrad import backend

from .. import plain
from . import launch


def add_bias(y, bias, relu: bool = False):
    """Add a number to each row of y, in place; with ``relu`` take max(y, 0) too.

    Parameters
    ----------
    y : array (rows, ...), in order
    bias : array (rows,)
    """
    if launch.runs(y, bias) and y.flags.c_contiguous:
        columns = np.int32(y.size // len(bias))
        bias = backend.cupy.ascontiguousarray(bias)
        launch.each("activation", "add_bias", y, y.size, y, bias, columns, np.int32(relu))
        return
    y += bias.reshape(-1, *(1,) * (y.ndim - 1))
    if relu:
        backend.array_module(y).maximum(y, 0, out=y)


def relu(x):
    """See `minigrad.kernels.plain.relu`."""
    return plain.relu(x)


def relu_backward(gy, y):
    """See `minigrad.kernels.plain.relu_backward`. The result lies in memory as gy does.

    (For images that is channel by channel, as pooling's backward leaves them and as a
    convolution's wants them.)
    """
    if not launch.runs(gy, y) or gy.ndim > 4:
        return plain.relu_backward(gy, y)
    order = memory_order(gy)
    gy, y = gy.transpose(order), y.transpose(order)
    gx = backend.cupy.empty(gy.shape, dtype=gy.dtype)
    missing = 4 - gy.ndim
    A, B, C, D = (1,) * missing + gy.shape
    a, b, c, d = [0] * missing + launch.strides(y)
    steps = launch.structure(A=A, B=B, C=C, D=D, S_a=a, S_b=b, S_c=c, S_d=d)
    gy = backend.cupy.ascontiguousarray(gy)
    launch.each("activation", "relu_backward", gx, gx.size, gx, gy, y, steps)
    return gx.transpose(sorted(range(gx.ndim), key=order.__getitem__))


def memory_order(array) -> list[int]:
    """The axes from the longest step to the shortest: so transposed, an array without gaps lies in
    order.
    """
    return sorted(range(array.ndim), key=lambda axis: -abs(array.strides[axis]))
