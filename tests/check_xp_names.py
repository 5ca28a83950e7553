"""Find, without running anything, what our sources ask of CuPy and CuPy does not have.

Code that is written once for NumPy and CuPy says ``xp.exp(x)``; nothing on a computer without a
GPU would notice that ``xp.errstate`` or ``xp.sum(where=)`` exist in NumPy only. This reads the
sources and looks up every such name, and the arguments of every call, in the snapshot of CuPy's
names. The same look finds matrix products in an op that go past ``self.kernels.matmul`` (the one
place that will call cuBLAS itself, because CuPy refuses its own product while a graph is
captured).

``python tests/check_xp_names.py`` prints the findings. Read after: ``make_cupy_names.py``.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from make_cupy_names import load, signature

NAMES = load()
SOURCES = Path(__file__).parent.parent / "minigrad"
MODULE_NAMES = ("xp", "cp", "cupy")  # ... = self.xp, backend.cupy or one of these calls
MODULE_CALLS = ("array_module", "cuda_module", "_module")
PRODUCTS = ("matmul", "dot", "tensordot", "einsum", "inner", "vdot")
ON_ARRAYS = ("forward", "fast_backward")


def is_module(node: ast.AST) -> bool:
    """Whether an expression stands for NumPy-or-CuPy: ``xp``, ``self.xp``, ``array_module(x)``."""
    if isinstance(node, ast.Call):
        function = node.func
        name = getattr(function, "id", getattr(function, "attr", None))
        return name in MODULE_CALLS
    return getattr(node, "id", getattr(node, "attr", None)) in MODULE_NAMES


def path_below_module(node: ast.AST) -> list[str] | None:
    """Return ["linalg", "norm"] for ``xp.linalg.norm``; None for what is not below the module."""
    path = []
    while isinstance(node, ast.Attribute):
        if is_module(node):
            break
        path.insert(0, node.attr)
        node = node.value
    return path if path and is_module(node) else None


def look_up(path: list[str]) -> tuple[str | None, str | None]:
    """Return (what is missing, None) or (None, the arguments that the snapshot has for it)."""
    scope, entry = "cupy", None
    for i, name in enumerate(path):
        if name.startswith("__"):
            return None, None
        if name not in NAMES[scope]:
            return f"{scope}.{name}", None
        entry = NAMES[scope][name]
        if entry is not None and "casting=" in entry and i + 1 < len(path):
            scope = "cupy.ufunc"  # xp.add.at
        elif f"{scope}.{name}" in NAMES:
            scope = f"{scope}.{name}"
        else:
            return None, entry if i + 1 == len(path) else None
    return None, entry


def wrong_arguments(call: ast.Call, arguments: str) -> str | None:
    """Return what is wrong with a call, as Python would say it."""
    keywords = {k.arg: None for k in call.keywords if k.arg is not None}
    known = len(keywords) == len(call.keywords) and not any(
        isinstance(argument, ast.Starred) for argument in call.args
    )
    expected = signature(arguments)
    try:
        if known:
            expected.bind(*call.args, **keywords)
        else:  # *args or **kwargs: how many there are is not known, the names are
            expected.bind_partial(**keywords)
    except TypeError as error:
        return str(error)
    return None


def problems(source: str, filename: str = "<source>", is_op: bool = False) -> list[str]:
    """Return one line for each thing in `source` that CuPy does not have.

    Parameters
    ----------
    source : str
        A Python file's text.
    filename : str
        How the lines name it.
    is_op : bool
        Whether matrix products in ``forward`` and ``fast_backward`` are to be found too.
    """
    tree = ast.parse(source)
    found = []
    for node in ast.walk(tree):
        path = path_below_module(node) if isinstance(node, ast.Attribute) else None
        if path is not None:
            missing, _ = look_up(path)
            if missing:
                found.append((node.lineno, f"CuPy {NAMES['version']} has no {missing}"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            path = path_below_module(node.func)
            _, arguments = look_up(path) if path else (None, None)
            wrong = wrong_arguments(node, arguments) if arguments is not None else None
            if wrong:
                found.append((node.lineno, f"cupy.{'.'.join(path)}({arguments}): {wrong}"))
        if is_op and isinstance(node, ast.FunctionDef) and node.name in ON_ARRAYS:
            found += products(node)
    return [f"{filename}:{line}: {text}" for line, text in sorted(set(found))]


def products(function: ast.FunctionDef) -> list[tuple[int, str]]:
    """Find matrix products on arrays that do not go through ``self.kernels.matmul``."""
    found = []
    for node in ast.walk(function):
        path = path_below_module(node) if isinstance(node, ast.Attribute) else None
        if (path and path[0] in PRODUCTS) or (
            isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.MatMult)
        ):
            found.append((node.lineno, "a matrix product in an op: use self.kernels.matmul"))
    return found


def scan(root: Path = SOURCES) -> list[str]:
    """Return the findings in all Python files below `root`."""
    found = []
    for path in sorted(root.rglob("*.py")):
        name = path.relative_to(root.parent)
        found += problems(path.read_text(), str(name), is_op=path.parent.name == "ops")
    return found


if __name__ == "__main__":
    findings = scan()
    print("\n".join(findings) or "CuPy has all that is asked of it")
    sys.exit(bool(findings))
