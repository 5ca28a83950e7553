"""The losses without PyTorch: by their definitions, by finite differences, and their refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import nn
from minigrad.functions.loss import cross_entropy_simple, softmax_cross_entropy
from minigrad.gradcheck import gradcheck
from minigrad.nn import functional as F


def normal(device, *shape, seed=0, requires_grad=True):
    return make(device, np.random.default_rng(seed).normal(size=shape), requires_grad)


def unit(device, *shape, seed=0, requires_grad=True):
    values = np.random.default_rng(seed).uniform(0.05, 0.95, shape)
    return make(device, values, requires_grad)


# ------------------------------------------------------------------------------ cross-entropy


def by_definition(z, labels, weight, ignore, smoothing, reduction):
    """Cross-entropy with Python's floats, one sample after the other."""
    losses, counts = [], []
    for row, label in zip(z.tolist(), labels.tolist()):
        if label == ignore:
            losses.append(0.0), counts.append(0.0)
            continue
        top = max(row)
        log_sum = top + math.log(sum(math.exp(value - top) for value in row))
        target = [smoothing / len(row)] * len(row)
        target[label] += 1 - smoothing
        parts = [-w * t * (value - log_sum) for w, t, value in zip(weight, target, row)]
        losses.append(sum(parts)), counts.append(weight[label])
    if reduction == "none":
        return losses
    return sum(losses) / sum(counts) if reduction == "mean" else sum(losses)


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(0, 2**32 - 1), st.booleans(),
    st.sampled_from([0.0, 0.3, 1.0]), st.sampled_from(["mean", "sum", "none"]),
    st.sampled_from([-100, 0]),
)  # fmt: skip
def test_cross_entropy_is_its_definition(n, classes, seed, weighted, smoothing, reduction, ignore):
    rng = np.random.default_rng(seed)
    z, labels = rng.normal(size=(n, classes)) * 5, rng.integers(0, classes, n)
    labels[0] = classes - 1
    if ignore == 0 and classes == 1:
        ignore = -100
    weight = rng.uniform(0.1, 2, classes) if weighted else np.ones(classes)
    how = dict(reduction=reduction, label_smoothing=smoothing, ignore_index=ignore)
    given_weight = minigrad.tensor(weight) if weighted else None
    loss = F.cross_entropy(minigrad.tensor(z), minigrad.tensor(labels), given_weight, **how)
    expected = by_definition(z, labels, weight.tolist(), ignore, smoothing, reduction)
    np.testing.assert_allclose(arr(loss), expected, atol=1e-12)


def test_fused_cross_entropy_agrees_with_the_simple_one(device):
    """In value, first and second derivatives."""
    z, upstream = normal(device, 5, 4), normal(device, 5, seed=1, requires_grad=False)
    labels = make(device, np.array([0, 3, 1, 1, 2]))

    def derivatives(function):
        y = function(z, labels)
        (first,) = minigrad.autograd.grad(y, z, upstream, create_graph=True)
        (second,) = minigrad.autograd.grad((first * first).sum(), z)
        return y, first, second

    fused, simple = derivatives(softmax_cross_entropy), derivatives(cross_entropy_simple)
    for a, b in zip(fused, simple):
        np.testing.assert_allclose(arr(a), arr(b), atol=1e-12)
    # without create_graph the first derivative comes from the kernel
    (first,) = minigrad.autograd.grad(softmax_cross_entropy(z, labels), z, upstream)
    np.testing.assert_allclose(arr(first), arr(fused[1]), atol=1e-12)


def test_the_gradient_is_softmax_minus_one_hot(device):
    z, labels = normal(device, 4, 3), np.array([2, 0, 1, 1])
    F.cross_entropy(z, make(device, labels)).backward()
    p = np.exp(arr(z)) / np.exp(arr(z)).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(arr(z.grad), (p - np.eye(3)[labels]) / 4, atol=1e-12)


