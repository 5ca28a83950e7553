"""What cannot be captured, and how it is said: what happened, in which line, what to do instead.

Nothing is computed here. Before this: ``step.py``, which calls it. Next: nothing.
"""

from __future__ import annotations

import traceback
from itertools import zip_longest
from operator import is_
from pathlib import Path
from typing import Any

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from .reach import Reached
from .state import Saved, arrays, learning_rates, numbers

WHERE = "cuda.capture"
PACKAGE = str(Path(__file__).parents[1])

# A piece of CuPy's text, and what it means: (problem, what to do).
MEANINGS = {
    "D2H": (
        "the step reads a value of the GPU.",
        "return tensors and read them after the call; inside: no .item(), float(), print or `if` "
        "of a tensor, no boolean masks (where(mask, a, b) instead), no nonzero or unique",
    ),
    "H2D": (
        "the step copies an array from the host to the GPU: a replay would not copy it again.",
        "pass what changes as an argument of the step; make constants (indices too) tensors on "
        "the GPU before it",
    ),
    "during stream capture": (
        "the step calls a library that CuPy does not let be captured.",
        "use minigrad's own operations: x @ y, conv2d, dropout",
    ),
    "synchronous API calls": (
        "the step copies between GPUs, or from the host, and waits for it.",
        "pass what changes as an argument of the step; keep all tensors on one GPU",
    ),
    "StreamCapture": (
        "the step waits for the GPU, or starts something that cannot be captured.",
        "leave synchronize() and other captured steps out of it",
    ),
}


def check_batch(batch: tuple) -> None:
    """Raise unless the example batch is made of tensors and plain values."""
    for i, x in enumerate(batch):
        if isinstance(x, (list, tuple, dict)) or backend.is_array(x):
            raise TypeError(
                message(
                    WHERE,
                    f"entry {i} of the example batch is not a tensor.",
                    expect="the step's arguments, each a Tensor: capture(step, (images, labels))",
                    actual=type(x).__name__,
                )
            )


def check_one_device(found: Reached, on_gpu: list[Tensor]) -> None:
    """Raise if parameters are on the CPU, or on another GPU."""
    devices = {str(t.device) for t in on_gpu}
    devices |= {str(t.device) for m in found.modules for t in m.parameters()}
    devices |= {str(t.device) for o in found.optimizers for t in o._parameters()}
    if len(devices) > 1:
        raise backend.DeviceError(
            message(
                WHERE,
                "the batch, the model and the optimizer are on different devices.",
                expect="one GPU",
                actual=", ".join(sorted(devices)),
                do="model.to('cuda') before the optimizer is made",
            )
        )


def check_batch_device(batch: tuple, index: int) -> None:
    """Raise if a tensor of a batch is on another GPU than the captured step's."""
    for i, x in enumerate(batch):
        if isinstance(x, Tensor) and not isinstance(x.array, np.ndarray):
            own = int(x.array.device.id)
            if own != index:
                raise backend.DeviceError(
                    message(
                        WHERE,
                        f"entry {i} of the batch is on another GPU than the captured step.",
                        expect=f"cuda:{index}, or cpu",
                        actual=f"cuda:{own}",
                        do=f"x.to('cuda:{index}')",
                    )
                )


def check_first_step(optimizer) -> None:
    """Raise if the optimizer's first step follows another rule than the others."""
    if optimizer.state:
        return
    for group in optimizer.param_groups:
        if group.get("momentum") and group.get("dampening"):
            raise RuntimeError(
                message(
                    WHERE,
                    "the first step of SGD with dampening is unlike the others: a graph of it "
                    "cannot be repeated.",
                    do="take one step without capture first",
                )
            )


