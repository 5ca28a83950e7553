"""Losses: how wrong a network is, in one number; as functions, and as modules at the end.

All of them first give one number for each sample (or entry), then reduce: "mean" (the default)
makes the step size independent of the batch size, "sum" adds up, "none" returns them all.

Before this: ``ops/loss.py`` for softmax minus one-hot. Next: ``layers.py``.
"""

from __future__ import annotations

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..functions import loss as _softmax
from ..functions.elementwise import where
from ..functions.shape import gather, movedim
from ..ops.loss import BinaryCrossEntropy, Softplus
from .module import Module

# ------------------------------------------------------------------------- classification


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Return minus the log-probability that softmax gives to the right class.

    With p = softmax(z) and the label t, the loss is -ln p_t. Its gradient with respect to the
    logits z is p - one_hot(t): softmax and logarithm undo each other's curvature.

    Parameters
    ----------
    input : Tensor, shape (C,), (N, C) or (N, C, d1, ...)
        Logits: any numbers. (No softmax before this: the loss has it inside.)
    target : Tensor
        Class indices: integers from 0 to C - 1, of the input's shape without C. Or class
        probabilities: floats of the input's shape; then the loss is -sum_c t_c ln p_c.
    weight : Tensor, shape (C,), optional
        How much each class counts. The mean over indices is then a weighted one.
    ignore_index : int
        Samples with this label do not count.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float, from 0 to 1
        The part of the target that is spread evenly over all classes. Source: Szegedy et al.,
        "Rethinking the inception architecture for computer vision", 2016, section 7.

    Raises
    ------
    IndexError
        For a label out of range; it names the label and the sample.
    ValueError
        For shapes that do not fit, or the mean over an empty batch.
    TypeError
        For class indices that are not integers.
    """
    name = "cross_entropy"
    _check(name, input, target, reduction)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(
            message(name, "no such label_smoothing.", expect="0 to 1", actual=label_smoothing)
        )
    if target.dtype.kind == "f" and target.shape == input.shape:
        return _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)
    z, labels, ignored, counts = _by_class(name, input, target, weight, ignore_index)
    if reduction == "mean" and counts is None and not label_smoothing:  # nearly always
        return _softmax.softmax_cross_entropy(z, Tensor(labels), mean=True)
    losses = _softmax.softmax_cross_entropy(z, Tensor(labels))
    if weight is not None:
        losses = losses * counts
    if label_smoothing:
        spread = _softmax.log_softmax(z, 1)
        spread = -(spread if weight is None else spread * weight).mean(1)
        losses = losses * (1 - label_smoothing) + spread * label_smoothing
    return _reduce_counted(losses, ignored, counts, reduction, target.shape)


def _soft_cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing):
    """Cross-entropy with probabilities as targets: -sum_c w_c t_c ln p_c."""
    if ignore_index >= 0:
        raise ValueError(
            message(
                "cross_entropy",
                "class probabilities have no label to ignore.",
                expect="ignore_index left out",
                actual=ignore_index,
            )
        )
    axis = 1 if input.ndim > 1 else 0
    classes = input.shape[axis]
    target = target.to(input.dtype)
    if label_smoothing:
        target = target * (1 - label_smoothing) + label_smoothing / classes
    terms = _softmax.log_softmax(input, axis) * target
    if weight is not None:
        weight = _class_weights("cross_entropy", weight, classes, input.dtype)
        terms = terms * weight.reshape((classes, *(1,) * (input.ndim - 1 - axis)))
    return _reduce(-terms.sum(axis), reduction)


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Return minus the log-probability of the right class, given the log-probabilities.

    ``nll_loss(log_softmax(z, 1), t)`` is ``cross_entropy(z, t)``; see there for the parameters.
    """
    _check("nll_loss", input, target, reduction)
    rows, labels, ignored, counts = _by_class("nll_loss", input, target, weight, ignore_index)
    losses = -gather(rows, 1, Tensor(labels).reshape(-1, 1)).reshape(-1)
    losses = losses if weight is None else losses * counts
    return _reduce_counted(losses, ignored, counts, reduction, target.shape)


