"""Watching a network run: which modules were called, what they returned, and whose each op is.

A module does not say what it will compute: its ``forward`` is any Python code. So a copy of the
network runs (`working_copy`), with a hook on every module that tells which one is running
(`Recorder`). The graph that the pass leaves behind tells which operations there were; each belongs
to the innermost module that was running when it was made. And from the graph one reads how much
memory waits for backward (`kept_bytes`).

Before this: ``module.py``, ``autograd.py``. Next: ``summary.py``, ``doctor/case.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from .module import Module


@dataclass(eq=False)
class Row:
    """One place in a network where a module is called.

    Attributes
    ----------
    path : str
        Such as ``"features.0"``; ``""`` is the network itself.
    kind : str
        The class of the module.
    depth : int
        How many modules were running around it.
    calls : int
        How often it was called; 0 if ``forward`` passed it by.
    outputs : list of tuple of int
        The shape of each tensor that the first call returned.
    parameters, trainable, buffers : int
        Entries of the module's own tensors, without those of its children; what an earlier row
        has counted (a shared weight) counts 0.
    is_shared : bool
        Whether an earlier row has counted some of its tensors.
    flops : int
        Floating-point operations for one sample, of all calls; a multiply-add counts as two.
    output_bytes : int
        Memory of the results, of all calls. A view of what was there before takes none.
    """

    path: str
    kind: str
    depth: int
    calls: int = 0
    outputs: list = field(default_factory=list)
    parameters: int = 0
    trainable: int = 0
    buffers: int = 0
    is_shared: bool = False
    flops: int = 0
    output_bytes: int = 0
    module: Module | None = field(default=None, repr=False)


def working_copy(model: Module, where: str) -> Module:
    """Return a copy of the model to run and to train, whose use leaves the model as it is.

    Results that a module keeps as attributes (``self.last = h``) are copied without their graph.

    Raises
    ------
    TypeError
        If `model` is none.
    RuntimeError
        If something in the model cannot be copied.
    """
    from ..compress.trace import tensors_in

    if not isinstance(model, Module):
        actual = type(model).__name__
        raise TypeError(message(where, "this is not a model.", expect="a Module", actual=actual))
    memo = {
        id(tensor): tensor.detach().clone()
        for module in model.modules()
        for tensor in tensors_in(list(vars(module).values()))
        if tensor.creator is not None
    }
    try:
        return copy.deepcopy(model, memo)
    except Exception as error:
        raise RuntimeError(
            message(
                where,
                f"{type(model).__name__} cannot be copied.",
                expect="a model that copy.deepcopy can copy: it is watched as a copy, so that "
                "it stays as it is",
                actual=f"{type(error).__name__}: {indented(error)}",
            )
        ) from error


class Recorder:
    """Watches a forward pass: which modules ran, in which order, and whose each operation is.

    Parameters
    ----------
    model : Module
        It gets hooks for good, so give a copy (`working_copy`).
    observe : callable, optional
        ``observe(row, inputs, output)``, called whenever a module has finished.
    always : bool
        Record inside the modules also where their caller says ``no_grad()``, so that their
        operations are seen. What they return is cut off from that, as it would be without it.

    Attributes
    ----------
    rows : list of Row
        In the order of the first calls. A module that is called at several places (a shared
        layer) has a row for each; one that is called again at the same place (a loop) has one.
    owner : dict from Function to Row
        For each node of the graph the innermost module that was running when it was made.
    """

    def __init__(self, model: Module, observe=None, *, always: bool = False):
        self.rows: list[Row] = []
        self.owner: dict = {}
        self._observe, self._always = observe, always
        self._paths: dict[Module, list[str]] = {}
        for path, module in model.named_modules(remove_duplicate=False):
            self._paths.setdefault(module, []).append(path)
        self._by_place: dict[tuple, Row] = {}
        # Which row, how often it called which child, and the grad mode of its caller.
        self._running: list[tuple[Row, dict, bool]] = []
        self._seen: dict = {}  # the memory that results took so far; kept, so that ids stay
        for module in self._paths:
            module.register_forward_pre_hook(self._enter, with_kwargs=True)
            module.register_forward_hook(self._leave, with_kwargs=True)

    def where(self) -> str:
        """Return the name of the module that is running; after an error, the one that failed."""
        if not self._running:
            return "the model"
        row = self._running[-1][0]
        return f"layer {row.path!r} ({row.kind})" if row.path else f"{row.kind}.forward"

    def never_called(self) -> list[Row]:
        """Return rows for the modules that hold tensors but never ran."""
        called = {row.module for row in self.rows}
        return [
            Row(paths[0], type(module).__name__, paths[0].count(".") + 1, module=module)
            for module, paths in self._paths.items()
            if module not in called and any([*module._own_parameters(), *module._own_buffers()])
        ]

    def _enter(self, module: Module, args: tuple, kwargs: dict) -> None:
        if self._running:  # what was made since the last call is the caller's
            self._claim((args, kwargs), self._running[-1][0])
        row = self._row(module)
        row.calls += 1
        self._running.append((row, {}, autograd.is_grad_enabled()))
        if self._always:
            autograd.set_grad_enabled(True)

    def _leave(self, module: Module, args: tuple, kwargs: dict, output) -> None:
        from ..compress.trace import tensors_in

        row, _, was_recording = self._running.pop()
        while row.module is not module:  # these failed, and their caller went on
            row, _, was_recording = self._running.pop()
        self._claim(output, row)
        if self._always:
            autograd.set_grad_enabled(was_recording)
            if not was_recording:
                _cut_off(output, given=(args, kwargs))
        tensors = list(tensors_in(output))
        if row.calls == 1:
            row.outputs = [tuple(tensor.shape) for tensor in tensors]
        for tensor in [*tensors_in((args, kwargs)), *module.parameters()]:
            self._seen.setdefault(id(memory := memory_of(tensor.array)), memory)
        for tensor in tensors:
            memory = memory_of(tensor.array)
            if id(memory) not in self._seen:
                self._seen[id(memory)] = memory
                row.output_bytes += tensor.array.nbytes
        if self._observe is not None:
            self._observe(row, (args, kwargs), output)

    def _row(self, module: Module) -> Row:
        """Return the row of the place where the module is called now."""
        paths, parent = self._paths[module], None
        if self._running:
            parent, calls, _ = self._running[-1]
            prefix = parent.path + "." if parent.path else ""
            paths = [path for path in paths if path.startswith(prefix)] or paths
            calls[module] = calls.get(module, 0) + 1
            path = paths[min(calls[module], len(paths)) - 1]
        else:
            path = paths[0]
        place = (id(parent), path)
        if place not in self._by_place:
            depth = 0 if parent is None else parent.depth + 1
            row = self._by_place[place] = Row(path, type(module).__name__, depth, module=module)
            self.rows.append(row)
        return self._by_place[place]

    def _claim(self, value, row: Row) -> None:
        """Say that all nodes behind these tensors that have no owner yet are this module's."""
        from ..compress.trace import tensors_in

        stack = [tensor.creator for tensor in tensors_in(value)]
        while stack:
            node = stack.pop()
            if isinstance(node, autograd.Function) and node not in self.owner:
                self.owner[node] = row
                stack += node.edges


