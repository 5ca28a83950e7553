"""Run CUDA C on the CPU: what ``RawModule`` and ``RawKernel`` are in the stand-in for CuPy.

A kernel's source is compiled by an ordinary C++ compiler, behind a few lines that define CUDA's
words: ``threadIdx`` and its like are global variables, and a launch is a loop over all threads of
all blocks. Where a kernel waits (``__syncthreads``), each thread of a block gets a stack of its
own; it runs until it waits, then the next one runs. So a kernel computes here what it computes on
a GPU, up to the rounding of ``exp`` and its like, only slower.

Checked on the way, because CuPy checks none of it: the number of arguments; the dtype behind each
pointer; the size of each number (a Python int is 8 bytes, and an ``int`` parameter 4); the size of
structures; and that all threads of a block arrive at the same ``__syncthreads``. Threads may run in
any order, so `backwards` runs them last to first: a kernel that forgot to wait gives other numbers
then.

What this cannot see: what differs on real hardware (speed, registers, two blocks at once). Needs a
C++ compiler (``CXX``, g++, clang++ or c++ on Linux or macOS); without one `compiler` is None, the
stand-in has no ``RawModule``, and the kernels run in their plain form.

Read after: ``minigrad/kernels/cuda/launch.py``. Next: ``test_cuda_sources.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import threading
import weakref
from pathlib import Path

import fakecupy_graph as fakegraph
import numpy as np

FLAGS = ["-std=c++17", "-O1", "-ffp-contract=off", "-fPIC", "-shared", "-w", "-U_FORTIFY_SOURCE"]

CUDA_WORDS = r"""
#include <cmath>
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <ucontext.h>
using std::exp; using std::log; using std::sqrt; using std::pow; using std::fmax; using std::fabs;
#define __global__
#define __device__ static
#define __shared__ static
#define __restrict__
#define __launch_bounds__(...)
struct Dim { unsigned x, y, z; };
static Dim threadIdx, blockIdx, blockDim, gridDim;

// A thread with a stack of its own. It stops at each barrier, and at the end of the kernel.
struct Fiber { ucontext_t start; jmp_buf here; bool begun, finished; };
enum { MOST = 1024, STACK = (1 << 14) + 320 };  // no power of two: those would share cache lines
static Fiber fibers[MOST];
static char stacks[MOST][STACK];
static jmp_buf scheduler;
static int current;
static void (*kernel)(void**);
static void** arguments;

static void stop() {
    if (_setjmp(fibers[current].here) == 0) _longjmp(scheduler, 1);
}
static void __syncthreads() { stop(); }
static void live() {
    for (;;) {
        kernel(arguments);
        fibers[current].finished = true;
        stop();
    }
}
static void go_on(int i) {
    current = i;
    threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
    if (_setjmp(scheduler) != 0) return;
    Fiber& fiber = fibers[current];
    if (fiber.begun) _longjmp(fiber.here, 1);
    fiber.begun = true;
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = stacks[i];
    fiber.start.uc_stack.ss_size = STACK;
    makecontext(&fiber.start, live, 0);
    setcontext(&fiber.start);
}

