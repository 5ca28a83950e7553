"""Dropout's mask on the CPU: the hash of ``plain.py``, a piece at a time through the cache.

One number is drawn from the generator; entry i of the mask is a hash of that number and i. So a GPU
computes the same mask without being sent one, and the time is that of NumPy's own random numbers.

Before this: ``loss.py``. Next: ``scatter.py``.
"""

from __future__ import annotations

import math

import numpy as np

from .plain import draw_key, hashed, threshold

PIECE = 1 << 15  # numbers
PLACES = np.arange(PIECE, dtype=np.uint32)


def dropout_mask(rng, shape, p, dtype):
    """See `minigrad.kernels.plain.dropout_mask`."""
    dtype = np.dtype(dtype)
    key = draw_key(rng)
    if p >= 1:
        return np.zeros(shape, dtype)
    low, high = np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)
    limit, scale = np.uint32(threshold(p)), dtype.type(1 / (1 - p))
    mask = np.empty(math.prod(shape), dtype)
    for start in range(0, mask.size, PIECE):
        part = mask[start : start + PIECE]
        places = PLACES[: part.size] + np.uint32(start & 0xFFFFFFFF)
        np.multiply(hashed(places, low, high) >= limit, scale, out=part)
    return mask.reshape(shape)
