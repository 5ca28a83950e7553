"""Matrix products on the GPU: cuBLAS, called directly.

CuPy has a product too, but refuses it while a stream is being captured into a CUDA graph; it copies
transposed operands; and its batched product knows no TF32. So we call NVIDIA's library ourselves,
through ctypes: one function, `cublasGemmStridedBatchedEx`, C = A B + beta C. How it is told where
the matrices lie, ``layout.py`` says; only what cannot be told is copied first.

**Precision.** float32 products are exact float32 ones (`"highest"`) unless
`minigrad.set_float32_matmul_precision` allows TF32 (`"high"`) or bfloat16 (`"medium"`) inside.

**State.** A handle, its stream and its workspace belong together and are made once for each
stream. The workspace is memory of our own: without one, cuBLAS would allocate inside a capture.

Before this: ``layout.py``. Next: ``conv.cu`` and ``conv.py``.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

from minigrad import backend
from minigrad._errors import message

from .layout import plan

# Constants of cublas_api.h and library_types.h.
DATA = {"f": 0, "d": 1, "e": 2}  # CUDA_R_32F, CUDA_R_64F, CUDA_R_16F
COMPUTE_32F, COMPUTE_64F = 68, 70
FAST_BF16, FAST_TF32 = 75, 77  # float32 operands, rounded inside
DEFAULT_ALGORITHM = -1
STATUS = {
    1: "not initialized (no driver, or no memory)",
    3: "no memory",
    7: "an invalid value",
    8: "this GPU lacks a feature",
    13: "the GPU failed to run it",
    14: "an internal error",
    15: "not supported",
}
WORKSPACE = 32 << 20  # bytes: NVIDIA's advice for Hopper; older GPUs need 4 MiB
PER_THREAD_STREAM = 2  # the one stream address that means another stream in each thread

libraries: dict = {}  # array module -> library, or why there is none (str); tests put one here
_handles: dict = {}
_making = threading.RLock()  # a handle that is made may open the library


# ------------------------------------------------------------------------------ the library


def library(xp):
    """cuBLAS, for the arrays of module `xp`; or None, and `why_not` says why."""
    found = libraries.get(xp)
    if found is None:
        with _making:
            try:
                found = _with_prototypes(_open(xp))
            except (OSError, AttributeError, RuntimeError) as error:
                found = f"{type(error).__name__}: {error}"
            libraries[xp] = found
    return None if isinstance(found, str) else found


def why_not(xp) -> str | None:
    """Why matrix products go through ``cupy.matmul``; None where they go through cuBLAS."""
    return None if library(xp) is not None else libraries[xp]


def _open(xp):
    """Open the library: the file MINIGRAD_CUBLAS, else what CuPy finds too (wheels, then the
    system).
    """
    if os.environ.get("MINIGRAD_CUBLAS"):
        return ctypes.CDLL(os.environ["MINIGRAD_CUBLAS"])
    try:
        from cuda.pathfinder import load_nvidia_dynamic_lib  # comes with CuPy 14

        path = load_nvidia_dynamic_lib("cublas").abs_path
        if path is None:  # which ctypes would take for Python itself, and all that it has loaded
            raise OSError("cuBLAS was found, but not its file: name it in MINIGRAD_CUBLAS")
        return ctypes.CDLL(path)
    except (ImportError, RuntimeError):
        version = xp.cuda.runtime.runtimeGetVersion() // 1000
        name = f"cublas64_{version}.dll" if os.name == "nt" else f"libcublas.so.{version}"
        return ctypes.CDLL(name)


def _with_prototypes(lib):
    """Tell ctypes the arguments of the functions that we call (cublas_api.h)."""
    pointer, integer, step = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong
    prototypes = {
        "cublasCreate_v2": [pointer],
        "cublasDestroy_v2": [pointer],
        "cublasSetStream_v2": [pointer, pointer],
        "cublasSetWorkspace_v2": [pointer, pointer, ctypes.c_size_t],
        "cublasGetVersion_v2": [pointer, pointer],
        "cublasGemmStridedBatchedEx": [
            *(pointer, integer, integer, integer, integer, integer),  # handle, ops, m, n, k
            *(pointer, pointer, integer, integer, step),  # alpha, A
            *(pointer, integer, integer, step),  # B
            *(pointer, pointer, integer, integer, step),  # beta, C
            *(integer, integer, integer),  # count, kind of arithmetic, algorithm
        ],
    }
    for name, arguments in prototypes.items():
        function = getattr(lib, name)
        function.argtypes, function.restype = arguments, ctypes.c_int
    return lib


def _check(status: int, what: str) -> None:
    if status != 0:
        raise RuntimeError(
            message(
                "matmul",
                f"cuBLAS refused {what}.",
                actual=f"status {status}: {STATUS.get(status, 'see cublasStatus_t')}",
                do="free memory on the GPU, or go on with device 'cpu'",
            )
        )


class Handle:
    """What cuBLAS needs to work on one stream: its handle and a workspace.

    The stream is kept too, so that its address stays its own.
    """

    def __init__(self, xp, stream):
        self.lib, self.stream, handle = library(xp), stream, ctypes.c_void_p()
        if self.lib is None:
            raise RuntimeError(
                message(
                    "matmul",
                    "there is no cuBLAS to prepare.",
                    actual=why_not(xp),
                    do="multiply with matmul, which then asks CuPy; or name the library's file in "
                    "MINIGRAD_CUBLAS and start again",
                )
            )
        _check(self.lib.cublasCreate_v2(ctypes.byref(handle)), "to start")
        self.address = handle
        # Not from CuPy's pool: a pool may belong to one captured graph, and end with it.
        self.workspace = xp.cuda.Memory(WORKSPACE)
        _check(self.lib.cublasSetStream_v2(handle, stream.ptr), "the stream")
        # After the stream, because setting a stream takes the workspace away.
        _check(self.lib.cublasSetWorkspace_v2(handle, self.workspace.ptr, WORKSPACE), "the memory")

    def __del__(self):
        if hasattr(self, "address") and not sys.is_finalizing():
            self.lib.cublasDestroy_v2(self.address)


def _key(xp, stream) -> tuple:
    thread = threading.get_ident() if stream.ptr == PER_THREAD_STREAM else 0
    return xp, xp.cuda.runtime.getDevice(), stream.ptr, thread


def prepare(xp) -> Handle:
    """Return the handle for the current device and stream; make it, if it is the first time.

    Raises
    ------
    RuntimeError
        If there is no cuBLAS, or if it is the first time and the stream is capturing.
    """
    stream = xp.cuda.get_current_stream()
    key = _key(xp, stream)
    made = _handles.get(key)
    if made is not None:
        return made
    if stream.is_capturing():
        raise RuntimeError(
            message(
                "matmul",
                "the first product on a stream cannot be captured: it prepares cuBLAS.",
                do="run the step once on that stream before, or call gemm.prepare there",
            )
        )
    with _making:
        return _handles.setdefault(key, _handles.get(key) or Handle(xp, stream))


def release(xp, stream) -> Handle | None:
    """Forget a stream's handle, and return it: it ends when nobody has it any more.

    A captured graph keeps the one of the stream that it was captured on, because it goes on using
    its workspace.
    """
    return _handles.pop(_key(xp, stream), None)


def version(xp) -> int:
    """cuBLAS's version, such as 130100."""
    handle, number = prepare(xp), ctypes.c_int()
    _check(handle.lib.cublasGetVersion_v2(handle.address, ctypes.byref(number)), "its version")
    return number.value


