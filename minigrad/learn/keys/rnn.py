"""Key of exercise 31, a recurrent network through time."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def forward(x, Wx, Wh, b, h0):
    h, state = np.empty((len(x), *h0.shape)), h0
    for t in range(len(x)):
        h[t] = state = np.tanh(x[t] @ Wx + state @ Wh + b)
    return h


def slope(h, a, before):
    """Return the derivative of tanh, from its output h and its argument a."""
    return 1 - h**2


def carry(g, own, slopes, Wh):
    """Return what step t says about h[t-1]; g is the gradient of h[t], own is gh[t]."""
    return (g * slopes) @ Wh.T


def walk(gh, inputs, slope=slope, carry=carry, order=-1, heard=lambda t, last: True):
    """Return ga for all steps, and gh0; the options are what a mistake changes."""
    x, Wx, Wh, b, h0 = inputs
    h = forward(*inputs)
    before = np.stack([h0, *h[:-1]])
    ga, later = np.empty_like(h), np.zeros_like(h0)
    for t in range(len(x))[::order]:
        own = gh[t] * heard(t, len(x) - 1)
        slopes = slope(h[t], x[t] @ Wx + before[t] @ Wh + b, before[t])
        ga[t] = (own + later) * slopes
        later = carry(own + later, own, slopes, Wh)
    return ga, later


def gradients(ga, gh0, inputs):
    """Return the gradients of x, Wx, Wh, b and h0."""
    x, Wx, Wh, b, h0 = inputs
    before = np.stack([h0, *forward(*inputs)[:-1]])
    return [ga @ Wx.T, summed(x, ga), summed(before, ga), ga.sum((0, 1)), gh0]


def summed(states, ga):
    return np.einsum("tni,tnh->ih", states, ga)


TANH = "h[t-1] reaches h[t] through Wh and through tanh"
MISTAKES = {
    "what later steps say reaches back one step only: all of it is carried on": {
        "carry": lambda g, own, slopes, Wh: (own * slopes) @ Wh.T
    },
    "the walk goes forward in time: what later steps say must be known first, so begin with the "
    "last": {"order": 1},
    "only the last step's gh is used: each h[t] is an output, so each gh[t] counts": {
        "heard": lambda t, last: t == last
    },
    f"the gradient is carried back without tanh's derivative: {TANH}": {
        "carry": lambda g, own, slopes, Wh: g @ Wh.T
    },
    f"the gradient is carried back without Wh: {TANH}": {
        "carry": lambda g, own, slopes, Wh: g * slopes
    },
    "what later steps say is added up over the steps: that of step t + 1 contains all after it": {
        "carry": lambda g, own, slopes, Wh: g - own + (g * slopes) @ Wh.T
    },
    "Wh is not transposed: in h[t-1] Wh the state is the left factor, so its gradient has the "
    "right one transposed": {"carry": lambda g, own, slopes, Wh: (g * slopes) @ Wh},
    "tanh's derivative is missing: a[t] reaches the loss through h[t] = tanh(a[t])": {
        "slope": lambda h, a, before: 1.0
    },
    "tanh's derivative at the wrong number: in 1 - h**2 the output h belongs, not a": {
        "slope": lambda h, a, before: 1 - a**2
    },
    "tanh is taken twice: h is the output already, so the derivative is 1 - h**2": {
        "slope": lambda h, a, before: 1 - np.tanh(h) ** 2
    },
    "tanh's derivative is that of the step before: at step t it is 1 - h[t]**2": {
        "slope": lambda h, a, before: 1 - before**2
    },
    "1 - h: the square is missing in tanh's derivative": {"slope": lambda h, a, before: 1 - h},
    "h * (1 - h): that is the sigmoid's derivative": {"slope": lambda h, a, before: h * (1 - h)},
}


def wrong(gh, inputs):
    x, Wx, Wh, b, h0 = inputs
    h = forward(*inputs)
    mistakes = {text: walk(gh, inputs, **options) for text, options in MISTAKES.items()}
    alone, _ = walk(gh, inputs, carry=lambda g, own, slopes, Wh: 0 * g)
    text = "the gradient from the later steps is dropped: h[t] is an output, and step t + 1 uses it"
    mistakes[text] = alone, alone[0] @ Wh.T
    text = "gh in place of ga: from a[t] to the loss it leads through tanh, and through later steps"
    mistakes[text] = gh, gh[0] @ Wh.T
    known = [{}, {}, {}, {}, {}]
    for text, (ga, gh0) in mistakes.items():
        for place, gradient in enumerate(gradients(ga, gh0, inputs)):
            known[place][text] = gradient
    ga, gh0 = walk(gh, inputs)
    right = gradients(ga, gh0, inputs)
    for place, one_step in enumerate((x[0].T @ ga[0], h0.T @ ga[0], ga[0].sum(0)), start=1):
        known[place] |= {
            "each step overwrites the one before: all steps use the same weights, so add with "
            "+=": one_step,
            "the mean over the steps: all steps use the same weights, so they are added": (
                right[place] / len(x)
            ),
            "the mean over the sequences: that is in gh already, here they are added": (
                right[place] / x.shape[1]
            ),
        }
    known[2] |= {
        "h[t - 1] at t = 0 is the last state in Python: before step 0 stands h0": (
            summed(np.roll(h, 1, axis=0), ga)
        ),
        "h[t] in place of h[t-1]: Wh multiplies the state before the step": summed(h, ga),
        "step 0 is left out: there Wh multiplies h0": summed(h[:-1], ga[1:]),
        "transposed: Wh[j, k] leads from h[t-1][j] to a[t][k]": right[2].T,
    }
    known[4]["all zero: h0 gets what step 0 carries back"] = np.zeros_like(h0)
    known[4]["ga[0]: h0 reaches a[0] through Wh"] = ga[0]
    if Wx.shape == Wh.shape:
        text = "Wx is not transposed: in x[t] Wx the left factor's gradient has the right one "
        known[0][text + "transposed"] = ga @ Wx
    return known


def cases(rng):
    for t, n, i, h in [(4, 2, 5, 3), (3, 2, 4, 4)]:
        shapes = {"x": (t, n, i), "Wx": (i, h), "Wh": (h, h), "b": (h,), "h0": (n, h)}
        yield Case(
            forward=forward,
            inputs=[0.6 * rng.standard_normal(shape) for shape in shapes.values()],
            names=list(shapes),
            sizes={"T": t, "N": n},
            wrong=wrong,
        )


def answer(*changes):
    """Return a backward as in the solution, with some of its text replaced."""
    code = """
