"""Pruning against ``torch.nn.utils.prune``, live: the same masks, bit for bit, and the same steps.

Needs PyTorch. The same is compared with stored masks in ``tests/test_prune.py``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import minigrad
from minigrad import nn
from minigrad.nn.utils import prune

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.nn.utils.prune")

NORMS = [1, 2, 3, 0.5, -1, 0, math.inf, -math.inf, "fro"]


def pair(array) -> tuple[nn.Module, torch.nn.Module]:
    """The same parameter ``weight`` in a module of each."""
    a, b = nn.Module(), torch.nn.Module()
    a.weight = nn.Parameter(minigrad.from_numpy(array.copy()))
    b.weight = torch.nn.Parameter(torch.from_numpy(array.copy()))
    return a, b


def draw_weights(data, shape) -> np.ndarray:
    """Weights whose sizes are all different, so that no order is left to chance."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1), "seed"))
    sizes = 1 + rng.permutation(math.prod(shape)) + 0.25 * rng.random(math.prod(shape))
    signed = sizes * rng.choice([-1, 1], size=len(sizes)) * 10.0 ** rng.integers(-3, 3)
    dtype = data.draw(st.sampled_from([np.float32, np.float64]))
    return signed.reshape(shape).astype(dtype)


def amounts(left: int):
    """Fractions, among them those half-way between two counts, and counts."""
    half_way = st.integers(0, max(left - 1, 0)).map(lambda k: (k + 0.5) / max(left, 1))
    return st.floats(0, 1) | half_way | st.integers(0, left) | st.sampled_from([0.0, 1.0, 0, left])


def distinct_norms(array, mask, n, dim: int) -> bool:
    """Whether no two channels that are left have nearly the same norm."""
    axes = tuple(i for i in range(array.ndim) if i != dim % array.ndim)
    with torch.no_grad():
        norms = torch.norm(torch.from_numpy(array).double(), p=n, dim=axes).numpy()
    norms = np.sort(norms[mask.any(axes)])
    return bool((np.diff(norms) > 1e-5 * abs(norms[1:])).all())


def refresh(module: torch.nn.Module) -> None:
    for hook in module._forward_pre_hooks.values():
        hook(module, ())


def assert_same(a: nn.Module, b: torch.nn.Module) -> None:
    for name in ("weight_orig", "weight_mask", "weight"):
        x, y = getattr(a, name).detach().numpy(), getattr(b, name).detach().numpy()
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(x.view(np.uint8), y.view(np.uint8), err_msg=name)


def train(a: nn.Module, b: torch.nn.Module, rng) -> None:
    step = rng.normal(size=a.weight.shape).astype(a.weight.dtype)
    with minigrad.no_grad(), torch.no_grad():
        a.weight_orig.add_(minigrad.from_numpy(step))
        b.weight_orig.add_(torch.from_numpy(step))
    refresh(b)  # PyTorch prunes by the weight of the last forward, and this is one


@given(st.data())
def test_iterated_pruning(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    w = draw_weights(data, shape)
    a, b = pair(w)
    rng = np.random.default_rng(0)
    kinds = ["l1", "identity", "custom"] + ["ln"] * (len(shape) > 1)
    for _ in range(data.draw(st.integers(1, 4), "steps")):
        kind = data.draw(st.sampled_from(kinds))
        mask = a.weight_mask.numpy() if prune.is_pruned(a) else np.ones(shape)
        current = a.weight_orig.detach().numpy() * mask if prune.is_pruned(a) else w
        given_scores = data.draw(st.booleans())
        scores = draw_weights(data, shape).astype(w.dtype) if given_scores else current
        ours = dict(importance_scores=minigrad.from_numpy(scores)) if given_scores else {}
        other = dict(importance_scores=torch.from_numpy(scores)) if given_scores else {}
        if kind == "l1":
            amount = data.draw(amounts(int(mask.sum())))
            prune.l1_unstructured(a, "weight", amount, **ours)
            theirs.l1_unstructured(b, "weight", amount, **other)
        elif kind == "ln":
            dim = data.draw(st.integers(-len(shape), len(shape) - 1))
            # PyTorch takes "fro" only of vectors and matrices.
            n = data.draw(st.sampled_from(NORMS[: -1 if len(shape) > 3 else None]))
            assume(distinct_norms(scores, mask, n, dim))
            axes = tuple(i for i in range(len(shape)) if i != dim % len(shape))
            amount = data.draw(amounts(int(mask.any(axes).sum())))
            prune.ln_structured(a, "weight", amount, n, dim, **ours)
            theirs.ln_structured(b, "weight", amount, n, dim, **other)
        elif kind == "custom":
            custom = rng.random(shape) < 0.8
            prune.custom_from_mask(a, "weight", minigrad.from_numpy(custom))
            theirs.custom_from_mask(b, "weight", torch.from_numpy(custom))
        else:
            prune.identity(a, "weight")
            theirs.identity(b, "weight")
        assert_same(a, b)
        if data.draw(st.booleans(), "train"):
            train(a, b, rng)
    prune.remove(a, "weight")
    theirs.remove(b, "weight")
    np.testing.assert_array_equal(a.weight.detach().numpy(), b.weight.detach().numpy())


@given(st.data())
def test_nuclear_norm(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=3, max_size=3))
    w, dim = draw_weights(data, shape), data.draw(st.integers(-3, 2))
    assume(distinct_norms(w, np.ones(shape), "nuc", dim))
    amount = data.draw(st.floats(0, 1))
    a, b = pair(w)
    prune.ln_structured(a, "weight", amount, "nuc", dim)
    theirs.ln_structured(b, "weight", amount, "nuc", dim)
    assert_same(a, b)


