"""The training loop: `fit`, `evaluate` and `predict`, as Keras users expect them.

::

    model = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(32 * 13 * 13, 10)
    )
    history = fit(model, (images, labels), epochs=10, batch_size=32, optimizer="adam",
                  loss="cross_entropy", validation_data=(others, their_labels),
                  metrics=["accuracy"])

There is no magic in it. The loop that PyTorch users write by hand is `Run.train_batch` (five
lines) inside `Run.train_epoch`; around it are averages, validation, *callbacks*, which are told
what happens and may stop it, and a state that holds everything, so that a training that was
stopped and resumed ends, bit for bit, where one that was never stopped does.

Before this: ``utils/data.py``, ``nn/losses.py``, ``optim/optimizer.py``. Next:
``callbacks.py``, and ``metrics.py`` for the losses and metrics that have names.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .. import autograd, backend, optim, serialize
from .._errors import message
from .._tensor import Tensor
from ..functions.shape import cat
from ..nn import Module
from ..optim.lr_scheduler import LRScheduler, OneCycleLR, ReduceLROnPlateau
from ..utils.data import DataLoader, TensorDataset
from . import _arguments
from .metrics import warn_of_double_softmax

# ------------------------------------------------------------------------------ fit and its kin


def fit(
    model: Module,
    data: Any,
    *,
    epochs: int,
    batch_size: int | None = None,
    optimizer: str | optim.Optimizer | Callable = "adam",
    loss: str | Callable,
    validation_data: Any = None,
    metrics: Sequence[str | Callable] = (),
    callbacks: Sequence[Any] = (),
    scheduler: LRScheduler | Callable | None = None,
    shuffle: bool | None = None,
    generator: Any = None,
    progress: bool | None = None,
    resume: str | os.PathLike | None = None,
) -> dict[str, list[float]]:
    """Train `model` on `data` for some epochs, and say how it went.

    Parameters
    ----------
    model : Module
        It is trained where its parameters are: batches are moved to their device, and floating
        inputs converted to their dtype.
    data : (inputs, targets), Dataset or DataLoader
        Tensors or arrays with the samples along the first axis; or a dataset whose samples are
        such pairs; or a loader of such batches, whose own batch size and order then hold.
    epochs : int
        How many times to go through the data; after `resume`, the earlier ones included.
    batch_size : int, optional
        Samples in a batch; 32 if not given.
    optimizer : Optimizer, callable or str
        An optimizer over the model's parameters; or what makes one of them, such as ``optim.Adam``
        or ``lambda params: optim.SGD(params, lr=0.1, momentum=0.9)``; or a name, ``"sgd"``,
        ``"rmsprop"``, ``"adam"`` or ``"adamw"``, for one with its default options.
    loss : callable or str
        From the model's output and the targets to a scalar tensor: a loss module, a function, or
        a name in `metrics.LOSSES`. See the notes for which goes with which last layer.
    validation_data : like `data`, optional
        What to evaluate the model on after each epoch.
    metrics : sequence of callable or str
        More numbers to report: ``"accuracy"``, ``"binary_accuracy"``, or functions of output and
        targets that return the mean over a batch; these are named by their ``__name__``.
    callbacks : sequence
        Objects with some of the methods of `Callback`, or functions ``f(run)``, which are called
        after each epoch. `EarlyStopping` and `Checkpoint` are two.
    scheduler : schedule or callable, optional
        A schedule over `optimizer`, or what makes one of it, such as
        ``lambda optimizer: lr_scheduler.StepLR(optimizer, 10)``. It is stepped after each epoch
        (a `ReduceLROnPlateau` with the validation loss), but a `OneCycleLR` after each batch.
    shuffle : bool, optional
        Whether each epoch has its own random order; True if not given.
    generator : Generator or numpy.random.Generator, optional
        Source of that order; this thread's default, which ``manual_seed`` seeds, if None. (Dropout
        draws from that default in any case.)
    progress : bool, optional
        Whether to show a progress bar on stderr, and a line for each epoch. By default it is shown
        if stderr is a terminal. Asked for where it is none, only the lines are written.
    resume : path, optional
        A file that a `Checkpoint` wrote: go on from there, with the same other arguments.

    Returns
    -------
    dict of list of float
        The history: for ``"loss"`` and each metric one number an epoch, and for validation the
        same with the prefix ``"val_"``. Those of the training data are means over the epoch, *while
        the model was changing* (and with dropout, if it has any): so early in a training they may
        well be worse than the validation's, which see the model at the end of the epoch.

    Raises
    ------
    ValueError, TypeError
        For arguments that do not fit together, and for data without samples.
    KeyboardInterrupt
        After Ctrl-C: at the end of the batch at hand, when callbacks have been told (so that a
        `Checkpoint` has saved). A second Ctrl-C does not wait.

    Warns
    -----
    UserWarning
        If the loss is not finite; and if a model that ends in a softmax meets a cross-entropy
        that has one inside.

    Notes
    -----
    *Which loss?* A classifier may end in plain numbers, the logits, or in a softmax that turns
    them into probabilities:

    ==================================  ======================================================
    last layer                          loss
    ==================================  ======================================================
    ``Linear(n, classes)``              ``"cross_entropy"`` (PyTorch's; better)
    ``Linear(n, classes), Softmax(1)``  ``"categorical_crossentropy"`` (as in Keras' tutorials)
    ==================================  ======================================================

    Targets are class indices, or one row of probabilities (such as one-hot) for each sample; both
    losses take both. Prefer logits: softmax and logarithm together never take log(0), while
    probabilities must be clipped, and what is clipped has no gradient.

    To penalize weights, write the loss as a function::

        def loss(output, target):
            return F.cross_entropy(output, target) + l1_penalty(model.parameters(), 1e-5)

    Differences from Keras: learning rates by default are PyTorch's (SGD: 0.001); there is no
    ``compile``, the arguments of both are here; and the history is a plain dict.
    """
    _arguments.check_model("fit", model)
    _arguments.check_whole("fit", "epochs", epochs, 0)
    loader = _arguments.as_loader("fit", data, batch_size, shuffle, generator)
    if validation_data is not None:
        size = loader.batch_size if not isinstance(validation_data, DataLoader) else None
        validation_data = _arguments.as_loader("fit", validation_data, size, False, None)
    optimizer = _arguments.as_optimizer(optimizer, model)
    run = Run(
        model,
        loader,
        validation_data,
        epochs=epochs,
        optimizer=optimizer,
        loss=_arguments.as_loss("fit", loss),
        metrics=_arguments.as_metrics("fit", metrics),
        scheduler=_arguments.as_scheduler(scheduler, optimizer),
        callbacks=_arguments.as_callbacks(callbacks, progress),
    )
    if resume is not None:
        run.load_state_dict(serialize.load(resume))
    return run.go()


def evaluate(
    model: Module,
    data: Any,
    *,
    loss: str | Callable,
    metrics: Sequence[str | Callable] = (),
    batch_size: int | None = None,
) -> dict[str, float]:
    """Return the loss and the metrics of `model` on `data`, in evaluation mode.

    Parameters are those of `fit`.

    Returns
    -------
    dict of float
        ``"loss"`` and each metric: means over all samples.
    """
    _arguments.check_model("evaluate", model)
    loader = _arguments.as_loader("evaluate", data, batch_size, False, None)
    loss = _arguments.as_loss("evaluate", loss)
    return _evaluate(model, loader, loss, _arguments.as_metrics("evaluate", metrics))


def _evaluate(model: Module, loader: DataLoader, loss: Callable, metrics: dict) -> dict[str, float]:
    averages = Averages()
    with _mode(model, training=False), autograd.no_grad():
        for inputs, targets in _pairs("evaluate", loader, model):
            output = model(inputs)
            averages.add(_measure(output, targets, loss(output, targets), metrics), len(targets))
    return averages.means("evaluate")


def predict(model: Module, data: Any, *, batch_size: int | None = None) -> Tensor:
    """Return the outputs of `model` for all inputs, in evaluation mode and without a graph.

    Parameters
    ----------
    model : Module
    data : Tensor or array, or as for `fit`
        The inputs; where there are targets too, they are not used.
    batch_size : int, optional
        Samples in a batch; 32 if not given.

    Returns
    -------
    Tensor
        One output for each sample, along the first axis, in their order.
    """
    _arguments.check_model("predict", model)
    if isinstance(data, (Tensor, np.ndarray)):
        data = TensorDataset(data)
    loader = _arguments.as_loader("predict", data, batch_size, False, None)
    like = next(iter(model.parameters()), None)
    with _mode(model, training=False), autograd.no_grad():
        batches = (batch[0] if isinstance(batch, (list, tuple)) else batch for batch in loader)
        outputs = [model(_placed(inputs, like)) for inputs in batches]
    if not outputs:
        raise _arguments.no_samples("predict")
    return cat(outputs)


# ------------------------------------------------------------------------------------- the loop


class Run:
    """A training in progress: what `fit` builds, and what callbacks get to see.

    Attributes
    ----------
    model, optimizer, loss, metrics, scheduler
        As given to `fit`; names have become objects.
    epochs, batches : int
        How many epochs there will be, and batches in each (None if the data does not say).
    epoch, batch : int
        How many epochs are finished, and how many batches of the present one.
    logs : dict of float
        The means of this epoch so far; after the epoch those of validation too.
    history : dict of list of float
        The logs of the finished epochs.
    stop : bool
        A callback sets it to end the training after this epoch.
    is_whole : bool
        False while a batch, or the end of an epoch, is half done.
    """

    def __init__(
        self,
        model: Module,
        loader: DataLoader,
        validation: DataLoader | None,
        *,
        epochs: int,
        optimizer: optim.Optimizer,
        loss: Callable,
        metrics: dict[str, Callable],
        scheduler: LRScheduler | None,
        callbacks: list[Any],
    ):
        self.model, self.optimizer, self.scheduler = model, optimizer, scheduler
        self.loss, self.metrics, self.epochs = loss, metrics, epochs
        self.epoch = self.batch = 0
        self.logs: dict[str, float] = {}
        self.history: dict[str, list[float]] = {}
        self.stop, self.is_whole = False, True
        self.batches = _arguments.length(loader)
        self._loader, self._validation, self._callbacks = loader, validation, callbacks
        self._averages = Averages()
        own = [getattr(part, "generator", None) for part in (loader, loader.sampler)]
        own = [g for g in own if isinstance(g, (backend.Generator, np.random.Generator))]
        self._generators = [backend.default_generator(), *own]  # all that chance depends on
        self._random_at_start = None  # the generators' states when the present epoch began
        self._interrupt = _Interrupt()
        self._has_warned = False

    def go(self) -> dict[str, list[float]]:
        """Train to the end, and return the history."""
        with self._interrupt, _mode(self.model, training=True), autograd.enable_grad():
            self._tell("on_train_begin")
            try:
                while self.epoch < self.epochs and not self.stop:
                    self.train_epoch()
            finally:
                self._tell("on_train_end")
        return self.history

    def train_epoch(self) -> None:
        """Train on all batches, evaluate, and write down how it went."""
        if self.batch == 0:
            self._tell("on_epoch_begin")
        for inputs, targets in self._batches_of_this_epoch():
            self.train_batch(inputs, targets)
            self._tell("on_batch_end")
            self._interrupt.raise_if_pending()
        self.logs = self._averages.means("fit")
        if self._validation is not None:
            values = _evaluate(self.model, self._validation, self.loss, self.metrics)
            self.logs.update({f"val_{name}": value for name, value in values.items()})
        self.is_whole = False
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(self.logs.get("val_loss", self.logs["loss"]))
        elif self.scheduler is not None and not isinstance(self.scheduler, OneCycleLR):
            self.scheduler.step()
        for name, value in self.logs.items():
            self.history.setdefault(name, []).append(value)
        self.epoch, self.batch = self.epoch + 1, 0
        self.is_whole = True
        self._tell("on_epoch_end")
        self._interrupt.raise_if_pending()

    def train_batch(self, inputs: Tensor, targets: Tensor) -> None:
        """Make one step: the loop that one writes by hand, and the numbers to report."""
        self.is_whole = False
        self.optimizer.zero_grad()
        output = self.model(inputs)
        loss = self.loss(output, targets)
        values = _measure(output, targets, loss, self.metrics)
        loss.backward()
        self.optimizer.step()
        if isinstance(self.scheduler, OneCycleLR):
            self.scheduler.step()
        self._averages.add(values, len(targets))
        self.logs = self._averages.means("fit")
        self.batch += 1
        self.is_whole = True
        if self.epoch == 0 and self.batch == 1:
            warn_of_double_softmax(self.loss, output)
        if not (self._has_warned or math.isfinite(values["loss"])):
            self._has_warned = True
            warnings.warn(
                f"fit: the loss is {values['loss']} in epoch {self.epoch + 1}, batch {self.batch}. "
                "Try a smaller learning rate, and look for NaN in the data.",
                stacklevel=2,
            )

    def _batches_of_this_epoch(self) -> Iterator[tuple[Tensor, Tensor]]:
        batches = _pairs("fit", self._loader, self.model)
        if self.batch == 0:
            self._random_at_start = self._random_state()
            self._averages = Averages()
            return batches
        # Resumed in the middle of an epoch. Draw its order again, go to where it was left, and
        # give the generators back the state that they had there.
        now = self._random_state()
        self._set_random_state(self._random_at_start)
        for _ in range(self.batch):
            next(batches)
        self._set_random_state(now)
        return batches

    def _tell(self, event: str) -> None:
        for callback in self._callbacks:
            getattr(callback, event)(self)

    # ------------------------------------------------------------------------- stop and resume

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of everything that decides how the training goes on."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
            "batches": self.batches,
            "averages": self._averages.state_dict(),
            "history": {name: list(values) for name, values in self.history.items()},
            "random": {"now": self._random_state(), "epoch": self._random_at_start},
            "callbacks": [[c.kind, c.state_dict()] for c in self._with_state()],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; all of it is loaded, or nothing.

        Raises
        ------
        ValueError, RuntimeError
            If it is no such state, or of a training with other parts or other data.
        """
        before = self.state_dict()
        _arguments.check_state("fit(resume=)", state, before)
        try:
            self._load(state)
        except Exception:
            self._load(before)
            raise

    def _load(self, state: dict[str, Any]) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        for callback, (_, saved) in zip(self._with_state(), state["callbacks"], strict=True):
            callback.load_state_dict(saved)
        self.epoch, self.batch = state["epoch"], state["batch"]
        self._averages.load_state_dict(state["averages"])
        self.history = {name: list(values) for name, values in state["history"].items()}
        self._random_at_start = state["random"]["epoch"]
        self._set_random_state(state["random"]["now"])

    def _with_state(self) -> list[Any]:
        return [callback for callback in self._callbacks if hasattr(callback, "state_dict")]

    def _random_state(self) -> list[dict]:
        return [
            g.get_state() if isinstance(g, backend.Generator) else g.bit_generator.state
            for g in self._generators
        ]

    def _set_random_state(self, states: list[dict]) -> None:
        for g, state in zip(self._generators, states, strict=True):
            if isinstance(g, backend.Generator):
                g.set_state(state)
            else:
                g.bit_generator.state = state


class Averages:
    """Means of several numbers over the samples of all batches so far."""

    def __init__(self):
        self.totals: dict[str, float] = {}
        self.count = 0

    def add(self, values: dict[str, float], samples: int) -> None:
        """Take the means of a batch into account."""
        for name, value in values.items():
            self.totals[name] = self.totals.get(name, 0.0) + value * samples
        self.count += samples

    def means(self, where: str) -> dict[str, float]:
        """Return the means; without samples raise in the name of `where`."""
        if not self.count:
            raise _arguments.no_samples(where)
        return {name: total / self.count for name, total in self.totals.items()}

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state."""
        return {"totals": dict(self.totals), "count": self.count}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned."""
        self.totals, self.count = dict(state["totals"]), state["count"]


def _pairs(where: str, loader: DataLoader, model: Module) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of a pass over the data, where the model is."""
    like = next(iter(model.parameters()), None)
    for batch in loader:
        _arguments.check_pair(where, batch)
        inputs, targets = batch
        yield _placed(inputs, like), targets if like is None else targets.to(like.device)


def _placed(inputs: Any, like: Tensor | None) -> Any:
    """Return the inputs on the device of `like` and, if they are floating, in its dtype."""
    if like is None or not isinstance(inputs, Tensor):
        return inputs
    return inputs.to(dtype=like.dtype if inputs.is_floating_point() else None, device=like.device)


def _measure(output: Any, targets: Tensor, loss: Tensor, metrics: dict) -> dict[str, float]:
    """Return the loss and the metrics of one batch as numbers."""
    if not isinstance(loss, Tensor) or loss.numel() != 1:
        actual = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
        problem = message(
            "fit",
            "the loss is not a single number.",
            expect="a scalar tensor",
            actual=actual,
            do="reduce it: .mean()",
        )
        raise TypeError(problem)
    values = {"loss": float(loss.item())}
    if metrics:
        output = output.detach() if isinstance(output, Tensor) else output
        with autograd.no_grad():
            values.update({name: float(f(output, targets)) for name, f in metrics.items()})
    return values


@contextlib.contextmanager
def _mode(model: Module, training: bool) -> Iterator[None]:
    """Set training or evaluation mode, and afterwards what every module had before."""
    before = [(module, module.training) for module in model.modules()]
    model.train(training)
    try:
        yield
    finally:
        for module, mode in before:
            module.training = mode


class _Interrupt:
    """Holds Ctrl-C back until the batch at hand is done, so that what is then saved is whole."""

    def __enter__(self) -> _Interrupt:
        self.pending, self.handler = False, None
        on_main = threading.current_thread() is threading.main_thread()  # signals come only there
        if on_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.handler = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *exception) -> None:
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)

    def _note(self, *_) -> None:
        if self.pending:
            raise KeyboardInterrupt
        self.pending = True

    def raise_if_pending(self) -> None:
        if self.pending:
            self.pending = False
            raise KeyboardInterrupt
