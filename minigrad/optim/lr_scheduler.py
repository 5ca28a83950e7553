"""Schedules: learning rates that change while the training goes on.

A schedule writes ``group["lr"]`` of an optimizer and knows nothing else. It is stepped after the
optimizer, once an epoch (or once a batch: `OneCycleLR`)::

    scheduler = StepLR(optimizer, step_size=30, gamma=0.1)
    for epoch in range(90):
        train(...)
        scheduler.step()

``last_epoch`` counts the steps; it is 0 during the first epoch, when the learning rate is the
optimizer's own. Most schedules say how to get from one learning rate to the *next* (`get_lr`)
rather than what it is at epoch t (`closed_form`). So two schedules on one optimizer multiply, and
what somebody else does to the learning rate is kept. The formulas in the docstrings are the
closed forms, with lr0 the learning rate that the optimizer was given and t = ``last_epoch``.

Before this: ``optimizer.py``. Next: ``training/loop.py``.
"""

from __future__ import annotations

import math
import types
import warnings
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from .._errors import message
from ._checks import (
    DECAY_RATE,
    FACTOR,
    FINITE,
    FRACTION,
    NOT_NEGATIVE,
    POSITIVE,
    check_choice,
    check_number,
    check_whole,
)
from .optimizer import Optimizer


