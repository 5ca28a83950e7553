"""Exercise 10: a sum over an axis.

x has the shape (N, D). It is summed over its rows, or over its columns:

    axis=0:   y[j] = x[0, j] + x[1, j] + ... + x[N-1, j]         shape (D,)
    axis=1:   y[i] = x[i, 0] + x[i, 1] + ... + x[i, D-1]         shape (N,)

With keepdims=True the summed axis stays, with the length 1: (1, D) or (N, 1).

You get gy, of the shape of y, and return gx, of the shape (N, D).

1. If x[2, 1] grows by e, which entry of y grows, and by how much?
2. So which entry of gy does gx[2, 1] equal? And gx[0, 1], gx[1, 1]?
3. Without keepdims gy has one axis less than x. NumPy lines up shapes from the
   *last* axis, so the N of a gy of shape (N,) is lined up with the D of (N, D).
   That is an error, or, where N = D, no error and a wrong result. Where does gy
   need an axis of length 1?

Check it:  python -m minigrad learn check sum_axis
"""

import numpy as np


def forward(x, axis, keepdims):
    """y = the sum of x, of the shape (N, D), over axis 0 or 1."""
    return x.sum(axis=axis, keepdims=keepdims)


def backward(gy, x, axis, keepdims):
    """Return gx, the gradient of the loss with respect to x, of the shape (N, D)."""
    # Every summand gets the whole gradient of its sum: copy gy along the axis that was summed.
    if not keepdims:
        gy = np.expand_dims(gy, axis)
    return np.broadcast_to(gy, x.shape)
