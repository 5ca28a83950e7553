"""Key of exercise 05, subtraction and division."""

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong_sub(gy, inputs):
    return [
        {"-gy: a itself has the sign +": -gy},
        {"gy: b is taken away, so its sign is missing": gy},
    ]


def wrong_div(gy, inputs):
    a, b = inputs
    return [
        {
            "gy * b: dq/da is 1/b, the constant that a is multiplied by": gy * b,
            "1 / b alone: the upstream gradient gy is missing": 1 / b,
            "gy: that is the gradient of a difference": gy,
            "gy * a / b**2: that belongs to b": gy * a / b**2,
        },
        {
            "gy * a / b**2: the sign is missing, more in the denominator makes less": gy * a / b**2,
            "-gy / b**2: the numerator a is missing": -gy / b**2,
            "gy / b**2: the numerator a and the sign are missing": gy / b**2,
            "-gy * a / b: the power of b falls by one, from -1 to -2": -gy * a / b,
            "gy * a: that is the gradient of a product": gy * a,
            "gy / a: dq/db is not one over the other input": gy / a,
            "-a / b**2 alone: the upstream gradient gy is missing": -a / b**2,
            "-gy * a: a / b * b is (a / b) * b, so write a / b**2 or a / (b * b)": -gy * a,
        },
    ]


def cases(rng):
    for n, d in [(3, 4), (2, 5)]:
        a = rng.standard_normal((n, d))
        b = rng.uniform(0.5, 2.0, (n, d)) * rng.choice([-1.0, 1.0], (n, d))
        shared = {"inputs": [a, b], "names": ["a", "b"], "sizes": {"N": n, "D": d}}
        yield Case(
            function="backward_sub",
            forward=lambda a, b: a - b,
            terms=lambda gy, inputs: [{"gy": gy}, {"-gy": -gy}],
            wrong=wrong_sub,
            **shared,
        )
        yield Case(
            function="backward_div",
            forward=lambda a, b: a / b,
            terms=lambda gy, inputs: [
                {"gy / b": gy / inputs[1]},
                {"-gy * a / b**2": -gy * inputs[0] / inputs[1] ** 2},
            ],
            wrong=wrong_div,
            **shared,
        )


exercise = Exercise(
    name="sub_div",
    number=5,
    title="subtraction and division",
    functions=("backward_sub", "backward_div"),
    hints=[
        "Take single numbers. d = 5 - 3: when b grows by 0.01, what happens to d? And q = 6 / 3: "
        "when a grows by 0.01, q grows by a third of that.",
        "dd/da = 1 and dd/db = -1. dq/da = 1/b, because b is held fixed.",
        "q = a * b^(-1), so by the power rule dq/db = -a * b^(-2): negative, since dividing by "
        "more gives less. It equals -q / b.",
        "Multiply each of the four by the upstream gradient: gd, -gd; gq / b, -gq * a / b**2.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the same sign for both",
            cause="sign is missing",
            code="def backward_sub(gd, a, b):\n    return gd, gd\n",
        ),
        WrongAnswer(
            "the denominator's sign forgotten",
            cause="sign is missing",
            code="def backward_div(gq, a, b):\n    return gq / b, gq * a / b**2\n",
        ),
        WrongAnswer(
            "the numerator forgotten",
            cause="numerator a is missing",
            code="def backward_div(gq, a, b):\n    return gq / b, -gq / b**2\n",
        ),
        WrongAnswer(
            "one power too few",
            cause="power of b",
            code="def backward_div(gq, a, b):\n    return gq / b, -gq * a / b\n",
        ),
        WrongAnswer(
            "multiplied instead of divided",
            cause="dq/da is 1/b",
            code="def backward_div(gq, a, b):\n    return gq * b, -gq * a / b**2\n",
        ),
        WrongAnswer(
            "swapped",
            cause="has the sign +",
            code="def backward_sub(gd, a, b):\n    return -gd, gd\n",
        ),
        WrongAnswer(
            "a / b * b",
            cause="is (a / b) * b",
            code="def backward_div(gq, a, b):\n    return gq / b, -gq * a / b * b\n",
        ),
    ],
    lesson="A difference copies the gradient, once with the sign turned. `Sub` and `Div` in "
    "minigrad/ops/elementwise.py are these rules.",
    requires=("mul",),
)
