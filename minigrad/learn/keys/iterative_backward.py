"""Key of exercise 34, a walk without recursion."""

import sys

import numpy as np

from minigrad.learn.exercise import Exercise, WrongAnswer, compare, first_fault, right, wrong

DEEP = 100_000
LETTERS = "abcdefghijkl"
RECURSION_LIMIT = 1000  # Python's own
DOUBLINGS = 20
MOST_PRODUCTS = 10_000  # there are 40 slopes, and a million ways


class TooManyError(Exception):
    """Slopes were used far more often than any walk that visits each number once would."""


class Counter:
    count = 0


class Slope(float):
    """A slope that counts how often a gradient is multiplied by it."""

    def __new__(cls, value, counter):
        slope = super().__new__(cls, value)
        slope.counter = counter
        return slope

    def __mul__(self, other):
        self.counter.count += 1
        if self.counter.count > MOST_PRODUCTS:
            raise TooManyError
        return float(self) * other

    __rmul__ = __mul__


def random_graph(rng, n=9):
    """Return for each of n numbers its pairs (index, slope); the last one is led to by many."""
    graph = [[], []]
    for i in range(2, n):
        sources = [i - 1, *(int(j) for j in rng.integers(0, i, 2))]
        graph.append([(j, float(rng.choice([-2.0, -1.0, 0.5, 1.5, 3.0]))) for j in sources])
    return graph


# The example of the text, at 2: x, a = x * x, b = a + a, c = a * b; and with c = b * a.
FIXED = [
    [[], [(0, 2.0), (0, 2.0)], [(1, 1.0), (1, 1.0)], [(1, 8.0), (2, 4.0)]],
    [[], [(0, 2.0), (0, 2.0)], [(1, 1.0), (1, 1.0)], [(2, 4.0), (1, 8.0)]],
]


def build(Number, graph):
    numbers = []
    for pairs in graph:
        numbers.append(Number(1.0, [(numbers[j], slope) for j, slope in pairs]))
    return numbers


def truth(graph, overwrite=False):
    """Return the gradients; indices are an order in which each comes after what it was made of."""
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for i in reversed(range(len(graph))):
        for j, slope in graph[i]:
            gradients[j] = gradients[i] * slope + (0.0 if overwrite else gradients[j])
    return gradients


def too_early(graph, from_end, again):
    """Return the gradients if a number goes as soon as it is met, once or `again` and again."""
    gradients, waiting, seen = [0.0] * len(graph), [len(graph) - 1], {len(graph) - 1}
    gradients[-1] = 1.0
    while waiting:
        i = waiting.pop() if from_end else waiting.pop(0)
        for j, slope in graph[i]:
            gradients[j] += gradients[i] * slope
            if again or j not in seen:
                seen.add(j)
                waiting.append(j)
    return gradients


def recursive(graph, again):
    """Return the gradients if a number calls on its sources at once, inside the loop over them."""
    gradients, seen = [0.0] * len(graph), set()
    gradients[-1] = 1.0

    def visit(i):
        for j, slope in graph[i]:
            gradients[j] += gradients[i] * slope
            if again or j not in seen:
                seen.add(j)
                visit(j)

    visit(len(graph) - 1)
    return gradients


def preorder(graph, last_first):
    """Return the gradients if numbers go in the order in which a depth-first search meets them."""
    order, waiting = [], [len(graph) - 1]
    while waiting:
        i = waiting.pop()
        if i not in order:
            order.append(i)
            sources = [j for j, _ in graph[i]]
            waiting += sources if last_first else sources[::-1]
    gradients = [0.0] * len(graph)
    gradients[-1] = 1.0
    for i in order:
        for j, slope in graph[i]:
            gradients[j] += gradients[i] * slope
    return gradients


def by_counting(graph, count, share, again=False, from_end=True):
    """Return the gradients of a walk that counts uses, and lets a number go at 0 left.

    `count` and `share` say which pairs of a number are counted and get a share; `again`: at less
    than 0, too; `from_end`: which of those that are ready goes first.
    """
    left = [0] * len(graph)
    for i in reversed(range(len(graph))):
        for j, _ in count(graph[i]):
            left[j] += 1
    gradients, ready = [0.0] * len(graph), [len(graph) - 1]
    gradients[-1] = 1.0
    while ready:
        i = ready.pop() if from_end else ready.pop(0)
        for j, slope in share(graph[i]):
            gradients[j] += gradients[i] * slope
            left[j] -= 1
            if left[j] == 0 or (again and left[j] < 0):
                ready.append(j)
    return gradients


def once(pairs):
    """Return the pairs as a dict has them: each source once, with its last slope."""
    return list(dict(pairs).items())


def without_slopes(graph):
    return [[(j, 1.0) for j, _ in pairs] for pairs in graph]


def slopes_alone(graph):
    """Return the gradients if each share is the slope alone."""
    gradients = [0.0] * (len(graph) - 1) + [1.0]
    for pairs in graph:
        for j, slope in pairs:
            gradients[j] += slope
    return gradients


