"""Exercise 12: undoing a broadcast.

NumPy stretches arrays to a common shape. Here a is added to x:

    y = x + a          x and y of the shape (N, D)

where a may have the shape (D,), (1, D), (N, 1), (1, 1) or (). NumPy lines up the
shapes from the last axis, puts axes of length 1 in front where a has fewer, and
copies a along each axis where it has the length 1 and y more.

So one entry of a stands in many places of y. By the chain rule its gradient is
the sum over all of them:

    ga[j] = sum over i of gy[i, j] * dy[i, j]/da[j]          (a of the shape (D,))

Write the function that every backprop library needs: given an array g, of the
shape that came out of the broadcast, sum it down to `shape`. Then use it.

1. Which axes of g are to be summed for the shapes (D,), (N, 1), (1, 1), ()?
2. Which of them stay, with the length 1, and which disappear?

Check it:  python -m minigrad learn check unbroadcast
"""

import numpy as np


def unbroadcast(g, shape):
    """Return g summed down to `shape`, which broadcasts to the shape of g."""
    # Axes that were put in front disappear; axes that were stretched from 1 go back to 1.
    g = np.sum(g, axis=tuple(range(g.ndim - len(shape))))
    stretched = tuple(i for i, n in enumerate(shape) if n == 1)
    return np.sum(g, axis=stretched, keepdims=True)


def forward(x, a):
    """y = x + a; x and y have the shape (N, D), a any shape that broadcasts to it."""
    return x + a


def backward(gy, x, a):
    """Return (gx, ga), each of the shape of its input. Use unbroadcast."""
    # dy/dx and dy/da are 1, so gy arrives at every copy; the copies are summed.
    return unbroadcast(gy, x.shape), unbroadcast(gy, a.shape)
