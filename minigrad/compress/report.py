"""What a network costs: parameters, floating-point operations, bytes, milliseconds, accuracy.

The five are different things. Zeros in the weights make a file smaller (one that leaves them
out), but not a forward pass shorter; fewer bits save bytes alone; fewer channels save all. So a
report shows all of them, before and after; the bytes are those of files that were really written,
and the milliseconds are measured, not computed.

Before this: ``trace.py``, for what counts as an operation; ``stored.py``, for the files. Next:
``minigrad/viz/compression.py``, which draws it.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .. import autograd
from .._errors import message
from ..nn.module import Module
from ..nn.recorder import working_copy
from ._select import is_whole, require_model
from .container import StoredTensor
from .int8 import Int8Conv2d, Int8Linear
from .stored import plain_copy, write_all
from .structure import Structure
from .trace import check_example

INT8_LAYERS = (Int8Linear, Int8Conv2d)

# ------------------------------------------------------------------------------- counting


def count_parameters(model: Module) -> int:
    """Return the number of parameters; shared ones count once, 8-bit ones like others."""
    return sum(array.size for array in _learned(model))


def count_nonzero(model: Module) -> int:
    """Return the number of parameters that are not 0, be it by a mask."""
    return sum(int((array != 0).sum()) for array in _learned(plain_copy(model)))


def _learned(model: Module):
    """Yield the arrays that training found; those of an int8 layer are buffers."""
    require_model(model, "count_parameters")
    for parameter in model.parameters():
        yield parameter.array
    for layer in model.modules():
        if isinstance(layer, INT8_LAYERS):
            yield from (t.array for t in (layer.weight_q, layer.bias) if t is not None)


def count_bytes(model: Module) -> int:
    """Return the bytes of parameters and saved buffers as dense arrays; shared ones count once."""
    unique = {id(tensor): tensor for tensor in model.state_dict(keep_vars=True).values()}
    return sum(tensor.array.nbytes for tensor in unique.values())


def count_flops(model: Module, example) -> int:
    """Return the floating-point operations of a forward pass, for one sample.

    They are counted from the ops that ran. A multiply-add counts as two; convolutions, linear
    layers and matrix products count, the rest (biases, norms, activations, pooling) does not. So
    a convolution takes ``2 * OH * OW * O * C / groups * KH * KW``, a linear layer ``2 * out * in``.

    Parameters
    ----------
    model : Module
    example : Tensor or tuple of Tensor
        One batch of what it takes.
    """
    return sum(flops_by_layer(model, example).values())


def flops_by_layer(model: Module, example) -> dict[str, int]:
    """Return what `count_flops` does for each layer, by its path.

    Zeros count: nothing leaves them out. Of a network with int8 layers these are counted.
    """
    inputs, counts = check_example(model, example), {}
    layers = {path: m for path, m in model.named_modules() if isinstance(m, INT8_LAYERS)}
    if not layers:
        return Structure(plain_copy(model), example).flops_by_layer()
    # Integers leave no graph to count in: hooks do it.
    copied = working_copy(model, "count_flops").eval()
    for path in layers:
        layer = copied.get_submodule(path)
        layer.register_forward_hook(functools.partial(_count_int8, counts, path))
    with autograd.no_grad():
        copied(*inputs)
    return {path: count // len(inputs[0]) for path, count in counts.items()}


def _count_int8(counts: dict, path: str, layer: Module, inputs: tuple, output) -> None:
    products = layer.weight_q[0].numel()  # for each entry of the output
    counts[path] = counts.get(path, 0) + 2 * products * output.numel()


def measure_ms(models: Mapping[str, Module], example, *, rounds: int = 20) -> dict[str, float]:
    """Return the median time of a forward pass of each network, in milliseconds.

    The networks take turns, so that what else the machine does meets all of them alike. They run
    in evaluation mode, without recording, after one pass that does not count.

    Parameters
    ----------
    models : dict from str to Module
    example : Tensor or tuple of Tensor
        The batch to time.
    rounds : int
        How often each network runs.
    """
    if not is_whole(rounds) or rounds < 1:
        problem, expect = "nothing to measure.", "rounds: a whole number from 1 on"
        raise ValueError(message("measure_ms", problem, expect=expect, actual=repr(rounds)))
    times: dict[str, list] = {name: [] for name in models}
    inputs = check_example(next(iter(models.values()), None), example)
    models = {name: working_copy(model, "measure_ms").eval() for name, model in models.items()}
    with autograd.no_grad():
        for i in range(rounds + 1):
            for name, model in models.items():
                start = time.perf_counter()
                _wait(model(*inputs))
                if i > 0:
                    times[name].append(1e3 * (time.perf_counter() - start))
    return {name: float(np.median(values)) for name, values in times.items()}


def _wait(output) -> None:
    """Let a GPU finish: its kernels run behind the program's back."""
    device = getattr(output, "device", None)
    if device is not None and device.type == "cuda":
        from .. import cuda

        cuda.synchronize()


# --------------------------------------------------------------------------- before and after

ROWS = {
    "parameters": "parameters",
    "nonzero": "non-zero",
    "flops": "FLOPs, one sample",
    "dense": "bytes, dense file",
    "sparse": "bytes, CSR file",
    "coded": "bytes, coded file",
    "ms": "ms/batch",
    "accuracy": "accuracy",
}
ZEROS = "Zeros save bytes in files that leave them out (CSR, coded), not time: they are multiplied."
BITS = "Fewer bits for a weight (int8, shared values) save bytes, not time: see int8.py."


