"""`explain`: one HTML page that steps through forward and backward, one node at a time.

The page is a recording of the engine at work: `trace` lists the nodes, `backprop` is walked once,
and each op is asked for the share of each input, which is what the engine itself adds up. So the
gradients at the end are the engine's, to the last digit that the page keeps. It needs no network
and no server: mathematics (``_formulas.py``), source lines (``_source.py``), pictures of arrays
(``_heatmap.py``), drawing and script (``page/``) are all inside the one file.

Before this: ``_walk.py``, ``_drawing.py``. Next: ``page/script.js``, which shows the steps.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..autograd import Function, backprop, no_grad
from ._drawing import draw
from ._formulas import describe, formula_of
from ._heatmap import Album
from ._recording import notes
from ._source import backward_source
from ._values import find_values
from ._walk import LEAF, OP, Node, Record, trace

if TYPE_CHECKING:
    from ..nn.module import Module

MOST_NODES = 500  # a reader who steps through more than this has stopped reading
_PAGE = Path(__file__).parent / "page"


def explain(
    result: Tensor,
    path: str | os.PathLike,
    *,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    gradient: Tensor | None = None,
    title: str | None = None,
) -> Path:
    """Write a page that steps through the computation of `result` and back through its gradients.

    The graph is kept and no ``.grad`` is touched, so ``result.backward()`` can follow (hooks on
    tensors run, as in every walk). Values that the graph does not keep are computed again where
    that is cheap; ``with viz.recording():`` around the computation keeps them all, and the names
    of modules. Of large arrays the page draws a part, and says which: the page of a LeNet step
    has about 250 kB.

    Parameters
    ----------
    result : Tensor
        Usually the loss; of one element, unless `gradient` is given.
    path : str or os.PathLike
        Where the page goes: a file name that ends in ``.html``, in a folder that exists. A file
        that is there is replaced.
    names : mapping from str to Tensor, optional
        What to call leaves and results; ``locals()`` will do.
    model : Module, optional
        Names its parameters.
    gradient : Tensor, optional
        The gradient to start with, of the result's shape; 1 by default.
    title : str, optional
        The heading of the page.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    RuntimeError
        If `result` requires no gradient, if its graph was freed by an earlier backward, or if it
        has several elements and `gradient` is not given.
    ValueError
        If the path does not end in ``.html``, or the graph has more than 500 nodes.
    FileNotFoundError
        If the folder does not exist.
    TypeError
        If an argument is of another kind.
    """
    path = _checked_path(path)
    if not (title is None or isinstance(title, str)):
        problem, actual = "the title is no text.", type(title).__name__
        raise TypeError(message("explain", problem, expect="a str", actual=actual))
    record = trace(result, names=names, model=model, values=False, where="explain")
    _check(record, result, gradient)
    find_values(record)
    heading = title or "Backpropagation, one node at a time"
    labels = _labels(record)
    contents = _contents(record, result, gradient, labels)
    path.write_text(_fill_template(heading, draw(record, labels), contents), encoding="utf-8")
    return path


def _checked_path(path) -> Path:
    if not isinstance(path, (str, os.PathLike)):
        expect, actual = "a file name such as 'loss.html'", type(path).__name__
        raise TypeError(message("explain", "the path is no path.", expect=expect, actual=actual))
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm") or path.is_dir():
        raise ValueError(
            message(
                "explain",
                "the page is one HTML file, and the path does not name one.",
                expect="a file name that ends in .html",
                actual=repr(str(path)),
            )
        )
    if not path.parent.is_dir():
        raise FileNotFoundError(
            message(
                "explain",
                "the folder that the page should go into does not exist.",
                actual=repr(str(path.parent)),
                do="make it first, or write the page elsewhere",
            )
        )
    return path


def _check(record: Record, result: Tensor, gradient) -> None:
    if not (gradient is None or isinstance(gradient, Tensor)):
        expect, actual = "a Tensor of the result's shape", type(gradient).__name__
        problem = "the gradient to start with is no tensor."
        raise TypeError(message("explain", problem, expect=expect, actual=actual))
    if gradient is None and result.numel() != 1:
        raise RuntimeError(
            message(
                "explain",
                "backward starts from one number, and this result has several.",
                actual=f"shape {tuple(result.shape)}",
                do="reduce it (.sum() or .mean()), or give gradient=<a tensor of that shape>",
            )
        )
    if len(record.nodes) > MOST_NODES:
        raise ValueError(
            message(
                "explain",
                "a page that goes node by node has no use for a graph of this size.",
                expect=f"{MOST_NODES} nodes at most",
                actual=f"{len(record.nodes)} nodes",
                do="explain a smaller case (one layer, fewer time steps); graph() draws large ones",
            )
        )


# ------------------------------------------------------------------------------- the contents


def _contents(record: Record, result: Tensor, gradient: Tensor | None, labels: list[str]) -> dict:
    """Return all that the page's script reads."""
    album = Album()
    steps = _BackwardSteps(record, album)
    backward = [steps.take(*visit) for visit in _walk(record, result, gradient)]
    ops = list(dict.fromkeys([type(node.origin) for node in record.nodes if node.kind == OP]))
    nodes = [
        _node(node, label, ops, album) for node, label in zip(record.nodes, labels, strict=True)
    ]
    return {
        "nodes": nodes,
        "ops": [{"name": op.__name__, **describe(op), **backward_source(op)} for op in ops],
        "forward": [node.index for node in record.nodes if node.kind == OP],
        "backward": backward,
        "pictures": album.as_json(),  # last: the album shrinks what is too large
    }


