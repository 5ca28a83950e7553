"""Plots of training and of what a network has learned.

Every function draws with matplotlib, returns the figure, and never shows or saves it: that is
the caller's choice (``figure.savefig(path)``; a notebook shows the figure by itself). matplotlib
is an extra, ``pip install '.[examples]'``, imported when used.

Before this: ``training/loop.py``, whose history is drawn here. Next: ``gradient_plots.py``
and ``network_plots.py``, which look inside a network; their functions have their names here, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._errors import message
from ..nn.module import Module
from ._figure import TRAINING, VALIDATION, WRONG, mosaic, new_figure, to_array
from .gradient_plots import UpdateRatios, gradient_flow, update_ratios
from .network_plots import activation_maps, decision_boundary

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "UpdateRatios",
    "activation_maps",
    "confusion_matrix",
    "decision_boundary",
    "filters",
    "gradient_flow",
    "training_curves",
    "update_ratios",
    "worst_mistakes",
]

# Beginners take a validation accuracy above the training accuracy for a bug. It is none.
WHY_VALIDATION_LEADS = (
    "training: the mean over the epoch, while the weights still change, dropout and augmentation "
    "on;\nvalidation: the weights at the epoch's end, without them. So validation may be ahead."
)


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and metrics against the epoch, training beside validation.

    Parameters
    ----------
    history : mapping from str to sequence of float
        One number an epoch, under ``loss``, ``accuracy``, ...; under ``val_loss``, ... the same
        on validation data. What `training.fit` returns.

    Notes
    -----
    Validation can be *better* than training, early on above all, and nothing is wrong: the
    training numbers are means over the epoch, over batches that an older and worse network saw,
    with dropout and augmentation making it harder; validation sees the network as it is at the
    end of the epoch. The figure says so where both are drawn.
    """
    if not isinstance(history, Mapping):
        problem, expect = "this is no history.", "a dict such as {'loss': [...], 'val_loss': [...]}"
        actual = type(history).__name__
        raise TypeError(message("training_curves", problem, expect=expect, actual=actual))
    names = [name for name in history if not name.startswith("val_") and len(history[name])]
    if not names:
        raise ValueError(
            message(
                "training_curves",
                "the history is empty.",
                expect="a dict such as {'loss': [...], 'val_loss': [...]}, with numbers in it",
                actual=dict(history),
            )
        )
    figure = new_figure(max(4.5 * len(names), 6.4), 3.4)
    for i, name in enumerate(names):
        axes = figure.add_subplot(1, len(names), i + 1)
        for key, label, colour in (
            (name, "training", TRAINING),
            (f"val_{name}", "validation", VALIDATION),
        ):
            if key in history:
                epochs = np.arange(1, len(history[key]) + 1)
                axes.plot(epochs, history[key], "o-", label=label, color=colour, markersize=4)
        axes.set_xlabel("epoch")
        axes.set_title(name)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    if any(f"val_{name}" in history for name in names):
        figure.supxlabel(WHY_VALIDATION_LEADS, fontsize=7, color="#555555")
    return figure


def confusion_matrix(labels, predictions, classes: Sequence[str] | None = None) -> Figure:
    """Draw how often each class was taken for each.

    Parameters
    ----------
    labels, predictions : Tensor or array of int, shape (N,)
        The true and the predicted classes.
    classes : sequence of str, optional
        Names of the classes; their numbers by default.

    Raises
    ------
    ValueError, TypeError, IndexError
        If there are no labels, if they do not pair up, or if one is no class.
    """
    labels, predictions = to_array(labels), to_array(predictions)
    _check_labels(labels, predictions, classes)
    n = len(classes) if classes else int(max(labels.max(), predictions.max())) + 1
    classes = list(classes) if classes else [str(i) for i in range(n)]
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (labels, predictions), 1)

    figure = new_figure(max(1.6 + 0.5 * n, 4.5), 1.2 + 0.5 * n)
    axes = figure.add_subplot()
    mistakes = counts.astype(float)
    np.fill_diagonal(mistakes, np.nan)  # the right answers would drown the mistakes
    most = np.nanmax(mistakes) if n > 1 else 0.0
    axes.set_facecolor("#d9d9d9")
    axes.imshow(mistakes, cmap="Oranges", vmin=0, vmax=max(most, 1))
    for i in range(n):
        for j in range(n):
            if counts[i, j]:
                weight = "bold" if i == j else "normal"
                dark = i != j and counts[i, j] > 0.6 * most
                axes.text(
                    j, i, counts[i, j], ha="center", va="center", weight=weight, fontsize=8,
                    color="white" if dark else "black",
                )  # fmt: skip
    axes.set_xticks(range(n), classes)
    axes.set_yticks(range(n), classes)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    right = int(np.trace(counts))
    axes.set_title(f"{right} of {len(labels)} right (grey); the more mistakes, the darker")
    return figure


