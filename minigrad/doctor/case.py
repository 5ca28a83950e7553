"""The case: a copy of the model, its batch, and what one forward and backward pass showed.

Everything that is asked later is asked of this record; nothing touches the user's model. The copy
runs in training mode and is watched (`Recorder`), so that an operation can be laid at the door of
the layer that it belongs to.

Before this: ``nn/recorder.py`` for the watching. Next: ``data.py``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from .. import autograd, backend, nn
from .._errors import message
from .._tensor import Tensor
from ..nn import functional as F
from ..nn.recorder import Recorder, Row, working_copy
from ..training import _arguments
from ..training.metrics import categorical_crossentropy

# What a loss wants from the model's output; the others are asked how they behave (`_behaviour`).
EXPECTS = {
    F.cross_entropy: "logits",
    nn.CrossEntropyLoss: "logits",
    F.nll_loss: "log-probabilities",
    nn.NLLLoss: "log-probabilities",
    categorical_crossentropy: "probabilities",
    F.binary_cross_entropy: "yes-probabilities",
    nn.BCELoss: "yes-probabilities",
    F.binary_cross_entropy_with_logits: "yes-logits",
    nn.BCEWithLogitsLoss: "yes-logits",
    **dict.fromkeys([F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss], "values"),
    **dict.fromkeys([nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss], "values"),
}
CLASSES = ("logits", "log-probabilities", "probabilities")  # one output for each class


@dataclass
class Case:
    """A model, a batch and a loss, and how they ran.

    Attributes
    ----------
    model : Module
        The copy.
    inputs : tuple of Tensor
    targets : Tensor
    loss_of : callable
    expects : str or None
        What the loss wants, a value of `EXPECTS`; None if that is not known.
    error : str
        Where it failed and how; empty if it did not.
    output : Tensor or None
    loss : Tensor or None
    nodes : list of Function
        The graph of the loss, sources first.
    owner : dict from Function to Row
    layers : list of (Row, inputs, output)
        What each module got and returned, in the order in which they finished.
    gradients : dict from str to ndarray or None
        By the name of the parameter, after the first backward. Frozen ones are left out.
    """

    model: nn.Module
    inputs: tuple
    targets: Tensor
    loss_of: Callable
    expects: str | None = None
    error: str = ""
    output: Tensor | None = None
    loss: Tensor | None = None
    nodes: list = field(default_factory=list)
    owner: dict = field(default_factory=dict)
    layers: list[tuple[Row, tuple, object]] = field(default_factory=list)
    gradients: dict[str, np.ndarray | None] = field(default_factory=dict)

    @property
    def samples(self) -> int:
        return len(self.targets)

    @property
    def classes(self) -> int | None:
        """How many classes the output has, if it is one row of numbers for each sample."""
        y = self.output
        is_table = isinstance(y, Tensor) and y.ndim > 1 and y.shape[0] == self.samples
        return y.shape[1] if is_table and self.expects in CLASSES else None

    @property
    def has_labels(self) -> bool:
        return self.targets.dtype.kind in "iu"

    def first_loss(self) -> float:
        return float(self.loss.item())

    def evaluate(self, output: Tensor, targets: Tensor | None = None) -> float:
        """Return the loss of another output; nothing is recorded."""
        with autograd.no_grad(), np.errstate(all="ignore"):
            return float(self.loss_of(output, self.targets if targets is None else targets).item())

    def layer_of(self, node) -> str:
        """Return the name of the layer that an operation belongs to."""
        row = self.owner.get(node)
        return "the loss" if row is None else name_of(row)


def name_of(row: Row) -> str:
    return f"{row.path} ({row.kind})" if row.path else row.kind


# -------------------------------------------------------------------------------- making it


def as_case(model: nn.Module, batch, loss) -> Case:
    """Return the case, not yet run; raise for what is no model, batch or loss at all."""
    _arguments.check_model("doctor", model)
    loss_of = _arguments.as_loss("doctor", loss)
    if not isinstance(batch, (tuple, list)) or len(batch) != 2:
        raise TypeError(
            message(
                "doctor",
                "this is not a batch.",
                expect="(inputs, targets), as a DataLoader gives them",
                actual=type(batch).__name__
                + (f" of {len(batch)}" if hasattr(batch, "__len__") else ""),
            )
        )
    inputs, targets = batch
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    inputs, targets = tuple(map(_as_tensor, inputs)), _as_tensor(targets)
    sizes = [len(x) if x.ndim else 0 for x in (*inputs, targets)]
    if min(sizes) < 1 or len(set(sizes)) > 1:
        raise ValueError(
            message(
                "doctor",
                "inputs and targets do not pair up.",
                expect="one target for each sample, along the first axis; at least one",
                actual=", ".join(str(tuple(x.shape)) for x in (*inputs, targets)),
            )
        )
    like = next(iter(model.parameters()), None)
    if like is not None:  # as `fit` does it
        inputs = tuple(
            x.to(dtype=like.dtype if x.is_floating_point() else None, device=like.device)
            for x in inputs
        )
        targets = targets.to(like.device)
    return Case(working_copy(model, "doctor").train(), inputs, targets, loss_of)


def _as_tensor(value) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if backend.is_array(value) or isinstance(value, (list, tuple)):
        with contextlib.suppress(ValueError, TypeError):
            array = value if backend.is_array(value) else np.asarray(value)
            if array.dtype.kind in "fiub":
                return Tensor(array)
    raise TypeError(
        message(
            "doctor",
            "a batch holds numbers.",
            expect="Tensors or arrays; for a forward with several arguments a tuple of them",
            actual=type(value).__name__,
        )
    )


def run(case: Case) -> None:
    """Run forward and backward once, and write down what happens, errors too."""
    from ..compress.trace import in_forward_order

    def note(row, inputs, output):
        case.layers.append((row, inputs[0], output))

    recorder = Recorder(case.model, note)
    case.owner = recorder.owner
    with autograd.enable_grad(), np.errstate(all="ignore"):
        with _failures(case, recorder.where):
            case.output = case.model(*case.inputs)
        if not case.error:
            with _failures(case, lambda: "the loss"):
                case.loss = case.loss_of(case.output, case.targets)
    case.expects = _expected(case)
    if isinstance(case.loss, Tensor) and case.loss.creator is not None:
        case.nodes = in_forward_order([case.loss.creator])
    # The hooks have done their work, and later passes shall be as fast as usual.
    for module in case.model.modules():
        module._forward_hooks = [h for h in module._forward_hooks if h.function != recorder._leave]
        module._forward_pre_hooks = [
            h for h in module._forward_pre_hooks if h.function != recorder._enter
        ]


def run_backward(case: Case) -> None:
    """Send the gradients back, and write them down."""
    case.model.zero_grad()
    with np.errstate(all="ignore"):
        case.loss.backward(retain_graph=True)
    for name, parameter in case.model.named_parameters():
        if parameter.requires_grad:
            g = parameter.grad
            case.gradients[name] = None if g is None else backend.to_numpy(g.array)


@contextlib.contextmanager
def _failures(case: Case, where: Callable[[], str]) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        text = str(error).replace("\n", "\n      ")
        case.error = f"{where()} raised {type(error).__name__}: {text}"


def _expected(case: Case) -> str | None:
    """Return what the loss wants from the output."""
    for known, expects in EXPECTS.items():
        if case.loss_of is known or (isinstance(known, type) and isinstance(case.loss_of, known)):
            return expects
    with contextlib.suppress(Exception):
        return _behaviour(case)
    return None


def _behaviour(case: Case) -> str | None:
    """Return "logits" for a loss with a softmax inside: only differences of the output count."""
    y = case.output.detach()
    if not case.has_labels or y.ndim != 2 or y.shape[1] < 2:
        return None
    loss, scale = case.evaluate(y), 1e-4 * (1 + abs(case.evaluate(y)))
    shifted, stretched = case.evaluate(y + 3.0), case.evaluate(y * 2.0 + _ramp(y))
    return "logits" if abs(shifted - loss) < scale < abs(stretched - loss) else None


def _ramp(y: Tensor) -> Tensor:
    """A different number for each class."""
    xp = backend.array_module(y.array)
    return Tensor(xp.arange(y.shape[1]).astype(y.dtype) * 0.5)
