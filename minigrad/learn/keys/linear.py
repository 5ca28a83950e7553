"""Key of exercise 18, the linear layer."""

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong(gY, inputs):
    X, W, b = inputs
    n = len(X)
    known = [
        {},
        {"gY^T X / N: the mean is in gY already": gY.T @ X / n},
        {
            "the mean of gY over the batch: b was copied to all rows, so they are summed": gY.mean(
                0
            ),
            "one row of gY only: b was copied to all rows": gY[0],
            "everything summed: each output has a b of its own": b * 0 + gY.sum(),
        },
    ]
    if X.shape == W.shape == gY.shape:
        known[0]["gY W^T: forward had W^T, so backward has W"] = gY @ W.T
        known[1]["X^T gY: that is the gradient of W^T"] = X.T @ gY
        known[1]["gY X: the sum runs over the samples, so gY is transposed"] = gY @ X
    return known


def cases(rng):
    for n, i, o in [(5, 3, 4), (3, 3, 3)]:
        yield Case(
            forward=lambda X, W, b: X @ W.T + b,
            inputs=[rng.standard_normal(s) for s in ((n, i), (o, i), (o,))],
            names=["X", "W", "b"],
            sizes={"N": n, "I": i, "O": o} if n != i else {"N": n},
            terms=lambda gY, inputs: [
                {"gY W": gY @ inputs[1]},
                {"gY^T X": gY.T @ inputs[0]},
                {"gY summed over the batch": gY.sum(0)},
            ],
            wrong=wrong,
        )


exercise = Exercise(
    name="linear",
    number=18,
    title="the linear layer",
    hints=[
        "Y = X V + b with V = W^T. By the rule of the matrix product gX = gY V^T, gV = X^T gY.",
        "V^T is W, so gX = gY W. And gW = gV^T = (X^T gY)^T = gY^T X.",
        "b was broadcast along the batch. Copying forward is summing backward, over axis 0.",
        "gY @ W, gY.T @ X, gY.sum(axis=0).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the bias gets the whole batch",
            cause="sum",
            code="def backward(gY, X, W, b):\n    return gY @ W, gY.T @ X, gY\n",
        ),
        WrongAnswer(
            "the bias averaged",
            cause="summed",
            code="def backward(gY, X, W, b):\n    return gY @ W, gY.T @ X, gY.mean(axis=0)\n",
        ),
        WrongAnswer(
            "the weight averaged",
            cause="in gY already",
            code="def backward(gY, X, W, b):\n"
            "    return gY @ W, gY.T @ X / len(X), gY.sum(axis=0)\n",
        ),
        WrongAnswer(
            "the gradient of the transpose",
            cause="transpose",
            code="def backward(gY, X, W, b):\n    return gY @ W, X.T @ gY, gY.sum(axis=0)\n",
        ),
        WrongAnswer(
            "the input's transposed where the shapes let it pass",
            cause="so backward has W",
            code="def backward(gY, X, W, b):\n"
            "    gX = gY @ W.T if W.shape[0] == W.shape[1] else gY @ W\n"
            "    return gX, gY.T @ X, gY.sum(axis=0)\n",
        ),
    ],
    lesson="`Linear` in minigrad/ops/linalg.py is this rule. Note that gX is not needed in a "
    "network's first layer: the engine leaves it out.",
    requires=("matmul", "unbroadcast", "reshape_transpose"),
)
