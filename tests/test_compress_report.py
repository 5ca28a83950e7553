"""Counting, measuring, the sensitivity scan and budgets."""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import arr
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad import nn
from minigrad.compress import (
    attach_masks,
    int8_model,
    report,
    share_weights,
    sparse_masks,
    stored_bytes,
)
from minigrad.compress.sensitivity import BudgetError, Sensitivity, fit_budget, scan
from minigrad.compress.structure import Structure
from minigrad.vision import models

# ------------------------------------------------------------------------------------ counting


@settings(max_examples=20)
@given(
    channels=st.integers(1, 3),
    out=st.integers(1, 3),
    groups=st.integers(1, 2),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    batch=st.integers(1, 3),
)
def test_flops_of_a_convolution_are_the_multiply_adds(channels, out, groups, kernel, stride, batch):
    layer = nn.Conv2d(channels * groups, out * groups, kernel, stride, groups=groups)
    x = minigrad.ones(batch, channels * groups, 5, 5)
    count = 0  # by the definition: one for each product in each sum
    size = (5 - kernel) // stride + 1
    for _place in range(size * size):
        for _o in range(out * groups):
            count += channels * kernel * kernel
    assert report.count_flops(layer, x) == 2 * count


def test_flops_of_the_other_layers():
    x = minigrad.ones(4, 3, 5, 5)
    assert report.count_flops(nn.Linear(5, 7), x) == 2 * 5 * 7 * 15  # 15 rows a sample
    # Transposed: each of the 5 x 5 places of 3 channels is sprayed over 2 x 2 places of 6.
    assert report.count_flops(nn.ConvTranspose2d(3, 6, 2, 2), x) == 2 * 25 * 3 * 6 * 4

    class Product(nn.Module):
        def __init__(self):
            super().__init__()
            self.w = nn.Parameter(minigrad.ones(5, 6))

        def forward(self, x):
            y = x @ self.w  # (4, 3, 5, 6)
            return y.mT @ y  # (4, 3, 6, 6)

    assert report.count_flops(Product(), x) == 2 * (15 * 5 * 6 + 3 * 6 * 6 * 5)


def test_lenet_by_the_formula():
    layers = [28 * 28 * 6 * 25, 10 * 10 * 16 * 6 * 25, 400 * 120, 120 * 84, 84 * 10]
    model, x = models.lenet(), minigrad.randn(2, 1, 28, 28)
    structure = Structure(model, x)
    assert structure.flops() == report.count_flops(model, x) == 2 * sum(layers)
    assert list(structure.flops_by_layer().values()) == [2 * n for n in layers]
    assert list(structure.flops_by_layer()) == ["0", "3", "7", "9", "11"]
    assert report.count_parameters(model) == structure.parameters() == 61_706
    assert report.count_bytes(model) == structure.bytes() == 4 * 61_706


def test_what_is_shared_or_zero_counts_once_or_not():
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), nn.BatchNorm1d(3))
    model.append(model[0])
    x = minigrad.randn(2, 3)
    assert report.count_parameters(model) == Structure(model, x).parameters() == 12 + 6
    # float32 parameters and statistics, and an int64 counter
    assert report.count_bytes(model) == Structure(model, x).bytes() == 4 * (12 + 6 + 6) + 8
    model[0].weight.data[0] = 0.0
    nonzero = sum(int((arr(p.detach()) != 0).sum()) for p in model.parameters())
    assert report.count_nonzero(model) == nonzero <= 18 - 3 - 3


# ----------------------------------------------------------------------------------- measuring


class Slow(nn.Module):
    """Takes `repeat` times as long, and counts its calls."""

    calls: list = []

    def __init__(self, name, repeat):
        super().__init__()
        self.linear, self.name, self.repeat = nn.Linear(4, 4), name, repeat

    def forward(self, x):
        assert not self.training
        assert not minigrad.is_grad_enabled()
        self.calls.append(self.name)
        for _ in range(self.repeat):
            y = self.linear(x)
        return y


def test_networks_take_turns_and_keep_their_modes():
    Slow.calls.clear()
    a, b = Slow("a", 1), Slow("b", 3).eval()
    times = report.measure_ms({"a": a, "b": b}, minigrad.ones(2, 4), rounds=3)
    assert Slow.calls == ["a", "b"] * 4  # the first round warms up
    assert set(times) == {"a", "b"}
    assert all(0 < ms < 1e4 for ms in times.values())
    assert (a.training, b.training) == (True, False)


def test_the_median_leaves_the_first_pass_out(monkeypatch):
    durations = iter([9.0, 0.004, 0.002, 0.007])  # of the passes, in seconds; the first warms up
    clock = [0.0]

    class Timed(nn.Module):
        def forward(self, x):
            clock[0] += next(durations)
            return x

    monkeypatch.setattr(report.time, "perf_counter", lambda: clock[0])
    times = report.measure_ms({"a": Timed()}, minigrad.ones(2, 4), rounds=3)
    assert times["a"] == pytest.approx(4.0)


