"""Right backward passes in circumstances that have fooled gradient checkers.

Kinks and ties, huge and tiny numbers, cancellation, empty and 0-d arrays, odd layouts, labels and
masks, every way to return gradients. `diagnose` must pass them all, whatever the seed.
"""

from __future__ import annotations

import numpy as np
from planted import onehot, sigmoid, softmax

RIGHT: dict[str, tuple] = {}


def right(name, forward, backward, inputs):
    """Add a case; `inputs` maps a random generator to the list of inputs."""
    RIGHT[name] = (forward, backward, inputs)


def normal(*shapes, scale=1.0):
    return lambda rng: [scale * rng.standard_normal(shape) for shape in shapes]


def relu(x):
    return np.maximum(x, 0)


# ------------------------------------------------------------------------------ kinks and ties


def some_zero(rng):
    x = rng.standard_normal((4, 5))
    x[rng.random((4, 5)) < 0.2] = 0
    return [x]


for convention, at_zero in (("0", 0.0), ("1/2", 0.5), ("1", 1.0)):
    right(
        f"relu with zeros, {convention} there",
        relu,
        lambda gy, x, at_zero=at_zero: gy * np.where(x == 0, at_zero, x > 0),
        some_zero,
    )
right("abs with zeros", np.abs, lambda gy, x: gy * np.sign(x), some_zero)
right("relu near zero", relu, lambda gy, x: gy * (x > 0), normal((5, 4), scale=1e-5))
right("sign, flat nearly everywhere", np.sign, lambda gy, x: np.zeros_like(x), normal((3, 4)))
right(
    "max with ties",
    lambda x: x.max(axis=1),
    lambda gy, x: (
        gy[:, None]
        * (x == x.max(axis=1, keepdims=True))
        / (x == x.max(axis=1, keepdims=True)).sum(axis=1, keepdims=True)
    ),
    lambda rng: [rng.integers(0, 4, (5, 4)).astype(float)],
)
right(
    "max with ties, all get it",
    lambda x: x.max(axis=1),
    lambda gy, x: gy[:, None] * (x == x.max(axis=1, keepdims=True)),
    lambda rng: [rng.integers(0, 4, (5, 4)).astype(float)],
)
right(
    "median of three",
    lambda x: np.median(x, axis=1),
    lambda gy, x: gy[:, None] * (x == np.median(x, axis=1)[:, None]),
    normal((4, 3)),
)
right(
    "clip, some at the ends",
    lambda x: np.clip(x, -1, 1),
    lambda gy, x: gy * (abs(x) <= 1),
    lambda rng: [np.round(2 * rng.standard_normal((4, 5)))],
)
right(
    "l1 with equal entries",
    lambda p, t: abs(p - t).sum(),
    lambda gy, p, t: (gy * np.sign(p - t), -gy * np.sign(p - t)),
    lambda rng: [
        rng.integers(0, 3, (4, 3)).astype(float),
        rng.integers(0, 3, (4, 3)).astype(float),
    ],
)
right(
    "sqrt with a zero",
    np.sqrt,
    lambda gy, x: gy / (2 * np.sqrt(x)),
    lambda rng: [np.append(rng.uniform(0.5, 2, 6), 0.0)],
)
right(
    "norm of a zero row",
    lambda x: np.sqrt((x * x).sum(axis=1)),
    lambda gy, x: gy[:, None] * x / np.sqrt((x * x).sum(axis=1, keepdims=True)),
    lambda rng: [np.concatenate([rng.standard_normal((3, 4)), np.zeros((1, 4))])],
)
right("cube at zero", lambda x: x**3, lambda gy, x: gy * 3 * x**2, some_zero)
right("cube of one zero", lambda x: x**3, lambda gy, x: gy * 3 * x**2, lambda rng: [np.zeros(1)])

# ------------------------------------------------------------------------------------- scales

