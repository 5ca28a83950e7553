"""The removal itself: a copy of a network with smaller arrays, and the proof that it is right.

By now it is known which channel ids go. So each parameter and buffer drops, along every axis, the
entries that carry one of them, and the layers are told their new sizes. That is short, and easily
wrong, so it is checked each time: the smaller network must compute on the example what the *masked*
one computes, in which the same channels are there and are zero.

Before this: ``structure.py``, which decides what goes. Next: ``sensitivity.py``, which decides how
much.
"""

from __future__ import annotations

import numpy as np

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from ..nn.layers import Linear, _BatchNorm, _Conv2d
from ..nn.module import Module
from ..nn.recorder import working_copy
from .trace import tensors_in

Axes = dict[tuple[str, int], np.ndarray]  # by parameter name and axis: the id of each entry


def stay(ids: np.ndarray, gone: np.ndarray) -> np.ndarray:
    """Return which entries stay, of those that carry these ids."""
    return ~np.isin(ids, gone)


def smaller_copy(
    model: Module, axes: Axes, norms: dict[str, np.ndarray], gone: np.ndarray
) -> Module:
    """Return a copy without the entries whose ids are `gone`.

    Parameters
    ----------
    model : Module
    axes : dict from (parameter name, axis) to array of int
        The id of each entry.
    norms : dict from str to array of int
        The same for each batch norm, by path.
    gone : array of int
    """
    small = working_copy(model, "prune")
    for name, tensor in [*small.named_parameters(), *small.named_buffers()]:
        array = tensor.array
        for axis, stays in _cut_axes(name, array.ndim, axes, gone):
            places = backend.asarray_on(np.flatnonzero(stays), tensor.device)
            array = array.take(places, axis=axis)
        if array is not tensor.array:
            tensor.data, tensor.grad = Tensor(array), None
    _update_options(small, norms, gone)
    return small


def masked_copy(model: Module, axes: Axes, gone: np.ndarray) -> Module:
    """Return a copy in which the entries of parameters whose ids are `gone` are zero."""
    masked = working_copy(model, "prune")
    for name, parameter in masked.named_parameters():
        for axis, stays in _cut_axes(name, parameter.ndim, axes, gone):
            places = backend.asarray_on(np.flatnonzero(~stays), parameter.device)
            parameter.array[(slice(None),) * axis + (places,)] = 0
            parameter.bump_version()
    return masked


def _cut_axes(name: str, ndim: int, axes: Axes, gone: np.ndarray):
    """Yield the axes of a tensor that lose something, and which entries stay there."""
    for axis in range(ndim):
        if (name, axis) in axes:
            stays = stay(axes[name, axis], gone)
            if not stays.all():
                yield axis, stays


def _update_options(model: Module, norms: dict[str, np.ndarray], gone: np.ndarray) -> None:
    """Bring what the layers say about their sizes up to date."""
    for path, module in model.named_modules():
        if isinstance(module, Linear):
            module.out_features, module.in_features = module.weight.shape
        elif isinstance(module, _BatchNorm) and path in norms:
            module.num_features = int(stay(norms[path], gone).sum())
        elif isinstance(module, _Conv2d):
            _update_convolution(module)


def _update_convolution(module: _Conv2d) -> None:
    rows, columns = module.weight.shape[:2]
    if module.transposed:
        module.in_channels, module.out_channels = rows, columns * module.groups
        return
    if 1 < module.groups == module.in_channels:  # depthwise: a group goes with its channel
        module.groups = rows * module.groups // module.out_channels
    module.in_channels, module.out_channels = columns * module.groups, rows


# ---------------------------------------------------------------------------------- is it right?


def check_same(masked: Module, small: Module, example: tuple) -> None:
    """Run both on the example, and refuse a smaller network that computes something else."""
    with autograd.no_grad():
        expected = list(tensors_in(masked.eval()(*example)))
        try:
            actual = list(tensors_in(working_copy(small, "prune").eval()(*example)))
        except Exception as error:
            raise _does_not_run(error) from error
    for y, z in zip(expected, actual):
        y, z = backend.to_numpy(y.array), backend.to_numpy(z.array)
        same = y.shape == z.shape and y.dtype == z.dtype
        if same and y.dtype.kind == "f":
            if np.isnan(y).any():
                raise _computes_nan()
            largest = np.abs(y[np.isfinite(y)]).max(initial=0)
            rounding = min(1e4 * np.finfo(y.dtype).eps, 0.05) * largest
            same = np.allclose(y, z, rtol=0, atol=rounding)
        if not same:
            raise _differs(y, z)


def _does_not_run(error: Exception) -> RuntimeError:
    return RuntimeError(
        message(
            "prune",
            "the smaller network does not run, so it is not returned.",
            expect="a forward that takes its sizes from the tensors",
            actual=str(error).replace("\n", "; "),
            do="write no sizes in forward: x.flatten(1) instead of x.view(-1, 400)",
        )
    )


def _computes_nan() -> ValueError:
    problem = "the network computes NaN on the example, so that nothing could be compared."
    do = "look for the training step that went wrong, or give another example"
    return ValueError(message("prune", problem, expect="finite weights and inputs", do=do))


def _differs(y: np.ndarray, z: np.ndarray) -> RuntimeError:
    same = y.shape == z.shape
    return RuntimeError(
        message(
            "prune",
            "the smaller network computes something else, so it is not returned.",
            expect="what the masked network computes on the example",
            actual=f"a difference of {np.abs(y - z).max():.3g}" if same else f"shape {z.shape}",
            do="is forward random in eval mode, or does it compute with a number of channels?",
        )
    )
