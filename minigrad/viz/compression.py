"""Plots of compression: what a network lost, where, and what that did to it.

Before this: ``_figure.py``, and ``minigrad/compress/`` for what is drawn here. Next: nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._errors import message
from ..nn.module import Module
from ._figure import SERIES, TRAINING, VALIDATION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..compress.report import Report
    from ..compress.sensitivity import Sensitivity
    from ..compress.strategies import Step

BEFORE, AFTER = TRAINING, VALIDATION


def accuracy_against_sparsity(
    curves: Iterable[Step] | Mapping[str, Iterable[Step]], baseline: float | None = None
) -> Figure:
    """Draw the accuracy after each round of a strategy against what was removed by then.

    The axis stretches towards its end, where things happen: from 90 to 99 % removed is as far
    as from 0 to 90 %.

    Parameters
    ----------
    curves : iterable of Step, or dict from str to these
        What a strategy of `minigrad.compress` yields, with ``evaluate=``; several by name.
    baseline : float, optional
        The accuracy of the whole network: a dashed line.
    """
    from ..compress.strategies import Step

    named = curves if isinstance(curves, Mapping) else {"": curves}
    named = {name: [s] if isinstance(s, Step) else list(s) for name, s in named.items()}
    if not any(named.values()):
        raise ValueError(message("accuracy_against_sparsity", "there are no steps to draw."))
    strange = [s for steps in named.values() for s in steps if not isinstance(s, Step)]
    if strange:
        problem, expect = "these are no steps.", "what a strategy yields, or a dict of such by name"
        actual = type(strange[0]).__name__
        raise TypeError(message("accuracy_against_sparsity", problem, expect=expect, actual=actual))
    if any(step.score is None for steps in named.values() for step in steps):
        problem, do = "the steps have no score.", "give the strategy evaluate="
        raise ValueError(message("accuracy_against_sparsity", problem, do=do))
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    for i, (name, steps) in enumerate(named.items()):
        left = [step.left for step in steps]
        scores = [100 * step.score for step in steps]
        axes.plot(left, scores, "o-", color=SERIES[i % len(SERIES)], label=name, markersize=5)
    if baseline is not None:
        axes.axhline(100 * baseline, color="#555555", linestyle="--", linewidth=1)
        axes.annotate(
            "whole network", (1.0, 100 * baseline), xycoords=("axes fraction", "data"),
            xytext=(-4, 3), textcoords="offset points", ha="right", fontsize=8, color="#555555",
        )  # fmt: skip
    _removed_axis(axes, min(step.left for steps in named.values() for step in steps))
    axes.set_ylabel("accuracy (%)")
    axes.grid(alpha=0.3)
    if any(named):
        axes.legend()
    return figure


def _removed_axis(axes, least: float) -> None:
    """Let the axis run from everything to the least that is left, on a logarithmic scale."""
    axes.set_xscale("log")
    axes.set_xlim(1.1, max(0.8 * least, 1e-5))
    ticks = [
        left for left in (1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001) if left >= 0.99 * least
    ]
    axes.set_xticks(ticks, [f"{100 * (1 - left):.4g}" for left in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("removed (%)")


def layer_bars(report: Report, what: str = "coded") -> Figure:
    """Draw a bar for each layer and each network of a report, on a logarithmic scale.

    Parameters
    ----------
    report : Report
        From `minigrad.compress.compare`.
    what : {"coded", "nonzero", "parameters", "flops"}
        Bytes in the coded file, weights that are not zero, weights, or operations of one sample.
    """
    titles = {
        "coded": "bytes in the coded file",
        "nonzero": "weights that are not zero",
        "parameters": "weights",
        "flops": "floating-point operations, one sample",
    }
    if what not in titles:
        problem = "there is no such quantity."
        raise ValueError(message("layer_bars", problem, expect=list(titles), actual=repr(what)))
    if what != "flops" and not report.tensors:
        problem = "the report does not say what each tensor takes."
        raise ValueError(message("layer_bars", problem, do="make it with compare(..., files=True)"))
    values = {name: _by_layer(report, name, what) for name in report.rows}
    layers = list(dict.fromkeys(layer for found in values.values() for layer in found))
    figure = new_figure(max(4.8, 1.6 + 0.5 * len(layers) * len(values)), 3.6)
    axes = figure.add_subplot()
    width = 0.8 / len(values)
    colours = [BEFORE, AFTER] if len(values) == 2 else SERIES
    for i, (name, found) in enumerate(values.items()):
        places = np.arange(len(layers)) + (i - (len(values) - 1) / 2) * width
        heights = [found.get(layer, 0) for layer in layers]
        bars = axes.bar(places, heights, width, label=name, color=colours[i % len(colours)])
        axes.bar_label(bars, [_short(height) for height in heights], fontsize=7, padding=1)
    axes.set_yscale("log")
    axes.margins(y=0.12)
    axes.set_xticks(range(len(layers)), layers)
    axes.set_xlabel("layer")
    axes.set_ylabel(titles[what])
    axes.legend()
    return figure


def _by_layer(report: Report, name: str, what: str) -> dict[str, int]:
    """Return the numbers of one network by layer: those of its weights, without biases."""
    if what == "flops":
        return report.layers[name]
    attribute = {"coded": "nbytes", "nonzero": "nonzero", "parameters": "numel"}[what]
    return {
        tensor.name.removesuffix("_q").removesuffix(".weight"): getattr(tensor, attribute)
        for tensor in report.tensors[name]
        if len(tensor.shape) > 1
    }


def _short(number: float) -> str:
    """Return a number in few characters: 266610 is 267k."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return f"{number:g}"


