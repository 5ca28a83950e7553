"""The kernels against loops: each primitive, in both forms, beside the slowest program that cannot
be wrong.

Read before: ``minigrad/kernels/cuda.py``. The oracles are written from the definitions, entry by
entry, in float64; the fast forms must agree with them for drawn shapes, strides, layouts and
dtypes, give the same bits with any number of threads, and survive a fork.
"""

from __future__ import annotations

import itertools
import math
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import kernels
from minigrad.kernels import blas, conv, cpu, cuda, matmul, memory, norm, optimizers, pool, threads

FORMS = [cpu, cuda]
FLOATS = [np.float16, np.float32, np.float64]
TOLERANCE = {np.float16: 3e-2, np.float32: 1e-4, np.float64: 1e-10}

both_forms = pytest.mark.parametrize("form", FORMS, ids=["cpu", "cuda"])
drawn = settings(max_examples=200, deadline=None)


def close(actual, expected, dtype=np.float64):
    """Assert equal dtype, shape and, within the dtype's tolerance, values."""
    expected = np.asarray(expected)
    assert actual.dtype == np.dtype(dtype)
    assert actual.shape == expected.shape
    scale = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0)))
    np.testing.assert_allclose(
        actual.astype(np.float64), expected, rtol=0, atol=TOLERANCE[dtype] * scale
    )


def random(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


LAYOUTS = ["plain", "samples last", "channels first", "strided", "reversed"]


def laid_out(x, layout):
    """The same values in other memory."""
    if layout == "samples last":
        return np.ascontiguousarray(np.moveaxis(x, 0, -1)).transpose(
            -1 % x.ndim, *range(x.ndim - 1)
        )
    if layout == "channels first":
        return np.ascontiguousarray(x.swapaxes(0, 1)).swapaxes(0, 1)
    if layout == "strided":
        wide = np.repeat(x, 2, axis=-1)
        return wide[..., ::2]
    if layout == "reversed":
        return np.ascontiguousarray(x[::-1])[::-1]
    return np.ascontiguousarray(x)


@contextmanager
def using_threads(n):
    before = threads.get_num_threads()
    threads.set_num_threads(n)
    try:
        yield
    finally:
        threads.set_num_threads(before)


# ------------------------------------------------------------------------------ convolution


def pairs(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high))


@st.composite
def convolutions(draw):
    """Sizes and options of a convolution whose kernel fits its input, with small limits on the
    kernel's blocks.
    """
    kernel, stride, dilation = draw(pairs(1, 4)), draw(pairs(1, 3)), draw(pairs(1, 3))
    padding = draw(st.tuples(pairs(0, 3), pairs(0, 3)))
    size = tuple(
        max(1, d * (k - 1) + 1 - sum(p)) + draw(st.integers(0, 6))
        for k, d, p in zip(kernel, dilation, padding)
    )
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return dict(
        x=(draw(st.sampled_from([1, 2, 5, 17])), groups * draw(st.integers(1, 3)), *size),
        w=(groups * draw(st.integers(1, 3)), kernel),
        how=dict(stride=stride, padding=padding, dilation=dilation, groups=groups),
        layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 2**31)),
        limits=dict(
            BLOCK_BYTES=draw(st.sampled_from([512, 4096, 1 << 20])),
            NARROWEST=draw(st.sampled_from([1, 32])),
            SHORT_ROW=draw(st.sampled_from([1, 64, 10**9])),
            MANY_FILTERS=draw(st.sampled_from([1, 128])),
            WORTH_SHARING=draw(st.sampled_from([0, 10**9])),
        ),
    )


def conv_windows(x_shape, w_shape, how):
    """Yield (y index, x slice, padding-aware w slice) for every output entry's window; the
    definition in a loop.
    """
    (_, _, H, W), (F, CG, KH, KW) = x_shape, w_shape
    (sh, sw), (dh, dw) = how["stride"], how["dilation"]
    (top, bottom), (left, right) = how["padding"]
    OH = (H + top + bottom - dh * (KH - 1) - 1) // sh + 1
    OW = (W + left + right - dw * (KW - 1) - 1) // sw + 1
    for o, i, j in itertools.product(range(F), range(OH), range(OW)):
        first = o // (F // how["groups"]) * CG
        for p, q in itertools.product(range(KH), range(KW)):
            h, v = i * sh + p * dh - top, j * sw + q * dw - left
            if 0 <= h < H and 0 <= v < W:
                yield (
                    (slice(None), o, i, j),
                    (slice(None), slice(first, first + CG), h, v),
                    (o, slice(None), p, q),
                )
    return


