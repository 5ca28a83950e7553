"""Optimizers: against stored trajectories of PyTorch, a plain-Python oracle, and bad input."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import backend, optim

GOLDEN = np.load(Path(__file__).parent / "golden" / "optim.npz")
CASES = json.loads(str(GOLDEN["cases"]))["optimizer"]
NAMES = ["SGD", "RMSprop", "Adam", "AdamW"]
FULL = {  # options under which everything that can be remembered is
    "SGD": {"momentum": 0.9},
    "RMSprop": {"momentum": 0.9, "centered": True},
    "Adam": {"amsgrad": True, "weight_decay": 0.1},
    "AdamW": {"amsgrad": True},
}


def parameters(device, seed=0, shapes=((3, 2), (4,), ())):
    rng = np.random.default_rng(seed)
    return [make(device, rng.normal(size=shape), requires_grad=True) for shape in shapes]


def give_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = make(p.device, rng.normal(size=p.shape).astype(p.dtype))


def build(name, params, **options):
    return getattr(optim, name)(params, **{**FULL[name], **options})


def snapshot(params):
    return [arr(p).copy() for p in params]


def values_of(entry):
    """The numbers of one parameter's state, arrays and counts alike."""
    return {key: np.array(v if isinstance(v, int) else arr(v)) for key, v in entry.items()}


def assert_equal(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(arr(a), arr(b))


# ---------------------------------------------------------------------------- independent sources


@pytest.mark.parametrize("case", CASES)
def test_fifty_steps_of_pytorch(device, case):
    name, options = CASES[case]
    params = [make(device, GOLDEN[f"start/{i}"], requires_grad=True) for i in range(3)]
    gradients = [GOLDEN[f"gradients/{i}"] for i in range(3)]
    optimizer = getattr(optim, name)(params, **options)
    for step, expected in enumerate(GOLDEN[f"optimizer/{case}"]):
        for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
            p.grad = None if i == 1 and step % 3 == 0 else make(device, g[step])
        optimizer.step()
        actual = np.concatenate([arr(p).ravel() for p in params])
        np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9, err_msg=f"step {step}")


def sgd_oracle(w, gradients, lr, momentum, dampening, weight_decay, nesterov):
    """One number, in plain Python, from the formula in the docstring."""
    v = None
    for g in gradients:
        g = g + weight_decay * w
        if momentum:
            v = g if v is None else momentum * v + (1 - dampening) * g
            g = g + momentum * v if nesterov else v
        w = w - lr * g
    return w


def adam_oracle(w, gradients, lr, betas, eps, weight_decay, decoupled):
    m = s = 0.0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            w = w - lr * weight_decay * w
        else:
            g = g + weight_decay * w
        m = betas[0] * m + (1 - betas[0]) * g
        s = betas[1] * s + (1 - betas[1]) * g**2
        m_hat = m / (1 - betas[0] ** t)
        s_hat = s / (1 - betas[1] ** t)
        w = w - lr * m_hat / (math.sqrt(s_hat) + eps)
    return w


def rmsprop_oracle(w, gradients, lr, alpha, eps, momentum, centered):
    s = m = b = 0.0
    for g in gradients:
        s = alpha * s + (1 - alpha) * g**2
        m = alpha * m + (1 - alpha) * g
        d = math.sqrt(s - m**2 if centered else s) + eps
        b = momentum * b + g / d
        w = w - lr * b
    return w


numbers = st.lists(st.floats(-10, 10).filter(lambda x: abs(x) > 1e-3), min_size=1, max_size=12)


def run(optimizer_class, gradients, **options):
    w = minigrad.tensor(1.5, dtype=minigrad.float64, requires_grad=True)
    optimizer = optimizer_class([w], **options)
    for g in gradients:
        w.grad = minigrad.tensor(g, dtype=minigrad.float64)
        optimizer.step()
    return w.item()


@given(
    gradients=numbers,
    momentum=st.sampled_from([0, 0.9]),
    dampening=st.sampled_from([0, 0.5]),
    weight_decay=st.sampled_from([0, 0.1]),
    nesterov=st.booleans(),
)
def test_sgd_does_what_its_docstring_says(gradients, momentum, dampening, weight_decay, nesterov):
    if nesterov and (not momentum or dampening):
        nesterov = False
    options = dict(
        lr=0.1,
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
    )
    expected = sgd_oracle(1.5, gradients, **options)
    assert run(optim.SGD, gradients, **options) == pytest.approx(expected, rel=1e-12)


