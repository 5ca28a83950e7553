"""Arrays as small pictures: what of an array the step-through page shows, and in how many bytes.

A page must stay small, and a batch of activations is large. So an array becomes a `Picture`: its
shape, its range and norm (of all entries, always), every value where there are few, and else
pixels of one byte each. Every pixel is one entry of the array, none is an average: the first
slices are taken, and of a large slice every k-th row and column; `Picture.note` says so, and the
page shows the note. `Album` holds each picture once, and when all are in, shrinks the largest
until they fit together.

Before this: ``_source.py``. Next: ``_drawing.py``, then ``explain.py``, which fills the album.
"""

from __future__ import annotations

import base64
import hashlib
import math

import numpy as np

FEW = 40  # so many values are written out in full
ROW = 32  # a long vector is drawn in rows of this length
PIXELS, SIDE = 4800, 128  # no picture has more, none is longer or wider
ZERO, NOTHING, NOT_FINITE = 127, 254, 255  # the levels 1 .. 253 stand for -max .. max


class Picture:
    """What the page knows about one array.

    Parameters
    ----------
    array : numpy.ndarray
    pixels : int
        How many entries to draw at most.
    """

    def __init__(self, array: np.ndarray, pixels: int = PIXELS):
        self.shape, self.dtype, self.size = array.shape, array.dtype.name, array.size
        flat = array.astype(np.float64).reshape(-1)
        finite = flat[np.isfinite(flat)]
        self.not_finite = flat.size - finite.size
        self.low, self.high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
        largest = max(abs(self.low), abs(self.high))
        scale = largest or 1.0
        self.norm = float(np.linalg.norm(finite / scale) * scale)  # no overflow on the way
        if self.not_finite:
            self.norm = math.nan if np.isnan(flat).any() else math.inf
        self.tiles = self.values = None
        self.wrapped = array.ndim < 2
        if array.size <= FEW:
            tiles = _tiles(flat, array.shape)
            self.values = [[[number(x) for x in row] for row in tile] for tile in tiles]
        else:
            levels = _quantize(flat, scale)
            if self.wrapped:
                missing = -array.size % ROW
                levels = np.append(levels, np.full(missing, NOTHING, np.uint8)).reshape(-1, ROW)
            tiles = levels[None] if self.wrapped else _tiles(levels, array.shape)
            self.total, self.steps = tiles.shape, (1, 1)
            self.tiles = self._sample(tiles, pixels)

    def _sample(self, tiles: np.ndarray, pixels: int) -> np.ndarray:
        """Return at most `pixels` entries: every k-th row and column, then the first tiles."""
        count, height, width = tiles.shape
        down, across = -(-height // SIDE) or 1, -(-width // SIDE) or 1
        limit = max(1, min(pixels, ROW * ROW if count > 1 else pixels))
        while -(-height // down) * -(-width // across) > limit:
            if -(-height // down) > -(-width // across):
                down += 1
            else:
                across += 1
        tiles = tiles[:, ::down, ::across]
        taken = max(1, min(len(tiles), pixels // (tiles.shape[1] * tiles.shape[2])))
        if taken > 2 and taken < count and len(self.shape) == 4:
            samples = self.shape[1]  # whole samples look better than the half of one
            taken = taken // samples * samples or taken
        self.steps = (self.steps[0] * down, self.steps[1] * across)
        self.taken = taken
        return np.ascontiguousarray(tiles[:taken])

    def shrink(self, pixels: int) -> None:
        """Draw fewer entries."""
        if self.tiles is not None and self.tiles.size > pixels:
            self.tiles = self._sample(self.tiles, pixels)

    @property
    def note(self) -> str:
        """Which entries are drawn, in words; empty if all are."""
        if self.tiles is None:
            return ""
        parts = []
        if self.taken < self.total[0]:
            parts.append(f"the first {self.taken} of {self.total[0]} slices")
        down, across = self.steps
        if self.wrapped:
            parts.append(f"in rows of {ROW}")
        thinned = [f"every {_ordinal(down)} row"] if down > 1 else []
        thinned += [f"every {_ordinal(across)} column"] if across > 1 else []
        parts += [", ".join(thinned)] if thinned else []
        return "; ".join(parts)

    def as_json(self) -> dict:
        """Return what the page's script reads."""
        result = {
            "shape": list(self.shape),
            "dtype": self.dtype,
            "low": number(self.low),
            "high": number(self.high),
            "norm": number(self.norm),
        }
        if self.not_finite:
            result["bad"] = self.not_finite
        if self.tiles is None:
            result["values"] = self.values
        else:
            result["tiles"] = list(self.tiles.shape)
            result["pixels"] = base64.b64encode(self.tiles.tobytes()).decode("ascii")
            if self.note:
                result["note"] = self.note
        return result


class Album:
    """The pictures of a page, each array once.

    Parameters
    ----------
    pixels : int
        How many entries may be drawn in all pictures together; a page pays 4/3 bytes for each.
    """

    def __init__(self, pixels: int = 150_000):
        self.pixels = pixels
        self.pictures: list[Picture] = []
        self._places: dict = {}

    def add(self, array: np.ndarray) -> int:
        """Take a picture of an array, and return its number."""
        key = (array.shape, array.dtype.str, hashlib.sha1(array.tobytes()).digest())
        if key not in self._places:
            self._places[key] = len(self.pictures)
            self.pictures.append(Picture(array))
        return self._places[key]

    def as_json(self) -> list[dict]:
        """Shrink the largest pictures until all fit, and return them all."""
        sizes = [p.tiles.size for p in self.pictures if p.tiles is not None]
        cap = PIXELS
        while sum([min(size, cap) for size in sizes]) > self.pixels and cap > 16:
            cap = cap * 7 // 8
        for picture in self.pictures:
            picture.shrink(cap)
        return [picture.as_json() for picture in self.pictures]


def number(x: float):
    """Return a number with six digits, as JSON knows it; what JSON does not know, as text."""
    x = float(x)
    if not math.isfinite(x):
        return "NaN" if x != x else "∞" if x > 0 else "−∞"
    x = float(f"{x:.6g}")
    return int(x) if x.is_integer() and abs(x) < 1e6 else x


def _tiles(flat: np.ndarray, shape: tuple) -> np.ndarray:
    """Return the entries of an array as (slices, rows, columns)."""
    rows, columns = (1, 1, *shape)[-2:]
    slices = math.prod(shape[:-2])
    return flat.reshape(slices, rows, columns)


def _quantize(flat: np.ndarray, scale: float) -> np.ndarray:
    finite = np.isfinite(flat)
    levels = np.rint(np.where(finite, flat, 0) / scale * (ZERO - 1))
    return np.where(finite, ZERO + levels, NOT_FINITE).astype(np.uint8)


def _ordinal(n: int) -> str:
    ending = "th" if 10 <= n % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
