"""What `diagnose` found: true if the gradients are right, and as text or heat maps, why not.

Before this: ``causes.py``. Next: ``diagnosis.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from .report import Entry, GradcheckError, table

_SHOWN = 5  # wrong entries in the text
_CELLS = 900  # entries in a heat map


@dataclass
class InputDiagnosis:
    """What was found out about the gradient of one input.

    Attributes
    ----------
    name : str
    shape : tuple of int
    constant : bool
        Whether the input needs no gradient (labels, indices).
    ok : bool
    cause : str or None
        What is wrong, in a short phrase; None if nothing is, or if nothing explains it.
    proof : str
        The figures that show it.
    yours, expected : array or None
        The gradients; the expected one is NaN at kinks.
    wrong : array of bool or None
        Which entries are wrong, where the shapes agree.
    kinks, checked : int
        How many entries have no derivative, and how many were compared one by one.
    """

    name: str
    shape: tuple[int, ...]
    constant: bool = False
    ok: bool = True
    cause: str | None = None
    proof: str = ""
    yours: np.ndarray | None = None
    expected: np.ndarray | None = None
    wrong: np.ndarray | None = None
    kinks: int = 0
    checked: int = 0

    @property
    def entries(self) -> list[Entry]:
        """The wrong entries, the worst first."""
        if self.wrong is None:
            return []
        found = []
        for index in np.argwhere(self.wrong):
            at = tuple(index.tolist())
            found.append(Entry(at, float(self.yours[at]), float(self.expected[at])))
        return sorted(found, key=lambda e: -abs(e.error) if e.error == e.error else -math.inf)

    @property
    def heading(self) -> str:
        """Whether it is right, in a few words."""
        if self.constant:
            return "constant, needs no gradient"
        if self.ok:
            return "right"
        if self.wrong is None:
            return f"wrong: {self.cause}" if self.cause else "wrong"
        return f"{self.count}: {self.cause or 'no known mistake gives these numbers'}"

    @property
    def count(self) -> str:
        """How much of it is wrong, in a few words."""
        if self.wrong is None:
            return "wrong"
        return f"{int(self.wrong.sum())} of {self.wrong.size} entries wrong"

    def __str__(self) -> str:
        return self.text(self.heading)

    def text(self, heading: str) -> str:
        """Return what is to be read of this input, under a heading."""
        lines = [f"{self.name} {self.shape}: {heading}"]
        lines += ["    " + line for line in self.proof.splitlines()]
        if not self.ok:
            lines += table(self.entries, _SHOWN, ("index", "yours", "expected", "difference"))
        return "\n".join(lines)


@dataclass(repr=False)
class Diagnosis:
    """The result of `diagnose`: true in a condition if the gradients are right.

    Attributes
    ----------
    what : str
        What was checked.
    inputs : list of InputDiagnosis
        One for each input.
    problem : str or None
        A mistake that leaves nothing to compare, such as an exception.
    proof : str
        What else there is to say about the problem.
    notes : list of str
        What is not wrong, but worth knowing: kinks, shared memory.
    """

    what: str
    inputs: list[InputDiagnosis] = field(default_factory=list)
    problem: str | None = None
    proof: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the gradients are right."""
        return self.problem is None and all([found.ok for found in self.inputs])

    @property
    def causes(self) -> list[str | None]:
        """One for each input: what is wrong with its gradient, None where it is right or unknown.

        A problem that concerns them all stands at each input that needs a gradient.
        """
        if self.problem is not None:
            return [None if x.constant else self.problem for x in self.inputs]
        return [x.cause for x in self.inputs]

    @property
    def cause(self) -> str | None:
        """The first cause; None if all is right, or if no known mistake gives these numbers."""
        if self.problem is not None:
            return self.problem
        return next((cause for cause in self.causes if cause is not None), None)

    def check(self) -> Diagnosis:
        """Raise an `AssertionError` with the whole report if a gradient is wrong.

        Raises
        ------
        GradcheckError
            It is an `AssertionError`, so that pytest shows the report as a failed test.
        """
        __tracebackhide__ = True  # pytest then points at the line that called this
        if not self.ok:
            raise GradcheckError(self)
        return self

    def __bool__(self) -> bool:
        return self.ok

    def __str__(self) -> str:
        lines = [self._headline()]
        lines += ["  " + line for line in self.proof.splitlines()]
        if self.problem is None:
            lines += ["  " + text.replace("\n", "\n  ") for text in self._texts()]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)

    __repr__ = __str__  # so that a prompt, and pytest for `assert diagnose(...)`, show it

    def _headline(self) -> str:
        if self.ok:
            return f"{self.what}: the gradients are right."
        if self.problem is not None:
            return f"{self.what}: {self.problem}" + "." * (self.problem[-1] not in ".?!")
        named = self._headlined
        if named.cause is None:
            text = f"the gradient of {named.name} is wrong; no known mistake gives these numbers"
            return f"{self.what}: {text}."
        return f"{self.what}: the gradient of {named.name}: {named.cause}."

    @property
    def _headlined(self) -> InputDiagnosis:
        """The input that the headline is about: the first with a cause, or else the first wrong."""
        wrong = [x for x in self.inputs if not x.ok]
        return next((x for x in wrong if x.cause is not None), wrong[0])

    def _texts(self) -> list[str]:
        """Return the inputs' texts; what the headline says is not said again."""
        said, texts = None if self.ok else self._headlined, []
        for x in self.inputs:
            heading = x.heading
            if said is not None and not x.ok and x.cause == said.cause:
                heading = x.count if x is said else f"{x.count}, as for {said.name}"
            texts.append(x.text(heading))
        return texts

    # -------------------------------------------------------------------------- in a notebook

    def _repr_html_(self) -> str:
        import html

        parts = [f"<p><b>{html.escape(self._headline())}</b></p>"]
        if self.proof:
            parts.append(f"<pre>{html.escape(self.proof)}</pre>")
        for found in self.inputs if self.problem is None else []:
            colour = "#1a7f37" if found.ok else "#b42318"
            title = html.escape(f"{found.name} {found.shape}: {found.heading}")
            parts.append(f'<p style="color:{colour};margin:.6em 0 .2em">{title}</p>')
            if found.proof:
                parts.append(f"<pre style='margin:0'>{html.escape(found.proof)}</pre>")
            if not found.ok and found.yours is not None:
                parts.append(_heat_maps(found))
        parts += [f"<p><i>note: {html.escape(note)}</i></p>" for note in self.notes]
        return "<div>" + "".join(parts) + "</div>"


