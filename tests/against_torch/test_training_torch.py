"""`fit` against PyTorch, live: the network of Keras' MNIST tutorial, same weights, same batches.

Needs PyTorch. The data are the bundled digits in MNIST's form.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from minigrad import nn, optim
from minigrad.nn import functional as F
from minigrad.optim import lr_scheduler
from minigrad.training import fit
from minigrad.vision.datasets import Digits

torch = pytest.importorskip("torch")

STEPS, BATCH = 100, 32
# Adam divides by the size of the gradient, so rounding grows with the steps.
TOLERANCE = {"float64": 1e-9, "float32": 2e-3}


@pytest.fixture(autouse=True)
def one_thread():
    """PyTorch's threads wait by spinning, which is slow where other programs run too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def digits(dtype, n):
    data = Digits(train=True, mnist_form=True)
    images = data.data.numpy()[:n, None].astype(dtype) / 255
    return images, data.targets.numpy()[:n]


def keras_network(library, softmax):
    layers = library.Sequential(
        library.Conv2d(1, 32, 3),
        library.ReLU(),
        library.MaxPool2d(2),
        library.Flatten(),
        library.Linear(32 * 13 * 13, 10),
    )
    if softmax:
        layers.add_module("5", library.Softmax(1))
    return layers


def pair(dtype, softmax):
    """The same network in both, with the same weights."""
    minigrad.manual_seed(0)
    ours = keras_network(nn, softmax).to(dtype=np.dtype(dtype))
    theirs = keras_network(torch.nn, softmax).to(getattr(torch, dtype))
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    return ours, theirs


def torch_loss(output, target):
    if target.ndim == 1:
        return torch.nn.functional.cross_entropy(output, target)
    return -(target * output.clamp(min=1e-7).log()).sum(1).mean()


def torch_training(
    model, x, y, optimizer, epochs, each_batch=lambda: None, each_epoch=lambda: None
):
    losses, right = [], []
    for _ in range(epochs):
        for start in range(0, len(x), BATCH):
            inputs, target = x[start : start + BATCH], y[start : start + BATCH]
            optimizer.zero_grad()
            output = model(inputs)
            loss = torch_loss(output, target)
            loss.backward()
            optimizer.step()
            each_batch()
            labels = target if target.ndim == 1 else target.argmax(1)
            losses.append(loss.item())
            right.append((output.argmax(1) == labels).double().mean().item())
        each_epoch()
    return losses, right


class Recorder:
    """The loss of each batch, from the running means."""

    def __init__(self):
        self.losses, self.accuracies = [], []

    def on_epoch_begin(self, run):
        self.sums = np.zeros(2)

    def on_batch_end(self, run):
        sums = run.batch * np.array([run.logs["loss"], run.logs["accuracy"]])
        loss, right = sums - self.sums
        self.losses.append(loss)
        self.accuracies.append(right)
        self.sums = sums


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("softmax", [False, True])
def test_the_first_hundred_steps(dtype, softmax):
    epochs = 4
    x, y = digits(dtype, STEPS // epochs * BATCH)
    targets = np.eye(10, dtype=dtype)[y] if softmax else y
    ours, theirs = pair(dtype, softmax)
    record = Recorder()
    history = fit(
        ours,
        (x, targets),
        epochs=epochs,
        batch_size=BATCH,
        optimizer="adam",
        loss="categorical_crossentropy" if softmax else "cross_entropy",
        metrics=["accuracy"],
        callbacks=[record],
        shuffle=False,
    )
    optimizer = torch.optim.Adam(theirs.parameters())
    x_, y_ = torch.from_numpy(x), torch.from_numpy(targets)
    losses, right = torch_training(theirs, x_, y_, optimizer, epochs)
    tolerance = TOLERANCE[dtype]
    assert len(losses) == STEPS
    np.testing.assert_allclose(record.losses, losses, rtol=tolerance, atol=tolerance)
    by_epoch = np.reshape(losses, (epochs, -1)).mean(1)
    np.testing.assert_allclose(history["loss"], by_epoch, rtol=tolerance)
    if dtype == "float64":
        np.testing.assert_allclose(record.accuracies, right, atol=1e-9)
        for mine, reference in zip(ours.parameters(), theirs.parameters(), strict=True):
            actual, expected = mine.detach().numpy(), reference.detach().numpy()
            np.testing.assert_allclose(actual, expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("schedule", ["StepLR", "OneCycleLR"])
def test_with_a_schedule_and_batch_norm(schedule):
    epochs = 3
    x, y = digits("float64", 200)
    x = x.reshape(200, -1)
    batches = -(-200 // BATCH)
    options = {
        "StepLR": {"step_size": 1},
        "OneCycleLR": {"max_lr": 0.1, "total_steps": 3 * batches},
    }

    def network(library):
        return library.Sequential(
            library.Linear(784, 20), library.BatchNorm1d(20), library.Tanh(), library.Linear(20, 10)
        )

    minigrad.manual_seed(0)
    ours, theirs = network(nn).double(), network(torch.nn).double()
    state = {k: torch.from_numpy(v.numpy().copy()) for k, v in ours.state_dict().items()}
    theirs.load_state_dict(state)
    record = Recorder()
    fit(
        ours,
        (x, y),
        epochs=epochs,
        batch_size=BATCH,
        optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9),
        loss=F.cross_entropy,
        scheduler=lambda o: getattr(lr_scheduler, schedule)(o, **options[schedule]),
        metrics=["accuracy"],
        callbacks=[record],
        shuffle=False,
    )
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    plan = getattr(torch.optim.lr_scheduler, schedule)(optimizer, **options[schedule])
    each = "each_batch" if schedule == "OneCycleLR" else "each_epoch"
    x_, y_ = torch.from_numpy(x), torch.from_numpy(y)
    torch_training(theirs, x_, y_, optimizer, epochs, **{each: plan.step})
    for name, value in theirs.state_dict().items():
        actual = ours.state_dict()[name].numpy()
        np.testing.assert_allclose(actual, value.numpy(), rtol=1e-8, atol=1e-10, err_msg=name)
