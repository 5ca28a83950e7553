"""A training step as one CUDA graph: what Python did once, the GPU repeats without it.

A small network's step is a hundred small launches, and Python takes longer to ask for them than the
GPU takes to do them. A CUDA graph is the list of launches, written down once (*captured*) and
started afterwards as a whole (*replayed*)::

    step = minigrad.cuda.capture(train_step, (images, labels))
    for images, labels in loader:
        loss = step(images, labels)

A replay runs the same launches on the same memory. Everything here follows from that sentence:
batches are copied into the arrays that were captured, results appear in the arrays that were
captured, whatever shall differ from step to step (the learning rate, Adam's count, dropout's keys)
must lie in the GPU's memory, and Python's own part of the step, its ``if`` and its ``print``, does
not happen again. What would go wrong silently is looked for, and said.

Source: NVIDIA, "CUDA C++ programming guide", section "CUDA graphs"; the rules are those of
PyTorch's ``torch.cuda.CUDAGraph``.

Before this: ``state.py``, ``optim/_on_device.py``. Next: ``kernels/cuda``.
"""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import backend
from .._tensor import Tensor
from ..optim.optimizer import Optimizer
from . import errors
from .reach import reach
from .state import (
    Saved,
    arrays,
    collector_off,
    detached,
    fix_gradients,
    held,
    tensors_in,
    watch_gradients,
)

WARM_UP = 2  # steps: kernels are compiled, and every library gets its workspace
LOOK_EVERY = 100  # calls: how often labels are looked at
MOST_DROPOUTS = 1024  # in a step


def capture(train_step: Callable, example_batch, *, state=()) -> Callable:
    """Make one CUDA graph of a training step: forward, backward and update in a single launch.

    On the CPU the function is returned as it is, so one script runs everywhere.

    Parameters
    ----------
    train_step : callable
        Takes tensors, does one step (``zero_grad``, forward, ``backward``, ``optimizer.step``), and
        returns tensors, such as the loss, or nothing. It must not read a value on the host
        (``.item()``, ``print``, ``if loss > 1``), must not move arrays from it, and must change
        parameters and statistics in place, as layers and optimizers here do.
    example_batch : Tensor or tuple
        Its arguments: the shapes and dtypes that the graph is for. The values do not matter, and
        nothing is trained on them: parameters, statistics, the optimizer's state and random
        generators are afterwards what they were.
    state : sequence, optional
        Models, optimizers and tensors that the step changes, where they cannot be found through the
        function itself (its closure, the globals that it names, ``self``).

    Returns
    -------
    CapturedStep or callable
        Called as `train_step`, with tensors of the same GPU or of the host, which are copied there.
        The tensors that it returns are overwritten by the next call. For
        other shapes (the last, smaller batch), in another mode (``eval()``), and with optimizer
        options that changed other than the learning rate, it runs the function itself.

    Raises
    ------
    RuntimeError
        If the step cannot be repeated: the message says which line did what, and what to do.
    TypeError
        For an example batch that is not made of tensors.
    DeviceError
        If model and batch are on different devices; from the call, for a batch on another GPU.

    Notes
    -----
    What the function does besides computing (appending to a list, counting in Python, stepping a
    schedule) happens while it is captured, and not when it is replayed: do that around the call.
    """
    batch = tuple(example_batch) if isinstance(example_batch, (tuple, list)) else (example_batch,)
    errors.check_batch(batch)
    found = reach(train_step, state)
    on_gpu = [t for t in (*found.tensors, *batch) if isinstance(t, Tensor) and t.is_cuda]
    if not on_gpu:
        return train_step
    errors.check_one_device(found, on_gpu)
    return CapturedStep(train_step, batch, tuple(state), on_gpu[0].device)


