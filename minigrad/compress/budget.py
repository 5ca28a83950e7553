"""How many weights each layer can lose: the sensitivity scan for masks, and masks for a budget.

``sensitivity.py`` asks it of channels; this is the same question for single weights, with the
same answer: a curve for each layer, and one number, the drop that a layer may cause by itself for
what it saves, which decides for all of them. Budgets that masks can meet are a number of weights,
the bytes of the coded file, and a drop in accuracy. FLOPs are none of them: zeros are multiplied,
too.

Before this: ``sparse.py``, ``sensitivity.py``, ``stored.py``. Next: ``cuts.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ._select import select_masked
from .report import count_bytes
from .sensitivity import (
    Sensitivity,
    budget_limit,
    budget_not_met,
    check_amounts,
    check_drop,
    check_drop_budget,
    score_of,
    search,
)
from .sparse import apply_masks, sparse_masks
from .stored import coded_bytes, plain_copy

__all__ = ["fit_masks", "scan_masks"]

AMOUNTS = (0.5, 0.75, 0.875, 0.94, 0.97, 0.985, 0.99, 0.995)  # the interest is near the end


def scan_masks(
    model: Module,
    evaluate: Callable[[Module], float],
    *,
    amounts: Sequence[float] = AMOUNTS,
    criterion: str = "magnitude",
    names: Iterable[str] | None = None,
    generator=None,
) -> Sensitivity:
    """Measure what the network scores when each layer alone loses weights.

    Parameters
    ----------
    model : Module
        Left as it is. It may have masks: then these go on, and amounts are shares of all weights.
    evaluate : callable
        From a network to a number from 0 to 1, such as its accuracy on held-out data.
    amounts : sequence of float
        The shares to remove, in increasing order, above 0 and below 1.
    criterion, names, generator
        Which weights go: see `sparse_masks`.

    Notes
    -----
    Li, Kadav, Durdanovic, Samet and Graf (2017), section 3.2, do it with filters; Han, Pool, Tran
    and Dally (2015), figure 6, with weights.
    """
    amounts = check_amounts("scan_masks", amounts)
    results = {}
    for name in select_masked(model, names, "scan_masks"):
        options = dict(criterion=criterion, names=[name], generator=generator)
        masks = [sparse_masks(model, 1.0 - share, **options) for share in amounts]
        results[name] = [score_of(evaluate, _masked(model, mask)) for mask in masks]
    return Sensitivity(score_of(evaluate, plain_copy(model)), amounts, results, "weights")


def fit_masks(
    model: Module,
    sensitivity: Sensitivity | None = None,
    *,
    weights: float | None = None,
    bytes: float | None = None,
    drop: float | None = None,
    evaluate: Callable[[Module], float] | None = None,
    size: Callable[[Module], int] = coded_bytes,
    criterion: str = "magnitude",
    scope: str = "global",
    names: Iterable[str] | None = None,
    generator=None,
    steps: int = 14,
) -> dict[str, Tensor]:
    """Choose masks so that the network keeps to a budget.

    With `weights` or `bytes`: as few weights go as it takes. With `drop`: as many as it allows.

    Parameters
    ----------
    model : Module
        Left as it is.
    sensitivity : Sensitivity, optional
        From `scan_masks`: then every layer loses as much as costs a drop in proportion to its
        size. Without it, `scope` says whether weights compete globally or every layer loses the
        same share.
    weights : float or int, optional
        At most this share (a float up to 1), or this many (an int), stay.
    bytes : float or int, optional
        At most this share of the dense bytes, or this many, in the file.
    drop : float, optional
        The score may fall by at most this, say 0.01; measured with `evaluate`, without training.
    evaluate : callable, optional
        From a network to a number; needed for `drop`.
    size : callable, optional
        From a network to its bytes in the file; by default those of `save_compressed`. If the
        weights will be shared, share those of a copy in it, and count that.
    criterion, scope, names, generator
        See `sparse_masks`.
    steps : int
        How often the search halves its interval.

    Returns
    -------
    dict of str to Tensor
        For `attach_masks` or `apply_masks`.

    Raises
    ------
    BudgetError
        If the budget cannot be met; it says what was reached.
    ValueError
        If no budget is given, or one is out of range.
    """
    names = names if sensitivity is None else list(sensitivity.results)
    weights_of = select_masked(model, names, "fit_masks")
    sizes = {name: weight.parameter.numel() for name, weight in weights_of.items()}
    measures = {
        "weights": lambda masks: sum(int(mask.sum()) for mask in masks.values()),
        "bytes": lambda masks: size(_masked(model, masks)),
    }
    whole = {"weights": sum(sizes.values()), "bytes": count_bytes(plain_copy(model))}
    limits = {
        what: budget_limit("fit_masks", what, budget, whole[what])
        for what, budget in dict(weights=weights, bytes=bytes).items()
        if budget is not None
    }
    if not limits and drop is None:
        budgets = "weights, bytes or drop"
        raise ValueError(message("fit_masks", "no budget is given.", expect=budgets))
    if drop is not None:
        check_drop_budget("fit_masks", drop, evaluate)
    masks_at = _path(model, sensitivity, sizes, scope, criterion, generator)
    if not limits:
        return _as_many_as_allowed(model, masks_at, drop, evaluate, steps)

    def is_met(strength: float) -> bool:
        masks = masks_at(strength)
        return all(measures[what](masks) <= most for what, most in limits.items())

    if not is_met(1.0):
        reached = {what: measures[what](masks_at(1.0)) for what in limits}
        do = "raise the budget, scan larger amounts, or prune more of the parameters (names=)"
        raise budget_not_met("fit_masks", limits, reached, do)
    masks = masks_at(search(is_met, steps))
    if drop is not None:
        lost = score_of(evaluate, plain_copy(model)) - score_of(evaluate, _masked(model, masks))
        check_drop("fit_masks", lost, drop)
    return masks


def _as_many_as_allowed(model: Module, masks_at, drop: float, evaluate, steps: int) -> dict:
    """Return the last masks on the way whose network has not lost more than `drop`."""
    lowest = score_of(evaluate, plain_copy(model)) - drop

    def is_too_low(strength: float) -> bool:
        return score_of(evaluate, _masked(model, masks_at(strength))) < lowest

    return masks_at(search(is_too_low, steps, last_false=True) if is_too_low(1.0) else 1.0)


def _path(model: Module, sensitivity, sizes: dict, scope: str, criterion: str, generator):
    """Return a function from a strength, 0 (nothing goes) to 1 (the most), to masks."""
    seed = int(backend.generator(generator).integers(2**62)) if criterion == "random" else None

    def masks_at(strength: float) -> dict[str, Tensor]:
        keep = 1.0 - strength if sensitivity is None else _keeps(sensitivity, sizes, strength)
        rng = None if seed is None else np.random.default_rng(seed)  # the same order each time
        by = scope if sensitivity is None else "layer"
        how = dict(criterion=criterion, scope=by, names=list(sizes), generator=rng)
        return sparse_masks(model, keep, **how)

    return masks_at


def _keeps(sensitivity: Sensitivity, sizes: dict[str, int], strength: float) -> dict[str, float]:
    """Return the share that each layer keeps; `strength` goes from 0 (all) to 1 (the least).

    A layer may cost as much as it saves: the drop that it may cause is in proportion to its
    size. (Were it the same for all, a last layer of a thousand weights would be ruined to save
    them, where the first one spares them unnoticed.) The first piece of the way goes from nothing
    removed to what can go for free; the further ones from one drop at which a curve bends to the
    next.
    """
    ratios = {name: sizes[name] / max(sizes.values()) for name in sensitivity.results}
    bends = {
        max(sensitivity.baseline - score, 0.0) / ratios[name]
        for name, scores in sensitivity.results.items()
        for score in scores
    }
    bends = sorted({0.0, *bends})
    at = strength * len(bends)
    drop = float(np.interp(at - 1, np.arange(len(bends)), bends))
    amounts = sensitivity.amounts_for({name: drop * ratio for name, ratio in ratios.items()})
    return {name: 1.0 - min(at, 1.0) * share for name, share in amounts.items()}


def _masked(model: Module, masks: dict[str, Tensor]) -> Module:
    """Return a plain copy with the masks multiplied in."""
    copied = plain_copy(model)
    apply_masks(copied, masks)
    return copied
