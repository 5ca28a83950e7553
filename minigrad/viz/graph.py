"""The picture of a computation: ``loss.graph()``, an SVG that needs no other program.

Every box is a tensor: a leaf, or what an operation made. Its arrows come in from above in the
order of the operation's arguments; values flow along them, gradients flow back against them. In a
notebook the picture shows itself; `Graph.save` writes it, `Graph.to_dot` gives the same graph to
Graphviz for who has that.

Before this: ``_walk.py`` (what is drawn), ``_arrange.py`` (where), ``_svg.py`` (how).
Next: ``explain.py``, which steps through the same nodes; its table is ``_formulas.py``.
"""

from __future__ import annotations

import inspect
import math
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from . import _svg
from ._collapse import Part, collapse
from ._numbers import Summary, merge, shape_text, short, summarise
from ._text import cut
from ._values import find_values
from ._walk import CONSTANT, LEAF, OP, Node, Record, check, find_gradients, trace

_SYMBOLS = {
    "Add": "a + b", "Sub": "a − b", "Mul": "a × b", "Div": "a ÷ b", "Pow": "a^b", "Neg": "−x",
    "MatMul": "a @ b", "Exp": "eˣ", "Log": "ln", "Sqrt": "√", "Abs": "|x|",
    "MeanTo": "mean", "SumTo": "Σ", "Shift": "x + c", "Scale": "c x",
}  # fmt: skip
_VALUES_UP_TO = 120  # boxes: above that, values are left out unless asked for
_AGAIN_UP_TO = 3000  # nodes: in a larger graph, no value is computed again


class Graph:
    """A drawn computation; made by `Tensor.graph`.

    Parameters
    ----------
    boxes : list of Box
        What is written where; each after those that feed it.
    direction : str
        ``"down"`` or ``"right"``.
    title : str
        One sentence, for those who do not see the picture.
    notes : list of str
        Sentences below the picture.
    """

    def __init__(self, boxes: list[_svg.Box], direction: str, title: str, notes: list[str]):
        self.boxes, self.direction, self.title, self.notes = boxes, direction, title, notes
        self._drawn: str | None = None

    @property
    def svg(self) -> str:
        """The picture as the text of an SVG file."""
        if self._drawn is None:
            rightwards = self.direction == "right"
            self._drawn = _svg.draw(self.boxes, rightwards, self.title, self.notes)
        return self._drawn

    def _repr_svg_(self) -> str:
        return self.svg

    def __repr__(self) -> str:
        return f"<Graph: {self.title}>"

    def save(self, path: str | os.PathLike) -> Path:
        """Write the picture to an ``.svg`` file, and return its path.

        Raises
        ------
        ValueError
            If the name ends otherwise.
        FileNotFoundError
            If there is no such folder.
        """
        path = Path(path)
        if path.suffix.lower() != ".svg":
            raise ValueError(
                message(
                    "graph.save",
                    "only SVG is written.",
                    expect="a path that ends in .svg",
                    actual=str(path),
                    do="open the .svg in a browser and print or convert it there; "
                    "for Graphviz write the text of graph.to_dot()",
                )
            )
        if not path.parent.is_dir():
            problem = "there is no such folder."
            do = "create it, or choose another"
            raise FileNotFoundError(message("graph.save", problem, actual=str(path.parent), do=do))
        path.write_text(self.svg, encoding="utf-8")
        return path

    def to_dot(self) -> str:
        """Return the same boxes and arrows in Graphviz's language."""
        lines = ["digraph computation {"]
        lines.append(f"  rankdir={'LR' if self.direction == 'right' else 'TB'};")
        lines.append('  node [shape=box, style=rounded, fontname="sans-serif"];')
        for i, box in enumerate(self.boxes):
            text = [f"{box.title} {box.symbol}".strip()]
            text += [f"{label} {value}".strip() for label, value, _ in box.rows]
            style = ', style="rounded,dashed"' if box.kind == "constant" else ""
            lines.append(f'  n{i} [label="{_quoted(chr(10).join(text))}"{style}];')
        for i, box in enumerate(self.boxes):
            for source, role in box.sources:
                name = f' [tooltip="{_quoted(role)}"]' if role else ""
                lines.append(f"  n{source} -> n{i}{name};")
        return "\n".join([*lines, "}"]) + "\n"


def _quoted(text: str) -> str:
    text = text.replace("\x00", "�").replace("\\", "\\\\").replace('"', '\\"')
    return text.replace("\n", "\\n")