// 0, or 1 if some threads of a block waited where others had ended.
static int run_block(int threads, bool backwards) {
    for (int i = 0; i < threads; i++) fibers[i].finished = false;
    for (int ended = 0; ended < threads;) {
        for (int j = 0; j < threads; j++) {
            int i = backwards ? threads - 1 - j : j;
            go_on(i);
            ended += fibers[i].finished;
        }
        if (ended > 0 && ended < threads) return 1;
    }
    return 0;
}
static int run_grid(const unsigned* grid, const unsigned* block, void (*body)(void**), void** args,
                    int waits, int backwards) {
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {block[0], block[1], block[2]};
    kernel = body;
    arguments = args;
    int threads = block[0] * block[1] * block[2];
    long blocks = (long)grid[0] * grid[1] * grid[2];
    for (long k = 0; k < blocks; k++) {
        long b = backwards ? blocks - 1 - k : k;
        blockIdx = {(unsigned)(b % grid[0]), (unsigned)(b / grid[0] % grid[1]),
                    (unsigned)(b / grid[0] / grid[1])};
        if (waits) {
            if (run_block(threads, backwards)) return 1;
            continue;
        }
        for (int j = 0; j < threads; j++) {
            int i = backwards ? threads - 1 - j : j;
            threadIdx = {i % blockDim.x, i / blockDim.x % blockDim.y, i / blockDim.x / blockDim.y};
            body(args);
        }
    }
    return 0;
}
#line 1 "source.cu"
"""

# What follows each source: for each kernel a function that unpacks its arguments.
LAUNCHER = """
static void body_{name}(void** a) {{ {name}({unpacked}); }}
extern "C" const int sizes_{name}[] = {{ {sizes} }};
extern "C" int launch_{name}(const unsigned* grid, const unsigned* block, void** a,
                             int backwards) {{
    return run_grid(grid, block, body_{name}, a, {waits}, backwards);
}}
"""

KERNEL = re.compile(r'extern\s+"C"\s+__global__\s+void\s+(\w+)\s*\(([^)]*)\)\s*\{')
FUNCTION = re.compile(r"__device__[^(;{]*?(\w+)\s*\([^)]*\)\s*\{")
NUMPY = {
    "float": "f4",
    "double": "f8",
    "unsigned char": "u1",
    "int": "i4",
    "unsigned": "u4",
    "long long": "i8",
    "unsigned long long": "u8",
}

_order = {"backwards": False}
_one_at_a_time = threading.Lock()  # the fibers are global variables
addresses = weakref.WeakValueDictionary()  # of arrays whose address was asked for

compiler = next(
    filter(None, map(shutil.which, [os.environ.get("CXX", ""), "g++", "clang++", "c++"])), None
)
if os.name != "posix":
    compiler = None


@contextlib.contextmanager
def backwards():
    """Inside this block threads and blocks run from the last to the first."""
    _order["backwards"] = True
    try:
        yield
    finally:
        _order["backwards"] = False


def without_comments(code: str) -> str:
    """Return C code without its comments."""
    return re.sub(r"//[^\n]*|/\*.*?\*/", "", code, flags=re.DOTALL)


def parameters(text: str) -> list[tuple[str, bool, bool]]:
    """Return (type, is a pointer, is const) of each parameter in a C parameter list."""
    found = []
    for part in text.split(","):
        kind = re.sub(r"\w+\s*$", "", part.strip()).strip()  # without the parameter's name
        const = "const" in kind.split()
        kind = " ".join(word for word in kind.replace("*", " ").split() if word != "const")
        found.append((kind, "*" in part, const))
    return found


def body_of(code: str, brace: int) -> str:
    """Return what stands between the brace at that place and the one that closes it."""
    depth = 0
    for i in range(brace, len(code)):
        depth += {"{": 1, "}": -1}.get(code[i], 0)
        if depth == 0:
            return code[brace : i + 1]
    raise ValueError("a brace is not closed")


def waiting_functions(code: str) -> set[str]:
    """Return the names of the functions that wait for other threads, also through others."""
    bodies = {
        match[1]: body_of(code, match.end() - 1)
        for pattern in (KERNEL, FUNCTION)
        for match in pattern.finditer(code)
    }
    waiting = {"__syncthreads"}
    while True:
        called = {name: set(re.findall(r"\w+(?=\s*\()", body)) for name, body in bodies.items()}
        more = {name for name in bodies if waiting & called[name]}
        if more <= waiting:
            return waiting
        waiting |= more


def _folder() -> Path:
    """A folder of this user's for what was compiled."""
    folder = Path(tempfile.gettempdir(), f"minigrad-cuda-on-cpu-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")
    return folder


def compiled(text: str) -> ctypes.CDLL:
    """Compile C++ text, or find what was compiled of it before."""
    digest = hashlib.sha256(" ".join([compiler, *FLAGS, text]).encode()).hexdigest()[:24]
    path = _folder() / f"{digest}.so"
    if not path.exists():
        source, new = path.with_suffix(f".{os.getpid()}.cpp"), path.with_suffix(f".{os.getpid()}")
        source.write_text(text)
        done = subprocess.run(
            [compiler, *FLAGS, str(source), "-o", str(new)], capture_output=True, text=True
        )
        source.unlink()
        if done.returncode != 0:
            raise RuntimeError(f"{compiler} failed:\n{done.stderr[:4000]}")
        os.replace(new, path)
    return ctypes.CDLL(str(path))


class RawModule:
    """CuPy's, for CUDA source code."""

    def __init__(self, *, code: str, options: tuple = (), backend: str = "nvrtc"):
        if not isinstance(options, tuple) or not isinstance(code, str):
            raise TypeError("RawModule: code is a str, options a tuple of str")
        self.code = code
        plain = without_comments(code)
        self.types = {n: t for t, n in re.findall(r"typedef ([\w ]+?) (\w+);", plain)}
        self.kernels = {match[1]: parameters(match[2]) for match in KERNEL.finditer(plain)}
        waiting = waiting_functions(plain)
        launchers = [self._launcher(name, name in waiting) for name in self.kernels]
        self._library = compiled("\n".join([CUDA_WORDS, code, *launchers]))

    def _launcher(self, name: str, waits: bool) -> str:
        kinds = [kind + "*" * pointer for kind, pointer, _ in self.kernels[name]]
        return LAUNCHER.format(
            name=name,
            unpacked=", ".join(f"*({kind}*)a[{i}]" for i, kind in enumerate(kinds)),
            sizes=", ".join(f"sizeof({kind})" for kind in kinds),
            waits=int(waits),
        )

    def get_function(self, name: str) -> RawKernel:
        """Return the kernel of that name."""
        if name not in self.kernels:
            raise ValueError(f"no kernel {name!r} in the module: {list(self.kernels)}")
        return RawKernel._of(self, name)


