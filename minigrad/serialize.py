"""Save and load: weights, checkpoints, any nest of dicts, lists, numbers and tensors.

The file is a plain ``.npz``, a zip archive with one ``.npy`` member for each array, so
``numpy.load`` opens it too, and a member ``structure.json`` that says how the arrays hang
together. Why not a pickle, as PyTorch writes? A pickle is a program: whoever loads it runs what
its author wrote. Here a file from a stranger can hold nothing but data.

Two promises shape the code. *Saving loses nothing*: the new file is written beside the old one,
flushed to the disk and only then renamed over it, so that a kill or a full disk leaves the old
file or the new one, never half of one. *Loading trusts nothing*: members are stored without
compression, so before any memory is taken each one's declared shape is held against the bytes
that really are in the file; a checksum then finds every flipped byte of the data, and whatever is
wrong ends in one exception, `BadFileError`.

Before this: ``_tensor.py``. Next: ``nn/module.py`` for `state_dict`, or ``training/loop.py``.
"""

from __future__ import annotations

import contextlib
import errno
import io
import json
import math
import os
import re
import stat
import struct
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np

from . import backend
from ._errors import message
from ._tensor import Tensor

if TYPE_CHECKING:
    from zipfile import ZipFile, ZipInfo
# zipfile itself takes longer to import than this package: it is imported where it is used.

__all__ = ["BadFileError", "load", "save"]

STRUCTURE = "structure.json"
VERSION = 1
MAX_DEPTH = 50  # containers inside containers
MAX_ARRAYS = 50_000
MAX_TABLE_BYTES = 16 * 2**20  # of structure.json, and of the zip's directory
GRAD_KINDS = "fc"  # dtype.kind of tensors that can require a gradient,
NUMBER_KINDS = "biu" + GRAD_KINDS  # of all tensors,
ARRAY_KINDS = NUMBER_KINDS + "SUmM"  # and of NumPy arrays: text and dates too, but no objects
CHUNK = 2**20  # bytes read at a time


class BadFileError(ValueError):
    """A file that is no weight file, or a damaged or hostile one; the text says which and why."""


def save(obj: Any, path: str | os.PathLike | BinaryIO) -> None:
    """Write `obj` to exactly this path; a file of that name is replaced at once or not at all.

    Parameters
    ----------
    obj : object
        A `Tensor`, `Parameter`, NumPy array or scalar, bool, int (of any size), float, complex,
        str, bytes, None or dtype; or dicts (with keys of such plain values), lists and tuples of
        them, up to 50 deep. Usually a ``state_dict()``, or a dict of several.
    path : str, path-like or binary file object
        Where to. No suffix is added. A path ending in ``.safetensors`` gets that format (a flat
        dict of tensors; needs the safetensors package). A file object is written as it stands,
        without the care that a path gets.

    Raises
    ------
    TypeError
        If something inside cannot be saved; the text says where it is. (A model is not data:
        save ``model.state_dict()``.)
    ValueError
        If it is nested too deeply (or contains itself), or holds too many values.
    OSError
        If the file cannot be written. What was there before is still there.

    Notes
    -----
    What comes back from `load` is equal: values bit for bit, dtypes, key types and order, tuples
    as tuples, and ``requires_grad``. Three things are not kept: the device; that two tensors
    shared memory (each is written in full); and subclasses, which come back as the builtin type
    they extend (a defaultdict as a dict), for a file must not choose which class gets built.

    The file is first written as ``.minigrad-*.tmp`` in the same folder; one may be left over
    after a kill or a power failure, and can be deleted.
    """
    is_file = hasattr(path, "write")
    if not is_file and os.fsdecode(path).endswith(".safetensors"):
        content = _to_safetensors(obj)
        with replacing(path) as file:
            file.write(content)
        return
    writer = _Encoder()
    structure = {"format": "minigrad", "version": VERSION, "object": writer.encode(obj, ())}
    text = json.dumps(structure, allow_nan=False).encode("ascii")
    if len(text) > MAX_TABLE_BYTES or len(writer.arrays) > MAX_ARRAYS:
        raise ValueError(
            message(
                "save",
                "the object has too many separate values.",
                expect=f"at most {MAX_ARRAYS:,} arrays, and {MAX_TABLE_BYTES:,} bytes of the rest",
                actual=f"{len(writer.arrays):,} arrays, {len(text):,} bytes",
                do="put long lists of numbers into one array: numpy.array(history)",
            )
        )
    with _in_one_go(path) if is_file else replacing(path) as file:
        _write_archive(file, text, writer.arrays)


