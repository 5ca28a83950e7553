"""Bad input: each gets one clear text, says what was expected, what came and what to do.

And nothing is lost: the tensors are as they were, no gradient was added, the modes are the same.
What belongs to losses, optimizers and files is tested beside them.
"""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest
from helpers import arr

import minigrad
from minigrad import backend
from minigrad.autograd import Function, backprop, backward, grad, no_grad
from minigrad.nn import functional as F


@pytest.fixture(autouse=True)
def on_device(device):
    with minigrad.device(device):
        yield


def ones(*shape, **options):
    return minigrad.ones(*shape, **options)


def leaf(*shape):
    return minigrad.ones(*shape, requires_grad=True)


def double(*shape):
    return minigrad.ones(*shape, dtype=minigrad.float64)


def twice():
    loss = (leaf(3) * leaf(3)).sum()
    loss.backward()
    loss.backward()


def changed_in_place():
    x = leaf(3)
    y = x.sin()
    x.data.zero_()
    y.sum().backward()


# Of the list. (call, error, words that must stand in the text)
COMPLETE = {
    "matmul": (lambda: ones(2, 3) @ ones(2, 3), ValueError, "matmul: inner sizes (2, 3) @ (2, 3)"),
    "matmul vector": (lambda: ones(3) @ ones(2), ValueError, "matmul: inner sizes (3,) @ (2,)"),
    "matmul number": (lambda: minigrad.tensor(2.0) @ ones(2), ValueError,
        "matmul: no axes () @ (2,)"),
    "matmul batch": (lambda: ones(2, 3, 4) @ ones(5, 4, 3), ValueError,
                     "matmul: do not broadcast (2, 3, 4) @ (5, 4, 3)"),
    "matmul dtypes": (lambda: ones(2, 2) @ double(2, 2), TypeError, "matmul: float32 and float64"),
    "matmul list": (lambda: ones(2, 2) @ [[1, 2]], TypeError, "matmul: a tensor list"),
    "linear": (lambda: F.linear(ones(2, 3), ones(4, 5)), ValueError,
        "linear: (..., 5) (2, 3) (4, 5)"),
    "linear 0-d": (lambda: F.linear(minigrad.tensor(1.0), ones(4, 5)), ValueError,
        "linear: (..., 5) ()"),
    "linear weight": (lambda: F.linear(ones(2, 5), ones(5)), ValueError,
        "linear: not a matrix (5,)"),
    "linear dtypes": (lambda: F.linear(ones(2, 5).long(), ones(4, 5)), TypeError,
                      "linear: float32 int64"),
    "linear bias dtype": (lambda: F.linear(ones(2, 5), ones(4, 5), double(4)), TypeError,
                          "linear: bias float32 float64"),
    "conv channels": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 4, 3, 3)), ValueError,
                      "conv2d: channels 4 2 (1, 2, 5, 5) (3, 4, 3, 3)"),
    "conv axes": (lambda: F.conv2d(ones(5, 5), ones(3, 4, 3, 3)), ValueError,
                  "conv2d: axes (N, C, H, W) (5, 5) unsqueeze"),
    "conv dtypes": (lambda: F.conv2d(ones(1, 2, 5, 5), double(3, 2, 3, 3)), TypeError,
                    "conv2d: float64 float32"),
    "conv groups": (lambda: F.conv2d(ones(1, 4, 5, 5), ones(3, 2, 3, 3), groups=2), ValueError,
                    "conv2d: groups=2"),
    "transposed": (lambda: F.conv_transpose2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3)), ValueError,
                   "conv_transpose2d: channels 3 2"),
    "kernel": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 7, 3)), ValueError,
               "conv2d: kernel is larger [5, 5] [7, 3] padding"),
    "dilated kernel": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), dilation=3), ValueError,
                       "conv2d: kernel is larger [5, 5] [7, 7] dilation"),
    "view": (lambda: ones(2, 3).view(4), ValueError, "reshape: 6 numbers (2, 3) to (4,)"),
    "view -1": (lambda: ones(2, 3).view(-1, 4), ValueError, "reshape: 6 numbers (-1, 4)"),
    "view -1 twice": (lambda: ones(2, 3).reshape(-1, -1), ValueError, "reshape: at most one"),
    "add": (lambda: ones(2, 3) + ones(2), ValueError, "Add: do not broadcast (2, 3) and (2,)"),
    "where": (lambda: minigrad.where(ones(2) > 0, ones(3), ones(2)), ValueError,
              "where: do not broadcast (2,) and (3,)"),
    "compare": (lambda: ones(2, 3) < ones(2), ValueError, "less: do not broadcast (2, 3) and (2,)"),
    "condition": (lambda: minigrad.where(ones(2), ones(2), ones(2)), TypeError,
        "where: bool float32"),
    "add a list": (lambda: ones(2) + [1, 2], TypeError, "Add: a tensor list"),
    "stack": (lambda: minigrad.stack([ones(2), ones(3)]), ValueError,
        "stack: tensor 1 (2,) and (3,)"),
    "loss shapes": (lambda: F.mse_loss(ones(3), ones(3, 1)), ValueError, "mse_loss: (3,) (3, 1)"),
    "integers": (lambda: minigrad.arange(3).requires_grad_(), TypeError,
                 "requires_grad: only floating int64 x.float()"),
    "new integers": (lambda: minigrad.tensor([1], requires_grad=True), TypeError,
                     "requires_grad: only floating int64 x.float()"),
    "mean of integers": (lambda: minigrad.arange(3).mean(), TypeError,
        "mean: floating int64 x.float()"),
    "backward twice": (twice, RuntimeError, "backward: freed retain_graph=True"),
    "of many numbers": (lambda: (leaf(3) * 2).backward(), RuntimeError,
                        "backward: one element shape (3,) loss.sum()"),
    "of what needs none": (lambda: ones(3).sum().backward(), RuntimeError,
                           "backward: nothing requires_grad=True without a history"),
    "under no_grad": (lambda: no_grad()(lambda: leaf(3).sum())().backward(), RuntimeError,
                      "backward: nothing requires_grad=True outside no_grad"),
    "gradient's shape": (lambda: (leaf(3) * 2).backward(ones(2)), RuntimeError,
                         "backward: (3,) (2,)"),
    "gradient's type": (lambda: (leaf(3) * 2).backward(np.ones(3)), TypeError,
                        "backward: not a tensor ndarray"),
    "grad of a number": (lambda: grad(3.0, leaf(1)), TypeError, "backward: not a tensor float"),
    "grad for a constant": (lambda: grad(leaf(1) * 2, ones(1)), RuntimeError,
                            "grad: input 0 requires no gradient requires_grad=True"),
    "grad for a number": (lambda: grad(leaf(1) * 2, [leaf(1), 3]), TypeError,
        "grad: not a tensor int"),
    "changed in place": (changed_in_place, RuntimeError, "Sin: an input changed in place clone()"),
    "unknown device": (lambda: ones(3).to("tpu"), minigrad.DeviceError,
        "device: 'cpu' 'cuda:N' 'tpu'"),
    "unknown device, new": (lambda: ones(3, device="gpu"), minigrad.DeviceError,
        "device: 'cpu' 'gpu'"),
    "unknown number": (lambda: minigrad.device("cuda:a"), minigrad.DeviceError, "device: 'cuda:a'"),
    "negative number": (lambda: minigrad.device("cuda", -1), minigrad.DeviceError,
        "device: 'cuda:-1'"),
    "two numbers": (lambda: minigrad.device("cuda:1", 2), minigrad.DeviceError,
        "device: 'cuda:1:2'"),
}  # fmt: skip

