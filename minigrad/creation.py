"""New tensors: from numbers, filled, counted up, and drawn at random.

Every function takes ``dtype`` (the default floating dtype unless said otherwise), ``device``
(the CPU, or that of the enclosing ``with device(...)`` block) and ``requires_grad``. Random
numbers come from `generator`, or else from this thread's generator, which `manual_seed` seeds.

Before this: ``_tensor.py``.
"""

from __future__ import annotations

import numpy as np

from . import backend
from ._errors import message
from ._tensor import Tensor


def tensor(data, *, dtype=None, device=None, requires_grad: bool = False) -> Tensor:
    """Return a tensor with a copy of `data`.

    Parameters
    ----------
    data : number, nested sequence, array or Tensor
    dtype : dtype, optional
        By default that of an array; for Python's numbers bool, int64 or the default float.
    """
    where = device
    if isinstance(data, Tensor):
        where = data.device if where is None else where
        data = data.array
    if backend.is_array(data):
        if where is None and not isinstance(data, np.ndarray):
            where = backend.device_of(data)
        data = _checked(data, "tensor")
        array = data.astype(data.dtype.newbyteorder("=") if dtype is None else dtype)  # a copy
    else:
        array = _from_python(data, dtype)
    return _finish(array, where, requires_grad)


def _from_python(data, dtype) -> np.ndarray:
    if isinstance(data, (list, tuple)) and any(isinstance(part, Tensor) for part in data):
        data = [part.tolist() if isinstance(part, Tensor) else part for part in data]
    try:
        array = np.array(data)
    except ValueError as error:
        raise ValueError(
            message(
                "tensor",
                "the rows have different lengths.",
                expect="a rectangular nesting",
                do="pad the rows, or make one tensor for each",
            )
        ) from error
    if array.dtype.kind not in "biuf":
        raise TypeError(
            message(
                "tensor",
                "these are not numbers.",
                expect="numbers, or nested lists of them",
                actual=f"{type(data).__name__} of dtype {array.dtype}",
            )
        )
    if array.dtype == np.uint64 and not isinstance(data, np.generic):
        raise ValueError(
            message("tensor", "an integer is too large for int64.", actual=array.max())
        )
    if dtype is None and array.dtype == np.float64 and not isinstance(data, np.generic):
        dtype = backend.get_default_dtype()
    return array if dtype is None else array.astype(dtype)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """Return `data` as a tensor: itself, or around the same memory, where nothing must change."""
    if not isinstance(data, Tensor):
        if not backend.is_array(data):
            return tensor(data, dtype=dtype, device=device)
        if isinstance(data, np.ndarray):
            device = backend.default_device() if device is None else device
            data = data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))
        data = Tensor(_checked(data, "as_tensor"))
    return data.to(dtype=dtype, device=device)


def from_numpy(array: np.ndarray) -> Tensor:
    """Return a tensor around the memory of a NumPy array: what changes one changes the other."""
    if not isinstance(array, np.ndarray):
        raise TypeError(
            message(
                "from_numpy",
                "not a NumPy array.",
                actual=type(array).__name__,
                do="use minigrad.tensor(...)",
            )
        )
    if not array.dtype.isnative:
        raise TypeError(
            message(
                "from_numpy",
                "the bytes of the numbers are in another machine's order.",
                actual=repr(array.dtype.str),
                do="minigrad.tensor(array), which copies",
            )
        )
    return Tensor(_checked(array, "from_numpy"))


def _checked(array, name):
    if array.dtype.kind not in "biuf":
        raise TypeError(
            message(
                name,
                "not a dtype of tensors.",
                expect="a float, integer or bool dtype",
                actual=array.dtype,
            )
        )
    return array


def _finish(array: np.ndarray, device, requires_grad: bool) -> Tensor:
    device = backend.default_device() if device is None else device
    return Tensor(backend.asarray_on(array, device), requires_grad=requires_grad)


def _shape(*size) -> tuple:
    shape = backend.shape_of(size)
    if any(n < 0 for n in shape):
        raise ValueError(message("shape", "a size is negative.", expect="0 or more", actual=shape))
    return shape


def _float_dtype(dtype) -> np.dtype:
    return backend.get_default_dtype() if dtype is None else np.dtype(dtype)


# ---------------------------------------------------------------------------------- filled


