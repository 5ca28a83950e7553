"""k-means, Huffman codes, relative indices and the compressed file.

The oracles: Lloyd's two steps as loops; the least total over all codes that Kraft's inequality
allows, and the entropy; a decoder that reads bit by bit; Deep Compression's own small example.
"""

from __future__ import annotations

import itertools
import math
import os
import struct
import zlib

import numpy as np
import pytest
from helpers import arr, make
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import minigrad
import minigrad.nn.functional as F
from minigrad import nn, optim
from minigrad.compress import coding, container, quantize, share, sparse
from minigrad.compress.container import compressed_sizes, load_compressed, save_compressed
from minigrad.serialize import BadFileError

# ----------------------------------------------------------------------------------- k-means

INITS = ("linear", "density", "random")


@given(
    st.lists(st.integers(-50, 50), min_size=1, max_size=30),
    st.integers(1, 6),
    st.sampled_from(INITS),
)
@pytest.mark.cpu_only
def test_kmeans_ends_where_neither_step_helps(numbers, k, init):
    values = np.array(numbers, np.float64)
    generator = minigrad.Generator().manual_seed(0)
    centroids, codes = share.kmeans(values, k, init=init, generator=generator)
    assert centroids.tolist() == sorted(centroids.tolist()) and len(centroids) == k
    for value, code in zip(numbers, codes):
        distances = [abs(value - c) for c in centroids]
        assert distances[code] == min(distances)
    for i, c in enumerate(centroids):
        group = [v for v, code in zip(numbers, codes) if code == i]
        if group:
            assert c == pytest.approx(sum(group) / len(group))


@pytest.mark.cpu_only
def test_first_centroids_of_the_three_kinds():
    values = np.array([0.0, 0, 0, 0, 0, 0, 1, 8], np.float32)
    linear, density = (share.kmeans(values, 3, init=i, iterations=0)[0] for i in INITS[:2])
    assert linear.tolist() == [0, 4, 8]
    np.testing.assert_allclose(density, np.quantile(values, [1 / 6, 3 / 6, 5 / 6]), rtol=1e-6)
    assert set(share.kmeans(values, 2, init="random", iterations=0)[0].tolist()) <= {0, 1, 8}


@pytest.mark.cpu_only
def test_kmeans_refuses():
    for values, k in (([], 2), ([1.0], 0), ([1.0], 2.5)):
        with pytest.raises(ValueError, match="nothing to gather"):
            share.kmeans(np.array(values), k)
    with pytest.raises(ValueError, match="NaN or infinity"):
        share.kmeans(np.array([1.0, np.nan]), 2)
    with pytest.raises(ValueError, match="no such init"):
        share.kmeans(np.array([1.0]), 2, init="middle")


# ----------------------------------------------------------------------------- shared weights


def test_gradients_are_summed_by_centroid(device):
    layer = nn.Linear(4, 4).to(device)
    # The weights of Deep Compression's figure 3, and gradients of our own.
    w = np.array(
        [[2.09, -0.98, 1.48, 0.09], [0.05, -0.14, -1.08, 2.12],
         [-0.91, 1.92, 0.0, -1.03], [1.87, 0.0, 1.53, 1.49]], np.float32
    )  # fmt: skip
    layer.weight.data = make(device, w)
    share.share_weights(layer, 2)  # zero is one of the four values
    assert layer.weight_centroids.shape == (3,)
    codes = arr(layer.weight_codes)
    assert (codes[w == 0] == 0).all() and (codes[w != 0] > 0).all()
    x = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    g = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    (layer(make(device, x)) * make(device, g)).sum().backward()
    expected = [0.0] * 4
    for i, j in itertools.product(range(4), range(4)):
        expected[codes[i, j]] += float(g[:, i] @ x[:, j])  # dL/dw_ij of a linear layer
    np.testing.assert_allclose(arr(layer.weight_centroids.grad), expected[1:], rtol=1e-4)


