"""The last question: can the network learn twenty samples by heart?

It has no need to generalise, and enough parameters to store them; a network that cannot do this
will not learn anything larger either. The advice is old; A. Karpathy's "A recipe for training
neural networks" (2019) made it popular.

Before this: ``gradients.py``. Next: ``examination.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np

from .. import autograd, backend, nn, optim
from .._tensor import Tensor
from ..nn.recorder import working_copy
from .case import Case
from .report import Check, wrong

RATES = (3e-3, 1e-3, 3e-2)  # of Adam, tried in turn
FIRST_STEPS = 5  # in which a gradient must show up at least once
ENOUGH = 0.1  # of the loss that it cost before: that is known by heart
AT_LEAST = 0.6  # and where numbers are to be met, this part of what their mean costs


def learn_by_heart(
    case: Case, optimizers: list[Callable], samples: int, steps: int, alive: set[str]
) -> dict:
    """Train copies of the model on a few samples, until one of them knows these.

    Parameters
    ----------
    case : Case
    optimizers : list of callable
        What makes the optimizer, of the parameters; tried in turn.
    samples, steps : int
    alive : set of str
        Gets the names of the parameters whose gradient was not zero in the first steps.

    Returns
    -------
    dict
        ``start``, ``end`` (losses), ``steps``, ``learned``, ``samples`` and ``contradictions``.
    """
    inputs, targets = _few(case, samples)
    best: dict = {}
    for maker in optimizers:
        model = working_copy(case.model, "doctor")
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.eval()  # what is learned by heart shall not be half hidden
        result = _train(case, model, maker(model.parameters()), inputs, targets, steps, alive)
        better = result["learned"] or not best or result["end"] < best["end"]
        best = result if better else best
        if best["learned"]:
            break
    best["samples"] = len(targets)
    best["contradictions"] = _contradictions(inputs, targets)
    return best


def adam(rate: float) -> Callable:
    """Return what makes an Adam of this learning rate."""
    return lambda parameters: optim.Adam(parameters, lr=rate)


def _few(case: Case, samples: int) -> tuple[tuple, Tensor]:
    """Return some samples of the batch, chosen by chance: it may be sorted."""
    rng = np.random.default_rng(0)
    chosen = np.sort(rng.permutation(case.samples)[:samples])
    place = Tensor(backend.asarray_on(chosen, case.targets.device))
    return tuple([x[place] for x in case.inputs]), case.targets[place]


def _train(case, model, optimizer, inputs, targets, steps, alive) -> dict:
    start = end = math.nan
    with autograd.enable_grad(), np.errstate(all="ignore"):
        for step in range(steps + 1):
            output = model(*inputs)
            loss = case.loss_of(output, targets)
            end = float(loss.item())
            start = end if step == 0 else start
            learned = step > 0 and _knows(case, output, targets, start, end, step == steps)
            if learned or step == steps or not math.isfinite(end):
                break
            optimizer.zero_grad()
            loss.backward()
            if step < FIRST_STEPS:
                alive |= {n for n, p in model.named_parameters() if _is_alive(p.grad)}
            optimizer.step()
    return {"start": start, "end": end, "steps": step, "learned": learned}


def _is_alive(gradient: Tensor | None) -> bool:
    return gradient is not None and bool((gradient.array != 0).any())


def _knows(case, output: Tensor, targets: Tensor, start: float, end: float, last: bool) -> bool:
    if case.classes and targets.dtype.kind in "iu" and targets.ndim == output.ndim - 1:
        y, labels = backend.to_numpy(output.array), backend.to_numpy(targets.array)
        counted = labels != getattr(case.loss_of, "ignore_index", -100)
        return bool((y.argmax(axis=1) == labels)[counted].all())
    if case.expects is None:  # a loss of which nothing is known, not even where it ends
        return end < start - 0.5 * abs(start)
    if case.expects == "values":
        mean = case.evaluate(targets.mean(0, keepdim=True).expand(targets.shape), targets)
        # The mean can be had without inputs. (Where the targets are all it, the start must do.)
        return end < (AT_LEAST if last else ENOUGH) * (mean or start)
    return end < ENOUGH * start


def _contradictions(inputs: tuple, targets: Tensor) -> int:
    """Return how many samples have the inputs of an earlier one and another target."""
    seen: dict[bytes, bytes] = {}
    count = 0
    for i in range(len(targets)):
        key = b"".join(backend.to_numpy(x.array)[i].tobytes() for x in inputs)
        value = backend.to_numpy(targets.array)[i].tobytes()
        count += seen.setdefault(key, value) != value
    return count


def check_overfit(result: dict) -> Iterator[Check]:
    """Judge what `learn_by_heart` returned."""
    start, end, steps = result["start"], result["end"], result["steps"]
    what = f"{result['samples']} sample{'s' * (result['samples'] > 1)}"
    if result["learned"]:
        yield Check("overfits", f"{what} learned by heart in {steps} steps, loss {end:.3g}")
        return
    if result["contradictions"]:
        yield wrong(
            "samples contradict each other",
            f"{result['contradictions']} of {what} have the same input as another, but another "
            "target.",
            "look whether the inputs, or the labels, were mixed up",
        )
        return
    if not math.isfinite(end):
        yield wrong(
            "training diverges",
            f"after {steps} step{'s' * (steps > 1)} on {what}, the loss went from {start:.4g} to "
            f"{end}.",
            "a smaller learning rate; float32 where it is float16, in which Adam's 1e-8 is 0",
        )
        return
    yield wrong(
        "does not overfit",
        f"{what} could not be learned by heart in {steps} steps: the loss went from {start:.4g} "
        f"to {end:.4g}.",
        "mend what stands above first; then look for a forward that ignores its input, a network "
        "that is too small, or a learning rate that does not suit",
    )
