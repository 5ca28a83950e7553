"""Exercise 03: addition.

Two arrays a and b of the same shape are added, element by element:

    y[i, j] = a[i, j] + b[i, j]

Behind y more is computed, and in the end a single number, the loss L. The
computation behind y has been walked through already, from its end to here, and
it hands you the upstream gradient gy, of the shape of y:

    gy[i, j] = dL/dy[i, j]

"If this entry of y grows by a little e, the loss grows by gy[i, j] * e."

Your backward passes that on. If a[i, j] grows by e, by how much does y[i, j]
grow, and by how much therefore L? And for b? Every backward in these exercises
has this form: it is given the gradient of what came out, and returns the
gradient of everything that went in, each of the shape of what went in.

Check it:  python -m minigrad learn check add
"""

import numpy as np


def forward(a, b):
    """y = a + b, element by element; a, b and y have the shape (N, D)."""
    return a + b


def backward(gy, a, b):
    """Return (ga, gb), the gradients of the loss with respect to a and b, each (N, D)."""
    raise NotImplementedError  # your derivation here
