"""Key of exercise 02, topological order."""

from collections import deque

from minigrad.learn.exercise import Exercise, WrongAnswer, right, wrong

DOUBLINGS = 20
MOST_LOOKUPS = 100_000  # n^3 are 9261 of them, the ways through the doublings a million

# Two diamonds with a short way past them, told apart by the side that is listed first.
FIXED = [
    {"x": [], "w": [], "a": ["x", "w"], "b": ["a"], "c": ["a", "b"], "loss": ["c", "x"]},
    {"x": [], "w": [], "a": ["w", "x"], "b": ["a"], "c": ["b", "a"], "loss": ["x", "c"]},
]


class TooManyError(Exception):
    """The graph was asked far more often than any walk that visits each name once would."""


class Counted(dict):
    """A graph that counts how often it is asked."""

    count = 0

    def __getitem__(self, name):
        self.count += 1
        if self.count > MOST_LOOKUPS:
            raise TooManyError
        return super().__getitem__(name)

    def get(self, name, default=None):  # by way of [], so that it is counted too
        return self[name] if name in self else default  # noqa: SIM401


def random_graph(rng):
    """Return a graph in mixed order and a result of it, on which not all names depend."""
    names = [str(name) for name in rng.permutation(list("abcdefghij"))]
    graph = {
        name: [names[int(j)] for j in rng.integers(0, i, rng.integers(0, 4))] if i > 1 else []
        for i, name in enumerate(names)
    }
    result = max(names[4:8], key=lambda name: len(reached(graph, name)))
    mixed = [names[int(i)] for i in rng.permutation(len(names))]
    return {name: graph[name] for name in mixed}, result


def reached(graph, result, last_first=False, in_line=False):
    """Return the names that lead to the result, in the order in which a plain search meets them."""
    found, waiting = [], deque([result])
    while waiting:
        name = waiting.popleft() if in_line else waiting.pop()
        if name in found:
            continue
        found.append(name)
        sources = graph[name]
        waiting.extend(sources if last_first or in_line else sources[::-1])
    return found


def waiting_for_all(graph, result):
    """Return what comes out if uses by names that do not lead to the result are waited for."""
    uses = dict.fromkeys(graph, 0)
    for sources in graph.values():
        for source in sources:
            uses[source] += 1
    order = [result]
    for name in order:
        for source in graph[name]:
            uses[source] -= 1
            if uses[source] == 0:
                order.append(source)
    return set(order)


def first_too_early(graph, order):
    """Return (name, user): a name that comes before one that uses it; None if there is none."""
    place = {name: i for i, name in enumerate(order)}
    for user in order:
        for source in graph[user]:
            if place[source] < place[user]:
                return source, user
    return None


def as_names(returned):
    """Return a list of what was returned, and the verdict if it is none."""
    if returned is None:
        return [], wrong("nothing returned", "topological_order returned None, not a list.")
    if isinstance(returned, set | frozenset):
        text = "topological_order returned a set. A set has no order: return a list."
        return [], wrong("a set has no order", text)
    if isinstance(returned, str) or not hasattr(returned, "__iter__"):
        kind = type(returned).__name__
        return [], wrong("wrong type", f"topological_order returned a {kind}, not a list of names.")
    return list(returned), None


def judge(graph, result, returned):
    """Return the verdict about an order, or None if it is right."""
    order, fault = as_names(returned)
    if fault:
        return fault
    expected = reached(graph, result)
    cause, because = fault_of(graph, result, order, expected)
    if cause is None:
        return None
    lines = [f"The order for {result!r} is wrong: {cause}.", f"  {because}", "", "  inputs:"]
    lines += [f"    {name}: {', '.join(graph[name]) or '(none)'}" for name in graph]
    lines += [f"  result: {result}", f"  yours:  {', '.join(map(str, order))}"]
    return wrong(cause, "\n".join(lines))


def fault_of(graph, result, order, expected):
    """Return the cause, and the sentence that proves it; (None, None) for a right order."""
    strange = [name for name in order if name not in graph]
    if strange:
        return "a name that is not in the graph", f"{strange[0]!r} is none of the names."
    twice = [name for name in expected if order.count(name) > 1]
    if twice:
        text = f"{twice[0]} stands in it {order.count(twice[0])} times."
        return "a value comes more than once", text
    extra = [name for name in order if name not in expected]
    if extra:
        text = f"{result} does not depend on {', '.join(extra)}: no gradient gets there."
        return "values that do not lead to the result", text
    missing = [name for name in expected if name not in order]
    if missing:
        text = f"Missing: {', '.join(missing)}."
        if set(order) == waiting_for_all(graph, result):
            cause = "uses are waited for that do not lead to the result"
            return cause, f"{text} Count only the uses that are reached from {result}."
        if not any(graph[name] for name in missing):
            return "leaves are missing", f"{text} They have a gradient too."
        return "values are missing", text
    early = first_too_early(graph, order)
    if early is None:
        return None, None
    text = f"{early[0]} comes before {early[1]}, which uses it and still has a share for it."
    if first_too_early(graph, order[::-1]) is None:
        return "this is the forward order", f"{text} Turned round it would be right."
    searches = [(False, False), (True, False), (False, True)]
    if order in [reached(graph, result, *how) for how in searches]:
        return "each value as soon as it is met, before its other users", text
    return "a value before one that uses it", text


