"""Key of exercise 20, binary cross-entropy, from probabilities and from logits."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def from_probabilities(p, t):
    return -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))


def from_logits(z, t):
    return np.mean(np.maximum(z, 0) - t * z + np.log1p(np.exp(-abs(z))))


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def wrong_p(gL, inputs):
    p, t = inputs
    n = len(p)
    right = gL * (p - t) / (p * (1 - p)) / n
    return [
        {
            "p - t over N: that is the gradient of the logit, not of the probability": gL
            * (p - t)
            / n,
            "the factor 1/N of the mean is missing": right * n,
            "the sign: t - p instead of p - t": -right,
            "the term of the zeros is missing: (1 - t) / (1 - p)": -gL * t / p / n,
            "the term of the ones is missing: -t / p": gL * (1 - t) / (1 - p) / n,
            "the sign of the second term: 1 - p falls as p grows": gL
            * (-t / p - (1 - t) / (1 - p))
            / n,
            "the upstream gradient gL is missing": (p - t) / (p * (1 - p)) / n,
            "(p - t) / p * (1 - p) is ((p - t) / p) * (1 - p): put brackets around p * (1 - p)": gL
            * (p - t)
            / p
            * (1 - p)
            / n,
            "(p - t) / (p * (1 - p) / N) multiplies by N: divide by N outside of the bracket": right
            * n**2,
            "the logarithms were kept instead of differentiated": -gL
            * (t * np.log(p) + (1 - t) * np.log(1 - p))
            / n,
        },
        {},
    ]


def wrong_z(gL, inputs):
    z, t = inputs
    n, p = len(z), sigmoid(z)
    right = gL * (p - t) / n
    return [
        {
            "the factor 1/N of the mean is missing": right * n,
            "the sign: t - p instead of p - t": -right,
            "z - t: the sigmoid is missing": gL * (z - t) / n,
            "times p (1 - p): the sigmoid's derivative has cancelled already": right * p * (1 - p),
            "divided by p (1 - p): that is the gradient of the probability": right / (p * (1 - p)),
            "the upstream gradient gL is missing": (p - t) / n,
            "p alone: the target is missing": gL * p / n,
        },
        {},
    ]


def cases(rng):
    for n in (5, 7):
        t = rng.permutation(n) % 2
        yield Case(
            function="backward_probabilities",
            forward=from_probabilities,
            inputs=[rng.uniform(0.1, 0.9, n), t],
            names=["p", "t"],
            sizes={"N": n},
            wrong=wrong_p,
        )
        yield Case(
            function="backward_logits",
            forward=from_logits,
            inputs=[rng.uniform(-3, 3, n), t],
            names=["z", "t"],
            sizes={"N": n},
            wrong=wrong_z,
        )


exercise = Exercise(
    name="bce",
    number=20,
    title="binary cross-entropy, from probabilities and from logits",
    functions=("backward_probabilities", "backward_logits"),
    hints=[
        "For one n: the derivative of t ln(p) is t / p. That of (1 - t) ln(1 - p) has a minus, "
        "because 1 - p falls when p grows.",
        "Together -(t / p) + (1 - t) / (1 - p). Over the common denominator p (1 - p) the "
        "numerator is -t (1 - p) + (1 - t) p. Multiply it out.",
        "gp = gL * (p - t) / (p (1 - p)) / N. The sigmoid's derivative is p (1 - p).",
        "They cancel: gz = gL * (p - t) / N with p = 1 / (1 + e^-z).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the mean forgotten",
            cause="1/N of the mean",
            code="def backward_logits(gL, z, t):\n    return gL * (1 / (1 + np.exp(-z)) - t)\n",
        ),
        WrongAnswer(
            "the sigmoid's derivative once more",
            cause="cancelled already",
            code="def backward_logits(gL, z, t):\n    p = 1 / (1 + np.exp(-z))\n"
            "    return gL * (p - t) * p * (1 - p) / len(z)\n",
        ),
        WrongAnswer(
            "the logit for the probability",
            cause="the sigmoid is missing",
            code="def backward_logits(gL, z, t):\n    return gL * (z - t) / len(z)\n",
        ),
        WrongAnswer(
            "the probability's gradient is the logit's",
            cause="of the logit",
            code="def backward_probabilities(gL, p, t):\n    return gL * (p - t) / len(p)\n",
        ),
        WrongAnswer(
            "only the ones count",
            cause="term of the zeros",
            code="def backward_probabilities(gL, p, t):\n    return -gL * t / p / len(p)\n",
        ),
        WrongAnswer(
            "the sign of the second term",
            cause="1 - p falls",
            code="def backward_probabilities(gL, p, t):\n"
            "    return gL * (-t / p - (1 - t) / (1 - p)) / len(p)\n",
        ),
        WrongAnswer(
            "the wrong way round",
            cause="t - p instead",
            code="def backward_logits(gL, z, t):\n"
            "    return gL * (t - 1 / (1 + np.exp(-z))) / len(z)\n",
        ),
        WrongAnswer(
            "no brackets",
            cause="put brackets",
            code="def backward_probabilities(gL, p, t):\n"
            "    return gL * (p - t) / p * (1 - p) / len(p)\n",
        ),
        WrongAnswer(
            "a bracket too wide",
            cause="outside of the bracket",
            code="def backward_probabilities(gL, p, t):\n"
            "    return gL * (p - t) / (p * (1 - p) / len(p))\n",
        ),
    ],
    lesson="What the network said minus what was right: you will meet it again with softmax. "
    "`binary_cross_entropy` in minigrad/nn/losses.py derives both.",
    requires=("exp_log", "tanh_sigmoid", "mean"),
)
