"""The summary: sizes counted by hand, memory held against the allocator's, the model untouched."""

from __future__ import annotations

import contextlib
import copy
import doctest
import tracemalloc

import numpy as np
import pytest
from helpers import arr

import minigrad
import minigrad.nn.functional as F
from minigrad import nn
from minigrad.compress.report import count_flops, count_parameters
from minigrad.nn import summary as summary_file
from minigrad.nn.recorder import kept_bytes
from minigrad.nn.summary import readable_bytes, summary
from minigrad.nn.utils import prune
from minigrad.vision import models


def by_path(found):
    return {row.path: row for row in found.rows}


def test_lenet_by_hand():
    found = summary(models.lenet(), (4, 1, 28, 28))
    rows = by_path(found)
    assert [row.kind for row in found.rows[:4]] == ["Sequential", "Conv2d", "ReLU", "MaxPool2d"]
    assert rows["0"].outputs == [(4, 6, 28, 28)]
    assert rows["3"].outputs == [(4, 16, 10, 10)]
    assert rows["6"].outputs == [(4, 400)]
    assert rows["0"].parameters == 6 * 1 * 5 * 5 + 6
    assert rows["7"].parameters == 400 * 120 + 120
    assert rows["0"].flops == 2 * 28 * 28 * 6 * 1 * 5 * 5
    assert rows["3"].flops == 2 * 10 * 10 * 16 * 6 * 5 * 5
    assert rows["11"].flops == 2 * 84 * 10
    assert found.parameters == 61_706  # LeNet-5's, in every textbook
    assert found.trainable == 61_706
    assert found.parameter_bytes == 4 * 61_706
    assert rows["0"].output_bytes == 4 * 4 * 6 * 28 * 28
    assert rows["6"].output_bytes == 0  # flatten is a view
    assert found.output_bytes == sum(4 * 4 * n for n in (
        6 * 28 * 28, 6 * 28 * 28, 6 * 14 * 14, 16 * 100, 16 * 100, 400, 120, 120, 84, 84, 10
    ))  # fmt: skip


NETWORKS = {
    "mlp": (models.mlp, (3, 784)),
    "lenet": (models.lenet, (2, 1, 28, 28)),
    "lenet5": (models.lenet5, (5, 1, 28, 28)),
    "cnn": (models.cnn, (2, 1, 28, 28)),
    "groups": (lambda: nn.Conv2d(4, 8, 3, groups=2, stride=2, padding=1), (2, 4, 9, 9)),
    "transposed": (lambda: nn.ConvTranspose2d(3, 5, 3, stride=2), (2, 3, 6, 7)),
    "linear over places": (lambda: nn.Linear(6, 3), (2, 7, 6)),
}


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("name", NETWORKS)
def test_one_network_has_one_number(name, mode):
    make, shape = NETWORKS[name]
    model = make()
    found = summary(model, shape, mode=mode)
    assert found.flops == count_flops(model, minigrad.rand(*shape))
    assert found.parameters == count_parameters(model)


def test_flops_are_those_of_a_sample_whatever_the_batch():
    model = models.lenet()
    assert summary(model, (1, 1, 28, 28)).flops == summary(model, (7, 1, 28, 28)).flops


# ---------------------------------------------------------------------------------- memory


def test_kept_memory_by_hand():
    """Linear keeps its input, relu its output: which are one array. The batch is the caller's."""
    model = nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3))
    assert summary(model, (2, 5)).kept_bytes == 4 * 2 * 7
    assert summary(model.double(), (2, 5)).kept_bytes == 8 * 2 * 7


