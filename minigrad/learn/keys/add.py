"""Key of exercise 03, addition."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def terms(gy, inputs):
    return [{"gy": gy}, {"gy": gy}]


def wrong(gy, inputs):
    a, b = inputs
    ones = np.ones_like(gy)
    return [
        {
            "gy * a: a sum does not weight by its terms, dy/da is 1": gy * a,
            "gy * b: that is the gradient of a product": gy * b,
            "ones: dy/da is 1, but the upstream gradient gy is missing": ones,
            "gy / 2: both inputs get the whole gradient, it is not shared out": gy / 2,
        },
        {
            "gy * b: a sum does not weight by its terms, dy/db is 1": gy * b,
            "gy * a: that is the gradient of a product": gy * a,
            "ones: dy/db is 1, but the upstream gradient gy is missing": ones,
            "gy / 2: both inputs get the whole gradient, it is not shared out": gy / 2,
        },
    ]


def cases(rng):
    for n, d in [(3, 4), (2, 5)]:
        a, b = rng.standard_normal((n, d)), rng.standard_normal((n, d))
        yield Case(
            forward=lambda a, b: a + b,
            inputs=[a, b],
            names=["a", "b"],
            sizes={"N": n, "D": d},
            terms=terms,
            wrong=wrong,
        )


exercise = Exercise(
    name="add",
    number=3,
    title="addition",
    hints=[
        "Take single numbers: y = a + b. When a grows by 0.01, how much does y grow?",
        "So dy/da = 1. The chain rule: dL/da = dL/dy * dy/da. Which of the two is gy?",
        "ga is gy times 1. The same holds for gb. Return both, as a tuple.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "local derivative only",
            cause="upstream",
            code="def backward(gy, a, b):\n    return a * 0 + 1, b * 0 + 1\n",
        ),
        WrongAnswer(
            "the rule of multiplication",
            cause="gradient of a product",
            code="def backward(gy, a, b):\n    return gy * b, gy * a\n",
        ),
        WrongAnswer(
            "shared out between the two",
            cause="not shared out",
            code="def backward(gy, a, b):\n    return gy / 2, gy / 2\n",
        ),
        WrongAnswer(
            "the second has the sign of a difference",
            cause="sign",
            code="def backward(gy, a, b):\n    return gy, -gy\n",
        ),
        WrongAnswer(
            "one gradient only",
            cause="instead of 2",
            code="def backward(gy, a, b):\n    return gy\n",
        ),
    ],
    lesson="A sum copies the gradient to all its terms. `Add` in minigrad/ops/elementwise.py is "
    "this rule.",
)
