"""Every layer, loss and helper of `minigrad.nn` against PyTorch, live, over drawn options.

For each layer Hypothesis draws at least 200 configurations: options, sizes, memory layouts. Both
libraries build the layer from the same arguments and load the same weights by name; then outputs,
the gradients of the inputs, parameters and targets, and the buffers must agree: in float64 values
within 1e-10 and gradients within 1e-8 of the largest. In float32 they must agree roughly, and
everything must stay float32. Where PyTorch raises, minigrad must raise too, and the reverse, but
for the differences that are named here.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections import OrderedDict

import numpy as np
import pytest
from hypothesis import Phase, assume, given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import nn
from minigrad.functions.conv import pair
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional
torch.set_num_threads(1)  # on arrays this small threads only wait for each other
pytestmark = [pytest.mark.cpu_only, pytest.mark.filterwarnings("ignore")]

VALUE, GRADIENT = 1e-10, 1e-8
EXAMPLES = settings(
    max_examples=200, phases=[phase for phase in Phase if phase is not Phase.explain]
)
SEEDS = st.integers(0, 2**32 - 1)
LAYOUTS = st.sampled_from(["plain", "fortran", "sliced", "channels last", "flipped"])
HAS_BIAS = "bias" in inspect.signature(torch.nn.BatchNorm2d).parameters
DTYPES = st.sampled_from(["float64"] * 4 + ["float32"])

# ------------------------------------------------------------------------------- the harness


def in_layout(values: np.ndarray, layout: str) -> np.ndarray:
    """Return the values with other strides."""
    if not values.ndim:
        return np.asarray(values)
    if layout == "fortran":
        return np.asfortranarray(values)
    if layout == "sliced":
        big = np.zeros([2 * n + 1 for n in values.shape], values.dtype)
        view = big[tuple([slice(1, None, 2)] * values.ndim)]
        view[...] = values
        return view
    if layout == "channels last" and values.ndim > 2:
        return np.moveaxis(np.moveaxis(values, 1, -1).copy(), -1, 1)
    if layout == "flipped":
        return values[::-1].copy()[::-1]
    return values


def both(values: np.ndarray, requires_grad=True, layout="plain"):
    """Return a tensor of each library with these values."""
    floating = values.dtype.kind == "f"
    ours = minigrad.Tensor(in_layout(values, layout)).requires_grad_(requires_grad and floating)
    theirs = torch.tensor(values).requires_grad_(requires_grad and floating)
    return ours, theirs


def assert_close(what, ours, theirs, tolerance, relative_to=None):
    assert (ours is None) == (theirs is None), f"{what}: {ours} against {theirs}"
    if ours is None:
        return
    ours, theirs = ours.detach().numpy(), theirs.detach().numpy()
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape} against {theirs.shape}"
    assert ours.dtype == theirs.dtype, f"{what}: dtype {ours.dtype} against {theirs.dtype}"
    if not ours.size:
        return
    scale = max(1.0, float(np.nanmax(np.abs(np.where(np.isfinite(theirs), theirs, 0)))))
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * scale, err_msg=what)


def run(function, inputs):
    """Return what the function gives, or the exception that it raises."""
    try:
        return function(*inputs), None
    except Exception as error:
        return None, error


def compare(ours, theirs, arrays, layout="plain", constants=()):
    """Run both on the same inputs, and compare outputs, gradients and buffers.

    All floating inputs but those whose places are among the `constants` get gradients.
    """
    double = arrays[0].dtype == np.float64
    value, gradient = (VALUE, GRADIENT) if double else (2e-5, 2e-4)
    pairs = [both(a, i not in constants, layout) for i, a in enumerate(arrays)]
    y, error = run(ours, [a for a, _ in pairs])
    expected, their_error = run(theirs, [b for _, b in pairs])
    if error is not None and their_error is None:
        if "nothing is left" in str(error) and bool((expected == expected[..., :1, :1]).all()):
            return None  # an output without pixels, or with none that the input reaches
        raise error
    if their_error is not None:
        assert error is not None, f"only PyTorch raises: {their_error}"
        assert isinstance(error, (ValueError, TypeError, IndexError)), repr(error)
        assert "Expect" in str(error) or "Do:" in str(error) or "Actual" in str(error), error
        return None
    assert_close("output", y, expected, value)
    if y.requires_grad:
        assert expected.requires_grad
        upstream = np.random.default_rng(0).normal(size=y.shape).astype(y.dtype)
        y.backward(minigrad.Tensor(in_layout(upstream, layout)))
        expected.backward(torch.tensor(upstream))
    for i, (a, b) in enumerate(pairs):
        assert_close(f"gradient of input {i}", a.grad, b.grad, gradient)
    if isinstance(theirs, torch.nn.Module):
        named = dict(theirs.named_parameters())
        assert list(dict(ours.named_parameters())) == list(named)
        for name, parameter in ours.named_parameters():
            assert_close(f"gradient of {name}", parameter.grad, named[name].grad, gradient)
        for (name, buffer), (their_name, other) in zip(
            ours.named_buffers(), theirs.named_buffers(), strict=True
        ):
            assert name == their_name
            assert_close(f"buffer {name}", buffer, other, value)
    return y


def layers(name, dtype, *args, **kwargs):
    """Build the layer of this name in both libraries, with the same weights."""
    theirs, their_error = run(lambda: getattr(torch.nn, name)(*args, **kwargs), [])
    ours, error = run(lambda: getattr(nn, name)(*args, **kwargs), [])
    if error is not None and their_error is None:
        raise error
    if their_error is not None:
        assert error is not None, f"only PyTorch raises: {their_error}"
        assume(False)
    theirs = theirs.to(getattr(torch, dtype))
    ours.to(dtype=dtype)
    state = {key: minigrad.from_numpy(v.numpy().copy()) for key, v in theirs.state_dict().items()}
    assert list(ours.state_dict()) == list(state)
    ours.load_state_dict(state)
    assert repr(ours) == as_shown(theirs)
    return ours, theirs


def as_shown(theirs):
    """Return PyTorch's repr; batch norm got the option `bias` in version 2.13."""
    text = repr(theirs)
    if not HAS_BIAS:
        text = re.sub(r"affine=(\w+), track", r"affine=\1, bias=\1, track", text)
    return text


