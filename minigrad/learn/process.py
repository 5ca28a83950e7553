"""A child process in which a learner's file can do no harm.

It is killed once its time is up, with all that it started; what it prints is read to the end, so
that it never waits for us, but kept only in part. A `Child` may be started before it is needed: it
imports what it needs and then waits for its one request, so that a check answers at once.

Before this: ``child.py``, which is what runs in the process. Next: ``checker.py``.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from itertools import groupby
from pathlib import Path

KEEP_OUTPUT = 4000  # bytes of what the learner's file prints
MOST_LINES = 20
BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
    "from minigrad.learn.child import main; main(json.load(sys.stdin))"
)


POLL = 0.1  # seconds


class StoppedError(Exception):
    """The check was given up, because nobody waits for it any more."""


class Child:
    """A process that answers one request, by `child.main`.

    Parameters
    ----------
    folder : Path
        The learner's folder, in which the process runs.
    """

    def __init__(self, folder: Path):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        paths = json.dumps(search_path(folder))
        self.process = subprocess.Popen(
            # -I: no folder of the learner's, and no PYTHON... variable, comes before our own paths.
            [sys.executable, "-I", "-X", "utf8", "-c", BOOT, paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=environment,
            start_new_session=True,  # so that what it starts can be killed with it
        )
        self.output = Output(self.process.stdout)

    def waits(self) -> bool:
        """Whether it can still be asked."""
        return self.process.poll() is None and not self.process.stdin.closed

    def ask(
        self, request: dict, patience: float, stop: Callable[[], bool] | None = None
    ) -> tuple[int | None, str]:
        """Send the request; return the exit code, None if it had to be killed, and the output.

        `stop` is asked again and again whether to give up; then `StoppedError` is raised.
        """
        try:
            with contextlib.suppress(OSError), self.process.stdin:
                self.process.stdin.write(json.dumps(request).encode("ascii"))
            return self._wait(patience, stop), self.output.text()
        finally:
            self.kill()

    def _wait(self, patience: float, stop: Callable[[], bool] | None) -> int | None:
        """Return the exit code, or None once the patience is at its end."""
        until = time.monotonic() + patience
        while (left := until - time.monotonic()) > 0:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(timeout=left if stop is None else min(left, POLL))
            if stop is not None and stop():
                raise StoppedError
        return None

    def kill(self) -> None:
        """End it and, where there are process groups, all that it started."""
        with contextlib.suppress(OSError, AttributeError):
            os.killpg(self.process.pid, 9)
        with contextlib.suppress(OSError):
            self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


def search_path(folder: Path) -> list[str]:
    """Return where a child finds modules: the learner's folder last, so that it hides nothing.

    The current folder, which Python puts first, is left out: a file numpy.py may lie there.
    """
    package = str(Path(__file__).resolve().parents[2])
    hidden = {os.path.realpath(folder)}
    with contextlib.suppress(OSError):  # the current folder was deleted
        hidden.add(os.path.realpath(os.getcwd()))
    others = [p for p in sys.path if p and os.path.realpath(p) not in hidden]
    return [*([] if package in others else [package]), *others, str(folder)]


class Output:
    """Reads a stream to its end, in a thread of its own, and keeps the beginning."""

    def __init__(self, stream):
        self.kept, self.count, self.stream = bytearray(), 0, stream
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError), self.stream:
            while block := self.stream.read1(65536):
                self.kept += block[: KEEP_OUTPUT - len(self.kept)]
                self.count += len(block)

    def text(self) -> str:
        """Return what was printed as a few lines without control characters."""
        self.thread.join(timeout=0.5)  # what the child left running may hold the pipe
        text = bytes(self.kept).decode("utf-8", errors="replace").replace("\r\n", "\n")
        # These could move the cursor or recolour the terminal.
        text = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
        text = re.sub(r"[^\n\t -~\xa0-\U0010ffff]", "", text)
        runs = [(line[:200], len(list(run))) for line, run in groupby(text.rstrip().split("\n"))]
        lines = [line + (f"   ({count} times)" if count > 1 else "") for line, count in runs]
        if self.count > len(self.kept) or len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], f"... ({self.count} bytes in all)"]
        return "\n".join(lines)
