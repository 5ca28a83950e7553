"""The CUDA programs without a GPU: run on the CPU against loops, compiled by NVIDIA's compiler.

A C++ compiler runs every kernel (``cuda_on_cpu.py``) on drawn shapes, strides and layouts, beside
the loops of ``test_kernels.py``: those oracles, written from the definitions, are the authority for
all three forms of the kernels. Arrays lie between guards of NaN, so that a read or a write beyond
an end shows. NVRTC, which needs no driver, compiles every source for three generations of GPUs.

Read before: ``minigrad/kernels/cuda/launch.py``, ``cuda_on_cpu.py``. Next: ``test_gemm.py``.
"""

from __future__ import annotations

import ctypes
import math
import re
from pathlib import Path
from unittest import mock

import cuda_on_cpu
import fakecupy
import numpy as np
import pytest
import test_kernels
from hypothesis import given, settings
from hypothesis import strategies as st
from test_kernels import CASES, LAYOUTS, close, convolutions, laid_out, poolings, random

from minigrad import backend
from minigrad.kernels import cpu, cuda, plain
from minigrad.kernels.cuda import conv as cuda_conv
from minigrad.kernels.cuda import launch, norm, optimizers

pytestmark = [
    pytest.mark.cpu_only,
    pytest.mark.skipif(not cuda_on_cpu.compiler, reason="no C++ compiler to run CUDA sources with"),
]
xp = fakecupy.cupy
FLOATS = [np.float32, np.float64]
drawn = settings(max_examples=60, deadline=None)
both_dtypes = pytest.mark.parametrize("dtype", FLOATS)
GUARD = 64  # numbers on either side of an array


@pytest.fixture(autouse=True)
def stand_in(monkeypatch):
    """The stand-in is CuPy, and every array that the kernels make lies between guards."""
    monkeypatch.setattr(backend, "cupy", xp)
    guarded = []

    def empty(shape, dtype=float, order="C"):
        shape = (shape,) if isinstance(shape, int) else shape
        array, memory = between_guards(np.empty(shape, dtype, order))
        guarded.append(memory)
        return array

    monkeypatch.setitem(vars(xp), "empty", empty)
    yield guarded
    for memory in guarded:
        for guard in (memory[:GUARD], memory[-GUARD:]):
            assert np.array_equal(guard, np.full_like(guard, poison(memory.dtype)), equal_nan=True)


def poison(dtype):
    return np.nan if dtype.kind == "f" else np.iinfo(dtype).max


def between_guards(x):
    """A device array with the values and the order of memory of x, and the memory around it."""
    order = sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))
    back = np.argsort(order)
    memory = np.full(x.size + 2 * GUARD, poison(x.dtype), x.dtype)
    inside = memory[GUARD : GUARD + x.size].reshape([x.shape[axis] for axis in order])
    inside = inside.transpose(back)
    inside[...] = x
    return fakecupy._wrap(inside), memory


def on_device(value):
    """NumPy arrays, also in lists and tuples, as device arrays between guards."""
    if isinstance(value, np.ndarray):
        if value.size and (np.array(value.strides) % value.itemsize == 0).all():
            dense = between_guards(value)[0]
            if value.ndim and value.shape[-1] > 1 and abs(value.strides[-1]) == 2 * value.itemsize:
                wide = np.full((*value.shape[:-1], 2 * value.shape[-1]), np.nan, value.dtype)
                wide[..., ::2] = value
                return between_guards(wide)[0][..., ::2]  # gaps, and NaN in them
            if value.ndim and value.strides[0] < 0:
                return between_guards(np.ascontiguousarray(value[::-1]))[0][::-1]
            return dense
        return xp.asarray(value)
    if type(value) in (list, tuple):
        return type(value)(on_device(item) for item in value)
    if hasattr(value, "_replace"):
        return type(value)(*on_device(tuple(value)))
    return value


