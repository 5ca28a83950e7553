"""Exercise 28: layer normalization.

Batch norm looks down the columns, layer norm along the rows: each sample is
normalized by its own D entries, and no sample sees another. For row n:

    mean[n] = (1/D) * sum over d of x[n, d]
    var[n]  = (1/D) * sum over d of (x[n, d] - mean[n])^2
    z[n, d] = (x[n, d] - mean[n]) * r[n]          r[n] = 1 / sqrt(var[n] + eps)
    y[n, d] = gamma[d] * z[n, d] + beta[d]

gamma and beta still have one entry for each column. You get gy (N, D), and
return gx (N, D), ggamma (D,) and gbeta (D,).

1. gamma and beta were copied along which axis? So over which are their gradients
   summed? Is it the axis that was normalized?
2. gz, the gradient of z, is a product. Of what?
3. Within one row every x reaches every z: directly, through mean[n] and through
   var[n]. Moving one x by e moves the mean by e/D. By how much the variance?
   Derive the three summands of gx for one row.
4. The trap: gamma varies along the row now. Where does it stand, inside the
   means or before them? (In batch norm it made no difference. Why?)

Check it:  python -m minigrad learn check layer_norm
"""

import numpy as np


def forward(x, gamma, beta, eps):
    """y, of the shape (N, D) of x; gamma and beta have the shape (D,), eps is a number."""
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + eps) + beta


def backward(gy, x, gamma, beta, eps):
    """Return (gx, ggamma, gbeta), of the shapes of x, gamma and beta."""
    raise NotImplementedError  # your derivation here
