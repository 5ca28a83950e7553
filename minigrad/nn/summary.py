"""`summary`: a network as a table: its layers, what they return, what they weigh and cost.

A module does not say what it will compute: its ``forward`` is any Python code. So a copy of the
network runs once, on one made-up batch, and is watched (``recorder.py``). Floating-point operations
are counted by the same rule as in ``compress/report.py``, so that a network has one number.

Before this: ``recorder.py``; ``compress/trace.py`` for what counts as an operation. Next:
``doctor/``, which asks whether the network can learn.
"""

from __future__ import annotations

import html
import math
import operator
from dataclasses import dataclass, field

import numpy as np

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from .module import Module
from .recorder import Recorder, Row, indented, kept_bytes, working_copy

# --------------------------------------------------------------------------- what it returns


@dataclass
class Summary:
    """A network as a table; ``print`` it, or let a notebook show it.

    Attributes
    ----------
    rows : list of Row
        In the order of the first calls; at the end those that ``forward`` never called.
    inputs : list of (shape, dtype)
    mode : str
        ``"eval"`` or ``"train"``: how it ran.
    kept_bytes : int
        What the graph of this batch keeps in memory for backward, the parameters and the batch
        itself left out.
    parameter_bytes : int
    unrecorded : list of str
        Layers that ran without leaving a graph, so that their FLOPs are not counted.
    """

    rows: list[Row]
    inputs: list[tuple]
    mode: str
    kept_bytes: int
    parameter_bytes: int
    unrecorded: list[str] = field(default_factory=list)

    @property
    def parameters(self) -> int:
        """The number of parameters; shared ones count once."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """The number of those that are not frozen."""
        return sum(row.trainable for row in self.rows)

    @property
    def buffers(self) -> int:
        """The number of entries of buffers, such as running statistics."""
        return sum(row.buffers for row in self.rows)

    @property
    def flops(self) -> int:
        """Floating-point operations of a forward pass, for one sample."""
        return sum(row.flops for row in self.rows)

    @property
    def output_bytes(self) -> int:
        """The memory of everything that the modules returned, for the whole batch."""
        return sum(row.output_bytes for row in self.rows)

    def table(self) -> list[list[str]]:
        """Return the table as rows of text, headings first."""
        headings = ["layer", "output shape", "parameters", "FLOPs", "output memory"]
        return [headings, *[_cells(row) for row in self.rows]]

    def notes(self) -> list[str]:
        """Return the totals, a sentence each."""
        given = ", ".join(f"{shape} {dtype}" for shape, dtype in self.inputs)
        frozen = self.parameters - self.trainable
        return [
            f"parameters: {self.parameters:,} ({readable_bytes(self.parameter_bytes)}), "
            f"{self.trainable:,} trainable" + f", {frozen:,} frozen" * bool(frozen),
            *[f"buffers: {self.buffers:,} entries"] * bool(self.buffers),
            f"FLOPs for one sample: {self.flops:,} (a multiply-add is two; convolutions and "
            "matrix products count)",
            f"memory for a batch {given}, {self.mode} mode: outputs "
            f"{readable_bytes(self.output_bytes)}, kept for backward "
            f"{readable_bytes(self.kept_bytes)}",
            *[f"FLOPs not counted, for lack of a graph (no_grad): {', '.join(self.unrecorded)}"]
            * bool(self.unrecorded),
        ]

    def __str__(self) -> str:
        table = self.table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join([c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(cells)])
            for cells in (list(zip(row, widths)) for row in table)
        ]
        rule = "-" * max(len(line) for line in lines)
        lines = [lines[0], rule, *lines[1:], rule, *self.notes()]
        return "\n".join([line.rstrip() for line in lines])

    __repr__ = __str__  # so that a prompt shows the table, too

    def _repr_html_(self) -> str:
        head, *body = self.table()
        headings = "".join(f"<th>{html.escape(text)}</th>" for text in head)
        lines = "".join(f"<tr>{_html_cells(cells)}</tr>" for cells in body)
        notes = "<br>".join(html.escape(note) for note in self.notes())
        return (
            f"<table><thead><tr>{headings}</tr></thead><tbody>{lines}</tbody></table><p>{notes}</p>"
        )


def _cells(row: Row) -> list[str]:
    """Return the row as text."""
    label = f"{row.path.rpartition('.')[2]}: {row.kind}" if row.path else row.kind
    times = f" x{row.calls}" if row.calls > 1 else ""
    shape = ", ".join(map(str, row.outputs)) if row.calls else "never called"
    weight = "shared" if row.is_shared and not row.parameters else _count(row.parameters)
    return [
        "  " * row.depth + label + times,
        shape,
        weight,
        _count(row.flops),
        readable_bytes(row.output_bytes) if row.output_bytes else "",
    ]


def _html_cells(cells: list[str]) -> str:
    label, shape, *numbers = cells
    indent = (len(label) - len(label.lstrip())) / 2
    left = f"text-align:left;padding-left:{1 + indent:g}em"
    return (
        f'<td style="{left}">{html.escape(label.lstrip())}</td>'
        f'<td style="text-align:left">{html.escape(shape)}</td>'
        + "".join(f'<td style="text-align:right">{number}</td>' for number in numbers)
    )


def _count(number: int) -> str:
    return f"{number:,}" if number else ""


def readable_bytes(number: int) -> str:
    """Return a number of bytes as people write it: 1 kB is 1,000 bytes."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} B"


