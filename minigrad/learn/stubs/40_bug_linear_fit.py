"""Exercise 40: find the bug, a loss that falls too far.

A linear layer, y = x W + b, is fitted to data: K targets for each of N samples. The
loss is the mean squared error, and gradient descent finds W and b:

    L = sum over n, k of (y[n, k] - t[n, k])^2 / (N K)

The targets contain noise, which no straight line can follow. So the loss should
come down to the level of the noise and stay there. It does not: it falls to almost
zero. And then the trained layer cannot be used: ask it about one new sample, and it
gives N answers. Run the check: it shows the numbers.

The same b is used for every sample: b[k] moves y[0, k] and y[1, k] and all the
others. What does that mean for dL/db[k]? And why was there no error message?

Check it:  python -m minigrad learn check bug_linear_fit
"""

import numpy as np


def gradients(x, t, W, b):
    """Return (gW, gb), the gradients of the loss; x is (N, D), t (N, K), W (D, K), b (K,)."""
    y = x @ W + b
    gy = 2 * (y - t) / y.size
    gW = x.T @ gy
    gb = gy
    return gW, gb


def fit(x, t, lr=0.2, steps=500):
    """Return W and b after training from zero."""
    W, b = np.zeros((x.shape[1], t.shape[1])), np.zeros(t.shape[1])
    for _ in range(steps):
        gW, gb = gradients(x, t, W, b)
        W = W - lr * gW
        b = b - lr * gb
    return W, b
