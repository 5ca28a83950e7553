"""What is known about a backward pass: its answers, and the right ones, at several upstreams.

`Evidence` holds one input's gradient beside the expected one, for the detectors in ``causes.py``.
Since it keeps the Jacobian, it knows the right answer for any upstream gradient.

Before this: ``problem.py``. Next: ``naming.py``, then ``causes.py``.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .differences import random_upstream
from .jacobian import Jacobian, jacobian
from .problem import Objection, Problem

_SECONDS = 0.5  # for the differences of one input
_LARGEST = 3_000_000  # derivatives that are kept for one input


@dataclass(frozen=True)
class Cause:
    """A mistake with a name, and the sentence or figures that prove it."""

    text: str
    proof: str = ""


@dataclass
class Point:
    """The problem at certain inputs: its output and backward's answers at several upstreams."""

    problem: Problem
    y: np.ndarray
    upstreams: list[np.ndarray]
    answers: list[list]  # for each upstream, for each input
    others: dict[int, Evidence] = field(default_factory=dict)

    @classmethod
    def of(cls, problem: Problem, rng: np.random.Generator, count: int = 3) -> Point:
        y = problem.output(problem.inputs)
        upstreams = [random_upstream(y.shape, rng) for _ in range(count)]
        return cls(problem, y, upstreams, [problem.gradients(gy) for gy in upstreams])

    def answered(self, place: int) -> bool:
        """Whether backward gave a gradient for this input."""
        return all([answer[place] is not None for answer in self.answers])

    @cached_property
    def elsewhere(self) -> Point | None:
        """The same problem at other inputs: the entries of each shuffled and moved a little.

        What happens to fit at one point does not fit at another. None where the functions object.
        """
        rng = np.random.default_rng(1)
        problem = copy.copy(self.problem)
        problem.inputs = [
            x if i in problem.optional else _shuffled(x, rng) for i, x in enumerate(problem.inputs)
        ]
        try:
            point = Point.of(problem, rng)
        except Objection:
            return None
        return point if np.isfinite(point.y).all() else None

    def evidence(self, place: int) -> Evidence:
        """Return what is known about one input's gradient; differentiated when first asked."""
        if place not in self.others:
            function, x = self.problem.values(place), self.problem.inputs[place]
            entries = affordable(function, x, self.y.size)
            self.others[place] = Evidence(self, place, jacobian(function, x, entries))
        return self.others[place]


def affordable(function: Callable, x: np.ndarray, outputs: int) -> np.ndarray | None:
    """Return the entries that there is time (and memory) to differentiate by; None for all."""
    seconds = min([_seconds(function, x) for _ in range(3)])
    most = int(min(_SECONDS / (9 * seconds + 1e-9), _LARGEST / max(1, outputs)))
    if x.size <= max(most, 20):
        return None
    chosen = np.random.default_rng(0).choice(x.size, max(most, 20), replace=False)
    return np.sort(chosen)


def _seconds(function: Callable, x: np.ndarray) -> float:
    """Return the processor time of one call: what else the machine does should not count."""
    start = time.process_time()
    function(x)
    return time.process_time() - start


def _shuffled(x, rng: np.random.Generator):
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x
    if x.ndim and x.shape[-1] > 1 and (x >= 0).all() and np.allclose(x.sum(axis=-1), 1):
        return rng.permuted(x, axis=-1)  # probabilities: backward may rely on their sum
    return np.asarray(rng.permutation(x.ravel()).reshape(x.shape) * rng.uniform(1, 1.02, x.shape))


