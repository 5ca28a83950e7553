"""Exercise 01: central difference.

A derivative can be tried out without knowing any formula: move x by a little,
and look how far f moves. Two ways to do it, with a small step h:

    forward difference:   (f(x + h) - f(x)) / h
    central difference:   the same idea, but looking to both sides of x

Expand f by Taylor's formula:

    f(x + h) = f(x) + f'(x) h + f''(x) h^2 / 2 + f'''(x) h^3 / 6 + ...
    f(x - h) = f(x) - f'(x) h + f''(x) h^2 / 2 - f'''(x) h^3 / 6 + ...

The error of the forward difference is about f''(x) h / 2. Combine the two lines
so that f(x) *and* the term with f'' drop out: what is left is wrong by about
f'''(x) h^2 / 6 only. That is the ruler with which every gradient that you will
write in these exercises is measured.

`derivative` takes a function of one number. `gradient` takes a function of an
array x, which gives one number: move one entry of x at a time, leave the others
where they are, and leave x itself as you found it. The loop is there already.

Check it:  python -m minigrad learn check central_difference
"""

import numpy as np


def derivative(f, x, h=1e-3):
    """Return the central difference of f at the number x, with the step h."""
    raise NotImplementedError  # your code here


def gradient(f, x, h=1e-3):
    """Return the central differences of f at the array x, one for each entry: x's shape."""
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        step = np.zeros_like(x)
        step[index] = h  # so x + step is x with this one entry moved
        raise NotImplementedError  # result[index] = ...
    return result
