"""Exercise 18: the linear layer.

The layer that networks are built of. Each row of X is a sample:

    Y = X W^T + b          X (N, I), W (O, I), b (O,), Y (N, O)

(W is stored as (outputs, inputs), as in PyTorch, hence the transpose.)

You get gY, of the shape (N, O), and return gX, gW and gb.

It is made of what you have done: a matrix product, a transpose, a broadcast sum.

1. Let V = W^T. What are gX and gV by the rule of the matrix product? Then gW is
   gV, transposed back. Simplify until no transpose of a product is left.
2. b was copied to all N rows. So what is gb?
3. Is there a 1/N anywhere? The mean over the batch is in the loss, and is in gY
   already.

Check it:  python -m minigrad learn check linear
"""

import numpy as np


def forward(X, W, b):
    """Y = X W^T + b; X has the shape (N, I), W (O, I), b (O,), Y (N, O)."""
    return X @ W.T + b


def backward(gY, X, W, b):
    """Return (gX, gW, gb), of the shapes of X, W and b."""
    raise NotImplementedError  # your derivation here
