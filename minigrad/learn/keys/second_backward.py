"""Key of exercise 36, the gradient of a gradient."""

import math

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, wrong


def number(module, what, share):
    """Return the verdict if what a rule returned is no Number."""
    if isinstance(share, module.Number):
        return None
    if share is None:
        return wrong("nothing returned", f"{what} is None; a Number was expected.")
    text = f"{what} is a {type(share).__name__}, not a Number: it has no past, so nothing can be"
    return wrong("a plain number is returned", f"{text} differentiated again.")


def call_rules(module, values):
    """Call each rule by itself; return its results by name, or a verdict."""
    gy, a, b = [module.Number(value) for value in values]
    pair = module.mul_rule(gy, a, b)
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        text = "mul_rule has to return a pair, (ga, gb), one Number for each factor."
        return wrong("not a pair", text)
    results = {"mul_rule: ga": pair[0], "mul_rule: gb": pair[1]}
    results["sin_rule: gx"] = module.sin_rule(gy, a)
    results["cos_rule: gx"] = module.cos_rule(gy, a)
    for what, share in results.items():
        fault = number(module, what, share)
        if fault:
            return fault
    return None


def first_derivatives(module, values):
    """Compare the values of the three rules."""
    gy, a, b = values
    given = [module.Number(value) for value in values]
    ga, gb = module.mul_rule(*given)
    sine, cosine = math.sin(a), math.cos(a)
    swapped = "swapped: with b held fixed, y is b times a"
    no_gy = "the upstream gradient gy is missing"
    return (
        compare("mul_rule: ga", ga.value, gy * b, {swapped: gy * a, no_gy: b})
        or compare("mul_rule: gb", gb.value, gy * a, {swapped: gy * b, no_gy: a})
        or compare(
            "sin_rule: gx",
            module.sin_rule(given[0], given[1]).value,
            gy * cosine,
            {
                "sin itself: its derivative is cos": gy * sine,
                "-cos: the derivative of sin is +cos": -gy * cosine,
                no_gy: cosine,
            },
        )
        or compare(
            "cos_rule: gx",
            module.cos_rule(given[0], given[1]).value,
            -gy * sine,
            {
                "the sign: where cos falls, from 0 to pi, sin is positive": gy * sine,
                "cos itself: its derivative is -sin": gy * cosine,
                no_gy: -sine,
            },
        )
    )


def pasts(module, values):
    """Differentiate each rule's result again, with respect to each of what it was given."""
    gy, a, b = values
    sine, cosine = math.sin(a), math.cos(a)
    mul, sin, cos = module.mul_rule, module.sin_rule, module.cos_rule
    cases = [  # rule, which result, the derivatives with respect to gy, a and b
        ("mul_rule: ga", lambda gy, a, b: mul(gy, a, b)[0], (b, 0.0, gy)),
        ("mul_rule: gb", lambda gy, a, b: mul(gy, a, b)[1], (a, gy, 0.0)),
        ("sin_rule: gx", lambda gy, a, b: sin(gy, a), (cosine, -gy * sine, 0.0)),
        ("cos_rule: gx", lambda gy, a, b: cos(gy, a), (-sine, -gy * cosine, 0.0)),
    ]
    for what, rule, expected in cases:
        given = [module.Number(value) for value in values]
        result = rule(*given)
        names = ("gy", "a", "b") if what[:3] == "mul" else ("gy", "x", "")
        for name, x, wanted in zip(names, given, expected):
            if not name:
                continue
            again = module.grad(result, x)
            fault = number(module, f"grad({what[-2:]}, {name})", again) or compare(
                f"{what}, differentiated again with respect to {name},", again.value, wanted
            )
            if fault and isinstance(again, module.Number) and again.value == 0.0:
                text = (
                    f"{what} has the right value, but its own derivative with respect to {name} "
                    f"comes out as 0; {wanted:.6g} is right. The graph behind it does not lead to "
                    f"{name}: is {name}.value used, which is a float, or a Number made anew?"
                )
                return wrong(f"the past is cut off at {name}", text)
            if fault:
                return fault
    return None


