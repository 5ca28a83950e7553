"""`gradcheck`: the gradients of tensors against differences, to any order.

Before this: ``differences.py`` and ``report.py``. Next: ``diagnosis.py``, which says why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from .causes import first_cause
from .differences import Settings, compare, random_upstream
from .evidence import Point
from .problem import Objection, Problem
from .report import GradcheckError, InputReport, Report

_MOST = 2000  # entries of an input whose mistake is looked for


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
                        report.explainer = lambda: self.explain(findings)
                        return
            except _Objection as objection:
                report.problems.append(str(objection))

    def explain(self, findings: list[InputReport]) -> None:
        """Look for the mistakes that give the wrong gradients, as `diagnose` does."""
        with autograd.enable_grad(), _as_leaves(self.tensors), np.errstate(all="ignore"):
            arrays = [np.array(backend.to_numpy(x.array)) for x in self.tensors]
            every = list(range(len(arrays)))
            names = [name.replace(" ", "_") for name in self.names]
            problem = Problem(self.result, self.pull, arrays, names, {}, every, set())
            try:
                point = Point.of(problem, np.random.default_rng(0))
                for place, finding in enumerate(findings):
                    if finding.wrong and arrays[place].size <= _MOST:
                        e = point.evidence(place)
                        found = None if e.ok else first_cause(e)
                        finding.cause = found.text if found else None
            except Objection:
                return  # it cannot be called in that way: then there is no cause to name

    def result(self, *arrays: np.ndarray) -> np.ndarray:
        """Return the one output, or all of them as a vector, at other inputs."""
        outputs = self._outputs_at(arrays, record=False)
        return _array_of(outputs[0]) if len(outputs) == 1 else _as_vector(outputs)

    def pull(self, upstream: np.ndarray, *arrays: np.ndarray) -> list[np.ndarray]:
        """Return the gradients for an upstream gradient of `result`, at other inputs."""
        outputs = self._outputs_at(arrays, record=True)
        ends = np.cumsum([y.array.size for y in outputs])[:-1]
        parts = np.split(np.ravel(upstream), ends)
        upstreams = [_like(part.reshape(y.shape), y) for part, y in zip(parts, outputs)]
        gradients = self.gradients(outputs, upstreams)
        return [np.zeros(x.shape) if g is None else _array_of(g) for x, g in zip(arrays, gradients)]

    def _outputs_at(self, arrays, record: bool) -> list[Tensor]:
        for x, array in zip(self.tensors, arrays):
            x.array = backend.asarray_on(array, x.device)
        return self.outputs(record=record)

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
        return _as_vector(self._outputs_at(arrays, record=False))

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
    before = [(x.array, x.creator, x._grad, x.hooks) for x in tensors]
    for x in tensors:
        x.creator = x.hooks = None
    try:
        yield
    finally:
        for x, (array, creator, grad, hooks) in zip(tensors, before):
            x.array, x.creator, x._grad, x.hooks = array, creator, grad, hooks


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
