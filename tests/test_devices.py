"""Every operation gives on the GPU what it gives on the CPU: values, dtypes, both derivatives.

The tests run over CuPy's stand-in (or CuPy: ``MINIGRAD_TEST_DEVICE``), and the CPU is the oracle.
Then: moving between devices, refusing to mix them, and never waiting for the GPU in a step.
Read after: ``fakecupy.py``.
"""

from __future__ import annotations

import copy
import sys
import threading

import fakecupy
import numpy as np
import pytest
from helpers import arr, make

import minigrad as mg
from minigrad import autograd, backend, nn, optim
from minigrad.functions import conv, loss, pool, shape
from minigrad.ops import norm


@pytest.fixture(autouse=True)
def gpu(device, monkeypatch):
    """The device 'cuda', over the stand-in where no other CuPy is in place."""
    if device == "cpu":
        monkeypatch.setattr(backend, "cupy", fakecupy.cupy)
    return "cuda"


def numbers(*size, seed=0):
    """Distinct positive numbers, far from kinks and poles."""
    values = np.random.default_rng(seed).permutation(int(np.prod(size))) + 1.0
    return values.reshape(size) / (np.prod(size) + 2)


X, Y, V = numbers(3, 4), numbers(3, 4, seed=1), numbers(4, seed=2)
IMAGES, KERNEL, BIAS = numbers(2, 4, 6, 7), numbers(6, 2, 3, 2), numbers(6)
I64 = np.array([2, 0, 2])