def load(
    path: str | os.PathLike | BinaryIO, map_location=None, *, weights_only: bool = True
) -> Any:
    """Read what `save` wrote; also a plain ``numpy.savez`` file, or a ``.safetensors`` one.

    Parameters
    ----------
    path : str, path-like or binary file object
        The file. What it is, is read from its content, not from its suffix.
    map_location : str or device, optional
        Where the tensors go: ``'cpu'`` (the default, wherever they were saved), ``'cuda'``, ...
    weights_only : bool
        For PyTorch's sake. Both values read the same, since nothing in a file is ever executed.

    Returns
    -------
    object
        What was saved. The arrays of a ``numpy.savez`` file come as a dict of tensors.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BadFileError
        If the file is cut off, damaged, of another kind, or built to do harm.
    DeviceError
        If `map_location` is no device, or one that cannot be used.
    """
    if map_location is not None and not isinstance(map_location, (str, backend.device)):
        raise TypeError(
            message(
                "load",
                "map_location is not a device.",
                expect="None, 'cpu', 'cuda', 'cuda:N' or a device (no dict, no function)",
                actual=type(map_location).__name__,
            )
        )
    device = backend.device("cpu" if map_location is None else map_location)
    is_file = hasattr(path, "read")
    name = getattr(path, "name", type(path).__name__) if is_file else os.fsdecode(path)
    with contextlib.nullcontext(path) if is_file else _opened(name) as file:
        if is_file or not file.seekable():  # it may stand anywhere in a stream
            file = io.BytesIO(file.read())
        return _Reader(file, name, device).read()


# ---------------------------------------------------------------------- an object becomes JSON

# What JSON has no form for becomes an object with one key that begins with "$":
#
#   {"$tensor": name, "requires_grad": true}    also "$parameter"; without the second if false
#   {"$array": name}, {"$bytes": name}          the name is that of a member, without .npy
#   {"$tuple": [...]}
#   {"$dict": [[key, value], ...]}              where keys are not plain strings; "$ordered"
#   {"$int": "0x..."}                           beyond 2**53, where other readers round
#   {"$float": "nan"}, {"$complex": [re, im]}
#   {"$scalar": [dtype, hex]}, {"$dtype": "<f4"}


class _Encoder:
    """Turns an object into JSON values, and puts the arrays it finds aside, by member name."""

    def __init__(self):
        self.arrays: dict[str, Any] = {}

    def encode(self, obj: Any, keys: tuple) -> Any:
        """Return the JSON value of `obj`, which is found under `keys` in what is saved."""
        _check_depth(keys)
        if isinstance(obj, Tensor):
            tag = "$parameter" if isinstance(obj, _parameter_class()) else "$tensor"
            value = {tag: self._member(obj.array, keys)}
            return {**value, "requires_grad": True} if obj.requires_grad else value
        if isinstance(obj, np.ndarray) and not isinstance(obj, np.ma.MaskedArray):
            return {"$array": self._member(obj, keys)}
        if isinstance(obj, bytes):
            return {"$bytes": self._member(np.frombuffer(obj, np.uint8), keys)}
        if isinstance(obj, (list, tuple)):
            values = [self.encode(value, (*keys, i)) for i, value in enumerate(obj)]
            return {"$tuple": values} if isinstance(obj, tuple) else values
        if isinstance(obj, dict):
            return self._encode_dict(obj, keys)
        return _encode_plain(obj, keys)

    def _encode_dict(self, obj: dict, keys: tuple) -> dict:
        values = [self.encode(value, (*keys, key)) for key, value in obj.items()]
        plain = all(type(key) is str and not key.startswith("$") for key in obj)
        if plain and not isinstance(obj, OrderedDict):
            return dict(zip(obj, values, strict=True))
        names = [_encode_key(key, (*keys, key)) for key in obj]
        tag = "$ordered" if isinstance(obj, OrderedDict) else "$dict"
        return {tag: [list(pair) for pair in zip(names, values, strict=True)]}

    def _member(self, array, keys: tuple) -> str:
        """Put `array` aside, and return its name: its place where that is a safe file name."""
        if array.dtype.kind not in ARRAY_KINDS or array.dtype.itemsize == 0:
            raise TypeError(
                message(
                    "save",
                    f"an array at {_place(keys)} has a dtype that cannot be saved.",
                    expect="numbers, bools, text or dates",
                    actual=f"dtype {array.dtype}",
                )
            )
        name = "/".join(str(key) for key in keys) or "object"
        if name in self.arrays or not re.fullmatch(r"(?!.*\.\.)\w[\w./-]{,99}", name, re.ASCII):
            name = f"#{len(self.arrays)}"
        self.arrays[name] = array
        return name


