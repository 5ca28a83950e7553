"""What the exercises print: results, lists, hints; in colour on a terminal and plain elsewhere.

Before this: ``workspace.py``. Next: ``commands.py``.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import sys
import textwrap

from .checker import Result, age
from .exercise import Exercise, all_exercises
from .workspace import Workspace

COLOURS = {"green": "32", "red": "31", "yellow": "33", "cyan": "36", "bold": "1", "dim": "2"}
# What stands before an exercise in a list, its colour, and what it means.
STATES = {
    "passed": ("[x]", "green", "right"),
    "failed": ("[-]", "red", "not right yet"),
    "broken": ("[!]", "red", "does not run"),
    "changed": ("[~]", "yellow", "changed, not checked yet"),
    "todo": ("[ ]", "cyan", "to do"),
    "missing": ("[?]", "yellow", "file is missing"),
}
HEADINGS = {
    "passed": ("green", "right"),
    "failed": ("red", "not right yet"),
    "broken": ("red", "cannot be checked"),
    "todo": ("cyan", "to do"),
}


def colours_wanted(stream=None) -> bool:
    """Whether to write colours: on a terminal, unless NO_COLOR is set or TERM is dumb."""
    stream = sys.stdout if stream is None else stream
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(getattr(stream, "isatty", lambda: False)())


def paint(text: str, colour: str) -> str:
    """Return the text in a colour, where colours are wanted."""
    return f"\x1b[{COLOURS[colour]}m{text}\x1b[0m" if text and colours_wanted() else text


def prepare() -> None:
    """Make the standard output take every character, and colours on old Windows consoles."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if sys.platform == "win32" and colours_wanted():
        os.system("")  # turns on the reading of escape sequences


def describe(result: Result, paint=paint, note: str = "") -> str:
    """Return a result as text: what was checked, when it was saved, and what was found."""
    colour, words = HEADINGS[result.status]
    lines = [paint(f"{result.exercise}: {words}", colour)]
    saved = "" if result.saved is None else f", saved {age(result.saved)}"
    lines.append(paint(f"checked {result.path}{note}{saved}", "dim"))
    if result.text:
        lines += ["", *fold(result.text.rstrip())]
    if result.ok and result.exercise.lesson:
        lines += ["", *wrap(result.exercise.lesson)]
    if result.output:
        lines += ["", paint("Your file printed:", "dim")]
        lines += [f"  {line}" for line in result.output.split("\n")]
    return "\n".join(lines)


def width() -> int:
    """Return how long a line may be: the terminal's, or 80 where there is none, at most 96."""
    return max(40, min(shutil.get_terminal_size().columns, 96))


def wrap(text: str) -> list[str]:
    """Break prose into lines; lines that start with a space are kept as they are."""
    lines = []
    for line in text.split("\n"):
        lines += [line] if line.startswith(" ") else textwrap.wrap(line, width()) or [""]
    return lines


def fold(text: str) -> list[str]:
    """Break the long lines of a report, which is indented; a line of the learner's code stays."""
    lines, before = [], ""
    for line in text.split("\n"):
        space = " " * (len(line) - len(line.lstrip()))
        keep = len(line) <= width() or re.fullmatch(r" *line \d+(, in \S+)?", before)
        layout = {"initial_indent": space, "subsequent_indent": space and space + "  "}
        layout |= {"break_on_hyphens": False, "break_long_words": False}
        lines += [line] if keep else textwrap.wrap(line.strip(), width(), **layout)
        before = line
    return lines


def table(workspace: Workspace, current: Exercise | None = None) -> str:
    """Return the list of all exercises as text."""
    exercises = all_exercises()
    states = {e.name: workspace.state(e) for e in exercises}
    lines = [f"{workspace.folder}{workspace.note}"]
    for exercise in exercises:
        mark, colour, words = STATES[states[exercise.name]]
        pointer = ">" if current is not None and exercise.name == current.name else " "
        note = "" if states[exercise.name] in ("passed", "todo") else f"  ({words})"
        title = textwrap.shorten(exercise.title, width() - 30 - len(note), placeholder=" ...")
        lines.append(f"{pointer}{paint(mark, colour)} {exercise!s:<25}{title}{note}")
    right = sum(state == "passed" for state in states.values())
    lines.append(f"{right} of {len(exercises)} right")
    return "\n".join(lines)


def next_hint(workspace: Workspace, exercise: Exercise) -> str:
    """Return one more hint as text; after the last one, all of them."""
    hints = exercise.hints
    given = workspace.facts(exercise).get("hints", 0)
    given = given if isinstance(given, int) and 0 <= given <= len(hints) else 0
    if given == len(hints):
        lines = [f"{exercise}: these are all hints."]
        for number, hint in enumerate(hints, 1):
            lines += ["", *wrap(f"{number}. {hint}")]
        lines += ["", f"The solution: python -m minigrad learn solution {exercise.name} --spoil"]
        return "\n".join(lines)
    workspace.remember(exercise, hints=given + 1)
    heading = paint(f"{exercise}: hint {given + 1} of {len(hints)}", "yellow")
    return "\n".join([heading, *wrap(hints[given])])


def text_of(workspace: Workspace, exercise: Exercise) -> str:
    """Return the text at the head of an exercise, and where its file is."""
    state = STATES[workspace.state(exercise)][2]
    lines = [ast.get_docstring(ast.parse(exercise.stub)), ""]
    if exercise.requires:
        lines.append(f"Builds on: {', '.join(exercise.requires)}")
    lines.append(f"Your file:  {workspace.path(exercise)}{workspace.note}  ({state})")
    return "\n".join(lines)


def reset(workspace: Workspace, exercise: Exercise) -> str:
    """Reset an exercise and say where the old file is."""
    backup = workspace.reset(exercise)
    kept = f"; your file is kept as {backup}" if backup else ""
    return f"{workspace.path(exercise)} is the fresh exercise again{kept}."
