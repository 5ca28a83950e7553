"""Key of exercise 41, a whole network, back to front."""

from types import SimpleNamespace

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, to_do, wrong

GRADIENTS = ["picked", "logp", "log_total", "total", "e", "c", "y", "W3", "b3", "r"]
GRADIENTS += ["s", "k", "u", "z2", "W2", "b2", "h", "z1", "W1", "b1"]  # in the order of the walk
WEIGHTS = ["W1", "b1", "W2", "b2", "k", "W3", "b3"]
WANTED = 0.95  # of the test images
NEARLY = 0.90  # from here on it may have been bad luck: another start is tried
HIDDEN = 64


def forward(p, x, t):
    """Return every step of the network; the key's own, since the learner's may have changed."""
    v = SimpleNamespace(x=x)
    v.z1 = x @ p.W1 + p.b1
    v.h = np.tanh(v.z1)
    v.z2 = v.h @ p.W2 + p.b2
    v.u = np.maximum(v.z2, 0)
    v.s = p.k * v.u
    v.r = v.h + v.s
    v.y = v.r @ p.W3 + p.b3
    v.c = v.y - v.y.max(axis=1, keepdims=True)
    v.e = np.exp(v.c)
    v.total = v.e.sum(axis=1, keepdims=True)
    v.log_total = np.log(v.total)
    v.logp = v.c - v.log_total
    v.picked = v.logp[np.arange(len(t)), t]
    v.loss = -v.picked.mean()
    return v


def truth(p, v, t):
    """Return the twenty gradients, by formulas shorter than the learner's where there are some."""
    n = len(t)
    g = SimpleNamespace(picked=np.full(n, -1 / n))
    g.logp = -np.eye(v.y.shape[1])[t] / n
    g.log_total = np.full((n, 1), 1 / n)
    g.total = 1 / (n * v.total)
    g.e = np.repeat(g.total, v.y.shape[1], axis=1)
    g.c = g.y = v.e / v.total / n + g.logp  # softmax minus one-hot, over N
    g.W3, g.b3 = v.r.T @ g.y, g.y.sum(axis=0)
    g.r = g.s = g.y @ p.W3.T
    g.k, g.u = (g.s * v.u).sum(axis=0), g.s * p.k
    g.z2 = g.u * (v.z2 > 0)
    g.W2, g.b2 = v.h.T @ g.z2, g.z2.sum(axis=0)
    g.h = g.r + g.z2 @ p.W2.T
    g.z1 = g.h * (1 - v.h**2)
    g.W1, g.b1 = v.x.T @ g.z1, g.z1.sum(axis=0)
    return g


