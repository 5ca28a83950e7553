"""Callbacks: what is told about a training while it runs, and may act on it.

Before this: ``loop.py``. Next: ``metrics.py``.
"""

from __future__ import annotations

import math
import os
import shutil
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TextIO

from .. import serialize
from .._errors import message
from ..optim._checks import check_choice, check_whole

if TYPE_CHECKING:
    from .loop import Run


class Callback:
    """What is told about a training; each method gets the `Run` and may set ``run.stop``.

    It need not be inherited from: any object with some of these methods will do, and a plain
    function is called after each epoch::

        def keep_the_best(run):
            if run.logs["val_loss"] == min(run.history["val_loss"]):
                save(run.model.state_dict(), "best.npz")

    One that remembers something between epochs defines ``state_dict()`` and
    ``load_state_dict(state)`` too, and then survives a resumed training.
    """

    @property
    def kind(self) -> str:
        """Its name in a saved state."""
        return type(self).__name__

    def on_train_begin(self, run: Run) -> None:
        """Before all; also when a training is resumed."""

    def on_epoch_begin(self, run: Run) -> None:
        """Before the first batch of an epoch."""

    def on_batch_end(self, run: Run) -> None:
        """After each step of the optimizer."""

    def on_epoch_end(self, run: Run) -> None:
        """After validation: ``run.logs`` is complete, and part of ``run.history``."""

    def on_train_end(self, run: Run) -> None:
        """After all; also when the training was broken off by an error or by Ctrl-C."""


EVENTS = [name for name in vars(Callback) if name.startswith("on_")]


