"""What a network computes, as a list: run it once, and read the graph that it left behind.

To take a channel out of a network one must know who reads it, and a module does not say: its
``forward`` is any Python code. But the engine writes down every operation anyway, in order to
send gradients back. So one example batch goes through a copy of the network, and the recorded
graph is read from its leaves on: every op that ran, functional ones and plain ``+`` included,
with the parameters of the network among its sources. (The other way, hooks on modules, sees the
layers but not what happens between them: no ``+``, no ``cat``, no ``view``.)

Before this: ``autograd.py``. Next: ``channels.py``, which follows channels along the list.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from .. import autograd
from .._errors import message
from .._tensor import Tensor
from ..autograd import Function
from ..nn.layers import _BatchNorm
from ..nn.module import Module
from ..nn.recorder import working_copy
from ..ops.conv import Conv2d, Conv2dInput
from ..ops.linalg import Linear, MatMul


@dataclass
class Call:
    """One call of a module: which, on what, giving what (graph nodes, or tensors at the ends)."""

    path: str
    module: Module
    source: Function | Tensor | None
    result: Function | Tensor
    keeps_shape: bool


@dataclass
class Trace:
    """What one forward pass of a network left behind.

    Attributes
    ----------
    nodes : list of Function
        Every op that led to the outputs or to what a module returned, sources first.
    names : dict from Tensor to str
        The parameters and floating buffers of the copy that ran, and their names.
    outputs : list of Tensor
    batch : int
        The number of samples in the example.
    calls : list of Call
        The modules in the order in which they finished.
    cut_off : list of Function
        Ends of the graph that are no output: what a module returned, and nothing recorded reads.
        It was detached, or went through NumPy, or was not used.
    """

    nodes: list
    names: dict
    outputs: list
    batch: int
    calls: list[Call] = field(default_factory=list)
    cut_off: list[Function] = field(default_factory=list)


def trace(model: Module, example) -> Trace:
    """Run a copy of the network on one batch, and return what it computed.

    The copy runs in evaluation mode, so that nothing is drawn at random; only batch norms use
    their batch's statistics, because then each of them is a single op of the graph. Modules record
    even where their caller says ``no_grad()``: frozen layers compute, too.

    Parameters
    ----------
    model : Module
        It is left as it is.
    example : Tensor or tuple of Tensor
        What ``model(...)`` takes. Two samples are enough; the values do not matter.

    Raises
    ------
    TypeError
        If `model` is no Module, or `example` holds no tensor.
    ValueError
        If the output does not depend on a parameter.
    RuntimeError
        If the model cannot be copied.
    """
    inputs = check_example(model, example)
    model = working_copy(model, "compress").eval()
    for module in model.modules():
        if isinstance(module, _BatchNorm):
            module.training = True
    names = {}
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        if tensor.dtype.kind == "f":
            tensor.requires_grad_(True)  # frozen parameters and buffers belong to the graph too
            names[tensor] = name

    calls = []
    recording = autograd.enable_grad()
    for path, module in model.named_modules():
        module.register_forward_pre_hook(lambda module, args: recording.__enter__())
        module.register_forward_hook(_note(path, calls))
        module.register_forward_hook(lambda module, args, output: recording.__exit__())
    with autograd.enable_grad():
        outputs = list(tensors_in(model(*inputs)))
    recorded = [y for y in outputs if y.creator is not None]
    if not recorded:
        raise ValueError(
            message(
                type(model).__name__,
                "its output does not depend on a parameter, so there is no graph to follow.",
                expect="a Tensor, or tuples, lists and dicts of them, computed from parameters",
                do="return what was computed, without no_grad() and detach()",
            )
        )
    ends = [y.creator for y in recorded]
    results = [call.result for call in calls if isinstance(call.result, Function)]
    nodes = in_forward_order([*ends, *results])
    read = {source for node in nodes for source in node.edges}
    cut_off = [node for node in nodes if node not in read and node not in ends]
    return Trace(
        nodes, names, recorded, inputs[0].shape[0] if inputs[0].ndim else 1, calls, cut_off
    )


def check_example(model, example) -> tuple:
    """Return the example as a tuple of arguments; raise if it cannot be one."""
    if not isinstance(model, Module):
        raise TypeError(
            message(
                "compress", "not a network.", expect="an nn.Module", actual=type(model).__name__
            )
        )
    inputs = example if isinstance(example, tuple) else (example,)
    if not inputs or not isinstance(inputs[0], Tensor):
        raise TypeError(
            message(
                "compress",
                "the example is not what a network takes.",
                expect="a Tensor with a batch of inputs, or a tuple of arguments",
                actual=type(example).__name__,
                do="give one batch, such as minigrad.zeros(2, 1, 28, 28)",
            )
        )
    if inputs[0].ndim and not len(inputs[0]):
        problem, actual = "the example is a batch without samples.", f"shape {inputs[0].shape}"
        raise ValueError(message("compress", problem, expect="one sample or more", actual=actual))
    return inputs


def in_forward_order(nodes: list) -> list:
    """Return these nodes and all that led to them, sources first, without recursion."""
    order, seen, stack = [], set(), [(node, False) for node in reversed(nodes)]
    while stack:
        node, is_finished = stack.pop()
        if is_finished:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            sources = [x for x in node.edges if isinstance(x, Function) and x not in seen]
            stack += [(x, False) for x in reversed(sources)]
    return order


def tensors_in(value):
    """Yield the tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_in(part)
    elif isinstance(value, (list, tuple)):
        for part in value:
            yield from tensors_in(part)


def _note(path: str, calls: list):
    def hook(module, args, output):
        if len(args) == 1 and isinstance(args[0], Tensor) and isinstance(output, Tensor):
            x, y = args[0], output
            source, result = x.creator or x, y.creator or y
            calls.append(Call(path, module, source, result, x.shape == y.shape and y is not x))

    return hook


# ------------------------------------------------------------------------------------ FLOPs


def multiply_adds(node: Function) -> tuple[int, tuple] | None:
    """Return how many multiply-adds an op takes: a number, and the axes whose sizes multiply it.

    By convention only the ops that contract count::

        Conv2d                   y[n,o,i,j] += x[n,c,..] w[o,c,k,l]    N OH OW KH KW * O * C/groups
        Conv2dInput (transposed) y[n,o,..] += x[n,c,i,j] w[c,o,k,l]    N H W KH KW * C * O/groups
        Linear                   Y[n,o] += X[n,k] W[o,k]               N * O * K
        MatMul                   Y[n,m] += A[n,k] B[k,m]               leading * N * K * M

    Biases, norms, activations and pooling do work in proportion to their output, a few percent
    of the whole, and do not count.

    Returns
    -------
    (times, ((input, axis), ...)), or None for an op that does not count
    """
    if isinstance(node, (Conv2d, Conv2dInput)):
        x, w = node.inputs[:2]
        places = node.shape[2:] if isinstance(node, Conv2d) else x.shape[2:]
        return x.shape[0] * math.prod(places) * math.prod(w.shape[2:]), ((1, 0), (1, 1))
    if isinstance(node, Linear):
        return node.shape[0], ((1, 0), (1, 1))
    if isinstance(node, MatMul):
        return math.prod(node.shape[:-2]), ((0, -2), (1, -2), (1, -1))
    return None
