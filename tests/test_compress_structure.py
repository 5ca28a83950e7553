"""Structural pruning: the smaller network computes what the masked one computes.

The masked networks here are made by hand: for every network a test says after which modules its
channels are to be set to zero, and hooks do that. So nothing of the pruner is used to check it.
"""

import numpy as np
import pytest
from helpers import arr
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
import minigrad.nn.functional as F
from minigrad import compress, nn
from minigrad.autograd import Function
from minigrad.compress import modules as whole
from minigrad.compress.structure import (
    Structure,
    mask_channels,
    prune_channels,
    remove_channels,
)
from minigrad.vision import models

# ------------------------------------------------------------------------------------ networks


def sequential():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(4, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5, affine=False), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(5, 6), nn.BatchNorm1d(6), nn.ReLU(),
        nn.Linear(6, 3),
    )  # fmt: skip


class Functional(nn.Module):
    """Pools, activations and flatten as functions; x.view; a frozen layer; a leaky ReLU."""

    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 2, stride=2, bias=False)
        self.fc1, self.fc2 = nn.Linear(12, 5), nn.Linear(5, 3)
        self.conv2.requires_grad_(False)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2, padding=1)
        x = F.leaky_relu(F.avg_pool2d(self.conv2(F.pad(x, (1, 0, 1, 0))), 1))
        x = x.view(x.size(0), -1)
        return {"logits": self.fc2(F.tanh(self.fc1(x)) * 2 - 0.0)}


