"""Every op of the library, each with its derivative doubted; then the doubt itself is doubted.

The suite walks all modules of minigrad and collects the `Function` classes that it finds there.
An op that has no samples in the table below fails the suite by name: nobody can add an op without
saying on which inputs its derivative is to be checked. For each op `objections` makes every
comparison that there is; and since a check that never objects is worth nothing, a second part
plants mistakes in each op's backward and demands that `objections` finds every one.

To add an op: add a line to `SAMPLES` (its name, a function of tensors whose result the op makes,
and arrays to call it with; floating arrays require a gradient), and to `CORNERS` what its gradient
is at kinks, ties and edges, where `gradcheck` cannot say what is right.
"""

from __future__ import annotations

import ast
import gc
import importlib
import inspect
import pkgutil
import textwrap
import weakref
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad.autograd import Function, enable_grad, grad, no_grad
from minigrad.gradcheck import gradcheck, random_upstream

inf, nan = float("inf"), float("nan")

# ----------------------------------------------------------------------------- which ops exist


def find_ops() -> dict[str, type]:
    """Import every module of minigrad, and return the ops that they define, by name."""
    for module in pkgutil.walk_packages(minigrad.__path__, "minigrad."):
        if module.name.endswith("__main__"):
            continue
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # an extra that is not installed
            if error.name.startswith("minigrad"):
                raise
    found: dict[str, type] = {}
    pending = [Function]
    while pending:
        for op in pending.pop().__subclasses__():
            pending.append(op)
            if op.__module__.startswith("minigrad."):
                assert op.__name__ not in found, f"two ops are called {op.__name__}"
                found[op.__name__] = op
    return found


OPS = find_ops()


# ------------------------------------------------------------------------- how to call each one


@dataclass
class Sample:
    """One way to call an op: ``function(*tensors)`` returns what the op computed.

    Where an op's backward is meant to be the derivative of another function than its forward (a
    staircase that passes gradients on like the ramp that it follows), `ramp` is that function.
    """

    function: Callable
    arrays: tuple[np.ndarray, ...]
    ramp: Callable | None = None

    def tensors(self, device, dtype=None) -> list[minigrad.Tensor]:
        return [
            make(device, a if dtype is None or a.dtype.kind != "f" else a.astype(dtype),
                 requires_grad=a.dtype.kind == "f")
            for a in self.arrays
        ]  # fmt: skip


rng = np.random.default_rng(7)


def normal(*shape):
    return rng.normal(size=shape)


def positive(*shape):
    return rng.uniform(0.5, 2.0, size=shape)


def spread(*shape):
    """Numbers at least 0.1 from each other, so that what is larger stays so."""
    size = int(np.prod(shape))
    return (rng.permutation(size) * 0.1 - size * 0.05 + 0.03).reshape(shape)


def op(name: str, /, **options):
    """Return the function that applies the op alone."""
    return lambda *tensors: OPS[name].apply(*tensors, **options)


def same_op(name: str, /, *shapes, draw=normal, **options) -> list[Sample]:
    return [Sample(op(name, **options), tuple([draw(*shape) for shape in shapes]))]


def unary(name: str, draw=normal) -> list[Sample]:
    return [Sample(op(name), (draw(4, 4),)), Sample(op(name), (draw(),))]


def binary(name: str, left=normal, right=normal) -> list[Sample]:
    return [Sample(op(name), (left(*shape), right(*shape))) for shape in [(3, 3), (2, 5), ()]]


def conv(stride=1, padding=0, dilation=1, groups=1):
    def pairs(value):
        return value if isinstance(value, tuple) else (value, value)

    (top, left) = pairs(padding)
    return dict(
        stride=pairs(stride),
        padding=((top, top), (left, left)),
        dilation=pairs(dilation),
        groups=groups,
    )


PLAIN = conv()
FANCY = conv(stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)  # (5, 6) by (3, 2): (3, 8)
UNEVEN = dict(conv(), padding=((0, 1), (2, 1)))


def window(x, **options):
    """Return the node of a max-pool of x, whose backward leads to the ops that we are after."""
    with enable_grad():
        return minigrad.functions.pool.max_pool2d(x.detach().requires_grad_(), **options).creator


def pool_scatter(image, **options):
    return lambda g: window(make(g.device, image.astype(g.dtype)), **options).backward(g)


def pool_gather(image, **options):
    def function(x):
        y = window(make(x.device, image.astype(x.dtype)), **options)
        with enable_grad():
            zeros = make(x.device, np.zeros(y.shape, x.dtype), requires_grad=True)
            scattered = y.backward(zeros).creator
        return scattered.backward(x)

    return function


def sum_pool(kernel, stride, padding, output_size, size=None):
    """Options of ``SumPool2d`` or, where the input's size is given, of its adjoint."""
    options = dict(output_size=output_size, **({} if size is None else dict(size=size)))
    pairs = dict(kernel_size=kernel, stride=stride, padding=padding)
    return {**options, **{name: (value, value) for name, value in pairs.items()}}


IMAGE, IMAGES = spread(1, 1, 5, 6), spread(1, 2, 4, 4)
OVERLAP = dict(kernel_size=3, stride=2, padding=1)
DILATED = dict(kernel_size=(2, 3), stride=1, dilation=(2, 1), padding=(1, 0))
CEIL = dict(kernel_size=3, stride=2, ceil_mode=True)

LABELS = np.array([2, 0, 2])
MASK = np.array([[True, False, False], [True, True, False], [False, False, True]])
ROWS, COLUMNS = np.array([2, 0, 2, 1]), np.array([1, 1, 1, 0])


def keyed(key):
    """Return functions that index with `key` (moved to the tensor's device) and add in at it."""

    def on(device):
        parts = key if isinstance(key, tuple) else (key,)
        moved = tuple([minigrad.backend.asarray_on(p, device) if isinstance(p, np.ndarray) else p
                       for p in parts])  # fmt: skip
        return moved if isinstance(key, tuple) else moved[0]

    return (
        lambda x: OPS["Index"].apply(x, key=on(x.device)),
        lambda shape: lambda x: OPS["IndexAdd"].apply(x, key=on(x.device), shape=shape),
    )


KEYS = [
    (slice(None), 1),
    (slice(None, None, -2), None, slice(1, 3)),
    (Ellipsis, 0),
    ROWS,
    (ROWS, COLUMNS),
    (slice(None), ROWS),
    MASK,
]


def cross_entropy(z, mean=False):
    labels = minigrad.backend.asarray_on(LABELS, z.device)
    return OPS["SoftmaxCrossEntropy"].apply(z, labels=labels, mean=mean)


def pow_base(exponent):
    return lambda a: a**exponent


