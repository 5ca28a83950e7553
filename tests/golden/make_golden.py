"""Make ``ops.npz`` and ``training.npz``: what PyTorch computes, for tests that run without it.

    python tests/golden/make_golden.py          needs PyTorch

``ops.npz`` has, for every line of `CASES`, the result and the gradients under a random upstream
gradient, in float64. ``training.npz`` has the losses of 20 training steps of each of `MODELS`.
Operands, weights and batches come from seeds and are not stored. ``tests/test_golden.py`` holds
minigrad to both: it runs the same lines with minigrad in PyTorch's place, which the names allow.
"""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

FOLDER = Path(__file__).parent
STEPS = 20


def numbers(name: str):
    """Return ``draw(*shape)``: uniform numbers from -2 to 2, from a seed that the name decides.

    Only ``Generator.random`` is used: it is a fixed function of the raw bits of PCG64, so the
    numbers will not change with NumPy's version.
    """
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    return lambda *shape: np.asarray(4 * rng.random(shape) - 2)


A, B, V = (3, 4), (3, 4), (5,)
IMAGE, KERNEL = (2, 4, 6, 5), (6, 2, 3, 2)
PLACES = np.array([[0, 2, 1, 1], [2, 2, 0, 1]])
MASK = np.arange(12).reshape(3, 4) % 3 == 0

