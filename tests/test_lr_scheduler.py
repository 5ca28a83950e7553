"""Schedules: against stored trajectories of PyTorch, their closed forms, and bad input."""

from __future__ import annotations

import copy
import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import optim
from minigrad.optim import lr_scheduler

GOLDEN = np.load(Path(__file__).parent / "golden" / "optim.npz")
CASES = json.loads(str(GOLDEN["cases"]))["schedule"]
EACH = {  # a way to make each schedule
    "LambdaLR": lambda opt: lr_scheduler.LambdaLR(opt, lambda t: 1 / (1 + t)),
    "StepLR": lambda opt: lr_scheduler.StepLR(opt, 3, 0.5),
    "MultiStepLR": lambda opt: lr_scheduler.MultiStepLR(opt, [2, 5, 5]),
    "ConstantLR": lambda opt: lr_scheduler.ConstantLR(opt, 0.5, 4),
    "LinearLR": lambda opt: lr_scheduler.LinearLR(opt, 0.1, 1.0, 6),
    "ExponentialLR": lambda opt: lr_scheduler.ExponentialLR(opt, 0.9),
    "CosineAnnealingLR": lambda opt: lr_scheduler.CosineAnnealingLR(opt, 8, 0.01),
    "CosineAnnealingWarmRestarts": lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 3, 2),
    "OneCycleLR": lambda opt: lr_scheduler.OneCycleLR(opt, 1.0, 20),
    "SequentialLR": lambda opt: lr_scheduler.SequentialLR(
        opt, [lr_scheduler.LinearLR(opt), lr_scheduler.ExponentialLR(opt, 0.5)], [4]
    ),
}


def an_optimizer(kind=optim.SGD, lr=0.1, **options):
    return kind([minigrad.ones(1, requires_grad=True)], lr=lr, **options)


def two_groups():
    a, b = minigrad.ones(1, requires_grad=True), minigrad.ones(1, requires_grad=True)
    return optim.SGD([{"params": [a]}, {"params": [b], "lr": 0.7, "momentum": 0.3}], lr=0.1)


def steps(optimizer, schedule, n):
    """The learning rate of the first group now, and after each of n steps."""
    rates = [optimizer.param_groups[0]["lr"]]
    for _ in range(n):
        optimizer.step()
        schedule.step()
        rates.append(optimizer.param_groups[0]["lr"])
    return rates


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


# ---------------------------------------------------------------------------- independent sources


@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_of_pytorch(case):
    name, options = CASES[case]
    optimizer = two_groups()
    schedule = getattr(lr_scheduler, name)(optimizer, **options)
    for t, expected in enumerate(GOLDEN[f"schedule/{case}"]):
        if t:
            optimizer.step()
            schedule.step()
        groups = optimizer.param_groups
        actual = [group[key] for group in groups for key in ("lr", "momentum")]
        np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-16, err_msg=f"t = {t}")
        assert schedule.get_last_lr() == [group["lr"] for group in groups]
        assert schedule.last_epoch == t


FORMULAS = {  # the docstrings' formulas, with lr0 = 0.1
    "LambdaLR": lambda t: 0.1 / (1 + t),
    "StepLR": lambda t: 0.1 * 0.5 ** (t // 3),
    "MultiStepLR": lambda t: 0.1 * 0.1 ** ((t >= 2) + 2 * (t >= 5)),
    "ConstantLR": lambda t: 0.1 * (0.5 if t < 4 else 1),
    "LinearLR": lambda t: 0.1 * (0.1 + 0.9 * min(t, 6) / 6),
    "ExponentialLR": lambda t: 0.1 * 0.9**t,
    "CosineAnnealingLR": lambda t: 0.01 + 0.09 * (1 + math.cos(math.pi * t / 8)) / 2,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_the_formula_in_the_docstring(name):
    optimizer = an_optimizer()
    rates = steps(optimizer, EACH[name](optimizer), 40)
    expected = [FORMULAS[name](t) for t in range(41)]
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-16)


@pytest.mark.parametrize("name", sorted(set(FORMULAS) - {"LambdaLR"}))
def test_the_closed_form_is_where_the_steps_lead(name):
    optimizer = an_optimizer()
    schedule = EACH[name](optimizer)
    for t in range(1, 30):
        optimizer.step()
        schedule.step()
        rate = optimizer.param_groups[0]["lr"]
        assert schedule.closed_form(0.1, t) == pytest.approx(rate, rel=1e-12)


def test_restarts():
    optimizer = an_optimizer()
    rates = steps(optimizer, lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2, 0.01), 20)
    expected = [
        0.01 + 0.09 * (1 + math.cos(math.pi * t / period)) / 2
        for period in (3, 6, 12)
        for t in range(period)
    ]
    np.testing.assert_allclose(rates, expected, rtol=1e-12)


