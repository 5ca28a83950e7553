"""The step-through page says what the engine computed, is sound HTML, and refuses bad input.

The contents are read back out of the page and held against ``backward()`` and finite differences.
Its mathematics is tested in ``test_viz_formulas.py``, its pictures of arrays in
``test_viz_heatmap.py``, and the page in a browser in ``test_viz_browser.py``.
"""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from explain_pages import (
    GRAPHS,
    assert_shows,
    assert_well_formed,
    contents,
    fan_out,
    lenet_step,
    perceptron,
    read,
    ten_nodes,
)  # fmt: skip
from helpers import arr, make

import minigrad
from minigrad import nn
from minigrad.autograd import Function
from minigrad.viz import recording
from minigrad.viz.explain import explain


@pytest.fixture(params=GRAPHS)
def explained(request, tmp_path) -> tuple:
    loss, names = GRAPHS[request.param]()
    path = explain(loss, tmp_path / "page.html", names=names)
    return loss, names, *read(path)


# --------------------------------------------------------------------- the steps are the engine's


def test_gradients_are_those_of_backward(explained):
    loss, names, _, data = explained
    names = {name: tensor for name, tensor in names.items() if tensor.is_leaf}
    assert all([tensor.grad is None for tensor in names.values()])  # explain touched none
    loss.backward()  # and kept the graph
    final = {
        data["nodes"][step["node"]]["label"]: data["pictures"][step["up"]]
        for step in data["backward"]
        if data["nodes"][step["node"]]["kind"] == "leaf"
    }
    assert set(final) == set(names)
    for name, tensor in names.items():
        assert_shows(final[name], tensor.grad.numpy())


def test_every_upstream_is_the_gradient_there(tmp_path):
    loss, names = perceptron()
    _, data = read(explain(loss, tmp_path / "page.html"))
    nodes = {}
    for node, gradient in minigrad.autograd.backprop(loss, retain_graph=True):
        nodes.setdefault(type(node).__name__, []).append(gradient.numpy())
    for step in data["backward"]:
        node = data["nodes"][step["node"]]
        name = data["ops"][node["op"]]["name"] if node["kind"] == "op" else "Tensor"
        assert_shows(data["pictures"][step["up"]], nodes[name].pop(0))
    assert not any(nodes.values())


def test_shares_add_up_to_the_gradient(explained):
    _, _, _, data = explained
    pictures, sums = data["pictures"], {}
    for step in data["backward"]:
        if step["node"] in sums:  # complete when its turn comes
            assert sums[step["node"]] == step["up"]
        for share in step["shares"]:
            if share["to"] in sums:
                assert share["before"] == sums[share["to"]]
                if "values" in pictures[share["share"]]:
                    before, part, after = [
                        np.array(pictures[share[key]]["values"], dtype=float)
                        for key in ("before", "share", "after")
                    ]
                    np.testing.assert_allclose(before + part, after, rtol=1e-5, atol=1e-9)
            else:
                assert "before" not in share
            sums[share["to"]] = share["after"]


def test_fan_out_is_seen_to_accumulate(tmp_path):
    loss, names = fan_out()
    _, data = read(explain(loss, tmp_path / "page.html", names=names))
    value = [picture["values"][0][0][0] for picture in data["pictures"]]
    labels = [node["label"] for node in data["nodes"]]
    story = [
        (labels[step["node"]], value[step["up"]], [value[s["after"]] for s in step["shares"]])
        for step in data["backward"]
    ]
    assert story == [("c = Add 2", 1, [1, 2]), ("b = Add 1", 2, [2, 4]), ("a", 4, [])]


def test_local_derivative_times_upstream_is_the_share(explained):
    _, _, _, data = explained
    pictures, checked = data["pictures"], 0
    for step in data["backward"]:
        for share in step["shares"]:
            if "local" not in share or "values" not in pictures[step["up"]]:
                continue
            if "values" not in pictures[share["local"]]:
                continue
            upstream, local, product = [
                np.array(pictures[i]["values"], dtype=float)
                for i in (step["up"], share["local"], share["share"])
            ]
            np.testing.assert_allclose(upstream * local, product, rtol=1e-5, atol=1e-7)
            checked += 1
    assert checked or len(data["nodes"]) > 20