def mistakes(p, v, t, g):
    """Return, for each gradient, known wrong results by their causes."""
    n, classes = v.y.shape

    def weight(left, other, gz):
        return {
            "transposed: (shape of the weight) = (inputs, N) times (N, outputs)": gz.T @ left,
            "another input: the gradient of a product takes the input of that product": (
                other.T @ gz
            ),
        }

    def bias(gz):
        return {
            "the sum over the samples is missing: the bias was broadcast over them": gz,
            "the mean over the samples: the 1 / N is in the upstream already": gz.mean(axis=0),
            "summed over the wrong axis: a bias has one entry for each column": gz.sum(axis=1),
            "the summed axis is kept: the bias has one dimension": gz.sum(axis=0, keepdims=True),
        }

    no_gy = "the upstream gradient is missing"
    return {
        "picked": {
            "1 / N is missing: the loss is a mean over N": np.full(n, -1.0),
            "1 / N and the sign are missing: the loss is minus a mean over N": np.ones(n),
            "the sign: the loss is *minus* the mean": np.full(n, 1 / n),
        },
        "logp": {
            "the whole row: only the entry of the label reaches the loss": np.repeat(
                g.picked[:, None], classes, axis=1
            ),
            "one where the label is: the upstream gradient is missing": np.eye(classes)[t],
        },
        "log_total": {
            "the sum over the row is missing: (N, 1) was broadcast to (N, C)": -g.logp,
            "the sign and the sum over the row are missing": g.logp,
            "the sign: logp is c *minus* log_total": -g.log_total,
            "the summed axis is lost: keepdims=True keeps (N, 1)": -g.logp.sum(axis=1),
        },
        "total": {
            "the derivative of log is one over its input": g.log_total * v.total,
            "divided by log_total, the output: the derivative is one over the input": (
                g.log_total / v.log_total
            ),
            "the derivative of log is missing": g.log_total,
            no_gy: 1 / v.total,
        },
        "e": {
            "not spread out: each entry of the row gets the gradient of the sum": g.total,
            "times e: a sum hands its gradient to each term as it is": g.total * v.e,
            "shared out: each term gets the whole gradient of the sum": g.e / classes,
        },
        "c": {
            "the share from exp is missing: c is used twice": g.logp,
            "the share from logp is missing: c is used twice": g.e * v.e,
            "the derivative of exp is missing": g.logp + g.e,
            "the second share has the wrong sign": g.logp - g.e * v.e,
        },
        "y": {"as if c were e: exp stands before it": g.c * v.e},
        "W3": weight(v.r, v.h, g.y),
        "b3": bias(g.y),
        "r": {},
        "s": {"times k: that comes one step later, for u": g.r * p.k},
        "k": {
            "the sum over the samples is missing: k was broadcast over them": g.s * v.u,
            "the factor u is missing": g.s.sum(axis=0),
            "times s and not u": (g.s * v.s).sum(axis=0),
            "the mean over the samples: k was broadcast, so it is a sum": (g.s * v.u).mean(axis=0),
        },
        "u": {
            "the factor k is missing": g.s,
            "times u: each factor's gradient is the *other* factor": g.s * v.u,
            "masked here already: relu comes one step later, for z2": g.u * (v.z2 > 0),
        },
        "z2": {
            "relu lets all through: where z2 is negative, nothing passes": g.u,
            "times relu's output: its derivative is 1 or 0": g.u * v.u,
            "masked by the sign of g.u: the sign of z2 decides": np.maximum(g.u, 0),
            "relu of the gradient, too: a negative one passes where z2 is positive": (
                np.maximum(g.u, 0) * (v.z2 > 0)
            ),
            "the wrong side: relu passes where z2 is positive": g.u * (v.z2 < 0),
            no_gy: (v.z2 > 0).astype(float),
        },
        "W2": {**weight(v.h, v.u, g.z2), "before relu: the upstream is g.z2": v.h.T @ g.u},
        "b2": {**bias(g.z2), "before relu: the upstream is g.z2": g.u.sum(axis=0)},
        "h": {
            "the share of the second layer is missing: h is used twice": g.r,
            "the share past the second layer is missing: h is used twice": g.z2 @ p.W2.T,
            "W2 is not transposed": g.r + g.z2 @ p.W2,
            "W2 is not transposed, and the share past the layer is missing": g.z2 @ p.W2,
        },
        "z1": {
            "the derivative of tanh is missing": g.h,
            "1 - h: the derivative of tanh is 1 - h^2": g.h * (1 - v.h),
            "1 - z1^2: the derivative of tanh is 1 - h^2, with its output": g.h * (1 - v.z1**2),
            "h (1 - h): that is the derivative of the sigmoid": g.h * v.h * (1 - v.h),
            no_gy: 1 - v.h**2,
        },
        "W1": {
            **weight(v.x, v.x, g.z1),
            "before tanh: the upstream is g.z1": v.x.T @ g.h,
        },
        "b1": {**bias(g.z1), "before tanh: the upstream is g.z1": g.h.sum(axis=0)},
    }


