"""A strict stand-in for CuPy, so that code for the GPU can be tested without a GPU.

`cupy` below is used like the module: ``minigrad.backend.cupy = fakecupy.cupy``. Its arrays hold a
NumPy array and compute with it, but they are *not* NumPy arrays, and they refuse what CuPy
refuses: NumPy arrays and lists as operands, implicit conversion (``np.asarray``, ``range(a)``),
names that CuPy does not have, keywords that its functions do not take (``where=``, ``initial=``),
``ufunc.at`` for dtypes without atomics. The names and arguments are those of a snapshot of the
real CuPy, ``cupy_names.json``; everything the stand-in provides is a subset of it.

Some mistakes CuPy lets pass, and then it is silently wrong or slow. Here they raise `Strict`:

========================================================  =========================================
index arrays out of range                                 CuPy wraps them around
``a[index] = values`` with an index named twice           CuPy keeps any one of the values
writing through a broadcast or overlapping view           CuPy has no read-only flag; it corrupts
``a @= b``                                                binds ``a`` to a new array
``np.exp(a)``, ``np.sum(a)``                              work by dispatch, several times slower
a NumPy array or list where a device array is meant       copies to the device, or leaves the device
========================================================  =========================================

Arrays from ``empty`` are filled with NaN. Reading a value on the host (``float``, ``item``, ``if
a:``, a boolean mask, ``nonzero``) works but makes the host wait: `counts` counts such reads as
``sync``, and copies as ``h2d`` and ``d2h``; inside ``with forbid_sync():`` a read raises.

Kernels that are CUDA sources run on the CPU (``cuda_on_cpu.py``), and cuBLAS is an emulated one
(``cublas_on_cpu.py``).

What passes here can still fail on a GPU (memory, order of additions); what fails here would fail
there, or be wrong or slow. Everything is computed in `_launch`, in `ufunc._run` and in the few
methods that write (``__setitem__``, ``fill``, ``set``, ``at``), and all waiting is in `_sync`;
these tell ``fakecupy_graph.py``, which captures and replays.

Read before: ``make_cupy_names.py``. Read after: ``test_fakecupy.py``, a proof of each refusal.
"""

from __future__ import annotations

import contextlib
import types
from collections import Counter

import cublas_on_cpu
import cuda_on_cpu
import fakecupy_graph as fakegraph
import numpy as np
from fakecupy_graph import poison
from make_cupy_names import load, signature

from minigrad.kernels.cuda import gemm

NAMES = load()
SCALARS = (bool, int, float, complex, np.generic)
words = str.split
ABOUT_SHAPE = words("may_share_memory ndim result_type shape size")

counts = Counter()  # "sync": the host waited for a value; "h2d", "d2h": copies to and from it
_sync_allowed = [True]


class Strict(Exception):
    """CuPy itself would go on here, and be wrong or slow."""


def _sync(why: str) -> None:
    """Note that the host has to wait for the device, to learn a value."""
    fakegraph.refuse(fakegraph.D2H, why)
    counts["sync"] += 1
    if not _sync_allowed[-1]:
        raise Strict(f"{why} makes the host wait for the device, where that is forbidden")


def _synchronize(why: str) -> None:
    """Wait for all that was launched, which a stream that captures does not allow."""
    fakegraph.refuse_waiting(why)
    fakegraph.waited()
    _sync(why)


@contextlib.contextmanager
def forbid_sync():
    """Inside this block no value may be read on the host, as in a fast training step."""
    _sync_allowed.append(False)
    try:
        yield
    finally:
        _sync_allowed.pop()


# ----------------------------------------------------------------------------- in and out of arrays


def _wrap(array, base=None) -> ndarray:
    """Return a device array around the memory of a NumPy array."""
    array = np.asarray(array)
    largest = 16 if array.dtype.kind == "c" else 8
    if array.dtype.kind not in "?biufc" or array.dtype.itemsize > largest:
        raise ValueError(f"Unsupported dtype {array.dtype}")
    if base is None:
        fakegraph.allocated(array)
    new = object.__new__(ndarray)
    new._a, new._base = array, base
    return new


def _open(value):
    """Replace device arrays, also inside lists and tuples, by the NumPy arrays in them."""
    if isinstance(value, ndarray):
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError("Unsupported type <class 'numpy.ndarray'>: move it with cupy.asarray first")
    if type(value) in (list, tuple):
        return type(value)(_open(item) for item in value)
    return value


