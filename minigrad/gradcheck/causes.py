"""The tests that name a mistake, in their order: the first that hits is the cause.

Each detector takes the `Evidence` of one input and yields the causes that explain it. A formula is
a cause only if it reproduces your array, entry by entry, for every upstream that was tried; a
behaviour (the upstream is ignored) rests on a test of its own; a place (where x < 0) is a cause
only if the wrong entries are exactly those. So an unknown mistake gets no name rather than a wrong
one.

Before this: ``evidence.py`` and ``naming.py``. Next: ``verdict.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import numpy as np

from .._errors import message
from .evidence import Cause, Evidence
from .factors import element_ratio, global_factor, sizes_of, unnamed_factor, wrong_formula
from .naming import same_number, scaled
from .places import joined, wrong_places
from .problem import copied
from .shapes import only_shape, wrong_axis, wrong_shape
from .structure import misplaced, missing_path, overwritten_index, wrong_structure
from .substitutes import another_input, another_sign, ignored_input
from .upstreams import another_upstream, ignored_or_twice, not_linear

Detector = Callable[[Evidence], Iterator[Cause]]


# ------------------------------------------------------------------------- precision and zeros


def low_precision(e: Evidence) -> Iterator[Cause]:
    """The digits end too early: somewhere on the way the dtype changes."""
    for digits, dtype, allowed in (("float32", np.float32, 1e-5), ("float16", np.float16, 2e-2)):
        for yours, expected in zip(e.yours, e.expected):
            error = abs(yours - expected)[e.known]
            size = abs(expected[e.known])
            if not (error <= allowed * size + 0.1 * allowed * e.scale).all():
                break
        else:
            if np.dtype(dtype) == e.dtype or _fits(e.yours, dtype) or _coarse(e):
                proof = f"the values agree to {digits}'s digits; compute in float64"
                yield Cause(f"only {digits} precision", proof)
                return
    if e.dtype.kind == "b":
        yield Cause("an array of True and False, not of numbers")
    if e.dtype.kind in "iu":
        whole = [np.trunc(expected) for expected in e.expected]
        rounded = [np.round(expected) for expected in e.expected]
        if e.close(whole) or e.close(rounded):
            yield Cause(f"rounded to whole numbers: its dtype is {e.dtype}")


def _fits(arrays: list[np.ndarray], dtype) -> bool:
    """Whether numbers that depend on a random upstream all happen to fit into fewer digits."""
    numbers = np.concatenate([np.ravel(a) for a in arrays])
    numbers = numbers[(numbers != 0) & np.isfinite(numbers)]
    with np.errstate(over="ignore"):
        return numbers.size > 0 and bool((numbers == numbers.astype(dtype)).all())


def _coarse(e: Evidence) -> bool:
    """Whether your gradient stays as it is, bit for bit, when one of the arrays moves a little."""
    gy, inputs = e.upstreams[0], e.problem.inputs
    once = e.yours[0]
    for which in (None, *e.problem.wanted):

        def moved(size, which=which):
            arrays = [x * (1 + size) if i == which else x for i, x in enumerate(inputs)]
            return e.answer(gy * (1 + size) if which is None else gy, arrays)

        little, more = moved(1e-11), moved(1e-3)
        if little is None or more is None:
            continue
        depends = abs(more - once) > 1e-5 * abs(once)
        if depends.any() and (little == once)[depends].mean() > 0.5:
            return True
    return False


def all_zero(e: Evidence) -> Iterator[Cause]:
    if not any([g.any() for g in e.yours]):
        yield Cause("all zero")


def should_be_zero(e: Evidence) -> Iterator[Cause]:
    if e.known.any() and not e.scale > 1e-12:
        yield Cause("it should be 0 everywhere: the output does not depend on this input")


# ----------------------------------------------------------------------- what the author knows


def known_wrong(e: Evidence) -> Iterator[Cause]:
    for name, arrays in _named(e, "wrong").items():
        if e.close(arrays):
            yield Cause(name, "that formula gives your numbers")


def named_terms(e: Evidence) -> Iterator[Cause]:
    """Least squares on the summands of the right gradient: which has a wrong coefficient?"""
    terms = _named(e, "terms")
    if len(terms) < 2:
        return  # one alone is a matter of the global factor
    names, counts = list(terms), range(len(e.yours))
    fit = all([a.shape == e.x.shape for arrays in terms.values() for a in arrays])
    if not fit or not e.close([sum([terms[n][k] for n in names]) for k in counts], e.expected):
        remark = f"the terms given for {e.name} do not add up to its gradient, and were not used"
        e.problem.remarks.append(remark)
        return
    columns = [np.concatenate([a[e.known] for a in terms[name]]) for name in names]
    yours = np.concatenate([g[e.known] for g in e.yours])
    for wrong in [[k] for k in range(len(names))] + [list(range(len(names)))]:
        right = [k for k in range(len(names)) if k not in wrong]
        system = np.stack([columns[k] for k in wrong], axis=1)
        if np.linalg.matrix_rank(system) < len(wrong):
            continue
        rest = yours - sum([columns[k] for k in right])
        found = np.linalg.lstsq(system, rest, rcond=None)[0]
        coefficients = [1.0] * len(names)
        for k, c in zip(wrong, found.tolist()):
            coefficients[k] = round(c, 12)
        arrays = [sum([c * terms[n][k] for n, c in zip(names, coefficients)]) for k in counts]
        if not e.close(arrays) or np.ptp(coefficients) < 1e-6:
            continue  # not these terms; or all alike, which is a global factor
        phrases = [_coefficient(n, c, sizes_of(e)) for n, c in zip(names, coefficients)]
        if len(wrong) == 1 or None not in phrases:
            known = [f"'{n}' is multiplied by {c:.6g}" for n, c in zip(names, coefficients)]
            texts = [k if phrase is None else phrase for phrase, k in zip(phrases, known)]
            shown = [f"{c + 0.0:.6g} times '{n}'" for n, c in zip(names, coefficients)]
            yield Cause("; ".join([t for t in texts if t]), f"yours is {' and '.join(shown)}")


def _coefficient(term: str, c: float, sizes: dict[str, float]) -> str | None:
    """Say what a coefficient means: nothing if it is 1, None if it has no name."""
    if same_number(c, 1):
        return ""
    if abs(c) < 1e-6:
        return f"term '{term}' is missing"
    if same_number(c, -1):
        return f"term '{term}' has the wrong sign"
    name = scaled(c, sizes)
    return f"term '{term}' is {name}" if name else None


def _named(e: Evidence, which: str) -> dict[str, list[np.ndarray]]:
    """Return what the author's function names for this input: one array for each upstream."""
    found: dict[str, list[np.ndarray]] = {}
    function = getattr(e.problem, which)
    for gy in e.upstreams if function is not None else ():
        answer = function(gy.copy(), [copied(x) for x in e.problem.inputs])
        if not isinstance(answer, (list, tuple)):
            expect, actual = "a list with one dict for each input", type(answer).__name__
            problem = "it returned something else."
            raise TypeError(message(f"diagnose {which}", problem, expect=expect, actual=actual))
        mine = answer[e.place] if e.place < len(answer) else None
        for name, array in (mine or {}).items():
            found.setdefault(name, []).append(np.asarray(array, dtype=np.float64))
    return {name: arrays for name, arrays in found.items() if len(arrays) == len(e.upstreams)}


