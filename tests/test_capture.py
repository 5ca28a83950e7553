"""Captured training steps: the same numbers as the plain ones, and a word for what cannot be.

The oracle is the step itself: N captured steps must leave the parameters that N plain ones leave,
bit for bit over the stand-in for CuPy, whose graphs (``fakecupy_graph.py``) run the same launches
on the same memory and nothing else. Every rule is then broken once, in the user's step (it must be
refused, in words) or in the machinery (the comparison must notice).

Read before: ``fakecupy_graph.py``.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib.util
import sys
import warnings
from pathlib import Path

import fakecupy
import fakecupy_graph
import numpy as np
import pytest
from helpers import arr, make

import minigrad as mg
import minigrad.nn.functional as F
from minigrad import backend, nn, optim
from minigrad._capture import errors, state, step
from minigrad.kernels.cuda import launch
from minigrad.kernels.cuda.random import Keys
from minigrad.optim._on_device import OnDevice

N = 12


@pytest.fixture(autouse=True)
def gpu(device, monkeypatch):
    """The device 'cuda', over the stand-in where no other CuPy is in place."""
    if device == "cpu":
        monkeypatch.setattr(backend, "cupy", fakecupy.cupy)
    yield "cuda"
    assert not fakecupy_graph.capturing()
    assert gc.isenabled()
    assert backend.capturing() is None


def exact() -> bool:
    """Whether two runs of the same launches give the same bits."""
    return backend.cupy is fakecupy.cupy


def batches(*size, classes=4, n=N, samples=5):
    rng = np.random.default_rng(1)
    x = rng.standard_normal((n, samples, *size)).astype("f4")
    return list(zip(x, rng.integers(0, classes, (n, samples)), strict=True))


def mlp():
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 4))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 4, 2, stride=2),
        nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(4, 4),
    )  # fmt: skip


def normed():
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(),
        nn.Linear(108, 8), nn.BatchNorm1d(8, momentum=None), nn.Tanh(), nn.Linear(8, 4),
    )  # fmt: skip


def dropping():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Dropout2d(0.25), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4),
        nn.Linear(144, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4),
    )  # fmt: skip


MODELS = {"MLP": (mlp, (6,)), "CNN": (cnn, (1, 8, 8)), "batch norm": (normed, (1, 8, 8)),
          "dropout": (dropping, (1, 8, 8))}  # fmt: skip

OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1),
    "AMSGrad": lambda p: optim.Adam(p, lr=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "centered": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
}


class Training:
    """A model, an optimizer, a schedule that changes lr after every step, and the step."""

    def __init__(self, model=mlp, optimizer=OPTIMIZERS["Adam"], size=(6,)):
        mg.manual_seed(0)
        self.model = model().to("cuda")
        self.optimizer = optimizer(self.model.parameters())
        self.schedule = optim.lr_scheduler.ExponentialLR(self.optimizer, 0.8)
        self.size = size

    def step(self, x, y):
        self.optimizer.zero_grad()
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return loss

    def capture(self, **options):
        x, y = batches(*self.size)[3]
        return mg.cuda.capture(self.step, (make("cuda", x), make("cuda", y)), **options)

    def run(self, step, data=None):
        """Take a step a batch; return the losses and everything that was trained."""
        losses = []
        mg.manual_seed(5)
        for x, y in data or batches(*self.size):
            losses.append(arr(step(make("cuda", x), make("cuda", y))).copy())
            self.schedule.step()
        return [*losses, *self.everything(), mg.rand(3).numpy()]  # and where chance stands

    def everything(self):
        """Parameters, statistics and gradients, and what the optimizer remembers."""
        values = [arr(value) for value in self.model.state_dict().values()]
        values += [arr(p.grad) for p in self.model.parameters() if p.grad is not None]
        for entry in self.optimizer.state_dict()["state"].values():
            values += [np.array(arr(value)) for value in entry.values()]
        return values


def same(actual, expected):
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        assert a.dtype == e.dtype
        if exact():
            np.testing.assert_array_equal(a, e)
        else:
            np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)


def differ(actual, expected) -> bool:
    return any(not np.array_equal(a, e) for a, e in zip(actual, expected, strict=True))


# ----------------------------------------------------------------------- captured equals plain


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("model", MODELS)
def test_captured_steps_equal_plain_ones(model, optimizer):
    make_model, size = MODELS[model]
    plain = Training(make_model, OPTIMIZERS[optimizer], size)
    expected = plain.run(plain.step)
    captured = Training(make_model, OPTIMIZERS[optimizer], size)
    step = captured.capture()
    actual = captured.run(step)
    assert (step.replays, step.eager_calls) == (N, 0)
    same(actual, expected)


def test_the_capture_is_the_first_to_use_no_kernel(monkeypatch):
    """What it would be the first to use, would be compiled and loaded while the stream captures."""
    if not exact():
        pytest.skip("about the stand-in")
    for model, size in MODELS.values():
        monkeypatch.setattr(fakecupy_graph, "used", set())
        assert Training(model, size=size).capture()._graph.late == []
    monkeypatch.setattr(fakecupy_graph, "used", set())
    assert Adding().capture()._graph.late == []  # gradients that add up are written back
    monkeypatch.setattr(step.CapturedStep, "_rehearse", lambda *args: None)
    monkeypatch.setattr(fakecupy_graph, "used", set())
    assert "maximum" in str(Training().capture()._graph.late)  # the look at the labels


def test_gradients_may_be_clipped_and_groups_have_rates_of_their_own():
    def groups(parameters):
        first, *others = parameters
        return optim.Adam([{"params": [first], "lr": 0.01}, {"params": others}], lr=0.1)

    class Clipping(Training):
        def step(self, x, y):
            self.optimizer.zero_grad(set_to_none=False)
            loss = F.mse_loss(self.model(x), F.one_hot(y, 4).to(x.dtype))
            loss.backward()
            nn.utils.clip_grad_norm_(self.model.parameters(), 0.1)
            self.optimizer.step()
            return {"loss": loss, "parts": [loss * 2, 7]}

    plain, captured = Clipping(optimizer=groups), Clipping(optimizer=groups)
    expected = plain.run(lambda x, y: plain.step(x, y)["loss"])
    step = captured.capture()
    same(captured.run(lambda x, y: step(x, y)["loss"]), expected)
    assert step.replays == N
    output = step._outputs
    assert output["parts"][1] == 7
    same([arr(output["parts"][0])], [2 * arr(output["loss"])])


def residual():
    from minigrad.vision.models import BasicBlock

    shortcut = nn.Sequential(nn.Conv2d(3, 6, 1, stride=2, bias=False), nn.BatchNorm2d(6))
    return nn.Sequential(
        BasicBlock(3, 6, 2, shortcut), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
    )


def resnet18():
    from minigrad.vision.models import resnet18

    return resnet18(cifar=True, num_classes=4)


@pytest.mark.parametrize("model", [residual, pytest.param(resnet18, marks=pytest.mark.slow)])
def test_residual_networks_captured(model, monkeypatch):
    if exact() and model is resnet18:  # on a CPU the CUDA sources take a minute for it
        monkeypatch.setattr(launch, "ENABLED", False)
    data = batches(3, 4, 4, n=2, samples=2)
    results = []
    for captured in (False, True):
        training = Training(model, OPTIMIZERS["momentum"], (3, 4, 4))
        if captured:
            x, y = data[0]
            step = mg.cuda.capture(training.step, (make("cuda", x), make("cuda", y)))
        results.append(training.run(step if captured else training.step, data))
    same(results[1], results[0])


def test_the_warm_up_leaves_no_trace():
    training, untouched = Training(normed, size=(1, 8, 8)), Training(normed, size=(1, 8, 8))
    training.model[0].weight.grad = mg.ones_like(training.model[0].weight)
    before = mg.get_rng_state()
    training.capture()
    assert mg.get_rng_state() == before
    for name, value in training.model.state_dict().items():
        same([arr(value)], [arr(untouched.model.state_dict()[name])])
    assert arr(training.model[0].weight.grad).min() == 1
    assert training.model[4].weight.grad is None
    for entry in training.optimizer.state_dict()["state"].values():
        assert entry["step"] == 0
        assert not arr(entry["exp_avg"]).any()
    with pytest.warns(UserWarning, match="step"):  # the optimizer has not stepped yet
        training.schedule.step()


def test_a_step_in_the_middle_of_training_is_captured_with_what_is_remembered():
    plain, captured = Training(), Training()
    expected = plain.run(plain.step)
    first, rest = batches(6)[:5], batches(6)[5:]
    losses = captured.run(captured.step, first)[:5]
    actual = captured.run(captured.capture(), rest)
    same(losses + actual[:-1], expected[:-1])


def test_without_a_gpu_the_function_comes_back():
    model = mlp()
    optimizer = optim.SGD(model.parameters(), lr=0.1)

    def train_step(x):
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()

    assert mg.cuda.capture(train_step, mg.zeros(2, 6)) is train_step
    assert optimizer._on_device is None


def test_batches_may_come_from_the_host_and_results_are_overwritten():
    training, other = Training(), Training()
    step = training.capture()
    (x, y), (u, v) = batches(6)[:2]
    first = step(mg.tensor(x), mg.tensor(y))
    value = first.item()
    second = step(mg.tensor(u), mg.tensor(v))
    assert second is first
    assert second.item() != value
    assert not first.requires_grad
    expected = [other.step(make("cuda", a), make("cuda", b)).item() for a, b in ((x, y), (u, v))]
    same([np.float32(value), np.float32(second.item())], [np.float32(e) for e in expected])


def test_a_batch_on_another_gpu_is_refused():
    """As it is when the step is captured, and by the step itself."""

    class OnTheSecond(fakecupy.ndarray):
        __slots__ = ()
        device = property(lambda self: fakecupy.Device(1))

    if not exact():
        pytest.skip("needs the stand-in")
    training = Training()
    step = training.capture()
    x, y = [make("cuda", a) for a in batches(6)[0]]
    x.array.__class__ = OnTheSecond
    for ask in (step, step.disable()):
        with pytest.raises(backend.DeviceError, match="(?s)batch.*cuda:0.*cuda:1"):
            ask(x, y)
    assert (step.replays, step.eager_calls) == (0, 0)


# ------------------------------------------------------------------ when the graph does not fit


def test_scalars_and_images_that_lie_by_channel_may_come_from_the_host():
    w = make("cuda", np.ones((2, 3, 4), "f4"), requires_grad=True)

    def train_step(x, factor):
        w.grad = None
        loss = ((w * x.permute(0, 2, 1)) ** 2).sum() * factor
        loss.backward()
        return loss

    x = np.arange(24, dtype="f4").reshape(2, 3, 4)
    turned = make("cuda", x).permute(0, 2, 1)  # its entries are not in the order of its axes
    step = mg.cuda.capture(train_step, (turned, make("cuda", np.float32(1))))
    for factor in (2, 3):
        images = mg.Tensor(np.ascontiguousarray(x.transpose(0, 2, 1)))
        loss = step(images, mg.Tensor(np.array(factor, "f4")))
        np.testing.assert_allclose(arr(loss), (x**2).sum() * factor, rtol=1e-6)
    assert step.replays == 2


def test_the_smaller_last_batch_runs_by_itself():
    data = [(x[:3], y[:3]) if i == 4 else (x, y) for i, (x, y) in enumerate(batches(6))]
    plain, captured = Training(), Training()
    step = captured.capture()
    expected = plain.run(plain.step, data)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same(captured.run(step, data), expected)
    assert (step.replays, step.eager_calls) == (N - 1, 1)
    assert "11 replays, 1 eager call" in repr(step)


def change_momentum(t):
    t.optimizer.param_groups[0]["momentum"] = 0.5


def replace_state(t):
    t.optimizer.load_state_dict(t.optimizer.state_dict())


def replace_parameter(t):
    t.model[1].weight.data = t.model[1].weight.data * 0.5


CHANGES = {
    "mode": ("mode", lambda t: t.model.eval()),
    "option": ("option of the optimizer", change_momentum),
    "frozen": ("requires_grad", lambda t: t.model[1].weight.requires_grad_(False)),
    "optimizer loaded": ("capture again", replace_state),
    "data = ": ("capture again", replace_parameter),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_a_replay_would_not_notice_makes_the_step_run_by_itself(name):
    reason, change = CHANGES[name]
    results = []
    for captured in (False, True):
        model = lambda: nn.Sequential(nn.Dropout(0.2), *mlp())  # noqa: E731
        training = Training(model, OPTIMIZERS["momentum"])
        step = training.capture() if captured else training.step
        values = training.run(step, batches(6)[:3])
        change(training)
        context = pytest.warns(UserWarning, match=reason) if captured else contextlib.nullcontext()
        with context as caught:
            values += training.run(step, batches(6)[3:6])
        assert not captured or len(caught) == 1  # said once
        results.append(values)
    same(results[1], results[0])
    assert (step.replays, step.eager_calls) == (3, 3)


def test_switched_off_and_on_again():
    plain, captured = Training(dropping, size=(1, 8, 8)), Training(dropping, size=(1, 8, 8))
    expected = plain.run(plain.step)
    step = captured.capture()

    def switching(x, y):
        step.disable() if (step.replays + step.eager_calls) % 3 == 1 else step.enable()
        return step(x, y)

    same(captured.run(switching), expected)
    assert (step.replays, step.eager_calls) == (8, 4)


def test_state_can_be_saved_and_goes_on_on_the_cpu():
    plain, captured = Training(), Training()
    expected = plain.run(plain.step)
    step = captured.capture()
    captured.run(step, batches(6)[:6])
    mg.manual_seed(0)
    other = Training()
    other.model.to("cpu")
    other.model.load_state_dict(captured.model.state_dict())
    other.optimizer = optim.Adam(other.model.parameters(), lr=0.1, weight_decay=0.1)
    other.optimizer.load_state_dict(captured.optimizer.state_dict())
    assert other.optimizer.state_dict()["state"][0]["step"] == 6
    assert type(other.optimizer.state_dict()["state"][0]["step"]) is int
    rates = 0.1 * 0.8 ** np.arange(6, 12)
    for (x, y), lr in zip(batches(6)[6:], rates, strict=True):
        other.optimizer.param_groups[0]["lr"] = lr
        other.step(mg.tensor(x), mg.tensor(y))
    for a, e in zip(other.model.parameters(), plain.model.parameters(), strict=True):
        np.testing.assert_allclose(arr(a), arr(e), rtol=1e-4, atol=1e-5)
    assert len(expected) > N


def test_an_optimizer_that_becomes_capturable_goes_on_as_before():
    plain, moved = Training(), Training()
    expected = plain.run(plain.step)
    losses = moved.run(moved.step, batches(6)[:4])[:4]
    moved.optimizer.make_capturable()
    moved.optimizer.load_state_dict(moved.optimizer.state_dict())
    actual = moved.run(moved.step, batches(6)[4:])
    same(losses + actual[:-1], expected[:-1])
    assert [e["step"] for e in moved.optimizer.state_dict()["state"].values()] == [N] * 4


def test_parameters_that_get_their_gradients_late_count_their_own_steps():
    results = []
    for capturable in (False, True):
        mg.manual_seed(0)
        a, b = make("cuda", np.ones(3), True), make("cuda", np.ones(3), True)
        optimizer = optim.Adam([a, b], lr=0.1)
        if capturable:
            optimizer.make_capturable()
        for i in range(4):
            optimizer.zero_grad()
            ((a if i < 2 else a * b) ** 2).sum().backward()
            optimizer.step()
        entries = optimizer.state_dict()["state"]
        assert [entry["step"] for entry in entries.values()] == [4, 2]
        results.append([arr(a), arr(b)])
    same(results[1], results[0])


# ------------------------------------------------------------------------- gradients that add up


class Adding(Training):
    """Every third call takes a step on the sum of the gradients."""

    def step(self, x, y):
        loss = F.cross_entropy(self.model(x), y)
        loss.backward()
        return loss

    def run(self, step, data=None):
        def sometimes(x, y):
            loss = step(x, y)
            self.calls = getattr(self, "calls", 0) + 1
            if self.calls % 3 == 0:
                self.optimizer.step()
                self.optimizer.zero_grad()
            return loss

        return super().run(sometimes, data)


@pytest.mark.filterwarnings("ignore:ExponentialLR")  # it steps in every call
def test_gradients_add_up_over_calls_in_storage_that_stays():
    plain, captured = Adding(), Adding()
    expected = plain.run(plain.step)
    step = captured.capture()
    same(captured.run(step), expected)
    assert step.replays == N
    x, y = batches(6)[0]
    step(make("cuda", x), make("cuda", y))
    before = [p.grad.array for p in captured.model.parameters()]
    step(make("cuda", x), make("cuda", y))
    after = [p.grad.array for p in captured.model.parameters()]
    assert all(a is b for a, b in zip(after, before, strict=True))


def test_gradients_add_up_within_a_call():
    class Twice(Training):
        def step(self, x, y):
            self.optimizer.zero_grad()
            for half in (slice(0, 2), slice(2, 5)):
                loss = F.cross_entropy(self.model(x[half]), y[half])
                loss.backward()
            self.optimizer.step()
            return loss

    plain, captured = Twice(), Twice()
    same(captured.run(captured.capture()), plain.run(plain.step))


# -------------------------------------------------------------- what a user's step may not do


def wrong(name):
    """Return a training whose step makes the mistake of that name."""

    class Wrong(Training):
        count = 0

        def step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y)
            loss.backward()
            loss = getattr(self, name)(x, loss)
            self.optimizer.step()
            return loss

        def item(self, x, loss):
            return loss.item()

        def condition(self, x, loss):
            return loss if loss > 0 else -loss

        def printing(self, x, loss):
            return str(loss) and loss

        def mask(self, x, loss):
            return loss + x[x > 0].sum()

        def write_by_mask(self, x, loss):
            z = x.clone()
            z[z > 0] = 0.0
            return loss + z.sum()

        def from_host(self, x, loss):
            return loss * mg.tensor([2.0], device="cuda")

        def index_list(self, x, loss):
            return loss + x[[0, 1]].sum()

        def noise(self, x, loss):
            return loss + mg.randn(1, device="cuda").sum()

        def own_noise(self, x, loss):
            return loss * float(RNG.random())

        def synchronize(self, x, loss):
            mg.cuda.synchronize()
            return loss

        def rebinding(self, x, loss):
            for p in self.model.parameters():
                p.data = p.data - 0.1 * p.grad.data
            return loss

        def optimizer_reset(self, x, loss):
            self.optimizer.step()
            for entry in self.optimizer.state.values():
                entry["exp_avg"] = entry["exp_avg"] * 0.5
            return loss

        def schedule_inside(self, x, loss):
            self.schedule.step()
            return loss

        def hidden_model(self, x, loss):
            HIDDEN().weight.data.add_(1.0)
            return loss

        def failing(self, x, loss):
            if backend.capturing():
                raise KeyError("mistyped")
            return loss

    return Wrong()


RNG = np.random.default_rng(0)
MISTAKES = {
    "item": (RuntimeError, r"(?s)reads a value.*test_capture\.py:\d+: return loss.item.*where\("),
    "condition": (RuntimeError, "(?s)reads a value.*if loss > 0"),
    "printing": (RuntimeError, "(?s)reads a value.*str"),
    "mask": (RuntimeError, "(?s)reads a value.*where"),
    "write_by_mask": (RuntimeError, "(?s)reads a value.*where"),
    "from_host": (RuntimeError, "host to the GPU"),
    "index_list": (RuntimeError, "host to the GPU"),
    "noise": (RuntimeError, "random numbers on the host"),
    "own_noise": (RuntimeError, "random numbers on the host"),
    "synchronize": (RuntimeError, "waits for the GPU"),
    "rebinding": (RuntimeError, r"(?s)'0.weight'.*replaced.*in place"),
    "optimizer_reset": (RuntimeError, "(?s)exp_avg.*replaced"),
    "schedule_inside": (RuntimeError, "(?s)learning rate.*schedule.step"),
    "hidden_model": (RuntimeError, "(?s)not found through the function.*state="),
    "failing": (RuntimeError, "(?s)failed while it was captured.*mistyped"),
}


@functools.cache
def hidden():
    return nn.Linear(2, 2).to("cuda")


def HIDDEN():  # noqa: N802
    return hidden()


@pytest.mark.filterwarnings("ignore:ExponentialLR")
@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_refused_in_words_and_leave_everything_as_it_was(name):
    hidden.cache_clear(), hidden()
    kind, text = MISTAKES[name]
    training, untouched = wrong(name), wrong(name)
    rate = training.optimizer.param_groups[0]["lr"]
    with pytest.raises(kind, match=text) as caught:
        training.capture()
    assert "cuda.capture" in str(caught.value)
    assert not fakecupy_graph.capturing()
    if name != "rebinding":
        same(training.everything()[:4], untouched.everything()[:4])
    # and without the mistake it can be captured
    training.optimizer.param_groups[0]["lr"] = rate
    training.step = functools.partial(Training.step, training)
    if name != "optimizer_reset":
        training.capture()


def test_a_closure_that_binds_its_parameter_again_is_refused():
    w = make("cuda", np.ones(3, "f4"), requires_grad=True)

    def train_step(x):
        nonlocal w
        loss = ((w - x) ** 2).sum()
        loss.backward()
        w = (w - 0.1 * w.grad).detach().requires_grad_()
        return loss

    with pytest.raises(RuntimeError, match="replaced"):
        mg.cuda.capture(train_step, make("cuda", np.zeros(3, "f4")))


class Opaque:
    """Attributes that only exist when they are asked for."""

    model = property(lambda self: look_up()[0])
    optimizer = property(lambda self: look_up()[1])


@functools.cache
def look_up():
    mg.manual_seed(0)
    model = mlp().to("cuda")
    return model, optim.SGD(model.parameters(), lr=0.1)


def test_state_names_what_cannot_be_found():
    opaque = Opaque()

    def train_step(x):
        opaque.optimizer.zero_grad()
        loss = (opaque.model(x) ** 2).mean()
        loss.backward()
        opaque.optimizer.step()
        return loss

    x = make("cuda", np.ones((2, 6), "f4"))
    results = []
    for captured in (False, True):
        look_up.cache_clear(), look_up()
        step = train_step
        if captured:
            with pytest.raises(RuntimeError, match="state="):
                mg.cuda.capture(train_step, x)
            look_up.cache_clear()
            step = mg.cuda.capture(train_step, x, state=look_up())
        results.append([arr(step(x)).copy() for _ in range(3)])
    look_up.cache_clear()
    same(results[1], results[0])


class OwnSgd(optim.Optimizer):
    """As for PyTorch: with a step of its own."""

    def __init__(self, params, lr, counts=False):
        super().__init__(params, dict(lr=lr))
        self.counts = counts

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.data.sub_(p.grad, alpha=group["lr"])
                if self.counts:
                    self.state[p]["step"] = self.state[p].get("step", 0) + 1


def test_optimizers_with_a_step_of_their_own():
    plain, captured = (Training(optimizer=lambda p: OwnSgd(p, lr=0.1)) for _ in range(2))
    expected = plain.run(plain.step)
    step = captured.capture()
    with pytest.warns(UserWarning, match="option of the optimizer"):
        same(captured.run(step), expected)  # the schedule changes lr, which is in the graph
    assert (step.replays, step.eager_calls) == (1, N - 1)
    with pytest.raises(RuntimeError, match="counts in Python"):
        Training(optimizer=lambda p: OwnSgd(p, lr=0.1, counts=True)).capture()


def test_labels_are_looked_at_later():
    training = Training()
    step = training.capture()
    (x, y), (u, v) = batches(6)[:2]
    step(make("cuda", x), make("cuda", y))
    step.check()
    step(make("cuda", u), make("cuda", np.where(v == v[0], 4, v)))
    with pytest.raises(IndexError, match=r"(?s)0 to 3.*4"):
        step.check()
    negative = Training().capture()
    negative(make("cuda", u), make("cuda", np.where(v == v[0], -100, v)))
    with pytest.raises(IndexError, match="(?s)ignore_index.*-100"):
        negative.check()


def test_every_hundredth_call_looks_at_the_labels(monkeypatch):
    monkeypatch.setattr(step, "LOOK_EVERY", 3)
    captured = Training().capture()
    (x, y) = batches(6)[0]
    captured(make("cuda", x), make("cuda", y + 4))
    captured(make("cuda", x), make("cuda", y))
    with pytest.raises(IndexError):
        captured(make("cuda", x), make("cuda", y))


def test_ignored_labels_where_they_are_asked_for():
    class Ignoring(Training):
        def step(self, x, y):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.model(x), y, ignore_index=-1)
            loss.backward()
            self.optimizer.step()
            return loss

    data = [(x, np.where(x[:, 0] > 0.5, -1, y)) for x, y in batches(6)]
    plain, captured = Ignoring(), Ignoring()
    same(captured.run(captured.capture(), data), plain.run(plain.step, data))


def test_bad_arguments():
    training = Training()
    with pytest.raises(TypeError, match="not a tensor"):
        mg.cuda.capture(training.step, (batches(6)[0],))
    x, y = batches(6)[0]
    training.model.to("cpu")
    with pytest.raises(RuntimeError, match="(?s)different devices.*cpu.*cuda"):
        mg.cuda.capture(training.step, (make("cuda", x), make("cuda", y)))
    damped = Training(optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5))
    with pytest.raises(RuntimeError, match="(?s)dampening.*one step"):
        damped.capture()
    other = Training(optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.5))
    expected = other.run(other.step)
    losses = damped.run(damped.step, batches(6)[:1])[:1]
    same((losses + damped.run(damped.capture(), batches(6)[1:]))[:-1], expected[:-1])


# ------------------------------------------------- the comparison notices mistakes in the machinery


def sends_always(self, params, groups):
    """The learning rate becomes an argument of a launch in the graph."""
    self.counts += 1
    for rate, group in zip(self.rates, groups, strict=True):
        rate.fill(group["lr"])


def host_count(self, p, entry, name):
    """Adam's count as a Python number, as outside of a capture."""
    if name == "step":
        return 1
    return ORIGINAL(self, p, entry, name)


