"""Questions about the gradients: do they reach every parameter, and do they keep their size?

Before this: ``output.py``. Next: ``learning.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .. import backend
from ..ops.elementwise import Relu
from .case import Case
from .report import Check, wrong

VANISHED = 1e-4  # the smallest over the largest gradient of a weight, root mean squares
EXPLODED = 100.0  # a gradient over its weight, norms
DEAD_SHARE = 0.6  # of the units of one relu
ENOUGH_SAMPLES = 8  # to call a unit dead


def check_graph(case: Case) -> Iterator[Check]:
    """Ask whether the loss depends on the parameters at all."""
    parameters = list(case.model.parameters())
    if not any(p.requires_grad for p in parameters):
        some = f"all {len(parameters)} are frozen" if parameters else "the model has none"
        yield wrong(
            "nothing to train",
            f"no parameter requires a gradient: {some}.",
            "parameter.requires_grad_(True); in a Module, wrap tensors in nn.Parameter",
        )
    elif case.loss.creator is None:
        yield wrong(
            "loss is not connected",
            "the loss was computed, but no operation leads from the parameters to it.",
            "no no_grad(), detach(), item(), numpy() or tensor(...) between parameters and loss",
        )


def check_gradients(case: Case) -> Iterator[Check]:
    """Ask whether every parameter has a gradient, of numbers, of a reasonable size."""
    without = [name for name, g in case.gradients.items() if g is None]
    if without:
        never = {path for path in _modules_of(without) if not _was_called(case, path)}
        hint = f" ({', '.join(sorted(never))}: never called)" if never else ""
        yield wrong(
            "parameter not in the graph",
            f"{len(without)} of {len(case.gradients)} parameters get no gradient: "
            f"{_list(without)}{hint}.",
            "use them in forward, without detach() or no_grad() behind them; or freeze them",
        )
    odd = [n for n, g in case.gradients.items() if g is not None and not np.isfinite(g).all()]
    if odd:
        yield wrong(
            "gradient not finite",
            f"the loss is finite, but not the gradient of {_list(odd)}.",
            "sqrt, log, division and norm have infinite slopes at 0: keep away from it (x + eps)",
        )
        return
    yield from _check_sizes(case)


def _check_sizes(case: Case) -> Iterator[Check]:
    weights = dict(case.model.named_parameters())
    norms = {n: float(np.linalg.norm(g)) for n, g in case.gradients.items() if g is not None}
    relative = {
        name: norm / (size or 1.0)
        for name, norm in norms.items()
        if weights[name].ndim > 1
        and (size := float(np.linalg.norm(backend.to_numpy(weights[name].array)))) is not None
    }
    means = {n: norms[n] / case.gradients[n].size ** 0.5 for n in relative if norms[n] > 0}
    if not means:
        return
    largest = max(relative, key=relative.get)
    low, high = min(means, key=means.get), max(means, key=means.get)
    if relative[largest] > EXPLODED:
        yield wrong(
            "exploding gradient",
            f"the gradient of {largest} is {relative[largest]:.3g} times as long as the weight: "
            "one step leads far away.",
            "smaller first weights (nn.init.kaiming_normal_), scaled inputs and targets, batch "
            "norm; nn.utils.clip_grad_norm_ bounds the steps",
        )
    elif means[low] < VANISHED * means[high]:
        yield wrong(
            "vanishing gradient",
            f"the gradient of {low} is {means[low] / means[high]:.1e} of that of {high} (root "
            "mean squares): it will hardly learn.",
            "relu for sigmoid or tanh, first weights that suit it (nn.init), batch norm, "
            "connections past layers",
        )
    else:
        ratio = means[low] / means[high]
        yield Check(
            "gradients", f"reach {len(norms)} parameters; the smallest {ratio:.2g} of the largest"
        )


def check_dead(case: Case, alive: set[str]) -> Iterator[Check]:
    """Ask which gradients stay zero; `alive` has the names of those that did not."""
    dead = [n for n, g in case.gradients.items() if g is not None and g.size and n not in alive]
    if dead:
        yield wrong(
            "dead gradient",
            f"the gradient of {_list(dead)} is exactly zero, at the start and in the steps after.",
            "look for relu that never fires, a product with 0, clamp out of range, or a last "
            "weight of zeros in front of zeros",
        )


def check_relus(case: Case) -> Iterator[Check]:
    """Ask which relu units give 0 for every sample."""
    worst = None
    for node in case.nodes:
        if not isinstance(node, Relu) or len(node.shape) < 2 or node.shape[0] != case.samples:
            continue
        fires = backend.to_numpy(node.output_array) > 0
        axes = (0, *range(2, fires.ndim))
        share = 1 - float(fires.any(axis=axes).mean())
        if worst is None or share > worst[0]:
            worst = share, fires.shape[1], case.layer_of(node)
    if worst is None:
        return
    share, units, layer = worst
    if case.samples < ENOUGH_SAMPLES:
        yield Check("relus", f"{case.samples} samples are too few to call a unit dead")
    elif share > DEAD_SHARE:
        yield wrong(
            "dead relus",
            f"in {layer}, {round(share * units)} of {units} units are 0 for all {case.samples} "
            "samples: no gradient passes, so they stay dead.",
            "a smaller learning rate, scaled inputs, biases that do not start far below 0, or "
            "LeakyReLU",
        )
    else:
        yield Check("relus", f"at most {share:.0%} of a layer's units are 0 for all samples")


def _modules_of(names: list[str]) -> set[str]:
    return {name.rpartition(".")[0] for name in names}


def _was_called(case: Case, path: str) -> bool:
    return any(row.path == path for row, _, _ in case.layers)


def _list(names: list[str], most: int = 4) -> str:
    text = ", ".join(names[:most])
    return text if len(names) <= most else f"{text} and {len(names) - most} more"
