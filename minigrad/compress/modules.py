"""Whole layers, blocks and branches taken out, by what the network does without them.

A module whose output has the shape of its input can be left out altogether. Two cases: in
``y = x + f(x)`` the branch f is replaced by `Nothing`, which adds nothing; anywhere else the
module is replaced by ``nn.Identity``, so that its input passes on. Which of the two is right is
read off the graph. How much a module matters no norm can say: it is measured, by evaluating the
network without it.

Before this: ``structure.py``, which makes layers narrower instead. Next:
``sensitivity.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable

from .. import autograd
from .._errors import message
from .._tensor import Tensor
from ..nn.layers import Identity
from ..nn.module import Module
from ..nn.recorder import working_copy
from ..ops.elementwise import Add
from ._select import is_number
from .sensitivity import score_of
from .trace import Call, Trace, check_example, tensors_in, trace


class Nothing(Module):
    """What is left of a branch that was taken out: it returns 0.0, whatever comes."""

    def forward(self, *args, **kwargs) -> float:
        return 0.0


def removable_modules(model: Module, example) -> dict[str, Module]:
    """Return the modules that can be taken out, by path, and what takes their place.

    These are the modules that run once, hold a weight (of two axes or more: a norm alone is not
    worth it), and return a tensor of their input's shape.

    Parameters
    ----------
    model : Module
    example : Tensor or tuple of Tensor
        One batch of what it takes.
    """
    recorded = trace(model, example)
    paths = [call.path for call in recorded.calls]
    return {
        call.path: Nothing() if _is_branch(recorded, call) else Identity()
        for call in recorded.calls
        if call.path
        and call.keeps_shape
        and paths.count(call.path) == 1
        and any(parameter.ndim > 1 for parameter in call.module.parameters())
    }


def remove_modules(model: Module, example, names: Iterable[str]) -> Module:
    """Return a copy of a network without these modules.

    Parameters
    ----------
    model : Module
        Left as it is.
    example : Tensor or tuple of Tensor
        One batch of what it takes.
    names : iterable of str
        Paths from `removable_modules`.

    Raises
    ------
    ValueError
        If a module cannot be taken out.
    RuntimeError
        If the network does not run without them, or returns another shape.
    """
    names = [names] if isinstance(names, str) else list(names)
    replacements = removable_modules(model, example)
    for name in names:
        if name not in replacements:
            raise ValueError(
                message(
                    "remove_modules",
                    f"{name!r} cannot be taken out: only a module that runs once, holds weights "
                    "and returns its input's shape can.",
                    expect=", ".join(replacements) or "nothing can be in this network",
                    actual=repr(name),
                )
            )
    return _without(model, example, {name: replacements[name] for name in names})


def module_importance(
    model: Module, example, evaluate: Callable[[Module], float], names: Iterable[str] | None = None
) -> dict[str, float]:
    """Return by how much the network's score falls without each of its modules.

    Parameters
    ----------
    model, example
        As in `remove_modules`.
    evaluate : callable
        From a network to a number, such as its accuracy on held-out data; larger is better.
    names : iterable of str, optional
        The modules to try; by default all that can be taken out.
    """
    replacements = removable_modules(model, example)
    before = score_of(evaluate, model)
    return {
        name: before - score_of(evaluate, _without(model, example, {name: replacements[name]}))
        for name in (replacements if names is None else names)
    }


def prune_modules(
    model: Module, example, evaluate: Callable[[Module], float], *, max_drop: float
) -> tuple[Module, list[str]]:
    """Take modules out, the least important first, while the score falls by at most `max_drop`.

    After each removal the importance of the rest is measured anew: of two modules that do the
    same, either can go, but not both. Among equals the largest goes first.

    Returns
    -------
    Module
        The smaller network (a copy).
    list of str
        What was taken out.
    """
    if not is_number(max_drop) or not max_drop >= 0:
        problem, expect = "max_drop is out of range.", "0 or more"
        raise ValueError(message("prune_modules", problem, expect=expect, actual=repr(max_drop)))
    lowest = score_of(evaluate, model) - max_drop
    smaller: Module = working_copy(model, "prune_modules")
    removed: list[str] = []
    while True:
        importance = module_importance(smaller, example, evaluate)
        if not importance:
            return smaller, removed
        name = min(importance, key=lambda n: (importance[n], -_size(smaller, n), len(n)))
        candidate = remove_modules(smaller, example, [name])
        if score_of(evaluate, candidate) < lowest:
            return smaller, removed
        smaller, removed = candidate, [*removed, name]


def _size(model: Module, name: str) -> int:
    return sum(parameter.numel() for parameter in model.get_submodule(name).parameters())


def _is_branch(recorded: Trace, call: Call) -> bool:
    """Whether all that happens to the module's output is to be added to its input."""
    readers = [node for node in recorded.nodes if call.result in node.edges]
    if len(readers) != 1 or type(readers[0]) is not Add:
        return False
    a, b = readers[0].edges
    other = b if a is call.result else a
    is_input = other is None and isinstance(call.source, Tensor)
    return other is call.source or is_input


def _without(model: Module, example, replacements: dict[str, Module]) -> Module:
    smaller = working_copy(model, "remove_modules")
    for name, replacement in replacements.items():
        _replace(smaller, name, copy.deepcopy(replacement).train(model.training))
    inputs = check_example(model, example)
    with autograd.no_grad():
        before = [y.shape for y in _answers(model, inputs)]
        try:
            after = [y.shape for y in _answers(smaller, inputs)]
        except Exception as error:
            raise _broken(replacements, str(error).replace("\n", "; ")) from error
    if before != after:
        raise _broken(replacements, f"the output has shape {after}, not {before}")
    return smaller


def _answers(model: Module, inputs: tuple):
    """Yield the tensors that a copy of the model returns in evaluation mode."""
    yield from tensors_in(working_copy(model, "remove_modules").eval()(*inputs))


def _broken(names, why: str) -> RuntimeError:
    problem = f"the network does not work without {', '.join(names)}."
    return RuntimeError(message("remove_modules", problem, actual=why))


def _replace(model: Module, path: str, new: Module) -> None:
    """Put a module in the place of the one at `path`; attributes, lists and dicts are followed."""
    holder, *rest = model, *path.split(".")
    while len(rest) > 1:
        holder = _part(holder, rest.pop(0))
    if isinstance(holder, Module):
        setattr(holder, rest[0], new)
    elif isinstance(holder, list):
        holder[int(rest[0])] = new
    elif isinstance(holder, dict):
        holder[next(key for key in holder if str(key) == rest[0])] = new
    else:
        problem = f"{path!r} is held by a {type(holder).__name__}, which cannot be changed."
        raise ValueError(message("remove_modules", problem, do="use a list or nn.ModuleList"))


def _part(holder, name: str):
    if isinstance(holder, Module):
        return getattr(holder, name)
    if isinstance(holder, dict):
        return next(value for key, value in holder.items() if str(key) == name)
    return holder[int(name)]
