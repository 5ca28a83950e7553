"""Exercise 19: the mean squared error.

The loss of regression. Predictions p and targets t, both of the shape (N, D):

    L = (1 / (N D)) * sum over i, j of (p[i, j] - t[i, j])^2

L is a single number. It is usually the last thing computed, with gL = 1, but not
always: it may be one of two losses that are added with weights. So multiply by
gL, whatever it is.

Return gp and gt, both of the shape (N, D). (The targets are data and need no
gradient in training; here they get one all the same.)

1. Differentiate a single square (p - t)^2 with respect to p, and to t.
2. Then the mean: how many entries are there?

Check it:  python -m minigrad learn check mse
"""

import numpy as np


def forward(p, t):
    """L = the mean over all entries of (p - t)^2; a single number."""
    return ((p - t) ** 2).mean()


def backward(gL, p, t):
    """Return (gp, gt), both of the shape (N, D); gL is a single number."""
    raise NotImplementedError  # your derivation here
