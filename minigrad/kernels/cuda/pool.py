"""Pooling on the GPU: see ``pool.cu``.

Before this: ``conv.py``. Next: ``norm.py``.
"""

from __future__ import annotations

import numpy as np

from minigrad import backend

from .. import plain
from ..windows import Winners
from . import launch

BYTE = np.dtype(np.uint8)  # for kernels without codes: what their source is compiled with


def _sizes(read, size, out_size, kernel_size, stride, padding, dilation):
    """The sizes for a kernel of ``pool.cu``; ``read`` is the array whose steps it needs."""
    (N, C), (H, W), (OH, OW), (KH, KW) = read.shape[:2], size, out_size, kernel_size
    (sh, sw), (ph, pw), (dh, dw) = stride, padding, dilation
    n, c, h, w = launch.strides(read)
    return launch.structure(
        **dict(N=N, C=C, H=H, W=W, OH=OH, OW=OW, KH=KH, KW=KW),
        **dict(sh=sh, sw=sw, ph=ph, pw=pw, dh=dh, dw=dw),
        **dict(S_n=n, S_c=c, S_h=h, S_w=w),
    )


def _launch(name, out, *arguments, code):
    kind = "unsigned char" if code.itemsize == 1 else "int"
    launch.each("pool", name, out, out.size, out, *arguments, code=kind)


def _by_channel(shape, dtype):
    """An empty array (N, C, H, W) that lies as (C, N, H, W)."""
    N, C, H, W = shape
    return backend.cupy.empty((C, N, H, W), dtype=dtype).transpose(1, 0, 2, 3)


def max_pool2d(x, kernel_size, stride, padding, dilation, output_size):
    """See `minigrad.kernels.plain.max_pool2d`: returns (y, winners)."""
    window = (kernel_size, stride, padding, dilation)
    shape = (*x.shape[:2], *output_size)
    if not (launch.runs(x) and launch.fits(shape)):
        return plain.max_pool2d(x, *window, output_size)
    y = backend.cupy.empty(shape, dtype=x.dtype)
    code = backend.cupy.empty(shape, dtype=plain.code_dtype(kernel_size))
    if y.size:
        sizes = _sizes(x, x.shape[2:], output_size, *window)
        _launch("max_pool", y, code, x, sizes, code=code)
    return y, Winners(code, *window)


def max_pool2d_scatter(gy, winners, size):
    """See `minigrad.kernels.plain.max_pool2d_scatter`."""
    shape = (*gy.shape[:2], *size)
    if not (launch.runs(gy) and launch.fits(shape)):
        return plain.max_pool2d_scatter(gy, winners, size)
    code = backend.cupy.ascontiguousarray(winners.code)
    gx = _by_channel(shape, gy.dtype)
    _launch(
        "max_pool_scatter", gx, gy, code, _sizes(gy, size, gy.shape[2:], *winners[1:]), code=code
    )
    return gx


def max_pool2d_gather(x, winners):
    """See `minigrad.kernels.plain.max_pool2d_gather`."""
    if not (launch.runs(x) and launch.fits(winners.code.shape)):
        return plain.max_pool2d_gather(x, winners)
    code = backend.cupy.ascontiguousarray(winners.code)
    y = backend.cupy.empty(code.shape, dtype=x.dtype)
    if y.size:
        sizes = _sizes(x, x.shape[2:], code.shape[2:], *winners[1:])
        _launch("max_pool_gather", y, x, code, sizes, code=code)
    return y


def sum_pool2d(x, kernel_size, stride, padding, output_size):
    """See `minigrad.kernels.plain.sum_pool2d`."""
    shape = (*x.shape[:2], *output_size)
    if not (launch.runs(x) and launch.fits(shape)):
        return plain.sum_pool2d(x, kernel_size, stride, padding, output_size)
    y = backend.cupy.empty(shape, dtype=x.dtype)
    if y.size:
        sizes = _sizes(x, x.shape[2:], output_size, kernel_size, stride, padding, (1, 1))
        _launch("sum_pool", y, x, sizes, code=BYTE)
    return y


def sum_pool2d_adjoint(gy, kernel_size, stride, padding, size):
    """See `minigrad.kernels.plain.sum_pool2d_adjoint`."""
    shape = (*gy.shape[:2], *size)
    if not (launch.runs(gy) and launch.fits(shape)):
        return plain.sum_pool2d_adjoint(gy, kernel_size, stride, padding, size)
    gx = _by_channel(shape, gy.dtype)
    sizes = _sizes(gy, size, gy.shape[2:], kernel_size, stride, padding, (1, 1))
    _launch("sum_pool_adjoint", gx, gy, sizes, code=BYTE)
    return gx
