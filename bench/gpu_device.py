"""Where ``gpu.py`` runs: on a GPU; or, to try the script itself, on the tests' stand-in for one."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def prepare(device: str) -> None:
    """Let minigrad be found and, for 'fake', put the stand-ins in place."""
    sys.path.insert(0, str(ROOT))
    if device == "fake":
        sys.path.insert(0, str(ROOT / "tests"))
        import fakecupy

        from minigrad import backend
        from minigrad.kernels.cuda import launch

        backend.cupy = fakecupy.cupy
        launch.ENABLED = False  # run on a CPU, the CUDA sources are slow
        if "torch" in sys.argv:
            import fake_torch_cuda

            fake_torch_cuda.install()


def name(engine: str, device: str) -> str:
    """The device's name for an engine."""
    return "cpu" if (engine, device) == ("torch", "fake") else "cuda"
