"""The engine: what a `Function` may do, the walk, backward and grad, hooks, grad modes.

Values and orders of random graphs are held to an oracle in ``test_graph_oracle.py``, derivatives
of the ops to finite differences in ``test_ops_gradients.py``; this file is about the rules.
"""

from __future__ import annotations

import copy
import threading
import weakref

import numpy as np
import pytest
from helpers import arr

import minigrad
from minigrad import Tensor, autograd
from minigrad.autograd import Function, backprop, enable_grad, grad, no_grad, set_grad_enabled


@pytest.fixture(autouse=True)
def on_device(device):
    with minigrad.device(device):
        yield


def leaf(data=(1.0, 2.0, 3.0), dtype=None):
    return minigrad.tensor(data, dtype=dtype or minigrad.float64, requires_grad=True)


def equal(tensor, expected):
    assert tensor is not None
    np.testing.assert_array_equal(arr(tensor), expected)


class Square(Function):
    def forward(self, x):
        return x * x

    def backward(self, gy):
        (x,) = self.inputs
        return 2 * x * gy


# --------------------------------------------------------------------------- what an op may do


def test_an_op_records_a_node_with_its_sources():
    a, b = leaf(), leaf()
    y = a * b
    assert isinstance(y.creator, Function) and y.grad_fn is y.creator and not y.is_leaf
    assert y.creator.edges == [a, b] and y.creator.shape == (3,)
    z = y + 1
    assert z.creator.edges == [y.creator]
    assert repr(z.creator) == "<Shift>"


def test_a_learners_own_op():
    x = leaf()
    y = Square.apply(x)
    equal(y, [1, 4, 9])
    (g,) = grad(y.sum(), x, create_graph=True)
    equal(g, [2, 4, 6])
    equal(grad(g.sum(), x)[0], [2, 2, 2])


def test_each_call_makes_a_node_of_its_own():
    x = leaf()
    y, z = Square.apply(x), Square.apply(x * 2)
    assert y.creator is not z.creator
    y.sum().backward()
    equal(x.grad, [2, 4, 6])


@pytest.mark.parametrize("half", ["forward", "backward"])
def test_static_halves_are_refused_and_ours_is_shown(half):
    with pytest.raises(TypeError, match="drop @staticmethod") as error:
        type("Bad", (Function,), {half: staticmethod(lambda ctx, x: x)})
    assert str(error.value).startswith(f"Bad: {half} is a staticmethod")
    assert "def forward(self, x)" in str(error.value)


@pytest.mark.parametrize(
    "result, words",
    [
        (lambda x: (x, x), "several results"),
        (lambda x: [x], "several results"),
        (lambda x: None, "NoneType"),
        (lambda x: "x", "str"),
    ],
)
def test_forward_must_return_one_array(result, words):
    bad = type("Bad", (Function,), {"forward": lambda self, x: result(x)})
    with pytest.raises(TypeError, match=words) as error:
        bad.apply(leaf())
    assert str(error.value).startswith("Bad: ")


@pytest.mark.parametrize(
    "result, words",
    [
        (lambda gy: (gy, gy), "wrong number of gradients"),
        (lambda gy: (), "wrong number of gradients"),
        (lambda gy: gy.sum(), r"input 0 does not fit(.|\n)*shape \(3,\)(.|\n)*shape \(\)"),
        (lambda gy: gy.array, r"input 0 does not fit(.|\n)*ndarray"),
        (lambda gy: 1.0, r"input 0 does not fit(.|\n)*float"),
    ],
)
def test_what_backward_returns_is_checked_and_the_op_named(result, words):
    halves = {"forward": lambda self, x: x + 1, "backward": lambda self, gy: result(gy)}
    bad = type("Bad", (Function,), halves)
    with pytest.raises(RuntimeError, match=words) as error:
        bad.apply(leaf()).sum().backward()
    assert "Bad" in str(error.value) and "backward" in str(error.value)


def test_the_second_input_is_named():
    class Bad(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, gy):
            return gy, gy.sum()

    with pytest.raises(RuntimeError, match="input 1"):
        Bad.apply(leaf(), leaf()).sum().backward()


def test_no_backward_is_said_when_a_gradient_is_asked():
    class Half(Function):
        def forward(self, x):
            return x + 1

    y = Half.apply(leaf())
    with pytest.raises(NotImplementedError, match="Half: it defines no backward"):
        y.sum().backward()


