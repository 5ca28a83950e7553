"""Uniform quantization and integer arithmetic, against loops, int64 products and small cases."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
from minigrad import nn, optim
from minigrad.compress import attach_masks, share_weights
from minigrad.compress import int8 as I
from minigrad.compress import quantize as Q
from minigrad.gradcheck import gradcheck

# --------------------------------------------------------------------------- rounding to a grid

values = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=4),
    elements=st.floats(-10, 10, width=32),
)


@given(values, st.integers(2, 8), st.booleans(), st.booleans())
@pytest.mark.cpu_only
def test_error_is_at_most_half_a_step(x, bits, symmetric, per_axis):
    found = Q.quantize_tensor(
        minigrad.tensor(x), bits, symmetric=symmetric, axis=0 if per_axis else None
    )
    error = np.abs(found.dequantize().numpy() - x)
    half = 0.5 * found.scale * (1 + 1e-6)
    # An affine grid is shifted by up to half a step, for 0 must be on it: then the ends are cut.
    assert (error <= half * (1 if symmetric else 2)).all()
    assert found.q.dtype == (np.int8 if symmetric else np.uint8)
    q = found.q.astype(int)
    if symmetric:
        assert abs(q).max() <= 2 ** (bits - 1) - 1
    else:
        assert q.min() >= 0 and q.max() <= 2**bits - 1
    assert (found.dequantize().numpy()[x == 0] == 0).all()
    assert np.unique(found.dequantize().numpy()[:1]).size <= 2**bits


@given(values, st.integers(2, 8), st.booleans())
@pytest.mark.cpu_only
def test_quantize_is_the_formula_entry_by_entry(x, bits, symmetric):
    found = Q.quantize_tensor(minigrad.tensor(x), bits, symmetric=symmetric)
    low = min(0.0, x.min())
    high = max(0.0, x.max())
    if symmetric:
        top = 2 ** (bits - 1) - 1
        scale, zero = max(-low, high) / top, 0
        bottom = -top
    else:
        bottom, top = 0, 2**bits - 1
        scale = (high - low) / top
        zero = min(max(round(-low / scale), 0), top) if scale > 1e-300 else 0
    scale = scale if scale > 1e-300 else 1.0
    assert found.scale == pytest.approx(scale) and found.zero_point == zero
    expected = [min(max(round(v / float(found.scale)) + zero, bottom), top) for v in x.ravel()]
    assert found.q.ravel().tolist() == expected


def test_channels_have_their_own_scale(device):
    x = np.array([[1.0, -2.2, 4.0], [100.0, -48.0, 25.0]], np.float32)
    found = Q.quantize_tensor(make(device, x), 4, axis=0)
    np.testing.assert_allclose(found.scale.ravel(), [4 / 7, 100 / 7], rtol=1e-6)
    assert found.q.tolist() == [[2, -4, 7], [7, -3, 2]]  # 1.75, -3.85, 7; 7, -3.36, 1.75
    last = Q.quantize_tensor(make(device, x), 4, axis=-1)
    assert last.scale.shape == (1, 3)


@pytest.mark.parametrize("bits", [1, 9, 0, -3, 4.0, True, None])
def test_bits_out_of_range(bits):
    model = nn.Linear(2, 2)
    for function in (Q.quantize_weights, Q.quantization_aware):
        with pytest.raises(ValueError, match=r"bits is out of range.*\n.*from 2 to 8"):
            function(model, bits)
    with pytest.raises(ValueError, match="from 2 to 8"):
        Q.quantize_tensor(minigrad.ones(2), bits)
    assert list(dict(model.named_parameters())) == ["weight", "bias"]  # nothing was changed


def test_other_bad_input():
    with pytest.raises(ValueError, match="NaN or infinity"):
        Q.quantize_tensor(minigrad.tensor([1.0, float("inf")]))
    with pytest.raises(TypeError, match="only floating"):
        Q.quantize_tensor(minigrad.tensor([1, 2]))
    with pytest.raises(ValueError, match="no such axis"):
        Q.quantize_tensor(minigrad.ones(2, 2), axis=2)
    with pytest.raises(ValueError, match="computed in this way"):
        Q.finish_quantization(nn.Linear(2, 2))


def test_weights_of_a_model_are_rounded_and_biases_are_not(device):
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).to(device)
    before = model.state_dict()
    found = Q.quantize_weights(model, {"0.weight": 2, "2.weight": 3})
    after = model.state_dict()
    assert set(np.sign(arr(after["0.weight"])).ravel()) == {-1, 0, 1}
    assert np.unique(arr(after["0.weight"])).size == 3  # 2 bits: -s, 0, s
    assert np.unique(arr(after["2.weight"])).size <= 7
    for name in ("0.weight", "2.weight"):
        np.testing.assert_array_equal(arr(after[name]), found[name].dequantize().numpy())
        assert after[name].dtype == before[name].dtype
    np.testing.assert_array_equal(arr(after["0.bias"]), arr(before["0.bias"]))


# ----------------------------------------------------------------------------- straight through


def test_straight_through_is_the_ramp_inside_and_flat_where_clipped(device):
    x = make(device, np.array([-3.0, -0.6, 0.2, 0.9, 5.0], np.float32), requires_grad=True)
    y = Q.FakeQuantize.apply(x, scale=0.5, zero_point=0, low=-2, high=2)
    assert arr(y.detach()).tolist() == [-1.0, -0.5, 0.0, 1.0, 1.0]
    (y * make(device, np.array([1.0, 2, 3, 4, 5], np.float32))).sum().backward()
    assert arr(x.grad).tolist() == [0, 2, 3, 4, 0]


@pytest.mark.cpu_only
def test_of_very_fine_stairs_the_estimate_is_the_derivative():
    x = minigrad.tensor(np.random.default_rng(0).normal(size=12), requires_grad=True)
    fine = dict(scale=2.0**-40, zero_point=3, low=-(2**40), high=2**40)
    assert gradcheck(lambda x: Q.FakeQuantize.apply(x, **fine), (x,))


@pytest.mark.parametrize("per_channel", [False, True])
def test_training_moves_the_weights_behind(device, per_channel):
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
    x = make(device, np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    target = (x[:, :2] * x[:, 2:4]).detach()

    def train(model, steps):
        optimizer = optim.Adam(model.parameters(), lr=0.01)
        for step in range(steps):
            optimizer.param_groups[0]["lr"] = 0.01 * (1 - step / steps)
            loss = (model(x) - target).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return (model(x) - target).square().mean().item()

    exact = train(model, 150)
    rounded = copy.deepcopy(model)
    Q.quantize_weights(rounded, 3, per_channel=per_channel)
    without = (rounded(x) - target).square().mean().item()
    Q.quantization_aware(model, 3, per_channel=per_channel)
    assert set(dict(model.named_parameters())) == {
        "0.weight_orig", "0.bias", "2.weight_orig", "2.bias",
    }  # fmt: skip
    model(x)  # which leaves no graph behind: the model can be copied,
    with_training = train(copy.deepcopy(model), 150)  # and the copy trains by itself
    assert (model(x) - target).square().mean().item() == pytest.approx(without, rel=1e-4)
    train(model, 150)
    y = arr(model(x).detach())
    Q.finish_quantization(model)
    assert list(dict(model.named_parameters())) and "0.weight" in model.state_dict()
    np.testing.assert_array_equal(arr(model(x).detach()), y)
    rows = arr(model[0].weight.detach()) if per_channel else [arr(model[0].weight.detach())]
    assert all(np.unique(row).size <= 7 for row in rows)
    assert exact < with_training < 0.7 * without


def test_weights_that_are_computed_or_tied_are_refused():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    Q.quantization_aware(model, 4)
    for again in (Q.quantization_aware, share_weights):
        with pytest.raises(ValueError, match=r"'0.weight_orig'.*already"):
            again(model, 4)
    Q.finish_quantization(model)
    share_weights(model, 4)
    with pytest.raises(ValueError, match="no weight to work on"):
        Q.quantization_aware(model, 4)
    with pytest.raises(ValueError, match=r"'1.weight_centroids'.*already"):
        Q.quantization_aware(model, 4, names=["1.weight_centroids"])
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight
    with pytest.raises(ValueError, match="two layers use"):
        Q.quantization_aware(tied, 4)
    assert len(list(tied.parameters())) == 3
    attach_masks(tied[:1], {"0.weight": tied[0].weight > 0})
    with pytest.raises(ValueError, match="prune.remove"):
        Q.quantization_aware(tied[:1], 4)


# ---------------------------------------------------------------------------- exact integers


@given(st.data())
@pytest.mark.cpu_only
def test_integer_product_is_exact(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    M, N = data.draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
    K = data.draw(st.sampled_from([0, 1, 7, 513, 1023, 1024, 1025, 2500]))
    kinds = [data.draw(st.sampled_from([np.int8, np.uint8])) for _ in range(2)]
    extreme = data.draw(st.booleans())

    def draw(kind, shape):
        info = np.iinfo(kind)
        if extreme:  # all as large as they get, the worst case for float32
            return np.full(shape, info.min or info.max, kind)
        return rng.integers(info.min, info.max, shape, dtype=kind, endpoint=True)

    a, b = draw(kinds[0], (M, K)), draw(kinds[1], (K, N))
    y = I.int8_matmul(a, b)
    assert y.dtype == np.int32
    np.testing.assert_array_equal(y, a.astype(np.int64) @ b.astype(np.int64))


@pytest.mark.cpu_only
def test_one_float32_product_would_not_be_exact():
    K = 4097  # 16 million and something: an odd sum above 2**24
    a, b = np.full((1, K), 127, np.int8), np.full((K, 1), 127, np.int8)
    naive = int((a.astype(np.float32) @ b.astype(np.float32))[0, 0])
    assert naive != 127 * 127 * K == I.int8_matmul(a, b)[0, 0]


@pytest.mark.cpu_only
def test_integer_product_refuses():
    a = np.zeros((2, 3), np.int8)
    with pytest.raises(TypeError, match="not 8-bit"):
        I.int8_matmul(a, a.T.astype(np.int16))
    with pytest.raises(ValueError, match="shapes do not fit"):
        I.int8_matmul(a, a)
    long = np.zeros((1, 131_072), np.int8)
    with pytest.raises(ValueError, match="overflow 32 bits"):
        I.int8_matmul(long, long.T)


CONVOLUTIONS = [
    dict(in_channels=3, out_channels=4, kernel_size=3, padding=1),
    dict(in_channels=4, out_channels=6, kernel_size=(2, 3), stride=2, groups=2, bias=False),
    dict(in_channels=60, out_channels=2, kernel_size=5, padding="same"),  # two blocks of channels
    dict(in_channels=2, out_channels=2, kernel_size=2, dilation=2, padding=(1, 2)),
]


@pytest.mark.parametrize("options", CONVOLUTIONS)
def test_integer_convolution_is_exact(device, options):
    rng = np.random.default_rng(0)
    layer = nn.Conv2d(**options)
    layer.weight.data.copy_(minigrad.tensor(np.full(layer.weight.shape, 1.0)))
    int8 = I.Int8Conv2d(layer.to(device))
    images = rng.integers(-127, 127, (2, options["in_channels"], 6, 7), endpoint=True)
    codes = rng.integers(-127, 127, layer.weight.shape, endpoint=True)
    if options["in_channels"] == 60:
        images, codes = np.full_like(images, 127), np.full_like(codes, 127)
    int8.weight_q = make(device, codes.astype(np.int8))
    found = int8.integer_convolution(make(device, images.astype(np.int8)).array)
    assert found.dtype == np.int32
    # The oracle: the layer itself in float64, which holds integers up to 2**53.
    exact = nn.Conv2d(**options).double()
    exact.weight.data = minigrad.tensor(codes, dtype=minigrad.float64)
    if exact.bias is not None:
        exact.bias.data.zero_()
    expected = exact(minigrad.tensor(images, dtype=minigrad.float64)).detach().numpy()
    np.testing.assert_array_equal(arr(found), expected)


def test_int8_model_is_close_smaller_and_computes_in_integers(device):
    minigrad.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 30), nn.ReLU(), nn.Linear(30, 4)
    ).to(device)  # fmt: skip
    int8 = I.int8_model(model)
    x = make(device, np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32))
    y, y8 = arr(model(x).detach()), arr(int8(x))
    assert 0 < np.abs(y8 - y).max() < 0.03 * np.abs(y).max()
    assert y8.dtype == np.float32

    def nbytes(model):
        return sum(t.array.nbytes for t in model.state_dict().values())

    assert nbytes(int8) < 0.3 * nbytes(model)
    again = I.int8_model(nn.Sequential(*[copy.deepcopy(m) for m in model]))
    again.load_state_dict(int8.state_dict())
    np.testing.assert_array_equal(arr(again(x)), y8)
    # The layer's formula, in int64 and float64.
    layer, h = int8[3], np.abs(np.random.default_rng(1).normal(size=(3, 288)).astype(np.float32))
    s = np.float32(h.max() / 127)
    q = np.rint(h / s).astype(np.int64)
    expected = (q @ arr(layer.weight_q).astype(np.int64).T) * (arr(layer.scale) * np.float64(s))
    np.testing.assert_allclose(arr(layer(make(device, h))), expected + arr(layer.bias), rtol=1e-4)


def test_layers_in_lists_and_shared_layers():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.layers = [self.first, nn.Linear(4, 4)]
            self.named = {"out": nn.Linear(4, 2)}

        def forward(self, x):
            for layer in self.layers:
                x = layer(x)
            return self.named["out"](x)

    int8 = I.int8_model(Net())
    assert int8.layers[0] is int8.first
    kinds = [type(m) for m in int8.modules() if m is not int8]
    assert kinds == [I.Int8Linear] * 3
    assert int8(minigrad.ones(2, 4)).shape == (2, 2)


def test_int8_refuses():
    with pytest.raises(ValueError, match="no Linear and no Conv2d"):
        I.int8_model(nn.Sequential(nn.ReLU()))
    with pytest.raises(ValueError, match="zeros only"):
        I.int8_model(nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"))
    with pytest.raises(ValueError, match="too large for exact"):
        I.int8_model(nn.Conv2d(1, 1, 33))
    int8 = I.int8_model(nn.Linear(2, 2))
    with pytest.raises(RuntimeError, match="for inference"):
        int8(minigrad.ones(1, 2, requires_grad=True))
    with pytest.raises(ValueError, match="input holds NaN"):
        int8(minigrad.tensor([[1.0, float("nan")]]))
    assert int8(minigrad.zeros(0, 2)).shape == (0, 2)
    np.testing.assert_allclose(int8(minigrad.zeros(1, 2)).numpy()[0], int8.bias.numpy())


@pytest.mark.parametrize("axis", [0.5, 2, -3, True, "0"])
def test_an_axis_that_is_none(axis):
    with pytest.raises(ValueError, match="quantize_tensor: there is no such axis"):
        Q.quantize_tensor(minigrad.randn(3, 4), axis=axis)


@pytest.mark.parametrize("x", [[1.0, 2.0], np.ones(3), None])
def test_only_tensors_are_quantized(x):
    with pytest.raises(TypeError, match="quantize_tensor: not a tensor"):
        Q.quantize_tensor(x)
