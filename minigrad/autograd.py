"""The engine: how a computation is recorded, and how gradients flow back through it.

Every operation is a `Function` with two halves. ``forward`` computes: it sees plain arrays.
``backward`` is mathematics: given the gradient of the loss with respect to the op's output, it
returns the gradients with respect to its inputs, written with tensors, in the same language as
the user's own formulas. So a gradient is itself a computation that can be differentiated again.

Calling an op leaves a node behind, which remembers where its inputs came from: the nodes that
made them. Together the nodes form a graph from the result back to the leaves. `backprop` walks
that graph, and hands out each node's gradient when it is complete. `backward` and `grad` are short
loops over that walk.

Before this: ``examples/00_scalar_backprop.py``, the same algorithm on plain numbers.
Next: ``ops/elementwise.py`` for what the derivatives look like, then ``_tensor.py``.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from . import _errors as errors
from . import backend, kernels

if TYPE_CHECKING:
    from ._tensor import Tensor
# At run time `Tensor` is put here by `_tensor.py`, which needs this file first.

# ------------------------------------------------------------------ is a computation recorded?


class _PerThread(threading.local):
    recording = True  # every thread starts recording


_mode = _PerThread()


class set_grad_enabled:
    """Switch recording on or off: from here on, or for a ``with`` block, or in a function.

    Parameters
    ----------
    mode : bool
        Whether operations leave nodes behind. Holds for the current thread only.
    """

    def __init__(self, mode: bool):
        self.mode = bool(mode)
        self.before, _mode.recording = _mode.recording, self.mode

    def __enter__(self) -> None:
        _mode.recording = self.mode

    def __exit__(self, *exception) -> None:
        _mode.recording = self.before

    def __call__(self, function: Callable) -> Callable:
        _mode.recording = self.before  # a decorator switches inside the function only
        return _decorate(function, lambda: set_grad_enabled(self.mode))


class no_grad:
    """Compute without recording: ``with no_grad():``, or ``@no_grad()`` on a function."""

    mode = False

    def __new__(cls, function: Callable | None = None):
        block = super().__new__(cls)
        block.before = []  # a stack: one block may be entered again inside itself
        return block if function is None else block(function)  # ``@no_grad`` works too

    def __enter__(self) -> None:
        self.before.append(_mode.recording)
        _mode.recording = self.mode

    def __exit__(self, *exception) -> None:
        _mode.recording = self.before.pop()

    def __call__(self, function: Callable) -> Callable:
        return _decorate(function, type(self))


class enable_grad(no_grad):
    """Record again inside a ``no_grad`` block; used like it."""

    mode = True


def _decorate(function: Callable, block: Callable) -> Callable:
    if inspect.isgeneratorfunction(function):
        return _decorate_generator(function, block)
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise errors.mode_of_async(function)

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with block():  # a new one each call: the function may recurse, or run in two threads
            return function(*args, **kwargs)

    return wrapped


def _decorate_generator(function: Callable, block: Callable) -> Callable:
    """Switch in each step of a generator, and not while its caller has the turn."""

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        generator = function(*args, **kwargs)
        step, given = generator.send, None
        while True:
            try:
                with block():
                    result = step(given)
            except StopIteration as end:
                return end.value
            try:
                step, given = generator.send, (yield result)
            except GeneratorExit:
                with block():
                    generator.close()
                raise
            except BaseException as error:
                step, given = generator.throw, error

    return wrapped


def is_grad_enabled() -> bool:
    """Whether this thread records."""
    return _mode.recording


# --------------------------------------------------------------------------- one op, one node


class Function:
    """One differentiable operation; an instance is the node that one call of it leaves behind.

    A subclass defines ``forward`` on arrays and ``backward`` on tensors::

        class Mul(Function):
            def forward(self, a, b):
                return a * b

            def backward(self, gy):
                a, b = self.inputs
                return gy * b, gy * a

        y = Mul.apply(x1, x2)

    ``forward`` gets the arrays of the positional arguments of `apply` (what is not a tensor comes
    as it is) and all keyword arguments, and returns one array. ``backward`` gets the gradient
    with respect to that array and returns one gradient, or None, for each positional argument,
    of that argument's shape.

    A subclass may set these class attributes:

    reads_inputs : bool
        Whether ``backward`` reads the *values* of the inputs. Where it does not, set False: then
        the graph does not keep them in memory, and they may be changed in place.
    saves_output : bool
        Whether ``backward`` reads ``self.output``.
    is_view : bool
        Whether the output may share its memory with the first input.
    fast_backward : method, optional
        The same as ``backward`` on arrays, by a fused kernel. It is used while nothing is
        recorded. A gradient that will be differentiated again always comes from ``backward``:
        the arrays that a kernel saved in ``forward`` would count as constants there.

    and ``forward`` and ``backward`` may read:

    Attributes
    ----------
    inputs : tuple
        The positional arguments, as tensors (in ``backward``, if ``reads_inputs``).
    output : Tensor
        The result (in ``backward``, if ``saves_output``); in ``fast_backward``, `output_array`.
    needs_input_grad : list of bool
        Which inputs need a gradient. What is costly and not needed can be left out.
    xp : module
        NumPy or CuPy, whichever the arrays belong to.
    kernels : module
        The array primitives for that device.
    edges : list
        Where the gradients go, one for each input: the node that made the input, the tensor
        itself if it is a leaf, or None where no gradient is needed.
    shape : tuple of int
        The shape of the output.

    Whatever else ``forward`` stores on ``self`` is dropped as soon as ``backward`` has run, unless
    the graph is retained.
    """

    __slots__ = (
        "_changes",
        "_output",
        "edges",
        "hooks",
        "inputs",
        "needs_input_grad",
        "retained_by",  # a weak reference to the output, if it asked to keep its gradient
        "shape",
        "xp",
        "__weakref__",
    )
    reads_inputs = True
    saves_output = False
    is_view = False
    fast_backward: Callable | None = None

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        for half in ("forward", "backward"):
            if isinstance(cls.__dict__.get(half), staticmethod):
                raise errors.static_half(cls.__name__, half)

    def forward(self, *arrays, **options):
        raise NotImplementedError(errors.message(type(self).__name__, "it defines no forward."))

    def backward(self, gy: Tensor):
        raise NotImplementedError(errors.message(type(self).__name__, "it defines no backward."))

    @classmethod
    def apply(cls, *inputs, **options) -> Tensor:
        """Compute the operation and, if a gradient may be asked for, record it.

        Parameters
        ----------
        *inputs : Tensor or object
            What ``forward`` gets by position.
        **options
            What ``forward`` gets by name. Gradients flow to positional tensors only.

        Raises
        ------
        DeviceError
            If the tensors live on different devices.
        """
        node = cls()
        node.xp = np
        recording, changes = _mode.recording, 0
        arrays, needs = [], []
        for x in inputs:
            need = False
            if isinstance(x, Tensor):
                need = recording and x._requires_grad
                changes += x._version[0]
                x = x.array
                if type(x) is not np.ndarray:
                    node.xp = backend.array_module(x)
            arrays.append(x)
            needs.append(need)
        node.needs_input_grad = needs
        if node.xp is not np:
            backend.refuse_mixed_devices(cls.__name__, arrays)

        y = node.forward(*arrays, **options)

        if type(y) is not np.ndarray:
            y = backend.as_array(y, cls.__name__)  # NumPy makes 0-d results scalars
        output = _wrap(y)
        if node.is_view:
            output._version = inputs[0]._version
        if True in needs:
            output._requires_grad = True
            output.creator = node
            node.shape = y.shape
            node.edges = [(x.creator or x) if need else None for x, need in zip(inputs, needs)]
            node.hooks = node.retained_by = node._output = None
            if cls.reads_inputs:
                node.inputs, node._changes = inputs, changes
            if cls.saves_output:
                node._output = y, output._version, output._version[0]
        return output

    @property
    def kernels(self):
        return kernels.get(self.xp)

    @property
    def output(self) -> Tensor:
        # A new tensor made by this node, so that keeping the output makes no reference cycle.
        output = Tensor(self.output_array)
        output.creator, output._requires_grad, output._version = self, True, self._output[1]
        return output

    @property
    def output_array(self):
        if self._output is None:
            raise errors.not_kept(type(self).__name__, "output", "saves_output = True")
        array, version, count = self._output
        if version[0] != count:
            raise errors.changed_in_place(type(self).__name__, "its output")
        return array

    def input_gradients(self, gy: Tensor) -> tuple:
        """Return what ``backward`` says: one gradient, or None, for each input."""
        if self.reads_inputs:
            # Counts of changes only grow, so their sum tells whether any of them did.
            changes = 0
            for x in self.inputs:
                if isinstance(x, Tensor):
                    changes += x._version[0]
            if changes != self._changes:
                raise errors.changed_in_place(type(self).__name__, "an input")
        if self.fast_backward is not None and not _mode.recording:
            gradients = self.fast_backward(gy.array)
            if not isinstance(gradients, tuple):
                gradients = (gradients,)
            gradients = [
                None if g is None else _wrap(backend.as_array(g, type(self).__name__))
                for g in gradients
            ]
        else:
            gradients = self.backward(gy)
            if not isinstance(gradients, tuple):
                gradients = (gradients,)
        if len(gradients) != len(self.edges):
            raise errors.wrong_number_of_gradients(self, len(gradients))
        return gradients

    def free(self) -> None:
        """Drop everything that the node holds; gradients can flow through it no more."""
        self.edges = self.inputs = self._output = None
        self.__dict__.clear()

    def __getattr__(self, name: str):  # called only for what is not there
        if name == "inputs":
            raise errors.not_kept(type(self).__name__, "inputs", "reads_inputs = True")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def _wrap(array) -> Tensor:
    """Return a new tensor on what is known to be an array: `Tensor(array)`, without its checks."""
    x = Tensor.__new__(Tensor)
    x.array = array
    x._grad = x.hooks = x.creator = None
    x._version = [0]
    x._requires_grad = False
    return x


# ------------------------------------------------------------------------------------ the walk


def backprop(
    outputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    *,
    retain_graph: bool | None = None,
    create_graph: bool = False,
) -> Iterator[tuple[Function | Tensor, Tensor]]:
    """Walk from the outputs back to the leaves, and yield each gradient when it is complete.

    The gradient of a node is the sum over all paths that lead from it to the outputs. Why an
    order is needed at all::

        b = a + a
        c = b + b

    Here b is used twice by c. If b passed its gradient on as soon as the first share had come
    (1), and again for the second, that would still be right, at twice the work; nest this n
    times and the work is 2 ** n. If it passed on its running total each time (1, then 2), a would
    get 2 + 4 = 6 instead of dc/da = 4. So a node is visited once, when nothing more can arrive:
    first count how many uses each node has, then let it wait until all of them have reported.

    Parameters
    ----------
    outputs : Tensor or sequence of Tensor
        Where the walk starts.
    grad_outputs : Tensor or sequence of Tensor or None, optional
        The gradients to start with; ones for outputs of one element.
    retain_graph : bool, optional
        Keep the graph for another walk. By default it is freed on the way, unless
        `create_graph` is given.
    create_graph : bool
        Record the gradients' own computation, so that they can be differentiated again.

    Yields
    ------
    node : Function or Tensor
        The op that is reached or, at the ends, a leaf tensor.
    gradient : Tensor
        The gradient of the outputs with respect to the node's output, or the leaf.

    Raises
    ------
    RuntimeError
        If an output requires no gradient, if one of more than one element comes without a
        gradient, or if the graph was freed by an earlier walk.
    """
    retain_graph = create_graph if retain_graph is None else retain_graph
    gradients = _start(outputs, grad_outputs, create_graph)

    # 1. Count the uses of every node that can be reached.
    uses = dict.fromkeys(gradients, 0)
    stack = list(gradients)
    while stack:
        node = stack.pop()
        if node.edges is None:
            raise errors.graph_freed(node)
        for source in node.edges:
            if source is None:
                continue
            if source not in uses:
                uses[source] = 0
                stack.append(source)
            uses[source] += 1

    # 2. Visit each node once, when all its uses have reported.
    ready = [node for node in gradients if uses[node] == 0]
    while ready:
        node = ready.pop()
        gradient = gradients.pop(node, None)  # None if every use said that there is none
        if gradient is not None:
            if node.hooks:
                with set_grad_enabled(create_graph):
                    gradient = _after_hooks(node, gradient)
            yield node, gradient
        if not node.edges:
            continue
        # The mode is set inside the step, not around the yield: what the consumer of this
        # generator does between two steps is the consumer's own business.
        before, _mode.recording = _mode.recording, create_graph
        try:
            shares = (
                [None] * len(node.edges) if gradient is None else node.input_gradients(gradient)
            )
            for source, share in zip(node.edges, shares):
                if source is None:
                    continue
                if share is not None:
                    if not isinstance(share, Tensor) or share.array.shape != source.shape:
                        raise errors.misfit_gradient(node, source, share)
                    if source in gradients:
                        share = _plus(gradients[source], share)
                    elif not source.edges and not _is_fresh(share, shares, gradient, node):
                        share = share.clone()  # what a leaf keeps is its own
                    gradients[source] = share
                uses[source] -= 1
                if uses[source] == 0:
                    ready.append(source)
        finally:
            _mode.recording = before
        if not retain_graph:
            node.free()
        gradient = share = shares = None  # hold no array longer than its turn


def _start(outputs, grad_outputs, create_graph: bool) -> dict:
    """Return the gradients that the walk starts from, by node."""
    outputs = _tensors(outputs, "backward")
    if grad_outputs is None:
        grad_outputs = [None] * len(outputs)
    elif not isinstance(grad_outputs, (tuple, list)):
        grad_outputs = [grad_outputs]
    if len(outputs) != len(grad_outputs):
        raise errors.unpaired_gradients(len(outputs), len(grad_outputs))
    gradients: dict = {}
    for y, gy in zip(outputs, grad_outputs):
        if not y._requires_grad:
            raise errors.no_history(y)
        node = y.creator or y
        if gy is None:
            if y.array.size != 1:
                raise errors.not_a_scalar(y)
            gy = Tensor(backend.array_module(y.array).ones_like(y.array))
        else:
            (gy,) = _tensors(gy, "backward")
            if gy.array.shape != y.array.shape:
                raise errors.misfit_start(y, gy)
            with set_grad_enabled(create_graph):
                gy = gy.to(y.array.dtype)
                gy = gy if node is not y else gy.clone()  # a leaf's gradient is its own
        if node in gradients:
            with set_grad_enabled(create_graph):
                gy = gradients[node] + gy
        gradients[node] = gy
    return gradients


def _tensors(given, where: str) -> list:
    """Return a list of the tensors in what may be one tensor or a sequence of them."""
    if isinstance(given, Tensor):
        return [given]
    one = backend.is_array(given) or not hasattr(given, "__iter__")
    given = [given] if one else list(given)
    for x in given:
        if not isinstance(x, Tensor):
            raise errors.not_a_tensor(where, x)
    return given


def _after_hooks(node: Function | Tensor, gradient: Tensor) -> Tensor:
    for hook in list(node.hooks):
        replaced = hook(gradient)
        if replaced is not None:
            if not isinstance(replaced, Tensor) or replaced.shape != gradient.shape:
                raise errors.misfit_hook(node, gradient, replaced)
            gradient = replaced
    return gradient


def _plus(a: Tensor, b: Tensor) -> Tensor:
    """a + b, as an op of the graph only while gradients are recorded."""
    if _mode.recording:
        return a + b
    return Tensor(backend.as_array(a.array + b.array, "backward"))


def _is_fresh(share: Tensor, shares: tuple, upstream: Tensor, node: Function) -> bool:
    """Whether no one else can hold the memory of `share`: a leaf shares its ``.grad`` with none."""
    array = share.array
    if array.base is not None or array is upstream.array:
        return False
    for x in node.inputs if node.reads_inputs else ():
        if isinstance(x, Tensor) and x.array is array:
            return False
    return sum([share is other for other in shares]) == 1


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of `tensors` to the ``.grad`` of every leaf that led to them.

    Parameters are those of `backprop`; `inputs` are the tensors that get a gradient, instead of
    all leaves (and results with `retain_grad`).
    """
    chosen = None
    if inputs is not None:
        chosen = {x.creator or x: x for x in _wanted(inputs, "backward")}
    walk = backprop(tensors, grad_tensors, retain_graph=retain_graph, create_graph=create_graph)
    for node, gradient in walk:
        if chosen is not None:
            x = chosen.get(node)
        elif isinstance(node, Tensor):
            x = node
        else:
            x = node.retained_by and node.retained_by()
        if x is None:
            continue
        if x._grad is not None or x is not node:
            with set_grad_enabled(create_graph):
                if x._grad is not None:
                    gradient = x._grad + gradient  # never in place: others may hold .grad
                else:
                    gradient = gradient.clone()  # the walk goes on with its own
        x._grad = gradient


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the outputs with respect to `inputs`, and touch no ``.grad``.

    Parameters are those of `backprop`, and:

    inputs : Tensor or sequence of Tensor
        Leaves or intermediate results.
    allow_unused : bool
        Return None, instead of raising, for inputs that did not lead to the outputs.

    Returns
    -------
    tuple of Tensor
        One gradient for each input.
    """
    inputs = _wanted(inputs, "grad")
    wanted = {x.creator or x: None for x in inputs}
    missing = len(wanted)
    walk = backprop(outputs, grad_outputs, retain_graph=retain_graph, create_graph=create_graph)
    for node, gradient in walk:
        if node in wanted:
            wanted[node] = gradient
            missing -= 1
    if missing and not allow_unused:
        unused = [i for i, x in enumerate(inputs) if wanted[x.creator or x] is None]
        raise errors.unused_inputs(unused)
    return tuple([wanted[x.creator or x] for x in inputs])


def _wanted(inputs, where: str) -> list:
    inputs = _tensors(inputs, where)
    for i, x in enumerate(inputs):
        if not x._requires_grad:
            raise errors.no_gradient(f"{where}: input {i}")
    if not inputs:
        raise errors.no_inputs(where)
    return inputs


def __getattr__(name: str):
    if name in ("gradcheck", "gradgradcheck"):  # PyTorch has them here
        from . import gradcheck

        return getattr(gradcheck, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