@given(
    gradients=numbers,
    betas=st.sampled_from([(0.9, 0.999), (0.0, 0.5)]),
    weight_decay=st.sampled_from([0, 0.1]),
    decoupled=st.booleans(),
)
def test_adam_does_what_its_docstring_says(gradients, betas, weight_decay, decoupled):
    options = dict(lr=0.1, betas=betas, eps=1e-4, weight_decay=weight_decay)
    expected = adam_oracle(1.5, gradients, decoupled=decoupled, **options)
    kind = optim.AdamW if decoupled else optim.Adam
    assert run(kind, gradients, **options) == pytest.approx(expected, rel=1e-12, abs=1e-14)


@given(gradients=numbers, momentum=st.sampled_from([0, 0.9]), centered=st.booleans())
def test_rmsprop_does_what_its_docstring_says(gradients, momentum, centered):
    options = dict(lr=0.1, alpha=0.9, eps=1e-4, momentum=momentum, centered=centered)
    expected = rmsprop_oracle(1.5, gradients, **options)
    assert run(optim.RMSprop, gradients, **options) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_first_steps_have_the_length_that_the_docstrings_say():
    """The bias correction, and its absence."""
    assert run(optim.Adam, [3.0], lr=0.1) == pytest.approx(1.5 - 0.1)
    assert run(optim.Adam, [3.0] * 7, lr=0.1) == pytest.approx(1.5 - 0.7)
    assert run(optim.RMSprop, [3.0], lr=0.1) == pytest.approx(1.5 - 0.1 * 10)


def test_momentum_descends_and_its_velocity_tends_to_the_gradient_over_one_minus_momentum():
    optimizer = optim.SGD([w := minigrad.tensor(0.0, requires_grad=True)], lr=0.1, momentum=0.9)
    for _ in range(300):
        w.grad = minigrad.tensor(2.0)
        optimizer.step()
    assert w.item() < 0
    assert optimizer.state[w]["momentum_buffer"].item() == pytest.approx(20, rel=1e-5)


# ------------------------------------------------------------------------------------ penalties


def test_l2_penalty_is_weight_decay(device):
    """strength / 2 * sum(w**2) in the loss, and weight_decay=strength in SGD."""
    a, b = parameters(device), parameters(device)
    with_penalty = optim.SGD(a, lr=0.1, momentum=0.9)
    with_decay = optim.SGD(b, lr=0.1, momentum=0.9, weight_decay=0.3)
    for _ in range(10):
        for params, optimizer, strength in ((a, with_penalty, 0.3), (b, with_decay, 0.0)):
            optimizer.zero_grad()
            loss = sum((p * p * p).sum() for p in params) + optim.l2_penalty(params, strength)
            loss.backward()
            optimizer.step()
    for p, q in zip(a, b, strict=True):
        np.testing.assert_allclose(arr(p), arr(q), rtol=1e-12)


def test_penalties_are_scalars_with_the_gradients_that_they_say(device):
    w = make(device, np.array([[1.0, -2.0], [0.0, 4.0]]), requires_grad=True)
    v = make(device, np.array([-3.0]), requires_grad=True)
    l1, l2 = optim.l1_penalty([w, v], 0.5), optim.l2_penalty(iter([w, v]), 0.5)
    assert (l1.shape, l1.item(), l2.item()) == ((), 0.5 * 10, 0.25 * 30)
    l1.backward()
    np.testing.assert_array_equal(arr(w.grad), [[0.5, -0.5], [0.0, 0.5]])
    w.grad = None
    l2.backward()
    np.testing.assert_array_equal(arr(w.grad), 0.5 * arr(w))
    assert optim.l1_penalty(v, 2).item() == 6  # one tensor may stand alone
    assert l2.dtype == w.dtype


