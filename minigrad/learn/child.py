"""Runs a learner's file against one exercise, inside a process of its own.

A file under work may loop forever, take all memory, print without end or call ``exit()``. So it
runs in a child process that can be killed, and this is that process: it gets a request as JSON on
its standard input, runs the file, and writes what it found, as JSON too, into the file that the
request names. What the learner's file prints goes to the standard output, which is not ours.

An exception is told as its message and the learner's own lines; the frames of NumPy and of this
package would only bury them.

Before this: ``exercise.py``. Next: ``process.py``, ``checker.py``: the parent.
"""

from __future__ import annotations

import contextlib
import faulthandler
import inspect
import json
import linecache
import os
import re
import sys
import traceback
import types
import warnings
from collections.abc import Callable
from itertools import groupby

import numpy as np

from .exercise import (
    Case,
    Exercise,
    Verdict,
    as_verdict,
    cases_of,
    diagnose_function,
    load,
    right,
    to_do,
    wrong,
)

MEMORY_LIMIT = 2**30  # bytes that a learner's file may take, where the system can limit it
IMPORTS = {"np": "import numpy as np", "numpy": "import numpy", "math": "import math"}
LAST_FRAMES = 4  # of the learner's: a recursion has a thousand


def main(request: dict) -> None:
    """Answer one request: keys file, source, name, timeout, answer, fault.

    The text goes to the path `answer`; where Python itself is stopped, `fault` has the traceback.
    """
    exercise = load(request["name"])
    with open(request["fault"], "w", encoding="utf-8") as fault:
        faulthandler.enable(fault)
        limit_memory(MEMORY_LIMIT)
        # This watchdog needs no turn of the interpreter, so it ends loops inside NumPy as well.
        faulthandler.dump_traceback_later(request["timeout"], exit=True, file=fault)
        answer = run(exercise, request["file"], request["source"])
        faulthandler.cancel_dump_traceback_later()
        faulthandler.disable()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    with open(request["answer"], "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os._exit(0)  # threads that the learner's file started shall not keep us


def limit_memory(extra: int) -> None:
    """Let this process take at most `extra` bytes more than it has now, where that can be said."""
    try:
        import resource

        with open("/proc/self/statm") as file:
            now = int(file.read().split()[0]) * resource.getpagesize()
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (now + extra, most))
    except (ImportError, OSError, ValueError):
        pass  # not Linux: the timeout has to do


# ------------------------------------------------------------------------------- one run


def run(exercise: Exercise, file: str, source: str) -> dict:
    """Run a learner's file; return status, cause and text as a dict."""
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        module = load_source(file, source)
    except BaseException as error:
        if isinstance(error, NotImplementedError):  # the call stands outside of any function
            return _answer("todo", None, tell(error, file, "The file"))
        return _answer("broken", kind(error), tell(error, file, "The file"))
    try:
        verdict = examine_repeatedly(exercise, module)
    except NotImplementedError as error:
        return _answer("todo", None, tell(error, file, "Your code"))
    except BaseException as error:
        return _answer("failed", f"raised {kind(error)}", tell(error, file, "Your code"))
    status = "passed" if verdict.ok else "todo" if verdict.todo else "failed"
    return _answer(status, verdict.cause, str(verdict))


def _answer(status: str, cause: str | None, text: str) -> dict:
    return {"status": status, "cause": cause, "text": text}


