"""Random graphs against an oracle that knows no graph algorithm: it sums over all paths.

The gradient of a node is the sum, over all paths from the output to it, of the products of the
local derivatives along the path. `Program.path_sum` does just that, by recursion, one path after
the other, in NumPy alone: no counting of uses, no order, no accumulation to get wrong. It takes
time that grows with the number of paths, which is what backprop is there to avoid.

Hypothesis draws programs of up to 40 steps, in which results are used again and again, broadcast,
sliced, reshaped and concatenated, and in which leaves are changed in place along the way.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import autograd
from minigrad.autograd import Function, backprop, grad, no_grad

MOST_PATHS = 2000


def unbroadcast(g: np.ndarray, shape: tuple) -> np.ndarray:
    """Sum g over what broadcasting copied, entry by entry axis by axis."""
    while g.ndim > len(shape):
        g = g.sum(axis=0)
    for axis, size in enumerate(shape):
        if size == 1 and g.shape[axis] != 1:
            g = g.sum(axis=axis, keepdims=True)
    return g


def scatter(g, x, take):
    """Put each entry of g back to where `take` took it from."""
    places = take(np.arange(x.size).reshape(x.shape)).ravel()
    gx = np.zeros(x.size)
    for place, value in zip(places, g.ravel()):
        gx[place] += value
    return gx.reshape(x.shape)


# name: (on tensors, on arrays, local derivatives, does backward read the inputs' values?)
BINARY = {
    "add": (lambda a, b: a + b, np.add, lambda g, a, b, y: (g, g), False),
    "sub": (lambda a, b: a - b, np.subtract, lambda g, a, b, y: (g, -g), False),
    "mul": (lambda a, b: a * b, np.multiply, lambda g, a, b, y: (g * b, g * a), True),
    "div": (
        lambda a, b: a / (b * b + 1),
        lambda a, b: a / (b * b + 1),
        lambda g, a, b, y: (g / (b * b + 1), -g * y * 2 * b / (b * b + 1)),
        True,
    ),
}
UNARY = {
    "neg": (lambda x: -x, lambda x: -x, lambda g, x, y: -g, False),
    "scale": (lambda x: 0.5 * x, lambda x: 0.5 * x, lambda g, x, y: 0.5 * g, False),
    "shift": (lambda x: 1 - x, lambda x: 1 - x, lambda g, x, y: -g, False),
    "sin": (lambda x: x.sin(), np.sin, lambda g, x, y: g * np.cos(x), True),
    "tanh": (lambda x: x.tanh(), np.tanh, lambda g, x, y: g * (1 - y * y), False),
    "exp": (lambda x: (-x * x).exp(), lambda x: np.exp(-x * x),
            lambda g, x, y: -2 * x * y * g, True),
    "relu": (lambda x: x.relu(), lambda x: np.where(x > 0, x, 0.0),
             lambda g, x, y: g * (y > 0), False),
}  # fmt: skip
KINKED = ("relu", "max")


class Program:
    """What to compute: leaves and steps, each step an op, the steps that it takes, and options."""

    def __init__(self, shapes):
        self.shapes = shapes
        self.steps = [("leaf", (), None) for _ in shapes]

    # ------------------------------------------------------------------ in NumPy, one op a step

    def start(self, leaves):
        """Begin a run in which steps can be added while their shapes are known."""
        self.values, self.groups = [], []  # a group is the memory that views share
        self.versions, self.seen = {}, []
        for i, leaf in enumerate(leaves):
            self.values.append(np.array(leaf))
            self.groups.append(i)
            self.versions[i] = 0
            self.seen.append(())

    def run(self, leaves):
        self.start(leaves)
        for step in self.steps[len(leaves) :]:
            self.execute(step)
        return self

    def execute(self, step):
        name, sources, option = step
        xs = [self.values[i] for i in sources]
        if name == "in place":
            self.values[sources[0]] *= option
            self.versions[self.groups[sources[0]]] += 1
            y = np.zeros(())
        else:
            y = self.forward(name, xs, option)
        n = len(self.values)
        shared = [i for i in sources if name in VIEWS and np.shares_memory(y, self.values[i])]
        self.groups.append(self.groups[shared[0]] if shared else n)
        self.versions.setdefault(n, 0)
        self.values.append(y)
        self.seen.append(tuple(self.versions[self.groups[i]] for i in sources))

    def forward(self, name, xs, option):
        if name in BINARY:
            return BINARY[name][1](*xs)
        if name in UNARY:
            return UNARY[name][1](*xs)
        if name == "matmul":
            return xs[0] @ xs[1]
        if name == "cat":
            return np.concatenate(xs, axis=option)
        if name in ("sum", "mean"):
            axis, keep = option
            return getattr(xs[0], name)(axis=axis, keepdims=keep)
        if name == "max":
            return xs[0].max(axis=option)
        return np.asarray(VIEWS[name](xs[0], option))

    def backward(self, i, g):
        """Return the share of each source of step i in the gradient g that arrives there."""
        name, sources, option = self.steps[i]
        xs, y = [self.values[j] for j in sources], self.values[i]
        if name in BINARY:
            shares = BINARY[name][2](g, *xs, y)
            return [unbroadcast(share, x.shape) for share, x in zip(shares, xs)]
        if name in UNARY:
            return [UNARY[name][2](g, xs[0], y)]
        if name == "matmul":
            a, b = xs
            return [np.einsum("ik,jk->ij", g, b), np.einsum("ij,ik->jk", a, g)]
        if name == "cat":
            size = xs[0].shape[option]
            return [
                np.take(g, range(size), option),
                np.take(g, range(size, y.shape[option]), option),
            ]
        if name in ("sum", "mean"):
            axis, keep = option
            g = g if keep else np.expand_dims(g, axis)
            return [np.ones(xs[0].shape) * g / (xs[0].shape[axis] if name == "mean" else 1)]
        if name == "max":
            first = np.expand_dims(xs[0].argmax(axis=option), option)
            gx = np.zeros(xs[0].shape)
            np.put_along_axis(gx, first, np.expand_dims(g, option), option)
            return [gx]
        return [scatter(g, xs[0], lambda x: np.asarray(VIEWS[name](x, option)))]

    def path_sum(self, output, upstream, factors=None):
        """Walk every path from the output back, and add up what arrives at each step."""
        factors = factors or {}
        totals = [np.zeros(v.shape) for v in self.values]

        def send(i, g):
            g = g * factors.get(i, 1.0)  # what a hook does to the gradient
            totals[i] = totals[i] + g
            if self.steps[i][1]:
                for j, share in zip(self.steps[i][1], self.backward(i, g)):
                    send(j, share)

        send(output, upstream)
        return totals

    def reached(self, output) -> dict[int, int]:
        """Return the number of paths from the output to each step that is reached."""
        paths = {output: 1}
        for i in range(output, -1, -1):
            if i in paths:
                for j in self.steps[i][1]:
                    paths[j] = paths.get(j, 0) + paths[i]
        return paths

    def is_stale(self, output) -> bool:
        """Whether a value that backward reads was changed after it was used."""
        for i in self.reached(output):
            name, sources, _ = self.steps[i]
            table = {**BINARY, **UNARY}
            reads = table[name][3] if name in table else name == "matmul"
            if reads and self.seen[i] != tuple(self.versions[self.groups[j]] for j in sources):
                return True
        return False

    # ------------------------------------------------------------------------ with the engine

    def with_tensors(self, leaves) -> list[minigrad.Tensor | None]:
        tensors = list(leaves)
        for name, sources, option in self.steps[len(leaves) :]:
            tensors.append(self.apply(name, [tensors[i] for i in sources], option))
        return tensors

    def apply(self, name, xs, option):
        if name in BINARY:
            return BINARY[name][0](*xs)
        if name in UNARY:
            return UNARY[name][0](*xs)
        if name == "matmul":
            return xs[0] @ xs[1]
        if name == "cat":
            return minigrad.cat(xs, dim=option)
        if name in ("sum", "mean"):
            return getattr(xs[0], name)(*option)
        if name == "max":
            return xs[0].max(option).values
        if name == "in place":
            if option > 1:
                with no_grad():
                    xs[0].mul_(option)
            else:
                xs[0].data.mul_(option)
            return None
        if name == "permute":
            return xs[0].permute(*option)
        if name == "expand":
            return xs[0].expand(*option)
        if name == "index":
            return xs[0][option]
        return VIEWS[name](xs[0], option)


VIEWS = {
    "reshape": lambda x, shape: x.reshape(shape),
    "permute": lambda x, axes: x.transpose(axes),
    # x[0] of a vector would be a copy in NumPy, and is a view here, as x[0, ...] is in both.
    "index": lambda x, key: x[(0, ...)] if isinstance(key, int) else x[key],
    "expand": lambda x, shape: np.broadcast_to(x, shape),
}


# ------------------------------------------------------------------------------- drawing them

SHAPES = st.lists(st.sampled_from([1, 2, 3]), max_size=3).map(tuple)


@st.composite
def programs(draw, kinks=True, in_place=False, most=40):
    """Draw a program, leaves for it, and the step that is its output."""
    shapes = draw(st.lists(SHAPES, min_size=1, max_size=4))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    program = Program(shapes)
    leaves = [rng.uniform(-1, 1, shape) for shape in shapes]
    program.start(leaves)
    for _ in range(draw(st.integers(most // 2, most))):
        step = draw_step(draw, program, kinks, in_place)
        program.steps.append(step)
        program.execute(step)
    # The output is the result that reaches most steps, of those with few enough paths to walk.
    reached = {i: program.reached(i) for i, step in enumerate(program.steps) if step[1]}
    reached = {i: r for i, r in reached.items() if program.steps[i][0] != "in place"}
    reached = {i: len(r) for i, r in reached.items() if sum(r.values()) <= MOST_PATHS}
    assume(reached)
    return program, leaves, max(reached, key=reached.get)


def draw_step(draw, program, kinks, in_place):
    usable = [i for i, step in enumerate(program.steps) if step[0] != "in place"]
    # Mostly recent results, or the graph becomes broad and shallow.
    i = usable[-1 - min(draw(st.sampled_from([0, 0, 0, 1, 2, 4])), len(usable) - 1)]
    x = program.values[i]
    if abs(x).max() > 10:  # products of products would grow without end
        return "tanh", (i,), None
    kinds = ["binary", "binary", "unary", "view", "reduce", "cat"]
    kind = draw(st.sampled_from(kinds + ["in place"] * in_place))
    if kind == "in place":
        leaf = draw(st.integers(0, len(program.shapes) - 1))
        return "in place", (leaf,), draw(st.sampled_from([0.5, 1.5]))
    if kind == "binary":
        partners = [j for j in usable[::-1] if fit(x.shape, program.values[j].shape)]
        j = draw(st.sampled_from(partners))
        if x.ndim == program.values[j].ndim == 2 and x.shape[1] == program.values[j].shape[0]:
            return "matmul", (i, j), None
        return draw(st.sampled_from(list(BINARY))), (i, j), None
    if kind == "cat" and x.ndim:
        j = draw(st.sampled_from([j for j in usable if program.values[j].shape == x.shape]))
        return "cat", (i, j), draw(st.integers(0, x.ndim - 1))
    if kind == "reduce" and x.ndim:
        axis = draw(st.integers(0, x.ndim - 1))
        name = draw(st.sampled_from(["sum", "mean", "max"] if kinks else ["sum", "mean"]))
        return name, (i,), axis if name == "max" else (axis, draw(st.booleans()))
    if kind == "view" and x.ndim:
        return draw_view(draw, i, x)
    names = [name for name in UNARY if kinks or name not in KINKED]
    return draw(st.sampled_from(names)), (i,), None


def draw_view(draw, i, x):
    name = draw(st.sampled_from(list(VIEWS)))
    if name == "reshape":
        shapes = [(x.size,), (1, x.size), (*x.shape[::-1],), (*x.shape, 1)[-3:]]
        shapes = [s for s in shapes if math.prod(s) == x.size]
        return name, (i,), draw(st.sampled_from(shapes))
    if name == "permute":
        return name, (i,), tuple(draw(st.permutations(range(x.ndim))))
    if name == "expand":
        wide = tuple(3 if n == 1 else n for n in x.shape)
        return name, (i,), wide if x.ndim == 3 else (2, *wide)
    n = x.shape[0]
    keys = [0, slice(0, None, 2), slice(None, None, -1), (Ellipsis, -1), None]
    keys = [k for k in keys if k is not None or x.ndim < 3]
    keys.append(np.array([0, n - 1, 0]))
    return name, (i,), keys[draw(st.integers(0, len(keys) - 1))]


def fit(a: tuple, b: tuple) -> bool:
    return all(n == m or 1 in (n, m) for n, m in zip(a[::-1], b[::-1])) and (
        math.prod(np.broadcast_shapes(a, b)) <= max(50, math.prod(a))
    )


def first_of(tensors, i) -> int:
    return next(j for j, t in enumerate(tensors) if t is tensors[i])


def upstream_of(y, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, np.shape(y))


def close(one, other, scale=1.0):
    one = np.zeros(np.shape(other)) if one is None else arr(one)
    size = max(abs(np.asarray(other)).max(initial=0), scale)
    np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-11 * size)


# ------------------------------------------------------------------------------------ the tests


@given(programs())
def test_gradients_are_sums_over_paths(device, drawn):
    program, leaves, output = drawn
    xs = [make(device, leaf, requires_grad=True) for leaf in leaves]
    tensors = program.with_tensors(xs)
    for tensor, value in zip(tensors, program.values):
        close(tensor, value)
    gy = upstream_of(program.values[output])
    totals = program.path_sum(output, gy)
    tensors[output].backward(make(device, gy), retain_graph=True)
    for i, x in enumerate(xs):
        if i in program.reached(output):
            close(x.grad, totals[i])
        else:
            assert x.grad is None
    tensors[output].backward(make(device, gy))  # adds up
    for i, x in enumerate(xs):
        close(x.grad, 2 * totals[i])


@given(programs(in_place=True))
def test_leaves_changed_in_place(device, drawn):
    """Either no backward reads what was changed, and gradients are right, or it is refused."""
    program, leaves, output = drawn
    xs = [make(device, leaf, requires_grad=True) for leaf in leaves]
    tensors = program.with_tensors(xs)
    gy = make(device, upstream_of(program.values[output]))
    if program.is_stale(output):
        with pytest.raises(RuntimeError, match="changed in place"):
            tensors[output].backward(gy)
        return
    totals = program.path_sum(output, arr(gy))
    tensors[output].backward(gy)
    for x, total, value in zip(xs, totals, program.values):
        close(x, value)
        close(x.grad, total)


@given(programs(), st.data())
def test_hooks_and_kept_gradients(device, drawn, data):
    program, leaves, output = drawn
    xs = [make(device, leaf, requires_grad=True) for leaf in leaves]
    tensors = program.with_tensors(xs)
    chosen = data.draw(st.lists(st.integers(0, len(tensors) - 1), max_size=8, unique=True))
    # A step may give back the tensor that it got (expanded to the shape that it has).
    chosen = list({id(tensors[i]): first_of(tensors, i) for i in chosen}.values())
    factors, seen = {}, {}
    for n, i in enumerate(chosen):
        if n % 3 == 0:
            factors[i] = 3.0
            tensors[i].register_hook(lambda g: g * 3.0)
        elif n % 3 == 1:
            tensors[i].register_hook(lambda g, i=i: seen.setdefault(i, []).append(arr(g).copy()))
        else:
            tensors[i].retain_grad()
    gy = upstream_of(program.values[output])
    totals = program.path_sum(output, gy, factors)
    tensors[output].backward(make(device, gy))
    reached = program.reached(output)
    for n, i in enumerate(chosen):
        if n % 3 == 1:
            assert len(seen.get(i, [])) == (i in reached)  # once, with the whole gradient
            for g in seen.get(i, []):
                close(g, totals[i])
        if n % 3 == 2:
            assert (tensors[i].grad is not None) == (i in reached)
            if i in reached:
                close(tensors[i].grad, totals[i])
    for x, total in zip(xs, totals):
        close(x.grad, total)


@given(programs())
def test_each_node_is_visited_once_after_its_consumers(device, drawn):
    program, leaves, output = drawn
    sequences = []
    for _ in range(2):
        xs = [make(device, leaf, requires_grad=True) for leaf in leaves]
        tensors = program.with_tensors(xs)
        gy = upstream_of(program.values[output])
        number = {(t.creator or t): i for i, t in reversed(list(enumerate(tensors)))}
        consumers = {}
        pending = [tensors[output].creator]
        while pending:
            node = pending.pop()
            for source in node.edges:
                if source is not None:
                    if source not in consumers and source.edges:
                        pending.append(source)
                    consumers.setdefault(source, set()).add(node)
        totals = program.path_sum(output, gy)
        visited = []
        for node, g in backprop(tensors[output], make(device, gy), retain_graph=True):
            assert id(node) not in map(id, visited)
            assert consumers.get(node, set()) <= set(visited)
            visited.append(node)
            if node in number:
                close(g, totals[number[node]])
        assert set(visited) == {tensors[output].creator, *consumers}
        order = [
            (type(node).__name__, number.get(node)) if isinstance(node, Function) else number[node]
            for node in visited
        ]
        sequences.append(
            (
                order,
                [
                    arr(g)
                    for g in grad(tensors[output], xs, make(device, gy), allow_unused=True)
                    if g is not None
                ],
            )
        )
    (one, one_gradients), (other, other_gradients) = sequences
    assert one == other
    for g, h in zip(one_gradients, other_gradients):
        np.testing.assert_array_equal(g, h)  # bit by bit


@given(programs(kinks=False, most=20))
def test_second_derivatives(device, drawn):
    """Hessian times vector, against differences of the path sums."""
    program, leaves, output = drawn
    gy = upstream_of(program.values[output])
    directions = [upstream_of(leaf, seed=i + 1) for i, leaf in enumerate(leaves)]
    h = 1e-5

    def gradients(t):
        moved = [leaf + t * v for leaf, v in zip(leaves, directions)]
        return program.run(moved).path_sum(output, gy)[: len(leaves)]

    numeric = [(a - b) / (2 * h) for a, b in zip(gradients(h), gradients(-h))]

    xs = [make(device, leaf, requires_grad=True) for leaf in leaves]
    y = program.with_tensors(xs)[output]
    first = grad(y, xs, make(device, gy), create_graph=True, allow_unused=True)
    product = sum((g * make(device, v)).sum() for g, v in zip(first, directions) if g is not None)
    second = [None] * len(xs)
    if product.requires_grad:
        second = grad(product, xs, allow_unused=True)
    scale = max([abs(n).max(initial=1) for n in numeric])
    for found, expected in zip(second, numeric):
        found = np.zeros(expected.shape) if found is None else arr(found)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6 * scale)


# ----------------------------------------------------------------------- all pairs of shapes

ALL_SHAPES = [s for n in range(4) for s in itertools.product([0, 1, 2, 3], repeat=n)]


def copies(shape: tuple, wide: tuple):
    """Yield, for each index into an array of shape `wide`, the index that broadcasting reads."""
    for index in np.ndindex(wide):
        tail = index[len(wide) - len(shape) :]
        yield index, tuple(0 if n == 1 else i for i, n in zip(tail, shape))


def broadcast_by_hand(a: tuple, b: tuple) -> tuple | None:
    wide = []
    for n, m in itertools.zip_longest(a[::-1], b[::-1], fillvalue=1):
        if n != m and 1 not in (n, m):
            return None
        wide.append(m if n == 1 else n)
    return tuple(wide[::-1])


@pytest.mark.parametrize("ndim", [0, 1, 2, 3])
def test_broadcasting_of_all_pairs_of_shapes(ndim, device):
    checked = 0
    for a_shape, b_shape in itertools.product(ALL_SHAPES, ALL_SHAPES):
        if len(a_shape) != ndim:
            continue
        wide = broadcast_by_hand(a_shape, b_shape)
        a = make(device, upstream_of(np.empty(a_shape), 1), requires_grad=True)
        b = make(device, upstream_of(np.empty(b_shape), 2), requires_grad=True)
        if wide is None:
            with pytest.raises(ValueError, match="(?s)Mul.*broadcast.*Expect.*Actual"):
                a * b
            continue
        checked += 1
        y = a * b
        assert y.shape == wide
        gy, av, bv = upstream_of(np.empty(wide), 3), arr(a), arr(b)
        ga, gb = np.zeros(a_shape), np.zeros(b_shape)
        for (index, i), (_, j) in zip(copies(a_shape, wide), copies(b_shape, wide)):
            assert arr(y)[index] == av[i] * bv[j]
            ga[i] += gy[index] * bv[j]
            gb[j] += gy[index] * av[i]
        found = grad(y, [a, b], make(device, gy))
        for g, expected in zip(found, (ga, gb)):
            assert g.shape == expected.shape
            np.testing.assert_allclose(arr(g), expected, rtol=1e-12)
    assert checked == {0: 85, 1: 214, 2: 556, 3: 1624}[ndim]


# ------------------------------------------------------------------------------------- by hand


def test_diamond(device):
    """b = a + a; c = b + b: why an order is needed at all."""
    a = make(device, np.array(3.0), requires_grad=True)
    b = a + a
    (b + b).backward()
    assert a.grad.item() == 4
    a.grad = None
    (a * a).backward()
    assert a.grad.item() == 6


def test_doubling_sixty_times_is_linear(device):
    a = x = make(device, np.array(1.0), requires_grad=True)
    for _ in range(60):
        x = x + x
    walk = list(backprop(x))
    assert len(walk) == 61  # and not 2 ** 60
    assert walk[-1][0] is a and walk[-1][1].item() == 2.0**60


def test_long_chain_does_not_recurse(device):
    a = x = make(device, np.array(1.0), requires_grad=True)
    for _ in range(20_000):
        x = x + 1.0
    (g,) = grad(x, a)
    assert g.item() == 1
    del x  # nor does its end


def test_several_outputs_share_one_walk(device):
    a = make(device, np.array(2.0), requires_grad=True)
    b = a * a
    y, z = b * 3.0, b.exp()
    g = [make(device, np.array(v)) for v in (1.0, 10.0, 100.0)]
    walk = list(backprop([y, z, b], g, retain_graph=True))
    assert len([node for node, _ in walk if node is b.creator]) == 1
    expected = 4.0 * (3 + 10 * np.exp(4) + 100)
    np.testing.assert_allclose(arr(walk[-1][1]), expected)
    np.testing.assert_allclose(arr(grad([y, z, b], a, g)[0]), expected)


def test_stopping_the_walk_half_way_leaves_the_mode(device):
    a = make(device, np.array(2.0), requires_grad=True)
    walk = backprop((a * a).exp())
    next(walk)
    assert autograd.is_grad_enabled()
    with no_grad():
        next(walk)
        assert not autograd.is_grad_enabled()
    walk.close()
    assert autograd.is_grad_enabled()


@settings(max_examples=20)
@given(st.integers(2, 5), st.integers(1, 30))
def test_paths_of_a_ladder(rungs, seed):
    """A graph in which the number of paths is known: each rung multiplies it."""
    rng = np.random.default_rng(seed)
    weights = rng.uniform(0.5, 1.5, (6, rungs))
    a = x = minigrad.tensor(1.0, dtype=minigrad.float64, requires_grad=True)
    for row in weights:
        x = sum(x * float(w) for w in row)
    (g,) = grad(x, a)
    assert g.item() == pytest.approx(np.prod(weights.sum(axis=1)))