def _close(result, operands):
    """Make device arrays of results: one of the operands itself, a view of it, or a new one."""
    if isinstance(result, (list, tuple)):
        return (list if isinstance(result, list) else tuple)(_close(r, operands) for r in result)
    if not isinstance(result, (np.ndarray, *SCALARS)):
        return result
    base = None
    if isinstance(result, np.ndarray):
        for x in operands:
            if x._a is result:
                return x
            if result.base is not None and np.may_share_memory(result, x._a):
                base = x if x._base is None else x._base
    return _wrap(result, base)


def _arrays_in(values) -> list:
    """Return the device arrays among `values`, also those in lists and tuples."""
    found = []
    for value in values:
        if isinstance(value, ndarray):
            found.append(value)
        elif type(value) in (list, tuple):
            found += _arrays_in(value)
    return found


def _launch(function, *args, _writes=(), **kwargs):
    """Compute NumPy's `function` on device arrays, without warnings: CuPy has none."""
    positional = [_open(value) for value in args]
    opened = {name: _open(value) for name, value in kwargs.items()}
    operands = _arrays_in([*args, *kwargs.values()])

    def compute():
        with np.errstate(all="ignore"):
            return function(*positional, **opened)

    for array in _writes:
        fakegraph.before_write(array._a)
    name = getattr(function, "__name__", "")
    result = fakegraph.launched(compute, compute(), [x._a for x in operands], bool(_writes), name)
    return _close(result, operands)


def _check_writable(array) -> None:
    """Refuse to write where several elements share memory, or where NumPy says read-only."""
    if not isinstance(array, ndarray):
        raise TypeError(f"an output must be a cupy.ndarray, not {type(array)}")
    a, reach = array._a, array.itemsize
    overlaps = False
    for stride, length in sorted(
        (abs(s), n) for s, n in zip(a.strides, a.shape, strict=True) if n > 1
    ):
        overlaps |= stride < reach
        reach += stride * (length - 1)
    if a.size and (overlaps or not a.flags.writeable):
        raise Strict(
            "writing through a broadcast or overlapping view: CuPy would corrupt the memory"
        )


def _in_range(function):
    """Run `function`; CuPy wraps what NumPy calls an index array out of bounds."""
    try:
        return function()
    except IndexError as error:
        if type(error) is IndexError and "out of bounds" in str(error):
            raise Strict(f"CuPy wraps indices that are out of range: {error}") from error
        raise


def _check_distinct(shape, index) -> None:
    """Refuse an assignment that names an element twice."""
    size = int(np.prod(shape))
    named = np.arange(size).reshape(shape)[index]
    if np.unique(named).size != named.size:
        raise Strict("an element is assigned twice: which value stays is undefined; use add.at")


def _index(index) -> tuple[tuple, bool]:
    """Return NumPy's form of an index, and whether arrays are in it (then the result is a copy)."""
    parts, advanced = [], False
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, (list, np.ndarray, tuple)):
            fakegraph.refuse(fakegraph.H2D, "indexing with a list")
            counts["h2d"] += 1  # CuPy copies such an index to the device
            part = _wrap(np.asarray(part, dtype=None if np.size(part) else int))
        if isinstance(part, slice) and _arrays_in([part.start, part.stop, part.step]):
            raise Strict("a device scalar in a slice makes the host wait: pass an int")
        if isinstance(part, (bool, np.bool_)) or (isinstance(part, ndarray) and part.dtype == bool):
            _sync("indexing with a boolean mask")
            advanced = True
        if isinstance(part, ndarray):
            part, advanced = part._a, True
        parts.append(part)
    if not any(part is Ellipsis for part in parts):
        parts.append(Ellipsis)  # so that a[0, 0] is a 0-d view, as in CuPy, and not a scalar
    return tuple(parts), advanced


# ------------------------------------------------------------------------------------------- ufuncs

# Atomic operations exist for these dtypes only ("cupy.add.at only supports int32, ...").
AT_DTYPES = {
    "add": "i4 i8 u4 u8 f2 f4 f8",
    "subtract": "i4 u4",
    "maximum": "i4 i8 u4 u8 f4 f8",
    "minimum": "i4 i8 u4 u8 f4 f8",
    "bitwise_and": "i4 i8 u4 u8",
    "bitwise_or": "i4 i8 u4 u8",
    "bitwise_xor": "i4 i8 u4 u8",
}


def _kind(operand) -> str:
    """The dtype of an operand, as CuPy compiles for it."""
    return operand.dtype.str if hasattr(operand, "dtype") else type(operand).__name__


