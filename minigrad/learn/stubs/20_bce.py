"""Exercise 20: binary cross-entropy, from probabilities and from logits.

N answers of yes or no: targets t[n], 1 or 0. A network says with which
probability p[n] it is yes. The loss is the mean of -ln of the probability that
it gave to the answer which was right:

    L = -(1/N) * sum over n of  t[n] ln(p[n]) + (1 - t[n]) ln(1 - p[n])

1. Differentiate with respect to p[n] (exercise 7 has the logarithm). Bring it to
   one fraction: the numerator is simple.

A network's last layer gives any number z, a "logit", and p = sigmoid(z). So

    L(z) = the L above, with p[n] = 1 / (1 + e^-z[n])

2. By the chain rule gz = gp * dp/dz. Put in what you know about the sigmoid
   (exercise 8). Something wonderful cancels. What is left?
3. What happens to the first formula where p is nearly 0 or 1, and to the second?
   That is why losses take logits.

The targets are data; return the gradient of p, or of z, alone.

Check it:  python -m minigrad learn check bce
"""

import numpy as np


def forward_probabilities(p, t):
    """L from probabilities p between 0 and 1, and targets t of 0 and 1; both of shape (N,)."""
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))


def backward_probabilities(gL, p, t):
    """Return gp, of the shape (N,); gL is a single number."""
    raise NotImplementedError  # your derivation here


def forward_logits(z, t):
    """L from logits z, any numbers, and targets t of 0 and 1; both of shape (N,)."""
    return np.mean(np.maximum(z, 0) - t * z + np.log1p(np.exp(-abs(z))))  # does not overflow


def backward_logits(gL, z, t):
    """Return gz, of the shape (N,); gL is a single number."""
    raise NotImplementedError  # your derivation here