# The rest: at least the op and what is wrong.
OTHERS = {
    "conv stride": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), stride=0), ValueError,
                    "conv2d stride: from 1 on 0"),
    "conv float stride": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), stride=1.5),
                          ValueError, "conv2d stride: 1.5"),
    "conv padding": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), padding=-1), ValueError,
                     "conv2d padding: from 0 on -1"),
    "conv padding word": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), padding="full"),
                          ValueError, "conv2d padding: 'same' 'full'"),
    "conv same": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), padding="same", stride=2),
                  ValueError, "conv2d padding: 'same' stride of 1 (2, 2)"),
    "conv groups": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), groups=0), ValueError,
                    "conv2d: groups 0"),
    "conv bias": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 3, 3), ones(2)), ValueError,
                  "conv2d: bias (3,) (2,)"),
    "conv no kernel": (lambda: F.conv2d(ones(1, 2, 5, 5), ones(3, 2, 0, 3)), ValueError,
                       "conv2d: no entries (3, 2, 0, 3)"),
    "linear bias": (lambda: F.linear(ones(2, 5), ones(4, 5), ones(3)), ValueError,
                    "linear: bias (4,) (3,)"),
    "output_padding": (lambda: F.conv_transpose2d(ones(1, 3, 5, 5), ones(3, 2, 3, 3),
                                                  output_padding=1), ValueError,
                       "conv_transpose2d: output_padding (1, 1)"),
    "nothing left": (lambda: F.conv_transpose2d(ones(1, 3, 1, 1), ones(3, 2, 1, 1), padding=1),
                     ValueError, "conv_transpose2d: nothing is left"),
    "max pool": (lambda: F.max_pool2d(ones(1, 1, 2, 2), 3), ValueError, "max_pool2d: larger 2 3"),
    "avg pool": (lambda: F.avg_pool2d(ones(1, 1, 2, 2), 3), ValueError, "avg_pool2d: larger 2 3"),
    "pool axes": (lambda: F.max_pool2d(ones(2, 2), 2), ValueError, "max_pool2d: (C, H, W) (2, 2)"),
    "pool padding": (lambda: F.max_pool2d(ones(1, 1, 4, 4), 2, padding=2), ValueError,
                     "max_pool2d: half the kernel (1, 1) (2, 2)"),
    "divisor": (lambda: F.avg_pool2d(ones(1, 1, 2, 2), 2, divisor_override=0), ValueError,
                "avg_pool2d: divisor_override"),
    "adaptive": (lambda: F.adaptive_avg_pool2d(ones(1, 1, 2, 2), 0), ValueError,
                 "adaptive_avg_pool2d: output_size=0"),
    "unflatten": (lambda: ones(2, 6).unflatten(1, (4, 2)), ValueError, "unflatten: 6 (4, 2)"),
    "flatten": (lambda: ones(2, 6).flatten(1, 0), ValueError, "flatten: start_dim"),
    "expand": (lambda: ones(2, 3).expand(4, 3), ValueError, "expand: (4, 3) (2, 3)"),
    "permute": (lambda: ones(2, 3).permute(0, 0), ValueError, "permute: (0, 1) (0, 0)"),
    "t": (lambda: ones(2, 3, 4).t(), ValueError, "t: two axes (2, 3, 4) .mT"),
    "axis": (lambda: ones(2, 3).sum(2), IndexError, "sum: from -2 to 1 2"),
    "negative axis": (lambda: ones(2, 3).softmax(-3), IndexError, "softmax: from -2 to 1 -3"),
    "axis twice": (lambda: ones(2, 3).sum((0, -2)), ValueError, "sum: twice (0, -2)"),
    "axis of a float": (lambda: ones(2, 3).sum(1.0), TypeError, "sum: integer 1.0"),
    "cat": (lambda: minigrad.cat([ones(2, 3), ones(3, 2)]), ValueError,
        "cat: tensor 1 (2, 3) (3, 2)"),
    "cat nothing": (lambda: minigrad.cat([]), ValueError, "cat: nothing"),
    "cat numbers": (lambda: minigrad.cat([ones(2), 3]), TypeError, "cat: tensors int"),
    "stack numbers": (lambda: minigrad.stack([ones(2), 3]), ValueError, "stack: int"),
    "split": (lambda: ones(5).split([2, 2]), ValueError, "split: 5 [2, 2] 4 in all"),
    "split 0": (lambda: ones(5).split(0), ValueError, "split: not positive 0"),
    "chunk": (lambda: ones(5).chunk(0), ValueError, "chunk: 0"),
    "unbind": (lambda: minigrad.tensor(1.0).unbind(), ValueError, "unbind: axes"),
    "repeat": (lambda: ones(2, 3).repeat(2), ValueError, "repeat: 2 (2,)"),
    "tril": (lambda: ones(3).tril(), ValueError, "tril/triu: 2 axes (3,)"),
    "gather": (lambda: ones(2, 3).gather(0, minigrad.tensor([0])), ValueError, "gather: axes 2 1"),
    "gather floats": (lambda: ones(2, 3).gather(0, ones(1, 3)), IndexError, "index: float32"),
    "index floats": (lambda: ones(3)[ones(2)], IndexError, "index: integers or booleans float32"),
    "pad": (lambda: F.pad(ones(2, 3), (1,)), ValueError, "pad: pairs (1,)"),
    "pad mode": (lambda: F.pad(ones(2, 3), (1, 1), mode="edge"), ValueError,
        "pad: 'replicate' 'edge'"),
    "pad reflect": (lambda: F.pad(ones(1, 2, 3), (4, 0), mode="reflect"), ValueError,
                    "pad: 'reflect' 0 to 2 (4, 0)"),
    "amax of nothing": (lambda: minigrad.zeros(0, 3).amax(0), ValueError, "amax: nothing (0, 3)"),
    "argmax of nothing": (lambda: minigrad.zeros(0).argmax(), ValueError, "argmax: nothing (0,)"),
    "norm": (lambda: ones(3).norm(-1), ValueError, "norm: -1"),
    "norm of NaN": (lambda: ones(3).norm(float("nan")), ValueError, "norm: nan"),
    "clamp": (lambda: ones(3).clamp(), ValueError, "clamp: min max"),
    "rounding": (lambda: ones(3).div(2, rounding_mode="up"), ValueError, "div: 'floor' 'up'"),
    "topk": (lambda: ones(3).topk(4), ValueError, "topk: 0 to 3 4"),
    "bits of floats": (lambda: ones(2) & ones(2), TypeError, "bitwise_and: integers float32"),
    "softmax of integers": (lambda: minigrad.arange(3).softmax(0), TypeError, "softmax: int64"),
    "gradients": (lambda: backward([leaf(1) * 2], [None, None]), RuntimeError, "backward: 1 2"),
    "unused": (lambda: grad(leaf(1) * 2, leaf(1)), RuntimeError, "grad: [0] allow_unused"),
    "no input": (lambda: grad(leaf(1) * 2, []), ValueError, "grad: no tensor"),
    "numpy": (lambda: leaf(3).numpy(), RuntimeError, "numpy: x.detach().numpy()"),
    "item": (lambda: ones(3).item(), ValueError, "item: one element shape (3,)"),
    "truth": (lambda: bool(ones(3)), ValueError, "bool: shape (3,) .any()"),
    "new data": (lambda: setattr(leaf(3), "data", 3), TypeError, "data: not a tensor int"),
    "cast": (lambda: ones(3).to(np.dtype("U2")), TypeError, "to: <U2"),
}  # fmt: skip


