"""Which models, optimizers and random generators a function can reach: what a step may change.

A step like ``def step(x, y): optimizer.zero_grad(); ...`` names its model and optimizer without
being given them. They are found where Python keeps such names: in the cells of a closure, among the
globals that the code mentions, in ``self``, in default and bound arguments; and from there in
lists, dicts and the attributes of plain objects.

Before this: ``nn/module.py``, ``optim/optimizer.py``. Next: ``state.py``.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .. import backend
from .._tensor import Tensor
from ..nn.module import Module
from ..optim.optimizer import Optimizer

LONGEST = 1000  # longer lists are data
DEEPEST = 8  # links from the function to an object


@dataclass
class Reached:
    """What was found, each thing once, in the order of finding."""

    modules: list[Module] = field(default_factory=list)
    optimizers: list[Optimizer] = field(default_factory=list)
    tensors: list[Tensor] = field(default_factory=list)  # those of the modules included
    generators: list[Any] = field(default_factory=list)  # np.random.Generator


def reach(function: Callable, also: Iterable = ()) -> Reached:
    """Return what `function` can reach, and what `also` holds."""
    found, seen = Reached(), set()
    waiting = [(function, 0), *[(thing, 0) for thing in also]]
    while waiting:
        thing, depth = waiting.pop(0)
        if id(thing) in seen or depth > DEEPEST:
            continue
        seen.add(id(thing))
        waiting += [(other, depth + 1) for other in _note(thing, found)]
    found.generators.append(backend.default_generator().numpy)
    return found


def _note(thing: Any, found: Reached) -> list:
    """Add `thing` to what was found; return where to look on."""
    if isinstance(thing, Tensor):
        found.tensors.append(thing)
    elif isinstance(thing, Module):
        found.modules.append(thing)
        return [*vars(thing).values(), *_methods(type(thing))]
    elif isinstance(thing, Optimizer):
        found.optimizers.append(thing)
        return [p for group in thing.param_groups for p in group["params"]]
    elif isinstance(thing, backend.Generator):
        return [thing.numpy]
    elif isinstance(thing, np.random.Generator):
        found.generators.append(thing)
    elif isinstance(thing, (list, tuple, set, dict)):
        values = thing.values() if isinstance(thing, dict) else thing
        return list(values) if len(thing) <= LONGEST else []
    elif isinstance(thing, types.MethodType):
        return [thing.__self__, thing.__func__]
    elif isinstance(thing, functools.partial):
        return [thing.func, *thing.args, *thing.keywords.values()]
    elif isinstance(thing, types.FunctionType):
        return _named_by(thing)
    elif hasattr(thing, "__dict__") and not isinstance(thing, (type, types.ModuleType)):
        return [*vars(thing).values(), *_methods(type(thing))]
    return []


def _methods(kind: type) -> list:
    """Return the methods of a class that is not ours: they mention globals too."""
    classes = [c for c in kind.__mro__ if not _is_ours(c) and c is not object]
    return [v for c in classes for v in vars(c).values() if isinstance(v, types.FunctionType)]


def _is_ours(thing) -> bool:
    return (thing.__module__ or "").partition(".")[0] == "minigrad"


def _named_by(function: types.FunctionType) -> list:
    """Return the values of the names that a function's code mentions."""
    if _is_ours(function):
        return []  # our own code holds no state
    cells = [cell.cell_contents for cell in function.__closure__ or () if _is_filled(cell)]
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    names, codes = set(), [function.__code__]
    while codes:  # functions written inside of it mention names too
        code = codes.pop()
        names.update(code.co_names)
        codes += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    globals_ = [v for name, v in function.__globals__.items() if name in names]
    wrapped = [function.__wrapped__] if hasattr(function, "__wrapped__") else []
    return [*cells, *defaults, *globals_, *wrapped]


def _is_filled(cell) -> bool:
    try:
        cell.cell_contents  # noqa: B018
    except ValueError:
        return False
    return True
