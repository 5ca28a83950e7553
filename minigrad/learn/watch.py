"""The terminal loop: watches one exercise, checks it each time it is saved, and listens to keys.

It looks at the file five times a second, which costs nothing and works on every system and with
every editor. A check that still runs when the file is saved again is given up for the new text. The
loop never goes on to the next exercise by itself: the learner presses n.

Before this: ``keyboard.py``, ``console.py``. Next: ``pytest_plugin.py``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time

from .checker import Result, check_file
from .console import describe, next_hint, paint, reset, table
from .exercise import Exercise
from .keyboard import END, open_keyboard
from .process import Child, StoppedError
from .workspace import Workspace

POLL = 0.2  # seconds
PATIENCE = 0.6  # seconds: some editors delete a file for a moment when they save it
KEYS = "h hint   n next   l list   x reset   q quit"


def watch(workspace: Workspace, exercise: Exercise) -> int:
    """Watch an exercise until the learner quits; 0 if what was checked last is right."""
    watcher = Watcher(workspace, exercise)
    try:
        with open_keyboard() as keyboard:
            watcher.loop(keyboard)
    except KeyboardInterrupt:
        print()
    finally:
        watcher.close()
    return 0 if watcher.result is not None and watcher.result.ok else 1


class Watcher:
    """One session: the exercise that is watched, the file as last seen, and the last result."""

    def __init__(self, workspace: Workspace, exercise: Exercise):
        self.workspace = workspace
        self.result: Result | None = None
        self.child: Child | None = None  # started already, and waiting for the next save
        self.get_ready()
        self.commands = {
            "h": self.hint,
            "n": self.next,
            "l": self.list,
            "x": self.reset,
            "\n": self.check,
            "\r": self.check,
        }
        self.turn_to(exercise)

    def turn_to(self, exercise: Exercise) -> None:
        """Watch this exercise from now on."""
        self.exercise, self.path = exercise, self.workspace.path(exercise)
        self.result, self.seen = None, "nothing yet"
        self.workspace.remember(current=exercise.name)
        print(paint(f"\nWatching {exercise}: {exercise.title}", "bold"))
        print(f"Your file: {self.path}{self.workspace.note}")

    def get_ready(self) -> None:
        """Start the process of the next check, so that the check itself takes no time."""
        self.close()
        with contextlib.suppress(OSError):  # the folder may be gone
            self.child = Child(self.workspace.folder)

    def close(self) -> None:
        """End the process that waits."""
        if self.child is not None:
            self.child.kill()
        self.child = None

    def loop(self, keyboard) -> None:
        """Check and listen, until q is pressed or no key can come any more."""
        while True:
            if self.changed():
                self.check()
            key = keyboard.get(POLL)
            if key == END or key in ("q", "Q", "\x04"):
                return
            if key is not None:
                self.commands.get(key.lower(), self.help)()

    def signature(self):
        """Return what changes when the file is saved; None if it is not there."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                status = os.stat(self.path)
                return status.st_mtime_ns, status.st_size, status.st_ino
            except OSError:
                if self.seen is None or time.monotonic() > until:
                    return None
                time.sleep(0.05)

    def changed(self) -> bool:
        """Whether the file is another one than that which was checked, or is being checked."""
        return self.signature() != self.seen

    # --------------------------------------------------------------------------- the keys

    def check(self) -> None:
        """Check the file and print the report."""
        self.result = None
        self.seen = self.signature()  # before the file is read: a later save is seen again
        say_for_now(f"checking {self.path.name} ...")
        try:
            self.result = check_file(self.exercise, self.path, self.child, self.changed)
        except StoppedError:
            return  # the loop checks the new text
        finally:
            say_for_now("")
        self.workspace.record(self.result)
        print(paint("\n" + "-" * 72, "dim"))
        print(describe(self.result))
        if self.result.ok:
            following = self.workspace.next(after=self.exercise)
            print(f"\nPress n for {following}." if following else "\nAll exercises are solved.")
        self.help()
        if self.child is None or not self.child.waits():
            self.get_ready()

    def hint(self) -> None:
        """Give one more hint."""
        print("\n" + next_hint(self.workspace, self.exercise))

    def next(self) -> None:
        """Go on to the next exercise that is not solved."""
        following = self.workspace.next(after=self.exercise)
        if following is None:
            solved = self.result is not None and self.result.ok
            print("\nAll exercises are solved." if solved else "\nThis is the last one not solved.")
        else:
            self.turn_to(following)

    def list(self) -> None:
        """List all exercises."""
        print("\n" + table(self.workspace, self.exercise))

    def reset(self) -> None:
        """Begin the exercise anew; the file is kept under another name."""
        try:
            print("\n" + reset(self.workspace, self.exercise))
        except OSError as error:
            print(f"\nThe file cannot be reset: {error.strerror}: {error.filename}")

    def help(self) -> None:
        """Say which keys there are."""
        print(paint("\n" + KEYS, "dim"), flush=True)


def say_for_now(text: str) -> None:
    """Show a text that the next one replaces; on a terminal only."""
    if sys.stdout.isatty():
        print(f"\r\x1b[K{text}", end="", flush=True)
