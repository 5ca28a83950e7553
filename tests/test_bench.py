"""The scripts in ``bench/`` for the CPU: a short turn of each, and what they work out.

Read before: ``bench/bench.py``, ``bench/scaling.py``, ``bench/others.py``.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCH = Path(__file__).parents[1] / "bench"
pytestmark = pytest.mark.cpu_only


def run(script: str, *options: str, out: Path) -> tuple[str, dict]:
    """Run a script; return what it printed and what it wrote."""
    command = [sys.executable, str(BENCH / script), "--rounds", "1", "--threads", "1"]
    command += [*options, "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout, json.loads(out.read_text())


@pytest.fixture
def bench(monkeypatch):
    """Return a function that imports a module of ``bench/``."""
    monkeypatch.syspath_prepend(str(BENCH))
    return __import__


@pytest.mark.slow
def test_bench(tmp_path):
    printed, figures = run("bench.py", "--only", "MLP", out=tmp_path / "bench.json")
    assert [row["name"][-8:] for row in figures["rows"]] == ["batch 32", "atch 128"]
    assert all(row["minigrad"] > 0 for row in figures["rows"])
    assert "MLP 784-256-10, batch 32 (ms)" in printed


@pytest.mark.slow
def test_layers(tmp_path):
    printed, figures = run("layers.py", "--only", "LeNet linear", out=tmp_path / "layers.json")
    assert len(figures["rows"]) == 6
    assert all(row["minigrad"] > 0 for row in figures["rows"])
    assert "LeNet linear 400-120, backward (ms)" in printed


@pytest.mark.slow
def test_scaling(tmp_path):
    curves = tmp_path / "scaling.png"
    options = ("--largest", "4", "--only", "16, ", "--figure", str(curves))
    printed, figures = run("scaling.py", *options, out=tmp_path / "scaling.json")
    names = [row["name"] for row in figures["tables"]["depth"]]
    assert names == ["conv 16, depth 1", "conv 16, depth 2", "conv 16, depth 4"]
    (growth,) = figures["growth"]["depth"]
    assert growth["name"] == "conv 16, depth 2 to 4"
    (memory,) = figures["tables"]["memory"]
    assert memory["minigrad"] > 10
    assert curves.exists() == ("curves:" in printed)


@pytest.mark.slow
def test_others(tmp_path):
    """The other engines are seldom installed, and an interpreter may not be there at all."""
    options = ("--python-dezero", str(tmp_path / "python"))
    printed, figures = run("others.py", *options, out=tmp_path / "others.json")
    assert [row["name"] for row in figures["rows"]] == ["LeNet, batch 32", "LeNet, batch 128"]
    assert figures["rows"][0]["facts"]["minigrad"]["gradients"] == "float32"
    assert "dezero is left out: [Errno 2] No such file" in printed


def test_losses_that_differ_stop_the_comparison(bench):
    others = bench("others")

    class Worker:
        def __init__(self, losses):
            self.losses = losses

        def ask(self, facts):
            return {"losses": self.losses}

    workers = {"minigrad": Worker([2.3, 2.2]), "mygrad": Worker([2.30005, 2.2])}
    assert set(others.check(workers, 32)) == {"minigrad", "mygrad"}
    for losses in ([2.3, 2.2002], [2.3, math.nan]):
        workers["dezero"] = Worker(losses)
        with pytest.raises(SystemExit, match="do not compute the same at batch 32"):
            others.check(workers, 32)


def test_minigrads_median_is_compared_with_each_engines(bench):
    others = bench("others")

    class Worker:
        def __init__(self, *turns):
            self.turns = iter(turns)

        def ask(self, batch, times):
            return next(self.turns)

    ours = Worker([10.0], [1.0, 1.0, 9.0], [2.0], [4.0])  # the first only tells how often to run
    theirs = Worker([8.0], [8.0], [20.0])
    row = others.measure({"minigrad": ours, "dezero": theirs}, 32, rounds=3)
    assert row["ms"] == {"minigrad": 2.0, "dezero": 8.0}
    assert row["faster"] == {"dezero": 5.0}  # of 8, 4 and 5; not 8 / 2


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_exponent(bench, power):
    sizes = [2, 8, 64]
    times = [3 * n**power for n in sizes]
    assert bench("scaling").exponent(sizes, times) == pytest.approx(power)
    noisy = [3.1, 10.2, 90.0]
    fitted = np.polyfit(np.log(sizes), np.log(noisy), 1)[0]
    assert bench("scaling").exponent(sizes, noisy) == pytest.approx(fitted)


def test_growth_takes_the_upper_half_of_each_curve(bench, capsys):
    sizes = (64, 1, 4, 16)  # the smallest is no power law: a call's fixed cost
    times = {64: 640.0, 16: 160.0, 4: 40.0, 1: 30.0}
    rows = [{"name": f"MLP, batch {n}", "unit": "ms", "minigrad": times[n]} for n in sizes]
    rows += [{"name": f"CNN, batch {n}", "unit": "MB", "minigrad": 40 + 3 * n} for n in (1, 9)]
    rows += [{"name": "alone, depth 1", "unit": "ms", "minigrad": 1.0}]
    time, memory = bench("scaling").growth(rows, ["minigrad"])
    assert time["name"] == "MLP, batch 4 to 64"
    assert time["minigrad"] == pytest.approx(1.0)
    assert memory["name"] == "CNN, batch 1 to 9"
    assert memory["minigrad"] == pytest.approx(3.0)
    assert "MB each" in capsys.readouterr().out


def test_curves_are_drawn(bench, tmp_path):
    pytest.importorskip("matplotlib")
    rows = [
        {"name": f"MLP, batch {n}", "unit": "ms", "minigrad": n, "torch": 2.0 * n} for n in (1, 4)
    ]
    path = tmp_path / "curves.png"
    tables = {"batch": rows, "depth": [rows[0]]}
    assert bench("scaling").draw(tables, ["minigrad", "torch"], path) == f"curves:  {path}"
    assert path.read_bytes().startswith(b"\x89PNG")
