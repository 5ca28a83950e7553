"""Plots of what a network computes: what its layers make of an image, and where its borders lie.

Before this: ``plots.py``, ``gradient_plots.py``. Next: ``nn/summary.py``, which says in words what
the layers return.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ._figure import SERIES, WRONG, mosaic, new_figure, to_array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# ------------------------------------------------------------------------- what the layers see


def activation_maps(
    model: Module,
    image,
    layers: Sequence[str] | None = None,
    *,
    count: int = 16,
    columns: int = 16,
) -> Figure:
    """Draw what the layers of a network make of one image: a row of small pictures for each.

    The model runs once in evaluation mode, without recording; its mode and hooks are as before
    afterwards. Within a layer the brightness of all pictures is comparable.

    Parameters
    ----------
    model : Module
    image : Tensor or array, shape (C, H, W) or (1, C, H, W)
        As the model wants it: normalised, for one.
    layers : sequence of str, optional
        Paths such as ``["0", "features.3"]``; by default every layer without sub-modules that
        returns images.
    count : int
        How many channels of a layer to draw at most, the first ones.
    columns : int
        How many to draw in a row.

    Raises
    ------
    ValueError
        If `image` is not one image, if there is no such layer, or if none returns images.
    """
    x = _one_image(model, image)
    wanted = _layers_to_watch(model, layers)
    maps: dict[str, np.ndarray] = {}

    def note(path: str) -> Callable:
        def hook(module, args, output):
            if isinstance(output, Tensor) and output.ndim == 4 and path not in maps:
                maps[path] = to_array(output.detach())[0]

        return hook

    handles = [module.register_forward_hook(note(path)) for path, module in wanted.items()]
    try:
        with _evaluating(model):
            model(x)
    finally:
        for handle in handles:
            handle.remove()
    without = [path for path in layers or () if path not in maps]
    if without or not maps:
        raise ValueError(
            message(
                "activation_maps",
                f"{', '.join(map(repr, without)) or 'no layer'} returned no images.",
                expect="layers that are called and return (N, C, H, W)",
                actual=f"images come from: {', '.join(maps) or 'none'}",
            )
        )
    return _draw_maps(to_array(x)[0], maps, dict(model.named_modules()), count, columns)


def _one_image(model: Module, image) -> Tensor:
    if not isinstance(model, Module):
        actual = type(model).__name__
        problem = "the first argument is not a network."
        raise TypeError(message("activation_maps", problem, expect="nn.Module", actual=actual))
    like = next(iter(model.parameters()), None)
    array = to_array(image)
    if array.ndim == 3:
        array = array[None]
    if array.ndim != 4 or len(array) != 1:
        raise ValueError(
            message(
                "activation_maps",
                "this is not one image.",
                expect="shape (C, H, W) or (1, C, H, W)",
                actual=array.shape,
                do="images[0] takes the first of a batch; image[None] adds the axis of channels",
            )
        )
    dtype = backend.get_default_dtype() if like is None else like.dtype
    x = Tensor(array.astype(dtype))
    return x if like is None else x.to(like.device)


def _layers_to_watch(model: Module, layers: Sequence[str] | None) -> dict[str, Module]:
    if layers is not None:
        return {path: model.get_submodule(path) for path in layers}
    return {
        path: module
        for path, module in model.named_modules()
        if next(module.children(), None) is None
    }


def _draw_maps(image, maps: dict, modules: dict, count: int, columns: int) -> Figure:
    shown = {path: mosaic(images[:count], columns) for path, images in maps.items()}
    # Heights such that all pictures of all layers are drawn equally wide.
    heights = [1.0] + [picture.shape[0] / picture.shape[1] * columns for picture in shown.values()]
    widths = [min(count, columns, len(images)) / columns for images in maps.values()]
    heights = [heights[0], *[h * w for h, w in zip(heights[1:], widths)]]
    size = 0.62
    figure = new_figure(size * columns + 0.4, sum(size * h + 0.3 for h in heights) + size)
    grid = figure.add_gridspec(len(heights), 1, height_ratios=[max(h, 0.5) + 0.3 for h in heights])
    axes = figure.add_subplot(grid[0])
    axes.imshow(image[0] if len(image) != 3 else _as_colours(image), cmap="gray_r", aspect="equal")
    _title(axes, "the image")
    for place, (path, picture) in enumerate(shown.items()):
        axes = figure.add_subplot(grid[place + 1])
        axes.imshow(_framed(picture, widths[place]), cmap="viridis")
        total = len(maps[path])
        few = f", the first {count} of {total} channels" if count < total else ""
        size_of = " x ".join(map(str, maps[path].shape[1:]))
        _title(axes, f"{path or 'output'}: {type(modules[path]).__name__}, {size_of}{few}")
    return figure


def _as_colours(image: np.ndarray) -> np.ndarray:
    low, high = image.min(), image.max()
    return ((image - low) / ((high - low) or 1)).transpose(1, 2, 0)


def _framed(picture: np.ndarray, width: float) -> np.ndarray:
    """Fill the row up with nothing, so that pictures of one size are drawn in one size."""
    missing = round(picture.shape[1] / width) - picture.shape[1]
    return np.pad(picture, ((0, 0), (0, missing)), constant_values=np.nan)


def _title(axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=8)
    axes.set_anchor("W")
    axes.set_axis_off()


@contextlib.contextmanager
def _evaluating(model) -> Iterator[None]:
    """Evaluation mode without recording; afterwards every module has the mode it had."""
    modules = list(model.modules()) if isinstance(model, Module) else []
    before = [module.training for module in modules]
    if modules:
        model.eval()
    try:
        with autograd.no_grad():
            yield
    finally:
        for module, mode in zip(modules, before):
            module.training = mode


# ---------------------------------------------------------------------- borders in the plane


def decision_boundary(
    model: Callable[[Tensor], Tensor],
    points,
    labels,
    *,
    resolution: int = 200,
    margin: float = 0.15,
    classes: Sequence[str] | None = None,
) -> Figure:
    """Draw which class a network gives to each point of the plane, and the data.

    The paler the colour, the less sure the network is; a black line is where two classes are
    equally likely. Points that lie on the wrong side have a red rim.

    Parameters
    ----------
    model : Module or callable
        From points (N, 2) to logits or probabilities (N, C), C from 2 on; or to one number a point,
        (N, 1) or (N,), for two classes: a logit or, if all numbers lie between 0 and 1, a
        probability of class 1. A Module runs in evaluation mode, without recording.
    points : Tensor or array, shape (N, 2)
    labels : Tensor or array of int, shape (N,) or (N, 1)
    resolution : int
        How many places to ask along each axis.
    margin : float
        How much to show around the points, as a share of their extent.
    classes : sequence of str, optional
        Names of the classes.

    Raises
    ------
    ValueError
        If points, labels or the model's outputs have other shapes.
    """
    points, labels = _toy_data(points, labels)
    if not resolution >= 2:
        expect = "a resolution from 2 on"
        problem = "too few places to ask."
        raise ValueError(message("decision_boundary", problem, expect=expect, actual=resolution))
    low, high = points.min(axis=0), points.max(axis=0)
    border = margin * np.where(high > low, high - low, 1)
    xs, ys = [
        np.linspace(a, b, resolution) for a, b in zip(low - border, high + border, strict=True)
    ]
    grid = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    # One call for both, so that what is a probability is decided once.
    probabilities = _probabilities(model, np.concatenate([grid, points]))
    count = probabilities.shape[1]
    if labels.max() >= count:
        problem, expect = "a label is none of the model's classes.", f"0 to {count - 1}"
        raise IndexError(
            message("decision_boundary", problem, expect=expect, actual=int(labels.max()))
        )
    on_grid = probabilities[: len(grid)].reshape(resolution, resolution, count)
    guesses = probabilities[len(grid) :].argmax(axis=1)
    names = list(classes) if classes else [f"class {i}" for i in range(count)]

    figure = new_figure(6, 5)
    axes = figure.add_subplot()
    axes.imshow(
        _shades(on_grid), extent=(xs[0], xs[-1], ys[0], ys[-1]), origin="lower", aspect="auto",
        interpolation="bilinear",
    )  # fmt: skip
    for i in range(count):
        lead = on_grid[..., i] - np.delete(on_grid, i, axis=-1).max(axis=-1)
        if lead.min() < 0 < lead.max():
            axes.contour(xs, ys, lead, levels=[0], colors="black", linewidths=0.8)
    for i in range(count):
        chosen = labels == i
        rims = np.where(guesses[chosen] == i, "white", WRONG)
        axes.scatter(
            *points[chosen].T, s=24, color=SERIES[i % len(SERIES)], edgecolors=rims.tolist(),
            linewidths=0.8 + 0.6 * (rims != "white"), label=names[i],
        )  # fmt: skip
    right = int((guesses == labels).sum())
    axes.set_title(f"{right} of {len(labels)} right; wrong ones have a red rim", fontsize=10)
    axes.legend(loc="best", fontsize=8)
    return figure


def _toy_data(points, labels) -> tuple[np.ndarray, np.ndarray]:
    points, labels = to_array(points), to_array(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    fits = points.ndim == 2 and points.shape[1] == 2 and labels.shape == points.shape[:1]
    if not fits or not len(points):
        raise ValueError(
            message(
                "decision_boundary",
                "these are not points in the plane and their labels.",
                expect="points (N, 2) and labels (N,), N from 1 on",
                actual=f"{points.shape} and {labels.shape}",
            )
        )
    whole = labels.astype(np.int64)
    if (whole != labels).any() or whole.min() < 0:
        problem = "labels are whole numbers from 0 on."
        actual = f"{labels.min()} to {labels.max()}, {labels.dtype}"
        raise ValueError(message("decision_boundary", problem, actual=actual))
    return points.astype(np.float64), whole


def _probabilities(model, points: np.ndarray) -> np.ndarray:
    """Return one row of class probabilities for each point."""
    parameters = model.parameters() if isinstance(model, Module) else ()
    like = next(iter(parameters), None)
    x = Tensor(points.astype(backend.get_default_dtype() if like is None else like.dtype))
    x = x if like is None else x.to(like.device)
    with _evaluating(model):
        y = to_array(model(x)).astype(np.float64)
    if y.ndim == 1 and len(y) == len(points):
        y = y[:, None]
    if y.ndim != 2 or len(y) != len(points):
        raise ValueError(
            message(
                "decision_boundary",
                "the model's output is not one row for each point.",
                expect=f"shape {(len(points), 'C')}, (N, 1) or (N,)",
                actual=y.shape,
            )
        )
    between = bool(((y >= 0) & (y <= 1)).all())
    if y.shape[1] == 1:
        p = y if between else 1 / (1 + np.exp(-np.clip(y, -500, 500)))
        return np.concatenate([1 - p, p], axis=1)
    if between and np.allclose(y.sum(axis=1), 1, atol=1e-3):
        return y
    e = np.exp(y - y.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _shades(probabilities: np.ndarray) -> np.ndarray:
    """Return a colour for each place: that of the likeliest class, paler where it is unsure."""
    from matplotlib.colors import to_rgb

    count = probabilities.shape[-1]
    colours = np.array([to_rgb(SERIES[i % len(SERIES)]) for i in range(count)])
    best = probabilities.argmax(axis=-1)
    sure = (probabilities.max(axis=-1) - 1 / count) / (1 - 1 / count)
    strength = (0.08 + 0.47 * sure)[..., None]
    return 1 - strength * (1 - colours[best])