# ------------------------------------------------------------------------------ the product

_SCALARS = {
    char: [ctypes.byref(kind(0)), ctypes.byref(kind(1))]  # alpha and beta are 1, or beta is 0
    for char, kind in {"e": ctypes.c_float, "f": ctypes.c_float, "d": ctypes.c_double}.items()
}
_FLOAT32 = {"highest": COMPUTE_32F, "high": FAST_TF32, "medium": FAST_BF16}


def matmul(a, b):
    """See `minigrad.kernels.plain.matmul`."""
    xp = backend.array_module(a)
    if a.dtype != b.dtype:
        dtype = xp.promote_types(a.dtype, b.dtype)
        a, b = a.astype(dtype, copy=False), b.astype(dtype, copy=False)
    if a.dtype.char not in DATA or not a.ndim or not b.ndim or library(xp) is None:
        return xp.matmul(a, b)
    if a.ndim == 1 or b.ndim == 1:
        return _with_vectors(a, b)
    if a.shape[-1] != b.shape[-2]:
        return xp.matmul(a, b)  # which raises
    batch = a.shape[:-2]
    if batch != b.shape[:-2]:
        batch = xp.broadcast_shapes(batch, b.shape[:-2])
    return gemm(a, b, xp.empty((*batch, a.shape[-2], b.shape[-1]), dtype=a.dtype))