def test_sharing_trains_and_ends_in_few_values(device):
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2)).to(device)
    masks = sparse.sparse_masks(model, 0.5)
    sparse.apply_masks(model, masks)
    x = make(device, np.random.default_rng(0).normal(size=(64, 6)).astype(np.float32))
    target = model(x).detach()
    share.share_weights(model, {"0.weight": 3, "2.weight": 2})
    names = ["0.bias", "0.weight_centroids", "2.bias", "2.weight_centroids"]
    assert sorted(dict(model.named_parameters())) == names
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = F.mse_loss(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    y = arr(model(x).detach())
    share.finish_sharing(model)
    np.testing.assert_array_equal(arr(model(x).detach()), y)
    for name, most in {"0.weight": 8, "2.weight": 4}.items():
        w = arr(model.get_parameter(name).detach())
        assert np.unique(w).size <= most
        assert (w[~arr(masks[name])] == 0).all()
    with pytest.raises(ValueError, match="computed in this way"):
        share.finish_sharing(model)


@pytest.mark.parametrize("w", [np.zeros((2, 3)), np.full((2, 3), 7.0), np.arange(6.0)[None]])
def test_sharing_few_values_loses_nothing(device, w):
    layer = nn.Linear(*w.shape[::-1]).to(device)
    layer.weight.data = make(device, w.astype(np.float32))
    share.share_weights(layer, 3)
    layer(make(device, np.ones((1, w.shape[1]), np.float32))).sum().backward()
    share.finish_sharing(layer)
    np.testing.assert_array_equal(arr(layer.weight.detach()), w)


def test_sharing_refuses_and_changes_nothing():
    layer = nn.Linear(2, 2)
    for bits in (0, 9, 2.5):
        with pytest.raises(ValueError, match="from 1 to 8"):
            share.share_weights(layer, bits)
    with pytest.raises(ValueError, match="no such init"):
        share.share_weights(layer, 2, init="middle")
    with pytest.raises(AttributeError, match="weights"):
        share.share_weights(layer, 2, names=["weights"])
    assert list(dict(layer.named_parameters())) == ["weight", "bias"]


# ------------------------------------------------------------------------- relative indices


@pytest.mark.cpu_only
def test_fillers_as_in_the_file_s_example():
    gaps, is_filler = coding.relative_positions(np.array([2, 12]), 3)
    assert gaps.tolist() == [2, 7, 1]
    assert is_filler.tolist() == [False, True, False]


@given(st.sets(st.integers(0, 3000), max_size=40), st.integers(1, 8))
@pytest.mark.cpu_only
def test_positions_come_back(places, bits):
    positions = np.array(sorted(places), np.int64)
    gaps, is_filler = coding.relative_positions(positions, bits)
    assert ((gaps >= 0) & (gaps < 2**bits)).all() and (~is_filler).sum() == len(positions)
    np.testing.assert_array_equal(coding.absolute_positions(gaps, is_filler), positions)
    expected, at = [], -1  # walk over the zeros one by one
    for place in positions:
        run = 0
        for _ in range(at + 1, place):
            run += 1
            if run == 2**bits:
                expected.append(2**bits - 1)
                run = 0
        expected.append(run)
        at = place
    assert gaps.tolist() == expected


# ----------------------------------------------------------------------------- Huffman codes


def least_total(counts: list[int]) -> int:
    """Return the fewest bits over all code lengths that fit a binary tree (Kraft, 1949)."""
    choices = itertools.product(range(1, len(counts) + 1), repeat=len(counts))
    fitting = (c for c in choices if sum(2.0**-length for length in c) <= 1)
    return min(sum(n * length for n, length in zip(counts, c)) for c in fitting)


@given(st.lists(st.integers(1, 60), min_size=2, max_size=5))
@pytest.mark.cpu_only
def test_no_code_is_shorter(counts):
    lengths = coding.huffman_lengths(np.array(counts))
    assert int(np.array(counts) @ lengths) == least_total(counts)


symbol_lists = st.lists(st.integers(0, 20), min_size=1, max_size=200)


@given(symbol_lists)
@pytest.mark.cpu_only
def test_length_is_within_a_bit_of_the_entropy(symbols):
    counts = np.bincount(symbols)
    lengths = coding.huffman_lengths(counts)
    p = counts[counts > 0] / counts.sum()
    entropy = -sum(q * math.log2(q) for q in p)
    mean = counts @ lengths / counts.sum()
    assert entropy - 1e-9 <= mean < entropy + 1 or (len(p) == 1 and mean == 1)


def bit_by_bit(data: bytes, codes: dict[str, int], count: int) -> list[int]:
    bits, found, word = "".join(f"{byte:08b}" for byte in data), [], ""
    for bit in bits:
        word += bit
        if word in codes and len(found) < count:
            found.append(codes[word])
            word = ""
    return found


@given(symbol_lists)
@pytest.mark.cpu_only
def test_symbols_come_back(symbols):
    lengths = coding.huffman_lengths(np.bincount(symbols, minlength=22))
    codes = coding.canonical_codes(lengths)
    words = {f"{c:0{n}b}": s for s, (c, n) in enumerate(zip(codes.tolist(), lengths)) if n}
    for a, b in itertools.permutations(words, 2):
        assert not b.startswith(a)
    data = coding.huffman_encode(np.array(symbols), lengths)
    assert len(data) == -(-sum(int(lengths[s]) for s in symbols) // 8)
    assert bit_by_bit(data, words, len(symbols)) == symbols
    assert coding.huffman_decode(data, lengths, len(symbols)).tolist() == symbols


@pytest.mark.cpu_only
def test_very_long_codes():
    counts = [1, 1]
    while len(counts) < 50:
        counts.append(counts[-1] + counts[-2])  # Fibonacci's numbers make the deepest tree
    lengths = coding.huffman_lengths(np.array(counts))
    assert lengths.max() == 49
    symbols = np.tile(np.arange(50), 3)
    data = coding.huffman_encode(symbols, lengths)
    np.testing.assert_array_equal(coding.huffman_decode(data, lengths, 150), symbols)


@pytest.mark.cpu_only
def test_canonical_codes_of_the_standard_s_example():
    # RFC 1951, section 3.2.2: the alphabet ABCDEFGH with lengths (3, 3, 3, 3, 3, 2, 4, 4).
    codes = coding.canonical_codes(np.array([3, 3, 3, 3, 3, 2, 4, 4], np.uint8))
    assert codes.tolist() == [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111]


@pytest.mark.parametrize("lengths", [[1, 1, 1], [2, 2, 2], [1, 2], [2], [60] + [1], [255] * 3])
@pytest.mark.cpu_only
def test_lengths_of_no_code(lengths):
    with pytest.raises(ValueError, match="no complete code"):
        coding.huffman_decode(b"\0", np.array(lengths, np.uint8), 1)


@pytest.mark.cpu_only
def test_data_of_the_wrong_length():
    lengths = np.array([1, 2, 2], np.uint8)
    data = coding.huffman_encode(np.array([0, 1, 2] * 10), lengths)
    for wrong, count in ((data[:-1], 30), (data + b"\0", 30), (data, 10), (data, 10**9), (b"", 1)):
        with pytest.raises(ValueError, match="do not end|without codes"):
            coding.huffman_decode(wrong, lengths, count)
    with pytest.raises(ValueError, match="without codes"):
        coding.huffman_decode(b"", np.zeros(3, np.uint8), 2)


# --------------------------------------------------------------------------------- the file

arrays = st.one_of(
    hnp.arrays(
        st.sampled_from([np.float16, np.float32, np.float64]),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=9),
        elements=st.sampled_from([0.0, 0.0, 0.0, 0.0, -0.0, 1.5, -2.0, 8.0, np.inf, np.nan]),
    ),
    hnp.arrays(
        st.sampled_from([np.bool_, np.int8, np.uint8, np.int16, np.int32, np.int64]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=9),
        elements=st.integers(0, 1),
    ),
    hnp.arrays(np.float32, st.integers(0, 40), elements=st.floats(width=32)),
)


@given(st.dictionaries(st.text(max_size=5), arrays, max_size=4))
@pytest.mark.cpu_only
def test_every_bit_comes_back(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "drawn.mgc"
    state = {name: minigrad.Tensor(a) for name, a in content.items()}
    sizes = save_compressed(state, path)
    found = load_compressed(path)
    assert list(found) == list(content)
    for name, a in content.items():
        assert found[name].dtype == a.dtype and found[name].shape == a.shape
        a = np.where(a == 0, a.dtype.type(0), a)  # -0.0 comes back as 0.0
        assert found[name].array.tobytes() == a.tobytes()
    assert path.stat().st_size == sum(s.nbytes for s in sizes) + 16  # magic, count and checksum


@pytest.mark.parametrize("density, values", [(0.02, 15), (0.1, 31), (1.0, 16), (0.5, 2000)])
@pytest.mark.cpu_only
def test_large_tensors_come_back(tmp_path, rng, density, values):
    w = rng.choice(rng.normal(size=values).astype(np.float32), (150, 300))
    w *= rng.random(w.shape) < density
    [size] = save_compressed({"w": minigrad.Tensor(w)}, tmp_path / "m")
    np.testing.assert_array_equal(load_compressed(tmp_path / "m")["w"].numpy(), w)
    assert size.nonzero == np.count_nonzero(w) and size.numel == w.size
    # Against the entropy of the codes and of the positions: what any lossless code must take.
    least = w.size * binary_entropy(density) + size.nonzero * math.log2(values)
    assert 0.9 * least < 8 * size.nbytes < 1.1 * least + 8 * (4 * values + 600)


@pytest.mark.cpu_only
def test_survivors_of_many_values_take_their_own_bytes_and_short_gaps(tmp_path, rng):
    w = rng.normal(size=(100, 300)).astype(np.float32)
    w[rng.random(w.shape) > 0.05] = 0
    [size] = save_compressed({"w": minigrad.Tensor(w)}, tmp_path / "m")
    np.testing.assert_array_equal(load_compressed(tmp_path / "m")["w"].numpy(), w)
    kept = np.count_nonzero(w)
    assert size.codebook_size == 0 and size.nbytes < kept * (4 + 7 / 8) + 300


def binary_entropy(p: float) -> float:
    return 0.0 if p in (0, 1) else -p * math.log2(p) - (1 - p) * math.log2(1 - p)


def test_a_model_of_any_device(device, tmp_path):
    model = nn.Sequential(nn.Linear(100, 50), nn.BatchNorm1d(50), nn.Linear(50, 5)).to(device)
    sparse.apply_masks(model, sparse.sparse_masks(model, 0.1))
    share.share_weights(model, 4)
    share.finish_sharing(model)
    sizes = save_compressed(model, tmp_path / "m.mgc")
    assert compressed_sizes(model) == sizes
    assert (tmp_path / "m.mgc").stat().st_size < sum(t.numel() for t in model.parameters()) / 2
    before = model.state_dict()
    for p in model.parameters():
        p.data.zero_()
    model.load_state_dict(load_compressed(tmp_path / "m.mgc"))
    for name, tensor in model.state_dict().items():
        np.testing.assert_array_equal(arr(tensor), arr(before[name]))


def test_quantized_weights(device, tmp_path):
    model = nn.Linear(40, 30).to(device)
    found = quantize.quantize_weights(model, 4, per_channel=True, symmetric=False)
    [weight, _] = save_compressed({**model.state_dict(), **found}, tmp_path / "m")
    assert weight.nbytes < 1200 / 2 + 30 * 8 + 100  # half a byte each, 30 scales, 30 zero points
    back = load_compressed(tmp_path / "m")["weight"]
    np.testing.assert_array_equal(back.dequantize().numpy(), arr(model.weight.detach()))
    assert back.bits == 4 and back.q.dtype == np.uint8


# ------------------------------------------------------------------------------ damaged files


def small_file(path) -> bytes:
    w = np.zeros((6, 20), np.float32)
    w[[0, 2, 5], [3, 3, 19]] = [1.0, -2.0, 1.0]
    layer = nn.Linear(3, 2)
    v = np.zeros(60, np.float32)
    v[::9] = np.arange(1, 8)  # many distinct values: not coded
    state = {"w": minigrad.Tensor(w), "v": minigrad.Tensor(v), "b": minigrad.arange(3)}
    state = {**state, "q": quantize.quantize_tensor(layer.weight)}
    save_compressed(state, path)
    return path.read_bytes()


@pytest.mark.cpu_only
def test_every_flipped_byte_and_every_cut_is_found(tmp_path):
    path = tmp_path / "m.mgc"
    good = small_file(path)
    assert len(good) < 400
    for i in range(len(good)):
        for flip in (0x01, 0x80, 0xFF):
            path.write_bytes(good[:i] + bytes([good[i] ^ flip]) + good[i + 1 :])
            with pytest.raises(BadFileError, match=r"m\.mgc'.*(checksum|no compressed file)"):
                load_compressed(path)
        path.write_bytes(good[:i])
        with pytest.raises(BadFileError, match=r"m\.mgc"):
            load_compressed(path)
    path.write_bytes(good + b"\0")
    with pytest.raises(BadFileError, match="checksum"):
        load_compressed(path)


def size_of(value) -> int:
    return value.q.size if isinstance(value, quantize.Quantized) else value.numel()


def sealed(content: bytes) -> bytes:
    return content + struct.pack("<I", zlib.crc32(content))


@given(st.data())
@pytest.mark.cpu_only
def test_no_forged_file_does_harm(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "forged.mgc"
    good = small_file(path)
    body = bytearray(good[:-4])
    for _ in range(data.draw(st.integers(1, 3))):
        body[data.draw(st.integers(8, len(body) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(sealed(bytes(body)))
    try:
        state = load_compressed(path, max_entries=10_000)
    except BadFileError as error:
        assert "forged.mgc" in str(error)
    else:
        assert (
            sum(getattr(v, "array", getattr(v, "q", None)).size for v in state.values()) <= 10_000
        )


def record(shape, form: bytes, dtype=b"<f4", name=b"\x01\x00w", kind=b"\0") -> bytes:
    return name + kind + struct.pack(f"<3sB{len(shape)}I", dtype, len(shape), *shape) + form


def coded(gap_bits: int, entries: int, *streams: bytes) -> bytes:
    """Return the coded form with the codebook [0.0]; each stream is code lengths."""
    head = struct.pack("<BHfI", gap_bits, 1, 0.0, entries)
    return head + b"".join(map(stream, streams))


def stream(lengths: bytes) -> bytes:
    return lengths + struct.pack("<I", 1) + b"\0"


def part(shape, form: bytes, dtype: bytes) -> bytes:
    return record(shape, form, dtype, name=b"", kind=b"")


LOOSE = [  # two integers, two scales, one zero point
    record((2,), b"\xff" + bytes(2), b"|i1", kind=b"\1\x08"),
    part((2,), b"\xff" + bytes(8), b"<f4"),
    part((), b"\xff" + bytes(4), b"<i4"),
]
FORGED = {
    "more numbers than allowed": [record((2**31, 2**31), b"\0")],
    "more bytes than there are": [record((2**20,), b"\xff")],
    "two tensors have this name": [record((0,), b"\xff")] * 2,
    "dtype is not known": [record((0,), b"\xff", b"<O8")],
    "dtype is not known: order": [record((0,), b"\xff", b">f4")],
    "form is not known": [record((0,), b"\x09")],
    "form is not known: 16": [record((0,), b"\x10")],
    "more bytes than there": [record((9,), b"\x11" + struct.pack("<I", 9))],
    "its end": [record((1,), b"\x11" + struct.pack("<I2f", 2, 1, 1) + stream(b"\1\1"))],
    "kind is not known": [record((0,), b"\xff", kind=b"\7")],
    "name is no text": [record((0,), b"\xff", name=b"\x01\x00\xff")],
    "bools that are neither": [record((1,), b"\xff\2", b"|b1")],
    "not as many codes": [record((5,), coded(0, 1, b"\1"))],
    "beyond its end": [record((5,), coded(1, 6, b"\1\1", b"\1\1"))],
    "codes are damaged": [record((5,), coded(1, 6, b"\1\2"))],
    "do not fit together": [b"".join(LOOSE)],
    "something follows": [record((0,), b"\xff"), b"\0"],
}


@pytest.mark.parametrize("fault", FORGED)
@pytest.mark.cpu_only
def test_forged_files(tmp_path, fault):
    records = FORGED[fault]
    count = len([r for r in records if len(r) > 1])
    path = tmp_path / "m.mgc"
    path.write_bytes(sealed(container.MAGIC + struct.pack("<I", count) + b"".join(records)))
    with pytest.raises(BadFileError, match=rf"m\.mgc.*{fault.partition(':')[0]}"):
        load_compressed(path)


@pytest.mark.cpu_only
def test_saving_refuses_and_keeps_the_old_file(tmp_path):
    path = tmp_path / "m.mgc"
    good = small_file(path)
    with pytest.raises(TypeError, match="'b'.*cannot be stored"):
        save_compressed({"a": minigrad.ones(2), "b": "text"}, path)
    with pytest.raises(TypeError, match="'c'.*dtype"):
        save_compressed({"c": minigrad.Tensor(np.ones(2, np.complex64))}, path)
    assert path.read_bytes() == good and os.listdir(tmp_path) == ["m.mgc"]
    with pytest.raises(FileNotFoundError):
        load_compressed(tmp_path / "none.mgc")


def test_what_holds_no_state(tmp_path):
    with pytest.raises(TypeError, match="save_compressed: there is nothing to store"):
        container.save_compressed(5, tmp_path / "x")
