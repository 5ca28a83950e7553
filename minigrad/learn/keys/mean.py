"""Key of exercise 11, means."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong_all(gy, inputs):
    (x,) = inputs
    n, d = x.shape
    full = np.full(x.shape, float(gy))
    return [
        {
            "gy undivided: the factor 1/(N D) is missing, that is the gradient of a sum": full,
            "gy / N: y is the mean over N and D": full / n,
            "gy / D: y is the mean over N and D": full / d,
            "1/(N D) alone: the upstream gradient gy is missing": np.full(x.shape, 1 / (n * d)),
            "gy * x / (N D): a mean does not weight by x": gy * x / (n * d),
        }
    ]


def wrong_columns(gy, inputs):
    (x,) = inputs
    n, d = x.shape
    full = np.broadcast_to(gy, x.shape)
    return [
        {
            "gm undivided: the factor 1/N is missing, that is the gradient of a sum": full,
            "gm / D: each mean is over the N entries of a column": full / d,
            "gm / (N D): each mean is over the N entries of a column only": full / (n * d),
            "1/N alone: the upstream gradient gm is missing": np.full(x.shape, 1 / n),
            "gm * x / N: a mean does not weight by x": gy * x / n,
        }
    ]


def cases(rng):
    for n, d in [(3, 4), (5, 2)]:
        x = rng.standard_normal((n, d))
        shared = {"inputs": [x], "names": ["x"], "sizes": {"N": n, "D": d}}
        yield Case(function="backward_all", forward=lambda x: x.mean(), wrong=wrong_all, **shared)
        yield Case(
            function="backward_columns",
            forward=lambda x: x.mean(axis=0),
            wrong=wrong_columns,
            **shared,
        )


exercise = Exercise(
    name="mean",
    number=11,
    title="means",
    functions=("backward_all", "backward_columns"),
    hints=[
        "A mean is a sum, divided by how many there are. You know the gradient of a sum.",
        "Each entry of x moves y by 1/(N D) of its own move, so each gets gy / (N D). The shares "
        "add up to gy: moving all entries by e moves the mean by e.",
        "For the columns each entry moves only its own column's mean, by 1/N: gm / N, copied to "
        "all N rows.",
        "np.full(x.shape, gy / x.size), and np.broadcast_to(gm / x.shape[0], x.shape).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "undivided",
            cause="factor 1/(N D) is missing",
            code="def backward_all(gy, x):\n    return np.full(x.shape, gy)\n",
        ),
        WrongAnswer(
            "divided by the batch only",
            cause="over N and D",
            code="def backward_all(gy, x):\n    return np.full(x.shape, gy / len(x))\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward_all(gy, x):\n    return np.full(x.shape, 1 / x.size)\n",
        ),
        WrongAnswer(
            "one number only",
            cause="not spread back",
            code="def backward_all(gy, x):\n    return np.array(gy / x.size)\n",
        ),
        WrongAnswer(
            "columns: undivided",
            cause="factor 1/N is missing",
            code="def backward_columns(gm, x):\n    return np.broadcast_to(gm, x.shape)\n",
        ),
        WrongAnswer(
            "columns: divided by all",
            cause="of a column only",
            code="def backward_columns(gm, x):\n    return np.broadcast_to(gm / x.size, x.shape)\n",
        ),
    ],
    lesson="A forgotten 1/N makes the learning rate grow with the batch, and training still seems "
    "to work: one of the mistakes that only a gradient check finds.",
    requires=("sum_axis",),
)
