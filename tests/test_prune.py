"""Pruning by masks: against PyTorch's masks in golden/prune.npz, a naive oracle, and on its own.

Live against PyTorch: ``torch/test_prune_torch.py``.
"""

from __future__ import annotations

import copy
import doctest
import json
import math
import pickle
from pathlib import Path

import numpy as np
import pytest
from helpers import arr, make, on_device
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import nn, optim, serialize
from minigrad.nn.utils import prune

GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "prune.npz"))
INDEX = json.loads(str(GOLDEN["cases"]))


class Holder(nn.Module):
    """A module with one parameter, ``weight``."""

    def __init__(self, array, device="cpu"):
        super().__init__()
        self.weight = nn.Parameter(make(device, array))

    def forward(self, x):
        return (x * self.weight).sum()


def golden(key: str, shape: str, device="cpu") -> minigrad.Tensor:
    return make(device, GOLDEN[f"{key}/{shape}"])


def move(module, by) -> None:
    """Change the weights, as training would; ``module.weight`` is then that of before."""
    with minigrad.no_grad():
        module.weight_orig.add_(by)


def parts(module) -> dict[str, np.ndarray]:
    """All that pruning may change of a module, by name, to compare."""
    state = {name: arr(value).copy() for name, value in module.state_dict().items()}
    weight = {"masked": arr(module.weight).copy()}
    return state | weight | {"hooks": [hook.function for hook in module._forward_pre_hooks]}


def assert_same(a: dict, b: dict) -> None:
    assert list(a) == list(b)
    for name in a:
        np.testing.assert_equal(a[name], b[name])


# --------------------------------------------------------------------------- PyTorch's masks


def run_steps(shape: str, steps: list, device: str) -> list[np.ndarray]:
    """Do what ``golden/make_prune.py`` does; return the masks."""
    module, masks = Holder(GOLDEN[f"weights/{shape}"], device), []
    for name, options in steps:
        options = dict(options)
        if options.pop("scores", False):
            options["importance_scores"] = golden("scores", shape, device)
        if name == "custom_from_mask":
            options["mask"] = golden("mask", shape, device)
        if options.get("n") in ("inf", "-inf"):
            options["n"] = float(options["n"])
        assert getattr(prune, name)(module, "weight", **options) is module
        assert module.weight_mask.dtype == module.weight_orig.dtype
        masks.append(arr(module.weight_mask).copy())
        np.testing.assert_array_equal(arr(module.weight), masks[-1] * arr(module.weight_orig))
        move(module, golden("move", shape, device))
    return masks


@pytest.mark.parametrize("case", INDEX["cases"])
def test_masks_equal_pytorchs(case, device):
    masks = np.array(run_steps(*INDEX["cases"][case], device))
    if f"masks/{case}" in GOLDEN:
        np.testing.assert_array_equal(masks, GOLDEN[f"masks/{case}"])
    else:  # at random: the same counts
        counts = masks.sum(tuple(range(1, masks.ndim)))
        np.testing.assert_array_equal(counts, GOLDEN[f"left/{case}"])
        assert (np.diff(masks, axis=0) <= 0).all(), "what was pruned came back"


@pytest.mark.parametrize("case", INDEX["global"])
def test_global_masks_equal_pytorchs(case, device):
    modules = {shape: Holder(GOLDEN[f"weights/{shape}"], device) for shape in INDEX["shapes"]}
    rows = []
    for name, options in INDEX["global"][case]:
        options = dict(options)
        scores = {
            (modules[shape], "weight"): golden("scores", shape, device)
            for shape in options.pop("scores", [])
        }
        pairs = ((module, "weight") for module in modules.values())  # a generator is fine
        prune.global_unstructured(pairs, getattr(prune, name), importance_scores=scores, **options)
        rows.append(np.concatenate([arr(m.weight_mask).ravel() for m in modules.values()]))
        for shape, module in modules.items():
            move(module, golden("move", shape, device))
    if case == "random":
        np.testing.assert_array_equal(np.sum(rows, 1), GOLDEN[f"global-left/{case}"])
    else:
        np.testing.assert_array_equal(np.array(rows), GOLDEN[f"global-masks/{case}"])


# ------------------------------------------------------------------------------- the oracle


def naive_count(amount, left: int) -> int:
    """The amount as a count, in words: to the nearest whole number, from half-way to the even."""
    if isinstance(amount, int):
        return amount
    low = int(amount * left)
    rest = amount * left - low
    return low + (rest > 0.5 or (rest == 0.5 and low % 2 == 1))


