"""Batch norm on the GPU: see ``norm.cu``.

Before this: ``pool.py``. Next: ``loss.py``.
"""

from __future__ import annotations

import math

from minigrad import backend

from .. import plain
from . import launch

BLOCKS = 512  # in the grid, about: enough for every processor of the GPU
SMALLEST_PIECE = 1024  # numbers: four for each thread of a block
MOST_CHANNELS = 65535  # the largest grid along its second axis


def _planes(x):
    """x as (N, C, M), each plane without gaps; a copy only where it has some."""
    M = math.prod(x.shape[2:])
    inner = 1
    for n, step in zip(x.shape[:1:-1], x.strides[:1:-1]):
        if n > 1 and step != inner * x.itemsize:
            x = backend.cupy.ascontiguousarray(x)
            break
        inner *= n
    n, c = launch.strides(x)[:2]
    return x, launch.structure(N=x.shape[0], C=x.shape[1], M=M, S_n=n, S_c=c)


def _like(x):
    """An empty array that lies in memory as x does: (N, C, ...) or channel by channel."""
    xp = backend.cupy
    if x.strides[1] > x.strides[0] and x.shape[1] > 1:
        return xp.empty((x.shape[1], x.shape[0], *x.shape[2:]), dtype=x.dtype).swapaxes(0, 1)
    return xp.empty(x.shape, dtype=x.dtype)


def _dense(x):
    """x with planes without gaps, lying as (N, C, ...) or channel by channel, and its sizes.

    So an array of `_like` x has the same steps.
    """
    x, channels = _planes(x)
    if _like_steps(x) != x.strides[:2]:
        return _planes(backend.cupy.array(x, copy=True, order="C"))
    return x, channels


def _like_steps(x):
    """The first two steps that `_like` would give; an axis of length 1 keeps x's."""
    N, C = x.shape[:2]
    plane = math.prod(x.shape[2:]) * x.itemsize
    by_channel = x.strides[1] > x.strides[0] and C > 1
    steps = (plane, N * plane) if by_channel else (C * plane, plane)
    return tuple([given if n == 1 else own for n, given, own in zip((N, C), x.strides, steps)])


def _grid(x):
    """(pieces, channels) and (threads,): each channel in as many pieces as keep the GPU busy, and
    no more threads than numbers.
    """
    C = x.shape[1]
    numbers = x.size // C
    pieces = min(max(1, BLOCKS // C), -(-numbers // SMALLEST_PIECE))
    return (pieces, C), (launch.block_size(-(-numbers // pieces)),)


def _address(array):
    """What a kernel gets for an array that may be missing."""
    return 0 if array is None else backend.cupy.ascontiguousarray(array)


def batch_norm(x, weight, bias, eps):
    """See `minigrad.kernels.plain.batch_norm`: returns (y, mean, var, rstd)."""
    if not launch.runs(x, weight, bias) or x.shape[1] > MOST_CHANNELS:
        return plain.batch_norm(x, weight, bias, eps)
    x, channels = _dense(x)
    y, (mean, var, rstd) = _like(x), backend.cupy.empty((3, x.shape[1]), dtype=x.dtype)
    grid, threads = _grid(x)
    means, squares = backend.cupy.empty((2, grid[1] * grid[0]), dtype=x.dtype)
    launch.kernel("norm", "statistics", x.dtype)(grid, threads, (means, squares, x, channels))
    launch.kernel("norm", "normalize", x.dtype)(
        grid,
        threads,
        (
            *(y, mean, var, rstd, x, means, squares),
            *(_address(weight), _address(bias), float(eps), channels),
        ),
    )
    return y, mean, var, rstd


def batch_norm_backward(gy, x, weight, mean, rstd):
    """See `minigrad.kernels.plain.batch_norm_backward`: returns (gx, gw, gb)."""
    if not launch.runs(gy, x, weight, mean, rstd) or x.shape[1] > MOST_CHANNELS:
        return plain.batch_norm_backward(gy, x, weight, mean, rstd)
    xp = backend.cupy
    gy, channels = _dense(gy)
    x, of_x = _planes(x)
    gx, (gw, gb) = _like(gy), xp.empty((2, x.shape[1]), dtype=x.dtype)
    grid, threads = _grid(gy)
    sums, products = xp.empty((2, grid[1] * grid[0]), dtype=x.dtype)
    mean, rstd = xp.ascontiguousarray(mean), xp.ascontiguousarray(rstd)
    launch.kernel("norm", "backward_sums", x.dtype)(
        grid, threads, (sums, products, gy, x, mean, rstd, channels, of_x)
    )
    launch.kernel("norm", "backward", x.dtype)(
        grid,
        threads,
        (
            *(gx, gw, gb, gy, x, sums, products),
            *(_address(weight), mean, rstd, channels, of_x),
        ),
    )
    return gx, gw, gb
