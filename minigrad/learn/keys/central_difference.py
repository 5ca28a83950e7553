"""Key of exercise 01, central difference."""

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, to_do, wrong


def forward_difference(f, x, h):
    return (f(x + h) - f(x)) / h


def central_difference(f, x, h):
    return (f(x + h) - f(x - h)) / (2 * h)


def partials(f, x, h, rule):
    """Apply a rule for one number along each entry of x."""
    result = np.zeros_like(x)
    for index in np.ndindex(x.shape):

        def along(t, index=index):
            moved = x.copy()
            moved[index] = t
            return f(moved)

        result[index] = rule(along, x[index], h)
    return result


def known(f, x, h, apply):
    """Return the results of the usual mistakes; `apply` makes a result out of a rule."""
    return {
        "forward difference: one side only, so the error is of order h, not h^2": apply(
            f, x, h, forward_difference
        ),
        "backward difference: one side only, so the error is of order h, not h^2": apply(
            f, x, h, lambda f, x, h: (f(x) - f(x - h)) / h
        ),
        "divided by h: the two points are 2 h apart": apply(
            f, x, h, lambda f, x, h: (f(x + h) - f(x - h)) / h
        ),
        "not divided: a difference of values is not yet a slope": apply(
            f, x, h, lambda f, x, h: f(x + h) - f(x - h)
        ),
        "(f(x+h) - f(x-h)) / 2 * h: that multiplies by h; write / (2 * h)": apply(
            f, x, h, lambda f, x, h: (f(x + h) - f(x - h)) / 2 * h
        ),
        "f(x - h) - f(x + h): the two sides are swapped, so the sign is wrong": -apply(
            f, x, h, central_difference
        ),
    }


def check_derivative(module, rng):
    functions = {"exp": np.exp, "sin": np.sin, "x**3": lambda x: x**3}
    for name, f in functions.items():
        x, h = float(rng.uniform(0.5, 1.5)), float(rng.choice([1e-1, 1e-2, 1e-3]))
        fault = compare(
            f"derivative({name}, {x:.3f}, h={h:g})",
            module.derivative(f, x, h=h),
            central_difference(f, x, h),
            known(f, x, h, lambda f, x, h, rule: rule(f, x, h)),
        )
        if fault:
            return fault
    return None


def check_gradient(module, rng):
    weights = rng.standard_normal((2, 3))

    def f(x):
        return float(np.sum(weights * np.exp(x)) + x.flat[0] * x.flat[-1])

    x, h = rng.standard_normal((2, 3)), 1e-2
    kept = x.copy()
    returned = module.gradient(f, x, h=h)
    if not np.array_equal(x, kept):
        text = (
            "gradient(f, x) changed x: afterwards it is not what it was. Move a copy, or set each "
            "entry back to the number that it had (adding and subtracting h is not exact)."
        )
        return wrong("x was changed in place", text)
    all_at_once = (f(x + h) - f(x - h)) / (2 * h)
    mistakes = {
        "all entries moved at once: one at a time gives the partial derivatives": np.full_like(
            x, all_at_once
        ),
        **known(f, x, h, partials),
    }
    return compare(
        "gradient(f, x) for an x of shape (2, 3)",
        returned,
        partials(f, x, h, central_difference),
        mistakes,
    )


def check_step(module, rng):
    """The step that is given must be the one that is used: nothing else shows here."""
    seen = []

    def f(x):
        seen.append(float(np.max(np.abs(x - 1.0))))
        return float(np.sum(x * x))

    module.derivative(f, 1.0, h=0.25)
    module.gradient(f, np.ones(3), h=0.25)
    if not np.allclose(max(seen), 0.25, rtol=1e-9):
        text = f"With h=0.25 the function was asked {max(seen):g} away from x, not 0.25."
        return wrong("the step is not h", text)
    return None


def check(module, rng):
    fault = check_derivative(module, rng)
    if fault:
        return fault
    try:
        return check_gradient(module, rng) or check_step(module, rng) or right()
    except NotImplementedError:
        return to_do("derivative is right. Next: gradient.")


exercise = Exercise(
    name="central_difference",
    number=1,
    title="central difference",
    functions=("derivative", "gradient"),
    hints=[
        "Subtract the second of Taylor's lines from the first. Which terms are left, and with "
        "which factor?",
        "f(x + h) - f(x - h) = 2 h f'(x) + a term with h^3. Now solve for f'(x), and mind the "
        "brackets: in Python a / 2 * h is (a / 2) * h.",
        "gradient: f(x + step) is f with one entry of x moved up by h, f(x - step) with it moved "
        "down. So it is the same formula again, with step for h inside f only.",
        "derivative: (f(x + h) - f(x - h)) / (2 * h). gradient: result[index] = the same line with "
        "x + step and x - step inside f, and h itself in the denominator.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "forward difference",
            cause="forward difference",
            code="def derivative(f, x, h=1e-3):\n    return (f(x + h) - f(x)) / h\n",
        ),
        WrongAnswer(
            "divided by h",
            cause="2 h apart",
            code="def derivative(f, x, h=1e-3):\n    return (f(x + h) - f(x - h)) / h\n",
        ),
        WrongAnswer(
            "brackets forgotten",
            cause="multiplies by h",
            code="def derivative(f, x, h=1e-3):\n    return (f(x + h) - f(x - h)) / 2 * h\n",
        ),
        WrongAnswer(
            "all entries at once",
            cause="one at a time",
            code="def gradient(f, x, h=1e-3):\n"
            "    return np.full_like(x, (f(x + h) - f(x - h)) / (2 * h))\n",
        ),
        WrongAnswer(
            "x is left moved",
            cause="changed in place",
            code="def gradient(f, x, h=1e-3):\n"
            "    result = np.zeros_like(x)\n"
            "    for i in np.ndindex(x.shape):\n"
            "        x[i] += h\n"
            "        above = f(x)\n"
            "        x[i] -= 2 * h\n"
            "        result[i] = (above - f(x)) / (2 * h)\n"
            "    return result\n",
        ),
        WrongAnswer(
            "forward difference for arrays",
            cause="forward difference",
            code="def gradient(f, x, h=1e-3):\n"
            "    result = np.zeros_like(x)\n"
            "    for i in np.ndindex(x.shape):\n"
            "        step = np.zeros_like(x)\n"
            "        step[i] = h\n"
            "        result[i] = (f(x + step) - f(x)) / h\n"
            "    return result\n",
        ),
        WrongAnswer(
            "one number for all",
            cause="wrong shape",
            code="def gradient(f, x, h=1e-3):\n    return derivative(f, x, h)\n",
        ),
    ],
    lesson="This is the heart of `gradcheck`. minigrad/gradcheck/ adds what makes it sharp: two "
    "steps whose errors cancel, random directions, corners.",
)
