"""The second part of ``gpu.py``: whether trainings on the GPU are right.

A captured training must be the plain one, and one on the GPU that on the CPU. Every check stands
alone, as the facts do.

Before this: ``gpu_facts.py``. Next: ``gpu_worker.py``.
"""

from __future__ import annotations

import sys

import gpu_device
import numpy as np
from gpu_device import attempt, cupy

# How far two trainings of float32 may be apart, of their largest loss, in 10 steps and in all. A
# change of the weights by a millionth makes 2e-7 and 4e-6 of it; in ResNet18 2e-4 after 10 steps.
APART = {"ResNet18": (1e-2, 1e-1)}
USUALLY_APART = (1e-4, 3e-2)


def checks(device: str, figures: dict) -> None:
    """Are captured steps the plain ones, and the GPU's losses the CPU's?"""
    gpu_device.prepare(device)
    steps = 50 if device == "cuda" else 3
    cupy()
    names = list(networks())[: None if device == "cuda" else 4]
    for name in names:
        attempt(figures, f"captured against plain: {name}", against, name, "momentum", steps, True)
    for optimizer in ("SGD", "Adam", "AdamW", "RMSprop"):
        attempt(
            figures, f"captured against plain: {optimizer}", against, "MLP", optimizer, steps, True
        )
    attempt(figures, "two runs", two_runs, steps)
    for name in names:
        few = min(steps, 5) if name == "ResNet18" else steps  # the CPU is slow at it
        attempt(figures, f"GPU against CPU: {name}", against, name, "momentum", few, False)


def networks():
    from minigrad import nn
    from minigrad.vision import models

    return {
        "MLP": (models.lenet_300_100, (1, 28, 28)),
        "CNN": (models.lenet, (1, 28, 28)),
        "batch norm": (models.cnn, (1, 28, 28)),
        "dropout": (lambda: nn.Sequential(nn.Dropout(0.2), *models.mlp()), (784,)),
        "ResNet18": (lambda: models.resnet18(cifar=True), (3, 32, 32)),
    }


def losses(name: str, optimizer: str, steps: int, where: str, captured: bool) -> np.ndarray:
    """The losses of the first steps, with a learning rate that falls."""
    import minigrad as mg
    from minigrad import optim

    make_model, size = networks()[name]
    mg.manual_seed(0)
    model = make_model().to(where)
    rule = {
        "SGD": lambda p: optim.SGD(p, lr=0.01),
        "momentum": lambda p: optim.SGD(p, lr=0.01, momentum=0.9),
        "Adam": lambda p: optim.Adam(p, lr=0.001),
        "AdamW": lambda p: optim.AdamW(p, lr=0.001),
        "RMSprop": lambda p: optim.RMSprop(p, lr=0.001),
    }[optimizer](model.parameters())
    schedule = optim.lr_scheduler.ExponentialLR(rule, 0.97)
    rng, batch = np.random.default_rng(0), 32 if steps > 3 else 2
    x = mg.from_numpy(rng.random((batch, *size), dtype=np.float32)).to(where)
    y = mg.from_numpy(rng.integers(0, 10, batch)).to(where)

    def step(x, y):
        rule.zero_grad()
        loss = mg.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        rule.step()
        return loss

    step = mg.cuda.capture(step, (x, y)) if captured else step
    found = []
    for _ in range(steps):
        found.append(step(x, y).item())
        schedule.step()
    return np.array(found)


def against(name: str, optimizer: str, steps: int, captured: bool) -> str:
    """Compare captured with plain steps on the GPU, or plain ones on the GPU and the CPU."""
    ours = losses(name, optimizer, steps, "cuda", captured)
    theirs = losses(name, optimizer, steps, "cuda" if captured else "cpu", False)
    early = np.abs(ours - theirs)[: min(10, steps)].max() / np.abs(theirs).max()
    late = np.abs(ours - theirs).max() / np.abs(theirs).max()
    text = f"loss {ours[0]:.4f} to {ours[-1]:.4f}; differs by {early:.1e} (10 steps), {late:.1e}"
    most = APART.get(name, USUALLY_APART)  # training amplifies the last bit of a sum
    if not (early < most[0] and late < most[1]):
        raise ArithmeticError(f"not the same training: {text}; {theirs[-1]:.4f} expected")
    return text


def two_runs(steps: int) -> str:
    """Is a training on the GPU the same, bit for bit, when it is repeated?"""
    same = {
        name: bool((losses(name, "momentum", steps, "cuda", True)
                    == losses(name, "momentum", steps, "cuda", True)).all())
        for name in ("MLP", "CNN")
    }  # fmt: skip
    return f"bit-equal: {same}"


if __name__ == "__main__":
    sys.exit("run gpu.py")
