"""The derivatives of all ops in mathematics: what the step-through page shows beside the code.

`FORMULAS` is a table from the name of an op to its forward formula, one rule for each input (the
local derivative, and what it makes of the upstream gradient) and a sentence that says why. The
notation is explained, and set as HTML, in ``_notation.py``.

Before this: ``ops/elementwise.py``, where the same derivatives are code. Next: ``_notation.py``.
"""

from __future__ import annotations

import html
import inspect
from dataclasses import dataclass

from ._notation import to_html


@dataclass(frozen=True)
class Formula:
    """One op in mathematics.

    Attributes
    ----------
    forward : str
        y as a function of the inputs.
    rules : tuple of (str, str, str)
        For each input: its name, the local derivative, the gradient that it gets.
    why : str
        The derivative in words.
    elementwise : bool
        Whether each entry of y depends on one entry of each input only. Then the local derivative
        is one number an entry, and the page can show it.
    """

    forward: str
    rules: tuple[tuple[str, str, str], ...]
    why: str
    elementwise: bool = False


def _each(forward: str, *rules: tuple[str, str, str], why: str) -> Formula:
    """Return the formula of an element-wise op."""
    return Formula(forward, rules, why, elementwise=True)


def _of_x(forward: str, local: str, contribution: str, why: str) -> Formula:
    """Return the formula of an element-wise op of one input."""
    return _each(forward, ("x", f"{{∂y}}/{{∂x}} = {local}", f"gx = {contribution}"), why=why)


def _of_a_b(forward: str, a: tuple[str, str], b: tuple[str, str], why: str) -> Formula:
    """Return the formula of an element-wise op of two inputs."""
    return _each(
        forward,
        ("a", f"{{∂y}}/{{∂a}} = {a[0]}", f"ga = {a[1]}"),
        ("b", f"{{∂y}}/{{∂b}} = {b[0]}", f"gb = {b[1]}"),
        why=why,
    )


def _linear(forward: str, local: str, contribution: str, why: str, x: str = "x") -> Formula:
    """Return the formula of an op of one input that moves or sums numbers."""
    return Formula(forward, ((x, local, f"g{x} = {contribution}"),), why)


_ARITHMETIC = {
    "Add": _of_a_b(
        "y = a + b", ("1", "gy"), ("1", "gy"),
        "A sum hands the upstream gradient to both inputs, unchanged.",
    ),
    "Sub": _of_a_b(
        "y = a − b", ("1", "gy"), ("−1", "−gy"),
        "When b grows, y shrinks by as much: the gradient goes to b with its sign turned.",
    ),
    "Mul": _of_a_b(
        "y = a · b", ("b", "gy · b"), ("a", "gy · a"),
        "Each input gets the upstream gradient times the other input: the larger the other, the "
        "more a change here moves y.",
    ),
    "Div": _of_a_b(
        "y = {a}/{b}", ("{1}/{b}", "{gy}/{b}"), ("−{a}/{b^2}", "−gy · {a}/{b^2}"),
        "The numerator is scaled by 1/b; a larger denominator makes y smaller, hence the minus.",
    ),
    "Shift": _of_x(
        "y = x + c", "1", "gy", "Adding a constant moves y, but not how y follows x."
    ),
    "Scale": _of_x("y = c · x", "c", "c · gy", "A constant factor scales the gradient too."),
    "Neg": _of_x("y = −x", "−1", "−gy", "The sign turns, forward and backward."),
    "Pow": _of_a_b(
        "y = a^b", ("b · a^{b−1}", "gy · b · a^{b−1}"), ("y · ln(a)", "gy · y · ln(a)"),
        "The power rule for the base; for the exponent, a^b = e^{b ln a} differentiated in b.",
    ),
    "Cast": _of_x(
        "y = x in another dtype", "1", "gy, in the dtype of x",
        "The values stay; the gradient is put back into the input's dtype.",
    ),
    "ToDevice": _of_x(
        "y = x on another device", "1", "gy, on the device of x",
        "The values stay; the gradient travels back.",
    ),
    "Clone": _of_x("y = x", "1", "gy", "A copy changes nothing, so neither does its backward."),
}  # fmt: skip

