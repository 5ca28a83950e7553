"""How much each layer can lose: the sensitivity scan, and removals that keep to a budget.

Layers differ. Some can lose nine channels of ten, others fall over after two. The scan finds out
by trying: each layer alone, at several amounts, evaluated without any training. Then a single
number, the drop in accuracy that each layer may cause by itself, says how much to take from every
one of them: tolerant layers lose much, sensitive ones little. A budget ("at most 20 % of the
FLOPs", "at most 1 point of accuracy") is met by searching for that number.

Source: Li, Kadav, Durdanovic, Samet and Graf, "Pruning filters for efficient ConvNets", 2017,
section 3.2, for the scan; the search over one tolerance is this file's.

Before this: ``structure.py``, ``removal.py``. Next: ``budget.py``, the same for single weights.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .._errors import message
from ..nn.module import Module
from ._select import is_number
from .structure import Structure

AMOUNTS = (0.25, 0.5, 0.75, 0.9)


class BudgetError(ValueError):
    """A budget that cannot be met.

    Attributes
    ----------
    reached : dict
        The least (of FLOPs, parameters, bytes or accuracy drop) that was possible.
    """

    def __init__(self, text: str, reached: dict):
        super().__init__(text)
        self.reached = reached


@dataclass
class Sensitivity:
    """What `scan` measured.

    Attributes
    ----------
    baseline : float
        The score of the whole network.
    amounts : tuple of float
        The shares that were tried.
    results : dict from str to list of float
        For each layer (or group of layers), the score without each share of its units.
    unit : str
        What was removed: "channels", or "weights".
    """

    baseline: float
    amounts: tuple[float, ...]
    results: dict[str, list[float]]
    unit: str = "channels"

    def amounts_for(self, drop: float | Mapping[str, float]) -> dict[str, float]:
        """Return for each layer the largest share whose removal costs at most `drop` (or its own).

        Between the shares that were tried the score is taken as a straight line. Once a layer has
        cost more than `drop`, what larger shares cost does not matter.
        """
        chosen, drops = {}, drop if isinstance(drop, Mapping) else dict.fromkeys(self.results, drop)
        for name, results in self.results.items():
            drop = drops[name]
            before_share, before_drop = 0.0, 0.0
            chosen[name] = self.amounts[-1]
            for share, result in zip(self.amounts, results):
                lost = max(self.baseline - result, 0.0)
                if lost > drop:
                    way = max(drop - before_drop, 0.0) / (lost - before_drop)
                    chosen[name] = before_share + way * (share - before_share)
                    break
                before_share, before_drop = share, lost
        return chosen

    def drops(self) -> list[float]:
        """Return the drops at which `amounts_for` bends, from small to large."""
        found = {max(self.baseline - r, 0.0) for results in self.results.values() for r in results}
        return sorted({0.0, *found})

    def __str__(self) -> str:
        width = max(map(len, ["whole network", *self.results]))
        head = " " * width + "".join(f"{f'-{100 * share:.4g}%':>9}" for share in self.amounts)
        rows = [
            name.ljust(width) + "".join(f"{result:>9.2%}" for result in results)
            for name, results in self.results.items()
        ]
        return "\n".join([f"{'whole network'.ljust(width)}{self.baseline:>9.2%}", head, *rows])

    def plot(self):
        """Return a matplotlib figure: a line for each layer, its score against the share lost."""
        from ..viz.compression import sensitivity_curves

        return sensitivity_curves(self)


def scan(
    structure: Structure,
    evaluate: Callable[[Module], float],
    *,
    amounts: Sequence[float] = AMOUNTS,
    score="l1",
    layers=None,
    generator=None,
) -> Sensitivity:
    """Measure what the network scores when each layer alone loses channels.

    Parameters
    ----------
    structure : Structure
        The network's.
    evaluate : callable
        From a network to a number from 0 to 1, such as its accuracy on held-out data.
    amounts : sequence of float
        The shares to try, in increasing order, above 0 and below 1.
    score, layers, generator
        How channels are chosen: see `Structure.choose`.
    """
    _check_structure("scan", structure)
    amounts = check_amounts("scan", amounts)
    names = (
        structure.prunable() if layers is None else {structure.group_of(x).name: 0 for x in layers}
    )
    scores = structure.scores(score, generator, names)
    results = {}
    for name in names:
        removals = [structure.choose({name: share}, score=scores) for share in amounts]
        results[name] = [score_of(evaluate, structure.without(removed)) for removed in removals]
    return Sensitivity(score_of(evaluate, structure.model), amounts, results)


def score_of(evaluate: Callable[[Module], float], model: Module) -> float:
    """Return what `evaluate` says of a network; refuse what cannot be compared."""
    if not callable(evaluate):
        problem, expect = "this is no function.", "evaluate(model), which returns a number"
        raise TypeError(message("evaluate", problem, expect=expect, actual=repr(evaluate)))
    score = evaluate(model)
    try:
        number = float(score)
    except (TypeError, ValueError):
        number = np.nan
    if np.isnan(number):
        problem, expect = "it returned no score.", "a number, the larger the better"
        raise ValueError(message("evaluate", problem, expect=expect, actual=repr(score)))
    return number


def _check_structure(where: str, structure) -> None:
    if not isinstance(structure, Structure):
        expect, actual = "a Structure", type(structure).__name__
        problem, do = (
            "which channels belong together is not known.",
            "give Structure(model, example)",
        )
        raise TypeError(message(where, problem, expect=expect, actual=actual, do=do))


def check_amounts(where: str, amounts: Sequence[float]) -> tuple[float, ...]:
    """Return the shares that a scan tries; refuse what is no increasing row of shares."""
    given, amounts = amounts, tuple(amounts) if np.iterable(amounts) else ()
    numbers = all(map(is_number, amounts))
    increasing = numbers and all(a < b for a, b in zip((0.0, *amounts), (*amounts, 1.0)))
    if not amounts or not increasing:
        raise ValueError(
            message(
                where,
                "the amounts are out of range.",
                expect="a list of shares above 0 and below 1, in increasing order",
                actual=repr(given),
            )
        )
    return amounts


def fit_budget(
    structure: Structure,
    sensitivity: Sensitivity | None = None,
    *,
    flops: float | None = None,
    parameters: float | None = None,
    bytes: float | None = None,
    drop: float | None = None,
    evaluate: Callable[[Module], float] | None = None,
    score="l1",
    steps: int = 12,
    generator=None,
) -> dict[str, list[int]]:
    """Choose units to remove so that the network keeps to a budget.

    With `flops`, `parameters` or `bytes`: as few as it takes (no unit of those chosen could stay).
    With `drop`: as many as it allows.

    Parameters
    ----------
    structure : Structure
        The network's.
    sensitivity : Sensitivity, optional
        From `scan`: then every layer loses what costs it the same drop. Without it, every layer
        loses the same share.
    flops, parameters, bytes : float or int, optional
        At most this share (a float up to 1) or this many (an int) are left. Several may be given.
    drop : float, optional
        The score may fall by at most this, say 0.01; measured with `evaluate`, without training.
    evaluate : callable, optional
        From a network to a number; needed for `drop`.
    score, generator
        How channels are chosen: see `Structure.choose`.
    steps : int
        How often the search halves its interval.

    Returns
    -------
    dict from str to list of int
        For `Structure.without`.

    Raises
    ------
    BudgetError
        If the budget cannot be met; it says what was reached.
    ValueError
        If no budget is given, or one is out of range.
    """
    _check_structure("fit_budget", structure)
    limits = {
        what: budget_limit("fit_budget", what, budget, getattr(structure, what)())
        for what, budget in dict(flops=flops, parameters=parameters, bytes=bytes).items()
        if budget is not None
    }
    if not limits and drop is None:
        budgets = "flops, parameters, bytes or drop"
        raise ValueError(message("fit_budget", "no budget is given.", expect=budgets))
    if drop is not None:
        check_drop_budget("fit_budget", drop, evaluate)
    names = structure.prunable() if sensitivity is None else sensitivity.results
    scores = structure.scores(score, generator, names)

    def removal(strength: float) -> dict[str, list[int]]:
        amounts = _amounts(names, sensitivity, strength)
        return structure.choose(amounts, score=scores)

    def is_met(removed) -> bool:
        return all(getattr(structure, what)(removed) <= most for what, most in limits.items())

    if limits:
        if not is_met(removal(1.0)):
            reached = {what: getattr(structure, what)(removal(1.0)) for what in limits}
            do = "raise the budget, or scan larger amounts"
            raise budget_not_met("fit_budget", limits, reached, do)
        chosen = removal(search(lambda strength: is_met(removal(strength)), steps))
        chosen = _give_back(chosen, scores, is_met)
        if drop is not None:
            left = structure.without(chosen)
            lost = score_of(evaluate, structure.model) - score_of(evaluate, left)
            check_drop("fit_budget", lost, drop)
        return chosen
    lowest = score_of(evaluate, structure.model) - drop

    def is_too_low(strength: float) -> bool:
        removed = removal(strength)
        return bool(removed) and score_of(evaluate, structure.without(removed)) < lowest

    if not is_too_low(1.0):
        return removal(1.0)
    return removal(search(is_too_low, steps, last_false=True))


def _amounts(names, sensitivity: Sensitivity | None, strength: float) -> dict[str, float]:
    """Return the share to take from each layer; `strength` goes from 0 (none) to 1 (most)."""
    if sensitivity is None:
        return dict.fromkeys(names, min(strength, 0.999))
    # The drops at which the shares bend are equally far apart on the scale of strengths: each
    # step of the search then decides between layers, however the drops are spread.
    drops = sensitivity.drops()
    drop = np.interp(strength * (len(drops) - 1), np.arange(len(drops)), drops)
    return sensitivity.amounts_for(float(drop))


def search(is_reached: Callable[[float], bool], steps: int, last_false: bool = False) -> float:
    """Return the smallest strength that reaches it, or the largest that does not, by halving."""
    low, high = 0.0, 1.0
    if not last_false and is_reached(0.0):
        return 0.0
    for _ in range(steps):
        middle = (low + high) / 2
        if is_reached(middle):
            high = middle
        else:
            low = middle
    return low if last_false else high


def _give_back(removed: dict, scores: dict, is_met: Callable[[dict], bool]) -> dict:
    """Put units back, the most important first, as long as the budget is met without them.

    The search removed from all layers at once, so it took more than it had to; and of a budget
    of FLOPs a neuron of a linear layer takes next to nothing.
    """
    units = [
        (scores[name][unit] / (np.linalg.norm(scores[name]) or 1.0), name, unit)
        for name, units in removed.items()
        for unit in units
    ]
    for _, name, unit in sorted(units, reverse=True):
        fewer = {**removed, name: [other for other in removed[name] if other != unit]}
        if is_met(fewer):
            removed = fewer
    return {name: units for name, units in removed.items() if units}


def budget_limit(where: str, what: str, budget: float, whole: int) -> float:
    """Return a budget in numbers: a share (a float) is one of the whole."""
    is_number = isinstance(budget, (int, float, np.number)) and not isinstance(budget, bool)
    is_share = isinstance(budget, (float, np.floating))
    if not is_number or not 0 < budget <= (1 if is_share else np.inf):
        raise ValueError(
            message(
                where,
                f"the budget of {what} is out of range.",
                expect="a share (a float above 0, up to 1) or a number (an int from 1 on)",
                actual=repr(budget),
            )
        )
    return budget * whole if is_share else budget


def check_drop_budget(where: str, drop: float, evaluate) -> None:
    """Refuse a drop in accuracy that is none, or that nothing can measure."""
    if not callable(evaluate) or not is_number(drop) or not 0 <= drop < np.inf:
        raise ValueError(
            message(
                where,
                "a budget of accuracy needs a drop from 0 on, and a way to measure it.",
                expect="drop=0.01 (a point of accuracy), evaluate=... (a function)",
                actual=f"drop={drop!r}, evaluate={evaluate!r}",
            )
        )


def budget_not_met(where: str, limits: Mapping, reached: dict, do: str) -> BudgetError:
    """Return the error that says what was reached instead."""
    return BudgetError(
        message(
            where,
            "the budget cannot be met.",
            expect=", ".join(f"at most {most:,.0f} {what}" for what, most in limits.items()),
            actual=", ".join(f"{least:,} {what}" for what, least in reached.items()) + " reached",
            do=do,
        ),
        reached,
    )


def check_drop(where: str, lost: float, drop: float) -> None:
    """Raise if the smaller network lost more than the budget of accuracy allows."""
    if not lost <= drop:
        raise BudgetError(
            message(
                where,
                "the network that is small enough is not good enough.",
                expect=f"a drop of at most {drop:.4f}",
                actual=f"{lost:.4f} reached (without training)",
                do="remove in several rounds, and train in between: see strategies.py",
            ),
            {"drop": lost},
        )
