"""Datasets, samplers, collating and the loader beside PyTorch's own."""

from __future__ import annotations

import warnings
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad.utils import data as ours
from minigrad.vision import transforms

torch = pytest.importorskip("torch")
theirs = pytest.importorskip("torch.utils.data")

FEW = settings(max_examples=60, deadline=None)
Point = namedtuple("Point", "x y")


def plain(value):
    """A nest of lists, tuples and dicts, with tensors of either kind as (dtype, shape, values)."""
    if isinstance(value, (minigrad.Tensor, torch.Tensor)):
        dtype = str(value.dtype).replace("torch.", "")
        return dtype, tuple(value.shape), value.numpy().tolist()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value).__name__, [plain(part) for part in value]
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.tolist()
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [plain(part) for part in value]
    return value


def outcome(function):
    """What the function returns, or the family of its error."""
    try:
        return plain(function())
    except (ValueError, TypeError, AssertionError, RuntimeError, LookupError, ArithmeticError):
        return "refused"


arrays = {
    "x": np.arange(24, dtype=np.float32).reshape(12, 2),
    "y": np.arange(12),
    "z": np.arange(12, dtype=np.uint8),
}


def tensor_dataset(library, tensor):
    return library.TensorDataset(*(tensor(array) for array in arrays.values()))


PAIR = ((ours, minigrad.tensor), (theirs, torch.tensor))


@FEW
@given(
    batch_size=st.integers(1, 14),
    drop_last=st.booleans(),
    subset=st.none() | st.lists(st.integers(-12, 11), max_size=15),
    sampler=st.none() | st.lists(st.integers(0, 5), max_size=9),
)
def test_loader(batch_size, drop_last, subset, sampler):
    results = []
    for library, tensor in PAIR:
        dataset = tensor_dataset(library, tensor)
        if subset is not None:
            dataset = library.Subset(dataset, subset)
        loader = library.DataLoader(dataset, batch_size, drop_last=drop_last, sampler=sampler)
        results.append((len(loader), outcome(lambda loader=loader: list(loader))))
    assert results[0] == results[1]


@FEW
@given(st.data())
def test_random_split(data):
    total = data.draw(st.integers(0, 40))
    if data.draw(st.booleans()):
        lengths = data.draw(st.lists(st.integers(0, 12), min_size=1, max_size=4))
        if data.draw(st.booleans()):
            total = sum(lengths)
    else:
        weights = data.draw(st.lists(st.integers(1, 10), min_size=1, max_size=6))
        lengths = [weight / sum(weights) for weight in weights]
        if sum(lengths) > 1:  # there PyTorch refuses what is meant as 1
            lengths = [1.0]

    def sizes(library):
        parts = library.random_split(range(total), lengths)
        assert sorted(i for part in parts for i in part.indices) == list(range(total))
        return [len(part) for part in parts]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert outcome(lambda: sizes(ours)) == outcome(lambda: sizes(theirs))


SAMPLES = {
    "int": [1, 2],
    "float": [1.5, 2.0],
    "int then float": [1, 2.5],
    "bool": [True, False],
    "text": ["a", "b"],
    "bytes": [b"a", b"b"],
    "tuples": [(1, "a", 2.0), (2, "b", 3.0)],
    "lists": [[1, [2.0]], [3, [4.0]]],
    "named": [Point(1, 2.0), Point(3, 4.0)],
    "dicts": [{"a": 1, "b": (2, "c")}, {"a": 3, "b": (4, "d")}],
    "arrays": [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)],
    "0-d arrays": [np.array(1.0), np.array(2.0)],
    "float32 scalars": [np.float32(1), np.float32(2)],
    "float64 scalars": [np.float64(1), np.float64(2)],
    "int16 scalars": [np.int16(1), np.int16(2)],
    "bool scalars": [np.bool_(True), np.bool_(False)],
    "array and int": [(np.arange(3, dtype=np.uint8), 1), (np.arange(3, dtype=np.uint8), 2)],
    "empty tuples": [(), ()],
    "none": [None, None],
    "sets": [{1}, {2}],
    "objects": [np.array([None]), np.array([None])],
    "texts in arrays": [np.array(["a"]), np.array(["b"])],
    "ragged arrays": [np.ones(2), np.ones(3)],
    "ragged tuples": [(1, 2), (1,)],
    "other keys": [{"a": 1}, {"b": 1}],
    "nothing": [],
}


