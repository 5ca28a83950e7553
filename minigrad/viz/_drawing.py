"""The graph of the step-through page, as SVG that its script can light up.

The layout is the same as that of `Tensor.graph`; the drawing differs, because here every node is
a button, and its value and gradient are written in when their turn comes.

Before this: ``_layout.py``. Next: ``explain.py``.
"""

from __future__ import annotations

import html

from ._layout import Edge, layered
from ._walk import OP, Node, Record

LETTER, LINE = 7.3, 15.0  # the width of a letter and the height of a line, at 12 px
MARGIN = 10.0
HEIGHT = 3 * LINE + 12
MOST_LINES = 4  # what has more consumers is drawn again beside each of them
NARROWEST, WIDEST = 92.0, 190.0  # the narrowest still holds a gradient of four digits
COUNT = 32.0  # and this is for "(1/2)" behind it


def draw(record: Record, labels: list[str]) -> str:
    """Return the graph as one <svg>: top to bottom, a <g> for each box, a <path> for each edge.

    What many operations use is drawn again beside each of them: long lines from one box to all
    would say less, and cost more.

    Parameters
    ----------
    record : Record
    labels : list of str
        The first line in each box.
    """
    boxes, places = _boxes(record)
    longest = int((WIDEST - 16) / LETTER)
    first = [_cut(label, longest) for label in labels]
    second = [shape_text(node.shape) or "number" for node in record.nodes]
    least = [NARROWEST if len(uses) < 2 else NARROWEST + COUNT for uses in record.consumers]
    widths = [
        min(WIDEST, max(narrowest, 16 + LETTER * max(len(a), len(b))))
        for a, b, narrowest in zip(first, second, least)
    ]
    edges = [
        Edge(places[source, node.index], places[node.index, None], port)
        for node in record.nodes
        for source, port in _ports(node, widths[node.index])
    ]
    layout = layered([(widths[i], HEIGHT) for i in boxes], edges)
    width, height = layout.along + 2 * MARGIN, layout.across + 2 * MARGIN
    parts = [
        f'<svg id="drawing" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="group" aria-label="Computation graph, inputs at the top">',
        _ARROWS,
    ]
    for edge, route in zip(edges, layout.routes):
        ends = f'data-from="{boxes[edge.source]}" data-to="{boxes[edge.target]}"'
        parts.append(f'<path class="edge" {ends} d="{_path(route)}"/>')
    drawn = set()
    for i, centre in zip(boxes, layout.centres):
        node, size = record.nodes[i], (widths[i], HEIGHT)
        kind = f"{node.kind} again" if node.kind == OP and i in drawn else node.kind
        parts.append(_box(node, kind, labels[i], first[i], second[i], size, centre))
        drawn.add(i)
    parts.append("</svg>")
    return "\n".join(parts)


def _boxes(record: Record) -> tuple[list[int], dict]:
    """Return the node that each box shows, and the box that an edge starts from.

    The latter by source and consumer, and by ``(node, None)`` for the box of an operation.
    """
    boxes: list[int] = []
    places: dict = {}

    def put(node: int, *keys) -> None:
        places.update(dict.fromkeys(keys, len(boxes)))
        boxes.append(node)

    for node in record.nodes:
        consumers = list(dict.fromkeys(record.consumers[node.index]))
        if len(consumers) > MOST_LINES:
            # An operation still has a box where it is computed, joined to its first consumer.
            consumers = consumers[:1] if node.kind == OP else []
        if node.kind == OP or consumers or not record.consumers[node.index]:
            for source in dict.fromkeys(node.sources):
                if source is not None and (source, node.index) not in places:
                    put(source, (source, node.index))
            put(node.index, (node.index, None), *[(node.index, c) for c in consumers])
    return boxes, places


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as ``"32×6×28×28"`` or ``"(32,)"``; empty for a single number."""
    return f"({shape[0]},)" if len(shape) == 1 else "×".join(map(str, shape))


# Two arrows: forward at the end of an edge, and backward at its start.
_ARROWS = """<defs>
<marker id="forward-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0 8 4 0 8z"/></marker>
<marker id="backward-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker>
</defs>"""


def _ports(node: Node, width: float) -> list[tuple[int, float]]:
    """Return the sources of a node, and where along its upper side their edges end."""
    sources = [source for source in node.sources if source is not None]
    step = min(24.0, (width - 24) / max(len(sources) - 1, 1))
    first = -step * (len(sources) - 1) / 2
    return [(source, first + i * step) for i, source in enumerate(sources)]


def _path(route: list[tuple[float, float]]) -> str:
    """Return the points of a route as a path: straight within a layer, curved between two."""
    points = [(x + MARGIN, y + MARGIN) for x, y in route]
    drawn = points[0][1]
    parts = [f"M{points[0][0]:.1f} {drawn:.1f}"]
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if abs(x1 - x0) < 0.05:
            continue  # one line, below, for all straight pieces in a row
        if y0 - drawn > 0.05:
            parts.append(f"V{y0:.1f}")
        middle, drawn = (y0 + y1) / 2, y1
        parts.append(f"C{x0:.1f} {middle:.1f} {x1:.1f} {middle:.1f} {x1:.1f} {y1:.1f}")
    if points[-1][1] - drawn > 0.05:  # none of no length, which would turn the arrow
        parts.append(f"V{points[-1][1]:.1f}")
    return "".join(parts)


def _box(node: Node, style: str, label: str, line: str, shape: str, size, centre) -> str:
    """Return one node: a box, its name, its shape or value, and a line for its gradient."""
    width, height = size
    x, y = centre[0] - width / 2 + MARGIN, centre[1] - height / 2 + MARGIN
    radius = 6 if node.kind == OP else height / 2.6
    kind = {"op": "operation"}.get(node.kind, node.kind)
    name = html.escape(f"{kind} {label}, {shape}", quote=True)
    middle = width / 2
    return (
        f'<g class="node {style}" data-node="{node.index}" '
        f'transform="translate({x:.1f} {y:.1f})" role="button" tabindex="-1" aria-label="{name}">'
        f'<rect width="{width:.0f}" height="{height:.0f}" rx="{radius:.0f}"/>'
        f'<text class="label" x="{middle:.0f}" y="{LINE + 3:.0f}">{html.escape(line)}</text>'
        f'<text class="value" x="{middle:.0f}" y="{2 * LINE + 3:.0f}">{html.escape(shape)}</text>'
        f'<text class="grad" x="{middle:.0f}" y="{3 * LINE + 3:.0f}"></text></g>'
    )


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"