def _walk(record: Record, result: Tensor, gradient: Tensor | None):
    """Yield (node, upstream, shares, local derivatives) for each node that backward visits.

    The engine asks each node for its shares too, right after this does; on a graph that is kept,
    asking twice changes nothing.
    """
    nodes = {node.origin: node for node in record.nodes}
    for origin, upstream in backprop(result, gradient, retain_graph=True):
        shares = local = ()
        if isinstance(origin, Function):
            with no_grad():
                shares = origin.input_gradients(upstream)
                if _has_local_numbers(origin):
                    ones = Tensor(origin.xp.ones_like(upstream.array))
                    local = origin.input_gradients(ones)
        yield nodes[origin], upstream, shares, local


def _has_local_numbers(origin: Function) -> bool:
    """Whether the local derivative has one number for each entry of an input.

    It has where each output depends on one entry of each input, and where there is one output.
    There the shares for an upstream gradient of ones are the local derivatives themselves.
    """
    formula = formula_of(type(origin))
    return (formula is not None and formula.elementwise) or math.prod(origin.shape) == 1


class _BackwardSteps:
    """Turns visits of the walk into steps of the page, and keeps the running sums."""

    def __init__(self, record: Record, album: Album):
        self.record, self.album = record, album
        self.sums: dict[int, np.ndarray] = {}  # what has arrived so far, by place of the node

    def take(self, node: Node, upstream: Tensor, shares: tuple, local: tuple) -> dict:
        """Return one step: what came, and what each input that wants a gradient gets of it."""
        step: dict[str, Any] = {"node": node.index, "up": self._picture(upstream)}
        arrived = self.sums.pop(node.index, None)
        if arrived is not None and self.album.add(arrived) != step["up"]:
            step["hooked"] = True  # a hook put another gradient in its place
        step["shares"] = [
            self._share(source, i, shares[i], local[i] if local else None)
            for i, source in enumerate(node.sources)
            if source is not None and node.origin.needs_input_grad[i]
        ]
        if node.kind == LEAF and node.leaf_grad is not None:
            step["held"] = self.album.add(node.leaf_grad)
        return step

    def _share(self, source: int, i: int, share: Tensor | None, local: Tensor | None) -> dict:
        """Return what input number `i` gets: its share, and the sum before and after."""
        entry: dict[str, Any] = {"to": source, "at": i}
        if local is not None:
            entry["local"] = self._picture(local)
        if share is None:  # an input that moves nothing
            return entry
        array = backend.to_numpy(share.array)
        entry["share"] = self.album.add(array)
        if source in self.sums:
            before = self.sums[source]
            entry["before"] = self.album.add(before)
            array = np.asarray(before + array)  # as the engine adds, in its order
        self.sums[source] = array
        entry["after"] = self.album.add(array)
        return entry

    def _picture(self, tensor: Tensor) -> int:
        return self.album.add(backend.to_numpy(tensor.array))


def _node(node: Node, label: str, ops: list[type], album: Album) -> dict:
    """Return what the page knows about a node besides its gradients."""
    result: dict[str, Any] = {"kind": node.kind, "label": label, "shape": list(node.shape)}
    if node.kind == OP:
        result["op"] = ops.index(type(node.origin))
        result["sources"], result["roles"] = list(node.sources), list(node.roles)
        result["arguments"] = {
            name: _argument_text(value)
            for name, value in node.arguments.items()
            if name != "shape" and not isinstance(value, list)  # which an op fills: no argument
        }
        if node.modules and node.origin in notes:  # recorded, not guessed
            result["module"] = " › ".join([part for part, _ in node.modules])
    if node.value is not None:
        result["value"] = album.add(backend.to_numpy(node.value))
    return result


def _argument_text(value: Any) -> str:
    """Return an argument of an op in a few characters."""
    if backend.is_array(value):
        return f"array of shape {tuple(value.shape)}"
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= 60 else text[:57] + "…"


def _labels(record: Record) -> list[str]:
    """Return a name for each node: the user's, or the op's, with a number where it repeats."""
    counts = Counter([node.op for node in record.nodes if node.kind == OP])
    seen: Counter = Counter()
    labels = []
    for node in record.nodes:
        seen[node.op or node.kind] += 1
        number = seen[node.op or node.kind]
        if node.kind == OP:
            op = f"{node.op} {number}" if counts[node.op] > 1 else node.op
            labels.append(f"{node.name} = {op}" if node.name else op)
        else:
            labels.append(node.name or f"{node.kind} {number}")
    for node in record.nodes:
        if node.is_parameter and not node.name:
            user = record.nodes[record.consumers[node.index][0]]
            labels[node.index] = (
                f"{user.roles[user.sources.index(node.index)]} of {labels[user.index]}"
            )
    return labels


# ------------------------------------------------------------------------------------ the page


def _fill_template(title: str, drawing: str, contents: dict) -> str:
    """Return the page: the template with style, script, drawing and contents put in."""
    data = json.dumps(contents, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    parts = {
        "title": html.escape(title),
        "style": (_PAGE / "style.css").read_text(encoding="utf-8"),
        "script": (_PAGE / "script.js").read_text(encoding="utf-8"),
        "drawing": drawing,
        # "<" would let a string in the data end the script element.
        "contents": data.replace("<", "\\u003c"),
    }
    template = (_PAGE / "page.html").read_text(encoding="utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)
