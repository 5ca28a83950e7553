"""What all tests share: the device they run on, seeds, Hypothesis' settings, the count of skips.

``pytest`` runs everything on the CPU. ``MINIGRAD_TEST_DEVICE=fake pytest`` runs every test that
takes the ``device`` fixture again over the strict stand-in for CuPy (``fakecupy.py``), and
``MINIGRAD_TEST_DEVICE=cuda pytest`` over CuPy and a real GPU. Tests that do not take it say
nothing new there and are left out, as are those marked ``cpu_only``. ``MINIGRAD_EXAMPLES`` is the
number of examples that Hypothesis tries a test (50), ``MINIGRAD_DATA`` the folder of MNIST.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

TEST_DEVICE = os.environ.get("MINIGRAD_TEST_DEVICE", "cpu")
DEVICES = {"cpu": "cpu", "fake": "cuda", "cuda": "cuda"}
NO_MNIST = "real MNIST not found (set MINIGRAD_DATA)"

settings.register_profile(
    "minigrad",
    deadline=None,  # the first call of a kernel may compile or start threads
    derandomize=bool(os.environ.get("CI")),
    max_examples=int(os.environ.get("MINIGRAD_EXAMPLES", "50")),
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],  # drawing shapes and arrays is slow by nature
)
settings.load_profile("minigrad")


def pytest_configure(config):
    if TEST_DEVICE not in DEVICES:
        raise pytest.UsageError(f"MINIGRAD_TEST_DEVICE={TEST_DEVICE}: use cpu, fake or cuda")
    from minigrad import backend

    if TEST_DEVICE == "fake":
        import fakecupy

        backend.cupy = fakecupy.cupy
    elif TEST_DEVICE == "cuda":
        try:
            backend.cuda_module()
        except backend.DeviceError as error:
            raise pytest.UsageError(f"MINIGRAD_TEST_DEVICE=cuda: {error}") from None


def pytest_collection_modifyitems(config, items):
    if mnist_folder() is None:
        for item in items:
            if item.get_closest_marker("mnist"):
                item.add_marker(pytest.mark.skip(reason=NO_MNIST))
    if TEST_DEVICE != "cpu":
        left_out = [item for item in items if not _runs_on_a_device(item)]
        items[:] = [item for item in items if _runs_on_a_device(item)]
        config.hook.pytest_deselected(items=left_out)


def _runs_on_a_device(item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    return "device" in fixtures and item.get_closest_marker("cpu_only") is None


def pytest_report_header(config):
    return f"minigrad: device {TEST_DEVICE}, MNIST {mnist_folder() or 'not found'}"


def pytest_terminal_summary(terminalreporter):
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_MNIST in str(report.longrepr) for report in skipped)
    if count:
        terminalreporter.write_line(f"{count} tests skipped: {NO_MNIST}", yellow=True)


def mnist_folder() -> str | None:
    """Return the folder to give to ``vision.datasets.MNIST``, or None if it holds no MNIST."""
    root = os.environ.get("MINIGRAD_DATA")
    if not root:
        return None
    for folder in (".", "mnist", "MNIST/raw"):
        if list(Path(root, folder).glob("train-images-idx3-ubyte*")):
            return root
    return None


@pytest.fixture
def mnist_root() -> str:
    """The folder of real MNIST; without it the test is skipped (and counted in the summary)."""
    if mnist_folder() is None:
        pytest.skip(NO_MNIST)
    return mnist_folder()


@pytest.fixture(scope="session", params=[DEVICES.get(TEST_DEVICE, "cpu")], ids=[TEST_DEVICE])
def device(request) -> str:
    """Where the test's tensors live: 'cpu', or 'cuda' over the stand-in or a real GPU."""
    return request.param


@pytest.fixture
def rng() -> np.random.Generator:
    """Random numbers, the same in every run. (With ``@given`` draw a seed instead.)"""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_start_and_no_traces():
    """Seed minigrad; afterwards its settings must be what they were, or the test has failed."""
    import minigrad
    from minigrad import autograd, backend

    def state():
        return {
            "default dtype": backend.get_default_dtype(),
            "recording": autograd.is_grad_enabled(),
            "default device": str(backend.default_device()),
        }

    minigrad.manual_seed(0)
    before = state()
    yield
    after = state()
    backend.set_default_dtype(before["default dtype"])
    autograd.set_grad_enabled(before["recording"])
    assert after == before, "the test changed a setting and did not put it back"
