"""Exercise 15: indexing and embeddings.

A table E has one row for each of V words, each row D numbers: a word's
"embedding". A text is an array of word numbers, and its words are looked up:

    y[t] = E[words[t]]            words of shape (T,), y of shape (T, D)

The same word may stand in the text several times, others not at all.

You get gy, of the shape (T, D), and return gE, of the shape (V, D). The words
are whole numbers: they have no gradient.

1. Which rows of y change when row 3 of E changes?
2. So what is row 3 of gE, if the word 3 stands at t = 1 and at t = 4? And what
   is it for a word that does not occur?
3. The trap is NumPy's. After g[words] += gy a row that was named twice has been
   added only once: g[words] is read, added to, and written back, and the second
   writing overwrites the first. Try g = np.zeros(2); g[[0, 0]] += 1.

Check it:  python -m minigrad learn check indexing_embedding
"""

import numpy as np


def forward(E, words):
    """y = the rows of E, of shape (V, D), with the numbers `words`, of shape (T,)."""
    return E[words]


def backward(gy, E, words):
    """Return gE, the gradient of the loss with respect to E, of the shape (V, D)."""
    # A row that was looked up twice was copied twice, so both gradients arrive there.
    gE = np.zeros_like(E)
    np.add.at(gE, words, gy)
    return gE
