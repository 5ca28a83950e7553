"""The plots: what is drawn is read back from the figure, and held against numbers made by hand."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import arr

import minigrad
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.training import fit
from minigrad.vision import models

pytest.importorskip("matplotlib")
from minigrad.viz import plots  # noqa: E402
from minigrad.viz._figure import mosaic  # noqa: E402

ROOT = Path(__file__).parent.parent


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


# ----------------------------------------------------------------------------------- figures


def test_a_figure_belongs_to_no_window_and_shows_itself_in_a_notebook():
    code = (
        "import sys; from minigrad.viz import plots; "
        "figure = plots.training_curves({'loss': [1.0]}); "
        "assert figure._repr_png_().startswith(b'\\x89PNG'); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_minigrad_and_its_viz_do_not_import_matplotlib():
    code = (
        "import sys, minigrad; from minigrad.viz import plots; "
        "assert 'matplotlib' not in sys.modules; sys.modules['matplotlib'] = None\n"
        "try: plots.training_curves({'loss': [1.0]})\n"
        "except ImportError as error: assert '.[examples]' in str(error), error\n"
        "else: raise SystemExit('no error')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_mosaic():
    images = np.arange(3 * 2 * 2).reshape(3, 2, 2)
    made = mosaic(images, columns=2)
    assert made.shape == (5, 5)
    np.testing.assert_array_equal(made[:2, :2], images[0])
    np.testing.assert_array_equal(made[:2, 3:], images[1])
    np.testing.assert_array_equal(made[3:, :2], images[2])
    assert np.isnan(made[2]).all()
    assert np.isnan(made[:, 2]).all()
    assert np.isnan(made[3:, 3:]).all()


# ----------------------------------------------------------------------------- training curves


def test_training_curves():
    history = {"loss": [2.0, 1.0], "accuracy": [0.3, 0.6], "val_loss": [1.5, 0.9]}
    figure = plots.training_curves(history)
    lines = [[list(line.get_ydata()) for line in axes.get_lines()] for axes in figure.axes]
    assert lines == [[[2.0, 1.0], [1.5, 0.9]], [[0.3, 0.6]]]
    assert any("validation may be ahead" in text for text in texts(figure))
    alone = plots.training_curves({"loss": [2.0]})
    assert not any("ahead" in text for text in texts(alone))


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"val_loss": [1.0]}])
def test_no_training_curves(history):
    with pytest.raises(ValueError, match="the history is empty"):
        plots.training_curves(history)


# ---------------------------------------------------------------------- confusion and mistakes


def test_confusion_matrix():
    labels, guesses = minigrad.tensor([0, 0, 1, 2, 2, 2]), minigrad.tensor([0, 1, 1, 0, 0, 2])
    figure = plots.confusion_matrix(labels, guesses, ["cat", "dog", "bird"])
    (axes,) = figure.axes
    drawn = {tuple(map(round, t.get_position()[::-1])): int(t.get_text()) for t in axes.texts}
    assert drawn == {(0, 0): 1, (0, 1): 1, (1, 1): 1, (2, 0): 2, (2, 2): 1}  # (true, predicted)
    assert axes.get_title().startswith("3 of 6 right")
    assert "bird" in texts(figure)
    plots.confusion_matrix([0, 1], [0, 1])  # no mistakes at all
    plots.confusion_matrix([0, 0], [0, 0])  # one class


@pytest.mark.parametrize(
    "arguments, error, words",
    [
        (([0, 1], [0]), ValueError, "do not pair up"),
        (([], []), ValueError, "do not pair up"),
        (([0, 1], [[0.1, 0.9], [0.8, 0.2]]), ValueError, r"logits.argmax"),
        (([0.0, 1.0], [0, 1]), TypeError, "whole numbers"),
        (([0, -1], [0, 1]), IndexError, "labels is no class"),
        (([0, 1], [0, 2], ["a", "b"]), IndexError, "predictions is no class"),
    ],
)
def test_confusion_matrix_of_nonsense(arguments, error, words):
    arguments = [np.array(a) if i < 2 else a for i, a in enumerate(arguments)]
    with pytest.raises(error, match=words):
        plots.confusion_matrix(*arguments)


def test_worst_mistakes():
    logits = np.array([[5.0, 0, 0], [0, 9, 0], [0, 0, 2], [3, 0, 0]])
    labels, images = np.array([0, 0, 1, 2]), np.zeros((4, 1, 5, 5))
    figure = plots.worst_mistakes(images, labels, logits, classes=["a", "b", "c"])
    titles = [axes.get_title() for axes in figure.axes]
    assert [title.split()[0] + title.split()[-1] for title in titles] == ["ba", "ac", "cb"]
    assert len(plots.worst_mistakes(images, labels, logits, count=1).axes) == 1
    right = plots.worst_mistakes(images[:1], labels[:1], logits[:1])
    assert "no mistakes" in texts(right)
    with pytest.raises(ValueError, match="do not pair up"):
        plots.worst_mistakes(images, labels[:2], logits)


def test_filters():
    weight = np.random.default_rng(0).standard_normal((6, 3, 5, 5))
    (axes, _) = plots.filters(weight, count=4, columns=4).axes
    drawn = axes.get_images()[0].get_array()
    assert drawn.shape == (5, 23)
    np.testing.assert_allclose(drawn[:, 6:11], weight[1].mean(0))
    assert "the first 4 of 6" in axes.get_title()
    plots.filters(nn.Linear(16, 3).weight)
    for shape in ((4, 10), (4,), (1, 2, 3)):
        with pytest.raises(ValueError, match="filters"):
            plots.filters(np.zeros(shape))


# ------------------------------------------------------------------------------ activation maps


def test_activation_maps_are_what_the_layers_return():
    minigrad.manual_seed(1)
    model = models.lenet().train()
    image = minigrad.rand(1, 28, 28)
    figure = plots.activation_maps(model, image, ["0", "3"], count=4, columns=4)
    first, second = [axes.get_images()[0].get_array() for axes in figure.axes[1:]]
    x = image.reshape(1, 1, 28, 28)
    np.testing.assert_allclose(first[:, 29:57], arr(model[0](x).detach())[0, 1], rtol=1e-6)
    inner = arr(model[:4](x).detach())[0]
    np.testing.assert_allclose(second[:, 22:32], inner[2], rtol=1e-6)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "the image"
    assert titles[2] == "3: Conv2d, 10 x 10, the first 4 of 16 channels"


def test_activation_maps_leave_the_model_alone():
    model = models.cnn().train()
    model[1].eval()
    modes, state = [m.training for m in model.modules()], model.state_dict()
    image, random = minigrad.rand(1, 1, 28, 28), minigrad.get_rng_state()
    figure = plots.activation_maps(model, image)
    assert len(figure.axes) == 1 + 8  # the image, and the layers up to the last pooling
    assert modes == [m.training for m in model.modules()]
    assert minigrad.get_rng_state() == random
    assert not any(m._forward_hooks for m in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(state[name]))


def test_activation_maps_of_colours_and_of_a_layer_in_a_layer():
    model = nn.Sequential(nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()), nn.Flatten())
    figure = plots.activation_maps(model, np.random.default_rng(0).random((3, 8, 8)), ["0", "0.1"])
    assert len(figure.axes) == 3


def test_activation_maps_of_nonsense():
    model = models.lenet()
    with pytest.raises(ValueError, match="not one image"):
        plots.activation_maps(model, minigrad.rand(2, 1, 28, 28))
    with pytest.raises(ValueError, match="not one image"):
        plots.activation_maps(model, minigrad.rand(28, 28))
    with pytest.raises(AttributeError, match="no module 'conv9'"):
        plots.activation_maps(model, minigrad.rand(1, 28, 28), ["conv9"])
    with pytest.raises(ValueError, match="'7' returned no images"):
        plots.activation_maps(model, minigrad.rand(1, 28, 28), ["0", "7"])
    with pytest.raises(ValueError, match="no layer returned no images"):
        plots.activation_maps(models.mlp(), minigrad.rand(1, 28, 28))
    with pytest.raises(TypeError, match="not a network"):
        plots.activation_maps(print, minigrad.rand(1, 28, 28))
    assert not any(m._forward_hooks for m in model.modules())  # also after an error


# ---------------------------------------------------------------------------- gradients, steps


def test_gradient_flow():
    gradients = {
        "a.weight": np.array([[3.0, -4.0]]),
        "a.bias": minigrad.tensor([2.0]),
        "b.weight": np.zeros((2, 2)),
        "c.weight": None,
        "d.weight": np.array([np.nan]),
    }
    figure = plots.gradient_flow(gradients)
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.containers[0]] + [
        bar.get_height() for bar in axes.containers[1]
    ]
    assert heights == pytest.approx([12.5**0.5, 2.0])  # root mean squares
    lines = [line.get_ydata()[0] for line in axes.get_lines()]
    assert lines == pytest.approx([4.0, 2.0])  # the largest
    assert [t.get_text() for t in axes.texts] == ["all zero", "none", "not finite"]
    assert [t.get_text() for t in axes.get_xticklabels()] == list(gradients)


def test_gradient_flow_of_a_model():
    model = models.mlp()
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        plots.gradient_flow(model)
    F.cross_entropy(model(minigrad.rand(4, 784)), minigrad.tensor([0, 1, 2, 3])).backward()
    heights = [c[0].get_height() for c in plots.gradient_flow(model).axes[0].containers]
    expected = [float(np.sqrt((arr(p.grad) ** 2).mean())) for p in model.parameters()]
    assert heights == pytest.approx(expected, rel=1e-5)
    with pytest.raises(TypeError, match="no gradients in this"):
        plots.gradient_flow([1, 2])
    with pytest.raises(ValueError, match="no parameter has a gradient"):
        plots.gradient_flow({})


def test_update_ratios_by_hand():
    model = nn.Linear(2, 1)
    model.weight.data[...] = minigrad.tensor([[3.0, 4.0]])
    ratios = plots.UpdateRatios(model)
    model.weight.data += minigrad.tensor([[0.3, 0.4]])
    ratios.record()
    ratios.record()
    assert ratios.history["weight"] == pytest.approx([0.1, 0.0], abs=1e-6)
    (axes,) = plots.update_ratios(ratios).axes
    drawn = axes.get_lines()[0].get_ydata()
    assert drawn[0] == pytest.approx(0.1, rel=1e-5)
    assert np.isnan(drawn[1])  # 0 has no logarithm


def test_update_ratios_as_a_callback():
    """SGD's first step is lr * gradient, so the ratio is known."""
    model = models.mlp()
    x, y = minigrad.rand(8, 784), minigrad.randint(0, 10, (8,))
    F.cross_entropy(model(x), y).backward()
    w = model[1].weight
    expected = 0.1 * np.linalg.norm(arr(w.grad)) / np.linalg.norm(arr(w.detach()))
    ratios = plots.UpdateRatios(model)
    fit(
        model, (x, y), epochs=3, batch_size=8, loss="cross_entropy", callbacks=[ratios],
        optimizer=lambda p: optim.SGD(p, lr=0.1), progress=False,
    )  # fmt: skip
    assert set(ratios.history) == {"1.weight", "3.weight"}
    assert len(ratios.history["1.weight"]) == 3
    assert ratios.history["1.weight"][0] == pytest.approx(expected, rel=1e-3)


