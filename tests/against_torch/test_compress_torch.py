"""Fake quantization beside PyTorch's: values and straight-through gradients."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad.compress import quantize as Q

torch = pytest.importorskip("torch")


@given(st.integers(0, 2**32), st.floats(0.01, 2), st.integers(-20, 20), st.integers(2, 8))
def test_fake_quantize_per_tensor(seed, scale, zero_point, bits):
    rng = np.random.default_rng(seed)
    x, g = rng.normal(scale=5, size=(2, 30)).astype(np.float32)
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    zero_point = int(np.clip(zero_point, low, high))
    xt = torch.tensor(x, requires_grad=True)
    yt = torch.fake_quantize_per_tensor_affine(xt, scale, zero_point, low, high)
    yt.backward(torch.tensor(g))
    xm = minigrad.tensor(x, requires_grad=True)
    ym = Q.FakeQuantize.apply(
        xm, scale=np.float32(scale), zero_point=zero_point, low=low, high=high
    )
    ym.backward(minigrad.tensor(g))
    # PyTorch multiplies by 1 / scale: where x / scale ends in .5, either neighbour may come.
    tie = np.abs(np.abs(x / scale % 1) - 0.5) < 1e-4
    np.testing.assert_allclose(ym.detach().numpy()[~tie], yt.detach().numpy()[~tie], rtol=1e-5)
    np.testing.assert_array_equal(xm.grad.numpy()[~tie], xt.grad.numpy()[~tie])


@given(st.integers(0, 2**32))
def test_fake_quantize_per_channel(seed):
    x = np.random.default_rng(seed).normal(size=(4, 7)).astype(np.float32)
    found = Q.quantize_tensor(minigrad.tensor(x), 8, axis=0)
    expected = torch.fake_quantize_per_channel_affine(
        torch.tensor(x),
        torch.tensor(found.scale.ravel()),
        torch.zeros(4, dtype=torch.int32),
        0,
        -127,
        127,
    )
    tie = np.abs(np.abs(x / found.scale % 1) - 0.5) < 1e-3
    np.testing.assert_allclose(found.dequantize().numpy()[~tie], expected.numpy()[~tie], rtol=1e-5)
