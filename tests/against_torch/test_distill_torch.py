"""The distillation loss against PyTorch's kl_div and cross_entropy, live: value and gradient.

Needs PyTorch. The same is compared with the formula itself in ``tests/test_distill.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigrad
from minigrad.compress.distill import distillation_loss

torch = pytest.importorskip("torch")


@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(1, 6),
    c=st.integers(1, 8),
    T=st.floats(0.1, 50),
    alpha=st.floats(0, 1),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_value_and_gradient(seed, n, c, T, alpha, dtype):
    rng = np.random.default_rng(seed)
    z, v = (5 * rng.normal(size=(2, n, c))).astype(dtype)
    labels = rng.integers(0, c, n)
    ours = minigrad.from_numpy(z.copy()).requires_grad_()
    options = dict(temperature=T, alpha=alpha)
    loss = distillation_loss(ours, minigrad.from_numpy(v), minigrad.tensor(labels), **options)
    loss.backward()

    theirs = torch.tensor(z, requires_grad=True)
    F = torch.nn.functional
    log_q = F.log_softmax(theirs / T, dim=1)
    p = F.softmax(torch.tensor(v) / T, dim=1)
    soft = F.kl_div(log_q, p, reduction="batchmean") * T**2
    expected = alpha * soft + (1 - alpha) * F.cross_entropy(theirs, torch.tensor(labels))
    expected.backward()

    # ln p and ln q have the rounding of z / T, and T^2 stands before their difference.
    eps = np.finfo(dtype).eps
    tolerance = dict(rtol=100 * eps, atol=100 * eps * max(1, T**2, 50 / T))
    np.testing.assert_allclose(loss.item(), expected.item(), **tolerance)
    tolerance = dict(rtol=100 * eps, atol=100 * eps * max(1, T, 50 / T))
    np.testing.assert_allclose(ours.grad.numpy(), theirs.grad.numpy(), **tolerance)
