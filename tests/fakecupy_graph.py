"""CUDA graphs without a GPU: the part of the stand-in for CuPy that captures and replays.

While a stream captures, a GPU computes nothing: launches are written down, and `Graph.launch` runs
them again, on the same memory. Here, each array operation is done (so that the code that follows
sees shapes and dtypes) *and* written down as a function without arguments, on the same NumPy
arrays; at the end of the capture all memory that existed before gets its old contents back, and
what was allocated meanwhile is filled with NaN. So a number that was read too early, a learning
rate that was baked in, or a parameter that was bound to another array, shows as a wrong number.

What CuPy or CUDA refuses while a stream captures is refused here with the same kinds of errors:
reading a value on the host, copying an array from it, cuBLAS, cuSOLVER and cuRAND as CuPy calls
them, waiting for a stream, the legacy default stream. Mistakes that go unnoticed there, until the
numbers are wrong, raise `Unsafe`: memory from the shared pool (it would be handed out again), a
pool that is dropped while its graph lives, the garbage collector on during a capture, and leaving
a stream for one that does not wait for it (non-blocking) before its work is done.

`Graph.late` names the kernels that were used for the first time in its capture: on a GPU they are
compiled and loaded then, which a capture may refuse.

Read before: ``fakecupy.py``, whose operations call `launched`. Read after: ``test_capture.py``.
"""

from __future__ import annotations

import gc
import weakref

import numpy as np

D2H = "{} while the current stream is capturing, so D2H transfers are disallowed"
H2D = "{} while the current stream is capturing, so H2D transfers are disallowed"
LIBRARY = "calling {} API during stream capture is currently unsupported"


class Unsafe(Exception):
    """CUDA itself would go on here, and a replay would give wrong numbers."""


class CUDARuntimeError(RuntimeError):
    """What CUDA says; also of the graph whose capture an error ended."""

    __module__ = "cupy_backends.cuda.api.runtime"


class Recording:
    """What one capture has seen so far."""

    def __init__(self):
        self.calls = []  # what a replay does, in this order
        self.before = {}  # memory that existed and is written: its contents, to be put back
        self.made = {}  # memory that was allocated meanwhile
        self.undo = []
        self.pools = []
        self.late = []  # kernels that were not used before
        self.broken = None

    def finish(self) -> None:
        """Leave the memory as if nothing had been computed."""
        for root, contents in self.before.values():
            root[...] = contents
        for root in self.made.values():
            root[...] = poison(root.dtype)
        for undo in self.undo:
            undo()


recording: Recording | None = None
used: set[tuple] = set()  # kernels: their names and the dtypes that they were compiled for
_pending = [False]  # whether the current stream has work that nobody has waited for


def capturing() -> bool:
    """Whether launches are written down now."""
    return recording is not None


def poison(dtype):
    """NaN, the largest integer, or True: what nobody wrote must show."""
    return np.iinfo(dtype).max if dtype.kind in "iu" else dtype.type(np.nan)


