"""Learn by doing: exercises whose checker names the mistake.

``python -m minigrad learn init exercises`` copies the exercises into a folder of yours, and
``python -m minigrad learn`` watches the next one and checks it each time you save it.

An exercise is three files of the same name: ``stubs/`` holds what the learner edits, ``solutions/``
the same file solved, ``keys/`` the hints, the cases and the mistakes that the checker knows.

Before this: ``minigrad/gradcheck/``, whose ``diagnose`` finds the cause of a wrong gradient.
Next: ``verdicts.py``, ``exercise.py`` (what an exercise is); ``child.py``, ``process.py`` and
``checker.py`` (one file is checked); ``workspace.py`` (the learner's folder); ``commands.py`` and
``watch.py`` (the command line).
"""

from .exercise import Exercise, all_exercises, find

__all__ = ["Exercise", "all_exercises", "find"]
