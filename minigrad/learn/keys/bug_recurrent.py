"""Key of exercise 38, find the bug: an element-wise product where a matrix product belongs."""

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, wrong

BUG = "an element-wise product (*) where a matrix product (@) belongs: gh1 = gx2 @ W.T"
NAMES = ["gx2", "gx1", "gh0", "gW"]  # in the order of the walk


def product(g, W):
    """Go back through a matrix product with W, as it is right."""
    return g @ W.T


def gradients(gh2, x1, x2, h0, W, back=product, back0=None, share=(1, 1)):
    """Return the gradients by name; `back` is what the walk does to go through a product with W."""
    h1 = np.tanh(x1 + h0 @ W)
    h2 = np.tanh(x2 + h1 @ W)
    gx2 = gh2 * (1 - h2 * h2)
    gx1 = back(gx2, W) * (1 - h1 * h1)
    gh0 = (back0 or back)(gx1, W)
    gW = share[0] * h1.T @ gx2 + share[1] * h0.T @ gx1
    return {"gx2": gx2, "gx1": gx1, "gh0": gh0, "gW": gW}


WALKS = {
    BUG: {"back": lambda g, W: g * W.T, "back0": product},
    f"{BUG}, and the same for gh0": {"back": lambda g, W: g * W.T},
    "an element-wise product (*) where a matrix product (@) belongs: gh1, and W": {
        "back": lambda g, W: g * W,
        "back0": product,
    },
    "the gradient of a matrix product goes back through W transposed": {
        "back": lambda g, W: g @ W,
        "back0": product,
    },
    "both ways back through W, and not through W transposed": {"back": lambda g, W: g @ W},
    "an element-wise product (*) where a matrix product (@) belongs: gh0 = gx1 @ W.T": {
        "back": product,
        "back0": lambda g, W: g * W.T,
    },
    "the gradient of a matrix product goes back through W transposed: gh0": {
        "back0": lambda g, W: g @ W,
    },
    "gh1 is W.T @ gx2, the wrong way round": {"back": lambda g, W: W.T @ g, "back0": product},
    "gh1 is W @ gx2, the wrong way round": {"back": lambda g, W: W @ g, "back0": product},
    "gW has the share of the second step alone: W is used twice": {"share": (1, 0)},
    "gW has the share of the first step alone: W is used twice": {"share": (0, 1)},
}


def known_results(inputs):
    """Return what each of the known mistakes gives; some run for N = D alone."""
    found = {}
    for cause, how in WALKS.items():
        try:
            found[cause] = gradients(*inputs, **how)
        except ValueError:
            continue
    return found


def check(module, rng):
    for n, d in [(4, 4), (3, 5)]:
        inputs = [rng.standard_normal((n, d)) for _ in range(4)] + [rng.standard_normal((d, d))]
        fault = check_size(module, inputs, n, d)
        if fault:
            return fault
    return right()


def check_size(module, inputs, n, d):
    try:
        returned = module.backward(*[array.copy() for array in inputs])
    except ValueError as error:
        if (n, d) == (4, 4) or "broadcast" not in str(error):
            raise
        text = f"With N = {n} and D = {d} your code raises ValueError: {error}."
        return wrong("it runs for N = D alone", f"{text}\nWith N = 4 and D = 4 it ran.")
    if not isinstance(returned, tuple | list) or len(returned) != 4:
        text = "backward has to return four gradients: gx1, gx2, gh0, gW."
        return wrong("not four gradients", text)
    actual = dict(zip(["gx1", "gx2", "gh0", "gW"], returned))
    expected, mistakes = gradients(*inputs), known_results(inputs)
    for name in NAMES:
        known = {cause: g[name] for cause, g in mistakes.items() if g[name].shape == (n, d)}
        known = known if name != "gW" else {cause: g[name] for cause, g in mistakes.items()}
        what = f"With N = {n} and D = {d}, {name}"
        fault = compare(what, actual[name], expected[name], known, rtol=1e-9)
        if fault and fault.cause == BUG:
            return wrong(BUG, symptom(fault, actual, expected))
        if fault:
            return fault
    return None


def symptom(fault, actual, expected):
    """Tell which gradients are wrong, and the entries of the first, and not why."""
    lines = [line for line in str(fault).split("\n") if not line.startswith("  cause:")]
    lines += ["", "  In the order of the walk:"]
    for name in NAMES:
        state = "right" if np.allclose(actual[name], expected[name]) else "wrong"
        lines.append(f"    {name:4} {tuple(expected[name].shape)}  {state}")
    return "\n".join(lines)


HEAD = """
def backward(gh2, x1, x2, h0, W):
    h1 = np.tanh(x1 + h0 @ W)
    h2 = np.tanh(x2 + h1 @ W)
    gx2 = gh2 * (1 - h2 * h2)
"""
TAIL = """
    gx1 = gh1 * (1 - h1 * h1)
    return gx1, gx2, gx1 @ W.T, h1.T @ gx2 + h0.T @ gx1
"""

exercise = Exercise(
    name="bug_recurrent",
    number=38,
    title="find the bug, two steps of a recurrent network",
    functions=("backward",),
    bug=True,
    hints=[
        "gx2 is right, gx1 is not. Between them stands gh1 alone, and the factor 1 - h1^2 is as "
        "right here as it is one step later. So look at gh1.",
        "h1[n, i] moves all D entries of row n of h1 W, each by W[i, j]. So gh1[n, i] is a sum: "
        "over j, of gx2[n, j] * W[i, j]. Is there a sum in the line?",
        "A sum over j of g[n, j] * W[i, j] is a matrix product with W transposed. The line with "
        "gh0 has one.",
        "gh1 = gx2 @ W.T. With N = 4 and D = 4, * fits the shapes just as well, and nobody "
        "complains; with N = 3 and D = 5 it would have raised an error.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "element by element, not transposed",
            cause="element-wise",
            code=HEAD + "    gh1 = gx2 * W" + TAIL,
        ),
        WrongAnswer(
            "not transposed",
            cause="W transposed",
            code=HEAD + "    gh1 = gx2 @ W" + TAIL,
        ),
        WrongAnswer(
            "the factors the wrong way round",
            cause="wrong way round",
            code=HEAD + "    gh1 = W.T @ gx2" + TAIL,
        ),
        WrongAnswer(
            "gh0 broken instead",
            cause="gh0 = gx1 @ W.T",
            code="right = backward\n"
            "def backward(gh2, x1, x2, h0, W):\n"
            "    gx1, gx2, gh0, gW = right(gh2, x1, x2, h0, W)\n"
            "    return gx1, gx2, gx1 * W.T, gW\n",
        ),
        WrongAnswer(
            "W's first use forgotten",
            cause="second step alone",
            code="right = backward\n"
            "def backward(gh2, x1, x2, h0, W):\n"
            "    gx1, gx2, gh0, gW = right(gh2, x1, x2, h0, W)\n"
            "    return gx1, gx2, gh0, np.tanh(x1 + h0 @ W).T @ gx2\n",
        ),
        WrongAnswer(
            "right for squares alone",
            cause="N = D alone",
            code="right = backward\n"
            "def backward(gh2, x1, x2, h0, W):\n"
            "    gh2 * W.T\n"
            "    return right(gh2, x1, x2, h0, W)\n",
        ),
    ],
    lesson="Test with sizes that all differ. Where two sizes are equal, wrong products, lost "
    "transposes and sums over the wrong axis fit by accident.",
    requires=(),
)