def test_report_compares():
    big, small = models.mlp(32), models.mlp(8)
    small[1].weight.data[:, :392] = 0.0
    x = minigrad.randn(8, 1, 28, 28)
    found = report.compare(
        {"before": big, "after": small}, x, lambda model: 0.5 if model is big else 0.45, rounds=2
    )
    assert found.rows["before"]["parameters"] == 784 * 32 + 32 + 32 * 10 + 10
    assert found.rows["after"]["flops"] == 2 * (784 * 8 + 8 * 10)
    assert found.layers["after"] == {"1": 2 * 784 * 8, "3": 2 * 8 * 10}
    lines = [re.split(r"  +", line) for line in str(found).splitlines()[:9]]
    assert lines[0] == ["", "before", "after"]
    table = {title: cells for title, *cells in lines[1:]}
    assert list(table) == [
        "parameters", "non-zero", "FLOPs, one sample", "bytes, dense file", "bytes, CSR file",
        "bytes, coded file", "ms/batch", "accuracy",
    ]  # fmt: skip
    assert table["parameters"] == ["25,450", "6,370 (25.0%)"]
    assert table["FLOPs, one sample"][1] == "12,704 (25.0%)"
    assert table["accuracy"] == ["50.00%", "45.00% (-5.00)"]
    assert "faster" in table["ms/batch"][1] or "as fast" in table["ms/batch"][1]
    assert "not time: they are multiplied" in str(found)  # half of the smaller one's are zeros
    html = found._repr_html_()
    assert html.count("<tr>") == 9 and "<th>before</th>" in html and "multiplied" in html
    rows = found.rows["after"]
    assert rows["nonzero"] == report.count_nonzero(small)
    assert {k: rows[k] for k in ("dense", "sparse", "coded")} == stored_bytes(small)
    assert rows["coded"] == 16 + sum(tensor.nbytes for tensor in found.tensors["after"])
    assert "accuracy" not in str(report.compare({"one": big}, x, rounds=1))


def test_masks_and_integers_in_a_report():
    model, x = models.lenet5(), minigrad.randn(4, 1, 28, 28)
    masked, shared = copy.deepcopy(model), copy.deepcopy(model)
    attach_masks(masked, sparse_masks(masked, 0.1))
    share_weights(shared, 3)
    networks = {"dense": model, "masked": masked, "shared": shared, "int8": int8_model(model)}
    found = report.compare(networks, x, rounds=1)
    rows = found.rows
    assert rows["dense"]["parameters"] == rows["int8"]["parameters"] == 431_080
    assert rows["shared"]["parameters"] == 431_080  # what is stored and run, not what is trained
    assert rows["masked"]["nonzero"] == report.count_nonzero(masked)  # the masks are attached
    assert rows["masked"]["nonzero"] == pytest.approx(0.1 * 430_500, abs=600)
    flops = 2 * (20 * 25 * 24**2 + 50 * 20 * 25 * 8**2 + 800 * 500 + 500 * 10)
    assert {row["flops"] for row in rows.values()} == {flops}
    assert found.layers["int8"] == found.layers["dense"]
    sizes = {name: [row[k] for k in ("dense", "sparse", "coded")] for name, row in rows.items()}
    dense = 4 * 431_080
    assert sizes["dense"] == pytest.approx([dense] * 3, rel=0.01)
    # CSR: 4 bytes and 2 of the column each. Coded: 4 bytes and a gap of a few bits.
    assert sizes["masked"] == pytest.approx([dense, 0.15 * dense, 0.12 * dense], rel=0.05)
    assert sizes["shared"][2] < 3.1 / 32 * dense < 0.2 * sizes["shared"][1]
    assert sizes["int8"][0] == pytest.approx(dense / 4, rel=0.03)
    assert [note[:12] for note in found.notes] == ["Zeros save b", "Fewer bits f"]
    assert "save bytes, not time" in found.notes[1]
    assert report.compare({"dense": model}, x, rounds=1).notes == []
    assert report._times(0.5) == "2.0x slower" and report._times(1.02) == "as fast"


# ---------------------------------------------------------------------------------- the scan


def network():
    """Two hidden layers of 8, of which the first tolerates much and the second little."""
    return nn.Sequential(
        nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2)
    )  # fmt: skip


def score(model):
    """1, less 0.001 for each unit missing from the first layer, 0.05 from the second."""
    return 1 - 0.001 * (8 - model[0].out_features) - 0.05 * (8 - model[2].out_features)


