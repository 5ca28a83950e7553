"""Key of exercise 08, tanh and sigmoid."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def sigmoid(x, s=None):
    return 1 / (1 + np.exp(-x))


def wrong_tanh(gy, inputs):
    (x,) = inputs
    t = np.tanh(x)
    return [
        {
            "gy * (1 - t): the square is missing": gy * (1 - t),
            "gy * (1 - x**2): the output t belongs there, not the input x": gy * (1 - x**2),
            "gy * t * (1 - t): that is the sigmoid's": gy * t * (1 - t),
            "gy * (1 + t**2): the sign before the square": gy * (1 + t**2),
            "gy * (t**2 - 1): tanh climbs everywhere, its derivative is positive": gy * (t**2 - 1),
            "1 - t**2 alone: the upstream gradient gy is missing": 1 - t**2,
            "gy * (1 - tanh(t)**2): t is the output already, tanh was taken twice": gy
            * (1 - np.tanh(t) ** 2),
            "gy / (1 - t**2): that belongs to the inverse function": gy / (1 - t**2),
        }
    ]


def wrong_sigmoid(gy, inputs):
    (x,) = inputs
    s = sigmoid(x)
    return [
        {
            "gy * x * (1 - x): the output s belongs there, not the input x": gy * x * (1 - x),
            "gy * (1 - s): the factor s is missing": gy * (1 - s),
            "gy * s: the factor 1 - s is missing": gy * s,
            "gy * (1 - s**2): that is the tanh's": gy * (1 - s**2),
            "s * (1 - s) alone: the upstream gradient gy is missing": s * (1 - s),
            "gy * s * (s - 1): the sigmoid climbs everywhere, its derivative is positive": gy
            * s
            * (s - 1),
            "gy * e**-x * s**2 with the sign of e**-x's derivative lost once": -gy
            * np.exp(-x)
            * s**2,
            "gy * sigmoid(s) * (1 - sigmoid(s)): s is the output already, it was taken twice": gy
            * sigmoid(s)
            * (1 - sigmoid(s)),
            "gy * s**2 * (1 - s): s only once": gy * s**2 * (1 - s),
            "-gy * s**2: that is ds/du alone, du/dx = -e**-x is missing": -gy * s**2,
        }
    ]


def cases(rng):
    for n, d in [(3, 4), (2, 5)]:
        x = rng.uniform(-2.0, 2.0, (n, d))
        shared = {"inputs": [x], "names": ["x"], "sizes": {"N": n, "D": d}}
        yield Case(
            function="backward_tanh",
            forward=lambda x, t=None: np.tanh(x),
            options={"t": np.tanh},
            terms=lambda gy, inputs: [{"gy": gy, "-gy * t**2": -gy * np.tanh(inputs[0]) ** 2}],
            wrong=wrong_tanh,
            **shared,
        )
        yield Case(
            function="backward_sigmoid",
            forward=sigmoid,
            options={"s": sigmoid},
            terms=lambda gy, inputs: [
                {"gy * s": gy * sigmoid(inputs[0]), "-gy * s**2": -gy * sigmoid(inputs[0]) ** 2}
            ],
            wrong=wrong_sigmoid,
            **shared,
        )


exercise = Exercise(
    name="tanh_sigmoid",
    number=8,
    title="tanh and sigmoid",
    functions=("backward_tanh", "backward_sigmoid"),
    hints=[
        "Sigmoid: s = u^(-1) with u = 1 + e^-x. ds/du = -u^(-2), and du/dx = -e^-x. Two minus "
        "signs.",
        "So ds/dx = e^-x / (1 + e^-x)^2. One factor 1 / (1 + e^-x) is s. The other, "
        "e^-x / (1 + e^-x), is what is left of 1 when s is taken away.",
        "Tanh: with n = e^x - e^-x and m = e^x + e^-x, n' = m and m' = n. The quotient rule gives "
        "(m m - n n) / m^2 = 1 - (n / m)^2.",
        "gt * (1 - t**2), and gs * s * (1 - s).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the square forgotten",
            cause="square is missing",
            code="def backward_tanh(gt, x, t):\n    return gt * (1 - t)\n",
        ),
        WrongAnswer(
            "the input for the output",
            cause="not the input x",
            code="def backward_tanh(gt, x, t):\n    return gt * (1 - x**2)\n",
        ),
        WrongAnswer(
            "the input for the output, in the sigmoid",
            cause="not the input x",
            code="def backward_sigmoid(gs, x, s):\n    return gs * x * (1 - x)\n",
        ),
        WrongAnswer(
            "half of the sigmoid's derivative",
            cause="factor 1 - s is missing",
            code="def backward_sigmoid(gs, x, s):\n    return gs * s\n",
        ),
        WrongAnswer(
            "the other one's rule",
            cause="that is the tanh's",
            code="def backward_sigmoid(gs, x, s):\n    return gs * (1 - s**2)\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward_sigmoid(gs, x, s):\n    return s * (1 - s)\n",
        ),
        WrongAnswer(
            "twice",
            cause="2 times too large",
            code="def backward_tanh(gt, x, t):\n    return 2 * gt * (1 - t * t)\n",
        ),
        WrongAnswer(
            "only the outer derivative",
            cause="du/dx = -e**-x is missing",
            code="def backward_sigmoid(gs, x, s):\n    return -gs * s**2\n",
        ),
        WrongAnswer(
            "the sigmoid's twice",
            cause="2 times too large",
            code="def backward_sigmoid(gs, x, s):\n    return 2 * gs * s * (1 - s)\n",
        ),
    ],
    lesson="The sigmoid's slope is at most 1/4, so ten of them shrink a gradient a million times: "
    "the vanishing gradient. `Tanh` and `Sigmoid` in minigrad/ops/elementwise.py.",
    requires=("exp_log",),
)
