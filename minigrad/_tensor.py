"""`Tensor`: an array, its gradient, and the operation that made it.

There is little to see here, and that is the point. A tensor holds an array (``.array``), a
gradient once there is one (``.grad``), whether it wants one (``.requires_grad``), and the node
that made it (``.creator``, None for a leaf). Every operator and method is one line into a
function of ``functions/``, which applies the ops. The methods that change a tensor in place are
in ``_inplace.py``.

Before this: ``ops/elementwise.py``. Next: ``creation.py``, then ``nn/module.py``.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Callable, Iterator

import numpy as np

from . import _errors as errors
from . import autograd, backend
from ._inplace import InPlace
from .functions import compare, elementwise, linalg, loss, reduce, shape
from .ops.elementwise import ToDevice

# For these NumPy looks for a method of the same name on its argument, and finds ours.
_CALLED_BY_NUMPY = {"all", "any", "max", "amax", "mean", "min", "amin", "prod", "std", "sum", "var"}


class Tensor(InPlace):
    """A tensor around an array, which it shares.

    To make one from numbers use `minigrad.tensor`, which copies.

    Parameters
    ----------
    data : array, or nested sequence of numbers
        An array is taken as it is; numbers become an array of the default dtype.
    requires_grad : bool
        Whether gradients are to be computed for this tensor; floating dtypes only.

    Attributes
    ----------
    array : numpy.ndarray or cupy.ndarray
        The numbers. Writing into it goes unseen by the graph; write through ``.data`` instead.
    grad : Tensor or None
        The gradient that `backward` has added up, for leaves and where `retain_grad` asked.
    creator : Function or None
        The node of the graph that made this tensor (PyTorch's ``grad_fn``); None for a leaf.
    """

    __slots__ = (
        "__weakref__",
        "_grad",
        "_requires_grad",
        "_version",  # a list of one count: how often this memory was changed; views share it
        "array",
        "creator",
        "hooks",
    )
    edges = ()  # a leaf, seen as a node of the graph, has no sources
    __array_priority__ = 1000  # so that ``ndarray * tensor`` comes here, not to NumPy

    def __init__(self, data, *, requires_grad: bool = False):
        if not backend.is_array(data):
            keep = isinstance(data, np.generic)  # NumPy's scalars know their dtype
            data = np.array(data, dtype=None if keep else backend.get_default_dtype())
        self.array = data
        self._grad = self.creator = self.hooks = None
        self._version = [0]
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ------------------------------------------------------------------------ what it is

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def ndim(self) -> int:
        return self.array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self.array.dtype

    @property
    def device(self) -> backend.device:
        return backend.device_of(self.array)

    @property
    def is_cuda(self) -> bool:
        return not isinstance(self.array, np.ndarray)

    def size(self, dim: int | None = None):
        """The shape, or one size of it."""
        return self.shape if dim is None else self.shape[dim]

    def dim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    def numel(self) -> int:
        """The number of entries."""
        return self.array.size

    nelement = numel

    def element_size(self) -> int:
        """Bytes of one entry."""
        return self.array.dtype.itemsize

    def is_floating_point(self) -> bool:
        """Whether the dtype is a floating one."""
        return self.array.dtype.kind == "f"

    def __len__(self) -> int:
        if not self.array.ndim:
            raise errors.no_axes("len")
        return len(self.array)

    # --------------------------------------------------------------------- its gradient

    @property
    def requires_grad(self) -> bool:
        """Whether gradients are computed for this tensor."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if self.creator is not None and not value:
            raise errors.always_requires_grad()
        if value and self.dtype.kind != "f":
            raise errors.not_floating("requires_grad", self.dtype)
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Set ``requires_grad``, and return the tensor."""
        self.requires_grad = requires_grad
        return self

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this tensor."""
        return self.creator is None

    @property
    def grad_fn(self) -> autograd.Function | None:
        """PyTorch's name of ``creator``."""
        return self.creator

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up; a result has it only after `retain_grad`, and warns."""
        if self._grad is None and self.creator is not None and not self.retains_grad:
            warnings.warn(errors.gradient_of_result(), stacklevel=2)
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        self._grad = value

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs=None,
    ) -> None:
        """Add this tensor's gradient to ``.grad`` of every leaf; see `autograd.backward`."""
        autograd.backward(self, gradient, retain_graph, create_graph, inputs)

    def retain_grad(self) -> None:
        """Keep ``.grad`` for this tensor too, though it is no leaf."""
        if not self._requires_grad:
            raise errors.no_gradient("retain_grad")
        if self.creator is not None:
            # Weakly: the graph must not keep its own results alive.
            self.creator.retained_by = weakref.ref(self)

    @property
    def retains_grad(self) -> bool:
        """Whether `retain_grad` was called on this result."""
        asked = self.creator and self.creator.retained_by
        return bool(asked) and asked() is self

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Call ``hook(gradient)`` when this tensor's gradient is complete in a backward.

        What the hook returns, unless None, takes the gradient's place. ``handle.remove()`` on the
        returned handle takes the hook out again.
        """
        if not self._requires_grad:
            raise errors.no_gradient("register_hook")
        node = self.creator or self
        if node.hooks is None:
            node.hooks = []
        return RemovableHandle(node.hooks, hook)

    def detach(self) -> Tensor:
        """The same memory outside the graph."""
        result = Tensor(self.array)
        result._version = self._version
        return result

    @property
    def data(self) -> Tensor:
        """The same memory outside the graph; what is written to it changes this tensor."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise errors.not_a_tensor("data", value)
        if self._requires_grad and value.dtype.kind != "f":
            raise errors.not_floating("data", value.dtype)
        self.array = value.array
        self.bump_version()

    def bump_version(self) -> None:
        """Say that the memory was changed: what was recorded with the old values is void."""
        self._version[0] += 1

    def graph(self, grad=False, **options):
        """How this tensor was computed, as a picture; see `viz.graph.draw_graph`."""
        from .viz.graph import draw_graph

        return draw_graph(self, grad, **options)

    def explain(self, path, **options):
        """Write a page that steps through backprop to this tensor; see `viz.explain.explain`."""
        from .viz.explain import explain

        return explain(self, path, **options)

    # ------------------------------------------------------------------- in and out of Python

    def numpy(self) -> np.ndarray:
        """The array itself, for a tensor on the CPU that requires no gradient."""
        if self._requires_grad:
            raise errors.numpy_of_recorded()
        if self.is_cuda:
            raise errors.numpy_of_gpu(self.device)
        return self.array

    def __array__(self, dtype=None, copy=None) -> np.ndarray:
        array = self.numpy()
        return np.array(array, dtype=dtype, copy=copy) if dtype is not None or copy else array

    def __array_wrap__(self, array, context=None, return_scalar=False) -> Tensor:
        return Tensor(backend.as_array(array, "NumPy"))  # what np.exp(tensor) and its like give

    def __array_function__(self, function: Callable, types, args, kwargs):
        # NumPy would hand its own arguments (axis, out, ...) to our method of the same name.
        if function.__name__ in _CALLED_BY_NUMPY:
            args = [x.numpy() if isinstance(x, Tensor) else x for x in args]
            kwargs = {k: x.numpy() if isinstance(x, Tensor) else x for k, x in kwargs.items()}
        return function._implementation(*args, **kwargs)

    def item(self) -> int | float | bool:
        """The number in a tensor of one element."""
        if self.array.size != 1:
            raise errors.not_one_element("item", self.shape)
        return self.array.item()

    def tolist(self):
        """The numbers in nested lists."""
        return backend.to_numpy(self.array).tolist()

    def __bool__(self) -> bool:
        if self.array.size != 1:
            raise errors.not_one_element("bool", self.shape, do="say which: .all() or .any()")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(errors.message("index", "not an integer tensor.", actual=self.dtype))
        return int(self.item())

    def __contains__(self, value) -> bool:
        return bool((self == value).array.any())

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise errors.no_axes("iter")
        return iter(shape.unbind(self))

    __hash__ = object.__hash__  # by identity: == compares entries, which no dict could use

    def __repr__(self) -> str:
        from ._repr import tensor_repr

        return tensor_repr(self)

    def __format__(self, spec: str) -> str:
        return format(self.item(), spec) if spec else repr(self)

    def __deepcopy__(self, memo) -> Tensor:
        if self.creator is not None:
            raise errors.copy_of_recorded()
        result = type(self).__new__(type(self))
        memo[id(self)] = result
        result.array, result.creator, result.hooks = self.array.copy(), None, None
        result._grad = copy.deepcopy(self._grad, memo)
        result._version, result._requires_grad = [0], self._requires_grad
        return result

    # -------------------------------------------------------------- other dtypes and devices

    def to(self, *args, dtype=None, device=None, non_blocking=False, copy=False) -> Tensor:
        """The tensor with another dtype, on another device, or both; itself if nothing changes.

        Takes a dtype, a device, both (device first), or another tensor to be like.
        """
        for arg in args:
            if isinstance(arg, Tensor):
                dtype, device = arg.dtype, arg.device
            elif type(arg) in (str, int, backend.device):
                device = arg
            elif arg is not None and not isinstance(arg, bool):
                dtype = arg
        result = self
        if dtype is not None and np.dtype(dtype) != self.dtype:
            result = elementwise.cast(result, dtype)
        if device is not None:
            device = device if isinstance(device, backend.device) else backend.device(device)
            if device.type == "cuda" and device.index is None and self.is_cuda:
                device = self.device
            if device != self.device:
                result = ToDevice.apply(result, device=device)
        return self.clone() if copy and result is self else result

    def cpu(self) -> Tensor:
        """The tensor on the CPU."""
        return self.to("cpu")

    def cuda(self, device=None, non_blocking=False) -> Tensor:
        """The tensor on a GPU."""
        where = "cuda" if device is None else device
        return self.to(f"cuda:{where}" if isinstance(where, int) else where)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor with another's dtype."""
        return self.to(other.dtype)

    def float(self) -> Tensor:
        """The tensor in float32."""
        return self.to(backend.float32)

    def double(self) -> Tensor:
        """The tensor in float64."""
        return self.to(backend.float64)

    def half(self) -> Tensor:
        """The tensor in float16."""
        return self.to(backend.float16)

    def int(self) -> Tensor:
        """The tensor in int32."""
        return self.to(backend.int32)

    def long(self) -> Tensor:
        """The tensor in int64."""
        return self.to(backend.int64)

    def bool(self) -> Tensor:
        """The tensor in bool: true where not zero."""
        return self.to(backend.bool_)

    # --------------------------------------------------------------------------- operators

    def __add__(self, other):
        return elementwise.add(self, other)

    __radd__ = __add__

    def __sub__(self, other):
        return elementwise.sub(self, other)

    def __rsub__(self, other):
        return elementwise.sub(other, self)

    def __mul__(self, other):
        return elementwise.mul(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return elementwise.div(self, other)

    def __rtruediv__(self, other):
        return elementwise.div(other, self)

    def __pow__(self, other):
        return elementwise.pow(self, other)

    def __rpow__(self, other):
        return elementwise.pow(other, self)

    def __floordiv__(self, other):
        return elementwise.div(self, other, rounding_mode="floor")

    def __rfloordiv__(self, other):
        return elementwise.div(other, self, rounding_mode="floor")

    def __mod__(self, other):
        return elementwise.remainder(self, other)

    def __rmod__(self, other):
        return elementwise.remainder(other, self)

    def __matmul__(self, other):
        return linalg.matmul(self, other)

    def __rmatmul__(self, other):
        return linalg.matmul(other, self)

    def __pos__(self):
        return self

    def __neg__(self):
        return elementwise.neg(self)

    def __abs__(self):
        return elementwise.abs(self)

    def __getitem__(self, key):
        return shape.index(self, key)

    def __eq__(self, other):
        return compare.eq(self, other) if compare.can_compare(other) else NotImplemented

    def __ne__(self, other):
        return compare.ne(self, other) if compare.can_compare(other) else NotImplemented

    def __lt__(self, other):
        return compare.lt(self, other)

    def __le__(self, other):
        return compare.le(self, other)

    def __gt__(self, other):
        return compare.gt(self, other)

    def __ge__(self, other):
        return compare.ge(self, other)

    def __and__(self, other):
        return compare.bitwise("bitwise_and", self, other)

    def __or__(self, other):
        return compare.bitwise("bitwise_or", self, other)

    def __xor__(self, other):
        return compare.bitwise("bitwise_xor", self, other)

    def __invert__(self):
        return compare.invert(self)

    # ------------------------------------------------------------------ element by element

    def add(self, other, *, alpha=1):
        """self + alpha other."""
        return elementwise.add(self, other, alpha=alpha)

    def sub(self, other, *, alpha=1):
        """self - alpha other."""
        return elementwise.sub(self, other, alpha=alpha)

    def mul(self, other):
        """self times other."""
        return elementwise.mul(self, other)

    def div(self, other, *, rounding_mode=None):
        """self / other."""
        return elementwise.div(self, other, rounding_mode=rounding_mode)

    def pow(self, exponent):
        """self to the power other."""
        return elementwise.pow(self, exponent)

    def neg(self):
        """-self."""
        return elementwise.neg(self)

    def exp(self):
        """e to the power self."""
        return elementwise.exp(self)

    def log(self):
        """The natural logarithm."""
        return elementwise.log(self)

    def log1p(self):
        """ln(1 + self), precise for small entries."""
        return elementwise.log1p(self)

    def sqrt(self):
        """The square root."""
        return elementwise.sqrt(self)

    def sin(self):
        """The sine."""
        return elementwise.sin(self)

    def cos(self):
        """The cosine."""
        return elementwise.cos(self)

    def tanh(self):
        """The hyperbolic tangent."""
        return elementwise.tanh(self)

    def sigmoid(self):
        """1 / (1 + e^-self)."""
        return elementwise.sigmoid(self)

    def relu(self):
        """max(self, 0)."""
        return elementwise.relu(self)

    def abs(self):
        """The absolute value."""
        return elementwise.abs(self)

    def sign(self):
        """-1, 0 or 1."""
        return elementwise.sign(self)

    def floor(self):
        """Rounded down."""
        return elementwise.floor(self)

    def ceil(self):
        """Rounded up."""
        return elementwise.ceil(self)

    def round(self):
        """Rounded to the nearest integer, halves to even."""
        return elementwise.round(self)

    def trunc(self):
        """Without the fraction."""
        return elementwise.trunc(self)

    def square(self):
        """self times self."""
        return elementwise.square(self)

    def reciprocal(self):
        """1 / self."""
        return elementwise.reciprocal(self)

    def rsqrt(self):
        """1 / sqrt(self)."""
        return elementwise.rsqrt(self)

    def clamp(self, min=None, max=None):
        """Kept between min and max."""
        return elementwise.clamp(self, min, max)

    clip = clamp

    def maximum(self, other):
        """The larger of both."""
        return elementwise.maximum(self, other)

    def minimum(self, other):
        """The smaller of both."""
        return elementwise.minimum(self, other)

    def remainder(self, other):
        """self - other floor(self / other): the sign is the divisor's."""
        return elementwise.remainder(self, other)

    def where(self, condition, other):
        """self where the condition holds, else other."""
        return elementwise.where(condition, self, other)

    def masked_fill(self, mask, value):
        """self with `value` where the mask holds."""
        return elementwise.where(mask, value, self)

    def softmax(self, dim):
        """e^self over its sum along an axis."""
        return loss.softmax(self, dim)

    def log_softmax(self, dim):
        """The logarithm of the softmax along an axis."""
        return loss.log_softmax(self, dim)

    def clone(self):
        """A copy; the gradient flows through it."""
        return elementwise.clone(self)

    # ----------------------------------------------------------------------- fewer numbers

    def sum(self, dim=None, keepdim=False, *, dtype=None):
        """The sum over axes."""
        return reduce.sum(self, dim, keepdim, dtype=dtype)

    def mean(self, dim=None, keepdim=False, *, dtype=None):
        """The mean over axes."""
        return reduce.mean(self, dim, keepdim, dtype=dtype)

    def var(self, dim=None, unbiased=None, keepdim=False, *, correction=None):
        """The variance over axes."""
        return reduce.var(self, dim, unbiased, keepdim, correction=correction)

    def std(self, dim=None, unbiased=None, keepdim=False, *, correction=None):
        """The standard deviation over axes."""
        return reduce.std(self, dim, unbiased, keepdim, correction=correction)

    def norm(self, p=2, dim=None, keepdim=False):
        """The p-norm over axes."""
        return reduce.norm(self, p, dim, keepdim)

    def amax(self, dim=None, keepdim=False):
        """The largest over axes; ties share the gradient."""
        return reduce.amax(self, dim, keepdim)

    def amin(self, dim=None, keepdim=False):
        """The smallest over axes; ties share the gradient."""
        return reduce.amin(self, dim, keepdim)

    def max(self, dim=None, keepdim=False):
        """The largest; with `dim`, values and indices."""
        return reduce.max(self, dim, keepdim)

    def min(self, dim=None, keepdim=False):
        """The smallest; with `dim`, values and indices."""
        return reduce.min(self, dim, keepdim)

    def argmax(self, dim=None, keepdim=False):
        """The index of the largest."""
        return reduce.argmax(self, dim, keepdim)

    def argmin(self, dim=None, keepdim=False):
        """The index of the smallest."""
        return reduce.argmin(self, dim, keepdim)

    def logsumexp(self, dim, keepdim=False):
        """ln of the sum of e^self over axes."""
        return reduce.logsumexp(self, dim, keepdim)

    def cumsum(self, dim, *, dtype=None):
        """The running sums along an axis."""
        return reduce.cumsum(self, dim, dtype=dtype)

    def prod(self, dim=None, keepdim=False, *, dtype=None):
        """The product over axes."""
        return reduce.prod(self, dim, keepdim, dtype=dtype)

    def all(self, dim=None, keepdim=False):
        """Whether all are true."""
        return reduce.all(self, dim, keepdim)

    def any(self, dim=None, keepdim=False):
        """Whether one is true."""
        return reduce.any(self, dim, keepdim)

    def matmul(self, other):
        """The matrix product."""
        return linalg.matmul(self, other)

    def mm(self, other):
        """The product of two matrices."""
        return linalg.matmul(self, other)

    def bmm(self, other):
        """The products of two batches of matrices."""
        return linalg.matmul(self, other)

    def dot(self, other):
        """The inner product of two vectors."""
        return linalg.matmul(self, other)

    # --------------------------------------------------- the same numbers in another shape

    def reshape(self, *sizes):
        """Other axes, in the same order; one size may be -1."""
        return shape.reshape(self, backend.shape_of(sizes))

    view = reshape  # memory layout is ours to choose, so a view is a reshape

    def view_as(self, other):
        """The shape of `other`."""
        return shape.reshape(self, other.shape)

    reshape_as = view_as

    def flatten(self, start_dim=0, end_dim=-1):
        """Some axes made one."""
        return shape.flatten(self, start_dim, end_dim)

    def unflatten(self, dim, sizes):
        """One axis made several."""
        return shape.unflatten(self, dim, sizes)

    def ravel(self):
        """One axis."""
        return shape.flatten(self)

    def transpose(self, dim0, dim1):
        """Two axes exchanged."""
        return shape.transpose(self, dim0, dim1)

    def permute(self, *dims):
        """The axes in another order."""
        return shape.permute(self, backend.shape_of(dims))

    def t(self):
        """The transpose of a matrix."""
        return shape.t(self)

    @property
    def T(self):
        """The axes in reverse order."""
        return shape.permute(self, range(self.ndim)[::-1])

    @property
    def mT(self):
        """The last two axes exchanged."""
        return shape.transpose(self, -1, -2)

    def squeeze(self, dim=None):
        """Without axes of size 1."""
        return shape.squeeze(self, dim)

    def unsqueeze(self, dim):
        """With a new axis of size 1."""
        return shape.unsqueeze(self, dim)

    def movedim(self, source, destination):
        """One axis moved."""
        return shape.movedim(self, source, destination)

    def expand(self, *sizes):
        """Copied, without using memory, along axes of size 1 and new ones; -1 keeps a size."""
        return shape.broadcast_to(self, backend.shape_of(sizes))

    def expand_as(self, other):
        """Expanded to the shape of `other`."""
        return shape.broadcast_to(self, other.shape)

    def repeat(self, *sizes):
        """Repeated along each axis."""
        return shape.repeat(self, backend.shape_of(sizes))

    def flip(self, *dims):
        """In reverse order along axes."""
        return shape.flip(self, backend.shape_of(dims))

    def split(self, split_size, dim=0):
        """Pieces along an axis."""
        return shape.split(self, split_size, dim)

    def chunk(self, chunks, dim=0):
        """A number of pieces along an axis."""
        return shape.chunk(self, chunks, dim)

    def unbind(self, dim=0):
        """The slices along an axis."""
        return shape.unbind(self, dim)

    def gather(self, dim, index):
        """The entries that an index names along an axis."""
        return shape.gather(self, dim, index)

    def index_select(self, dim, index):
        """The slices that an index names along an axis."""
        return shape.index_select(self, dim, index)

    def tril(self, diagonal=0):
        """Zeros above a diagonal."""
        return shape.tril(self, diagonal)

    def triu(self, diagonal=0):
        """Zeros below a diagonal."""
        return shape.triu(self, diagonal)

    def contiguous(self):
        """The tensor itself if its entries lie in memory in their order, else a copy in order."""
        return self if self.is_contiguous() else self.clone()

    def is_contiguous(self):
        """Whether the entries lie in memory in their order, the last axis fastest."""
        return self.array.flags.c_contiguous

    # -------------------------------------------------------- answers without a derivative

    def eq(self, other):
        """Where equal."""
        return compare.eq(self, other)

    def ne(self, other):
        """Where not equal."""
        return compare.ne(self, other)

    def lt(self, other):
        """Where below."""
        return compare.lt(self, other)

    def le(self, other):
        """Where not above."""
        return compare.le(self, other)

    def gt(self, other):
        """Where above."""
        return compare.gt(self, other)

    def ge(self, other):
        """Where not below."""
        return compare.ge(self, other)

    def isnan(self):
        """Where NaN."""
        return compare.isnan(self)

    def isinf(self):
        """Where infinite."""
        return compare.isinf(self)

    def isfinite(self):
        """Where neither NaN nor infinite."""
        return compare.isfinite(self)

    def nonzero(self):
        """The indices of the entries that are not zero."""
        return compare.nonzero(self)

    def logical_not(self):
        """Where zero."""
        return compare.logical_not(self)

    def logical_and(self, other):
        """Where both are not zero."""
        return compare.logical_and(self, other)

    def logical_or(self, other):
        """Where one is not zero."""
        return compare.logical_or(self, other)

    def equal(self, other):
        """Whether shape and entries are equal."""
        return compare.equal(self, other)

    def allclose(self, other, rtol=1e-5, atol=1e-8, equal_nan=False):
        """Whether all entries are close."""
        return compare.allclose(self, other, rtol, atol, equal_nan)

    def argsort(self, dim=-1, descending=False, stable=False):
        """The indices that sort along an axis."""
        return compare.argsort(self, dim, descending, stable)

    def sort(self, dim=-1, descending=False, stable=False):
        """Sorted along an axis, with the indices."""
        return compare.sort(self, dim, descending, stable)

    def topk(self, k, dim=-1, largest=True, sorted=True):
        """The k largest along an axis, with their indices."""
        return compare.topk(self, k, dim, largest, sorted)

    # ----------------------------------------------------------- new tensors like this one

    def new_zeros(self, *sizes, dtype=None, device=None):
        """Zeros of another shape, with this tensor's dtype and device."""
        return self._new("zeros", backend.shape_of(sizes), dtype, device)

    def new_ones(self, *sizes, dtype=None, device=None):
        """Ones of another shape, with this tensor's dtype and device."""
        return self._new("ones", backend.shape_of(sizes), dtype, device)

    def new_full(self, size, fill_value, dtype=None, device=None):
        """One value in another shape, with this tensor's dtype and device."""
        return self._new("full", tuple(size), dtype, device, fill_value)

    def new_tensor(self, data, dtype=None, device=None):
        """A copy of numbers, with this tensor's dtype and device."""
        array = np.array(data, dtype=dtype or self.dtype)
        return Tensor(backend.asarray_on(array, device or self.device))

    def _new(self, function: str, sizes: tuple, dtype, device, *value) -> Tensor:
        array = getattr(np, function)(sizes, *value, dtype=dtype or self.dtype)
        return Tensor(backend.asarray_on(array, device or self.device))


class RemovableHandle:
    """What registering a hook returns; `remove` takes the hook out again."""

    def __init__(self, hooks, hook, key=None):
        self._hooks, self._hook = hooks, hook
        hooks.append(hook)

    def remove(self) -> None:
        """Take the hook out; doing so twice is no error."""
        if self._hook in self._hooks:
            self._hooks.remove(self._hook)

    def __enter__(self):
        return self

    def __exit__(self, *exception) -> None:
        self.remove()


autograd.Tensor = Tensor
