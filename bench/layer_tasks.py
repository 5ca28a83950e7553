"""What ``layers.py`` and ``scaling.py`` measure: single layers, and training steps that grow.

Like ``worker.py``, which runs this, it is written once for minigrad and PyTorch.

Before this: ``worker.py``. Next: ``layers.py``, ``scaling.py``.
"""

from __future__ import annotations

import importlib
import sys

import numpy as np

# The process is worker.py, or has imported it; its names are of one engine or the other.
worker = sys.modules.get("worker", sys.modules["__main__"])
torch, nn = worker.torch, worker.nn
autograd = importlib.import_module(f"{worker.ENGINE}.autograd")

BATCH = 32


def conv(*args, **options):
    return lambda: nn.Conv2d(*args, bias=False, **options)


# Name, layer, size of a sample: LeNet's on 28 x 28, ResNet18's on 32 x 32 ("/2": stride 2). A layer
# of whose kind and shape there are several in the network stands here once.
LAYERS = {
    "LeNet conv 1-6, 5x5": (lambda: nn.Conv2d(1, 6, 5, padding=2), (1, 28, 28)),
    "LeNet relu 6": (lambda: nn.ReLU(), (6, 28, 28)),
    "LeNet max pool 6": (lambda: nn.MaxPool2d(2), (6, 28, 28)),
    "LeNet conv 6-16, 5x5": (lambda: nn.Conv2d(6, 16, 5), (6, 14, 14)),
    "LeNet relu 16": (lambda: nn.ReLU(), (16, 10, 10)),
    "LeNet max pool 16": (lambda: nn.MaxPool2d(2), (16, 10, 10)),
    "LeNet linear 400-120": (lambda: nn.Linear(400, 120), (400,)),
    "LeNet linear 120-84": (lambda: nn.Linear(120, 84), (120,)),
    "LeNet linear 84-10": (lambda: nn.Linear(84, 10), (84,)),
    "ResNet18 conv 3-64": (conv(3, 64, 3, padding=1), (3, 32, 32)),
    "ResNet18 conv 64-64": (conv(64, 64, 3, padding=1), (64, 32, 32)),
    "ResNet18 conv 64-128, /2": (conv(64, 128, 3, padding=1, stride=2), (64, 32, 32)),
    "ResNet18 conv 64-128, 1x1, /2": (conv(64, 128, 1, stride=2), (64, 32, 32)),
    "ResNet18 conv 128-128": (conv(128, 128, 3, padding=1), (128, 16, 16)),
    "ResNet18 conv 128-256, /2": (conv(128, 256, 3, padding=1, stride=2), (128, 16, 16)),
    "ResNet18 conv 128-256, 1x1, /2": (conv(128, 256, 1, stride=2), (128, 16, 16)),
    "ResNet18 conv 256-256": (conv(256, 256, 3, padding=1), (256, 8, 8)),
    "ResNet18 conv 256-512, /2": (conv(256, 512, 3, padding=1, stride=2), (256, 8, 8)),
    "ResNet18 conv 256-512, 1x1, /2": (conv(256, 512, 1, stride=2), (256, 8, 8)),
    "ResNet18 conv 512-512": (conv(512, 512, 3, padding=1), (512, 4, 4)),
    "ResNet18 batch norm 64": (lambda: nn.BatchNorm2d(64), (64, 32, 32)),
    "ResNet18 batch norm 128": (lambda: nn.BatchNorm2d(128), (128, 16, 16)),
    "ResNet18 batch norm 256": (lambda: nn.BatchNorm2d(256), (256, 8, 8)),
    "ResNet18 batch norm 512": (lambda: nn.BatchNorm2d(512), (512, 4, 4)),
    "ResNet18 relu 64": (lambda: nn.ReLU(), (64, 32, 32)),
    "ResNet18 average pool": (lambda: nn.AdaptiveAvgPool2d(1), (512, 4, 4)),
    "ResNet18 linear 512-10": (lambda: nn.Linear(512, 10), (512,)),
}
FIRST = ("LeNet conv 1-6, 5x5", "ResNet18 conv 3-64")  # nobody asks for the images' gradient

BATCHES = (1, 4, 16, 64, 256, 1024)
DEPTHS = (1, 2, 4, 8, 16, 32, 64)
IN_MEMORY = {  # fewer: each takes a fresh process
    "CNN 32-64-128, batch": (1, 32, 64, 128, 256),
    "ResNet18, batch": (1, 16, 32, 64),
    "conv 16, depth": (1, 16, 32, 64),
}


def names() -> dict[str, list]:
    """Return the names of all tasks, by table."""
    return {
        "layers": [f"{name}, {way}" for name in LAYERS for way in ("forward", "backward")],
        "batch": [f"{net}, batch {n}" for net in BY_BATCH for n in BATCHES],
        "depth": [f"{net}, depth {n}" for net in BY_DEPTH for n in DEPTHS],
        "memory": [f"{what} {n}" for what, sizes in IN_MEMORY.items() for n in sizes],
    }


def find(name: str):
    """Return the function that makes the task of that name."""
    label, _, last = name.rpartition(", ")
    if last in ("forward", "backward"):
        return lambda: layer(label, last)
    kind, number = last.split()[0], int(last.split()[1])
    if kind == "depth":
        return lambda: worker.training_step(lambda: BY_DEPTH[label](number), worker.sgd, 32)
    if label == "ResNet18":
        return lambda: worker.training_step(worker.resnet18, worker.sgd, number, (3, 32, 32))
    return lambda: worker.training_step(BY_BATCH[label], worker.sgd, number)


def layer(name: str, way: str):
    """Return one layer's forward, with its graph; or its backward, again and again.

    Its input comes out of another layer and the gradient has its output's layout, as within a
    network: how its arrays lie in memory is an engine's own choice, and may make it fast or slow.
    """
    make_layer, size = LAYERS[name]
    module = make_layer()
    x = torch.from_numpy(np.random.default_rng(0).random((BATCH, *size), dtype=np.float32))
    if name not in FIRST:
        before = nn.Conv2d(size[0], size[0], 1) if len(size) == 3 else nn.Linear(*size, *size)
        x = before(x).detach().requires_grad_()
    if way == "forward":
        return lambda: module(x)
    y = module(x)
    upstream = y.detach()
    inputs = [t for t in (x, *module.parameters()) if t.requires_grad]
    return lambda: autograd.grad(y, inputs, upstream, retain_graph=True)


def deep_perceptron(depth: int):
    """Linear layers of 256, one after the other."""
    hidden = [part for _ in range(depth) for part in (nn.Linear(256, 256), nn.ReLU())]
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 256), *hidden, nn.Linear(256, 10))


def deep_cnn(depth: int):
    """Convolutions of 16 channels, one after the other."""
    hidden = [part for _ in range(depth) for part in (nn.Conv2d(16, 16, 3, padding=1), nn.ReLU())]
    stem = nn.Conv2d(1, 16, 3, padding=1, stride=2)
    return nn.Sequential(stem, *hidden, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 10))


BY_BATCH = {"MLP": worker.mlp, "LeNet": worker.lenet, "CNN 32-64-128": worker.cnn}
BY_DEPTH = {"linear 256": deep_perceptron, "conv 16": deep_cnn}