@pytest.mark.parametrize("penalty", [optim.l1_penalty, optim.l2_penalty])
def test_penalties_refuse(penalty):
    w = minigrad.ones(2)
    for strength in (-1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="strength is out of range"):
            penalty([w], strength)
    with pytest.raises(TypeError, match="strength is not a number"):
        penalty([w], "0.1")
    with pytest.raises(ValueError, match="no parameters"):
        penalty([], 1)
    with pytest.raises(TypeError, match="parameter 0 is not a tensor"):
        penalty([1.0], 1)


# ------------------------------------------------------------------------------------ behaviour


@pytest.mark.parametrize("name", NAMES)
def test_updates_are_in_place_and_seen_by_the_graph(device, name):
    params = parameters(device)
    arrays = [p.array for p in params]
    optimizer = build(name, params)
    loss = (params[0] * params[0]).sum()
    give_gradients(params, 1)
    optimizer.step()
    assert all(p.array is a for p, a in zip(params, arrays, strict=True))
    with pytest.raises(RuntimeError, match="changed in place"):
        loss.backward()


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_not_changed(device, name):
    params = parameters(device)
    optimizer = build(name, params, weight_decay=0.1, maximize=True)
    give_gradients(params, 1)
    before = snapshot([p.grad for p in params])
    for _ in range(3):
        optimizer.step()
    assert_equal([p.grad for p in params], before)


@pytest.mark.parametrize("name", NAMES)
def test_what_has_no_gradient_is_left_alone(device, name):
    params = parameters(device)
    optimizer = build(name, params)
    before = snapshot(params)
    optimizer.step()
    assert_equal(params, before)
    assert optimizer.state_dict()["state"] == {}
    params[0].grad = make(device, np.ones((3, 2)))
    optimizer.step()
    assert not np.array_equal(arr(params[0]), before[0])
    assert_equal(params[1:], before[1:])
    assert list(optimizer.state_dict()["state"]) == [0]


@pytest.mark.parametrize("name", ["RMSprop", "Adam", "AdamW"])
def test_each_parameter_counts_its_own_steps(device, name):
    params = parameters(device)
    optimizer = build(name, params)
    for step in range(4):
        give_gradients(params, step)
        if step % 2:
            params[1].grad = None
        optimizer.step()
    assert [optimizer.state[p]["step"] for p in params] == [4, 2, 4]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_dtype_stays(device, name, dtype):
    params = [make(device, np.ones(3, dtype), requires_grad=True)]
    optimizer = build(name, params, lr=np.float64(0.1))
    for _ in range(2):
        give_gradients(params, 0)
        optimizer.step()
    remembered = [v for v in optimizer.state[params[0]].values() if not isinstance(v, int)]
    assert remembered
    assert {p.dtype for p in [*params, *remembered]} == {np.dtype(dtype)}


def test_several_dtypes_in_one_optimizer(device):
    """Together they get what each would get alone."""

    def run(together):
        params = [
            make(device, np.ones(3, dtype), requires_grad=True)
            for dtype in ("float32", "float64", "float32")
        ]
        optimizers = [build("Adam", params)] if together else [build("Adam", [p]) for p in params]
        for step in range(3):
            give_gradients(params, step)
            for optimizer in optimizers:
                optimizer.step()
        return params

    assert_equal(run(True), run(False))