def conv_oracle(x, w, bias, how):
    """y, a random gy and the two gradients, by looping over all outputs and kernel entries."""
    (N, _, H, W), (F, _, KH, KW) = x.shape, w.shape
    shape = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip((H, W), (KH, KW), how["stride"], how["padding"], how["dilation"])
    ]
    y = np.zeros((N, F, *shape))
    for out, inp, ker in conv_windows(x.shape, w.shape, how):
        y[out] += x[inp] @ w[ker]
    if bias is not None:
        y += bias[:, None, None]
    gy = random(len(y), *y.shape)
    gx, gw = np.zeros(x.shape), np.zeros(w.shape)
    for out, inp, ker in conv_windows(x.shape, w.shape, how):
        gx[inp] += gy[out][:, None] * w[ker]
        gw[ker] += gy[out] @ x[inp]
    return y, gy, gx, gw


@both_forms
@drawn
@given(case=convolutions(), with_bias=st.booleans(), dtype=st.sampled_from(FLOATS))
def test_convolution_equals_the_loop(form, case, with_bias, dtype):
    (F, kernel), how = case["w"], case["how"]
    x = random(case["seed"], *case["x"]).astype(dtype)
    w = random(case["seed"] + 1, F, x.shape[1] // how["groups"], *kernel).astype(dtype)
    bias = random(3, F).astype(dtype) if with_bias else None
    wide = [None if a is None else a.astype(np.float64) for a in (x, w, bias)]
    y, gy, gx, gw = conv_oracle(*wide, how)
    gy = gy.astype(dtype)
    if dtype != np.float64:
        gx, gw = [a.astype(np.float64) for a in (gx, gw)]
    x, w, gy = (
        laid_out(x, case["layout"]),
        laid_out(w, case["layout"]),
        laid_out(gy, case["layout"]),
    )
    before = x.copy(), w.copy(), gy.copy()
    with mock.patch.multiple(conv, **case["limits"]):
        close(form.conv2d(x, w, bias, **how), y, dtype)
        close(form.conv2d_input(gy, w, x.shape[2:], **how), gx, dtype)
        close(form.conv2d_weight(x, gy, kernel, **how), gw, dtype)
        for needs in ((True, True, True), (False, True, True), (True, False, False)):
            all_three = form.conv2d_backward(gy, x, w, needs, **how)
            wanted = (gx, gw, gy.astype(np.float64).sum((0, 2, 3)))
            for need, gradient, exact in zip(needs, all_three, wanted):
                assert (gradient is not None) == need
                if need:
                    close(gradient, exact, dtype)
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, w, gy)))


PLAIN = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)


@pytest.mark.parametrize(
    "shape, kernel, how",
    [
        ((32, 6, 14, 14), (16, 6, 5, 5), {}),
        ((20, 32, 9, 9), (64, 32, 3, 3), {}),  # partial weight gradients too large to batch
        ((4, 24, 8, 8), (24, 1, 3, 3), dict(groups=24, padding=((1, 1), (1, 1)))),
        ((3, 5, 6, 7), (10, 1, 2, 3), dict(groups=5, padding=((3, 0), (0, 4)))),
        ((8, 40, 6, 6), (48, 40, 1, 1), {}),
        ((8, 40, 7, 7), (48, 40, 1, 1), dict(stride=(2, 2))),
        ((0, 3, 6, 6), (4, 3, 3, 3), {}),
    ],
)
def test_convolutions_of_real_sizes_agree_in_both_forms(shape, kernel, how):
    how = PLAIN | how
    x, w, bias = random(0, *shape), random(1, *kernel), random(2, kernel[0])
    y = cuda.conv2d(x, w, bias, **how)
    gy = random(3, *y.shape)
    close(cpu.conv2d(x, w, bias, **how), y)
    close(cpu.conv2d_input(gy, w, shape[2:], **how), cuda.conv2d_input(gy, w, shape[2:], **how))
    close(cpu.conv2d_weight(x, gy, kernel[2:], **how), cuda.conv2d_weight(x, gy, kernel[2:], **how))
    needs = (True, True, True)
    exact = cuda.conv2d_backward(gy, x, w, needs, **how)
    for gradient, right in zip(cpu.conv2d_backward(gy, x, w, needs, **how), exact):
        close(gradient, right)


@pytest.mark.parametrize("dilation", [(1, 1), (2, 2)])
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
@pytest.mark.parametrize("padding", [((0, 0), (0, 0)), ((2, 1), (1, 2))])
def test_tall_images_are_worked_on_in_bands_of_rows(stride, padding, dilation):
    how = dict(stride=stride, padding=padding, dilation=dilation, groups=1)
    x, w = random(0, 2, 3, 41, 9), random(1, 20, 3, 3, 2)
    y = cuda.conv2d(x, w, None, **how)
    gy = random(2, *y.shape)
    small = dict(BLOCK_BYTES=512, NARROWEST=4)
    for limits in (small | dict(SHORT_ROW=1), small | dict(SHORT_ROW=10**9, MANY_FILTERS=1)):
        with mock.patch.multiple(conv, **limits):
            close(cpu.conv2d(x, w, None, **how), y)
            gx = cpu.conv2d_input(gy, w, (41, 9), **how)
            close(gx, cuda.conv2d_input(gy, w, (41, 9), **how))
            gw = cpu.conv2d_weight(x, gy, (3, 2), **how)
            close(gw, cuda.conv2d_weight(x, gy, (3, 2), **how))


