"""Convolution and its transpose: the functions around ``ops/conv.py``."""

from __future__ import annotations

import numpy as np

from .._errors import message
from ..ops.conv import Conv2d, Conv2dInput
from .shape import pad, reshape, unsqueeze


def conv2d(x, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """Correlate images with kernels.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (O, C // groups, KH, KW)
    bias : Tensor, shape (O,), optional
    stride, dilation : int or pair
    padding : int, pair, "valid" (none) or "same"
        Zeros added on each side. "same" keeps the size, for stride 1; where the total is odd,
        the extra zero comes last.
    groups : int
        The channels are cut into this many groups, each convolved on its own.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        ``OH = (H + padding - dilation * (KH - 1) - 1) // stride + 1`` with both sides' padding.

    Raises
    ------
    ValueError
        If shapes or options do not fit together.
    """
    stride, dilation = pair(stride, "conv2d stride"), pair(dilation, "conv2d dilation")
    if x.ndim == 3:
        y = conv2d(unsqueeze(x, 0), weight, bias, stride, padding, dilation, groups)
        return reshape(y, y.shape[1:])
    _check(x, weight, bias, stride, dilation, groups, x.shape[1:2], weight.shape[:1], "conv2d")
    _check_channels(x.shape, weight.shape, groups, weight.shape[1] * groups, "conv2d")
    spans = [d * (k - 1) + 1 for d, k in zip(dilation, weight.shape[2:])]
    borders = conv_padding(padding, spans, stride)
    for size, span, border in zip(x.shape[2:], spans, borders):
        if span > size + sum(border):
            raise ValueError(
                message(
                    "conv2d",
                    "the kernel is larger than its padded input.",
                    expect=f"at most {[n + sum(b) for n, b in zip(x.shape[2:], borders)]}",
                    actual=f"{spans} (dilation included)",
                    do="use a smaller kernel or more padding",
                )
            )
    inputs = (x, weight) if bias is None else (x, weight, bias)
    return Conv2d.apply(*inputs, stride=stride, padding=borders, dilation=dilation, groups=groups)


def conv_transpose2d(
    x, weight, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1
):
    """Return the transposed convolution: the gradient that `conv2d` sends back to its image.

    Parameters
    ----------
    x : Tensor, shape (N, C, H, W) or (C, H, W)
    weight : Tensor, shape (C, O // groups, KH, KW)
    bias : Tensor, shape (O,), optional
    stride, padding, dilation : int or pair
        Those of the convolution that is transposed.
    output_padding : int or pair
        Rows and columns added at the end, where several sizes would lead to x's.

    Returns
    -------
    Tensor, shape (N, O, OH, OW)
        ``OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + output_padding + 1``.
    """
    name = "conv_transpose2d"
    stride, dilation = pair(stride, name + " stride"), pair(dilation, name + " dilation")
    padding = pair(padding, name + " padding", least=0)
    extra = pair(output_padding, name + " output_padding", least=0)
    if x.ndim == 3:
        y = conv_transpose2d(
            unsqueeze(x, 0), weight, bias, stride, padding, extra, groups, dilation
        )
        return reshape(y, y.shape[1:])
    out_channels = (weight.shape[1] * groups,)
    _check(x, weight, bias, stride, dilation, groups, x.shape[1:2], out_channels, name)
    _check_channels(x.shape, weight.shape, groups, weight.shape[0], name)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation)):
        raise ValueError(
            message(
                name,
                "output_padding must be smaller than stride or dilation.",
                expect=f"below {tuple(map(max, stride, dilation))}",
                actual=extra,
            )
        )
    # What output_padding adds at the end is first what `padding` cut off there, then zeros.
    shown = [min(e, p) for e, p in zip(extra, padding)]
    zeros = [e - n for e, n in zip(extra, shown)]
    size = tuple(
        [
            (n - 1) * s - 2 * p + d * (k - 1) + 1 + e
            for n, s, p, d, k, e in zip(
                x.shape[2:], stride, padding, dilation, weight.shape[2:], shown
            )
        ]
    )
    if min(size) < 1:
        raise ValueError(message(name, "nothing is left of the output.", actual=f"size {size}"))
    borders = tuple([(p, p - n) for p, n in zip(padding, shown)])
    y = Conv2dInput.apply(
        x, weight, size=size, stride=stride, padding=borders, dilation=dilation, groups=groups
    )
    y = pad(y, (0, zeros[1], 0, zeros[0])) if any(zeros) else y
    return y if bias is None else y + reshape(bias, (-1, 1, 1))


