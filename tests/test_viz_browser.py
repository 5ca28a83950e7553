"""The step-through page in a browser: every step, keys and clicks, and what it shows at the end.

A copy of the page gets a script that drives it as a reader would and writes down what it saw. The
browser is Chromium, at the widths of a phone and of a desk; without one the tests are left out.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from explain_pages import GRAPHS, fan_out, read, ten_nodes

import minigrad
from minigrad.viz.explain import explain

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")

# Put into a copy of the page: drives it as a reader would, and writes down what it saw.
DRIVER = r"""
const seen = { errors: window.failures, steps: [], widths: [] };
const press = (key, target = document.body) =>
  target.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
const look = () => ({
  heading: document.querySelector("#panel h2").innerText,
  lit: [...document.querySelectorAll(".node.forward, .node.backward")].map((n) => n.dataset.node),
  edges: document.querySelectorAll(".edge.forward, .edge.backward").length,
  grads: Object.fromEntries([...document.querySelectorAll(".node")].map(
    (n) => [n.dataset.node, n.querySelector(".grad").textContent])),
  leaves: Object.fromEntries([...document.querySelectorAll("#panel [data-leaf]")].map(
    (card) => [card.dataset.leaf,
               [...card.querySelectorAll(".number, .cell")].map((cell) => cell.title)])),
  hash: location.hash,
  code: document.querySelectorAll("#panel pre").length,
});
const painted = () => [...document.querySelectorAll("#panel canvas")].filter((canvas) => {
  const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
  return new Set(data.filter((_, i) => i % 4 === 0)).size > 1;
}).length;
const overflow = () => {
  const panel = document.getElementById("panel");
  const page = document.documentElement;
  return Math.max(panel.scrollWidth - panel.clientWidth, page.scrollWidth - page.clientWidth);
};
const count = Number(document.getElementById("slider").max) + 1;
for (let k = 0; k < count; k++) {
  seen.steps.push(look());
  seen.widths.push(overflow());
  press("ArrowRight");
}
seen.atEnd = look();
seen.painted = painted();
press("ArrowLeft"); seen.left = look().hash;
press("Home"); seen.home = look().hash;
press("End"); seen.end = look().hash;
document.getElementById("first").click(); seen.first = look().hash;
document.getElementById("next").click(); seen.next = look().hash;
document.getElementById("back").click(); seen.back = look().hash;
document.getElementById("last").click(); seen.last = look().hash;
document.querySelector("[data-node='0']").dispatchEvent(new MouseEvent("click", { bubbles: true }));
seen.clickLeaf = look();
const op = document.querySelector(".node.op");
op.dispatchEvent(new MouseEvent("click", { bubbles: true })); seen.clickOp = look().heading;
op.dispatchEvent(new MouseEvent("click", { bubbles: true })); seen.clickAgain = look().heading;
press("Enter", document.querySelector(".node.op ~ .node.op") || op);
seen.enter = look().heading;
press("?"); seen.legend = !document.getElementById("legend").hidden; seen.widths.push(overflow());
press("?");
const slider = document.getElementById("slider");
slider.value = 2; slider.dispatchEvent(new Event("input")); seen.slider = look().hash;
const playLabel = () => document.getElementById("play").getAttribute("aria-label");
press("Home"); press(" "); seen.playing = playLabel();
seen.announced = document.getElementById("where").textContent;
setTimeout(() => {
  seen.played = look().hash;
  press(" "); seen.paused = playLabel();
  location.hash = "#step=3";
  setTimeout(() => {
    seen.hash = look().heading;
    document.getElementById("panel").replaceChildren();
    const result = document.createElement("pre");
    result.id = "seen";
    result.textContent = "BEGIN" + JSON.stringify(seen) + "END";
    document.body.append(result);
  }, 50);
}, 4000);
"""


def drive(path, tmp_path, width=390, height=844, start="", script=DRIVER) -> dict:
    """Open a page in Chromium, with a driver in it, and return what it saw."""
    page = path.read_text(encoding="utf-8")
    catcher = "<script>window.failures = []; onerror = (m) => failures.push(m);</script>"
    page = page.replace("<style>", f"{catcher}<style>", 1)
    page = page.replace("</body>", f"<script>{{{script}}}</script></body>", 1)
    copy = tmp_path / "driven.html"
    copy.write_text(page, encoding="utf-8")
    done = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         "--virtual-time-budget=6000", f"--user-data-dir={tmp_path / 'profile'}",
         f"--window-size={width},{height}", copy.as_uri() + start],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    found = re.search(r"BEGIN(\{.*\})END", done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:] + done.stdout[-500:]
    return json.loads(html.unescape(found[1]))


@in_browser
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1280, 900)])
@pytest.mark.parametrize("name", ["ten_nodes", "lenet"])
def test_page_in_a_browser(name, width, height, tmp_path):
    loss, names = GRAPHS[name]()
    path = explain(loss, tmp_path / "page.html", names=names)
    data = read(path)[1]
    seen = drive(path, tmp_path, width, height)
    assert seen["errors"] == []

    # Every step lights its node, once, in the order of the engine.
    steps = seen["steps"]
    order = [*data["forward"], *[step["node"] for step in data["backward"]]]
    assert [step["lit"] for step in steps] == [[], *[[str(node)] for node in order], []]
    for k, step in enumerate(steps):
        assert step["hash"] in ("" if k == 0 else None, f"#step={k + 1}")
    labels = [node["label"] for node in data["nodes"]]
    for step, node in zip(steps[1:-1], order):
        assert labels[node] in step["heading"]
    backward = steps[1 + len(data["forward"]) : -1]
    for step, recorded in zip(backward, data["backward"]):
        if data["nodes"][recorded["node"]]["kind"] == "op":
            assert step["code"] >= 1
            assert step["edges"] == len([s for s in recorded["shares"] if "share" in s])

    # The gradients at the end are the engine's.
    loss.backward()
    end = steps[-1]
    for i, node in enumerate(data["nodes"]):
        if node["kind"] != "leaf":
            continue
        gradient = names[node["label"]].grad.numpy()
        shown = [float(text) for text in end["leaves"][str(i)]]
        if gradient.size <= 10:
            np.testing.assert_allclose(shown, gradient.reshape(-1), rtol=5.1e-6)
        norm = float(end["grads"][str(i)].replace("−", "-").split()[1].replace("e-", "e-"))
        expected = gradient.item() if gradient.ndim == 0 else np.linalg.norm(gradient)
        assert norm == pytest.approx(expected, rel=6e-3)
    if name == "lenet":
        assert seen["painted"] >= 6  # heat maps are drawn, and not blank

    # Nothing sticks out to the right, at any step.
    assert max(seen["widths"]) <= 0

    # Keys and buttons.
    last = len(steps)
    assert seen["atEnd"]["hash"] == seen["end"] == seen["last"] == f"#step={last}"
    assert seen["left"] == f"#step={last - 1}"
    assert seen["home"] == seen["first"] == seen["back"] == "#step=1"
    assert seen["next"] == "#step=2" and seen["slider"] == "#step=3"
    assert seen["legend"] is True
    assert (seen["playing"], seen["paused"]) == ("Pause", "Play")
    assert seen["played"] == "#step=3"  # two intervals in four seconds
    assert seen["announced"] == f"Step 1 of {last}: start"
    first_op = labels[data["forward"][0]]
    assert first_op in seen["clickOp"] and first_op in seen["clickAgain"]
    assert seen["clickOp"] != seen["clickAgain"]  # the other direction
    assert labels[data["forward"][1]] in seen["hash"]


@in_browser
def test_odd_arrays_and_long_names_in_a_browser(tmp_path):
    """NaN, nothing, one long row, a name without a place to break: no error, nothing sticks out."""
    odd = {
        "x": np.array([1.0, np.nan, np.inf] + [0.5] * 60),
        "nothing": np.zeros((0, 3)),
        "row": np.linspace(-1, 1, 5000)[None],
        "a_name_" * 20: np.linspace(-1, 1, 40),
    }
    names = {name: minigrad.tensor(x, requires_grad=True) for name, x in odd.items()}
    loss = sum([(x * x).sum() for x in names.values()])
    seen = drive(explain(loss, tmp_path / "page.html", names=names), tmp_path)
    assert seen["errors"] == [] and max(seen["widths"]) <= 0


GLANCE = r"""
const result = document.createElement("pre");
const grads = () => [...document.querySelectorAll(".node")].map(
  (node) => node.querySelector(".grad").textContent);
