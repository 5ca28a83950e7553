"""What an exercise is: the data that its key holds, and the list of all exercises.

Most exercises ask for one backward. Their key yields `Case`s, and `minigrad.gradcheck.diagnose`
does the rest. The others (a topological order, a bug to be found) have a function ``check`` that
looks at the learner's file and returns a `Verdict`. One may have both: ``check`` then looks at what
differences cannot see, such as a corner.

The folders are the registry: an exercise exists if its stub, its solution and its key do. A key is
imported only when its exercise is asked for.

Before this: ``minigrad/gradcheck/``, ``verdicts.py``. Next: ``child.py``, which runs a learner's
file.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import message
from ..gradcheck import diagnose
from .verdicts import Verdict, as_verdict, compare, first_fault, right, to_do, wrong

__all__ = [
    "Case", "Exercise", "Verdict", "WrongAnswer",
    "all_exercises", "cases_of", "find", "load", "names",
    "as_verdict", "compare", "diagnose_function", "first_fault", "right", "to_do", "wrong",
]  # fmt: skip

_HERE = Path(__file__).resolve().parent
STUBS, SOLUTIONS, KEYS = _HERE / "stubs", _HERE / "solutions", _HERE / "keys"
FILE_NAME = re.compile(r"(\d\d)_([a-z][a-z0-9_]*)\.py")
Inputs = Sequence[np.ndarray]
Named = Mapping[str, np.ndarray]


# ------------------------------------------------------------------------------- what a key holds


@dataclass(frozen=True)
class Case:
    """One set of inputs on which a learner's backward is compared with the truth.

    Parameters
    ----------
    forward : callable
        The function itself, ``forward(*inputs, **options)``, in NumPy and float64. It is the key's
        own: what the learner's file calls forward is not trusted.
    inputs : sequence of ndarray
        float64 arrays have a gradient; integer and boolean ones (labels, masks) are constants.
    names : sequence of str, optional
        What the report calls the inputs.
    sizes : dict of str to int
        Named numbers, so that a forgotten 1/N can be named.
    terms, wrong : callable, optional
        ``terms(gy, inputs)`` gives, for each input, the named summands of its gradient, and
        ``wrong(gy, inputs)`` the known wrong results; see `minigrad.gradcheck.diagnose`.
    options : dict
        Keywords for both functions: an axis, an eps, a float array that has no gradient. A function
        among them is called with the inputs: so a backward is handed the forward's output, also
        where `diagnose` tries it at other inputs.
    function : str
        Which function of the learner's file this case is for.
    """

    forward: Callable[..., np.ndarray]
    inputs: Inputs
    names: Sequence[str] | None = None
    sizes: Mapping[str, float] = field(default_factory=dict)
    terms: Callable[[np.ndarray, Inputs], Sequence[Named]] | None = None
    wrong: Callable[[np.ndarray, Inputs], Sequence[Named]] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    function: str = "backward"

    def options_at(self, inputs: Inputs) -> dict[str, Any]:
        """Return the options for these inputs, arrays as copies."""

        def value(option):
            option = option(*inputs) if callable(option) else option
            return np.array(option) if isinstance(option, np.ndarray) else option

        return {name: value(option) for name, option in self.options.items()}

    def call(self, upstream: str = "gy") -> str:
        """Return how the learner's function is called: ``backward(gy, a, b, axis=1)``."""
        names = self.names or [f"input {i}" for i in range(len(self.inputs))]
        return f"{self.function}({', '.join([upstream, *names, *self._options()])})"

    @property
    def shapes(self) -> str:
        """The shapes of the inputs, as text: ``a (3, 4), b (3, 4)``."""
        names = self.names or [f"input {i}" for i in range(len(self.inputs))]
        return ", ".join([f"{n} {tuple(np.shape(x))}" for n, x in zip(names, self.inputs)])

    def _options(self) -> list[str]:
        def short(value):
            if isinstance(value, np.ndarray):
                return f"<array {value.shape}>"
            return repr(round(value, 6) if isinstance(value, float) else value)

        options = self.options_at([np.array(x) for x in self.inputs])
        return [f"{name}={short(value)}" for name, value in options.items()]


@dataclass(frozen=True)
class WrongAnswer:
    """A mistake that people make; the tests hold the checker to naming its cause.

    Parameters
    ----------
    name : str
        What the mistake is.
    cause : str
        A text that the cause reported must contain.
    code : str
        Functions that replace those of the solution.
    """

    name: str
    cause: str
    code: str


