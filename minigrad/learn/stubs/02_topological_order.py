"""Exercise 02: topological order.

A computation leaves a graph behind: which value was computed from which others.
Here it is a dict, with the list of its inputs for each value. For example

    a = x * x                       inputs = {"x": [],
    b = a + a                                 "a": ["x", "x"],
    c = a * b                                 "b": ["a", "a"],
                                              "c": ["a", "b"]}

Backpropagation starts at the result, c, and goes back. A value receives a share
of its gradient from everything that uses it. It passes its gradient on once, when
all its shares have come. Do it by hand: c hands shares to a and to b. Who may go
next, a or b? If the other one went, what would x be missing in the end?

So every value has to stand *after everything that uses it*. Return such an order:

- the result comes first, and each value comes once, however often it is used;
- only values that the result depends on are in it: no gradient reaches the others;
- several orders may be right, and each of them is accepted;
- `inputs` is left as it is.

After twenty doublings (b = a + a, c = b + b, ...) there are 2^20 ways from the
result back to a, but only 21 values. Do not walk along each of the ways.

Check it:  python -m minigrad learn check topological_order
"""


def topological_order(inputs, result):
    """Return a list of names, the result first, each name after all names that use it."""
    raise NotImplementedError  # your code here