def on_host(value):
    if isinstance(value, fakecupy.ndarray):
        return value._a.copy()
    if isinstance(value, tuple):
        parts = [on_host(item) for item in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


class Device:
    """The CUDA form as a form for arrays of NumPy, so that it fits into the tests of the others."""

    updates = ("sgd_update", "adam_update", "rmsprop_update")

    def __getattr__(self, name):
        function = getattr(cuda, name)

        def call(*args, **kwargs):
            given = [on_device(argument) for argument in args]
            result = function(*given, **kwargs)
            if name in self.updates:
                for mine, theirs in zip(args, given):
                    _write_back(mine, theirs)
                return None
            return on_host(result)

        return call


def _write_back(mine, theirs):
    """Copy what an optimizer changed in its lists of arrays back into those of the test."""
    for i in range(len(mine) if isinstance(mine, list) else 0):
        if isinstance(theirs[i], fakecupy.ndarray):
            if mine[i] is None:
                mine[i] = theirs[i]._a.copy()
            else:
                mine[i][...] = theirs[i]._a


DEVICE = Device()


def inner(test):
    """The function inside a test of ``test_kernels.py`` that draws its arguments."""
    return getattr(getattr(test, "hypothesis", None), "inner_test", test)


# ------------------------------------------------------------------------------ every family


@settings(max_examples=150, deadline=None)
@given(
    case=convolutions(),
    with_bias=st.booleans(),
    dtype=st.sampled_from(FLOATS),
    column_bytes=st.sampled_from([1, 2000, 1 << 25]),
)
def test_convolution(case, with_bias, dtype, column_bytes):
    with mock.patch.object(cuda_conv, "COLUMN_BYTES", column_bytes):
        inner(test_kernels.test_convolution_equals_the_loop)(DEVICE, case, with_bias, dtype)


@drawn
@given(
    case=poolings(),
    kind=st.sampled_from(["ties", "nan", "low", "normal"]),
    dtype=st.sampled_from(FLOATS),
)
def test_max_pooling(case, kind, dtype):
    inner(test_kernels.test_max_pooling_equals_the_loop)(DEVICE, case, kind, dtype)


@pytest.mark.parametrize("stride", [1, 2])
def test_a_gradient_that_is_not_finite_stays_where_its_maximum_was(stride):
    inner(test_kernels.test_a_gradient_that_is_not_finite_stays_where_its_maximum_was)(
        DEVICE, stride
    )


@both_dtypes
def test_windows_beyond_a_byte(dtype):
    x = np.random.default_rng(0).permutation(20 * 20).reshape(1, 1, 20, 20).astype(dtype)
    window = ((18, 18), (1, 1), (0, 0), (1, 1))
    y, winners = DEVICE.max_pool2d(x, *window, (3, 3))
    expected, codes = plain.max_pool2d(x, *window, (3, 3))
    assert winners.code.dtype == np.int32
    np.testing.assert_array_equal(y, expected)
    np.testing.assert_array_equal(winners.code, codes.code)


@drawn
@given(case=poolings(), dtype=st.sampled_from(FLOATS))
def test_sum_pooling(case, dtype):
    inner(test_kernels.test_sum_pooling_equals_the_loop)(DEVICE, case, dtype)


def test_pooling_of_more_numbers_than_32_bits_count_has_the_plain_form():
    """Also where only the result is too large."""
    x, window = random(0, 2, 3, 6, 6, dtype=np.float32), ((2, 2), (2, 2), (0, 0))
    y, winners = DEVICE.max_pool2d(x, *window, (1, 1), (3, 3))
    wide = (2, 2), (1, 1), (1, 1)  # more windows than entries
    wide_y, wide_winners = DEVICE.max_pool2d(x, *wide, (1, 1), (7, 7))
    calls = {
        "max_pool2d_scatter": (y, winners, (6, 6)),
        "sum_pool2d_adjoint": (y, *window, (6, 6)),
        "max_pool2d": (x, *wide, (1, 1), (7, 7)),
        "max_pool2d_gather": (x, wide_winners),
        "sum_pool2d": (x, *wide, (7, 7)),
    }
    for name, arguments in calls.items():
        smaller = arguments[0].size
        with (
            mock.patch.object(launch, "LARGEST", smaller),
            mock.patch.object(launch, "each", side_effect=AssertionError(f"{name} was launched")),
        ):
            actual = getattr(DEVICE, name)(*arguments)
        expected = getattr(plain, name)(*arguments)
        if name == "max_pool2d":
            actual, expected = actual[0], expected[0]
        np.testing.assert_array_equal(actual, expected)


@both_dtypes
def test_softmax_cross_entropy(dtype):
    inner(test_kernels.test_softmax_cross_entropy_equals_the_loop)(DEVICE, dtype)


@both_dtypes
@pytest.mark.parametrize("classes", [1, 2, 31, 33, 300, 1000])
def test_softmax_cross_entropy_of_many_classes(classes, dtype):
    rng = np.random.default_rng(classes)
    z = (rng.standard_normal((5, classes)) * 20).astype(dtype)
    labels = rng.integers(0, classes, 5)
    for actual, expected in zip(
        DEVICE.softmax_cross_entropy(z, labels),
        plain.softmax_cross_entropy(z.astype(np.float64), labels),
    ):
        close(actual, expected, dtype)


@pytest.mark.parametrize("step", [0, 1, 2, -1])
def test_the_upstream_of_a_loss_may_have_any_steps(step):
    """A mean hands down one number for all samples: step 0."""
    p, labels = random(0, 4, 3, dtype=np.float32), np.array([0, 2, 1, 0])
    g = np.lib.stride_tricks.as_strided(random(1, 8, dtype=np.float32)[4:], (4,), (step * 4,))
    memory = between_guards(random(1, 8, dtype=np.float32))[0]
    given = fakecupy._wrap(np.lib.stride_tricks.as_strided(memory._a[4:], (4,), (step * 4,)))
    if step == 2:
        g, given = random(1, 8, dtype=np.float32)[::2], memory[::2]
    actual = cuda.softmax_cross_entropy_backward(given, on_device(p), on_device(labels))
    expected = plain.softmax_cross_entropy_backward(g, p, labels)
    np.testing.assert_allclose(actual._a, expected, rtol=1e-6)


def test_softmax_of_infinities_and_nan_and_a_label_out_of_range():
    z = np.zeros((4, 3), np.float32)
    z[0, 1], z[1, 2] = np.nan, -np.inf
    losses, p = DEVICE.softmax_cross_entropy(z, np.array([0, 0, 3, -1]))
    assert np.isnan(losses[0]) and np.isnan(p[0]).all()
    np.testing.assert_allclose(p[1], [0.5, 0.5, 0])
    assert np.isnan(losses[2:]).all()  # and no memory beyond the row was read


@both_dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (20, 3, 4, 4), (9, 5), (1, 3, 4), (6, 1)])
@pytest.mark.parametrize("piece", [3, 1024])
def test_batch_norm(shape, layout, dtype, piece):
    with mock.patch.object(norm, "SMALLEST_PIECE", piece):
        inner(test_kernels.test_batch_norm_equals_the_loop)(DEVICE, shape, layout, dtype)


