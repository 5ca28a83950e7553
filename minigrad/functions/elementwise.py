"""Arithmetic and one-input functions: what the operators and methods of `Tensor` call.

A function here brings its operands to one dtype (PyTorch's rules) and one shape, and applies an
op of ``ops/elementwise.py``. What has no derivative of its own is composed from what has.
"""

from __future__ import annotations

import numpy as np

from .. import autograd, backend
from .._errors import message
from ..ops.elementwise import (
    Abs,
    Add,
    Cast,
    Clamp,
    Clone,
    Cos,
    Div,
    Exp,
    Log,
    Log1p,
    Maximum,
    Minimum,
    Mul,
    Neg,
    Pow,
    Relu,
    Remainder,
    RoundedDiv,
    Scale,
    Shift,
    Sigmoid,
    Sin,
    Sqrt,
    Step,
    Sub,
    Tanh,
    Where,
)
from .shape import broadcast_to

# ---------------------------------------------------- one shape and one dtype for two inputs


def _binary(op, a, b, op_with_number=None, **options):
    """Apply a two-input op; first bring both inputs to one dtype and one shape."""
    Tensor = autograd.Tensor
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        x, y = a.array, b.array
        if x.shape == y.shape and x.dtype == y.dtype and (op is not Div or x.dtype.kind == "f"):
            return op.apply(a, b, **options)  # nearly always
    elif op_with_number is not None and _is_float_and_number(a, b):
        return op_with_number.apply(a, c=b)
    a, b = promote(a, b, to_float=op is Div, where=op.__name__)
    if isinstance(a, Tensor) and isinstance(b, Tensor) and a.shape != b.shape:
        shape = broadcast_shape(op.__name__, a.shape, b.shape)
        a, b = broadcast_to(a, shape), broadcast_to(b, shape)
    return op.apply(a, b, **options)


def broadcast_shape(name: str, *shapes: tuple, actual: str = "") -> tuple:
    """Return the shape that `shapes` broadcast to."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            message(
                name,
                "the shapes do not broadcast together.",
                expect="from the last axis backwards, sizes that are equal or 1",
                actual=actual or " and ".join(str(tuple(shape)) for shape in shapes),
                do="add an axis of size 1 where one is missing (unsqueeze), or transpose",
            )
        ) from None


def promote(a, b, *, to_float: bool = False, where: str = "promote") -> tuple:
    """Bring two operands to one dtype by PyTorch's rules.

    Float beats integer beats bool; among equals the wider wins; but a Python number or a 0-d
    tensor never widens a tensor with axes of the same kind. A Python number stays one.
    """
    if _is_float_and_number(a, b):
        return a, b  # nearly always
    a, b = _operand(a, where), _operand(b, where)
    tensors = [t for t in (a, b) if isinstance(t, autograd.Tensor)]
    dtype = result_type(a, b)
    if to_float and dtype.kind != "f":
        dtype = backend.get_default_dtype()
    if not tensors:  # two plain numbers: make one of them a tensor
        a = autograd.Tensor(np.asarray(a, dtype=dtype))
    return tuple(
        [t.to(dtype) if isinstance(t, autograd.Tensor) and t.dtype != dtype else t for t in (a, b)]
    )


def result_type(a, b) -> np.dtype:
    """Return the dtype of a result computed from `a` and `b` (tensors or Python numbers)."""
    strong = {0: [], 1: [], 2: []}  # Python numbers, 0-d tensors, tensors with axes
    for x in (_operand(a, "result_type"), _operand(b, "result_type")):
        if isinstance(x, autograd.Tensor):
            strong[2 if x.ndim else 1].append(x.dtype)
        else:
            default = {bool: backend.bool_, int: backend.int64}
            strong[0].append(default.get(type(x), backend.get_default_dtype()))
    result = None
    for level in (2, 1, 0):
        for dtype in strong[level]:
            if result is None or KIND[dtype.kind] > KIND[result.kind]:
                result = dtype
            elif dtype.kind != "f" and result.kind == "f":
                pass
            elif len(strong[level]) == 2:
                result = np.promote_types(result, dtype)
    return result


def _is_float_and_number(a, b) -> bool:
    return type(b) in (float, int) and isinstance(a, autograd.Tensor) and a.array.dtype.kind == "f"


KIND = {"b": 0, "u": 1, "i": 1, "f": 2}


def _operand(x, where: str):
    """Return a tensor, or a Python number, for what stands beside a tensor in an expression."""
    if isinstance(x, autograd.Tensor) or type(x) in (int, float, bool):
        return x
    if isinstance(x, np.generic):
        return x.item()  # as in PyTorch, NumPy's scalars count as Python's
    if backend.is_array(x):
        return autograd.Tensor(x)
    raise TypeError(
        message(
            where,
            "this cannot be combined with a tensor.",
            expect="a tensor, a number or an array",
            actual=type(x).__name__,
            do="make it a tensor with minigrad.tensor(...)",
        )
    )


def tensor_of(x, where: str):
    """Return a tensor for a tensor or an array, and refuse all else."""
    if isinstance(x, autograd.Tensor):
        return x
    if backend.is_array(x):
        return autograd.Tensor(x)
    raise TypeError(
        message(
            where,
            "this is not a tensor.",
            expect="a tensor or an array",
            actual=type(x).__name__,
            do="make it a tensor with minigrad.tensor(...)",
        )
    )


# ------------------------------------------------------------------------------ functions


def add(a, b, *, alpha=1):
    """Return a + alpha b."""
    if alpha != 1:
        a, b = promote(a, b, where="add")
        b = b * alpha
    return _binary(Add, a, b, Shift)


def sub(a, b, *, alpha=1):
    """Return a - alpha b."""
    if alpha != 1:
        a, b = promote(a, b, where="sub")
        b = b * alpha
    return Shift.apply(a, c=-b) if _is_float_and_number(a, b) else _binary(Sub, a, b)


def mul(a, b):
    """Return a b, element by element."""
    return _binary(Mul, a, b, Scale)


def div(a, b, *, rounding_mode=None):
    """Return a / b; integers give floats. `rounding_mode` is None, "floor" or "trunc"."""
    if rounding_mode is None:
        return _binary(Div, a, b)
    if rounding_mode not in ("floor", "trunc"):
        raise ValueError(
            message(
                "div",
                "no such rounding mode.",
                expect="None, 'floor' or 'trunc'",
                actual=repr(rounding_mode),
            )
        )
    return _binary(RoundedDiv, a, b, mode=rounding_mode)


def pow(x, exponent):
    """Return x to the power `exponent`."""
    return _binary(Pow, x, exponent)


def maximum(a, b):
    """Return the larger of a and b; NaN wins."""
    return _binary(Maximum, a, b)


def minimum(a, b):
    """Return the smaller of a and b; NaN wins."""
    return _binary(Minimum, a, b)


def where(condition, a, b):
    """Return a where `condition` holds, else b; all three broadcast together.

    Parameters
    ----------
    condition : Tensor of bool
    a, b : Tensor or number
    """
    if not isinstance(condition, autograd.Tensor):
        condition = autograd.Tensor(np.asarray(condition))
    if condition.dtype.kind != "b":
        raise TypeError(
            message(
                "where",
                "the condition is neither true nor false.",
                expect="a tensor of bool",
                actual=condition.dtype,
                do="compare first, as in where(x > 0, a, b)",
            )
        )
    if not isinstance(a, autograd.Tensor) and not isinstance(b, autograd.Tensor):
        a = condition.new_full((), a, dtype=result_type(a, b))  # two numbers: on its device
    a, b = promote(a, b, where="where")
    tensors = [t for t in (condition, a, b) if isinstance(t, autograd.Tensor)]
    shape = tensors[0].shape
    if any(t.shape != shape for t in tensors):
        shape = broadcast_shape("where", *[t.shape for t in tensors])
        condition, a, b = [
            broadcast_to(t, shape) if isinstance(t, autograd.Tensor) else t
            for t in (condition, a, b)
        ]
    return Where.apply(condition, a, b)


def clone(x):
    """Return a copy of x; the gradient flows through it."""
    return Clone.apply(x)


def neg(x):
    """Return -x."""
    return Neg.apply(x)


def _floating(op):
    """Make the function of an op whose results are no integers: integers become floats first."""

    def function(x):
        if x.array.dtype.kind != "f":
            x = x.to(backend.get_default_dtype())
        return op.apply(x)

    function.__name__ = function.__qualname__ = op.__name__.lower()
    function.__doc__ = op.__doc__
    return function


exp, log, log1p, sqrt = _floating(Exp), _floating(Log), _floating(Log1p), _floating(Sqrt)
sin, cos, tanh, sigmoid = _floating(Sin), _floating(Cos), _floating(Tanh), _floating(Sigmoid)


def relu(x):
    """Return max(x, 0). The derivative at 0 is 0."""
    return Relu.apply(x)


def abs(x):
    """Return |x|. The derivative at 0 is 0."""
    return Abs.apply(x)


def remainder(a, b):
    """Return a - b floor(a / b), whose sign is the divisor's."""
    return _binary(Remainder, a, b)


