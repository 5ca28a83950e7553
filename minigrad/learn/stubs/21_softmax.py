"""Exercise 21: softmax.

Each row of z, of the shape (N, C), becomes C positive numbers that sum to 1:

    p[n, i] = e^z[n, i] / (e^z[n, 0] + ... + e^z[n, C-1])

All entries of a row depend on all others: raise one and the rest must fall. So
within a row there is a whole matrix of derivatives, dp_i/dz_j, the Jacobian.

1. For one row: differentiate p_i with respect to z_i, and to another z_j. Write
   both with p alone. (Take the logarithm first, ln p_i = z_i - ln(sum), if the
   rule for quotients gets long.)
2. gz_j = sum over i of gp_i * dp_i/dz_j. Put in what you found for i = j and for
   the others. You should be able to write it without building the matrix: a
   product, a sum over the row, a difference.
3. What is gz if gp is the same number for all i? Why must it be?

You are handed the output p, too.

Check it:  python -m minigrad learn check softmax
"""

import numpy as np


def forward(z):
    """p = softmax of each row of z; both of the shape (N, C)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))  # the largest taken out: no overflow
    return e / e.sum(axis=1, keepdims=True)


def backward(gp, z, p):
    """Return gz, of the shape (N, C); p is the output of the forward."""
    raise NotImplementedError  # your derivation here