def normal(draw, shape, dtype):
    return np.random.default_rng(draw(SEEDS)).normal(size=shape).astype(dtype)


def sizes(draw, count, least=1, most=9):
    return tuple(draw(st.lists(st.integers(least, most), min_size=count, max_size=count)))


def int_or_pair(least, most):
    number = st.integers(least, most)
    return st.one_of(number, st.tuples(number, number))


# ------------------------------------------------------------------------------------ layers


@EXAMPLES
@given(st.data())
def test_linear(data):
    draw = data.draw
    dtype, (n, m) = draw(DTYPES), sizes(draw, 2)
    two = layers("Linear", dtype, n, m, bias=draw(st.booleans()))
    leading = sizes(draw, draw(st.integers(0, 3)), least=0, most=4)
    wrong = draw(st.integers(0, 19)) == 0
    compare(*two, [normal(draw, (*leading, n + wrong), dtype)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_conv2d(data):
    draw = data.draw
    dtype, groups = draw(DTYPES), draw(st.sampled_from([1, 1, 1, 2, 3]))
    per_group = sizes(draw, 2, most=3)
    channels = [n * groups for n in per_group]
    channels[1] += draw(st.integers(0, 19)) == 0  # not always divisible
    stride = draw(int_or_pair(1, 3))
    mode = draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
    words = st.sampled_from(["same", "valid"])
    padding = draw(st.one_of(int_or_pair(0, 3), words if stride == 1 else st.just("valid")))
    two = layers(
        "Conv2d", dtype, *channels, draw(int_or_pair(1, 4)), stride, padding,
        draw(int_or_pair(1, 3)), groups, draw(st.booleans()), mode,
    )  # fmt: skip
    batch = [draw(st.integers(1, 3))] if draw(st.integers(0, 5)) else []
    shape = (*batch, channels[0], *sizes(draw, 2, most=11))
    compare(*two, [normal(draw, shape, dtype)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_conv_transpose2d(data):
    draw = data.draw
    dtype, groups = draw(DTYPES), draw(st.sampled_from([1, 1, 2, 3]))
    channels = [n * groups for n in sizes(draw, 2, most=3)]
    two = layers(
        "ConvTranspose2d", dtype, *channels, draw(int_or_pair(1, 4)), draw(int_or_pair(1, 3)),
        draw(int_or_pair(0, 2)), draw(st.sampled_from([0, 0, 1, (1, 0), (0, 2)])), groups,
        draw(st.booleans()), draw(int_or_pair(1, 3)),
    )  # fmt: skip
    batch = [draw(st.integers(1, 3))] if draw(st.integers(0, 5)) else []
    shape = (*batch, channels[0], *sizes(draw, 2, most=6))
    compare(*two, [normal(draw, shape, dtype)], draw(LAYOUTS))


def test_conv_transpose2d_output_size():
    ours, theirs = layers("ConvTranspose2d", "float64", 2, 3, 3, stride=2, padding=1)
    x, y = both(np.random.default_rng(0).normal(size=(1, 2, 5, 6)))
    for size in [(9, 11), (10, 12), (9, 12)]:
        assert_close("output", ours(x, output_size=size), theirs(y, output_size=size), VALUE)
    with pytest.raises(ValueError, match="this output_size cannot be"):
        ours(x, output_size=(11, 12))


def distinct(draw, shape, dtype):
    """Numbers without ties, for their order decides."""
    values = np.random.default_rng(draw(SEEDS)).permutation(math.prod(shape)) / 7 - 3
    return values.reshape(shape).astype(dtype)


def misses_the_image(pool, size):
    """Whether some window of a pooling holds nothing but padding."""
    options = [pair(option, "", 0) for option in (pool.kernel_size, pool.padding, pool.dilation)]
    for n, k, p, d in zip(size, *options):
        windows = [range(start, start + k * d, d) for start in range(-p, n)]
        if any(not any(0 <= i < n for i in window) for window in windows):
            return True
    return False


@EXAMPLES
@given(st.data())
def test_max_pool2d(data):
    draw = data.draw
    dtype = draw(DTYPES)
    ours, theirs = layers(
        "MaxPool2d", dtype, draw(int_or_pair(1, 4)), draw(st.none() | int_or_pair(1, 4)),
        draw(int_or_pair(0, 2)), draw(int_or_pair(1, 3)), ceil_mode=draw(st.booleans()),
    )  # fmt: skip
    shape = sizes(draw, draw(st.sampled_from([3, 4, 4])), most=9)
    values = distinct(draw, shape, dtype)
    if draw(st.integers(0, 4)) == 0:  # ties and NaN: the first, and NaN, win
        values = np.round(values)
        values.reshape(-1)[:: draw(st.integers(2, 5))] = draw(st.sampled_from([0, np.nan]))
    # A dilated window can miss the image on both sides: PyTorch then corrupts its memory.
    assume(not misses_the_image(ours, shape[-2:]))
    compare(ours, theirs, [values], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_max_pool2d_indices(data):
    draw = data.draw
    options = dict(
        kernel_size=draw(int_or_pair(1, 4)),
        stride=draw(st.none() | int_or_pair(1, 4)),
        ceil_mode=draw(st.booleans()),
        return_indices=True,
    )
    x, y = both(distinct(draw, (2, *sizes(draw, 3)), "float64"))
    ours, error = run(nn.MaxPool2d(**options), [x])
    theirs, their_error = run(torch.nn.MaxPool2d(**options), [y])
    assert (error is None) == (their_error is None), (error, their_error)
    if error is None:
        for a, b in zip(ours, theirs, strict=True):
            assert_close("values and indices", a, b, VALUE)


@EXAMPLES
@given(st.data())
def test_avg_pool2d(data):
    draw = data.draw
    dtype = draw(DTYPES)
    two = layers(
        "AvgPool2d", dtype, draw(int_or_pair(1, 4)), draw(st.none() | int_or_pair(1, 4)),
        draw(int_or_pair(0, 2)), draw(st.booleans()), draw(st.booleans()),
        draw(st.none() | st.sampled_from([1, 3, -2])),
    )  # fmt: skip
    shape = sizes(draw, draw(st.sampled_from([3, 4, 4])), most=9)
    compare(*two, [normal(draw, shape, dtype)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_adaptive_avg_pool2d(data):
    draw = data.draw
    dtype, side = draw(DTYPES), st.integers(1, 7)
    size = draw(st.one_of(side, st.tuples(*[st.none() | side] * 2)))
    two = layers("AdaptiveAvgPool2d", dtype, size)
    shape = sizes(draw, draw(st.sampled_from([3, 4, 4])), most=11)
    compare(*two, [normal(draw, shape, dtype)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_batch_norm(data):
    """Some training steps, then evaluation, each compared, running statistics included."""
    draw = data.draw
    dtype, channels = draw(DTYPES), draw(st.integers(1, 4))
    name = draw(st.sampled_from(["BatchNorm1d", "BatchNorm2d"]))
    ours, theirs = layers(
        name, dtype, channels,
        eps=draw(st.sampled_from([1e-5, 1e-3, 0.5])),
        momentum=draw(st.sampled_from([0.1, 0.0, 1.0, 0.7, None])),
        affine=draw(st.booleans()),
        track_running_stats=draw(st.booleans()),
        **({"bias": draw(st.booleans())} if HAS_BIAS else {}),
    )  # fmt: skip
    for layer, lib in ((ours, minigrad), (theirs, torch)):
        rng = np.random.default_rng(7)
        for p in layer.parameters():
            p.data = lib.tensor(rng.normal(size=channels).astype(dtype))
    spatial = draw(st.integers(0, 1)) if name == "BatchNorm1d" else 2
    for _ in range(draw(st.integers(0, 3))):
        shape = (draw(st.integers(1, 5)), channels, *sizes(draw, spatial, most=4))
        # Few values of nearly one size make the statistics a matter of rounding.
        assume(dtype == "float64" or shape[0] * math.prod(shape[2:]) > 4)
        compare(ours, theirs, [normal(draw, shape, dtype) * 2 + 1], draw(LAYOUTS))
    ours.eval(), theirs.eval()
    shape = (draw(st.integers(1, 5)), channels, *sizes(draw, spatial, most=4))
    assume(dtype == "float64" or shape[0] * math.prod(shape[2:]) > 4)
    compare(ours, theirs, [normal(draw, shape, dtype)], draw(LAYOUTS))


ACTIVATIONS = st.one_of(
    st.sampled_from([("ReLU",), ("Sigmoid",), ("Tanh",), ("Identity",), ("ReLU", True)]),
    st.tuples(st.just("LeakyReLU"), st.sampled_from([0.01, 0.0, 0.3, -0.5])),
    st.tuples(st.just("Softplus"), st.sampled_from([1.0, 0.5, 3.0]), st.sampled_from([20.0, 1.0])),
    st.tuples(st.sampled_from(["Softmax", "LogSoftmax"]), st.integers(-4, 3)),
)


@settings(EXAMPLES, max_examples=1500)
@given(st.data())
def test_activations(data):
    draw = data.draw
    (name, *options), dtype = draw(ACTIVATIONS), draw(DTYPES)
    two = layers(name, dtype, *options)
    values = normal(draw, sizes(draw, draw(st.integers(0, 4)), least=0, most=5), dtype)
    scale = draw(st.sampled_from([1, 10, 300]))
    if draw(st.booleans()):
        values = np.round(values)  # zeros: the kinks
    if name == "ReLU" and len(options):
        theirs = two[1]  # in place on a leaf is an error there, so work on a copy
        two = two[0], lambda x: theirs(x * 1)
    compare(*two, [(values * scale).astype(dtype)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_flatten(data):
    draw = data.draw
    shape = sizes(draw, draw(st.integers(1, 4)), least=0, most=4)
    ends = sorted(draw(st.tuples(*[st.integers(0, len(shape) - 1)] * 2)))
    ends = [end - len(shape) * draw(st.booleans()) for end in ends]
    compare(*layers("Flatten", "float64", *ends), [normal(draw, shape, "float64")], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_unflatten(data):
    draw = data.draw
    parts, axis = sizes(draw, draw(st.integers(1, 3)), most=4), draw(st.integers(-2, 1))
    shape = [2, 3]
    shape[axis] = math.prod(parts)
    parts = list(parts)
    if draw(st.booleans()):
        parts[draw(st.integers(0, len(parts) - 1))] = -1
    two = layers("Unflatten", "float64", axis, tuple(parts))
    compare(*two, [normal(draw, shape, "float64")], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_dropout_without_chance(data):
    """p = 0, p = 1 and evaluation leave nothing to chance; the rest is in test_nn_layers."""
    draw = data.draw
    dtype, p = draw(DTYPES), draw(st.sampled_from([0, 0.0, 1, 1.0, 0.5, -0.1, 1.5]))
    two = layers(draw(st.sampled_from(["Dropout", "Dropout2d"])), dtype, p)
    if p not in (0, 1):
        [layer.eval() for layer in two]
    compare(*two, [normal(draw, sizes(draw, 4, most=4), dtype)], draw(LAYOUTS))


# ------------------------------------------------------------------------------------ losses

REDUCTIONS = st.sampled_from(["mean", "sum", "none"])


def classes_and_shape(draw):
    """Draw (C,), (N, C) or (N, C, d1, ...), and the labels' shape."""
    classes, rest = draw(st.integers(1, 6)), sizes(draw, draw(st.integers(0, 3)), most=4)
    shape = (*rest[:1], classes, *rest[1:])
    return classes, shape, rest


def loss_pair(name, dtype, **options):
    """Build a loss in both libraries; tensors among the options are given as arrays."""
    two = []
    for lib, tensor in ((nn, minigrad.tensor), (torch.nn, torch.tensor)):
        made = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
        two.append(getattr(lib, name)(**made))
    return two


@EXAMPLES
@given(st.data())
def test_cross_entropy_of_indices(data):
    draw = data.draw
    dtype, (classes, shape, rest) = draw(DTYPES), classes_and_shape(draw)
    rng = np.random.default_rng(draw(SEEDS))
    ignore = draw(st.sampled_from([-100, -100, 0, -1]))
    low = -1 if ignore == -1 else 0
    labels = rng.integers(low, classes, rest)
    if ignore == -100 and draw(st.booleans()):
        labels = np.where(rng.random(rest) < 0.3, -100, labels)
    weight = rng.uniform(0, 2, classes).astype(dtype) if draw(st.booleans()) else None
    two = loss_pair(
        "CrossEntropyLoss", dtype, weight=weight, ignore_index=ignore,
        reduction=draw(REDUCTIONS), label_smoothing=draw(st.sampled_from([0.0, 0.0, 0.1, 1.0])),
    )  # fmt: skip
    z = (rng.normal(size=shape) * draw(st.sampled_from([1, 30]))).astype(dtype)
    compare(*two, [z, np.asarray(labels)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_cross_entropy_of_probabilities(data):
    draw = data.draw
    dtype, (classes, shape, _) = draw(DTYPES), classes_and_shape(draw)
    rng = np.random.default_rng(draw(SEEDS))
    weight = rng.uniform(0, 2, classes).astype(dtype) if draw(st.booleans()) else None
    two = loss_pair(
        "CrossEntropyLoss", dtype, weight=weight, reduction=draw(REDUCTIONS),
        label_smoothing=draw(st.sampled_from([0.0, 0.0, 0.1, 1.0])),
    )  # fmt: skip
    z, t = rng.normal(size=(2, *shape)).astype(dtype)
    compare(*two, [z * draw(st.sampled_from([1, 30])), abs(t)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_nll_loss(data):
    draw = data.draw
    dtype, (classes, shape, rest) = draw(DTYPES), classes_and_shape(draw)
    rng = np.random.default_rng(draw(SEEDS))
    ignore = draw(st.sampled_from([-100, -100, 0]))
    weight = rng.uniform(0, 2, classes).astype(dtype) if draw(st.booleans()) else None
    two = loss_pair(
        "NLLLoss", dtype, weight=weight, ignore_index=ignore, reduction=draw(REDUCTIONS)
    )
    log_p = rng.normal(size=shape).astype(dtype)
    compare(*two, [log_p, np.asarray(rng.integers(0, classes, rest))], draw(LAYOUTS))


DISTANCES = st.one_of(
    st.sampled_from([("MSELoss", {}), ("L1Loss", {})]),
    st.tuples(st.just("HuberLoss"), st.fixed_dictionaries({"delta": st.sampled_from([1.0, 0.3])})),
    st.tuples(
        st.just("SmoothL1Loss"), st.fixed_dictionaries({"beta": st.sampled_from([1.0, 0.3, 0.0])})
    ),
)


@settings(EXAMPLES, max_examples=800)
@given(st.data())
def test_distances(data):
    draw = data.draw
    dtype, (name, options) = draw(DTYPES), draw(DISTANCES)
    two = loss_pair(name, dtype, reduction=draw(REDUCTIONS), **options)
    shape = sizes(draw, draw(st.integers(0, 4)), most=5)
    x, y = np.random.default_rng(draw(SEEDS)).normal(size=(2, *shape)).astype(dtype)
    if draw(st.booleans()):
        x, y = np.round(x), np.round(y)  # equal ones: the kinks
    compare(*two, [np.asarray(x), np.asarray(y)], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_binary_cross_entropy(data):
    """Probabilities 0 and 1 included, where the logarithms are cut off."""
    draw = data.draw
    dtype, shape = draw(DTYPES), sizes(draw, draw(st.integers(0, 4)), most=5)
    rng = np.random.default_rng(draw(SEEDS))
    weight = rng.uniform(0, 2, shape[-1:]).astype(dtype) if shape and draw(st.booleans()) else None
    two = loss_pair("BCELoss", dtype, weight=weight, reduction=draw(REDUCTIONS))
    p, y = rng.random((2, *shape))
    constants = []
    if draw(st.booleans()):
        p = np.where(rng.random(shape) < 0.3, np.round(p), p)
        y = np.round(y)
        constants = [1]  # the target's gradient: PyTorch forgets to cut the logarithms off there
    if draw(st.integers(0, 9)) == 0:
        p = p * 1.5 - draw(st.integers(0, 1))  # no probabilities
    p, y = np.asarray(p, dtype), np.asarray(y, dtype)
    compare(*two, [p, y], draw(LAYOUTS), constants)


@EXAMPLES
@given(st.data())
def test_binary_cross_entropy_with_logits(data):
    draw = data.draw
    dtype, shape = draw(DTYPES), sizes(draw, draw(st.integers(0, 4)), most=5)
    rng = np.random.default_rng(draw(SEEDS))
    weights = [
        rng.uniform(0, 2, shape[-1:]).astype(dtype) if shape and draw(st.booleans()) else None
        for _ in range(2)
    ]
    two = loss_pair(
        "BCEWithLogitsLoss", dtype, weight=weights[0], pos_weight=weights[1],
        reduction=draw(REDUCTIONS),
    )  # fmt: skip
    z = rng.normal(size=shape) * draw(st.sampled_from([1, 20, 500]))
    if draw(st.booleans()):
        z = np.round(z)  # zeros
    arrays = [np.asarray(a, dtype) for a in (z, rng.random(shape))]
    compare(*two, arrays, draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_kl_div(data):
    draw = data.draw
    dtype, shape = draw(DTYPES), sizes(draw, draw(st.integers(1, 4)), most=5)
    log_target = draw(st.booleans())
    reduction = draw(st.sampled_from(["mean", "sum", "none", "batchmean"]))
    two = loss_pair("KLDivLoss", dtype, reduction=reduction, log_target=log_target)
    rng = np.random.default_rng(draw(SEEDS))
    log_q, t = rng.normal(size=(2, *shape)).astype(dtype)
    compare(*two, [log_q, t if log_target else abs(t)], draw(LAYOUTS))


def test_kl_div_counts_a_target_of_zero_as_nothing():
    log_q, p = np.log([[0.2, 0.8], [0.5, 0.5]]), np.array([[0.0, 1.0], [0.3, 0.7]])
    ours, theirs = both(log_q)
    a, b = both(p, requires_grad=False)  # the target's own gradient is infinite there
    F.kl_div(ours, a, reduction="sum").backward()
    TF.kl_div(theirs, b, reduction="sum").backward()
    assert_close("gradient", ours.grad, theirs.grad, GRADIENT)


# --------------------------------------------------------------------------------- functions


@EXAMPLES
@given(st.data())
def test_normalize(data):
    draw = data.draw
    shape = sizes(draw, draw(st.integers(1, 4)), most=5)
    how = dict(
        p=draw(st.sampled_from([1.0, 2.0, 3.0, math.inf])),
        dim=draw(st.integers(-len(shape), len(shape) - 1)),
    )
    x = normal(draw, shape, "float64")
    if draw(st.booleans()):
        x[: draw(st.integers(0, 2))] = 0
    compare(lambda t: F.normalize(t, **how), lambda t: TF.normalize(t, **how), [x], draw(LAYOUTS))


@EXAMPLES
@given(st.data())
def test_one_hot(data):
    draw = data.draw
    labels = np.random.default_rng(draw(SEEDS)).integers(0, 5, sizes(draw, draw(st.integers(0, 3))))
    classes = draw(st.sampled_from([-1, 5, 9]))
    ours, theirs = both(np.asarray(labels))
    assert_close("rows", F.one_hot(ours, classes), TF.one_hot(theirs, classes), 0)


@pytest.mark.parametrize("name", ["logsigmoid", "softplus", "leaky_relu", "relu", "tanh"])
def test_short_functions(name):
    values = np.random.default_rng(0).normal(size=(40,)) * 20
    compare(getattr(F, name), getattr(TF, name), [values])


def test_softmax_in_another_dtype():
    ours, theirs = both(np.random.default_rng(0).normal(size=(3, 4)).astype("float32"))
    for name in ("softmax", "log_softmax"):
        a = getattr(F, name)(ours, dim=1, dtype=minigrad.float64)
        b = getattr(TF, name)(theirs, dim=1, dtype=torch.float64)
        assert_close(name, a, b, 1e-10)


# --------------------------------------------------------------------------- helpers and names


@EXAMPLES
@given(st.data())
def test_clip_grad_norm(data):
    draw = data.draw
    kind = draw(st.sampled_from([2.0, 1.0, 3.0, math.inf]))
    limit = draw(st.sampled_from([0.0, 0.1, 1.0, 100.0]))
    pairs = []
    for _ in range(draw(st.integers(0, 4))):
        ours, theirs = both(normal(draw, sizes(draw, draw(st.integers(0, 3))), "float64"))
        if draw(st.integers(0, 4)):
            ours.grad, theirs.grad = both(normal(draw, ours.shape, "float64"), False)
        pairs.append((ours, theirs))
    ours = nn.utils.clip_grad_norm_([a for a, _ in pairs], limit, kind)
    theirs = torch.nn.utils.clip_grad_norm_([b for _, b in pairs], limit, kind)
    assert abs(ours.item() - theirs.item()) <= VALUE * max(1, theirs.item())
    for a, b in pairs:
        assert_close("gradient", a.grad, b.grad, VALUE)


def test_clip_grad_value_and_vectors():
    rng = np.random.default_rng(0)
    pairs = [both(rng.normal(size=shape)) for shape in [(3, 4), (), (2,)]]
    for ours, theirs in pairs:
        ours.grad, theirs.grad = both(rng.normal(size=ours.shape) * 3, False)
    ours, theirs = [list(side) for side in zip(*pairs)]
    nn.utils.clip_grad_value_(ours, 0.7), torch.nn.utils.clip_grad_value_(theirs, 0.7)
    vector = nn.utils.parameters_to_vector(ours)
    expected = torch.nn.utils.parameters_to_vector(theirs)
    assert_close("vector", vector, expected, 0)
    nn.utils.vector_to_parameters(vector.detach() * 2, ours)
    torch.nn.utils.vector_to_parameters(expected.detach() * 2, theirs)
    for a, b in pairs:
        assert_close("gradient", a.grad, b.grad, 0)
        assert_close("value", a, b, 0)


@pytest.mark.parametrize("name", ["linear", "conv2d", "sigmoid", "tanh", "relu", "selu"])
def test_gains(name):
    assert nn.init.calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in (None, 0.2, 5**0.5):
        ours = nn.init.calculate_gain("leaky_relu", slope)
        assert ours == torch.nn.init.calculate_gain("leaky_relu", slope)


@pytest.mark.parametrize(
    "name, options",
    [
        ("uniform_", dict(a=-2.0, b=3.0)),
        ("normal_", dict(mean=1.0, std=0.3)),
        ("trunc_normal_", dict(mean=0.5, std=2.0, a=-1.0, b=4.0)),
        ("trunc_normal_", dict(std=0.02)),
        ("trunc_normal_", dict(a=-0.5, b=0.7)),
        ("xavier_uniform_", dict(gain=1.5)),
        ("xavier_normal_", dict(gain=0.7)),
        ("kaiming_uniform_", dict(a=0.3, mode="fan_out")),
        ("kaiming_uniform_", dict(nonlinearity="relu")),
        ("kaiming_normal_", dict(mode="fan_out", nonlinearity="tanh")),
        ("orthogonal_", dict(gain=2.0)),
        ("sparse_", dict(sparsity=0.25, std=0.5)),
        ("constant_", dict(val=3.0)),
        ("eye_", {}),
    ],
)
def test_initialisations_have_the_same_distribution(name, options):
    """The same quantiles, within what 60,000 random numbers leave open."""
    shape = (200, 300) if name in ("sparse_", "eye_") else (100, 60, 5, 2)
    ours = nn.Parameter(minigrad.zeros(shape))
    theirs = torch.zeros(shape)
    assert getattr(nn.init, name)(ours, **options) is ours
    getattr(torch.nn.init, name)(theirs, **options)
    at = np.linspace(0.0, 1, 21)[1:-1]
    a, b = [np.quantile(x, at) for x in (ours.detach().numpy(), theirs.numpy())]
    np.testing.assert_allclose(a, b, atol=0.035 * max(theirs.std().item(), 1e-9))
    wide = theirs.max() - theirs.min()  # bounded ones have the same bounds
    if "uniform" in name or name == "trunc_normal_" and "b" in options:
        low, high = theirs.min().item(), theirs.max().item()
        assert abs(ours.min().item() - low) < 0.03 * wide
        assert abs(ours.max().item() - high) < 0.03 * wide


@pytest.mark.parametrize(
    "name, args",
    [("Linear", (300, 200)), ("Conv2d", (12, 60, 5, 1, 0, 1, 2)), ("ConvTranspose2d", (40, 30, 5))],
)
def test_default_first_values(name, args):
    ours, theirs = getattr(nn, name)(*args), getattr(torch.nn, name)(*args)
    for key, expected in theirs.state_dict().items():
        value = ours.state_dict()[key].numpy()
        bound = 1 / math.sqrt(math.prod(theirs.weight.shape[1:]))
        for numbers in (value, expected.numpy()):
            assert numbers.dtype == np.float32
            assert 0.8 * bound < np.abs(numbers).max() <= bound
        assert abs(value.std() - expected.numpy().std()) < (0.5 if key == "bias" else 0.05) * bound


def nested(lib):
    """A network with every kind of container, names out of order, and shared parts."""

    class Net(lib.Module):
        def __init__(self):
            super(Net, self).__init__()  # noqa: UP008  the old style must work too
            self.body = lib.Sequential(
                OrderedDict([("conv", lib.Conv2d(1, 4, 3, padding="same", bias=False)),
                             ("norm", lib.BatchNorm2d(4)),
                             ("act", lib.ReLU(inplace=True))])
            )  # fmt: skip
            self.scale = lib.Parameter((minigrad if lib is nn else torch).ones(3))
            self.blocks = lib.ModuleList([lib.Sequential(lib.Flatten(), lib.Dropout(0.2))])
            self.heads = lib.ModuleDict({"a": lib.Linear(4, 2), "b": lib.Identity()})
            self.again = self.heads["a"]
            self.nothing = None
            self.loss = lib.CrossEntropyLoss()
            self.up = lib.ConvTranspose2d(4, 2, (3, 2), stride=2, output_padding=1, groups=2)
            self.pool = lib.Sequential(lib.MaxPool2d(2), lib.AvgPool2d((2, 1)),
                                       lib.AdaptiveAvgPool2d((1, None)))  # fmt: skip
            self.register_buffer("mask", (minigrad if lib is nn else torch).zeros(2))
            self.register_buffer("scratch", None)

    return Net()


def test_names_order_and_repr_of_a_nested_network():
    ours, theirs = nested(nn), nested(torch.nn)
    assert repr(ours) == as_shown(theirs)
    for walk in ("named_parameters", "named_modules", "named_children", "named_buffers"):
        names = [[name for name, _ in getattr(net, walk)()] for net in (ours, theirs)]
        assert names[0] == names[1], walk
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for key, value in theirs.state_dict().items():
        assert ours.state_dict()[key].shape == tuple(value.shape)
        assert str(ours.state_dict()[key].dtype) == str(value.dtype)[6:]
    every = [[n for n, _ in net.named_modules(remove_duplicate=False)] for net in (ours, theirs)]
    assert every[0] == every[1]


def hook_log(lib, tensor):
    """Return what hooks of a layer see in two calls, and what the calls return."""
    layer, log = lib.Linear(2, 1, bias=False), []
    layer.weight.data[...] = 1.0
    layer.register_forward_pre_hook(lambda m, args: log.append("pre") or (args[0] * 2,))
    layer.register_forward_pre_hook(lambda m, args: log.append("first"), prepend=True)
    layer.register_forward_hook(lambda m, args, out: log.append(args[0].tolist()) or out + 1)
    handle = layer.register_forward_hook(
        lambda m, args, kwargs, out: log.append((kwargs, out.tolist())), with_kwargs=True
    )
    log.append(layer(tensor([[1.0, 2.0]])).tolist())
    handle.remove()
    log.append(layer(tensor([[1.0, 2.0]])).tolist())
    return log


def test_hooks_see_and_change_the_same():
    assert hook_log(nn, minigrad.tensor) == hook_log(torch.nn, torch.tensor)


def test_weights_travel_both_ways():
    theirs, ours = torch.nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    theirs(torch.randn(4, 3, 2, 2))
    ours.load_state_dict(
        {k: minigrad.from_numpy(v.numpy()) for k, v in theirs.state_dict().items()}
    )
    back = copy.deepcopy(theirs)
    back.load_state_dict({k: torch.from_numpy(v.numpy()) for k, v in ours.state_dict().items()})
    for key, value in theirs.state_dict().items():
        assert torch.equal(back.state_dict()[key], value)
