"""Key of exercise 09, relu."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer, diagnose_function, wrong


def relu(x):
    return np.maximum(x, 0)


def known(gy, inputs):
    (x,) = inputs
    return [
        {
            "gy everywhere: where x < 0 nothing passes": gy,
            "max(gy, 0): the sign of x decides, not that of gy": np.maximum(gy, 0),
            "gy * max(x, 0): that multiplies by y, not by dy/dx": gy * np.maximum(x, 0),
            "the mask alone: the upstream gradient gy is missing": (x > 0) * 1.0,
            "gy where x < 0: the mask is the wrong way round": gy * (x < 0),
            "gy * sign(x): where x < 0 the slope is 0, not -1": gy * np.sign(x),
            "max(gy * x, 0): masked after multiplying": np.maximum(gy * x, 0),
            "gy where x > 0 and gy > 0: a negative gradient passes, too": np.maximum(gy, 0)
            * (x > 0),
        }
    ]


def cases(rng):
    for n, d in [(3, 4), (4, 5)]:
        x = rng.uniform(0.2, 2.0, (n, d)) * rng.choice([-1.0, 1.0], (n, d))
        x[0, :2] = 0.7, -0.7  # both signs, whatever was drawn
        yield Case(
            forward=relu,
            inputs=[x],
            names=["x"],
            sizes={"N": n, "D": d},
            wrong=known,
        )


def check(module, rng):
    """At the corner every slope is accepted, but it must be a number, and leave the rest alone."""
    x = rng.standard_normal((5, 6))
    x[2, 3] = 0.0
    gx = np.asarray(module.backward(np.ones_like(x), x.copy()), dtype=float).reshape(x.shape)
    if not np.isfinite(gx[2, 3]):
        cause = "0 / 0 at the corner: there the gradient must be a number, too"
        text = f"{cause}.\n  At x = 0 yours is {gx[2, 3]}. A comparison, x > 0, divides by nothing."
        return wrong(cause, text)
    return diagnose_function(module.backward, Case(relu, [x], ["x"], {"N": 5, "D": 6}))


exercise = Exercise(
    name="relu",
    number=9,
    title="relu, a function with a corner",
    hints=[
        "Draw max(x, 0). What is its slope left of 0, and right of it?",
        "The slope is an array of zeros and ones: x > 0, which NumPy counts as 1 where true.",
        "gx is gy where x > 0, and 0 elsewhere: a product with the mask, or np.where.",
    ],
    cases=cases,
    check=check,
    wrong_answers=[
        WrongAnswer(
            "relu applied to the gradient",
            cause="sign of x decides",
            code="def backward(gy, x):\n    return np.maximum(gy, 0)\n",
        ),
        WrongAnswer(
            "multiplied by the output",
            cause="multiplies by y",
            code="def backward(gy, x):\n    return gy * np.maximum(x, 0)\n",
        ),
        WrongAnswer(
            "everything passes",
            cause="nothing passes",
            code="def backward(gy, x):\n    return gy\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, x):\n    return (x > 0) * 1.0\n",
        ),
        WrongAnswer(
            "the slope of |x|",
            cause="not -1",
            code="def backward(gy, x):\n    return gy * np.sign(x)\n",
        ),
        WrongAnswer(
            "changes the upstream in place",
            cause="in place",
            code="def backward(gy, x):\n    gy[x <= 0] = 0\n    return gy\n",
        ),
        WrongAnswer(
            "a formula that divides by x",
            cause="0 / 0",
            code="def backward(gy, x):\n    return gy * (x + abs(x)) / (2 * x)\n",
        ),
    ],
    lesson="A relu that is negative for every sample gets no gradient and never changes again: it "
    "is dead. `Relu` in minigrad/ops/elementwise.py is this rule.",
    requires=("mul",),
)
