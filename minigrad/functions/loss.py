"""Softmax and cross-entropy: the functions around ``ops/loss.py``."""

from __future__ import annotations

from ..ops.loss import LogSoftmax, Softmax, SoftmaxCrossEntropy
from .reduce import _floats as _floating
from .shape import axis_of, gather, reshape


def softmax(x, dim):
    """Return e^x over its sum along axis `dim`: positive numbers that sum to 1."""
    return _along(Softmax, x, dim, "softmax")


def log_softmax(x, dim):
    """Return the logarithm of the softmax along axis `dim`, without overflow."""
    return _along(LogSoftmax, x, dim, "log_softmax")


def _along(op, x, dim, name):
    axis = axis_of(dim, _floating(x, name).ndim, name)
    return op.apply(x, axis=axis) if x.array.size else x.clone()  # of nothing, nothing


def softmax_cross_entropy(z, labels, mean=False):
    """Return the loss of each sample, minus the log-softmax of z at its label; or their mean.

    Parameters
    ----------
    z : Tensor, shape (N, C)
    labels : Tensor of int64, shape (N,), already known to lie in 0 .. C - 1
    mean : bool
        Whether to return the mean over the samples, of which there is at least one.
    """
    return SoftmaxCrossEntropy.apply(z, labels=labels.array, mean=mean)


def cross_entropy_simple(z, labels):
    """Return the same as `softmax_cross_entropy`, from small ops."""
    return -reshape(gather(log_softmax(z, 1), 1, reshape(labels, (-1, 1))), (-1,))
