"""Datasets, samplers, collating and the DataLoader."""

from __future__ import annotations

from collections import OrderedDict, namedtuple

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad.utils import data
from minigrad.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


def assert_same(a, b):
    """Equal in structure, types, dtypes and values."""
    assert type(a) is type(b)
    if isinstance(a, minigrad.Tensor):
        assert a.dtype == b.dtype and a.shape == b.shape
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    elif isinstance(a, dict):
        assert list(a) == list(b)
        assert_same(list(a.values()), list(b.values()))
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same(x, y)
    else:
        assert a == b


class Squares(Dataset):
    """Plain samples: (index, its square as a float)."""

    def __init__(self, size=10):
        self.size = size

    def __getitem__(self, index):
        if not -self.size <= index < self.size:
            raise IndexError(index)
        return index, float(index**2)

    def __len__(self):
        return self.size


class Count(IterableDataset):
    def __init__(self, size):
        self.size = size

    def __iter__(self):
        return iter(range(self.size))


def tensors(size=10):
    rng = np.random.default_rng(size)
    return TensorDataset(
        minigrad.tensor(rng.standard_normal((size, 3)).astype(np.float32)),
        minigrad.tensor(np.arange(size)),
    )


def indices_of(loader):
    """Every sample index of a pass over a loader of `Squares`, in order."""
    return [int(i) for indices, _ in loader for i in indices.numpy()]


# -------------------------------------------------------------------------------------- datasets


def test_a_tensor_dataset_gives_tuples():
    dataset = tensors()
    x, y = dataset[3]
    assert isinstance(dataset[3], tuple) and len(dataset) == 10
    np.testing.assert_array_equal(x.numpy(), dataset.tensors[0].numpy()[3])
    assert y.item() == 3
    assert len(list(dataset)) == 10  # the end of a dataset ends a plain loop


def test_a_tensor_dataset_takes_arrays():
    x, y = TensorDataset(np.ones((4, 2)), np.arange(4))[1]
    assert isinstance(x, minigrad.Tensor) and y.item() == 1


@pytest.mark.parametrize(
    "arguments", [(), (np.ones(3), np.ones(4)), (np.float32(1),)], ids=["none", "sizes", "scalar"]
)
def test_a_tensor_dataset_refuses(arguments):
    with pytest.raises(ValueError, match="TensorDataset"):
        TensorDataset(*arguments)


@pytest.mark.parametrize("indices", [[4, 1, 1], range(2, 5), np.array([7, 0]), "tensor"])
def test_a_subset_follows_its_indices(indices):
    indices = minigrad.tensor([5, 6]) if isinstance(indices, str) else indices
    expected = [int(i) for i in indices]
    subset = Subset(Squares(), indices)
    assert len(subset) == len(expected)
    assert [subset[i] for i in range(len(subset))] == [(i, float(i**2)) for i in expected]
    assert [i for i, _ in subset.__getitems__([0, 1])] == expected[:2]


def test_concatenated_datasets():
    joined = Squares(3) + Squares(0) + Squares(2)
    assert isinstance(joined, ConcatDataset)
    assert [joined[i][0] for i in range(5)] == [0, 1, 2, 0, 1]
    assert [joined[i][0] for i in range(-5, 0)] == [0, 1, 2, 0, 1]
    assert len(ConcatDataset([Squares(3), Squares(4)])) == 7
    assert ConcatDataset([Squares(3), Squares(4)]).cumulative_sizes == [3, 7]
    for index in (5, -6):
        with pytest.raises(IndexError, match="ConcatDataset"):
            joined[index]
    with pytest.raises(ValueError, match="no dataset"):
        ConcatDataset([])
    with pytest.raises(TypeError, match="IterableDataset"):
        ConcatDataset([Count(3)])


@pytest.mark.parametrize("base", [Dataset, IterableDataset, data.Sampler])
def test_a_class_without_its_method_says_so(base):
    class Forgotten(base):
        pass

    with pytest.raises(NotImplementedError, match="Forgotten"):
        Forgotten()[0] if base is Dataset else iter(Forgotten())


