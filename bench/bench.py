"""Measure minigrad beside PyTorch: training steps, loader, per-op overhead, import time, memory.

    python bench/bench.py                      everything, on all cores
    python bench/bench.py --threads 1          the same on one core
    python bench/bench.py --only LeNet --rounds 20

Machines are noisy, and a second engine in the same process would share its threads and memory.
So each engine runs in a process of its own; both are asked in turn, a little at a time, and what
is compared is medians: the ratio in each round, and its median over the rounds. Without PyTorch
only minigrad is measured. The figures also go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

# Runs in a fresh process: a hundred training steps, then the most memory that it ever held.
PEAK_MEMORY = """
import resource, sys
sys.argv = ["worker", sys.argv[1]]
sys.path.insert(0, {here!r})
import worker
step = worker.training_step(worker.cnn, worker.sgd, 128)
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""

# Runs in a fresh process: how long an import takes, the interpreter's own start not counted.
IMPORT_TIME = """
import sys, time
start = time.perf_counter()
__import__(sys.argv[1])
print((time.perf_counter() - start) * 1e3)
"""


class Worker:
    """A process that runs one engine."""

    def __init__(self, engine: str, threads: int | None):
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "worker.py"), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        if threads:
            self.ask(threads=threads)

    def ask(self, **request):
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"the worker stopped with code {self.process.wait()}: see above")
        return json.loads(answer)


def measure_tasks(workers: dict, names: list, rounds: int) -> list[dict]:
    rows = []
    for name in names:
        # As many runs a round as take about a fifth of a second.
        once = statistics.median(workers["minigrad"].ask(task=name, times=3))
        times = max(1, min(50, round(200 / once)))
        medians: dict = {engine: [] for engine in workers}
        for _ in range(rounds):
            for engine, worker in workers.items():
                medians[engine].append(statistics.median(worker.ask(task=name, times=times)))
        rows.append(summarise(name, "ms", medians))
        show(rows[-1])
    return rows


def measure_loader(workers: dict, rounds: int) -> dict:
    """Measure what the loader adds to bare steps, by having each engine run both in turn."""
    pair = ["tenth of an epoch, with loader", "tenth of an epoch, bare steps"]
    row: dict = {"name": "epoch with its loader / bare steps", "unit": "ratio"}
    for engine, worker in workers.items():
        row[engine] = statistics.median(worker.ask(ratio=pair, times=rounds))
    show(row)
    return row


def measure_processes(name: str, unit: str, code: str, subjects: list, rounds: int) -> dict:
    """Run `code` in fresh processes, once a subject and round, in turn."""
    figures: dict = {subject: [] for subject in subjects}
    for _ in range(rounds):
        for subject in subjects:
            command = [sys.executable, "-c", code, subject]
            output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            figures[subject].append(float(output))
    row = summarise(name, unit, figures)
    show(row)
    return row


def summarise(name: str, unit: str, figures: dict) -> dict:
    row = {"name": name, "unit": unit}
    row.update({subject: statistics.median(values) for subject, values in figures.items()})
    subjects = list(figures)
    if len(subjects) > 1:
        pairs = zip(figures["minigrad"], figures[subjects[-1]])
        row["ratio"] = statistics.median([ours / theirs for ours, theirs in pairs])
    return row


def show(row: dict) -> None:
    subjects = [key for key in row if key not in ("name", "unit", "ratio")]
    cells = "".join(f"{row[subject]:>12.3f}" for subject in subjects)
    ratio = f"{row['ratio']:>9.2f}" if "ratio" in row else ""
    label = f"{row['name']} ({row['unit']})"
    print(f"{label:<42}{cells}{ratio}", flush=True)


def heading(subjects: list) -> None:
    print(f"\n{'':<42}" + "".join(f"{s:>12}" for s in subjects) + f"{'ratio':>9}")


def close(workers: dict) -> None:
    """End the workers, and with them what they hold."""
    for worker in workers.values():
        worker.process.stdin.close()
        worker.process.wait()


def write(figures: dict, path) -> None:
    Path(path).write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nfigures: {path}")


def machine() -> dict:
    processor = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo") as file:
            names = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        processor = names[0] if names else processor
    return {"processor": processor, "cores": os.cpu_count(), "python": platform.python_version()}


def has_torch() -> bool:
    command = [sys.executable, "-c", "import torch"]
    return subprocess.run(command, capture_output=True).returncode == 0


def main():
    parser = argparse.ArgumentParser(description="Measure minigrad beside PyTorch.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each engine (9)")
    parser.add_argument("--threads", type=int, help="threads of each engine (all cores)")
    parser.add_argument("--only", default="", help="only what has this text in its name")
    parser.add_argument("--out", default=HERE / "results.json", help="the JSON file to write")
    args = parser.parse_args()

    engines = ["minigrad", "torch"] if has_torch() else ["minigrad"]
    if len(engines) == 1:
        print("PyTorch is not installed, so there is nothing to compare with.")
    workers = {engine: Worker(engine, args.threads) for engine in engines}
    names = workers["minigrad"].ask(task="names", times=0)
    names = [name for name in names if args.only.lower() in name.lower()]
    where = machine()
    print(f"{where['processor']}, {where['cores']} cores, Python {where['python']}")

    heading(engines)
    rows = measure_tasks(workers, names, args.rounds)
    if args.only in "loader":
        rows.append(measure_loader(workers, args.rounds))
    close(workers)
    if args.only in "peak memory":
        code = PEAK_MEMORY.format(here=str(HERE))
        name = "peak memory, CNN 32-64-128, batch 128"
        rows.append(measure_processes(name, "MB", code, engines, min(args.rounds, 3)))
    if args.only in "import time":
        heading(["minigrad", "numpy"])
        rows.append(
            measure_processes("import time", "ms", IMPORT_TIME, ["minigrad", "numpy"], args.rounds)
        )
    write({"machine": where, "rows": rows}, args.out)


if __name__ == "__main__":
    main()
