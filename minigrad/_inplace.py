"""What changes a tensor in place: ``add_``, ``zero_``, ``x[i] = v``, ``x += y`` and their like.

A graph remembers tensors, not copies of their numbers, so a change in place can make it lie. Two
rules keep it honest. Every memory has one count of its changes, shared by all views of it; a node
whose backward reads an input's value compares the count then and now. And what requires a gradient
is not changed while the graph records: its old value's gradient would be lost. All methods here
go through one door, `InPlace._overwrite`.

Before this: ``_tensor.py``, whose class inherits these methods.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from . import _errors as errors
from . import autograd, backend
from .functions import elementwise, shape

if TYPE_CHECKING:
    from ._tensor import Tensor


class InPlace:
    """The part of `Tensor` that changes its memory."""

    __slots__ = ()

    def _overwrite(self, name: str, value, *others) -> Tensor:
        """Write `value` (an array or number) into this tensor's memory: the one door to it.

        `others` are the operands that `value` was computed from; while the graph records, what
        requires a gradient may neither be overwritten nor be written into another tensor, for
        its gradient would be lost.
        """
        if autograd.is_grad_enabled():
            for x in (self, *others):
                if isinstance(x, autograd.Tensor) and x._requires_grad:
                    raise errors.in_place_while_recording(name)
        shape_, dtype = getattr(value, "shape", ()), getattr(value, "dtype", None)
        if len(shape_) > self.ndim or any(
            n not in (1, m) for n, m in zip(shape_[::-1], self.shape[::-1])
        ):
            raise errors.misfit_result(name, self.shape, shape_)
        if dtype is not None and name not in ("copy_", "fill_", "x[...] = v"):
            kinds = [elementwise.KIND[d.kind] for d in (dtype, self.dtype)]
            if kinds[0] > kinds[1]:
                raise errors.misfit_dtype(name, self.dtype, dtype)
        if not backend.is_writable(self.array):
            raise errors.not_writable(name)
        self.array[...] = value
        self.bump_version()
        return self

    def _apply_in_place(self, name: str, function: Callable, *others) -> Tensor:
        with autograd.no_grad():
            value = function(self.detach(), *others).array
        return self._overwrite(name, value, *others)

    def __setitem__(self, key, value) -> None:
        name = "x[...] = v"
        if isinstance(value, autograd.Tensor):
            source = value
            value = backend.asarray_on(value.array, self.device)
        else:
            xp, source = backend.array_module(self.array), None
            value = value if np.isscalar(value) else xp.asarray(value)
        if autograd.is_grad_enabled() and (
            self._requires_grad or getattr(source, "requires_grad", False)
        ):
            self._overwrite(name, value, source)  # raises
        if not backend.is_writable(self.array):
            raise errors.not_writable(name)
        self.array[shape.index_key(key, self.array)] = value
        self.bump_version()

    def add_(self, other, *, alpha=1):
        """`add`, in place."""
        return self._apply_in_place("add_", lambda x, y: elementwise.add(x, y, alpha=alpha), other)

    def sub_(self, other, *, alpha=1):
        """`sub`, in place."""
        return self._apply_in_place("sub_", lambda x, y: elementwise.sub(x, y, alpha=alpha), other)

    def mul_(self, other):
        """`mul`, in place."""
        return self._apply_in_place("mul_", elementwise.mul, other)

    def div_(self, other):
        """`div`, in place."""
        return self._apply_in_place("div_", elementwise.div, other)

    def pow_(self, other):
        """`pow`, in place."""
        return self._apply_in_place("pow_", elementwise.pow, other)

    def clamp_(self, min=None, max=None):
        """`clamp`, in place."""
        return self._apply_in_place("clamp_", elementwise.clamp, min, max)

    def exp_(self):
        """`exp`, in place."""
        return self._apply_in_place("exp_", elementwise.exp)

    def sqrt_(self):
        """`sqrt`, in place."""
        return self._apply_in_place("sqrt_", elementwise.sqrt)

    def neg_(self):
        """`neg`, in place."""
        return self._apply_in_place("neg_", elementwise.neg)

    def abs_(self):
        """`abs`, in place."""
        return self._apply_in_place("abs_", elementwise.abs)

    def relu_(self):
        """`relu`, in place."""
        return self._apply_in_place("relu_", elementwise.relu)

    def tanh_(self):
        """`tanh`, in place."""
        return self._apply_in_place("tanh_", elementwise.tanh)

    def sigmoid_(self):
        """`sigmoid`, in place."""
        return self._apply_in_place("sigmoid_", elementwise.sigmoid)

    def round_(self):
        """`round`, in place."""
        return self._apply_in_place("round_", elementwise.round)

    def floor_(self):
        """`floor`, in place."""
        return self._apply_in_place("floor_", elementwise.floor)

    def masked_fill_(self, mask, value):
        """`masked_fill`, in place."""
        return self._apply_in_place("masked_fill_", lambda x, v: x.masked_fill(mask, v), value)

    def zero_(self):
        """All entries 0."""
        return self._overwrite("fill_", 0)

    def fill_(self, value):
        """All entries `value`."""
        array = value.array if isinstance(value, autograd.Tensor) else value
        return self._overwrite("fill_", array, value)

    def copy_(self, other, non_blocking=False):
        """The entries of another tensor (or array), which may be broadcast, cast and moved."""
        array = other.array if isinstance(other, autograd.Tensor) else np.asarray(other)
        return self._overwrite("copy_", backend.asarray_on(array, self.device), other)

    def normal_(self, mean=0.0, std=1.0, *, generator=None):
        """Entries drawn from a normal distribution."""
        return self._draw("normal_", generator, lambda rng: rng.normal(mean, std, self.shape))

    def uniform_(self, a=0.0, b=1.0, *, generator=None):
        """Entries drawn evenly from a up to b."""
        return self._draw("uniform_", generator, lambda rng: rng.uniform(a, b, self.shape))

    def bernoulli_(self, p=0.5, *, generator=None):
        """Entries 1 with probability p, else 0."""
        return self._draw("bernoulli_", generator, lambda rng: rng.random(self.shape) < p)

    def _draw(self, name: str, generator, draw: Callable) -> Tensor:
        # Drawn on the CPU: a seed gives the same numbers on every device.
        numbers = np.asarray(draw(backend.generator(generator))).astype(self.dtype)
        return self._overwrite(name, backend.asarray_on(numbers, self.device))

    def detach_(self):
        """Cut this tensor off from the graph that made it."""
        self.creator, self._requires_grad, self.hooks = None, False, None
        return self

    def __iadd__(self, other):
        return self._augmented(self.add_, elementwise.add, other)

    def __isub__(self, other):
        return self._augmented(self.sub_, elementwise.sub, other)

    def __imul__(self, other):
        return self._augmented(self.mul_, elementwise.mul, other)

    def __itruediv__(self, other):
        return self._augmented(self.div_, elementwise.div, other)

    def _augmented(self, in_place: Callable, out_of_place: Callable, other):
        """``x += y``: in place, except that a recorded result is replaced by a new one."""
        recorded = self.creator is not None or (
            not self._requires_grad and isinstance(other, autograd.Tensor) and other._requires_grad
        )
        if recorded and autograd.is_grad_enabled():
            return out_of_place(self, other)
        return in_place(other)
