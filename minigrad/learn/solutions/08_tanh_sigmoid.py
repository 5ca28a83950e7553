"""Exercise 08: tanh and sigmoid.

Two functions that squeeze every number into a range, element by element:

    t = tanh(x) = (e^x - e^-x) / (e^x + e^-x)             between -1 and 1
    s = sigmoid(x) = 1 / (1 + e^-x)                       between  0 and 1

Both derivatives can be written with the output alone, without another
exponential. Find them:

1. sigmoid: let u = 1 + e^-x, so s = u^(-1). Chain rule: ds/dx = ds/du * du/dx.
   Then note that e^-x = u - 1, and write everything with s.
2. tanh: use the rule for a quotient. The numerator's derivative is the
   denominator, and the other way round. Divide by the denominator squared.

Where are the slopes largest, and how large is that of the sigmoid there? What
happens to a gradient that passes through ten sigmoids?

Check it:  python -m minigrad learn check tanh_sigmoid
"""

import numpy as np


def forward_tanh(x):
    """t = tanh(x); both of the shape (N, D)."""
    return np.tanh(x)


def backward_tanh(gt, x, t):
    """Return gx for t = tanh(x), of the shape (N, D); t is the output of the forward."""
    # The quotient rule leaves 1 minus the quotient squared, and the quotient is t.
    return gt * (1 - t**2)


def forward_sigmoid(x):
    """s = sigmoid(x); both of the shape (N, D)."""
    return 1 / (1 + np.exp(-x))


def backward_sigmoid(gs, x, s):
    """Return gx for s = sigmoid(x), of the shape (N, D); s is the output of the forward."""
    # Of e^-x / (1 + e^-x)^2 one factor is s, and the other is 1 - s.
    return gs * s * (1 - s)