def test_batch_norm_of_more_channels_than_a_grid_has_blocks():
    x = random(0, 2, 65536)
    for actual, expected in zip(
        DEVICE.batch_norm(x, None, None, 1e-3), plain.batch_norm(x, None, None, 1e-3)
    ):
        close(actual, expected)


def test_batch_norm_of_numbers_far_from_zero_keeps_its_digits():
    x = (np.random.default_rng(0).standard_normal((64, 2, 9, 9)) + 1e4).astype(np.float32)
    _, mean, var, _ = DEVICE.batch_norm(x, None, None, 1e-5)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, wide.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(var, wide.var(axis=(0, 2, 3)), rtol=1e-3)


@both_dtypes
def test_relu(dtype):
    inner(test_kernels.test_relu_backward_equals_the_loop)(DEVICE, np.dtype(dtype).name)


@both_dtypes
@pytest.mark.parametrize("layouts", [(a, b) for a in LAYOUTS for b in LAYOUTS])
def test_relu_backward_in_every_pair_of_layouts(layouts, dtype):
    gy, y = random(0, 3, 4, 5, 6, dtype=dtype), random(1, 3, 4, 5, 6, dtype=dtype)
    y[y < 0] = 0
    actual = DEVICE.relu_backward(laid_out(gy, layouts[0]), laid_out(y, layouts[1]))
    np.testing.assert_array_equal(actual, np.where(y == 0, 0, gy))


