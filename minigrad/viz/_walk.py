"""What happened: the graph behind a tensor as a plain list of nodes, for everything that draws it.

`trace` follows the engine's nodes back from a result and returns a `Record`: the operations in
forward order, the leaves they started from, who feeds whom by place in the list, and, where they
can be had, values and gradients. A picture (``graph.py``) and a page (``explain.py``) are two ways
to print that list.

Before this: ``autograd.py``, ``_values.py``. Next: ``_collapse.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..autograd import Function, backprop
from ..nn.module import Module, Parameter
from ._recording import notes
from ._values import arguments, find_values, positional, roles

OP, LEAF, CONSTANT = "op", "leaf", "constant"


@dataclass(eq=False, slots=True)
class Node:
    """One tensor of the computation, and how it came to be.

    Attributes
    ----------
    index : int
        Its place in `Record.nodes`.
    kind : str
        ``"op"``, ``"leaf"`` (a tensor that requires a gradient) or ``"constant"`` (one that does
        not: data, labels, a mask).
    op : str
        The class name of the operation, such as ``"Mul"``; empty for leaves and constants.
    name : str
        What the user calls the tensor: a parameter's dotted name, or one of `names`.
    shape : tuple of int
    sources : tuple of (int or None)
        The places of the inputs in `Record.nodes`, by position in ``forward``; None for an input
        that the graph did not keep, or that is no tensor (then see `arguments`).
    roles : tuple of str
        What ``forward`` calls these inputs: ``("x", "w", "b")``.
    arguments : dict of str to object
        Inputs that are plain numbers, and options, as far as they are known.
    modules : tuple of (str, int)
        The module calls that made it, outermost first: dotted name or class, and number of the
        call. From a recording, or else guessed from the parameters: see `trace`.
    value, grad : numpy.ndarray or None
        The tensor's numbers, and the gradient of the result with respect to it; or what `see`
        made of them. None where not known, or not asked for.
    leaf_grad : numpy.ndarray or None
        What its ``.grad`` holds, for leaves; or what `see` made of it.
    origin : Function or Tensor
        The engine's own node.
    """

    index: int
    kind: str
    op: str
    name: str
    shape: tuple[int, ...]
    sources: tuple[int | None, ...]
    roles: tuple[str, ...]
    origin: Function | Tensor
    arguments: dict[str, Any] = field(default_factory=dict)
    modules: tuple[tuple[str, int], ...] = ()
    value: Any = None
    grad: Any = None
    leaf_grad: Any = None

    @property
    def is_parameter(self) -> bool:
        """Whether it is a leaf that a module trains."""
        return isinstance(self.origin, Parameter)


@dataclass(eq=False)
class Record:
    """The computation of one result.

    Attributes
    ----------
    nodes : list of Node
        Each after its sources; the result is the last.
    consumers : list of list of int
        For each node, the places of those that it feeds; twice if it feeds one twice.
    tensors : dict
        The tensors at hand, by the node that made them: the result, and what has a name.
    """

    nodes: list[Node]
    tensors: dict = field(default_factory=dict)

    def __post_init__(self):
        self.consumers: list[list[int]] = [[] for _ in self.nodes]
        for node in self.nodes:
            for source in node.sources:
                if source is not None:
                    self.consumers[source].append(node.index)

    @property
    def result(self) -> Node:
        """The tensor that was traced."""
        return self.nodes[-1]


def trace(
    result: Tensor,
    *,
    names: Mapping[str, Any] | None = None,
    model: Module | None = None,
    grad: bool | Tensor = False,
    values: bool = True,
    see: Callable[[np.ndarray], Any] = lambda array: array,
    where: str = "graph",
) -> Record:
    """Return the graph behind `result`, which stays as it is.

    Parameters
    ----------
    result : Tensor
        Usually the loss.
    names : mapping from str to Tensor, optional
        What to call leaves and results; other objects in it are ignored, so ``locals()`` will do.
    model : Module, optional
        Names its parameters and buffers, and the modules that ran. Without a `recording`, an
        operation is said to belong to the module whose parameters were read last.
    grad : bool or Tensor
        Fill in the gradients, by a walk that keeps the graph and touches no ``.grad`` (hooks on
        tensors run, as in every walk). A Tensor is the gradient to start with.
    values : bool
        Look for the values.
    see : callable
        What to keep of every array, so that a large graph needs no large memory.
    where : str
        Who speaks in errors.

    Raises
    ------
    TypeError
        If `names` is no mapping or `model` no Module.
    RuntimeError
        If `result` requires no gradient, its graph was freed, or `grad` is True and it is not a
        scalar.
    """
    check(result, model, grad, where)
    engine_order = _forward_order(result, where)
    labels = _labels(names, model, where)
    nodes, places = [], {}
    for origin, sources in engine_order.items():
        kind = _kind(origin)
        node = Node(
            index=len(nodes),
            kind=kind,
            op=type(origin).__name__ if kind == OP else "",
            name=labels.get(origin, ("", None))[0],
            shape=tuple(origin.shape),
            sources=tuple([places.get(source) for source in sources]),
            roles=roles(type(origin), len(sources)) if kind == OP else (),
            origin=origin,
            arguments=arguments(origin) if kind == OP else {},
        )
        places[origin] = node.index
        nodes.append(node)
    at_hand = {origin: tensor for origin, (_, tensor) in labels.items()}
    record = Record(nodes, {**at_hand, result.creator or result: result})
    _fill_modules(record, model)
    for node in nodes:
        if node.kind == LEAF and node.origin.grad is not None:
            node.leaf_grad = see(backend.to_numpy(node.origin.grad.array))
    if values:
        find_values(record, see)
    if grad is not False:
        find_gradients(record, result, grad, see)
    return record


def find_gradients(
    record: Record,
    result: Tensor,
    grad: bool | Tensor = True,
    see: Callable[[np.ndarray], Any] = lambda array: array,
    wanted: Collection[int] | None = None,
) -> None:
    """Set `Node.grad` by a walk that keeps the graph and touches no ``.grad``.

    Parameters
    ----------
    record : Record
        Of `result`.
    grad : bool or Tensor
        True, or the gradient to start with.
    see : callable
        What to keep of every array.
    wanted : collection of int, optional
        The places of the nodes to look at; all by default.
    """
    places = {node.origin: node.index for node in record.nodes}
    start = grad if isinstance(grad, Tensor) else None
    for origin, gradient in backprop(result, start, retain_graph=True):
        if wanted is None or places[origin] in wanted:
            record.nodes[places[origin]].grad = see(backend.to_numpy(gradient.array))


def check(result: Tensor, model, grad, where: str) -> None:
    """Refuse what cannot be traced, in one sentence."""
    if not isinstance(result, Tensor):
        problem = "only a tensor has a graph."
        raise TypeError(message(where, problem, expect="a Tensor", actual=type(result).__name__))
    if not (model is None or isinstance(model, Module)):
        problem = "model is not a module."
        raise TypeError(message(where, problem, expect="a Module", actual=type(model).__name__))
    if not isinstance(grad, (bool, Tensor)):
        expect, actual = "True, False, or the gradient to start with", type(grad).__name__
        raise TypeError(message(where, "grad is of another kind.", expect=expect, actual=actual))
    if not result.requires_grad:
        raise RuntimeError(
            message(
                where,
                "this tensor has no graph, because nothing that led to it requires a gradient.",
                do="compute it from tensors with requires_grad=True, and outside no_grad()",
            )
        )
    if grad is True and result.numel() != 1:
        raise RuntimeError(
            message(
                where,
                "only a result of one element has gradients without being given one to start with.",
                actual=f"shape {tuple(result.shape)}",
                do="reduce it (.sum() or .mean()), or give grad=<a tensor of that shape>",
            )
        )


# ------------------------------------------------------------------------------- the order


def _forward_order(result: Tensor, where: str) -> dict:
    """Return every node with its sources (nodes, or None), each after its sources.

    The time is only known from a recording. Without one, the longest path comes first: that of
    the hidden state, say, before the input of the last step.
    """
    start = result.creator or result
    order = _depth_first(start, lambda node: _sources(node, where))
    if all([isinstance(node, Tensor) or node in notes for node in order]):
        return _order_of_time(order)
    depth = {None: 0}
    for node, sources in order.items():
        depth[node] = max([depth[source] + 1 for source in sources], default=0)
    return _depth_first(start, order.__getitem__, depth.__getitem__)


def _depth_first(start, sources_of: Callable, depth: Callable = lambda node: 0) -> dict:
    """Return nodes and sources, each after its sources, the deeper ones of these first.

    Without recursion: a graph may be a million nodes deep. A node is put on the stack twice, the
    second time to be written down once its sources have been.
    """
    order: dict = {}
    entered = set()
    stack: list = [(start, None)]
    while stack:
        node, sources = stack.pop()
        if sources is not None:
            order[node] = sources
        elif node not in entered:
            entered.add(node)
            sources = sources_of(node)
            stack.append((node, sources))
            new = [(s, None) for s in reversed(sources) if s is not None and s not in entered]
            stack += sorted(new, key=lambda pair: depth(pair[0]))
    return order


def _order_of_time(order: dict) -> dict:
    """Put recorded operations in the order in which they ran, tensors before their first use."""
    ops = sorted([n for n in order if isinstance(n, Function)], key=lambda n: notes[n].order)
    timely: dict = {}
    for op in ops:
        for source in order[op]:
            if isinstance(source, Tensor):
                timely.setdefault(source, ())
        timely[op] = order[op]
    return timely or order


def _sources(node: Function | Tensor, where: str) -> tuple:
    """Return what fed a node: engine nodes, leaves, constant tensors; None for what is not kept."""
    if isinstance(node, Tensor):
        return ()
    if node.edges is None:
        raise RuntimeError(
            message(
                where,
                "the graph is gone: it was freed as a gradient flowed back through it.",
                actual=f"{node!r} was freed by backward()",
                do=f"call {where} before backward(), or loss.backward(retain_graph=True)",
            )
        )
    given = positional(node)
    return tuple(
        [
            given[i] if source is None and isinstance(given[i], Tensor) else source
            for i, source in enumerate(node.edges)
        ]
    )


def _kind(origin: Function | Tensor) -> str:
    if isinstance(origin, Function):
        return OP
    return LEAF if origin.requires_grad else CONSTANT


# ------------------------------------------------------------------------------------ names


def _labels(names: Mapping[str, Any] | None, model: Module | None, where: str) -> dict:
    """Return (name, tensor) by engine node; the user's own names before the model's."""
    if not (names is None or isinstance(names, Mapping)):
        expect, actual = "a dict from name to tensor, such as locals()", type(names).__name__
        raise TypeError(message(where, "names is no mapping.", expect=expect, actual=actual))
    labels: dict = {}
    given = [] if names is None else [(n, t) for n, t in names.items() if isinstance(t, Tensor)]
    if names and not given:
        expect, actual = "a dict from name to tensor", ", ".join([str(name) for name in names])
        raise ValueError(message(where, "names has no tensor.", expect=expect, actual=actual))
    if model is not None:
        given += [*model.named_parameters(), *model.named_buffers()]
    for name, tensor in given:
        labels.setdefault(tensor.creator or tensor, (str(name), tensor))
    return labels


def _fill_modules(record: Record, model: Module | None) -> None:
    """Say which module calls made each operation: as recorded, or else by the parameters read."""
    paths = {} if model is None else {module: path for path, module in model.named_modules()}
    last: tuple[tuple[str, int], ...] = ()
    for node in record.nodes:
        if node.kind != OP:
            continue
        note = notes.get(node.origin)
        if note is not None:
            node.modules = tuple(
                [(paths.get(call.module(), call.kind), call.number) for call in note.calls]
            )
            # The model itself, the empty path, is the frame of the picture.
            node.modules = tuple([part for part in node.modules if part[0]])
        elif model is not None:
            owners = [
                record.nodes[s].name.rpartition(".")[0]
                for s in node.sources
                if s is not None and record.nodes[s].is_parameter
            ]
            if owners and owners[0]:
                last = _ancestors(owners[0])
            node.modules = last


def _ancestors(path: str) -> tuple[tuple[str, int], ...]:
    """``"block.conv"`` lies in ``"block"`` and in itself."""
    parts = path.split(".")
    return tuple([(".".join(parts[: i + 1]), 0) for i in range(len(parts))])
