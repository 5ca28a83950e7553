"""Key of exercise 27, batch normalization."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def forward(x, gamma, beta, eps):
    return gamma * (x - x.mean(0)) / np.sqrt(x.var(0) + eps) + beta


def parts(gy, inputs, eps):
    """Return gz, z and r of the right backward."""
    x, gamma, _ = inputs
    r = 1 / np.sqrt(x.var(0) + eps)
    return gy * gamma, (x - x.mean(0)) * r, r


def assembled(gz, z, r):
    return r * (gz - gz.mean(0) - z * (gz * z).mean(0))


def terms_for(eps):
    def terms(gy, inputs):
        gz, z, r = parts(gy, inputs, eps)
        return [
            {
                "r * gz, the direct path": r * gz,
                "-r * mean(gz), the path through the mean": -r * gz.mean(0) + 0 * gz,
                "-r * z * mean(gz * z), the path through the variance": -r * z * (gz * z).mean(0),
            },
            {"gy * z summed over the batch": (gy * z).sum(0)},
            {"gy summed over the batch": gy.sum(0)},
        ]

    return terms


def normalized_over_rows(gz, x, eps):
    """Return z and gx of an x that is normalized along axis 1, as layer norm does."""
    r = 1 / np.sqrt(x.var(1, keepdims=True) + eps)
    z = (x - x.mean(1, keepdims=True)) * r
    return z, r * (gz - gz.mean(1, keepdims=True) - z * (gz * z).mean(1, keepdims=True))


DIVIDED = "the variance is divided by N - 1: batch norm's is the mean over the N samples"
ROOT = "sqrt(var) + eps: eps is added to the variance, inside the root"
NO_ROOT = "1/(var + eps): the root is missing, r is 1/sqrt(var + eps)"
NO_EPS = "eps is left out: r is 1/sqrt(var + eps)"
ROWS = "the statistics are taken over axis 1: a batch is normalized over its samples, axis 0"


def wrong_for(eps):
    def wrong(gy, inputs):
        x, gamma, beta = inputs
        gz, z, r = parts(gy, inputs, eps)
        centred = x - x.mean(0)
        # Three that are wrong for r.
        by_less, outside, bare = (
            1 / np.sqrt(x.var(0, ddof=1) + eps),
            1 / (x.std(0) + eps),
            1 / x.std(0),
        )
        z_rows, gx_rows = normalized_over_rows(gz, x, eps)
        for_x = {
            "gy * gamma * r, mean and variance taken as constants: both depend on every x of the "
            "column": r * gz,
            "gamma is forgotten: y is gamma * z + beta, so gz is gy * gamma": assembled(gy, z, r),
            "gx without the factor r: z is (x - mean) * r": assembled(gz, z, 1.0),
            "gx with r**2: z is (x - mean) * r, and r stands there once": assembled(gz, z, r * r),
            "gx divided by r: the derivative of (x - mean) * r is r": assembled(gz, z, 1 / r),
            "gz alone: that is the gradient of z, and z is (x - mean) * r": gz,
            "the path through the variance goes with z: x - mean stands there in both places": (
                r * (gz - gz.mean(0) - centred * (gz * centred).mean(0))
            ),
            "the path through the variance goes with z: x - mean stands there in one place": (
                r * (gz - gz.mean(0) - centred * (gz * z).mean(0))
            ),
            "the factor z is missing in the path through the variance: it is z * mean(gz * z)": (
                r * (gz - gz.mean(0) - (gz * z).mean(0))
            ),
            "the path through the variance goes with z: x stands there, not centred": (
                r * (gz - gz.mean(0) - x * r * (gz * z).mean(0))
            ),
            "the path through the variance has the mean of gz * z: yours has that of gz * x": (
                r * (gz - gz.mean(0) - z * (gz * x).mean(0))
            ),
            "sums in place of means: 1/N is missing in the paths through mean and variance": (
                r * (gz - gz.sum(0) - z * (gz * z).sum(0))
            ),
            "one mean over the whole array: each column has its own, over axis 0": (
                r * (gz - gz.mean() - z * (gz * z).mean())
            ),
            "the means over axis 1: each column has its own, over axis 0": (
                r * (gz - gz.mean(1, keepdims=True) - z * (gz * z).mean(1, keepdims=True))
            ),
            DIVIDED: assembled(gz, centred * by_less, by_less),
            f"{DIVIDED}; yours would be right for the other": by_less * (gz - gz.mean(0))
            - by_less**3 * centred * (gz * centred).sum(0) / (len(x) - 1),
            ROOT: assembled(gz, centred * outside, outside),
            f"{ROOT}; yours would be right for the other": outside * (gz - gz.mean(0))
            - outside**2 * centred * (gz * centred).mean(0) / x.std(0),
            NO_EPS: assembled(gz, centred * bare, bare),
            NO_ROOT: assembled(gz, centred * r**2, r**2),
            ROWS: gx_rows,
        }
        for_gamma = {
            "gy * x: gamma multiplies z, the normalized x": (gy * x).sum(0),
            "gy * (x - mean): gamma multiplies z, which is divided by the deviation as well": (
                (gy * centred).sum(0)
            ),
            "gy * y: gamma multiplies z, not y": (gy * forward(x, gamma, beta, eps)).sum(0),
            "the mean over the batch: gamma was copied to all samples, so they are summed": (
                (gy * z).mean(0)
            ),
            "gy * gamma * z: the derivative of gamma * z with respect to gamma is z": (gz * z).sum(
                0
            ),
            "everything summed: each column has a gamma of its own": gamma * 0 + (gy * z).sum(),
            DIVIDED: (gy * centred * by_less).sum(0),
            ROOT: (gy * centred * outside).sum(0),
            NO_EPS: (gy * centred * bare).sum(0),
            NO_ROOT: (gy * centred * r**2).sum(0),
            ROWS: (gy * z_rows).sum(0),
        }
        for_beta = {
            "the mean over the batch: beta was copied to all samples, so they are summed": gy.mean(
                0
            ),
            "gy * gamma summed: beta is added after gamma, so gamma does not reach it": gz.sum(0),
            "everything summed: each column has a beta of its own": beta * 0 + gy.sum(),
        }
        return [for_x, for_gamma, for_beta]

    return wrong


def cases(rng):
    for n, d, eps in [(5, 3, 0.1), (6, 4, 1e-3)]:
        x = rng.uniform(-1.0, 2.0, d) + rng.uniform(0.5, 1.5, d) * rng.standard_normal((n, d))
        gamma = rng.uniform(0.5, 2.0, d)
        gamma[0] *= -1
        yield Case(
            forward=forward,
            inputs=[x, gamma, rng.standard_normal(d)],
            names=["x", "gamma", "beta"],
            sizes={"N": n, "D": d},
            options={"eps": eps},
            terms=terms_for(eps),
            wrong=wrong_for(eps),
        )


# What the wrong answers begin with: r and z as they should be.
START = (
    "    r = 1 / np.sqrt(x.var(axis=0) + eps)\n"
    "    z = (x - x.mean(axis=0)) * r\n"
    "    gz = gy * gamma\n"
    "    ggamma, gbeta = (gy * z).sum(axis=0), gy.sum(axis=0)\n"
)


def answer(more, returned="gx, ggamma, gbeta", start=START):
    right = "    gx = r * (gz - gz.mean(axis=0) - z * (gz * z).mean(axis=0))\n"
    head = "def backward(gy, x, gamma, beta, eps):\n"
    return f"{head}{start}{right}{more}    return {returned}\n"


exercise = Exercise(
    name="batch_norm",
    number=27,
    title="batch normalization",
    hints=[
        "beta was copied to all samples: gbeta is gy summed over axis 0. gamma was, too, and is "
        "multiplied by z: ggamma is the sum of gy * z. And gz = gy * gamma.",
        "One column, three parts of dz[m]/dx[n]. Mean and var fixed: r for m = n, else 0. The mean "
        "alone: every z[m] sinks by r/N. So far gx[n] = r * gz[n] - r * (1/N) * sum of gz.",
        "The variance: dvar/dx[n] = (2/N) (x[n] - mean), for the mean's own move does nothing to "
        "it: the x - mean add up to 0. And dr/dvar = -1/2 (var + eps)^(-3/2) = -r^3 / 2.",
        "So dz[m]/dvar = (x[m] - mean) * (-r^3 / 2) = -z[m] r^2 / 2. Times dvar/dx[n], which is "
        "2 z[n] / (N r): -r z[m] z[n] / N. Sum over m, with the weights gz[m].",
        "gx = r * (gz - the mean of gz - z * the mean of gz * z), both means over axis 0.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the variance forgotten",
            cause="the path through the variance' is missing",
            code=answer("    gx = r * (gz - gz.mean(axis=0))\n"),
        ),
        WrongAnswer(
            "the mean forgotten",
            cause="the path through the mean' is missing",
            code=answer("    gx = r * (gz - z * (gz * z).mean(axis=0))\n"),
        ),
        WrongAnswer(
            "both taken as constants",
            cause="taken as constants",
            code=answer("    gx = r * gz\n"),
        ),
        WrongAnswer(
            "the variance's sign",
            cause="the path through the variance' has the wrong sign",
            code=answer("    gx = r * (gz - gz.mean(axis=0) + z * (gz * z).mean(axis=0))\n"),
        ),
        WrongAnswer(
            "half the variance's path: the 2 of the square forgotten",
            cause="the path through the variance' is 2 times too small",
            code=answer("    gx = r * (gz - gz.mean(axis=0) - z * (gz * z).mean(axis=0) / 2)\n"),
        ),
        WrongAnswer(
            "z forgotten in the variance's path",
            cause="the factor z is missing",
            code=answer("    gx = r * (gz - gz.mean(axis=0) - (gz * z).mean(axis=0))\n"),
        ),
        WrongAnswer(
            "sums for means",
            cause="1/N is missing",
            code=answer("    gx = r * (gz - gz.sum(axis=0) - z * (gz * z).sum(axis=0))\n"),
        ),
        WrongAnswer(
            "N - 1",
            cause="divided by N - 1",
            code=answer("", start=START.replace("x.var(axis=0)", "x.var(axis=0, ddof=1)")),
        ),
        WrongAnswer(
            "eps outside of the root",
            cause="inside the root",
            code=answer(
                "", start=START.replace("np.sqrt(x.var(axis=0) + eps)", "(x.std(axis=0) + eps)")
            ),
        ),
        WrongAnswer(
            "the root forgotten",
            cause="the root is missing",
            code=answer(
                "", start=START.replace("np.sqrt(x.var(axis=0) + eps)", "(x.var(axis=0) + eps)")
            ),
        ),
        WrongAnswer(
            "eps forgotten",
            cause="eps is left out",
            code=answer("", start=START.replace(" + eps", "")),
        ),
        WrongAnswer(
            "gamma forgotten",
            cause="gamma is forgotten",
            code=answer("", start=START.replace("gz = gy * gamma", "gz = gy")),
        ),
        WrongAnswer(
            "the input in place of z",
            cause="z, the normalized x",
            code=answer("    ggamma = (gy * x).sum(axis=0)\n"),
        ),
        WrongAnswer(
            "gbeta not summed",
            cause="the sum over axis 0 (N) is missing",
            code=answer("", "gx, ggamma, gy"),
        ),
        WrongAnswer(
            "gbeta averaged",
            cause="so they are summed",
            code=answer("    gbeta = gy.mean(axis=0)\n"),
        ),
        WrongAnswer(
            "over the rows",
            cause="taken over axis 1",
            code=answer(
                "    s = 1 / np.sqrt(x.var(axis=1, keepdims=True) + eps)\n"
                "    z = (x - x.mean(axis=1, keepdims=True)) * s\n"
                "    gx = s * (gz - gz.mean(axis=1, keepdims=True)"
                " - z * (gz * z).mean(axis=1, keepdims=True))\n"
            ),
        ),
    ],
    lesson="The two means take out of gz what would move or stretch the column: the first cannot "
    "change y, the second only as far as eps goes. With gy = 1 everywhere gx is 0, so a check with "
    "ones sees nothing here. `BatchNorm` in minigrad/ops/norm.py is this rule.",
    requires=("mean", "pow", "unbroadcast"),
)
