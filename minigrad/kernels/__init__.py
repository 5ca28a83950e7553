"""The machinery under the ops: a dozen array primitives, each once for NumPy and once for CUDA.

*Ops are mathematics, kernels are machinery.* Files in ``minigrad/ops/`` say which function is
computed and what its derivative is; blocking, threads, reused memory and CUDA live here and nowhere
else. An op reaches its kernels as ``self.kernels``, chosen by where its arrays are.

Reading order: ``windows.py`` (which inputs a window touches), ``plain.py`` (every kernel in a few
plain array calls), ``cpu.py`` and the files that it gathers, then ``cuda/``, the programs that run
on a GPU.
"""

from __future__ import annotations

import numpy as np

_modules = {}


def get(xp):
    """The kernels for arrays of module ``xp``: `minigrad.kernels.cpu` for NumPy,
    `minigrad.kernels.cuda` else.
    """
    module = _modules.get(xp)
    if module is None:
        if xp is np:
            from . import cpu as module
        else:
            from . import cuda as module
        _modules[xp] = module
    return module
