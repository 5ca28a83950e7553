"""Key of exercise 39, find the bug: = where += belongs."""

import math

from minigrad.learn.exercise import Exercise, WrongAnswer, right, wrong

BUG = "tanh overwrites the gradient (=) that other uses of x have left there: += adds to it"

# Formulas of x and w, with +, * and tanh; each starts at the numbers and ends at y.
FORMULAS = {
    "tanh(x)": lambda x, w: x.tanh(),
    "x * x + x": lambda x, w: x * x + x,
    "(x + w) * x": lambda x, w: (x + w) * x,
    "x * (w * x)": lambda x, w: x * (w * x),
    "tanh(w * x + x)": lambda x, w: (w * x + x).tanh(),
    "x + tanh(x)": lambda x, w: x + x.tanh(),
    "tanh(x) + x": lambda x, w: x.tanh() + x,
    "x + tanh(w * x)": lambda x, w: x + (w * x).tanh(),
    "tanh(x) + tanh(x)": lambda x, w: x.tanh() + x.tanh(),
    "x * tanh(x)": lambda x, w: x * x.tanh(),
    "u + tanh(u), u = w * x": lambda x, w: residual(w * x),
}


def residual(u):
    return u + u.tanh()


class Dual:
    """A number and its derivative with respect to x, carried forward: the truth, another way."""

    def __init__(self, value, slope):
        self.value, self.slope = value, slope

    def __add__(self, other):
        return Dual(self.value + other.value, self.slope + other.slope)

    def __mul__(self, other):
        slope = self.slope * other.value + self.value * other.slope
        return Dual(self.value * other.value, slope)

    def tanh(self):
        y = math.tanh(self.value)
        return Dual(y, self.slope * (1 - y * y))


def engine(overwrites="", slope=lambda y, value: 1 - y * y, first_only=False):
    """Return a class of numbers whose operation `overwrites` sets gradients instead of adding."""

    class Simulated:
        def __init__(self, value, pairs=(), operation=""):
            self.value, self.pairs, self.operation, self.grad = value, pairs, operation, 0.0

        def __add__(self, other):
            return Simulated(self.value + other.value, [(self, 1.0), (other, 1.0)], "add")

        def __mul__(self, other):
            pairs = [(self, other.value), (other, self.value)]
            return Simulated(self.value * other.value, pairs, "mul")

        def tanh(self):
            y = math.tanh(self.value)
            return Simulated(y, [(self, slope(y, self.value))], "tanh")

        def give_back(self):
            for source, derivative in self.pairs:
                share = self.grad * derivative
                source.grad = share if self.operation == overwrites else source.grad + share

    return Simulated


def simulate(Number, formula, x, w):
    """Return the gradient of x in one formula, with a class of `engine`."""
    x, w = Number(x), Number(w)
    y = formula(x, w)
    order, seen = [], set()

    def visit(number):
        if number not in seen:
            seen.add(number)
            for source, _ in number.pairs:
                visit(source)
            order.append(number)

    visit(y)
    y.grad = 1.0
    for number in reversed(order):
        number.give_back()
    return x.grad


ENGINES = {
    BUG: engine("tanh"),
    "+ overwrites gradients (=): += adds to what is there": engine("add"),
    "* overwrites gradients (=): += adds to what is there": engine("mul"),
    "the slope of tanh is 1 - tanh^2, not 1 - x^2": engine(slope=lambda y, x: 1 - x * x),
    "the slope of tanh is 1 - tanh^2, not 1 - tanh": engine(slope=lambda y, x: 1 - y),
    "the slope of tanh is missing": engine(slope=lambda y, x: 1.0),
    "the gradient of a tanh gets nothing": engine(slope=lambda y, x: 0.0),
}


def close(a, b):
    return abs(a - b) <= 1e-9 * max(1.0, abs(b))