class ufunc:
    """An elementwise function: keywords ``out``, ``dtype`` and ``casting``, and no others."""

    def __init__(self, name: str):
        self.name = self.__name__ = name
        self._numpy = getattr(np, name)
        self.nin, self.nout, self.nargs = self._numpy.nin, self._numpy.nout, self._numpy.nargs

    def __repr__(self) -> str:
        return f"<ufunc 'cupy_{self.name}'>"

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", **unknown):
        if unknown:
            raise TypeError(f"cupy.{self.name}: Wrong arguments {unknown} (no where= in CuPy)")
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(f"Wrong number of arguments for {self.name!r}: {len(args)}")
        for x in args[: self.nin]:
            if not isinstance(x, (ndarray, *SCALARS)):
                raise TypeError(f"cupy.{self.name}: Unsupported type {type(x)}")
        outs = args[self.nin :] or (out if isinstance(out, tuple) else (out,))
        return self._run(args[: self.nin], [x for x in outs if x is not None], dtype, casting)

    def _run(self, operands, outs, dtype, casting):
        for x in outs:
            _check_writable(x)
        out = tuple(x._a for x in outs) or None
        opened = [_open(x) for x in operands]

        def compute():
            with np.errstate(all="ignore"):
                return self._numpy(*opened, out=out, dtype=dtype, casting=casting)

        for x in outs:
            fakegraph.before_write(x._a)
        result = fakegraph.launched(
            compute, compute(), [x._a for x in outs], bool(outs), (self.name, *map(_kind, operands))
        )
        return _close(result, outs)

    def at(self, a, indices, b=None) -> None:
        """``a[indices] op= b``, an element named twice counting twice."""
        if self.name not in AT_DTYPES:
            raise NotImplementedError(f"`cupy_{self.name}.at` is not supported yet")
        if a.dtype.str[1:] not in words(AT_DTYPES[self.name]):
            raise TypeError(f"cupy.{self.name}.at does not support {a.dtype}: no atomics for it")
        if not isinstance(b, (ndarray, *SCALARS)):
            raise Strict(f"cupy.{self.name}.at: {type(b)} would be copied to the device")
        _check_writable(a)
        index, _ = _index(indices)
        b = _open(b)
        fakegraph.launch(
            lambda: _in_range(lambda: self._numpy.at(a._a, index, np.asarray(b).astype(a.dtype))),
            writes=[a._a],
            kernel=f"{self.name}.at",
        )

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        """The sum or the product; CuPy has no others."""
        return getattr(array, self._only("reduce", add="sum", multiply="prod"))(
            axis, dtype, out, keepdims
        )

    def accumulate(self, array, axis=0, dtype=None, out=None):
        """The running sum or product; CuPy has no others."""
        name = self._only("accumulate", add="cumsum", multiply="cumprod")
        return getattr(array, name)(axis, dtype, out)

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        """Sums of slices; CuPy has no others."""
        self._only("reduceat", add="")
        return _launch(np.add.reduceat, array, indices, axis, dtype, out)

    def outer(self, A, B, **kwargs):
        """The function of all pairs."""
        return self(A.reshape(A.shape + (1,) * B.ndim), B, **kwargs)

    def _only(self, method: str, **methods: str) -> str:
        if self.name not in methods:
            raise NotImplementedError(f"`cupy_{self.name}.{method}` is not supported yet")
        return methods[self.name]


UFUNCS = {
    name: ufunc(name)
    for name, arguments in NAMES["cupy"].items()
    if arguments and "casting=" in arguments and isinstance(getattr(np, name, None), np.ufunc)
    if name != "matmul"
}


# ------------------------------------------------------------------------------------------- arrays


class Flags(types.SimpleNamespace):
    """``c_contiguous``, ``f_contiguous``, ``owndata``; there is no ``writeable``."""

    def __getitem__(self, name: str) -> bool:
        return getattr(self, name.lower())


