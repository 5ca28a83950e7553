"""The layers without PyTorch: gradients, what options mean, chance, statistics, and refusals.

``tests/against_torch/test_nn_torch.py`` compares every option with PyTorch; here stands what is
known without it: finite differences to order 2, formulas computed by hand, and the errors.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import nn
from minigrad.functions.norm import batch_norm_simple
from minigrad.gradcheck import gradcheck
from minigrad.nn import functional as F


def normal(device, *shape, seed=0, requires_grad=True):
    values = np.random.default_rng(seed).normal(size=shape)
    return make(device, values, requires_grad)


def check(layer, *inputs, order=2, **options):
    """Check a layer's gradients with respect to its inputs and its parameters."""
    parameters = list(layer.parameters())
    count = len(inputs)
    gradcheck(lambda *xs: layer(*xs[:count]), [*inputs, *parameters], order=order, **options)


LAYERS = [
    (lambda **k: nn.Linear(3, 2, **k), (4, 3)),
    (lambda **k: nn.Linear(3, 2, bias=False, **k), (2, 2, 3)),
    (lambda **k: nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2, **k), (2, 2, 5, 4)),
    (lambda **k: nn.Conv2d(1, 2, (2, 3), padding="same", dilation=(1, 2), **k), (2, 1, 4, 5)),
    (lambda **k: nn.Conv2d(1, 1, 2, padding=1, padding_mode="circular", **k), (1, 3, 4)),
    (lambda **k: nn.Conv2d(1, 1, 2, padding=1, padding_mode="reflect", **k), (1, 1, 3, 3)),
    (lambda **k: nn.ConvTranspose2d(2, 2, 3, 2, 1, 1, groups=2, **k), (1, 2, 3, 2)),
    (lambda **k: nn.ConvTranspose2d(1, 1, 2, 1, 0, 2, dilation=3, **k), (1, 1, 3, 2)),
    (lambda **k: nn.MaxPool2d(2, stride=1, padding=1), (2, 2, 3, 4)),
    (lambda **k: nn.AvgPool2d(3, stride=2, padding=1, ceil_mode=True), (1, 2, 4, 5)),
    (lambda **k: nn.AdaptiveAvgPool2d((2, 3)), (2, 1, 5, 4)),
    (lambda **k: nn.BatchNorm1d(3, **k), (5, 3)),
    (lambda **k: nn.BatchNorm2d(2, **k), (3, 2, 2, 2)),
    (lambda **k: nn.BatchNorm2d(2, affine=False, track_running_stats=False), (3, 2, 2, 2)),
    (lambda **k: nn.BatchNorm1d(3, **k).eval(), (2, 3, 2)),
    (lambda **k: nn.ReLU(), (3, 4)),
    (lambda **k: nn.LeakyReLU(0.2), (3, 4)),
    (lambda **k: nn.Sigmoid(), (3, 4)),
    (lambda **k: nn.Tanh(), (3, 4)),
    (lambda **k: nn.Softplus(2.0), (3, 4)),
    (lambda **k: nn.Softmax(dim=1), (3, 4)),
    (lambda **k: nn.LogSoftmax(dim=-1), (3, 4)),
    (lambda **k: nn.Flatten(), (2, 3, 2)),
    (lambda **k: nn.Unflatten(1, (2, 2)), (3, 4)),
    (lambda **k: nn.Identity(1, any_option=2), (3,)),
]
NAMES = [f"{i}-{type(make_layer()).__name__}" for i, (make_layer, _) in enumerate(LAYERS)]


@pytest.mark.parametrize("make_layer, shape", LAYERS, ids=NAMES)
def test_gradients_to_second_order(make_layer, shape, device):
    layer = make_layer(device=device, dtype=minigrad.float64)
    check(layer, normal(device, *shape))


