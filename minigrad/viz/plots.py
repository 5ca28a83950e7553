"""Plots of training and of what a network has learned.

Every function draws with matplotlib, returns the figure, and never shows or saves it: that is
the caller's choice. matplotlib is an extra, ``pip install '.[examples]'``, imported when used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import backend
from .._errors import message

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One colour for each role, readable without colour vision, on every figure.
TRAINING, VALIDATION, WRONG = "#1b6ca8", "#d9822b", "#b5322a"


def _figure(*args, **kwargs):
    """Return a figure that belongs to no window, so that scripts without a screen can draw."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            message("viz", "plots need matplotlib.", do="pip install '.[examples]'")
        ) from error
    figure = Figure(*args, layout="constrained", **kwargs)
    FigureCanvasAgg(figure)
    return figure


def _array(values) -> np.ndarray:
    array = getattr(values, "array", values)
    return backend.to_numpy(array) if backend.is_array(array) else np.asarray(array)


def training_curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw loss and metrics against the epoch, training beside validation.

    Parameters
    ----------
    history : mapping from str to sequence of float
        One number an epoch, under ``loss``, ``accuracy``, ...; under ``val_loss``, ... the same
        on validation data. What `training.fit` returns.
    """
    names = [name for name in history if not name.startswith("val_") and len(history[name])]
    if not names:
        raise ValueError(message("training_curves", "the history is empty."))
    figure = _figure(figsize=(4.5 * len(names), 3.4))
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
    return figure


def confusion_matrix(labels, predictions, classes: Sequence[str] | None = None) -> Figure:
    """Draw how often each class was taken for each.

    Parameters
    ----------
    labels, predictions : Tensor or array of int, shape (N,)
        The true and the predicted classes.
    classes : sequence of str, optional
        Names of the classes; their numbers by default.
    """
    labels, predictions = _array(labels), _array(predictions)
    n = len(classes) if classes else int(max(labels.max(), predictions.max())) + 1
    classes = list(classes) if classes else [str(i) for i in range(n)]
    counts = np.zeros((n, n), dtype=np.int64)
    np.add.at(counts, (labels, predictions), 1)

    figure = _figure(figsize=(1.6 + 0.5 * n, 1.2 + 0.5 * n))
    axes = figure.add_subplot()
    mistakes = counts.astype(float)
    np.fill_diagonal(mistakes, np.nan)  # the right answers would drown the mistakes
    axes.set_facecolor("#d9d9d9")
    axes.imshow(mistakes, cmap="Oranges", vmin=0)
    for i in range(n):
        for j in range(n):
            if counts[i, j]:
                weight = "bold" if i == j else "normal"
                dark = i != j and counts[i, j] > 0.6 * np.nanmax(mistakes)
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
    images, labels, logits = _array(images), _array(labels), _array(logits).astype(np.float64)
    exponentials = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    predictions = probabilities.argmax(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    wrong = wrong[np.argsort(-probabilities[wrong, predictions[wrong]], kind="stable")][:count]
    names = classes or [str(i) for i in range(logits.shape[1])]

    columns = 8
    rows = max(1, -(-len(wrong) // columns))
    figure = _figure(figsize=(1.35 * columns, 1.75 * rows))
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
    weight = _array(weight)
    if weight.ndim == 2:
        side = round(weight.shape[1] ** 0.5)
        if side * side != weight.shape[1]:
            raise ValueError(
                message("filters", "the rows are no squares.", actual=tuple(weight.shape))
            )
        weight = weight.reshape(len(weight), 1, side, side)
    total, images = len(weight), weight[:count].mean(axis=1)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + 1, images.shape[2] + 1
    # One picture with gaps between the filters: axes for each would take seconds to lay out.
    mosaic = np.full((rows * height - 1, columns * width - 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        mosaic[top : top + height - 1, left : left + width - 1] = image

    figure = _figure(figsize=(1.1 * columns + 1.2, 1.1 * rows + 0.5))
    axes = figure.add_subplot()
    largest = np.abs(images).max()
    drawn = axes.imshow(mosaic, cmap="RdBu_r", vmin=-largest, vmax=largest)
    axes.set_axis_off()
    shown = f"the first {len(images)} of {total}" if len(images) < total else f"all {total}"
    axes.set_title(f"filters of the first layer: {shown}", fontsize=10)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="weight")
    return figure
