"""Which boxes stand in a picture, and where arrows meet them: for the graph and for the page.

A layout only knows boxes and edges. What makes the picture of a computation easy to read is
decided here:

- what many operations use is drawn again beside each of them, and so is a leaf whose uses are far
  apart: long lines from one box to all would say less, and cost more;
- arrows enter an operation in the order of its arguments, the one from the longest computation at
  the middle, so that a chain of operations is a straight line and its parameters stand beside it;
- a bias stands above its weight, not beside it, so that a network is narrow enough for a phone.

Before this: ``_layout.py``, ``_coordinates.py``. Next: ``_numbers.py``, ``_text.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ._layout import Edge, Layout, layered

MOST_LINES = 4  # a tensor with more consumers than this is drawn again beside each,
LONGEST_LINE = 8  # and so is a leaf if they are further apart than so many layers
_PORT_STEP = 22.0  # between two arrows that enter a box
_CORNER = 14.0  # no arrow starts closer to the end of a side


@dataclass(frozen=True)
class Arrow:
    """One use of a tensor: from a drawn box to a drawn box, as argument number `argument`."""

    source: int
    target: int
    argument: int


@dataclass
class Arrangement:
    """The boxes that are drawn, and the layout.

    Attributes
    ----------
    nodes : list of int
        For every drawn box, the node that it shows.
    again : list of bool
        For every drawn box, whether another one, higher up, is the node's own.
    arrows : list of Arrow
        Between places in these lists; their routes stand in `layout` in the same order.
    layout : Layout
    """

    nodes: list[int]
    again: list[bool]
    arrows: list[Arrow]
    layout: Layout


def arrange(
    sources: Sequence[Sequence[int | None]],
    is_constant: Sequence[bool],
    size: Callable[[int, bool], tuple[float, float]],
) -> Arrangement:
    """Arrange the nodes of a computation.

    Parameters
    ----------
    sources : sequence of sequences of (int or None)
        For every node, the earlier nodes that feed it, in the order of its arguments. What is
        None is no node, and gets no arrow.
    is_constant : sequence of bool
        Whether a node is data, rather than a parameter or an operation.
    size : callable
        Given a node and whether its box is drawn again: the size of the box, along and across the
        layers.
    """
    nodes, again, places = _drawn(sources)
    arrows = [
        Arrow(places[source, node], places[node, None], argument)
        for node, given in enumerate(sources)
        for argument, source in enumerate(given)
        if source is not None
    ]
    sizes = [size(node, copy) for node, copy in zip(nodes, again)]
    feeding: list[list[int]] = [[] for _ in nodes]
    for arrow in arrows:
        feeding[arrow.target].append(arrow.source)
    lifted = _lifted(feeding)
    edges = _edges(feeding, sizes, lifted, [is_constant[node] for node in nodes])
    return Arrangement(nodes, again, arrows, layered(sizes, edges, lifted))


def _drawn(sources: Sequence[Sequence[int | None]]) -> tuple[list[int], list[bool], dict]:
    """Return the node that each box shows, whether again, and the box that an arrow starts from.

    The latter by source and consumer, and by ``(node, None)`` for the box that arrows lead to.
    """
    consumers: list[list[int]] = [[] for _ in sources]
    for node, given in enumerate(sources):
        for source in dict.fromkeys(given):
            if source is not None:
                consumers[source].append(node)
    height = [0] * len(sources)  # layers above the result, which is the last
    for node in reversed(range(len(sources))):
        height[node] = max([height[consumer] + 1 for consumer in consumers[node]], default=0)
    nodes: list[int] = []
    again: list[bool] = []
    places: dict = {}

    def put(node: int, is_again: bool, keys: list[tuple]) -> None:
        places.update(dict.fromkeys(keys, len(nodes)))
        nodes.append(node)
        again.append(is_again)

    for node, given in enumerate(sources):
        for source in dict.fromkeys(given):
            if source is not None and (source, node) not in places:  # beside this use
                topmost = max(consumers[source], key=lambda consumer: height[consumer])
                put(source, bool(sources[source]) or node != topmost, [(source, node)])
        joined = consumers[node]
        heights = [height[consumer] for consumer in joined]
        far = not given and max(heights, default=0) - min(heights, default=0) > LONGEST_LINE
        if len(joined) > MOST_LINES or far:
            # An operation still has a box where it is computed, joined to its first consumer.
            joined = joined[:1] if given else []
        if given or joined or not consumers[node]:
            put(node, False, [(node, None), *[(node, consumer) for consumer in joined]])
    return nodes, again, places


def _lifted(feeding: list[list[int]]) -> set[int]:
    """Return the biases: the last one of an operation's own leaves."""
    uses = Counter([source for given in feeding for source in given])
    lifted = set()
    for given in feeding:
        leaves = [source for source in given if not feeding[source] and uses[source] == 1]
        if len(given) > 2 and len(leaves) > 1:
            lifted.add(leaves[-1])
    return lifted


def _edges(
    feeding: list[list[int]],
    sizes: list[tuple[float, float]],
    lifted: set[int],
    is_constant: list[bool],
) -> list[Edge]:
    edges = []
    depth = [0] * len(feeding)
    for target, given in enumerate(feeding):
        depth[target] = max([depth[source] + 1 for source in given], default=0)
        # The longest computation carries on; at the top of the picture it is the data that does.
        main = [i for i, s in enumerate(given) if feeding[s] and depth[s] + 1 == depth[target]]
        main = main or [i for i, s in enumerate(given) if is_constant[s]]
        ports = _ports(main, len(given), sizes[target][0])
        for i, (source, port) in enumerate(zip(given, ports)):
            # A lifted leaf hangs over the other one, so its arrow starts at its far end.
            start = max(0.0, sizes[source][0] / 2 - _CORNER) if source in lifted else 0.0
            edges.append(Edge(source, target, port, start, i in main))
    return edges


def _ports(main: list[int], count: int, breadth: float) -> list[float]:
    """Return where the arrows enter a box: side by side, the main ones around the middle."""
    if count < 2:
        return [0.0] * count
    middle = sum(main) / len(main) if main else (count - 1) / 2
    reach = max(middle, count - 1 - middle)
    step = min(_PORT_STEP, (breadth - 16.0) / 2 / reach)
    return [(i - middle) * step for i in range(count)]
