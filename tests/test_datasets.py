"""MNIST's files, good and bad, near and far; the bundled digits; whole batches through them."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import io
import os
import socket
import struct
import tempfile
import threading
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad
from minigrad.serialize import BadFileError
from minigrad.utils.data import DataLoader, Subset, default_collate, random_split
from minigrad.vision import datasets, transforms
from minigrad.vision.datasets import MNIST, Digits, to_mnist_form

REAL = os.path.abspath(os.environ.get("MINIGRAD_DATA", "."))  # before `alone` hides it
NAMES = list(MNIST.digests)


def images_and_labels(count, seed=0):
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
    return images, rng.integers(0, 10, count, dtype=np.uint8)


def idx(array):
    """The bytes of an IDX file, written from the format's description."""
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return struct.pack(">HBB", 0, 8, array.ndim) + sizes + array.tobytes()


def contents(count=5):
    """A small MNIST: name to the bytes of the file."""
    parts = [images_and_labels(count), images_and_labels(count - 2, seed=1)]
    return dict(zip(NAMES, [idx(array) for part in parts for array in part], strict=True))


def write(folder, files, packed=False):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (folder / name).write_bytes(content)


class Small(MNIST):
    """MNIST whose official files are the small ones above."""

    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents().items()}  # noqa: RUF012
    mirrors = []  # noqa: RUF012
    timeout = 2.0


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    """No test sees this machine's data folders, and none goes through a proxy."""
    monkeypatch.delenv("MINIGRAD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.chdir(tmp_path)


# ------------------------------------------------------------------------------ finding the files


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("layout", ["", "mnist", "MNIST/raw"])
@pytest.mark.parametrize("place", ["root", "MINIGRAD_DATA", "cache"])
def test_every_place_and_layout(tmp_path, monkeypatch, place, layout, packed):
    top = tmp_path / "cache" / "minigrad" if place == "cache" else tmp_path / "top"
    write(top / layout, contents(), packed)
    if place == "MINIGRAD_DATA":
        monkeypatch.setenv("MINIGRAD_DATA", str(top))
    dataset = Small(top if place == "root" else None)
    images, labels = images_and_labels(5)
    assert len(dataset) == 5
    assert dataset.data.dtype == np.uint8
    assert dataset.targets.dtype == np.int64
    np.testing.assert_array_equal(dataset.data.numpy(), images)
    np.testing.assert_array_equal(dataset.targets.numpy(), labels)
    np.testing.assert_array_equal(
        Small(str(top) if place == "root" else None, train=False).data.numpy(),
        images_and_labels(3, seed=1)[0],
    )


def test_the_first_place_wins(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "b"))
    write(tmp_path / "b", contents(9))
    write(tmp_path / "cache" / "minigrad", contents(7))
    with pytest.warns(UserWarning, match="not the official"):
        assert len(Small("a")) == 9
    write(tmp_path / "a" / "mnist", contents())
    assert len(Small("a")) == len(Small(Path("a"))) == 5
    (tmp_path / "a" / "mnist" / NAMES[1]).unlink()  # half a set is none
    with pytest.warns(UserWarning, match="not the official"):
        assert len(Small("a")) == 9


def test_the_home_folder_is_meant_by_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    write(tmp_path / "data", contents())
    assert len(Small("~/data")) == 5
    monkeypatch.delenv("XDG_CACHE_HOME")
    write(tmp_path / ".cache" / "minigrad" / "mnist", contents())
    assert len(Small()) == 5


def test_an_empty_root_is_the_folder_one_is_in(tmp_path):
    write(tmp_path, contents())
    assert len(Small("")) == 5


def test_not_found_names_every_place(tmp_path, monkeypatch):
    monkeypatch.setenv("MINIGRAD_DATA", "elsewhere")
    write(tmp_path / "root", {NAMES[0]: b""})
    with pytest.raises(datasets.DatasetNotFoundError) as caught:
        MNIST("root")
    text = str(caught.value)
    for top in ("root", "elsewhere", str(tmp_path / "cache" / "minigrad")):
        for layout in ("", "/mnist", "/MNIST/raw"):
            assert f"{top}{layout}: no " in text
    assert f"root: no {NAMES[1]}\n" in text  # the images are there
    assert "download=True" in text
    assert isinstance(caught.value, FileNotFoundError)
    assert isinstance(caught.value, RuntimeError)  # as in torchvision