class ndarray:
    """An array on the pretended device."""

    __slots__ = ("__weakref__", "_a", "_base")
    __array_priority__ = 100
    __hash__ = None

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        if memptr is not None or strides is not None:
            raise NotImplementedError("the stand-in has no memory pointers")
        self._a, self._base = empty(shape, dtype, order)._a, None

    # What NumPy is refused.

    def __array__(self, dtype=None, copy=None):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        others = [x for x in (*inputs, *kwargs.get("out", ())) if not isinstance(x, ndarray)]
        if any(isinstance(x, np.ndarray) for x in others):
            raise TypeError("Unsupported type <class 'numpy.ndarray'>: move it with cupy.asarray")
        if not all(isinstance(x, SCALARS) for x in others):
            return NotImplemented
        if method == "__call__" and any(isinstance(x, np.generic) for x in others) and not kwargs:
            return UFUNCS[function.__name__](*inputs)  # np.float32(2) * a arrives here
        raise Strict(f"np.{function.__name__} on a device array: write cupy.{function.__name__}")

    def __array_function__(self, function, kinds, args, kwargs):
        if function.__name__ in ABOUT_SHAPE:  # answered on the host, and no slower
            return function(*map(_open, args), **kwargs)
        raise Strict(f"np.{function.__name__} on a device array: write cupy.{function.__name__}")

    def __imatmul__(self, other):
        raise Strict("a @= b binds a to a new array in CuPy")

    def __reduce_ex__(self, protocol):
        raise Strict("a pickled CuPy array comes back on the GPU: save cupy.asnumpy(a)")

    # What the host may ask without waiting.

    shape = property(lambda self: self._a.shape, lambda self, s: setattr(self._a, "shape", s))
    dtype = property(lambda self: self._a.dtype)
    ndim = property(lambda self: self._a.ndim)
    size = property(lambda self: self._a.size)
    itemsize = property(lambda self: self._a.itemsize)
    nbytes = property(lambda self: self._a.nbytes)
    strides = property(lambda self: self._a.strides)
    base = property(lambda self: self._base)
    device = property(lambda self: Device(0))
    T = property(lambda self: _launch(np.transpose, self))
    mT = property(lambda self: _launch(np.matrix_transpose, self))
    real = property(lambda self: _launch(np.real, self))
    imag = property(lambda self: _launch(np.imag, self))

    @property
    def data(self):
        ptr = self._a.ctypes.data
        cuda_on_cpu.addresses[ptr] = self  # so that a launch that is given the address finds it
        return types.SimpleNamespace(ptr=ptr, device_id=0, device=Device(0))

    @property
    def flags(self):
        is_c, is_f = self._a.flags.c_contiguous, self._a.flags.f_contiguous
        return Flags(c_contiguous=is_c, f_contiguous=is_f, owndata=self._base is None)

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(len(self)))

    # What makes the host wait.

    def get(self, stream=None, order="C", out=None, blocking=True):
        """Return a copy in the host's memory."""
        _sync("reading an array on the host")
        fakegraph.waited()
        counts["d2h"] += 1
        if out is None:
            return np.array(self._a, order=order)
        if not isinstance(out, np.ndarray) or out.dtype != self.dtype or out.shape != self.shape:
            raise TypeError("get: out= must be a numpy.ndarray of the same shape and dtype")
        out[...] = self._a
        return out

    def __bool__(self):
        if self.size != 1:
            raise ValueError(
                "The truth value of an array with more than one element is ambiguous. "
                "Use a.any() or a.all()"
            )
        return bool(self.get())

    def __int__(self):
        return int(self.get())

    def __float__(self):
        return float(self.get())

    def __complex__(self):
        return complex(self.get())

    def __repr__(self):
        return repr(self.get())

    def __str__(self):
        return str(self.get())

    def __format__(self, format_spec):
        return format(self.get(), format_spec)

    def item(self):
        """Return the one value as a Python number."""
        return self.get().item()

    def tolist(self):
        """Return the values as nested lists."""
        return self.get().tolist()

    def tobytes(self, order="C"):
        """Return the memory's bytes."""
        return self.get().tobytes(order)

    # Writing.

    def set(self, arr, stream=None):
        """Copy a NumPy array of the same shape and dtype into this one."""
        if not isinstance(arr, np.ndarray) or (arr.shape, arr.dtype) != (self.shape, self.dtype):
            raise TypeError("set: only a numpy.ndarray of the same shape and dtype")
        _check_writable(self)
        if not (self._a.flags.c_contiguous or self._a.flags.f_contiguous):
            raise RuntimeError("Cannot set to non-contiguous array")
        fakegraph.refuse(fakegraph.H2D, "ndarray.set")
        fakegraph.use("set")
        counts["h2d"] += 1
        self._a[...] = arr

    def fill(self, value):
        """Set every element to one value."""
        if not isinstance(value, SCALARS) and getattr(value, "ndim", 1) > 0:
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        _check_writable(self)
        value = _open(value)
        fakegraph.launch(lambda: self._a.fill(value), writes=[self._a], kernel="fill")

    def __getitem__(self, slices):
        index, advanced = _index(slices)
        if not advanced:
            return _close(self._a[index], [self])
        fakegraph.use("take", self._a.dtype.str)
        result = np.array(_in_range(lambda: self._a[index]))
        fakegraph.record(lambda: result.__setitem__(..., _in_range(lambda: self._a[index])))
        return _wrap(result)

    def __setitem__(self, slices, value):
        index, advanced = _index(slices)
        if not isinstance(value, (ndarray, *SCALARS)):
            if advanced:
                raise Strict(f"a[...] = {type(value)}: it would be copied to the device")
            raise ValueError("non-scalar numpy.ndarray cannot be used for fill")
        _check_writable(self)
        if advanced and isinstance(value, ndarray) and value.size > 1:
            _in_range(lambda: _check_distinct(self.shape, index))
        value = _open(value)

        def write():
            with np.errstate(all="ignore"):
                _in_range(lambda: self._a.__setitem__(index, value))

        fakegraph.launch(write, writes=[self._a], kernel=("a[i] = b", advanced))

    # Copies and views whose arguments are not NumPy's.

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        """Return the array in another dtype."""
        if casting is not None or subok is not None:
            raise TypeError("casting and subok are not supported yet")
        return _launch(np.ndarray.astype, self, dtype, order=order, copy=copy)

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()


