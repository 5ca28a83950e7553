"""Exercise 33: a tensor that is used twice.

Let x be used in two places, u = f(x) and v = g(x), and the loss L depend on both.
If x grows by a little e, then u moves and v moves, and each of them moves L:

    dL/dx = ?        from   dL/du, dL/dv, du/dx, dv/dx

Try it on y = x * x, with the rule of multiplication y = a * b: ga = gy * b and
gb = gy * a. Both a and b are x. What must x get, so that the result is 2 x gy?

Below is a whole engine. Each Tensor remembers from which tensors it was made, and
a rule that turns its gradient into one share for each of them. `backward` visits
the tensors in an order in which each comes after all that use it (exercise 02).
One part is missing, `receive`: what becomes of a share when it arrives. Before the
walk every grad is None.

A trap: the rule of addition hands out one and the same array twice, and it is the
gradient of the sum as well. What happens to the others if you change it in place?

Check it:  python -m minigrad learn check accumulate
"""

import numpy as np


class Tensor:
    """An array, the tensors that it was made from, and the rule for the way back."""

    def __init__(self, array, inputs=(), rule=None):
        self.array, self.inputs, self.rule = np.asarray(array, dtype=float), inputs, rule
        self.grad = None  # dL/d(this), of the shape of the array

    def __add__(self, other):
        return Tensor(self.array + other.array, (self, other), lambda gy: (gy, gy))

    def __mul__(self, other):
        a, b = self.array, other.array
        return Tensor(a * b, (self, other), lambda gy: (gy * b, gy * a))


def backward_order(y):
    """Return y and all tensors that led to it, each after all that use it."""
    order, seen = [], set()

    def visit(tensor):
        if tensor not in seen:
            seen.add(tensor)
            for source in tensor.inputs:
                visit(source)
            order.append(tensor)

    visit(y)
    return order[::-1]


def receive(tensor, share):
    """Take in one share of a tensor's gradient: tensor.grad is None, or what came so far."""
    raise NotImplementedError  # your code here


def backward(y, gy):
    """Set the grad of y, which is gy, and of every tensor that led to y."""
    y.grad = gy
    for tensor in backward_order(y):
        if tensor.rule is None:
            continue  # a leaf: made from nothing
        for source, share in zip(tensor.inputs, tensor.rule(tensor.grad)):
            receive(source, share)