@dataclass
class Report:
    """Networks side by side.

    Attributes
    ----------
    rows : dict from str to dict
        For each network: ``parameters``, ``nonzero``, ``flops`` (for one sample), ``dense``,
        ``sparse`` and ``coded`` (bytes of a file, see `stored_bytes`; not with ``files=False``),
        ``ms`` (the median for the example batch) and, where `evaluate` was given, ``accuracy``.
    layers : dict from str to dict
        For each network, the FLOPs of each layer.
    tensors : dict from str to list of StoredTensor
        For each network, what each tensor takes in the coded file; empty with ``files=False``.
    notes : list of str
        What the numbers do not say by themselves.
    """

    rows: dict[str, dict]
    layers: dict[str, dict]
    tensors: dict[str, list[StoredTensor]]
    notes: list[str]

    def table(self) -> list[list[str]]:
        """Return the report as rows of text: a column for each network, the first one's ratios."""
        first = next(iter(self.rows.values()))
        table = [["", *self.rows]]
        for key, title in ROWS.items():
            if all(key in row for row in self.rows.values()):
                cells = [_cell(key, r[key], first[key], r is first) for r in self.rows.values()]
                table.append([title, *cells])
        return table

    def __str__(self) -> str:
        table = self.table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(row[1:], widths[1:])]])
            for row in table
        ]
        return "\n".join([line.rstrip() for line in lines] + self.notes)

    def _repr_html_(self) -> str:
        import html

        head, *body = [
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(itertools.chain(["th"], itertools.repeat("td")), self.table())
        ]
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>{notes}"


def compare(
    models: Mapping[str, Module],
    example,
    evaluate: Callable[[Module], float] | None = None,
    *,
    rounds: int = 20,
    files: bool = True,
) -> Report:
    """Return a `Report` of several networks; the first is what the others are compared to.

    Masks are multiplied in first, and so on: what is counted, stored and timed is the
    `plain_copy` of each.

    Parameters
    ----------
    models : dict from str to Module
        Such as ``{"before": model, "after": small}``.
    example : Tensor or tuple of Tensor
        The batch to count with and to time.
    evaluate : callable, optional
        From a network to its accuracy, from 0 to 1.
    rounds : int
        How often each forward pass is timed; see `measure_ms`.
    files : bool
        Whether to store each network, for the bytes of its files. (Of large networks that takes
        the longest.)

    Raises
    ------
    TypeError
        If `models` is no dict of networks, or `example` no batch.
    ValueError
        If there is no network, or an accuracy is not from 0 to 1.
    """
    if not isinstance(models, Mapping):
        expect, actual = "a dict, such as {'before': model}", type(models).__name__
        raise TypeError(
            message("compare", "the networks have no names.", expect=expect, actual=actual)
        )
    if not models:
        raise ValueError(message("compare", "there is no network.", expect="one or more, by name"))
    plain = {name: plain_copy(model) for name, model in models.items()}
    times, rows, layers = measure_ms(plain, example, rounds=rounds), {}, {}
    tensors: dict[str, list[StoredTensor]] = {}
    for name, model in plain.items():
        layers[name] = flops_by_layer(model, example)
        stored = {}
        if files:
            stored, tensors[name] = write_all(model)
        rows[name] = {
            "parameters": count_parameters(model),
            "nonzero": count_nonzero(model),
            "flops": sum(layers[name].values()),
            **stored,
            "ms": times[name],
        }
        if evaluate is not None:
            rows[name]["accuracy"] = _accuracy(name, evaluate(models[name]))
    return Report(rows, layers, tensors, _notes(plain.values(), rows, tensors))


def _accuracy(name: str, score) -> float:
    is_number = isinstance(score, (int, float, np.number)) or getattr(score, "ndim", None) == 0
    if not is_number or not 0 <= float(score) <= 1:
        problem, do = f"this is no accuracy of {name!r}.", "return a share: 0.98, not 98"
        expect = "evaluate(model) to return a number from 0 to 1"
        raise ValueError(message("compare", problem, expect=expect, actual=repr(score), do=do))
    return float(score)


def _notes(models: Iterable[Module], rows: dict, tensors: dict) -> list[str]:
    """Say what saves no time, where there is something of the kind."""
    zeros = any(row["nonzero"] < 0.9 * row["parameters"] for row in rows.values())
    int8 = any(isinstance(layer, INT8_LAYERS) for model in models for layer in model.modules())
    weights = [t for stored in tensors.values() for t in stored if len(t.shape) > 1]
    shared = any(0 < t.codebook_size <= 256 for t in weights)
    return [ZEROS] * zeros + [BITS] * (int8 or shared)


def _cell(key: str, value, first, is_first: bool) -> str:
    if key == "accuracy":
        return f"{value:.2%}" + ("" if is_first else f" ({100 * (value - first):+.2f})")
    if key == "ms":
        return f"{value:.2f}" + ("" if is_first else f" ({_times(first / value)})")
    return f"{value:,}" + ("" if is_first or not first else f" ({value / first:.1%})")


def _times(faster: float) -> str:
    """Say how a time compares; a tenth more or less is what timing itself varies by."""
    if 1 / 1.1 < faster < 1.1:
        return "as fast"
    return f"{faster:.1f}x faster" if faster > 1 else f"{1 / faster:.1f}x slower"