@dataclass(frozen=True)
class Exercise:
    """One exercise, as its key describes it.

    Parameters
    ----------
    name, number, title : str, int, str
        The files are ``<number>_<name>.py``; the title is in the stub's first line.
    hints : sequence of str
        At least three, each saying more than the one before.
    wrong_answers : sequence of WrongAnswer
    cases : callable, optional
        ``cases(rng)`` yields the `Case`s of an exercise that asks for backward functions.
    check : callable, optional
        ``check(module, rng)`` returns a `Verdict`; for every other kind of exercise, and for what
        is to be looked at once the cases are right.
    functions : sequence of str
        What the learner's file must define.
    lesson : str
        Shown once the answer is right: what to take along, and where the engine does the same.
    requires : sequence of str
        The exercises this one builds on. Shown, not enforced.
    timeout : float
        Seconds after which a check is stopped.
    slow : str
        What else than an endless loop takes so long; said when a check was stopped.
    repeats : int
        With how many seeds an answer is checked.
    bug : bool
        The stub runs, and is wrong: the exercise is to find out why.
    """

    name: str
    number: int
    title: str
    hints: Sequence[str]
    wrong_answers: Sequence[WrongAnswer] = ()
    cases: Callable[[np.random.Generator], Iterable[Case]] | None = None
    check: Callable[[Any, np.random.Generator], Verdict] | None = None
    functions: Sequence[str] = ("backward",)
    lesson: str = ""
    requires: Sequence[str] = ()
    timeout: float = 10.0
    slow: str = ""
    repeats: int = 3
    bug: bool = False

    def __post_init__(self):
        if self.cases is None and self.check is None:
            raise ValueError(message(self.name, "a key gives cases, or check, or both."))

    @property
    def file_name(self) -> str:
        """The name of the exercise's file in the learner's folder, ``04_mul.py``."""
        return f"{self.number:02d}_{self.name}.py"

    @property
    def stub(self) -> str:
        """The text of the file that the learner starts from."""
        return (STUBS / self.file_name).read_text(encoding="utf-8")

    @property
    def solution(self) -> str:
        """The text of the solved file."""
        return (SOLUTIONS / self.file_name).read_text(encoding="utf-8")

    def __str__(self) -> str:
        return f"{self.number:02d} {self.name}"


# ------------------------------------------------------------------------------- the registry


def names() -> dict[str, int]:
    """Return the names of all exercises and their numbers, in order, importing no key."""
    found = [FILE_NAME.fullmatch(path.name) for path in sorted(STUBS.glob("*.py"))]
    return {
        m[2]: int(m[1])
        for m in found
        if m and (SOLUTIONS / m[0]).exists() and (KEYS / f"{m[2]}.py").exists()
    }


def load(name: str) -> Exercise:
    """Return the exercise of exactly this name."""
    return importlib.import_module(f"{__package__}.keys.{name}").exercise


def all_exercises() -> list[Exercise]:
    """Return all exercises, in the order in which they teach."""
    return [load(name) for name in names()]


def find(name: str | int) -> Exercise:
    """Return the exercise that is meant by a number, a name, a file name or a part of a name.

    Raises
    ------
    ValueError
        None is meant, or more than one; the text lists those that are near.
    """
    known = names()
    wanted = Path(str(name)).name.strip().lower().removesuffix(".py").replace("-", "_")
    if match := re.fullmatch(r"(\d+)(?:_.*)?", wanted):
        meant = [each for each, number in known.items() if number == int(match[1])]
    elif wanted in known:
        meant = [wanted]
    else:
        meant = [each for each in known if wanted and wanted in each]
    if len(meant) == 1:
        return load(meant[0])
    expect = f"a name or a number from 1 to {max(known.values())}"
    if meant:
        problem, actual = "more than one exercise is meant.", ", ".join(meant)
    else:
        problem, actual = "there is no such exercise.", repr(str(name))
        expect += _near(wanted, known)
    do = "python -m minigrad learn list"
    raise ValueError(message("learn", problem, expect=expect, actual=actual, do=do))


def _near(wanted: str, known: Iterable[str]) -> str:
    import difflib

    near = difflib.get_close_matches(wanted, list(known), n=3)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


# ------------------------------------------------------------------------------- one backward


def diagnose_function(function: Callable, case: Case, seed: int = 0):
    """Return the report of `minigrad.gradcheck.diagnose` about a learner's backward in one case.

    Raises
    ------
    NotImplementedError
        The function did: it is not written yet.
    """
    unwritten = []

    def forward(*inputs):
        return case.forward(*inputs, **case.options_at(inputs))

    def backward(gy, *inputs):
        try:
            return _with_constants(function(gy, *inputs, **case.options_at(inputs)), inputs)
        except NotImplementedError as error:
            unwritten.append(error)
            raise

    backward.__name__ = case.function  # what the report calls it
    report = diagnose(
        forward,
        backward,
        list(case.inputs),
        names=case.names,
        sizes=case.sizes,
        terms=case.terms,
        wrong=case.wrong,
        seed=seed,
    )
    if unwritten:
        raise unwritten[0]
    return report


def _with_constants(returned, inputs: Inputs):
    """Return the gradients with a None for each label and mask, which a learner may leave out."""
    has_gradient = [np.asarray(x).dtype.kind == "f" for x in inputs]
    gradients = returned if isinstance(returned, tuple | list) else (returned,)
    if all(has_gradient) or len(gradients) != sum(has_gradient):
        return returned
    given = iter(gradients)
    return tuple(next(given) if floating else None for floating in has_gradient)


def cases_of(exercise: Exercise, rng: np.random.Generator) -> Iterator[tuple[str, list[Case]]]:
    """Yield each function that an exercise asks for, with its cases."""
    cases = list(exercise.cases(rng))
    for function in exercise.functions:
        yield function, [case for case in cases if case.function == function]
