"""Exercise 13: reshape and transpose.

Neither computes anything: the same numbers stand in other places.

    y = x.reshape(shape)            the entries of x in reading order, broken anew
    z = np.transpose(x, axes)       axis i of z is axis axes[i] of x

For axes = (2, 0, 1) and x of the shape (A, B, C), z has the shape (C, A, B), and

    z[c, a, b] = x[a, b, c]

The gradient of an entry goes back to where the entry came from. So each
backward is again a reshape or a transpose of gy. Which one?

1. reshape: to which shape?
2. transpose: which `axes` undo `axes`? For two axes the transpose undoes itself.
   For (2, 0, 1) it does not: try (2, 0, 1) twice on a letter for each axis.
3. Why is one not a substitute for the other, even where the shapes fit?

Check it:  python -m minigrad learn check reshape_transpose
"""

import numpy as np


def forward_reshape(x, shape):
    """y = x with the shape `shape`, which has as many entries."""
    return x.reshape(shape)


def backward_reshape(gy, x, shape):
    """Return gx, of the shape of x; gy has the shape `shape`."""
    # The reading order is the same, so break it as x was broken.
    return gy.reshape(x.shape)


def forward_transpose(x, axes):
    """z = x with its axes in the order `axes`."""
    return np.transpose(x, axes)


def backward_transpose(gz, x, axes):
    """Return gx, of the shape of x."""
    # The inverse permutation puts every axis back to its place.
    return np.transpose(gz, np.argsort(axes))
