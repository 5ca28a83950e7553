"""As if an input were another: yours is the right gradient of the wrong thing.

A kernel that is not turned, a scale that is ignored, labels that are off by one: then yours is the
derivative of forward at inputs that were changed in that way. One difference along a random
direction shows it, so no Jacobian is needed.

Before this: ``structure.py``. Next: ``places.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from .evidence import Cause, Evidence
from .naming import listed
from .problem import Objection

_STEP = 4e-4


def another_input(e: Evidence) -> Iterator[Cause]:
    """Yours is right for another value of one of the inputs."""
    yield from _right_for(e, _substitutes(e, _changed))


def ignored_input(e: Evidence) -> Iterator[Cause]:
    """Yours is right for an input of ones or zeros, as if it were not there."""
    for value in (1.0, 0.0):

        def constant(name, q, value=value):
            if q.dtype.kind == "f":
                yield f"{name} were {value:g} everywhere (it is ignored)", np.full_like(q, value)

        def others(name, q):
            yield f"{name} were anything", np.full_like(q, 3.7)

        fits = list(_right_for(e, _substitutes(e, constant)))
        if fits and not any(_right_for(e, _substitutes(e, others))):
            yield from fits  # where any constant fits, this one says nothing


def another_sign(e: Evidence) -> Iterator[Cause]:
    yield from _right_for(e, _substitutes(e, _signs))


def _right_for(e: Evidence, substitutes) -> Iterator[Cause]:
    rng = np.random.default_rng(0)
    directions = [e.known * rng.standard_normal(e.x.shape) for _ in range(2)]
    for text, inputs in substitutes:
        if all([_agrees(e, inputs, v) for v in directions]):
            yield Cause(f"computed as if {text}", "for that input your numbers would be right")


def _agrees(e: Evidence, inputs: list, direction: np.ndarray) -> bool:
    """Whether yours is the slope along a direction, at other inputs, for every upstream."""
    x = inputs[e.place]

    def central(h):
        ends = []
        for t in (h, -h):
            moved = [*inputs[: e.place], x + t * direction, *inputs[e.place + 1 :]]
            ends.append(e.problem.output(moved).ravel())
        return (ends[0] - ends[1]) / (2 * h)

    try:
        slopes = (4 * central(_STEP / 2) - central(_STEP)) / 3
    except Objection:
        return False
    if slopes.size != e.y.size:
        return False
    for gy, yours in zip(e.upstreams, e.yours):
        parts = (yours * direction).ravel()
        error = abs(parts.sum() - gy.ravel() @ slopes)
        if not error <= 1e-7 * float(np.sqrt(parts @ parts)):
            return False
    return True


def _substitutes(e: Evidence, changes) -> Iterator[tuple[str, list]]:
    """Yield inputs of which one is changed, with what was done to it."""
    for i, (name, q) in enumerate(zip(e.problem.names, e.problem.inputs)):
        if i == e.place and changes is not _signs:
            continue  # where the derivative has few values, these would fit by chance
        if isinstance(q, np.ndarray) and q.size:
            for text, other in changes(name, q):
                if not np.array_equal(other, q):
                    yield text, [*e.problem.inputs[:i], other, *e.problem.inputs[i + 1 :]]
    floats = [i for i in e.problem.wanted if isinstance(e.problem.inputs[i], np.ndarray)]
    for i, k in itertools.combinations(floats, 2):
        p, q = e.problem.inputs[i], e.problem.inputs[k]
        if p.shape == q.shape and not np.array_equal(p, q):
            inputs = list(e.problem.inputs)
            inputs[i], inputs[k] = q, p
            yield f"{e.problem.names[i]} and {e.problem.names[k]} were exchanged", inputs


def _signs(name: str, q: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if q.dtype.kind == "f":
        yield f"{name} had the other sign", -q
        yield f"{name} were |{name}|", abs(q)


def _changed(name: str, q: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if q.dtype.kind == "b":
        yield f"{name} were the other way round (True for False)", ~q
        yield f"{name} were True everywhere (it is ignored)", np.ones_like(q)
        return
    if q.dtype.kind in "iu":
        for by in (1, -1):
            yield f"{name} were {'larger' if by > 0 else 'smaller'} by 1", q + by
        in_order = np.sort(q, axis=None).reshape(q.shape)
        counted = np.array_equal(in_order.ravel(), np.arange(q.size))
        yield f"{name} were {'0, 1, 2, ...' if counted else 'sorted'}", in_order
        yield f"{name} were reversed", q.ravel()[::-1].reshape(q.shape)
        return
    for count in range(1, min(q.ndim, 3) + 1):
        for axes in itertools.combinations(range(q.ndim), count):
            if all([q.shape[k] > 1 for k in axes]):
                yield f"{name} were reversed along {listed(axes)}", np.flip(q, axes)
    for a, b in itertools.combinations(range(q.ndim), 2):
        if q.shape[a] == q.shape[b] > 1:
            yield f"{name} were transposed", q.swapaxes(a, b)
    for axis in range(q.ndim):
        if q.shape[axis] > 1:
            first = np.broadcast_to(q.take([0], axis=axis), q.shape).copy()
            yield f"{name} had its first entry along axis {axis} everywhere", first
