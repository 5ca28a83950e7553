"""Key of exercise 14, concatenation."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def cases(rng):
    for axis, sizes in [(1, (2, 3, 4)), (0, (3, 1, 2)), (1, (3, 3, 3))]:
        shapes = [(5, n) if axis == 1 else (n, 5) for n in sizes]
        a, b, c = (rng.standard_normal(shape) for shape in shapes)

        def wrong(gy, inputs, axis=axis, sizes=sizes):
            def part(start, n):
                return gy[:, start : start + n] if axis == 1 else gy[start : start + n]

            first, second, third = sizes
            known = [{}, {}, {}]
            known[1]["the part of gy from the start on: b begins where a ends"] = part(0, second)
            known[2]["the part of gy from the start on: c begins where a and b end"] = part(
                0, third
            )
            if sizes[0] != first + second:
                known[2]["the part after b alone: a stands in front of b, too"] = (
                    part(second, third) if second + third <= sum(sizes) else part(0, third)
                )
            for k, n in enumerate(sizes):
                start = sum(sizes[:k])
                known[k]["a third of the gradient: it is not shared out, each has its own part"] = (
                    part(start, n) / 3
                )
            return known

        yield Case(
            forward=lambda a, b, c, axis: np.concatenate([a, b, c], axis=axis),
            inputs=[a, b, c],
            names=["a", "b", "c"],
            options={"axis": axis},
            wrong=wrong,
        )


exercise = Exercise(
    name="concat",
    number=14,
    title="concatenation",
    hints=[
        "Number the columns of y. The first A are a's, the next B are b's, the rest c's.",
        "What moves a column of b moves one column of y, by as much. So its gradient is that "
        "column of gy.",
        "Cut gy at A and at A + B along the axis. np.split(gy, [A, A + B], axis=axis) does it.",
        "A is a.shape[axis], and A + B is a.shape[axis] + b.shape[axis].",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "cut at the sizes instead of at their running sum",
            cause="shape",
            code="def backward(gy, a, b, c, axis):\n"
            "    cuts = [a.shape[axis], b.shape[axis]]\n"
            "    return tuple(np.split(gy, cuts, axis=axis))\n",
        ),
        WrongAnswer(
            "all from the start",
            cause="from the start on",
            code="def backward(gy, a, b, c, axis):\n"
            "    return tuple(np.take(gy, range(x.shape[axis]), axis=axis) for x in (a, b, c))\n",
        ),
        WrongAnswer(
            "shared out",
            cause="not shared out",
            code="def backward(gy, a, b, c, axis):\n"
            "    cuts = [a.shape[axis], a.shape[axis] + b.shape[axis]]\n"
            "    return tuple(g / 3 for g in np.split(gy, cuts, axis=axis))\n",
        ),
        WrongAnswer(
            "in the wrong order",
            cause="swapped",
            code="def backward(gy, a, b, c, axis):\n"
            "    cuts = [a.shape[axis], a.shape[axis] + b.shape[axis]]\n"
            "    ga, gb, gc = np.split(gy, cuts, axis=axis)\n    return gc, gb, ga\n",
        ),
        WrongAnswer(
            "the whole gradient for each",
            cause="not cut down",
            code="def backward(gy, a, b, c, axis):\n    return gy, gy, gy\n",
        ),
    ],
    lesson="Joining forward is cutting backward. `Cat` in minigrad/ops/shape.py is this rule.",
    requires=("reshape_transpose",),
)