@pytest.mark.parametrize("make_layer, shape", LAYERS, ids=NAMES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_dtype_and_device_are_kept(make_layer, shape, dtype, device):
    layer = make_layer(device=device, dtype=dtype)
    x = normal(device, *shape).detach().to(dtype).requires_grad_()
    y = layer(x)
    (y * y).sum().backward()
    for tensor in (y, x.grad, *[p.grad for p in layer.parameters()]):
        assert tensor.dtype == dtype and tensor.device.type == device


@pytest.mark.parametrize("make_layer, shape", LAYERS, ids=NAMES)
def test_an_empty_batch_passes_or_is_refused(make_layer, shape):
    layer = make_layer()
    x = minigrad.zeros((0, *shape[1:]), requires_grad=True)
    if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)) and layer.training:
        with pytest.raises(ValueError, match="an empty batch.\n.*at least 2 values"):
            layer(x)
        return
    if x.ndim == 3 and isinstance(layer, nn.Conv2d):
        return  # one image without channels, not an empty batch
    y = layer(x)
    y.sum().backward()
    assert 0 in y.shape and x.grad.shape == x.shape


def test_the_same_seed_gives_the_same_layers_on_every_device(device):
    states = []
    for where in ("cpu", device):
        minigrad.manual_seed(3)
        net = nn.Sequential(nn.Conv2d(1, 2, 3, device=where), nn.Linear(3, 4, device=where))
        states.append([arr(value) for value in net.state_dict().values()])
    for a, b in zip(*states):
        np.testing.assert_array_equal(a, b)


# ----------------------------------------------------------------------- values known by hand


@pytest.mark.parametrize(
    "layer, x, y",
    [
        (nn.ReLU(), [-1.0, 0.0, 2.0], [0.0, 0.0, 2.0]),
        (nn.LeakyReLU(0.5), [-1.0, 0.0, 2.0], [-0.5, 0.0, 2.0]),
        (nn.Sigmoid(), [0.0, math.log(3), -1e4], [0.5, 0.75, 0.0]),
        (nn.Tanh(), [0.0, math.atanh(0.5), 1e4], [0.0, 0.5, 1.0]),
        (nn.Softplus(2.0), [0.0, 0.5], [math.log(2) / 2, math.log(1 + math.e) / 2]),
        (nn.Softplus(1.0, threshold=3), [4.0, -1e4], [4.0, 0.0]),
        (nn.Softmax(0), [0.0, math.log(3)], [0.25, 0.75]),
        (nn.LogSoftmax(0), [0.0, math.log(3)], [math.log(0.25), math.log(0.75)]),
        (nn.MaxPool2d(2), [[[1.0, 2, 3, 0], [4, 0, 0, 5]]], [[[4.0, 5]]]),
        (nn.MaxPool2d((1, 2), stride=1), [[[1.0, 2, 3, 0]]], [[[2.0, 3, 3]]]),
        (nn.AvgPool2d(2), [[[1.0, 2, 3, 0], [4, 1, 0, 5]]], [[[2.0, 2]]]),
        (nn.AdaptiveAvgPool2d((1, 2)), [[[1.0, 2, 6]]], [[[1.5, 4]]]),
        (nn.Flatten(0), [[1.0, 2], [3, 4]], [1.0, 2, 3, 4]),
        (nn.Unflatten(0, (2, -1)), [1.0, 2, 3, 4], [[1.0, 2], [3, 4]]),
    ],
    ids=repr,
)
def test_values(layer, x, y, device):
    np.testing.assert_allclose(arr(layer(make(device, np.array(x)))), y, atol=1e-12)


def test_the_derivative_of_leaky_relu_at_zero_is_the_slope(device):
    x = make(device, np.zeros(1), requires_grad=True)
    nn.LeakyReLU(0.5)(x).sum().backward()
    assert x.grad.item() == 0.5


