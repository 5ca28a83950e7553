"""Pictures: data sets and what is done to an image before the network sees it.

``from minigrad.vision import datasets, transforms`` where a PyTorch script says
``from torchvision import datasets, transforms``.
"""

from . import datasets as datasets
from . import transforms as transforms