def test_results_do_not_live_in_scratch_memory():
    x, w = random(0, 32, 3, 9, 9, dtype=np.float32), random(1, 4, 3, 3, 3, dtype=np.float32)
    gy = random(2, 32, 4, 7, 7, dtype=np.float32)
    calls = [
        lambda a, b: cpu.conv2d(a, w, None, **PLAIN),
        lambda a, b: cpu.conv2d_input(b, w, (9, 9), **PLAIN),
        lambda a, b: cpu.conv2d_weight(a, b, (3, 3), **PLAIN),
        lambda a, b: cpu.conv2d_backward(b, a, w, (True, False, False), **PLAIN)[0],
        lambda a, b: cpu.max_pool2d(a, (2, 2), (2, 2), (0, 0), (1, 1), (4, 4))[0],
        lambda a, b: cpu.sum_pool2d(a, (2, 2), (2, 2), (0, 0), (4, 4)),
    ]
    for call in calls:
        first = call(x, gy)
        kept = first.copy()
        second = call(-x, -gy)
        assert not np.shares_memory(first, second)
        assert np.array_equal(first, kept)


# ------------------------------------------------------------------------------ pooling


@st.composite
def poolings(draw):
    kernel, stride = draw(pairs(1, 4)), draw(pairs(1, 4))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    dilation = draw(pairs(1, 2)) if padding == (0, 0) else (1, 1)
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 6))
        for k, d, p in zip(kernel, dilation, padding)
    )
    overhang = draw(st.booleans())
    output = []
    for n, k, s, p, d in zip(size, kernel, stride, padding, dilation):
        room = n + 2 * p - d * (k - 1) - 1
        out = (room + (s - 1 if overhang else 0)) // s + 1
        output.append(out - 1 if (out - 1) * s >= n + p else out)
    return dict(
        shape=(draw(st.sampled_from([1, 2, 17])), draw(st.integers(1, 3)), *size),
        window=(kernel, stride, padding, dilation, tuple(output)),
        layout=draw(st.sampled_from(LAYOUTS)),
        seed=draw(st.integers(0, 2**31)),
        block=draw(st.sampled_from([16, 1 << 19])),
    )


def inside_window(window, size):
    """Yield (i, j, [(h, w), ...]): each output and the inputs in its window, in reading order."""
    (KH, KW), (sh, sw), (ph, pw), (dh, dw), (OH, OW) = window
    for i, j in itertools.product(range(OH), range(OW)):
        places = [
            (i * sh - ph + p * dh, j * sw - pw + q * dw) for p in range(KH) for q in range(KW)
        ]
        yield i, j, [(h, w) for h, w in places if 0 <= h < size[0] and 0 <= w < size[1]]


@both_forms
@drawn
@given(
    case=poolings(),
    kind=st.sampled_from(["ties", "nan", "low", "normal"]),
    dtype=st.sampled_from(FLOATS),
)
def test_max_pooling_equals_the_loop(form, case, kind, dtype):
    rng = np.random.default_rng(case["seed"])
    x = (
        rng.standard_normal(case["shape"])
        if kind == "normal"
        else rng.integers(0, 3, case["shape"])
    )
    x = x.astype(dtype)
    if kind == "nan":
        x[rng.random(x.shape) < 0.3] = np.nan
    if kind == "low":
        x[rng.random(x.shape) < 0.7] = -np.inf
    N, C, H, W = x.shape
    y = np.zeros((N, C, *case["window"][-1]), dtype)
    index = np.zeros(y.shape, np.int64)
    gy = random(1, *y.shape).astype(dtype)
    gx = np.zeros(x.shape)
    for n, c in itertools.product(range(N), range(C)):
        for i, j, places in inside_window(case["window"], (H, W)):
            best = places[0]
            for place in places[1:]:
                if x[n, c][place] > x[n, c][best] or np.isnan(x[n, c][place]):
                    best = place
            y[n, c, i, j] = x[n, c][best]
            index[n, c, i, j] = best[0] * W + best[1]
            gx[n, c][best] += gy[n, c, i, j]
    x, gy = laid_out(x, case["layout"]), laid_out(gy, case["layout"])
    with mock.patch.object(pool, "BLOCK", case["block"]):
        actual, winners = form.max_pool2d(x, *case["window"])
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, y)
        np.testing.assert_array_equal(form.max_pool2d_flat_index(winners, (H, W)), index)
        np.testing.assert_array_equal(form.max_pool2d_gather(x, winners), y)
        close(form.max_pool2d_scatter(gy, winners, (H, W)), gx, dtype)