@pytest.mark.parametrize("kind", SAMPLES)
def test_default_collate(kind):
    samples = SAMPLES[kind]
    assert outcome(lambda: ours.default_collate(samples)) == outcome(
        lambda: theirs.default_collate(samples)
    )


@pytest.mark.parametrize("values", [[[1.0, 2], [3.0, 4]], [[1, 2], [3, 4]], [[1.0], [2.0, 3.0]]])
def test_default_collate_of_tensors(values):
    results = [
        outcome(lambda t=tensor, li=library: li.default_collate([t(v) for v in values]))
        for library, tensor in PAIR
    ]
    assert results[0] == results[1]


@pytest.mark.parametrize("kind", [k for k in SAMPLES if k not in ("none", "sets", "nothing")])
def test_without_batches(kind):
    results = [
        outcome(lambda li=li: list(li.DataLoader(SAMPLES[kind], batch_size=None)))
        for li in (ours, theirs)
    ]
    assert results[0] == results[1]


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "batch_size": st.sampled_from([None, 1, 2, 0, -3]),
        "shuffle": st.sampled_from([None, False, True]),
        "sampler": st.sampled_from([None, [0, 3]]),
        "batch_sampler": st.sampled_from([None, [[0, 1], [2]]]),
        "drop_last": st.booleans(),
        "num_workers": st.sampled_from([0, -1]),
        "timeout": st.sampled_from([0, -2]),
    },
)


@settings(max_examples=300, deadline=None)
@given(options=OPTIONS, size=st.sampled_from([0, 5]), stream=st.booleans())
def test_the_same_options_are_refused(options, size, stream):
    def lengths(library):
        class Stream(library.IterableDataset):
            def __iter__(self):
                return iter(range(size))

        dataset = Stream() if stream else list(range(size))
        batches = list(library.DataLoader(dataset, **options))
        return sorted(len(batch) if np.ndim(batch) else -1 for batch in batches)

    assert outcome(lambda: lengths(ours)) == outcome(lambda: lengths(theirs))


@FEW
@given(
    size=st.integers(0, 9),
    num_samples=st.none() | st.integers(-1, 25),
    replacement=st.booleans(),
)
def test_random_sampler_lengths(size, num_samples, replacement):
    def counts(library):
        sampler = library.RandomSampler(range(size), replacement, num_samples)
        drawn = list(sampler)
        assert len(drawn) == len(sampler)
        assert all(0 <= i < size for i in drawn)
        times = np.bincount(drawn, minlength=size)
        return len(drawn), None if replacement else (int(times.min()), int(times.max()))

    assert outcome(lambda: counts(ours)) == outcome(lambda: counts(theirs))


def test_weighted_sampler_shares():
    minigrad.manual_seed(0)
    torch.manual_seed(0)
    weights = [0.5, 0, 3, 1.5, 0.001]
    shares = []
    for library in (ours, theirs):
        sampler = library.WeightedRandomSampler(weights, 20_000)
        shares.append(np.bincount(list(sampler), minlength=5) / 20_000)
    np.testing.assert_allclose(*shares, atol=0.02)
    # Without replacement too: the chance that an index is among the first two of three.
    shares = []
    for library in (ours, theirs):
        drawn = [
            i
            for _ in range(3000)
            for i in library.WeightedRandomSampler([1, 2, 5], 2, replacement=False)
        ]
        shares.append(np.bincount(drawn) / 3000)
    np.testing.assert_allclose(*shares, atol=0.06)


@FEW
@given(sizes=st.lists(st.integers(0, 4), max_size=5), index=st.integers(-12, 12))
def test_concat(sizes, index):
    def item(library):
        return library.ConcatDataset([range(10 * i, 10 * i + n) for i, n in enumerate(sizes)])[
            index
        ]

    assert outcome(lambda: item(ours)) == outcome(lambda: item(theirs))


def test_transforms_divide_as_torch_does():
    """torchvision's formulas, in torch's own arithmetic."""
    image = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    expected = torch.from_numpy(image).permute(2, 0, 1).contiguous().to(torch.float32).div(255)
    tensor = transforms.ToTensor()(image)
    np.testing.assert_array_equal(tensor.numpy(), expected.numpy())
    mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
    column = [torch.as_tensor(v, dtype=torch.float32).view(-1, 1, 1) for v in (mean, std)]
    np.testing.assert_array_equal(
        transforms.Normalize(mean, std)(tensor).numpy(),
        expected.sub(column[0]).div(column[1]).numpy(),
    )
