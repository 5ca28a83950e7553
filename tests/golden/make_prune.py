"""Make ``prune.npz``: masks as PyTorch makes them, for fixed weights, amounts, norms and axes.

    python tests/golden/make_prune.py          needs PyTorch

``tests/test_prune.py`` holds minigrad to these masks where PyTorch is not installed. A case is a
list of steps; between two of them the weights move, as if they had been trained. The cases are
written into the file, so that nobody has to keep two lists. Of random methods only the counts
can be compared.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import prune

SHAPES = {
    "vector": (9,),
    "linear": (7, 5),
    "matrices": (5, 3, 4),
    "conv": (6, 4, 3, 3),
}
CASES = {
    # One step.
    "identity": ("linear", [["identity", {}]]),
    "l1-half": ("linear", [["l1_unstructured", {"amount": 0.5}]]),
    "l1-count": ("conv", [["l1_unstructured", {"amount": 17}]]),
    "l1-none": ("conv", [["l1_unstructured", {"amount": 0}]]),
    "l1-none-float": ("conv", [["l1_unstructured", {"amount": 0.0}]]),
    "l1-all": ("linear", [["l1_unstructured", {"amount": 1.0}]]),
    "l1-vector": ("vector", [["l1_unstructured", {"amount": 0.3}]]),
    "l1-half-way-up": ("vector", [["l1_unstructured", {"amount": 1.5 / 9}]]),
    "l1-half-way-down": ("vector", [["l1_unstructured", {"amount": 4.5 / 9}]]),
    "l1-scores": ("conv", [["l1_unstructured", {"amount": 0.4, "scores": True}]]),
    "ln-1": ("linear", [["ln_structured", {"amount": 3, "n": 1, "dim": 0}]]),
    "ln-2": ("conv", [["ln_structured", {"amount": 0.5, "n": 2, "dim": 0}]]),
    "ln-2-inputs": ("conv", [["ln_structured", {"amount": 0.5, "n": 2, "dim": 1}]]),
    "ln-last": ("conv", [["ln_structured", {"amount": 1, "n": 1, "dim": -1}]]),
    "ln-inf": ("conv", [["ln_structured", {"amount": 2, "n": "inf", "dim": -4}]]),
    "ln-minus-inf": ("conv", [["ln_structured", {"amount": 2, "n": "-inf", "dim": 0}]]),
    "ln-minus-2": ("linear", [["ln_structured", {"amount": 2, "n": -2, "dim": 1}]]),
    "ln-fraction": ("conv", [["ln_structured", {"amount": 0.34, "n": 0.5, "dim": 2}]]),
    "ln-fro": ("matrices", [["ln_structured", {"amount": 0.6, "n": "fro", "dim": 0}]]),
    "ln-nuc": ("matrices", [["ln_structured", {"amount": 2, "n": "nuc", "dim": 0}]]),
    "ln-nuc-last": ("matrices", [["ln_structured", {"amount": 2, "n": "nuc", "dim": 2}]]),
    "ln-scores": ("conv", [["ln_structured", {"amount": 2, "n": 2, "dim": 0, "scores": True}]]),
    "ln-none": ("conv", [["ln_structured", {"amount": 0.1, "n": 2, "dim": 3}]]),
    "ln-all": ("conv", [["ln_structured", {"amount": 6, "n": 2, "dim": 0}]]),
    "custom": ("linear", [["custom_from_mask", {}]]),
    # Several: each prunes from what the ones before have left.
    "l1-thrice": ("conv", [["l1_unstructured", {"amount": 0.2}]] * 3),
    "l1-to-the-end": ("vector", [["l1_unstructured", {"amount": n}] for n in (4, 3, 2)]),
    "ln-twice": ("conv", [["ln_structured", {"amount": 0.34, "n": 2, "dim": 0}]] * 2),
    "ln-both-axes": (
        "conv",
        [["ln_structured", {"amount": 2, "n": 2, "dim": dim}] for dim in (0, 1)],
    ),
    "ln-then-l1": (
        "conv",
        [["ln_structured", {"amount": 2, "n": 1, "dim": 0}], ["l1_unstructured", {"amount": 0.3}]],
    ),
    "l1-then-ln": (
        "conv",
        [
            ["l1_unstructured", {"amount": 0.6}],
            ["ln_structured", {"amount": 0.5, "n": 2, "dim": 1}],
        ],
    ),
    "l1-then-custom": (
        "linear",
        [["l1_unstructured", {"amount": 0.4}], ["custom_from_mask", {}], ["identity", {}]],
    ),
    "all-kinds": (
        "conv",
        [
            ["identity", {}],
            ["l1_unstructured", {"amount": 30, "scores": True}],
            ["ln_structured", {"amount": 1, "n": "inf", "dim": 0}],
            ["custom_from_mask", {}],
            ["l1_unstructured", {"amount": 0.25}],
            ["ln_structured", {"amount": 0.25, "n": 1, "dim": 1}],
        ],
    ),
    # At random: counts.
    "random": ("conv", [["random_unstructured", {"amount": 0.33}]] * 3),
    "random-count": ("vector", [["random_unstructured", {"amount": n}] for n in (2, 0, 7)]),
    "random-channels": ("conv", [["random_structured", {"amount": 0.34, "dim": 0}]] * 2),
    "random-channels-then": (
        "linear",
        [["random_structured", {"amount": 2, "dim": 1}], ["random_unstructured", {"amount": 0.5}]],
    ),
}
GLOBAL = {
    "l1": [["L1Unstructured", {"amount": 0.3}]],
    "l1-count": [["L1Unstructured", {"amount": 100}]],
    "l1-twice": [["L1Unstructured", {"amount": 0.5}], ["L1Unstructured", {"amount": 0.5}]],
    "l1-scores": [["L1Unstructured", {"amount": 0.2, "scores": ["conv", "vector"]}]],
    "l1-all": [["L1Unstructured", {"amount": 1.0}]],
    "random": [["RandomUnstructured", {"amount": 0.3}], ["RandomUnstructured", {"amount": 50}]],
}


def holder(array: np.ndarray) -> torch.nn.Module:
    module = torch.nn.Module()
    module.weight = torch.nn.Parameter(torch.tensor(array))
    return module


def refresh(module: torch.nn.Module) -> None:
    """Run the pre-hooks, as a forward does, so that ``module.weight`` is that of now."""
    for hook in module._forward_pre_hooks.values():
        hook(module, ())


def move(module: torch.nn.Module, by: np.ndarray) -> None:
    with torch.no_grad():
        module.weight_orig.add_(torch.tensor(by))
    refresh(module)


def follow(content: dict, shape: str, steps: list) -> np.ndarray:
    """The mask after each step, (steps, *shape)."""
    module, masks = holder(content[f"weights/{shape}"]), []
    for name, options in steps:
        options = dict(options)
        if options.pop("scores", False):
            options["importance_scores"] = torch.tensor(content[f"scores/{shape}"])
        if name == "custom_from_mask":
            options["mask"] = torch.tensor(content[f"mask/{shape}"])
        if "n" in options:
            options["n"] = float(options["n"]) if options["n"] in ("inf", "-inf") else options["n"]
        getattr(prune, name)(module, "weight", **options)
        masks.append(module.weight_mask.numpy().astype(np.uint8))
        move(module, content[f"move/{shape}"])
    return np.array(masks)


def follow_global(content: dict, steps: list) -> np.ndarray:
    """All masks one after the other, after each step: (steps, entries)."""
    modules = {shape: holder(content[f"weights/{shape}"]) for shape in SHAPES}
    rows = []
    for name, options in steps:
        options = dict(options)
        scores = {
            (modules[shape], "weight"): torch.tensor(content[f"scores/{shape}"])
            for shape in options.pop("scores", [])
        }
        pairs = [(module, "weight") for module in modules.values()]
        prune.global_unstructured(pairs, getattr(prune, name), importance_scores=scores, **options)
        rows.append(np.concatenate([m.weight_mask.numpy().ravel() for m in modules.values()]))
        for shape, module in modules.items():
            move(module, content[f"move/{shape}"])
    return np.array(rows).astype(np.uint8)


def main() -> None:
    rng = np.random.default_rng(0)
    content = {}
    for i, (name, shape) in enumerate(SHAPES.items()):
        # Half of the shapes in float32, half in float64; all sizes are different.
        dtype = (np.float32, np.float64)[i % 2]
        content[f"weights/{name}"] = rng.normal(size=shape).astype(dtype)
        content[f"scores/{name}"] = rng.normal(size=shape).astype(dtype)
        content[f"move/{name}"] = (0.3 * rng.normal(size=shape)).astype(dtype)
        content[f"mask/{name}"] = (rng.random(shape) < 0.7).astype(np.uint8)
    sizes = np.concatenate([np.abs(content[f"weights/{name}"]).ravel() for name in SHAPES])
    assert len(np.unique(sizes)) == len(sizes)
    torch.manual_seed(0)
    for case, (shape, steps) in CASES.items():
        masks = follow(content, shape, steps)
        random = any("random" in name for name, _ in steps)
        content[f"{'left' if random else 'masks'}/{case}"] = (
            masks.sum(tuple(range(1, masks.ndim))) if random else masks
        )
    for case, steps in GLOBAL.items():
        masks = follow_global(content, steps)
        key = f"global-left/{case}" if case == "random" else f"global-masks/{case}"
        content[key] = masks.sum(1) if case == "random" else masks
    cases = {"cases": CASES, "global": GLOBAL, "shapes": SHAPES, "torch": torch.__version__}
    content["cases"] = np.array(json.dumps(cases))
    np.savez_compressed(Path(__file__).with_name("prune.npz"), **content)


if __name__ == "__main__":
    main()
