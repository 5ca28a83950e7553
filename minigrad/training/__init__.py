"""The training loop, ready-made: `fit`, `evaluate` and `predict`, as Keras users expect them.

Reading order: ``loop.py``, then ``callbacks.py`` and ``metrics.py``.
"""

from .callbacks import Callback as Callback
from .callbacks import Checkpoint as Checkpoint
from .callbacks import EarlyStopping as EarlyStopping
from .callbacks import ProgressBar as ProgressBar
from .loop import Run as Run
from .loop import evaluate as evaluate
from .loop import fit as fit
from .loop import predict as predict
from .metrics import accuracy as accuracy
from .metrics import binary_accuracy as binary_accuracy
from .metrics import categorical_crossentropy as categorical_crossentropy