# ------------------------------------------------------------------------- mixed-up gradients


def _others(e: Evidence) -> list[Evidence]:
    wanted = [i for i in e.problem.wanted if i != e.place and e.point.answered(i)]
    return [e.point.evidence(i) for i in wanted]


def swapped(e: Evidence) -> Iterator[Cause]:
    """Two inputs have each other's gradient, or one has its own, transposed."""
    for other in _others(e):
        if e.close_to(other.expected, other) and other.close_to(e.expected, e):
            pair = sorted([(e.place, e.name), (other.place, other.name)])
            yield Cause(f"the gradients of {pair[0][1]} and {pair[1][1]} are swapped")
    if e.fits and e.known.all():
        for axes in itertools.islice(itertools.permutations(range(e.x.ndim)), 1, 24):
            turned = [g.transpose(axes) for g in e.expected]
            if turned[0].shape == e.x.shape and e.close(turned):
                yield Cause("transposed", "the expected gradient with its axes exchanged is yours")


def another_inputs(e: Evidence) -> Iterator[Cause]:
    """One has another's gradient, alone or with the wrong sign."""
    for other in _others(e):
        if e.close_to(other.expected, other):
            yield Cause(f"it is the gradient of {other.name}: the two are mixed up")
        if other.x.shape == e.x.shape and e.fits and e.close([-b for b in other.expected]):
            yield Cause(f"it is the gradient of {other.name}, with the wrong sign")


def mixed(e: Evidence) -> Iterator[Cause]:
    """Another's gradient is added to one's own."""
    for other in _others(e):
        for sign, word in ((1, "added"), (-1, "subtracted")) if other.x.shape == e.x.shape else ():
            if e.close([a + sign * b for a, b in zip(e.expected, other.expected)]):
                yield Cause(f"the gradient of {other.name} is {word}, too")


# ------------------------------------------------------------------------------------ the order

Detectors = tuple[tuple[Detector, bool], ...]  # True: to be confirmed at other inputs

SHAPES: Detectors = (
    (swapped, False),
    (wrong_shape, False),
    (another_inputs, False),
    (known_wrong, False),
    (only_shape, False),
)
VALUES: Detectors = (
    (low_precision, False),
    (all_zero, False),
    (should_be_zero, False),
    (ignored_or_twice, False),
    (known_wrong, False),
    (not_linear, False),
    (swapped, True),
    (named_terms, False),
    (global_factor, True),
    (another_inputs, True),
    (element_ratio, False),
    (overwritten_index, True),
    (wrong_axis, True),
    (another_upstream, True),
    (wrong_structure, True),
    (another_input, True),
    (wrong_places, True),
    (ignored_input, True),
    (another_sign, True),
    (mixed, True),
    (misplaced, True),
    (missing_path, True),
    (wrong_formula, True),
    (unnamed_factor, True),
)


def first_cause(e: Evidence) -> Cause | None:
    """Return the first cause that is found, and confirmed where it might be chance."""
    detectors = VALUES if e.fits else SHAPES
    if e.fits and e.close(e.expected):
        detectors = VALUES[:1]  # so small an error fits whatever the right gradient fits
    for detector, confirm in detectors:
        causes, other = list(detector(e)), e
        for _ in range(2 if confirm else 0):
            other = other.elsewhere if causes and other is not None else None
            if other is not None:
                again = {cause.text for cause in detector(other)}
                causes = [cause for cause in causes if cause.text in again]
        if causes:
            return joined(causes, e)
    return None