def check(module, rng):
    graphs = [(graph, "loss") for graph in FIXED] + [random_graph(rng) for _ in range(4)]
    for graph, result in graphs:
        given = {name: list(sources) for name, sources in graph.items()}
        returned = module.topological_order(given, result)
        fault = judge(graph, result, returned)
        if fault:
            return fault
        if given != graph:
            text = "topological_order changed the dict that it was given; work on a copy."
            return wrong("the graph was changed", text)
    return check_doublings(module) or right()


def check_doublings(module):
    graph = {"v0": []}
    for i in range(DOUBLINGS):
        graph[f"v{i + 1}"] = [f"v{i}", f"v{i}"]
    last = f"v{DOUBLINGS}"
    try:
        return judge(graph, last, module.topological_order(Counted(graph), last))
    except TooManyError:
        text = (
            f"After {DOUBLINGS} doublings, v1 = v0 + v0, v2 = v1 + v1, ..., there are "
            f"{DOUBLINGS + 1} values. Your function looked up inputs more than {MOST_LOOKUPS} "
            "times and was stopped: it walks along every way back, also where it has been before."
        )
        return wrong("every way is walked, not every value visited once", text)


exercise = Exercise(
    name="topological_order",
    number=2,
    title="topological order",
    functions=("topological_order",),
    hints=[
        "a gets a share from c, and two from b. If a went before b, the two from b would come too "
        "late, and x would never hear of them. So: c, b, a, x.",
        "Turn the question round: which value may come *last*? One that was computed from nothing. "
        "And before it, one whose inputs all stand behind it already. So a list can be filled from "
        "its end.",
        "A function visit(name) that first visits all inputs of name and then appends name gives "
        "each value after everything it was computed from. Which order is that, and how do you "
        "make the other one of it? A set of the names seen keeps it from going anywhere twice.",
        "visit(name): if it was seen, return; mark it as seen; visit each of inputs[name]; append "
        "it. Call visit(result), and return the list from its end to its beginning. (The other "
        "way: count the uses of each value, and let it go when all its uses have gone.)",
    ],
    check=check,
    wrong_answers=[
        WrongAnswer(
            "not turned round",
            cause="forward order",
            code="def topological_order(inputs, result):\n"
            "    order = []\n"
            "    def visit(name):\n"
            "        if name not in order:\n"
            "            for source in inputs[name]:\n"
            "                visit(source)\n"
            "            order.append(name)\n"
            "    visit(result)\n"
            "    return order\n",
        ),
        WrongAnswer(
            "depth first, appended when met",
            cause="as soon as it is met",
            code="def topological_order(inputs, result):\n"
            "    order = []\n"
            "    def visit(name):\n"
            "        if name not in order:\n"
            "            order.append(name)\n"
            "            for source in inputs[name]:\n"
            "                visit(source)\n"
            "    visit(result)\n"
            "    return order\n",
        ),
        WrongAnswer(
            "breadth first",
            cause="as soon as it is met",
            code="def topological_order(inputs, result):\n"
            "    order = [result]\n"
            "    for name in order:\n"
            "        for source in inputs[name]:\n"
            "            if source not in order:\n"
            "                order.append(source)\n"
            "    return order\n",
        ),
        WrongAnswer(
            "nothing marked as seen",
            cause="more than once",
            code="def topological_order(inputs, result):\n"
            "    order = [result]\n"
            "    for source in inputs[result]:\n"
            "        order += topological_order(inputs, source)\n"
            "    return order\n",
        ),
        WrongAnswer(
            "each way walked, doubles taken out at the end",
            cause="every way is walked",
            code="def topological_order(inputs, result):\n"
            "    order = []\n"
            "    def visit(name):\n"
            "        for source in inputs[name]:\n"
            "            visit(source)\n"
            "        if name not in order:\n"
            "            order.append(name)\n"
            "    visit(result)\n"
            "    return order[::-1]\n",
        ),
        WrongAnswer(
            "all names of the graph",
            cause="do not lead to the result",
            code="right = topological_order\n"
            "def topological_order(inputs, result):\n"
            "    order = right(inputs, result)\n"
            "    return order + [name for name in inputs if name not in order]\n",
        ),
        WrongAnswer(
            "all uses counted",
            cause="uses are waited for",
            code="def topological_order(inputs, result):\n"
            "    uses = {name: 0 for name in inputs}\n"
            "    for sources in inputs.values():\n"
            "        for source in sources:\n"
            "            uses[source] += 1\n"
            "    order = [result]\n"
            "    for name in order:\n"
            "        for source in inputs[name]:\n"
            "            uses[source] -= 1\n"
            "            if uses[source] == 0:\n"
            "                order.append(source)\n"
            "    return order\n",
        ),
        WrongAnswer(
            "leaves left out",
            cause="leaves are missing",
            code="right = topological_order\n"
            "def topological_order(inputs, result):\n"
            "    return [name for name in right(inputs, result) if inputs[name]]\n",
        ),
    ],
    lesson="`backprop` in minigrad/autograd.py takes the other way: it counts the uses of each "
    "node first, and lets a node go when the last of them has reported.",
)
