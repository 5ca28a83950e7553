"""RMSprop: every weight divided by the size of its own recent gradients.

Before this: ``sgd.py``. Next: ``adam.py``, which adds momentum and a corrected start.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ._checks import DECAY_RATE, NOT_NEGATIVE, check_not_differentiable, check_number
from .optimizer import Optimizer


class RMSprop(Optimizer):
    r"""Steps whose length does not depend on the scale of the gradient.

    For each parameter w with gradient g, all operations entry by entry::

        g = g + weight_decay * w
        s = alpha * s + (1 - alpha) * g**2              (s = 0 before the first step)
        d = sqrt(s) + eps
        w = w - lr * g / d

    ``centered`` divides by the standard deviation in place of the root mean square::

        m = alpha * m + (1 - alpha) * g
        d = sqrt(s - m**2) + eps

    and with a momentum the last line becomes ``b = momentum * b + g / d; w = w - lr * b``.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them; see `Optimizer`.
    lr : float
        The learning rate, at least 0.
    alpha : float
        Decay rate of the running mean of squares, in [0, 1): it looks back about
        1 / (1 - alpha) steps.
    eps : float
        Keeps the division finite; outside the root.
    weight_decay : float
        Strength of the pull towards zero.
    momentum : float
        How much of the last step is kept.
    centered : bool
        Whether to subtract the squared mean.
    capturable, foreach : bool, optional
        Accepted for PyTorch's sake and without effect: ``cuda.capture`` makes any optimizer
        capturable.
    maximize : bool
        Whether to climb instead of to descend.
    differentiable : bool
        Must be False.

    Raises
    ------
    ValueError, TypeError
        As for `Optimizer`. (PyTorch lets an alpha of 1 and more pass, with which s does not grow
        or becomes negative.)

    Notes
    -----
    s starts at 0 and is not corrected for that, so the first steps are too long: the very first
    by a factor 1 / sqrt(1 - alpha), 10 at the default. ``adam.py`` corrects it.

    Sources: Hinton, Srivastava and Swersky (2012), Neural networks for machine learning, lecture
    6e. The centered form with momentum: Graves (2013), Generating sequences with recurrent
    neural networks, eqs. (38) to (41), there with eps inside the root.

    Examples
    --------
    >>> optimizer = RMSprop(model.parameters(), lr=0.001)  # doctest: +SKIP
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ):
        check_not_differentiable("RMSprop", differentiable)
        defaults = dict(
            lr=lr,
            momentum=momentum,
            alpha=alpha,
            eps=eps,
            centered=centered,
            weight_decay=weight_decay,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "eps", "weight_decay", "momentum"):
            check_number("RMSprop", name, group[name], NOT_NEGATIVE)
        check_number("RMSprop", "alpha", group["alpha"], DECAY_RATE)

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ["step", "square_avg"]
        names += ["grad_avg"] if group["centered"] else []
        names += ["momentum_buffer"] if group["momentum"] > 0 else []
        return tuple(names)

    def update(self, kernels, params, grads, state, group) -> None:
        kernels.rmsprop_update(
            params,
            grads,
            state["square_avg"],
            state.get("grad_avg"),
            state.get("momentum_buffer"),
            lr=group["lr"],
            alpha=float(group["alpha"]),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            momentum=float(group["momentum"]),
            centered=group["centered"],
            maximize=group["maximize"],
        )
