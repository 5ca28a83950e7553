"""Key of exercise 23, softmax with cross-entropy."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(z, labels):
    return -np.log(softmax(z)[np.arange(len(z)), labels]).mean()


def parts(inputs):
    z, labels = inputs
    return softmax(z), np.eye(z.shape[1])[labels], len(z)


def terms(gL, inputs):
    p, onehot, n = parts(inputs)
    return [{"gL * p / N": gL * p / n, "-gL * onehot / N": -gL * onehot / n}, {}]


def wrong(gL, inputs):
    p, onehot, n = parts(inputs)
    right, c = gL * (p - onehot) / n, p.shape[1]
    at_label = onehot.astype(bool)
    return [
        {
            "the factor 1/N of the mean is missing": right * n,
            "the sign: onehot - p instead of p - onehot": -right,
            "p alone: the 1 at the label is missing": gL * p / n,
            "-onehot / p: that is the gradient of the probabilities, the softmax is missing": -gL
            * onehot
            / p
            / n,
            "only the label's entry: the other logits move the loss through the sum, too": np.where(
                at_label, right, 0
            ),
            "the upstream gradient gL is missing": (p - onehot) / n,
            "divided by C, too: the mean is over samples": right / c,
            "z - onehot: the softmax is missing": gL * (inputs[0] - onehot) / n,
            "1 is taken from every row at all the labels: pair rows with labels, g[np.arange(N), "
            "labels]": gL * (p - onehot.any(axis=0)) / n,
            "times p (1 - p): the softmax's derivative is in it already": right * p * (1 - p),
            "p + onehot: the sign of the one-hot row": gL * (p + onehot) / n,
        },
        {},
    ]


def cases(rng):
    for n, c in [(5, 3), (3, 4)]:
        yield Case(
            forward=loss,
            inputs=[rng.standard_normal((n, c)) * 1.5, rng.integers(0, c, n)],
            names=["z", "labels"],
            sizes={"N": n, "C": c},
            terms=terms,
            wrong=wrong,
        )


exercise = Exercise(
    name="softmax_cross_entropy",
    number=23,
    title="softmax with cross-entropy, the loss of classification",
    hints=[
        "One sample: L = -y_t with y = ln p. So gy is -1 at t and 0 elsewhere; its sum is -1.",
        "Log-softmax's backward is gz = gy - p * sum(gy). Put gy in.",
        "gz_j = p_j for j other than t, and p_t - 1 for t: p minus the one-hot row.",
        "For N samples: gz = softmax(z); gz[np.arange(N), labels] -= 1; gz *= gL / N.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the mean forgotten",
            cause="1/N of the mean",
            code="def backward(gL, z, labels):\n"
            "    g = softmax(z)\n    g[np.arange(len(z)), labels] -= 1\n    return gL * g\n",
        ),
        WrongAnswer(
            "the wrong way round",
            cause="onehot - p",
            code="def backward(gL, z, labels):\n"
            "    g = -softmax(z)\n    g[np.arange(len(z)), labels] += 1\n"
            "    return gL * g / len(z)\n",
        ),
        WrongAnswer(
            "the label forgotten",
            cause="at the label is missing",
            code="def backward(gL, z, labels):\n    return gL * softmax(z) / len(z)\n",
        ),
        WrongAnswer(
            "only the label's logit",
            cause="only the label's entry",
            code="def backward(gL, z, labels):\n"
            "    rows = np.arange(len(z))\n    g = np.zeros_like(z)\n"
            "    g[rows, labels] = softmax(z)[rows, labels] - 1\n    return gL * g / len(z)\n",
        ),
        WrongAnswer(
            "stopped at the probabilities",
            cause="of the probabilities",
            code="def backward(gL, z, labels):\n"
            "    rows = np.arange(len(z))\n    g = np.zeros_like(z)\n"
            "    g[rows, labels] = -1 / softmax(z)[rows, labels]\n    return gL * g / len(z)\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gL, z, labels):\n"
            "    g = softmax(z)\n    g[np.arange(len(z)), labels] -= 1\n    return g / len(z)\n",
        ),
        WrongAnswer(
            "every row at every label",
            cause="from every row",
            code="def backward(gL, z, labels):\n"
            "    g = softmax(z)\n"
            "    g[:, labels] -= 1\n"
            "    return gL * g / len(z)\n",
        ),
    ],
    lesson="Softmax minus one-hot: the most used gradient of all. `SoftmaxCrossEntropy` in "
    "minigrad/ops/loss.py is this rule, in one node.",
    requires=("log_softmax", "mean"),
)