class CapturedStep:
    """A training step that is one launch; `capture` makes it, and says how it is used.

    Attributes
    ----------
    replays, eager_calls : int
        How often the graph was launched, and how often the function itself was run instead.
    """

    def __init__(self, function: Callable, batch: tuple, state: tuple, device: backend.device):
        self.function, self.device = function, device
        self.replays = self.eager_calls = 0
        self._also, self._enabled, self._warned = state, True, set()
        self._cupy = cp = backend.cuda_module()
        self._gpu = cp.cuda.Device(device.index or 0)
        self._checks: list[tuple] = []  # what, the largest index so far, its limit
        self._found = reach(function, state)
        for optimizer in self._found.optimizers:
            errors.check_first_step(optimizer)
            optimizer.make_capturable()
        self._conditions = self._python_state()
        with self._gpu:
            self._inputs = [_own_copy(cp, x, device) for x in batch]
            # Memory that a capture frees may go to nobody else: the next replay writes there. So
            # the graph has a pool of its own, and keeps it as long as it lives.
            self._pool = cp.cuda.MemoryPool()
            self._keys = _dropout_keys(cp)
            self._largest = cp.zeros(64, np.uint64)
            self._record()

    # ------------------------------------------------------------------------------- capturing

    def _record(self) -> None:
        cp, found, pool = self._cupy, self._found, self._pool
        saved = Saved(found)
        cp.cuda.runtime.deviceSynchronize()  # a stream of its own waits for no other
        cp.get_default_memory_pool().free_all_blocks()  # the graph's pool cannot reuse these
        stream = _stream_of_its_own(cp, self.device.index)

        def allocate(size):
            return backend.allocate_or_explain(cp, pool.malloc, size)

        with cp.cuda.using_allocator(allocate), stream:
            try:
                for _ in range(WARM_UP):
                    self.function(*self._inputs)
                self._changed = errors.check_what_changed(saved, found)
            finally:
                left = [tensor._grad for tensor in found.tensors]
                saved.restore()
                stream.synchronize()
            places = arrays(found)
            self._held = held(found)
            self._rehearse(left, saved)
            try:
                watched = watch_gradients(found, left)
                stream.synchronize()
                outputs = self._write_down(stream, watched, saved)
                errors.check_generators(saved)
            finally:
                saved.restore_python()
        self._products = _take_over_products(cp, stream)
        errors.check_in_place(places, found)
        errors.check_bound(found, reach(self.function, self._also))
        self._outputs = detached(outputs)

    def _rehearse(self, left: list, saved: Saved) -> None:
        """Run the step as it will be captured, so that the capture is the first to use nothing.

        Some launches come in a capture only: looking at labels later, adding up gradients. Their
        kernels are compiled and loaded here. An error is said when it comes again, in the capture.
        """
        try:
            with contextlib.suppress(Exception):
                self._run_as_captured(watch_gradients(self._found, left))
        finally:
            saved.restore()
            self._largest.fill(0)
            self._checks.clear()
            self._keys.rewind()

    def _run_as_captured(self, watched: dict) -> Any:
        """Run the step and set what gradients a replay leaves; return the step's results."""
        with backend.recording_by(self), self._keys:
            outputs = self.function(*self._inputs)
        self._gradients = fix_gradients(self._found, watched)
        return outputs

    def _write_down(self, stream, watched: dict, saved: Saved) -> Any:
        """Run the step while the stream captures; set the graph and return the step's results."""
        with collector_off():
            stream.begin_capture()
            try:
                outputs = self._run_as_captured(watched)
            except BaseException as error:
                with contextlib.suppress(Exception):  # leave the mode, and keep the first error
                    stream.end_capture()
                if isinstance(error, Exception):
                    errors.check_generators(saved)
                    raise errors.cannot_capture(error) from error
                raise
            try:
                self._graph = stream.end_capture()
            except Exception as error:  # something spoilt the capture without an error of its own
                raise errors.cannot_capture(error) from error
        return outputs

    def check_later(self, what: str, largest, limit: int) -> None:
        """Let the graph note the `largest` index that it meets: it must stay below `limit`."""
        so_far = self._largest[len(self._checks) : len(self._checks) + 1]
        if so_far.size:  # there is room for as many as anybody needs
            self._cupy.maximum(so_far, largest, out=so_far)
            self._checks.append((what, so_far, limit))

    # --------------------------------------------------------------------------------- calling

    def __call__(self, *batch) -> Any:
        errors.check_batch_device(batch, self._gpu.id)
        reason = self._why_eager(batch)
        if reason is not None:
            return self._run_eagerly(batch, reason)
        with self._gpu:
            for own, x in zip(self._inputs, batch):
                if isinstance(own, Tensor):
                    _write(own.array, x.array)
            self._prepare_optimizers_and_gradients()
            self._keys.refresh()
            self._graph.launch()
        self.replays += 1
        for tensor in (*self._changed, *tensors_in(self._outputs)):
            tensor.bump_version()  # graphs that were recorded with the old values are void
        if self._checks and self.replays % LOOK_EVERY == 0:
            self.check()
        return self._outputs

    def _prepare_optimizers_and_gradients(self) -> None:
        for optimizer in self._found.optimizers:
            optimizer._on_device.send_learning_rates(optimizer.param_groups)
            optimizer._has_stepped = True
        for parameter, gradient, adds_up in self._gradients:
            if adds_up and parameter.grad is not gradient:  # zero_grad() was called in between
                gradient.array[...] = 0 if parameter.grad is None else parameter.grad.array
            parameter.grad = gradient

    def check(self) -> None:
        """Look whether all labels so far were in range (every 100th call does so by itself).

        Raises
        ------
        IndexError
            If one was not: then it was computed with a wrong one.
        """
        for what, largest, limit in self._checks:
            if int(largest[0]) >= limit:
                raise errors.label_out_of_range(what, int(largest[0].astype(np.int64)), limit)

    def disable(self) -> CapturedStep:
        """Run the function itself from now on: to look for a mistake, with ``print`` and so on."""
        self._enabled = False
        return self

    def enable(self) -> CapturedStep:
        """Use the graph again."""
        self._enabled = True
        return self

    def _run_eagerly(self, batch: tuple, reason: str) -> Any:
        if reason and reason not in self._warned:
            self._warned.add(reason)
            warnings.warn(f"captured step: runs without its graph, for {reason}", stacklevel=3)
        self.eager_calls += 1
        batch = tuple(x.to(self.device) if isinstance(x, Tensor) else x for x in batch)
        return self.function(*batch)

    def _why_eager(self, batch: tuple) -> str | None:
        """Return why the graph cannot be used now, or None; "" if that needs no warning."""
        if not self._enabled or len(batch) != len(self._inputs):
            return ""
        for own, x in zip(self._inputs, batch):
            if not (isinstance(own, Tensor) and isinstance(x, Tensor)):
                if own is not x and (isinstance(x, Tensor) or own != x):
                    return "an argument that is no tensor changed"
            elif own.array.shape != x.array.shape or own.array.dtype != x.array.dtype:
                return ""
        now = self._python_state()
        return errors.difference(self._conditions, now) or errors.replaced(
            self._held, held(self._found)
        )

    def _python_state(self) -> dict[str, list]:
        """Return what the graph was captured with, and a replay would not notice."""
        found = self._found
        groups = [(o, group) for o in found.optimizers for group in o.param_groups]
        return {
            "the mode (train or eval) of a module": [m.training for m in found.modules],
            "requires_grad of a parameter": [t._requires_grad for t in found.tensors],
            "an option of the optimizer (lr may change, no other)": [
                [group[name] for name in optimizer.defaults if name != "lr" or _own(optimizer)]
                for optimizer, group in groups
            ],
            "the precision of float32 products": [backend.get_float32_matmul_precision()],
        }

    def __repr__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"<captured {name}: {self.replays} replays, {self.eager_calls} eager calls>"