def _encode_key(key: Any, keys: tuple) -> Any:
    _check_depth(keys)
    if isinstance(key, tuple):
        return {"$tuple": [_encode_key(part, (*keys, part)) for part in key]}
    return _encode_plain(key, keys)


def _check_depth(keys: tuple) -> None:
    if len(keys) > MAX_DEPTH:
        raise ValueError(
            message(
                "save",
                f"the object is nested more than {MAX_DEPTH} deep, or contains itself.",
                actual=_place(keys[:6]) + "...",
            )
        )


def _encode_plain(obj: Any, keys: tuple) -> Any:
    """Return the JSON value of something that is no container and no array."""
    if obj is None or isinstance(obj, (bool, str)):
        return obj
    if isinstance(obj, np.dtype) and obj.kind in ARRAY_KINDS and obj.itemsize:
        return {"$dtype": obj.str}
    if isinstance(obj, np.generic) and obj.dtype.kind in ARRAY_KINDS:
        return {"$scalar": [obj.dtype.str, obj.tobytes().hex()]}
    if isinstance(obj, int):
        return int(obj) if abs(obj) <= 2**53 else {"$int": hex(obj)}
    if isinstance(obj, float):
        return float(obj) if math.isfinite(obj) else {"$float": repr(float(obj))}
    if isinstance(obj, complex):
        return {"$complex": [_encode_plain(part, keys) for part in (obj.real, obj.imag)]}
    raise TypeError(
        message(
            "save",
            f"the value at {_place(keys)} cannot be saved.",
            expect="tensors, arrays, numbers, strings, bytes, None; dicts, lists, tuples of them",
            actual=f"{type(obj).__module__}.{type(obj).__qualname__}",
            do="save its state_dict()"
            if hasattr(obj, "state_dict")
            else "save what it is made of (str(path), list(set), vars(namespace), ...)",
        )
    )


def _place(keys: tuple) -> str:
    return "obj" + "".join(f"[{key!r}]" for key in keys)


def _parameter_class() -> type:
    from .nn.module import Parameter  # the engine's side of the library does not import nn

    return Parameter


# ----------------------------------------------------------------------- bytes reach the disk