def _by_class(name, input, target, weight, ignore_index) -> tuple:
    """Return one row of C numbers for each sample, and what belongs to it.

    Returns
    -------
    rows : Tensor, shape (M, C)
    labels : array of int64, shape (M,), all of them in range (0 where ignored)
    ignored : Tensor of bool, shape (M,), or None if no sample is ignored
    counts : Tensor, shape (M,): how much each sample counts, or None if all count 1
    """
    labels = target.array
    if labels.dtype.kind not in "iu":
        raise TypeError(
            message(
                name,
                "class indices are integers.",
                expect="an integer dtype"
                + f", or probabilities of shape {input.shape}" * (name == "cross_entropy"),
                actual=f"{target.dtype}, shape {target.shape}",
                do="target.long()",
            )
        )
    axis = 1 if input.ndim > 1 else 0
    if input.ndim == 0 or target.shape != (wanted := input.shape[:axis] + input.shape[axis + 1 :]):
        raise ValueError(
            message(
                name,
                "the labels do not fit the input.",
                expect=f"one label for each sample: shape {wanted if input.ndim else ()} for "
                f"an input of shape {input.shape}",
                actual=f"shape {target.shape}",
                do=_advice(input, target),
            )
        )
    if input.ndim != 2:
        input = input.reshape(1, -1) if input.ndim == 1 else movedim(input, 1, -1)
        input = input.reshape(labels.size, input.shape[-1])
        labels = labels.reshape(-1)
    classes = input.shape[1]
    labels = labels if labels.dtype == backend.int64 else labels.astype(backend.int64)
    ignored = counts = None
    if _some_out_of_range(name, labels, classes, ignore_index) or 0 <= ignore_index < classes:
        skip = labels == ignore_index
        labels = backend.array_module(labels).where(skip, 0, labels)
        if _some_out_of_range(name, labels, classes):
            raise _label_out_of_range(name, labels, classes, target.shape)
        ignored, counts = Tensor(skip), Tensor((~skip).astype(input.dtype))
    if weight is not None:
        weight = _class_weights(name, weight, classes, input.dtype)
        counts = weight.detach()[Tensor(labels)]
        counts = counts if ignored is None else counts.masked_fill(ignored, 0)
    return input, labels, ignored, counts


def _some_out_of_range(name: str, labels, classes: int, ignore_index: int | None = None) -> bool:
    """Whether a label is none of 0 .. classes - 1. (A captured step looks at that later.)"""
    if not labels.size:
        return False
    # One look for both ends: read as unsigned, a negative label is larger than any class.
    largest = labels.view(np.uint64).max()
    recorder = backend.capturing()
    if recorder is None:
        return int(largest) >= classes
    if ignore_index is not None and ignore_index != -100:  # it was asked for: it may come
        return True
    recorder.check_later(name, largest, classes)
    return False


def _advice(input: Tensor, target: Tensor) -> str:
    if target.shape == input.shape:
        return "target.float() if these are probabilities (one-hot rows), else target.argmax(1)"
    if target.ndim == 2 and target.shape[1] == 1:
        return "target.squeeze(1)"
    return ""


def _label_out_of_range(name: str, labels, classes: int, shape: tuple) -> IndexError:
    labels = backend.to_numpy(labels)
    first = int(np.flatnonzero((labels < 0) | (labels >= classes))[0])
    place = tuple([int(i) for i in np.unravel_index(first, shape)]) if shape else ()
    return IndexError(
        message(
            name,
            "a label is out of range.",
            expect=f"0 to {classes - 1}, for {classes} classes (or ignore_index)",
            actual=f"{labels[first]}, the label of sample {place[0] if len(place) == 1 else place}",
        )
    )