def naive_l1(w: np.ndarray, mask: np.ndarray, amount) -> None:
    """Zero, one by one, the entries that are nearest to zero; of equal ones the first."""
    places = [i for i in np.ndindex(w.shape) if mask[i]]
    for _ in range(naive_count(amount, len(places))):
        place = min(places, key=lambda i: abs(w[i]))
        places.remove(place)
        mask[place] = 0


def naive_ln(w: np.ndarray, mask: np.ndarray, amount, n, dim: int) -> None:
    """The same with channels, and their norm by its definition."""

    def norm(c):
        entries = [abs(float(x)) for x in w.take(c, dim).ravel()]
        return max(entries) if n == np.inf else sum(x**n for x in entries)

    channels = [c for c in range(w.shape[dim]) if mask.take(c, dim).any()]
    for _ in range(naive_count(amount, len(channels))):
        channel = min(channels, key=norm)
        channels.remove(channel)
        np.moveaxis(mask, dim, 0)[channel] = 0


@given(st.data())
def test_masks_equal_a_naive_oracle(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=2, max_size=4))
    # Small whole numbers: many are equal, and their norms are exact.
    draw = st.lists(st.integers(-9, 9), min_size=math.prod(shape), max_size=math.prod(shape))
    w = np.array(data.draw(draw), np.float32).reshape(shape)
    module, mask = Holder(w), np.ones(shape)
    for _ in range(data.draw(st.integers(1, 4))):
        amount = data.draw(st.floats(0, 1))
        if data.draw(st.booleans()):
            amount = naive_count(amount, int(mask.sum())) if data.draw(st.booleans()) else amount
            naive_l1(w * mask, mask, amount)
            prune.l1_unstructured(module, "weight", amount)
        else:
            dim = data.draw(st.integers(-len(shape), len(shape) - 1))
            n = data.draw(st.sampled_from([1, 2, 3, np.inf]))
            naive_ln(w * mask, mask, amount, n, dim)
            prune.ln_structured(module, "weight", amount, n, dim)
        np.testing.assert_array_equal(arr(module.weight_mask), mask)
        np.testing.assert_array_equal(arr(module.weight), w * mask)


@given(st.data())
def test_global_pruning_is_pruning_of_all_as_one(data):
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    total = sum(sizes)
    draw = st.lists(st.integers(-20, 20), min_size=total, max_size=total)
    w = np.array(data.draw(draw), np.float32)
    modules = [Holder(part) for part in np.split(w, np.cumsum(sizes)[:-1])]
    mask = np.ones(total)
    for amount in data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=3)):
        naive_l1(w, mask, amount)
        pairs = [(module, "weight") for module in modules]
        prune.global_unstructured(pairs, prune.L1Unstructured, amount=amount)
        np.testing.assert_array_equal(np.concatenate([arr(m.weight_mask) for m in modules]), mask)


# ------------------------------------------------------------------------- what it consists of


def test_parts_of_a_pruned_layer(device):
    layer = nn.Linear(4, 3, device=device)
    parameter = layer.weight
    prune.l1_unstructured(layer, "weight", 5)
    assert [name for name, _ in layer.named_parameters()] == ["bias", "weight_orig"]
    assert [name for name, _ in layer.named_buffers()] == ["weight_mask"]
    assert list(layer.state_dict()) == ["bias", "weight_orig", "weight_mask"]
    assert layer.weight_orig is parameter
    assert not isinstance(layer.weight, nn.Parameter) and layer.weight.requires_grad
    assert int((layer.weight == 0).sum()) == 5
    prune.random_unstructured(layer, "bias", 1)
    assert [name for name, _ in layer.named_parameters()] == ["weight_orig", "bias_orig"]
    assert prune.is_pruned(nn.Sequential(nn.ReLU(), layer))
    assert prune.remove(layer, "weight") is layer
    assert [name for name, _ in layer.named_parameters()] == ["bias_orig", "weight"]
    assert layer.weight is parameter and layer.weight.is_leaf
    assert int((layer.weight == 0).sum()) == 5
    assert prune.is_pruned(layer)
    prune.remove(layer, "bias")
    assert not prune.is_pruned(layer) and layer._forward_pre_hooks == []


