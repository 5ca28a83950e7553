"""Your gradient has another shape than the input: what was forgotten?

Each candidate undoes or does what may have been forgotten; it is the cause only if the numbers are
then right. If none fits, the two shapes are all that is said.

Before this: ``evidence.py``. Next: ``upstreams.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from .evidence import Cause, Evidence
from .factors import sizes_of
from .naming import named_axes, scaled


def wrong_shape(e: Evidence) -> Iterator[Cause]:
    """A sum that is missing, axes that are exchanged, an axis that was lost."""
    yours, shapes = e.yours[0].shape, f"shape {e.yours[0].shape} instead of {e.x.shape}"
    mended = []
    for candidate in (missing_sum, turned, lost_axis, not_spread, not_cut, cut, not_scattered):
        for text, arrays in candidate(e, yours):
            if all([a.shape == e.x.shape for a in arrays]):
                mended.append((text, arrays))
                if e.close(e.expected, arrays):
                    yield Cause(text, shapes)
    for text, arrays in [*summed_too_much(e, yours), *summed_elsewhere(e, yours)]:
        if e.known.all() and e.close(arrays):
            yield Cause(text, shapes)
    sizes = sizes_of(e)
    for text, arrays in mended:  # that, and a factor
        ratio = e.ratio(arrays)
        factor = scaled(ratio, sizes) if ratio else None
        if factor:
            yield Cause(f"{text}; and then {factor}", shapes)


def wrong_axis(e: Evidence) -> Iterator[Cause]:
    """Summed over the wrong axis, of the same length as the right one."""
    for text, arrays in summed_elsewhere(e, e.x.shape):
        if e.known.all() and e.close(arrays):
            yield Cause(text)


def only_shape(e: Evidence) -> Iterator[Cause]:
    """The shape, where nothing explains it."""
    yield Cause(f"shape {e.yours[0].shape} instead of {e.x.shape}")


Candidates = Iterator[tuple[str, list[np.ndarray]]]


def missing_sum(e: Evidence, yours: tuple) -> Candidates:
    for axes in _subsets([k for k, n in enumerate(yours) if n != 1]):
        rest = [n for k, n in enumerate(yours) if k not in axes]
        if _squeezed(rest) == _squeezed(e.x.shape):
            sums = [g.sum(axis=axes).reshape(e.x.shape) for g in e.yours]
            yield f"the sum over {_of_the_output(e, axes, yours)} is missing", sums


def turned(e: Evidence, yours: tuple) -> Candidates:
    for axes in itertools.islice(itertools.permutations(range(len(yours))), 1, 120):
        yield "transposed", [g.transpose(axes) for g in e.yours]


def lost_axis(e: Evidence, yours: tuple) -> Candidates:
    if int(np.prod(yours)) == e.x.size:
        arrays = [g.reshape(e.x.shape) for g in e.yours]
        if _squeezed(yours) != _squeezed(e.x.shape):
            yield "not reshaped to the input's shape", arrays
        elif len(yours) < e.x.ndim:
            yield "an axis of length 1 was lost (keepdims=True, or reshape)", arrays
        else:
            yield "an axis of length 1 is too many (keepdims, or reshape)", arrays


def not_spread(e: Evidence, yours: tuple) -> Candidates:
    """The gradient of a sum is the same for all summands; here there is only one."""
    for axes in _subsets(range(e.x.ndim)):
        rest = [n for k, n in enumerate(e.x.shape) if k not in axes]
        if _squeezed(rest) == _squeezed(yours):
            kept = [1 if k in axes else n for k, n in enumerate(e.x.shape)]
            text = f"not spread back over {_axes(e, axes, e.x.shape)} of the input"
            yield text, [np.broadcast_to(g.reshape(kept), e.x.shape) for g in e.yours]


def summed_too_much(e: Evidence, yours: tuple) -> Candidates:
    """Yield what the expected gradient becomes when it is summed or averaged."""
    for axes in _subsets([k for k, n in enumerate(e.x.shape) if n != 1]):
        rest = [n for k, n in enumerate(e.x.shape) if k not in axes]
        if _squeezed(rest) == _squeezed(yours):
            which = _axes(e, axes, e.x.shape)
            for word, reduce in (("summed", np.sum), ("averaged", np.mean)):
                arrays = [reduce(g, axis=axes).reshape(yours) for g in e.expected]
                yield f"{word} over {which}, which the input has too", arrays


def summed_elsewhere(e: Evidence, yours: tuple) -> Candidates:
    """Yield the upstream gradient summed over some axes, where it should be others."""
    if not 0 < e.y.ndim < 6:
        return
    sums = {}
    for axes in _subsets(range(e.y.ndim)):
        rest = [n for k, n in enumerate(e.y.shape) if k not in axes]
        if _squeezed(rest) in (_squeezed(e.x.shape), _squeezed(yours)):
            sums[axes] = [g.sum(axis=axes) for g in e.upstreams]
    for right, expected in sums.items():
        fits = expected[0].size == e.x.size
        if not fits or not e.close([g.reshape(e.x.shape) for g in expected], e.expected):
            continue
        for wrong, arrays in sums.items():
            if wrong != right and arrays[0].size == np.prod(yours):
                text = f"summed over {_axes(e, wrong, e.y.shape)} instead of "
                text += _axes(e, right, e.y.shape)
                yield text, [g.reshape(yours) for g in arrays]


def not_cut(e: Evidence, yours: tuple) -> Candidates:
    """The gradient of a part, or of the inside of a padded array, is a part."""
    if len(yours) != e.x.ndim or not all([n >= m for n, m in zip(yours, e.x.shape)]):
        return
    extra = [n - m for n, m in zip(yours, e.x.shape)]
    if all([k % 2 == 0 for k in extra]):
        inside = tuple([slice(k // 2, k // 2 + m) for k, m in zip(extra, e.x.shape)])
        yield "the border (padding) is not cut off", [g[inside] for g in e.yours]
    for starts in itertools.islice(itertools.product(*[range(k + 1) for k in extra]), 200):
        part = tuple([slice(k, k + m) for k, m in zip(starts, e.x.shape)])
        yield "not cut down to the part that belongs to this input", [g[part] for g in e.yours]


def cut(e: Evidence, yours: tuple) -> Candidates:
    """The gradient of what was left out is 0, and must be there."""
    if len(yours) != e.x.ndim or not all([n <= m for n, m in zip(yours, e.x.shape)]):
        return
    extra = [m - n for n, m in zip(yours, e.x.shape)]
    for starts in itertools.islice(itertools.product(*[range(k + 1) for k in extra]), 200):
        part = tuple([slice(k, k + n) for k, n in zip(starts, yours)])
        filled = [np.zeros(e.x.shape) for _ in e.yours]
        for whole, g in zip(filled, e.yours):
            whole[part] = g
        yield "not put back to its place in the input, with zeros around it", filled


def not_scattered(e: Evidence, yours: tuple) -> Candidates:
    """The gradient of x[i] must be added up at the places i."""
    for name, index in zip(e.problem.names, e.problem.inputs):
        if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu" or not e.x.ndim:
            continue
        if yours != index.shape + e.x.shape[1:] or not index.size:
            continue
        if index.min() >= -len(e.x) and index.max() < len(e.x):
            filled = [np.zeros(e.x.shape) for _ in e.yours]
            for whole, g in zip(filled, e.yours):
                np.add.at(whole, index, g)
            yield f"not scattered back to the places {name} (np.add.at)", filled


# ------------------------------------------------------------------------------------- helpers


def _subsets(axes) -> Iterator[tuple[int, ...]]:
    axes = list(axes)
    for length in range(1, len(axes) + 1):
        yield from itertools.combinations(axes, length)


def _squeezed(shape) -> tuple:
    return tuple([n for n in shape if n != 1])


def _axes(e: Evidence, axes: tuple, shape: tuple) -> str:
    """Return ``axis 0 (N)``: the axes with the sizes that they are named for."""
    arrays = [x.shape for x in e.problem.inputs if isinstance(x, np.ndarray)]
    return named_axes(axes, shape, e.problem.sizes, [*arrays, e.y.shape])


def _of_the_output(e: Evidence, axes: tuple, yours: tuple) -> str:
    """Name axes of yours: where it is the output with some axes summed, as the output counts them.

    After ``gy.sum(0)``, what is axis 1 of yours is axis 2 of `gy`, which a learner thinks of.
    """
    if len(yours) == e.y.ndim:
        return _axes(e, axes, yours)
    kept = [
        left
        for left in itertools.combinations(range(e.y.ndim), len(yours))
        if tuple([e.y.shape[k] for k in left]) == yours
    ]
    for left in kept if len(kept) > 1 else ():
        over = tuple([k for k in range(e.y.ndim) if k not in left])
        if all([np.allclose(g, gy.sum(axis=over)) for g, gy in zip(e.yours, e.upstreams)]):
            kept = [left]
            break
    if len(kept) == 1:
        return f"{_axes(e, tuple([kept[0][k] for k in axes]), e.y.shape)} of the output"
    return f"{_axes(e, axes, yours)} of yours"
