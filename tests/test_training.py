"""`fit` and its kin: against loops written by hand, and stopped against never stopped."""

from __future__ import annotations

import contextlib
import copy
import gc
import io
import os
import signal
import threading
import warnings

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import nn, optim, serialize, training
from minigrad.nn import functional as F
from minigrad.optim import lr_scheduler
from minigrad.training import Checkpoint, EarlyStopping, evaluate, fit, predict
from minigrad.utils.data import DataLoader, IterableDataset, RandomSampler, TensorDataset
from minigrad.vision.datasets import Digits

N, CLASSES = 50, 3


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def some_data(n=N, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 4)).astype(np.float32)
    return x, (x @ rng.normal(size=(4, CLASSES))).argmax(1)


def a_model(*extra, seed=1, last=()):
    minigrad.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), *extra, nn.Linear(8, CLASSES), *last)


def weights(model):
    return {name: arr(value).copy() for name, value in model.state_dict().items()}


def assert_same_weights(a, b):
    a, b = ({k: arr(v) for k, v in m.state_dict().items()} for m in (a, b))
    np.testing.assert_equal(a, b)


def sgd(params):
    return optim.SGD(params, lr=0.3, momentum=0.9)


OPTIONS = dict(epochs=3, batch_size=16, optimizer=sgd, loss="cross_entropy")


# ------------------------------------------------------------------------------------- the loop


def test_it_is_the_loop_that_one_writes_by_hand():
    x, y = some_data()
    model, other = a_model(), a_model()
    history = fit(model, (x, y), **OPTIONS, shuffle=False)

    optimizer, criterion = sgd(other.parameters()), nn.CrossEntropyLoss()
    losses = []
    for _ in range(3):
        total = 0.0
        for start in range(0, N, 16):
            inputs = minigrad.from_numpy(x[start : start + 16])
            labels = minigrad.from_numpy(y[start : start + 16])
            optimizer.zero_grad()
            loss = criterion(other(inputs), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * len(labels)
        losses.append(total / N)
    assert history == {"loss": losses}
    assert_same_weights(model, other)


def test_it_learns_and_reports():
    x, y = some_data(300)
    history = fit(
        a_model(),
        (x[:200], y[:200]),
        epochs=15,
        loss="cross_entropy",
        optimizer=sgd,
        validation_data=(x[200:], y[200:]),
        metrics=["accuracy"],
    )
    assert list(history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    assert {len(values) for values in history.values()} == {15}
    assert all(type(value) is float for values in history.values() for value in values)
    assert history["val_accuracy"][-1] > 0.9 > history["val_accuracy"][0]
    assert history["loss"][-1] < history["loss"][0] / 3


def test_keras_network_on_digits_in_one_call():
    def images_of(digits):
        return digits.data.float().unsqueeze(1) / 16, digits.targets

    x, y = images_of(Digits(train=True))
    minigrad.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 32, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 3 * 3, 10),
        nn.Softmax(1),
    )
    history = fit(
        model,
        (x, F.one_hot(y, 10)),
        epochs=4,
        batch_size=32,
        optimizer=lambda params: optim.Adam(params, lr=0.003),
        loss="categorical_crossentropy",
        validation_data=images_of(Digits(train=False)),
        metrics=["accuracy"],
    )
    assert history["val_accuracy"][-1] > 0.93


@pytest.mark.parametrize("form", ["tensors", "arrays", "list", "dataset", "loader", "stream"])
def test_all_forms_of_data_are_the_same(form):
    x, y = some_data()

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(TensorDataset(x, y))

    data = {
        "tensors": (minigrad.from_numpy(x), minigrad.from_numpy(y)),
        "arrays": (x, y),
        "list": [x, y],
        "dataset": TensorDataset(x, y),
        "loader": DataLoader(TensorDataset(x, y), batch_size=16),
        "stream": Stream(),
    }[form]
    options = {**OPTIONS, "shuffle": False}
    reference = fit(expected := a_model(), (x, y), **options, validation_data=(x, y))
    if form in ("loader", "stream"):
        del options["shuffle"]
    if form == "loader":
        del options["batch_size"]
    history = fit(model := a_model(), data, **options, validation_data=data)
    assert history == reference
    assert_same_weights(model, expected)