def _operator(name: str, reflected: bool = False):
    """Return a method that applies a ufunc, and makes way for classes that know better."""
    function = UFUNCS[name]

    def method(self, other):
        if isinstance(other, (ndarray, *SCALARS)):
            return function(other, self) if reflected else function(self, other)
        if isinstance(other, np.ndarray):
            raise TypeError(f"cupy.{name}: Unsupported type <class 'numpy.ndarray'>")
        hook = getattr(other, "__array_ufunc__", None)
        if hook is None and hasattr(other, "__array_ufunc__"):
            return NotImplemented  # the other class asks to be tried
        if getattr(other, "__array_priority__", -1) > self.__array_priority__:
            return NotImplemented
        if hook is not None:
            operands = (other, self) if reflected else (self, other)
            return hook(getattr(np, name), "__call__", *operands)
        raise TypeError(f"cupy.{name}: Unsupported type {type(other)}")

    return method


def _in_place(name: str):
    """Return a method that writes a ufunc's result into its first operand."""
    return lambda self, other: UFUNCS[name](self, other, self)


BINARY = {
    "add": "add",
    "sub": "subtract",
    "mul": "multiply",
    "truediv": "true_divide",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "power",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "left_shift",
    "rshift": "right_shift",
}
COMPARISONS = {"eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal"}
COMPARISONS |= {"gt": "greater", "ge": "greater_equal"}
UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}

for _name, _ufunc in BINARY.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
    setattr(ndarray, f"__r{_name}__", _operator(_ufunc, reflected=True))
    setattr(ndarray, f"__i{_name}__", _in_place(_ufunc))
for _name, _ufunc in COMPARISONS.items():
    setattr(ndarray, f"__{_name}__", _operator(_ufunc))
for _name, _ufunc in UNARY.items():
    setattr(ndarray, f"__{_name}__", lambda self, function=UFUNCS[_ufunc]: function(self))


# What CuPy computes with libraries that it lets nobody call during a capture.
CUBLAS = words("matmul dot tensordot einsum inner vdot kron")
THRUST = words("sort argsort partition argpartition")


def _refuse_libraries(name: str, arrays: list) -> None:
    """Refuse, while a stream captures, what CuPy computes with cuBLAS, or with Thrust's sorts."""
    if name in CUBLAS and not all(x.ndim == 1 for x in arrays):  # those are multiplied and summed
        fakegraph.refuse(fakegraph.LIBRARY, "cuBLAS")
    if name in THRUST and fakegraph.capturing():
        raise Strict(f"{name} may fail in a capture (merge sorts in CUB): avoid it there")


def _matmul(a, b):
    if not isinstance(a, ndarray) or not isinstance(b, ndarray):
        raise TypeError(f"matmul: Unsupported types {type(a)}, {type(b)}")
    _refuse_libraries("matmul", [a, b])
    return _launch(np.matmul, a, b)


ndarray.__matmul__ = _matmul
ndarray.__rmatmul__ = lambda self, other: _matmul(other, self)


# ---------------------------------------------------------------------------- functions and methods

