"""Reshaping, indexing, joining and padding: the functions around ``ops/shape.py``."""

from __future__ import annotations

import math

import numpy as np

from .. import autograd, backend
from .._errors import message
from ..ops.shape import BroadcastTo, Concat, Index, Pad, Reshape, SumTo, Transpose


def broadcast_to(x, shape):
    """Return x copied (without using memory) to `shape`; -1 keeps a size."""
    if x.array.shape == shape:
        return x
    shape = tuple(shape)
    new = len(shape) - x.ndim
    wanted = tuple([x.shape[i - new] if n == -1 and i >= new else n for i, n in enumerate(shape)])
    fits = new >= 0 and all(n in (1, m) for n, m in zip(x.shape, wanted[new:]))
    if not fits or -1 in wanted:
        raise ValueError(
            message(
                "expand",
                "the shape cannot be broadcast to the one asked for.",
                expect=f"from the last axis backwards, sizes of 1 or those of {shape}",
                actual=tuple(x.shape),
            )
        )
    return BroadcastTo.apply(x, shape=wanted)


def sum_to(x, shape):
    """Return x summed down to `shape`, which must broadcast to x's shape."""
    return x if x.array.shape == shape else SumTo.apply(x, shape=shape)


def reshape(x, shape):
    """Return x with other axes; one size may be -1. Shares memory with x where it can."""
    size = x.array.size
    if math.prod(shape) == size and min(shape, default=0) >= 0:
        return Reshape.apply(x, shape=shape)  # nearly always
    known = math.prod([n for n in shape if n != -1])
    if shape.count(-1) != 1 or known == 0 or size % known or min(shape) < -1:
        raise ValueError(
            message(
                "reshape",
                f"{size} numbers do not fill the shape asked for.",
                expect=f"sizes whose product is {size} (at most one of them -1)",
                actual=f"{tuple(x.shape)} to {tuple(shape)}",
                do="let one size be worked out, as in x.view(len(x), -1)",
            )
        )
    return Reshape.apply(x, shape=shape)


def flatten(x, start_dim=0, end_dim=-1):
    """Return x with the axes from `start_dim` to `end_dim`, both included, made one."""
    ndim = x.array.ndim
    if ndim == 0:
        return reshape(x, (1,))
    start, end = axis_of(start_dim, ndim, "flatten"), axis_of(end_dim, ndim, "flatten")
    if start > end:
        raise ValueError(message("flatten", "start_dim comes after end_dim."))
    shape = x.array.shape
    shape = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return Reshape.apply(x, shape=shape)