@pytest.mark.parametrize("name", NAMES)
def test_options_may_change_between_steps(device, name):
    """What is remembered begins when it is first needed."""
    params = parameters(device)
    optimizer = getattr(optim, name)(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    optimizer.param_groups[0].update(FULL[name])
    optimizer.step()
    before = snapshot(params)
    optimizer.param_groups[0]["lr"] = 0
    optimizer.step()
    assert_equal(params, before)


@pytest.mark.parametrize("name", NAMES)
def test_maximize_is_descent_on_the_negated_gradient(device, name):
    a, b = parameters(device), parameters(device)
    up, down = build(name, a, maximize=True), build(name, b)
    for step in range(3):
        give_gradients(a, step)
        for p, q in zip(a, b, strict=True):
            q.grad = -p.grad
        up.step()
        down.step()
    assert_equal(a, b)


def test_closure(device):
    w = make(device, np.array([3.0]), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.25)

    def closure():
        optimizer.zero_grad()
        loss = (w * w).sum()
        loss.backward()
        return loss

    with minigrad.no_grad():  # the closure records all the same
        loss = optimizer.step(closure)
    assert (loss.item(), w.item()) == (9.0, 1.5)
    assert optimizer.step() is None


def test_zero_grad(device):
    params = parameters(device)
    optimizer = optim.SGD(params, lr=1)
    give_gradients(params[:2], 0)
    held = params[0].grad
    before = snapshot([held])
    optimizer.zero_grad(set_to_none=False)
    assert [p.grad is None for p in params] == [False, False, True]
    assert not arr(params[0].grad).any()
    assert_equal([held], before)  # somebody may hold the gradient: it is not overwritten
    optimizer.zero_grad()
    assert all(p.grad is None for p in params)


def test_groups(device):
    a, b, c = parameters(device)
    optimizer = optim.SGD([{"params": a, "lr": 0.5}, {"params": [b]}], lr=0.1, momentum=0.9)
    optimizer.add_param_group({"params": [c], "name": "late"})
    assert [g["lr"] for g in optimizer.param_groups] == [0.5, 0.1, 0.1]
    assert [g["momentum"] for g in optimizer.param_groups] == [0.9] * 3
    assert optimizer.param_groups[2]["name"] == "late"
    before = snapshot([a, b, c])
    for p in (a, b, c):
        p.grad = make(device, np.ones(p.shape))
    optimizer.step()
    for p, old, lr in zip((a, b, c), before, (0.5, 0.1, 0.1), strict=True):
        np.testing.assert_allclose(arr(p), old - lr, rtol=1e-15)


def test_the_callers_groups_and_defaults_are_not_changed():
    w = minigrad.ones(2, requires_grad=True)
    group = {"params": [w]}
    optim.SGD([group], lr=0.1)
    assert group == {"params": [w]}


def test_named_parameters():
    a, b = minigrad.ones(2, requires_grad=True), minigrad.ones(3, requires_grad=True)
    optimizer = optim.Adam([("first", a), ("second", b)])
    assert optimizer.param_groups[0]["params"] == [a, b]
    assert optimizer.param_groups[0]["param_names"] == ["first", "second"]
    b.grad = minigrad.ones(2)
    with pytest.raises(RuntimeError, match="the gradient of parameter 'second' does not fit"):
        optimizer.step()
    assert optimizer.state_dict()["param_groups"][0]["param_names"] == ["first", "second"]


def test_extra_arguments_of_pytorch_change_nothing():
    w = minigrad.ones(2, requires_grad=True)
    optim.SGD([w], foreach=True, fused=False)
    optim.RMSprop([w], foreach=True, capturable=True)
    for kind in (optim.Adam, optim.AdamW):
        optimizer = kind([w], foreach=False, fused=True, capturable=True)
        assert "fused" not in optimizer.param_groups[0]
    for name in NAMES:
        with pytest.raises(ValueError, match="differentiable=True is not supported"):
            getattr(optim, name)([w], differentiable=True)
        with pytest.raises(TypeError):
            getattr(optim, name)([w], learning_rate=0.1)


def test_an_optimizer_in_pytorchs_form(device):
    """Written with `step` alone, as in PyTorch's documentation."""

    class Own(optim.Optimizer):
        def __init__(self, params, lr):
            super().__init__(params, dict(lr=lr))

        @minigrad.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None:
                        state = self.state[p]
                        state["step"] = state.get("step", 0) + 1
                        p.add_(p.grad, alpha=-group["lr"])

    a, b = parameters(device), parameters(device)
    own, sgd = Own(a, 0.1), optim.SGD(b, 0.1)
    for params, optimizer in ((a, own), (b, sgd)):
        give_gradients(params, 0)
        optimizer.step()
    assert_equal(a, b)
    assert own.state_dict()["state"][0] == {"step": 1}


def test_repr_shows_the_options():
    text = repr(optim.SGD([minigrad.ones(2, requires_grad=True)], lr=0.25))
    assert text.startswith("SGD (") and "lr: 0.25" in text


# ------------------------------------------------------------------------------- save and load


@pytest.mark.parametrize("name", NAMES)
def test_stopped_and_resumed_equals_never_stopped(device, name, tmp_path):
    from minigrad import serialize

    def start():
        params = parameters(device)
        return params, build(name, [{"params": params[:2], "lr": 0.01}, {"params": params[2:]}])

    params, optimizer = start()
    others, second = start()
    for step in range(8):
        give_gradients(params, step)
        params[1].grad = None if step < 2 else params[1].grad
        optimizer.step()
        if step == 3:
            serialize.save(optimizer.state_dict(), tmp_path / "state.npz")
            middle = snapshot(params)
    state = serialize.load(tmp_path / "state.npz")
    second.load_state_dict(state)
    for p, old in zip(others, middle, strict=True):
        p.data = make(device, old)
    for step in range(4, 8):
        give_gradients(others, step)
        second.step()
    assert_equal(others, params)
    assert json.dumps(second.state_dict()["param_groups"]) == json.dumps(
        optimizer.state_dict()["param_groups"]
    )


def test_the_form_of_the_state_is_pytorchs():
    a, b = minigrad.ones(2, requires_grad=True), minigrad.ones(3, requires_grad=True)
    optimizer = optim.Adam([{"params": [a]}, {"params": [b], "lr": 0.5}])
    b.grad = minigrad.ones(3)
    optimizer.step()
    state = optimizer.state_dict()
    assert list(state) == ["state", "param_groups"]
    assert list(state["state"]) == [1]
    assert set(state["state"][1]) == {"step", "exp_avg", "exp_avg_sq"}
    assert [g["params"] for g in state["param_groups"]] == [[0], [1]]
    assert [g["lr"] for g in state["param_groups"]] == [0.001, 0.5]


@pytest.mark.parametrize("name", NAMES)
def test_a_state_is_a_copy_both_ways(device, name):
    params = parameters(device)
    optimizer = build(name, params)
    give_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    optimizer.step()
    second = build(name, parameters(device))
    second.load_state_dict(state)
    for p in second.param_groups[0]["params"]:
        p.grad = make(device, np.ones(p.shape))
    second.step()
    second.param_groups[0]["lr"] = 77
    for i, entry in kept["state"].items():
        np.testing.assert_equal(values_of(state["state"][i]), values_of(entry))
    assert kept["param_groups"] == state["param_groups"]


def test_loading_forgets_what_was_remembered_before():
    params = parameters("cpu")
    optimizer = build("Adam", params)
    fresh = optimizer.state_dict()
    give_gradients(params, 0)
    optimizer.step()
    optimizer.load_state_dict(fresh)
    assert optimizer.state_dict() == fresh


def test_deepcopy_of_model_and_optimizer_together():
    w = make("cpu", np.ones(2), requires_grad=True)
    optimizer = optim.SGD([w], lr=0.5, momentum=0.5)
    w.grad = make("cpu", np.ones(2))
    optimizer.step()
    v, twin = copy.deepcopy((w, optimizer))
    assert twin.param_groups[0]["params"][0] is v
    twin.step()
    assert_equal([w], [np.full(2, 0.5)])
    assert_equal([v], [np.full(2, 0.5 - 0.5 * 1.5)])


def bad_states():
    good = {"lr": 1.0, "betas": (0.9, 0.99), "eps": 1e-8, "weight_decay": 0, "amsgrad": False}
    good |= {"maximize": False, "decoupled_weight_decay": False, "params": [0, 1]}
    entry = {"step": 1, "exp_avg": np.ones((3, 2)), "exp_avg_sq": np.ones((3, 2))}
    yield "not a dict", [1], "not the state of an optimizer"
    yield "no groups", {"state": {}}, "not the state of an optimizer"
    yield "groups number", {"state": {}, "param_groups": [good, good]}, r"1 groups of \[2\]"
    shorter = {**good, "params": [0]}
    yield "group size", {"state": {}, "param_groups": [shorter]}, r"1 groups of \[1\]"
    bare = {"lr": 1.0, "params": [0, 1]}
    yield "missing option", {"state": {}, "param_groups": [bare]}, "group 0: missing options"
    nan = {**good, "lr": float("nan")}
    yield "bad option", {"state": {}, "param_groups": [nan]}, "lr is out of range"
    wrong = {**entry, "exp_avg": np.ones((2, 3))}
    yield "shape", {"state": {0: wrong}, "param_groups": [good]}, r"exp_avg has shape \(2, 3\)"
    lacking = {"step": 1, "exp_avg": np.ones((3, 2))}
    yield "missing state", {"state": {0: lacking}, "param_groups": [good]}, "missing.*exp_avg_sq"
    yield "no such parameter", {"state": {7: entry}, "param_groups": [good]}, "parameter 7"
    both = {"state": {0: wrong, 1: entry, 7: entry}, "param_groups": [nan]}
    yield "all at once", both, r"(?s)lr is out.*parameter 0.*parameter 1.*parameter 7"


@pytest.mark.parametrize(
    ("state", "text"), [pytest.param(s, t, id=name) for name, s, t in bad_states()]
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_loaded(state, text):
    params = parameters("cpu")[:2]
    optimizer = optim.Adam(params, lr=0.1)
    give_gradients(params, 0)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=text):
        optimizer.load_state_dict(state)
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i, entry in before["state"].items():
        np.testing.assert_equal(values_of(after["state"][i]), values_of(entry))


# ------------------------------------------------------------------------------------ bad input

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        *[(name, {"lr": lr}) for name in NAMES for lr in (-1, NAN, INF)],
        *[(name, {"weight_decay": x}) for name in NAMES for x in (-1e-9, NAN)],
        *[("SGD", {"momentum": x}) for x in (-0.5, NAN)],
        ("SGD", {"dampening": NAN}),
        *[("RMSprop", {"alpha": x}) for x in (-0.1, 1.0, NAN)],
        *[(name, {"eps": x}) for name in NAMES[1:] for x in (-1, NAN)],
        *[("RMSprop", {"momentum": x}) for x in (-0.5, NAN)],
        *[("Adam", {"betas": x}) for x in ((1.0, 0.9), (0.9, 1), (-0.1, 0.9), (0.9, NAN))],
        ("AdamW", {"betas": (NAN, 0.9)}),
    ],
)
def test_options_out_of_range(name, options):
    w = minigrad.ones(2, requires_grad=True)
    (option,) = options
    pattern = rf"{name}: {option}.* is out of range(?s:.*)Expect: (?s:.*)Actual: "
    with pytest.raises(ValueError, match=pattern):
        getattr(optim, name)([w], **options)
    with pytest.raises(ValueError, match=pattern):  # and so in a group
        getattr(optim, name)([{"params": [w], **options}])


