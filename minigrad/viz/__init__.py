"""Pictures that explain: the graph of a computation, plots of training and of what was learned.

`recording` notes what a computation's graph does not keep, for `Tensor.graph`; the plots are in
``minigrad.viz.plots``, which needs matplotlib.
"""

from ._recording import recording

__all__ = ["recording"]
