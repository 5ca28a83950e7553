"""``bench/gpu.py`` itself: tried here over the stand-in, so that no line is new on the GPU.

Read before: ``bench/gpu.py``, ``fake_torch_cuda.py``.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "bench" / "gpu.py"
pytestmark = pytest.mark.cpu_only


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    import gpu

    return gpu


@pytest.mark.slow
def test_the_whole_run_over_the_stand_in(tmp_path):
    command = [sys.executable, str(SCRIPT), "--out", str(tmp_path), "--device", "fake"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "report.txt").read_text() == result.stdout
    lines = [line for line in result.stdout.splitlines() if "torch" not in line.lower()]
    assert not [line for line in lines if "!!!" in line], result.stdout
    figures = json.loads((tmp_path / "results.json").read_text())
    errors = figures["facts"]["error of products"]
    assert errors["highest"] < 1e-6 < 1e-5 < errors["high"] < 1e-2
    assert figures["facts"]["what can be captured"]["item"].startswith("no: RuntimeError")
    assert len(figures["checks"]) == 13
    assert len(figures["matrix"]["rows"]) == 4
    assert all("minigrad captured" in row["us"] for row in figures["matrix"]["rows"])
    assert figures["suite"]["state"] == "code 0"


def test_a_failing_way_costs_one_cell(gpu):
    class Worker:
        def __init__(self, broken):
            self.broken = broken

        def ask(self, do, way=None, **request):
            if way == self.broken:
                raise RuntimeError("out of order")
            return {"us": 100.0, "host_us": 10.0}

    workers = {"minigrad": Worker("captured"), "torch": Worker("none")}
    row = gpu.measure(workers, "MLP", 32, "high", 2)
    assert row["us"] == {"minigrad eager": 100.0, "torch eager": 100.0, "torch graph": 100.0}
    assert row["errors"] == ["minigrad captured: out of order"]
    assert gpu.format_row(row).split()[-2:] == ["1.00x", "-"]


class Spoilt:
    """An engine whose captured step breaks the GPU for its process, and for no other."""

    started = 0

    def __init__(self, engine, device):
        Spoilt.started += 1
        self.engine, self.broken = engine, False

    def ask(self, do, way=None, **request):
        self.broken |= (self.engine, way, request.get("precision")) == BREAKS
        if self.broken:
            raise RuntimeError("cudaErrorIllegalAddress")
        return {"us": 100.0, "host_us": 10.0, "text": "fine"}

    def stop(self):
        pass


BREAKS = "minigrad", "captured", "highest"


def test_an_engine_that_an_error_has_spoilt_starts_again(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "Worker", Spoilt)
    figures = gpu.Figures(tmp_path / "matrix.json")
    gpu.matrix(60, "fake", figures, rounds=1)
    rows = json.loads((tmp_path / "matrix.json").read_text())["rows"]
    assert [len(row["us"]) for row in rows] == [2, 4, 2, 4]  # all four ways in the next row
    assert rows[0]["spoilt"] == ["minigrad"]
    assert Spoilt.started == 4
    printed = capsys.readouterr().out
    assert printed.count("cudaErrorIllegalAddress") > 0
    assert "copies its batch in every call" in printed  # ours do; the graphs of PyTorch do not


def test_an_engine_that_is_silent_is_stopped(gpu, monkeypatch):
    monkeypatch.setattr(gpu, "ANSWER", 0.2)
    worker = object.__new__(gpu.Worker)
    pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    worker.process = subprocess.Popen(["sleep", "60"], **pipes)
    with pytest.raises(RuntimeError, match="stopped with code -9"):
        worker.ask(do="run")


def test_a_part_that_hangs_is_stopped(gpu, tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "__file__", str(tmp_path / "hang.py"))
    (tmp_path / "hang.py").write_text("import time; print('begun', flush=True); time.sleep(60)")
    report = gpu.Report(tmp_path / "out")
    gpu.run_part("facts", -8.0, report, "cuda")  # ten seconds of grace: stopped after two
    text = (tmp_path / "out" / "report.txt").read_text()
    assert "begun" in text
    assert "took too long" in text
