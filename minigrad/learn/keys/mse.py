"""Key of exercise 19, the mean squared error."""

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong(gL, inputs):
    p, t = inputs
    n, d = p.shape
    e = gL * (p - t)
    known = {
        "the factor 2 of the square is missing": e / (n * d),
        "undivided: the factor 1/(N D) is missing": 2 * e,
        "the factor 2 and 1/(N D) are missing": e,
        "divided by N only: the mean is over N D entries": 2 * e / n,
        "divided by D only: the mean is over N D entries": 2 * e / d,
        "the error squared: the power falls by one": gL * (p - t) ** 2 * 2 / (n * d),
        "2 (p - t) / (N D) alone: the upstream gradient gL is missing": 2 * (p - t) / (n * d),
        "2 p / (N D): the target is missing": 2 * gL * p / (n * d),
        "|p - t| for p - t: the sign says in which direction": 2 * gL * abs(p - t) / (n * d),
    }
    known_t = {name: -value for name, value in known.items()}
    known["t - p instead of p - t: the sign"] = -2 * e / (n * d)
    known_t["the sign: t is taken away, so it goes the other way than p"] = 2 * e / (n * d)
    return [known, known_t]


def cases(rng):
    for n, d in [(3, 5), (4, 2)]:
        yield Case(
            forward=lambda p, t: ((p - t) ** 2).mean(),
            inputs=[rng.standard_normal((n, d)), rng.standard_normal((n, d))],
            names=["p", "t"],
            sizes={"N": n, "D": d},
            terms=lambda gL, inputs: [
                {
                    "2 p / (N D)": 2 * gL * inputs[0] / inputs[0].size,
                    "-2 t / (N D)": -2 * gL * inputs[1] / inputs[0].size,
                },
                {
                    "-2 p / (N D)": -2 * gL * inputs[0] / inputs[0].size,
                    "2 t / (N D)": 2 * gL * inputs[1] / inputs[0].size,
                },
            ],
            wrong=wrong,
        )


exercise = Exercise(
    name="mse",
    number=19,
    title="the mean squared error",
    hints=[
        "The derivative of u^2 is 2 u, and u = p - t moves with p one to one.",
        "It moves with t the other way, so gt = -gp.",
        "The mean divides by the number of all entries, N * D, which is p.size.",
        "gp = gL * 2 * (p - t) / p.size.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the factor 2 forgotten",
            cause="factor 2",
            code="def backward(gL, p, t):\n    g = gL * (p - t) / p.size\n    return g, -g\n",
        ),
        WrongAnswer(
            "divided by the batch only",
            cause="divided by N only",
            code="def backward(gL, p, t):\n    g = gL * 2 * (p - t) / len(p)\n    return g, -g\n",
        ),
        WrongAnswer(
            "undivided",
            cause="1/(N D) is missing",
            code="def backward(gL, p, t):\n    g = gL * 2 * (p - t)\n    return g, -g\n",
        ),
        WrongAnswer(
            "the wrong way round",
            cause="sign",
            code="def backward(gL, p, t):\n    g = gL * 2 * (t - p) / p.size\n    return g, -g\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gL, p, t):\n    g = 2 * (p - t) / p.size\n    return g, -g\n",
        ),
        WrongAnswer(
            "the same gradient for both",
            cause="other way than p",
            code="def backward(gL, p, t):\n    g = gL * 2 * (p - t) / p.size\n    return g, g\n",
        ),
    ],
    lesson="`mse_loss` in minigrad/nn/losses.py composes this of a difference, a square, a mean.",
    requires=("mean", "pow"),
)
