"""ResNet-18: the published counts, torchvision's names, and first values as they should be drawn.

The comparison with PyTorch, output and gradients, is ``against_torch/test_resnet_torch.py``.
"""

from __future__ import annotations

import math

import fakecupy
import numpy as np
import pytest
from helpers import arr, make

import minigrad as mg
from minigrad import backend, nn
from minigrad.vision import models


@pytest.fixture(scope="module")
def imagenet():
    mg.manual_seed(0)
    return models.resnet18()


@pytest.fixture(scope="module")
def cifar():
    mg.manual_seed(0)
    return models.resnet18(cifar=True)


def expected_names(stem_size: int, classes: int) -> dict[str, tuple]:
    """Names and shapes of torchvision's ``resnet18().state_dict()``, written from the paper."""
    shapes: dict[str, tuple] = {"conv1.weight": (64, 3, stem_size, stem_size)}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    before = 64
    for stage, channels in enumerate((64, 128, 256, 512), start=1):
        for block in (0, 1):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (channels, before, 3, 3)
            norm(f"{name}.bn1", channels)
            shapes[f"{name}.conv2.weight"] = (channels, channels, 3, 3)
            norm(f"{name}.bn2", channels)
            if before != channels:
                shapes[f"{name}.downsample.0.weight"] = (channels, before, 1, 1)
                norm(f"{name}.downsample.1", channels)
            before = channels
    shapes["fc.weight"], shapes["fc.bias"] = (classes, 512), (classes,)
    return shapes


def test_names_and_shapes_are_torchvisions(imagenet, cifar):
    for model, stem, classes in ((imagenet, 7, 1000), (cifar, 3, 10)):
        shapes = {name: tuple(value.shape) for name, value in model.state_dict().items()}
        assert shapes == expected_names(stem, classes)


def test_as_many_parameters_as_published(imagenet, cifar):
    assert sum(p.numel() for p in imagenet.parameters()) == 11_689_512  # torchvision's table
    assert sum(p.numel() for p in cifar.parameters()) == 11_173_962
    assert len(list(imagenet.parameters())) == 62
    assert models.resnet18(num_classes=7).fc.weight.shape == (7, 512)


@pytest.mark.parametrize(
    ("size", "stem", "last"), [(64, (1, 64, 16, 16), (1, 512, 2, 2)), (70, None, None)]
)
def test_sizes_of_the_images_on_the_way(imagenet, size, stem, last):
    seen = {}
    handles = [
        module.register_forward_hook(lambda m, i, o, name=name: seen.update({name: o.shape}))
        for name, module in imagenet.named_children()
    ]
    imagenet.eval()
    with mg.no_grad():
        assert imagenet(mg.zeros(1, 3, size, size)).shape == (1, 1000)
    for handle in handles:
        handle.remove()
    assert stem is None or (seen["maxpool"], seen["layer4"]) == (stem, last)


def test_the_cifar_form_keeps_the_size_until_the_second_stage(cifar):
    seen = {}
    handle = cifar.layer1.register_forward_hook(lambda m, i, o: seen.update(size=o.shape))
    cifar.eval()
    with mg.no_grad():
        cifar(mg.zeros(1, 3, 32, 32))
    handle.remove()
    assert seen["size"] == (1, 64, 32, 32)


def test_first_values(imagenet):
    for name, module in imagenet.named_modules():
        if isinstance(module, nn.Conv2d):
            w = arr(module.weight)
            fan_out = w.shape[0] * w.shape[2] * w.shape[3]
            std, error = math.sqrt(2 / fan_out), 5 / math.sqrt(2 * w.size)  # five sigma
            assert abs(w.std() / std - 1) < error, name
            assert abs(w.mean()) < 5 * std / math.sqrt(w.size), name
        if isinstance(module, nn.BatchNorm2d):
            assert (arr(module.weight) == 1).all()
            assert (arr(module.bias) == 0).all()
    assert abs(arr(imagenet.fc.weight)).max() <= 1 / math.sqrt(512)


def test_zero_init_residual_makes_every_block_pass_on_its_input():
    mg.manual_seed(0)
    model = models.resnet18(cifar=True, zero_init_residual=True)
    x = mg.rand(2, 64, 4, 4)
    block = model.layer1[0]
    np.testing.assert_array_equal(arr(block(x)), arr(x))  # relu(x + 0), x >= 0


def test_there_are_no_weights_to_download():
    with pytest.raises(ValueError, match="load_state_dict"):
        models.resnet18(weights="DEFAULT")


def test_it_trains_on_every_device(device, monkeypatch):
    """Three steps: the losses are those of the CPU, they fall, and the norms have counted."""
    from minigrad.kernels.cuda import launch

    if device == "cuda" and backend.cupy is fakecupy.cupy:
        monkeypatch.setattr(launch, "ENABLED", False)  # run on a CPU, the CUDA sources are slow
    rng = np.random.default_rng(0)
    images, labels = rng.random((6, 3, 8, 8)), np.arange(6) % 3  # fewer samples make it chaotic
    found = []
    for where in {"cpu", device}:
        mg.manual_seed(0)
        model = models.resnet18(cifar=True, num_classes=3).double().to(where)
        optimizer = mg.optim.SGD(model.parameters(), lr=0.01)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(make(where, images)), make(where, labels))
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[2] < losses[1] < losses[0]
        assert model.bn1.num_batches_tracked.item() == 3
        assert all(p.grad is not None for p in model.parameters())
        found.append(losses)
    np.testing.assert_allclose(found[-1], found[0], rtol=1e-5)


def test_the_structural_pruner_follows_the_shortcuts():
    """Added branches lose the same channels, and the small network equals the masked one."""
    from minigrad import compress

    mg.manual_seed(0)
    model = models.resnet18(cifar=True)
    small = compress.prune_channels(model, mg.rand(2, 3, 8, 8), 0.5)
    before, after = (sum(p.numel() for p in m.parameters()) for m in (model, small))
    assert after < 0.27 * before  # both sides of a convolution are halved
    assert small.layer2[0].conv2.out_channels == small.layer2[1].conv2.out_channels == 64
    assert small(mg.rand(2, 3, 8, 8)).shape == (2, 10)