def mistakes(graph):
    early = "a number went on before all its shares had come"
    uses = "x * x uses x twice: each pair (number, slope) is one use, and one share"
    twice = "a number went on with each share, and with the earlier ones again"
    return [
        (early, too_early(graph, True, False)),
        (early, too_early(graph, False, False)),
        (early, preorder(graph, True)),
        (early, preorder(graph, False)),
        (early, recursive(graph, False)),
        (twice, recursive(graph, True)),
        (twice, too_early(graph, True, True)),
        (twice, too_early(graph, False, True)),
        ("the last share alone: shares have to be added up", truth(graph, overwrite=True)),
        (uses, by_counting(graph, once, list)),
        (uses, by_counting(graph, once, list, from_end=False)),
        (uses, by_counting(graph, once, list, again=True)),
        (uses, by_counting(graph, once, list, again=True, from_end=False)),
        (uses, by_counting(graph, once, once)),
        ("the slope is missing: a share is gy * slope", truth(without_slopes(graph))),
        ("the upstream is missing: a share is gy * slope", slopes_alone(graph)),
    ]


def describe(graph):
    """Return lines that tell a graph: what each number was made from."""
    lines = ["", "  the graph, as number: (source, slope) ..."]
    for i, pairs in enumerate(graph):
        made_of = " ".join(f"({LETTERS[j]}, {slope:g})" for j, slope in pairs)
        lines.append(f"    {LETTERS[i]}: {made_of or 'a leaf'}")
    return lines


def check_graph(module, graph):
    numbers = build(module.Number, graph)
    module.backward(numbers[-1])
    names = LETTERS[: len(graph)]
    what = f"The gradient of {names[-1]} with respect to {', '.join(names)}"
    actual = [number.grad for number in numbers]
    if any(g is None for g in actual):
        name = names[actual.index(None)]
        return wrong("a gradient is None", f"{what}: that of {name} is None.")
    expected = truth(graph)
    fault = compare(what, actual, expected)
    if fault is None or fault.cause in ("wrong type", "wrong shape", "not finite"):
        return fault
    cause = fault.cause
    for known, gradients in mistakes(graph):
        if not np.allclose(gradients, expected) and np.allclose(gradients, actual):
            cause = known
            break
    if cause is None and not any(actual):
        cause = "the walk does not start: dy/dy is 1"
    elif cause is None and np.allclose(actual[:-1], expected[:-1]):
        cause = "the grad of y itself is not set: dy/dy is 1"
    because = [f"  cause: {cause}"] if cause else []
    rows = [
        f"  {name}: yours {yours:.6g}, expected {wanted:.6g}"
        for name, yours, wanted in zip(names, actual, expected)
    ]
    return wrong(cause, "\n".join([f"{what} is wrong.", *because, *rows, *describe(graph)]))


def check_doublings(module):
    counter = Counter()
    number = first = module.Number(1.0)
    for _ in range(DOUBLINGS):
        slopes = Slope(1.0, counter), Slope(1.0, counter)
        number = module.Number(1.0, [(number, slope) for slope in slopes])
    try:
        module.backward(number)
    except TooManyError:
        text = (
            f"After {DOUBLINGS} doublings, b = a + a, c = b + b, ..., there are {DOUBLINGS + 1} "
            f"numbers and {2 * DOUBLINGS} slopes. Your walk multiplied by slopes more than "
            f"{MOST_PRODUCTS} times and was stopped: it visits a number again for each way that "
            "leads to it."
        )
        return wrong("every way is walked, not every number visited once", text)
    return compare(f"After {DOUBLINGS} doublings, the gradient of a", first.grad, 2.0**DOUBLINGS)


def check_deep(module, depth):
    number = first = module.Number(0.0)
    x = module.Number(1.0)
    for _ in range(depth):
        number = module.Number(1.0, [(number, 1.0), (x, 1.0)])
    module.backward(number)
    return first_fault(
        compare(f"After {depth:,} additions of x to y, the gradient of x", x.grad, float(depth)),
        compare(f"After {depth:,} additions of x to y, that of the first y", first.grad, 1.0),
    )


def recursion(depth):
    text = (
        f"On a chain of {depth:,} numbers Python stopped your walk with a RecursionError: it "
        "calls itself for each number of the chain. Keep a list of what is still to be visited."
    )
    return wrong("the walk is recursive", text)


def check(module, rng):
    graphs = [*FIXED, *[random_graph(rng) for _ in range(5)]]
    limit = sys.getrecursionlimit()
    low = min(limit, RECURSION_LIMIT)
    sys.setrecursionlimit(low)
    try:
        verdict = first_fault(*[check_graph(module, graph) for graph in graphs])
        if not verdict.ok:
            return verdict
        fault = check_doublings(module)
        if fault:
            return fault
        verdict = check_deep(module, DEEP)
        raised = sys.getrecursionlimit() > low
    except RecursionError:
        return recursion(DEEP)
    finally:
        sys.setrecursionlimit(limit)
    if verdict.ok and raised:
        text = "Your file raises Python's recursion limit. On a deep graph that can crash Python."
        return wrong("the recursion limit was raised", f"{text} Use loops alone.")
    return verdict if not verdict.ok else right()


