"""Structural pruning: take channels and neurons out of a network, and shrink all that read them.

Zeroing weights saves nothing: the zeros are multiplied all the same. Taking out a whole output
channel leaves smaller *dense* arrays, and those are faster anywhere. But a channel is written by
one layer and read by others, so all of them must shrink in the same places: the next convolution
loses input columns, the linear layer behind a flatten loses H x W columns, batch norms lose
entries, and layers whose outputs are added lose the same channels. `Structure` knows which
(``channels.py`` found out); here channels are chosen and counted, and ``removal.py`` removes them::

    small = prune_channels(model, example, 0.5)                  # half of every layer
    small = remove_channels(model, example, {"conv1": [0, 3]})   # exactly these

The result is an ordinary network: a copy of the model, of the same classes, with smaller
parameters. Its outputs equal those of the *masked* network, in which the removed channels are
zero in every parameter; each removal is checked against it on the example before it is returned.

Source: Li, Kadav, Durdanovic, Samet and Graf, "Pruning filters for efficient ConvNets", 2017,
section 3, residual networks included.

Before this: ``importance.py``, ``groups.py``. Next: ``removal.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np

from .._errors import message
from ..nn.module import Module
from ..nn.utils.prune import is_pruned
from . import importance, removal
from ._select import is_whole, names_in, require_dict
from .channels import Channels
from .groups import Group, find_groups, layer_name, nothing_left, stopped, units_meant
from .removal import stay
from .trace import check_example, multiply_adds, trace

# -------------------------------------------------------------------------- the short way


def prune_channels(
    model: Module, example, amount, *, score="l1", spread="layer", layers=None, generator=None
) -> Module:
    """Return a smaller copy of a network, without its least important channels.

    Parameters
    ----------
    model : Module
        Left as it is. An optimizer that holds its parameters does not hold the copy's.
    example : Tensor or tuple of Tensor
        One batch of what the network takes (two samples are enough).
    amount, score, spread, layers, generator
        What to remove: see `Structure.choose`.

    Returns
    -------
    Module
    """
    structure = Structure(model, example)
    return structure.without(
        structure.choose(amount, score=score, spread=spread, layers=layers, generator=generator)
    )


def remove_channels(model: Module, example, channels: Mapping[str, Iterable[int]]) -> Module:
    """Return a smaller copy of a network, without these output channels or neurons.

    Parameters
    ----------
    model, example
        As in `prune_channels`.
    channels : dict from str to indices
        By the path of a layer, such as ``"features.0"``, the output channels to take out. Where
        layers are tied (their outputs are added), the others lose the same ones.
    """
    structure = Structure(model, example)
    return structure.without(structure.find(channels))


def mask_channels(model: Module, example, channels: Mapping[str, Iterable[int]]) -> Module:
    """Return a copy of a network in which these channels are zero: `remove_channels`' twin."""
    structure = Structure(model, example)
    return structure.masked(structure.find(channels))


# ------------------------------------------------------------------------ what can be removed


