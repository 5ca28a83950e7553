"""`recording`: note, while a computation runs, what the graph itself does not keep.

The graph holds what backward needs and nothing more: the sum ``a + b`` forgets a and b, no node
knows which module called it, and a constant leaves no trace. For a picture of a network that is a
loss, for training a blessing. So the engine pays nothing, and who wants the rest asks for it::

    with viz.recording():
        loss = model(x).sum()
    loss.graph(model=model)

While the block runs, `Function.apply` and `Module.__call__` are wrapped; after it they are what
they were. The notes hang on the nodes weakly: they are gone when the graph is.

Before this: ``autograd.py``, ``nn/module.py``. Next: ``_values.py``, which reads the notes.
"""

from __future__ import annotations

import functools
import itertools
import threading
import weakref
from dataclasses import dataclass
from typing import Any

from ..autograd import Function
from ..nn.module import Module


@dataclass(frozen=True)
class Call:
    """One call of a module: which, and the how-manieth call since the block began."""

    module: weakref.ref
    kind: str  # the class name, for a module that is gone or that no model names
    number: int


@dataclass
class Note:
    """What one op did.

    Attributes
    ----------
    order : int
        Its place in time among all that was recorded.
    calls : tuple of Call
        The module calls it was made in, the outermost first.
    constants : list
        The positional arguments that need no gradient; None at the places of those that do.
    options : dict
        The keyword arguments of ``forward``.
    output : tuple
        The array, the version count of its memory, and the count at that time.
    """

    order: int
    calls: tuple[Call, ...]
    constants: list
    options: dict[str, Any]
    output: tuple


notes: weakref.WeakKeyDictionary[Function, Note] = weakref.WeakKeyDictionary()


class _PerThread(threading.local):
    blocks = 0  # how many recording blocks this thread is inside
    calls: tuple[Call, ...] = ()


_here = _PerThread()
_lock = threading.Lock()
_open = 0  # blocks of all threads: the wrappers stay until the last one ends
_wrapped: dict = {}
_order, _numbers = itertools.count(), itertools.count(1)


class recording:
    """Record values, constants and module calls for `Tensor.graph`: ``with recording():``.

    Holds for the current thread. Results stay in memory as long as their graph does, so record
    the one step that you want to draw, not a training.
    """

    def __enter__(self) -> recording:
        global _open
        with _lock:
            if _open == 0:
                _wrap()
            _open += 1
        _here.blocks += 1
        return self

    def __exit__(self, *exception) -> None:
        global _open
        _here.blocks -= 1
        with _lock:
            _open -= 1
            if _open == 0:
                _unwrap()


def _wrap() -> None:
    _wrapped["apply"], _wrapped["call"] = Function.__dict__["apply"], Module.__call__
    plain_apply, plain_call = _wrapped["apply"].__func__, _wrapped["call"]

    @functools.wraps(plain_apply)
    def apply(cls, *inputs, **options):
        output = plain_apply(cls, *inputs, **options)
        if _here.blocks and output.creator is not None:
            _take_note(output, inputs, options)
        return output

    @functools.wraps(plain_call)
    def call(self, *args, **kwargs):
        if not _here.blocks:
            return plain_call(self, *args, **kwargs)
        before = _here.calls
        this = Call(weakref.ref(self), type(self).__name__, next(_numbers))
        _here.calls = (*before, this)
        try:
            return plain_call(self, *args, **kwargs)
        finally:
            _here.calls = before

    Function.apply, Module.__call__ = classmethod(apply), call


def _unwrap() -> None:
    Function.apply, Module.__call__ = _wrapped.pop("apply"), _wrapped.pop("call")


def _take_note(output, inputs: tuple, options: dict) -> None:
    node = output.creator
    constants = [None if source is not None else x for x, source in zip(inputs, node.edges)]
    kept = output.array, output._version, output._version[0]
    notes[node] = Note(next(_order), _here.calls, constants, options, kept)
