"""What is wrong here? A look at the machine, and at a network that does not learn.

``python -m minigrad doctor`` prints what the library runs on: NumPy and its BLAS, threads, memory,
the GPU, the data (``environment.py``). And `examine` takes a model and a batch, and asks what an
experienced colleague would ask first::

    from minigrad.doctor import examine
    print(examine(model, (images, labels), loss="cross_entropy"))

Are the inputs scaled and the labels in range? Does the output fit the loss, or is there a softmax
too many? Is the first loss what guessing costs? Does every parameter get a gradient? Can the
network learn twenty samples by heart?

Reading order: ``report.py``, ``case.py``, ``data.py``, ``output.py``, ``gradients.py``,
``learning.py``, ``examination.py``, which puts them together; ``environment.py`` stands alone.
"""

from __future__ import annotations

from .environment import main
from .examination import examine
from .report import Check, Examination

doctor = examine

__all__ = ["Check", "Examination", "doctor", "examine", "main"]
