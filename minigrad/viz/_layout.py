"""Where to put the boxes of a graph: layers, an order in each layer, and coordinates.

The method is that of Sugiyama, Tagawa and Toda, "Methods for Visual Understanding of Hierarchical
System Structures", 1981, in its four classical steps:

1. every node gets a layer below all its sources, close to those it is tied to most;
2. an edge that spans several layers gets a bend in each layer that it passes;
3. sweeps down and up put each node at the barycentre (the mean place) of its neighbours in the
   layer before, and the order with the fewest crossings is kept;
4. each layer is moved as close as its order allows to where the neighbours want it, which is an
   isotonic regression, solved exactly by pooling adjacent violators (Ayer et al., 1955).

All is arithmetic on lists: no recursion, nothing random, the same picture every time. The layout
knows "along" a layer and "across" the layers, so that one code draws downwards and to the right.

Before this: ``_walk.py``. Next: ``_svg.py``.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Collection, Sequence
from dataclasses import dataclass

BOX_GAP, EDGE_GAP = 20.0, 12.0  # between boxes in a layer; beside an edge that passes through
MIN_LAYER_GAP, MAX_LAYER_GAP = 36.0, 96.0
_LEAF = 0.02  # how much a leaf's edge pulls; those between operations pull 1 to 8
_ORDER_SWEEPS, _PLACE_SWEEPS, _PATIENCE = 24, 120, 6


@dataclass(frozen=True)
class Edge:
    """From one box to another that comes later in the list.

    Attributes
    ----------
    source, target : int
    port, start : float
        Where it meets the target and leaves the source, along the layer, from the middle.
    main : bool
        Whether it is to be straight; the others, those from leaves, adapt.
    """

    source: int
    target: int
    port: float = 0.0
    start: float = 0.0
    main: bool = True


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
    places = _Places(sizes, edges, layer_of)
    _reduce_crossings(places)
    along = _coordinates(places)
    return _routes(places, sizes, edges, along)


# ------------------------------------------------------------------------------- 1. layers


def assign_layers(count: int, edges: Sequence[Edge], lifted: Collection[int] = ()) -> list[int]:
    """Return the layer of every node: below its sources, and near to those it is tied to most.

    The first pass puts each node as high as it can go. That leaves leaves at the top, far from
    where they are used; so a node with more consumers than sources then moves down to them. (For
    the shortest edges over all, see the network simplex of Gansner et al., 1993; in the graphs
    of computations the two hardly differ.)
    """
    sources: list[list[int]] = [[] for _ in range(count)]
    targets: list[list[int]] = [[] for _ in range(count)]
    for edge in edges:
        sources[edge.target].append(edge.source)
        targets[edge.source].append(edge.target)
    layer = [0] * count
    for node in range(count):
        layer[node] = max([layer[s] + 1 for s in sources[node]], default=0)
    moved = True
    while moved:
        moved = False
        for node in reversed(range(count)):
            if len(targets[node]) > len(sources[node]):
                low = min([layer[t] for t in targets[node]]) - 1
                moved = moved or low != layer[node]
                layer[node] = low
    for node in lifted:
        layer[node] -= 1
    top = min(layer, default=0)
    return [place - top for place in layer]


# -------------------------------------------------------------------- 2. bends in long edges


class _Places:
    """Nodes and bends, layer by layer; a bend is a node without a box.

    ``up[v]`` and ``down[v]`` list the ties to the layer before and after: the other end, what to
    add to its place for a straight edge (the port), and a weight. Bends want to be straight more
    than anything, a chain of operations next, and a leaf follows its operation rather than the
    other way round.
    """

    def __init__(self, sizes, edges, layer_of):
        self.boxes = len(sizes)
        self.breadth = [size[0] for size in sizes]
        self.layer_of = list(layer_of)
        self.up: list[list] = [[] for _ in sizes]
        self.down: list[list] = [[] for _ in sizes]
        self.bends: list[list[int]] = []  # of every edge
        mains = [0] * self.boxes
        for edge in edges:
            mains[edge.target] += edge.main
        for edge in edges:
            chain, last, start = [], edge.source, edge.start
            for layer in range(layer_of[edge.source] + 1, layer_of[edge.target]):
                bend = len(self.layer_of)
                self.layer_of.append(layer)
                self.breadth.append(0.0)
                self.up.append([])
                self.down.append([])
                self._tie(last, bend, -start, 8.0 if chain else 2.0)
                chain.append(bend)
                last, start = bend, 0.0
            weight = 1.0 if chain else 4.0 if mains[edge.target] == 1 else 2.0
            weight = weight if edge.main else _LEAF
            self._tie(last, edge.target, edge.port - start, weight)
            self.bends.append(chain)
        self.layers: list[list[int]] = [[] for _ in range(max(self.layer_of, default=-1) + 1)]
        for node in self._first_order():
            self.layers[self.layer_of[node]].append(node)

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


# ----------------------------------------------------------------------------- 3. crossings


def _reduce_crossings(places: _Places) -> None:
    best, best_order, since = crossings(places), [list(x) for x in places.layers], 0
    for sweep in range(_ORDER_SWEEPS):
        if best == 0 or since > _PATIENCE:
            break
        downwards = sweep % 2 == 0
        layers = places.layers if downwards else places.layers[::-1]
        ties = places.up if downwards else places.down
        for before, layer in zip(layers, layers[1:]):
            _sort_by_barycentre(places, before, layer, ties)
        _exchange_neighbours(places)
        now = crossings(places)
        since = 0 if now < best else since + 1
        if now < best:
            best, best_order = now, [list(x) for x in places.layers]
    places.layers[:] = best_order


def _slots(layer: list[int]) -> dict[int, float]:
    return {node: float(i) for i, node in enumerate(layer)}


def _end(places: _Places, slots: dict[int, float], tie: tuple) -> float:
    """Return where a tie meets the other layer, in places; a port counts within its box."""
    other, shift, _ = tie
    inside = shift > 0 or shift < 0
    is_port = inside and places.breadth[other]
    return slots[other] + (shift / (2 * places.breadth[other]) if is_port else 0.0)


def _sort_by_barycentre(places: _Places, before: list[int], layer: list[int], ties: list) -> None:
    slots, own = _slots(before), _slots(layer)
    wanted = dict(own)
    for node in layer:
        if ties[node]:
            # A port is on the lower box, so it counts only where that is the layer before.
            ends = [
                _end(places, slots, tie) if ties is places.down else slots[tie[0]]
                for tie in ties[node]
            ]
            wanted[node] = sum(ends) / len(ends)
    layer.sort(key=lambda node: (wanted[node], own[node]))


def _exchange_neighbours(places: _Places) -> None:
    """Swap two neighbours wherever that alone saves crossings, until nothing is gained."""
    for i, layer in enumerate(places.layers):
        above = _slots(places.layers[i - 1]) if i else {}
        below = _slots(places.layers[i + 1]) if i + 1 < len(places.layers) else {}
        ends = {
            node: (
                sorted([above[other] for other, _, _ in places.up[node]]),
                sorted([_end(places, below, tie) for tie in places.down[node]]),
            )
            for node in layer
        }
        for _ in layer:
            swapped = False
            for j, (a, b) in enumerate(zip(layer, layer[1:])):
                a = layer[j]  # it may have come here by the swap before
                now = sum([_inversions(ends[a][side], ends[b][side]) for side in (0, 1)])
                then = sum([_inversions(ends[b][side], ends[a][side]) for side in (0, 1)])
                if then < now:
                    layer[j], layer[j + 1] = b, a
                    swapped = True
            if not swapped:
                break


def _inversions(left: list[float], right: list[float]) -> int:
    """Return how many pairs cross if `left` stands left of `right`; both are sorted."""
    return sum([bisect_left(right, end) for end in left])


def crossings(places: _Places) -> int:
    """Return how many pairs of edges cross, bends included."""
    total = 0
    for upper, lower in zip(places.layers, places.layers[1:]):
        slots = _slots(lower)
        seen: list[float] = []  # the lower ends of all edges further left, sorted
        for node in upper:
            ends = [_end(places, slots, tie) for tie in places.down[node]]
            total += sum([len(seen) - bisect_left(seen, end + 1e-9) for end in ends])
            for end in ends:
                insort(seen, end)
    return total


# --------------------------------------------------------------------------- 4. coordinates


def _coordinates(places: _Places) -> list[float]:
    """Return where every node stands along its layer."""
    x = [0.0] * len(places.layer_of)
    for layer in places.layers:
        for left, node in zip(layer, layer[1:]):
            x[node] = x[left] + places.gap(left, node)
    for sweep in range(_PLACE_SWEEPS):
        downwards, both = sweep % 2 == 0, sweep >= _PLACE_SWEEPS // 4
        soft = max(0.5, 100.0 * (1 - sweep / (0.9 * _PLACE_SWEEPS)) ** 2)
        for layer in places.layers if downwards else places.layers[::-1]:
            wanted, weights = [], []
            for node in layer:
                ties = places.up[node] if downwards else places.down[node]
                ties = places.up[node] + places.down[node] if both else ties
                want, weight = _pull(x, x[node], ties, soft)
                wanted.append(want)
                weights.append(weight)
            for node, place in zip(layer, _apart(places, layer, wanted, weights)):
                x[node] = place
    _straighten(places, x)
    return x


def _straighten(places: _Places, x: list[float]) -> None:
    """Move every chain of main edges to one line, where the chains beside it leave room.

    What is in no chain (a leaf) makes room, and is then placed again.
    """
    chains, offset = _chains(places)
    chained = {node for chain in chains for node in chain}
    bounds = _bounds(places, chained)
    for _ in range(4):
        for chain in chains:
            line = sorted([x[node] - offset[node] for node in chain])[len(chain) // 2]
            low, high = float("-inf"), float("inf")
            for node in chain:
                left, right = bounds[node]
                if left is not None:
                    low = max(low, x[left[0]] + left[1] - offset[node])
                if right is not None:
                    high = min(high, x[right[0]] - right[1] - offset[node])
            if low <= high:
                for node in chain:
                    x[node] = min(max(line, low), high) + offset[node]
    for layer in places.layers:
        wanted, weights = [], []
        for node in layer:
            ties = [] if node in chained else places.up[node] + places.down[node]
            want, weight = _pull(x, x[node], ties, 1e9)
            wanted.append(want)
            weights.append(weight if ties else 1e9)
        for node, place in zip(layer, _apart(places, layer, wanted, weights)):
            x[node] = place


def _chains(places: _Places) -> tuple[list[list[int]], dict[int, float]]:
    """Return paths of main edges, one edge up and one down at most for every node.

    Also where a straight line passes each node, from the first one of its chain.
    """
    chains, offset = [], {}
    for layer in places.layers:
        for node in layer:
            if node in offset:
                continue
            chain, offset[node] = [node], 0.0
            while True:
                free = [tie for tie in places.down[chain[-1]] if tie[0] not in offset]
                free = [tie for tie in free if tie[2] > _LEAF]
                if not free:
                    break
                below, shift, _ = max(free, key=lambda tie: tie[2])
                # The tie says where the upper one stands for a lower one at 0.
                offset[below] = offset[chain[-1]] - shift
                chain.append(below)
            if len(chain) > 1 or node >= places.boxes:
                chains.append(chain)
    return chains, offset


def _bounds(places: _Places, chained: set[int]) -> dict:
    """Return, for every node of a chain, the next ones of other chains beside it and the gaps."""
    bounds = {node: [None, None] for node in chained}
    for layer in places.layers:
        last, gap = None, 0.0
        for before, node in zip([None, *layer], layer):
            gap += places.gap(before, node) if before is not None else 0.0
            if node in chained:
                if last is not None:
                    bounds[node][0], bounds[last][1] = (last, gap), (node, gap)
                last, gap = node, 0.0
    return bounds


def _pull(x: list[float], here: float, ties: list, soft: float) -> tuple[float, float]:
    """Return where the ties want a node, and how much.

    Least squares would bend every edge a little. Few edges bent much are easier to follow, so an
    edge pulls the less, the more it is bent already (iteratively reweighted least squares, for a
    sum of square roots). `soft` pixels of bend are free of that, fewer and fewer.
    """
    want = weight = 0.0
    for other, shift, stiffness in ties:
        goal = x[other] + shift
        pull = stiffness / max(abs(goal - here), soft) ** 1.5
        want += pull * goal
        weight += pull
    return (want / weight, weight) if weight else (here, 1e-6)


def _apart(places: _Places, layer: list[int], wanted: list, weights: list) -> list[float]:
    """Return the places nearest to the wanted ones, in order and with the gaps kept.

    With the gaps subtracted, "in order" is all that is left of the condition, and the weighted
    least squares solution is found by pooling: neighbours in the wrong order share their mean.
    """
    offsets = [0.0]
    for left, right in zip(layer, layer[1:]):
        offsets.append(offsets[-1] + places.gap(left, right))
    pools: list[list[float]] = []  # mean, weight, count
    for want, weight, offset in zip(wanted, weights, offsets):
        pools.append([want - offset, weight, 1])
        while len(pools) > 1 and pools[-2][0] > pools[-1][0]:
            mean, weight, count = pools.pop()
            pool = pools[-1]
            pool[0] = (pool[0] * pool[1] + mean * weight) / (pool[1] + weight)
            pool[1] += weight
            pool[2] += count
    level = [mean for mean, _, count in pools for _ in range(int(count))]
    return [place + offset for place, offset in zip(level, offsets)]


def _routes(places: _Places, sizes, edges, x: list[float]) -> Layout:
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
    for edge, bends in zip(edges, places.bends):
        (sx, sy), (tx, ty) = centres[edge.source], centres[edge.target]
        sx, tx = sx + edge.start, tx + edge.port
        route = [(sx, sy + sizes[edge.source][1] / 2), (sx, bottoms[layer_of[edge.source]])]
        for bend in bends:
            route += [(x[bend], tops[layer_of[bend]]), (x[bend], bottoms[layer_of[bend]])]
        route += [(tx, tops[layer_of[edge.target]]), (tx, ty - sizes[edge.target][1] / 2)]
        routes.append(route)
    along = max([x[i] + places.breadth[i] / 2 for i in range(len(x))], default=0.0)
    return Layout(centres, routes, along, bottoms[-1] if bottoms else 0.0)
