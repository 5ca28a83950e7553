"""``python -m minigrad learn``: list, check, hint, show, solution, reset, init, and watching.

The exit code is 0 if what was asked for was done; for a check that means: something was checked,
and all of it is right. 1 means wrong or to do, 2 that the command made no sense.

Before this: ``workspace.py``, ``console.py``. Next: ``watch.py``.
"""

from __future__ import annotations

import argparse
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from . import console, watch
from .checker import check_file
from .console import describe, next_hint, paint, reset, table, text_of
from .exercise import Exercise, all_exercises, find
from .workspace import DEFAULT, Workspace, WorkspaceError, init, locate

EPILOG = """\
Without a command, the next exercise is watched: it is checked each time you save it.
A NAME is an exercise's name, a part of it, its number, or its file."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    console.prepare()
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except (WorkspaceError, ValueError) as error:
        print(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            raise
        # Only os.getcwd() names no file.
        print(f"learn: {error.strerror or error}: {error.filename or 'the current folder'}")
    return 2


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    folder = argparse.ArgumentParser(add_help=False)
    folder.add_argument(
        "--dir",
        default=argparse.SUPPRESS,
        help="the exercise folder (else: here, above, ./minigrad-exercises, the one last used)",
    )
    top = argparse.ArgumentParser(
        prog="python -m minigrad learn",
        description="Exercises in backpropagation, with a checker that names the mistake.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        parents=[folder],
    )
    top.set_defaults(run=run_watch, name=None)
    commands = top.add_subparsers(metavar="COMMAND")

    def command(word, run, text, **name):
        sub = commands.add_parser(word, help=text, description=text, parents=[folder])
        sub.set_defaults(run=run)
        if name:
            sub.add_argument("name", metavar="NAME", **name)
        return sub

    command("watch", run_watch, "watch an exercise, or the next one", nargs="?", default=None)
    command("list", run_list, "list all exercises and how they stand")
    check = command("check", run_check, "check one exercise, or all that are begun", nargs="?")
    check.add_argument("--all", action="store_true", help="check all exercises")
    command("hint", run_hint, "give one more hint", nargs="?")
    command("show", run_show, "show what an exercise asks for", nargs="?")
    solution = command(
        "solution", run_solution, "show the solution of a solved exercise", nargs="?"
    )
    solution.add_argument("--spoil", action="store_true", help="show it even if it is not solved")
    command("reset", run_reset, "begin an exercise anew (the old file is kept)", nargs=None)
    new = commands.add_parser("init", help="copy the exercises into a folder")
    new.add_argument("folder", metavar="DIR", nargs="?", default=DEFAULT)
    new.set_defaults(run=run_init)
    return top


def chosen(options) -> tuple[Workspace, Exercise]:
    """Return the folder and the exercise that a command is about: the one named, or the next."""
    named = options.name
    given = getattr(options, "dir", None)
    if named and given is None and os.sep in str(Path(named)) and Path(named).is_file():
        given = Path(named).absolute().parent  # the path of a file says which folder is meant
    exercise = find(named) if named else None
    workspace = locate(given)
    exercise = exercise or workspace.next()
    if exercise is None:
        raise ValueError("All exercises are solved. Name the one you mean.")
    return workspace, exercise


# ------------------------------------------------------------------------------- the commands


def run_init(options) -> int:
    """Copy the exercises out."""
    workspace, new, kept = init(Path(options.folder))
    locate(workspace.folder)
    kept = f" ({kept} were there already and are untouched)" if kept else ""
    print(f"{new} exercise{'s' * (new != 1)} copied to {workspace.folder}{kept}.")
    first = workspace.next()
    if first is not None:
        print(f"\nOpen {workspace.path(first)} in your editor, and in a terminal run")
        print(f"\n  {paint('python -m minigrad learn', 'bold')}\n")
        print("It checks the exercise each time you save it.")
    return 0


def run_list(options) -> int:
    """List all exercises."""
    workspace = locate(getattr(options, "dir", None))
    print(table(workspace))
    return 0


def run_check(options) -> int:
    """Check one exercise, or all."""
    if options.all:
        if options.name:
            raise ValueError("learn check: give a NAME or --all, not both.")
        return check_all(locate(getattr(options, "dir", None)))
    workspace, exercise = chosen(options)
    return check_one(workspace, exercise)


def check_one(workspace: Workspace, exercise: Exercise) -> int:
    """Check one exercise, print the report and return the exit code."""
    result = check_file(exercise, workspace.path(exercise))
    workspace.record(result)
    print(describe(result, note=workspace.note))
    if not result.ok:
        print(paint(f"\nA hint: python -m minigrad learn hint {exercise.name}", "dim"))
    return 0 if result.ok else 1


def check_all(workspace: Workspace) -> int:
    """Check every exercise; what is to do is counted, but not held against the learner."""
    with ThreadPoolExecutor(max_workers=min(4, os.cpu_count() or 1)) as pool:
        results = list(pool.map(lambda e: check_file(e, workspace.path(e)), all_exercises()))
    for result in results:
        workspace.record(result)
    for result in results:
        if result.status in ("failed", "broken"):
            print(describe(result), end="\n\n")
    print(table(workspace))
    wrong = any(result.status in ("failed", "broken") for result in results)
    return 0 if not wrong and any(result.ok for result in results) else 1


def run_hint(options) -> int:
    """Give one more hint."""
    workspace, exercise = chosen(options)
    print(next_hint(workspace, exercise))
    return 0


def run_show(options) -> int:
    """Show an exercise's text, where its file is and how it stands."""
    workspace, exercise = chosen(options)
    print(text_of(workspace, exercise))
    return 0


def run_solution(options) -> int:
    """Show a solution, to those who have one of their own or ask to be spoiled."""
    workspace, exercise = chosen(options)
    if not options.spoil and not workspace.solved(exercise):
        print(f"{exercise} is not solved yet, so its solution is not shown.")
        print(f"  One more hint:  python -m minigrad learn hint {exercise.name}")
        print(f"  Show it anyway: python -m minigrad learn solution {exercise.name} --spoil")
        return 1
    print(exercise.solution)
    return 0


def run_reset(options) -> int:
    """Begin an exercise anew."""
    workspace, exercise = chosen(options)
    print(reset(workspace, exercise))
    return 0


def run_watch(options) -> int:
    """Watch the exercise that is named, or the next one."""
    if options.name is None:
        workspace = locate(getattr(options, "dir", None))
        exercise = workspace.next()
        if exercise is None:
            print("All exercises are solved. They are checked once more:\n")
            return check_all(workspace)
    else:
        workspace, exercise = chosen(options)
    return watch.watch(workspace, exercise)
