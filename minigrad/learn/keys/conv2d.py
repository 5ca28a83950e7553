"""Key of exercise 29, the convolution."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def pad(x, padding):
    n, c, h, w = x.shape
    padded = np.zeros((n, c, h + 2 * padding, w + 2 * padding))
    padded[:, :, padding : padding + h, padding : padding + w] = x
    return padded


def forward(x, w, b, stride, padding):
    """Return y, as one matrix product: every window is a row."""
    padded, (o, c, k, _) = pad(x, padding), w.shape
    i, j = [(length - k) // stride + 1 for length in padded.shape[2:]]
    n_step, c_step, *steps = padded.strides
    windows = np.lib.stride_tricks.as_strided(
        padded,
        (len(x), i, j, c, k, k),
        (n_step, *[stride * step for step in steps], c_step, *steps),
    )
    y = windows.reshape(-1, c * k * k) @ w.reshape(o, -1).T + b
    return y.reshape(len(x), i, j, o).transpose(0, 3, 1, 2)


def spread(gy, x, w, step, padding, add=True):
    """Return the gradient of the padded x: each window's share put under it, `step` apart."""
    gpadded = np.zeros_like(pad(x, padding))
    size = w.shape[2]
    for i, j in np.ndindex(gy.shape[2:]):
        under = gpadded[:, :, i * step : i * step + size, j * step : j * step + size]
        share = np.einsum("no,ockl->nckl", gy[:, :, i, j], w)
        under[...] = under + share if add else share
    return gpadded


def collected(gy, x, w, step, padding):
    """Return gw: what each window saw, weighted by its upstream gradients."""
    padded, gw, size = pad(x, padding), np.zeros_like(w), w.shape[2]
    for i, j in np.ndindex(gy.shape[2:]):
        window = padded[:, :, i * step : i * step + size, j * step : j * step + size]
        gw += np.einsum("no,nckl->ockl", gy[:, :, i, j], window)
    return gw


def wrong_for(stride, padding):
    def wrong(gy, inputs):
        x, w, b = inputs
        n, size = len(x), w.shape[2]
        (h, v), flipped = x.shape[2:], w[:, :, ::-1, ::-1]
        gpadded = spread(gy, x, w, stride, padding)

        def cropped(g):
            return g[:, :, padding : padding + h, padding : padding + v]

        turned = cropped(spread(gy, x, flipped, stride, padding))
        assigned = cropped(spread(gy, x, w, stride, padding, add=False))
        gw = collected(gy, x, w, stride, padding)
        last = collected(gy[:, :, -1:, -1:], pad(x, padding)[:, :, -size:, -size:], w, 1, 0)
        for_x = {
            "the kernel is the wrong way round: where y[i] = sum of w[k] * x[i + k], x[p] meets "
            "w[p - i] in the window i; a kernel that slides over gy has to be flipped": turned,
            "overlapping windows overwrite each other: an entry gets a share from every window "
            "that it lies in, so add with +=": assigned,
            "the upstream gradient is summed over the windows first: each window gives to the "
            "places under it only": np.broadcast_to(
                np.einsum("noij,ockl->nc", gy, w)[..., None, None], x.shape
            ),
            "divided by N: the mean over the batch is in gy already": cropped(gpadded) / n,
        }
        for_w = {
            "gw is flipped: forward does not flip w, so w[k] meets x[i + k]": gw[:, :, ::-1, ::-1],
            "divided by N: the mean over the batch is in gy already": gw / n,
            "the mean over the places: w is used at every place, so they are summed": (
                gw / (gy.shape[2] * gy.shape[3])
            ),
            "divided by N and the number of places: w is used at all of them, so they are "
            "summed": gw / (n * gy.shape[2] * gy.shape[3]),
        }
        if stride * (gy.shape[2] - 1) + size == h + 2 * padding:
            for_w[
                "only the last window's share is kept: w is used in every one, so add with +="
            ] = last
        for_b = {
            "the mean over the places: b is added at each place of y, so they are summed": (
                gy.sum(0).mean((1, 2))
            ),
            "the mean over the batch: b is added to every sample, so they are summed": (
                gy.mean(0).sum((1, 2))
            ),
            "the mean of gy: b is added at each place of each sample, so they are summed": (
                gy.mean((0, 2, 3))
            ),
            "everything summed: each output channel has a b of its own": b * 0 + gy.sum(),
            "one place only: b is added at each place of y": gy[:, :, 0, 0].sum(0),
        }
        if padding:
            for_x["the padding is cut off at one side only: x begins at `padding` in xp"] = gpadded[
                :, :, :h, :v
            ]
            for_x["the padding is cut off at one side only: x ends `padding` before xp does"] = (
                gpadded[:, :, -h:, -v:]
            )
        if stride > 1:
            text = "the stride is forgotten: window (i, j) begins at (i * stride, j * stride)"
            for_x[text] = cropped(spread(gy, x, w, 1, padding))
            for_w[text] = collected(gy, x, w, 1, padding)
        return [for_x, for_w, for_b]

    return wrong


