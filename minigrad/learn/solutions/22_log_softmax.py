"""Exercise 22: the logarithm of the softmax.

Losses need ln p more often than p, and computing it in one go is safer: where p
is rounded to 0, ln p would be minus infinity. For each row of z, shape (N, C):

    y[n, i] = ln p[n, i] = z[n, i] - ln(e^z[n, 0] + ... + e^z[n, C-1])

Return gz, of the shape (N, C), from gy, of the same shape. You are handed the
output y, too.

1. For one row: what is the derivative of ln(sum) with respect to z_j? You know
   this function.
2. So dy_i/dz_j = [i = j] - (what?), where [i = j] is 1 for i = j, else 0.
3. gz_j = sum over i of gy_i dy_i/dz_j. What is common to all i in the second
   part? It can be taken out of the sum. And how do you get p from y?

Check it:  python -m minigrad learn check log_softmax
"""

import numpy as np


def forward(z):
    """y = ln(softmax) of each row of z; both of the shape (N, C)."""
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def backward(gy, z, y):
    """Return gz, of the shape (N, C); y is the output of the forward."""
    # dy_i/dz_j = [i = j] - p_j, and p_j comes out of the sum over i.
    return gy - np.exp(y) * gy.sum(axis=1, keepdims=True)