def formulas(module, x0, w0):
    """Compare derivatives up to the third, and a mixed one, of whole formulas."""
    grad, sin, cos = module.grad, module.sin, module.cos
    s, c = math.sin(x0), math.cos(x0)

    def derivative(f, order):
        x = module.Number(x0)
        y = f(x)
        for _ in range(order):
            y = grad(y, x)
        return y.value

    cases = [
        ("x^3", lambda x: x * x * x, [3 * x0**2, 6 * x0, 6.0]),
        ("sin(x)", sin, [c, -s, -c]),
        ("cos(x)", cos, [-s, -c, s]),
        ("x sin(x)", lambda x: x * sin(x), [s + x0 * c, 2 * c - x0 * s, -3 * s - x0 * c]),
        (
            "sin(x) cos(x)",
            lambda x: sin(x) * cos(x),
            [math.cos(2 * x0), -2 * math.sin(2 * x0), -4 * math.cos(2 * x0)],
        ),
    ]
    for name, f, expected in cases:
        for order, wanted in enumerate(expected, 1):
            what = f"Derivative {order} of {name} at {x0:.4f}"
            fault = compare(what, derivative(f, order), wanted)
            if fault:
                return fault
    x, w = module.Number(x0), module.Number(w0)
    mixed = grad(grad(sin(x * w), x), w).value
    wanted = math.cos(x0 * w0) - x0 * w0 * math.sin(x0 * w0)
    return compare("d/dw of d/dx of sin(x w)", mixed, wanted)


def check(module, rng):
    values = [float(value) for value in rng.uniform(0.4, 1.2, 3) * rng.choice([-1.0, 1.0], 3)]
    return (
        call_rules(module, values)
        or first_derivatives(module, values)
        or pasts(module, values)
        or formulas(module, *values[:2])
        or right()
    )


exercise = Exercise(
    name="second_backward",
    number=36,
    title="the gradient of a gradient",
    functions=("mul_rule", "sin_rule", "cos_rule"),
    hints=[
        "The formulas are the ones that you know: gy * b and gy * a; gy times cos x; and the slope "
        "of the cosine is -sin x.",
        "Is gy * b to depend on b? Then the Number b has to go into it, not the float b.value. "
        "Number * Number is recorded, float * float is not.",
        "For the sine use the function cos of this file, which takes and returns a Number, not "
        "math.cos. The same for the cosine, with sin.",
        "mul_rule: gy * b, gy * a. sin_rule: gy * cos(x). cos_rule: gy * sin(x) * Number(-1.0).",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "the factors as floats",
            cause="cut off at b",
            code="def mul_rule(gy, a, b):\n    return gy * Number(b.value), gy * Number(a.value)\n",
        ),
        WrongAnswer(
            "the upstream as a float",
            cause="cut off at gy",
            code="def mul_rule(gy, a, b):\n    return Number(gy.value) * b, Number(gy.value) * a\n",
        ),
        WrongAnswer(
            "plain floats",
            cause="plain number",
            code="def mul_rule(gy, a, b):\n    return gy.value * b.value, gy.value * a.value\n",
        ),
        WrongAnswer(
            "math.cos",
            cause="cut off at x",
            code="def sin_rule(gy, x):\n    return gy * Number(math.cos(x.value))\n",
        ),
        WrongAnswer(
            "sign of the cosine",
            cause="the sign",
            code="def cos_rule(gy, x):\n    return gy * sin(x)\n",
        ),
        WrongAnswer(
            "swapped",
            cause="swapped",
            code="def mul_rule(gy, a, b):\n    return gy * a, gy * b\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def sin_rule(gy, x):\n    return cos(x)\n",
        ),
        WrongAnswer(
            "one gradient for both factors",
            cause="not a pair",
            code="def mul_rule(gy, a, b):\n    return gy * b\n",
        ),
    ],
    lesson="So a backward in minigrad/ops/ is written with tensors, like any formula, and "
    "create_graph=True is all it takes for the second derivative. Without it nothing new is "
    "recorded, and the graph is freed on the way: hence the error of a second backward(), unless "
    "the first had retain_graph=True.",
    requires=("mul", "accumulate"),
)