for power in (-12, -6, -3, 3, 6, 9):
    size = 10.0**power
    right(
        f"mul, 1e{power}",
        lambda a, b: a * b,
        lambda gy, a, b: (gy * b, gy * a),
        normal((3, 4), (3, 4), scale=size),
    )
    right(
        f"square, 1e{power}", lambda x: x * x, lambda gy, x: 2 * gy * x, normal((3, 4), scale=size)
    )
    right(
        f"log, 1e{power}",
        np.log,
        lambda gy, x: gy / x,
        lambda rng, size=size: [size * rng.uniform(0.5, 2, (3, 4))],
    )
    right(
        f"reciprocal, 1e{power}",
        lambda x: 1 / x,
        lambda gy, x: -gy / x**2,
        lambda rng, size=size: [size * rng.uniform(0.5, 2, (3, 4))],
    )
    right(
        f"loss times 1e{power}",
        lambda x, size=size: size * (np.tanh(x) ** 2).mean(),
        lambda gy, x, size=size: gy * size * 2 * np.tanh(x) * (1 - np.tanh(x) ** 2) / x.size,
        normal((3, 4)),
    )
right(
    "entries of all sizes",
    np.log,
    lambda gy, x: gy / x,
    lambda rng: [10.0 ** rng.uniform(-6, 6, (4, 5))],
)
right(
    "a small bias",
    lambda x, b: np.tanh(x + b),
    lambda gy, x, b: (gy * (1 - np.tanh(x + b) ** 2), (gy * (1 - np.tanh(x + b) ** 2)).sum(axis=0)),
    lambda rng: [rng.standard_normal((4, 3)), 1e-9 * rng.standard_normal(3)],
)
right(
    "a zero bias",
    lambda x, b: x * np.exp(b),
    lambda gy, x, b: (gy * np.exp(b), (gy * x * np.exp(b)).sum(axis=0)),
    lambda rng: [rng.standard_normal((4, 3)), np.zeros(3)],
)
right("exp of large", np.exp, lambda gy, x: gy * np.exp(x), normal((3, 4), scale=20))
right(
    "saturated sigmoid",
    sigmoid,
    lambda gy, x: gy * sigmoid(x) * sigmoid(-x),
    normal((3, 4), scale=30),
)
right("saturated tanh", np.tanh, lambda gy, x: gy / np.cosh(x) ** 2, normal((3, 4), scale=10))
right(
    "softmax of large logits",
    softmax,
    lambda gy, x: softmax(x) * (gy - (gy * softmax(x)).sum(axis=-1, keepdims=True)),
    normal((3, 5), scale=30),
)
right(
    "cross-entropy of large logits",
    lambda x, t: (np.logaddexp.reduce(x, axis=1) - x[np.arange(len(x)), t]).mean(),
    lambda gy, x, t: gy * (softmax(x) - onehot(t, 5)) / len(x),
    lambda rng: [100 * rng.standard_normal((4, 5)), rng.integers(0, 5, 4)],
)
right(
    "cancellation: variance of a large mean",
    lambda x: x.var(axis=0),
    lambda gy, x: gy * 2 * (x - x.mean(axis=0)) / len(x),
    lambda rng: [1e4 + rng.standard_normal((5, 3))],
)
right(
    "cancellation: a large number added and taken away",
    lambda x: (np.sin(x) + 1e8) - 1e8,
    lambda gy, x: gy * np.cos(x),
    normal((3, 4)),
)
right(
    "batch norm of a narrow batch",
    lambda x: (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5),
    lambda gy, x: (lambda s, h: (gy - gy.mean(axis=0) - h * (gy * h).mean(axis=0)) / s)(
        np.sqrt(x.var(axis=0) + 1e-5), (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5)
    ),
    lambda rng: [3 + 0.01 * rng.standard_normal((6, 3))],
)
right(
    "many summands",
    lambda x: x.sum(),
    lambda gy, x: np.full(x.shape, gy),
    normal((30, 20), scale=1e3),
)

# ----------------------------------------------------------------------------- shapes, layouts

