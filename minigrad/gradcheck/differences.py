"""Differences of a function, on plain arrays: what a gradient is compared with.

`slope_along` differentiates along one direction and notices kinks; `compare` moves all entries of
an input at once, and halves the set of entries where the claim fails, until it knows which are at
fault. Nothing here knows of tensors.

Before this: the paragraph in ``__init__.py``. Next: ``report.py``, then ``check.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .._errors import message
from .report import Entry, InputReport


@dataclass(frozen=True)
class Settings:
    """How strictly to compare; `gradcheck` says what the numbers mean."""

    eps: float = 1e-4
    atol: float = 1e-8
    rtol: float = 1e-5
    max_kinks: float = 0.1
    mode: str = "directions"
    directions: int = 2
    nondet_tol: float = 0.0

    def __post_init__(self):
        whole = isinstance(self.directions, int) and self.directions >= 1
        for name, fits, expect in (
            ("eps", 0 < self.eps < math.inf, "a number above 0"),
            ("atol", 0 <= self.atol < math.inf, "a number from 0 on"),
            ("rtol", 0 <= self.rtol < math.inf, "a number from 0 on"),
            ("nondet_tol", 0 <= self.nondet_tol < math.inf, "a number from 0 on"),
            ("max_kinks", 0 <= self.max_kinks <= 1, "a share from 0 to 1"),
            ("mode", self.mode in ("directions", "entries"), "'directions' or 'entries'"),
            ("directions", whole, "an int from 1 on"),
        ):
            if not fits:
                actual = repr(getattr(self, name))
                problem = "not a possible value."
                raise ValueError(
                    message(f"gradcheck {name}", problem, expect=expect, actual=actual)
                )

    def __str__(self) -> str:
        return f"random upstream; step {self.eps:g}, atol {self.atol:g}, rtol {self.rtol:g}"


_SHRINK = (1, 1 / 16, 1 / 256)  # the steps that are tried, in units of eps
_ROUNDING = float(np.finfo(np.float64).eps)
_ENOUGH = 100  # wrong entries of one input, after which no more are looked for


def slope_along(
    outputs: Callable[[float], np.ndarray],
    middle: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
) -> tuple[float, float, bool]:
    """Return the derivative of ``<weights, outputs(t)>`` at t = 0, by differences.

    With D(h) the central difference and B(h) the forward less the backward one,

        D(h) = (f(h) - f(-h)) / 2h            = f' + c h^2 + ...
        B(h) = (f(h) - 2 f(0) + f(-h)) / h    = h f'' + ...

    a smooth f has D(h) = D(h/2) and B(h/2) = B(h) / 2, up to small terms, and (4 D(h/2) - D(h)) / 3
    is f' up to the fourth power of h. At a kink in the middle, B is the jump of the derivative
    whatever the step, and beside the middle D depends on the step; so one of the two shows every
    kink that matters. Then smaller steps are tried, which may no longer reach it.

    Parameters
    ----------
    outputs : callable
        t to a vector.
    middle : array
        ``outputs(0)``.
    weights : array
        The upstream gradient, as a vector.

    Returns
    -------
    slope : float
        The derivative.
    noise : float
        How much of it may be rounding.
    smooth : bool
        False where the function has no derivative (or none that differences can see).
    """
    with np.errstate(all="ignore"):
        size = float(abs(weights) @ abs(middle))
        for shrink in _SHRINK:
            h = settings.eps * shrink
            central, bend = [], []
            for step in (h, h / 2):
                ahead, behind = outputs(step), outputs(-step)
                central.append(float(weights @ (ahead - behind)) / (2 * step))
                bend.append(float(weights @ (ahead - middle + (behind - middle))) / step)
            slope = (4 * central[1] - central[0]) / 3
            doubt = max(abs(central[1] - central[0]), abs(bend[1] - bend[0] / 2))
            noise = 8 * _ROUNDING * size / h
            tolerance = settings.atol + settings.rtol * abs(slope) + noise
            if doubt <= tolerance < math.inf:
                return slope, noise, True
    return slope, noise, False


def compare(
    function: Callable[[list[np.ndarray]], np.ndarray],
    arrays: list[np.ndarray],
    gradients: list[np.ndarray],
    weights: np.ndarray,
    reports: list[InputReport],
    settings: Settings,
    rng: np.random.Generator,
) -> None:
    """Compare gradients with differences of `function`, and write what is found into `reports`.

    Parameters
    ----------
    function : callable
        A list of float64 arrays to a vector of all outputs.
    arrays : list of array
        The inputs.
    gradients : list of array
        What is claimed to be the gradient of ``<weights, function(arrays)>`` for each input.
    weights : array
        The upstream gradient, as a vector.
    reports : list of InputReport
        One for each input; entries already known to be wrong or kinks are left out.
    """
    middle = function(arrays)
    for i, (x, gradient, report) in enumerate(zip(arrays, gradients, reports)):
        x, gradient = x.ravel(), gradient.ravel()
        # Steps are relative to entries larger than 1; no two entries move by the same amount.
        direction = random_upstream(x.shape, rng) * np.maximum(1, abs(x))
        left = np.array([j for j in range(x.size) if j not in report.kinks], dtype=int)
        pending = [left] if settings.mode == "directions" else list(left[::-1, None])
        while pending:
            entries = pending.pop()
            if not entries.size:
                continue

            def outputs(t, i=i, x=x, entries=entries, direction=direction):
                moved = x.copy()
                moved[entries] += t * direction[entries]
                return function([*arrays[:i], moved.reshape(arrays[i].shape), *arrays[i + 1 :]])

            v = direction[entries]
            numeric, noise, smooth = slope_along(outputs, middle, weights, settings)
            parts = gradient[entries] * v
            tolerance = settings.atol * _norm(v) + settings.rtol * _norm(parts) + noise
            with np.errstate(invalid="ignore"):
                right = abs(parts.sum() - numeric) <= tolerance < math.inf  # False for NaN
            if smooth and right:
                continue
            if entries.size > 1:  # is it this half or that one?
                half = entries.size // 2
                pending += [entries[half:], entries[:half]]
                continue
            place = int(entries[0])
            if not smooth:
                report.kinks.add(place)
            else:
                index = tuple(int(n) for n in np.unravel_index(place, report.shape))
                report.wrong[place] = Entry(index, float(gradient[place]), numeric / float(v[0]))
            report.too_many_kinks = len(report.kinks) > settings.max_kinks * x.size
            if len(report.wrong) >= _ENOUGH or (report.too_many_kinks and not report.wrong):
                report.complete = not pending
                break


def _norm(v: np.ndarray) -> float:
    with np.errstate(all="ignore"):
        return math.sqrt(float(v @ v))


def random_upstream(shape: tuple, rng: np.random.Generator) -> np.ndarray:
    """Return numbers of size 0.5 to 1.5 with random signs: none near 0, no two equal."""
    return np.asarray(rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape))
