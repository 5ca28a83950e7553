"""NumPy's BLAS: held to one thread, and asked for an update that NumPy does not hand out.

OpenBLAS with one and with two threads differs in the last bits, and its thread count belongs to the
whole process. It is therefore set to one, once, when the kernels are first used: the products are
shared out by ``threads.py`` instead. MINIGRAD_BLAS_THREADS=keep in the environment leaves it alone.

An optimizer's step is a row of updates y = a x + b y. NumPy makes two or three passes over memory
for one of them; BLAS makes one (`axpby`), and in large arrays passes are what counts. Where no BLAS
is found that has it, or the arrays do not lie alike, NumPy's passes do the same.

Before this: ``threads.py``. Next: ``memory.py``.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import numpy as np

from .memory import scratch

# How the libraries call the function that sets their threads, and y = a x + b y.
_NAMES = {
    "scipy_openblas_set_num_threads64_": "scipy_cblas_{}axpby64_",
    "scipy_openblas_set_num_threads": "scipy_cblas_{}axpby",
    "openblas_set_num_threads64_": "cblas_{}axpby64_",
    "openblas_set_num_threads": "cblas_{}axpby",
    "MKL_Set_Num_Threads": "cblas_{}axpby",
}
FEW = 1024  # numbers: below this a call through ctypes costs more than the passes it saves


def libraries():
    """Paths of the BLAS that NumPy brought along and, on Linux, of any the process has loaded."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".dylibs"):
        if folder.is_dir():
            yield from sorted(str(path) for path in folder.iterdir() if "openblas" in path.name)
    maps = Path("/proc/self/maps")
    if maps.exists():
        names = {line.split()[-1] for line in maps.read_text().splitlines() if ".so" in line}
        yield from sorted(n for n in names if "openblas" in n or "mkl_rt" in n or "libblas" in n)


def find():
    """Return NumPy's BLAS as (path, library, name of its thread setter), or None."""
    for path in libraries():
        try:
            library = ctypes.CDLL(path)
        except OSError:
            continue
        for name in _NAMES:
            if hasattr(library, name):
                return path, library, name
    return None


def _load() -> dict:
    """Return BLAS' axpby by dtype character, as far as it is there and right on a trial."""
    found, functions = find(), {}
    if found is None:
        return functions
    _, library, setter = found
    # A 64-bit integer in a register is read rightly by a BLAS with 32-bit integers, too.
    for char, letter, number in (("f", "s", ctypes.c_float), ("d", "d", ctypes.c_double)):
        function = getattr(library, _NAMES[setter].format(letter), None)
        if function is None:
            continue
        n, pointer = ctypes.c_int64, ctypes.c_void_p
        function.argtypes = [n, number, pointer, n, number, pointer, n]
        function.restype = None
        x, y = np.arange(9, dtype=char), np.ones(9, char)
        function(7, 2.0, x[1:].ctypes.data, 1, 3.0, y[1:].ctypes.data, 1)
        if y.tolist() == [1, 5, 7, 9, 11, 13, 15, 17, 1]:
            functions[char] = function
    return functions


_axpby = _load()


def limit_blas() -> bool:
    """Set NumPy's BLAS to one thread; True if a known BLAS was found and the environment does not
    forbid it.
    """
    if os.environ.get("MINIGRAD_BLAS_THREADS", "") == "keep":
        return False
    found = find()
    if found is None:
        return False
    _, library, setter = found
    getattr(library, setter)(ctypes.c_int(1))
    return True


def axpby(a: float, x: np.ndarray, b: float, y: np.ndarray) -> None:
    """y = a x + b y, in place, for arrays of one shape and dtype that share no memory."""
    function = _axpby.get(y.dtype.char)
    # BLAS leaves out what is multiplied by zero, even NaN.
    if function is None or y.size < FEW or a == 0 or b == 0 or not _alike(x, y):
        if b != 1:
            y *= b
        y += np.multiply(x, a, out=scratch("axpby", x.shape, x.dtype))
    else:
        function(y.size, a, x.ctypes.data, 1, b, y.ctypes.data, 1)


def _alike(x: np.ndarray, y: np.ndarray) -> bool:
    """Whether both lie in one piece and in one order, and y may be written to."""
    f, g = x.flags, y.flags
    in_order = (f.c_contiguous and g.c_contiguous) or (f.f_contiguous and g.f_contiguous)
    return in_order and g.writeable and x.dtype == y.dtype
