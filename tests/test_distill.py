"""Distillation: against the formula in plain float64 NumPy, its limit, and a loop by hand.

Live against PyTorch's kl_div: ``torch/test_distill_torch.py``.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import nn, optim
from minigrad.compress import distill as module
from minigrad.compress.distill import distill_epoch, distillation_loss, soft_target_loss
from minigrad.nn.utils import prune


def softmax(z):
    e = np.exp(z - z.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def naive_soft(z, v, T):
    """T^2 KL(softmax(v / T) || softmax(z / T)), the mean over the batch, sample by sample."""
    total = 0.0
    for p, q in zip(softmax(v / T), softmax(z / T), strict=True):
        total += sum(pi * np.log(pi / qi) for pi, qi in zip(p, q, strict=True))
    return T**2 * total / len(z)


def naive_loss(z, v, labels, T, alpha):
    hard = -np.mean([np.log(row[label]) for row, label in zip(softmax(z), labels, strict=True)])
    return alpha * naive_soft(z, v, T) + (1 - alpha) * hard


def slope(function, z, step=1e-6):
    """The gradient by central differences."""
    gradient = np.zeros_like(z)
    for i in np.ndindex(z.shape):
        up, down = z.copy(), z.copy()
        up[i] += step
        down[i] -= step
        gradient[i] = (function(up) - function(down)) / (2 * step)
    return gradient


def logits(seed, n=4, c=5, scale=3.0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, c)) * scale, rng.normal(size=(n, c)) * scale, rng.integers(0, c, n)


def gradient_of(loss, z) -> np.ndarray:
    (gradient,) = minigrad.autograd.grad(loss, [z])
    return arr(gradient)


# ------------------------------------------------------------------------------- the formulas


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 4),
    c=st.integers(1, 6),
    T=st.floats(0.5, 20),
    alpha=st.floats(0, 1),
)
def test_value_and_gradient_are_those_of_the_formula(seed, n, c, T, alpha):
    z, v, labels = logits(seed, n, c)
    student = minigrad.from_numpy(z.copy()).requires_grad_()
    soft = soft_target_loss(student, minigrad.from_numpy(v), T)
    assert abs(soft.item() - naive_soft(z, v, T)) < 1e-9 * max(1, T**2)
    loss = distillation_loss(
        student, minigrad.from_numpy(v), minigrad.tensor(labels), temperature=T, alpha=alpha
    )
    assert abs(loss.item() - naive_loss(z, v, labels, T, alpha)) < 1e-9 * max(1, T**2)
    numeric = slope(lambda z: naive_loss(z, v, labels, T, alpha), z)
    np.testing.assert_allclose(gradient_of(loss, student), numeric, atol=1e-6 * max(1, T))
    one_hot = np.eye(c)[labels]
    formula = alpha * T * (softmax(z / T) - softmax(v / T)) + (1 - alpha) * (softmax(z) - one_hot)
    np.testing.assert_allclose(gradient_of_loss(z, v, labels, T, alpha), formula / n, atol=1e-12)


def gradient_of_loss(z, v, labels, T, alpha):
    student = minigrad.from_numpy(z.copy()).requires_grad_()
    loss = distillation_loss(
        student, minigrad.from_numpy(v), minigrad.tensor(labels), temperature=T, alpha=alpha
    )
    return gradient_of(loss, student)


def test_zero_where_both_agree(device):
    z = np.array([[1.0, 2.0, -3.0], [0.0, 5.0, 1.0]], np.float32)
    student = make(device, z, requires_grad=True)
    loss = soft_target_loss(student, make(device, z + 7), 3.0)  # a constant changes no softmax
    assert loss.shape == () and abs(loss.item()) < 1e-6
    assert abs(gradient_of(loss, student)).max() < 1e-6


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_high_temperature_matches_logits(scale):
    z, v, _ = logits(0, scale=scale)
    centred = (z - z.mean(1, keepdims=True)) - (v - v.mean(1, keepdims=True))
    limit = (centred**2).sum() / (2 * z.shape[1] * len(z))
    errors = []
    for T in (1e2, 1e3, 1e4):
        student = minigrad.from_numpy(z.copy()).requires_grad_()
        loss = soft_target_loss(student, minigrad.from_numpy(v), T)
        errors.append(abs(loss.item() - limit) / limit)
        gradient = gradient_of(loss, student) * z.shape[1] * len(z)
        np.testing.assert_allclose(gradient, centred, atol=10 * scale**2 / T)
    assert errors[2] < 5e-3 and errors[0] > 5 * errors[1] > 25 * errors[2]  # it falls like 1 / T


def test_the_size_of_gradients_does_not_fade_with_temperature():
    z, v, labels = logits(1)
    sizes = [np.linalg.norm(gradient_of_loss(z, v, labels, T, 1.0)) for T in (10, 20, 50, 1000)]
    assert max(sizes) < 1.5 * min(sizes)
    plain = [size / T**2 for size, T in zip(sizes, (10, 20, 50, 1000), strict=True)]
    assert max(plain) > 5000 * min(plain)  # without T^2 it would


def test_alpha_mixes(device):
    z, v, labels = (make(device, a) for a in logits(2))
    soft, hard = soft_target_loss(z, v, 2.0), nn.functional.cross_entropy(z, labels)
    for alpha, expected in ((1, soft), (0, hard), (0.25, 0.25 * soft + 0.75 * hard)):
        loss = distillation_loss(z, v, labels, temperature=2.0, alpha=alpha)
        assert abs(loss.item() - expected.item()) < 1e-12


def test_certain_logits_do_not_overflow():
    z = minigrad.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    v = minigrad.tensor([[-1e4, 1e4, 0.0]])
    loss = soft_target_loss(z, v, 1.0)
    assert loss.item() == pytest.approx(2e4)
    np.testing.assert_allclose(gradient_of(loss, z), [[1, -1, 0]], atol=1e-6)


def test_float32_is_good_enough_at_usual_temperatures(device):
    z, v, labels = logits(3, n=64, c=10)
    for T in (1.0, 4.0, 20.0):
        student = make(device, z.astype(np.float32), requires_grad=True)
        loss = soft_target_loss(student, make(device, v.astype(np.float32)), T)
        assert loss.dtype == np.float32
        assert loss.item() == pytest.approx(naive_soft(z, v, T), rel=1e-4)
        exact = T * (softmax(z / T) - softmax(v / T)) / len(z)
        np.testing.assert_allclose(gradient_of(loss, student), exact, atol=1e-6)


def test_no_gradient_goes_to_the_teacher():
    z, v, labels = logits(4)
    teacher = minigrad.from_numpy(v).requires_grad_()
    student = minigrad.from_numpy(z).requires_grad_()
    distillation_loss(student, teacher * 1, minigrad.tensor(labels)).backward()
    assert teacher.grad is None and student.grad is not None
    assert not soft_target_loss(student.detach(), teacher).requires_grad


# ----------------------------------------------------------------------------------- the loop


def net(width, device="cpu"):
    return nn.Sequential(
        nn.Linear(6, width, device=device),
        nn.BatchNorm1d(width, device=device),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(width, 3, device=device),
    )


def batches(device="cpu", n=12):
    """Three classes, by which of three sums of the inputs is largest."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 16, 6)).astype(np.float32)
    labels = (x.reshape(n, 16, 3, 2).sum(-1)).argmax(-1)
    return [(make(device, a), make(device, b)) for a, b in zip(x, labels, strict=True)]


