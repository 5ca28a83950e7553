"""New tensors: dtypes, copies and shared memory, ranges, and what is drawn at random.

The values and dtypes are compared with PyTorch in ``torch/test_ops_torch.py``.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from helpers import arr

import minigrad
from minigrad import Tensor


@pytest.fixture(autouse=True)
def on_device(device):
    with minigrad.device(device):
        yield


# ---------------------------------------------------------------------------------- from numbers


@pytest.mark.parametrize(
    "data, dtype, shape",
    [
        (1, "int64", ()),
        (1.5, "float32", ()),
        (True, "bool", ()),
        ([], "float32", (0,)),
        ([[]], "float32", (1, 0)),
        ([1, 2], "int64", (2,)),
        ([1, 2.5], "float32", (2,)),
        ([True, 2], "int64", (2,)),
        ([[1, 2], [3, 4]], "int64", (2, 2)),
        (range(3), "int64", (3,)),
        (np.float64(2), "float64", ()),
        (np.arange(3, dtype="i2"), "int16", (3,)),
        (np.ones(2, "f2"), "float16", (2,)),
        (np.ones((2, 1), ">f4"), "float32", (2, 1)),
        (np.ones(4)[::-2], "float64", (2,)),
        (float("nan"), "float32", ()),
        (-(2**63), "int64", ()),
    ],
)
def test_tensor(data, dtype, shape):
    x = minigrad.tensor(data)
    assert x.dtype == dtype and tuple(x.shape) == shape and not x.requires_grad
    assert x.dtype.isnative
    np.testing.assert_array_equal(arr(x), np.array(data))
    assert minigrad.tensor(data, dtype=minigrad.float64).dtype == minigrad.float64


def test_tensors_in_lists():
    parts = [minigrad.tensor(1.0), minigrad.tensor(2.0, requires_grad=True)]
    x = minigrad.tensor(parts)
    assert x.tolist() == [1, 2] and not x.requires_grad
    assert minigrad.tensor([minigrad.ones(2), minigrad.zeros(2)]).tolist() == [[1, 1], [0, 0]]


def test_tensor_copies_and_as_tensor_shares():
    a = np.ones(3)
    x = minigrad.tensor(a)
    a[0] = 5
    assert x.tolist() == [1, 1, 1]
    y = minigrad.tensor(x)
    y.zero_()
    assert x.tolist() == [1, 1, 1]
    assert minigrad.as_tensor(x) is x
    assert minigrad.as_tensor(x, dtype=minigrad.float32) is not x
    assert minigrad.as_tensor([1, 2]).dtype == minigrad.int64
    w = minigrad.ones(1, requires_grad=True)
    assert minigrad.as_tensor(w) is w and not minigrad.tensor(w).requires_grad


@pytest.mark.cpu_only
def test_from_numpy_shares(device):
    a = np.ones(3)
    x, y = minigrad.from_numpy(a), minigrad.as_tensor(a)
    x.mul_(2)
    assert a.tolist() == y.tolist() == [2, 2, 2]
    fixed = np.ones(3)
    fixed.setflags(write=False)
    with pytest.raises(RuntimeError, match="read-only"):
        minigrad.from_numpy(fixed).zero_()
    assert (minigrad.from_numpy(fixed) * 2).tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    "data, error, words",
    [
        ("text", TypeError, "not numbers"),
        (None, TypeError, "not numbers"),
        ([1, None], TypeError, "not numbers"),
        (1j, TypeError, "not numbers"),
        ({"a": 1}, TypeError, "not numbers"),
        ((n for n in range(3)), TypeError, "not numbers"),
        ([[1, 2], [3]], ValueError, "different lengths"),
        (2**63, ValueError, "too large for int64"),
        (2**70, TypeError, "not numbers"),
        (np.array(["a"]), TypeError, "not a dtype of tensors"),
        (np.array([1j]), TypeError, "not a dtype of tensors"),
        (np.array([None]), TypeError, "not a dtype of tensors"),
    ],
)
def test_what_is_no_tensor(data, error, words):
    with pytest.raises(error, match=words) as caught:
        minigrad.tensor(data)
    assert str(caught.value).startswith("tensor: ")


def test_from_numpy_is_for_arrays_of_this_machine():
    with pytest.raises(TypeError, match=r"use minigrad.tensor"):
        minigrad.from_numpy([1, 2])
    with pytest.raises(TypeError, match="not a dtype"):
        minigrad.from_numpy(np.array(["a"]))
    with pytest.raises(TypeError, match="order"):
        minigrad.from_numpy(np.ones(2, ">f4" if np.dtype("<f4").isnative else "<f4"))


def test_a_tensor_around_an_array():
    a = minigrad.zeros(2).array
    assert Tensor(a).array is a
    assert Tensor([1, 2]).dtype == Tensor(3).dtype == minigrad.float32
    assert Tensor(np.float64(3)).dtype == minigrad.float64


# ------------------------------------------------------------------------------ filled, counted

FILLED = {
    "zeros": (minigrad.zeros, 0),
    "ones": (minigrad.ones, 1),
    "full": (lambda *size, **k: minigrad.full(size[0] if len(size) == 1 else size, 7, **k), 7),
    "empty": (lambda *size, **k: minigrad.empty(*size, **k).fill_(3), 3),
}


@pytest.mark.parametrize("name", FILLED)
def test_filled(name):
    f, value = FILLED[name]
    for size, shape in (
        ((2, 3), (2, 3)),
        (((2, 3),), (2, 3)),
        (([2, 3],), (2, 3)),
        ((4,), (4,)),
        (((),), ()),
        ((0, 2), (0, 2)),
        ((np.int64(2), 1), (2, 1)),
        ((minigrad.zeros(5, 2).shape,), (5, 2)),
    ):
        x = f(*size)
        assert tuple(x.shape) == shape
        np.testing.assert_array_equal(arr(x), np.full(shape, value))
    assert f(2, dtype=minigrad.float64).dtype == minigrad.float64
    assert f(2, dtype=minigrad.int16).dtype == minigrad.int16
    if name != "empty":
        assert f(2, requires_grad=True, dtype=minigrad.float32).requires_grad


def test_full_takes_its_dtype_from_the_value():
    assert minigrad.full((2,), 1).dtype == minigrad.int64
    assert minigrad.full((2,), 1.0).dtype == minigrad.float32
    assert minigrad.full((2,), False).dtype == minigrad.bool
    assert minigrad.full((2,), minigrad.tensor(2.0)).tolist() == [2, 2]


LIKE = {
    "zeros_like": minigrad.zeros_like,
    "ones_like": minigrad.ones_like,
    "empty_like": minigrad.empty_like,
    "full_like": lambda x, **k: minigrad.full_like(x, 3, **k),
    "rand_like": minigrad.rand_like,
    "randn_like": minigrad.randn_like,
}


@pytest.mark.parametrize("name", LIKE)
def test_like(name):
    x = minigrad.zeros(2, 3, dtype=minigrad.float64, requires_grad=True)
    y = LIKE[name](x)
    assert (y.shape, y.dtype, y.device, y.requires_grad) == (x.shape, x.dtype, x.device, False)
    assert LIKE[name](x, dtype=minigrad.float16).dtype == minigrad.float16


def test_new():
    x = minigrad.zeros(2, dtype=minigrad.float64)
    for y in (
        x.new_zeros(2, 3),
        x.new_ones((2, 3)),
        x.new_full((2, 3), 4),
        x.new_tensor([[1] * 3] * 2),
    ):
        assert tuple(y.shape) == (2, 3) and y.dtype == x.dtype and y.device == x.device


def test_counted():
    assert minigrad.arange(5).tolist() == [0, 1, 2, 3, 4]
    assert minigrad.arange(2, 8, 3).tolist() == [2, 5]
    assert minigrad.arange(3, 0, -1).tolist() == [3, 2, 1]
    assert minigrad.arange(0).tolist() == [] and minigrad.arange(0).dtype == minigrad.int64
    assert minigrad.arange(1.0).dtype == minigrad.float32
    np.testing.assert_allclose(arr(minigrad.arange(0, 1, 0.25)), [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(arr(minigrad.linspace(0, 1, 5)), [0, 0.25, 0.5, 0.75, 1])
    assert minigrad.linspace(0, 1, 5, dtype=minigrad.float64).dtype == minigrad.float64
    np.testing.assert_array_equal(arr(minigrad.eye(2, 3)), np.eye(2, 3))
    assert minigrad.arange(3, requires_grad=True, dtype=minigrad.float32).requires_grad


@pytest.mark.parametrize(
    "make_it, error, words",
    [
        (lambda: minigrad.zeros(-1), ValueError, r"negative(.|\n)*\(-1,\)"),
        (lambda: minigrad.ones(2, -3), ValueError, r"negative(.|\n)*\(2, -3\)"),
        (lambda: minigrad.empty((-2,)), ValueError, "negative"),
        (lambda: minigrad.full((2, -1), 0), ValueError, "negative"),
        (lambda: minigrad.rand(-1), ValueError, "negative"),
        (lambda: minigrad.randn(3, -1), ValueError, "negative"),
        (lambda: minigrad.randint(5, (-1,)), ValueError, "negative"),
        (lambda: minigrad.eye(-1), ValueError, "negative"),
        (lambda: minigrad.zeros(2.5), TypeError, r"not an integer(.|\n)*2\.5"),
        (lambda: minigrad.zeros("3"), TypeError, "not an integer"),
        (lambda: minigrad.zeros((2, 1.0)), TypeError, "not an integer"),
        (lambda: minigrad.zeros(None), TypeError, "not an integer"),
        (lambda: minigrad.ones(2).reshape(2.0), TypeError, "not an integer"),
        (lambda: minigrad.arange(0, 5, 0), ValueError, "step is 0"),
        (
            lambda: minigrad.zeros(2, dtype=minigrad.int64, requires_grad=True),
            TypeError,
            "floating",
        ),
        (lambda: minigrad.bernoulli(minigrad.tensor([1.5])), ValueError, "probabilities"),
        (lambda: minigrad.bernoulli(minigrad.tensor([float("nan")])), ValueError, "probabilities"),
        (lambda: minigrad.multinomial(minigrad.tensor([-1.0, 2]), 1), ValueError, "weights"),
        (lambda: minigrad.multinomial(minigrad.zeros(3), 1), ValueError, "weights"),
        (lambda: minigrad.rand(2, generator=3), TypeError, "not a random generator"),
        (lambda: minigrad.manual_seed(1.5), TypeError, "seed"),
        (lambda: minigrad.randint(3, 3, (2,)), ValueError, "low"),
        (lambda: minigrad.zeros(2, device="gpu"), minigrad.DeviceError, "no such device"),
    ],
)
def test_what_cannot_be_made(make_it, error, words):
    with pytest.raises(error, match=words):
        make_it()


# ------------------------------------------------------------------------------ drawn at random

DRAWN = {
    "rand": lambda g=None: minigrad.rand(40, 50, generator=g),
    "randn": lambda g=None: minigrad.randn(40, 50, generator=g),
    "randint": lambda g=None: minigrad.randint(0, 1000, (40, 50), generator=g),
    "randperm": lambda g=None: minigrad.randperm(200, generator=g),
    "normal": lambda g=None: minigrad.normal(3.0, 2.0, (40, 50), generator=g),
    "bernoulli": lambda g=None: minigrad.bernoulli(minigrad.full((40, 50), 0.5), generator=g),
    "multinomial": lambda g=None: minigrad.multinomial(minigrad.ones(9, 20), 10, generator=g),
    "rand_like": lambda g=None: minigrad.rand_like(minigrad.ones(40, 50), generator=g),
    "randn_like": lambda g=None: minigrad.randn_like(minigrad.ones(40, 50), generator=g),
    "normal_": lambda g=None: minigrad.empty(40, 50).normal_(3, 2, generator=g),
    "uniform_": lambda g=None: minigrad.empty(40, 50).uniform_(-2, 3, generator=g),
    "bernoulli_": lambda g=None: minigrad.empty(40, 50).bernoulli_(0.3, generator=g),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_seed_decides_everything(name):
    draw = DRAWN[name]
    minigrad.manual_seed(5)
    first, second = draw().tolist(), draw().tolist()
    assert first != second
    minigrad.manual_seed(5)
    assert draw().tolist() == first
    state = minigrad.get_rng_state()
    assert draw().tolist() == second
    minigrad.set_rng_state(state)
    assert draw().tolist() == second
    assert minigrad.initial_seed() == 5
    generator = minigrad.Generator().manual_seed(5)
    assert draw(generator).tolist() == first
    before = minigrad.get_rng_state()
    assert draw(np.random.default_rng(5)).tolist() == first  # NumPy's, from the same seed
    assert minigrad.get_rng_state() == before  # the default one was not touched


def test_seed_zero_is_a_seed_and_seeds_differ():
    draws = []
    for seed in (0, 0, 1, -1, 2**63):
        minigrad.manual_seed(seed)
        draws.append(minigrad.rand(4).tolist())
    assert draws[0] == draws[1]
    assert len({tuple(d) for d in draws}) == 4
    assert minigrad.seed() != minigrad.seed()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_ranges_and_moments(dtype):
    """Within five standard errors, from a fixed seed."""
    n = 40_000
    u = arr(minigrad.rand(n, dtype=np.dtype(dtype))).astype(float)
    assert (u >= 0).all() and (u < 1).all()
    assert abs(u.mean() - 0.5) < 5 * math.sqrt(1 / 12 / n) + 1e-3 * (dtype == "float16")
    z = arr(minigrad.randn(n, dtype=np.dtype(dtype))).astype(float)
    assert abs(z.mean()) < 5 / math.sqrt(n) and abs(z.std() - 1) < 5 / math.sqrt(2 * n)


def test_drawn_values():
    n = 40_000
    k = arr(minigrad.randint(-3, 4, (n,)))
    assert set(k.tolist()) == set(range(-3, 4)) and abs(k.mean()) < 5 * 2 / math.sqrt(n)
    assert sorted(minigrad.randperm(50).tolist()) == list(range(50))
    assert minigrad.randperm(0).tolist() == []
    z = arr(minigrad.normal(minigrad.tensor([0.0, 100.0]), minigrad.tensor([1.0, 1e-3])))
    assert abs(z[1] - 100) < 0.1 and z.shape == (2,)
    b = arr(minigrad.bernoulli(minigrad.full((n,), 0.3)))
    assert set(b.tolist()) == {0, 1} and abs(b.mean() - 0.3) < 5 * 0.46 / math.sqrt(n)
    assert minigrad.bernoulli(minigrad.tensor([0.0, 1.0])).tolist() == [0, 1]
    u = arr(minigrad.empty(n).uniform_(-2, 3))
    assert u.min() >= -2 and u.max() <= 3 and abs(u.mean() - 0.5) < 5 * 1.44 / math.sqrt(n)


def test_multinomial():
    weights = minigrad.tensor([[0.0, 1.0, 3.0], [5.0, 0.0, 0.0]])
    drawn = arr(minigrad.multinomial(weights, 20_000, replacement=True))
    counts = np.bincount(drawn[0], minlength=3) / 20_000
    assert counts[0] == 0 and abs(counts[2] - 0.75) < 5 * 0.44 / math.sqrt(20_000)
    assert (drawn[1] == 0).all()
    without = arr(minigrad.multinomial(minigrad.ones(30, 6), 6))
    assert (np.sort(without, axis=1) == np.arange(6)).all()


def test_numpys_global_state_is_left_alone():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    minigrad.manual_seed(1)
    for draw in DRAWN.values():
        draw()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_one_seed_gives_the_same_numbers_in_every_precision():
    minigrad.manual_seed(3)
    wide = arr(minigrad.rand(5, dtype=minigrad.float64))
    minigrad.manual_seed(3)
    np.testing.assert_allclose(arr(minigrad.rand(5)), wide, rtol=1e-6)


# --------------------------------------------------------------------------------- on a device


def test_the_device_of_the_block(device):
    kind = minigrad.device(device).type
    new = [
        minigrad.tensor([1.0]),
        minigrad.tensor(np.ones(2)),
        minigrad.as_tensor(np.ones(2)),
        minigrad.zeros(2),
        minigrad.arange(3),
        minigrad.eye(2),
        minigrad.full((2,), 1.0),
        minigrad.randperm(3),
        *[draw() for draw in DRAWN.values()],
    ]
    assert {x.device.type for x in new} == {kind}
    assert minigrad.zeros(2, device="cpu").device.type == "cpu"
    with minigrad.device("cpu"):
        assert minigrad.zeros(2).device.type == "cpu"
        assert minigrad.zeros_like(new[0]).device.type == kind
        assert minigrad.tensor(new[0]).device.type == kind


def test_a_seed_gives_the_same_numbers_on_every_device():
    minigrad.manual_seed(8)
    here = [arr(draw()) for draw in DRAWN.values()]
    minigrad.manual_seed(8)
    with minigrad.device("cpu"):
        for a, draw in zip(here, DRAWN.values()):
            np.testing.assert_array_equal(a, draw().numpy())


@pytest.mark.cpu_only
def test_what_needs_no_numbers_is_made_on_the_device(monkeypatch):
    fakecupy = pytest.importorskip("fakecupy")
    monkeypatch.setattr(minigrad.backend, "cupy", fakecupy.cupy)
    x = minigrad.ones(2, device="cuda")
    fakecupy.counts.clear()
    new = [minigrad.empty(2, 3, device="cuda"), minigrad.empty_like(x), minigrad.zeros_like(x)]
    with minigrad.device("cuda"):
        new += [minigrad.empty(0), minigrad.full((2,), 5)]
    assert {y.device.type for y in new} == {"cuda"} and fakecupy.counts["h2d"] == 0
    assert new[0].shape == (2, 3) and new[0].dtype == minigrad.float32
    assert minigrad.empty(2, dtype="int64", requires_grad=False, device="cpu").dtype == "int64"