def new_weights(rng, d, h, c):
    """Return weights to start from; k is not one, so that it shows where it is forgotten."""
    return SimpleNamespace(
        W1=rng.standard_normal((d, h)) / np.sqrt(d),
        b1=0.1 * rng.standard_normal(h),
        W2=rng.standard_normal((h, h)) / np.sqrt(h),
        b2=0.1 * rng.standard_normal(h),
        k=rng.uniform(0.5, 1.5, h),
        W3=rng.standard_normal((h, c)) / np.sqrt(h),
        b3=0.1 * rng.standard_normal(c),
    )


def copy(p):
    return SimpleNamespace(**{name: np.array(weight) for name, weight in vars(p).items()})


# ------------------------------------------------------------------------------- the gradients


def check_gradients(module, rng):
    """Compare the twenty one by one, from the loss to the first layer."""
    n, d, h, c = 6, 3, 5, 4
    p, x, t = new_weights(rng, d, h, c), rng.standard_normal((n, d)), rng.integers(0, c, n)
    v = forward(p, x, t)
    fault = check_forward(module, p, x, t, v)
    if fault:
        return fault
    g = module.backward(copy(p), copy(v), t.copy())
    if g is None or not hasattr(g, "__dict__"):
        text = f"backward returned a {type(g).__name__}; g, with its gradients, was expected."
        return wrong("backward does not return g", text)
    expected = truth(p, v, t)
    known = mistakes(p, v, t, expected)
    faults = {name: judge(name, g, getattr(expected, name), known[name]) for name in GRADIENTS}
    missing = [name for name in GRADIENTS if getattr(g, name, None) is None]
    done = sum(faults[name] is None for name in GRADIENTS if name not in missing)
    progress = f"{done} of {len(GRADIENTS)} are right"
    for name in GRADIENTS:
        if name in missing:
            shape = letters(getattr(expected, name).shape, {n: "N", d: "D", h: "H", c: "C"})
            return to_do(f"{progress}; next: g.{name}, of shape {shape}.")
        if faults[name]:
            return wrong(faults[name].cause, f"{progress}. {faults[name]}")
    return None


def judge(name, g, expected, known):
    """Compare one gradient; one that is None is not done yet."""
    actual = getattr(g, name, None)
    return None if actual is None else compare(f"g.{name}", actual, expected, known)


def letters(shape, names):
    """Return a shape as the text of the exercise says it: (N, 1)."""
    sizes = [names.get(size, str(size)) for size in shape]
    return f"({sizes[0]},)" if len(sizes) == 1 else f"({', '.join(sizes)})"


def check_forward(module, p, x, t, v):
    """The learner's forward is given; say so if it does not compute the same any more."""
    mine = module.forward(copy(p), x.copy(), t.copy())
    if not np.allclose(mine.loss, v.loss, rtol=1e-9):
        text = f"forward gives the loss {mine.loss:.9g}, where it gave {v.loss:.9g} before."
        return wrong("forward was changed", f"{text} It was right: put it back.")
    return None


# ------------------------------------------------------------------------------- the digits


def digits(train):
    """Return the bundled digits: images (N, 64) from 0 to 1, labels (N,)."""
    from minigrad.vision.datasets import Digits

    data = Digits(train=train)
    return data.data.array.reshape(-1, 64) / 16, data.targets.array


def learned(module, p, x, t, rng, **options):
    """Return the weights after the learner's `learn`, changed in place or returned."""
    returned = module.learn(p, x, t, rng, **options)
    return returned if hasattr(returned, "W1") else p