@pytest.mark.parametrize(
    ("size", "lengths", "expected"),
    [
        (10, [3, 7], [3, 7]),
        (10, [10, 0], [10, 0]),
        (10, [0.3, 0.3, 0.4], [3, 3, 4]),
        (11, [0.3, 0.3, 0.4], [4, 3, 4]),  # 3, 3, 4 rounded down, one left over
        (17, [0.1] * 10, [2] * 7 + [1] * 3),
        (1437, [0.9, 0.1], [1294, 143]),
        (0, [0], [0]),
    ],
)
def test_random_split_sizes(size, lengths, expected):
    parts = random_split(Squares(size), lengths)
    assert [len(part) for part in parts] == expected
    assert sorted(i for part in parts for i in part.indices) == list(range(size))


def test_random_split_follows_its_generator():
    def split(seed):
        generator = minigrad.Generator().manual_seed(seed)
        return [part.indices for part in random_split(Squares(50), [20, 30], generator=generator)]

    assert split(1) == split(1) != split(2)
    minigrad.manual_seed(0)
    first = random_split(Squares(50), [20, 30])[0].indices
    assert random_split(Squares(50), [20, 30])[0].indices != first
    minigrad.manual_seed(0)
    assert random_split(Squares(50), [20, 30])[0].indices == first


@pytest.mark.parametrize(
    "lengths", [[3, 6], [12, -2], [0.5, 0.4], [1.5, -0.5], [float("nan"), 1], []]
)
def test_random_split_refuses(lengths):
    with pytest.raises(ValueError, match="random_split"):
        random_split(Squares(10), lengths)
    with pytest.raises(TypeError):
        random_split(Squares(10), [2.5, 7.5])


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="part 1 is empty"):
        random_split(Squares(3), [0.9, 0.1])


# -------------------------------------------------------------------------------------- samplers


def test_random_sampler_permutes():
    sampler = RandomSampler(range(20))
    first, second = list(sampler), list(sampler)
    assert first != second and sorted(first) == sorted(second) == list(range(20))
    assert len(sampler) == 20 and all(type(i) is int for i in first)


def test_random_sampler_num_samples():
    assert len(list(RandomSampler(range(20), num_samples=7))) == 7
    longer = list(RandomSampler(range(5), num_samples=12))
    assert sorted(longer[:5]) == sorted(longer[5:10]) == list(range(5)) and len(longer) == 12
    drawn = list(RandomSampler(range(5), replacement=True, num_samples=500))
    assert np.bincount(drawn).min() > 60 and len(drawn) == 500


def test_subset_random_sampler():
    sampler = SubsetRandomSampler([3, 5, 8, 13, 21], generator=np.random.default_rng(0))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == [3, 5, 8, 13, 21] and first != second
    assert len(sampler) == 5


def test_weighted_random_sampler():
    weights = [1, 0, 3, 4]
    sampler = WeightedRandomSampler(weights, 8000, generator=np.random.default_rng(0))
    counts = np.bincount(list(sampler), minlength=4)
    assert len(sampler) == 8000
    np.testing.assert_allclose(counts / 8000, np.array(weights) / 8, atol=0.03)
    once = WeightedRandomSampler(minigrad.tensor([1.0, 0, 3, 4]), 3, replacement=False)
    assert all(sorted(once) == [0, 2, 3] for _ in range(20))


@pytest.mark.parametrize(
    ("weights", "num_samples", "replacement"),
    [
        ([], 1, True),
        ([0, 0], 1, True),
        ([1, -1], 1, True),
        ([1, float("nan")], 1, True),
        ([1, float("inf")], 1, True),
        ([[1, 2]], 1, True),
        ([1, 2, 0], 3, False),
        ([1, 2], 0, True),
    ],
)
def test_weighted_random_sampler_refuses(weights, num_samples, replacement):
    with pytest.raises(ValueError, match="WeightedRandomSampler"):
        WeightedRandomSampler(weights, num_samples, replacement)


