"""A small pool of threads: how a kernel uses every core and still gives the same bits.

NumPy lets go of the interpreter lock inside copies, ufuncs and matrix products, so plain Python
threads run them side by side. A kernel cuts its work into *fixed* blocks, chosen from the shapes
alone, and hands them to `run`; whichever thread takes a block, the block's arithmetic is the same,
and partial sums are added in block order. So results do not depend on the number of threads.

MINIGRAD_NUM_THREADS in the environment sets the size of the pool.

Before this: ``plain.py``. Next: ``blas.py``, which is held to one thread.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from queue import SimpleQueue

import numpy as np

from minigrad._errors import message

# Multiply-adds, a quarter of a millisecond: less is done before two threads have met.
WORTH_SHARING = 12_000_000
HEAD_START = 2_000_000  # done before a second thread has woken up: some 40 us

_state = {"threads": None, "tickets": SimpleQueue(), "workers": 0}
_lock = threading.Lock()


def _default_threads() -> int:
    text = os.environ.get("MINIGRAD_NUM_THREADS", "")
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """How many threads a kernel may use, the calling one included."""
    if _state["threads"] is None:
        _state["threads"] = _default_threads()
    return _state["threads"]


def set_num_threads(n: int) -> None:
    """Use ``n`` threads from now on. Results do not depend on it, bit for bit.

    Raises
    ------
    TypeError, ValueError
        If ``n`` is not a whole number of at least one.
    """
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(
            message("set_num_threads", "not a whole number.", expect="an int", actual=repr(n))
        )
    if n < 1:
        raise ValueError(
            message("set_num_threads", "too few threads.", expect="1 or more", actual=n)
        )
    _state["threads"] = int(n)


def first_of_two(work: int) -> int:
    """How much of ``work`` the first of two blocks should hold, which the calling thread takes: so
    much more that it ends last, and need not be woken up in its turn.
    """
    return (work + HEAD_START) // 2


class _Job:
    """One call of `run`: the items still to do, and a queue that says when all are done."""

    __slots__ = ("done", "error", "finished", "function", "items", "total")

    def __init__(self, function, items):
        self.function = function
        self.items = deque(items)
        self.total = len(self.items)
        self.finished = []
        self.error = None
        self.done = SimpleQueue()

    def work(self):
        """Do items until none is left. deque and list operations are atomic: no lock is needed."""
        while True:
            try:
                item = self.items.popleft()
            except IndexError:
                return
            try:
                self.function(item)
            except BaseException as error:  # noqa: BLE001  (handed to the caller of run)
                self.error = error
            self.finished.append(None)
            if len(self.finished) == self.total:
                self.done.put(None)


def _worker(tickets):
    while True:
        tickets.get().work()


def _ensure_workers(n):
    """Start threads until ``n`` are waiting for tickets. They are daemons: they never keep a
    program alive.
    """
    with _lock:
        while _state["workers"] < n:
            threading.Thread(
                target=_worker, args=(_state["tickets"],), name="minigrad-kernels", daemon=True
            ).start()
            _state["workers"] += 1


def run(function, items, work=WORTH_SHARING) -> None:
    """Call ``function(item)`` for every item, on this thread and the pool's; return when all are
    done.

    Below WORTH_SHARING multiply-adds of ``work`` this thread does it all.

    The caller works too and waits only for items that another thread has begun, so two user threads
    (or a pool busy with other work) cannot block each other.
    """
    helpers = min(get_num_threads(), len(items)) - 1 if work >= WORTH_SHARING else 0
    if helpers <= 0:
        for item in items:
            function(item)
        return
    if _state["workers"] < helpers:
        _ensure_workers(helpers)
    job = _Job(function, items)
    for _ in range(helpers):
        _state["tickets"].put(job)
    job.work()
    job.done.get()
    job.function = None  # a ticket may still lie in the queue: it must not keep arrays alive
    if job.error is not None:
        raise job.error


def _forget_workers():
    """After a fork only the forking thread lives on: start again with an empty pool and a fresh
    lock.
    """
    global _lock
    _lock = threading.Lock()
    _state["tickets"] = SimpleQueue()
    _state["workers"] = 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_workers)