class LRScheduler:
    """The base of all schedules: a subclass defines `get_lr`, and `closed_form` if it has one.

    Parameters
    ----------
    optimizer : Optimizer
        Whose learning rates are set.
    last_epoch : int
        -1 for a new schedule, which notes each group's learning rate as ``group["initial_lr"]``.
        Otherwise the last epoch that was run, for a schedule that goes on over an optimizer whose
        groups have their ``initial_lr``; `load_state_dict` is the simpler way.

    Attributes
    ----------
    optimizer : Optimizer
    last_epoch : int
        How many steps were made.
    base_lrs : list of float
        The initial learning rate of each group.

    Raises
    ------
    TypeError
        If `optimizer` is not an optimizer.
    KeyError
        If `last_epoch` is given and a group has no ``initial_lr``.

    Warns
    -----
    UserWarning
        If the schedule is stepped before the optimizer has been, for then the first learning
        rate is skipped.
    """

    _not_saved = ("optimizer", "_stepping", "_starting")

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1):
        _check_optimizer(type(self).__name__, optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    message(
                        type(self).__name__,
                        f"it is to go on after epoch {last_epoch}, but group {i} of the optimizer "
                        "does not say where it began.",
                        expect="an 'initial_lr' in every group",
                        do="load the optimizer's saved state first, or use last_epoch=-1",
                    )
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._stepping = self._starting = False
        self._start()

    def _start(self) -> None:
        """Make the step that leads to the first epoch."""
        self._step_count = 0
        self._starting = True
        try:
            self.step()
        finally:
            self._starting = False

    def get_lr(self) -> list[float]:
        """Return the next learning rate of each group, from the present ones and `last_epoch`.

        This is for `step` to call; what the learning rates are, `get_last_lr` says.
        """
        raise NotImplementedError(message(type(self).__name__, "it defines no get_lr."))

    def closed_form(self, lr0: float, t: int) -> float:
        """Return the learning rate at epoch t of a group that begins with lr0."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the learning rate of each group, as the last step set it."""
        return list(self._last_lr)

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch and set its learning rates.

        Parameters
        ----------
        epoch : int, optional
            Go to this epoch instead. As in PyTorch this is discouraged, and gives a warning.
        """
        if self._step_count == 1 and not self._optimizer_has_stepped():
            warnings.warn(
                f"{type(self).__name__}.step() was called before optimizer.step(), so the first "
                "learning rate of the schedule is skipped. Call optimizer.step() first.",
                UserWarning,
                stacklevel=2,
            )
        if epoch is not None:
            warnings.warn(
                f"{type(self).__name__}.step(epoch) is discouraged: step() counts by itself.",
                UserWarning,
                stacklevel=2,
            )
        self._step_count += 1
        self._set_epoch(epoch)

    def _set_epoch(self, epoch: int | None) -> None:
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        has_closed_form = type(self).closed_form is not LRScheduler.closed_form
        if epoch is not None and has_closed_form:
            rates = [self.closed_form(lr0, epoch) for lr0 in self.base_lrs]
        else:
            self._stepping = True
            try:
                rates = self.get_lr()
            finally:
                self._stepping = False
        self._set_rates(rates)

    def _set_rates(self, rates: Iterable[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = self._rates()

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]

    def _scaled(self, factor: float) -> list[float]:
        return [lr * factor for lr in self._rates()]

    def _warn_outside_step(self) -> None:
        if not self._stepping:
            warnings.warn(
                f"{type(self).__name__}.get_lr() computes the next learning rate from the present "
                "one. To read the present one call get_last_lr().",
                UserWarning,
                stacklevel=3,
            )

    def _optimizer_has_stepped(self) -> bool:
        # An optimizer that overrides `step` keeps no count, and gets the benefit of the doubt.
        return self.optimizer._has_stepped or type(self.optimizer).step is not Optimizer.step

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of all that the schedule holds, except the optimizer.

        The learning rates themselves are in the optimizer's state: save both.
        """
        return {
            key: list(value) if isinstance(value, list) else value
            for key, value in vars(self).items()
            if key not in self._not_saved
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned.

        Raises
        ------
        ValueError
            If its keys are not those of this schedule; then nothing is loaded.
        """
        _check_keys(self, state_dict)
        for key, value in state_dict.items():
            setattr(self, key, list(value) if isinstance(value, list) else value)


def _check_optimizer(where: str, optimizer: Any) -> None:
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            message(
                where,
                "the first argument is not an optimizer.",
                expect="an optimizer, such as optim.SGD(model.parameters(), lr=0.1)",
                actual=type(optimizer).__name__,
            )
        )


def _check_keys(scheduler: LRScheduler, state_dict: Any) -> None:
    own = set(scheduler.state_dict())
    other = set(state_dict) if isinstance(state_dict, dict) else set()
    if own != other:
        raise ValueError(
            message(
                f"{type(scheduler).__name__}.load_state_dict",
                "this is not the state of such a schedule; nothing was loaded.",
                expect=f"the keys {sorted(own)}",
                actual=f"missing {sorted(own - other)}, unexpected {sorted(map(str, other - own))}"
                if isinstance(state_dict, dict)
                else type(state_dict).__name__,
            )
        )


def _one_for_each_group(where: str, name: str, value: Any, optimizer: Optimizer) -> list:
    """Return a list with one value a group: the one given for all, or those given for each."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        return [value] * groups
    if len(value) != groups:
        raise ValueError(
            message(
                where,
                f"{name} does not have one entry for each parameter group.",
                expect=groups,
                actual=len(value),
            )
        )
    return list(value)


# ------------------------------------------------------------------------------- any function


class LambdaLR(LRScheduler):
    """``lr = lr0 * lr_lambda(t)``: any schedule at all.

    Parameters
    ----------
    optimizer : Optimizer
    lr_lambda : callable, or list of callable
        From the epoch t = 0, 1, ... to the factor; one for all groups, or one for each.
    last_epoch : int
        As for `LRScheduler`.

    Notes
    -----
    Functions are not part of the state: on resuming, give the same ones. Of callable objects the
    attributes are.
    """

    _not_saved = (*LRScheduler._not_saved, "lr_lambdas")

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ):
        _check_optimizer("LambdaLR", optimizer)
        self.lr_lambdas = _one_for_each_group("LambdaLR", "lr_lambda", lr_lambda, optimizer)
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(
                    message(
                        "LambdaLR", "lr_lambda is not a function.", actual=type(function).__name__
                    )
                )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        t = self.last_epoch
        return [lr0 * factor(t) for lr0, factor in zip(self.base_lrs, self.lr_lambdas, strict=True)]

    def state_dict(self) -> dict[str, Any]:
        attributes = [
            None
            if isinstance(function, types.FunctionType)
            else dict(getattr(function, "__dict__", {}))
            for function in self.lr_lambdas
        ]
        return {**super().state_dict(), "lr_lambdas": attributes}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _check_keys(self, state_dict)
        _one_for_each_group("LambdaLR", "lr_lambdas", state_dict["lr_lambdas"], self.optimizer)
        functions = self.lr_lambdas
        super().load_state_dict(state_dict)
        self.lr_lambdas = functions
        for function, attributes in zip(functions, state_dict["lr_lambdas"], strict=True):
            if attributes:
                vars(function).update(attributes)


# ------------------------------------------------------------------------------- steps and decays


class StepLR(LRScheduler):
    """A factor `gamma` every `step_size` epochs: ``lr = lr0 * gamma ** (t // step_size)``.

    Parameters
    ----------
    optimizer : Optimizer
    step_size : int
        Epochs between two decays.
    gamma : float
        The factor.
    last_epoch : int
        As for `LRScheduler`.

    Notes
    -----
    The first decay comes after `step_size` epochs, so epochs 0 to ``step_size - 1`` run with lr0.
    Loops in textbooks often read::

        if epoch % step_size == 0:
            lr = lr * gamma                             wrong: this fires at epoch 0

    since 0 is a multiple of everything; then no epoch at all has the learning rate that was asked
    for. Either ask ``epoch > 0`` too, or use the closed form above.
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ):
        check_whole("StepLR", "step_size", step_size, 1)
        check_number("StepLR", "gamma", gamma, NOT_NEGATIVE)
        self.step_size = step_size
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        decays = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return self._scaled(self.gamma) if decays else self._rates()

    def closed_form(self, lr0: float, t: int) -> float:
        return lr0 * self.gamma ** (t // self.step_size)


class MultiStepLR(LRScheduler):
    """A factor `gamma` at each milestone: ``lr = lr0 * gamma ** (milestones up to t)``.

    Parameters
    ----------
    optimizer : Optimizer
    milestones : iterable of int
        The epochs that are the first with a new learning rate; one named twice counts twice.
    gamma : float
        The factor.
    last_epoch : int
        As for `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        milestones: Iterable[int],
        gamma: float = 0.1,
        last_epoch: int = -1,
    ):
        milestones = list(milestones)
        for milestone in milestones:
            check_whole("MultiStepLR", "a milestone", milestone, 0)
        check_number("MultiStepLR", "gamma", gamma, NOT_NEGATIVE)
        self.milestones = sorted(milestones)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        times = self.milestones.count(self.last_epoch)
        return self._scaled(self.gamma**times) if times else self._rates()

    def closed_form(self, lr0: float, t: int) -> float:
        return lr0 * self.gamma ** bisect_right(self.milestones, t)


class ExponentialLR(LRScheduler):
    """A factor `gamma` every epoch: ``lr = lr0 * gamma ** t``.

    Parameters
    ----------
    optimizer : Optimizer
    gamma : float
        The factor.
    last_epoch : int
        As for `LRScheduler`.
    """

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1):
        check_number("ExponentialLR", "gamma", gamma, NOT_NEGATIVE)
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        return self._rates() if self._starting else self._scaled(self.gamma)

    def closed_form(self, lr0: float, t: int) -> float:
        return lr0 * self.gamma**t


# ------------------------------------------------------------------------------------ warm-up


class ConstantLR(LRScheduler):
    """A small learning rate at first: ``lr = lr0 * factor`` while t < total_iters, then lr0.

    Parameters
    ----------
    optimizer : Optimizer
    factor : float
        Above 0 (from 0 there is no way back) and at most 1.
    total_iters : int
        For how many epochs.
    last_epoch : int
        As for `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        factor: float = 1.0 / 3,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        check_number("ConstantLR", "factor", factor, FACTOR)
        check_whole("ConstantLR", "total_iters", total_iters, 0)
        self.factor = factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        if self.last_epoch == 0:
            return self._scaled(self.factor)
        return (
            self._scaled(1 / self.factor) if self.last_epoch == self.total_iters else self._rates()
        )

    def closed_form(self, lr0: float, t: int) -> float:
        return lr0 * (self.factor if t < self.total_iters else 1.0)


class LinearLR(LRScheduler):
    """A straight line, usually a warm-up: ``lr = lr0 * factor(t)``, where the factor goes from
    `start_factor` at t = 0 to `end_factor` at t = `total_iters` and stays there.

    Parameters
    ----------
    optimizer : Optimizer
    start_factor : float
        Above 0 and at most 1.
    end_factor : float
        From 0 to 1.
    total_iters : int
        Epochs from one to the other.
    last_epoch : int
        As for `LRScheduler`.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ):
        check_number("LinearLR", "start_factor", start_factor, FACTOR)
        check_number("LinearLR", "end_factor", end_factor, FRACTION)
        check_whole("LinearLR", "total_iters", total_iters, 1)
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def _factor(self, t: int) -> float:
        way = min(t, self.total_iters) / self.total_iters
        return self.start_factor + (self.end_factor - self.start_factor) * way

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        t = self.last_epoch
        if t == 0:
            return self._scaled(self.start_factor)
        if self._starting or t > self.total_iters:
            return self._rates()
        return self._scaled(self._factor(t) / self._factor(t - 1))

    def closed_form(self, lr0: float, t: int) -> float:
        return lr0 * self._factor(t)


# ------------------------------------------------------------------------------------- cosines


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from lr0 down to `eta_min`, in `T_max` epochs::

        lr = eta_min + (lr0 - eta_min) * (1 + cos(pi * t / T_max)) / 2

    Parameters
    ----------
    optimizer : Optimizer
    T_max : int
        Epochs from lr0 to `eta_min`. Going on after that leads up again, back to lr0 at 2 T_max.
    eta_min : float
        The smallest learning rate.
    last_epoch : int
        As for `LRScheduler`.

    Notes
    -----
    Source: Loshchilov and Hutter (2017), SGDR: stochastic gradient descent with warm restarts,
    eq. (5), here without the restarts (those are in `CosineAnnealingWarmRestarts`).
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ):
        check_number("CosineAnnealingLR", "T_max", T_max, POSITIVE)
        check_number("CosineAnnealingLR", "eta_min", eta_min, FINITE)
        self.T_max = T_max
        self.eta_min = eta_min
        super().__init__(optimizer, last_epoch)

    def _height(self, t: int) -> float:
        """1 at the top of the cosine, 0 at its foot."""
        return (1 + math.cos(math.pi * t / self.T_max)) / 2

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        t = self.last_epoch
        if self._starting:
            return self._rates()
        if self._step_count == 1 and t > 0:  # the first step of a schedule that was loaded
            return [self.closed_form(lr0, t) for lr0 in self.base_lrs]
        pairs = zip(self.base_lrs, self._rates(), strict=True)
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # up from the foot, where the height is 0
            rise = (1 - math.cos(math.pi / self.T_max)) / 2
            return [lr + (lr0 - self.eta_min) * rise for lr0, lr in pairs]
        ratio = self._height(t) / self._height(t - 1)
        return [self.eta_min + (lr - self.eta_min) * ratio for _, lr in pairs]

    def closed_form(self, lr0: float, t: int) -> float:
        return self.eta_min + (lr0 - self.eta_min) * self._height(t)


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosines from lr0 down to `eta_min`, again and again::

        lr = eta_min + (lr0 - eta_min) * (1 + cos(pi * T_cur / T_i)) / 2

    with T_cur the epochs since the last restart, and T_i the length of this period.

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Length of the first period.
    T_mult : int
        Each period is this many times as long as the one before.
    eta_min : float
        The smallest learning rate.
    last_epoch : int
        As for `LRScheduler`.

    Notes
    -----
    ``step(epoch)`` with a fraction, as in ``scheduler.step(epoch + i / batches)``, is the paper's
    use and gives no warning. Source: Loshchilov and Hutter (2017), SGDR: stochastic gradient
    descent with warm restarts, eq. (5).
    """

    def __init__(
        self,
        optimizer: Optimizer,
        T_0: int,
        T_mult: int = 1,
        eta_min: float = 0.0,
        last_epoch: int = -1,
    ):
        where = "CosineAnnealingWarmRestarts"
        check_whole(where, "T_0", T_0, 1)
        check_whole(where, "T_mult", T_mult, 1)
        check_number(where, "eta_min", eta_min, FINITE)
        self.T_0 = T_0
        self.T_mult = T_mult
        self.eta_min = eta_min
        self.T_i, self.T_cur = T_0, last_epoch
        super().__init__(optimizer, last_epoch)

    def step(self, epoch: float | None = None) -> None:
        """Go on to the next epoch, or to any point in time, and set its learning rates."""
        self._step_count += 1
        self._set_epoch(epoch)

    def _set_epoch(self, epoch: float | None) -> None:
        if epoch is None:
            epoch = self.last_epoch + 1
        check_number("CosineAnnealingWarmRestarts.step", "epoch", epoch, NOT_NEGATIVE)
        self.T_cur, self.T_i = epoch, self.T_0
        while self.T_cur >= self.T_i:
            self.T_cur, self.T_i = self.T_cur - self.T_i, self.T_i * self.T_mult
        self.last_epoch = math.floor(epoch)
        self._stepping = True
        try:
            self._set_rates(self.get_lr())
        finally:
            self._stepping = False

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        height = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (lr0 - self.eta_min) * height for lr0 in self.base_lrs]


