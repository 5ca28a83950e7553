"""The examples run as a user runs them: as scripts, in a folder of their own."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.cpu_only


def run(script, *arguments, cwd, **environment):
    """Run an example where no data can be found, and return what it printed."""
    env = {k: v for k, v in os.environ.items() if k not in ("MINIGRAD_DATA", "XDG_CACHE_HOME")}
    env.update(XDG_CACHE_HOME=str(cwd), **environment)
    command = [sys.executable, str(ROOT / "examples" / script), *arguments]
    done = subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_your_own_op(tmp_path):
    output = run("01_your_own_op.py", cwd=tmp_path)
    assert "gradcheck(Softplus):          True" in output
    assert "gradcheck(ForgetfulSoftplus): False" in output


@pytest.fixture
def extras():
    pytest.importorskip("matplotlib")
    pytest.importorskip("tqdm")


def test_mnist_on_the_bundled_digits(tmp_path, extras):
    options = ["--model", "mlp", "--epochs", "2", "--out", "run"]
    output = run("mnist.py", *options, cwd=tmp_path)
    assert "bundled digits" in output  # it says that MNIST is not here
    accuracy = float(re.search(r"test accuracy: ([\d.]+)%", output)[1])
    assert accuracy > 70
    pictures = {path.name for path in (tmp_path / "run").iterdir()}
    assert pictures == {"weights.npz", "curves.png", "confusion.png", "mistakes.png", "filters.png"}


@pytest.mark.parametrize("model", ["mlp", "lenet", "cnn"])
@pytest.mark.parametrize("optimizer, loss", [("sgd", "mse"), ("momentum", "cross-entropy")])
def test_mnist_options(tmp_path, extras, model, optimizer, loss):
    options = ["--model", model, "--optimizer", optimizer, "--loss", loss]
    output = run("mnist.py", *options, "--epochs", "1", "--out", "run", cwd=tmp_path)
    assert "test accuracy" in output


def test_mnist_is_repeated_bit_for_bit_by_its_seed(tmp_path, extras):
    options = ["--model", "mlp", "--epochs", "1", "--seed", "3"]
    for out in ("a", "b"):
        run("mnist.py", *options, "--out", out, cwd=tmp_path)
    assert (tmp_path / "a/weights.npz").read_bytes() == (tmp_path / "b/weights.npz").read_bytes()


def test_mnist_refuses_nonsense(tmp_path, extras):
    command = [sys.executable, str(ROOT / "examples/mnist.py"), "--lr", "nan"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "nan is not a positive number" in done.stderr
