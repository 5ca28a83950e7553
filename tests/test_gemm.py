"""Matrix products through cuBLAS, against an emulated one that reads memory column by column.

The emulation (``cublas_on_cpu.py``) takes addresses, leading dimensions and steps, as the library
does, and knows nothing of ``layout.py``; NumPy's product of the same arrays is the authority. So a
wrong leading dimension, a forgotten transposition or operands in the wrong order give wrong
numbers.

Read before: ``minigrad/kernels/cuda/layout.py`` and ``gemm.py``, ``cublas_on_cpu.py``.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import sys
import threading
import types
from unittest import mock

import cublas_on_cpu
import fakecupy
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import backend
from minigrad.kernels import cpu, cuda
from minigrad.kernels.cuda import gemm

pytestmark = pytest.mark.cpu_only
xp = fakecupy.cupy


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    monkeypatch.setattr(backend, "cupy", xp)
    cublas_on_cpu.calls.clear()
    yield
    backend.set_float32_matmul_precision("highest")


@contextlib.contextmanager
def no_handles():
    """Inside this block no handle has been made yet."""
    with mock.patch.dict(gemm._handles, clear=True), mock.patch.dict(cublas_on_cpu.handles):
        cublas_on_cpu.handles.clear()
        yield


def values(rng, *shape):
    """Whole numbers, so that products are exact and every mistake shows."""
    return rng.integers(-4, 5, shape).astype(np.float64)


# How a matrix (rows, columns) may lie: what is done to an array that lies in order.
LAYOUTS = {
    "rows": lambda x: x.copy(),
    "columns": lambda x: np.ascontiguousarray(x.swapaxes(-1, -2)).swapaxes(-1, -2),
    "rows with gaps": lambda x: wider(x, -1),
    "columns with gaps": lambda x: wider(x.swapaxes(-1, -2), -1).swapaxes(-1, -2),
    "every second row": lambda x: np.repeat(x, 2, axis=-2)[..., ::2, :],
    "gaps in both": lambda x: np.repeat(np.repeat(x, 2, -1), 2, -2)[..., ::2, ::2],
    "rows reversed": lambda x: x[..., ::-1, :].copy()[..., ::-1, :],
    "columns reversed": lambda x: x[..., ::-1].copy()[..., ::-1],
    "one row for all": lambda x: np.broadcast_to(x[..., :1, :], x.shape),
    "one column for all": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "batch innermost": lambda x: np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(
        x.ndim - 1, *range(x.ndim - 1)
    ),
}


def wider(x, axis):
    """x inside a larger array, whose other entries are NaN."""
    shape = list(x.shape)
    shape[axis] += 3
    memory = np.full(shape, np.nan, x.dtype)
    inside = memory[..., 1 : 1 + x.shape[axis]]
    inside[...] = x
    return inside


WRITABLE = ["rows", "columns", "rows with gaps", "columns with gaps", "every second row",
            "gaps in both", "rows reversed"]  # fmt: skip
SIZES = [(3, 4, 5), (1, 4, 5), (3, 1, 5), (3, 4, 1), (1, 1, 5), (3, 1, 1), (1, 1, 1)]


def test_every_layout_of_every_operand():
    """11 x 11 x 7 layouts x 7 sizes, with and without adding to the result: 11,858 products."""
    rng, count = np.random.default_rng(0), 0
    for M, K, N in SIZES:
        a, b = values(rng, M, K), values(rng, K, N)
        lefts = {name: lay(a[None])[0] for name, lay in LAYOUTS.items()}
        rights = {name: lay(b[None])[0] for name, lay in LAYOUTS.items()}
        for (la, x), (lb, y), lc in itertools.product(lefts.items(), rights.items(), WRITABLE):
            for accumulate in (False, True):
                out = LAYOUTS[lc](values(rng, M, N) if accumulate else np.full((M, N), np.nan))
                expected = x @ y + (out if accumulate else 0)
                result = fakecupy._wrap(out)
                given = [fakecupy._wrap(array) for array in (x, y)]
                assert gemm.gemm(*given, result, accumulate) is result
                assert np.array_equal(out, expected), (la, lb, lc, (M, K, N), accumulate)
                count += 1
    assert count == 11858


BATCHES = [((), (3,)), ((3,), ()), ((3,), (3,)), ((1,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)),
           ((2, 3), (2, 3)), ((2, 1, 3), (4, 1)), ((), (2, 3)), ((2, 3), ())]  # fmt: skip


def test_every_batch_in_every_layout():
    rng, count = np.random.default_rng(1), 0
    for (one, two), (M, K, N) in itertools.product(BATCHES, [(3, 4, 5), (1, 4, 5), (3, 1, 1)]):
        a, b = values(rng, *one, M, K), values(rng, *two, K, N)
        for la, lb in itertools.product(LAYOUTS, LAYOUTS):
            x, y = LAYOUTS[la](a), LAYOUTS[lb](b)
            if x.shape != a.shape or y.shape != b.shape:  # "batch innermost" of a single matrix
                continue
            actual = gemm.matmul(fakecupy._wrap(x), fakecupy._wrap(y))
            assert np.array_equal(actual._a, x @ y), (la, lb, one, two, (M, K, N))
            count += 1
    assert count > 3000


@pytest.mark.parametrize("cut", [*itertools.product([0, 1], repeat=3)], ids=str)
@pytest.mark.parametrize("one, two", [((2, 3), (2, 3)), ((2, 3), ()), ((), (2, 3)), ((3,), ())])
@pytest.mark.parametrize("sizes", [(3, 4, 5), (1, 4, 5), (1, 1, 1)])
def test_batches_that_are_part_of_larger_ones(sizes, one, two, cut):
    """Then two batch axes are not one, and a stack of matrices is no tall matrix."""
    rng, (M, K, N) = np.random.default_rng(7), sizes

    def part(is_cut, batch, rows, columns):
        if not batch or not is_cut:
            return values(rng, *batch, rows, columns)
        return values(rng, *batch[:-1], batch[-1] + 1, rows + 1, columns)[..., :-1, :-1, :]

    a, b = part(cut[0], one, M, K), part(cut[1], two, K, N)
    c = part(cut[2], one or two, M, N)
    expected = a @ b + c
    gemm.gemm(*map(fakecupy._wrap, (a, b, c)), accumulate=True)
    np.testing.assert_array_equal(c, expected)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_drawn_views_of_drawn_arrays(data):
    """Any slices of any axes in any order, also for the result."""

    def view(*shape):
        order = data.draw(st.permutations(range(len(shape))))
        steps = [data.draw(st.sampled_from([1, 1, 1, 2, 3, -1])) for _ in shape]
        starts = [data.draw(st.integers(0, 2)) for _ in shape]
        memory = np.full([abs(steps[i]) * shape[i] + starts[i] for i in order], 7.0)
        inside = memory.transpose(np.argsort(order))
        inside = inside[tuple(slice(start, None) for start in starts)]
        inside = inside[tuple(slice(None, None, step) for step in steps)]
        inside = inside[tuple(slice(0, n) for n in shape)]
        inside[...] = values(rng, *shape)
        return inside, memory

    rng = np.random.default_rng(data.draw(st.integers(0, 2**31)))
    M, K, N = [data.draw(st.integers(1, 4)) for _ in range(3)]
    batch = [data.draw(st.integers(1, 3)) for _ in range(data.draw(st.integers(0, 2)))]
    (a, _), (b, _), (c, memory) = view(*batch, M, K), view(*batch, K, N), view(*batch, M, N)
    before, start = memory.copy(), c.copy()
    gemm.gemm(*map(fakecupy._wrap, (a, b, c)), accumulate=True)
    np.testing.assert_array_equal(c, a @ b + start)
    c[...] = start
    np.testing.assert_array_equal(memory, before)  # nothing beside c was written


def test_what_cublas_can_read_is_not_copied():
    """Transposes, gaps between rows and broadcast matrices are described, not copied; a stack of
    matrices times one matrix is one product.
    """
    free = ["rows", "columns", "rows with gaps", "columns with gaps", "every second row"]
    rng = np.random.default_rng(2)
    with mock.patch.object(gemm, "_copy", side_effect=AssertionError("copied")):
        for la, lb, lc in itertools.product(free, free, free):
            x, y = LAYOUTS[la](values(rng, 2, 3, 4)), LAYOUTS[lb](values(rng, 2, 4, 5))
            out = LAYOUTS[lc](np.zeros((2, 3, 5)))
            cublas_on_cpu.calls.clear()
            gemm.gemm(*map(fakecupy._wrap, (x, y, out)))
            assert np.array_equal(out, x @ y)
            assert len(cublas_on_cpu.calls) == 1
        cublas_on_cpu.calls.clear()
        stack, one = xp.asarray(values(rng, 6, 3, 4)), xp.asarray(values(rng, 4, 5))
        gemm.matmul(stack, one)
        gemm.matmul(stack, one.T.copy().T)
        gemm.matmul(stack[:, :1], one)
        gemm.matmul(one.T, stack.transpose(0, 2, 1))
        sizes = [call[2:6] for call in cublas_on_cpu.calls]  # m, n, k, count, m and n exchanged
        assert sizes == [(5, 18, 4, 1), (5, 18, 4, 1), (5, 6, 4, 1), (3, 5, 4, 6)]


def test_sizes_beyond_32_bits_are_refused_and_not_cut_off():
    """ctypes hands a 33-bit number to a C int without a word: 2^32 + 5 rows would become 5."""
    large, limit = 2**32 + 5, 2**31 - 1
    for M, K, N in [(large, 3, 2), (2, large, 3), (2, 3, large)]:
        with pytest.raises(ValueError, match="(?s)matmul.*2147483647"):
            gemm.plan((M, K, N), (K, 1), (N, 1), (N, 1))
    with pytest.raises(ValueError, match="matmul"):  # a gap between rows
        gemm.plan((2, 3, 2), (large, 1), (2, 1), (2, 1))
    gemm.plan((limit, 3, 2), (3, 1), (2, 1), (2, 1))
    count, M = 2**20, 2**12  # as one tall matrix too large, as a batch not
    _, call, _ = gemm.plan((count, M, 3, 2), (M * 3, 3, 1), (0, 2, 1), (M * 2, 2, 1))
    assert call[2:5] == (2, M, 3) and call[-1] == count


@pytest.mark.parametrize("shapes", [
    ((4,), (4,)), ((4,), (4, 3)), ((2, 4), (4,)), ((5, 2, 4), (4,)), ((4,), (5, 4, 3)),
    ((0, 4), (4, 3)), ((2, 0), (0, 3)), ((2, 4), (4, 0)), ((0, 2, 4), (4, 3)), ((3, 2, 0), (0, 2)),
], ids=str)  # fmt: skip
def test_matmul_keeps_numpys_rules(shapes):
    rng = np.random.default_rng(3)
    a, b = [values(rng, *shape) for shape in shapes]
    actual = gemm.matmul(xp.asarray(a), xp.asarray(b))
    expected = np.matmul(a, b)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual.get(), expected)


@pytest.mark.parametrize("shapes", [((2, 3), (4, 5)), ((3,), (4,)), ((2, 2, 3), (3, 3, 4))])
def test_shapes_that_do_not_fit_are_refused(shapes):
    with pytest.raises(ValueError):
        gemm.matmul(*[xp.ones(shape) for shape in shapes])


@pytest.mark.parametrize("one, two", [*itertools.product(["f2", "f4", "f8", "i4", "i8"], repeat=2)])
def test_dtypes(one, two):
    rng = np.random.default_rng(4)
    a, b = values(rng, 3, 4).astype(one), values(rng, 4, 5).astype(two)
    actual = gemm.matmul(xp.asarray(a), xp.asarray(b)).get()
    expected = np.matmul(a, b)
    assert actual.dtype == expected.dtype
    np.testing.assert_array_equal(actual, expected)


# ------------------------------------------------------------------------------ precision


def relative_error(precision, function):
    minigrad.set_float32_matmul_precision(precision)
    assert minigrad.get_float32_matmul_precision() == precision
    rng = np.random.default_rng(5)
    a, b = rng.standard_normal((40, 200)), rng.standard_normal((200, 30))
    exact = a @ b
    result = function(a.astype(np.float32), b.astype(np.float32))
    return np.linalg.norm(result - exact) / np.linalg.norm(exact)


def on_gpu(a, b):
    return gemm.matmul(xp.asarray(a), xp.asarray(b)).get()


def as_convolution(a, b):
    """The same product as a convolution of 40 images with 30 kernels of one pixel."""
    how = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
    x, w = xp.asarray(a).reshape(40, 200, 1, 1), xp.asarray(b).T.reshape(30, 200, 1, 1)
    return cuda.conv2d(x, w, None, **how).get().reshape(40, 30)


@pytest.mark.parametrize("function", [on_gpu, as_convolution])
def test_the_precision_of_products_and_convolutions(function):
    """Rounding operands to 11 or 8 bits: errors of about 2^-12 and 2^-9 over sqrt(3)."""
    assert relative_error("highest", function) < 1e-6
    assert 5e-5 < relative_error("high", function) < 5e-4
    assert 5e-4 < relative_error("medium", function) < 5e-3
    assert [call[-1] for call in cublas_on_cpu.calls] == [68, 77, 75]


def test_precision_changes_nothing_on_the_cpu_and_for_other_dtypes():
    for precision in ("highest", "high", "medium"):
        assert relative_error(precision, cpu.matmul) < 1e-6
        for char in "ed":
            gemm.matmul(xp.ones((2, 3), dtype=char), xp.ones((3, 2), dtype=char))
    assert {call[-1] for call in cublas_on_cpu.calls} == {68, 70}


@pytest.mark.parametrize("word", ["low", "HIGH", None, 1, "high\n"])
def test_other_words_for_a_precision_are_refused(word):
    with pytest.raises(ValueError, match="set_float32_matmul_precision"):
        minigrad.set_float32_matmul_precision(word)
    assert minigrad.get_float32_matmul_precision() == "highest"


# ------------------------------------------------------------------------------ the library


def test_one_handle_for_each_stream_and_its_workspace_after_the_stream():
    with no_handles():
        a = xp.ones((2, 2))
        for _ in range(3):
            gemm.matmul(a, a)
        assert len(cublas_on_cpu.handles) == 1
        stream = xp.cuda.Stream(non_blocking=True)
        xp.cuda.runtime.deviceSynchronize()
        with stream:
            assert gemm.prepare(xp) is gemm.prepare(xp)
            gemm.matmul(a, a)
            stream.synchronize()
        gemm.matmul(a, a)
        states = list(cublas_on_cpu.handles.values())
        assert [state["stream"] for state in states] == [xp.cuda.Stream.null.ptr, stream.ptr]
        assert all(state["workspace"][1] == gemm.WORKSPACE for state in states)
        assert len({state["workspace"][0] for state in states}) == 2


def test_a_handle_ends_with_the_graph_that_keeps_it():
    xp.cuda.runtime.deviceSynchronize()
    with no_handles():
        with xp.cuda.Stream(non_blocking=True) as stream:
            gemm.prepare(xp)
        kept = gemm.release(xp, stream)
        assert gemm.release(xp, stream) is None
        assert len(cublas_on_cpu.handles) == 1
        del kept
        assert not cublas_on_cpu.handles


def test_the_first_product_on_a_stream_is_not_captured(monkeypatch):
    a = xp.ones((2, 2))
    xp.cuda.runtime.deviceSynchronize()
    with no_handles(), xp.cuda.Stream(non_blocking=True) as stream:
        with monkeypatch.context() as capturing:
            capturing.setattr(type(stream), "is_capturing", lambda self: True)
            with pytest.raises(RuntimeError, match="the first product on a stream"):
                gemm.matmul(a, a)
        gemm.matmul(a, a)
        stream.synchronize()


def test_threads_share_a_handle():
    a, results = xp.asarray(np.arange(9.0).reshape(3, 3)), []
    with no_handles():
        workers = [
            threading.Thread(target=lambda: results.append(gemm.matmul(a, a).get()))
            for _ in range(8)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
        assert len(cublas_on_cpu.handles) == 1
    assert len(results) == 8
    assert all(np.array_equal(r, a._a @ a._a) for r in results)


def test_a_refusal_of_the_library_is_an_error_that_says_what(monkeypatch):
    failing = types.SimpleNamespace(**vars(cublas_on_cpu.library))
    failing.cublasGemmStridedBatchedEx = lambda *args: 13
    monkeypatch.setitem(gemm.libraries, xp, failing)
    with pytest.raises(RuntimeError, match=r"a product \(2, 3\) x \(3, 4\).*\n.*status 13"):
        gemm.matmul(xp.ones((2, 3)), xp.ones((3, 4)))


def test_without_the_library_cupy_multiplies_and_the_reason_is_kept(monkeypatch):
    monkeypatch.setenv("MINIGRAD_CUBLAS", "/nowhere/libcublas.so")
    monkeypatch.delitem(gemm.libraries, xp)
    a, b = xp.asarray(np.arange(6.0).reshape(2, 3)), xp.asarray(np.arange(12.0).reshape(3, 4))
    out = xp.ones((2, 4))
    try:
        np.testing.assert_array_equal(gemm.matmul(a, b).get(), a._a @ b._a)
        np.testing.assert_array_equal(gemm.gemm(a, b, out, True).get(), a._a @ b._a + 1)
        np.testing.assert_array_equal(gemm.gemm(a, b, out).get(), a._a @ b._a)
        assert not cublas_on_cpu.calls
        assert "OSError" in gemm.why_not(xp) and "/nowhere/libcublas.so" in gemm.why_not(xp)
        assert "cupy.matmul (OSError" in cuda.status()["products"]
    finally:
        gemm.libraries[xp] = cublas_on_cpu.library


def test_a_library_of_another_kind_is_not_taken(monkeypatch):
    """It opens, and has none of the functions."""
    monkeypatch.setenv("MINIGRAD_CUBLAS", str(np._core._multiarray_umath.__file__))
    monkeypatch.setitem(gemm.libraries, xp, None)
    try:
        assert gemm.library(xp) is None
        assert "cublasCreate_v2" in gemm.why_not(xp)
    finally:
        gemm.libraries[xp] = cublas_on_cpu.library


def test_a_library_without_a_path_is_not_the_program_itself(monkeypatch):
    """Opening None would give whatever is loaded already, which may be another cuBLAS."""
    found = types.SimpleNamespace(
        load_nvidia_dynamic_lib=lambda name: types.SimpleNamespace(abs_path=None)
    )
    monkeypatch.setitem(sys.modules, "cuda", types.ModuleType("cuda"))
    monkeypatch.setitem(sys.modules, "cuda.pathfinder", found)
    monkeypatch.delenv("MINIGRAD_CUBLAS", raising=False)
    with pytest.raises(OSError, match="MINIGRAD_CUBLAS"):
        gemm._open(xp)


def test_a_handle_without_the_library_says_why_there_is_none(monkeypatch):
    monkeypatch.setitem(gemm.libraries, xp, "OSError: /nowhere/libcublas.so")
    with no_handles():
        for ask in (gemm.prepare, gemm.version):
            with pytest.raises(RuntimeError, match="(?s)cuBLAS.*/nowhere/libcublas.so"):
                ask(xp)


def test_status_says_what_runs():
    assert gemm.why_not(xp) is None
    assert cuda.status() == {
        "kernels": "the CUDA sources",
        "products": "cuBLAS 130100",
        "float32 products": "highest",
    }


def test_the_prototypes_are_those_of_the_header():
    """As the emulation has them, which were written down independently."""

    class Anything:
        def __getattr__(self, name):
            setattr(self, name, types.SimpleNamespace())
            return getattr(self, name)

    lib = gemm._with_prototypes(Anything())
    for name, function in vars(cublas_on_cpu.library).items():
        mine = getattr(lib, name)
        assert tuple(mine.argtypes) == tuple(type(function)._argtypes_), name
        assert mine.restype is ctypes.c_int
