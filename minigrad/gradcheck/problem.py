"""How the two functions of a learner are called, and what makes their answers unusable.

Each call gets copies of its own, forward is called just before backward (which may use what forward
keeps), and what went wrong is said in one sentence, an `Objection`.

Before this: ``jacobian.py``. Next: ``evidence.py``.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

import numpy as np


class Objection(Exception):
    """Why nothing can be compared: the cause, and what else there is to say."""

    def __init__(self, cause: str, proof: str = ""):
        super().__init__(cause)
        self.cause, self.proof = cause, proof


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