def test_another_digest_warns_and_loads(tmp_path):
    write(tmp_path, contents(4))
    with pytest.warns(UserWarning) as caught:
        dataset = Small(tmp_path)
    assert len(dataset) == 4
    assert len(caught) == 2  # the images, the labels
    assert NAMES[0] in str(caught[0].message)
    assert caught[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write(tmp_path / "good", contents())
        Small(tmp_path / "good")


# -------------------------------------------------------------------------------- nonsense in them


def header(kind, *sizes):
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)


GOOD = idx(images_and_labels(5)[0])
BAD_IMAGES = {
    "empty": b"",
    "magic": b"\x01" + GOOD[1:],
    "floats": header(13, 5, 28, 28) + GOOD[16:],
    "labels": idx(images_and_labels(5)[1]),
    "half a header": GOOD[:9],
    "header only": GOOD[:16],
    "cut": GOOD[:-1],
    "long": GOOD + b"\0",
    "other sizes": header(8, 5, 14, 56) + GOOD[16:],
    "no images": header(8, 0, 28, 28),
    "too many": header(8, 60_001, 28, 28) + bytes(28 * 28),
    "four billion": header(8, 2**32 - 1, 2**32 - 1, 2**32 - 1) + GOOD[16:],
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(1000),
    "a page": b"<!DOCTYPE html><html>404</html>",
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("fault", BAD_IMAGES)
def test_bad_images(tmp_path, fault, packed):
    write(tmp_path, {**contents(), NAMES[0]: BAD_IMAGES[fault]}, packed)
    with pytest.raises(BadFileError, match=NAMES[0]):
        MNIST(tmp_path)


def test_the_number_of_images_is_bounded(tmp_path):
    assert len(read(GOOD, 5)[0]) == 5
    with pytest.raises(BadFileError, match="1 to 4 items"):
        read(GOOD, 4)
    write(tmp_path, dict.fromkeys(NAMES[:2], header(8, 0)) | {NAMES[0]: header(8, 0, 28, 28)})
    with pytest.raises(BadFileError, match=NAMES[0]):
        Small(tmp_path)


@pytest.mark.parametrize("cut", [3, 15, 30, 2000, -9, -8, -4, -1])
def test_a_gzip_file_cut_off(tmp_path, cut):
    write(tmp_path, contents(), packed=True)
    path = tmp_path / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(BadFileError, match=NAMES[0]):
        MNIST(tmp_path)


def test_a_flipped_bit_in_a_gzip_file(tmp_path):
    write(tmp_path, contents(), packed=True)
    path = tmp_path / f"{NAMES[0]}.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)
    with pytest.raises(BadFileError, match="damaged"):
        MNIST(tmp_path)


def test_a_gzip_file_by_another_name(tmp_path):
    write(tmp_path, {name: gzip.compress(content) for name, content in contents().items()})
    assert len(Small(tmp_path)) == 5


@pytest.mark.parametrize(
    ("labels", "text"),
    [(np.array([1, 2, 10, 3, 4]), "10 at position 2"), (np.arange(4), "4 labels")],
)
def test_bad_labels(tmp_path, labels, text):
    write(tmp_path, {**contents(), NAMES[1]: idx(labels.astype(np.uint8))})
    with pytest.warns(UserWarning), pytest.raises(BadFileError, match=text) as caught:
        Small(tmp_path)
    assert NAMES[1] in str(caught.value)


def peak_memory(function):
    tracemalloc.start()
    try:
        function()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def read(content, count=60_000):
    """What the reader makes of a file of images with this content."""
    with tempfile.TemporaryFile() as file:
        file.write(content)
        file.seek(0)
        return datasets._read_idx(file, "fuzzed", (28, 28), count)


def test_memory_is_bounded_before_it_is_taken():
    full = header(8, 60_000, 28, 28)
    bomb = gzip.compress(header(8, 5, 28, 28) + bytes(60_000_000))
    for content in (full, gzip.compress(full + bytes(100)), bomb):

        def refuse(content=content):
            with pytest.raises(BadFileError):
                read(content)

        refuse()
        assert peak_memory(refuse) < 5_000_000


@settings(max_examples=150, deadline=None)
@given(packed=st.booleans(), cut=st.integers(0, 4000), data=st.data())
def test_no_change_of_bytes_leads_to_anything_but_the_error(packed, cut, data):
    good = gzip.compress(GOOD) if packed else GOOD
    content = bytearray(good[: len(good) - min(cut, 200)] if cut < 100 else good)
    where = st.one_of(st.integers(0, 40), st.integers(0, len(good)))
    for position in data.draw(st.lists(where, max_size=4)):
        if position < len(content):
            content[position] = data.draw(st.integers(0, 255))
    outcome = []

    def attempt():
        try:
            outcome.append(read(bytes(content)))
        except BadFileError as error:
            assert "fuzzed" in str(error)

    assert peak_memory(attempt) < 10_000_000
    if outcome:  # what is accepted is what the file says
        array, digest = outcome[0]
        plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else bytes(content)
        assert array.tobytes() == plain[16:]
        assert digest == hashlib.sha256(plain).hexdigest()


# --------------------------------------------------------------------------------------- download


@pytest.fixture
def serve():
    """Start web servers on this machine: ``serve(answers)`` returns an address and a log."""
    servers = []

    def start(answers):
        log = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                log.append(self.path)
                answer = answers.get(self.path.strip("/"))
                if answer == "silence":
                    stop.wait(5)
                    return
                self.send_response(404 if answer is None else 200)
                body, claimed = answer if isinstance(answer, tuple) else (answer or b"", None)
                self.send_header("Content-Length", str(claimed or len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        stop = threading.Event()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        servers.append((server, thread, stop))
        return f"http://127.0.0.1:{server.server_port}/", log

    yield start
    for server, thread, stop in servers:
        stop.set()
        server.shutdown()
        thread.join()
        server.server_close()


def packed_contents():
    return {f"{name}.gz": gzip.compress(content) for name, content in contents().items()}


def dead_address():
    with socket.socket() as probe:  # a port where nobody listens
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def files_below(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file())


@pytest.mark.parametrize("root", ["data", None])
def test_download(serve, monkeypatch, tmp_path, root):
    address, log = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [address])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = Small(root, download=True)
    np.testing.assert_array_equal(dataset.data.numpy(), images_and_labels(5)[0])
    folder = (tmp_path / root if root else tmp_path / "cache" / "minigrad") / "MNIST" / "raw"
    assert files_below(tmp_path) == sorted(NAMES)
    assert all((folder / name).read_bytes() == contents()[name] for name in NAMES)
    assert len(log) == 4
    assert len(Small(root, train=False)) == 3  # came along
    Small(root, download=True)  # what is there is not fetched again
    assert len(log) == 4


def test_download_looks_at_home_first(serve, monkeypatch, tmp_path):
    address, log = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [address])
    monkeypatch.setenv("MINIGRAD_DATA", str(tmp_path / "mine"))
    write(tmp_path / "mine" / "mnist", contents(), packed=True)
    Small("data", download=True)
    assert log == []
    assert not (tmp_path / "data").exists()


def test_download_fetches_only_what_is_missing(serve, monkeypatch, tmp_path):
    address, log = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [address])
    first = dict(list(contents().items())[:1])
    write(tmp_path / "data" / "MNIST" / "raw", first)
    assert len(Small("data", download=True)) == 5
    assert log == [f"/{name}.gz" for name in NAMES[1:]]


