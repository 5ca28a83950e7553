"""A large graph in fewer boxes: what belongs to one module becomes one.

A box may only hold operations that follow each other in forward order. That keeps the picture a
picture of a computation: if one box held the first and the third of three steps in a row, it would
come both before and after the second.

Where no module is known, runs of operations without a branch become boxes, and where even these
are too many, equal stretches of the whole do.

Before this: ``_walk.py``. Next: ``_layout.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from .._errors import message
from ._walk import LEAF, OP, Node, Record

_STRETCHES = 24


@dataclass(eq=False)
class Part:
    """What is drawn as one box.

    Attributes
    ----------
    title : str
        The module's name, or what the stretch is; empty for a single node.
    ops : list of Node
        Operations in forward order; empty for a leaf or a constant.
    tensors : list of Node
        The leaves and constants that only these operations use; or the one that is drawn.
    sources : list of (int, str)
        The parts that feed it, once for each use, and as what (``forward``'s name).
    """

    title: str = ""
    ops: list[Node] = field(default_factory=list)
    tensors: list[Node] = field(default_factory=list)
    sources: list[tuple[int, str]] = field(default_factory=list)

    @property
    def is_group(self) -> bool:
        """Whether it stands for more than one node."""
        return len(self.ops) + len(self.tensors) > 1

    @property
    def node(self) -> Node:
        """The node whose tensor leaves the box: the last operation, or the leaf."""
        return self.ops[-1] if self.ops else self.tensors[0]


def collapse(record: Record, depth: int | None = None, max_nodes: int = 300) -> list[Part]:
    """Return the boxes to draw, each after those that feed it.

    Parameters
    ----------
    record : Record
    depth : int, optional
        Draw modules this deep (1: the model's own children) as one box each. By default nothing is
        collapsed in a graph of up to `max_nodes` nodes, and otherwise as little as needed.
    max_nodes : int
        The most boxes to draw by default.
    """
    deepest = max([len(node.modules) for node in record.nodes])
    if depth is not None:
        if not deepest:
            problem = "depth counts modules, but no module is known to have made anything here."
            do = "give model=, or compute the loss inside `with minigrad.viz.recording():`"
            raise ValueError(message("graph", problem, do=do))
        return _parts(record, _by_module(record, depth))
    if len(record.nodes) <= max_nodes:
        return _parts(record, lambda node: None)
    for level in range(deepest, 0, -1):
        parts = _parts(record, _by_module(record, level))
        if len(parts) <= max_nodes:
            return parts
    parts = _parts(record, _by_run(record))
    if len(parts) <= max_nodes:
        return parts
    return _parts(record, _by_stretch(record), share=False)


# ------------------------------------------------------------------ which operations together?


def _by_module(record: Record, depth: int) -> Callable[[Node], Hashable]:
    containers = {node.modules[:i] for node in record.nodes for i in range(1, len(node.modules))}

    def key(node: Node) -> Hashable:
        own = node.modules[:depth]
        alone = not own or (len(node.modules) <= len(own) < depth and own in containers)
        return None if alone or node is record.result else own

    return key


def _by_run(record: Record) -> Callable[[Node], Hashable]:
    """Operations in a row that feed only the next one."""
    run, runs = 0, {}
    before = None
    for node in record.nodes:
        if node.kind != OP:
            continue
        from_ops = {s for s in node.sources if s is not None and record.nodes[s].kind == OP}
        follows = (
            before is not None
            and from_ops == {before}
            and (set(record.consumers[before]) == {node.index})
        )
        run += not follows
        runs[node.index] = run
        before = node.index
    return lambda node: None if node is record.result else runs[node.index]


def _by_stretch(record: Record) -> Callable[[Node], Hashable]:
    ops = [node.index for node in record.nodes if node.kind == OP]
    length = -(-len(ops) // _STRETCHES)
    stretch = {index: i // length for i, index in enumerate(ops)}
    return lambda node: None if node is record.result else stretch[node.index]


# -------------------------------------------------------------------------------- the boxes


def _parts(record: Record, key: Callable, share: bool = True) -> list[Part]:
    """Return the boxes: neighbours in forward order with the same key (not None) together.

    A leaf that only one box of several operations uses goes into it. With `share` False every
    leaf goes into the first box that uses it.
    """
    groups: list[tuple[Hashable, list[Node]]] = []
    for node in record.nodes:
        if node.kind == OP:
            k = key(node)
            if k is None or not groups or groups[-1][0] != k:
                groups.append((k, []))
            groups[-1][1].append(node)
    group_of = {node.index: i for i, (_, ops) in enumerate(groups) for node in ops}
    parts: list[Part] = []
    part_of: dict[int, int] = {}
    kept_in: dict[int, list[Node]] = {}
    for node in record.nodes:
        if node.kind != OP:
            users = sorted({group_of[c] for c in record.consumers[node.index]})
            stays = len(users) > 1 and share
            if users and not stays and _swallows(groups[users[0]], node):
                kept_in.setdefault(users[0], []).append(node)
    inside = {node.index: i for i, nodes in kept_in.items() for node in nodes}
    seen: Counter = Counter()
    for i, (k, ops) in enumerate(groups) if groups else []:
        for op in ops:  # what it needs and is drawn alone comes just before
            for s in op.sources:
                if s is not None and s not in group_of and s not in inside and s not in part_of:
                    part_of[s] = len(parts)
                    parts.append(Part(tensors=[record.nodes[s]]))
        part = Part(ops=ops, tensors=kept_in.get(i, []))
        if isinstance(k, tuple) or len(ops) > 1:
            part.title = _title(k, ops, seen)
        for node in [*ops, *part.tensors]:
            part_of[node.index] = len(parts)
        parts.append(part)
    if not groups:  # a leaf by itself
        parts.append(Part(tensors=[record.result]))
    for place, part in enumerate(parts):
        part.sources = [
            (part_of[s], role)
            for op in part.ops
            for s, role in zip(op.sources, op.roles)
            if s is not None and part_of[s] != place
        ]
        if part.is_group:  # one arrow from each box
            part.sources = list({source: (source, "") for source, _ in part.sources}.values())
    return parts


def _swallows(group: tuple[Hashable, list[Node]], node: Node) -> bool:
    """Whether a group takes a tensor in: a module its parameters, a stretch all there is."""
    key, ops = group
    return node.kind == LEAF if isinstance(key, tuple) else len(ops) > 1


def _title(key: Hashable, ops: list[Node], seen: Counter) -> str:
    if not isinstance(key, tuple):
        return f"{len(ops):,} operations"
    path = key[-1][0]
    seen[path] += 1
    return path if seen[path] == 1 else f"{path} ({seen[path]})"