@pytest.mark.parametrize("value", ["0.1", None, True, [0.1]])
def test_options_of_another_type(value):
    w = minigrad.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match="SGD: lr is not a number"):
        optim.SGD([w], lr=value)
    with pytest.raises(TypeError, match="betas"):
        optim.Adam([w], betas=value)


def test_lr_may_be_a_tensor_or_a_numpy_number():
    w = minigrad.ones(2, requires_grad=True)
    assert optim.SGD([w], lr=minigrad.tensor(0.5)).param_groups[0]["lr"] == 0.5
    optim.SGD([w], lr=np.float32(0.5))
    with pytest.raises(ValueError, match="lr is out of range"):
        optim.SGD([w], lr=minigrad.tensor(-0.5))


def test_nesterov_needs_momentum():
    w = minigrad.ones(2, requires_grad=True)
    for options in ({}, {"momentum": 0.9, "dampening": 0.1}):
        with pytest.raises(ValueError, match="nesterov looks ahead along the momentum"):
            optim.SGD([w], nesterov=True, **options)


def test_no_parameters():
    exhausted = iter([minigrad.ones(1, requires_grad=True)])
    list(exhausted)
    for params in ([], exhausted, [{"params": []}], [{"params": []}, {"params": []}]):
        with pytest.raises(ValueError, match="SGD: there are no parameters to optimize"):
            optim.SGD(params)