class Structure:
    """Which channels of a network can be removed, what that saves, and the removal itself.

    Parameters
    ----------
    model : Module
        It is left as it is; scores are computed from its parameters at the time of asking.
    example : Tensor or tuple of Tensor
        One batch of what it takes.

    Attributes
    ----------
    groups : dict from str to Group
        All groups of layers, also those of which nothing can be removed.
    """

    def __init__(self, model: Module, example):
        self.model, self.example = model, check_example(model, example)
        recorded = trace(model, example)
        channels = Channels(recorded)
        # From here on: for each axis, what stands for each entry; and no graph, which is large.
        self._axes = {key: channels.roots(ids) for key, ids in channels.axes.items()}
        self._norms = {path: channels.roots(ids) for path, ids in channels.norms.items()}
        modules = dict(model.named_modules())
        self._costs = [
            (layer_name(weight, modules), cost)
            for node in recorded.nodes
            for weight, cost in _costs(channels, node)
        ]
        self._batch = recorded.batch
        self.groups = find_groups(self._axes, channels, modules)

    def __repr__(self) -> str:
        lines = [
            f"  {group.name}: {group.size} units" + f", tied to {[*group.layers][1:]}"
            * (len(group.layers) > 1) + (f" ({group.reason.text})" if group.reason else "")
            for group in self.groups.values()
        ]  # fmt: skip
        return "\n".join([f"Structure of {type(self.model).__name__}:", *lines])

    def prunable(self) -> dict[str, Group]:
        """Return the groups of which something can be removed.

        Raises
        ------
        ValueError
            If a group cannot be pruned because of an op that could not be followed.
        """
        for group in self.groups.values():
            if group.reason and group.reason.op:
                raise stopped(group)
        return {name: group for name, group in self.groups.items() if group.most > 0}

    def group_of(self, layer: str) -> Group:
        """Return the group that a layer belongs to."""
        for group in self.groups.values():
            if layer in group.layers:
                return group
        raise ValueError(
            message(
                "prune",
                f"there is no layer {layer!r} whose output channels could be removed.",
                expect=", ".join(name for g in self.groups.values() for name in g.layers),
                actual=repr(layer),
            )
        )

    # ---------------------------------------------------------------------------- choosing

    def scores(self, score="l1", generator=None, groups=None) -> dict[str, np.ndarray]:
        """Return how important each unit of each group is: see `importance.scores`."""
        groups = [self.groups[name] for name in (self.groups if groups is None else groups)]
        return importance.scores(self.model, self._axes, self._norms, groups, score, generator)

    def choose(
        self, amount, *, score="l1", spread="layer", layers=None, generator=None
    ) -> dict[str, list[int]]:
        """Choose the least important units.

        Parameters
        ----------
        amount : float, int, or dict from str to these
            The share (0 to below 1) or the number of units to remove: of every layer, or by
            layer. Shares are rounded, and leave at least one channel.
        score : str or dict
            What makes a unit important: see `importance.scores`.
        spread : {"layer", "global"}
            Whether each layer loses the share, or the network as a whole: then scores compete,
            each divided by the norm of its layer's (Molchanov et al., 2017, section 2.2).
        layers : sequence of str, optional
            The layers to choose from; by default all that can be pruned.
        generator : optional
            For ``score="random"``.

        Returns
        -------
        dict from str to list of int
            Units by group, for `without`, `masked` and the counts.

        Raises
        ------
        ValueError
            If an amount is out of range or would leave nothing of a layer, if an op that cannot
            be followed stands in the way of a layer, or if masks are attached to the network.
        """
        if spread not in ("layer", "global"):
            raise ValueError(
                message(
                    "prune", "no such spread.", expect="'layer' or 'global'", actual=repr(spread)
                )
            )
        _refuse_masks(self.model)
        amounts = self._amounts(amount, layers)
        scores = self.scores(score, generator, amounts)
        for name in amounts:
            importance.check(scores.get(name), self.groups[name])
        if spread == "global":
            return self._choose_globally(amounts, scores)
        return {
            name: self.groups[name].lowest(scores[name], count)
            for name, count in amounts.items()
            if count
        }

    def _amounts(self, amount, layers) -> dict[str, int]:
        """Return how many units of which group shall go."""
        if not isinstance(amount, Mapping):
            layers = self.prunable() if layers is None else names_in(layers, "prune")
            amount = dict.fromkeys([self.group_of(layer).name for layer in layers], amount)
        counts: dict[str, int] = {}
        for layer, value in amount.items():
            group = self.group_of(layer)
            count = units_meant(value, group)
            counts[group.name] = max(count, counts.get(group.name, 0))
        return counts

    def _choose_globally(self, amounts: dict[str, int], scores: dict) -> dict[str, list[int]]:
        units = [
            (score, name, unit)
            for name in amounts
            for unit, score in enumerate(scores[name] / (np.linalg.norm(scores[name]) or 1.0))
        ]
        count, removed = sum(amounts.values()), {}
        for _, name, unit in sorted(units):
            if count and not self.groups[name].emptied([*removed.get(name, ()), unit]):
                removed.setdefault(name, []).append(unit)
                count -= 1
        return {name: sorted(units) for name, units in removed.items()}

    def find(self, channels: Mapping[str, Iterable[int]]) -> dict[str, list[int]]:
        """Return the units that these output channels of these layers belong to.

        Raises
        ------
        TypeError
            If the channels of a layer are no list.
        IndexError
            If a layer has no such channel.
        ValueError
            If a channel cannot be removed; the op that stands in its way is named.
        """
        _refuse_masks(self.model)
        require_dict(channels, "prune", "channels", "by layer, such as {'conv1': [0, 3]}")
        removed: dict[str, set] = {}
        for layer, indices in channels.items():
            group = self.group_of(layer)
            units = group.layers[layer]
            if not isinstance(indices, Iterable):
                problem, expect = f"the channels of {layer!r} are no list.", "such as [0, 3]"
                raise TypeError(message("prune", problem, expect=expect, actual=repr(indices)))
            for i in indices:
                if not (is_whole(i) and -len(units) <= i < len(units)):
                    raise IndexError(
                        message(
                            "prune",
                            f"layer {layer!r} has no such output channel.",
                            expect=f"0 to {len(units) - 1}",
                            actual=repr(i),
                        )
                    )
                if units[i] < 0:
                    raise stopped(group)
                removed.setdefault(group.name, set()).add(int(units[i]))
        return {name: sorted(units) for name, units in removed.items()}

    # ---------------------------------------------------------------------------- counting

    def flops(self, removed: Mapping | None = None) -> int:
        """Return the floating-point operations for one sample, without what is `removed`.

        A multiply-add counts as two; what counts is said at `trace.multiply_adds`.
        """
        gone = self._gone(removed)
        return sum(_kept(cost, gone) for _, cost in self._costs) // self._batch

    def flops_by_layer(self, removed: Mapping | None = None) -> dict[str, int]:
        """Return the `flops` of each layer."""
        gone, result = self._gone(removed), {}
        for layer, cost in self._costs:
            result[layer] = result.get(layer, 0) + _kept(cost, gone)
        return {layer: flops // self._batch for layer, flops in result.items()}

    def parameters(self, removed: Mapping | None = None) -> int:
        """Return the number of parameters, without what is `removed`."""
        return sum(size for _, size in self._sizes(self.model.named_parameters(), removed))

    def bytes(self, removed: Mapping | None = None) -> int:
        """Return the bytes of parameters and saved buffers, without what is `removed`."""
        state = self.model.state_dict(keep_vars=True)
        unique = {id(tensor): (name, tensor) for name, tensor in reversed(state.items())}
        return sum(t.dtype.itemsize * size for t, size in self._sizes(unique.values(), removed))

    def _sizes(self, named, removed):
        """Yield each tensor, and its number of entries after the removal."""
        gone = self._gone(removed)
        for name, tensor in named:
            sizes = [
                n if (name, axis) not in self._axes else stay(self._axes[name, axis], gone).sum()
                for axis, n in enumerate(tensor.shape)
            ]
            yield tensor, math.prod(map(int, sizes))

    def _gone(self, removed: Mapping | None) -> np.ndarray:
        """Return the roots of the units that go; refuse a removal that leaves nothing."""
        gone = [np.zeros(0, int)]
        for name, units in (removed or {}).items():
            group = self.group_of(name)
            layer = group.emptied(units)
            if layer is not None:
                raise nothing_left(layer)
            gone.append(group.roots[list(units)])
        return np.concatenate(gone)

    # ---------------------------------------------------------------------------- removing

    def without(self, removed: Mapping[str, Iterable[int]]) -> Module:
        """Return a copy of the network that is smaller by these units.

        Parameters
        ----------
        removed : dict from str to list of int
            What `choose` or `find` returned.

        Raises
        ------
        ValueError
            If a layer would have no channel left.
        RuntimeError
            If the smaller network does not compute on the example what the masked one does.
        """
        gone = self._gone(removed)
        small = removal.smaller_copy(self.model, self._axes, self._norms, gone)
        removal.check_same(self.masked(removed), small, self.example)
        return small

    def masked(self, removed: Mapping[str, Iterable[int]]) -> Module:
        """Return a copy of the network in which the parameters of these units are zero.

        Zero are the weights that make a channel *and* the weights that read it. So it says
        nothing whatever the activation makes of a zero: sigmoid(0) is 0.5.
        """
        return removal.masked_copy(self.model, self._axes, self._gone(removed))


# ------------------------------------------------------------------------------------ helpers


def _costs(channels: Channels, node):
    """Yield an op's weight and cost: how often, and the axes whose sizes multiply that."""
    counted = multiply_adds(node)
    if counted is None:
        return
    times, axes = counted
    roots = []
    for i, axis in axes:
        labels = channels.source(node, i)
        ids = labels[axis] if labels else None
        ids = np.zeros(node.inputs[i].shape[axis], int) if ids is None else ids
        roots.append(channels.roots(ids))
    weight = channels.trace.names.get(node.edges[1])
    yield weight or type(node).__name__, (times, roots)


def _kept(cost, gone: np.ndarray) -> int:
    times, axes = cost
    return 2 * times * math.prod([int(stay(roots, gone).sum()) for roots in axes])


def _refuse_masks(model: Module) -> None:
    if is_pruned(model):
        raise ValueError(
            message(
                "prune",
                "the network still has masks, and which channels matter depends on them.",
                do="make them permanent first: nn.utils.prune.remove(module, name)",
            )
        )
