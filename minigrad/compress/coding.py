"""Short codes: relative indices for positions, and Huffman codes for whatever is left.

After pruning and sharing, a layer is a list of positions and a list of small numbers: which
weight, and which centroid. This file writes both in few bits, and reads them back.

*Relative indices.* A position is stored as the number of zeros since the last entry, in a fixed
number of bits, say 3. Where more zeros follow each other than that can say (7), a *filler* is
stored: an entry that says "7 zeros, and then one more"::

    weights    0 0 a 0 0 0 0 0 0 0 0 0 b         (a at position 2, b at position 12)
    entries    a, filler, b
    gaps       2,      7, 1                      2 zeros; 7 zeros and the filler's own; 1 zero

*Huffman codes.* Some centroids and some gaps are far more frequent than others. Huffman's tree
gives frequent symbols short codes, and no code begins like another, so they need no separators.
No code that spends whole bits on each symbol is shorter. The codes themselves need not be stored:
the *canonical* ones follow from their lengths alone.

Han, Mao and Dally (2016), Deep compression, sections 2 (figure 2) and 4. Huffman (1952), A method
for the construction of minimum-redundancy codes. Canonical codes as in RFC 1951, section 3.2.2.

Before this: ``share.py``. Next: ``container.py``, the file in which the bits end up.
"""

from __future__ import annotations

import heapq

import numpy as np

from .._errors import message

__all__ = [
    "absolute_positions",
    "canonical_codes",
    "huffman_decode",
    "huffman_encode",
    "huffman_lengths",
    "relative_positions",
]

LONGEST = 57  # bits of a code: more than any file needs, and what a 64-bit word holds at any offset


# -------------------------------------------------------------------------- relative indices