def test_one_hot_probabilities_mean_the_same_as_indices(device):
    z, labels = normal(device, 4, 3, 2), np.array([[2, 0], [0, 1], [1, 1], [2, 2]])
    one_hot = make(device, np.moveaxis(np.eye(3)[labels], -1, 1))
    for how in [{}, {"reduction": "none"}, {"reduction": "sum", "label_smoothing": 0.2}]:
        a = F.cross_entropy(z, make(device, labels), **how)
        b = F.cross_entropy(z, one_hot, **how)
        np.testing.assert_allclose(arr(a), arr(b), atol=1e-12)
    # with class weights the means differ by what they divide by
    weight = make(device, np.array([1.0, 2, 5]))
    a = F.cross_entropy(z, make(device, labels), weight, reduction="sum")
    b = F.cross_entropy(z, one_hot, weight, reduction="sum")
    np.testing.assert_allclose(arr(a), arr(b), atol=1e-12)


def test_ignored_samples_have_no_part_in_it(device):
    z, labels = normal(device, 4, 3), np.array([2, -100, 1, -100])
    for weight in (None, make(device, np.array([3.0, 1, 2]))):
        how = dict(weight=weight, label_smoothing=0.1)
        loss = F.cross_entropy(z, make(device, labels), **how)
        rest = F.cross_entropy(z[[0, 2]], make(device, labels[[0, 2]]), **how)
        np.testing.assert_allclose(loss.item(), rest.item(), rtol=1e-12)
    loss.backward()
    assert not arr(z.grad)[[1, 3]].any() and arr(z.grad)[[0, 2]].all()
    z.grad = None
    nothing = F.cross_entropy(z, make(device, np.full(4, -100)))  # as in PyTorch: 0 / 0
    nothing.backward()
    assert math.isnan(nothing.item()) and not arr(z.grad).any()


def test_all_integer_labels_are_taken(device):
    z = normal(device, 3, 4)
    losses = [
        F.cross_entropy(z, make(device, np.array([3, 0, 1], dtype))).item()
        for dtype in ("int64", "int32", "int16", "int8", "uint8")
    ]
    assert len(set(losses)) == 1


def test_large_logits_do_not_overflow(device):
    z = make(device, np.array([[1e4, -1e4], [-1e4, 1e4]], np.float32), requires_grad=True)
    losses = F.cross_entropy(z, make(device, np.array([0, 0])), reduction="none")
    losses.sum().backward()
    assert arr(losses).tolist() == [0, 2e4] and arr(z.grad).tolist() == [[0, 0], [-1, 1]]


# --------------------------------------------------------------------------- probabilities


def test_binary_cross_entropy_is_its_definition(device):
    p, y = arr(unit(device, 3, 4)), arr(unit(device, 3, 4, seed=1))
    loss = F.binary_cross_entropy(make(device, p), make(device, y), reduction="none")
    expected = -y * np.log(p) - (1 - y) * np.log(1 - p)
    np.testing.assert_allclose(arr(loss), expected, rtol=1e-12)
    z = np.log(p / (1 - p))
    loss = F.binary_cross_entropy_with_logits(make(device, z), make(device, y), reduction="none")
    np.testing.assert_allclose(arr(loss), expected, rtol=1e-12)


def test_the_gradients_that_the_docstring_derives(device):
    p, y = unit(device, 5), unit(device, 5, seed=1, requires_grad=False)
    F.binary_cross_entropy(p, y, reduction="sum").backward()
    a, b = arr(p), arr(y)
    np.testing.assert_allclose(arr(p.grad), (a - b) / (a * (1 - a)), rtol=1e-12)
    z = normal(device, 5)
    F.binary_cross_entropy_with_logits(z, y, reduction="sum").backward()
    np.testing.assert_allclose(arr(z.grad), 1 / (1 + np.exp(-arr(z))) - b, rtol=1e-12)
    through = make(device, arr(z), requires_grad=True)
    F.binary_cross_entropy(through.sigmoid(), y, reduction="sum").backward()
    np.testing.assert_allclose(arr(through.grad), arr(z.grad), rtol=1e-12)