_SMOOTH = {
    "Exp": _of_x(
        "y = exp(x)", "exp(x) = y", "gy · y",
        "The exponential is its own derivative, so backward reuses the output.",
    ),
    "Log": _of_x(
        "y = ln(x)", "{1}/{x}", "{gy}/{x}",
        "The closer x is to 0, the steeper the logarithm.",
    ),
    "Log1p": _of_x(
        "y = ln(1 + x)", "{1}/{1 + x}", "{gy}/{1 + x}",
        "The logarithm's derivative, taken at 1 + x.",
    ),
    "Sqrt": _of_x(
        "y = √(x)", "{1}/{2 · √(x)} = {1}/{2 · y}", "{gy}/{2 · y}",
        "The root is steep near 0, where its derivative is infinite.",
    ),
    "Sin": _of_x(
        "y = sin(x)", "cos(x)", "gy · cos(x)", "The slope of the sine is the cosine."
    ),
    "Cos": _of_x(
        "y = cos(x)", "−sin(x)", "−gy · sin(x)", "The slope of the cosine is minus the sine."
    ),
    "Tanh": _of_x(
        "y = tanh(x)", "1 − y^2", "gy · (1 − y^2)",
        "The slope is 1 at x = 0 and dies out as y nears −1 or 1: saturated units learn slowly.",
    ),
    "Sigmoid": _of_x(
        "y = σ(x) = {1}/{1 + exp(−x)}", "y · (1 − y)", "gy · y · (1 − y)",
        "The slope is at most 1/4, at x = 0, and dies out as y nears 0 or 1.",
    ),
    "Softplus": _of_x(
        "y = ln(1 + exp(x))", "σ(x) = {1}/{1 + exp(−x)}", "gy · σ(x)",
        "A smooth relu; its slope is the sigmoid.",
    ),
}  # fmt: skip

_KINKS = {
    "Relu": _of_x(
        "y = max(x, 0)", "[x > 0]", "gy · [x > 0]",
        "A gate: where x was positive the gradient passes, elsewhere it stops (also at exactly 0).",
    ),
    "Abs": _of_x(
        "y = |x|", "sign(x)", "gy · sign(x)", "Slope 1 to the right, −1 to the left, 0 at the kink."
    ),
    "Clamp": _of_x(
        "y = x kept between low and high", "[low ≤ x ≤ high]", "gy · [low ≤ x ≤ high]",
        "Inside, x passes; outside, y stands still whatever x does.",
    ),
    "Maximum": _of_a_b(
        "y = max(a, b)",
        ("[a > b] + ½ · [a = b]", "gy · ([a > b] + ½ · [a = b])"),
        ("[b > a] + ½ · [a = b]", "gy · ([b > a] + ½ · [a = b])"),
        "The larger one made y and gets the gradient; a tie shares it, half and half.",
    ),
    "Minimum": _of_a_b(
        "y = min(a, b)",
        ("[a < b] + ½ · [a = b]", "gy · ([a < b] + ½ · [a = b])"),
        ("[b < a] + ½ · [a = b]", "gy · ([b < a] + ½ · [a = b])"),
        "The smaller one made y and gets the gradient; a tie shares it, half and half.",
    ),
    "Where": _each(
        "y = a where c holds, else b",
        ("condition", "none: c is true or false", "nothing"),
        ("a", "{∂y}/{∂a} = [c]", "ga = gy · [c]"),
        ("b", "{∂y}/{∂b} = [not c]", "gb = gy · [not c]"),
        why="Each entry of y came from one of the two, and its gradient goes back there.",
    ),
    "Remainder": _of_a_b(
        "y = a − b · ⌊a/b⌋", ("1", "gy"), ("−⌊a/b⌋", "−gy · ⌊a/b⌋"),
        "The rounded quotient stands still under small changes, so it counts as a constant.",
    ),
    "Step": _of_x(
        "y = sign, floor, ceil, round or trunc of x", "0", "0",
        "Flat steps: a small change of x changes nothing, so no gradient passes.",
    ),
    "RoundedDiv": _of_a_b(
        "y = a / b, rounded", ("0", "0"), ("0", "0"),
        "Flat steps: a small change changes nothing, so no gradient passes.",
    ),
    "FakeQuantize": _of_x(
        "y = the nearest of the levels to x", "[low ≤ x ≤ high], by decree",
        "gy · [low ≤ x ≤ high]",
        "The true derivative of a staircase is 0, which teaches nothing; the straight-through "
        "estimator pretends that the staircase is the ramp it follows.",
    ),
}  # fmt: skip

