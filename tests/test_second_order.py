"""Derivatives of derivatives: known Hessians, networks, and what people use them for.

Where mathematics gives the second derivative in closed form, it is compared with that; where not,
with differences of first derivatives, which ``test_ops_gradients.py`` has checked by then.

Convolution gets most room. Its three forms (the convolution, and its gradients with respect to
image and kernel) are each other's derivatives, so a wrong third form shows only from the second
order on, and stays unseen in training.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from helpers import arr, make

import minigrad
from minigrad.autograd import grad
from minigrad.functions.conv import conv2d, conv_transpose2d
from minigrad.functions.linalg import linear
from minigrad.functions.loss import softmax_cross_entropy
from minigrad.functions.norm import batch_norm
from minigrad.functions.pool import avg_pool2d, max_pool2d
from minigrad.gradcheck import gradcheck
from minigrad.ops.conv import Conv2d, Conv2dInput, Conv2dWeight


def hessian(f, x) -> np.ndarray:
    """Return the matrix of second derivatives of a scalar function, row by row."""
    (g,) = grad(f(x), x, create_graph=True)
    rows = [grad(entry, x, retain_graph=True)[0] for entry in g.reshape(-1)]
    return np.stack([arr(row).ravel() for row in rows])


def hessian_times(f, xs, vs) -> list[np.ndarray]:
    gs = grad(f(*xs), xs, create_graph=True)
    product = sum((g * v).sum() for g, v in zip(gs, vs))
    return [np.zeros(x.shape) if h is None else arr(h)
            for h, x in zip(grad(product, xs, allow_unused=True), xs)]  # fmt: skip


def hessian_times_by_differences(f, xs, vs, h=1e-4) -> list[np.ndarray]:
    """Differences of gradients at two steps, combined so that the steps' error cancels."""

    def gradients(t):
        moved = [(x.detach() + t * v).requires_grad_() for x, v in zip(xs, vs)]
        return [arr(g) for g in grad(f(*moved), moved)]

    def central(t):
        return [(a - b) / (2 * t) for a, b in zip(gradients(t), gradients(-t))]

    return [(4 * near - far) / 3 for near, far in zip(central(h / 2), central(h))]


def check_hessian_times(f, xs, seed=5):
    """Compare products with the Hessian, and see that it is symmetric."""
    rng = np.random.default_rng(seed)
    us, vs = [[make(x.device, rng.normal(size=x.shape)) for x in xs] for _ in range(2)]
    found = hessian_times(f, xs, vs)
    for one, other in zip(found, hessian_times_by_differences(f, xs, vs)):
        scale = abs(other).max(initial=1e-3)
        np.testing.assert_allclose(one, other, rtol=1e-6, atol=1e-7 * scale)
    uhv = sum((arr(u) * h).sum() for u, h in zip(us, found))
    vhu = sum((arr(v) * h).sum() for v, h in zip(vs, hessian_times(f, xs, us)))
    np.testing.assert_allclose(uhv, vhu, rtol=1e-9)


@pytest.fixture
def draw(device, rng):
    return lambda *shape, scale=1.0: make(
        device, scale * rng.normal(size=shape), requires_grad=True
    )


# ------------------------------------------------------------------------------ closed forms


def nth_derivative(f, x, n):
    y = f(x)
    for _ in range(n):
        if not y.requires_grad:
            return np.zeros(x.shape)
        (y,) = grad(y.sum(), x, create_graph=True, allow_unused=True)
        if y is None:
            return np.zeros(x.shape)
    return arr(y)


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize(
    ("f", "derivative"),
    [
        (minigrad.exp, lambda x, n: np.exp(x)),
        (minigrad.sin, lambda x, n: np.sin(x + n * np.pi / 2)),
        (minigrad.cos, lambda x, n: np.cos(x + n * np.pi / 2)),
        (minigrad.log, lambda x, n: (-1) ** (n - 1) * np.prod(np.arange(1.0, n)) / x**n),
        (lambda x: 1 / x, lambda x, n: (-1) ** n * np.prod(np.arange(1.0, n + 1)) / x ** (n + 1)),
        (minigrad.sqrt, lambda x, n: np.prod(0.5 - np.arange(n)) * x ** (0.5 - n)),
        (lambda x: x**4, lambda x, n: np.prod(4.0 - np.arange(n)) * x ** (4 - min(n, 4))),
        (lambda x: x * x * x * x, lambda x, n: np.prod(4.0 - np.arange(n)) * x ** (4 - min(n, 4))),
        (lambda x: 2.0**x, lambda x, n: np.log(2) ** n * 2**x),
    ],
    ids=["exp", "sin", "cos", "log", "1/x", "sqrt", "x**4", "xxxx", "2**x"],
)
def test_derivatives_of_any_order(f, derivative, n, device):
    x = make(device, np.array([0.3, 0.7, 1.9]), requires_grad=True)
    np.testing.assert_allclose(nth_derivative(f, x, n), derivative(arr(x), n), rtol=1e-9, atol=1e-9)


