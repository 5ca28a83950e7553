"""How the cost of a training step grows with the batch and with the depth, beside PyTorch.

    python bench/scaling.py                          three tables and a figure, on all cores
    python bench/scaling.py --tables batch --threads 1
    python bench/scaling.py --largest 64             smaller batches and depths only: quicker

batch    milliseconds of a step at batches of 1 to 1024: MLP, LeNet, CNN 32-64-128
depth    of networks of 1 to 64 equal layers, batch 32: linear of 256, convolutions of 16 channels
memory   the most memory that training ever held, by batch and by depth

A table of times ends with the exponent k of time ~ size^k over its upper half: 1 is linear; less
says that the fixed cost of a call is still felt; clearly more would be a mistake. One of memory
ends with MB for each further sample or layer. Measured as in ``bench.py``: each engine in a process
of its own, in turn, medians of ratios; memory in a fresh process for each figure. With Matplotlib
the curves are drawn too. All of it takes some eight minutes.

Before this: ``bench.py``, ``layer_tasks.py``.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import bench

TABLES = ("batch", "depth", "memory")

# Runs in a fresh process: five training steps, then the most memory that it ever held.
MEMORY = """
import resource, sys
sys.path.insert(0, {here!r})
import worker, layer_tasks
if {threads}:
    worker.torch.set_num_threads({threads})
step = layer_tasks.find({task!r})()
for _ in range(5):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def size_of(name: str) -> int:
    """Return the number that a task's name ends with."""
    return int(name.split()[-1])


def exponent(sizes: list[int], times: list[float]) -> float:
    """Return k of time ~ size^k: the slope of the least-squares line through the logarithms."""
    return slope([math.log(n) for n in sizes], [math.log(t) for t in times])


def slope(xs: list[float], ys: list[float]) -> float:
    mean_x, mean_y = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean_x) * (y - mean_y) for x, y in zip(xs, ys))
    return above / sum((x - mean_x) ** 2 for x in xs)


def curves(rows: list[dict]) -> dict[str, list[dict]]:
    """Return the rows by network and by what grows, from the smallest size to the largest."""
    found: dict[str, list[dict]] = {}
    for row in sorted(rows, key=lambda row: size_of(row["name"])):
        found.setdefault(row["name"].rpartition(" ")[0], []).append(row)
    return {label: points for label, points in found.items() if len(points) > 1}


def growth(rows: list[dict], engines: list[str]) -> list[dict]:
    """Print and return what each curve comes to: its exponent, or MB for each unit of size."""
    found = []
    for label, points in curves(rows).items():
        is_time = points[0]["unit"] == "ms"
        fit, unit = (exponent, "exponent") if is_time else (slope, "MB each")
        # The upper half, where a call's fixed cost is small beside the work.
        upper = points[(len(points) - 1) // 2 :] if len(points) > 2 else points
        sizes = [size_of(row["name"]) for row in upper]
        line = {"name": f"{label} {sizes[0]} to {sizes[-1]}", "unit": unit}
        line |= {engine: fit(sizes, [row[engine] for row in upper]) for engine in engines}
        bench.show(line)
        found.append(line)
    return found


def memory(names: list[str], engines: list[str], rounds: int, threads: int | None) -> list[dict]:
    rows = []
    for name in names:
        code = MEMORY.format(here=str(bench.HERE), task=name, threads=threads or 0)
        rows.append(bench.measure_processes(name, "MB", code, engines, rounds))
    return rows


def draw(tables: dict[str, list[dict]], engines: list[str], path: Path) -> str:
    """Draw one panel for each table that has curves; return what came of it."""
    tables = {table: rows for table, rows in tables.items() if curves(rows)}
    if not tables:
        return "no curves: two sizes at least make one"
    try:
        import matplotlib
    except ImportError:
        return "no curves: Matplotlib is not installed"
    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    titles = {
        "batch": ("Time of a step by batch", "images", "ms"),
        "depth": ("Time of a step by depth", "layers", "ms"),
        "memory": ("Peak memory", "images, or layers", "MB"),
    }
    figure, panels = plt.subplots(
        1, len(tables), figsize=(4.6 * len(tables), 4.2), squeeze=False, layout="constrained"
    )
    for axes, (table, rows) in zip(panels[0], tables.items()):
        for index, (label, points) in enumerate(curves(rows).items()):
            sizes = [size_of(row["name"]) for row in points]
            for engine, style in zip(engines, ("o-", "x--")):
                name = f"{label.rpartition(', ')[0] if table != 'memory' else label}, {engine}"
                values = [row[engine] for row in points]
                axes.plot(sizes, values, style, color=f"C{index}", markersize=4, label=name)
            if table != "memory":  # what linear looks like: through our last point
                last, upper = points[-1]["minigrad"], sizes[(len(sizes) - 1) // 2 :]
                line = [last * size / sizes[-1] for size in upper]
                axes.plot(upper, line, ":", color="black", label=None if index else "linear")
        title, x_label, y_label = titles[table]
        axes.set(title=title, xlabel=x_label, ylabel=y_label)
        if table == "memory":
            axes.set_ylim(bottom=0)
        else:
            axes.set(xscale="log", yscale="log")
            ticks = sorted({size_of(row["name"]) for row in rows})
            axes.set_xticks(ticks, ticks)
            axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return f"curves:  {path}"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure how cost grows, beside PyTorch.")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=TABLES)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each engine (5)")
    parser.add_argument("--threads", type=int, help="threads of each engine (all cores)")
    parser.add_argument("--only", default="", help="only what has this text in its name")
    parser.add_argument("--largest", type=int, default=1024, help="no size above this (1024)")
    parser.add_argument("--out", default=bench.HERE / "scaling.json", help="the JSON file to write")
    parser.add_argument(
        "--figure", default=bench.HERE / "scaling.png", help="the PNG file to write"
    )
    args = parser.parse_args()

    engines = ["minigrad", "torch"] if bench.has_torch() else ["minigrad"]
    workers = {engine: bench.Worker(engine, args.threads) for engine in engines}
    names = workers["minigrad"].ask(task="layers", times=0)
    where = bench.machine()
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")
    tables, fits = {}, {}
    for table in dict.fromkeys(args.tables):
        wanted = [name for name in names[table] if args.only.lower() in name.lower()]
        wanted = [name for name in wanted if size_of(name) <= args.largest]
        print(f"\n{table}", end="")
        bench.heading(engines)
        if table == "memory":
            tables[table] = memory(wanted, engines, min(args.rounds, 3), args.threads)
        else:
            tables[table] = bench.measure_tasks(workers, wanted, args.rounds)
        fits[table] = growth(tables[table], engines)
    bench.close(workers)
    bench.write(
        {"machine": where, "threads": args.threads, "tables": tables, "growth": fits}, args.out
    )
    print(draw(tables, engines, args.figure))


if __name__ == "__main__":
    main()
