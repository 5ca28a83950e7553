"""Exercise 07: exponential and logarithm.

Element by element, on arrays of the shape (N, D):

    y[i, j] = e^x[i, j]            z[i, j] = ln(x[i, j])     (there x > 0)

e^x is the function that is its own derivative. Nothing has to be computed
twice: what the forward computed can be used again, so `backward_exp` is handed
the forward's output y besides x.

The logarithm undoes the exponential: ln(e^x) = x. Differentiate both sides by
the chain rule to find the derivative of ln at the point e^x, or read it off a
table. Sketch it: is ln steep or flat near 0? And far out?

Check it:  python -m minigrad learn check exp_log
"""

import numpy as np


def forward_exp(x):
    """y = e^x; both of the shape (N, D)."""
    return np.exp(x)


def backward_exp(gy, x, y):
    """Return gx for y = e^x, of the shape (N, D); y is the output of the forward."""
    # e^x is its own derivative, and the forward has computed it already.
    return gy * y


def forward_log(x):
    """z = ln(x) of positive x; both of the shape (N, D)."""
    return np.log(x)


def backward_log(gz, x):
    """Return gx for z = ln(x), of the shape (N, D)."""
    # ln(e^u) = u, so ln' at x = e^u times e^u is 1: ln' is 1 / x. Steep near 0, flat far out.
    return gz / x
