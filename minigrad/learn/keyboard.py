"""Single keys from a terminal, on Unix and Windows, or whole lines where there is none.

`open_keyboard` gives an object with one method, ``get(seconds)``: the key pressed, ``None`` if none
was pressed in time, or `END` once nothing can come any more. Without a terminal (an editor's
"run" button, a pipe) the first letter of each line counts as a key.

Before this: nothing. Next: ``watch.py``.
"""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator

END = ""


@contextlib.contextmanager
def open_keyboard() -> Iterator:
    """Yield the keyboard that there is; afterwards the terminal is what it was."""
    try:
        descriptor = sys.stdin.fileno()
        terminal = os.isatty(descriptor)
    except (AttributeError, OSError, ValueError):  # no standard input, or not a real one
        yield NoKeys()
        return
    if not terminal:
        yield Lines(descriptor)
        return
    try:
        import termios
        import tty
    except ImportError:
        with windows_or_lines(descriptor) as keyboard:
            yield keyboard
        return
    try:  # TCSANOW: the other ways wait until somebody has read our output
        before = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor, termios.TCSANOW)
    except termios.error:
        yield Lines(descriptor)
        return
    try:
        yield UnixKeys(descriptor)
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(descriptor, termios.TCSANOW, before)


@contextlib.contextmanager
def windows_or_lines(descriptor: int) -> Iterator:
    """Yield the keys of a Windows console, or lines."""
    try:
        import msvcrt
    except ImportError:
        yield Lines(descriptor)
    else:
        yield WindowsKeys(msvcrt)


class NoKeys:
    """There is nobody to press a key."""

    def get(self, seconds: float) -> str | None:
        return END


class UnixKeys:
    """A terminal that hands over each key at once."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor

    def get(self, seconds: float) -> str | None:
        import select

        ready, _, _ = select.select([self.descriptor], [], [], seconds)
        if not ready:
            return None
        try:
            pressed = os.read(self.descriptor, 64)
        except OSError:  # the terminal was closed
            return END
        # An arrow key comes as several bytes, an escape first; a key that is held, as many.
        return pressed[:1].decode("ascii", errors="replace") if pressed else END


class WindowsKeys:
    """A Windows console, which has to be asked again and again."""

    def __init__(self, msvcrt):
        self.msvcrt = msvcrt

    def get(self, seconds: float) -> str | None:
        until = time.monotonic() + seconds
        while True:
            if self.msvcrt.kbhit():
                key = self.msvcrt.getwch()
                if key in "\x00\xe0":  # an arrow or a function key: a second code follows
                    self.msvcrt.getwch()
                if key == "\x03":
                    raise KeyboardInterrupt
                return key
            if time.monotonic() >= until:
                return None
            time.sleep(0.05)


class Lines:
    """Lines from a pipe or a simple console; an empty one counts as the return key."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.keys: queue.SimpleQueue[str] = queue.SimpleQueue()
        # The descriptor is read, not sys.stdin: a thread that waits in there blocks Python's exit.
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        pending = b""
        with contextlib.suppress(OSError):
            while block := os.read(self.descriptor, 4096):
                *lines, pending = (pending + block).split(b"\n")
                for line in lines:
                    self._put(line)
        if pending:
            self._put(pending)
        self.keys.put(END)

    def _put(self, line: bytes) -> None:
        self.keys.put(line.decode("utf-8", errors="replace").strip()[:1] or "\n")

    def get(self, seconds: float) -> str | None:
        try:
            return self.keys.get(timeout=seconds)
        except queue.Empty:
            return None
