"""Convolution on the CPU: unfold a little, multiply at once, samples side by side in memory.

Three choices make it fast; everything else is bookkeeping.

1. **Samples innermost.** Inside, an image batch lies as (C, H, W, N), as in Krizhevsky's
   cuda-convnet (2012). Moving the window by one pixel then moves a run of W*N numbers, so the
   copies below are long and straight for any kernel size. Results are handed out as the (N, C, H,
   W) view of that memory; elementwise ops keep it, pooling slices it without gaps, and flattening
   it for a linear layer costs nothing.
2. **Unfold in one direction only.** The columns of a convolution hold, for every output, the
   C*KH*KW inputs under its window. If only the KW shifts *along* a row are copied, and rows are
   stored one after the other, then the columns of output row r are the KH consecutive rows r ...
   r+KH-1 as they lie: one overlapping view ("band") serves all output rows, at a KH-th of the
   copying.
3. **Blocks that stay in cache.** A block of output rows (and, in wide layers, of output columns) is
   unfolded into a reused buffer of about a megabyte and multiplied while it is there; backward
   unfolds it again rather than keep it. Blocks depend on the shapes only, so `threads.run` may
   share them out freely.

Before this: ``memory.py``, and ``conv2d`` in ``plain.py``, the plain form that this is tested
against. Next: ``pool.py``.
"""

from __future__ import annotations

import numpy as np

from . import plain
from .memory import scratch
from .threads import WORTH_SHARING, first_of_two, run
from .windows import conv_output_size, valid_slices

BLOCK_BYTES = 1 << 20  # of unfolded columns: about one core's L2 cache
NARROWEST = 512  # numbers in a run: below this, matrix products lose their speed
MATRIX_ROWS = 512  # of the input gradient's product, in two ranges of channels
SHORT_ROW = 64  # output rows shorter than this are unfolded fully and multiplied together
MANY_FILTERS = 128  # from here on, rows up to NARROWEST too: the copies cost little beside it


def _stage(x, padding):
    """x (N, C, H, W) as (C, H, W, N) in order, zeros around it: x's own memory if that will do,
    else scratch.
    """
    x = x.transpose(1, 2, 3, 0)
    (top, bottom), (left, right) = padding
    if not (top or bottom or left or right):
        if x.flags.c_contiguous:
            return x
        staged = scratch("stage", x.shape, x.dtype)
        staged[...] = x
        return staged
    C, H, W, N = x.shape
    staged = scratch("stage", (C, top + H + bottom, left + W + right, N), x.dtype)
    staged[:, :top] = 0
    staged[:, top + H :] = 0
    staged[:, top : top + H, :left] = 0
    staged[:, top : top + H, left + W :] = 0
    staged[:, top : top + H, left : left + W] = x
    return staged


