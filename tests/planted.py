"""Backward passes as learners write them, right ones, and the mistakes that learners make.

Each `Op` holds a forward function, a right backward pass as source text, and mistakes: pieces of
that text with what a learner might have written instead, and the words of which the diagnosis must
say one. ``tests/test_diagnose_planted.py`` runs `diagnose` over all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from textwrap import dedent

import numpy as np

from minigrad.gradcheck import diagnose


@dataclass(frozen=True)
class Mistake:
    """What a learner wrote: for each piece of the right text, the wrong one; and the right words.

    Without words there is no short name for the mistake: it must be found, and not be given a name.
    """

    what: str
    pieces: tuple[tuple[str, str], ...]
    words: tuple[str, ...]


@dataclass
class Op:
    """One forward function with a right backward pass and mistakes."""

    name: str
    forward: Callable
    backward: str
    inputs: Callable[[np.random.Generator], list]
    names: tuple[str, ...]
    sizes: dict = field(default_factory=dict)
    terms: Callable | None = None
    wrong: Callable | None = None
    mistakes: list[Mistake] = field(default_factory=list)

    def mistake(self, what: str, *pieces, words=()) -> Op:
        """Add a mistake; pieces are old, new, old, new, ..."""
        pairs = tuple(zip(pieces[::2], pieces[1::2]))
        words = (words,) if isinstance(words, str) else tuple(words)
        self.mistakes.append(Mistake(what, pairs, words))
        return self

    def compiled(self, mistake: Mistake | None = None) -> Callable:
        text = dedent(self.backward)
        for old, new in mistake.pieces if mistake else ():
            assert old in text, f"{self.name}: {old!r} is not in the backward pass"
            text = text.replace(old, new)
        space = {"np": np, **HELPERS}
        exec(compile(text, f"<{self.name}>", "exec"), space)
        return space["backward"]

    def diagnose(self, mistake: Mistake | None = None, seed: int = 0, hints: bool = True):
        extra = dict(sizes=self.sizes, terms=self.terms, wrong=self.wrong) if hints else {}
        inputs = self.inputs(np.random.default_rng(seed))
        backward = self.compiled(mistake)
        return diagnose(self.forward, backward, inputs, names=self.names, seed=seed, **extra)


OPS: dict[str, Op] = {}


def op(name, forward, backward, inputs, names, **options) -> Op:
    OPS[name] = Op(name, forward, backward, inputs, tuple(names.split()), **options)
    return OPS[name]


def all_mistakes() -> Iterator[tuple[Op, Mistake]]:
    for found in OPS.values():
        for mistake in found.mistakes:
            yield found, mistake


# ------------------------------------------------------------------------------------- helpers


def normal(*shapes):
    return lambda rng: [rng.standard_normal(shape) for shape in shapes]


def positive(*shapes):
    return lambda rng: [rng.uniform(0.5, 2, shape) for shape in shapes]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis=-1):
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def onehot(labels, classes):
    return np.eye(classes)[labels]


def conv(x, w, b):
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], axis=(2, 3))
    return np.einsum("ncijkl,fckl->nfij", windows, w) + b.reshape(1, -1, 1, 1)


def padded_conv(x, w):
    return conv(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))), w, np.zeros(len(w)))


def pool(x):
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max(axis=(3, 5))


def rnn(x, h, wx, wh):
    for t in range(len(x)):
        h = np.tanh(x[t] @ wx + h @ wh)
    return h


def rnn_states(x, h, wx, wh):
    states = [h]
    for t in range(len(x)):
        states.append(np.tanh(x[t] @ wx + states[-1] @ wh))
    return np.stack(states[1:])


def attention(q, k, v):
    return softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.shape[-1])) @ v


HELPERS = dict(sigmoid=sigmoid, softmax=softmax, onehot=onehot)

# --------------------------------------------------------------------------------- element-wise

op(
    "add",
    lambda a, b: a + b,
    """
    def backward(gy, a, b):
        return gy, gy
    """,
    normal((3, 4), (3, 4)),
    "a b",
    sizes=dict(N=3, D=4),
).mistake("ones", "gy, gy", "np.ones_like(a), np.ones_like(b)", words="upstream").mistake(
    "as in mul", "gy, gy", "gy * b, gy * a", words=("b times", "factor b")
).mistake("one alone", "gy, gy", "gy", words="gradients instead of").mistake(
    "sub's", "gy, gy", "gy, -gy", words="sign"
).mistake("sums", "gy, gy", "gy.sum(axis=0), gy", words="summed over axis 0").mistake(
    "a mean", "gy, gy", "gy / len(a), gy", words=("3 times too small", "N times too small", "len")
)

op(
    "add_bias",
    lambda x, b: x + b,
    """
    def backward(gy, x, b):
        return gy, gy.sum(axis=0)
    """,
    normal((5, 4), (4,)),
    "x b",
    sizes=dict(N=5, D=4),
).mistake("no sum", "gy.sum(axis=0)", "gy", words="sum over axis 0").mistake(
    "mean",
    "gy.sum(axis=0)",
    "gy.mean(axis=0)",
    words=("5 times too small", "N times too small", "x.shape[0] times too small"),
).mistake("other axis", "gy.sum(axis=0)", "gy.sum(axis=1)", words=("axis 1", "shape")).mistake(
    "kept", "gy.sum(axis=0)", "gy.sum(axis=0, keepdims=True)", words=("keepdims", "length 1")
).mistake("first row", "gy.sum(axis=0)", "gy[0]", words=("first",)).mistake(
    "everything", "gy.sum(axis=0)", "np.full(4, gy.sum())", words=("summed",)
).mistake("counts", "gy.sum(axis=0)", "np.full(4, 5.0)", words="upstream")

op(
    "sub",
    lambda a, b: a - b,
    """
    def backward(gy, a, b):
        return gy, -gy
    """,
    normal((2, 5), (2, 5)),
    "a b",
).mistake("no sign", "-gy", "gy", words="sign").mistake(
    "both signs", "gy, -gy", "-gy, gy", words=("swapped", "sign")
)

op(
    "mul",
    lambda a, b: a * b,
    """
    def backward(gy, a, b):
        return gy * b, gy * a
    """,
    normal((3, 4), (3, 4)),
    "a b",
    terms=lambda gy, inputs: [{"gy * b": gy * inputs[1]}, {"gy * a": gy * inputs[0]}],
    wrong=lambda gy, inputs: [
        {"gy * a: each factor's gradient is the other factor": gy * inputs[0]},
        {"gy * b: each factor's gradient is the other factor": gy * inputs[1]},
    ],
).mistake("swapped", "gy * b, gy * a", "gy * a, gy * b", words=("swapped", "other factor")).mistake(
    "upstream forgotten", "gy * b, gy * a", "b, a", words="upstream gradient is ignored"
).mistake(
    "upstream forgotten once", "gy * a", "a.copy()", words="upstream gradient is ignored"
).mistake("squared upstream", "gy * b", "gy * gy * b", words="used twice").mistake(
    "sum rule", "gy * b, gy * a", "gy, gy", words=("factor b",)
).mistake("product", "gy * b", "gy * a * b", words=("a times", "factor a")).mistake(
    "in place", "return gy * b, gy * a", "gy *= b; return gy, gy / b * a", words="in place"
).mistake("None", "gy * b,", "None,", words="None").mistake(
    "zero", "gy * b,", "np.zeros_like(a),", words="all zero"
).mistake("negative", "gy * a", "-gy * a", words="sign").mistake(
    "float32", "gy * a", "(gy * a).astype(np.float32)", words="float32"
).mistake("abs", "gy * a", "gy * abs(a)", words=("sign(a)", "a < 0")).mistake(
    "abs of the upstream", "gy * a", "abs(gy) * a", words="linear"
).mistake("total", "gy * a", "gy.sum() * a", words="summed").mistake(
    "integers", "gy * a", "(gy * a).astype(int)", words="whole numbers"
)

op(
    "square",
    lambda x: x * x,
    """
    def backward(gy, x):
        return 2 * x * gy
    """,
    normal((3, 4)),
    "x",
).mistake("no 2", "2 * x", "x", words="factor 2 is missing").mistake(
    "no x", "2 * x", "2", words=("1/x", "x missing")
).mistake("x squared", "2 * x", "2 * x**2", words=("x times", "factor x")).mistake(
    "sign", "2 * x", "-2 * x", words="sign"
).mistake("cube's", "2 * x", "3 * x", words=("1.5 times", "3/2")).mistake(
    "no upstream", " * gy", "", words="upstream"
)

op(
    "div",
    lambda a, b: a / b,
    """
    def backward(gy, a, b):
        return gy / b, -gy * a / b**2
    """,
    lambda rng: [rng.standard_normal((3, 4)), rng.uniform(0.5, 2, (3, 4))],
    "a b",
).mistake("no sign", "-gy", "gy", words="sign").mistake(
    "no square", "b**2", "b", words=("b times", "factor b")
).mistake("no a", "-gy * a", "-gy", words=("1/a", "a missing")).mistake(
    "times", "gy / b,", "gy * b,", words="b**2"
).mistake("cube", "b**2", "b**3", words=("1/b", "b missing")).mistake(
    "swapped", "gy / b, -gy * a / b**2", "-gy * a / b**2, gy / b", words="swapped"
).mistake("bare", "gy / b,", "gy.copy(),", words=("b times", "1/b"))

op(
    "pow",
    lambda x: x**3,
    """
    def backward(gy, x):
        return gy * 3 * x**2
    """,
    normal((2, 5)),
    "x",
).mistake("exponent kept", "x**2", "x**3", words=("x times", "factor x")).mistake(
    "no factor", "3 * ", "", words=("factor 3", "3 times")
).mistake("wrong factor", "3 * ", "2 * ", words=("0.666667", "2/3", "3/2", "1.5"))

op(
    "pow_both",
    lambda a, b: a**b,
    """
    def backward(gy, a, b):
        return gy * b * a**(b - 1), gy * a**b * np.log(a)
    """,
    lambda rng: [rng.uniform(0.5, 2, (3, 4)), rng.uniform(1, 3, (3, 4))],
    "a b",
).mistake("no log", " * np.log(a)", "", words="log(a)").mistake(
    "log of b", "np.log(a)", "np.log(b)", words="log(b)"
).mistake("no b", "gy * b *", "gy *", words=("b missing", "factor b")).mistake(
    "exponent kept", "a**(b - 1)", "a**b", words=("a times", "factor a")
)

op(
    "exp",
    np.exp,
    """
    def backward(gy, x):
        return gy * np.exp(x)
    """,
    normal((3, 4)),
    "x",
).mistake("bare", " * np.exp(x)", "", words="factor y").mistake(
    "x exp(x - 1)", "np.exp(x)", "x * np.exp(x - 1)", words="factor x"
).mistake(
    "twice", "np.exp(x)", "np.exp(x)**2", words=("y times", "factor y", "exp(x) times")
).mistake("times x", "gy * ", "gy * x * ", words=("x times", "factor x")).mistake(
    "of y", "np.exp(x)", "np.exp(np.exp(x))", words="gy * exp(y)"
)

op(
    "log",
    np.log,
    """
    def backward(gy, x):
        return gy / x
    """,
    positive((3, 4)),
    "x",
).mistake("times", "gy / x", "gy * x", words="x**2").mistake(
    "of y", "/ x", "/ np.log(x)", words=("log(x)", "y missing", "x/y", "y")
).mistake("squared", "/ x", "/ x**2", words=("1/x", "x missing")).mistake(
    "sign", "gy / x", "-gy / x", words="sign"
)

op(
    "sqrt",
    np.sqrt,
    """
    def backward(gy, x):
        return gy / (2 * np.sqrt(x))
    """,
    positive((3, 4)),
    "x",
).mistake("no 2", "2 * ", "", words=("2 times", "1/2")).mistake(
    "half too many", "2 * ", "0.5 * ", words=("4 times",)
).mistake("no root", "np.sqrt(x)", "x", words=("y", "sqrt(x)"))

op(
    "tanh",
    np.tanh,
    """
    def backward(gy, x):
        y = np.tanh(x)
        return gy * (1 - y**2)
    """,
    normal((3, 4)),
    "x",
).mistake("x for y", "y**2", "x**2", words=("1 - x**2",)).mistake(
    "no square", "y**2", "y", words=("1 + y",)
).mistake("sigmoid's", "(1 - y**2)", "y * (1 - y)", words=("sigmoid", "y*(1 - y)")).mistake(
    "plus", "1 - y", "1 + y", words=("1 + y**2",)
).mistake("bare", " * (1 - y**2)", "", words="factor (1 - y**2)").mistake(
    "sign", "1 - y**2", "y**2 - 1", words="sign"
)

op(
    "sigmoid",
    sigmoid,
    """
    def backward(gy, x):
        y = sigmoid(x)
        return gy * y * (1 - y)
    """,
    normal((3, 4)),
    "x",
).mistake("x for y", "y * (1 - y)", "x * (1 - x)", words=("x*(1 - x)",)).mistake(
    "half", " * (1 - y)", "", words="factor (1 - y)"
).mistake("other half", "y * (1 - y)", "(1 - y)", words="factor y").mistake(
    "tanh's", "y * (1 - y)", "(1 - y**2)", words=("1 - y**2", "tanh", "y")
).mistake("sign", "(1 - y)", "(y - 1)", words="sign").mistake(
    "bare", " * y * (1 - y)", "", words="factor (y*(1 - y))"
)

op(
    "relu",
    lambda x: np.maximum(x, 0),
    """
    def backward(gy, x):
        return gy * (x > 0)
    """,
    normal((4, 5)),
    "x",
).mistake("all", " * (x > 0)", "", words=("x < 0",)).mistake(
    "of the upstream", "(x > 0)", "(gy > 0)", words=("upstream",)
).mistake("no upstream", "gy * (x > 0)", "(x > 0) * 1.0", words="upstream").mistake(
    "other side", "x > 0", "x < 0", words="wrong way round"
).mistake("times x", "gy * (x", "gy * x * (x", words=("x times", "factor x", "y times")).mistake(
    "itself", "gy * (x > 0)", "np.maximum(gy, 0)", words=("linear",)
).mistake("leaky", "(x > 0)", "np.where(x > 0, 1, 0.1)", words=("x < 0",))

op(
    "leaky_relu",
    lambda x: np.where(x > 0, x, 0.1 * x),
    """
    def backward(gy, x):
        return gy * np.where(x > 0, 1, 0.1)
    """,
    normal((4, 5)),
    "x",
).mistake("relu's", "0.1", "0", words=("x < 0",)).mistake(
    "bare", "0.1", "1", words=("x < 0",)
).mistake("sign", "0.1", "-0.1", words=("x < 0",))

op(
    "abs",
    np.abs,
    """
    def backward(gy, x):
        return gy * np.sign(x)
    """,
    normal((4, 5)),
    "x",
).mistake("bare", " * np.sign(x)", "", words=("x < 0", "sign(x)"))

op(
    "clip",
    lambda x: np.clip(x, -1, 1),
    """
    def backward(gy, x):
        return gy * (abs(x) < 1)
    """,
    lambda rng: [1.5 * rng.standard_normal((4, 5))],
    "x",
).mistake("all", " * (abs(x) < 1)", "", words="|x| > 1").mistake(
    "one end", "abs(x) < 1", "x < 1", words="x < -1"
)

op(
    "gelu_tanh",
    lambda x: x * sigmoid(1.7 * x),
    """
    def backward(gy, x):
        s = sigmoid(1.7 * x)
        return gy * (s + 1.7 * x * s * (1 - s))
    """,
    normal((3, 4)),
    "x",
    terms=lambda gy, inputs: [
        {
            "gy * s": gy * sigmoid(1.7 * inputs[0]),
            "gy * x * s'": gy
            * 1.7
            * inputs[0]
            * sigmoid(1.7 * inputs[0])
            * sigmoid(-1.7 * inputs[0]),
        }
    ],
).mistake("product rule", "(s + 1.7 * x * s * (1 - s))", "s", words=("is missing", "y/x")).mistake(
    "other half", "(s + 1.7", "(1.7", words=("is missing",)
).mistake("minus", "s + 1.7", "s - 1.7", words=("wrong sign",))

# ----------------------------------------------------------------------------- sums and shapes

op(
    "sum_axis",
    lambda x: x.sum(axis=1),
    """
    def backward(gy, x):
        return np.broadcast_to(gy[:, None], x.shape)
    """,
    normal((3, 4)),
    "x",
    sizes=dict(N=3, D=4),
).mistake(
    "not spread", "np.broadcast_to(gy[:, None], x.shape)", "gy", words=("spread", "axis 1")
).mistake(
    "kept", "np.broadcast_to(gy[:, None], x.shape)", "gy[:, None]", words=("spread", "axis 1")
).mistake(
    "mean's",
    "x.shape)",
    "x.shape) / 4",
    words=("4 times too small", "D times too small", "x.shape[1]"),
).mistake(
    "ones", "np.broadcast_to(gy[:, None], x.shape)", "np.ones_like(x)", words="upstream"
).mistake("total", "gy[:, None]", "gy.sum()", words="summed").mistake(
    "times x", "x.shape)", "x.shape) * x", words=("x times", "factor x")
)

op(
    "sum_square",
    lambda x: x.sum(axis=1),
    """
    def backward(gy, x):
        return np.broadcast_to(gy[:, None], x.shape)
    """,
    normal((4, 4)),
    "x",
).mistake("other axis", "gy[:, None]", "gy", words=("transposed", "axis"))

op(
    "sum_all",
    lambda x: x.sum(),
    """
    def backward(gy, x):
        return np.full(x.shape, gy)
    """,
    normal((3, 4)),
    "x",
).mistake("scalar", "np.full(x.shape, gy)", "gy", words=("spread", "shape")).mistake(
    "ones", "np.full(x.shape, gy)", "np.ones_like(x)", words="upstream"
).mistake("x", "np.full(x.shape, gy)", "gy * x", words=("x times", "factor x"))

op(
    "mean",
    lambda x: x.mean(axis=0),
    """
    def backward(gy, x):
        return np.ones_like(x) * gy / x.shape[0]
    """,
    normal((5, 3)),
    "x",
    sizes=dict(N=5, D=3),
).mistake("no 1/N", " / x.shape[0]", "", words=("1/N", "1/x.shape[0]")).mistake(
    "other axis", "x.shape[0]", "x.shape[1]", words=("N/D", "x.shape[0]/x.shape[1]")
).mistake("whole size", "x.shape[0]", "x.size", words=("D times", "x.shape[1]", "3 times")).mistake(
    "not spread", "np.ones_like(x) * gy", "gy", words=("spread", "axis 0")
).mistake("times N", "/ x", "* x", words=("N**2", "shape[0]**2"))

op(
    "mean_all",
    lambda x: x.mean(),
    """
    def backward(gy, x):
        return np.full(x.shape, gy / x.size)
    """,
    normal((3, 4)),
    "x",
    sizes=dict(N=3, D=4),
).mistake(
    "rows only", "x.size", "len(x)", words=("D times", "4 times", "1/D", "x.shape[1]")
).mistake("no size", " / x.size", "", words=("N*D", "12", "x.size", "x.shape[0]*x.shape[1]"))

op(
    "var",
    lambda x: x.var(axis=0),
    """
    def backward(gy, x):
        return gy * 2 * (x - x.mean(axis=0)) / len(x)
    """,
    normal((6, 3)),
    "x",
    sizes=dict(N=6),
).mistake("no mean", "(x - x.mean(axis=0))", "x", words=("axis 0",)).mistake(
    "unbiased", "len(x)", "(len(x) - 1)", words=("(N - 1)", "6/5", "(x.shape[0] - 1)", "1.2")
).mistake("no 2", " * 2", "", words="factor 2")

op(
    "unbroadcast",
    lambda a, b: a * b,
    """
    def backward(gy, a, b):
        return gy * b, (gy * a).sum(axis=1, keepdims=True)
    """,
    normal((3, 4), (3, 1)),
    "a b",
    sizes=dict(N=3, D=4),
).mistake(
    "no sum", "(gy * a).sum(axis=1, keepdims=True)", "gy * a", words="sum over axis 1"
).mistake("lost axis", ", keepdims=True", "", words=("keepdims", "length 1")).mistake(
    "wrong axis", "axis=1", "axis=0", words=("axis 0", "shape")
).mistake(
    "sum too early",
    "(gy * a).sum(axis=1, keepdims=True)",
    "gy.sum(axis=1, keepdims=True) * a.sum(axis=1, keepdims=True)",
    words="summed over axis 1 first",
)

op(
    "unbroadcast_scalar",
    lambda x, s: x * s,
    """
    def backward(gy, x, s):
        return gy * s, (gy * x).sum()
    """,
    lambda rng: [rng.standard_normal((3, 4)), np.array(1.7)],
    "x s",
).mistake("no sum", "(gy * x).sum()", "gy * x", words=("sum over",)).mistake(
    "mean", ".sum()", ".mean()", words=("x.size", "x.shape[0]*x.shape[1]", "12")
)

op(
    "reshape",
    lambda x: x.reshape(6, 2),
    """
    def backward(gy, x):
        return gy.reshape(x.shape)
    """,
    normal((3, 4)),
    "x",
).mistake("not reshaped", ".reshape(x.shape)", "", words="reshape").mistake(
    "Fortran", "gy.reshape(x.shape)", "gy.reshape(x.shape, order='F')", words=("order",)
).mistake("transposed first", "gy.reshape", "gy.T.reshape", words=("order",))

op(
    "transpose",
    lambda x: x.transpose(2, 0, 1),
    """
    def backward(gy, x):
        return gy.transpose(1, 2, 0)
    """,
    normal((2, 3, 4)),
    "x",
).mistake("same axes", "1, 2, 0", "2, 0, 1", words=("transposed",)).mistake(
    "not at all", ".transpose(1, 2, 0)", "", words=("transposed",)
).mistake("reshape", ".transpose(1, 2, 0)", ".reshape(x.shape)", words="axes should be exchanged")

op(
    "transpose_square",
    lambda x: x.T,
    """
    def backward(gy, x):
        return gy.T
    """,
    normal((4, 4)),
    "x",
).mistake("not at all", "gy.T", "gy", words=("transposed",))

op(
    "concat",
    lambda a, b: np.concatenate([a, b], axis=1),
    """
    def backward(gy, a, b):
        n = a.shape[1]
        return gy[:, :n], gy[:, n:]
    """,
    normal((3, 2), (3, 4)),
    "a b",
).mistake("whole", "gy[:, :n], gy[:, n:]", "gy, gy", words=("part", "cut")).mistake(
    "from the end", "gy[:, :n], gy[:, n:]", "gy[:, -n:], gy[:, :-n]", words="cut out"
).mistake("other axis", "gy[:, :n], gy[:, n:]", "gy[:n], gy[n:]", words=("shape",))

op(
    "concat_equal",
    lambda a, b: np.concatenate([a, b], axis=0),
    """
    def backward(gy, a, b):
        return gy[:3], gy[3:]
    """,
    normal((3, 2), (3, 2)),
    "a b",
).mistake("swapped", "gy[:3], gy[3:]", "gy[3:], gy[:3]", words="swapped").mistake(
    "one for both", "gy[3:]", "gy[:3]", words=("gradient of a", "mixed")
).mistake("off by one", "gy[3:]", "gy[2:5]", words=("shift", "part", "other"))

op(
    "slice",
    lambda x: x[1:4],
    """
    def backward(gy, x):
        gx = np.zeros_like(x)
        gx[1:4] = gy
        return gx
    """,
    normal((6, 3)),
    "x",
).mistake("bare", "return gx", "return gy", words=("part", "shape", "put back")).mistake(
    "wrong place", "gx[1:4]", "gx[:3]", words=("shift",)
).mistake("ones", "np.zeros_like(x)", "np.ones_like(x)", words=("ignores the upstream",))

op(
    "indexing",
    lambda x, i: x[i],
    """
    def backward(gy, x, i):
        gx = np.zeros_like(x)
        np.add.at(gx, i, gy)
        return gx, None
    """,
    lambda rng: [rng.standard_normal((6, 3)), np.array([1, 4, 1, 2, 0])],
    "x i",
).mistake("overwritten", "np.add.at(gx, i, gy)", "gx[i] = gy", words=("repeat",)).mistake(
    "buffered", "np.add.at(gx, i, gy)", "gx[i] += gy", words=("repeat",)
).mistake("bare", "return gx,", "return gy,", words=("index", "scatter", "shape")).mistake(
    "gathered", "return gx,", "return gx[i],", words=("shape", "index")
).mistake("sorted", "(gx, i,", "(gx, np.sort(i),", words="sorted").mistake(
    "counts", "np.add.at(gx, i, gy)", "np.add.at(gx, i, 1)", words="upstream"
)

op(
    "embedding",
    lambda i, w: w[i],
    """
    def backward(gy, i, w):
        gw = np.zeros_like(w)
        np.add.at(gw, i, gy)
        return None, gw
    """,
    lambda rng: [np.array([[0, 2, 2], [5, 1, 0]]), rng.standard_normal((7, 4))],
    "i w",
).mistake("overwritten", "np.add.at(gw, i, gy)", "gw[i] = gy", words=("repeat",)).mistake(
    "left out", "return None, gw", "return gw * 2", words=("2 times",)
).mistake("mean", "return None, gw", "return None, gw / 6", words=("6 times", "i.size"))

op(
    "max_axis",
    lambda x: x.max(axis=1),
    """
    def backward(gy, x):
        gx = np.zeros_like(x)
        gx[np.arange(len(x)), x.argmax(axis=1)] = gy
        return gx
    """,
    normal((4, 5)),
    "x",
).mistake(
    "to all",
    "return gx",
    "return np.repeat(gy[:, None], 5, axis=1)",
    words="not the largest along axis 1",
).mistake("argmin", "argmax", "argmin", words="smallest along axis 1").mistake(
    "argmax of all", "x.argmax(axis=1)", "x.argmax() % 5", words="wrong order"
)

# ------------------------------------------------------------------------------ matrix products

op(
    "matmul",
    lambda a, b: a @ b,
    """
    def backward(gy, a, b):
        return gy @ b.T, a.T @ gy
    """,
    normal((3, 4), (4, 2)),
    "a b",
).mistake("no transpose", "gy @ b.T", "gy @ b", words=("raised",)).mistake(
    "turned", "gy @ b.T", "b @ gy.T", words=("transposed",)
).mistake("turned b", "a.T @ gy", "gy.T @ a", words=("transposed",)).mistake(
    "swapped", "gy @ b.T, a.T @ gy", "a.T @ gy, gy @ b.T", words="swapped"
).mistake("ones", "gy @ b.T", "np.ones_like(gy) @ b.T", words="upstream").mistake(
    "averaged", "a.T @ gy", "a.T @ gy / 3", words=("3 times", "shape[0]")
)

op(
    "matmul_square",
    lambda a, b: a @ b,
    """
    def backward(gy, a, b):
        return gy @ b.T, a.T @ gy
    """,
    normal((4, 4), (4, 4)),
    "a b",
).mistake("no transpose", "gy @ b.T", "gy @ b", words=("transpose",)).mistake(
    "no transpose of a", "a.T @ gy", "a @ gy", words=("transpose",)
).mistake("order", "gy @ b.T", "b.T @ gy", words=("transpose", "order")).mistake(
    "turned", "gy @ b.T", "b @ gy.T", words=("transposed",)
).mistake(
    "elementwise", "gy @ b.T, a.T @ gy", "gy * b, gy * a", words=("element-wise", "gy * b", "gy*b")
).mistake(
    "turned upstream", "a.T @ gy", "a.T @ gy.T", words=("upstream gradient is transposed", "gy.T")
)

op(
    "batched_matmul",
    lambda a, b: a @ b,
    """
    def backward(gy, a, b):
        return gy @ b.swapaxes(1, 2), a.swapaxes(1, 2) @ gy
    """,
    normal((2, 3, 4), (2, 4, 5)),
    "a b",
    sizes=dict(B=2),
).mistake("T", "b.swapaxes(1, 2)", "b.T", words=("raised",)).mistake(
    "turned", "gy @ b.swapaxes(1, 2)", "b @ gy.swapaxes(1, 2)", words=("transposed",)
).mistake(
    "summed",
    "a.swapaxes(1, 2) @ gy",
    "(a.swapaxes(1, 2) @ gy).sum(0)",
    words=("summed over axis 0",),
).mistake(
    "first of the batch",
    "b.swapaxes(1, 2)",
    "b[0].T",
    words=("axis 0 is 1", "first entry along axis 0"),
)

op(
    "batched_shared",
    lambda x, w: x @ w,
    """
    def backward(gy, x, w):
        return gy @ w.T, (x.swapaxes(1, 2) @ gy).sum(axis=0)
    """,
    normal((2, 3, 4), (4, 5)),
    "x w",
    sizes=dict(B=2, T=3),
).mistake("no sum", ".sum(axis=0)", "", words=("sum over axis 0",)).mistake(
    "mean",
    ".sum(",
    ".mean(",
    words=("2 times too small", "B times", "factor 2", "factor B", "x.shape[0] times"),
).mistake("last only", ".sum(axis=0)", "[-1]", words=("last",))

op(
    "linear",
    lambda x, w, b: x @ w.T + b,
    """
    def backward(gy, x, w, b):
        return gy @ w, gy.T @ x, gy.sum(axis=0)
    """,
    normal((5, 3), (4, 3), (4,)),
    "x w b",
    sizes=dict(N=5, D=3, M=4),
).mistake("turned w", "gy.T @ x", "x.T @ gy", words=("transposed",)).mistake(
    "no sum", "gy.sum(axis=0)", "gy", words=("sum over axis 0",)
).mistake(
    "mean bias",
    "gy.sum(axis=0)",
    "gy.mean(axis=0)",
    words=("N times too small", "5 times too small", "x.shape[0] times"),
).mistake(
    "mean w",
    "gy.T @ x",
    "gy.T @ x / len(x)",
    words=("N times too small", "5 times too small", "x.shape[0] times"),
).mistake("bias ones", "gy.sum(axis=0)", "np.ones_like(b)", words=("upstream",)).mistake(
    "bias zero", "gy.sum(axis=0)", "np.zeros_like(b)", words=("zero",)
).mistake("no bias gradient", ", gy.sum(axis=0)", "", words=("gradients instead of",)).mistake(
    "w in place", "return", "w -= 0.1 * (gy.T @ x); return", words=("in place",)
)

op(
    "linear_square",
    lambda x, w, b: x @ w.T + b,
    """
    def backward(gy, x, w, b):
        return gy @ w, gy.T @ x, gy.sum(axis=0)
    """,
    normal((3, 3), (3, 3), (3,)),
    "x w b",
).mistake("w turned", "gy @ w,", "gy @ w.T,", words=("transpose",)).mistake(
    "gw turned", "gy.T @ x", "x.T @ gy", words=("transposed",)
).mistake("other axis", "axis=0", "axis=1", words=("transposed", "axis"))

op(
    "dot",
    lambda a, b: a @ b,
    """
    def backward(gy, a, b):
        return gy * b, gy * a
    """,
    normal((5,), (5,)),
    "a b",
).mistake("swapped", "gy * b, gy * a", "gy * a, gy * b", words="swapped").mistake(
    "no upstream", "gy * b, gy * a", "b, a", words="upstream"
).mistake("a sum", "gy * b,", "gy * b.sum(),", words=("shape", "summed"))

op(
    "outer",
    np.outer,
    """
    def backward(gy, a, b):
        return gy @ b, gy.T @ a
    """,
    normal((4,), (3,)),
    "a b",
).mistake("swapped", "gy @ b, gy.T @ a", "gy.T @ a, gy @ b", words="swapped").mistake(
    "no sum", "gy @ b,", "gy * b,", words=("sum over axis 1",)
)

# ---------------------------------------------------------------------------------------- losses

op(
    "mse",
    lambda p, t: np.mean((p - t) ** 2),
    """
    def backward(gy, p, t):
        g = gy * 2 * (p - t) / p.size
        return g, -g
    """,
    normal((5, 3), (5, 3)),
    "p t",
    sizes=dict(N=5, D=3),
).mistake("no 2", " * 2", "", words="factor 2").mistake(
    "no mean", " / p.size", "", words=("N*D", "p.size", "15")
).mistake(
    "rows only", "p.size", "len(p)", words=("D times", "3 times", "1/D", "p.shape[1]")
).mistake("sign", "(p - t)", "(t - p)", words=("sign", "swapped")).mistake(
    "same sign", "g, -g", "g, g", words="sign"
).mistake("no upstream", "gy * ", "", words="upstream").mistake(
    "no t", "(p - t)", "p", words=("(p - t)", "gradient of t", "t")
).mistake("the loss itself", "2 * (p - t)", "(p - t) ** 2", words=("(p - t)",)).mistake(
    "abs", "2 * (p - t)", "2 * abs(p - t)", words=("sign",)
)

op(
    "l1",
    lambda p, t: np.abs(p - t).mean(),
    """
    def backward(gy, p, t):
        g = gy * np.sign(p - t) / p.size
        return g, -g
    """,
    normal((4, 3), (4, 3)),
    "p t",
).mistake("difference", "np.sign(p - t)", "(p - t)", words=("p - t",)).mistake(
    "no mean", " / p.size", "", words=("p.size", "12", "p.shape[0]*p.shape[1]")
).mistake("no sign", "np.sign(p - t)", "np.ones_like(p)", words=("p < t", "p > t", "sign(p - t)"))

op(
    "l2_norm",
    lambda x: np.sqrt((x * x).sum()),
    """
    def backward(gy, x):
        return gy * x / np.sqrt((x * x).sum())
    """,
    normal((3, 4)),
    "x",
).mistake(
    "no norm", " / np.sqrt((x * x).sum())", "", words=("norm(x)", "y times", "factor y")
).mistake("squared", "np.sqrt((x * x).sum())", "(x * x).sum()", words=("norm(x)", "y")).mistake(
    "2x", "gy * x /", "gy * 2 * x /", words=("2 times",)
).mistake("half", "np.sqrt((x * x).sum())", "(2 * np.sqrt((x * x).sum()))", words=("factor 2",))

op(
    "l2_penalty",
    lambda w: 0.05 * (w * w).sum(),
    """
    def backward(gy, w):
        return gy * 0.1 * w
    """,
    normal((3, 4)),
    "w",
).mistake("no 2", "0.1", "0.05", words="factor 2").mistake(
    "sign(w)", "* w", "* np.sign(w)", words=("w", "|w|")
)

op(
    "bce",
    lambda p, t: -(t * np.log(p) + (1 - t) * np.log(1 - p)).mean(),
    """
    def backward(gy, p, t):
        return gy * (p - t) / (p * (1 - p)) / p.size
    """,
    lambda rng: [rng.uniform(0.1, 0.9, (5, 3)), rng.integers(0, 2, (5, 3))],
    "p t",
    sizes=dict(N=5, D=3),
    terms=lambda gy, inputs: [
        {
            "-t / p": -gy * inputs[1] / inputs[0] / inputs[0].size,
            "(1 - t) / (1 - p)": gy * (1 - inputs[1]) / (1 - inputs[0]) / inputs[0].size,
        },
        {},
    ],
).mistake("logits'", " / (p * (1 - p))", "", words=("p*(1 - p)",)).mistake(
    "no mean", " / p.size", "", words=("N*D", "p.size", "15")
).mistake("sign", "(p - t)", "(t - p)", words="sign").mistake(
    "first half", "(p - t) / (p * (1 - p))", "(-t / p)", words=("is missing", "t == 0")
).mistake(
    "plus",
    "(p - t) / (p * (1 - p))",
    "(-t / p - (1 - t) / (1 - p))",
    words=("wrong sign", "t == 0"),
)

op(
    "bce_logits",
    lambda z, t: (np.logaddexp(0, z) - t * z).mean(),
    """
    def backward(gy, z, t):
        return gy * (sigmoid(z) - t) / z.size
    """,
    lambda rng: [rng.standard_normal((4, 3)), rng.integers(0, 2, (4, 3))],
    "z t",
).mistake("no sigmoid", "sigmoid(z)", "z", words="(z - t)").mistake(
    "no mean", " / z.size", "", words=("z.size", "12", "z.shape[0]*z.shape[1]")
).mistake("sign", "(sigmoid(z) - t)", "(t - sigmoid(z))", words="sign").mistake(
    "chain",
    "(sigmoid(z) - t)",
    "(sigmoid(z) - t) * sigmoid(z) * (1 - sigmoid(z))",
    words=("sigmoid(z)*(1 - sigmoid(z))",),
).mistake("no target", " - t", "", words=("t == 1", "t > 0", "t"))

op(
    "softmax",
    softmax,
    """
    def backward(gy, x):
        y = softmax(x)
        return y * (gy - (gy * y).sum(axis=-1, keepdims=True))
    """,
    normal((3, 5)),
    "x",
    terms=lambda gy, inputs: [
        {
            "gy * y": gy * softmax(inputs[0]),
            "-y * sum(gy * y)": -softmax(inputs[0])
            * (gy * softmax(inputs[0])).sum(-1, keepdims=True),
        }
    ],
).mistake(
    "diagonal",
    "y * (gy - (gy * y).sum(axis=-1, keepdims=True))",
    "gy * y * (1 - y)",
    words=("diagonal",),
).mistake(
    "no sum",
    " - (gy * y).sum(axis=-1, keepdims=True)",
    "",
    words=("missing", "proportional to the output y"),
).mistake("other axis", "axis=-1", "axis=0", words=()).mistake(
    "whole sum", "axis=-1, keepdims=True", "", words=("proportional to the output y", "axis")
).mistake("no y in sum", "(gy * y).sum", "gy.sum", words=("proportional to the output y",)).mistake(
    "plus", "gy - (", "gy + (", words=("wrong sign", "proportional to the output y")
).mistake("no y", "return y * (", "return (", words="factor y").mistake(
    "mean",
    ".sum(axis=-1",
    ".mean(axis=-1",
    words=("times too small", "proportional to the output y"),
)

op(
    "log_softmax",
    lambda x: x - np.log(np.exp(x).sum(axis=1, keepdims=True)),
    """
    def backward(gy, x):
        return gy - softmax(x) * gy.sum(axis=1, keepdims=True)
    """,
    normal((4, 3)),
    "x",
    terms=lambda gy, inputs: [
        {"gy": gy, "-softmax(x) * sum(gy)": -softmax(inputs[0]) * gy.sum(1, keepdims=True)}
    ],
).mistake("no sum", " * gy.sum(axis=1, keepdims=True)", " * gy", words=("diagonal",)).mistake(
    "bare",
    " - softmax(x) * gy.sum(axis=1, keepdims=True)",
    "",
    words=("missing", "exp(y)", "softmax"),
).mistake(
    "plus", "gy - softmax", "gy + softmax", words=("wrong sign", "softmax", "exp(y)")
).mistake(
    "no upstream", " * gy.sum(axis=1, keepdims=True)", "", words=("ignores the upstream",)
).mistake(
    "softmax's",
    "gy - softmax(x) * gy.sum(axis=1, keepdims=True)",
    "softmax(x) * (gy - (gy * softmax(x)).sum(axis=1, keepdims=True))",
    words=(),
)

op(
    "softmax_ce",
    lambda x, t: -np.log(softmax(x))[np.arange(len(x)), t].mean(),
    """
    def backward(gy, x, t):
        return gy * (softmax(x) - onehot(t, x.shape[1])) / len(x)
    """,
    lambda rng: [rng.standard_normal((5, 3)), rng.integers(0, 3, 5)],
    "x t",
    sizes=dict(N=5, C=3),
    terms=lambda gy, inputs: [
        {
            "gy * softmax(x) / N": gy * softmax(inputs[0]) / len(inputs[0]),
            "-gy * onehot / N": -gy * onehot(inputs[1], 3) / len(inputs[0]),
        }
    ],
).mistake("no mean", " / len(x)", "", words=("1/N", "x.shape[0]")).mistake(
    "no one-hot", " - onehot(t, x.shape[1])", "", words=("missing", "label")
).mistake(
    "sign",
    "(softmax(x) - onehot(t, x.shape[1]))",
    "(onehot(t, x.shape[1]) - softmax(x))",
    words="sign",
).mistake("over all", "len(x)", "x.size", words=("C times", "3 times", "x.shape[1]")).mistake(
    "no upstream", "gy * ", "", words="upstream"
).mistake("logits", "softmax(x)", "x", words="(x - onehot(t))").mistake(
    "by the classes", "len(x)", "x.shape[1]", words=("N/C", "x.shape[0]/x.shape[1]")
).mistake("wrong axis", "softmax(x)", "softmax(x, axis=0)", words=()).mistake(
    "log-softmax", "softmax(x) -", "np.log(softmax(x)) -", words=()
)

op(
    "nll",
    lambda x, t: -x[np.arange(len(x)), t].mean(),
    """
    def backward(gy, x, t):
        gx = np.zeros_like(x)
        gx[np.arange(len(x)), t] = -gy / len(x)
        return gx, None
    """,
    lambda rng: [rng.standard_normal((5, 3)), rng.integers(0, 3, 5)],
    "x t",
    sizes=dict(N=5, C=3),
).mistake("no sign", "-gy", "gy", words="sign").mistake(
    "columns", "[np.arange(len(x)), t]", "[:, t]", words="label t does not point"
).mistake("by x", "return gx", "return gx * x", words=("x times", "factor x"))

op(
    "distillation",
    lambda s, t: (
        9 * (softmax(t / 3) * (np.log(softmax(t / 3)) - np.log(softmax(s / 3)))).sum() / len(s)
    ),
    """
    def backward(gy, s, t):
        p, q = softmax(s / 3), softmax(t / 3)
        d = np.log(q) - np.log(p)
        gt = gy * 3 * q * (d - (q * d).sum(axis=1, keepdims=True)) / len(s)
        return gy * 3 * (p - q) / len(s), gt
    """,
    normal((4, 5), (4, 5)),
    "s t",
    sizes=dict(N=4, C=5, T=3),
).mistake("T squared", "gy * 3 * (p", "gy * 9 * (p", words=("T times", "3 times")).mistake(
    "no T", "gy * 3 * (p", "gy * (p", words=("T", "factor 3")
).mistake("sign", "(p - q)", "(q - p)", words="sign").mistake(
    "not softened", "softmax(s / 3), ", "softmax(s), ", words=()
).mistake("no mean", "(p - q) / len(s)", "(p - q)", words=("1/N", "s.shape[0]", "4 times"))

# ---------------------------------------------------------------------- dropout, normalisation

op(
    "dropout",
    lambda x, mask: x * mask / 0.8,
    """
    def backward(gy, x, mask):
        return gy * mask / 0.8
    """,
    lambda rng: [rng.standard_normal((4, 5)), rng.random((4, 5)) < 0.8],
    "x mask",
    sizes=dict(p=0.2),
).mistake("no scale", " / 0.8", "", words=("1 - p", "0.8", "5/4")).mistake(
    "no mask", " * mask", "", words=("mask",)
).mistake("other side", "* mask", "* ~mask", words=("wrong way round", "other way round")).mistake(
    "twice", "/ 0.8", "/ 0.64", words=("1 - p", "1.25", "5/4")
).mistake(
    "new mask",
    "* mask",
    "* (np.random.default_rng().random(x.shape) < 0.8)",
    words=("each time", "again", "different"),
).mistake("p", "/ 0.8", "/ 0.2", words=("1 - p", "4 times")).mistake(
    "bare", " * mask / 0.8", "", words="yours is gy"
)


def batch_norm(x, gamma, beta):
    return gamma * (x - x.mean(axis=0)) / np.sqrt(x.var(axis=0) + 1e-5) + beta


op(
    "batch_norm",
    batch_norm,
    """
    def backward(gy, x, gamma, beta):
        n = len(x)
        std = np.sqrt(x.var(axis=0) + 1e-5)
        xhat = (x - x.mean(axis=0)) / std
        g = gy * gamma
        gx = (g - g.sum(axis=0) / n - xhat * (g * xhat).sum(axis=0) / n) / std
        return gx, (gy * xhat).sum(axis=0), gy.sum(axis=0)
    """,
    lambda rng: [rng.standard_normal((6, 3)), rng.uniform(0.5, 2, 3), rng.standard_normal(3)],
    "x gamma beta",
    sizes=dict(N=6, D=3),
).mistake(
    "no variance path", " - xhat * (g * xhat).sum(axis=0) / n", "", words=("x - ", "variance")
).mistake("no mean path", " - g.sum(axis=0) / n", "", words=("same along axis 0", "mean")).mistake(
    "constants",
    "(g - g.sum(axis=0) / n - xhat * (g * xhat).sum(axis=0) / n) / std",
    "g / std",
    words=("mean", "variance", "axis 0"),
).mistake("no gamma", "g = gy * gamma", "g = gy", words=("gamma missing", "factor gamma")).mistake(
    "no std", ") / std\n    return", ")\n    return", words="var(x)"
).mistake("variance", ") / std\n    return", ") / std**2\n    return", words="var(x)").mistake(
    "gamma's xhat", "(gy * xhat).sum", "(gy * x).sum", words=()
).mistake(
    "gamma not summed", "(gy * xhat).sum(axis=0)", "gy * xhat", words=("sum over axis 0",)
).mistake("beta not summed", "gy.sum(axis=0)\n", "gy\n", words=("sum over axis 0",)).mistake(
    "no 1/n", "(g * xhat).sum(axis=0) / n", "(g * xhat).sum(axis=0)", words=("x - ", "variance")
).mistake("plus", "n - xhat", "n + xhat", words=("x - ", "variance")).mistake(
    "axis 1", "g.sum(axis=0) / n -", "g.mean(axis=1, keepdims=True) -", words=()
).mistake(
    "gamma of one row", "(gy * xhat).sum(axis=0)", "(gy * xhat)[0]", words=("first",)
).mistake("no eps", "+ 1e-5", "+ 0", words=())


def layer_norm(x, gamma, beta):
    mean, var = x.mean(axis=-1, keepdims=True), x.var(axis=-1, keepdims=True)
    return gamma * (x - mean) / np.sqrt(var + 1e-5) + beta


op(
    "layer_norm",
    layer_norm,
    """
    def backward(gy, x, gamma, beta):
        std = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-5)
        xhat = (x - x.mean(axis=-1, keepdims=True)) / std
        g = gy * gamma
        gx = (g - g.mean(axis=-1, keepdims=True) - xhat * (g * xhat).mean(axis=-1, keepdims=True)) / std
        return gx, (gy * xhat).sum(axis=0), gy.sum(axis=0)
    """,  # noqa: E501
    lambda rng: [rng.standard_normal((4, 5)), rng.uniform(0.5, 2, 5), rng.standard_normal(5)],
    "x gamma beta",
    sizes=dict(N=4, D=5),
).mistake(
    "no variance path",
    " - xhat * (g * xhat).mean(axis=-1, keepdims=True)",
    "",
    words=("x - ", "variance"),
).mistake(
    "no mean path", " - g.mean(axis=-1, keepdims=True)", "", words=("same along axis 1", "mean")
).mistake(
    "sum for mean", "g.mean(axis=-1", "g.sum(axis=-1", words=("same along axis 1", "mean")
).mistake("no gamma", "g = gy * gamma", "g = gy", words=("gamma were 1",)).mistake(
    "gamma late",
    "g = gy * gamma",
    "g = gy",
    ") / std\n    return",
    ") * gamma / std\n    return",
    words="order",
).mistake("no std", ") / std\n    return", ")\n    return", words="var(x)").mistake(
    "gamma over features",
    "(gy * xhat).sum(axis=0)",
    "(gy * xhat).sum(axis=1)",
    words=("axis", "shape"),
)

# --------------------------------------------------------------------- convolution and pooling

op(
    "conv2d",
    conv,
    """
    def backward(gy, x, w, b):
        gx, gw = np.zeros_like(x), np.zeros_like(w)
        for i in range(gy.shape[2]):
            for j in range(gy.shape[3]):
                window = x[:, :, i:i + w.shape[2], j:j + w.shape[3]]
                gw += np.einsum('nf,nckl->fckl', gy[:, :, i, j], window)
                gx[:, :, i:i + w.shape[2], j:j + w.shape[3]] += np.einsum('nf,fckl->nckl', gy[:, :, i, j], w)
        return gx, gw, gy.sum(axis=(0, 2, 3))
    """,  # noqa: E501
    normal((2, 2, 5, 4), (3, 2, 3, 2), (3,)),
    "x w b",
    sizes=dict(N=2, C=2, F=3),
).mistake(
    "= for += in gx",
    "w.shape[3]] +=",
    "w.shape[3]] =",
    words=("last", "= instead of +=", "overwrit"),
).mistake("= for += in gw", "gw +=", "gw =", words=("last",)).mistake(
    "flipped",
    "gy[:, :, i, j], w)",
    "gy[:, :, i, j], w[:, :, ::-1, ::-1])",
    words=("revers", "flip"),
).mistake(
    "bias over batch", "gy.sum(axis=(0, 2, 3))", "gy.sum(axis=(2, 3))", words=("sum over axis 0",)
).mistake(
    "bias mean", "gy.sum(axis=(0, 2, 3))", "gy.mean(axis=(0, 2, 3))", words=("times too small",)
).mistake(
    "bias not over batch", "gy.sum(axis=(0, 2, 3))", "gy[0].sum(axis=(1, 2))", words=("first",)
).mistake(
    "gw mean",
    "return gx, gw,",
    "return gx, gw / len(x),",
    words=("N times", "2 times", "C times", "factor 2", "factor N", "x.shape[0] times"),
).mistake("swapped names", "return gx, gw,", "return gw, gx,", words="swapped").mistake(
    "last column left out",
    "range(gy.shape[3])",
    "range(gy.shape[3] - 1)",
    words=("last", "left out"),
)

op(
    "conv2d_padded",
    padded_conv,
    """
    def backward(gy, x, w):
        xp = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
        gx, gw = np.zeros_like(xp), np.zeros_like(w)
        for i in range(gy.shape[2]):
            for j in range(gy.shape[3]):
                gw += np.einsum('nf,nckl->fckl', gy[:, :, i, j], xp[:, :, i:i + 3, j:j + 3])
                gx[:, :, i:i + 3, j:j + 3] += np.einsum('nf,fckl->nckl', gy[:, :, i, j], w)
        return gx[:, :, 1:-1, 1:-1], gw
    """,
    normal((2, 1, 4, 5), (2, 1, 3, 3)),
    "x w",
    sizes=dict(N=2, C=1, F=2),
).mistake("not cut", "gx[:, :, 1:-1, 1:-1]", "gx", words=("padding", "border", "cut")).mistake(
    "cut wrong", "1:-1, 1:-1]", ":-2, :-2]", words=("shift",)
).mistake("overwritten", "j:j + 3] +=", "j:j + 3] =", words=("last", "overwrit"))

op(
    "max_pool",
    pool,
    """
    def backward(gy, x):
        n, c, h, w = x.shape
        windows = x.reshape(n, c, h // 2, 2, w // 2, 2)
        mask = windows == windows.max(axis=(3, 5), keepdims=True)
        return (mask * gy[:, :, :, None, :, None]).reshape(x.shape)
    """,
    normal((2, 3, 4, 6)),
    "x",
).mistake("to all", "(mask *", "(np.ones_like(mask) *", words="right gradient is 0").mistake(
    "average's", "(mask *", "(0.25 * np.ones_like(mask) *", words=()
).mistake("no upstream", " * gy[:, :, :, None, :, None]", " * 1.0", words="upstream").mistake(
    "of the minimum", ".max(axis", ".min(axis", words=("wrong order", "wrong entries", "other sign")
).mistake(
    "tiled",
    "(mask * gy[:, :, :, None, :, None]).reshape(x.shape)",
    "mask.reshape(x.shape) * np.tile(gy, (1, 1, 2, 2))",
    words="wrong entries",
)

op(
    "avg_pool",
    lambda x: x.reshape(2, 3, 2, 2, 3, 2).mean(axis=(3, 5)),
    """
    def backward(gy, x):
        return np.repeat(np.repeat(gy, 2, axis=2), 2, axis=3) / 4
    """,
    normal((2, 3, 4, 6)),
    "x",
).mistake("no 1/4", " / 4", "", words=("4 times",)).mistake(
    "half", " / 4", " / 2", words=("2 times",)
).mistake(
    "tiled",
    "np.repeat(np.repeat(gy, 2, axis=2), 2, axis=3)",
    "np.tile(gy, (1, 1, 2, 2))",
    words="wrong entries",
)

# ----------------------------------------------------------------- recurrence and attention

RNN = """
    def backward(gy, x, h0, wx, wh):
        hs = [h0]
        for t in range(len(x)):
            hs.append(np.tanh(x[t] @ wx + hs[-1] @ wh))
        gx, gwx, gwh = np.zeros_like(x), np.zeros_like(wx), np.zeros_like(wh)
        gh = gy
        for t in reversed(range(len(x))):
            gz = gh * (1 - hs[t + 1]**2)
            gwx += x[t].T @ gz
            gwh += hs[t].T @ gz
            gx[t] = gz @ wx.T
            gh = gz @ wh.T
        return gx, gh, gwx, gwh
    """
rnn_inputs = normal((3, 2, 4), (2, 3), (4, 3), (3, 3))
op("rnn", rnn, RNN, rnn_inputs, "x h0 wx wh", sizes=dict(T=3, N=2)).mistake(
    "= for +=", "gwx +=", "gwx =", words=()
).mistake("no tanh", " * (1 - hs[t + 1]**2)", "", words=()).mistake(
    "next state", "hs[t].T", "hs[t + 1].T", words=()
).mistake("wh not turned", "gz @ wh.T", "gz @ wh", words="axis 0 is not 2").mistake(
    "no recurrence", "gh = gz @ wh.T", "pass", words="axis 0 is not 2"
).mistake(
    "first step only", "reversed(range(len(x)))", "[len(x) - 1]", words="axis 0 is not 2"
).mistake("forward in time", "reversed(range(len(x)))", "range(len(x))", words=()).mistake(
    "h0 zero", "return gx, gh,", "return gx, np.zeros_like(h0),", words=("zero",)
).mistake("state before", "(1 - hs[t + 1]**2)", "(1 - hs[t]**2)", words=())

op(
    "rnn_states",
    rnn_states,
    RNN.replace("gh = gy", "gh = 0").replace("gz = gh *", "gz = (gy[t] + gh) *"),
    rnn_inputs,
    "x h0 wx wh",
    sizes=dict(T=3, N=2),
).mistake("no recurrence", "(gy[t] + gh)", "gy[t]", words=("axis 0", "time", "diagonal")).mistake(
    "last loss only", "(gy[t] + gh)", "(gy[t] * (t == len(x) - 1) + gh)", words=("last upstream",)
).mistake(
    "summed twice", "return gx, gh,", "return gx, gh * 3,", words=("T times", "3 times")
).mistake("shifted", "(gy[t] + gh)", "(gy[t - 1] + gh)", words=("shifted",))

op(
    "attention",
    attention,
    """
    def backward(gy, q, k, v):
        d = q.shape[-1]
        a = softmax(q @ k.swapaxes(-1, -2) / np.sqrt(d))
        ga = gy @ v.swapaxes(-1, -2)
        gs = a * (ga - (ga * a).sum(axis=-1, keepdims=True)) / np.sqrt(d)
        return gs @ k, gs.swapaxes(-1, -2) @ q, a.swapaxes(-1, -2) @ gy
    """,
    normal((2, 3, 4), (2, 5, 4), (2, 5, 2)),
    "q k v",
    sizes=dict(B=2, T=3, S=5, d=4),
).mistake(
    "no 1/sqrt(d)", ") / np.sqrt(d)\n    return", ")\n    return", words=("sqrt(d)", "2 times")
).mistake(
    "1/d", ") / np.sqrt(d)\n    return", ") / d\n    return", words=("sqrt(d)", "2 times")
).mistake(
    "softmax diagonal",
    "a * (ga - (ga * a).sum(axis=-1, keepdims=True))",
    "a * (1 - a) * ga",
    words=(),
).mistake(
    "v not weighted", "a.swapaxes(-1, -2) @ gy", "np.ones_like(a).swapaxes(-1, -2) @ gy", words=()
).mistake("no softmax", "a * (ga - (ga * a).sum(axis=-1, keepdims=True))", "ga", words=()).mistake(
    "swapped", "gs @ k, gs.swapaxes(-1, -2) @ q", "gs.swapaxes(-1, -2) @ q, gs @ k", words="swapped"
).mistake("axis", "(ga * a).sum(axis=-1", "(ga * a).sum(axis=-2", words=()).mistake(
    "no upstream in v",
    "a.swapaxes(-1, -2) @ gy",
    "a.swapaxes(-1, -2) @ np.ones_like(gy)",
    words="upstream",
)
