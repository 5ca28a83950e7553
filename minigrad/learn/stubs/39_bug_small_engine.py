"""Exercise 39: find the bug, a small engine.

Here is an engine for single numbers, in the style in which many people write their
first one. Each operation leaves a function behind, `give_back`, which hands the
gradient of the result to what it was made from. `backward` calls those functions in
an order in which each number comes after all that use it (exercise 02).

Its author tried  tanh(w * x + b)  and  x * x + x.  All gradients were right. So it
was put into a network in which a connection leads past the tanh,  u + tanh(u)  with
u = w * x,  and that did not learn. Run the check: it shows for which formulas dy/dx
is right.

What do the formulas that fail have in common, which those that are right have not?
Take the smallest one that fails and follow x.grad through the walk, line by line.

Check it:  python -m minigrad learn check bug_small_engine
"""

import math


class Number:
    """A number, its gradient, and how to hand that on to its sources."""

    def __init__(self, value, sources=()):
        self.value, self.sources, self.grad = value, sources, 0.0
        self.give_back = lambda: None  # a leaf has nobody to give to

    def __add__(self, other):
        y = Number(self.value + other.value, (self, other))

        def give_back():
            self.grad += y.grad
            other.grad += y.grad

        y.give_back = give_back
        return y

    def __mul__(self, other):
        y = Number(self.value * other.value, (self, other))

        def give_back():
            self.grad += y.grad * other.value
            other.grad += y.grad * self.value

        y.give_back = give_back
        return y

    def tanh(self):
        """Return the hyperbolic tangent; its derivative is 1 - tanh^2."""
        y = Number(math.tanh(self.value), (self,))

        def give_back():
            self.grad = y.grad * (1 - y.value * y.value)

        y.give_back = give_back
        return y


def backward(y):
    """Set the grad of y (1.0) and of every number that led to it; before, all are 0."""
    order, seen = [], set()

    def visit(number):
        if number not in seen:
            seen.add(number)
            for source in number.sources:
                visit(source)
            order.append(number)

    visit(y)
    y.grad = 1.0
    for number in reversed(order):
        number.give_back()