def test_gradient_is_masked(device):
    w, x = np.arange(1.0, 7.0).reshape(2, 3), np.arange(6.0).reshape(2, 3) - 9
    module = prune.ln_structured(Holder(w, device), "weight", 1, 2, dim=1)
    module(make(device, x)).backward()
    np.testing.assert_array_equal(arr(module.weight_mask), [[0, 1, 1]] * 2)
    np.testing.assert_array_equal(arr(module.weight_orig.grad), x * [[0, 1, 1]] * 1.0)


def test_a_regularizer_on_the_masked_weight_reaches_the_parameter():
    module = prune.l1_unstructured(Holder([1.0, -2.0, 3.0]), "weight", 1)
    optim.l1_penalty([module.weight], 0.5).backward()
    assert module.weight_orig.grad.tolist() == [0, -0.5, 0.5]


def test_pruning_again_sees_the_weights_of_now():
    module = prune.l1_unstructured(Holder([1.0, 2.0, 3.0, 4.0]), "weight", 1)
    move(module, minigrad.tensor([9.0, 9.0, 0.0, 0.0]))  # and no forward after it
    prune.l1_unstructured(module, "weight", 1)
    assert module.weight.tolist() == [0, 11, 0, 4]


def test_pruning_again_makes_a_container():
    layer = nn.Linear(4, 3)
    first = prune.L1Unstructured.apply(layer, "weight", 0.25)
    assert isinstance(first, prune.L1Unstructured)
    prune.RandomStructured.apply(layer, "weight", 1, dim=0)
    container = prune.LnStructured.apply(layer, "weight", 1, 2, 1)
    kinds = [prune.L1Unstructured, prune.RandomStructured, prune.LnStructured]
    assert isinstance(container, prune.PruningContainer) and container[0] is first
    assert len(container) == 3 and [type(method) for method in container] == kinds
    assert [hook.function for hook in layer._forward_pre_hooks] == [container]


def test_other_hooks_stay():
    layer, calls = nn.Linear(4, 3), []
    layer.register_forward_pre_hook(lambda module, args: calls.append("mine"))
    for _ in range(3):
        prune.l1_unstructured(layer, "weight", 1)
    layer(minigrad.ones(1, 4))
    prune.remove(layer, "weight")
    layer(minigrad.ones(1, 4))
    assert calls == ["mine", "mine"]