# Differentiable in all inputs: (function, inputs).
OPS = {
    "add": (lambda a, b: a + b, (X, V)),
    "sub": (lambda a, b: 1.5 - a - b, (X, V)),
    "mul": (lambda a, b: 2 * a * b, (X, V)),
    "div": (lambda a, b: 1 / (a / b), (X, V)),
    "pow": (lambda a, b: a**b + a**3 + 2**a, (X, Y)),
    "unary": (lambda a: -abs(a) + a.exp() + a.log() + a.log1p() + a.sqrt() + a.square(), (X,)),
    "trigonometry": (lambda a: a.sin() * a.cos() + a.tanh(), (X,)),
    "sigmoid": (lambda a: (a - 0.5).sigmoid(), (X,)),
    "relu": (lambda a: (a - 0.52).relu() * a, (X,)),
    "reciprocal": (lambda a: a.reciprocal() + a.rsqrt(), (X,)),
    "clamp": (lambda a: a.clamp(0.2, 0.77) * a + a.clamp(min=0.31) * a, (X,)),
    "steps": (lambda a: a * (a.sign() + (9 * a).floor() + a.ceil() + a.round() + a.trunc()), (X,)),
    "remainder": (lambda a: mg.remainder(a, 0.3) * a, (X,)),
    "maximum": (lambda a, b: mg.maximum(a, b) * mg.minimum(a, b), (X, Y)),
    "where": (lambda a, b: mg.where(a > b, a * a, b), (X, Y)),
    "masked_fill": (lambda a: (a * a).masked_fill(a > 0.5, 7.0), (X,)),
    "cast": (lambda a: (a * a).float().double() * a, (X,)),
    "clone": (lambda a: a.clone() * a, (X,)),
    "sum": (lambda a: a.sum(0) * a.sum(1, keepdim=True) * a.sum(), (X,)),
    "mean": (lambda a: a.mean((0, 1)) * a.mean(-1).sum() * a, (X,)),
    "var": (lambda a: a.var(1) + a.std(1, unbiased=False) + a.var(), (X,)),
    "norm": (lambda a: a.norm() + a.norm(dim=1).sum() + a.norm(1), (X,)),
    "amax": (lambda a: a.amax(1) * a.amin(1) * a.amax(), (X,)),
    "max": (lambda a: a.max(1)[0] * a.min(1)[0] + a.max() * a.min(), (X,)),
    "logsumexp": (lambda a: a.logsumexp(1), (X,)),
    "cumsum": (lambda a: a.cumsum(1) * a, (X,)),
    "prod": (lambda a: a.prod(1) * a.prod(), (X,)),
    "matmul": (lambda a, b: a @ b.T, (X, Y)),
    "matmul vector": (lambda a, b: (a @ b) * (b @ a.T), (X, V)),
    "matmul batch": (lambda a, b: a.reshape(3, 2, 2) @ b[:2, :2], (X, Y)),
    "reshape": (lambda a: a.reshape(2, -1).flatten().view(4, 3) ** 2, (X,)),
    "transpose": (lambda a: a.t() * a.permute(1, 0) * a.transpose(0, 1) * a.T, (X,)),
    "squeeze": (lambda a: a.unsqueeze(1).squeeze() * a, (X,)),
    "movedim": (lambda a: a.reshape(3, 2, 2).movedim(0, 2) ** 2, (X,)),
    "expand": (lambda a: a.expand(2, 3, 4) * a.repeat(2, 1, 1), (X,)),
    "broadcast_to": (lambda a: mg.broadcast_to(a, (2, 3, 4)) ** 2, (X,)),
    "flip": (lambda a: a.flip(0, 1) * a, (X,)),
    "split": (lambda a: a.split(2)[0] * a.chunk(2)[0] * a.unbind(0)[1], (X,)),
    "cat": (lambda a, b: mg.cat([a, b, a], 1) ** 2, (X, Y)),
    "stack": (lambda a, b: mg.stack([a, b], 1) ** 2, (X, Y)),
    "tril": (lambda a: (a.tril() + a.triu(1)) * a, (X,)),
    "pad": (lambda a: shape.pad(a, (1, 2), value=0.5) ** 2, (X,)),
    "pad reflect": (lambda a: shape.pad(a[None, None], (1, 2, 1, 1), "reflect") ** 2, (X,)),
    "slices": (lambda a: a[1:, ::2] * a[0, 1] * a[..., None, 2][:, 0].sum(), (X,)),
    "negative step": (lambda a: a[:, ::-1] * a, (X,)),
    "index list": (lambda a: a[[2, 0, 2]] ** 2, (X,)),
    "index tensor": (lambda a: a[make(a.device, I64), 1] ** 2, (X,)),
    "index pair": (lambda a: a[make(a.device, I64), [0, 1, 1]] ** 2, (X,)),
    "index mask": (lambda a: a[a > 0.4] ** 2, (X,)),
    "gather": (lambda a: a.gather(1, make(a.device, [[0, 0], [3, 1], [2, 2]])) ** 2, (X,)),
    "index_select": (lambda a: a.index_select(0, make(a.device, I64)) ** 2, (X,)),
    "softmax": (lambda a: a.softmax(1) * a, (X,)),
    "log_softmax": (lambda a: a.log_softmax(0) * a, (X,)),
    "cross-entropy": (lambda a: loss.softmax_cross_entropy(a, make(a.device, I64)), (X,)),
    "conv2d": (
        lambda x, w, b: conv.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2),
        (IMAGES, KERNEL, BIAS),
    ),
    "conv2d same": (lambda x, w: conv.conv2d(x, w, padding="same", groups=2), (IMAGES, KERNEL)),
    "conv_transpose2d": (
        lambda x, w: conv.conv_transpose2d(x, w, stride=2),
        (numbers(1, 4, 3, 2), numbers(4, 2, 2, 3)),
    ),
    "max_pool2d": (lambda x: pool.max_pool2d(x, 3, 2, 1, (1, 2)) ** 2, (IMAGES,)),
    "avg_pool2d": (lambda x: pool.avg_pool2d(x, 3, 2, 1, ceil_mode=True) ** 2, (IMAGES,)),
    "avg_pool2d inside": (
        lambda x: pool.avg_pool2d(x, 3, 2, 1, count_include_pad=False) ** 2,
        (IMAGES,),
    ),
    "adaptive_avg_pool2d": (lambda x: pool.adaptive_avg_pool2d(x, (4, 3)) ** 2, (IMAGES,)),
    "batch_norm": (lambda x, w, b: norm.BatchNorm.apply(x, w, b, eps=1e-5), (IMAGES, V, V)),
}

