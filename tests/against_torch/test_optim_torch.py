"""Optimizers and schedules against PyTorch, live: 50 steps within 1e-9 in float64.

Needs PyTorch. The same is compared with stored numbers in ``tests/test_optim.py``.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import optim

torch = pytest.importorskip("torch")

STEPS = 50
SHAPES = [(3, 2), (4,), ()]
finite = dict(allow_nan=False, allow_infinity=False)
rates = st.floats(1e-4, 0.1, **finite)
decays = st.sampled_from([0, 1e-3, 0.1])
flags = st.booleans()
OPTIONS = {
    "SGD": st.fixed_dictionaries(
        {
            "lr": rates,
            "momentum": st.sampled_from([0, 0.5, 0.9, 0.99]),
            "dampening": st.sampled_from([0, 0.3, 0.9]),
            "weight_decay": decays,
            "nesterov": flags,
            "maximize": flags,
        }
    ).filter(lambda o: not o["nesterov"] or (o["momentum"] > 0 and o["dampening"] == 0)),
    "RMSprop": st.fixed_dictionaries(
        {
            "lr": rates,
            "alpha": st.sampled_from([0.5, 0.9, 0.99]),
            "eps": st.sampled_from([1e-8, 1e-3]),
            "weight_decay": decays,
            "momentum": st.sampled_from([0, 0.9]),
            "centered": flags,
            "maximize": flags,
        }
    ),
    "Adam": st.fixed_dictionaries(
        {
            "lr": rates,
            "betas": st.sampled_from([(0.9, 0.999), (0.0, 0.9), (0.5, 0.0), (0.99, 0.5)]),
            "eps": st.sampled_from([1e-8, 1e-3]),
            "weight_decay": decays,
            "amsgrad": flags,
            "maximize": flags,
            "decoupled_weight_decay": flags,
        }
    ),
    "AdamW": st.fixed_dictionaries(
        {
            "lr": rates,
            "betas": st.sampled_from([(0.9, 0.999), (0.8, 0.95)]),
            "eps": st.sampled_from([1e-8, 1e-3]),
            "weight_decay": decays,
            "amsgrad": flags,
            "maximize": flags,
        }
    ),
}


def pair(seed, shapes=SHAPES):
    """The same parameters for both, in float64."""
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in shapes]
    ours = [minigrad.tensor(a, dtype=minigrad.float64, requires_grad=True) for a in arrays]
    theirs = [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]
    return ours, theirs, rng


def set_gradients(ours, theirs, rng, missing=0.0):
    """Give both the same gradients; some parameters get none."""
    for p, q in zip(ours, theirs, strict=True):
        if rng.random() < missing:
            p.grad = q.grad = None
        else:
            g = rng.normal(size=p.shape) * 10 ** rng.uniform(-2, 1)
            p.grad = minigrad.Tensor(np.asarray(g))
            q.grad = torch.tensor(g, dtype=torch.float64)


def assert_close(ours, theirs, tolerance=1e-9):
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.array, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OPTIONS)
@settings(max_examples=30)
@given(data=st.data(), seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.4]))
def test_fifty_steps(name, data, seed, missing):
    options = data.draw(OPTIONS[name])
    ours, theirs, rng = pair(seed)
    mine = getattr(optim, name)(ours, **options)
    reference = getattr(torch.optim, name)(theirs, foreach=False, **options)
    for _ in range(STEPS):
        set_gradients(ours, theirs, rng, missing)
        mine.step()
        reference.step()
    scale = 1 + max(float(q.detach().abs().max()) for q in theirs)
    assume(scale < 1e6)  # maximize with weight decay grows without bounds
    assert_close(ours, theirs)
    states = reference.state_dict()["state"]
    assert {i for i, s in states.items() if s and any(v is not None for v in s.values())} == set(
        mine.state_dict()["state"]
    )
    for i, state in mine.state_dict()["state"].items():
        assert set(state) == {k for k, v in states[i].items() if v is not None}
        for key, value in state.items():
            expected = states[i][key].numpy()
            np.testing.assert_allclose(
                getattr(value, "array", value), expected, rtol=1e-9, atol=1e-9
            )


@pytest.mark.parametrize("name", OPTIONS)
def test_groups_with_options_of_their_own(name):
    ours, theirs, rng = pair(3)
    groups = [{"params": 0, "lr": 0.1, "weight_decay": 0.2}, {"params": 1}, {"params": 2, "lr": 0}]
    optimizers = [
        getattr(library, name)([{**g, "params": [ps[g["params"]]]} for g in groups], lr=0.01)
        for library, ps in ((optim, ours), (torch.optim, theirs))
    ]
    for _ in range(STEPS):
        set_gradients(ours, theirs, rng)
        for optimizer in optimizers:
            optimizer.step()
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_real_loss(name):
    """Gradients from both engines' own backward, not handed in."""
    ours, theirs, rng = pair(4, [(5, 3), (3,)])
    x, y = rng.normal(size=(8, 5)), rng.normal(size=(8, 3))
    mine = getattr(optim, name)(ours, lr=0.01)
    reference = getattr(torch.optim, name)(theirs, lr=0.01)
    for _ in range(STEPS):
        for optimizer, (w, b), make in (
            (mine, ours, minigrad.from_numpy),
            (reference, theirs, torch.from_numpy),
        ):
            optimizer.zero_grad()
            loss = ((make(x) @ w + b).tanh() - make(y)).pow(2).mean()
            loss.backward()
            optimizer.step()
    assert_close(ours, theirs)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_state_from_pytorch_goes_on(name):
    """25 steps there, the rest here: the state dict has PyTorch's form."""
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {"amsgrad": True}
    ours, theirs, rng = pair(5)
    reference = getattr(torch.optim, name)(theirs, lr=0.01, **options)
    for _ in range(STEPS // 2):
        set_gradients(ours, theirs, rng)
        reference.step()
    state = reference.state_dict()
    state["state"] = {
        i: {key: value.numpy() for key, value in entry.items()}
        for i, entry in state["state"].items()
    }
    mine = getattr(optim, name)(ours, lr=123.0)
    mine.load_state_dict(state)
    for p, q in zip(ours, theirs, strict=True):
        p.array[...] = q.detach().numpy()
    for _ in range(STEPS // 2):
        set_gradients(ours, theirs, rng)
        mine.step()
        reference.step()
    assert_close(ours, theirs)


# ------------------------------------------------------------------------------------ schedules

gammas = st.sampled_from([0.1, 0.5, 0.9, 1.0, 1.1])
factors = st.sampled_from([0.1, 1 / 3, 1.0])
etas = st.sampled_from([0.0, 1e-3, 0.05])
whole = st.integers(1, 30)


def a_wave(t):
    return 1.0 / (1 + t % 7)


SCHEDULES = {
    "StepLR": st.fixed_dictionaries({"step_size": whole, "gamma": gammas}),
    "MultiStepLR": st.fixed_dictionaries(
        {"milestones": st.lists(st.integers(0, 40), max_size=5), "gamma": gammas}
    ),
    "ExponentialLR": st.fixed_dictionaries({"gamma": gammas}),
    "ConstantLR": st.fixed_dictionaries({"factor": factors, "total_iters": whole}),
    "LinearLR": st.fixed_dictionaries(
        {"start_factor": factors, "end_factor": st.sampled_from([0.1, 1.0]), "total_iters": whole}
    ),
    "CosineAnnealingLR": st.fixed_dictionaries({"T_max": whole, "eta_min": etas}),
    "CosineAnnealingWarmRestarts": st.fixed_dictionaries(
        {"T_0": whole, "T_mult": st.integers(1, 3), "eta_min": etas}
    ),
    "LambdaLR": st.fixed_dictionaries(
        {"lr_lambda": st.sampled_from([a_wave, [a_wave, lambda t: 0.9**t]])}
    ),
    "OneCycleLR": st.fixed_dictionaries(
        {
            "max_lr": st.sampled_from([0.1, [0.1, 0.5]]),
            "total_steps": st.integers(STEPS, 80),
            "pct_start": st.sampled_from([0.05, 0.3, 0.47]),
            "anneal_strategy": st.sampled_from(["cos", "linear"]),
            "cycle_momentum": flags,
            "base_momentum": st.sampled_from([0.85, [0.8, 0.7]]),
            "max_momentum": st.sampled_from([0.95, [0.9, 0.99]]),
            "div_factor": st.sampled_from([25.0, 3.0]),
            "final_div_factor": st.sampled_from([1e4, 10.0]),
            "three_phase": flags,
        }
    ),
}


def two_groups(library, params, name="SGD"):
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.7}]
    return getattr(library, name)(groups, lr=0.1)