def test_means_are_over_samples_not_batches():
    """The last batch is smaller. With a learning rate of 0 all is the same model's."""
    x, y = some_data()
    model = a_model()
    still = dict(epochs=2, batch_size=16, optimizer=lambda p: optim.SGD(p, lr=0))
    history = fit(
        model, (x, y), loss="cross_entropy", metrics=["accuracy"], validation_data=(x, y), **still
    )
    output = predict(model, x)
    loss = F.cross_entropy(output, minigrad.from_numpy(y)).item()
    right = (arr(output).argmax(1) == y).mean()
    np.testing.assert_allclose([*history["loss"], *history["val_loss"]], loss, rtol=1e-6)
    np.testing.assert_allclose([*history["accuracy"], *history["val_accuracy"]], right, rtol=1e-12)


def test_evaluate_and_predict():
    x, y = some_data()
    model = a_model(nn.Dropout(0.5))
    one = evaluate(model, (x, y), loss="cross_entropy", metrics=["accuracy"], batch_size=50)
    many = evaluate(model, (x, y), loss=nn.CrossEntropyLoss(), metrics=["accuracy"], batch_size=7)
    assert list(one) == ["loss", "accuracy"]
    assert one == pytest.approx(many, rel=1e-6)
    outputs = [
        predict(model, data, batch_size=7)
        for data in (x, minigrad.from_numpy(x), (x, y), TensorDataset(x, y))
    ]
    outputs.append(predict(model, DataLoader(TensorDataset(x), batch_size=7)))
    model.eval()
    expected = arr(model(minigrad.from_numpy(x)))
    for output in outputs:
        assert not output.requires_grad
        np.testing.assert_allclose(arr(output), expected, rtol=1e-5, atol=1e-6)


def test_modes_and_settings_are_put_back():
    x, y = some_data()
    model = a_model(nn.BatchNorm1d(8), nn.Dropout(0.5))
    model.eval()
    model[3].train()
    before = [module.training for module in model.modules()]
    seen = []

    def look(run):
        seen.append((run.model.training, run.model[2].training, minigrad.is_grad_enabled()))

    with minigrad.no_grad():  # training records all the same
        fit(model, (x, y), **OPTIONS, callbacks=[look], validation_data=(x, y))
        evaluate(model, (x, y), loss="cross_entropy")
        predict(model, x)
        assert not minigrad.is_grad_enabled()
    assert seen == [(True, True, True)] * 3
    assert [module.training for module in model.modules()] == before


def test_evaluation_is_in_evaluation_mode_and_changes_nothing():
    x, y = some_data()
    model = a_model(nn.BatchNorm1d(8), nn.Dropout(0.5))
    before = weights(model)
    a = evaluate(model, (x, y), loss="cross_entropy")
    assert a == evaluate(model, (x, y), loss="cross_entropy")
    np.testing.assert_equal(weights(model), before)


def test_on_any_device_and_in_the_models_dtype(device):
    """The data stays where it is; each batch goes to the model."""
    x, y = some_data()
    x = x.astype(np.float64)
    model = a_model().to(device)
    history = fit(model, (x, y), **OPTIONS, metrics=["accuracy"], validation_data=(x, y))
    assert history["loss"][-1] < history["loss"][0]
    assert {(p.dtype, p.is_cuda) for p in model.parameters()} == {
        (minigrad.float32, device != "cpu")
    }
    assert predict(model, x).is_cuda == (device != "cpu")


def test_optimizers_schedules_and_losses_in_every_form():
    x, y = some_data()
    for form in ("adam", optim.Adam, lambda p: optim.Adam(p), None):
        model = a_model()
        optimizer = optim.Adam(model.parameters()) if form is None else form
        loss = {"adam": "cross_entropy", None: nn.CrossEntropyLoss()}.get(form, F.cross_entropy)
        fit(model, (x, y), epochs=2, batch_size=16, optimizer=optimizer, loss=loss, shuffle=False)
        if form == "adam":
            expected = model
        assert_same_weights(model, expected)