def test_wrong_kinds_of_parameters():
    w = minigrad.ones(2, requires_grad=True)
    with pytest.raises(TypeError, match=r"not a list(?s:.*)\[w\] for a single tensor"):
        optim.SGD(w)
    for params in ({"w": w}, 3, None, "w"):
        with pytest.raises(TypeError, match="the parameters are not a list"):
            optim.SGD(params)
    for params in ({w}, [{"params": {w}}]):
        with pytest.raises(TypeError, match="in a set"):
            optim.SGD(params)
    for params in ([w, 1.0], [np.ones(2)], [{"params": [w, "v"]}]):
        with pytest.raises(TypeError, match="parameter . is not a tensor"):
            optim.SGD(params)
    with pytest.raises(TypeError, match="not a dict with the key 'params'"):
        optim.SGD([{"params": [w]}, w])
    with pytest.raises(TypeError, match="not a dict with the key 'params'"):
        optim.SGD([{"weights": [w]}])
    with pytest.raises(ValueError, match="with names, or none"):
        optim.SGD([("a", w), minigrad.ones(1)])


def test_parameters_that_cannot_be_optimized():
    w = minigrad.ones(2, requires_grad=True)
    with pytest.raises(ValueError, match="parameter 1 is not a leaf"):
        optim.SGD([w, w * 2])
    with pytest.raises(TypeError, match="parameter 0 is not floating"):
        optim.SGD([minigrad.tensor([1, 2])])