_thread = threading.local()


def _stream_of_its_own(cp, index: int | None):
    """Return this thread's stream for captures on a GPU."""
    streams = vars(_thread).setdefault("streams", {})
    if (cp, index) not in streams:
        streams[cp, index] = cp.cuda.Stream(non_blocking=True)
    return streams[cp, index]


def _own(optimizer: Optimizer) -> bool:
    """Whether its class has a ``step`` of its own, which reads lr as a Python number."""
    return type(optimizer).step is not Optimizer.step


def _own_copy(cp, x: Any, device: backend.device) -> Any:
    """Return a copy of a tensor on the GPU, which every replay reads; other values as they are.

    It lies in order, because CuPy copies from the host into such arrays only.
    """
    if not isinstance(x, Tensor):
        return x
    return Tensor(cp.array(backend.asarray_on(x.array, device), copy=True, order="C"))


def _dropout_keys(cp):
    """Return where dropout finds a new key in every replay."""
    from ..kernels.cuda.random import Keys

    return Keys(cp, MOST_DROPOUTS)


def _take_over_products(cp, stream):
    """Return cuBLAS's handle and workspace of the stream, which the graph uses from now on."""
    from ..kernels.cuda import gemm

    return gemm.release(cp, stream)


def _write(own, array) -> None:
    """Copy an array, of the GPU or of the host, into one on the GPU."""
    if isinstance(array, np.ndarray):
        own.set(array)
    else:
        own[...] = array
