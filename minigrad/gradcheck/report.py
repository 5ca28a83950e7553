"""What `gradcheck` found: the verdict, one finding for each input, the worst entries.

Before this: ``differences.py``, whose comparison fills these in.
Next: ``check.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field


class GradcheckError(RuntimeError, AssertionError):
    """A gradient is wrong; the text is the report, and ``.report`` the report itself.

    It is a ``RuntimeError`` for code that expects PyTorch's ``GradcheckError``, and an
    ``AssertionError`` so that test runners count it as a failed test, not as a crash.
    """

    def __init__(self, report):
        super().__init__(report)
        self.report = report

    def __str__(self) -> str:
        return str(self.report)  # only when asked for: to find the cause takes a while


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
    cause : str or None
        The mistake that gives these numbers, if it is a known one; `Report.explain` looks for it.
    """

    name: str
    order: int
    shape: tuple[int, ...]
    wrong: dict[int, Entry] = field(default_factory=dict)
    kinks: set[int] = field(default_factory=set)
    complete: bool = True
    too_many_kinks: bool = False
    note: str = ""
    cause: str | None = None

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
        heading += f"\n    cause: {self.cause}" if self.cause else ""
        return "\n".join([heading, *table(self.wrong.values())])


_COLUMNS = ("index", "analytic", "numeric", "difference")


def table(entries, most: int = 8, columns: tuple = _COLUMNS) -> list[str]:
    """Return lines that show the worst entries."""
    worst = sorted(entries, key=lambda e: -abs(e.error) if e.error == e.error else -math.inf)
    rows = [columns] if worst else []
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
    explainer : callable, optional
        Writes the causes into the inputs' reports.
    """

    what: str
    problems: list[str] = field(default_factory=list)
    inputs: list[InputReport] = field(default_factory=list)
    setting: str = ""
    explainer: Callable[[], None] | None = field(default=None, repr=False, compare=False)

    @property
    def ok(self) -> bool:
        """Whether the gradients are right."""
        return not self.problems and all([report.ok for report in self.inputs])

    @property
    def kinks(self) -> int:
        """How many entries could not be checked, as the function has no derivative there."""
        return sum([len(report.kinks) for report in self.inputs])

    @property
    def causes(self) -> list[str | None]:
        """One for each input: the mistake that gives its numbers; None if right or unknown."""
        self.explain()
        return [report.cause for report in self.inputs]

    @property
    def cause(self) -> str | None:
        """The first cause; None if all is right, or if no known mistake gives these numbers."""
        return next((cause for cause in self.causes if cause is not None), None)

    def explain(self) -> None:
        """Look for the causes, once; the texts do it by themselves."""
        explainer, self.explainer = self.explainer, None
        if explainer is not None:
            explainer()

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        self.explain()
        verdict = "the gradients are right." if self.ok else "the check failed."
        lines = [f"gradcheck of {self.what}: {verdict}"]
        lines += ["  " + problem.replace("\n", "\n  ") for problem in self.problems]
        lines += ["  " + str(report).replace("\n", "\n  ") for report in self.inputs]
        return "\n".join([*lines, f"  ({self.setting})"] if self.setting else lines)
