"""Distillation: a small network learns from a large one what the labels do not say.

A label says "7" and nothing else. A trained network says "7, but a little like a 1 and hardly
like an 8": how it spreads the rest of its probability tells which classes are alike. A student
that is trained towards these soft targets learns more from each sample than the label holds. The
same helps a network that was pruned: the network it was before is its teacher.

Before this: ``nn/losses.py`` (cross-entropy, KL divergence). Next:
``examples/compress_mnist.py``.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable

import numpy as np

from .. import autograd
from .._errors import message
from .._tensor import Tensor
from ..nn import functional as F
from ..nn.module import Module
from ..optim import Optimizer

__all__ = ["distill_epoch", "distillation_loss", "soft_target_loss"]


def soft_target_loss(
    student_logits: Tensor, teacher_logits: Tensor, temperature: float = 4.0
) -> Tensor:
    """Return how far the student's softened probabilities are from the teacher's.

    With the logits z of the student and v of the teacher, and the temperature T::

        p = softmax(v / T),   q = softmax(z / T)
        L = T^2 KL(p || q) = T^2 sum_i p_i (ln p_i - ln q_i),   the mean over the batch

    A high temperature makes both distributions flatter, so that the small probabilities count.

    **Why T squared.** By the chain rule through z / T, and softmax minus target::

        dKL/dz_i = (q_i - p_i) / T

    For high temperatures e^(z/T) is nearly 1 + z/T. With logits whose mean is taken out, and C
    classes, q_i - p_i is then nearly (z_i - v_i) / (C T), and::

        dKL/dz_i = (z_i - v_i) / (C T^2)

    So gradients fade with 1/T^2, and the factor T^2 undoes it: the temperature can be changed
    without a new learning rate, or a new balance against the loss of the labels. In the limit
    the loss becomes ``|z - v|^2 / (2 C)``: the student matches the teacher's logits.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor, shape (N, C)
        Logits: no softmax before this. No gradient goes to the teacher's.
    temperature : float
        T, above 0; 1 leaves the probabilities as they are. (In float32 the loss, but not its
        gradient, loses digits for T in the hundreds: p and q become nearly equal.)

    Returns
    -------
    Tensor
        A scalar, 0 where both have the same probabilities.

    Raises
    ------
    ValueError
        For logits of different or other shapes, an empty batch, a temperature out of range.
    TypeError
        For what are no tensors of floats.

    Notes
    -----
    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
    equations (1) to (4). They write the cross-entropy with soft targets, which has the same
    gradient: it differs from the divergence by the teacher's entropy.
    """
    _check_logits("soft_target_loss", student_logits, teacher_logits)
    _check_temperature("soft_target_loss", temperature)
    T = float(temperature)
    log_q = F.log_softmax(student_logits / T, dim=1)
    log_p = F.log_softmax(teacher_logits.detach().to(student_logits.dtype) / T, dim=1)
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True) * T**2


def distillation_loss(
    student_logits: Tensor,
    teacher_logits: Tensor,
    labels: Tensor,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> Tensor:
    """Return the teacher's loss and the labels' loss, mixed::

        L = alpha * soft_target_loss(z, v, T) + (1 - alpha) * cross_entropy(z, labels)

    The labels correct the teacher where it is wrong. The gradient for one sample's logits is
    ``alpha T (q - p) + (1 - alpha) (softmax(z) - one_hot(label))``, over the batch size.

    Parameters
    ----------
    student_logits, teacher_logits : Tensor, shape (N, C)
        Logits; no gradient goes to the teacher's.
    labels : Tensor of integers, shape (N,)
        The right classes (or, as in `cross_entropy`, class probabilities (N, C)).
    temperature : float
        T of the soft targets, above 0. The labels' loss is taken at T = 1.
    alpha : float
        The weight of the teacher, from 0 to 1.

    Returns
    -------
    Tensor
        A scalar.

    Raises
    ------
    ValueError
        As `soft_target_loss`; and for an alpha out of range.
    IndexError
        For a label out of range.

    Notes
    -----
    Source: Hinton, Vinyals and Dean, "Distilling the Knowledge in a Neural Network", 2015,
    section 2, who found a low weight of the labels to be best.
    """
    _check_alpha("distillation_loss", alpha)
    soft = soft_target_loss(student_logits, teacher_logits, temperature)
    return alpha * soft + (1 - alpha) * F.cross_entropy(student_logits, labels)


def distill_epoch(
    student: Module,
    teacher: Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: Optimizer,
    *,
    temperature: float = 4.0,
    alpha: float = 0.9,
) -> float:
    """Train the student for one pass over the batches; return the mean loss.

    It is the usual training loop with one line more, ``teacher(x)``; write your own where this
    is too little. A student that is a pruned network keeps its masks.

    Parameters
    ----------
    student : Module
        Trained, and left in training mode.
    teacher : Module
        Not changed. It answers in evaluation mode, without a graph.
    batches : iterable of (Tensor, Tensor)
        Inputs and labels, such as a `DataLoader`; on the networks' device.
    optimizer : Optimizer
        Over the student's parameters.
    temperature, alpha : float
        See `distillation_loss`.

    Raises
    ------
    ValueError
        Without batches, if student and teacher are one network, and as `distillation_loss`.
    """
    if student is teacher:
        problem = "the student is its own teacher."
        do = "teacher = copy.deepcopy(student), before the student is changed"
        raise ValueError(message("distill_epoch", problem, do=do))
    total, samples = 0.0, 0
    modes = [(module, module.training) for module in teacher.modules()]
    teacher.eval()
    student.train()
    try:
        for x, labels in batches:
            with autograd.no_grad():
                targets = teacher(x)
            loss = distillation_loss(
                student(x), targets, labels, temperature=temperature, alpha=alpha
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            samples += len(x)
    finally:
        for module, training in modes:
            module.training = training
    if not samples:
        problem = "there were no batches."
        do = "give a list or a DataLoader: a generator that was looped over is empty"
        raise ValueError(message("distill_epoch", problem, do=do))
    return total / samples


# -------------------------------------------------------------------------------- bad input


def _check_logits(where: str, student: Tensor, teacher: Tensor) -> None:
    for of, logits in (("student's", student), ("teacher's", teacher)):
        if not (isinstance(logits, Tensor) and logits.is_floating_point()):
            actual = logits.dtype if isinstance(logits, Tensor) else type(logits).__name__
            problem = f"the {of} logits are not a tensor of floats."
            raise TypeError(message(where, problem, actual=actual))
        if logits.ndim != 2 or 0 in logits.shape:
            raise ValueError(
                message(
                    where,
                    f"the {of} logits are not one row for each sample.",
                    expect="shape (N, C), at least one sample",
                    actual=f"shape {tuple(logits.shape)}",
                    do="make a row of each place that is classified (movedim, then reshape)",
                )
            )
    if student.shape != teacher.shape:
        raise ValueError(
            message(
                where,
                "student and teacher do not answer the same question.",
                expect=f"the student's logits of the teacher's shape, {tuple(teacher.shape)}",
                actual=f"shape {tuple(student.shape)}",
                do="give both networks the same batch, and as many outputs",
            )
        )


def _check_temperature(where: str, temperature: float) -> None:
    if not _is_number(temperature) or not 0 < temperature < math.inf:
        raise ValueError(
            message(
                where,
                "the temperature is out of range.",
                expect="a finite number above 0",
                actual=repr(temperature),
            )
        )


def _check_alpha(where: str, alpha: float) -> None:
    if not _is_number(alpha) or not 0 <= alpha <= 1:
        raise ValueError(
            message(
                where,
                "alpha, the weight of the teacher, is out of range.",
                expect="a number from 0 to 1",
                actual=repr(alpha),
            )
        )


def _is_number(value) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_))