def check(call, error, expected):
    """Raise, and return the text, which must begin with the op and have all the words in it."""
    with pytest.raises(error) as caught:
        call()
    text = str(caught.value)
    op, words = expected.split(": ")
    assert text.startswith(f"{op}: "), text
    for word in words.split():
        assert word in text, f"{word!r} is not said in:\n{text}"
    return text


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", COMPLETE)
def test_the_text_is_complete(name):
    text = check(*COMPLETE[name])
    lines = text.split("\n")
    assert [line.split(":")[0].strip() for line in lines[1:]] == ["Expect", "Actual", "Do"], text
    assert lines[0].endswith("."), "one sentence"
    assert all(len(line) < 170 for line in lines)
    assert "minigrad/" not in text and "0x" not in text


@pytest.mark.parametrize("name", OTHERS)
def test_the_text_says_op_and_fault(name):
    text = check(*OTHERS[name])
    assert text.split("\n")[0].endswith("."), text


# --------------------------------------------------------------------------- nothing is lost

FAILING = {
    "matmul": lambda x, w: x @ w,
    "add": lambda x, w: x + w.T,
    "cat": lambda x, w: minigrad.cat([x, w.T], 1) @ x,
    "view": lambda x, w: x.view(7) + w,
    "conv": lambda x, w: F.conv2d(x, w),
    "index": lambda x, w: x["a"],
    "axis": lambda x, w: x.sum(5),
    "not a scalar": lambda x, w: (x * w).backward(),
    "wrong gradient": lambda x, w: (x * w).backward(minigrad.ones(7)),
    "wrong hook": lambda x, w: _with_wrong_hook(x, w),
    "in place": lambda x, w: w.add_(1),
    "into another": lambda x, w: x.copy_(w),
    "assignment": lambda x, w: x.__setitem__(0, w[0]),
    "device": lambda x, w: (x * w).to("tpu"),
    "wrong rule": lambda x, w: _Wrong.apply(w).sum().backward(),
}