SAMPLES: dict[str, list[Sample]] = {
    "Add": binary("Add"),
    "Sub": binary("Sub"),
    "Mul": binary("Mul"),
    "Div": binary("Div", right=positive),
    "Maximum": binary("Maximum", spread, lambda *shape: spread(*shape) + 0.04),
    "Minimum": binary("Minimum", spread, lambda *shape: spread(*shape) + 0.04),
    "Remainder": [Sample(op("Remainder"), (np.array([[5.3, -5.3], [5.3, -5.3]]),
                                           np.array([[3.1, 3.1], [-3.1, -3.2]])))],
    "RoundedDiv": [
        Sample(op("RoundedDiv", mode=mode), (np.array([5.3, -5.3]), np.array([3.1, 3.2])))
        for mode in ("floor", "trunc")
    ],
    "Shift": same_op("Shift", (3, 3), c=2.5),
    "Scale": same_op("Scale", (3, 3), c=2.5),
    "Pow": [
        Sample(op("Pow"), (positive(3, 3), normal(3, 3))),
        Sample(op("Pow"), (positive(4), np.array([0.0, 1, 2, -1]))),
        *[Sample(pow_base(b), (normal(3, 2),)) for b in (2, 3, 1, 0, -1)],
        *[Sample(pow_base(b), (positive(3, 2),)) for b in (0.5, -1.5, 2.5)],
        *[Sample(lambda b, a=a: a**b, (normal(3, 2),)) for a in (2.0, 0.3, 10)],
        Sample(lambda a: OPS["Pow"].apply(a, minigrad.Tensor(a.array * 0 + 2.0)), (normal(4),)),
    ],
    "Neg": unary("Neg"),
    "Exp": unary("Exp"),
    "Log": unary("Log", positive),
    "Log1p": unary("Log1p", positive),
    "Sqrt": unary("Sqrt", positive),
    "Sin": unary("Sin"),
    "Cos": unary("Cos"),
    "Tanh": unary("Tanh"),
    "Sigmoid": unary("Sigmoid"),
    "Softplus": unary("Softplus"),
    "Relu": unary("Relu"),
    "Abs": unary("Abs"),
    "Clone": unary("Clone"),
    "Clamp": [Sample(lambda x, o=o: x.clamp(*o), (spread(4, 4),))
              for o in [(-0.5, 0.6), (None, 0.5), (-0.5, None)]],
    "Step": [Sample(op("Step", name=name), (normal(3, 4),))
             for name in ("sign", "floor", "ceil", "rint", "trunc")],
    "Cast": [Sample(lambda x: OPS["Cast"].apply(x, dtype=np.dtype(float)), (normal(3, 3),))],
    "ToDevice": [Sample(lambda x: OPS["ToDevice"].apply(x, device=x.device), (normal(3, 3),))],
    "Where": [Sample(op("Where"), (MASK, normal(3, 3), normal(3, 3))),
              Sample(lambda c, a: OPS["Where"].apply(c, a, 0.5), (MASK, normal(3, 3)))],
    # ----------------------------------------------------------------- moving numbers about
    "BroadcastTo": [
        Sample(op("BroadcastTo", shape=to), (normal(*shape),))
        for shape, to in [((3,), (2, 3)), ((2, 1, 3), (2, 4, 3)), ((), (2, 2)), ((2, 2), (3, 2, 2))]
    ],
    "SumTo": [
        Sample(op("SumTo", shape=to), (normal(*shape),))
        for shape, to in [((2, 3), (3,)), ((2, 4, 3), (2, 1, 3)), ((3, 3), (1, 3)), ((3, 2), ())]
    ],
    "MeanTo": [
        Sample(op("MeanTo", shape=to), (normal(*shape),))
        for shape, to in [((2, 3), (3,)), ((2, 4, 3), (2, 1, 3)), ((3, 3), (1, 3)), ((3, 2), ())]
    ],
    "Reshape": same_op("Reshape", (2, 2), shape=(1, 4)) + same_op("Reshape", (1,), shape=()),
    "Transpose": same_op("Transpose", (2, 3, 4), axes=(2, 0, 1))
    + same_op("Transpose", (3, 3), axes=(1, 0)),
    "Index": [Sample(keyed(key)[0], (normal(3, 3),)) for key in KEYS],
    "IndexAdd": [Sample(keyed(key)[1]((3, 3)), (normal(*np.empty((3, 3))[key].shape),))
                 for key in KEYS],
    "Concat": same_op("Concat", (2, 2), (2, 2), (2, 1), axis=1)
    + same_op("Concat", (1, 2), (1, 2), (2, 2), axis=0) + same_op("Concat", (2,), axis=0),
    "Pad": same_op("Pad", (3, 3), widths=((1, 2), (0, 1)), value=0.5),
    # ------------------------------------------------------------------------------ reduce
    "Amax": [Sample(lambda x, d=d: OPS["Amax"].apply(x, axes=d), (spread(3, 3),))
             for d in [(0,), (1,), (0, 1)]],
    "Amin": [Sample(lambda x, d=d: OPS["Amin"].apply(x, axes=d), (spread(3, 3),))
             for d in [(0,), (1,), (0, 1)]],
    "Cumsum": same_op("Cumsum", (3, 3), axis=0) + same_op("Cumsum", (3, 4), axis=1),
    # ------------------------------------------------------------------- linalg, conv, pool
    "MatMul": same_op("MatMul", (3, 3), (3, 3)) + same_op("MatMul", (2, 3, 4), (2, 4, 5)),
    "Linear": same_op("Linear", (3, 3), (3, 3), (3,)) + same_op("Linear", (4, 3), (2, 3)),
    "Conv2d": [
        *same_op("Conv2d", (2, 2, 4, 4), (2, 2, 3, 3), (2,), **PLAIN),
        *same_op("Conv2d", (2, 4, 5, 6), (6, 2, 3, 2), (6,), **FANCY),
        *same_op("Conv2d", (1, 1, 4, 3), (2, 1, 2, 2), **UNEVEN),
    ],
    "Conv2dInput": [
        *same_op("Conv2dInput", (2, 2, 2, 2), (2, 2, 3, 3), size=(4, 4), **PLAIN),
        *same_op("Conv2dInput", (2, 6, 3, 8), (6, 2, 3, 2), size=(5, 6), **FANCY),
        *same_op("Conv2dInput", (1, 2, 4, 5), (2, 1, 2, 2), size=(4, 3), **UNEVEN),
    ],
    "Conv2dWeight": [
        *same_op("Conv2dWeight", (2, 2, 4, 4), (2, 2, 2, 2), kernel_size=(3, 3), **PLAIN),
        *same_op("Conv2dWeight", (2, 4, 5, 6), (2, 6, 3, 8), kernel_size=(3, 2), **FANCY),
        *same_op("Conv2dWeight", (1, 1, 4, 3), (1, 2, 4, 5), kernel_size=(2, 2), **UNEVEN),
    ],
    "MaxPool2d": [
        Sample(lambda x: minigrad.functions.pool.max_pool2d(x, 2), (IMAGES,)),
        *[Sample(lambda x, o=options: minigrad.functions.pool.max_pool2d(x, **o), (IMAGE,))
          for options in (OVERLAP, DILATED, CEIL)],
    ],
    "PoolScatter": [
        Sample(pool_scatter(IMAGES, kernel_size=2), (normal(1, 2, 2, 2),)),
        Sample(pool_scatter(IMAGE, **OVERLAP), (normal(1, 1, 3, 3),)),
        Sample(pool_scatter(IMAGE, **DILATED), (normal(1, 1, 5, 4),)),
        Sample(pool_scatter(IMAGE, **CEIL), (normal(1, 1, 2, 3),)),
    ],
    "PoolGather": [
        Sample(pool_gather(IMAGES, kernel_size=2), (normal(1, 2, 4, 4),)),
        *[Sample(pool_gather(IMAGE, **options), (normal(1, 1, 5, 6),))
          for options in (OVERLAP, DILATED, CEIL)],
    ],
    "SumPool2d": [
        *same_op("SumPool2d", (2, 3, 4, 4), **sum_pool(2, 2, 0, (2, 2))),
        *same_op("SumPool2d", (1, 1, 5, 6), **sum_pool(3, 2, 1, (3, 3))),
        *same_op("SumPool2d", (1, 1, 5, 6), **sum_pool(3, 2, 0, (2, 3))),  # the last one cut off
    ],
    "SumPool2dAdjoint": [
        *same_op("SumPool2dAdjoint", (2, 3, 2, 2), **sum_pool(2, 2, 0, (2, 2), size=(4, 4))),
        *same_op("SumPool2dAdjoint", (1, 1, 3, 3), **sum_pool(3, 2, 1, (3, 3), size=(5, 6))),
        *same_op("SumPool2dAdjoint", (1, 1, 2, 3), **sum_pool(3, 2, 0, (2, 3), size=(5, 6))),
    ],
    # -------------------------------------------------------------------------- norm, loss
    "BatchNorm": [
        *same_op("BatchNorm", (4, 2, 3), (2,), (2,), eps=0.1),
        *same_op("BatchNorm", (3, 2, 2, 2), (2,), eps=0.1),
        *same_op("BatchNorm", (5, 3), eps=0.1),
    ],
    "Softmax": same_op("Softmax", (3, 4), axis=1) + same_op("Softmax", (3, 3), axis=0),
    "LogSoftmax": same_op("LogSoftmax", (3, 4), axis=1) + same_op("LogSoftmax", (3, 3), axis=0),
    "SoftmaxCrossEntropy": [
        Sample(cross_entropy, (normal(3, 3),)),
        Sample(lambda z: cross_entropy(z, mean=True), (normal(3, 3),)),
    ],
    "BinaryCrossEntropy": [
        Sample(op("BinaryCrossEntropy"), (rng.uniform(0.1, 0.9, (3, 3)), rng.random((3, 3)))),
    ],
    "FakeQuantize": [
        Sample(
            op("FakeQuantize", scale=0.5, zero_point=0, low=-2, high=2),
            (spread(6, 6),),
            ramp=lambda x: x.clamp(-1.25, 1.25),
        )
    ],
}  # fmt: skip


