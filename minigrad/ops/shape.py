"""Moving numbers about: broadcast and its sum, reshape, transpose, index, concatenate, pad.

These ops compute nothing, so their derivatives only move gradients back to where the numbers
came from. They come in pairs, each the other's derivative:

- `BroadcastTo` copies, `SumTo` sums the copies: *copying forward is summing backward*;
- `Index` takes entries out, `IndexAdd` adds them in where they came from;
- `Reshape` and `Transpose` undo themselves.

Before this: ``elementwise.py``. Next: ``reduce.py``.
"""

from __future__ import annotations

from itertools import accumulate

from .. import backend
from ..autograd import Function

# ------------------------------------------------------------------- copying and summing


class BroadcastTo(Function):
    """y = x copied along new axes and axes of size 1;  gx = the sum of gy over the copies."""

    reads_inputs, is_view = False, True

    def forward(self, x, *, shape):
        self.x_shape = x.shape
        return self.xp.broadcast_to(x, shape)

    def backward(self, gy):
        return SumTo.apply(gy, shape=self.x_shape)


class SumTo(Function):
    """y = x summed down to a shape that broadcasts to x's;  gx = gy copied back."""

    reads_inputs = False

    def forward(self, x, *, shape):
        self.x_shape = x.shape
        if not shape:
            return x.sum()
        new = x.ndim - len(shape)
        axes = [new + i for i, size in enumerate(shape) if size == 1 != x.shape[new + i]]
        return x.sum(axis=(*range(new), *axes)).reshape(shape)

    def backward(self, gy):
        return BroadcastTo.apply(gy, shape=self.x_shape)


class MeanTo(SumTo):
    """y = x averaged down to a shape that broadcasts to x's;  gx = gy / n copied back."""

    def forward(self, x, *, shape):
        y = super().forward(x, shape=shape)
        self.n = x.size // max(y.size, 1)  # how many numbers each mean is of
        return y / self.n

    def backward(self, gy):
        return super().backward(gy / self.n)

    def fast_backward(self, gy):
        return self.xp.broadcast_to(gy / self.n, self.x_shape)


# ------------------------------------------------------------------- the same numbers, seen anew


class Reshape(Function):
    """y = x with other axes, in the same order;  gx = gy reshaped back."""

    reads_inputs = False

    def forward(self, x, *, shape):
        self.x_shape = x.shape
        y = x.reshape(shape)  # a view where the layout allows it
        self.is_view = x.flags.c_contiguous or self.xp.may_share_memory(x, y)
        return y

    def backward(self, gy):
        return Reshape.apply(gy, shape=self.x_shape)


class Transpose(Function):
    """y = x with its axes in another order;  gx = gy with the order undone."""

    reads_inputs, is_view = False, True

    def forward(self, x, *, axes):
        self.axes = axes
        return x.transpose(axes)

    def backward(self, gy):
        return Transpose.apply(gy, axes=tuple(map(self.axes.index, range(len(self.axes)))))


# --------------------------------------------------------------------- taking out, adding in


class Index(Function):
    """y = x[key];  gx = zeros with gy added in at key."""

    reads_inputs = False

    def forward(self, x, *, key):
        self.x_shape, self.key = x.shape, key
        parts = key if isinstance(key, tuple) else (key,)
        self.is_view = not any([backend.is_array(p) or isinstance(p, bool) for p in parts])
        if self.is_view:
            return x[key] if ... in parts else x[(*parts, ...)]  # NumPy's x[0] may be a scalar
        if self.needs_input_grad[0]:  # the user may change the index later
            self.key = tuple([p.copy() if backend.is_array(p) else p for p in parts])
        return x[key]

    def backward(self, gy):
        return IndexAdd.apply(gy, key=self.key, shape=self.x_shape)


class IndexAdd(Function):
    """y = zeros, with x added in at key (an entry named twice gets both);  gx = gy[key]."""

    reads_inputs = False

    def forward(self, x, *, key, shape):
        self.key = key
        return self.kernels.index_add(shape, key, x)

    def backward(self, gy):
        return Index.apply(gy, key=self.key)


class Concat(Function):
    """y = the inputs one after the other along an axis;  each gets its own piece of gy."""

    reads_inputs = False

    def forward(self, *xs, axis):
        self.axis = axis
        self.ends = list(accumulate([x.shape[axis] for x in xs]))
        return self.xp.concatenate(xs, axis=axis)

    def backward(self, gy):
        before = (slice(None),) * self.axis
        starts = [0, *self.ends]
        return tuple([gy[(*before, slice(a, b))] for a, b in zip(starts, self.ends)])


class Pad(Function):
    """y = x with a border of a constant;  gx = gy without the border."""

    reads_inputs = False

    def forward(self, x, *, widths, value):
        self.inside = tuple([slice(a, a + n) for (a, _), n in zip(widths, x.shape)])
        return self.xp.pad(x, widths, constant_values=value)

    def backward(self, gy):
        return gy[self.inside]
