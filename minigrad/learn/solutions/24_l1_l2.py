"""Exercise 24: L1 and L2, as penalties and in between.

Two penalties on weights w, of the shape (O, I), each with a strength s:

    L1 = s * sum of |w|                 drives small weights to exactly 0
    L2 = (s / 2) * sum of w^2           shrinks all weights in proportion

and a loss that is both, the Huber loss of predictions p against targets t, of
the shape (N,). With e = p - t, and d > 0 a number handed to you:

    H = the mean over n of   e^2 / 2              where |e| <= d
                             d (|e| - d / 2)      where |e| >  d

1. What is the slope of |w| left and right of 0? (At 0 itself take 0.)
2. What is the 1/2 in L2 good for?
3. Huber: differentiate both branches. Do they meet at |e| = d? What does it do to
   a sample with a huge error that the squared error does not?

Each result is a single number; gL is its upstream gradient. t is data.

Check it:  python -m minigrad learn check l1_l2
"""

import numpy as np


def forward_l1(w, s):
    """L1 = s * sum of |w|."""
    return s * abs(w).sum()


def backward_l1(gL, w, s):
    """Return gw, of the shape of w."""
    # The slope of |w| is the sign of w.
    return gL * s * np.sign(w)


def forward_l2(w, s):
    """L2 = s / 2 * sum of w^2."""
    return s / 2 * (w**2).sum()


def backward_l2(gL, w, s):
    """Return gw, of the shape of w."""
    # The power 2 comes down, and the 1/2 takes it away.
    return gL * s * w


def forward_huber(p, t, d):
    """H = the Huber loss of p against t, both of the shape (N,), with the threshold d."""
    e = abs(p - t)
    return np.where(e <= d, e**2 / 2, d * (e - d / 2)).mean()


def backward_huber(gL, p, t, d):
    """Return gp, of the shape (N,)."""
    # Near, the slope is e; far, it is d with the sign of e: e held between -d and d.
    return gL * np.clip(p - t, -d, d) / len(p)
