"""What an examination says: one `Check` for each question, and all of them as a page.

Before this: nothing. Next: ``case.py``.
"""

from __future__ import annotations

import html
from dataclasses import dataclass, field


@dataclass
class Check:
    """One question, and its answer.

    Attributes
    ----------
    name : str
        What was asked, such as ``"first loss"``; or, where something is wrong, what it is, such
        as ``"softmax before cross-entropy"``.
    text : str
        What was seen, with the numbers.
    do : str
        What to do about it; empty where nothing is wrong.
    ok : bool
    """

    name: str
    text: str
    do: str = ""
    ok: bool = True

    def __str__(self) -> str:
        if self.ok:
            return f"  ok  {self.name}: {self.text}"
        return f"  !!  {self.name}: {self.text}\n      Do: {self.do}"


def wrong(name: str, text: str, do: str) -> Check:
    """Return a finding."""
    return Check(name, text, do, ok=False)


@dataclass
class Examination:
    """The answers of `examine`; ``print`` it, or let a notebook show it.

    Attributes
    ----------
    subject : str
        What was examined.
    checks : list of Check
        All answers, in the order in which they were asked.
    numbers : dict from str to float
        What was measured: ``first_loss``, ``guessing_loss`` (what the loss gives where every
        answer is equally likely), ``overfit_loss``, ``overfit_steps``; those that were.
    """

    subject: str
    checks: list[Check] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)

    @property
    def findings(self) -> list[Check]:
        """What is wrong, the first cause first."""
        return [check for check in self.checks if not check.ok]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings

    def names(self) -> list[str]:
        """Return the names of the findings."""
        return [check.name for check in self.findings]

    def headline(self) -> str:
        """Return the result in one line."""
        count = len(self.findings)
        result = "nothing found" if not count else f"{count} finding{'s' * (count > 1)}"
        return f"doctor: {self.subject}: {result}"

    def __str__(self) -> str:
        healthy = [check for check in self.checks if check.ok]
        return "\n".join([self.headline(), *map(str, self.findings), *map(str, healthy)])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        healthy = [check for check in self.checks if check.ok]
        lines = "".join(_html_line(check) for check in [*self.findings, *healthy])
        return f"<p><b>{html.escape(self.headline())}</b></p><table>{lines}</table>"


def _html_line(check: Check) -> str:
    mark, colour = ("&#10003;", "#2a7d46") if check.ok else ("&#10007;", "#b5322a")
    text = html.escape(check.text).replace("\n", "<br>")
    if check.do:
        text += f"<br><i>{html.escape(check.do)}</i>"
    left = "text-align:left;vertical-align:top"
    return (
        f'<tr><td style="color:{colour};{left}">{mark}</td>'
        f'<td style="{left}"><b>{html.escape(check.name)}</b></td>'
        f'<td style="{left}">{text}</td></tr>'
    )
