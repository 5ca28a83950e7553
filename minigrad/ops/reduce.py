"""Many numbers to few: sums, means, variances, and the largest and smallest.

Before this: ``shape.py``. Next: ``linalg.py``.
"""

from __future__ import annotations

from ..autograd import Function


class Amax(Function):
    """y = the largest along some axes (kept, with size 1);  gy is shared evenly among ties."""

    saves_output = True

    def forward(self, x, *, axes):
        self.axes = axes
        return x.max(axis=axes, keepdims=True)

    def backward(self, gy):
        (x,) = self.inputs
        ties = (x == self.output.detach()) | x.isnan()  # where one is NaN, so is the largest
        ties = ties.to(gy.dtype)  # piecewise constant in x
        return ties * (gy / ties.sum(self.axes, keepdim=True))


class Amin(Amax):
    """y = the smallest along some axes (kept, with size 1);  gy is shared evenly among ties."""

    def forward(self, x, *, axes):
        self.axes = axes
        return x.min(axis=axes, keepdims=True)


class Cumsum(Function):
    """y_i = x_1 + ... + x_i along an axis;  gx_i = gy_i + ... + gy_n, summed from the end."""

    reads_inputs = False

    def forward(self, x, *, axis):
        self.axis = axis
        return x.cumsum(axis=axis)

    def backward(self, gy):
        return gy.flip(self.axis).cumsum(self.axis).flip(self.axis)
