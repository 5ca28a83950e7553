"""Changes in place: one version count a memory, what a change may touch, and who notices it.

Values are compared with PyTorch in ``torch/test_ops_torch.py``.
"""

from __future__ import annotations

import numpy as np
import pytest
from helpers import arr

import minigrad
from minigrad import Tensor, no_grad
from minigrad.autograd import Function, grad


@pytest.fixture(autouse=True)
def on_device(device):
    with minigrad.device(device):
        yield


def leaf(data=(1.0, 4.0, 9.0)):
    return minigrad.tensor(data, dtype=minigrad.float64, requires_grad=True)


def plain(data=(1.0, 4.0, 9.0)):
    return minigrad.tensor(data, dtype=minigrad.float64)


def version(x) -> int:
    return x._version[0]


IN_PLACE = {
    "add_": lambda x: x.add_(1),
    "sub_": lambda x: x.sub_(plain([1.0, 2.0, 3.0])),
    "mul_": lambda x: x.mul_(2),
    "div_": lambda x: x.div_(2),
    "pow_": lambda x: x.pow_(2),
    "clamp_": lambda x: x.clamp_(2, 3),
    "exp_": lambda x: x.exp_(),
    "sqrt_": lambda x: x.sqrt_(),
    "neg_": lambda x: x.neg_(),
    "abs_": lambda x: x.abs_(),
    "relu_": lambda x: x.relu_(),
    "tanh_": lambda x: x.tanh_(),
    "sigmoid_": lambda x: x.sigmoid_(),
    "round_": lambda x: x.round_(),
    "floor_": lambda x: x.floor_(),
    "masked_fill_": lambda x: x.masked_fill_(x > 2, 0.0),
    "zero_": lambda x: x.zero_(),
    "fill_": lambda x: x.fill_(3.0),
    "copy_": lambda x: x.copy_(plain([3.0, 2.0, 1.0])),
    "normal_": lambda x: x.normal_(),
    "uniform_": lambda x: x.uniform_(),
    "bernoulli_": lambda x: x.bernoulli_(),
    "__setitem__": lambda x: x.__setitem__(0, 5.0) or x,
    "__setitem__ mask": lambda x: x.__setitem__(x > 2, plain([5.0, 6.0])) or x,
    "__setitem__ array": lambda x: x.__setitem__([0, 1], 5.0) or x,
    "__iadd__": lambda x: x.__iadd__(1),
    "__isub__": lambda x: x.__isub__(1),
    "__imul__": lambda x: x.__imul__(2),
    "__itruediv__": lambda x: x.__itruediv__(2),
}


METHODS = {**vars(Tensor), **vars(Tensor.__base__)}


def test_every_in_place_method_is_in_the_table():
    methods = {n for n in METHODS if n.endswith("_") and not n.startswith("_")}
    methods |= {n for n in METHODS if n.startswith("__i") and f"__{n[3:]}" in METHODS}
    named = {name.split()[0] for name in IN_PLACE}
    assert methods - named == {"requires_grad_", "detach_"}


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place_counts_once_and_returns_the_tensor(name):
    x = plain()
    array = x.array
    assert IN_PLACE[name](x) is x
    assert version(x) == 1 and x.array is array


VIEWS = {
    "itself": lambda x: x,
    "detach": lambda x: x.detach(),
    "data": lambda x: x.data,
    "reshape": lambda x: x.reshape(3, 1),
    "view": lambda x: x.view(1, 3),
    "flatten": lambda x: x.flatten(),
    "transpose": lambda x: x.unsqueeze(0).mT,
    "squeeze": lambda x: x.unsqueeze(1).squeeze(),
    "expand": lambda x: x.expand(2, 3),
    "a slice": lambda x: x[1:],
    "a number": lambda x: x[2],
    "a new axis": lambda x: x[None, :, None],
    "every second, backwards": lambda x: x[::-2],
    "flip": lambda x: x.flip(0),
    "split": lambda x: x.split(2)[0],
    "chunk": lambda x: x.chunk(2)[1],
    "unbind": lambda x: x.unbind()[1],
    "iteration": lambda x: next(iter(x)),
    "permute": lambda x: x.unsqueeze(0).permute(1, 0),
    "unflatten": lambda x: x.unflatten(0, (3, 1)),
    "movedim": lambda x: x.unsqueeze(0).movedim(0, 1),
    "cpu": lambda x: x.to(x.device),
}
COPIES = {
    "clone": lambda x: x.clone(),
    "an array of indices": lambda x: x[[0, 1, 2]],
    "a mask": lambda x: x[x > 0],
    "index_select": lambda x: x.index_select(0, minigrad.tensor([0])),
    "gather": lambda x: x.gather(0, minigrad.tensor([0])),
    "another dtype": lambda x: x.float(),
    "cat": lambda x: minigrad.cat([x]),
    "stack": lambda x: minigrad.stack([x]),
    "x + 0": lambda x: x + 0,
    "sum over size 1": lambda x: x.reshape(1, 3).sum(0, keepdim=True),
    "amax over size 1": lambda x: x.reshape(1, 3).amax(0, keepdim=True),
    "prod over size 1": lambda x: x.reshape(1, 3).prod(0, keepdim=True),
    "max over size 1": lambda x: x.reshape(1, 3).max(0).values,
    "repeat": lambda x: x.repeat(2),
    "tensor": lambda x: minigrad.tensor(x),
    "reshape of a transpose": lambda x: x.reshape(3, 1).expand(3, 2).mT.reshape(-1),
    "contiguous of a transpose": lambda x: x.expand(2, 3).mT.contiguous(),
}