def draw_graph(
    result: Tensor,
    grad: bool | Tensor = False,
    *,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    depth: int | None = None,
    max_nodes: int = 300,
    values: bool | None = None,
    direction: str = "down",
) -> Graph:
    """Return the picture of how `result` was computed.

    Parameters
    ----------
    result : Tensor
        Usually the loss; its graph must not have been freed by a backward.
    grad : bool or Tensor
        Fill in the gradients, by a walk that keeps the graph and touches no ``.grad``; hooks on
        tensors run, as in every walk. A Tensor is the gradient to start with, for a result that
        is not a scalar.
    names : mapping from str to Tensor, optional
        What to call leaves and results; ``locals()`` will do.
    model : Module, optional
        Names its parameters, such as ``conv1.weight``, and the modules to collapse.
    depth : int, optional
        Draw modules this deep as one box each: 1 for the children of `model`, 2 for theirs. By
        default a graph of more than `max_nodes` nodes is collapsed as little as needed. Which
        module made an operation is known if it ran inside ``viz.recording()``; otherwise it
        counts to the module whose parameters were read last.
    max_nodes : int
        The most boxes to draw when `depth` is not given.
    values : bool, optional
        Write values into the boxes; by default while there are no more than 120.
    direction : {"down", "right"}
        The way the values flow.

    Returns
    -------
    Graph

    Raises
    ------
    RuntimeError
        If the graph was freed, nothing in it requires a gradient, or `grad` is True and the
        result is no scalar.
    ValueError, TypeError
        If an option is out of range or of the wrong kind.
    """
    _check(depth, max_nodes, values, direction)
    check(result, model, grad, "graph")
    record = trace(result, names=names, model=model, values=False, see=summarise)
    parts = collapse(record, depth, max_nodes)
    drawn = {node.index for part in parts for node in (part.node, *part.tensors)}
    if values is None:
        values = len(parts) <= _VALUES_UP_TO
    if values:
        find_values(record, summarise, drawn, again=len(record.nodes) <= _AGAIN_UP_TO)
    if grad is not False:
        find_gradients(record, result, grad, summarise, drawn)
    boxes = [_box(part, record, values) for part in parts]
    notes = _notes(record, parts, values, grad)
    if model is not None and not any([node.name and node.kind != OP for node in record.nodes]):
        notes.append("No leaf here belongs to the model that was given.")
    return Graph(boxes, direction, _sentence(record, parts), notes)


def _check(depth, max_nodes, values, direction) -> None:
    for name, given in (("depth", depth), ("max_nodes", max_nodes)):
        if given is None and name == "depth":
            continue
        if isinstance(given, bool) or not isinstance(given, int):
            actual = type(given).__name__
            raise TypeError(message("graph", f"{name} is no int.", expect="an int", actual=actual))
        if given < 1:
            raise ValueError(
                message("graph", f"{name} is too small.", expect="1 or more", actual=given)
            )
    if not (values is None or isinstance(values, bool)):
        expect, actual = "True, False or None", type(values).__name__
        raise TypeError(message("graph", "values is no bool.", expect=expect, actual=actual))
    if direction not in ("down", "right"):
        expect, actual = '"down" or "right"', repr(direction)
        raise ValueError(message("graph", "no such direction.", expect=expect, actual=actual))


# -------------------------------------------------------------------------- what is written


def _box(part: Part, record: Record, values: bool) -> _svg.Box:
    node = part.node
    box = _group_box(part) if part.is_group or part.title else _node_box(node)
    if node is record.result:
        box.kind = "result"
    box.title = cut(box.title)
    if values and node.value is not None:
        box.rows.append(_row("value", node.value, "value"))
    box.rows += _gradient_rows(part)
    box.sources = part.sources
    return box


def _node_box(node: Node) -> _svg.Box:
    if node.kind == OP:
        title = node.op if not node.name else f"{node.name} = {node.op}"
        box = _svg.Box("op", title, _symbol(node))
    else:
        kinds = {LEAF: "parameter" if node.is_parameter else "leaf", CONSTANT: "constant"}
        box = _svg.Box(node.kind, node.name or kinds[node.kind])
    box.tooltip = _tooltip(node)
    for source, role in zip(node.sources, node.roles):
        if source is None and role not in node.arguments:
            box.rows.append(("", f"{role}: a constant, not kept", "muted"))
    if node.shape or not (node.value or node.grad):
        box.rows.append(("shape", shape_text(node.shape), ""))
    return box


