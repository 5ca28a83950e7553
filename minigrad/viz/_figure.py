"""What all plots share: a figure without a window, colours, and numbers out of tensors.

Before this: nothing. Next: ``plots.py``.
"""

from __future__ import annotations

import functools
import io
from typing import TYPE_CHECKING

import numpy as np

from .. import backend
from .._errors import message

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# One colour for each role, readable without colour vision, on every figure.
TRAINING, VALIDATION, WRONG = "#1b6ca8", "#d9822b", "#b5322a"
# For classes and layers: Okabe and Ito's palette without its yellow, which is too light for lines.
SERIES = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#555555", "#7b3294"]


def new_figure(width: float, height: float) -> Figure:
    """Return a figure that belongs to no window, so that scripts without a screen can draw.

    Parameters
    ----------
    width, height : float
        In inches.

    Raises
    ------
    ImportError
        Without matplotlib; it says how to get it.
    """
    figure_class, canvas_class = _classes()
    figure = figure_class(figsize=(width, height), layout="constrained")
    canvas_class(figure)
    return figure


@functools.cache
def _classes() -> tuple[type, type]:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError(
            message("viz", "plots need matplotlib.", do="pip install '.[examples]'")
        ) from error

    class Picture(Figure):
        """A figure that a notebook shows where it is a cell's result; pyplot is not needed."""

        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png", dpi=100)
            return file.getvalue()

    return Picture, FigureCanvasAgg


def to_array(values) -> np.ndarray:
    """Return the numbers in a tensor, an array of any device, or nested lists."""
    array = getattr(values, "array", values)
    return backend.to_numpy(array) if backend.is_array(array) else np.asarray(array)


def mosaic(images: np.ndarray, columns: int) -> np.ndarray:
    """Return many images as one, row by row, with gaps of one pixel (NaN) between them.

    Axes for each image would take matplotlib seconds to lay out.

    Parameters
    ----------
    images : ndarray, shape (N, H, W)
    columns : int
        How many stand in a row.
    """
    images = images.astype(np.float64)
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    height, width = images.shape[1] + 1, images.shape[2] + 1
    result = np.full((rows * height - 1, columns * width - 1), np.nan)
    for i, image in enumerate(images):
        top, left = i // columns * height, i % columns * width
        result[top : top + height - 1, left : left + width - 1] = image
    return result
