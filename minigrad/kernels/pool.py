"""Pooling on the CPU: a loop over the few offsets of the window, whole planes at a time.

For every offset (i, j) of the window, the inputs that it meets are one strided slice, so a maximum
over windows is KH*KW calls of ``np.maximum``. What must be remembered for backward is which offset
won; it fits into one byte. Arrays are worked on as (planes, H, W, samples) where samples lie
innermost (what ``conv.py`` hands out): the slices then have no gaps that slow NumPy down. Other
layouts with enough samples are turned into that one first.

Before this: ``conv.py``. Next: ``norm.py``.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from .memory import scratch
from .plain import code_dtype, first_inside, lowest, max_pool2d_flat_index  # noqa: F401
from .threads import run
from .windows import Winners, offsets, valid_slices

MANY_SAMPLES = 16  # from here on it pays to move samples innermost
BLOCK = (
    1 << 19
)  # input numbers of a block: calls long enough that threads do not wait for the interpreter


def _samples_inside(x):
    return x.shape[0] >= MANY_SAMPLES or x.transpose(1, 2, 3, 0).flags.c_contiguous


def _planes(x, inside):
    """x (N, C, H, W) as (planes, H, W, samples), contiguous: a view if its memory allows, else a
    scratch copy.
    """
    if inside:
        x = x.transpose(1, 2, 3, 0)
        if x.flags.c_contiguous:
            return x
        staged = scratch("stage", x.shape, x.dtype)
        staged[...] = x
        return staged
    N, C, H, W = x.shape
    return np.ascontiguousarray(x).reshape(N * C, H, W, 1)


def _new(shape, inside, dtype):
    """An empty logical (N, C, H, W) array in the chosen layout, and the same as (planes, H, W,
    samples).
    """
    N, C, H, W = shape
    if inside:
        memory = np.empty((C, H, W, N), dtype)
        return memory.transpose(3, 0, 1, 2), memory
    memory = np.empty(shape, dtype)
    return memory, memory.reshape(N * C, H, W, 1)


def _blocks(planes):
    """Ranges of planes of about BLOCK numbers each: threads may share them out."""
    step = max(1, -(-len(planes) // max(1, round(planes.size / BLOCK))))
    return [slice(a, a + step) for a in range(0, len(planes), step)]


@lru_cache(maxsize=256)
def _window(kernel_size, stride, padding, dilation, size, output_size):
    """For each offset of the window its number, the outputs and the inputs that it joins.

    These are `offsets`' slices of the last two axes, made for the two middle axes of planes.
    """
    return [
        (i * kernel_size[1] + j, (slice(None), *out[1:]), (slice(None), *inp[1:]))
        for i, j, out, inp in offsets(kernel_size, stride, padding, dilation, size, output_size)
    ]


def max_pool2d(x, kernel_size, stride, padding, dilation, output_size):
    """See `minigrad.kernels.plain.max_pool2d`: returns (y, winners)."""
    N, C, *size = x.shape
    inside = _samples_inside(x)
    planes = _planes(x, inside)
    shape = (N, C, *output_size)
    y, y_planes = _new(shape, inside, x.dtype)
    code, code_planes = _new(shape, inside, code_dtype(kernel_size))
    window = _window(kernel_size, stride, padding, dilation, tuple(size), tuple(output_size))
    start = None
    if padding != (0, 0):
        start = first_inside(kernel_size, stride, padding, dilation, output_size)[:, :, None]

    def one(block):
        arrays = planes[block], y_planes[block], code_planes[block]
        _max(*arrays, window, start, False)
        if x.dtype.kind == "f" and np.isnan(arrays[1]).any():
            _max(*arrays, window, start, True)

    run(one, _blocks(planes))
    return y, Winners(code, kernel_size, stride, padding, dilation)


def _max(x, y, code, window, start, with_nan):
    """Fill y and code. Later winners have larger codes, so the winner's code is the largest one
    seen.
    """
    if start is None:
        _, _, inp = window[0]
        y[...] = x[inp]
        code[...] = 0
        window = window[1:]
    else:
        y[...] = lowest(y.dtype)
        code[...] = start
    all_values = scratch("values", y.shape, y.dtype)
    all_wins = scratch("wins", y.shape, np.dtype(bool))
    all_marks = scratch("marks", y.shape, code.dtype)
    for number, out, inp in window:
        best, winner = y[out], code[out]
        value, wins, mark = all_values[out], all_wins[out], all_marks[out]
        value[...] = x[inp]  # the gaps are skipped once: all that follows runs straight through
        np.greater(value, best, out=wins)
        if with_nan:
            wins |= np.isnan(value)
        np.multiply(wins.view(np.uint8), code.dtype.type(number), out=mark)
        np.maximum(winner, mark, out=winner)
        np.maximum(best, value, out=best)


def _laid_out_like(code, other):
    """``other`` as planes in the layout that ``code`` has."""
    return _planes(code, inside := _samples_inside(code)), _planes(other, inside), inside


def max_pool2d_scatter(gy, winners, size):
    """See `minigrad.kernels.plain.max_pool2d_scatter`."""
    code, kernel_size, stride, padding, dilation = winners
    code, gy_planes, inside = _laid_out_like(code, gy)
    gx, gx_planes = _new((*gy.shape[:2], *size), inside, gy.dtype)
    window = _window(kernel_size, stride, padding, dilation, tuple(size), gy.shape[2:])
    # Windows that tile the plane write every input once: no zeros first, no addition.
    tiles = tuple(kernel_size) == tuple(stride) and padding == (0, 0) and dilation == (1, 1)
    tiles = tiles and all(n * s == m for n, s, m in zip(gy.shape[2:], stride, size))

    bits = np.dtype(f"i{gy.itemsize}")

    def one(block):
        source, codes, into = gy_planes[block].view(bits), code[block], gx_planes[block]
        if not tiles:
            into[...] = 0
        all_wins = scratch("wins", source.shape, np.dtype(np.int8))
        all_chosen = scratch("chosen", source.shape, bits)
        for number, out, inp in window:
            wins, chosen = all_wins[out], all_chosen[out]
            np.equal(codes[out], codes.dtype.type(number), out=wins.view(bool))
            chosen[...] = wins
            np.multiply(source[out], chosen, out=chosen)  # as integers: NaN times 0 is 0
            if tiles:
                into[inp] = chosen.view(gy.dtype)
            else:
                into[inp] += chosen.view(gy.dtype)

    run(one, _blocks(gx_planes))
    return gx


def max_pool2d_gather(x, winners):
    """See `minigrad.kernels.plain.max_pool2d_gather`."""
    code, *options = winners
    shape = code.shape
    window = _window(*options, x.shape[2:], shape[2:])
    code, planes, inside = _laid_out_like(code, x)
    y, y_planes = _new(shape, inside, x.dtype)
    y_planes[...] = 0
    for number, out, inp in window:
        wins = np.equal(code[out], code.dtype.type(number))
        np.copyto(y_planes[out], planes[inp], where=wins)
    return y


def sum_pool2d(x, kernel_size, stride, padding, output_size):
    """See `minigrad.kernels.plain.sum_pool2d`. A box sum sums, over rows, sums over columns."""
    N, C, H, W = x.shape
    inside = _samples_inside(x)
    planes = _planes(x, inside)
    y, y_planes = _new((N, C, *output_size), inside, x.dtype)

    def one(block):
        source, into = planes[block], y_planes[block]
        rows = scratch("part", (len(source), output_size[0], W, source.shape[3]), x.dtype)
        rows[...] = 0
        into[...] = 0
        for i in range(kernel_size[0]):
            if valid := valid_slices(i, stride[0], padding[0], H, output_size[0]):
                rows[:, valid[0]] += source[:, valid[1]]
        for j in range(kernel_size[1]):
            if valid := valid_slices(j, stride[1], padding[1], W, output_size[1]):
                into[:, :, valid[0]] += rows[:, :, valid[1]]

    run(one, _blocks(planes))
    return y


def sum_pool2d_adjoint(gy, kernel_size, stride, padding, size):
    """See `minigrad.kernels.plain.sum_pool2d_adjoint`: `sum_pool2d` with inputs and outputs
    exchanged.
    """
    N, C, OH, OW = gy.shape
    inside = _samples_inside(gy)
    planes = _planes(gy, inside)
    gx, gx_planes = _new((N, C, *size), inside, gy.dtype)

    def one(block):
        source, into = planes[block], gx_planes[block]
        rows = scratch("part", (len(source), OH, size[1], source.shape[3]), gy.dtype)
        rows[...] = 0
        into[...] = 0
        for j in range(kernel_size[1]):
            if valid := valid_slices(j, stride[1], padding[1], size[1], OW):
                rows[:, :, valid[1]] += source[:, :, valid[0]]
        for i in range(kernel_size[0]):
            if valid := valid_slices(i, stride[0], padding[0], size[0], OH):
                into[:, valid[1]] += rows[:, valid[0]]

    run(one, _blocks(gx_planes))
    return gx
