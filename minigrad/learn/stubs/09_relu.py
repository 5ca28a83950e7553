"""Exercise 09: relu, a function with a corner.

    y[i, j] = max(x[i, j], 0)

The simplest non-linearity of all: what is positive passes, what is negative
becomes 0. Given the upstream gradient gy, of the shape of y, return gx.

1. Where x is positive, y = x. How much of gy arrives at x?
2. Where x is negative, y = 0 whatever x does nearby. How much arrives?
3. At x = 0 there is a corner: from the left the slope is 0, from the right 1,
   and no number is *the* derivative. By convention (PyTorch's too) we take 0.

The checker knows about corners: what you return at one is not held against you.

Careful with the mask, the array that says where gy passes: it is the *input's*
sign that decides, not the upstream gradient's.

Check it:  python -m minigrad learn check relu
"""

import numpy as np


def forward(x):
    """y = max(x, 0), element by element; both of the shape (N, D)."""
    return np.maximum(x, 0)


def backward(gy, x):
    """Return gx, the gradient of the loss with respect to x, of the shape (N, D)."""
    raise NotImplementedError  # your derivation here
