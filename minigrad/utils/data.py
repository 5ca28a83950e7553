"""From a data set to batches: datasets, samplers, and the `DataLoader` that joins them.

A *dataset* answers ``dataset[i]`` with sample i. A *sampler* says in which order the samples come,
a *batch sampler* cuts that order into lists of indices. `DataLoader` asks the dataset for the
samples of each list, and a *collate* function makes one batch of them: samples (image, label)
become [images, labels], with a new first axis.

Fetching samples one by one in Python is what makes loaders slow: 128 images cost 128 small
copies, 128 transforms and one large stack. A dataset that holds its samples in arrays can do all
of that at once, and says so by one more method, ``collated``, which obeys one law::

    dataset.collated(indices)  ==  default_collate([dataset[i] for i in indices])

The right side says what a batch *is*, the left side is the fast way to it. `DataLoader` takes the
left one only while the law can hold: a subclass with a ``__getitem__`` of its own or a collate
function of your own goes one sample at a time. `TensorDataset`, `Subset`, `random_split` and the
datasets of ``vision`` are fast in this way.

Everything happens in the calling process: ``num_workers``, ``pin_memory`` and their like are
accepted, so that scripts written for PyTorch run, and change nothing.

Before this: ``_tensor.py``. Next: ``vision/datasets.py``, then ``training/loop.py``.
"""

from __future__ import annotations

import bisect
import copy
import itertools
import math
import operator
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..creation import tensor
from ..functions.shape import stack

__all__ = [
    "BatchSampler",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]
T_co = TypeVar("T_co", covariant=True)


# -------------------------------------------------------------------------------------- datasets


def speaks_for(cls: type, fast: str, plain: str) -> bool:
    """Whether the method `fast` of `cls` still stands for what its method `plain` does.

    Both do the same, `plain` for one sample and `fast` for many. A subclass that overrides
    `plain` alone has changed what a sample is, and the `fast` that it inherits no longer knows.

    Parameters
    ----------
    cls : type
        The class of a dataset or of a transform.
    fast, plain : str
        Names of methods, such as ``"collated"`` and ``"__getitem__"``.
    """
    for base in cls.__mro__:  # from the class itself up to its oldest ancestor
        if fast in vars(base):
            return True
        if plain in vars(base):
            return False
    return False


def collated(dataset: Dataset, indices: list) -> Any:
    """Return the batch of the samples at `indices` by the dataset's fast way, where it has one.

    Returns
    -------
    batch or NotImplemented
        What ``default_collate([dataset[i] for i in indices])`` returns; NotImplemented where the
        samples must be taken one by one.
    """
    if speaks_for(type(dataset), "collated", "__getitem__"):
        return dataset.collated(indices)
    return NotImplemented


def samples(dataset: Dataset, indices: list) -> Sequence:
    """Return the samples at `indices`: through ``__getitems__`` if the dataset has it.

    ``__getitems__(indices)``, PyTorch's hook, returns a list of samples: for datasets to which
    one question about many samples is cheaper than many questions (a file, a database).
    """
    if speaks_for(type(dataset), "__getitems__", "__getitem__"):
        return dataset.__getitems__(indices)
    return [dataset[index] for index in indices]


class Dataset(Generic[T_co]):
    """Samples by index: define ``__getitem__(index)`` and ``__len__()``.

    Where many samples can be fetched at once, define ``collated(indices)`` too (see the top of
    this file), or PyTorch's ``__getitems__(indices)``, which returns a list of samples.

    ``a + b`` is the samples of `a` followed by those of `b`.
    """

    def __getitem__(self, index) -> T_co:
        """Return the sample at `index`."""
        raise NotImplementedError(
            message(type(self).__name__, "the dataset has no samples.", do="define __getitem__")
        )

    def collated(self, indices: list) -> Any:
        """Return ``default_collate([self[i] for i in indices])``, or NotImplemented."""
        return NotImplemented

    def __add__(self, other: Dataset) -> ConcatDataset:
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T_co]):
    """Samples as a stream: define ``__iter__()``. For what has no index, or no end.

    A loader takes the samples in the order in which they come: it can neither shuffle nor sample.
    """

    def __iter__(self) -> Iterator[T_co]:
        """Start the stream anew."""
        raise NotImplementedError(
            message(type(self).__name__, "the dataset has no samples.", do="define __iter__")
        )


