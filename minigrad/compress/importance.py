"""Which channels matter? A number for each, from its weights, its gradients, or a coin.

The norm of a filter needs nothing but the weights. The scale of a batch norm says how much of a
channel is let through. A Taylor score asks the loss: taking a channel z away changes it, to first
order, by the sum of z dL/dz. That sum is at hand without z: z is linear in the weights and the
bias that give it, so the sum of z dL/dz over samples and places equals the sum of w dL/dw over
those parameters. (Behind a batch norm, take the norm's scale and shift; in front of one the sum is
zero in training, for there the length of a filter changes nothing.)

Sources: Li, Kadav, Durdanovic, Samet and Graf, "Pruning filters for efficient ConvNets", 2017
(norms); Liu, Li, Shen, Huang, Yan and Zhang, "Learning efficient convolutional networks through
network slimming", 2017 (batch norm scales); Molchanov, Tyree, Karras, Aila and Kautz, "Pruning
convolutional neural networks for resource efficient inference", 2017, section 2.2 (Taylor).

Before this: ``channel_rules.py``. Next: ``groups.py``, then ``structure.py``, which chooses what
matters least.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module

if TYPE_CHECKING:
    from .groups import Group

SCORES = ("l1", "l2", "bn", "taylor", "random")


def scores(
    model: Module, axes: dict, norms: dict, groups: Sequence[Group], score="l1", generator=None
) -> dict[str, np.ndarray]:
    """Return the importance of each unit of each group of layers.

    Layers whose outputs are added share units; what is said of a unit is then summed over them.

    Parameters
    ----------
    model : Module
    axes : dict from (parameter name, axis) to array of int
        Which unit's id each entry carries.
    norms : dict from str to array of int
        The same for each batch norm, by path.
    groups : sequence of Group
    score : {"l1", "l2", "bn", "taylor", "random"} or dict
        - "l1", "l2": the norm of the weights that give the channel;
        - "bn": the size of its batch norm's scale;
        - "taylor": ``|sum of w g|``, from the gradients that ``loss.backward()`` left in
          ``.grad``: over the scale and shift of its batch norm or, without one, over the weights
          and the bias that give it;
        - "random": the control that a score has to beat;
        - or arrays by group name.
    generator : optional
        Where the random numbers come from.

    Raises
    ------
    ValueError
        If there is no such score, a gradient is missing, or a layer has no batch norm.
    """
    if isinstance(score, Mapping):
        return {name: np.asarray(values, float) for name, values in score.items()}
    if score == "random":
        rng = backend.generator(generator)
        return {group.name: rng.random(group.size) for group in groups}
    if score not in SCORES:
        raise ValueError(
            message("prune", "there is no such score.", expect=SCORES, actual=repr(score))
        )
    parameters = dict(model.named_parameters())
    affine = {f"{path}.{part}" for path in norms for part in ("weight", "bias")}
    return {group.name: _score(group, score, axes, parameters, affine) for group in groups}


def _score(group: Group, score: str, axes: dict, parameters: dict, affine: set) -> np.ndarray:
    """Add up what each parameter says about each unit of the group."""
    place = {root: unit for unit, root in enumerate(group.roots.tolist())}
    total = np.zeros(group.size)
    for name, axis in _chosen(group, score, axes, parameters, affine) if group.size else ():
        values = _values(parameters[name], name, score)
        per_entry = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).sum(axis=1)
        for root, value in zip(axes[name, axis].tolist(), per_entry.tolist()):
            if root in place:
                total[place[root]] += value
    return np.sqrt(total) if score == "l2" else np.abs(total)


def _chosen(group: Group, score: str, axes: dict, parameters: dict, affine: set) -> list:
    """Return the axes of the parameters that the score looks at."""
    own = [
        (name, axis)
        for name, axis in axes
        if name in parameters and np.isin(axes[name, axis], group.roots).any()
    ]
    gives = [key for key in own if key in group.gives]
    norm = [(name, axis) for name, axis in own if name in affine]
    if score == "bn":
        scale = [(name, axis) for name, axis in norm if name.endswith("weight")]
        if not scale:
            problem = f"layer {group.name!r} has no batch norm with a scale."
            raise ValueError(message("prune", problem, do="use score='l1' or 'taylor'"))
        return scale
    if score == "taylor":
        return norm or gives + [(name, axis) for name, axis in own if parameters[name].ndim == 1]
    return gives


def _values(parameter: Tensor, name: str, score: str) -> np.ndarray:
    """Return what each entry of a parameter adds to a score."""
    w = backend.to_numpy(parameter.array).astype(np.float64)
    if score == "l2":
        return w * w
    if score != "taylor":
        return np.abs(w)
    if parameter.grad is None:
        raise ValueError(
            message(
                "prune",
                f"{name} has no gradient, which a Taylor score needs.",
                do="call loss.backward() on one or more batches first",
            )
        )
    return w * backend.to_numpy(parameter.grad.array)


def check(values: np.ndarray | None, group: Group) -> None:
    """Raise unless there is a finite score for each unit of the group."""
    if values is None or values.shape != (group.size,):
        raise ValueError(
            message(
                "prune",
                f"the scores of {group.name!r} do not fit.",
                expect=f"{group.size} numbers",
                actual="none" if values is None else f"shape {values.shape}",
            )
        )
    if not np.isfinite(values).all():
        raise ValueError(
            message(
                "prune",
                f"the scores of {group.name!r} are not all finite numbers.",
                expect="finite weights (and gradients)",
                actual=f"{int((~np.isfinite(values)).sum())} of {group.size} are NaN or infinite",
                do="look for the training step that went wrong",
            )
        )
