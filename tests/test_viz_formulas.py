"""The derivatives that the step-through page shows are true, and there is one for every op.

The formulas are evaluated as they stand in the table and held against the ops' own backward.
"""

from __future__ import annotations

import html
import importlib
import inspect
import pkgutil
import re
import textwrap

import numpy as np
import pytest
from explain_pages import assert_well_formed, read

import minigrad
from minigrad.autograd import Function
from minigrad.viz._formulas import FORMULAS, describe, formula_of
from minigrad.viz._notation import to_html
from minigrad.viz._source import highlight
from minigrad.viz.explain import explain

# ------------------------------------------------------------------------------ the mathematics


def all_ops() -> dict[str, type]:
    for module in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
        if not module.name.endswith("__main__"):
            try:
                importlib.import_module(module.name)
            except ModuleNotFoundError as error:  # an extra that is not installed
                if error.name.startswith("minigrad"):
                    raise
    found, pending = {}, [Function]
    while pending:
        for op in pending.pop().__subclasses__():
            pending.append(op)
            if op.__module__.startswith("minigrad."):
                found[op.__name__] = op
    return found


OPS = all_ops()


def test_every_op_has_a_formula_and_every_formula_an_op():
    assert set(OPS) == set(FORMULAS)


@pytest.mark.parametrize("name", sorted(OPS))
def test_every_formula_can_be_set(name):
    described = describe(OPS[name])
    assert described["forward"] and described["why"].rstrip(")").endswith(".")
    for rule in described["rules"]:
        assert len(rule) == 3 and all(rule)
        for text in rule:
            assert_well_formed(text)
            assert "{" not in text and "_" not in text and "^" not in text, text


@pytest.mark.parametrize("name", sorted(OPS))
def test_rules_follow_the_inputs_of_forward(name):
    parameters = list(inspect.signature(OPS[name].forward).parameters.values())[1:]
    if any([p.kind is p.VAR_POSITIONAL for p in parameters]):
        assert len(FORMULAS[name].rules) == 1  # one rule for all
        return
    positional = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    positional = [p for p in positional if p not in ("how", "window")]
    assert [rule[0].lower() for rule in FORMULAS[name].rules] == positional


# How the table's notation reads in Python. Only for what is element by element.
_AS_PYTHON = [
    ("½", "0.5"), ("−", "-"), ("·", "*"), ("√", "np.sqrt"), ("σ", "sigmoid"), ("ln", "np.log"),
    ("e^x", "np.exp(x)"), ("^", "**"), ("≤", "<="),
    ("[not c]", "(~c)"), ("[c]", "c"), ("max(", "np.maximum("), ("min(", "np.minimum("),
    ("sign", "np.sign"), ("tanh", "np.tanh"), ("cos", "np.cos"), ("sin", "np.sin"),
    ("exp", "np.exp"), ("[", "1.0 * ("), ("]", ")"),
]  # fmt: skip


def as_python(text: str) -> str:
    text = text.replace("[a = b]", "(a == b)").split(" = ")[-1].split(",")[0]
    text = re.sub(r"\|(\w)\|", r"abs(\1)", text)
    text = re.sub(r"⌊(.*?)⌋", r"np.floor(\1)", text)
    for symbol, python in _AS_PYTHON:
        text = text.replace(symbol, python)
    text = re.sub(r"(\w+) <= (\w+) <= (\w+)", r"(\1 <= \2) & (\2 <= \3)", text)
    return text.replace("{", "(").replace("}", ")")


@pytest.mark.parametrize("name", [n for n in FORMULAS if FORMULAS[n].elementwise])
def test_elementwise_formulas_are_true(name):
    """The formula, evaluated as it stands, gives what backward gives."""
    rng = np.random.default_rng(3)
    n = len(FORMULAS[name].rules)
    arrays = [rng.uniform(0.1, 0.9, 7) for _ in range(n)]  # inside the domain of all of them
    options = {
        "Shift": dict(c=2.0), "Scale": dict(c=2.5), "Cast": dict(dtype=np.dtype("float64")),
        "Clamp": dict(low=0.3, high=0.6), "Step": dict(name="floor"),
        "RoundedDiv": dict(mode="floor"),
        "FakeQuantize": dict(scale=0.1, zero_point=0.0, low=3, high=6),
        "ToDevice": dict(device=minigrad.device("cpu")),
    }.get(name, {})  # fmt: skip
    if name in ("Maximum", "Minimum"):
        arrays[1][:2] = arrays[0][:2]  # ties
    if name == "Where":
        arrays[0] = arrays[0] > 0.5
    if name in ("Relu", "Abs"):
        arrays[0] -= 0.5
    tensors = [
        minigrad.Tensor(x, requires_grad=True) if x.dtype == float else minigrad.Tensor(x)
        for x in arrays
    ]
    y = OPS[name].apply(*tensors, **options)
    gy = rng.standard_normal(y.shape)
    gradients = y.creator.input_gradients(minigrad.Tensor(gy))
    here = dict(
        zip([rule[0] for rule in FORMULAS[name].rules], arrays),
        y=y.array, gy=gy, np=np, sigmoid=lambda x: 1 / (1 + np.exp(-x)), **options,
    )  # fmt: skip
    if name == "Where":
        here["c"] = arrays[0]
    if name == "FakeQuantize":
        here.update(low=0.25, high=0.65)  # what rounds to the lowest and the highest level
    for (_, local, contribution), gradient in zip(FORMULAS[name].rules, gradients):
        if gradient is None:
            continue
        shown = eval(as_python(contribution), here)
        np.testing.assert_allclose(
            np.broadcast_to(shown, gy.shape), gradient.array, rtol=1e-12, err_msg=contribution
        )
        slope = eval(as_python(local), here)
        np.testing.assert_allclose(slope * gy, gradient.array, rtol=1e-12, err_msg=local)