@both_forms
@pytest.mark.parametrize("stride", [1, 2])
def test_a_gradient_that_is_not_finite_stays_where_its_maximum_was(form, stride):
    x = random(0, 20, 2, 6, 6, dtype=np.float32)
    n = (6 - 2) // stride + 1
    y, winners = form.max_pool2d(x, (2, 2), (stride, stride), (0, 0), (1, 1), (n, n))
    for bad in (np.nan, np.inf):
        gy = np.zeros_like(y)
        gy[3, 1, 0, 1] = bad
        gx = form.max_pool2d_scatter(gy, winners, (6, 6))
        assert np.count_nonzero(gx) == 1
        assert gx[3, 1].ravel()[form.max_pool2d_flat_index(winners, (6, 6))[3, 1, 0, 1]] != 0


@both_forms
def test_max_pooling_of_integers_and_of_windows_beyond_a_byte(form):
    x = np.random.default_rng(0).permutation(20 * 20).reshape(1, 1, 20, 20)
    y, winners = form.max_pool2d(x, (18, 18), (1, 1), (0, 0), (1, 1), (3, 3))
    assert winners.code.dtype == np.int32
    index = form.max_pool2d_flat_index(winners, (20, 20))
    for i, j in itertools.product(range(3), range(3)):
        assert (
            y[0, 0, i, j] == x[0, 0, i : i + 18, j : j + 18].max() == x.ravel()[index[0, 0, i, j]]
        )


@both_forms
@drawn
@given(case=poolings(), dtype=st.sampled_from(FLOATS))
def test_sum_pooling_equals_the_loop(form, case, dtype):
    kernel, stride, padding, _, output = case["window"]
    window = (kernel, stride, padding, (1, 1), output)
    x = random(case["seed"], *case["shape"]).astype(dtype)
    size = x.shape[2:]
    y = np.zeros((*x.shape[:2], *output))
    gy = random(1, *y.shape).astype(dtype)
    gx = np.zeros(x.shape)
    for i, j, places in inside_window(window, size):
        for h, w in places:
            y[:, :, i, j] += x[:, :, h, w]
            gx[:, :, h, w] += gy[:, :, i, j]
    x, gy = laid_out(x, case["layout"]), laid_out(gy, case["layout"])
    with mock.patch.object(pool, "BLOCK", case["block"]):
        close(form.sum_pool2d(x, kernel, stride, padding, output), y, dtype)
        close(form.sum_pool2d_adjoint(gy, kernel, stride, padding, size), gx, dtype)


# ------------------------------------------------------------------------------ products


@both_forms
@drawn
@given(
    sizes=st.tuples(*[st.integers(0, 40)] * 3),
    batch=st.sampled_from([((), ()), ((3,), (3,)), ((2, 1), (4,)), ((), (3,))]),
    flip=st.tuples(st.booleans(), st.booleans()),
    dtype=st.sampled_from([*FLOATS, np.int64]),
    piece=st.sampled_from([100, 10**9]),
)
def test_matmul_equals_the_sum(form, sizes, batch, flip, dtype, piece):
    M, K, N = sizes
    a, b = random(0, *batch[0], M, K) * 2, random(1, *batch[1], K, N) * 2
    a, b = a.astype(dtype), b.astype(dtype)
    expected = (a[..., :, :, None].astype(np.float64) * b[..., None, :, :]).sum(axis=-2)
    if flip[0]:
        a = np.ascontiguousarray(a.swapaxes(-1, -2)).swapaxes(-1, -2)
    if flip[1]:
        b = np.ascontiguousarray(b.swapaxes(-1, -2)).swapaxes(-1, -2)
    with mock.patch.multiple(matmul, WORTH_SHARING=piece, PIECE=piece):
        actual = form.matmul(a, b)
    if dtype == np.int64:
        np.testing.assert_array_equal(actual, expected)
        assert actual.dtype == np.int64
    else:
        close(actual, expected, dtype)


@pytest.mark.parametrize("M, K, N", [(20, 90, 10), (5, 400, 30), (60, 70, 50), (40, 30, 90)])
@pytest.mark.parametrize("piece", [2000, 10**9])
def test_matmul_in_every_order_of_memory(M, K, N, piece):
    a, b = random(0, M, K), random(1, K, N)
    with mock.patch.multiple(matmul, WORTH_SHARING=piece, PIECE=piece):
        for x, y in itertools.product((a, np.asfortranarray(a)), (b, np.asfortranarray(b))):
            close(cpu.matmul(x, y), np.einsum("mk,kn->mn", a, b))


# ------------------------------------------------------------------------------ loss, norm, dropout


