"""Everything that can only be learned on a GPU, in one run of less than eight minutes.

    python bench/gpu.py                     the whole run; needs numpy, cupy, and torch to compare
    python bench/gpu.py --only facts        one part: facts, checks, matrix or suite
    python bench/gpu.py --out FOLDER        where report.txt and results.json go

Four parts, each in a process of its own, so that a crash costs one part and not the run:

facts    versions, the error of float32 and TF32 products, what can be captured, what calls cost
checks   losses of captured against plain steps, and of the GPU against the CPU
matrix   microseconds a step: our plain and captured steps beside PyTorch's plain and captured ones
suite    the tests over CuPy, as far as the time that is left allows

Before this: ``bench.py``, the same for the CPU. Next: ``gpu_facts.py``, ``gpu_checks.py``,
``gpu_worker.py``.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent

# Seconds that a part may take; the suite gets what is left of all.
LIMITS = {"facts": 75, "checks": 75, "matrix": 200, "suite": 460}
TOTAL = 460
ROUNDS = 5  # turns of each engine; the median counts
ANSWER = 60  # seconds: an engine that takes longer is stopped
RESTARTS = 4  # of engines that an error has spoilt

# Those that there are targets for come first: the time may not suffice for all.
MODELS = [(name, batch) for name in ("MLP", "LeNet", "CNN") for batch in (32, 128)]
MODELS += [("ResNet18", 128), ("MLP", 1024), ("LeNet", 1024), ("CNN", 1024)]
WAYS = [("minigrad", "eager"), ("minigrad", "captured"), ("torch", "eager"), ("torch", "graph")]
PRECISIONS = ("highest", "high")

# The tests that say most come first: the time may not suffice for all.
SUITE = ["test_capture.py", "test_kernels.py", "test_devices.py", "test_optim.py"]


class Report:
    """What is printed, also in a file; and the figures, in another."""

    def __init__(self, folder: Path):
        self.folder, self.figures = folder.resolve(), {}  # the parts run in another folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self._text = (self.folder / "report.txt").open("w", encoding="utf-8")

    def print(self, text: str = "") -> None:
        print(text, flush=True)
        self._text.write(text + "\n")
        self._text.flush()

    def save(self) -> None:
        path = self.folder / "results.json"
        path.write_text(json.dumps(self.figures, indent=1) + "\n", encoding="utf-8")


def run_part(name: str, limit: float, report: Report, device: str) -> None:
    """Run one part in a process of its own; print what it prints; stop it at the limit."""
    report.print(f"\n=== {name} (at most {limit:.0f} s)")
    start, figures = time.perf_counter(), report.folder / f"{name}.json"
    figures.unlink(missing_ok=True)
    command = [sys.executable, "-u", __file__, "--part", name, "--device", device]
    command += ["--seconds", str(limit), "--figures", str(figures)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        start_new_session=True,  # so that what it starts is stopped with it
    )
    late = threading.Event()

    def stop():
        late.set()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = threading.Timer(limit + 10, stop)
    timer.start()
    for line in process.stdout:
        report.print(line.rstrip("\n"))
    code = process.wait()
    timer.cancel()
    if late.is_set():
        report.print(f"!!! {name} took too long and was stopped")
    elif code:
        report.print(f"!!! {name} failed with code {code}")
    with contextlib.suppress(OSError, ValueError):  # there may be none, or half of them
        report.figures[name] = json.loads(figures.read_text(encoding="utf-8"))
    report.figures.setdefault("seconds", {})[name] = time.perf_counter() - start
    report.save()


# ------------------------------------------------------------------------------------ the matrix


class Figures(dict):
    """Figures that are in a file after each entry, so that a part that is stopped keeps its own."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    def __setitem__(self, name, figure):
        super().__setitem__(name, figure)
        self.path.write_text(json.dumps(self, indent=1), encoding="utf-8")