@pytest.mark.parametrize(
    ("drop_last", "expected"),
    [(False, [[0, 1, 2], [3, 4, 5], [6]]), (True, [[0, 1, 2], [3, 4, 5]])],
)
def test_batch_sampler(drop_last, expected):
    sampler = BatchSampler(SequentialSampler(range(7)), 3, drop_last)
    assert list(sampler) == list(sampler) == expected and len(sampler) == len(expected)
    assert (
        len(BatchSampler(range(6), 3, drop_last))
        == 2
        == len(list(BatchSampler(range(6), 3, drop_last)))
    )
    assert len(BatchSampler(range(2), 3, drop_last)) == len(
        list(BatchSampler(range(2), 3, drop_last))
    )


@pytest.mark.parametrize(
    ("value", "error"),
    [(0, ValueError), (-1, ValueError), (2.0, TypeError), (True, TypeError), ("3", TypeError)],
)
def test_sizes_are_positive_integers(value, error):
    with pytest.raises(error, match="batch_size"):
        BatchSampler(range(5), value, False)
    with pytest.raises(error, match="batch_size"):
        DataLoader(Squares(), batch_size=value)
    with pytest.raises(error, match="num_samples"):
        RandomSampler(range(5), num_samples=value)
    with pytest.raises(error, match="num_samples"):
        WeightedRandomSampler([1.0], num_samples=value)


def test_flags_are_booleans():
    with pytest.raises(TypeError, match="drop_last"):
        BatchSampler(range(5), 2, "no")
    with pytest.raises(TypeError, match="replacement"):
        RandomSampler(range(5), replacement=3)
    with pytest.raises(TypeError, match="replacement"):
        WeightedRandomSampler([1.0], 1, replacement=None)


# --------------------------------------------------------------------------------------- collate

Pair = namedtuple("Pair", "x y")


@pytest.mark.parametrize(
    ("batch", "dtype", "values"),
    [
        ([1, 2, 3], "int64", [1, 2, 3]),
        ([1.5, 2.5], "float64", [1.5, 2.5]),
        ([True, False], "bool", [True, False]),
        ([np.float32(1), np.float32(2)], "float32", [1, 2]),
        ([np.float64(1), np.float64(2)], "float64", [1, 2]),
        ([np.arange(2, dtype="u1")] * 2, "uint8", [[0, 1], [0, 1]]),
        ([np.bool_(True)], "bool", [True]),
    ],
)
def test_collate_numbers_and_arrays(batch, dtype, values):
    result = default_collate(batch)
    assert isinstance(result, minigrad.Tensor) and result.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(result.numpy(), values)


def test_collate_keeps_the_graph():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    (default_collate([x, 2 * x]) ** 2).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [10, 20])


def test_collate_containers():
    assert default_collate(["a", "b"]) == ["a", "b"]
    assert default_collate([b"a", b"b"]) == [b"a", b"b"]
    assert default_collate([np.str_("a")]) == ["a"]
    for samples in ([(1, "a"), (2, "b")], [[1, "a"], [2, "b"]]):
        assert_same(default_collate(samples), [minigrad.tensor([1, 2]), ("a", "b")])
    named = default_collate([Pair(1, 2.0), Pair(3, 4.0)])
    assert isinstance(named, Pair) and named.y.dtype == np.float64
    assert_same(named.x, minigrad.tensor([1, 3]))
    mapped = default_collate([OrderedDict(a=1, b=("x", 2)), OrderedDict(a=3, b=("y", 4))])
    assert type(mapped) is OrderedDict
    assert_same(mapped["a"], minigrad.tensor([1, 3]))
    assert_same(mapped["b"], [("x", "y"), minigrad.tensor([2, 4])])