# ------------------------------------------------------------------------------- the function


def summary(model: Module, input_shape, *, dtype=None, mode: str = "eval") -> Summary:
    """Return a network's layers, output shapes, parameters, FLOPs and memory, as a table.

    A copy of the model runs once; the model keeps its mode, buffers, gradients and hooks, and the
    random state is as before. (Hooks of your own run too, as in every forward pass.)

    Parameters
    ----------
    model : Module
    input_shape : tuple of int, sequence of such, or Tensor
        The shape of one batch, the number of samples first: ``(1, 1, 28, 28)``. For a ``forward``
        with several arguments a sequence of shapes. Where numbers drawn from 0 to 1 (integers: 0)
        will not do, give tensors instead of shapes.
    dtype : dtype or sequence of dtype, optional
        Of the inputs; by default that of the model's first parameter.
    mode : {"eval", "train"}
        How the copy runs. "train" shows what training keeps in memory: dropout's masks, the
        statistics of batch norm.

    Returns
    -------
    Summary

    Raises
    ------
    TypeError, ValueError
        If `model` is no module, or the shapes and dtypes are none.
    RuntimeError
        If the forward pass fails; the layer is named.

    Notes
    -----
    FLOPs are counted as in `compress.report.count_flops`: a multiply-add is two, and only
    convolutions, linear layers and matrix products count. They are read off the graph, which
    modules leave behind also where `forward` calls them under ``no_grad()`` (memory for backward
    they do not keep, then). Only of a layer that says so inside its own ``forward`` there is
    none, and the last line names it.

    Examples
    --------
    >>> from minigrad.vision import models
    >>> print(summary(models.mlp(), (1, 784)))
    layer         output shape  parameters    FLOPs  output memory
    --------------------------------------------------------------
    Sequential    (1, 10)
      0: Flatten  (1, 784)
      1: Linear   (1, 256)         200,960  401,408         1.0 kB
      2: ReLU     (1, 256)                                  1.0 kB
      3: Linear   (1, 10)            2,570    5,120           40 B
    --------------------------------------------------------------
    parameters: 203,530 (814.1 kB), 203,530 trainable
    FLOPs for one sample: 406,528 (a multiply-add is two; convolutions and matrix products count)
    memory for a batch (1, 784) float32, eval mode: outputs 2.1 kB, kept for backward 1.0 kB
    """
    if not isinstance(model, Module):
        actual = type(model).__name__
        raise TypeError(message("summary", "not a network.", expect="an nn.Module", actual=actual))
    if mode not in ("eval", "train"):
        problem = "there is no such mode."
        raise ValueError(message("summary", problem, expect="'eval' or 'train'", actual=repr(mode)))
    inputs = _inputs(model, input_shape, dtype)
    random_state = backend.get_rng_state()
    try:
        watched = working_copy(model, "summary").train(mode == "train")
        trainable = {id(p): p.requires_grad for p in watched.parameters()}
        recorder = Recorder(watched, always=True)
        output = _run(recorder, watched, inputs, mode)
    finally:
        backend.set_rng_state(random_state)
    rows = [*recorder.rows, *recorder.never_called()]
    _weigh(rows, trainable)
    kept = _count_operations(recorder, output, inputs)
    return Summary(
        rows,
        [(tuple(x.shape), x.dtype) for x in inputs],
        mode,
        kept,
        sum(p.array.nbytes for p in watched.parameters()),
        _unrecorded(recorder),
    )


