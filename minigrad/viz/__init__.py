"""Pictures that explain: the graph of a computation, plots of training and of what was learned.

`recording` notes what a computation's graph does not keep, for `Tensor.graph`; the plots are in
``minigrad.viz.plots``, which needs matplotlib.

To read in this order: what happened (``_recording.py``, ``_values.py``, ``_walk.py``,
``_collapse.py``), where to draw it (``_layout.py``, ``_places.py``, ``_crossings.py``,
``_coordinates.py``, ``_arrange.py``), and how: as a picture (``_svg.py``, ``graph.py``) or as a
page (``_formulas.py``, ``_drawing.py``, ``explain.py``).
"""

from ._recording import recording

__all__ = ["recording"]