def rates_and_momenta(optimizer):
    """What a schedule may change, of every group."""
    rows = []
    for group in optimizer.param_groups:
        rows.append(group["lr"])
        rows.append(group["betas"][0] if "betas" in group else group["momentum"])
    return rows


def trajectory(library, module, params, name, options, optimizer="SGD", steps=STEPS):
    opt = two_groups(library, params, optimizer)
    schedule = getattr(module, name)(opt, **options)
    rows = [rates_and_momenta(opt)]
    for _ in range(steps):
        opt.step()
        schedule.step()
        assert schedule.get_last_lr() == [group["lr"] for group in opt.param_groups]
        rows.append(rates_and_momenta(opt))
    return np.array(rows), schedule


def compare_schedules(name, options, optimizer="SGD", tolerance=1e-12):
    ours, theirs, _ = pair(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        expected, reference = trajectory(
            torch.optim, torch.optim.lr_scheduler, theirs, name, options, optimizer
        )
        actual, mine = trajectory(optim, optim.lr_scheduler, ours, name, options, optimizer)
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=1e-15)
    assert mine.last_epoch == reference.last_epoch
    if hasattr(reference, "base_lrs"):
        assert mine.base_lrs == reference.base_lrs


@pytest.mark.parametrize("name", SCHEDULES)
@settings(max_examples=40)
@given(data=st.data())
def test_schedules(name, data):
    options = data.draw(SCHEDULES[name])
    optimizer = data.draw(st.sampled_from(["SGD", "Adam", "RMSprop"]))
    compare_schedules(name, options, optimizer)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
