"""What a step changes: where it lies, what it was before the warm-up, which gradients stay.

The steps before a capture, which compile kernels and fill the memory pool, are real steps, so all
that they changed is put back: `Saved`. Gradients need care of their own, for ``backward`` makes
them anew: `WatchedGradient` tells whether the step reads those that an earlier step left behind.

Before this: ``reach.py``. Next: ``step.py``.
"""

from __future__ import annotations

import contextlib
import gc
from typing import Any

from .. import backend
from .._tensor import Tensor
from .reach import Reached


def arrays(found: Reached) -> dict[tuple, Any]:
    """Return all arrays on the GPU that a step may change, by where they hang."""
    places: dict[tuple, Any] = {
        ("tensor", i): t.array for i, t in enumerate(found.tensors) if t.is_cuda
    }
    for i, optimizer in enumerate(found.optimizers):
        for j, p in enumerate(optimizer._parameters()):
            for name, value in optimizer.state.get(p, {}).items():
                if isinstance(value, Tensor):
                    places["state", i, j, name] = value.array
        places["counts", i] = optimizer._on_device.counts
    return places


def held(found: Reached) -> list[list]:
    """Return the same arrays without their names: quick enough to be asked for at every call."""
    remembered = [
        [getattr(value, "array", None) for entry in o.state.values() for value in entry.values()]
        for o in found.optimizers
    ]
    return [[t.array for t in found.tensors], *remembered]


def numbers(found: Reached) -> list[Any]:
    """Return what optimizers remember in Python, where a replay does not change it."""
    entries = [entry for optimizer in found.optimizers for entry in optimizer.state.values()]
    return [[v for v in entry.values() if not isinstance(v, Tensor)] for entry in entries]


class Saved:
    """What was there before the warm-up.

    Attributes
    ----------
    places : dict
        As `arrays` returns it.
    versions : list of (Tensor, int)
        All tensors that exist, and how often they had been changed.
    """

    def __init__(self, found: Reached):
        self.found, self.places = found, arrays(found)
        self._copies = {place: array.copy() for place, array in self.places.items()}
        self._gradients = [(t, t._grad) for t in found.tensors]
        self._stepped = [optimizer._has_stepped for optimizer in found.optimizers]
        self.generator_states = [g.bit_generator.state for g in found.generators]
        self.rates, self.numbers = learning_rates(found), numbers(found)
        self.versions = [
            (t, t._version[0]) for t in gc.get_objects() if issubclass(type(t), Tensor)
        ]

    def restore(self) -> None:
        """Undo the warm-up; what the optimizer remembers since then becomes zero, its beginning."""
        for place, array in arrays(self.found).items():
            array[...] = self._copies.get(place, 0)
        self.restore_python()

    def restore_python(self) -> None:
        """Undo what is not in the GPU's memory."""
        for tensor, gradient in self._gradients:
            tensor.grad = gradient
        for optimizer, stepped in zip(self.found.optimizers, self._stepped):
            optimizer._has_stepped = stepped
        for generator, state in zip(self.found.generators, self.generator_states):
            generator.bit_generator.state = state

    def changed(self) -> list[Tensor]:
        """Return the tensors that have been changed since."""
        return [t for t, version in self.versions if t._version[0] != version]


def learning_rates(found: Reached) -> list[float]:
    """Return the learning rates of all groups of all optimizers."""
    groups = [group for optimizer in found.optimizers for group in optimizer.param_groups]
    return [float(group.get("lr", 0)) for group in groups]


class WatchedGradient(Tensor):
    """A gradient that an earlier step left behind: notes whether anybody reads it."""

    __slots__ = ("_array", "was_read")

    def __init__(self, array):
        super().__init__(array)
        self.was_read = False

    @property
    def array(self):
        self.was_read = True
        return self._array

    @array.setter
    def array(self, value):
        self._array = value


def watch_gradients(found: Reached, left: list) -> dict[Tensor, WatchedGradient]:
    """Give each tensor that an earlier step `left` a gradient on one that notes being read."""
    watched = {}
    for tensor, gradient in zip(found.tensors, left):
        if gradient is not None:
            before = tensor._grad
            array = backend.array_module(gradient.array).zeros_like(gradient.array)
            if before is not None:
                array[...] = before.array
            tensor.grad = watched[tensor] = WatchedGradient(array)
        else:
            tensor.grad = None
    return watched


def fix_gradients(found: Reached, watched: dict) -> list[tuple[Tensor, Tensor | None, bool]]:
    """Return for each tensor the gradient that a replay leaves, and whether it adds to the last.

    Called at the end of the captured step: where gradients add up from step to step, the sum is
    written back to where the next replay reads it.
    """
    fixed = []
    for tensor in found.tensors:
        old, new = watched.get(tensor), tensor._grad
        if old is None or new is old or not old.was_read:
            gradient = Tensor(old._array) if old is not None and new is old else new
            fixed.append((tensor, gradient, False))
            continue
        old._array[...] = 0 if new is None else new.array
        fixed.append((tensor, Tensor(old._array), True))
    return [entry for entry in fixed if entry[0]._requires_grad and entry[0].creator is None]


# --------------------------------------------------------------------------------- small things


@contextlib.contextmanager
def collector_off():
    """Collect garbage now, and not inside the block: it could free memory or events there."""
    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def detached(outputs: Any) -> Any:
    """Return what a step returned, without the graph behind it."""
    if isinstance(outputs, Tensor):
        return Tensor(outputs.array)
    if isinstance(outputs, dict):
        return {key: detached(value) for key, value in outputs.items()}
    if isinstance(outputs, (list, tuple)):
        return (list if isinstance(outputs, list) else tuple)([detached(x) for x in outputs])
    return outputs


def tensors_in(outputs: Any) -> list[Tensor]:
    """Return the tensors in what a step returned."""
    if isinstance(outputs, Tensor):
        return [outputs]
    parts = outputs.values() if isinstance(outputs, dict) else outputs
    if isinstance(outputs, (dict, list, tuple)):
        return [tensor for part in parts for tensor in tensors_in(part)]
    return []