def test_a_step_decay_does_not_fire_at_epoch_0():
    optimizer = an_optimizer()
    schedule = lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.1)
    assert steps(optimizer, schedule, 4) == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


@given(
    total=st.integers(1, 60),
    pct_start=st.floats(0, 1),
    strategy=st.sampled_from(["cos", "linear"]),
    three_phase=st.booleans(),
)
def test_one_cycle_stays_in_its_bounds_and_ends_at_its_end(total, pct_start, strategy, three_phase):
    """For every length and split, those too that leave a phase without a step."""
    optimizer = an_optimizer()
    schedule = lr_scheduler.OneCycleLR(
        optimizer,
        1.0,
        total,
        pct_start=pct_start,
        anneal_strategy=strategy,
        three_phase=three_phase and pct_start <= 0.5,
        div_factor=10,
        final_div_factor=100,
    )
    rates = steps(optimizer, schedule, total - 1)
    assert all(1e-3 - 1e-12 <= rate <= 1 + 1e-12 for rate in rates)
    if total > 1 and pct_start * total < total - 1:
        assert rates[-1] == pytest.approx(1e-3)
    assert all(0.85 - 1e-12 <= g["momentum"] <= 0.95 + 1e-12 for g in optimizer.param_groups)


def test_one_cycle_where_the_way_up_is_one_step():
    """PyTorch divides by zero here."""
    optimizer = an_optimizer()
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 10, pct_start=0.1)
    assert steps(optimizer, schedule, 9)[0] == 1.0


def test_one_cycle_moves_beta1_of_adam():
    optimizer = an_optimizer(optim.Adam)
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 10, pct_start=0.5)
    seen = [optimizer.param_groups[0]["betas"]]
    for _ in range(9):
        optimizer.step()
        schedule.step()
        seen.append(optimizer.param_groups[0]["betas"])
    assert seen[0] == (0.95, 0.999)
    assert seen[4] == pytest.approx((0.85, 0.999))
    assert seen[9] == pytest.approx((0.95, 0.999))


def test_one_cycle_is_over_when_it_is_over():
    optimizer = an_optimizer()
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=2, steps_per_epoch=3)
    steps(optimizer, schedule, 6)
    with pytest.raises(ValueError, match=r"(?s)the cycle is over.*at most 6 steps.*Actual: 7"):
        schedule.step()


# ------------------------------------------------------------------------------------ behaviour


def test_two_schedules_multiply_and_other_changes_are_kept():
    optimizer = an_optimizer(lr=1.0)
    first = lr_scheduler.ExponentialLR(optimizer, 0.5)
    second = lr_scheduler.StepLR(optimizer, 2, 0.1)
    for _ in range(4):
        optimizer.step()
        first.step()
        second.step()
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.5**4 * 0.1**2)
    optimizer.param_groups[0]["lr"] = 8.0
    first.step()
    assert first.get_last_lr() == [4.0]


def test_one_after_the_other():
    optimizer = an_optimizer(lr=1.0)
    warm = lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3)
    decay = lr_scheduler.ExponentialLR(optimizer, 0.5)
    schedule = lr_scheduler.SequentialLR(optimizer, [warm, decay], [3])
    assert steps(optimizer, schedule, 6) == pytest.approx([0.25, 0.5, 0.75, 1, 0.5, 0.25, 0.125])
    assert schedule.last_epoch == 6


