"""Lets pytest check exercise files: ``pytest FOLDER``, through the conftest.py that `init` writes.

Each exercise is one test. Its failure is the checker's report and nothing else; what is not written
yet is skipped. pytest itself never imports the learner's file, so a loop in it cannot hang pytest.

Before this: ``checker.py``, ``workspace.py``.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .checker import Result, check_file
from .console import describe
from .exercise import load
from .workspace import Workspace, exercise_of_file, is_exercise_folder


class NotRightError(Exception):
    """An exercise is wrong; holds the result."""

    def __init__(self, result: Result):
        super().__init__(describe(result, paint=lambda text, colour: text))
        self.result = result


class ExerciseItem(pytest.Item):
    """The test of one exercise."""

    def runtest(self) -> None:
        result = check_file(load(self.name), self.path)
        if is_exercise_folder(self.path.parent):
            Workspace(self.path.parent).record(result)
        if result.status == "todo":
            text = "to do: " + result.text.split("\n")[0]
            raise pytest.skip.Exception(text, _use_item_location=True)  # not this line's
        if not result.ok:
            raise NotRightError(result)

    def repr_failure(self, excinfo, style=None):
        if isinstance(excinfo.value, NotRightError):
            return str(excinfo.value)
        return super().repr_failure(excinfo)

    def reportinfo(self):
        return self.path, 0, self.name


class ExerciseFile(pytest.File):
    """One file of the learner's; takes the place of pytest's own module, which would import it."""

    def collect(self):
        yield ExerciseItem.from_parent(self, name=exercise_of_file(self.path))


def pytest_collect_file(file_path: Path, parent):
    """Collect the exercises of a folder."""
    # A file that is named on the command line comes through pytest_pycollect_makemodule.
    if exercise_of_file(file_path) and not parent.session.isinitpath(file_path):
        return ExerciseFile.from_parent(parent, path=file_path)
    return None


def pytest_pycollect_makemodule(module_path: Path, parent):
    """Take over where pytest would import an exercise as a test module."""
    if exercise_of_file(module_path):
        return ExerciseFile.from_parent(parent, path=module_path)
    return None