class EverySecond(prune.BasePruningMethod):
    """The example of PyTorch's tutorial, in its words."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        mask = default_mask.clone()
        mask.view(-1)[::2] = 0
        return mask


def test_a_method_of_ones_own(device):
    module = Holder(np.arange(1.0, 7.0).reshape(2, 3), device)
    module.weight.data = module.weight.data.T  # not in order in memory
    EverySecond.apply(module, "weight")
    np.testing.assert_array_equal(arr(module.weight), [[0, 4], [0, 5], [0, 6]])
    EverySecond.apply(module, "weight")  # of what is left
    np.testing.assert_array_equal(arr(module.weight), [[0, 0], [0, 5], [0, 0]])
    pairs = [(Holder(np.ones(3), device), "weight"), (Holder(np.ones(2), device), "weight")]
    prune.global_unstructured(pairs, EverySecond)
    assert [m.weight.tolist() for m, _ in pairs] == [[0, 1, 0], [1, 0]]


def test_norm_zero_counts_entries(device):
    w = np.array([[9.0, 0, 0], [1, 1, 0], [0.1, 0.1, 0.1]])
    module = prune.ln_structured(Holder(w, device), "weight", 1, 0, dim=0)
    np.testing.assert_array_equal(arr(module.weight_mask), [[0] * 3, [1] * 3, [1] * 3])


def test_boolean_masks():
    class Positive(prune.BasePruningMethod):
        PRUNING_TYPE = "unstructured"

        def compute_mask(self, t, default_mask):
            return t > 0

    module = Holder([1.0, -2.0, 3.0])
    Positive.apply(module, "weight")
    assert module.weight_mask.dtype == np.bool_ and module.weight.tolist() == [1, 0, 3]
    prune.custom_from_mask(module, "weight", minigrad.tensor([True, True, False]))
    assert module.weight.tolist() == [1, 0, 0]


def test_prune_of_a_tensor_without_a_module():
    t = minigrad.tensor([3.0, -1.0, 2.0, -4.0], requires_grad=True)
    method = prune.L1Unstructured(amount=0.5)
    assert method.prune(t).tolist() == [3, 0, 0, -4]
    scores = minigrad.tensor([0.0, 9.0, 9.0, 0.0])
    assert method.prune(t, importance_scores=scores).tolist() == [0, -1, 2, 0]
    mask = minigrad.tensor([1.0, 1.0, 1.0, 0.0])
    method.prune(t, default_mask=mask).sum().backward()
    assert t.grad.tolist() == [1, 0, 0, 0]
    assert prune.LnStructured(1, 2, dim=0).prune(t.reshape(2, 2)).tolist() == [[0, 0], [2, -4]]


def test_scores_may_be_infinite_and_may_require_a_gradient():
    scores = minigrad.tensor([np.inf, 1.0, 2.0], requires_grad=True)
    module = prune.l1_unstructured(Holder([1.0, 5.0, 6.0]), "weight", 2, importance_scores=scores)
    assert module.weight.tolist() == [1, 0, 0] and not module.weight_mask.requires_grad


def test_documented_examples_run():
    assert doctest.testmod(prune).failed == 0


# ---------------------------------------------------------------------------------- at random


def test_a_generator_makes_it_repeatable():
    def masks(generator, seed):
        minigrad.manual_seed(seed)
        layer = nn.Linear(8, 8)
        prune.random_unstructured(layer, "weight", 0.5, generator=generator)
        prune.random_structured(layer, "weight", 2, 0, generator=generator)
        other = Holder(np.ones(20))
        pairs = [(layer, "weight"), (other, "weight")]
        method = prune.RandomUnstructured
        prune.global_unstructured(pairs, method, amount=0.1, generator=generator)
        return np.concatenate([arr(layer.weight_mask).ravel(), arr(other.weight_mask)])

    def seeded(n):
        return np.random.default_rng(n)

    np.testing.assert_array_equal(masks(None, 1), masks(None, 1))
    assert (masks(None, 1) != masks(None, 2)).any()
    np.testing.assert_array_equal(masks(seeded(5), 1), masks(seeded(5), 2))
    own = [minigrad.Generator().manual_seed(3) for _ in range(2)]
    np.testing.assert_array_equal(masks(own[0], 1), masks(own[1], 2))
    assert (masks(seeded(5), 1) != masks(seeded(6), 1)).any()


def test_random_pruning_reaches_every_place():
    rng, times = np.random.default_rng(0), np.zeros((4, 5))
    for _ in range(200):
        module = prune.random_unstructured(Holder(np.ones((4, 5))), "weight", 5, generator=rng)
        times += 1 - arr(module.weight_mask)
        module = prune.random_structured(Holder(np.ones((4, 5))), "weight", 1, 0, generator=rng)
        times += 1 - arr(module.weight_mask)
    assert times.min() > 50 and times.max() < 150  # 100 each on average


# ------------------------------------------------------------------------------ what it survives


def small_net(device="cpu"):
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3, device=device), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3, device=device)
    )
    prune.l1_unstructured(net[0], "weight", 0.5)
    prune.ln_structured(net[3], "weight", 20, 2, 1)
    return prune.l1_unstructured(net[3], "weight", 0.3) and net


def train(net, optimizer, device="cpu", steps=8):
    rng = np.random.default_rng(1)
    for _ in range(steps):
        x = make(device, rng.normal(size=(5, 1, 6, 6)).astype(np.float32))
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(x), make(device, rng.integers(0, 3, 5))).backward()
        optimizer.step()
    return x


OPTIMIZERS = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.1, nesterov=True),
    "adam": lambda p: optim.Adam(p, lr=0.01, weight_decay=0.1),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.001, momentum=0.9, weight_decay=0.1),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masks_survive_optimizers(name, device):
    minigrad.manual_seed(1)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, device=device), nn.ReLU(), nn.Flatten(),
                        nn.Linear(64, 3, device=device))  # fmt: skip
    optimizer = OPTIMIZERS[name](net.parameters())
    train(net, optimizer, device)  # momentum of what is pruned in a moment
    for layer in (net[0], net[3]):
        prune.l1_unstructured(layer, "weight", 0.5)  # the optimizer holds the same parameters
    masks = [arr(layer.weight_mask).copy() for layer in (net[0], net[3])]
    origs = [arr(layer.weight_orig).copy() for layer in (net[0], net[3])]
    x = train(net, optimizer, device)
    net(x)
    for layer, mask, orig in zip((net[0], net[3]), masks, origs, strict=True):
        np.testing.assert_array_equal(arr(layer.weight_mask), mask)
        assert (arr(layer.weight)[mask == 0] == 0).all()
        assert (arr(layer.weight)[mask == 1] != orig[mask == 1]).all()  # the rest learned
        # What is behind the mask moves, by momentum and decay, and that must not matter.
        assert (arr(layer.weight_orig)[mask == 0] != orig[mask == 0]).any()
    for layer, mask in zip((net[0], net[3]), masks, strict=True):
        masked = arr(layer.weight).copy()
        prune.remove(layer, "weight")
        np.testing.assert_array_equal(arr(layer.weight), masked)
        assert (arr(layer.weight)[mask == 0] == 0).all()
    optimizer.step()  # and the optimizer goes on with the same parameters


def test_a_pruned_network_learns_like_one_whose_weights_are_masked_by_hand(device):
    minigrad.manual_seed(0)
    net = small_net(device)
    w, b = net[3].weight_orig.detach().clone(), net[3].bias.detach().clone()
    w, b = w.requires_grad_(), b.requires_grad_()
    mask = net[3].weight_mask
    ours = optim.SGD(net[3].parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    hand = optim.SGD([b, w], lr=0.1, momentum=0.9, weight_decay=0.01)
    rng = np.random.default_rng(2)
    for _ in range(5):
        x = make(device, rng.normal(size=(4, 64)).astype(np.float32))
        labels = make(device, rng.integers(0, 3, 4))
        for optimizer, z in ((ours, net[3](x)), (hand, x @ (mask * w).T + b)):
            optimizer.zero_grad()
            nn.functional.cross_entropy(z, labels).backward()
            optimizer.step()
    np.testing.assert_allclose(arr(net[3].weight_orig), arr(w), rtol=1e-5, atol=1e-6)


def test_masks_survive_state_dicts(tmp_path, device):
    net = small_net(device)
    train(net, optim.SGD(net.parameters(), lr=0.1), device)
    x = make(device, np.random.default_rng(0).normal(size=(2, 1, 6, 6)).astype(np.float32))
    minigrad.manual_seed(7)
    other = small_net(device)
    fresh = nn.Sequential(nn.Conv2d(1, 4, 3, device=device), nn.ReLU(), nn.Flatten(),
                          nn.Linear(64, 3, device=device))  # fmt: skip
    for layer in (fresh[0], fresh[3]):
        prune.identity(layer, "weight")
    serialize.save(net.state_dict(), tmp_path / "pruned.npz")
    state = serialize.load(tmp_path / "pruned.npz")
    for twin in (other, fresh):
        twin.load_state_dict(state)
        # Not only after the next forward:
        np.testing.assert_array_equal(
            arr(twin[3].weight), arr(net[3].weight_mask) * arr(net[3].weight_orig)
        )
        np.testing.assert_array_equal(arr(twin(x)), arr(net(x)))


def test_a_state_dict_of_a_network_pruned_otherwise_is_refused():
    pruned, plain = prune.l1_unstructured(nn.Linear(3, 2), "weight", 2), nn.Linear(3, 2)
    for to, state in ((plain, pruned.state_dict()), (pruned, plain.state_dict())):
        before = {name: arr(value).copy() for name, value in to.state_dict().items()}
        with pytest.raises(RuntimeError) as caught:
            to.load_state_dict(state)
        for text in ("weight_orig", "weight_mask", "unchanged", "prune.identity"):
            assert text in str(caught.value)
        assert_same(before, {name: arr(value) for name, value in to.state_dict().items()})


def test_masks_survive_deep_copies(device):
    check_copies(copy.deepcopy, device)


def test_masks_survive_pickling():
    check_copies(lambda net: pickle.loads(pickle.dumps(net)))  # noqa: S301


def check_copies(duplicate, device="cpu"):
    net = small_net(device)
    x = train(net, optim.SGD(net.parameters(), lr=0.1), device)
    net(x)  # recorded, and not yet freed
    twin = duplicate(net)
    for layer, copied in ((net[0], twin[0]), (net[3], twin[3])):
        np.testing.assert_array_equal(arr(copied.weight), arr(layer.weight))
        assert copied.weight.requires_grad and copied.weight_orig is not layer.weight_orig
    assert prune.is_pruned(twin)
    np.testing.assert_array_equal(arr(twin(x)), arr(net(x)))
    before = parts(net[3])
    prune.l1_unstructured(twin[3], "weight", 0.5)  # the copy is pruned alone
    twin[3].weight.sum().backward()
    assert twin[3].weight_orig.grad is not None
    assert_same(parts(net[3]), before)
    prune.remove(twin[3], "weight")
    assert prune.is_pruned(net[3]) and not prune.is_pruned(twin[3])


@pytest.mark.parametrize("dtype", [np.float64, np.float16])
def test_masks_survive_other_dtypes(dtype):
    layer = prune.l1_unstructured(nn.Linear(4, 3), "weight", 5)
    mask = arr(layer.weight_mask).copy()
    layer.to(minigrad.float64 if dtype is np.float64 else minigrad.float16)
    assert layer.weight.dtype == layer.weight_mask.dtype == layer.weight_orig.dtype == dtype
    np.testing.assert_array_equal(arr(layer.weight_mask), mask)
    y = layer(minigrad.ones(2, 4).to(dtype))
    assert y.dtype == dtype and (arr(layer.weight)[mask == 0] == 0).all()
    y.sum().backward()
    assert layer.weight_orig.grad.dtype == dtype


def test_masks_survive_device_moves(device):
    layer = prune.l1_unstructured(nn.Linear(4, 3), "weight", 0.5)
    mask, x = arr(layer.weight_mask).copy(), np.ones((2, 4), np.float32)
    y = arr(layer(make("cpu", x)))
    layer.to(device)
    assert layer.weight.device == layer.weight_mask.device == make(device, x).device
    np.testing.assert_allclose(arr(layer(make(device, x))), y, rtol=1e-6)
    prune.custom_from_mask(layer, "weight", minigrad.ones(3, 4))  # a mask of the CPU
    prune.l1_unstructured(layer, "weight", 0.5)
    layer.cpu()
    assert str(layer.weight.device) == "cpu" and layer(make("cpu", x)).shape == (2, 3)
    assert (arr(layer.weight_mask) <= mask).all() and int(layer.weight_mask.sum()) == 3
    prune.remove(layer, "weight")
    assert isinstance(on_device("cpu", arr(layer.weight)), np.ndarray)


def test_frozen_weights_can_be_pruned():
    layer = nn.Linear(4, 3).requires_grad_(False)
    prune.l1_unstructured(layer, "weight", 6)
    assert not layer.weight.requires_grad and not layer(minigrad.ones(1, 4)).requires_grad
    prune.remove(layer, "weight")
    assert not layer.weight.requires_grad


def test_evaluation_without_a_graph():
    net = small_net()
    with minigrad.no_grad():
        assert not net(minigrad.ones(1, 1, 6, 6)).requires_grad
        prune.l1_unstructured(net[0], "weight", 0.5)
    net(minigrad.ones(1, 1, 6, 6)).sum().backward()
    assert net[0].weight_orig.grad is not None


# ----------------------------------------------------------------------------------- bad input


def linear():
    return nn.Linear(4, 3)


def with_nan(value=np.nan):
    layer = linear()
    layer.weight.data[1, 2] = value
    return layer


def pruned():
    return prune.l1_unstructured(linear(), "weight", 5)


def ones(*shape):
    return minigrad.ones(*shape)


BAD = {
    "amount-above-1": (lambda: prune.l1_unstructured(linear(), "weight", 1.5), ValueError, "1.5"),
    "amount-below-0": (lambda: prune.l1_unstructured(linear(), "weight", -0.1), ValueError, "-0.1"),
    "amount-negative": (lambda: prune.random_structured(linear(), "weight", -1, 0),
                        ValueError, "range"),
    "amount-nan": (lambda: prune.random_unstructured(linear(), "weight", np.nan),
                   ValueError, "nan"),
    "amount-inf": (lambda: prune.l1_unstructured(linear(), "weight", np.inf), ValueError, "inf"),
    "amount-text": (lambda: prune.l1_unstructured(linear(), "weight", "0.5"), TypeError, "'0.5'"),
    "amount-bool": (lambda: prune.l1_unstructured(linear(), "weight", True), TypeError, "True"),
    "amount-none": (lambda: prune.ln_structured(linear(), "weight", None, 2, 0), TypeError, "None"),
    "too-many": (lambda: prune.l1_unstructured(linear(), "weight", 13), ValueError, "at most 12"),
    "too-many-random": (lambda: prune.random_unstructured(linear(), "weight", 13),
                        ValueError, "at most 12"),
    "too-many-left": (lambda: prune.l1_unstructured(pruned(), "weight", 8),
                      ValueError, "at most 7, the entries that are not pruned yet"),
    "too-many-channels": (lambda: prune.ln_structured(linear(), "weight", 4, 2, 0),
                          ValueError, "at most 3, the channels"),
    "too-many-global": (lambda: prune.global_unstructured(
        [(linear(), "weight"), (linear(), "bias")], prune.L1Unstructured, amount=16),
        ValueError, "at most 15"),
    "nan-weight": (lambda: prune.l1_unstructured(with_nan(), "weight", 1),
                   ValueError, "1 of 12 NaN or infinite"),
    "nan-weight-random": (lambda: prune.random_unstructured(with_nan(), "weight", 1),
                          ValueError, "not finite"),
    "infinite-weight": (lambda: prune.identity(with_nan(np.inf), "weight"),
                        ValueError, "not finite"),
    "nan-global": (lambda: prune.global_unstructured(
        [(linear(), "weight"), (with_nan(), "weight")], prune.L1Unstructured, amount=1),
        ValueError, "'weight' in Linear"),
    "nan-tensor": (lambda: prune.L1Unstructured(1).prune(minigrad.tensor([1.0, np.nan])),
                   ValueError, "NaN"),
    "nan-channel": (lambda: prune.LnStructured(1, 2, 0).prune(minigrad.tensor([[1.0, np.nan]])),
                    ValueError, "NaN"),
    "nan-scores": (lambda: prune.l1_unstructured(linear(), "weight", 1, ones(3, 4) * np.nan),
                   ValueError, "12 of 12 are NaN"),
    "nan-mask": (lambda: prune.custom_from_mask(linear(), "weight", ones(3, 4) * np.nan),
                 ValueError, "NaN"),
    "no-parameter": (lambda: prune.l1_unstructured(linear(), "wieght", 1),
                     AttributeError, "'weight' or 'bias'"),
    "no-parameters": (lambda: prune.l1_unstructured(nn.ReLU(), "weight", 1),
                      AttributeError, "ReLU has no parameter 'weight'"),
    "a-path": (lambda: prune.l1_unstructured(nn.Sequential(linear()), "0.weight", 1),
               AttributeError, "get_submodule('0'), 'weight'"),
    "a-buffer": (lambda: prune.l1_unstructured(nn.BatchNorm1d(3), "running_mean", 1),
                 AttributeError, "no parameter 'running_mean'"),
    "none": (lambda: prune.l1_unstructured(nn.Linear(4, 3, bias=False), "bias", 1),
             ValueError, "'bias' of Linear is None"),
    "original": (lambda: prune.l1_unstructured(pruned(), "weight_orig", 1),
                 ValueError, "prune 'weight' again"),
    "name-tensor": (lambda: prune.l1_unstructured(linear(), linear().weight, 1),
                    TypeError, "named by a string"),
    "no-module": (lambda: prune.l1_unstructured(linear().weight, "weight", 1),
                  TypeError, "an nn.Module"),
    "dim-above": (lambda: prune.ln_structured(linear(), "weight", 1, 2, 2), IndexError, "-2 to 1"),
    "dim-below": (lambda: prune.random_structured(linear(), "weight", 1, -3),
                  IndexError, "-2 to 1"),
    "dim-above-again": (lambda: prune.ln_structured(pruned(), "weight", 1, 2, 2),
                        IndexError, "-2 to 1"),
    "dim-float": (lambda: prune.ln_structured(linear(), "weight", 1, 2, 0.0), TypeError, "axis"),
    "one-axis": (lambda: prune.ln_structured(linear(), "bias", 1, 2, 0), ValueError, "(3,)"),
    "one-axis-random": (lambda: prune.random_structured(linear(), "bias", 1, 0),
                        ValueError, "2 axes"),
    "norm-text": (lambda: prune.ln_structured(linear(), "weight", 1, "max", 0),
                  ValueError, "'max'"),
    "norm-nan": (lambda: prune.ln_structured(linear(), "weight", 1, np.nan, 0), ValueError, "nan"),
    "norm-none": (lambda: prune.ln_structured(linear(), "weight", 1, None, 0), ValueError, "None"),
    "norm-nuclear": (lambda: prune.ln_structured(linear(), "weight", 1, "nuc", 0),
                     ValueError, "3 axes"),
    "mask-shape": (lambda: prune.custom_from_mask(linear(), "weight", ones(4, 3)),
                   ValueError, "(4, 3)"),
    "mask-broadcasts": (lambda: prune.custom_from_mask(linear(), "weight", ones(1, 4)),
                        ValueError, "(1, 4)"),
    "mask-list": (lambda: prune.custom_from_mask(linear(), "bias", [1, 0, 1]), TypeError, "list"),
    "scores-shape": (lambda: prune.l1_unstructured(linear(), "weight", 1, ones(4, 3)),
                     ValueError, "(4, 3)"),
    "scores-array": (lambda: prune.l1_unstructured(linear(), "weight", 1, np.ones((3, 4))),
                     TypeError, "ndarray"),
    "not-pruned": (lambda: prune.remove(linear(), "weight"), ValueError, "not pruned"),
    "other-pruned": (lambda: prune.remove(pruned(), "bias"), ValueError, "'weight'"),
    "net-not-layer": (lambda: prune.remove(nn.Sequential(pruned()), "weight"),
                      ValueError, "on the layer"),
    "method-not-applied": (lambda: prune.L1Unstructured(1).remove(linear()),
                           ValueError, "not applied"),
    "mask-not-applied": (lambda: prune.L1Unstructured(1).apply_mask(linear()),
                         ValueError, "not applied"),
    "global-empty": (lambda: prune.global_unstructured([], prune.L1Unstructured, amount=1),
                     ValueError, "an empty list"),
    "global-structured": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.LnStructured, amount=1, n=2), TypeError, "LnStructured"),
    "global-structured-without-n": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.LnStructured, amount=1), TypeError, "prune.ln_structured"),
    "global-without-amount": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.L1Unstructured), TypeError, "amount: int | float"),
    "global-options": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.L1Unstructured, amount=1, n=2), TypeError, "amount=1, n=2"),
    "global-function": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.l1_unstructured, amount=1), TypeError, "L1Unstructured"),
    "global-module": (lambda: prune.global_unstructured(
        nn.Sequential(linear()), prune.L1Unstructured, amount=1), TypeError, "list of pairs"),
    "global-modules": (lambda: prune.global_unstructured(
        [linear()], prune.L1Unstructured, amount=1), TypeError, "pair"),
    "global-scores": (lambda: prune.global_unstructured(
        [(linear(), "weight")], prune.L1Unstructured, [ones(3, 4)], amount=1), TypeError, "dict"),
    "is-pruned": (lambda: prune.is_pruned("net"), TypeError, "an nn.Module"),
    "container": (lambda: prune.PruningContainer("l1"), TypeError, "BasePruningMethod"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    call, kind, text = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert text in str(caught.value)
    assert (
        "Expect" in str(caught.value) or "Do" in str(caught.value) or "Actual" in str(caught.value)
    )


FAILING = {
    "too many": lambda m: prune.l1_unstructured(m, "weight", 100),
    "no axis": lambda m: prune.ln_structured(m, "weight", 1, 2, 5),
    "mask": lambda m: prune.custom_from_mask(m, "weight", ones(1)),
    "second of two": lambda m: prune.global_unstructured(
        [(m, "weight"), (with_nan(), "weight")], prune.L1Unstructured, amount=1
    ),
    "twice": lambda m: prune.global_unstructured(
        [(m, "weight")] * 2, prune.L1Unstructured, amount=1
    ),
    "own method": lambda m: WrongShape.apply(m, "weight"),
    "own type": lambda m: WrongType.apply(prune.identity(m, "weight"), "weight"),
}


class WrongShape(prune.BasePruningMethod):
    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t, default_mask):
        return minigrad.ones(1)


class WrongType(EverySecond):
    PRUNING_TYPE = "entries"


@pytest.mark.parametrize("what", FAILING)
@pytest.mark.parametrize("start", [linear, pruned], ids=["unpruned", "pruned"])
def test_a_failure_changes_nothing(what, start):
    module = start()
    if what == "own type":
        prune.identity(module, "weight")
    before = parts(module)
    with pytest.raises((ValueError, IndexError)):
        FAILING[what](module)
    after = parts(module)
    if what == "own type":
        before.pop("hooks"), after.pop("hooks")
    assert_same(before, after)
    module(ones(1, 4)).sum().backward()


def test_a_taken_name_is_refused():
    layer = linear()
    layer.weight_mask = "mine"
    with pytest.raises(ValueError, match="'weight_mask', which pruning needs"):
        prune.l1_unstructured(layer, "weight", 1)
    assert layer.weight_mask == "mine" and isinstance(layer.weight, nn.Parameter)


def test_containers_are_for_one_parameter():
    a, b = prune.L1Unstructured(1), prune.L1Unstructured(2)
    a._tensor_name, b._tensor_name = "weight", "bias"
    with pytest.raises(ValueError, match="'weight'"):
        prune.PruningContainer(a, b)
    assert len(prune.PruningContainer()) == 0