def test_reduce_on_plateau():
    optimizer = an_optimizer(lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=1, factor=0.5, cooldown=2)
    rates = []
    for loss in [3, 2, minigrad.tensor(2.0), float("nan"), 2, 2, 2, 2, 1, 1]:
        schedule.step(loss)
        rates += schedule.get_last_lr()
    assert rates == [1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]


def test_plateau_leaves_out_reductions_that_are_too_small():
    optimizer = an_optimizer(lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5, eps=0.2)
    for _ in range(5):
        schedule.step(1)
    assert schedule.get_last_lr() == [0.25]


def test_plateau_takes_a_group_that_came_later():
    optimizer = an_optimizer(lr=1.0)
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
    optimizer.add_param_group({"params": [minigrad.ones(1, requires_grad=True)]})
    schedule.step(1)
    schedule.step(1)
    assert schedule.get_last_lr() == [0.5, 0.5]


@pytest.mark.parametrize("name", EACH)
def test_stepping_before_the_optimizer_warns(name):
    optimizer = an_optimizer()
    schedule = EACH[name](optimizer)
    if name == "CosineAnnealingWarmRestarts":
        return  # as in PyTorch, it may be set to any point in time
    with pytest.warns(UserWarning, match=r"before optimizer\.step\(\)"):
        schedule.step()
    schedule.step()  # once is enough


def test_an_optimizer_with_a_step_of_its_own_gives_no_warning():
    class Own(optim.SGD):
        def step(self, closure=None):
            pass

    lr_scheduler.StepLR(an_optimizer(Own), 1).step()


def test_get_lr_is_not_for_reading():
    optimizer = an_optimizer()
    schedule = lr_scheduler.ExponentialLR(optimizer, 0.5)
    with pytest.warns(UserWarning, match="call get_last_lr"):
        assert schedule.get_lr() == [0.05]
    assert schedule.get_last_lr() == [0.1]
    schedule.get_last_lr()[0] = 7
    assert schedule.get_last_lr() == [0.1]


@pytest.mark.parametrize(
    "name", sorted(set(EACH) - {"SequentialLR", "CosineAnnealingWarmRestarts"})
)
def test_to_a_given_epoch(name):
    optimizer, other = an_optimizer(), an_optimizer()
    schedule = EACH[name](optimizer)
    steps(optimizer, schedule, 7)
    second = EACH[name](other)
    other.step()
    with pytest.warns(UserWarning, match="is discouraged"):
        second.step(7)
    if name == "ExponentialLR":
        assert second.get_last_lr() == pytest.approx([0.1 * 0.9**7])
    assert second.get_last_lr() == pytest.approx(schedule.get_last_lr(), rel=1e-12)


def test_initial_lr_stands_in_the_groups():
    optimizer = two_groups()
    schedule = lr_scheduler.StepLR(optimizer, 1)
    assert [group["initial_lr"] for group in optimizer.param_groups] == [0.1, 0.7]
    assert schedule.base_lrs == [0.1, 0.7]
    later = lr_scheduler.StepLR(optimizer, 1, last_epoch=4)
    assert later.last_epoch == 5


def test_a_schedule_of_ones_own():
    class Halved(lr_scheduler.LRScheduler):
        def get_lr(self):
            return [lr / 2**self.last_epoch for lr in self.base_lrs]

    optimizer = two_groups()
    schedule = Halved(optimizer)
    steps(optimizer, schedule, 3)
    assert schedule.get_last_lr() == [0.1 / 8, 0.7 / 8]


# ------------------------------------------------------------------------------- save and load