def _write_archive(file: BinaryIO, structure: bytes, arrays: dict) -> None:
    from zipfile import ZipFile, ZipInfo  # ZipInfo's date is 1980: equal objects, equal files

    with ZipFile(file, "w") as archive:  # stored, not compressed
        archive.writestr(ZipInfo(STRUCTURE), structure)
        for name, array in arrays.items():
            member = ZipInfo(f"{name}.npy")
            member.file_size = array.nbytes + 2**16  # so zipfile knows if it needs 64-bit sizes
            with archive.open(member, "w") as out:
                array = backend.to_numpy(array)  # one at a time: the model stays where it is
                np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=False)


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when, and only when, all went well."""
    path = os.path.realpath(os.fsdecode(path))  # through a link, as open() writes
    old = os.stat(path) if os.path.exists(path) else None
    if old is not None and not stat.S_ISREG(old.st_mode):  # /dev/null must stay what it is
        with open(path, "wb") as file, _in_one_go(file) as buffer:
            yield buffer
        return
    if old is not None and not os.access(path, os.W_OK):  # renaming would ignore a write lock
        raise PermissionError(errno.EACCES, "the file is read-only", path)
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(
            errno.ENOENT, message("save", "there is no such folder; make it first"), folder
        )
    temporary = os.path.join(folder, f".minigrad-{os.urandom(8).hex()}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a crash could leave an empty file
        if old is not None:
            os.chmod(temporary, stat.S_IMODE(old.st_mode))
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too
        with contextlib.suppress(OSError):
            os.remove(temporary)
        if isinstance(error, OSError):
            error.filename, error.filename2 = path, None  # the user knows this name
        raise
    _flush_folder(folder)


@contextlib.contextmanager
def _in_one_go(file: BinaryIO) -> Iterator[BinaryIO]:
    """Collect what is written, then write it to a file that may stand anywhere in a stream."""
    buffer = io.BytesIO()
    yield buffer
    file.write(buffer.getbuffer())


def _flush_folder(folder: str) -> None:
    """Make the rename itself survive a power failure, where the system can do that."""
    if os.name == "nt":
        return
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:  # a folder that may be written but not listed
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems
            raise
    finally:
        os.close(handle)


def _opened(path: str) -> BinaryIO:
    try:
        return open(path, "rb")
    except FileNotFoundError:
        problem = message(
            "load",
            "there is no such file.",
            expect="a file that minigrad.save wrote",
            actual=os.path.abspath(path),
            do="check the path and the folder you run in, or train and save first",
        )
        raise FileNotFoundError(errno.ENOENT, problem, path) from None


# -------------------------------------------------------------------- a stranger's file is read

_OTHER_KINDS = (  # how a file that is not ours begins, what it is, and how its weights get here
    (b"\x89HDF", "an HDF5 file (Keras?)", "read it with h5py and save its arrays"),
    (b"\x93NUMPY", "a single NumPy array", "minigrad.from_numpy(numpy.load(path))"),
    (b"\x1f\x8b", "compressed with gzip", "unpack it first"),
    (b"\x80", "a pickle, which is a program: it is not run", "{torch}"),
)
_FROM_TORCH = (
    "where PyTorch is: state = torch.load(path, weights_only=True); "
    "numpy.savez('weights.npz', **{k: v.numpy() for k, v in state.items()})"
)

# The header that NumPy writes is a Python dict. NumPy reads it with Python's own parser; for a
# stranger's file the pattern of a plain array's header is safer, and says all there is to say.
_NPY_HEADER = re.compile(
    r"\{'descr': '([^']{,20})', 'fortran_order': (True|False), 'shape': \(([\d, ]{,500})\), \}\s*"
)


class _Reader:
    """Reads one open file; every check that fails raises `BadFileError` with the file's name."""

    def __init__(self, file: BinaryIO, name: str, device: backend.device):
        self.file = file
        self.name = str(name)
        self.device = device

    def bad(self, problem: str, **lines) -> BadFileError:
        return BadFileError(message(f"load {self.name!r}", problem, **lines))

    def read(self) -> Any:
        """Find out what the file is, and read it."""
        self.size = self.file.seek(0, os.SEEK_END)
        self.file.seek(0)
        head = self.file.read(16)
        self.file.seek(0)
        if not head:
            raise self.bad("the file is empty.")
        if head.startswith(b"PK"):
            return self.read_archive()
        header_bytes = int.from_bytes(head[:8], "little")
        named_so = self.name.endswith(".safetensors")
        if named_so or (head[8:9] == b"{" and header_bytes < self.size):
            return self.read_safetensors()
        for magic, kind, do in _OTHER_KINDS:
            if head.startswith(magic):
                raise self.bad(f"this is {kind}.", do=do.format(torch=_FROM_TORCH))
        raise self.bad(
            "this is no weight file.",
            expect="a file that minigrad.save or numpy.savez wrote, or a safetensors file",
            actual=f"{self.size:,} bytes that begin with {head!r}",
        )

    def read_archive(self) -> Any:
        from zipfile import BadZipFile, ZipFile

        self.check_directory()
        try:
            with ZipFile(self.file) as archive:
                self.archive = archive
                self.members = self.checked_members(archive)
                return self.read_members()
        # What zipfile and the decoder below raise on nonsense. OSError and MemoryError are not
        # among them: they tell of this machine, not of the file.
        except BadFileError:
            raise
        except (BadZipFile, EOFError, struct.error, NotImplementedError, RecursionError) as error:
            raise self.bad("the file is damaged.", actual=error) from error
        except (ValueError, TypeError, LookupError, OverflowError, AttributeError) as error:
            raise self.bad("the file holds what minigrad never writes.", actual=error) from error

    def check_directory(self) -> None:
        """Refuse an archive without its end, or with a table of contents beyond all reason.

        zipfile builds an object for each entry of that table, so its size must be known before.
        """
        self.file.seek(max(0, self.size - 98))
        tail = self.file.read(98).rjust(98, b"\0")
        record64, locator, end = tail[:56], tail[56:76], tail[76:]
        if end[:4] != b"PK\5\6" or end[20:] != b"\0\0":
            raise self.bad(
                "the file is cut off, or something was added to its end.",
                expect="a zip archive that ends with its directory",
                actual=f"{self.size:,} bytes",
                do="copy or save it again",
            )
        where, (length, offset) = self.size - 22, struct.unpack("<2L", end[12:20])
        if locator[:4] == b"PK\6\7":  # the 64-bit form of the same record comes before
            where, (length, offset) = self.size - 98, struct.unpack("<2Q", record64[40:56])
            if struct.unpack("<Q", locator[8:16])[0] != where:
                offset = -1
        if offset + length != where:
            raise self.bad("the archive's directory is not where it should be.")
        if length > MAX_TABLE_BYTES:
            raise self.bad(
                "the archive has too many members.",
                expect=f"a directory of at most {MAX_TABLE_BYTES:,} bytes",
                actual=f"{length:,}",
            )

    def checked_members(self, archive: ZipFile) -> dict[str, ZipInfo]:
        """Return the members by name, after every check that needs no member to be read."""
        members = archive.infolist()
        if any(member.filename.endswith(("/data.pkl", "/constants.pkl")) for member in members):
            raise self.bad(
                "this is a PyTorch file; its structure is a pickle, which is a program: it is "
                "not run.",
                do=_FROM_TORCH,
            )
        twice = [name for name, n in Counter(m.filename for m in members).items() if n > 1]
        if twice:
            raise self.bad(f"two members have the same name, {twice[0]!r}.")
        for member in members:
            self.check_member(member)
        total = sum(member.file_size for member in members)
        if total > self.size:  # members that lie in the same bytes would be read many times over
            raise self.bad(
                "the members are declared larger than the file.",
                expect=f"at most {self.size:,} bytes",
                actual=f"{total:,}",
            )
        return {member.filename: member for member in members}

    def check_member(self, member: ZipInfo) -> None:
        name = member.filename
        if member.compress_type != 0 or member.compress_size != member.file_size:
            raise self.bad(
                f"member {name!r} is compressed; how large it gets cannot be known before.",
                expect="members stored as they are",
                do="if you trust it: numpy.savez(new_path, **numpy.load(path))",
            )
        if member.flag_bits & 0x1:
            raise self.bad(f"member {name!r} is encrypted.")
        if name.startswith("/") or "\\" in name or ".." in name.split("/"):
            raise self.bad(f"member {name!r} points outside of the archive.")
        if name != STRUCTURE and not name.endswith(".npy"):
            raise self.bad(
                f"member {name!r} is no array.", expect=f"{STRUCTURE}, and names ending in .npy"
            )
        if not 0 <= member.header_offset < self.size:
            raise self.bad(f"member {name!r} lies outside of the file.")

    def read_members(self) -> Any:
        if STRUCTURE not in self.members:  # a plain numpy.savez file
            if not self.members:
                raise self.bad("the archive is empty.")
            return {name[:-4]: self.loose_array(name[:-4]) for name in list(self.members)}
        structure = self.read_structure()
        obj = self.decode(structure["object"])
        if self.members:
            raise self.bad(f"member {next(iter(self.members))!r} is not in {STRUCTURE}.")
        return obj

    def loose_array(self, name: str) -> Tensor | np.ndarray:
        array = self.array(name)
        return self.tensor(array) if array.dtype.kind in NUMBER_KINDS else array

    # ------------------------------------------------------------------------------ the JSON

    def read_structure(self) -> dict:
        member = self.members.pop(STRUCTURE)
        if member.file_size > MAX_TABLE_BYTES:
            raise self.bad(f"{STRUCTURE} is too large.", actual=f"{member.file_size:,} bytes")
        text = self.archive.read(member)  # all of it, so its checksum is verified here
        if _nesting(text) > 5 * MAX_DEPTH:  # before the parser, which recurses, sees it
            raise self.bad(f"{STRUCTURE} is nested too deeply.")
        structure = json.loads(
            text.decode("ascii"),
            object_pairs_hook=self.unique_keys,
            parse_int=self.short_int,
            parse_constant=self.refuse_constant,
        )
        if structure["format"] != "minigrad":
            raise self.bad("this is no minigrad file.", actual=structure["format"])
        if structure["version"] != VERSION:
            raise self.bad(
                "a newer minigrad wrote the file.",
                expect=f"version {VERSION}",
                actual=f"version {structure['version']}",
                do="update minigrad",
            )
        return structure

    def unique_keys(self, pairs: list) -> dict:
        result = dict(pairs)
        if len(result) != len(pairs):
            raise self.bad(f"{STRUCTURE} has a key twice.")
        return result

    def short_int(self, digits: str) -> int:
        if len(digits) > 20:  # reading n digits takes n**2 steps
            raise self.bad(f"{STRUCTURE} has an integer of {len(digits):,} digits.")
        return int(digits)

    def refuse_constant(self, word: str):
        raise self.bad(f"{STRUCTURE} has {word}, which is not JSON.")

    def decode(self, value: Any) -> Any:
        """Return the object that a JSON value stands for: what `_Encoder.encode` began with."""
        if isinstance(value, list):
            return [self.decode(part) for part in value]
        if not isinstance(value, dict):
            return value
        tag = next(iter(value), "")
        if not tag.startswith("$"):
            return {key: self.decode(part) for key, part in value.items()}
        if not set(value) <= {tag, "requires_grad"}:
            raise self.bad(f"{STRUCTURE} mixes a tag with other keys.", actual=list(value)[:5])
        return self.decode_tagged(tag, value[tag], value.get("requires_grad", False))

    def decode_tagged(self, tag: str, content: Any, requires_grad: bool) -> Any:
        match tag:
            case "$tensor":
                return self.tensor(self.array(content), requires_grad)
            case "$parameter":
                return _parameter_class()(self.tensor(self.array(content)), requires_grad)
            case "$array":
                return self.array(content)
            case "$bytes":
                return self.array(content).tobytes()
            case "$tuple":
                return tuple(self.decode(content))
            case "$dict":
                return self.decode_pairs(content)
            case "$ordered":
                return OrderedDict(self.decode_pairs(content))
            case "$int":
                return int(content, 16)  # with a power of two as base, linear in the digits
            case "$float":
                return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
            case "$complex":
                return complex(*self.decode(content))
            case "$scalar":
                return self.decode_scalar(*content)
            case "$dtype":
                return self.dtype(content)
        raise self.bad(f"{STRUCTURE} has a tag that is not known.", actual=tag)

    def decode_pairs(self, pairs: list) -> dict:
        result = {self.decode(key): self.decode(value) for key, value in pairs}
        if len(result) != len(pairs):
            raise self.bad(f"{STRUCTURE} has a key twice.")
        return result

    def decode_scalar(self, dtype: str, digits: str) -> np.generic:
        dtype, data = self.dtype(dtype), bytes.fromhex(digits)
        if len(data) != dtype.itemsize:
            raise self.bad("a scalar's bytes do not fit its dtype.", actual=f"{dtype}, {digits}")
        return np.frombuffer(data, dtype)[0]

    def dtype(self, text: str) -> np.dtype:
        dtype = np.dtype(text) if isinstance(text, str) and len(text) < 20 else None
        if dtype is None or dtype.kind not in ARRAY_KINDS or dtype.itemsize == 0:
            raise self.bad("it holds a dtype that is never saved.", actual=repr(text))
        return dtype

    # ---------------------------------------------------------------------------- the arrays

    def array(self, name: str) -> np.ndarray:
        """Return the array of one member; each can be had once, so memory stays bounded."""
        filename = f"{name}.npy"
        if filename not in self.members:
            raise self.bad(f"member {filename!r} is missing, or used twice.")
        member = self.members.pop(filename)
        with self.archive.open(member) as file:
            array = self.empty_array(file, member)
            content = array.reshape(-1, order="A").view(np.uint8) if array.size else array
            for start in range(0, array.nbytes, CHUNK):
                part = content[start : start + CHUNK]
                part[:] = np.frombuffer(file.read(len(part)), np.uint8)
            # At the member's last byte zipfile has compared the checksum.
        if array.dtype.kind == "b" and array.size and content.max() > 1:
            raise self.bad(f"array {name!r} has bools that are neither 0 nor 1.")
        return array

    def empty_array(self, file: BinaryIO, member: ZipInfo) -> np.ndarray:
        """Read an .npy header, and return memory for the array if it fits the bytes stored."""
        start = file.read(10)
        header = file.read(int.from_bytes(start[8:], "little")).decode("latin-1")
        match = _NPY_HEADER.fullmatch(header)
        if start[:8] != b"\x93NUMPY\1\0" or not match:
            raise self.bad(
                f"member {member.filename!r} is no array.",
                expect="the .npy format, version 1.0, of plain numbers or text",
                actual=repr((start, header[:60])),
            )
        dtype, shape = self.dtype(match[1]), tuple(int(n) for n in re.findall(r"\d+", match[3]))
        declared, stored = math.prod(shape) * dtype.itemsize, member.file_size - file.tell()
        if declared != stored:
            raise self.bad(
                f"member {member.filename!r} does not have the size that it declares.",
                expect=f"shape {shape} of {dtype}: {declared:,} bytes",
                actual=f"{stored:,} bytes",
            )
        return np.empty(shape, dtype, order="F" if match[2] == "True" else "C")

    def tensor(self, array: np.ndarray, requires_grad: bool = False) -> Tensor:
        if array.dtype.kind not in (GRAD_KINDS if requires_grad else NUMBER_KINDS):
            raise self.bad("it holds a tensor of an impossible dtype.", actual=array.dtype)
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
        tensor = Tensor(backend.asarray_on(array, self.device))
        tensor.requires_grad = requires_grad
        return tensor

    # ----------------------------------------------------------------------------- safetensors

    def read_safetensors(self) -> dict[str, Tensor]:
        module = _safetensors("load")
        try:
            arrays = module.load(self.file.read())
        except MemoryError:
            raise
        except Exception as error:  # its own error, or KeyError for a dtype NumPy has not
            raise self.bad(
                "safetensors cannot read the file.",
                actual=f"{type(error).__name__}: {error}",
                do="a dtype that NumPy has not (bfloat16, float8) can be converted in PyTorch",
            ) from error
        return {name: self.tensor(array) for name, array in arrays.items()}


