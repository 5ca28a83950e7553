"""Layers as functions: what a layer computes, with its parameters passed in.

Most of these are the functions of ``minigrad/functions/`` under PyTorch's names for them; what is
left is written here: batch norm with its running statistics, dropout, and a few short formulas.
The losses have a file of their own.

Before this: ``module.py``. Next: ``losses.py``, then ``layers.py``.
"""

from __future__ import annotations

from .. import autograd, backend
from .._errors import message
from .._tensor import Tensor
from ..functions import elementwise
from ..functions import loss as _softmax
from ..functions import norm as _norm
from ..functions.conv import conv2d, conv_transpose2d
from ..functions.elementwise import sigmoid, tanh, where
from ..functions.linalg import linear
from ..functions.pool import adaptive_avg_pool2d, avg_pool2d, max_pool2d
from ..functions.shape import flatten, pad, unflatten
from ..ops.elementwise import Scale
from ..ops.loss import Softplus
from .losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)

__all__ = [
    "adaptive_avg_pool2d",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dropout",
    "dropout2d",
    "flatten",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsigmoid",
    "max_pool2d",
    "mse_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "relu",
    "sigmoid",
    "smooth_l1_loss",
    "softmax",
    "softplus",
    "tanh",
    "unflatten",
]

# ---------------------------------------------------------------------------- activations


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """Return max(x, 0); its derivative at 0 is 0. (`inplace` is accepted, and of no effect.)"""
    return elementwise.relu(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """Return x where x > 0, else ``negative_slope`` x."""
    return where(input > 0, input, input * negative_slope)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """Return ln(1 + e^(beta x)) / beta, a smooth ReLU; x itself where beta x > `threshold`."""
    scaled = input * beta
    return where(scaled > threshold, input, Softplus.apply(scaled) / beta)


def logsigmoid(input: Tensor) -> Tensor:
    """Return ln sigmoid(x), without overflow."""
    return -Softplus.apply(-input)


def softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """Return e^x over its sum along axis `dim`: positive numbers that sum to 1."""
    _require_dim("softmax", dim)
    return _softmax.softmax(input if dtype is None else input.to(dtype), dim)


def log_softmax(input: Tensor, dim: int | None = None, *, dtype=None) -> Tensor:
    """Return the logarithm of the softmax along axis `dim`, without overflow."""
    _require_dim("log_softmax", dim)
    return _softmax.log_softmax(input if dtype is None else input.to(dtype), dim)


def _require_dim(name: str, dim) -> None:
    if dim is None:
        raise TypeError(
            message(name, "along which axis?", expect="dim=...", do="dim=1 for (N, C), or dim=-1")
        )


def normalize(input: Tensor, p: float = 2.0, dim=1, eps: float = 1e-12) -> Tensor:
    """Return the input divided by its p-norm along axis `dim`, but by no less than `eps`."""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def one_hot(tensor: Tensor, num_classes: int = -1) -> Tensor:
    """Return a row for each integer, all zeros but for a one at the place that it names.

    Parameters
    ----------
    tensor : Tensor of integers, any shape
    num_classes : int
        The length C of a row; by default one more than the largest.

    Returns
    -------
    Tensor of int64, shape (..., C)
    """
    labels = tensor.array
    if labels.dtype.kind not in "iu":
        raise TypeError(
            message("one_hot", "class indices are integers.", actual=tensor.dtype, do="x.long()")
        )
    if labels.size == 0 and num_classes < 1:
        raise ValueError(message("one_hot", "no labels, and no num_classes to go by."))
    xp, recorder = backend.array_module(labels), backend.capturing()
    if recorder is not None and num_classes != -1:  # no value can be read: it is checked later
        largest = labels.astype(backend.int64).view("uint64").max()  # negative ones are large
        recorder.check_later("one_hot", largest, num_classes)
        return Tensor((labels[..., None] == xp.arange(num_classes)).astype(backend.int64))
    largest, smallest = (int(labels.max()), int(labels.min())) if labels.size else (-1, 0)
    classes = largest + 1 if num_classes == -1 else num_classes
    if smallest < 0 or largest >= classes:
        raise IndexError(
            message(
                "one_hot",
                "a label is out of range.",
                expect=f"0 to {classes - 1}",
                actual=smallest if smallest < 0 else largest,
            )
        )
    return Tensor((labels[..., None] == xp.arange(classes)).astype(backend.int64))


# -------------------------------------------------------------------------------- dropout


def dropout(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator=None
) -> Tensor:
    """Set each entry to 0 with probability p, and scale the others by 1 / (1 - p).

    The scale keeps the expected value, so that nothing needs to be done in evaluation. Source:
    Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting", 2014.

    Parameters
    ----------
    input : Tensor
    p : float, from 0 to 1
    training : bool
        Without it the input is returned.
    inplace : bool
        Accepted, and of no effect.
    generator : Generator, optional
        Where the random numbers come from.
    """
    return _drop("dropout", input, input.shape, p, training, generator)


def dropout2d(
    input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False, *, generator=None
) -> Tensor:
    """Set each channel of each sample to 0 as a whole with probability p; see `dropout`.

    Neighbours in an image say much the same, so dropping single entries would hide little.
    The input has shape (N, C, ...).
    """
    if input.ndim < 3:
        raise ValueError(
            message(
                "dropout2d",
                "there are no channels to drop.",
                expect="(N, C, H, W)",
                actual=tuple(input.shape),
                do="use dropout",
            )
        )
    shape = (*input.shape[:2], *(1,) * (input.ndim - 2))
    return _drop("dropout2d", input, shape, p, training, generator)


def _drop(name: str, x: Tensor, shape: tuple, p: float, training: bool, generator) -> Tensor:
    check_probability(name, p)
    if not training or p == 0:
        return x
    if x.dtype.kind != "f":
        raise TypeError(message(name, "not floating numbers.", actual=x.dtype, do="x.float()"))
    kernels = autograd.kernels.get(backend.array_module(x.array))
    mask = kernels.dropout_mask(backend.generator(generator), shape, p, x.dtype)
    return Scale.apply(x, c=mask)  # a constant: x * Tensor(mask) would compute its gradient too


def check_probability(name: str, p: float) -> None:
    """Raise unless p lies in 0 .. 1."""
    if not 0 <= p <= 1:
        raise ValueError(message(name, "p is no probability.", expect="0 to 1", actual=p))


# ----------------------------------------------------------------------------- batch norm


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise each channel to mean 0 and variance 1, then scale by weight and shift by bias.

    In training the statistics are those of the batch, and the running ones take a step towards
    them, ``running = (1 - momentum) running + momentum batch``, where the batch's variance is the
    unbiased one. In evaluation the running ones are used. (The "momentum" is thus the weight of
    the new value: 0.1 here is 0.9 in most other texts.)

    Parameters
    ----------
    input : Tensor, shape (N, C) or (N, C, ...)
    running_mean, running_var : Tensor, shape (C,), or None
        Changed in place in training.
    weight, bias : Tensor, shape (C,), optional
    training : bool
    momentum : float
    eps : float
        Added to the variance.

    Notes
    -----
    Source: Ioffe and Szegedy, "Batch normalization: accelerating deep network training by
    reducing internal covariate shift", 2015, algorithms 1 and 2.
    """
    if input.ndim < 2:
        raise ValueError(
            message(
                "batch_norm",
                "there are no channels.",
                expect="(N, C, ...)",
                actual=tuple(input.shape),
            )
        )
    channels = input.shape[1]
    for name, tensor in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if tensor is not None:
            _check_channels(name, tensor, channels, input)
    if training:
        count = input.array.size // max(channels, 1)
        if count < 2:
            raise ValueError(
                message(
                    "batch_norm",
                    "one number has no variance." if count else "an empty batch.",
                    expect="at least 2 values per channel in training",
                    actual=f"{count}, in an input of shape {tuple(input.shape)}",
                    do="use a larger batch (DataLoader's drop_last=True), or eval()",
                )
            )
        y, mean, var = _norm.batch_norm(input, weight, bias, eps)
        if running_mean is not None:
            _step(running_mean, mean, momentum)
        if running_var is not None:
            _step(running_var, var * (count / (count - 1)), momentum)
        return y
    if running_mean is None or running_var is None:
        raise ValueError(
            message(
                "batch_norm",
                "evaluation needs running statistics.",
                expect="running_mean and running_var",
                actual="None",
                do="give training=True",
            )
        )
    # The statistics are constants here; what is computed from them is one number a channel.
    xp = backend.array_module(input.array)
    scale = 1 / xp.sqrt(running_var.array + eps)
    shift = Tensor(-running_mean.array * scale)
    scale = Tensor(scale)
    if weight is not None:
        scale, shift = scale * weight, shift * weight
    if bias is not None:
        shift = shift + bias
    per_channel = (1, channels, *(1,) * (input.ndim - 2))
    return input * scale.reshape(per_channel) + shift.reshape(per_channel)


def _check_channels(name: str, tensor: Tensor, channels: int, input: Tensor) -> None:
    if tensor.shape != (channels,):
        raise ValueError(
            message(
                "batch_norm",
                f"{name} does not fit the input's channels.",
                expect=f"shape {(channels,)} for an input of shape {tuple(input.shape)}",
                actual=tuple(tensor.shape),
            )
        )
    if tensor.dtype != input.dtype:
        raise TypeError(
            message(
                "batch_norm",
                f"the input and {name} have different dtypes.",
                expect=tensor.dtype,
                actual=input.dtype,
                do="convert the input with .to(dtype)",
            )
        )


def _step(running: Tensor, batch, momentum: float) -> None:
    """Move a running statistic towards the batch's, in place."""
    running.array *= 1 - momentum
    running.array += batch * momentum
    running.bump_version()
