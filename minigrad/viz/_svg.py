"""Boxes and arrows as SVG: how a box looks, the arrows, the legend, and both colour themes.

Before this: ``_arrange.py`` (where everything goes), ``_text.py``. Next: ``graph.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ._arrange import arrange
from ._text import escape, text_width

FONT, TITLE, PAD, LINE = 12.0, 13.0, 9.0, 16.0
_MARGIN = 14.0

# ------------------------------------------------------------------------------------- boxes


@dataclass
class Box:
    """What is written in one box.

    Attributes
    ----------
    kind : str
        ``op``, ``leaf``, ``constant``, ``group`` or ``result``: its colours.
    title : str
    symbol : str
        A sign at the right of the title, such as ``×``.
    rows : list of (str, str, str)
        A label, a text, and the kind of the row: ``value``, ``grad``, ``bad`` or empty.
    tooltip : str
        What a mouse over the box shows.
    sources : list of (int, str)
        The boxes that feed it, and as what.
    again : bool
        Whether another box shows the same in full.
    """

    kind: str
    title: str
    symbol: str = ""
    rows: list[tuple[str, str, str]] = field(default_factory=list)
    tooltip: str = ""
    sources: list[tuple[int, str]] = field(default_factory=list)
    again: bool = False

    @property
    def label_width(self) -> float:
        """The width of the column of labels."""
        return max([text_width(label) for label, _, _ in self.rows], default=0.0)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height in pixels."""
        head = text_width(self.title, TITLE, bold=True)
        if self.symbol:
            head += 14 + text_width(self.symbol, TITLE)
        column = self.label_width + 8
        rows = [text_width(text) + (column if label else 0) for label, text, _ in self.rows]
        width = max([head, *rows, 46.0]) + 2 * PAD
        return round(width), 8 + LINE + len(self.rows) * LINE + (4 if self.rows else 2)


_LIGHT = {
    "panel": "#ffffff", "text": "#1c2733", "muted": "#5b6775", "edge": "#8792a0",
    "grad": "#9a4600", "bad": "#b3261e",
    "op": ("#eaf2fb", "#3a76b1"), "leaf": ("#e8f5ea", "#37874a"),
    "constant": ("#f3f3f0", "#8b8b83"), "group": ("#f2ecfa", "#7b52a8"),
    "result": ("#fdf0e0", "#c27016"),
}  # fmt: skip
_DARK = {
    "panel": "#14181d", "text": "#e8edf2", "muted": "#a3afbc", "edge": "#76828f",
    "grad": "#ffb268", "bad": "#ff8a80",
    "op": ("#1b2a3a", "#5b9bd8"), "leaf": ("#1a2e20", "#5bb372"),
    "constant": ("#24272a", "#8a8f94"), "group": ("#2a2138", "#a884d6"),
    "result": ("#35270f", "#e39a44"),
}  # fmt: skip
KINDS = {
    "leaf": "leaf: gets a gradient",
    "constant": "constant: gets none",
    "op": "operation",
    "group": "module or several operations",
    "result": "the result",
}
_AGAIN = "the same, drawn again"


def _rules(theme: dict) -> str:
    rules = [
        f".mg .panel{{fill:{theme['panel']}}}.mg text{{fill:{theme['text']}}}",
        f".mg .muted{{fill:{theme['muted']}}}.mg .grad{{fill:{theme['grad']}}}",
        f".mg .bad{{fill:{theme['bad']}}}.mg .edge{{stroke:{theme['edge']}}}",
        f".mg .tip{{fill:{theme['edge']}}}",
    ]
    for kind in KINDS:
        fill, stroke = theme[kind]
        rules.append(f".mg .{kind}{{fill:{fill};stroke:{stroke}}}")
    return "".join(rules)


_STYLE = (
    '.mg text{font:12px system-ui,"Segoe UI",Roboto,"Helvetica Neue",Arial,"DejaVu Sans",'
    "sans-serif}.mg .title{font-size:13px;font-weight:600}.mg .symbol{font-size:13px}"
    ".mg .edge{fill:none;stroke-width:1.4}.mg .loose{stroke-dasharray:4 3}"
    ".mg .box{stroke-width:1.4}.mg .constant{stroke-dasharray:4 3}.mg .result{stroke-width:2.2}"
    ".mg .again{stroke-dasharray:1.5 3}"
    + _rules(_LIGHT)
    + f"@media(prefers-color-scheme:dark){{{_rules(_DARK)}}}"
)

# ----------------------------------------------------------------------------------- the picture


def draw(boxes: list[Box], rightwards: bool, title: str, notes: list[str]) -> str:
    """Return the SVG of boxes and their arrows, with a legend below."""
    copies = [replace(box, symbol="", rows=[], again=True) for box in boxes]

    def size(i: int, again: bool) -> tuple[float, float]:
        width, height = (copies if again else boxes)[i].size
        return (height, width) if rightwards else (width, height)

    constants = [box.kind == "constant" for box in boxes]
    placed = arrange([[s for s, _ in box.sources] for box in boxes], constants, size)
    layout = placed.layout
    width, height = layout.along, layout.across
    if rightwards:
        width, height = height, width
    drawn = [(copies if again else boxes)[i] for i, again in zip(placed.nodes, placed.again)]
    legend, legend_width, legend_height = _legend(drawn, notes, max(width, 300.0))
    inner = max(width, legend_width)
    total_width = inner + 2 * _MARGIN
    total_height = height + legend_height + 2 * _MARGIN
    smallest = min(total_width, max(0.75 * total_width, 330.0))
    w, h = _number(total_width), _number(total_height)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="mg" role="img" width="{w}" height="{h}" '
        f'viewBox="0 0 {w} {h}" '
        f'style="max-width:100%;min-width:{_number(smallest)}px;height:auto">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        f'<rect class="panel" width="{w}" height="{h}" rx="8"/>',
        f'<g transform="translate({_number(_MARGIN + (inner - width) / 2)} {_number(_MARGIN)})">',
    ]
    for arrow, route in zip(placed.arrows, layout.routes):
        source, role = drawn[arrow.target].sources[arrow.argument]
        parts.append(_arrow(route, constants[source], rightwards, role))
    for box, (along, across) in zip(drawn, layout.centres):
        parts.append(_box(box, *((across, along) if rightwards else (along, across))))
    parts.append("</g>")
    parts.append(f'<g transform="translate({_number(_MARGIN)} {_number(height + _MARGIN)})">')
    parts += [*legend, "</g></svg>"]
    return "\n".join(parts) + "\n"


