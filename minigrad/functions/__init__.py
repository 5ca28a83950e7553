"""What users call: functions that check their arguments, prepare them, and apply the ops.

``ops/`` is the table of derivatives and nothing else; here is the rest of what a function needs:
PyTorch's names and options, its rules for mixed dtypes and shapes, clear errors, and everything
that is composed from other functions and so needs no derivative of its own. The methods of
`Tensor` and the functions of `minigrad` and `minigrad.nn.functional` are one line into here.
"""

from . import compare, conv, elementwise, linalg, loss, norm, pool, reduce, shape

__all__ = [
    "compare",
    "conv",
    "elementwise",
    "linalg",
    "loss",
    "norm",
    "pool",
    "reduce",
    "shape",
]