@pytest.mark.parametrize(
    ("batch", "error", "text"),
    [
        ([], ValueError, "no samples"),
        ([None, None], TypeError, "NoneType"),
        ([{1}, {2}], TypeError, "set"),
        ([np.array([None])], TypeError, "object"),
        ([np.array(["a"])], TypeError, "<U1"),
        ([np.ones(2), None], ValueError, "None at sample 1"),
        ([np.ones(2), np.ones(2), np.ones(3)], ValueError, r"\(3,\) at sample 2"),
        ([(1, 2), (1,)], ValueError, "lengths"),
        ([{"a": 1}, {"b": 1}], ValueError, "keys"),
    ],
)
def test_collate_refuses(batch, error, text):
    with pytest.raises(error, match=text):
        default_collate(batch)


def test_collate_names_the_tensor_of_another_shape():
    with pytest.raises(ValueError, match=r"\(3,\) at sample 1"):
        default_collate([minigrad.zeros(2), minigrad.zeros(3)])


# ---------------------------------------------------------------------------------------- loader


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 11])
def test_loader_covers_the_dataset(batch_size, drop_last):
    loader = DataLoader(Squares(10), batch_size, drop_last=drop_last)
    batches = list(loader)
    assert len(batches) == len(loader) == (10 // batch_size if drop_last else -(-10 // batch_size))
    expected = list(range(10 - 10 % batch_size if drop_last else 10))
    assert indices_of(loader) == expected
    for indices, squares in batches:
        assert indices.dtype == np.int64 and squares.dtype == np.float64
        np.testing.assert_array_equal(squares.numpy(), indices.numpy() ** 2)


def test_shuffle_is_another_order_each_pass_and_repeats_with_the_seed():
    loader = DataLoader(Squares(30), 7, shuffle=True)
    minigrad.manual_seed(5)
    first, second = indices_of(loader), indices_of(loader)
    assert first != second and sorted(first) == sorted(second) == list(range(30))
    minigrad.manual_seed(5)
    assert [indices_of(loader), indices_of(loader)] == [first, second]

    def with_generator(generator):
        return indices_of(DataLoader(Squares(30), 7, shuffle=True, generator=generator))

    before = minigrad.get_rng_state()
    assert with_generator(minigrad.Generator().manual_seed(3)) == with_generator(
        np.random.default_rng(3)
    )
    assert minigrad.get_rng_state() == before  # a generator of its own leaves the default alone


def test_two_passes_at_once_do_not_disturb_each_other():
    loader = DataLoader(Squares(6), 2)
    pairs = [(a[0].numpy().tolist(), b[0].numpy().tolist()) for a in loader for b in loader]
    assert len(pairs) == 9 and pairs[0] == ([0, 1], [0, 1]) and pairs[-1] == ([4, 5], [4, 5])


def test_loader_takes_samplers():
    assert indices_of(DataLoader(Squares(), 2, sampler=[7, 3, 5])) == [7, 3, 5]
    loader = DataLoader(Squares(), batch_sampler=[(1, 2), [9], np.array([0, 4, 5])])
    assert [len(x) for x, _ in loader] == [2, 1, 3] and len(loader) == 3
    assert indices_of(loader) == [1, 2, 9, 0, 4, 5]
    fast = DataLoader(tensors(), batch_sampler=[(1, 2), np.array([0, 4])])
    assert [y.numpy().tolist() for _, y in fast] == [[1, 2], [0, 4]]


def test_without_batches():
    arrays = [np.ones(2), np.zeros(3)]
    result = list(DataLoader(arrays, batch_size=None))
    assert_same(result, [minigrad.tensor(a) for a in arrays])
    assert list(DataLoader(Squares(3), batch_size=None)) == [[0, 0.0], [1, 1.0], [2, 4.0]]
    assert len(DataLoader(Squares(3), batch_size=None)) == 3
    assert list(DataLoader(Count(3), batch_size=None)) == [0, 1, 2]


@pytest.mark.parametrize("drop_last", [False, True])
def test_streams(drop_last):
    loader = DataLoader(Count(7), 3, drop_last=drop_last)
    expected = [[0, 1, 2], [3, 4, 5], [6]][: 2 if drop_last else 3]
    for _ in range(2):
        assert [batch.numpy().tolist() for batch in loader] == expected
    with pytest.raises(TypeError):
        len(loader)

    class Sized(Count):
        def __len__(self):
            return self.size

    assert len(DataLoader(Sized(7), 3, drop_last=drop_last)) == len(expected)


def test_an_own_collate_gets_the_list_of_samples():
    seen = []
    loader = DataLoader(tensors(5), 2, collate_fn=lambda batch: seen.append(batch) or len(batch))
    assert list(loader) == [2, 2, 1]
    assert all(type(batch) is list and type(batch[0]) is tuple for batch in seen)


def test_options_of_worker_processes_change_nothing():
    plain = DataLoader(Squares(), 3)
    with_all = DataLoader(
        Squares(),
        3,
        num_workers=4,
        pin_memory=True,
        timeout=3,
        worker_init_fn=print,
        multiprocessing_context="fork",
        prefetch_factor=2,
        persistent_workers=True,
        pin_memory_device="cuda",
        in_order=False,
    )
    assert_same(list(plain), list(with_all))
    assert data.get_worker_info() is None


@pytest.mark.parametrize(
    "options",
    [
        {"shuffle": True, "sampler": [1]},
        {"batch_sampler": [[1]], "batch_size": 2},
        {"batch_sampler": [[1]], "batch_size": None},
        {"batch_sampler": [[1]], "shuffle": True},
        {"batch_sampler": [[1]], "sampler": [1]},
        {"batch_sampler": [[1]], "drop_last": True},
        {"batch_size": None, "drop_last": True},
        {"num_workers": -1},
        {"timeout": -1},
        {"timeout": float("nan")},
    ],
    ids=str,
)
def test_loader_refuses(options):
    with pytest.raises(ValueError, match="DataLoader"):
        DataLoader(Squares(), **options)


@pytest.mark.parametrize("options", [{"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}])
def test_loader_refuses_for_streams(options):
    with pytest.raises(ValueError, match="IterableDataset"):
        DataLoader(Count(3), **options)


def test_loader_of_nothing():
    assert list(DataLoader(Squares(0), 3)) == [] and len(DataLoader(Squares(0), 3)) == 0
    with pytest.raises(ValueError, match="no samples"):
        DataLoader(Squares(0), 3, shuffle=True)


def test_a_loader_does_not_change():
    loader = DataLoader(Squares(), 3)
    for name in ("batch_size", "sampler", "batch_sampler", "drop_last", "dataset"):
        with pytest.raises(ValueError, match=name):
            setattr(loader, name, None)
    loader.collate_fn = len
    assert list(loader) == [3, 3, 3, 1]


def test_a_wrong_generator_is_named():
    with pytest.raises(TypeError, match="generator"):
        list(DataLoader(Squares(), shuffle=True, generator=0))


# --------------------------------------------------------------------- fast batches are the same


class Spied(TensorDataset):
    """Counts how often it is asked for a whole batch."""

    asked = 0

    def collated(self, indices):
        Spied.asked += 1
        return super().collated(indices)


def spied(size=12):
    Spied.asked = 0
    return Spied(*tensors(size).tensors)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda d: d,
        lambda d: Subset(d, [3, 3, 0, 11, 5]),
        lambda d: Subset(Subset(d, range(1, 12, 2)), [4, 0, 2]),
        lambda d: random_split(d, [5, 7])[1],
        lambda d: random_split(d, [0.5, 0.5])[0],
    ],
    ids=["itself", "subset", "subset of a subset", "counts", "fractions"],
)
@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_fast_batches_equal_slow_ones(wrap, batch_size):
    dataset = wrap(spied())
    fast = list(DataLoader(dataset, batch_size))
    assert Spied.asked == len(fast)
    slow = list(DataLoader(dataset, batch_size, collate_fn=lambda batch: default_collate(batch)))
    assert Spied.asked == len(fast)
    assert_same(fast, slow)


def test_an_own_getitem_is_obeyed():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            x, y = super().__getitem__(index)
            return 2 * x, y

    class Shifted(Subset):
        def __getitem__(self, index):
            return self.dataset[self.indices[index]][1] + 100

    plain = tensors(6)
    doubled = Doubled(*plain.tensors)
    for dataset in (doubled, Subset(doubled, range(6)), random_split(doubled, [1.0])[0]):
        dataset.indices = list(range(6))
        ((x, _),) = DataLoader(dataset, 6)
        np.testing.assert_array_equal(x.numpy(), 2 * plain.tensors[0].numpy())
    ((y),) = DataLoader(Shifted(plain, [2, 4]), 2)
    assert y.numpy().tolist() == [102, 104]
    ((y),) = DataLoader(Subset(Shifted(plain, [2, 4]), [1]), 2)
    assert y.numpy().tolist() == [104]


def test_an_own_getitem_with_its_own_collated_is_fast():
    class Both(TensorDataset):
        def __getitem__(self, index):
            return -self.tensors[1][index]

        def collated(self, indices):
            Both.asked = True
            return -self.tensors[1][indices]

    (y,) = DataLoader(Both(*tensors(4).tensors), 4)
    assert Both.asked and y.numpy().tolist() == [0, -1, -2, -3]


def test_getitems_is_asked_for_the_list_of_samples():
    class Many(Squares):
        def __getitems__(self, indices):
            Many.asked = indices
            return [(i, -1.0) for i in indices]

    loader = DataLoader(Many(5), 5)
    assert_same(
        list(loader),
        [[minigrad.tensor([0, 1, 2, 3, 4]), minigrad.tensor([-1.0] * 5, dtype=minigrad.float64)]],
    )
    subset = Subset(Many(5), [4, 2])
    assert_same(list(DataLoader(subset, 2))[0][0], minigrad.tensor([4, 2]))
    assert Many.asked == [4, 2]

    class Again(Many):
        def __getitem__(self, index):
            return index, 7.0

    assert list(DataLoader(Again(2), 2))[0][1].numpy().tolist() == [7, 7]


def test_fast_batches_carry_gradients():
    x = minigrad.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    (batch,) = DataLoader(TensorDataset(x), batch_sampler=[[2, 0, 2]])
    batch[0].sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[1, 1], [0, 0], [2, 2]])


