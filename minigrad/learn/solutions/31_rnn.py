"""Exercise 31: a recurrent network, through time.

A sequence x[0], x[1], ... is read step by step, and a state h is carried along.
At every step the same weights are used:

    a[t] = x[t] Wx + h[t-1] Wh + b          h[t] = tanh(a[t])

h[-1] is given as h0. With N sequences at once: x (T, N, I), h (T, N, H), h0
(N, H), Wx (I, H), Wh (H, H), b (H,).

All the h[t] are outputs. You get gh, of the shape (T, N, H), where gh[t] is what
the loss says about h[t] directly, and return gx, gWx, gWh, gb and gh0.

1. h[t] goes to two places. Which is the second? So the gradient of h[t] has two
   summands; which of them must be known before, and what follows for the order
   in which you go through the steps? Which step has one summand only?
2. From the gradient of h[t] to ga, that of a[t]: tanh. With which number is its
   derivative written?
3. From ga[t]: the gradients of x[t] and of h[t-1], by the matrix product's rule.
4. Wx, Wh and b are the same at every step. What happens to the T gradients that
   the steps give to each? And to the N that the sequences give to b?
5. What stands before step 0? (In Python h[-1] is something else.)

Check it:  python -m minigrad learn check rnn
"""

import numpy as np


def forward(x, Wx, Wh, b, h0):
    """h, of the shape (T, N, H): the states after each step."""
    h, state = np.empty((len(x), *h0.shape)), h0
    for t in range(len(x)):
        h[t] = state = np.tanh(x[t] @ Wx + state @ Wh + b)
    return h


def backward(gh, x, Wx, Wh, b, h0):
    """Return (gx, gWx, gWh, gb, gh0), of the shapes of x, Wx, Wh, b and h0."""
    h = forward(x, Wx, Wh, b, h0)
    gx, gWx, gWh, gb = [np.zeros_like(array) for array in (x, Wx, Wh, b)]
    later = np.zeros_like(h0)  # what the steps after t say about h[t]: nothing after the last
    for t in reversed(range(len(x))):
        before = h[t - 1] if t > 0 else h0
        ga = (gh[t] + later) * (1 - h[t] ** 2)
        gx[t] = ga @ Wx.T
        # The same weights at every step: add up.
        gWx += x[t].T @ ga
        gWh += before.T @ ga
        gb += ga.sum(axis=0)
        later = ga @ Wh.T
    return gx, gWx, gWh, gb, later
