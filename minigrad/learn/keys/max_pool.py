"""Key of exercise 30, max pooling.

At a tie there is no derivative, and a rule is asked for: the first of the largest. So the forward
of a case keeps, close to the case's own image, the places that were chosen there. Then it has a
derivative, also where two entries are equal, and it is the one that the rule says.
"""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def windows(x, stride):
    """Return the entries of each window, shape (I, J, 4), row by row."""
    found = np.lib.stride_tricks.sliding_window_view(x, (2, 2))[::stride, ::stride]
    return found.reshape(*found.shape[:2], 4)


def places(x, stride):
    """Return where the first of the largest of each window is, in the flattened x."""
    rows, columns = np.divmod(windows(x, stride).argmax(-1), 2)
    i, j = np.indices(rows.shape)
    return (i * stride + rows) * x.shape[1] + j * stride + columns


def forward_near(image, stride):
    chosen = places(image, stride)

    def forward(x, stride):
        near = abs(x - image).max() < 0.02
        return x.ravel()[chosen if near else places(x, stride)]

    return forward


def scattered(shares, shape, step, add=True):
    """Return gx from what each of the four places in each window gets; `shares` is (I, J, 4)."""
    gx = np.zeros(shape)
    for i, j in np.ndindex(shares.shape[:2]):
        under = gx[i * step : i * step + 2, j * step : j * step + 2]
        share = shares[i, j].reshape(2, 2)[: under.shape[0], : under.shape[1]]
        under[...] = under + share if add else share
    return gx


def wrong_for(stride):
    def wrong(gy, inputs):
        (x,) = inputs
        seen = windows(x, stride)
        largest = seen == seen.max(-1, keepdims=True)
        first = np.eye(4)[seen.argmax(-1)]
        last = np.eye(4)[3 - seen[..., ::-1].argmax(-1)]
        smallest = np.eye(4)[seen.argmin(-1)]
        g = gy[..., None]

        def at(shares, **options):
            return scattered(shares, x.shape, stride, **options)

        overwritten, in_corner = np.zeros_like(x), np.zeros_like(x)
        for i, j in np.ndindex(gy.shape):
            row, column = divmod(int(seen[i, j].argmax()), 2)
            overwritten[i * stride + row, j * stride + column] = gy[i, j]
            in_corner[row, column] += gy[i, j]
        known = {
            "all tied entries get the whole gradient: of the largest in a window only the first "
            "was taken": at(g * largest),
            "tied entries share the gradient: here the first of the largest was taken, and gets "
            "all of it": at(g * largest / largest.sum(-1, keepdims=True)),
            "the last of the tied entries gets the gradient: it is the first that was taken": (
                at(g * last)
            ),
            "the gradient is spread over the window, a quarter each: that is the mean's, here "
            "only the largest counts": at(g / 4 * np.ones(4)),
            "all four of a window get the gradient: only the largest moves y": at(g * np.ones(4)),
            "the gradient goes to the smallest of the window": at(g * smallest),
            "gy times the entry: y is the largest itself, so its derivative is 1": at(
                g * first * seen
            ),
            "windows overwrite each other: an entry may be the largest of several, so add with "
            "+=": overwritten,
            "windows overwrite each other, with zeros as well: add to the window with +=": at(
                g * first, add=False
            ),
            "row and column in the window are exchanged: place 1 is right of place 0, place 2 "
            "below it": at(g * first[..., [0, 2, 1, 3]]),
            "the upper left of each window gets the gradient: its largest entry may be elsewhere": (
                at(g * np.eye(4)[0])
            ),
            "argmax's place is counted within the window: in x the window begins at (i * stride, "
            "j * stride), add that": in_corner,
            "1 for the largest: the upstream gradient gy is missing": at(first),
        }
        if stride > 1:
            small = np.zeros((x.shape[0] + 2, x.shape[1] + 2))
            for i, j in np.ndindex(gy.shape):
                row, column = divmod(int(windows(x, 1)[i, j].argmax()), 2)
                small[i + row, j + column] += gy[i, j]
            text = "the stride is forgotten: window (i, j) begins at (i * stride, j * stride)"
            known[text] = small[: x.shape[0], : x.shape[1]]
            known[f"{text} when the gradient is put back"] = scattered(g * first, x.shape, 1)
        return [known]

    return wrong