ORIGINAL = optim.Optimizer._remembered
PLANTED = {
    "lr sent inside the graph": (OnDevice, "begin_step", sends_always),
    "lr never sent": (OnDevice, "send_learning_rates", lambda self, groups: None),
    "warm-up not undone": (state.Saved, "restore", state.Saved.restore_python),
    "a count in Python": (optim.Optimizer, "_remembered", host_count),
    "one key for ever": (Keys, "refresh", lambda self: None),
    "batch not copied": (step, "_write", lambda own, array: None),
    "statistics replaced": (
        nn.functional,
        "_step",
        lambda running, batch, m: setattr(running, "array", running.array * (1 - m) + batch * m),
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_mistakes_show(name, monkeypatch):
    def everything():
        return nn.Sequential(*normed(), nn.Dropout(0.5))

    plain = Training(everything, size=(1, 8, 8))
    expected = plain.run(plain.step)
    monkeypatch.setattr(*PLANTED[name])
    captured = Training(everything, size=(1, 8, 8))
    try:
        actual = captured.run(captured.capture())
    except RuntimeError as error:
        assert "was replaced" in str(error)
        return
    assert differ(actual, expected)


# ------------------------------------------------------------------------- the stand-in's own rules


@pytest.fixture
def xp():
    if backend.cupy is not fakecupy.cupy:
        pytest.skip("about the stand-in")
    return fakecupy.cupy


def record(xp, function, pool=True):
    """Capture a function; return the graph and what the function returned."""
    stream, own = xp.cuda.Stream(non_blocking=True), xp.cuda.MemoryPool()
    allocator = own.malloc if pool else xp.cuda.get_allocator()
    xp.cuda.runtime.deviceSynchronize()
    gc.disable()
    try:
        with xp.cuda.using_allocator(allocator), stream:
            stream.begin_capture()
            try:
                result = function()
            except BaseException:
                with contextlib.suppress(Exception):
                    stream.end_capture()
                raise
            return stream.end_capture(), result, own
    finally:
        gc.enable()


def test_a_capture_computes_nothing_and_a_replay_everything(xp):
    a, b = xp.arange(4.0), xp.zeros(4)

    def function():
        b[...] = a * 2
        b.__iadd__(1)
        xp.add(b, a, out=b)
        b[1:3].fill(7)
        return b.sum(), xp.where(a > 1, a, b)[::2], xp.take_along_axis(a, xp.asarray(0)[None], 0)

    graph, (total, picked, taken), _pool = record(xp, function)
    assert not b.get().any()
    assert np.isnan(total.get())
    for start in (0, 10):
        a[...] = xp.arange(start, start + 4.0)
        graph.launch()
        expected = np.arange(start, start + 4.0) * 3 + 1
        expected[1:3] = 7
        np.testing.assert_array_equal(b.get(), expected)
        assert total.get() == expected.sum()
        np.testing.assert_array_equal(picked.get(), np.where(a.get() > 1, a.get(), expected)[::2])
        assert taken.get() == start


STANDS_REFUSED = {
    "item": lambda xp, a: a.sum().item(),
    "float": lambda xp, a: float(a[0]),
    "mask": lambda xp, a: a[a > 0],
    "write by mask": lambda xp, a: a.__setitem__(a > 0, 0),
    "nonzero": lambda xp, a: a.nonzero(),
    "asarray": lambda xp, a: xp.asarray(np.ones(3)),
    "set": lambda xp, a: a.set(np.ones(4)),
    "index list": lambda xp, a: a[[0, 1]],
    "matmul": lambda xp, a: a[:, None] @ a[None],
    "tensordot": lambda xp, a: xp.tensordot(a[:, None], a[None], 1),
    "solve": lambda xp, a: xp.linalg.inv(a.reshape(2, 2)),
    "sort": lambda xp, a: xp.sort(a),
    "synchronize": lambda xp, a: xp.cuda.runtime.deviceSynchronize(),
    "done": lambda xp, a: xp.cuda.Stream.null.done,
}


@pytest.mark.parametrize("name", STANDS_REFUSED)
def test_the_stand_in_refuses_in_a_capture_what_cupy_refuses(xp, name):
    a = xp.arange(4.0)
    STANDS_REFUSED[name](xp, xp.arange(4.0) + 1)  # outside it is allowed
    with pytest.raises((RuntimeError, NotImplementedError, fakecupy.Strict)):
        record(xp, lambda: STANDS_REFUSED[name](xp, a))
    assert not fakecupy_graph.capturing()


def test_the_stand_in_wants_a_pool_of_its_own_and_the_collector_off(xp):
    a = xp.ones(3)
    with pytest.raises(fakecupy_graph.Unsafe, match="shared pool"):
        record(xp, lambda: a + 1, pool=False)
    stream = xp.cuda.Stream(non_blocking=True)
    with stream, pytest.raises(fakecupy_graph.Unsafe, match="collector"):
        stream.begin_capture()
    with pytest.raises(RuntimeError, match="legacy"):
        xp.cuda.Stream.null.begin_capture()
    graph, _result, pool = record(xp, lambda: a + 1)
    graph.launch()
    del pool
    gc.collect()
    with pytest.raises(fakecupy_graph.Unsafe, match="gone"):
        graph.launch()


def test_out_of_memory_says_how_much_and_what_to_do(xp, monkeypatch):
    monkeypatch.setattr(backend, "cupy", None)
    before = xp.cuda.get_allocator()
    monkeypatch.setitem(sys.modules, "cupy", xp)
    try:
        backend.cuda_module()
        fakecupy_graph.default_pool.set_limit(size=2**20)
        with pytest.raises(
            mg.cuda.OutOfMemoryError,
            match="(?s)3.815 MiB more.*1 GiB free of 2 GiB.*smaller batches",
        ):
            mg.zeros(1000, 1000, device="cuda")
        training = Training()
        training.capture()
        fakecupy_graph.default_pool.set_limit(size=None)
    finally:
        fakecupy_graph.default_pool.set_limit(size=None)
        xp.cuda.set_allocator(before)
    assert issubclass(mg.cuda.OutOfMemoryError, RuntimeError)
    assert issubclass(mg.cuda.OutOfMemoryError, MemoryError)


def test_the_stand_in_wants_no_stream_left_before_its_work_is_done(xp):
    a, stream = xp.ones(3), xp.cuda.Stream(non_blocking=True)
    with pytest.raises(fakecupy_graph.Unsafe, match="synchronize first"), stream:
        pass
    xp.cuda.runtime.deviceSynchronize()
    with pytest.raises(fakecupy_graph.Unsafe, match="synchronize first"), stream:
        a += 1
    with stream:
        a += 1
        stream.synchronize()
    assert a.get().tolist() == [3, 3, 3]


def test_errors_of_cupy_are_explained_and_errors_of_the_device_kept():
    def raised(kind, *args):
        try:
            raise kind(*args)
        except Exception as error:
            return errors.cannot_capture(error)

    cuda = fakecupy_graph.CUDARuntimeError
    assert cuda.__module__ == "cupy_backends.cuda.api.runtime"
    text = str(raised(cuda, "cudaErrorStreamCaptureUnsupported: operation not permitted"))
    assert "waits for the GPU" in text
    text = str(raised(RuntimeError, "is capturing, so synchronous API calls are disallowed"))
    assert "copies between GPUs" in text
    assert type(raised(mg.cuda.OutOfMemoryError, "full")) is mg.cuda.OutOfMemoryError


def test_a_capture_that_was_spoilt_in_silence_is_refused(monkeypatch):
    def step(training):
        with contextlib.suppress(Exception):
            mg.cuda.synchronize()

    training = Training()
    original = training.step
    training.step = lambda x, y: (step(training), original(x, y))[1]
    if exact():  # the warm-up and the rehearsal may wait
        with pytest.raises(RuntimeError, match="(?s)cuda.capture.*waits for the GPU"):
            training.capture()
    training.step = original
    training.capture()


def test_errors_of_the_capture_name_the_line_of_the_user():
    with pytest.raises(RuntimeError) as caught:
        wrong("item").capture()
    assert "test_capture.py" in str(caught.value)
    assert errors.PACKAGE not in str(caught.value)


def test_the_mnist_example_captures_its_step(monkeypatch, tmp_path, capsys):
    """On the GPU its losses are those of the CPU, and all but the last batches are replays."""
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")
    path = Path(__file__).parents[1] / "examples" / "mnist.py"
    spec = importlib.util.spec_from_file_location("mnist_example", path)
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    monkeypatch.setattr(example, "draw", lambda *args: None)
    steps, capture = [], mg.cuda.capture
    monkeypatch.setattr(mg.cuda, "capture", lambda *a: steps.append(capture(*a)) or steps[-1])
    rows = []
    for device in ("cpu", "cuda"):
        arguments = ["--device", device, "--model", "mlp", "--epochs", "1", "--batch-size", "200"]
        arguments += ["--data", str(tmp_path), "--out", str(tmp_path)]
        monkeypatch.setattr(sys, "argv", ["mnist.py", *arguments])
        monkeypatch.delenv("MINIGRAD_DATA", raising=False)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        example.main()
        lines = capsys.readouterr().out.splitlines()
        line = next(line for line in lines if line.startswith("    1 "))
        rows.append([float(cell.strip("%")) for cell in line.split()[1:5]])
    np.testing.assert_allclose(rows[1], rows[0], rtol=1e-3)
    assert callable(steps[0]) and not hasattr(steps[0], "replays")
    assert (steps[1].replays, steps[1].eager_calls) == (6, 1)