def relative_positions(positions: np.ndarray, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the zeros before each entry, with fillers where they are too many for `bits`.

    Parameters
    ----------
    positions : array of int, shape (N,)
        Ascending, from 0.
    bits : int, at least 1

    Returns
    -------
    gaps : array of int64, shape (N + fillers,)
        Each from 0 to 2**bits - 1.
    is_filler : array of bool, of the same shape
    """
    zeros = np.diff(positions, prepend=-1) - 1
    longest = 2**bits - 1
    fillers = zeros >> bits  # each takes 2**bits positions: the zeros it counts, and its own
    places = np.cumsum(fillers + 1) - 1
    gaps = np.full(len(positions) + fillers.sum(), longest, np.int64)
    gaps[places] = zeros & longest
    is_filler = np.ones(len(gaps), bool)
    is_filler[places] = False
    return gaps, is_filler


def absolute_positions(gaps: np.ndarray, is_filler: np.ndarray) -> np.ndarray:
    """Return the positions again: the inverse of `relative_positions`."""
    return (np.cumsum(gaps + 1) - 1)[~is_filler]


# -------------------------------------------------------------------------------- Huffman codes


def huffman_lengths(counts: np.ndarray) -> np.ndarray:
    """Return how many bits each symbol's code gets, such that the total is least.

    Parameters
    ----------
    counts : array of int, shape (S,)
        How often each symbol occurs.

    Returns
    -------
    array of uint8, shape (S,)
        0 for symbols that do not occur. (A symbol that is alone gets one bit.)

    Notes
    -----
    The two rarest symbols differ in their last bit only: join them to one symbol, as frequent as
    both together, and repeat. Each time that a symbol is part of a join, its code gets longer.
    """
    lengths = np.zeros(len(counts), np.uint8)
    used = np.flatnonzero(counts)
    if len(used) == 1:
        lengths[used] = 1
    heap = [(int(counts[s]), int(s), [int(s)]) for s in used]  # the symbol decides between equals
    heapq.heapify(heap)
    while len(heap) > 1:
        count, first, symbols = heapq.heappop(heap)
        other_count, other_first, other_symbols = heapq.heappop(heap)
        symbols = symbols + other_symbols
        lengths[symbols] += 1
        heapq.heappush(heap, (count + other_count, min(first, other_first), symbols))
    return lengths


def canonical_codes(lengths: np.ndarray) -> np.ndarray:
    """Return the codes that belong to these lengths: shorter before longer, then by symbol.

    Each code is the one before plus one, with zeros appended where the length grows.

    Raises
    ------
    ValueError
        If the lengths are not those of a complete Huffman code.
    """
    codes = np.zeros(len(lengths), np.uint64)
    code = length = 0
    for symbol in _in_order(lengths):
        code <<= int(lengths[symbol]) - length
        length = int(lengths[symbol])
        codes[symbol] = code & (2**64 - 1)
        code += 1
    complete = code == 1 << length  # the last code was all ones
    alone = np.count_nonzero(lengths) == 1 and length == 1
    if length > LONGEST or not (complete or alone or not lengths.any()):
        raise ValueError(
            message(
                "Huffman",
                "no complete code has these lengths.",
                expect=f"sum of 2**-length over the symbols = 1, lengths of at most {LONGEST}",
                actual=lengths.tolist(),
            )
        )
    return codes


def _in_order(lengths: np.ndarray) -> np.ndarray:
    """Return the symbols that have a code, by length, then by number."""
    order = np.argsort(lengths, kind="stable")
    return order[lengths[order] > 0]


def huffman_encode(symbols: np.ndarray, lengths: np.ndarray) -> bytes:
    """Return the codes of the symbols, one after the other, filled up with zeros to whole bytes.

    Parameters
    ----------
    symbols : array of int, shape (N,)
    lengths : array of uint8, shape (S,)
        Not 0 for any symbol that occurs.
    """
    if not len(symbols):
        return b""
    codes = canonical_codes(lengths)
    column = np.arange(int(lengths.max()))
    used = column < lengths[:, None]  # row s: the places of symbol s's bits
    shifts = np.where(used, lengths[:, None].astype(np.int64) - 1 - column, 0).astype(np.uint64)
    table = ((codes[:, None] >> shifts) & np.uint64(1)).astype(bool)
    return np.packbits(table[symbols][used[symbols]]).tobytes()


def huffman_decode(data: bytes, lengths: np.ndarray, count: int) -> np.ndarray:
    """Return the `count` symbols that `data` begins with.

    Parameters
    ----------
    data : bytes
    lengths : array of uint8, shape (S,)
    count : int

    Returns
    -------
    array of int64, shape (count,)

    Raises
    ------
    ValueError
        If the lengths are not those of a code, or the data end too soon or too late.

    Notes
    -----
    Where a code begins is known only once the one before was read. What a code *would* be, if
    one began here, can be found for every bit at once: canonical codes, written from the left,
    ascend, so it is a search among them. What is left of the loop only follows the lengths.
    """
    order = _in_order(lengths)
    codes = canonical_codes(lengths)[order]
    if count == 0 or not len(order):
        if count or data:
            raise ValueError(message("Huffman", "there are symbols without codes, or the reverse."))
        return np.zeros(0, np.int64)
    if count > 8 * len(data):  # before memory is taken: each symbol has a bit at least
        raise _wrong_length(count, data)
    words = _words_at_each_bit(data)
    left_aligned = codes << (64 - lengths[order].astype(np.uint64))
    which = np.searchsorted(left_aligned, words, side="right") - 1
    steps = lengths[order][which].tolist()
    starts, bit = [], 0
    for _ in range(count):
        if bit >= len(steps):
            raise _wrong_length(count, data)
        starts.append(bit)
        bit += steps[bit]
    if -(-bit // 8) != len(data):
        raise _wrong_length(count, data)
    return order[which[starts]]


def _words_at_each_bit(data: bytes) -> np.ndarray:
    """Return for each bit of `data` the number that it and the bits after it make (57 at least)."""
    padded = np.frombuffer(data + bytes(7), np.uint8)
    word = np.zeros(len(data), np.uint64)
    for i in range(8):
        word = (word << np.uint64(8)) | padded[i : i + len(data)]
    return (word[:, None] << np.arange(8, dtype=np.uint64)).ravel()


def _wrong_length(count: int, data: bytes) -> ValueError:
    return ValueError(
        message(
            "Huffman",
            "the data do not end where the symbols do.",
            expect=f"{count:,} symbols",
            actual=f"{len(data):,} bytes",
        )
    )
