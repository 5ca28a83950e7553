"""Save and load: nothing is lost on the way, and a bad file harms nothing.

Round trips of random objects; every bit of a small file flipped, every truncation; files built to
do harm; a disk that fills up, a process that is killed.
"""

from __future__ import annotations

import errno
import io
import json
import math
import os
import pickle
import random
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import tracemalloc
import zipfile
from collections import OrderedDict, defaultdict, namedtuple
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
from minigrad import nn, serialize
from minigrad.serialize import BadFileError, load, save

ROOT = Path(__file__).parent.parent
posix = pytest.mark.skipif(os.name == "nt", reason="POSIX file modes and signals")


def same(a, b) -> bool:
    """Whether two objects are equal in type, structure, dtype and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, minigrad.Tensor):
        return a.requires_grad == b.requires_grad and same(a.array, b.array)
    if isinstance(a, (np.ndarray, np.generic)):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return same(list(a.items()), list(b.items()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, float):
        return repr(a) == repr(b)
    if isinstance(a, complex):
        return same((a.real, a.imag), (b.real, b.imag))
    return a == b


def through_file(obj):
    file = io.BytesIO()
    save(obj, file)
    file.seek(0)
    return load(file)


# ------------------------------------------------------------------------------- round trips

DTYPES = [
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"),
    *("float16", "float32", "float64"),
]


@st.composite
def arrays(draw, dtypes=(*DTYPES, "complex64", "<U3", "S2", "M8[ns]")):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    shape = draw(hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4))
    array = draw(hnp.arrays(dtype, shape))
    match draw(st.sampled_from(["C", "F", "strided", "reversed", "broadcast"])):
        case "F":
            array = np.asfortranarray(array)
        case "strided" if array.ndim:
            array = array[..., ::2]
        case "reversed" if array.ndim:
            array = array[::-1].T
        case "broadcast":
            array = np.broadcast_to(array, (2, *array.shape))
    return array


@st.composite
def tensors(draw):
    tensor = minigrad.from_numpy(draw(arrays(DTYPES)))
    requires_grad = tensor.dtype.kind == "f" and draw(st.booleans())
    if draw(st.booleans()):
        return nn.Parameter(tensor, requires_grad)
    tensor.requires_grad = requires_grad
    return tensor


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(2**200), 2**200)
    | st.floats()
    | st.complex_numbers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.sampled_from(DTYPES).map(np.dtype)
    | st.sampled_from([np.float32(0.1), np.float64(math.pi), np.int64(-1), np.bool_(True)])
)
keys = (
    st.text(max_size=4)
    | st.sampled_from(["$tensor", "$", "a/b", "a", "../x", "structure.json", "é", "\ud800", "\0"])
    | st.integers()
    | st.booleans()
    | st.none()
    | st.floats(allow_nan=False)
    | st.tuples(st.integers(), st.text(max_size=2))
)
objects = st.recursive(
    scalars | arrays() | tensors(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.dictionaries(keys, inner, max_size=3).map(OrderedDict)
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None)
@given(objects)
def test_what_is_saved_comes_back(obj):
    assert same(through_file(obj), obj)


def test_comparison_sees_every_difference():
    tensor = minigrad.tensor([1.0])
    grad = minigrad.tensor([1.0], requires_grad=True)
    different = [1, 1.0, True, "1", None, (1,), [1], {"a": 1}, {1: 1}, OrderedDict(a=1), b"1"]
    different += [np.float32(1), np.ones(1), np.ones(1, "f4"), np.ones((1, 1)), tensor, grad]
    different += [0.0, -0.0, math.nan, math.inf, nn.Parameter(tensor), np.zeros(1), -np.zeros(1)]
    for i, a in enumerate(different):
        assert [j for j, b in enumerate(different) if same(a, b)] == [i]


def test_the_path_is_written_exactly(tmp_path):
    for name in ("weights", "weights.pt", "weights.npz", "weights.tar.pth", "größe ü.bin", "-"):
        save({"w": 1}, tmp_path / name)
        save({"w": 2}, str(tmp_path / name))
        assert load(os.fsencode(tmp_path / name)) == {"w": 2}
    assert len(os.listdir(tmp_path)) == 6


def test_a_relative_path_and_an_open_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save([1], "here.npz")
    with open("here.npz", "rb") as file:
        assert load(file) == [1]
    with open("stream", "wb") as file:
        file.write(b"before")
        save([2], file)
        assert not file.closed
    with open("stream", "rb") as file:
        assert file.read(6) == b"before"
        assert load(file) == [2]


def test_numpy_reads_our_files_and_we_read_numpys(tmp_path):
    path = tmp_path / "w.npz"
    weight = np.arange(6, dtype="f4").reshape(2, 3)
    save({"model": {"fc.weight": minigrad.from_numpy(weight)}, "epoch": 3}, path)
    with np.load(path) as archive:
        np.testing.assert_array_equal(archive["model/fc.weight"], weight)

    np.savez(path, weight=weight, big=weight.astype(">f8").T, words=np.array(["a", "b"]))
    state = load(path)
    assert list(state) == ["weight", "big", "words"]
    assert isinstance(state["weight"], minigrad.Tensor)
    assert same(state["weight"].array, weight)
    assert state["big"].dtype.isnative and (state["big"].array == weight.T).all()
    assert state["words"].tolist() == ["a", "b"]  # text is no tensor


def test_odd_keys_do_not_collide():
    state = {"a": {"b": np.zeros(1), "../c": np.ones(1)}, "a/b": np.full(1, 2), "#1": np.full(1, 3)}
    state = {**state, "x" * 1000: np.full(1, 4), "é": np.full(1, 5), "A": {"B": np.full(1, 6)}}
    assert same(through_file(state), state)


def test_equal_objects_make_equal_files():
    files = [io.BytesIO(), io.BytesIO()]
    for file in files:
        save({"a": np.ones(3), 1: [1.5, None]}, file)
        time.sleep(0.01)
    assert files[0].getvalue() == files[1].getvalue()


def test_loaded_tensors_are_their_own(tmp_path):
    weight = minigrad.tensor([1.0, 2.0])
    save({"a": weight, "b": weight}, tmp_path / "w")
    state = load(tmp_path / "w")
    state["a"].array[0] = 7
    assert state["b"].array[0] == 1 and weight.array[0] == 1
    assert state["a"].array.flags.writeable and state["a"].array.flags.owndata


def test_result_of_a_computation_comes_back_as_a_leaf():
    x = minigrad.tensor([1.0, 2.0], requires_grad=True)
    y = through_file(x * 2)
    assert y.is_leaf and y.requires_grad and y.array.tolist() == [2, 4]


def test_optimizer_like_state_and_random_state():
    state = {
        "state": {0: {"step": 3, "exp_avg": minigrad.tensor([0.5])}, 1: {"step": 4}},
        "param_groups": [{"lr": 1e-3, "betas": (0.9, 0.999), "params": [0, 1]}],
        "rng": np.random.default_rng(0).bit_generator.state,
    }
    again = through_file(state)
    assert same(again, state)
    generator = np.random.default_rng(1)
    generator.bit_generator.state = again["rng"]
    assert generator.random() == np.random.default_rng(0).random()


class Special(np.ndarray):
    pass


def test_subclasses_come_back_as_what_they_extend():
    Point = namedtuple("Point", "x y")
    counts = defaultdict(list, loss=[1.0])
    again = through_file([Point(1, 2), counts, np.str_("x"), np.ones(2).view(Special)])
    assert same(again, [(1, 2), {"loss": [1.0]}, "x", np.ones(2)])


class Model:
    def state_dict(self):
        return {}


@pytest.mark.parametrize(
    "obj, text",
    [
        ({"a": [0, {1, 2}]}, r"obj\['a'\]\[1\]"),
        ({"model": Model()}, "state_dict"),
        ({"f": print}, "builtin_function"),
        ({"p": Path("x")}, r"str\(path\)"),
        ({Path("x"): 1}, "Path"),
        ({"a": np.array([None])}, "dtype object"),
        ({"a": np.zeros(2, "i4,f4")}, r"obj\['a'\]"),
        ({"a": np.zeros(2, "V3")}, r"obj\['a'\]"),
        ({"a": np.ma.masked_array([1.0], [True])}, "MaskedArray"),
        ({"a": np.dtype("O")}, "dtype"),
    ],
)
def test_what_cannot_be_saved_is_named(obj, text, tmp_path):
    save("old", tmp_path / "file")
    with pytest.raises(TypeError, match=text):
        save(obj, tmp_path / "file")
    assert load(tmp_path / "file") == "old" and os.listdir(tmp_path) == ["file"]


def test_depth_and_number_are_bounded(monkeypatch):
    def nested(wrap, depth):
        obj = 0
        for _ in range(depth):
            obj = wrap(obj)
        return obj

    for wrap in (lambda x: [x], lambda x: (x,), lambda x: {"a": x}, lambda x: {0: x}):
        deepest = nested(wrap, serialize.MAX_DEPTH)
        assert same(through_file(deepest), deepest)
        with pytest.raises(ValueError, match="50 deep"):
            save(wrap(deepest), io.BytesIO())
    with pytest.raises(ValueError, match="50 deep"):
        save({nested(lambda x: (x,), 60): 1}, io.BytesIO())
    loop = {}
    loop["self"] = loop
    with pytest.raises(ValueError, match="contains itself"):
        save(loop, io.BytesIO())
    monkeypatch.setattr(serialize, "MAX_ARRAYS", 2)
    with pytest.raises(ValueError, match="at most 2 arrays"):
        save([np.ones(1)] * 3, io.BytesIO())


@pytest.mark.parametrize("limit", ["ZIP_FILECOUNT_LIMIT", "ZIP64_LIMIT"])
def test_the_64_bit_form_of_the_archive(limit, monkeypatch):
    monkeypatch.setattr(zipfile, limit, 20)  # as if there were 65,536 arrays, or 2 GiB of them
    state = {f"layer{i}": np.full(1000, i) for i in range(30)}
    assert same(through_file(state), state)


# ----------------------------------------------------------------------------------- devices


def test_a_tensor_is_saved_from_any_device_and_loaded_to_any(device, tmp_path):
    values = np.arange(6, dtype="f4").reshape(2, 3)
    tensor = minigrad.tensor(values, device=device)
    save({"w": tensor.T, "p": nn.Parameter(tensor)}, tmp_path / "w")
    assert tensor.device.type == minigrad.device(device).type  # saving moves nothing
    for where in ("cpu", device):
        state = load(tmp_path / "w", map_location=where)
        for loaded, expected in zip(state.values(), (values.T, values), strict=True):
            assert loaded.device.type == minigrad.device(where).type
            assert same(loaded.detach().cpu().numpy(), expected)
        assert isinstance(state["p"], nn.Parameter) and state["p"].requires_grad


def test_map_location(tmp_path):
    save(minigrad.tensor([1.0]), tmp_path / "t")
    for where in (None, "cpu", minigrad.device("cpu")):
        assert load(tmp_path / "t", map_location=where).device.type == "cpu"
        assert load(tmp_path / "t", where, weights_only=False).device.type == "cpu"
    with pytest.raises(TypeError, match="map_location"):
        load(tmp_path / "t", map_location=lambda storage, location: storage)
    with pytest.raises(RuntimeError, match="no such device"):
        load(tmp_path / "t", map_location="tpu")


# --------------------------------------------------------------------------------- bad files


def small_file() -> bytes:
    file = io.BytesIO()
    save({"w": np.array([1.5, -2.0], "f4"), 3: (True, math.nan)}, file)
    return file.getvalue()


def outcome(content: bytes):
    try:
        return load(io.BytesIO(content))
    except BadFileError:
        return BadFileError


def test_every_flipped_bit_is_found_or_harmless():
    content = small_file()
    good = load(io.BytesIO(content))
    found = 0
    for i in range(len(content)):
        for flip in (0x01, 0x80, 0x24, 0xFF):
            bad = bytearray(content)
            bad[i] ^= flip
            result = outcome(bytes(bad))
            assert result is BadFileError or same(result, good), (i, flip)
            found += result is BadFileError
    assert found > len(content)  # about half of the bytes are dates, attributes and the like


def test_every_truncation_is_found():
    content = small_file()
    for length in range(len(content)):
        assert outcome(content[:length]) is BadFileError, length
    assert outcome(content + b"\0") is BadFileError
    assert outcome(b"\0" + content) is BadFileError


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_scrambled_files_raise_nothing_else(data):
    content = bytearray(small_file())
    for _ in range(data.draw(st.integers(1, 6))):
        i = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["scrub", "copy", "cut"])):
            case "scrub":
                content[i : i + 4] = data.draw(st.binary(min_size=4, max_size=4))
            case "copy":
                j = data.draw(st.integers(0, len(content) - 1))
                content[i : i + 8] = content[j : j + 8]
            case "cut":
                del content[i : i + data.draw(st.integers(1, 8))]
        if not content:
            break
    outcome(bytes(content))


def npy(header: str, data: bytes = b"") -> bytes:
    """A .npy member with this header, true or not."""
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def array_header(descr: str = "<f4", shape: str = "(2,)", order: bool = False) -> str:
    return f"{{'descr': {descr!r}, 'fortran_order': {order}, 'shape': {shape}, }}"


def archive(*members: tuple[str, bytes], structure=None, compression=0) -> bytes:
    """A zip of these members, and of structure.json where a structure is given."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as zipped:
        if structure is not None:
            if not isinstance(structure, bytes):
                wrapped = {"format": "minigrad", "version": 1, "object": structure}
                structure = json.dumps(wrapped).encode()
            zipped.writestr("structure.json", structure)
        for name, content in members:
            zipped.writestr(name, content)
    return file.getvalue()


