"""The first part of ``gpu.py``: facts about the machine, its libraries, and what calls cost.

Every fact stands alone: one that fails says so, with the error's last lines, and the next begins.

Before this: ``gpu.py``. Next: ``gpu_checks.py``.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import importlib.metadata
import platform
import sys
import time

import gpu_device
import numpy as np
from gpu_device import attempt, cupy, wait

EXACT, TF32 = 1e-5, 2e-3  # what a product of float32, and of TF32, may be off


def facts(device: str, figures: dict) -> None:
    """Versions, the error of products, what can be captured, what a call costs the host."""
    gpu_device.prepare(device)
    for name, check in {
        "versions": versions,
        "GPU": gpu,
        "kernels": kernels,
        "error of products": product_errors,
        "1e-40 in float32": subnormals,
        "a product in a graph": product_in_a_graph,
        "random numbers in a graph": random_numbers_in_a_graph,
        "host cost of a call, us": host_costs,
        "host cost in PyTorch, us": torch_host_costs,
        "a graph of 50 small kernels, us": small_graph,
        "what can be captured": what_can_be_captured,
    }.items():
        attempt(figures, name, check)


def versions() -> dict:
    found = {"python": platform.python_version()}
    for name in ("numpy", "cupy", "minigrad"):
        try:
            found[name] = importlib.import_module(name).__version__
        except ImportError as error:
            found[name] = f"not installed ({error})"
    try:  # not imported yet: it brings libraries of its own, which CuPy and we would find first
        found["torch"] = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        found["torch"] = "not installed"
    return found


def gpu() -> dict:
    cp = cupy()
    runtime = cp.cuda.runtime
    found = {"driver": runtime.driverGetVersion(), "runtime": runtime.runtimeGetVersion()}
    free, total = cp.cuda.Device().mem_info
    found["memory"] = f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free"
    properties = getattr(runtime, "getDeviceProperties", None)
    if properties is not None:
        about = properties(0)
        found["name"] = about["name"].decode()
        found["compute capability"] = f"{about['major']}.{about['minor']}"
        found["multiprocessors"] = about["multiProcessorCount"]
    return found


def kernels() -> dict:
    import minigrad.kernels.cuda

    cupy()
    return minigrad.kernels.cuda.status()


def product_errors() -> dict:
    """The relative error of products of float32 against float64, ours and CuPy's own."""
    import minigrad as mg

    cp, rng = cupy(), np.random.default_rng(0)
    a, b = (rng.standard_normal((512, 512)).astype("f4") for _ in range(2))
    exact = a.astype("f8") @ b.astype("f8")

    def error(result):
        return float(np.linalg.norm(cp.asnumpy(result) - exact) / np.linalg.norm(exact))

    x, y = mg.from_numpy(a).to("cuda"), mg.from_numpy(b).to("cuda")
    before, found = mg.get_float32_matmul_precision(), {"cupy.matmul": error(x.array @ y.array)}
    found["cupy.matmul, TF32"] = error(tf32_product(cp, x.array, y.array))
    for precision, most in (("highest", EXACT), ("high", TF32)):
        mg.set_float32_matmul_precision(precision)
        found[precision] = error((x @ y).array)
        found[f"{precision}, transposed"] = error((y.T @ x.T).T.array)
        if not max(found[precision], found[f"{precision}, transposed"]) < most:
            found[f"{precision} is off"] = f"more than {most:g}"
    mg.set_float32_matmul_precision(before)
    return found


def subnormals() -> dict:
    """Is a number below the smallest normal one kept, or flushed to 0 (CuPy compiles so)?"""
    from minigrad.kernels import cuda

    cp = cupy()
    tiny = cp.full((4, 4), 1e-40, "f4")
    ours = tiny.copy()
    cuda.add_bias(ours, cp.zeros(4, "f4"))
    results = {"CuPy's kernel": tiny * 1, "our kernel": ours}
    results["our product"] = cuda.matmul(tiny, cp.eye(4, dtype="f4"))
    return {name: "kept" if float(y[0, 0]) else "flushed to 0" for name, y in results.items()}


def tf32_product(cp, a, b):
    """CuPy's own product with TF32, by the switch behind CUPY_TF32=1 (which has no public name)."""
    core = getattr(cp, "_core", None)
    if core is None:  # the stand-in
        return a @ b
    before = core.get_compute_type(a.dtype)
    core.set_compute_type(a.dtype, core._routines_linalg.COMPUTE_TYPE_TF32)
    try:
        return a @ b
    finally:
        core.set_compute_type(a.dtype, before)


def record(function):
    """Capture a function the way `cuda.capture` does; return the graph, the result and the pool."""
    cp = cupy()
    stream, pool = cp.cuda.Stream(non_blocking=True), cp.cuda.MemoryPool()
    wait()  # the stream does not wait for what was done on others
    with cp.cuda.using_allocator(pool.malloc), stream:
        function()
        stream.synchronize()
        gc.collect()
        gc.disable()
        try:
            stream.begin_capture()
            try:
                result = function()
            except Exception:
                with contextlib.suppress(Exception):  # leave the mode, and keep the first error
                    stream.end_capture()
                raise
            graph = stream.end_capture()
        finally:
            gc.enable()
    return graph, result, pool