@functools.cache
def bad_answers():
    good = gzip.compress(contents()[NAMES[0]])
    return {
        "dead": None,
        "not there": {},
        "cut off": {f"{NAMES[0]}.gz": (good[:1000], len(good))},
        "cut off and unashamed": {f"{NAMES[0]}.gz": good[:1000]},
        "no gzip": {f"{NAMES[0]}.gz": b"<html>welcome to the hotel</html>"},
        "empty": {f"{NAMES[0]}.gz": b""},
        "another file": {f"{NAMES[0]}.gz": gzip.compress(contents(9)[NAMES[0]])},
        "more bytes": {f"{NAMES[0]}.gz": gzip.compress(contents()[NAMES[0]] + b"0")},
        "bomb": {f"{NAMES[0]}.gz": gzip.compress(bytes(100_000_000), 1)},
    }


@pytest.mark.parametrize("fault", bad_answers())
def test_a_bad_mirror_is_followed_by_the_next(serve, monkeypatch, tmp_path, fault):
    answers = bad_answers()[fault]
    bad = dead_address() if answers is None else serve(answers)[0]
    good, log = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [bad, good])
    assert len(Small("data", download=True)) == 5
    assert files_below(tmp_path) == sorted(NAMES)
    assert len(log) == 4

    # And without the good one: every place and failure is named, and nothing is left behind.
    monkeypatch.setattr(Small, "mirrors", [bad])
    with pytest.raises(datasets.DatasetNotFoundError) as caught:
        Small("empty", download=True)
    text = str(caught.value)
    assert f"{bad}{NAMES[0]}.gz: " in text
    assert "empty/mnist: no such folder" in text
    assert "download=True" not in text
    assert files_below("empty") == []