def test_the_hostile_files_below_would_be_read_if_they_were_good():
    member = ("w.npy", npy(array_header(), bytes(8)))
    assert same(load(io.BytesIO(archive(member, structure={"$array": "w"}))), np.zeros(2, "f4"))
    assert list(load(io.BytesIO(archive(member)))) == ["w"]


def overlapping() -> bytes:
    """Members whose bytes lie inside of one another, so that little is stored and much declared."""
    inner = b""
    members = []
    for i in range(20):
        header = npy(array_header("|u1", f"({len(inner)},)"))
        body = header + inner
        name = f"{i}.npy".encode()
        local = struct.pack(
            "<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 0x21, zipfile.crc32(body), len(body), len(body),
            len(name), 0,
        )  # fmt: skip
        inner = local + name + body
        members.append((name, zipfile.crc32(body), len(body), len(inner)))
    directory = b""
    for name, crc, length, end in members:
        directory += struct.pack(
            "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0x21, crc, length, length,
            len(name), 0, 0, 0, 0, 0, len(inner) - end,
        ) + name  # fmt: skip
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 20, 20, len(directory), len(inner), 0)
    return inner + directory + end


def encrypted() -> bytes:
    content = bytearray(archive(("w.npy", npy(array_header(), bytes(8)))))
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    return bytes(content)


