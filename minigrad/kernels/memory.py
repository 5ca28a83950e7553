"""Memory that is used again: what costs most in NumPy training is not arithmetic but fresh pages.

Every temporary above 128 kB is by default mapped from the operating system, faulted in page by
page, and given back when freed. Two remedies live here.

`keep_freed_memory` asks the GNU C library to keep what is freed for the next allocation (three
``mallopt`` calls; other C libraries are left alone). What it keeps is bounded: above TRIM bytes at
the end of the heap, the rest goes back to the system. MINIGRAD_KEEP_MEMORY=0 in the environment
opts out.

`scratch` hands out per-thread work buffers that are kept between calls. A kernel must never return
or save one.

Before this: ``blas.py``. Next: ``conv.py``.
"""

from __future__ import annotations

import ctypes
import math
import os
import sys
import threading

import numpy as np

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # from glibc's malloc.h
MMAP_THRESHOLD = 32 << 20  # the largest that glibc accepts
TRIM = 256 << 20
TOP_PAD = 16 << 20


def _glibc():
    """The C library if it is glibc, else None."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  (AttributeError elsewhere, musl for one)
    except (OSError, AttributeError):
        return None
    return library


def keep_freed_memory() -> bool:
    """Let malloc reuse freed blocks of up to 32 MB; True where that was done."""
    if os.environ.get("MINIGRAD_KEEP_MEMORY", "1") == "0":
        return False
    library = _glibc()
    if library is None:
        return False
    settings = ((M_MMAP_THRESHOLD, MMAP_THRESHOLD), (M_TRIM_THRESHOLD, TRIM), (M_TOP_PAD, TOP_PAD))
    return all(library.mallopt(name, value) == 1 for name, value in settings)


def trim() -> None:
    """Give every freed page back to the operating system now (glibc's ``malloc_trim``), and this
    thread's buffers.
    """
    _buffers.__dict__.clear()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


_buffers = threading.local()
LARGEST_KEPT = 64 << 20
_ALIGN = 64  # one cache line, one AVX-512 register


def scratch(name: str, shape, dtype) -> np.ndarray:
    """An uninitialised array for this thread's use until it asks for ``name`` again.

    Buffers grow to the largest size asked for; one above LARGEST_KEPT bytes is made for the call
    and not kept.
    """
    size = math.prod(shape) * dtype.itemsize
    buffers = _buffers.__dict__
    buffer = buffers.get(name)
    if buffer is None or buffer.size < size:
        buffer = np.empty(size + _ALIGN, np.uint8)
        skip = -buffer.ctypes.data % _ALIGN
        buffer = buffer[skip : skip + size]
        if size <= LARGEST_KEPT:
            buffers[name] = buffer
    return np.ndarray(shape, dtype, buffer)