def product_in_a_graph() -> str:
    """Capture a product, allocate and free other memory, replay on new values, compare."""
    import minigrad as mg

    cp, rng = cupy(), np.random.default_rng(0)
    x = mg.from_numpy(rng.standard_normal((256, 512)).astype("f4")).to("cuda")
    w = mg.from_numpy(rng.standard_normal((512, 128)).astype("f4")).to("cuda")
    graph, result, pool = record(lambda: (x @ w).relu() @ w.T)
    worst = 0.0
    for _ in range(20):
        junk = [cp.ones(n, "f4") for n in (1 << 20, 1 << 14, 1 << 22)]
        x.array[...] = cp.asarray(rng.standard_normal((256, 512)).astype("f4"))
        graph.launch()
        del junk
        a, b = cp.asnumpy(x.array).astype("f8"), cp.asnumpy(w.array).astype("f8")
        exact = np.maximum(a @ b, 0) @ b.T
        error = np.linalg.norm(cp.asnumpy(result.array) - exact) / np.linalg.norm(exact)
        worst = max(worst, float(error))
    if not worst < EXACT:
        raise ArithmeticError(f"error {worst:.1e} in a replay")
    return f"20 replays between other allocations, error at most {worst:.1e}"


def random_numbers_in_a_graph() -> str:
    """Does CuPy's generator draw new numbers in each replay? (Our dropout hashes keys instead.)"""
    cp = cupy()
    rng = cp.random.default_rng(0)
    graph, result, pool = record(lambda: rng.random(1000))
    draws = []
    for _ in range(3):
        graph.launch()
        draws.append(cp.asnumpy(result))
    fresh = not any(np.array_equal(a, b) for a, b in zip(draws, draws[1:], strict=False))
    return f"{'new' if fresh else 'THE SAME'} in each replay, mean {np.mean(draws):.3f}"


def per_call(function, times: int = 2000) -> float:
    """Microseconds that a call takes the host, the GPU's own time not waited for."""
    cp = cupy()
    times = times if hasattr(cp.cuda.runtime, "getDeviceProperties") else 3
    for _ in range(3):
        function()
    cp.cuda.runtime.deviceSynchronize()
    start = time.perf_counter()
    for _ in range(times):
        function()
    elapsed = time.perf_counter() - start
    cp.cuda.runtime.deviceSynchronize()
    return round(elapsed / times * 1e6, 2)


def host_costs() -> dict:
    import minigrad as mg
    from minigrad.kernels import cuda

    cp = cupy()
    a, x = cp.ones((32, 32), "f4"), mg.ones(32, 32, device="cuda")
    out, bias = cp.empty((32, 32), "f4"), cp.zeros(32, "f4")
    return {
        "empty": per_call(lambda: cp.empty((32, 32), "f4")),
        "view": per_call(lambda: a[1:]),
        "a + a": per_call(lambda: a + a),
        "a += a": per_call(lambda: cp.add(a, 0, a)),
        "a.sum()": per_call(lambda: a.sum()),
        "cupy.matmul": per_call(lambda: a @ a),
        "our matmul": per_call(lambda: cuda.matmul(a, a)),
        "our gemm into an array": per_call(lambda: cuda.gemm.gemm(a, a, out)),
        "our kernel (bias)": per_call(lambda: cuda.add_bias(out, bias)),
        "cupy.maximum (relu)": per_call(lambda: cuda.relu(a)),
        "Tensor +": per_call(lambda: x + x),
        "Tensor @": per_call(lambda: x @ x),
    }


def torch_host_costs() -> dict:
    import torch

    where = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.ones(32, 32, device=where)
    return {
        "on": where,
        "empty": per_call(lambda: torch.empty(32, 32, device=where)),
        "view": per_call(lambda: a[1:]),
        "a + a": per_call(lambda: a + a),
        "a.sum()": per_call(lambda: a.sum()),
        "a @ a": per_call(lambda: a @ a),
        "relu": per_call(lambda: a.relu()),
    }


def small_graph() -> dict:
    """One launch of 50 kernels that wait for each other, on 1,000 numbers: host, and in all.

    Only 20 launches for the host's cost: more would wait for a place in the queue.
    """
    cp = cupy()
    a = cp.ones(1000, "f4")

    def fifty():
        for _ in range(50):
            cp.add(a, 1, a)

    graph, _, pool = record(fifty)
    host = per_call(graph.launch, 20)
    start = time.perf_counter()
    for _ in range(200):
        graph.launch()
    cp.cuda.runtime.deviceSynchronize()
    return {"host": host, "in all": round((time.perf_counter() - start) / 200 * 1e6, 1)}


def what_can_be_captured() -> dict:
    """Each in a graph of its own; "no" with CuPy's word. (Last, for it may spoil the process.)"""
    from minigrad.kernels.cuda import matmul

    cp = cupy()
    a, index = cp.ones((64, 64), "f4"), cp.arange(64)
    tries = {
        "a + a": lambda: a + a,
        "sum": lambda: a.sum(0),
        "max": lambda: a.max(1),
        "argmax": lambda: a.argmax(1),
        "cumsum": lambda: a.cumsum(0),
        "zeros": lambda: cp.zeros(5),
        "where": lambda: cp.where(a > 0, a, 0),
        "take": lambda: a[index],
        "add.at": lambda: cp.add.at(a, index, a),
        "take_along_axis": lambda: cp.take_along_axis(a, index[:, None], 1),
        "0-d asarray": lambda: cp.asarray(3.0),
        "arange": lambda: cp.arange(9),
        "sort": lambda: cp.sort(a),
        "cupy.matmul": lambda: a @ a,
        "our matmul": lambda: matmul(a, a),
        "mask": lambda: a[a > 0],
        "item": lambda: a[0, 0].item(),
        "asarray": lambda: cp.asarray(np.ones(3)),
    }
    found = {}
    for name, function in tries.items():
        try:
            graph, _, pool = record(function)
            graph.launch()
            wait()
            found[name] = "yes"
        except Exception as error:
            found[name] = f"no: {type(error).__name__}: {str(error)[:60]}"
    return found


if __name__ == "__main__":
    sys.exit("run gpu.py")
