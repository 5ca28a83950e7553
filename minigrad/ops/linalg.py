"""Matrix products: the op where nearly all of the arithmetic happens.

Before this: ``reduce.py``. Next: ``conv.py``, a matrix product in disguise.
"""

from __future__ import annotations

from ..autograd import Function


class MatMul(Function):
    """Y = A B (of matrices, along any leading axes);  gA = gY B^T,  gB = A^T gY.

    Unless all are square, of all products of gY with A or B only these have the right shapes.
    """

    def forward(self, a, b):
        return self.kernels.matmul(a, b)

    def backward(self, gy):
        a, b = self.inputs
        need_a, need_b = self.needs_input_grad
        return (
            gy @ b.mT if need_a else None,
            a.mT @ gy if need_b else None,
        )


class Linear(Function):
    """Y = X W^T + b for rows X;  gX = gY W,  gW = gY^T X,  gb = gY summed over the rows.

    It is `MatMul`, a transpose and `Add` in one node; a test holds them together.
    """

    def forward(self, x, w, b=None):
        y = self.kernels.matmul(x, w.T)
        if b is not None:
            y += b
        return y

    def backward(self, gy):
        x, w = self.inputs[:2]
        need_x, need_w, *need_b = self.needs_input_grad
        gx = gy @ w if need_x else None
        gw = gy.mT @ x if need_w else None
        return gx, gw, *[gy.sum(0) if need else None for need in need_b]

    def fast_backward(self, gy):
        x, w = self.inputs[0].array, self.inputs[1].array
        need_x, need_w, *need_b = self.needs_input_grad
        gx = self.kernels.matmul(gy, w) if need_x else None
        gw = self.kernels.matmul(gy.T, x) if need_w else None
        return gx, gw, *[gy.sum(axis=0) if need else None for need in need_b]