def huge_directory() -> bytes:
    """2**19 entries in the zip's directory: each would become an object of half a kilobyte."""
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\1\2", 20, 20, 0, 0, 0, 0x21, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0
    )
    count = 2**19
    directory = (entry + b"a") * count
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 0, 0, len(directory), 0, 0)
    return directory + end


def wrong_checksum() -> bytes:
    content = archive(("w.npy", npy(array_header(), b"weights!")))
    return content.replace(b"weights!", b"Weights!")


def repeated() -> bytes:
    members = [(name, npy(array_header(), bytes(8))) for name in ("w.npy", "v.npy")]
    return archive(*members).replace(b"v.npy", b"w.npy")


class Bomb:
    def __reduce__(self):
        return (os.system, ("echo the pickle ran > pickle_ran",))


PICKLE = pickle.dumps(Bomb())
HOSTILE = {
    "empty": (b"", "empty"),
    "nonsense": (b"hello, this is no archive at all", "no weight file"),
    "pickle": (PICKLE, "pickle.*not run"),
    "PyTorch": (
        archive(("archive/data.pkl", PICKLE), ("archive/data/0", bytes(8))),
        "PyTorch file.*not run(.|\n)*savez",
    ),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(100), "HDF5"),
    "npy": (npy(array_header(), bytes(8)), "single NumPy array"),
    "gzip": (b"\x1f\x8b\x08" + bytes(30), "gzip"),
    "no members": (archive(), "empty"),
    "a document": (archive(("word/document.xml", b"<x>")), "no array"),
    "pickle inside": (archive(("w.npy", npy(array_header("|O", "()"), PICKLE))), "dtype"),
    "pickle for data": (archive(("w.npy", PICKLE)), "no array"),
    "structured": (
        archive(
            ("w.npy", npy("{'descr': [('a', '|O')], 'fortran_order': False, 'shape': (1,), }"))
        ),
        "no array",
    ),
    "terabytes": (
        archive(("w.npy", npy(array_header(shape="(1099511627776,)"), bytes(8)))),
        "size",
    ),
    "too short": (archive(("w.npy", npy(array_header(), bytes(4)))), "8 bytes(.|\n)*4 bytes"),
    "too long": (archive(("w.npy", npy(array_header(), bytes(12)))), "8 bytes(.|\n)*12 bytes"),
    "negative": (archive(("w.npy", npy(array_header(shape="(-1, -2)"), bytes(8)))), "no array"),
    "65 axes": (archive(("w.npy", npy(array_header(shape=str((1,) * 65)), bytes(4)))), "never"),
    "no item size": (
        archive(("w.npy", npy(array_header("<U0", "(1099511627776,)")))),
        "dtype",
    ),
    "dtype bomb": (archive(("w.npy", npy(array_header("<U500000000", "(1,)")))), "size"),
    "odd bools": (archive(("w.npy", npy(array_header("|b1", "(2,)"), b"\1\2"))), "bools"),
    "header is code": (archive(("w.npy", npy("__import__('os').system('true')"))), "no array"),
    "deep header": (archive(("w.npy", npy("(" * 9000))), "no array"),
    "version 9": (archive(("w.npy", b"\x93NUMPY\x09\x00" + bytes(8))), "no array"),
    "compressed": (
        archive(("w.npy", npy(array_header("|u1", "(100000000,)"), bytes(10**8))), compression=8),
        "compressed(.|\n)*numpy.savez",
    ),
    "overlapping": (overlapping(), "larger than the file|damaged"),
    "encrypted": (encrypted(), "encrypted"),
    "huge directory": (huge_directory(), "too many members"),
    "checksum": (wrong_checksum(), "damaged.*\n.*CRC"),
    "same name": (repeated(), "same name"),
    "absolute": (archive(("/etc/w.npy", npy(array_header(), bytes(8)))), "outside"),
    "upwards": (archive(("../w.npy", npy(array_header(), bytes(8)))), "outside"),
    "missing": (archive(structure={"$array": "w"}), "'w.npy' is missing"),
    "not listed": (
        archive(("w.npy", npy(array_header(), bytes(8))), structure=1),
        "'w.npy' is not",
    ),
    "used twice": (
        archive(
            ("w.npy", npy(array_header(), bytes(8))), structure=[{"$array": "w"}, {"$array": "w"}]
        ),
        "used twice",
    ),
    "text tensor": (
        archive(("w.npy", npy(array_header("<U1"), bytes(8))), structure={"$tensor": "w"}),
        "dtype",
    ),
    "integer gradient": (
        archive(
            ("w.npy", npy(array_header("<i4"), bytes(8))),
            structure={"$tensor": "w", "requires_grad": True},
        ),
        "dtype",
    ),
    "JSON": (archive(structure=b"{"), "never writes"),
    "JSON bytes": (archive(structure=b"\xff\xfe{}"), "never writes"),
    "JSON list": (archive(structure=b"[1]"), "never writes"),
    "JSON depth": (archive(structure=b"[" * 1_000_000), "nested too deeply"),
    "JSON depth, hidden": (archive(structure=rb'["\\", "]\"]]", ' + b"[" * 9999), "deeply"),
    "JSON NaN": (archive(structure=b'{"format": NaN}'), "not JSON"),
    "JSON digits": (archive(structure=b"[" + b"9" * 4000 + b"]"), "digits"),
    "JSON key twice": (archive(structure=b'{"format": 1, "format": 2}'), "twice"),
    "key twice": (archive(structure={"$dict": [[1, 2], [1, 3]]}), "twice"),
    "list as key": (archive(structure={"$dict": [[[1], 2]]}), "never writes"),
    "other JSON": (archive(structure=b'{"format": "other"}'), "no minigrad file"),
    "newer": (archive(structure=b'{"format": "minigrad", "version": 2}'), "newer"),
    "no object": (archive(structure=b'{"format": "minigrad", "version": 1}'), "never writes"),
    "tag": (archive(structure={"$eval": "1"}), "not known"),
    "mixed tag": (archive(structure={"$int": "0x1", "b": 1}), "mixes"),
    "int": (archive(structure={"$int": "ten"}), "never writes"),
    "float": (archive(structure={"$float": "1.0"}), "never writes"),
    "scalar": (archive(structure={"$scalar": ["<f4", "00"]}), "do not fit"),
    "scalar dtype": (archive(structure={"$scalar": ["|O", "00" * 8]}), "dtype"),
    "dtype": (archive(structure={"$dtype": "f4,f4"}), "dtype"),
    "name": (archive(structure={"$array": ["w"]}), "missing"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content, text = HOSTILE[name]
    (tmp_path / "strange.pt").write_bytes(content)
    load_modules()
    tracemalloc.start()
    try:
        with pytest.raises(BadFileError, match=text) as caught:
            load("strange.pt")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "strange.pt" in str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert peak < 2**20 + 15 * min(len(content), 2**20)
    assert os.listdir(tmp_path) == ["strange.pt"]  # no pickle ran


def load_modules():
    """Import what `load` imports where it is used, so that it is not counted as memory taken."""
    through_file({"w": np.ones(1)})


def test_a_large_structure_is_refused_before_it_is_parsed(monkeypatch):
    monkeypatch.setattr(serialize, "MAX_TABLE_BYTES", 1000)
    with pytest.raises(BadFileError, match="too large"):
        load(io.BytesIO(archive(structure=["x"] * 300)))
    with pytest.raises(ValueError, match="one array"):
        save(["x"] * 300, io.BytesIO())


def test_a_member_far_outside_of_the_file(tmp_path, monkeypatch):
    members = [(name, npy(array_header(), bytes(8))) for name in ("a.npy", "b.npy")]
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 20)
        content = archive(*members)
    offset = content.rindex(b"PK\3\4")
    extra = struct.pack("<Q", offset)
    assert content.count(extra) == 1
    (tmp_path / "far").write_bytes(content.replace(extra, struct.pack("<Q", 2**63 - 1)))
    with pytest.raises(BadFileError, match="outside of the file"):
        load(tmp_path / "far")


