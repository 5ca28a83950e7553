"""Losses and metrics that have names in `fit`, and those that PyTorch does not have.

Before this: ``nn/losses.py``, ``loop.py``. Next: nothing; this is the end of training.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from .._errors import message
from .._tensor import Tensor
from ..nn import CrossEntropyLoss
from ..nn import functional as F


def categorical_crossentropy(output: Tensor, target: Tensor) -> Tensor:
    """Return ``-sum_c t_c log(p_c)``, the mean over all samples, for a model that ends in softmax.

    Parameters
    ----------
    output : Tensor, (N, C) or (N, C, ...)
        Probabilities p: the entries along axis 1 are not negative and sum to 1.
    target : Tensor
        Probabilities t of the same shape, such as one-hot rows, of any dtype; or class indices,
        integers of the shape without axis 1.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    ValueError
        If `output` does not hold probabilities, or the shapes do not fit.

    Notes
    -----
    p is clipped at 1e-7 from below, as in Keras, so that no logarithm is infinite. A clipped
    entry has no gradient: from there the model learns nothing. `F.cross_entropy` on logits has
    no such place.
    """
    where = "categorical_crossentropy"
    _check_probabilities(where, output)
    log_p = output.clamp(1e-7, None).log()
    if target.shape == output.shape:
        return -(target.to(output.dtype) * log_p).sum(1).mean()
    if target.dtype.kind in "iu":
        return F.nll_loss(log_p, target)  # it checks the shape and the range of the labels
    raise ValueError(
        message(
            where,
            "the targets do not fit the output.",
            expect=f"probabilities of shape {tuple(output.shape)}, or class indices (integers)",
            actual=f"shape {tuple(target.shape)}, {target.dtype}",
        )
    )


def _check_probabilities(where: str, output: Tensor) -> None:
    p = output.array
    if p.ndim < 2 or (p.size and not _is_distribution(p)):
        low, high = (float(p.min()), float(p.max())) if p.size else (math.nan, math.nan)
        raise ValueError(
            message(
                where,
                "the model's output does not hold probabilities.",
                expect="entries >= 0 that sum to 1 along axis 1",
                actual=f"shape {tuple(p.shape)}, from {low:.4g} to {high:.4g}",
                do="end the model with nn.Softmax(1), or use the loss 'cross_entropy' on logits",
            )
        )


def _is_distribution(p) -> bool:
    """Whether `p` looks like the output of a softmax over axis 1; NaN passes, to be seen."""
    tolerance = 1e-2 if p.dtype.itemsize < 4 else 1e-4
    off = abs(p.sum(axis=1) - 1)
    return not (bool((p < 0).any()) or bool((off > tolerance).any()))


def warn_of_double_softmax(loss: Callable, output: Any) -> None:
    """Warn if a loss that expects logits gets what looks like probabilities."""
    expects_logits = loss is F.cross_entropy or isinstance(loss, CrossEntropyLoss)
    finite = bool((abs(output.array) < float("inf")).all())
    if expects_logits and finite and _is_distribution(output.array):
        warnings.warn(
            "fit: the model's output looks like probabilities, but cross_entropy has a softmax "
            "inside and takes logits. Leave out the model's softmax, or use the loss "
            "'categorical_crossentropy'.",
            stacklevel=2,
        )


def accuracy(output: Tensor, target: Tensor) -> float:
    """Return the share of samples whose largest output is the right one.

    Parameters
    ----------
    output : Tensor, (N, C) or (N, C, ...)
        Logits or probabilities of C classes.
    target : Tensor
        Class indices, of the shape without axis 1; or probabilities of the output's shape, whose
        largest is the right one.

    Raises
    ------
    ValueError
        If the shapes do not fit, or there is only one class.
    """
    labels = target.argmax(1) if target.shape == output.shape and target.ndim > 1 else target
    if output.ndim < 2 or output.shape[1] < 2 or labels.shape != _without_classes(output):
        raise ValueError(
            message(
                "accuracy",
                "output and targets do not fit.",
                expect="outputs (N, C) of at least two classes, targets (N,) or (N, C)",
                actual=f"outputs {tuple(output.shape)}, targets {tuple(target.shape)}",
                do="use 'binary_accuracy' for a model with a single output",
            )
        )
    return float((output.argmax(1) == labels).array.mean())


def _without_classes(output: Tensor) -> tuple[int, ...]:
    return (output.shape[0], *output.shape[2:])


def binary_accuracy(output: Tensor, target: Tensor) -> float:
    """Return the share of probabilities that are on the target's side of 0.5.

    Parameters
    ----------
    output : Tensor
        Probabilities, such as a sigmoid's. (For logits the border is 0: write
        ``lambda z, y: binary_accuracy(z.sigmoid(), y)``.)
    target : Tensor
        0 or 1, of the output's shape.
    """
    if output.shape != target.shape:
        raise ValueError(
            message(
                "binary_accuracy",
                "output and targets do not have one shape.",
                expect=tuple(output.shape),
                actual=tuple(target.shape),
            )
        )
    return float(((output > 0.5) == (target > 0.5)).array.mean())


LOSSES: dict[str, Callable] = {
    "cross_entropy": F.cross_entropy,
    "nll_loss": F.nll_loss,
    "mse_loss": F.mse_loss,
    "l1_loss": F.l1_loss,
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
    # Keras' names; both categorical ones take indices and one-hot rows alike.
    "categorical_crossentropy": categorical_crossentropy,
    "sparse_categorical_crossentropy": categorical_crossentropy,
    "binary_crossentropy": F.binary_cross_entropy,
    "mse": F.mse_loss,
    "mean_squared_error": F.mse_loss,
    "mae": F.l1_loss,
    "mean_absolute_error": F.l1_loss,
}
METRICS: dict[str, Callable] = {"accuracy": accuracy, "binary_accuracy": binary_accuracy}
