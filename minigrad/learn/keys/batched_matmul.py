"""Key of exercise 17, many matrix products at once, with one shared factor."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def right(gY, A):
    return np.einsum("bnk,bnm->km", A, gY)


def wrong(gY, inputs):
    A, W = inputs
    known = {
        "the mean over the batch: the gradients of a shared factor are summed": right(gY, A)
        / len(A),
        "the first of the batch only: W stands in all products": A[0].T @ gY[0],
        "the last of the batch only: each overwrote the one before, they are summed": A[-1].T
        @ gY[-1],
        "A and gY summed over the batch before the product: sum the products": A.sum(0).T
        @ gY.sum(0),
    }
    return [{}, known]


def cases(rng):
    for b, n, k, m in [(2, 3, 4, 5), (4, 2, 3, 2)]:
        yield Case(
            forward=lambda A, W: A @ W,
            inputs=[rng.standard_normal((b, n, k)), rng.standard_normal((k, m))],
            names=["A", "W"],
            sizes={"B": b, "N": n, "K": k, "M": m},
            terms=lambda gY, inputs: [
                {"gY W^T": gY @ inputs[1].T},
                {"A^T gY": right(gY, inputs[0])},
            ],
            wrong=wrong,
        )


exercise = Exercise(
    name="batched_matmul",
    number=17,
    title="many matrix products at once, with one shared factor",
    hints=[
        "For one b: gA[b] = gY[b] W^T, and A[b]^T gY[b] is what product b says about W.",
        "gA = gY @ W.T works for the whole stack, because W has two axes only.",
        "W was copied to all products, so its gradients are summed over b. The transpose within a "
        "stack is np.swapaxes(A, 1, 2).",
        "gW = (np.swapaxes(A, 1, 2) @ gY).sum(axis=0). Or take all B * N rows as one matrix: "
        "A.reshape(-1, K).T @ gY.reshape(-1, M).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "not summed over the batch",
            cause="sum",
            code="def backward(gY, A, W):\n    return gY @ W.T, np.swapaxes(A, 1, 2) @ gY\n",
        ),
        WrongAnswer(
            "the mean over the batch",
            cause="summed",
            code="def backward(gY, A, W):\n"
            "    return gY @ W.T, (np.swapaxes(A, 1, 2) @ gY).mean(axis=0)\n",
        ),
        WrongAnswer(
            "the last of the batch",
            cause="overwrote",
            code="def backward(gY, A, W):\n"
            "    for a, g in zip(A, gY):\n        gW = a.T @ g\n    return gY @ W.T, gW\n",
        ),
        WrongAnswer(
            "summed before the product",
            cause="sum the products",
            code="def backward(gY, A, W):\n    return gY @ W.T, A.sum(0).T @ gY.sum(0)\n",
        ),
        WrongAnswer(
            ".T of a stack",
            cause="ValueError",
            code="def backward(gY, A, W):\n    return gY @ W.T, (A.T @ gY).sum(axis=0)\n",
        ),
    ],
    lesson="A layer on a sequence is this: one weight, used at every step. In the engine the "
    "broadcast is an op of its own, whose backward is the sum (minigrad/functions/linalg.py).",
    requires=("matmul", "unbroadcast"),
)
