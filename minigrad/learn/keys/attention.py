"""Key of exercise 32, attention."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def weights(Q, K, causal):
    s = Q @ K.T / np.sqrt(Q.shape[1])
    if causal:
        s = np.where(np.tri(*s.shape, dtype=bool), s, -np.inf)
    powers = np.exp(s - s.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def forward(Q, K, V, causal):
    return weights(Q, K, causal) @ V


def sum_keys(a):
    return a.sum(1, keepdims=True)


def through_softmax(gP, P):
    return P * (gP - sum_keys(P * gP))


# What may be taken for the softmax's derivative: gs from gP and P.
SOFTMAX = {
    "the softmax's second term is missing: raising one score lowers all other weights of its row": (
        lambda gP, P: P * gP
    ),
    "only the diagonal of the softmax's Jacobian: raising one score lowers all other weights of "
    "its row": lambda gP, P: P * (1 - P) * gP,
    "the softmax is left out: s reaches Y through P": lambda gP, P: gP,
    "the softmax's sum runs over the queries: each query has a softmax of its own, so sum over "
    "axis 1": lambda gP, P: P * (gP - (P * gP).sum(0)),
    "the softmax's sum runs over everything: each query has a softmax of its own, so sum over "
    "axis 1": lambda gP, P: P * (gP - (P * gP).sum()),
    "gP summed without its weights P: that is the log-softmax's rule": (
        lambda gP, P: gP - P * sum_keys(gP)
    ),
    "gP summed without its weights P: the second term is P times the sum of P * gP": (
        lambda gP, P: P * (gP - sum_keys(gP))
    ),
    "gP averaged without its weights P: the second term is P times the sum of P * gP": (
        lambda gP, P: P * (gP - gP.mean(1, keepdims=True))
    ),
    "the factor P before the bracket is missing: gs[k] is P[k] * (gP[k] - the sum of P * gP)": (
        lambda gP, P: gP - sum_keys(P * gP)
    ),
    "P * gP less its row sum: that sum is to be multiplied by P": (
        lambda gP, P: P * gP - sum_keys(P * gP)
    ),
    "the softmax's second term has the wrong sign: raising one score lowers all other weights": (
        lambda gP, P: P * (gP + sum_keys(P * gP))
    ),
}


def terms(causal):
    def named(gY, inputs):
        Q, K, V = inputs
        P, gP, root = weights(Q, K, causal), gY @ V.T, np.sqrt(Q.shape[1])
        first, second = P * gP / root, -P * sum_keys(P * gP) / root
        one, two = "the softmax's first term, P * gP", "the softmax's second term, -P * row sums"
        return [
            {one: first @ K, two: second @ K},
            {one: first.T @ Q, two: second.T @ Q},
            {"P^T gY": P.T @ gY},
        ]

    return named


def wrong_for(causal):
    def wrong(gY, inputs):
        Q, K, V = inputs
        P, root = weights(Q, K, causal), np.sqrt(Q.shape[1])
        gP = gY @ V.T
        gs = through_softmax(gP, P) / root
        scores = {text: rule(gP, P) / root for text, rule in SOFTMAX.items()}
        scores |= {
            "the factor 1/sqrt(D) is missing: the scores are divided by it, so their gradients "
            "are, too": gs * root,
            "multiplied by sqrt(D): the scores are divided by it, so their gradients are, too": (
                gs * root**2
            ),
            "divided by D: 1/sqrt(D) stands there once": gs / root,
            "divided by sqrt(S): D numbers were added up in each score": gs
            * root
            / np.sqrt(len(K)),
        }
        seen = np.where(P > 0, Q @ K.T / root, 0)
        values = {"s in place of P: the values are weighted after the softmax": seen.T @ gY}
        if causal:
            all_seen = weights(Q, K, False)
            for text, other in {
                "the mask is ignored: P is that of forward, 0 for what is not seen": all_seen,
                "masked after the softmax: then a row of P does not add up to 1": np.tril(all_seen),
            }.items():
                scores[text] = through_softmax(gP, other) / root
                values[text] = other.T @ gY
        for_q = {text: g @ K for text, g in scores.items()}
        for_k = {text: g.T @ Q for text, g in scores.items()}
        if len(Q) == len(K):
            for_q["gs is transposed: gQ sums over the places, the columns of gs"] = gs.T @ K
            for_k["gs is not transposed: gK sums over the queries, the rows of gs"] = gs @ Q
            for_q["gs Q: query t meets the keys, gQ is made of K"] = gs @ Q
            for_k["gs^T K: key j meets the queries, gK is made of Q"] = gs.T @ K
            values["P is not transposed: gV sums over the queries, the rows of P"] = P @ gY
        if V.shape == K.shape:
            exchanged = "K in place of V: Y is P V, so gP is gY V^T"
            other = through_softmax(gY @ K.T, P) / root
            for_q |= {exchanged: other @ K, "gs V: the scores are made of Q and K": gs @ V}
            for_k[exchanged] = other.T @ Q
            both = "K and V are exchanged: K makes the scores, V is what they weight"
            for_q[both] = other @ V
        if V.shape[0] == V.shape[1] == gY.shape[1]:
            text = "V is not transposed: P is the left factor in P V, so gP is gY V^T"
            other = through_softmax(gY @ V, P) / root
            for_q[text], for_k[text] = other @ K, other.T @ Q
        return [for_q, for_k, values]

    return wrong


def cases(rng):
    # Different lengths; then all the same, where no shape tells that a transpose is missing.
    for t, s, d, e, causal in [(3, 5, 6, 4, False), (3, 3, 3, 3, True), (4, 4, 3, 3, True)]:
        yield Case(
            forward=forward,
            inputs=[rng.standard_normal(shape) for shape in ((t, d), (s, d), (s, e))],
            names=["Q", "K", "V"],
            sizes={"T": t, "S": s, "D": d, "E": e} if t != s else {"D": d},
            options={"causal": causal},
            terms=terms(causal),
            wrong=wrong_for(causal),
        )


def answer(*changes):
    """Return a backward as in the solution, with some of its text replaced."""
    code = """
