"""Graphs for the tests of the step-through page, and how to read a page back.

`read` takes the contents out of a page that a test wrote, `assert_shows` holds one of its pictures
against an array, and `assert_well_formed` the whole against the rules of HTML.
"""

from __future__ import annotations

import base64
import json
import math
import re
from html.parser import HTMLParser

import numpy as np

import minigrad
from minigrad import nn
from minigrad.vision.models import lenet
from minigrad.viz._heatmap import NOTHING, ZERO

# ------------------------------------------------------------------------------ what is drawn


def fan_out() -> tuple:
    """b = a + a; c = b + b: dc/da is 4."""
    a = minigrad.tensor(3.0, requires_grad=True)
    b = a + a
    c = b + b
    return c, {"a": a, "b": b, "c": c}


def ten_nodes() -> tuple:
    """One neuron with a squared error and a penalty on its weight, which is used three times."""
    x = minigrad.tensor(2.0, requires_grad=True)
    w = minigrad.tensor(-3.0, requires_grad=True)
    bias = minigrad.tensor(6.9, requires_grad=True)
    h = (x * w + bias).tanh()
    loss = (h - 1.0) * (h - 1.0) + w * w * 0.1
    return loss, {"x": x, "w": w, "bias": bias, "h": h, "loss": loss}


def perceptron() -> tuple:
    """Arrays, small enough to be listed, with broadcasting and a mean."""
    rng = np.random.default_rng(0)
    x = minigrad.tensor(rng.standard_normal((4, 3)))
    w = minigrad.tensor(rng.standard_normal((3, 2)), requires_grad=True)
    b = minigrad.tensor(rng.standard_normal(2), requires_grad=True)
    s = minigrad.tensor(0.5, requires_grad=True)
    h = (x @ w + b).sigmoid()
    loss = (h * s).exp().mean() + (w * w).sum() * 0.01
    return loss, {"w": w, "b": b, "s": s}


def lenet_step() -> tuple:
    """The loss of LeNet on a batch of 32."""
    rng = np.random.default_rng(0)
    minigrad.manual_seed(0)
    model = lenet()
    images = minigrad.tensor(rng.random((32, 1, 28, 28)).astype(np.float32))
    labels = minigrad.tensor(rng.integers(0, 10, 32))
    loss = nn.functional.cross_entropy(model(images), labels)
    return loss, dict(model.named_parameters())


GRAPHS = {
    "fan_out": fan_out,
    "ten_nodes": ten_nodes,
    "perceptron": perceptron,
    "lenet": lenet_step,
}


def contents(page: str) -> dict:
    found = re.search(r'<script type="application/json" id="contents">(.*?)</script>', page)
    return json.loads(found[1])


def read(path) -> tuple[str, dict]:
    page = path.read_text(encoding="utf-8")
    return page, contents(page)


def number(x) -> float:
    return {"NaN": math.nan, "∞": math.inf, "−∞": -math.inf}[x] if isinstance(x, str) else x


def assert_shows(picture: dict, array: np.ndarray) -> None:
    """Fail unless a picture of the page is one of this array."""
    array = np.asarray(array, dtype=np.float64)
    assert tuple(picture["shape"]) == array.shape
    close = dict(rtol=5.1e-6, atol=1e-30)
    np.testing.assert_allclose(picture["low"], array.min(), **close)
    np.testing.assert_allclose(picture["high"], array.max(), **close)
    np.testing.assert_allclose(picture["norm"], np.linalg.norm(array), **close)
    if "values" in picture:
        values = np.array([[[number(x) for x in row] for row in t] for t in picture["values"]])
        np.testing.assert_allclose(values.reshape(array.shape), array, **close)
        return
    levels = decode(picture).astype(np.float64)
    if array.ndim < 2:  # wrapped into rows
        drawn, expected = levels[levels != NOTHING], array
    else:
        slices = array.reshape(-1, *array.shape[-2:])
        down, across = [
            math.ceil(full / part) for full, part in zip(slices.shape[1:], levels.shape[1:])
        ]
        drawn, expected = levels, slices[: len(levels), ::down, ::across]
    largest = np.abs(array).max()
    drawn = (drawn - ZERO) / (ZERO - 1) * largest
    np.testing.assert_allclose(drawn, expected, rtol=0, atol=largest / (ZERO - 1) * 0.501)


def decode(picture: dict) -> np.ndarray:
    pixels = np.frombuffer(base64.b64decode(picture["pixels"]), np.uint8)
    return pixels.reshape(picture["tiles"])


class _Checker(HTMLParser):
    """Collects tags that are not closed, ids, and the attributes of all elements."""

    VOID = {"meta", "input", "br", "link", "img", "hr", "path", "rect"}

    def __init__(self):
        super().__init__()
        self.open, self.elements = [], []

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open and self.open[-1] == tag, f"</{tag}> after {self.open[-3:]}"
            self.open.pop()


def assert_well_formed(text: str) -> list:
    checker = _Checker()
    checker.feed(text)
    checker.close()
    assert not checker.open, checker.open
    return checker.elements