def test_linear_and_convolutions_of_ones(device):
    """Ones summed: as many as each output meets."""
    layers = [
        (nn.Linear(3, 2, bias=False, device=device), (1, 3), [[3, 3]]),
        (nn.Conv2d(2, 1, (1, 2), bias=False, device=device), (2, 1, 3), [[[4, 4]]]),
        (nn.Conv2d(1, 1, 3, padding=1, bias=False, device=device), (1, 1, 3), [[[2, 3, 2]]]),
        (nn.ConvTranspose2d(1, 1, (1, 2), bias=False, device=device), (1, 1, 2), [[[1, 2, 1]]]),
    ]
    for layer, shape, expected in layers:
        layer.weight.data.fill_(1)
        assert arr(layer(minigrad.ones(shape, device=device))).tolist() == expected
    assert nn.Conv2d(1, 2, (3, 5)).weight.shape == (2, 1, 3, 5)
    assert nn.ConvTranspose2d(4, 6, (3, 5), groups=2).weight.shape == (4, 3, 3, 5)


@pytest.mark.parametrize(
    "layer, fan_in",
    [
        (nn.Linear(100, 300), 100),
        (nn.Conv2d(8, 60, 5, groups=2), 100),
        (nn.ConvTranspose2d(60, 8, 5, groups=2), 100),
    ],
)
def test_first_values_are_uniform_within_one_over_the_root_of_fan_in(layer, fan_in):
    bound = 1 / math.sqrt(fan_in)
    weight, bias = arr(layer.weight), arr(layer.bias)
    assert 0.99 * bound < abs(weight).max() <= bound
    assert abs(weight.std() - bound / math.sqrt(3)) < 0.02 * bound
    assert 0.3 * bound < abs(bias).max() <= bound


# ------------------------------------------------------------------------------- convolution


def test_the_transposed_convolution_is_the_adjoint(device):
    """<conv(x), y> = <x, conv_transpose(y)>, which defines it."""
    x, y = normal(device, 2, 2, 7, 8), normal(device, 2, 6, 4, 2, seed=1)
    w = normal(device, 6, 1, 3, 2, seed=2)
    how = dict(stride=(2, 3), padding=(1, 0), dilation=(1, 2), groups=2)
    left = (F.conv2d(x, w, **how) * y).sum()
    right = (x * F.conv_transpose2d(y, w, output_padding=(0, 2), **how)).sum()
    np.testing.assert_allclose(left.item(), right.item(), rtol=1e-12)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_pad_first(mode, device):
    layer = nn.Conv2d(2, 3, 3, padding=(2, 1), padding_mode=mode, device=device)
    x = make(device, np.random.default_rng(0).normal(size=(1, 2, 4, 5)).astype(np.float32))
    padded = F.pad(x, (1, 1, 2, 2), mode=mode)
    expected = F.conv2d(padded, layer.weight, layer.bias)
    np.testing.assert_array_equal(arr(layer(x)), arr(expected))


def test_same_keeps_the_size():
    x = minigrad.zeros(1, 1, 6, 7)
    for kernel, dilation in [(1, 1), (2, 1), (3, 2), ((4, 3), 3)]:
        assert nn.Conv2d(1, 1, kernel, padding="same", dilation=dilation)(x).shape == x.shape
    assert nn.Conv2d(1, 1, 3, padding="valid")(x).shape == (1, 1, 4, 5)


# ------------------------------------------------------------------------------- batch norm


def test_fused_batch_norm_agrees_with_the_simple_one(device):
    """In value, first and second derivatives."""
    inputs = [normal(device, 4, 3, 2, 2), normal(device, 3, seed=1), normal(device, 3, seed=2)]
    upstream = normal(device, 4, 3, 2, 2, seed=3, requires_grad=False)

    def derivatives(function):
        y = function(*inputs)
        first = minigrad.autograd.grad(y, inputs, upstream, create_graph=True)
        second = minigrad.autograd.grad(sum([(g * g).sum() for g in first]), inputs[:2])
        return [y, *first, *second]  # (the bias takes no part in the gradients)

    fused = derivatives(lambda x, w, b: F.batch_norm(x, None, None, w, b, training=True))
    for a, b in zip(fused, derivatives(batch_norm_simple)):
        np.testing.assert_allclose(arr(a), arr(b), atol=1e-10)
    # without create_graph the first derivatives come from the kernel
    y = F.batch_norm(inputs[0], None, None, *inputs[1:], training=True)
    for a, b in zip(minigrad.autograd.grad(y, inputs, upstream), fused[1:4]):
        np.testing.assert_allclose(arr(a), arr(b), atol=1e-10)


