"""One cut: a network in, a smaller network out. What the strategies do again and again.

A cut is an object that is called with a network and with what is to be left of it, and returns a
smaller *copy*. There are two: `CutWeights` puts masks over single weights, `CutChannels` takes
channels and neurons out. Both can treat all layers alike, let them compete, or give to each the
amount that a sensitivity scan finds, measured anew at every cut (``spread="sensitivity"``).

What is left is a share of the network *before the first cut*, so that rounds can be planned::

    cut = CutWeights()
    half = cut(model, 0.5)
    train(half)
    tenth = cut(half, 0.1)       # a tenth of the model's weights, not of the half's

A cut of your own needs the same four: to be called, ``left``, ``whole`` and ``layers``.

Before this: ``budget.py``. Next: ``plans.py``, ``strategies.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .._errors import message
from ..nn.module import Module
from ..nn.recorder import working_copy
from ._select import names_in, select_masked
from .budget import fit_masks, scan_masks
from .report import count_bytes
from .sensitivity import Sensitivity, fit_budget, scan
from .sparse import attach_masks, sparse_masks, sparsity
from .stored import coded_bytes, plain_copy
from .structure import Structure

__all__ = ["CutChannels", "CutWeights"]

Keep = float | Mapping[str, float]
SPREADS = ("global", "layer", "sensitivity")


@dataclass
class CutWeights:
    """Cut single weights: masks of ``nn.utils.prune``, which further training leaves in place.

    Parameters
    ----------
    by : {"weights", "bytes"}
        What shares are of: the weights; or the bytes of the dense network, and what is left is
        what `size` says.
    spread : {"global", "layer", "sensitivity"}
        How much each layer loses: all weights compete; every layer the same share; or what
        `scan_masks` finds with `evaluate`.
    criterion : {"magnitude", "taylor", "random"}
        See `sparse_masks`.
    evaluate : callable, optional
        From a network to its score on held-out data, for ``spread="sensitivity"``.
    gradients : callable, optional
        Called with the network before each cut, for ``criterion="taylor"``: it runs ``backward``
        on some batches. Without it the gradients are those that training left: the last batch's.
    names : iterable of str, optional
        The parameters to cut; by default all with two axes or more.
    size : callable, optional
        From a network to the bytes of its file; by default those of `save_compressed`.
    generator : optional
        For ``criterion="random"``.

    Attributes
    ----------
    sensitivity : Sensitivity or None
        What the last scan found.
    """

    by: str = "weights"
    spread: str = "global"
    criterion: str = "magnitude"
    evaluate: Callable[[Module], float] | None = None
    gradients: Callable[[Module], object] | None = None
    names: Iterable[str] | None = None
    size: Callable[[Module], int] = coded_bytes
    generator: object = None
    sensitivity: Sensitivity | None = field(default=None, init=False)

    def __post_init__(self):
        if self.by == "flops":
            problem = "a mask saves no operations: zeros are multiplied like all numbers."
            do = "cut channels: CutChannels(..., by='flops'), adaptive(..., example=...)"
            raise ValueError(message("CutWeights", problem, do=do))
        _check("CutWeights", self, ("weights", "bytes"))
        self.names = None if self.names is None else names_in(self.names, "CutWeights")

    def __call__(self, model: Module, keep: Keep) -> Module:
        """Return a masked copy with `keep` left: a share, or one for each of some layers."""
        if self.gradients is not None:
            self.gradients(model)
        masks = self._masks(model, keep)
        smaller = working_copy(model, "CutWeights")
        attach_masks(smaller, masks)
        return smaller

    def _masks(self, model: Module, keep: Keep) -> dict:
        how = dict(criterion=self.criterion, generator=self.generator)
        if isinstance(keep, Mapping):
            return sparse_masks(model, keep, scope="layer", names=list(keep), **how)
        if self.spread == "sensitivity":
            self.sensitivity = scan_masks(model, self.evaluate, names=self.names, **how)
        elif self.by == "weights":
            return sparse_masks(model, keep, scope=self.spread, names=self.names, **how)
        scope = "layer" if self.spread == "layer" else "global"
        how.update(names=self.names, scope=scope, size=self.size)
        return fit_masks(model, self.sensitivity, **{self.by: float(keep)}, **how)

    def left(self, model: Module) -> float:
        """Return the share that is left of a network that was cut."""
        if self.by == "bytes":
            return self.size(model) / self.whole(model)
        return 1.0 - sparsity(model, self.names)

    def whole(self, model: Module) -> int:
        """Return what shares are of: the number of weights, or the dense bytes."""
        if self.by == "bytes":
            return count_bytes(plain_copy(model))
        weights = select_masked(model, self.names, "CutWeights").values()
        return sum(weight.parameter.numel() for weight in weights)

    def layers(self, model: Module) -> list[str]:
        """Return the names that `keep` may have, from the first layer to the last."""
        return list(select_masked(model, self.names, "CutWeights"))


class CutChannels:
    """Cut output channels and neurons: the result is a smaller dense network.

    Parameters
    ----------
    model : Module
        The network before the first cut: shares are of this one.
    example : Tensor or tuple of Tensor
        One batch of what it takes.
    by : {"flops", "parameters", "bytes"}
        What shares are of.
    spread : {"layer", "sensitivity"}
        Every layer loses the same share of its channels; or what `scan` finds with `evaluate`.
    score : str
        What makes a channel important: see `importance.scores`.
    evaluate : callable, optional
        From a network to its score on held-out data, for ``spread="sensitivity"``.
    gradients : callable, optional
        Called with the network before each cut, for ``score="taylor"``: it runs ``backward`` on
        some batches.
    generator : optional
        For ``score="random"``.

    Attributes
    ----------
    sensitivity : Sensitivity or None
        What the last scan found.
    """

    def __init__(
        self,
        model: Module,
        example,
        *,
        by: str = "flops",
        spread: str = "layer",
        score: str = "l1",
        evaluate: Callable[[Module], float] | None = None,
        gradients: Callable[[Module], object] | None = None,
        generator=None,
    ):
        self.example, self.by, self.spread, self.score = example, by, spread, score
        self.evaluate, self.gradients, self.generator = evaluate, gradients, generator
        self.sensitivity: Sensitivity | None = None
        if spread == "global":
            problem = "channels of different layers compete within one share, not for a budget."
            do = "spread='sensitivity', or prune_channels(..., spread='global')"
            raise ValueError(message("CutChannels", problem, do=do))
        _check("CutChannels", self, ("flops", "parameters", "bytes"))
        structure = Structure(model, example)
        self._whole = getattr(structure, by)()
        self._sizes = {name: group.size for name, group in structure.prunable().items()}

    def __call__(self, model: Module, keep: Keep) -> Module:
        """Return a smaller copy with `keep` left: a share, or one for each of some layers."""
        if self.gradients is not None:
            self.gradients(model)
        structure = Structure(model, self.example)
        how = dict(score=self.score, generator=self.generator)
        if isinstance(keep, Mapping):
            amounts = {layer: self._to_remove(structure, layer, k) for layer, k in keep.items()}
            return structure.without(structure.choose(amounts, **how))
        if self.spread == "sensitivity":
            self.sensitivity = scan(structure, self.evaluate, **how)
        budget = {self.by: max(1, int(keep * self._whole))}
        return structure.without(fit_budget(structure, self.sensitivity, **budget, **how))

    def _to_remove(self, structure: Structure, layer: str, keep: float) -> int:
        """Return how many channels must go now, so that a share of the first number is left."""
        group = structure.group_of(layer)
        stay = max(1, round(keep * self._sizes.get(group.name, group.size)))
        return max(0, group.size - stay)

    def left(self, model: Module) -> float:
        """Return the share that is left of a network that was cut."""
        return getattr(Structure(model, self.example), self.by)() / self._whole

    def whole(self, model: Module) -> int:
        """Return what shares are of: FLOPs, parameters or bytes of the network before all cuts."""
        return self._whole

    def layers(self, model: Module) -> list[str]:
        """Return the names that `keep` may have, from the first layer to the last."""
        return list(self._sizes)


def _check(where: str, cut, measures: tuple[str, ...]) -> None:
    for option, known in (("by", measures), ("spread", SPREADS)):
        value = getattr(cut, option)
        if value not in known:
            problem = f"there is no such {option}."
            raise ValueError(message(where, problem, expect=known, actual=repr(value)))
    if cut.spread == "sensitivity" and not callable(cut.evaluate):
        problem = "a scan needs to measure the network."
        expect = "evaluate=..., from a network to its score on held-out data"
        raise ValueError(message(where, problem, expect=expect, actual=repr(cut.evaluate)))