def cases(rng):
    # Overlapping windows with a border; the same two steps apart; side by side, a row left out.
    for (n, c, h, v), o, k, stride, padding in [
        ((2, 2, 3, 4), 3, 3, 1, 1),
        ((3, 1, 4, 6), 2, 3, 2, 1),
        ((2, 1, 5, 4), 3, 2, 2, 0),
    ]:
        yield Case(
            forward=forward,
            inputs=[rng.standard_normal(s) for s in ((n, c, h, v), (o, c, k, k), (o,))],
            names=["x", "w", "b"],
            sizes={"N": n},
            options={"stride": stride, "padding": padding},
            wrong=wrong_for(stride, padding),
        )


def answer(*changes):
    """Return a backward as in the solution, with some of its text replaced."""
    code = """
def backward(gy, x, w, b, stride, padding):
    (H, W), K = x.shape[2:], w.shape[2]
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    gpadded, gw = np.zeros_like(padded), np.zeros_like(w)
    for i, j in np.ndindex(gy.shape[2:]):
        rows = slice(i * stride, i * stride + K)
        columns = slice(j * stride, j * stride + K)
        g = gy[:, :, i, j]
        gpadded[:, :, rows, columns] += np.einsum("no,ockl->nckl", g, w)
        gw += np.einsum("no,nckl->ockl", g, padded[:, :, rows, columns])
    gx = gpadded[:, :, padding : padding + H, padding : padding + W]
    gb = gy.sum(axis=(0, 2, 3))
    return gx, gw, gb
"""
    for old, new in changes:
        assert old in code, old
        code = code.replace(old, new)
    return code


exercise = Exercise(
    name="conv2d",
    number=29,
    title="the convolution",
    hints=[
        "b[o] is added at every place (i, j) of every sample n, so gb[o] is the sum of gy[n, o, i, "
        "j] over n, i and j: over the axes 0, 2 and 3.",
        "gw[o, c, k, l] = sum over n, i, j of gy[n, o, i, j] * xp[n, c, i * stride + k, j * stride "
        "+ l]. For one window (i, j) that is the linear layer's gw: its gy[:, :, i, j], with the "
        "window of xp.",
        "The window (i, j) gives w[o, c, k, l] * gy[n, o, i, j], summed over o, to the place "
        "xp[n, c, i * stride + k, j * stride + l]. Windows overlap, so the shares add up.",
        "Loop over i and j as forward does. In each turn, with g = gy[:, :, i, j] of shape (N, O): "
        "add einsum('no,ockl->nckl', g, w) to the gradient of xp under the window, and "
        "einsum('no,nckl->ockl', g, the window of xp) to gw.",
        "Start both from zeros. At the end cut the border off: gx are the rows from padding to "
        "padding + H of the gradient of xp, and the columns from padding to padding + W.",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "the kernel not flipped where it slides over gy",
            cause="wrong way round",
            code=answer(("g, w)", "g, w[:, :, ::-1, ::-1])")),
        ),
        WrongAnswer(
            "the padding not cut off",
            cause="the border (padding) is not cut off",
            code=answer(("gpadded[:, :, padding : padding + H, padding : padding + W]", "gpadded")),
        ),
        WrongAnswer(
            "the padding cut off at one side",
            cause="at one side only",
            code=answer(("padding : padding + H, padding : padding + W", ":H, :W")),
        ),
        WrongAnswer(
            "= for += in gx",
            cause="overwrite each other",
            code=answer(("columns] +=", "columns] =")),
        ),
        WrongAnswer(
            "= for += in gw",
            cause="only the last",
            code=answer(("gw += ", "gw = ")),
        ),
        WrongAnswer(
            "the stride forgotten",
            cause="the stride is forgotten",
            code=answer(("i * stride", "i"), ("j * stride", "j")),
        ),
        WrongAnswer(
            "the stride forgotten in gw",
            cause="the stride is forgotten",
            code=answer(("padded[:, :, rows, columns])", "padded[:, :, i : i + K, j : j + K])")),
        ),
        WrongAnswer(
            "gw flipped",
            cause="gw is flipped",
            code=answer(("return gx, gw, gb", "return gx, gw[:, :, ::-1, ::-1], gb")),
        ),
        WrongAnswer(
            "the bias summed over the batch only",
            cause="the sum over axes",
            code=answer(("axis=(0, 2, 3)", "axis=0")),
        ),
        WrongAnswer(
            "the bias averaged over the places",
            cause="so they are summed",
            code=answer(("gy.sum(axis=(0, 2, 3))", "gy.mean(axis=(2, 3)).sum(axis=0)")),
        ),
        WrongAnswer(
            "the weight averaged over the batch",
            cause="in gy already",
            code=answer(("return gx, gw, gb", "return gx, gw / len(x), gb")),
        ),
    ],
    lesson="With stride 1 gx is a convolution again: gy with a border, and w flipped. In "
    "minigrad/ops/conv.py forward, gx and gw are three views of one sum, and each one's backward "
    "is the other two.",
    requires=("linear", "indexing_embedding"),
)