def test_every_op_has_samples():
    missing = sorted(set(OPS) - set(SAMPLES))
    assert not missing, f"no samples in tests/test_ops_gradients.py for: {', '.join(missing)}"
    gone = sorted(set(SAMPLES) - set(OPS))
    assert not gone, f"samples of ops that are gone: {', '.join(gone)}"


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_are_of_their_op(name, device):
    for sample in SAMPLES[name]:
        y = sample.function(*sample.tensors(device))
        assert type(y.creator).__name__ == name
    need = {i for s in SAMPLES[name] for i, a in enumerate(s.arrays) if a.dtype.kind == "f"}
    parameters = inspect.signature(OPS[name].forward).parameters.values()
    positional = [p for p in parameters if p.kind == p.POSITIONAL_OR_KEYWORD][1:]
    assert len(positional) <= max(need) + 1, "an input of the op is in no sample"


# ------------------------------------------------------- what gradcheck cannot say: the corners


@dataclass
class Corner:
    """What the gradients are where there is no derivative, or numbers are not finite.

    The values are PyTorch's, of ``torch.autograd.grad`` in float64.
    """

    function: Callable
    inputs: list
    upstream: object
    gradients: list

    def differences(self, device):
        for create_graph in (False, True):
            xs = [make(device, np.array(x, dtype=np.float64), requires_grad=True)
                  for x in self.inputs]  # fmt: skip
            with np.errstate(all="ignore"):
                y = self.function(*xs)
                gy = np.broadcast_to(np.array(self.upstream, dtype=np.float64), y.shape)
                found = grad(y, xs, make(device, gy), create_graph=create_graph)
            for i, (g, expected) in enumerate(zip(found, self.gradients)):
                expected = np.array(expected, dtype=np.float64)
                if not np.allclose(arr(g), expected, rtol=1e-12, equal_nan=True):
                    yield f"input {i}: {arr(g)} and not {expected} ({create_graph=})"


N = [1, 2, 3, 4, 5, 6, 7, 8, 9]
TIES = ([1.0, 2, 3, nan, 1, nan, inf], [1.0, 3, 2, 1, nan, nan, inf])
ROWS_WITH_TIES = [[1.0, 3, 3], [inf, inf, 1], [2, 2, 2], [3, 2, 1]]
BCE_INPUTS = [0.0, 0, 1, 1, 0.5, 0, 1, 1e-60]
BCE_TARGETS = [0.0, 1, 0, 1, 0.25, 0.5, 0.5, 1]
POW_BASES = [-2.0, -1, 0, 0.5, 2, inf]