@pytest.mark.parametrize("what, flag", [("output", "saves_output"), ("inputs", "reads_inputs")])
def test_reading_what_was_not_kept_names_the_flag(what, flag):
    class Bad(Function):
        reads_inputs = False

        def forward(self, x):
            return x + 1

        def backward(self, gy):
            return gy * getattr(self, what)[0]

    with pytest.raises(RuntimeError, match=f"Bad: self.{what} is not there(.|\n)*{flag} = True"):
        Bad.apply(leaf()).sum().backward()


def test_none_is_no_gradient():
    class First(Function):
        def forward(self, a, b):
            return a + b

        def backward(self, gy):
            return gy, None

    a, b, c = leaf(), leaf(), leaf()
    First.apply(a, b * c).sum().backward()
    equal(a.grad, [1, 1, 1])
    assert b.grad is None and c.grad is None
    with pytest.raises(RuntimeError, match="did not lead"):
        grad(First.apply(a, b).sum(), b)
    assert grad(First.apply(a, b).sum(), b, allow_unused=True) == (None,)


def test_options_go_by_name_and_other_things_by_position():
    class Power(Function):
        def forward(self, x, how, *, n):
            assert how == "as it is"
            self.n = n
            return x**n

        def backward(self, gy):
            x, how = self.inputs
            assert how == "as it is"
            return gy * self.n * x ** (self.n - 1), None

    x = leaf()
    Power.apply(x, "as it is", n=3).sum().backward()
    equal(x.grad, [3, 12, 27])


def test_needs_input_grad():
    seen = []

    class Two(Function):
        def forward(self, a, b, c):
            return a + b

        def backward(self, gy):
            seen.append(list(self.needs_input_grad))
            return gy, gy, None

    a, b = leaf(), leaf().detach()
    Two.apply(a, b, 3).sum().backward()
    Two.apply(b, a, a).sum().backward()
    assert seen == [[True, False, False], [False, True, True]]
    assert b.grad is None


def test_scalars_that_numpy_returns_become_arrays():
    class Total(Function):
        def forward(self, x):
            return x.sum()

        def backward(self, gy):
            return gy.expand(3)

    y = Total.apply(leaf())
    assert type(y.array) is type(leaf().array) and y.array.shape == ()
    assert y.dtype == minigrad.float64


def test_without_need_nothing_is_recorded():
    x, c = leaf(), leaf().detach()
    assert (c * 2).creator is None and not (c * 2).requires_grad
    with no_grad():
        y = x * 2
    assert y.creator is None and y.is_leaf and not y.requires_grad


def test_inputs_are_kept_only_by_ops_that_read_them():
    def node_of(op):
        x = leaf() * 1
        y = op(x)
        return weakref.ref(x), y

    x, y = node_of(lambda x: x + x)
    assert x() is None
    x, y = node_of(lambda x: x * x)
    assert x() is not None
    assert y.requires_grad


def test_an_op_with_the_same_input_twice():
    x = leaf()
    (x * x * x).sum().backward()
    equal(x.grad, [3, 12, 27])
    y = minigrad.cat([x, x])
    (g,) = grad(y, x, minigrad.tensor([1.0, 2, 3, 10, 20, 30]))
    equal(g, [11, 22, 33])


def test_the_fast_rule_is_used_only_while_nothing_is_recorded():
    class Double(Function):
        def forward(self, x):
            return 2 * x

        def backward(self, gy):
            used.append("slow")
            return 2 * gy

        def fast_backward(self, gy):
            assert not isinstance(gy, Tensor)
            used.append("fast")
            return 2 * gy

    for create_graph, expected in ((False, ["fast"]), (True, ["slow"])):
        used: list = []
        x = leaf()
        equal(grad(Double.apply(x).sum(), x, create_graph=create_graph)[0], [2, 2, 2])
        assert used == expected


def test_output_is_the_result_and_part_of_the_graph():
    class Exp(Function):
        reads_inputs, saves_output = False, True

        def forward(self, x):
            return self.xp.exp(x)

        def backward(self, gy):
            assert self.output.creator is self
            return gy * self.output

    x = leaf([0.0, 1.0])
    y = Exp.apply(x)
    for _ in range(3):
        (y,) = grad(y.sum(), x, create_graph=True)
        equal(y, np.exp([0.0, 1.0]))


# ------------------------------------------------------------------------------------- the walk


def test_the_example_of_the_docstring():
    a = leaf([5.0])
    b = a + a
    c = b + b
    steps = [(repr(n) if isinstance(n, Function) else "a", float(g)) for n, g in backprop(c)]
    assert steps == [("<Add>", 1.0), ("<Add>", 2.0), ("a", 4.0)]


