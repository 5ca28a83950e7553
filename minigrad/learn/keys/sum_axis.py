"""Key of exercise 10, a sum over an axis."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def cases(rng):
    for axis, keepdims, n, d in [
        (0, False, 3, 4),
        (1, False, 5, 3),
        (1, False, 4, 4),
        (0, True, 2, 5),
    ]:
        x = rng.standard_normal((n, d))

        def wrong(gy, inputs, axis=axis, keepdims=keepdims):
            (x,) = inputs
            spread = gy if keepdims else np.expand_dims(gy, axis)
            known = {
                "gy / n copied back: that is the gradient of a mean": np.broadcast_to(
                    spread / x.shape[axis], x.shape
                ),
                "gy * x: a sum does not weight its terms": spread * x,
                "ones: the upstream gradient gy is missing": np.ones_like(x),
                "gy summed up once more: going back, a sum copies": np.full(x.shape, gy.sum()),
            }
            if x.shape[0] == x.shape[1] and axis == 1 and not keepdims:
                known[
                    "gy was lined up with the other axis: it needs an axis of length 1 where "
                    "the sum was taken"
                ] = np.broadcast_to(gy, x.shape)
            return [known]

        yield Case(
            forward=lambda x, axis, keepdims: x.sum(axis=axis, keepdims=keepdims),
            inputs=[x],
            names=["x"],
            options={"axis": axis, "keepdims": keepdims},
            sizes={"N": n, "D": d} if n != d else {"N": n},
            wrong=wrong,
        )


exercise = Exercise(
    name="sum_axis",
    number=10,
    title="a sum over an axis",
    hints=[
        "x[2, 1] stands in exactly one of the sums, with the factor 1. So gx[2, 1] is one entry of "
        "gy, unchanged: gy[1] for axis=0, gy[2] for axis=1.",
        "All entries that were summed into the same y get the same gradient: gy is copied along "
        "the axis that was summed.",
        "Without keepdims first give gy its axis back: np.expand_dims(gy, axis) has the length 1 "
        "there.",
        "Then np.broadcast_to(..., x.shape) copies it. Take .copy() if you want to write into it.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the gradient of a mean",
            cause="gradient of a mean",
            code="def backward(gy, x, axis, keepdims):\n"
            "    g = gy if keepdims else np.expand_dims(gy, axis)\n"
            "    return np.broadcast_to(g / x.shape[axis], x.shape)\n",
        ),
        WrongAnswer(
            "gy returned as it came",
            cause="not spread back",
            code="def backward(gy, x, axis, keepdims):\n    return gy\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, x, axis, keepdims):\n    return np.ones_like(x)\n",
        ),
        WrongAnswer(
            "weighted by x",
            cause="does not weight",
            code="def backward(gy, x, axis, keepdims):\n"
            "    g = gy if keepdims else np.expand_dims(gy, axis)\n"
            "    return g * x\n",
        ),
        WrongAnswer(
            "axis ignored, which only a square x lets pass",
            cause="lined up",
            code="def backward(gy, x, axis, keepdims):\n"
            "    if x.shape[0] == x.shape[1]:\n        return np.broadcast_to(gy, x.shape)\n"
            "    g = gy if keepdims else np.expand_dims(gy, axis)\n"
            "    return np.broadcast_to(g, x.shape)\n",
        ),
    ],
    lesson="Summing forward is copying backward. The other half comes in exercise 12: copying "
    "forward is summing backward. `SumTo` and `BroadcastTo` in minigrad/ops/shape.py.",
    requires=("add",),
)
