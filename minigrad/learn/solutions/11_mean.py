"""Exercise 11: means.

Two means of x, of the shape (N, D):

    y    = (1 / (N D)) * the sum of all entries of x             a single number
    m[j] = (1 / N) * (x[0, j] + ... + x[N-1, j])                 shape (D,)

Nearly every loss ends in the first kind: the mean over a batch. The second, a
mean for each column, is the first step of batch normalization.

For y the upstream gradient gy is a single number; for m it is gm, of shape (D,).
Return gx, of the shape (N, D).

1. If one entry of x grows by e, by how much does y grow? And m[j]?
2. So how is gy shared out among all entries of x?
3. Add up all entries of your gx for the first kind. What must come out, and why?

Check it:  python -m minigrad learn check mean
"""

import numpy as np


def forward_all(x):
    """y = the mean of all entries of x, which has the shape (N, D)."""
    return x.mean()


def backward_all(gy, x):
    """Return gx, of the shape (N, D); gy is a single number."""
    # Every entry moves y by 1/(N D) of its own move.
    return np.full(x.shape, gy / x.size)


def forward_columns(x):
    """m = the mean of each column of x: shape (D,)."""
    return x.mean(axis=0)


def backward_columns(gm, x):
    """Return gx, of the shape (N, D); gm has the shape (D,)."""
    # Every entry moves its column's mean by 1/N of its own move.
    return np.broadcast_to(gm / x.shape[0], x.shape)
