"""Element by element: arithmetic, exponentials, and the functions with kinks.

This is the place to see what a derivative looks like here. Every op has two halves: ``forward``
computes on arrays, ``backward`` says the derivative in mathematics, on tensors. The notation is
the field's: gy is the gradient of the loss with respect to y, the op's output, and ga, gb, gx
those with respect to its inputs. "f'(x) gy" is all that backprop ever computes.

No op here speaks of broadcasting or of dtypes: ``functions/elementwise.py`` brings both inputs to
one shape and one dtype first, by ops of their own (`BroadcastTo`, `Cast`), whose derivatives do
the rest.

Before this: ``autograd.py``. Next: ``shape.py``.
"""

from __future__ import annotations

from .. import autograd, backend
from ..autograd import Function

# ------------------------------------------------------------------------------- arithmetic


class Add(Function):
    """y = a + b;  ga = gy,  gb = gy."""

    reads_inputs = False

    def forward(self, a, b):
        return a + b

    def backward(self, gy):
        return gy, gy


class Sub(Function):
    """y = a - b;  ga = gy,  gb = -gy."""

    reads_inputs = False

    def forward(self, a, b):
        return a - b

    def backward(self, gy):
        return gy, -gy


class Mul(Function):
    """y = a b;  ga = gy b,  gb = gy a."""

    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        a, b = self.inputs
        return gy * b, gy * a

    def fast_backward(self, gy):  # the same on arrays: hardly an op is used more often
        (a, b), (need_a, need_b) = self.inputs, self.needs_input_grad
        return gy * b.array if need_a else None, gy * a.array if need_b else None


class Div(Function):
    """y = a / b;  ga = gy / b,  gb = -gy a / b^2."""

    def forward(self, a, b):
        return a / b

    def backward(self, gy):
        a, b = self.inputs
        ga = gy / b
        return ga, (-ga * a / b if self.needs_input_grad[1] else None)


class Shift(Function):
    """y = x + c for a number c;  gx = gy."""

    reads_inputs = False

    def forward(self, x, *, c):
        return x + c

    def backward(self, gy):
        return gy


class Scale(Function):
    """y = c x for a constant c, a number or an array that broadcasts to x;  gx = c gy."""

    reads_inputs = False

    def forward(self, x, *, c):
        self.c = c
        return x * c

    def backward(self, gy):
        return Scale.apply(gy, c=self.c)


class Neg(Function):
    """y = -x;  gx = -gy."""

    reads_inputs = False

    def forward(self, x):
        return -x

    def backward(self, gy):
        return -gy


class Pow(Function):
    """y = a^b;  ga = gy b a^(b-1),  gb = gy y log a.

    At the corners as PyTorch: a = b = 0 gives ga = 0, and a = 0 with b >= 0 gives gb = 0.
    """

    saves_output = True

    def forward(self, a, b):
        return a**b

    def backward(self, gy):
        a, b = self.inputs
        ga = gb = None
        if self.needs_input_grad[0]:
            if isinstance(b, autograd.Tensor):
                ga = gy * b * a ** (b - 1).masked_fill((a == 0) & (b == 0), 0.0)
            else:
                ga = gy * (b * a ** (b - 1)) if b else gy.new_zeros(gy.shape)
        if self.needs_input_grad[1]:
            if not isinstance(a, autograd.Tensor):
                a = autograd.Tensor(self.xp.asarray(a, dtype=gy.dtype))
            flat = (a == 0) & (b >= 0)
            gb = gy * self.output * a.masked_fill(flat, 1.0).log()
        return ga, gb


class Cast(Function):
    """The same values in another dtype; the gradient comes back in the input's."""

    reads_inputs = False

    def forward(self, x, *, dtype):
        self.dtype = x.dtype
        return x.astype(dtype)

    def backward(self, gy):
        return gy.to(self.dtype)


class ToDevice(Function):
    """The same values on another device; the gradient comes back to the input's."""

    reads_inputs = False

    def forward(self, x, *, device):
        self.device = backend.device_of(x)
        return backend.asarray_on(x, device)

    def backward(self, gy):
        return gy.to(self.device)


class Clone(Function):
    """The same values in memory of their own; gx = gy."""

    reads_inputs = False

    def forward(self, x):
        return x.copy()

    def backward(self, gy):
        return gy


# ----------------------------------------------------------------------- smooth functions


class Exp(Function):
    """y = e^x;  gx = gy y."""

    reads_inputs, saves_output = False, True

    def forward(self, x):
        return self.xp.exp(x)

    def backward(self, gy):
        return gy * self.output


class Log(Function):
    """y = ln x;  gx = gy / x."""

    def forward(self, x):
        return self.xp.log(x)

    def backward(self, gy):
        (x,) = self.inputs
        return gy / x


class Log1p(Function):
    """y = ln(1 + x), precise for small x;  gx = gy / (1 + x)."""

    def forward(self, x):
        return self.xp.log1p(x)

    def backward(self, gy):
        (x,) = self.inputs
        return gy / (1 + x)