# Without a derivative.
OTHERS = {
    "compare": lambda a, b: [a == b, a != b, a < b, a <= 0.5, a > b, a <= 0.5],
    "logic": lambda a, b: [(a > b) & (a > 0.5), (a > b) | (a > 0.5), (a > b) ^ (b > a), ~(a > b)],
    "logical": lambda a, b: [mg.logical_and(a, b), mg.logical_or(a, b), mg.logical_not(a)],
    "isnan": lambda a, b: [
        mg.where(a > 0.5, float("nan"), a).isnan(),
        mg.where(a > 0.5, float("inf"), a).isinf(),
        a.isfinite(),
        mg.isclose(a, b),
    ],
    "allclose": lambda a, b: [a.allclose(b), a.equal(a.clone())],
    "argmax": lambda a, b: [a.argmax(), a.argmax(1), a.argmin(0, keepdim=True)],
    "max": lambda a, b: [*a.max(1), *a.min(0, keepdim=True)],
    "sort": lambda a, b: [*a.sort(1), *a.sort(0, descending=True), a.argsort(), *a.topk(2)],
    "any": lambda a, b: [(a > b).any(), (a > b).all(1), (a > 0).all(0, keepdim=True)],
    "nonzero": lambda a, b: [(a > 0.5).nonzero()],
    "integers": lambda a, b: [
        a.long() + 1,
        (9 * a).int() // 2,
        (9 * a).int() % 4,
        a.byte() if 0 else a,
    ],
    "bitwise": lambda a, b: [(9 * a).int() & (9 * b).int(), (9 * a).int() | 3],
    "sums of integers": lambda a, b: [(9 * a).int().sum(), (a > b).sum(1), (9 * a).int().cumsum(0)],
    "read": lambda a, b: [a.sum().item(), a.tolist(), float(a[0, 0]), repr(a[0]), f"{a[0, 0]:.3f}"],
    "host": lambda a, b: [bool(a[0, 0] > 0), int(9 * a[0, 0]), 1 in (9 * a).int(), len(a), [*a[0]]],
}


def values(result):
    """Flatten results to comparable ones: NumPy arrays and Python values."""
    if isinstance(result, (list, tuple)):
        return [value for item in result for value in values(item)]
    return [arr(result) if isinstance(result, mg.Tensor) else result]


def on(where, function, arrays):
    """Return the function's value, gradients and gradients of a gradient's sum, on a device."""
    inputs = [make(where, a, requires_grad=True) for a in arrays]
    y = function(*inputs)
    assert y.device.type == where
    upstream = numbers(*y.shape, seed=3).astype(y.dtype)
    weights = make(where, upstream)
    first = autograd.grad(y, inputs, weights, create_graph=True)
    total = sum((g * g).sum() for g in first)
    second = autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else []
    second = [g for g in second if g is not None]
    plain = autograd.grad(function(*inputs), inputs, weights)  # the fused backward, if any
    assert [g.dtype for g in (*first, *plain)] == [x.dtype for x in inputs] * 2
    for tensor in (*first, *second, *plain):
        assert tensor.device.type == where
    return values([y, *first, *second, *plain])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPS)