# Names that do what NumPy's do, with CuPy's arguments.
METHODS = words(
    """all any argmax argmin argpartition argsort choose clip compress conj conjugate copy cumprod
    cumsum diagonal dot flatten max mean min nonzero partition prod put ravel repeat reshape round
    searchsorted sort squeeze std sum swapaxes take trace transpose var view"""
)
CREATION = words("arange eye full identity indices linspace logspace ones tri zeros")
FUNCTIONS = words(
    """all allclose amax amin any append argmax argmin argpartition argsort argwhere around
    array_equal array_split ascontiguousarray asfortranarray atleast_1d atleast_2d atleast_3d
    average bincount broadcast_arrays broadcast_to choose clip column_stack compress concat
    concatenate copy copyto count_nonzero cross cumprod cumsum delete diag diagonal diff digitize
    dot dstack einsum expand_dims extract fill_diagonal flatnonzero flip fliplr flipud full_like
    histogram hsplit hstack imag inner interp isclose isin kron matmul matrix_transpose max
    may_share_memory mean
    median meshgrid min moveaxis nan_to_num nanargmax nanargmin nanmax nanmean nanmin nanstd nansum
    nanvar nonzero ones_like outer pad partition percentile permute_dims place prod ptp put
    put_along_axis putmask quantile ravel ravel_multi_index real repeat reshape roll rollaxis rot90
    round searchsorted select sort split squeeze stack std sum swapaxes take take_along_axis
    tensordot tile trace transpose tril triu unique unravel_index var vdot vsplit vstack where
    zeros_like"""
)
LINALG = words("cholesky det eigh eigvalsh inv lstsq norm pinv qr slogdet solve svd")
HOST = words(
    """bool bool_ broadcast_shapes can_cast complex128 complex64 complexfloating dtype e euler_gamma
    finfo float16 float32 float64 floating generic iinfo inexact inf int16 int32 int64 int8 integer
    issubdtype nan newaxis number pi promote_types uint16 uint32 uint64 uint8"""
)

# These learn from the values how large their result is, so the host has to wait.
SYNCHRONIZING = words(
    "argwhere bincount compress delete extract flatnonzero histogram nonzero place unique"
)
WRITING = words(
    "copyto fill_diagonal place put put_along_axis putmask ndarray.partition ndarray.sort"
)
OPERANDS = words(
    "a array arr ary b condition dst ind indices m mask src v values weights x x1 x2 y"
)


def _check_arguments(label: str, given: dict) -> None:
    """Refuse lists where an array is meant, and outputs that must not be written."""
    name = label.removeprefix("cupy.")
    for parameter, value in given.items():
        values = value if parameter == "args" else [value]
        if parameter in [*OPERANDS, "args"] and any(type(v) in (list, tuple) for v in values):
            raise TypeError(f"{label}: {parameter} is a list; CuPy wants an array")
    if given.get("out") is not None:
        _check_writable(given["out"])
    if name in WRITING or name == "ndarray.put":
        _check_writable(next(iter(given.values())))


def _check_synchronization(name: str, given: dict) -> None:
    """Count the functions whose result depends on values that the host does not know."""
    counted = name == "repeat" and isinstance(given["repeats"], ndarray)
    if name in SYNCHRONIZING or counted or (name == "where" and len(given) == 1):
        _sync(name)


def _check_put(name: str, given: dict) -> None:
    """Refuse to put two values into one element."""
    if name not in ("put", "put_along_axis"):
        return
    array, indices, values = list(given.values())[:3]
    axis, size, index = 0, array.size, indices._a.ravel()
    if name == "put_along_axis":
        axis, size, index = given["axis"], array.shape[given["axis"]], indices._a
    twice = np.diff(np.sort(index % size, axis=axis), axis=axis) == 0
    if isinstance(values, ndarray) and twice.any():
        raise Strict("an element is assigned twice: which value stays is undefined; use add.at")


def _device_function(scope: str, name: str, function):
    """Return NumPy's `function` as CuPy's `name`: CuPy's arguments, device arrays in and out."""
    label, arguments = f"{scope}.{name}", signature(NAMES[scope][name])
    is_method = scope.endswith("ndarray")

    def call(*args, **kwargs):
        try:
            given = arguments.bind(*args[is_method:], **kwargs).arguments
        except TypeError as error:
            raise TypeError(f"{label}() in CuPy {NAMES['version']}: {error}") from None
        given = {"self": args[0], **given} if is_method else given
        if name not in CREATION and not _arrays_in(list(given.values())[:1]):
            raise TypeError(f"{label}: Unsupported type {type(args[0]) if args else None}")
        _check_arguments(label, given)
        _check_synchronization(name, given)
        _check_put(name, given)
        _refuse_libraries(name, _arrays_in(list(given.values())))
        if scope == "cupy.linalg":
            fakegraph.refuse(fakegraph.LIBRARY, "cuSOLVER")
        writes = [given["out"]] if given.get("out") is not None else []
        if label.removeprefix("cupy.") in WRITING or label == "cupy.ndarray.put":
            writes.append(next(iter(given.values())))
        return _in_range(lambda: _launch(function, *args, _writes=writes, **kwargs))

    call.__name__ = name
    return call