@pytest.mark.parametrize("name", VIEWS)
def test_views_share_the_memory_and_the_count(name):
    x = plain()
    y = VIEWS[name](x)
    assert y._version is x._version
    if not x.is_cuda:
        assert np.shares_memory(x.array, y.array)
    x.add_(1)
    assert version(y) == 1
    if name != "expand":
        y.mul_(2)
        assert version(x) == 2
        assert not np.array_equal(arr(x), [2, 5, 10])


@pytest.mark.parametrize("name", COPIES)
def test_copies_have_their_own(name):
    x = plain()
    y = COPIES[name](x)
    assert y._version is not x._version
    y.zero_()
    assert version(x) == 0
    np.testing.assert_array_equal(arr(x), [1, 4, 9])


def test_results_of_zero_axes_are_copies_too():
    x = minigrad.tensor(3.0)
    for y in (x.sum(), x.prod(), x.amax(), x.max(0).values, x.cumsum(0), x.mean(), x.max()):
        y.zero_()
    assert x.item() == 3 and version(x) == 0


# ------------------------------------------------------------- who notices that a value changed


USES = {  # what reads the value of x in its backward
    "x * x": lambda x: x * x,
    "c * x": lambda x: x * x.detach(),
    "x / c": lambda x: 1 / x,
    "pow": lambda x: x**3,
    "log": lambda x: x.log(),
    "sin": lambda x: x.sin(),
    "abs": lambda x: x.abs(),
    "clamp": lambda x: x.clamp(2, 5),
    "maximum": lambda x: minigrad.maximum(x, x.detach() * 2),
    "amax": lambda x: x.amax(),
    "matmul": lambda x: x.reshape(1, 3) @ x.reshape(3, 1),
    "norm": lambda x: x.norm(),
    "a view of it": lambda x: x[1:] * 2 * x[:2],
}
MATTERS_NOT = {  # what does not
    "x + c": lambda x: x + 1,
    "c * x": lambda x: 3 * x,
    "sum": lambda x: x.sum(),
    "var": lambda x: x.var(),  # reads x - mean, a result
    "mean": lambda x: x.mean(0),
    "reshape": lambda x: x.reshape(3, 1),
    "index": lambda x: x[[0, 0, 2]],
    "cat": lambda x: minigrad.cat([x, x]),
    "where": lambda x: minigrad.where(x > 3, x, 0.0),
    "exp": lambda x: x.exp(),  # reads its output
    "sqrt": lambda x: x.sqrt(),
    "relu": lambda x: x.relu(),
    "softmax": lambda x: x.softmax(0),
    "cumsum": lambda x: x.cumsum(0),
    "max": lambda x: x.max(0).values,
    "sort": lambda x: x.sort().values,
    "floor": lambda x: x.floor(),
}
SAVES_OUTPUT = {
    "exp": lambda x: x.exp(),
    "sqrt": lambda x: x.sqrt(),
    "tanh": lambda x: x.tanh(),
    "sigmoid": lambda x: x.sigmoid(),
    "relu": lambda x: x.relu(),
    "softmax": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(0),
    "amax": lambda x: x.amax(0, keepdim=True),
}


CHANGES = {
    "in place under no_grad": lambda x: _without_grad(lambda: x.add_(1)),
    "through data": lambda x: x.data.mul_(2),
    "an entry of data": lambda x: x.data.__setitem__(0, 3.0),
    "through a view": lambda x: x.detach()[1:].zero_(),
    "new data": lambda x: setattr(x, "data", plain()),
    "as an optimizer does": lambda x: (x.array.__iadd__(1), x.bump_version()),
}