def test_values_are_those_of_the_computation(tmp_path):
    loss, names = ten_nodes()
    _, data = read(explain(loss, tmp_path / "page.html", names=names))
    values = {
        node["label"]: data["pictures"][node["value"]]["values"][0][0][0] for node in data["nodes"]
    }
    h = math.tanh(2 * -3 + 6.9)
    assert values["Mul 1"] == -6
    assert values["h = Tanh"] == pytest.approx(h, rel=1e-5)
    assert values["loss = Add 2"] == pytest.approx((h - 1) ** 2 + 0.9, rel=1e-5)


def test_final_gradient_agrees_with_finite_differences(tmp_path):
    def value(x, w, b):
        return (math.tanh(x * w + b) - 1) ** 2 + 0.1 * w * w

    loss, names = ten_nodes()
    _, data = read(explain(loss, tmp_path / "page.html", names=names))
    at, eps = dict(x=2.0, w=-3.0, b=6.9), 1e-5
    for step in data["backward"]:
        label = data["nodes"][step["node"]]["label"]
        if label in ("x", "w", "bias"):
            key = label[0]
            up = value(**{**at, key: at[key] + eps})
            down = value(**{**at, key: at[key] - eps})
            shown = data["pictures"][step["up"]]["values"][0][0][0]
            assert shown == pytest.approx((up - down) / (2 * eps), rel=1e-4)


def test_recording_keeps_all_values_and_modules(tmp_path):
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh())
    t = minigrad.ones(2, 4)
    with recording():
        loss = (model(minigrad.ones(2, 3)) - t).abs().sum()
    _, data = read(explain(loss, tmp_path / "page.html", model=model, names={"target": t}))
    assert all(["value" in node for node in data["nodes"]])
    named = {node["label"]: node for node in data["nodes"]}
    assert named["Linear"]["module"] == "0"
    assert named["target"]["kind"] == "constant"


def test_a_given_gradient_starts_the_walk(tmp_path):
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    y = x * x
    start = minigrad.tensor([3.0, 5.0])
    _, data = read(explain(y, tmp_path / "page.html", gradient=start))
    assert_shows(data["pictures"][data["backward"][-1]["up"]], [6.0, 20.0])
    assert x.grad is None


def test_on_any_device(device, tmp_path):
    x = make(device, np.linspace(-1, 1, 60).reshape(3, 20), requires_grad=True)
    w = make(device, np.linspace(2, 1, 40).reshape(20, 2), requires_grad=True)
    loss = ((x @ w).relu() * 2.0).mean()
    _, data = read(explain(loss, tmp_path / "page.html", names={"x": x, "w": w}))
    loss.backward()
    final = {data["nodes"][step["node"]]["label"]: step["up"] for step in data["backward"]}
    assert_shows(data["pictures"][final["x"]], arr(x.grad))
    assert_shows(data["pictures"][final["w"]], arr(w.grad))


def test_a_loss_that_is_a_leaf(tmp_path):
    x = minigrad.tensor(2.0, requires_grad=True)
    _, data = read(explain(x, tmp_path / "page.html"))
    assert [step["node"] for step in data["backward"]] == [0]
    assert data["forward"] == []


def test_hooks_are_told(tmp_path):
    x = minigrad.tensor(2.0, requires_grad=True)
    y = x * 3.0
    y.register_hook(lambda gradient: gradient * 10)
    _, data = read(explain(y * y, tmp_path / "page.html"))
    hooked = [step for step in data["backward"] if step.get("hooked")]
    assert [data["nodes"][step["node"]]["label"] for step in hooked] == ["Scale"]
    assert_shows(data["pictures"][data["backward"][-1]["up"]], 360.0)


