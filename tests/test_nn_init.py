"""First values (`nn.init`) and the helpers around parameters (`nn.utils`)."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import nn
from minigrad.nn import init, utils


def parameter(device, *shape, dtype=np.float32):
    return nn.Parameter(minigrad.zeros(shape, device=device, dtype=dtype))


RANDOM = {
    "uniform_": {}, "normal_": {}, "trunc_normal_": {}, "xavier_uniform_": {},
    "xavier_normal_": {}, "kaiming_uniform_": {}, "kaiming_normal_": {}, "orthogonal_": {},
    "sparse_": dict(sparsity=0.5),
}  # fmt: skip

# ---------------------------------------------------------------------------- first values


@pytest.mark.parametrize("name", RANDOM)
def test_they_fill_in_place_and_follow_the_seed(name, device):
    draws = []
    for seed, generator in ((1, None), (2, None), (1, None), (5, 1)):
        minigrad.manual_seed(seed)
        if generator is not None:
            generator = minigrad.Generator().manual_seed(generator)
        w = parameter(device, 4, 6)
        array, version = w.array, w._version[0]
        assert getattr(init, name)(w, generator=generator, **RANDOM[name]) is w
        assert w.array is array and w._version[0] > version
        assert w.requires_grad and w.is_leaf and w.dtype == np.float32
        draws.append(arr(w).tolist())
    assert draws[0] == draws[2] == draws[3] != draws[1]


def spread(tensor):
    return float(np.abs(arr(tensor)).max()), float(arr(tensor).std())


def test_bounds_and_spreads_are_the_papers(device):
    """Conv weights (out, in, 3, 3): fan_in = 9 in, fan_out = 9 out."""
    w = parameter(device, 60, 20, 3, 3)
    fan_in, fan_out = 180, 540
    cases = [
        (lambda: init.xavier_uniform_(w, gain=2.0), 2 * math.sqrt(2 / (fan_in + fan_out)), True),
        (lambda: init.xavier_normal_(w), math.sqrt(2 / (fan_in + fan_out)), False),
        (lambda: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / fan_in), True),
        (lambda: init.kaiming_uniform_(w, mode="fan_out"), math.sqrt(2 / fan_out), True),
        (lambda: init.kaiming_normal_(w, a=1.0), math.sqrt(1 / fan_in), False),
        (lambda: init.kaiming_normal_(w, nonlinearity="linear"), math.sqrt(1 / fan_in), False),
    ]
    for fill, std, bounded in cases:
        largest, actual = spread(fill())
        assert abs(actual - std) < 0.03 * std
        assert not bounded or 0.98 * math.sqrt(3) * std < largest <= math.sqrt(3) * std * 1.000001


def test_a_signal_keeps_its_size_through_many_layers():
    """What kaiming's factor is for: 30 layers of ReLU neither blow a signal up nor end it."""
    x = minigrad.randn(50, 200)
    for _ in range(30):
        x = (x @ init.kaiming_normal_(minigrad.empty(200, 200), nonlinearity="relu").T).relu()
    assert 0.2 < (x * x).mean().item() < 5


@pytest.mark.parametrize("shape", [(5, 5), (3, 7), (8, 2), (4, 3, 2, 2)])
def test_orthogonal_rows_or_columns(shape, device):
    w = arr(init.orthogonal_(parameter(device, *shape, dtype=np.float64), gain=3.0))
    w = w.reshape(shape[0], -1) / 3
    product = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
    np.testing.assert_allclose(product, np.eye(min(w.shape)), atol=1e-12)


def test_constants_identity_and_zeros(device):
    assert arr(init.constant_(parameter(device, 2), 3)).tolist() == [3, 3]
    assert arr(init.ones_(parameter(device, 2))).tolist() == [1, 1]
    assert not arr(init.zeros_(init.ones_(parameter(device, 2)))).any()
    np.testing.assert_array_equal(arr(init.eye_(parameter(device, 2, 3))), np.eye(2, 3))
    w = arr(init.sparse_(parameter(device, 10, 4), 0.25))
    assert ((w == 0).sum(axis=0) == 3).all()