def _cut_off(output, given) -> None:
    """Take the history from what a module returned; its arguments have one of their own."""
    from ..compress.trace import tensors_in

    arguments = {id(tensor) for tensor in tensors_in(given)}
    for tensor in tensors_in(output):
        if tensor.creator is not None and id(tensor) not in arguments:
            tensor.creator, tensor._requires_grad = None, False


def indented(error: Exception) -> str:
    """Return the error's text as part of another one's."""
    return str(error).replace("\n", "\n    ")


# ---------------------------------------------------------------------------------- memory


def kept_bytes(nodes, left_out=()) -> int:
    """Return the memory that these graph nodes keep for their backward, each block once.

    Parameters
    ----------
    nodes : iterable of Function
    left_out : iterable of array
        Arrays whose memory is there anyway: parameters, the batch.
    """
    blocks = {}
    for node in nodes:
        held = [*(node.inputs if node.reads_inputs else ()), *vars(node).values()]
        held += [node._output[0]] if node._output is not None else []
        for array in _arrays_in(held):
            block = memory_of(array)
            blocks[id(block)] = block
    for array in left_out:
        blocks.pop(id(memory_of(array)), None)
    return sum(block.nbytes for block in blocks.values())


def _arrays_in(value) -> Iterator:
    if isinstance(value, Tensor):
        yield value.array
    elif backend.is_array(value):
        yield value
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from _arrays_in(part)


def memory_of(array):
    """Return the array that owns the memory of `array`: itself, or what it is a view of."""
    while backend.is_array(getattr(array, "base", None)):
        array = array.base
    return array
