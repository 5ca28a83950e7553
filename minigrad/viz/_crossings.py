"""Step three of the layout: the order of the boxes within each layer, so that few edges cross.

Sweeps down and up put each node at the barycentre (the mean place) of its neighbours in the layer
before; then neighbours change places wherever that alone saves crossings. The best order that was
seen is kept.

Before this: ``_places.py``. Next: ``_coordinates.py``.
"""

from __future__ import annotations

from bisect import bisect_left, insort

from ._places import Places

_SWEEPS, _PATIENCE = 24, 6


def reduce_crossings(places: Places) -> None:
    best, best_order, since = crossings(places), [list(x) for x in places.layers], 0
    for sweep in range(_SWEEPS):
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


def _end(places: Places, slots: dict[int, float], tie: tuple) -> float:
    """Return where a tie meets the other layer, in places; a port counts within its box."""
    other, shift, _ = tie
    inside = shift > 0 or shift < 0
    is_port = inside and places.breadth[other]
    return slots[other] + (shift / (2 * places.breadth[other]) if is_port else 0.0)


def _sort_by_barycentre(places: Places, before: list[int], layer: list[int], ties: list) -> None:
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


def _exchange_neighbours(places: Places) -> None:
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


def crossings(places: Places) -> int:
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
