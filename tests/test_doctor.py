"""The doctor: every mistake that is planted is found by name, and healthy networks are let go.

What a healthy network is, is said by the library's own models; the numbers (ln C, ln 2) by hand.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
from helpers import arr

import minigrad
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.doctor import environment, examine, main
from minigrad.vision import datasets, models


def digits(count=48, seed=0):
    """Return normalised images (N, 1, 28, 28) and their labels."""
    data = datasets.Digits(mnist_form=True)
    chosen = np.random.default_rng(seed).permutation(len(data))[:count]
    images = (data.data.numpy()[chosen, None] / np.float32(255) - 0.13) / 0.31
    return minigrad.tensor(images.astype("f4")), minigrad.tensor(data.targets.numpy()[chosen])


def plane(count=48, seed=0):
    """Return points and whether they lie in the first or third quadrant."""
    points = np.random.default_rng(seed).standard_normal((count, 2)).astype("f4")
    return minigrad.tensor(points), minigrad.tensor((points.prod(1) > 0).astype("i8"))


def mlp(outputs=2, *more, inputs=2, activation=nn.ReLU):
    layers = nn.Linear(inputs, 32), activation(), nn.Linear(32, outputs)
    return nn.Sequential(*layers, *more)


def names(model, batch, loss="cross_entropy", overfit=False, **options):
    return examine(model, batch, loss, overfit=overfit, **options).names()


# ------------------------------------------------------------------------------------ healthy


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("make", [models.lenet, models.lenet5, models.cnn, models.mlp])
def test_the_librarys_models_are_healthy(make, seed):
    minigrad.manual_seed(seed)
    report = examine(make(), digits(seed=seed))
    assert report.ok, report
    assert report.numbers["guessing_loss"] == pytest.approx(math.log(10), abs=1e-5)
    assert report.numbers["first_loss"] == pytest.approx(math.log(10), abs=0.5)
    assert "ln 10" in str(report)


def _binary():
    x, y = plane()
    return x, y.float().reshape(-1, 1)


HEALTHY = {
    "tanh": lambda: (mlp(activation=nn.Tanh), plane(), "cross_entropy"),
    "batch norm": lambda: (mlp(2, activation=normed), plane(), F.cross_entropy),
    "one hot": lambda: (mlp(), (plane()[0], F.one_hot(plane()[1], 2).float()), "cross_entropy"),
    "module": lambda: (mlp(), plane(), nn.CrossEntropyLoss(label_smoothing=0.1, reduction="sum")),
    "function": lambda: (mlp(), plane(), lambda z, y: F.cross_entropy(z, y) + 0.01),
    "ignored": lambda: (mlp(), (plane()[0], plane()[1].where(plane()[0][:, 0] > -1, -100)), "cross_entropy"),  # noqa: E501
    "nll": lambda: (mlp(2, nn.LogSoftmax(1)), plane(), "nll_loss"),
    "keras": lambda: (mlp(2, nn.Softmax(1)), plane(), "categorical_crossentropy"),
    "yes or no": lambda: (mlp(1), _binary(), "binary_cross_entropy_with_logits"),
    "probability": lambda: (mlp(1, nn.Sigmoid()), _binary(), "binary_cross_entropy"),
    "regression": lambda: (mlp(1), (plane()[0], plane()[0].sum(1, keepdim=True)), "mse"),
    "one sample": lambda: (mlp(), plane(1), "cross_entropy"),
    "log-softmax": lambda: (mlp(2, nn.LogSoftmax(1)), plane(), "cross_entropy"),
    "scales itself": lambda: (Scaled(), (datasets.Digits().data[:32], datasets.Digits().targets[:32]), "cross_entropy"),  # noqa: E501
    "dropout": lambda: (mlp(activation=lambda: nn.Dropout(0.5)), lines(), "cross_entropy"),
    "squares": lambda: (mlp(2, nn.Softmax(1)), plane(), lambda p, y: ((p - F.one_hot(y, 2)) ** 2).mean()),  # noqa: E501
    "frozen half": lambda: (half_frozen(), plane(), "cross_entropy"),
    "double": lambda: (mlp().double(), plane(), "cross_entropy"),
}  # fmt: skip


def lines():
    """Return points on both sides of a straight line."""
    points = plane()[0]
    return points, (points[:, 0] > 0).long()


class Scaled(nn.Module):
    """Takes bytes, and scales them in its own forward."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)

    def forward(self, x):
        return self.layer(x.float().flatten(1) / 16)


