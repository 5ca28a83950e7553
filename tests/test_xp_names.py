"""What our sources ask of ``xp`` exists in CuPy; and the check that says so finds planted mistakes.

Read after: ``check_xp_names.py``.
"""

from __future__ import annotations

import pytest
from check_xp_names import SOURCES, problems, scan

pytestmark = pytest.mark.cpu_only

PLANTED = {
    "missing name": "xp.errstate(all='ignore')",
    "missing function": "y = xp.vecdot(a, b)",
    "below self": "self.xp.insert(a, 0, 1)",
    "of another object": "node.xp.block([a])",
    "from a call": "array_module(a).geomspace(1, 2)",
    "from backend": "backend.array_module(a).unstack(a)",
    "backend.cupy": "backend.cupy.nditer(a)",
    "in a submodule": "xp.linalg.vector_norm(a)",
    "Generator": "xp.random.SeedSequence(0)",
    "without a call": "f = xp.nanpercentile",
    "in a lambda": "f = lambda x: xp.spacing(x)",
    "where= of a ufunc": "xp.add(a, b, where=m)",
    "where= of a reduction": "xp.sum(a, where=m)",
    "initial=": "xp.max(a, axis=0, initial=0)",
    "correction=": "xp.var(a, correction=1)",
    "clip(min=)": "xp.clip(a, min=0, max=1)",
    "take(mode=)": "xp.take(a, i, mode='clip')",
    "device=": "xp.zeros(3, device='cpu')",
    "first argument's name": "xp.sqrt(a=x)",
    "too many": "xp.exp(a, b, c)",
    "too few": "xp.where()",
    "with a star": "xp.sum(*args, where=m)",
    "ufunc method": "xp.add.reduce(a, initial=0)",
    "no ufunc method": "xp.add.resolve_dtypes(a)",
    "in a submodule's call": "xp.linalg.norm(a, dim=1)",
    "stride tricks": "xp.lib.stride_tricks.broadcast_to(a, (1,))",
    "cuda": "xp.cuda.synchronize()",
}

FINE = """
import numpy as np
def forward(self, a, axis):
    xp, n = self.xp, np.errstate
    y = xp.exp(a, out=a) + xp.sum(a, axis=axis, keepdims=True, dtype=xp.float32)
    xp.add.at(y, a, 1)
    xp.linalg.norm(a, ord=2, axis=(1, 2))
    self.xp.concatenate([a, *y], axis=0)
    xp.where(a > 0, a, 0).astype(np.float32).sum(where=1)
    xp.lib.stride_tricks.as_strided(a, (1,), strides=(4,))
    np.sum(a, where=a, initial=0)
    backend.cuda_module().cuda.runtime.getDeviceCount()
    xp.einsum(*a, **y), xp.sum(*a, keepdims=True), xp.pad(a, 1, constant_values=2)
    return xp.iinfo(a.dtype).max, xp.ndarray, xp.pi, other.errstate
"""

PRODUCTS = ["a @ b", "self.xp.matmul(a, b)", "self.xp.tensordot(a, b)", "xp.einsum('ij', a)"]


def test_our_sources_ask_only_for_what_cupy_has():
    findings = scan()
    assert not findings, "\n" + "\n".join(findings)


def test_the_scan_sees_the_sources():
    """A check that looks at nothing finds nothing."""
    assert len(list((SOURCES / "ops").glob("*.py"))) >= 8
    assert any("self.xp." in path.read_text() for path in (SOURCES / "ops").glob("*.py"))


@pytest.mark.parametrize("case", PLANTED)
def test_planted_mistakes_are_found(case):
    assert len(problems(PLANTED[case])) == 1


def test_correct_code_is_left_alone():
    assert problems(FINE) == []


@pytest.mark.parametrize("product", PRODUCTS)
def test_matrix_products_in_ops_are_found(product):
    half = "class Op:\n    def {}(self, a, b):\n        return {}\n"
    for name in ("forward", "fast_backward"):
        assert len(problems(half.format(name, product), is_op=True)) == 1
    assert problems(half.format("backward", "a @ b"), is_op=True) == []
    assert problems(half.format("forward", "self.kernels.matmul(a, b)"), is_op=True) == []