def test_third_derivatives_of_tanh_and_sigmoid(device):
    x = make(device, np.array([-1.2, 0.1, 0.8]), requires_grad=True)
    t, s = np.tanh(arr(x)), 1 / (1 + np.exp(-arr(x)))
    np.testing.assert_allclose(nth_derivative(minigrad.tanh, x, 2), -2 * t * (1 - t * t))
    np.testing.assert_allclose(nth_derivative(minigrad.tanh, x, 3), (1 - t * t) * (6 * t * t - 2))
    d = s * (1 - s)
    np.testing.assert_allclose(nth_derivative(minigrad.sigmoid, x, 2), d * (1 - 2 * s))
    np.testing.assert_allclose(nth_derivative(minigrad.sigmoid, x, 3), d * (1 - 6 * d))


def test_quadratic_form(draw):
    a, x = draw(5, 5), draw(5)
    expected = arr(a) + arr(a).T
    np.testing.assert_allclose(hessian(lambda x: x @ a @ x, x), expected, atol=1e-12)
    np.testing.assert_allclose(hessian(lambda x: (x * (a @ x)).sum(), x), expected, atol=1e-12)


def test_rosenbrock(draw):
    x = draw(4)

    def f(x):
        return (100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2).sum()

    v, expected = arr(x), np.zeros((4, 4))
    for i in range(3):
        expected[i, i] += 1200 * v[i] ** 2 - 400 * v[i + 1] + 2
        expected[i + 1, i + 1] += 200
        expected[i, i + 1] = expected[i + 1, i] = -400 * v[i]
    np.testing.assert_allclose(hessian(f, x), expected, rtol=1e-12)


def test_hessian_of_cross_entropy_and_logsumexp_is_the_covariance(draw, device):
    z = draw(1, 4)
    p = arr(z.softmax(1))[0]
    covariance = np.diag(p) - np.outer(p, p)
    label = make(device, np.array([2]))
    for f in (
        lambda z: softmax_cross_entropy(z, label).sum(),
        lambda z: z.logsumexp(1).sum(),
        lambda z: -z.log_softmax(1)[0, 1],
        lambda z: -z.softmax(1).log()[0, 3],
    ):
        np.testing.assert_allclose(hessian(f, z), covariance, atol=1e-12)


def test_third_derivative_of_cross_entropy(draw, device):
    z, label = draw(1, 3), make(device, np.array([0]))
    p = arr(z.softmax(1))[0]
    # d(diag(p) - p p')_jk / dz_i, with dp_j / dz_i = p_j ([i = j] - p_i)
    dp = np.diag(p) - np.outer(p, p)
    expected = np.zeros((3, 3, 3))
    for i, j, k in itertools.product(range(3), repeat=3):
        expected[i, j, k] = (j == k) * dp[j, i] - dp[j, i] * p[k] - p[j] * dp[k, i]
    (g,) = grad(softmax_cross_entropy(z, label).sum(), z, create_graph=True)
    for j in range(3):
        (h,) = grad(g[0, j], z, create_graph=True)
        for k in range(3):
            (t,) = grad(h[0, k], z, retain_graph=True)
            np.testing.assert_allclose(arr(t)[0], expected[:, j, k], atol=1e-12)


def test_jacobian_of_the_softmax_and_its_derivative(draw):
    x = draw(3)
    p = arr(x.softmax(0))
    dp = np.diag(p) - np.outer(p, p)
    for j in range(3):
        (row,) = grad(x.softmax(0)[j], x, create_graph=True)
        np.testing.assert_allclose(arr(row), dp[j], atol=1e-12)
        for k in range(3):
            (second,) = grad(row[k], x, retain_graph=True)
            expected = dp[j] * ((j == k) - p[k]) - p[j] * dp[k]
            np.testing.assert_allclose(arr(second), expected, atol=1e-12)


# -------------------------------------------------------------------------- the three convolutions

