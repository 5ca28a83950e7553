"""Write an operation of your own, use it, and check its derivative.

Softplus, y = ln(1 + e^x), is a smooth relation of relu. Its derivative is the sigmoid,

    dy/dx = e^x / (1 + e^x) = 1 / (1 + e^-x),

so backward is one line. `forward` gets arrays and computes; `backward` gets the gradient of the
loss with respect to y as a tensor, and answers in tensors: so the gradient of the gradient comes
for free.

Run it:  python examples/01_your_own_op.py
Before this: minigrad/autograd.py, and minigrad/ops/elementwise.py for more ops of this kind.
Next: examples/moons.py, a network that learns.
"""

import minigrad
from minigrad.autograd import Function, grad
from minigrad.gradcheck import gradcheck


class Softplus(Function):
    """y = ln(1 + e^x), computed as max(x, 0) + ln(1 + e^-|x|) so that e^x cannot overflow."""

    def forward(self, x):
        xp = self.xp  # NumPy, or CuPy if x is on a GPU
        return xp.maximum(x, 0) + xp.log1p(xp.exp(-abs(x)))

    def backward(self, gy):
        (x,) = self.inputs
        return gy * x.sigmoid()


class ForgetfulSoftplus(Softplus):
    """The same with the most common mistake: the upstream gradient gy is forgotten."""

    def backward(self, gy):
        (x,) = self.inputs
        return x.sigmoid()


def main():
    x = minigrad.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = Softplus.apply(x)
    y.sum().backward()
    print("x       ", x.detach())
    print("y       ", y.detach())
    print("dy/dx   ", x.grad)

    (slope,) = grad(Softplus.apply(x).sum(), x, create_graph=True)
    (curvature,) = grad(slope.sum(), x)
    print("d2y/dx2 ", curvature)

    # Doubt every derivative that you write. gradcheck compares it with finite differences, in
    # float64, with a random upstream gradient; order=2 checks the second derivative as well.
    minigrad.manual_seed(0)
    points = minigrad.randn(4, 3, dtype=minigrad.float64, requires_grad=True)
    print("\ngradcheck(Softplus):         ", bool(gradcheck(Softplus.apply, [points], order=2)))

    # With an upstream of ones, as in y.sum().backward(), the forgotten gy would go unseen.
    report = gradcheck(ForgetfulSoftplus.apply, [points], raise_exception=False)
    print("gradcheck(ForgetfulSoftplus):", bool(report))


if __name__ == "__main__":
    main()
