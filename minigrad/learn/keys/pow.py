"""Key of exercise 06, powers."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def cases(rng):
    # No size is a power of k, or the inverse of one: a factor has one name only.
    for k, n, d in [(3.0, 4, 5), (0.5, 3, 5), (-2.0, 5, 3)]:
        x = rng.uniform(0.5, 2.0, (n, d))

        def wrong(gy, inputs, k=k):
            (x,) = inputs
            return [
                {
                    "gy * x**(k - 1): the factor k is missing": gy * x ** (k - 1),
                    "gy * k * x**k: the power falls by one": gy * k * x**k,
                    "gy * x**k: that multiplies by y, not by dy/dx": gy * x**k,
                    "gy * (k - 1) * x**(k - 1): the factor is the power before it falls": gy
                    * (k - 1)
                    * x ** (k - 1),
                    "gy * x**k * log(x): that is the derivative with respect to k": gy
                    * x**k
                    * np.log(x),
                    "gy * (k * x)**(k - 1): the power belongs to x alone": gy * (k * x) ** (k - 1),
                    "gy * x**(k - 1) / k: divided by k, which comes down as a factor": gy
                    * x ** (k - 1)
                    / k,
                    "gy * k * x: the power k - 1 is missing": gy * k * x,
                    "gy * x**(k + 1) / (k + 1): that integrates": gy * x ** (k + 1) / (k + 1),
                    "k * x**(k - 1) alone: the upstream gradient gy is missing": k * x ** (k - 1),
                }
            ]

        yield Case(
            forward=lambda x, k: x**k,
            inputs=[x],
            names=["x"],
            options={"k": k},
            sizes={"N": n, "D": d, "k": k},
            terms=lambda gy, inputs, k=k: [{"gy * k * x**(k - 1)": gy * k * inputs[0] ** (k - 1)}],
            wrong=wrong,
        )


exercise = Exercise(
    name="pow",
    number=6,
    title="powers",
    hints=[
        "x^2 = x * x. By the product rule of exercise 4, its derivative is x + x. And "
        "x^3 = x * x * x has three factors that may move.",
        "The power comes down as a factor, and one factor of x fewer is left: x^3 becomes 3 x^2.",
        "The rule k * x^(k - 1) holds for every real k, also 0.5 and -2.",
        "gx is gy * k * x**(k - 1).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the factor forgotten",
            cause="factor k is missing",
            code="def backward(gy, x, k):\n    return gy * x ** (k - 1)\n",
        ),
        WrongAnswer(
            "the power does not fall",
            cause="power falls by one",
            code="def backward(gy, x, k):\n    return gy * k * x**k\n",
        ),
        WrongAnswer(
            "derived with respect to k",
            cause="with respect to k",
            code="import numpy as np\n\n"
            "def backward(gy, x, k):\n    return gy * x**k * np.log(x)\n",
        ),
        WrongAnswer(
            "the factor taken after the power fell",
            cause="before it falls",
            code="def backward(gy, x, k):\n    return gy * (k - 1) * x ** (k - 1)\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, x, k):\n    return k * x ** (k - 1)\n",
        ),
        WrongAnswer(
            "the factor inside of the power",
            cause="the power belongs to x alone",
            code="def backward(gy, x, k):\n    return gy * (k * x) ** (k - 1)\n",
        ),
        WrongAnswer(
            "divided by the power",
            cause="divided by k",
            code="def backward(gy, x, k):\n    return gy * x ** (k - 1) / k\n",
        ),
    ],
    lesson="Near 0 a square root is infinitely steep: that is where training returns NaN. `Pow` in "
    "minigrad/ops/elementwise.py is this rule.",
    requires=("mul",),
)