@pytest.mark.parametrize("make", [models.lenet, models.cnn, models.mlp])
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_kept_memory_is_what_the_allocator_says(make, mode):
    """What is allocated while only the graph of the output is held, measured by tracemalloc."""
    model = make().train(mode == "train")
    x = minigrad.rand(16, 1, 28, 28)
    model(x)  # kernels make their buffers once
    tracemalloc.start()
    y = model(x)
    # The kernels' work buffers, one for each thread, belong to no graph.
    others = [tracemalloc.Filter(False, "*/kernels/memory.py")]
    traces = tracemalloc.take_snapshot().filter_traces(others).traces
    held = sum(trace.size for trace in traces) - y.array.nbytes
    tracemalloc.stop()
    kept = summary(model, (16, 1, 28, 28), mode=mode).kept_bytes
    assert kept == pytest.approx(held, rel=0.03, abs=30_000)  # the nodes themselves take some, too


def test_kept_bytes_of_a_graph_of_ones_own():
    x = minigrad.ones(1000, requires_grad=True)
    y = x.exp()  # keeps its output
    assert kept_bytes([y.creator]) == 4000
    z = (x * 2.0).sum()  # neither keeps anything of size
    assert kept_bytes([z.creator, *z.creator.edges], [x.array]) < 100


# ----------------------------------------------------------------------- modules, shared or not


