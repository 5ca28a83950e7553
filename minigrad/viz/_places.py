"""Step two of the layout: long edges get bends, so that every piece spans one layer.

A bend is a node without a box. The edges that leave one box share their bends, like the branches
of a tree: a tensor with 100 far consumers has one line down its side, not 100, and a graph never
has more bends than boxes times layers.

Before this: ``_layout.py``. Next: ``_crossings.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

BOX_GAP, EDGE_GAP = 20.0, 12.0  # between boxes in a layer; beside an edge that passes through
# How much the pieces of edges want to be straight: between two bends, from a box to its first
# bend, from the last bend to a box, from box to box (alone, or one of several), and side edges.
BENDS, FIRST, LAST, ALONE, SHARED, SIDE = 8.0, 2.0, 1.0, 4.0, 2.0, 0.02


@dataclass(frozen=True)
class Edge:
    """From one box to another that comes later in the list.

    Attributes
    ----------
    source, target : int
    port, start : float
        Where it meets the target and leaves the source, along the layer, from the middle.
    main : bool
        Whether it is to be straight; the others, such as those from leaves, adapt.
    """

    source: int
    target: int
    port: float = 0.0
    start: float = 0.0
    main: bool = True


class Places:
    """Nodes and bends, layer by layer; a bend is a node without a box.

    ``up[v]`` and ``down[v]`` list the ties to the layer before and after: the other end, what to
    add to its place for a straight edge (the port), and a weight. Bends want to be straight more
    than anything, a chain of operations next, and a leaf follows its operation rather than the
    other way round. Several edges between the same two are one tie, to the middle of their ports.

    Parameters
    ----------
    breadth : sequence of float
        Of every box, along the layer.
    edges : sequence of Edge
    layer_of : sequence of int

    Attributes
    ----------
    layers : list of list of int
        The nodes of each layer in their order, which the next step improves.
    bends : list of list of int
        For every edge, the bends it passes.
    starts : list of float
        For every edge, where it leaves its source.
    """

    def __init__(self, breadth: Sequence[float], edges: Sequence[Edge], layer_of: Sequence[int]):
        self.boxes = len(breadth)
        self.breadth = list(breadth)
        self.layer_of = list(layer_of)
        self.up: list[list] = [[] for _ in breadth]
        self.down: list[list] = [[] for _ in breadth]
        self.bends: list[list[int]] = []
        trunks: dict[tuple[int, float], list[int]] = {}
        last_pieces: dict[tuple[int, int], list[Edge]] = {}
        for edge in edges:
            trunk = trunks.setdefault((edge.source, edge.start), [])
            passed = layer_of[edge.target] - layer_of[edge.source] - 1
            while len(trunk) < passed:
                self._prolong(trunk, edge)
            self.bends.append(trunk[:passed])
            end = trunk[passed - 1] if passed else edge.source
            last_pieces.setdefault((end, edge.target), []).append(edge)
        self.starts = self._tie_targets(last_pieces, edges)
        self.layers: list[list[int]] = [[] for _ in range(max(self.layer_of, default=-1) + 1)]
        for node in self._first_order():
            self.layers[self.layer_of[node]].append(node)

    def _prolong(self, trunk: list[int], edge: Edge) -> None:
        """Add a bend to a trunk, one layer below its end."""
        bend = len(self.layer_of)
        before = trunk[-1] if trunk else edge.source
        self.layer_of.append(self.layer_of[before] + 1)
        self.breadth.append(0.0)
        self.up.append([])
        self.down.append([])
        self._tie(before, bend, 0.0 if trunk else -edge.start, BENDS if trunk else FIRST)
        trunk.append(bend)

    def _tie_targets(self, last_pieces: dict, edges: Sequence[Edge]) -> list[float]:
        """Tie the ends of edges to their targets, and return where each edge starts.

        Several edges from one box straight to another run side by side.
        """
        mains = [0] * self.boxes
        for edge in edges:
            mains[edge.target] += edge.main
        starts = {}
        for (end, target), pieces in last_pieces.items():
            is_bend, is_main = end >= self.boxes, pieces[0].main
            weight = LAST if is_bend else ALONE if mains[target] == len(pieces) else SHARED
            middle = sum([edge.port for edge in pieces]) / len(pieces)
            start = 0.0 if is_bend else pieces[0].start
            self._tie(end, target, middle - start, weight if is_main else SIDE)
            if len(pieces) > 1 and not is_bend:
                room = max(0.0, self.breadth[end] / 2 - 8.0)
                for edge in pieces:
                    starts[edge] = start + min(max(edge.port - middle, -room), room)
        return [starts.get(edge, edge.start) for edge in edges]

    def _tie(self, upper: int, lower: int, port: float, weight: float) -> None:
        self.up[lower].append((upper, -port, weight))
        self.down[upper].append((lower, port, weight))

    def _first_order(self) -> list[int]:
        """Return the nodes in the order of the boxes, bends beside the box that they start from."""
        start = list(range(len(self.layer_of)))
        for node in range(self.boxes, len(start)):
            start[node] = start[self.up[node][0][0]]
        return sorted(range(len(start)), key=lambda node: (start[node], node))

    def gap(self, left: int, right: int) -> float:
        """Return how far the middles of two neighbours must be apart."""
        bend = left >= self.boxes or right >= self.boxes
        return (self.breadth[left] + self.breadth[right]) / 2 + (EDGE_GAP if bend else BOX_GAP)
