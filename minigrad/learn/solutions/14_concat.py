"""Exercise 14: concatenation.

Arrays are put side by side along an axis:

    y = [a, b, c]        axis=1: a (N, A), b (N, B), c (N, C), y (N, A + B + C)
                         axis=0: a (A, D), b (B, D), c (C, D), y (A + B + C, D)

Every entry of y comes from exactly one entry of one of them. Return the three
gradients, each of the shape of its input.

1. Which columns of y come from b? From which column on, up to which?
2. What is then gb, written with gy?

Networks do this where a shortcut meets a main path, or where features of two
kinds are joined. Note what a gradient that is shared out cannot do: it is not
divided among the inputs. Each part gets its own.

Check it:  python -m minigrad learn check concat
"""

import numpy as np


def forward(a, b, c, axis):
    """y = a, b and c, one after the other along the axis 0 or 1."""
    return np.concatenate([a, b, c], axis=axis)


def backward(gy, a, b, c, axis):
    """Return (ga, gb, gc), each of the shape of its input."""
    # Every entry of y comes from one entry of one input: cut gy where they were joined.
    A, B = a.shape[axis], b.shape[axis]
    return tuple(np.split(gy, [A, A + B], axis=axis))
