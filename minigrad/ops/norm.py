"""Normalisation: batch norm, written once from small ops and once as a fused rule.

`batch_norm_simple` (in ``functions/norm.py``) is the definition. `BatchNorm` computes the same in
one node, and its backward is the formula that one derives by hand; a test holds the two together,
in value and in first and second derivatives.

Before this: ``pool.py``. Next: ``loss.py``.
"""

from __future__ import annotations

from ..autograd import Function


class BatchNorm(Function):
    """y = w z + b with z = (x - mean) / sqrt(var + eps), for each channel over samples and places.

    With m(.) the mean over samples and places, and r = 1 / sqrt(var + eps)::

        gz = w gy
        gx = r (gz - m(gz) - z m(gz z))
        gw = sum(gy z),  gb = sum(gy)

    The two means are there because every x moves the mean and the variance of all. Source:
    Ioffe and Szegedy, "Batch Normalization", 2015, section 3, with the terms collected.

    The list `statistics`, where given, gets the mean and the biased variance of each channel:
    an op has one output, and these are no part of the graph.
    """

    def forward(self, x, w=None, b=None, *, eps, statistics=None):
        y, self.mean, var, self.rstd = self.kernels.batch_norm(x, w, b, eps)
        self.eps = eps
        if statistics is not None:
            statistics += self.mean, var
        return y

    def backward(self, gy):
        x, *affine = self.inputs
        axes, shape = (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))
        mean = x.mean(axes, keepdim=True)
        deviation = x - mean
        r = 1 / ((deviation * deviation).mean(axes, keepdim=True) + self.eps).sqrt()
        z = deviation * r
        gz = gy * affine[0].reshape(shape) if affine else gy
        gx = r * (gz - gz.mean(axes, keepdim=True) - z * (gz * z).mean(axes, keepdim=True))
        return (gx, (gy * z).sum(axes), gy.sum(axes))[: len(self.inputs)]

    def fast_backward(self, gy):
        x, *affine = [tensor.array for tensor in self.inputs]
        w = affine[0] if affine else None
        gradients = self.kernels.batch_norm_backward(gy, x, w, self.mean, self.rstd)
        return gradients[: len(self.inputs)]
