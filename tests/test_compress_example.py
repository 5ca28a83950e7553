"""The pipeline of ``examples/compress_mnist.py``, run as a user runs it."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.compress import load_compressed
from minigrad.vision import models

SCRIPT = Path(__file__).parent.parent / "examples" / "compress_mnist.py"


@pytest.mark.cpu_only
def test_compress_mnist_on_the_bundled_digits(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in ("MINIGRAD_DATA", "XDG_CACHE_HOME")}
    env["XDG_CACHE_HOME"] = str(tmp_path)
    command = [sys.executable, str(SCRIPT), "--seeds", "3", "4", "--out", "out", "--epochs", "0.2"]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "bundled digits" in done.stdout  # it says that MNIST is not here
    path = tmp_path / "out" / "lenet-300-100-seed3.mgc"
    assert path.with_stem("lenet-300-100-seed4").exists()
    row = re.search(r"seed 3 +([\d.]+)% +([\d.]+)% +([-+.\d]+) +([\d,]+) +([\d.]+)x", done.stdout)
    assert "dense: 17 epochs, compressed: 17 + 23 epochs" in done.stdout  # what each was given
    dense, small, change, nbytes, factor = (float(x.replace(",", "")) for x in row.groups())
    assert nbytes == path.stat().st_size
    assert factor == pytest.approx(4 * 266_610 / nbytes, abs=0.05) and factor > 40
    assert change == pytest.approx(small - dense, abs=0.011)
    assert dense > 85 and small > 80
    models.lenet_300_100().load_state_dict(load_compressed(path))


def test_the_networks_of_the_papers():
    for build, count in ((models.lenet_300_100, 266_610), (models.lenet5, 431_080)):
        assert sum(p.numel() for p in build().parameters()) == count