def test_update_ratios_of_nonsense():
    with pytest.raises(TypeError, match="not a network"):
        plots.UpdateRatios(3)
    with pytest.raises(ValueError, match="no weights"):
        plots.UpdateRatios(nn.ReLU())
    for nothing in ({}, {"a": []}, plots.UpdateRatios(models.mlp()), [1.0]):
        with pytest.raises(ValueError, match="no step to draw"):
            plots.update_ratios(nothing)


# ------------------------------------------------------------------------------------ borders


def image_of(figure):
    return figure.axes[0].get_images()[0].get_array()


def halves(points):
    """Logits of two classes: the sign of the first coordinate."""
    return minigrad.cat([-3.0 * points[:, :1], 3.0 * points[:, :1]], 1)


POINTS = np.array([[-1.0, 0.0], [1.0, 0.5], [0.5, -1.0], [-0.5, 1.0]])


def test_decision_boundary():
    figure = plots.decision_boundary(halves, POINTS, [0, 1, 1, 1], resolution=40)
    (axes,) = figure.axes
    assert axes.get_title().startswith("3 of 4 right")
    shades = image_of(figure)
    assert shades.shape == (40, 40, 3)
    from matplotlib.colors import to_rgb

    left, right = shades[:, 0].mean(0), shades[:, -1].mean(0)
    for shade, colour in ((left, "#0072b2"), (right, "#e69f00")):
        faint = 1 - np.array(to_rgb(colour))  # what white lacks, in the same proportions
        np.testing.assert_allclose((1 - shade) / (1 - shade).max(), faint / faint.max(), atol=1e-6)
    middle = shades[:, 19:21].mean((0, 1))
    assert middle.min() > right.min() + 0.2  # pale where unsure
    borders = [path for c in axes.collections if hasattr(c, "levels") for path in c.get_paths()]
    xs = np.concatenate([path.vertices[:, 0] for path in borders])
    np.testing.assert_allclose(xs, 0, atol=1e-6)


