"""Adding values into an array of zeros by index, on the CPU: the adjoint of indexing, and of an
embedding.

``np.add.at`` is fast for one case only, a flat array with flat positions. So positions are made
flat first.

Before this: ``dropout.py``. Next: ``optimizers.py``.
"""

from __future__ import annotations

import math

import numpy as np

from .plain import is_basic


def index_add(shape, index, values):
    """See `minigrad.kernels.plain.index_add`."""
    out = np.zeros(shape, values.dtype)
    if is_basic(index) or _is_mask(index):  # no entry is named twice
        out[index] = values
        return out
    rows = index[0] if isinstance(index, tuple) and len(index) == 1 else index
    if isinstance(rows, np.ndarray) and rows.dtype.kind in "iu":
        positions = _row_positions(rows, shape)
    else:
        positions = np.arange(out.size).reshape(shape)[index]
    np.add.at(
        out.reshape(-1), positions.reshape(-1), np.broadcast_to(values, positions.shape).reshape(-1)
    )
    return out


def _is_mask(index):
    return isinstance(index, np.ndarray) and index.dtype == bool


def _row_positions(rows, shape):
    """Flat positions of all entries of the named rows (axis 0): what an embedding's gradient needs.

    A negative row gives negative positions, which count from the end as they should.
    """
    width = math.prod(shape[1:])
    flat = rows.reshape(-1, 1).astype(np.intp) * width + np.arange(width)
    return flat.reshape(*rows.shape, *shape[1:])
