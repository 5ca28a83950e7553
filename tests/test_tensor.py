"""Tensors at the prompt: dtypes, NumPy beside them, numbers in and out, indexing, printing.

Values of the ops are compared with PyTorch in ``torch/test_ops_torch.py``; the table of dtypes
here is PyTorch's, written down, so that it is checked without PyTorch too.
"""

from __future__ import annotations

import copy
import math
import operator
import pickle

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad import Tensor, no_grad


@pytest.fixture(autouse=True)
def on_device(device):
    with minigrad.device(device):
        yield


# ---------------------------------------------------------------------------------------- dtypes

DTYPES = ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64")
# PyTorch's result of a + b for tensors with axes, in the order of DTYPES.
SUMS = """
b  u1 i1 i2 i4 i8 f2 f4 f8
u1 u1 i2 i2 i4 i8 f2 f4 f8
i1 i2 i1 i2 i4 i8 f2 f4 f8
i2 i2 i2 i2 i4 i8 f2 f4 f8
i4 i4 i4 i4 i4 i8 f2 f4 f8
i8 i8 i8 i8 i8 i8 f2 f4 f8
f2 f2 f2 f2 f2 f2 f2 f4 f8
f4 f4 f4 f4 f4 f4 f4 f4 f8
f8 f8 f8 f8 f8 f8 f8 f8 f8
"""
CODES = {"b": "bool", "u1": "uint8", "i1": "int8", "i2": "int16", "i4": "int32", "i8": "int64",
         "f2": "float16", "f4": "float32", "f8": "float64"}  # fmt: skip
TABLE = {
    (a, b): CODES[code]
    for a, line in zip(DTYPES, SUMS.split("\n")[1:])
    for b, code in zip(DTYPES, line.split())
}
KIND = {"bool": 0, "uint8": 1, "int8": 1, "int16": 1, "int32": 1, "int64": 1}


def one(dtype, shape=(1,)):
    return minigrad.ones(shape, dtype=dtype)


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_dtype_of_two(a, b):
    expected = TABLE[a, b]
    assert (one(a) + one(b)).dtype == expected
    assert (one(a, ()) * one(b, ())).dtype == expected
    assert minigrad.maximum(one(a), one(b)).dtype == expected
    assert minigrad.where(one("bool"), one(a), one(b)).dtype == expected
    assert minigrad.cat([one(a), one(b)]).dtype == expected
    assert minigrad.result_type(one(a), one(b)) == expected
    quotient = expected if expected.startswith("float") else "float32"
    assert (one(a) / one(b)).dtype == quotient
    assert (one(a) == one(b)).dtype == (one(a) < one(b)).dtype == "bool"


@pytest.mark.parametrize("a", DTYPES)
@pytest.mark.parametrize("b", DTYPES)
def test_a_tensor_without_axes_does_not_widen(a, b):
    """It counts only if its kind (bool, integer, float) is the higher one."""
    expected = b if KIND.get(b, 2) > KIND.get(a, 2) else a
    assert (one(a) + one(b, ())).dtype == expected
    assert (one(b, ()) + one(a)).dtype == expected


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (1,)])
def test_numbers_of_python_and_numpy_take_the_tensors_dtype(dtype, shape):
    x, is_float = one(dtype, shape), dtype.startswith("float")
    for two in (2, np.int64(2), np.uint8(2)):
        expected = "int64" if dtype == "bool" else dtype
        assert (x + two).dtype == (two * x).dtype == expected
    for half in (0.5, np.float64(0.5), np.float16(0.5)):
        expected = dtype if is_float else "float32"
        for y in (x + half, x * half, half * x, x - half, half - x, x / half, half / x, x**half):
            assert y.dtype == expected
        np.testing.assert_allclose(arr(half - x), np.full(shape, -0.5))
    assert (x + True).dtype == dtype