def weight_histograms(
    before: Module, after: Module, names: Sequence[str] | None = None, bins: int = 80
) -> Figure:
    """Draw the distribution of each layer's weights before and after; zeros are left out.

    Pruning cuts a gap around zero, sharing leaves a few spikes, rounding a comb.

    Parameters
    ----------
    before, after : Module
        The same network, or one that lost channels.
    names : sequence of str, optional
        Parameters such as ``"0.weight"``; by default all with two axes or more.
    bins : int
        How many bars.
    """
    from ..compress.stored import plain_copy

    weights = [dict(plain_copy(model).named_parameters()) for model in (before, after)]
    names = [names] if isinstance(names, str) else names
    names = names or [name for name, p in weights[0].items() if p.ndim > 1]
    for name in names:
        if not all(name in found for found in weights):
            problem, expect = f"there is no {name!r} in both networks.", list(weights[0])
            raise ValueError(message("weight_histograms", problem, expect=expect))
    figure = new_figure(8.0, 0.5 + 1.9 * len(names))
    for row, name in enumerate(names):
        values = [found[name].detach().cpu().numpy().ravel() for found in weights]
        reach = max(np.abs(v).max(initial=0.0) for v in values) or 1.0
        for column, (title, colour) in enumerate((("before", BEFORE), ("after", AFTER))):
            v = values[column]
            axes = figure.add_subplot(len(names), 2, 2 * row + column + 1)
            axes.hist(v[v != 0], bins, range=(-reach, reach), color=colour)
            axes.set_yscale("symlog", linthresh=10)
            zeros = f", {(v == 0).mean():.1%} zeros" if (v == 0).any() else ""
            axes.set_title(f"{name} {title}: {np.count_nonzero(v):,} weights{zeros}", fontsize=9)
            axes.tick_params(labelsize=7)
    return figure


def sensitivity_curves(sensitivity: Sensitivity) -> Figure:
    """Draw a line for each layer: the accuracy against what this layer alone loses.

    Parameters
    ----------
    sensitivity : Sensitivity
        From `minigrad.compress.scan` or `scan_masks`.
    """
    figure = new_figure(6.4, 4.0)
    axes = figure.add_subplot()
    for i, (name, results) in enumerate(sensitivity.results.items()):
        left = [1.0, *[1.0 - share for share in sensitivity.amounts]]
        scores = [100 * score for score in (sensitivity.baseline, *results)]
        axes.plot(left, scores, "o-", label=name, color=SERIES[i % len(SERIES)], markersize=4)
    _removed_axis(axes, 1.0 - sensitivity.amounts[-1])
    axes.set_xlabel(f"{sensitivity.unit} removed from this layer alone (%)")
    axes.set_ylabel("accuracy without training (%)")
    axes.legend(title="layer")
    axes.grid(alpha=0.3)
    return figure
