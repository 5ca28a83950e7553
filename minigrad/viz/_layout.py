"""Where to put the boxes of a graph: layers, an order in each layer, and coordinates.

The method is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical
System Structures", 1981, in its four classical steps:

1. every node gets a layer below all its sources, close to those it is tied to most;
2. an edge that spans several layers gets a bend in each layer that it passes (``_places.py``);
3. the order within each layer is chosen for few crossings (``_crossings.py``);
4. coordinates that keep the order are chosen for straight edges (``_coordinates.py``).

All is arithmetic on lists: no recursion, nothing random, the same picture every time. The layout
knows "along" a layer and "across" the layers, so that one code draws downwards and to the right.

Before this: ``_collapse.py``. Next: ``_places.py``.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from ._coordinates import coordinates
from ._crossings import reduce_crossings
from ._places import Edge, Places

MIN_LAYER_GAP, MAX_LAYER_GAP = 36.0, 96.0


@dataclass
class Layout:
    """The result, in pixels.

    Attributes
    ----------
    centres : list of (float, float)
        Of every box: along the layer, across the layers.
    routes : list of list of (float, float)
        Of every edge: the points it passes, straight across within a layer, bending between two.
    along, across : float
        The size of the whole.
    """

    centres: list[tuple[float, float]]
    routes: list[list[tuple[float, float]]]
    along: float
    across: float


def layered(
    sizes: Sequence[tuple[float, float]], edges: Sequence[Edge], lifted: Collection[int] = ()
) -> Layout:
    """Place boxes of the given sizes (along, across); every edge leads to a later box.

    Boxes without a source that are in `lifted` stand one layer further away than needed.
    """
    layer_of = assign_layers(len(sizes), edges, lifted)
    places = Places([size[0] for size in sizes], edges, layer_of)
    reduce_crossings(places)
    return _routes(places, sizes, edges, coordinates(places))


# ------------------------------------------------------------------------------- step one


def assign_layers(count: int, edges: Sequence[Edge], lifted: Collection[int] = ()) -> list[int]:
    """Return the layer of every node: below its sources, and near to those it is tied to most.

    Every node stands just above the first that uses it, so that what is only needed late is drawn
    late. That stretches the edges from its sources. Leaves do not mind, nor do trees that hang on
    this one edge; but a node with more sources of other kinds than consumers goes up to them. (For
    the shortest edges over all, see the network simplex of Gansner et al., 1993; in the graphs of
    computations the two hardly differ.)
    """
    sources: list[list[int]] = [[] for _ in range(count)]
    targets: list[list[int]] = [[] for _ in range(count)]
    for edge in edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    highest, is_tree = [0] * count, [False] * count
    for node in range(count):
        highest[node] = max([highest[s] + 1 for s in sources[node]], default=0)
        is_tree[node] = len(set(targets[node])) < 2 and all([is_tree[s] for s in sources[node]])
    layer = list(highest)
    for node in reversed(range(count)):
        layer[node] = min([layer[t] - 1 for t in targets[node]], default=highest[node])
    for node in range(count):
        tied = [layer[s] + 1 for s in sources[node] if sources[s] and not is_tree[s]]
        if len(tied) > len(targets[node]):
            layer[node] = max(highest[node], *tied)
    for node in reversed(range(count)):
        if is_tree[node] and targets[node]:
            layer[node] = layer[targets[node][0]] - 1
    for node in lifted:
        layer[node] -= 1
    top = min(layer, default=0)
    return [place - top for place in layer]


# ---------------------------------------------------------------------------- after all steps


def _routes(places: Places, sizes, edges, x: list[float]) -> Layout:
    """Stack the layers, and list the points that every edge passes."""
    left = min([x[i] - places.breadth[i] / 2 for i in range(len(x))], default=0.0)
    x = [at - left for at in x]
    tops, bottoms, at = [], [], 0.0
    for layer in places.layers:
        thickness = max([sizes[i][1] for i in layer if i < places.boxes], default=0.0)
        tops.append(at)
        bottoms.append(at + thickness)
        ties = [(node, tie) for node in layer for tie in places.down[node]]
        run = max([abs(x[o] + shift - x[node]) for node, (o, shift, _) in ties], default=0.0)
        at += thickness + min(max(MIN_LAYER_GAP, 0.12 * run), MAX_LAYER_GAP)
    layer_of = places.layer_of
    centres = [(x[i], (tops[layer_of[i]] + bottoms[layer_of[i]]) / 2) for i in range(places.boxes)]
    routes = []
    for edge, bends, start in zip(edges, places.bends, places.starts):
        (sx, sy), (tx, ty) = centres[edge.source], centres[edge.target]
        sx, tx = sx + start, tx + edge.port
        route = [(sx, sy + sizes[edge.source][1] / 2), (sx, bottoms[layer_of[edge.source]])]
        for bend in bends:
            route += [(x[bend], tops[layer_of[bend]]), (x[bend], bottoms[layer_of[bend]])]
        route += [(tx, tops[layer_of[edge.target]]), (tx, ty - sizes[edge.target][1] / 2)]
        routes.append(route)
    along = max([x[i] + places.breadth[i] / 2 for i in range(len(x))], default=0.0)
    return Layout(centres, routes, along, bottoms[-1] if bottoms else 0.0)