for _name in METHODS:
    setattr(ndarray, _name, _device_function("cupy.ndarray", _name, getattr(np.ndarray, _name)))


def empty(shape, dtype=float, order="C"):
    """An array of NaN (of the largest integer, of True): what nobody wrote must show."""
    dtype = np.dtype(dtype)
    new = np.full(shape, poison(dtype), dtype, order)
    fakegraph.record(lambda: new.fill(poison(dtype)))  # the memory held something else meanwhile
    return _wrap(new)


def empty_like(prototype, dtype=None, order="K", subok=None, shape=None):
    """As `empty`, with the shape and dtype of another array."""
    new = np.empty_like(_open(prototype), dtype=dtype, order=order, shape=shape)
    new[...] = poison(new.dtype)
    fakegraph.record(lambda: new.fill(poison(new.dtype)))
    return _wrap(new)


def array(obj, dtype=None, copy=True, order="K", subok=False, ndmin=0, *, blocking=False):
    """Return a new device array; NumPy arrays and lists cross to the device here."""
    if not isinstance(obj, ndarray) and np.ndim(obj if not _arrays_in([obj]) else 0):
        fakegraph.refuse(fakegraph.H2D, "copying an array from the host")
        counts["h2d"] += 1
    inside = obj if isinstance(obj, np.ndarray) else _open(obj)
    on_device = isinstance(obj, ndarray)

    def compute():
        copied = True if copy or not on_device else None
        return np.array(inside, dtype, copy=copied, order=order, ndmin=ndmin)

    result = fakegraph.launched(compute, compute(), [obj._a] if on_device else [], False)
    return obj if on_device and result is obj._a else _wrap(result)


def asarray(a, dtype=None, order=None, *, copy=None, blocking=False):
    """Return `a` as a device array: itself, or a copy on the device."""
    return array(a, dtype, copy=bool(copy), order=order or "K")


def asnumpy(a, stream=None, order="C", out=None, *, blocking=True):
    """Return a copy in the host's memory; what is there already stays."""
    return a.get(stream, order, out) if isinstance(a, ndarray) else np.asarray(a, order=order)


def get_array_module(*args):
    """Return this module if an array is its own, else NumPy."""
    return cupy if _arrays_in(args) else np


def as_strided(x, shape=None, strides=None):
    """A view with any shape and strides; it may be written only where nothing overlaps."""
    return _launch(np.lib.stride_tricks.as_strided, x, shape, strides)


def _is_scalar(element) -> bool:
    return not isinstance(element, ndarray) and np.isscalar(element)


def _about_shape(name: str):
    """Return a function that answers on the host, without waiting for the device."""
    return lambda *args, **kwargs: getattr(np, name)(*(_open(x) for x in args), **kwargs)


# ------------------------------------------------------------------------------------------- random


class Generator:
    """The few distributions that ``cupy.random.Generator`` has; the numbers are not CuPy's."""

    def __init__(self, bit_generator):
        self._numpy = np.random.default_rng(bit_generator)

    def __getattr__(self, name: str):
        if name.startswith("_") or name not in NAMES["cupy.random.Generator"]:
            raise AttributeError(f"CuPy 14 has no cupy.random.Generator.{name}")
        arguments = signature(NAMES["cupy.random.Generator"][name])

        def draw(*args, **kwargs):
            arguments.bind(*args, **kwargs)
            if fakegraph.capturing():  # the pass itself draws nothing
                bits, state = self._numpy.bit_generator, self._numpy.bit_generator.state
                fakegraph.recording.undo.append(lambda: setattr(bits, "state", state))
            dtype = kwargs.pop("dtype", None) if name == "uniform" else None
            result = _launch(getattr(self._numpy, name), *args, **kwargs)
            return result if dtype is None else result.astype(dtype)

        return draw


# ------------------------------------------------------------------------------------------ devices