@pytest.mark.parametrize("name", ["StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR"])
@pytest.mark.parametrize("last_epoch", [0, 3, 17])
def test_schedules_that_go_on_from_last_epoch(name, last_epoch):
    options = {
        "StepLR": {"step_size": 4},
        "ExponentialLR": {"gamma": 0.9},
        "CosineAnnealingLR": {"T_max": 12, "eta_min": 0.001},
        "LinearLR": {"total_iters": 9},
    }[name]
    rows = []
    ours, theirs, _ = pair(0)
    for library, params in ((optim, ours), (torch.optim, theirs)):
        opt = library.SGD([{"params": params, "lr": 0.03, "initial_lr": 0.1}], lr=0.1)
        opt.step()
        schedule = getattr(library.lr_scheduler, name)(opt, last_epoch=last_epoch, **options)
        rows.append([schedule.get_last_lr()[0]])
        for _ in range(STEPS):
            schedule.step()
            rows[-1].append(opt.param_groups[0]["lr"])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12, atol=1e-16)


@settings(max_examples=40)
@given(
    names=st.lists(
        st.sampled_from(sorted(set(SCHEDULES) - {"OneCycleLR"})), min_size=1, max_size=3
    ),
    data=st.data(),
)
def test_one_schedule_after_the_other(names, data):
    options = [data.draw(SCHEDULES[name]) for name in names]
    milestones = sorted(data.draw(st.sets(st.integers(1, 30), min_size=2, max_size=2)))
    milestones = milestones[: len(names) - 1]
    rows = []
    ours, theirs, _ = pair(0)
    for library, params in ((optim, ours), (torch.optim, theirs)):
        opt = two_groups(library, params)
        parts = [
            getattr(library.lr_scheduler, name)(opt, **option)
            for name, option in zip(names, options, strict=True)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule = library.lr_scheduler.SequentialLR(opt, parts, milestones)
            rows.append([rates_and_momenta(opt)])
            for _ in range(STEPS):
                opt.step()
                schedule.step()
                rows[-1].append(rates_and_momenta(opt))
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-11, atol=1e-15)


