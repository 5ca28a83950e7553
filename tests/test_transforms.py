"""Transforms: torchvision's formulas, and one image or a whole batch with the same result."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import Tensor
from minigrad.vision import transforms
from minigrad.vision.transforms import Compose, Lambda, Normalize, ToTensor, has_batch


def pixels(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def assert_law(transform, images):
    """transform.batch(images)[i] == transform(images[i]), bit for bit."""
    batch = transform.batch(images)
    assert len(batch) == len(images)
    for one, image in zip(batch.numpy(), images, strict=True):
        single = transform(image)
        assert single.dtype == batch.dtype
        np.testing.assert_array_equal(single.numpy(), one)


# -------------------------------------------------------------------------------------- ToTensor


def test_to_tensor_divides_by_255_in_float32():
    image = np.arange(256, dtype=np.uint8).reshape(16, 16)
    tensor = ToTensor()(image)
    assert tensor.shape == (1, 16, 16) and tensor.dtype == np.float32
    expected = np.array([np.float32(v) / np.float32(255) for v in range(256)])
    np.testing.assert_array_equal(tensor.numpy().ravel(), expected)


def test_to_tensor_puts_channels_first():
    image = pixels(4, 5, 3)
    tensor = ToTensor()(image)
    assert tensor.shape == (3, 4, 5)
    for channel in range(3):
        np.testing.assert_array_equal(
            tensor.numpy()[channel], image[:, :, channel].astype(np.float32) / np.float32(255)
        )


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "bool"])
def test_to_tensor_leaves_other_dtypes(dtype):
    image = pixels(4, 5, dtype=dtype)
    tensor = ToTensor()(image)
    assert tensor.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(tensor.numpy()[0], image)
    tensor.numpy()[:] = 0  # in memory of its own
    assert image.any()


def test_to_tensor_follows_the_default_dtype():
    before = minigrad.get_default_dtype()
    minigrad.set_default_dtype(minigrad.float64)
    try:
        tensor = ToTensor()(pixels(2, 2))
        assert tensor.dtype == np.float64
        np.testing.assert_array_equal(tensor.numpy()[0], pixels(2, 2) / 255)
    finally:
        minigrad.set_default_dtype(before)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "1", "F", "I"])
def test_to_tensor_takes_pil_images(mode):
    image_module = pytest.importorskip("PIL.Image")
    image = image_module.fromarray(pixels(6, 5, 3)).convert(mode)
    tensor = ToTensor()(image)
    expected = np.asarray(image)
    expected = expected[None] if expected.ndim == 2 else expected.transpose(2, 0, 1)
    if mode in ("F", "I"):
        assert tensor.dtype == expected.dtype
    else:
        expected = expected.astype(np.float32) / np.float32(1 if mode == "1" else 255)
    np.testing.assert_array_equal(tensor.numpy(), expected)


@pytest.mark.parametrize("shape", [(3, 28, 28), (3, 7, 5, 3), (1, 4, 4), (3, 4, 4, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_to_tensor_law(shape, dtype):
    images = pixels(*shape, dtype=dtype)
    assert_law(ToTensor(), images)
    assert_law(ToTensor(), images[:, ::2, ::-1])  # any layout


def test_to_tensor_refuses():
    with pytest.raises(ValueError, match="batch"):
        ToTensor()(pixels(2, 3, 4, 1))
    for shape in [(4,), (2, 2, 2, 2, 2)]:
        with pytest.raises(ValueError, match="ToTensor"):
            ToTensor()(pixels(*shape))
        with pytest.raises(ValueError, match="ToTensor"):
            ToTensor().batch(pixels(*shape))
    for wrong in (minigrad.zeros(1, 2, 2), [[1, 2]], None):
        with pytest.raises(TypeError, match="ToTensor"):
            ToTensor()(wrong)


# ------------------------------------------------------------------------------------- Normalize


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((0.1307,), (0.3081,)),
        (0.5, 0.5),
        ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),
        ((0.1, 0.2, 0.3), (2,)),
    ],
    ids=str,
)
def test_normalize_formula(mean, std, dtype):
    x = np.random.default_rng(0).random((3, 4, 5)).astype(dtype)
    result = Normalize(mean, std)(minigrad.tensor(x))
    assert result.dtype == np.dtype(dtype)
    per_channel = [np.broadcast_to(np.array(v, dtype), 3)[:, None, None] for v in (mean, std)]
    np.testing.assert_array_equal(result.numpy(), (x - per_channel[0]) / per_channel[1])


def test_normalize_law_and_memory():
    x = np.random.default_rng(0).random((5, 3, 4, 4)).astype(np.float32)
    tensor = minigrad.tensor(x)
    assert_law(Normalize((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), tensor)
    np.testing.assert_array_equal(tensor.numpy(), x)  # not changed

    inplace = Normalize((0.5,), (0.25,), inplace=True)
    result = inplace(tensor)
    np.testing.assert_array_equal(tensor.numpy(), (x - np.float32(0.5)) / np.float32(0.25))
    assert result is tensor


@pytest.mark.parametrize("inplace", [False, True])
def test_normalize_on_a_device(device, inplace):
    x = np.random.default_rng(0).random((2, 3, 4, 4)).astype(np.float32)
    given = make(device, x)
    result = Normalize((0.1, 0.2, 0.3), (0.5, 0.25, 2), inplace=inplace)(given)
    assert result.device == given.device
    mean, std = (np.array(v, np.float32)[:, None, None] for v in ((0.1, 0.2, 0.3), (0.5, 0.25, 2)))
    np.testing.assert_allclose(arr(result), (x - mean) / std, rtol=1e-6, atol=1e-7)


def test_normalize_has_a_gradient():
    x = minigrad.tensor(np.ones((1, 2, 2)), requires_grad=True)
    Normalize((0.5,), (0.25,))(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.full((1, 2, 2), 4.0))


@pytest.mark.parametrize(
    ("mean", "std"),
    [((0.1,), (0,)), ((0.1,), (float("nan"),)), ((float("inf"),), (1,)), ((0, 0), (1, 0))],
    ids=str,
)
def test_normalize_refuses_its_numbers(mean, std):
    with pytest.raises(ValueError, match="Normalize"):
        Normalize(mean, std)


def test_normalize_refuses_images():
    normalize = Normalize((0.1, 0.2, 0.3), (1, 1, 1))
    for shape in [(1, 4, 4), (4, 4), (2, 4, 4)]:
        with pytest.raises(ValueError, match="channels"):
            normalize(minigrad.zeros(shape))
    for wrong in (np.zeros((3, 4, 4), np.float32), minigrad.tensor(pixels(3, 4, 4))):
        with pytest.raises(TypeError, match="ToTensor"):
            normalize(wrong)


# ------------------------------------------------------------------------------- Compose, Lambda


@pytest.mark.parametrize("shape", [(4, 28, 28), (4, 6, 5, 3)])
def test_compose_law(shape):
    compose = Compose([ToTensor(), Compose([Normalize((0.5,), (0.25,))]), Compose([])])
    images = pixels(*shape)
    assert has_batch(compose)
    assert_law(compose, images)
    scaled = images[1].astype(np.float32) / np.float32(255)
    scaled = scaled[None] if scaled.ndim == 2 else scaled.transpose(2, 0, 1)
    expected = (scaled - np.float32(0.5)) / np.float32(0.25)
    np.testing.assert_array_equal(compose(images[1]).numpy(), expected)


def test_what_has_no_batch_form():
    class Own(ToTensor):
        def __call__(self, image):
            return 2 * super().__call__(image)

    class Whole(ToTensor):
        def __call__(self, image):
            return super().__call__(image) * 2

        def batch(self, images):
            return super().batch(images) * 2

    class Duck:
        batch = 32

        def __call__(self, image):
            return image

    assert has_batch(ToTensor()) and has_batch(Compose([])) and has_batch(Whole())
    for single in (Own(), Lambda(abs), abs, Duck()):
        assert not has_batch(single)
        assert not has_batch(Compose([ToTensor(), single]))
        assert not has_batch(Compose([Compose([single])]))

    class OwnCompose(Compose):
        def __call__(self, image):
            return 0

    assert not has_batch(OwnCompose([ToTensor()]))


def test_a_chain_may_be_extended_later():
    compose = Compose([ToTensor()])
    compose.transforms.append(lambda x: x)
    assert not has_batch(compose)


def test_lambda():
    assert Lambda(lambda x: x + 1)(2) == 3


@pytest.mark.parametrize("make", [Lambda, lambda x: Compose([ToTensor(), x])])
@pytest.mark.parametrize("wrong", [3, None, ToTensor, "ToTensor"])
def test_what_cannot_be_called_is_refused(make, wrong):
    with pytest.raises(TypeError, match="Do: |Expect: "):
        make(wrong)


def test_reprs():
    compose = Compose([ToTensor(), Normalize((0.5,), (0.25,)), Lambda(abs)])
    assert repr(compose) == (
        "Compose([ToTensor(), Normalize(mean=(0.5,), std=(0.25,)), Lambda(abs)])"
    )


def test_the_base_class_asks_for_its_methods():
    class Forgotten(transforms.Transform):
        pass

    with pytest.raises(NotImplementedError, match="Forgotten"):
        Forgotten()(1)
    with pytest.raises(NotImplementedError, match="Forgotten"):
        Forgotten().batch(1)


# ---------------------------------------------------------------------------- random crops


def naive_crops(images, size, padding, generator):
    """One image after the other, by slices; images (N, H, W, C)."""
    out = []
    for image in images:
        padded = np.pad(image, [(p, p) for p in padding] + [(0, 0)])
        room = [n - k + 1 for n, k in zip(padded.shape, size)]
        y, x = generator.integers(0, room)
        out.append(padded[y : y + size[0], x : x + size[1]])
    return np.stack(out)


@pytest.mark.parametrize("form", ["planes", "(H, W)", "(H, W, C)"])
@pytest.mark.parametrize("size, padding", [((5, 7), (2, 1)), ((3, 4), (0, 0)), ((9, 4), (2, 3))])
def test_random_crop_is_the_naive_one_by_one(form, size, padding):
    images = np.random.default_rng(0).integers(1, 256, (6, 5, 7, 3), dtype=np.uint8)
    if form == "(H, W)":
        images = images[..., :1]
    expected = naive_crops(images, size, padding, np.random.default_rng(4))
    given = {
        "planes": Tensor(np.ascontiguousarray(images.transpose(0, 3, 1, 2))),
        "(H, W)": images[..., 0],
        "(H, W, C)": images,
    }[form]

    def channels_last(result):
        array = result.numpy() if isinstance(result, Tensor) else result
        return array.transpose(0, 2, 3, 1) if form == "planes" else array.reshape(expected.shape)

    crop = transforms.RandomCrop(size, padding, generator=np.random.default_rng(4))
    np.testing.assert_array_equal(channels_last(crop.batch(given)), expected)

    crop = transforms.RandomCrop(size, padding, generator=np.random.default_rng(4))
    single = [crop(image) for image in given]
    single = [s.numpy() if isinstance(s, Tensor) else s for s in single]
    stacked = np.stack(single)
    stacked = Tensor(stacked) if form == "planes" else stacked
    np.testing.assert_array_equal(channels_last(stacked), expected)


def test_random_crop_draws_from_the_seeded_generator():
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    crop = transforms.RandomCrop(4)
    minigrad.manual_seed(1)
    first = [crop(image) for _ in range(5)]
    minigrad.manual_seed(1)
    np.testing.assert_array_equal(first, [crop(image) for _ in range(5)])
    assert len({window.tobytes() for window in first}) > 1


@pytest.mark.parametrize("arguments", [(0,), (-1,), ((2, 3, 4),), (2.5,), (3, -1), (True,)])
def test_random_crop_refuses_nonsense(arguments):
    with pytest.raises(ValueError, match="RandomCrop: not a"):
        transforms.RandomCrop(*arguments)
    with pytest.raises(ValueError, match="does not fit"):
        transforms.RandomCrop(9)(np.zeros((8, 8), np.uint8))