right(
    "0-d",
    lambda a, b: a * b,
    lambda gy, a, b: (gy * b, gy * a),
    lambda rng: [np.array(rng.standard_normal()), np.array(1.5)],
)
right(
    "NumPy scalars",
    lambda a, b: a * b,
    lambda gy, a, b: (gy * b, gy * a),
    lambda rng: [np.float64(2.0), np.float64(rng.standard_normal())],
)
right(
    "a Python float alone",
    lambda x: x**2,
    lambda gy, x: 2 * gy * x,
    lambda rng: [float(rng.standard_normal())],
)
right(
    "a Python float as a result",
    lambda x: float((x**2).sum()),
    lambda gy, x: 2 * gy * x,
    normal((3, 2)),
)
right("empty", lambda x: x * 2, lambda gy, x: gy * 2, lambda rng: [np.zeros((0, 3))])
right(
    "empty sum",
    lambda x: x.sum(),
    lambda gy, x: np.full(x.shape, gy),
    lambda rng: [np.zeros((0, 3))],
)
right(
    "one empty input",
    lambda a, b: np.concatenate([a, b]),
    lambda gy, a, b: (gy[:0], gy),
    lambda rng: [np.zeros(0), rng.standard_normal(4)],
)
right(
    "axes of length 1",
    lambda x: x.sum(axis=(0, 2), keepdims=True),
    lambda gy, x: np.broadcast_to(gy, x.shape),
    normal((1, 3, 1)),
)
right(
    "keepdims",
    lambda x: x.mean(axis=1, keepdims=True),
    lambda gy, x: np.repeat(gy, x.shape[1], axis=1) / x.shape[1],
    normal((3, 4)),
)
right("a transposed gradient", lambda x: x.T, lambda gy, x: gy.T, normal((3, 4)))
right(
    "a view of the upstream",
    lambda x: x[1:],
    lambda gy, x: np.concatenate([np.zeros((1, 4)), gy]),
    normal((3, 4)),
)
right(
    "Fortran order",
    lambda x: x * 3,
    lambda gy, x: np.asfortranarray(gy * 3),
    lambda rng: [np.asfortranarray(rng.standard_normal((3, 4)))],
)
right(
    "strided input",
    lambda x: x * x,
    lambda gy, x: 2 * x * gy,
    lambda rng: [rng.standard_normal((6, 8))[::2, ::-2]],
)
right(
    "float32 input",
    lambda x: x * x,
    lambda gy, x: 2 * x * gy,
    lambda rng: [rng.standard_normal((3, 4)).astype(np.float32)],
)
right(
    "five axes",
    lambda x: np.tanh(x).sum(axis=(1, 3)),
    lambda gy, x: gy[:, None, :, None] * (1 - np.tanh(x) ** 2),
    normal((2, 2, 2, 2, 2)),
)
right(
    "an input that is not used",
    lambda a, b: a * 2,
    lambda gy, a, b: (gy * 2, np.zeros_like(b)),
    normal((3,), (2,)),
)
right(
    "None for an input that is not used",
    lambda a, b: a * 2,
    lambda gy, a, b: (gy * 2, None),
    normal((3,), (2,)),
)
right("constant", lambda x: np.ones(3), lambda gy, x: np.zeros_like(x), normal((3, 4)))
right(
    "softmax sums to one",
    lambda x: softmax(x).sum(),
    lambda gy, x: np.zeros_like(x),
    normal((3, 4)),
)

# --------------------------------------------------------------------- constants, and returns


def labelled(rng):
    return [rng.standard_normal((5, 3)), rng.integers(0, 3, 5)]


def picked(x, t):
    return x[np.arange(len(x)), t]


def scatter(gy, x, t):
    g = np.zeros_like(x)
    g[np.arange(len(x)), t] = gy
    return g