_SHAPE = {
    "BroadcastTo": _linear(
        "y = x copied to the larger shape", "every copy has derivative 1",
        "Σ_{copies} gy",
        "Copying forward is summing backward: each copy reports, and the reports add up.",
    ),
    "SumTo": _linear(
        "y = Σ x over some axes", "{∂y}/{∂x_i} = 1", "gy, copied to each x_i",
        "Summing forward is copying backward: every summand moves the sum by as much as itself.",
    ),
    "MeanTo": _linear(
        "y = {1}/{n} · Σ_i x_i", "{∂y}/{∂x_i} = {1}/{n}", "{gy}/{n}, copied to each x_i",
        "A mean is a sum over n: each of the n numbers has one n-th of the influence.",
    ),
    "Reshape": _linear(
        "y = x with other axes, same order", "1, from each entry to its new place",
        "gy with the old axes", "The numbers only get new places; the gradients take the way back.",
    ),
    "Transpose": _linear(
        "y = x with its axes in another order", "1, from each entry to its new place",
        "gy with the axes back in order",
        "The numbers only get new places; the gradients take the way back.",
    ),
    "Index": _linear(
        "y = x[key]", "{∂y_i}/{∂x_j} = [j = key_i]", "0, with gy added in at key",
        "What was taken out gets the gradient, the rest gets 0; taken twice, both add up.",
    ),
    "IndexAdd": _linear(
        "y = 0, with x added in at key", "{∂y_j}/{∂x_i} = [j = key_i]", "gy[key]",
        "Each x moves the entry that it was added to.",
    ),
    "Concat": Formula(
        "y = x_1, x_2, …, one after the other",
        (("each x_i", "1, from each entry to its place in y", "the piece of gy where x_i lies"),),
        "The upstream gradient is cut where the inputs were joined.",
    ),
    "Pad": _linear(
        "y = x, framed by constants", "1 inside, none for the border",
        "gy without the border", "The border is a constant and takes its gradient with it.",
    ),
    "Cumsum": _linear(
        "y_i = x_1 + … + x_i", "{∂y_j}/{∂x_i} = [i ≤ j]", "gy_i + gy_{i+1} + … + gy_n",
        "x_i is part of every sum from the i-th on, so it collects all their gradients.",
    ),
    "Amax": _linear(
        "y = the largest x along some axes", "{∂y}/{∂x_i} = [x_i = y]",
        "gy · [x_i = y] / number of ties",
        "Only the largest moves the maximum; several equal ones share the gradient evenly.",
    ),
    "Amin": _linear(
        "y = the smallest x along some axes", "{∂y}/{∂x_i} = [x_i = y]",
        "gy · [x_i = y] / number of ties",
        "Only the smallest moves the minimum; several equal ones share the gradient evenly.",
    ),
}  # fmt: skip

_PRODUCTS = {
    "MatMul": Formula(
        "Y = A B,   y_{ij} = Σ_k a_{ik} b_{kj}",
        (
            ("A", "{∂y_{ij}}/{∂a_{ik}} = b_{kj}", "gA = gY B^T"),
            ("B", "{∂y_{ij}}/{∂b_{kj}} = a_{ik}", "gB = A^T gY"),
        ),
        "Mul's rule (times the other one), summed over all y that an entry took part in. The "
        "shapes tell which factor is transposed.",
    ),
    "Linear": Formula(
        "Y = X W^T + b,   y_{no} = Σ_i x_{ni} w_{oi} + b_o",
        (
            ("X", "{∂y_{no}}/{∂x_{ni}} = w_{oi}", "gX = gY W"),
            ("W", "{∂y_{no}}/{∂w_{oi}} = x_{ni}", "gW = gY^T X"),
            ("b", "{∂y_{no}}/{∂b_o} = 1", "gb = Σ_n gY_n"),
        ),
        "Weights and bias serve every sample n, so their gradients are sums over the batch.",
    ),
    "Conv2d": Formula(
        "y_{noij} = Σ_{ckl} x_{n,c,i+k,j+l} w_{ockl} + b_o",
        (
            ("x", "{∂y_{noij}}/{∂x_{n,c,i+k,j+l}} = w_{ockl}",
             "gx = gy sprayed back over the windows, times w (the transposed convolution)"),
            ("w", "{∂y_{noij}}/{∂w_{ockl}} = x_{n,c,i+k,j+l}",
             "gw_{ockl} = Σ_{nij} gy_{noij} · x_{n,c,i+k,j+l}"),
            ("b", "{∂y_{noij}}/{∂b_o} = 1", "gb_o = Σ_{nij} gy_{noij}"),
        ),
        "Mul's rule again, summed over every sample n and every place (i, j) that shares a weight. "
        "(Written for stride 1 without padding.)",
    ),
    "Conv2dInput": Formula(
        "y = each g sprayed over its window, times w",
        (
            ("g", "{∂y}/{∂g} = w, over the window", "gg = conv(gy, w)"),
            ("w", "{∂y}/{∂w} = g", "gw = gy and g correlated over samples and places"),
        ),
        "One trilinear form ⟨g, conv(x, w)⟩: leave out x and this op remains; its backward is the "
        "other two.",
    ),
    "Conv2dWeight": Formula(
        "y = x and g correlated over samples and places",
        (
            ("x", "{∂y}/{∂x} = g", "gx = g sprayed over the windows, times gy"),
            ("g", "{∂y}/{∂g} = x", "gg = conv(x, gy)"),
        ),
        "One trilinear form ⟨g, conv(x, w)⟩: leave out w and this op remains; its backward is the "
        "other two.",
    ),
}  # fmt: skip