def _class_weights(name: str, weight: Tensor, classes: int, dtype) -> Tensor:
    if weight.shape != (classes,):
        raise ValueError(
            message(
                name,
                "the class weights do not fit the input.",
                expect=f"shape {(classes,)}",
                actual=f"shape {weight.shape}",
            )
        )
    return weight.to(dtype)


# ---------------------------------------------------------------------------- probabilities


def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, *, reduction: str = "mean"
) -> Tensor:
    """Return the cross-entropy of yes-or-no answers, given the probability of yes.

    With the probability p and the target y (1 for yes, 0 for no, or in between)::

        L = -y ln p - (1 - y) ln(1 - p)

    **Its gradient, through the probability.** By the derivative of the logarithm and the chain
    rule for 1 - p::

        dL/dp = -y / p + (1 - y) / (1 - p)
              = (-y (1 - p) + (1 - y) p) / (p (1 - p))
              = (p - y) / (p (1 - p))

    It explodes where p is wrong and sure of it. Where p comes from a logit z by the sigmoid,
    p = s(z) = 1 / (1 + e^-z), whose derivative is::

        dp/dz = e^-z / (1 + e^-z)^2 = s(z) (1 - s(z)) = p (1 - p)

    **So the logit's gradient is s(z) - y**, for the two factors cancel::

        dL/dz = dL/dp dp/dz = (p - y) / (p (1 - p)) * p (1 - p) = p - y = s(z) - y

    Never more than 1 in size, never zero while the answer is wrong, and computed without any
    division by a small number: prefer `binary_cross_entropy_with_logits`, which takes z.

    Parameters
    ----------
    input : Tensor
        Probabilities, from 0 to 1.
    target : Tensor
        From 0 to 1, of the input's shape.
    weight : Tensor, optional
        How much each entry counts; it broadcasts to the input.
    reduction : {"mean", "sum", "none"}

    Notes
    -----
    As in PyTorch, ln p and ln(1 - p) end at -100 and p (1 - p) at 1e-12, so that p = 0 and p = 1
    give large numbers instead of infinite ones.
    """
    name = "binary_cross_entropy"
    _check(name, input, target, reduction, same_shape=True)
    p = input.array
    if p.size and not (p.min() >= 0 and p.max() <= 1):  # NaN fails this too
        raise ValueError(
            message(
                name,
                "these are not probabilities.",
                expect="numbers from 0 to 1",
                actual=f"{float(p.min())} to {float(p.max())}",
                do="apply sigmoid first, or use binary_cross_entropy_with_logits",
            )
        )
    losses = BinaryCrossEntropy.apply(input, target.to(input.dtype))
    return _reduce(losses if weight is None else losses * weight, reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Return the cross-entropy of yes-or-no answers, given the logit of yes.

    It is `binary_cross_entropy` of sigmoid(z), in a form that never takes the logarithm of 0.
    With ``ln(1 + e^-z) = -ln sigmoid(z)``::

        L = (1 - y) z + ln(1 + e^-z),   dL/dz = (1 - y) - sigmoid(-z) = sigmoid(z) - y

    (the derivation stands in `binary_cross_entropy`).

    Parameters
    ----------
    input : Tensor
        Logits: any numbers.
    target : Tensor
        From 0 to 1, of the input's shape.
    weight : Tensor, optional
        How much each entry counts; it broadcasts to the input.
    reduction : {"mean", "sum", "none"}
    pos_weight : Tensor, optional
        How much the yes-part counts against the no-part; it broadcasts to the input.
    """
    _check("binary_cross_entropy_with_logits", input, target, reduction, same_shape=True)
    y = target.to(input.dtype)
    minus_log_p = Softplus.apply(-input)
    if pos_weight is not None:
        minus_log_p = minus_log_p * ((pos_weight - 1) * y + 1)
    losses = (1 - y) * input + minus_log_p
    return _reduce(losses if weight is None else losses * weight, reduction)


def kl_div(
    input: Tensor, target: Tensor, *, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Return the divergence sum p (ln p - ln q) of a distribution q from a target p.

    Parameters
    ----------
    input : Tensor
        The log-probabilities ln q.
    target : Tensor
        The probabilities p (0 ln 0 counts 0), or ln p with `log_target`; of the input's shape.
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean", the sum over the batch size, is the divergence as mathematics has it; "mean"
        divides by the number of entries.
    log_target : bool
    """
    _check("kl_div", input, target, reduction, same_shape=True, also=("batchmean",))
    target = target.to(input.dtype)
    if log_target:
        terms = target.exp() * (target - input)
    else:
        terms = target * (target.masked_fill(target == 0, 1.0).log() - input)
    if reduction == "batchmean":
        return terms.sum() / input.shape[0]
    return _reduce(terms, reduction)


# ------------------------------------------------------------------------------- distances


def mse_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the squared difference; both have one shape."""
    _check("mse_loss", input, target, reduction, same_shape=True)
    difference = input - target
    return _reduce(difference * difference, reduction)


def l1_loss(input: Tensor, target: Tensor, *, reduction: str = "mean") -> Tensor:
    """Return the absolute difference; both have one shape."""
    _check("l1_loss", input, target, reduction, same_shape=True)
    return _reduce((input - target).abs(), reduction)


def huber_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Return half the squared difference d up to `delta`, and delta (|d| - delta / 2) beyond."""
    _check("huber_loss", input, target, reduction, same_shape=True)
    if not delta > 0:
        raise ValueError(message("huber_loss", "no such delta.", expect="delta > 0", actual=delta))
    d = (input - target).abs()
    return _reduce(where(d < delta, 0.5 * d * d, delta * (d - 0.5 * delta)), reduction)


def smooth_l1_loss(
    input: Tensor, target: Tensor, *, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Return the Huber loss over beta: |d| with its corner rounded off below `beta`."""
    _check("smooth_l1_loss", input, target, reduction, same_shape=True)
    if not beta >= 0:
        raise ValueError(
            message("smooth_l1_loss", "no such beta.", expect="beta >= 0", actual=beta)
        )
    d = (input - target).abs()
    if beta == 0:
        return _reduce(d, reduction)
    return _reduce(where(d < beta, 0.5 * d * d / beta, d - 0.5 * beta), reduction)


# --------------------------------------------------------------------- checks and reductions

_REDUCTIONS = ("mean", "sum", "none")


def _check(name, input, target, reduction, same_shape=False, also=()) -> None:
    """Refuse what no loss can use."""
    if not (isinstance(input, Tensor) and isinstance(target, Tensor)):
        raise TypeError(
            message(
                name,
                "input and target are tensors.",
                actual=f"{type(input).__name__} and {type(target).__name__}",
                do="minigrad.tensor(...)",
            )
        )
    _check_reduction(name, reduction, also)
    if same_shape and input.shape != target.shape:
        raise ValueError(
            message(
                name,
                "input and target have different shapes.",
                expect=f"{input.shape}",
                actual=f"{target.shape}",
                do="target.view_as(input), if they mean the same",
            )
        )
    if input.array.size == 0 and reduction in ("mean", "batchmean"):
        raise ValueError(
            message(
                name,
                "the mean over an empty batch is not defined.",
                expect="at least one sample",
                actual=f"an input of shape {input.shape}",
                do="leave empty batches out, or use reduction='sum'",
            )
        )


def _check_reduction(name: str, reduction: str, also: tuple = ()) -> None:
    if reduction not in _REDUCTIONS and reduction not in also:
        raise ValueError(
            message(
                name,
                "no such reduction.",
                expect=" or ".join([repr(r) for r in (*_REDUCTIONS, *also)]),
                actual=repr(reduction),
            )
        )


def _reduce(losses: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return losses.mean()
    return losses.sum() if reduction == "sum" else losses


def _reduce_counted(losses, ignored, counts, reduction: str, shape: tuple) -> Tensor:
    """Reduce the losses of labels: ignored ones are 0, and the mean divides by what counts."""
    if ignored is not None:
        losses = losses.masked_fill(ignored, 0)
    if reduction == "none":
        return losses.reshape(shape)
    if reduction == "mean" and counts is not None:
        return losses.sum() / counts.sum()
    return _reduce(losses, reduction)


# --------------------------------------------------------------------------------- modules


class _Loss(Module):
    """A loss as a module: it holds the options, the function of the same name does the work."""

    also: tuple = ()  # reductions besides the usual ones

    def __init__(self, *, reduction: str = "mean"):
        super().__init__()
        _check_reduction(type(self).__name__, reduction, self.also)
        self.reduction = reduction


class CrossEntropyLoss(_Loss):
    """`cross_entropy`: minus the log-probability of the right class, from logits.

    Parameters
    ----------
    weight : Tensor, shape (C,), optional
        How much each class counts.
    ignore_index : int
        Samples with this label do not count.
    reduction : {"mean", "sum", "none"}
    label_smoothing : float, from 0 to 1
        The part of the target that is spread evenly over all classes.
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
    ):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(
            input,
            target,
            self.weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )


class NLLLoss(_Loss):
    """`nll_loss`: minus the log-probability of the right class, from log-probabilities.

    Parameters are the first three of `CrossEntropyLoss`.
    """

    def __init__(
        self, weight: Tensor | None = None, *, ignore_index: int = -100, reduction: str = "mean"
    ):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.ignore_index = ignore_index

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        how = dict(ignore_index=self.ignore_index, reduction=self.reduction)
        return nll_loss(input, target, self.weight, **how)


class BCELoss(_Loss):
    """`binary_cross_entropy`: from probabilities. `weight` counts entries, and broadcasts."""

    def __init__(self, weight: Tensor | None = None, *, reduction: str = "mean"):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return binary_cross_entropy(input, target, self.weight, reduction=self.reduction)


class BCEWithLogitsLoss(_Loss):
    """`binary_cross_entropy_with_logits`: from logits, with the sigmoid inside.

    Parameters
    ----------
    weight, pos_weight : Tensor, optional
        How much each entry, and its yes-part, counts; they broadcast.
    reduction : {"mean", "sum", "none"}
    """

    def __init__(
        self,
        weight: Tensor | None = None,
        *,
        reduction: str = "mean",
        pos_weight: Tensor | None = None,
    ):
        super().__init__(reduction=reduction)
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        how = dict(reduction=self.reduction, pos_weight=self.pos_weight)
        return binary_cross_entropy_with_logits(input, target, self.weight, **how)


class KLDivLoss(_Loss):
    """`kl_div`: from log-probabilities. Use reduction="batchmean" for the mathematical value."""

    also = ("batchmean",)

    def __init__(self, *, reduction: str = "mean", log_target: bool = False):
        super().__init__(reduction=reduction)
        self.log_target = log_target

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return kl_div(input, target, reduction=self.reduction, log_target=self.log_target)


class MSELoss(_Loss):
    """`mse_loss`: the squared difference."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return mse_loss(input, target, reduction=self.reduction)


class L1Loss(_Loss):
    """`l1_loss`: the absolute difference."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return l1_loss(input, target, reduction=self.reduction)


class HuberLoss(_Loss):
    """`huber_loss`: squared up to `delta`, absolute beyond."""

    def __init__(self, *, reduction: str = "mean", delta: float = 1.0):
        super().__init__(reduction=reduction)
        self.delta = delta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return huber_loss(input, target, reduction=self.reduction, delta=self.delta)


class SmoothL1Loss(_Loss):
    """`smooth_l1_loss`: absolute, with its corner rounded off below `beta`."""

    def __init__(self, *, reduction: str = "mean", beta: float = 1.0):
        super().__init__(reduction=reduction)
        self.beta = beta

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        return smooth_l1_loss(input, target, reduction=self.reduction, beta=self.beta)