const seen = { heading: document.querySelector("#panel h2").innerText, grads: [grads()] };
while (!document.getElementById("next").disabled) {
  document.getElementById("next").click();
  seen.grads.push(grads());
}
seen.sums = document.querySelector("#panel .leaves").innerText;
document.getElementById("panel").replaceChildren();
result.textContent = "BEGIN" + JSON.stringify(seen) + "END";
document.body.append(result);
"""


@in_browser
def test_running_sum_is_seen_in_a_browser(tmp_path):
    loss, names = fan_out()
    path = explain(loss, tmp_path / "page.html", names=names)
    seen = drive(path, tmp_path, script=GLANCE)
    a, b, c = zip(*seen["grads"])
    assert c == ("", "", "", "g 1", "g 1", "g 1", "g 1")
    assert b == ("", "", "", "g 2", "g 2", "g 2", "g 2")
    assert a == ("", "", "", "", "g 4", "g 4", "g 4")
    assert seen["sums"].split() == ["a", "2", "of", "2", "shares", "4"]


@in_browser
@pytest.mark.parametrize(
    ("start", "heading"), [("#step=4", "h = Tanh"), ("#step=1000000", "All gradients")]
)
def test_address_opens_a_step(start, heading, tmp_path):
    loss, names = ten_nodes()
    path = explain(loss, tmp_path / "page.html", names=names)
    assert heading in drive(path, tmp_path, start=start, script=GLANCE)["heading"]