def test_a_silent_mirror_is_given_up(serve, monkeypatch):
    silent, asked = serve({f"{name}.gz": "silence" for name in NAMES})
    good, _ = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [silent, good])
    monkeypatch.setattr(Small, "timeout", 0.1)
    assert len(Small("data", download=True)) == 5
    assert len(asked) == 1  # waited for once, not once a file
    monkeypatch.setattr(Small, "mirrors", [silent])
    with pytest.raises(datasets.DatasetNotFoundError, match="timed out"):
        Small("empty", download=True)


@pytest.mark.parametrize("address", ["no address", "ftp:", "gopher://example/", "http://[/"])
def test_a_mirror_that_is_no_address(monkeypatch, address):
    monkeypatch.setattr(Small, "mirrors", [address])
    with pytest.raises(datasets.DatasetNotFoundError, match=NAMES[0]):
        Small("data", download=True)


def test_a_full_disk_leaves_nothing(serve, monkeypatch, tmp_path):
    address, _ = serve(packed_contents())
    monkeypatch.setattr(Small, "mirrors", [address])
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "no space")))
    with pytest.raises(OSError, match="no space"):
        Small("data", download=True)
    assert files_below(tmp_path) == []


# ----------------------------------------------------------------- samples, and batches of samples


@pytest.fixture
def small(tmp_path):
    write(tmp_path, contents())

    def make(**options):
        return Small(tmp_path, **options)

    return make


def test_a_sample_is_an_array_and_an_int(small):
    dataset = small()
    image, label = dataset[2]
    assert type(image) is np.ndarray
    assert image.dtype == np.uint8
    assert image.shape == (28, 28)
    assert type(label) is int
    assert label == images_and_labels(5)[1][2]
    image[:] = 0  # belongs to the caller
    np.testing.assert_array_equal(dataset[2][0], images_and_labels(5)[0][2])
    assert len(list(dataset)) == len(dataset) == 5
    with pytest.raises(IndexError):
        dataset[5]


def test_transforms_are_applied(small):
    dataset = small(transform=transforms.ToTensor(), target_transform=lambda label: -label)
    image, label = dataset[1]
    assert image.shape == (1, 28, 28)
    assert label == -int(images_and_labels(5)[1][1])


def test_classes_and_repr(small):
    dataset = small(transform=transforms.ToTensor())
    assert dataset.classes[7] == "7 - seven"
    assert dataset.class_to_idx["9 - nine"] == 9
    assert repr(dataset) == "Small(5 images of 28x28, transform=ToTensor())"


def compose(*extra):
    return transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,)), *extra]
    )


TRANSFORMS = {
    "none": (None, True),
    "nothing": (transforms.Compose([]), True),
    "to tensor": (transforms.ToTensor(), True),
    "normalised": (compose(), True),
    "in place": (
        transforms.Compose([transforms.ToTensor(), transforms.Normalize(0.5, 0.5, inplace=True)]),
        True,
    ),
    "own function": (compose(lambda x: x * 2), False),
    "lambda": (transforms.Lambda(lambda image: image[::2].astype(np.float32)), False),
}