def conv_padding(padding, spans, stride=(1, 1)):
    """Return ((top, bottom), (left, right)) for an int, a pair, "same" or "valid"."""
    if padding == "valid":
        padding = 0
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(
                message(
                    "conv2d padding",
                    "no such padding.",
                    expect="an int, a pair, 'same' or 'valid'",
                    actual=repr(padding),
                )
            )
        if tuple(stride) != (1, 1):
            raise ValueError(
                message("conv2d padding", "'same' needs a stride of 1.", actual=stride)
            )
        return tuple([((span - 1) // 2, span // 2) for span in spans])
    return tuple([(p, p) for p in pair(padding, "conv2d padding", least=0)])


def pair(value, name: str, least: int = 1) -> tuple:
    """Return (value, value) for an int, and the pair itself for a pair."""
    if type(value) is tuple and [type(v) for v in value] == [int, int] and min(value) >= least:
        return value  # what layers pass, and so what each step comes by
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(v, (int, np.integer)) and not isinstance(v, bool) for v in values)
    if len(values) == 1:
        values *= 2
    if len(values) != 2 or not whole or min(values) < least:
        raise ValueError(
            message(
                name,
                "not a size.",
                expect=f"an int or a pair of ints from {least} on",
                actual=repr(value),
            )
        )
    return tuple(map(int, values))


def _check(x, weight, bias, stride, dilation, groups, in_channels, out_channels, name):
    if x.ndim != 4 or weight.ndim != 4:
        raise ValueError(
            message(
                name,
                "the number of axes does not fit.",
                expect="images (N, C, H, W) or (C, H, W), and a weight of 4 axes",
                actual=f"{tuple(x.shape)} and {tuple(weight.shape)}",
                do="add the missing axes with unsqueeze or view",
            )
        )
    if not (isinstance(groups, int) and groups >= 1):
        raise ValueError(
            message(name, "not a number of groups.", expect="1 or more", actual=repr(groups))
        )
    if 0 in weight.shape[2:]:
        raise ValueError(
            message(
                name,
                "the kernel has no entries.",
                expect="1 row and column or more",
                actual=tuple(weight.shape),
            )
        )
    if bias is not None and tuple(bias.shape) != tuple(out_channels):
        raise ValueError(
            message(
                name,
                "the bias does not fit the weight.",
                expect=tuple(out_channels),
                actual=tuple(bias.shape),
            )
        )
    dtypes = [t.dtype for t in (x, weight, bias) if t is not None]
    if any([dtype != weight.dtype for dtype in dtypes]):
        raise TypeError(
            message(
                name,
                "the input, the weight and the bias have different dtypes.",
                expect=f"{weight.dtype}, as the weight",
                actual=", ".join(map(str, dtypes)),
                do="convert the input with .to(dtype)",
            )
        )


def _check_channels(x_shape, w_shape, groups, wanted, name):
    if x_shape[1] != wanted or w_shape[0] % groups:
        raise ValueError(
            message(
                name,
                "the channels do not fit.",
                expect=f"{wanted} input channels (weight {tuple(w_shape)}, groups={groups}), "
                "and output channels that the groups divide",
                actual=f"{x_shape[1]} in {tuple(x_shape)}",
                do="check in_channels and groups; images are (N, C, H, W)",
            )
        )
