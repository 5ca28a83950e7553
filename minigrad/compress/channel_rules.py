"""What each op does to channels: one rule for an op, from the labels of its inputs to its output's.

A rule ties what must stay or go together (the columns of a convolution's weight and the channels
of its input), fixes what cannot go (a softmax mixes its channels), and says which ids the entries
of the result carry. It computes nothing: it looks at shapes, and at what the op was told.

To teach the pruner a new op, write its rule and put it into `RULES`; for an op that works element
by element the rule is `elementwise`. An op without a rule keeps all that flows into it
(`unknown`).

Before this: ``channels.py``, which says what labels are and calls the rules. Next:
``importance.py``, then ``groups.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .._tensor import Tensor
from ..nn.layers import Conv2d as Conv2dLayer
from ..ops import conv, linalg, loss, norm, pool, reduce, shape
from ..ops import elementwise as ew


@dataclass(frozen=True)
class Reason:
    """Why a channel must stay; `op` is the op that could not be followed, if there is one."""

    text: str
    op: str | None = None


def stays(sizes) -> list:
    """Return the labels of a tensor of which nothing can be removed."""
    return [np.zeros(n, int) for n in sizes]


def op_name(op) -> str:
    return op if isinstance(op, str) else type(op).__name__


# ------------------------------------------------------------------------ one rule for each op
#
# rule(channels, node, *labels of the inputs) returns the labels of the output, or None for
# "nothing of it can be removed".


def unknown(channels, node, *sources):
    """An op without a rule: whatever flows into it must stay."""
    for labels in sources:
        if isinstance(labels, list):
            for ids in labels:
                channels.fix(ids, Reason("there is no rule for this op", op_name(node)))


def elementwise(channels, node, *sources):
    """Entry by entry: the axes of all inputs are tied.

    Of a constant the graph keeps no shape where `backward` does not need its value (in x + 1). It
    is taken to fit; if it does not, the smaller network is found not to run.
    """
    for i, labels in enumerate(sources):
        if node.edges[i] is None and isinstance(labels, list):
            _meet_constant(channels, node, labels, sources)
    return _tied(channels, node, sources)


def _tied(channels, node, sources) -> list:
    result = [None] * len(node.shape)
    for labels in sources:
        if isinstance(labels, list):
            result = [channels.tie(a, b, node) for a, b in zip(result, labels)]
    return result


def _meet_constant(channels, node, constant, sources):
    """A constant cannot be cut: the axes along which it has entries of its own must stay."""
    reason = Reason("it combines them with a constant made in forward", op_name(node))
    for labels in sources:
        if isinstance(labels, list) and labels is not constant:
            for axis, ids in enumerate(labels):
                if constant[axis] is not None:
                    channels.fix(ids, reason)


def where(channels, node, condition, *choices):
    """Entry by entry, too; the condition is no part of the graph."""
    return _tied(channels, node, choices)


def convolution(channels, node, x, w, b=None):
    """y[o] += x[c] w[o, c]: the input's channels are the columns of w, the output's its rows."""
    x = x or stays(node.inputs[0].shape)
    for ids in [*x[2:], *w[2:]]:
        channels.fix(ids, Reason("it slides along this axis", op_name(node)))
    rows, columns, groups = w[0], w[1], node.how["groups"]
    if groups == 1:
        channels.tie(columns, x[1], node)
    elif len(columns) == 1 and isinstance(_owner(channels, node), Conv2dLayer):
        # Depthwise: each channel has its own kernels, and they go with it.
        channels.tie(rows, np.repeat(x[1], len(rows) // groups), node)
        channels.fix(columns, Reason("a depthwise kernel has one input"))
    else:
        # Groups stay, and each of them loses as much: place k of one goes with place k of all.
        for ids in (x[1], rows):
            for part in ids.reshape(groups, -1)[1:]:
                channels.tie(ids[: len(part)], part, node)
        channels.tie(columns, x[1][: len(columns)], node)
    channels.gives_channels(rows)
    if b is not None:
        channels.tie(rows, b[0], node)
    return [x[0], rows, *stays(node.shape[2:])]


def transposed_convolution(channels, node, x, w):
    """y[o] += x[c] w[c, o]: as `convolution`, with the two axes of w exchanged."""
    x = x or stays(node.inputs[0].shape)
    reason = Reason("it slides along this axis", op_name(node))
    for ids in [*x[2:], *w[2:]]:
        channels.fix(ids, reason)
    if node.how["groups"] > 1:
        return unknown(channels, node, x, w)
    channels.tie(w[0], x[1], node)
    channels.gives_channels(w[1])
    return [x[0], w[1], *stays(node.shape[2:])]


def linear(channels, node, x, w, b=None):
    """Y = X W^T + b: the input's features are the columns of W, the output's its rows."""
    channels.tie(w[1], (x or stays(node.inputs[0].shape))[1], node)
    channels.gives_channels(w[0])
    if b is not None:
        channels.tie(w[0], b[0], node)
    return [x[0] if x else np.zeros(node.shape[0], int), w[0]]


def matmul(channels, node, a, b):
    """Y = A B: the columns of A are the rows of B."""
    a, b = a or stays(node.inputs[0].shape), b or stays(node.inputs[1].shape)
    channels.tie(a[-1], b[-2], node)
    channels.gives_channels(b[-1])
    leading = [channels.tie(i, j, node) for i, j in zip(a[:-2], b[:-2])]
    return [*leading, a[-2], b[-1]]


def batch_norm(channels, node, x, *affine):
    """Each channel for itself: weight and bias go with it."""
    for (ids,) in affine:
        channels.tie(ids, x[1], node)
    return x


def pooling(channels, node, x):
    for ids in x[2:]:
        channels.fix(ids, Reason("its windows slide along this axis", op_name(node)))
    return [*x[:2], *stays(node.shape[2:])]


def along_axis(channels, node, x):
    """Softmax and its like: every entry along the axis depends on all others."""
    channels.fix(x[node.axis], Reason("it mixes the channels", op_name(node)))
    return x


def extreme(channels, node, x):
    return [along(channels, node, ids) if i in node.axes else ids for i, ids in enumerate(x)]


def along(channels, node, ids):
    """An axis is reduced to one entry."""
    channels.fix(ids, Reason("it takes the channels together", op_name(node)))
    return np.zeros(1, int)


def sum_to(channels, node, x):
    new = len(x) - len(node.shape)
    for ids in x[:new]:
        along(channels, node, ids)
    return [
        along(channels, node, ids) if n == 1 and (ids is None or len(ids) > 1) else ids
        for ids, n in zip(x[new:], node.shape)
    ]


def broadcast_to(channels, node, x):
    new = len(node.shape) - len(x)
    kept = [ids if ids is None or len(ids) == n else None for ids, n in zip(x, node.shape[new:])]
    return [None] * new + kept


def transpose(channels, node, x):
    return [x[axis] for axis in node.axes]


def reshape(channels, node, x):
    """Axes merged or split: the ids of a block of axes, laid out as the numbers are."""
    result = []
    for before, after in _blocks(node.x_shape, node.shape):
        sizes = [node.x_shape[axis] for axis in before]
        labelled = [axis for axis in before if x[axis] is not None and x[axis].any()]
        if len(labelled) > 1:
            for axis in labelled:
                reason = Reason("it makes one axis of two that can be pruned", op_name(node))
                channels.fix(x[axis], reason)
        ids = np.zeros(sizes, int)
        if len(labelled) == 1:
            axis = before.index(labelled[0])
            ids += x[labelled[0]].reshape([-1 if i == axis else 1 for i in range(len(sizes))])
        result += _split(channels, node, ids.reshape([node.shape[axis] for axis in after]))
    return result


def _split(channels, node, ids: np.ndarray) -> list:
    """Return the labels of several axes whose entries carry `ids`; one axis must tell them."""
    labels = stays(ids.shape)
    if not ids.any():
        return labels
    for axis, size in enumerate(ids.shape):
        line = np.moveaxis(ids, axis, 0).reshape(size, -1)
        if (line == line[:, :1]).all():
            labels[axis] = line[:, 0]
            return labels
    channels.fix(ids.ravel(), Reason("it splits the channels over two axes", op_name(node)))
    return labels


def _blocks(before: tuple, after: tuple):
    """Yield the smallest runs of axes of two shapes that hold the same numbers."""
    i = j = 0
    while i < len(before) or j < len(after):
        first, second = [i] if i < len(before) else [], [j] if j < len(after) else []
        i, j = i + len(first), j + len(second)
        while math.prod(before[k] for k in first) != math.prod(after[k] for k in second):
            if math.prod(before[k] for k in first) < math.prod(after[k] for k in second):
                first.append(i)
                i += 1
            else:
                second.append(j)
                j += 1
        yield first, second


def concat(channels, node, *sources):
    sizes = np.diff([0, *node.ends]).tolist()
    result, joined = [None] * len(node.shape), []
    for size, labels in zip(sizes, sources):
        labels = labels or stays([size if i == node.axis else n for i, n in enumerate(node.shape)])
        ids = labels[node.axis]
        joined.append(np.zeros(size, int) if ids is None else ids)
        result = [channels.tie(a, b, node) if i != node.axis else None
                  for i, (a, b) in enumerate(zip(result, labels))]  # fmt: skip
    result[node.axis] = np.concatenate(joined)
    return result


def pad(channels, node, x):
    for axis, inside in enumerate(node.inside):
        if inside.stop - inside.start != node.shape[axis]:
            channels.fix(x[axis], Reason("it adds channels", op_name(node)))
    return [ids if ids is None or len(ids) == n else np.zeros(n, int)
            for ids, n in zip(x, node.shape)]  # fmt: skip


def index(channels, node, x):
    """Whole axes go through; an axis that is cut or picked from must stay."""
    key = node.key if isinstance(node.key, tuple) else (node.key,)
    basic = all(isinstance(part, (int, slice)) or part is None or part is ... for part in key)
    if not basic:
        return _index_first(channels, node, x, key)
    named = sum(isinstance(part, (int, slice)) for part in key)
    rest = [slice(None)] * (len(x) - named)
    where_rest = key.index(...) if ... in key else len(key)
    key = [*key[:where_rest], *rest, *key[where_rest + 1 :]]
    result, axis = [], 0
    for part in key:
        if part is None:
            result.append(np.zeros(1, int))
            continue
        ids, size, axis = x[axis], node.x_shape[axis], axis + 1
        if isinstance(part, slice) and part.indices(size) == (0, size, 1):
            result.append(ids)
            continue
        channels.fix(ids, Reason("it picks channels by their place", op_name(node)))
        if isinstance(part, slice):
            result.append(np.zeros(len(range(*part.indices(size))), int))
    return result


def _index_first(channels, node, x, key):
    """Rows picked by one array, as an embedding does: the other axes go through."""
    if len(key) != 1 or key[0].dtype.kind not in "iu":
        return unknown(channels, node, x)
    channels.fix(x[0], Reason("it picks entries by their place", op_name(node)))
    for ids in x[1:]:
        channels.gives_channels(ids)
    return [*stays(key[0].shape), *x[1:]]


def _owner(channels, node):
    """Return the module that holds the weight of a convolution, or None."""
    weight = node.edges[1]
    return channels.owners.get(weight) if isinstance(weight, Tensor) else None


RULES = {
    conv.Conv2d: convolution,
    conv.Conv2dInput: transposed_convolution,
    linalg.Linear: linear,
    linalg.MatMul: matmul,
    norm.BatchNorm: batch_norm,
    pool.MaxPool2d: pooling,
    pool.SumPool2d: pooling,
    loss.Softmax: along_axis,
    loss.LogSoftmax: along_axis,
    reduce.Cumsum: along_axis,
    reduce.Amax: extreme,
    reduce.Amin: extreme,
    shape.SumTo: sum_to,
    shape.MeanTo: sum_to,
    shape.BroadcastTo: broadcast_to,
    shape.Transpose: transpose,
    shape.Reshape: reshape,
    shape.Concat: concat,
    shape.Pad: pad,
    shape.Index: index,
    ew.Where: where,
    **dict.fromkeys(
        [ew.Add, ew.Sub, ew.Mul, ew.Div, ew.Pow, ew.Maximum, ew.Minimum, ew.Remainder,
         ew.RoundedDiv, ew.Shift, ew.Scale, ew.Neg, ew.Cast, ew.ToDevice, ew.Clone, ew.Exp,
         ew.Log, ew.Log1p, ew.Sqrt, ew.Sin, ew.Cos, ew.Tanh, ew.Sigmoid, ew.Relu, ew.Abs,
         ew.Clamp, ew.Step, loss.Softplus],
        elementwise,
    ),
}  # fmt: skip