def test_schedules_are_stepped_each_epoch_one_cycle_each_batch():
    x, y = some_data()
    rates = []

    def look(run):
        rates.append(run.optimizer.param_groups[0]["lr"])

    options = {**OPTIONS, "callbacks": [look], "validation_data": (x, y)}
    fit(a_model(), (x, y), **options, scheduler=lambda o: lr_scheduler.ExponentialLR(o, 0.5))
    assert rates == pytest.approx([0.15, 0.075, 0.0375])
    model = a_model()
    optimizer = sgd(model.parameters())
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=3, steps_per_epoch=4)
    fit(model, (x, y), **{**options, "optimizer": optimizer}, scheduler=schedule)
    assert schedule.last_epoch == 12
    rates.clear()

    def plateau(optimizer):  # nothing is good enough for it
        return lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.99)

    fit(a_model(), (x, y), **options, scheduler=plateau)
    assert rates == pytest.approx([0.3, 0.03, 0.003])
    model = a_model()
    options["optimizer"] = optimizer = sgd(model.parameters())
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer, threshold=0)
    history = fit(model, (x, y), **options, scheduler=schedule)
    assert schedule.best == min(history["val_loss"])


def test_seeds():
    x, y = some_data()

    def run(**options):
        model = a_model()
        fit(model, (x, y), **OPTIONS, **options)
        return weights(model)

    first = run(generator=minigrad.Generator().manual_seed(0))
    np.testing.assert_equal(run(generator=minigrad.Generator().manual_seed(0)), first)
    np.testing.assert_equal(run(generator=np.random.default_rng(0)), first)
    with pytest.raises(AssertionError):
        np.testing.assert_equal(run(generator=np.random.default_rng(1)), first)
    np.testing.assert_equal(run(), run())  # a_model seeds the default generator
    with pytest.raises(AssertionError):
        np.testing.assert_equal(run(shuffle=False), run())


