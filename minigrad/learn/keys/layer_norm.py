"""Key of exercise 28, layer normalization."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def mean(a):
    return a.mean(1, keepdims=True)


def forward(x, gamma, beta, eps):
    return gamma * (x - mean(x)) / np.sqrt(x.var(1, keepdims=True) + eps) + beta


def parts(gy, inputs, eps):
    """Return gz, z and r of the right backward."""
    x, gamma, _ = inputs
    r = 1 / np.sqrt(x.var(1, keepdims=True) + eps)
    return gy * gamma, (x - mean(x)) * r, r


def assembled(gz, z, r):
    return r * (gz - mean(gz) - z * mean(gz * z))


def terms_for(eps):
    def terms(gy, inputs):
        gz, z, r = parts(gy, inputs, eps)
        return [
            {
                "r * gz, the direct path": r * gz,
                "-r * mean(gz), the path through the mean": -r * mean(gz) + 0 * gz,
                "-r * z * mean(gz * z), the path through the variance": -r * z * mean(gz * z),
            },
            {"gy * z summed over the samples": (gy * z).sum(0)},
            {"gy summed over the samples": gy.sum(0)},
        ]

    return terms


def normalized_over_samples(gz, x, eps):
    """Return z and gx of an x that is normalized along axis 0, as batch norm does."""
    r = 1 / np.sqrt(x.var(0) + eps)
    z = (x - x.mean(0)) * r
    return z, r * (gz - gz.mean(0) - z * (gz * z).mean(0))


DIVIDED = "the variance is divided by D - 1: layer norm's is the mean over the D entries of a row"
ROOT = "sqrt(var) + eps: eps is added to the variance, inside the root"
NO_ROOT = "1/(var + eps): the root is missing, r is 1/sqrt(var + eps)"
NO_EPS = "eps is left out: r is 1/sqrt(var + eps)"
SAMPLES = "the statistics are taken over axis 0: that is batch norm's, here each row has its own"


def wrong_for(eps):
    def wrong(gy, inputs):
        x, gamma, beta = inputs
        gz, z, r = parts(gy, inputs, eps)
        centred, std = x - mean(x), x.std(1, keepdims=True)
        # Three that are wrong for r.
        by_less = 1 / np.sqrt(x.var(1, ddof=1, keepdims=True) + eps)
        outside, bare = 1 / (std + eps), 1 / std
        z_samples, gx_samples = normalized_over_samples(gz, x, eps)
        for_x = {
            "gamma stands before the means: it varies along the row, so the means are of gy * "
            "gamma": gamma * assembled(gy, z, r),
            "gamma is forgotten in the means: they are of gz = gy * gamma": (
                r * (gz - mean(gy) - z * mean(gy * z))
            ),
            "gamma is forgotten: y is gamma * z + beta, so gz is gy * gamma": assembled(gy, z, r),
            "gy * gamma * r, mean and variance taken as constants: both depend on every x of the "
            "row": r * gz,
            "gx without the factor r: z is (x - mean) * r": assembled(gz, z, 1.0),
            "gx with r**2: z is (x - mean) * r, and r stands there once": assembled(gz, z, r * r),
            "gx divided by r: the derivative of (x - mean) * r is r": assembled(gz, z, 1 / r),
            "gz alone: that is the gradient of z, and z is (x - mean) * r": gz,
            "the path through the variance goes with z: x - mean stands there in both places": (
                r * (gz - mean(gz) - centred * mean(gz * centred))
            ),
            "the path through the variance goes with z: x - mean stands there in one place": (
                r * (gz - mean(gz) - centred * mean(gz * z))
            ),
            "the factor z is missing in the path through the variance: it is z * mean(gz * z)": (
                r * (gz - mean(gz) - mean(gz * z))
            ),
            "sums in place of means: 1/D is missing in the paths through mean and variance": (
                r * (gz - gz.sum(1, keepdims=True) - z * (gz * z).sum(1, keepdims=True))
            ),
            "the means over axis 0: each row has its own, over axis 1": (
                r * (gz - gz.mean(0) - z * (gz * z).mean(0))
            ),
            "one mean over the whole array: each row has its own, over axis 1": (
                r * (gz - gz.mean() - z * (gz * z).mean())
            ),
            DIVIDED: assembled(gz, centred * by_less, by_less),
            f"{DIVIDED}; yours would be right for the other": by_less * (gz - mean(gz))
            - by_less**3 * centred * mean(gz * centred) * x.shape[1] / (x.shape[1] - 1),
            ROOT: assembled(gz, centred * outside, outside),
            f"{ROOT}; yours would be right for the other": outside * (gz - mean(gz))
            - outside**2 * centred * mean(gz * centred) / std,
            NO_EPS: assembled(gz, centred * bare, bare),
            NO_ROOT: assembled(gz, centred * r**2, r**2),
            SAMPLES: gx_samples,
        }
        for_gamma = {
            "gy * x: gamma multiplies z, the normalized x": (gy * x).sum(0),
            "gy * (x - mean): gamma multiplies z, which is divided by the deviation as well": (
                (gy * centred).sum(0)
            ),
            "gy * y: gamma multiplies z, not y": (gy * forward(x, gamma, beta, eps)).sum(0),
            "the mean over the samples: gamma was copied to all of them, so they are summed": (
                (gy * z).mean(0)
            ),
            "gy * gamma * z: the derivative of gamma * z with respect to gamma is z": (
                (gz * z).sum(0)
            ),
            "summed along the rows: gamma was copied down the columns, so the sum is over axis 0": (
                (gy * z).sum(1)
            ),
            DIVIDED: (gy * centred * by_less).sum(0),
            ROOT: (gy * centred * outside).sum(0),
            NO_EPS: (gy * centred * bare).sum(0),
            NO_ROOT: (gy * centred * r**2).sum(0),
            SAMPLES: (gy * z_samples).sum(0),
        }
        for_beta = {
            "the mean over the samples: beta was copied to all of them, so they are summed": (
                gy.mean(0)
            ),
            "gy * gamma summed: beta is added after gamma, so gamma does not reach it": gz.sum(0),
            "summed along the rows: beta was copied down the columns, so the sum is over axis 0": (
                gy.sum(1)
            ),
        }
        return [for_x, for_gamma, for_beta]

    return wrong


def cases(rng):
    for n, d, eps in [(3, 5, 0.1), (4, 4, 1e-3)]:
        x = rng.uniform(-1.0, 2.0, (n, 1)) + rng.uniform(0.5, 1.5, (n, 1)) * rng.standard_normal(
            (n, d)
        )
        gamma = rng.uniform(0.5, 2.0, d)
        gamma[0] *= -1
        yield Case(
            forward=forward,
            inputs=[x, gamma, rng.standard_normal(d)],
            names=["x", "gamma", "beta"],
            sizes={"N": n, "D": d} if n != d else {"D": d},
            options={"eps": eps},
            terms=terms_for(eps),
            wrong=wrong_for(eps),
        )


# What the wrong answers begin with: r and z as they should be.
START = (
    "    def mean(a):\n"
    "        return a.mean(axis=1, keepdims=True)\n"
    "    r = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)\n"
    "    z = (x - mean(x)) * r\n"
    "    gz = gy * gamma\n"
    "    ggamma, gbeta = (gy * z).sum(axis=0), gy.sum(axis=0)\n"
    "    gx = r * (gz - mean(gz) - z * mean(gz * z))\n"
)


def answer(more="", returned="gx, ggamma, gbeta", start=START):
    return f"def backward(gy, x, gamma, beta, eps):\n{start}{more}    return {returned}\n"


exercise = Exercise(
    name="layer_norm",
    number=28,
    title="layer normalization",
    hints=[
        "gamma and beta were copied to all samples: both gradients are summed over axis 0, though "
        "x was normalized over axis 1. And gz = gy * gamma.",
        "For one row: dz[k]/dx[d] = r (1 if k = d) - r/D (the mean) - r z[k] z[d] / D (the "
        "variance, since dvar/dx[d] = (2/D) (x[d] - mean) and dr/dvar = -r^3 / 2).",
        "gx[d] is the sum over k of gz[k] * dz[k]/dx[d]: r * gz[d] - r * the mean of gz - "
        "r * z[d] * the mean of gz * z. All means over axis 1, with keepdims=True.",
        "The means are of gz, with gamma inside. Only what is the same along the row, r, may stand "
        "before: gx = r * (gz - mean(gz) - z * mean(gz * z)).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "gamma before the means",
            cause="it varies along the row",
            code=answer("    gx = gamma * r * (gy - mean(gy) - z * mean(gy * z))\n"),
        ),
        WrongAnswer(
            "gamma forgotten",
            cause="gamma is forgotten: y is",
            code=answer("    gx = r * (gy - mean(gy) - z * mean(gy * z))\n"),
        ),
        WrongAnswer(
            "the variance forgotten",
            cause="the path through the variance' is missing",
            code=answer("    gx = r * (gz - mean(gz))\n"),
        ),
        WrongAnswer(
            "z forgotten in the variance's path",
            cause="the factor z is missing",
            code=answer("    gx = r * (gz - mean(gz) - mean(gz * z))\n"),
        ),
        WrongAnswer(
            "the mean forgotten",
            cause="the path through the mean' is missing",
            code=answer("    gx = r * (gz - z * mean(gz * z))\n"),
        ),
        WrongAnswer(
            "both taken as constants",
            cause="taken as constants",
            code=answer("    gx = r * gz\n"),
        ),
        WrongAnswer(
            "batch norm's axis",
            cause="that is batch norm's",
            code=answer(
                "    s = 1 / np.sqrt(x.var(axis=0) + eps)\n"
                "    z = (x - x.mean(axis=0)) * s\n"
                "    gx = s * (gz - gz.mean(axis=0) - z * (gz * z).mean(axis=0))\n"
            ),
        ),
        WrongAnswer(
            "D - 1",
            cause="divided by D - 1",
            code=answer(start=START.replace("x.var(axis=1,", "x.var(axis=1, ddof=1,")),
        ),
        WrongAnswer(
            "eps outside of the root",
            cause="inside the root",
            code=answer(
                start=START.replace(
                    "np.sqrt(x.var(axis=1, keepdims=True) + eps)",
                    "(x.std(axis=1, keepdims=True) + eps)",
                )
            ),
        ),
        WrongAnswer(
            "ggamma summed along the rows",
            cause="axis 0",
            code=answer("    ggamma = (gy * z).sum(axis=1)\n"),
        ),
        WrongAnswer(
            "gbeta not summed",
            cause="the sum over axis 0",
            code=answer("", "gx, ggamma, gy"),
        ),
        WrongAnswer(
            "the input in place of z",
            cause="z, the normalized x",
            code=answer("    ggamma = (gy * x).sum(axis=0)\n"),
        ),
    ],
    lesson="The same three paths as in batch norm, along the other axis; and since no sample sees "
    "another, it is the same in training and in use, for a batch of one, too. That is why networks "
    "for sequences have it.",
    requires=("batch_norm",),
)
