"""Key of exercise 40, find the bug: the gradient of a bias is not summed over the batch."""

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, right, wrong

BUG = "the sum over the samples is missing: gb has to be gy.sum(axis=0)"
MEAN = "the mean over the samples: the 1 / N is in gy already, so gb is the sum"


def truth(x, t, W, b):
    """Return the upstream gradient and those of W and b."""
    gy = 2 * (x @ W + b - t) / t.size
    return gy, x.T @ gy, gy.sum(axis=0)


def check(module, rng):
    n, d, k = 8, 3, 2
    x = rng.standard_normal((n, d))
    line, at_zero = rng.standard_normal((d, k)), rng.standard_normal(k)
    t = x @ line + at_zero + 0.5 * rng.standard_normal((n, k))
    W, b = rng.standard_normal((d, k)), rng.standard_normal(k)
    gW, gb = as_pair(module.gradients(x.copy(), t.copy(), W.copy(), b.copy()))
    gy, true_gW, true_gb = truth(x, t, W, b)
    if gW is None:
        return wrong("not a pair", "gradients has to return two arrays, (gW, gb).")
    if np.shape(gb) == gy.shape and np.allclose(gb, gy):
        W, b = module.fit(x.copy(), t.copy())
        if np.shape(b) == (k,):
            text = f"fit gives a b of shape ({k},) now. But gradients still returns a gb of shape "
            text += f"{gy.shape} for it: mend it there."
            return wrong("gb has not the shape of b", text)
        return wrong(BUG, symptom(x, t, W, b, rng.standard_normal((1, d))))
    return (
        check_shape(gb, gy, k)
        or compare("gW", gW, true_gW, {"divided by N once more": true_gW / n}, rtol=1e-9)
        or compare(
            "gb",
            gb,
            true_gb,
            {
                MEAN: gy.mean(axis=0),
                "the sum over everything: each column has its own b[k]": np.full(k, gy.sum()),
                "one sample's gradient alone: b is used for all samples": gy[0],
                "the last sample's gradient alone: b is used for all samples": gy[-1],
                "without the 1 / (N K) of the mean": true_gb * n * k,
            },
            rtol=1e-9,
        )
        or check_fit(module, x, t)
        or right()
    )


def as_pair(returned):
    return returned if isinstance(returned, tuple | list) and len(returned) == 2 else (None, None)


def check_shape(gb, gy, k):
    """Name the usual wrong sums by the shape and the values that they leave."""
    try:
        gb = np.asarray(gb, dtype=float)
    except (TypeError, ValueError):
        return None
    for cause, value in {
        "summed over the columns (axis=1): b has one entry for each column": gy.sum(axis=1),
        "the sum over everything: each column has its own b[k]": gy.sum(),
        "the summed axis is kept: gb is (1, K), and b is (K,)": gy.sum(axis=0, keepdims=True),
    }.items():
        if gb.shape == np.shape(value) and np.allclose(gb, value):
            text = f"gb has the shape {gb.shape}; b has the shape ({k},).\n  cause: {cause}"
            return wrong(cause, text)
    return None


def check_fit(module, x, t):
    """The whole training: where its 500 steps have to arrive."""
    W, b = np.zeros((x.shape[1], t.shape[1])), np.zeros(t.shape[1])
    for _ in range(500):
        _, gW, gb = truth(x, t, W, b)
        W, b = W - 0.2 * gW, b - 0.2 * gb
    W_fit, b_fit = as_pair(module.fit(x.copy(), t.copy()))
    what = "After fit(x, t), with its lr and number of steps,"
    return compare(f"{what} W", W_fit, W, rtol=1e-6) or compare(f"{what} b", b_fit, b, rtol=1e-6)


def symptom(x, t, W, b, new):
    """Tell what training comes to, and not why."""
    design = np.column_stack([x, np.ones(len(x))])
    best = design @ np.linalg.lstsq(design, t, rcond=None)[0]
    y = x @ W + b
    answers = new @ W + b
    return "\n".join(
        [
            "The layer was fitted to 8 samples of noisy data, with 2 targets each.",
            "",
            f"  loss after training                       {np.mean((y - t) ** 2):.3g}",
            f"  least loss that any W and b (2,) can have {np.mean((best - t) ** 2):.3g}",
            "",
            f"  asked about one new sample of shape {new.shape}, it answers with {answers.shape};",
            "  one answer with 2 numbers, of shape (1, 2), was expected",
        ]
    )


def with_bias(expression):
    return (
        "right = gradients\n"
        "def gradients(x, t, W, b):\n"
        "    gy = 2 * (x @ W + b - t) / t.size\n"
        f"    return right(x, t, W, b)[0], {expression}\n"
    )


exercise = Exercise(
    name="bug_linear_fit",
    number=40,
    title="find the bug, a loss that falls too far",
    functions=("gradients", "fit"),
    bug=True,
    hints=[
        "One new sample gives 8 answers, and 8 samples were trained on. Print W.shape and b.shape "
        "before and after the training.",
        "b starts as (K,) and ends as (N, K): each sample has got a b of its own, and with it its "
        "own way to fit the noise. Which line can have done that?",
        "b[k] moves y[n, k] for every n. So dL/db[k] is a sum over n of gy[n, k]. A gradient has "
        "the shape of what it is the gradient of: that is the quickest test of all.",
        "gb = gy.sum(axis=0). The line b = b - lr * gb has hidden it: NumPy broadcast b, without a "
        "word, to (N, K). b -= lr * gb would have raised an error.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer("the mean", cause="1 / N is in gy", code=with_bias("gy.mean(axis=0)")),
        WrongAnswer("summed over the columns", cause="axis=1", code=with_bias("gy.sum(axis=1)")),
        WrongAnswer("one number", cause="over everything", code=with_bias("gy.sum()")),
        WrongAnswer(
            "the axis kept", cause="axis is kept", code=with_bias("gy.sum(axis=0, keepdims=True)")
        ),
        WrongAnswer("the first sample", cause="one sample's", code=with_bias("gy[0]")),
        WrongAnswer("still the bug", cause="sum over the samples", code=with_bias("1.0 * gy")),
    ],
    lesson="What was broadcast on the way forward is summed on the way back. minigrad's `backprop` "
    "compares the shape of every gradient with that of its tensor, and raises an error.",
)