@both_dtypes
@pytest.mark.parametrize("relu", [False, True])
def test_add_bias(relu, dtype):
    y, bias = random(0, 5, 3, 7, dtype=dtype), random(1, 5, dtype=dtype)
    y[2, 1, 3] = np.nan
    memory = on_device(y)
    cuda.add_bias(memory, on_device(bias), relu)
    expected = y + bias[:, None, None]
    np.testing.assert_array_equal(memory._a, np.maximum(expected, 0) if relu else expected)


@pytest.mark.parametrize("kind, o", CASES, ids=str)
def test_optimizers(kind, o):
    with mock.patch.object(test_kernels, "FLOATS", FLOATS):
        inner(test_kernels.test_optimizers_equal_the_scalar_recurrence)(DEVICE, kind, o)


@both_dtypes
def test_many_arrays_of_many_sizes_and_orders_in_one_step(dtype):
    """More than a table holds, more than a block changes; transposed, with gaps, and empty."""
    rng = np.random.default_rng(0)
    sizes = [*range(1, 70), 1023, 1024, 1025, 5000, 0]
    params = [rng.standard_normal(n).astype(dtype) for n in sizes]
    params += [np.asfortranarray(rng.standard_normal((40, 50)).astype(dtype))]
    gaps = rng.standard_normal((30, 8)).astype(dtype)
    params += [gaps[:, ::2], np.array(0.5, dtype)]
    grads = [rng.standard_normal(p.shape).astype(dtype) for p in params]  # never in Fortran's order
    how = dict(lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, decoupled=True, maximize=False)
    state = [[np.full_like(p, 0.1) for p in params] for _ in range(2)]
    expected = [[a.astype(np.float64) for a in group] for group in (params, *state)]
    steps = list(range(1, len(params) + 1))
    plain.adam_update(expected[0], grads, *expected[1:], None, steps, **how)
    DEVICE.adam_update(params, grads, *state, None, steps, **how)
    for group, wanted in zip((params, *state), expected):
        for array, e in zip(group, wanted):
            close(array, e, dtype)


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
@pytest.mark.parametrize("number", [np.float32, np.float64, np.array, np.int64])
def test_a_rate_may_be_a_number_of_numpy(kind, dtype, number):
    o = dict(next(o for name, o in CASES if name == kind and o["weight_decay"]))
    o.pop("amsgrad", None)
    results = []
    for lr in (2.0, number(2)):
        p, g, a, b = [xp.full((3,), v, dtype=dtype) for v in (0.5, 0.25, 0.125, 0.0625)]
        rest = {"sgd": ([a],), "adam": ([a], [b], None, [3]), "rmsprop": ([a], [b], [b])}[kind]
        getattr(cuda, f"{kind}_update")([p], [g], *rest, **{**o, "lr": lr})
        results.append(p.get())
    assert results[1].dtype == dtype
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("kind", ["sgd", "adam", "rmsprop"])
@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_rates_and_steps_on_the_device_equal_numbers(kind, dtype):
    """Bit for bit, so that a captured training is the eager one; float16 has the plain form."""
    rng = np.random.default_rng(0)
    o = dict(next(o for name, o in CASES if name == kind and o["weight_decay"]), lr=0.037)
    results = []
    for stored in (False, True):
        rng = np.random.default_rng(0)
        params = [xp.asarray(rng.standard_normal(s).astype(dtype)) for s in ((3, 4), (5,))]
        grads = [xp.asarray(rng.standard_normal(p.shape).astype(dtype)) for p in params]
        first, second = [[xp.full(p.shape, 0.1, dtype=dtype) for p in params] for _ in range(2)]
        options, steps = {k: v for k, v in o.items() if k != "amsgrad"}, [3, 8]
        if stored:
            options["lr"] = xp.asarray(np.array(0.037))
            counts = xp.asarray(np.array([3, 8]))
            steps = [counts[0], counts[1]]
        with fakecupy.forbid_sync():
            if kind == "sgd":
                cuda.sgd_update(params, grads, first, **options)
            elif kind == "adam":
                cuda.adam_update(params, grads, first, second, None, steps, **options)
            else:
                cuda.rmsprop_update(params, grads, first, second, second, **options)
        results.append([p.get() for p in params])
    for one, two in zip(*results):
        assert one.dtype == dtype
        np.testing.assert_array_equal(one, two)


