"""Penalties: terms added to a loss that keep the weights small (L2) or make many of them zero (L1).

::

    loss = loss_function(model(x), y) + l1_penalty(model.parameters(), 1e-5)
    loss.backward()

Before this: ``sgd.py``, whose ``weight_decay`` is the L2 penalty without the detour through the
loss. Next: ``lr_scheduler.py``.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import message
from .._tensor import Tensor
from ._checks import NOT_NEGATIVE, check_number


def l1_penalty(params: Tensor | Iterable[Tensor], strength: float) -> Tensor:
    """Return ``strength * sum(|w|)`` over all entries of all parameters.

    Its gradient is ``strength * sign(w)``: the same pull on small and on large weights, so small
    ones reach zero. (A step jumps over zero rather than to land on it; pruning sets them there.)
    The gradient at w = 0 is 0, as in PyTorch.

    Parameters
    ----------
    params : iterable of Tensor, or Tensor
        What is penalized: usually the weights, and not the biases.
    strength : float
        At least 0.

    Returns
    -------
    Tensor
        A scalar, differentiable, to be added to the loss.

    Raises
    ------
    ValueError
        Without parameters, and for a strength that is negative or NaN.
    TypeError
        For parameters that are not tensors.

    Notes
    -----
    Source: Tibshirani (1996), Regression shrinkage and selection via the lasso.
    """
    return _sum("l1_penalty", params, strength, lambda w: w.abs().sum()) * strength


def l2_penalty(params: Tensor | Iterable[Tensor], strength: float) -> Tensor:
    """Return ``strength / 2 * sum(w**2)`` over all entries of all parameters.

    The half makes its gradient ``strength * w``, which is what ``weight_decay=strength`` adds to
    the gradient in `SGD`: there the two are the same. (For Adam they differ; see `AdamW`.) Some
    texts, and Keras, leave the half out: their strength is half of this one.

    Parameters
    ----------
    params : iterable of Tensor, or Tensor
        What is penalized: usually the weights, and not the biases.
    strength : float
        At least 0.

    Returns
    -------
    Tensor
        A scalar, differentiable, to be added to the loss.

    Raises
    ------
    ValueError
        Without parameters, and for a strength that is negative or NaN.
    TypeError
        For parameters that are not tensors.

    Notes
    -----
    Source: Krogh and Hertz (1992), A simple weight decay can improve generalization, eq. (1).
    """
    return _sum("l2_penalty", params, strength, lambda w: (w * w).sum()) * (strength / 2)


def _sum(where: str, params: Tensor | Iterable[Tensor], strength: float, size_of) -> Tensor:
    check_number(where, "strength", strength, NOT_NEGATIVE)
    params = [params] if isinstance(params, Tensor) else list(params)
    if not params:
        raise ValueError(
            message(
                where,
                "there are no parameters to penalize.",
                do="call model.parameters() again: a generator that was looped over is empty",
            )
        )
    for i, w in enumerate(params):
        if not isinstance(w, Tensor):
            raise TypeError(
                message(where, f"parameter {i} is not a tensor.", actual=type(w).__name__)
            )
    total = size_of(params[0])
    for w in params[1:]:
        total = total + size_of(w)
    return total
