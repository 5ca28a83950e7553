"""`diagnose`: what is wrong with a backward pass written by hand.

Before this: ``causes.py`` and ``verdict.py``.
Next: ``tests/planted.py``, three hundred mistakes that it must find, and name.
"""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .._errors import message
from .causes import first_cause
from .differences import Settings, compare
from .evidence import Cause, Evidence, Point
from .jacobian import jacobian
from .problem import Objection, Problem, alike
from .report import InputReport
from .verdict import Diagnosis, InputDiagnosis


def diagnose(
    forward: Callable[..., np.ndarray],
    backward: Callable[..., Sequence[np.ndarray] | np.ndarray],
    inputs: Sequence,
    *,
    names: Sequence[str] | None = None,
    sizes: Mapping[str, float] | None = None,
    terms: Callable[[np.ndarray, list], Sequence[Mapping[str, np.ndarray]]] | None = None,
    wrong: Callable[[np.ndarray, list], Sequence[Mapping[str, np.ndarray]]] | None = None,
    seed: int = 0,
) -> Diagnosis:
    """Check a backward pass written in NumPy, and name its mistake.

    The right gradient comes from differences of `forward` in float64. Where yours is another, one
    test after the other asks what would make the right one into yours: a sum that is missing, the
    upstream gradient ignored or used twice, swapped, transposed, a factor, a term, a path, wrong
    only where x < 0. The first that reproduces your array is the cause; if none does, no cause is
    guessed, and the worst entries are shown.

    Parameters
    ----------
    forward : callable
        ``forward(*inputs)`` returns an array or a number. It must give the same result each time.
    backward : callable
        ``backward(gy, *inputs)`` returns the gradient of each input, given the upstream gradient
        `gy`, an array of the shape of forward's result: a tuple or a list, or one array for one
        input. Forward is always called with the same inputs just before, so that backward may
        use what forward keeps.
    inputs : sequence
        Floating arrays of any shape, which are converted to float64, and constants (integer and
        boolean arrays such as labels, indices and masks; ints, strings, None) that are passed on
        as they are. For a constant, backward returns None or anything else, which is not looked
        at; constants may be left out at the end, or all of them. A Python float beside arrays (a
        rate, an epsilon) is a constant too, unless backward returns a gradient for it.
    names : sequence of str, optional
        What the report calls the inputs; the names of forward's parameters by default.
    sizes : dict of str to float, optional
        Named numbers, such as ``{"N": 32, "p": 0.5}``, that a factor may be named for.
    terms : callable, optional
        ``terms(gy, inputs)`` returns for each input a dict of the named summands of its gradient.
    wrong : callable, optional
        ``wrong(gy, inputs)`` returns for each input a dict of named results known to be wrong.
    seed : int
        For the upstream gradients.

    Returns
    -------
    Diagnosis
        True in a condition if the gradients are right. ``.cause`` is a short phrase, ``.causes``
        has one for each input; ``str()`` is the whole report, and ``.check()`` raises it as an
        `AssertionError`.

    Raises
    ------
    TypeError, ValueError
        If an argument of this function itself cannot be used. Whatever `forward` and `backward`
        do wrong, exceptions included, is in the report.

    Notes
    -----
    Entries at kinks (relu at 0, ties of a maximum) have no derivative: they are not held against
    backward, and counted in a note. Inputs with more entries than there is time for are checked
    entry by entry in a sample, and along random directions in the rest.

    Examples
    --------
    >>> x, w = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]), np.array([0.5, -1.0])
    >>> report = diagnose(lambda x, w: x * w, lambda gy, x, w: (gy * w, gy * x), [x, w])
    >>> report.cause
    'the sum over axis 0 is missing'
    """
    problem = _problem(forward, backward, inputs, names, sizes)
    problem.terms, problem.wrong = _optional("terms", terms), _optional("wrong", wrong)
    what = getattr(backward, "__name__", type(backward).__name__).replace("<lambda>", "backward")
    report = Diagnosis(what)
    for i, (name, x) in enumerate(zip(problem.names, problem.inputs)):
        report.inputs.append(InputDiagnosis(name, np.shape(x), constant=i not in problem.wanted))
    try:
        with np.errstate(all="ignore"):
            _examine(problem, report, seed)
    except Objection as objection:
        report.problem, report.proof = objection.cause, objection.proof
        for found in report.inputs:
            if not found.constant:
                found.ok, found.cause = False, objection.cause
    return report


