"""`Module` and its containers: names, walks, state dicts, modes, moves, hooks, copies, errors."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import backend, nn

FIVE = np.arange(5.0, dtype=np.float32)


class Net(nn.Module):
    """Parts of every kind: a parameter after a child, plain lists, tuples and dicts, buffers."""

    def __init__(self, device="cpu"):
        super().__init__()
        self.first = nn.Linear(3, 2, device=device)
        self.scale = nn.Parameter(minigrad.ones(2, device=device))
        self.layers = [nn.Linear(2, 2, device=device), (nn.ReLU(),), "not a part"]
        self.heads = {"a": nn.BatchNorm1d(2, device=device), "b": (nn.Parameter(
            minigrad.zeros(2, device=device)), 3)}  # fmt: skip
        self.register_buffer("kept", minigrad.zeros(2, device=device))
        self.register_buffer("scratch", minigrad.zeros(2, device=device), persistent=False)

    def forward(self, x):
        x = self.layers[1][0](self.layers[0](self.first(x) * self.scale))
        return self.heads["a"](x) + self.heads["b"][0]


PARAMETERS = [
    "scale", "heads.b.0", "first.weight", "first.bias", "layers.0.weight", "layers.0.bias",
    "heads.a.weight", "heads.a.bias",
]  # fmt: skip


# ----------------------------------------------------------------------------------- walking


def test_parameters_are_found_in_attributes_lists_and_dicts_in_order():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == PARAMETERS
    assert [name for name, _ in net.named_parameters(recurse=False)] == ["scale", "heads.b.0"]
    assert [name for name, _ in net.named_parameters("net")][0] == "net.scale"
    assert next(net.parameters()) is net.scale
    names = ["", "first", "layers.0", "layers.1.0", "heads.a"]
    assert [name for name, _ in net.named_modules()] == names
    assert [name for name, _ in net.named_children()] == names[1:]
    assert list(net.modules())[0] is net and list(net.children())[1] is net.layers[0]
    assert [name for name, _ in net.named_buffers()] == [
        "kept", "scratch", "heads.a.running_mean", "heads.a.running_var",
        "heads.a.num_batches_tracked",
    ]  # fmt: skip
    assert next(net.buffers()) is net.kept


def test_tuples_are_walked():
    net = nn.Module()
    net.pair = (nn.Linear(1, 1), nn.Parameter(minigrad.ones(1)))
    assert list(net.state_dict()) == ["pair.1", "pair.0.weight", "pair.0.bias"]


def test_a_list_is_walked_as_it_is_now():
    net = Net()
    net.layers.append(nn.Linear(1, 1))
    net.layers[0] = nn.Identity()
    names = [name for name, _ in net.named_parameters()]
    assert "layers.3.weight" in names and "layers.0.weight" not in names


def test_shared_parts_are_listed_once_and_saved_under_each_name():
    net = nn.Module()
    net.a = nn.Linear(2, 2)
    net.b = net.a
    net.c = nn.Linear(2, 2)
    net.c.weight = net.a.weight
    assert [name for name, _ in net.named_parameters()] == ["a.weight", "a.bias", "c.bias"]
    assert [name for name, _ in net.named_children()] == ["a", "c"]
    assert list(net.state_dict()) == [f"{m}.{p}" for m in "abc" for p in ("weight", "bias")]
    every = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    assert every == list(net.state_dict())


def test_a_child_may_know_its_parent():
    parent = nn.Sequential(nn.Linear(1, 1))
    parent[0].parent = [parent]
    assert len(list(parent.parameters())) == 2
    assert len(list(parent.modules())) == 2
    assert list(parent.state_dict()) == ["0.weight", "0.bias"]


def test_parts_are_found_by_path():
    net = Net()
    assert net.get_submodule("layers.1.0") is net.layers[1][0]
    assert net.get_submodule("") is net
    assert net.get_parameter("heads.b.0") is net.heads["b"][0]
    assert net.get_buffer("heads.a.running_var") is net.heads["a"].running_var
    with pytest.raises(AttributeError, match="no parameter 'first.wieght'.*\n.*'first.weight'"):
        net.get_parameter("first.wieght")
    with pytest.raises(AttributeError, match="no module 'frist'.*\n.*'first'"):
        net.get_submodule("frist")


# -------------------------------------------------------------------------------- state dicts


def test_state_dict_is_a_copy_and_loading_does_not_alias(device):
    net, other = Net(device), Net(device)
    state = net.state_dict()
    assert "scratch" not in state and "kept" in state
    assert not any(value.requires_grad for value in state.values())
    state["scale"].fill_(7)
    assert arr(net.scale).tolist() == [1, 1]
    assert repr(other.load_state_dict(state)) == "<All keys matched successfully>"
    state["scale"].fill_(8)
    assert arr(other.scale).tolist() == [7, 7]
    for name, value in other.state_dict().items():
        if name != "scale":
            np.testing.assert_array_equal(arr(value), arr(state[name]))


def test_state_dict_options():
    net = Net()
    assert list(net.state_dict(prefix="net"))[:2] == ["net.scale", "net.heads.b.0"]
    assert net.state_dict(keep_vars=True)["scale"] is net.scale


def test_loading_converts_dtypes_and_takes_arrays(device):
    layer = nn.Linear(2, 1, device=device)
    weight = layer.weight
    layer.load_state_dict({"weight": np.array([[1, 2]]), "bias": minigrad.tensor([0.5]).double()})
    assert layer.weight is weight and layer.weight.dtype == np.float32
    assert arr(layer.weight).tolist() == [[1, 2]] and arr(layer.bias).tolist() == [0.5]
    assert str(layer.bias.device).startswith(device)


def test_strict_loading_names_everything_at_once_and_changes_nothing(device):
    net = Net(device)
    before = net.state_dict()
    state = {name: value + 1 for name, value in before.items()}
    del state["first.bias"], state["layers.0.weight"]
    state["surplus"] = state["other.surplus"] = minigrad.zeros(1)
    state["scale"] = minigrad.zeros(3)
    state["first.weight"] = minigrad.zeros(2, 3, 1)
    state["kept"] = "text"
    with pytest.raises(RuntimeError) as caught:
        net.load_state_dict(state)
    for text in (
        "Missing: first.bias, layers.0.weight",
        "Unexpected: surplus, other.surplus",
        "scale (expected (2,), got (3,))",
        "first.weight (expected (2, 3), got (2, 3, 1))",
        "kept (expected a tensor, got str)",
        "unchanged",
    ):
        assert text in str(caught.value), str(caught.value)
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(before[name]))


def test_loading_that_is_not_strict():
    layer = nn.Linear(2, 1)
    bias = layer.bias.tolist()
    result = layer.load_state_dict({"weight": np.zeros((1, 2)), "more": FIVE}, strict=False)
    assert result.missing_keys == ["bias"] and result.unexpected_keys == ["more"]
    assert tuple(result) == (["bias"], ["more"]) and "missing_keys" in repr(result)
    assert layer.weight.tolist() == [[0, 0]] and layer.bias.tolist() == bias
    with pytest.raises(RuntimeError, match="weight .expected .1, 2., got .5,.") as caught:
        layer.load_state_dict({"weight": FIVE}, strict=False)
    assert "Missing" not in str(caught.value)


def test_a_value_that_cannot_be_moved_changes_nothing(monkeypatch):
    layer = nn.Linear(1, 1)
    before, move = layer.state_dict(), backend.asarray_on

    def fail_on_the_second(array, device, calls=[]):  # noqa: B006
        calls.append(1)
        if len(calls) == 2:
            raise MemoryError
        return move(array, device)

    monkeypatch.setattr(backend, "asarray_on", fail_on_the_second)
    with pytest.raises(MemoryError):
        layer.load_state_dict({"weight": np.ones((1, 1)), "bias": np.ones(1)})
    for name, value in layer.state_dict().items():
        assert value.tolist() == before[name].tolist()


def test_loading_is_seen_by_a_recorded_graph():
    layer = nn.Linear(2, 1)
    y = layer(minigrad.ones(3, 2, requires_grad=True)).sum()
    layer.load_state_dict(layer.state_dict())
    with pytest.raises(RuntimeError, match="changed in place"):
        y.backward()


# --------------------------------------------------------------------- modes, gradients, moves


def test_train_and_eval_reach_all_and_respect_an_override():
    class Frozen(nn.BatchNorm1d):
        def train(self, mode=True):
            return super().train(False)

    net = nn.Sequential(nn.Dropout(), nn.Sequential(Frozen(2)))
    net.lists = [nn.Dropout()]
    assert net.training and net.eval() is net
    assert not any(module.training for module in net.modules())
    net.train()
    assert [m.training for m in net.modules()] == [True, True, True, False, True]
    with pytest.raises(ValueError, match="not a bool"):
        net.train("yes")


def test_apply_visits_children_first():
    net, seen = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.ReLU())), []
    assert net.apply(lambda module: seen.append(type(module).__name__)) is net
    assert seen == ["Linear", "ReLU", "Sequential", "Sequential"]


def test_requires_grad_and_zero_grad(device):
    net = nn.Linear(2, 1, device=device)
    net(make(device, np.ones((1, 2), np.float32))).sum().backward()
    kept = net.weight.grad
    net.zero_grad(set_to_none=False)
    assert arr(net.weight.grad).tolist() == [[0, 0]] and arr(kept).tolist() == [[1, 1]]
    net.zero_grad()
    assert net.weight.grad is None
    assert net.requires_grad_(False) is net
    assert not any(p.requires_grad for p in net.parameters())


def test_to_changes_dtypes_in_place(device):
    net = Net(device)
    net(make(device, np.ones((2, 3), np.float32))).sum().backward()
    parameters = list(net.parameters())
    assert net.double() is net
    assert all(p.dtype == np.float64 == p.grad.dtype for p in net.parameters())
    assert net.heads["a"].running_mean.dtype == np.float64
    assert net.heads["a"].num_batches_tracked.dtype == np.int64
    assert all(a is b for a, b in zip(parameters, net.parameters()))
    assert net.half().scale.dtype == np.float16
    assert net.float().scale.dtype == np.float32
    assert net.to(minigrad.tensor(1.0).double()).scale.dtype == np.float64
    assert net.to(device, minigrad.float16).scale.dtype == np.float16
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())
    with pytest.raises(TypeError, match="floating dtypes only"):
        net.to(minigrad.int64)


def test_to_moves_between_devices(device):
    net = Net()
    for move in (net.to, lambda d: net.to(minigrad.device(d)), lambda d: net.to(device=d)):
        assert move(device) is net
        assert {p.device.type for p in [*net.parameters(), *net.buffers()]} == {device}
        net.cpu()
        assert {p.device.type for p in [*net.parameters(), *net.buffers()]} == {"cpu"}
    if device == "cuda":
        assert net.cuda(0).scale.device == net.to(0).scale.device == minigrad.device("cuda", 0)
        x = make(device, np.ones((2, 3), np.float32))
        assert net(x).device.type == "cuda"


def test_an_unknown_device_changes_nothing():
    net = nn.Sequential(nn.ReLU())
    with pytest.raises(backend.DeviceError, match="no such device"):
        net.to("gpu")


def test_to_without_a_change_leaves_graphs_alone():
    layer = nn.Linear(2, 1)
    y = layer(minigrad.ones(1, 2, requires_grad=True))
    layer.to("cpu", minigrad.float32)
    y.backward()


# -------------------------------------------------------------------------------------- hooks


def test_hooks_see_and_replace(device):
    layer, seen = nn.Identity(), []
    x = make(device, FIVE)
    handles = [
        layer.register_forward_pre_hook(lambda m, args: seen.append(len(args))),
        layer.register_forward_pre_hook(lambda m, args: args[0] + 1),
        layer.register_forward_pre_hook(lambda m, args: (args[0] * 10,), prepend=True),
        layer.register_forward_hook(lambda m, args, out: out - args[0]),
        layer.register_forward_hook(lambda m, args, out: seen.append(arr(out).tolist())),
    ]
    assert arr(layer(x)).tolist() == [0] * 5
    assert seen == [1, [0] * 5]
    handles[3].remove()
    assert arr(layer(x)).tolist() == (FIVE * 10 + 1).tolist()
    for handle in handles:
        handle.remove()
        handle.remove()  # twice is no error
    assert layer(x) is x


def test_hooks_with_keyword_arguments():
    class Scale(nn.Module):
        def forward(self, x, factor=1):
            return x * factor

    layer, seen = Scale(), []
    layer.register_forward_pre_hook(
        lambda m, args, kwargs: (args, {"factor": kwargs["factor"] + 1}), with_kwargs=True
    )
    layer.register_forward_hook(
        lambda m, args, kwargs, out: seen.append(kwargs["factor"]), with_kwargs=True
    )
    assert layer(minigrad.tensor(1.0), factor=2).item() == 3 and seen == [3]


def test_a_hook_registered_twice_is_removed_once_a_handle():
    layer, seen = nn.Identity(), []

    def hook(module, args, output):
        seen.append(1)

    first, _ = layer.register_forward_hook(hook), layer.register_forward_hook(hook)
    first.remove(), first.remove()
    layer(minigrad.ones(1))
    assert seen == [1]


def test_a_hook_may_remove_itself():
    layer, seen = nn.Identity(), []

    def once(module, args):
        seen.append(1)
        handle.remove()

    handle = layer.register_forward_pre_hook(once)
    layer.register_forward_pre_hook(lambda module, args: seen.append(2))
    layer(minigrad.ones(1)), layer(minigrad.ones(1))
    assert seen == [1, 2, 2]


# --------------------------------------------------------------------------------- attributes


def test_forgetting_super_init_is_said():
    class Forgets(nn.Module):
        def __init__(self, part):
            self.number = 3  # plain values do no harm
            self.part = part

    for part in (nn.ReLU(), nn.Parameter(minigrad.ones(1))):
        with pytest.raises(AttributeError, match=r"'part' is assigned before super\(\).__init__"):
            Forgets(part)
    with pytest.raises(AttributeError, match=r"before super\(\).__init__\(\) was called"):
        Forgets(1)(minigrad.ones(1))


def test_a_parameter_is_not_replaced_by_accident():
    layer = nn.Linear(2, 1)
    with pytest.raises(TypeError, match="'weight' is a parameter.*\n.*\n.*Tensor\n.*nn.Parameter"):
        layer.weight = minigrad.ones(1, 2)
    layer.weight = nn.Parameter(minigrad.ones(1, 2))
    assert layer.weight.tolist() == [[1, 1]]
    layer.bias = None
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    del layer.weight
    layer.weight = minigrad.ones(1, 2)
    assert not list(layer.parameters()) and layer(minigrad.ones(2)).tolist() == [2]


def test_buffers_stay_buffers():
    net = Net()
    net.kept = minigrad.ones(2)
    assert net.state_dict()["kept"].tolist() == [1, 1]
    with pytest.raises(TypeError, match="'kept' is no buffer"):
        net.kept = 3
    net.kept = None
    assert "kept" not in net.state_dict()
    net.kept = minigrad.ones(2)
    assert "kept" in net.state_dict()
    net.kept = nn.Parameter(minigrad.ones(2))
    assert "kept" in dict(net.named_parameters()) and "kept" not in dict(net.named_buffers())
    del net.scratch
    assert "scratch" not in dict(net.named_buffers())


def test_registering_by_name():
    net = nn.Module()
    net.add_module("part", nn.ReLU())
    net.register_module("other", None)
    net.register_parameter("weight", nn.Parameter(minigrad.ones(1)))
    net.register_parameter("bias", None)
    net.register_parameter("bias", nn.Parameter(minigrad.ones(1)))
    net.register_buffer("stats", None)
    assert list(net.state_dict()) == ["weight", "bias"] and net.other is None
    for name in ("", "a.b", "forward", "training", 3):
        with pytest.raises(KeyError, match="cannot be the name of a part"):
            net.register_buffer(name, minigrad.ones(1))
    with pytest.raises(TypeError, match="'x' is no Module"):
        net.add_module("x", minigrad.ones(1))
    with pytest.raises(TypeError, match="'x' is no Parameter"):
        net.register_parameter("x", minigrad.ones(1))
    with pytest.raises(TypeError, match="'x' is no Tensor"):
        net.register_buffer("x", FIVE)


def test_a_typo_is_answered_with_close_names():
    layer = nn.Linear(1, 1)
    with pytest.raises(AttributeError, match="Linear: it has no attribute 'wieght'.\n.*'weight'"):
        layer.wieght  # noqa: B018
    assert not hasattr(layer, "nothing_like_it")


def test_an_error_in_a_property_is_not_swallowed():
    class Net(nn.Module):
        @property
        def broken(self):
            return self.missing_part

    with pytest.raises(AttributeError, match="no attribute 'missing_part'"):
        Net().broken  # noqa: B018


def test_a_module_without_forward():
    with pytest.raises(NotImplementedError, match="defines no forward"):
        nn.ModuleList([nn.ReLU()])(minigrad.ones(1))


# ---------------------------------------------------------------------------- repr and copies


def test_repr_is_a_tree():
    class Noted(nn.Module):
        def extra_repr(self):
            return "one\ntwo"

    net = nn.Sequential(nn.Linear(1, 2, bias=False), Noted())
    net[1].parts = [nn.Dropout(0.25)]
    assert repr(net) == (
        "Sequential(\n"
        "  (0): Linear(in_features=1, out_features=2, bias=False)\n"
        "  (1): Noted(\n    one\n    two\n    (parts.0): Dropout(p=0.25, inplace=False)\n  )\n"
        ")"
    )
    assert repr(nn.Sequential()) == "Sequential()"


def copies(net):
    return [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]  # noqa: S301


def test_copies_are_whole_and_independent():
    net = Net()
    net.tied = net.first
    x = minigrad.ones(4, 3)
    net(x).sum().backward()
    for other in copies(net):
        assert repr(other) == repr(net) and other.tied is other.first
        assert [name for name, _ in other.named_buffers()] == [n for n, _ in net.named_buffers()]
        np.testing.assert_array_equal(arr(other.eval()(x)), arr(net.eval()(x)))
        other.scale.data.fill_(5)
        assert net.scale.tolist() == [1, 1] and isinstance(other.scale, nn.Parameter)
    assert copy.deepcopy(net).scale.grad is None  # as in PyTorch


def test_parameter():
    values = minigrad.zeros(2)
    parameter = nn.Parameter(values)
    assert parameter.requires_grad and parameter.is_leaf and isinstance(parameter, minigrad.Tensor)
    values.fill_(3)
    assert parameter.tolist() == [3, 3] and "Parameter" in repr(parameter)
    assert not nn.Parameter(values, requires_grad=False).requires_grad
    assert not isinstance(parameter * 1, nn.Parameter)
    assert nn.Parameter().shape == (0,)
    with pytest.raises(TypeError, match="floating"):
        nn.Parameter(minigrad.arange(3))


# --------------------------------------------------------------------------------- containers


def test_sequential_runs_in_order_and_is_a_list(device):
    a, b, c = nn.Linear(2, 3, device=device), nn.ReLU(), nn.Linear(3, 1, device=device)
    net = nn.Sequential(a, b, c)
    x = make(device, np.ones((4, 2), np.float32))
    np.testing.assert_array_equal(arr(net(x)), arr(c(b(a(x)))))
    assert len(net) == 3 and list(net) == [a, b, c] and net[-1] is c and a in net
    part = net[1:]
    assert isinstance(part, nn.Sequential) and list(part) == [b, c] and list(net) == [a, b, c]
    assert net.append(nn.Tanh()) is net and isinstance(net.pop(), nn.Tanh)
    net.insert(1, nn.Sigmoid())
    assert [name for name, _ in net.named_children()] == ["0", "1", "2", "3"]
    assert isinstance(net[1], nn.Sigmoid)
    net[1] = nn.Identity()
    del net[0]
    assert [type(m).__name__ for m in net] == ["Identity", "ReLU", "Linear"]
    assert list(net.state_dict()) == ["2.weight", "2.bias"]
    assert len(net.extend([nn.ReLU(), nn.ReLU()])) == 5


def test_sequential_of_named_modules():
    net = nn.Sequential({"conv": nn.Conv2d(1, 1, 1), "act": nn.ReLU()})
    assert net.conv is net[0] and list(net.state_dict()) == ["conv.weight", "conv.bias"]
    with pytest.raises(KeyError, match="'forward' cannot be the name"):
        nn.Sequential({"forward": nn.ReLU()})


def test_containers_refuse_what_is_no_module():
    with pytest.raises(TypeError, match="not a module.*\n.*\n.*list\n.*Sequential"):
        nn.Sequential([nn.ReLU()])
    with pytest.raises(TypeError, match="Actual: type"):
        nn.ModuleList([nn.ReLU])
    with pytest.raises(TypeError, match="'x' is no Module"):
        nn.ModuleDict({"x": 3})
    with pytest.raises(IndexError, match="no such module"):
        nn.Sequential(nn.ReLU())[1]


def test_module_list_and_dict():
    layers = nn.ModuleList(nn.Linear(1, 1) for _ in range(2))
    layers += [nn.ReLU()]
    assert len(layers) == 3 and isinstance(layers[:2], nn.ModuleList)
    assert [name for name, _ in layers.named_parameters()][::2] == ["0.weight", "1.weight"]
    table = nn.ModuleDict({"a": nn.ReLU()})
    table["b"] = nn.Linear(1, 1)
    table.update([("c", nn.Tanh())])
    assert list(table) == list(table.keys()) == ["a", "b", "c"] and "b" in table
    assert [type(m).__name__ for m in table.values()] == ["ReLU", "Linear", "Tanh"]
    assert isinstance(table.pop("a"), nn.ReLU) and len(table) == 2
    del table["c"]
    assert [key for key, _ in table.items()] == ["b"]
    table.clear()
    assert not len(table) and not list(table.parameters())