def backward(gY, Q, K, V, causal):
    P = weights(Q, K, causal)
    gV = P.T @ gY
    gP = gY @ V.T
    gs = P * (gP - (P * gP).sum(axis=1, keepdims=True))
    gs = gs / np.sqrt(Q.shape[1])
    return gs @ K, gs.T @ Q, gV
"""
    for old, new in changes:
        code = code.replace(old, new)
    return code


exercise = Exercise(
    name="attention",
    number=32,
    title="attention",
    hints=[
        "Call weights for P. Y = P V, so by the matrix product's rule gV = P^T gY, of the shape "
        "(S, E), and gP = gY V^T, of the shape (T, S).",
        "dP[j]/ds[k] = P[k] (1 - P[k]) for j = k, and -P[j] P[k] for another j. In one: P[k] times "
        "(1 if j = k, else 0) minus P[j] P[k].",
        "So gs[k] = P[k] gP[k] - P[k] * (sum over j of P[j] gP[j]). In the matrix the sum is over "
        "axis 1, one number for each query, with keepdims=True.",
        "s is a product of Q and K^T, divided by sqrt(D): gQ = gs K / sqrt(D), and gK = gs^T Q / "
        "sqrt(D). Where P is 0 gs is 0: the mask needs no line.",
        "gs = P * (gP - (P * gP).sum(axis=1, keepdims=True)) / np.sqrt(Q.shape[1]).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the scale forgotten",
            cause="factor 1/sqrt(D) is missing",
            code=answer((" / np.sqrt(Q.shape[1])", "")),
        ),
        WrongAnswer(
            "the softmax's diagonal only",
            cause="only the diagonal",
            code=answer(("P * (gP - (P * gP).sum(axis=1, keepdims=True))", "P * (1 - P) * gP")),
        ),
        WrongAnswer(
            "the softmax's second term forgotten",
            cause="second term is missing",
            code=answer((" - (P * gP).sum(axis=1, keepdims=True)", "")),
        ),
        WrongAnswer(
            "the softmax summed over the queries",
            cause="over the queries",
            code=answer(("axis=1", "axis=0")),
        ),
        WrongAnswer(
            "the log-softmax's rule",
            cause="log-softmax",
            code=answer(
                (
                    "P * (gP - (P * gP).sum(axis=1, keepdims=True))",
                    "gP - P * gP.sum(axis=1, keepdims=True)",
                )
            ),
        ),
        WrongAnswer(
            "the softmax left out",
            cause="softmax is left out",
            code=answer(("P * (gP - (P * gP).sum(axis=1, keepdims=True))", "gP")),
        ),
        WrongAnswer(
            "the mask ignored",
            cause="mask is ignored",
            code=answer(("weights(Q, K, causal)", "weights(Q, K, False)")),
        ),
        WrongAnswer(
            "the gradients of K and V swapped",
            cause="swapped",
            code=answer(("gs.T @ Q, gV", "gV, gs.T @ Q")),
        ),
        WrongAnswer(
            "K for V where the shapes let it pass",
            cause="K in place of V",
            code=answer(("gY @ V.T", "gY @ (K if K.shape == V.shape else V).T")),
        ),
        WrongAnswer(
            "no transpose in gK where the shapes let it pass",
            cause="gs is not transposed",
            code=answer(("gs.T @ Q", "(gs if len(Q) == len(K) else gs.T) @ Q")),
        ),
        WrongAnswer(
            "no transpose in gV where the shapes let it pass",
            cause="P is not transposed",
            code=answer(("P.T @ gY", "(P if len(Q) == len(K) else P.T) @ gY")),
        ),
        WrongAnswer(
            "V not transposed where the shapes let it pass",
            cause="V is not transposed",
            code=answer(
                ("gY @ V.T", "gY @ (V if V.shape[0] == V.shape[1] == gY.shape[1] else V.T)")
            ),
        ),
    ],
    lesson="Two matrix products, with a softmax between them: nothing new, only put together. For "
    "long sequences the (T, S) array P is what costs memory, so fast versions keep no P and "
    "compute it again in backward.",
    requires=("matmul", "softmax"),
)