@both_forms
@pytest.mark.parametrize("dtype", FLOATS)
def test_softmax_cross_entropy_equals_the_loop(form, dtype):
    z = (random(0, 7, 5) * 3).astype(dtype)
    z[0] = [60, -60, 0, 1, 2]
    labels = np.array([1, 0, 4, 2, 3, 3, 0])
    g = random(1, 7).astype(dtype)
    losses, p, gz = np.zeros(7), np.zeros((7, 5)), np.zeros((7, 5))
    for n in range(7):
        total = sum(math.exp(float(v)) for v in z[n])
        losses[n] = math.log(total) - float(z[n, labels[n]])
        for c in range(5):
            p[n, c] = math.exp(float(z[n, c])) / total
            gz[n, c] = float(g[n]) * (p[n, c] - (c == labels[n]))
    for layout in ("plain", "samples last"):
        actual, saved = form.softmax_cross_entropy(laid_out(z, layout), labels)
        close(actual, losses, dtype)
        close(saved, p, dtype)
        close(form.softmax_cross_entropy_backward(g, saved, labels), gz, dtype)


@both_forms
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 4, 5, 2), (20, 3, 4, 4), (9, 5), (2, 3, 6)])
def test_batch_norm_equals_the_loop(form, shape, layout, dtype):
    x = (random(0, *shape) + np.arange(shape[1]).reshape(-1, *[1] * (len(shape) - 2))).astype(dtype)
    gy = random(1, *shape).astype(dtype)
    weight, bias = random(2, shape[1]).astype(dtype), random(3, shape[1]).astype(dtype)
    eps = 1e-3
    for affine in ((weight, bias), (None, None)):
        y, gx = np.zeros(shape), np.zeros(shape)
        mean, var, gw, gb = np.zeros((4, shape[1]))
        for c in range(shape[1]):
            values, upstream = x[:, c].astype(np.float64), gy[:, c].astype(np.float64)
            m = values.size
            mean[c] = values.sum() / m
            var[c] = ((values - mean[c]) ** 2).sum() / m
            std = math.sqrt(var[c] + eps)
            xhat = (values - mean[c]) / std
            w, b = (1.0, 0.0) if affine[0] is None else (float(weight[c]), float(bias[c]))
            y[:, c] = w * xhat + b
            gw[c], gb[c] = (upstream * xhat).sum(), upstream.sum()
            # The chain rule through mean and variance, term by term (Ioffe and Szegedy 2015,
            # section 3).
            g_xhat = upstream * w
            g_var = (g_xhat * (values - mean[c])).sum() * -0.5 * std**-3
            g_mean = -g_xhat.sum() / std
            gx[:, c] = g_xhat / std + g_var * 2 * (values - mean[c]) / m + g_mean / m
        with mock.patch.object(norm, "BLOCK", 64):
            actual = form.batch_norm(laid_out(x, layout), *affine, eps)
            for a, e in zip(actual, (y, mean, var, 1 / np.sqrt(var + eps))):
                close(a, e, dtype)
            gradients = form.batch_norm_backward(
                laid_out(gy, layout), x, affine[0], actual[1], actual[3]
            )
            for a, e in zip(gradients, (gx, gw, gb)):
                close(a, e, dtype)


@both_forms
@pytest.mark.parametrize("dtype", FLOATS)
def test_dropout_keeps_the_mean_and_the_stream_of_numbers(form, dtype):
    for p in (0.0, 0.3, 1.0):
        mask = form.dropout_mask(np.random.default_rng(5), (200, 50), p, np.dtype(dtype))
        assert mask.dtype == dtype and mask.shape == (200, 50)
        kept = mask != 0
        assert abs(kept.mean() - (1 - p)) < 0.02
        if p < 1:
            np.testing.assert_allclose(mask[kept], dtype(1 / (1 - p)), rtol=1e-3)
        np.testing.assert_array_equal(
            mask, cpu.dropout_mask(np.random.default_rng(5), (200, 50), p, dtype)
        )


# ------------------------------------------------------------------------------ scatter


@both_forms
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize(
    "shape, index",
    [
        ((7, 3), np.array([1, 1, -1, 0])),
        ((7, 3), (np.array([[1, 1], [2, -7]]),)),
        ((7, 3, 2), np.array([[1, 1], [2, 1]], np.int32)),
        ((7,), np.array([1, 1, -1])),
        ((7, 3), (np.array([1, 1]), np.array([0, 0]))),
        ((7, 3, 2), (slice(None), np.array([0, 0, 2]))),
        ((4, 3), (np.array([[0], [0]]), np.array([1, 1, 2]))),
        ((7, 3), np.arange(21).reshape(7, 3) % 2 == 0),
        ((4, 3), (np.array([True, False, True, True]), np.array([0, 1, 1]))),
        ((7, 3), (slice(5, 1, -2), 1)),
        ((7, 3), (Ellipsis, None, 2)),
        ((7, 3), np.int64(4)),
        ((7, 3), [1, 1, 2]),
        ((5,), (None, np.array([1, 1]))),
    ],
    ids=str,
)
def test_index_add_adds_repeated_entries(form, shape, index, dtype):
    values = random(0, *np.zeros(shape)[index].shape).astype(dtype)
    positions = np.arange(math.prod(shape)).reshape(shape)[index]
    expected = np.zeros(math.prod(shape))
    for position, value in zip(positions.ravel(), values.ravel()):
        expected[position] += value
    close(form.index_add(shape, index, values), expected.reshape(shape), dtype)


