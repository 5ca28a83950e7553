"""Convolution on the GPU: unfold, multiply, fold, in pieces that stay in the GPU's cache.

A convolution is a product of the weights with a matrix of *columns*, which hold the inputs under
every window (Chellapilla, Puri and Simard 2006). The columns are KH * KW times as large as the
image, so writing and reading them can cost more than the product. So they are made for a few images
at a time, few enough that they are still in the second-level cache when the product reads them.

Results lie channel by channel, (F, N, OH, OW), because one large product makes them so; what is
returned is the view (N, F, OH, OW) of that memory.

Before this: ``gemm.py`` and ``conv.cu``. Next: ``pool.py``.
"""

from __future__ import annotations

import math

import numpy as np

from minigrad import backend

from .. import plain
from ..windows import conv_output_size
from . import launch
from .activation import add_bias
from .gemm import gemm

COLUMN_BYTES = 32 << 20  # of columns at a time; an H200's second-level cache has 60 MB


def _pieces(N, bytes_per_image):
    """Ranges of images of which the columns are made together, of nearly equal length."""
    most = max(1, COLUMN_BYTES // max(1, bytes_per_image))
    pieces = -(-N // most)
    step = -(-N // max(1, pieces))
    return [slice(n, min(N, n + step)) for n in range(0, N, max(1, step))]


def _window(image, kernel_size, stride, padding, dilation, out_size):
    """The sizes for a kernel of ``conv.cu``, in the order of its structure."""
    (N, C, H, W), (OH, OW), (KH, KW) = image.shape, out_size, kernel_size
    (sh, sw), (dh, dw), ((top, _), (left, _)) = stride, dilation, padding
    n, c, h, w = launch.strides(image)
    return launch.structure(
        **dict(C=C, H=H, W=W, N=N, OH=OH, OW=OW, KH=KH, KW=KW),
        **dict(sh=sh, sw=sw, dh=dh, dw=dw, top=top, left=left),
        **dict(S_n=n, S_c=c, S_h=h, S_w=w),
    )


def unfold(x, columns, kernel_size, stride, padding, dilation, out_size):
    """Fill columns (C, KH, KW, n, OH, OW) from the images x (n, C, H, W)."""
    if launch.runs(x, columns):
        window = _window(x, kernel_size, stride, padding, dilation, out_size)
        threads = x.shape[0] * x.shape[1] * math.prod(out_size)
        launch.each("conv", "unfold", x, threads, columns, x, window)
    else:
        whole = plain.unfold(x, kernel_size, stride, padding, dilation, 1, out_size)
        columns[...] = whole.reshape(columns.shape)


def fold(columns, x, kernel_size, stride, padding, dilation, out_size):
    """Adjoint of `unfold`: fill x (n, C, H, W) with the sums of what was copied from there."""
    if launch.runs(columns, x):
        window = _window(x, kernel_size, stride, padding, dilation, out_size)
        launch.each("conv", "fold", x, x.size, x, columns, window)
    else:
        x[...] = plain.fold(columns, x.shape, kernel_size, stride, padding, dilation, out_size)


def _by_channel(y):
    """y (N, F, OH, OW) as memory (F, N, OH, OW) in order; a copy only if it lies otherwise."""
    return backend.cupy.ascontiguousarray(y.transpose(1, 0, 2, 3))


class _Sizes:
    """What the three forms of a convolution have in common."""

    def __init__(self, N, F, C, kernel_size, stride, padding, dilation, groups, out_size, dtype):
        self.kernel_size, self.out_size = tuple(kernel_size), tuple(out_size)
        self.how = (kernel_size, stride, padding, dilation, out_size)
        self.groups, self.G, self.N = groups, F // groups, N
        self.L = math.prod(out_size)  # outputs of an image
        self.K = C // groups * math.prod(kernel_size)  # inputs of an output
        self.C = C
        self.pieces = _pieces(N, groups * self.K * self.L * dtype.itemsize)
        largest = max([part.stop - part.start for part in self.pieces])
        self.memory = backend.cupy.empty((groups * self.K * self.L * largest,), dtype=dtype)

    def columns(self, part):
        """Memory for the columns of some of the images, in two shapes: as ``conv.cu`` has them,
        and as matrices (groups, K, n * L).
        """
        n = part.stop - part.start
        memory = self.memory[: self.groups * self.K * self.L * n]
        unfolded = memory.reshape(self.C, *self.kernel_size, n, *self.out_size)
        return unfolded, memory.reshape(self.groups, self.K, n * self.L)

    def rows(self, y, part):
        """y (F, N, OH, OW) in order, for some of the images: matrices (groups, G, n * L)."""
        y = y.reshape(self.groups, self.G, self.N * self.L)
        return y[:, :, part.start * self.L : part.stop * self.L]


def conv2d(x, w, bias, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d`."""
    if type(x) is np.ndarray or not x.size:
        return plain.conv2d(x, w, bias, stride, padding, dilation, groups)
    (N, C), F, kernel_size = x.shape[:2], w.shape[0], w.shape[2:]
    out_size = conv_output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    sizes = _Sizes(N, F, C, kernel_size, stride, padding, dilation, groups, out_size, x.dtype)
    y = backend.cupy.empty((F, N, *out_size), dtype=x.dtype)
    matrix = w.reshape(groups, sizes.G, sizes.K)
    for part in sizes.pieces:
        unfolded, columns = sizes.columns(part)
        unfold(x[part], unfolded, *sizes.how)
        gemm(matrix, columns, sizes.rows(y, part))
    if bias is not None:
        add_bias(y, bias)
    return y.transpose(1, 0, 2, 3)


def conv2d_input(gy, w, size, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_input`."""
    if type(gy) is np.ndarray or not gy.size:
        return plain.conv2d_input(gy, w, size, stride, padding, dilation, groups)
    (N, F), C, kernel_size = gy.shape[:2], w.shape[1] * groups, w.shape[2:]
    sizes = _Sizes(N, F, C, kernel_size, stride, padding, dilation, groups, gy.shape[2:], gy.dtype)
    gy = _by_channel(gy)
    gx = backend.cupy.empty((C, N, *size), dtype=gy.dtype).transpose(1, 0, 2, 3)
    matrix = w.reshape(groups, sizes.G, sizes.K).transpose(0, 2, 1)
    for part in sizes.pieces:
        unfolded, columns = sizes.columns(part)
        gemm(matrix, sizes.rows(gy, part), columns)
        fold(unfolded, gx[part], *sizes.how)
    return gx


def conv2d_weight(x, gy, kernel_size, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_weight`. The pieces' products are added in order."""
    if type(x) is np.ndarray or not x.size or not gy.size:
        return plain.conv2d_weight(x, gy, kernel_size, stride, padding, dilation, groups)
    (N, C), F = x.shape[:2], gy.shape[1]
    sizes = _Sizes(N, F, C, kernel_size, stride, padding, dilation, groups, gy.shape[2:], x.dtype)
    gy = _by_channel(gy)
    gw = backend.cupy.empty((groups, sizes.G, sizes.K), dtype=x.dtype)
    for i, part in enumerate(sizes.pieces):
        unfolded, columns = sizes.columns(part)
        unfold(x[part], unfolded, *sizes.how)
        gemm(sizes.rows(gy, part), columns.transpose(0, 2, 1), gw, accumulate=i > 0)
    return gw.reshape(F, C // groups, *kernel_size)


def conv2d_backward(gy, x, w, needs, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_backward`."""
    how = (stride, padding, dilation, groups)
    return (
        conv2d_input(gy, w, x.shape[2:], *how) if needs[0] else None,
        conv2d_weight(x, gy, w.shape[2:], *how) if needs[1] else None,
        gy.sum(axis=(0, 2, 3)) if needs[2] else None,
    )