def test_every_node_comes_once_after_all_that_uses_it():
    x, y = leaf(2.0), leaf(3.0)
    a = x * y
    b = a + x
    c = a * b
    nodes = [node for node, _ in backprop(c)]
    assert len(nodes) == len(set(nodes)) == 5
    assert nodes.index(c.creator) < nodes.index(b.creator) < nodes.index(a.creator)
    assert nodes.index(a.creator) < min(nodes.index(x), nodes.index(y))


def test_constants_are_not_visited():
    x, c = leaf(), leaf().detach()
    assert [n for n, _ in backprop((x * c + c).sum())][-1] is x


def test_what_happens_between_two_steps_is_the_consumers_business():
    x = leaf()
    modes, recorded = [], []
    for _ in backprop((x * x).sum()):
        modes.append(minigrad.is_grad_enabled())
        recorded.append((x * 2).requires_grad)
    assert modes == recorded == [True] * 3
    with no_grad():
        y = leaf()
        with enable_grad():
            loss = (y * y).sum()
        assert [minigrad.is_grad_enabled() for _ in backprop(loss, create_graph=True)] == [
            False
        ] * 3
        with enable_grad():
            pass
        assert not minigrad.is_grad_enabled()


def test_two_walks_at_once():
    x, y = leaf(), leaf()
    pairs = zip(backprop((x * x).sum()), backprop((y * y * y).sum(), create_graph=True))
    gradients = [(a[1], b[1]) for a, b in pairs]
    assert len(gradients) == 3
    equal(gradients[-1][0], [2, 4, 6])


def test_an_abandoned_walk_leaves_no_trace():
    x = leaf()
    loss = (x * x).sum()
    walk = backprop(loss)
    next(walk)
    next(walk)
    del walk
    assert minigrad.is_grad_enabled() and x.grad is None
    with pytest.raises(RuntimeError, match="freed"):
        loss.backward()
    assert x.grad is None
    (x * x).sum().backward()
    equal(x.grad, [2, 4, 6])


def test_an_error_in_the_middle_puts_the_mode_back():
    class Broken(Function):
        def forward(self, x):
            return x + 1

        def backward(self, gy):
            assert not minigrad.is_grad_enabled()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Broken.apply(leaf()).sum().backward()
    assert minigrad.is_grad_enabled()

    class Thrown(Exception):
        pass

    with pytest.raises(Thrown):
        for _ in backprop(leaf().sum(), create_graph=True):
            raise Thrown
    assert minigrad.is_grad_enabled()


def test_several_outputs():
    x = leaf()
    a, b = x * 2, x.sum()
    ga = minigrad.tensor([1.0, 10.0, 100.0], dtype=minigrad.float64)
    autograd.backward([a, b], [ga, None])
    equal(x.grad, [3, 21, 201])
    y = x * 2
    (g,) = grad([y, y], x, [ga, ga])
    equal(g, [4, 40, 400])


def test_a_leaf_is_its_own_graph():
    x = leaf(3.0)
    x.backward()
    equal(x.grad, 1)
    seed = minigrad.tensor(5.0, dtype=minigrad.float64)
    x.backward(seed)
    equal(x.grad, 6)
    assert grad(x, x)[0].item() == 1
    y = leaf(2.0)
    y.backward(seed)
    y.grad.zero_()
    equal(seed, 5)  # what .grad holds is its own memory


# --------------------------------------------------------------------------- backward and grad


def test_gradients_add_up_and_old_ones_stay_as_they_are():
    x = leaf()
    (x * x).sum().backward()
    first = x.grad
    (x * 2).sum().backward()
    equal(first, [2, 4, 6])
    equal(x.grad, [4, 6, 8])
    assert x.grad is not first


def test_backward_twice():
    x = leaf()
    loss = (x * x).sum()
    loss.backward()
    with pytest.raises(RuntimeError, match="retain_graph=True"):
        loss.backward()
    equal(x.grad, [2, 4, 6])  # nothing was added
    loss = (x * x).sum()
    loss.backward(retain_graph=True)
    loss.backward()
    equal(x.grad, [6, 12, 18])


def test_a_freed_part_is_found_before_anything_is_added():
    x, w = leaf(), leaf()
    h = x * x
    h.sum().backward()
    with pytest.raises(RuntimeError, match="freed"):
        (h * w).sum().backward()
    assert w.grad is None
    equal(x.grad, [2, 4, 6])