def _without_grad(change):
    with no_grad():
        change()


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize("name", USES)
@pytest.mark.parametrize("change", CHANGES)
def test_a_value_changed_after_its_use_is_noticed(name, change):
    x = leaf()
    y = USES[name](x).sum()
    CHANGES[change](x)
    with pytest.raises(RuntimeError, match="an input, whose value its backward needs, was changed"):
        y.backward()
    assert x.grad is None
    USES[name](x).sum().backward()  # computed again, it works
    assert x.grad is not None


@pytest.mark.parametrize("name", MATTERS_NOT)
def test_a_change_that_does_not_matter_is_no_error(name):
    x, again = leaf(), leaf()
    y = MATTERS_NOT[name](x).sum()
    with no_grad():
        x.zero_()
    y.backward()
    np.testing.assert_array_equal(arr(x.grad), arr(grad(MATTERS_NOT[name](again).sum(), again)[0]))


@pytest.mark.parametrize("name", SAVES_OUTPUT)
def test_an_output_changed_after_its_use_is_noticed(name):
    x = leaf()
    y = SAVES_OUTPUT[name](x)
    total = y.sum()
    y.data.add_(1)
    with pytest.raises(RuntimeError, match="its output(.|\n)*changed in place"):
        total.backward()
    y = SAVES_OUTPUT[name](x)
    with no_grad():
        y.reshape(-1)[:1].zero_()
    with pytest.raises(RuntimeError, match="its output"):
        y.sum().backward()


def test_the_error_names_the_op_and_says_what_to_do():
    x = leaf()
    y = x.sin()
    x.data.zero_()
    with pytest.raises(RuntimeError) as error:
        y.sum().backward()
    assert str(error.value).startswith("Sin: ")
    assert "clone()" in str(error.value) and "before the change" in str(error.value)


def test_a_change_before_the_use_is_no_error():
    x = leaf()
    x.data.mul_(2)
    (x * x).sum().backward()
    np.testing.assert_array_equal(arr(x.grad), [4, 16, 36])


def test_a_changed_value_is_noticed_in_the_second_derivative():
    x = leaf()
    (g,) = grad((x**3).sum(), x, create_graph=True)
    x.data.add_(1)
    with pytest.raises(RuntimeError, match="changed in place"):
        g.sum().backward()


def test_the_index_or_mask_may_be_changed_afterwards():
    """They have no gradient and are small: the graph keeps its own."""
    x, index, mask = leaf(), minigrad.tensor([0, 1]), minigrad.tensor([True, False, False])
    places = minigrad.tensor([2, 2, 2])
    y = x[index].sum() + x[mask].sum() + minigrad.where(mask, x, 0.0).sum()
    y = (
        y
        + x.gather(0, places).sum()
        + x.index_select(0, index).sum()
        + 2 * x.masked_fill(mask, 0).sum()
    )
    index.fill_(2)
    mask.fill_(True)
    places.zero_()
    y.backward()
    np.testing.assert_array_equal(arr(x.grad), [4, 4, 5])


def test_labels_may_be_changed_afterwards():
    z, labels = leaf([[1.0, 2.0], [3.0, 5.0]]), minigrad.tensor([0, 1])
    loss = minigrad.nn.functional.cross_entropy(z, labels)
    (expected,) = grad(loss, z, retain_graph=True)
    labels.zero_()
    np.testing.assert_array_equal(arr(grad(loss, z)[0]), arr(expected))


# ---------------------------------------------------------------------- what may not be changed


@pytest.mark.parametrize("name", IN_PLACE)
def test_a_leaf_cannot_be_changed_while_recording(name):
    w = leaf()
    with pytest.raises(RuntimeError, match=r"requires a gradient(.|\n)*no_grad\(\)"):
        IN_PLACE[name](w)
    assert version(w) == 0
    np.testing.assert_array_equal(arr(w.data), [1, 4, 9])
    with no_grad():
        assert IN_PLACE[name](w) is w
    assert version(w) == 1 and w.requires_grad and w.is_leaf


@pytest.mark.parametrize("change", [lambda v: v.zero_(), lambda v: v.__setitem__(0, 1.0)])
def test_a_view_of_a_leaf_neither(change):
    w = leaf()
    with pytest.raises(RuntimeError, match="requires a gradient"):
        change(w[1:])
    with no_grad():
        change(w[1:])
    assert version(w) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda x, y: x.copy_(y),
        lambda x, y: x.add_(y),
        lambda x, y: x.mul_(y),
        lambda x, y: x.fill_(y[0]),
        lambda x, y: x.__setitem__(0, y[0]),
        lambda x, y: x.masked_fill_(x > 2, y[0]),
        lambda x, y: x.clamp_(y, y),
    ],
)
def test_what_requires_a_gradient_is_not_written_into_what_does_not(write):
    x, w = plain(), leaf()
    for y in (w, w * 2):
        with pytest.raises(RuntimeError, match="written into another"):
            write(x, y)
        assert version(x) == 0
        np.testing.assert_array_equal(arr(x), [1, 4, 9])
    with no_grad():
        write(x, w)
    write(x, w.detach())
    assert version(x) == 2


