"""Exercise 32: attention.

T queries look something up in S places. Each place has a key, to be compared with
the query, and a value, which is what one gets there. One head:

    s[t, j] = (sum over d of Q[t, d] * K[j, d]) / sqrt(D)    how well they match
    P[t, :] = softmax of s[t, :]                             the weights, over j
    Y[t, e] = sum over j of P[t, j] * V[j, e]                the values' mean

Q (T, D), K (S, D), V (S, E), P (T, S), Y (T, E). With `causal` query t sees only
the places up to its own, j <= t: the other s[t, j] are set to minus infinity, so
that their weights are 0.

You get gY (T, E), and return gQ, gK and gV. Go back through the three lines:

1. Y = P V is a matrix product. So gV and gP?
2. The softmax, for one row t: P[t, j] depends on all of s[t, :]. What is
   dP[j]/ds[k] for j = k, and what for another j? Then gs[k] is a sum over j of
   gP[j] * dP[j]/ds[k]. It has two summands. Which axis does the sum inside the
   second run along, in the whole matrix?
3. s = Q K^T / sqrt(D) is a matrix product again: gQ and gK. Do not lose sqrt(D).
4. What has to be done for the mask? Look at what your gs is where P is 0.

Check it:  python -m minigrad learn check attention
"""

import numpy as np


def weights(Q, K, causal):
    """P, of the shape (T, S): each row adds up to 1; Q has the shape (T, D), K (S, D)."""
    s = Q @ K.T / np.sqrt(Q.shape[1])
    if causal:
        s = np.where(np.tri(*s.shape, dtype=bool), s, -np.inf)  # np.tri is 1 where j <= t
    powers = np.exp(s - s.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def forward(Q, K, V, causal):
    """Y, of the shape (T, E); V has the shape (S, E)."""
    return weights(Q, K, causal) @ V


def backward(gY, Q, K, V, causal):
    """Return (gQ, gK, gV), of the shapes of Q, K and V."""
    P = weights(Q, K, causal)
    gV = P.T @ gY
    gP = gY @ V.T
    # Softmax: raising s[k] raises P[k], and lowers all P[j] of its row in proportion.
    gs = P * (gP - (P * gP).sum(axis=1, keepdims=True))
    # Where P is 0 gs is, too: the mask needs no line of its own.
    gs = gs / np.sqrt(Q.shape[1])
    return gs @ K, gs.T @ Q, gV