def check(module, rng):
    x, w = (float(v) for v in rng.uniform(0.3, 1.3, 2) * rng.choice([-1.0, 1.0], 2))
    rows, simulated = [], {cause: [] for cause in ENGINES}
    for name, formula in FORMULAS.items():
        leaf = module.Number(x)
        y = formula(leaf, module.Number(w))
        truth = formula(Dual(x, 1.0), Dual(w, 0.0))
        if not close(y.value, truth.value):
            text = f"{name} at x = {x:.4f}, w = {w:.4f} is {truth.value:.6g}, yours {y.value:.6g}."
            return wrong("a value is wrong", text)
        module.backward(y)
        if not isinstance(leaf.grad, int | float):
            text = f"{name}: after backward, x.grad is {leaf.grad!r}; a float was expected."
            return wrong("x.grad is no number", text)
        rows.append((name, float(leaf.grad), truth.slope))
        for cause, Number in ENGINES.items():
            simulated[cause].append(simulate(Number, formula, x, w))
    if all(close(yours, expected) for _, yours, expected in rows):
        return right()
    cause = next(
        (
            cause
            for cause, values in simulated.items()
            if all(close(yours, value) for (_, yours, _), value in zip(rows, values))
        ),
        None,
    )
    return wrong(cause, table(rows, x, w, None if cause == BUG else cause))


def table(rows, x, w, cause):
    """Tell for each formula what came and what is right, and, unless it is the bug, the cause."""
    lines = [f"dy/dx is not right for all formulas, at x = {x:.4f} and w = {w:.4f}."]
    lines += [f"  cause: {cause}"] if cause else []
    lines += ["", f"  {'y':24}{'your x.grad':>14}{'dy/dx':>14}"]
    for name, yours, expected in rows:
        state = "right" if close(yours, expected) else "wrong"
        lines.append(f"  {name:24}{yours:14.6f}{expected:14.6f}   {state}")
    return "\n".join(lines)


def replaced(method, line):
    """Return code that gives an operation of the solution another line in its give_back."""
    values = {"__add__": "+", "__mul__": "*"}
    if method == "tanh":
        head, arguments, sources = "math.tanh(self.value)", "self", "(self,)"
    else:
        head, arguments = f"self.value {values[method]} other.value", "self, other"
        sources = "(self, other)"
    return (
        f"def operation({arguments}):\n"
        f"    y = Number({head}, {sources})\n"
        "    def give_back():\n"
        f"        {line}\n"
        "    y.give_back = give_back\n"
        "    return y\n"
        f"Number.{method} = operation\n"
    )


exercise = Exercise(
    name="bug_small_engine",
    number=39,
    title="find the bug, a small engine",
    functions=("backward", "Number"),
    bug=True,
    hints=[
        "tanh(x) is right, x + tanh(x) is not. tanh(w * x + x) is right: there x is used twice, "
        "but not by tanh.",
        "Take x + tanh(x). The walk comes to + first: x.grad is 1 and the gradient of tanh(x) is "
        "1. Then it comes to tanh. What should x.grad be afterwards, and what is it?",
        "A number that is used in several places gets a share from each of them, and the shares "
        "add up. Compare the three functions give_back with that in mind, character by character.",
        "In tanh: self.grad += ..., where there is self.grad = ... .",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "all overwrite",
            cause="+ overwrites",
            code=replaced("__add__", "self.grad = y.grad; other.grad = y.grad"),
        ),
        WrongAnswer(
            "the product overwrites",
            cause="* overwrites",
            code=replaced(
                "__mul__", "self.grad = y.grad * other.value; other.grad = y.grad * self.value"
            ),
        ),
        WrongAnswer(
            "still the bug, written another way",
            cause="tanh overwrites",
            code=replaced("tanh", "self.grad = 0.0 + y.grad * (1 - y.value**2)"),
        ),
        WrongAnswer(
            "slope of the input",
            cause="not 1 - x^2",
            code=replaced("tanh", "self.grad += y.grad * (1 - self.value**2)"),
        ),
        WrongAnswer(
            "slope forgotten",
            cause="slope of tanh is missing",
            code=replaced("tanh", "self.grad += y.grad"),
        ),
    ],
    lesson="A gradient that arrives is added, never set. The mistake hides as long as each number "
    "is used once, or its first use comes last in the walk: test with formulas that use a number "
    "in two places.",
    requires=("accumulate",),
)