CORNERS: dict[str, list[Corner]] = {
    "Relu": [
        Corner(minigrad.relu, [[-1, 0.0, -0.0, 1, nan, inf, -inf]], N[:7], [[0, 0, 0, 4, 5, 6, 0]]),
        Corner(minigrad.relu, [[-1.0, 0, 2]], [inf, nan, inf], [[0, 0, inf]]),
    ],
    "Abs": [
        Corner(minigrad.abs, [[-1, 0.0, -0.0, 1, nan, inf, -inf]], N[:7],
               [[-1, 0, 0, 4, 0, 6, -7]])
    ],
    "Sqrt": [
        Corner(minigrad.sqrt, [[0.0, 0, 4, -1, nan, inf]], [1, 0, 1, 1, 1, 1],
               [[inf, nan, 0.25, nan, nan, 0]])
    ],
    "Log": [Corner(minigrad.log, [[0.0, 4, -1, nan, inf]], 1, [[inf, 0.25, -1, nan, 0]])],
    "Log1p": [Corner(minigrad.log1p, [[-1.0, 0, -2, nan, inf]], 1, [[inf, 1, -1, nan, 0]])],
    "Sigmoid": [
        Corner(minigrad.sigmoid, [[-1000.0, 1000, 0, nan, inf, -inf]], 1, [[0, 0, 0.25, nan, 0, 0]])
    ],
    "Tanh": [
        Corner(minigrad.tanh, [[-1000.0, 1000, 0, nan, inf, -inf]], 1, [[0, 0, 1, nan, 0, 0]])
    ],
    "Maximum": [
        Corner(minigrad.maximum, TIES, N[:7],
               [[0.5, 0, 3, 4, 5, 6, 3.5], [0.5, 2, 0, 4, 5, 6, 3.5]])
    ],
    "Minimum": [
        Corner(minigrad.minimum, TIES, N[:7],
               [[0.5, 2, 0, 4, 5, 6, 3.5], [0.5, 0, 3, 4, 5, 6, 3.5]])
    ],
    "Amax": [
        Corner(lambda x: x.amax(1), [ROWS_WITH_TIES], N[:4],
               [[[0, 0.5, 0.5], [1, 1, 0], [1, 1, 1], [4, 0, 0]]]),
        Corner(lambda x: x.max(), [[1.0, 3, 3]], 1, [[0, 0.5, 0.5]]),
        Corner(lambda x: x.max(), [[1.0, nan, 3, nan]], 1, [[0, 0.5, 0, 0.5]]),
    ],
    "Amin": [
        Corner(lambda x: x.amin(1), [(-np.array(ROWS_WITH_TIES)).tolist()], N[:4],
               [[[0, 0.5, 0.5], [1, 1, 0], [1, 1, 1], [4, 0, 0]]]),
        Corner(lambda x: x.min(), [[1.0, nan, 3, nan]], 1, [[0, 0.5, 0, 0.5]]),
    ],
    "Index": [  # max and min along an axis take one entry: the first of ties, the first NaN
        Corner(lambda x: x.max(1).values, [[[1.0, 3, 3], [nan, 1, nan], [inf, inf, 1]]], N[:3],
               [[[0, 1, 0], [2, 0, 0], [3, 0, 0]]]),
        Corner(lambda x: x.min(1).values, [[[3.0, 1, 1], [1, nan, nan], [-inf, -inf, 1]]], N[:3],
               [[[0, 1, 0], [0, 2, 0], [3, 0, 0]]]),
        Corner(lambda x: x[minigrad.tensor([0, 0, 1]).to(x.device)], [[0.5, 1.5]], [1, 2, 4],
               [[3, 4]]),
    ],
    "Where": [
        Corner(lambda x: minigrad.where(x > 0, x.log(), 0 * x), [[1.0, -1, 2]], 1, [[1, 0, 0.5]]),
        Corner(lambda x, a, b: x.clamp(a, b),
               [[-2.0, -1, 0, 1, 2], [-1.0] * 5, [1.0] * 5], N[:5],
               [[0, 2, 3, 4, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 5]]),
        Corner(lambda x, a, b: x.clamp(a, b), [[-2.0, 0, 2], [1.0] * 3, [-1.0] * 3], N[:3],
               [[0] * 3, [0] * 3, [1, 2, 3]]),
    ],
    "Clamp": [
        Corner(lambda x: x.clamp(-1.0, 1.0), [[-2, -1.0, 0, 1, 2, nan, inf]], N[:7],
               [[0, 2, 3, 4, 0, 0, 0]]),
        Corner(lambda x: x.clamp(min=0.0), [[-2, 0.0, 2, nan]], N[:4], [[0, 2, 3, 0]]),
        Corner(lambda x: x.clamp(max=0.0), [[-2, 0.0, 2, nan]], N[:4], [[1, 2, 0, 0]]),
        Corner(lambda x: x.clamp(1.0, -1.0), [[-2, -1, 0.0, 1, 2]], N[:5], [[0] * 5]),
    ],
    "Pow": [
        Corner(lambda x: x**-1, [POW_BASES], N[:6], [[-0.25, -2, -inf, -16, -1.25, 0]]),
        Corner(lambda x: x**0, [POW_BASES], N[:6], [[0] * 6]),
        Corner(lambda x: x**0.5, [POW_BASES], 1,
               [[nan, nan, inf, 0.5**0.5, 0.125**0.5, 0]]),
        Corner(lambda x: x**1, [POW_BASES], N[:6], [N[:6]]),
        Corner(lambda x: x**2, [POW_BASES], N[:6], [[-4, -4, 0, 4, 20, inf]]),
        Corner(minigrad.pow, [[0.0] * 5, [-1.0, 0, 0.5, 1, 2]], 1,
               [[-inf, 0, inf, 1, 0], [-inf, 0, 0, 0, 0]]),
        Corner(minigrad.pow, [[2.0] * 5, [-1.0, 0, 0.5, 1, 2]], 1,
               [[-0.25, 0, 0.125**0.5, 1, 4], np.log(2) * 2.0 ** np.array([-1, 0, 0.5, 1, 2])]),
        Corner(lambda b: 0.0**b, [[-1.0, 0, 1, 2]], 1, [[-inf, 0, 0, 0]]),
    ],
    "Div": [
        Corner(minigrad.div, [[1.0, 0, 0, 1], [0.0, 0, 1, inf]], 1,
               [[inf, inf, 1, 0], [-inf, nan, 0, 0]])
    ],
    "Remainder": [
        Corner(minigrad.remainder, [[5.0, -5, 5, -5, 4], [3.0, 3, -3, -3, 2]], N[:5],
               [N[:5], [-1, 4, 6, -4, -10]])
    ],
    "Step": [
        Corner(function, [[0.0, 0.5, 1, -2.5, nan, inf]], [1, 2, 3, 4, 5, inf], [[0] * 6])
        for function in (minigrad.sign, minigrad.floor, minigrad.ceil, minigrad.round)
    ],
    "RoundedDiv": [
        Corner(lambda a, b: minigrad.div(a, b, rounding_mode="floor"), [[5.0, -6], [3.0, 3]],
               [1, inf], [[0, 0], [0, 0]])
    ],
    "Softmax": [
        Corner(lambda x: x.softmax(1), [[[-inf, 0, 0], [1000, 1000, 0], [nan, 0, 0]]],
               [[1, 2, 4]] * 3, [[[0, -0.5, 0.5], [-0.25, 0.25, 0], [nan] * 3]])
    ],
    "LogSoftmax": [
        Corner(lambda x: x.log_softmax(1), [[[-inf, 0, 0], [1000, 1000, 0], [nan, 0, 0]]],
               [[0, 1, 2]] * 3, [[[0, -0.5, 0.5], [-1.5, -0.5, 2], [nan] * 3]])
    ],
    # The target's gradient is our own: the derivative of the loss as it is, cut off at -100.
    "BinaryCrossEntropy": [
        Corner(lambda p: OPS["BinaryCrossEntropy"].apply(p, make(p.device, np.array(BCE_TARGETS))),
               [BCE_INPUTS], N[:8], [[0, -2e12, 3e12, 0, 5, -3e12, 3.5e12, -8e12]]),
        Corner(op("BinaryCrossEntropy"), [BCE_INPUTS, BCE_TARGETS], N[:8],
               [[0, -2e12, 3e12, 0, 5, -3e12, 3.5e12, -8e12],
                [100, 200, -300, -400, 0, 600, -700, 800]]),
    ],
    "MaxPool2d": [  # the first of ties; NaN wins
        Corner(lambda x: minigrad.functions.pool.max_pool2d(x, 2),
               [[[[[1.0, 1, 0, nan], [1, 1, 9, 9]]]]], [[[[1, 2]]]],
               [[[[[1, 0, 0, 2], [0, 0, 0, 0]]]]]),
    ],
}  # fmt: skip

