"""Exercise 17: many matrix products at once, with one shared factor.

NumPy's @ multiplies the last two axes, and treats all axes before as a stack:

    Y[b] = A[b] @ W             A (B, N, K), W (K, M), Y (B, N, M)

Every A[b] has its own product, but the same W stands in all of them: it was
broadcast over the batch.

Return gA, of the shape (B, N, K), and gW, of the shape (K, M).

1. For one b you know both gradients from the exercise before.
2. gA: nothing is shared. What is the transpose of a matrix in a stack? Not .T,
   which turns all axes around.
3. gW: the same W is in B products. What happens to its B gradients?

Check it:  python -m minigrad learn check batched_matmul
"""

import numpy as np


def forward(A, W):
    """Y = A W; A has the shape (B, N, K), W (K, M), Y (B, N, M)."""
    return A @ W


def backward(gY, A, W):
    """Return (gA, gW), of the shapes of A and W."""
    # Each product has its own A; the one W is in all of them, so its gradients are summed.
    return gY @ W.T, (np.swapaxes(A, 1, 2) @ gY).sum(axis=0)
