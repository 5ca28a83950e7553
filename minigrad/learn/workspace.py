"""The learner's folder: the exercise files, the backups, and what has been solved so far.

Two rules. A file of the learner's is never overwritten: `init` copies only what is missing, and
`reset` moves the old file into ``backups/`` first. And the progress lies in the folder itself
(``.minigrad-learn.json``), so that it survives everything the folder survives.

Which folder is meant: the one given by ``--dir``; else the current one or one above it, if it is an
exercise folder; else ``minigrad-exercises`` in the current one; else the one last used.

Before this: ``checker.py``. Next: ``commands.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from .._errors import message
from .checker import Result, UnreadableError, is_stub, read_source
from .exercise import FILE_NAME, SOLUTIONS, STUBS, Exercise, all_exercises, names

PROGRESS = ".minigrad-learn.json"
DEFAULT = "minigrad-exercises"
BACKUPS = "backups"
CONFTEST = '''\
"""Lets pytest check the exercises of this folder: `pytest .`, or one: `pytest 04_mul.py`."""

from minigrad.learn.pytest_plugin import (  # noqa: F401
    pytest_collect_file,
    pytest_pycollect_makemodule,
)
'''


class WorkspaceError(Exception):
    """Something is wrong with the folder; the text says what, and what to do."""


class Workspace:
    """A folder of exercises.

    Parameters
    ----------
    folder : Path
        An exercise folder.
    note : str
        How it was found, where that may surprise.

    Raises
    ------
    WorkspaceError
        The folder does not exist, or is something else.
    """

    def __init__(self, folder: Path, note: str = ""):
        self.folder, self.note = Path(folder).expanduser().absolute(), note
        if not is_exercise_folder(self.folder):
            there = self.folder.is_dir()
            problem = "this is no exercise folder." if there else "there is no such folder."
            raise WorkspaceError(
                message(
                    "learn",
                    problem,
                    expect=f"a folder that holds {PROGRESS} or exercises such as 04_mul.py",
                    actual=self.folder,
                    do="python -m minigrad learn init NEW_FOLDER",
                )
            )

    def path(self, exercise: Exercise) -> Path:
        """Return the learner's file of an exercise, which may be missing."""
        return self.folder / exercise.file_name

    # --------------------------------------------------------------------------- progress

    def progress(self) -> dict:
        """Return what is remembered: ``{"current": name, "exercises": {name: {...}}}``."""
        try:
            progress = json.loads((self.folder / PROGRESS).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            progress = {}
        progress = progress if isinstance(progress, dict) else {}
        known = progress.get("exercises")
        known = known if isinstance(known, dict) else {}
        known = {name: entry for name, entry in known.items() if isinstance(entry, dict)}
        return {"current": progress.get("current"), "exercises": known}

    def remember(self, exercise: Exercise | None = None, **facts) -> None:
        """Add facts about an exercise to the progress file, or set ``current``."""
        progress = self.progress()
        if exercise is None:
            progress.update(facts)
        else:
            progress["exercises"].setdefault(exercise.name, {}).update(facts)
        # A folder that cannot be written can still be checked.
        with contextlib.suppress(OSError):
            _write(self.folder / PROGRESS, json.dumps(progress, indent=1))

    def facts(self, exercise: Exercise) -> dict:
        """Return what is remembered about an exercise."""
        return self.progress()["exercises"].get(exercise.name, {})

    def record(self, result: Result) -> None:
        """Remember the result of a check."""
        facts = {"status": result.status, "digest": result.digest}
        if result.ok and "solved" not in self.facts(result.exercise):
            facts["solved"] = time.strftime("%Y-%m-%d %H:%M:%S")
        self.remember(result.exercise, **facts)

    def solved(self, exercise: Exercise) -> bool:
        """Whether an exercise was ever right."""
        return "solved" in self.facts(exercise)

    def state(self, exercise: Exercise) -> str:
        """Return how an exercise stands, without running it.

        'passed', 'failed', 'broken' or 'todo' as last checked, if the file is still the same;
        else 'todo' (the stub), 'changed' (since the last check) or 'missing'.
        """
        try:
            source = read_source(self.path(exercise))
        except UnreadableError:
            return "broken" if self.path(exercise).exists() else "missing"
        facts = self.facts(exercise)
        if facts.get("digest") == source.digest:
            return facts.get("status", "todo")
        return "todo" if is_stub(exercise, source.text) else "changed"

    def next(self, after: Exercise | None = None) -> Exercise | None:
        """Return the next exercise that is not solved, or None if all are.

        Without `after` the one worked on last comes first, if it is not solved.
        """
        exercises = all_exercises()
        order = [e.name for e in exercises]
        start = 0
        if after is not None:
            start = order.index(after.name) + 1
        elif (current := self.progress()["current"]) in order:
            start = order.index(current)
        for exercise in exercises[start:] + exercises[:start]:
            if self.state(exercise) != "passed" and (after is None or exercise.name != after.name):
                return exercise
        return None

    # --------------------------------------------------------------------------- files

    def reset(self, exercise: Exercise) -> Path | None:
        """Put a fresh stub in place of the learner's file; return where the old one went.

        None if there was nothing to keep: no file, or the stub itself.
        """
        path = self.path(exercise)
        with contextlib.suppress(UnreadableError):
            if read_source(path).text == exercise.stub:
                return None
        backup = None
        if os.path.lexists(path):
            folder = self.folder / BACKUPS
            folder.mkdir(exist_ok=True)
            backup = _free_name(folder, path)
            os.replace(path, backup)
        _write(path, exercise.stub)
        return backup


def is_exercise_folder(folder: Path) -> bool:
    """Whether a folder holds exercises: a progress file, or a file named like an exercise."""
    if folder.is_dir() and any(os.path.samefile(folder, ours) for ours in (STUBS, SOLUTIONS)):
        return False
    if (folder / PROGRESS).is_file():
        return True
    return any((folder / f"{number:02d}_{name}.py").is_file() for name, number in names().items())


def init(folder: Path) -> tuple[Workspace, int, int]:
    """Copy the exercises into a folder; return it, and how many files are new and were kept.

    Raises
    ------
    WorkspaceError
        The path is a file, or a folder with other things in it.
    """
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        problem = "the exercises need a folder, and this is a file."
        raise WorkspaceError(message("learn init", problem, actual=folder))
    others = [p.name for p in folder.glob("*") if not p.name.startswith(".")]
    if others and not is_exercise_folder(folder):
        problem = "this folder has other files in it."
        raise WorkspaceError(
            message(
                "learn init",
                problem,
                expect="a new or empty folder, or an exercise folder to be completed",
                actual=f"{folder}, which holds {', '.join(sorted(others)[:3])}",
                do=f"python -m minigrad learn init {folder / DEFAULT}",
            )
        )
    folder.mkdir(parents=True, exist_ok=True)
    files = {exercise.file_name: exercise.stub for exercise in all_exercises()}
    missing = [name for name in files if not os.path.lexists(folder / name)]
    for name in missing:
        _write(folder / name, files[name])
    if not (folder / "conftest.py").exists():
        _write(folder / "conftest.py", CONFTEST)
    if not (folder / PROGRESS).exists():
        _write(folder / PROGRESS, "{}")
    return Workspace(folder), len(missing), len(files) - len(missing)


def _free_name(folder: Path, path: Path) -> Path:
    stem = f"{path.stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    name, count = folder / f"{stem}.py", 1
    while os.path.lexists(name):
        count += 1
        name = folder / f"{stem}-{count}.py"
    return name


def _write(path: Path, text: str) -> None:
    """Write a small file so that at any moment the old or the new one is there."""
    handle, temporary = tempfile.mkstemp(prefix=".minigrad-", dir=path.parent)
    try:
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        with contextlib.suppress(OSError):
            shutil.copymode(path if path.exists() else path.parent, temporary)
            os.chmod(temporary, os.stat(temporary).st_mode & 0o666 | 0o600)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


# ------------------------------------------------------------------------------- which folder


def locate(given: str | Path | None = None) -> Workspace:
    """Return the exercise folder that is meant, and remember it.

    Raises
    ------
    WorkspaceError
        There is none; the text says how to make one.
    """
    if given is not None:
        workspace = Workspace(Path(given))
    else:
        here = Path.cwd()
        near, last = [here, *here.parents, here / DEFAULT], last_used()
        candidates = [(folder, "") for folder in near]
        candidates += [(last, " (the folder last used)")] if last is not None else []
        found = next((c for c in candidates if is_exercise_folder(c[0])), None)
        if found is None:
            raise WorkspaceError(
                message(
                    "learn",
                    "there is no exercise folder yet.",
                    do=f"python -m minigrad learn init {DEFAULT}",
                )
            )
        workspace = Workspace(*found)
    note_last_used(workspace.folder)
    return workspace


def exercise_of_file(path: Path) -> str | None:
    """Return the name of the exercise whose file this is, or None."""
    match = FILE_NAME.fullmatch(path.name)
    return match[2] if match and names().get(match[2]) == int(match[1]) else None


def _memory() -> Path | None:
    """The file that holds the path of the folder last used, or None where there is no home."""
    try:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    except RuntimeError:
        return None
    return Path(cache, "minigrad", "exercise-folder.txt")


def last_used() -> Path | None:
    """Return the folder that was used last, if that is remembered."""
    try:
        text = _memory().read_text(encoding="utf-8").strip()
    except (OSError, ValueError, AttributeError):
        return None
    return Path(text) if text else None


def note_last_used(folder: Path) -> None:
    """Remember a folder for commands that are typed elsewhere; a failure does no harm."""
    memory = _memory()
    if memory is None or last_used() == folder:
        return
    with contextlib.suppress(OSError, UnicodeEncodeError):
        memory.parent.mkdir(parents=True, exist_ok=True)
        _write(memory, str(folder))