def test_same_values_and_derivatives(gpu, name, dtype):
    function, arrays = OPS[name]
    arrays = [a.astype(dtype) for a in arrays]
    expected, actual = on("cpu", function, arrays), on(gpu, function, arrays)
    assert len(expected) == len(actual)
    for e, a in zip(expected, actual, strict=True):
        assert e.dtype == a.dtype
        tolerance = {"float64": 1e-9, "float32": 2e-4}[dtype]
        np.testing.assert_allclose(a, e, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", OTHERS)
def test_same_results(gpu, name):
    expected, actual = (values(OTHERS[name](make(d, X), make(d, Y))) for d in ("cpu", gpu))
    assert len(expected) == len(actual)
    for e, a in zip(expected, actual, strict=True):
        if isinstance(e, np.ndarray):
            assert (a.dtype, a.shape) == (e.dtype, e.shape)
            np.testing.assert_allclose(a, e, rtol=1e-12)
        elif isinstance(e, str):
            assert a.replace(", device='cuda:0'", "") == e
        else:
            assert a == e or abs(a - e) < 1e-12


def augmented(a, b):
    a += b
    a *= 2
    a -= 0.1
    a /= b


IN_PLACE = {
    "arithmetic": lambda a, b: a.add_(b, alpha=2).sub_(0.5).mul_(b).div_(3).pow_(2),
    "unary": lambda a, b: a.neg_().abs_().sqrt_().exp_().tanh_().sigmoid_().relu_(),
    "rounding": lambda a, b: a.mul_(9).round_().floor_().clamp_(1, 5),
    "fill": lambda a, b: a.copy_(b).masked_fill_(b > 0.5, 2.0)[0].fill_(3),
    "copy_ from the host": lambda a, b: a.copy_(b.cpu()),
    "zero_": lambda a, b: a.zero_(),
    "operators": augmented,
    "basic index": lambda a, b: a.__setitem__((slice(1), 2), b[0, 0]),
    "index": lambda a, b: a.__setitem__([0, 2], b[:2]),
    "mask": lambda a, b: a.__setitem__(b > 0.5, 0.0),
    "mask with values": lambda a, b: a.__setitem__(b > 0.5, a[b > 0.5] * 2),
    "host values": lambda a, b: a.__setitem__(0, [1.0, 2.0, 3.0, 4.0]),
    "numpy values": lambda a, b: a.__setitem__(0, np.arange(4.0)),
    "random": lambda a, b: a.normal_().add_(a.clone().uniform_()).add_(a.clone().bernoulli_()),
    "through data": lambda a, b: a.data.add_(b.data),
}


@pytest.mark.parametrize("name", IN_PLACE)
def test_same_changes_in_place(gpu, name):
    results = []
    for where in ("cpu", gpu):
        mg.manual_seed(7)
        a, b = make(where, X), make(where, Y)
        before = a.array
        IN_PLACE[name](a, b)
        assert a.array is before
        results.append(arr(a))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-12)


CREATED = {
    "tensor": lambda d: mg.tensor([[1, 2], [3, 4]], device=d),
    "zeros": lambda d: mg.zeros(2, 3, device=d),
    "ones": lambda d: mg.ones((2, 3), dtype=mg.float64, device=d),
    "full": lambda d: mg.full((2,), 7, device=d),
    "eye": lambda d: mg.eye(3, device=d),
    "arange": lambda d: mg.arange(5, device=d),
    "linspace": lambda d: mg.linspace(0, 1, 5, device=d),
    "randn": lambda d: mg.randn(2, 3, device=d),
    "rand": lambda d: mg.rand(2, 3, device=d),
    "randint": lambda d: mg.randint(0, 9, (5,), device=d),
    "randperm": lambda d: mg.randperm(5, device=d),
    "like": lambda d: (
        mg.randn_like(mg.ones_like(mg.zeros(2, device=d))) + mg.full_like(mg.zeros(2, device=d), 2)
    ),
    "new": lambda d: mg.zeros(1, device=d).new_ones(2, 3),
    "bernoulli": lambda d: mg.bernoulli(mg.full((5,), 0.5, device=d)),
    "multinomial": lambda d: mg.multinomial(mg.ones(5, device=d), 3),
}