def test_what_a_leaf_holds_already_is_said(tmp_path):
    loss, names = fan_out()
    names["a"].grad = minigrad.tensor(7.0)
    _, data = read(explain(loss, tmp_path / "page.html"))
    assert_shows(data["pictures"][data["backward"][-1]["held"]], 7.0)
    assert names["a"].grad.item() == 7


def test_unused_and_blocked_paths(tmp_path):
    """An input that moves nothing, and one that wants no gradient, are no trouble."""

    class Half(Function):
        def forward(self, a, b):
            return a * 1.0

        def backward(self, gy):
            return gy, None

    a = minigrad.tensor([1.0, 2.0], requires_grad=True)
    b = minigrad.tensor([3.0, 4.0], requires_grad=True)
    _, data = read(explain(Half.apply(a, b).sum(), tmp_path / "page.html"))
    (step,) = [s for s in data["backward"] if len(s["shares"]) == 2]
    assert ["share" in share for share in step["shares"]] == [True, False]


def test_two_runs_write_the_same_page(tmp_path):
    pages = [explain(lenet_step()[0], tmp_path / f"{i}.html").read_bytes() for i in range(2)]
    assert pages[0] == pages[1]


def test_the_engine_s_graph_is_left_whole(tmp_path):
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    explain(loss, tmp_path / "page.html")
    explain(loss, tmp_path / "page.html")  # again, onto the same file
    assert x.grad is None
    (g,) = minigrad.autograd.grad(loss, [x], create_graph=True)
    assert g.tolist() == [2, 4]


def test_tensor_has_the_method(tmp_path):
    loss, names = fan_out()
    path = loss.explain(tmp_path / "page.html", names=names)
    assert contents(path.read_text(encoding="utf-8"))["nodes"][0]["label"] == "a"


# ----------------------------------------------------------------------------------- the page