def normed():
    return nn.Sequential(nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.3))


def half_frozen():
    model = mlp()
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize("case", HEALTHY)
def test_other_healthy_ones(case):
    report = examine(*HEALTHY[case]())
    assert report.ok, report


def test_what_guessing_costs():
    """By hand: ln C over classes, C-fold sums, ln 2 for yes or no, the mean square for values."""
    x, y = plane(40)
    assert examine(mlp(), (x, y)).numbers["guessing_loss"] == pytest.approx(math.log(2))
    total = examine(mlp(), (x, y), nn.CrossEntropyLoss(reduction="sum"), overfit=False)
    assert total.numbers["guessing_loss"] == pytest.approx(40 * math.log(2), rel=1e-5)
    values = x.sum(1, keepdim=True)
    report = examine(mlp(1), (x, values), "mse", overfit=False)
    assert report.numbers["guessing_loss"] == pytest.approx((arr(values) ** 2).mean(), rel=1e-5)
    for loss, end in (("nll_loss", nn.LogSoftmax(1)), ("categorical_crossentropy", nn.Softmax(1))):
        report = examine(mlp(5, end), (x, y), loss, overfit=False)
        assert report.numbers["guessing_loss"] == pytest.approx(math.log(5), rel=1e-5)


def test_dropout_does_not_hinder_learning_by_heart():
    model = mlp(activation=lambda: nn.Dropout(0.999))  # next to nothing would get through
    assert "does not overfit" not in names(model, lines(), overfit=True)


def test_a_trained_network_is_no_finding():
    x, y = plane()
    model = mlp(activation=nn.Tanh)
    optimizer = optim.Adam(model.parameters(), lr=0.05)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    report = examine(model, (x, y))
    assert report.ok, report
    assert "this network is trained" in str(report)


# ---------------------------------------------------------------------------- planted: the data


def raw_bytes():
    data = datasets.Digits(mnist_form=True)
    return data.data[:32].reshape(32, 1, 28, 28), data.targets[:32]


def test_bytes_as_inputs():
    x, y = raw_bytes()
    assert names(models.lenet(), (x, y)) == ["inputs not scaled", "forward fails"]
    found = names(models.mlp(), (x.float(), y))
    assert found[0] == "inputs not scaled"


def test_scaled_twice():
    x, y = raw_bytes()
    assert "inputs almost zero" in names(models.mlp(), (x.float() / 255 / 255, y))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_no_numbers(value):
    x, y = plane()
    x = x.clone()
    x[7, 1] = value
    report = examine(mlp(), (x, y), overfit=False)
    assert report.names()[0] == "inputs not finite"
    assert "sample 7" in report.findings[0].text


def test_inputs_that_do_not_differ():
    x, y = plane()
    assert "all inputs are the same" in names(mlp(), (x * 0 + 1, y))


@pytest.mark.parametrize("low, name", [(1, "labels count from 1"), (-1, "labels out of range")])
def test_labels_that_are_no_classes(low, name):
    x, y = plane()
    assert names(mlp(), (x, y + low)) == [name, "loss fails"]


def test_a_label_too_many():
    x, y = plane()
    y = y.clone()
    y[11] = 2
    report = examine(mlp(), (x, y), overfit=False)
    assert report.names()[0] == "labels out of range"
    assert "sample 11" in report.findings[0].text


def test_other_label_trouble():
    x, y = plane()
    assert "all labels are the same" in names(mlp(), (x, y * 0))
    assert names(mlp(), (x, y * 0 - 100))[0] == "all labels are ignored"
    assert names(mlp(), (x, y > 0))[0] == "labels are not integers"
    assert names(mlp(), (x, y.float()))[0] == "labels are not integers"
    assert names(mlp(), (x, y.reshape(-1, 1)))[0] == "labels of another shape"
    assert names(mlp(), (x, F.one_hot(y, 2)))[0] == "labels of another shape"
    unnormalised = F.one_hot(y, 2).float() * 3
    assert names(mlp(), (x, unnormalised))[0] == "targets are no probabilities"
    signs = y.float().reshape(-1, 1) * 2 - 1
    found = names(mlp(1), (x, signs), "binary_cross_entropy_with_logits")
    assert found[0] == "labels out of range"