def test_create_graph_keeps_the_graph():
    x = leaf()
    loss = (x * x * x).sum()
    loss.backward(create_graph=True)
    assert x.grad.requires_grad
    loss.backward()
    equal(x.grad, [6, 24, 54])
    x.grad = None
    (g,) = grad((x * x).sum(), x, create_graph=True, retain_graph=False)
    assert not grad((x * x).sum(), x)[0].requires_grad
    assert g.requires_grad


def test_third_derivative():
    x = leaf(2.0)
    y = x**4
    for expected in (32.0, 48.0, 48.0, 24.0):
        (y,) = grad(y, x, create_graph=True)
        assert y.item() == expected


def test_a_gradient_penalty_trains_through_the_gradient():
    x, w = leaf([1.0, -2.0, 0.5]), leaf([0.3, 0.2, -1.0])
    (gx,) = grad((w * x * x).sum(), x, create_graph=True)
    ((gx * gx).sum() - 1).square().backward()  # gx = 2 w x
    gx0 = 2 * arr(w.data) * arr(x.data)
    np.testing.assert_allclose(arr(w.grad), 2 * ((gx0**2).sum() - 1) * 2 * gx0 * 2 * arr(x.data))


def test_grad_returns_and_touches_nothing():
    x, w = leaf(), leaf()
    h = x * w
    gx, gh = grad(h.sum(), [x, h])
    equal(gx, arr(w.data))
    equal(gh, [1, 1, 1])
    assert x.grad is None and w.grad is None
    with pytest.warns(UserWarning, match="result of an operation"):
        assert h.grad is None
    assert not gx.requires_grad
    g1, g2 = grad((x * 2).sum(), (x, x))
    equal(g1, [2, 2, 2])
    equal(g2, [2, 2, 2])


def test_grad_of_what_did_not_lead_to_the_output():
    x, w = leaf(), leaf()
    with pytest.raises(RuntimeError, match=r"inputs \[1\] did not lead(.|\n)*allow_unused"):
        grad(x.sum(), [x, w])
    assert grad(x.sum(), [x, w], allow_unused=True)[1] is None


def test_backward_to_chosen_inputs_only():
    x, w, b = leaf(), leaf(), leaf()
    h = x * w
    (h + b).sum().backward(inputs=[w, h])
    assert x.grad is None and b.grad is None
    equal(w.grad, arr(x.data))
    equal(h.grad, [1, 1, 1])
    (x * 2).sum().backward(inputs=x)
    equal(x.grad, [2, 2, 2])


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_have_the_dtype_of_their_tensors(create_graph):
    x = leaf(dtype=minigrad.float32)
    y = x * 2
    y.backward(minigrad.ones(3, dtype=minigrad.float64), create_graph=create_graph)
    assert x.grad.dtype == minigrad.float32


# ------------------------------------------------------------------ who owns a gradient's memory


FAN_OUT = {
    "a + b": lambda a, b: a + b,
    "a - -b": lambda a, b: a - -b,
    "stack": lambda a, b: minigrad.stack([a, b]),
    "reshape": lambda a, b: a.reshape(3, 1) + b.reshape(3, 1),
    "where": lambda a, b: minigrad.where(minigrad.tensor([True, False, True]), a, b),
    "clone": lambda a, b: a.clone() + b.clone(),
    "a": lambda a, b: a + b * 0,
    "expand": lambda a, b: a.expand(2, 3) + b.unsqueeze(0),
}


@pytest.mark.parametrize("name", FAN_OUT)
@pytest.mark.parametrize("create_graph", [False, True])
def test_changing_one_grad_in_place_changes_nothing_else(name, create_graph):
    a, b = leaf(), leaf([4.0, 5.0, 6.0])
    y = FAN_OUT[name](a, b)
    upstream = minigrad.ones_like(y.detach())
    y.backward(upstream, create_graph=create_graph)
    other = arr(b.grad).copy()
    assert not np.shares_memory(arr(a.grad), arr(b.grad)) or a.is_cuda
    with no_grad():
        a.grad.fill_(7.0)
    equal(b.grad, other)
    equal(upstream, np.ones(y.shape))
    b.grad.detach().zero_()
    equal(a.grad, [7, 7, 7])
    equal(a.data, [1, 2, 3])


def test_changing_grad_does_not_reach_a_retained_gradient():
    x = leaf()
    h = x + 0
    h.retain_grad()
    h.sum().backward()
    x.grad.zero_()
    equal(h.grad, [1, 1, 1])
    upstream = minigrad.ones(3, dtype=minigrad.float64)
    h = x + 0
    h.retain_grad()
    h.backward(upstream)
    h.grad.zero_()
    equal(upstream, [1, 1, 1])