@pytest.mark.parametrize("name", EACH)
@pytest.mark.parametrize("stop", [0, 1, 3, 7])
def test_stopped_and_resumed_equals_never_stopped(name, stop, tmp_path):
    from minigrad import serialize

    optimizer = an_optimizer(momentum=0.9)
    schedule = EACH[name](optimizer)
    steps(optimizer, schedule, stop)
    state = {"optimizer": optimizer.state_dict(), "schedule": schedule.state_dict()}
    serialize.save(state, tmp_path / "state.npz")
    expected = steps(optimizer, schedule, 10)

    other = an_optimizer(momentum=0.9)
    second = EACH[name](other)
    state = serialize.load(tmp_path / "state.npz")
    other.load_state_dict(state["optimizer"])
    second.load_state_dict(state["schedule"])
    assert second.get_last_lr() == [other.param_groups[0]["lr"]]
    assert steps(other, second, 10) == expected
    assert other.param_groups[0]["momentum"] == optimizer.param_groups[0]["momentum"]


def test_plateau_resumes(tmp_path):
    optimizer = an_optimizer()
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)
    fresh = schedule.state_dict()
    assert fresh["best"] == math.inf
    for loss in (1, 1, 1):
        schedule.step(loss)
    second = lr_scheduler.ReduceLROnPlateau(an_optimizer(), patience=9)
    second.load_state_dict(schedule.state_dict())
    second.step(1)
    assert second.get_last_lr() == pytest.approx([0.01])


@pytest.mark.parametrize("name", EACH)
def test_a_state_is_a_copy_and_a_wrong_one_changes_nothing(name):
    optimizer = an_optimizer()
    schedule = EACH[name](optimizer)
    steps(optimizer, schedule, 2)
    state = schedule.state_dict()
    kept = copy.deepcopy(state)
    steps(optimizer, schedule, 2)
    assert state == kept
    second = EACH[name](an_optimizer())
    second.load_state_dict(state)
    if "base_lrs" in state:
        assert second.base_lrs is not state["base_lrs"]
    now = schedule.state_dict()
    lacking = {key: value for key, value in kept.items() if key != "last_epoch"}
    for wrong in ({**kept, "extra": 1}, lacking, [1], {}):
        with pytest.raises(ValueError, match=f"{name}.load_state_dict: (?s:.*)nothing was loaded"):
            schedule.load_state_dict(wrong)
    assert schedule.state_dict() == now


def test_sequential_refuses_wrong_states_inside():
    optimizer = an_optimizer()
    schedule = EACH["SequentialLR"](optimizer)
    state = schedule.state_dict()
    for inside in ([], [{}, {}], state["_schedulers"][::-1]):
        with pytest.raises(ValueError, match="nothing was loaded"):
            schedule.load_state_dict({**state, "_schedulers": inside})


def test_callable_objects_are_saved_functions_are_not():
    class Slope:
        def __init__(self, k):
            self.k = k

        def __call__(self, t):
            return 1 / (1 + self.k * t)

    schedule = lr_scheduler.LambdaLR(two_groups(), [Slope(2), lambda t: 1])
    state = schedule.state_dict()
    assert state["lr_lambdas"] == [{"k": 2}, None]
    second = lr_scheduler.LambdaLR(two_groups(), [Slope(5), lambda t: 1])
    second.load_state_dict(state)
    assert second.lr_lambdas[0].k == 2
    with pytest.raises(ValueError, match="one entry for each parameter group"):
        second.load_state_dict({**state, "lr_lambdas": [None]})


# ------------------------------------------------------------------------------------ bad input

NAN = float("nan")


