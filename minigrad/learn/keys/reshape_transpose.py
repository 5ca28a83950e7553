"""Key of exercise 13, reshape and transpose."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def cases(rng):
    for shape, new in [((3, 4), (2, 6)), ((2, 3, 4), (4, 6)), ((4, 4), (4, 4, 1))]:
        x = rng.standard_normal(shape)

        def wrong_reshape(gy, inputs):
            (x,) = inputs
            return [
                {
                    "gy in Fortran order: the reshape read the rows first": gy.reshape(
                        x.shape, order="F"
                    ),
                }
            ]

        yield Case(
            function="backward_reshape",
            forward=lambda x, shape: x.reshape(shape),
            inputs=[x],
            names=["x"],
            options={"shape": new},
            wrong=wrong_reshape,
        )
    for shape, axes in [((3, 4), (1, 0)), ((3, 3, 3), (2, 0, 1)), ((2, 3, 4), (1, 2, 0))]:
        x = rng.standard_normal(shape)

        def wrong_transpose(gz, inputs, axes=axes):
            (x,) = inputs
            known = {}
            again = np.transpose(gz, axes)
            if len(axes) == 3:
                known["transposed by axes again: the axes that undo it are needed"] = again
            known["reshaped: that breaks the numbers anew, it moves none back"] = gz.reshape(
                x.shape
            )
            known["not transposed at all"] = gz
            return [known]

        yield Case(
            function="backward_transpose",
            forward=lambda x, axes: np.transpose(x, axes),
            inputs=[x],
            names=["x"],
            options={"axes": axes},
            wrong=wrong_transpose,
        )


exercise = Exercise(
    name="reshape_transpose",
    number=13,
    title="reshape and transpose",
    functions=("backward_reshape", "backward_transpose"),
    hints=[
        "A reshape keeps the reading order. Reading gy in that order gives the entries in the "
        "order in which x had them.",
        "So the gradient of a reshape is gy.reshape(x.shape).",
        "For the transpose you need the permutation that puts axis axes[i] back from place i to "
        "place axes[i].",
        "That is the inverse permutation, np.argsort(axes): np.transpose(gz, np.argsort(axes)).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the same axes again",
            cause="transposed",
            code="def backward_transpose(gz, x, axes):\n    return np.transpose(gz, axes)\n",
        ),
        WrongAnswer(
            "reshaped back instead of transposed",
            cause="breaks the numbers anew",
            code="def backward_transpose(gz, x, axes):\n    return gz.reshape(x.shape)\n",
        ),
        WrongAnswer(
            "not transposed",
            cause="transposed",
            code="def backward_transpose(gz, x, axes):\n    return gz\n",
        ),
        WrongAnswer(
            "the wrong reading order",
            cause="Fortran order",
            code="def backward_reshape(gy, x, shape):\n    return gy.reshape(x.shape, order='F')\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward_reshape(gy, x, shape):\n    return np.ones(x.shape)\n",
        ),
    ],
    lesson="Rearranging passes the gradient back along the same way. `Reshape` and `Permute` in "
    "minigrad/ops/shape.py are these rules.",
)