def check_learning(module, rng):
    x, t = digits(train=True)
    x_test, t_test = digits(train=False)
    for _ in range(3):
        p = new_weights(rng, x.shape[1], HIDDEN, 10)
        p.b1[:] = p.b2[:] = p.b3[:] = 0
        p.k[:] = 1
        before = copy(p)
        try:
            after = learned(module, p, x, t, rng)
        except NotImplementedError:
            return to_do("20 of 20 are right. Next: learn.")
        still = [name for name in WEIGHTS if np.array_equal(vars(before)[name], vars(after)[name])]
        if still and len(still) < len(WEIGHTS):
            cause = f"not all weights move: {', '.join(still)}"
            return wrong(cause, f"20 of 20 are right, but in learn {cause}.")
        v = forward(after, x_test, t_test)
        hits = int((v.y.argmax(axis=1) == t_test).sum())
        score = f"{hits} of {len(t_test)} digits that it had never seen ({hits / len(t_test):.1%})"
        if np.isfinite(v.loss) and hits >= WANTED * len(t_test):
            return right(f"20 of 20 are right, and your network reads {score}.")
        if hits < NEARLY * len(t_test):
            break
    cause = step_cause(module, before, x[:50], t[:50])
    because = f"\n  cause: {cause}" if cause else ""
    text = f"20 of 20 are right, but after learn the network reads {score}."
    text += f" {WANTED:.0%} are wanted."
    if not np.isfinite(v.loss):
        text += f"\n  The loss has become {v.loss}."
    return wrong(cause, text + because)


def step_cause(module, p, x, t):
    """Return what is wrong with one single step of `learn`, or None if it is not known."""
    lr = 0.1
    v = forward(p, x, t)
    g = truth(p, v, t)
    after = learned(module, copy(p), x, t, np.random.default_rng(0), epochs=1, batch=len(x), lr=lr)
    moved = {name: np.asarray(getattr(after, name)) - getattr(p, name) for name in WEIGHTS}
    if not any(change.any() for change in moved.values()):
        return "the weights do not move: p.W1 = ... sets one, W1 = ... is a name of its own"

    def is_step(factor):
        return all(np.allclose(moved[name], factor * getattr(g, name)) for name in WEIGHTS)

    if is_step(lr):
        return "the step goes uphill: lr * g is taken away"
    if is_step(-1.0):
        return "lr is missing in the step"
    return None


def check(module, rng):
    return check_gradients(module, rng) or check_learning(module, rng)


def changed(name, expression):
    """Return code in which one of the gradients is another one."""
    return (
        "right = backward\n"
        "def backward(p, v, t):\n"
        "    g = right(p, v, t)\n"
        f"    g.{name} = {expression}\n"
        "    return g\n"
    )


def learning(line):
    """Return code whose training has another line for the step."""
    return (
        "def learn(p, x, t, rng, epochs=30, batch=32, lr=0.2):\n"
        "    for _ in range(epochs):\n"
        "        order = rng.permutation(len(x))\n"
        "        for start in range(0, len(x), batch):\n"
        "            part = order[start : start + batch]\n"
        "            g = backward(p, forward(p, x[part], t[part]), t[part])\n"
        "            for name in vars(p):\n"
        f"                {line}\n"
    )


