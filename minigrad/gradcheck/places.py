"""Where is it wrong? A place is a cause only if the wrong entries are exactly those.

Before this: ``structure.py``. Next: ``causes.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from .evidence import Cause, Evidence
from .factors import sizes_of
from .naming import scaled


def wrong_places(e: Evidence) -> Iterator[Cause]:
    """The wrong entries are exactly those with one property."""
    yield from _wrong_support(e)
    counts = np.any([abs(g) > 1e-9 * e.scale for g in e.expected], axis=0)
    right = e.known & ~e.wrong
    if e.known.sum() < 4 or not (right & counts).any():
        return  # so few entries fit any place; and to be right where 0 is right says nothing
    for text, where in properties(e):
        if where.shape == e.x.shape and np.array_equal(where & e.known, e.wrong):
            proof = f"these {int(e.wrong.sum())} entries; the other {int(right.sum())} are right"
            yield Cause(f"wrong exactly where {text}{_what_is_there(e)}", proof)


def joined(causes: list[Cause], e: Evidence) -> Cause:
    """Return the first cause; for a single wrong entry, all places that fit it."""
    if not causes[0].text.startswith("wrong exactly") or e.wrong.sum() > 1:
        return causes[0]
    texts = [causes[0].text] + [c.text.removeprefix("wrong exactly ") for c in causes[1:3]]
    return Cause("; or ".join(texts), causes[0].proof)


def _wrong_support(e: Evidence) -> Iterator[Cause]:
    """It is zero in the wrong places: a condition is turned round, or is another one."""
    yours = np.any([g != 0 for g in e.yours], axis=0)
    expected = np.any([abs(g) > 1e-9 * e.scale for g in e.expected], axis=0)
    if yours[e.known].all() or expected[e.known].all() or not yours.any():
        return
    if np.array_equal((yours & e.known), ~expected & e.known):
        text = "zero exactly where it should not be: a condition is the wrong way round"
        yield Cause(text, "yours is 0 where the expected gradient is not, and the reverse")
    if (yours & ~expected & e.known).any() and (expected & ~yours & e.known).any():
        for text, where in properties(e):
            if where.shape == e.x.shape and np.array_equal(where & e.known, yours & e.known):
                yield Cause(f"not zero exactly where {text}, which are the wrong entries")


def _what_is_there(e: Evidence) -> str:
    """Say what the wrong entries have in common, if it is simple."""
    yours = np.concatenate([g[e.wrong] for g in e.yours])
    expected = np.concatenate([g[e.wrong] for g in e.expected])
    if not yours.any():
        return " (yours is 0 there)"
    if (abs(expected) <= 1e-9 * e.scale).all():
        return " (it should be 0 there)"
    ratio = float(yours @ expected) / float(expected @ expected)
    if ratio and np.allclose(yours, ratio * expected, rtol=1e-6, atol=1e-9 * e.scale):
        name = scaled(ratio, sizes_of(e))
        return f" (there, {name})" if name else f" (yours is {ratio:.6g} times too large there)"
    return ""


Places = Iterator[tuple[str, np.ndarray]]


def properties(e: Evidence) -> Places:
    """Yield sets of entries that a learner may have treated wrongly, with their names."""
    yield from by_value(e)
    yield from by_index(e)
    yield from by_comparison(e)
    if e.x.size > 5:
        yield from by_position(e.x.shape)
    yield from by_gradient(e)


def by_value(e: Evidence) -> Places:
    for name, q in _spread_inputs(e):
        if q.dtype.kind == "b":
            yield f"{name} is False", ~q
            yield f"{name} is True", q
        elif q.dtype.kind in "iu":
            for value in np.unique(q)[:12]:
                yield f"{name} == {value}", q == value
        else:
            yield f"{name} < 0", q < 0
            yield f"{name} > 0", q > 0
            yield f"{name} == 0", q == 0
            yield f"|{name}| > 1", abs(q) > 1
            yield f"{name} > 1", q > 1
            yield f"{name} < -1", q < -1
            yield f"|{name}| < 1", abs(q) < 1
    if e.y.shape == e.x.shape and e.x.ndim:
        yield "y < 0", e.y < 0
    for axis in [None, *range(e.x.ndim)] if e.x.ndim > 1 else [None]:
        if e.x.size and (axis is None or e.x.shape[axis] > 1):
            along = "" if axis is None else f" along axis {axis}"
            largest = e.x == e.x.max(axis=axis, keepdims=True)
            yield f"{e.name} is the largest{along}", largest
            yield f"{e.name} is not the largest{along}", ~largest
            smallest = e.x == e.x.min(axis=axis, keepdims=True)
            yield f"{e.name} is the smallest{along}", smallest


def by_index(e: Evidence) -> Places:
    """Yield what integer inputs point to: labels, and the places that they name more than once."""
    for name, index in zip(e.problem.names, e.problem.inputs):
        if not isinstance(index, np.ndarray) or index.dtype.kind not in "iu" or not index.size:
            continue
        if e.x.ndim and index.min() >= -len(e.x) and index.max() < len(e.x):
            counts = np.bincount(index.ravel() % len(e.x), minlength=len(e.x))
            for text, rows in (
                (f"the index {name} repeats", counts > 1),
                (f"the index {name} never points", counts == 0),
                (f"the index {name} points", counts > 0),
            ):
                yield text, np.broadcast_to(_column(rows, e.x.ndim), e.x.shape)
        if e.x.ndim > 1 and index.shape == e.x.shape[:-1]:
            hit = np.arange(e.x.shape[-1]) == index[..., None]
            yield f"the label {name} points", hit
            yield f"the label {name} does not point", ~hit


def by_comparison(e: Evidence) -> Places:
    arrays = [(n, q) for n, q in _spread_inputs(e) if q.dtype.kind == "f"]
    for (a, p), (b, q) in itertools.combinations(arrays, 2):
        yield f"{a} < {b}", p < q
        yield f"{a} > {b}", p > q
        yield f"|{a} - {b}| > 1", abs(p - q) > 1
        yield f"|{a} - {b}| < 1", abs(p - q) < 1


def by_gradient(e: Evidence) -> Places:
    zero = np.all([abs(g) <= 1e-9 * e.scale for g in e.expected], axis=0)
    yield "the right gradient is 0", zero
    yield "the right gradient is not 0", ~zero
    if e.y.shape == e.x.shape:
        yield "y == 0", e.y == 0
        yield "y is the same as the input", e.y == e.x
        yield "y is not the same as the input", e.y != e.x


def by_position(shape: tuple) -> Places:
    grid = np.indices(shape)
    for axis, length in enumerate(shape):
        if length < 2:
            continue
        k = grid[axis]
        yield f"the index along axis {axis} is 0 (the first)", k == 0
        yield f"the index along axis {axis} is {length - 1} (the last)", k == length - 1
        yield f"the index along axis {axis} is not 0 (all but the first)", k > 0
        yield f"the index along axis {axis} is not {length - 1} (all but the last)", k < length - 1
        for start in range(2, length - 1):
            yield f"the index along axis {axis} is {start} or more", k >= start
            yield f"the index along axis {axis} is below {start}", k < start
        yield f"the index along axis {axis} is odd", k % 2 == 1
        yield f"the index along axis {axis} is even", k % 2 == 0
        edge = (k == 0) | (k == length - 1)
        yield f"the entry is at either end of axis {axis}", edge
    if len(shape) > 1:
        i, j = grid[-2], grid[-1]
        border = (i == 0) | (j == 0) | (i == shape[-2] - 1) | (j == shape[-1] - 1)
        yield "the entry is at the border of the last two axes", border
        yield "the entry is inside (not at the border of the last two axes)", ~border
        yield "the entry is in the last row or column", (i == shape[-2] - 1) | (j == shape[-1] - 1)
        yield "the entry is in the first row or column", (i == 0) | (j == 0)
        yield "the entry is on the diagonal of the last two axes", i == j
        yield "the entry is off the diagonal of the last two axes", i != j
        yield "the entry is above the diagonal of the last two axes", i < j
        yield "the entry is below the diagonal of the last two axes", i > j


def _spread_inputs(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the inputs that fit the input in question, as NumPy spreads them."""
    own = [(e.name, e.x)]
    pairs = zip(e.problem.names, e.problem.inputs)
    for name, q in own + [(n, q) for n, q in pairs if n != e.name]:
        if isinstance(q, np.ndarray) and q.dtype.kind in "fiub":
            if q.shape == e.x.shape:
                yield name, q
            elif q.ndim <= e.x.ndim and q.ndim:
                for shape in (q.shape, q.shape + (1,) * (e.x.ndim - q.ndim)):
                    try:
                        yield name, np.broadcast_to(q.reshape(shape), e.x.shape)
                    except ValueError:
                        continue
                    break


def _column(rows: np.ndarray, ndim: int) -> np.ndarray:
    return rows.reshape((-1,) + (1,) * (ndim - 1))