class Worker:
    """A process that runs one engine on the GPU."""

    def __init__(self, engine: str, device: str):
        command = [sys.executable, str(HERE / "gpu_worker.py"), engine, device]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, **pipes)

    def ask(self, **request):
        """Return the worker's answer; raise with its error, or if it is gone or silent."""
        timer = threading.Timer(ANSWER, self.process.kill)
        timer.start()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            answer = self.process.stdout.readline()
        finally:
            timer.cancel()
        if not answer:
            raise RuntimeError(f"the process stopped with code {self.process.wait()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def start_engine(workers: dict, engine: str, device: str) -> None:
    """Start an engine's process, or say why it is left out."""
    try:
        workers[engine] = Worker(engine, device)
        print(f"{engine}: {workers[engine].ask(do='describe')['text']}", flush=True)
    except Exception as error:
        workers.pop(engine, None)
        print(f"!!! {engine} is left out: {error}", flush=True)


def matrix(seconds: float, device: str, figures: dict, rounds: int = ROUNDS) -> None:
    """Measure every model, batch and precision in every way; print the table as it grows."""
    end, rows, said, restarts = time.perf_counter() + seconds, [], set(), RESTARTS
    workers: dict = {}
    for engine in ("minigrad", "torch"):
        start_engine(workers, engine, device)
    print("\nMicroseconds a step (median of turns); the last columns: PyTorch eager / ours.")
    print("highest: float32 throughout; high: TF32 in products and convolutions. (PyTorch's own")
    print("default is in between: TF32 in convolutions, float32 in products.) SGD with momentum.")
    print("Our captured step copies its batch in every call, as a training does; PyTorch's graph")
    print("is replayed on the batch that lies there already.")
    heads = [f"{engine[:8]} {way}" for engine, way in WAYS] + ["eager", "captured"]
    print(f"{'':<28}" + "".join(f"{head:>18}" for head in heads))
    models = MODELS if device == "cuda" else [("MLP", 2), ("LeNet", 2)]
    for name, batch in models:
        for precision in PRECISIONS:
            if time.perf_counter() > end:
                print("!!! no time left for the rest")
                break
            rows.append(measure(workers, name, batch, precision, rounds))
            figures["rows"] = rows
            print(format_row(rows[-1]), flush=True)
            for error in rows[-1]["errors"]:
                if error not in said:
                    print(f"    !!! {' '.join(error.split())}")
                said.add(error)
            for engine in rows[-1]["spoilt"]:  # an error on the GPU spoils all that follows it
                workers.pop(engine).stop()
                if restarts > 0:
                    restarts -= 1
                    start_engine(workers, engine, device)
    for engine, worker in workers.items():
        try:
            print(f"{engine}: {worker.ask(do='memory')['text']}")
        except Exception as error:
            print(f"!!! {engine}: {error}")
        worker.stop()


def measure(workers: dict, name: str, batch: int, precision: str, rounds: int) -> dict:
    """Return microseconds a step for each way, in turns; what fails is an error in the row."""
    row: dict = {"model": name, "batch": batch, "precision": precision, "us": {}, "host_us": {}}
    row |= {"errors": [], "spoilt": []}  # spoilt: engines that can do nothing more
    turns: dict[tuple, list] = {}
    for engine, way in WAYS:
        if engine in workers:
            try:
                workers[engine].ask(
                    do="prepare", model=name, batch=batch, precision=precision, way=way
                )
                turns[engine, way] = []
            except Exception as error:
                row["errors"].append(f"{engine} {way}: {error}")
    for _ in range(rounds):
        for (engine, way), times in turns.items():
            try:
                times.append(workers[engine].ask(do="run", way=way))
            except Exception as error:
                row["errors"].append(f"{engine} {way}: {error}")
    for (engine, way), times in turns.items():
        for figure in ("us", "host_us") if times else ():
            row[figure][f"{engine} {way}"] = statistics.median([t[figure] for t in times])
            row.setdefault(f"turns {figure}", {})[f"{engine} {way}"] = [t[figure] for t in times]
    for engine in workers:
        try:
            workers[engine].ask(do="forget")
        except Exception as error:
            row["errors"].append(f"{engine}: {error}")
            row["spoilt"].append(engine)
    return row


def format_row(row: dict) -> str:
    us = row["us"]
    cells = [us.get(f"{engine} {way}") for engine, way in WAYS]
    theirs = us.get("torch eager")
    ratios = [
        theirs / us[ours] if theirs and ours in us else None
        for ours in ("minigrad eager", "minigrad captured")
    ]
    label = f"{row['model']}, {row['batch']}, {row['precision']}"
    text = [f"{c:>18,.1f}" if c else f"{'-':>18}" for c in cells]
    return f"{label:<28}" + "".join(text + [f"{r:>17.2f}x" if r else f"{'-':>18}" for r in ratios])


# ------------------------------------------------------------------------------------- the suite


def suite(seconds: float, device: str, figures: dict) -> None:
    """Run the tests over CuPy (over its stand-in, for a trial), as far as the time allows."""
    if subprocess.run([sys.executable, "-c", "import pytest, hypothesis"]).returncode:
        print("pytest or hypothesis is not installed: no suite")
        return
    others = sorted(p.name for p in (ROOT / "tests").glob("test_*.py") if p.name not in SUITE)
    files = [
        str(ROOT / "tests" / name) for name in (SUITE + others if device == "cuda" else SUITE[2:3])
    ]
    environment = {**os.environ, "MINIGRAD_TEST_DEVICE": device, "MINIGRAD_EXAMPLES": "10"}
    environment["PYTHONUNBUFFERED"] = "1"
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not cpu_only", "--tb=short"]
    command = [sys.executable, "-m", "pytest", *options, "--maxfail=50", "-rfE", *files]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    process = subprocess.Popen(command, cwd=ROOT, env=environment, **pipes)
    stopped = ""
    try:
        output, _ = process.communicate(timeout=max(2.0, seconds - 15))
    except subprocess.TimeoutExpired:
        stopped = "stopped, no time left: "
        process.send_signal(signal.SIGINT)  # then pytest says what it has found
        try:
            output, _ = process.communicate(timeout=12)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
    lines, state = output.splitlines(), f"{stopped}code {process.returncode}"
    print("\n".join(lines[-120:]))
    print(f"suite: {state}")
    figures["state"], figures["last line"] = state, lines[-1] if lines else ""


# ------------------------------------------------------------------------------------------ main


def one_part(args) -> None:
    """What a part's own process does."""
    sys.path.insert(0, str(HERE))
    figures = Figures(Path(args.figures))
    if args.part == "matrix":
        matrix(args.seconds, args.device, figures, ROUNDS if args.device == "cuda" else 1)
    elif args.part == "suite":
        suite(args.seconds, args.device, figures)
    elif args.part == "facts":
        import gpu_facts

        gpu_facts.facts(args.device, figures)
    else:
        import gpu_checks

        gpu_checks.checks(args.device, figures)


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and measure minigrad on a GPU.")
    parser.add_argument("--only", choices=LIMITS, help="one part")
    parser.add_argument("--out", default="bench/gpu_results", help="folder of the report")
    parser.add_argument("--device", default="cuda", help="cuda; 'fake' tries the script itself")
    parser.add_argument("--part", choices=LIMITS, help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=TOTAL, help=argparse.SUPPRESS)
    parser.add_argument("--figures", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.part:
        one_part(args)
        return
    report, start = Report(Path(args.out)), time.perf_counter()
    for name, limit in LIMITS.items():
        if args.only in (None, name):
            left = TOTAL - (time.perf_counter() - start)
            try:
                run_part(name, max(5.0, min(limit, left)), report, args.device)
            except Exception:
                report.print(f"!!! {name}:\n{traceback.format_exc()}")
    report.print(f"\n{time.perf_counter() - start:.0f} s in all; {report.folder}/report.txt")
    report.save()


if __name__ == "__main__":
    main()