def load_source(file: str, source: str) -> types.ModuleType:
    """Return the module that a source text makes.

    Its annotations, warnings and ``__name__`` are those of an imported module, so what stands
    under ``if __name__ == "__main__"`` does not run.
    """
    module = types.ModuleType(os.path.splitext(os.path.basename(file))[0])
    module.__file__ = file
    sys.modules[module.__name__] = module  # dataclasses and pickling look it up there
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)
        code = compile(source, file, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    return module


def examine_repeatedly(exercise: Exercise, module) -> Verdict:
    """Examine with each seed in turn; return the first verdict that is not right."""
    for seed in range(exercise.repeats):
        # A wild gradient overflows; the report says so better than NumPy's warnings.
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            verdict = examine(exercise, module, seed)
        if not verdict.ok:
            return verdict
    return verdict


def examine(exercise: Exercise, module, seed: int = 0) -> Verdict:
    """Check a loaded module against an exercise, in this process and without any protection.

    Returns
    -------
    Verdict
        Exceptions of the module's functions are not caught.
    """
    for name in exercise.functions:
        if not callable(getattr(module, name, None)):
            text = f"The file does not define the function {name}, which is what is checked."
            return wrong(f"no function {name}", text)
    rng = np.random.default_rng([seed, exercise.number])
    if exercise.cases is not None:
        verdict = examine_cases(exercise, module, rng, seed)
        if not verdict.ok or exercise.check is None:
            return verdict
    return as_verdict(exercise.check(module, rng))


def examine_cases(exercise: Exercise, module, rng: np.random.Generator, seed: int) -> Verdict:
    """Check each of the functions that an exercise asks for."""
    states = {}
    for name, cases in cases_of(exercise, rng):
        verdict = examine_function(getattr(module, name), cases, seed)
        if not verdict.ok and not verdict.todo:
            return verdict
        states[name] = "to do" if verdict.todo else "right"
    if "to do" not in states.values():
        return right()
    if len(states) == 1:
        return verdict
    return to_do("; ".join([f"{name}: {state}" for name, state in states.items()]) + ".")


def examine_function(function: Callable, cases: list[Case], seed: int) -> Verdict:
    """Check one backward in all its cases."""
    for case in cases:
        upstream = upstream_name(function, case)
        called = f"called as {case.call(upstream)} with {case.shapes}"
        try:
            verdict = _try_out(function, case, seed, case.call(upstream))
            verdict = verdict or as_verdict(diagnose_function(function, case, seed))
        except NotImplementedError:
            return to_do(f"{case.function} is not written yet: it raises NotImplementedError.")
        except Exception as error:
            error.__notes__ = [*getattr(error, "__notes__", []), called]
            raise
        if not verdict.ok:
            return _in_words_of(upstream, verdict.cause, f"{verdict}\n\n  {called}")
    return right()


def _try_out(function: Callable, case: Case, seed: int, call: str) -> Verdict | None:
    """Call the function once: what it raises comes with its line, and no option may change."""
    inputs = [np.array(x) for x in case.inputs]
    options, before = case.options_at(inputs), case.options_at(inputs)
    y = np.asarray(case.forward(*[x.copy() for x in inputs], **case.options_at(inputs)))
    gy = np.random.default_rng(seed).standard_normal(y.shape)
    try:
        function(gy, *inputs, **options)
    except TypeError as error:
        if error.__traceback__.tb_next is None:  # the call itself did not fit
            raise TypeError(f"{error}. It is called as {call}") from None
        raise
    for name, value in before.items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, options[name]):
            cause = f"{case.function} changes {name} in place"
            text = f"{cause}.\n  the caller's array is overwritten: compute with a copy"
            return wrong(cause, text)
    return None


def upstream_name(function: Callable, case: Case) -> str:
    """Return what the learner calls the upstream gradient: the name of the first parameter."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return "gy"
    if not parameters or parameters[0].kind == inspect.Parameter.VAR_POSITIONAL:
        return "gy"
    first, *others = [p.name for p in parameters]
    # A name that means something else would make nonsense of the report.
    confusing = "gy" in others or first in {*(case.names or []), *case.options}
    return "gy" if confusing else first


def _in_words_of(upstream: str, cause: str | None, text: str) -> Verdict:
    """Return the verdict that something is wrong, where gy has the learner's name."""

    def renamed(words):
        return re.sub(r"\bgy\b", upstream, words)

    return wrong(cause and renamed(cause), renamed(text))


# ------------------------------------------------------------------------------- exceptions, told


def kind(error: BaseException) -> str:
    """Return the name of an exception's type."""
    return type(error).__name__


def tell(error: BaseException, file: str, who: str) -> str:
    """Say in one sentence what was raised, and where in the learner's file."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return _tell_syntax(error, who)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == file]
    place = f" (line {frames[-1].lineno})" if frames else ""
    lines = [f"{_sentence(error, who, place)}"]
    frames = [frame for frame, _ in groupby(frames)]  # a recursion repeats one line
    for frame in frames[-LAST_FRAMES:]:
        inside = f", in {frame.name}" if frame.name != "<module>" else ""
        lines += [f"  line {frame.lineno}{inside}", f"    {frame.line}"]
    for note in getattr(error, "__notes__", []):
        lines += ["", *[f"  {line}" for line in str(note).split("\n")]]
    return "\n".join(lines)


def _sentence(error: BaseException, who: str, place: str) -> str:
    said = " ".join(str(error).split())
    said = said if len(said) < 300 else said[:300] + " ..."
    if isinstance(error, NotImplementedError):
        return f"{who} is not finished: it raises NotImplementedError{place}."
    if isinstance(error, ModuleNotFoundError):
        return f"{who} imports {error.name}, which is not installed here{place}: NumPy is enough."
    if isinstance(error, SystemExit):
        return f"{who} calls exit(){place}: take that out, an exercise must run to its end."
    if isinstance(error, RecursionError):
        return f"{who} calls itself without end{place}."
    if isinstance(error, MemoryError):
        return f"{who} asks for more memory than an exercise may have{place}."
    if isinstance(error, EOFError):
        return f"{who} asks for keyboard input{place}, and there is nobody to answer."
    if kind(error) == "BdbQuit":
        text = "starts the debugger, breakpoint(), and there is no keyboard here"
        return f"{who} {text}{place}: print what you want to see."
    if isinstance(error, NameError) and error.name in IMPORTS:
        said += f": write `{IMPORTS[error.name]}` at the top"
    return f"{who} raises {kind(error)}{place}{': ' + said if said else ''}."


def _tell_syntax(error: SyntaxError, who: str) -> str:
    lines = [f"{who} is not valid Python: {error.msg} (line {error.lineno})."]
    if error.text:
        text = error.text.rstrip("\n").expandtabs(1)
        lines.append(f"    {text}")
        if error.offset:
            lines.append("    " + " " * min(error.offset - 1, len(text)) + "^")
    return "\n".join(lines)
