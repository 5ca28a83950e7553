"""Exercise 37: find the bug, a step of training.

A network with one hidden layer, the mean squared error, and one step of gradient
descent, all by hand:

    h = tanh(x W1 + b1),     y = h W2 + b2,     L = mean((y - t)^2)

    each weight  w  becomes  w - lr * dL/dw      (all four of them)

It runs, and the loss falls. Every formula in it is one that you know, and each of
them is right. Still, after one step two of the four weights are not where the
formulas say, and by more the larger the learning rate lr is. Run the check: it
shows the numbers.

Where does each dL/dw have to be taken? Go through `step` line by line and say, for
each line, which value every name has at that moment.

Check it:  python -m minigrad learn check bug_training_step
"""

import numpy as np


def step(p, x, t, lr):
    """Take one step of gradient descent; put new weights into p, return the loss before it.

    p holds W1 (D, H), b1 (H,), W2 (H, K) and b2 (K,); x is (N, D), t is (N, K).
    """
    h = np.tanh(x @ p["W1"] + p["b1"])
    y = h @ p["W2"] + p["b2"]
    loss = np.mean((y - t) ** 2)

    gy = 2 * (y - t) / y.size
    p["W2"] = p["W2"] - lr * (h.T @ gy)
    p["b2"] = p["b2"] - lr * gy.sum(axis=0)

    gh = gy @ p["W2"].T
    ga = gh * (1 - h * h)  # a = x W1 + b1, and the derivative of tanh is 1 - tanh^2
    p["W1"] = p["W1"] - lr * (x.T @ ga)
    p["b1"] = p["b1"] - lr * ga.sum(axis=0)
    return loss