class RawKernel:
    """CuPy's: a kernel that can be launched."""

    def __init__(self, code: str, name: str, options: tuple = (), backend: str = "nvrtc"):
        made = RawModule(code=code, options=options).get_function(name)
        self.__dict__.update(made.__dict__)

    @classmethod
    def _of(cls, module: RawModule, name: str) -> RawKernel:
        kernel = object.__new__(cls)
        kernel.name, kernel.code = name, module.code
        kinds = module.kernels[name]
        kernel._parameters = [
            (module.types.get(kind, kind), pointer, const) for kind, pointer, const in kinds
        ]
        kernel._run = getattr(module._library, f"launch_{name}")
        sizes = (ctypes.c_int * len(kinds)).in_dll(module._library, f"sizes_{name}")
        kernel._sizes = list(sizes)
        kernel.launches = 0
        return kernel

    def __call__(self, grid, block, args, *, shared_mem=0):
        grid, block = [(*shape, 1, 1)[:3] for shape in (grid, block)]
        fits = 0 < grid[0] < 2**31 and 0 < grid[1] < 2**16 and 0 < grid[2] < 2**16
        if not fits or not 0 < np.prod(block) <= 1024:
            raise RuntimeError(f"{self.name}: CUDA_ERROR_INVALID_VALUE: {grid} blocks of {block}")
        if len(args) != len(self._parameters):
            raise TypeError(f"{self.name} takes {len(self._parameters)} arguments, not {len(args)}")
        if sum(self._sizes) > 4096:
            raise RuntimeError(f"{self.name}: arguments of more than 4 kB")
        memory = [self._value(i, value) for i, value in enumerate(args)]
        kept = args, [_arrays_of_addresses(value) for value in args]
        pointers = (ctypes.c_void_p * len(memory))(*[m.ctypes.data for m in memory])
        grid, block = [(ctypes.c_uint * 3)(*map(int, shape)) for shape in (grid, block)]

        def run(memory=memory, kept=kept):  # which keeps them alive
            with _one_at_a_time:
                if self._run(grid, block, pointers, int(_order["backwards"])):
                    raise RuntimeError(f"{self.name}: not all threads arrive at __syncthreads()")

        self.launches += 1
        fakegraph.device_call(run, self.name, self.code)

    def _value(self, i: int, value) -> np.ndarray:
        """Return the bytes to pass for an argument, after a look at its type."""
        kind, pointer, const = self._parameters[i]
        where = f"{self.name}: argument {i} ({'const ' * const}{kind}{'*' * pointer})"
        if pointer:
            return np.array([self._address(where, kind, value)], np.uint64)
        if kind in NUMPY:
            given = {int: np.int64, float: np.float64}.get(type(value), type(value))
            if not issubclass(given, np.generic) or np.dtype(given) != NUMPY[kind]:
                raise TypeError(f"{where} is given {value!r} ({type(value).__name__})")
            return np.array([value], NUMPY[kind])
        if not isinstance(value, np.ndarray) or value.size != 1:
            raise TypeError(f"{where} is a structure: pass a NumPy array of one")
        if value.itemsize != self._sizes[i]:
            raise TypeError(f"{where} has {self._sizes[i]} bytes, not {value.itemsize}")
        return np.array(value)

    def _address(self, where, kind, value) -> int:
        if isinstance(value, int) and value == 0:
            return 0
        if not hasattr(value, "_a"):
            raise TypeError(f"{where} is given {type(value).__name__}: pass a device array, or 0")
        if value.dtype != NUMPY[kind]:
            raise TypeError(f"{where} is given an array of {value.dtype}")
        return value._a.ctypes.data


def _arrays_of_addresses(structure) -> list:
    """Return the device arrays whose addresses are members of a structure."""
    if not isinstance(structure, np.ndarray):
        return []
    names = structure.dtype.names or ()
    members = [structure[n] for n in names if structure.dtype[n].base in ("u8", "i8")]
    numbers = {int(v) for member in members for v in np.ravel(member)}
    return [addresses[n] for n in numbers if n in addresses]
