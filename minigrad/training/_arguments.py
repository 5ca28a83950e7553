"""From the arguments of `fit` to objects, and bad input refused in one sentence each.

Nothing is trained here. Before this: ``loop.py``, which calls it. Next: nothing.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from .. import optim
from .._errors import message
from .._tensor import Tensor
from ..nn import Module
from ..optim._checks import check_whole as check_whole
from ..optim.lr_scheduler import LRScheduler
from ..utils.data import DataLoader, Dataset, IterableDataset, TensorDataset
from .callbacks import EVENTS, AfterEachEpoch, Callback, Checkpoint, Completed, ProgressBar
from .metrics import LOSSES, METRICS

DEFAULT_BATCH_SIZE = 32  # where neither the caller nor a DataLoader says
OPTIMIZERS: dict[str, Callable] = {
    "sgd": optim.SGD,
    "rmsprop": optim.RMSprop,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
}


def check_model(where: str, model: Any) -> None:
    """Raise unless `model` is a module."""
    if not isinstance(model, Module):
        problem = "the first argument is not a model."
        raise TypeError(message(where, problem, expect="an nn.Module", actual=type(model).__name__))


def no_samples(where: str) -> ValueError:
    """Return the error for data that holds nothing."""
    problem = "the data has no samples."
    return ValueError(message(where, problem, expect="at least one batch", actual="none"))


# ------------------------------------------------------------------------------------------ data


def as_loader(where: str, data: Any, batch_size, shuffle, generator) -> DataLoader:
    """Return a loader of the batches that `data` stands for."""
    if isinstance(data, DataLoader):
        given = {"batch_size": batch_size, "shuffle": shuffle or None, "generator": generator}
        given = [name for name, value in given.items() if value is not None]
        if given:
            problem = f"the data is a DataLoader, which has its own {', '.join(given)}."
            do = "give them to the DataLoader, or give its dataset to this function"
            raise ValueError(message(where, problem, do=do))
        return data
    if isinstance(data, (tuple, list)) and len(data) == 2:
        data = TensorDataset(*data)
    if not isinstance(data, Dataset):
        problem = "this is no data to work with."
        expect = "(inputs, targets), a Dataset or a DataLoader"
        raise TypeError(message(where, problem, expect=expect, actual=type(data).__name__))
    size = DEFAULT_BATCH_SIZE if batch_size is None else batch_size
    if isinstance(data, IterableDataset):
        return DataLoader(data, size, shuffle=shuffle)
    if len(data) == 0:
        raise no_samples(where)
    return DataLoader(data, size, shuffle=shuffle is not False, generator=generator)


def length(loader: DataLoader) -> int | None:
    """Return the number of batches in a pass, or None if the data does not say."""
    with contextlib.suppress(TypeError, NotImplementedError):
        return len(loader)
    return None


def check_pair(where: str, batch: Any) -> None:
    """Raise unless a batch has two parts, the second a tensor with one target a sample."""
    is_pair = isinstance(batch, (list, tuple)) and len(batch) == 2
    if not is_pair or not isinstance(batch[1], Tensor) or batch[1].ndim == 0:
        parts = batch if isinstance(batch, (list, tuple)) else [batch]
        raise ValueError(
            message(
                where,
                "a batch is not a pair of inputs and targets.",
                expect="[inputs, targets], the targets a tensor with one entry for each sample",
                actual=f"{len(parts)} parts: {', '.join([type(p).__name__ for p in parts])}",
            )
        )


# ------------------------------------------------------------------------- optimizer and schedule


def as_optimizer(optimizer: Any, model: Module) -> optim.Optimizer:
    """Return the optimizer that is given, named or made, over parameters of `model`."""
    if isinstance(optimizer, str):
        optimizer = _named("fit", "optimizer", optimizer, OPTIMIZERS)
    if not isinstance(optimizer, optim.Optimizer):
        _check_callable("fit", "optimizer", optimizer)
        optimizer = optimizer(model.parameters())
    if not isinstance(optimizer, optim.Optimizer):
        problem = "what was to make an optimizer made something else."
        actual = type(optimizer).__name__
        raise TypeError(message("fit", problem, expect="an Optimizer", actual=actual))
    own = set(model.parameters())
    if not any(p in own for group in optimizer.param_groups for p in group["params"]):
        problem = "the optimizer holds none of the model's parameters."
        do = "make it of this model: optim.Adam(model.parameters())"
        raise ValueError(message("fit", problem, do=do))
    return optimizer


def as_scheduler(scheduler: Any, optimizer: optim.Optimizer) -> LRScheduler | None:
    """Return the schedule that is given or made, over `optimizer`."""
    if scheduler is None:
        return None
    if not isinstance(scheduler, LRScheduler):
        _check_callable("fit", "scheduler", scheduler)
        scheduler = scheduler(optimizer)
    if not isinstance(scheduler, LRScheduler) or scheduler.optimizer is not optimizer:
        raise ValueError(
            message(
                "fit",
                "the scheduler does not belong to the optimizer.",
                expect="a schedule over the optimizer that is given too",
                do="scheduler=lambda optimizer: lr_scheduler.StepLR(optimizer, 10)",
            )
        )
    return scheduler


# ------------------------------------------------------------------------------ loss and metrics


def as_loss(where: str, loss: Any) -> Callable:
    """Return the loss that is given or named."""
    if isinstance(loss, str):
        return _named(where, "loss", loss, LOSSES)
    _check_callable(where, "loss", None if isinstance(loss, type) else loss)
    return loss


def as_metrics(where: str, metrics: Any) -> dict[str, Callable]:
    """Return the metrics that are given or named, by name."""
    if isinstance(metrics, str) or callable(metrics):
        problem = "metrics is not a list."
        raise TypeError(message(where, problem, expect="['accuracy']", actual=repr(metrics)))
    result: dict[str, Callable] = {}
    for metric in metrics:
        name = metric if isinstance(metric, str) else getattr(metric, "__name__", "")
        function = _named(where, "metric", metric, METRICS) if name == metric else metric
        _check_callable(where, "metric", function)
        name = name or type(metric).__name__
        if name in result or name == "loss":
            problem = f"two numbers to report have the same name, {name!r}."
            raise ValueError(message(where, problem, do="give the function another __name__"))
        result[name] = function
    return result


def _named(where: str, what: str, name: str, table: dict[str, Callable]) -> Callable:
    if name not in table:
        problem = f"there is no {what} of this name."
        raise ValueError(message(where, problem, expect=", ".join(table), actual=repr(name)))
    return table[name]


def _check_callable(where: str, what: str, value: Any) -> None:
    if not callable(value):
        problem = f"this is no {what}."
        expect = "a function or an object that can be called, or a name"
        raise TypeError(message(where, problem, expect=expect, actual=type(value).__name__))


# ------------------------------------------------------------------------------------- callbacks


def as_callbacks(callbacks: Any, progress: bool | None) -> list[Callback]:
    """Return the callbacks, completed, with the progress bar, in the order of their calls."""
    result = [_as_callback(callback) for callback in callbacks]
    if progress or (progress is None and sys.stderr.isatty()):
        result.append(ProgressBar())
    # What saves the others' state comes after them.
    return sorted(result, key=lambda callback: isinstance(callback, Checkpoint))


def _as_callback(callback: Any) -> Callback:
    events = [name for name in dir(callback) if name.startswith("on_")]
    unknown = [name for name in events if name not in EVENTS]
    if isinstance(callback, type) or unknown or not (events or callable(callback)):
        raise TypeError(
            message(
                "fit",
                "this is no callback.",
                expect=f"a function, or an object with methods among {', '.join(EVENTS)}",
                actual=f"{callback!r} with {unknown}" if unknown else repr(callback),
            )
        )
    if isinstance(callback, Callback):
        return callback
    return Completed(callback) if events else AfterEachEpoch(callback)


# ------------------------------------------------------------------------------------- the state


def check_state(where: str, state: Any, own: dict[str, Any]) -> None:
    """Raise unless `state` is of a training with the parts of `own`."""
    if not isinstance(state, dict) or set(state) != set(own):
        raise ValueError(
            message(
                where,
                "this is not the state of a training.",
                expect="a file that training.Checkpoint wrote",
                actual=list(state)[:6] if isinstance(state, dict) else type(state).__name__,
                do="for weights alone: model.load_state_dict(load(path)), and no resume",
            )
        )
    parts = {
        "scheduler": [
            None if s["scheduler"] is None else sorted(s["scheduler"]) for s in (own, state)
        ],
        "callbacks": [[name for name, _ in s["callbacks"]] for s in (own, state)],
        "number of random generators": [len(s["random"]["now"]) for s in (own, state)],
    }
    if state["batch"]:
        parts["number of batches in an epoch"] = [s["batches"] for s in (own, state)]
    for name, (mine, saved) in parts.items():
        if mine != saved:
            raise ValueError(
                message(
                    where,
                    f"the {name} of the saved training is another one; nothing was loaded.",
                    expect=mine,
                    actual=saved,
                    do="call fit with the arguments of the training that is to go on",
                )
            )
