"""How to doubt a derivative: compare it with differences of the function itself.

A gradient is a claim: move the inputs by a little in some direction v, and the outputs change by
<gradient, v>. That can be tried out without knowing any formula. `gradcheck` moves the inputs
along random directions, and where the claim fails (or the function has a corner) it halves the
set of entries that move until it knows which entries are at fault. Five things make it strict:

- The upstream gradient is random and no two of its entries are equal. An upstream of ones would
  hide the forgotten upstream, the variance term of batch norm and swapped halves.
- Differences at the steps h and h / 2 are combined so that the error of the step nearly cancels
  (`slope_along`). So the tolerance can be a hundred times tighter than usual.
- Corners ("kinks": relu at 0) are found and not held against the gradient, but they are counted,
  and too many of them fail the check. A central difference alone cannot do this: at relu(0) it
  says 1/2 for every step, agrees with itself, and accuses a right rule.
- Order 2 checks the gradient as a function of its own: of the inputs, and of the upstream.
- Functions that change their inputs, or that answer differently when asked twice, are refused.

The middle part of the file works on plain arrays and knows nothing of tensors.

Before this: ``autograd.py``, and ``ops/elementwise.py`` for what is doubted here.
Next: ``tests/test_ops_gradients.py``, which checks the checker against planted mistakes.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from . import autograd, backend
from ._errors import message
from ._tensor import Tensor


class GradcheckError(RuntimeError, AssertionError):
    """A gradient is wrong; the text is the report, and ``.report`` the report itself.

    It is a ``RuntimeError`` for code that expects PyTorch's ``GradcheckError``, and an
    ``AssertionError`` so that test runners count it as a failed test, not as a crash.
    """

    def __init__(self, report: Report):
        super().__init__(str(report))
        self.report = report


# ------------------------------------------------------------------------------- the verdict


@dataclass(frozen=True)
class Entry:
    """One entry of one input whose gradient is wrong."""

    index: tuple[int, ...]
    analytic: float
    numeric: float

    @property
    def error(self) -> float:
        """The analytic minus the numeric derivative."""
        return self.analytic - self.numeric


@dataclass
class InputReport:
    """What was found out about the gradient of one input.

    Attributes
    ----------
    name : str
        What the texts call the input.
    order : int
        1 for the function's gradient, 2 for the gradient's own gradient, and so on.
    shape : tuple of int
    wrong : dict of int to Entry
        The wrong entries that were looked at, by their place in the flattened input.
    kinks : set of int
        The entries, by place, at which the function has no derivative. They do not count.
    complete : bool
        Whether all entries were looked at; the search stops once it has found enough.
    too_many_kinks : bool
        Whether so many entries lie on kinks that the check says too little.
    note : str
        What else there is to say, such as that no gradient came at all.
    """

    name: str
    order: int
    shape: tuple[int, ...]
    wrong: dict[int, Entry] = field(default_factory=dict)
    kinks: set[int] = field(default_factory=set)
    complete: bool = True
    too_many_kinks: bool = False
    note: str = ""

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong with this gradient."""
        return not self.wrong and not self.too_many_kinks

    def __str__(self) -> str:
        size = math.prod(self.shape)
        at_least = "" if self.complete else "at least "
        found = f"{at_least}{len(self.wrong)} of {size} entries wrong" if self.wrong else ""
        kinks = ""
        if self.kinks:
            kinks = f"{len(self.kinks)} of {size} at kinks, where there is no derivative"
            kinks += ": too many to trust the check" if self.too_many_kinks else " (not counted)"
        parts = [part for part in (found, kinks, self.note) if part]
        order = f", order {self.order}" if self.order > 1 else ""
        heading = f"{self.name} {self.shape}{order}: {'; '.join(parts) or 'right'}"
        return "\n".join([heading, *_table(self.wrong.values())])


def _table(entries, most: int = 8) -> list[str]:
    """Return lines that show the worst entries."""
    worst = sorted(entries, key=lambda e: -abs(e.error) if e.error == e.error else -math.inf)
    rows = [("index", "analytic", "numeric", "difference")] if worst else []
    for e in worst[:most]:
        rows.append((str(e.index), f"{e.analytic:.9g}", f"{e.numeric:.9g}", f"{e.error:.2e}"))
    widths = [max([len(row[i]) for row in rows]) for i in range(4 if rows else 0)]
    lines = ["  ".join([f"{cell:>{n}}" for cell, n in zip(row, widths)]) for row in rows]
    if len(worst) > most:
        lines.append(f"... and {len(worst) - most} more")
    return ["    " + line for line in lines]