@pytest.mark.parametrize("a, b", [(-2, 2), (-0.1, 0.1), (3, 4), (-9, -5), (-100, 0.5)])
def test_truncated_normal_stays_inside(a, b):
    w = arr(init.trunc_normal_(minigrad.zeros(20000, dtype=np.float64), 0.5, 1.0, a, b))
    assert w.min() >= a and w.max() <= b
    grid = np.linspace(max(a, -8), min(b, 9), 200001)  # the mean, by the midpoint rule
    density = np.exp(-((grid - 0.5) ** 2) / 2)
    mean = (grid * density).sum() / density.sum()
    assert abs(w.mean() - mean) < 6 * w.std() / math.sqrt(w.size)


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda w: init.kaiming_uniform_(minigrad.zeros(3)), ["at least two axes", "(3,)"]),
        (lambda w: init.kaiming_uniform_(w, mode="fan"), ["'fan_in' or 'fan_out'", "'fan'"]),
        (lambda w: init.kaiming_normal_(w, nonlinearity="step"), ["relu", "'step'"]),
        (lambda w: init.calculate_gain("leaky_relu", "x"), ["slope", "'x'"]),
        (lambda w: init.eye_(minigrad.zeros(3)), ["not a matrix", "(3,)"]),
        (lambda w: init.orthogonal_(minigrad.zeros(3)), ["two axes"]),
        (lambda w: init.sparse_(w, 1.5), ["0 to 1", "1.5"]),
        (lambda w: init.trunc_normal_(w, a=2, b=1), ["a < b", "a=2, b=1"]),
    ],
)
def test_bad_input_is_said(call, words):
    with pytest.raises(ValueError) as caught:
        call(minigrad.zeros(2, 2))
    for word in words:
        assert word in str(caught.value), str(caught.value)


# --------------------------------------------------------------------------------- clipping


def with_gradients(device, *gradients):
    parameters = []
    for gradient in gradients:
        p = make(device, np.zeros(np.shape(gradient)), requires_grad=True)
        p.grad = make(device, np.array(gradient, float))
        parameters.append(p)
    return parameters


@pytest.mark.parametrize("kind", [2.0, 1, 3, math.inf])
def test_clip_grad_norm(kind, device):
    rng = np.random.default_rng(0)
    values = [rng.normal(size=shape) for shape in [(3, 2), (), (4,)]]
    flat = np.concatenate([value.ravel() for value in values])
    norm = np.linalg.norm(flat, kind)
    for limit in (norm / 3, norm * 3):
        parameters = with_gradients(device, *values) + [make(device, np.ones(2), True)]
        before = [p.grad for p in parameters]
        total = utils.clip_grad_norm_(parameters, limit, kind)
        assert total.shape == () and total.device.type == device
        np.testing.assert_allclose(total.item(), norm, rtol=1e-12)
        factor = min(1, limit / (norm + 1e-6))
        for p, value, old in zip(parameters, values, before):
            np.testing.assert_allclose(arr(p.grad), value * factor, rtol=1e-12)
            np.testing.assert_array_equal(arr(old), value)  # not written into: others may hold it
        assert parameters[-1].grad is None


def test_clip_grad_norm_of_one_tensor_and_of_none(device):
    (p,) = with_gradients(device, [3.0, 4.0])
    assert utils.clip_grad_norm_(p, 1.0).item() == 5
    np.testing.assert_allclose(arr(p.grad), [0.6, 0.8], rtol=1e-6)
    assert utils.clip_grad_norm_([], 1.0).item() == 0


def test_a_norm_that_is_not_finite(device):
    parameters = with_gradients(device, [1.0, math.nan], [2.0])
    with pytest.raises(RuntimeError, match="not finite.\n.*nan"):
        utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
    assert arr(parameters[1].grad).tolist() == [2]
    assert math.isnan(utils.clip_grad_norm_(parameters, 1.0).item())
    assert np.isnan(arr(parameters[1].grad)).all()  # it shows at once, as in PyTorch


def test_clip_grad_value(device):
    (p,) = with_gradients(device, [-3.0, 0.5, 2.0])
    before = p.grad
    utils.clip_grad_value_([p], 1.0)
    assert arr(p.grad).tolist() == [-1, 0.5, 1] and arr(before).tolist() == [-3, 0.5, 2]


@pytest.mark.parametrize("limit", [-1.0, math.nan])
def test_bad_limits_are_refused(limit):
    for clip in (utils.clip_grad_norm_, utils.clip_grad_value_):
        with pytest.raises(ValueError, match=f">= 0\n.*{limit}"):
            clip([], limit)
    with pytest.raises(ValueError, match="norm_type > 0"):
        utils.clip_grad_norm_([], 1.0, norm_type=0)


def test_parameters_to_vector_and_back(device):
    layer = nn.Linear(2, 3, device=device)
    vector = utils.parameters_to_vector(layer.parameters())
    assert vector.shape == (9,)
    (vector * vector).sum().backward()
    np.testing.assert_allclose(arr(layer.bias.grad), 2 * arr(layer.bias), rtol=1e-6)
    weight = layer.weight
    values = make(device, np.arange(9, dtype=np.float32))
    utils.vector_to_parameters(values, layer.parameters())
    assert layer.weight is weight and arr(weight).tolist() == [[0, 1], [2, 3], [4, 5]]
    values.fill_(0)
    assert arr(layer.bias).tolist() == [6, 7, 8]
    with pytest.raises(ValueError, match=r"shape \(9,\)\n.*shape \(8,\)"):
        utils.vector_to_parameters(values[:8], layer.parameters())
