"""Layer by layer beside PyTorch, on the CPU; and whether the cost grows as the work does.

    python bench/layers.py                        all four tables, on all cores
    python bench/layers.py --tables layers memory --threads 1

layers   milliseconds of every layer of LeNet and ResNet18, batch 32, forward and backward
batch    a training step at batches of 8 to 256; depth: of networks of 2 to 32 equal layers
memory   the most memory that training ever held, at batches of 32 to 256

A table of growth ends with the exponent k of time ~ size^k over its upper half: 1 is linear, less
is what is gained by larger arrays, more would be a mistake. Measured as in ``bench.py``: each
engine in a process of its own, in turn, medians of ratios.

Before this: ``bench.py``, ``layer_tasks.py``.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path

import bench

# Runs in a fresh process: ten training steps, then the most memory that it ever held.
MEMORY = """
import resource, sys
engine, sys.argv = sys.argv[1], ["worker", sys.argv[1]]
sys.path.insert(0, {here!r})
import worker
step = worker.training_step(worker.{model}, worker.sgd, {batch}, {size})
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""
GREW = {
    "CNN 32-64-128": ("cnn", (1, 28, 28), (32, 64, 128, 256)),
    "ResNet18, 32 x 32": ("resnet18", (3, 32, 32), (32, 64)),
}


def exponent(sizes: list[int], times: list[float]) -> float:
    """Return k of time ~ size^k: the slope of the least-squares line through the logarithms."""
    xs, ys = [math.log(n) for n in sizes], [math.log(t) for t in times]
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
    return above / sum((x - mean_x) ** 2 for x in xs)


def growth(rows: list[dict], engines: list[str]) -> list[dict]:
    """Print and return the exponents over the upper half of each network's sizes."""
    networks: dict[str, list] = {}
    for row in rows:
        label, _, last = row["name"].rpartition(", ")
        networks.setdefault(label, []).append((int(last.split()[1]), row))
    found = []
    for label, points in networks.items():
        upper = points[len(points) // 2 - 1 :]
        sizes = [size for size, _ in upper]
        line = {"name": f"exponent of {label}, {sizes[0]} to {sizes[-1]}", "unit": "1"}
        line |= {e: exponent(sizes, [row[e] for _, row in upper]) for e in engines}
        bench.show(line)
        found.append(line)
    return found


def memory(engines: list[str], rounds: int) -> list[dict]:
    rows = []
    for label, (model, size, batches) in GREW.items():
        for batch in batches:
            code = MEMORY.format(here=str(bench.HERE), model=model, batch=batch, size=size)
            name = f"peak memory, {label}, batch {batch}"
            rows.append(bench.measure_processes(name, "MB", code, engines, rounds))
    return rows


def main() -> None:
    tables = ("layers", "batch", "depth", "memory")
    parser = argparse.ArgumentParser(description="Measure layers and growth beside PyTorch.")
    parser.add_argument("--tables", nargs="+", choices=tables, default=tables)
    parser.add_argument("--rounds", type=int, default=7, help="turns of each engine (7)")
    parser.add_argument("--threads", type=int, help="threads of each engine (all cores)")
    parser.add_argument("--only", default="", help="only what has this text in its name")
    parser.add_argument("--out", default=bench.HERE / "layers.json", help="the JSON file to write")
    args = parser.parse_args()

    engines = ["minigrad", "torch"] if bench.has_torch() else ["minigrad"]
    workers = {engine: bench.Worker(engine, args.threads) for engine in engines}
    names = workers["minigrad"].ask(task="layers", times=0)
    where = bench.machine()
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    result: dict = {"machine": where, "threads": args.threads}
    for table in args.tables:
        bench.heading(engines)
        if table == "memory":
            result[table] = memory(engines, min(args.rounds, 3))
            continue
        wanted = [name for name in names[table] if args.only.lower() in name.lower()]
        result[table] = bench.measure_tasks(workers, wanted, args.rounds)
        if table in ("batch", "depth") and not args.only:
            result[f"{table}, exponents"] = growth(result[table], engines)
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()
    Path(args.out).write_text(json.dumps(result, indent=1) + "\n")
    print(f"\nfigures: {args.out}")


if __name__ == "__main__":
    main()