# ------------------------------------------------------------------------------ optimizers


def optimizer_oracle(kind, p, grads, o):
    """One scalar parameter through the steps, in plain floats, from PyTorch's documented
    algorithms.
    """
    b = m = v = top = 0.0
    for t, g in enumerate(grads, 1):
        g = -g if o["maximize"] else g
        if kind == "adam" and o["decoupled"]:
            p -= o["lr"] * o["weight_decay"] * p
        else:
            g += o["weight_decay"] * p
        if kind == "sgd":
            if o["momentum"]:
                b = g if t == 1 else o["momentum"] * b + (1 - o["dampening"]) * g
                g = g + o["momentum"] * b if o["nesterov"] else b
            p -= o["lr"] * g
        elif kind == "adam":
            m = o["betas"][0] * m + (1 - o["betas"][0]) * g
            v = o["betas"][1] * v + (1 - o["betas"][1]) * g * g
            top = max(top, v) if o["amsgrad"] else v
            root = math.sqrt(top) / math.sqrt(1 - o["betas"][1] ** t)
            p -= o["lr"] / (1 - o["betas"][0] ** t) * m / (root + o["eps"])
        else:
            v = o["alpha"] * v + (1 - o["alpha"]) * g * g
            m = o["alpha"] * m + (1 - o["alpha"]) * g if o["centered"] else 0.0
            step = g / (math.sqrt(v - m * m) + o["eps"])
            b = o["momentum"] * b + step if o["momentum"] else step
            p -= o["lr"] * b
    return p


def optimizer_steps(form, kind, params, grads, o):
    """The same through a kernel; each parameter has its own count of steps."""

    def zeros(wanted=True):
        return [np.zeros_like(p) for p in params] if wanted else None

    o = dict(o)
    buffers = [None] * len(params)
    first, second, third = (
        zeros(),
        zeros(o.get("centered", True)),
        zeros(o.pop("amsgrad", o.get("momentum"))),
    )
    for t, g in enumerate(grads, 1):
        if kind == "sgd":
            form.sgd_update(params, g, buffers, **o)
        elif kind == "adam":
            form.adam_update(params, g, first, second, third, [t] * len(params), **o)
        else:
            form.rmsprop_update(params, g, first, second, third, **o)


def options(**choices):
    return [dict(zip(choices, values)) for values in itertools.product(*choices.values())]


CASES = [
    *[
        ("sgd", o)
        for o in options(
            lr=[0.1], momentum=[0, 0.9], dampening=[0, 0.2], weight_decay=[0, 0.1],
            nesterov=[False, True], maximize=[False, True],
        )
        if not o["nesterov"] or (o["momentum"] and not o["dampening"])
    ],
    *[
        ("adam", o)
        for o in options(
            lr=[0.1], betas=[(0.8, 0.95)], eps=[1e-3], weight_decay=[0, 0.1],
            decoupled=[False, True], amsgrad=[False, True], maximize=[False, True],
        )
    ],
    *[
        ("rmsprop", o)
        for o in options(
            lr=[0.1], alpha=[0.9], eps=[1e-3], weight_decay=[0, 0.1], momentum=[0, 0.9],
            centered=[False, True], maximize=[False, True],
        )
    ],
]  # fmt: skip


@both_forms
@pytest.mark.parametrize("kind, o", CASES, ids=str)
def test_optimizers_equal_the_scalar_recurrence(form, kind, o):
    shapes = [(3, 4), (5,), (), (2, 3, 2)]
    for dtype in FLOATS:
        params = [random(i, *s).astype(dtype) for i, s in enumerate(shapes)]
        params[3] = np.asfortranarray(params[3])
        grads = [
            [random(10 * t + i, *s).astype(dtype) for i, s in enumerate(shapes)] for t in range(4)
        ]
        copies = [[g.copy() for g in step] for step in grads]
        expected = [
            np.reshape(
                [
                    optimizer_oracle(kind, float(v), [float(g[i].ravel()[k]) for g in grads], o)
                    for k, v in enumerate(p.ravel())
                ],
                p.shape,
            )
            for i, p in enumerate(params)
        ]
        homes = list(params)
        with mock.patch.object(optimizers, "PIECE", 5):
            optimizer_steps(form, kind, params, grads, o)
        assert all(a is b for a, b in zip(homes, params))
        for p, e in zip(params, expected):
            close(p, e, dtype)
        assert all(
            np.array_equal(a, b) for one, two in zip(grads, copies) for a, b in zip(one, two)
        )