_POOLS = {
    "MaxPool2d": _linear(
        "y = the largest x of each window", "{∂y}/{∂x_i} = [x_i was the largest]",
        "0, with gy added in where the largest came from",
        "Only the winner of each window moved y, so it alone gets the gradient.",
    ),
    "PoolScatter": _linear(
        "y = 0, with x added in where the largest came from", "1, to the place of the largest",
        "gy taken from there", "The backward of max pooling, whose own backward takes out again.",
    ),
    "PoolGather": _linear(
        "y = the entries of x where the largest came from", "1, from the place of the largest",
        "0, with gy added in there", "Taking out forward is adding in backward.",
    ),
    "SumPool2d": _linear(
        "y = Σ x over each window", "{∂y}/{∂x} = 1 inside the window",
        "gy spread over the window", "Every entry moves the sum of each window that it lies in.",
    ),
    "SumPool2dAdjoint": _linear(
        "y = each x spread over its window", "{∂y}/{∂x} = 1 inside the window",
        "Σ gy over the window", "Spreading forward is summing backward.",
    ),
}  # fmt: skip

_NORMS_AND_LOSSES = {
    "BatchNorm": Formula(
        "y = w · z + b  with  z = {x − m(x)}/{√(v(x) + ε)},  m and v over samples and places",
        (
            ("x", "each x moves its own z, and the mean and the variance of all",
             "gx = r · (gz − m(gz) − z · m(gz · z)),  with gz = w · gy and r = {1}/{√(v(x) + ε)}"),
            ("w", "{∂y}/{∂w} = z", "gw = Σ gy · z"),
            ("b", "{∂y}/{∂b} = 1", "gb = Σ gy"),
        ),
        "The two means are taken out because every x moves the mean and the variance of all: what "
        "normalisation would undo gets no gradient.",
    ),
    "Softmax": _linear(
        "y_i = {exp(x_i)}/{Σ_j exp(x_j)}", "{∂y_j}/{∂x_i} = y_j · ([i = j] − y_i)",
        "y · (gy − Σ_j gy_j · y_j)",
        "The probabilities sum to 1: what one gains the others lose, so the mean of gy under y is "
        "taken out.",
    ),
    "LogSoftmax": _linear(
        "y_i = x_i − ln(Σ_j exp(x_j))", "{∂y_j}/{∂x_i} = [i = j] − softmax(x)_i",
        "gy − softmax(x) · Σ_j gy_j",
        "Raising x_i raises its own log-probability and lowers all by the probability of i.",
    ),
    "SoftmaxCrossEntropy": _linear(
        "y_n = −ln softmax(z_n) at the label t_n; or the mean of all N y_n",
        "{∂y_n}/{∂z_{ni}} = softmax(z_n)_i − [i = t_n];  1/N of it for the mean",
        "gy · (softmax(z) − onehot(t));  1/N of it for the mean",
        "What the network said minus what was right. A sample that is sure and right has almost "
        "nothing left to say.",
        x="z",
    ),
    "BinaryCrossEntropy": _each(
        "y = −t · ln(p) − (1 − t) · ln(1 − p)",
        ("p", "{∂y}/{∂p} = {p − t}/{p · (1 − p)}", "gp = gy · {p − t}/{p · (1 − p)}"),
        ("t", "{∂y}/{∂t} = ln(1 − p) − ln(p)", "gt = gy · (ln(1 − p) − ln(p))"),
        why="The surer and the more wrong p is, the larger the gradient; the sigmoid's "
        "p · (1 − p) cancels the denominator.",
    ),
}  # fmt: skip

FORMULAS: dict[str, Formula] = {
    **_ARITHMETIC,
    **_SMOOTH,
    **_KINKS,
    **_SHAPE,
    **_PRODUCTS,
    **_POOLS,
    **_NORMS_AND_LOSSES,
}


def formula_of(op: type) -> Formula | None:
    """Return the formula of an op of this library, or None for anyone else's.

    An op that inherits both halves of its parent's mathematics has none of its own: every op of
    the library stands in the table, which a test enumerates.
    """
    return FORMULAS.get(op.__name__) if op.__module__.startswith("minigrad.") else None


def describe(op: type) -> dict:
    """Return what the page says about an op: its formula as HTML, or else its docstring."""
    formula = formula_of(op)
    if formula is None:
        text = inspect.getdoc(op) if op.__doc__ else ""
        return {"doc": html.escape(text or "This op has no docstring and no formula here.")}
    return {
        "forward": to_html(formula.forward),
        "rules": [[to_html(part) for part in rule] for rule in formula.rules],
        "why": to_html(formula.why, prose=True),
    }
