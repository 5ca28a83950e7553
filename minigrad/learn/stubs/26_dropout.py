"""Exercise 26: dropout.

In training some entries of x are set to 0, each with probability p, drawn anew
at each step. A boolean array `keep` says which were not, and those are enlarged:

    y[n, d] = x[n, d] / (1 - p)   where keep[n, d] is True
    y[n, d] = 0                   where keep[n, d] is False

In the mean over many draws y is then x again: of 100 copies of an entry about
100 (1 - p) are kept, and each counts 1/(1 - p) times. So nothing has to be
changed when the network is used without dropout.

You get gy, of the shape of y, and return gx. `keep` is not a number that could
move by a little, and neither is p here: they have no gradient.

1. Write y as x times something that does not depend on x. What is the something
   for an entry that was kept, and what for one that was dropped?
2. If a dropped entry of x grows by e, how much does the loss grow?
3. Forward drew `keep` at random. May backward draw one of its own?

Check it:  python -m minigrad learn check dropout
"""

import numpy as np


def forward(x, keep, p):
    """y; x, keep and y have the shape (N, D), keep is boolean, p a number below 1."""
    return np.where(keep, x / (1 - p), 0.0)


def backward(gy, x, keep, p):
    """Return gx, the gradient of the loss with respect to x, of the shape (N, D)."""
    raise NotImplementedError  # your derivation here
