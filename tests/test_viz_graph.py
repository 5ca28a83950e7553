"""The picture of a computation: what is in it, whether it can be read, what it leaves untouched.

Values and gradients are compared with the tensors themselves and with hand-written derivatives;
the layout with properties that a reader would check with a ruler (nothing overlaps, no arrow
crosses a box) on the finished SVG, measured with a font's real widths and, where there is one, in
a browser; the count of crossings with a naive one.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import xml.etree.ElementTree as ET
from itertools import combinations

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st
from test_ops_gradients import SAMPLES

import minigrad
from minigrad import nn, viz
from minigrad.autograd import Function, grad, no_grad
from minigrad.nn import functional as F
from minigrad.vision.models import lenet
from minigrad.viz import _coordinates
from minigrad.viz._arrange import LONGEST_LINE, MOST_LINES, arrange
from minigrad.viz._crossings import crossings, reduce_crossings
from minigrad.viz._layout import assign_layers, layered
from minigrad.viz._numbers import merge, short, summarise
from minigrad.viz._places import Edge, Places
from minigrad.viz._svg import FONT, TITLE
from minigrad.viz._text import escape, text_width
from minigrad.viz._walk import trace
from minigrad.viz.graph import draw_graph

SVG = "{http://www.w3.org/2000/svg}"


def scalar(value):
    return minigrad.tensor(float(value), requires_grad=True)


def expression():
    """Ten nodes: L = tanh((a b + c) f / 10) + a^2."""
    names = dict(a=scalar(2), b=scalar(-3), c=scalar(10), f=scalar(-2))
    a, b, c, f = names.values()
    return ((a * b + c) * f / 10).tanh() + a**2, names


def lenet_step(n=2):
    minigrad.manual_seed(0)
    model = lenet()
    x = minigrad.tensor(np.random.default_rng(0).normal(size=(n, 1, 28, 28)).astype(np.float32))
    return model, x, F.cross_entropy(model(x), minigrad.tensor(list(range(n))))


class Block(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.conv1 = nn.Conv2d(n, n, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(n)
        self.conv2 = nn.Conv2d(n, n, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.conv2(F.relu(self.norm(self.conv1(x)))))


class ResNet(nn.Module):
    def __init__(self, blocks=2):
        super().__init__()
        self.stem = nn.Conv2d(1, 3, 3, padding=1)
        self.body = nn.Sequential(*[Block(3) for _ in range(blocks)])
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        return self.head(self.body(F.relu(self.stem(x))).mean((2, 3)))


def resnet_step(blocks=2, record=False):
    minigrad.manual_seed(0)
    model = ResNet(blocks)
    x = minigrad.tensor(np.random.default_rng(0).normal(size=(2, 1, 4, 4)).astype(np.float32))
    labels = minigrad.tensor([0, 3])
    if record:
        with viz.recording():
            return model, F.cross_entropy(model(x), labels)
    return model, F.cross_entropy(model(x), labels)


def shared_weights(steps=5):
    minigrad.manual_seed(0)
    cell, h = nn.Linear(3, 3), minigrad.zeros(1, 3)
    for _ in range(steps):
        h = cell(h).tanh()
    return cell, h.sum()


def second_order():
    w = minigrad.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (g,) = grad((w**3).tanh().sum(), w, create_graph=True)
    return (g * g).sum()


def pictures():
    """Every kind of graph that there is to draw."""
    loss, names = expression()
    yield "expression", draw_graph(loss, True, names=names)
    yield "rightwards", draw_graph(loss, True, names=names, direction="right")
    model, _, loss = lenet_step()
    yield "lenet", draw_graph(loss, True, model=model)
    yield "lenet collapsed", draw_graph(loss, True, model=model, depth=1)
    model, loss = resnet_step(record=True)
    yield "resnet", draw_graph(loss, True, model=model)
    yield "resnet collapsed", draw_graph(loss, True, model=model, depth=2)
    cell, loss = shared_weights()
    yield "shared weights", draw_graph(loss, True, model=cell)
    yield "second order", draw_graph(second_order(), True)
    yield "leaf", draw_graph(scalar(1.5), True)
    yield "random", draw_graph(random_graph(3, 60))
    hard = minigrad.tensor([1.0, float("nan"), float("inf")] * 5, requires_grad=True)
    yield "hard names", draw_graph((hard * 2).sum(), names={"<a&\"b'>\x00\n" + "漢字😀" * 20: hard})


def random_graph(seed, ops):
    rng = np.random.default_rng(seed)
    pool = [scalar(rng.normal()) for _ in range(6)]
    for i in range(ops):
        a, b = rng.integers(max(0, len(pool) - 9), len(pool), 2)
        pool.append(pool[a] * pool[b] if i % 2 else pool[a] - pool[b])
    total = pool[-1]
    for one in pool[-9:-1]:
        total = total + one
    return total


@pytest.fixture(scope="module")
def drawn():
    return dict(pictures())


# ---------------------------------------------------------------------------------- the record


def test_trace_lists_the_computation_in_forward_order():
    loss, names = expression()
    record = trace(loss, names=names)
    assert [node.op or node.name for node in record.nodes] == [
        "a", "b", "Mul", "c", "Add", "f", "Mul", "Div", "Tanh", "Pow", "Add",
    ]  # fmt: skip
    for node in record.nodes:
        assert all([source is None or source < node.index for source in node.sources])
        for consumer in record.consumers[node.index]:
            assert node.index in record.nodes[consumer].sources
    assert record.nodes[9].arguments == {"b": 2}
    assert record.nodes[9].roles == ("a", "b")
    assert record.result.origin is loss.creator


def test_forward_order_follows_the_longest_path():
    model, loss = recurrent(3)
    nodes = [node for node in trace(loss).nodes if node.kind == "op"]
    assert [node.op for node in nodes] == ["Linear", "Linear", "Add", "Tanh"] * 3 + ["SumTo"]
    h, x = minigrad.zeros(2, 3), minigrad.ones(2, 3)
    for node in nodes[3::4]:  # step by step from the first
        h = (model["i2h"](x) + model["h2h"](h)).tanh()
        np.testing.assert_allclose(node.value, arr(h), rtol=1e-6)


def test_values_and_gradients_are_those_of_the_formula():
    loss, names = expression()
    nodes = trace(loss, names=names, grad=True).nodes
    a, b, c, f = 2.0, -3.0, 10.0, -2.0
    t = np.tanh((a * b + c) * f / 10)
    slope = 1 - t * t
    values = [
        a,
        b,
        a * b,
        c,
        a * b + c,
        f,
        (a * b + c) * f,
        (a * b + c) * f / 10,
        t,
        a * a,
        t + a * a,
    ]
    gradients = {
        "a": slope * f / 10 * b + 2 * a, "b": slope * f / 10 * a,
        "c": slope * f / 10, "f": slope * (a * b + c) / 10,
    }  # fmt: skip
    np.testing.assert_allclose([node.value for node in nodes], values, rtol=1e-5)
    for node in nodes:
        if node.name:
            np.testing.assert_allclose(node.grad, gradients[node.name], rtol=1e-5)


def test_gradients_are_those_of_backward_and_nothing_is_touched():
    model, x, loss = lenet_step()
    record = trace(loss, model=model, grad=True)
    assert all([p.grad is None for p in model.parameters()])
    loss.backward()  # the graph is still whole
    named = dict(model.named_parameters())
    found = {node.name: node.grad for node in record.nodes if node.is_parameter}
    assert list(found) == list(named)
    for name, parameter in named.items():
        np.testing.assert_array_equal(found[name], arr(parameter.grad))
    assert not any([node.grad is not None for node in record.nodes if node.kind == "constant"])


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_value_that_was_not_kept_is_computed_right_or_not_at_all(name):
    for sample in SAMPLES[name]:
        result = sample.function(*sample.tensors("cpu", np.float32))
        if not result.requires_grad:
            continue
        record = trace(result.clone())
        value = record.nodes[-2].value
        if value is not None:
            np.testing.assert_array_equal(value, arr(result))
            assert value.dtype == arr(result).dtype


@pytest.mark.parametrize("name", sorted(SAMPLES))
def test_a_recording_keeps_every_value(name):
    for sample in SAMPLES[name]:
        with viz.recording():
            result = sample.function(*sample.tensors("cpu"))
            copy = result.clone()
        if result.requires_grad:
            values = [node.value for node in trace(copy).nodes]
            assert all([value is not None for value in values])
            np.testing.assert_array_equal(values[-2], arr(result))


def test_the_values_of_a_network_are_all_found(device):
    minigrad.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2)).to(device)
    x = make(device, np.ones((5, 4), np.float32))
    layers = [x]
    for layer in model:
        layers.append(layer(layers[-1]))
    record = trace(layers[-1].sum(), model=model, grad=True)
    values = [node.value for node in record.nodes if node.kind == "op"]
    for value, layer in zip(values, layers[1:]):
        np.testing.assert_allclose(value, arr(layer))
    assert isinstance(values[0], np.ndarray)
    assert {node.name for node in record.nodes if node.is_parameter} == set(model.state_dict())


def test_a_value_that_was_changed_in_place_is_not_shown():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    y = x.exp()
    loss = (y + 1).sum()
    y.data[...] = 7.0
    with pytest.raises(RuntimeError, match="changed in place"):
        trace(loss, grad=True)
    exp = next(node for node in trace(loss).nodes if node.op == "Exp")
    np.testing.assert_allclose(exp.value, np.exp([1.0, 2.0]))  # from x again, not the sevens


def test_no_value_is_computed_again_from_inputs_that_were_changed():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x + 1).sum()
    by_op = {node.op: node.value for node in trace(loss).nodes}
    np.testing.assert_array_equal(by_op["Mul"], [1.0, 4.0])
    x.data.mul_(3.0)
    by_op = {node.op: node.value for node in trace(loss).nodes}
    assert by_op["Mul"] is None
    assert by_op["SumTo"] == 7.0


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_the_value_of_a_loss_is_found_below_other_operations(reduction):
    z = minigrad.tensor([[1.0, 2.0, 0.5], [0.0, -1.0, 3.0]], requires_grad=True)
    loss = F.cross_entropy(z, minigrad.tensor([0, 2]), reduction=reduction)
    nodes = {node.op: node for node in trace((loss * 2).sum()).nodes}
    node, each = (
        nodes["SoftmaxCrossEntropy"],
        np.log(np.exp(arr(z)).sum(1)) - arr(z)[[0, 1], [0, 2]],
    )
    assert node.arguments["mean"] is (reduction == "mean")
    np.testing.assert_allclose(node.value, each.mean() if reduction == "mean" else each, rtol=1e-6)


def test_names_also_give_values():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    shifted = x + 1
    loss = shifted.relu().sum()
    names = {"x": x, "shifted": shifted, "pi": 3.14, "np": np}
    by_name = {node.name: node for node in trace(loss, names=names).nodes}
    np.testing.assert_array_equal(by_name["shifted"].value, [2.0, 3.0])
    assert "shifted = Shift" in draw_graph(loss, names=names).svg


# ------------------------------------------------------------------------------- the recording


def test_recording_leaves_the_engine_as_it_was():
    apply, call = Function.__dict__["apply"], nn.Module.__call__
    with viz.recording():
        with viz.recording():
            assert Function.__dict__["apply"] is not apply
        assert Function.__dict__["apply"] is not apply
    with pytest.raises(KeyError), viz.recording():
        raise KeyError
    assert Function.__dict__["apply"] is apply
    assert nn.Module.__call__ is call


def test_recording_holds_for_its_own_thread():
    results = {}

    def other():
        results["other"] = scalar(1) + 1

    with viz.recording():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        results["own"] = scalar(1) + 1
    assert trace(results["own"]).nodes[-1].arguments == {"c": 1}
    assert trace(results["other"]).nodes[-1].arguments == {}


def test_notes_go_with_the_graph():
    from minigrad.viz._recording import notes

    before = len(notes)
    with viz.recording():
        loss = (scalar(1) * 2).exp()
    assert len(notes) == before + 2
    del loss
    assert len(notes) == before


def test_recording_knows_modules_and_calls():
    model, loss = resnet_step(record=True)
    modules = {}
    for node in trace(loss, model=model).nodes:
        if node.kind == "op":
            modules.setdefault(node.op, []).append([name for name, _ in node.modules])
    assert modules["Conv2d"][:2] == [["stem"], ["body", "body.0", "body.0.conv1"]]
    assert modules["Relu"][:2] == [[], ["body", "body.0"]]
    assert modules["Linear"] == [["head"]]
    assert modules["SoftmaxCrossEntropy"] == [[]]
    cell = nn.Linear(2, 2)
    with viz.recording():
        twice = cell(cell(minigrad.ones(1, 2))).sum()
    calls = [node.modules for node in trace(twice).nodes if node.op == "Linear"]
    assert [call[0][0] for call in calls] == ["Linear", "Linear"]
    assert calls[0] != calls[1]


# ----------------------------------------------------------------------------------- collapsing


def sources_come_first(graph):
    return all([s < i for i, box in enumerate(graph.boxes) for s, _ in box.sources])


def test_collapsed_by_module():
    model, loss = resnet_step(record=True)
    titles = {1: [], 2: [], 3: []}
    for depth in titles:
        graph = draw_graph(loss, model=model, depth=depth)
        assert sources_come_first(graph)
        titles[depth] = [box.title for box in graph.boxes if box.kind == "group"]
    assert titles[1] == ["stem", "body", "head"]
    assert titles[2] == ["stem", "body.0", "body.1", "head"]
    assert titles[3][:4] == ["stem", "body.0.conv1", "body.0.norm", "body.0.conv2"]
    body = next(b for b in draw_graph(loss, model=model, depth=1).boxes if b.title == "body")
    parameters = sum([p.numel() for p in model.body.parameters()])
    assert ("", f"{parameters:,} parameters", "muted") in body.rows


def test_without_a_recording_modules_follow_the_parameters():
    model, loss = resnet_step()
    graph = draw_graph(loss, model=model, depth=2)
    assert sources_come_first(graph)
    assert [box.title for box in graph.boxes if box.kind == "group"] == [
        "stem", "body.0", "body.1", "head",
    ]  # fmt: skip


def test_a_module_that_runs_twice_is_two_boxes():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            return self.a(self.b(self.a(x).tanh()).tanh()).tanh()

    model, x = Twice(), minigrad.ones(1, 2)
    with viz.recording():
        recorded = model(x).sum()
    for loss in (model(x).sum(), recorded):
        graph = draw_graph(loss, model=model, depth=1)
        assert sources_come_first(graph)
        assert [b.title for b in graph.boxes if b.title in ("a", "b", "a (2)")] == [
            "a",
            "b",
            "a (2)",
        ]
        titles = [box.title for box in graph.boxes]
        assert "a.weight" in titles  # shared: outside of both, and drawn once
        assert "b.weight" not in titles


@pytest.mark.parametrize("record", [False, True])
def test_a_large_network_is_collapsed_as_little_as_needed(record):
    model, loss = resnet_step(blocks=12, record=record)
    whole = trace(loss, model=model)
    assert len(whole.nodes) > 120
    graph = draw_graph(loss, True, model=model, max_nodes=60)
    assert 12 <= len(graph.boxes) <= 60
    assert sources_come_first(graph)
    assert f"{len(whole.nodes):,} nodes in {len(graph.boxes):,} boxes." in graph.notes
    assert len(draw_graph(loss, model=model, max_nodes=1000).boxes) == len(whole.nodes)


def test_without_modules_runs_and_stretches_are_collapsed():
    x = scalar(0.5)
    for _ in range(400):
        x = x.tanh() * 1.5
    graph = draw_graph(x, grad=True)
    assert len(graph.boxes) == 2
    assert graph.boxes[0].title == "799 operations"
    wide = draw_graph(random_graph(0, 400), grad=True)
    assert len(wide.boxes) <= 30
    assert sources_come_first(wide)


def test_deep_graphs_do_not_recurse():
    w = x = scalar(1.0)
    for i in range(20_000):  # the default limit of recursion is 1,000
        x = x * 0.999 if i % 2 else x + w
    graph = draw_graph(x, grad=True)
    assert "20,000 operations" in graph.title
    assert len(graph.boxes) < 30
    ET.fromstring(graph.svg)


# ---------------------------------------------------------------------------------- bad input


def test_a_freed_graph_says_so():
    loss, _ = expression()
    loss.backward()
    for options in ({}, {"grad": True}):
        with pytest.raises(RuntimeError, match=r"graph: the graph is gone.*\n.*backward\(\)"):
            loss.graph(**options)
    loss, _ = expression()
    loss.backward(retain_graph=True)
    assert loss.graph(grad=True).boxes
    kept = loss.exp()
    loss.backward()  # a part of it
    with pytest.raises(RuntimeError, match="the graph is gone"):
        kept.graph()


def test_what_holds_a_grad_shows_it():
    x = scalar(3.0)
    y = x * x
    y.backward(retain_graph=True)
    rows = y.graph().boxes[0].rows
    assert (".grad", "6", "grad") in rows


def test_no_gradient_is_one_sentence():
    with no_grad():
        untracked = scalar(1.0) * 2
    for tensor in (minigrad.tensor([1.0]), untracked):
        with pytest.raises(RuntimeError) as error:
            tensor.graph()
        first, *rest = str(error.value).splitlines()
        assert first.count(".") == 1
        assert "requires a gradient" in first
        assert len(rest) == 1


def test_a_result_that_is_no_scalar():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    assert y.graph().boxes
    with pytest.raises(RuntimeError, match="one element"):
        y.graph(grad=True)
    upstream = minigrad.tensor([1.0, 10.0])
    (leaf, *_) = trace(y, grad=upstream).nodes
    np.testing.assert_array_equal(leaf.grad, [2.0, 40.0])


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        (dict(model=3), TypeError, "model is not a module"),
        (dict(names=["a"]), TypeError, "names is no mapping"),
        (dict(names={"a": 3}), ValueError, "names has no tensor"),
        (dict(grad="yes"), TypeError, "grad is of another kind"),
        (dict(depth=0), ValueError, "depth is too small"),
        (dict(depth=1.5), TypeError, "depth is no int"),
        (dict(depth=1), ValueError, "no module is known"),
        (dict(max_nodes=0), ValueError, "max_nodes is too small"),
        (dict(max_nodes=None), TypeError, "max_nodes is no int"),
        (dict(values="all"), TypeError, "values is no bool"),
        (dict(direction="up"), ValueError, "no such direction"),
    ],
)
def test_bad_options(options, error, words):
    loss, _ = expression()
    with pytest.raises(error, match=words):
        loss.graph(**options)


def test_another_models_parameters_are_said_to_be_missing():
    model, _, loss = lenet_step()
    assert "No leaf here belongs to the model that was given." in loss.graph(model=lenet()).notes
    assert not [note for note in loss.graph(model=model).notes if "belongs" in note]


def test_save(tmp_path):
    loss, _ = expression()
    graph = loss.graph(grad=True)
    path = graph.save(tmp_path / "loss.svg")
    assert path.read_text(encoding="utf-8") == graph.svg == graph._repr_svg_()
    for name in ("loss.png", "loss", "loss.svg.dot"):
        with pytest.raises(ValueError, match="only SVG is written"):
            graph.save(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        graph.save(tmp_path / "missing" / "loss.svg")
    assert sorted(os.listdir(tmp_path)) == ["loss.svg"]
    loss.backward()  # the picture needs the graph no more
    assert graph.save(str(tmp_path / "after.SVG")).read_text(encoding="utf-8") == graph.svg


def test_dot():
    loss, names = expression()
    names['say "a\\b"'] = names.pop("a")
    graph = draw_graph(loss, True, names=names)
    dot = graph.to_dot()
    nodes = re.findall(r'^  n(\d+) \[label="((?:[^"\\]|\\.)*)"', dot, re.MULTILINE)
    assert [int(i) for i, _ in nodes] == list(range(len(graph.boxes)))
    assert len(re.findall(r"^  n\d+ -> n\d+", dot, re.MULTILINE)) == sum(
        [len(box.sources) for box in graph.boxes]
    )
    assert r"say \"a\\b\"" in dot
    assert dot.count("{") == dot.count("}") == 1


# ---------------------------------------------------------------------------------- the picture


def test_well_formed_and_the_same_every_time(drawn):
    for (name, graph), (_, again) in zip(drawn.items(), pictures()):
        root = ET.fromstring(graph.svg)
        assert root.tag == SVG + "svg", name
        assert graph.svg == again.svg, name
        assert "nan" not in re.sub(r"<text.*?</text>|<title>.*?</title>", "", graph.svg), name
    code = "from test_viz_graph import pictures; print([g.svg for _, g in pictures()])"
    folder = os.path.dirname(__file__)
    texts = [
        subprocess.run(
            [sys.executable, "-c", code], cwd=folder, capture_output=True, check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONIOENCODING": "utf-8"},
        ).stdout
        for seed in ("1",)
    ]  # fmt: skip
    assert texts[0].decode() == f"{[graph.svg for graph in drawn.values()]}\n"


def frames(root):
    """Yield the box, the texts and the place of every node of an SVG."""
    for group in root.iter(SVG + "g"):
        rects = group.findall(SVG + "rect")
        if rects and group.findall(SVG + "text") and not group.get("transform"):
            rect = rects[-1]
            x, y, w, h = [float(rect.get(key)) for key in ("x", "y", "width", "height")]
            yield (x, y, x + w, y + h), group.findall(SVG + "text")


def true_width(text, size, bold):
    """Measure a text in DejaVu Sans itself."""
    from matplotlib.font_manager import FontProperties, findfont
    from matplotlib.ft2font import FT2Font

    weight = "bold" if bold else "normal"
    if weight not in true_width.fonts:
        properties = FontProperties(family="DejaVu Sans", weight=weight)
        true_width.fonts[weight] = FT2Font(findfont(properties))
    font = true_width.fonts[weight]
    font.set_size(1000, 72)
    return sum([font.load_char(ord(c)).linearHoriAdvance / 65536 for c in text]) * size / 1000


true_width.fonts = {}


def test_texts_stay_in_their_boxes_and_off_each_other(drawn):
    pytest.importorskip("matplotlib")
    for name, graph in drawn.items():
        if name == "hard names":  # characters that the font does not have
            continue
        for (left, top, right, bottom), texts in frames(ET.fromstring(graph.svg)):
            spans = []
            for text in texts:
                css = text.get("class") or ""
                size = TITLE if "title" in css or "symbol" in css else FONT
                width = true_width(text.text, size, "title" in css)
                x, y = float(text.get("x")), float(text.get("y"))
                x -= width if text.get("text-anchor") == "end" else 0
                spans.append((x, y - 0.93 * size, x + width, y + 0.24 * size))  # the font's own
                assert left + 2 < x and x + width < right - 2, (name, text.text)
                assert top < y - 0.8 * size and y + 0.24 * size < bottom, (name, text.text)
            for a, b in combinations(spans, 2):
                apart = a[2] < b[0] or b[2] < a[0] or a[3] < b[1] + 2 or b[3] < a[1] + 2
                assert apart, (name, [t.text for t in texts])


def test_the_estimate_of_widths_is_never_too_small():
    pytest.importorskip("matplotlib")
    texts = [
        "".join(map(chr, range(32, 127))),
        "−0.1235 … 1.2e−5",
        "layer1.0.conv1.weight",
        "iiiill",
    ]
    for text in texts:
        for bold in (False, True):
            real = true_width(text, 12, bold)
            assert 0.98 * real <= text_width(text, 12, bold) <= 1.4 * real + 4


def curve(path):
    """Return points along an SVG path of M, L and C, close to each other."""
    points, at = [], None
    for command, numbers in re.findall(r"([MLC])([^MLC]*)", path):
        values = [float(v) for v in numbers.split()]
        corners = list(zip(values[::2], values[1::2]))
        if command == "C":
            a, b, c = corners
            for t in np.linspace(0, 1, 33):
                u = 1 - t
                weights = (u**3, 3 * u * u * t, 3 * u * t * t, t**3)
                points.append(tuple(sum(w * np.array(p) for w, p in zip(weights, (at, a, b, c)))))
        elif command == "L":
            points += [
                tuple(np.array(at) + t * (np.array(corners[0]) - at)) for t in np.linspace(0, 1, 17)
            ]
        at = np.array(corners[-1])
    return points


def test_boxes_are_apart_and_no_arrow_runs_through_one(drawn):
    for name, graph in drawn.items():
        root = ET.fromstring(graph.svg)
        boxes = [box for box, _ in frames(root)]
        assert len(boxes) == len(graph.boxes) + graph.svg.count(' again" x=')
        _, _, width, height = [float(v) for v in root.get("viewBox").split()]
        for a, b in combinations(boxes, 2):
            assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1], name
        assert all([min(a[:2]) >= 0 and a[2] < width and a[3] < height for a in boxes])
        paths = [path.get("d") for path in root.iter(SVG + "path")]
        assert len(paths) == sum([len(box.sources) for box in graph.boxes])
        for path in paths:
            for x, y in curve(path):
                inside = [l + 1 < x < r - 1 and t + 1 < y < b - 1 for l, t, r, b in boxes]  # noqa: E741
                assert not any(inside), (name, path)


def test_arrows_lead_from_the_source_to_the_consumer_in_order(drawn):
    graph = drawn["expression"]
    root = ET.fromstring(graph.svg)
    boxes = [box for box, _ in frames(root)]
    paths = iter([curve(path.get("d")) for path in root.iter(SVG + "path")])
    for target, box in enumerate(graph.boxes):
        ends = []
        for source, _ in box.sources:
            points = next(paths)
            left, _, right, bottom = boxes[source]
            assert left < points[0][0] < right and points[0][1] == pytest.approx(bottom, abs=1)
            left, top, right, _ = boxes[target]
            assert left < points[-1][0] < right and top - 8 < points[-1][1] < top
            ends.append(points[-1][0])
        assert ends == sorted(ends)  # the first argument is the left one


def test_what_is_written():
    loss, names = expression()
    text = " ".join(
        ET.fromstring(draw_graph(loss, True, names={**names, "L": loss}).svg).itertext()
    )
    for words in ("L = Add", "Tanh", "−0.1118", "4.335", "a^2", "value", "grad"):
        assert words in text
    model, _, loss = lenet_step()
    text = " ".join(ET.fromstring(draw_graph(loss, model=model).svg).itertext())
    for words in ("Conv2d", "2×6×28×28", "0.weight", "SoftmaxCrossEntropy"):
        assert words in text
    assert "grad " not in re.sub(r"\(grad\)|gradient", "", text)
    x = minigrad.tensor([1.0, float("nan")], requires_grad=True)
    assert '<text x="' in (svg := (x * 1).sum().graph().svg) and 'class="bad">' in svg


def test_colours_have_contrast_in_both_themes():
    from minigrad.viz import _svg

    def luminance(colour):
        c = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        c = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in c]
        return 0.2126 * c[0] + 0.7152 * c[1] + 0.0722 * c[2]

    for theme in (_svg._LIGHT, _svg._DARK):
        papers = [theme["panel"], *[theme[kind][0] for kind in _svg.KINDS]]
        for ink in ("text", "muted", "grad", "bad"):
            for paper in papers:
                low, high = sorted([luminance(theme[ink]), luminance(paper)])
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, paper)  # WCAG AA


@pytest.mark.skipif(not shutil.which("chromium"), reason="needs chromium")
def test_in_a_browser_no_text_leaves_its_box(drawn, tmp_path):
    script = """<script>
    const bad = [];
    for (const group of document.querySelectorAll('g')) {
      const rects = group.querySelectorAll(':scope > rect');
      if (!rects.length || group.hasAttribute('transform')) continue;
      const frame = rects[rects.length - 1].getBBox();
      const texts = [...group.querySelectorAll(':scope > text')].map(t => [t, t.getBBox()]);
      for (const [t, b] of texts)
        if (b.x < frame.x || b.x + b.width > frame.x + frame.width) bad.push(t.textContent);
      const find = name => texts.find(([t]) => t.classList[0] == name);
      const title = find('title'), symbol = find('symbol');
      if (title && symbol && title[1].x + title[1].width > symbol[1].x) bad.push('symbol');
    }
    document.title = 'measured';
    document.body.innerHTML = '<pre>' + JSON.stringify(bad) + '</pre>';
    </script>"""
    page = tmp_path / "page.html"
    pictures = "".join([graph.svg for graph in drawn.values()])
    page.write_text(f"<meta charset=utf-8><body>{pictures}{script}</body>", encoding="utf-8")
    shown = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}",
         "--dump-dom", page.as_uri()],
        capture_output=True, timeout=120,
    ).stdout.decode()  # fmt: skip
    if "<title>measured" not in shown:
        pytest.skip("the browser did not start")
    assert json.loads(re.search("<pre>(.*)</pre>", shown).group(1)) == []


# ----------------------------------------------------------------------------------- the layout

edge_lists = st.integers(2, 14).flatmap(
    lambda n: st.tuples(
        st.just(n),
        st.lists(
            st.tuples(st.integers(0, n - 2), st.integers(1, n - 1)).filter(lambda e: e[0] < e[1]),
            max_size=24,
        ),
    )
)


@given(edge_lists)
def test_layers_boxes_and_bends(graph):
    n, pairs = graph
    edges = [Edge(a, b) for a, b in pairs]
    layers = assign_layers(n, edges)
    assert min(layers) == 0
    assert all([layers[a] < layers[b] for a, b in pairs])
    sizes = [(30.0 + 7 * (i % 5), 20.0 + 5 * (i % 3)) for i in range(n)]
    layout = layered(sizes, edges)
    corners = [
        (x - w / 2, y - h / 2, x + w / 2, y + h / 2)
        for (x, y), (w, h) in zip(layout.centres, sizes)
    ]
    for a, b in combinations(corners, 2):
        assert a[2] < b[0] or b[2] < a[0] or a[3] < b[1] or b[3] < a[1]
    assert min([c[0] for c in corners]) >= -1e-6
    assert max([c[2] for c in corners]) <= layout.along + 1e-6
    for edge, route in zip(edges, layout.routes):
        assert all([a[1] <= b[1] + 1e-6 for a, b in zip(route, route[1:])])
        assert route[0][1] == pytest.approx(corners[edge.source][3])
        assert route[-1][1] == pytest.approx(corners[edge.target][1])


@given(edge_lists)
def test_crossings_are_counted_as_one_by_one(graph):
    n, pairs = graph
    places = Places(
        [10.0] * n,
        [Edge(a, b) for a, b in pairs],
        assign_layers(n, [Edge(*p) for p in pairs]),
    )
    naive = 0
    for upper, lower in zip(places.layers, places.layers[1:]):
        ties = [(upper.index(u), lower.index(v)) for u in upper for v, _, _ in places.down[u]]
        naive += sum([(a[0] - b[0]) * (a[1] - b[1]) < 0 for a, b in combinations(ties, 2)])
    assert crossings(places) == naive


def test_what_can_be_drawn_without_crossings_is():
    for depth in range(3, 9):  # a binary tree, its leaves listed in a bad order
        n = 2**depth - 1
        children = [(2 * i + 1, i) for i in range(n // 2)] + [(2 * i + 2, i) for i in range(n // 2)]
        label = {i: n - 1 - i for i in range(n)}
        shuffled = sorted(range(n // 2, n), key=lambda i: (i * 37) % 101)
        for new, old in enumerate(shuffled):
            label[old] = new
        edges = [Edge(label[a], label[b]) for a, b in children]
        places = Places([10.0] * n, edges, assign_layers(n, edges))
        reduce_crossings(places)
        assert crossings(places) == 0


def test_sweeps_remove_most_crossings():
    before = after = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        edges = [
            Edge(12 * layer + int(u), 12 * (layer + 1) + v)
            for layer in range(5)
            for v in range(12)
            for u in rng.choice(12, 2, replace=False)
        ]
        places = Places([10.0] * 72, edges, assign_layers(72, edges))
        before += crossings(places)
        reduce_crossings(places)
        after += crossings(places)
    assert after < 0.38 * before  # exchanges of neighbours alone leave 0.46


def middles_of_operations(svg):
    """Return where the operations stand, along the layers of a picture that goes down."""
    places = {box: (box[0] + box[2]) / 2 for box, _ in frames(ET.fromstring(svg))}
    pattern = r'class="box (?:op|group|result)" x="(\S+)" y="(\S+)"'
    corners = {(float(x), float(y)) for x, y in re.findall(pattern, svg)}
    return [x for box, x in places.items() if box[:2] in corners]


@pytest.mark.parametrize("name", ["lenet", "lenet collapsed", "shared weights"])
def test_a_chain_is_a_straight_line(drawn, name):
    middles = middles_of_operations(drawn[name].svg)
    assert len(middles) > 5
    assert max(middles) - min(middles) <= 1.0


def recurrent(steps):
    """A recurrent network: two layers whose weights every step uses."""
    minigrad.manual_seed(0)
    model = nn.ModuleDict({"i2h": nn.Linear(3, 3), "h2h": nn.Linear(3, 3)})
    x, h = minigrad.ones(steps, 2, 3), minigrad.zeros(2, 3)
    for t in range(steps):
        h = (model["i2h"](x[t]) + model["h2h"](h)).tanh()
    return model, h.sum()


def test_skip_connections_and_inputs_at_the_side_leave_a_chain_straight():
    model, loss = resnet_step()
    middles = middles_of_operations(draw_graph(loss, model=model).svg)
    assert max(middles) - min(middles) <= 1.0
    for steps in (3, 6):
        model, loss = recurrent(steps)
        graph = draw_graph(loss, model=model)
        middles = middles_of_operations(graph.svg)
        column = max(set(middles), key=middles.count)
        # Of every step the first Linear stands beside the rest, which is in one column.
        assert len([x for x in middles if abs(x - column) <= 1.0]) >= 3 * steps - 1


def test_two_arrows_between_the_same_boxes_are_symmetric():
    a = scalar(3)
    b = a + a
    svg = draw_graph(b * b, names={"a": a}).svg
    boxes = [box for box, _ in frames(ET.fromstring(svg))]
    middles = [(left + right) / 2 for left, _, right, _ in boxes]
    assert max(middles) - min(middles) <= 1.0
    curves = [curve(path.get("d")) for path in ET.fromstring(svg).iter(SVG + "path")]
    for left, right in zip(curves[::2], curves[1::2]):
        for p, q in zip(left, right):
            assert (p[0] + q[0]) / 2 == pytest.approx(middles[0], abs=1.0)
            assert p[1] == q[1] and q[0] - p[0] > 10


def test_edges_of_one_box_share_their_bends():
    steps = 160
    chain = [Edge(i, i + 1) for i in range(1, steps)]
    edges = [*chain, *[Edge(0, i) for i in range(1, steps + 1)]]
    places = Places([50.0] * (steps + 1), edges, assign_layers(steps + 1, edges))
    # One bend for each edge and layer would be steps * (steps - 1) / 2 = 12,720.
    assert len(places.layer_of) - places.boxes == steps - 1
    assert sum([len(layer) for layer in places.layers]) == 2 * steps
    crossed = {bend for bends in places.bends for bend in bends}
    assert len(crossed) == steps - 1


def test_what_is_needed_late_stands_late():
    # h_t = f(a_t, h_{t-1}) with a_t = g(x_t, w, b): every a_t just above its h_t, x_t above it.
    edges, h, count = [], 2, 3
    steps = []
    for _ in range(6):
        x, a, new = count, count + 1, count + 2
        edges += [Edge(x, a), Edge(0, a), Edge(1, a), Edge(a, new), Edge(h, new)]
        steps.append((x, a, new))
        h, count = new, count + 3
    layers = assign_layers(count, edges)
    for x, a, new in steps:
        assert layers[x] + 2 == layers[a] + 1 == layers[new]
    # But what reads three numbers that others need too stands close to these: n, from 1, 2, 3.
    edges = [Edge(0, i) for i in (1, 2, 3)] + [Edge(i, 4) for i in (1, 2, 3)]
    edges += [Edge(i, 5) for i in (1, 2, 3)] + [Edge(5, 6), Edge(6, 7), Edge(7, 8), Edge(4, 8)]
    layers = assign_layers(9, edges)
    assert layers[4] == layers[5] == layers[8] - 3


@pytest.fixture
def work(monkeypatch):
    """How many times a node was pulled to its place."""
    work = {"pulls": 0}
    pull = _coordinates._pull

    def counted(*args):
        work["pulls"] += 1
        return pull(*args)

    monkeypatch.setattr(_coordinates, "_pull", counted)
    return work


def test_the_work_on_a_large_graph_is_limited(work):
    count = 2500
    layered([(50.0, 20.0)] * count, [Edge(i, i + 1) for i in range(count - 1)])
    assert work["pulls"] < 1.1 * _coordinates._WORK


def test_the_work_of_a_long_recurrence_grows_with_its_length(work):
    counts = {}
    for steps in (25, 100):
        work["pulls"] = 0
        model, loss = recurrent(steps)
        graph = draw_graph(loss, model=model, max_nodes=1000)
        assert len(graph.boxes) > 5 * steps
        assert graph.svg.count('class="box op') < 15 * steps
        counts[steps] = work["pulls"]
    assert counts[100] < 4.4 * counts[25]
    assert counts[100] < 1.2 * _coordinates._WORK


def drawn_again(sources):
    """Return which nodes are drawn, and which again, for nodes without sizes."""
    placed = arrange(sources, [False] * len(sources), lambda node, again: (50.0, 20.0))
    for arrow in placed.arrows:
        target = placed.nodes[arrow.target]
        assert placed.nodes[arrow.source] == sources[target][arrow.argument]
    assert len(placed.arrows) == sum([len(given) for given in sources])
    return placed


def test_what_has_many_uses_is_drawn_beside_each():
    for uses in (MOST_LINES, MOST_LINES + 1):
        # w times x, times w, times w, ...
        sources = [(), (), *[(0, i + 1) for i in range(uses)]]
        placed = drawn_again(sources)
        copies = [again for node, again in zip(placed.nodes, placed.again) if node == 0]
        assert copies == ([False] if uses == MOST_LINES else [False] + [True] * MOST_LINES)
    # The same of an operation (node 1): all its arrows lead to the box that is not drawn again.
    placed = drawn_again([(), (0,), (1,), *[(1, i + 2) for i in range(MOST_LINES)]])
    assert [again for node, again in zip(placed.nodes, placed.again) if node == 1].count(False) == 1
    arrows = [arrow for arrow in placed.arrows if placed.nodes[arrow.target] == 1]
    assert not any([placed.again[arrow.target] for arrow in arrows])


def test_a_leaf_whose_uses_are_far_apart_is_drawn_beside_each():
    for length in (LONGEST_LINE, LONGEST_LINE + 1):
        # A chain of operations from x, which the last of them uses again.
        sources = [(), *[(i,) for i in range(length)], (length, 0)]
        placed = drawn_again(sources)
        assert placed.nodes.count(0) == (1 if length == LONGEST_LINE else 2)
    first = placed.nodes.index(0)
    tops = {
        again: y
        for node, again, (_, y) in zip(placed.nodes, placed.again, placed.layout.centres)
        if node == 0
    }
    assert tops[False] < tops[True] and not placed.again[first]


def test_a_box_drawn_again_says_less():
    model, loss = recurrent(6)
    svg = draw_graph(loss, True, model=model).svg
    assert svg.count(">h2h.weight<") == 6
    assert svg.count('class="box leaf again"') == 4 * 5
    assert svg.count('class="box leaf"') == 4 + 1  # in full; and one in the legend
    assert "the same, drawn again" in svg
    assert "drawn again" not in draw_graph(expression()[0]).svg


# ------------------------------------------------------------------------------- small numbers


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.0, "0"), (-0.0, "0"), (1.0, "1"), (-2.5, "−2.5"), (0.70710678, "0.7071"),
        (1234567.0, "1.23e6"), (1.23456e-7, "1.23e−7"), (float("nan"), "nan"),
        (float("-inf"), "−inf"), (True, "True"), (12345, "12345"),
    ],
)  # fmt: skip
def test_short(number, text):
    assert short(number) == text


def test_summaries():
    assert summarise(np.array(3.0)).text == "3"
    assert summarise(np.array([[1, -2], [3, 4]])).text == "[[1, −2], [3, 4]]"
    assert summarise(np.arange(100.0)).text == "0 … 99"
    assert summarise(np.zeros((3, 4))).text == "all 0"
    assert summarise(np.zeros((0, 4))).text == "empty"
    assert summarise(np.array([True, False])).text == "[True, False]"
    mixed = summarise(np.array([np.nan, np.inf, 1.0] * 4))
    assert mixed.text == "1, 4 of 12 NaN, 4 of 12 inf"
    assert mixed.is_suspect
    both = merge([summarise(np.arange(3.0)), summarise(np.array([-5.0, np.nan]))])
    assert (both.low, both.high, both.size, both.nan) == (-5.0, 2.0, 5, 1)


@given(st.text())
def test_any_name_is_legal_xml(text):
    x = scalar(1.0)
    svg = draw_graph(x * x, names={text: x}).svg
    ET.fromstring(svg)
    assert ET.fromstring(f"<a>{escape(text)}</a>") is not None
