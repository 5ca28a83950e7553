"""The compressed file: every tensor in the fewest bytes that we know, and nothing lost.

`save_compressed` takes a state dict and needs no list of masks or codebooks beside it: it looks.
A tensor that was pruned has many zeros, one that was shared or quantized few distinct values. So
its distinct values become the codebook, the tensor becomes codes and gaps (``coding.py``), both
Huffman coded, and the number of bits for a gap is tried from none (all positions are stored) to
8. Of many distinct values only the gaps are coded. Whichever is smallest is written, or the tensor
as it is if that is smaller still. What is read back is equal bit for bit, but for one thing: masks
that multiply leave -0.0 where a negative weight was, and all zeros come back as 0.0.

The file is little-endian, without any padding::

    file      magic (8 bytes), number of tensors (u32), tensors, CRC-32 of all that (u32)
    tensor    length of name (u16), name in UTF-8, kind (u8: 0 an array, 1 quantized),
              one array, or bits (u8) and the three arrays q, scale, zero_point
    array     dtype (3 characters, such as <f4), number of axes (u8), sizes (u32 each),
              gap bits (u8: 255 for an array as it is; 0 for all positions stored; 1 to 8;
              plus 16 where the values are not coded)
      as it is  its bytes
      coded     size of the codebook (u16), codebook, number of entries (u32), codes, and gaps
                if gap bits > 0
      not coded number of entries (u32), their values (0 for fillers), gaps
    codes,    code length of each symbol (u8 each), bytes (u32), these bytes of Huffman code;
    gaps      symbols of codes are 0..size-1, and size for a filler where there are gaps

It is written as `minigrad.save` writes: at once, or not at all. It is read with as little trust:
the checksum finds damage, and then every number is checked before it is used, for a checksum can
be forged.

Before this: ``coding.py``. Next: ``stored.py``, ``examples/compress_mnist.py``.
"""

from __future__ import annotations

import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ..serialize import BadFileError, replacing
from .coding import (
    absolute_positions,
    huffman_decode,
    huffman_encode,
    huffman_lengths,
    relative_positions,
)
from .csr import MAX_ENTRIES, state_of
from .quantize import Quantized

__all__ = ["StoredTensor", "compressed_sizes", "load_compressed", "save_compressed"]

MAGIC = b"\x93MGC\r\n\x1a\x01"
KINDS = "biuf"  # dtype.kind of what can be stored
AS_IT_IS = 255  # in place of the gap bits
MOST_GAP_BITS = 8
NOT_CODED = 16  # is added to the gap bits
MOST_CODES = 4096  # distinct values; with more, a codebook saves nothing


@dataclass
class StoredTensor:
    """What one tensor takes in the file.

    Attributes
    ----------
    name : str
    shape : tuple of int
    nonzero : int
        Its entries that are not zero.
    entries : int
        What is stored: these and the fillers; or all entries, where no positions are stored.
    codebook_size : int
        Distinct values; 0 where the values are not coded.
    gap_bits : int
        Bits that a gap would take without Huffman coding; 0 where no positions are stored.
    code_bits, gap_code_bits : int
        Bits that all codes (or values), and all gaps, take.
    nbytes : int
        Bytes in the file, with name, shape, codebook and code lengths.
    """

    name: str
    shape: tuple[int, ...]
    nonzero: int
    entries: int
    codebook_size: int
    gap_bits: int
    code_bits: int
    gap_code_bits: int
    nbytes: int

    @property
    def numel(self) -> int:
        """The number of entries of the tensor."""
        return math.prod(self.shape)


# -------------------------------------------------------------------------------------- writing


def save_compressed(
    state: Module | Mapping[str, Tensor | Quantized], path: str | os.PathLike
) -> list[StoredTensor]:
    """Write tensors to exactly this path, in the fewest bytes, without loss.

    Parameters
    ----------
    state : Module or dict of str to Tensor (or Quantized, see `quantize_weights`)
        A model, or a ``state_dict()``.
    path : str or path-like
        Where to; a file of that name is replaced at once or not at all.

    Returns
    -------
    list of StoredTensor
        What each tensor takes.

    Raises
    ------
    TypeError
        If something is no tensor, or has a dtype that cannot be stored.
    OSError
        If the file cannot be written. What was there before is still there.
    """
    from zlib import crc32

    head, forms, sizes = _forms(state, "save_compressed")
    content = b"".join([head, *[form.write() for form in forms]])
    with replacing(path) as file:
        file.write(content + struct.pack("<I", crc32(content)))
    return sizes


