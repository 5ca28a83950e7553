"""An optimizer's learning rates and step counts in the GPU's memory, for captured steps.

Before this: ``optimizer.py``, which uses it. Next: ``_capture/step.py``.
"""

from __future__ import annotations

from .. import backend
from .._errors import message
from .._tensor import Tensor


class OnDevice:
    """What changes from step to step, in the GPU's memory; see `Optimizer.make_capturable`.

    Attributes
    ----------
    counts : array of int64
        The number of steps of each parameter: one array, so that counting is one launch.
    count : dict of Tensor to array
        For each parameter its entry of `counts`.
    rates : list of array
        The learning rate of each group, one float64.
    """

    def __init__(self, params: list[Tensor], groups: int, counts_steps: bool):
        devices = sorted({str(p.device) for p in params})
        if len(devices) > 1 or devices == ["cpu"]:
            raise ValueError(
                message(
                    "make_capturable",
                    "the parameters are not all on one GPU.",
                    expect="one device 'cuda:N'",
                    actual=", ".join(devices),
                    do="model.to('cuda') before the optimizer is made",
                )
            )
        xp = backend.array_module(params[0].array)
        self.counts_steps = counts_steps  # SGD has no use for them
        self.counts = xp.zeros(len(params), backend.int64)
        self.count = {p: self.counts[i] for i, p in enumerate(params)}
        self.rates = [xp.zeros((), backend.float64) for _ in range(groups)]
        self._sent: list[float | None] = [None] * groups

    def take_over(self, state: dict[Tensor, dict]) -> None:
        """Continue from counts in `state`, and let it show those here."""
        for p, count in self.count.items():
            count.fill(int(state[p]["step"]) if "step" in state.get(p, ()) else 0)
            if "step" in state.get(p, ()):
                state[p]["step"] = Tensor(count)

    def begin_step(self, params: list[Tensor], groups: list[dict]) -> None:
        """Count a step of `params`; send the learning rates (a captured step does that itself)."""
        if self.counts_steps and len(params) == len(self.count):
            self.counts += 1
        elif self.counts_steps:
            for p in params:
                self.count[p] += 1
        if backend.capturing() is None:
            self.send_learning_rates(groups)

    def send_learning_rates(self, groups: list[dict]) -> None:
        """Write the groups' learning rates to where the kernels read them, if they changed."""
        for i, group in enumerate(groups):
            rate = float(group.get("lr", 0))
            if rate != self._sent[i]:
                self.rates[i].fill(rate)
                self._sent[i] = rate