def test_targets_of_a_regression():
    x, y = plane()
    prices = (x.sum(1, keepdim=True) + 5) * 1e5
    assert names(mlp(1), (x, prices), "mse")[0] == "targets not scaled"
    constant = names(mlp(1), (x, prices * 0 + 3), "mse", overfit=True)
    assert constant == ["all targets are the same"]
    holes = prices.clone()
    holes[3] = math.nan
    assert names(mlp(1), (x, holes), "mse")[0] == "targets not finite"


# --------------------------------------------------------------------- planted: output and loss


@pytest.mark.parametrize(
    "loss", ["cross_entropy", nn.CrossEntropyLoss(), lambda z, y: F.cross_entropy(z, y)]
)  # noqa: E501
def test_softmax_before_cross_entropy(loss):
    report = examine(mlp(3, nn.Softmax(1)), plane(), loss, overfit=False)
    assert report.names() == ["softmax before cross-entropy"]
    assert f"{math.log(1 + 2 / math.e):.3f}" in report.findings[0].text  # -ln softmax([1, 0, 0])[0]


def test_softmax_in_forward():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            return F.softmax(self.body(x), 1)

    assert names(Net(), plane()) == ["softmax before cross-entropy"]


@pytest.mark.parametrize(
    "model, batch, loss, name",
    [
        (lambda: mlp(1, nn.Sigmoid()), _binary, "binary_cross_entropy_with_logits",
         "sigmoid before a loss with logits"),
        (lambda: mlp(2, nn.ReLU()), plane, "cross_entropy", "relu after the last layer"),
        (lambda: mlp(2, nn.Sigmoid()), plane, "cross_entropy", "sigmoid after the last layer"),
        (lambda: mlp(2, nn.Softmax(1)), plane, "nll_loss",
         "probabilities where log-probabilities belong"),
        (lambda: mlp(2), plane, "nll_loss", "logits where log-probabilities belong"),
        (lambda: mlp(1), lambda: (plane()[0], plane()[1] * 0), "cross_entropy", "one output only"),
    ],
)  # fmt: skip
def test_the_last_layer(model, batch, loss, name):
    assert name in names(model(), batch(), loss)


def test_loud_first_weights():
    model = mlp(10, inputs=784)
    model.insert(0, nn.Flatten())
    model[3].weight.data.mul_(100.0)
    report = examine(model, digits(), overfit=False)
    assert "first loss too high" in report.names()
    assert "ln 10 = 2.303" in str(report)


def test_forward_and_loss_that_fail():
    x, y = digits(8)
    report = examine(models.lenet(), (x[:, :, :24], y))  # images of another height
    assert report.names() == ["forward fails"]
    assert "layer '7' (Linear) raised ValueError" in report.findings[0].text
    assert names(mlp(), plane(), lambda z, y: 1 / 0) == ["loss fails"]
    assert names(mlp(), plane(), lambda z, y: z.sum(1)) == ["loss is not a number"]
    assert names(mlp(), plane(), lambda z, y: 0.5) == ["loss is not a number"]


# ------------------------------------------------------------------------ planted: the numbers


class Logarithm(nn.Module):
    def forward(self, x):
        return x.log()


def test_where_nan_comes_up():
    report = examine(nn.Sequential(nn.Linear(2, 4), Logarithm(), nn.Linear(4, 2)), plane())
    assert report.names() == ["activation not finite"]
    assert "1 (Logarithm) is the first" in report.findings[0].text
    broken = mlp()
    broken[2].weight.data[0, 0] = math.nan
    assert names(broken, plane()) == ["weights not finite"]
    assert names(mlp(), plane(), lambda z, y: (z.sum() * 0).log()) == ["loss not finite"]