def test_sure_and_wrong_is_expensive_but_finite(device):
    p = make(device, np.array([0.0, 1, 0, 1], np.float32), requires_grad=True)
    losses = F.binary_cross_entropy(p, make(device, np.float32([0, 1, 1, 0])), reduction="none")
    losses.sum().backward()
    assert arr(losses).tolist() == [0, 0, 100, 100] and losses.dtype == np.float32
    np.testing.assert_allclose(arr(p.grad), [0, 0, -1e12, 1e12], rtol=1e-6)
    z = make(device, np.array([-1e4, 1e4, -1e4, 1e4], np.float32), requires_grad=True)
    y = make(device, np.float32([0, 1, 1, 0]))
    losses = F.binary_cross_entropy_with_logits(z, y, reduction="none")
    losses.sum().backward()
    assert arr(losses).tolist() == [0, 0, 1e4, 1e4] and arr(z.grad).tolist() == [0, 0, -1, 1]


def test_the_logit_gradient_at_zero_is_a_half(device):
    """Where forms with |z| in them easily lose it, in both orders."""
    z = make(device, np.zeros(1), requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(z, make(device, np.zeros(1)))
    (first,) = minigrad.autograd.grad(loss, z, create_graph=True)
    (second,) = minigrad.autograd.grad(first.sum(), z)
    assert first.item() == 0.5 and second.item() == 0.25


def test_kl_div_is_its_definition(device):
    log_q, p = normal(device, 2, 3), np.array([[0.2, 0.0, 0.8], [0.1, 0.3, 0.6]])
    with np.errstate(all="ignore"):
        expected = np.where(p == 0, 0, p * (np.log(p) - arr(log_q)))
    target = make(device, p)
    for reduction, value in [
        ("none", expected), ("sum", expected.sum()), ("mean", expected.mean()),
        ("batchmean", expected.sum() / 2),
    ]:  # fmt: skip
        loss = F.kl_div(log_q, target, reduction=reduction)
        np.testing.assert_allclose(arr(loss), value, rtol=1e-12)
    same = F.kl_div(F.log_softmax(log_q, 1), F.softmax(log_q, 1), reduction="batchmean")
    assert abs(same.item()) < 1e-15


def test_weights_of_yes(device):
    """pos_weight scales the part of the loss that a yes has."""
    z, y = normal(device, 4, 3), unit(device, 4, 3, seed=1, requires_grad=False)
    weight, a, b = np.array([0.5, 1, 3]), 1 / (1 + np.exp(-arr(z))), arr(y)
    loss = F.binary_cross_entropy_with_logits(
        z, y, pos_weight=make(device, weight), reduction="none"
    )
    np.testing.assert_allclose(arr(loss), -weight * b * np.log(a) - (1 - b) * np.log(1 - a))


# ------------------------------------------------------------------------------- distances


@pytest.mark.parametrize(
    "name, options, expected",
    [
        ("mse_loss", {}, [0, 0.25, 9]),
        ("l1_loss", {}, [0, 0.5, 3]),
        ("huber_loss", {}, [0, 0.125, 2.5]),
        ("huber_loss", dict(delta=2.0), [0, 0.125, 4]),
        ("smooth_l1_loss", {}, [0, 0.125, 2.5]),
        ("smooth_l1_loss", dict(beta=2.0), [0, 0.0625, 2]),
        ("smooth_l1_loss", dict(beta=0), [0, 0.5, 3]),
    ],
)
def test_distances_are_their_definitions(name, options, expected, device):
    x, y = make(device, np.array([1.0, 2.5, -1])), make(device, np.array([1.0, 2, 2]))
    loss = getattr(F, name)(x, y, reduction="none", **options)
    np.testing.assert_allclose(arr(loss), expected, rtol=1e-12)


# ------------------------------------------------------------------------ all of the losses

LABELS = np.array([2, 0, 1, -100])
WEIGHT = np.array([0.5, 1.0, 2.0])
LOSSES = {
    "cross_entropy": ("real", "labels", {}),
    "cross_entropy weighted": ("real", "labels", dict(weight=WEIGHT)),
    "cross_entropy smoothed": ("real", "labels", dict(weight=WEIGHT, label_smoothing=0.2)),
    "cross_entropy soft": ("real", "unit", dict(weight=WEIGHT, label_smoothing=0.1)),
    "nll_loss": ("real", "labels", dict(weight=WEIGHT)),
    "binary_cross_entropy": ("unit", "unit", dict(weight=WEIGHT)),
    "binary_cross_entropy_with_logits": ("real", "unit", dict(weight=WEIGHT, pos_weight=WEIGHT)),
    "kl_div": ("real", "unit", {}),
    "kl_div log": ("real", "real", dict(log_target=True)),
    "mse_loss": ("real", "real", {}),
    "l1_loss": ("real", "real", {}),
    "huber_loss": ("real", "real", dict(delta=0.5)),
    "smooth_l1_loss": ("real", "real", dict(beta=0.5)),
}
MODULES = dict(
    cross_entropy="CrossEntropyLoss", nll_loss="NLLLoss", binary_cross_entropy="BCELoss",
    binary_cross_entropy_with_logits="BCEWithLogitsLoss", kl_div="KLDivLoss", mse_loss="MSELoss",
    l1_loss="L1Loss", huber_loss="HuberLoss", smooth_l1_loss="SmoothL1Loss",
)  # fmt: skip


def case(device, name):
    """Return function, module class, input, target and options of a line of `LOSSES`."""
    kind, target_kind, options = LOSSES[name]
    makers = {"real": normal, "unit": unit}
    x = makers[kind](device, 4, 3)
    if target_kind == "labels":
        target = make(device, LABELS)
    else:
        target = makers[target_kind](device, 4, 3, seed=1)
    options = {
        key: make(device, value) if isinstance(value, np.ndarray) else value
        for key, value in options.items()
    }
    function = name.split()[0]
    return getattr(F, function), getattr(nn, MODULES[function]), x, target, options


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_to_second_order(name, reduction, device):
    function, _, x, target, options = case(device, name)
    both = [x, target] if target.requires_grad else [x]
    gradcheck(lambda x, y=target: function(x, y, reduction=reduction, **options), both, order=2)


@pytest.mark.parametrize("name", LOSSES)
def test_modules_are_the_functions_and_reductions_reduce(name, device):
    function, module, x, target, options = case(device, name)
    values = {}
    for reduction in ("mean", "sum", "none"):
        values[reduction] = arr(function(x, target, reduction=reduction, **options))
        loss = module(reduction=reduction, **options)(x, target)
        np.testing.assert_array_equal(arr(loss), values[reduction])
    np.testing.assert_allclose(values["none"].sum(), values["sum"], rtol=1e-12)
    np.testing.assert_array_equal(arr(module(**options)(x, target)), values["mean"])
    with pytest.raises(
        ValueError, match="no such reduction.\n.*'mean' or 'sum' or 'none'.*\n.*'avg'"
    ):
        module(reduction="avg")
    with pytest.raises(ValueError, match="no such reduction"):
        function(x, target, reduction="avg")


@pytest.mark.parametrize("name", LOSSES)
def test_float32_stays_float32(name, device):
    function, _, x, target, options = case(device, name)
    x = x.detach().float().requires_grad_()
    target = target.detach().float() if target.is_floating_point() else target
    options = {k: v.float() if isinstance(v, minigrad.Tensor) else v for k, v in options.items()}
    loss = function(x, target, **options)
    loss.backward()
    assert loss.dtype == x.grad.dtype == np.float32 and loss.device.type == device


@pytest.mark.parametrize("name", LOSSES)
def test_an_empty_batch_has_no_mean(name):
    function, _, x, target, options = case("cpu", name)
    with pytest.raises(ValueError, match="empty batch is not defined.\n.*at least one.*\n.*0, 3"):
        function(x[:0], target[:0], **options)
    assert function(x[:0], target[:0], reduction="sum", **options).item() == 0
    assert function(x[:0], target[:0], reduction="none", **options).shape[0] == 0


def test_weights_are_buffers_that_move(device):
    loss = nn.CrossEntropyLoss(minigrad.ones(3))
    assert list(loss.state_dict()) == ["weight"] and not list(loss.parameters())
    assert loss.to(device).weight.device.type == device
    assert not nn.CrossEntropyLoss().state_dict()


# -------------------------------------------------------------------------------- bad inputs


def labels(*values):
    return minigrad.tensor(list(values))


Z = minigrad.zeros(4, 3)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: F.cross_entropy(Z, labels(0, 1, 3, 5)), IndexError,
         ["cross_entropy", "0 to 2", "3, the label of sample 2"]),
        (lambda: F.cross_entropy(Z, labels(0, -1, 2, 0)), IndexError,
         ["0 to 2, for 3 classes", "-1, the label of sample 1"]),
        (lambda: F.cross_entropy(Z, labels(0, -100, 3, 0)), IndexError, ["3, the label"]),
        (lambda: F.nll_loss(Z.reshape(2, 3, 2), labels(0, 1, 2, 7).reshape(2, 2)), IndexError,
         ["nll_loss", "7, the label of sample (1, 1)"]),
        (lambda: F.cross_entropy(minigrad.zeros(3), minigrad.tensor(3)), IndexError, ["3, the"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2)), ValueError,
         ["labels do not fit", "shape (4,)", "(4, 3)", "Actual: shape (3,)"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0).reshape(4, 1)), ValueError,
         ["shape (4,)", "(4, 1)", "target.squeeze(1)"]),
        (lambda: F.cross_entropy(Z, Z.long()), ValueError, ["(4,)", "target.float()", "argmax"]),
        (lambda: F.cross_entropy(minigrad.tensor(1.0), minigrad.tensor(0)), ValueError, ["labels"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0).float()), TypeError,
         ["class indices are integers", "probabilities of shape (4, 3)", "float32", "long()"]),
        (lambda: F.nll_loss(Z, Z), TypeError, ["class indices are integers", "float32"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0) > 1), TypeError, ["bool"]),
        (lambda: F.cross_entropy(Z, [0, 1, 2, 0]), TypeError, ["tensors", "list", "tensor("]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0), minigrad.ones(4)), ValueError,
         ["class weights", "(3,)", "(4,)"]),
        (lambda: F.cross_entropy(Z, Z, minigrad.ones(4)), ValueError, ["class weights"]),
        (lambda: F.cross_entropy(Z, Z, ignore_index=1), ValueError, ["no label to ignore"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0), label_smoothing=1.5), ValueError,
         ["label_smoothing", "0 to 1", "1.5"]),
        (lambda: F.cross_entropy(Z, labels(0, 1, 2, 0), label_smoothing=math.nan), ValueError,
         ["label_smoothing"]),
        (lambda: F.mse_loss(Z, Z[:, 0]), ValueError,
         ["mse_loss", "different shapes", "(4, 3)", "(4,)", "view_as"]),
        (lambda: F.mse_loss(Z[:, :1], Z[:, 0]), ValueError, ["(4, 1)", "(4,)"]),
        (lambda: F.mse_loss(Z, 3.0), TypeError, ["tensors", "float"]),
        (lambda: F.binary_cross_entropy(Z + 1.5, Z), ValueError,
         ["not probabilities", "0 to 1", "1.5 to 1.5", "with_logits"]),
        (lambda: F.binary_cross_entropy(Z * math.nan, Z), ValueError, ["not probabilities"]),
        (lambda: F.binary_cross_entropy_with_logits(Z, Z[:1]), ValueError, ["different shapes"]),
        (lambda: F.kl_div(Z, Z.T), ValueError, ["kl_div", "different shapes"]),
        (lambda: nn.KLDivLoss(reduction="total"), ValueError, ["'batchmean'", "'total'"]),
        (lambda: nn.MSELoss(reduction="batchmean"), ValueError, ["no such reduction"]),
        (lambda: F.huber_loss(Z, Z, delta=0), ValueError, ["delta > 0", "Actual: 0"]),
        (lambda: F.smooth_l1_loss(Z, Z, beta=-1), ValueError, ["beta >= 0", "Actual: -1"]),
    ],
)  # fmt: skip
def test_bad_input_is_said(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value), str(caught.value)