class Residual(nn.Module):
    """A stem, a block that adds its input, and a block with a strided 1x1 shortcut."""

    def __init__(self):
        super().__init__()
        self.stem, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.block1, self.block2 = Block(4, 4, 1), Block(4, 6, 2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = F.relu(self.norm(self.stem(x)))
        x = self.block2(self.block1(x))
        return self.head(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Block(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 3, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(3)
        self.conv2, self.norm2 = nn.Conv2d(3, out, 3, padding=1), nn.BatchNorm2d(out)
        self.shortcut = nn.Identity()
        if (channels, stride) != (out, 1):
            self.shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(self.shortcut(x) + y)


class Dense(nn.Module):
    """Each layer reads all before it, the input included."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(5, 4, 3, padding=1)
        self.norm, self.c = nn.BatchNorm2d(9), nn.Conv2d(9, 2, 1)
        self.head = nn.Linear(2 * 49, 3)

    def forward(self, x):
        x = minigrad.cat([x, self.a(x).relu()], 1)
        x = minigrad.cat([x, self.b(x).relu()], dim=-3)
        return self.head(F.relu(self.c(F.relu(self.norm(x)))).reshape(x.shape[0], -1))


class Grouped(nn.Module):
    """A depthwise convolution (two kernels a channel), then one in two groups."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, 1)
        self.depthwise = nn.Conv2d(3, 6, 3, groups=3)
        self.pointwise = nn.Conv2d(6, 8, 1)
        self.grouped = nn.Conv2d(8, 6, 3, groups=2)
        self.head = nn.Conv2d(6, 3, 3)

    def forward(self, x):
        x = self.depthwise(self.first(x).relu()).relu()
        return self.head(self.grouped(self.pointwise(x).relu()).relu()).flatten(1)


class Shared(nn.Module):
    """One layer used twice, an encoder whose transpose decodes, a transposed convolution."""

    def __init__(self):
        super().__init__()
        self.encode, self.up = nn.Conv2d(2, 4, 3, bias=False), nn.ConvTranspose2d(4, 3, 2, 2)
        self.inner, self.twice = nn.Conv2d(3, 5, 10), nn.Linear(5, 5)
        self.scale, self.head = nn.Parameter(minigrad.rand(5)), nn.Parameter(minigrad.rand(5, 2))
        self.register_buffer("shift", minigrad.rand(1, 5))

    def forward(self, x):
        x = self.inner(self.up(self.encode(x).relu()).relu()).relu().flatten(1)
        x = self.twice(self.twice(x).relu()).relu() * self.scale
        return ((x - self.shift) @ self.twice.weight.T[:, :]).relu() @ self.head


class Gate(nn.Module):
    """Squeeze and excitation: a number for each channel, made from all, scales the channel."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)
        self.squeeze, self.excite = nn.Linear(4, 3), nn.Linear(3, 4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.conv(x).relu()
        gate = self.excite(self.squeeze(x.mean((2, 3))).relu()).sigmoid()
        x = x * gate[:, :, None, None]
        return self.head(x.permute(0, 2, 3, 1).amax((1, 2)))


# For each network: its groups, and for each group the modules whose output is set to zero, with
# what a unit is in their channels: how many channels, and how far apart.
NETWORKS = {
    "mlp": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(98, 7), nn.ReLU(), nn.Linear(7, 3)),
        {"1": ["1"]},
    ),
    "sequential": (sequential, {"0": ["1"], "4": ["5"], "9": ["10"]}),
    "functional": (Functional, {"conv1": ["conv1"], "conv2": ["conv2"], "fc1": ["fc1"]}),
    "residual": (
        Residual,
        {
            "stem": ["norm", "block1.norm2"],
            "block1.conv1": ["block1.norm1"],
            "block2.conv1": ["block2.norm1"],
            "block2.shortcut.0": ["block2.shortcut.1", "block2.norm2"],
        },
    ),
    "dense": (Dense, {"a": ["a", ("norm", 2)], "b": ["b", ("norm", 5)], "c": ["c"]}),
    "gate": (Gate, {"conv": ["conv"], "squeeze": ["squeeze"]}),
}


def make(name, seed=0, dtype=minigrad.float64):
    """Return a network with drawn weights, statistics that are not 0 and 1, and an input."""
    minigrad.manual_seed(seed)
    model, groups = NETWORKS[name]
    model = model().to(dtype)
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                if tensor is not None:
                    tensor.data = minigrad.rand(*tensor.shape).to(dtype) + 0.1
    return model, groups, minigrad.randn(4, 2, 7, 7).to(dtype)


def mask_by_hooks(model, groups, removed):
    """Set the outputs of modules to zero, where channels are removed."""
    for name, units in removed.items():
        for place in groups[name]:
            path, offset = place if isinstance(place, tuple) else (place, 0)
            hook = zeroing([offset + unit for unit in units])
            model.get_submodule(path).register_forward_hook(hook)


def zeroing(channels):
    def hook(module, args, output):
        mask = np.ones((1, output.shape[1]) + (1,) * (output.ndim - 2), output.dtype)
        mask[:, channels] = 0
        return output * minigrad.Tensor(mask)

    return hook


def outputs(model, x):
    y = model(x)
    return arr(y["logits"] if isinstance(y, dict) else y)


def draw_removal(structure, groups, draw):
    """Draw units of each group, but never all of a layer."""
    removed = {}
    for name in groups:
        group = structure.groups[name]
        units = draw(st.sets(st.integers(0, group.size - 1), max_size=group.most))
        removed[name] = sorted(units)
    return removed


# ------------------------------------------------------------------------------------ equality


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15)
@given(st.data())
def test_the_smaller_network_equals_the_masked_one(name, data):
    model, groups, x = make(name, data.draw(st.integers(0, 99)))
    structure = Structure(model, x[:2])
    assert {n for n, g in structure.groups.items() if g.size} == set(groups)
    before = {key: value.numpy() for key, value in model.state_dict().items()}
    removed = draw_removal(structure, groups, data.draw)

    small, masked = structure.without(removed), structure.masked(removed)

    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(value.numpy(), before[key])  # the model is left as it is
    mask_by_hooks(model, groups, removed)
    for training in (False, True):
        for network in (model, small, masked):
            network.train(training)
        y = outputs(model, x)
        np.testing.assert_allclose(outputs(small, x), y, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(outputs(masked, x), y, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("name", ["sequential", "residual", "dense"])
def test_running_statistics_follow(name):
    model, groups, x = make(name)
    structure = Structure(model, x)
    small = structure.without(
        {group: [0, 2] for group in groups if structure.groups[group].most > 1}
    )
    assert small.training
    outputs(small, x)  # a step of the running statistics, with the new sizes
    for module in small.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            assert module.running_mean.shape == (module.num_features,)
            assert module.running_var.shape == (module.num_features,)


@settings(max_examples=15)
@given(st.data())
def test_grouped_and_depthwise_convolutions(data):
    minigrad.manual_seed(data.draw(st.integers(0, 99)))
    model, x = Grouped().double(), minigrad.randn(3, 2, 7, 7).double()
    structure = Structure(model, x)
    sizes = {name: group.size for name, group in structure.groups.items()}
    assert sizes == {"first": 3, "pointwise": 4, "grouped": 3, "head": 0}
    names = ["first", "pointwise", "grouped"]
    removed = draw_removal(structure, names, data.draw)
    small = structure.without(removed)

    first, pair, half = (removed[name] for name in names)
    for path, channels in {
        "first": first,
        "depthwise": [2 * i + k for i in first for k in (0, 1)],
        "pointwise": [i + k for i in pair for k in (0, 4)],
        "grouped": [i + k for i in half for k in (0, 3)],
    }.items():
        model.get_submodule(path).register_forward_hook(zeroing(channels))
    np.testing.assert_allclose(arr(small(x)), arr(model(x)), rtol=1e-9, atol=1e-11)
    assert small.depthwise.groups == small.first.out_channels == 3 - len(first)
    assert small.depthwise.out_channels == 2 * small.first.out_channels
    assert small.grouped.groups == 2
    assert small.grouped.in_channels == small.pointwise.out_channels == 8 - 2 * len(pair)


def test_shared_weights_and_transposed_convolutions():
    minigrad.manual_seed(3)
    model, x = Shared().double(), minigrad.randn(3, 2, 7, 7).double()
    structure = Structure(model, x)
    # The layer used twice ties its rows to its columns, and both to the layer before.
    assert [*structure.groups["inner"].layers] == ["inner", "twice"]
    small = remove_channels(model, x, {"encode": [1], "up": [0, 2], "twice": [4, 0]})
    assert small.twice.weight.shape == (3, 3)
    assert (small.up.in_channels, small.up.out_channels) == (3, 1)
    assert small.scale.shape == (3,)
    assert small.shift.shape == (1, 3)
    for path, channels in {"encode": [1], "up": [0, 2], "inner": [0, 4], "twice": [0, 4]}.items():
        model.get_submodule(path).register_forward_hook(zeroing(channels))
    model.twice.weight.data[[0, 4]] = 0.0  # for its second use, by transpose,
    model.twice.weight.data[:, [0, 4]] = 0.0  # which reads what the shift made of the zeros
    np.testing.assert_allclose(arr(small(x)), arr(model(x)), rtol=1e-9, atol=1e-11)


def test_a_matrix_that_multiplies_from_both_sides():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.w, self.v = nn.Parameter(minigrad.rand(3, 5)), nn.Parameter(minigrad.rand(2, 3))

        def forward(self, x):
            return (x @ self.v @ self.w).relu() @ self.w.T @ self.v.T

    model, x = Both(), minigrad.rand(4, 2)
    structure = Structure(model, x)
    assert {name: group.size for name, group in structure.groups.items() if group.size} == {
        "v": 3, "w": 5
    }  # fmt: skip
    assert [*structure.groups["v"].layers] == ["v", "w (axis 0)"]
    small = remove_channels(model, x, {"v": [1], "w": [0, 4]})
    assert (small.v.shape, small.w.shape) == ((2, 2), (2, 3))


def test_the_result_is_an_ordinary_network():
    model, x = models.cnn(), minigrad.randn(4, 1, 28, 28)
    model(x).sum().backward()
    small = prune_channels(model, x, 0.5)
    assert type(small) is type(model)
    assert repr(small[0]).startswith("Conv2d(1, 8,")
    assert repr(small[4]).startswith("Conv2d(8, 16,")
    assert "in_features=256, out_features=64" in repr(small[10])
    for module in small.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    other = nn.Sequential(
        nn.Conv2d(1, 8, 5, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 5, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Dropout(0.25), nn.Linear(256, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip
    other.load_state_dict(small.state_dict())  # the same names and shapes as one built so
    optimizer = minigrad.optim.SGD(small.parameters(), lr=0.1)
    before = small[0].weight.detach().clone()
    F.cross_entropy(small(x), minigrad.tensor([1, 2, 3, 4])).backward()
    optimizer.step()
    assert not np.array_equal(arr(before), arr(small[0].weight.detach()))


def test_frozen_parameters_stay_frozen_and_the_mode_stays():
    model, _, x = make("functional")
    small = prune_channels(model.eval(), x, 1)
    assert not small.training
    assert not small.conv2.weight.requires_grad
    assert small.conv1.weight.requires_grad


def test_on_a_device(device):
    minigrad.manual_seed(0)
    model, x = models.cnn().to(device), minigrad.randn(4, 1, 28, 28).to(device)
    F.cross_entropy(model(x), minigrad.tensor([1, 2, 3, 4]).to(device)).backward()
    for score in ("l2", "bn", "taylor"):
        layers = ["0", "4"] if score == "bn" else None
        small = prune_channels(model, x, 0.5, score=score, layers=layers)
        assert small[4].weight.shape == (16, 8, 5, 5)
        assert small[4].weight.device == x.device
        assert small[5].running_var.device == x.device


# -------------------------------------------------------------------------------------- scores


def test_norm_scores_are_those_of_the_filters():
    model, _, x = make("sequential")
    structure = Structure(model, x)
    w = arr(model[4].weight.detach())
    np.testing.assert_allclose(structure.scores("l1")["4"], np.abs(w).sum((1, 2, 3)))
    np.testing.assert_allclose(structure.scores("l2")["4"], np.sqrt((w**2).sum((1, 2, 3))))
    removed = structure.choose(0.4, score="l2")
    assert removed["4"] == sorted(np.argsort((w**2).sum((1, 2, 3)))[:2].tolist())
    assert {name: len(units) for name, units in removed.items()} == {"0": 2, "4": 2, "9": 2}


def test_tied_layers_are_scored_together():
    model, _, x = make("residual")
    structure = Structure(model, x)
    weights = [arr(layer.weight.detach()) for layer in (model.stem, model.block1.conv2)]
    expected = sum(np.abs(w).sum((1, 2, 3)) for w in weights)
    np.testing.assert_allclose(structure.scores("l1")["stem"], expected)
    scales = [arr(norm.weight.detach()) for norm in (model.norm, model.block1.norm2)]
    np.testing.assert_allclose(
        structure.scores("bn", groups=["stem"])["stem"], np.abs(scales[0]) + np.abs(scales[1])
    )


def test_batch_norm_scores_follow_a_concatenation():
    model, _, x = make("dense")
    model.a = nn.Sequential(model.a, nn.BatchNorm2d(3).double())
    structure = Structure(model, x)
    scale = arr(model.norm.weight.detach())
    np.testing.assert_allclose(structure.scores("bn", groups=["b"])["b"], scale[5:9])


@pytest.mark.parametrize("name, layer, output", [("mlp", "1", "1"), ("sequential", "0", "1")])
def test_taylor_score_is_the_first_order_change(name, layer, output):
    model, _, x = make(name)
    kept = []
    model.get_submodule(output).register_forward_hook(
        lambda module, args, y: (y.retain_grad(), kept.append(y))[0]
    )
    F.cross_entropy(model(x), minigrad.tensor([0, 1, 2, 1])).backward()
    (z,) = kept
    axes = (0,) + tuple(range(2, z.ndim))
    expected = np.abs((arr(z.detach()) * arr(z.grad)).sum(axes))
    model.get_submodule(output)._forward_hooks.clear()
    structure = Structure(model, x)
    np.testing.assert_allclose(
        structure.scores("taylor", groups=[layer])[layer], expected, rtol=1e-9
    )


def test_random_scores_come_from_the_generator():
    model, _, x = make("mlp")
    structure = Structure(model, x)
    choices = [
        structure.choose(3, score="random", generator=minigrad.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    ]
    assert choices[0] == choices[1] != choices[2]


def test_global_choice_compares_layers():
    model, _, x = make("mlp")
    model = nn.Sequential(*model[:2], nn.ReLU(), nn.Linear(7, 7).double(), nn.ReLU(), model[3])
    structure = Structure(model, x)
    one, ones = np.ones(7), np.ones(7)
    one[:3], ones[0] = 0.001, 0.01
    removed = structure.choose(4 / 14, score={"1": one, "3": ones}, spread="global")
    assert removed == {"1": [0, 1, 2], "3": [0]}
    everything = structure.choose(0.99, score={"1": one, "3": ones}, spread="global")
    assert [len(units) for units in everything.values()] == [6, 6]  # one channel stays in each


# -------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("name", NETWORKS)
def test_counts_of_a_removal_are_those_of_the_smaller_network(name):
    model, groups, x = make(name)
    structure = Structure(model, x)
    removed = structure.choose(0.5)
    small = structure.without(removed)
    again = Structure(small, x)
    assert structure.flops(removed) == again.flops() < structure.flops()
    assert structure.flops_by_layer(removed) == again.flops_by_layer()
    assert structure.parameters(removed) == sum(p.numel() for p in small.parameters())
    assert structure.bytes(removed) == sum(t.array.nbytes for t in small.state_dict().values())


# ----------------------------------------------------------------------------- whole modules


def test_blocks_and_branches_are_taken_out():
    minigrad.manual_seed(0)

    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.f = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())

        def forward(self, x):
            return x + self.f(x)

    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), Branch(), nn.Conv2d(4, 4, 1), nn.Flatten(), nn.Linear(100, 3)
    ).double()
    x = minigrad.randn(3, 2, 7, 7).double()
    found = whole.removable_modules(model, x)
    kinds = {name: type(module).__name__ for name, module in found.items()}
    assert kinds == {
        "1": "Identity", "1.f": "Nothing", "1.f.0": "Identity", "2": "Identity"
    }  # fmt: skip
    y = model[4](model[3](model[2](model[0](x))))
    for name in ("1", "1.f"):
        np.testing.assert_allclose(arr(whole.remove_modules(model, x, [name])(x)), arr(y))
    y = model[4](model[3](model[0](x)))
    np.testing.assert_allclose(arr(whole.remove_modules(model, x, ["1", "2"])(x)), arr(y))

    def evaluate(network):  # what the branch adds is worth 1, the 1x1 convolution 5
        kinds = [type(module).__name__ for module in network.modules()]
        return kinds.count("Branch") + 5.0 * isinstance(network[2], nn.Conv2d)

    importance = whole.module_importance(model, x, evaluate)
    assert importance == {"1": 1.0, "1.f": 0.0, "1.f.0": 0.0, "2": 5.0}
    small, removed = whole.prune_modules(model, x, evaluate, max_drop=4.9)
    assert removed == ["1.f"]  # all of the branch, not its convolution alone
    assert type(small[2]) is nn.Conv2d
    small, removed = whole.prune_modules(model, x, evaluate, max_drop=5)
    assert removed == ["1.f", "2"]


def test_a_whole_residual_block_is_taken_out():
    model, _, x = make("residual")
    importance = whole.module_importance(model.eval(), x, lambda m: 1.0)
    assert "block1" in importance
    assert "block2" not in importance  # it changes the shape
    small = whole.remove_modules(model, x, "block1")
    y = model.block2(F.relu(model.norm(model.stem(x))))
    y = model.head(F.adaptive_avg_pool2d(y, 1).flatten(1))
    np.testing.assert_allclose(arr(small(x)), arr(y))


def test_modules_in_lists_and_dicts_are_found():
    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = [nn.Linear(3, 3), {"x": nn.Linear(3, 3)}]

        def forward(self, x):
            return self.layers[1]["x"](self.layers[0](x))

    model, x = Listed(), minigrad.randn(2, 3)
    small = whole.remove_modules(model, x, ["layers.0", "layers.1.x"])
    np.testing.assert_array_equal(arr(small(x)), arr(x))


# ----------------------------------------------------------------------------------- bad input


class Strange(Function):
    """An op that the pruner does not know."""

    def forward(self, x):
        return x * 2

    def backward(self, gy):
        return gy * 2


class Between(nn.Module):
    """Two layers, with something in between."""

    def __init__(self, function, features=4):
        super().__init__()
        self.one, self.two = nn.Linear(3, 4), nn.Linear(features, 2)
        self.other = nn.Linear(2, 5)
        self.three = nn.Linear(5, 2)
        self.function = function

    def forward(self, x):
        x = self.two(self.function(self.one(x)))
        return self.three(self.other(x).relu())


@pytest.mark.parametrize(
    "op, function, features",
    [
        ("Strange", Strange.apply, 4),
        ("Softmax", lambda x: x.softmax(1), 4),
        ("LogSoftmax", lambda x: x.log_softmax(-1), 4),
        ("MeanTo", lambda x: x - x.mean(1, keepdim=True), 4),
        ("Amax", lambda x: x - x.amax(1, keepdim=True), 4),
        ("Cumsum", lambda x: x.cumsum(1), 4),
        ("Index", lambda x: x[:, 1:], 3),
        ("Index", lambda x: x[:, [2, 0]], 2),
        ("Index", lambda x: x.flip(1), 4),
        ("Pad", lambda x: F.pad(x, (1, 2)), 7),
        ("Reshape", lambda x: x.reshape(-1, 2, 2).transpose(1, 2).flatten(1), 4),
        ("Mul", lambda x: x * minigrad.arange(4).float(), 4),
        ("Concat", lambda x: minigrad.cat([x, minigrad.ones(x.shape[0], 1)], 1).sigmoid(), 5),
    ],
)
def test_the_op_that_stops_the_pruner_is_named(op, function, features):
    model, x = Between(function, features), minigrad.randn(2, 3)
    if op == "Concat":  # constants beside the channels are no hindrance
        assert prune_channels(model, x, {"one": 2}).two.in_features == 3
        return
    before = model.state_dict()
    for prune in (
        lambda: prune_channels(model, x, 0.5),
        lambda: prune_channels(model, x, {"one": 1}),
        lambda: remove_channels(model, x, {"one": [1]}),
    ):
        with pytest.raises(ValueError, match=rf"'one' cannot be removed(.|\n)*{op}: "):
            prune()
    for key, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(before[key]))
    small = prune_channels(model, x, 2, layers=["other"])  # what does not flow through it can go
    assert small.three.in_features == 3


def test_a_tie_hands_the_reason_on():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.three = nn.Linear(3, 4), nn.Linear(3, 4), nn.Linear(4, 2)

        def forward(self, x):
            x, y = self.one(x), self.two(x)
            return self.three(x + (y.softmax(1) + y))

    model, x = Tied(), minigrad.randn(2, 3)
    assert [*Structure(model, x).groups["one"].layers] == ["one", "two"]
    with pytest.raises(ValueError, match="Softmax: it mixes the channels"):
        prune_channels(model, x, {"one": 1})


def test_sizes_written_into_forward_are_found():
    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.head = nn.Conv2d(2, 4, 3), nn.Linear(100, 3)

        def forward(self, x):
            return self.head(self.conv(x).relu().view(-1, 100))

    model, x = Viewed(), minigrad.randn(4, 2, 7, 7)
    with pytest.raises(RuntimeError, match="does not run(.|\n)*linear(.|\n)*flatten"):
        prune_channels(model, x, 0.5)
    assert model.conv.out_channels == 4


def test_constants_made_in_forward():
    x = minigrad.randn(2, 3)
    for function in (
        lambda x: 1 + (1 - x) * 2.0 - minigrad.tensor(0.5),
        lambda x: x * minigrad.ones(2, 1) / minigrad.tensor(3.0),
        lambda x: F.leaky_relu(x).clamp(min=-0.1) ** 2,
    ):
        assert prune_channels(Between(function), x, {"one": 1}).two.in_features == 3
    model = Between(lambda x: x + minigrad.arange(4).float())
    with pytest.raises(RuntimeError, match="does not run(.|\n)*Add: the shapes do not broadcast"):
        prune_channels(model, x, {"one": 1})
    assert model.one.out_features == 4


@pytest.mark.parametrize("end", [lambda y: y.log_softmax(1), lambda y: y.softmax(-1) * 2])
def test_a_softmax_at_the_end_is_no_hindrance(end):
    class Ends(nn.Sequential):
        def forward(self, x):
            return end(super().forward(x))

    model = Ends(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    assert prune_channels(model, minigrad.randn(2, 3), 0.5)[2].in_features == 2


def test_a_forward_that_computes_with_the_number_of_channels_is_found():
    model, x = Between(lambda x: x / x.shape[1]), minigrad.randn(2, 3)
    with pytest.raises(RuntimeError, match="computes something else"):
        prune_channels(model, x, {"one": 2})


@pytest.mark.parametrize("amount", [-0.1, 1.1, float("nan"), 5, -1, "half", None, True])
def test_amounts_out_of_range(amount):
    model, x = Between(minigrad.relu), minigrad.randn(2, 3)
    with pytest.raises(ValueError, match="the amount for 'one' is out of range"):
        prune_channels(model, x, {"one": amount})


@pytest.mark.parametrize("amount", [1.0, 4])
def test_removing_all_channels_is_refused(amount):
    model, x = Between(minigrad.relu), minigrad.randn(2, 3)
    with pytest.raises(ValueError, match="nothing would be left of layer 'one'"):
        prune_channels(model, x, {"one": amount})
    with pytest.raises(ValueError, match="nothing would be left of layer 'one'"):
        remove_channels(model, x, {"one": range(4)})
    with pytest.raises(ValueError, match="nothing would be left of layer 'one'"):
        mask_channels(model, x, {"one": range(4)})


def test_removing_all_of_one_layer_of_a_concatenation_is_refused():
    model, _, x = make("dense")
    with pytest.raises(ValueError, match="nothing would be left of layer 'a'"):
        remove_channels(model, x, {"a": [0, 1, 2]})


def test_bad_requests():
    model, x = Between(minigrad.relu), minigrad.randn(2, 3)
    for call, error, text in [
        (lambda: prune_channels(model, x, {"ones": 1}), ValueError, "no layer 'ones'"),
        (lambda: prune_channels(model, x, 1, layers=["no"]), ValueError, "no layer 'no'"),
        (lambda: remove_channels(model, x, {"one": [4]}), IndexError, "no such output channel"),
        (lambda: remove_channels(model, x, {"three": [0]}), ValueError, "the network's output"),
        (lambda: prune_channels(model, x, {"three": 1}), ValueError, "'three' cannot be"),
        (lambda: prune_channels(model, x, 1, score="best"), ValueError, "no such score"),
        (lambda: prune_channels(model, x, 1, score="bn"), ValueError, "no batch norm"),
        (lambda: prune_channels(model, x, 1, score="taylor"), ValueError, "one.weight has no grad"),
        (lambda: prune_channels(model, x, 1, spread="wide"), ValueError, "no such spread"),
        (lambda: prune_channels(model, x, 1, score={"one": [1]}), ValueError, "do not fit"),
        (lambda: prune_channels(model, x.numpy(), 1), TypeError, "a Tensor with a batch"),
        (lambda: prune_channels("model", x, 1), TypeError, "not a network"),
        (lambda: prune_channels(nn.ReLU(), x, 1), ValueError, "does not depend on a parameter"),
        (lambda: whole.remove_modules(model, x, ["one"]), ValueError, "'one' cannot be taken out"),
        (lambda: whole.prune_modules(model, x, len, max_drop=-1), ValueError, "max_drop"),
    ]:
        with pytest.raises(error, match=text):
            call()
    nn.utils.prune.l1_unstructured(model.one, "weight", 0.5)
    for call in (lambda: prune_channels(model, x, 1), lambda: remove_channels(model, x, {})):
        with pytest.raises(ValueError, match="still has masks(.|\n)*prune.remove"):
            call()
    nn.utils.prune.remove(model.one, "weight")
    assert prune_channels(model, x, {"one": 1}).one.out_features == 3
    model.one.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="not all finite"):
        prune_channels(model, x, 1)


# ------------------------------------------------------------- layers beside the recorded graph


class Remembers(nn.Module):
    """Keeps a recorded result as an attribute, as people do to look at it later."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(8, 6), nn.Linear(6, 3)

    def forward(self, x):
        self.seen = self.first(x).relu()
        return self.last(self.seen)


def test_a_network_that_keeps_a_result_is_pruned():
    model, x = Remembers(), minigrad.ones(2, 8)
    model(x)
    assert compress.count_flops(model, x) == 2 * (8 * 6 + 6 * 3)
    assert prune_channels(model, x, 0.5).first.weight.shape == (3, 8)
    assert compress.coded_bytes(model) > 0
    assert set(compress.measure_ms({"a": model}, x, rounds=1)) == {"a"}
    assert compress.module_importance(model, x, lambda network: 1.0) == {}
    smaller = [step.model for step in compress.iterative(model, None, 0.5, rounds=2)][-1]
    assert compress.sparsity(smaller) == 0.5
    assert model.seen.creator is not None  # what it keeps is still its own


class Beside(nn.Module):
    """The first layer's result goes on past the graph, or without one."""

    def __init__(self, how):
        super().__init__()
        self.first, self.act, self.last, self.how = nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3), how

    def forward(self, x):
        if self.how == "detach":
            return self.last(self.act(self.first(x)).detach())
        if self.how == "numpy":
            return self.last(minigrad.tensor(np.tanh(self.first(x).detach().numpy())))
        with minigrad.no_grad():
            h = self.act(self.first(x))
        return self.last(h)


@pytest.mark.cpu_only
@pytest.mark.parametrize("how", ["detach", "numpy"])
def test_a_layer_past_the_graph_is_refused_and_counted(how):
    model, x = Beside(how), minigrad.randn(2, 8)
    assert compress.count_flops(model, x) == 2 * (8 * 6 + 6 * 3)
    with pytest.raises(ValueError, match=r"'first' cannot be removed(.|\n)*detach\(\)"):
        prune_channels(model, x, 0.5)
    with pytest.raises(ValueError, match="'first' cannot be removed"):
        remove_channels(model, x, {"first": [0]})


def test_a_frozen_layer_under_no_grad_is_followed():
    model, x = Beside("no_grad"), minigrad.randn(2, 8)
    assert compress.count_flops(model, x) == 2 * (8 * 6 + 6 * 3)
    small = remove_channels(model, x, {"first": [1, 4]})
    assert small.first.weight.shape == (4, 8) and small.last.weight.shape == (3, 4)
    w = arr(model.first.weight).copy(), arr(model.first.bias).copy()
    h = np.maximum(arr(x) @ w[0].T + w[1], 0)
    h[:, [1, 4]] = 0
    expected = h @ arr(model.last.weight).T + arr(model.last.bias)
    np.testing.assert_allclose(arr(small(x)), expected, rtol=1e-5, atol=1e-6)
    with minigrad.no_grad():
        assert minigrad.is_grad_enabled() is False  # tracing has put the mode back
        compress.count_flops(model, x)
        assert minigrad.is_grad_enabled() is False


def test_channels_that_are_no_list():
    with pytest.raises(TypeError, match="the channels of 'first' are no list"):
        remove_channels(Remembers(), minigrad.ones(2, 8), {"first": 1})
