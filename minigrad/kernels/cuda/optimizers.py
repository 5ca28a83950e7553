"""Optimizer steps on the GPU: one launch for up to 64 arrays; see ``optimizers.cu``.

``lr`` is a number, or a float64 array of one number on the device; ``steps`` are integers, or int64
arrays of one integer there. A captured step needs the latter: a number would be part of the graph.

Before this: ``random.py``. This is the last file of the CUDA kernels.
"""

from __future__ import annotations

import numpy as np

from minigrad import backend

from .. import plain
from . import launch

MOST = 64  # arrays in a table, and
CHUNK = 1024  # numbers that a block changes, as in optimizers.cu
TABLE = np.dtype(
    [
        *[(name, "u8", (MOST,)) for name in ("p", "g", "a", "b", "c")],
        *[("t", "i8", (MOST,)), ("size", "i4", (MOST,)), ("block", "i4", (MOST,))],
        *[("lr", "u8"), ("arrays", "i4"), ("t_stored", "i4")],
    ],
    align=True,
)


def _order(array):
    """How an array without gaps lies: "C", "F", or None for one with gaps."""
    flags = array.flags
    return "C" if flags.c_contiguous else "F" if flags.f_contiguous else None


def _update(name, params, grads, remembered, steps, lr, options, fallback):
    """Run kernel `name` on all arrays that it can work on, and `fallback(i)` on the others.

    Parameters
    ----------
    remembered : three lists of array, or None
    steps : list of int, or of int64 arrays
    options : tuple of numbers that follow ``lr`` in the kernel's arguments
    """
    xp, entries, kept = backend.cupy, [], []
    for i, (p, g) in enumerate(zip(params, grads)):
        arrays = [None if group is None else group[i] for group in remembered]
        order = _order(p)
        if not launch.runs(p, g, *arrays) or any(
            [order is None or (a is not None and _order(a) != order and a.ndim > 1) for a in arrays]
        ):
            if p.size:
                fallback(i)
            continue
        if _order(g) != order:  # a gradient may be a transposed view
            g = xp.ascontiguousarray(g) if order == "C" else xp.asfortranarray(g)
            kept.append(g)
        entries.append((p, g, *arrays, steps[i]))
    for start in range(0, len(entries), MOST):
        _launch(name, entries[start : start + MOST], lr, options)


def _launch(name, entries, lr, options):
    table = np.zeros((), TABLE)
    first_step = entries[0][-1]
    stored = backend.is_array(first_step)
    blocks = 0
    sizes, first_blocks, addresses, steps = [], [], [], []
    for p, g, a, b, c, step in entries:
        addresses.append([0 if array is None else array.data.ptr for array in (p, g, a, b, c)])
        steps.append(step.data.ptr if stored else step)
        sizes.append(p.size)
        first_blocks.append(blocks)
        blocks += -(-p.size // CHUNK)
    n = len(entries)
    for i, member in enumerate("pgabc"):
        table[member][:n] = [row[i] for row in addresses]
    table["t"][:n], table["size"][:n], table["block"][:n] = steps, sizes, first_blocks
    table["arrays"], table["t_stored"] = n, stored
    on_device = backend.is_array(lr) and not isinstance(lr, np.ndarray)
    table["lr"] = lr.data.ptr if on_device else 0
    launch.kernel("optimizers", name, entries[0][0].dtype)(
        (blocks,), (launch.THREADS,), (table, 0.0 if on_device else float(lr), *options)
    )


def _part(arrays, i):
    return None if arrays is None else [arrays[i]]


def sgd_update(
    params, grads, buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    """See `minigrad.kernels.plain.sgd_update`."""
    options = dict(
        momentum=momentum,
        dampening=dampening,
        weight_decay=weight_decay,
        nesterov=nesterov,
        maximize=maximize,
    )
    if type(params[0]) is np.ndarray:
        plain.sgd_update(params, grads, buffers, lr=lr, **options)
        return
    # A buffer's first value is the gradient itself. The kernel does so where the step's number is
    # 1, and has no other use for that number.
    fresh = [momentum != 0 and buffers[i] is None for i in range(len(params))]
    work = list(buffers) if momentum != 0 else None
    for i, p in enumerate(params):
        if fresh[i]:
            work[i] = backend.cupy.empty_like(p)

    def fallback(i):
        own = [None if fresh[i] or work is None else work[i]]
        plain.sgd_update([params[i]], [grads[i]], own, lr=lr, **options)
        if work is not None:
            work[i] = own[0]

    _update(
        *("sgd", params, grads, (work, None, None), [1 if new else 2 for new in fresh], lr),
        (
            *(float(momentum), float(dampening), float(weight_decay)),
            *(np.int32(nesterov), np.int32(maximize)),
        ),
        fallback,
    )
    if work is not None:
        buffers[:] = work


def adam_update(
    params,
    grads,
    exp_avgs,
    exp_avg_sqs,
    max_exp_avg_sqs,
    steps,
    *,
    lr,
    betas,
    eps,
    weight_decay,
    decoupled,
    maximize,
):
    """See `minigrad.kernels.plain.adam_update`."""
    options = dict(
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        decoupled=decoupled,
        maximize=maximize,
    )
    state = (exp_avgs, exp_avg_sqs, max_exp_avg_sqs)
    if type(params[0]) is np.ndarray:
        plain.adam_update(params, grads, *state, steps, **options)
        return

    def fallback(i):
        own = [_part(arrays, i) for arrays in state]
        plain.adam_update([params[i]], [grads[i]], *own, [steps[i]], **options)

    _update(
        *("adam", params, grads, state, steps, lr),
        (
            *(float(betas[0]), float(betas[1]), float(eps), float(weight_decay)),
            *(np.int32(decoupled), np.int32(maximize)),
        ),
        fallback,
    )


def rmsprop_update(
    params,
    grads,
    square_avgs,
    grad_avgs,
    buffers,
    *,
    lr,
    alpha,
    eps,
    weight_decay,
    momentum,
    centered,
    maximize,
):
    """See `minigrad.kernels.plain.rmsprop_update`."""
    options = dict(
        lr=lr,
        alpha=alpha,
        eps=eps,
        weight_decay=weight_decay,
        momentum=momentum,
        centered=centered,
        maximize=maximize,
    )
    state = (square_avgs, grad_avgs if centered else None, buffers if momentum > 0 else None)
    if type(params[0]) is np.ndarray:
        plain.rmsprop_update(params, grads, *state, **options)
        return

    def fallback(i):
        own = [_part(arrays, i) for arrays in state]
        plain.rmsprop_update([params[i]], [grads[i]], *own, **options)

    _update(
        *("rmsprop", params, grads, state, [0] * len(params), lr),
        (
            *(float(alpha), float(eps), float(weight_decay), float(momentum)),
            np.int32(maximize),
        ),
        fallback,
    )
