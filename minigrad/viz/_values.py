"""What an operation still knows: its arguments, and its result, kept or computed again.

The graph holds what backward needs. A value that is wanted for a picture is in a tensor at hand,
in the inputs of a consumer, in the node itself, behind a reshape, in the notes of a recording, or
can be computed again from values that are known. Where all that fails it stays None.

Before this: ``_recording.py``. Next: ``_walk.py``, which uses it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import backend
from .._tensor import Tensor
from ..autograd import Function
from ._recording import notes

if TYPE_CHECKING:
    from ._walk import Node, Record

_SMALL = 500_000  # entries: a larger result is not computed again only to be looked at


def positional(node: Function) -> tuple | list:
    """Return the positional arguments of an op as far as it keeps them; None for the others."""
    if node.reads_inputs:
        return node.inputs
    note = notes.get(node)
    return note.constants if note else [None] * len(node.edges)


@functools.cache
def _parameters(op: type[Function]) -> tuple[inspect.Parameter, ...]:
    """Return the parameters of an op's ``forward`` after self."""
    return tuple(inspect.signature(op.forward).parameters.values())[1:]


@functools.cache
def roles(op: type[Function], count: int) -> tuple[str, ...]:
    """Return what ``forward`` calls its first `count` arguments: x, w, b."""
    names = []
    for parameter in _parameters(op):
        if parameter.kind is parameter.VAR_POSITIONAL:
            names += [f"{parameter.name}[{i}]" for i in range(count - len(names))]
        elif parameter.kind is not parameter.KEYWORD_ONLY:
            names.append(parameter.name)
    return tuple((names + [f"input {i}" for i in range(len(names), count)])[:count])


def arguments(node: Function) -> dict[str, Any]:
    """Return the plain numbers among an op's inputs, and its options, as far as it kept them."""
    names = roles(type(node), len(node.edges))
    known = {
        role: given
        for role, given, source in zip(names, positional(node), node.edges)
        if source is None and given is not None and not isinstance(given, Tensor)
    }
    note = notes.get(node)
    return {**known, **(note.options if note else _options(node) or {})}


# Their attribute of an option's name is what the input had, not what was asked for.
_REMEMBER_INPUT = ("Cast", "ToDevice", "MaxPool2d", "PoolScatter", "PoolGather")


def _options(node: Function) -> dict[str, Any] | None:
    """Return the keyword arguments that made a node of the library, or None if it lost one."""
    op = type(node)
    kept = {**vars(node), **vars(node).get("how", {})}
    if not op.__module__.startswith("minigrad.ops.") or op.__name__ in _REMEMBER_INPUT:
        return None
    options: dict[str, Any] = {}
    for parameter in _parameters(op):
        name = parameter.name
        if op.__name__ == "SoftmaxCrossEntropy" and name == "mean":
            options[name] = node.n is not None  # it keeps the number of samples instead
        if parameter.kind is parameter.VAR_KEYWORD:
            if name not in kept:
                return None
            options.update(kept[name])
        elif parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty:
            if name == "shape" and op.__name__ != "IndexAdd":
                options[name] = node.shape
            elif name in kept:
                options[name] = kept[name]
            else:
                return None
    return options


def find_values(
    record: Record,
    see: Callable[[np.ndarray], Any] = lambda array: array,
    wanted: Collection[int] | None = None,
    again: bool = True,
) -> None:
    """Set `Node.value` wherever it can be had, to what `see` makes of the array.

    What is computed again comes from the leaves as they are now: draw before the optimizer's step.

    Parameters
    ----------
    record : Record
    see : callable
    wanted : collection of int, optional
        The places of the nodes to look at; all by default.
    again : bool
        Compute again what is not there.
    """
    nodes = record.nodes
    values: list = [None] * len(nodes)
    for node in nodes:
        tensor = node.origin if node.kind != "op" else record.tensors.get(node.origin)
        if tensor is not None:
            values[node.index] = tensor.array
        if node.kind == "op" and node.origin.reads_inputs and _unchanged(node.origin):
            for source, x in zip(node.sources, node.origin.inputs):
                if source is not None and values[source] is None:
                    values[source] = x.array
    for node in reversed(nodes):
        if values[node.index] is None:
            values[node.index] = _kept(node.origin)
        elif node.op == "Reshape" and values[node.sources[0]] is None:
            source = nodes[node.sources[0]]
            values[source.index] = values[node.index].reshape(source.shape)
    for node in nodes:  # in forward order: what is computed again needs its sources
        if again and values[node.index] is None:
            values[node.index] = _computed_again(node, values)
        if values[node.index] is not None and (wanted is None or node.index in wanted):
            node.value = see(backend.to_numpy(values[node.index]))


def _unchanged(node: Function) -> bool:
    changes = sum([x._version[0] for x in node.inputs if isinstance(x, Tensor)])
    return changes == node._changes


def _kept(node: Function):
    """Return the output that a node or its note keeps, if it is still what it was."""
    note = notes.get(node)
    for kept in (node._output, note.output if note else None):
        if kept is not None:
            array, version, count = kept
            if version[0] == count:
                return array
    return None


def _computed_again(node: Node, values: list):
    """Return the output of one of the library's own ops from its inputs, if all are known."""
    op, given = node.origin, positional(node.origin)
    options = _options(op)
    arrays = [x if s is None else values[s] for s, x in zip(node.sources, given)]
    size = max([int(np.prod(node.shape)), *[getattr(array, "size", 0) for array in arrays]])
    lost = any([array is None for array in arrays])
    if options is None or lost or size > _SMALL or (op.reads_inputs and not _unchanged(op)):
        return None
    again = type(op)()  # a fresh one: the graph's own node stays as it is
    again.xp, again.needs_input_grad = op.xp, [False] * len(arrays)
    with np.errstate(all="ignore"):
        output = again.forward(*arrays, **options)
    output = backend.as_array(output, node.op)
    return output if output.shape == node.shape else None