def unflatten(x, dim, sizes):
    """Return x with axis `dim` split into `sizes` (one may be -1)."""
    dim = axis_of(dim, x.ndim, "unflatten")
    sizes, n = tuple(sizes), x.shape[dim]
    rest = math.prod([size for size in sizes if size != -1])
    if n != rest and not (sizes.count(-1) == 1 and rest and n % rest == 0):
        raise ValueError(
            message(
                "unflatten",
                f"axis {dim} cannot be split into these sizes.",
                expect=f"sizes whose product is {n} (at most one of them -1)",
                actual=sizes,
            )
        )
    sizes = [n // rest if size == -1 else size for size in sizes]
    return reshape(x, (*x.shape[:dim], *sizes, *x.shape[dim + 1 :]))


def permute(x, dims):
    """Return x with its axes in the order `dims`."""
    axes = tuple([axis_of(d, x.ndim, "permute") for d in dims])
    if sorted(axes) != list(range(x.ndim)):
        raise ValueError(
            message(
                "permute",
                "the axes do not name each axis once.",
                expect=f"an order of {tuple(range(x.ndim))}",
                actual=tuple(dims),
            )
        )
    return Transpose.apply(x, axes=axes)


def transpose(x, dim0, dim1):
    """Return x with two axes exchanged."""
    axes = list(range(x.ndim))
    i, j = axis_of(dim0, x.ndim, "transpose"), axis_of(dim1, x.ndim, "transpose")
    if axes:
        axes[i], axes[j] = axes[j], axes[i]
    return Transpose.apply(x, axes=tuple(axes))


def t(x):
    """Return the transpose of a matrix (or x itself, if it has fewer than two axes)."""
    if x.ndim > 2:
        raise ValueError(
            message(
                "t",
                "more than two axes.",
                actual=f"shape {tuple(x.shape)}",
                do="use transpose(dim0, dim1) or .mT",
            )
        )
    return transpose(x, 0, 1) if x.ndim == 2 else x


def squeeze(x, dim=None):
    """Return x without its axes of size 1, or without those of them in `dim`."""
    chosen = range(x.ndim) if dim is None else axes_of(dim, x.ndim, "squeeze")
    return reshape(x, tuple([n for i, n in enumerate(x.shape) if n != 1 or i not in chosen]))


def unsqueeze(x, dim):
    """Return x with a new axis of size 1 at `dim`."""
    dim = axis_of(dim, x.ndim + 1, "unsqueeze")
    return reshape(x, (*x.shape[:dim], 1, *x.shape[dim:]))


def movedim(x, source, destination):
    """Return x with axis `source` moved to `destination`."""
    source = axis_of(source, x.ndim, "movedim")
    rest = [i for i in range(x.ndim) if i != source]
    rest.insert(axis_of(destination, x.ndim, "movedim"), source)
    return permute(x, rest)


def index(x, key):
    """Return x[key], for every key that NumPy takes; lists and tensors index as arrays."""
    return _take("index", x, index_key(key, x.array))


def _take(name, x, key):
    try:
        return Index.apply(x, key=key)
    except IndexError as error:  # NumPy says well what is wrong, but not where
        raise IndexError(message(name, f"{error}.", actual=f"shape {tuple(x.shape)}")) from None


def index_key(key, array):
    """Return `key` in arrays, slices and numbers on the device of `array`."""
    if isinstance(key, tuple):
        return tuple([_key(part, array) for part in key])
    return _key(key, array)


def _key(part, array):
    if isinstance(part, autograd.Tensor):
        part = part.array
    elif isinstance(part, list):
        part = np.asarray(part, dtype=None if part else np.int64)
    elif isinstance(part, slice):  # a tensor of one element may stand for a bound
        part = slice(
            *[
                bound.item() if isinstance(bound, autograd.Tensor) else bound
                for bound in (part.start, part.stop, part.step)
            ]
        )
    if backend.is_array(part):
        if part.dtype.kind not in "biu":
            raise IndexError(
                message(
                    "index",
                    "these cannot be indices.",
                    expect="integers or booleans",
                    actual=f"dtype {part.dtype}",
                )
            )
        return backend.asarray_on(part, backend.device_of(array))
    return part


def gather(x, dim, index):
    """Return the entries of x that `index` names along axis `dim`.

    ``y[i][j] = x[index[i][j]][j]`` for ``dim=0`` and two axes, as in PyTorch.
    """
    dim = axis_of(dim, x.ndim, "gather")
    if index.ndim != x.ndim:
        raise ValueError(
            message("gather", "index has another number of axes.", expect=x.ndim, actual=index.ndim)
        )
    xp = backend.array_module(index.array)
    key = []
    for axis, size in enumerate(index.shape):
        along = [1] * index.ndim
        along[axis] = size
        key.append(_key(index, x.array) if axis == dim else xp.arange(size).reshape(along))
    return _take("gather", x, tuple(key))


def index_select(x, dim, index):
    """Return the slices of x along axis `dim` that the integers in `index` name."""
    dim = axis_of(dim, x.ndim, "index_select")
    return _take("index_select", x, index_key((slice(None),) * dim + (index,), x.array))


def cat(tensors, dim=0):
    """Return the tensors one after the other along axis `dim`."""
    tensors = list(tensors)
    for x in tensors:
        if not isinstance(x, autograd.Tensor):
            raise TypeError(
                message("cat", "not a tensor.", expect="tensors", actual=type(x).__name__)
            )
    if not tensors:
        raise ValueError(message("cat", "there is nothing to concatenate."))
    tensors = [x for x in tensors if x.shape != (0,)] or tensors  # PyTorch skips tensor([])
    dim = axis_of(dim, tensors[0].ndim, "cat")
    first = tensors[0].shape
    for i, x in enumerate(tensors):
        if x.ndim != len(first) or any(
            n != m for axis, (n, m) in enumerate(zip(x.shape, first)) if axis != dim
        ):
            raise ValueError(
                message(
                    "cat",
                    f"tensor {i} does not fit the first.",
                    expect=f"shape {tuple(first)}, any size along axis {dim}",
                    actual=tuple(x.shape),
                )
            )
    dtype = _common_dtype(tensors)
    return Concat.apply(*[x.to(dtype) for x in tensors], axis=dim)


def stack(tensors, dim=0):
    """Return the tensors, all of one shape, along a new axis `dim`."""
    tensors = list(tensors)
    for i, x in enumerate(tensors):
        if not isinstance(x, autograd.Tensor) or x.shape != tensors[0].shape:
            raise ValueError(
                message(
                    "stack",
                    f"tensor {i} does not fit the first.",
                    expect="tensors of one shape",
                    actual=f"{_shape_or_type(tensors[0])} and {_shape_or_type(x)}",
                    do="use cat() for sizes that differ along one axis",
                )
            )
    return cat([unsqueeze(x, dim) for x in tensors], dim)


def _shape_or_type(x):
    return tuple(x.shape) if isinstance(x, autograd.Tensor) else type(x).__name__


def _common_dtype(tensors):
    from .elementwise import promote

    first = tensors[0]
    for other in tensors[1:]:
        if other.dtype != first.dtype:
            first, _ = promote(first.detach().reshape((-1,)), other.detach().reshape((-1,)))
    return first.dtype


def split(x, split_size_or_sections, dim=0):
    """Return pieces of x along axis `dim`: of given sizes, or one size (the last may be less)."""
    dim = axis_of(dim, x.ndim, "split")
    size, length = split_size_or_sections, x.shape[dim]
    if isinstance(size, int):
        if size <= 0:
            raise ValueError(message("split", "the size of a piece is not positive.", actual=size))
        size = [min(size, length - start) for start in range(0, length, size)] or [0]
    if sum(size) != length:
        raise ValueError(
            message(
                "split",
                "the pieces do not add up.",
                expect=f"{length} along axis {dim}",
                actual=f"{list(size)}, {sum(size)} in all",
            )
        )
    ends = np.cumsum(size).tolist()
    before = (slice(None),) * dim
    return tuple([index(x, (*before, slice(e - n, e))) for n, e in zip(size, ends)])


def chunk(x, chunks, dim=0):
    """Return x along axis `dim` in `chunks` pieces of one size; the last may be smaller."""
    if not chunks >= 1:
        raise ValueError(
            message("chunk", "no number of pieces.", expect="1 or more", actual=chunks)
        )
    length = x.shape[axis_of(dim, x.ndim, "chunk")]
    return split(x, max(1, -(-length // chunks)), dim)


def unbind(x, dim=0):
    """Return the slices of x along axis `dim`, without that axis."""
    if not x.ndim:
        raise ValueError(message("unbind", "a tensor without axes has no slices."))
    dim = axis_of(dim, x.ndim, "unbind")
    return tuple([index(x, (slice(None),) * dim + (i,)) for i in range(x.shape[dim])])


def flip(x, dims):
    """Return x with the order along the axes `dims` reversed."""
    chosen = () if dims == () else axes_of(dims, x.ndim, "flip")
    return index(x, tuple([slice(None, None, -1 if i in chosen else 1) for i in range(x.ndim)]))


def repeat(x, sizes):
    """Return x repeated ``sizes[i]`` times along axis i (new axes come first)."""
    if len(sizes) < x.ndim or any(n < 0 for n in sizes):
        raise ValueError(
            message(
                "repeat",
                "the numbers of copies do not fit the tensor.",
                expect=f"at least {x.ndim} numbers, from 0 on",
                actual=tuple(sizes),
            )
        )
    shape = (1,) * (len(sizes) - x.ndim) + tuple(x.shape)
    pairs = [n for pair in zip([1] * len(shape), shape) for n in pair]
    copies = [n for pair in zip(sizes, shape) for n in pair]
    spread = broadcast_to(reshape(x, tuple(pairs)), tuple(copies))
    return reshape(spread, tuple([n * m for n, m in zip(sizes, shape)]))


def tril(x, diagonal=0):
    """Return x with zeros above the given diagonal of its last two axes."""
    return _triangle(x, lambda row, column: column - row <= diagonal)


def triu(x, diagonal=0):
    """Return x with zeros below the given diagonal of its last two axes."""
    return _triangle(x, lambda row, column: column - row >= diagonal)


def _triangle(x, keep):
    from .elementwise import where

    if x.ndim < 2:
        raise ValueError(
            message("tril/triu", "not a matrix.", expect="2 axes or more", actual=tuple(x.shape))
        )
    xp = backend.array_module(x.array)
    rows, columns = x.shape[-2:]
    return where(autograd.Tensor(keep(xp.arange(rows)[:, None], xp.arange(columns))), x, 0)


def pad(x, pad, mode="constant", value=0.0):
    """Return x with a border.

    Parameters
    ----------
    x : Tensor
    pad : sequence of int
        Widths (before, after) for the last axis, then for the one before it, and so on.
        Negative widths cut off, in mode "constant".
    mode : {"constant", "reflect", "replicate", "circular"}
        What the border holds: `value`, or x mirrored at its edge entry, its edge entry, or x
        from the other end.
    value : float
        The constant.
    """
    widths = _pad_widths(x, pad, mode)
    if mode == "constant":
        inside = tuple([slice(max(0, -a), n - max(0, -b)) for (a, b), n in zip(widths, x.shape)])
        if any(a < 0 or b < 0 for a, b in widths):
            x = index(x, inside)
        widths = [(max(0, a), max(0, b)) for a, b in widths]
        return Pad.apply(x, widths=widths, value=value) if any(map(any, widths)) else x
    # Every entry of the border is one of x's: index each padded axis by where it comes from.
    numpy_mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    for axis, (width, n) in enumerate(zip(widths, x.shape)):
        if any(width):
            source = np.pad(np.arange(n), width, mode=numpy_mode)
            x = index(x, (slice(None),) * axis + (source,))
    return x


def _pad_widths(x, pad, mode):
    if mode not in ("constant", "reflect", "replicate", "circular"):
        raise ValueError(
            message(
                "pad",
                "no such mode.",
                expect="'constant', 'reflect', 'replicate' or 'circular'",
                actual=repr(mode),
            )
        )
    pad = tuple([int(p) for p in pad])
    if len(pad) % 2 or len(pad) > 2 * x.ndim:
        raise ValueError(
            message(
                "pad",
                "the widths do not fit the tensor.",
                expect=f"pairs (before, after) from the last axis back, at most {x.ndim} pairs",
                actual=f"{pad} for shape {tuple(x.shape)}",
            )
        )
    pairs = [pad[i : i + 2] for i in range(0, len(pad), 2)]
    widths = [(0, 0)] * (x.ndim - len(pairs)) + pairs[::-1]
    for axis, ((a, b), n) in enumerate(zip(widths, x.shape)):
        most = {"reflect": max(0, n - 1), "circular": n}.get(mode)
        too_wide = most is not None and max(a, b) > most
        if too_wide or (mode != "constant" and min(a, b) < 0) or a + b + n < 0:
            raise ValueError(
                message(
                    "pad",
                    f"the border of axis {axis} does not fit in mode {mode!r}.",
                    expect=f"widths from 0 to {most}" if too_wide else "widths not negative",
                    actual=f"{(a, b)} for size {n}",
                )
            )
    return widths


# ---------------------------------------------------------------------------- naming axes


def axis_of(dim: int, ndim: int, where: str) -> int:
    """Return axis `dim`, counted from the end if negative, as a number from 0."""
    most = max(ndim, 1)
    if not isinstance(dim, (int, np.integer)) or isinstance(dim, bool):
        raise TypeError(message(where, "the axis is not an integer.", actual=repr(dim)))
    if not -most <= dim < most:
        raise IndexError(
            message(
                where, "there is no such axis.", expect=f"from {-most} to {most - 1}", actual=dim
            )
        )
    return int(dim) % most


def axes_of(dim, ndim: int, where: str) -> tuple:
    """Return the axes meant by None (all), a number or a sequence of numbers."""
    if dim is None or (isinstance(dim, (tuple, list)) and len(dim) == 0):
        return tuple(range(ndim))
    dims = dim if isinstance(dim, (tuple, list)) else (dim,)
    axes = tuple([axis_of(d, ndim, where) for d in dims])
    if len(set(axes)) != len(axes):
        raise ValueError(message(where, "an axis is named twice.", actual=tuple(dims)))
    return axes if ndim else ()
