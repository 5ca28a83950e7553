"""The layers: modules that hold parameters and options, and call a function to compute.

Each is short: ``__init__`` makes the parameters, ``reset_parameters`` draws their first values,
``forward`` is one call. Names, arguments, defaults and first values are PyTorch's.

Before this: ``module.py``, ``functional.py``, ``init.py``.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Iterator

from .. import backend, creation
from .._errors import message
from .._tensor import Tensor
from ..functions.conv import conv_padding, pair
from . import functional as F
from . import init
from .module import Module, Parameter

# ----------------------------------------------------------------------------- containers


class _Numbered(Module):
    """Sub-modules in order, used like a list; the base of `Sequential` and `ModuleList`."""

    def _items(self) -> list[tuple[str, Module]]:
        return [(name, m) for name, m in vars(self).items() if isinstance(m, Module)]

    def _replace(self, modules: Iterable[Module]) -> None:
        """Hold these modules, under the names 0, 1, ..."""
        modules = [self._checked(module) for module in modules]
        for name, _ in self._items():
            delattr(self, name)
        for i, module in enumerate(modules):
            self.add_module(str(i), module)

    def _checked(self, module) -> Module:
        if not isinstance(module, Module):
            raise TypeError(
                message(
                    type(self).__name__,
                    "not a module.",
                    expect="an nn.Module",
                    actual=type(module).__name__,
                    do="nn.Sequential(*layers) for a list; nn.ReLU(), not nn.ReLU",
                )
            )
        return module

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[Module]:
        return iter([module for _, module in self._items()])

    def __contains__(self, module) -> bool:
        return any(module is own for own in self)

    def __dir__(self):
        return [name for name in super().__dir__() if not name.isdigit()]

    def _at(self, index) -> tuple[str, Module]:
        items, i = self._items(), operator.index(index)
        if not -len(items) <= i < len(items):
            raise IndexError(
                message(
                    type(self).__name__,
                    "there is no such module.",
                    expect=f"an index below {len(items)}",
                    actual=i,
                )
            )
        return items[i]

    def __getitem__(self, index):
        if not isinstance(index, slice):
            return self._at(index)[1]
        part = type(self)()
        for name, module in self._items()[index]:
            part.add_module(name, module)
        return part

    def __setitem__(self, index, module: Module) -> None:
        setattr(self, self._at(index)[0], self._checked(module))

    def __delitem__(self, index) -> None:
        modules = list(self)
        del modules[index]
        self._replace(modules)

    def append(self, module: Module):
        """Add a module at the end; return the container."""
        self.add_module(str(len(self)), self._checked(module))
        return self

    def extend(self, modules: Iterable[Module]):
        """Add modules at the end; return the container."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index: int, module: Module) -> None:
        """Add a module before the one at `index`."""
        modules = list(self)
        modules.insert(index, module)
        self._replace(modules)

    def pop(self, index=-1) -> Module:
        """Take a module out, and return it."""
        module = self[index]
        del self[index]
        return module