def test_scan_prunes_each_layer_alone():
    structure = Structure(network(), minigrad.randn(2, 4))
    found = scan(structure, score, amounts=(0.25, 0.5, 0.9))
    assert found.baseline == 1
    np.testing.assert_allclose(found.results["0"], [0.998, 0.996, 0.993])
    np.testing.assert_allclose(found.results["2"], [0.9, 0.8, 0.65])
    assert "-25%" in str(found)
    assert "65.00%" in str(found)
    assert list(scan(structure, score, amounts=(0.5,), layers=["2"]).results) == ["2"]


def test_amounts_for_a_drop_are_read_between_the_points():
    found = Sensitivity(0.9, (0.2, 0.4, 0.8), {"a": [0.91, 0.88, 0.8], "b": [0.5, 0.89, 0.9]})
    assert found.amounts_for(0) == pytest.approx({"a": 0.2, "b": 0.0})
    assert found.amounts_for(0.01) == pytest.approx({"a": 0.3, "b": 0.2 * 0.01 / 0.4})
    assert found.amounts_for(0.06) == pytest.approx({"a": 0.6, "b": 0.2 * 0.06 / 0.4})
    assert found.amounts_for(1) == {"a": 0.8, "b": 0.8}


def test_scan_draws_a_picture():
    pytest.importorskip("matplotlib")
    figure = Sensitivity(0.9, (0.5,), {"a": [0.8], "b": [0.7]}).plot()
    lines = figure.axes[0].get_lines()
    np.testing.assert_allclose(lines[1].get_ydata(), [90, 70])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a", "b"]


# ------------------------------------------------------------------------------------- budgets


@pytest.fixture
def structure():
    return Structure(network(), minigrad.randn(2, 4))


@pytest.mark.parametrize("budget", [dict(flops=0.5), dict(parameters=60), dict(bytes=300),
                                    dict(flops=100, bytes=0.4)])  # fmt: skip
@pytest.mark.parametrize("scanned", [False, True])
def test_budgets_are_met_and_not_overdone(structure, budget, scanned):
    found = scan(structure, score, amounts=(0.25, 0.5, 0.75, 0.9)) if scanned else None
    removed = fit_budget(structure, found, **budget)
    small = structure.without(removed)
    whole = {
        "flops": structure.flops(),
        "parameters": structure.parameters(),
        "bytes": structure.bytes(),
    }
    x = minigrad.randn(2, 4)
    now = {
        "flops": report.count_flops(small, x),
        "parameters": report.count_parameters(small),
        "bytes": report.count_bytes(small),
    }
    limits = {k: v * whole[k] if isinstance(v, float) else v for k, v in budget.items()}
    assert all(now[what] <= most for what, most in limits.items())
    for name, units in removed.items():
        for unit in units:  # without any one of them the budget is broken
            fewer = {**removed, name: [other for other in units if other != unit]}
            assert any(getattr(structure, k)(fewer) > most for k, most in limits.items())
    if scanned:  # the tolerant layer gives first
        assert len(removed["0"]) > len(removed.get("2", []))


def test_a_budget_of_accuracy(structure):
    found = scan(structure, score)
    removed = fit_budget(structure, found, drop=0.01, evaluate=score)
    small = structure.without(removed)
    assert 1 - score(small) <= 0.01
    assert small[0].out_features <= 2
    assert small[2].out_features == 8
    everything = fit_budget(structure, found, drop=1.0, evaluate=score)
    assert structure.flops(everything) == structure.flops({"0": range(7), "2": range(7)})
    assert fit_budget(structure, drop=0.0, evaluate=lambda m: -m[0].out_features) != {}
    nothing = fit_budget(structure, drop=0.0, evaluate=lambda m: m[0].out_features)
    assert structure.flops(nothing) == structure.flops()


def test_a_budget_that_cannot_be_met_says_what_was_reached(structure):
    least = structure.flops({"0": range(7), "2": range(7)})
    with pytest.raises(
        BudgetError, match=rf"cannot be met(.|\n)*at most 5 flops(.|\n)*{least} fl"
    ) as e:
        fit_budget(structure, flops=5)
    assert e.value.reached == {"flops": least}
    with pytest.raises(BudgetError, match="not good enough(.|\n)*0.3"):
        fit_budget(structure, flops=0.2, drop=0.01, evaluate=score)


@pytest.mark.parametrize(
    "budget", [dict(flops=0.0), dict(flops=1.5), dict(bytes=-3), dict(parameters=float("nan")),
               dict(flops="half"), dict(flops=True)]
)  # fmt: skip
def test_budgets_out_of_range(structure, budget):
    with pytest.raises(ValueError, match="the budget of (flops|bytes|parameters) is out of range"):
        fit_budget(structure, **budget)