class _Wrong(Function):
    def forward(self, x):
        return x * 2

    def backward(self, gy):
        return gy.sum()


def _with_wrong_hook(x, w):
    h = x * w
    h.register_hook(lambda g: g.sum())
    h.sum().backward()


@pytest.mark.parametrize("name", FAILING)
def test_nothing_is_lost(name):
    x, w = ones(3, 2) * 2, leaf(3, 2)
    seed = minigrad.get_rng_state()
    with pytest.raises((ValueError, TypeError, RuntimeError, IndexError)):
        FAILING[name](x, w)
    assert minigrad.is_grad_enabled()
    assert w.grad is None and x.grad is None and w.requires_grad and w.is_leaf
    assert x._version[0] == w._version[0] == 0
    np.testing.assert_array_equal(arr(x), np.full((3, 2), 2))
    np.testing.assert_array_equal(arr(w.detach()), np.ones((3, 2)))
    assert minigrad.get_rng_state() == seed
    (x * w).sum().backward()  # and it goes on
    np.testing.assert_array_equal(arr(w.grad), np.full((3, 2), 2))


def test_a_failed_walk_can_be_started_again():
    """Checks come before the first node is freed."""
    x, y = leaf(3), leaf(3)
    h = x * y
    for wrong in (
        lambda: h.backward(),
        lambda: h.backward(ones(2)),
        lambda: grad(h.sum(), [x, 3]),
        lambda: grad(h.sum(), ones(3)),
        lambda: backward([h, ones(1)], [ones(3), None]),
        lambda: next(backprop([h], [ones(3), ones(3)])),
    ):
        with pytest.raises((RuntimeError, TypeError)):
            wrong()
    h.sum().backward()
    np.testing.assert_array_equal(arr(x.grad), [1, 1, 1])