def zeros(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return zeros."""
    return full(_shape(*size), 0, _float_dtype(dtype), device, requires_grad)


def ones(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return ones."""
    return full(_shape(*size), 1, _float_dtype(dtype), device, requires_grad)


def empty(*size, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return a tensor whose entries mean nothing yet."""
    device = backend.default_device() if device is None else device
    array = backend.empty_on(_shape(*size), _float_dtype(dtype), device)
    return Tensor(array, requires_grad=requires_grad)


def full(size, fill_value, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return `fill_value` in every entry; its own kind decides the dtype."""
    fill_value = fill_value.item() if isinstance(fill_value, Tensor) else fill_value
    if dtype is None:
        dtype = tensor(fill_value).dtype
    device = backend.default_device() if device is None else device
    array = backend.filled_on(_shape(size), fill_value, dtype, device)
    return Tensor(array, requires_grad=requires_grad)


def zeros_like(x: Tensor, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return zeros with the shape, dtype and device of x."""
    return full_like(x, 0, dtype=dtype, device=device, requires_grad=requires_grad)


def ones_like(x: Tensor, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return ones with the shape, dtype and device of x."""
    return full_like(x, 1, dtype=dtype, device=device, requires_grad=requires_grad)


def empty_like(x: Tensor, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return a tensor like x whose entries mean nothing yet."""
    return empty(
        x.shape, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad
    )


def full_like(x: Tensor, fill_value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return `fill_value` with the shape, dtype and device of x."""
    return full(x.shape, fill_value, dtype or x.dtype, device or x.device, requires_grad)


def eye(n: int, m: int | None = None, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return n rows and m columns (n by default) with ones on the diagonal."""
    rows, columns = _shape(n, n if m is None else m)
    return _finish(np.eye(rows, columns, dtype=_float_dtype(dtype)), device, requires_grad)


# ------------------------------------------------------------------------------- counted up


def arange(start, end=None, step=1, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return start, start + step, ... below `end`; int64 where all three are integers."""
    if end is None:
        start, end = 0, start
    if step == 0:
        raise ValueError(
            message("arange", "the step is 0.", expect="any other number", actual=step)
        )
    if dtype is None:
        whole = all(isinstance(n, (int, np.integer)) for n in (start, end, step))
        dtype = backend.int64 if whole else backend.get_default_dtype()
    return _finish(np.arange(start, end, step).astype(dtype), device, requires_grad)


def linspace(start, end, steps: int, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return `steps` numbers at equal distances, both ends included."""
    array = np.linspace(start, end, steps).astype(_float_dtype(dtype))
    return _finish(array, device, requires_grad)


# -------------------------------------------------------------------------- drawn at random


def rand(*size, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return numbers drawn evenly from 0 up to 1."""
    dtype = _float_dtype(dtype)
    array = np.asarray(backend.generator(generator).random(_shape(*size))).astype(dtype)
    if dtype.kind == "f":  # rounding to fewer digits must not make a 1
        array = np.minimum(array, np.nextafter(dtype.type(1), dtype.type(0)))
    return _finish(array, device, requires_grad)


def randn(*size, generator=None, dtype=None, device=None, requires_grad=False) -> Tensor:
    """Return numbers drawn from the standard normal distribution."""
    array = np.asarray(backend.generator(generator).standard_normal(_shape(*size)))
    return _finish(array.astype(_float_dtype(dtype)), device, requires_grad)


def randint(low, high, size=None, *, generator=None, dtype=None, device=None) -> Tensor:
    """Return integers drawn evenly from `low` up to but not including `high`; int64."""
    if size is None:
        low, high, size = 0, low, high
    array = np.asarray(backend.generator(generator).integers(low, high, _shape(size)))
    return _finish(array.astype(dtype or backend.int64), device, False)


def randperm(n: int, *, generator=None, dtype=None, device=None) -> Tensor:
    """Return 0 .. n - 1 in random order; int64."""
    array = backend.generator(generator).permutation(n)
    return _finish(array.astype(dtype or backend.int64), device, False)


def normal(mean=0.0, std=1.0, size=None, *, generator=None, dtype=None, device=None) -> Tensor:
    """Return numbers drawn from a normal distribution; `mean` and `std` may be tensors."""
    numbers = [backend.to_numpy(x.array) if isinstance(x, Tensor) else x for x in (mean, std)]
    array = np.asarray(backend.generator(generator).normal(*numbers, size=size))
    return _finish(array.astype(_float_dtype(dtype)), device, False)


def bernoulli(p: Tensor, *, generator=None) -> Tensor:
    """Return 1 with the probability in each entry of p, else 0."""
    probability = backend.to_numpy(p.array)
    if not ((probability >= 0) & (probability <= 1)).all():
        raise ValueError(message("bernoulli", "not probabilities.", expect="from 0 to 1", actual=p))
    drawn = backend.generator(generator).random(p.shape) < probability
    return _finish(drawn.astype(p.dtype), p.device, False)


def multinomial(p: Tensor, num_samples: int, replacement=False, *, generator=None) -> Tensor:
    """Return indices drawn with the weights in the last axis of p; int64."""
    rng, weights = backend.generator(generator), backend.to_numpy(p.array).astype(np.float64)
    rows = weights.reshape(-1, weights.shape[-1])
    if not (np.isfinite(rows).all() and (rows >= 0).all() and (rows.sum(axis=1) > 0).all()):
        raise ValueError(
            message("multinomial", "the weights must be finite, not negative, and not all 0.")
        )
    drawn = [rng.choice(len(row), num_samples, replacement, row / row.sum()) for row in rows]
    return _finish(np.stack(drawn).reshape(*weights.shape[:-1], num_samples), p.device, False)


def rand_like(x: Tensor, *, generator=None, dtype=None, device=None) -> Tensor:
    """Return `rand` with the shape, dtype and device of x."""
    return rand(x.shape, generator=generator, dtype=dtype or x.dtype, device=device or x.device)


def randn_like(x: Tensor, *, generator=None, dtype=None, device=None) -> Tensor:
    """Return `randn` with the shape, dtype and device of x."""
    return randn(x.shape, generator=generator, dtype=dtype or x.dtype, device=device or x.device)
