"""The figures of ``minigrad/viz/compression.py``: what they draw is what was measured."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import minigrad
from minigrad import compress, nn
from minigrad.compress import Step
from minigrad.vision import models

pytest.importorskip("matplotlib")
from minigrad.viz import compression as viz  # noqa: E402


def network():
    minigrad.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def steps(*points):
    return [Step(i, left, left, score, network()) for i, (left, score) in enumerate(points, 1)]


def test_accuracy_against_sparsity():
    curves = {"a": steps((0.5, 0.9), (0.1, 0.8)), "b": iter(steps((0.02, 0.7)))}
    figure = viz.accuracy_against_sparsity(curves, baseline=0.95)
    axes = figure.axes[0]
    a, b, dashed = axes.get_lines()
    np.testing.assert_allclose(a.get_xydata(), [[0.5, 90], [0.1, 80]])
    np.testing.assert_allclose(b.get_xydata(), [[0.02, 70]])
    assert set(dashed.get_ydata()) == {95}
    ticks = [text.get_text() for text in axes.get_xticklabels()]
    assert ticks == ["0", "50", "80", "90", "95", "98"]
    assert axes.get_xlim()[0] > 1 > axes.get_xlim()[1]  # from all to nothing
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["a", "b"]
    assert viz.accuracy_against_sparsity(curves["a"]).axes[0].get_legend() is None
    with pytest.raises(ValueError, match="no steps"):
        viz.accuracy_against_sparsity([])
    with pytest.raises(ValueError, match="evaluate="):
        viz.accuracy_against_sparsity(compress.one_shot(network(), None, 0.5))


def test_layer_bars():
    model = models.mlp(16)
    small = copy.deepcopy(model)
    compress.apply_masks(small, compress.sparse_masks(small, 0.25, scope="layer"))
    x = minigrad.randn(2, 1, 28, 28)
    report = compress.compare({"before": model, "after": small}, x, rounds=1)
    heights = {}
    for what in ("coded", "nonzero", "parameters", "flops"):
        axes = viz.layer_bars(report, what).axes[0]
        assert [t.get_text() for t in axes.get_xticklabels()] == ["1", "3"]
        heights[what] = [[bar.get_height() for bar in bars] for bars in axes.containers]
    assert heights["parameters"] == [[784 * 16, 160]] * 2
    assert heights["nonzero"] == [[784 * 16, 160], [784 * 4, 40]]
    assert heights["flops"] == [[2 * 784 * 16, 320]] * 2
    found = {t.name: t.nbytes for t in compress.compressed_sizes(small)}
    assert heights["coded"][1] == [found["1.weight"], found["3.weight"]]
    with pytest.raises(ValueError, match="'coded'"):
        viz.layer_bars(report, "colour")


def test_weight_histograms():
    before, after = network(), network()
    compress.attach_masks(after, compress.sparse_masks(after, 0.25, scope="layer"))
    figure = viz.weight_histograms(before, after)
    titles = [axes.get_title() for axes in figure.axes]
    assert titles == [
        "0.weight before: 128 weights", "0.weight after: 32 weights, 75.0% zeros",
        "2.weight before: 64 weights", "2.weight after: 16 weights, 75.0% zeros",
    ]  # fmt: skip
    counts = [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes]
    assert counts == [128, 32, 64, 16]
    assert len(viz.weight_histograms(before, after, ["2.weight"]).axes) == 2
    with pytest.raises(ValueError, match="'1.weight'"):
        viz.weight_histograms(before, after, ["1.weight"])


def test_no_window_is_opened(tmp_path):
    figure = compress.scan_masks(network(), lambda m: 0.5).plot()
    assert "weights removed" in figure.axes[0].get_xlabel()
    figure.savefig(tmp_path / "figure.png")
    import sys

    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


def test_wrong_requests_are_sentences():
    report = compress.compare({"a": network()}, minigrad.ones(2, 8), rounds=1, files=False)
    with pytest.raises(ValueError, match=r"layer_bars: (.|\n)*files=True"):
        viz.layer_bars(report)
    viz.layer_bars(report, "flops")
    with pytest.raises(TypeError, match="these are no steps"):
        viz.accuracy_against_sparsity([0.5, 0.9])
    viz.accuracy_against_sparsity(steps((0.5, 0.9))[0])  # a single one is a curve of one point
    assert len(viz.weight_histograms(network(), network(), "0.weight").axes) == 2
