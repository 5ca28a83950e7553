"""What is done with the upstream gradient: ignored, used twice, or another one than was given.

A gradient is linear in the upstream gradient. Whether yours is can be tried out; and with the
whole Jacobian at hand, so can what the right formula would give for a wrong upstream.

Before this: ``evidence.py``. Next: ``structure.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from .evidence import Cause, Evidence


def ignored_or_twice(e: Evidence) -> Iterator[Cause]:
    """Twice the upstream must give twice the gradient: not the same, and not four times."""
    gy, once = e.upstreams[0], e.yours[0]
    twice = e.answer(2 * gy)
    if twice is None or not e.y.size:
        return
    if _equal(twice, once) and _equal(e.yours[1], once):
        proof = "backward(2 * gy) is the same as backward(gy)"
        if e.close([e.pull(np.ones_like(gy))] * len(e.yours)):
            proof += "; yours would be right if gy were 1 everywhere"
        yield Cause("the upstream gradient is ignored", proof)
    elif _equal(twice, 4 * once):
        proof = "backward(2 * gy) is 4 times backward(gy)"
        yield Cause("the upstream gradient is used twice", proof)


def not_linear(e: Evidence) -> Iterator[Cause]:
    """A sum of upstream gradients must give the sum of the gradients, and zero zero."""
    gy, other = e.upstreams[0], e.upstreams[1]
    answers = [e.answer(g) for g in (2 * gy, 0 * gy, gy + other)]
    if not e.y.size or any([a is None for a in answers]):
        return
    once, second, (twice, none, both) = e.yours[0], e.yours[1], answers
    if not _equal(both + none, once + second):
        how = "2 * gy" if not _equal(twice + none, 2 * once) else "g1 + g2"
        right = "2 * backward(gy)" if how == "2 * gy" else "backward(g1) + backward(g2)"
        proof = f"backward({how}) is not {right}"
        yield Cause("it is not linear in the upstream gradient", proof)
    elif not _equal(none + once, once):
        proof = "backward(0 * gy) is not zero: a summand lacks its factor gy"
        yield Cause("a part of it ignores the upstream gradient", proof)


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are the same, also where they were computed in float32."""
    size = float(abs(b).max(initial=0.0))
    return bool((abs(a - b) <= 1e-5 * (abs(a) + abs(b)) + 1e-6 * size).all())


def another_upstream(e: Evidence) -> Iterator[Cause]:
    """The right formula with a wrong upstream: averaged, summed, turned round."""
    if e.y.size > 1:
        for text, change in _changes(e.y.shape):
            if e.close([e.pull(change(gy)) for gy in e.upstreams]):
                yield Cause(text, "with that upstream, the right formula gives your numbers")


Change = Callable[[np.ndarray], np.ndarray]


def _changes(shape: tuple) -> Iterator[tuple[str, Change]]:
    """Yield what may have been done to an upstream gradient of that shape."""
    for axis in [None, *range(len(shape))] if len(shape) > 1 else [None]:
        if axis is None or shape[axis] > 1:
            where = "" if axis is None else f" over axis {axis}"
            for word, reduce in (("summed", np.sum), ("averaged", np.mean)):
                text = f"the upstream gradient is {word}{where} first"
                yield text, lambda g, r=reduce, a=axis: _spread(r(g, axis=a, keepdims=True), g)
    yield "only the first entry of the upstream gradient is used", lambda g: _spread(g.flat[0], g)
    yield "only the last entry of the upstream gradient is used", lambda g: _spread(g.flat[-1], g)
    for axis, length in enumerate(shape):
        if length > 1:
            yield from _along(axis)
    if len(shape) > 1:
        for k, which in ((0, "first"), (-1, "last")):
            for axis in range(len(shape)):
                text = f"the {which} upstream gradient along axis {axis} is used for all"
                yield text, lambda g, a=axis, k=k: _spread(g.take([k], axis=a), g)
    for a, b in itertools.combinations(range(len(shape)), 2):
        if shape[a] == shape[b] > 1:
            yield (
                "the upstream gradient is transposed",
                lambda g, a=a, b=b: g.swapaxes(a, b),
            )
    if len(shape) > 1 and max(shape) < np.prod(shape):
        text = "the upstream gradient is reshaped in the wrong order (of its axes)"
        yield text, lambda g: g.T.reshape(g.shape)
        yield text, lambda g: g.reshape(g.shape[::-1]).T
        yield text, lambda g: g.reshape(g.shape, order="F")
        for a, b in itertools.combinations(range(len(shape)), 2):
            yield text, lambda g, a=a, b=b: g.swapaxes(a, b).reshape(g.shape)


def _along(axis: int) -> Iterator[tuple[str, Change]]:
    """Yield what may have been done along one axis."""
    where = f"along axis {axis}"

    def only(g, k):
        kept = np.zeros_like(g)
        at = (slice(None),) * axis + (k,)
        kept[at] = g[at]
        return kept

    def moved(g, by):
        g = np.roll(g, by, axis)
        return g - only(g, 0 if by > 0 else -1)

    yield f"only the last upstream gradient {where} is used", lambda g: only(g, -1)
    yield f"only the first upstream gradient {where} is used", lambda g: only(g, 0)
    yield f"the last upstream gradient {where} is left out", lambda g: g - only(g, -1)
    yield f"the first upstream gradient {where} is left out", lambda g: g - only(g, 0)
    text = f"the upstream gradient is used in reverse order {where}"
    yield text, lambda g: np.flip(g, axis)
    for by in (1, -1):
        text = f"the upstream gradient is shifted by one {where}"
        yield text, lambda g, by=by: np.roll(g, by, axis)
        yield text, lambda g, by=by: moved(g, by)


def _spread(value, g: np.ndarray) -> np.ndarray:
    return np.broadcast_to(value, g.shape)
