"""What is known about a backward pass: its answers, and the right ones, at several upstreams.

`Problem` calls the two functions, each time with copies, and objects to what makes their answers
unusable. `Evidence` holds one input's gradient beside the expected one, for the detectors in
``causes.py``. Since it keeps the Jacobian, it knows the right answer for any upstream gradient.

Before this: ``jacobian.py``. Next: ``causes.py``.
"""

from __future__ import annotations

import copy
import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from .differences import random_upstream
from .jacobian import Jacobian, jacobian

_SECONDS = 1.5  # for the differences of one input
_LARGEST = 10_000_000  # derivatives that are kept for one input


class Objection(Exception):
    """Why nothing can be compared: the cause, and what else there is to say."""

    def __init__(self, cause: str, proof: str = ""):
        super().__init__(cause)
        self.cause, self.proof = cause, proof


@dataclass(frozen=True)
class Cause:
    """A mistake with a name, and the sentence or figures that prove it."""

    text: str
    proof: str = ""


# ----------------------------------------------------------------------------------- the calls


class Problem:
    """A forward and a backward function, with inputs to try them at.

    Attributes
    ----------
    inputs : list
        float64 arrays, and constants (anything else) as they were given.
    names : list of str
        What the report calls the inputs.
    sizes : dict of str to float
        Named numbers.
    wanted : list of int
        Which inputs need a gradient.
    optional : set of int
        Which of these may do without: Python floats among arrays (a rate, an epsilon).
    """

    def __init__(self, forward, backward, inputs, names, sizes, wanted, optional):
        self.forward, self.backward = forward, backward
        self.inputs, self.names, self.sizes = inputs, names, sizes
        self.wanted, self.optional = wanted, optional
        self.terms = self.wrong = None
        self.notes: list[str] = []  # on the gradients of the last call
        self.remarks: list[str] = []  # on the hints given by the author

    def output(self, inputs: list) -> np.ndarray:
        """Return forward's result as a float64 array."""
        try:
            with np.errstate(all="ignore"):
                y = self.forward(*[copied(x) for x in inputs])
        except Exception as error:
            raise Objection(f"forward {_raised(error, self.forward)}") from error
        if isinstance(y, (tuple, list, dict)) or y is None:
            what = "None" if y is None else f"a {type(y).__name__}"
            raise Objection(f"forward returned {what} instead of one array or number")
        if getattr(y, "dtype", None) in (np.float32, np.float16):
            proof = "differences need all digits of float64: where does it change the dtype?"
            raise Objection(f"forward returned {y.dtype}", proof)
        return _as_floats(y, "forward returned", f"{type(y).__name__}")

    def values(self, place: int) -> Callable[[np.ndarray], np.ndarray]:
        """Return forward as a function of one input, to a vector; NaN where it raises."""
        size = self.output(self.inputs).size

        def function(x: np.ndarray) -> np.ndarray:
            try:
                y = self.output([*self.inputs[:place], x, *self.inputs[place + 1 :]]).ravel()
            except Objection:
                return np.full(size, np.nan)
            return y if y.size == size else np.full(size, np.nan)

        return function

    def gradients(self, upstream: np.ndarray) -> list:
        """Return what backward answers: one array or None for each input."""
        self.output(self.inputs)  # what forward keeps outside for backward must fit these inputs
        inputs, gy = [copied(x) for x in self.inputs], np.array(upstream)
        try:
            with np.errstate(all="ignore"):
                answer = self.backward(gy, *inputs)
        except NotImplementedError as error:
            raise Objection("backward is not written yet", str(error)) from error
        except Exception as error:
            raise Objection(f"backward {_raised(error, self.backward)}") from error
        for name, x, before in zip(self.names, inputs, self.inputs):
            if isinstance(x, np.ndarray) and not _same_bits(x, before):
                cause = f"backward changes {name} in place"
                raise Objection(cause, "the caller's array is overwritten: compute with a copy")
        if not _same_bits(gy, upstream):
            cause = "backward changes the upstream gradient in place"
            raise Objection(cause, "others still need it: write gy = gy * ..., not gy *= ...")
        gradients = self._one_for_each(answer)
        self.notes = _shared_memory(gradients, gy, inputs, self.names)
        return [None if g is None else np.array(g, order="C") for g in gradients]

    def _one_for_each(self, answer) -> list:
        """Return the answer as one array (or None) for each input."""
        listed = self._as_list(answer)
        count, wanted = len(self.inputs), self.wanted
        needed = [i for i in wanted if i not in self.optional]
        fitting = {count: range(count), wanted[-1] + 1: range(wanted[-1] + 1), len(wanted): wanted}
        if needed:
            fitting.setdefault(needed[-1] + 1, range(needed[-1] + 1))
            fitting.setdefault(len(needed), needed)
        if len(listed) not in fitting:
            names = ", ".join([self.names[i] for i in wanted])
            cause = f"backward returned {len(listed)} gradients instead of {len(wanted)}"
            raise Objection(cause, f"one is needed for each of: {names}")
        gradients = [None] * count
        for i, g in zip(fitting[len(listed)], listed):
            gradients[i] = self._as_gradient(g, i)
        return gradients

    def _as_list(self, answer) -> list:
        if answer is None:
            raise Objection("backward returned None: is the return missing?")
        if isinstance(answer, tuple):
            return list(answer)
        count = len(self.wanted)
        if isinstance(answer, list):
            one = self.inputs[self.wanted[0]].shape
            nested = count == 1 and len(answer) != len(self.inputs)
            if not nested and (count > 1 or np.shape(answer[0] if answer else 0) == one):
                return answer
            return [answer]
        if isinstance(answer, np.ndarray) and count > 1:
            shapes = {self.inputs[i].shape for i in self.wanted}
            if shapes == {answer.shape[1:]} and len(answer) == count:
                return list(answer)  # stacked, which unpacks just as well
        if isinstance(answer, (dict, set, str)) or hasattr(answer, "__next__"):
            kind = type(answer).__name__
            raise Objection(f"backward returned a {kind} instead of arrays")
        return [answer]

    def _as_gradient(self, g, place: int) -> np.ndarray | None:
        name = self.names[place]
        if g is None:
            return None
        if place not in self.wanted:
            return None  # a constant's gradient is not looked at
        if isinstance(g, np.ndarray) and g.dtype.kind in "fiub":
            return np.asarray(g)
        return _as_floats(g, f"the gradient of {name} is", type(g).__name__)