def test_batch_norm_normalises(device):
    x = make(device, np.random.default_rng(0).normal(3, 5, (50, 2, 4, 4)))
    layer = nn.BatchNorm2d(2, eps=0, dtype=np.float64, device=device)
    y = arr(layer(x))
    np.testing.assert_allclose(y.mean(axis=(0, 2, 3)), 0, atol=1e-12)
    np.testing.assert_allclose(y.std(axis=(0, 2, 3)), 1, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.1, 1.0, None])
def test_running_statistics(momentum, device):
    """By the formulas; also under no_grad; and used in evaluation, which changes them no more."""
    layer = nn.BatchNorm1d(2, momentum=momentum, dtype=np.float64, device=device)
    mean, var = np.zeros(2), np.ones(2)
    for step in range(3):
        x = np.random.default_rng(step).normal(step, 2, (5, 2))
        m = 1 / (step + 1) if momentum is None else momentum
        mean = (1 - m) * mean + m * x.mean(axis=0)
        var = (1 - m) * var + m * x.var(axis=0, ddof=1)
        with minigrad.no_grad():
            layer(make(device, x))
    np.testing.assert_allclose(arr(layer.running_mean), mean, rtol=1e-12)
    np.testing.assert_allclose(arr(layer.running_var), var, rtol=1e-12)
    assert layer.num_batches_tracked.item() == 3
    x = np.random.default_rng(9).normal(size=(1, 2))
    y = layer.eval()(make(device, x))
    np.testing.assert_allclose(arr(y), (x - mean) / np.sqrt(var + layer.eps), rtol=1e-12)
    np.testing.assert_allclose(arr(layer.running_mean), mean, rtol=1e-12)
    layer.reset_running_stats()
    assert layer.num_batches_tracked.item() == 0 and arr(layer.running_var).tolist() == [1, 1]


def test_the_graph_of_an_evaluation_survives_a_training_step():
    layer = nn.BatchNorm1d(2).eval()
    x = minigrad.ones(3, 2, requires_grad=True)
    y = layer(x).sum()
    layer.train()(minigrad.arange(4.0).reshape(2, 2))
    y.backward()
    np.testing.assert_allclose(arr(x.grad), 1, rtol=1e-4)


def test_batch_norm_with_one_of_weight_and_bias(device):
    x, w = normal(device, 4, 3), normal(device, 3, seed=1)
    for training in (True, False):
        stats = (None, None) if training else (make(device, np.ones(3)), make(device, np.ones(3)))
        plain = F.batch_norm(x, *stats, training=training)
        scaled = F.batch_norm(x, *stats, weight=w, training=training)
        shifted = F.batch_norm(x, *stats, bias=w, training=training)
        np.testing.assert_allclose(arr(scaled), arr(plain * w), atol=1e-12)
        np.testing.assert_allclose(arr(shifted), arr(plain + w), atol=1e-12)
        gradcheck(lambda x, w, s=stats, t=training: F.batch_norm(x, *s, bias=w, training=t), [x, w])


# ---------------------------------------------------------------------------------- dropout


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_dropout_keeps_the_mean(p, device):
    x = make(device, np.ones((200, 500)), requires_grad=True)
    layer = nn.Dropout(p)
    y = layer(x)
    values = arr(y)
    assert set(np.unique(values.round(6))) == {0, round(1 / (1 - p), 6)}
    spread = math.sqrt(p / (1 - p) / values.size)
    assert abs(values.mean() - 1) < 6 * spread
    rows = values.mean(axis=1)  # rows are independent: their means scatter as they should
    assert 0.7 < rows.std() / (spread * math.sqrt(200)) < 1.3
    y.sum().backward()
    np.testing.assert_array_equal(arr(x.grad), values)
    assert not np.array_equal(arr(layer(x)), values)
    assert layer.eval()(x) is x


