"""Arithmetic with 8-bit integers: inference that computes with what quantization stored.

Here that saves bytes, and no time: NumPy's own integer matrix product is fifty to a hundred times
slower than BLAS. But whole numbers up to 2**24 are exact in float32, so BLAS can compute integer
products for us, exactly (`int8_matmul`). The layers below round their inputs to integers, multiply
integers, add integers, and return to floating numbers by one scale at the end.

Jacob et al. (2018), Quantization and training of neural networks for efficient integer-arithmetic-
only inference, section 2.2.

Before this: ``quantize.py``. Next: ``share.py``.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..autograd import is_grad_enabled
from ..nn import Conv2d, Linear, Module
from ..nn.recorder import working_copy
from ..ops.conv import Conv2d as ConvOp
from .quantize import quantize_tensor

__all__ = ["Int8Conv2d", "Int8Linear", "int8_matmul", "int8_model"]

EXACT_IN_FLOAT32 = 2**24  # up to here, every whole number is a float32


def int8_matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the exact product of two matrices of 8-bit integers, computed by float BLAS.

    A sum of K products of int8 stays below K * 128**2, and float32 holds every whole number up
    to 2**24; so while K <= 1024, no step of a float32 product can round. Longer sums are cut
    into blocks of that length, added as int32. (127**2 in place of 128**2 for symmetric codes
    would make it 1040; uint8 reaches 255.)

    Parameters
    ----------
    a : array of int8 or uint8, shape (M, K)
    b : array of int8 or uint8, shape (K, N)

    Returns
    -------
    array of int32, shape (M, N)

    Raises
    ------
    TypeError
        If they are not 8-bit integers.
    ValueError
        If the shapes do not fit, or K is so large that int32 could overflow.
    """
    largest = _largest(a, "int8_matmul") * _largest(b, "int8_matmul")
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[0]:
        raise ValueError(
            message(
                "int8_matmul",
                "the shapes do not fit.",
                expect="(M, K) and (K, N)",
                actual=(a.shape, b.shape),
            )
        )
    K = a.shape[1]
    _check_sum(K, largest, "int8_matmul")
    xp = backend.array_module(a)
    y = xp.zeros((a.shape[0], b.shape[1]), xp.int32)
    block = EXACT_IN_FLOAT32 // largest
    for k in range(0, K, block):
        part = a[:, k : k + block].astype(xp.float32) @ b[k : k + block].astype(xp.float32)
        y += part.astype(xp.int32)
    return y


def _largest(a: np.ndarray, where: str) -> int:
    if a.dtype == np.int8:
        return 128
    if a.dtype == np.uint8:
        return 255
    raise TypeError(message(where, "not 8-bit integers.", expect="int8 or uint8", actual=a.dtype))


def _check_sum(K: int, largest: int, where: str) -> None:
    if largest * K >= 2**31:
        raise ValueError(
            message(
                where,
                "so long a sum could overflow 32 bits.",
                expect=f"at most {(2**31 - 1) // largest:,} products",
                actual=f"{K:,}",
            )
        )


class _Int8Layer(Module):
    """What both int8 layers share: integer weights with a scale for each output channel."""

    def __init__(self, layer: Linear | Conv2d):
        super().__init__()
        device = layer.weight.device
        stored = quantize_tensor(layer.weight, 8, axis=0)
        self.register_buffer("weight_q", Tensor(backend.asarray_on(stored.q, device)))
        self.register_buffer("scale", Tensor(backend.asarray_on(stored.scale.ravel(), device)))
        self.register_buffer("bias", None if layer.bias is None else layer.bias.detach().clone())
        self.training = layer.training

    def _integers(self, x: Tensor):
        """Return x as int8 around zero, and its scale: one for the batch that is here."""
        if x.requires_grad and is_grad_enabled():
            raise RuntimeError(
                message(
                    type(self).__name__,
                    "integers carry no gradient: this layer is for inference.",
                    do="train with quantization_aware, and convert at the end",
                )
            )
        largest = float(abs(x.array).max()) if x.numel() else 0.0
        if not largest < np.inf:
            raise ValueError(
                message(type(self).__name__, "the input holds NaN or infinity.", actual=largest)
            )
        scale = x.dtype.type(largest / 127) or x.dtype.type(1)
        return backend.array_module(x.array).rint(x.array / scale).astype(np.int8), scale

    def _floats(self, y, x_scale, channels: tuple) -> Tensor:
        """Return what the int32 results stand for."""
        y = y.astype(self.scale.dtype) * (self.scale.array * x_scale).reshape(channels)
        return Tensor(y if self.bias is None else y + self.bias.array.reshape(channels))


