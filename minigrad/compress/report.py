"""What a network costs: parameters, floating-point operations, bytes, milliseconds, accuracy.

The five are different things. Zeros in the weights make a file smaller (stored as a sparse
array), but not a forward pass shorter; fewer bits save bytes alone; fewer channels save all. So a
report shows all of them, before and after, and the milliseconds are measured, not computed.

Before this: ``trace.py``, for what counts as an operation.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from .. import autograd
from .._errors import message
from ..nn.module import Module
from .structure import Structure
from .trace import check_example

# ------------------------------------------------------------------------------- counting


def count_parameters(model: Module) -> int:
    """Return the number of parameters; shared ones count once."""
    return sum(parameter.numel() for parameter in model.parameters())


def count_nonzero(model: Module) -> int:
    """Return the number of parameters that are not 0."""
    return sum(int((parameter.array != 0).sum()) for parameter in model.parameters())


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
    return Structure(model, example).flops()


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
    if not rounds >= 1:
        raise ValueError(
            message("measure_ms", "nothing to measure.", expect="rounds from 1 on", actual=rounds)
        )
    times: dict[str, list] = {name: [] for name in models}
    inputs = check_example(next(iter(models.values()), None), example)
    models = {name: copy.deepcopy(model).eval() for name, model in models.items()}
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

COLUMNS = {
    "parameters": "parameters",
    "nonzero": "non-zero",
    "flops": "FLOPs",
    "bytes": "bytes",
    "ms": "ms/batch",
    "accuracy": "accuracy",
}


@dataclass
class Report:
    """Networks side by side.

    Attributes
    ----------
    rows : dict from str to dict
        For each network: ``parameters``, ``nonzero``, ``flops`` (for one sample), ``bytes``,
        ``ms`` (the median for the example batch) and, where `evaluate` was given, ``accuracy``.
    layers : dict from str to dict
        For each network, the FLOPs of each layer.
    """

    rows: dict[str, dict]
    layers: dict[str, dict]

    def table(self) -> list[list[str]]:
        """Return the report as rows of text, headings first; from the second row on with ratios."""
        keys = [key for key in COLUMNS if all(key in row for row in self.rows.values())]
        first = next(iter(self.rows.values()))
        table = [["", *[COLUMNS[key] for key in keys]]]
        for name, row in self.rows.items():
            table.append([name, *[_cell(key, row[key], first[key], row is first) for key in keys]])
        return table

    def __str__(self) -> str:
        table = self.table()
        widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
        lines = [
            "  ".join([row[0].ljust(widths[0]), *[c.rjust(w) for c, w in zip(row[1:], widths[1:])]])
            for row in table
        ]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        import html

        head, *body = [
            "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in row)
            for tag, row in zip(["th"] + ["td"] * len(self.rows), self.table())
        ]
        rows = "".join(f"<tr>{row}</tr>" for row in body)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"


def compare(
    models: Mapping[str, Module],
    example,
    evaluate: Callable[[Module], float] | None = None,
    *,
    rounds: int = 20,
) -> Report:
    """Return a `Report` of several networks; the first is what the others are compared to.

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
    """
    times, rows, layers = measure_ms(models, example, rounds=rounds), {}, {}
    for name, model in models.items():
        layers[name] = Structure(model, example).flops_by_layer()
        rows[name] = {
            "parameters": count_parameters(model),
            "nonzero": count_nonzero(model),
            "flops": sum(layers[name].values()),
            "bytes": count_bytes(model),
            "ms": times[name],
        }
        if evaluate is not None:
            rows[name]["accuracy"] = float(evaluate(model))
    return Report(rows, layers)


def _cell(key: str, value, first, is_first: bool) -> str:
    if key == "accuracy":
        return f"{value:.2%}" + ("" if is_first else f" ({100 * (value - first):+.2f})")
    if key == "ms":
        return f"{value:.2f}" + ("" if is_first else f" ({first / value:.1f}x faster)")
    return f"{value:,}" + ("" if is_first or not first else f" ({value / first:.1%})")
