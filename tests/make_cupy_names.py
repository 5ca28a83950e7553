"""Write ``cupy_names.json``: which names CuPy has, and which arguments each of them takes.

The stand-in for CuPy (``fakecupy.py``) and the check of our own sources (``check_xp_names.py``)
both go by this snapshot, so neither needs CuPy. Making it does, but it needs no GPU: run
``python tests/make_cupy_names.py`` after an update of CuPy. A test compares it with the CuPy
that is installed, if one is.

A signature is written ``a, axis=, *, keepdims=``: CuPy's own, with the default values left out.
``null`` stands for a name that is no function, or whose arguments cannot be read.

Read after: ``fakecupy.py``.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
from pathlib import Path

PATH = Path(__file__).with_name("cupy_names.json")

MODULES = ("", ".linalg", ".random", ".lib", ".lib.stride_tricks", ".cuda", ".cuda.runtime")
CLASSES = (".ndarray", ".ufunc", ".random.Generator", ".cuda.Device", ".cuda.Stream", ".cuda.Event")


def from_signature(function) -> str:
    """Return the arguments of a Python function, without default values."""
    parts, kinds = [], inspect.Parameter
    parameters = list(inspect.signature(function).parameters.values())
    for i, p in enumerate(parameters):
        if p.kind is kinds.VAR_POSITIONAL:
            parts.append("*" + p.name)
        elif p.kind is kinds.VAR_KEYWORD:
            parts.append("**" + p.name)
        else:
            star = any(part.startswith("*") for part in parts)
            if p.kind is kinds.KEYWORD_ONLY and not star:
                parts.append("*")
            parts.append(p.name if p.default is p.empty else p.name + "=")
            following = parameters[i + 1].kind if i + 1 < len(parameters) else None
            if p.kind is kinds.POSITIONAL_ONLY and following is not kinds.POSITIONAL_ONLY:
                parts.append("/")
    return ", ".join(parts)


def from_docstring(function, name: str) -> str | None:
    """Return the arguments of a compiled function, which stand in its docstring's first line."""
    first = (function.__doc__ or "").strip().split("\n")[0]
    found = re.match(rf"(?:\w+\.)*{re.escape(name)}\((.*)\)", first)
    if not found:
        return None
    parts = []
    for text in filter(None, (part.strip() for part in found[1].split(","))):
        declared, equals, _ = text.partition("=")
        declared = declared.split(":")[0].split()[-1]  # without a C type or an annotation
        if not re.fullmatch(r"\*{0,2}\w*|/", declared):
            return None
        parts.append(declared + equals)
    return ", ".join(parts)


def from_ufunc(ufunc) -> str:
    """Return the arguments of a ufunc; ``where=`` is what NumPy has and CuPy has not."""
    inputs = ["x"] if ufunc.nin == 1 else [f"x{i + 1}" for i in range(ufunc.nin)]
    outputs = [f"out{i + 1}=" for i in range(ufunc.nout)] if ufunc.nout > 1 else []
    if outputs:
        return ", ".join([*inputs, *outputs, "/", "*", "out=", "casting=", "dtype="])
    return ", ".join([*inputs, "/", "out=", "*", "casting=", "dtype="])


def describe(thing, name: str, ufunc: type) -> str | None:
    """Return the arguments of `thing` as text, or None."""
    if isinstance(thing, ufunc):
        return from_ufunc(thing)
    if not callable(thing) or inspect.isclass(thing):
        return None
    try:
        text = from_signature(thing)
    except (TypeError, ValueError):
        text = from_docstring(thing, name)
    return None if text is None else re.sub(r"^(self|cls)(, /)?(, |$)", "", text)


def snapshot() -> dict:
    """Return the namespace of the CuPy that is installed."""
    import cupy
    import numpy

    names = {"version": cupy.__version__}
    for path in MODULES + CLASSES:
        if path in MODULES:
            owner = importlib.import_module("cupy" + path)
        else:
            module, _, attribute = ("cupy" + path).rpartition(".")
            owner = getattr(importlib.import_module(module), attribute)
        counterpart = getattr(numpy, path[1:], None) if path else numpy
        offered = set(dir(owner)) | {name for name in dir(counterpart) if hasattr(owner, name)}
        public = [
            name
            for name in sorted(offered)  # some names are loaded late, and dir does not show them
            if not name.startswith("_") or (path == ".ndarray" and name.startswith("__"))
            if name not in ("annotations", "np")  # what the file imports, not what it offers
        ]
        # A class is asked through its dictionary, so that properties are not read.
        look_up = inspect.getattr_static if path in CLASSES else getattr
        names["cupy" + path] = {
            name: describe(look_up(owner, name), name, cupy.ufunc) for name in public
        }
    return names


def load() -> dict:
    """Read the snapshot."""
    return json.loads(PATH.read_text())


def signature(text: str) -> inspect.Signature:
    """Return the signature that `text` from the snapshot describes (a default reads as None)."""
    kinds, parameters = inspect.Parameter, []
    kind = kinds.POSITIONAL_OR_KEYWORD
    for part in filter(None, text.split(", ")):
        name, optional, _ = part.partition("=")
        if part == "/":
            parameters = [p.replace(kind=kinds.POSITIONAL_ONLY) for p in parameters]
        elif part.startswith("**"):
            parameters.append(kinds(part[2:], kinds.VAR_KEYWORD))
        elif part.startswith("*"):
            kind = kinds.KEYWORD_ONLY
            if part != "*":
                parameters.append(kinds(part[1:], kinds.VAR_POSITIONAL))
        else:
            default = None if optional else kinds.empty
            parameters.append(kinds(name, kind, default=default))
    return inspect.Signature(parameters)


def main() -> None:
    """Write the snapshot, one name a line, so that a difference between versions can be read."""
    PATH.write_text(json.dumps(snapshot(), indent=0, sort_keys=True) + "\n")
    print(f"wrote {PATH}")


if __name__ == "__main__":
    main()
