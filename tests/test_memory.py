"""What the engine holds, and for how long: no cycles, no leaks, no recursion.

The garbage collector is off in these tests, so only reference counts free memory.
"""

from __future__ import annotations

import gc
import sys
import tracemalloc
import weakref

import numpy as np
import pytest
from helpers import arr

import minigrad
from minigrad import Tensor
from minigrad.autograd import Function, backprop, grad, no_grad


@pytest.fixture(autouse=True)
def without_collector(device):
    gc.collect()
    gc.disable()
    with minigrad.device(device):
        yield
    gc.enable()


def alive() -> int:
    """Return how many tensors and nodes exist."""
    return sum(isinstance(x, (Tensor, Function)) for x in gc.get_objects())


def mlp(rng):
    """Return weights and a training step written out: tensors and ops only."""
    sizes = [(8, 16), (16,), (16, 4), (4,)]
    params = [
        minigrad.tensor(rng.normal(0, 0.3, s).astype("f4"), requires_grad=True) for s in sizes
    ]
    velocity = [minigrad.zeros_like(p) for p in params]

    def step(x, labels):
        w1, b1, w2, b2 = params
        h = (x @ w1 + b1).relu()
        h = h * (h.detach() > 0.01)
        logits = h @ w2 + b2
        picked = logits.log_softmax(1).gather(1, labels.unsqueeze(1))
        loss = -picked.mean() + 1e-3 * sum([(p * p).sum() for p in params])
        for p in params:
            p.grad = None
        loss.backward()
        with no_grad():
            for p, v in zip(params, velocity):
                v.mul_(0.9).add_(p.grad)
                p.sub_(v, alpha=0.01)
        return loss

    return params, step


def batch(rng):
    return (
        minigrad.tensor(rng.normal(size=(32, 8)).astype("f4")),
        minigrad.tensor(rng.integers(0, 4, 32)),
    )


def test_a_thousand_steps_hold_no_more_than_ten(rng):
    params, step = mlp(rng)
    x, labels = batch(rng)
    history = []
    for _ in range(10):
        history.append(step(x, labels).item())
    held = alive()
    for _ in range(90 if x.is_cuda else 990):
        history.append(step(x, labels).item())
    assert alive() == held
    assert history[-1] < history[0]
    assert gc.collect() == 0 or alive() == held


@pytest.mark.cpu_only
def test_memory_is_flat(rng):
    """Arrays too: tracemalloc sees NumPy's."""
    _, step = mlp(rng)
    x, labels = batch(rng)
    for _ in range(20):
        step(x, labels)
    tracemalloc.start()
    for _ in range(20):
        step(x, labels)
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(20 if x.is_cuda else 100):
        step(x, labels)
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 20_000, f"{after - before} bytes more"


GRAPHS = {
    "inputs are read": lambda x: (x * x).sum(),
    "outputs are read": lambda x: x.exp().tanh().softmax(0).sum(),
    "views": lambda x: x.reshape(2, 2).T[0].expand(3, 2).sum(),
    "fan-out": lambda x: sum([x * i for i in range(5)]).sum(),
    "several results": lambda x: sum(x.split(2)).sum() + x.max(0).values,
    "gradients of gradients": lambda x: grad((x**3).sum(), x, create_graph=True)[0].sum(),
    "a penalty": lambda x: (
        (x * x).sum() + grad(x.sigmoid().sum(), x, create_graph=True)[0].square().sum()
    ),
}


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("end", ["dropped", "backward", "retained", "abandoned", "hooks", "failed"])
def test_graphs_have_no_cycles(name, end):
    x = minigrad.tensor([0.5, 1.0, -2.0, 0.3], requires_grad=True)
    held = alive()
    y = GRAPHS[name](x)
    if end == "backward":
        y.backward()
    elif end == "retained":
        y.retain_grad()
        y.backward(retain_graph=True)
    elif end == "abandoned":
        walk = backprop(y)
        next(walk)
        next(walk)
        del walk
    elif end == "hooks":
        handle = y.register_hook(lambda g: g * 2)
        y.backward()
        del handle
    elif end == "failed":
        y.register_hook(lambda g: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            y.backward()
    del y
    x.grad = None
    assert alive() == held


def test_arrays_are_freed_as_the_walk_passes_them():
    x = minigrad.tensor(np.ones(1000), requires_grad=True)
    h = x
    middle = []
    for _ in range(5):
        h = h * h
        middle.append(weakref.ref(h))
    h = h.sum()
    kept = [[r() is not None for r in middle]]
    for node, _ in backprop(h):
        kept.append([r() is not None for r in middle])
        assert isinstance(node, Function) or node is x
    assert kept[0] == [True, True, True, True, False]  # the last was only summed
    assert kept[-1] == [False] * 5
    counts = [sum(row) for row in kept]
    assert counts == sorted(counts, reverse=True) and len(set(counts)) >= 4


def test_a_kept_result_keeps_nothing_else_after_backward():
    x = minigrad.tensor(np.ones(10), requires_grad=True)
    h = x * 2
    there = weakref.ref(h)
    y = (h * h).exp().sum()
    del h
    assert there() is not None
    y.backward()
    assert there() is None
    assert y.creator.edges is None and not vars(y.creator)


def test_without_recording_nothing_is_kept():
    x = minigrad.tensor(np.ones(10), requires_grad=True)
    with no_grad():
        h = x * x
        there = weakref.ref(h)
        h = h * h
    assert there() is None


def test_retained_gradients_do_not_keep_the_tensor():
    x = minigrad.tensor([1.0], requires_grad=True)
    h = x * 2
    h.retain_grad()
    there = weakref.ref(h)
    y = h.sum()  # a sum reads no values
    del h
    assert there() is None
    y.backward()
    assert x.grad.item() == 2


# ------------------------------------------------------------------------------- long and deep


@pytest.mark.cpu_only
@pytest.mark.slow
def test_a_million_ops_forward_and_backward(device):
    """No recursion: in the walk, and when the graph is freed."""
    limit = sys.getrecursionlimit()
    x = minigrad.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(500_000):
        y = y * 0.999999 + 1e-6
    y.backward()
    assert abs(x.grad.item() - 0.999999**500_000) < 1e-2
    assert sys.getrecursionlimit() == limit


@pytest.mark.cpu_only
@pytest.mark.slow
def test_a_deep_graph_dropped_without_backward(device):
    held = alive()
    y = minigrad.tensor(1.0, requires_grad=True)
    for _ in range(200_000):
        y = y + 1.0
    del y
    assert alive() == held


def test_long_chains_of_every_kind():
    """Ops that keep inputs, outputs or views of them, and second derivatives."""
    x = minigrad.tensor(0.5, requires_grad=True)
    y = x
    for i in range(3000 if x.is_cuda else 20_000):
        y = (y * y.detach(), y.tanh(), y.reshape(()), y + 0.1)[i % 4]
    (g,) = grad(y, x, create_graph=True)
    assert np.isfinite(g.item())
    del y, g
    assert x.grad is None


def test_doubling_is_linear():
    x = y = minigrad.tensor(1.0, dtype=minigrad.float64, requires_grad=True)
    for _ in range(60):
        y = y + y
    assert len(list(backprop(y, retain_graph=True))) == 61
    y.backward()
    assert x.grad.item() == 2.0**60


def test_a_wide_graph(rng):
    x = minigrad.tensor(rng.normal(size=10), requires_grad=True)
    minigrad.stack([x * i for i in range(1000)]).sum().backward()
    np.testing.assert_allclose(arr(x.grad), sum(range(1000)))