def compressed_sizes(state: Module | Mapping[str, Tensor | Quantized]) -> list[StoredTensor]:
    """Return what each tensor would take in a compressed file, without writing one."""
    return _forms(state, "compressed_sizes")[2]


@dataclass
class _Symbols:
    """Symbols to be Huffman coded: how long that will be is known before it is done."""

    symbols: np.ndarray
    kinds: int

    def __post_init__(self):
        counts = np.bincount(self.symbols, minlength=self.kinds)
        self.lengths = huffman_lengths(counts)
        self.bits = int(counts @ self.lengths)

    def __len__(self) -> int:
        return self.kinds + 4 + -(-self.bits // 8)

    def write(self) -> bytes:
        data = huffman_encode(self.symbols, self.lengths)
        return self.lengths.tobytes() + struct.pack("<I", len(data)) + data


@dataclass
class _Form:
    """One way to store something: its parts in their order, and the facts for `StoredTensor`."""

    parts: list[bytes | _Symbols]
    facts: dict

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def write(self) -> bytes:
        return b"".join(p.write() if isinstance(p, _Symbols) else p for p in self.parts)


def _forms(state, where: str) -> tuple[bytes, list[_Form], list[StoredTensor]]:
    """Return the head of the file, the shortest form of each tensor, and the facts."""
    state = state_of(state, where)
    forms = [_tensor_form(name, value, where) for name, value in state.items()]
    sizes = [
        StoredTensor(name=name, nbytes=len(form), **form.facts)
        for name, form in zip(state, forms, strict=True)
    ]
    return MAGIC + struct.pack("<I", len(state)), forms, sizes


def _tensor_form(name: str, value: Tensor | Quantized, where: str) -> _Form:
    encoded = name.encode()
    if len(encoded) >= 2**16:
        raise ValueError(message(where, "a name is too long.", actual=f"{len(encoded):,} bytes"))
    head = struct.pack("<H", len(encoded)) + encoded
    if isinstance(value, Quantized):
        forms = [_array_form(a, name, where) for a in (value.q, value.scale, value.zero_point)]
        facts = {**forms[0].facts, "nonzero": int((value.q != value.zero_point).sum())}
        parts = [part for form in forms for part in form.parts]
        return _Form([head, struct.pack("<BB", 1, value.bits), *parts], facts)
    if not isinstance(value, Tensor):
        raise TypeError(
            message(
                f"{where} {name!r}",
                "this cannot be stored.",
                expect="a Tensor or a Quantized",
                actual=type(value).__name__,
            )
        )
    form = _array_form(backend.to_numpy(value.array), name, where)
    return _Form([head, struct.pack("<B", 0), *form.parts], form.facts)


def _array_form(array: np.ndarray, name: str, where: str) -> _Form:
    """Return the shortest of all forms of an array."""
    small = array.dtype.itemsize <= 8 and array.size < 2**32
    if array.dtype.kind not in KINDS or not small:
        raise TypeError(
            message(
                f"{where} {name!r}",
                "a tensor of this dtype or size cannot be stored.",
                expect="bools, integers or floating numbers of up to 64 bits",
                actual=f"{array.dtype}, shape {array.shape}",
            )
        )
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    if array.dtype.kind == "f":
        array = np.where(array == 0, array.dtype.type(0), array)  # -0.0, see above
    dtype = array.dtype.str.encode()
    head = struct.pack(f"<3sB{array.ndim}I", dtype, array.ndim, *array.shape)
    # Distinct values are found among the bits as whole numbers, for NaN is not equal to itself.
    pattern = array.reshape(-1).view(f"<u{array.dtype.itemsize}")
    positions = np.flatnonzero(pattern)
    tried = range(1, MOST_GAP_BITS + 1) if positions.size < array.size else ()  # without zeros: no
    gaps = {bits: relative_positions(positions, bits) for bits in tried}
    forms = [_as_it_is(array)]
    ordered = np.sort(pattern)
    codebook = ordered[np.append(True, ordered[1:] != ordered[:-1])[: array.size]]
    if codebook.size <= min(MOST_CODES, array.size // 2):
        codes = np.searchsorted(codebook, pattern)
        zero = int((codebook[:1] == 0).sum())  # the least, if it is there; positions leave it out
        forms.append(_coded(codebook, codes))
        forms += [
            _coded(codebook[zero:], codes[positions] - zero, bits, *gaps[bits]) for bits in gaps
        ]
    forms += [_gaps_coded(pattern[positions], bits, *gaps[bits]) for bits in gaps]
    shortest = min(forms, key=len)
    facts = dict(shape=array.shape, nonzero=positions.size)
    return _Form([head, *shortest.parts], {**facts, **shortest.facts})


def _as_it_is(array: np.ndarray) -> _Form:
    facts = dict(entries=array.size, codebook_size=0, gap_bits=0, gap_code_bits=0)
    parts = [struct.pack("<B", AS_IT_IS), array.tobytes()]
    return _Form(parts, {**facts, "code_bits": 8 * array.nbytes})


def _coded(codebook, codes, gap_bits: int = 0, gaps=None, is_filler=None) -> _Form:
    """Return the form of few distinct values; without gaps, every position is stored."""
    symbols, gap_part = len(codebook), []
    if gap_bits:
        entries = np.full(len(gaps), symbols)  # the symbol after the last stands for a filler
        entries[~is_filler] = codes
        codes, symbols = entries, symbols + 1
        gap_part = [_Symbols(gaps, 2**gap_bits)]
    code_part = _Symbols(codes, symbols)
    head = struct.pack("<BH", gap_bits, len(codebook)) + codebook.tobytes()
    facts = dict(entries=len(codes), codebook_size=len(codebook), gap_bits=gap_bits)
    facts.update(code_bits=code_part.bits, gap_code_bits=sum(part.bits for part in gap_part))
    return _Form([head, struct.pack("<I", len(codes)), code_part, *gap_part], facts)


def _gaps_coded(survivors: np.ndarray, gap_bits: int, gaps, is_filler) -> _Form:
    """Return the form for zeros among many distinct values: the values themselves, and gaps."""
    values = np.zeros(len(gaps), survivors.dtype)
    values[~is_filler] = survivors
    gap_part = _Symbols(gaps, 2**gap_bits)
    head = struct.pack("<BI", NOT_CODED + gap_bits, len(gaps))
    facts = dict(entries=len(gaps), codebook_size=0, gap_bits=gap_bits)
    facts.update(code_bits=8 * values.nbytes, gap_code_bits=gap_part.bits)
    return _Form([head, values.tobytes(), gap_part], facts)


# -------------------------------------------------------------------------------------- reading


def load_compressed(
    path: str | os.PathLike, *, max_entries: int = MAX_ENTRIES
) -> dict[str, Tensor | Quantized]:
    """Read what `save_compressed` wrote: a ``state_dict`` for ``model.load_state_dict``.

    Parameters
    ----------
    path : str or path-like
    max_entries : int
        Refuse a file that unfolds to more numbers than this: zeros take no bytes, so a small
        file can declare a tensor that is larger than memory.

    Returns
    -------
    dict of str to Tensor (or Quantized, where one was saved)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    BadFileError
        If the file is cut off, damaged, of another kind, or unfolds to too much; names the file
        and the fault.
    """
    from zlib import crc32

    name = os.fsdecode(path)
    with open(name, "rb") as file:
        content = file.read()
    reader = _Reader(content, name, max_entries)
    if not content.startswith(MAGIC):
        raise reader.bad(
            "this is no compressed file.",
            expect="what save_compressed wrote",
            actual=f"{len(content):,} bytes that begin with {content[:8]!r}",
        )
    if len(content) < 16 or struct.pack("<I", crc32(content[:-4])) != content[-4:]:
        raise reader.bad(
            "the file is cut off or damaged: its checksum does not fit.",
            do="copy or save it again",
        )
    return reader.read()


class _Reader:
    """Goes through a file's bytes; every check that fails raises `BadFileError`."""

    def __init__(self, content: bytes, name: str, max_entries: int):
        self.content, self.name, self.left = content, name, max_entries
        self.at, self.end = len(MAGIC), len(content) - 4
        self.tensor = None

    def bad(self, problem: str, **lines) -> BadFileError:
        where = f"load_compressed {self.name!r}"
        if self.tensor is not None:
            where += f", tensor {self.tensor!r}"
        return BadFileError(message(where, problem, **lines))

    def read(self) -> dict[str, Tensor | Quantized]:
        result = {}
        for _ in range(self.number("I")):
            try:
                self.tensor = name = self.take(self.number("H")).decode()
            except UnicodeDecodeError:
                raise self.bad("a name is no text.") from None
            if name in result:
                raise self.bad("two tensors have this name.")
            result[name] = self.read_tensor()
        self.tensor = None
        if self.at != self.end:
            raise self.bad("something follows the last tensor.")
        return result

    def take(self, count: int) -> bytes:
        if count > self.end - self.at:
            raise self.bad(
                "it declares more bytes than there are.",
                expect=f"at most {self.end - self.at:,}",
                actual=f"{count:,}",
            )
        self.at += count
        return self.content[self.at - count : self.at]

    def number(self, code: str) -> int:
        return struct.unpack(f"<{code}", self.take(struct.calcsize(f"<{code}")))[0]

    def read_tensor(self) -> Tensor | Quantized:
        kind = self.number("B")
        if kind == 0:
            return Tensor(self.read_array())
        if kind != 1:
            raise self.bad("its kind is not known.", expect="0 or 1", actual=kind)
        bits = self.number("B")
        q, scale, zero_point = (self.read_array() for _ in range(3))
        return self.checked(Quantized(q, scale, zero_point, bits))

    def checked(self, value: Quantized) -> Quantized:
        q, scale, zero_point = value.q, value.scale, value.zero_point
        right = q.dtype in (np.int8, np.uint8) and scale.dtype.kind == "f"
        right = right and zero_point.dtype == np.int32 and zero_point.shape == scale.shape
        fits = scale.ndim in (0, q.ndim) and all(s in (1, n) for s, n in zip(scale.shape, q.shape))
        if not (right and fits and 2 <= value.bits <= 8):
            raise self.bad("its integers, scale and zero point do not fit together.")
        return value

    def read_array(self) -> np.ndarray:
        dtype = self.read_dtype()
        ndim = self.number("B")
        if ndim > 32:
            raise self.bad("it has too many axes.", expect="at most 32", actual=ndim)
        shape = tuple(self.number("I") for _ in range(ndim))
        size = math.prod(shape)
        self.left -= math.prod(max(n, 1) for n in shape)
        if self.left < 0:
            raise self.bad(
                "the file unfolds to more numbers than allowed.",
                actual=f"shape {shape}",
                do="give max_entries= if you trust the file",
            )
        gap_bits = self.number("B")
        if gap_bits == AS_IT_IS:
            values = np.frombuffer(self.take(size * dtype.itemsize), dtype).copy()
        elif gap_bits <= MOST_GAP_BITS:
            values = self.read_coded(dtype, size, gap_bits)
        elif 1 <= gap_bits - NOT_CODED <= MOST_GAP_BITS:
            values = self.read_gaps_coded(dtype, size, gap_bits - NOT_CODED)
        else:
            raise self.bad("its form is not known.", actual=gap_bits)
        if dtype.kind == "b" and values.size and values.view(np.uint8).max() > 1:
            raise self.bad("it has bools that are neither 0 nor 1.")
        return values.astype(dtype.newbyteorder("="), copy=False).reshape(shape)

    def read_dtype(self) -> np.dtype:
        text = self.take(3).decode("latin-1")
        if not re.fullmatch(r"\|[biu]1|<[iu][248]|<f[248]", text):
            raise self.bad("its dtype is not known.", actual=repr(text))
        return np.dtype(text)

    def read_coded(self, dtype: np.dtype, size: int, gap_bits: int) -> np.ndarray:
        symbols = self.number("H")
        codebook = np.frombuffer(self.take(symbols * dtype.itemsize), dtype)
        entries = self.number("I")
        codes = self.read_symbols(entries, symbols + (gap_bits > 0))
        if gap_bits == 0:
            if entries != size:
                raise self.bad("it has not as many codes as entries.", expect=size, actual=entries)
            return codebook[codes]
        is_filler = codes == symbols
        positions = self.read_positions(is_filler, size, gap_bits)
        values = np.zeros(size, dtype)
        values[positions] = codebook[codes[~is_filler]]
        return values

    def read_gaps_coded(self, dtype: np.dtype, size: int, gap_bits: int) -> np.ndarray:
        entries = self.number("I")
        stored = np.frombuffer(self.take(entries * dtype.itemsize), dtype)
        values = np.zeros(size, dtype)
        values[self.read_positions(np.zeros(entries, bool), size, gap_bits)] = stored
        return values

    def read_positions(self, is_filler: np.ndarray, size: int, gap_bits: int) -> np.ndarray:
        gaps = self.read_symbols(len(is_filler), 2**gap_bits)
        positions = absolute_positions(gaps, is_filler)
        if positions.size and positions[-1] >= size:
            raise self.bad("its entries go beyond its end.", expect=size, actual=positions[-1])
        return positions

    def read_symbols(self, count: int, kinds: int) -> np.ndarray:
        lengths = np.frombuffer(self.take(kinds), np.uint8)
        data = self.take(self.number("I"))
        try:
            return huffman_decode(data, lengths, count)
        except ValueError as error:
            raise self.bad("its codes are damaged.", actual=error) from error