class Sequential(_Numbered):
    """Modules that are called one after the other, each on what the one before returned.

    Parameters
    ----------
    *modules : Module
        They are named 0, 1, ...; or one dict from names to modules. An index gives a module, a
        slice a `Sequential` of the same modules.
    """

    def __init__(self, *modules):
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], dict):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            self._replace(modules)

    def forward(self, input):
        for module in vars(self).values():
            if isinstance(module, Module):
                input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules. (A plain list works as well: `Module` walks it.)"""

    def __init__(self, modules: Iterable[Module] | None = None):
        super().__init__()
        self._replace(modules or ())

    def __iadd__(self, modules: Iterable[Module]) -> ModuleList:
        return self.extend(modules)


class ModuleDict(Module):
    """A dict of modules. (A plain dict works as well: `Module` walks it.)"""

    def __init__(self, modules: dict[str, Module] | None = None):
        super().__init__()
        self.update(modules or {})

    def _items(self) -> dict[str, Module]:
        return {name: m for name, m in vars(self).items() if isinstance(m, Module)}

    def __getitem__(self, key: str) -> Module:
        return self._items()[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        self.pop(key)

    def __len__(self) -> int:
        return len(self._items())

    def __iter__(self) -> Iterator[str]:
        return iter(self._items())

    def __contains__(self, key) -> bool:
        return key in self._items()

    def keys(self):
        """The names."""
        return self._items().keys()

    def values(self):
        """The modules."""
        return self._items().values()

    def items(self):
        """The names and the modules."""
        return self._items().items()

    def update(self, modules) -> None:
        """Take in the modules of a dict, or of a sequence of pairs."""
        for key, module in dict(modules).items():
            self[key] = module

    def pop(self, key: str) -> Module:
        """Take a module out, and return it."""
        module = self[key]
        delattr(self, key)
        return module

    def clear(self) -> None:
        """Take all modules out."""
        for key in self._items():
            delattr(self, key)


# ------------------------------------------------------------------------ linear, shapes


class Linear(Module):
    """y = x W^T + b, over the last axis.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (out_features, in_features)
    bias : Parameter, shape (out_features,), or None

    Notes
    -----
    Both start from U(-k, k) with k = 1 / sqrt(in_features).
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device=None, dtype=None
    ):
        super().__init__()
        _check_counts("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = _new(out_features, in_features, device=device, dtype=dtype)
        self.bias = _new(out_features, device=device, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new first values."""
        _reset(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        return F.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )


class Flatten(Module):
    """Some axes made one: by default all but the first, the samples."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis made several."""

    def __init__(self, dim: int, unflattened_size: Iterable[int]):
        super().__init__()
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Tensor) -> Tensor:
        return F.unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """Returns its input; all arguments are ignored."""

    def __init__(self, *args, **kwargs):
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        return input


# ---------------------------------------------------------------------------- convolution


class _Conv2d(Module):
    """What both convolutions share: options, parameters and how they are shown."""

    transposed = False

    def __init__(
        self,
        in_channels,
        out_channels,
        kernel_size,
        stride,
        padding,
        dilation,
        groups,
        bias,
        padding_mode,
        device,
        dtype,
    ):
        super().__init__()
        name = type(self).__name__
        _check_counts(name, in_channels=in_channels, out_channels=out_channels, groups=groups)
        if in_channels % groups or out_channels % groups:
            raise ValueError(
                message(
                    name,
                    "the groups do not divide the channels.",
                    expect=f"multiples of groups={groups}",
                    actual=f"in_channels={in_channels}, out_channels={out_channels}",
                )
            )
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = pair(kernel_size, f"{name} kernel_size")
        self.stride = pair(stride, f"{name} stride")
        self.dilation = pair(dilation, f"{name} dilation")
        is_name = isinstance(padding, str)
        self.padding = padding if is_name else pair(padding, f"{name} padding", least=0)
        self.padding_mode = padding_mode
        channels = (in_channels, out_channels) if self.transposed else (out_channels, in_channels)
        shape = (channels[0], channels[1] // groups, *self.kernel_size)
        self.weight = _new(*shape, device=device, dtype=dtype)
        self.bias = _new(out_channels, device=device, dtype=dtype) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new first values."""
        _reset(self.weight, self.bias)

    def extra_repr(self) -> str:
        options = {"padding": (0, 0), "dilation": (1, 1), "output_padding": (0, 0), "groups": 1}
        text = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}"
        )
        for option, usual in options.items():
            value = vars(self).get(option, usual)
            if value != usual:
                text += f", {option}={value!r}" if option != "padding" else f", padding={value}"
        if self.bias is None:
            text += ", bias=False"
        return text + f", padding_mode={self.padding_mode}" * (self.padding_mode != "zeros")


class Conv2d(_Conv2d):
    """Kernels slid over images: `functional.conv2d` with parameters.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, dilation : int or pair
    padding : int, pair, "same" or "valid"
        What is added on each side; "same" keeps the size (for stride 1).
    groups : int
        The channels are cut into this many groups, each convolved on its own.
    bias : bool
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the border holds.
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, in_channels // groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None

    Notes
    -----
    Both start from U(-k, k) with k = 1 / sqrt(in_channels // groups * kernel height * width).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        dilation=1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        if padding_mode not in ("zeros", "reflect", "replicate", "circular"):
            raise ValueError(
                message(
                    "Conv2d",
                    "no such padding_mode.",
                    expect="'zeros', 'reflect', 'replicate' or 'circular'",
                    actual=repr(padding_mode),
                )
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation,
                         groups, bias, padding_mode, device, dtype)  # fmt: skip
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel_size)]
        (top, bottom), (left, right) = conv_padding(self.padding, spans, self.stride)
        self._border = (left, right, top, bottom)

    def forward(self, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._border, mode=self.padding_mode), 0
        return F.conv2d(
            input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups
        )


class ConvTranspose2d(_Conv2d):
    """The transposed convolution: what `Conv2d` does to its gradient, as a layer.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or pair
        Those of the convolution that is transposed.
    output_padding : int or pair
        Rows and columns added at the end, where several sizes would lead to the input's.
    groups : int
    bias : bool
    padding_mode : {"zeros"}
    device, dtype : optional
        Of the parameters.

    Attributes
    ----------
    weight : Parameter, shape (in_channels, out_channels // groups, *kernel_size)
    bias : Parameter, shape (out_channels,), or None
    """

    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size,
        stride=1,
        padding=0,
        output_padding=0,
        groups: int = 1,
        bias: bool = True,
        dilation=1,
        padding_mode: str = "zeros",
        device=None,
        dtype=None,
    ):
        if padding_mode != "zeros" or isinstance(padding, str):
            raise ValueError(
                message(
                    "ConvTranspose2d",
                    "only padding with zeros can be transposed.",
                    expect="padding_mode='zeros', padding an int or a pair",
                    actual=f"padding_mode={padding_mode!r}, padding={padding!r}",
                )
            )
        super().__init__(in_channels, out_channels, kernel_size, stride, padding, dilation,
                         groups, bias, padding_mode, device, dtype)  # fmt: skip
        self.output_padding = pair(output_padding, "ConvTranspose2d output_padding", least=0)

    def forward(self, input: Tensor, output_size=None) -> Tensor:
        """Return the output; `output_size` (H, W) chooses among the sizes that are possible."""
        extra = self.output_padding
        if output_size is not None:
            extra = self._extra(input.shape[-2:], tuple(output_size)[-2:])
        return F.conv_transpose2d(
            input, self.weight, self.bias, self.stride, self.padding, extra, self.groups,
            self.dilation,
        )  # fmt: skip

    def _extra(self, size: tuple, wanted: tuple) -> tuple:
        options = zip(size, self.stride, self.padding, self.dilation, self.kernel_size)
        least = [(n - 1) * s - 2 * p + d * (k - 1) + 1 for n, s, p, d, k in options]
        extra = tuple([w - m for w, m in zip(wanted, least)])
        if any(not 0 <= e < s for e, s in zip(extra, self.stride)):
            raise ValueError(
                message(
                    "ConvTranspose2d",
                    "this output_size cannot be.",
                    expect=f"from {least} to {[m + s - 1 for m, s in zip(least, self.stride)]}",
                    actual=wanted,
                )
            )
        return extra


