"""``python -m minigrad doctor``: what this machine offers, and what the library makes of it.

Every line is asked of the thing itself: the BLAS of its own library, the GPU of the backend (in
its own words where there is none), the data of the data sets. At the end a small network is
trained for one step and its gradient checked. Nothing is changed, downloaded or sent.

Before this: ``kernels/blas.py``, ``kernels/memory.py``, ``backend.py``. Next: nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .. import backend

Line = tuple[str, str]

EXTRAS = {
    "matplotlib": ("plots", "pip install '.[examples]'"),
    "tqdm": ("progress bars of the examples", "pip install '.[examples]'"),
    "safetensors": ("weights of other libraries", "pip install '.[weights]'"),
    "mpi4py": ("training on several machines", "pip install '.[mpi]'"),
    "pytest": ("tests and exercises", "pip install '.[test]'"),
    "hypothesis": ("tests", "pip install '.[test]'"),
    "torch": ("only for comparing", "pip install '.[torch]'"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Print the report; return 0 if the library works here, 1 if a part of it does not.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments, without the program's name; those of the command line by default.
    """
    parser = argparse.ArgumentParser(
        prog="python -m minigrad doctor",
        description="Show what minigrad runs on: NumPy and its BLAS, threads, memory, GPU, "
        "packages, data.",
    )
    parser.add_argument("--data", metavar="DIR", help="a folder to look for MNIST in, too")
    arguments = parser.parse_args(argv)
    failed = False
    for title, lines in sections(arguments.data):
        print(title)
        for name, text in lines:
            failed = failed or text.startswith("FAILED")
            print(f"  {name:<14}", text.replace("\n", "\n" + 17 * " "))
    print("\nsomething FAILED, see above" if failed else "\nall is well")
    return int(failed)


def sections(data: str | os.PathLike | None = None) -> list[tuple[str, list[Line]]]:
    """Return the report: titles, and lines of name and text."""
    parts = {
        "Python": python_lines,
        "NumPy": numpy_lines,
        "Threads": thread_lines,
        "Memory": memory_lines,
        "GPU": gpu_lines,
        "Packages": package_lines,
        "Data": lambda: data_lines(data),
        "Self-test": self_test_lines,
    }
    return [(title, _safely(lines)) for title, lines in parts.items()]


def _safely(lines) -> list[Line]:
    """A part that breaks is a line of the report, not the end of it."""
    try:
        return list(lines())
    except Exception as error:
        return [("error", f"FAILED: {type(error).__name__}: {error}")]


# --------------------------------------------------------------------------- what runs here


def python_lines() -> Iterator[Line]:
    """Python, the system, and where minigrad itself is."""
    from .. import __version__

    yield "python", f"{platform.python_version()} ({sys.executable})"
    yield "system", f"{platform.system()} {platform.release()}, {platform.machine()}"
    yield "minigrad", f"{__version__} ({Path(__file__).parent.parent})"


def numpy_lines() -> Iterator[Line]:
    """NumPy, the BLAS that it was built with, and the one that is loaded."""
    from ..kernels import blas

    yield "version", np.__version__
    with contextlib.suppress(Exception):
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        yield "BLAS", f"{built.get('name', 'unknown')} {built.get('version', '')}".strip()
    loaded = blas.find()
    if loaded is not None:
        path, library, _ = loaded
        config = _ask_blas(library, "get_config", ctypes.c_char_p)
        if config:
            yield "loaded", f"{config.decode(errors='replace').strip()}"
        yield "file", path
    else:
        yield "loaded", "no OpenBLAS or MKL that we know how to ask (Apple's Accelerate has none)"


def thread_lines() -> Iterator[Line]:
    """Our threads and those of the BLAS."""
    from ..kernels import blas, cpu  # importing cpu is their first use: it holds BLAS to one

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    yield "cores", f"{cores} for this process, {os.cpu_count()} in the machine"
    yield "minigrad", f"{cpu.get_num_threads()}  {_setting('MINIGRAD_NUM_THREADS')}"
    loaded = blas.find()
    count = None if loaded is None else _ask_blas(loaded[1], "get_num_threads", ctypes.c_int)
    keep = _setting("MINIGRAD_BLAS_THREADS")
    if count is None:
        yield "BLAS", f"unknown: results may depend on its number of threads  {keep}"
    else:
        why = "held to one, so that results do not depend on it" if count == 1 else "left alone"
        yield "BLAS", f"{count}, {why}  {keep}"
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        if os.environ.get(name):
            yield name, os.environ[name]


