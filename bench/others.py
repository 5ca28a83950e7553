"""LeNet's training step in minigrad, MyGrad and DeZero: three engines written in NumPy.

    pip install mygrad dezero matplotlib        what is not installed is left out
    python bench/others.py                      batches of 32 and 128, on all cores
    python bench/others.py --threads 1          the same on one core
    python bench/others.py --python-dezero other/bin/python

Forward, cross-entropy, backward, SGD with momentum 0.9, float32. As in ``bench.py`` each engine
runs in a process of its own, all are asked in turn, and medians of ratios are compared. Before
that, five steps from the same weights must give the same losses: else there is nothing to compare.
``--python-mygrad`` and ``--python-dezero`` name another interpreter for that engine; DeZero is
served best by one with NumPy 1 (``others_worker.py`` says why).

Before this: ``bench.py``, ``others_worker.py``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys

import bench

WORKER = bench.HERE / "others_worker.py"
BATCHES = (32, 128)


class Worker(bench.Worker):
    """A process that runs one engine, by its own interpreter."""

    def __init__(self, engine: str, python: str, threads: int | None):
        environment = dict(os.environ)
        if threads:  # read by NumPy's BLAS when it is loaded
            names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
            environment |= dict.fromkeys(names, str(threads))
        self.process = subprocess.Popen(
            [python, str(WORKER), engine],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        if threads:
            self.ask(threads=threads)


def missing(engine: str, python: str) -> str:
    """Return why `python` cannot import the engine; nothing if it can."""
    code = f"import numpy; numpy.int = int; import {engine}"
    try:
        result = subprocess.run([python, "-c", code], capture_output=True, text=True)
    except OSError as error:
        return str(error)
    return (result.stderr.strip().splitlines() or [""])[-1] if result.returncode else ""


def check(workers: dict[str, Worker], batch: int) -> dict[str, dict]:
    """Ask each engine for its first losses, and stop if they are not the same."""
    facts = {engine: worker.ask(facts=batch) for engine, worker in workers.items()}
    ours = facts["minigrad"]["losses"]
    for engine, fact in facts.items():
        if not all(abs(a - b) <= 1e-4 for a, b in zip(ours, fact["losses"])):  # nor if nan
            raise SystemExit(
                f"others: the engines do not compute the same at batch {batch}, so their times "
                f"cannot be compared.\n  minigrad's losses: {ours}\n  {engine}'s: {fact['losses']}"
            )
    return facts


def measure(workers: dict[str, Worker], batch: int, rounds: int) -> dict:
    """Return the medians in milliseconds, and how many times faster minigrad is than each."""
    once = statistics.median(workers["minigrad"].ask(batch=batch, times=3))
    times = max(1, min(20, round(100 / once)))
    medians: dict = {engine: [] for engine in workers}
    for _ in range(rounds):
        for engine, worker in workers.items():
            medians[engine].append(statistics.median(worker.ask(batch=batch, times=times)))
    row: dict = {"name": f"LeNet, batch {batch}", "unit": "ms"}
    row["ms"] = {engine: statistics.median(values) for engine, values in medians.items()}
    row["faster"] = {
        engine: statistics.median(t / o for o, t in zip(medians["minigrad"], values))
        for engine, values in medians.items()
        if engine != "minigrad"
    }
    return row


def main():
    parser = argparse.ArgumentParser(description="Measure minigrad beside MyGrad and DeZero.")
    parser.add_argument("--rounds", type=int, default=9, help="turns of each engine (9)")
    parser.add_argument("--threads", type=int, help="threads of each engine (all cores)")
    parser.add_argument("--python-mygrad", default=sys.executable, help="MyGrad's interpreter")
    parser.add_argument("--python-dezero", default=sys.executable, help="DeZero's interpreter")
    parser.add_argument("--out", default=bench.HERE / "others.json", help="the JSON file to write")
    args = parser.parse_args()

    workers = {"minigrad": Worker("minigrad", sys.executable, args.threads)}
    for engine, python in (("mygrad", args.python_mygrad), ("dezero", args.python_dezero)):
        reason = missing(engine, python)
        if reason:
            print(f"{engine} is left out: {reason} (by {python})")
        else:
            workers[engine] = Worker(engine, python, args.threads)

    where = bench.machine()
    cores = args.threads or where["cores"]
    print(f"{where['processor']}, {cores} of {where['cores']} cores, Python {where['python']}")
    rows = []
    for batch in BATCHES:
        facts = check(workers, batch)
        rows.append(measure(workers, batch, args.rounds) | {"facts": facts})
        print(f"\n{rows[-1]['name']}" + (": the losses agree" if len(workers) > 1 else ""))
        for engine, ms in rows[-1]["ms"].items():
            fact, faster = facts[engine], rows[-1]["faster"].get(engine)
            note = f"minigrad is {faster:.2f} times faster" if faster else ""
            print(
                f"  {engine:<10}{ms:>9.2f} ms   NumPy {fact['numpy']:<8}"
                f"gradients {fact['gradients']:<18}{note}"
            )
    bench.close(workers)
    bench.write({"machine": where, "threads": args.threads, "rows": rows}, args.out)


if __name__ == "__main__":
    main()