@dataclass
class Report:
    """The result of `gradcheck`: true if the gradients are right, and as text, why not.

    Attributes
    ----------
    what : str
        The name of the function that was checked.
    problems : list of str
        What makes a comparison impossible or worthless, such as a function that changes its
        inputs.
    inputs : list of InputReport
        One for each input that requires a gradient, for each order.
    setting : str
        With which steps and tolerances.
    """

    what: str
    problems: list[str] = field(default_factory=list)
    inputs: list[InputReport] = field(default_factory=list)
    setting: str = ""

    @property
    def ok(self) -> bool:
        """Whether the gradients are right."""
        return not self.problems and all([report.ok for report in self.inputs])

    @property
    def kinks(self) -> int:
        """How many entries could not be checked, as the function has no derivative there."""
        return sum([len(report.kinks) for report in self.inputs])

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        verdict = "the gradients are right." if self.ok else "the check failed."
        lines = [f"gradcheck of {self.what}: {verdict}"]
        lines += ["  " + problem.replace("\n", "\n  ") for problem in self.problems]
        lines += ["  " + str(report).replace("\n", "\n  ") for report in self.inputs]
        return "\n".join([*lines, f"  ({self.setting})"] if self.setting else lines)


# --------------------------------------------------------------- the comparison, on plain arrays


@dataclass(frozen=True)
class Settings:
    """How strictly to compare; `gradcheck` says what the numbers mean."""

    eps: float = 1e-4
    atol: float = 1e-8
    rtol: float = 1e-5
    max_kinks: float = 0.1
    mode: str = "directions"
    directions: int = 2
    nondet_tol: float = 0.0

    def __post_init__(self):
        whole = isinstance(self.directions, int) and self.directions >= 1
        for name, fits, expect in (
            ("eps", 0 < self.eps < math.inf, "a number above 0"),
            ("atol", 0 <= self.atol < math.inf, "a number from 0 on"),
            ("rtol", 0 <= self.rtol < math.inf, "a number from 0 on"),
            ("nondet_tol", 0 <= self.nondet_tol < math.inf, "a number from 0 on"),
            ("max_kinks", 0 <= self.max_kinks <= 1, "a share from 0 to 1"),
            ("mode", self.mode in ("directions", "entries"), "'directions' or 'entries'"),
            ("directions", whole, "an int from 1 on"),
        ):
            if not fits:
                actual = repr(getattr(self, name))
                problem = "not a possible value."
                raise ValueError(
                    message(f"gradcheck {name}", problem, expect=expect, actual=actual)
                )

    def __str__(self) -> str:
        return f"random upstream; step {self.eps:g}, atol {self.atol:g}, rtol {self.rtol:g}"


_SHRINK = (1, 1 / 16, 1 / 256)  # the steps that are tried, in units of eps
_ROUNDING = float(np.finfo(np.float64).eps)
_ENOUGH = 100  # wrong entries of one input, after which no more are looked for


