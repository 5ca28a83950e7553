"""Exercise 36: the gradient of a gradient.

For y = x^3 the first derivative is 3 x^2, the second 6 x. `grad(y, x)` below gives
the first. Can it be asked again, grad(grad(y, x), x), for the second?

Look at one rule, y = a * b:

    ga = gy * b

That is a formula too: ga depends on gy, and it depends on b. If it is computed
with Numbers, it leaves a graph behind as any formula does, and `grad` can walk
that one as well. If it is computed with plain floats, ga is a number without a
past. Then what would its derivative with respect to b come out as?

Write three rules, each a formula on Numbers, and with a result that is a Number:

    y = a * b             mul_rule returns two Numbers, for a and for b
    y = sin(x)            the derivative of sin is cos
    y = cos(x)            and that of cos?      (a constant: Number(-1.0))

+, *, sin and cos work on Numbers. Each of them uses the others' rules in its turn,
and that goes on as far as you care to differentiate.

Check it:  python -m minigrad learn check second_backward
"""

import math


class Number:
    """A float, the Numbers it was made from, and the rule for the way back."""

    def __init__(self, value, inputs=(), rule=None):
        self.value, self.inputs, self.rule = value, inputs, rule

    def __add__(self, other):
        return Number(self.value + other.value, (self, other), lambda gy: (gy, gy))

    def __mul__(self, other):
        product = self.value * other.value
        return Number(product, (self, other), lambda gy: mul_rule(gy, self, other))


def sin(x):
    """Return the sine of a Number."""
    return Number(math.sin(x.value), (x,), lambda gy: (sin_rule(gy, x),))


def cos(x):
    """Return the cosine of a Number."""
    return Number(math.cos(x.value), (x,), lambda gy: (cos_rule(gy, x),))


def mul_rule(gy, a, b):
    """Return the pair (ga, gb) for y = a * b; all five are Numbers."""
    raise NotImplementedError  # your derivation here


def sin_rule(gy, x):
    """Return gx for y = sin(x); all are Numbers."""
    raise NotImplementedError  # your derivation here


def cos_rule(gy, x):
    """Return gx for y = cos(x); all are Numbers."""
    raise NotImplementedError  # your derivation here


def grad(y, x):
    """Return dy/dx as a Number, itself computed with Numbers; 0 if y does not depend on x."""
    order, seen = [], set()

    def visit(number):
        if number not in seen:
            seen.add(number)
            for source in number.inputs:
                visit(source)
            order.append(number)

    visit(y)
    gradients = {number: Number(0.0) for number in order}
    gradients[y] = Number(1.0)
    for number in reversed(order):
        shares = number.rule(gradients[number]) if number.rule else ()
        for source, share in zip(number.inputs, shares):
            gradients[source] = gradients[source] + share
    return gradients.get(x, Number(0.0))
