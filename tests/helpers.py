"""Small helpers that most test files use: tensors in, arrays out.

The fixtures are in ``conftest.py``: ``device`` names where a test's tensors live.
"""

from __future__ import annotations

import numpy as np

import minigrad
from minigrad import backend


def make(device, array, requires_grad=False) -> minigrad.Tensor:
    """Return a new tensor on `device` with the values and the dtype of `array`."""
    tensor = minigrad.Tensor(backend.asarray_on(np.array(array), device))
    return tensor.requires_grad_(requires_grad)


def arr(value) -> np.ndarray:
    """Return the values of a tensor, or of an array of any device, as a NumPy array."""
    return backend.to_numpy(getattr(value, "array", value))


def on_device(device, array):
    """Return a raw array (NumPy's or CuPy's) on `device`: what kernels and ``forward`` see."""
    return backend.asarray_on(np.array(array), device)