def test_decision_boundary_is_not_upside_down():
    above = plots.decision_boundary(lambda x: 3.0 * x[:, 1], POINTS, [0, 1, 0, 1], resolution=20)
    (drawn,) = above.axes[0].get_images()
    assert drawn.origin == "lower"
    low, high = drawn.get_array()[0, 0], drawn.get_array()[-1, 0]
    assert low[2] > low[0]  # blue, class 0
    assert high[0] > high[2]  # orange, class 1
    assert drawn.get_extent()[2] < -1 < 1 < drawn.get_extent()[3]


@pytest.mark.parametrize(
    "model",
    [
        lambda x: 3.0 * x[:, :1],  # one logit a point
        lambda x: 3.0 * x[:, 0],
        lambda x: (3.0 * x[:, :1]).sigmoid(),  # one probability
        lambda x: halves(x).softmax(1),  # rows of probabilities
    ],
)
def test_decision_boundary_of_other_outputs(model):
    figure = plots.decision_boundary(model, POINTS, minigrad.tensor([[0], [1], [1], [1]]))
    assert figure.axes[0].get_title().startswith("3 of 4 right")


def test_decision_boundary_of_a_module():
    model = nn.Sequential(
        nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 3)
    ).double()
    state = model.state_dict()
    plots.decision_boundary(model, POINTS, [0, 1, 2, 0], classes=["a", "b", "c"], resolution=10)
    assert all(m.training for m in model.modules())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(arr(value), arr(state[name]))


