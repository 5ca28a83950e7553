"""Key of exercise 33, a tensor that is used twice."""

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, wrong

# Each formula as steps: (name, operator, first input, second input). x, w and c are the leaves.
FORMULAS = {
    "y = x * w": [("y", "*", "x", "w")],
    "y = x * w + x": [("u", "*", "x", "w"), ("y", "+", "u", "x")],  # two shares that differ
    "y = x + x": [("y", "+", "x", "x")],
    "y = x * x": [("y", "*", "x", "x")],
    "y = x * x * x": [("u", "*", "x", "x"), ("y", "*", "u", "x")],
    "y = (x * c) * (x + w)": [("u", "*", "x", "c"), ("v", "+", "x", "w"), ("y", "*", "u", "v")],
    "y = (u + u) * x, u = x + w": [
        ("u", "+", "x", "w"),
        ("v", "+", "u", "u"),
        ("y", "*", "v", "x"),
    ],
}


def run(leaves, steps):
    """Return the tensors of a formula by name; the leaves are of any kind that has + and *."""
    made = dict(leaves)
    for name, operator, a, b in steps:
        made[name] = made[a] + made[b] if operator == "+" else made[a] * made[b]
    return made


def walk(arrays, steps, gy, receive):
    """Return the gradients by name, where `receive(so_far, share)` says what a share becomes."""
    values = run(arrays, steps)
    gradients = {"y": gy.copy()}
    for name, operator, a, b in reversed(steps):
        g = gradients[name]
        shares = (g, g) if operator == "+" else (g * values[b], g * values[a])
        for source, share in zip((a, b), shares):
            gradients[source] = receive(gradients.get(source), share)
    return gradients


def add(so_far, share):
    return share if so_far is None else so_far + share


def add_in_place(so_far, share):
    if so_far is None:
        return share
    so_far += share
    return so_far


RULES = {
    "the last share alone: each one overwrites what came before, but they add up": (
        lambda so_far, share: share
    ),
    "the first share alone: what comes later is dropped, but they add up": (
        lambda so_far, share: share if so_far is None else so_far
    ),
    "subtracted: the moves of L add up": (
        lambda so_far, share: share if so_far is None else so_far - share
    ),
    "the mean of the shares: each use moves L in full, so they add up": (
        lambda so_far, share: share if so_far is None else (so_far + share) / 2
    ),
    "the product of the shares: moves of L add up": (
        lambda so_far, share: share if so_far is None else so_far * share
    ),
    "added in place (+=): that changes an array which others hold too": add_in_place,
}


def check(module, rng):
    shape = (2, 3)
    arrays = {name: rng.standard_normal(shape) for name in "xwc"}
    for formula, steps in FORMULAS.items():
        gy = rng.standard_normal(shape)
        given = gy.copy()
        made = run({name: module.Tensor(array.copy()) for name, array in arrays.items()}, steps)
        module.backward(made["y"], given)
        fault = compare_gradients(formula, made, arrays, steps, gy)
        fault = fault or check_untouched(formula, made, arrays, steps, given, gy)
        if fault:
            return fault
    return right()


def compare_gradients(formula, made, arrays, steps, gy):
    """Compare the gradient of every tensor of a formula, from y back to the leaves."""
    expected = walk(arrays, steps, gy, add)
    mistakes = {cause: walk(arrays, steps, gy, rule) for cause, rule in RULES.items()}
    for name in expected:
        known = {cause: gradients[name] for cause, gradients in mistakes.items()}
        what = f"{formula}: the gradient of {name}"
        if made[name].grad is None:
            cause = "receive must set tensor.grad; what it returns is not used"
            return wrong(cause, f"{what} is None after the walk.\n  cause: {cause}")
        fault = compare(what, made[name].grad, expected[name], known)
        if fault:
            return fault
    return None


def check_untouched(formula, made, arrays, steps, given, gy):
    """The gradient that was handed in, and the values, are not the walk's to change."""
    if not np.array_equal(given, gy):
        text = (
            f"{formula}: the array gy that backward was given is another one after it.\n"
            "  cause: added in place (+=): that changes an array which others hold too"
        )
        return wrong("added in place (+=): that changes an array which others hold too", text)
    for name, value in run(arrays, steps).items():
        if not np.array_equal(made[name].array, value):
            text = f"{formula}: the values of {name} are others after the walk than before it."
            return wrong("values were changed", text)
    return None


exercise = Exercise(
    name="accumulate",
    number=33,
    title="a tensor that is used twice",
    functions=("receive",),
    hints=[
        "y = x * x at x = 3. Move only the first factor by 0.01: y moves by 0.03. Only the second: "
        "by 0.03. Both, since both are x?",
        "The moves add up: dL/dx = dL/du * du/dx + dL/dv * dv/dx. Each use brings one share, and "
        "the gradient is their sum.",
        "The first share finds None, and is the sum so far. Each later one is added. += on an "
        "array changes the array itself, and after an addition that one array is the gradient of "
        "three tensors: make a new array for the sum.",
        "If tensor.grad is None it becomes share; otherwise it becomes tensor.grad + share.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "overwritten",
            cause="last share alone",
            code="def receive(tensor, share):\n    tensor.grad = share\n",
        ),
        WrongAnswer(
            "only the first counts",
            cause="first share alone",
            code="def receive(tensor, share):\n"
            "    if tensor.grad is None:\n        tensor.grad = share\n",
        ),
        WrongAnswer(
            "averaged",
            cause="mean of the shares",
            code="def receive(tensor, share):\n"
            "    tensor.grad = share if tensor.grad is None else (tensor.grad + share) / 2\n",
        ),
        WrongAnswer(
            "multiplied",
            cause="product of the shares",
            code="def receive(tensor, share):\n"
            "    tensor.grad = share if tensor.grad is None else tensor.grad * share\n",
        ),
        WrongAnswer(
            "added in place",
            cause="added in place",
            code="def receive(tensor, share):\n"
            "    if tensor.grad is None:\n        tensor.grad = share\n"
            "    else:\n        tensor.grad += share\n",
        ),
        WrongAnswer(
            "nothing kept",
            cause="receive must set tensor.grad",
            code="def receive(tensor, share):\n    return share\n",
        ),
        WrongAnswer(
            "returned",
            cause="what it returns is not used",
            code="def receive(tensor, share):\n"
            "    return share if tensor.grad is None else tensor.grad + share\n",
        ),
    ],
    lesson="That is why .grad adds up, and why a training loop has to set it to zero before each "
    "step. `backprop` in minigrad/autograd.py adds with a new array as well.",
    requires=("topological_order", "add", "mul"),
)