def test_an_op_that_returns_one_tensor_for_two_inputs():
    class Twice(Function):
        def forward(self, a, b):
            return 2 * (a + b)

        def backward(self, gy):
            g = 2 * gy
            return g, g

    a, b = leaf(), leaf()
    Twice.apply(a, b).sum().backward()
    a.grad.zero_()
    equal(b.grad, [2, 2, 2])


def test_an_op_that_returns_its_input_as_gradient():
    class Odd(Function):
        """Its "gradient" is its second input itself."""

        def forward(self, x, c):
            return x * c

        def backward(self, gy):
            return self.inputs[1], None

    x, c = leaf(), leaf().detach()
    Odd.apply(x, c).sum().backward()
    x.grad.zero_()
    equal(c, [1, 2, 3])


# ---------------------------------------------------------------------- retain_grad and hooks


def test_retain_grad():
    x = leaf()
    h = x * 2
    h.retain_grad()
    h.retain_grad()  # once more changes nothing
    h.sum().backward(retain_graph=True)
    equal(h.grad, [1, 1, 1])
    (h * h).sum().backward()
    equal(h.grad, [5, 9, 13])
    assert h.retains_grad and not (x * 2).retains_grad and not x.retains_grad
    x.retain_grad()  # a leaf keeps its gradient anyway
    with pytest.raises(RuntimeError, match="requires no gradient"):
        x.detach().retain_grad()


def test_the_gradient_of_a_result_warns_and_says_what_to_do():
    h = leaf() * 2
    with pytest.warns(UserWarning, match=r"only leaves(.|\n)*retain_grad\(\)") as caught:
        assert h.grad is None
    assert caught[0].filename == __file__


def test_the_engine_does_not_pay_for_the_warning(monkeypatch):
    reads, grad_of = [], Tensor.grad
    counting = property(lambda x: reads.append(x) or grad_of.fget(x), grad_of.fset)
    monkeypatch.setattr(Tensor, "grad", counting)
    x = leaf()
    for _ in range(2):  # the second one adds up
        (x * x).sum().backward()
    assert reads == []
    equal(x.grad, [4, 8, 12])


@pytest.mark.filterwarnings("error")
def test_the_library_reads_gradients_without_a_warning():
    x = leaf()
    h = x * 2
    loss = (h * h).sum()
    assert "grad_fn" in repr(h) and f"{h}"
    copy.copy(h), h.graph(), loss.graph(grad=True)
    loss.backward()
    assert (h.detach().grad, grad((x * x).sum(), [x])[0].grad) == (None, None)
    layer = minigrad.nn.utils.prune.l1_unstructured(minigrad.nn.Linear(3, 2), "weight", 2)
    assert not layer.weight.is_leaf  # what layers compute is no parameter, and lies among them
    layer(minigrad.ones(1, 3)).sum().backward()
    layer.double().zero_grad()
    copy.deepcopy(layer).state_dict()


def test_grad_does_not_fill_retained_gradients():
    x = leaf()
    h = x * 2
    h.retain_grad()
    grad(h.sum(), x)
    assert h.grad is None


def test_a_hook_sees_the_complete_gradient_once():
    x = leaf()
    seen = []
    h = x * 2
    h.register_hook(lambda g: seen.append(arr(g).copy()))
    x.register_hook(lambda g: seen.append(arr(g).copy()))
    (h * h + h).sum().backward()
    np.testing.assert_array_equal(seen, [[5, 9, 13], [10, 18, 26]])


def test_a_hook_replaces_the_gradient():
    x = leaf()
    h = x * 2
    h.register_hook(lambda g: g * 10)
    h.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: -g)
    h.retain_grad()
    h.sum().backward()
    equal(h.grad, [11, 11, 11])
    equal(x.grad, [-22, -22, -22])
    equal(grad((x * 1).sum(), x)[0], [-1, -1, -1])


def test_hooks_can_be_removed():
    x = leaf()
    first = x.register_hook(lambda g: g * 10)
    with x.register_hook(lambda g: g * 100):
        (x * 1).sum().backward()
    equal(x.grad, [1000, 1000, 1000])
    x.grad = None
    first.remove()
    first.remove()
    (x * 1).sum().backward()
    equal(x.grad, [1, 1, 1])

    def once(g):
        handle.remove()
        return g * 5

    x.grad, handle = None, x.register_hook(once)
    (x * 1).sum().backward()
    (x * 1).sum().backward()
    equal(x.grad, [6, 6, 6])


