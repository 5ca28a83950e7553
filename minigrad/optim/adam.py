"""Adam and AdamW: momentum, divided by the size of recent gradients, both corrected at the start.

Before this: ``sgd.py`` and ``rmsprop.py``, the two halves of Adam. Next: ``penalty.py``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._errors import message
from ._checks import DECAY_RATE, NOT_NEGATIVE, check_not_differentiable, check_number
from .optimizer import Optimizer


class Adam(Optimizer):
    r"""Adaptive moment estimation.

    For each parameter w with gradient g, at its step t = 1, 2, ...; entry by entry, with
    ``beta1, beta2 = betas``::

        g = g + weight_decay * w
        m = beta1 * m + (1 - beta1) * g                 (m = 0 before the first step)
        s = beta2 * s + (1 - beta2) * g**2              (s = 0 before the first step)
        m_hat = m / (1 - beta1**t)
        s_hat = s / (1 - beta2**t)
        w = w - lr * m_hat / (sqrt(s_hat) + eps)

    ``amsgrad`` puts the largest s so far in the place of s in the fifth line.

    Parameters
    ----------
    params : iterable
        Parameters, or groups of them; see `Optimizer`.
    lr : float
        The learning rate, at least 0: about the largest change of any weight in a step.
    betas : (float, float)
        Decay rates of the two running means, each in [0, 1).
    eps : float
        Keeps the division finite; outside the root.
    weight_decay : float
        Strength of the pull towards zero. Here it is part of the gradient, so it is divided by
        sqrt(s_hat) like the rest; `AdamW` leaves it out of that.
    amsgrad : bool
        Whether to divide by the largest s so far.
    maximize : bool
        Whether to climb instead of to descend.
    decoupled_weight_decay : bool
        Whether to decay as `AdamW` does.
    foreach, capturable, fused : bool, optional
        Accepted for PyTorch's sake and without effect: ``cuda.capture`` makes any optimizer
        capturable.
    differentiable : bool
        Must be False.

    Raises
    ------
    ValueError, TypeError
        As for `Optimizer`.

    Notes
    -----
    Many texts print Adam without the two lines that define m_hat and s_hat, and some then call
    the betas corrections. The betas are decay rates; the divisions are the correction, and they
    matter. m and s start at 0, so after t steps of a constant gradient m is only (1 - beta1**t)
    times it: a tenth of it at the first step, and s a thousandth. Without the correction the
    first step would be (1 - beta1) / sqrt(1 - beta2), about 3.2 times, too long.

    Each parameter counts its own t: one that got its first gradient late (it was frozen) needs
    the same correction then.

    Sources: Kingma and Ba (2015), Adam: a method for stochastic optimization, algorithm 1 (its
    alpha is lr, its v is s). AMSGrad: Reddi, Kale and Kumar (2018), On the convergence of Adam
    and beyond, algorithm 2; as in PyTorch the correction stays.

    Examples
    --------
    >>> optimizer = Adam(model.parameters(), lr=0.001)  # doctest: +SKIP
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ):
        check_not_differentiable(type(self).__name__, differentiable)
        defaults = dict(
            lr=lr,
            betas=betas,
            eps=eps,
            weight_decay=weight_decay,
            amsgrad=amsgrad,
            maximize=maximize,
            decoupled_weight_decay=decoupled_weight_decay,
        )
        super().__init__(params, defaults)

    def check(self, group: dict[str, Any]) -> None:
        where = type(self).__name__
        for name in ("lr", "eps", "weight_decay"):
            check_number(where, name, group[name], NOT_NEGATIVE)
        if not isinstance(group["betas"], (tuple, list)) or len(group["betas"]) != 2:
            raise TypeError(
                message(
                    where,
                    "betas is not a pair.",
                    expect="(0.9, 0.999)",
                    actual=repr(group["betas"]),
                )
            )
        for i, beta in enumerate(group["betas"]):
            check_number(where, f"betas[{i}]", beta, DECAY_RATE)

    def state_names(self, group: dict[str, Any]) -> tuple[str, ...]:
        names = ("step", "exp_avg", "exp_avg_sq")  # t, m and s
        return (*names, "max_exp_avg_sq") if group["amsgrad"] else names

    def update(self, kernels, params, grads, state, group) -> None:
        beta1, beta2 = group["betas"]
        kernels.adam_update(
            params,
            grads,
            state["exp_avg"],
            state["exp_avg_sq"],
            state.get("max_exp_avg_sq"),
            state["step"],
            lr=group["lr"],
            betas=(float(beta1), float(beta2)),
            eps=float(group["eps"]),
            weight_decay=float(group["weight_decay"]),
            decoupled=group["decoupled_weight_decay"],
            maximize=group["maximize"],
        )


class AdamW(Adam):
    r"""Adam with weight decay as it was meant: outside of the division.

    As `Adam`, but the first line is replaced::

        w = w - lr * weight_decay * w
        m = beta1 * m + (1 - beta1) * g
        ...

    so all weights decay at one rate. In `Adam` the decay is part of g and is divided by
    sqrt(s_hat): weights with large gradients hardly decay at all. The two are the same for SGD,
    which is why the one was long taken for the other.

    Parameters
    ----------
    params, lr, betas, eps, amsgrad, maximize, foreach, capturable, differentiable, fused
        As for `Adam`.
    weight_decay : float
        The share of a weight that is taken away in each step, in units of lr.

    Raises
    ------
    ValueError, TypeError
        As for `Optimizer`.

    Notes
    -----
    Source: Loshchilov and Hutter (2019), Decoupled weight decay regularization, algorithm 2. As
    in PyTorch, lr multiplies the decay too; in the paper only the schedule's factor does.

    Examples
    --------
    >>> optimizer = AdamW(model.parameters(), lr=0.001, weight_decay=0.01)  # doctest: +SKIP
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ):
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            maximize=maximize,
            differentiable=differentiable,
            decoupled_weight_decay=True,
        )
