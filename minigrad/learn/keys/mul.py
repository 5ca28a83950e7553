"""Key of exercise 04, multiplication."""

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def terms(gy, inputs):
    a, b = inputs
    return [{"gy * b": gy * b}, {"gy * a": gy * a}]


def wrong(gy, inputs):
    a, b = inputs
    return [
        {
            "gy * a: the gradient of a factor is the other factor": gy * a,
            "gy alone: that is the gradient of a sum": gy,
            "gy / b: that undoes the product": gy / b,
            "b alone: the upstream gradient gy is missing": b,
            "gy * a * b: that multiplies by y, not by dy/da": gy * a * b,
        },
        {
            "gy * b: the gradient of a factor is the other factor": gy * b,
            "gy alone: that is the gradient of a sum": gy,
            "gy / a: that undoes the product": gy / a,
            "a alone: the upstream gradient gy is missing": a,
            "gy * a * b: that multiplies by y, not by dy/db": gy * a * b,
        },
    ]


def cases(rng):
    for n, d in [(3, 4), (2, 5)]:
        a, b = rng.standard_normal((n, d)), rng.standard_normal((n, d))
        yield Case(
            forward=lambda a, b: a * b,
            inputs=[a, b],
            names=["a", "b"],
            sizes={"N": n, "D": d},
            terms=terms,
            wrong=wrong,
        )


exercise = Exercise(
    name="mul",
    number=4,
    title="multiplication",
    hints=[
        "Take single numbers: y = a * b with b = 3. When a grows by 0.01, how much does y grow?",
        "While a moves, b is a constant factor, so dy/da = b. What is dy/db?",
        "The chain rule multiplies by the upstream gradient: dL/da = dL/dy * dy/da, where dL/dy "
        "is gy. Element by element, so plain * on the arrays does it.",
        "ga is gy times the other factor, which is b. gb goes the same way.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "each with its own factor",
            cause="the other factor",
            code="def backward(gy, a, b):\n    return gy * a, gy * b\n",
        ),
        WrongAnswer(
            "the rule of addition",
            cause="gradient of a sum",
            code="def backward(gy, a, b):\n    return gy, gy\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, a, b):\n    return b, a\n",
        ),
        WrongAnswer(
            "multiplied by the output",
            cause="multiplies by y",
            code="def backward(gy, a, b):\n    return gy * a * b, gy * a\n",
        ),
    ],
    lesson="A product passes the gradient on, weighted by the *other* factor. `Mul` in "
    "minigrad/ops/elementwise.py is this rule.",
    requires=("add",),
)
