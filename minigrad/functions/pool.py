"""Pooling: the functions around ``ops/pool.py``."""

from __future__ import annotations

import numpy as np

from .. import autograd, backend
from .._errors import message
from ..ops.pool import MaxPool2d, SumPool2d
from .conv import pair
from .shape import reshape, unsqueeze


def max_pool2d(
    x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False
):
    """Return the largest of each window; the first of ties, and NaN, win.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    kernel_size, stride, padding, dilation : int or pair
        `stride` is `kernel_size` by default; `padding` is minus infinity on both sides, at most
        half the kernel.
    ceil_mode : bool
        Let the last window reach beyond the border.
    return_indices : bool
        Also return where each came from, as an index into the flattened H x W plane.

    Returns
    -------
    Tensor, shape (N, C, OH, OW), or a pair of them
    """
    if x.ndim == 3:
        y = max_pool2d(
            unsqueeze(x, 0), kernel_size, stride, padding, dilation, ceil_mode, return_indices
        )
        if return_indices:
            return tuple([reshape(part, part.shape[1:]) for part in y])
        return reshape(y, y.shape[1:])
    window = _window("max_pool2d", x, kernel_size, stride, padding, dilation, ceil_mode)
    y = MaxPool2d.apply(x, **window)
    if not return_indices:
        return y
    kernels = autograd.kernels.get(backend.array_module(x.array))
    winners = kernels.max_pool2d(x.array, **window)[1]
    return y, autograd.Tensor(kernels.max_pool2d_flat_index(winners, x.shape[2:]))


def avg_pool2d(
    x,
    kernel_size,
    stride=None,
    padding=0,
    ceil_mode=False,
    count_include_pad=True,
    divisor_override=None,
):
    """Return the mean of each window.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    kernel_size, stride, padding : int or pair
    ceil_mode : bool
        Let the last window reach beyond the border.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    divisor_override : int, optional
        Divide by this instead of the number of entries.

    Returns
    -------
    Tensor, shape (N, C, OH, OW)
    """
    if x.ndim == 3:
        y = avg_pool2d(
            unsqueeze(x, 0),
            kernel_size,
            stride,
            padding,
            ceil_mode,
            count_include_pad,
            divisor_override,
        )
        return reshape(y, y.shape[1:])
    window = _window("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    del window["dilation"]
    sums = SumPool2d.apply(x, **window)
    if divisor_override is not None:
        if divisor_override == 0:
            raise ValueError(message("avg_pool2d", "divisor_override is 0."))
        return sums / divisor_override
    sizes = list(
        zip(
            x.shape[2:],
            window["kernel_size"],
            window["stride"],
            window["padding"],
            window["output_size"],
        )
    )
    rows, columns = [_entries(np, *axis, count_include_pad) for axis in sizes]
    if len(set(rows)) == len(set(columns)) == 1:
        return sums / int(rows[0] * columns[0])
    xp = backend.array_module(x.array)  # counted where x lies: a captured step moves no data
    rows, columns = [_entries(xp, *axis, count_include_pad).astype(x.dtype) for axis in sizes]
    return sums / autograd.Tensor(rows[:, None] * columns)


def _entries(xp, n, kernel, stride, padding, output, include_padding):
    """Return how many entries each window has along one axis of size n."""
    starts = xp.arange(output) * stride - padding
    if include_padding:
        return xp.minimum(starts + kernel, n + padding) - starts
    return xp.minimum(starts + kernel, n) - xp.maximum(starts, 0)


def adaptive_avg_pool2d(x, output_size):
    """Return the mean over a grid of `output_size` regions of (nearly) equal size.

    Along an axis of size n cut into m, region i holds the entries from ``floor(i n / m)`` to
    ``ceil((i + 1) n / m)``; regions may overlap.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    output_size : int, or pair of int or None
        None keeps an axis.
    """
    sizes = output_size if isinstance(output_size, (tuple, list)) else (output_size,) * 2
    sizes = [n if size is None else size for size, n in zip(sizes, x.shape[-2:])]
    if x.ndim not in (3, 4) or any(not isinstance(m, int) or m < 1 for m in sizes):
        raise ValueError(
            message(
                "adaptive_avg_pool2d",
                "the sizes do not fit.",
                expect="(N, C, H, W) or (C, H, W), and output sizes from 1 on",
                actual=f"{tuple(x.shape)}, output_size={output_size!r}",
            )
        )
    if sizes == [1, 1]:
        return x.mean((-2, -1), keepdim=True)
    if all(n % m == 0 for n, m in zip(x.shape[-2:], sizes)):
        return avg_pool2d(x, tuple([n // m for n, m in zip(x.shape[-2:], sizes)]))
    # Uneven regions: a mean along an axis is a product with a matrix of weights 1 / size.
    rows, columns = [_regions(n, m, x) for n, m in zip(x.shape[-2:], sizes)]
    return rows @ x @ columns.mT


def _regions(n, m, like):
    xp = backend.array_module(like.array)
    i, place = xp.arange(m)[:, None], xp.arange(n)
    inside = (place >= i * n // m) & (place < -(-(i + 1) * n // m))
    weights = inside / inside.sum(axis=1, keepdims=True)
    return autograd.Tensor(weights.astype(like.dtype))


def _window(name, x, kernel_size, stride, padding, dilation, ceil_mode):
    """Check the options of a pooling, and return them with the output's size."""
    kernel_size = pair(kernel_size, f"{name} kernel_size")
    stride = kernel_size if stride is None else pair(stride, f"{name} stride")
    padding = pair(padding, f"{name} padding", least=0)
    dilation = pair(dilation, f"{name} dilation")
    if x.ndim != 4:
        raise ValueError(
            message(
                name,
                "these are not images.",
                expect="(N, C, H, W) or (C, H, W)",
                actual=tuple(x.shape),
            )
        )
    if any(2 * p > k for p, k in zip(padding, kernel_size)):
        raise ValueError(
            message(
                name,
                "the padding is more than half the kernel.",
                expect=f"at most {tuple([k // 2 for k in kernel_size])}",
                actual=padding,
            )
        )
    output_size = []
    for n, k, s, p, d in zip(x.shape[2:], kernel_size, stride, padding, dilation):
        room = n + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil_mode else 0)
        if room < 0:
            raise ValueError(
                message(
                    name,
                    "the window is larger than its padded input.",
                    expect=f"at most {n + 2 * p}",
                    actual=d * (k - 1) + 1,
                )
            )
        out = room // s + 1
        if ceil_mode and (out - 1) * s >= n + p:
            out -= 1  # the last window must start inside the image or its left padding
        output_size.append(out)
    return dict(
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        output_size=tuple(output_size),
    )