def test_two_threads_get_what_each_would_get_alone():
    """Each has its own seed, and its own default generator."""

    def train(seed, results):
        model = a_model(nn.Dropout(0.3), seed=seed)
        fit(model, some_data(seed=seed), **{**OPTIONS, "epochs": 8})
        results[seed] = weights(model)

    alone, together = {}, {}
    for seed in (1, 2):
        train(seed, alone)
    threads = [threading.Thread(target=train, args=(seed, together)) for seed in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_equal(together, alone)


def test_no_tensor_stays_behind():
    x, y = some_data()
    model = a_model(nn.Dropout(0.1))
    counts = []

    def count(run):
        counts.append(sum(issubclass(type(o), minigrad.Tensor) for o in gc.get_objects()))

    gc.collect()
    gc.disable()
    try:
        fit(model, (x, y), **{**OPTIONS, "epochs": 30}, metrics=["accuracy"], callbacks=[count])
    finally:
        gc.enable()
    assert counts[-1] <= counts[1]


# ----------------------------------------------------------------------------- losses and metrics


def test_softmax_and_categorical_crossentropy_are_cross_entropy_on_logits():
    x, y = some_data()
    onehot = np.eye(CLASSES)[y]
    results = []
    for last, loss, targets in (
        ((), "cross_entropy", y),
        ((), "cross_entropy", onehot),
        ((nn.Softmax(1),), "categorical_crossentropy", onehot),
        ((nn.Softmax(1),), "categorical_crossentropy", onehot.astype(int)),
        ((nn.Softmax(1),), "sparse_categorical_crossentropy", y),
    ):
        model = a_model(last=last)
        options = {**OPTIONS, "loss": loss, "shuffle": False, "metrics": ["accuracy"]}
        history = fit(model, (x, targets), **options)
        results.append([*history["loss"], *history["accuracy"], *arr(model[0].weight).ravel()])
    np.testing.assert_allclose(results[1:], [results[0]] * 4, rtol=1e-4, atol=1e-6)


def test_categorical_crossentropy_clips():
    p = minigrad.tensor([[0.0, 1.0]], requires_grad=True)
    loss = training.categorical_crossentropy(p, minigrad.tensor([0]))
    assert loss.item() == pytest.approx(-np.log(1e-7))
    loss.backward()
    assert np.isfinite(arr(p.grad)).all()


def test_categorical_crossentropy_refuses():
    labels = minigrad.tensor([0, 1])
    for logits in ([[2.0, -1.0], [0.0, 1.0]], [[0.9, 0.9], [0.1, 0.1]], [0.5, 0.5]):
        with pytest.raises(ValueError, match=r"does not hold probabilities(?s:.*)nn\.Softmax\(1\)"):
            training.categorical_crossentropy(minigrad.tensor(logits), labels)
    p = minigrad.full((2, 2), 0.5)
    for wrong in (minigrad.ones(2), minigrad.ones(2, 3)):
        with pytest.raises(ValueError, match="the targets do not fit the output"):
            training.categorical_crossentropy(p, wrong)
    with pytest.raises(IndexError, match="out of range"):
        training.categorical_crossentropy(p, minigrad.tensor([0, 2]))


def test_a_softmax_under_cross_entropy_is_noticed():
    data = some_data()
    for loss in ("cross_entropy", F.cross_entropy, nn.CrossEntropyLoss()):
        with pytest.warns(UserWarning, match="has a softmax inside"):
            fit(a_model(last=[nn.Softmax(1)]), data, **{**OPTIONS, "loss": loss, "epochs": 1})


def test_a_loss_that_is_not_finite_is_told_once():
    x, y = some_data()
    x[3] = np.nan
    with pytest.warns(UserWarning, match="the loss is nan in epoch 1, batch") as caught:
        fit(a_model(), (x, y), **OPTIONS)
    assert len(caught) == 1


def test_accuracy():
    output = minigrad.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert training.accuracy(output, minigrad.tensor([1, 0, 0])) == pytest.approx(2 / 3)
    onehot = minigrad.tensor([[0, 1], [1, 0], [1, 0]])
    assert training.accuracy(output, onehot) == pytest.approx(2 / 3)
    pixels = minigrad.stack([output, -output]).permute(1, 2, 0)  # (3, 2, 2)
    assert training.accuracy(pixels, minigrad.tensor([[1, 0], [0, 1], [0, 0]])) == 5 / 6
    for wrong in ((minigrad.ones(3, 1), minigrad.ones(3)), (output, minigrad.tensor([1, 0]))):
        with pytest.raises(ValueError, match="output and targets do not fit"):
            training.accuracy(*wrong)
    p = minigrad.tensor([0.2, 0.7, 0.9])
    assert training.binary_accuracy(p, minigrad.tensor([0, 1, 0])) == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="do not have one shape"):
        training.binary_accuracy(p, minigrad.ones(3, 1))


def test_a_metric_of_ones_own():
    def error_rate(output, target):
        assert not output.requires_grad
        return (output.argmax(1) != target).float().mean()

    history = fit(a_model(), some_data(), **OPTIONS, metrics=["accuracy", error_rate])
    total = np.add(history["accuracy"], history["error_rate"])
    np.testing.assert_allclose(total, 1, rtol=1e-6)


# ------------------------------------------------------------------------------------ callbacks


