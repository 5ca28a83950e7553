"""The kernels on NumPy: the names of ``plain.py``, gathered from the files that make them fast.

Importing this file is the first use of the kernels: it holds BLAS to one thread (``threads.py``)
and asks malloc to keep freed memory (``memory.py``), once for the process.

Before this: ``plain.py``, which says what every kernel computes. Next: ``conv.py``, the one
that matters.
"""

from __future__ import annotations

from .blas import limit_blas
from .conv import conv2d, conv2d_backward, conv2d_input, conv2d_weight
from .dropout import dropout_mask
from .loss import (
    relu,
    relu_backward,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from .matmul import matmul
from .memory import keep_freed_memory
from .norm import batch_norm, batch_norm_backward
from .optimizers import adam_update, rmsprop_update, sgd_update
from .pool import (
    max_pool2d,
    max_pool2d_flat_index,
    max_pool2d_gather,
    max_pool2d_scatter,
    sum_pool2d,
    sum_pool2d_adjoint,
)
from .scatter import index_add
from .threads import get_num_threads, set_num_threads

__all__ = [
    "adam_update",
    "batch_norm",
    "batch_norm_backward",
    "conv2d",
    "conv2d_backward",
    "conv2d_input",
    "conv2d_weight",
    "dropout_mask",
    "get_num_threads",
    "index_add",
    "matmul",
    "max_pool2d",
    "max_pool2d_flat_index",
    "max_pool2d_gather",
    "max_pool2d_scatter",
    "relu",
    "relu_backward",
    "rmsprop_update",
    "set_num_threads",
    "sgd_update",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "sum_pool2d",
    "sum_pool2d_adjoint",
]

limit_blas()
keep_freed_memory()
