"""Groups: the layers whose output channels stay or go together, and how many of them may go.

`Channels` knows of single ids, and which are tied. What one wants to say is "half of this layer";
so the ids that a layer gives as output channels become its *units*, and layers that share ids (for
their outputs are added) become one group, with one set of units. A group also knows why nothing of
it can be removed, and never gives a layer's last channel away.

Before this: ``channel_rules.py``, ``importance.py``. Next: ``structure.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .._errors import message
from ._select import is_number, is_whole
from .channel_rules import Reason
from .channels import STAYS, Channels


@dataclass
class Group:
    """Layers whose output channels stay or go together.

    Attributes
    ----------
    name : str
        The path of the first of the layers.
    layers : dict from str to array of int
        For each layer, which unit each of its output channels belongs to; -1 where it belongs to
        none that can be removed.
    size : int
        How many units can be removed. For a single layer a unit is an output channel.
    reason : Reason or None
        Why nothing (or not all) of it can be removed; ``reason.op`` names an op that could not
        be followed.
    """

    name: str
    layers: dict[str, np.ndarray]
    roots: np.ndarray  # the channel ids that stand for the units
    gives: set  # (parameter name, axis) of each layer
    reason: Reason | None = None

    @property
    def size(self) -> int:
        return len(self.roots)

    @property
    def most(self) -> int:
        """How many units may go, so that each layer keeps at least one channel."""
        return self.size - any((units >= 0).all() for units in self.layers.values())

    def lowest(self, scores: np.ndarray, count: int) -> list[int]:
        """Return the units with the lowest scores, but leave each layer a channel."""
        removed: list[int] = []
        for unit in np.argsort(scores, kind="stable").tolist():
            if len(removed) == count:
                break
            if not self.emptied([*removed, unit]):
                removed.append(unit)
        return sorted(removed)

    def emptied(self, removed) -> str | None:
        """Return the name of a layer that would have no output channel left, or None."""
        for name, units in self.layers.items():
            if np.isin(units, removed).all():
                return name
        return None


def find_groups(axes: dict, channels: Channels, modules: dict) -> dict[str, Group]:
    """Return the output axes of all layers, grouped where they share channels."""
    members: list[list] = []
    for key in channels.layers:
        mine = set(axes[key].tolist()) - {STAYS}
        shared = [m for m in members if any(mine & set(axes[other].tolist()) for other in m)]
        for group in shared[1:]:
            shared[0].extend(group)
            members.remove(group)
        if shared:
            shared[0].append(key)
        else:
            members.append([key])
    names_of: dict[tuple, str] = {}
    for key in channels.layers:
        name = layer_name(key[0], modules)
        taken = name in names_of.values()  # a matrix that multiplies from both sides
        names_of[key] = f"{name} (axis {key[1]})" if taken else name
    groups = {}
    for keys in members:
        keys = [key for key in channels.layers if key in keys]  # in forward order again
        names = [names_of[key] for key in keys]
        roots = list(dict.fromkeys(root for key in keys for root in axes[key].tolist()))
        reasons = [channels.reasons[root] for root in roots if root in channels.reasons]
        roots = [root for root in roots if root != STAYS and root not in channels.reasons]
        unit = {root: i for i, root in enumerate(roots)}
        units = [np.array([unit.get(root, -1) for root in axes[key].tolist()]) for key in keys]
        reason = next((r for r in reasons if r.op), reasons[0] if reasons else None)
        layers = dict(zip(names, units))
        groups[names[0]] = Group(names[0], layers, np.array(roots, int), set(keys), reason)
    return groups


def layer_name(parameter: str, modules: dict) -> str:
    """Return the path of the layer whose weight this is, or else the parameter's own name."""
    path, _, name = parameter.rpartition(".")
    return path if name == "weight" and path in modules else parameter


def units_meant(amount, group: Group) -> int:
    """Return how many units an amount means."""
    is_count = is_whole(amount)
    if is_number(amount) and amount > 0 and not group.most:
        raise stopped(group)
    if not is_number(amount) or not 0 <= amount <= (group.size if is_count else 1):
        raise ValueError(
            message(
                "prune",
                f"the amount for {group.name!r} is out of range.",
                expect=f"a share from 0 to below 1, or a number of units, below {group.size}",
                actual=repr(amount),
            )
        )
    if is_count or amount == 1:
        count = int(amount) if is_count else group.size
        if count > group.most:
            raise nothing_left(group.name)
        return count
    return min(round(amount * group.size), group.most)


def nothing_left(layer: str) -> ValueError:
    problem = f"nothing would be left of layer {layer!r}."
    do = "leave at least one channel; to take out a whole layer, use remove_modules"
    return ValueError(message("prune", problem, do=do))


def stopped(group: Group) -> ValueError:
    reason = group.reason or Reason("it has a single channel")
    text = f"{reason.op}: {reason.text}" if reason.op else reason.text
    return ValueError(
        message(
            "prune",
            f"channels of {group.name!r} cannot be removed.",
            actual=text,
            do="leave this layer out: give layers=[...], or amounts by layer",
        )
    )