def test_empty_batches_pass_through_ops():
    """As in PyTorch: the shapes are right; it is the mean of a loss that has no value."""
    x = minigrad.zeros(0, 2, 6, 6, requires_grad=True)
    weight = leaf(3, 2, 3, 3)
    y = F.conv2d(x, weight)
    assert tuple(y.shape) == (0, 3, 4, 4)
    y = F.avg_pool2d(F.max_pool2d(y.relu(), 2), 2).flatten(1)
    y = F.linear(y, leaf(5, 3)).log_softmax(1)
    assert tuple(y.shape) == (0, 5)
    y.sum().backward()
    assert tuple(x.grad.shape) == (0, 2, 6, 6)
    np.testing.assert_array_equal(arr(weight.grad), np.zeros((3, 2, 3, 3)))
    with pytest.raises(ValueError, match="cross_entropy(.|\n)*empty batch"):
        F.cross_entropy(y.detach(), minigrad.zeros(0, dtype=minigrad.int64))


# ------------------------------------------------------------------------------------- devices


@pytest.fixture
def without_cupy(monkeypatch):
    """As on a machine on which CuPy was not imported yet."""
    monkeypatch.setattr(backend, "cupy", None)


def cupy_that(monkeypatch, available=True, driver=13000, works=True, count=1):
    """Put a module in CuPy's place that finds what is said."""
    module = types.ModuleType("cupy")
    module.__version__ = "14.1.0"
    module.is_available = lambda: available

    def new(*args):
        if not works:
            raise OSError("libnvrtc.so.13: cannot open shared object file")
        return np.ones(2, "f4")

    module.ones = new
    module.ndarray = type("ndarray", (), {})
    runtime = types.SimpleNamespace(
        driverGetVersion=lambda: driver,
        getDeviceCount=lambda: count,
        deviceSynchronize=lambda: None,
    )
    allocators = dict(get_allocator=lambda: None, set_allocator=lambda allocate: None)
    module.cuda = types.SimpleNamespace(runtime=runtime, **allocators)
    monkeypatch.setitem(sys.modules, "cupy", module)
    return module


WITHOUT_GPU = {
    "no CuPy": (None, ["CuPy is not installed", "cupy", "pip install '.[cuda13x]'", "nvidia-smi"]),
    "no driver": (dict(available=False, driver=0), ["14.1.0", "no NVIDIA driver", "'cpu'"]),
    "old driver": (
        dict(available=False, driver=11000),
        ["too old", "CUDA_VISIBLE_DEVICES", "'cpu'"],
    ),
    "no libraries": (dict(works=False), ["not the CUDA libraries", "libnvrtc", "[ctk]"]),
}
ASK = {
    "new": lambda x: minigrad.zeros(2, device="cuda"),
    "tensor": lambda x: minigrad.tensor([1.0], device="cuda"),
    "to": lambda x: x.to("cuda"),
    "cuda": lambda x: x.cuda(),
    "cuda number": lambda x: x.cuda(0),
    "number": lambda x: x.to(0),
    "device": lambda x: x.to(minigrad.device("cuda", 0)),
    "block": lambda x: _in_block(),
    "synchronize": lambda x: minigrad.cuda.synchronize(),
}