class Int8Linear(_Int8Layer):
    """A `Linear` for inference: int8 weights, int8 inputs, int32 sums."""

    def __init__(self, layer: Linear):
        super().__init__(layer)
        self.in_features, self.out_features = layer.in_features, layer.out_features

    def forward(self, input: Tensor) -> Tensor:
        q, scale = self._integers(input)
        y = int8_matmul(q.reshape(-1, self.in_features), self.weight_q.array.T)
        return self._floats(y, scale, (-1,)).reshape(*input.shape[:-1], self.out_features)

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class Int8Conv2d(_Int8Layer):
    """A `Conv2d` for inference: int8 weights, int8 inputs, int32 sums."""

    def __init__(self, layer: Conv2d):
        if layer.padding_mode != "zeros":
            raise ValueError(
                message(
                    "int8_model",
                    "an int8 convolution pads with zeros only.",
                    expect="padding_mode='zeros'",
                    actual=repr(layer.padding_mode),
                )
            )
        if layer.weight[0, 0].numel() > EXACT_IN_FLOAT32 // 128**2:
            raise ValueError(
                message(
                    "int8_model",
                    "the kernel is too large for exact sums in float32.",
                    expect=f"at most {EXACT_IN_FLOAT32 // 128**2} entries a channel",
                    actual=layer.kernel_size,
                )
            )
        super().__init__(layer)
        left, right, top, bottom = layer._border
        self.options = dict(
            stride=layer.stride, padding=((top, bottom), (left, right)), dilation=layer.dilation
        )
        self.groups = layer.groups

    def forward(self, input: Tensor) -> Tensor:
        q, scale = self._integers(input)
        return self._floats(self.integer_convolution(q), scale, (1, -1, 1, 1))

    def integer_convolution(self, q):
        """Return the int32 convolution of int8 images: channels in blocks that stay exact."""
        xp = backend.array_module(q)
        groups = [
            self._exact_convolution(images, weight)
            for images, weight in zip(
                xp.split(q, self.groups, axis=1), xp.split(self.weight_q.array, self.groups)
            )
        ]
        return groups[0] if self.groups == 1 else xp.concatenate(groups, axis=1)

    def _exact_convolution(self, images, weight):
        channels, area = weight.shape[1], weight.shape[2] * weight.shape[3]
        _check_sum(channels * area, 128 * 128, "Int8Conv2d")
        block = EXACT_IN_FLOAT32 // (128 * 128) // area
        total = 0
        for c in range(0, channels, block):
            part = ConvOp.apply(
                Tensor(images[:, c : c + block].astype(np.float32)),
                Tensor(weight[:, c : c + block].astype(np.float32)),
                groups=1,
                **self.options,
            )
            total = total + part.array.astype(np.int32)
        return total


def int8_model(model: Module) -> Module:
    """Return a copy for inference whose `Linear` and `Conv2d` layers compute in integers.

    Weights get 8 bits and a scale for each output channel; inputs are rounded to 8 bits with one
    scale for each batch, found as it passes. The sums are exact int32. The copy's
    ``state_dict()`` is about a quarter as large; it is not faster (see the top of the file).

    Parameters
    ----------
    model : Module
        Must contain a `Linear` or `Conv2d`; finish quantization-aware training first.

    Returns
    -------
    Module
        In evaluation mode.
    """
    model = working_copy(model, "int8_model")
    kinds = {Linear: Int8Linear, Conv2d: Int8Conv2d}
    if type(model) in kinds:
        return kinds[type(model)](model).eval()
    changed: dict[int, Module] = {}  # a layer used in several places stays one layer
    for parent in list(model.modules()):
        for name, child in list(parent._own_children()):  # a shared one in all its places
            if type(child) in kinds:
                if id(child) not in changed:
                    changed[id(child)] = kinds[type(child)](child)
                _put(parent, name, changed[id(child)])
    if not changed:
        raise ValueError(message("int8_model", "the model has no Linear and no Conv2d layer."))
    return model.eval()


def _put(parent: Module, path: str, child: Module) -> None:
    """Replace a child, which may sit in lists and dicts: its name has a dot for each."""
    holder: object = parent
    *outer, last = path.split(".")
    for key in outer:
        holder = holder[_key(holder, key)] if _is_box(holder) else getattr(holder, key)
    if isinstance(holder, tuple):
        raise ValueError(
            message("int8_model", f"{path!r} sits in a tuple.", do="use a list or nn.ModuleList")
        )
    if _is_box(holder):
        holder[_key(holder, last)] = child
    else:
        setattr(holder, last, child)


def _is_box(holder: object) -> bool:
    return isinstance(holder, (list, tuple, dict))


def _key(holder, text: str):
    return text if isinstance(holder, dict) else int(text)
