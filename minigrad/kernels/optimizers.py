"""Optimizer steps on the CPU: lists of arrays, in place, piece by piece through the cache.

An update reads and writes every parameter several times. Cut into pieces of PIECE numbers, all
passes but the first run in cache, and no temporary is larger than a piece. The arithmetic is
elementwise, so pieces cannot change it. Pieces are too short to be worth a second thread.

Before this: ``plain.py``, which gives the formulas. This is the last file of the kernels.
"""

from __future__ import annotations

import math

import numpy as np

from .blas import axpby
from .memory import scratch

PIECE = 1 << 18  # numbers: shorter ones cost more calls than they save in cache misses (measured)


def _each_piece(update, params, *lists):
    """Call ``update(i, p, ...)`` on flat pieces of the i-th arrays, or on whole arrays that cannot
    be flattened.
    """
    for i, arrays in enumerate(zip(params, *lists)):
        if arrays[0].size <= PIECE or not all([a is None or a.flags.c_contiguous for a in arrays]):
            update(i, *arrays)
            continue
        flat = [None if a is None else a.reshape(-1) for a in arrays]
        for start in range(0, flat[0].size, PIECE):
            part = slice(start, start + PIECE)
            update(i, *[None if a is None else a[part] for a in flat])


def _direction(p, g, weight_decay, maximize):
    """The gradient with its sign and the penalty's part: g itself, or scratch."""
    if not maximize and weight_decay == 0:
        return g
    d = scratch("direction", p.shape, p.dtype)
    if weight_decay != 0:
        np.multiply(p, weight_decay, out=d)
        (np.subtract if maximize else np.add)(d, g, out=d)
        return d
    return np.negative(g, out=d)


def sgd_update(
    params, grads, buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    """See `minigrad.kernels.plain.sgd_update`."""
    if momentum == 0:
        buffers = [None] * len(params)
    fresh = [buffer is None for buffer in buffers]
    if momentum != 0:
        for i, p in enumerate(params):
            if fresh[i]:
                buffers[i] = np.empty_like(p)

    def update(i, p, g, b):
        d = _direction(p, g, weight_decay, maximize)
        if momentum != 0:
            if fresh[i]:
                b[...] = d
            else:
                axpby(1 - dampening, d, momentum, b)
            if nesterov:
                t = scratch("temporary", p.shape, p.dtype)
                np.multiply(b, momentum, out=t)
                d = np.add(t, d, out=t)
            else:
                d = b
        axpby(-lr, d, 1, p)

    _each_piece(update, params, grads, buffers)


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
    b1, b2 = betas

    def update(i, p, g, m, v, largest):
        t = scratch("temporary", p.shape, p.dtype)
        if decoupled and weight_decay != 0:
            p *= 1 - lr * weight_decay
        d = _direction(p, g, 0 if decoupled else weight_decay, maximize)
        axpby(1 - b1, d, b1, m)
        np.multiply(d, d, out=t)
        axpby(1 - b2, t, b2, v)
        if largest is not None:
            v = np.maximum(largest, v, out=largest)
        np.sqrt(v, out=t)
        t /= math.sqrt(1 - b2 ** steps[i])
        t += eps
        np.divide(m, t, out=t)
        axpby(-lr / (1 - b1 ** steps[i]), t, 1, p)

    _each_piece(
        update, params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs or [None] * len(params)
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

    def update(i, p, g, v, mean, b):
        t = scratch("temporary", p.shape, p.dtype)
        d = _direction(p, g, weight_decay, maximize)
        np.multiply(d, d, out=t)
        axpby(1 - alpha, t, alpha, v)
        if centered:
            axpby(1 - alpha, d, alpha, mean)
            np.multiply(mean, mean, out=t)
            np.subtract(v, t, out=t)
            np.sqrt(t, out=t)
        else:
            np.sqrt(v, out=t)
        t += eps
        np.divide(d, t, out=t)
        if momentum > 0:
            axpby(1, t, momentum, b)
            t = b
        axpby(-lr, t, 1, p)

    none = [None] * len(params)
    _each_piece(update, params, grads, square_avgs, grad_avgs or none, buffers or none)