def slope_along(
    outputs: Callable[[float], np.ndarray],
    middle: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
) -> tuple[float, float, bool]:
    """Return the derivative of ``<weights, outputs(t)>`` at t = 0, by differences.

    With D(h) the central difference and B(h) the forward less the backward one,

        D(h) = (f(h) - f(-h)) / 2h            = f' + c h^2 + ...
        B(h) = (f(h) - 2 f(0) + f(-h)) / h    = h f'' + ...

    a smooth f has D(h) = D(h/2) and B(h/2) = B(h) / 2, up to small terms, and (4 D(h/2) - D(h)) / 3
    is f' up to the fourth power of h. At a kink in the middle, B is the jump of the derivative
    whatever the step, and beside the middle D depends on the step; so one of the two shows every
    kink that matters. Then smaller steps are tried, which may no longer reach it.

    Parameters
    ----------
    outputs : callable
        t to a vector.
    middle : array
        ``outputs(0)``.
    weights : array
        The upstream gradient, as a vector.

    Returns
    -------
    slope : float
        The derivative.
    noise : float
        How much of it may be rounding.
    smooth : bool
        False where the function has no derivative (or none that differences can see).
    """
    with np.errstate(all="ignore"):
        size = float(abs(weights) @ abs(middle))
        for shrink in _SHRINK:
            h = settings.eps * shrink
            central, bend = [], []
            for step in (h, h / 2):
                ahead, behind = outputs(step), outputs(-step)
                central.append(float(weights @ (ahead - behind)) / (2 * step))
                bend.append(float(weights @ (ahead - middle + (behind - middle))) / step)
            slope = (4 * central[1] - central[0]) / 3
            doubt = max(abs(central[1] - central[0]), abs(bend[1] - bend[0] / 2))
            noise = 8 * _ROUNDING * size / h
            tolerance = settings.atol + settings.rtol * abs(slope) + noise
            if doubt <= tolerance < math.inf:
                return slope, noise, True
    return slope, noise, False


def compare(
    function: Callable[[list[np.ndarray]], np.ndarray],
    arrays: list[np.ndarray],
    gradients: list[np.ndarray],
    weights: np.ndarray,
    reports: list[InputReport],
    settings: Settings,
    rng: np.random.Generator,
) -> None:
    """Compare gradients with differences of `function`, and write what is found into `reports`.

    Parameters
    ----------
    function : callable
        A list of float64 arrays to a vector of all outputs.
    arrays : list of array
        The inputs.
    gradients : list of array
        What is claimed to be the gradient of ``<weights, function(arrays)>`` for each input.
    weights : array
        The upstream gradient, as a vector.
    reports : list of InputReport
        One for each input; entries already known to be wrong or kinks are left out.
    """
    middle = function(arrays)
    for i, (x, gradient, report) in enumerate(zip(arrays, gradients, reports)):
        x, gradient = x.ravel(), gradient.ravel()
        # Steps are relative to entries larger than 1; no two entries move by the same amount.
        direction = random_upstream(x.shape, rng) * np.maximum(1, abs(x))
        left = np.array([j for j in range(x.size) if j not in report.kinks], dtype=int)
        pending = [left] if settings.mode == "directions" else list(left[::-1, None])
        while pending:
            entries = pending.pop()
            if not entries.size:
                continue

            def outputs(t, i=i, x=x, entries=entries, direction=direction):
                moved = x.copy()
                moved[entries] += t * direction[entries]
                return function([*arrays[:i], moved.reshape(arrays[i].shape), *arrays[i + 1 :]])

            v = direction[entries]
            numeric, noise, smooth = slope_along(outputs, middle, weights, settings)
            parts = gradient[entries] * v
            tolerance = settings.atol * _norm(v) + settings.rtol * _norm(parts) + noise
            with np.errstate(invalid="ignore"):
                right = abs(parts.sum() - numeric) <= tolerance < math.inf  # False for NaN
            if smooth and right:
                continue
            if entries.size > 1:  # is it this half or that one?
                half = entries.size // 2
                pending += [entries[half:], entries[:half]]
                continue
            place = int(entries[0])
            if not smooth:
                report.kinks.add(place)
            else:
                index = tuple(int(n) for n in np.unravel_index(place, report.shape))
                report.wrong[place] = Entry(index, float(gradient[place]), numeric / float(v[0]))
            report.too_many_kinks = len(report.kinks) > settings.max_kinks * x.size
            if len(report.wrong) >= _ENOUGH or (report.too_many_kinks and not report.wrong):
                report.complete = not pending
                break