def _root(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def before_write(array: np.ndarray) -> None:
    """Keep what is in the array's memory, before a launch writes into it."""
    if recording is None:
        return
    root = _root(array)
    if id(root) not in recording.made and id(root) not in recording.before:
        recording.before[id(root)] = root, root.copy()


def record(call) -> None:
    """Write down a launch: `call` does it again, on the same NumPy arrays."""
    if recording is not None:
        recording.calls.append(call)


def use(*kernel) -> None:
    """Note a launch of a kernel, by its name and what it was compiled for."""
    if recording is None:
        _pending[0] = True
    elif kernel not in used:
        recording.late.append(kernel)
    used.add(kernel)


def device_call(function, *kernel) -> None:
    """Run a kernel (or a library's function) that is known by its addresses only, or write it down.

    Which memory it writes cannot be seen, so a capture leaves it undone, as a GPU would.
    """
    use(*kernel)
    if recording is None:
        function()
    else:
        recording.calls.append(function)


def launch(call, writes=(), kernel="write"):
    """Run a launch that only writes into NumPy arrays that exist, and write it down."""
    use(kernel, *[array.dtype.str for array in writes])
    for array in writes:
        before_write(array)
    call()
    record(call)


def launched(compute, result, operands, writes: bool, kernel="copy"):
    """Write down a launch that has computed `result`, and return the result as arrays.

    `operands` are the NumPy arrays that went in: a result that shares their memory is a view, and
    takes no launch. `writes` says that the launch has changed some of them.
    """
    name = kernel, *[x.dtype.str for x in operands]
    if recording is None:
        outputs = _leaves(result)
        if writes or not any(np.may_share_memory(y, x) for y in outputs for x in operands):
            use(*name)
        return result
    result = _as_arrays(result)
    outputs = _leaves(result)
    fresh = [not any(np.may_share_memory(y, x) for x in operands) for y in outputs]

    def again():
        for new, old, copied in zip(_leaves(_as_arrays(compute())), outputs, fresh, strict=True):
            if copied:
                old[...] = new

    if writes or any(fresh):
        use(*name)
        recording.calls.append(again)
    return result


def _as_arrays(result):
    """Make arrays of scalars, so that a replay has something to write into."""
    if isinstance(result, (list, tuple)):
        return (list if isinstance(result, list) else tuple)(_as_arrays(r) for r in result)
    scalar = isinstance(result, (bool, int, float, complex, np.generic))
    return np.asarray(result) if scalar else result


def _leaves(result) -> list:
    if isinstance(result, (list, tuple)):
        return [leaf for r in result for leaf in _leaves(r)]
    return [result] if isinstance(result, np.ndarray) else []


# --------------------------------------------------------------------------------- what is refused


def refuse(text: str, what: str) -> None:
    """Raise as CuPy does, while a stream captures: `text` is one of those above."""
    if recording is not None:
        raise (NotImplementedError if text is LIBRARY else RuntimeError)(text.format(what))


def refuse_waiting(what: str) -> None:
    """Raise, and spoil the capture: the host may not wait for a stream that captures."""
    if recording is not None:
        recording.broken = what
        raise CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: operation not permitted when stream is capturing "
            f"({what})"
        )


# ------------------------------------------------------------------------------------------ memory


class OutOfMemoryError(MemoryError):
    """CuPy's error, with CuPy's text."""

    def __init__(self, size: int, total: int, limit: int):
        super().__init__(
            f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes, "
            f"limit set to: {limit:,} bytes)."
        )


class MemoryPool:
    """Hands out memory (none, really), up to a limit for each piece."""

    def __init__(self, allocator=None):
        self._limit = self._total = 0

    def malloc(self, size: int):
        """Return memory of `size` bytes; raise `OutOfMemoryError` above the limit."""
        if self._limit and size > self._limit:
            raise OutOfMemoryError(size, self._total, self._limit)
        self._total += size
        if recording is not None:
            if self is default_pool:
                raise Unsafe(
                    "memory from the shared pool in a capture: it is handed out again afterwards, "
                    "and the next replay overwrites it. Capture with a pool of its own."
                )
            if not any(pool() is self for pool in recording.pools):
                recording.pools.append(weakref.ref(self))

    def set_limit(self, size=None, fraction=None):
        """Set the limit; None or 0 for none."""
        self._limit = size or 0

    def get_limit(self):
        """Return the limit."""
        return self._limit

    def free_all_blocks(self, stream=None):
        """Give back what is free."""

    def used_bytes(self):
        """All that was ever handed out: the stand-in does not see what is freed."""
        return self._total

    total_bytes = used_bytes


default_pool = MemoryPool()
_allocators = [default_pool.malloc]


def set_allocator(allocator=None):
    """Set the function that hands out memory."""
    if len(_allocators) > 1:
        raise ValueError("Can't change the global allocator inside `using_allocator`")
    _allocators[0] = allocator or (lambda size: None)


def get_allocator():
    """Return the function that hands out memory."""
    return _allocators[-1]


class using_allocator:
    """Another allocator inside a ``with`` block."""

    def __init__(self, allocator=None):
        self.allocator = allocator or (lambda size: None)

    def __enter__(self):
        _allocators.append(self.allocator)

    def __exit__(self, *exception):
        _allocators.pop()


def allocated(array: np.ndarray) -> None:
    """Account for a new array: ask the allocator, and note the memory if a capture is on."""
    _allocators[-1](array.nbytes)
    if recording is not None:
        root = _root(array)
        recording.made[id(root)] = root


