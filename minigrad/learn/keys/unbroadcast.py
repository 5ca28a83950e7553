"""Key of exercise 12, undoing a broadcast."""

import numpy as np

from minigrad.learn.exercise import (
    Case,
    Exercise,
    WrongAnswer,
    compare,
    diagnose_function,
    first_fault,
    to_do,
)


def summed(g, shape):
    """The right answer, entry by entry: each entry of g is added where it was copied from."""
    result = np.zeros(shape)
    for index in np.ndindex(*g.shape):
        of_shape = index[len(index) - len(shape) :]
        result[tuple(i if n > 1 else 0 for i, n in zip(of_shape, shape))] += g[index]
    return result


def addition(rng, n, d, shape):
    x, a = rng.standard_normal((n, d)), rng.standard_normal(shape)
    copies = n * d // max(a.size, 1)

    def wrong(gy, inputs):
        right = summed(gy, inputs[1].shape)
        known = {
            "the mean over the copies: they are summed": right / copies,
            "one of the copies only: all of them are summed": np.array(
                np.broadcast_to(gy[tuple([0] * (2 - len(shape)))], gy.shape[2 - len(shape) :])
            )[tuple(slice(0, m) for m in shape)]
            if len(shape)
            else np.array(gy[0, 0]),
        }
        return [{}, known if copies > 1 else {}]

    return Case(
        forward=lambda x, a: x + a,
        inputs=[x, a],
        names=["x", "a"],
        sizes={"N": n, "D": d},
        wrong=wrong,
    )


def check(module, rng):
    faults = []
    for g_shape, shape in [
        ((3, 4), (4,)), ((3, 4), (1, 4)), ((3, 4), (3, 1)), ((3, 4), (1, 1)), ((3, 4), ()),
        ((3, 4), (3, 4)), ((2, 3, 4), (3, 1)), ((2, 3, 4), (2, 1, 4)), ((2, 1, 4), (1, 4)),
        ((1, 4), (1, 4)),
    ]:  # fmt: skip
        g = rng.standard_normal(g_shape)
        expected = summed(g, shape)
        front = tuple(range(g.ndim - len(shape)))
        ones = tuple(i + len(front) for i, n in enumerate(shape) if n == 1)
        known = {
            "the summed axis stays: keepdims=True": g.sum(axis=front + ones),
            "the axis in front is not summed": g.sum(axis=ones, keepdims=True),
            "the axis in front disappears: it is summed without keepdims": g.sum(
                axis=front + ones, keepdims=True
            ),
            "an axis that has the length 1 in `shape` is not summed": g.sum(axis=front),
            "one copy is taken instead of the sum over all": _first(g, shape),
            "the mean over the copies instead of their sum": expected * expected.size / g.size,
            "everything is summed, and copied to the shape": np.full(shape, g.sum()),
        }
        before = g.copy()
        faults.append(
            compare(
                f"unbroadcast(g of shape {g_shape}, {shape})",
                module.unbroadcast(g, shape),
                expected,
                known,
            )
        )
        faults.append(
            compare(
                "g after the call, which must not change", g, before, {"g was changed in place": g}
            )
        )
        if any(f is not None for f in faults):
            return first_fault(*faults)
    try:
        for shape in [(4,), (1, 4), (3, 1), (1, 1), (), (3, 4)]:
            faults.append(diagnose_function(module.backward, addition(rng, 3, 4, shape)))
    except NotImplementedError:
        return to_do("unbroadcast is right. Next: backward.")
    return first_fault(*faults)


def _first(g, shape):
    """The first of the copies, of the shape asked for."""
    g = g[(0,) * (g.ndim - len(shape))]
    return g[tuple(slice(0, n) for n in shape)]


exercise = Exercise(
    name="unbroadcast",
    number=12,
    title="undoing a broadcast",
    functions=("unbroadcast", "backward"),
    hints=[
        "Two kinds of axes were stretched: those that `shape` does not have at all (they were put "
        "in front), and those where `shape` has a 1 and g has more.",
        "There are g.ndim - len(shape) axes of the first kind. They disappear: sum over them "
        "without keepdims.",
        "Then sum over each axis where shape[i] == 1, with keepdims=True, so that it stays. (If g "
        "has a 1 there too, the sum changes nothing.)",
        "g = g.sum(axis=tuple(range(g.ndim - len(shape)))); then "
        "g.sum(axis=tuple(i for i, n in enumerate(shape) if n == 1), keepdims=True).",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "only the axes in front",
            cause="length 1 in `shape` is not summed",
            code="def unbroadcast(g, shape):\n"
            "    return g.sum(axis=tuple(range(g.ndim - len(shape))))\n",
        ),
        WrongAnswer(
            "the mean instead of the sum",
            cause="mean",
            code="def unbroadcast(g, shape):\n"
            "    g = g.mean(axis=tuple(range(g.ndim - len(shape))))\n"
            "    ones = tuple(i for i, n in enumerate(shape) if n == 1)\n"
            "    return g.mean(axis=ones, keepdims=True)\n",
        ),
        WrongAnswer(
            "one copy",
            cause="one copy",
            code="def unbroadcast(g, shape):\n"
            "    g = g[(0,) * (g.ndim - len(shape))]\n"
            "    return g[tuple(slice(0, n) for n in shape)]\n",
        ),
        WrongAnswer(
            "backward does not use it",
            cause="sum",
            code="def backward(gy, x, a):\n    return gy, gy\n",
        ),
        WrongAnswer(
            "all of them without keepdims",
            cause="the summed axis stays: keepdims=True",
            code="def unbroadcast(g, shape):\n"
            "    front = g.ndim - len(shape)\n"
            "    ones = [i + front for i, n in enumerate(shape) if n == 1]\n"
            "    return g.sum(axis=(*range(front), *ones))\n",
        ),
        WrongAnswer(
            "only the axes of length 1",
            cause="the axis in front is not summed",
            code="def unbroadcast(g, shape):\n"
            "    front = g.ndim - len(shape)\n"
            "    ones = tuple(i + front for i, n in enumerate(shape) if n == 1)\n"
            "    return g.sum(axis=ones, keepdims=True)\n",
        ),
        WrongAnswer(
            "all of them with keepdims",
            cause="without keepdims",
            code="def unbroadcast(g, shape):\n"
            "    front = g.ndim - len(shape)\n"
            "    ones = [i + front for i, n in enumerate(shape) if n == 1]\n"
            "    return g.sum(axis=(*range(front), *ones), keepdims=True)\n",
        ),
    ],
    lesson="Copying forward is summing backward. Engines that forget it fail at every bias. "
    "`SumTo` in minigrad/ops/shape.py does this for all operators at once.",
    requires=("sum_axis",),
)