def backward(gh, x, Wx, Wh, b, h0):
    h = forward(x, Wx, Wh, b, h0)
    gx, gWx, gWh, gb = [np.zeros_like(array) for array in (x, Wx, Wh, b)]
    later = np.zeros_like(h0)
    for t in reversed(range(len(x))):
        before = h[t - 1] if t > 0 else h0
        ga = (gh[t] + later) * (1 - h[t] ** 2)
        gx[t] = ga @ Wx.T
        gWx += x[t].T @ ga
        gWh += before.T @ ga
        gb += ga.sum(axis=0)
        later = ga @ Wh.T
    return gx, gWx, gWh, gb, later
"""
    for old, new in changes:
        code = code.replace(old, new)
    return code


exercise = Exercise(
    name="rnn",
    number=31,
    title="a recurrent network, through time",
    hints=[
        "h[t] is an output, so gh[t] counts; and it goes into a[t + 1], so what step t + 1 says "
        "about it is added. That must be known before: begin with the last step, where there is "
        "nothing to add, and go back.",
        "At step t, with g = gh[t] + later: ga = g * (1 - h[t]**2). Then it is the linear layer: "
        "gx[t] = ga Wx^T, and for the state before it ga Wh^T, which is `later` for step t - 1.",
        "The weights are used T times, so their gradients start from zeros and each step adds its "
        "own: x[t]^T ga to gWx, h[t-1]^T ga to gWh, ga summed over axis 0 to gb. h[t-1] is h0 at "
        "step 0.",
        "Call forward for the h. Start with later = np.zeros_like(h0) and loop over t in "
        "reversed(range(len(x))); at the end of each turn later = ga @ Wh.T. What is in `later` "
        "after the loop is gh0.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the recurrent gradient dropped",
            cause="from the later steps is dropped",
            code=answer(("gh[t] + later", "gh[t]")),
        ),
        WrongAnswer(
            "forward in time",
            cause="forward in time",
            code=answer(("reversed(range(len(x)))", "range(len(x))")),
        ),
        WrongAnswer(
            "carried back one step",
            cause="one step only",
            code=answer(("later = ga @ Wh.T", "later = (gh[t] * (1 - h[t] ** 2)) @ Wh.T")),
        ),
        WrongAnswer(
            "only the last upstream",
            cause="only the last step's gh",
            code=answer(("gh[t] + later", "(gh[t] if t == len(x) - 1 else 0) + later")),
        ),
        WrongAnswer(
            "tanh' with its argument",
            cause="not a",
            code=answer(("(1 - h[t] ** 2)", "(1 - (x[t] @ Wx + before @ Wh + b) ** 2)")),
        ),
        WrongAnswer(
            "no tanh'",
            cause="tanh's derivative is missing",
            code=answer((" * (1 - h[t] ** 2)", "")),
        ),
        WrongAnswer(
            "no tanh' on the way back",
            cause="carried back without tanh",
            code=answer(("later = ga @ Wh.T", "later = (gh[t] + later) @ Wh.T")),
        ),
        WrongAnswer(
            "added up on the way back",
            cause="contains all after it",
            code=answer(("later = ga @ Wh.T", "later = later + ga @ Wh.T")),
        ),
        WrongAnswer(
            "the weights' gradients overwritten",
            cause="overwrites",
            code=answer(("gWx +=", "gWx ="), ("gWh +=", "gWh ="), ("gb +=", "gb =")),
        ),
        WrongAnswer(
            "Wh not transposed",
            cause="Wh is not transposed",
            code=answer(("ga @ Wh.T", "ga @ Wh")),
        ),
        WrongAnswer(
            "h[t - 1] at step 0",
            cause="the last state in Python",
            code=answer(("h[t - 1] if t > 0 else h0", "h[t - 1]")),
        ),
        WrongAnswer(
            "the state after the step",
            cause="the state before the step",
            code=answer(("before.T @ ga", "h[t].T @ ga")),
        ),
        WrongAnswer(
            "the first state's gradient stops early",
            cause="through Wh",
            code=answer(("gb, later", "gb, ga")),
        ),
        WrongAnswer(
            "no gradient for the first state",
            cause="all zero",
            code=answer(("gb, later", "gb, np.zeros_like(h0)")),
        ),
    ],
    lesson="On its way back the gradient meets Wh^T and 1 - h**2 at every step: it shrinks or "
    "explodes with the number of steps, and that is why LSTMs exist. An engine needs no rule for "
    "any of this: a loop in Python records a node for each step, and backprop adds up.",
    requires=("tanh_sigmoid", "linear"),
)