class EarlyStopping(Callback):
    """End the training when a number has stopped to improve.

    Parameters
    ----------
    monitor : str
        Which number of the logs to watch.
    patience : int
        After how many epochs in a row without improvement to stop; 0 counts as 1, as in Keras.
    min_delta : float
        An improvement must be larger than this.
    mode : {'auto', 'min', 'max'}
        Whether smaller is better, or larger. 'auto': larger for accuracies, else smaller.
    restore_best : bool
        Whether to give the model the weights of its best epoch when the training has ended.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        patience: int = 0,
        min_delta: float = 0.0,
        mode: str = "auto",
        restore_best: bool = False,
    ):
        check_whole("EarlyStopping", "patience", patience, 0)
        check_choice("EarlyStopping", "mode", mode, ("auto", "min", "max"))
        self.monitor, self.patience, self.min_delta = monitor, max(patience, 1), min_delta
        rises = mode == "max" or (mode == "auto" and monitor.endswith("accuracy"))
        self.sign = 1 if rises else -1
        self.restore_best = restore_best
        self._forget()

    def _forget(self) -> None:
        self.best, self.bad_epochs, self.weights = -math.inf, 0, None

    def on_train_begin(self, run: Run) -> None:
        if run.epoch == run.batch == 0:  # a new training, perhaps with a used callback
            self._forget()
        run.stop = run.stop or self.bad_epochs >= self.patience

    def on_epoch_end(self, run: Run) -> None:
        if self.monitor not in run.logs:
            raise ValueError(
                message(
                    "EarlyStopping",
                    "there is no such number to monitor.",
                    expect=f"one of {list(run.logs)}",
                    actual=repr(self.monitor),
                    do="give validation_data for names that begin with val_, and metrics",
                )
            )
        value = self.sign * run.logs[self.monitor]
        if value > self.best + self.min_delta:  # never, if it is NaN
            self.best, self.bad_epochs = value, 0
            self.weights = run.model.state_dict() if self.restore_best else None
        else:
            self.bad_epochs += 1
            run.stop = run.stop or self.bad_epochs >= self.patience

    def on_train_end(self, run: Run) -> None:
        has_ended = run.stop or run.epoch >= run.epochs
        if has_ended and self.weights is not None:
            run.model.load_state_dict(self.weights)

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of what is remembered."""
        weights = None
        if self.weights is not None:
            weights = {name: value.clone() for name, value in self.weights.items()}
        return {"best": self.best, "bad_epochs": self.bad_epochs, "weights": weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.best, self.bad_epochs = state["best"], state["bad_epochs"]
        self.weights = state["weights"]


class Checkpoint(Callback):
    """Save the whole training, so that ``fit(..., resume=path)`` can go on from there.

    Saved are model, optimizer, schedule, epoch and batch, random state, averages, history and
    the callbacks' own state. It is also saved when the training ends or is broken off by Ctrl-C.

    Parameters
    ----------
    path : path
        The file. It is replaced at once or not at all: what was saved before is there until the
        new state is complete.
    every_epochs : int
        Save after every so many epochs.
    every_batches : int, optional
        Save after every so many batches too.

    Notes
    -----
    Two things are not exact in the middle of an epoch: random transforms and samplers with
    generators of their own (give them to the `DataLoader`, or use the default generator), and a
    stream (`IterableDataset`) that does not repeat itself.
    """

    def __init__(
        self, path: str | os.PathLike, *, every_epochs: int = 1, every_batches: int | None = None
    ):
        check_whole("Checkpoint", "every_epochs", every_epochs, 1)
        if every_batches is not None:
            check_whole("Checkpoint", "every_batches", every_batches, 1)
        self.path, self.every_epochs, self.every_batches = path, every_epochs, every_batches

    def on_train_begin(self, run: Run) -> None:
        self._saved_at = run.epoch, run.batch

    def on_batch_end(self, run: Run) -> None:
        if self.every_batches is not None and run.batch % self.every_batches == 0:
            self._save(run)

    def on_epoch_end(self, run: Run) -> None:
        if run.epoch % self.every_epochs == 0:
            self._save(run)

    def on_train_end(self, run: Run) -> None:
        if run.is_whole and self._saved_at != (run.epoch, run.batch):
            self._save(run)

    def _save(self, run: Run) -> None:
        serialize.save(run.state_dict(), self.path)
        self._saved_at = run.epoch, run.batch


class ProgressBar(Callback):
    """One line for each epoch; on a terminal a bar with the time left while it runs.

    Parameters
    ----------
    stream : text file, optional
        Where to; stderr if None.
    """

    def __init__(self, stream: TextIO | None = None):
        self.stream = stream

    def on_train_begin(self, run: Run) -> None:
        self._out = self.stream or sys.stderr
        self._is_terminal = self._out.isatty()
        self._start = self._drawn = time.perf_counter()
        self._first = run.batch  # not 0 if the training was resumed in the middle of an epoch

    def on_epoch_begin(self, run: Run) -> None:
        self._start, self._first = time.perf_counter(), 0

    def on_batch_end(self, run: Run) -> None:
        now = time.perf_counter()
        if self._is_terminal and now - self._drawn > 0.1:
            self._drawn = now
            self._write(self._bar(run, now - self._start))

    def on_epoch_end(self, run: Run) -> None:
        seconds = time.perf_counter() - self._start
        self._write(f"Epoch {run.epoch}/{run.epochs}  {seconds:.1f}s{_numbers(run.logs)}", "\n")

    def on_train_end(self, run: Run) -> None:
        if self._is_terminal and run.batch:
            self._write(self._bar(run, time.perf_counter() - self._start), "\n")  # broken off

    def _bar(self, run: Run, seconds: float) -> str:
        text = f"Epoch {run.epoch + 1}/{run.epochs}  {run.batch}"
        if run.batches:
            filled = 20 * run.batch // run.batches
            left = seconds / max(run.batch - self._first, 1) * (run.batches - run.batch)
            text += f"/{run.batches}  [{'=' * filled}{'.' * (20 - filled)}]  {left:.0f}s left"
        return text + _numbers(run.logs)

    def _write(self, line: str, end: str = "") -> None:
        if self._is_terminal:
            # Over the line before. A line that wraps could not be written over, so it is cut.
            width = shutil.get_terminal_size().columns - 1
            line = "\r" + (line.ljust(width) if end else line[:width].ljust(width))
        self._out.write(line + end)
        self._out.flush()


def _numbers(logs: dict[str, float]) -> str:
    return "".join([f"  {name} {value:.4f}" for name, value in logs.items()])


class AfterEachEpoch(Callback):
    """A plain function as a callback."""

    def __init__(self, function: Callable[[Run], Any]):
        self.on_epoch_end = function


class Completed(Callback):
    """An object with some of the methods as a callback with all of them."""

    kind = ""

    def __init__(self, callback: Any):
        self.kind = type(callback).__name__
        for name in (*EVENTS, "state_dict", "load_state_dict"):
            if hasattr(callback, name):
                setattr(self, name, getattr(callback, name))
