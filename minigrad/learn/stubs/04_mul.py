"""Exercise 04: multiplication.

Two arrays a and b of the same shape are multiplied, element by element:

    y[i, j] = a[i, j] * b[i, j]

Somewhere behind y stands a loss L, a single number. You are handed the upstream
gradient gy, of the shape of y: gy[i, j] is dL/dy[i, j], how much L changes when
that one entry of y changes by a little.

Question: how much does L change when one entry of a changes by a little? And
when one entry of b does? By the chain rule,

    dL/da[i, j] = dL/dy[i, j] * dy[i, j]/da[i, j]

So write down dy/da and dy/db for a single entry first. What do you hold fixed
while a moves? Then say it for whole arrays. In calculus both stand in one
formula, the product rule. Which half of it belongs to a?

Check it:  python -m minigrad learn check mul
"""

import numpy as np


def forward(a, b):
    """y = a * b, element by element; a, b and y have the shape (N, D)."""
    return a * b


def backward(gy, a, b):
    """Return (ga, gb), the gradients of the loss with respect to a and b, each (N, D)."""
    raise NotImplementedError  # your derivation here
