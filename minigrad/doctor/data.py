"""Questions about the batch: is it finite, scaled, varied, and are its labels classes?

Before this: ``case.py``. Next: ``output.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import backend
from .._tensor import Tensor
from ..nn.layers import _BatchNorm
from .case import Case, name_of
from .report import Check, wrong

# What a first layer gets usually lies between -3 and 3. Pixels from 0 to 16 still do no harm;
# from 0 to 255 they do.
LARGE, LARGE_SPREAD, TINY = 20.0, 5.0, 0.02


def check_inputs(case: Case) -> Iterator[Check]:
    """Ask whether the inputs are finite, differ from each other, and have a usual scale."""
    for x in case.inputs:
        array = backend.to_numpy(x.array)
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            bad = ~np.isfinite(array)
            sample = int(np.argwhere(bad)[0][0])
            yield wrong(
                "inputs not finite",
                f"{int(bad.sum())} of {array.size:,} numbers are NaN or infinite, the first in "
                f"sample {sample}.",
                "look where the data comes from: missing values, or a division by a spread of 0",
            )
            return
    arrays = [backend.to_numpy(x.array).reshape(case.samples, -1) for x in case.inputs]
    if case.samples > 1 and all((array == array[0]).all() for array in arrays):
        yield wrong(
            "all inputs are the same",
            f"the {case.samples} samples do not differ, so nothing in them can be learned.",
            "look at the data set's __getitem__, and at the transforms",
        )
        return
    yield _scale(case)


def _scale(case: Case) -> Check:
    seen = _first_numbers(case)
    if seen is None:
        return Check("inputs", "finite; their scale is not judged")
    what, array = seen
    largest, mean, spread = float(np.abs(array).max()), float(array.mean()), float(array.std())
    numbers = f"{what} from {array.min():.4g} to {array.max():.4g}, mean {mean:.3g}, "
    numbers += f"standard deviation {spread:.3g}"
    if array.dtype.kind == "u" or (largest > LARGE and max(spread, abs(mean)) > LARGE_SPREAD):
        images = "; pixels: x / 255 (ToTensor), then (x - mean) / std (Normalize)"
        return wrong(
            "inputs not scaled",
            f"{numbers} ({array.dtype}). First weights suit inputs of about -3 to 3: with these, "
            "the first steps throw the network off.",
            "subtract the mean and divide by the standard deviation of the training data" + images,
        )
    if 0 < largest < TINY:
        return wrong(
            "inputs almost zero",
            f"{numbers}. The network sees nearly nothing; were pixels divided by 255 twice?",
            "scale the inputs once, to a standard deviation of about 1",
        )
    return Check("inputs", numbers)


def _first_numbers(case: Case):
    """Return what the first layer with weights gets: the model may scale its inputs itself."""
    for row, inputs, _ in case.layers:
        if any(True for _ in row.module._own_parameters()):
            if isinstance(row.module, _BatchNorm) or not inputs:
                return None  # it scales for itself
            return _numbers(f"{name_of(row)} gets", inputs[0])
    return _numbers("inputs", case.inputs[0])


def _numbers(what: str, x):
    if not isinstance(x, Tensor) or x.dtype.kind not in "fu" or not x.numel():
        return None  # integers name words or categories
    return what, backend.to_numpy(x.array)


# ---------------------------------------------------------------------------------- targets


def check_targets(case: Case) -> Iterator[Check]:
    """Ask whether the labels are classes of the output, or the values finite and scaled."""
    targets = backend.to_numpy(case.targets.array)
    if targets.dtype.kind == "f" and not np.isfinite(targets).all():
        sample = int(np.argwhere(~np.isfinite(targets))[0][0])
        yield wrong(
            "targets not finite",
            f"the target of sample {sample} is NaN or infinite.",
            "leave such samples out, or fill the values in",
        )
        return
    if case.classes is not None:
        yield from _check_labels(case, targets)
    elif case.expects == "values":
        yield _check_values(targets)
    elif case.expects in ("yes-logits", "yes-probabilities"):
        yield _check_answers(targets)


def _check_labels(case: Case, targets: np.ndarray) -> Iterator[Check]:
    shape = case.output.shape
    if targets.dtype.kind in "fb":
        if targets.shape == shape:
            yield _check_rows(targets)
        else:
            yield wrong(
                "labels are not integers",
                f"class labels are {targets.dtype}, of shape {targets.shape}.",
                "targets.long(); probabilities need the output's shape, "
                f"{tuple(shape)}; for regression use the loss 'mse_loss'",
            )
        return
    if targets.shape != (shape[0], *shape[2:]):
        if targets.shape == shape and case.expects == "probabilities":
            return  # one-hot rows of integers are taken there
        squeezes = targets.shape == (shape[0], 1)
        yield wrong(
            "labels of another shape",
            f"labels {targets.shape} for an output {tuple(shape)}; each sample has one label.",
            "targets.squeeze(1)"
            if squeezes
            else "one-hot rows: targets.argmax(1), or targets.float()",
        )
        return
    ignore = getattr(case.loss_of, "ignore_index", -100)
    labels, classes = targets[targets != ignore], case.classes
    if not labels.size:
        yield wrong(
            "all labels are ignored",
            f"all {targets.size} labels are {ignore}, which the loss leaves out: nothing is left.",
            "look where the labels come from",
        )
        return
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        odd = (targets != ignore) & ((targets < 0) | (targets >= classes))
        sample = int(np.argwhere(odd)[0][0])
        from_one = low == 1 and high == classes
        yield wrong(
            "labels count from 1" if from_one else "labels out of range",
            f"labels go from {low} to {high}, but {classes} outputs stand for the classes 0 to "
            f"{classes - 1}; the first that does not fit is that of sample {sample}.",
            "targets - 1"
            if from_one
            else f"give the last layer {high + 1} outputs, or look where the labels come from",
        )
    elif case.samples >= 16 and low == high and classes > 1:
        yield wrong(
            "all labels are the same",
            f"all {labels.size} labels are {low}: such batches teach to ignore the input.",
            "shuffle: DataLoader(..., shuffle=True)",
        )
    else:
        yield Check("labels", f"{len(np.unique(labels))} of {classes} classes, {low} to {high}")


def _check_rows(targets: np.ndarray) -> Check:
    sums = targets.sum(axis=1)
    if (targets < 0).any() or (np.abs(sums - 1) > 1e-3).any():
        return wrong(
            "targets are no probabilities",
            f"rows of class probabilities sum to 1; these sum to {sums.min():.4g} to "
            f"{sums.max():.4g}, and the smallest entry is {targets.min():.4g}.",
            "divide each row by its sum, or give class labels (integers)",
        )
    return Check("targets", "rows of probabilities")


def _check_answers(targets: np.ndarray) -> Check:
    if targets.min() < 0 or targets.max() > 1:
        return wrong(
            "labels out of range",
            f"targets go from {targets.min():.4g} to {targets.max():.4g}; for yes or no they lie "
            "from 0 to 1.",
            "1 for yes, 0 for no; for more than two classes use the loss 'cross_entropy'",
        )
    return Check("targets", f"{targets.mean():.0%} yes")


def _check_values(targets: np.ndarray) -> Check:
    mean, spread = float(targets.mean()), float(targets.std())
    numbers = f"mean {mean:.4g}, standard deviation {spread:.4g}"
    if targets.size > 1 and spread == 0:
        return wrong(
            "all targets are the same",
            f"all {targets.size} targets are {mean:.4g}: that can be answered without the inputs.",
            "look where the targets come from, and whether the data is shuffled",
        )
    if max(abs(mean), spread) > 100:
        return wrong(
            "targets not scaled",
            f"{numbers}: a network starts with outputs of about 0 to 1, and is a long way from "
            "there.",
            "train on (y - mean) / std, and turn the predictions back",
        )
    return Check("targets", numbers)
