"""Which inputs a sliding window touches: the index arithmetic that convolution and pooling share.

Read ``minigrad/ops/conv.py`` first, for what a convolution means. Here is only the bookkeeping: for
one offset inside the window, the outputs for which that offset falls on a real input (and not on
the padding), and those inputs. Both are slices, so that a kernel can loop over the few offsets and
let NumPy do all outputs at once. Next: ``plain.py``, the kernels in their plainest form.
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Winners(NamedTuple):
    """Where the maximum of each pooling window sat: what `max_pool2d` hands to its scatter and
    gather.

    ``code`` is a small integer array of the output's shape, ``i * KW + j`` for the offset (i, j)
    that won: one byte an output where PyTorch's index into the plane takes eight.
    `max_pool2d_flat_index` gives the latter.
    """

    code: Any
    kernel_size: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]


def valid_slices(offset: int, stride: int, padding: int, size: int, out_size: int):
    """Along one axis: (outputs, inputs) that the window's ``offset`` joins, padding left out.

    Output ``o`` reads input ``o * stride + offset - padding``; ``offset`` already includes the
    dilation. Returns two slices of equal length, or None where every output would read padding.
    """
    start = offset - padding
    first = max(0, -(start // stride))
    last = min(out_size, (size - 1 - start) // stride + 1)
    if last <= first:
        return None
    begin = start + first * stride
    return slice(first, last), slice(begin, begin + (last - first - 1) * stride + 1, stride)


def offsets(kernel_size, stride, padding, dilation, size, out_size):
    """Yield ``(i, j, outputs, inputs)`` for the window's offsets, row by row; the slices index the
    last two axes.

    All arguments are pairs (height, width); ``padding`` is what lies above and to the left. Offsets
    that meet nothing but padding are left out.
    """
    for i in range(kernel_size[0]):
        rows = valid_slices(i * dilation[0], stride[0], padding[0], size[0], out_size[0])
        if rows is None:
            continue
        for j in range(kernel_size[1]):
            columns = valid_slices(j * dilation[1], stride[1], padding[1], size[1], out_size[1])
            if columns is not None:
                yield i, j, (..., rows[0], columns[0]), (..., rows[1], columns[1])


def conv_output_size(size, kernel_size, stride, padding, dilation):
    """Height and width of a convolution's output; ``padding`` is ((top, bottom), (left, right))."""
    return tuple(
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(size, kernel_size, stride, padding, dilation)
    )
