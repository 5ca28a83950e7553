"""ResNet-18 against the same network in PyTorch: output, gradients, running statistics.

torchvision may be missing where PyTorch is there, so its architecture is written down again below,
from the paper's table and torchvision's documented names, in PyTorch's layers.
"""

from __future__ import annotations

import numpy as np
import pytest

import minigrad
from minigrad.vision import models

torch = pytest.importorskip("torch")
torch.set_num_threads(1)
pytestmark = pytest.mark.cpu_only


class Block(torch.nn.Module):
    def __init__(self, channels_in, channels, stride):
        super().__init__()
        nn = torch.nn
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.downsample = None
        if (channels_in, stride) != (channels, 1):
            self.downsample = nn.Sequential(
                nn.Conv2d(channels_in, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        return self.relu(y + (x if self.downsample is None else self.downsample(x)))


class Reference(torch.nn.Module):
    def __init__(self, classes, cifar):
        super().__init__()
        nn = torch.nn
        stem = (3, 1, 1) if cifar else (7, 2, 3)
        self.conv1 = nn.Conv2d(3, 64, *stem, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if cifar else nn.MaxPool2d(3, 2, 1)
        for i, (before, after) in enumerate([(64, 64), (64, 128), (128, 256), (256, 512)]):
            blocks = Block(before, after, 1 if i == 0 else 2), Block(after, after, 1)
            setattr(self, f"layer{i + 1}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


@pytest.fixture(params=[False, True], ids=["ImageNet", "CIFAR"])
def pair(request):
    """Our network and PyTorch's, of the same weights, in float64."""
    minigrad.manual_seed(0)
    ours = models.resnet18(num_classes=7, cifar=request.param).double()
    theirs = Reference(7, request.param).double()
    rng = np.random.default_rng(0)
    for name, value in ours.named_parameters():  # no 1 or 0 that would hide a forgotten factor
        if "bn" in name or "downsample.1" in name:
            value.data.copy_(minigrad.from_numpy(rng.uniform(0.5, 1.5, value.shape)))
    state = {name: torch.from_numpy(v.numpy().copy()) for name, v in ours.state_dict().items()}
    theirs.load_state_dict(state)  # strict: the same names and shapes, no more and no less
    return ours, theirs


def close(actual, expected, tolerance=1e-9):
    scale = max(np.abs(expected).max(), 1e-300)
    assert np.abs(actual - expected).max() <= tolerance * scale


def test_equal_in_output_and_gradients(pair):
    ours, theirs = pair
    rng = np.random.default_rng(1)
    size = 32 if theirs.conv1.kernel_size == (7, 7) else 12
    x = rng.standard_normal((3, 3, size, size))
    upstream = rng.standard_normal((3, 7))

    a = minigrad.from_numpy(x.copy()).requires_grad_()
    b = torch.from_numpy(x.copy()).requires_grad_()
    y, z = ours(a), theirs(b)
    close(y.detach().numpy(), z.detach().numpy())
    y.backward(minigrad.from_numpy(upstream))
    z.backward(torch.from_numpy(upstream))
    close(a.grad.numpy(), b.grad.numpy())
    expected = {name: p.grad.numpy() for name, p in theirs.named_parameters()}
    actual = {name: p.grad.numpy() for name, p in ours.named_parameters()}
    assert list(actual) == list(expected)  # in the same order too
    for name, value in expected.items():
        close(actual[name], value, 1e-8)
    for name, value in theirs.named_buffers():
        close(ours.get_buffer(name).numpy(), value.numpy())

    ours.eval(), theirs.eval()
    close(ours(a).detach().numpy(), theirs(b).detach().numpy())


def test_torchvision_itself_where_it_is_installed():
    vision = pytest.importorskip("torchvision")
    ours, theirs = models.resnet18(), vision.models.resnet18()
    state = theirs.state_dict()
    assert {k: tuple(v.shape) for k, v in ours.state_dict().items()} == {
        k: tuple(v.shape) for k, v in state.items()
    }
    ours.load_state_dict({k: minigrad.from_numpy(v.numpy().copy()) for k, v in state.items()})
    x = np.random.default_rng(0).standard_normal((1, 3, 64, 64)).astype(np.float32)
    ours.eval(), theirs.eval()
    close(
        ours(minigrad.from_numpy(x)).detach().numpy(),
        theirs(torch.from_numpy(x)).detach().numpy(),
        1e-4,
    )
