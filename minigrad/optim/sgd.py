"""Stochastic gradient descent: against the gradient, and with momentum.

Before this: ``optimizer.py``. Next: ``rmsprop.py``, which gives each weight its own step.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import message
from ._checks import FINITE, NOT_NEGATIVE, check_not_differentiable, check_number
from .optimizer import Optimizer


class SGD(Optimizer):
    r"""Stochastic gradient descent, with momentum, Nesterov's momentum and weight decay.

    For each parameter w with gradient g::

        g = g + weight_decay * w
        v = momentum * v + (1 - dampening) * g          (v = g at the first step)
        g = v                                           (nesterov: g = g + momentum * v)
        w = w - lr * g

    Without momentum only the first and the last line remain; with ``maximize`` the sign of the
    gradient is turned first.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them; see `Optimizer`.
    lr : float
        The learning rate, at least 0.
    momentum : float
        How much of the velocity v is kept from step to step.
    dampening : float
        How much of the new gradient is held back from the velocity.
    weight_decay : float
        Strength of the pull towards zero: the gradient of ``l2_penalty(params, weight_decay)``.
    nesterov : bool
        Whether to look ahead; needs a momentum, and no dampening.
    maximize : bool
        Whether to climb instead of to descend.
    foreach, fused : bool, optional
        Accepted for PyTorch's sake and without effect: every step is one call over all arrays.
    differentiable : bool
        Must be False.

    Raises
    ------
    ValueError, TypeError
        As for `Optimizer`, and for ``nesterov`` without momentum or with dampening.

    Notes
    -----
    Momentum is often misprinted as a moving average that is then *added*::

        v = gamma * v + (1 - gamma) * g
        w = w + v                                       wrong: this climbs

    Two things differ. The sign: v points uphill, as g does, so the step is ``w - lr * v``. And
    the factor (1 - gamma) rescales the learning rate: for a constant gradient v tends to g here,
    but to g / (1 - gamma) above. With ``dampening=momentum`` v is such an average (but starts at
    g); a learning rate found for one form is a factor 1 / (1 - momentum) off in the other.

    Sources: Polyak (1964), Some methods of speeding up the convergence of iteration methods,
    there for w directly: w' = w - lr g + momentum (w - w_before). Sutskever, Martens, Dahl
    and Hinton (2013), On the importance of initialization and momentum in deep learning, eqs.
    (1) to (4); there v holds the learning rate: v = momentum v - lr g, w = w + v, which is the
    same while lr is constant. Here lr multiplies v when it is used, as in PyTorch, so a new
    learning rate acts on the whole velocity at once.

    Examples
    --------
    >>> optimizer = SGD(model.parameters(), lr=0.1, momentum=0.9)  # doctest: +SKIP
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        check_not_differentiable("SGD", differentiable)
        defaults = dict(
            lr=lr,
            momentum=momentum,
            dampening=dampening,
            weight_decay=weight_decay,
            nesterov=nesterov,
            maximize=maximize,
        )
        super().__init__(params, defaults)

    def check(self, group: dict[str, Any]) -> None:
        for name in ("lr", "momentum", "weight_decay"):
            check_number("SGD", name, group[name], NOT_NEGATIVE)
        check_number("SGD", "dampening", group["dampening"], FINITE)
        if group["nesterov"] and not (group["momentum"] > 0 and group["dampening"] == 0):
            raise ValueError(
                message(
                    "SGD",
                    "nesterov looks ahead along the momentum, so it needs one, undampened.",
                    expect="momentum > 0 and dampening = 0",
                    actual=f"momentum={group['momentum']}, dampening={group['dampening']}",
                )
            )

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        return ("momentum_buffer",) if group["momentum"] != 0 else ()

    def first_value(self, parameter) -> None:
        return None  # the velocity starts as the first gradient, not as zero

    def update(self, kernels, params, grads, state, group) -> None:
        kernels.sgd_update(
            params,
            grads,
            state.get("momentum_buffer"),
            lr=group["lr"],
            momentum=float(group["momentum"]),
            dampening=float(group["dampening"]),
            weight_decay=float(group["weight_decay"]),
            nesterov=group["nesterov"],
            maximize=group["maximize"],
        )