def _number(x: float) -> str:
    return f"{x:.1f}".rstrip("0").rstrip(".")


def _text(x: float, y: float, text: str, css: str = "", end: bool = False) -> str:
    extra = f' class="{css}"' if css else ""
    extra += ' text-anchor="end"' if end else ""
    return f'<text x="{_number(x)}" y="{_number(y)}"{extra}>{escape(text)}</text>'


def _box(box: Box, x: float, y: float) -> str:
    width, height = box.size
    left, top = x - width / 2, y - height / 2
    frame = f'x="{_number(left)}" y="{_number(top)}" width="{width}" height="{_number(height)}"'
    parts = [f"<g><title>{escape(box.tooltip)}</title>"]
    if box.kind == "group" and not box.again:  # a second sheet behind says: there is more inside
        behind = f'x="{_number(left + 4)}" y="{_number(top + 4)}" width="{width}"'
        parts.append(f'<rect class="box group" {behind} height="{_number(height)}" rx="6"/>')
    css = f"box {box.kind} again" if box.again else f"box {box.kind}"
    parts.append(f'<rect class="{css}" {frame} rx="6"/>')
    line = top + 4 + TITLE
    parts.append(_text(left + PAD, line + 1, box.title, "title"))
    if box.symbol:
        parts.append(_text(left + width - PAD, line + 1, box.symbol, "symbol muted", end=True))
    for label, text, kind in box.rows:
        line += LINE
        css = kind if kind in ("grad", "bad", "muted") else ""
        if label:
            parts.append(_text(left + PAD, line + 2, label, "muted"))
        parts.append(_text(left + PAD + (box.label_width + 8 if label else 0), line + 2, text, css))
    return "".join(parts) + "</g>"


def _arrow(route: list[tuple[float, float]], loose: bool, rightwards: bool, role: str) -> str:
    """Return the curve through the points of a route, and its tip."""
    (x, y), tip = route[-1], 7.0
    points = [*route[:-1], (x, y - tip)]
    if points[-2][1] > points[-1][1]:  # no straight end: bend all the way to the tip
        points.pop(-2)
    corners = [(x, y), (x - 3.6, y - tip), (x + 3.6, y - tip)]
    outline = " ".join([_pair(corner, rightwards) for corner in corners])
    name = f"<title>{escape(role)}</title>" if role else ""
    css = "edge loose" if loose else "edge"
    curve = f'<path class="{css}" d="{path(points, rightwards)}"/>'
    return f'<g>{name}{curve}<polygon class="tip" points="{outline}"/></g>'


def path(route: list[tuple[float, float]], rightwards: bool = False) -> str:
    """Return a route in the language of SVG: straight within a layer, curved between two."""
    pieces, (x, y) = ["M" + _pair(route[0], rightwards)], route[0]
    for (x0, y0), (x1, y1) in zip(route, route[1:]):
        if abs(x1 - x0) < 0.05:
            continue  # all straight pieces in a row become one, with the next bend or the end
        if y0 - y > 0.05:
            pieces.append("L" + _pair((x0, y0), rightwards))
        middle, (x, y) = (y0 + y1) / 2, (x1, y1)
        bend = [_pair(point, rightwards) for point in ((x0, middle), (x1, middle), (x1, y1))]
        pieces.append("C" + " ".join(bend))
    if route[-1][1] - y > 0.05:  # none of no length, which would turn the arrow's head
        pieces.append("L" + _pair((x, route[-1][1]), rightwards))
    return "".join(pieces)


def _pair(point: tuple[float, float], rightwards: bool) -> str:
    along, across = point
    x, y = (across, along) if rightwards else (along, across)
    return f"{_number(x)} {_number(y)}"


def _legend(boxes: list[Box], notes: list[str], width: float) -> tuple[list[str], float, float]:
    """Return the legend's parts, its width and its height: swatches in a row, notes below."""
    parts, x, y, widest = [], 0.0, 26.0, 0.0
    kinds = {box.kind for box in boxes if len(boxes) > 1}
    entries = [(kind, meaning) for kind, meaning in KINDS.items() if kind in kinds]
    entries += [("again op", _AGAIN)] if any([box.again for box in boxes]) else []
    for css, meaning in entries:
        needed = 18 + text_width(meaning)
        if x and x + needed > width:
            x, y = 0.0, y + 20
        swatch = f'x="{_number(x + 1)}" y="{_number(y - 10)}" width="11" height="11" rx="3"'
        parts.append(f'<rect class="box {css}" {swatch}/>')
        parts.append(_text(x + 18, y, meaning, "muted"))
        widest = max(widest, x + needed)
        x += needed + 16
    y = y + 20 if parts else 26.0
    for note in notes:
        for line in _wrap(note, width):
            parts.append(_text(0, y, line, "muted"))
            widest = max(widest, text_width(line))
            y += LINE
    return parts, widest, y - 12


def _wrap(text: str, width: float) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if text_width(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
