"""PyTorch's numbers, from files: values and gradients of ops, and the losses of training runs.

The files are made by ``golden/make_golden.py``, whose lines run here with minigrad in PyTorch's
place. With PyTorch installed, ``torch/test_ops_torch.py`` compares far more.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from golden.make_golden import CASES, FOLDER, MODELS, numbers, train
from helpers import arr

import minigrad
from minigrad.autograd import grad

VALUE, GRADIENT, LOSS = 1e-10, 1e-8, 1e-9


def load(name) -> dict:
    with np.load(FOLDER / name, allow_pickle=False) as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(scope="module")
def ops() -> dict:
    return load("ops.npz")


def close(actual, expected, tolerance, what):
    actual = arr(actual)
    assert actual.shape == expected.shape and actual.dtype == expected.dtype, what
    scale = tolerance * np.abs(expected).max(initial=1e-3)
    np.testing.assert_allclose(actual, expected, rtol=0, atol=scale, err_msg=what)


@pytest.mark.parametrize("create_graph", [False, True], ids=["fast", "recorded"])
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name, create_graph, ops, device):
    (call, shapes), draw = CASES[name], numbers(name)
    with minigrad.device(device):
        xs = [minigrad.tensor(draw(*shape), requires_grad=True) for shape in shapes]
        y = call(minigrad, minigrad.nn.functional, minigrad.tensor, *xs)
        gy = minigrad.tensor(draw(*y.shape))
        gradients = grad(y, xs, gy, create_graph=create_graph, allow_unused=True)
    close(y.detach(), ops[f"{name}/y"], VALUE, "value")
    for i, (x, g) in enumerate(zip(xs, gradients)):
        g = minigrad.zeros_like(x) if g is None else g.detach()
        close(g, ops[f"{name}/g{i}"], GRADIENT, f"gradient {i}")


@pytest.mark.parametrize("name", MODELS)
def test_twenty_training_steps(name, device):
    golden = load("training.npz")
    library = SimpleNamespace(**vars(minigrad))
    library.from_numpy = minigrad.tensor  # which goes to the device of the block
    with minigrad.device(device):
        losses, parameters = train(library, name)
    np.testing.assert_allclose(losses, golden[f"{name}/losses"], rtol=LOSS)
    np.testing.assert_allclose(parameters, golden[f"{name}/parameters"], rtol=LOSS)
    assert losses[-1] < losses[0]


def test_the_files_are_complete_and_small(ops):
    assert {key.split("/")[0] for key in ops} == {*CASES, "made by"}
    assert {key.split("/")[0] for key in load("training.npz")} == {*MODELS, "made by"}
    assert len(CASES) >= 60
    assert sum((FOLDER / name).stat().st_size for name in ("ops.npz", "training.npz")) < 100_000
