"""The stand-in for CuPy refuses what CuPy refuses: one proof for each refusal.

Where CuPy is installed, also without a GPU, the claims are compared with it: the snapshot of its
names with its namespace, and, over an array on a memory address that is never read, what views,
indexing and refused calls give there. Read after: ``fakecupy.py``.
"""

from __future__ import annotations

import copy
import math
import pickle

import fakecupy
import make_cupy_names
import numpy as np
import pytest
from fakecupy import NAMES, Strict, counts, forbid_sync
from fakecupy import cupy as xp

pytestmark = pytest.mark.cpu_only


@pytest.fixture
def a():
    """A device array [[0, 1, 2], [3, 4, 5]] of float32."""
    return xp.arange(6, dtype="f4").reshape(2, 3)


@pytest.fixture(autouse=True)
def fresh_counts():
    counts.clear()


def host(array):
    """The values of a device array."""
    return xp.asnumpy(array)


HOST = np.ones((2, 3), np.float32)

# ------------------------------------------------------------------------- what CuPy itself refuses

REFUSED = {
    # mixing with the host's arrays
    "a + numpy": (TypeError, lambda a: a + HOST),
    "numpy + a": (TypeError, lambda a: HOST + a),
    "a += numpy": (TypeError, lambda a: a.__iadd__(HOST)),
    "numpy += a": (TypeError, lambda a: HOST.__iadd__(a)),
    "a @ numpy": (TypeError, lambda a: a @ HOST.T),
    "numpy @ a": (TypeError, lambda a: HOST.T @ a),
    "a < numpy": (TypeError, lambda a: a < HOST),
    "a == numpy": (TypeError, lambda a: a == HOST),
    "a == None": (TypeError, lambda a: a.__eq__(None)),
    "xp.exp(numpy)": (TypeError, lambda a: xp.exp(HOST)),
    "xp.add(a, numpy)": (TypeError, lambda a: xp.add(a, HOST)),
    "xp.matmul(a, numpy)": (TypeError, lambda a: xp.matmul(a, HOST.T)),
    "xp.sum(numpy)": (TypeError, lambda a: xp.sum(HOST)),
    "xp.where(.., numpy)": (TypeError, lambda a: xp.where(a > 0, a, HOST)),
    "xp.concatenate(.., numpy)": (TypeError, lambda a: xp.concatenate([a, HOST])),
    "xp.zeros_like(numpy)": (TypeError, lambda a: xp.zeros_like(HOST)),
    "a[...] = numpy": (ValueError, lambda a: a.__setitem__(..., HOST)),
    "a[:] = list": (ValueError, lambda a: a.__setitem__(slice(None), [1, 2, 3])),
    "out=numpy": (TypeError, lambda a: xp.exp(a, out=HOST.copy())),
    "a.fill(numpy)": (ValueError, lambda a: a.fill(HOST)),
    # lists as operands
    "a + list": (TypeError, lambda a: a + [1, 2, 3]),
    "list + a": (TypeError, lambda a: [1, 2, 3] + a),
    "xp.maximum(a, list)": (TypeError, lambda a: xp.maximum(a, [1, 2, 3])),
    "xp.sum(list)": (TypeError, lambda a: xp.sum([1, 2])),
    "xp.matmul(a, list)": (TypeError, lambda a: xp.matmul(a, [1, 2, 3])),
    "xp.where(.., list)": (TypeError, lambda a: xp.where(a > 0, a, [1, 2, 3])),
    "xp.where(True, ..)": (TypeError, lambda a: xp.where(True, a, a)),
    # implicit conversion
    "np.asarray": (TypeError, lambda a: np.asarray(a)),
    "np.array([a])": (TypeError, lambda a: np.array([a])),
    "numpy[...] = a": (TypeError, lambda a: HOST.copy().__setitem__(..., a)),
    "range(a)": (TypeError, lambda a: range(a[0, 0].astype(int))),
    "list[a]": (TypeError, lambda a: [1, 2][xp.asarray(1)]),
    "round(a)": (TypeError, lambda a: round(a[0, 0])),
    "hash(a)": (TypeError, lambda a: hash(a)),
    "bool(a)": (ValueError, lambda a: bool(a)),
    "len(0-d)": (TypeError, lambda a: len(a[0, 0])),
    "a.attribute = ..": (AttributeError, lambda a: setattr(a, "attribute", 1)),
    "flags.writeable": (AttributeError, lambda a: a.flags.writeable),
    # keywords and names
    "xp.add(where=)": (TypeError, lambda a: xp.add(a, a, where=a > 0)),
    "xp.sum(where=)": (TypeError, lambda a: xp.sum(a, where=a > 0)),
    "a.sum(where=)": (TypeError, lambda a: a.sum(where=a > 0)),
    "a.max(initial=)": (TypeError, lambda a: a.max(initial=0)),
    "xp.var(correction=)": (TypeError, lambda a: xp.var(a, correction=1)),
    "xp.clip(min=)": (TypeError, lambda a: xp.clip(a, min=0, max=1)),
    "xp.take(mode=)": (TypeError, lambda a: xp.take(a, 0, mode="clip")),
    "xp.zeros(device=)": (TypeError, lambda a: xp.zeros(3, device="cuda")),
    "a.astype(casting=)": (TypeError, lambda a: a.astype("f8", casting="safe")),
    "a.item(0)": (TypeError, lambda a: a.item(0)),
    "xp.errstate": (AttributeError, lambda a: xp.errstate),
    "xp.insert": (AttributeError, lambda a: xp.insert),
    "xp.vecdot": (AttributeError, lambda a: xp.vecdot),
    "linalg.vector_norm": (AttributeError, lambda a: xp.linalg.vector_norm),
    "random.SeedSequence": (AttributeError, lambda a: xp.random.SeedSequence),
    "Generator.normal": (AttributeError, lambda a: xp.random.default_rng(0).normal),
    "Generator.permutation": (AttributeError, lambda a: xp.random.default_rng(0).permutation),
    # ufunc methods and dtypes
    "multiply.at": (NotImplementedError, lambda a: xp.multiply.at(a, 0, 2)),
    "maximum.reduce": (NotImplementedError, lambda a: xp.maximum.reduce(a)),
    "maximum.accumulate": (NotImplementedError, lambda a: xp.maximum.accumulate(a)),
    "add.at int16": (TypeError, lambda a: xp.add.at(a.astype("i2"), 0, 1)),
    "maximum.at float16": (TypeError, lambda a: xp.maximum.at(a.astype("f2"), 0, 1)),
    "subtract.at float32": (TypeError, lambda a: xp.subtract.at(a, 0, 1)),
    "int += float": (TypeError, lambda a: a.astype(int).__iadd__(1.5)),
    "dtype object": (ValueError, lambda a: xp.asarray(np.array([None]))),
    "longdouble": (ValueError, lambda a: xp.asarray(np.ones(2, np.longdouble))),
    # indices
    "a[5]": (IndexError, lambda a: a[5]),
    "too many": (IndexError, lambda a: a[0, 0, 0]),
    "float index": (IndexError, lambda a: a[a]),
    "axis": (np.exceptions.AxisError, lambda a: a.sum(axis=2)),
    "other device": (RuntimeError, lambda a: xp.cuda.Device(1).__enter__()),
}

