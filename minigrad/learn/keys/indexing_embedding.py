"""Key of exercise 15, indexing and embeddings."""

import numpy as np

from minigrad.learn.exercise import Case, Exercise, WrongAnswer


def wrong(gy, inputs):
    E, words = inputs
    overwritten, last = np.zeros_like(E), np.zeros_like(E)
    overwritten[words] += gy
    last[words] = gy
    summed = np.zeros_like(E)
    np.add.at(summed, words, gy)
    counts = np.bincount(words, minlength=len(E))[:, None]
    ones = np.zeros_like(E)
    np.add.at(ones, words, 1.0)
    return [
        {
            "a word that occurs twice got only its last gradient: repeats must be added": last,
            "a word that occurs twice got only one gradient: g[words] += gy does not add repeats": (
                overwritten
            ),
            "the mean over a word's places: they are summed": summed / np.maximum(counts, 1),
            "the counts: the upstream gradient gy is missing": ones,
        },
        {},
    ]


def cases(rng):
    # The last words of the second table do not occur: their rows must be there all the same.
    for v, d, words in [(5, 3, [1, 3, 1, 0, 3, 3, 4]), (8, 2, [5, 2, 5, 0])]:
        table = rng.standard_normal((v, d))
        yield Case(
            forward=lambda E, words: E[words],
            inputs=[table, np.array(words)],
            names=["E", "words"],
            sizes={"V": v, "D": d, "T": len(words)},
            wrong=wrong,
        )


exercise = Exercise(
    name="indexing_embedding",
    number=15,
    title="indexing and embeddings",
    hints=[
        "Row 3 of E is copied to every place t where words[t] == 3. Copying forward is summing "
        "backward.",
        "So gE[v] is the sum of gy[t] over all t with words[t] == v; 0 for words that do not "
        "occur.",
        "A plain loop is right: for t, w in enumerate(words): gE[w] += gy[t].",
        "In one call: np.add.at(gE, words, gy), which adds repeats. Start from np.zeros_like(E).",
    ],
    cases=cases,
    wrong_answers=[
        WrongAnswer(
            "+= with repeated indices",
            cause="repeat",
            code="def backward(gy, E, words):\n"
            "    g = np.zeros_like(E)\n    g[words] += gy\n    return g\n",
        ),
        WrongAnswer(
            "assigned",
            cause="repeat",
            code="def backward(gy, E, words):\n"
            "    g = np.zeros_like(E)\n    g[words] = gy\n    return g\n",
        ),
        WrongAnswer(
            "gy as it came",
            cause="not scattered back",
            code="def backward(gy, E, words):\n    return gy\n",
        ),
        WrongAnswer(
            "the mean over a word's places",
            cause="mean",
            code="def backward(gy, E, words):\n"
            "    g = np.zeros_like(E)\n    np.add.at(g, words, gy)\n"
            "    return g / np.maximum(np.bincount(words, minlength=len(E)), 1)[:, None]\n",
        ),
        WrongAnswer(
            "upstream forgotten",
            cause="upstream",
            code="def backward(gy, E, words):\n"
            "    g = np.zeros_like(E)\n    np.add.at(g, words, 1.0)\n    return g\n",
        ),
        WrongAnswer(
            "a row for each word up to the last that occurs",
            cause="not put back to its place",
            code="def backward(gy, E, words):\n"
            "    g = np.zeros((words.max() + 1, gy.shape[1]))\n"
            "    np.add.at(g, words, gy)\n"
            "    return g\n",
        ),
    ],
    lesson="Looking up is copying, so its backward adds up. `Index` in minigrad/ops/shape.py does "
    "it for every kind of NumPy index.",
    requires=("unbroadcast",),
)
