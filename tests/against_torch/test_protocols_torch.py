"""Python's and NumPy's protocols against PyTorch, live: generators, ``.grad``, NumPy functions.

Needs PyTorch. What a tensor does there is not a number but a manner: the same program runs on both
libraries and writes down what it sees.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import minigrad

torch = pytest.importorskip("torch")


def seen_by_generators(library) -> list:
    """Run generators under each grad mode, and write down the mode inside and outside."""
    seen, mode = [], library.is_grad_enabled

    @library.no_grad()
    def steps():
        try:
            seen.append(mode())
            got = yield 1
            seen.append((got, mode()))
            try:
                yield 2
            except KeyError:
                seen.append(("caught", mode()))
            yield 3
            return 4
        finally:
            seen.append(("finally", mode()))

    @library.set_grad_enabled(False)
    def chosen():
        yield mode()
        yield mode()

    def delegate():
        seen.append(("returned", (yield from steps())))

    running = steps()
    seen += [next(running), mode(), running.send("sent"), mode(), running.throw(KeyError()), mode()]
    seen += [list(running), mode()]
    closed = steps()
    seen += [next(closed), closed.close(), mode()]
    failing = steps()
    next(failing)
    with pytest.raises(ZeroDivisionError):
        failing.throw(ZeroDivisionError())
    with library.no_grad():
        seen += [(step, mode()) for step in library.enable_grad()(steps)()]  # the inner one holds
    seen += [(inside, mode()) for inside in chosen()]
    seen += [list(delegate()), steps.__name__]
    return seen


def test_grad_modes_cover_generators_at_every_step():
    assert seen_by_generators(minigrad) == seen_by_generators(torch)


def reads_that_warn(library) -> list[bool]:
    x = library.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    kept = x * 3
    kept.retain_grad()
    with library.no_grad():
        constant = x * 4
    found = []

    def read(*tensors):
        for tensor in tensors:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                _ = tensor.grad
            found.append(any(w.category is UserWarning for w in caught))

    read(x, y, kept, constant, x.detach())
    (y * kept).sum().backward()
    read(x, y, kept)
    y.grad = library.ones(2)  # not None: there is nothing to warn of
    read(y)
    return [*found, kept.retains_grad, y.retains_grad, x.retains_grad]


def test_reading_the_gradient_of_a_result_warns():
    found = reads_that_warn(minigrad)
    assert found == reads_that_warn(torch)
    assert found[:5] == [False, True, False, False, False]


UFUNCS = {
    "exp": lambda t: np.exp(t),
    "add": lambda t: np.add(np.ones((2, 2), np.float32), t),
    "matmul": lambda t: np.matmul(t, t),
    "maximum": lambda t: np.maximum(t, 1),
    "reduce": lambda t: np.add.reduce(t),
    "divmod": lambda t: np.divmod(t, 2)[0],
    "clip": lambda t: np.clip(t, 0, 1),
    "out": lambda t: np.exp(t, out=np.zeros((2, 2), np.float32)),
    "dot": lambda t: np.dot(t, t),
    "concatenate": lambda t: np.concatenate([t, t]),
    "norm": lambda t: np.linalg.norm(t),
    "where": lambda t: np.where(np.asarray(t) > 1, t, 0),
    "scalar": lambda t: np.float64(2) * t,
}


@pytest.mark.parametrize("name", UFUNCS)
@pytest.mark.parametrize("requires_grad", [False, True])
@pytest.mark.filterwarnings("ignore")
def test_numpy_functions(name, requires_grad):
    numbers, results = [[0.5, 1.0], [2.0, 3.0]], []
    for library in (minigrad, torch):
        x = library.tensor(numbers, requires_grad=requires_grad)
        try:
            y = UFUNCS[name](x)
        except RuntimeError as error:
            assert "detach().numpy()" in str(error)
            results.append("refused")
        else:
            kind = "tensor" if isinstance(y, library.Tensor) else type(y)
            flows = getattr(y, "requires_grad", None)
            results.append((kind, flows, np.asarray(y.detach() if flows else y).tolist()))
    assert results[0] == results[1]


REDUCTIONS = ["mean", "sum", "max", "min", "amax", "amin", "prod", "std", "var", "any", "all"]


@pytest.mark.parametrize("name", REDUCTIONS)
def test_numpy_reductions(name):
    """PyTorch's methods object to NumPy's arguments; here they work, or say what would."""
    array, function = np.array([[0.5, 1.0], [2.0, 3.0]]), getattr(np, name)
    x = minigrad.tensor(array)
    for options in ({}, {"axis": 0}, {"axis": 1, "keepdims": True}):
        np.testing.assert_array_equal(function(x, **options), function(array, **options))
    np.testing.assert_array_equal(function(a=x), function(array))
    x.requires_grad_()
    with pytest.raises(RuntimeError, match=r"requires a gradient(.|\n)*x\.mean\(\) for np\.mean"):
        function(x)
    assert np.shape(x) == (2, 2) and np.ndim(x) == 2  # these ask for no number
