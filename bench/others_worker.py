"""LeNet's training step in one of three engines written in NumPy: asked by ``others.py``.

Each network is written as its engine's users write it, with that engine's own layers. Weights,
images and labels come from one seed, in float32, so all three compute the same losses;
``others.py`` checks that. This file imports no engine but its own: an older one may need an
interpreter with an older NumPy.

- minigrad computes no gradient for the images, nor does MyGrad; DeZero always does.
- MyGrad has no optimizer: its update is written here, in place. Its guard against writing to arrays
  that a graph still needs is off, as its documentation advises for speed.
- DeZero subtracts one-hot labels from float32 in the dtype of the labels, so they are int16: int64
  would make every gradient float64. It multiplies by a 0-d float64 array too, which has the
  same effect since NumPy 2; so NumPy 1 is the fairer one for it.

Before this: ``worker.py``. Next: ``others.py``.
"""

from __future__ import annotations

import json
import math
import sys
import time

import numpy as np

ENGINE = sys.argv[1]  # "minigrad", "mygrad" or "dezero"
LR, MOMENTUM = 0.01, 0.9
SHAPES = [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def weights_and_biases() -> list:
    """Return ten arrays: of every layer its weight (outputs first), then its bias."""
    rng, arrays = np.random.default_rng(0), []
    for shape in SHAPES:
        bound = 1 / math.sqrt(math.prod(shape[1:]))
        for size in (shape, shape[0]):
            arrays.append(rng.uniform(-bound, bound, size).astype(np.float32))
    return arrays


def minigrad_step(x, y):
    import worker  # it takes the engine's name from the command line too

    import minigrad

    model, criterion = worker.lenet(), minigrad.nn.CrossEntropyLoss()
    with minigrad.no_grad():
        for parameter, start in zip(model.parameters(), weights_and_biases()):
            parameter.copy_(minigrad.from_numpy(start))
    optimizer = minigrad.optim.SGD(model.parameters(), lr=LR, momentum=MOMENTUM)
    x, y = minigrad.from_numpy(x), minigrad.from_numpy(y.astype(np.int64))

    def step():
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, lambda: [p.grad.numpy() for p in model.parameters()]


def mygrad_step(x, y):
    import mygrad
    from mygrad.nnet.activations import relu
    from mygrad.nnet.layers import conv_nd, max_pool
    from mygrad.nnet.losses import softmax_crossentropy

    mygrad.turn_memory_guarding_off()
    parameters = [mygrad.tensor(a) for a in weights_and_biases()]
    w1, b1, w2, b2, w3, b3, w4, b4, w5, b5 = parameters
    velocities = [np.zeros_like(p.data) for p in parameters]

    def step():
        h = conv_nd(x, w1, stride=1, padding=2) + b1.reshape(1, -1, 1, 1)
        h = max_pool(relu(h), (2, 2), 2)
        h = conv_nd(h, w2, stride=1) + b2.reshape(1, -1, 1, 1)
        h = max_pool(relu(h), (2, 2), 2).reshape(len(x), -1)
        h = relu(mygrad.matmul(h, w3.T) + b3)
        h = relu(mygrad.matmul(h, w4.T) + b4)
        loss = softmax_crossentropy(mygrad.matmul(h, w5.T) + b5, y)
        loss.backward()
        for p, v in zip(parameters, velocities):
            v *= MOMENTUM
            v += p.grad
            p.data -= LR * v
        return loss.item()

    return step, lambda: [p.grad for p in parameters]


def dezero_step(x, y):
    np.int = int  # an old name, which importing DeZero needs  # noqa: NPY001
    import dezero.functions as F
    import dezero.layers as L
    from dezero import Model, optimizers

    class LeNet(Model):
        def __init__(self):
            super().__init__()
            self.conv1 = L.Conv2d(6, 5, pad=2, in_channels=1)
            self.conv2 = L.Conv2d(16, 5, in_channels=6)
            self.fc1 = L.Linear(120, in_size=400)
            self.fc2 = L.Linear(84, in_size=120)
            self.fc3 = L.Linear(10, in_size=84)

        def forward(self, x):
            x = F.pooling(F.relu(self.conv1(x)), 2, 2)
            x = F.flatten(F.pooling(F.relu(self.conv2(x)), 2, 2))
            return self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))

    model, arrays = LeNet(), weights_and_biases()
    layers = [model.conv1, model.conv2, model.fc1, model.fc2, model.fc3]
    for layer, weight, bias in zip(layers, arrays[::2], arrays[1::2]):
        # Its linear layers hold the inputs first.
        layer.W.data = weight if weight.ndim == 4 else np.ascontiguousarray(weight.T)
        layer.b.data = bias
    optimizer = optimizers.MomentumSGD(LR, MOMENTUM).setup(model)

    def step():
        loss = F.softmax_cross_entropy(model(x), y)
        model.cleargrads()
        loss.backward()
        optimizer.update()
        return loss.data.item()

    return step, lambda: [p.grad.data for p in model.params()]


def training_step(batch: int):
    """Return a step on one batch that stays the same, and what gives the gradients after it."""
    rng = np.random.default_rng(1)
    x = rng.random((batch, 1, 28, 28), dtype=np.float32)
    y = rng.integers(0, 10, batch).astype(np.int16)
    return globals()[f"{ENGINE}_step"](x, y)


def facts(batch: int) -> dict:
    """Return the losses of five steps from the start, and what was computed with."""
    step, gradients = training_step(batch)
    losses = [step() for _ in range(5)]
    dtypes = sorted({str(g.dtype) for g in gradients()})
    return {"losses": losses, "gradients": "/".join(dtypes), "numpy": np.__version__}


def main():
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "threads" in request:  # MyGrad's and DeZero's are set before this process starts
            if ENGINE == "minigrad":
                import minigrad

                minigrad.set_num_threads(request["threads"])
            answer = "ok"
        elif "facts" in request:
            answer = facts(request["facts"])
        else:
            batch, answer = request["batch"], []
            if batch not in ready:
                ready = {batch: training_step(batch)[0]}
                for _ in range(3):
                    ready[batch]()
            for _ in range(request["times"]):
                start = time.perf_counter()
                ready[batch]()
                answer.append((time.perf_counter() - start) * 1e3)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
