"""Exercise 16: the matrix product.

A has the shape (N, K), B (K, M), and Y = A B has the shape (N, M):

    Y[n, m] = sum over k of A[n, k] * B[k, m]

You get gY, of the shape (N, M), and return gA, of the shape (N, K), and gB, of
the shape (K, M).

Do it with indices first, then see the matrices in it:

1. Which entries of Y does A[n, k] touch? All of row n. By how much does Y[n, m]
   grow if A[n, k] grows by e?
2. So gA[n, k] = sum over m of gY[n, m] * (what?). Which letter is summed over,
   and which matrix product sums over just that letter? One of the two factors
   has to be transposed for it.
3. The same for gB[k, m], which sums over n.

A check by shapes: of all products of gY with A or B only one each has the right
shape. But do not rely on it: for square matrices every shape fits.

Check it:  python -m minigrad learn check matmul
"""

import numpy as np


def forward(A, B):
    """Y = A B; A has the shape (N, K), B (K, M), Y (N, M)."""
    return A @ B


def backward(gY, A, B):
    """Return (gA, gB), of the shapes of A and B."""
    raise NotImplementedError  # your derivation here