@pytest.mark.parametrize("name", ["MatMul", "Linear"])
def test_matrix_formulas_are_true(name):
    rng = np.random.default_rng(4)
    shapes = {"MatMul": [(5, 3), (3, 4)], "Linear": [(5, 3), (4, 3), (4,)]}[name]
    arrays = [rng.standard_normal(shape) for shape in shapes]
    y = OPS[name].apply(*[minigrad.Tensor(x, requires_grad=True) for x in arrays])
    gy = rng.standard_normal((5, 4))
    gradients = y.creator.input_gradients(minigrad.Tensor(gy))
    here = dict(zip([rule[0] for rule in FORMULAS[name].rules], arrays), gY=gy)
    for (_, _, contribution), gradient in zip(FORMULAS[name].rules[:2], gradients):
        product = contribution.split(" = ")[1].replace("^T", ".T").replace(" ", " @ ")
        np.testing.assert_allclose(eval(product, here), gradient.array, err_msg=contribution)


def test_a_wrong_formula_would_be_noticed():
    here = dict(gy=np.float64(2), b=np.float64(3), a=np.float64(5), np=np)
    assert eval(as_python("ga = gy · b"), here) == 6
    assert eval(as_python("gb = −gy · {a}/{b^2}"), here) == pytest.approx(-10 / 9)


def test_the_notation():
    assert to_html("gy · x^2") == "<i>g</i><sub><i>y</i></sub> · <i>x</i><sup>2</sup>"
    assert to_html("a_{ij} < b") == "<i>a</i><sub>ij</sub> &lt; <i>b</i>"
    assert "frac" in to_html("{∂y}/{∂x}") and "frac" not in to_html("{x}")
    assert to_html("a sum of x_i", prose=True) == "a sum of x<sub>i</sub>"
    with pytest.raises(ValueError, match="not closed"):
        to_html("a_{ij")


class Softsign(Function):
    """y = x / (1 + |x|);  gx < gy <script>."""

    def forward(self, x):
        return x / (1 + abs(x))

    def backward(self, gy):
        (x,) = self.inputs
        d = 1 + x.abs()  # <b> & "quotes"
        return gy / (d * d)


class Mul(Function):  # the name of one of the library's ops, and no docstring
    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        a, b = self.inputs
        return gy * b, gy * a


def test_a_user_s_op_falls_back_to_its_docstring(tmp_path):
    x = minigrad.tensor([1.0, -2.0], requires_grad=True)
    page, data = read(explain(Softsign.apply(x).sum(), tmp_path / "page.html"))
    (op,) = [op for op in data["ops"] if op["name"] == "Softsign"]
    assert op["doc"] == "y = x / (1 + |x|);  gx &lt; gy &lt;script&gt;."
    assert "forward" not in op
    assert "def</span> backward" in op["code"] and "&lt;b&gt;" in op["code"]
    assert op["where"].startswith("Softsign.backward in test_viz_formulas, line ")
    assert "<script>." not in page


def test_a_user_s_op_of_a_known_name_gets_no_formula_of_ours():
    assert formula_of(Mul) is None and formula_of(OPS["Mul"]) is not None
    assert "no docstring" in describe(Mul)["doc"]


def test_source_that_cannot_be_found(tmp_path):
    space: dict = {"Function": Function, "__name__": "__main__"}
    exec(
        "class Twice(Function):\n"
        "    def forward(self, x): return x + x\n"
        "    def backward(self, gy): return gy + gy\n",
        space,
    )
    x = minigrad.tensor(1.0, requires_grad=True)
    _, data = read(explain(space["Twice"].apply(x), tmp_path / "page.html"))
    assert data["ops"][0]["code"] == "" and "interactively" in data["ops"][0]["where"]


@pytest.mark.parametrize("name", sorted(OPS))
def test_source_is_shown_as_it_is(name):
    source = textwrap.dedent(inspect.getsource(OPS[name].backward)).rstrip()
    shown = highlight(source)
    assert html.unescape(re.sub(r"<[^>]*>", "", shown)) == source
    assert '<span class="k">def</span>' in shown


def test_highlighting_survives_half_a_statement():
    assert html.unescape(re.sub(r"<[^>]*>", "", highlight("x = (1 <"))) == "x = (1 <"