def test_64_bit_directory_must_tell_the_truth():
    content = archive(("w.npy", npy(array_header(), bytes(8))))
    count, length, offset = struct.unpack("<H2L", content[-12:-2])
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, length, offset)

    def with_locator(record: bytes, where: int) -> bytes:
        locator = struct.pack("<4sLQL", b"PK\6\7", 0, where, 1)
        return content[:-22] + record + locator + content[-22:]

    good = with_locator(record, len(content) - 22)
    assert list(load(io.BytesIO(good))) == ["w"]
    with pytest.raises(BadFileError, match="not where"):
        load(io.BytesIO(with_locator(record, 0)))
    liar = record[:40] + struct.pack("<Q", 2**40) + record[48:]
    with pytest.raises(BadFileError, match="not where"):
        load(io.BytesIO(with_locator(liar, len(content) - 22)))


def test_a_missing_file_or_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file(.|\n)*weights.pt") as caught:
        load("weights.pt")
    assert caught.value.filename == "weights.pt" and str(tmp_path) in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such folder(.|\n)*nowhere"):
        save({}, "nowhere/weights.pt")
    with pytest.raises(OSError):
        load(tmp_path)
    with pytest.raises(OSError):
        save({}, tmp_path)


# ------------------------------------------------------------------- full disks, kills, modes