def test_page_is_well_formed_and_accessible(explained):
    _, _, page, data = explained
    elements = assert_well_formed(page)
    ids = [attributes["id"] for _, attributes in elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert elements[0] == ("html", {"lang": "en"})
    tags = [tag for tag, _ in elements]
    assert {"title", "h1", "main", "nav", "noscript"} <= set(tags)
    for tag, attributes in elements:
        if tag in ("button", "input"):
            assert "aria-label" in attributes or attributes["id"] == "help"
        for link in ("aria-controls", "for"):
            assert attributes.get(link, ids[0]) in ids
    drawn = [attributes for _, attributes in elements if "data-node" in attributes]
    assert {int(a["data-node"]) for a in drawn} == set(range(len(data["nodes"])))
    assert all([a["role"] == "button" and a["aria-label"] for a in drawn])


def test_page_needs_no_network(explained):
    page = explained[2]
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]|\bsrc=|\bhref=|@import", page)
    assert set(re.findall(r"url\((.)", page)) == {"#"}  # arrows of the drawing itself
    assert "default-src 'none'" in page
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|import\(", page)


@pytest.mark.parametrize(("uses", "boxes"), [(4, 1), (5, 5)])
def test_a_leaf_of_many_uses_is_drawn_beside_each(uses, boxes, tmp_path):
    w = minigrad.tensor(0.5, requires_grad=True)
    y = minigrad.tensor(1.0)
    for _ in range(uses):
        y = y * w
    page, data = read(explain(y, tmp_path / "page.html", names={"w": w}))
    leaf = [node["label"] for node in data["nodes"]].index("w")
    assert page.count(f'data-node="{leaf}"') == boxes
    assert page.count(f'data-from="{leaf}"') == uses


def test_a_result_of_many_uses_is_drawn_once_where_it_is_computed(tmp_path):
    h = minigrad.tensor(0.5, requires_grad=True).exp()
    y = h
    for _ in range(6):
        y = y * h
    page, _ = read(explain(y, tmp_path / "page.html", names={"h": h}))
    assert len(re.findall('class="node op" data-node="1"', page)) == 1
    assert len(re.findall('class="node op again" data-node="1"', page)) == 5


def test_page_follows_the_reader_s_settings(explained):
    page = explained[2]
    assert "prefers-color-scheme: dark" in page and "prefers-reduced-motion" in page
    assert ":focus-visible" in page and 'aria-live="polite"' in page


def test_page_names_no_folder_of_this_machine(explained, tmp_path):
    page = explained[2]
    package = minigrad.__path__[0]
    assert package not in page and str(tmp_path) not in page


@pytest.mark.parametrize("recorded", [False, True])
def test_lenet_page_is_below_300_kB(recorded, tmp_path):
    if recorded:
        with recording():
            loss, names = lenet_step()
    else:
        loss, names = lenet_step()
    path = explain(loss, tmp_path / "page.html", names=names)
    assert path.stat().st_size < 300_000


def test_text_of_the_user_cannot_break_the_page(tmp_path):
    a = minigrad.tensor(3.0, requires_grad=True)
    evil = "</script><script>alert(1)</script>\u2028{{contents}}"
    path = explain(a * a, tmp_path / "page.html", names={evil: a}, title="<b>{{style}}</b>")
    page, data = read(path)
    assert_well_formed(page)
    assert page.count("<script") == 2 and data["nodes"][0]["label"] == evil
    assert "<h1>&lt;b&gt;{{style}}&lt;/b&gt;</h1>" in page


def test_it_returns_the_path(tmp_path):
    path = explain(fan_out()[0], str(tmp_path / "a page.HTML"))
    assert path.name == "a page.HTML" and path.exists()


# ---------------------------------------------------------------------------------- bad input


def one_sentence(raised) -> str:
    text = str(raised.value).splitlines()[0]
    assert text.startswith("explain: ") and text.endswith(".") and len(text) < 120, text
    return text


def test_freed_graph(tmp_path):
    loss, _ = fan_out()
    loss.backward()
    with pytest.raises(RuntimeError, match="freed") as raised:
        explain(loss, tmp_path / "page.html")
    one_sentence(raised)
    assert not list(tmp_path.iterdir())


def test_no_gradient_needed(tmp_path):
    with pytest.raises(RuntimeError, match="requires a gradient") as raised:
        explain(minigrad.tensor(1.0) * 2, tmp_path / "page.html")
    one_sentence(raised)


def test_no_scalar(tmp_path):
    x = minigrad.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="several") as raised:
        explain(x * 2, tmp_path / "page.html")
    one_sentence(raised)
    with pytest.raises(RuntimeError, match="shape"):
        explain(x * 2, tmp_path / "page.html", gradient=minigrad.ones(2))


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("page.txt", ValueError, "HTML file"),
        ("page", ValueError, "HTML file"),
        ("", ValueError, "HTML file"),
        (".", ValueError, "HTML file"),
        ("no/such/folder/page.html", FileNotFoundError, "does not exist"),
        (3, TypeError, "no path"),
        (None, TypeError, "no path"),
    ],
)
def test_bad_paths(path, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words) as raised:
        explain(fan_out()[0], path)
    one_sentence(raised)


def test_a_folder_named_like_a_page(tmp_path):
    (tmp_path / "x.html").mkdir()
    with pytest.raises(ValueError, match="HTML file"):
        explain(fan_out()[0], tmp_path / "x.html")


@pytest.mark.parametrize(
    "arguments", [dict(gradient=1.0), dict(names=3), dict(model=3), dict(title=3)]
)
def test_arguments_of_another_kind(arguments, tmp_path):
    with pytest.raises(TypeError) as raised:
        explain(fan_out()[0], tmp_path / "page.html", **arguments)
    one_sentence(raised)


def test_no_tensor(tmp_path):
    with pytest.raises(TypeError, match="tensor") as raised:
        explain(3.0, tmp_path / "page.html")
    one_sentence(raised)


def test_too_many_nodes(tmp_path):
    x = minigrad.tensor(1.0, requires_grad=True)
    for _ in range(3000):
        x = x.sin()
    with pytest.raises(ValueError, match="size") as raised:
        explain(x, tmp_path / "page.html")
    one_sentence(raised)
    assert "3001 nodes" in str(raised.value)