@dataclass
class Evidence:
    """One input's gradient, yours and expected.

    Attributes
    ----------
    point : Point
        Where everything was evaluated.
    place : int
        Which input.
    jacobian : Jacobian
        The derivatives of all outputs by this input.
    """

    point: Point
    place: int
    jacobian: Jacobian

    @property
    def problem(self) -> Problem:
        return self.point.problem

    @property
    def name(self) -> str:
        return self.problem.names[self.place]

    @property
    def x(self) -> np.ndarray:
        return self.problem.inputs[self.place]

    @property
    def y(self) -> np.ndarray:
        return self.point.y

    @property
    def upstreams(self) -> list[np.ndarray]:
        return self.point.upstreams

    @cached_property
    def yours(self) -> list[np.ndarray]:
        """Your gradient for each upstream, as float64."""
        return [answer[self.place].astype(np.float64) for answer in self.point.answers]

    @property
    def dtype(self) -> np.dtype:
        return self.point.answers[0][self.place].dtype

    @cached_property
    def known(self) -> np.ndarray:
        """Where the expected gradient is known: not at kinks."""
        known = np.zeros(self.x.size, bool)
        known[self.jacobian.entries] = ~self.jacobian.kinks
        return known.reshape(self.x.shape)

    @cached_property
    def table(self) -> np.ndarray:
        """The whole Jacobian, one row for each output; empty if it is not known or too large."""
        values = self.jacobian.values
        whole = values.shape[1] == self.x.size and 0 < values.size <= 200_000
        return values if whole else np.zeros((0, 0))

    def pull(self, upstream: np.ndarray) -> np.ndarray:
        """Return the right gradient for an upstream gradient (0 where it is not known)."""
        return self._spread(upstream.ravel() @ self.jacobian.values)

    def _spread(self, numbers: np.ndarray) -> np.ndarray:
        whole = np.zeros(self.x.size)
        whole[self.jacobian.entries] = numbers
        return whole.reshape(self.x.shape)

    @cached_property
    def expected(self) -> list[np.ndarray]:
        """The right gradient for each upstream."""
        return [self.pull(gy) for gy in self.upstreams]

    @cached_property
    def doubts(self) -> list[np.ndarray]:
        """By how much the expected gradients may be off."""
        found = []
        for gy in self.upstreams:
            doubt = self._spread(abs(gy.ravel()) @ self.jacobian.doubts)
            usual = float(np.median(doubt[self.known])) if self.known.any() else 0.0
            found.append(10 * np.maximum(doubt, usual))
        return found

    def answer(self, upstream: np.ndarray, inputs: list | None = None) -> np.ndarray | None:
        """Return your gradient for another upstream or at other inputs; None if it fails."""
        problem = copy.copy(self.problem)
        problem.inputs = inputs or problem.inputs
        try:
            g = problem.gradients(upstream)[self.place]
        except Objection:
            return None
        return g.astype(np.float64) if g is not None and g.shape == self.x.shape else None

    @cached_property
    def elsewhere(self) -> Evidence | None:
        """The same at other inputs; None if there it has another shape or cannot be known."""
        point = self.point.elsewhere
        if point is None or not point.answered(self.place):
            return None
        other = point.evidence(self.place)
        return other if other.fits and other.known.any() else None

    @cached_property
    def scale(self) -> float:
        """The size of the largest entry of the expected gradients."""
        return max([float(abs(e).max(initial=0.0)) for e in self.expected])

    @property
    def fits(self) -> bool:
        """Whether your gradient has the shape of the input."""
        return all([g.shape == self.x.shape for g in self.yours])

    @cached_property
    def wrong(self) -> np.ndarray:
        """Which entries are wrong (for any of the upstreams)."""
        wrong = np.zeros(self.x.shape, bool)
        if self.dtype.kind == "f" and self.dtype.itemsize < 8:
            wrong |= self.yours[0] != 0  # too few digits, however few of them differ
        for yours, expected, doubt in zip(self.yours, self.expected, self.doubts):
            tolerance = 2e-8 * abs(expected) + 4e-9 * self.scale + doubt
            with np.errstate(invalid="ignore"):
                wrong |= ~(abs(yours - expected) <= tolerance)  # true for NaN
        return wrong & self.known

    @property
    def ok(self) -> bool:
        return self.fits and not self.wrong.any()

    def ratio(self, yours: list[np.ndarray] | None = None) -> float | None:
        """Return the one factor between the expected gradients and yours; None if there is none."""
        yours = self.yours if yours is None else yours
        mine = np.concatenate([g[self.known] for g in yours])
        expected = np.concatenate([g[self.known] for g in self.expected])
        weight = float(expected @ expected)
        if not weight or not np.isfinite(mine).all():
            return None
        found = float(mine @ expected) / weight
        return found if found and self.close([found * g for g in self.expected], yours) else None

    def close_to(self, candidates: list[np.ndarray], other: Evidence) -> bool:
        """Whether another input's gradients, of any shape, are yours."""
        same = self.yours[0].shape == other.x.shape and other.known.all()
        return same and other.close(candidates, self.yours)

    def close(self, candidates, yours=None) -> bool:
        """Whether candidates, one for each upstream, reproduce your gradients where known."""
        pairs = list(zip(self.yours if yours is None else yours, candidates, self.doubts))
        return bool(pairs) and all([self._close(a, b, d) for a, b, d in pairs])

    def _close(self, yours, candidate, doubt) -> bool:
        if np.shape(yours) != np.shape(candidate):
            return False
        same_shape = np.shape(yours) == self.x.shape
        where = self.known if same_shape else np.ones(np.shape(yours), bool)
        doubt = doubt[where] if same_shape else float(doubt.max(initial=0.0))
        a, b = yours[where], candidate[where]
        size = float(abs(b).max(initial=0.0))
        magnified = max(1.0, size / self.scale) if self.scale else 1.0
        with np.errstate(invalid="ignore", over="ignore"):
            tolerance = 1e-6 * abs(b) + 1e-10 * size + magnified * doubt
            return bool((abs(a - b) <= tolerance).all()) and math.isfinite(size)