class FullDisk(io.FileIO):
    """A file that has `room` bytes left to write."""

    room = 0

    def write(self, data):
        if len(data) > FullDisk.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        FullDisk.room -= len(data)
        return super().write(data)


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    save({"w": "old"}, path)
    new = {"w": np.arange(5000.0), "v": [np.ones(2)] * 3}
    size = io.BytesIO()
    save(new, size)
    size = len(size.getvalue())

    def open_on_a_full_disk(name, mode):
        if mode == "rb":
            return open(name, mode)
        return io.BufferedWriter(FullDisk(name, mode.replace("b", "")), 512)

    monkeypatch.setattr(serialize, "open", open_on_a_full_disk, raising=False)
    rooms = [*range(0, size, 997), size - 1]
    for room in rooms:
        FullDisk.room = room
        with pytest.raises(OSError, match="No space left.*weights.npz") as caught:
            save(new, path)
        assert caught.value.errno == errno.ENOSPC
        assert load(path) == {"w": "old"} and os.listdir(tmp_path) == ["weights.npz"]
    FullDisk.room = 10 * size
    save(new, path)
    assert same(load(path), new)


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(errno.EIO, "I/O error"), KeyboardInterrupt()])
def test_a_failure_at_any_step_leaves_the_old_file(step, error, tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    save("old", path)

    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(type(error)):
        save("new", path)
    monkeypatch.undo()
    assert load(path) == "old" and os.listdir(tmp_path) == ["weights.npz"]


def test_everything_is_flushed_before_the_rename_and_the_folder_after(tmp_path, monkeypatch):
    steps = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)

        def log(*args, name=name, real=real):
            if name == "fsync":
                name = "flush folder" if stat.S_ISDIR(os.fstat(args[0]).st_mode) else "flush file"
            steps.append(name)
            return real(*args)

        monkeypatch.setattr(os, name, log)
    save("new", tmp_path / "weights.npz")
    assert steps == ["flush file", "replace", "flush folder"][: 2 if os.name == "nt" else 3]