COMPOSED: dict[str, list[Corner]] = {
    "norm": [
        Corner(lambda x, p=p: x.norm(p, dim=1), [[[0.0, 0], [0, -4]]], N[:2], [[[0, 0], [0, -2]]])
        for p in (1, 1.5, 2, 3, inf)
    ],
    "std": [Corner(lambda x: x.std(), [[2.0, 2, 2]], 1, [[0, 0, 0]])],
    "prod": [
        Corner(lambda x: x.prod(), [[0.0, 2, 3]], 1, [[6, 0, 0]]),
        Corner(lambda x: x.prod(), [[0.0, 0, 3]], 1, [[0, 0, 0]]),
    ],
    "logsumexp": [
        Corner(lambda x: x.logsumexp(1), [[[-inf, 0, 0], [1000, 1000, 0]]], 1,
               [[[0, 0.5, 0.5], [0.5, 0.5, 0]]])
    ],
    "rsqrt": [Corner(minigrad.rsqrt, [[0.0, 4, -1]], 1, [[-inf, -0.0625, nan]])],
    "reciprocal": [Corner(minigrad.reciprocal, [[0.0, 4]], 1, [[-inf, -0.0625]])],
}  # fmt: skip


@pytest.mark.parametrize("name", COMPOSED)
def test_corners_of_composed_functions(name, device):
    for corner in COMPOSED[name]:
        assert list(corner.differences(device)) == []


def test_second_derivative_of_pow_at_zero(device):
    for exponent, second in [(0, 0), (1, 0), (2, 2), (3, 0)]:
        x = make(device, np.array(0.0), requires_grad=True)
        (g,) = grad(x**exponent, x, create_graph=True)
        (gg,) = grad(g, x) if g.requires_grad else (x.detach() * 0,)
        assert arr(gg) == second, exponent


# ------------------------------------------------------------------------------ the objections


def objections(name: str, device: str = "cpu") -> list[str]:
    """Make every comparison that there is for an op's derivative; return what they object to."""
    return list(_objections(name, device))


def _objections(name, device):
    for i, sample in enumerate(SAMPLES[name]):
        try:
            if sample.ramp is None:
                gradcheck(sample.function, sample.tensors(device), order=2)
                gradcheck(sample.function, sample.tensors(device), mode="entries")
            else:
                yield from _differences_from_the_ramp(sample, device)
            yield from _dtypes(sample, device)
            yield from _needless_gradients(sample, device)
            yield from _layouts(sample, device)
        except Exception as error:  # an error is an objection, too
            yield f"sample {i}: {type(error).__name__}: {error}"
    for i, corner in enumerate(CORNERS.get(name, ())):
        try:
            yield from [f"corner {i}: {text}" for text in corner.differences(device)]
        except Exception as error:
            yield f"corner {i}: {type(error).__name__}: {error}"