def check_what_changed(saved: Saved, found: Reached) -> list[Tensor]:
    """Return what the warm-up changed; raise if some of it was not found, or is a Python number."""
    if learning_rates(found) != saved.rates:
        raise RuntimeError(
            message(
                WHERE,
                "the step changes the learning rate: a replay would not.",
                actual=f"lr {saved.rates[0]:g} before, {learning_rates(found)[0]:g} after",
                do="call schedule.step() after the captured step, outside of it",
            )
        )
    if any(
        before != after
        for before, after in zip_longest(saved.numbers, numbers(found), fillvalue=[])
    ):
        raise RuntimeError(
            message(
                WHERE,
                "the optimizer counts in Python: a replay would not.",
                expect="tensors on the GPU in optimizer.state, changed in place",
                do="use one of minigrad.optim, or write `update` rather than `step`",
            )
        )
    check_in_place(saved.places, saved.found)
    known = {id(t._version) for t in found.tensors}
    known |= {id(t._grad._version) for t in found.tensors if t._grad is not None}
    for optimizer in found.optimizers:
        values = [v for entry in optimizer.state.values() for v in entry.values()]
        known |= {id(v._version) for v in values if isinstance(v, Tensor)}
    changed = saved.changed()
    for tensor in changed:
        if tensor.is_cuda and id(tensor._version) not in known:
            raise RuntimeError(
                message(
                    WHERE,
                    "the step changes a tensor that was not found through the function.",
                    actual=f"shape {tuple(tensor.shape)}, {tensor.dtype}",
                    do="name what the step changes: capture(step, batch, state=[model, optimizer])",
                )
            )
    return [t for t in changed if t.is_cuda]


def check_in_place(before: dict[tuple, Any], found: Reached) -> None:
    """Raise if an array of the state was replaced by another one."""
    after = arrays(found)
    for place, array in before.items():
        if after.get(place) is not array:
            raise _replaced(_describe(place, found))


def check_bound(found: Reached, again: Reached) -> None:
    """Raise if a name now stands for another tensor."""
    still = {id(t) for t in again.tensors}
    for tensor in found.tensors:
        if tensor._requires_grad and tensor.creator is None and id(tensor) not in still:
            raise _replaced(f"a tensor of shape {tuple(tensor.shape)}")


def _replaced(what: str) -> RuntimeError:
    return RuntimeError(
        message(
            WHERE,
            f"{what} was replaced by a new array: a replay would go on with the old one.",
            expect="changes in place",
            do="p.data.sub_(lr * p.grad) or an optimizer, not p = p - lr * p.grad and not "
            "p.data = ...",
        )
    )


def _describe(place: tuple, found: Reached) -> str:
    if place[0] == "tensor":
        tensor = found.tensors[place[1]]
        names = [n for m in found.modules for n, t in m._state() if t is tensor]
        name = f"{names[0]!r}" if names else "a tensor"
        return f"{name} (shape {tuple(tensor.shape)})"
    return f"what the optimizer remembers ({place[-1]!r})"


def check_generators(saved: Saved) -> None:
    """Raise if the step drew random numbers on the host, while it was captured."""
    for generator, state in zip(saved.found.generators, saved.generator_states):
        if str(generator.bit_generator.state) != str(state):
            raise RuntimeError(
                message(
                    WHERE,
                    "the step draws random numbers on the host: every replay would see the same.",
                    expect="no random numbers but dropout's",
                    do="draw them before the step, and pass them as an argument",
                )
            )


def cannot_capture(error: Exception) -> Exception:
    """Return the error that says what the step did that cannot be captured, and where."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, (backend.DeviceError, MemoryError)):
        return error
    meanings = [meaning for piece, meaning in MEANINGS.items() if piece in text]
    unknown = "the step failed while it was captured.", "run it without capture first"
    problem, do = meanings[0] if meanings else unknown
    return RuntimeError(message(WHERE, problem, actual=f"{text}{_line_of(error)}", do=do))


def _line_of(error: Exception) -> str:
    """Return the user's line that led to the error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(PACKAGE) and "cupy" not in f.filename]
    if not own:
        return ""
    return f"\n    at {own[-1].filename}:{own[-1].lineno}: {own[-1].line}"


def difference(before: dict[str, list], now: dict[str, list]) -> str | None:
    """Return what is not as it was when the step was captured."""
    for what, values in before.items():
        if values != now[what]:
            return f"{what} changed since it was captured"
    return None


def replaced(before: list[list], now: list[list]) -> str | None:
    """Return whether an array is another one than when the step was captured (`state.held`)."""
    if not all([len(a) <= len(b) and all(map(is_, a, b)) for a, b in zip(before, now)]):
        return (
            "parameters or the optimizer's state were replaced since it was captured (Module.to, "
            "optimizer.load_state_dict, p.data = ...): capture again"
        )
    return None


def label_out_of_range(what: str, label: int, limit: int) -> IndexError:
    """A captured step was given a wrong label."""
    return IndexError(
        message(
            what,
            "a label of an earlier call of the captured step was out of range.",
            expect=f"0 to {limit - 1}; ignored labels only with ignore_index given",
            actual=label,
            do="look at the labels: the steps since then were computed with a wrong one",
        )
    )