def square(x):
    """Return x times x."""
    return mul(x, x)


def reciprocal(x):
    """Return 1 / x."""
    return div(1.0, x)


def rsqrt(x):
    """Return 1 / sqrt(x)."""
    return div(1.0, sqrt(x))


def cast(x, dtype):
    """Return x in another dtype; the gradient follows from float to float only."""
    dtype = np.dtype(dtype)
    if dtype.kind not in KIND:
        raise TypeError(
            message(
                "to",
                "not a dtype of tensors.",
                expect="a float, integer or bool dtype",
                actual=dtype,
            )
        )
    return Cast.apply(x if dtype.kind == "f" else x.detach(), dtype=dtype)


def sign(x):
    """Return -1, 0 or 1 (0 for NaN); the derivative is 0."""
    return _step(x, "sign")


def floor(x):
    """Return the largest integer that is not above x; the derivative is 0."""
    return _step(x, "floor")


def ceil(x):
    """Return the smallest integer that is not below x; the derivative is 0."""
    return _step(x, "ceil")


def round(x):
    """Return the nearest integer, halves to the even one; the derivative is 0."""
    return _step(x, "rint")


def trunc(x):
    """Return x without its fraction; the derivative is 0."""
    return _step(x, "trunc")


def _step(x, name):
    whole = x.array.dtype.kind == "b" or (x.array.dtype.kind in "iu" and name != "sign")
    return x.clone() if whole else Step.apply(x, name=name)


def clamp(x, min=None, max=None):
    """Return x kept between `min` and `max` (numbers or tensors); both ends keep the gradient."""
    if min is None and max is None:
        raise ValueError(message("clamp", "neither min nor max is given."))
    if not isinstance(min, autograd.Tensor) and not isinstance(max, autograd.Tensor):
        for bound in (min, max):
            x = x if bound is None else x.to(result_type(x, _operand(bound, "clamp")))
        return Clamp.apply(x, low=min, high=max)
    if min is not None:
        x = where(x < min, min, x)
    if max is not None:
        x = where(x > max, max, x)
    return x
