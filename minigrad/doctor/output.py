"""Questions about the output and the first loss: does the last layer fit the loss?

Before this: ``data.py``. Next: ``gradients.py``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from .. import backend
from .._tensor import Tensor
from ..ops.elementwise import Relu, Sigmoid
from ..ops.loss import LogSoftmax, Softmax
from ..ops.shape import Index, Reshape, Transpose
from .case import CLASSES, Case, name_of
from .report import Check, wrong


def check_forward(case: Case) -> Iterator[Check]:
    """Ask whether the forward pass and the loss ran."""
    if case.error:
        uint8 = any(x.dtype.kind == "u" for x in case.inputs)
        yield wrong(
            "forward fails" if case.output is None else "loss fails",
            case.error + ".",
            "give the batch as the model wants it: images.float() / 255"
            if uint8
            else "compare the shapes: minigrad.nn.summary.summary(model, shape) prints them",
        )
    elif not isinstance(case.loss, Tensor) or case.loss.numel() != 1:
        shape = f"shape {tuple(case.loss.shape)}" if isinstance(case.loss, Tensor) else ""
        yield wrong(
            "loss is not a number",
            f"the loss is a {type(case.loss).__name__} {shape}; training needs a single number.",
            "reduce it: loss.mean()",
        )


def check_finite(case: Case) -> Iterator[Check]:
    """Ask where the first number came up that is none."""
    for name, parameter in case.model.named_parameters():
        if not _finite(parameter.array):
            yield wrong(
                "weights not finite",
                f"{name} holds NaN or infinite numbers before the first step.",
                "make the model anew, or load weights from before a training that failed",
            )
            return
    for row, _, output in case.layers:
        if isinstance(output, Tensor) and output.is_floating_point() and not _finite(output.array):
            yield wrong(
                "activation not finite",
                f"{name_of(row)} is the first layer that returns NaN or infinite numbers.",
                "look in its forward for log(0), division by 0, exp or sqrt out of range",
            )
            return
    if not math.isfinite(case.first_loss()):
        yield wrong(
            "loss not finite",
            f"the outputs are finite, but the loss is {case.first_loss()}.",
            "look in the loss for log(0); with logits use cross_entropy, which cannot overflow",
        )


def _finite(array) -> bool:
    return array.dtype.kind != "f" or bool(backend.array_module(array).isfinite(array).all())


# ------------------------------------------------------------------------------ the last layer


def check_output(case: Case) -> Iterator[Check]:
    """Ask whether the output is of the kind that the loss wants."""
    finding = None
    if case.classes == 1:
        finding = wrong(
            "one output only",
            f"the output has shape {tuple(case.output.shape)}: over one class softmax is always "
            "1, and the loss always 0.",
            "Linear(n, 2) for two classes; or one output with 'binary_cross_entropy_with_logits'",
        )
    elif case.expects == "logits":
        finding = _as_logits(case)
    elif case.expects == "log-probabilities":
        finding = _as_log_probabilities(case)
    elif case.expects == "yes-logits" and isinstance(_last_op(case.output), Sigmoid):
        finding = wrong(
            "sigmoid before a loss with logits",
            "the model ends in a sigmoid, and the loss has another one inside: no answer can get "
            "surer than 73 %, and the gradients are small.",
            "leave out the model's sigmoid; for probabilities apply it when you predict",
        )
    if finding is not None:
        yield finding
    elif case.expects:
        yield Check("output", f"fits the loss, which wants {case.expects}")


def _as_logits(case: Case) -> Check | None:
    last = _last_op(case.output)
    if isinstance(last, Softmax) or _is_distribution(case.output):
        best = math.log(1 + (case.classes - 1) / math.e) if case.classes else 0
        return wrong(
            "softmax before cross-entropy",
            "the output holds probabilities (rows that sum to 1), but this loss has a softmax "
            f"inside. It cannot fall below {best:.3f}, and the gradients are small.",
            "leave out the model's softmax; for probabilities apply it when you predict",
        )
    if isinstance(last, (Relu, Sigmoid)):
        kind = type(last).__name__.lower()
        why = "never say no" if kind == "relu" else "lie close together"
        return wrong(
            f"{kind} after the last layer",
            f"the logits come out of a {kind}, so they {why}; where it is flat, nothing learns.",
            f"leave out the {kind} after the last layer",
        )
    return None


def _as_log_probabilities(case: Case) -> Check | None:
    y = backend.to_numpy(case.output.array).astype(np.float64)
    sums = np.exp(y).sum(axis=1)
    if (np.abs(sums - 1) < 1e-2).all():
        return None
    if _is_distribution(case.output):
        actual, do = "probabilities", "LogSoftmax(1) in place of Softmax(1)"
    else:
        actual, do = "logits", "end the model with LogSoftmax(1)"
    return wrong(
        f"{actual} where log-probabilities belong",
        f"nll_loss takes log-probabilities; exp of the rows should sum to 1, but sums to "
        f"{sums.min():.3g} to {sums.max():.3g}. The loss can fall without anything being learned.",
        f"{do}; or the loss 'cross_entropy' on logits",
    )


def _is_distribution(output: Tensor) -> bool:
    y = backend.to_numpy(output.array)
    return y.ndim > 1 and bool((y >= 0).all() and (np.abs(y.sum(axis=1) - 1) < 1e-3).all())


def _last_op(output: Tensor):
    """Return the op that made the output; changes of shape do not count."""
    node = output.creator
    while isinstance(node, (Reshape, Transpose, Index)):
        node = node.edges[0]
    return node


# ------------------------------------------------------------------------------ the first loss


def check_first_loss(case: Case, numbers: dict) -> Iterator[Check]:
    """Ask whether the first loss is what guessing costs."""
    first = numbers["first_loss"] = case.first_loss()
    guess = _guess(case)
    if guess is None:
        yield Check("first loss", f"{first:.4g}")
        return
    guessing = numbers["guessing_loss"] = case.evaluate(guess)
    says = f"{first:.4g}; {_guessing_in_words(case, guessing)}"
    limit = 100 * guessing if case.expects == "values" else 1.5 * guessing + 0.5
    if first > limit > 0:
        yield wrong(
            "first loss too high",
            f"{says}. A new network that costs more is sure of wrong answers.",
            "smaller first weights, above all in the last layer; scaled inputs",
        )
    elif case.expects != "values" and first < 0.5 * guessing:
        yield Check("first loss", f"{says}. So this network is trained, or the inputs give it away")
    else:
        yield Check("first loss", says)


def _guess(case: Case) -> Tensor | None:
    """Return an output that makes every answer equally likely."""
    y = case.output
    values = {"logits": 0.0, "yes-logits": 0.0, "values": 0.0, "yes-probabilities": 0.5}
    if case.classes:
        values |= {"probabilities": 1 / case.classes}
        values |= {"log-probabilities": -math.log(case.classes)}
    if case.expects not in values or not isinstance(y, Tensor):
        return None
    return Tensor(backend.array_module(y.array).full_like(y.array, values[case.expects]))


def _guessing_in_words(case: Case, guessing: float) -> str:
    for count in (case.classes if case.expects in CLASSES else 2,):
        if count and abs(guessing - math.log(count)) < 1e-3:
            return f"guessing costs ln {count} = {guessing:.4g}"
    if case.expects == "values":
        return f"answering 0 costs {guessing:.4g}"
    return f"guessing costs {guessing:.4g}"


def notes_on_op(case: Case) -> Iterator[Check]:
    """Say what is harmless but superfluous."""
    if case.expects == "logits" and isinstance(_last_op(case.output), LogSoftmax):
        yield Check("log-softmax before cross-entropy", "harmless: twice is as once")
