"""One engine in a process of its own: runs the tasks that `bench.py` asks for, and answers in JSON.

The code of a task is the same for minigrad and PyTorch, as their names are: only `torch` is one
or the other. A line on standard input names a task and how many times to run it; the answer is
the list of milliseconds. Or it names two, to be run in turn; the answer is the list of ratios.
"""

from __future__ import annotations

import importlib
import json
import sys
import time

import numpy as np

ENGINE = sys.argv[1]  # "minigrad" or "torch"
torch = importlib.import_module(ENGINE)
nn = importlib.import_module(f"{ENGINE}.nn")
optim = importlib.import_module(f"{ENGINE}.optim")
data = importlib.import_module(f"{ENGINE}.utils.data")


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 10))


def lenet():
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


def keras():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5408, 10)
    )


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(128 * 25, 10),
    )  # fmt: skip


class Block(nn.Module):
    """ResNet's: relu(x + F(x))."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU()
        self.shortcut = nn.Identity()
        if (before, stride) != (after, 1):
            self.shortcut = nn.Sequential(
                nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after)
            )

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


def resnet18():
    """ResNet-18 for images of 32 x 32, written with the names that both engines have."""
    blocks = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1)]
    blocks += [(128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU(),
        *[Block(*block) for block in blocks],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10),
    )  # fmt: skip


def images(n, size=(1, 28, 28)):
    rng = np.random.default_rng(0)
    x = rng.random((n, *size), dtype=np.float32)
    return torch.from_numpy(x), torch.from_numpy(rng.integers(0, 10, n))


def training_step(make_model, make_optimizer, batch, size=(1, 28, 28)):
    """Forward, loss, backward and update on one batch that stays the same."""
    model = make_model()
    optimizer = make_optimizer(model.parameters())
    criterion = nn.CrossEntropyLoss()
    x, y = images(batch, size)

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def sgd(parameters):
    return optim.SGD(parameters, lr=0.01, momentum=0.9)


def adam(parameters):
    return optim.Adam(parameters, lr=0.001)


def epoch(with_loader):
    """A tenth of an epoch of MNIST-sized data through LeNet, with its loader or on one batch."""
    x, y = images(6000)
    loader = data.DataLoader(data.TensorDataset(x, y), batch_size=128, shuffle=True)
    model = lenet()
    optimizer, criterion = sgd(model.parameters()), nn.CrossEntropyLoss()
    same = [(x[:128], y[:128])] * len(loader)

    def run():
        for xb, yb in loader if with_loader else same:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            loss.item()

    return run


def scalar_chain():
    """10,000 operations on a number, forward and backward."""
    x = torch.tensor(1.0, requires_grad=True)
    w = torch.tensor(0.999, requires_grad=True)

    def run():
        y = x
        for _ in range(5000):
            y = y * w
            y = y + x
        y.backward()

    return run


TASKS = {
    "MLP 784-256-10, batch 32": lambda: training_step(mlp, sgd, 32),
    "MLP 784-256-10, batch 128": lambda: training_step(mlp, sgd, 128),
    "LeNet, batch 32": lambda: training_step(lenet, sgd, 32),
    "LeNet, batch 128": lambda: training_step(lenet, sgd, 128),
    "Keras network, batch 32": lambda: training_step(keras, adam, 32),
    "CNN 32-64-128, batch 32": lambda: training_step(cnn, sgd, 32),
    "CNN 32-64-128, batch 128": lambda: training_step(cnn, sgd, 128),
    "ResNet18, 32 x 32, batch 32": lambda: training_step(resnet18, sgd, 32, (3, 32, 32)),
    "tenth of an epoch, with loader": lambda: epoch(True),
    "tenth of an epoch, bare steps": lambda: epoch(False),
    "10,000 scalar ops": scalar_chain,
}


def milliseconds(task):
    start = time.perf_counter()
    task()
    return (time.perf_counter() - start) * 1e3


def ratios(names, times):
    """Return how long the first task takes in times of the second, run in turn: one a round."""
    first, second = (TASKS[name]() for name in names)
    first(), second()
    found = []
    for i in range(times):  # each goes first in every other round
        a, b = [milliseconds(task) for task in ((first, second) if i % 2 else (second, first))]
        found.append(a / b if i % 2 else b / a)
    return found


def main():
    import layer_tasks  # it imports this file

    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "threads" in request:
            torch.set_num_threads(request["threads"])
            print(json.dumps("ok"), flush=True)
            continue
        if "ratio" in request:
            print(json.dumps(ratios(request["ratio"], request["times"])), flush=True)
            continue
        name = request["task"]
        if name == "names":
            print(json.dumps(list(TASKS)), flush=True)
            continue
        if name == "layers":
            print(json.dumps(layer_tasks.names()), flush=True)
            continue
        if name not in ready:
            torch.manual_seed(0)
            task = TASKS.get(name) or layer_tasks.find(name)
            ready = {name: task()}  # one at a time: the others' memory is not its own
            for _ in range(3):
                ready[name]()
        print(json.dumps([milliseconds(ready[name]) for _ in range(request["times"])]), flush=True)


if __name__ == "__main__":
    main()