# -------------------------------------------------------------------------------- pooling


class MaxPool2d(Module):
    """The largest of each window: `functional.max_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding, dilation : int or pair
        `stride` is `kernel_size` by default.
    return_indices : bool
        Also return where each came from.
    ceil_mode : bool
        Let the last window reach beyond the border.
    """

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        dilation=1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input: Tensor):
        return F.max_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode,
            self.return_indices,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of each window: `functional.avg_pool2d`.

    Parameters
    ----------
    kernel_size, stride, padding : int or pair
        `stride` is `kernel_size` by default.
    ceil_mode : bool
        Let the last window reach beyond the border.
    count_include_pad : bool
        Whether the zeros of the padding count in the mean.
    divisor_override : int, optional
        Divide by this instead of the number of entries.
    """

    def __init__(
        self,
        kernel_size,
        stride=None,
        padding=0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ):
        super().__init__()
        self.kernel_size = kernel_size
        self.stride = kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input: Tensor) -> Tensor:
        return F.avg_pool2d(
            input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
            self.count_include_pad, self.divisor_override,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AdaptiveAvgPool2d(Module):
    """The mean over a grid of `output_size` regions, whatever the input's size."""

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


# ------------------------------------------------------------- normalisation and dropout


class _BatchNorm(Module):
    axes: tuple = ()  # how many axes an input may have

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device=None,
        dtype=None,
        *,
        bias: bool = True,
    ):
        super().__init__()
        _check_counts(type(self).__name__, num_features=num_features)
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        how = dict(device=device, dtype=dtype)
        self.weight = _new(num_features, **how) if affine else None
        self.bias = _new(num_features, **how) if affine and bias else None
        mean = var = count = None
        if track_running_stats:
            mean, var = creation.zeros(num_features, **how), creation.ones(num_features, **how)
            count = creation.zeros((), dtype=backend.int64, device=device)
        self.register_buffer("running_mean", mean)
        self.register_buffer("running_var", var)
        self.register_buffer("num_batches_tracked", count)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget all batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget all batches, and set weight 1 and bias 0."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        if input.ndim not in self.axes:
            raise ValueError(
                message(
                    type(self).__name__,
                    "the input has another number of axes.",
                    expect=" or ".join(map(str, self.axes)),
                    actual=tuple(input.shape),
                )
            )
        tracking, momentum = self.training and self.track_running_stats, self.momentum
        if tracking:
            self.num_batches_tracked.array += 1
            self.num_batches_tracked.bump_version()
            if momentum is None:  # one weight for all batches so far; nobody reads the count
                momentum = (1 / self.num_batches_tracked.array).astype(self.running_mean.dtype)
        use_running = tracking or not self.training
        return F.batch_norm(
            input,
            self.running_mean if use_running else None,
            self.running_var if use_running else None,
            self.weight,
            self.bias,
            self.training or self.running_mean is None,
            momentum,
            self.eps,
        )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
            f"affine={self.affine}, bias={self.bias is not None}, "
            f"track_running_stats={self.track_running_stats}"
        )