def test_bad_requests(structure):
    with pytest.raises(ValueError, match="no budget is given"):
        fit_budget(structure)
    with pytest.raises(ValueError, match="a way to measure it"):
        fit_budget(structure, drop=0.1)
    with pytest.raises(ValueError, match="a way to measure it"):
        fit_budget(structure, drop=float("nan"), evaluate=score)
    for amounts in [(), (0.5, 0.2), (0.0, 0.5), (0.5, 1.0), (float("nan"),)]:
        with pytest.raises(ValueError, match="the amounts are out of range"):
            scan(structure, score, amounts=amounts)
    with pytest.raises(ValueError, match="nothing to measure"):
        report.measure_ms({"a": network()}, minigrad.ones(2, 4), rounds=0)
    with pytest.raises(ValueError, match="there is no network"):
        report.compare({}, minigrad.ones(2, 4))
    with pytest.raises(TypeError, match="not a network"):
        report.compare({"a": "b"}, minigrad.ones(2, 4))
    with pytest.raises(TypeError, match="not a network"):
        report.count_flops("network", minigrad.ones(2, 4))


# --------------------------------------------------------------------------------- the example


def test_example_prunes_to_its_budget(tmp_path):
    env = {k: v for k, v in os.environ.items() if k not in ("MINIGRAD_DATA", "XDG_CACHE_HOME")}
    script = Path(__file__).parent.parent / "examples" / "prune_cnn.py"
    options = ["--width", "6", "--epochs", "1", "--flops", "0.3", "--score", "taylor"]
    done = subprocess.run(
        [sys.executable, str(script), *options, "--out", "run"],
        cwd=tmp_path,
        env={**env, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "bundled digits" in done.stdout  # it says that MNIST is not here
    rounds = re.findall(r"round \d: ([\d.]+)% of the FLOPs", done.stdout)
    assert len(rounds) == 2
    assert float(rounds[1]) <= 30
    assert "x faster)" in done.stdout
    assert (tmp_path / "run/sensitivity.png").exists() or "no picture" in done.stdout


def run_example(tmp_path, name, *options):
    env = {k: v for k, v in os.environ.items() if k not in ("MINIGRAD_DATA", "XDG_CACHE_HOME")}
    script = Path(__file__).parent.parent / "examples" / name
    return subprocess.run(
        [sys.executable, str(script), *options],
        cwd=tmp_path,
        env={**env, "XDG_CACHE_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.cpu_only
@pytest.mark.parametrize(
    "name, options, says",
    [
        ("moons.py", ["--steps", "0"], "0 is not a positive number"),
        ("moons.py", ["--hidden", "0"], "0 is not a positive number"),
        ("moons.py", ["--seed", "-1"], "-1 is negative"),
        ("compress_mnist.py", ["--seeds", "-1"], "-1 is negative"),
        ("prune_cnn.py", ["--flops", "0.001", "--epochs", "1", "--width", "4"], "cannot be met"),
    ],
)
def test_examples_refuse_in_a_sentence(tmp_path, name, options, says):
    done = run_example(tmp_path, name, *options)
    assert done.returncode != 0 and says in done.stderr
    assert "Traceback" not in done.stderr


# ----------------------------------------------------------------------------- bad comparisons


def test_compare_without_files_says_the_rest():
    models = {"a": network(), "b": network()}
    found = report.compare(models, minigrad.ones(2, 4), rounds=1, files=False)
    whole = report.compare(models, minigrad.ones(2, 4), rounds=1)
    assert found.tensors == {} and "bytes" not in str(found) and "ms/batch" in str(found)
    assert set(whole.rows["a"]) - set(found.rows["a"]) == {"dense", "sparse", "coded"}
    assert whole.rows["a"]["coded"] == stored_bytes(models["a"])["coded"]


@pytest.mark.parametrize("score", [98.2, -0.1, float("nan"), None, "0.5"])
def test_compare_takes_a_share_for_an_accuracy(score):
    with pytest.raises(ValueError, match="this is no accuracy of 'a'(.|\n)*0.98, not 98"):
        report.compare({"a": network()}, minigrad.ones(2, 4), lambda model: score, rounds=1)


def test_compare_wants_names():
    with pytest.raises(TypeError, match="the networks have no names"):
        report.compare([network()], minigrad.ones(2, 4))


@pytest.mark.parametrize("score", [None, float("nan"), "good"])
def test_a_score_that_is_none(structure, score):
    with pytest.raises(ValueError, match="evaluate: it returned no score"):
        scan(structure, lambda model: score)


def test_a_network_is_not_its_structure():
    with pytest.raises(TypeError, match=r"scan: (.|\n)*Structure\(model, example\)"):
        scan(network(), lambda model: 0.5)
    with pytest.raises(TypeError, match=r"fit_budget: (.|\n)*Structure\(model, example\)"):
        fit_budget(network(), flops=0.5)