def _check_labels(labels: np.ndarray, predictions: np.ndarray, classes) -> None:
    if labels.shape != predictions.shape or labels.ndim != 1 or not labels.size:
        problem = "labels and predictions do not pair up."
        raise ValueError(
            message(
                "confusion_matrix",
                problem,
                expect="two of one shape (N,), N from 1 on",
                actual=f"{labels.shape} and {predictions.shape}",
                do="for logits (N, C): logits.argmax(1)",
            )
        )
    for what, values in (("labels", labels), ("predictions", predictions)):
        if values.dtype.kind not in "iu":
            actual = f"{what} of {values.dtype}"
            problem = "classes are whole numbers."
            raise TypeError(message("confusion_matrix", problem, actual=actual))
        most = len(classes) if classes else np.inf
        if not (values.min() >= 0 and values.max() < most):
            problem = f"one of the {what} is no class."
            expect = f"0 to {most - 1}" if classes else "0 or more"
            actual = f"{values.min()} to {values.max()}"
            raise IndexError(message("confusion_matrix", problem, expect=expect, actual=actual))


def worst_mistakes(images, labels, logits, count: int = 16, classes=None) -> Figure:
    """Draw the images that the network got wrong with the most confidence.

    Parameters
    ----------
    images : Tensor or array, shape (N, 1, H, W) or (N, H, W)
    labels : Tensor or array of int, shape (N,)
    logits : Tensor or array, shape (N, C)
    count : int
        How many to draw, the worst first.
    classes : sequence of str, optional
    """
    images, labels = to_array(images), to_array(labels)
    logits = to_array(logits).astype(np.float64)
    if logits.ndim != 2 or not len(images) == len(labels) == len(logits):
        raise ValueError(
            message(
                "worst_mistakes",
                "images, labels and logits do not pair up.",
                expect="images (N, H, W), labels (N,), logits (N, C)",
                actual=f"{images.shape}, {labels.shape}, {logits.shape}",
            )
        )
    if isinstance(count, bool) or not (hasattr(count, "__index__") and count >= 1):
        problem = "count is none."
        raise ValueError(message("worst_mistakes", problem, expect="1 or more", actual=repr(count)))
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, predictions[wrong]], kind="stable")][:count]
    names = classes or [str(i) for i in range(logits.shape[1])]

    columns = 8
    rows = max(1, -(-len(wrong) // columns))
    figure = new_figure(1.35 * columns, 1.75 * rows)
    figure.suptitle("predicted (confidence), and what it is", fontsize=9)
    if not len(wrong):
        figure.text(0.5, 0.5, "no mistakes", ha="center", va="center")
    for place, i in enumerate(wrong):
        axes = figure.add_subplot(rows, columns, place + 1)
        axes.imshow(images[i].reshape(images.shape[-2:]), cmap="gray_r")
        confidence = probabilities[i, predictions[i]]
        axes.set_title(
            f"{names[predictions[i]]} ({confidence:.0%})\nis {names[labels[i]]}",
            fontsize=8, color=WRONG,
        )  # fmt: skip
        axes.set_axis_off()
    return figure


def filters(weight, count: int = 64, columns: int = 8) -> Figure:
    """Draw the filters of a convolution, or the rows of a linear layer that fit a square.

    Parameters
    ----------
    weight : Tensor or array, shape (O, C, KH, KW) or (O, S * S)
        Of several input channels the mean is drawn.
    count : int
        How many to draw at most, the first ones.
    columns : int
        How many to draw in a row.
    """
    if isinstance(weight, Module):
        problem, actual = "a layer has several tensors.", type(weight).__name__
        do = "give the weight to draw, such as model[0].weight"
        raise TypeError(message("filters", problem, expect="a weight", actual=actual, do=do))
    weight = to_array(weight)
    if weight.ndim == 2:
        side = round(weight.shape[1] ** 0.5)
        if side * side != weight.shape[1]:
            raise ValueError(
                message(
                    "filters",
                    "the rows are no square images.",
                    expect="a weight (O, S * S), or (O, C, KH, KW) of a convolution",
                    actual=tuple(weight.shape),
                )
            )
        weight = weight.reshape(len(weight), 1, side, side)
    if weight.ndim != 4:
        expect = "a weight (O, C, KH, KW) of a convolution, or (O, S * S)"
        problem = "there are no images in a weight of this shape."
        raise ValueError(message("filters", problem, expect=expect, actual=tuple(weight.shape)))
    total, images = len(weight), weight[:count].mean(axis=1)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    figure = new_figure(max(1.1 * columns + 1.2, 4), 1.1 * rows + 0.5)
    axes = figure.add_subplot()
    largest = np.abs(images).max()
    drawn = axes.imshow(mosaic(images, columns), cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes.set_axis_off()
    shown = f"the first {len(images)} of {total}" if len(images) < total else f"all {total}"
    axes.set_title(f"filters: {shown}", fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="weight")
    return figure