def _nesting(text: bytes) -> int:
    """Return how deep the brackets of a JSON text nest, in memory a few times its size."""
    unquoted = text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2]
    others = bytes(set(range(256)) - set(b"[{]}"))
    steps = b"".join(unquoted).translate(bytes.maketrans(b"[{]}", b"\1\1\xff\xff"), others)
    return int(np.cumsum(np.frombuffer(steps, np.int8), dtype=np.int32).max(initial=0))


def _to_safetensors(obj: Any) -> bytes:
    flat = isinstance(obj, dict) and all(
        isinstance(key, str) and isinstance(value, (Tensor, np.ndarray))
        for key, value in obj.items()
    )
    if not flat:
        raise TypeError(
            message(
                "save",
                "the safetensors format holds a flat dict of tensors and nothing else.",
                expect="{'name': tensor, ...}, such as a state_dict()",
                actual=type(obj).__name__ if not isinstance(obj, dict) else "other keys or values",
                do="use another suffix (.npz), which takes any nesting",
            )
        )
    arrays = [backend.to_numpy(x.array if isinstance(x, Tensor) else x) for x in obj.values()]
    return _safetensors("save").save(
        {key: np.ascontiguousarray(array) for key, array in zip(obj, arrays, strict=True)}
    )


def _safetensors(where: str):
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError(
            message(where, "the safetensors package is missing.", do="pip install '.[weights]'")
        ) from error
    return safetensors.numpy
