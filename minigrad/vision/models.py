"""Networks for images of 28 x 28: perceptrons, two LeNets, and a small modern CNN.

Each function returns an ordinary `Module`, built from layers in the order in which they run.
(`resnet18`, for larger images in colour, has a file of its own.)

Before this: ``nn/layers.py``. Next: ``examples/mnist.py``, which trains them; ``resnet.py``.
"""

from __future__ import annotations

from .. import nn
from .resnet import BasicBlock as BasicBlock
from .resnet import ResNet as ResNet
from .resnet import resnet18 as resnet18


def mlp(hidden: int = 256, num_classes: int = 10) -> nn.Sequential:
    """Return a perceptron of one hidden layer, 784-256-10 by default.

    Takes images (N, 1, 28, 28), or anything with 784 numbers a sample; returns logits.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, hidden),
        nn.ReLU(),
        nn.Linear(hidden, num_classes),
    )


def lenet_300_100(num_classes: int = 10) -> nn.Sequential:
    """Return a perceptron of two hidden layers, 784-300-100-10: 266,610 parameters.

    The first network of every paper on compression. Takes images (N, 1, 28, 28), or anything with
    784 numbers a sample; returns logits. Source: LeCun, Bottou, Bengio and Haffner,
    "Gradient-Based Learning Applied to Document Recognition", 1998, with today's activation.
    """
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(28 * 28, 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
        nn.Linear(100, num_classes),
    )


def lenet(num_classes: int = 10) -> nn.Sequential:
    """Return LeNet-5 with ReLU and max pooling, 61,706 parameters.

    Takes images (N, 1, 28, 28) and returns logits (N, num_classes). Source: LeCun, Bottou,
    Bengio and Haffner, "Gradient-Based Learning Applied to Document Recognition", 1998, with
    today's activation and pooling.
    """
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2),  # 28 x 28
        nn.ReLU(),
        nn.MaxPool2d(2),  # 14 x 14
        nn.Conv2d(6, 16, 5),  # 10 x 10
        nn.ReLU(),
        nn.MaxPool2d(2),  # 5 x 5
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, num_classes),
    )


def lenet5(num_classes: int = 10) -> nn.Sequential:
    """Return the LeNet-5 that compression papers mean, 20-50-500-10: 431,080 parameters.

    It is the one that came with Caffe (Jia et al., 2014): wider than `lenet`, and without an
    activation between convolution and pooling. Takes images (N, 1, 28, 28), returns logits
    (N, num_classes).
    """
    return nn.Sequential(
        nn.Conv2d(1, 20, 5),  # 24 x 24
        nn.MaxPool2d(2),  # 12 x 12
        nn.Conv2d(20, 50, 5),  # 8 x 8
        nn.MaxPool2d(2),  # 4 x 4
        nn.Flatten(),
        nn.Linear(50 * 4 * 4, 500),
        nn.ReLU(),
        nn.Linear(500, num_classes),
    )


def cnn(num_classes: int = 10) -> nn.Sequential:
    """Return a small convolutional network with batch norm and dropout.

    Takes images (N, 1, 28, 28) and returns logits (N, num_classes).
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, bias=False),  # 24 x 24; the norm's own bias follows
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 12 x 12
        nn.Conv2d(16, 32, 5, bias=False),  # 8 x 8
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),  # 4 x 4
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(32 * 4 * 4, 128),
        nn.ReLU(),
        nn.Linear(128, num_classes),
    )