class TensorDataset(Dataset[tuple]):
    """Sample i is ``(tensors[0][i], tensors[1][i], ...)``.

    Parameters
    ----------
    *tensors : Tensor or ndarray
        All with the same size along their first axis.

    Raises
    ------
    ValueError
        Without tensors, for a tensor without axes, and where the first axes differ.
    """

    def __init__(self, *tensors: Tensor):
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        shapes = [t.shape for t in self.tensors]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
            raise ValueError(
                message(
                    "TensorDataset",
                    "the tensors do not hold one and the same number of samples.",
                    expect="one tensor or more, all with the same size along their first axis",
                    actual="shapes " + ", ".join(map(str, map(tuple, shapes))) or "no tensor",
                )
            )

    def __getitem__(self, index) -> tuple:
        return tuple(t[index] for t in self.tensors)

    def collated(self, indices: list) -> list:
        return [t[indices] for t in self.tensors]

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset[T_co]):
    """The samples of `dataset` at `indices`, in that order.

    Parameters
    ----------
    dataset : Dataset
        Where the samples are. It is not copied.
    indices : sequence of int
        Which ones.
    """

    def __init__(self, dataset: Dataset[T_co], indices: Sequence):
        self.dataset = dataset
        # Python's own integers: the quickest to take one at a time, and any dataset knows them.
        self.indices = indices.tolist() if isinstance(indices, (np.ndarray, Tensor)) else indices

    def __getitem__(self, index) -> T_co:
        if isinstance(index, list):
            return self.dataset[self._in_dataset(index)]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list) -> Sequence[T_co]:
        return samples(self.dataset, self._in_dataset(indices))

    def collated(self, indices: list) -> Any:
        return collated(self.dataset, self._in_dataset(indices))

    def _in_dataset(self, indices: list) -> list:
        return [self.indices[index] for index in indices]

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T_co]):
    """The samples of several datasets, one dataset after the other.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one; each must have a length.

    Attributes
    ----------
    cumulative_sizes : list of int
        How many samples there are up to the end of each dataset.
    """

    def __init__(self, datasets: Iterable[Dataset]):
        self.datasets = list(datasets)
        if not self.datasets:
            raise ValueError(message("ConcatDataset", "there is no dataset to join."))
        if any(isinstance(dataset, IterableDataset) for dataset in self.datasets):
            raise TypeError(
                message(
                    "ConcatDataset",
                    "an IterableDataset has no index by which to reach its samples.",
                    do="chain the streams in the __iter__ of an IterableDataset of your own",
                )
            )
        self.cumulative_sizes = list(itertools.accumulate(map(len, self.datasets)))

    def __getitem__(self, index: int) -> T_co:
        size = len(self)
        if not -size <= index < size:
            raise IndexError(
                message(
                    "ConcatDataset",
                    "there is no such sample.",
                    expect=f"an index from {-size} to {size - 1}",
                    actual=index,
                )
            )
        index %= size
        which = bisect.bisect_right(self.cumulative_sizes, index)
        before = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - before]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def random_split(
    dataset: Dataset, lengths: Sequence[int | float], generator: Any = None
) -> list[Subset]:
    """Deal the samples of `dataset` at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset
        The whole.
    lengths : sequence of int, or sequence of float
        The sizes of the parts. Fractions that sum to 1 are rounded down, and the samples left
        over go one each to the first parts.
    generator : Generator or numpy.random.Generator, optional
        Source of the permutation; this thread's default if None.

    Raises
    ------
    ValueError
        For a negative length, and for lengths that sum neither to 1 nor to ``len(dataset)``.

    Warns
    -----
    UserWarning
        If a fraction is so small that its part is empty.
    """
    total = len(dataset)
    sizes = _sizes_of_parts(lengths, total)
    order = backend.generator(generator).permutation(total).tolist()
    ends = itertools.accumulate(sizes)
    return [Subset(dataset, order[end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _sizes_of_parts(lengths: Sequence[int | float], total: int) -> list[int]:
    lengths = list(lengths)
    fractions = math.isclose(sum(lengths), 1)
    if not all(length >= 0 for length in lengths) or (not fractions and sum(lengths) != total):
        raise ValueError(
            message(
                "random_split",
                "the lengths do not fit the dataset.",
                expect=f"counts that sum to {total}, or fractions that sum to 1, none negative",
                actual=f"{lengths}, which sum to {sum(lengths)}",
            )
        )
    if not fractions:
        return [operator.index(length) for length in lengths]
    sizes = [math.floor(total * fraction) for fraction in lengths]
    for part in range(total - sum(sizes)):
        sizes[part % len(sizes)] += 1
    if 0 in sizes:
        warnings.warn(
            f"random_split: part {sizes.index(0)} is empty: {lengths} of {total} samples.",
            stacklevel=3,
        )
    return sizes


# -------------------------------------------------------------------------------------- samplers


class Sampler(Generic[T_co]):
    """An order of indices: define ``__iter__()``, and ``__len__()`` to give the loader a length."""

    def __iter__(self) -> Iterator[T_co]:
        """Start the order anew."""
        raise NotImplementedError(
            message(type(self).__name__, "the sampler gives no indices.", do="define __iter__")
        )


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... to the end of `data_source`."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler(Sampler[int]):
    """The indices of `data_source` in random order, another one each time.

    Parameters
    ----------
    data_source : sized
        The dataset, or anything with a length.
    replacement : bool
        Whether every draw is from all indices, so that some come twice and some never.
    num_samples : int, optional
        How many indices to give; ``len(data_source)`` if None. Without replacement, more than
        there are means one permutation after another.
    generator : Generator or numpy.random.Generator, optional
        Source of the order; this thread's default if None.

    Raises
    ------
    ValueError
        If there is nothing to draw from, or `num_samples` is not positive.
    """

    def __init__(
        self,
        data_source,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Any = None,
    ):
        _check_bool("RandomSampler", "replacement", replacement)
        if num_samples is not None:
            _check_positive("RandomSampler", "num_samples", num_samples)
        if len(data_source) == 0:
            raise ValueError(
                message(
                    "RandomSampler",
                    "there are no samples to shuffle or to draw from.",
                    actual="a dataset of length 0",
                )
            )
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator

    @property
    def num_samples(self) -> int:
        """How many indices a pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        rng = backend.generator(self.generator)
        size, left = len(self.data_source), self.num_samples
        if self.replacement:
            yield from rng.integers(size, size=left).tolist()
            return
        while left > 0:
            yield from rng.permutation(size)[:left].tolist()
            left -= size

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given `indices` in random order, another one each time.

    Parameters
    ----------
    indices : sequence of int
        What to shuffle.
    generator : Generator or numpy.random.Generator, optional
        Source of the order; this thread's default if None.
    """

    def __init__(self, indices: Sequence[int], generator: Any = None):
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        order = backend.generator(self.generator).permutation(len(self.indices))
        return (self.indices[i] for i in order.tolist())

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """`num_samples` indices, index i with a probability proportional to ``weights[i]``.

    Parameters
    ----------
    weights : sequence of float
        Not negative, not all zero; they need not sum to 1.
    num_samples : int
        How many indices a pass gives.
    replacement : bool
        Whether an index may come more than once.
    generator : Generator or numpy.random.Generator, optional
        Source of the draws; this thread's default if None.

    Raises
    ------
    ValueError
        For weights that are not a sequence of finite numbers >= 0 with one above 0, for a
        `num_samples` that is not positive, and without replacement for more samples than there
        are weights above 0.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Any = None,
    ):
        _check_positive("WeightedRandomSampler", "num_samples", num_samples)
        _check_bool("WeightedRandomSampler", "replacement", replacement)
        weights = weights.numpy() if isinstance(weights, Tensor) else weights
        self.weights = np.array(weights, dtype=np.float64)
        usable = self.weights.ndim == 1 and np.all(np.isfinite(self.weights) & (self.weights >= 0))
        possible = np.count_nonzero(self.weights) if usable else 0
        if not possible or (not replacement and num_samples > possible):
            raise ValueError(
                message(
                    "WeightedRandomSampler",
                    f"cannot draw {num_samples} samples by these weights.",
                    expect="a sequence of finite numbers, none negative and one above 0 (without "
                    "replacement: as many above 0 as samples)",
                    actual=f"shape {self.weights.shape}, {possible} usable weights above 0",
                )
            )
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        drawn = backend.generator(self.generator).choice(
            len(self.weights),
            size=self.num_samples,
            replace=self.replacement,
            p=self.weights / self.weights.sum(),
        )
        return iter(drawn.tolist())

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list]):
    """The indices of `sampler` in lists of `batch_size`.

    Parameters
    ----------
    sampler : Sampler or iterable of int
        The order.
    batch_size : int
        The length of a list.
    drop_last : bool
        Whether to leave out the last list if it is shorter.

    Raises
    ------
    ValueError
        If `batch_size` is not positive.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool):
        _check_positive("BatchSampler", "batch_size", batch_size)
        _check_bool("BatchSampler", "drop_last", drop_last)
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def __len__(self) -> int:
        full, rest = divmod(len(self.sampler), self.batch_size)
        return full if self.drop_last or not rest else full + 1


def _check_positive(where: str, name: str, value) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(
            message(
                where, f"{name} is not an integer.", expect="an integer > 0", actual=f"{value!r}"
            )
        )
    if value <= 0:
        raise ValueError(
            message(where, f"{name} is not positive.", expect="an integer > 0", actual=value)
        )


def _check_bool(where: str, name: str, value) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(message(where, f"{name} is neither True nor False.", actual=f"{value!r}"))


# --------------------------------------------------------------------------------------- collate


def default_collate(batch: Sequence) -> Any:
    """Make one batch of a list of samples, by what the samples are.

    ============================  ==========================================================
    samples                       batch
    ============================  ==========================================================
    tensors, arrays               one tensor with a new first axis, of their dtype
    int, bool                     a tensor of int64, of bool
    float                         a tensor of float64 (Python's floats are double)
    str, bytes                    the samples as they are
    tuple, list                   a list: of the first members, of the second, ...
    named tuple, dict             one of the same type, with each field collated
    ============================  ==========================================================

    Raises
    ------
    TypeError
        For samples of another type.
    ValueError
        For samples of different shapes, lengths or keys, and for no samples at all.
    """
    if len(batch) == 0:
        raise ValueError(message("default_collate", "there are no samples to make a batch of."))
    first = batch[0]
    if isinstance(first, (str, bytes)):
        return batch
    if isinstance(first, (Tensor, np.ndarray, np.generic)):
        return _collate_arrays(batch)
    if isinstance(first, int):  # bool too
        return tensor(list(batch))
    if isinstance(first, float):
        return tensor(list(batch), dtype=backend.float64)
    if isinstance(first, Mapping):
        return _collate_mappings(batch)
    if isinstance(first, Sequence):
        return _collate_sequences(batch)
    raise _no_batch_of(first)


def _collate_arrays(batch: Sequence) -> Tensor:
    first = batch[0]
    for position, sample in enumerate(batch):
        shape = getattr(sample, "shape", None)
        if shape != first.shape:
            raise ValueError(
                message(
                    "default_collate",
                    "the samples of a batch have different shapes.",
                    expect=f"{tuple(first.shape)}, the shape of the first sample",
                    actual=f"{shape and tuple(shape)} at sample {position}",
                    do="make them equal in a transform, or give DataLoader a collate_fn",
                )
            )
    if not isinstance(first, Tensor):
        if first.dtype.kind not in "biuf":
            raise _no_batch_of(first)
        return Tensor(np.stack(batch))
    if all([_is_constant_like(sample, first) for sample in batch]):
        arrays = [sample.array for sample in batch]  # no graph to keep: ten times as fast
        return Tensor(backend.array_module(first.array).stack(arrays))
    return stack(batch)


def _is_constant_like(sample: Any, first: Tensor) -> bool:
    same = type(sample) is type(first) and type(sample.array) is type(first.array)
    return same and sample.dtype == first.dtype and not sample.requires_grad


def _collate_mappings(batch: Sequence[Mapping]) -> Mapping:
    first = batch[0]
    for sample in batch:
        if missing := [key for key in first if key not in sample]:
            raise ValueError(
                message("default_collate", f"a sample lacks keys of the first: {missing}.")
            )
    columns = {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, MutableMapping):
        result = copy.copy(first)  # keeps what a subclass of dict has beside its items
        result.update(columns)
        return result
    return type(first)(columns)


def _collate_sequences(batch: Sequence[Sequence]) -> Sequence:
    lengths = [len(sample) for sample in batch]
    if len(set(lengths)) > 1:
        raise ValueError(
            message(
                "default_collate",
                "the samples of a batch have different lengths.",
                expect=lengths[0],
                actual=lengths,
                do="make them equal in a transform, or give DataLoader a collate_fn",
            )
        )
    columns = [default_collate(column) for column in zip(*batch, strict=True)]
    is_named = isinstance(batch[0], tuple) and hasattr(batch[0], "_fields")
    return type(batch[0])(*columns) if is_named else columns


def default_convert(data: Any) -> Any:
    """Make tensors of the arrays of numbers in `data`, through lists, tuples and dicts.

    It stands in for `default_collate` where ``batch_size=None``: the dataset makes the batches.
    """
    if isinstance(data, (np.ndarray, np.generic)):
        return Tensor(np.asarray(data)) if data.dtype.kind in "biuf" else data
    if isinstance(data, Mapping):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*map(default_convert, data))
    if isinstance(data, Sequence) and not isinstance(data, (str, bytes)):
        return [default_convert(value) for value in data]
    return data


def _no_batch_of(sample) -> TypeError:
    kind = getattr(sample, "dtype", None) or type(sample).__name__
    return TypeError(
        message(
            "default_collate",
            "it does not know how to make a batch of these samples.",
            expect="tensors, arrays, numbers, strings, or tuples, lists and dicts of these",
            actual=f"{type(sample).__name__} ({kind})",
            do="return one of those from the dataset, or give DataLoader a collate_fn",
        )
    )


# ---------------------------------------------------------------------------------------- loader


def get_worker_info() -> None:
    """Return None: there are no worker processes, all loading is in the calling one."""


class DataLoader(Generic[T_co]):
    """The batches of a dataset, a pass at a time: ``for images, labels in loader``.

    Each ``for`` starts a new pass; with ``shuffle`` in a new order.

    Parameters
    ----------
    dataset : Dataset
        Where the samples are.
    batch_size : int or None
        Samples in a batch. With None there is no collating: each sample is handed on as it is,
        arrays as tensors.
    shuffle : bool
        Whether each pass has its own random order.
    sampler : Sampler or iterable of int, optional
        The order, in place of `shuffle`.
    batch_sampler : Sampler or iterable of lists of int, optional
        Order and batches, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
    collate_fn : callable, optional
        From a list of samples to a batch; `default_collate` if None. With one of your own the
        samples are taken one by one.
    drop_last : bool
        Whether to leave out a last batch that is not full.
    generator : Generator or numpy.random.Generator, optional
        Source of the order; this thread's default, which ``manual_seed`` seeds, if None.
    num_workers, pin_memory, ...
        All other options of PyTorch's loader. They are accepted and change nothing: everything
        happens in the calling process.

    Raises
    ------
    ValueError
        For a batch size that is not positive, for arguments that exclude each other, and for
        an empty dataset that is to be shuffled.
    """

    _FIXED = ("dataset", "batch_size", "sampler", "batch_sampler", "drop_last")

    def __init__(
        self,
        dataset: Dataset[T_co],
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable[Sequence] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable | None = None,
        multiprocessing_context: Any = None,
        generator: Any = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ):
        shuffle = bool(shuffle)
        own_order, own_batches = sampler is not None, batch_sampler is not None
        if isinstance(dataset, IterableDataset):
            _exclude(
                "an IterableDataset",
                shuffle=shuffle,
                sampler=own_order,
                batch_sampler=own_batches,
            )
        if own_order:
            _exclude("sampler", shuffle=shuffle)
        if own_batches:
            _exclude(
                "batch_sampler",
                batch_size=batch_size != 1,
                shuffle=shuffle,
                sampler=own_order,
                drop_last=drop_last,
            )
            batch_size = None
        elif batch_size is None:
            _exclude("batch_size=None", drop_last=drop_last)
        else:
            _check_positive("DataLoader", "batch_size", batch_size)
        _check_not_negative(num_workers=num_workers, timeout=timeout)

        if sampler is None and not isinstance(dataset, IterableDataset):
            sampler = (
                RandomSampler(dataset, generator=generator)
                if shuffle
                else SequentialSampler(dataset)
            )
        if batch_size is not None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        collates = batch_size is not None or batch_sampler is not None

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.drop_last = drop_last
        self.generator = generator
        self.collate_fn = collate_fn or (default_collate if collates else default_convert)
        self.num_workers = num_workers
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.prefetch_factor = prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory_device = pin_memory_device
        self.in_order = in_order
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        # The samplers were made from these: a change would have half an effect, or none.
        if name in self._FIXED and hasattr(self, "_ready"):
            raise ValueError(
                message("DataLoader", f"{name} cannot be changed.", do="make a new DataLoader")
            )
        super().__setattr__(name, value)

    def __iter__(self) -> Iterator:
        if isinstance(self.dataset, IterableDataset):
            return self._stream()
        if self.batch_sampler is None:
            return (self.collate_fn(self.dataset[index]) for index in self.sampler)
        return (self._batch(list(indices)) for indices in self.batch_sampler)

    def _batch(self, indices: list) -> Any:
        if self.collate_fn is default_collate:
            batch = collated(self.dataset, indices)
            if batch is not NotImplemented:
                return batch
        return self.collate_fn(samples(self.dataset, indices))

    def _stream(self) -> Iterator:
        stream = iter(self.dataset)
        if self.batch_size is None:
            yield from map(self.collate_fn, stream)
            return
        while batch := list(itertools.islice(stream, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield self.collate_fn(batch)

    def __len__(self) -> int:
        """Return the number of batches in a pass."""
        if isinstance(self.dataset, IterableDataset):
            if self.batch_size is None:
                return len(self.dataset)
            return len(BatchSampler(self.dataset, self.batch_size, self.drop_last))
        return len(self.sampler if self.batch_sampler is None else self.batch_sampler)


def _exclude(given: str, **others: bool) -> None:
    """Raise if any of `others` is given although `given` is."""
    if extra := ", ".join(name for name, is_given in others.items() if is_given):
        raise ValueError(
            message("DataLoader", f"{given} excludes {extra}.", do=f"leave out {extra}")
        )


def _check_not_negative(**options) -> None:
    for name, value in options.items():
        if not value >= 0:
            raise ValueError(message("DataLoader", f"{name} is negative.", actual=value))
