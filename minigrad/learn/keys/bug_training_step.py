"""Key of exercise 37, find the bug: weights are updated while the walk still needs them."""

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, wrong

BUG = "a weight is updated during the walk, before the walk has read its old value"
NAMES = ["W2", "b2", "W1", "b1"]


def gradients(p, x, t, W2_back=None):
    """Return the loss and the gradients; on the way back W2 may be another one."""
    W2_back = p["W2"] if W2_back is None else W2_back
    h = np.tanh(x @ p["W1"] + p["b1"])
    y = h @ p["W2"] + p["b2"]
    gy = 2 * (y - t) / y.size
    ga = gy @ W2_back.T * (1 - h * h)
    g = {"W2": h.T @ gy, "b2": gy.sum(axis=0), "W1": x.T @ ga, "b1": ga.sum(axis=0)}
    return np.mean((y - t) ** 2), g


def stepped(p, g, lr):
    return {name: p[name] - lr * g[name] for name in NAMES}


def mistakes(p, x, t, lr):
    """Return the weights that the known mistakes lead to, by cause."""
    _, g = gradients(p, x, t)
    new = stepped(p, g, lr)
    _, late = gradients(p, x, t, W2_back=new["W2"])
    _, both = gradients({**p, "W2": new["W2"], "b2": new["b2"]}, x, t)
    return {
        BUG: stepped(p, late, lr),
        "the forward is run again with new weights: W1 gets the gradient of another network": (
            stepped(p, both, lr)
        ),
        "the weight is as it was before: it was not updated": p,
        "one step up: the loss falls against the gradient, so lr * g is taken away": stepped(
            p, g, -lr
        ),
        "lr is missing": stepped(p, g, 1.0),
        "two steps instead of one": stepped(p, g, 2 * lr),
        "1 / K is missing: the mean is over N K": stepped(p, g, t.shape[1] * lr),
        "1 / N is missing: the mean is over N K": stepped(p, g, t.shape[0] * lr),
        "1 / (N K) is missing: L is a mean": stepped(p, g, t.size * lr),
        "the 2 of the square's derivative is missing": stepped(p, g, lr / 2),
    }


def check(module, rng):
    n, d, h, k = 7, 4, 5, 3
    shapes = {"W1": (d, h), "b1": (h,), "W2": (h, k), "b2": (k,)}
    p = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    x, t = rng.standard_normal((n, d)), rng.standard_normal((n, k))
    loss, g = gradients(p, x, t)
    for lr in (0.3, 0.001):  # not one over a size: a missing lr shall not look like another mistake
        given = {name: p[name].copy() for name in p}
        returned = module.step(given, x.copy(), t.copy(), lr)
        later = {"the loss after the step, not before it": gradients(stepped(p, g, lr), x, t)[0]}
        what = f"The loss that step returns (lr = {lr:g})"
        fault = compare(what, returned, loss, later, rtol=1e-9)
        fault = fault or compare_weights(module, given, stepped(p, g, lr), (p, x, t, lr))
        if fault:
            return fault
    return right()


def compare_weights(module, actual, expected, data):
    p, x, t, lr = data
    wrongs = mistakes(*data)
    for name in NAMES:
        if name not in actual:
            return wrong("a weight is missing", f"After the step, p has no {name}.")
        known = {cause: weights[name] for cause, weights in wrongs.items()}
        what = f"After one step with lr = {lr:g}, {name}"
        fault = compare(what, actual[name], expected[name], known, rtol=1e-9)
        if fault and fault.cause == BUG:
            return wrong(BUG, symptom(module, p, x, t))
        if fault:
            return fault
    return None