# ------------------------------------------------------------------------------ dropout


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.999, 1.0])
def test_dropout_masks_are_the_same_bits_everywhere(p, dtype):
    for shape in [(3, 5), (70000,), (0, 4), ()]:
        masks = [
            np.asarray(on_host(make(np.random.default_rng(7), shape, p, np.dtype(dtype))))
            for make in (cpu.dropout_mask, plain.dropout_mask, cuda.dropout_mask)
        ]
        for mask in masks:
            assert mask.dtype == dtype and mask.shape == shape
            np.testing.assert_array_equal(mask, masks[0])


def test_a_hash_that_equals_the_threshold_is_kept():
    key = plain.draw_key(np.random.default_rng(7))
    halves = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    p = int(plain.hashed(np.arange(9, dtype=np.uint32), *halves)[4]) / 2**32  # exact in float64
    assert 0 < p < 1
    for make in (cpu.dropout_mask, plain.dropout_mask, cuda.dropout_mask):
        mask = np.asarray(on_host(make(np.random.default_rng(7), (9,), p, np.float32)))
        assert mask[4] == np.float32(1 / (1 - p))


def test_the_hash_is_the_published_one():
    """lowbias32 of C. Wellons in Python's integers, without wrapping tricks."""

    def lowbias32(x):
        x ^= x >> 16
        x = x * 0x7FEB352D % 2**32
        x ^= x >> 15
        x = x * 0x846CA68B % 2**32
        return x ^ x >> 16

    places = np.arange(1000, dtype=np.uint32) + np.uint32(2**32 - 500)
    low, high = 0xDEADBEEF, 0x12345678
    expected = [lowbias32((lowbias32((int(i) + low) % 2**32) + high) % 2**32) for i in places]
    actual = plain.hashed(places.copy(), np.uint32(low), np.uint32(high))
    np.testing.assert_array_equal(actual, np.array(expected, np.uint32))


def test_masks_look_random():
    """The share that is kept; no relation between neighbours, between masks, or between keys."""
    n, p = 200_000, 0.3
    rng = np.random.default_rng(1)
    masks = [cpu.dropout_mask(rng, (n,), p, np.float64) > 0 for _ in range(20)]
    limit = 5 / math.sqrt(n)  # five standard deviations of a correlation
    for i, mask in enumerate(masks):
        assert abs(mask.mean() - (1 - p)) < limit * math.sqrt(p * (1 - p))
        for lag in (1, 2, 3, 16, 32, 1000):
            assert abs(np.corrcoef(mask[lag:], mask[:-lag])[0, 1]) < limit
        for other in masks[:i]:
            assert abs(np.corrcoef(mask, other)[0, 1]) < limit
    keys = [plain.mask_from_key(key, (n,), p, np.dtype("f8")) > 0 for key in (0, 1, 2**32, 3)]
    for i, mask in enumerate(keys):
        for other in keys[:i]:
            assert (mask != other).any()


def test_stored_keys_give_what_the_generator_would_give():
    from minigrad.kernels.cuda.random import Keys

    keys = Keys(xp, 3)
    rng, mine = np.random.default_rng(3), backend.generator()

    def step():
        return [cuda.dropout_mask(g, (4, 50), 0.4, np.float32).get() for g in (rng, mine, rng)]

    state = mine.bit_generator.state
    with keys:
        step()
        with pytest.raises(RuntimeError, match="more masks"):
            cuda.dropout_mask(rng, (2,), 0.5, np.float32)
        for _ in range(2):
            keys.rewind()
            keys.refresh()
            with fakecupy.forbid_sync():
                both = rng, mine, rng
                captured = [cuda.dropout_mask(g, (4, 50), 0.4, np.float32) for g in both]
    captured = [mask.get() for mask in captured]
    rng, mine.bit_generator.state = np.random.default_rng(3), state
    step()
    for one, two in zip(captured, step()):
        np.testing.assert_array_equal(one, two)


