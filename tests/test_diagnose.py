"""`diagnose`: its arguments, its report, and each of its tests on a mistake made for it.

The many ways in which learners go wrong are in ``test_diagnose_planted.py``.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time

import numpy as np
import pytest

from minigrad.gradcheck import Diagnosis, GradcheckError, diagnose
from minigrad.gradcheck.jacobian import jacobian
from minigrad.gradcheck.naming import factor_names, scaled


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def a(rng):
    return rng.standard_normal((3, 4))


@pytest.fixture
def b(rng):
    return rng.standard_normal((3, 4))


def mul(a, b):
    return a * b


def square(x):
    return x * x


def cause(forward, backward, inputs, **options):
    """Return the cause; the report must hold together."""
    report = diagnose(forward, backward, inputs, **options)
    assert not report and not report.ok
    assert len(report.causes) == len(inputs)
    text = str(report)
    assert text == repr(report) and "\n\n" not in text
    assert report._repr_html_().count("<div") == report._repr_html_().count("</div")
    if report.cause is not None:
        assert report.cause in text.split("\n")[0], text
    with pytest.raises(AssertionError, match=re.escape(text.split("\n")[0])):
        report.check()
    return report.cause


# ---------------------------------------------------------------------------------- the report


def test_a_right_one(a, b):
    report = diagnose(mul, lambda gy, a, b: (gy * b, gy * a), [a, b])
    assert report and report.ok and report.cause is None and report.causes == [None, None]
    assert report.check() is report
    assert str(report) == (
        "backward: the gradients are right.\n  a (3, 4): right\n  b (3, 4): right"
    )
    assert "right" in report._repr_html_()


def test_the_report_says_what_where_and_how_much(a, b):
    def backward(gy, a, b):
        return gy * b, gy * a * np.where(a < 0, 3, 1)

    report = diagnose(mul, backward, [a, b])
    wrong = int((a < 0).sum())
    text = "wrong exactly where a < 0 (there, 3 times too large: the factor 1/3 is missing)"
    assert report.causes == [None, text] and report.cause == text
    assert str(report).startswith(f"backward: the gradient of b: {text}.")
    assert f"b (3, 4): {wrong} of 12 entries wrong" in str(report)
    assert "index         yours      expected  difference" in str(report)
    assert f"... and {wrong - 5} more" in str(report) or wrong <= 5
    found = report.inputs[1]
    assert [e.index for e in found.entries] == sorted(
        [tuple(i) for i in np.argwhere(a < 0).tolist()], key=lambda i: -abs(found.expected[i])
    )
    first = found.entries[0]
    assert first.analytic == pytest.approx(3 * first.numeric)


def test_an_unknown_mistake_has_no_cause_but_the_worst_entries(rng):
    x = rng.standard_normal((4, 5))
    noise = rng.standard_normal((4, 5))
    report = diagnose(square, lambda gy, x: gy * (2 * x + noise), [x])
    assert not report and report.cause is None and report.causes == [None]
    assert "no known mistake gives these numbers" in str(report)
    rows = re.findall(r"^ +\(\d, \d\) ", str(report), re.M)
    assert len(rows) == 5 and "... and 15 more" in str(report)


def test_an_assertion_error_whose_text_is_the_report(a, b):
    report = diagnose(mul, lambda gy, a, b: (gy * a, gy * b), [a, b])
    with pytest.raises(AssertionError) as caught:
        report.check()
    assert isinstance(caught.value, GradcheckError)
    assert str(caught.value) == str(report) and caught.value.report is report


def test_pytest_shows_it(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import numpy as np\n"
        "from minigrad.gradcheck import diagnose\n"
        "x = np.arange(1.0, 7).reshape(2, 3)\n"
        "def backward(gy, x): return gy * x\n"
        "def test_assert(): assert diagnose(np.square, backward, [x])\n"
        "def test_check(): diagnose(np.square, backward, [x]).check()\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path)]
    output = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path).stdout
    assert "2 failed" in output
    assert output.count("2 times too small: the factor 2 is missing") > 2
    assert re.search(r"E +index +yours +expected +difference", output)
    assert "raise GradcheckError" not in output  # it points at the learner's line


def test_notebooks_get_heat_maps(a, b):
    page = diagnose(mul, lambda gy, a, b: (gy, gy * a), [a, b])._repr_html_()
    assert page.count("<svg") == 3 and page.count("<rect") == 36
    for title in ("yours (3, 4)", "expected (3, 4)", "difference (3, 4)"):
        assert title in page
    page = diagnose(lambda x: x.sum(0), lambda gy, x: gy, [a])._repr_html_()
    assert page.count("<svg") == 2  # of different shapes there is no difference
    page = diagnose(square, lambda gy, x: 1 / 0, [a], names=["<x>"])._repr_html_()
    assert "<svg" not in page and "ZeroDivisionError" in page
    assert "<x>" not in diagnose(square, lambda gy, x: gy, [a], names=["<x>"])._repr_html_()
    nan = diagnose(square, lambda gy, x: gy * np.nan, [a])._repr_html_()
    assert "#bbbbbb" in nan
    large = diagnose(square, lambda gy, x: gy, [np.ones((300, 5))])._repr_html_()
    assert len(large) < 400_000


# ---------------------------------------------------------------- what cannot be compared at all


def returns(value):
    return lambda gy, *inputs: value


@pytest.mark.parametrize(
    ("backward", "expected"),
    [
        (lambda gy, a: (gy, gy), "backward raised TypeError"),
        (lambda gy, a, b: 1 / 0, "backward raised ZeroDivisionError: division by zero (line"),
        (lambda gy, a, b: gy @ b.T @ b.T, "backward raised ValueError"),
        (returns(None), "backward returned None: is the return missing?"),
        (lambda gy, a, b: gy * b, "backward returned 1 gradients instead of 2"),
        (lambda gy, a, b: (gy, gy, gy), "backward returned 3 gradients instead of 2"),
        (lambda gy, a, b: {"a": gy}, "backward returned a dict instead of arrays"),
        (lambda gy, a, b: iter([gy, gy]), "instead of arrays"),
        (lambda gy, a, b: ("gy", gy), "the gradient of a is a str, not an array of numbers"),
        (lambda gy, a, b: (gy * b, [[1.0], [1.0, 2.0]]), "rows have different lengths"),
        (lambda gy, a, b: (gy * b, gy * 1j), "the gradient of b is complex"),
        (lambda gy, a, b: (gy * b, None), "None instead of a gradient"),
        (lambda gy, a, b: (np.full_like(gy, np.nan), gy * a), "not finite"),
        (lambda gy, a, b: (gy * b / (a > 0), gy * a), "not finite"),
        (lambda gy, a, b: (gy * b, np.multiply(a, gy, out=a)), "backward changes a in place"),
        (lambda gy, a, b: (np.multiply(b, gy, out=gy), a), "the upstream gradient in place"),
    ],
)
def test_answers_that_cannot_be_used(a, b, backward, expected):
    assert expected in cause(mul, backward, [a, b])


def test_not_written_yet(a):
    def backward(gy, x):
        raise NotImplementedError("your derivation here")

    report = diagnose(square, backward, [a])
    assert report.cause == "backward is not written yet"


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (lambda x: x @ x, "forward raised ValueError"),
        (lambda x: None, "forward returned None instead of one array"),
        (lambda x: (x, x), "forward returned a tuple"),
        (lambda x: "x", "forward returned a str, not an array of numbers"),
        (lambda x: x / 0, "forward is not finite at these inputs"),
        (lambda x: x.astype(np.float32), "forward returned float32"),
        (lambda x: x * np.random.default_rng().random(), "forward gives a different result each"),
        (lambda x: abs(x - x.max()) * 0 + abs(x * 0), "it should be 0 everywhere"),
    ],
)
def test_forward_passes_that_cannot_be_checked(a, forward, expected):
    assert expected in cause(forward, lambda gy, x: gy, [a])


def test_nothing_but_kinks():
    report = diagnose(np.abs, lambda gy, x: gy * np.sign(x), [np.zeros(3)])
    assert report.cause == "nothing can be checked: all entries are at kinks of forward"


def test_only_the_one_without_a_gradient_is_named(a, b):
    report = diagnose(mul, lambda gy, a, b: (None, gy * a), [a, b])
    assert report.causes == ["None instead of a gradient", None]


def test_chance_and_memory_in_backward(a):
    rng = np.random.default_rng(0)
    expected = "backward gives a different result each time"
    assert cause(square, lambda gy, x: gy * 2 * x * rng.random(), [a]) == expected
    total = np.zeros_like(a)

    def accumulates(gy, x):
        nonlocal total
        total = total + 2 * gy * x
        return total

    assert cause(square, accumulates, [a]) == expected


def test_interrupts_come_through(a):
    def backward(gy, x):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose(square, backward, [a])


# ---------------------------------------------------------------------------- kinks, notes, sizes


def test_kinks_are_left_out_and_counted(rng):
    x = rng.standard_normal((5, 5))
    x[0, :2] = 0

    def relu(x):
        return np.maximum(x, 0)

    report = diagnose(relu, lambda gy, x: gy * np.where(x == 0, 17, x > 0), [x])
    assert report and report.inputs[0].kinks == 2 and report.inputs[0].checked == 23
    assert "2 of 25 entries of x are at kinks" in str(report) and "many" not in str(report)
    x[1:4, :2] = 0
    report = diagnose(relu, lambda gy, x: gy * (x > 0), [x])
    assert report and "8 of 25 entries" in str(report) and "many: try other" in str(report)
    report = diagnose(relu, lambda gy, x: gy, [x])
    assert report.cause == "wrong exactly where x < 0 (it should be 0 there)"
    assert np.isnan(report.inputs[0].expected).sum() == 8


def test_shared_memory_is_a_note(a, b):
    def add(a, b):
        return a + b

    report = diagnose(add, lambda gy, a, b: (gy, gy), [a, b])
    assert report and len(report.notes) == 2
    assert "the gradient of a shares memory with the upstream gradient" in str(report)
    shared = diagnose(add, lambda gy, a, b: (g := gy.copy(), g), [a, b])
    assert shared and "the gradient of b shares memory with the gradient of a" in shared.notes[0]
    assert diagnose(add, lambda gy, a, b: (gy.copy(), gy.copy()), [a, b]).notes == []


def test_names_of_the_inputs(a, b):
    report = diagnose(lambda left, right: left * right, lambda gy, x, y: (gy, gy), [a, b])
    assert [x.name for x in report.inputs] == ["left", "right"]
    report = diagnose(np.multiply, lambda gy, x, y: (gy, gy), [a, b])
    assert [x.name for x in report.inputs] == ["x0", "x1"]
    report = diagnose(mul, lambda gy, x, y: (gy, gy), [a, b], names=["p", "q"])
    assert "the factor q is missing" in report.cause


def test_the_seed_decides_everything(a, b):
    def backward(gy, a, b):
        return gy * b, gy * abs(a)

    one, two = diagnose(mul, backward, [a, b], seed=1), diagnose(mul, backward, [a, b], seed=1)
    assert str(one) == str(two) != str(diagnose(mul, backward, [a, b], seed=2))


def test_inputs_are_left_as_they_are(a, b):
    before = a.copy(), b.copy()
    diagnose(mul, lambda gy, a, b: (np.multiply(a, 2, out=a), b), [a, b])
    assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])


def test_large_inputs_are_searched(rng, monkeypatch):
    monkeypatch.setattr("minigrad.gradcheck.evidence._SECONDS", 0.2)
    x = rng.standard_normal((100, 120))

    def backward(gy, x, wrong=1.0):
        g = 2 * x * gy
        g[77, 45:48] *= wrong
        return g

    report = diagnose(square, backward, [x])
    assert report and "of 12000 entries of x were checked one by one" in str(report)
    report = diagnose(square, lambda gy, x: backward(gy, x, 2.0), [x])
    assert not report
    assert {e.index for e in report.inputs[0].entries} == {(77, k) for k in range(45, 48)}
    report = diagnose(square, lambda gy, x: x * gy, [x])
    assert report.cause == "2 times too small: the factor 2 is missing"
    monkeypatch.setattr("minigrad.gradcheck.diagnosis._SECONDS", -1.0)
    assert "could not be checked in time" in str(diagnose(square, backward, [x]))


def test_a_check_takes_well_under_a_second(rng):
    x, w = rng.standard_normal((8, 16)), rng.standard_normal((16, 10))
    start = time.perf_counter()
    diagnose(lambda x, w: np.tanh(x @ w), lambda gy, x, w: (gy @ w.T, x.T @ gy), [x, w])
    assert time.perf_counter() - start < 20  # on any machine, however busy; 0.15 s on a laptop


# ----------------------------------------------------------------------------- hints of an author


def test_named_sizes(rng):
    x = rng.standard_normal((5, 3))

    def mean(x):
        return x.mean(axis=0)

    def without(gy, x):
        return np.ones_like(x) * gy

    text = "N = 5 times too large: the factor 1/N is missing"
    assert cause(mean, without, [x], sizes={"N": 5, "D": 3}) == text
    assert "1/x.shape[0] is missing" in cause(mean, without, [x])
    assert cause(mean, lambda gy, x: without(gy, x) / 25, [x], sizes={"N": 5}).startswith("N = 5")
    summed = cause(lambda x, b: x + b, lambda gy, x, b: (gy, gy), [x, x[0]], sizes={"N": 5})
    assert summed == "the sum over axis 0 (N) is missing"


def test_axes_are_counted_as_in_the_output_and_named_if_sure(rng):
    x, b = rng.standard_normal((2, 3, 4, 5)), rng.standard_normal(3)

    def of(change, x=x, **sizes):
        def backward(gy, x, b):
            return gy, change(gy)

        return cause(lambda x, b: x + b[:, None, None], backward, [x, b], sizes=sizes)

    text = "the sum over axes 2 (H) and 3 (W) of the output is missing"
    assert of(lambda gy: gy.sum(0), H=4, W=5) == text
    square = rng.standard_normal((2, 3, 3, 3))
    text = "the sum over axes 2 and 3 of the output is missing"
    assert of(lambda gy: gy.sum(0), square, C=3) == text  # 3 is the width, too
    text = "summed over axes 1, 2 and 3 (W) instead of axes 0, 2 and 3 (W)"
    assert of(lambda gy: gy.sum((1, 2, 3)), rng.standard_normal((3, 3, 4, 5)), W=5) == text
    text = of(lambda gy: gy.mean((0, 2, 3)), rng.standard_normal((2, 3, 4, 6)), C=3, L=16)
    assert text.startswith("y.shape[0]*y.shape[2]*y.shape[3] = C*L = 48 times too small")


def test_a_scale_is_a_number_before_it_is_an_expression(rng):
    """y/x is 1/0.7 or 0 in a dropout; that the factor is 0.7 everywhere says more."""
    x, mask = rng.standard_normal((4, 5)), rng.random((4, 5)) > 0.3
    found = cause(lambda x, m: x * m / 0.7, lambda gy, x, m: gy * m, [x, mask])
    assert found == "every entry is 0.7 times the right one"


def test_formulas_and_norms_come_before_ratios_of_output_and_input(rng):
    x = rng.uniform(0.5, 2, (4, 3))
    text = "the wrong local derivative: yours is gy * x"
    assert cause(np.exp, lambda gy, x: gy * x, [x], names=["x"]) == text

    def unit(x):
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    def backward(gy, x):
        return gy - unit(x) * (gy * unit(x)).sum(axis=1, keepdims=True)

    text = "the factor norm(x) along axis 1 is too many, or a division by it is missing"
    assert cause(unit, backward, [x]) == text


def test_an_element_wise_product_is_blamed_only_for_a_matrix_product(rng):
    z, a, b = rng.uniform(0.1, 0.9, (3, 4, 5))

    def backward(gy, z, a, b):
        return gy * a, gy * z, gy * (1 - z)

    found = cause(lambda z, a, b: z * a + (1 - z) * b, backward, [z, a, b])
    assert found == "computed as if b were 0 everywhere (it is ignored)"
    w, v = rng.standard_normal((2, 4, 4))
    found = cause(lambda w, v: w @ v, lambda gy, w, v: (gy * v, w.T @ gy), [w, v])
    assert found == "an element-wise product (gy * v) where a matrix product belongs"


def test_probabilities_stay_probabilities_at_the_other_inputs(rng):
    """The formula softmax - q holds only where the rows of q sum to 1."""
    x, q = rng.standard_normal((4, 5)), np.exp(rng.standard_normal((4, 5)))
    q /= q.sum(axis=1, keepdims=True)

    def parts(x):
        log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
        return log_p, np.exp(log_p)

    def divergence(x, q):
        return (q * (np.log(q) - parts(x)[0])).sum()

    def backward(gy, x, q):
        return gy * (parts(x)[1] - q) / 3, gy * (np.log(q) - parts(x)[0] + 1)

    text = "T = 3 times too small: the factor T or 3 is missing"
    assert cause(divergence, backward, [x, q], sizes={"T": 3}).startswith(text)


def test_the_text_says_a_cause_once(a, b):
    report = diagnose(mul, lambda gy, a, b: (gy * a, gy * b), [a, b])
    assert str(report).count("are swapped") == 1
    assert "b (3, 4): 12 of 12 entries wrong, as for a" in str(report)
    report = diagnose(mul, lambda gy, a, b: None, [a, b])
    assert str(report).startswith("backward: backward returned None: is the return missing?")
    assert "?." not in str(report)


def test_known_wrong_formulas_come_before_the_test_of_linearity(a):
    def wrong(gy, inputs):
        return [{"relu applied to gy": np.maximum(gy, 0)}]

    relu = lambda x: np.maximum(x, 0)  # noqa: E731
    backward = lambda gy, x: np.maximum(gy, 0)  # noqa: E731
    assert cause(relu, backward, [a], wrong=wrong) == "relu applied to gy"
    assert cause(relu, backward, [a]) == "it is not linear in the upstream gradient"


def test_known_wrong_formulas_come_before_factors(a, b):
    def wrong(gy, inputs):
        return [{"forgot that a square has two factors": gy * inputs[0]}]

    def backward(gy, x):
        return gy * x

    assert cause(square, backward, [a], wrong=wrong) == "forgot that a square has two factors"
    assert cause(square, lambda gy, x: x, [a], wrong=wrong) == "the upstream gradient is ignored"
    assert "2 times" in cause(square, backward, [a], wrong=lambda gy, inputs: [{"other": gy}])
    assert "2 times" in cause(square, backward, [a], wrong=lambda gy, inputs: [])


def test_terms(a):
    def f(x):
        return x * np.sin(x) + x**3

    def terms(gy, inputs):
        (x,) = inputs
        return [{"sin": gy * np.sin(x), "x cos": gy * x * np.cos(x), "cube": gy * 3 * x**2}]

    def mixture(c):
        return lambda gy, x: sum([k * t for k, t in zip(c, terms(gy, [x])[0].values())])

    assert diagnose(f, mixture((1, 1, 1)), [a], terms=terms)
    for c, expected in (
        ((1, 0, 1), "term 'x cos' is missing"),
        ((-1, 1, 1), "term 'sin' has the wrong sign"),
        ((1, 1, 7), "term 'cube' is N = 7 times too large: the factor 1/N is missing"),
        ((0, 1, -1), "term 'sin' is missing; term 'cube' has the wrong sign"),
        ((1, 1, 1.23), "'cube' is multiplied by 1.23"),
        ((2, 2, 2), "2 times too large: the factor 1/2 is missing"),
    ):
        assert cause(f, mixture(c), [a], terms=terms, sizes={"N": 7}) == expected
    report = diagnose(f, lambda gy, x: gy, [a], terms=lambda gy, inputs: [{"a": gy, "b": gy}])
    assert "the terms given for x do not add up to its gradient" in str(report)


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (dict(forward=1), TypeError, "diagnose forward: not a function"),
        (dict(backward=None), TypeError, "diagnose backward: not a function"),
        (dict(terms=[]), TypeError, r"(?s)diagnose terms.*\(gy, inputs\)"),
        (dict(wrong={}), TypeError, "diagnose wrong"),
        (dict(wrong=lambda gy, inputs: gy), TypeError, "a list with one dict for each input"),
        (dict(inputs=[]), ValueError, "no input needs a gradient"),
        (dict(inputs=[np.arange(3)]), ValueError, "(?s)an array of int64.*astype"),
        (dict(inputs=np.float64), TypeError, "diagnose inputs: not a list"),
        (dict(inputs=[np.ones(2) * 1j]), TypeError, "complex"),
        (dict(names=["a", "b"]), ValueError, "(?s)not one name.*Expect: 1.*Actual: 2"),
        (dict(sizes={"N": "5"}), TypeError, "diagnose sizes.*"),
        (dict(sizes={"N": float("nan")}), TypeError, "finite"),
    ],
)
def test_arguments_that_cannot_be_used(a, options, error, text):
    given = dict(forward=square, backward=lambda gy, x: gy * x, inputs=[a]) | options
    with pytest.raises(error, match=text):
        diagnose(given.pop("forward"), given.pop("backward"), given.pop("inputs"), **given)


def test_one_array_needs_no_list(a):
    assert isinstance(diagnose(square, lambda gy, x: 2 * x * gy, a), Diagnosis)


# --------------------------------------------------- causes that the planted mistakes do not have


def test_a_gradient_where_there_should_be_none(a, b):
    report = diagnose(lambda a, b: a * 2, lambda gy, a, b: (gy * 2, gy), [a, b])
    assert report.causes[1].startswith("it should be 0 everywhere")


def test_gradients_mixed_into_each_other(a, b):
    text = "the gradient of b is added, too"
    assert cause(mul, lambda gy, a, b: (gy * b + gy * a, gy * a), [a, b]) == text
    text = "it is the gradient of a, with the wrong sign"
    assert diagnose(mul, lambda gy, a, b: (gy * b, -gy * b), [a, b]).causes == [None, text]
    w = np.ones((4, 2))
    report = diagnose(lambda x, w: x @ w, lambda gy, x, w: (gy @ w.T, gy @ w.T), [a, w])
    assert report.causes == [None, "it is the gradient of x: the two are mixed up"]


def test_known_wrong_formulas_of_another_shape(a):
    def wrong(gy, inputs):
        return [{}, {"forgot to sum the squares": gy * inputs[0] ** 2}]

    x, s = a, np.array(0.5)
    backward = lambda gy, x, s: (gy * s, gy * x**2)  # noqa: E731
    assert cause(lambda x, s: x * s, backward, [x, s], wrong=wrong) == "forgot to sum the squares"


# ------------------------------------------------------------------- no name without a good reason


def test_round_numbers_do_not_mislead():
    """At x = 2 a missing factor x looks like a missing 2; at other inputs it does not."""
    assert "factor x" in cause(square, lambda gy, x: 2 * gy, [np.array(2.0)])
    assert "factor x" in cause(square, lambda gy, x: 2 * gy, [np.full((2, 3), 3.0)])


def test_a_factor_that_depends_on_the_inputs_is_no_number(rng):
    x = rng.standard_normal(5)
    strange = lambda gy, x: 2 * x * gy * np.cosh(np.sum(np.sin(x)))  # noqa: E731
    assert cause(square, strange, [x]) is None
    assert cause(square, lambda gy, x: 2 * x * gy * 1.23, [x]) == (
        "every entry is 1.23 times the right one"
    )


def test_a_place_must_hold_at_other_inputs_too():
    x = np.array([[1.0, -2.0, 3.0], [4.0, 5.0, -6.0]])
    mask = x < 0  # but the same places whatever x is: an accident of these inputs

    assert cause(square, lambda gy, x: gy * 2 * x * np.where(mask, 1.7, 1), [x]) is None


def test_almost_a_formula_is_not_the_formula(rng):
    x = rng.standard_normal((3, 4))
    almost = rng.standard_normal((3, 4)) * 1e-4
    assert cause(square, lambda gy, x: gy * x * (1 + almost), [x]) is None


def test_small_errors_are_found(rng):
    x = rng.standard_normal((3, 4))
    for error in (1e-3, 1e-5):
        assert cause(square, lambda gy, x, e=error: gy * 2 * x * (1 + e), [x]).startswith("every")
    assert cause(square, lambda gy, x: gy * 2 * x * (1 + 1e-7), [x]) is None  # fits anything

    def one_of_many(gy, x):
        g = 2 * gy * x
        g[1, 2] *= 1 + 1e-6
        return g

    assert not diagnose(square, one_of_many, [x])


def test_only_float32(rng):
    x = rng.standard_normal((3, 4))
    for backward in (
        lambda gy, x: (2 * gy * x).astype(np.float32),
        lambda gy, x: (2 * gy * x).astype(np.float32).astype(float),
        lambda gy, x: 2 * gy * x.astype(np.float32),
        lambda gy, x: 2 * gy.astype(np.float32) * x,
        lambda gy, x: (2 * gy.astype(np.float32)) * x.astype(np.float32),
    ):
        assert cause(square, backward, [x]) == "only float32 precision"
    half = cause(square, lambda gy, x: (2 * gy * x).astype(np.float16), [x])
    assert half == "only float16 precision"
    assert cause(square, lambda gy, x: (20 * gy * x).astype(np.float32), [x]).startswith("10 ")


def test_nearly_right_is_not_called_float32(rng):
    x = rng.standard_normal((6, 4))

    def normalized(x, eps=1e-5):
        return (x - x.mean(0)) / np.sqrt(x.var(0) + eps)

    def without_eps(gy, x):
        h = normalized(x)
        return (gy - gy.mean(0) - h * (gy * h).mean(0)) / x.std(0)

    assert "float32" not in (cause(normalized, without_eps, [x]) or "")


# ------------------------------------------------------------------------------------- the pieces


@pytest.mark.parametrize(
    ("value", "sizes", "names"),
    [
        (5.0, {"N": 5}, ["N"]),
        (0.2, {"N": 5}, ["1/N"]),
        (3.0, {"N": 3, "D": 3}, ["N", "D", "3"]),
        (2.0, {"x.shape[0]": 2}, ["2"]),
        (7.0, {"x.shape[0]": 7}, ["x.shape[0]"]),
        (np.sqrt(8), {"d": 8}, ["sqrt(d)"]),
        (15.0, {"N": 5, "D": 3}, ["N*D"]),
        (5 / 3, {"N": 5, "D": 3}, ["N/D"]),
        (1.25, {"p": 0.2}, ["1/(1 - p)"]),
        (1.5, {}, ["3/2"]),
        (1.25, {"x.shape[0]": 5, "x.shape[1]": 4}, ["5/4"]),  # a keep rate, more likely than these
        (7 / 3, {"p": 0.3}, ["(1 - p)/p"]),
        (7 / 3, {}, []),
        (1.25, {"N": 4, "D": 5}, ["D/(D - 1)", "D/N"]),  # either
        (9.0, {"T": 3}, ["9", "T**2"]),
        (40.0, {"N": 2, "C": 3, "H": 4, "W": 5}, ["N*H*W"]),
        (6.0, {"N": 2, "C": 3, "H": 2, "W": 3}, ["6"]),  # N*C, N*W, C*H or H*W?
        (0.05, {"x.shape[2]*x.shape[3]": 20}, ["1/(x.shape[2]*x.shape[3])"]),
        (np.pi, {}, ["pi"]),
        (1.2345, {"N": 5}, []),
        (5.0001, {"N": 5}, []),
    ],
)
def test_names_of_factors(value, sizes, names):
    assert factor_names(value, sizes) == names


def test_phrases_of_factors():
    assert scaled(-1.0, {}) == "the sign is wrong"
    assert scaled(-2.0, {}) == (
        "the sign is wrong, and 2 times too large: the factor 1/2 is missing"
    )
    assert scaled(0.25, {"N": 4}).startswith("N = 4 times too small: the factor N or 4 is missing")
    assert scaled(0.777, {}) is None


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_jacobian_against_the_formula(rng, scale):
    x = scale * rng.uniform(0.5, 2, (2, 3))
    found = jacobian(lambda x: np.concatenate([np.log(x).ravel(), [(x**2).sum()]]), x)
    right = np.concatenate([np.diag(1 / x.ravel()), 2 * x.reshape(1, -1)])
    assert not found.kinks.any()
    error = abs(found.values - right)
    assert (error <= 1e-9 * abs(right) + 3 * found.doubts + 1e-12 / scale).all()
    some = jacobian(lambda x: np.log(x).ravel(), x, [1, 4])
    assert some.entries.tolist() == [1, 4] and some.values.shape == (6, 2)


def test_doubts_cover_the_noise_of_a_function(rng):
    """Rounding inside a function, of which its result shows nothing."""
    x = rng.standard_normal(6)
    for large in (1e4, 1e8):
        found = jacobian(lambda x, c=large: (np.sin(x) + c) - c, x)
        error = abs(found.values - np.diag(np.cos(x)))[:, ~found.kinks]
        assert (error <= 10 * found.doubts[:, ~found.kinks] + 1e-12).all()