def memory_lines() -> Iterator[Line]:
    """Whether freed memory is kept for the next allocation."""
    from ..kernels import memory

    setting = _setting("MINIGRAD_KEEP_MEMORY")
    if memory.keep_freed_memory():  # setting it once more changes nothing
        most = memory.MMAP_THRESHOLD >> 20
        trim = memory.TRIM >> 20
        yield "freed memory", f"kept: blocks up to {most} MB, {trim} MB in all  {setting}"
    elif os.environ.get("MINIGRAD_KEEP_MEMORY", "1") == "0":
        yield "freed memory", f"given back: training is slower  {setting}"
    else:
        yield "freed memory", "given back: this C library is not glibc, which could keep it"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield "machine", f"{total / 2**30:.1f} GiB"


def gpu_lines() -> Iterator[Line]:
    """CuPy, the driver and the GPUs; or the backend's own sentence on what is missing."""
    try:
        cupy = backend.cuda_module()
    except backend.DeviceError as error:
        yield "CuPy", str(error)
        return
    yield "CuPy", cupy.__version__
    runtime = cupy.cuda.runtime
    yield "driver", f"CUDA {_cuda_version(runtime.driverGetVersion())}"
    yield "runtime", f"CUDA {_cuda_version(runtime.runtimeGetVersion())}"
    for i in range(runtime.getDeviceCount()):
        properties = runtime.getDeviceProperties(i)
        name = properties["name"]
        name = name.decode() if isinstance(name, bytes) else name
        size = properties["totalGlobalMem"] / 2**30
        capability = f"{properties['major']}.{properties['minor']}"
        yield f"cuda:{i}", f"{name}, {size:.0f} GiB, compute capability {capability}"
    with contextlib.suppress(backend.DeviceError):
        from ..kernels import cuda

        yield from cuda.status().items()
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        yield "visible", f"CUDA_VISIBLE_DEVICES={visible}"


def _cuda_version(number: int) -> str:
    return f"{number // 1000}.{number % 1000 // 10}"


def package_lines() -> Iterator[Line]:
    """The optional packages; none is imported for this."""
    from importlib import metadata

    for name, (purpose, how) in EXTRAS.items():
        try:
            yield name, metadata.version(name)
        except metadata.PackageNotFoundError:
            yield name, f"not here ({purpose}): {how}"


def data_lines(root: str | os.PathLike | None = None) -> Iterator[Line]:
    """The bundled digits, and where MNIST was found or looked for."""
    from ..vision import datasets

    digits = [len(datasets.Digits(train)) for train in (True, False)]
    yield "digits", f"bundled, {digits[0]:,} to train and {digits[1]:,} to test"
    folders = datasets._places(root)
    found, tried = datasets._search(folders, list(datasets.MNIST.digests))
    if found:
        yield "MNIST", str(Path(found[0]).parent)
        for train in (True, False):
            yield "", _readable(datasets, root, train)
    else:
        yield "MNIST", "not found; the examples use the bundled digits. Looked in:"
        for line in tried:
            yield "", line
        yield "", "Do: put its folder into MINIGRAD_DATA, or MNIST(root, download=True)"
    yield "MINIGRAD_DATA", os.environ.get("MINIGRAD_DATA") or "not set"


def _readable(datasets, root, train: bool) -> str:
    import warnings

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            count = len(datasets.MNIST(root, train))
        except Exception as error:
            return f"FAILED: {error}"
    notes = "".join(f"\n{warning.message}" for warning in caught)
    return f"{count:,} images to {'train' if train else 'test'}{notes}"


def self_test_lines() -> Iterator[Line]:
    """A convolution, a batch norm and a loss: does the gradient agree with differences?"""
    import minigrad
    from minigrad import nn
    from minigrad.gradcheck import gradcheck

    state = backend.get_rng_state()
    try:
        backend.manual_seed(0)
        layers = nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(8, 3)
        model = nn.Sequential(*layers).double()
        x = minigrad.randn(3, 1, 4, 4, dtype=backend.float64)
        labels = minigrad.tensor([0, 1, 2])
        parameters = [p for p in model.parameters() if p.ndim > 1]  # batch norm hides a bias
        report = gradcheck(
            lambda *_: nn.functional.cross_entropy(model(x), labels),
            parameters,
            raise_exception=False,
        )
    finally:
        backend.set_rng_state(state)
    good = "a small network's gradient agrees with finite differences"
    yield "gradients", good if report else f"FAILED: {report}"


# ------------------------------------------------------------------------------- asking BLAS


def _ask_blas(library, question: str, kind):
    """Return what OpenBLAS or MKL answers, under whichever name this build has it."""
    names = [f"{lead}openblas_{question}{tail}" for lead in ("scipy_", "") for tail in ("64_", "")]
    if question == "get_num_threads":
        names.append("MKL_Get_Max_Threads")
    for name in names:
        function = getattr(library, name, None)
        if function is not None:
            function.restype = kind
            return function()
    return None


def _setting(name: str) -> str:
    value = os.environ.get(name)
    return f"({name} is not set)" if not value else f"({name}={value})"