# ------------------------------------------------------------------------------- streams and graphs


class Graph:
    """Launches that can be repeated."""

    def __init__(self, recorded: Recording):
        self._calls, self._pools, self.late = recorded.calls, recorded.pools, recorded.late
        self._memory = list(recorded.made.values())

    def launch(self, stream=None):
        """Do all launches again, in order."""
        if recording is not None:
            raise CUDARuntimeError("cudaErrorStreamCaptureUnsupported: a graph inside a capture")
        if any(pool() is None for pool in self._pools):
            raise Unsafe("the pool of the graph's memory is gone, and its memory with it")
        _pending[0] = True
        for call in self._calls:
            call()

    def upload(self, stream=None):
        """Prepare the launches."""

    def debug_dot_str(self, flags=None):
        """Return the launches as a picture for Graphviz."""
        return "digraph {" + " -> ".join(f"n{i}" for i in range(len(self._calls))) + "}"


class Stream:
    """An order of launches. Here everything is done at once, or written down."""

    null: Stream
    _current: Stream

    def __init__(self, null=False, non_blocking=False, ptds=False, priority=None):
        self.is_non_blocking, self._null, self._before = non_blocking, null, []
        self.ptr = 0 if null else id(self)

    def use(self):
        """Make it the current stream."""
        before, Stream._current = Stream._current, self
        pending, _pending[0] = _pending[0], False
        if pending and before is not self and (before.is_non_blocking or self.is_non_blocking):
            raise Unsafe(
                "the stream is left for one that does not wait for it, before its work is done: "
                "synchronize first"
            )
        _pending[0] = pending
        return self

    def __enter__(self):
        before = Stream._current
        try:
            self.use()
        except Unsafe:
            Stream._current = before
            raise
        self._before.append(before)
        return self

    def __exit__(self, kind, error, trace):
        if error is not None:
            _pending[0] = False  # let that error be seen
        self._before.pop().use()

    def synchronize(self):
        """Wait for all that was launched on this stream."""
        refuse_waiting("Stream.synchronize")
        waited()
        waiting("Stream.synchronize")

    @property
    def done(self) -> bool:
        """Whether nothing is left to be done."""
        refuse_waiting("Stream.done")
        return True

    def is_capturing(self) -> bool:
        """Whether launches on this stream are written down."""
        return recording is not None and recording.stream is self

    def begin_capture(self, mode=None):
        """Write down launches from now on."""
        global recording
        if self._null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if recording is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream is capturing already")
        if Stream._current is not self:
            raise Unsafe("the stream that captures is not the current one: nothing would be seen")
        if gc.isenabled():
            raise Unsafe("the garbage collector may free memory or events during the capture")
        recording = Recording()
        recording.stream = self

    def end_capture(self):
        """Return what was written down, as a graph."""
        global recording
        if recording is None:
            raise RuntimeError("the stream is not capturing")
        recorded, recording = recording, None
        recorded.finish()
        if recorded.broken:
            raise CUDARuntimeError(f"cudaErrorStreamCaptureInvalidated: {recorded.broken}")
        return Graph(recorded)

    def record(self, event=None):
        """Return an event."""
        return event or Event().record(self)

    def wait_event(self, event):
        """Let what follows wait for the event."""
        waited()


Stream.null = Stream._current = Stream(null=True)


class Event:
    """A point in the order of launches."""

    def __init__(self, block=False, disable_timing=False, interprocess=False):
        self._time = 0.0

    def record(self, stream=None):
        """Put it behind what was launched so far."""
        import time

        self._time = time.perf_counter()
        return self

    def synchronize(self):
        """Wait for it."""
        refuse_waiting("Event.synchronize")
        waited()
        waiting("Event.synchronize")

    @property
    def done(self) -> bool:
        """Whether it was reached."""
        refuse_waiting("Event.done")
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    """Return the milliseconds between two events."""
    return (end._time - start._time) * 1e3


def waited() -> None:
    """Note that the work of the current stream is done."""
    _pending[0] = False


def waiting(why: str) -> None:
    """Count that the host waits; ``fakecupy`` puts its own counter here."""