OPTIONS = [  # image, kernel, stride, padding, dilation, groups
    ((2, 2, 4, 4), (3, 2, 3, 3), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    ((1, 2, 5, 6), (2, 2, 3, 2), (2, 1), ((1, 1), (2, 2)), (1, 1), 1),
    ((2, 1, 5, 5), (2, 1, 2, 2), (2, 2), ((0, 0), (0, 0)), (2, 1), 1),  # rows left over at the end
    ((1, 4, 4, 3), (4, 2, 2, 2), (1, 2), ((1, 0), (0, 1)), (1, 1), 2),
    ((2, 3, 3, 4), (6, 1, 3, 2), (1, 1), ((1, 1), (1, 1)), (1, 2), 3),  # depthwise
    ((1, 1, 7, 1), (1, 1, 3, 1), (3, 1), ((0, 2), (0, 0)), (2, 1), 1),
]


def trilinear(gy, x, w, stride, padding, dilation, groups) -> float:
    """The number <gy, conv(x, w)>, term by term."""
    (top, bottom), (left, right) = padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    total, group = 0.0, gy.shape[1] // groups
    for n, o, i, j in np.ndindex(gy.shape):
        for c, k, m in np.ndindex(w.shape[1:]):
            source = n, o // group * w.shape[1] + c
            place = i * stride[0] + k * dilation[0], j * stride[1] + m * dilation[1]
            total += gy[n, o, i, j] * w[o, c, k, m] * x[(*source, *place)]
    return total


def output_shape(x, w, stride, padding, dilation, groups):
    size = [
        (n + sum(p) - d * (k - 1) - 1) // s + 1
        for n, k, s, p, d in zip(x[2:], w[2:], stride, padding, dilation)
    ]
    return (x[0], w[0], *size)


def forms(x_shape, w_shape, stride, padding, dilation, groups):
    how = dict(stride=stride, padding=padding, dilation=dilation, groups=groups)
    return {
        "gy": lambda x, w: Conv2d.apply(x, w, **how),
        "x": lambda gy, w: Conv2dInput.apply(gy, w, size=x_shape[2:], **how),
        "w": lambda x, gy: Conv2dWeight.apply(x, gy, kernel_size=w_shape[2:], **how),
    }


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
def test_each_form_is_a_contraction_of_one_trilinear_form(options, device, rng):
    """Values, gradients, and the gradients' gradients of all three, in all directions."""
    x_shape, w_shape, *how = options
    shapes = dict(gy=output_shape(*options), x=x_shape, w=w_shape)
    a, b = [
        {name: make(device, rng.normal(size=shape), requires_grad=True)
         for name, shape in shapes.items()}
        for _ in range(2)
    ]  # fmt: skip

    def form(**changed):
        return trilinear(**{n: arr(t) for n, t in {**a, **changed}.items()}, stride=how[0],
                         padding=how[1], dilation=how[2], groups=how[3])  # fmt: skip

    taken = dict(gy=("x", "w"), x=("gy", "w"), w=("x", "gy"))
    for left_out, function in forms(*options).items():
        first, second = taken[left_out]
        y = function(a[first], a[second])
        assert y.shape == shapes[left_out]
        # <b, y> is the form with b in the place that was left out
        value = (y * b[left_out]).sum()
        np.testing.assert_allclose(value.item(), form(**{left_out: b[left_out]}), rtol=1e-10)
        # linear in each: its derivative in the direction b puts b there
        g1, g2, gb = grad(value, [a[first], a[second], b[left_out]], create_graph=True)
        d1, d2 = (g1 * b[first]).sum(), (g2 * b[second]).sum()
        one = {left_out: b[left_out], first: b[first]}
        two = {left_out: b[left_out], second: b[second]}
        np.testing.assert_allclose(d1.item(), form(**one), rtol=1e-10)
        np.testing.assert_allclose(d2.item(), form(**two), rtol=1e-10)
        np.testing.assert_allclose(arr(gb), arr(y), rtol=1e-12)
        # and the mixed second derivative puts it in both
        h12, hb1 = grad(d1, [a[second], b[left_out]], create_graph=True)
        mixed = (h12 * b[second]).sum()
        np.testing.assert_allclose(mixed.item(), form(**b), rtol=1e-10)
        np.testing.assert_allclose((hb1 * b[left_out]).sum().item(), form(**one), rtol=1e-10)
        (hb2,) = grad(mixed, b[left_out])
        np.testing.assert_allclose((hb2 * b[left_out]).sum().item(), form(**b), rtol=1e-10)


@pytest.mark.parametrize("options", OPTIONS, ids=range(len(OPTIONS)))
@pytest.mark.parametrize("left_out", ["gy", "x", "w"])
def test_convolutions_to_order_3(left_out, options, draw):
    shapes = dict(gy=output_shape(*options), x=options[0], w=options[1])
    first, second = dict(gy=("x", "w"), x=("gy", "w"), w=("x", "gy"))[left_out]
    inputs = draw(*shapes[first]), draw(*shapes[second])
    function = forms(*options)[left_out]
    # Squared, so that no derivative is constant.
    report = gradcheck(lambda a, b: function(a, b) ** 2, inputs, order=3, directions=1)
    assert report.kinks == 0


def test_transposed_convolution_to_order_2(draw):
    x, w, b = draw(2, 4, 3, 3), draw(4, 2, 3, 2), draw(4)
    assert gradcheck(
        lambda x, w, b: conv_transpose2d(x, w, b, 2, 1, output_padding=1, groups=2),
        (x, w, b),
        order=2,
    )


# -------------------------------------------------------------------------------------- networks


def test_mlp(draw, device, rng):
    x, labels = make(device, rng.normal(size=(6, 3))), make(device, rng.integers(0, 4, 6))
    parameters = [draw(5, 3), draw(5), draw(4, 5, scale=0.5), draw(4)]

    def loss(w1, b1, w2, b2):
        return softmax_cross_entropy(linear(linear(x, w1, b1).tanh(), w2, b2), labels).mean()

    check_hessian_times(loss, parameters)
    assert gradcheck(loss, parameters, order=3, directions=1)


@pytest.mark.parametrize("activation", [minigrad.tanh, minigrad.relu])
@pytest.mark.parametrize("pool", [lambda x: max_pool2d(x, 2), lambda x: avg_pool2d(x, 3, 1, 1)])
def test_conv_net(draw, device, rng, activation, pool):
    x, labels = make(device, rng.normal(size=(3, 2, 6, 6))), make(device, np.array([0, 2, 1]))
    parameters = [
        draw(4, 2, 3, 3, scale=0.4),
        draw(4),
        draw(4),
        draw(4),
        draw(4, 2, 3, 3, scale=0.4),
        draw(3, 4, scale=0.7),
    ]

    def loss(w1, b1, scale, shift, w2, w3):
        z, *_ = batch_norm(conv2d(x, w1, b1, padding=1), scale, shift)
        z = activation(conv2d(pool(activation(z)), w2, padding=1, groups=2))
        return softmax_cross_entropy(linear(z.mean((2, 3)), w3), labels).mean()

    check_hessian_times(loss, parameters)


def test_batch_norm_alone(draw):
    x, w, b, c = draw(5, 2, 3), draw(2), draw(2), draw(5, 2, 3)
    check_hessian_times(
        lambda x, w, b: (batch_norm(x, w, b, eps=0.1)[0].tanh() * c.detach()).sum(), [x, w, b]
    )
    check_hessian_times(lambda x: (batch_norm(x)[0] ** 3).sum(), [x])
    # The batch's mean moves nothing: constant shifts lie in the Hessian's null space.
    shift = [c * 0 + 1]
    (h,) = hessian_times(lambda x: (batch_norm(x)[0] ** 3).sum(), [x], shift)
    np.testing.assert_allclose(h, 0, atol=1e-9)


def test_max_pool_is_linear_in_its_upstream_only(draw):
    x, gy = draw(2, 2, 4, 5), draw(2, 2, 2, 2)
    (gx,) = grad(max_pool2d(x, 2), x, gy, create_graph=True)
    v = draw(2, 2, 4, 5)
    gg, hx = grad((gx * v).sum(), [gy, x], allow_unused=True)
    assert hx is None or not arr(hx).any()
    chosen = max_pool2d(x, 2, return_indices=True)[1]
    picked = np.take_along_axis(arr(v).reshape(2, 2, -1), arr(chosen).reshape(2, 2, -1), 2)
    np.testing.assert_array_equal(arr(gg), picked.reshape(2, 2, 2, 2))
    check_hessian_times(lambda x: (max_pool2d(x, 3, 2, 1) ** 3).sum(), [x])


# -------------------------------------------------------------------------------- what it is for


def gradient_penalty(critic, x, create_graph=True):
    """Mean of (|dD/dx| - 1)^2: Gulrajani et al., "Improved Training of WGANs", 2017, eq. 3."""
    (g,) = grad(critic(x).sum(), x, create_graph=create_graph)
    norms = (g * g).sum(tuple(range(1, g.ndim))).sqrt()
    return ((norms - 1) ** 2).mean()


def test_gradient_penalty_of_a_linear_critic(draw):
    x, w = draw(6, 3), draw(3)
    penalty = gradient_penalty(lambda x: x @ w, x)
    norm = np.linalg.norm(arr(w))
    assert penalty.item() == pytest.approx((norm - 1) ** 2)
    gw, gx = grad(penalty, [w, x], allow_unused=True)
    np.testing.assert_allclose(arr(gw), 2 * (norm - 1) * arr(w) / norm)
    assert gx is None or not arr(gx).any()  # the slope is the same everywhere


def test_gradient_penalty_of_a_network(draw):
    x, w1, b1, w2 = draw(5, 3), draw(6, 3), draw(6), draw(1, 6)

    def penalty(x, w1, b1, w2):
        return gradient_penalty(lambda x: linear(linear(x, w1, b1).tanh(), w2), x)

    assert gradcheck(penalty, (x, w1, b1, w2), order=2, directions=1)
    check_hessian_times(penalty, [x, w1, b1, w2])


def test_gradient_penalty_of_a_convolutional_critic(draw):
    x, w1, scale, w2 = draw(3, 1, 6, 6), draw(4, 1, 3, 3), draw(4), draw(2, 4, 2, 2)

    def penalty(x, w1, scale, w2):
        def critic(x):
            z = batch_norm(conv2d(x, w1, padding=1), scale)[0].sigmoid()
            return conv2d(max_pool2d(z, 2), w2).sum((1, 2, 3))

        return gradient_penalty(critic, x)

    assert gradcheck(penalty, (x, w1, scale, w2), directions=1)


def test_step_of_gradient_descent_is_differentiable(draw):
    """As in learning to learn: d L(w - r L'(w)) / dw = (1 - r H) L'(w - r L'(w))."""
    a, w, rate = draw(4, 4), draw(4), 0.1

    def loss(w):
        return (w @ a.detach() @ w) / 2

    (g,) = grad(loss(w), w, create_graph=True)
    (found,) = grad(loss(w - rate * g), w)
    h = (arr(a) + arr(a).T) / 2
    expected = (np.eye(4) - rate * h) @ h @ (np.eye(4) - rate * h) @ arr(w)
    np.testing.assert_allclose(arr(found), expected)


def test_forward_derivative_by_two_backward_ones(draw):
    """<u, J v> from d/du of <J' u, v>: the gradient is linear in its upstream."""
    x, w, v = draw(2, 3), draw(4, 3), draw(2, 3)

    def f(x):
        return linear(x, w).tanh().softmax(1)

    u = (f(x) * 0).detach().requires_grad_()
    (back,) = grad(f(x), x, u, create_graph=True)
    (forward,) = grad(back, u, v.detach())
    h = 1e-6
    numeric = (arr(f(x + h * v)) - arr(f(x - h * v))) / (2 * h)
    np.testing.assert_allclose(arr(forward), numeric, rtol=1e-7, atol=1e-9)


# ----------------------------------------------------------------------------- bookkeeping


def test_gradients_are_recorded_only_if_asked(draw):
    x = draw(3)
    (g,) = grad((x**3).sum(), x)
    assert not g.requires_grad and g.creator is None
    (g,) = grad((x**3).sum(), x, create_graph=True)
    assert g.requires_grad and not g.is_leaf


def test_backward_with_create_graph_fills_a_grad_that_can_be_differentiated(draw):
    x = draw(3)
    (x**3).sum().backward(create_graph=True)
    np.testing.assert_allclose(arr(x.grad), 3 * arr(x) ** 2)
    (h,) = grad(x.grad.sum(), x, retain_graph=True)
    np.testing.assert_allclose(arr(h), 6 * arr(x))
    first = x.grad
    x.grad.sum().backward()  # adds the second derivative to the first
    np.testing.assert_allclose(arr(x.grad), 3 * arr(x) ** 2 + 6 * arr(x))
    np.testing.assert_allclose(arr(first), 3 * arr(x) ** 2)  # which itself did not change


def test_graphs_that_are_kept_can_be_used_again(draw):
    x = draw(3)
    y = (x.sin() * x).sum()
    expected = 2 * np.cos(arr(x)) - arr(x) * np.sin(arr(x))
    for _ in range(2):  # the gradient's graph contains parts of the first one
        (g,) = grad(y, x, create_graph=True)
        for _ in range(2):
            (h,) = grad(g.sum(), x, retain_graph=True)
            np.testing.assert_allclose(arr(h), expected)
    grad(g.sum(), x)
    with pytest.raises(RuntimeError, match="freed"):
        grad(y, x)


def test_freed_graph_is_refused_at_second_order(draw):
    x = draw(3)
    (g,) = grad((x**3).sum(), x, create_graph=True)
    s = g.sum()
    grad(s, x)
    with pytest.raises(RuntimeError, match="freed"):
        grad(s, x)
