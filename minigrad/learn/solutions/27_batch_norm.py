"""Exercise 27: batch normalization.

Each column of x is brought to mean 0 and variance 1, over the N samples of the
batch, then scaled and moved by two learned vectors. For column d:

    mean[d] = (1/N) * sum over n of x[n, d]
    var[d]  = (1/N) * sum over n of (x[n, d] - mean[d])^2
    z[n, d] = (x[n, d] - mean[d]) * r[d]          r[d] = 1 / sqrt(var[d] + eps)
    y[n, d] = gamma[d] * z[n, d] + beta[d]

You get gy (N, D), and return gx (N, D), ggamma (D,) and gbeta (D,).

1. gbeta: beta was copied to all N rows. ggamma: the same, after the product
   with z. Then gz.
2. x[n, d] reaches the loss in three ways: directly through z[n, d], through
   mean[d] and through var[d], which stand in every sample of the column. So gx
   has three summands. Take one column and find dz[m]/dx[n] by three parts:
   mean and var held fixed (only m = n), mean moved alone, var moved alone.
3. Does moving the mean move the variance, at first order? What is the sum of
   x[n] - mean over a column?
4. Write all three with gz, z and r, and factor r out. If you add the same number
   to a whole column of x, y stays the same. What does that say about the sum of
   a column of gx? Does yours agree?

Check it:  python -m minigrad learn check batch_norm
"""

import numpy as np


def forward(x, gamma, beta, eps):
    """y, of the shape (N, D) of x; gamma and beta have the shape (D,), eps is a number."""
    mean, var = x.mean(axis=0), x.var(axis=0)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def backward(gy, x, gamma, beta, eps):
    """Return (gx, ggamma, gbeta), of the shapes of x, gamma and beta."""
    r = 1 / np.sqrt(x.var(axis=0) + eps)
    z = (x - x.mean(axis=0)) * r
    ggamma = (gy * z).sum(axis=0)
    gbeta = gy.sum(axis=0)
    gz = gy * gamma
    # Directly, through the mean (the same for the whole column), and through the variance
    # (along z: an entry far from the mean moves the variance most).
    gx = r * (gz - gz.mean(axis=0) - z * (gz * z).mean(axis=0))
    return gx, ggamma, gbeta