# name: (call, shapes of the operands). `t` is the library, `F` its nn.functional, `n` makes one
# of its tensors from integers or booleans.
CASES = {
    "add": (lambda t, F, n, a, b: a + 2 * b, [A, (4,)]),
    "sub": (lambda t, F, n, a, b: 1 - a - b, [A, (3, 1)]),
    "mul": (lambda t, F, n, a, b: a * b, [(2, 1, 4), (3, 1)]),
    "div": (lambda t, F, n, a, b: a / (b * b + 1), [A, B]),
    "pow": (lambda t, F, n, a, b: (a * a + 0.1) ** b, [A, (4,)]),
    "pow number": (lambda t, F, n, a: a**3 + 2**a + (a * a + 1) ** -0.5, [A]),
    "remainder": (lambda t, F, n, a: a % 0.7 + t.remainder(a, 1.3), [A]),
    "exp": (lambda t, F, n, a: t.exp(a), [A]),
    "log": (lambda t, F, n, a: t.log(a.abs() + 0.1), [A]),
    "log1p": (lambda t, F, n, a: t.log1p(a * a), [A]),
    "sqrt": (lambda t, F, n, a: t.sqrt(a.square() + 0.1), [A]),
    "rsqrt": (lambda t, F, n, a: t.rsqrt(a * a + 0.1) + t.reciprocal(a * a + 1), [A]),
    "sin": (lambda t, F, n, a: t.sin(a) * t.cos(2 * a), [A]),
    "tanh": (lambda t, F, n, a: t.tanh(3 * a), [A]),
    "sigmoid": (lambda t, F, n, a: t.sigmoid(-20 * a), [A]),
    "relu": (lambda t, F, n, a: t.relu(a) - 0.1 * t.relu(-a), [A]),
    "abs": (lambda t, F, n, a: a.abs() + t.sign(a) + t.floor(a) * t.ceil(a), [A]),
    "clamp": (lambda t, F, n, a: a.clamp(-0.5, 1) + a.clamp(min=0) + a.clamp(max=0.3), [A]),
    "maximum": (lambda t, F, n, a, b: t.maximum(a, b) - t.minimum(a, 2 * b), [A, B]),
    "maximum tie": (lambda t, F, n, a: t.maximum(a, a.round()) * t.maximum(a * 1, a), [A]),
    "where": (lambda t, F, n, a, b: t.where(n(MASK), a, b) + a.masked_fill(n(MASK), 3.0), [A, B]),
    "softmax": (lambda t, F, n, a: t.softmax(3 * a, 1), [A]),
    "softmax 0": (lambda t, F, n, a: a.softmax(0) * a, [(4, 2, 3)]),
    "log_softmax": (lambda t, F, n, a: t.log_softmax(100 * a, -1), [A]),
    "logsumexp": (lambda t, F, n, a: t.logsumexp(9 * a, (0, 2)), [(2, 3, 4)]),
    "sum": (lambda t, F, n, a: a.sum((0, -1)) * a.sum(), [(2, 3, 4)]),
    "mean": (lambda t, F, n, a: a.mean(1, keepdim=True) * a.mean(), [(2, 3, 4)]),
    "var": (lambda t, F, n, a: a.var(1) + a.var(1, correction=0) * a.std(), [A]),
    "norm": (lambda t, F, n, a: a.norm() * a.norm(1, 0) + a.norm(3.0, 0) + a.norm(dim=0), [A]),
    "amax": (lambda t, F, n, a: a.amax(1) + a.amin((0, 1)) * a.round().amax(1), [A]),
    "max": (lambda t, F, n, a: a.max(0).values * a.min(0)[0] + a.max(), [A]),
    "prod": (lambda t, F, n, a: a.prod(1) + a.prod(), [(2, 3)]),
    "prod of zeros": (lambda t, F, n, a: t.prod(a.round(), 0) + (a - a.detach()).prod(0), [A]),
    "cumsum": (lambda t, F, n, a: a.cumsum(1) * a.cumsum(0), [A]),
    "sort": (lambda t, F, n, a: a.sort(1).values * a.sort(0, descending=True)[0], [A]),
    "topk": (lambda t, F, n, a: a.topk(2, 1).values * a.topk(2, 1, largest=False)[0], [A]),
    "matmul": (lambda t, F, n, a, b: a @ b, [A, (4, 2)]),
    "matmul batch": (lambda t, F, n, a, b: t.matmul(a, b), [(2, 1, 3, 4), (5, 4, 2)]),
    "matmul vector": (lambda t, F, n, a, b: (a @ b) * (b @ a.mT) + b @ b, [(2, 3, 4), (4,)]),
    "linear": (lambda t, F, n, x, w, b: F.linear(x, w, b), [(2, 3, 4), (5, 4), (5,)]),
    "reshape": (lambda t, F, n, a: (a.T.reshape(2, 6) * a.view(2, -1)).flatten(), [A]),
    "permute": (lambda t, F, n, a: a.permute(2, 0, 1) * a.transpose(0, 2).mT, [(2, 3, 4)]),
    "expand": (lambda t, F, n, a: a.unsqueeze(1).expand(-1, 6, 4) * a.repeat(1, 2, 1), [(3, 4)]),
    "squeeze": (lambda t, F, n, a: a.squeeze() + a.squeeze(0)[0] * a[None, 0, :, 0], [(1, 3, 1)]),
    "flip": (lambda t, F, n, a: a.flip(0, 1) * a + t.tril(a, 1) * t.triu(a), [A]),
    "slices": (lambda t, F, n, a: a[1:, ::2] * a[:2, 1::2] + a[-1, 0], [A]),
    "index": (lambda t, F, n, a: a[n(PLACES)] * a[:, n(PLACES[0])].sum(), [A]),
    "mask": (lambda t, F, n, a: a[n(MASK)] * a[n(MASK[:, 0])].sum(), [A]),
    "gather": (lambda t, F, n, a: a.gather(0, n(PLACES)) * a.index_select(0, n(PLACES[0, :2])),
        [A]),
    "cat": (lambda t, F, n, a, b: t.cat([a, b, a], 1), [A, (3, 2)]),
    "stack": (lambda t, F, n, a, b: t.stack([a, b], -1) * t.stack((b, a), 2), [A, B]),
    "split": (lambda t, F, n, a: a.split(2, 1)[0][:2] * a.chunk(2, 1)[1][1:] + a.split([1,
        2])[1][:, :2], [A]),
    "unbind": (lambda t, F, n, a: a.unbind(1)[1] * t.unbind(a)[0][0], [A]),
    "pad": (lambda t, F, n, a: F.pad(a, (1, 2, -1, 1), value=0.5), [A]),
    "pad reflect": (lambda t, F, n, a: F.pad(a, (1, 2, 2, 0), mode="reflect"), [(1, 2, 3, 4)]),
    "pad replicate": (lambda t, F, n, a: F.pad(a, (1, 2, 2, 0), mode="replicate"), [(1, 2, 3, 4)]),
    "pad circular": (lambda t, F, n, a: F.pad(a, (1, 2, 2, 0), mode="circular"), [(1, 2, 3, 4)]),
    "conv2d": (lambda t, F, n, x, w, b: F.conv2d(x, w, b, padding=1, groups=2), [IMAGE, KERNEL,
        (6,)]),
    "conv2d strides": (lambda t, F, n, x, w: F.conv2d(x, w, stride=(2, 1), padding=(2, 1),
                                                      dilation=(1, 2), groups=2), [IMAGE, KERNEL]),
    "conv2d same": (lambda t, F, n, x, w: F.conv2d(x, w, padding="same", groups=2), [IMAGE,
        KERNEL]),
    "conv_transpose2d": (lambda t, F, n, x, w, b: F.conv_transpose2d(
        x, w, b, stride=(3, 2), padding=(1, 0), output_padding=(1, 0), dilation=(1, 2)),
        [(2, 6, 4, 3), KERNEL, (2,)]),
    "max_pool2d": (lambda t, F, n, x: F.max_pool2d(x, 3, 2, 1), [IMAGE]),
    "max_pool2d ties": (lambda t, F, n, x: F.max_pool2d(x.round() + 0 * x, 2, ceil_mode=True),
        [IMAGE]),
    "avg_pool2d": (lambda t, F, n, x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), [IMAGE]),
    "adaptive": (lambda t, F, n, x: F.adaptive_avg_pool2d(x, (4, 3)), [IMAGE]),
    "batch_norm": (lambda t, F, n, x, w, b: F.batch_norm(x, None, None, w, b, training=True),
                   [IMAGE, (4,), (4,)]),
    "cross_entropy": (lambda t, F, n, x: F.cross_entropy(9 * x, n(PLACES[0]), reduction="none"),
        [(4, 3)]),
    "cross_entropy options": (lambda t, F, n, x, w: F.cross_entropy(
        x, n(PLACES[0]), weight=w.exp().detach(), ignore_index=1, label_smoothing=0.1), [(4, 3),
        (3,)]),
    "cross_entropy soft": (lambda t, F, n, x, p: F.cross_entropy(x, p.softmax(1)), [(4, 3), (4,
        3)]),
    "mse": (lambda t, F, n, a, b: F.mse_loss(a, b), [A, B]),
    "bce": (lambda t, F, n, a, b: F.binary_cross_entropy(a.sigmoid(), b.sigmoid()), [A, B]),
    "bce logits": (lambda t, F, n, a, b: F.binary_cross_entropy_with_logits(
        20 * a, b.sigmoid(), reduction="sum"), [A, B]),
    "kl_div": (lambda t, F, n, a, b: F.kl_div(a.log_softmax(1), b.softmax(1),
        reduction="batchmean"), [A, B]),
}  # fmt: skip