class OneCycleLR(LRScheduler):
    """Up to a large learning rate and down to a very small one, once; stepped every *batch*.

    From ``max_lr / div_factor`` up to `max_lr` in the first `pct_start` of the steps, then down
    to ``max_lr / div_factor / final_div_factor`` in the rest. The momentum (beta1 for Adam) does
    the reverse, for a long step and a long memory together are unstable. Between a and b, at the
    fraction p of a phase::

        cos:      b + (a - b) * (1 + cos(pi * p)) / 2
        linear:   a + (b - a) * p

    Parameters
    ----------
    optimizer : Optimizer
        Its own learning rate and momentum are overwritten.
    max_lr : float or list of float
        The peak; for all groups, or one for each.
    total_steps : int, optional
        How many batches there will be; otherwise ``epochs * steps_per_epoch``.
    epochs, steps_per_epoch : int, optional
        Used where `total_steps` is not given.
    pct_start : float
        The part of the cycle that leads up, in [0, 1].
    anneal_strategy : {'cos', 'linear'}
        The form of the way.
    cycle_momentum : bool
        Whether to move the momentum too.
    base_momentum, max_momentum : float or list of float
        The momentum at the peak of the learning rate, and at both ends.
    div_factor : float
        The peak over the start.
    final_div_factor : float
        The start over the end.
    three_phase : bool
        Whether to come down to the start first, in as many steps as it took up, and only then to
        the end.
    last_epoch : int
        As for `LRScheduler`; here the last batch.

    Raises
    ------
    ValueError
        If the number of steps is not given, if an option is out of range, if the optimizer has
        no momentum to cycle, and from `step` after the last of `total_steps`.

    Notes
    -----
    A phase that pct_start leaves no step for is over at once. (PyTorch divides by zero where the
    way up is exactly one step long.)

    Source: Smith and Topin (2019), Super-convergence: very fast training of neural networks using
    large learning rates. The paper's form is ``three_phase=True`` with ``'linear'``.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ):
        where = "OneCycleLR"
        _check_optimizer(where, optimizer)
        self.total_steps = _total_steps(total_steps, epochs, steps_per_epoch)
        check_choice(where, "anneal_strategy", anneal_strategy, ("cos", "linear"))
        check_number(where, "pct_start", pct_start, FRACTION)
        check_number(where, "div_factor", div_factor, POSITIVE)
        check_number(where, "final_div_factor", final_div_factor, POSITIVE)
        peaks = _one_for_each_group(where, "max_lr", max_lr, optimizer)
        for peak in peaks:
            check_number(where, "max_lr", peak, NOT_NEGATIVE)
        self.pct_start = pct_start
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        self.three_phase = three_phase
        ends = {"base_momentum": base_momentum, "max_momentum": max_momentum}
        ends = {k: _one_for_each_group(where, k, v, optimizer) for k, v in ends.items()}
        for name, values in ends.items():
            for value in values:
                check_number(where, name, value, DECAY_RATE)
        if cycle_momentum and not {"momentum", "betas"} & set(optimizer.defaults):
            raise ValueError(
                message(
                    where,
                    "the optimizer has no momentum to cycle.",
                    expect="an optimizer with the option momentum or betas",
                    actual=type(optimizer).__name__,
                    do="cycle_momentum=False",
                )
            )
        if last_epoch == -1:
            for i, group in enumerate(optimizer.param_groups):
                group["initial_lr"] = peaks[i] / div_factor
                group["max_lr"] = peaks[i]
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group.update({name: values[i] for name, values in ends.items()})
        super().__init__(optimizer, last_epoch)

    def _phases(self) -> list[tuple[float, str, str, str, str]]:
        """Each phase: its last step, and between which entries of a group lr and momentum move."""
        up = self.pct_start * self.total_steps - 1
        end = self.total_steps - 1
        rise = (up, "initial_lr", "max_lr", "max_momentum", "base_momentum")
        if not self.three_phase:
            return [rise, (end, "max_lr", "min_lr", "base_momentum", "max_momentum")]
        down = 2 * self.pct_start * self.total_steps - 2
        return [
            rise,
            (down, "max_lr", "initial_lr", "base_momentum", "max_momentum"),
            (end, "initial_lr", "min_lr", "max_momentum", "max_momentum"),
        ]

    def _between(self, a: float, b: float, p: float) -> float:
        if self.anneal_strategy == "linear":
            return a + (b - a) * p
        return b + (a - b) * (1 + math.cos(math.pi * p)) / 2

    def get_lr(self) -> list[float]:
        self._warn_outside_step()
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(
                message(
                    "OneCycleLR.step",
                    "the cycle is over.",
                    expect=f"at most {self.total_steps} steps",
                    actual=t,
                    do="step it once a batch, with total_steps the batches of all epochs",
                )
            )
        phases = self._phases()
        i = next((i for i, phase in enumerate(phases) if t <= phase[0]), len(phases) - 1)
        start = phases[i - 1][0] if i else 0.0
        end, from_lr, to_lr, from_momentum, to_momentum = phases[i]
        p = (t - start) / (end - start) if end != start else 1.0
        if self.cycle_momentum:
            for group in self.optimizer.param_groups:
                _set_momentum(group, self._between(group[from_momentum], group[to_momentum], p))
        return [
            self._between(group[from_lr], group[to_lr], p) for group in self.optimizer.param_groups
        ]


def _total_steps(total_steps: int | None, epochs: int | None, steps_per_epoch: int | None) -> int:
    if total_steps is not None:
        check_whole("OneCycleLR", "total_steps", total_steps, 1)
        return total_steps
    if epochs is None or steps_per_epoch is None:
        raise ValueError(
            message(
                "OneCycleLR",
                "the length of the cycle is not given.",
                expect="total_steps, or epochs and steps_per_epoch",
            )
        )
    check_whole("OneCycleLR", "epochs", epochs, 1)
    check_whole("OneCycleLR", "steps_per_epoch", steps_per_epoch, 1)
    return epochs * steps_per_epoch


def _set_momentum(group: dict[str, Any], momentum: float) -> None:
    if "betas" in group:
        group["betas"] = (momentum, *group["betas"][1:])
    else:
        group["momentum"] = momentum


# --------------------------------------------------------------------- schedules of schedules


class SequentialLR(LRScheduler):
    """One schedule after the other, such as a warm-up and then a cosine.

    Parameters
    ----------
    optimizer : Optimizer
    schedulers : list of LRScheduler
        All over this optimizer. Each starts from its own epoch 0.
    milestones : list of int
        The epochs at which the second, third, ... takes over: one fewer than schedulers.
    last_epoch : int
        As for `LRScheduler`.

    Raises
    ------
    ValueError
        Without schedulers, if the numbers do not fit, if a schedule belongs to another optimizer
        or is a `ReduceLROnPlateau` (whose step needs a metric) or a `SequentialLR`.
    """

    _not_saved = (*LRScheduler._not_saved, "_schedulers")

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: Sequence[LRScheduler],
        milestones: Sequence[int],
        last_epoch: int = -1,
    ):
        _check_optimizer("SequentialLR", optimizer)
        self._schedulers = list(schedulers)
        self._milestones = list(milestones)
        for i, scheduler in enumerate(self._schedulers):
            if (
                not isinstance(scheduler, LRScheduler)
                or isinstance(scheduler, (ReduceLROnPlateau, SequentialLR))
                or scheduler.optimizer is not optimizer
            ):
                problem = f"entry {i} of the schedulers does not fit."
                expect = "schedules over this optimizer, no ReduceLROnPlateau and no SequentialLR"
                actual = type(scheduler).__name__
                raise ValueError(message("SequentialLR", problem, expect=expect, actual=actual))
        if not self._schedulers or len(self._milestones) != len(self._schedulers) - 1:
            problem = "schedulers and milestones do not fit together."
            expect = "one milestone fewer than schedulers, and at least one of these"
            actual = f"{len(self._schedulers)} schedulers, {len(self._milestones)} milestones"
            raise ValueError(message("SequentialLR", problem, expect=expect, actual=actual))
        if self._milestones != sorted(self._milestones):
            raise ValueError(
                message("SequentialLR", "the milestones are not in order.", actual=self._milestones)
            )
        self.optimizer = optimizer
        self.last_epoch = last_epoch + 1
        # Making the schedulers has set the learning rate, each in its turn: undo all of that.
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"]
        for scheduler in self._schedulers:
            scheduler.last_epoch -= 1
        first = self._schedulers[bisect_right(self._milestones, 0)]
        first._start()
        self._last_lr = first.get_last_lr()

    def step(self) -> None:
        """Go on to the next epoch: a step of the schedule whose turn it is."""
        self.last_epoch += 1
        i = bisect_right(self._milestones, self.last_epoch)
        scheduler = self._schedulers[i]
        if i > 0 and self._milestones[i - 1] == self.last_epoch:
            scheduler._set_epoch(0)
        else:
            scheduler.step()
        self._last_lr = scheduler.get_last_lr()

    def state_dict(self) -> dict[str, Any]:
        states = [scheduler.state_dict() for scheduler in self._schedulers]
        return {**super().state_dict(), "_schedulers": states}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        _check_keys(self, state_dict)
        states, schedulers = state_dict["_schedulers"], self._schedulers
        if len(states) != len(schedulers):
            raise ValueError(
                message(
                    "SequentialLR.load_state_dict",
                    "the state holds another number of schedules; nothing was loaded.",
                    expect=len(schedulers),
                    actual=len(states),
                )
            )
        for scheduler, state in zip(schedulers, states, strict=True):
            _check_keys(scheduler, state)
        super().load_state_dict(state_dict)
        self._schedulers = schedulers
        for scheduler, state in zip(schedulers, states, strict=True):
            scheduler.load_state_dict(state)


class ReduceLROnPlateau(LRScheduler):
    """A factor `factor` whenever a metric has stopped to improve; stepped with the metric.

    ``scheduler.step(validation_loss)`` after each epoch. An epoch is bad if its metric is not
    better than the best so far by the threshold. After more than `patience` bad epochs in a row
    the learning rate is multiplied by `factor`, and bad epochs do not count for the next
    `cooldown` ones.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {'min', 'max'}
        Whether smaller metrics are better, or larger.
    factor : float
        In [0, 1).
    patience : int
        How many bad epochs are borne.
    threshold : float
        How much better an epoch must be to count as better.
    threshold_mode : {'rel', 'abs'}
        Whether the threshold is a fraction of the best, or an amount.
    cooldown : int
        Epochs after a reduction in which nothing is counted.
    min_lr : float or list of float
        The smallest learning rate; for all groups, or one for each.
    eps : float
        Reductions by less than this are not made.

    Notes
    -----
    A metric that is NaN is not better than anything, so it counts as bad.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ):
        where = "ReduceLROnPlateau"
        _check_optimizer(where, optimizer)
        check_choice(where, "mode", mode, ("min", "max"))
        check_choice(where, "threshold_mode", threshold_mode, ("rel", "abs"))
        for least in _one_for_each_group(where, "min_lr", min_lr, optimizer):
            check_number(where, "min_lr", least, NOT_NEGATIVE)
        check_number(where, "factor", factor, DECAY_RATE)
        check_number(where, "threshold", threshold, NOT_NEGATIVE)
        check_number(where, "eps", eps, NOT_NEGATIVE)
        check_whole(where, "patience", patience, 0)
        check_whole(where, "cooldown", cooldown, 0)
        self.optimizer = optimizer
        self.min_lr = min_lr
        self.mode = mode
        self.factor = factor
        self.patience = patience
        self.threshold = threshold
        self.threshold_mode = threshold_mode
        self.cooldown = cooldown
        self.eps = eps
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._rates()

    def step(self, metrics: Any, epoch: int | None = None) -> None:
        """Look at the metric of an epoch, and reduce the learning rates if it is time.

        Parameters
        ----------
        metrics : float or Tensor
            One number.
        epoch : int, optional
            The number of the epoch; by default they are counted.
        """
        value = float(metrics)
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        if self.is_better(value, self.best):
            self.best = value
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.in_cooldown:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self._reduce()
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()

    @property
    def in_cooldown(self) -> bool:
        """Whether bad epochs are not counted at present."""
        return self.cooldown_counter > 0

    def is_better(self, value: float, best: float) -> bool:
        """Whether a metric is better than the best by the threshold."""
        sign = -1 if self.mode == "min" else 1
        if self.threshold_mode == "rel":
            bound = best * (1 + sign * self.threshold)
        else:
            bound = best + sign * self.threshold
        return value < bound if self.mode == "min" else value > bound

    def _reduce(self) -> None:
        least = _one_for_each_group("ReduceLROnPlateau", "min_lr", self.min_lr, self.optimizer)
        for group, min_lr in zip(self.optimizer.param_groups, least, strict=True):
            lr = max(group["lr"] * self.factor, min_lr)
            if group["lr"] - lr > self.eps:
                group["lr"] = lr
