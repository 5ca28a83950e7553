"""Plans: how much is left after each round, along a curve from everything to the end.

A curve is a function of the progress, from 0 to 1: ``schedule(progress, final, start)``. It serves
rounds (``i / rounds``, in ``strategies.py``) as well as steps of training, as in
``examples/compress_mnist.py``, which removes a few weights every fifty steps.

Before this: ``cuts.py``. Next: ``strategies.py``, which follows the plans.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from .._errors import message
from ..nn.module import Module
from ._select import is_whole
from .cuts import Keep

__all__ = ["Schedule", "cubic", "curve", "exponential", "final_shares", "in_pairs"]

Schedule = Callable[[float, float, float], float]


def cubic(progress: float, final: float, start: float = 1.0) -> float:
    """Return what is left along a cubic curve: fast while there is much, slowly at the end.

    ``k = k_f + (k_0 - k_f) (1 - progress)^3``, with progress from 0 to 1.

    Notes
    -----
    Zhu and Gupta (2017), To prune, or not to prune: exploring the efficacy of pruning for model
    compression, equation 1, there for the sparsity s = 1 - k.
    """
    return final + (start - final) * (1.0 - progress) ** 3


def exponential(progress: float, final: float, start: float = 1.0) -> float:
    """Return what is left if each round takes the same share of what is there.

    ``k = k_0 (k_f / k_0)^progress``, with progress from 0 to 1.

    Notes
    -----
    So do Frankle and Carbin (2019), section 1: n rounds that each leave a share p^(1/n).
    """
    return start * (final / start) ** progress


SCHEDULES: dict[str, Schedule] = {"cubic": cubic, "exponential": exponential}


def _schedule(schedule: str | Schedule) -> Schedule:
    if callable(schedule):
        return schedule
    if schedule not in SCHEDULES:
        expect = f"{' or '.join(map(repr, SCHEDULES))}, or schedule(progress, final, start)"
        problem = "there is no such schedule."
        raise ValueError(message("strategy", problem, expect=expect, actual=repr(schedule)))
    return SCHEDULES[schedule]


def curve(keep: Keep, rounds: int, schedule: str | Schedule) -> list[Keep]:
    """Return what is left after each of so many rounds; of a dict, for each layer."""
    if not (is_whole(rounds) and rounds >= 1):
        problem, expect = "no such number of rounds.", "a whole number from 1 on"
        raise ValueError(message("strategy", problem, expect=expect, actual=repr(rounds)))
    schedule = _schedule(schedule)
    progress = [i / rounds for i in range(1, rounds + 1)]
    if not isinstance(keep, Mapping):
        return [schedule(p, keep, 1.0) for p in progress]
    return [{name: schedule(p, k, 1.0) for name, k in keep.items()} for p in progress]


def in_pairs(
    keep: Mapping[str, float], names: list[str], rounds: int, schedule: str | Schedule
) -> list[Keep]:
    """Return a plan that brings the first and the last layer to their shares, then the next pair.

    Parameters
    ----------
    keep : dict of str to float
        What is left of each layer in the end.
    names : list of str
        The layers, from the first to the last.
    rounds, schedule
        Of each pair; see `curve`.
    """
    plan = []
    for i in range((len(names) + 1) // 2):
        pair = {name: keep[name] for name in (names[i], names[-1 - i])}
        plan += curve(pair, rounds, schedule)  # the pairs before it keep what they have
    return plan


def final_shares(keep: Keep, cut, model: Module) -> Keep:
    """Return the final keep as shares; whole numbers are of what the cut measures."""
    if isinstance(keep, Mapping):
        unknown = [name for name in keep if name not in cut.layers(model)]
        if unknown:
            problem, expect = f"there is no {unknown[0]!r} to cut.", cut.layers(model)
            raise ValueError(message("strategy", problem, expect=expect, actual=list(keep)))
        return {name: _share(value, None) for name, value in keep.items()}
    return _share(keep, cut.whole(model))


def _share(keep: float, whole: int | None) -> float:
    is_number = isinstance(keep, (int, float, np.number)) and not isinstance(keep, bool)
    is_count = isinstance(keep, (int, np.integer)) and whole is not None
    if not is_number or not 0 < keep <= (whole if is_count else 1):
        count = "" if whole is None else f", or a whole number up to {whole:,}"
        problem, expect = "keep is out of range.", f"a share above 0, up to 1{count}"
        raise ValueError(message("strategy", problem, expect=expect, actual=repr(keep)))
    return keep / whole if is_count else float(keep)
