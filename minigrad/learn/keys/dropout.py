"""Key of exercise 26, dropout."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def forward(x, keep, p):
    return np.where(keep, x / (1 - p), 0.0)


def wrong_for(p):
    def wrong(gy, inputs):
        x, keep = inputs
        y = forward(x, keep, p)
        return [
            {
                "gy * keep: the factor 1/(1 - p) is missing, by which forward enlarges what it "
                "keeps": gy * keep,
                "gy / (1 - p): the mask is missing, a dropped entry cannot move the loss": gy
                / (1 - p),
                "gy alone: both the mask and the factor 1/(1 - p) are missing": gy,
                "the mask is the wrong way round: keep is True where x was kept": gy
                * ~keep
                / (1 - p),
                "gy * keep / p: p is the share that was dropped, forward divides by the share "
                "that was kept": gy * keep / p,
                "gy * keep * (1 - p): forward divides by 1 - p, and so does backward": gy
                * keep
                * (1 - p),
                "gy * keep * p: forward divides by 1 - p, it does not multiply by p": gy * keep * p,
                "gy * keep / (1 - p)**2: the factor 1/(1 - p) stands in forward only once": gy
                * keep
                / (1 - p) ** 2,
                "gy * keep / (1 + p): forward divides by 1 - p": gy * keep / (1 + p),
                "divided by the share that happened to be kept: forward divides by 1 - p": gy
                * keep
                / keep.mean(),
                "gy * keep * x: the derivative of x * m is m": gy * keep * x,
                "gy * y: the factor belongs there, not the product with x": gy * y,
                "the mask was read from y != 0: an entry that is 0 itself may have been kept, use "
                "keep": gy * (y != 0) / (1 - p),
                "keep / (1 - p) alone: the upstream gradient gy is missing": keep / (1 - p),
            },
            {},
        ]

    return wrong


def cases(rng):
    for n, d, p in [(3, 5, 0.4), (5, 4, 0.2)]:
        x = rng.standard_normal((n, d))
        # Always some of both; and one more is dropped than p says, as it happens.
        keep = rng.permutation(n * d).reshape(n, d) > round(p * n * d)
        x.flat[np.flatnonzero(keep)[:2]] = 0.0  # as after a relu: 0, and kept
        yield Case(
            forward=forward,
            inputs=[x, keep],
            names=["x", "keep"],
            sizes={"N": n, "D": d, "p": p},
            options={"p": p},
            wrong=wrong_for(p),
        )


exercise = Exercise(
    name="dropout",
    number=26,
    title="dropout",
    hints=[
        "Once the mask is drawn, dropout is a multiplication, element by element: y = x * m, where "
        "m is 1/(1 - p) for what was kept and 0 for what was dropped.",
        "m does not depend on x, so dy/dx = m. A dropped entry moves nothing: its gradient is 0.",
        "The same m as in forward: it is made of keep and p, and nothing new is drawn. Another "
        "mask would be the derivative of another function.",
        "In NumPy True counts as 1: m = keep / (1 - p), and gx = gy * m.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "not enlarged",
            cause="factor 1/(1 - p) is missing",
            code="def backward(gy, x, keep, p):\n    return gy * keep\n",
        ),
        WrongAnswer(
            "the mask drawn anew",
            cause="different result each time",
            code="def backward(gy, x, keep, p):\n"
            "    return gy * (np.random.default_rng().random(x.shape) >= p) / (1 - p)\n",
        ),
        WrongAnswer(
            "no mask",
            cause="mask is missing",
            code="def backward(gy, x, keep, p):\n    return gy / (1 - p)\n",
        ),
        WrongAnswer(
            "the mask turned round",
            cause="wrong way round",
            code="def backward(gy, x, keep, p):\n    return gy * ~keep / (1 - p)\n",
        ),
        WrongAnswer(
            "divided by p",
            cause="share that was dropped",
            code="def backward(gy, x, keep, p):\n    return gy * keep / p\n",
        ),
        WrongAnswer(
            "multiplied by 1 - p",
            cause="so does backward",
            code="def backward(gy, x, keep, p):\n    return gy * keep * (1 - p)\n",
        ),
        WrongAnswer(
            "divided by what happened to be kept",
            cause="happened to be kept",
            code="def backward(gy, x, keep, p):\n    return gy * keep / keep.mean()\n",
        ),
        WrongAnswer(
            "the mask guessed from zeros",
            cause="0 itself may have been kept",
            code="def backward(gy, x, keep, p):\n"
            "    return gy * (forward(x, keep, p) != 0) / (1 - p)\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, x, keep, p):\n    return keep / (1 - p)\n",
        ),
    ],
    lesson="Random in forward, fixed in backward: what forward drew has to be kept until then. The "
    "engine's `dropout` (minigrad/nn/functional.py) is a product with a constant mask, `Scale` in "
    "minigrad/ops/elementwise.py.",
    requires=("mul",),
)