def _heat_maps(found: InputDiagnosis) -> str:
    """Return yours, expected and (where the shapes agree) the difference, side by side."""
    maps = {"yours": found.yours, "expected": found.expected}
    if found.wrong is not None:
        maps["difference"] = found.yours - found.expected
    numbers = np.concatenate([np.ravel(m) for m in (found.yours, found.expected)])
    numbers = abs(numbers[np.isfinite(numbers)])
    largest = float(numbers.max(initial=0.0)) or 1.0
    cells = "".join(
        [
            f'<div style="display:inline-block;margin:0 1em .5em 0;vertical-align:top">{title} '
            f"{array.shape}<br>{_heat_map(array, largest)}</div>"
            for title, array in maps.items()
        ]
    )
    return f"<div>{cells}</div>"


def _heat_map(array: np.ndarray, largest: float) -> str:
    """Return an array as a picture: red above zero, blue below, grey where there is no number."""
    rows = array.reshape(-1, array.shape[-1]) if array.ndim > 1 else array.reshape(1, -1)
    rows = rows[: max(1, _CELLS // max(1, rows.shape[1])), :_CELLS]
    height, width = rows.shape
    side = 18 if max(height, width) <= 24 else 8
    squares = []
    for i, row in enumerate(rows):
        for j, value in enumerate(row.tolist()):
            squares.append(
                f'<rect x="{j * side}" y="{i * side}" width="{side}" height="{side}" '
                f'fill="{_colour(value, largest)}"><title>({i}, {j}): {value:.6g}</title></rect>'
            )
    return (
        f'<svg width="{width * side}" height="{height * side}" role="img" '
        f'style="border:1px solid #888">{"".join(squares)}</svg>'
    )


def _colour(value: float, largest: float) -> str:
    if not math.isfinite(value):
        return "#bbbbbb"
    fade = round(255 * (1 - min(1.0, abs(value) / largest) ** 0.7))
    return f"#ff{fade:02x}{fade:02x}" if value > 0 else f"#{fade:02x}{fade:02x}ff"
