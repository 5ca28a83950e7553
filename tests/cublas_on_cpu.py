"""A cuBLAS that computes with NumPy: what the stand-in for CuPy gives to ``gemm.py``.

It speaks the library's language: functions of C with the prototypes of ``cublas_api.h``, written
down here a second time; matrices column by column, with leading dimensions; addresses instead of
arrays; status codes instead of errors. So ``gemm.py`` is tested as it is, with its ctypes. The
reduced precisions are rounded as tensor cores round their operands.

Read after: ``minigrad/kernels/cuda/gemm.py``. Next: ``test_gemm.py``.
"""

from __future__ import annotations

import ctypes
import itertools
import types

import cuda_on_cpu
import fakecupy_graph as fakegraph
import numpy as np

OK, NOT_INITIALIZED, INVALID_VALUE, NOT_SUPPORTED = 0, 1, 7, 15
N, T = 0, 1  # cublasOperation_t
DTYPES = {0: np.float32, 1: np.float64, 2: np.float16}  # cudaDataType_t
# cublasComputeType_t: the dtype of the sums, and how many bits of the operands' fractions remain
COMPUTE = {
    68: (np.float32, None),
    70: (np.float64, None),
    75: (np.float32, 7),  # bfloat16
    77: (np.float32, 10),  # TensorFloat32
}

calls: list[tuple] = []  # (operation of A, of B, m, n, k, count, compute type) of each product
handles: dict[int, dict] = {}
_addresses = itertools.count(1000)


def rounded(x: np.ndarray, bits: int | None) -> np.ndarray:
    """Return float32 numbers with so many bits of fraction, ties to even."""
    if bits is None:
        return x
    drop = 23 - bits
    whole = np.ascontiguousarray(x).view(np.uint32)
    whole = whole + np.uint32((1 << (drop - 1)) - 1) + ((whole >> np.uint32(drop)) & np.uint32(1))
    return (whole & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)).view(np.float32)


def matrices(address, dtype, rows, columns, leading, step, count) -> np.ndarray:
    """The memory at an address as matrices (count, rows, columns), each column by column."""
    size = np.dtype(dtype).itemsize
    last = (count - 1) * step + (columns - 1) * leading + rows
    memory = (ctypes.c_byte * (last * size)).from_address(address)
    flat = np.frombuffer(memory, dtype)
    strides = (step * size, size, leading * size)
    return np.lib.stride_tricks.as_strided(flat, (count, rows, columns), strides)


def create(handle):
    address = next(_addresses)
    handles[address] = {}
    ctypes.cast(handle, ctypes.POINTER(ctypes.c_void_p))[0] = address
    return OK


def destroy(handle):
    return OK if handles.pop(handle, None) is not None else NOT_INITIALIZED


def set_stream(handle, stream):
    if handle not in handles:
        return NOT_INITIALIZED
    handles[handle] = {"stream": stream}  # which takes the workspace away
    return OK


def set_workspace(handle, memory, size):
    if memory % 256:
        memory += 256 - memory % 256  # NumPy's memory is less aligned than the GPU's
    handles[handle]["workspace"] = memory, size
    return OK


def get_version(handle, number):
    ctypes.cast(number, ctypes.POINTER(ctypes.c_int))[0] = 130100
    return OK


def gemm_strided_batched(
    handle, op_a, op_b, m, n, k, alpha, A, type_a, lda, step_a, B, type_b, ldb, step_b,
    beta, C, type_c, ldc, step_c, count, compute, algorithm,
):  # fmt: skip
    """C = alpha op(A) op(B) + beta C, for `count` matrices (m, k), (k, n) and (m, n)."""
    if "workspace" not in handles.get(handle, {}):
        return NOT_INITIALIZED
    if compute not in COMPUTE or algorithm != -1 or type_a not in DTYPES:
        return NOT_SUPPORTED
    sums, bits = COMPUTE[compute]
    dtype = DTYPES[type_a]
    if not type_a == type_b == type_c or (dtype is np.float64) != (sums is np.float64):
        return NOT_SUPPORTED
    if bits is not None and dtype is not np.float32:
        return NOT_SUPPORTED
    rows_a, rows_b = (m if op_a == N else k), (k if op_b == N else n)
    sizes_fit = min(m, n, k, count) > 0 and lda >= rows_a and ldb >= rows_b and ldc >= m
    if not sizes_fit or op_a not in (N, T) or op_b not in (N, T) or not (A and B and C):
        return INVALID_VALUE
    if min(step_a, step_b) < 0 or (count > 1 and step_c <= 0):
        return INVALID_VALUE  # strictly: NVIDIA's page leaves it open
    scalar = np.ctypeslib.as_ctypes_type(sums)
    alpha, beta = [ctypes.cast(x, ctypes.POINTER(scalar))[0] for x in (alpha, beta)]
    calls.append((op_a, op_b, m, n, k, count, compute))
    kept = [cuda_on_cpu.addresses.get(address) for address in (A, B, C)]

    def run(kept=kept):
        a = matrices(A, dtype, *((m, k) if op_a == N else (k, m)), lda, step_a, count)
        b = matrices(B, dtype, *((k, n) if op_b == N else (n, k)), ldb, step_b, count)
        c = matrices(C, dtype, m, n, ldc, step_c, count)
        a, b = [rounded(x.astype(sums), bits) for x in (a, b)]
        a, b = (a.mT if op_a == T else a), (b.mT if op_b == T else b)
        with np.errstate(all="ignore"):
            product = sums(alpha) * np.matmul(a, b)
            c[...] = product + sums(beta) * c if beta else product

    fakegraph.device_call(run, "gemm", dtype.__name__)
    return OK


_p, _i, _s, _z = ctypes.c_void_p, ctypes.c_int, ctypes.c_longlong, ctypes.c_size_t
_gemm = [_p, *[_i] * 5, _p, _p, _i, _i, _s, _p, _i, _i, _s, _p, _p, _i, _i, _s, _i, _i, _i]

library = types.SimpleNamespace(
    cublasCreate_v2=ctypes.CFUNCTYPE(_i, _p)(create),
    cublasDestroy_v2=ctypes.CFUNCTYPE(_i, _p)(destroy),
    cublasSetStream_v2=ctypes.CFUNCTYPE(_i, _p, _p)(lambda h, s: set_stream(h, s or 0)),
    cublasSetWorkspace_v2=ctypes.CFUNCTYPE(_i, _p, _p, _z)(set_workspace),
    cublasGetVersion_v2=ctypes.CFUNCTYPE(_i, _p, _p)(get_version),
    cublasGemmStridedBatchedEx=ctypes.CFUNCTYPE(_i, *_gemm)(gemm_strided_batched),
)
