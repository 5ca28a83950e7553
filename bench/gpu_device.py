"""What the parts of ``gpu.py`` share: the device, and how a check is run and reported.

The device is a GPU; or, to try the script itself, the tests' stand-in for one.
"""

from __future__ import annotations

import sys
import time
import traceback
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


def cupy():
    from minigrad import backend

    return backend.cuda_module()


def attempt(figures: dict, name: str, check, *args) -> None:
    """Run one check; print and keep what it returns, or the error."""
    start = time.perf_counter()
    try:
        result = check(*args)
        wait()  # an error of a kernel shows here, and not in the next check
        figures[name] = result
        print(f"{name}: {result}  [{time.perf_counter() - start:.1f} s]", flush=True)
    except Exception as error:
        figures[name] = f"FAILED: {type(error).__name__}: {error}"
        lines = traceback.format_exc().strip().splitlines()[-8:]
        print(f"!!! {name} failed\n    " + "\n    ".join(lines), flush=True)


def wait() -> None:
    """Wait until the GPU has done all that it was given; raise what went wrong there."""
    from minigrad import backend

    if backend.cupy is not None:
        backend.cupy.cuda.runtime.deviceSynchronize()