class BatchNorm1d(_BatchNorm):
    """Batch norm of features: (N, C) or (N, C, L); see `BatchNorm2d`."""

    axes = (2, 3)


class BatchNorm2d(_BatchNorm):
    """Batch norm of image channels, (N, C, H, W): see `functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        The number C of channels.
    eps : float
        Added to the variance.
    momentum : float or None
        The weight of the newest batch in the running statistics; None gives all batches one
        weight.
    affine : bool
        Whether the result is scaled and (with `bias`) shifted by parameters.
    track_running_stats : bool
        Without them, evaluation uses its batch's statistics too.
    device, dtype : optional
        Of parameters and buffers.

    Attributes
    ----------
    weight, bias : Parameter, shape (C,), or None
    running_mean, running_var : Tensor, shape (C,), or None
        Buffers, used in evaluation.
    num_batches_tracked : Tensor of int64, or None
    """

    axes = (4,)


class Dropout(Module):
    """Each entry 0 with probability p in training: `functional.dropout`."""

    def __init__(self, p: float = 0.5, inplace: bool = False):
        super().__init__()
        F.check_probability(type(self).__name__, p)
        self.p, self.inplace = p, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout(input, self.p, self.training)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class Dropout2d(Dropout):
    """Each channel 0 with probability p in training: `functional.dropout2d`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.dropout2d(input, self.p, self.training)


# ---------------------------------------------------------------------------- activations


class ReLU(Module):
    """max(x, 0). (`inplace` is accepted, and of no effect.)"""

    def __init__(self, inplace: bool = False):
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class LeakyReLU(Module):
    """x where x > 0, else ``negative_slope`` x."""

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False):
        super().__init__()
        self.negative_slope, self.inplace = negative_slope, inplace

    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}" + ", inplace=True" * self.inplace


class Sigmoid(Module):
    """1 / (1 + e^-x)."""

    def forward(self, input: Tensor) -> Tensor:
        return F.sigmoid(input)


class Tanh(Module):
    """The hyperbolic tangent."""

    def forward(self, input: Tensor) -> Tensor:
        return F.tanh(input)


class Softplus(Module):
    """ln(1 + e^(beta x)) / beta: `functional.softplus`."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0):
        super().__init__()
        self.beta, self.threshold = beta, threshold

    def forward(self, input: Tensor) -> Tensor:
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softmax(Module):
    """e^x over its sum along axis `dim`."""

    def __init__(self, dim: int | None = None):
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """The logarithm of the softmax along axis `dim`."""

    def forward(self, input: Tensor) -> Tensor:
        return F.log_softmax(input, self.dim)


# -------------------------------------------------------------------------------- helpers


def _new(*shape: int, device, dtype) -> Parameter:
    return Parameter(creation.empty(shape, device=device, dtype=dtype))


def _reset(weight: Parameter, bias: Parameter | None) -> None:
    """PyTorch's first values: U(-k, k) with k = 1 / sqrt(fan_in), for weight and bias."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))  # its gain is sqrt(1/3): the bound is k
    fan_in = math.prod(weight.shape[1:])
    if bias is not None:
        bound = 1 / math.sqrt(fan_in) if fan_in else 0.0
        init.uniform_(bias, -bound, bound)


def _check_counts(name: str, **counts) -> None:
    for option, value in counts.items():
        least = 0 if option in ("in_features", "out_features", "num_features") else 1
        if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
            raise ValueError(
                message(
                    name,
                    f"{option} is no count.",
                    expect=f"an integer from {least} on",
                    actual=repr(value),
                )
            )