def _group_box(part: Part) -> _svg.Box:
    counts = Counter([op.op for op in part.ops])
    names = [f"{name} ×{n:,}" if n > 1 else name for name, n in counts.items()]
    box = _svg.Box("group", part.title)
    for line in _lines(names):
        box.rows.append(("", line, "muted"))
    parameters = [t for t in part.tensors if t.kind == LEAF]
    if parameters:
        count = sum([math.prod(t.shape) for t in parameters])
        trained = all([t.is_parameter for t in parameters])
        words = "parameters" if trained else f"numbers in {len(parameters):,} leaves"
        box.rows.append(("", f"{count:,} {words}", "muted"))
    box.rows.append(("shape", shape_text(part.node.shape), ""))
    inside = [f"{t.name or t.kind} {shape_text(t.shape)}" for t in part.tensors]
    listed = [*[op.op for op in part.ops[:30]], *(["..."] if len(part.ops) > 30 else [])]
    box.tooltip = "\n".join([part.title, " → ".join(listed), *inside[:30]])
    return box


def _lines(names: list[str], width: int = 28, most: int = 3) -> list[str]:
    """Return the names of operations in a few lines."""
    lines = [""]
    for i, name in enumerate(names):
        longer = f"{lines[-1]}, {name}" if lines[-1] else name
        if len(longer) > width and lines[-1]:
            if len(lines) == most:
                lines[-1] += f", and {len(names) - i} more"
                return lines
            lines[-1] += ","
            lines.append(name)
        else:
            lines[-1] = longer
    return lines


def _symbol(node: Node) -> str:
    """Return the sign at the right of an operation's title: the module, a formula, or an option."""
    if node.shape and node.modules and node.modules[-1][1]:  # recorded; a guess has no number
        return cut(node.modules[-1][0])
    known = {k: short(v) for k, v in node.arguments.items() if type(v) in (int, float)}
    if node.op == "Pow" and "b" in known:
        return f"a^{known['b']}"
    if node.op in ("Shift", "Scale") and "c" in known:
        return f"x + {known['c']}" if node.op == "Shift" else f"{known['c']} x"
    if node.op in ("Linear", "Conv2d"):
        product = {"Linear": "x Wᵀ", "Conv2d": "x ∗ w"}[node.op]
        return product if len(node.sources) == 2 else f"{product} + b"
    options = [f"{name} = {known[name]}" for name in ("axis", "low", "high") if name in known]
    return _SYMBOLS.get(node.op, ", ".join(options))


def _tooltip(node: Node) -> str:
    lines = [node.name] if node.name else []
    if node.kind == OP:
        lines.append(node.op)
        formula = (inspect.getdoc(type(node.origin)) or "").split("\n\n")[0]
        lines += (
            [" ".join(formula.split())] if formula and "One differentiable" not in formula else []
        )
        small = [
            f"{k} = {v}" for k, v in node.arguments.items() if isinstance(v, (int, float, tuple))
        ]
        lines += small[:6]
        if node.modules:
            lines.append("in " + " / ".join([name for name, _ in node.modules]))
    else:
        lines.append(node.kind)
    return "\n".join([*lines, f"shape {shape_text(node.shape)}"])


def _row(label: str, summary: Summary, kind: str) -> tuple[str, str, str]:
    return label, summary.text, "bad" if summary.is_suspect else kind


def _gradient_rows(part: Part) -> list[tuple[str, str, str]]:
    """Return the gradient of what leaves the box and, for a module, that of its parameters."""
    rows = []
    if part.node.grad is not None:
        rows.append(_row("grad", part.node.grad, "grad"))
    inside = [t.grad for t in part.tensors if t.grad is not None]
    if part.ops and inside:
        rows.append(_row("leaf grad", merge(inside), "grad"))
    held = [t.leaf_grad for t in part.tensors if t.leaf_grad is not None]
    if held and not rows:
        rows.append(_row(".grad", held[0] if len(held) == 1 else merge(held), "grad"))
    return rows


def _sentence(record: Record, parts: list[Part]) -> str:
    kinds = Counter([node.kind for node in record.nodes])
    words = {OP: "operation", LEAF: "leaf", CONSTANT: "constant"}
    plural = {"leaf": "leaves"}
    counted = [
        f"{kinds[kind]:,} {word if kinds[kind] == 1 else plural.get(word, word + 's')}"
        for kind, word in words.items()
        if kinds[kind]
    ]
    collapsed = f", drawn in {len(parts):,} boxes" if len(parts) < len(record.nodes) else ""
    return f"computation of {', '.join(counted)}{collapsed}"


def _notes(record: Record, parts: list[Part], values: bool, grad) -> list[str]:
    notes = []
    if len(parts) > 1:
        notes.append(
            "Values flow along the arrows"
            + ("; gradients (grad) flow back against them." if grad is not False else ".")
        )
    if len(parts) < len(record.nodes):
        notes.append(f"{len(record.nodes):,} nodes in {len(parts):,} boxes.")
    unknown = [p for p in parts if not p.is_group and p.ops and p.node.value is None]
    if values and unknown:
        notes.append(
            f"Values not kept by the graph: {len(unknown)}. Compute inside viz.recording() to see "
            "them."
        )
    return notes
