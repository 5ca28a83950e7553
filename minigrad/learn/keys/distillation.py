"""Key of exercise 25, distillation."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def loss(z, teacher, T):
    q, p = softmax(teacher / T), softmax(z / T)
    return T**2 * (q * (np.log(q) - np.log(p))).sum() / len(z)


def cases(rng):
    for n, c, T in [(5, 3, 2.0), (3, 4, 3.0)]:
        z, teacher = rng.standard_normal((n, c)) * 2, rng.standard_normal((n, c)) * 2

        def wrong(gL, inputs, teacher=teacher, T=T):
            (z,) = inputs
            n, c = z.shape
            p, q = softmax(z / T), softmax(teacher / T)
            right = gL * T * (p - q) / n
            return [
                {
                    "the factor T is missing: T^2 of the loss, 1/T from z / T": right / T,
                    "T^2 instead of T: the 1/T from u = z / T is missing": right * T,
                    "1/T instead of T: the T^2 of the loss is missing": right / T**2,
                    "the factor 1/N of the mean is missing": right * n,
                    "the sign: q - p instead of p - q": -right,
                    "the student was not softened: p is the softmax of z / T": gL
                    * T
                    * (softmax(z) - q)
                    / n,
                    "the teacher was not softened: q is the softmax of teacher / T": gL
                    * T
                    * (p - softmax(teacher))
                    / n,
                    "neither was softened: both softmaxes are of logits / T": gL
                    * T
                    * (softmax(z) - softmax(teacher))
                    / n,
                    "divided by C, too: the mean is over samples": right / c,
                    "the upstream gradient gL is missing": T * (p - q) / n,
                    "p alone: the teacher is missing": gL * T * p / n,
                }
            ]

        yield Case(
            forward=loss,
            inputs=[z],
            names=["z"],
            options={"teacher": teacher, "T": T},
            sizes={"N": n, "C": c, "T": T},
            wrong=wrong,
        )


exercise = Exercise(
    name="distillation",
    number=25,
    title="distillation, learning from a teacher's doubts",
    hints=[
        "q is a constant, so of the loss only -sum q ln p moves. With y = ln p, the upstream "
        "gradient of y is -q.",
        "Log-softmax's backward: gu = gy - p * sum(gy) with gy = -q, whose sum is -1. So "
        "gu = p - q.",
        "u = z / T brings a factor 1/T. The loss has T^2 and 1/N. Together T / N.",
        "gz = gL * T * (softmax(z / T) - softmax(teacher / T)) / N. For large T, p - q is about "
        "(z - teacher) / (C T) up to a shift, so T times it stays what it is.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the temperature forgotten",
            cause="factor T is missing",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL * (softmax(z / T) - softmax(teacher / T)) / len(z)\n",
        ),
        WrongAnswer(
            "the inner derivative forgotten",
            cause="1/T from u",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL * T**2 * (softmax(z / T) - softmax(teacher / T)) / len(z)\n",
        ),
        WrongAnswer(
            "T squared forgotten",
            cause="T^2 of the loss is missing",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL / T * (softmax(z / T) - softmax(teacher / T)) / len(z)\n",
        ),
        WrongAnswer(
            "the student not softened",
            cause="student was not softened",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL * T * (softmax(z) - softmax(teacher / T)) / len(z)\n",
        ),
        WrongAnswer(
            "the mean forgotten",
            cause="1/N of the mean",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL * T * (softmax(z / T) - softmax(teacher / T))\n",
        ),
        WrongAnswer(
            "the wrong way round",
            cause="q - p",
            code="def backward(gL, z, teacher, T):\n"
            "    return gL * T * (softmax(teacher / T) - softmax(z / T)) / len(z)\n",
        ),
    ],
    lesson="Hinton, Vinyals and Dean (2015), Distilling the knowledge in a neural network. "
    "`distillation_loss` in minigrad/compress/distill.py.",
    requires=("softmax_cross_entropy",),
)
