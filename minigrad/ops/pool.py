"""Pooling: each window of an image to one number, its largest or its mean.

`MaxPool2d` takes entries out, and its backward puts gradients in where they came from; that in
turn is linear, and its own backward takes out again. `SumPool2d` and its adjoint are a linear
pair, like `SumTo` and `BroadcastTo`.

Before this: ``conv.py``. Next: ``norm.py``.
"""

from __future__ import annotations

from ..autograd import Function


class MaxPool2d(Function):
    """y = the largest of each window;  gx = gy added in where the largest came from."""

    reads_inputs = False

    def forward(self, x, **window):
        self.size = x.shape[2:]
        y, self.index = self.kernels.max_pool2d(x, **window)
        return y

    def backward(self, gy):
        return PoolScatter.apply(gy, index=self.index, size=self.size)


class PoolScatter(Function):
    """y = zeros, with x added in at the places that a max-pool chose;  gx = gy taken from there."""

    reads_inputs = False

    def forward(self, x, *, index, size):
        self.index, self.size = index, size
        return self.kernels.max_pool2d_scatter(x, index, size)

    def backward(self, gy):
        return PoolGather.apply(gy, index=self.index)


class PoolGather(Function):
    """y = the entries of x at the places that a max-pool chose;  gx = gy added in there."""

    reads_inputs = False

    def forward(self, x, *, index):
        self.index, self.size = index, x.shape[2:]
        return self.kernels.max_pool2d_gather(x, index)

    def backward(self, gy):
        return PoolScatter.apply(gy, index=self.index, size=self.size)


class SumPool2d(Function):
    """y = the sum of each window;  gx = gy spread over the window."""

    reads_inputs = False

    def forward(self, x, *, output_size, **window):
        self.window, self.output_size, self.size = window, output_size, x.shape[2:]
        return self.kernels.sum_pool2d(x, output_size=output_size, **window)

    def backward(self, gy):
        return SumPool2dAdjoint.apply(
            gy, size=self.size, output_size=self.output_size, **self.window
        )


class SumPool2dAdjoint(Function):
    """y = each x spread over its window;  gx = the sum of gy over the window."""

    reads_inputs = False

    def forward(self, x, *, size, output_size, **window):
        self.window, self.output_size = window, output_size
        return self.kernels.sum_pool2d_adjoint(x, size=size, **window)

    def backward(self, gy):
        return SumPool2d.apply(gy, output_size=self.output_size, **self.window)
