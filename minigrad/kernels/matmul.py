"""Matrix products on the CPU: NumPy's, cut into fixed blocks where they are large.

Before this: ``threads.py``. Next: ``conv.py``, where most products happen.
"""

from __future__ import annotations

import numpy as np

from .threads import WORTH_SHARING, first_of_two, run

PIECE = 12_000_000  # multiply-adds in a block, about: shorter ones pack their operands too often
MOST_PIECES = 64
MANY_ROWS = 128
_FLOATS = "fd"


def matmul(a, b):
    """See `minigrad.kernels.plain.matmul`. How a product is cut depends on its shape alone, never
    on the threads.
    """
    kind = a.dtype.char
    if a.ndim == 2 and b.ndim == 2 and kind in _FLOATS:
        (M, K), N = a.shape, b.shape[1]
        if M * K * N > 4096 and _better_transposed(a, b, M, K, N):
            return _product(b.T, a.T, M * K * N).T
        return _product(a, b, M * K * N)
    if kind == "e":  # BLAS has no half precision: multiply in single, round once
        return matmul(a.astype(np.float32), b.astype(np.float32)).astype(np.float16)
    if a.ndim > 2 and a.ndim == b.ndim and a.shape[:-2] == b.shape[:-2] and kind in _FLOATS:
        work = a.size * b.shape[-1]
        if work >= WORTH_SHARING and a.shape[0] > 1:
            return _by_batch(a, b, work)
    return np.matmul(a, b)


def _better_transposed(a, b, M, K, N):
    """Whether (b^T a^T)^T is the faster order: a few samples (rows of a) times a transposed weight
    b.

    BLAS packs the wide side, and reads a weight that lies as (out, in) best as its first operand.
    The result then has its samples innermost, like the images of ``conv.py``.
    """
    if K <= N or b.flags.c_contiguous or not b.flags.f_contiguous:
        return False
    return M <= N or not a.flags.c_contiguous


def _product(a, b, work):
    if work < WORTH_SHARING:
        return np.matmul(a, b)
    return _by_block(a, b, work)


def _cut(total, work, multiple=1):
    """``range(total)`` in equal parts of about PIECE, cut at multiples of ``multiple``.

    Of two parts the first, which the calling thread takes, is the larger.
    """
    pieces = min(MOST_PIECES, 2 * max(1, work // (2 * PIECE)))
    step = -(-total // pieces) if pieces > 2 else total * first_of_two(work) // work
    step = max(1, -(-step // multiple)) * multiple
    return [slice(i, min(total, i + step)) for i in range(0, total, step)]


def _by_block(a, b, work):
    """Cut the result's rows if they are many, else its longer side: each piece is one product.

    A weight's rows and its gradient's rows are then cut alike, and stay in the same core's cache.
    """
    M, N = a.shape[0], b.shape[1]
    y = np.empty((M, N), a.dtype)
    if min(N, MANY_ROWS) <= M:
        run(lambda rows: np.matmul(a[rows], b, out=y[rows]), _cut(M, work, 16))
    else:
        run(lambda columns: np.matmul(a, b[:, columns], out=y[:, columns]), _cut(N, work, 16))
    return y


def _by_batch(a, b, work):
    """Share out the matrices of a batch along the first axis."""
    y = np.empty((*a.shape[:-1], b.shape[-1]), a.dtype)
    run(lambda part: np.matmul(a[part], b[part], out=y[part]), _cut(len(a), work))
    return y