def test_the_order_of_events():
    events = []

    class Listener:  # not a Callback: an object with some of the methods
        def on_train_begin(self, run):
            events.append("begin")

        def on_epoch_begin(self, run):
            events.append(f"epoch {run.epoch}")

        def on_batch_end(self, run):
            assert set(run.logs) == {"loss"}
            events.append(run.batch)

        def on_epoch_end(self, run):
            assert run.logs["val_loss"] == run.history["val_loss"][-1]
            events.append(f"end {run.epoch}")

        def on_train_end(self, run):
            events.append("all")

    data = some_data()
    options = {**OPTIONS, "epochs": 2, "validation_data": data}
    fit(a_model(), data, **options, callbacks=[Listener(), lambda run: events.append("called")])
    one = [1, 2, 3, 4]
    expected = ["begin", "epoch 0", *one, "end 1", "called", "epoch 1", *one, "end 2", "called"]
    assert events == [*expected, "all"]


def test_early_stopping():
    values = iter([5, 3, 4, 2, 1.75, 2.5, 1.875, 1])

    def a_value(output, target):
        return current[0]

    def advance(run):
        current[0] = next(values)
        kept.append(weights(run.model))

    current, kept = [next(values)], []
    stopper = EarlyStopping("a_value", patience=3, min_delta=0.5, restore_best=True)
    model = a_model()
    options = {**OPTIONS, "epochs": 20, "metrics": [a_value]}
    history = fit(model, some_data(), **options, callbacks=[advance, stopper])
    assert history["a_value"] == [5, 3, 4, 2, 1.75, 2.5, 1.875]
    np.testing.assert_equal(weights(model), kept[3])


def test_early_stopping_knows_what_is_better_and_starts_anew():
    data = some_data()
    still = {**OPTIONS, "optimizer": lambda p: optim.SGD(p, lr=0), "epochs": 9}
    stopper = EarlyStopping("loss", min_delta=1e-4)
    for _ in range(2):  # used a second time it forgets the first
        assert len(fit(a_model(), data, **still, callbacks=[stopper])["loss"]) == 2
    assert EarlyStopping("val_accuracy").sign == 1
    assert EarlyStopping("val_loss").sign == -1
    assert EarlyStopping("val_loss", mode="max").sign == 1
    with pytest.raises(ValueError, match=r"(?s)no such number to monitor.*\['loss'\].*'val_loss'"):
        fit(a_model(), data, **OPTIONS, callbacks=[EarlyStopping()])
    with pytest.raises(ValueError, match="no such mode"):
        EarlyStopping(mode="up")
    with pytest.raises(ValueError, match="patience is out of range"):
        EarlyStopping(patience=-1)


# ------------------------------------------------------------------------------ stop and resume


def everything(seed=1, **options):
    """A training in which everything matters: chance in three places, a schedule, a stopper."""
    model = a_model(nn.BatchNorm1d(8), nn.Dropout(0.4), seed=seed)
    defaults = dict(
        epochs=5,
        batch_size=16,
        optimizer=lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
        loss="cross_entropy",
        scheduler=lambda o: lr_scheduler.CosineAnnealingLR(o, 5),
        metrics=["accuracy"],
        validation_data=some_data(20, seed=7),
        generator=np.random.default_rng(3),
    )
    return model, {**defaults, **options}


class Broken(Exception):
    pass


def stop_at(epoch, batch, error=KeyboardInterrupt):
    class Stopper:
        def on_batch_end(self, run):
            if (run.epoch, run.batch) == (epoch, batch):
                raise error

    return Stopper()


@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (0, 4), (2, 2), (4, 3)])
@pytest.mark.parametrize("cycle", [False, True])
def test_stopped_and_resumed_equals_never_stopped(tmp_path, epoch, batch, cycle):
    data = some_data()
    extra = {}
    if cycle:  # a schedule that is stepped each batch, and the default generator
        extra["scheduler"] = lambda o: lr_scheduler.OneCycleLR(o, 0.1, total_steps=20)
        extra["generator"] = None
    model, options = everything(**extra)
    expected = fit(model, data, **options, callbacks=[EarlyStopping(patience=9, restore_best=True)])

    path = tmp_path / "run.npz"
    stopped, options = everything(**extra)
    stopping = [EarlyStopping(patience=9, restore_best=True), stop_at(epoch, batch)]
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, data, **options, callbacks=[*stopping, Checkpoint(path, every_epochs=3)])

    resumed, options = everything(seed=99, **extra)
    options["generator"] = None if cycle else np.random.default_rng(99)
    going_on = [EarlyStopping(patience=9, restore_best=True)]
    history = fit(resumed, data, **options, callbacks=[*going_on, Checkpoint(path)], resume=path)
    assert history == expected
    assert_same_weights(resumed, model)
    # Once more: nothing is left to do, and nothing changes.
    again, options = everything(seed=5, **extra)
    options["callbacks"] = [EarlyStopping(patience=9, restore_best=True)]
    assert fit(again, data, **options, resume=path) == expected
    assert_same_weights(again, model)