def symptom(module, p, x, t):
    """Tell how far each weight is off, for two learning rates, and not why."""
    _, g = gradients(p, x, t)
    lines = ["Some weights are not where one step of gradient descent takes them.", ""]
    lines.append("  (new w - old w) / (-lr) should be dL/dw. The largest difference from it:")
    rows = {}
    for lr in (0.5, 0.05, 0.005):
        given = {name: p[name].copy() for name in p}
        module.step(given, x.copy(), t.copy(), lr)
        rows[lr] = {
            name: float(np.max(np.abs((p[name] - given[name]) / lr - g[name]))) for name in NAMES
        }
    lines.append("".join([f"  {'':10}", *[f"{name:>10}" for name in NAMES]]))
    for lr, row in rows.items():
        cells = [f"{off:10.1e}" if off > 1e-9 else f"{'right':>10}" for off in row.values()]
        lines.append("".join([f"  {f'lr = {lr:g}':10}", *cells]))
    return "\n".join(
        [*lines, "", f"  (the largest entry of dL/dW1 is {np.abs(g['W1']).max():.2g})"]
    )


PARTS = """
def step(p, x, t, lr):
    h = np.tanh(x @ p["W1"] + p["b1"])
    y = h @ p["W2"] + p["b2"]
    loss = np.mean((y - t) ** 2)
    gy = 2 * (y - t) / y.size
"""

exercise = Exercise(
    name="bug_training_step",
    number=37,
    title="find the bug, a step of training",
    functions=("step",),
    bug=True,
    hints=[
        "W2 and b2 are right, W1 and b1 are not, and what they are off by shrinks with lr, at the "
        "same rate. So it is no formula that is wrong: something in it moves, by about lr.",
        "All four gradients belong to one point: the weights that the forward was computed with. "
        "Which weight do the gradients of W1 and b1 depend on, through gh?",
        "The line with gh reads p['W2']. What has happened to p['W2'] two lines above?",
        "First compute gh and ga, then move all four weights. (Keeping the old W2 under a name "
        "works too, as long as nobody changes that array in place.)",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "an old W2 that is changed in place",
            cause="during the walk",
            code=PARTS + '    old = p["W2"]\n'
            '    p["W2"] -= lr * (h.T @ gy)\n'
            '    p["b2"] -= lr * gy.sum(axis=0)\n'
            "    ga = (gy @ old.T) * (1 - h * h)\n"
            '    p["W1"] -= lr * (x.T @ ga)\n'
            '    p["b1"] -= lr * ga.sum(axis=0)\n'
            "    return loss\n",
        ),
        WrongAnswer(
            "the forward run again",
            cause="run again",
            code=PARTS + '    p["W2"] = p["W2"] - lr * (h.T @ gy)\n'
            '    p["b2"] = p["b2"] - lr * gy.sum(axis=0)\n'
            '    y = h @ p["W2"] + p["b2"]\n'
            "    gy = 2 * (y - t) / y.size\n"
            '    ga = (gy @ p["W2"].T) * (1 - h * h)\n'
            '    p["W1"] = p["W1"] - lr * (x.T @ ga)\n'
            '    p["b1"] = p["b1"] - lr * ga.sum(axis=0)\n'
            "    return loss\n",
        ),
        WrongAnswer(
            "W2 left out",
            cause="not updated",
            code="right = step\ndef step(p, x, t, lr):\n"
            '    kept = p["W2"].copy()\n    loss = right(p, x, t, lr)\n'
            '    p["W2"] = kept\n    return loss\n',
        ),
        WrongAnswer(
            "uphill",
            cause="one step up",
            code="right = step\ndef step(p, x, t, lr):\n    return right(p, x, t, -lr)\n",
        ),
        WrongAnswer(
            "the learning rate forgotten",
            cause="lr is missing",
            code="right = step\ndef step(p, x, t, lr):\n    return right(p, x, t, 1.0)\n",
        ),
        WrongAnswer(
            "the mean over the samples only",
            cause="1 / K is missing",
            code=PARTS.replace("y.size", "len(y)") + "    ga = (gy @ p['W2'].T) * (1 - h * h)\n"
            "    gradients = {'W2': h.T @ gy, 'b2': gy.sum(0), 'W1': x.T @ ga, 'b1': ga.sum(0)}\n"
            "    for name, g in gradients.items():\n"
            "        p[name] = p[name] - lr * g\n"
            "    return loss\n",
        ),
    ],
    lesson="First all gradients, then all updates: that is why backward() and optimizer.step() are "
    "two calls. And minigrad's engine raises an error where an array that the way back needs was "
    "changed in place in between.",
)
