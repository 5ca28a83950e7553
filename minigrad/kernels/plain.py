"""The kernels in their plain form: a few array calls each, the same for CuPy and for NumPy.

Ops are mathematics, kernels are machinery: ``minigrad/ops/`` says what is computed, this package
how it is laid over the hardware. This file is the plain statement of every kernel, and where to
look up what one computes. ``cpu.py`` has the same names, faster on a CPU (blocks, threads, reused
memory), and ``cuda/`` has them as CUDA programs; the tests hold the three together. On a GPU this
form is also what runs for dtypes that the CUDA programs do not have (half precision, integers).

Written in calls that CuPy has, and that neither wait for a value nor copy one from the host: no
``where=``, no boolean masks, no writes into broadcast views. (`index_add` with a mask is
the exception.)

Before this: ``windows.py``. Next: ``cpu.py``.
"""

from __future__ import annotations

import math

import numpy as np

from .windows import Winners, conv_output_size, offsets


def _module(array):
    """NumPy or CuPy, whichever ``array`` belongs to."""
    if type(array) is np.ndarray:
        return np
    from minigrad.backend import array_module

    return array_module(array)


# ------------------------------------------------------------------------------ matrix product


def matmul(a, b):
    """``a @ b`` with NumPy's rules for shapes."""
    return _module(a).matmul(a, b)


# ------------------------------------------------------------------------------ convolution


