"""Step four of the layout: coordinates that keep the order within each layer and bend few edges.

Each layer in turn is moved as close as its order allows to where the neighbours want it, which is
an isotonic regression, solved exactly by pooling adjacent violators (Ayer et al., 1955). At the
end the chains of main edges are moved to one line each.

Before this: ``_crossings.py``. Next: ``_arrange.py``.
"""

from __future__ import annotations

from ._places import SIDE, Places

_FULL_SWEEPS, _LEAST_SWEEPS = 120, 16
_WORK = 120_000  # a large graph gets fewer sweeps: about so many times a node is placed


def coordinates(places: Places) -> list[float]:
    """Return where every node stands along its layer."""
    x = [0.0] * len(places.layer_of)
    for layer in places.layers:
        for left, node in zip(layer, layer[1:]):
            x[node] = x[left] + places.gap(left, node)
    sweeps = min(_FULL_SWEEPS, max(_LEAST_SWEEPS, _WORK // max(1, len(x))))
    for sweep in range(sweeps):
        downwards, both = sweep % 2 == 0, sweep >= sweeps // 4
        soft = max(0.5, 100.0 * (1 - sweep / (0.9 * sweeps)) ** 2)
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


def _straighten(places: Places, x: list[float]) -> None:
    """Move every chain of main edges to one line, the longest first.

    A chain goes where the chains placed before it leave room. All else then makes way, from the
    last layer up, as close as it can to what it feeds.
    """
    chains, offset = _chains(places)
    at = {node: i for layer in places.layers for i, node in enumerate(layer)}
    settled: set[int] = set()
    for chain in sorted(chains, key=len, reverse=True):
        low, high = float("-inf"), float("inf")
        for node in chain:
            left, right = _room(places, x, at[node], places.layers[places.layer_of[node]], settled)
            low, high = max(low, left - offset[node]), min(high, right - offset[node])
        if low <= high:
            line = sorted([x[node] - offset[node] for node in chain])[len(chain) // 2]
            for node in chain:
                x[node] = min(max(line, low), high) + offset[node]
            settled.update(chain)
    for layer in reversed(places.layers):
        wanted, weights = [], []
        for node in layer:
            ties = [] if node in settled else places.down[node] or places.up[node]
            want, weight = _pull(x, x[node], ties, 1e9)
            wanted.append(want)
            weights.append(1e9 if node in settled else weight)
        for node, place in zip(layer, _apart(places, layer, wanted, weights)):
            x[node] = place


def _room(
    places: Places, x: list[float], at: int, layer: list[int], settled: set[int]
) -> tuple[float, float]:
    """Return between what places a node can stand, next to those of its layer that are settled."""
    ends = []
    for step, outermost in ((-1, 0), (1, len(layer) - 1)):
        gap, end = 0.0, step * float("inf")
        for i in range(at, outermost, step):
            gap += places.gap(layer[i], layer[i + step])
            if layer[i + step] in settled:
                end = x[layer[i + step]] - step * gap
                break
        ends.append(end)
    return ends[0], ends[1]


def _chains(places: Places) -> tuple[list[list[int]], dict[int, float]]:
    """Return paths of main edges between boxes, and those of bends, that could be straight.

    Of every node one edge up and one down at most is in a path. Also where a straight line passes
    each node, from the first one of its chain.
    """
    chains, offset = [], {}
    for layer in places.layers:
        for node in layer:
            if node in offset:
                continue
            chain, offset[node] = [node], 0.0
            is_bend = node >= places.boxes
            while True:
                free = [
                    tie
                    for tie in places.down[chain[-1]]
                    if tie[0] not in offset
                    and tie[2] > SIDE
                    and (tie[0] >= places.boxes) == is_bend
                ]
                if not free:
                    break
                below, shift, _ = max(free, key=lambda tie: tie[2])
                # The tie says where the upper one stands for a lower one at 0.
                offset[below] = offset[chain[-1]] - shift
                chain.append(below)
            if len(chain) > 1:
                chains.append(chain)
    return chains, offset


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


def _apart(places: Places, layer: list[int], wanted: list, weights: list) -> list[float]:
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
