"""Convolution: one trilinear form, seen from three sides.

A convolution pairs an image x, a kernel w and an upstream gradient gy in one number,

    <gy, conv(x, w)> = sum over n, o, c, i, j, k, l of
        gy[n, o, i, j] * x[n, c, i * stride + k * dilation - padding, ...] * w[o, c, k, l]

which is linear in each of the three. Leave one of them out, and what remains is the function
that returns an array of its shape:

- leave out gy: `Conv2d`, the convolution;
- leave out x:  `Conv2dInput`, the gradient with respect to x, which is the transposed convolution;
- leave out w:  `Conv2dWeight`, the gradient with respect to w.

So each one's backward is the other two: the three are closed under differentiation, to any
order, and `conv_transpose2d` is one of them.

Before this: ``linalg.py``. Next: ``pool.py``.
"""

from __future__ import annotations

from ..autograd import Function


class Conv2d(Function):
    """y = conv(x, w) + b;  gx, gw: the other two forms;  gb = gy summed over all but channels."""

    def forward(self, x, w, b=None, *, stride, padding, dilation, groups):
        self.how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
        return self.kernels.conv2d(x, w, b, **self.how)

    def backward(self, gy):
        x, w = self.inputs[:2]
        need_x, need_w, *need_b = self.needs_input_grad
        gx = Conv2dInput.apply(gy, w, size=x.shape[2:], **self.how) if need_x else None
        gw = Conv2dWeight.apply(x, gy, kernel_size=w.shape[2:], **self.how) if need_w else None
        return gx, gw, *[gy.sum((0, 2, 3)) if need else None for need in need_b]

    def fast_backward(self, gy):
        x, w = self.inputs[0].array, self.inputs[1].array
        needs = [*self.needs_input_grad, False]  # there may be no b
        return self.kernels.conv2d_backward(gy, x, w, needs, **self.how)[: len(self.inputs)]


class Conv2dInput(Function):
    """y = the x-gradient of a convolution whose upstream is g: each g sprayed over its window."""

    def forward(self, g, w, *, size, **how):
        self.how = how
        return self.kernels.conv2d_input(g, w, size, **how)

    def backward(self, gy):
        g, w = self.inputs
        need_g, need_w = self.needs_input_grad
        gg = Conv2d.apply(gy, w, **self.how) if need_g else None
        gw = Conv2dWeight.apply(gy, g, kernel_size=w.shape[2:], **self.how) if need_w else None
        return gg, gw


class Conv2dWeight(Function):
    """y = the w-gradient of a convolution: x and g correlated over samples and places."""

    def forward(self, x, g, *, kernel_size, **how):
        self.how = how
        return self.kernels.conv2d_weight(x, g, kernel_size, **how)

    def backward(self, gy):
        x, g = self.inputs
        need_x, need_g = self.needs_input_grad
        gx = Conv2dInput.apply(g, gy, size=x.shape[2:], **self.how) if need_x else None
        gg = Conv2d.apply(x, gy, **self.how) if need_g else None
        return gx, gg