def test_augmented_assignment():
    x = kept = plain()
    x += 1
    x -= plain()
    x *= 3
    x /= 3
    assert x is kept and version(x) == 4
    np.testing.assert_allclose(arr(x), [1, 1, 1])

    h = kept = leaf() * 2  # a result: a new tensor takes the name
    h += 1
    assert h is not kept and version(kept) == 0
    h *= h
    h.sum().backward()

    w = leaf()
    total = kept = plain()
    total += w * 2  # the sum of losses
    assert total is not kept and total.requires_grad
    total.sum().backward()
    np.testing.assert_array_equal(arr(w.grad), [2, 2, 2])

    with pytest.raises(RuntimeError, match="add_"):
        w += 1
    with no_grad():
        kept = w
        w += 1
    assert w is kept and version(w) == 1


def test_augmented_assignment_to_an_entry():
    x = plain()
    x[0] += 10
    x[1:] *= 2
    np.testing.assert_array_equal(arr(x), [11, 8, 18])
    with pytest.raises(RuntimeError, match="written into another"):
        x[0] += leaf()[0]


def test_what_does_not_fit_is_refused_and_nothing_written():
    x, n = plain(), minigrad.tensor([1, 2, 3])
    with pytest.raises(ValueError, match=r"add_(.|\n)*Expect: \(3,\)(.|\n)*Actual: \(2, 3\)"):
        x.add_(minigrad.ones(2, 3))
    with pytest.raises(TypeError, match="div_(.|\n)*Expect: int64"):
        n.div_(2)
    with pytest.raises(TypeError, match="add_"):
        n += 0.5
    with pytest.raises(ValueError):
        x.copy_(minigrad.ones(4))
    assert version(x) == version(n) == 0
    np.testing.assert_array_equal(arr(n), [1, 2, 3])
    n.copy_(plain([1.7, 2.2, 3.0]))  # asked for: cast as assignment casts
    np.testing.assert_array_equal(arr(n), [1, 2, 3])


def test_shared_entries_cannot_be_written():
    x = plain([[1.0], [2.0]])
    wide = x.expand(2, 3)
    for change in (lambda: wide.add_(1), lambda: wide.__setitem__(0, 1.0), lambda: wide.zero_()):
        with pytest.raises(RuntimeError, match=r"expand(.|\n)*clone\(\)"):
            change()
    assert version(x) == 0
    wide.clone().add_(1)
    wide.contiguous().add_(1)
    np.testing.assert_array_equal(arr(x), [[1], [2]])


def test_overlapping_memory():
    x = plain([[1.0, 2.0], [3.0, 4.0]])
    x.copy_(x.mT.clone())
    x.add_(x.mT)
    np.testing.assert_array_equal(arr(x), [[2, 5], [5, 8]])
    y = plain([1.0, 2.0, 3.0])
    y[1:] = y[:-1]
    np.testing.assert_array_equal(arr(y), [1, 1, 2])


# ------------------------------------------------------------------------------------- new data


def test_new_data():
    w = leaf()
    w.data = plain([5.0, 6.0])
    assert w.requires_grad and w.is_leaf and tuple(w.shape) == (2,)
    (w * w).sum().backward()
    np.testing.assert_array_equal(arr(w.grad), [10, 12])
    with pytest.raises(TypeError, match="data"):
        w.data = np.zeros(2)
    with pytest.raises(TypeError, match="only floating tensors"):
        w.data = minigrad.tensor([1, 2])
    np.testing.assert_array_equal(arr(w.data), [5, 6])


def test_new_data_of_another_shape_under_a_recorded_graph():
    w = leaf()
    y = (w + 1).sum()
    w.data = plain([5.0, 6.0])
    with pytest.raises(RuntimeError, match="does not fit the input"):
        y.backward()
    assert w.grad is None


def test_writes_into_the_raw_array_go_unseen():
    """A documented difference from what goes through a tensor."""
    x = leaf()
    y = (x * x).sum()
    x.array[...] = 0
    y.backward()
    np.testing.assert_array_equal(arr(x.grad), [0, 0, 0])


def test_an_op_that_says_it_is_a_view_shares_the_count():
    class Same(Function):
        reads_inputs, is_view = False, True

        def forward(self, x):
            return x[...]

        def backward(self, gy):
            return gy

    x = plain()
    y = Same.apply(x)
    y.add_(1)
    assert version(x) == 1
