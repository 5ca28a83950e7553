"""Softmax, and the loss that goes with it.

`cross_entropy_simple` (in ``functions/loss.py``) is the definition: the log-softmax at the label.
`SoftmaxCrossEntropy` computes the same in one node, whose backward is the formula to
remember, softmax minus one-hot. A test holds the two together.

Before this: ``norm.py``. This is the last family of ops; read after: ``_tensor.py``.
"""

from __future__ import annotations

from .. import autograd
from ..autograd import Function


class Softmax(Function):
    """y_i = e^(x_i) / sum_j e^(x_j) along an axis;  gx = y (gy - sum_j gy_j y_j)."""

    reads_inputs, saves_output = False, True

    def forward(self, x, *, axis):
        self.axis = axis
        y = self.xp.exp(x - x.max(axis=axis, keepdims=True))  # the largest taken out: no overflow
        y /= y.sum(axis=axis, keepdims=True)
        return y

    def backward(self, gy):
        y = self.output
        return y * (gy - (gy * y).sum(self.axis, keepdim=True))


class LogSoftmax(Function):
    """y_i = x_i - ln sum_j e^(x_j) along an axis;  gx = gy - softmax(x) sum_j gy_j."""

    reads_inputs, saves_output = False, True

    def forward(self, x, *, axis):
        self.axis = axis
        y = x - x.max(axis=axis, keepdims=True)
        y -= self.xp.log(self.xp.exp(y).sum(axis=axis, keepdims=True))
        return y

    def backward(self, gy):
        return gy - self.output.exp() * gy.sum(self.axis, keepdim=True)


class SoftmaxCrossEntropy(Function):
    """y_n = -ln softmax(z_n) at label t_n;  gz_n = gy_n (softmax(z_n) - one_hot(t_n)).

    One loss for each of N samples; z has shape (N, C), t holds N integers below C. With ``mean``
    y is the mean of the losses, and each sample has the share gy / N of the gradient.
    """

    def forward(self, z, *, labels, mean=False):
        self.labels = labels.copy()  # the user may change them later
        self.n = len(labels) if mean else None
        y, self.p = self.kernels.softmax_cross_entropy(z, labels)
        return y.sum() / self.n if mean else y

    def backward(self, gy):
        (z,) = self.inputs
        one_hot = self.labels[:, None] == self.xp.arange(z.shape[1])
        difference = z.softmax(1) - autograd.Tensor(one_hot.astype(z.dtype))
        if self.n is not None:
            return gy / self.n * difference
        return gy.reshape(-1, 1) * difference

    def fast_backward(self, gy):
        if self.n is not None:
            gy = self.xp.full(self.labels.shape, gy / self.n)
        return self.kernels.softmax_cross_entropy_backward(gy, self.p, self.labels)


class Softplus(Function):
    """y = ln(1 + e^x), which is -ln(1 - sigmoid(x));  gx = gy sigmoid(x).

    Computed as max(x, 0) + ln(1 + e^-|x|), whose exponential never overflows.
    """

    def forward(self, x):
        return self.xp.maximum(x, 0) + self.xp.log1p(self.xp.exp(-abs(x)))

    def backward(self, gy):
        (x,) = self.inputs
        return gy * x.sigmoid()


class BinaryCrossEntropy(Function):
    """y = -t ln p - (1 - t) ln(1 - p);  gp = gy (p - t) / (p (1 - p)),  gt = gy (ln(1 - p) - ln p).

    As in PyTorch the logarithms end at -100, and the denominator at 1e-12, so that p = 0 and
    p = 1 give large numbers, not infinite ones.
    """

    def forward(self, p, t):
        xp = self.xp
        ln_p = xp.where(p == 0, -100, xp.log(xp.where(p == 0, 1, p)))
        ln_q = xp.where(p == 1, -100, xp.log1p(-xp.where(p == 1, 0, p)))
        return (t - 1) * xp.maximum(ln_q, -100) - t * xp.maximum(ln_p, -100)

    def backward(self, gy):
        p, t = self.inputs
        gp = gy * (p - t) / (p * (1 - p)).clamp(min=1e-12)
        if not self.needs_input_grad[1]:
            return gp, None
        ln_p = p.masked_fill(p == 0, 1).log().masked_fill(p == 0, -100)
        ln_q = (-p.masked_fill(p == 1, 0)).log1p().masked_fill(p == 1, -100)
        return gp, gy * (ln_q.clamp(min=-100) - ln_p.clamp(min=-100))