def alike(a: np.ndarray | None, b: np.ndarray | None) -> bool:
    """Whether two answers are the same, up to what the order of a sum may change."""
    if a is None or b is None or a.shape != b.shape:
        return a is b
    size = float(abs(a[np.isfinite(a)]).max(initial=0.0))
    return np.allclose(a, b, rtol=1e-10, atol=1e-12 * size, equal_nan=True)


def copied(x):
    """Return a copy of an array; anything else as it is."""
    return x.copy() if isinstance(x, np.ndarray) else x


def _as_floats(value, subject: str, kind: str) -> np.ndarray:
    """Return a value as an array of float64."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise Objection(f"{subject} a {kind} whose rows have different lengths") from None
    if array.dtype.kind == "c":
        raise Objection(f"{subject} complex")
    if array.dtype.kind not in "fiub":
        kind = f"an array of dtype {array.dtype}" if kind == "ndarray" else f"a {kind}"
        raise Objection(f"{subject} {kind}, not an array of numbers")
    return array.astype(np.float64)


def _raised(error: Exception, function: Callable) -> str:
    """Return what a function raised, and in which of its lines."""
    text = f"raised {type(error).__name__}: {error}".rstrip(": ")
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    if frames:
        text += f" (line {frames[-1].lineno})"
    return text


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _shared_memory(gradients: list, gy: np.ndarray, inputs: list, names: list[str]) -> list[str]:
    """Return notes about gradients that are not arrays of their own."""
    notes, found = [], [(n, g) for n, g in zip(names, gradients) if isinstance(g, np.ndarray)]
    for k, (name, g) in enumerate(found):
        others = [("the upstream gradient", gy)]
        others += [(f"the gradient of {other}", h) for other, h in found[:k]]
        others += [(f"the input {other}", x) for other, x in zip(names, inputs)]
        for what, other in others:
            if isinstance(other, np.ndarray) and g.size and np.may_share_memory(g, other):
                notes.append(
                    f"the gradient of {name} shares memory with {what}: whoever changes one in "
                    "place changes both (return a copy if that can happen)"
                )
                break
    return notes


# ---------------------------------------------------------------------- one gradient, two opinions


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
    start = time.perf_counter()
    function(x)
    seconds = time.perf_counter() - start
    most = int(min(_SECONDS / (6 * seconds + 1e-9), _LARGEST / max(1, outputs)))
    if x.size <= max(most, 20):
        return None
    chosen = np.random.default_rng(0).choice(x.size, max(most, 20), replace=False)
    return np.sort(chosen)


def _shuffled(x, rng: np.random.Generator):
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        return x
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