def test_the_default_dtype_is_what_integers_become():
    n = minigrad.tensor([1, 2])
    minigrad.set_default_dtype(minigrad.float64)
    try:
        assert (n / 2).dtype == (n + 0.5).dtype == n.exp().dtype == minigrad.float64
        assert minigrad.tensor(0.5).dtype == minigrad.zeros(1).dtype == minigrad.float64
    finally:
        minigrad.set_default_dtype(minigrad.float32)
    assert (n / 2).dtype == minigrad.float32
    with pytest.raises(TypeError, match="not a floating dtype"):
        minigrad.set_default_dtype(minigrad.int64)


def test_where_with_two_numbers():
    mask = minigrad.tensor([True, False])
    assert minigrad.where(mask, 1.5, 2).tolist() == [1.5, 2.0]
    assert minigrad.where(mask, 1.5, 2).dtype == minigrad.float32
    assert minigrad.where(mask, 1, 0).dtype == minigrad.int64
    assert minigrad.where(mask, True, False).dtype == minigrad.bool


def test_no_silent_float64():
    """Under NumPy 2, float32 times a 0-d float64 array is float64; not here."""
    x = minigrad.ones(3, requires_grad=True)
    y = x * minigrad.tensor(2.0, dtype=minigrad.float64)
    y = (y + 0.1).sigmoid() * x.mean() / math.pi - np.float64(3)
    y = y.softmax(0).log() + x.std() + x.norm() + x.var() + x.logsumexp(0)
    assert y.dtype == minigrad.float32
    y.sum().backward()
    assert x.grad.dtype == minigrad.float32


