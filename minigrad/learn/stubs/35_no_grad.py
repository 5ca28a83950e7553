"""Exercise 35: computing without recording.

Each operation leaves a record behind: the result's `sources`, for the way back.
Not everything wants a way back. When a trained network only answers questions, the
records fill the memory for nothing. And a step of training is worse:

    w = w - lr * g          recorded, the new w hangs on the old one, that on the
                            one before: no memory is ever given back

So recording can be switched off for a while:

    with no_grad():         # calls __enter__ of the no_grad object
        y = x * x           # computed as usual, but y.sources is ()
                            # at the end of the block: calls __exit__

Python calls __exit__ in any case, also if an exception leaves the block. (If
__exit__ returns True, the exception is swallowed. Should it be?)

Write `record`, which every operation calls for its result, and the two halves of
`no_grad`. Ask yourself for the second half: a function that uses no_grad inside is
itself called inside a no_grad block. What is the mode at the end of the inner
block, and so, what has __enter__ to remember?

Check it:  python -m minigrad learn check no_grad
"""


class Mode:
    """Whether operations are recorded: one switch for all, Mode.recording."""

    recording = True


class Number:
    """A number, and what it was made from: pairs (number, slope)."""

    def __init__(self, value, sources=()):
        self.value, self.sources = value, sources

    def __add__(self, other):
        return record(self.value + other.value, ((self, 1.0), (other, 1.0)))

    def __mul__(self, other):
        return record(self.value * other.value, ((self, other.value), (other, self.value)))


def record(value, sources):
    """Return a Number of this value, with its sources only while the mode is to record."""
    raise NotImplementedError  # your code here


class no_grad:
    """``with no_grad():`` nothing in the block is recorded."""

    def __enter__(self):
        raise NotImplementedError  # your code here

    def __exit__(self, kind, error, traceback):
        raise NotImplementedError  # your code here
