"""Key of exercise 07, exponential and logarithm."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong_exp(gy, inputs):
    (x,) = inputs
    y = np.exp(x)
    return [
        {
            "gy * x * e**(x - 1): the power rule is for x**k, here x is the exponent": gy
            * x
            * np.exp(x - 1),
            "gy * x * y: e**x is its own derivative, without a factor x": gy * x * y,
            "y alone: the upstream gradient gy is missing": y,
            "gy * e**y: the exponential of the output, taken twice": gy * np.exp(y),
            "gy / y: that belongs to the logarithm": gy / y,
            "gy * y**2: y only once": gy * y**2,
            "gy * x: x stands in the exponent": gy * x,
        }
    ]


def wrong_log(gy, inputs):
    (x,) = inputs
    return [
        {
            "gy * ln(x): the logarithm is not its own derivative": gy * np.log(x),
            "gy / ln(x): one over x, not over ln(x)": gy / np.log(x),
            "1 / x alone: the upstream gradient gy is missing": 1 / x,
            "gy * x: ln is flat far out, so its derivative falls with x": gy * x,
            "gy * e**x: the inverse function's derivative, not one over it": gy * np.exp(x),
            "-gy / x**2: that is the derivative of 1 / x": -gy / x**2,
        }
    ]


def cases(rng):
    for n, d in [(3, 4), (2, 5)]:
        x = rng.uniform(-1.5, 1.5, (n, d))
        positive = rng.uniform(0.3, 3.0, (n, d))
        shared = {"names": ["x"], "sizes": {"N": n, "D": d}}
        yield Case(
            function="backward_exp",
            forward=lambda x, y=None: np.exp(x),
            inputs=[x],
            options={"y": np.exp},
            terms=lambda gy, inputs: [{"gy * y": gy * np.exp(inputs[0])}],
            wrong=wrong_exp,
            **shared,
        )
        yield Case(
            function="backward_log",
            forward=np.log,
            inputs=[positive],
            terms=lambda gy, inputs: [{"gy / x": gy / inputs[0]}],
            wrong=wrong_log,
            **shared,
        )


exercise = Exercise(
    name="exp_log",
    number=7,
    title="exponential and logarithm",
    functions=("backward_exp", "backward_log"),
    hints=[
        "The derivative of e^x is e^x. Which array is that, among those that you are handed?",
        "For the logarithm: ln(e^u) = u. The derivative of the left side with respect to u is "
        "ln'(e^u) * e^u, that of the right side is 1. Put x = e^u.",
        "So ln'(x) = 1 / x: steep near 0, flat far out.",
        "gy * y for the exponential, gz / x for the logarithm.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the power rule, where x is the exponent",
            cause="power rule",
            code="def backward_exp(gy, x, y):\n    return gy * x * np.exp(x - 1)\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward_exp(gy, x, y):\n    return y\n",
        ),
        WrongAnswer(
            "the exponential taken twice",
            cause="taken twice",
            code="def backward_exp(gy, x, y):\n    return gy * np.exp(y)\n",
        ),
        WrongAnswer(
            "divided by the logarithm",
            cause="not over ln(x)",
            code="def backward_log(gz, x):\n    return gz / np.log(x)\n",
        ),
        WrongAnswer(
            "multiplied by x",
            cause="falls with x",
            code="def backward_log(gz, x):\n    return gz * x\n",
        ),
        WrongAnswer(
            "upstream of the logarithm forgotten",
            cause="upstream",
            code="def backward_log(gz, x):\n    return 1 / x\n",
        ),
        WrongAnswer(
            "the sign",
            cause="the sign is wrong",
            code="def backward_exp(gy, x, y):\n    return -gy * y\n",
        ),
        WrongAnswer(
            "twice",
            cause="2 times too large",
            code="def backward_exp(gy, x, y):\n    return 2 * gy * y\n",
        ),
    ],
    lesson="Saving the output instead of the input is a habit of good backward functions. `Exp` "
    "and `Log` in minigrad/ops/elementwise.py are these rules.",
    requires=("pow",),
)
