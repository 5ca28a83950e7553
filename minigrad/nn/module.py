"""`Module`: a part of a network that knows its parameters, and `Parameter`: a tensor to be trained.

A module has no list of its parameters: they are its attributes. What is assigned to ``self`` in
``__init__`` is found again by walking ``vars(self)`` in the order of assignment: a `Parameter` is
a parameter, a `Module` is a child, and lists, tuples and dicts are looked into (so
``self.layers = [Linear(2, 3)]`` has a parameter named ``layers.0.weight``). Everything else here,
``parameters()``, ``state_dict()``, ``to()``, is a loop over that walk.

Before this: ``_tensor.py``. Next: ``layers.py``.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import autograd, backend
from .._tensor import RemovableHandle, Tensor
from . import _errors


class Parameter(Tensor):
    """A tensor that a module trains.

    Parameters
    ----------
    data : Tensor
        Its values; the memory is shared.
    requires_grad : bool
        False freezes it.
    """

    def __init__(self, data=None, requires_grad: bool = True):
        data = np.empty(0, backend.get_default_dtype()) if data is None else data
        super().__init__(data.array if isinstance(data, Tensor) else data)
        if isinstance(data, Tensor):
            self._version = data._version
        self.requires_grad = requires_grad

    def __deepcopy__(self, memo) -> Parameter:
        copied = memo[id(self)] = type(self)(self.detach().clone(), self._requires_grad)
        return copied


class IncompatibleKeys(namedtuple("IncompatibleKeys", "missing_keys unexpected_keys")):
    """What `Module.load_state_dict` did not find, and what it did not know."""

    __slots__ = ()

    def __repr__(self) -> str:
        return super().__repr__() if any(self) else "<All keys matched successfully>"


class Module:
    """The base of all layers, losses and networks.

    A subclass calls ``super().__init__()``, assigns its parameters and sub-modules to ``self``,
    and defines ``forward``::

        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.hidden = nn.Linear(784, 256)
                self.out = nn.Linear(256, 10)

            def forward(self, x):
                return self.out(F.relu(self.hidden(x)))

    Attributes
    ----------
    training : bool
        Whether dropout drops and batch norm uses its batch's statistics; see `train`, `eval`.
    """

    def __init__(self):
        self.training = True
        self._buffers: dict[str, bool] = {}  # the names that are buffers: are they saved?
        self._forward_pre_hooks: list[_Hook] = []
        self._forward_hooks: list[_Hook] = []

    # -------------------------------------------------------------------------- computing

    def forward(self, *args, **kwargs):
        """Compute the output: every subclass defines this, and users call ``module(x)``."""
        raise _errors.no_forward(self)

    def __call__(self, *args, **kwargs):
        if self._forward_hooks or self._forward_pre_hooks:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict):
        for hook in list(self._forward_pre_hooks):
            if hook.with_kwargs:
                replaced = hook.function(self, args, kwargs)
                if replaced is not None:
                    args, kwargs = replaced
            else:
                replaced = hook.function(self, args)
                if replaced is not None:
                    args = replaced if isinstance(replaced, tuple) else (replaced,)
        output = self.forward(*args, **kwargs)
        for hook in list(self._forward_hooks):
            inputs = (args, kwargs) if hook.with_kwargs else (args,)
            replaced = hook.function(self, *inputs, output)
            output = output if replaced is None else replaced
        return output

    def register_forward_pre_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args)`` before every forward; what it returns replaces the inputs.

        With `with_kwargs` it is called as ``hook(module, args, kwargs)`` and may return both.
        `prepend` calls it before the hooks that are there. ``handle.remove()`` takes it out.
        """
        return _register(self._forward_pre_hooks, hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable, *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call ``hook(module, args, output)`` after every forward; it may return a new output.

        With `with_kwargs` it is called as ``hook(module, args, kwargs, output)``. `prepend` calls
        it before the hooks that are there. ``handle.remove()`` takes it out.
        """
        return _register(self._forward_hooks, hook, prepend, with_kwargs)

    def _computing_hooks(self) -> list[_Hook]:
        """Return the pre-hooks that compute an attribute from parameters: a masked weight.

        They name it in their own attribute ``computes``.
        """
        hooks = vars(self).get("_forward_pre_hooks", ())
        return [hook for hook in hooks if getattr(hook.function, "computes", None)]

    def _compute_again(self) -> Module:
        """Compute those attributes again, here and below: the parameters have changed."""
        for module in self.modules():
            for hook in module._computing_hooks():
                hook.function(module, ())
        return self

    def __getstate__(self) -> dict[str, Any]:
        # A copy leaves out what belongs to this module's graph, and computes it for itself.
        computed = [hook.function.computes for hook in self._computing_hooks()]
        return {name: value for name, value in vars(self).items() if name not in computed}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        for hook in self._computing_hooks():
            hook.function(self, ())

    # ------------------------------------------------------------------------- attributes

    def __setattr__(self, name: str, value: Any) -> None:
        own = vars(self)
        is_part = isinstance(value, (Parameter, Module))
        if is_part and "_buffers" not in own:
            raise _errors.not_initialised(self, f"{name!r} is assigned")
        if isinstance(own.get(name), Parameter) and not (is_part or value is None):
            raise _errors.not_a_parameter(self, name, value)
        if name in own.get("_buffers", ()):
            if is_part:
                del self._buffers[name]
            elif not (value is None or isinstance(value, Tensor)):
                raise _errors.wrong_kind(self, name, "buffer (a Tensor)", value)
        super().__setattr__(name, value)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        self._buffers.pop(name, None)

    def __getattr__(self, name: str):
        # Reached only where the usual look-up failed. It always raises.
        if hasattr(type(self), name):  # a property that raised: let its own error be seen
            return object.__getattribute__(self, name)
        if name.startswith("__"):
            raise AttributeError(name)
        if "_buffers" not in vars(self):
            raise _errors.not_initialised(self, f"{name!r} is needed")
        raise _errors.unknown_name(self, "attribute", name, dir(self))

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` an attribute that is moved and saved with the module, but not trained.

        Parameters
        ----------
        name : str
        tensor : Tensor or None
        persistent : bool
            Whether it is part of ``state_dict()``.
        """
        if not (tensor is None or isinstance(tensor, Tensor)):
            raise _errors.wrong_kind(self, name, "Tensor", tensor)
        self._check_name(name)
        setattr(self, name, tensor)
        self._buffers[name] = bool(persistent)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make `param` an attribute: ``self.name = param`` with its name in a string."""
        self._register(name, param, Parameter)

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` an attribute: ``self.name = module`` with its name in a string."""
        self._register(name, module, Module)

    register_module = add_module

    def _register(self, name: str, value, kind: type) -> None:
        if not (value is None or isinstance(value, kind)):
            raise _errors.wrong_kind(self, name, kind.__name__, value)
        self._check_name(name)
        setattr(self, name, value)

    def _check_name(self, name: str) -> None:
        before = vars(self).get(name)
        free = before is None or isinstance(before, (Tensor, Module))
        well_formed = isinstance(name, str) and name and "." not in name
        if not well_formed or hasattr(type(self), name) or not free:
            raise _errors.bad_name(self, name)

    # ---------------------------------------------------------------------------- walking

    def _parts(self) -> Iterator[tuple[str, Parameter | Module]]:
        """Yield the parameters and child modules among the attributes, with their names."""
        for name, value in vars(self).items():
            if isinstance(value, (Parameter, Module)):
                yield name, value
            elif isinstance(value, (list, tuple, dict)):
                yield from _inside(name, value)

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        return ((name, part) for name, part in self._parts() if isinstance(part, Parameter))

    def _own_children(self) -> Iterator[tuple[str, Module]]:
        return ((name, part) for name, part in self._parts() if isinstance(part, Module))

    def _own_buffers(self) -> Iterator[tuple[str, Tensor]]:
        named = ((name, vars(self).get(name)) for name in self._buffers)
        return ((name, tensor) for name, tensor in named if tensor is not None)

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the names of the direct sub-modules, and these, each once."""
        seen = set()
        for name, child in self._own_children():
            if child not in seen:
                seen.add(child)
                yield name, child

    def children(self) -> Iterator[Module]:
        """Yield the direct sub-modules, each once."""
        return (child for _, child in self.named_children())

    def named_modules(
        self, memo: set | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """Yield this module and all below it, parents first, with their paths.

        Parameters
        ----------
        memo : set, optional
            Modules to leave out; those that come are added.
        prefix : str
            The path of this module.
        remove_duplicate : bool
            Yield a module that is used in several places once only.
        """
        memo = set() if memo is None else memo
        if self in memo:
            return
        memo.add(self)
        yield prefix, self
        for name, child in self._own_children():
            path = f"{prefix}.{name}" if prefix else name
            yield from child.named_modules(memo, path, remove_duplicate)
        if not remove_duplicate:
            memo.remove(self)  # the memo is the way down from the root: no module inside itself

    def modules(self) -> Iterator[Module]:
        """Yield this module and all below it, parents first, each once."""
        return (module for _, module in self.named_modules())

    def _named_tensors(self, own: Callable, prefix: str, recurse: bool, once: bool):
        modules = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=once)
        seen = set()
        for path, module in modules:
            for name, tensor in own(module):
                if not (once and id(tensor) in seen):
                    seen.add(id(tensor))
                    yield f"{path}.{name}" if path else name, tensor

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the names (paths with dots) and the parameters, each once; own ones first."""
        return self._named_tensors(Module._own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters of this module and of all below it, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the names (paths with dots) and the buffers, each once; own ones first."""
        return self._named_tensors(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield the buffers of this module and of all below it, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """Return the module at a path such as ``"features.0"``; ``""`` is this one."""
        return self._find(target, dict(self.named_modules(remove_duplicate=False)), "module")

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at a path such as ``"features.0.weight"``."""
        return self._find(target, dict(self.named_parameters(remove_duplicate=False)), "parameter")

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at a path such as ``"norm.running_mean"``."""
        return self._find(target, dict(self.named_buffers(remove_duplicate=False)), "buffer")

    def _find(self, target: str, named: dict, kind: str):
        if target not in named:
            raise _errors.unknown_name(self, kind, target, named)
        return named[target]

    # ------------------------------------------------------------- changing all of it at once

    def train(self, mode: bool = True) -> Module:
        """Set training mode (or evaluation mode) here and below; return the module."""
        if not isinstance(mode, bool):
            raise _errors.not_a_mode(mode)
        self.training = mode
        for child in self.children():
            child.train(mode)  # not a loop over modules(): a child may define its own train
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and below; return the module."""
        return self.train(False)

    def apply(self, fn: Callable[[Module], None]) -> Module:
        """Call ``fn(module)`` for all modules below, then for this one; return the module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Freeze (False) or unfreeze all parameters; return the module."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters, or make them zeros."""
        for parameter in self.parameters():
            if set_to_none:
                parameter.grad = None
            elif parameter.grad is not None:
                array = parameter.grad.array  # others may hold it, so it is not written to
                parameter.grad = Tensor(backend.array_module(array).zeros_like(array))

    def to(self, *args, dtype=None, device=None, non_blocking: bool = False) -> Module:
        """Move all parameters and buffers to a device, change their floating dtype, or both.

        Takes a dtype, a device, both, or a tensor to be like. Happens in place: parameters stay
        the same objects, so an optimizer that holds them need not be made again. Integer buffers
        are moved, but keep their dtype.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif isinstance(arg, (str, backend.device)):
                device = arg
            elif type(arg) is int:
                device = f"cuda:{arg}"
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        device = None if device is None else backend.device(device)
        if dtype is not None and np.dtype(dtype).kind != "f":
            raise _errors.not_floating(np.dtype(dtype))

        def convert(tensor: Tensor) -> Tensor:
            return tensor.to(dtype=dtype if tensor.dtype.kind == "f" else None, device=device)

        return self._change_tensors(convert)

    def _change_tensors(self, convert: Callable[[Tensor], Tensor]) -> Module:
        for tensor in [*self.parameters(), *self.buffers()]:
            converted = convert(tensor.detach())
            if converted.array is not tensor.array:
                tensor.data = converted
            if tensor._grad is not None:
                tensor._grad = convert(tensor._grad.detach())
        return self._compute_again()

    def cpu(self) -> Module:
        """Move the module to the CPU."""
        return self.to(device="cpu")

    def cuda(self, device=None) -> Module:
        """Move the module to a GPU."""
        device = "cuda" if device is None else device
        return self.to(device=f"cuda:{device}" if isinstance(device, int) else device)

    def float(self) -> Module:
        """Make floating parameters and buffers float32."""
        return self.to(dtype=backend.float32)

    def double(self) -> Module:
        """Make floating parameters and buffers float64."""
        return self.to(dtype=backend.float64)

    def half(self) -> Module:
        """Make floating parameters and buffers float16."""
        return self.to(dtype=backend.float16)

    # ------------------------------------------------------------------- saving and loading

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        for path, module in self.named_modules(prefix=prefix, remove_duplicate=False):
            before = path + "." if path else ""
            for name, parameter in module._own_parameters():
                yield before + name, parameter
            for name, buffer in module._own_buffers():
                if module._buffers[name]:
                    yield before + name, buffer

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, Tensor]:
        """Return a copy of all parameters and persistent buffers, by name.

        Parameters
        ----------
        prefix : str
            The path of this module, written before every name.
        keep_vars : bool
            Return the parameters and buffers themselves instead of copies.
        """
        return {
            name: tensor if keep_vars else tensor.detach().clone()
            for name, tensor in self._state(prefix)
        }

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True):
        """Copy values into the parameters and buffers: all of them, or none.

        Parameters
        ----------
        state_dict : dict of str to Tensor (or array)
            Values by name; other dtypes and devices are converted.
        strict : bool
            Whether missing and unexpected names are errors. Shapes must fit in any case.

        Returns
        -------
        IncompatibleKeys
            ``missing_keys`` and ``unexpected_keys``.

        Raises
        ------
        RuntimeError
            Names every missing, unexpected and mis-shaped entry; the module is unchanged.
        """
        if not isinstance(state_dict, Mapping):
            raise _errors.not_a_state_dict(self, state_dict)
        own = dict(self._state())
        missing = [name for name in own if name not in state_dict]
        unexpected = [name for name in state_dict if name not in own]
        unfit = []
        for name in own:
            value = state_dict.get(name, own[name])
            if not (isinstance(value, Tensor) or backend.is_array(value)):
                unfit.append(f"{name} (expected a tensor, got {type(value).__name__})")
            elif tuple(value.shape) != own[name].shape:
                unfit.append(f"{name} (expected {own[name].shape}, got {tuple(value.shape)})")
        complaints = {"Mis-shaped": unfit}
        if strict:
            complaints = {"Missing": missing, "Unexpected": unexpected, **complaints}
        if any(complaints.values()):
            raise _errors.misfit_state(self, complaints)
        with autograd.no_grad():
            # First bring every value over (which may fail), then write (which cannot).
            values = {
                name: Tensor(backend.asarray_on(getattr(value, "array", value), own[name].device))
                for name, value in state_dict.items()
                if name in own
            }
            for name, value in values.items():
                own[name].copy_(value)
        self._compute_again()
        return IncompatibleKeys(missing, unexpected)

    # ---------------------------------------------------------------------------- showing

    def extra_repr(self) -> str:
        """Return the options to show between the brackets; layers define it."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [f"({name}): {child!r}" for name, child in self._own_children()]
        if not children and "\n" not in extra:
            return f"{type(self).__name__}({extra})"
        lines = "\n".join([*([extra] if extra else []), *children]).replace("\n", "\n  ")
        return f"{type(self).__name__}(\n  {lines}\n)"


class _Hook:
    """A registered hook; one object for each registration, so that each can be removed."""

    def __init__(self, function: Callable, with_kwargs: bool):
        self.function, self.with_kwargs = function, with_kwargs


def _register(hooks: list, function: Callable, prepend: bool, with_kwargs: bool) -> RemovableHandle:
    hook = _Hook(function, with_kwargs)
    handle = RemovableHandle(hooks, hook)
    if prepend:
        hooks.insert(0, hooks.pop())
    return handle


def _inside(name: str, value) -> Iterator[tuple[str, Parameter | Module]]:
    """Yield the parameters and modules in nested lists, tuples and dicts."""
    if isinstance(value, (Parameter, Module)):
        yield name, value
    elif isinstance(value, (list, tuple)):
        for i, part in enumerate(value):
            yield from _inside(f"{name}.{i}", part)
    elif isinstance(value, dict):
        for key, part in value.items():
            yield from _inside(f"{name}.{key}", part)