def _with_vectors(a, b):
    """NumPy's rule: a vector is a row before and a column behind a matrix; that axis goes again."""
    y = matmul(a[None] if a.ndim == 1 else a, b[:, None] if b.ndim == 1 else b)
    rows = 0 if a.ndim == 1 else slice(None)
    columns = 0 if b.ndim == 1 else slice(None)
    return y[..., rows, columns]


def gemm(a, b, out, accumulate: bool = False):
    """out = a b, or out += a b; returns out.

    Parameters
    ----------
    a, b : array (..., M, K) and (..., K, N), of one dtype: float16, 32 or 64
    out : array (..., M, N)
        Its leading axes are those of a and b, broadcast. It may be a view with gaps.
    """
    xp = backend.array_module(out)
    if library(xp) is None:
        product = xp.matmul(a, b)
        out[...] = out + product if accumulate else product
        return out
    if not out.size:
        return out
    if not a.shape[-1]:  # a sum of nothing
        if not accumulate:
            out.fill(0)
        return out
    batch = out.shape[:-2]
    shape = (*batch, *a.shape[-2:], b.shape[-1])
    found = plan(shape, _steps(a, batch), _steps(b, batch), _steps(out, batch))
    if isinstance(found, str):
        if found == "c":
            product = gemm(a, b, xp.empty(out.shape, dtype=out.dtype))
            out[...] = out + product if accumulate else product
            return out
        if found == "a":
            return gemm(_copy(xp, a), b, out, accumulate)
        return gemm(a, _copy(xp, b), out, accumulate)
    swapped, call, places = found
    _run(xp, *((b, a) if swapped else (a, b)), out, call, places, accumulate)
    return out


def _copy(xp, array):
    """A copy without gaps (`ascontiguousarray` would let one with odd steps along axes of length 1
    pass).
    """
    new = xp.empty(array.shape, dtype=array.dtype)
    new[...] = array
    return new


def _steps(array, batch):
    """Steps in entries, as `plan` wants them; a step that is no whole entry becomes -1."""
    size = array.itemsize
    steps = [step // size if step % size == 0 else -1 for step in array.strides]
    own = array.shape[:-2]
    missing = len(batch) - len(own)
    if own == batch:
        return tuple(steps)
    leading = [0 if n == 1 else step for n, step in zip(own, steps)]
    return (*[0] * missing, *leading, *steps[-2:])


def _run(xp, a, b, out, call, places, accumulate):
    op_b, op_a, n, m, k, ldb, step_b, lda, step_a, ldc, step_c, count = call
    char = out.dtype.char
    data, (zero, one) = DATA[char], _SCALARS[char]
    compute = COMPUTE_64F
    if char != "d":
        precision = backend.get_float32_matmul_precision()
        compute = _FLOAT32[precision] if char == "f" else COMPUTE_32F
    lib, handle, size = libraries[xp], prepare(xp).address, out.itemsize
    pointers = a.data.ptr, b.data.ptr, out.data.ptr
    for place in places:
        at_a, at_b, at_c = [p + size * at for p, at in zip(pointers, place)]
        status = lib.cublasGemmStridedBatchedEx(
            *(handle, op_b, op_a, n, m, k),
            *(one, at_b, data, ldb, step_b),
            *(at_a, data, lda, step_a),
            *(one if accumulate else zero, at_c, data, ldc, step_c),
            *(count, compute, DEFAULT_ALGORITHM),
        )
        _check(status, f"a product ({m}, {k}) x ({k}, {n}) of {count}")
