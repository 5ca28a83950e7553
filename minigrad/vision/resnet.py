"""ResNet-18: blocks that add to what they are given, so that gradients find a short way back.

A stack of plain convolutions gets *harder* to train with every layer, on the training data too. A
residual block computes ``x + F(x)``: with F = 0 it passes x on untouched, so a deep network starts
no worse than a shallow one, and the ``+`` hands the gradient on to x as it is.

Names and shapes of all parameters and buffers are torchvision's, so its weights load.

Before this: ``models.py``. Next: ``bench/gpu.py``, which trains it.
"""

from __future__ import annotations

from .. import nn
from .._errors import message
from .._tensor import Tensor


class BasicBlock(nn.Module):
    """``relu(x + F(x))``, where F is convolution, norm, ReLU, convolution, norm.

    Parameters
    ----------
    inplanes, planes : int
        Channels in and out.
    stride : int
        Of the first convolution. With 2 the image is halved.
    downsample : Module, optional
        Gives x the shape of F(x), where that differs: a 1 x 1 convolution and a norm.

    Notes
    -----
    Source: He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2016, figure 2
    and eq. (2). The bias of a convolution would be undone by the norm after it: there is none.
    """

    def __init__(
        self, inplanes: int, planes: int, stride: int = 1, downsample: nn.Module | None = None
    ):
        super().__init__()
        self.conv1 = nn.Conv2d(inplanes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(planes, planes, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        identity = x if self.downsample is None else self.downsample(x)
        return self.relu(out + identity)


class ResNet(nn.Module):
    """A stem, four stages of `BasicBlock`, the mean over all places, and a linear layer.

    Each stage after the first halves the image and doubles the channels: 64, 128, 256, 512.

    Parameters
    ----------
    layers : sequence of four int
        The number of blocks of each stage.
    num_classes : int
    cifar : bool
        The stem for images of 32 x 32: one 3 x 3 convolution that keeps the size. The usual one,
        a 7 x 7 convolution and a pooling, would leave 8 x 8 of them before the first block.
    zero_init_residual : bool
        Start with F = 0 in every block, by the weight of its last norm. Source: Goyal et al.,
        "Accurate, large minibatch SGD", 2017, section 5.1.

    Notes
    -----
    Convolutions start from N(0, 2 / fan_out): He et al., "Delving deep into rectifiers", 2015,
    eq. (14). Takes images (N, 3, H, W), returns logits (N, num_classes).
    """

    def __init__(
        self,
        layers: tuple[int, int, int, int],
        num_classes: int = 1000,
        *,
        cifar: bool = False,
        zero_init_residual: bool = False,
    ):
        super().__init__()
        if cifar:
            self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        else:
            self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.Identity() if cifar else nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = _stage(64, 64, layers[0], stride=1)
        self.layer2 = _stage(64, 128, layers[1], stride=2)
        self.layer3 = _stage(128, 256, layers[2], stride=2)
        self.layer4 = _stage(256, 512, layers[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512, num_classes)
        self._draw_first_values(zero_init_residual)

    def _draw_first_values(self, zero_init_residual: bool) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if isinstance(module, BasicBlock) and zero_init_residual:
                nn.init.zeros_(module.bn2.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def _stage(inplanes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    """Return `blocks` blocks, the first of which changes size and channels."""
    downsample = None
    if stride != 1 or inplanes != planes:
        downsample = nn.Sequential(
            nn.Conv2d(inplanes, planes, 1, stride=stride, bias=False), nn.BatchNorm2d(planes)
        )
    first = BasicBlock(inplanes, planes, stride, downsample)
    return nn.Sequential(first, *[BasicBlock(planes, planes) for _ in range(blocks - 1)])


def resnet18(
    *,
    weights=None,
    progress: bool = True,
    num_classes: int | None = None,
    cifar: bool = False,
    zero_init_residual: bool = False,
) -> ResNet:
    """Return ResNet-18: 11,689,512 parameters, or 11,173,962 in the form for CIFAR-10.

    Parameters
    ----------
    weights : None
        There are no weights to download: see `Module.load_state_dict` for torchvision's.
    progress : bool
        Accepted for torchvision's sake and without effect.
    num_classes : int, optional
        1000, and 10 with `cifar`.
    cifar : bool
        For images of 32 x 32; see `ResNet`.
    zero_init_residual : bool
        See `ResNet`.

    Returns
    -------
    ResNet
        Takes images (N, 3, H, W), returns logits (N, num_classes).

    Raises
    ------
    ValueError
        If `weights` is given.
    """
    if weights is not None:
        raise ValueError(
            message(
                "resnet18",
                "no trained weights come with minigrad.",
                expect="weights=None",
                actual=f"weights={weights!r}",
                do="load a file of torchvision's weights: "
                "model.load_state_dict(minigrad.load('resnet18.safetensors'))",
            )
        )
    if num_classes is None:
        num_classes = 10 if cifar else 1000
    return ResNet((2, 2, 2, 2), num_classes, cifar=cifar, zero_init_residual=zero_init_residual)
