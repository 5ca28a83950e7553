"""Dropout's mask on the GPU: see ``random.cu``.

A mask needs one random number of 64 bits, its key. Usually the generator gives one for each mask.
In a captured step a number would be part of the graph, and every step would drop the same: there
the keys lie in the GPU's memory, and `Keys` puts new ones there before each replay, from the same
generators in the same order. So a captured training is the eager one, bit for bit.

Before this: ``loss.py``. Next: ``optimizers.py``.
"""

from __future__ import annotations

import math
import threading

import numpy as np

from minigrad import backend
from minigrad._errors import message

from .. import plain
from . import launch

_thread = threading.local()
NOT_GIVEN = np.uint32(0), np.uint32(0)


class Keys:
    """The keys of all dropout masks of one captured step, in the GPU's memory.

    Parameters
    ----------
    xp : module
        CuPy.
    capacity : int
        The largest number of masks in a step.

    Examples
    --------
    >>> keys = Keys(cupy)  # doctest: +SKIP
    >>> with keys:  # doctest: +SKIP
    ...     step()  # what is captured
    >>> keys.refresh()  # before each replay  # doctest: +SKIP
    """

    def __init__(self, xp, capacity: int = 256):
        self.array = xp.zeros((capacity, 2), dtype=np.uint32)  # low and high half
        self._generators: list = []  # for each mask; None for the thread's default one
        self._next = 0

    def __enter__(self) -> Keys:
        self._before = getattr(_thread, "keys", None)
        _thread.keys = self
        return self

    def __exit__(self, *exception) -> None:
        _thread.keys = self._before

    def __len__(self) -> int:
        return len(self._generators)

    def rewind(self) -> None:
        """Start again with the first mask of a step: before each run of what is captured."""
        self._next = 0

    def take(self, rng: np.random.Generator):
        """Return where the key of the step's next mask lies: an array of two uint32.

        Raises
        ------
        RuntimeError
            If the step has more masks than there is room for.
        """
        place = self._next
        if place >= len(self.array):
            raise RuntimeError(
                message(
                    "dropout",
                    "more masks in one captured step than there is room for.",
                    expect=f"at most {len(self.array)}",
                    do="run the step without capture",
                )
            )
        self._generators[place:] = [None if rng is backend.generator() else rng]
        self._next += 1
        return self.array[place]

    def refresh(self) -> None:
        """Draw new keys: before each replay. One small copy to the GPU, if there are masks."""
        if self._generators:
            drawn = [plain.draw_key(backend.generator(rng)) for rng in self._generators]
            halves = [(key & 0xFFFFFFFF, key >> 32) for key in drawn]
            self.array[: len(drawn)].set(np.array(halves, np.uint32))


def dropout_mask(rng, shape, p, dtype):
    """See `minigrad.kernels.plain.dropout_mask`; the mask is on the GPU."""
    dtype, keys = np.dtype(dtype), getattr(_thread, "keys", None)
    if backend.cupy is None:
        return plain.dropout_mask(rng, shape, p, dtype)
    if keys is not None:
        return _mask(shape, p, dtype, keys.take(rng))
    key = plain.draw_key(rng)
    return _mask(shape, p, dtype, 0, (np.uint32(key & 0xFFFFFFFF), np.uint32(key >> 32)))


def _mask(shape, p, dtype, stored, halves=NOT_GIVEN):
    """The mask of a key that is stored on the device, or given in two halves."""
    xp, size = backend.cupy, math.prod(shape)
    if p >= 1 or not size:
        return xp.zeros(shape, dtype=dtype)
    if not launch.has_source(dtype) or not launch.fits(shape):
        halves = halves if isinstance(stored, int) else (stored[0], stored[1])
        return plain.mask_from_halves(*halves, shape, p, dtype, xp)
    mask = xp.empty(shape, dtype=dtype)
    launch.each(
        *("random", "dropout_mask", mask, size),
        *(mask, stored, *halves, np.uint32(plain.threshold(p)), 1 / (1 - p)),
    )
    return mask
