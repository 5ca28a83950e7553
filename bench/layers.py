"""Layer by layer beside PyTorch, on the CPU: where the time of a training step goes.

    python bench/layers.py                        every layer, on all cores
    python bench/layers.py --only conv --threads 1

Milliseconds of every kind of layer in LeNet and ResNet18 at batch 32: forward, which also builds
the graph, and backward, which computes the gradients that training needs. Measured as in
``bench.py``: each engine in a process of its own, in turn, medians of ratios.

Before this: ``bench.py``, ``layer_tasks.py``. Next: ``scaling.py``.
"""

from __future__ import annotations

import argparse

import bench


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure single layers beside PyTorch.")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine (7)")
    parser.add_argument("--threads", type=int, help="threads of each engine (all cores)")
    parser.add_argument("--only", default="", help="only what has this text in its name")
    parser.add_argument("--out", default=bench.HERE / "layers.json", help="the JSON file to write")
    args = parser.parse_args()

    engines = ["minigrad", "torch"] if bench.has_torch() else ["minigrad"]
    workers = {engine: bench.Worker(engine, args.threads) for engine in engines}
    names = workers["minigrad"].ask(task="layers", times=0)["layers"]
    names = [name for name in names if args.only.lower() in name.lower()]
    where = bench.machine()
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    bench.heading(engines)
    rows = bench.measure_tasks(workers, names, args.rounds)
    bench.close(workers)
    bench.write({"machine": where, "threads": args.threads, "rows": rows}, args.out)


if __name__ == "__main__":
    main()
