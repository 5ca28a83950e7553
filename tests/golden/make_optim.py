"""Make ``optim.npz``: 50 steps of every optimizer and of every schedule, as PyTorch does them.

    python tests/golden/make_optim.py          needs PyTorch

``tests/test_optim.py`` and ``tests/test_lr_scheduler.py`` hold minigrad to these numbers where
PyTorch is not installed. The cases are written into the file, so that nobody has to keep two lists.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import torch

STEPS = 50
SHAPES = [(3, 2), (4,), ()]
OPTIMIZERS = {
    "sgd": ("SGD", {"lr": 0.1}),
    "sgd-decay": ("SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "sgd-momentum": ("SGD", {"lr": 0.05, "momentum": 0.9}),
    "sgd-dampened": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01}),
    "sgd-nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "sgd-maximize": ("SGD", {"lr": 0.05, "momentum": 0.8, "maximize": True}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop-centered": ("RMSprop", {"centered": True, "weight_decay": 0.1, "alpha": 0.9}),
    "rmsprop-momentum": ("RMSprop", {"momentum": 0.9, "lr": 0.001, "eps": 1e-3}),
    "rmsprop-all": ("RMSprop", {"momentum": 0.5, "centered": True, "maximize": True}),
    "adam": ("Adam", {}),
    "adam-betas": ("Adam", {"lr": 0.02, "betas": (0.5, 0.9), "eps": 1e-3, "weight_decay": 0.1}),
    "adam-amsgrad": ("Adam", {"lr": 0.02, "amsgrad": True, "maximize": True}),
    "adamw": ("AdamW", {"lr": 0.02}),
    "adamw-amsgrad": ("AdamW", {"lr": 0.02, "weight_decay": 0.3, "amsgrad": True}),
}
SCHEDULES = {
    "step": ("StepLR", {"step_size": 7, "gamma": 0.5}),
    "multistep": ("MultiStepLR", {"milestones": [3, 20, 20, 45], "gamma": 0.3}),
    "constant": ("ConstantLR", {"factor": 0.25, "total_iters": 6}),
    "linear": ("LinearLR", {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 11}),
    "exponential": ("ExponentialLR", {"gamma": 0.93}),
    "cosine": ("CosineAnnealingLR", {"T_max": 50}),
    "cosine-up-again": ("CosineAnnealingLR", {"T_max": 12, "eta_min": 0.01}),
    "restarts": ("CosineAnnealingWarmRestarts", {"T_0": 5, "T_mult": 2, "eta_min": 0.001}),
    "onecycle": ("OneCycleLR", {"max_lr": 0.5, "total_steps": 50}),
    "onecycle-linear": (
        "OneCycleLR",
        {"max_lr": [0.5, 0.1], "epochs": 5, "steps_per_epoch": 11, "anneal_strategy": "linear"},
    ),
    "onecycle-three": (
        "OneCycleLR",
        {
            "max_lr": 0.5,
            "total_steps": 60,
            "three_phase": True,
            "pct_start": 0.4,
            "div_factor": 5.0,
        },
    ),
    "onecycle-still": ("OneCycleLR", {"max_lr": 1.0, "total_steps": 50, "cycle_momentum": False}),
}


def parameters(arrays) -> list[torch.Tensor]:
    return [torch.tensor(a, dtype=torch.float64, requires_grad=True) for a in arrays]


def follow_optimizer(name: str, options: dict, start: list, gradients: list) -> np.ndarray:
    """All parameters after each step, (STEPS, entries)."""
    params = parameters(start)
    optimizer = getattr(torch.optim, name)(params, foreach=False, **options)
    rows = []
    for step in range(STEPS):
        for i, (p, g) in enumerate(zip(params, gradients, strict=True)):
            # The second parameter has no gradient at every third step, the first of all included.
            p.grad = None if i == 1 and step % 3 == 0 else torch.tensor(g[step])
        optimizer.step()
        rows.append(np.concatenate([p.detach().numpy().ravel() for p in params]))
    return np.array(rows)


def follow_schedule(name: str, options: dict, start: list) -> np.ndarray:
    """Learning rate and momentum of two groups, at the start and after each step: (51, 4)."""
    params = parameters(start)
    groups = [{"params": params[:1]}, {"params": params[1:], "lr": 0.7, "momentum": 0.3}]
    optimizer = torch.optim.SGD(groups, lr=0.1)
    schedule = getattr(torch.optim.lr_scheduler, name)(optimizer, **options)
    rows = []
    for step in range(STEPS + 1):
        if step:
            optimizer.step()
            schedule.step()
        rows.append([g[key] for g in optimizer.param_groups for key in ("lr", "momentum")])
    return np.array(rows)


def main() -> None:
    warnings.simplefilter("error")
    rng = np.random.default_rng(0)
    start = [rng.normal(size=shape) for shape in SHAPES]
    gradients = [
        rng.normal(size=(STEPS, *shape)) * 10 ** rng.uniform(-2, 1, size=(STEPS, *[1] * len(shape)))
        for shape in SHAPES
    ]
    content = {f"start/{i}": a for i, a in enumerate(start)}
    content |= {f"gradients/{i}": a for i, a in enumerate(gradients)}
    for case, (name, options) in OPTIMIZERS.items():
        content[f"optimizer/{case}"] = follow_optimizer(name, options, start, gradients)
    for case, (name, options) in SCHEDULES.items():
        content[f"schedule/{case}"] = follow_schedule(name, options, start)
    cases = {"optimizer": OPTIMIZERS, "schedule": SCHEDULES, "torch": torch.__version__}
    content["cases"] = np.array(json.dumps(cases))
    np.savez_compressed(Path(__file__).with_name("optim.npz"), **content)


if __name__ == "__main__":
    main()
