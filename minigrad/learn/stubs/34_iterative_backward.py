"""Exercise 34: a walk without recursion.

A loop over a long text, or a sum of many terms, makes a deep graph:

    for step in range(100_000):
        y = y + x

The easy way to visit a graph is a function that calls itself for each source. But
Python stops at about 1000 calls inside one another, and raising that limit only
moves the end (and may crash Python). So: write the walk with loops alone, and with
a list of your own that says what is still to be visited.

Each Number has `sources`, pairs (number, slope): what it was made from, and its
derivative with respect to that. If y has the gradient gy, each source gets a share

    gy * slope,      and the shares of all its uses add up.

A list from which you take the last entry is soon written. But try it on

    a = x * x;   b = a + a;   c = a * b                (c = 2 x^4, so dc/dx = 8 x^3)

When may b pass its gradient on, and when may a? What becomes of x.grad if a goes too
early? How can the walk know how many shares each number is going to get?

Visit each number once. `x in some_list` looks through the whole list: on 100,000
numbers it takes minutes. A set or a dict answers at once.

Check it:  python -m minigrad learn check iterative_backward
"""


class Number:
    """A number that knows what it was made from."""

    def __init__(self, value, sources=()):
        self.value, self.sources = value, sources
        self.grad = 0.0  # d(result)/d(this), once backward has come by

    def __add__(self, other):
        return Number(self.value + other.value, [(self, 1.0), (other, 1.0)])

    def __mul__(self, other):
        pairs = [(self, other.value), (other, self.value)]
        return Number(self.value * other.value, pairs)


def backward(y):
    """Set the grad of y (1.0: dy/dy) and of every number that led to it, with loops alone."""
    raise NotImplementedError  # your code here
