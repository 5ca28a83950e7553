"""Plots of how a network learns: how large its gradients are, and how far each step goes.

Two questions that a loss curve does not answer. Does the gradient reach every layer
(`gradient_flow`)? Are the steps as large as they should be (`update_ratios`)?

Before this: ``plots.py``. Next: ``network_plots.py``; and ``doctor/``, which answers in words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._errors import message
from ..nn.module import Module
from ._figure import SERIES, TRAINING, WRONG, new_figure, to_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# ------------------------------------------------------------------ gradients, layer by layer


def gradient_flow(model: Module | Mapping) -> Figure:
    """Draw how large the gradient of each parameter is, from the first layer to the last.

    Call it after ``loss.backward()``. A bar is the root of the mean square, the tick above it the
    largest entry, both on a logarithmic axis: bars that shrink by a constant factor from layer to
    layer towards the input are a vanishing gradient, bars that grow an exploding one. A parameter
    without a gradient, or with zeros only, is marked.

    Parameters
    ----------
    model : Module, or mapping from str to Tensor or array
        A network whose parameters have ``.grad``; or gradients by name (None: there is none).

    Raises
    ------
    ValueError
        If there are no parameters, or none of them has a gradient.
    """
    gradients = _gradients(model)
    names = list(gradients)
    sizes = {name: _sizes(g) for name, g in gradients.items() if g is not None}
    positive = [rms for rms, _ in sizes.values() if 0 < rms < np.inf]
    floor = min(positive, default=1.0) / 10
    figure = new_figure(max(1.5 + 0.42 * len(names), 5), 4)
    axes = figure.add_subplot()
    labelled = set()
    for i, name in enumerate(names):
        rms, largest = sizes.get(name, (0.0, 0.0))
        if 0 < rms < np.inf:
            is_bias = name.rpartition(".")[2] == "bias"
            colour, label = (SERIES[5], "bias") if is_bias else (TRAINING, "weight")
            axes.bar(i, rms, color=colour, label=None if label in labelled else label)
            axes.plot([i - 0.4, i + 0.4], [largest] * 2, color="black", linewidth=1.2)
            labelled.add(label)
        else:
            trouble = "none" if name not in sizes else "all zero" if rms == 0 else "not finite"
            axes.text(i, floor * 1.3, trouble, rotation=90, color=WRONG, ha="center", va="bottom")
            axes.axvspan(i - 0.5, i + 0.5, color=WRONG, alpha=0.12, linewidth=0)
    axes.set_yscale("log")
    largest = max([size for _, size in sizes.values() if size < np.inf], default=1.0) or 1.0
    axes.set_ylim(floor, largest * 3)
    axes.set_xlim(-0.6, len(names) - 0.4)
    axes.set_xticks(range(len(names)), names, rotation=60, ha="right", rotation_mode="anchor")
    axes.set_ylabel("gradient")
    axes.set_title("gradients: bar, root mean square; line, largest entry", fontsize=10)
    axes.grid(axis="y", alpha=0.3)
    if labelled:
        axes.legend(fontsize=8)
    return figure


def _gradients(model) -> dict[str, np.ndarray | None]:
    if isinstance(model, Module):
        model = {name: parameter.grad for name, parameter in model.named_parameters()}
    if not isinstance(model, Mapping):
        raise TypeError(
            message(
                "gradient_flow",
                "there are no gradients in this.",
                expect="an nn.Module after loss.backward(), or a dict of gradients by name",
                actual=type(model).__name__,
            )
        )
    gradients = {name: None if g is None else to_array(g) for name, g in model.items()}
    if all(g is None for g in gradients.values()):
        raise ValueError(
            message(
                "gradient_flow",
                "no parameter has a gradient.",
                expect="at least one",
                actual=f"{len(gradients)} parameters, all with .grad None",
                do="call loss.backward() first, and this before optimizer.zero_grad()",
            )
        )
    return gradients


def _sizes(gradient: np.ndarray) -> tuple[float, float]:
    """Return root mean square and largest absolute entry."""
    values = np.abs(gradient.astype(np.float64))
    return (float(np.sqrt((values**2).mean())), float(values.max())) if values.size else (0.0, 0.0)


# --------------------------------------------------------------------- the size of the steps


class UpdateRatios:
    """Measures, step by step, by how much each weight changes, relative to its own size.

    In your own loop::

        ratios = plots.UpdateRatios(model)
        for x, y in loader:
            ...
            optimizer.step()
            ratios.record()
        figure = plots.update_ratios(ratios)

    With `training.fit` it is a callback: ``fit(..., callbacks=[ratios])``.

    Parameters
    ----------
    model : Module
        Its weights are watched: parameters with two axes or more. (Biases start near 0, and what
        they change by relative to that says little.)

    Attributes
    ----------
    history : dict from str to list of float
        For each weight and step, the root mean square of the change over that of the weight
        before it; 0 where nothing changed.
    """

    def __init__(self, model: Module):
        if not isinstance(model, Module):
            actual = type(model).__name__
            problem = "this is not a network."
            raise TypeError(message("UpdateRatios", problem, expect="nn.Module", actual=actual))
        self._weights = {name: p for name, p in model.named_parameters() if p.ndim > 1}
        if not self._weights:
            problem = "the network has no weights, parameters with two axes or more."
            raise ValueError(message("UpdateRatios", problem))
        self.history: dict[str, list[float]] = {name: [] for name in self._weights}
        self._before = self._copies()

    def record(self) -> None:
        """Compare the weights with those of the last call; call it after ``optimizer.step()``."""
        now = self._copies()
        for name, before in self._before.items():
            scale = _sizes(before)[0]
            step = _sizes(now[name] - before)[0]
            self.history[name].append(step / scale if scale else float("nan"))
        self._before = now

    def on_batch_end(self, run) -> None:
        self.record()

    def _copies(self) -> dict[str, np.ndarray]:
        return {name: np.array(to_array(p.detach())) for name, p in self._weights.items()}


def update_ratios(ratios: UpdateRatios | Mapping[str, Sequence[float]]) -> Figure:
    """Draw by how much each step changed the weights, relative to their size.

    A rule of thumb (A. Karpathy's): about one thousandth a step. Far below it a layer hardly
    learns; from a hundredth on, what it had learned is overwritten. The band from 1/3000 to 1/300
    is drawn.

    Parameters
    ----------
    ratios : UpdateRatios, or mapping from str to sequence of float
    """
    history = getattr(ratios, "history", ratios)
    if not isinstance(history, Mapping) or not any(len(values) for values in history.values()):
        raise ValueError(
            message(
                "update_ratios",
                "there is no step to draw.",
                expect="an UpdateRatios with records in it, or ratios by name",
                actual=type(ratios).__name__,
                do="call ratios.record() after each optimizer.step()",
            )
        )
    figure = new_figure(7.5, 4)
    axes = figure.add_subplot()
    axes.axhspan(1 / 3000, 1 / 300, color="#2a9d55", alpha=0.15, label="rule of thumb: 1/1000")
    styles = ["-", "--", ":", "-."]
    for i, (name, values) in enumerate(history.items()):
        values = np.array(values, dtype=np.float64)
        values[~(values > 0)] = np.nan  # no logarithm: a gap
        axes.plot(
            np.arange(1, len(values) + 1), values, label=name, linewidth=1.3,
            color=SERIES[i % len(SERIES)], linestyle=styles[i // len(SERIES) % 4],
            marker="o" if len(values) == 1 else None,
        )  # fmt: skip
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("change / weight")
    axes.set_title("how far a step moves each weight, relative to its size", fontsize=10)
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure
