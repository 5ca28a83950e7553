"""What a check says: a `Verdict`, and the functions that make one.

`right`, `wrong` and `to_do` say it outright, `compare` looks at a learner's number or array, and
`first_fault` takes the first of several that objects.

Before this: nothing. Next: ``exercise.py``, which hands these on to the keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Verdict:
    """What a check found: ``.ok``, ``.cause`` (short, or None) and the full text as ``str()``."""

    ok: bool
    cause: str | None = None
    text: str = ""
    todo: bool = False

    def __str__(self) -> str:
        return self.text


def right(note: str = "") -> Verdict:
    """Return the verdict that all is right."""
    return Verdict(True, None, note)


def wrong(cause: str | None, text: str) -> Verdict:
    """Return the verdict that something is wrong, with its cause (None where it is unknown)."""
    return Verdict(False, cause, text)


def to_do(text: str) -> Verdict:
    """Return the verdict that something is not written yet."""
    return Verdict(False, None, text, todo=True)


def as_verdict(found) -> Verdict:
    """Return a verdict for a verdict, a report of `diagnose`, or None (nothing to object to)."""
    if found is None:
        return right()
    return found if isinstance(found, Verdict) else Verdict(found.ok, found.cause, str(found))


def first_fault(*verdicts) -> Verdict:
    """Return the first verdict that is not right, or that all is right."""
    return as_verdict(next((v for v in verdicts if v is not None and not v.ok), None))


def compare(
    what: str,
    actual: Any,
    expected: Any,
    known: Mapping[str, Any] | None = None,
    rtol: float = 1e-7,
) -> Verdict | None:
    """Compare a learner's number or array with the right one.

    Parameters
    ----------
    what : str
        What was computed, as the text shall say it.
    actual, expected : array-like
        The learner's and the right value.
    known : dict, optional
        Known wrong results, of any shape, by the cause that each of them shows.
    rtol : float
        How far they may be apart, as a fraction of the largest right entry.

    Returns
    -------
    Verdict or None
        None if they are equal.
    """
    expected = np.asarray(expected, dtype=np.float64)
    array, fault = _numbers(what, actual, expected.shape)
    if fault is not None:
        return fault
    if _same(array, expected, rtol):
        return None
    cause = _known_cause(array, expected, known or {}, rtol)
    if array.shape != expected.shape:
        text = f"{what} has the shape {array.shape}; {expected.shape} was expected."
        return wrong(cause or "wrong shape", f"{text}\n  cause: {cause}" if cause else text)
    if not np.isfinite(array).all():
        bad = int((~np.isfinite(array)).sum())
        text = f"{what} has entries that are not finite (nan or inf): {bad} of {array.size}."
        return wrong("not finite", text)
    because = [f"  cause: {cause}"] if cause else []
    return wrong(cause, "\n".join([f"{what} is wrong.", *because, *_worst(array, expected)]))


def _numbers(what: str, actual: Any, shape: tuple) -> tuple[np.ndarray | None, Verdict | None]:
    """Return `actual` as an array of float64, or the verdict that it is none."""
    wish = f"an array of shape {shape}" if shape else "a number"
    if actual is None:
        return None, wrong("nothing returned", f"{what} is None; {wish} was expected.")
    try:
        array = np.asarray(actual, dtype=np.float64)
    except (TypeError, ValueError):
        kind = type(actual).__name__
        return None, wrong("wrong type", f"{what} is a {kind}; {wish} was expected.")
    return array, None


def _same(actual: np.ndarray, expected: np.ndarray, rtol: float) -> bool:
    if actual.shape != expected.shape:
        return False
    scale = np.abs(expected).max(initial=0.0)
    return bool((np.abs(actual - expected) <= rtol * scale).all())


def _known_cause(array, expected, known: Mapping[str, Any], rtol: float) -> str | None:
    """Return the name of the first known wrong result that the array is equal to."""
    patterns = {
        **known,
        "the sign is the opposite": -expected,
        "twice the right value": 2 * expected,
        "half the right value": expected / 2,
    }
    if expected.ndim == 2:
        patterns["transposed"] = expected.T
    for cause, pattern in patterns.items():
        pattern = np.asarray(pattern, dtype=np.float64)
        # A pattern that is right here shows nothing.
        if not _same(pattern, expected, rtol) and _same(array, pattern, rtol):
            return cause
    return None


def _worst(actual: np.ndarray, expected: np.ndarray, most: int = 5) -> list[str]:
    """Return lines with the entries that are furthest from the truth."""
    if not expected.shape:
        return [f"  yours     {actual:.9g}", f"  expected  {expected:.9g}"]
    order = np.argsort(-np.abs(actual - expected), axis=None, kind="stable")[:most]
    rows = [("index", "yours", "expected")]
    for place in order:
        index = tuple(int(i) for i in np.unravel_index(place, expected.shape))
        numbers = [f"{array[index] + 0.0:.9g}" for array in (actual, expected)]  # 0, not -0
        rows.append((str(list(index)), *numbers))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return ["  " + "  ".join(f"{cell:>{n}}" for cell, n in zip(row, widths)) for row in rows]
