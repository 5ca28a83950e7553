"""One engine on the GPU, in a process of its own: prepares training steps and times them.

The networks and the step are written once, in ``worker.py``'s way: only `torch` is minigrad or
PyTorch. A line of JSON on standard input says what to do, the answer is a line of JSON: `prepare`
a step (model, batch, precision; plain, or as a CUDA graph), `run` it for about a tenth of a second,
`forget` it. Times are of the wall clock, from one synchronization to the next, so they hold the
host's part too.

Before this: ``gpu_checks.py``. ``gpu.py`` asks.
"""

from __future__ import annotations

import gc
import json
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import gpu_device

ENGINE, DEVICE = sys.argv[1], sys.argv[2]
if ENGINE == "minigrad":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
gpu_device.prepare(DEVICE)

import numpy as np  # noqa: E402
import worker  # noqa: E402  (the models; it reads the engine's name from sys.argv too)
from worker import nn, torch  # noqa: E402

MODELS = {
    "MLP": (worker.mlp, (1, 28, 28)),
    "LeNet": (worker.lenet, (1, 28, 28)),
    "CNN": (worker.cnn, (1, 28, 28)),
    "ResNet18": (worker.resnet18, (3, 32, 32)),
}
WARM_UP = 0.3  # seconds
TURN = 0.1
WHERE = gpu_device.name(ENGINE, DEVICE)

steps: dict = {}
peak = [0]  # bytes of the GPU's memory, of minigrad


def training_step(name: str, batch: int):
    """Return a training step, and the batch that it takes."""
    make_model, size = MODELS[name]
    torch.manual_seed(0)
    model = make_model().to(WHERE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.random((batch, *size), dtype=np.float32)).to(WHERE)
    y = torch.from_numpy(rng.integers(0, 10, batch)).to(WHERE)

    def step(x, y):
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    return step, (x, y)


def torch_graph(step, batch):
    """Return the step as PyTorch's CUDA graph: the recipe of its documentation.

    The step is kept with it: the graph works in the memory of its model and optimizer.
    """
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = step(*batch)

    def replay(x, y, keep=step):
        graph.replay()
        return loss

    return replay


def set_precision(precision: str) -> None:
    """'highest' is float32 throughout; 'high' lets products and convolutions use TF32."""
    torch.set_float32_matmul_precision(precision)
    if ENGINE == "torch":
        torch.backends.cudnn.allow_tf32 = precision == "high"


def prepare(model, batch, precision, way):
    set_precision(precision)
    step, data = training_step(model, batch)
    if way == "captured":
        step = torch.cuda.capture(step, data)
    if way == "graph":
        step = torch_graph(step, data)
    start, count = time.perf_counter(), 0
    while time.perf_counter() - start < (WARM_UP if DEVICE == "cuda" else 0) or count < 3:
        step(*data)
        count += 1
        torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(3):
        step(*data)
    torch.cuda.synchronize()
    once = (time.perf_counter() - start) / 3
    loss = step(*data).item()
    if not np.isfinite(loss):
        raise ArithmeticError(f"the loss is {loss}")
    steps[way] = step, data, precision, max(1, min(2000, round(TURN / once)))
    if ENGINE == "minigrad":
        own = getattr(step, "_pool", None)  # what a captured step works in
        peak[0] = max(peak[0], torch.cuda.memory_allocated() + (own.total_bytes() if own else 0))
    return {"repeats": steps[way][-1], "loss": loss}


def run(way):
    step, data, precision, repeats = steps[way]
    set_precision(precision)
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(repeats):
        step(*data)
    torch.cuda.synchronize()
    us = (time.perf_counter() - start) / repeats * 1e6
    few = min(10, repeats)  # few enough that the host need not wait for a place in the queue
    start = time.perf_counter()
    for _ in range(few):
        step(*data)
    host_us = (time.perf_counter() - start) / few * 1e6
    torch.cuda.synchronize()
    return {"us": us, "host_us": host_us}


def forget():
    steps.clear()
    gc.collect()
    torch.cuda.synchronize()  # an error of a kernel shows here, if not before
    torch.cuda.empty_cache()
    return {}


def describe():
    text = f"{torch.__version__} on {WHERE}"
    if ENGINE == "torch":
        text += f", cuDNN {torch.backends.cudnn.version()}, benchmark off, default layout"
    return {"text": text}


def memory():
    if ENGINE == "torch":
        return {"text": f"at most {torch.cuda.max_memory_allocated() / 2**20:,.0f} MiB in arrays"}
    return {"text": f"at most {peak[0] / 2**20:,.0f} MiB in arrays between steps and in graphs"}


COMMANDS = {f.__name__: f for f in (prepare, run, forget, describe, memory)}


def main():
    gc.disable()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = COMMANDS[request.pop("do")](**request)
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{Path(last.filename).name}:{last.lineno}"
            answer = {"error": f"{type(error).__name__}: {error} ({where})"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