def _even(total, most):
    """Cut ``range(total)`` into equal pieces of at most ``most``."""
    pieces = -(-total // max(1, most))
    step = -(-total // pieces)
    return [(a, min(total, a + step)) for a in range(0, total, step)]


def _row_by_row(out_size, N, filters):
    """Whether each row of outputs is a product of its own."""
    return out_size[1] * N >= (SHORT_ROW if filters < MANY_FILTERS else NARROWEST)


def _blocks(out_size, N, C, kernel_size, stride, dilation, itemsize, work, by_row):
    """Output blocks (row, end row, column, end column) whose unfolded inputs fill about
    BLOCK_BYTES. Where up to three would do there are two, for two threads, of which none waits.
    """
    OH, OW = out_size
    KH, KW = kernel_size
    pixel = C * KW * N * itemsize  # unfolded bytes per input row and output column
    rows_read, fixed = (stride[0], KH - stride[0]) if dilation[0] == 1 else (KH, 0)
    columns = OW
    if by_row:
        tall = min(OH, 2 * KH) * rows_read + fixed
        columns = min(OW, max(-(-NARROWEST // N), BLOCK_BYTES // (pixel * tall)))
    strips = _even(OW, columns)
    rows = (BLOCK_BYTES // (pixel * strips[0][1]) - fixed) // rows_read
    if not by_row:
        rows = max(rows, -(-NARROWEST // (OW * N)))
    bands = _even(OH, rows)
    if len(strips) == 1 and len(bands) <= 3 and OH > 1 and work > WORTH_SHARING:
        cut = min(OH - 1, -(-OH * first_of_two(work) // work))
        bands = [(0, cut), (cut, OH)]
    return [(*band, *strip) for band in bands for strip in strips]


def _unfold(x, block, kernel_size, stride, dilation, by_row):
    """Columns of one block of outputs, as matrices (B, KH*KW*C, L): a view of scratch memory (or of
    x).

    ``by_row``: one matrix per output row, bands of rows unfolded along the width only; else one
    matrix for the block, fully unfolded.
    """
    r0, r1, c0, c1 = block
    (KH, KW), (sh, sw), (dh, dw) = kernel_size, stride, dilation
    C, N = x.shape[0], x.shape[3]
    R, L = r1 - r0, (c1 - c0) * N
    if KH == KW == sh == sw == 1:
        pixels = x[:, r0:r1, c0:c1]
        return pixels.reshape(C, R, L).transpose(1, 0, 2) if by_row else pixels.reshape(1, C, R * L)
    from_c, from_h, from_w, from_n = x.strides
    corner = r0 * sh * from_h + c0 * sw * from_w
    width = (c1 - c0, N)
    if not by_row:
        shape = (KH, KW, C, R, *width)
        steps = (dh * from_h, dw * from_w, from_c, sh * from_h, sw * from_w, from_n)
    elif dh == 1:
        shape = ((R - 1) * sh + KH, KW, C, *width)
        steps = (from_h, dw * from_w, from_c, sw * from_w, from_n)
    else:  # the rows under a window are not neighbours: copy them for each output row
        shape = (R, KH, KW, C, *width)
        steps = (sh * from_h, dh * from_h, dw * from_w, from_c, sw * from_w, from_n)
    columns = scratch("columns", shape, x.dtype)
    columns[...] = np.ndarray(shape, x.dtype, x, corner, steps)  # x's memory, other strides
    if not by_row:
        return columns.reshape(1, KH * KW * C, R * L)
    row = L * x.itemsize
    band = (sh if dh == 1 else KH) * KW * C * row
    return np.ndarray((R, KH * KW * C, L), x.dtype, columns, 0, (band, row, x.itemsize))


def _matrices(y, block, by_row):
    """One block of y (F, OH, OW, N) as the matrices (B, F, L) that belong to `_unfold`'s."""
    r0, r1, c0, c1 = block
    F, OH, OW, N = y.shape
    if by_row:
        return y.reshape(F, OH, OW * N)[:, r0:r1, c0 * N : c1 * N].transpose(1, 0, 2)
    return y.reshape(F, OH * OW * N)[:, r0 * OW * N : r1 * OW * N][None]


def _wide(function, *arrays):
    """Run ``function`` on half-precision arrays in single precision (BLAS has no half), and round
    the result.
    """
    return function(*(None if a is None else a.astype(np.float32) for a in arrays)).astype(
        np.float16
    )


def conv2d(x, w, bias, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d`."""
    if x.size == 0:
        return plain.conv2d(x, w, bias, stride, padding, dilation, groups)
    if x.dtype == np.float16:
        return _wide(lambda *a: conv2d(*a, stride, padding, dilation, groups), x, w, bias)
    (F, C), kernel_size = w.shape[:2], w.shape[2:]
    N, G = x.shape[0], F // groups
    out_size = conv_output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    x = _stage(x, padding)
    y = np.empty((F, *out_size, N), x.dtype)
    by_row = _row_by_row(out_size, N, G)
    matrix = w.transpose(0, 2, 3, 1).reshape(groups, G, -1)
    offset = None if bias is None else bias.reshape(groups, G, 1)

    def one(item):
        g, block = item
        columns = _unfold(x[g * C : g * C + C], block, kernel_size, stride, dilation, by_row)
        out = _matrices(y[g * G : g * G + G], block, by_row)
        np.matmul(matrix[g], columns, out=out)
        if offset is not None:
            out += offset[g]

    work = w.size * N * out_size[0] * out_size[1]
    blocks = _blocks(out_size, N, C, kernel_size, stride, dilation, x.itemsize, work, by_row)
    run(one, [(g, block) for g in range(groups) for block in blocks], work)
    return y.transpose(3, 0, 1, 2)


def conv2d_weight(x, gy, kernel_size, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_weight`. Each block gives a partial sum; they are added in
    block order.
    """
    if x.size == 0:
        return plain.conv2d_weight(x, gy, kernel_size, stride, padding, dilation, groups)
    if x.dtype == np.float16:
        return _wide(
            lambda *a: conv2d_weight(*a, kernel_size, stride, padding, dilation, groups), x, gy
        )
    (N, F), out_size = gy.shape[:2], gy.shape[2:]
    C, G = x.shape[1] // groups, F // groups
    K = C * kernel_size[0] * kernel_size[1]
    x = _stage(x, padding)
    gy = np.ascontiguousarray(gy.transpose(1, 2, 3, 0))
    by_row = _row_by_row(out_size, N, G)
    work = K * gy.size
    blocks = _blocks(out_size, N, C, kernel_size, stride, dilation, x.itemsize, work, by_row)
    partial = np.empty((len(blocks), groups, K, G), x.dtype)

    def one(item):
        g, b = item
        columns = _unfold(x[g * C : g * C + C], blocks[b], kernel_size, stride, dilation, by_row)
        rows = _matrices(gy[g * G : g * G + G], blocks[b], by_row).transpose(0, 2, 1)
        out = partial[b, g]
        if len(columns) == 1:
            np.matmul(columns[0], rows[0], out=out)
        elif K * G * x.itemsize <= BLOCK_BYTES // 16:
            products = np.matmul(columns, rows, out=scratch("products", (len(rows), K, G), x.dtype))
            np.add.reduce(products, axis=0, out=out)
        else:
            product = scratch("products", (K, G), x.dtype)
            np.matmul(columns[0], rows[0], out=out)
            for r in range(1, len(rows)):
                out += np.matmul(columns[r], rows[r], out=product)

    run(one, [(g, b) for g in range(groups) for b in range(len(blocks))], work)
    sums = np.add.reduce(partial, axis=0).reshape(groups, *kernel_size, C, G)
    gw = np.empty((F, C, *kernel_size), x.dtype)
    for c in range(0, C, 16):  # a few channels at a time: what is read and written stays in cache
        few = sums[:, :, :, c : c + 16].transpose(0, 4, 3, 1, 2)
        gw[:, c : c + 16] = few.reshape(F, -1, *kernel_size)
    return gw


def conv2d_input(gy, w, size, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_input`. The unfolding run backwards: multiply, then add
    what was copied.

    Blocks are ranges of input channels, whose sums never meet.
    """
    if gy.size == 0:
        return plain.conv2d_input(gy, w, size, stride, padding, dilation, groups)
    if gy.dtype == np.float16:
        return _wide(lambda *a: conv2d_input(*a, size, stride, padding, dilation, groups), gy, w)
    F, C, KH, KW = w.shape
    N, G = gy.shape[0], F // groups
    if C == 1 and groups > 1 and stride == (1, 1):
        return _flipped(gy, w, size, padding, dilation, groups)
    gy = np.ascontiguousarray(gy.transpose(1, 2, 3, 0))
    gx = np.empty((C * groups, *size, N), gy.dtype)

    def one(item):
        g, (c0, c1) = item
        rows = gy[g * G : g * G + G]
        part = w[g * G : g * G + G, c0:c1]
        out = gx[g * C + c0 : g * C + c1]
        _fold(rows, part, out, stride, (padding[0][0], padding[1][0]), dilation)

    work = w.size * N * gy.shape[1] * gy.shape[2]
    pieces = 2 * max(1, round(C * KH * KW / MATRIX_ROWS)) if work >= WORTH_SHARING else 1
    run(one, [(g, r) for g in range(groups) for r in _even(C, -(-C // pieces))], work)
    return gx.transpose(3, 0, 1, 2)


def conv2d_backward(gy, x, w, needs, stride, padding, dilation, groups):
    """See `minigrad.kernels.plain.conv2d_backward`. Two threads begin with a gradient each: so a
    small layer, whose products are not worth cutting, keeps both busy.
    """
    how = (stride, padding, dilation, groups)
    gradients = [None, None, None]
    # All three want samples innermost: put it so once, not three times.
    gy = np.ascontiguousarray(gy.transpose(1, 2, 3, 0)).transpose(3, 0, 1, 2)

    def one(i):
        if i == 0:
            gradients[0] = conv2d_input(gy, w, x.shape[2:], *how)
        else:
            gradients[1] = conv2d_weight(x, gy, w.shape[2:], *how)

    wanted = [i for i in (0, 1) if needs[i]]
    run(one, wanted, len(wanted) * w.size * gy.shape[0] * gy.shape[2] * gy.shape[3])
    if needs[2]:
        gradients[2] = _bias_gradient(gy)
    return tuple(gradients)


def _bias_gradient(gy):
    """gy (N, F, OH, OW), samples innermost, summed for each filter: first along the rows, where
    BLAS's product with ones is three times as fast as NumPy's sum.
    """
    N, F, OH, OW = gy.shape
    if gy.dtype == np.float16 or gy.size == 0:
        return gy.sum(axis=(0, 2, 3))
    rows = gy.transpose(1, 2, 3, 0).reshape(F * OH, OW * N)
    return (rows @ np.ones(OW * N, gy.dtype)).reshape(F, OH).sum(axis=1)


def _flipped(gy, w, size, padding, dilation, groups):
    """`conv2d_input` of stride 1 as a convolution with the flipped kernel, each input's sum at
    once: for depthwise layers, whose products are too thin to be worth their foldings.
    """
    kernel_size = w.shape[2:]
    flipped = w[:, 0, ::-1, ::-1].reshape(groups, -1, *kernel_size)
    borders = []
    for n, k, d, out, (before, _) in zip(size, kernel_size, dilation, gy.shape[2:], padding):
        first = d * (k - 1) - before
        borders.append((first, n + d * (k - 1) - out - first))
    # Where there is more padding than kernel, outputs saw only zeros: they are cut off.
    rows, columns = [slice(max(0, -a), n + min(0, b)) for (a, b), n in zip(borders, gy.shape[2:])]
    borders = tuple((max(0, a), max(0, b)) for a, b in borders)
    return conv2d(gy[:, :, rows, columns], flipped, None, (1, 1), borders, dilation, groups)


def _fold(gy, w, gx, stride, corner, dilation):
    """Fill gx (C, H, W, N) from gy (F, OH, OW, N) and w (F, C, KH, KW), a block of outputs at a
    time.
    """
    (C, H, W, N), (F, OH, OW, _) = gx.shape, gy.shape
    KH, KW = w.shape[2:]
    matrix = w.transpose(0, 2, 3, 1).reshape(F, KH * KW * C).T
    (sh, sw), (dh, dw), (top, left) = stride, dilation, corner
    if KH == KW == sh == sw == 1 and gx.shape[1:] == gy.shape[1:]:
        np.matmul(matrix, gy.reshape(F, -1), out=gx.reshape(C, -1))
        return
    gx[...] = 0
    by_row = OW * N >= SHORT_ROW
    columns, band = OW, OH
    if by_row:
        pixel = KH * KW * C * N * gx.itemsize
        columns = min(OW, max(-(-NARROWEST // N), 2 * BLOCK_BYTES // (pixel * OH)))
        band = min(OH, max(2 * KH, 2 * BLOCK_BYTES // (pixel * columns)))
    for r0, r1 in _even(OH, band):
        R, above = r1 - r0, top - r0 * sh
        tall = (R - 1) * sh + (KH - 1) * dh + 1
        first, last = max(0, above), min(tall, above + H)
        for c0, c1 in _even(OW, columns):
            width = (c1 - c0, N)
            L = width[0] * N
            if by_row:
                products = scratch("columns", (R, KH, KW, C, *width), gx.dtype)
                rows = gy.reshape(F, OH, OW * N)[:, r0:r1, c0 * N : c1 * N].transpose(1, 0, 2)
                np.matmul(matrix, rows, out=products.reshape(R, KH * KW * C, L))
                products = products.transpose(1, 0, 2, 3, 4, 5)
                sums = scratch("sums", (tall, KW, C, *width), gx.dtype)
            else:
                products = scratch("columns", (KH, KW, C, OH, *width), gx.dtype)
                np.matmul(matrix, gy.reshape(F, OH * L), out=products.reshape(KH * KW * C, OH * L))
                products = products.transpose(0, 3, 1, 2, 4, 5)
                sums = scratch("sums", (KW, C, tall, *width), gx.dtype).transpose(2, 0, 1, 3, 4)
            _sum_rows(products, sums, sh, dh)
            for j in range(KW):
                valid = valid_slices(c0 * sw + j * dw, sw, left, W, width[0])
                if valid is not None and first < last:
                    shifted = sums[first:last, j, :, valid[0]].transpose(1, 0, 2, 3)
                    into = gx[:, first - above : last - above, valid[1]]
                    np.add(into, shifted, out=into)


def _sum_rows(products, sums, stride, dilation):
    """sums[r * stride + i * dilation] += products[i, r], starting from zero."""
    KH, OH = products.shape[:2]
    end = (OH - 1) * stride + 1
    sums[:end:stride] = products[0]
    if stride == 1:
        sums[end:] = 0
    else:
        sums[end:] = 0
        for skipped in range(1, stride):
            sums[skipped:end:stride] = 0
    for i in range(1, KH):
        rows = sums[i * dilation : i * dilation + end : stride]
        np.add(rows, products[i], out=rows)