def test_hooks_are_unrecorded_unless_the_gradient_is():
    x, w = leaf(), leaf()
    x.register_hook(lambda g: g * w)
    (x * x).sum().backward()
    assert not x.grad.requires_grad
    (g,) = grad((x * x).sum(), x, create_graph=True)
    equal(grad(g.sum(), w)[0], [2, 4, 6])


@pytest.mark.parametrize("wrong", [lambda g: g.sum(), lambda g: 3.0, lambda g: g.array])
def test_what_a_hook_returns_is_checked(wrong):
    x = leaf()
    x.register_hook(wrong)
    with pytest.raises(RuntimeError, match="hook(.|\n)*Expect: None, or a tensor of shape"):
        (x * 1).sum().backward()
    assert x.grad is None and minigrad.is_grad_enabled()


def test_hooks_need_a_gradient():
    with pytest.raises(RuntimeError, match="requires no gradient"):
        leaf().detach().register_hook(print)


# -------------------------------------------------------------------------------- grad modes


def recording():
    return (leaf() * 2).requires_grad


@pytest.mark.parametrize("block, expected", [(no_grad, False), (enable_grad, True)])
def test_blocks(block, expected):
    outside = recording()
    with block():
        assert recording() is expected is minigrad.is_grad_enabled()
        with enable_grad():
            assert recording()
            with no_grad():
                assert not recording()
            assert recording()
        assert recording() is expected
    assert recording() is outside is True


@pytest.mark.parametrize("mode", [True, False])
def test_set_grad_enabled(mode):
    with set_grad_enabled(mode):
        assert recording() is mode
        with set_grad_enabled(not mode):
            assert recording() is not mode
        assert recording() is mode
    assert recording()
    set_grad_enabled(mode)
    assert recording() is mode
    set_grad_enabled(True)
    assert recording()


def test_decorators_with_and_without_parentheses():
    @no_grad
    def plain():
        "Its own docstring."
        return recording()

    @no_grad()
    def called():
        return recording()

    @set_grad_enabled(False)
    def chosen():
        return recording()

    @no_grad()
    def nested():
        @enable_grad()
        def inner(n):
            return recording() if n == 0 else inner(n - 1)

        return inner(3), recording()

    assert not plain() and not called() and not chosen()
    assert plain.__doc__ == "Its own docstring." and plain.__name__ == "plain"
    assert nested() == (True, False)
    assert recording()


def test_recursion_and_errors_put_the_mode_back():
    @no_grad()
    def down(n):
        assert not minigrad.is_grad_enabled()
        if n == 0:
            raise KeyError
        with enable_grad():
            down(n - 1)

    with pytest.raises(KeyError):
        down(5)
    assert recording()
    with pytest.raises(KeyError), set_grad_enabled(False):
        raise KeyError
    assert recording()


def test_decorated_generators():
    """More, against PyTorch itself, in against_torch/test_protocols_torch.py."""

    @no_grad()
    def steps():
        "Its own docstring."
        given = yield recording()
        yield given, recording()
        return recording()

    running = steps()
    assert [next(running), recording(), running.send(5), recording()] == [
        False,
        True,
        (5, False),
        True,
    ]
    with pytest.raises(StopIteration) as end:
        next(running)
    assert end.value.value is False and steps.__doc__ == "Its own docstring."
    assert list(enable_grad()(steps)())[0] is False and recording()


@pytest.mark.parametrize("block", [no_grad, no_grad(), enable_grad(), set_grad_enabled])
def test_async_functions_are_refused(block):
    async def waits(): ...

    async def yields():
        yield

    for function in (waits, yields):
        with pytest.raises(TypeError, match=r"is an async function(.|\n)*with no_grad\(\): \.\.\."):
            (block(False) if block is set_grad_enabled else block)(function)
        assert recording()


def test_one_block_entered_inside_itself():
    block = no_grad()
    with block:
        with block:
            pass
        assert not recording()
    assert recording()


def test_the_mode_is_each_threads_own():
    inside, go_on, seen = threading.Event(), threading.Event(), {}

    def work():
        seen["start"] = minigrad.is_grad_enabled()
        with no_grad():
            inside.set()
            go_on.wait(10)
            seen["block"] = minigrad.is_grad_enabled()

    thread = threading.Thread(target=work)
    with no_grad():
        thread.start()
        inside.wait(10)
    seen["here"] = minigrad.is_grad_enabled()
    go_on.set()
    thread.join()
    assert seen == {"start": True, "here": True, "block": False}