# ------------------------------------------------------------------------------ machinery


def big_results():
    """One large call of every kernel that shares its work out."""
    f4 = np.float32
    x, w = random(0, 32, 8, 20, 20, dtype=f4), random(1, 32, 8, 3, 3, dtype=f4)
    gy = random(2, 32, 32, 18, 18, dtype=f4)
    a, b = random(3, 300, 400, dtype=f4), random(4, 400, 200, dtype=f4)
    y, winners = cpu.max_pool2d(gy, (2, 2), (2, 2), (0, 0), (1, 1), (9, 9))
    yield cpu.conv2d(x, w, w[:, 0, 0, 0], **PLAIN)
    yield cpu.conv2d_input(gy, w, (20, 20), **PLAIN)
    yield cpu.conv2d_weight(x, gy, (3, 3), **PLAIN)
    yield from cpu.conv2d_backward(gy, x, w, (True, True, True), **PLAIN)
    yield cpu.matmul(a, b)
    yield cpu.matmul(a, np.ascontiguousarray(b.T).T)
    yield cpu.matmul(np.stack([a] * 6), np.stack([b] * 6))
    yield y
    yield cpu.max_pool2d_scatter(y, winners, (18, 18))
    yield cpu.sum_pool2d(gy, (3, 3), (2, 2), (1, 1), (9, 9))
    yield from cpu.batch_norm(gy, None, None, 1e-5)
    yield from cpu.batch_norm_backward(gy, gy, None, gy[0, :, 0, 0], gy[1, :, 0, 0])


def digest():
    with mock.patch.multiple(pool, BLOCK=1 << 14):
        return [y.tobytes() for y in big_results()]


def test_results_do_not_depend_on_the_number_of_threads():
    with using_threads(1):
        alone = digest()
    for n in (2, 3, 5):
        with using_threads(n):
            assert digest() == alone