def counting(pairs="number.sources", share="number.grad * slope"):
    """Return code that counts the uses first, as the solution does."""
    return (
        "def backward(y):\n"
        "    uses, waiting = {y: 0}, [y]\n"
        "    while waiting:\n"
        "        number = waiting.pop()\n"
        f"        for source, _ in {pairs}:\n"
        "            if source not in uses:\n"
        "                uses[source] = 0\n"
        "                waiting.append(source)\n"
        "            uses[source] += 1\n"
        "    y.grad, ready = 1.0, [y]\n"
        "    while ready:\n"
        "        number = ready.pop()\n"
        "        for source, slope in number.sources:\n"
        f"            source.grad += {share}\n"
        "            uses[source] -= 1\n"
        "            if uses[source] == 0:\n"
        "                ready.append(source)\n"
    )


exercise = Exercise(
    name="iterative_backward",
    number=34,
    title="a walk without recursion",
    functions=("backward",),
    hints=[
        "c is ready at once. It gives a share to a and one to b. b has all "
        "it will ever get, so b may go. a still waits for the two shares of b.",
        "So count first. Walk over the whole graph once, with a list of numbers to visit and a "
        "dict of those seen, and count how many pairs (number, slope) name each number.",
        "Then walk again, with a list of numbers that are ready. At first it holds y alone. Take "
        "one, give its sources their shares, and count each source's uses down by one. What "
        "happens when a count gets to 0?",
        "Second round: y.grad = 1.0; ready = [y]; while ready: take a number out; for each "
        "(source, slope): add number.grad * slope to source.grad, lower uses[source], and if it is "
        "0 now, append source to ready.",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "recursive",
            cause="recursive",
            code="def backward(y):\n"
            "    order, seen = [], set()\n"
            "    def visit(number):\n"
            "        if number not in seen:\n"
            "            seen.add(number)\n"
            "            for source, _ in number.sources:\n"
            "                visit(source)\n"
            "            order.append(number)\n"
            "    visit(y)\n"
            "    y.grad = 1.0\n"
            "    for number in reversed(order):\n"
            "        for source, slope in number.sources:\n"
            "            source.grad += number.grad * slope\n",
        ),
        WrongAnswer(
            "each number goes when it is met",
            cause="before all its shares",
            code="def backward(y):\n"
            "    y.grad, waiting, seen = 1.0, [y], {y}\n"
            "    while waiting:\n"
            "        number = waiting.pop()\n"
            "        for source, slope in number.sources:\n"
            "            source.grad += number.grad * slope\n"
            "            if source not in seen:\n"
            "                seen.add(source)\n"
            "                waiting.append(source)\n",
        ),
        WrongAnswer(
            "the running total passed on each time",
            cause="with the earlier ones again",
            code="def backward(y):\n"
            "    y.grad, waiting = 1.0, [y]\n"
            "    while waiting:\n"
            "        number = waiting.pop()\n"
            "        for source, slope in number.sources:\n"
            "            source.grad += number.grad * slope\n"
            "            waiting.append(source)\n",
        ),
        WrongAnswer(
            "the same with recursion",
            cause="with the earlier ones again",
            code="def backward(y):\n"
            "    def visit(number):\n"
            "        for source, slope in number.sources:\n"
            "            source.grad += number.grad * slope\n"
            "            visit(source)\n"
            "    y.grad = 1.0\n"
            "    visit(y)\n",
        ),
        WrongAnswer(
            "each way walked by itself",
            cause="every way is walked",
            code="def backward(y):\n"
            "    waiting = [(y, 1.0)]\n"
            "    while waiting:\n"
            "        number, share = waiting.pop()\n"
            "        number.grad += share\n"
            "        for source, slope in number.sources:\n"
            "            waiting.append((source, share * slope))\n",
        ),
        WrongAnswer(
            "overwritten",
            cause="last share alone",
            code=counting().replace("grad +=", "grad ="),
        ),
        WrongAnswer(
            "two uses by one number counted once",
            cause="x * x uses x twice",
            code=counting(pairs="dict(number.sources).items()"),
        ),
        WrongAnswer("no slope", cause="the slope is missing", code=counting(share="number.grad")),
        WrongAnswer(
            "the slope alone", cause="the upstream is missing", code=counting(share="slope")
        ),
        WrongAnswer(
            "no start",
            cause="dy/dy is 1",
            code="right = backward\ndef backward(y):\n    right(Number(0.0, [(y, 0.0)]))\n",
        ),
    ],
    lesson="This is `backprop` in minigrad/autograd.py, with its two rounds. It also frees each "
    "node as soon as it has gone, so that the memory of the forward is given back on the way.",
    requires=("topological_order", "accumulate"),
    repeats=1,
    slow="is `x in some_list` asked, which looks through 100,000 numbers each time (use a set)",
)