def test_a_loader_with_its_own_generator_resumes(tmp_path):
    x, y = some_data()

    def start(seed, in_sampler):
        g = minigrad.Generator().manual_seed(seed)
        data = TensorDataset(x, y)
        if in_sampler:
            return DataLoader(data, batch_size=16, sampler=RandomSampler(data, generator=g))
        return DataLoader(data, batch_size=16, shuffle=True, generator=g)

    for in_sampler in (False, True):
        model, options = everything(batch_size=None, generator=None)
        expected = fit(model, start(0, in_sampler), **options)
        path = tmp_path / "run.npz"
        other, options = everything(batch_size=None, generator=None)
        callbacks = [Checkpoint(path, every_batches=3), stop_at(1, 4, Broken)]
        with pytest.raises(Broken):
            fit(other, start(0, in_sampler), **options, callbacks=callbacks)
        other, options = everything(seed=9, batch_size=None, generator=None)
        assert fit(other, start(5, in_sampler), **options, resume=path) == expected
        assert_same_weights(other, model)


def test_an_early_stop_stays_one(tmp_path):
    data, path = some_data(), tmp_path / "run.npz"
    still = {**OPTIONS, "optimizer": lambda p: optim.SGD(p, lr=0), "epochs": 9, "shuffle": False}
    first = fit(a_model(), data, **still, callbacks=[EarlyStopping("loss"), Checkpoint(path)])
    second = fit(a_model(), data, **still, callbacks=[EarlyStopping("loss")], resume=path)
    assert first == second
    assert len(first["loss"]) == 2


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_waits_for_the_end_of_the_batch(tmp_path):
    """A real signal in the middle of a batch; the state that is saved is whole."""
    data, path = some_data(), tmp_path / "run.npz"
    model, options = everything()
    expected = fit(model, data, **options)

    calls = []

    def interrupted(output, target):
        calls.append(1)
        if len(calls) == 7:
            os.kill(os.getpid(), signal.SIGINT)
        return F.cross_entropy(output, target)

    handler = signal.getsignal(signal.SIGINT)
    stopped, options = everything(loss=interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(stopped, data, **options, callbacks=[Checkpoint(path)])
    assert signal.getsignal(signal.SIGINT) is handler
    state = serialize.load(path)
    assert (state["epoch"], state["batch"]) == (1, 1)  # validation counts calls too
    resumed, options = everything(seed=4)
    assert fit(resumed, data, **options, resume=path) == expected
    assert_same_weights(resumed, model)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_a_second_ctrl_c_does_not_wait_and_saves_nothing_half_done(tmp_path):
    path = tmp_path / "run.npz"

    calls = []

    def interrupted(output, target):
        calls.append(1)
        if len(calls) == 3:  # two batches are done, and not saved
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
            raise AssertionError("not reached")
        return F.cross_entropy(output, target)

    model, options = everything(loss=interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(model, some_data(), **options, callbacks=[Checkpoint(path)])
    assert not path.exists()


def test_checkpoints_are_written_when_they_should_be(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(serialize, "save", lambda s, path: saved.append((s["epoch"], s["batch"])))
    data = some_data()
    fit(a_model(), data, **{**OPTIONS, "epochs": 5}, callbacks=[Checkpoint("x", every_epochs=2)])
    assert saved == [(2, 0), (4, 0), (5, 0)]
    saved.clear()
    fit(a_model(), data, **{**OPTIONS, "epochs": 1}, callbacks=[Checkpoint("x", every_batches=3)])
    assert saved == [(0, 3), (1, 0)]
    for wrong in ({"every_epochs": 0}, {"every_batches": 0}):
        with pytest.raises(ValueError, match="out of range"):
            Checkpoint("x", **wrong)


def test_a_state_that_does_not_fit_changes_nothing(tmp_path):
    data, path = some_data(), tmp_path / "run.npz"
    model, options = everything()
    with contextlib.suppress(Broken):
        fit(
            model,
            data,
            **options,
            callbacks=[Checkpoint(path, every_batches=3), stop_at(1, 4, Broken)],
        )

    def refused(error, text, model=None, data=data, **changes):
        fresh, options = everything(seed=8, **changes)
        model = model or fresh
        before = weights(model)
        chance = copy.deepcopy(minigrad.get_rng_state())
        with pytest.raises(error, match=text):
            fit(model, data, **options, resume=path)
        np.testing.assert_equal(weights(model), before)
        assert minigrad.get_rng_state() == chance

    refused(ValueError, "scheduler of the saved training is another", scheduler=None)
    refused(
        ValueError,
        "scheduler of the saved training is another",
        scheduler=lambda o: lr_scheduler.StepLR(o, 1),
    )
    refused(ValueError, "callbacks of the saved training", callbacks=[EarlyStopping()])
    refused(ValueError, "random generators of the saved training", generator=None)
    refused(ValueError, "batches in an epoch of the saved training", batch_size=10)
    refused(ValueError, "the state does not fit this optimizer", optimizer=optim.SGD)
    minigrad.manual_seed(0)
    refused(RuntimeError, "do not fit", model=nn.Sequential(nn.Linear(4, CLASSES)))
    serialize.save(a_model().state_dict(), path)
    refused(ValueError, "not the state of a training")
    path.write_bytes(b"nonsense")
    refused(serialize.BadFileError, "run.npz")
    path.unlink()
    refused(FileNotFoundError, "run.npz")


# ------------------------------------------------------------------------------------- progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def progress_of(monkeypatch, stream, **options):
    monkeypatch.setattr("sys.stderr", stream)
    ticks = iter(np.arange(0, 1000, 0.5))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    options = {**OPTIONS, "epochs": 2, **options}
    with contextlib.suppress(KeyboardInterrupt):
        fit(a_model(), some_data(), **options, metrics=["accuracy"])
    return stream.getvalue()


def test_progress_on_a_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = progress_of(monkeypatch, Terminal())
    lines = text.replace("\n", "").split("\r")[1:]
    assert len(lines) == 2 * 5  # four batches and the end, twice
    assert lines[1].startswith("Epoch 1/2  2/4  [==========..........]  1s left  loss ")
    assert lines[4].startswith("Epoch 1/2  2.5s  loss ")
    assert " accuracy 0." in lines[4]
    assert all(len(line) == 99 for line in lines)
    assert text.count("\n") == 2


def test_a_narrow_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "30")
    text = progress_of(monkeypatch, Terminal())
    assert all(len(line) == 29 for line in text.split("\n")[0].split("\r")[1:-1])


def test_progress_elsewhere(monkeypatch):
    assert progress_of(monkeypatch, io.StringIO()) == ""
    assert progress_of(monkeypatch, Terminal(), progress=False) == ""
    lines = progress_of(monkeypatch, io.StringIO(), progress=True).split("\n")
    assert [line.split("  ")[0] for line in lines] == ["Epoch 1/2", "Epoch 2/2", ""]


def test_the_bar_of_a_broken_epoch_stays(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    text = progress_of(monkeypatch, Terminal(), callbacks=[stop_at(1, 2)])
    assert text.split("\r")[-1].startswith("Epoch 2/2  2/4  [")
    assert text.endswith("\n")


# ------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"epochs": -1}, ValueError, "epochs is out of range"),
        ({"epochs": 1.5}, TypeError, "epochs is not an integer"),
        ({"batch_size": 0}, ValueError, "batch_size"),
        ({"optimizer": "adamm"}, ValueError, "no optimizer of this name(?s:.*)adamw"),
        ({"optimizer": 3}, TypeError, "this is no optimizer"),
        ({"optimizer": lambda p: 3}, TypeError, "made something else"),
        ({"loss": "crossentropy"}, ValueError, "no loss of this name(?s:.*)cross_entropy"),
        ({"loss": None}, TypeError, "this is no loss"),
        ({"loss": nn.CrossEntropyLoss}, TypeError, "this is no loss"),
        ({"loss": lambda z, t: 3.0}, TypeError, "the loss is not a single number"),
        ({"loss": lambda z, t: z}, TypeError, "the loss is not a single number"),
        ({"metrics": "accuracy"}, TypeError, "metrics is not a list"),
        ({"metrics": ["acc"]}, ValueError, "no metric of this name"),
        ({"metrics": [3]}, TypeError, "this is no metric"),
        ({"metrics": ["accuracy", "accuracy"]}, ValueError, "have the same name"),
        ({"callbacks": [3]}, TypeError, "this is no callback"),
        ({"callbacks": [EarlyStopping]}, TypeError, "this is no callback"),
        ({"scheduler": 3}, TypeError, "this is no scheduler"),
        ({"scheduler": lambda o: o}, ValueError, "scheduler does not belong"),
        ({"data": 3}, TypeError, "no data to work with"),
        ({"data": (np.ones((3, 4)), np.ones(2, int))}, ValueError, "number of samples"),
        ({"data": (np.ones((0, 4)), np.ones(0, int))}, ValueError, "the data has no samples"),
        ({"data": TensorDataset(np.ones((3, 4)))}, ValueError, "not a pair of inputs and targets"),
        ({"validation_data": 3}, TypeError, "no data to work with"),
        ({"model": lambda x: x}, TypeError, "the first argument is not a model"),
    ],
)
def test_bad_arguments(changes, error, text):
    options = {**OPTIONS, "model": a_model(), "data": some_data(), **changes}
    with pytest.raises(error, match=text):
        fit(options.pop("model"), options.pop("data"), **options)


def test_arguments_that_do_not_fit_together():
    x, y = some_data()
    loader = DataLoader(TensorDataset(x, y), batch_size=4)
    with pytest.raises(ValueError, match="has its own batch_size, shuffle, generator"):
        fit(a_model(), loader, **OPTIONS, shuffle=True, generator=minigrad.Generator())
    stranger = optim.SGD(a_model().parameters(), lr=0.1)
    with pytest.raises(ValueError, match="holds none of the model's parameters"):
        fit(a_model(), (x, y), **{**OPTIONS, "optimizer": stranger})
    schedule = lr_scheduler.StepLR(stranger, 1)
    with pytest.raises(ValueError, match="scheduler does not belong"):
        fit(a_model(), (x, y), **OPTIONS, scheduler=schedule)

    class Misspelt:
        def on_epoch_ends(self, run):
            pass

    with pytest.raises(TypeError, match="on_epoch_ends"):
        fit(a_model(), (x, y), **OPTIONS, callbacks=[Misspelt()])
    with pytest.raises(ValueError, match="the data has no samples"):
        predict(a_model(), DataLoader(TensorDataset(x[:2]), batch_size=4, drop_last=True))


def test_no_epochs():
    model = a_model()
    before = weights(model)
    assert fit(model, some_data(), **{**OPTIONS, "epochs": 0}) == {}
    np.testing.assert_equal(weights(model), before)


def test_a_model_on_a_device_takes_data_from_anywhere(device):
    x, y = some_data()
    model = a_model().to(device)
    data = make(device, x), make(device, y)
    values = evaluate(model, data, loss="cross_entropy", metrics=["accuracy"])
    assert values == pytest.approx(
        evaluate(model, (x, y), loss="cross_entropy", metrics=["accuracy"])
    )
