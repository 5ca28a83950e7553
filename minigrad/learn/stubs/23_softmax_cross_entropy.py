"""Exercise 23: softmax with cross-entropy, the loss of classification.

N samples, C classes. The network gives logits z, of the shape (N, C), and the
right classes are `labels`, N whole numbers below C. The loss is the mean of
minus the logarithm of the probability given to the right class:

    p = softmax of each row of z
    L = -(1/N) * sum over n of ln p[n, labels[n]]

Return gz, of the shape (N, C). L is a single number, and so is gL. The labels are
whole numbers and have no gradient.

1. One sample with label t: L = -(ln p)_t. You know the gradient of ln p (exercise
   22). The upstream of ln p is -1 at t, and 0 elsewhere.
2. So what is gz_j for j = t, and for every other j? Say it in one formula with a
   row that has a 1 at t, and 0 elsewhere ("one-hot").
3. What do the entries of a row of gz sum to? When is a row nearly 0?

Check it:  python -m minigrad learn check softmax_cross_entropy
"""

import numpy as np


def softmax(z):
    """Softmax of each row of z, of the shape (N, C)."""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def forward(z, labels):
    """L = the mean of -ln p at the labels: a single number."""
    return -np.log(softmax(z)[np.arange(len(z)), labels]).mean()


def backward(gL, z, labels):
    """Return gz, of the shape (N, C); gL is a single number."""
    raise NotImplementedError  # your derivation here
