"""`examine`: all questions in the order in which a wrong answer explains the later ones.

Before this: ``case.py``, ``data.py``, ``output.py``, ``gradients.py``, ``learning.py``. Next:
``environment.py``, which looks at the machine instead.
"""

from __future__ import annotations

from collections.abc import Callable

from .. import backend
from .._errors import message
from ..nn.module import Module
from ..training._arguments import OPTIMIZERS
from .case import Case, as_case, run, run_backward
from .data import check_inputs, check_targets
from .gradients import check_dead, check_gradients, check_graph, check_relus
from .learning import FIRST_STEPS, RATES, adam, check_overfit, learn_by_heart
from .output import check_finite, check_first_loss, check_forward, check_output, notes_on_op
from .report import Examination


def examine(
    model: Module,
    batch,
    loss: str | Callable = "cross_entropy",
    *,
    optimizer: str | Callable | None = None,
    samples: int = 20,
    steps: int = 400,
    overfit: bool = True,
    seed: int = 0,
) -> Examination:
    """Look for the usual mistakes in a model, a batch and a loss.

    A copy of the model runs, in training mode; the model, its gradients and buffers, and the
    random state stay as they are.

    Parameters
    ----------
    model : Module
        Best before it is trained: then the first loss is known.
    batch : (inputs, targets)
        Tensors or arrays, the samples along the first axis; 32 samples or more say most. For a
        forward with several arguments `inputs` is a tuple.
    loss : callable or str
        From the model's output and the targets to a number; a name as in `training.fit`.
    optimizer : callable or str, optional
        What to learn the twenty samples with, as in `training.fit`: your own, with its learning
        rate. By default Adam, with up to three rates.
    samples, steps : int
        How many samples to learn by heart, and how many steps that may take.
    overfit : bool
        Whether to try. (Most of the time goes there.)
    seed : int
        Of dropout and what else is drawn.

    Returns
    -------
    Examination
        ``.ok``, ``.findings``, and as text the whole story.

    Raises
    ------
    TypeError, ValueError
        If `model` is no module, `batch` no pair, and so on. What is wrong *with* them is not
        raised, but found.

    Examples
    --------
    >>> import minigrad
    >>> from minigrad import nn
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Softmax(1))
    >>> batch = minigrad.randn(32, 4), minigrad.randint(0, 3, (32,))
    >>> examine(net, batch, overfit=False).names()
    ['softmax before cross-entropy']
    """
    for name, value in (("samples", samples), ("steps", steps)):
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            problem = f"{name} is no count."
            raise ValueError(message("doctor", problem, expect="1 or more", actual=repr(value)))
    maker = _as_maker(optimizer)
    state = backend.get_rng_state()
    try:
        backend.manual_seed(seed)
        case = as_case(model, batch, loss)
        subject = f"{type(model).__name__} on {case.samples} sample{'s' * (case.samples > 1)}"
        report = Examination(subject)
        _ask(case, report, maker, samples, steps if overfit else FIRST_STEPS, overfit)
    finally:
        backend.set_rng_state(state)
    return report


def _as_maker(optimizer) -> Callable | None:
    if optimizer is None:
        return None
    if isinstance(optimizer, str) and optimizer in OPTIMIZERS:
        return OPTIMIZERS[optimizer]
    if isinstance(optimizer, str) or not callable(optimizer):
        raise TypeError(
            message(
                "doctor",
                "this makes no optimizer.",
                expect=f"one of {', '.join(OPTIMIZERS)}, or what makes one of parameters: "
                "lambda p: optim.SGD(p, lr=0.1)",
                actual=repr(optimizer),
                do="an optimizer itself holds your model's parameters, and a copy is trained here",
            )
        )
    return optimizer


def _ask(case: Case, report: Examination, maker, samples: int, steps: int, overfit: bool) -> None:
    """Ask until an answer leaves nothing more to ask."""
    run(case)
    report.checks += check_inputs(case)
    report.checks += check_targets(case)
    failed = list(check_forward(case))
    report.checks += failed
    if failed:
        return
    not_finite = list(check_finite(case))
    report.checks += [*not_finite, *check_output(case), *notes_on_op(case)]
    unconnected = list(check_graph(case))
    report.checks += unconnected
    if not_finite:
        return
    report.checks += check_first_loss(case, report.numbers)
    if unconnected:
        return
    run_backward(case)
    report.checks += check_gradients(case)
    report.checks += check_relus(case)
    if "gradient not finite" in report.names():
        return
    alive = {name for name, g in case.gradients.items() if g is not None and g.any()}
    # Where something is wrong already, one rate is enough to see what comes of it.
    makers = [maker] if maker else [adam(rate) for rate in RATES[: 1 if report.findings else None]]
    result = learn_by_heart(case, makers, samples, steps, alive)
    report.checks += check_dead(case, alive)
    if overfit:
        report.numbers |= {"overfit_loss": result["end"], "overfit_steps": result["steps"]}
        report.checks += check_overfit(result)