def test_an_infinite_slope():
    found = names(mlp(), plane(), lambda z, y: (z.relu() * 0).sqrt().sum() + F.cross_entropy(z, y))
    assert "gradient not finite" in found


# ----------------------------------------------------------------------- planted: the gradients


class Careless(nn.Module):
    """Two layers, of which the first can be lost in several ways."""

    def __init__(self, how):
        super().__init__()
        self.hidden, self.out, self.how = nn.Linear(2, 32), nn.Linear(32, 2), how
        self.unused = nn.Linear(3, 3) if how == "unused" else None

    def forward(self, x):
        if self.how == "no_grad":
            with minigrad.no_grad():
                h = self.hidden(x)
        else:
            h = self.hidden(x)
        if self.how == "detach":
            h = h.detach()
        if self.how == "numpy":
            h = minigrad.tensor(h.detach().numpy())
        if self.how == "times 0":
            return self.out(h * 0 + 1)
        return self.out(h.relu())


@pytest.mark.parametrize("how", ["no_grad", "detach", "numpy"])
def test_a_cut_graph(how):
    report = examine(Careless(how), plane(), overfit=False)
    assert report.names() == ["parameter not in the graph"]
    assert "hidden.weight, hidden.bias" in report.findings[0].text


def test_an_unused_layer():
    report = examine(Careless("unused"), plane())
    assert report.names() == ["parameter not in the graph"]
    assert "unused: never called" in report.findings[0].text


def test_a_gradient_that_stays_zero():
    report = examine(Careless("times 0"), plane(), overfit=False)
    assert report.names() == ["dead gradient"]
    assert "hidden.weight, hidden.bias" in report.findings[0].text


def test_a_last_layer_of_zeros_is_no_dead_gradient():
    model = mlp()
    nn.init.zeros_(model[2].weight)
    assert examine(model, plane()).ok  # the layer before gets its gradient from the second step on


def test_dead_relus():
    model = mlp()
    nn.init.constant_(model[0].bias, -50.0)
    report = examine(model, plane(), overfit=False)
    assert "dead relus" in report.names()
    assert "1 (ReLU), 32 of 32" in str(report)
    assert "dead gradient" in report.names()


def test_a_loss_without_history():
    model = mlp()
    assert names(model.requires_grad_(False), plane()) == ["nothing to train"]
    found = names(mlp(), plane(), lambda z, y: F.cross_entropy(z.detach(), y))
    assert found == ["loss is not connected"]
    assert names(nn.Sequential(nn.ReLU()), plane()) == ["nothing to train"]


def deep(activation, depth=10, gain=1.0):
    layers = [m for _ in range(depth) for m in (nn.Linear(32, 32), activation())]
    model = nn.Sequential(nn.Linear(2, 32), *layers, nn.Linear(32, 2))
    for module in model:
        if isinstance(module, nn.Linear):
            module.weight.data.mul_(gain)
    return model


def test_vanishing_and_exploding_gradients():
    assert "vanishing gradient" in names(deep(nn.Sigmoid), plane())
    found = names(deep(nn.ReLU, gain=12.0), plane())
    assert "exploding gradient" in found
    assert "first loss too high" in found
    assert names(deep(nn.ReLU, 3), plane()) == []


# -------------------------------------------------------------------------- planted: learning


class Blind(nn.Module):
    """Answers without looking."""

    def __init__(self):
        super().__init__()
        self.answer = nn.Parameter(minigrad.zeros(2))

    def forward(self, x):
        return self.answer + x[:, :1] * 0


def test_what_cannot_be_learned_by_heart():
    x, y = plane()
    assert names(Blind(), (x, y), overfit=True, steps=50) == ["does not overfit"]
    line = nn.Linear(2, 2)  # no straight line separates the quadrants
    assert "does not overfit" in names(line, (x, y), overfit=True, steps=50)
    slow = lambda p: optim.SGD(p, lr=1e-9)  # noqa: E731
    assert names(mlp().half(), (x, y), overfit=True) == ["training diverges"]
    assert names(mlp(), (x, y), overfit=True, optimizer=slow) == ["does not overfit"]