SAVE_FOREVER = """
import sys, numpy as np
from minigrad.serialize import save
print("ready", flush=True)
for i in range(10**9):
    save({"w": np.full(200_000, i), "i": i}, sys.argv[1])
"""


@posix
def test_a_killed_process_leaves_the_old_file_or_the_new(tmp_path):
    path = tmp_path / "weights.npz"
    save({"w": np.full(3, -1), "i": -1}, path)
    rng = random.Random(0)
    reached = []
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", SAVE_FOREVER, str(path)], cwd=ROOT, stdout=subprocess.PIPE
        )
        process.stdout.readline()
        time.sleep(rng.uniform(0.01, 0.1))
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        state = load(path)
        assert (state["w"] == state["i"]).all()
        reached.append(state["i"])
    assert max(reached) >= 0  # at least one save was finished
    litter = [name for name in os.listdir(tmp_path) if name != "weights.npz"]
    assert all(name.startswith(".minigrad-") and name.endswith(".tmp") for name in litter)


@posix
def test_file_modes_are_those_of_open(tmp_path):
    path = tmp_path / "weights.npz"
    before = os.umask(0o027)
    try:
        save(1, path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o604)
    save(2, path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o604 and load(path) == 2


@posix
def test_a_read_only_file_is_not_replaced(tmp_path, monkeypatch):
    path = tmp_path / "weights.npz"
    save(1, path)
    path.chmod(0o444)
    if os.access(path, os.W_OK):  # root may write anything
        monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError, match="read-only"):
        save(2, path)
    assert load(path) == 1


