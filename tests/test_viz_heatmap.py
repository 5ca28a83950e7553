"""Pictures of arrays show true entries, say what they leave out, and stay small."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from explain_pages import assert_shows, decode

from minigrad.viz._heatmap import FEW, NOT_FINITE, PIXELS, SIDE, Album, Picture

# ------------------------------------------------------------------------------- the pictures


@pytest.mark.parametrize(
    "shape",
    [(), (1,), (5,), (33,), (120,), (3, 4), (8, 6), (32, 10), (120, 400), (6, 1, 5, 5),
     (32, 6, 28, 28), (2, 3, 4), (300, 300), (2, 200, 300), (1, 100_000), (5000, 1), (100_000,)],
)  # fmt: skip
def test_a_picture_shows_its_array(shape):
    array = np.random.default_rng(1).standard_normal(shape).astype(np.float32)
    picture = Picture(array).as_json()
    assert picture["dtype"] == "float32"
    if shape == (100_000,):  # a long vector is wrapped and then thinned out
        assert picture["note"] == "in rows of 32; every 25th row"
        return
    assert_shows(picture, array)
    assert ("values" in picture) == (array.size <= FEW)
    if "pixels" in picture:
        assert decode(picture).size <= PIXELS and max(picture["tiles"][1:]) <= SIDE
        complete = decode(picture).size >= array.size
        assert complete == ("note" not in picture or picture["note"] == "in rows of 32")


def test_what_is_left_out_is_said():
    assert Picture(np.ones((32, 6, 28, 28))).note == "the first 6 of 192 slices"
    assert Picture(np.ones((120, 400))).note == "every 2nd row, every 5th column"
    assert Picture(np.ones((20, 20))).note == ""


def test_numbers_that_are_none():
    array = np.array([1.0, np.nan, np.inf, -np.inf])
    picture = Picture(array).as_json()
    assert picture["values"] == [[[1, "NaN", "∞", "−∞"]]]
    assert (picture["low"], picture["high"], picture["bad"]) == (1, 1, 3)
    assert picture["norm"] == "NaN"
    assert Picture(np.array([3.0, -np.inf])).as_json()["norm"] == "∞"
    large = np.full((10, 10), np.nan)
    large[0, 0] = -2
    levels = decode(Picture(large).as_json())
    assert levels[0, 0, 0] == 1 and (levels.reshape(-1)[1:] == NOT_FINITE).all()
    json.dumps(Picture(np.full((9, 9), np.inf)).as_json(), allow_nan=False)


@pytest.mark.parametrize("scale", [1e-300, 1e-40, 1e200])
def test_no_overflow_on_the_way(scale):
    picture = Picture(np.linspace(-1, 1, 100) * scale).as_json()
    assert picture["norm"] == pytest.approx(np.linalg.norm(np.linspace(-1, 1, 100)) * scale)


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_empty_arrays(shape):
    assert Picture(np.empty(shape)).as_json()["shape"] == list(shape)


@pytest.mark.parametrize("dtype", ["int64", "bool", "float16"])
def test_other_dtypes(dtype):
    array = np.arange(100).reshape(10, 10).astype(dtype)
    assert_shows(Picture(array).as_json(), array)


def test_an_album_holds_each_array_once_and_stays_small():
    album = Album(pixels=5000)
    rng = np.random.default_rng(0)
    first = rng.standard_normal((40, 50))
    assert album.add(first) == album.add(first.copy()) == 0
    assert album.add(first.astype(np.float32)) == 1
    for _ in range(20):
        album.add(rng.standard_normal((8, 30, 30)))
    small = album.add(rng.standard_normal((5, 10)))
    pictures = album.as_json()
    assert sum([math.prod(picture["tiles"]) for picture in pictures]) <= 5000
    assert math.prod(pictures[small]["tiles"]) == 50  # what is small is left as it is
    assert_shows(pictures[0], first)