def test_inference_mode_is_a_name_for_no_grad():
    with minigrad.inference_mode():
        assert not recording()


# ------------------------------------------------------------------------------ tensors outside


def test_detach_and_data_share_memory_and_no_history():
    x = leaf()
    h = x * 2
    for outside in (h.detach(), h.data):
        assert not outside.requires_grad and outside.is_leaf and outside.grad is None
        assert outside.array is h.array
    assert (h.detach() * x).requires_grad


def test_detach_in_place_makes_a_leaf():
    h = leaf() * 2
    assert h.detach_() is h
    assert h.is_leaf and not h.requires_grad


def test_requires_grad_of_results_and_integers():
    x = leaf()
    with pytest.raises(RuntimeError, match="detach"):
        (x * 2).requires_grad = False
    with pytest.raises(TypeError, match="only floating tensors"):
        minigrad.tensor([1, 2], requires_grad=True)
    with pytest.raises(TypeError, match=r"float\(\)"):
        minigrad.tensor([True]).requires_grad_()
    assert x.requires_grad_(False) is x and not x.requires_grad


# ------------------------------------------------------------------- no silently dead gradients

X = (3, 4)
TWOS = minigrad.full(X, 2.0, dtype=minigrad.float64)


def on(x, tensor):
    return tensor.to(x.device)


ARGUMENTS = {  # what comes after the tensor, for several names at once
    "add sub mul div maximum minimum remainder true_divide eq ne lt le gt ge logical_and "
    "logical_or "
    "isclose allclose equal view_as reshape_as expand_as type_as result_type __add__ __radd__ "
    "__sub__ __rsub__ __mul__ __rmul__ __truediv__ __rtruediv__ __floordiv__ __rfloordiv__ __mod__ "
    "__rmod__ __eq__ __ne__ __lt__ __le__ __gt__ __ge__ add_ sub_ mul_ div_ copy_ __iadd__ "
    "__isub__ __imul__ __itruediv__": lambda x: (on(x, TWOS),),
    "pow __pow__ __rpow__ pow_ __and__ __or__ __xor__ __contains__ fill_": lambda x: (2.0,),
    "softmax log_softmax logsumexp cumsum unsqueeze split chunk argsort sort": lambda x: (1,),
    "matmul __matmul__ mm bmm": lambda x: (on(x, TWOS.T),),
    "__rmatmul__": lambda x: (on(x, TWOS.T),),
    "reshape view": lambda x: ((2, 6),),
    "transpose movedim": lambda x: (0, 1),
    "broadcast_to expand": lambda x: ((2, 3, 4),),
    "masked_fill masked_fill_": lambda x: (x.detach() > 0, 1.0),
    "clamp clip clamp_": lambda x: (-0.5, 0.5),
    "permute": lambda x: ((1, 0),),
    "flip": lambda x: ((0,),),
    "repeat": lambda x: ((2, 1),),
    "unflatten": lambda x: (1, (2, 2)),
    "gather": lambda x: (1, minigrad.zeros(3, 2, dtype=minigrad.int64)),
    "index_select": lambda x: (0, minigrad.tensor([0, 0])),
    "topk new_zeros new_ones": lambda x: (2,),
    "new_full": lambda x: ((2,), 1.0),
    "new_tensor": lambda x: ([1.0],),
    "full_like": lambda x: (1.0,),
    "to": lambda x: (minigrad.float32,),
    "__getitem__": lambda x: ((slice(1), [0, 1]),),
    "__setitem__": lambda x: (0, 1.0),
    "__format__": lambda x: ("",),
    "register_hook": lambda x: (lambda g: None,),
    "backward": lambda x: (on(x, TWOS),),
    "multinomial": lambda x: (1,),
}
CALLS = {  # what does not take the tensor first, or takes several
    "dot": lambda x: (minigrad.dot(x[0], x[1]), x[0].dot(x[1])),
    "cat": lambda x: minigrad.cat([x, x]),
    "concat": lambda x: minigrad.concat([x, x]),
    "stack": lambda x: minigrad.stack([x, x]),
    "where": lambda x: (minigrad.where(x.detach() > 0, x, 0.0), x.where(x.detach() > 0, 0.0)),
    "normal": lambda x: minigrad.normal(x, 1.0),
    "bernoulli": lambda x: minigrad.bernoulli(x.sigmoid()),
    "__deepcopy__": lambda x: (x * 1).__deepcopy__({}),
    "item": lambda x: x.sum().item(),
    "__float__": lambda x: float(x.sum()),
    "__int__": lambda x: int(x.sum()),
    "__bool__": lambda x: bool(x.sum()),
}
CUT = {  # these return floating tensors outside the graph: what each says it does
    "detach data": "that is what they are for",
    "new_zeros new_ones new_full new_tensor zeros_like ones_like full_like empty_like rand_like "
    "randn_like": "new tensors, whose numbers come from elsewhere",
    "bernoulli normal": "drawn, not computed: drawing has no derivative",
    "grad": "the gradient",
    "detach_": "the tensor itself, cut off",
    "tensor": "documented to copy the numbers; clone() copies in the graph",
}
RAISE = (
    "__and__ __or__ __xor__ __invert__ __index__ __array__ numpy __deepcopy__ multinomial "
    "__setitem__"
)
NOT_ON_A_TENSOR = (
    "arange as_tensor default_generator empty explain eye from_numpy full get_default_dtype "
    "get_float32_matmul_precision set_float32_matmul_precision "
    "get_float32_matmul_precision set_float32_matmul_precision get_num_threads get_rng_state "
    "get_default_device set_default_device initial_seed is_grad_enabled linspace load "
    "manual_seed ones "
    "rand randint randn randperm save seed set_default_dtype set_num_threads set_rng_state zeros "
    "__array_function__ __array_priority__ __array_wrap__ array creator grad_fn edges hooks "
    "requires_grad retains_grad shape dtype device"
)