def test_two_threads_at_once_get_what_each_gets_alone():
    inputs = [random(s, 32, 8, 16, 16, dtype=np.float32) for s in (0, 1)]
    w = random(2, 32, 8, 3, 3, dtype=np.float32)

    def work(x):
        y = cpu.conv2d(x, w, None, **PLAIN)
        p, winners = cpu.max_pool2d(y, (2, 2), (2, 2), (0, 0), (1, 1), (7, 7))
        gy = cpu.max_pool2d_scatter(p, winners, (14, 14))
        return cpu.conv2d_weight(x, gy, (3, 3), **PLAIN).tobytes(), cpu.conv2d_input(
            gy, w, (16, 16), **PLAIN
        ).tobytes()

    with using_threads(2):
        alone = [work(x) for x in inputs]
        seen = [[], []]

        def repeat(k):
            seen[k].extend(work(inputs[k]) for _ in range(15))

        workers = [threading.Thread(target=repeat, args=(k,)) for k in (0, 1)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(60)
        assert all(
            len(results) == 15 and set(results) == {alone[k]} for k, results in enumerate(seen)
        )


def test_an_error_in_a_block_reaches_the_caller_and_the_pool_lives_on():
    def fail(item):
        if item == 3:
            raise ZeroDivisionError(item)

    with using_threads(3):
        for _ in range(20):
            with pytest.raises(ZeroDivisionError):
                threads.run(fail, range(6))
        done = []
        threads.run(done.append, range(50))
        assert sorted(done) == list(range(50))


@pytest.mark.parametrize(
    "bad, error", [(0, ValueError), (-1, ValueError), (1.5, TypeError), (True, TypeError)]
)
def test_set_num_threads_refuses(bad, error):
    before = threads.get_num_threads()
    with pytest.raises(error, match="set_num_threads"):
        threads.set_num_threads(bad)
    assert threads.get_num_threads() == before


def in_a_new_process(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    ).stdout.split()


FORK = """
import os, threading, numpy as np
from minigrad.kernels import cpu
cpu.set_num_threads(3)
r = np.random.default_rng(0)
x, w = r.standard_normal((32, 8, 20, 20)), r.standard_normal((32, 8, 3, 3))
a = r.standard_normal((600, 600))
how = dict(stride=(1, 1), padding=((0, 0), (0, 0)), dilation=(1, 1), groups=1)
work = lambda: cpu.conv2d(x, w, None, **how).tobytes() + cpu.matmul(a, a).tobytes()
before = work()
child = os.fork()
if child == 0:  # it starts with one thread, and ends with helpers of its own
    alone = threading.active_count() == 1
    os._exit(0 if work() == before and alone and threading.active_count() > 1 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), work() == before)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_keeps_working():
    assert in_a_new_process(FORK) == ["0", "True"]


MEMORY = """
import numpy as np
from minigrad.kernels import memory
kept = memory.keep_freed_memory()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 >> 20
base = resident()
arrays = [np.ones(20 << 18, np.float32) for _ in range(30)]
full = resident() - base
del arrays
freed = resident() - base
memory.trim()
print(kept, full, freed, resident() - base)
"""


@pytest.mark.skipif(memory._glibc() is None, reason="the C library is not glibc")
def test_freed_memory_is_kept_up_to_a_bound_and_not_at_all_if_asked():
    kept, full, freed, trimmed = in_a_new_process(MEMORY)
    assert kept == "True" and int(full) > 550
    assert int(freed) < 400
    assert int(trimmed) < 100
    kept, full, freed, _ = in_a_new_process(MEMORY, MINIGRAD_KEEP_MEMORY="0")
    assert kept == "False" and int(full) > 550 and int(freed) < 100


def test_environment_sets_the_threads_and_leaves_blas_alone_if_asked():
    code = (
        "from minigrad.kernels import blas, threads\n"
        "print(threads.get_num_threads(), blas.limit_blas())"
    )
    assert in_a_new_process(code, MINIGRAD_NUM_THREADS="7", MINIGRAD_BLAS_THREADS="keep") == [
        "7",
        "False",
    ]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [0, 7, blas.FEW, 5003])
@pytest.mark.parametrize(("a", "b"), [(0.5, 0.9), (-0.25, 1), (1, 0.5), (0, 2.0), (2.0, 0)])
def test_axpby_equals_the_formula_in_every_layout(dtype, size, a, b):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 3, size)).astype(dtype)
    strided = rng.standard_normal((size, 3, 2)).astype(dtype).T
    for case, target in ((x, y), (x, y.T.copy().T), (strided[0], y), (x[:, ::-1], y)):
        expected = dtype(a) * case + dtype(b) * target
        actual = target.copy(order="K")
        blas.axpby(a, case, b, actual)
        np.testing.assert_allclose(actual, expected, rtol=0, atol=8 * np.finfo(dtype).eps)
    nan = np.full((3, size), np.nan, dtype)
    blas.axpby(a, nan, b, nan_too := y.copy())
    assert np.isnan(nan_too).all()  # also where a is 0: what BLAS leaves out


def test_axpby_does_not_write_into_what_is_read_only():
    x, y = np.ones(5000), np.ones(5000)
    y.flags.writeable = False
    with pytest.raises(ValueError, match="read-only"):
        blas.axpby(2.0, x, 3.0, y)
    assert (y == 1).all()


def test_scratch_buffers_are_reused_per_thread_and_aligned():
    f4 = np.dtype(np.float32)
    a = memory.scratch("test", (10, 3), f4)
    b = memory.scratch("test", (5,), f4)
    assert np.shares_memory(a, b)
    assert a.ctypes.data % 64 == 0
    other = []
    worker = threading.Thread(target=lambda: other.append(memory.scratch("test", (5,), f4)))
    worker.start()
    worker.join()
    assert not np.shares_memory(a, other[0])


def test_get_returns_the_module_of_an_array_module():
    assert kernels.get(np) is cpu
    assert kernels.get(object()) is cuda
    assert set(cpu.__all__) - {"get_num_threads", "set_num_threads"} <= set(dir(cuda))


# -------------------------------------------------------------------------------------- relu


@both_forms
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64"])
def test_relu_equals_the_loop_in_every_layout(form, dtype):
    x = np.random.default_rng(0).integers(-9, 9, (3, 5, 70, 71)).astype(dtype)  # over a block
    if x.dtype.kind == "f":
        x[0, 0, 0, :4] = np.nan, -np.nan, np.inf, -np.inf
    zero = np.zeros((), dtype)
    for case in (x, x.swapaxes(0, 1), x.T, x[..., ::2], x[:, :0], x[0, 0, 0, 0:1].reshape(())):
        expected = [v if v > 0 or v != v else zero for v in case.reshape(-1)]
        actual = form.relu(case)
        assert actual.dtype == dtype
        assert actual.shape == case.shape
        np.testing.assert_array_equal(actual, np.array(expected, dtype).reshape(case.shape))


@both_forms
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_relu_backward_equals_the_loop(form, dtype):
    inf, nan = np.inf, np.nan
    y = np.array([[0, 1, 2, 0, 0], [3, 0, nan, inf, 5]], dtype)
    gy = np.array([[1, -2, inf, inf, nan], [nan, -3, 4, 5, -0.5]], dtype)
    expected = [[0 if v == 0 else g for v, g in zip(*row)] for row in zip(y, gy)]
    for layout in (np.ascontiguousarray, np.asfortranarray):
        actual = form.relu_backward(layout(gy), y)
        assert actual.dtype == dtype
        np.testing.assert_array_equal(actual, np.array(expected, dtype))
    one = np.array(2.0, dtype)
    assert form.relu_backward(np.broadcast_to(one, y.shape), y)[0, 1] == 2  # read-only, stride 0