def test_dropout_of_everything_and_nothing(device):
    x = make(device, np.ones(9), requires_grad=True)
    y = F.dropout(x, 1.0)
    y.sum().backward()
    assert not arr(y).any() and not arr(x.grad).any()
    assert F.dropout(x, 0.0) is x and F.dropout(x, training=False) is x


def test_dropout_is_seeded(device):
    x, draws = make(device, np.ones(50)), []
    for seed in (1, 2, 1):
        minigrad.manual_seed(seed)
        draws.append(arr(F.dropout(x)).tolist())
    assert draws[0] == draws[2] != draws[1]
    generators = [minigrad.Generator().manual_seed(4) for _ in range(2)]
    a, b = [arr(F.dropout(x, generator=g)).tolist() for g in generators]
    assert a == b


def test_dropout_has_a_gradient_to_second_order(device):
    def function(x):
        return F.dropout(x, 0.4, generator=minigrad.Generator().manual_seed(0)) * x

    gradcheck(function, normal(device, 5, 4), order=2)


def test_dropout2d_drops_whole_channels(device):
    y = arr(nn.Dropout2d(0.5)(make(device, np.ones((20, 30, 3, 2)))))
    assert (y == y[:, :, :1, :1]).all() and set(np.unique(y)) == {0, 2}
    assert 0.4 < (y == 0).mean() < 0.6


# ------------------------------------------------------------------------- functions without


def test_one_hot(device):
    labels = make(device, np.array([[0, 2], [1, 0]]))
    rows = F.one_hot(labels, 4)
    assert rows.dtype == np.int64 and rows.shape == (2, 2, 4)
    np.testing.assert_array_equal(arr(rows), np.eye(4)[[[0, 2], [1, 0]]])
    assert F.one_hot(labels).shape == (2, 2, 3)
    assert F.one_hot(minigrad.zeros(0, dtype=np.int64), 3).shape == (0, 3)


def test_normalize_gives_unit_rows(device):
    y = F.normalize(normal(device, 3, 4), dim=1)
    np.testing.assert_allclose((arr(y) ** 2).sum(axis=1), 1, rtol=1e-12)


# ------------------------------------------------------------------------------- bad inputs