def test_stored_keys_follow_a_new_seed_of_the_default_generator():
    from minigrad.kernels.cuda.random import Keys

    keys, masks = Keys(xp), []
    with keys:
        cuda.dropout_mask(backend.generator(), (50,), 0.5, np.float32)
        for _ in range(2):
            backend.manual_seed(11)
            keys.rewind()
            keys.refresh()
            masks.append(cuda.dropout_mask(backend.generator(), (50,), 0.5, np.float32).get())
    backend.manual_seed(11)
    masks.append(cuda.dropout_mask(backend.generator(), (50,), 0.5, np.float32).get())
    assert np.array_equal(masks[0], masks[1]) and np.array_equal(masks[0], masks[2])


# ------------------------------------------------------------------------------ the emulation


def one_of_everything():
    """A large enough call of every kernel: several blocks, and blocks that wait."""
    x, w = random(0, 9, 6, 11, 12, dtype=np.float32), random(1, 8, 3, 3, 3, dtype=np.float32)
    how = dict(stride=(1, 2), padding=((1, 1), (0, 2)), dilation=(1, 1), groups=2)
    y = DEVICE.conv2d(x, w, w[:, 0, 0, 0], **how)
    yield y
    yield DEVICE.conv2d_input(y, w, (11, 12), **how)
    yield DEVICE.conv2d_weight(x, y, (3, 3), **how)
    p, winners = DEVICE.max_pool2d(x, (3, 3), (2, 2), (1, 1), (1, 1), (6, 6))
    yield p
    yield DEVICE.max_pool2d_scatter(p, winners, (11, 12))
    yield DEVICE.max_pool2d_gather(x, winners)
    yield DEVICE.sum_pool2d(x, (2, 2), (1, 1), (0, 0), (10, 11))
    yield DEVICE.sum_pool2d_adjoint(p, (3, 3), (2, 2), (1, 1), (11, 12))
    with mock.patch.object(norm, "SMALLEST_PIECE", 200):
        yield from DEVICE.batch_norm(x, None, None, 1e-5)
        yield from DEVICE.batch_norm_backward(x, x, None, x[0, :, 0, 0], x[1, :, 0, 0])
    z, labels = random(2, 30, 300, dtype=np.float32), np.arange(30)
    losses, p = DEVICE.softmax_cross_entropy(z, labels)
    yield losses
    yield DEVICE.softmax_cross_entropy_backward(losses, p, labels)
    yield DEVICE.relu_backward(x, x)
    params, grads = [z.copy(), w.copy()], [z, w]
    state = [[np.zeros_like(a) for a in params] for _ in range(2)]
    how = dict(lr=0.1, betas=(0.8, 0.9), eps=1e-3, weight_decay=0.1, decoupled=True, maximize=False)
    DEVICE.adam_update(params, grads, *state, None, [1, 2], **how)
    yield from params


def test_the_order_of_threads_and_blocks_does_not_matter():
    """A kernel that forgets to wait, or adds to what another thread writes, fails here."""
    forwards = list(one_of_everything())
    with cuda_on_cpu.backwards():
        for one, two in zip(forwards, one_of_everything(), strict=True):
            np.testing.assert_array_equal(one, two)


def compiled(text):
    module = cuda_on_cpu.RawModule(code="typedef float T;\n" + text, options=())
    return {name: module.get_function(name) for name in module.kernels}


SUM = """
extern "C" __global__ void total(T* y, const T* x, int n) {
    __shared__ T part[32];
    part[threadIdx.x] = x[threadIdx.x];
    WAIT
    if (threadIdx.x == 0) { y[0] = 0; for (int i = 0; i < n; i++) y[0] += part[i]; }
}
"""


