"""All derivatives of all outputs, one input entry at a time, each with its own doubt.

Where `slope_along` gives one number, the exerciser's checker wants to know more: with the whole
Jacobian it has the right gradient for *every* upstream gradient, and can ask what a mistake would
have produced (only the diagonal, only the last contribution, the transposed one).

Before this: ``differences.py``. Next: ``problem.py``, then ``evidence.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

_STEP = 4e-4  # near the fifth root of the rounding error, where the two errors are about equal
_SHRINK = (1, 16, 1 / 16, 1 / 256)  # larger for functions that are noisy, smaller near kinks
_ROUNDING = float(np.finfo(np.float64).eps)


@dataclass(frozen=True)
class Jacobian:
    """The derivatives of a vector function by entries of one array.

    Attributes
    ----------
    values : array, shape (outputs, entries)
        Zero at kinks.
    doubts : array, shape (outputs, entries)
        By how much they may be off.
    entries : array of int
        Which entries of the flattened array were looked at.
    kinks : array of bool, shape (entries,)
        True where the function has no derivative (or none that differences can see).
    """

    values: np.ndarray
    doubts: np.ndarray
    entries: np.ndarray
    kinks: np.ndarray


def jacobian(
    function: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    entries: Sequence[int] | None = None,
) -> Jacobian:
    """Differentiate all outputs by the entries of `x`.

    With D(h) the central difference and B(h) the forward less the backward one, as in
    `slope_along`, R(h) = (4 D(h/2) - D(h)) / 3 is the derivative up to the fourth power of h.
    R(h) and R(h/2) differ by what step and rounding together may have done to them.

    Parameters
    ----------
    function : callable
        An array like `x` to a float64 vector; NaN where it cannot be computed.
    x : array of float64
    entries : sequence of int, optional
        Which entries of the flattened `x` to look at; all by default.
    """
    middle = function(x)
    places = np.arange(x.size) if entries is None else np.asarray(entries, dtype=int)
    shape = (places.size, middle.size)  # the memory of one entry's derivatives in one piece
    found = Jacobian(np.zeros(shape).T, np.zeros(shape).T, places, np.zeros(places.size, bool))
    typical = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    with np.errstate(all="ignore"):
        noise = _noise(function, x) + _ROUNDING * abs(middle)
        for k, place in enumerate(places):
            for step in _steps(abs(float(x.flat[place])), typical):
                slope, doubt, smooth = _slope(function, middle, noise, x, place, step)
                if smooth:
                    found.values[:, k], found.doubts[:, k] = slope, doubt
                    break
            else:
                found.kinks[k] = True
    return found


def _steps(size: float, typical: float) -> list[float]:
    """Return the steps to try: relative to entries above 1, then to what is usual for the input."""
    steps = [_STEP * max(1.0, size) * shrink for shrink in _SHRINK]
    own = max(size, 1e-3 * typical)
    if 0 < own < 1 / 64:  # tiny numbers: log(1e-6) bends within the steps above
        steps += [_STEP * own * shrink for shrink in (16, 1, 1 / 16)]
    return steps


def _noise(function, x: np.ndarray) -> np.ndarray:
    """Return how much of each output is rounding: its third differences at tiny equal steps.

    Those of a smooth function vanish there. (After J. More and S. Wild, "Estimating Computational
    Noise", SIAM J. Sci. Comput. 33, 2011, which takes differences of higher order.)
    """
    typical = float(np.sqrt(np.mean(x * x))) if x.size else 0.0
    direction = np.random.default_rng(0).uniform(0.5, 1, x.shape) * np.maximum(abs(x), typical)
    found = []
    for spacing in (1e-8, 1e-7):
        values = [function(x + k * spacing * direction) for k in range(-3, 4)]
        found.append(abs(np.diff(values, n=3, axis=0)).max(axis=0) / 4)
    return np.nan_to_num(np.max(found, axis=0), nan=0.0, posinf=0.0)


def _slope(function, middle, noise, x, j, step) -> tuple[np.ndarray, np.ndarray, bool]:
    """Return the derivatives by entry `j`, their doubts, and whether they are to be trusted."""

    def moved(t):
        other = x.copy()
        other.flat[j] += t
        return function(other)

    steps = [step, step / 2, step / 4]
    ahead, behind = [moved(h) for h in steps], [moved(-h) for h in steps]
    central = [(a - b) / (2 * h) for a, b, h in zip(ahead, behind, steps)]
    bend = [(a - middle + (b - middle)) / h for a, b, h in zip(ahead, behind, steps)]
    slope = (4 * central[1] - central[0]) / 3
    finer = (4 * central[2] - central[1]) / 3
    if not slope.size:
        return slope, slope, True

    usual = float(abs(slope).max())  # the size of this column; NaN makes it not smooth
    height = float(abs(middle).max())
    floor = 1e-10 + 1e-9 * height / max(1.0, abs(float(x.flat[j])))
    tolerance = 1e-5 * abs(slope) + 1e-8 * usual
    tolerance += np.minimum(8 * noise / step, max(1e-3 * usual, floor))
    # At a kink in the middle the bend is the jump of the derivative, whatever the step; beside
    # the middle, the central differences depend on the step.
    change = np.maximum(abs(central[1] - central[0]), abs(bend[1] - bend[0] / 2))
    smooth = bool((change <= tolerance + 1e-10).all())
    return slope, abs(slope - finer) + noise / step, smooth
