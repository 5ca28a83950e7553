"""The checker checked: right gradients pass, planted mistakes are found, and at the right place.

``test_ops_gradients.py`` plants mistakes in every op of the library; here is what concerns the
checker alone: the differences themselves, kinks, odd inputs and outputs, and what it refuses.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad import autograd
from minigrad.autograd import Function
from minigrad.gradcheck import (
    GradcheckError,
    InputReport,
    Settings,
    compare,
    gradcheck,
    gradgradcheck,
    random_upstream,
    slope_along,
)


class Square(Function):
    """A right op to plant mistakes in."""

    def forward(self, x):
        return x * x

    def backward(self, gy):
        return gy * 2.0 * self.inputs[0]


def planted(backward, base=Square, **attributes):
    """Return the ``apply`` of an op like `base` with another backward."""
    return type("Planted", (base,), {"backward": backward, **attributes}).apply


@pytest.fixture
def x(device, rng):
    return make(device, rng.normal(size=(3, 4)), requires_grad=True)


def fails(function, inputs, *words, **options):
    """Check that gradcheck fails and says all the words; return the report."""
    report = gradcheck(function, inputs, raise_exception=False, **options)
    assert not report
    with pytest.raises(GradcheckError) as caught:
        gradcheck(function, inputs, **options)
    assert str(caught.value) == str(report) == str(caught.value.report)
    for word in words:
        assert word in str(report), str(report)
    return report


# -------------------------------------------------------------------------- the differences


def along(f, at=0.0, **options):
    settings = Settings(**options)
    middle = np.array([f(at)])
    return slope_along(lambda t: np.array([f(at + t)]), middle, np.ones(1), settings)


@pytest.mark.parametrize(
    ("f", "at", "derivative"),
    [
        (np.exp, 0.0, 1.0),
        (np.sin, 1.0, np.cos(1.0)),
        (np.log, 0.01, 100.0),
        (lambda t: 1 / t, 0.003, -1 / 0.003**2),
        (lambda t: 7.0, 0.0, 0.0),
        (lambda t: 1e6 + t, 0.0, 1.0),
        (lambda t: t**5, 2.0, 80.0),
    ],
)
def test_slope_of_a_smooth_function(f, at, derivative):
    slope, noise, smooth = along(f, at)
    assert smooth
    assert abs(slope - derivative) <= 1e-7 * abs(derivative) + noise


@pytest.mark.parametrize(
    "f",
    [
        abs,
        lambda t: max(t, 0.0),
        lambda t: abs(t) + 3 * t * t,
        lambda t: abs(t) ** 0.5,
        np.floor,
        np.sign,
        lambda t: float("nan") if t < 0 else t,
        lambda t: float("inf") if t > 0 else t,
        lambda t: 0.1 * abs(t) + 1000 * t,
    ],
)
def test_kink_in_the_middle_is_seen(f):
    assert not along(f)[2]


def test_kink_beside_the_middle_cannot_mislead():
    # Wherever the kink lies within the step, also at a third of it, where the one-sided
    # differences at h and h / 2 are to each other as those of a smooth function are.
    for place in [*np.geomspace(1e-4, 1.1, 500), 1 / 3, 1 / 6, 0.5, 1.0]:
        slope, _, smooth = along(lambda t, d=place * 1e-4: abs(t - d) + t)
        assert not smooth or abs(slope) < 1e-8, place  # -1 + 1
        assert smooth or place < 1 / 256, place  # within the smallest step


def test_kinks_smaller_than_the_tolerance_are_no_kinks():
    assert along(lambda t: 1e-12 * abs(t) + t)[2]


def test_compare_works_on_plain_arrays(rng):
    a, b = rng.normal(size=3), rng.normal(size=(2, 2))
    weights = random_upstream((5,), rng)

    def function(arrays):
        return np.concatenate([arrays[0] ** 2, arrays[1].sum(axis=0)])

    right = [2 * a * weights[:3], np.tile(weights[3:], (2, 1))]
    for wrong in (None, 0, 1):
        claims = [g * (1.01 if i == wrong else 1) for i, g in enumerate(right)]
        reports = [InputReport("a", 1, (3,)), InputReport("b", 1, (2, 2))]
        compare(function, [a, b], claims, weights, reports, Settings(), rng)
        assert [report.ok for report in reports] == [wrong != 0, wrong != 1]
    assert reports[1].wrong[1].index == (0, 1)


def test_random_upstream_is_nowhere_small_or_equal(rng):
    numbers = random_upstream((50, 50), rng)
    assert abs(numbers).min() >= 0.5
    assert np.unique(numbers).size == numbers.size
    assert (numbers < 0).any() and (numbers > 0).any()
    assert random_upstream((), rng).shape == ()


# ---------------------------------------------------------------------- right and wrong


@pytest.mark.parametrize("mode", ["directions", "entries"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_right_gradients_pass(x, device, rng, order, mode):
    w = make(device, rng.normal(size=(4, 2)), requires_grad=True)
    report = gradcheck(lambda x, w: (x @ w).tanh(), (x, w), order=order, mode=mode)
    assert report and report.ok and not report.kinks
    assert [entry.order for entry in report.inputs] == [1] * 2 + [2] * 3 * (order > 1) + [3] * 5 * (
        order > 2
    )


@pytest.mark.parametrize("mode", ["directions", "entries"])
def test_every_wrong_entry_is_named_with_its_numbers(x, mode):
    report = fails(planted(lambda self, gy: gy * 2.02 * self.inputs[0]), x, "12 of 12", mode=mode)
    (found,) = report.inputs
    assert len(found.wrong) == 12 and found.complete
    upstreams = []
    for place, entry in found.wrong.items():
        value = arr(x)[entry.index]
        assert np.ravel_multi_index(entry.index, (3, 4)) == place
        upstreams.append(entry.numeric / (2 * value))
        assert entry.analytic == pytest.approx(1.01 * entry.numeric, rel=1e-6)
        assert entry.error == pytest.approx(0.01 * entry.numeric, rel=1e-4)
    assert np.ptp(np.abs(upstreams)) > 0.1  # random, not uniform


def test_one_wrong_entry_of_many_is_found(device, rng):
    x = make(device, rng.normal(size=(50, 60)), requires_grad=True)

    def backward(self, gy):
        gx = (gy * 2.0 * self.inputs[0]).clone()
        with autograd.no_grad():
            gx.data[17, 23] = gx.data[17, 23] * 1.01
        return gx

    (found,) = fails(planted(backward), x, "1 of 3000 entries wrong", "(17, 23)").inputs
    assert [entry.index for entry in found.wrong.values()] == [(17, 23)]
    (found,) = fails(planted(lambda self, gy: gy), x, "at least 100 of 3000").inputs
    assert not found.complete


def test_report_names_the_wrong_input(x, device, rng):
    class Product(Function):
        def forward(self, a, b):
            return a * b

        def backward(self, gy):
            a, b = self.inputs
            return gy * b, gy * a * 1.01

    w = make(device, rng.normal(size=(3, 4)), requires_grad=True)
    report = fails(Product.apply, (x, w), "Product.apply", names=["image", "weight"])
    assert [entry.ok for entry in report.inputs] == [True, False]
    assert "image (3, 4): right" in str(report)
    assert "weight (3, 4): 12 of 12 entries wrong" in str(report)


def test_the_worst_entries_come_first(device):
    x = make(device, np.arange(1.0, 21), requires_grad=True)
    text = str(fails(planted(lambda self, gy: gy * 3.0 * self.inputs[0]), x))
    table = [line.split() for line in text.splitlines() if line.strip().startswith("(")]
    errors = [abs(float(row[-1])) for row in table[:8]]
    assert errors == sorted(errors, reverse=True) and len(errors) == 8
    assert "... and 12 more" in text


MISTAKES = {
    "upstream ignored": lambda self, gy: 2.0 * self.inputs[0],
    "upstream twice": lambda self, gy: gy * gy * 2.0 * self.inputs[0],
    "sign": lambda self, gy: gy * -2.0 * self.inputs[0],
    "factor": lambda self, gy: gy * self.inputs[0],
    "scaled": lambda self, gy: gy * 2.00002 * 1.0001 * self.inputs[0],
    "zero": lambda self, gy: gy * 0.0,
    "none": lambda self, gy: None,
    "shifted": lambda self, gy: (gy * 2.0 * self.inputs[0]).flip(1),
    "nan": lambda self, gy: gy * float("nan"),
    "inf": lambda self, gy: gy * float("inf"),
}


@pytest.mark.parametrize("mode", ["directions", "entries"])
@pytest.mark.parametrize("mistake", MISTAKES)
def test_first_order_mistakes_are_found(x, mistake, mode):
    report = fails(planted(MISTAKES[mistake]), x, "entries wrong", mode=mode)
    if mistake == "none":
        assert "no gradient came" in str(report)
    assert len(report.inputs[0].wrong) == 12


def test_constant_saved_in_forward_is_found_at_order_2(x):
    """The trap of fused ops: right at order 1, and terms lost at order 2."""
    forgetful = planted(lambda self, gy: gy * 2.0 * self.inputs[0].detach())
    assert gradcheck(forgetful, x)
    report = fails(forgetful, x, "order 2", "no gradient came", order=2)
    assert [entry.ok for entry in report.inputs] == [True, False, True]
    report = fails(planted(MISTAKES["factor"]), x, order=2)
    assert [entry.order for entry in report.inputs] == [1]  # order 2 would say no more
    detached = planted(lambda self, gy: (gy * 2.0 * self.inputs[0]).detach())
    report = fails(detached, x, order=2)
    assert [entry.ok for entry in report.inputs] == [True, False, False]


def test_fast_backward_is_held_to_backward(x):
    wrong_fast = planted(
        Square.backward, fast_backward=lambda self, gy: gy * 2.02 * self.inputs[0].array
    )
    fails(wrong_fast, x, "entries wrong")  # order 1 uses it
    wrong_slow = planted(
        lambda self, gy: gy * 2.02 * self.inputs[0],
        fast_backward=lambda self, gy: gy * 2.0 * self.inputs[0].array,
    )
    assert gradcheck(wrong_slow, x)  # order 1 never comes there
    fails(wrong_slow, x, "fast_backward does not compute what its backward says", order=2)


def test_upstream_of_ones_would_hide_it(x):
    """Mistakes that ``y.sum().backward()`` cannot see."""
    forgets = planted(lambda self, gy: 2.0 * self.inputs[0])
    (g,) = autograd.grad(forgets(x).sum(), x)
    np.testing.assert_allclose(arr(g), 2 * arr(x))  # looks right
    fails(forgets, x)


def test_gradgradcheck_checks_the_second_order_only(x, device, rng):
    twice_wrong = planted(lambda self, gy: gy * 3.0 * self.inputs[0])
    assert not gradcheck(twice_wrong, x, raise_exception=False)
    report = gradgradcheck(twice_wrong, x)  # the gradient of the wrong gradient is right
    assert [entry.name for entry in report.inputs] == ["input 0", "upstream"]
    with pytest.raises(GradcheckError):
        gradgradcheck(planted(lambda self, gy: gy * 2.0 * self.inputs[0].detach()), x)

    gy = make(device, rng.normal(size=(3, 4)), requires_grad=True)
    assert len(gradgradcheck(Square.apply, x, gy).inputs) == 2
    assert len(gradgradcheck(Square.apply, x, [gy.detach()]).inputs) == 1


def test_names_of_pytorch(x):
    assert autograd.gradcheck is gradcheck and autograd.gradgradcheck is gradgradcheck
    assert autograd.gradcheck(Square.apply, (x,), eps=1e-6, atol=1e-5, rtol=1e-3)
    assert autograd.gradcheck(Square.apply, (x,), fast_mode=True, nondet_tol=1e-9)
    assert autograd.gradgradcheck(Square.apply, (x,), fast_mode=False)
    with pytest.raises(AttributeError):
        autograd.gradchek  # noqa: B018
    with pytest.raises(RuntimeError):  # what except clauses written for PyTorch catch
        autograd.gradcheck(planted(lambda self, gy: gy), (x,))
    with pytest.raises(AssertionError):  # what pytest counts as a failure
        autograd.gradcheck(planted(lambda self, gy: gy), (x,))


def test_the_seed_decides_everything(x):
    texts = [str(fails(planted(MISTAKES["factor"]), x, seed=seed)) for seed in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


# ------------------------------------------------------------------------------- kinks


def with_zeros(device, size, zeros):
    values = np.linspace(-2, 3, size) + 0.0123
    values[np.linspace(0, size - 1, zeros, dtype=int)] = 0.0
    return make(device, values, requires_grad=True)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("mode", ["directions", "entries"])
@pytest.mark.parametrize("name", ["relu", "abs", "sign"])
def test_kinks_are_left_out_and_counted(device, name, mode, order):
    x = with_zeros(device, 30, 3)
    report = gradcheck(getattr(minigrad, name), x, mode=mode, order=order)
    assert report.inputs[0].kinks == {0, 14, 29}
    assert "3 of 30 at kinks" in str(report)
    if order == 2 and name != "sign":
        assert report.kinks == 6


@pytest.mark.parametrize("mode", ["directions", "entries"])
def test_more_than_a_tenth_of_kinks_fails(device, mode):
    assert gradcheck(minigrad.relu, with_zeros(device, 20, 2), mode=mode)
    fails(minigrad.relu, with_zeros(device, 20, 3), "3 of 20 at kinks", "too many", mode=mode)
    assert gradcheck(minigrad.relu, with_zeros(device, 20, 3), mode=mode, max_kinks=0.15)
    assert gradcheck(minigrad.relu, with_zeros(device, 3, 3), mode=mode, max_kinks=1)
    fails(minigrad.relu, with_zeros(device, 20, 1), mode=mode, max_kinks=0)


def test_kinks_are_counted_for_each_input(device):
    x, b = with_zeros(device, 100, 0), make(device, np.zeros(1), requires_grad=True)
    report = fails(lambda x, b: x.tanh() + b.relu(), (x, b))
    assert [entry.too_many_kinks for entry in report.inputs] == [False, True]


@pytest.mark.parametrize("mode", ["directions", "entries"])
def test_kinks_do_not_excuse_other_entries(device, mode):
    class Relu(minigrad.ops.elementwise.Relu):
        fast_backward = None

        def backward(self, gy):
            return super().backward(gy) * 1.01

    x = with_zeros(device, 30, 3)
    (found,) = fails(Relu.apply, x, mode=mode).inputs
    assert found.kinks == {0, 14, 29}
    assert set(found.wrong) == set(np.flatnonzero(arr(x) > 0))


def test_any_gradient_is_accepted_at_a_kink(device):
    """Subgradients are a convention; only exact tests, as in test_ops_gradients, can hold them."""

    class Relu(Function):
        def forward(self, x):
            return self.xp.maximum(x, 0)

        def backward(self, gy):
            return minigrad.where(self.inputs[0] < 0, 0.0, gy)  # 1 at the kink

    assert gradcheck(Relu.apply, with_zeros(device, 30, 3))


@pytest.mark.parametrize("mode", ["directions", "entries"])
def test_entries_close_to_a_kink_are_still_checked(device, mode):
    x = make(device, [1e-5, -1e-5, 3e-5, 1.0, -1.0, 2e-6, 0.4e-4], requires_grad=True)
    assert gradcheck(minigrad.relu, x, mode=mode, max_kinks=0).kinks == 0


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_edge_of_the_domain_is_a_kink(device):
    x = make(device, [0.0, *range(1, 10)], requires_grad=True)
    report = gradcheck(minigrad.sqrt, x)  # the gradient at 0 is infinite
    assert report.inputs[0].kinks == {0}


def test_ties_of_a_maximum_are_kinks(device, rng):
    values = rng.normal(size=(4, 12))
    values[1, 3] = values[1, 7] = values[1].max() + 1
    x = make(device, values, requires_grad=True)
    assert gradcheck(lambda x: x.amax(1), x, order=2).inputs[0].kinks == {15, 19}


# -------------------------------------------------------------------- inputs and outputs


def test_several_outputs_of_any_shape(x):
    def function(x):
        values, indices = x.max(1)
        return x.sum(), indices, x.exp().T, values, x.detach() * 2

    assert gradcheck(function, x, order=2)
    assert gradcheck(lambda x: [x.sin(), x[0, 0]], x, order=2)
    assert gradcheck(lambda x: (x * 1.0, planted(Square.backward)(x)), x)
    fails(lambda x: (x * 1.0, planted(MISTAKES["factor"])(x)), x)


def test_output_may_be_the_input_or_a_view_of_it(x):
    assert gradcheck(lambda x: x, x, order=2)
    assert gradcheck(lambda x: (x, x.T, x[1]), x, order=2)


def test_inputs_that_need_no_gradient_are_constants(x, device, rng):
    mask = make(device, rng.random((3, 4)) < 0.5)
    scale = make(device, rng.normal(size=(3, 4)))  # float64, and also float32 would do
    labels = make(device, np.array([0, 3, 2]))

    def function(x, mask, scale, labels, factor, option):
        assert option == {"a": 1}
        y = minigrad.where(mask, x * scale, x * factor)
        return y.gather(1, labels.reshape(3, 1)), y

    report = gradcheck(function, (x, mask, scale, labels, 0.5, {"a": 1}), order=2)
    assert [entry.name for entry in report.inputs] == ["input 0"] * 2 + ["upstream 0", "upstream 1"]


def test_scalars_and_empty_inputs(device):
    scalar = make(device, np.array(0.7), requires_grad=True)
    assert gradcheck(minigrad.sin, scalar, order=3)
    assert fails(planted(lambda self, gy: gy), scalar).inputs[0].wrong[0].index == ()
    empty = make(device, np.zeros((0, 3)), requires_grad=True)
    for mode in ("directions", "entries"):
        assert gradcheck(lambda x: x * 2.0, empty, order=2, mode=mode)
        assert gradcheck(lambda x: x.sum(0), empty, order=2, mode=mode)
        assert gradcheck(lambda x, y: x.sum() * y, (empty, scalar), order=2, mode=mode)
    fails(lambda x, y: x.sum() + planted(lambda self, gy: gy)(y), (empty, scalar))


@pytest.mark.cpu_only
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(24.0).reshape(4, 6)[::-2, ::3],
        np.broadcast_to(np.array([1.0, 2.0, 3.0]), (2, 3)),
        np.lib.stride_tricks.sliding_window_view(np.arange(6.0), 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    ],
    ids=["transposed", "sliced", "broadcast", "overlapping", "fortran"],
)
def test_inputs_of_any_layout(array):
    x = minigrad.Tensor(array + 0.0 if array.flags.writeable else array).requires_grad_()
    x.array = array
    weights = np.arange(array.size).reshape(array.shape) + 0.5
    assert gradcheck(lambda x: x * x * minigrad.Tensor(weights), x, order=2)
    (found,) = fails(planted(MISTAKES["factor"]), x).inputs
    assert {entry.index for entry in found.wrong.values()} == {
        index for index in np.ndindex(array.shape) if array[index] != 0
    }
    assert x.array is array


def test_inputs_that_share_memory_or_are_given_twice(x, device):
    array = minigrad.backend.asarray_on(np.arange(1.0, 9), device)
    a, b = [minigrad.Tensor(array[part]).requires_grad_() for part in (slice(0, 5), slice(3, 8))]
    assert gradcheck(lambda a, b: a * b * b, (a, b), order=2)
    assert len(gradcheck(lambda a, b: a * b, (x, x), order=2).inputs) == 3
    fails(lambda a, b: a * b.detach(), (x, x))


def test_the_inputs_come_back_as_they_were(x):
    x.grad = x.detach() * 3
    y = x * 2.0
    called = []
    x.register_hook(lambda g: called.append("x"))
    y.register_hook(lambda g: called.append("y"))
    before = [(t, t.array, t.creator, t._grad, arr(t).copy(), t._version[0]) for t in (x, y)]
    gradcheck(lambda x, y: x * y, (x, y), order=2)
    fails(planted(lambda self, gy: gy), y)
    with pytest.raises(ZeroDivisionError):
        gradcheck(lambda x, y: 1 / 0, (x, y))
    for t, array, creator, grad, values, version in before:
        assert t.array is array and t.creator is creator and t._grad is grad
        np.testing.assert_array_equal(arr(t), values)
        assert t._version[0] == version and t.requires_grad
    assert called == []
    autograd.grad(y.sum(), x)  # the graph in which y stands is whole
    assert called == ["y", "x"]


def test_leaves_that_the_function_finds_by_itself(x, device, rng):
    w = make(device, rng.normal(size=(4, 4)), requires_grad=True)
    assert gradcheck(lambda *_: (x @ w).tanh(), (x, w), order=2)
    report = fails(lambda *_: (x @ w.detach()).tanh(), (x, w), "no gradient came")
    assert [entry.ok for entry in report.inputs] == [True, False]


def test_functions_that_differentiate_inside(x):
    def squared_gradient(x):
        (g,) = autograd.grad((x.tanh() * x).sum(), x, create_graph=True)
        return (g * g).sum()

    assert gradcheck(squared_gradient, x, order=2)

    def lost(x):
        (g,) = autograd.grad((x.tanh() * x).sum(), x)  # create_graph forgotten
        return (g * g).sum() + x.sum()

    fails(lost, x)


def test_recording_is_switched_on_and_the_mode_put_back(x):
    with autograd.no_grad():
        assert gradcheck(Square.apply, x, order=2)
        assert not autograd.is_grad_enabled()


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4, 1e8])
def test_inputs_of_any_size(device, rng, scale):
    x = make(device, scale * rng.uniform(0.5, 2, size=7), requires_grad=True)
    # rtol alone: with entries of 1e8 the derivative of the logarithm is far below atol
    for function in (minigrad.log, Square.apply, lambda x: x**1.5, lambda x: 1.0 / x):
        assert gradcheck(function, x, order=2, atol=0)
        fails(lambda x, f=function: f(x) + 0.001 * f(x.detach()), x, atol=0)


# -------------------------------------------------------------------------------- causes


class Product(Function):
    """A right op of two inputs to plant mistakes in."""

    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        a, b = self.inputs
        return gy * b, gy * a


@pytest.mark.parametrize(
    ("backward", "causes"),
    [
        (lambda gy, a, b: (gy * a, gy * b), ["the gradients of a and b are swapped"] * 2),
        (lambda gy, a, b: (b * 1.0, gy * a), ["the upstream gradient is ignored", None]),
        (lambda gy, a, b: (gy * gy * b, gy * a), ["the upstream gradient is used twice", None]),
        (lambda gy, a, b: (gy * b, gy * 0.0), [None, "all zero"]),
        (lambda gy, a, b: (gy * b, -gy * a), [None, "the sign is wrong"]),
        (
            lambda gy, a, b: (gy * b * 2.0, gy * a),
            ["2 times too large: the factor 1/2 is missing", None],
        ),
        (lambda gy, a, b: (gy * (b + b.exp() * a), gy * a), [None, None]),
    ],
)
def test_a_failed_check_names_the_mistake(device, rng, backward, causes):
    a, b = (make(device, rng.normal(size=(3, 4)), requires_grad=True) for _ in range(2))
    wrong = planted(lambda self, gy: backward(gy, *self.inputs), base=Product)
    report = fails(wrong, (a, b), names=["a", "b"])
    assert report.causes == causes
    assert report.cause == next((cause for cause in causes if cause), None)
    for cause in filter(None, causes):
        assert f"cause: {cause}" in str(report)
    assert gradcheck(Product.apply, (a, b)).causes == [None, None]


def test_the_cause_is_looked_for_only_when_asked(x):
    calls = []

    def counted(x):
        calls.append(1)
        return planted(lambda self, gy: gy * self.inputs[0])(x)

    report = gradcheck(counted, x, raise_exception=False)
    before, array = len(calls), x.array
    assert report.cause == "2 times too small: the factor 2 is missing"
    after = len(calls)
    assert after > before and x.array is array and x.grad is None
    assert report.cause in str(report) and len(calls) == after


def test_causes_with_several_outputs(x):
    wrong = planted(lambda self, gy: gy * self.inputs[0])
    report = fails(lambda x: (wrong(x), wrong(x).sum()), x)
    assert report.cause == "2 times too small: the factor 2 is missing"


# ------------------------------------------------------------------------------ refusals


def test_coarse_inputs_are_refused(device, rng):
    x = make(device, rng.normal(size=3).astype(np.float32), requires_grad=True)
    with pytest.raises(TypeError, match="(?s)input 0 is too coarse.*float64.*float32.*double"):
        gradcheck(minigrad.exp, x)
    with pytest.raises(TypeError, match="weight"):
        gradcheck(lambda a, b: a, (x.detach().double().requires_grad_(), x), names=["x", "weight"])


def test_coarse_outputs_are_refused(x):
    fails(lambda x: x.float() * 2.0, x, "the output is too coarse", "float32")
    fails(lambda x: (x, x.half()), x, "output 1 is too coarse", "float16")


def test_gradients_that_were_rounded_on_the_way(x):
    """Right to seven digits, and found all the same."""
    rounded = planted(lambda self, gy: (gy * 2.0 * self.inputs[0]).float())
    fails(rounded, x, "the gradient of input 0 has only the digits of float32")
    rounded = planted(lambda self, gy: (gy * 2.0 * self.inputs[0]).float().double())
    fails(rounded, x, "the gradient of input 0 has only the digits of float32")


def test_nothing_to_check(x):
    with pytest.raises(ValueError, match="no gradient to check"):
        gradcheck(minigrad.exp, x.detach())
    with pytest.raises(ValueError, match="no inputs"):
        gradcheck(minigrad.exp, [])
    with pytest.raises(TypeError, match="(?s)returned no tensor.*float"):
        gradcheck(lambda x: 1.0, x)
    with pytest.raises(TypeError, match="no floating tensor"):
        gradcheck(lambda x: x.argmax(), x)


def test_dead_outputs(x):
    fails(lambda x: x.detach() * 2.0, x, "no gradient came", "12 of 12 entries wrong")
    assert gradcheck(lambda x: x.detach() * 0.0, x)  # constant: there was nothing to lose


@pytest.mark.filterwarnings("ignore:divide by zero")
def test_results_that_are_not_finite(x, device):
    fails(lambda x: x / 0.0, x, "the output is not finite: 12 of 12 entries, first at (0, 0)")
    zeros = make(device, np.array([1.0, 0.0, *range(2, 20)]), requires_grad=True)
    fails(lambda x: (x, x.log()), zeros, "output 1 is not finite: 1 of 20 entries, first at (1,)")
    fails(minigrad.sqrt, zeros, "the gradient of input 0 is not finite", order=2)


def test_chance_is_detected(x, rng):
    def noise(x):
        return x * make(x.device, rng.normal(size=(3, 4)))

    fails(noise, x, "not deterministic", "different results", "seed")

    def seeded(x):
        return x * make(x.device, np.random.default_rng(0).normal(size=(3, 4)))

    assert gradcheck(seeded, x, order=2)

    wobbling = planted(lambda self, gy: gy * (2.0 + 1e-7 * rng.random()) * self.inputs[0])
    fails(wobbling, x, "different gradients")
    assert gradcheck(wobbling, x, nondet_tol=1e-5)
    sizes = itertools.cycle([2, 3])
    fails(lambda x: x[: next(sizes)], x, "not deterministic")


def test_changes_in_place_are_detected(x, device, rng):
    def through_the_array(x):
        x.array[0, 0] += 1.0
        return x * 2.0

    fails(through_the_array, x, "the function changed input 0 in place")

    def to_a_constant(x, c):
        with autograd.no_grad():
            c.mul_(2.0)
        return x * 2.0

    c = make(device, rng.normal(size=3))
    fails(to_a_constant, (x, c), "the function changed input 1 in place")

    def backward(self, gy):
        gy.array *= 2.0
        return gy * self.inputs[0]

    fails(planted(backward), x, "backward changed the upstream gradient in place")

    def backward(self, gy):
        gx = gy * 2.0 * self.inputs[0]
        self.inputs[0].array[...] = 0
        return gx

    report = gradcheck(planted(backward), x, raise_exception=False)
    assert "its backward changed input 0 in place" in str(report)


@pytest.mark.cpu_only
def test_changes_to_an_array_argument_are_detected(x):
    scale = np.ones((3, 4))

    def function(x, scale):
        scale *= 2
        return x * 1.0

    fails(function, (x, scale), "changed input 1 in place")


def test_errors_of_the_function_come_through(x):
    with pytest.raises(RuntimeError, match="wrong number of gradients"):
        gradcheck(planted(lambda self, gy: (gy, gy)), x)
    with pytest.raises(RuntimeError, match="does not fit the input"):
        gradcheck(planted(lambda self, gy: gy.sum(0)), x)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("eps", v) for v in (0, -1e-4, float("nan"), float("inf"))],
        *[(name, v) for name in ("atol", "rtol", "nondet_tol") for v in (-1, float("nan"))],
        ("mode", "fast"),
        ("directions", 0),
        ("directions", 1.5),
        ("max_kinks", 1.1),
        ("max_kinks", float("nan")),
        ("order", 0),
        ("order", 1.5),
        ("names", ["a", "b"]),
    ],
)
def test_options_out_of_range(x, option, value):
    with pytest.raises(ValueError, match=f"(?s)gradcheck {option}.*Expect.*Actual"):
        gradcheck(Square.apply, x, **{option: value})
