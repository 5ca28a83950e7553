"""Data sets of images: MNIST, and the small digits that come with the package.

Both hold all their images in one tensor and all their labels in another, and give samples
(image, label), where the image is a NumPy array of uint8 until a transform makes something else of
it. (torchvision hands the transform a PIL image; we need no PIL.)

A data file is input from a stranger, even with a familiar name. So its sizes are held against what
the format and the file can hold *before* any memory is taken, every byte is accounted for, and
what is wrong ends in one exception, `BadFileError`, which names the file and the fault.

Before this: ``utils/data.py``, ``transforms.py``. Next: ``examples/mnist.py``.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .._errors import message
from .._tensor import Tensor
from ..serialize import BadFileError, replacing
from ..utils.data import Dataset, default_convert
from .transforms import has_batch

__all__ = [
    "MNIST",
    "BadFileError",
    "DatasetNotFoundError",
    "Digits",
    "LabelledImages",
    "to_mnist_form",
]
# gzip, hashlib and urllib take longer to import than this package: they are imported where used.


class DatasetNotFoundError(FileNotFoundError, RuntimeError):
    """The files of a data set are nowhere to be found; the text names every place and failure.

    (A RuntimeError too, because that is what torchvision raises.)
    """


class LabelledImages(Dataset[tuple]):
    """Images and their labels, in two tensors.

    Parameters
    ----------
    data : Tensor
        The images, (N, H, W) or (N, H, W, C), uint8.
    targets : Tensor
        The labels, (N,), int64.
    transform : callable, optional
        From the image, an array (H, W) or (H, W, C), to what the sample shall hold.
    target_transform : callable, optional
        From the label, an int, to what the sample shall hold.

    Attributes
    ----------
    data, targets, transform, target_transform
        As given. They may be replaced: ``dataset.data = dataset.data[:100]``, and the targets
        likewise, leave the first hundred samples.
    """

    classes: list[str] = []

    def __init__(
        self,
        data: Tensor,
        targets: Tensor,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
    ):
        self.data, self.targets = data, targets
        self.transform, self.target_transform = transform, target_transform

    def __getitem__(self, index: int) -> tuple:
        image: Any = _array(self.data)[index].copy()  # a transform may write into its own
        label: Any = int(_array(self.targets)[index])
        if self.transform is not None:
            image = self.transform(image)
        if self.target_transform is not None:
            label = self.target_transform(label)
        return image, label

    def collated(self, indices: list) -> Any:
        if self.target_transform is not None:
            return NotImplemented
        if self.transform is not None and not has_batch(self.transform):
            return NotImplemented
        positions = np.asarray(indices, dtype=np.int64)
        images = _array(self.data).take(positions, axis=0)  # twice as fast as data[positions]
        labels = _array(self.targets).take(positions).astype(np.int64, copy=False)
        if self.transform is not None:
            images = self.transform.batch(images)
        return [default_convert(images), Tensor(labels)]

    def __len__(self) -> int:
        return len(self.data)

    @property
    def class_to_idx(self) -> dict[str, int]:
        """From the name of a class to its label."""
        return {name: label for label, name in enumerate(self.classes)}

    def __repr__(self) -> str:
        transform = "" if self.transform is None else f", transform={self.transform!r}"
        shape = "x".join(map(str, _array(self.data).shape[1:]))
        return f"{type(self).__name__}({len(self)} images of {shape}{transform})"


def _array(values: Any) -> np.ndarray:
    return values.numpy() if isinstance(values, Tensor) else np.asarray(values)


DIGIT_NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


# ----------------------------------------------------------------------------------------- MNIST


class MNIST(LabelledImages):
    """Handwritten digits: 60,000 images of 28x28 to train on, 10,000 from other writers to test.

    The files are looked for in `root`, ``root/mnist`` and ``root/MNIST/raw`` (where torchvision
    keeps them), gzipped or not; then in the same folders under the environment variable
    ``MINIGRAD_DATA``; then in the cache (``$XDG_CACHE_HOME/minigrad``, else ``~/.cache/minigrad``).

    Parameters
    ----------
    root : path, optional
        Your data folder.
    train : bool
        Whether to load the training images or the test images.
    transform : callable, optional
        From an array (28, 28) of uint8 to what the sample shall hold.
    target_transform : callable, optional
        From the label, an int from 0 to 9, to what the sample shall hold.
    download : bool
        Whether to download what is nowhere found, into ``root/MNIST/raw``, or into the cache
        without a `root`. What comes is kept only if its digest is the official one.

    Attributes
    ----------
    data : Tensor
        (N, 28, 28), uint8: 0 is paper, 255 is ink.
    targets : Tensor
        (N,), int64.
    classes : list of str
        "0 - zero" to "9 - nine".

    Raises
    ------
    DatasetNotFoundError
        If the files are in none of those places and, with `download`, no mirror had them.
    BadFileError
        If a file is cut off, too long, or not the IDX file that its name says.

    Warns
    -----
    UserWarning
        If a file has the right format but is not, byte for byte, the official one.

    References
    ----------
    LeCun, Bottou, Bengio, Haffner: Gradient-based learning applied to document recognition (1998).
    """

    mirrors = [
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ]
    timeout = 10.0  # seconds of silence after which a mirror is given up
    digests = {  # SHA-256 of the files, decompressed
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",  # noqa: E501
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",  # noqa: E501
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",  # noqa: E501
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",  # noqa: E501
    }
    classes = [f"{digit} - {name}" for digit, name in enumerate(DIGIT_NAMES)]

    def __init__(
        self,
        root: str | os.PathLike | None = None,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        download: bool = False,
    ):
        self.root, self.train = root, train
        part = "train" if train else "t10k"
        names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
        images_path, labels_path = self._locate(names, download)
        most = 60_000 if train else 10_000
        images = self._read(images_path, names[0], (28, 28), most)
        labels = self._read(labels_path, names[1], (), most)
        _check_labels(images, images_path, labels, labels_path)
        data, targets = Tensor(images), Tensor(labels.astype(np.int64))
        super().__init__(data, targets, transform, target_transform)

    def _locate(self, names: list[str], download: bool) -> list[str]:
        """Return the paths of the files `names`, all in one folder."""
        found, tried = _search(_places(self.root), names)
        if not found and download:
            top = _cache() if self.root is None else os.path.expanduser(self.root)
            folder = Path(top, "MNIST", "raw")
            tried += self._download(folder)
            found, _ = _search([folder], names)
        if not found:
            raise DatasetNotFoundError(
                message(
                    type(self).__name__,
                    "the files were not found.",
                    expect=f"{' and '.join(names)}, with or without .gz, in one folder",
                    actual="\n    ".join(["", *tried]),
                    do="give their folder as root or in MINIGRAD_DATA"
                    + ("" if download else ", or say download=True"),
                )
            )
        return found

    def _read(self, path: str, name: str, shape: tuple, most: int) -> np.ndarray:
        with open(path, "rb") as file:
            array, digest = _read_idx(file, path, shape, most)
        if digest != self.digests[name]:
            warnings.warn(
                f"{path}: its format is right, but it is not the official {name} "
                f"(SHA-256 {digest[:8]}... instead of {self.digests[name][:8]}...). It is used.",
                stacklevel=3,
            )
        return array

    def _download(self, folder: Path) -> list[str]:
        """Fetch the files that `folder` lacks, and return what failed, a line each."""
        os.makedirs(folder, exist_ok=True)
        mirrors = list(self.mirrors)
        for name, digest in self.digests.items():
            failures = []
            if _stored(folder, name):
                continue
            for mirror in list(mirrors):
                url = f"{mirror}{name}.gz"
                print(f"Downloading {url} to {folder}", file=sys.stderr)
                content, failure = _fetch(url, digest, self.timeout)
                if failure is None:
                    with replacing(folder / name) as file:
                        file.write(content)
                    break
                failures.append(f"{url}: {failure}")
                mirrors.append(mirrors.pop(0))  # what failed once is asked last
            else:
                return failures
        return []


def _cache() -> str:
    top = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(top, "minigrad")


def _places(root: str | os.PathLike | None) -> list[Path]:
    tops = [root, os.environ.get("MINIGRAD_DATA") or None, _cache()]
    folders = [
        Path(os.path.expanduser(top), *layout)
        for top in tops
        if top is not None
        for layout in ((), ("mnist",), ("MNIST", "raw"))
    ]
    return list(dict.fromkeys(folders))  # each once, in order


def _stored(folder: Path, name: str) -> str | None:
    """Return the path of the file `name` in `folder`, gzipped or not, or None."""
    paths = [os.path.join(folder, name), os.path.join(folder, f"{name}.gz")]
    return next(filter(os.path.isfile, paths), None)


def _search(folders: list[Path], names: list[str]) -> tuple[list[str], list[str]]:
    """Return the paths of `names` in the first folder that has them all, and what else was seen."""
    tried = []
    for folder in folders:
        paths = [_stored(folder, name) for name in names]
        if None not in paths:
            return paths, tried
        missing = [name for name, path in zip(names, paths, strict=True) if path is None]
        what = f"no {' and no '.join(missing)}" if os.path.isdir(folder) else "no such folder"
        tried.append(f"{folder}: {what}")
    return [], tried


def _check_labels(images: np.ndarray, images_path: str, labels: np.ndarray, path: str) -> None:
    if len(images) != len(labels):
        raise BadFileError(
            message(
                path,
                "it does not belong to the file of images.",
                expect=f"{len(images)} labels, as {images_path} has images",
                actual=f"{len(labels)} labels",
            )
        )
    if labels.max() > 9:
        position = int(np.argmax(labels > 9))
        raise BadFileError(
            message(
                path,
                "a label is no digit.",
                expect="labels from 0 to 9",
                actual=f"{labels[position]} at position {position}",
            )
        )


# ------------------------------------------------------------------------------------- IDX files


def _read_idx(
    file: BinaryIO, name: str, shape: tuple[int, ...], most: int
) -> tuple[np.ndarray, str]:
    """Read a file in MNIST's format, IDX, of unsigned bytes; gzipped or not.

    An IDX file is two zero bytes, a byte for the type (8: unsigned byte), a byte for the number of
    axes, the size of each axis in four bytes (the highest byte first), and then the values.

    Parameters
    ----------
    file : binary file
        Open at its beginning.
    name : str
        What messages call it.
    shape : tuple of int
        The shape of one item: (28, 28) for images, () for labels.
    most : int
        The largest number of items to accept.

    Returns
    -------
    array : ndarray
        (N, *shape), uint8.
    digest : str
        SHA-256 of the decompressed file, in hexadecimal.

    Raises
    ------
    BadFileError
        If the file is anything else.
    """
    import zlib
    from gzip import BadGzipFile, GzipFile

    capacity = os.fstat(file.fileno()).st_size
    is_packed = file.read(2) == b"\x1f\x8b"
    file.seek(0)
    if not is_packed:
        return _read_values(file, name, shape, most, capacity)
    try:
        # Gzip packs at most 258 bytes into two bits: no file can hold more than 1032 times its
        # size, whatever its header promises.
        return _read_values(GzipFile(fileobj=file), name, shape, most, 1032 * capacity)
    except (EOFError, BadGzipFile, zlib.error) as error:
        raise BadFileError(
            message(
                name, "the gzip file is cut off or damaged.", actual=error, do="get the file again"
            )
        ) from error


def _read_values(
    file: BinaryIO, name: str, shape: tuple[int, ...], most: int, capacity: int
) -> tuple[np.ndarray, str]:
    """Do the work of `_read_idx` on the decompressed `file` of at most `capacity` bytes."""
    import hashlib

    def check(good: bool, problem: str, expect, actual) -> None:
        if not good:
            text = message(name, problem, expect=expect, actual=actual, do="get the file again")
            raise BadFileError(text)

    magic = bytes([0, 0, 8, 1 + len(shape)])
    header = file.read(4 + 4 * (1 + len(shape)))
    started = header[:4].hex(" ") or "an empty file"
    check(header[:4] == magic, "not such an IDX file.", f"first bytes {magic.hex(' ')}", started)
    whole = 4 + 4 * (1 + len(shape))
    check(len(header) == whole, "the header is cut off.", f"{whole} bytes", len(header))

    count, *item = np.frombuffer(header[4:], ">u4").tolist()
    fits = 1 <= count <= most and tuple(item) == shape
    check(fits, "wrong sizes.", f"1 to {most} items of shape {shape}", f"{count} of {tuple(item)}")
    size = count * int(np.prod(shape, dtype=np.int64))
    enough = whole + size <= capacity
    check(enough, "cut off.", f"{size} bytes of values, as the header says", "a smaller file")

    array = np.empty((count, *shape), np.uint8)
    values = memoryview(array.reshape(-1))
    digest = hashlib.sha256(header)
    read = 0
    while got := file.readinto(values[read : read + 2**20]):
        digest.update(values[read : read + got])
        read += got
    check(read == size, "cut off.", f"{size} bytes of values, as the header says", read)
    check(not file.read(1), "too long.", f"{size} bytes of values, as the header says", "more")
    return array, digest.hexdigest()


# --------------------------------------------------------------------------------------- download


def _fetch(url: str, digest: str, timeout: float) -> tuple[bytes, str | None]:
    """Return the decompressed content of the gzip file at `url`, and None or what went wrong."""
    import hashlib
    import zlib
    from gzip import GzipFile
    from http.client import HTTPException
    from io import BytesIO
    from urllib.request import Request, urlopen

    most = 2**26  # bytes, packed or not: the largest file has 47 million
    try:
        request = Request(url, headers={"User-Agent": "minigrad"})
        with urlopen(request, timeout=timeout) as response:
            packed = response.read(most)
        content = GzipFile(fileobj=BytesIO(packed)).read(most)
    except (OSError, HTTPException, ValueError, EOFError, zlib.error) as error:
        return b"", f"{type(error).__name__}: {error}"
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        return b"", f"SHA-256 {found[:8]}... instead of {digest[:8]}..."
    return content, None


# ------------------------------------------------------------------------------ the small digits


class Digits(LabelledImages):
    """The handwritten digits that come with the package: 1,797 images of 8x8, 1,437 to train on.

    They are the test part of "Optical Recognition of Handwritten Digits" (E. Alpaydin and
    C. Kaynak, UCI Machine Learning Repository, 1998, https://doi.org/10.24432/C50P49, licence
    CC BY 4.0), which scikit-learn ships too. Each pixel counts the ink dots, 0 to 16, in a square
    of 4x4 dots. The split into 1,437 images to train on and 360 to test is ours: stored in the
    file, equal in the shares of the ten digits, the same for every seed. The same 13 people wrote
    both parts, so a test score here says less about unknown hands than one on MNIST.

    Parameters
    ----------
    train : bool
        Whether to load the training images or the test images.
    transform : callable, optional
        From an array (8, 8), or (28, 28) with `mnist_form`, of uint8 to what the sample shall hold.
    target_transform : callable, optional
        From the label, an int from 0 to 9, to what the sample shall hold.
    mnist_form : bool
        Whether to give the images MNIST's form, so that its models and transforms take them (see
        `to_mnist_form`).

    Attributes
    ----------
    data : Tensor
        uint8: (N, 8, 8), from 0 to 16; with `mnist_form` (N, 28, 28), from 0 to 255.
    targets : Tensor
        (N,), int64.
    classes : list of str
        "0 - zero" to "9 - nine".
    """

    classes = MNIST.classes

    def __init__(
        self,
        train: bool = True,
        transform: Callable | None = None,
        target_transform: Callable | None = None,
        *,
        mnist_form: bool = False,
    ):
        self.train = train
        with np.load(Path(__file__).with_name("digits.npz"), allow_pickle=False) as file:
            chosen = file["train"] == bool(train)
            images, labels = file["images"][chosen], file["labels"][chosen]
        images = to_mnist_form(images) if mnist_form else images
        data, targets = Tensor(images), Tensor(labels.astype(np.int64))
        super().__init__(data, targets, transform, target_transform)


def to_mnist_form(images: np.ndarray) -> np.ndarray:
    """Give images of 8x8 with values 0 to 16 MNIST's form.

    Each pixel becomes a square of 3x3, around them comes a frame of two pixels of paper, as MNIST
    has one too, and 16 becomes 255.

    Parameters
    ----------
    images : ndarray
        (N, 8, 8), uint8, from 0 to 16.

    Returns
    -------
    ndarray
        (N, 28, 28), uint8, from 0 to 255.
    """
    large = images.repeat(3, axis=1).repeat(3, axis=2)
    scaled = (large.astype(np.uint16) * 255 + 8) // 16  # rounded
    return np.pad(scaled.astype(np.uint8), ((0, 0), (2, 2), (2, 2)))
