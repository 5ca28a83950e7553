"""Quantization: fewer bits for each weight, and arithmetic with integers.

A weight w becomes a small integer q and a scale s that many weights have in common::

    q = round(w / s),    w' = s q                        symmetric
    q = round(w / s) + z,    w' = s (q - z)              affine, with a zero point z

The number of weights stays, the bits of each shrink: 8 instead of 32, or as few as 2. Rounding
costs accuracy, and training on wins it back: `quantization_aware` rounds in every forward, while
the optimizer moves the weights behind (Notes of `FakeQuantize`: how a gradient passes a stair).

Before this: ``csr.py``. Next: ``int8.py``, which computes with the integers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..autograd import Function
from ..nn.module import Module
from ._recompute import Recompute, check_free, remove_all
from ._select import check_bits, check_finite, for_each, select

__all__ = [
    "FakeQuantize",
    "Quantized",
    "fake_quantize",
    "finish_quantization",
    "quantization_aware",
    "quantize_tensor",
    "quantize_weights",
]

# ------------------------------------------------------------------------- numbers to integers


@dataclass
class Quantized:
    """Integers, and what they stand for: ``scale * (q - zero_point)``.

    Attributes
    ----------
    q : numpy.ndarray of int8 (symmetric) or uint8 (affine)
    scale : numpy.ndarray of the dtype of the weights
        One number, or one for each channel; broadcasts against q.
    zero_point : numpy.ndarray of int32
        Which q stands for 0; zeros for symmetric. Of the shape of `scale`.
    bits : int
    """

    q: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray
    bits: int

    def dequantize(self) -> Tensor:
        """Return the numbers that the integers stand for."""
        return Tensor(self.scale * (self.q.astype(self.scale.dtype) - self.zero_point).astype(
            self.scale.dtype
        ))  # fmt: skip


def quantize_tensor(
    x: Tensor, bits: int = 8, *, symmetric: bool = True, axis: int | None = None
) -> Quantized:
    """Round to a uniform grid that just covers the values.

    Parameters
    ----------
    x : Tensor
        Floating and finite.
    bits : int, 2 to 8
    symmetric : bool
        Grid around zero, q from -(2**(bits-1) - 1) to its opposite (the one integer more that
        two's complement has is not used, so that -w is as exact as w). Otherwise affine: q from 0
        to 2**bits - 1 over the range of x, which is widened to hold 0, for 0 must stay 0.
    axis : int, optional
        Give each slice along this axis its own scale; 0 for "per channel" of a weight.

    Returns
    -------
    Quantized

    Raises
    ------
    ValueError
        If bits or axis are out of range, or x is not finite.

    Notes
    -----
    Jacob et al. (2018), Quantization and training of neural networks for efficient
    integer-arithmetic-only inference, equations 1 and 12. Ties round to the even integer.
    """
    bits = check_bits(bits, 2, 8, "quantize_tensor")
    values = check_finite(x, "quantize_tensor")
    scale, zero_point, low, high = _grid(values, bits, symmetric, axis)
    q = np.clip(np.rint(values / scale) + zero_point, low, high)
    return Quantized(q.astype(np.int8 if symmetric else np.uint8), scale, zero_point, bits)


def _grid(values: np.ndarray, bits: int, symmetric: bool, axis: int | None):
    """Return scale, zero point, and the least and greatest integer."""
    if axis is not None:
        whole = isinstance(axis, (int, np.integer)) and not isinstance(axis, bool)
        if not whole or not -values.ndim <= axis < values.ndim:
            expect = f"None, or a whole number from {-values.ndim} to {values.ndim - 1}"
            problem, actual = "there is no such axis.", repr(axis)
            raise ValueError(message("quantize_tensor", problem, expect=expect, actual=actual))
        axis = tuple(i for i in range(values.ndim) if i != axis % values.ndim)
    keep = axis is not None
    least = values.min(axis=axis, keepdims=keep, initial=0)
    greatest = values.max(axis=axis, keepdims=keep, initial=0)
    if symmetric:
        low, high = 1 - 2 ** (bits - 1), 2 ** (bits - 1) - 1
        scale = np.maximum(-least, greatest) / high
    else:
        low, high = 0, 2**bits - 1
        scale = (greatest - least) / high
    tiny = np.finfo(values.dtype).tiny
    scale = np.where(scale > tiny, scale, 1).astype(values.dtype)  # zeros only: any scale will do
    if symmetric:
        zero_point = np.zeros(scale.shape, np.int32)
    else:
        zero_point = np.clip(np.rint(-least / scale), low, high).astype(np.int32)
    return scale, zero_point, low, high


def quantize_weights(
    model: Module,
    bits: int | Mapping[str, int] = 8,
    *,
    symmetric: bool = True,
    per_channel: bool = False,
    names: Iterable[str] | None = None,
) -> dict[str, Quantized]:
    """Round a model's weights in place, without training, and return the integers.

    Parameters
    ----------
    model : Module
    bits : int or dict, 2 to 8
        For all layers, or one for each name.
    symmetric : bool
        See `quantize_tensor`.
    per_channel : bool
        A scale for each output channel (the first axis) instead of one for each layer.
    names : iterable of str, optional
        Parameters; by default all with two axes or more.

    Returns
    -------
    dict of str to Quantized
        `save_compressed` stores these in place of the weights.

    Raises
    ------
    ValueError
        If bits are out of range, a weight is not finite, or has a mask: `detach_masks` first.
    """
    chosen = select(model, names, "quantize_weights")
    bits_of = for_each(bits, chosen, "quantize_weights")
    check_free(model, chosen, "quantize_weights", tied=True)
    axis = 0 if per_channel else None
    found = {
        name: quantize_tensor(p, bits_of[name], symmetric=symmetric, axis=axis)
        for name, p in chosen.items()
    }
    for name, quantized in found.items():  # all or none: the checks come first
        chosen[name].data.copy_(quantized.dequantize().to(chosen[name].device))
    return found


# ------------------------------------------------------------------ training through a staircase


class FakeQuantize(Function):
    """y = s (clip(round(x / s) + z, low, high) - z): rounded, and still a floating tensor.

    Notes
    -----
    Rounding is a staircase, whose derivative is 0 nearly everywhere and tells the optimizer
    nothing. The straight-through estimator takes, on the way back, the staircase for the ramp
    that it follows: dy/dx = 1 inside of the grid, and 0 where the value was clipped.

    Bengio, Leonard and Courville (2013), Estimating or propagating gradients through stochastic
    neurons for conditional computation, section 3.
    """

    reads_inputs = False

    def forward(self, x, *, scale, zero_point, low, high):
        q = self.xp.rint(x / scale) + zero_point
        self.clipped = (q < low) | (q > high)
        q = q.clip(low, high)
        return ((q - zero_point) * scale).astype(x.dtype)

    def backward(self, gy):
        return gy.masked_fill(Tensor(self.clipped), 0.0)


def fake_quantize(
    x: Tensor, bits: int = 8, *, symmetric: bool = True, axis: int | None = None
) -> Tensor:
    """Return x rounded to its own grid, differentiable; options as in `quantize_tensor`."""
    bits = check_bits(bits, 2, 8, "fake_quantize")
    values = check_finite(x, "fake_quantize")
    scale, zero_point, low, high = _grid(values, bits, symmetric, axis)
    scale, zero_point = (backend.asarray_on(a, x.device) for a in (scale, zero_point))
    return FakeQuantize.apply(x, scale=scale, zero_point=zero_point, low=low, high=high)


class _RoundedWeight(Recompute):
    def __init__(self, module: Module, name: str, **options):
        self.options = options
        super().__init__(module, name, {"orig": getattr(module, name)})

    def compute(self, module: Module) -> Tensor:
        return fake_quantize(self.part(module, "orig"), **self.options)


def quantization_aware(
    model: Module,
    bits: int | Mapping[str, int] = 8,
    *,
    symmetric: bool = True,
    per_channel: bool = False,
    names: Iterable[str] | None = None,
) -> None:
    """Let the model compute with rounded weights, and train those behind them.

    Each parameter ``weight`` becomes ``weight_orig``, which the optimizer moves (make the
    optimizer afterwards), and every forward rounds it anew. `finish_quantization` ends it.
    Parameters as in `quantize_weights`.
    """
    chosen = select(model, names, "quantization_aware")
    bits_of = for_each(bits, chosen, "quantization_aware")
    for value in bits_of.values():
        check_bits(value, 2, 8, "quantization_aware")
    check_free(model, chosen, "quantization_aware")
    for name in chosen:
        path, _, own = name.rpartition(".")
        options = dict(bits=bits_of[name], symmetric=symmetric, axis=0 if per_channel else None)
        _RoundedWeight(model.get_submodule(path), own, **options)


def finish_quantization(model: Module) -> None:
    """Make the rounded weights ordinary parameters again."""
    remove_all(model, _RoundedWeight, "finish_quantization")