@given(st.data())
def test_global_pruning(data):
    shapes = data.draw(
        st.lists(st.lists(st.integers(1, 4), min_size=1, max_size=3), min_size=1, max_size=3)
    )
    sizes = [math.prod(shape) for shape in shapes]
    w = draw_weights(data, (sum(sizes),))
    parts = np.split(w, np.cumsum(sizes)[:-1])
    pairs = [pair(part.reshape(shape)) for part, shape in zip(parts, shapes, strict=True)]
    for _ in range(data.draw(st.integers(1, 3))):
        left = sum(
            int(a.weight_mask.sum()) if prune.is_pruned(a) else a.weight.numel() for a, _ in pairs
        )
        amount = data.draw(amounts(left))
        options = dict(pruning_method=prune.L1Unstructured, amount=amount)
        prune.global_unstructured([(a, "weight") for a, _ in pairs], **options)
        options = dict(pruning_method=theirs.L1Unstructured, amount=amount)
        theirs.global_unstructured([(b, "weight") for _, b in pairs], **options)
        for a, b in pairs:
            assert_same(a, b)


@given(st.data())
def test_random_methods_prune_the_same_counts(data):
    shape = data.draw(st.lists(st.integers(1, 5), min_size=2, max_size=3))
    a, b = pair(draw_weights(data, shape))
    dim = data.draw(st.integers(-len(shape), len(shape) - 1))
    structured = data.draw(st.booleans())
    axes = tuple(i for i in range(len(shape)) if i != dim % len(shape))
    for _ in range(3):
        if structured:
            amount = data.draw(st.floats(0, 1))
            prune.random_structured(a, "weight", amount, dim)
            theirs.random_structured(b, "weight", amount, dim)
            left = [m.weight_mask.numpy().any(axes) for m in (a, b)]
            assert (a.weight_mask.numpy().sum() % math.prod([shape[i] for i in axes])) == 0
        else:
            left = a.weight_mask.numpy() if prune.is_pruned(a) else np.ones(shape)
            amount = data.draw(amounts(int(left.sum())))
            prune.random_unstructured(a, "weight", amount)
            theirs.random_unstructured(b, "weight", amount)
            left = [m.weight_mask.numpy() for m in (a, b)]
        assert left[0].sum() == left[1].sum()


def optimizers(of):
    return [
        lambda p: of.SGD(p, lr=0.05, momentum=0.9, weight_decay=0.01),
        lambda p: of.Adam(p, lr=0.01, weight_decay=0.01),
        lambda p: of.AdamW(p, lr=0.01, weight_decay=0.1),
    ]


@pytest.mark.parametrize("which", range(3))
def test_training_of_a_pruned_network_is_the_same(which):
    rng = np.random.default_rng(0)
    torch.manual_seed(0)

    def net(of):
        return of.Sequential(of.Conv2d(1, 4, 3), of.ReLU(), of.Flatten(), of.Linear(64, 3))

    a, b = net(nn).double(), net(torch.nn).double()
    a.load_state_dict({name: value.numpy() for name, value in b.state_dict().items()})
    ours = optimizers(minigrad.optim)[which](a.parameters())
    other = optimizers(torch.optim)[which](b.parameters())
    for step in range(12):
        if step in (3, 6):  # while it trains, as iterative pruning does
            refresh(b[0]), refresh(b[3])
            for module, by in ((a, prune), (b, theirs)):
                by.ln_structured(module[0], "weight", 1, 1, dim=0)
                by.l1_unstructured(module[3], "weight", 0.5)
        if step == 9:  # and on without the mask
            prune.remove(a[3], "weight")
            theirs.remove(b[3], "weight")
        x, labels = rng.normal(size=(5, 1, 6, 6)), rng.integers(0, 3, 5)
        loss = nn.functional.cross_entropy(a(minigrad.from_numpy(x)), minigrad.tensor(labels))
        ours.zero_grad()
        loss.backward()
        ours.step()
        loss = torch.nn.functional.cross_entropy(b(torch.from_numpy(x)), torch.tensor(labels))
        other.zero_grad()
        loss.backward()
        other.step()
        for (name, p), (other_name, q) in zip(
            a.named_parameters(), b.named_parameters(), strict=True
        ):
            assert name == other_name
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), atol=1e-10)
    assert list(a.state_dict()) == list(b.state_dict())


def test_every_public_name_is_there():
    public = {name for name in vars(theirs) if not name.startswith("_")}
    public -= {"ABC", "Iterable", "abstractmethod", "numbers", "torch"}
    assert public == set(prune.__all__)