@pytest.mark.parametrize(
    ("name", "options", "text"),
    [
        ("StepLR", {"step_size": 0}, "step_size is out of range"),
        ("StepLR", {"step_size": 1.5}, "step_size is not an integer"),
        ("StepLR", {"step_size": 3, "gamma": NAN}, "gamma is out of range"),
        ("ExponentialLR", {"gamma": -0.1}, "gamma is out of range"),
        ("MultiStepLR", {"milestones": [3, -1]}, "a milestone is out of range"),
        ("ConstantLR", {"factor": 0}, "factor is out of range"),
        ("LinearLR", {"start_factor": 1.5}, "start_factor is out of range"),
        ("LinearLR", {"end_factor": NAN}, "end_factor is out of range"),
        ("LinearLR", {"total_iters": 0}, "total_iters is out of range"),
        ("CosineAnnealingLR", {"T_max": 0}, "T_max is out of range"),
        ("CosineAnnealingLR", {"T_max": 3, "eta_min": NAN}, "eta_min is out of range"),
        ("CosineAnnealingWarmRestarts", {"T_0": 0}, "T_0 is out of range"),
        ("CosineAnnealingWarmRestarts", {"T_0": 2, "T_mult": 0}, "T_mult is out of range"),
        ("LambdaLR", {"lr_lambda": 0.5}, "lr_lambda is not a function"),
        ("LambdaLR", {"lr_lambda": [abs]}, "one entry for each parameter group"),
        ("OneCycleLR", {"max_lr": 1}, "the length of the cycle is not given"),
        ("OneCycleLR", {"max_lr": 1, "epochs": 3}, "the length of the cycle is not given"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 0}, "total_steps is out of range"),
        ("OneCycleLR", {"max_lr": NAN, "total_steps": 9}, "max_lr is out of range"),
        ("OneCycleLR", {"max_lr": [1], "total_steps": 9}, "one entry for each parameter group"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "pct_start": 1.1}, "pct_start is out"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "div_factor": 0}, "div_factor is out"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "anneal_strategy": "up"}, "no such anneal"),
        ("OneCycleLR", {"max_lr": 1, "total_steps": 9, "max_momentum": 1.0}, "max_momentum is out"),
        ("ReduceLROnPlateau", {"mode": "up"}, "no such mode"),
        ("ReduceLROnPlateau", {"threshold_mode": "up"}, "no such threshold_mode"),
        ("ReduceLROnPlateau", {"factor": 1.0}, "factor is out of range"),
        ("ReduceLROnPlateau", {"min_lr": [0]}, "one entry for each parameter group"),
        ("ReduceLROnPlateau", {"min_lr": NAN}, "min_lr is out of range"),
        ("ReduceLROnPlateau", {"patience": -1}, "patience is out of range"),
    ],
)
def test_options_out_of_range(name, options, text):
    optimizer = two_groups()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises((ValueError, TypeError), match=f"{name}: .*{text}"):
        getattr(lr_scheduler, name)(optimizer, **options)
    assert optimizer.state_dict() == before  # nothing was set


def test_what_is_no_optimizer():
    for make in EACH.values():
        with pytest.raises(TypeError, match="the first argument is not an optimizer"):
            make([minigrad.ones(1)])
    with pytest.raises(TypeError, match="the first argument is not an optimizer"):
        lr_scheduler.ReduceLROnPlateau(None)


def test_going_on_needs_the_initial_lr():
    with pytest.raises(KeyError, match="does not say where it began"):
        lr_scheduler.StepLR(an_optimizer(), 3, last_epoch=5)


def test_one_cycle_needs_a_momentum_to_cycle():
    class Plain(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, dict(lr=lr))

    optimizer = an_optimizer(Plain)
    with pytest.raises(ValueError, match="no momentum to cycle"):
        lr_scheduler.OneCycleLR(optimizer, 1.0, 10)
    lr_scheduler.OneCycleLR(optimizer, 1.0, 10, cycle_momentum=False)


def test_sequential_refuses():
    optimizer = an_optimizer()
    one, other = lr_scheduler.StepLR(optimizer, 1), lr_scheduler.StepLR(an_optimizer(), 1)
    plateau = lr_scheduler.ReduceLROnPlateau(optimizer)
    for schedulers in (
        [one, other],
        [one, plateau],
        [one, None],
        [one, EACH["SequentialLR"](optimizer)],
    ):
        with pytest.raises(ValueError, match="entry 1 of the schedulers does not fit"):
            lr_scheduler.SequentialLR(optimizer, schedulers, [3])
    for schedulers, milestones in (([], []), ([one], [3]), ([one, one], [])):
        with pytest.raises(ValueError, match="do not fit together"):
            lr_scheduler.SequentialLR(optimizer, schedulers, milestones)
    with pytest.raises(ValueError, match="not in order"):
        lr_scheduler.SequentialLR(optimizer, [one, one, one], [5, 3])