@settings(max_examples=30)
@given(
    names=st.lists(
        st.sampled_from(["StepLR", "ExponentialLR", "CosineAnnealingLR", "LinearLR"]),
        min_size=2,
        max_size=2,
    ),
    data=st.data(),
)
def test_two_schedules_at_once_multiply(names, data):
    options = [data.draw(SCHEDULES[name]) for name in names]
    rows = []
    ours, theirs, _ = pair(0)
    for library, params in ((optim, ours), (torch.optim, theirs)):
        opt = two_groups(library, params)
        parts = [
            getattr(library.lr_scheduler, name)(opt, **option)
            for name, option in zip(names, options, strict=True)
        ]
        rows.append([])
        for _ in range(30):
            opt.step()
            for part in parts:
                part.step()
            rows[-1].append(rates_and_momenta(opt))
    # Where a cosine comes out of its foot, both sides divide by almost zero.
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-9, atol=1e-12)


@settings(max_examples=60)
@given(
    options=st.fixed_dictionaries(
        {
            "mode": st.sampled_from(["min", "max"]),
            "factor": st.sampled_from([0.1, 0.5]),
            "patience": st.integers(0, 4),
            "threshold": st.sampled_from([1e-4, 0.1, 0.0]),
            "threshold_mode": st.sampled_from(["rel", "abs"]),
            "cooldown": st.integers(0, 3),
            "min_lr": st.sampled_from([0, 0.01, [0.02, 0.3]]),
            "eps": st.sampled_from([1e-8, 0.05]),
        }
    ),
    metrics=st.lists(
        st.sampled_from([1.0, 0.95, 0.5, 2.0, -1.0, float("nan"), 0.9]), min_size=10, max_size=40
    ),
)
def test_reduce_on_plateau(options, metrics):
    rows = []
    ours, theirs, _ = pair(0)
    for library, params in ((optim, ours), (torch.optim, theirs)):
        opt = two_groups(library, params)
        schedule = library.lr_scheduler.ReduceLROnPlateau(opt, **options)
        rows.append([])
        for metric in metrics:
            schedule.step(metric)
            rows[-1].append([*schedule.get_last_lr(), schedule.num_bad_epochs])
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12)


@pytest.mark.parametrize("epochs", [[0, 0.25, 3.5, 9.75, 10, 31.5], [70.0, 2.0, 5.0]])
def test_warm_restarts_at_any_time(epochs):
    rows = []
    ours, theirs, _ = pair(0)
    for library, params in ((optim, ours), (torch.optim, theirs)):
        opt = two_groups(library, params)
        schedule = library.lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=10, T_mult=2)
        rows.append([])
        for epoch in epochs:
            schedule.step(epoch)
            rows[-1].append(schedule.get_last_lr())
    np.testing.assert_allclose(rows[0], rows[1], rtol=1e-12, atol=1e-15)


def test_the_defaults_are_pytorchs():
    ours, theirs, _ = pair(0)
    for name in OPTIONS:
        mine = getattr(optim, name)(ours).param_groups[0]
        reference = getattr(torch.optim, name)(theirs).param_groups[0]
        extra = {"foreach", "capturable", "differentiable", "fused"}
        assert set(reference) - set(mine) <= extra
        assert {k: mine[k] for k in mine if k != "params"} == {
            k: reference[k] for k in mine if k != "params"
        }
