"""What is done to an image before the network sees it: to a tensor, scaled and normalised.

A transform is called with one image. Ours can also do all images of a batch at once, by their
method ``batch``, which obeys one law (the images of a batch stand along a new first axis)::

    transform.batch(images)[i]  ==  transform(images[i])

`DataLoader` and the datasets of ``vision`` use it where every transform of a chain has it; one
callable of your own in a `Compose` and images go through the chain one by one. Both ways give the
same numbers, for what is drawn at random too. An image comes in one of two forms:

- an *array* as the files store it: uint8 from 0 to 255, of shape (H, W) or (H, W, C);
- a *tensor* as networks want it: floating, of shape (C, H, W).

`ToTensor` leads from the first to the second.

Why there is no table of the 256 possible results, although uint8 images invite one: arithmetic is
faster. Scaling and normalising 128 images of 28x28 takes 0.05 ms, looking their pixels up in a
table three times as long.

Before this: ``utils/data.py``. Next: ``vision/datasets.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..utils.data import speaks_for


class Transform:
    """One image in, one image out; and by ``batch`` the same for many at once.

    Derive from it for a transform of your own that can do whole batches. (One that cannot is any
    callable.)
    """

    def __call__(self, image: Any) -> Any:
        """Return the transformed image."""
        raise NotImplementedError(message(type(self).__name__, "define __call__."))

    def batch(self, images: Any) -> Any:
        """Return the transformed images, which stand along the first axis."""
        raise NotImplementedError(message(type(self).__name__, "define batch."))

    def has_batch(self) -> bool:
        """Whether ``batch`` stands for what ``__call__`` does (see `speaks_for`)."""
        return speaks_for(type(self), "batch", "__call__")


def has_batch(transform: Callable) -> bool:
    """Whether `transform` can be given a whole batch by its method ``batch``."""
    return isinstance(transform, Transform) and transform.has_batch()


class Compose(Transform):
    """One transform after the other.

    Parameters
    ----------
    transforms : sequence of callable
        In the order in which they are applied.
    """

    def __init__(self, transforms: Sequence[Callable]):
        self.transforms = transforms
        for transform in transforms:
            _check_callable("Compose", transform)

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def batch(self, images: Any) -> Any:
        for transform in self.transforms:
            images = transform.batch(images)
        return images

    def has_batch(self) -> bool:
        return super().has_batch() and all(map(has_batch, self.transforms))

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class Lambda(Transform):
    """Any function of one image. It is called for each image by itself.

    Parameters
    ----------
    lambd : callable
        The function.
    """

    def __init__(self, lambd: Callable):
        _check_callable("Lambda", lambd)
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def has_batch(self) -> bool:
        return False

    def __repr__(self) -> str:
        return f"Lambda({getattr(self.lambd, '__name__', self.lambd)})"


class ToTensor(Transform):
    """From an image of the file to a tensor: channels first, uint8 scaled to [0, 1].

    An array or a PIL image of shape (H, W) or (H, W, C) becomes a tensor of shape (C, H, W), where
    C is 1 for the former. uint8 is divided by 255 and has the default dtype (float32) then; other
    dtypes keep their type and their values.

    Raises
    ------
    TypeError
        For what is neither an array nor a PIL image (a tensor: it has been through here).
    ValueError
        For an array with another number of axes.
    """

    def __call__(self, image: Any) -> Tensor:
        pixels = _pixels(image)
        _check_axes(pixels, (2, 3), "(H, W) or (H, W, C); for many images ToTensor().batch(images)")
        return Tensor(_to_planes(pixels[None])[0])

    def batch(self, images: np.ndarray) -> Tensor:
        """(N, H, W) or (N, H, W, C) to (N, C, H, W)."""
        pixels = _pixels(images)
        _check_axes(pixels, (3, 4), "(N, H, W) or (N, H, W, C)")
        return Tensor(_to_planes(pixels))

    def __repr__(self) -> str:
        return "ToTensor()"


def _pixels(image: Any) -> np.ndarray:
    if isinstance(image, np.ndarray):
        return image
    if hasattr(image, "__array_interface__") and hasattr(image, "mode"):  # a PIL image
        pixels = np.asarray(image)
        return pixels.astype(np.uint8) * 255 if image.mode == "1" else pixels
    raise TypeError(
        message(
            "ToTensor",
            "the image is neither an array nor a PIL image.",
            expect="a NumPy array of shape (H, W) or (H, W, C), or a PIL image",
            actual=type(image).__name__,
        )
    )


def _check_axes(pixels: np.ndarray, allowed: tuple, expect: str) -> None:
    if pixels.ndim not in allowed:
        raise ValueError(
            message(
                "ToTensor", "wrong number of axes.", expect=expect, actual=f"shape {pixels.shape}"
            )
        )


def _to_planes(pixels: np.ndarray) -> np.ndarray:
    """(N, H, W) or (N, H, W, C) to (N, C, H, W), in memory of its own."""
    planes = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
    if pixels.dtype != np.uint8:
        return np.array(planes, order="C")
    dtype = backend.get_default_dtype()
    return np.divide(planes, dtype.type(255), dtype=dtype, order="C")


class Normalize(Transform):
    """(x - mean) / std, each channel with its own mean and deviation.

    Parameters
    ----------
    mean, std : sequence of float
        One number a channel, or one for all channels.
    inplace : bool
        Whether to change the tensor that is given.

    Raises
    ------
    ValueError
        For a deviation of 0, for numbers that are not finite, and for a tensor whose number of
        channels is another.
    TypeError
        For what is not a floating tensor.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False):
        self.mean, self.std, self.inplace = mean, std, inplace
        mean, std = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std != 0).all()):
            raise ValueError(
                message(
                    "Normalize",
                    "it divides by the deviation.",
                    expect="finite numbers, and no deviation of 0",
                    actual=f"mean={self.mean}, std={self.std}",
                )
            )
        self._mean, self._std = mean.reshape(-1, 1, 1), std.reshape(-1, 1, 1)

    def __call__(self, tensor: Tensor) -> Tensor:
        """(..., C, H, W) to the same shape."""
        self._check(tensor)
        mean, std = (
            Tensor(backend.asarray_on(values.astype(tensor.dtype), tensor.device))
            for values in (self._mean, self._std)
        )
        if self.inplace:
            return tensor.sub_(mean).div_(std)
        if tensor.requires_grad:
            return (tensor - mean) / std
        result = tensor.array - mean.array
        result /= std.array  # an image is divided where it stands: memory is what costs here
        return Tensor(result)

    batch = __call__

    def _check(self, tensor: Any) -> None:
        if not isinstance(tensor, Tensor) or tensor.dtype.kind != "f":
            raise TypeError(
                message(
                    "Normalize",
                    "the image is not a floating tensor.",
                    actual=f"{type(tensor).__name__} of {getattr(tensor, 'dtype', 'no dtype')}",
                    do="put ToTensor() before Normalize",
                )
            )
        channels = tensor.shape[-3] if tensor.ndim >= 3 else None
        if channels is None or {self._mean.size, self._std.size} - {1, channels}:
            raise ValueError(
                message(
                    "Normalize",
                    "the image does not have as many channels as there are means and deviations.",
                    expect=f"(..., C, H, W) for mean={self.mean}, std={self.std}",
                    actual=f"shape {tuple(tensor.shape)}",
                )
            )

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean}, std={self.std})"


