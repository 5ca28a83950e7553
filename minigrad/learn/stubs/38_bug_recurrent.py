"""Exercise 38: find the bug, two steps of a recurrent network.

A recurrent network reads a sequence, and carries a state h along. Here are two
steps of it, for a batch of N sequences, with states of D numbers:

    h1 = tanh(x1 + h0 W),        h2 = tanh(x2 + h1 W)

The same W is used in both steps. `backward` gets gh2, the gradient of h2, and goes
back through the two steps. Whoever wrote it tried it with N = 4 and D = 4. It ran
at once, and all shapes were right. Run the check: it shows the numbers.

Go back along the walk from gh2. Which of the gradients are right, and which is the
first that is not? For that one write down a single entry with its sum:

    h1[n, i] moves every x2[n, j] + (h1 W)[n, j], by W[i, j]

Would the code run with N = 3 and D = 5?

Check it:  python -m minigrad learn check bug_recurrent
"""

import numpy as np


def forward(x1, x2, h0, W):
    """Return h2; x1, x2, h0 and h2 are of the shape (N, D), W is (D, D)."""
    h1 = np.tanh(x1 + h0 @ W)
    return np.tanh(x2 + h1 @ W)


def backward(gh2, x1, x2, h0, W):
    """Return (gx1, gx2, gh0, gW), the gradients of the loss, each of the shape of its input."""
    h1 = np.tanh(x1 + h0 @ W)
    h2 = np.tanh(x2 + h1 @ W)

    gx2 = gh2 * (1 - h2 * h2)
    gh1 = gx2 * W.T
    gx1 = gh1 * (1 - h1 * h1)
    gh0 = gx1 @ W.T
    gW = h1.T @ gx2 + h0.T @ gx1
    return gx1, gx2, gh0, gW
