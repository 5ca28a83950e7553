"""Exercise 05: subtraction and division.

Two more operators, element by element, on arrays of the shape (N, D):

    d[i, j] = a[i, j] - b[i, j]            q[i, j] = a[i, j] / b[i, j]

As always you are handed the upstream gradient of the result (dL/dd or dL/dq),
and return the gradients of both inputs, of their shapes.

For each of the four derivatives hold one input fixed and move the other:

1. d: what are dd/da and dd/db?
2. q with b fixed: q is a times a constant. Which constant?
3. q with a fixed: q = a * b^(-1). The power rule says d(b^k)/db = k b^(k-1).
   So what is dq/db? Is it positive or negative where a and b are positive, and
   does that fit what dividing by more does?

The derivative with respect to b can be written with a and b, or shorter, with q.

Check it:  python -m minigrad learn check sub_div
"""

import numpy as np


def forward_sub(a, b):
    """d = a - b; all of the shape (N, D)."""
    return a - b


def backward_sub(gd, a, b):
    """Return (ga, gb), the gradients of the loss with respect to a and b, each (N, D)."""
    raise NotImplementedError  # your derivation here


def forward_div(a, b):
    """q = a / b; all of the shape (N, D), and b is nowhere 0."""
    return a / b


def backward_div(gq, a, b):
    """Return (ga, gb), the gradients of the loss with respect to a and b, each (N, D)."""
    raise NotImplementedError  # your derivation here