def upstream_for(y, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(0.5, 1.5, y.shape).astype(y.dtype)


def gradients(sample, tensors, create_graph=False) -> list:
    y = sample.function(*tensors)
    wanted = [x for x in tensors if x.requires_grad]
    found = grad(y, wanted, make(y.device, upstream_for(y)), create_graph=create_graph,
                 allow_unused=True)  # fmt: skip
    return [np.zeros(x.shape, x.dtype) if g is None else arr(g) for x, g in zip(wanted, found)]


def _differences_from_the_ramp(sample, device):
    results = []
    for function in (sample.function, sample.ramp):
        xs = sample.tensors(device)
        y = function(*xs)
        gy = random_upstream(y.shape, np.random.default_rng(0))
        gy = make(device, gy, requires_grad=True)
        first = grad(y, xs, gy, create_graph=True)
        ones = [make(device, upstream_for(g, seed=1)) for g in first]
        second = grad(first, [*xs, gy], ones, allow_unused=True)
        results.append([arr(g) for g in (*grad(function(*xs), xs, gy), *first)])
        results[-1] += [0 if g is None else arr(g) for g in second]
    for one, other in zip(*results):
        if not np.allclose(one, other, rtol=1e-12):
            yield f"{one} and not, as for the ramp, {other}"


def _dtypes(sample, device):
    for create_graph in (False, True):
        for g in gradients(sample, sample.tensors(device, "float32"), create_graph):
            if g.dtype != "float32":
                yield f"a gradient of {g.dtype} for an input of float32"


def _needless_gradients(sample, device):
    """Whether the gradient of one input is the same when the others need none."""
    tensors = sample.tensors(device)
    together = gradients(sample, tensors)
    floating = [i for i, x in enumerate(tensors) if x.requires_grad]
    for one, expected in zip(floating, together):
        xs = [x if i == one else x.detach() for i, x in enumerate(tensors)]
        for create_graph in (False, True):
            (g,) = gradients(sample, xs, create_graph)
            if not np.allclose(g, expected, rtol=1e-10, atol=1e-12):
                yield f"input {one}: another gradient where the others need none"


def _layouts(sample, device):
    """Whether the gradients are the same for inputs and upstreams that lie otherwise in memory."""
    tensors = sample.tensors(device)
    expected = gradients(sample, tensors)
    for x in tensors:
        transposed = minigrad.backend.asarray_on(np.array(arr(x).T, order="C"), device)
        x.array = transposed.transpose()
    y = sample.function(*tensors)
    gy = make(device, np.array(upstream_for(y).T, order="C")).array.transpose()
    wanted = [x for x in tensors if x.requires_grad]
    found = grad(y, wanted, minigrad.Tensor(gy), allow_unused=True)
    for i, (g, e) in enumerate(zip(found, expected)):
        if not np.allclose(0 if g is None else arr(g), e, rtol=1e-10, atol=1e-12):
            yield f"input {i}: another gradient for transposed memory"
    y = sample.function(*tensors)
    one = make(device, np.full((1,) * y.ndim, 1.5))
    found = grad(y, wanted, minigrad.broadcast_to(one, y.shape), retain_graph=True,
                 allow_unused=True)  # fmt: skip
    full = grad(y, wanted, make(device, np.full(y.shape, 1.5)), allow_unused=True)
    for i, (g, e) in enumerate(zip(found, full)):
        if e is not None and not np.allclose(arr(g), arr(e), rtol=1e-10, atol=1e-12):
            yield f"input {i}: another gradient for a broadcast upstream"


@pytest.mark.parametrize("name", SAMPLES)
def test_gradients(name, device):
    assert objections(name, device) == []


# ------------------------------------------------------------ dtypes, memory, views, honesty


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", SAMPLES)
def test_dtype_is_kept(name, dtype, device):
    for sample in SAMPLES[name]:
        for create_graph in (False, True):
            tensors = sample.tensors(device, dtype)
            assert sample.function(*tensors).dtype == ("float64" if name == "Cast" else dtype)
            for g in gradients(sample, tensors, create_graph):
                assert g.dtype == dtype


@pytest.mark.parametrize("name", SAMPLES)
def test_half_precision_is_near_double(name, device):
    for sample in SAMPLES[name]:
        doubles = gradients(sample, sample.tensors(device))
        for dtype, rtol in (("float32", 1e-4), ("float16", 0.05)):
            for g, exact in zip(gradients(sample, sample.tensors(device, dtype)), doubles):
                scale = abs(exact).max(initial=1)
                np.testing.assert_allclose(g, exact, rtol=rtol, atol=rtol * scale)


@pytest.mark.parametrize("name", SAMPLES)
def test_nothing_is_recorded_without_need(name, device):
    for sample in SAMPLES[name]:
        tensors = [x.detach() for x in sample.tensors(device)]
        y = sample.function(*tensors)
        assert y.creator is None and not y.requires_grad
        with no_grad():
            z = sample.function(*sample.tensors(device))
        assert z.creator is None and not z.requires_grad
        np.testing.assert_array_equal(arr(y), arr(z))


@pytest.mark.parametrize("name", SAMPLES)
def test_inputs_and_upstream_are_left_as_they_are(name, device):
    for sample in SAMPLES[name]:
        for create_graph in (False, True):
            tensors = sample.tensors(device)
            y = sample.function(*tensors)
            gy = make(device, upstream_for(y))
            value = arr(y).copy()
            wanted = [x for x in tensors if x.requires_grad]
            grad(y, wanted, gy, create_graph=create_graph, allow_unused=True)
            np.testing.assert_array_equal(arr(gy), upstream_for(y))
            np.testing.assert_array_equal(arr(y), value)
            for x, a in zip(tensors, sample.arrays):
                np.testing.assert_array_equal(arr(x), a)


@pytest.mark.parametrize("name", [n for n in SAMPLES if n in OPS and not OPS[n].reads_inputs])
def test_ops_that_read_no_input_do_not_read_it(name, device):
    """``reads_inputs = False`` says that the inputs may be overwritten: so overwrite them."""
    for sample in SAMPLES[name]:
        for create_graph in (False, True):
            expected = gradients(sample, sample.tensors(device), create_graph)
            tensors = sample.tensors(device)
            y = sample.function(*tensors)
            value = arr(y).copy()
            gy = make(device, upstream_for(y))
            for x in tensors:
                x.array[...] = nan if x.requires_grad else ~x.array
            wanted = [x for x in tensors if x.requires_grad]
            found = grad(y, wanted, gy, create_graph=create_graph, allow_unused=True)
            for g, e in zip(found, expected):
                np.testing.assert_array_equal(0 * e if g is None else arr(g), e)
            if OPS[name].saves_output:
                np.testing.assert_array_equal(arr(y), value)


@pytest.fixture
def without_collector():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", SAMPLES)
def test_arrays_are_dropped(name, without_collector):
    """What backward needs is freed when it has run, and what it does not need is never kept.

    By counting references alone: a node is in no cycle.
    """
    for sample in SAMPLES[name]:
        leaves = sample.tensors("cpu")
        tensors = [x * 1 if x.requires_grad else x for x in leaves]
        arrays = [weakref.ref(x.array) for x in tensors if x.requires_grad]
        y = sample.function(*tensors)
        node, gy = y.creator, make("cpu", upstream_for(y))
        if not any(np.shares_memory(y.array, x.array) for x in tensors):
            output = weakref.ref(y.array)
            if not OPS[name].reads_inputs:
                del tensors
                assert all(array() is None for array in arrays)
            grad(y, [x for x in leaves if x.requires_grad], gy, allow_unused=True)
            tensors = y = None  # noqa: F841
            assert node.edges is None and node.inputs is None and not node.__dict__
            assert output() is None
            assert all(array() is None for array in arrays)


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", SAMPLES)
def test_views_say_so(name):
    """An output in the memory of an input shares its version count, or a change goes unseen."""
    if name == "ToDevice":
        return  # called only where the device differs, and then it copies
    for sample in SAMPLES[name]:
        tensors = sample.tensors("cpu")
        y = sample.function(*tensors)
        assert not any(np.shares_memory(y.array, x.array) for x in tensors[1:])
        if np.shares_memory(y.array, tensors[0].array):
            assert y._version is tensors[0]._version
        elif not OPS[name].is_view:
            assert y._version is not tensors[0]._version


@pytest.mark.parametrize("name", [n for n in SAMPLES if n in OPS and OPS[n].reads_inputs])
def test_a_changed_input_is_noticed(name, device):
    for sample in SAMPLES[name]:
        for i, a in enumerate(sample.arrays):
            if a.dtype.kind != "f":
                continue
            tensors = [x * 1 if x.requires_grad else x for x in sample.tensors(device)]
            y = sample.function(*tensors)
            with no_grad():
                tensors[i].mul_(2)
            with pytest.raises(RuntimeError, match="changed in place"):
                y.backward(make(device, upstream_for(y)))


def test_a_changed_output_is_noticed(device):
    for name in [n for n in SAMPLES if n in OPS and OPS[n].saves_output]:
        y = SAMPLES[name][0].function(*SAMPLES[name][0].tensors(device))
        with no_grad():
            y.mul_(2)
        with pytest.raises(RuntimeError, match="changed in place"):
            y.backward(make(device, upstream_for(y)))


@pytest.mark.parametrize("name", ["MatMul", "Linear", "Conv2d", "Conv2dInput", "Conv2dWeight"])
def test_costly_gradients_are_computed_only_where_needed(name, device):
    for sample in SAMPLES[name]:
        for i in range(len(sample.arrays)):
            tensors = [x if j == i else x.detach() for j, x in enumerate(sample.tensors(device))]
            y = sample.function(*tensors)
            found = y.creator.backward(make(device, upstream_for(y)))
            assert [g is not None for g in found] == [j == i for j in range(len(tensors))]


def test_gradient_comes_back_to_the_device_of_the_input(device, monkeypatch):
    if minigrad.backend.cupy is None:
        import fakecupy

        monkeypatch.setattr(minigrad.backend, "cupy", fakecupy.cupy)
    for here, there in (("cpu", "cuda"), ("cuda", "cpu")):
        x = make(here, normal(3), requires_grad=True)
        y = OPS["ToDevice"].apply(x, device=minigrad.device(there))
        assert y.device.type == there
        (g,) = grad(y * y, x, make(there, np.ones(3)), create_graph=True)
        assert g.device.type == here
        (gg,) = grad(g.sum(), x)
        np.testing.assert_array_equal(arr(gg), [2, 2, 2])


# ------------------------------------------------------------------------------- simple twins


def twins():
    F = minigrad.functions
    labels = minigrad.Tensor(LABELS)

    def on(device, t):
        return minigrad.Tensor(minigrad.backend.asarray_on(t.array, device))

    x, w, b = normal(4, 3, 2, 2), normal(3), normal(3)
    yield "BatchNorm", lambda *t: F.norm.batch_norm(*t)[0], F.norm.batch_norm_simple, (x, w, b)
    yield "BatchNorm", lambda *t: F.norm.batch_norm(*t)[0], F.norm.batch_norm_simple, (x, w)
    yield "BatchNorm", lambda *t: F.norm.batch_norm(*t)[0], F.norm.batch_norm_simple, (x,)
    yield (
        "SoftmaxCrossEntropy",
        lambda z: F.loss.softmax_cross_entropy(z, on(z.device, labels)),
        lambda z: F.loss.cross_entropy_simple(z, on(z.device, labels)),
        (normal(3, 4),),
    )
    yield (
        "SoftmaxCrossEntropy",
        lambda z: F.loss.softmax_cross_entropy(z, on(z.device, labels), mean=True),
        lambda z: F.loss.cross_entropy_simple(z, on(z.device, labels)).mean(),
        (normal(3, 4),),
    )
    yield (
        "Linear",
        minigrad.functions.linalg.linear,
        lambda x, w, b: x @ w.T + b,
        (
            normal(4, 3),
            normal(2, 3),
            normal(2),
        ),
    )
    yield (
        "Softmax",
        lambda x: x.softmax(1),
        lambda x: x.exp() / x.exp().sum(1, keepdim=True),
        (normal(3, 4),),
    )
    yield "LogSoftmax", lambda x: x.log_softmax(0), lambda x: x.softmax(0).log(), (normal(3, 4),)
    yield "Sigmoid", minigrad.sigmoid, lambda x: 1 / (1 + (-x).exp()), (normal(3, 4),)
    yield "Tanh", minigrad.tanh, lambda x: 2 / (1 + (-2 * x).exp()) - 1, (normal(3, 4),)


@pytest.mark.parametrize(
    ("name", "fused", "simple", "arrays"), [pytest.param(*t, id=t[0]) for t in twins()]
)
def test_fused_rule_equals_its_simple_twin(name, fused, simple, arrays, device):
    """In value, in the gradient (by both roads), and in the gradient's own gradient."""
    results = []
    for function in (fused, simple):
        xs = [make(device, a, requires_grad=True) for a in arrays]
        y = function(*xs)
        if function is fused:
            assert type(y.creator).__name__ == name
        else:
            assert not contains(y, name)
        gy = make(device, upstream_for(y), requires_grad=True)
        plain = grad(y, xs, gy.detach(), retain_graph=True)
        first = grad(y, xs, gy, create_graph=True)
        upstreams = [make(device, upstream_for(g, seed=1)) for g in first]
        second = grad(first, [*xs, gy], upstreams, allow_unused=True)
        second = [np.zeros(x.shape) if g is None else arr(g) for g, x in zip(second, [*xs, gy])]
        results.append([y, *plain, *first, *second])
    for one, other in zip(*results):
        np.testing.assert_allclose(arr(one), arr(other), rtol=1e-9, atol=1e-11)


def contains(y, name) -> bool:
    pending, seen = [y.creator], set()
    while pending:
        node = pending.pop()
        if node is None or isinstance(node, minigrad.Tensor) or node in seen:
            continue
        if type(node).__name__ == name:
            return True
        seen.add(node)
        pending += node.edges
    return False


# ---------------------------------------------------------------------------------- the mutants


class Mutants:
    """Wrong versions of one op, made by rule."""

    def __init__(self, name: str):
        self.op, self.samples = OPS[name], [sample.arrays for sample in SAMPLES[name]]
        self.inputs = sorted(
            {i for arrays in self.samples for i, a in enumerate(arrays) if a.dtype.kind == "f"}
        )
        shapes = [(s.function(*s.tensors("cpu")).shape, s.arrays) for s in SAMPLES[name]]
        self.keeps_shape = any(a.shape == shape for shape, arrays in shapes for a in arrays)

    def __iter__(self):
        """Yield (what is wrong, attribute to replace, the wrong method)."""
        for half in ("backward", "fast_backward"):
            method = inspect.getattr_static(self.op, half)
            if not callable(method):
                continue
            yield from self.named(half, self.results(method))
            if self.op.__name__ not in ZERO:
                yield from self.named(half, self.scalings(method))
                yield from self.named(half, self.upstreams(method))
            if half in self.op.__dict__:
                yield from self.named(half, self.formulas(method))

    def named(self, half, mutants):
        counts = {}
        for what, wrong in mutants:
            counts[what] = counts.get(what, 0) + 1
            again = f" ({counts[what]})" if counts[what] > 1 else ""
            yield f"{half}: {what}{again}", half, wrong

    def results(self, method):
        """Mistakes that return something else."""

        def passed_on(gs, gy):
            return [gy if g is not None and g.shape == gy.shape else g for g in gs]

        yield "constant added", all_of(method, lambda g: g + 0.01)
        yield "None", all_of(method, lambda g: None)
        if self.keeps_shape:
            yield "upstream passed on", changed(method, passed_on)

    def scalings(self, method):
        """Mistakes in what is returned: scaled, moved, dropped or exchanged."""
        yield "scaled by 1.01", all_of(method, lambda g: g * 1.01)
        yield "sign flipped", all_of(method, lambda g: -g)
        yield "zero", all_of(method, lambda g: g * 0.0)
        yield "rolled by one", all_of(method, rolled)
        yield "one entry dropped", all_of(method, without_largest)
        if any(is_square(arrays[i]) for arrays in self.samples for i in self.inputs[:1]):
            yield "transposed", all_of(method, transposed_if_square)
        if method is inspect.getattr_static(self.op, "backward"):
            yield "cut off from the graph", all_of(method, lambda g: g.detach())
        for i in self.inputs if len(self.inputs) > 1 else ():
            yield f"gradient {i} scaled by 1.01", only(i, method, lambda g: g * 1.01)
            yield f"gradient {i} zero", only(i, method, lambda g: g * 0.0)
            yield f"gradient {i} None", only(i, method, lambda g: None)
            if any(is_square(arrays[i]) for arrays in self.samples if i < len(arrays)):
                yield f"gradient {i} transposed", only(i, method, transposed_if_square)
            for j in self.inputs[: self.inputs.index(i)]:
                yield f"gradients {j} and {i} swapped", changed(method, swapped(i, j))

    def upstreams(self, method):
        """Mistakes in how the upstream gradient is used."""

        def given(change):
            return lambda node, gy: method(node, change(gy))

        yield "upstream ignored", given(lambda gy: gy * 0.0 + 1.0)
        yield "upstream used twice", given(lambda gy: gy * gy)
        yield "upstream summed", given(lambda gy: gy * 0.0 + gy.sum())
        yield "upstream rolled", given(rolled)
        yield "upstream positive", given(abs)

    def formulas(self, method):
        """Mistakes in the formula: its source with one term, factor, sign or choice changed."""
        source = textwrap.dedent(inspect.getsource(method))
        for place, node in enumerate(ast.walk(ast.parse(source))):
            for what, replacement in slips(node):
                tree = ast.parse(source)
                nodes = list(ast.walk(tree))
                around = [
                    n for n in nodes if isinstance(n, ast.stmt) and nodes[place] in ast.walk(n)
                ]
                what = f"{what} in '{ast.unparse(around[-1])}'"
                Replace(nodes[place], replacement).visit(tree)
                code = compile(ast.fix_missing_locations(tree), f"<mutant: {what}>", "exec")
                namespace = {}
                exec(code, method.__globals__, namespace)
                yield what, namespace[method.__name__]


def changed(method, change):
    """Return a method that gives what `method` gives, changed."""

    def wrong(node, gy):
        found = method(node, gy)
        return tuple(change([*found] if isinstance(found, tuple) else [found], gy))

    return wrong


def all_of(method, change):
    return changed(method, lambda gs, gy: [None if g is None else change(g) for g in gs])


def only(i, method, change):
    return changed(
        method,
        lambda gs, gy: [change(g) if j == i and g is not None else g for j, g in enumerate(gs)],
    )


def swapped(i, j):
    def change(gs, gy):
        if i < len(gs) and j < len(gs):
            gs[i], gs[j] = gs[j], gs[i]
        return gs

    return change


def slips(node) -> list:
    """Return the (description, new node) of every slip of the pen at one place of a formula."""
    text = ast.unparse(node)
    found = []
    if isinstance(node, ast.BinOp):
        left, right = node.left, node.right
        if isinstance(node.op, (ast.Add, ast.Sub, ast.Mult, ast.Div)):
            other = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult}
            found = [left, right, ast.BinOp(left, other[type(node.op)](), right)]
        elif isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            found = [left, right]
    elif isinstance(node, ast.UnaryOp) and not isinstance(node.operand, ast.Constant):
        found = [node.operand]  # -x, ~x, not x
    elif isinstance(node, ast.Compare):
        inverse = {ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Lt: ast.GtE, ast.Gt: ast.LtE}
        ends = {ast.Lt: ast.LtE, ast.Gt: ast.GtE, ast.LtE: ast.Lt, ast.GtE: ast.Gt}
        for others in (inverse, ends):
            if type(node.ops[0]) in others:
                other = others[type(node.ops[0])]()
                found.append(ast.Compare(node.left, [other], node.comparators))
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        found = [ast.Constant(node.value + 1)]
    elif isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        found = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr not in ("astype", "tolist", "detach"):
            found = [node.func.value]  # x for x.sum(...)
    elif isinstance(node, ast.IfExp):
        found = [node.orelse]
    return [(f"'{ast.unparse(other)}' for '{text}'", other) for other in found]