class Device:
    """The one pretended device."""

    def __init__(self, device=0):
        self.id = int(device or 0)

    def use(self):
        """Make it the current device."""
        if self.id != 0:
            raise RuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        return self

    __enter__ = use

    def __exit__(self, *args):
        pass

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    __hash__ = None

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def synchronize(self):
        """Wait for all that was launched."""
        _synchronize("Device.synchronize")

    @property
    def mem_info(self):
        """Bytes that are free, and all."""
        return 2**30, 2**31


class Memory:
    """Memory that is not a pool's."""

    def __init__(self, size: int):
        self.size, self._bytes = size, np.empty(size, np.uint8)
        self.ptr = self._bytes.ctypes.data


fakegraph.waiting = _sync

# CUDA sources need a C++ compiler; without one the kernels run in their plain form.
_raw = {"RawModule": cuda_on_cpu.RawModule, "RawKernel": cuda_on_cpu.RawKernel}


# --------------------------------------------------------------------------------------- the module


def _module(scope: str, contents: dict) -> types.ModuleType:
    """Return a module of `contents`, each a name that CuPy has, which explains what is missing."""
    module = types.ModuleType(scope)
    unknown = [name for name in contents if name not in NAMES[scope]]
    if unknown:
        raise NameError(f"the stand-in offers what {scope} has not: {unknown}")
    vars(module).update(contents)

    def missing(name):
        if name in NAMES[scope]:
            raise AttributeError(f"CuPy has {scope}.{name}, the stand-in has not: add it there")
        raise AttributeError(f"CuPy 14 has no {scope}.{name}")

    module.__getattr__ = missing
    return module


def _group(scope: str, names, owner) -> dict:
    return {name: _device_function(scope, name, getattr(owner, name)) for name in names}


_stride_tricks = {
    "as_strided": as_strided,
    **_group("cupy.lib.stride_tricks", ["sliding_window_view"], np.lib.stride_tricks),
}
_runtime = {
    "getDeviceCount": lambda: 1,
    "getDevice": lambda: 0,
    "driverGetVersion": lambda: 13000,
    "runtimeGetVersion": lambda: 13000,
    "deviceSynchronize": lambda: _synchronize("deviceSynchronize"),
    "CUDARuntimeError": fakegraph.CUDARuntimeError,
}
_cuda = {
    "Device": Device,
    "Stream": fakegraph.Stream,
    "Event": fakegraph.Event,
    "Graph": fakegraph.Graph,
    "Memory": Memory,
    "MemoryPool": fakegraph.MemoryPool,
    "get_allocator": fakegraph.get_allocator,
    "get_current_stream": lambda device_id=-1: fakegraph.Stream._current,
    "get_elapsed_time": fakegraph.get_elapsed_time,
    "is_available": lambda: True,
    "memory": types.SimpleNamespace(OutOfMemoryError=fakegraph.OutOfMemoryError),
    "set_allocator": fakegraph.set_allocator,
    "using_allocator": fakegraph.using_allocator,
    "runtime": _module("cupy.cuda.runtime", _runtime),
}
_random = {
    "Generator": Generator,
    "default_rng": lambda seed=None: Generator(seed),
    **{name: lambda seed=None, size=-1: seed for name in ("XORWOW", "MRG32k3a", "Philox4x3210")},
}

cupy = _module(
    "cupy",
    {
        **UFUNCS,
        **_group("cupy", CREATION + FUNCTIONS, np),
        **{name: getattr(np, name) for name in HOST},
        **{name: _about_shape(name) for name in ABOUT_SHAPE},
        **(_raw if cuda_on_cpu.compiler else {}),
        "ndarray": ndarray,
        "ufunc": ufunc,
        "empty": empty,
        "empty_like": empty_like,
        "array": array,
        "asarray": asarray,
        "asanyarray": asarray,
        "asnumpy": asnumpy,
        "get_array_module": get_array_module,
        "isscalar": _is_scalar,
        "is_available": lambda: True,
        "get_default_memory_pool": lambda: fakegraph.default_pool,
        "linalg": _module("cupy.linalg", _group("cupy.linalg", LINALG, np.linalg)),
        "random": _module("cupy.random", _random),
        "cuda": _module("cupy.cuda", _cuda),
        "lib": _module(
            "cupy.lib", {"stride_tricks": _module("cupy.lib.stride_tricks", _stride_tricks)}
        ),
    },
)
cupy.__version__ = NAMES["version"]

# The matrix products of `minigrad.kernels.cuda.gemm` go to a cuBLAS that computes with NumPy.
gemm.libraries[cupy] = cublas_on_cpu.library
