"""The command line: ``python -m minigrad learn`` (exercises) and ``python -m minigrad doctor``.

Before this: ``minigrad/learn/commands.py``, ``minigrad/doctor/``.
"""

from __future__ import annotations

import os
import sys

USAGE = """\
usage: python -m minigrad COMMAND ...

  learn    exercises in backpropagation, with a checker that names the mistake
  doctor   what this installation has: NumPy, threads, GPU, data

python -m minigrad COMMAND --help says more."""


def main(argv: list[str] | None = None) -> int:
    """Run one of the commands and return its exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    word = arguments[0] if arguments else ""
    if word == "learn":
        from .learn.commands import main as run
    elif word == "doctor":
        from .doctor import main as run
    else:
        asked = word in ("-h", "--help", "help")
        print(USAGE if asked or not word else f"There is no command {word!r}.\n\n{USAGE}")
        return 0 if asked else 2
    try:
        return run(arguments[1:])
    except BrokenPipeError:  # `... | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