def test_a_parameter_comes_once():
    w, v = minigrad.ones(2, requires_grad=True), minigrad.ones(2, requires_grad=True)
    for params in ([w, w], [{"params": [w]}, {"params": [v, w]}]):
        with pytest.raises(ValueError, match="comes twice"):
            optim.SGD(params)
    optimizer = optim.SGD([w])
    with pytest.raises(ValueError, match="comes twice"):
        optimizer.add_param_group({"params": [v, w]})
    assert len(optimizer.param_groups) == 1  # nothing was added


@pytest.mark.parametrize("name", NAMES)
def test_what_does_not_fit_the_parameter_is_refused(device, name):
    w = make(device, np.ones((2, 3)), requires_grad=True)
    optimizer = build(name, [w])
    for gradient in (np.ones(3), np.ones((2, 3), np.float32)):
        w.grad = make(device, gradient)
        with pytest.raises(RuntimeError, match="the gradient of parameter 0 does not fit"):
            optimizer.step()
    assert_equal([w], [np.ones((2, 3))])
    w.grad = make(device, np.ones((2, 3)))
    optimizer.step()
    w.data = make(device, np.ones((1, 3)))  # cut by pruning, say
    w.grad = make(device, np.ones((1, 3)))
    with pytest.raises(RuntimeError, match="state .* of parameter 0 does not fit"):
        optimizer.step()


def test_a_gradient_that_does_not_fit_leaves_all_groups_as_they_were():
    a, b = minigrad.ones(2, requires_grad=True), minigrad.ones(2, requires_grad=True)
    optimizer = optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.5)
    a.grad, b.grad = minigrad.ones(2), minigrad.ones(3)
    with pytest.raises(RuntimeError, match="the gradient of parameter 1 does not fit"):
        optimizer.step()
    assert_equal([a, b], [np.ones(2)] * 2)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), name=st.sampled_from(NAMES))
def test_the_order_of_parameters_does_not_matter(seed, name):
    """Nothing is keyed by position or by `id`: each parameter has its own memory."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(3)
    a, b = parameters("cpu", seed), parameters("cpu", seed)
    first, second = build(name, a), build(name, [b[i] for i in order])
    for step in range(3):
        for params in (a, b):
            give_gradients(params, step)
        first.step()
        second.step()
    assert_equal(a, b)


def test_nothing_is_left_behind_by_a_step():
    """No tensor holds on to an old gradient."""
    import gc
    import weakref

    w = minigrad.ones(2, requires_grad=True)
    optimizer = optim.Adam([w])
    gc.disable()
    try:
        w.grad = minigrad.ones(2)
        gone = weakref.ref(w.grad)
        optimizer.step()
        optimizer.zero_grad()
        assert gone() is None
    finally:
        gc.enable()


def test_device_of_the_state(device):
    params = parameters(device)
    optimizer = build("Adam", params)
    give_gradients(params, 0)
    optimizer.step()
    on_cpu = copy.deepcopy(optimizer.state_dict())
    for entry in on_cpu["state"].values():
        for key in entry:
            if key != "step":
                entry[key] = minigrad.Tensor(backend.to_numpy(entry[key].array).astype(np.float32))
    optimizer.load_state_dict(on_cpu)
    for p in params:
        assert optimizer.state[p]["exp_avg"].device == p.device
        assert optimizer.state[p]["exp_avg"].dtype == p.dtype
    optimizer.step()
