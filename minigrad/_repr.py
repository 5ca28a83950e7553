"""How a tensor shows itself at the prompt: its values while they fit, else what it is like."""

from __future__ import annotations

import numpy as np

from . import backend

_SMALL = 100  # entries


def tensor_repr(x) -> str:
    """Return the values of a small tensor; shape, range and NaN flags of a large one."""
    array = backend.to_numpy(x.array)
    if array.size <= _SMALL:
        values = np.array2string(array, separator=", ", prefix="tensor(", precision=4)
        parts = [values]
        if array.size == 0:
            parts.append(f"shape={tuple(array.shape)}")
    else:
        parts = [f"shape={tuple(array.shape)}", *_statistics(array)]
    usual = (backend.get_default_dtype(), backend.int64, backend.bool_)
    if x.dtype not in usual or array.size > _SMALL:
        parts.append(f"dtype={x.dtype}")
    if x.device.type != "cpu":
        parts.append(f"device={str(x.device)!r}")
    if x.creator is not None:
        parts.append(f"grad_fn=<{type(x.creator).__name__}>")
    elif x.requires_grad:
        parts.append("requires_grad=True")
    kind = type(x).__name__
    return f"{'tensor' if kind == 'Tensor' else kind}({', '.join(parts)})"


def _statistics(array: np.ndarray) -> list[str]:
    if array.dtype.kind != "f":
        return [f"range=[{array.min()}, {array.max()}]"]
    finite = array[np.isfinite(array)]
    lines = []
    if finite.size:
        finite = finite.astype(np.float64)
        lines.append(f"range=[{finite.min():.4g}, {finite.max():.4g}]")
        lines.append(f"mean={finite.mean():.4g}")
    for name, count in (("nan", np.isnan(array).sum()), ("inf", np.isinf(array).sum())):
        if count:
            lines.append(f"{name}={count} of {array.size}")
    return lines
