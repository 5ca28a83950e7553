"""Key of exercise 22, the logarithm of the softmax."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def log_softmax(z, y=None):
    z = z - z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def terms(gy, inputs):
    p = np.exp(log_softmax(inputs[0]))
    return [{"gy": gy, "-p * sum(gy)": -p * gy.sum(1, keepdims=True)}]


def wrong(gy, inputs):
    y = log_softmax(inputs[0])
    p, total = np.exp(y), gy.sum(1, keepdims=True)
    return [
        {
            "gy - p: the sum of gy over the row is missing": gy - p,
            "gy * (1 - p): only the diagonal, the other entries of the row are moved too": gy
            * (1 - p),
            "gy - p * gy: only the diagonal": gy - p * gy,
            "gy - y * sum(gy): p is e**y": gy - y * total,
            "p * (gy - sum(gy * p)): that is the softmax's": p
            * (gy - (gy * p).sum(1, keepdims=True)),
            "gy - sum(gy): the weight p is missing": gy - total,
            "summed over the batch: each row stands for itself": gy - p * gy.sum(0),
            "gy - p * mean(gy): a sum, not a mean": gy - p * gy.mean(1, keepdims=True),
            "gy: the logarithm of the sum moves too": gy,
        }
    ]


def cases(rng):
    for n, c in [(3, 4), (2, 5)]:
        z = rng.standard_normal((n, c)) * 1.5
        yield Case(
            forward=log_softmax,
            inputs=[z],
            names=["z"],
            options={"y": log_softmax},
            sizes={"N": n, "C": c},
            terms=terms,
            wrong=wrong,
        )


exercise = Exercise(
    name="log_softmax",
    number=22,
    title="the logarithm of the softmax",
    hints=[
        "ln(S) with S = sum of e^z_i: its derivative with respect to z_j is e^z_j / S, by the "
        "chain rule. That is p_j.",
        "dy_i/dz_j = [i = j] - p_j. The p_j does not depend on i.",
        "gz_j = gy_j - p_j * (sum over i of gy_i).",
        "p = np.exp(y), and the sum is over axis 1 with keepdims=True.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the sum forgotten",
            cause="the sum of gy over the row is missing",
            code="def backward(gy, z, y):\n    return gy - np.exp(y)\n",
        ),
        WrongAnswer(
            "the diagonal only",
            cause="only the diagonal",
            code="def backward(gy, z, y):\n    return gy * (1 - np.exp(y))\n",
        ),
        WrongAnswer(
            "the logarithm for the probability",
            cause="p is e**y",
            code="def backward(gy, z, y):\n    return gy - y * gy.sum(axis=1, keepdims=True)\n",
        ),
        WrongAnswer(
            "the softmax's rule",
            cause="the softmax's",
            code="def backward(gy, z, y):\n    p = np.exp(y)\n"
            "    return p * (gy - (gy * p).sum(axis=1, keepdims=True))\n",
        ),
        WrongAnswer(
            "the weight forgotten",
            cause="weight p",
            code="def backward(gy, z, y):\n    return gy - gy.sum(axis=1, keepdims=True)\n",
        ),
        WrongAnswer(
            "summed over the batch",
            cause="each row stands for itself",
            code="def backward(gy, z, y):\n    return gy - np.exp(y) * gy.sum(axis=0)\n",
        ),
        WrongAnswer(
            "the sign of both terms",
            cause="the sign is wrong",
            code="def backward(gy, z, y):\n"
            "    return np.exp(y) * gy.sum(axis=1, keepdims=True) - gy\n",
        ),
        WrongAnswer(
            "twice",
            cause="2 times too large",
            code="def backward(gy, z, y):\n"
            "    return 2 * (gy - np.exp(y) * gy.sum(axis=1, keepdims=True))\n",
        ),
    ],
    lesson="Softmax has a curved Jacobian, its logarithm a simple one: the logarithm undoes the "
    "exponential. `LogSoftmax` in minigrad/ops/loss.py is this rule.",
    requires=("softmax",),
)