# --------------------------------------------------------------------------------- the procedure


def _examine(problem: Problem, report: Diagnosis, seed: int) -> None:
    """Compare the gradients of all inputs, and write what is found into the report."""
    y = problem.output(problem.inputs)
    if not np.isfinite(y).all():
        raise Objection("forward is not finite at these inputs", _count(~np.isfinite(y)))
    if not alike(y, problem.output(problem.inputs)):
        proof = "seed the random numbers inside it, or pass them as an input"
        raise Objection("forward gives a different result each time", proof)
    point = Point.of(problem, np.random.default_rng(seed))
    again = problem.gradients(point.upstreams[0])
    if not all([alike(a, b) for a, b in zip(point.answers[0], again)]):
        proof = "does it draw random numbers, or add to something that it keeps between calls?"
        raise Objection("backward gives a different result each time", proof)
    shown = []
    for place in problem.wanted:
        found = report.inputs[place]
        if not point.answered(place) and place in problem.optional:
            found.constant = True
            continue
        e = point.evidence(place)
        shown.append(e)
        if point.answered(place):
            _judge(_widened(e, seed), found)
        elif e.scale > 0:
            found.ok, found.cause = False, "None instead of a gradient"
        report.notes += _notes(e)
    if not any([e.known.any() for e in shown]) and any([e.x.size for e in shown]):
        proof = "there it has no derivative, or changes too fast for differences"
        raise Objection("nothing can be checked: all entries are at kinks of forward", proof)
    report.notes += [*(problem.notes if report.ok else []), *dict.fromkeys(problem.remarks)]


def _judge(e: Evidence, found: InputDiagnosis) -> None:
    """Write into the report whether a gradient is right, and why not."""
    found.yours, found.expected = e.yours[0], np.where(e.known, e.expected[0], np.nan)
    found.kinks, found.checked = int(e.jacobian.kinks.sum()), int(e.known.sum())
    found.ok = e.ok
    if not e.ok:
        found.wrong = e.wrong if e.fits else None
        cause = _not_finite(e) or first_cause(e)
        if cause:
            found.cause, found.proof = cause.text, cause.proof


def _not_finite(e: Evidence) -> Cause | None:
    if not e.fits:
        return None
    bad = ~np.isfinite(e.yours[0]) & e.known
    return Cause("not finite (NaN or infinite)", _count(bad)) if bad.any() else None


def _count(bad: np.ndarray) -> str:
    first = tuple(np.argwhere(bad)[0].tolist())
    return f"{int(bad.sum())} of {bad.size} entries, first at {first}"


def _notes(e: Evidence) -> list[str]:
    """Return what is to be said about the entries that do not count."""
    kinks, notes = int(e.jacobian.kinks.sum()), []
    if kinks:
        text = f"{kinks} of {e.x.size} entries of {e.name} are at kinks of forward, where there "
        text += "is no derivative: not counted"
        notes.append(text + (" (many: try other inputs)" if kinks > 0.1 * e.x.size else ""))
    if e.jacobian.entries.size < e.x.size:
        notes.append(
            f"{e.jacobian.entries.size} of {e.x.size} entries of {e.name} were checked one by "
            "one, the others along random directions"
        )
    return notes


# ------------------------------------------------------------------------------ large inputs

_SECONDS = 2.0  # of processor time, where entries outside the sample are wrong or at kinks


class _OutOfTime(Exception):
    """The search has taken long enough."""