def _in_block():
    with minigrad.device("cuda"):
        return minigrad.zeros(2)


@pytest.mark.cpu_only
@pytest.mark.parametrize("machine", WITHOUT_GPU)
@pytest.mark.parametrize("ask", ASK)
def test_without_a_gpu(machine, ask, monkeypatch, without_cupy, device):
    found, words = WITHOUT_GPU[machine]
    if found is None:
        monkeypatch.setitem(sys.modules, "cupy", None)
    else:
        cupy_that(monkeypatch, **found)
    x = leaf(2)
    with pytest.raises(minigrad.DeviceError) as caught:
        ASK[ask](x)
    text = str(caught.value)
    assert text.startswith("device 'cuda': ")
    assert [line.split(":")[0].strip() for line in text.split("\n")[1:]] == [
        "Expect",
        "Actual",
        "Do",
    ]
    for word in words:
        assert word in text, text
    assert x.device.type == "cpu" and backend.default_device().type == "cpu"
    assert backend.cupy is None  # and the next question is asked afresh
    assert (x * 2).sum().item() == 4


@pytest.mark.cpu_only
@pytest.mark.parametrize("machine", WITHOUT_GPU)
def test_is_available_never_raises(machine, monkeypatch, without_cupy, device):
    found, _ = WITHOUT_GPU[machine]
    if found is None:
        monkeypatch.setitem(sys.modules, "cupy", None)
    else:
        cupy_that(monkeypatch, **found)
    assert minigrad.cuda.is_available() is False
    assert minigrad.cuda.device_count() == 0
    minigrad.cuda.manual_seed(3)
    minigrad.cuda.empty_cache()
    chosen = minigrad.device("cuda" if minigrad.cuda.is_available() else "cpu")
    assert str(chosen) == "cpu"


@pytest.mark.cpu_only
def test_a_gpu_that_is_not_there(monkeypatch, without_cupy, device):
    cupy_that(monkeypatch, count=2)
    with pytest.raises(minigrad.DeviceError, match=r"an index below 2(.|\n)*cuda:2"):
        minigrad.zeros(2, device="cuda:2")
    assert minigrad.cuda.is_available() and minigrad.cuda.device_count() == 2


def test_names_of_devices():
    for name, text in (("cpu", "cpu"), ("cpu:0", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda:1")):
        assert str(minigrad.device(name)) == text
    assert minigrad.device("cuda", 1) == minigrad.device("cuda:1") == minigrad.device(1)
    assert minigrad.device("cpu", 0) == minigrad.device("cpu")
    assert minigrad.device(minigrad.device("cuda:1")) == minigrad.device("cuda:1")
    assert repr(minigrad.device("cuda", 1)) == "device(type='cuda', index=1)"
    assert len({minigrad.device("cpu"), minigrad.device("cpu:0"), minigrad.device("cuda")}) == 2
    for wrong in ("", "CPU", "cuda:", "cuda:1.0", "cuda:-1", "cuda:²", "mps", None, 1.5, -1):
        with pytest.raises(minigrad.DeviceError):
            minigrad.device(wrong)


def test_tensors_on_two_devices_are_refused(device):
    if minigrad.device(device).type == "cpu":
        pytest.skip("needs two devices")
    x, y = leaf(2), minigrad.ones(2, device="cpu")
    for mix in (
        lambda: x + y,
        lambda: x @ y,
        lambda: minigrad.cat([x, y]),
        lambda: minigrad.where(y > 0, x, x),
        lambda: x == y,
        lambda: F.linear(x, minigrad.ones(3, 2, device="cpu")),
    ):
        with pytest.raises(minigrad.DeviceError, match=r"different devices(.|\n)*\.to\(device\)"):
            mix()
    with pytest.raises(TypeError, match=r"x\.cpu\(\)\.numpy\(\)"):
        x.detach().numpy()
    (x * y.to(x.device)).sum().backward()
    assert x.grad.device == x.device