def test_distill_epoch_is_the_loop_written_by_hand(device):
    minigrad.manual_seed(0)
    teacher, student = net(16, device), net(4, device)
    teacher[0].eval()  # modes are put back as they were, one by one
    before = {name: arr(value).copy() for name, value in teacher.state_dict().items()}
    twin = copy.deepcopy(student)
    state = minigrad.get_rng_state()
    data, options = batches(device), dict(temperature=3.0, alpha=0.7)
    mean = distill_epoch(student, teacher, data, optim.SGD(student.parameters(), lr=0.1), **options)
    assert teacher.training and not teacher[0].training and student.training
    for name, value in teacher.state_dict().items():
        np.testing.assert_array_equal(arr(value), before[name])
    assert all(p.grad is None for p in teacher.parameters())

    minigrad.set_rng_state(state)
    optimizer, losses = optim.SGD(twin.parameters(), lr=0.1), []
    teacher.eval()
    for x, labels in data:
        loss = distillation_loss(twin(x), teacher(x).detach(), labels, **options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert mean == pytest.approx(np.mean(losses))
    for (name, p), q in zip(student.named_parameters(), twin.parameters(), strict=True):
        np.testing.assert_array_equal(arr(p), arr(q), err_msg=name)


def test_distillation_recovers_a_pruned_network():
    minigrad.manual_seed(1)
    teacher, data = net(32), batches(n=30)
    optimizer = optim.Adam(teacher.parameters(), lr=0.01)
    for _ in range(6):
        for x, labels in data:
            optimizer.zero_grad()
            nn.functional.cross_entropy(teacher(x), labels).backward()
            optimizer.step()
    student = copy.deepcopy(teacher)
    for layer in (student[0], student[4]):
        prune.l1_unstructured(layer, "weight", 0.8)
    masks = [arr(layer.weight_mask).copy() for layer in (student[0], student[4])]

    def disagreement():
        with minigrad.no_grad():
            answers = [(student.eval()(x), teacher.eval()(x)) for x, _ in data]
        return np.mean([(a.argmax(1) != b.argmax(1)).float().mean().item() for a, b in answers])

    pruned = disagreement()
    optimizer = optim.Adam(student.parameters(), lr=0.01, weight_decay=1e-4)
    losses = [distill_epoch(student, teacher, data, optimizer) for _ in range(6)]
    assert losses[-1] < 0.85 * losses[0] and disagreement() < 0.7 * pruned
    for layer, mask in zip((student[0], student[4]), masks, strict=True):
        assert (arr(layer.weight)[mask == 0] == 0).all()


def test_a_failure_puts_the_modes_back():
    teacher = net(4)
    optimizer = optim.SGD(teacher.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="temperature"):
        distill_epoch(net(4), teacher, batches(), optimizer, temperature=0)
    assert all(part.training for part in teacher.modules())


# ---------------------------------------------------------------------------------- bad input

Z = np.zeros((4, 3))
LABELS = [0, 1, 2, 0]
BAD = {
    "temperature-0": (dict(temperature=0), ValueError, "above 0"),
    "temperature-negative": (dict(temperature=-1), ValueError, "-1"),
    "temperature-nan": (dict(temperature=np.nan), ValueError, "nan"),
    "temperature-inf": (dict(temperature=np.inf), ValueError, "inf"),
    "temperature-none": (dict(temperature=None), ValueError, "None"),
    "alpha-above": (dict(alpha=1.1), ValueError, "from 0 to 1"),
    "alpha-nan": (dict(alpha=np.nan), ValueError, "nan"),
    "alpha-text": (dict(alpha="0.5"), ValueError, "'0.5'"),
    "classes": (dict(v=np.zeros((4, 5))), ValueError, "(4, 5)"),
    "samples": (dict(v=np.zeros((1, 3))), ValueError, "(1, 3)"),  # must not broadcast
    "one-sample": (dict(z=np.zeros(3)), ValueError, "(N, C)"),
    "images": (dict(z=np.zeros((4, 3, 2)), v=np.zeros((4, 3, 2))), ValueError, "reshape"),
    "empty": (dict(z=np.zeros((0, 3)), v=np.zeros((0, 3))), ValueError, "at least one"),
    "integers": (dict(z=np.zeros((4, 3), int)), TypeError, "int64"),
    "integer-teacher": (dict(v=np.zeros((4, 3), int)), TypeError, "teacher's"),
    "label": (dict(labels=[0, 1, 2, 3]), IndexError, "out of range"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    options, kind, text = BAD[case]
    options = dict(options)
    z, v = options.pop("z", Z), options.pop("v", Z)
    labels = minigrad.tensor(options.pop("labels", LABELS))
    with pytest.raises(kind) as caught:
        distillation_loss(minigrad.Tensor(z), minigrad.Tensor(v), labels, **options)
    assert text in str(caught.value)


def test_bad_input_to_the_loop():
    teacher, student = net(4), net(4)
    optimizer = optim.SGD(student.parameters(), lr=0.1)
    with pytest.raises(ValueError, match="no batches"):
        distill_epoch(student, teacher, iter([]), optimizer)
    with pytest.raises(ValueError, match="its own teacher"):
        distill_epoch(student, student, batches(), optimizer)
    with pytest.raises(TypeError, match="ndarray"):
        soft_target_loss(Z, minigrad.Tensor(Z))


def test_public_names():
    assert set(module.__all__) == {"distill_epoch", "distillation_loss", "soft_target_loss"}
