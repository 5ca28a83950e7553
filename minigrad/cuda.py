"""Is there a GPU, and what is it? PyTorch's names, answered through CuPy; and `capture`.

Before this: ``backend.py``. Next: ``_capture/step.py``, which makes one launch of a training step.
"""

from __future__ import annotations

from collections.abc import Callable

from . import backend
from .backend import OutOfMemoryError as OutOfMemoryError


def is_available() -> bool:
    """Whether CuPy is installed and can use a GPU; never raises."""
    try:
        backend.cuda_module()
    except backend.DeviceError:
        return False
    return True


def device_count() -> int:
    """Return the number of GPUs that can be used."""
    return backend.cuda_module().cuda.runtime.getDeviceCount() if is_available() else 0


def synchronize(device=None) -> None:
    """Wait until the GPU has done all that it was given."""
    backend.cuda_module().cuda.runtime.deviceSynchronize()


def manual_seed(seed: int) -> None:
    """Seed this thread's generator: random numbers are drawn on the CPU for every device."""
    backend.manual_seed(seed)


manual_seed_all = manual_seed


def empty_cache() -> None:
    """Give the memory that CuPy keeps for reuse back to the GPU."""
    if is_available():
        backend.cuda_module().get_default_memory_pool().free_all_blocks()


def memory_allocated(device=None) -> int:
    """Return how many bytes of the GPU's memory are in use by arrays."""
    return backend.cuda_module().get_default_memory_pool().used_bytes() if is_available() else 0


def mem_get_info(device=None) -> tuple[int, int]:
    """Return how many bytes of the GPU's memory are free, for everybody, and how many there are."""
    return tuple(backend.cuda_module().cuda.Device().mem_info)


def capture(train_step: Callable, example_batch, *, state=()) -> Callable:
    """Make one CUDA graph of a training step; see `minigrad._capture.step.capture`."""
    from ._capture import capture

    return capture(train_step, example_batch, state=state)
