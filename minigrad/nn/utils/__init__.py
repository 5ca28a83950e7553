"""Helpers around parameters: clipping gradients, and all parameters as one vector.

Before this: ``nn/module.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ... import autograd, backend
from ..._errors import message
from ..._tensor import Tensor
from ...functions.shape import cat

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor so that their norm, taken together, is at most `max_norm`.

    The direction of the step stays, only its length is bounded: g <- g min(1, max_norm / |g|).
    Source: Pascanu et al., "On the difficulty of training recurrent neural networks", 2013,
    algorithm 1. New arrays take the place of the gradients; the old ones are not changed.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Those without a gradient are passed over.
    max_norm : float
    norm_type : float
        The p of the p-norm; may be infinity.
    error_if_nonfinite : bool
        Raise if the norm is NaN or infinite (otherwise all gradients become NaN or 0).

    Returns
    -------
    Tensor
        The norm before, of shape ().
    """
    if not max_norm >= 0:
        raise ValueError(
            message("clip_grad_norm_", "no such max_norm.", expect="max_norm >= 0", actual=max_norm)
        )
    if not norm_type > 0:
        raise ValueError(
            message("clip_grad_norm_", "no such norm.", expect="norm_type > 0", actual=norm_type)
        )
    parameters = _with_grad(parameters)
    if not parameters:
        return Tensor(np.zeros((), backend.get_default_dtype()))
    gradients = [p.grad.array for p in parameters]
    xp = backend.array_module(gradients[0])
    if norm_type == math.inf:
        total = xp.stack([abs(g).max() for g in gradients if g.size]).max()
    elif norm_type == 2:
        total = xp.sqrt(sum([(g * g).sum() for g in gradients]))
    else:
        total = sum([(abs(g) ** norm_type).sum() for g in gradients]) ** (1 / norm_type)
    total = xp.asarray(total)
    if error_if_nonfinite and not math.isfinite(total):
        raise RuntimeError(
            message(
                "clip_grad_norm_",
                "the norm of the gradients is not finite.",
                actual=float(total),
                do="find the loss that became NaN or infinite",
            )
        )
    factor = max_norm / (total + 1e-6)  # the 1e-6 is PyTorch's, against 0 / 0
    factor = xp.where(factor > 1, 1, factor)  # no question to the GPU: NaN stays NaN
    for parameter in parameters:
        gradient = parameter.grad.array
        parameter.grad = Tensor(gradient * factor.astype(gradient.dtype))
    return Tensor(total)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Keep every entry of the gradients between -clip_value and clip_value.

    New arrays take the place of the gradients; the old ones are not changed.
    """
    if not clip_value >= 0:
        raise ValueError(
            message(
                "clip_grad_value_",
                "no such clip_value.",
                expect="clip_value >= 0",
                actual=clip_value,
            )
        )
    for parameter in _with_grad(parameters):
        parameter.grad = Tensor(parameter.grad.array.clip(-clip_value, clip_value))


def _with_grad(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p for p in parameters if p.grad is not None]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """Return all parameters, one after the other, as one vector; gradients flow through it."""
    return cat([parameter.reshape(-1) for parameter in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the entries of a vector into parameters, in the order of `parameters_to_vector`."""
    parameters = list(parameters)
    count = sum([p.numel() for p in parameters])
    if tuple(vec.shape) != (count,):
        raise ValueError(
            message(
                "vector_to_parameters",
                "the vector does not fit the parameters.",
                expect=f"shape {(count,)}",
                actual=f"shape {tuple(vec.shape)}",
            )
        )
    with autograd.no_grad():
        start = 0
        for parameter in parameters:
            end = start + parameter.numel()
            parameter.copy_(vec[start:end].reshape(parameter.shape))
            start = end