def test_a_forgotten_barrier_shows_in_the_order_of_threads():
    x, results = on_device(np.arange(32, dtype=np.float32)), {}
    for wait in ("__syncthreads();", ""):
        total = compiled(SUM.replace("WAIT", wait))["total"]
        for back in (False, True):
            y = xp.zeros(1, dtype=np.float32)
            with cuda_on_cpu.backwards() if back else mock.MagicMock():
                total((1,), (32,), (y, x, np.int32(32)))
            results[wait, back] = float(y[0])
    assert results["__syncthreads();", False] == results["__syncthreads();", True] == 496
    assert results["", False] != 496


def test_a_barrier_that_some_threads_miss_is_found():
    text = 'extern "C" __global__ void f(T* y) { if (threadIdx.x < 3) __syncthreads(); y[0] = 1; }'
    with pytest.raises(RuntimeError, match="not all threads arrive"):
        compiled(text)["f"]((1,), (8,), (xp.zeros(1, dtype=np.float32),))


BAD_ARGUMENTS = {
    "a Python int for an int": (0, 5),
    "a wrong dtype": (1, np.zeros(3)),
    "a NumPy array": (1, "numpy"),
    "an address": (1, 12345),
    "float64 for a float": (2, 1.5),
    "int for a double": (3, 1),
    "a short structure": (4, np.zeros((), "i4")),
    "no structure": (4, 3),
    "too many": (None, None),
}


@pytest.mark.parametrize("case", BAD_ARGUMENTS)
def test_arguments_of_the_wrong_type_are_refused(case):
    text = """
    struct Pair { int a; long long b; };
    extern "C" __global__ void f(int n, const T* x, float s, double d, Pair p) {}
    """
    x = xp.zeros(3, dtype=np.float32)
    pair = launch.structure(a=1, S_b=2)
    good = [np.int32(1), x, np.float32(1), 1.0, pair]
    kernel = compiled(text)["f"]
    kernel((1,), (1,), tuple(good))
    place, value = BAD_ARGUMENTS[case]
    if place is None:
        good.append(np.int32(1))
    else:
        good[place] = xp.zeros(3) if case == "a wrong dtype" else value
        if case == "a NumPy array":
            good[place] = np.zeros(3, np.float32)
    with pytest.raises(TypeError):
        kernel((1,), (1,), tuple(good))


def test_a_write_beyond_the_end_is_found(stand_in):
    kernel = compiled('extern "C" __global__ void f(T* y, int n) { y[n] = 1; }')["f"]
    y = xp.empty((4,), dtype=np.float32)
    kernel((1,), (1,), (y, np.int32(4)))
    memory = stand_in.pop()
    assert memory[-GUARD] == 1  # the fixture would have failed


# ------------------------------------------------------------------------------ the sources


def test_the_table_is_laid_out_as_in_c():
    text = launch.source("optimizers", "f")
    module = cuda_on_cpu.RawModule(code=text, options=())
    assert module.get_function("adam")._sizes[0] == optimizers.TABLE.itemsize <= 4096 - 64
    for name, value in (("MOST", optimizers.MOST), ("CHUNK", optimizers.CHUNK)):
        assert re.search(rf"#define {name} (\d+)", text)[1] == str(value)
    members = re.search(r"struct Table \{(.*?)\};", text, re.S)[1]
    members = re.findall(r"(\w+)(?:\[MOST\])?[;,]", re.sub(r"//[^\n]*", "", members))
    assert members == list(optimizers.TABLE.names)


def test_half_precision_integers_and_numpy_have_the_plain_form():
    assert not launch.runs(np.zeros(3, np.float32))
    for dtype in (np.float16, np.int64):
        assert not launch.runs(xp.zeros(3, dtype=dtype))
    assert launch.runs(xp.zeros(3, dtype=np.float32), None)
    assert not launch.runs(xp.zeros(3, dtype=np.float32), xp.zeros(3))
    assert not launch.runs(xp.zeros((0, 3), dtype=np.float32))
    with mock.patch.object(launch, "ENABLED", False):
        assert not launch.runs(xp.zeros(3, dtype=np.float32))