@pytest.mark.parametrize("name", CREATED)
def test_same_new_tensors(gpu, name):
    results = []
    for where in ("cpu", gpu):
        mg.manual_seed(7)
        tensor = CREATED[name](where)
        assert tensor.device.type == where
        results.append(arr(tensor))
    assert results[0].dtype == results[1].dtype
    np.testing.assert_array_equal(results[1], results[0])


# -------------------------------------------------------------------------------- between devices


def test_moving_is_differentiable_and_copies_once(gpu):
    x = make("cpu", X, requires_grad=True)
    y = x.to(gpu)
    assert (y.is_cuda, y.device.type, y.to(gpu) is y) == (True, "cuda", True)
    assert y.cpu().device.type == "cpu"
    (y * y).cpu().sum().backward()
    np.testing.assert_allclose(arr(x.grad), 2 * X)
    assert x.grad.device.type == "cpu"


def test_a_device_block_decides_where_new_tensors_go(gpu):
    with mg.device(gpu):
        assert mg.zeros(2).is_cuda
        assert mg.tensor([1.0]).is_cuda
    assert not mg.zeros(2).is_cuda


def test_a_default_device_can_be_set_for_the_thread(gpu):
    assert str(mg.get_default_device()) == "cpu"
    try:
        mg.set_default_device("cuda")
        assert mg.zeros(2).is_cuda
        assert mg.randn(2).is_cuda
        assert mg.tensor([1]).is_cuda
        model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"cuda"}
        with mg.device("cpu"):  # a block is nearer
            assert not mg.zeros(2).is_cuda
        seen = []
        thread = threading.Thread(target=lambda: seen.append(str(mg.get_default_device())))
        thread.start(), thread.join()
        assert seen == ["cpu"]
        assert not mg.from_numpy(np.ones(2)).is_cuda  # it shares the host's memory
    finally:
        mg.set_default_device(None)
    assert not mg.zeros(2).is_cuda
    with pytest.raises(mg.DeviceError, match="no such device"):
        mg.set_default_device("gpu")
    with pytest.raises(mg.DeviceError, match="(?s)no such GPU.*below 1.*cuda:7"):
        mg.set_default_device("cuda:7")
    assert str(mg.get_default_device()) == "cpu"


def test_a_default_device_that_cannot_be_used_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(backend, "cupy", None)
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(mg.DeviceError, match="CuPy is not installed"):
        mg.set_default_device("cuda")
    assert str(mg.get_default_device()) == "cpu"


@pytest.mark.parametrize("there", ["cpu", "cuda"])
@pytest.mark.parametrize("here", ["cpu", "cuda"])
def test_state_dicts_load_on_either_device(gpu, here, there, tmp_path):
    """A model and its optimizer, through a file and directly, from one device to the other."""

    def trained(device, seed):
        mg.manual_seed(seed)
        layers = nn.Linear(3, 4, bias=False), nn.BatchNorm1d(4), nn.Linear(4, 1)
        model = nn.Sequential(*layers).to(device)  # (a bias would only follow rounding errors)
        optimizer = optim.Adam(model.parameters(), lr=0.1)
        for _ in range(2):
            step(model, optimizer, device)
        return model, optimizer

    def step(model, optimizer, device):
        optimizer.zero_grad()
        (model(make(device, X[:, :3].astype("f4"))) ** 2).mean().backward()
        optimizer.step()

    model, optimizer = trained(here, 0)
    mg.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "a.npz")
    loaded = mg.load(tmp_path / "a.npz")
    assert not loaded["model"]["0.weight"].is_cuda
    direct = {"model": model.state_dict(), "optimizer": optimizer.state_dict()}
    mapped = mg.load(tmp_path / "a.npz", map_location=there)
    assert mapped["model"]["0.weight"].device.type == there
    step(model, optimizer, here)
    expected = [arr(value) for value in model.state_dict().values()]
    for saved in (loaded, direct, mapped):
        other, other_optimizer = trained(there, 1)
        other.load_state_dict(saved["model"])
        other_optimizer.load_state_dict(saved["optimizer"])
        step(other, other_optimizer, there)
        for value, e in zip(other.state_dict().values(), expected, strict=True):
            assert value.device.type == there
            np.testing.assert_allclose(arr(value), e, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    "mix",
    [
        lambda a, b: a + b,
        lambda a, b: b @ a.T,
        lambda a, b: mg.cat([a, b]),
        lambda a, b: mg.where(a > 0, a, b),
        lambda a, b: mg.maximum(a, b),
        lambda a, b: a < b,
        lambda a, b: a.add_(b),
        lambda a, b: b.mul_(a),
    ],
)
def test_devices_are_not_mixed(gpu, mix):
    a, b = make(gpu, X), make("cpu", X)
    with pytest.raises(RuntimeError) as caught:
        mix(a, b)
    assert "cpu" in str(caught.value)
    assert "cuda" in str(caught.value)


