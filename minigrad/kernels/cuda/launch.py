"""From a .cu file to a function that can be called: compile, remember, launch.

The kernels are CUDA C, one readable ``.cu`` file a family. A family is compiled by CuPy (through
NVRTC, NVIDIA's run-time compiler) at its first use, once for each dtype, and CuPy keeps the result
on disk. ``T`` in a source is the arrays' type; it is set here, in front of the text.

CuPy adds ``-ftz=true`` behind our options, and NVRTC obeys the last: so no option of ours can keep
subnormal numbers of float32 from being flushed to zero.

How a kernel runs: the *grid* is a number of blocks, a *block* a number of threads (256 here). Each
thread computes ``i = blockIdx.x * blockDim.x + threadIdx.x``, and then the outputs ``i``, ``i +
grid size``, ... Threads of a block can share memory and wait for each other; blocks cannot.

MINIGRAD_CUDA_SOURCES=0 in the environment leaves the sources aside: everything then runs in the
plain form (``plain.py``), which is slower and useful to compare with.

Before this: ``prelude.cu`` and ``activation.cu``, the shortest family. Next:
``activation.py``, the first that launches.
"""

from __future__ import annotations

import math
import os
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from minigrad import backend

FAMILIES = ("activation", "conv", "pool", "norm", "loss", "random", "optimizers")
C_NAMES = {"f": "float", "d": "double"}
THREADS = 256
MOST_BLOCKS = 4096  # a thread takes several outputs from there on
LARGEST = 2**31 - 1 - MOST_BLOCKS * THREADS  # numbers in an array: places are 32-bit in the sources
ENABLED = os.environ.get("MINIGRAD_CUDA_SOURCES", "1") != "0"


def source(family: str, char: str, code: str = "int") -> str:
    """Return the text to compile: the types, the prelude, the family's kernels.

    Parameters
    ----------
    family : str, one of `FAMILIES`
    char : "f" or "d", NumPy's letter for the dtype of the arrays (``T``)
    code : the C type of pooling's codes (``Code``)
    """
    folder = Path(__file__).parent
    texts = [(folder / f"{name}.cu").read_text() for name in ("prelude", family)]
    return "\n".join([f"typedef {C_NAMES[char]} T;", f"typedef {code} Code;", *texts])


def runs(*arrays) -> bool:
    """Whether the CUDA sources can work on `arrays`: of one floating dtype, on a GPU, not empty.

    Entries that are None are left out.
    """
    first = arrays[0]
    if type(first) is np.ndarray or not has_source(first.dtype):
        return False
    return all([a is None or (a.dtype == first.dtype and 0 < a.size <= LARGEST) for a in arrays])


def fits(shape) -> bool:
    """Whether the CUDA sources can count the numbers of a result of that shape."""
    return math.prod(shape) <= LARGEST


def has_source(dtype) -> bool:
    """Whether there are CUDA sources for arrays of a dtype, and something that compiles them."""
    return ENABLED and dtype.char in C_NAMES and hasattr(backend.cupy, "RawModule")


@cache
def _compiled(xp, family: str, char: str, code: str):
    return xp.RawModule(code=source(family, char, code), options=("-std=c++17",))


@cache
def _function(xp, family: str, name: str, char: str, code: str):
    return _compiled(xp, family, char, code).get_function(name)


def kernel(family: str, name: str, dtype, code: str = "int"):
    """Return the kernel `name` of ``<family>.cu`` for arrays of `dtype`, to be called as
    ``f(grid, block, arguments)``.
    """
    return _function(backend.cupy, family, name, dtype.char, code)


def each(family: str, name: str, like, count: int, *arguments, code: str = "int") -> None:
    """Run a kernel in which every thread takes some of `count` outputs."""
    blocks = min(-(-count // THREADS), MOST_BLOCKS)
    function = kernel(family, name, like.dtype, code)
    function((blocks,), (THREADS,), (*arguments, np.int32(count)))


def block_size(numbers: int) -> int:
    """Threads for a block that adds up so many numbers: a power of two, as its tree wants it, from
    32 on (what runs together on the hardware).
    """
    return min(THREADS, max(32, 1 << (numbers - 1).bit_length()))


def structure(**members):
    """A C structure of integers, to be passed to a kernel by value.

    Members are ``int``, except those that are named with a leading capital S (strides): ``long
    long``. NumPy's ``align=True`` lays it out as C does.
    """
    return _structure(tuple(members), tuple(members.values()))


@lru_cache(maxsize=1024)
def _structure(names, values):
    kinds = [(name, "i8" if name[0] == "S" else "i4") for name in names]
    return np.array(values, dtype=np.dtype(kinds, align=True))


def strides(array) -> list[int]:
    """The steps between neighbours along each axis, in entries and not in bytes."""
    return [step // array.itemsize for step in array.strides]