def test_decision_boundary_of_nonsense():
    labels = [0, 1, 1, 1]
    with pytest.raises(ValueError, match="not points in the plane"):
        plots.decision_boundary(halves, np.zeros((4, 3)), labels)
    with pytest.raises(ValueError, match="not points in the plane"):
        plots.decision_boundary(halves, POINTS, labels[:2])
    with pytest.raises(ValueError, match="not points in the plane"):
        plots.decision_boundary(halves, POINTS[:0], [])
    with pytest.raises(ValueError, match="whole numbers"):
        plots.decision_boundary(halves, POINTS, [0, 1, 0.5, 1])
    with pytest.raises(ValueError, match="whole numbers"):
        plots.decision_boundary(halves, POINTS, [0, 1, -1, 1])
    with pytest.raises(IndexError, match="none of the model's classes"):
        plots.decision_boundary(halves, POINTS, [0, 1, 2, 1])
    with pytest.raises(ValueError, match="one row for each point"):
        plots.decision_boundary(lambda x: x.sum(), POINTS, labels)
    with pytest.raises(ValueError, match="too few places"):
        plots.decision_boundary(halves, POINTS, labels, resolution=1)


def test_on_a_device(device):
    model = models.lenet().to(device)
    image = minigrad.rand(1, 1, 28, 28).to(device)
    labels = minigrad.tensor([3]).to(device)
    assert len(plots.activation_maps(model, image).axes) == 7
    ratios = plots.UpdateRatios(model)
    logits = model(image)
    F.cross_entropy(logits, labels).backward()
    optim.SGD(model.parameters(), lr=0.1).step()
    ratios.record()
    assert all(0 < values[0] < 1 for values in ratios.history.values())
    plots.update_ratios(ratios)
    plots.gradient_flow(model)
    plots.filters(model[0].weight)
    plots.confusion_matrix(labels, logits.argmax(1))
    plots.worst_mistakes(image, labels, logits)
    toy = nn.Linear(2, 2).to(device)
    points = minigrad.tensor(POINTS).to(device)
    plots.decision_boundary(toy, points, minigrad.tensor([0, 1, 1, 1]).to(device), resolution=9)


# --------------------------------------------------------------------------------- the example


@pytest.mark.parametrize("data", ["moons", "spiral"])
def test_the_example(tmp_path, data):
    command = [sys.executable, str(ROOT / "examples/moons.py"), "--data", data]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(done.stdout.split("300 new points: ")[1].split("%")[0])
    assert accuracy > 96
    assert (tmp_path / "runs" / "moons" / f"{data}.png").read_bytes().startswith(b"\x89PNG")


def test_the_toy_data():
    """Moons lie on two circles, spirals on r = angle / 4, up to the noise."""
    spec = importlib.util.spec_from_file_location("moons", ROOT / "examples/moons.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    points, labels = example.moons(400, noise=0.0)
    assert points.dtype == np.float32
    assert np.bincount(labels).tolist() == [200, 200]
    centres = np.array([[0.0, 0.0], [1.0, 0.5]])[labels]
    np.testing.assert_allclose(np.linalg.norm(points - centres, axis=1), 1, atol=1e-6)
    points, labels = example.spiral(300, noise=0.0)
    radius = np.linalg.norm(points, axis=1)
    angle = np.arctan2(points[:, 1], points[:, 0]) - 4 * radius - 2 * np.pi * labels / 3
    np.testing.assert_allclose(np.cos(angle), 1, atol=1e-5)
    assert not np.array_equal(example.moons(10, seed=0)[0], example.moons(10, seed=1)[0])


def test_filters_says_nothing_of_which_layer_and_wants_a_weight():
    figure = plots.filters(minigrad.randn(4, 2, 3, 3))
    assert "filters: all 4" in texts(figure)
    with pytest.raises(TypeError, match=r"a layer has several tensors(.|\n)*\.weight"):
        plots.filters(nn.Conv2d(1, 2, 3))


def test_what_is_no_history_and_no_count():
    with pytest.raises(TypeError, match="training_curves: this is no history"):
        plots.training_curves(None)
    images, labels, logits = minigrad.zeros(3, 4, 4), minigrad.tensor([0, 1, 1]), minigrad.eye(3)
    with pytest.raises(ValueError, match="worst_mistakes: count is none"):
        plots.worst_mistakes(images, labels, logits, 0)
