"""A script written for PyTorch computes the same losses here, step by step.

The model and the training loop are taken from the text of ``examples/pytorch_script.py``, once
with the imports that it has and once with PyTorch's, which is all that was changed in it.
"""

from pathlib import Path

import numpy as np
import pytest

import minigrad
from minigrad.vision import datasets

torch = pytest.importorskip("torch")

SCRIPT = Path(__file__).parents[2] / "examples/pytorch_script.py"
STEPS, BATCH = 40, 32


def load(text):
    namespace = {"__name__": "script"}
    exec(compile(text, str(SCRIPT), "exec"), namespace)
    return namespace


@pytest.fixture(scope="module")
def scripts():
    text = SCRIPT.read_text(encoding="utf-8")
    theirs = (
        text.replace("import minigrad as torch", "import torch")
        .replace("import minigrad.nn as nn", "import torch.nn as nn")
        .replace("import minigrad.optim as optim", "import torch.optim as optim")
    )
    assert theirs.count("minigrad") < text.count("minigrad")
    return load(text), load(theirs)


def batches(dtype):
    digits = datasets.Digits(train=True, mnist_form=True)
    x = digits.data.numpy()[: STEPS * BATCH, None].astype(dtype) / 255 * 2 - 1
    y = digits.targets.numpy()[: STEPS * BATCH]
    return x.reshape(STEPS, BATCH, 1, 28, 28), y.reshape(STEPS, BATCH)


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-10), ("float32", 1e-4)])
def test_losses_agree_step_by_step(scripts, dtype, tolerance, capsys):
    ours, theirs = scripts
    minigrad.manual_seed(0)
    model = ours["Net"]().to(getattr(minigrad, dtype))
    reference = theirs["Net"]().to(getattr(torch, dtype))
    weights = {k: torch.from_numpy(v.numpy().copy()) for k, v in model.state_dict().items()}
    reference.load_state_dict(weights)

    x, y = batches(dtype)
    losses = ours["train"](
        model, [(minigrad.tensor(a), minigrad.tensor(b)) for a, b in zip(x, y)], 2, "cpu"
    )
    expected = theirs["train"](
        reference, [(torch.tensor(a), torch.tensor(b)) for a, b in zip(x, y)], 2, "cpu"
    )
    assert len(losses) == 2 * STEPS
    assert len(set(np.round(losses, 6))) > STEPS  # it did train
    np.testing.assert_allclose(losses, expected, rtol=tolerance)

    printed = capsys.readouterr().out.splitlines()
    if dtype == "float64":
        assert printed[:2] == printed[2:]  # each epoch's mean loss, to the digits printed


def test_accuracy_agrees(scripts):
    ours, theirs = scripts
    model, reference = ours["Net"](), theirs["Net"]()
    weights = {k: torch.from_numpy(v.numpy().copy()) for k, v in model.state_dict().items()}
    reference.load_state_dict(weights)
    x, y = batches("float32")
    a = ours["test"](model, [(minigrad.tensor(i), minigrad.tensor(j)) for i, j in zip(x, y)], "cpu")
    b = theirs["test"](reference, [(torch.tensor(i), torch.tensor(j)) for i, j in zip(x, y)], "cpu")
    assert a == b