@pytest.mark.parametrize("target", [None, lambda label: label % 2], ids=["", "targets"])
@pytest.mark.parametrize("kind", TRANSFORMS)
@pytest.mark.parametrize("wrap", ["itself", "subset", "split", "digits"])
@pytest.mark.parametrize("batch_size", [2, 5])
def test_whole_batches_equal_single_samples(small, monkeypatch, wrap, kind, target, batch_size):
    transform, can = TRANSFORMS[kind]
    asked = []
    original = datasets.LabelledImages.collated

    def spy(self, indices):
        batch = original(self, indices)
        asked.append(batch is not NotImplemented)
        return batch

    monkeypatch.setattr(datasets.LabelledImages, "collated", spy)
    options = {"transform": transform, "target_transform": target}
    dataset = Digits(mnist_form=True, **options) if wrap == "digits" else small(**options)
    if wrap in ("subset", "digits"):
        dataset = Subset(dataset, [4, 0, 0, 3])
    elif wrap == "split":
        dataset = random_split(dataset, [1, 4], generator=np.random.default_rng(0))[1]

    fast = list(DataLoader(dataset, batch_size))
    assert all(done == (can and target is None) for done in asked)
    asked.clear()
    slow = list(DataLoader(dataset, batch_size, collate_fn=lambda batch: default_collate(batch)))
    assert not asked
    assert len(fast) == len(slow) == -(-len(dataset) // batch_size)
    for one, other in zip(fast, slow, strict=True):
        assert type(one) is type(other) is list
        for x, y in zip(one, other, strict=True):
            assert isinstance(x, minigrad.Tensor)
            assert x.dtype == y.dtype
            np.testing.assert_array_equal(x.numpy(), y.numpy())


def test_an_own_getitem_is_obeyed(small, tmp_path):
    class Inverted(Small):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return 255 - image, label

    ((images, _),) = DataLoader(Inverted(tmp_path), 5)
    np.testing.assert_array_equal(images.numpy(), 255 - images_and_labels(5)[0])


def test_data_and_targets_may_be_replaced(small):
    dataset = small(transform=transforms.ToTensor())
    dataset.data = dataset.data[1:3]
    dataset.targets = [7, 8]
    assert len(dataset) == 2
    assert dataset[0][1] == 7
    ((images, labels),) = DataLoader(dataset, 2)
    np.testing.assert_array_equal(images.numpy()[1, 0], dataset[1][0].numpy()[0])
    assert labels.numpy().tolist() == [7, 8]
    assert labels.dtype == np.int64


# ------------------------------------------------------------------------------ the small digits


def test_digits_split():
    train, test = Digits(), Digits(train=False)
    assert (len(train), len(test)) == (1437, 360)
    shares = [np.bincount(part.targets.numpy()) / len(part) for part in (train, test)]
    np.testing.assert_allclose(*shares, atol=1 / 360)
    both = np.concatenate([part.data.numpy().reshape(-1, 64) for part in (train, test)])
    assert len(np.unique(both, axis=0)) == 1797  # no image twice, so none in both parts
    minigrad.manual_seed(1)
    np.testing.assert_array_equal(Digits().data.numpy(), train.data.numpy())


def test_digits_form():
    digits = Digits(train=False, transform=transforms.ToTensor())
    assert digits.data.shape == (360, 8, 8)
    assert digits.data.dtype == np.uint8
    assert digits.targets.dtype == np.int64
    assert (digits.data.numpy().min(), digits.data.numpy().max()) == (0, 16)
    assert digits[0][0].shape == (1, 8, 8)
    assert digits.classes == MNIST.classes


def test_digits_in_the_form_of_mnist():
    plain, large = Digits(train=False), Digits(train=False, mnist_form=True)
    assert large.data.shape == (360, 28, 28)
    assert large.data.dtype == np.uint8
    np.testing.assert_array_equal(large.targets.numpy(), plain.targets.numpy())
    pixels = plain.data.numpy().astype(float)
    for row in range(28):
        for column in range(28):
            small_row, small_column = (row - 2) // 3, (column - 2) // 3
            inside = 2 <= row < 26 and 2 <= column < 26
            expected = pixels[:, small_row, small_column] if inside else np.zeros(360)
            expected = np.floor(expected * 255 / 16 + 0.5)
            np.testing.assert_array_equal(large.data.numpy()[:, row, column], expected)


def test_to_mnist_form_spans_the_range():
    values = np.arange(17, dtype=np.uint8).repeat(64).reshape(17, 8, 8)
    centres = to_mnist_form(values)[:, 14, 14]
    assert (centres[0], centres[-1]) == (0, 255)
    assert len(set(centres.tolist())) == 17


def test_digits_file():
    path = Path(datasets.__file__).with_name("digits.npz")
    assert path.stat().st_size < 60_000
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {"about", "images", "labels", "train"}
        assert "CC BY 4.0" in str(file["about"])


def test_digits_file_is_what_the_script_makes():
    pytest.importorskip("sklearn")
    import make_digits

    made = io.BytesIO()
    make_digits.make(made)
    made.seek(0)
    with np.load(made) as new, np.load(make_digits.OUTPUT) as stored:
        assert set(new) == set(stored)
        for name in new:
            np.testing.assert_array_equal(new[name], stored[name])


# ---------------------------------------------------------------------------------- the real thing


@pytest.mark.mnist
@pytest.mark.parametrize("train", [True, False])
def test_real_mnist(train):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a copy that differs in some pixels will do
        dataset = MNIST(REAL, train=train, transform=transforms.ToTensor())
    assert dataset.data.shape == ((60_000 if train else 10_000), 28, 28)
    counts = np.bincount(dataset.targets.numpy()).tolist()
    if train:
        assert counts == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        pixels = dataset.data.numpy() / np.float32(255)
        assert abs(pixels.mean(dtype=np.float64) - 0.1307) < 5e-5
        assert abs(pixels.std(dtype=np.float64) - 0.3081) < 5e-5
        assert dataset.targets.numpy()[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    else:
        assert counts == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