def test_integers_are_exact():
    big = minigrad.tensor([2**53 + 1, -(2**53) - 1, 7, -7])
    assert (big // 1).tolist() == big.tolist()
    assert (big // 2).tolist() == [2**52, -(2**52) - 1, 3, -4]
    assert big.div(2, rounding_mode="trunc").tolist() == [2**52, -(2**52), 3, -3]
    assert (big % 2).tolist() == [1, 1, 1, 1]
    assert big.sum().item() == 0 and big.amax().item() == 2**53 + 1
    assert minigrad.tensor([0, 5, 250], dtype=minigrad.uint8).amin().item() == 0
    assert minigrad.tensor([-(2**63), 5]).min().item() == -(2**63)
    assert minigrad.tensor([200, 200], dtype=minigrad.uint8).sum().tolist() == 400
    assert (minigrad.tensor([5], dtype=minigrad.uint8) - 3).tolist() == [2]


@pytest.mark.parametrize("dtype", DTYPES)
def test_sums_of_integers_are_int64(dtype):
    x = one(dtype, (3,))
    expected = dtype if dtype.startswith("float") else "int64"
    for y in (x.sum(), x.sum(0, keepdim=True), x.prod(), x.cumsum(0), one(dtype, ()).sum()):
        assert y.dtype == expected
    assert x.sum(dtype=minigrad.float64).dtype == x.prod(dtype=minigrad.float64).dtype == "float64"


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64"])
def test_rounding_leaves_integers_alone(dtype):
    x = one(dtype, (3,))
    for y in (x.floor(), x.ceil(), x.round(), x.trunc(), x.abs(), x.sign(), x.clamp(0, 5)):
        assert y.dtype == dtype and y is not x and y.tolist() == [1, 1, 1]


def test_floor_division_rounds_once():
    x = minigrad.tensor([1.0, -1.0, 0.3], dtype=minigrad.float64)
    assert (x // 0.1).tolist() == [v // 0.1 for v in (1.0, -1.0, 0.3)] == [9.0, -10.0, 2.0]


# -------------------------------------------------------------------------------- beside NumPy

OPERATORS = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "@": operator.matmul,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.mark.cpu_only
@pytest.mark.parametrize("name", OPERATORS)
def test_arrays_on_both_sides(name, rng):
    f, a, b = OPERATORS[name], rng.uniform(1, 2, (3, 3)), rng.uniform(1, 2, (3, 3))
    expected = f(a, b)
    for y in (f(Tensor(a), b), f(a, Tensor(b)), f(Tensor(a), Tensor(b))):
        assert isinstance(y, Tensor)
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-15)
    if name != "@":
        for y in (f(Tensor(a), np.float64(1.5)), f(Tensor(a), 1.5)):
            np.testing.assert_allclose(y.numpy(), f(a, 1.5), rtol=1e-15)
        for y in (f(np.float64(1.5), Tensor(a)), f(1.5, Tensor(a))):
            assert isinstance(y, Tensor)
            np.testing.assert_allclose(y.numpy(), f(1.5, a), rtol=1e-15)


@pytest.mark.cpu_only
def test_gradients_flow_beside_arrays(device):
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    (np.array([3.0, 4.0], dtype="f4") * x + np.ones(2)).sum().backward()
    assert x.grad.tolist() == [3, 4]
    with pytest.raises(RuntimeError, match="detach"):
        np.asarray(x)
    for function in (lambda x: np.add(np.ones(2), x), np.exp, np.mean, np.max):
        with pytest.raises(RuntimeError, match="detach"):
            function(x)  # a NumPy function would lose the gradient
    assert isinstance(np.exp(x.detach()), Tensor) and np.mean(x.detach()) == 1.5


@pytest.mark.cpu_only
def test_arrays_out(device):
    x = minigrad.tensor([[1, 2], [3, 4]])
    assert x.numpy() is x.array
    assert np.asarray(x) is x.array
    assert np.array(x) is not x.array
    assert np.asarray(x, dtype=float).dtype == np.float64
    np.testing.assert_array_equal(np.stack([x, x]), [x.numpy()] * 2)
    with pytest.raises(RuntimeError, match=r"x\.detach\(\)\.numpy\(\)"):
        minigrad.ones(2, requires_grad=True).numpy()


# -------------------------------------------------------------------------- numbers in and out


def test_item_and_python_numbers():
    for x in (minigrad.tensor(2.5), minigrad.tensor([2.5]), minigrad.tensor([[2.5]])):
        assert x.item() == float(x) == 2.5 and int(x) == 2 and bool(x)
        assert type(x.item()) is float
    assert type(minigrad.tensor(3).item()) is int and type(minigrad.tensor(True).item()) is bool
    assert minigrad.tensor(2.5, requires_grad=True).item() == 2.5
    assert not minigrad.tensor(0.0) and minigrad.tensor(float("nan"))
    assert [10, 20, 30][minigrad.tensor(1)] == 20
    assert list(range(minigrad.tensor(3))) == [0, 1, 2]
    assert math.sqrt(minigrad.tensor(4.0)) == 2
    assert minigrad.tensor([[1, 2], [3, 4]]).tolist() == [[1, 2], [3, 4]]
    assert minigrad.tensor(1.5).tolist() == 1.5


def test_what_is_not_one_number():
    x = minigrad.tensor([1.0, 2.0])
    for ask in (x.item, lambda: float(x), lambda: int(x), lambda: bool(x), lambda: f"{x:.2f}"):
        with pytest.raises(ValueError, match=r"one element(.|\n)*shape \(2,\)"):
            ask()
    with pytest.raises(ValueError, match=r"\.all\(\) or \.any\(\)"):
        assert x == x  # noqa: PLR0124
    with pytest.raises(TypeError, match="not an integer"):
        [1, 2][minigrad.tensor(1.0)]
    with pytest.raises(ValueError, match="one element"):
        bool(minigrad.zeros(0))


def test_format():
    assert f"{minigrad.tensor(3.14159):.2f}" == "3.14"
    assert f"{minigrad.tensor([7]):03d}" == "007"
    assert f"{minigrad.tensor([1, 2])}" == str(minigrad.tensor([1, 2]))


def test_len_iter_contains():
    x = minigrad.tensor([[1, 2], [3, 4]])
    assert len(x) == 2 and [row.tolist() for row in x] == [[1, 2], [3, 4]]
    a, b = x
    assert b.tolist() == [3, 4]
    assert 3 in x and 5 not in x and len(minigrad.zeros(0, 3)) == 0
    with pytest.raises(TypeError, match="without axes"):
        len(minigrad.tensor(1))
    with pytest.raises(TypeError, match="without axes"):
        iter(minigrad.tensor(1))
    w = minigrad.ones(3, 2, requires_grad=True)
    sum([row * i for i, row in enumerate(w)]).sum().backward()
    np.testing.assert_array_equal(arr(w.grad), [[0, 0], [1, 1], [2, 2]])


def test_tensors_are_hashed_by_identity_and_compared_by_entry():
    x, y = minigrad.ones(2), minigrad.ones(2)
    assert len({x, y}) == 2 and {x: 1}[x] == 1
    assert (x == y).tolist() == [True, True]
    assert (x == None) is False and (x != None) is True  # noqa: E711
    assert x != "x" and x is not None
    with pytest.raises(TypeError, match="equal"):
        _ = x == [1, 1]  # "no" would be silent and wrong


def test_sizes():
    x = minigrad.zeros(2, 3, 4, dtype=minigrad.int16)
    assert tuple(x.shape) == tuple(x.size()) == (2, 3, 4) and x.size(1) == 3 and x.size(-1) == 4
    assert x.dim() == x.ndim == 3 and x.numel() == x.nelement() == 24 and x.element_size() == 2
    assert not x.is_floating_point() and x.half().is_floating_point()


# ----------------------------------------------------------------------------------- the copies


def test_deepcopy_of_leaves():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    (x * x).sum().backward()
    twice = copy.deepcopy([x, x])
    assert twice[0] is twice[1] is not x
    y = twice[0]
    assert y.requires_grad and y.is_leaf and y._version is not x._version
    np.testing.assert_array_equal(arr(y.grad), [2, 4])
    with no_grad():
        y.zero_()
        y.grad.zero_()
    np.testing.assert_array_equal(arr(x.detach()), [1, 2])
    np.testing.assert_array_equal(arr(x.grad), [2, 4])
    with pytest.raises(RuntimeError, match="detach"):
        copy.deepcopy(x * 2)


@pytest.mark.cpu_only
def test_leaves_travel_between_processes(device):
    """By pickle, which multiprocessing uses; the library itself never reads one."""
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    y = pickle.loads(pickle.dumps(x))
    assert y.requires_grad and y.tolist() == [1, 2] and y.dtype == x.dtype
    (y * 2).sum().backward()
    assert x.grad is None


# ------------------------------------------------------------------------------------- indexing

SHAPE = (3, 4, 2)
KEYS = {
    "a number": 1,
    "a negative number": -1,
    "numbers": (2, -4, 1),
    "a slice": slice(1, 3),
    "a step": slice(None, None, 2),
    "backwards": (slice(None, None, -1), slice(3, 0, -2)),
    "nothing": slice(5, 9),
    "ellipsis": (..., 0),
    "ellipsis in the middle": (1, ..., 0),
    "ellipsis that stands for nothing": (0, 1, ..., 1),
    "new axes": (None, 0, None, slice(1, 2)),
    "the empty tuple": (),
    "a list": [0, 2, 2],
    "an array": np.array([[2, 0], [1, 1]]),
    "two arrays": (np.array([0, 1]), np.array([3, 3])),
    "broadcast arrays": (np.array([[0], [2]]), np.array([1, 3, 1])),
    "an array and a slice": (slice(None), [1, 1, 0]),
    "arrays apart": ([0, 1], slice(None), [1, 1]),
    "a number and an array": (1, slice(None), [0, 1]),
    "negative entries": np.array([-1, -3]),
    "an empty list": [],
    "a mask": np.arange(24).reshape(SHAPE) % 3 == 0,
    "a mask of rows": np.array([True, False, True]),
    "a mask and an array": (np.array([True, False, True]), [0, 3]),
    "a mask of nothing": np.zeros(SHAPE, bool),
    "true": True,
    "false": False,
    "a list of truths": [True, False, True],
    "NumPy's numbers": (np.int64(1), np.uint8(2)),
    "everything": (slice(None), None, [0, 1], ..., 1),
}


@pytest.mark.parametrize("name", KEYS)
def test_indexing_is_numpys_with_gradients(name, rng, device):
    key, a = KEYS[name], rng.normal(size=SHAPE)
    x = make(device, a, requires_grad=True)
    y = x[key]
    assert isinstance(y, Tensor) and y.requires_grad
    np.testing.assert_array_equal(arr(y.detach()), a[key])
    gy = rng.normal(size=a[key].shape)
    y.backward(make(device, gy))
    gx = np.zeros(SHAPE)
    np.add.at(gx, key, gy)
    np.testing.assert_allclose(arr(x.grad), gx)

    parts = key if isinstance(key, tuple) else (key,)
    as_tensors = tuple([
        minigrad.tensor(np.asarray(p)) if isinstance(p, np.ndarray) or (isinstance(p, list) and p)
        else p for p in parts
    ])  # fmt: skip
    np.testing.assert_array_equal(arr(x.detach()[as_tensors]), a[key])

    target, expected = make(device, a), a.copy()
    target[key] = 7.5
    expected[key] = 7.5
    np.testing.assert_array_equal(arr(target), expected)
    value = rng.normal(size=a[key].shape)
    if not target.is_cuda:  # CuPy leaves open which value stays where one place is named twice
        target[key] = make(device, value)
        expected[key] = value
        np.testing.assert_array_equal(arr(target), expected)


@given(st.data())
def test_slices(device, data):
    n = data.draw(st.integers(0, 6))
    bound = st.one_of(st.none(), st.integers(-8, 8))
    step = data.draw(st.sampled_from([None, 1, 2, 3, -1, -2]))
    key = slice(data.draw(bound), data.draw(bound), step)
    a = np.arange(2.0 * n).reshape(n, 2)
    x = make(device, a, requires_grad=True)
    np.testing.assert_array_equal(arr(x[key].detach()), a[key])
    x[key].sum().backward()
    expected = np.zeros_like(a)
    expected[key] = 1
    np.testing.assert_array_equal(arr(x.grad), expected)


def test_tensors_as_bounds_and_as_places():
    x, i = minigrad.arange(5), minigrad.tensor(2)
    assert x[i].item() == 2 and x[:i].tolist() == [0, 1] and x[i:].tolist() == [2, 3, 4]
    assert x[minigrad.tensor([[0, 1], [4, 4]])].tolist() == [[0, 1], [4, 4]]
    assert x[x > 2].tolist() == [3, 4]


@pytest.mark.parametrize(
    "key", [3, -4, (0, 0, 0, 0), [0, 5], 1.0, [0.5, 1], "a", np.ones((2, 2), bool)]
)
@pytest.mark.cpu_only
def test_what_cannot_be_an_index(key, device):
    x = minigrad.zeros(SHAPE)
    with pytest.raises(IndexError, match="^index: "):
        x[key]
    with pytest.raises(IndexError):
        x[key] = 1
    assert x._version[0] == 0


# -------------------------------------------------------------------------------------- printing


def shown(x) -> str:
    return repr(x).replace(", device='cuda:0'", "")


@pytest.mark.parametrize(
    "make_it, expected",
    [
        (lambda: minigrad.tensor(3.5), "tensor(3.5)"),
        (lambda: minigrad.tensor(3), "tensor(3)"),
        (lambda: minigrad.tensor([1.0, 2.0]), "tensor([1., 2.])"),
        (lambda: minigrad.tensor([[1, 2], [3, 4]]), "tensor([[1, 2],\n        [3, 4]])"),
        (lambda: minigrad.tensor([True, False]), "tensor([ True, False])"),
        (lambda: minigrad.tensor([1.0], dtype=minigrad.float64), "tensor([1.], dtype=float64)"),
        (lambda: minigrad.tensor([1], dtype=minigrad.uint8), "tensor([1], dtype=uint8)"),
        (lambda: minigrad.tensor([float("nan"), float("inf")]), "tensor([nan, inf])"),
        (lambda: minigrad.zeros(0), "tensor([], shape=(0,))"),
        (lambda: minigrad.zeros(2, 0), "tensor([], shape=(2, 0))"),
        (lambda: minigrad.ones(1, requires_grad=True), "tensor([1.], requires_grad=True)"),
        (lambda: minigrad.ones(1, requires_grad=True) * 2, "tensor([2.], grad_fn=<Scale>)"),
        (
            lambda: minigrad.ones(1, requires_grad=True).exp().sum(),
            "tensor(2.7183, grad_fn=<SumTo>)",
        ),
        (lambda: minigrad.tensor([1 / 3, 2e10]), "tensor([3.3333e-01, 2.0000e+10])"),
    ],
)
def test_small_tensors_show_their_values(make_it, expected):
    assert shown(make_it()) == expected


def test_large_tensors_show_what_they_are_like():
    x = minigrad.arange(2000.0).reshape(20, 100)
    assert shown(x) == "tensor(shape=(20, 100), range=[0, 1999], mean=999.5, dtype=float32)"
    x[3, 5] = float("nan")
    x[4, :2] = float("-inf")
    text = shown(x)
    assert "nan=1 of 2000" in text and "inf=2 of 2000" in text and "range=[0, 1999]" in text
    x.fill_(float("nan"))
    assert shown(x) == "tensor(shape=(20, 100), nan=2000 of 2000, dtype=float32)"
    n = minigrad.arange(1000)
    assert shown(n) == "tensor(shape=(1000,), range=[0, 999], dtype=int64)"
    flags = n > 3
    assert "shape=(1000,)" in shown(flags) and "dtype=bool" in shown(flags)
    w = minigrad.zeros(200, requires_grad=True)
    assert shown(w).endswith("requires_grad=True)")
    assert shown(w + 1).endswith("grad_fn=<Shift>)")
    assert len(shown(minigrad.randn(500, 500).half())) < 150


def test_a_repr_does_not_touch_the_graph():
    x = minigrad.ones(3, requires_grad=True)
    y = x * 2
    repr(y)
    y.sum().backward()
    np.testing.assert_array_equal(arr(x.grad), [2, 2, 2])


# ------------------------------------------------------------------------- names that say where


def test_to():
    x = minigrad.ones(2, requires_grad=True)
    assert x.to(minigrad.float32) is x and x.to(x.device) is x and x.to(x) is x and x.to() is x
    assert x.to(x.dtype, copy=True) is not x
    y = x.to(x.device, minigrad.float64)
    assert y.dtype == minigrad.float64 and y.requires_grad
    y.sum().backward()
    assert x.grad.dtype == minigrad.float32
    assert not x.to(minigrad.int64).requires_grad  # integers have no gradient
    assert x.to(dtype=float).dtype == minigrad.float64
    for wrong in ("float32", "tpu", "cuda:x"):
        with pytest.raises(minigrad.DeviceError, match="no such device"):
            x.to(wrong)
    for wrong in (np.complex64, np.dtype("U3"), object):
        with pytest.raises(TypeError, match="dtype"):
            x.to(wrong)


def test_names_of_pytorch():
    assert minigrad.float is minigrad.float32 and minigrad.double is minigrad.float64
    assert minigrad.long is minigrad.int64 and minigrad.half is minigrad.float16
    assert minigrad.is_tensor(minigrad.ones(1)) and not minigrad.is_tensor(np.ones(1))
    assert minigrad.clip is minigrad.clamp and minigrad.concat is minigrad.cat
    assert isinstance(minigrad.float32, np.dtype)