class RandomCrop(Transform):
    """Cut a window out of the image at a random place, after a border was added to it.

    With a border of p and the image's own size this is a random shift by up to p pixels, the
    cheapest way to more training images. Each image of a batch is shifted by itself.

    Parameters
    ----------
    size : int or (int, int)
        Height and width of the window.
    padding : int or (int, int)
        The border: above and below, left and right.
    fill : number
        The border's value.
    generator : Generator, optional
        Where the places are drawn from; by default this thread's generator.

    Raises
    ------
    ValueError
        If the window does not fit into the image with its border.
    """

    def __init__(self, size, padding=0, fill=0, generator=None):
        self.size = _two_sizes("size", size, 1)
        self.padding = _two_sizes("padding", padding, 0)
        self.fill, self.generator = fill, generator

    def __call__(self, image: Any) -> Any:
        if isinstance(image, Tensor):
            return Tensor(self.batch(Tensor(image.array[None])).array[0])
        return self.batch(_pixels(image)[None])[0]

    def batch(self, images: Any) -> Any:
        """Arrays (N, H, W[, C]) or a tensor (N, C, H, W) to the same with H x W of `size`."""
        if isinstance(images, Tensor):
            return Tensor(np.ascontiguousarray(self._crop(images.array, images.ndim - 2)))
        return self._crop(images, 1)

    def _crop(self, images: np.ndarray, axis: int) -> np.ndarray:
        """Cut along `axis` (the rows) and the one after it."""
        widths = [(0, 0)] * images.ndim
        widths[axis : axis + 2] = [(p, p) for p in self.padding]
        padded = np.pad(images, widths, constant_values=self.fill)
        room = [n - k + 1 for n, k in zip(padded.shape[axis : axis + 2], self.size)]
        if min(room) < 1:
            raise ValueError(
                message(
                    "RandomCrop",
                    "the window does not fit into the image with its border.",
                    expect=f"a size of at most {padded.shape[axis : axis + 2]}",
                    actual=self.size,
                )
            )
        places = backend.generator(self.generator).integers(0, room, (len(images), 2))
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.size, (axis, axis + 1))
        # windows: (N, ..., rooms, ..., size); take each image's own place, then the axes' order.
        rows, columns = places.T
        key = (np.arange(len(images)), *[slice(None)] * (axis - 1), rows, columns)
        cropped = windows[key]
        if axis == 1:
            return np.moveaxis(cropped, (-2, -1), (1, 2))
        return cropped

    def __repr__(self) -> str:
        return f"RandomCrop(size={self.size}, padding={self.padding})"


def _two_sizes(name: str, value, least: int) -> tuple[int, int]:
    sizes = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    whole = all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in sizes)
    if len(sizes) != 2 or not whole or min(sizes) < least:
        raise ValueError(
            message(
                "RandomCrop",
                f"not a {name}.",
                expect=f"an int or a pair of ints from {least} on",
                actual=repr(value),
            )
        )
    return sizes


def _check_callable(where: str, transform: Any) -> None:
    is_bare = isinstance(transform, type) and issubclass(transform, Transform)
    if is_bare or not callable(transform):
        raise TypeError(
            message(
                where,
                "it was given something that cannot be applied to an image.",
                expect="a function or a transform",
                actual=f"the class {transform.__name__}" if is_bare else repr(transform),
                do=f"write {transform.__name__}(...), with its brackets" if is_bare else "",
            )
        )