def ones(*shape):
    return minigrad.ones(*shape)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: nn.Linear(3, 2)(ones(4, 5)), ValueError, ["linear", "(..., 3)", "(4, 5)"]),
        (lambda: nn.Linear(3, 2)(ones(4, 3).double()), TypeError, ["float32", "float64", ".to("]),
        (lambda: nn.Linear(-1, 2), ValueError, ["in_features", "from 0 on", "-1"]),
        (lambda: nn.Linear(2.5, 2), ValueError, ["in_features", "an integer", "2.5"]),
        (lambda: nn.Conv2d(3, 4, 3)(ones(1, 2, 8, 8)), ValueError, ["channels", "3 input", "2 in"]),
        (lambda: nn.Conv2d(1, 1, 5)(ones(1, 1, 4, 4)), ValueError,
         ["kernel is larger than its padded input", "[4, 4]", "[5, 5]", "padding"]),
        (lambda: nn.Conv2d(1, 1, 3)(ones(4, 4)), ValueError, ["(N, C, H, W)", "(4, 4)"]),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, ["groups", "in_channels=3"]),
        (lambda: nn.Conv2d(0, 4, 3), ValueError, ["in_channels", "from 1 on", "0"]),
        (lambda: nn.Conv2d(1, 1, 0), ValueError, ["kernel_size", "from 1 on", "0"]),
        (lambda: nn.Conv2d(1, 1, 3, stride=(1, 2, 3)), ValueError, ["stride", "pair"]),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), ValueError, ["padding", "from 0 on"]),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), ValueError, ["'same' or 'valid'", "'full'"]),
        (lambda: nn.Conv2d(1, 1, 3, 2, "same"), ValueError, ["'same' needs a stride of 1"]),
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="mirror"), ValueError, ["'reflect'", "'mirror'"]),
        (lambda: nn.Conv2d(1, 1, 3, padding=4, padding_mode="reflect")(ones(1, 1, 3, 9)),
         ValueError, ["reflect", "widths from 0 to 2"]),
        (lambda: nn.ConvTranspose2d(1, 1, 2, output_padding=1)(ones(1, 1, 2, 2)), ValueError,
         ["output_padding must be smaller", "(1, 1)"]),
        (lambda: nn.ConvTranspose2d(1, 1, 2, padding_mode="circular"), ValueError, ["zeros"]),
        (lambda: nn.MaxPool2d(3)(ones(1, 1, 2, 2)), ValueError, ["larger than its padded input"]),
        (lambda: nn.MaxPool2d(2, padding=2)(ones(1, 1, 4, 4)), ValueError, ["half the kernel"]),
        (lambda: nn.AvgPool2d(2)(ones(4, 4)), ValueError, ["not images", "(4, 4)"]),
        (lambda: nn.AvgPool2d(2, divisor_override=0)(ones(1, 4, 4)), ValueError, ["divisor"]),
        (lambda: nn.AdaptiveAvgPool2d(0)(ones(1, 4, 4)), ValueError, ["output sizes from 1"]),
        (lambda: nn.BatchNorm2d(3)(ones(2, 3)), ValueError, ["BatchNorm2d", "Expect: 4", "(2, 3)"]),
        (lambda: nn.BatchNorm1d(3)(ones(2, 4)), ValueError, ["running_mean", "(4,)", "(3,)"]),
        (lambda: nn.BatchNorm1d(3)(ones(1, 3)), ValueError, ["one number", "at least 2", "eval()"]),
        (lambda: nn.BatchNorm1d(3)(ones(2, 3).double()), TypeError, ["float32", "float64"]),
        (lambda: F.batch_norm(ones(3), None, None, training=True), ValueError, ["(N, C, ...)"]),
        (lambda: F.batch_norm(ones(2, 3), None, None), ValueError, ["running statistics"]),
        (lambda: nn.Dropout(1.1), ValueError, ["Dropout", "0 to 1", "1.1"]),
        (lambda: F.dropout(ones(3), -0.1), ValueError, ["no probability", "-0.1"]),
        (lambda: F.dropout(ones(3), math.nan), ValueError, ["no probability", "nan"]),
        (lambda: F.dropout(minigrad.arange(3)), TypeError, ["not floating", "int64"]),
        (lambda: nn.Dropout2d()(ones(2, 3)), ValueError, ["no channels", "use dropout"]),
        (lambda: nn.Softmax()(ones(2, 3)), TypeError, ["softmax", "which axis", "dim=1"]),
        (lambda: nn.Softmax(2)(ones(2, 3)), IndexError, ["no such axis", "-2 to 1"]),
        (lambda: nn.Unflatten(1, (2, 2))(ones(2, 3)), ValueError, ["unflatten", "(2, 2)"]),
        (lambda: F.one_hot(ones(3)), TypeError, ["one_hot", "integers", "float32"]),
        (lambda: F.one_hot(minigrad.tensor([0, 5]), 3), IndexError, ["0 to 2", "Actual: 5"]),
        (lambda: F.one_hot(minigrad.tensor([0, -1])), IndexError, ["Actual: -1"]),
        (lambda: F.one_hot(minigrad.zeros(0).long()), ValueError, ["num_classes"]),
    ],
)  # fmt: skip
def test_bad_input_is_said(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