class Tied(nn.Module):
    """A weight in two layers, a layer in two places, one in a loop, one never called."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(4, 4, bias=False)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.loop = nn.Linear(4, 4)
        self.again = self.loop
        self.scale = nn.Parameter(minigrad.ones(4))
        self.register_buffer("shift", minigrad.zeros(4))
        self.spare = nn.Linear(9, 9)
        self.frozen = nn.Linear(4, 2).requires_grad_(False)

    def forward(self, x):
        x = self.second(self.first(x)) * self.scale + self.shift
        for _ in range(3):
            x = self.loop(x).tanh()
        return self.frozen(x)


def test_shared_repeated_frozen_and_unused():
    model = Tied()
    found = summary(model, (2, 4))
    rows = by_path(found)
    assert rows[""].parameters == 4  # its own scale, not its children's
    assert rows[""].buffers == 4
    assert rows["first"].parameters == 16
    assert (rows["second"].parameters, rows["second"].is_shared) == (4, True)
    assert rows["spare"].calls == 0
    assert rows["spare"].parameters == 90
    assert (rows["frozen"].parameters, rows["frozen"].trainable) == (10, 0)
    looped = [row for row in found.rows if row.path in ("loop", "again")]
    assert sum(row.calls for row in looped) == 3
    assert sum(row.parameters for row in looped) == 20
    assert sum(row.flops for row in looped) == 3 * 2 * 4 * 4
    assert found.parameters == count_parameters(model)
    assert found.trainable == found.parameters - 10
    assert found.flops == count_flops(model, minigrad.ones(2, 4)) == 2 * (5 * 16 + 8)
    text = str(found)
    assert "never called" in text
    assert "10 frozen" in text
    assert "buffers: 4 entries" in text


def test_a_layer_in_two_places_has_two_rows():
    layer = nn.Linear(3, 3)
    found = summary(nn.Sequential(layer, nn.ReLU(), layer), (2, 3))
    assert [row.path for row in found.rows] == ["", "0", "1", "2"]
    assert [row.parameters for row in found.rows] == [0, 12, 0, 0]
    assert found.table()[4][2] == "shared"
    assert found.rows[3].flops == 18


def test_operations_belong_to_the_module_that_was_running():
    class Outer(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.w = nn.Linear(4, 4), nn.Parameter(minigrad.rand(4, 4))

        def forward(self, x):
            before = x @ self.w
            return self.inner(before) @ self.w

    rows = by_path(summary(Outer(), (1, 4)))
    assert rows[""].flops == 2 * 2 * 16
    assert rows["inner"].flops == 2 * 16


def test_a_frozen_network_costs_as_much():
    model = models.lenet().requires_grad_(False)
    found = summary(model, (1, 1, 28, 28))
    assert found.flops == summary(models.lenet(), (1, 1, 28, 28)).flops
    assert found.trainable == 0


def test_nested_names():
    model = nn.Sequential(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), nn.Linear(3, 1))
    found = summary(model, (1, 2))
    assert [(row.path, row.depth) for row in found.rows] == [
        ("", 0), ("0", 1), ("0.0", 2), ("0.1", 2), ("1", 1),
    ]  # fmt: skip
    assert "    0: Linear" in str(found)


def test_several_inputs_outputs_and_dtypes():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.table = nn.Parameter(minigrad.rand(10, 4))

        def forward(self, x, index):
            return {"sum": x + self.table[index], "index": (index, x)}

    found = summary(Pair(), [(3, 4), (3,)], dtype=[minigrad.float32, minigrad.int64])
    assert found.rows[0].outputs == [(3, 4), (3,), (3, 4)]
    assert found.inputs == [((3, 4), minigrad.float32), ((3,), minigrad.int64)]
    given = summary(Pair(), (minigrad.ones(3, 4), minigrad.tensor([9, 1, 2])))
    assert given.inputs == found.inputs


def test_dtype_follows_the_model():
    assert summary(nn.Linear(2, 2).double(), (1, 2)).inputs[0][1] == minigrad.float64
    assert summary(nn.Linear(2, 2), [1, 2]).rows[0].outputs == [(1, 2)]  # a list is a shape, too


def test_a_model_without_parameters():
    found = summary(nn.Flatten(), (2, 3, 4))
    assert (found.parameters, found.flops, found.kept_bytes) == (0, 0, 0)
    assert found.rows[0].outputs == [(2, 12)]


def test_a_pruned_model():
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2))
    prune.l1_unstructured(model[0], "weight", 0.5)
    found = summary(model, (1, 4))
    assert found.parameters == 20 + 10
    assert found.buffers == 16  # the mask


def test_on_a_device(device):
    for make in (models.lenet, models.cnn):
        here = summary(make(), (2, 1, 28, 28))
        there = summary(make().to(device), (2, 1, 28, 28))
        assert (there.flops, there.parameters) == (here.flops, here.parameters)
        assert [row.outputs for row in there.rows] == [row.outputs for row in here.rows]
        assert there.kept_bytes > 0


# --------------------------------------------------------------------------- what stays as it is


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_model_is_left_as_it_was(mode):
    model = models.cnn()
    model[1].eval()
    model.last = model(minigrad.rand(2, 1, 28, 28))
    model.last.sum().backward(retain_graph=True)
    handle = model[0].register_forward_hook(lambda *_: None)
    state = copy.deepcopy(model.state_dict())
    grads = [arr(p.grad).copy() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    random, last = minigrad.get_rng_state(), model.last
    summary(model, (4, 1, 28, 28), mode=mode)
    assert minigrad.get_rng_state() == random
    assert modes == [m.training for m in model.modules()]
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(state[name]), err_msg=name)
    assert all((arr(p.grad) == g).all() for p, g in zip(model.parameters(), grads, strict=True))
    assert all(p.requires_grad for p in model.parameters())
    assert [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()] == [
        int(m is model[0]) for m in model.modules()
    ]
    assert model.last is last
    handle.remove()


def test_it_works_without_recording_and_leaves_that_so():
    with minigrad.no_grad():
        found = summary(models.mlp(), (1, 784))
        assert not minigrad.is_grad_enabled()
    assert found.flops == 2 * (784 * 256 + 256 * 10)


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    "shape", [(), 5, "1, 28", None, (0, 3), (-1, 3), (2.0, 3), (True, 3), [(2, 3), "x"], [(2, 0)]]
)
def test_what_is_no_shape(shape):
    with pytest.raises(ValueError, match="not the shape of a batch"):
        summary(nn.Linear(3, 3), shape)


def test_other_bad_input():
    with pytest.raises(TypeError, match="not a network"):
        summary(F.relu, (1, 2))
    with pytest.raises(ValueError, match="there is no such mode"):
        summary(nn.Linear(3, 3), (1, 3), mode="training")
    with pytest.raises(ValueError, match="do not pair up"):
        summary(nn.Linear(3, 3), [(1, 3)], dtype=[minigrad.float32] * 2)
    with pytest.raises(RuntimeError, match=r"failed in layer '7' \(Linear\)") as error:
        summary(models.lenet(), (1, 28, 28))  # the axis of samples is missing
    assert "(1, 28, 28)" in str(error.value)
    assert "the number of samples first" in str(error.value)
    with pytest.raises(RuntimeError, match=r"failed in Module.forward"):
        summary(nn.Module(), (1, 2))
    model = nn.Linear(2, 2)
    model.handle = open(__file__)  # noqa: SIM115
    with pytest.raises(RuntimeError, match="Linear cannot be copied"):
        summary(model, (1, 2))
    model.handle.close()


def test_a_failure_that_forward_catches():
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.wrong, self.right = nn.Linear(9, 9), nn.Linear(2, 3)

        def forward(self, x):
            try:
                return self.wrong(x)
            except ValueError:
                return self.right(x)

    rows = by_path(summary(Tries(), (1, 2)))
    assert rows["right"].flops == 12
    assert rows[""].outputs == [(1, 3)]


# -------------------------------------------------------------------------------------- looks


def test_text_and_html():
    found = summary(models.mlp(), (1, 784))
    assert repr(found) == str(found)
    widths = {len(line) for line in str(found).splitlines()[:6] if not line.endswith(")")}
    assert max(widths) <= 100
    html = found._repr_html_()
    assert html.count("<tr>") == len(found.rows) + 1
    assert "203,530" in html
    assert [readable_bytes(n) for n in (999, 1000, 1_500_000, 2 * 10**9)] == [
        "999 B", "1.0 kB", "1.5 MB", "2.0 GB",
    ]  # fmt: skip


def test_the_docstrings_example():
    assert doctest.testmod(summary_file).failed == 0


class Parts(nn.Module):
    """Two layers, and ways to leave the first, or both, without a gradient."""

    def __init__(self, how):
        super().__init__()
        self.first, self.last, self.how = nn.Linear(8, 6), nn.Linear(6, 3), how

    def forward(self, x):
        if self.how == "detached":
            return self.last(self.first(x).detach())
        with minigrad.no_grad():
            if self.how == "both":
                return self.last(self.first(x))
            if self.how == "after a failure":
                with contextlib.suppress(ValueError):
                    self.last(x)
            h = self.first(x)
        return self.last(h)


@pytest.mark.parametrize(
    "how, kept",  # for the gradient of the last layer's weight its input is kept, 6 numbers
    [("detached", 24), ("first", 24), ("after a failure", 24), ("both", 0)],
)
def test_layers_under_no_grad_are_counted_and_keep_nothing(how, kept):
    for mode in (minigrad.enable_grad(), minigrad.no_grad()):
        with mode:
            before = minigrad.is_grad_enabled()
            found = summary(Parts(how), (1, 8))
            assert minigrad.is_grad_enabled() is before
        assert (
            found.flops == 2 * (8 * 6 + 6 * 3) == count_flops(Parts("first"), minigrad.ones(1, 8))
        )
        assert found.unrecorded == [] and "not counted" not in str(found)
        assert found.kept_bytes == kept


def test_layers_without_a_graph_are_named():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(minigrad.ones(8, 3))

        @minigrad.no_grad()
        def forward(self, x):
            return x @ self.weight

    found = summary(nn.Sequential(Own(), nn.Linear(3, 2)), (1, 8))
    assert found.flops == 2 * 3 * 2 and found.unrecorded == ["0"]
    assert "FLOPs not counted, for lack of a graph (no_grad): 0" in str(found)


def test_a_dtype_that_is_none():
    with pytest.raises(TypeError, match="summary: there is no such dtype"):
        summary(nn.Linear(8, 3), (1, 8), dtype="float31")