def unfold(x, kernel_size, stride, padding, dilation, groups, out_size):
    """Columns (groups, C/groups * KH * KW, N * OH * OW): under each output, the inputs its window
    sees.
    """
    xp = _module(x)
    N, C, H, W = x.shape
    columns = xp.zeros((C, *kernel_size, N, *out_size), dtype=x.dtype)
    x = x.transpose(1, 0, 2, 3)
    corner = (padding[0][0], padding[1][0])
    for i, j, out, inp in offsets(kernel_size, stride, corner, dilation, (H, W), out_size):
        columns[:, i, j][out] = x[inp]
    return columns.reshape(groups, C // groups * math.prod(kernel_size), N * math.prod(out_size))


def fold(columns, shape, kernel_size, stride, padding, dilation, out_size):
    """Adjoint of `unfold`: add every column entry to the input that it was copied from."""
    xp = _module(columns)
    N, C, H, W = shape
    columns = columns.reshape(C, *kernel_size, N, *out_size)
    x = xp.zeros((C, N, H, W), dtype=columns.dtype)
    corner = (padding[0][0], padding[1][0])
    for i, j, out, inp in offsets(kernel_size, stride, corner, dilation, (H, W), out_size):
        x[inp] += columns[:, i, j][out]
    return x.transpose(1, 0, 2, 3)


def _by_channel(y, groups):
    """(N, F, OH, OW) as the matrices (groups, F/groups, N * OH * OW) that meet the columns."""
    N, F, OH, OW = y.shape
    return y.transpose(1, 0, 2, 3).reshape(groups, F // groups, N * OH * OW)


def conv2d(x, w, bias, stride, padding, dilation, groups):
    """Cross-correlation: y[n,o,i,j] = bias[o] + sum over c,p,q of w[o,c,p,q]
    x[n,c,i*s+p*d-top,j*s+q*d-left].

    Parameters
    ----------
    x : array (N, C, H, W), any strides.
    w : array (F, C/groups, KH, KW) of x's dtype: F filters, the output's channels.
    bias : array (F,) or None.
    stride, dilation : (int, int)
    padding : ((top, bottom), (left, right)) zeros around x.
    groups : int; input channels of group g meet output channels of group g only.

    Returns
    -------
    array (N, F, OH, OW). Its memory may be in another order than its shape says.
    """
    kernel_size = w.shape[2:]
    N, F = x.shape[0], w.shape[0]
    OH, OW = conv_output_size(x.shape[2:], kernel_size, stride, padding, dilation)
    columns = unfold(x, kernel_size, stride, padding, dilation, groups, (OH, OW))
    y = _module(x).matmul(w.reshape(groups, F // groups, -1), columns)
    y = y.reshape(F, N, OH, OW)
    if bias is not None:
        y += bias.reshape(-1, 1, 1, 1)
    return y.transpose(1, 0, 2, 3)


def conv2d_input(gy, w, size, stride, padding, dilation, groups):
    """Adjoint of `conv2d` in x: gx (N, C, *size) from gy (N, F, OH, OW). This is the transposed
    convolution.
    """
    kernel_size = w.shape[2:]
    N, F = gy.shape[:2]
    matrix = w.reshape(groups, F // groups, -1).transpose(0, 2, 1)
    columns = _module(gy).matmul(matrix, _by_channel(gy, groups))
    shape = (N, w.shape[1] * groups, *size)
    return fold(columns, shape, kernel_size, stride, padding, dilation, gy.shape[2:])


def conv2d_weight(x, gy, kernel_size, stride, padding, dilation, groups):
    """Adjoint of `conv2d` in w: gw (F, C/groups, KH, KW) from x and gy (N, F, OH, OW)."""
    C, F = x.shape[1], gy.shape[1]
    columns = unfold(x, kernel_size, stride, padding, dilation, groups, gy.shape[2:])
    gw = _module(x).matmul(_by_channel(gy, groups), columns.transpose(0, 2, 1))
    return gw.reshape(F, C // groups, *kernel_size)


def conv2d_backward(gy, x, w, needs, stride, padding, dilation, groups):
    """The gradients of `conv2d` with respect to x, w and bias; None where ``needs`` has False."""
    how = (stride, padding, dilation, groups)
    return (
        conv2d_input(gy, w, x.shape[2:], *how) if needs[0] else None,
        conv2d_weight(x, gy, w.shape[2:], *how) if needs[1] else None,
        gy.sum(axis=(0, 2, 3)) if needs[2] else None,
    )


# ------------------------------------------------------------------------------ pooling


def code_dtype(kernel_size):
    """The small integer type in which max pooling notes which of the window's offsets won."""
    return np.dtype(np.uint8 if math.prod(kernel_size) <= 256 else np.int32)


def lowest(dtype):
    """The value that loses every comparison: minus infinity, or the least integer."""
    return np.iinfo(dtype).min if dtype.kind in "iu" else -np.inf


def first_inside(kernel_size, stride, padding, dilation, output_size, xp=np):
    """For each output, the code of the first offset inside the input: where a window of -inf has
    its maximum.
    """
    first = []
    for s, p, d, n in zip(stride, padding, dilation, output_size):
        starts = xp.arange(n) * s - p
        first.append(xp.maximum(0, -(starts // d)))
    return first[0][:, None] * kernel_size[1] + first[1]


def max_pool2d(x, kernel_size, stride, padding, dilation, output_size):
    """The largest input of every window, and which offset of the window it sat at.

    Parameters
    ----------
    x : array (N, C, H, W)
    kernel_size, stride, padding, dilation, output_size : (int, int)
        Padding is symmetric and never wins; output_size decides whether a last, partial window
        counts.

    Returns
    -------
    y : array (N, C, *output_size) of x's dtype
    winners : Winners
        For `max_pool2d_scatter`, `max_pool2d_gather` and `max_pool2d_flat_index` (PyTorch's index).
        The first of equals wins; a NaN wins over numbers, the last NaN over the others (as in
        PyTorch).
    """
    xp = _module(x)
    shape = (*x.shape[:2], *output_size)
    y = xp.full(shape, lowest(x.dtype), dtype=x.dtype)
    start = first_inside(kernel_size, stride, padding, dilation, output_size, xp)
    code = xp.zeros(shape, dtype=code_dtype(kernel_size)) + start.astype(code_dtype(kernel_size))
    for i, j, out, inp in offsets(kernel_size, stride, padding, dilation, x.shape[2:], output_size):
        best, value = y[out], x[inp]
        wins = (value > best) | (value != value)
        code[out] = xp.where(wins, code.dtype.type(i * kernel_size[1] + j), code[out])
        y[out] = xp.where(wins, value, best)
    return y, Winners(code, kernel_size, stride, padding, dilation)


def max_pool2d_scatter(gy, winners, size):
    """Adjoint of `max_pool2d_gather`: gx (N, C, *size) with every gy added where its window's
    maximum was.
    """
    xp = _module(gy)
    code, *window = winners
    gx = xp.zeros((*gy.shape[:2], *size), dtype=gy.dtype)
    for i, j, out, inp in offsets(*window, size, gy.shape[2:]):
        gx[inp] += xp.where(code[out] == i * winners.kernel_size[1] + j, gy[out], gy.dtype.type(0))
    return gx


def max_pool2d_gather(x, winners):
    """Pick from each window of x (N, C, H, W) the entry that won: linear in x."""
    xp = _module(x)
    code, *window = winners
    y = xp.zeros(code.shape, dtype=x.dtype)
    for i, j, out, inp in offsets(*window, x.shape[2:], code.shape[2:]):
        y[out] = xp.where(code[out] == i * winners.kernel_size[1] + j, x[inp], y[out])
    return y


def max_pool2d_flat_index(winners, size):
    """PyTorch's ``return_indices``: int64 positions in each flattened H*W plane of the input."""
    code, kernel_size, stride, padding, dilation = winners
    xp = _module(code)
    OH, OW = code.shape[2:]
    code = code.astype(np.int64)
    row = (
        xp.arange(OH).reshape(OH, 1) * stride[0] - padding[0] + code // kernel_size[1] * dilation[0]
    )
    column = xp.arange(OW) * stride[1] - padding[1] + code % kernel_size[1] * dilation[1]
    return row * size[1] + column


def sum_pool2d(x, kernel_size, stride, padding, output_size):
    """Sum of every window, padding counted as zero: y (N, C, *output_size). Average pooling divides
    it.
    """
    y = _module(x).zeros((*x.shape[:2], *output_size), dtype=x.dtype)
    for _, _, out, inp in offsets(kernel_size, stride, padding, (1, 1), x.shape[2:], output_size):
        y[out] += x[inp]
    return y


def sum_pool2d_adjoint(gy, kernel_size, stride, padding, size):
    """Adjoint of `sum_pool2d`: gx (N, C, *size), every gy spread over its whole window."""
    gx = _module(gy).zeros((*gy.shape[:2], *size), dtype=gy.dtype)
    for _, _, out, inp in offsets(kernel_size, stride, padding, (1, 1), size, gy.shape[2:]):
        gx[inp] += gy[out]
    return gx


# ------------------------------------------------------------------------------ loss and norm


def softmax_cross_entropy(z, labels):
    """-log softmax(z)[label] of every row, and the softmax itself.

    Parameters
    ----------
    z : array (N, C), the logits.
    labels : integer array (N,), each in [0, C); not checked here.

    Returns
    -------
    losses : array (N,)
    p : array (N, C), softmax of the rows, which the backward wants.
    """
    xp = _module(z)
    z = z - z.max(axis=1, keepdims=True)
    p = xp.exp(z)
    total = p.sum(axis=1, keepdims=True)
    picked = xp.take_along_axis(z, labels.reshape(-1, 1), axis=1)
    p /= total
    return (xp.log(total) - picked).reshape(-1), p


def softmax_cross_entropy_backward(g, p, labels):
    """gz = g (p - onehot(labels)), row by row; g (N,), p (N, C), labels (N,)."""
    xp = _module(p)
    onehot = labels.reshape(-1, 1) == xp.arange(p.shape[1])
    return g.reshape(-1, 1) * (p - onehot.astype(p.dtype))


def relu(x):
    """y = max(x, 0); NaN stays NaN."""
    return _module(x).maximum(x, 0)


def relu_backward(gy, y):
    """gx = gy where y = max(x, 0) is not 0, else 0; also where gy is infinite or NaN."""
    return _module(y).where(y == 0, gy.dtype.type(0), gy)


def _accumulation_dtype(dtype):
    """Half-precision statistics are summed in single precision, as PyTorch does."""
    return np.dtype(np.float32) if dtype == np.float16 else dtype


def batch_norm(x, weight, bias, eps):
    """Normalize every channel over all other axes, then scale and shift (Ioffe and Szegedy 2015,
    alg. 1).

    Parameters
    ----------
    x : array (N, C, ...)
    weight, bias : array (C,) or None
    eps : float, added to the variance.

    Returns
    -------
    y : array of x's shape and dtype
    mean, var, rstd : arrays (C,)
        ``var`` is biased (divided by the count); ``rstd = 1/sqrt(var + eps)``.
    """
    xp = _module(x)
    axes = (0, *range(2, x.ndim))
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    wide = x.astype(_accumulation_dtype(x.dtype))
    mean = wide.mean(axis=axes)
    centered = wide - mean.reshape(per_channel)
    var = (centered * centered).mean(axis=axes)
    rstd = 1 / xp.sqrt(var + eps)
    y = centered * rstd.reshape(per_channel)
    if weight is not None:
        y = y * weight.reshape(per_channel)
    if bias is not None:
        y = y + bias.reshape(per_channel)
    return tuple(a.astype(x.dtype) for a in (y, mean, var, rstd))


def batch_norm_backward(gy, x, weight, mean, rstd):
    """Gradients (gx, gw, gb) of `batch_norm` from gy, with xhat = (x - mean) rstd:

    gx = weight rstd (gy - mean(gy) - xhat mean(gy xhat)),  gw = sum(gy xhat),  gb = sum(gy).
    """
    axes = (0, *range(2, x.ndim))
    per_channel = (1, -1) + (1,) * (x.ndim - 2)
    count = x.size // x.shape[1]
    wide = _accumulation_dtype(x.dtype)
    gy = gy.astype(wide)
    xhat = (x.astype(wide) - mean.astype(wide).reshape(per_channel)) * rstd.astype(wide).reshape(
        per_channel
    )
    gb = gy.sum(axis=axes)
    gw = (gy * xhat).sum(axis=axes)
    scale = rstd if weight is None else rstd * weight
    gx = (gy - gb.reshape(per_channel) / count) - xhat * (gw.reshape(per_channel) / count)
    gx = gx * scale.reshape(per_channel)
    return tuple(a.astype(x.dtype) for a in (gx, gw, gb))


# ------------------------------------------------------------------------------ random, scatter


def dropout_mask(rng, shape, p, dtype, xp=np):
    """Zeros with probability p, else 1/(1-p): what dropout multiplies by (Srivastava et al. 2014).

    One number is drawn from ``rng``; the mask's entries are hashes of that number and their place.
    So they can be computed anywhere, in any order, and every device has the same.

    Parameters
    ----------
    rng : np.random.Generator
    shape : tuple of int
    p : float in [0, 1]
    dtype : floating dtype of the result
    xp : module of the result
    """
    return mask_from_key(draw_key(rng), shape, p, np.dtype(dtype), xp)


def draw_key(rng):
    """A random 64-bit integer: all that a dropout mask needs of a generator."""
    return int(rng.integers(0, 2**64, dtype=np.uint64))


def threshold(p):
    """The 32-bit integer below which a random one lies with probability p (p < 1)."""
    return min(round(p * 2**32), 2**32 - 1)


def mask_from_key(key, shape, p, dtype, xp=np):
    """The dropout mask of a 64-bit key."""
    halves = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    return mask_from_halves(*halves, shape, p, dtype, xp)


def mask_from_halves(low, high, shape, p, dtype, xp=np):
    """The same of the key's halves: unsigned 32-bit numbers, or arrays of one."""
    if p >= 1:
        return xp.zeros(shape, dtype=dtype)
    places = xp.arange(math.prod(shape), dtype=np.uint32)
    kept = hashed(places, low, high) >= np.uint32(threshold(p))
    mask = kept.astype(dtype)
    mask *= 1 / (1 - p)
    return mask.reshape(shape)


def hashed(x, low, high):
    """A random-looking 32-bit integer for each of the 32-bit integers x; x is overwritten.

    Two rounds of an integer hash with little bias (C. Wellons, "Prospecting for Hash Functions",
    2018: the constants of lowbias32), with half of the key added before each. An odd multiplier
    and a shift-and-xor are each one-to-one, so no two places share their number.
    """
    for half in (low, high):
        x += half
        x ^= x >> np.uint32(16)
        x *= np.uint32(0x7FEB352D)
        x ^= x >> np.uint32(15)
        x *= np.uint32(0x846CA68B)
        x ^= x >> np.uint32(16)
    return x


def index_add(shape, index, values):
    """zeros(shape) with ``out[index] += values``, where an entry named twice receives both: adjoint
    of indexing.
    """
    xp = _module(values)
    out = xp.zeros(shape, dtype=values.dtype)
    if is_basic(index):
        out[index] += values
    else:
        xp.add.at(out, without_masks(index), values)
    return out


def is_basic(index):
    """Whether ``index`` holds only integers, slices, None and Ellipsis, which never name an entry
    twice.
    """
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None
        or part is Ellipsis
        or isinstance(part, slice)
        or (isinstance(part, (int, np.integer)) and not isinstance(part, bool))
        for part in parts
    )


def without_masks(index):
    """Replace boolean arrays by the integer arrays that name the same entries, which ``add.at``
    takes everywhere.
    """
    if not isinstance(index, tuple):
        index = (index,)
    parts = []
    for part in index:
        dtype = getattr(part, "dtype", None)
        if dtype is not None and dtype.kind == "b" and part.ndim > 0:
            parts.extend(part.nonzero())
        else:
            parts.append(part)
    return tuple(parts)


# ------------------------------------------------------------------------------ optimizers


def _like(value, parameters):
    """A number as Python's; an array of one number in the parameters' dtype (no silent float64)."""
    if isinstance(value, (int, float)):
        return value
    if isinstance(value, (np.generic, np.ndarray)):  # beside arrays of a GPU, too
        return value.item()
    return value.astype((parameters[0] if type(parameters) is list else parameters).dtype)


def sgd_update(
    params, grads, buffers, *, lr, momentum, dampening, weight_decay, nesterov, maximize
):
    """One step of SGD on every parameter, in place, as PyTorch defines it:

    g = grad + weight_decay p;  b = momentum b + (1 - dampening) g (b = g at first);
    p -= lr (g + momentum b if nesterov else b).

    ``buffers`` is a list of arrays, or of None before the first step; it is filled in place. Here
    and below ``lr`` is a number, or an array of one number (a captured step reads it afresh each
    time).
    """
    lr = _like(lr, params)
    for i, (p, g) in enumerate(zip(params, grads)):
        if maximize:
            g = -g
        if weight_decay != 0:
            g = g + weight_decay * p
        if momentum != 0:
            if buffers[i] is None:
                buffers[i] = g.copy()
            else:
                buffers[i] *= momentum
                buffers[i] += (1 - dampening) * g
            g = g + momentum * buffers[i] if nesterov else buffers[i]
        p -= lr * g


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
    """One step of Adam (Kingma and Ba 2015, alg. 1) or, ``decoupled``, AdamW, in place on every
    parameter.

    m = b1 m + (1 - b1) g;  v = b2 v + (1 - b2) g^2;
    p -= lr/(1 - b1^t) m / (sqrt(v)/sqrt(1 - b2^t) + eps).

    ``steps`` holds each parameter's t, this step already counted: integers, or arrays of one
    integer. ``max_exp_avg_sqs`` is a list for AMSGrad, which divides by the largest v so far, or
    None.
    """
    b1, b2 = betas
    for i, (p, g, m, v, t) in enumerate(zip(params, grads, exp_avgs, exp_avg_sqs, steps)):
        xp = _module(p)
        if maximize:
            g = -g
        if weight_decay != 0:
            if decoupled:
                p *= _like(1 - lr * weight_decay, p)
            else:
                g = g + weight_decay * p
        m += (1 - b1) * (g - m)
        v *= b2
        v += (1 - b2) * g * g
        if max_exp_avg_sqs is not None:
            xp.maximum(max_exp_avg_sqs[i], v, out=max_exp_avg_sqs[i])
            v = max_exp_avg_sqs[i]
        denominator = xp.sqrt(v) / _like((1 - b2**t) ** 0.5, p) + eps
        p -= _like(lr / (1 - b1**t), p) * m / denominator


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
    """One step of RMSprop (Hinton 2012, lecture 6e), in place on every parameter, as PyTorch
    defines it:

    v = alpha v + (1 - alpha) g^2;  d = sqrt(v - (mean g)^2 if centered else v) + eps;
    b = momentum b + g/d, p -= lr b;  without momentum p -= lr g/d.
    """
    lr = _like(lr, params)
    for i, (p, g, v) in enumerate(zip(params, grads, square_avgs)):
        xp = _module(p)
        if maximize:
            g = -g
        if weight_decay != 0:
            g = g + weight_decay * p
        v *= alpha
        v += (1 - alpha) * g * g
        if centered:
            grad_avgs[i] += (1 - alpha) * (g - grad_avgs[i])
            denominator = xp.sqrt(v - grad_avgs[i] * grad_avgs[i]) + eps
        else:
            denominator = xp.sqrt(v) + eps
        if momentum > 0:
            buffers[i] *= momentum
            buffers[i] += g / denominator
            p -= lr * buffers[i]
        else:
            p -= lr * (g / denominator)
