"""Matrix products: the functions around ``ops/linalg.py``."""

from __future__ import annotations

import math

from .. import autograd
from .._errors import message
from ..ops.linalg import Linear, MatMul
from .elementwise import broadcast_shape, tensor_of
from .shape import broadcast_to, flatten, reshape, unsqueeze


def matmul(a, b):
    """Return the matrix product a b, with NumPy's rules for other than two axes.

    Raises
    ------
    ValueError
        If the inner sizes differ, or the leading axes do not broadcast.
    """
    if not (isinstance(a, autograd.Tensor) and isinstance(b, autograd.Tensor)):
        a, b = [x if isinstance(x, autograd.Tensor) else tensor_of(x, "matmul") for x in (a, b)]
    a_shape, b_shape = a.array.shape, b.array.shape
    if not a_shape or not b_shape or a_shape[-1] != b_shape[max(0, len(b_shape) - 2)]:
        raise ValueError(
            message(
                "matmul",
                "the inner sizes differ." if a_shape and b_shape else "an operand has no axes.",
                expect="(..., n, k) @ (..., k, m)",
                actual=f"{a_shape} @ {b_shape}",
                do="check which axes are meant to meet, and transpose where they do not",
            )
        )
    if a.dtype != b.dtype:
        raise TypeError(
            message(
                "matmul",
                "the dtypes differ.",
                expect="one dtype",
                actual=f"{a.dtype} and {b.dtype}",
                do="convert one with .to(dtype)",
            )
        )
    if len(a_shape) == 1 and len(b_shape) == 1:
        return (a * b).sum()
    if len(a_shape) == 1:
        return matmul(unsqueeze(a, 0), b).squeeze(-2)
    if len(b_shape) == 1:
        return matmul(a, unsqueeze(b, 1)).squeeze(-1)
    if a_shape[:-2] != b_shape[:-2]:
        if len(b_shape) == 2:  # one matrix for all: make the leading axes rows of one product
            rows = MatMul.apply(flatten(a, 0, -2), b)
            return reshape(rows, (*a_shape[:-1], b_shape[-1]))
        shapes = f"{a_shape} @ {b_shape}, all axes but the last two"
        leading = broadcast_shape("matmul", a_shape[:-2], b_shape[:-2], actual=shapes)
        a = broadcast_to(a, (*leading, *a_shape[-2:]))
        b = broadcast_to(b, (*leading, *b_shape[-2:]))
    return MatMul.apply(a, b)


def linear(x, weight, bias=None):
    """Return x W^T + b over the last axis of x.

    Parameters
    ----------
    x : Tensor, shape (..., in_features)
    weight : Tensor, shape (out_features, in_features)
    bias : Tensor, shape (out_features,), optional

    Returns
    -------
    Tensor, shape (..., out_features)
    """
    x = tensor_of(x, "linear")
    w, b = weight.array, None if bias is None else bias.array
    if w.ndim != 2:
        raise ValueError(
            message(
                "linear",
                "the weight is not a matrix.",
                expect="(out_features, in_features)",
                actual=tuple(weight.shape),
                do="weight.unsqueeze(0) for one output",
            )
        )
    out_features, in_features = w.shape
    shape = x.array.shape
    if not shape or shape[-1] != in_features:
        raise ValueError(
            message(
                "linear",
                "the input does not have the features that the weight takes.",
                expect=f"(..., {in_features}), for a weight of shape {tuple(weight.shape)}",
                actual=tuple(x.shape),
                do="flatten what comes before (x.flatten(1)), or make the layer for these features",
            )
        )
    if b is not None and b.shape != (out_features,):
        raise ValueError(
            message(
                "linear",
                "the bias does not fit the weight.",
                expect=(out_features,),
                actual=tuple(bias.shape),
            )
        )
    if x.array.dtype != w.dtype or (b is not None and b.dtype != w.dtype):
        raise TypeError(
            message(
                "linear",
                "the input, the weight and the bias have different dtypes.",
                expect=f"{w.dtype}, as the weight",
                actual=", ".join([str(t.dtype) for t in (x, weight, bias) if t is not None]),
                do="convert the input with .to(dtype)",
            )
        )
    inputs = (weight,) if bias is None else (weight, bias)
    if len(shape) == 2:
        return Linear.apply(x, *inputs)
    y = Linear.apply(reshape(x, (math.prod(shape[:-1]), in_features)), *inputs)
    return reshape(y, (*shape[:-1], out_features))
