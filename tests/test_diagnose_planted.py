"""Three hundred mistakes in hand-written backward passes: all found, named rightly or not at all.

The table is in ``planted.py``; the right passes that must not be accused are there and in
``right.py``. ``MINIGRAD_SEEDS`` is the number of seeds for the right ones (2).
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from planted import OPS, all_mistakes
from right import RIGHT

from minigrad.gradcheck import diagnose

SEEDS = range(int(os.environ.get("MINIGRAD_SEEDS", "2")))


@pytest.fixture(scope="module")
def counts():
    """Collects how many were named; the last test looks at it."""
    return {}


WITH_HINTS = [name for name, op in OPS.items() if op.terms or op.wrong]


@pytest.mark.parametrize(
    ("name", "hints"), [(name, False) for name in OPS] + [(name, True) for name in WITH_HINTS]
)
def test_mistakes_are_found_and_never_misnamed(name, hints, counts):
    for mistake in OPS[name].mistakes:
        report = OPS[name].diagnose(mistake, hints=hints)
        assert not report.ok, f"{mistake.what}: not found"
        named = report.cause is not None
        if named:
            said = any([word.lower() in report.cause.lower() for word in mistake.words])
            assert said, f"{mistake.what}: called {report.cause!r}, not one of {mistake.words}"
        counts[name, mistake.what, hints] = named


@pytest.mark.parametrize("name", OPS)
def test_right_ones_pass(name):
    for seed in SEEDS:
        report = OPS[name].diagnose(seed=seed)
        assert report.ok and report.cause is None, f"seed {seed}: {report}"


@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_in_odd_circumstances_pass(name):
    forward, backward, inputs = RIGHT[name]
    for seed in SEEDS:
        report = diagnose(forward, backward, inputs(np.random.default_rng(seed)), seed=seed)
        assert report.ok and report.cause is None, f"seed {seed}: {report}"


def test_most_are_named(counts):
    plain = [named for (*_, hints), named in counts.items() if not hints]
    if len(plain) < len(list(all_mistakes())):
        pytest.skip("needs the tests above")
    print(f"{sum(plain)} of {len(plain)} mistakes have a name")
    assert sum(plain) >= 0.9 * len(plain)


@pytest.mark.parametrize("name", OPS)
def test_nonsense_gets_no_name(name):
    """Every entry wrong in its own way: whatever is said of that would be a guess."""
    right = OPS[name].compiled()

    def backward(gy, *inputs):
        answer = right(gy, *inputs)
        spoiled = []
        for k, g in enumerate(answer if isinstance(answer, tuple) else (answer,)):
            factors = np.random.default_rng(k).uniform(0.3, 3, np.shape(g))
            spoiled.append(None if g is None else g * factors)
        return tuple(spoiled)

    op = OPS[name]
    report = diagnose(op.forward, backward, op.inputs(np.random.default_rng(0)), names=op.names)
    for found in report.inputs:
        if not found.constant and np.prod(found.shape) > 1:
            assert not found.ok and found.cause is None, str(report)
