"""Exercise 06: powers.

Every entry of an array x of positive numbers is raised to a fixed power k, any
real number such as 3, 0.5 or -2:

    y[i, j] = x[i, j]^k

k is a constant: it has no gradient, and is handed to you by name. Given the
upstream gradient gy, of the shape of y, return the gradient of x.

1. Write down dy/dx for k = 2 and k = 3, then for any k.
2. For k = 1/2, y is the square root. What does your formula say there? Where
   would the slope be infinite?
3. For k = 1, y = x. Does your formula give gy back?

Check it:  python -m minigrad learn check pow
"""

import numpy as np


def forward(x, k):
    """y = x ** k, element by element; x > 0 and y have the shape (N, D), k is a number."""
    return x**k


def backward(gy, x, k):
    """Return gx, the gradient of the loss with respect to x, of the shape (N, D)."""
    raise NotImplementedError  # your derivation here