def cases(rng):
    # All different; as after a relu, with ties and a row left out; ties, and windows overlap.
    different = rng.permutation(24).reshape(4, 6) / 4 - 3
    with_zeros = np.maximum(rng.permutation(35).reshape(5, 7) / 4 - 4.5, 0)
    with_zeros[:2, :2] = 0  # a window of zeros
    with_zeros[2:4, 2:4] = [[1.0, 4.0], [4.0, 2.0]]  # and one where two are equal
    few = rng.integers(1, 4, (4, 5)) / 2.0
    few[1:3, 1:4] = [[2.5, 1.0, 0.5], [1.0, 2.5, 1.0]]
    for image, stride in [(different, 2), (with_zeros, 2), (few, 1)]:
        yield Case(
            forward=forward_near(image, stride),
            inputs=[image],
            names=["x"],
            sizes={"H": image.shape[0], "W": image.shape[1]},
            options={"stride": stride},
            wrong=wrong_for(stride),
        )


def answer(body, after="    return gx\n"):
    """Return a backward that loops over the windows, with `body` in the loop."""
    return (
        "def backward(gy, x, stride):\n"
        "    gx = np.zeros_like(x)\n"
        "    for i, j in np.ndindex(gy.shape):\n"
        "        rows = slice(i * stride, i * stride + 2)\n"
        "        columns = slice(j * stride, j * stride + 2)\n"
        "        window = x[rows, columns]\n"
        "        row, column = divmod(window.argmax(), 2)\n"
        f"        {body}\n{after}"
    )


exercise = Exercise(
    name="max_pool",
    number=30,
    title="max pooling",
    hints=[
        "Take the window 1 5 / 3 2. If the 5 grows by 0.01, so does y. If the 3 does, nothing "
        "happens. So the 5 gets gy[i, j], and the others 0.",
        "Loop over the windows as forward does. Find where in the window the largest is, and add "
        "gy[i, j] to gx there. Adding, because windows may overlap.",
        "window.argmax() counts row by row, from 0 to 3, and gives the first of those that are "
        "equal: just the rule for ties. Its row in the window is argmax // 2, its column argmax "
        "% 2.",
        "row, column = divmod(window.argmax(), 2), and gx[i * stride + row, j * stride + column] "
        "+= gy[i, j]. Start from np.zeros_like(x).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "all ties get it",
            cause="all tied entries",
            code=answer("gx[rows, columns] += gy[i, j] * (window == window.max())"),
        ),
        WrongAnswer(
            "ties share it",
            cause="tied entries share",
            code=answer(
                "tied = window == window.max(); gx[rows, columns] += gy[i, j] * tied / tied.sum()"
            ),
        ),
        WrongAnswer(
            "the last of the tied",
            cause="the last of the tied",
            code=answer(
                "row, column = divmod(3 - window.ravel()[::-1].argmax(), 2); "
                "gx[i * stride + row, j * stride + column] += gy[i, j]"
            ),
        ),
        WrongAnswer(
            "spread over the window",
            cause="a quarter each",
            code=answer("gx[rows, columns] += gy[i, j] / 4"),
        ),
        WrongAnswer(
            "given to the whole window",
            cause="all four",
            code=answer("gx[rows, columns] += gy[i, j]"),
        ),
        WrongAnswer(
            "= for +=",
            cause="overwrite each other",
            code=answer("gx[i * stride + row, j * stride + column] = gy[i, j]"),
        ),
        WrongAnswer(
            "= for += with a window of its own",
            cause="overwrite each other",
            code=answer(
                "gx[rows, columns] = np.where(np.arange(4).reshape(2, 2) == window.argmax(), "
                "gy[i, j], 0)"
            ),
        ),
        WrongAnswer(
            "row and column exchanged",
            cause="row and column",
            code=answer("gx[i * stride + column, j * stride + row] += gy[i, j]"),
        ),
        WrongAnswer(
            "the stride forgotten",
            cause="the stride is forgotten",
            code=answer("gx[i + row, j + column] += gy[i, j]"),
        ),
        WrongAnswer(
            "the place within the window",
            cause="within the window",
            code=answer("gx[row, column] += gy[i, j]"),
        ),
        WrongAnswer(
            "times the entry",
            cause="its derivative is 1",
            code=answer("gx[i * stride + row, j * stride + column] += gy[i, j] * window.max()"),
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code=answer("gx[i * stride + row, j * stride + column] += 1"),
        ),
    ],
    lesson="A max passes the gradient on to the one that was taken, as if it were an index, and "
    "only that has to be remembered. `MaxPool2d` and `PoolScatter` in minigrad/ops/pool.py do so.",
    requires=("relu", "indexing_embedding"),
)
