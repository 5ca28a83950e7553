"""Key of exercise 24, L1 and L2, as penalties and in between."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer, wrong


def huber(p, t, d):
    e = abs(p - t)
    return np.where(e <= d, e**2 / 2, d * (e - d / 2)).mean()


def cases(rng):
    for o, i in [(3, 4), (2, 5)]:
        s = float(rng.uniform(0.2, 0.8))
        w = rng.uniform(0.1, 2.0, (o, i)) * rng.choice([-1.0, 1.0], (o, i))
        w[0, :2] = 0.6, -0.6
        shared = {"inputs": [w], "names": ["w"], "options": {"s": s}}
        shared["sizes"] = {"O": o, "I": i, "s": s}

        def wrong_l1(gL, inputs, s=s):
            (w,) = inputs
            return [
                {
                    "s everywhere: the slope of |w| is -1 where w < 0": np.full(w.shape, gL * s),
                    "s * |w|: that is the penalty, not its slope": gL * s * abs(w),
                    "s * w: that is the gradient of L2": gL * s * w,
                    "sign(w) alone: the strength s is missing": gL * np.sign(w),
                    "divided by the number of weights: L1 is a sum": gL * s * np.sign(w) / w.size,
                    "the upstream gradient gL is missing": s * np.sign(w),
                }
            ]

        def wrong_l2(gL, inputs, s=s):
            (w,) = inputs
            return [
                {
                    "2 s w: the 1/2 of the definition takes the 2 away": 2 * gL * s * w,
                    "s w / 2: the power comes down as a factor 2": gL * s * w / 2,
                    "s w^2 / 2: that is the penalty, not its slope": gL * s * w**2 / 2,
                    "s w^2: the power falls by one": gL * s * w**2,
                    "w alone: the strength s is missing": gL * w,
                    "divided by the number of weights: L2 is a sum": gL * s * w / w.size,
                    "s |w|: the sign of w counts": gL * s * abs(w),
                    "the upstream gradient gL is missing": s * w,
                }
            ]

        yield Case(
            function="backward_l1", forward=lambda w, s: s * abs(w).sum(), wrong=wrong_l1, **shared
        )
        yield Case(
            function="backward_l2",
            forward=lambda w, s: s / 2 * (w**2).sum(),
            wrong=wrong_l2,
            **shared,
        )
    for n, d in [(6, 0.7), (7, 1.3)]:
        t = rng.standard_normal(n)
        e = np.concatenate([rng.uniform(0.1, 0.9, n // 2), rng.uniform(1.1, 2.5, n - n // 2)]) * d
        e = rng.permutation(e) * np.where(np.arange(n) % 2, 1, -1)

        def wrong_huber(gL, inputs, d=d, t=t, n=n):
            e = inputs[0] - t
            far = abs(e) > d
            right = gL * np.clip(e, -d, d) / n
            return [
                {
                    "p - t everywhere: far off the slope is only d": gL * e / n,
                    "d far off, without the sign of the error": gL * np.where(far, d, e) / n,
                    "the sign alone far off: the slope there is d": gL
                    * np.where(far, np.sign(e), e)
                    / n,
                    "0 far off: a far sample still pulls, with the slope d": gL
                    * np.where(far, 0, e)
                    / n,
                    "the factor 1/N of the mean is missing": right * n,
                    "the wrong way round: p - t, not t - p": -right,
                    "the upstream gradient gL is missing": np.clip(e, -d, d) / n,
                    "2 (p - t): the 1/2 takes the 2 away": gL
                    * np.where(far, d * np.sign(e), 2 * e)
                    / n,
                }
            ]

        yield Case(
            function="backward_huber",
            forward=huber,
            inputs=[t + e],
            names=["p"],
            options={"t": t, "d": d},
            sizes={"N": n, "d": d},
            wrong=wrong_huber,
        )


def check(module, rng):
    """Look at the corner of |w|, where there is no derivative and a slope was agreed on."""
    w, s = np.array([[0.7, 0.0, -1.2]]), 0.5
    gw = np.asarray(module.backward_l1(1.0, w.copy(), s=s), dtype=float).reshape(w.shape)
    found = gw[0, 1]
    if found == 0:
        return None
    if np.isfinite(found):
        cause = "the slope of |w| at w = 0 is to be taken as 0"
        hint = "np.sign(w) is 0 there"
    else:
        cause, hint = "0 / 0 where w = 0: take the slope 0 there", "np.sign(w) divides by nothing"
    text = f"backward_l1: {cause}.\n  For w = {w.tolist()} and s = {s} you return {gw.tolist()}."
    return wrong(cause, f"{text}\n  {hint}.")


exercise = Exercise(
    name="l1_l2",
    number=24,
    title="L1 and L2, as penalties and in between",
    functions=("backward_l1", "backward_l2", "backward_huber"),
    hints=[
        "|w| has the slope 1 right of 0 and -1 left of it: that is np.sign(w), which is 0 at 0.",
        "d(w^2)/dw = 2 w, and the 1/2 is there to take the 2 away: gL * s * w.",
        "Huber, near: e^2 / 2 has the slope e. Far: d |e| has the slope d * sign(e). At |e| = d "
        "both are d, up to the sign.",
        "So the slope is e, held between -d and d: gL * np.clip(p - t, -d, d) / N.",
    ],
    cases=cases,
    check=check,
    wrong_answers=[
        WrongAnswer(
            "the sign forgotten",
            cause="-1 where w < 0",
            code="def backward_l1(gL, w, s):\n    return np.full(w.shape, gL * s)\n",
        ),
        WrongAnswer(
            "the gradient of the other penalty",
            cause="gradient of L2",
            code="def backward_l1(gL, w, s):\n    return gL * s * w\n",
        ),
        WrongAnswer(
            "the half forgotten",
            cause="takes the 2 away",
            code="def backward_l2(gL, w, s):\n    return 2 * gL * s * w\n",
        ),
        WrongAnswer(
            "the strength forgotten",
            cause="strength s",
            code="def backward_l2(gL, w, s):\n    return gL * w\n",
        ),
        WrongAnswer(
            "squared error throughout",
            cause="far off the slope",
            code="def backward_huber(gL, p, t, d):\n    return gL * (p - t) / len(p)\n",
        ),
        WrongAnswer(
            "the sign of the far ones forgotten",
            cause="without the sign",
            code="def backward_huber(gL, p, t, d):\n"
            "    e = p - t\n    return gL * np.where(abs(e) > d, d, e) / len(p)\n",
        ),
        WrongAnswer(
            "far samples dropped",
            cause="still pulls",
            code="def backward_huber(gL, p, t, d):\n"
            "    e = p - t\n    return gL * np.where(abs(e) > d, 0, e) / len(p)\n",
        ),
        WrongAnswer(
            "w over its absolute value",
            cause="0 / 0",
            code="def backward_l1(gL, w, s):\n    return gL * s * w / abs(w)\n",
        ),
        WrongAnswer(
            "one of the two slopes at the corner",
            cause="taken as 0",
            code="def backward_l1(gL, w, s):\n    return gL * s * np.where(w < 0, -1, 1)\n",
        ),
    ],
    lesson="L1's pull does not weaken near 0, so weights get there: the idea behind pruning. "
    "`l1_penalty` and `l2_penalty` are in minigrad/optim/penalty.py.",
    requires=("mse", "relu"),
)