def test_a_regression_that_finds_only_the_mean():
    x, _ = plane()

    class Mean(Blind):
        def forward(self, x):
            return self.answer[:1] + x[:, :1] * 0

    found = names(Mean(), (x, x.sum(1, keepdim=True) + 9), "mse", overfit=True)
    assert found == ["does not overfit"]


def test_samples_that_contradict_each_other():
    x, y = plane(16)
    x, y = minigrad.cat([x, x]), minigrad.cat([y, 1 - y])
    assert names(mlp(), (x, y), overfit=True, samples=32, steps=30) == [
        "samples contradict each other"
    ]


def test_the_users_optimizer_is_used():
    report = examine(mlp(), plane(), optimizer=lambda p: optim.SGD(p, lr=1e4))
    assert report.names() == ["training diverges"]
    assert examine(mlp(activation=nn.Tanh), plane(), optimizer="adam", steps=2000).ok


# ------------------------------------------------------------------------------ what stays


def test_the_patient_is_left_as_it_was():
    minigrad.manual_seed(3)
    model = models.cnn()  # batch norm and dropout
    model[1].eval()
    images, labels = digits(16)
    F.cross_entropy(model(images), labels).backward()
    model.last = model(images)  # part of a graph: no deepcopy of it
    seen = []
    model[0].register_forward_hook(lambda *_: seen.append(1))
    state = copy.deepcopy(model.state_dict())
    grads = [arr(p.grad).copy() for p in model.parameters()]
    modes = [m.training for m in model.modules()]
    hooks = [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    random = minigrad.get_rng_state()
    examine(model, (images, labels))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(state[name]), err_msg=name)
    assert all((arr(p.grad) == g).all() for p, g in zip(model.parameters(), grads, strict=True))
    assert modes == [m.training for m in model.modules()]
    assert hooks == [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    assert minigrad.get_rng_state() == random


def test_two_examinations_say_the_same():
    model, batch = models.cnn(), digits(16)
    first, second = examine(model, batch), examine(model, batch)
    assert str(first) == str(second)
    assert first.numbers == second.numbers


def test_on_a_device(device):
    x, y = digits(16)
    model = models.lenet().to(device)
    report = examine(model, (x, y))  # the batch is moved, as `fit` does it
    assert report.ok, report
    broken = nn.Sequential(models.lenet(), nn.Softmax(1)).to(device)
    found = examine(broken, (x.to(device), y.to(device)), overfit=False)
    assert found.names() == ["softmax before cross-entropy"]


def test_inputs_of_several_kinds():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp()

        def forward(self, a, b):
            return self.body(a + b)

    x, y = plane()
    assert examine(Sum(), ((x, x * 0), y)).ok
    assert examine(mlp(), (x.numpy(), y.numpy())).ok


def test_bad_arguments():
    batch = plane()
    with pytest.raises(TypeError, match="not a model"):
        examine(print, batch)
    with pytest.raises(TypeError, match="not a batch"):
        examine(mlp(), batch[0])
    with pytest.raises(TypeError, match="holds numbers"):
        examine(mlp(), (batch[0], "labels"))
    with pytest.raises(ValueError, match="do not pair up"):
        examine(mlp(), (batch[0], batch[1][:5]))
    with pytest.raises(ValueError, match="do not pair up"):
        examine(mlp(), (batch[0][:0], batch[1][:0]))
    with pytest.raises(ValueError, match="no loss of this name"):
        examine(mlp(), batch, "cross-entropy")
    with pytest.raises(TypeError, match="makes no optimizer"):
        examine(mlp(), batch, optimizer=optim.Adam(mlp().parameters()))
    for options in ({"samples": 0}, {"steps": 1.5}, {"steps": True}):
        with pytest.raises(ValueError, match="is no count"):
            examine(mlp(), batch, **options)


def test_the_report_shows_itself():
    report = examine(mlp(2, nn.Softmax(1)), plane(), overfit=False)
    text = str(report)
    assert text.startswith("doctor: Sequential on 48 samples: 1 finding\n  !!  softmax before")
    assert "Do: leave out the model's softmax" in text
    html = report._repr_html_()
    assert html.count("<tr>") == html.count("</tr>") == len(report.checks)
    assert repr(report) == text


# ------------------------------------------------------------------------------ the machine


def test_the_machine(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main([]) == 0
    out = capsys.readouterr().out
    assert f"version        {np.__version__}" in out
    assert f"minigrad       {minigrad.get_num_threads()} " in out
    assert "1,437 to train and 360 to test" in out
    assert f"{tmp_path / 'minigrad' / 'mnist'}: no such folder" in out
    assert "agrees with finite differences" in out
    assert out.endswith("all is well\n")


def test_the_gpu_lines_are_the_backends(monkeypatch):
    def no_gpu():
        raise minigrad.backend.DeviceError("device 'cuda': no such luck.")

    monkeypatch.setattr(minigrad.backend, "cuda_module", no_gpu)
    assert list(environment.gpu_lines()) == [("CuPy", "device 'cuda': no such luck.")]


def test_a_gpu_is_described(monkeypatch):
    class Runtime:
        driverGetVersion = staticmethod(lambda: 13020)
        runtimeGetVersion = staticmethod(lambda: 12090)
        getDeviceCount = staticmethod(lambda: 1)

        @staticmethod
        def getDeviceProperties(i):
            return {"name": b"NVIDIA H200", "totalGlobalMem": 141 << 30, "major": 9, "minor": 0}

    class CuPy:
        __version__ = "14.2.0"

        class cuda:
            runtime = Runtime

    monkeypatch.setattr(minigrad.backend, "cuda_module", lambda: CuPy)
    lines = dict(environment.gpu_lines())
    assert lines["driver"] == "CUDA 13.2"
    assert lines["runtime"] == "CUDA 12.9"
    assert lines["cuda:0"] == "NVIDIA H200, 141 GiB, compute capability 9.0"


def test_broken_data_fails(capsys, monkeypatch, tmp_path):
    for name in datasets.MNIST.digests:
        (tmp_path / name).write_bytes(b"not an IDX file")
    assert main(["--data", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "FAILED" in out
    assert str(tmp_path) in out


def test_a_part_that_breaks_is_a_line(monkeypatch, capsys):
    def broken():
        raise OSError("gone")

    monkeypatch.setattr(environment, "memory_lines", broken)
    assert main([]) == 1
    assert "FAILED: OSError: gone" in capsys.readouterr().out


def test_a_wrong_gradient_fails(monkeypatch, capsys):
    from minigrad.ops.elementwise import Tanh

    monkeypatch.setattr(Tanh, "backward", lambda self, gy: gy)
    assert main([]) == 1
    assert "gradients      FAILED" in capsys.readouterr().out


def test_settings_are_shown(monkeypatch):
    monkeypatch.setenv("MINIGRAD_NUM_THREADS", "3")
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    lines = dict(environment.thread_lines())
    assert "MINIGRAD_NUM_THREADS=3" in lines["minigrad"]
    assert lines["OMP_NUM_THREADS"] == "7"
    monkeypatch.setenv("MINIGRAD_KEEP_MEMORY", "0")
    assert "given back" in dict(environment.memory_lines())["freed memory"]


def test_blas_is_asked_itself():
    """threadpoolctl's way: the library's own count is 1 after first use, unless told otherwise."""
    from minigrad.kernels import blas

    if blas.find() is None:
        pytest.skip("NumPy's BLAS is none that we know")
    lines = dict(environment.thread_lines())
    assert lines["BLAS"].startswith("1, held to one") or "keep" in lines["BLAS"]


def test_unknown_arguments(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--nonsense"])
    assert stop.value.code == 2
    assert "python -m minigrad doctor" in capsys.readouterr().err


def test_the_docstrings_example():
    import doctest

    from minigrad.doctor import examination

    assert doctest.testmod(examination).failed == 0


def test_a_model_that_keeps_a_result_is_examined():
    class Remembers(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 3)

        def forward(self, x):
            self.seen = self.first(x).relu()
            return self.last(self.seen)

    minigrad.manual_seed(0)
    batch = minigrad.randn(32, 8), minigrad.randint(0, 3, (32,))
    assert examine(Remembers(), batch).numbers["overfit_loss"] < 1.0