right("labels: left out", picked, scatter, labelled)
right("labels: a tuple of one", picked, lambda *a: (scatter(*a),), labelled)
right("labels: None", picked, lambda *a: (scatter(*a), None), labelled)
right("labels: zeros", picked, lambda gy, x, t: [scatter(gy, x, t), np.zeros(t.shape)], labelled)
right(
    "indices first",
    lambda i, w: w[i],
    lambda gy, i, w: np.array([(gy * (i == k)[:, None]).sum(axis=0) for k in range(len(w))]),
    lambda rng: [rng.integers(0, 4, 6), rng.standard_normal((4, 2))],
)
right(
    "indices first: None",
    lambda i, w: w[i],
    lambda gy, i, w: (
        None,
        np.array([(gy * (i == k)[:, None]).sum(axis=0) for k in range(len(w))]),
    ),
    lambda rng: [rng.integers(0, 4, 6), rng.standard_normal((4, 2))],
)
right(
    "a mask between",
    lambda a, m, b: np.where(m, a, b),
    lambda gy, a, m, b: (gy * m, gy * ~m),
    lambda rng: [rng.standard_normal(5), rng.random(5) < 0.5, rng.standard_normal(5)],
)
right(
    "a mask between: None",
    lambda a, m, b: np.where(m, a, b),
    lambda gy, a, m, b: [gy * m, None, gy * ~m],
    lambda rng: [rng.standard_normal(5), rng.random(5) < 0.5, rng.standard_normal(5)],
)
right(
    "an axis",
    lambda x, axis: x.sum(axis=axis),
    lambda gy, x, axis: np.expand_dims(gy, axis) + 0 * x,
    lambda rng: [rng.standard_normal((3, 4)), 1],
)
right(
    "a rate left out",
    lambda x, p: x / (1 - p),
    lambda gy, x, p: gy / (1 - p),
    lambda rng: [rng.standard_normal((3, 4)), 0.2],
)
right(
    "a rate with None",
    lambda x, p: x / (1 - p),
    lambda gy, x, p: (gy / (1 - p), None),
    lambda rng: [rng.standard_normal((3, 4)), 0.2],
)
right(
    "a rate with a gradient",
    lambda x, p: x / (1 - p),
    lambda gy, x, p: (gy / (1 - p), (gy * x).sum() / (1 - p) ** 2),
    lambda rng: [rng.standard_normal((3, 4)), 0.2],
)
right("lists of numbers", lambda x: x * 2, lambda gy, x: [float(g) * 2 for g in gy], normal((3,)))
right("nested lists", lambda x: x * 2, lambda gy, x: (2 * gy).tolist(), normal((3, 2)))
right(
    "a Python number",
    lambda x: (x * 2).sum(),
    lambda gy, x: float(2 * gy),
    lambda rng: [np.array(1.5)],
)
right(
    "stacked",
    lambda a, b: a * b,
    lambda gy, a, b: np.stack([gy * b, gy * a]),
    normal((3, 2), (3, 2)),
)
right(
    "two lists",
    lambda a, b: a * b,
    lambda gy, a, b: [(gy * b).tolist(), (gy * a).tolist()],
    normal((2,), (2,)),
)
right("a matrix of NumPy", lambda x: x * 2, lambda gy, x: np.ma.asarray(gy * 2), normal((3, 2)))
right(
    "gradients of integers",
    lambda x: x.sum(),
    lambda gy, x: np.full(x.shape, gy),
    lambda rng: [rng.integers(0, 5, (3, 2)).astype(float)],
)


class Cached:
    """A layer that keeps what backward needs, as learners write it."""

    def forward(self, x, w):
        self.x, self.h = x, np.maximum(x @ w, 0)
        return self.h

    def backward(self, gy, x, w):
        g = gy * (self.h > 0)
        return g @ w.T, self.x.T @ g


CACHED = Cached()
right("state kept by forward", CACHED.forward, CACHED.backward, normal((3, 4), (4, 2)))
right(
    "attention with a causal mask",
    lambda q, k: softmax(np.where(np.tri(4, dtype=bool), q @ k.T, -np.inf)),
    lambda gy, q, k: (
        lambda a: (lambda s: (s @ k, s.T @ q))(a * (gy - (gy * a).sum(axis=1, keepdims=True)))
    )(softmax(np.where(np.tri(4, dtype=bool), q @ k.T, -np.inf))),
    normal((4, 3), (4, 3)),
)
