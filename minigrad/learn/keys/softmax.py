"""Key of exercise 21, softmax."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def softmax(z, p=None):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def terms(gp, inputs):
    p = softmax(inputs[0])
    return [{"p * gp": p * gp, "-p * sum(gp * p)": -p * (gp * p).sum(1, keepdims=True)}]


def wrong(gp, inputs):
    p = softmax(inputs[0])
    return [
        {
            "gp * p * (1 - p): only the diagonal, the other entries of the row are moved too": gp
            * p
            * (1 - p),
            "gp * p: the sum over the row is missing": gp * p,
            "p * (gp - sum(gp)): in the sum each gp_i has the weight p_i": p
            * (gp - gp.sum(1, keepdims=True)),
            "p * (gp - mean(gp)): in the sum each gp_i has the weight p_i": p
            * (gp - gp.mean(1, keepdims=True)),
            "summed over the batch: each row is a softmax of its own": p
            * (gp - (gp * p).sum(0, keepdims=True)),
            "summed over everything: each row is a softmax of its own": p * (gp - (gp * p).sum()),
            "p * gp - sum(gp * p): the sum lacks its factor p": p * gp
            - (gp * p).sum(1, keepdims=True),
            "gp - p * sum(gp * p): the first part lacks its factor p": gp
            - p * (gp * p).sum(1, keepdims=True),
            "gp - sum(gp * p): the factor p is missing": gp - (gp * p).sum(1, keepdims=True),
            "gp - p: that is softmax with cross-entropy": gp - p,
        }
    ]


def cases(rng):
    for n, c in [(3, 4), (2, 5)]:
        z = rng.standard_normal((n, c)) * 1.5
        yield Case(
            forward=softmax,
            inputs=[z],
            names=["z"],
            options={"p": softmax},
            sizes={"N": n, "C": c},
            terms=terms,
            wrong=wrong,
        )


exercise = Exercise(
    name="softmax",
    number=21,
    title="softmax",
    hints=[
        "One row. ln p_i = z_i - ln(S) with S = sum of e^z_j. The derivative of ln(S) with respect "
        "to z_j is e^z_j / S = p_j.",
        "So d(ln p_i)/dz_j = [i = j] - p_j, where [i = j] is 1 for i = j, else 0. And dp_i = p_i "
        "d(ln p_i).",
        "dp_i/dz_j = p_i ([i = j] - p_j). Multiply by gp_i and sum over i: the first part leaves "
        "p_j gp_j, the second is p_j times one number for the row.",
        "gz = p * (gp - (gp * p).sum(axis=1, keepdims=True)). For equal gp the bracket is 0: "
        "softmax cannot raise all entries at once.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the diagonal only",
            cause="only the diagonal",
            code="def backward(gp, z, p):\n    return gp * p * (1 - p)\n",
        ),
        WrongAnswer(
            "the sum not weighted",
            cause="weight p_i",
            code="def backward(gp, z, p):\n    return p * (gp - gp.sum(axis=1, keepdims=True))\n",
        ),
        WrongAnswer(
            "summed over the batch",
            cause="softmax of its own",
            code="def backward(gp, z, p):\n"
            "    return p * (gp - (gp * p).sum(axis=0, keepdims=True))\n",
        ),
        WrongAnswer(
            "the exponential alone",
            cause="sum over the row is missing",
            code="def backward(gp, z, p):\n    return gp * p\n",
        ),
        WrongAnswer(
            "the factor forgotten",
            cause="factor p is missing",
            code="def backward(gp, z, p):\n    return gp - (gp * p).sum(axis=1, keepdims=True)\n",
        ),
        WrongAnswer(
            "the other term's sign",
            cause="sign",
            code="def backward(gp, z, p):\n"
            "    return p * (gp + (gp * p).sum(axis=1, keepdims=True))\n",
        ),
        WrongAnswer(
            "the bracket forgotten",
            cause="the sum lacks its factor p",
            code="def backward(gp, z, p):\n"
            "    return p * gp - (gp * p).sum(axis=1, keepdims=True)\n",
        ),
        WrongAnswer(
            "the sign of both terms",
            cause="the sign is wrong",
            code="def backward(gp, z, p):\n"
            "    return -p * (gp - (gp * p).sum(axis=1, keepdims=True))\n",
        ),
        WrongAnswer(
            "twice",
            cause="2 times too large",
            code="def backward(gp, z, p):\n"
            "    return 2 * p * (gp - (gp * p).sum(axis=1, keepdims=True))\n",
        ),
    ],
    lesson="A Jacobian is hardly ever built: what is needed is its product with the upstream. "
    "`Softmax` in minigrad/ops/loss.py is this rule.",
    requires=("exp_log", "sub_div"),
)