def _widened(e: Evidence, seed: int) -> Evidence:
    """Look for wrong entries outside the sample, and return evidence that has them in it."""
    if e.jacobian.entries.size == e.x.size or not e.fits or e.wrong.any():
        return e
    function, end = e.problem.values(e.place), time.process_time() + _SECONDS
    finding = InputReport(e.name, 1, e.x.shape)

    def timed(arrays: list[np.ndarray]) -> np.ndarray:
        if time.process_time() > end:
            raise _OutOfTime
        return function(arrays[0])

    rng, settings = np.random.default_rng(seed), Settings(rtol=1e-6)
    try:
        for gy, yours in zip(e.upstreams, e.yours):
            compare(timed, [e.x], [yours], gy.ravel(), [finding], settings, rng)
    except _OutOfTime:
        if not finding.wrong:
            remark = f"some entries of {e.name} could not be checked in time: try a smaller one"
            e.problem.remarks.append(remark)
    if finding.wrong:
        entries = sorted({*finding.wrong, *e.jacobian.entries.tolist()})
        e = e.point.others[e.place] = Evidence(e.point, e.place, jacobian(function, e.x, entries))
    return e


# --------------------------------------------------------------------------------- the arguments


def _problem(forward, backward, inputs, names, sizes) -> Problem:
    """Return the arguments as a problem, or raise what is wrong with them."""
    for name, function in (("forward", forward), ("backward", backward)):
        if not callable(function):
            actual = type(function).__name__
            raise TypeError(message(f"diagnose {name}", "not a function.", actual=actual))
    if isinstance(inputs, (np.ndarray, float)):
        inputs = [inputs]
    if not isinstance(inputs, (list, tuple)):
        problem, expect = "not a list.", "the list of forward's arguments"
        actual = type(inputs).__name__
        raise TypeError(message("diagnose inputs", problem, expect=expect, actual=actual))
    are_arrays = any([_is_float_array(x) for x in inputs])
    converted, wanted, optional = [], [], set()
    for i, x in enumerate(inputs):
        is_number = isinstance(x, float) and not isinstance(x, np.floating)
        if _is_float_array(x) or (is_number and not are_arrays):
            wanted.append(i)
            converted.append(np.array(x, dtype=np.float64, order="C"))
        elif is_number:
            wanted.append(i)
            optional.add(i)
            converted.append(np.array(x))
        else:
            converted.append(np.array(x) if isinstance(x, np.ndarray) else x)
    if not wanted:
        problem, expect = "no input needs a gradient.", "a floating array among the inputs"
        actual = ", ".join([_kind(x) for x in inputs]) or "no inputs"
        do = "convert what is not a label, an index or a mask: x.astype(float)"
        raise ValueError(message("diagnose inputs", problem, expect=expect, actual=actual, do=do))
    names = _parameter_names(forward, len(inputs)) if names is None else [str(n) for n in names]
    if len(names) != len(inputs):
        problem = "not one name for each input."
        raise ValueError(message("diagnose names", problem, expect=len(inputs), actual=len(names)))
    return Problem(forward, backward, converted, names, _sizes(sizes), wanted, optional)


def _sizes(sizes: Mapping[str, float] | None) -> dict[str, float]:
    found = {}
    for name, value in dict(sizes or {}).items():
        if not isinstance(value, (int, float, np.number)) or not math.isfinite(value):
            expect, actual = "names with finite numbers", f"{name!r}: {value!r}"
            problem = "this is not a number."
            raise TypeError(message("diagnose sizes", problem, expect=expect, actual=actual))
        found[str(name)] = float(value)
    return found


def _optional(name: str, function):
    if function is not None and not callable(function):
        expect, actual = "a function of (gy, inputs), or None", type(function).__name__
        raise TypeError(
            message(f"diagnose {name}", "not a function.", expect=expect, actual=actual)
        )
    return function


def _parameter_names(forward: Callable, count: int) -> list[str]:
    """Return the names of forward's parameters if they fit, else plain ones."""
    try:
        parameters = list(inspect.signature(forward).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    simple = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    if len(simple) >= count and not isinstance(forward, np.ufunc):
        return simple[:count]
    return ["x"] if count == 1 else [f"x{i}" for i in range(count)]


def _is_float_array(x) -> bool:
    if not isinstance(x, (np.ndarray, np.floating, np.complexfloating)):
        return False
    if x.dtype.kind == "c":
        problem = "complex arrays cannot be checked."
        raise TypeError(message("diagnose inputs", problem, expect="real arrays", actual=x.dtype))
    return x.dtype.kind == "f"


def _kind(x) -> str:
    return f"an array of {x.dtype}" if isinstance(x, np.ndarray) else type(x).__name__