class Replace(ast.NodeTransformer):
    def __init__(self, target, replacement):
        self.target, self.replacement = target, replacement

    def visit(self, node):
        return self.replacement if node is self.target else self.generic_visit(node)


def rolled(g):
    """The entries moved by one place, by the means of tensors and arrays alike."""
    flat = g.reshape(-1)
    if isinstance(g, minigrad.Tensor):
        return minigrad.cat([flat[1:], flat[:1]]).reshape(g.shape) if flat.shape[0] > 1 else g
    return np.roll(flat, -1).reshape(g.shape)


def without_largest(g):
    size = abs(arr(g))
    keep = (size < size.max(initial=0)).astype(size.dtype)
    return g * (minigrad.Tensor(keep) if isinstance(g, minigrad.Tensor) else keep)


def is_square(g) -> bool:
    return g.ndim >= 2 and g.shape[-1] == g.shape[-2] > 1


def transposed_if_square(g):
    if not is_square(g):
        return g
    return g.mT if isinstance(g, minigrad.Tensor) else g.swapaxes(-1, -2)


# The gradient of these ops is zero, and scaled or moved it still is.
ZERO = ("Step", "RoundedDiv")

# Changes that leave an op right. Nothing else may survive.
EQUIVALENT: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("Shift", "Clone", "Cast"), ("upstream passed on",)),  # they do
    "Add": ("upstream passed on", "gradients 0 and 1 swapped"),  # which are equal
    "Concat": ("upstream passed on",),  # where there is one input
    "Pow": ("'1.0' for '0.0' in 'ga =",),  # 0 * a ** 1 = 0 * a ** 0
    "ToDevice": ("upstream passed on", "'gy' for 'gy.to("),  # on one device
    "Amax": ("'ties' for 'ties.to(gy.dtype)'",),  # true counts as 1
    "BinaryCrossEntropy": (
        "'101' for '100'",  # cut off at -100 in another place, too
        "'ln_q' for 'ln_q.clamp(min=-100)'",  # 1 - p is 0 or above 1e-17
        "for 'p.masked_fill(p == 0, 1)'",  # what is written there is overwritten
        "for 'p.masked_fill(p == 1, 0)'",
        *("'2' for '1' in 'ln_p", "'1' for '0' in 'ln_p", "'2' for '1' in 'ln_q"),
        "'1' for '0' in 'ln_q",
    ),
}


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", [n for n in SAMPLES if n in OPS])
def test_planted_mistakes_are_found(name, monkeypatch):
    monkeypatch.setattr(minigrad.gradcheck.differences, "_ENOUGH", 1)  # one is enough here
    survivors, mutants = [], list(Mutants(name))
    for what, half, wrong in mutants:
        with monkeypatch.context() as patch, np.errstate(all="ignore"):
            patch.setattr(OPS[name], half, wrong)
            if next(_objections(name, "cpu"), None) is None:
                survivors.append(what)
    print(f"{name}: {len(mutants)} mistakes planted, {len(survivors)} not found: {survivors}")
    excused = EQUIVALENT.get(name, ())
    assert [s for s in survivors if not any([part in s for part in excused])] == []
