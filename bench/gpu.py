"""Everything that can only be learned on a GPU, in one run of less than eight minutes.

    python bench/gpu.py                     the whole run; needs numpy, cupy, and torch to compare
    python bench/gpu.py --only facts        one part: facts, checks, matrix or suite
    python bench/gpu.py --out FOLDER        where report.txt and results.json go

Four parts, each in a process of its own, so that a crash costs one part and not the run:

facts    versions, the error of float32 and TF32 products, what can be captured, what calls cost
checks   losses of captured against plain steps, and of the GPU against the CPU
matrix   microseconds a step: our plain and captured steps beside PyTorch's plain and captured ones
suite    the tests over CuPy, as far as the time that is left allows

Before this: ``bench.py``, the same for the CPU. Next: ``gpu_checks.py``, ``gpu_worker.py``.
"""

from __future__ import annotations

import argparse
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

MODELS = [(name, batch) for name in ("MLP", "LeNet", "CNN") for batch in (32, 128, 1024)]
MODELS.append(("ResNet18", 128))
WAYS = [("minigrad", "eager"), ("minigrad", "captured"), ("torch", "eager"), ("torch", "graph")]
PRECISIONS = ("highest", "high")

# The tests that say most come first: the time may not suffice for all.
SUITE = ["test_capture.py", "test_kernels.py", "test_devices.py", "test_optim.py"]


class Report:
    """What is printed, also in a file; and the figures, in another."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.figures = folder, {}
        self._text = (folder / "report.txt").open("w", encoding="utf-8")

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
    if figures.exists():
        report.figures[name] = json.loads(figures.read_text(encoding="utf-8"))
    report.figures.setdefault("seconds", {})[name] = time.perf_counter() - start
    report.save()


# ------------------------------------------------------------------------------------ the matrix


class Worker:
    """A process that runs one engine on the GPU."""

    def __init__(self, engine: str, device: str):
        command = [sys.executable, str(HERE / "gpu_worker.py"), engine, device]
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(command, **pipes)

    def ask(self, **request):
        """Return the worker's answer; raise with its error, or if it is gone."""
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process stopped with code {self.process.wait()}")
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer


def matrix(seconds: float, device: str, rounds: int = ROUNDS) -> dict:
    """Measure every model, batch and precision in every way; print the table as it grows."""
    end, rows, said = time.perf_counter() + seconds, [], set()
    workers = {}
    for engine in ("minigrad", "torch"):
        try:
            workers[engine] = Worker(engine, device)
            print(f"{engine}: {workers[engine].ask(do='describe')['text']}")
        except Exception as error:
            workers.pop(engine, None)
            print(f"!!! {engine} is left out: {error}")
    print("\nMicroseconds a step (median of turns); the last columns: PyTorch eager / ours.")
    print("highest: float32 throughout; high: TF32 in products and convolutions. (PyTorch's own")
    print("default is in between: TF32 in convolutions, float32 in products.) SGD with momentum.")
    heads = [f"{engine[:8]} {way}" for engine, way in WAYS] + ["eager", "captured"]
    print(f"{'':<28}" + "".join(f"{head:>18}" for head in heads))
    models = MODELS if device == "cuda" else [("MLP", 2), ("LeNet", 2)]
    for name, batch in models:
        for precision in PRECISIONS:
            if time.perf_counter() > end:
                print("!!! no time left for the rest")
                return {"rows": rows}
            rows.append(measure(workers, name, batch, precision, rounds))
            print(format_row(rows[-1]), flush=True)
            for error in rows[-1]["errors"]:
                if error not in said:
                    print(f"    !!! {' '.join(error.split())}")
                said.add(error)
    for engine, worker in workers.items():
        print(f"{engine}: {worker.ask(do='memory')['text']}")
        worker.process.stdin.close()
        worker.process.wait()
    return {"rows": rows}


def measure(workers: dict, name: str, batch: int, precision: str, rounds: int) -> dict:
    """Return microseconds a step for each way, in turns; what fails is an error in the row."""
    row = {"model": name, "batch": batch, "precision": precision, "us": {}, "errors": []}
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
                times.append(workers[engine].ask(do="run", way=way)["us"])
            except Exception as error:
                row["errors"].append(f"{engine} {way}: {error}")
    for (engine, way), times in turns.items():
        if times:
            row["us"][f"{engine} {way}"] = statistics.median(times)
            row.setdefault("turns", {})[f"{engine} {way}"] = times
    for engine in workers:
        try:
            workers[engine].ask(do="forget")
        except Exception as error:
            row["errors"].append(f"{engine}: {error}")
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


def suite(seconds: float, device: str) -> dict:
    """Run the tests over CuPy (over its stand-in, for a trial), as far as the time allows."""
    if subprocess.run([sys.executable, "-c", "import pytest, hypothesis"]).returncode:
        print("pytest or hypothesis is not installed: no suite")
        return {}
    others = sorted(p.name for p in (ROOT / "tests").glob("test_*.py") if p.name not in SUITE)
    files = [
        str(ROOT / "tests" / name) for name in (SUITE + others if device == "cuda" else SUITE[2:3])
    ]
    environment = {**os.environ, "MINIGRAD_TEST_DEVICE": device, "MINIGRAD_EXAMPLES": "10"}
    options = ["-q", "-p", "no:cacheprovider", "-m", "not slow and not cpu_only", "--tb=short"]
    command = [sys.executable, "-m", "pytest", *options, "--maxfail=50", "-rfE", *files]
    try:
        result = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=seconds
        )
        output, state = result.stdout + result.stderr, f"code {result.returncode}"
    except subprocess.TimeoutExpired as error:
        output = (error.stdout or b"").decode(errors="replace")
        state = "stopped: no time left"
    lines = output.splitlines()
    print("\n".join(lines[-80:]))
    print(f"suite: {state}")
    return {"state": state, "last line": lines[-1] if lines else ""}


# ------------------------------------------------------------------------------------------ main


def one_part(args) -> None:
    """What a part's own process does."""
    sys.path.insert(0, str(HERE))
    if args.part == "matrix":
        figures = matrix(args.seconds, args.device, ROUNDS if args.device == "cuda" else 1)
    elif args.part == "suite":
        figures = suite(args.seconds, args.device)
    else:
        import gpu_checks

        figures = getattr(gpu_checks, args.part)(args.device)
    Path(args.figures).write_text(json.dumps(figures, indent=1), encoding="utf-8")


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