def mlp(nn):
    return nn.Sequential(
        nn.Linear(49, 32), nn.Tanh(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 10)
    )


def lenet(nn):
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(72, 20), nn.Sigmoid(), nn.Linear(20, 10),
    )  # fmt: skip


def cnn(nn):
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding="same", groups=2), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, 10),
    )  # fmt: skip


# name: (model, shape of an image, optimizer)
MODELS = {
    "mlp, SGD with momentum": (mlp, (49,), lambda o, p: o.SGD(p, lr=0.1, momentum=0.9)),
    "lenet, Adam": (lenet, (1, 14, 14), lambda o, p: o.Adam(p, lr=0.01)),
    "cnn, Nesterov, decay": (
        cnn,
        (1, 14, 14),
        lambda o, p: o.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    ),
}


def train(t, name: str) -> tuple[list[float], list[float]]:
    """Train one of `MODELS` with a library; return the losses and the size of each parameter."""
    build, shape, optimizer = MODELS[name]
    model, draw = build(t.nn).to(t.float64), numbers(name)
    for p in model.parameters():
        scale = (3 / max(1, p.numel() // p.shape[0])) ** 0.5 / 2
        p.data.copy_(t.from_numpy(draw(*p.shape) * scale))
    step = optimizer(t.optim, model.parameters())
    losses = []
    for _ in range(STEPS):
        x = draw(16, *shape)
        labels = t.from_numpy(x.reshape(16, -1)[:, :10].argmax(axis=1))
        loss = t.nn.functional.cross_entropy(model(t.from_numpy(x)), labels)
        step.zero_grad()
        loss.backward()
        step.step()
        losses.append(loss.item())
    return losses, [p.detach().abs().sum().item() for p in model.parameters()]


def main() -> None:
    import torch

    torch.set_num_threads(1)
    stored = {}
    for name, (call, shapes) in CASES.items():
        draw = numbers(name)
        arrays = [draw(*shape) for shape in shapes]
        xs = [torch.from_numpy(array).requires_grad_() for array in arrays]
        y = call(torch, torch.nn.functional, torch.from_numpy, *xs)
        gy = torch.from_numpy(draw(*y.shape))
        gradients = torch.autograd.grad(y, xs, gy, allow_unused=True)
        stored[f"{name}/y"] = y.detach().numpy()
        for i, (x, g) in enumerate(zip(arrays, gradients)):
            stored[f"{name}/g{i}"] = np.zeros(x.shape) if g is None else g.numpy()
    stored["made by"] = np.array(f"PyTorch {torch.__version__}")
    np.savez_compressed(FOLDER / "ops.npz", **stored)

    stored = {}
    for name in MODELS:
        stored[f"{name}/losses"], stored[f"{name}/parameters"] = train(torch, name)
    stored["made by"] = np.array(f"PyTorch {torch.__version__}")
    np.savez_compressed(FOLDER / "training.npz", **stored)


if __name__ == "__main__":
    main()