def test_a_gpu_tensor_does_not_turn_into_a_numpy_array_by_itself(gpu):
    x = make(gpu, X)
    for convert in (lambda: x.numpy(), lambda: np.asarray(x), lambda: np.array([x[0, 0]])):
        with pytest.raises((TypeError, ValueError)):
            convert()
    with pytest.raises(TypeError, match=r"\.cpu\(\)"):
        x.numpy()


def test_deepcopy_stays_on_the_device(gpu):
    assert copy.deepcopy(make(gpu, X)).is_cuda


# ------------------------------------------------------------------------------ never waiting


OPTIMIZERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1),
    "momentum": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, dampening=0.1, weight_decay=0.1),
    "Nesterov": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True, maximize=True),
    "Adam": lambda p: optim.Adam(p, lr=0.1, weight_decay=0.1, amsgrad=True),
    "AdamW": lambda p: optim.AdamW(p, lr=0.1),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.1),
    "centered": lambda p: optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_the_same_steps_and_never_wait(gpu, name):
    results = []
    for where in ("cpu", gpu):
        w, b = make(where, X, requires_grad=True), make(where, V, requires_grad=True)
        optimizer = OPTIMIZERS[name]([w, b])
        with fakecupy.forbid_sync():
            for _ in range(3):
                optimizer.zero_grad()
                ((w * b) ** 2).sum().backward()
                optimizer.step()
        state = optimizer.state_dict()
        optimizer.load_state_dict(state)
        assert str(optimizer.state_dict()) == str(state)
        assert w.device.type == where
        results.append([arr(w), arr(b)])
    for cpu, cuda in zip(*results, strict=True):
        np.testing.assert_allclose(cuda, cpu, rtol=1e-9)


def test_a_training_step_never_waits_for_the_gpu(gpu, device):
    """Forward, backward and an update read no value on the host."""
    if device == "cuda" and backend.cupy is not fakecupy.cupy:
        pytest.skip("only the stand-in counts")
    x = make(gpu, IMAGES.astype("f4"))
    labels = make(gpu, [1, 0])
    w, b = (make(gpu, a.astype("f4"), requires_grad=True) for a in (numbers(6, 4, 3, 3), BIAS))
    v = make(gpu, numbers(3, 36).astype("f4"), requires_grad=True)
    gamma = make(gpu, BIAS.astype("f4"), requires_grad=True)

    def step():
        h = norm.BatchNorm.apply(conv.conv2d(x, w, b, padding=1), gamma, b, eps=1e-5).relu()
        h = pool.max_pool2d(h, 2, 2).clamp(max=3.0) * (h[:, :, ::2, ::2][:, :, :3, :3] > 0)
        z = pool.avg_pool2d(h, 2, 1).reshape(2, -1) @ v[:, :24].T
        loss.softmax_cross_entropy(z, labels).mean().backward()
        for p in (w, b, v, gamma):
            p.data.sub_(p.grad, alpha=0.1)

    fakecupy.counts.clear()
    with fakecupy.forbid_sync():
        step()
    assert fakecupy.counts["sync"] == 0
