"""The kernels on a GPU: the names of ``plain.py``, as CUDA programs.

Each family has two files: ``conv.cu`` is what a thread of the GPU does, ``conv.py`` says how many
threads there are and hands them the arrays. Matrix products are cuBLAS's (``gemm.py``). What has no
program (half precision, integers, arrays of NumPy) runs in the plain form.

No kernel waits for a value, copies one from the host, or takes memory from anywhere but CuPy's
current pool: so a whole training step can be captured as a CUDA graph.

Numbers: sums are taken in another order than on the CPU, so last digits differ, but in the same
order in every run (except in `index_add`, which is CuPy's and adds in any order). float32 numbers
below 1.2e-38 (*subnormal* ones) count as 0, in these programs as in CuPy's own, because CuPy has
all of them compiled so (``-ftz=true``); NumPy and PyTorch keep them. float64 keeps them everywhere.

Before this: ``plain.py``, which says what every kernel computes. Next: ``prelude.cu`` and
``activation.cu``, the shortest programs; then ``launch.py``, ``activation.py``, ``layout.py``,
``gemm.py``, and ``conv.py``, where most of the time goes.
"""

from __future__ import annotations

import numpy as np

from .. import plain
from ..plain import (  # noqa: F401  (what needs no program of its own)
    code_dtype,
    first_inside,
    index_add,
    is_basic,
    lowest,
    max_pool2d_flat_index,
    without_masks,
)
from . import gemm, launch
from .activation import add_bias, relu, relu_backward
from .conv import conv2d, conv2d_backward, conv2d_input, conv2d_weight
from .loss import softmax_cross_entropy, softmax_cross_entropy_backward
from .norm import batch_norm, batch_norm_backward
from .optimizers import adam_update, rmsprop_update, sgd_update
from .pool import (
    max_pool2d,
    max_pool2d_gather,
    max_pool2d_scatter,
    sum_pool2d,
    sum_pool2d_adjoint,
)
from .random import dropout_mask

__all__ = [
    "adam_update",
    "add_bias",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_input",
    "conv2d_weight",
    "dropout_mask",
    "index_add",
    "matmul",
    "max_pool2d",
    "max_pool2d_flat_index",
    "max_pool2d_gather",
    "max_pool2d_scatter",
    "relu",
    "relu_backward",
    "rmsprop_update",
    "sgd_update",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "status",
    "sum_pool2d",
    "sum_pool2d_adjoint",
]


def matmul(a, b):
    """``a @ b`` with NumPy's rules for shapes: `gemm.matmul`."""
    return plain.matmul(a, b) if type(a) is np.ndarray else gemm.matmul(a, b)


def status() -> dict[str, str]:
    """Which programs the GPU runs, in words: for ``python -m minigrad doctor``.

    Returns
    -------
    dict
        ``"kernels"``: CUDA sources, or the plain form, and why; ``"products"``: cuBLAS with its
        version, or CuPy's product, and why; ``"float32 products"``: their precision.

    Raises
    ------
    DeviceError
        If there is no GPU that can be used.
    """
    from minigrad import backend

    xp = backend.cuda_module()
    reason = gemm.why_not(xp)
    sources = "the CUDA sources" if launch.ENABLED else "plain form (MINIGRAD_CUDA_SOURCES=0)"
    products = f"cuBLAS {gemm.version(xp)}" if reason is None else f"cupy.matmul ({reason})"
    return {
        "kernels": sources,
        "products": products,
        "float32 products": backend.get_float32_matmul_precision(),
    }