@pytest.mark.parametrize("dtype", [np.float16, *FLOATS])
def test_no_kernel_of_a_training_step_waits_or_copies_from_the_host(dtype):
    """Such a step could not be captured."""
    x, w = xp.ones((4, 2, 8, 8), dtype=dtype), xp.ones((3, 2, 3, 3), dtype=dtype)
    how = dict(stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)
    labels, rows = xp.asarray(np.array([0, 1, 2, 0])), xp.asarray(np.array([1, 1]))
    fakecupy.counts.clear()
    with fakecupy.forbid_sync():
        y = cuda.conv2d(x, w, w[:, 0, 0, 0], **how)
        gx, gw = cuda.conv2d_input(y, w, (8, 8), **how), cuda.conv2d_weight(x, y, (3, 3), **how)
        p, winners = cuda.max_pool2d(y, (2, 2), (2, 2), (0, 0), (1, 1), (4, 4))
        cuda.max_pool2d_gather(cuda.max_pool2d_scatter(p, winners, (8, 8)), winners)
        pooled = cuda.sum_pool2d(y, (2, 2), (2, 2), (0, 0), (4, 4))
        cuda.sum_pool2d_adjoint(pooled, (2, 2), (2, 2), (0, 0), (8, 8))
        n, mean, _, rstd = cuda.batch_norm(y, None, None, 1e-5)
        cuda.batch_norm_backward(n, y, None, mean, rstd)
        losses, q = cuda.softmax_cross_entropy(p[:, :, 0, 0], labels)
        cuda.softmax_cross_entropy_backward(losses, q, labels)
        cuda.relu_backward(gx, cuda.relu(gx))
        cuda.dropout_mask(np.random.default_rng(0), (3, 4), 0.5, dtype)
        cuda.index_add((5, 2), rows, p[:2, :2, 0, 0])
        cuda.sgd_update([w], [gw], [None], lr=0.1, momentum=0.9, dampening=0, weight_decay=0.1,
                        nesterov=True, maximize=False)  # fmt: skip
    assert not any(fakecupy.counts.values())


# ------------------------------------------------------------------------------ NVIDIA's compiler


def nvrtc():
    """NVIDIA's run-time compiler: from its wheel, or a CUDA toolkit. It needs no driver."""
    names = ["libnvrtc.so", "libnvrtc.so.13", "libnvrtc.so.12"]
    try:
        import nvidia

        for folder in nvidia.__path__:
            names += sorted(map(str, Path(folder).glob("**/libnvrtc.so.1?")))
    except ImportError:
        pass
    for name in reversed(names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


NVRTC = nvrtc()
VARIANTS = [(family, char, "int") for family in launch.FAMILIES for char in launch.C_NAMES]
VARIANTS += [("pool", char, "unsigned char") for char in launch.C_NAMES]


def compile_for(architecture: str, text: str) -> str:
    """Compile CUDA C for one generation of GPUs; return what the compiler has to say."""
    program = ctypes.c_void_p()
    created = NVRTC.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"x.cu", 0, None, None)
    assert created == 0
    options = [f"--gpu-architecture={architecture}".encode(), b"-std=c++17"]
    status = NVRTC.nvrtcCompileProgram(
        program, len(options), (ctypes.c_char_p * len(options))(*options)
    )
    size = ctypes.c_size_t()
    NVRTC.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    NVRTC.nvrtcGetProgramLog(program, log)
    NVRTC.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() or f"status {status}" if status else ""


needs_nvrtc = pytest.mark.skipif(
    NVRTC is None, reason="NVIDIA's compiler is not here (pip install nvidia-cuda-nvrtc)"
)


@needs_nvrtc
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90"])
@pytest.mark.parametrize("family, char, code", VARIANTS)
def test_nvidias_compiler_takes_the_sources(family, char, code, architecture):
    assert compile_for(architecture, launch.source(family, char, code)) == ""


@needs_nvrtc
def test_nvidias_compiler_refuses_what_is_no_cuda():
    """`INFINITY` is a macro of a header that NVRTC does not have: a mistake that g++ lets pass."""
    text = launch.source("loss", "f") + '\nextern "C" __global__ void f(T* y) { y[0] = INFINITY; }'
    assert "INFINITY" in compile_for("sm_80", text)