def _norm(v: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return math.sqrt(float(v @ v))


def random_upstream(shape: tuple, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of size 0.5 to 1.5 with random signs: none near 0, no two equal."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))


# ------------------------------------------------------------------------------- with tensors


def gradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence,
    *,
    order: int = 1,
    eps: float = Settings.eps,
    atol: float = Settings.atol,
    rtol: float = Settings.rtol,
    mode: str = Settings.mode,
    directions: int = Settings.directions,
    max_kinks: float = Settings.max_kinks,
    names: Sequence[str] | None = None,
    seed: int = 0,
    nondet_tol: float = Settings.nondet_tol,
    raise_exception: bool = True,
    fast_mode: bool | None = None,
) -> Report:
    """Check the gradients of a function against finite differences.

    Parameters
    ----------
    function : callable
        Takes the inputs, and returns a tensor or a sequence of tensors of any shapes. It must
        give the same result each time; a function that draws random numbers has to seed its
        generator. Where some outputs require a gradient, the others are left out, and so are
        integer outputs.
    inputs : Tensor or sequence
        What `function` is called with. The tensors that require a gradient are checked and must
        be float64; everything else is constant. Leaves that `function` uses without taking them
        as arguments (a layer's parameters) may be listed too, if it accepts them.
    order : int
        1 checks the gradient. 2 also checks the gradient's own gradient, with respect to the
        inputs and to the upstream gradient (``create_graph=True``); and so on.
    eps : float
        The step, relative to entries larger than 1. Where it leads over a kink, up to 256 times
        smaller ones are tried.
    atol, rtol : float
        A derivative is right if it differs by at most ``atol + rtol * |derivative|`` (and by
        what rounding explains).
    mode : {"directions", "entries"}
        Move all entries of an input at once along random directions, and single entries only
        to find out which are wrong or lie on kinks; or move each entry by itself (slow).
    directions : int
        How many directions, each with an upstream gradient of its own.
    max_kinks : float
        The share of an input's entries that may lie on kinks.
    names : sequence of str, optional
        What the report calls the inputs.
    seed : int
        For the upstream gradients and directions.
    nondet_tol : float
        By how much two runs may differ.
    raise_exception : bool
        Raise `GradcheckError` if the check fails, or return the report.
    fast_mode : bool, optional
        PyTorch's name for the mode: True means "directions", False "entries".

    Returns
    -------
    Report
        True in a condition if the gradients are right; its text says what is wrong where.

    Raises
    ------
    GradcheckError
        If a gradient is wrong, or missing, or was rounded to float32 on its way; if more than
        `max_kinks` of an input lies on kinks; if a result is not finite; or if the function
        changes its inputs in place or gives different results when called twice.
    TypeError
        If an input that requires a gradient is not float64, or if no output is a floating
        tensor.
    ValueError
        If no input requires a gradient, or an option is out of range.

    Notes
    -----
    The tolerances are tighter than PyTorch's 1e-5 and 1e-3, since two steps are combined
    (Richardson's extrapolation). A function that rounds to float32 on the way cannot be checked
    to this precision; it needs a larger `eps` and `rtol`.

    Examples
    --------
    >>> x = minigrad.randn(3, 4, dtype=minigrad.float64, requires_grad=True)
    >>> assert gradcheck(minigrad.tanh, x, order=2)
    """
    settings = Settings(eps, atol, rtol, max_kinks, _mode(mode, fast_mode), directions, nondet_tol)
    if not (isinstance(order, int) and order >= 1):
        raise ValueError(
            message("gradcheck order", "no such order.", expect="1, 2, ...", actual=repr(order))
        )
    report = Report(_name_of(function), setting=str(settings))
    rng = np.random.default_rng(seed)
    with autograd.enable_grad():
        problem = _Problem(function, *_arguments(inputs, names), 1, settings, rng)
        problem.check(report)
        for _ in range(1, order):
            if report.ok:
                problem = problem.of_the_gradient()
                problem.check(report)
    return _conclude(report, raise_exception)


def gradgradcheck(
    function: Callable[..., Tensor | Sequence[Tensor]],
    inputs: Tensor | Sequence,
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = Settings.eps,
    atol: float = Settings.atol,
    rtol: float = Settings.rtol,
    mode: str = Settings.mode,
    directions: int = Settings.directions,
    max_kinks: float = Settings.max_kinks,
    names: Sequence[str] | None = None,
    seed: int = 0,
    nondet_tol: float = Settings.nondet_tol,
    raise_exception: bool = True,
    fast_mode: bool | None = None,
) -> Report:
    """Check the gradient's own gradient only: `gradcheck` of order 2 without order 1.

    Parameters, results and errors are those of `gradcheck`, and:

    grad_outputs : Tensor or sequence of Tensor, optional
        The upstream gradients at which to check, one for each output that requires a gradient;
        random by default. Those that require a gradient are checked as inputs.
    """
    settings = Settings(eps, atol, rtol, max_kinks, _mode(mode, fast_mode), directions, nondet_tol)
    report = Report(_name_of(function), setting=str(settings))
    rng = np.random.default_rng(seed)
    with autograd.enable_grad():
        problem = _Problem(function, *_arguments(inputs, names), 1, settings, rng)
        if isinstance(grad_outputs, Tensor):
            grad_outputs = [grad_outputs]
        problem.of_the_gradient(grad_outputs).check(report)
    return _conclude(report, raise_exception)


class _Problem:
    """One function to check, with its inputs; `order` counts how often it was differentiated."""

    def __init__(self, function, arguments, names, order, settings, rng):
        self.function, self.order = function, order
        self.arguments, self.argument_names = arguments, names
        self.settings, self.rng = settings, rng
        checked = {id(x): (x, name) for x, name in zip(arguments, names) if _is_checked(x)}
        self.tensors = [x for x, _ in checked.values()]  # each once, however often it is given
        self.names = [name for _, name in checked.values()]
        _refuse_coarse(self.tensors, self.names)

    # ------------------------------------------------------------------------- the procedure

    def check(self, report: Report) -> None:
        """Check the gradient, and write what is found into the report."""
        rounds = self.settings.directions if self.settings.mode == "directions" else 1
        with _as_leaves(self.tensors):
            originals = [x.array for x in self.tensors]
            arrays = [np.array(backend.to_numpy(x)) for x in originals]
            findings = [InputReport(n, self.order, x.shape) for n, x in zip(self.names, arrays)]
            try:
                for round_ in range(rounds):
                    gradients, weights = self.differentiate(suspicious=round_ == 0)
                    if round_ == 0:
                        report.inputs += findings
                    claims = []
                    for x, gradient, finding in zip(arrays, gradients, findings):
                        finding.note = "no gradient came" if gradient is None else ""
                        claims.append(
                            np.zeros(x.shape) if gradient is None else _array_of(gradient)
                        )
                    compare(self.values, arrays, claims, weights, findings, self.settings, self.rng)
                    for x, original in zip(self.tensors, originals):
                        x.array = original
                    if not report.ok:
                        return
            except _Objection as objection:
                report.problems.append(str(objection))

    def differentiate(self, suspicious: bool = False) -> tuple[list[Tensor | None], np.ndarray]:
        """Return the gradients of the inputs for a random upstream, and that as a vector."""
        before = [_copy_of(x) for x in self.arguments]
        outputs = self.outputs()
        self.object_to_outputs(outputs)
        self.object_to_changes(before, "the function")
        upstreams = [_like(random_upstream(y.shape, self.rng), y) for y in outputs]
        kept = [_copy_of(gy) for gy in upstreams]
        gradients = self.gradients(outputs, upstreams)
        self.object_to_changes(before, "its backward")
        if not all([_unchanged(gy, copy) for gy, copy in zip(upstreams, kept)]):
            raise _Objection("backward changed the upstream gradient in place.")
        for name, gradient in zip(self.names, gradients):
            if gradient is not None and _is_rounded(_array_of(gradient)):
                raise _Objection(
                    f"the gradient of {name} has only the digits of float32: something on the way "
                    "back changes the dtype."
                )
        if suspicious:
            again = self.outputs()
            self.object_to_chance("results", outputs, again)
            self.object_to_chance("gradients", gradients, self.gradients(again, upstreams))
            self.object_to_a_second_opinion(outputs)
        return gradients, _as_vector(upstreams)

    def outputs(self, record: bool = True) -> list[Tensor]:
        """Return the outputs that count, from a call of the function as things stand."""
        if isinstance(self.function, _Gradient):
            return self.function(*self.arguments, record=record)
        outputs = self.function(*self.arguments)
        outputs = [outputs] if isinstance(outputs, Tensor) else outputs
        if not isinstance(outputs, (tuple, list)):
            problem, expect = "the function returned no tensor.", "a tensor, or a tuple of tensors"
            actual = type(outputs).__name__
            raise TypeError(message("gradcheck", problem, expect=expect, actual=actual))
        outputs = [y for y in outputs if isinstance(y, Tensor) and y.is_floating_point()]
        if not outputs:
            raise TypeError(message("gradcheck", "the function returned no floating tensor."))
        return [y for y in outputs if y.requires_grad] or outputs

    def gradients(self, outputs, upstreams) -> list[Tensor | None]:
        pairs = [(y, gy) for y, gy in zip(outputs, upstreams) if y.requires_grad]
        if not pairs:
            return [None] * len(self.tensors)
        ys, gys = zip(*pairs)
        return list(autograd.grad(ys, self.tensors, gys, allow_unused=True))

    def values(self, arrays: list[np.ndarray]) -> np.ndarray:
        """Return all outputs at other inputs, as one vector."""
        for x, array in zip(self.tensors, arrays):
            x.array = backend.asarray_on(array, x.device)
        return _as_vector(self.outputs(record=False))

    def of_the_gradient(self, upstreams: Sequence[Tensor] | None = None) -> _Problem:
        """Return the problem of the next order: this one's gradient as a function."""
        if upstreams is None:
            with _as_leaves(self.tensors):
                outputs = [y for y in self.outputs() if y.requires_grad]
            upstreams = [_like(random_upstream(y.shape, self.rng), y) for y in outputs]
            upstreams = [gy.requires_grad_() for gy in upstreams]
        upstreams = tuple(upstreams)
        numbers = [f" {i}" for i in range(len(upstreams))] if len(upstreams) > 1 else [""]
        prefix = "upstream" if self.order == 1 else f"order {self.order} upstream"
        names = [*self.argument_names, *[prefix + number for number in numbers[: len(upstreams)]]]
        function, arguments = _Gradient(self), (*self.arguments, *upstreams)
        return _Problem(function, arguments, names, self.order + 1, self.settings, self.rng)

    # ---------------------------------------------------------------------------- objections

    def object_to_outputs(self, outputs: list[Tensor]) -> None:
        for i, y in enumerate(outputs):
            which = f"output {i}" if len(outputs) > 1 else "the output"
            if isinstance(self.function, _Gradient):
                which = f"the gradient of {self.function.names[i]}"
            if y.dtype != backend.float64:
                raise _Objection(
                    f"{which} is too coarse for finite differences: something on the way changes "
                    f"the dtype.\n  Expect: float64\n  Actual: {y.dtype}"
                )
            finite = np.isfinite(_array_of(y))
            if not finite.all():
                first = tuple(np.argwhere(~finite)[0].tolist())
                count = int(finite.size - finite.sum())
                raise _Objection(
                    f"{which} is not finite: {count} of {finite.size} entries, first at {first}."
                )

    def object_to_changes(self, before: list, who: str) -> None:
        for name, x, copy in zip(self.argument_names, self.arguments, before):
            if not _unchanged(x, copy):
                raise _Objection(f"{who} changed {name} in place.\n  Do: compute with a copy")

    def object_to_chance(self, what: str, one: list, other: list) -> None:
        if not _agree(one, other, self.settings.nondet_tol):
            raise _Objection(
                f"the function is not deterministic: two calls gave different {what}.\n"
                "  Do: seed the random numbers inside the function, or give nondet_tol"
            )

    def object_to_a_second_opinion(self, outputs: list) -> None:
        """A fused backward, which is not recorded, must say what the recorded one says."""
        if isinstance(self.function, _Gradient):
            unrecorded = self.outputs(record=False)
            for name, a, b in zip(self.function.names, outputs, unrecorded):
                size = float(abs(_array_of(a)).max(initial=0.0))
                tolerance = self.settings.atol + self.settings.rtol * size
                if not _agree([a], [b], tolerance + self.settings.nondet_tol):
                    raise _Objection(
                        f"the gradient of {name} with create_graph=True differs from the one "
                        "without: some fast_backward does not compute what its backward says."
                    )


class _Gradient:
    """The gradient of a problem's function: a function of its inputs and of the upstreams."""

    def __init__(self, problem: _Problem):
        self.problem, self.names = problem, problem.names

    def __call__(self, *arguments, record: bool) -> list[Tensor]:
        outputs = [y for y in self.problem.outputs() if y.requires_grad]
        inputs, upstreams = self.problem.tensors, arguments[len(self.problem.arguments) :]
        gradients = [None] * len(inputs)
        if outputs:
            gradients = autograd.grad(
                outputs, inputs, upstreams, create_graph=record, allow_unused=True
            )
        return [_like(np.zeros(x.shape), x) if g is None else g for x, g in zip(inputs, gradients)]


class _Objection(Exception):
    """Why a comparison would mean nothing."""


@contextlib.contextmanager
def _as_leaves(tensors: list[Tensor]) -> Iterator[None]:
    """Lend the tensors to the check as leaves, and put back what they were."""
    before = [(x.array, x.creator, x.grad, x.hooks) for x in tensors]
    for x in tensors:
        x.creator = x.hooks = None
    try:
        yield
    finally:
        for x, (array, creator, grad, hooks) in zip(tensors, before):
            x.array, x.creator, x.grad, x.hooks = array, creator, grad, hooks


def _arguments(inputs, names: Sequence[str] | None) -> tuple[tuple, list[str]]:
    """Return the inputs as a tuple, and a name for each."""
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    if not any([_is_checked(x) for x in arguments]):
        problem, expect = "there is no gradient to check.", "an input with requires_grad=True"
        actual = ", ".join([type(x).__name__ for x in arguments]) or "no inputs"
        raise ValueError(message("gradcheck", problem, expect=expect, actual=actual))
    names = [f"input {i}" for i in range(len(arguments))] if names is None else list(names)
    if len(names) != len(arguments):
        problem, expect = "not one name for each input.", len(arguments)
        raise ValueError(message("gradcheck names", problem, expect=expect, actual=len(names)))
    return arguments, names


def _is_checked(x) -> bool:
    return isinstance(x, Tensor) and x.requires_grad


def _refuse_coarse(tensors: list[Tensor], names: list[str]) -> None:
    for x, name in zip(tensors, names):
        if x.dtype != backend.float64:
            problem = f"{name} is too coarse for finite differences."
            do = "convert it: x.detach().double().requires_grad_()"
            raise TypeError(message("gradcheck", problem, expect="float64", actual=x.dtype, do=do))


def _mode(mode: str, fast_mode: bool | None) -> str:
    return mode if fast_mode is None else "directions" if fast_mode else "entries"


def _conclude(report: Report, raise_exception: bool) -> Report:
    if raise_exception and not report.ok:
        raise GradcheckError(report)
    return report


def _name_of(function: Callable) -> str:
    owner = getattr(function, "__self__", None)
    name = getattr(function, "__name__", type(function).__name__)
    return f"{owner.__name__}.{name}" if isinstance(owner, type) else name


def _like(array: np.ndarray, x: Tensor) -> Tensor:
    """Return a tensor with the dtype and on the device of `x`."""
    return Tensor(backend.asarray_on(array.astype(x.dtype), x.device))


def _is_rounded(gradient: np.ndarray) -> bool:
    """Whether numbers that depend on a random upstream all happen to fit into float32."""
    numbers = gradient[(gradient != 0) & np.isfinite(gradient)]
    with np.errstate(over="ignore"):
        return numbers.size > 0 and bool((numbers == numbers.astype(np.float32)).all())


def _array_of(x: Tensor) -> np.ndarray:
    return backend.to_numpy(x.array)


def _as_vector(tensors: list[Tensor]) -> np.ndarray:
    parts = [_array_of(y).ravel().astype(np.float64) for y in tensors]
    return np.concatenate(parts) if parts else np.zeros(0)


def _agree(one: list, other: list, tolerance: float) -> bool:
    """Whether two lists of tensors (or None) have the same shapes and, nearly, entries."""
    for a, b in zip(one, other):
        if a is None or b is None:
            if a is not b:
                return False
            continue
        a, b = _array_of(a), _array_of(b)
        if a.shape != b.shape or not np.allclose(a, b, rtol=0, atol=tolerance, equal_nan=True):
            return False
    return len(one) == len(other)


def _copy_of(x) -> np.ndarray | None:
    """Return a copy of the numbers in a tensor or array; None for anything else."""
    array = getattr(x, "array", x)
    return np.array(backend.to_numpy(array)) if backend.is_array(array) else None


def _unchanged(x, copy: np.ndarray | None) -> bool:
    if copy is None:
        return True
    array = backend.to_numpy(getattr(x, "array", x))
    return np.array_equal(array, copy, equal_nan=copy.dtype.kind == "f")
