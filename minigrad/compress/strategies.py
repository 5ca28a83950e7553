"""Strategies: in which steps a network gets small, and where training goes on from.

One cut of nine tenths destroys what a network has learned. The same nine tenths, taken away in
rounds with training in between, cost next to nothing. All strategies are one loop (`in_rounds`)::

    for keep in plan:
        model = cut(model, keep)         # a smaller copy: masks, or channels gone
        rewind(model, state)             # lottery tickets only: back to the early weights
        train(model)                     # yours

and differ in three choices, which can be combined at will. The *plan* says how much is left after
each round: all at once (`one_shot`), along a curve (`iterative`), or the outermost layers first
(`hierarchical`). The *cut* says what goes: see ``cuts.py``; with ``spread="sensitivity"`` each
layer loses what it can spare (`adaptive`). And training goes on from the weights as they are, or
from what they were at an early time (`lottery_ticket`).

`train` is your function: it is called with a network and trains it as ever. It makes its own
optimizer, for the network is a new one each round. Each strategy is a generator that yields a
`Step` after each round, so look on, and stop whenever you like::

    for step in compress.iterative(model, train, keep=0.05, rounds=5, evaluate=accuracy):
        print(step)
    small = step.model                   # with masks; the model itself is as it was
    compress.detach_masks(small)         # and now share it, code it, save it

Before this: ``cuts.py``, ``plans.py``. Next: ``report.py``, which compares what came in with what
came out.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ..nn.recorder import working_copy
from ._select import is_number
from .cuts import CutChannels, CutWeights, Keep
from .plans import Schedule, curve, final_shares, in_pairs
from .sensitivity import BudgetError, check_drop_budget, score_of

__all__ = [
    "Step",
    "adaptive",
    "hierarchical",
    "in_rounds",
    "iterative",
    "lottery_ticket",
    "one_shot",
    "rewind",
    "within",
]

Train = Callable[[Module], object]
Evaluate = Callable[[Module], float]
State = Mapping[str, Tensor]


@dataclass
class Step:
    """What one round came to.

    Attributes
    ----------
    round : int
        From 1.
    keep : float or dict of str to float
        What was asked for.
    left : float
        The share that is left, as the cut measures it: weights, bytes, or FLOPs.
    score : float or None
        What `evaluate` says after training, where it was given.
    model : Module
        The network after this round.
    """

    round: int
    keep: Keep
    left: float
    score: float | None
    model: Module

    def __repr__(self) -> str:
        score = "" if self.score is None else f", score {self.score:.2%}"
        return f"round {self.round}: {self.left:.2%} left{score}"


# ------------------------------------------------------------------------------------ the loop


def in_rounds(
    model: Module,
    train: Train | None,
    plan: Iterable[Keep],
    *,
    cut: CutWeights | CutChannels | None = None,
    rewind_to: State | None = None,
    evaluate: Evaluate | None = None,
) -> Iterator[Step]:
    """Cut and train in turns; all other strategies end here.

    Parameters
    ----------
    model : Module
        Trained; it is left as it is.
    train : callable or None
        ``train(model)`` trains the network that it is given, in place. None: no training.
    plan : iterable of (float, or dict of str to float)
        What is left after each round: a share of what the first network had, or one for each of
        some layers.
    cut : CutWeights, CutChannels or your own
        What goes; by default the weights of smallest magnitude, wherever they are.
    rewind_to : dict of str to Tensor, optional
        A ``state_dict()`` that the weights go back to after each cut; see `rewind`.
    evaluate : callable, optional
        From a network to its score, such as its accuracy on held-out data.

    Yields
    ------
    Step

    Raises
    ------
    TypeError
        If `model`, `train`, `cut`, `rewind_to` or `evaluate` are not what they are called.
    ValueError
        If channels are to be cut, and the weights to go back to an early state.
    RuntimeError
        If `rewind_to` is not a state of this network.
    BudgetError
        If a round cannot reach what is planned for it; it says what was reached.
    """
    if not isinstance(model, Module):
        actual = type(model).__name__
        raise TypeError(message("strategy", "no model.", expect="a Module", actual=actual))
    for name, function in (("train", train), ("evaluate", evaluate)):
        if function is not None and not callable(function):
            raise TypeError(
                message(
                    "strategy",
                    f"{name} is not a function.",
                    expect=f"{name}(model)",
                    actual=repr(function),
                    do="hand over the function itself, without calling it",
                )
            )
    cut = _as_cut(cut)
    if rewind_to is not None:
        _check_early_state(model, cut, rewind_to)
    # The checks are done when this returns; the rounds run when the caller asks for them.
    return _rounds(model, train, plan, cut, rewind_to, evaluate)


def _rounds(model, train, plan, cut, rewind_to, evaluate) -> Iterator[Step]:
    for number, keep in enumerate(plan, 1):
        try:
            model = cut(model, keep)
        except BudgetError as error:
            asked = keep if isinstance(keep, Mapping) else f"{keep:.2%}"
            raise BudgetError(f"round {number}, down to {asked}: {error}", error.reached) from error
        if rewind_to is not None:
            rewind(model, rewind_to)
        if train is not None:
            train(model)
        score = None if evaluate is None else score_of(evaluate, model)
        yield Step(number, keep, cut.left(model), score, model)


def _as_cut(cut):
    """Return the cut, the usual one for None; refuse what is none."""
    cut = CutWeights() if cut is None else cut
    if isinstance(cut, type) or not callable(cut) or not hasattr(cut, "left"):
        problem, expect = "this is no cut.", "CutWeights(...), CutChannels(...), or your own"
        raise TypeError(message("strategy", problem, expect=expect, actual=repr(cut)))
    return cut


def _check_early_state(model: Module, cut, state) -> None:
    """Refuse what could not be rewound, before anything is cut or trained."""
    if not isinstance(state, Mapping):
        problem, actual = "rewind_to is no state to go back to.", type(state).__name__
        expect = "a state_dict() from before training, or from early in it"
        raise TypeError(message("strategy", problem, expect=expect, actual=actual))
    if isinstance(cut, CutChannels):
        raise ValueError(
            message(
                "strategy",
                "a network that lost channels cannot go back to an early state: its parameters "
                "are smaller than those of the state.",
                expect="a cut that leaves shapes as they are, when weights are rewound",
                actual=f"{type(cut).__name__}, and rewind_to",
                do="cut weights (cut=CutWeights(...), or adaptive() without example=); or cut "
                "channels without rewind_to, by iterative() instead of lottery_ticket()",
            )
        )
    rewind(working_copy(model, "strategy"), state)


# --------------------------------------------------------------------------------- strategies


def one_shot(
    model: Module, train: Train | None, keep: Keep, *, cut=None, **options
) -> Iterator[Step]:
    """Cut once, then train: cheap, and good as long as not too much goes.

    Parameters
    ----------
    model, train, cut, **options
        See `in_rounds`.
    keep : float, int, or dict of str to float
        What is left: a share, a number of what the cut measures, or shares by layer.
    """
    cut = _as_cut(cut)
    return in_rounds(model, train, [final_shares(keep, cut, model)], cut=cut, **options)


def iterative(
    model: Module,
    train: Train | None,
    keep: Keep,
    *,
    rounds: int = 5,
    schedule: str | Schedule = "cubic",
    cut=None,
    **options,
) -> Iterator[Step]:
    """Cut a little, train, and repeat, along a curve from everything to `keep`.

    Parameters
    ----------
    model, train, cut, **options
        See `in_rounds`.
    keep : float, int, or dict of str to float
        What is left in the end: a share, a number of what the cut measures, or shares by layer.
    rounds : int
        The number of cuts.
    schedule : {"cubic", "exponential"} or callable
        See ``plans.py``; or your own, of the same arguments.

    Notes
    -----
    Han, Pool, Tran and Dally (2015), section 3.5: of the same sparsity, pruning in rounds with
    training in between is the more accurate.
    """
    cut = _as_cut(cut)
    plan = curve(final_shares(keep, cut, model), rounds, schedule)
    return in_rounds(model, train, plan, cut=cut, **options)


def hierarchical(
    model: Module,
    train: Train | None,
    keep: Keep,
    *,
    rounds: int = 1,
    schedule: str | Schedule = "cubic",
    cut=None,
    **options,
) -> Iterator[Step]:
    """Cut the outermost layers first, the first and the last, and then inwards.

    While one pair of layers is cut, the others train on to make up for it, and the pairs that
    were cut before keep their zeros.

    Parameters
    ----------
    model, train, cut, **options
        See `in_rounds`.
    keep : float, or dict of str to float
        What is left of each layer, in the end.
    rounds : int
        The number of cuts for each pair of layers.
    schedule : {"cubic", "exponential"} or callable
        For several rounds: how each pair comes to its share.
    """
    cut = _as_cut(cut)
    keep = final_shares(keep, cut, model)
    if not isinstance(keep, Mapping):
        keep = dict.fromkeys(cut.layers(model), keep)
    names = [name for name in cut.layers(model) if name in keep]
    plan = in_pairs(keep, names, rounds, schedule)
    return in_rounds(model, train, plan, cut=cut, **options)


def lottery_ticket(
    model: Module,
    train: Train,
    keep: Keep,
    rewind_to: State,
    *,
    rounds: int = 5,
    schedule: str | Schedule = "exponential",
    **options,
) -> Iterator[Step]:
    """Find a small network inside the large one that trains as well as it, from the start.

    Each round removes the weights that training left small, and sets the others back to what
    they were before training. What remains in the end is the winning ticket: a sparse network at
    its initial weights, ``rewind(step.model, rewind_to)``, that learns what the large one did.

    Parameters
    ----------
    model : Module
        Trained, from the state `rewind_to`.
    train, keep, rounds, schedule, **options
        See `iterative`. `train` should train as long as the model itself was trained.
    rewind_to : dict of str to Tensor
        ``model.state_dict()`` from before training or, for deeper networks, from early in it.

    Raises
    ------
    TypeError
        If `rewind_to` is no state dict: without it this is `iterative`.
    ValueError
        If `cut` takes out channels: no early state fits the smaller network.

    Notes
    -----
    Frankle and Carbin (2019), The lottery ticket hypothesis: finding sparse, trainable neural
    networks, section 1; the early state: Frankle, Dziugaite, Roy and Carbin (2020), Linear mode
    connectivity and the lottery ticket hypothesis.
    """
    if not isinstance(rewind_to, Mapping):
        problem, actual = "there is no early state to go back to.", type(rewind_to).__name__
        expect = "a state_dict() from before training, or from early in it"
        raise TypeError(message("lottery_ticket", problem, expect=expect, actual=actual))
    options = dict(options, rounds=rounds, schedule=schedule, rewind_to=rewind_to)
    return iterative(model, train, keep, **options)


def adaptive(
    model: Module,
    train: Train | None,
    evaluate: Evaluate,
    *,
    drop: float | None = None,
    weights: float | None = None,
    bytes: float | None = None,
    flops: float | None = None,
    example=None,
    rounds: int = 5,
    schedule: str | Schedule = "exponential",
    rate: float = 0.8,
    rewind_to: State | None = None,
    **how,
) -> Iterator[Step]:
    """Keep to a budget, and let each layer lose what it can spare, by a scan before each cut.

    Give one of `drop`, `weights`, `bytes` and `flops`. Without `example` masks are cut, with it
    channels (then `drop` counts FLOPs).

    Parameters
    ----------
    model, train, rewind_to
        See `in_rounds`.
    evaluate : callable
        From a network to its score on held-out data.
    drop : float, optional
        Such as 0.01, "at most 1 point of accuracy": each round leaves a share `rate` of what
        there is, until training does not win back the score. The last step that did is the last.
    weights, bytes, flops : float or int, optional
        What may be left: a share (a float) or a number. ``bytes=50_000`` is "at most 50 kB": for
        masks in the coded file, for channels of dense arrays. ``flops=0.2`` needs `example`.
    example : Tensor or tuple of Tensor, optional
        One batch of what the network takes.
    rounds, schedule
        For `weights`, `bytes` and `flops`: see `iterative`.
    **how
        For the cut: `criterion` and `names`, or `score`, and `gradients`; see ``cuts.py``.

    Raises
    ------
    BudgetError
        If the budget cannot be met; it says what was reached.
    ValueError
        If not exactly one budget is given, or it is out of range.
    """
    budgets = dict(drop=drop, weights=weights, bytes=bytes, flops=flops)
    budgets = {name: value for name, value in budgets.items() if value is not None}
    if len(budgets) != 1:
        expect, actual = "one of drop, weights, bytes and flops", list(budgets) or "none"
        raise ValueError(
            message("adaptive", "give exactly one budget.", expect=expect, actual=actual)
        )
    by, budget = next(iter(budgets.items()))
    how.update(spread="sensitivity", evaluate=evaluate)
    if example is None:
        cut = CutWeights(by="weights" if by == "drop" else by, **how)
    else:
        by = {"drop": "flops", "weights": "parameters"}.get(by, by)
        cut = CutChannels(model, example, by=by, **how)
    options = dict(cut=cut, rewind_to=rewind_to, evaluate=evaluate)
    if drop is None:
        return iterative(model, train, budget, rounds=rounds, schedule=schedule, **options)
    check_drop_budget("adaptive", drop, evaluate)
    if not is_number(rate) or not 0 < rate < 1:
        problem, expect = "rate is out of range.", "a share above 0 and below 1"
        raise ValueError(message("adaptive", problem, expect=expect, actual=repr(rate)))
    # The score may never fall: then it ends where not one weight (or operation) would be left.
    shares, whole = (rate**i for i in itertools.count(1)), cut.whole(model)
    plan = itertools.takewhile(lambda share: share * whole >= 1, shares)
    return within(in_rounds(model, train, plan, **options), score_of(evaluate, model) - drop)


def within(steps: Iterable[Step], lowest: float) -> Iterator[Step]:
    """Yield the steps of any strategy as long as their score is at least `lowest`.

    Raises
    ------
    BudgetError
        If the very first step scores less.
    ValueError
        If the steps have no score.
    """
    number = 0
    steps = iter(steps)
    while True:
        try:
            step = next(steps, None)
        except BudgetError:
            if number == 0:
                raise
            return  # there is nothing more to cut
        if step is None:
            return
        if step.score is None:
            problem = "the steps have no score."
            raise ValueError(message("within", problem, do="give the strategy evaluate="))
        if not step.score >= lowest:
            break
        number += 1
        yield step
    if number == 0:
        raise BudgetError(
            message(
                "within",
                "already the first round costs too much.",
                expect=f"a score of at least {lowest:.4f}",
                actual=f"{step.score:.4f} reached, with {step.left:.2%} left",
                do="allow a larger drop, cut less in a round, or train longer",
            ),
            {"score": step.score, "left": step.left},
        )


def rewind(model: Module, state: State) -> None:
    """Set the weights back to an earlier state, in place; masks stay.

    Parameters
    ----------
    model : Module
        With masks or without.
    state : dict of str to Tensor
        A ``state_dict()`` of the same network, from before it was pruned.

    Raises
    ------
    RuntimeError
        If the state does not fit; then the model is unchanged. (Of a network that lost channels
        no early state is left: train it anew, or prune by masks.)
    """
    own = model.state_dict()
    pruned = [name.removesuffix("_mask") for name in own if name.endswith("_mask")]
    pruned = [name for name in pruned if f"{name}_orig" in own]
    masks = {f"{name}_mask": own[f"{name}_mask"] for name in pruned}
    earlier = {f"{n}_orig" if n in pruned else n: value for n, value in state.items()}
    model.load_state_dict({**earlier, **masks})
