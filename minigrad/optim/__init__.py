"""Optimizers: how the parameters follow their gradients. The names are PyTorch's ``torch.optim``.

Reading order: ``optimizer.py`` (what they share), ``sgd.py``, ``rmsprop.py``, ``adam.py``, then
``penalty.py`` and ``lr_scheduler.py``.
"""

from . import lr_scheduler as lr_scheduler
from .adam import Adam as Adam
from .adam import AdamW as AdamW
from .optimizer import Optimizer as Optimizer
from .penalty import l1_penalty as l1_penalty
from .penalty import l2_penalty as l2_penalty
from .rmsprop import RMSprop as RMSprop
from .sgd import SGD as SGD