class Sqrt(Function):
    """y = sqrt(x);  gx = gy / (2 y), which is infinite at 0, as in PyTorch."""

    reads_inputs, saves_output = False, True

    def forward(self, x):
        return self.xp.sqrt(x)

    def backward(self, gy):
        return gy / (2 * self.output)


class Sin(Function):
    """y = sin x;  gx = gy cos x."""

    def forward(self, x):
        return self.xp.sin(x)

    def backward(self, gy):
        (x,) = self.inputs
        return gy * x.cos()


class Cos(Function):
    """y = cos x;  gx = -gy sin x."""

    def forward(self, x):
        return self.xp.cos(x)

    def backward(self, gy):
        (x,) = self.inputs
        return -gy * x.sin()


class Tanh(Function):
    """y = tanh x;  gx = gy (1 - y^2)."""

    reads_inputs, saves_output = False, True

    def forward(self, x):
        return self.xp.tanh(x)

    def backward(self, gy):
        y = self.output
        return gy * (1 - y * y)


class Sigmoid(Function):
    """y = 1 / (1 + e^-x);  gx = gy y (1 - y).

    Computed from e^-|x|, which is at most 1 and so never overflows.
    """

    reads_inputs, saves_output = False, True

    def forward(self, x):
        e = self.xp.exp(-self.xp.abs(x))
        return self.xp.where(x >= 0, 1, e) / (1 + e)

    def backward(self, gy):
        y = self.output
        return gy * y * (1 - y)


# ------------------------------------------------------------------- functions with kinks


class Relu(Function):
    """y = max(x, 0);  gx = gy where y > 0, else 0 (so 0 at the kink, as in PyTorch)."""

    reads_inputs, saves_output = False, True

    def forward(self, x):
        return self.kernels.relu(x)

    def backward(self, gy):
        return gy.masked_fill(self.output == 0, 0.0)

    def fast_backward(self, gy):
        return self.kernels.relu_backward(gy, self.output_array)


class Abs(Function):
    """y = |x|;  gx = gy sign(x), which is 0 at the kink."""

    def forward(self, x):
        return self.xp.abs(x)

    def backward(self, gy):
        (x,) = self.inputs
        return gy * x.sign()


class Clamp(Function):
    """y = x kept between two numbers (or None);  gx = gy from one end to the other, else 0."""

    def forward(self, x, *, low, high):
        self.low, self.high = low, high
        return self.xp.clip(x, low, high)

    def backward(self, gy):
        (x,) = self.inputs
        outside = x.isnan()
        if self.low is not None:
            outside = outside | (x < self.low)
        if self.high is not None:
            outside = outside | (x > self.high)
        return gy.masked_fill(outside, 0.0)


class Maximum(Function):
    """y = max(a, b);  gy goes to the larger; a tie shares it, half and half."""

    def forward(self, a, b):
        return self.xp.maximum(a, b)

    def backward(self, gy):
        a, b = self.inputs
        gy = (gy / 2).where(a == b, gy)
        return gy.masked_fill(a < b, 0.0), gy.masked_fill(b < a, 0.0)


class Minimum(Function):
    """y = min(a, b);  gy goes to the smaller; a tie shares it, half and half."""

    def forward(self, a, b):
        return self.xp.minimum(a, b)

    def backward(self, gy):
        a, b = self.inputs
        gy = (gy / 2).where(a == b, gy)
        return gy.masked_fill(a > b, 0.0), gy.masked_fill(b > a, 0.0)


class Where(Function):
    """y = a where the condition holds, else b;  each gets gy where it was taken, else 0."""

    reads_inputs = False

    def forward(self, condition, a, b):
        if True in self.needs_input_grad:
            self.condition = condition.copy()  # the user may change the mask later
        return self.xp.where(condition, a, b)

    def backward(self, gy):
        taken = autograd.Tensor(self.condition)
        return None, gy.masked_fill(~taken, 0.0), gy.masked_fill(taken, 0.0)


class Remainder(Function):
    """y = a - b floor(a / b), with the sign of b;  ga = gy,  gb = -gy floor(a / b)."""

    def forward(self, a, b):
        return a % b

    def backward(self, gy):
        a, b = self.inputs
        return gy, (-gy * (a // b) if self.needs_input_grad[1] else None)


class Step(Function):
    """A piecewise constant function (sign, floor, ceil, round, trunc);  gx = 0."""

    reads_inputs = False

    def forward(self, x, *, name):
        if name == "sign":
            return (x > 0).astype(x.dtype) - (x < 0).astype(x.dtype)  # 0 for NaN
        return getattr(self.xp, name)(x)

    def backward(self, gy):
        return gy.new_zeros(gy.shape)  # gy * 0 would be NaN where gy is infinite


class RoundedDiv(Function):
    """y = a / b rounded, down (mode "floor") or towards 0 ("trunc");  ga = gb = 0."""

    reads_inputs = False

    def forward(self, a, b, *, mode):
        y = a // b  # not floor(a / b), which rounds twice: 1 // 0.1 is 9, floor(1 / 0.1) is 10
        return y if mode == "floor" else y + ((y < 0) & (y * b != a))

    def backward(self, gy):
        return gy.new_zeros(gy.shape), gy.new_zeros(gy.shape)