def test_what_is_no_dataset_of_ours_works_too():
    assert [b.numpy().tolist() for b in DataLoader([5, 6, 7], 2)] == [[5, 6], [7]]
    assert [b.numpy().tolist() for b in DataLoader(range(3), 2)] == [[0, 1], [2]]

    class Proxy:
        """Hands on every attribute, so it seems to have the fast way of what it wraps."""

        def __init__(self, inner):
            self.inner = inner

        def __getattr__(self, name):
            return getattr(self.inner, name)

        def __getitem__(self, index):
            return self.inner[index][1] * 10

        def __len__(self):
            return len(self.inner)

    (y,) = DataLoader(Proxy(tensors(3)), 3)
    assert y.numpy().tolist() == [0, 10, 20]


def test_tensors_on_a_device_stay_there(device):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 3)).astype(np.float32), np.arange(7)
    dataset = TensorDataset(make(device, x), make(device, y))
    order = [6, 0, 3, 3]
    ways = [{"sampler": order}, {"sampler": order, "collate_fn": lambda b: default_collate(b)}]
    for options in ways:
        ((xs, ys),) = DataLoader(dataset, 4, **options)
        assert xs.device == ys.device == dataset.tensors[0].device
        np.testing.assert_array_equal(arr(xs), x[order])
        np.testing.assert_array_equal(arr(ys), y[order])
    (batch,) = DataLoader(TensorDataset(make(device, x, requires_grad=True)), 7)
    assert batch[0].requires_grad
