"""How parameters start: the initialisations, and the reason for their sizes.

A sum of n products has n times the variance of one of them, so a layer with fan-in n multiplies
the variance of its signal by n var(w). The schemes here choose var(w) so that this factor, times
what the nonlinearity does (the `gain`), is 1: then signals neither die nor explode with depth.

Every function fills its tensor in place (unseen by the graph) and returns it. Numbers are drawn
on the CPU from `generator`, or else from this thread's generator, which `manual_seed` seeds.

Before this: ``module.py``. Next: ``layers.py``.
"""

from __future__ import annotations

import math

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor

_GAINS = {
    "linear": 1.0,
    "conv1d": 1.0,
    "conv2d": 1.0,
    "conv3d": 1.0,
    "conv_transpose1d": 1.0,
    "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0,
    "sigmoid": 1.0,
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return the factor on the standard deviation that makes up for a nonlinearity.

    For ReLU it is sqrt(2): half of the numbers become 0, which halves the mean square.

    Parameters
    ----------
    nonlinearity : str
        "linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
    param : float, optional
        The negative slope of "leaky_relu" (0.01).
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(
                message("calculate_gain", "the slope is no number.", actual=repr(slope))
            )
        return math.sqrt(2.0 / (1 + slope**2))
    if nonlinearity not in _GAINS:
        raise ValueError(
            message(
                "calculate_gain",
                "no such nonlinearity.",
                expect=", ".join([*_GAINS, "leaky_relu"]),
                actual=repr(nonlinearity),
            )
        )
    return _GAINS[nonlinearity]


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Return how many inputs an output sums over, and how many outputs an input takes part in."""
    if tensor.ndim < 2:
        raise ValueError(
            message(
                "init",
                "fan-in and fan-out need at least two axes.",
                expect="(out, in, ...)",
                actual=tuple(tensor.shape),
            )
        )
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator=None) -> Tensor:
    """Fill with numbers drawn evenly from a up to b."""
    tensor.data.uniform_(a, b, generator=generator)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator=None) -> Tensor:
    """Fill with numbers drawn from a normal distribution."""
    tensor.data.normal_(mean, std, generator=generator)
    return tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator=None,
) -> Tensor:
    """Fill from a normal distribution of which only what lies between a and b is kept."""
    low, high = (a - mean) / std, (b - mean) / std
    if not low < high:
        raise ValueError(
            message("trunc_normal_", "the range is empty.", expect="a < b", actual=f"a={a}, b={b}")
        )
    # Draw evenly, keep each number with its density over the largest density; draw the rest anew.
    # What lies 9 standard deviations beyond the likeliest number does not happen.
    rng, likeliest = backend.generator(generator), min(max(low, 0.0), high)
    first, last = max(low, likeliest - 9), min(high, likeliest + 9)
    numbers = np.full(tensor.numel(), np.nan)
    while (missing := np.isnan(numbers)).any():
        x = rng.uniform(first, last, missing.sum())
        kept = rng.random(x.size) < np.exp((likeliest**2 - x * x) / 2)
        numbers[missing] = np.where(kept, x, np.nan)
    return _write(tensor, (numbers * std + mean).clip(a, b).reshape(tensor.shape))


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one number."""
    tensor.data.fill_(val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0.0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1.0)


def eye_(tensor: Tensor) -> Tensor:
    """Make a matrix the identity, as far as it is square."""
    _require_matrix(tensor, "eye_")
    return _write(tensor, np.eye(*tensor.shape))


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """Fill from U(-a, a) with a = gain sqrt(6 / (fan_in + fan_out)).

    The variance, a^2 / 3, is a compromise between keeping that of signals (1 / fan_in) and that
    of gradients (1 / fan_out). Source: Glorot and Bengio, "Understanding the difficulty of
    training deep feedforward neural networks", 2010, equation 16.
    """
    bound = gain * math.sqrt(6.0 / sum(_fans(tensor)))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """Fill from N(0, std^2) with std = gain sqrt(2 / (fan_in + fan_out)); see `xavier_uniform_`."""
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator=None,
) -> Tensor:
    """Fill from U(-bound, bound) with bound = gain sqrt(3 / fan).

    Parameters
    ----------
    a : float
        The negative slope of the leaky ReLU that follows (0: a ReLU).
    mode : {"fan_in", "fan_out"}
        Keep the variance of signals, or that of gradients.
    nonlinearity : str
        What follows the layer; see `calculate_gain`.

    Notes
    -----
    Source: He et al., "Delving deep into rectifiers", 2015, equations 10 and 14.
    """
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator=None,
) -> Tensor:
    """Fill from N(0, std^2) with std = gain / sqrt(fan); see `kaiming_uniform_`."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(
            message("kaiming", "no such mode.", expect="'fan_in' or 'fan_out'", actual=repr(mode))
        )
    fan = _fans(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def orthogonal_(tensor: Tensor, gain: float = 1.0, generator=None) -> Tensor:
    """Fill with `gain` times a matrix whose rows (or columns, if fewer) are orthonormal.

    Axes after the first count as one. Such a matrix changes no lengths. Source: Saxe et al.,
    "Exact solutions to the nonlinear dynamics of learning in deep linear networks", 2013.
    """
    if tensor.ndim < 2:
        raise ValueError(message("orthogonal_", "fewer than two axes.", actual=tuple(tensor.shape)))
    rows, columns = tensor.shape[0], math.prod(tensor.shape[1:])
    normal = backend.generator(generator).standard_normal((max(rows, columns), min(rows, columns)))
    q, r = np.linalg.qr(normal)
    q *= np.sign(np.diag(r))  # a choice of signs that makes all directions equally likely
    q = q if rows >= columns else q.T
    return _write(tensor, gain * q.reshape(tensor.shape))


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator=None) -> Tensor:
    """Fill a matrix from N(0, std^2), then set the fraction `sparsity` of each column to 0."""
    _require_matrix(tensor, "sparse_")
    if not 0 <= sparsity <= 1:
        raise ValueError(message("sparse_", "not a fraction.", expect="0 to 1", actual=sparsity))
    rng = backend.generator(generator)
    values = rng.normal(0.0, std, tensor.shape)
    zeros = math.ceil(sparsity * tensor.shape[0])
    for column in range(tensor.shape[1]):
        values[rng.permutation(tensor.shape[0])[:zeros], column] = 0
    return _write(tensor, values)


def _require_matrix(tensor: Tensor, name: str) -> None:
    if tensor.ndim != 2:
        raise ValueError(
            message(name, "not a matrix.", expect="2 axes", actual=tuple(tensor.shape))
        )


def _write(tensor: Tensor, values: np.ndarray) -> Tensor:
    tensor.data.copy_(values.astype(tensor.dtype))
    return tensor