def each(names) -> set:
    """Return the single names in a text, or in the keys of a table."""
    return set(names.split()) if isinstance(names, str) else {n for key in names for n in each(key)}


def public_names() -> list:
    functions = [
        name
        for name, value in vars(minigrad).items()
        if callable(value) and not isinstance(value, type) and not name.startswith("_")
    ]
    skip = {"__init__", "__slots__", "__module__", "__doc__", "__weakref__", "__hash__", "__new__"}
    methods = [
        name
        for name in {**vars(Tensor.__base__), **vars(Tensor)}
        if name not in skip and (not name.startswith("_") or name.startswith("__"))
    ]
    return sorted({*functions, *methods} - each(NOT_ON_A_TENSOR))


def should_raise(name: str, is_leaf: bool) -> bool:
    if name in ("__iadd__", "__isub__", "__imul__", "__itruediv__"):
        return is_leaf  # on a result, x += y makes a new tensor
    in_place = name.endswith("_") and not name.startswith("__")
    return name in each(RAISE) or (in_place and name not in ("detach_", "requires_grad_"))


def floating_tensors(value) -> list:
    if isinstance(value, (tuple, list)):
        return [part for item in value for part in floating_tensors(item)]
    return [value] if isinstance(value, Tensor) and value.is_floating_point() else []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", public_names())
def test_no_silently_dead_gradient(name):
    """On a tensor that requires a gradient everything records, or has no gradient, or raises."""
    arguments = next((f for names, f in ARGUMENTS.items() if name in each(names)), lambda x: ())
    forms = [CALLS[name]] if name in CALLS else []
    if not forms and hasattr(Tensor, name):
        if callable(getattr(Tensor, name)):
            forms.append(lambda x: getattr(x, name)(*arguments(x)))
        elif not name.startswith("__"):
            forms.append(lambda x: getattr(x, name))
    if not forms or (name not in CALLS and hasattr(minigrad, name) and name not in dir(Tensor)):
        forms.append(lambda x: getattr(minigrad, name)(x, *arguments(x)))
    cut = name in each(CUT)
    for form in forms:
        for make in (leaf, lambda data: leaf(data) * 1):  # a leaf, and a result
            x = make(np.linspace(-2.3, 3.1, 12).reshape(X))
            before, version = arr(x.detach()).copy(), x._version[0]
            try:
                results = floating_tensors(form(x))
            except (RuntimeError, TypeError, ValueError) as error:
                assert should_raise(name, x.is_leaf) or name == "cuda", f"{name} raises {error}"
                np.testing.assert_array_equal(arr(x.detach()), before)  # refused: nothing changed
                assert x._version[0] == version
                continue
            assert not should_raise(name, x.is_leaf), f"{name} should have raised"
            for y in results:
                assert y.requires_grad is not cut, f"{name} returned {y!r}"


def test_the_table_of_cuts_has_no_stale_names():
    names = each(CUT) | each(ARGUMENTS) | each(CALLS) | each(RAISE) | each(NOT_ON_A_TENSOR)
    assert names <= {*vars(Tensor), *vars(Tensor.__base__), *vars(minigrad)}