# -------------------------------------------------------- what CuPy lets pass, and is wrong or slow

STRICT = {
    "index out of range": lambda a: a[xp.asarray([0, 5])],
    "take out of range": lambda a: xp.take(a, xp.asarray([0, 5]), axis=0),
    "take_along_axis": lambda a: xp.take_along_axis(a, xp.asarray([[3], [0]]), axis=1),
    "write out of range": lambda a: a.__setitem__(xp.asarray([0, 5]), 1.0),
    "add.at out of range": lambda a: xp.add.at(a, xp.asarray([0, 5]), 1.0),
    "duplicate write": lambda a: a.__setitem__(xp.asarray([0, 0]), a),
    "duplicate by wrapping": lambda a: a.__setitem__(xp.asarray([1, -1]), a),
    "put duplicate": lambda a: xp.put(a, xp.asarray([1, 1]), a[0, :2]),
    "put_along_axis": lambda a: xp.put_along_axis(a, xp.asarray([[1, 1]] * 2), a[:, :2], 1),
    "write to broadcast": lambda a: xp.broadcast_to(a, (4, 2, 3)).__setitem__(0, 1.0),
    "reshaped broadcast": lambda a: xp.broadcast_to(a, (4, 2, 3))[:, 0].__iadd__(1.0),
    "out=broadcast": lambda a: xp.exp(a, out=xp.broadcast_to(a[0], (2, 3))),
    "sum(out=broadcast)": lambda a: a.sum(0, out=xp.broadcast_to(a[0, 0], (3,))),
    "fill broadcast": lambda a: xp.broadcast_to(a, (4, 2, 3)).fill(0),
    "copyto broadcast": lambda a: xp.copyto(xp.broadcast_to(a, (4, 2, 3)), 0.0),
    "overlapping strides": lambda a: xp.lib.stride_tricks.as_strided(a, (3, 2), (4, 4)).__setitem__(
        ..., 1.0
    ),
    "sliding window": lambda a: xp.lib.stride_tricks.sliding_window_view(a, 2, axis=1).__setitem__(
        ..., 1.0
    ),
    "a @= b": lambda a: a.__imatmul__(a),
    "np.exp(a)": lambda a: np.exp(a),
    "np.add(a, a)": lambda a: np.add(a, a),
    "np.add.at": lambda a: np.add.at(a, 0, 1.0),
    "np.sum(a)": lambda a: np.sum(a),
    "np.where": lambda a: np.where(a > 0, a, a),
    "a[index] = numpy": lambda a: a.__setitem__(xp.asarray([0, 1]), HOST),
    "a[:device scalar]": lambda a: a[: xp.asarray(1)],
    "pickle": lambda a: pickle.dumps(a),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_by_cupy(a, case):
    error, action = REFUSED[case]
    with pytest.raises(error) as caught:
        action(a)
    assert not isinstance(caught.value, Strict)


@pytest.mark.parametrize("case", STRICT)
def test_let_pass_by_cupy_but_refused_here(a, case):
    with pytest.raises(Strict):
        STRICT[case](a)


def test_a_name_says_whether_cupy_or_the_stand_in_lacks_it():
    with pytest.raises(AttributeError, match="CuPy 14 has no cupy.errstate"):
        xp.errstate  # noqa: B018
    with pytest.raises(AttributeError, match="CuPy has cupy.fft, the stand-in has not"):
        xp.fft  # noqa: B018


# --------------------------------------------------------------------------------------- what works


def test_it_is_no_numpy_array(a):
    assert not isinstance(a, np.ndarray)
    assert isinstance(a, xp.ndarray)
    assert xp.get_array_module(a) is xp
    assert xp.get_array_module(HOST) is np
    assert a.device.id == 0


def test_results_are_arrays_never_scalars(a):
    for result in (a.sum(), a[0, 0], a[0, 0] + a[0, 1], xp.exp(a[0, 0]), xp.linalg.norm(a)):
        assert type(result) is xp.ndarray
        assert result.shape == ()
    for result in (xp.allclose(a, a), xp.array_equal(a, a), (a > 0).any(), xp.argmax(a)):
        assert type(result) is xp.ndarray
    assert counts["sync"] == 0


def test_arithmetic_agrees_with_numpy(a):
    n = host(a)
    b, m = xp.asarray(n.T + 1), n.T + 1
    pairs = [
        (a + 1, n + 1),
        (2 / (a + 1), 2 / (n + 1)),
        (-a % 4, -n % 4),
        (a**2, n**2),
        (a @ b, n @ m),
        (xp.where(a > 2, a, 0.0), np.where(n > 2, n, 0.0)),
        (xp.concatenate([a, a], axis=1), np.concatenate([n, n], axis=1)),
        (xp.einsum("ij,jk->k", a, b), np.einsum("ij,jk->k", n, m)),
        (a.var(axis=0, ddof=1, keepdims=True), n.var(axis=0, ddof=1, keepdims=True)),
        (xp.take_along_axis(a, xp.asarray([[2], [0]]), 1), np.array([[2], [3]], "f4")),
    ]
    for device, expected in pairs:
        assert device.dtype == expected.dtype
        np.testing.assert_array_equal(host(device), expected)


def test_scalars_promote_as_in_numpy_2(a):
    assert (a * 2.0).dtype == np.float32
    assert (a * np.float32(2)).dtype == np.float32
    assert (np.float32(2) * a).dtype == np.float32
    assert (a * np.float64(2)).dtype == np.float64
    assert (np.float64(2) * a).dtype == np.float64
    assert (a * xp.asarray(2.0)).dtype == np.float64
    assert (a.astype("i4") / 2).dtype == np.float64


def test_a_view_shares_memory_and_a_full_index_gives_one(a):
    view = a[0, 0]
    view[...] = 7
    a[1][1:] += 10
    assert host(a).tolist() == [[7, 1, 2], [3, 14, 15]]
    assert view.base is a.base is not None
    assert a.T.base is a.base
    assert a[xp.asarray([0])].base is None


def test_in_place_and_out_return_the_array_itself(a):
    before = a
    a += 1
    a *= a
    assert a is before
    assert xp.sqrt(a, out=a) is a
    assert xp.negative(a, a) is a
    assert a.astype("f4", copy=False) is a
    assert xp.asarray(a) is a
    assert xp.ascontiguousarray(a) is a
    assert host(a).tolist() == [[-1, -2, -3], [-4, -5, -6]]


def test_empty_is_poisoned():
    assert np.isnan(host(xp.empty((2, 2), "f4"))).all()
    assert np.isnan(host(xp.empty_like(xp.zeros(3)))).all()
    assert np.isnan(host(xp.ndarray((2,), "f4"))).all()
    assert host(xp.empty(2, "i4")).tolist() == [2**31 - 1] * 2


@pytest.mark.parametrize("dtype", ["i4", "i8", "u4", "u8", "f2", "f4", "f8"])
def test_add_at_counts_an_index_named_twice(dtype):
    a = xp.zeros(3, dtype)
    xp.add.at(a, xp.asarray([0, 2, 2]), xp.asarray([1, 2, 3], dtype))
    assert host(a).tolist() == [1, 0, 5]


def test_writing_one_value_twice_or_distinct_ones_is_fine(a):
    a[xp.asarray([0, 0])] = 9.0
    a[:, xp.asarray([2, 1])] = a[:, 1:]
    xp.put_along_axis(a, xp.asarray([[0], [1]]), a[:, :1], 1)


def test_what_makes_the_host_wait_is_counted(a):
    reads = [
        lambda: float(a[0, 0]),
        lambda: int(a[0, 0]),
        lambda: bool(a[0, 0]),
        lambda: a[0, 0].item(),
        lambda: a.tolist(),
        lambda: repr(a),
        lambda: f"{a[0, 0]:.1f}",
        lambda: math.sqrt(a[0, 1]),
        lambda: a[a > 0],
        lambda: a.__setitem__(a > 0, 0.0),
        lambda: xp.nonzero(a),
        lambda: a.nonzero(),
        lambda: xp.where(a > 0),
        lambda: xp.unique(a),
        lambda: xp.repeat(a[0], xp.asarray([1, 2, 3])),
        lambda: xp.cuda.Device(0).synchronize(),
        lambda: xp.cuda.get_current_stream().synchronize(),
    ]
    for i, read in enumerate(reads, start=1):
        read()
        assert counts["sync"] == i
        with forbid_sync(), pytest.raises(Strict):
            read()
        counts["sync"] = i


def test_copies_between_host_and_device_are_counted(a):
    counts.clear()
    xp.asarray(HOST)
    xp.asarray(3.0)  # a scalar travels in the launch
    a[[0, 1]], a[np.array([0, 1])]
    assert (counts["h2d"], counts["sync"]) == (3, 0)
    a.get()
    xp.asnumpy(a)
    assert (counts["h2d"], counts["d2h"]) == (3, 2)
    assert xp.asnumpy(HOST) is HOST
    copied = xp.asarray(HOST)
    copied += 1
    assert HOST.max() == 1


def test_copy_and_deepcopy_stay_on_the_device(a):
    for copied in (copy.copy(a), copy.deepcopy(a)):
        copied += 1
        assert type(copied) is xp.ndarray
    assert host(a)[0, 0] == 0


class Polite:
    """A class that handles ufuncs itself, as `minigrad.Tensor` does."""

    def __array_ufunc__(self, function, method, *inputs, **kwargs):
        return function.__name__, [type(x).__name__ for x in inputs]


def test_operators_make_way_for_other_classes(a):
    assert a * Polite() == ("multiply", ["ndarray", "Polite"])
    Deferring = type("Deferring", (), {"__array_ufunc__": None, "__rmul__": lambda s, x: "mine"})
    assert a * Deferring() == "mine"


def test_no_floating_point_warnings(a, recwarn):
    xp.log(a - 1), a / 0, (a * np.inf).astype(int)
    assert not recwarn.list


def test_random_generator_has_only_its_few_names():
    generator = xp.random.default_rng(0)
    assert generator.random((2, 3), dtype="f4").dtype == np.float32
    assert generator.uniform(0, 1, (3,)).shape == (3,)
    assert type(generator.integers(0, 3, (4,))) is xp.ndarray


# ------------------------------------------------------------------------------ against CuPy itself


@pytest.fixture(scope="module")
def real():
    """CuPy, which can be imported without a GPU."""
    return pytest.importorskip("cupy")


@pytest.fixture
def real_a(real):
    """A real CuPy array; without a GPU one over an address that nothing ever reads."""
    if real.is_available():
        return real.arange(6, dtype="f4").reshape(2, 3)
    memory = real.cuda.UnownedMemory(0x7F0000000000, 4096, object(), device_id=0)
    return real.ndarray((2, 3), "f4", memptr=real.cuda.MemoryPointer(memory, 0))


@pytest.mark.filterwarnings("ignore")
def test_the_snapshot_is_that_of_the_installed_cupy(real):
    installed = make_cupy_names.snapshot()
    assert installed["version"].split(".")[0] == NAMES["version"].split(".")[0]
    if installed["version"] != NAMES["version"]:
        pytest.skip(f"CuPy {installed['version']} is installed: run tests/make_cupy_names.py")
    for name in set(installed["cupy"]) & set(NAMES["cupy"]):
        if getattr(real, name) is getattr(np, name, ...):  # NumPy's own, as its version has it
            installed["cupy"][name] = NAMES["cupy"][name]
    assert installed == NAMES


def test_the_stand_in_offers_nothing_that_cupy_has_not(real):
    python_only = {"__init__", "__imatmul__", "__reduce_ex__", "__weakref__"}
    ours = {name for name in vars(xp.ndarray) if name not in ("_a", "_base")}
    assert not [name for name in ours - python_only if not hasattr(real.ndarray, name)]
    for name in vars(xp):
        assert name.startswith("__") or hasattr(real, name)
    assert not hasattr(real.ndarray, "__imatmul__")
    assert not hasattr(real.ndarray, "__index__")


def test_every_ufunc_has_the_loops_of_cupy(real):
    """What NumPy computes underneath has the dtype that CuPy would give."""
    if np.lib.NumpyVersion(np.__version__) < "2.1.0":
        pytest.skip("NumPy 2.0 rounds integers to floats (ceil, floor, trunc)")
    for name, ours in fakecupy.UFUNCS.items():
        loops = [loop.split("->") for loop in getattr(real, name).types]
        for char in "bBhHiIlLefd":  # bool: see NumPy's own refusals (negative, subtract)
            theirs = next((o for i, o in loops if all(np.can_cast(char, c) for c in i)), None)
            try:
                dtypes = (np.dtype(char),) * ours.nin + (None,) * ours.nout
                numpys = ours._numpy.resolve_dtypes(dtypes)[ours.nin :]
            except TypeError:
                numpys = None
            if theirs is not None:
                theirs = tuple(np.dtype(c) for c in theirs)
            assert theirs == numpys, (name, char)


# What an expression gives: a shape with strides, a value, or the class of an exception. An
# expression that needs a device raises CuPy's own runtime error and proves nothing.
COMPARED = {
    **{f"refused: {k}": f for k, (_, f) in REFUSED.items() if "xp" not in f.__code__.co_names},
    "T": lambda a: a.T,
    "mT": lambda a: a.mT,
    "a[0]": lambda a: a[0],
    "a[0, 0]": lambda a: a[0, 0],
    "a[..., None, ::-1]": lambda a: a[..., None, ::-1],
    "a[1:, :0]": lambda a: a[1:, :0],
    "reshape": lambda a: a.reshape(3, -1),
    "ravel": lambda a: a.ravel(),
    "squeeze": lambda a: a[None].squeeze(0),
    "swapaxes": lambda a: a.swapaxes(0, 1),
    "transpose": lambda a: a.transpose(1, 0),
    "list": lambda a: len(list(a)),
    "base": lambda a: a[1:][0].base is (a if a.base is None else a.base),
    "flags": lambda a: (a.T.flags.c_contiguous, a.T.flags.f_contiguous, a[0].flags.owndata),
    "flags[]": lambda a: a.flags["C_CONTIGUOUS"],
    "astype": lambda a: a.astype("f4", copy=False) is a,
    "contiguous": lambda a: type(a).__name__,
    "device": lambda a: a.device.id,
    "attributes": lambda a: (a.size, a.ndim, a.nbytes, a.itemsize, a.dtype),
    "priority": lambda a: a.__array_priority__,
    "np.shape": lambda a: (np.shape(a), np.ndim(a), np.size(a), np.result_type(a, 1.0)),
    "np.isscalar": lambda a: np.isscalar(a),
    "setitem list": lambda a: a.__setitem__(..., [1, 2, 3]),
    "setitem numpy": lambda a: a.__setitem__(..., HOST),
    "a @ numpy": lambda a: a @ HOST.T,
}

MODULE_COMPARED = {
    "broadcast_to": lambda xp, a: xp.broadcast_to(a, (4, 2, 3)),
    "expand_dims": lambda xp, a: xp.expand_dims(a, 1),
    "moveaxis": lambda xp, a: xp.moveaxis(a, 0, 1),
    "permute_dims": lambda xp, a: xp.permute_dims(a, (1, 0)),
    "as_strided": lambda xp, a: xp.lib.stride_tricks.as_strided(a, (3, 2), (4, 4)),
    "window": lambda xp, a: xp.lib.stride_tricks.sliding_window_view(a, 2, 1),
    "ascontiguousarray": lambda xp, a: xp.ascontiguousarray(a) is a,
    "ascontiguousarray 0-d": lambda xp, a: xp.ascontiguousarray(a[0, 0]),
    "isscalar": lambda xp, a: (xp.isscalar(a[0, 0]), xp.isscalar(2.0)),
    "result_type": lambda xp, a: xp.result_type(a, 2.0),
    "result_type f8": lambda xp, a: xp.result_type(a, np.float64(2)),
    "ndim": lambda xp, a: (xp.ndim(a), xp.shape(a), xp.size(a)),
    "get_array_module": lambda xp, a: xp.get_array_module(a) is xp,
    "asnumpy": lambda xp, a: type(xp.asnumpy(HOST)),
    "float32": lambda xp, a: (xp.float32, xp.dtype, xp.newaxis, xp.inf),
    "exp where": lambda xp, a: xp.exp(a, where=True),
    "sum where": lambda xp, a: xp.sum(a, where=True),
    "two outs": lambda xp, a: xp.divmod(a, a, out=a),
    "too few": lambda xp, a: xp.add(a),
    "errstate": lambda xp, a: xp.errstate,
}


def outcome(action):
    """Describe what an expression gives, without reading values."""
    try:
        result = action()
    except Exception as error:
        return type(error)
    if hasattr(result, "strides") and not isinstance(result, type):
        strides = [s for s, n in zip(result.strides, result.shape, strict=True) if n > 1]
        return "array", result.shape, strides, result.dtype
    return result


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("case", [*COMPARED, *MODULE_COMPARED])
def test_same_outcome_as_cupy(real, real_a, a, case):
    if case in COMPARED:
        theirs = outcome(lambda: COMPARED[case](real_a))
        ours = outcome(lambda: COMPARED[case](a))
    else:
        theirs = outcome(lambda: MODULE_COMPARED[case](real, real_a))
        ours = outcome(lambda: MODULE_COMPARED[case](xp, a))
    if isinstance(theirs, type) and issubclass(theirs, real.cuda.runtime.CUDARuntimeError):
        pytest.skip("needs a GPU")
    same_error = isinstance(ours, type) and isinstance(theirs, type) and issubclass(ours, theirs)
    assert ours == theirs or same_error