@posix
def test_links_and_pipes_stay_what_they_are(tmp_path):
    (tmp_path / "runs").mkdir()
    link = tmp_path / "latest.npz"
    link.symlink_to("runs/1.npz")
    save(1, link)  # the link dangles: the file is made
    save(2, link)
    assert link.is_symlink() and load(tmp_path / "runs" / "1.npz") == 2
    pipe = tmp_path / "pipe"  # stands for every special file; renaming onto /dev/null would hurt
    os.mkfifo(pipe)
    received = []
    reader = threading.Thread(target=lambda: received.append(load(pipe)), daemon=True)
    reader.start()
    save(3, pipe)
    reader.join(10)
    assert received == [3] and stat.S_ISFIFO(pipe.stat().st_mode)


# ------------------------------------------------------------------------------- safetensors


def test_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    path = tmp_path / "weights.safetensors"
    weight = np.arange(6, dtype="f4").reshape(2, 3).T
    save({"w": minigrad.from_numpy(weight), "b": np.ones(2)}, path)
    assert same(library.load_file(path)["w"], weight)
    state = load(path)
    assert sorted(state) == ["b", "w"] and same(state["w"].array, weight)
    path.rename(tmp_path / "renamed")
    assert same(load(tmp_path / "renamed")["w"].array, weight)
    with pytest.raises(TypeError, match="flat dict"):
        save({"model": {"w": weight}}, path)
    content = (tmp_path / "renamed").read_bytes()
    for length in (7, 20, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(BadFileError, match="weights.safetensors"):
            load(path)
    bfloat16 = b'{"w":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}}'
    path.write_bytes(struct.pack("<Q", len(bfloat16)) + bfloat16 + bytes(2))
    with pytest.raises(BadFileError, match="bfloat16"):
        load(path)


def test_safetensors_missing_is_said(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    path = tmp_path / "w.safetensors"
    with pytest.raises(ImportError, match=r"pip install '\.\[weights\]'"):
        save({"w": np.ones(1)}, path)
    path.write_bytes(b"\2\0\0\0\0\0\0\0{}")
    with pytest.raises(ImportError, match="safetensors"):
        load(path)
