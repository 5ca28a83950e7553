"""Checks one file of a learner against its exercise, and survives whatever the file does.

The file is read once, so that the text checked, the time it was saved and the mark in the progress
file belong together. What can be said without running it is said here (it is gone, it is no text,
it is still the stub); else a `process.Child` runs it.

Before this: ``process.py``, ``child.py``. Next: ``workspace.py``.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
import os
import re
import tempfile
import time
import tokenize
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .exercise import Exercise
from .process import Child

SLOW_START = 20.0  # seconds that a child may need in addition, to start on a busy machine
MOST_SOURCE = 2**20  # bytes: an exercise has a few hundred lines


@dataclass(frozen=True)
class Result:
    """What the check of one file found.

    Attributes
    ----------
    exercise : Exercise
    path : Path
        The file that was checked.
    saved : float or None
        When it was saved, in seconds since 1970; None if there is no file.
    status : str
        'passed', 'failed' (wrong, or an exception in a function that was asked for), 'todo' (not
        written yet) or 'broken' (the file cannot be read or run).
    cause : str or None
        The mistake in a few words, where it is known.
    text : str
        The full report.
    output : str
        What the file printed, shortened.
    digest : str
        Tells whether the file is still the one that was checked.
    """

    exercise: Exercise
    path: Path
    saved: float | None
    status: str
    cause: str | None
    text: str
    output: str = ""
    digest: str = ""

    @property
    def ok(self) -> bool:
        """Whether the file was checked and is right."""
        return self.status == "passed"


@dataclass(frozen=True)
class Source:
    """A learner's file as it was at one moment."""

    text: str
    saved: float
    digest: str


class UnreadableError(Exception):
    """The file is not there, or is not text; the message says which."""


def read_source(path: Path) -> Source:
    """Return a learner's file, decoded as Python would.

    Raises
    ------
    UnreadableError
        With one sentence for the learner.
    """
    import hashlib

    if path.exists() and not path.is_file():  # a folder, or a pipe that would never end
        raise UnreadableError(f"{path.name} cannot be read: it is not a plain file.")
    try:
        with open(path, "rb") as file:
            saved = os.fstat(file.fileno()).st_mtime
            data = file.read(MOST_SOURCE + 1)
    except FileNotFoundError:
        raise UnreadableError(
            f"{path.name} is not there: it was moved, renamed or deleted. "
            f"A fresh one:  python -m minigrad learn reset {path.stem[3:]}"
        ) from None
    except OSError as error:
        raise UnreadableError(f"{path.name} cannot be read: {error.strerror}.") from None
    if len(data) > MOST_SOURCE:
        raise UnreadableError(f"{path.name} has more than {MOST_SOURCE} bytes: no exercise does.")
    return Source(_decode(path, data), saved, hashlib.sha256(data).hexdigest())


def _decode(path: Path, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data:
        raise UnreadableError(
            f"{path.name} has bytes of no plain text (UTF-16?): save it as UTF-8."
        )
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UnreadableError(
            f"{path.name} is not {error.encoding} text (line {line}): save it as UTF-8."
        ) from None
    except SyntaxError as error:  # an unknown "coding:" line, or bytes that are not UTF-8
        raise UnreadableError(f"{path.name}: {error.msg}: save it as UTF-8.") from None
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def is_stub(exercise: Exercise, text: str) -> bool:
    """Whether a file has the code of the exercise's stub, whatever its comments and blank lines."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.dump(ast.parse(text)) == ast.dump(ast.parse(exercise.stub))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False


# ------------------------------------------------------------------------------- the check


def check_file(
    exercise: Exercise,
    path: Path,
    process: Child | None = None,
    stop: Callable[[], bool] | None = None,
) -> Result:
    """Check a learner's file; never raises for what the file holds or does.

    Parameters
    ----------
    exercise : Exercise
    path : Path
        The learner's file.
    process : Child, optional
        One that was started before, so that nobody waits for its start. It may remain unused.
    stop : callable, optional
        Asked ten times a second whether to give up.

    Raises
    ------
    StoppedError
        `stop` said so.
    """
    path = Path(path).absolute()
    try:
        source = read_source(path)
    except UnreadableError as error:
        return Result(exercise, path, None, "broken", "unreadable file", str(error))
    untouched = is_stub(exercise, source.text)
    if untouched and not exercise.bug:
        text = "Not started: read the text at the head of the file, then write "
        text += f"{' and '.join(exercise.functions)}."
        return _result(exercise, path, source, {"status": "todo", "cause": None, "text": text}, "")
    answer, output = run_child(exercise, path, source, process, stop)
    if untouched and answer["status"] == "failed":
        answer = {**answer, "status": "todo", "cause": None}
    return _result(exercise, path, source, answer, output)


def _result(exercise, path, source: Source, answer: dict, output: str) -> Result:
    fields = (answer["status"], answer["cause"], answer["text"], output, source.digest)
    return Result(exercise, path, source.saved, *fields)


def run_child(
    exercise, path: Path, source: Source, process: Child | None = None, stop=None
) -> tuple[dict, str]:
    """Run a learner's file in a process of its own; return its answer and what it printed."""
    if process is None or not process.waits():
        process = Child(path.parent)
    with tempfile.TemporaryDirectory(prefix="minigrad-learn-", ignore_cleanup_errors=True) as top:
        answer, fault = os.path.join(top, "answer.json"), os.path.join(top, "fault.txt")
        request = {
            "file": str(path),
            "source": source.text,
            "name": exercise.name,
            "timeout": exercise.timeout,
            "answer": answer,
            "fault": fault,
        }
        code, output = process.ask(request, exercise.timeout + SLOW_START, stop)
        with contextlib.suppress(OSError, ValueError), open(answer, encoding="utf-8") as file:
            return json.load(file), output
        return _post_mortem(exercise, code, Path(fault)), output


def _post_mortem(exercise: Exercise, code: int | None, fault: Path) -> dict:
    """Say how a child ended that left no answer."""
    report = fault.read_text(encoding="utf-8", errors="replace") if fault.exists() else ""
    pattern = rf'{re.escape(exercise.file_name)}", line (\d+) in (\S+)'
    frame = re.search(pattern, report)
    inside = f", in {frame[2]}" if frame and frame[2] != "<module>" else ""
    place = f" (line {frame[1]}{inside})" if frame else ""
    if code is None or report.startswith("Timeout"):
        cause = "endless loop"
        text = f"Your code was still running after {exercise.timeout:g} seconds and was stopped"
        text += f"{place}: does a loop there never end{exercise.slow and ', or ' + exercise.slow}?"
    elif report:
        cause = "crash"
        text = f"Python itself crashed{place}: {report.splitlines()[0]}"
    else:
        cause = "no answer"
        text = f"The file ended the process (exit code {code}) before the check was done: "
        text += "take out os._exit and its like."
    return {"status": "broken", "cause": cause, "text": text}


def age(saved: float) -> str:
    """Return when a file was saved, as a learner reads it: ``14:02:11, 3 s ago``."""
    seconds = max(0.0, time.time() - saved)
    moment = time.localtime(saved)
    if seconds >= 12 * 3600:
        return time.strftime("%Y-%m-%d %H:%M:%S", moment)
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= size:
            return f"{time.strftime('%H:%M:%S', moment)}, {int(seconds // size)} {unit} ago"
    return f"{time.strftime('%H:%M:%S', moment)}, just now"
