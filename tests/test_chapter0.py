"""Chapter 0 (`examples/00_scalar_backprop.py`) is the engine in miniature: both must agree.

Random formulas with much reuse run through both, in float64. Values, gradients and the order in
which nodes are visited must be the same, to the last bit.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import autograd
from minigrad.ops import elementwise

PATH = Path(__file__).parent.parent / "examples" / "00_scalar_backprop.py"


def _load_chapter0():
    spec = importlib.util.spec_from_file_location("chapter0", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


chapter0 = _load_chapter0()
Scalar = chapter0.Scalar


def tensor(value: float, requires_grad: bool) -> minigrad.Tensor:
    return minigrad.tensor(value, dtype=minigrad.float64, requires_grad=requires_grad)


# A formula is a list of leaves (value, requires_grad) and a list of steps (op, i, j), where i and
# j count back from the newest number: small draws make long chains, large ones reuse old numbers.

EXACT = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "neg": lambda x, y: -x,
    "double": lambda x, y: x + x,
    "square": lambda x, y: x * x,
    "times constant": lambda x, y: 0.5 * x,
    "constant minus": lambda x, y: 1 - x,
}
SMOOTH = {**EXACT, "tanh": lambda x, y: x.tanh()}  # NumPy's tanh may differ in the last bit


def formulas(ops: dict):
    back = st.integers(0, 30)
    leaves = st.lists(
        st.tuples(st.floats(-1.5, 1.5, allow_subnormal=False), st.booleans()),
        min_size=1,
        max_size=4,
    )
    steps = st.lists(st.tuples(st.sampled_from(sorted(ops)), back, back), min_size=1, max_size=25)
    return st.tuples(leaves, steps)


def build(ops: dict, make, leaves, steps) -> list:
    """Return every number of the formula, in the order in which they are made."""
    numbers = [make(value, requires_grad) for value, requires_grad in leaves]
    for op, i, j in steps:
        numbers.append(ops[op](numbers[-1 - i % len(numbers)], numbers[-1 - j % len(numbers)]))
    return numbers


# Where one operand is a plain number the engine has ops of their own, for speed.
SAME_OP = {"Scale": "Mul", "Shift": "Add", "Scalar": "leaf", "Tensor": "leaf"}


def visits(numbers: list, walk) -> list[tuple[int, str, float]]:
    """Return the walk as (which number, op, gradient): comparable between the two."""
    place = {(x.creator or x): i for i, x in enumerate(numbers)}
    names = ((node, type(node).__name__, g) for node, g in walk)
    return [(place.get(node, -1), SAME_OP.get(name, name), value(g)) for node, name, g in names]


def value(x) -> float:
    return x.value if isinstance(x, Scalar) else x.item()


@settings(max_examples=200, deadline=None)
@given(formulas(EXACT))
def test_same_values_gradients_and_order(formula):
    ours = build(EXACT, Scalar, *formula)
    engines = build(EXACT, tensor, *formula)
    np.testing.assert_array_equal([value(x) for x in ours], [value(x) for x in engines])
    assert [x.requires_grad for x in ours] == [x.requires_grad for x in engines]
    if not ours[-1].requires_grad:
        return
    walks = (
        visits(ours, chapter0.backprop(ours[-1])),
        visits(engines, autograd.backprop(engines[-1])),
    )
    assert [step[:2] for step in walks[0]] == [step[:2] for step in walks[1]]
    np.testing.assert_array_equal([step[2] for step in walks[0]], [step[2] for step in walks[1]])


@settings(max_examples=100, deadline=None)
@given(formulas(SMOOTH))
def test_same_leaf_gradients_and_second_derivatives(formula):
    ours = build(SMOOTH, Scalar, *formula)
    engines = build(SMOOTH, tensor, *formula)
    if not ours[-1].requires_grad:
        return
    ours[-1].backward()
    engines[-1].backward()
    leaves = len(formula[0])
    for x, other in zip(ours[:leaves], engines[:leaves], strict=True):
        assert (x.grad is None) == (other.grad is None)
        if x.grad is not None:
            assert value(x.grad) == pytest.approx(value(other.grad), rel=1e-10, abs=1e-10)

    ours = build(SMOOTH, Scalar, *formula)
    engines = build(SMOOTH, tensor, *formula)
    for x, other in zip(ours[:leaves], engines[:leaves], strict=True):
        if not x.requires_grad:
            continue
        first = chapter0.grad(ours[-1], x, create_graph=True)
        (same,) = autograd.grad(engines[-1], other, create_graph=True, allow_unused=True)
        assert (first is None) == (same is None)
        if first is None:
            continue
        assert first.requires_grad == same.requires_grad
        if not first.requires_grad:  # the formula is linear in x
            continue
        second = chapter0.grad(first, x, create_graph=True)
        (same,) = autograd.grad(same, other, create_graph=True, allow_unused=True)
        second, same = (0.0 if g is None else value(g) for g in (second, same))
        assert second == pytest.approx(same, rel=1e-9, abs=1e-9)


def test_the_names_are_the_engines():
    for name in ("Function", "backprop", "grad"):
        assert hasattr(autograd, name) and hasattr(chapter0, name)
    for name in ("apply", "free"):
        assert hasattr(autograd.Function, name) and hasattr(chapter0.Function, name)
    for name in ("Add", "Sub", "Mul", "Neg", "Tanh"):
        engines, ours = getattr(elementwise, name), getattr(chapter0, name)
        assert callable(engines.forward) and callable(ours.forward)
        assert engines.backward.__code__.co_varnames == ours.backward.__code__.co_varnames or (
            name == "Tanh"  # which keeps its output there, and computes it again here
        )
    for name in ("grad", "requires_grad", "creator", "edges", "backward"):
        assert hasattr(Scalar(1), name) and hasattr(minigrad.tensor(1.0), name)


def test_order_of_visits_is_explained_by_the_example():
    a = Scalar(1, requires_grad=True)
    b = a + a
    c = b + b
    assert [(node, g.value) for node, g in chapter0.backprop(c)] == [
        (c.creator, 1),
        (b.creator, 2),
        (a, 4),
    ]


def test_deep_and_wide_graphs():
    x = y = Scalar(1, requires_grad=True)
    for _ in range(60):  # 2**60 paths
        y = y + y
    y.backward()
    assert x.grad.value == 2.0**60
    x = y = Scalar(1, requires_grad=True)
    for _ in range(20_000):
        y = -y
    y.backward()
    assert x.grad.value == 1


def test_a_freed_graph_and_a_dead_one_say_so():
    x = Scalar(3, requires_grad=True)
    y = x * x
    y.backward()
    with pytest.raises(RuntimeError, match="freed"):
        y.backward()
    with pytest.raises(RuntimeError, match="requires a gradient"):
        (Scalar(1) + 1).backward()
    x.grad = None
    y = x * x
    y.backward()
    (x * x).backward()
    assert x.grad.value == 12  # grad is added to


def test_the_script_runs_and_learns():
    run = subprocess.run(
        [sys.executable, "-S", str(PATH)], capture_output=True, text=True, timeout=60
    )  # -S: no installed package, only the standard library
    assert run.returncode == 0, run.stderr
    assert "c, made by Add   gradient 1" in run.stdout
    assert "a, a leaf        gradient 4" in run.stdout
    answers = [line.split() for line in run.stdout.splitlines() if "wanted" in line]
    assert len(answers) == 4
    for words in answers:
        assert abs(float(words[4]) - float(words[6])) < 0.15
    assert "derivative 3: 6" in run.stdout
