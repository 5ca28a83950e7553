"""Key of exercise 16, the matrix product."""

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong(gY, inputs):
    A, B = inputs
    known = [{}, {}]
    if A.shape == B.shape == gY.shape:  # square: nothing is told by the shapes
        known[0] = {
            "gY B: B has to be transposed, the sum runs over the columns of both": gY @ B,
            "B^T gY: the order of the factors": B.T @ gY,
            "B gY^T: that is the transpose of gA": B @ gY.T,
            "gY * B: element by element, where a matrix product belongs": gY * B,
        }
        known[1] = {
            "A gY: A has to be transposed, the sum runs over the rows of both": A @ gY,
            "gY A^T: the order of the factors": gY @ A.T,
            "gY^T A: that is the transpose of gB": gY.T @ A,
            "A * gY: element by element, where a matrix product belongs": A * gY,
        }
    return known


def cases(rng):
    for n, k, m in [(3, 4, 5), (3, 3, 3)]:
        yield Case(
            forward=lambda A, B: A @ B,
            inputs=[rng.standard_normal((n, k)), rng.standard_normal((k, m))],
            names=["A", "B"],
            sizes={"N": n, "K": k, "M": m} if n != k else {"N": n},
            terms=lambda gY, inputs: [{"gY B^T": gY @ inputs[1].T}, {"A^T gY": inputs[0].T @ gY}],
            wrong=wrong,
        )


exercise = Exercise(
    name="matmul",
    number=16,
    title="the matrix product",
    hints=[
        "In Y[n, m] = sum_k A[n, k] B[k, m], hold all but one A[n, k] fixed. Y[n, m] grows by "
        "e * B[k, m], for every m.",
        "gA[n, k] = sum over m of gY[n, m] * B[k, m]. Both have m as their last index: that is "
        "row n of gY times row k of B.",
        "Rows times rows is a product with the second factor transposed: gA = gY B^T.",
        "gB[k, m] = sum over n of A[n, k] * gY[n, m]: columns times columns, so gB = A^T gY.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "not transposed where the shapes let it pass",
            cause="B has to be transposed",
            code="def backward(gY, A, B):\n"
            "    if A.shape == B.shape:\n        return gY @ B, A.T @ gY\n"
            "    return gY @ B.T, A.T @ gY\n",
        ),
        WrongAnswer(
            "the order of the factors",
            cause="order of the factors",
            code="def backward(gY, A, B):\n"
            "    if A.shape == B.shape:\n        return gY @ B.T, gY @ A.T\n"
            "    return gY @ B.T, A.T @ gY\n",
        ),
        WrongAnswer(
            "both transposed",
            cause="transposed",
            code="def backward(gY, A, B):\n    return (gY @ B.T).T, (A.T @ gY).T\n",
        ),
        WrongAnswer(
            "element by element",
            cause="element by element",
            code="def backward(gY, A, B):\n"
            "    if A.shape == B.shape:\n        return gY * B, gY * A\n"
            "    return gY @ B.T, A.T @ gY\n",
        ),
        WrongAnswer(
            "shapes that do not meet",
            cause="ValueError",
            code="def backward(gY, A, B):\n    return gY @ B, A @ gY\n",
        ),
    ],
    lesson="Two products backward for one forward: that is why a training step costs three times "
    "a prediction. `MatMul` in minigrad/ops/linalg.py is this rule.",
    requires=("mul", "sum_axis"),
)