exercise = Exercise(
    name="network",
    number=41,
    title="a whole network, back to front",
    functions=("backward", "learn"),
    hints=[
        "Work upwards through forward, one line at a time, and ask of each: what went in, and what "
        "is the gradient of what came out? The first: loss = -mean(picked), over N numbers.",
        "g.picked is -1/N everywhere. g.logp: zeros, and g.picked at the places of the labels. "
        "logp = c - log_total: a minus sign, and a sum over the row, since (N, 1) was broadcast.",
        "log: divide by its input. sum: its gradient for each term, in the shape (N, C), which "
        "np.broadcast_to or * np.ones((1, C)) makes. c: the share from logp, plus g.e * v.e from "
        "exp. y: the same as c.",
        "z = a @ W + b: g.W = a.T @ g.z, g.b = g.z.sum(axis=0), g.a = g.z @ W.T. k was broadcast "
        "over the samples: multiply by u, then sum. relu: times (z2 > 0). tanh: times 1 - h^2.",
        "h went straight into r and through the second layer: g.r + g.z2 @ p.W2.T. In learn: for "
        "each name in vars(p), setattr(p, name, getattr(p, name) - lr * getattr(g, name)).",
    ],
    check=check,
    repeats=1,
    timeout=60.0,
    wrong_answers=[
        WrongAnswer(
            "no 1/N", cause="1 / N is missing", code=changed("picked", "g.picked * len(t)")
        ),
        WrongAnswer("whole row", cause="whole row", code=changed("logp", "g.logp*0 + g.picked[0]")),
        WrongAnswer(
            "no sum along the row", cause="sum over the row", code=changed("log_total", "-g.logp")
        ),
        WrongAnswer(
            "log times its input", cause="one over", code=changed("total", "g.log_total * v.total")
        ),
        WrongAnswer("not spread", cause="not spread out", code=changed("e", "g.total")),
        WrongAnswer("one use of c", cause="share from logp", code=changed("c", "g.e * v.e")),
        WrongAnswer("other use of c", cause="share from exp", code=changed("c", "g.logp")),
        WrongAnswer("W3 with h", cause="another input", code=changed("W3", "v.h.T @ g.y")),
        WrongAnswer("bias not summed", cause="over the samples", code=changed("b3", "g.y")),
        WrongAnswer("scale too early", cause="one step later", code=changed("s", "g.r * p.k")),
        WrongAnswer("k not summed", cause="over the samples", code=changed("k", "g.s * v.u")),
        WrongAnswer("no scale", cause="factor k", code=changed("u", "g.s")),
        WrongAnswer("no mask", cause="lets all through", code=changed("z2", "g.u")),
        WrongAnswer(
            "masked by the gradient",
            cause="the sign of z2 decides",
            code=changed("z2", "g.u * (g.u > 0)"),
        ),
        WrongAnswer(
            "relu of the gradient, too",
            cause="a negative one passes",
            code=changed("z2", "np.maximum(g.u, 0) * (v.z2 > 0)"),
        ),
        WrongAnswer("mask too early", cause="later", code=changed("u", "g.u * (v.z2 > 0)")),
        WrongAnswer("W2 turned", cause="transposed", code=changed("W2", "g.W2.T")),
        WrongAnswer("b2 averaged", cause="the mean", code=changed("b2", "g.z2.mean(axis=0)")),
        WrongAnswer(
            "one use of h", cause="past the second layer", code=changed("h", "g.z2 @ p.W2.T")
        ),
        WrongAnswer(
            "W2 as it is", cause="W2 is not transposed", code=changed("h", "g.r + g.z2 @ p.W2")
        ),
        WrongAnswer(
            "tanh of its input", cause="with its output", code=changed("z1", "g.h*(1 - v.z1**2)")
        ),
        WrongAnswer("W1 before tanh", cause="before tanh", code=changed("W1", "v.x.T @ g.h")),
        WrongAnswer("b1 summed along rows", cause="axis", code=changed("b1", "g.z1.sum(axis=1)")),
        WrongAnswer(
            "uphill",
            cause="uphill",
            code=learning("setattr(p, name, getattr(p, name) + lr * getattr(g, name))"),
        ),
        WrongAnswer(
            "a name of its own",
            cause="do not move",
            code=learning("weight = getattr(p, name) - lr * getattr(g, name)"),
        ),
        WrongAnswer(
            "only two of the biases",
            cause="not all weights move: W1, W2, b2, k, W3",
            code=learning("if name in ('b1', 'b3'): getattr(p, name)[:] -= lr * getattr(g, name)"),
        ),
    ],
    lesson="That was backpropagation by hand. loss.backward() does the same walk, for any network. "
    "The five lines from c to logp are one op in minigrad, `LogSoftmax`, and g.y comes out short: "
    "(softmax - one-hot) / N.",
    requires=("linear", "softmax_cross_entropy", "relu", "tanh_sigmoid", "accumulate"),
)