def _inputs(model: Module, given, dtype) -> list[Tensor]:
    """Return the tensors to run the model on."""
    several = isinstance(given, (tuple, list)) and not all(map(_is_size, given))
    parts = list(given) if several else [given]
    dtypes = list(dtype) if isinstance(dtype, (tuple, list)) else [dtype] * len(parts)
    if len(dtypes) != len(parts):
        problem = "shapes and dtypes do not pair up."
        expect = f"{len(parts)} dtypes, one for each input"
        raise ValueError(message("summary", problem, expect=expect, actual=len(dtypes)))
    like = next(iter(model.parameters()), None)
    rng = np.random.default_rng(0)
    return [_input(part, kind, like, rng) for part, kind in zip(parts, dtypes)]


def _input(part, dtype, like: Tensor | None, rng: np.random.Generator) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach() if dtype is None else part.detach().to(dtype)
    shape = part if isinstance(part, (tuple, list)) else None
    if not shape or not all(map(_is_size, shape)) or min(map(operator.index, shape)) < 1:
        raise ValueError(
            message(
                "summary",
                "this is not the shape of a batch.",
                expect="a tuple of sizes from 1 on, such as (1, 1, 28, 28), or a Tensor; for "
                "several inputs a sequence of them",
                actual=repr(part),
            )
        )
    usual = backend.get_default_dtype() if like is None else like.dtype
    try:
        dtype = usual if dtype is None else np.dtype(dtype)
    except TypeError:
        problem, expect = "there is no such dtype.", "such as minigrad.float32 or 'int64'"
        raise TypeError(message("summary", problem, expect=expect, actual=repr(dtype))) from None
    # From 0 to 1: what a logarithm, a root or a division takes without complaint.
    array = rng.uniform(size=shape) if dtype.kind == "f" else np.zeros(shape)
    array = array.astype(dtype)
    return Tensor(array if like is None else backend.asarray_on(array, like.device))


def _is_size(value) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, (bool, Tensor, np.ndarray))


def _run(recorder: Recorder, model: Module, inputs: list[Tensor], mode: str):
    """Run the copy so that every product with a parameter leaves a node behind."""
    tensors = [*model.parameters(), *(model.buffers() if mode == "eval" else ())]
    for tensor in tensors:
        if tensor.dtype.kind == "f":
            tensor.requires_grad_(True)  # frozen parameters compute too
    try:
        with autograd.enable_grad():
            return model(*inputs)
    except Exception as error:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise RuntimeError(
            message(
                "summary",
                f"the forward pass failed in {recorder.where()}.",
                expect="an input_shape that the model takes, the number of samples first",
                actual=f"input {shapes}; {type(error).__name__}: {indented(error)}",
                do="give the shape of a batch, such as (1, 1, 28, 28), or a Tensor",
            )
        ) from error


def _weigh(rows: list[Row], trainable: dict[int, bool]) -> None:
    """Write the sizes of each module's own tensors into its row; each counts once."""
    seen: set[int] = set()
    for row in rows:
        for _, parameter in row.module._own_parameters():
            if id(parameter) in seen:
                row.is_shared = True
                continue
            seen.add(id(parameter))
            row.parameters += parameter.numel()
            row.trainable += parameter.numel() * trainable[id(parameter)]
        for _, buffer in row.module._own_buffers():
            if id(buffer) not in seen:
                seen.add(id(buffer))
                row.buffers += buffer.numel()


def _unrecorded(recorder: Recorder) -> list[str]:
    """Return the paths of the layers that ran, and none of whose weights is in the graph."""
    sources = {edge for node in recorder.owner for edge in node.edges}
    weights = {
        row.path: [p for _, p in row.module._own_parameters() if p.ndim > 1]
        for row in recorder.rows
    }
    return [path for path, found in weights.items() if found and not sources.intersection(found)]


def _count_operations(recorder: Recorder, output, inputs: list[Tensor]) -> int:
    """Write the FLOPs into the rows, and return the bytes that the graph keeps."""
    from ..compress.trace import in_forward_order, multiply_adds, tensors_in

    ends = [y.creator for y in tensors_in(output) if y.creator is not None]
    nodes = in_forward_order(ends)
    for node in recorder.owner:  # also what led to no output, for it ran
        counted = multiply_adds(node)
        if counted is not None:
            times, axes = counted
            sizes = [node.inputs[i].shape[axis] for i, axis in axes]
            recorder.owner[node].flops += 2 * times * math.prod(sizes)
    samples = inputs[0].shape[0] if inputs[0].ndim else 1
    for row in recorder.rows:
        row.flops //= samples
    root = recorder.rows[0].module
    given = [*root.parameters(), *root.buffers(), *inputs]
    return kept_bytes(nodes, [tensor.array for tensor in given])
