"""Which channels belong together: the axes of all parameters, followed through the graph.

Every entry of every axis of every parameter gets a number, its *channel id*. Row 3 of a
convolution's weight, entry 3 of its bias, entry 3 of the batch norm behind it and column 3 of the
next convolution must stay or go together; the rules of ``channel_rules.py`` find that out, one
op at a time, and `Channels` ties such ids to one. Taking a channel out is then a single sentence:
*every parameter drops, along every axis, the entries that carry its id*.

A tensor's *labels* say for each of its axes which id each entry carries: an array, or None for
an axis that is made of copies (broadcast), which fits whatever it meets. The id 0 means "must
stay": the network's input and output, batch and image axes, and whatever met an op that has no
rule here. Such an op does no harm until someone wants to prune what flowed into it; then the
reason kept by `Channels.fix` names it.

Before this: ``trace.py``. Next: ``channel_rules.py``.
"""

from __future__ import annotations

import numpy as np

from .._tensor import Tensor
from ..autograd import Function
from ..nn.layers import _BatchNorm
from .channel_rules import RULES, Reason, op_name, stays, unknown
from .trace import Trace

STAYS = 0  # the id of all that cannot be removed
NUMBER = "a number"  # stands for the labels of an input that has no axes of its own


class Channels:
    """The channel ids of a traced network.

    Attributes
    ----------
    axes : dict from (parameter name, axis) to array of int
        The ids along each axis of each parameter and buffer. Look them up through `roots`.
    layers : dict from (parameter name, axis) to None
        The axes, in forward order, along which layers give their output channels.
    norms : dict from str to array of int
        The ids along the channels of each batch norm module.
    reasons : dict from int to Reason
        By root: why it must stay.
    """

    def __init__(self, trace: Trace):
        self.trace = trace
        self.parent = [STAYS]
        self.origin: list = [None]
        self.reasons: dict[int, Reason] = {}
        self.axes: dict[tuple, np.ndarray] = {}
        self.layers: dict[tuple, None] = {}
        self.labels: dict = {}
        self.norms: dict[str, np.ndarray] = {}
        self.owners = {}
        for call in trace.calls:
            for part in vars(call.module).values():
                if isinstance(part, Tensor):
                    self.owners[part] = call.module
        self._follow()

    def _follow(self) -> None:
        for node in self.trace.nodes:
            sources = [self.source(node, i) for i in range(len(node.edges))]
            rule = RULES.get(type(node), unknown)
            labels = rule(self, node, *sources)
            self.labels[node] = labels if labels is not None else stays(node.shape)
        around = "what it returns reaches the output past the graph, or not at all"
        for node in self.trace.cut_off:
            for ids in self.labels[node]:
                self.fix(ids, Reason(around, "detach(), NumPy or no_grad()"))
        for y in self.trace.outputs:
            for ids in self.labels[y.creator]:
                self.fix(ids, Reason("they are the network's output"), last_word=True)
        for call in self.trace.calls:  # running statistics are no part of the graph
            if isinstance(call.result, Function) and call.result in self.labels:
                self._tie_statistics(call)

    def _tie_statistics(self, call) -> None:
        if not isinstance(call.module, _BatchNorm):
            return
        per_channel = self.norms[call.path] = self.labels[call.result][1]
        for buffer in (call.module.running_mean, call.module.running_var):
            if buffer is not None:
                self.tie(self._leaf(buffer)[0], per_channel, "BatchNorm")

    def source(self, node: Function, i: int):
        """Return the labels of a node's input."""
        edge = node.edges[i]
        if isinstance(edge, Function):
            return self.labels[edge]
        if edge is not None:
            return self._leaf(edge)
        if not node.reads_inputs:
            return None  # a constant that the graph does not keep
        constant = node.inputs[i]
        if not isinstance(constant, Tensor):
            return NUMBER
        array = constant.array  # where it was broadcast, a step along the axis goes nowhere
        is_copy = [n > 1 and step == 0 for n, step in zip(array.shape, array.strides)]
        return [None if c else np.zeros(n, int) for n, c in zip(array.shape, is_copy)]

    def _leaf(self, tensor: Tensor) -> list:
        """Return the labels of a parameter or buffer: at first sight, fresh ids on every axis."""
        name = self.trace.names.get(tensor)
        if name is None:
            return stays(tensor.shape)
        for axis, size in enumerate(tensor.shape):
            if (name, axis) not in self.axes:
                first = len(self.parent)
                self.parent += range(first, first + size)
                self.origin += [(name, axis)] * size
                self.axes[name, axis] = np.arange(first, first + size)
        return [self.axes[name, axis] for axis in range(tensor.ndim)]

    # -------------------------------------------------------------------- ties between ids

    def root(self, i: int) -> int:
        """Return the id that stands for all ids tied to `i`."""
        while self.parent[i] != i:
            self.parent[i] = i = self.parent[self.parent[i]]
        return i

    def roots(self, ids: np.ndarray) -> np.ndarray:
        """Return `root` of each."""
        return np.array([self.root(i) for i in ids.tolist()], int)

    def tie(self, a, b, op) -> np.ndarray | None:
        """Say that two axes of one size stay or go together, entry by entry; return either."""
        if a is None or b is None:
            return b if a is None else a
        for i, j in sorted(set(zip(a.tolist(), b.tolist()))):
            i, j = sorted((self.root(i), self.root(j)))
            if i == j:
                continue
            if i == STAYS:
                self._keep(j, Reason(f"{op_name(op)} ties them to what keeps its size"))
                continue
            self.parent[j] = i
            if j in self.reasons:
                self._keep(i, self.reasons.pop(j))
        return a

    def fix(self, ids, reason: Reason, last_word: bool = False) -> None:
        """Say that these channels must stay, and why."""
        for i in set() if ids is None else set(ids.tolist()):
            self._keep(self.root(i), reason, last_word)

    def _keep(self, root: int, reason: Reason, last_word: bool = False) -> None:
        before = self.reasons.get(root)
        if root != STAYS and (before is None or (reason.op and not before.op) or last_word):
            self.reasons[root] = reason

    def gives_channels(self, ids) -> None:
        """Note that these ids, if they are a parameter's own axis, are a layer's output."""
        for i in [] if ids is None else ids.tolist():
            if self.origin[i] is not None:
                self.layers.setdefault(self.origin[i])
