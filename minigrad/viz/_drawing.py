"""The graph of the step-through page, as SVG that its script can light up.

The arrangement is the same as that of `Tensor.graph`; the drawing differs, because here every node
is a button, and its value and gradient are written in when their turn comes.

Before this: ``_arrange.py``, ``_svg.py``, ``_heatmap.py``. Next: ``explain.py``.
"""

from __future__ import annotations

import html

from ._arrange import arrange
from ._numbers import shape_text
from ._svg import path
from ._text import cut, text_width
from ._walk import CONSTANT, OP, Node, Record

LABEL, VALUE = 12.0, 11.0  # font sizes
LINE = 15.0
MARGIN = 10.0
HEIGHT = 3 * LINE + 12
LONGEST = 24  # letters of a name
NARROWEST = 92.0  # still holds a gradient of four digits
COUNT = 32.0  # and this is for "(1/2)" behind it


def draw(record: Record, labels: list[str]) -> str:
    """Return the graph as one <svg>: top to bottom, a <g> for each box, a <path> for each edge.

    Parameters
    ----------
    record : Record
    labels : list of str
        The first line in each box.
    """
    names = [cut(label, LONGEST) for label in labels]
    widths = [_width(record, i, name) for i, name in enumerate(names)]
    placed = arrange(
        [node.sources for node in record.nodes],
        [node.kind == CONSTANT for node in record.nodes],
        lambda i, again: (widths[i], HEIGHT),
    )
    layout = placed.layout
    width, height = layout.along + 2 * MARGIN, layout.across + 2 * MARGIN
    parts = [
        f'<svg id="drawing" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="group" aria-label="Computation graph, inputs at the top">',
        _ARROWS,
        "<g>",  # of edges only: the script puts a lit one above the others
    ]
    for arrow, route in zip(placed.arrows, layout.routes):
        source, target = placed.nodes[arrow.source], placed.nodes[arrow.target]
        curve = path([(x + MARGIN, y + MARGIN) for x, y in route])
        parts.append(f'<path class="edge" data-from="{source}" data-to="{target}" d="{curve}"/>')
    parts.append("</g>")
    for i, again, (x, y) in zip(placed.nodes, placed.again, layout.centres):
        node = record.nodes[i]
        kind = f"{node.kind} again" if again and node.kind == OP else node.kind
        corner = x - widths[i] / 2 + MARGIN, y - HEIGHT / 2 + MARGIN
        parts.append(_box(node, kind, labels[i], names[i], widths[i], corner))
    parts.append("</svg>")
    return "\n".join(parts)


def _width(record: Record, i: int, name: str) -> float:
    least = NARROWEST if len(record.consumers[i]) < 2 else NARROWEST + COUNT
    label = text_width(name, LABEL, bold=True)
    return round(max(least, 16 + label, 16 + text_width(shape_text(record.nodes[i].shape), VALUE)))


# Two arrows: forward at the end of an edge, and backward at its start.
_ARROWS = """<defs>
<marker id="forward-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto"><path d="M0 0 8 4 0 8z"/></marker>
<marker id="backward-arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7"
 orient="auto-start-reverse"><path d="M0 0 8 4 0 8z"/></marker>
</defs>"""


def _box(node: Node, css: str, label: str, line: str, width: float, corner: tuple) -> str:
    """Return one node: a box, its name, its shape or value, and a line for its gradient."""
    radius = 6 if node.kind == OP else 13
    kind = "operation" if node.kind == OP else node.kind
    shape = shape_text(node.shape)
    name = html.escape(f"{kind} {label}, {shape}", quote=True)
    middle = width / 2
    return (
        f'<g class="node {css}" data-node="{node.index}" '
        f'transform="translate({corner[0]:.1f} {corner[1]:.1f})" '
        f'role="button" tabindex="-1" aria-label="{name}">'
        f'<rect width="{width:.0f}" height="{HEIGHT:.0f}" rx="{radius}"/>'
        f'<text class="label" x="{middle:.0f}" y="{LINE + 3:.0f}">{html.escape(line)}</text>'
        f'<text class="value" x="{middle:.0f}" y="{2 * LINE + 3:.0f}">{html.escape(shape)}</text>'
        f'<text class="grad" x="{middle:.0f}" y="{3 * LINE + 3:.0f}"></text></g>'
    )
