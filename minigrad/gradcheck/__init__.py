"""How to doubt a derivative: compare it with differences of the function itself, and say why.

A gradient is a claim: move the inputs by a little in some direction v, and the outputs change by
<gradient, v>. That can be tried out without knowing any formula. `gradcheck` does it for functions
of tensors, `diagnose` for a backward pass written by hand in NumPy, and both say what is wrong, not
only that something is. Five things make them strict:

- The upstream gradient is random and no two of its entries are equal. An upstream of ones would
  hide the forgotten upstream, the variance term of batch norm and swapped halves.
- Differences at several steps are combined so that the error of the step nearly cancels
  (Richardson's extrapolation). So the tolerance can be a hundred times tighter than usual.
- Corners ("kinks": relu at 0) are found and not held against the gradient, but they are counted.
  A central difference alone cannot do this: at relu(0) it says 1/2 for every step, agrees with
  itself, and accuses a right rule.
- Order 2 checks the gradient as a function of its own: of the inputs, and of the upstream.
- Functions that change their inputs, or that answer differently when asked twice, are refused.

| file | what it holds |
|---|---|
| ``differences.py`` | slopes by differences, and kinks, on plain arrays |
| ``report.py`` | what `gradcheck` found, as text |
| ``check.py`` | `gradcheck`, for functions of tensors |
| ``jacobian.py`` | all derivatives of all outputs, each with its own doubt |
| ``problem.py`` | the calls of a learner's two functions, and what makes them unusable |
| ``evidence.py`` | yours and the right gradient, at several upstream gradients |
| ``naming.py`` | names for numbers and arrays: is 0.25 one over N, is this 1 - y? |
| ``shapes.py``, ``upstreams.py``, ``factors.py`` | tests that name a mistake, by what it does |
| ``structure.py``, ``substitutes.py``, ``places.py`` | more of them |
| ``causes.py`` | their order, and the tests on what the author of an exercise knows |
| ``verdict.py`` | what `diagnose` found, as text and as heat maps |
| ``diagnosis.py`` | `diagnose`, for a backward pass written by hand |

Before this: ``autograd.py``, and ``ops/elementwise.py`` for what is doubted here.
Next: ``differences.py``.
"""

from .check import gradcheck, gradgradcheck
from .diagnosis import diagnose
from .differences import Settings, compare, random_upstream, slope_along
from .report import Entry, GradcheckError, InputReport, Report
from .verdict import Diagnosis, InputDiagnosis

__all__ = [
    "Diagnosis",
    "Entry",
    "GradcheckError",
    "InputDiagnosis",
    "InputReport",
    "Report",
    "Settings",
    "compare",
    "diagnose",
    "gradcheck",
    "gradgradcheck",
    "random_upstream",
    "slope_along",
]
