"""What the errors say: what is wrong, what was expected, what came, and what to do.

`message` gives all texts of the library one form. The texts of the engine and of `Tensor` stand
here too, each a function that returns the exception, so that their files read as the algorithm.
"""

from __future__ import annotations


def message(where: str, problem: str, *, expect="", actual="", do="") -> str:
    """Return ``where: problem`` followed by the lines Expect, Actual and Do that are given.

    Parameters
    ----------
    where : str
        The op, layer, key or file that speaks.
    problem : str
        What is wrong, in one sentence.
    expect, actual, do : object
        What was expected, what came, and what the reader can do about it.
    """
    lines = [f"{where}: {problem}"]
    lines += [
        f"  {label}: {text}"
        for label, text in (("Expect", expect), ("Actual", actual), ("Do", do))
        if not (isinstance(text, str) and text == "")
    ]
    return "\n".join(lines)


# ------------------------------------------------------------------------------- the engine


def static_half(op: str, half: str) -> TypeError:
    problem = f"{half} is a staticmethod; here the node itself holds what PyTorch keeps in ctx."
    return TypeError(
        message(
            op,
            problem,
            expect="def forward(self, x): ...  and  def backward(self, gy): ...",
            actual=f"@staticmethod def {half}(ctx, ...)",
            do="drop @staticmethod, call ctx self, and read self.inputs in backward",
        )
    )


def changed_in_place(op: str, what: str) -> RuntimeError:
    problem = f"{what}, whose value its backward needs, was changed in place after it was used."
    return RuntimeError(
        message(
            op,
            problem,
            expect="the value that forward saw",
            actual="another one",
            do="change a copy (x = x + y, or x.clone()), or call backward before the change",
        )
    )


def not_kept(op: str, what: str, flag: str) -> RuntimeError:
    problem = f"self.{what} is not there: the node did not keep it, or was freed."
    do = f"set {flag} in the class of the op whose backward reads it"
    return RuntimeError(message(op, problem, do=do))


def wrong_number_of_gradients(node, actual: int) -> RuntimeError:
    problem = "it returned the wrong number of gradients."
    expect = f"{len(node.edges)}, one for each input (None where there is none)"
    return RuntimeError(message(f"{node!r}.backward", problem, expect=expect, actual=actual))


def misfit_gradient(node, source, gradient) -> RuntimeError:
    actual = f"shape {tuple(gradient.shape)}" if hasattr(gradient, "array") else type(gradient)
    place = next(i for i, other in enumerate(node.edges) if other is source)
    problem = f"the gradient of input {place} does not fit the input."
    expect = f"a tensor of shape {tuple(source.shape)}"
    return RuntimeError(message(f"{node!r}.backward", problem, expect=expect, actual=actual))


def graph_freed(node) -> RuntimeError:
    return RuntimeError(
        message(
            "backward",
            "a gradient flowed through this graph before.",
            expect="a graph that is whole",
            actual=f"{node!r} was freed as the gradient passed",
            do="compute the loss again, or give retain_graph=True to the first backward",
        )
    )


def no_history(y) -> RuntimeError:
    problem = "nothing that led to this tensor requires a gradient."
    return RuntimeError(
        message(
            "backward",
            problem,
            expect="a result computed from tensors with requires_grad=True",
            actual=f"a tensor of shape {tuple(y.shape)} without a history",
            do="compute with requires_grad=True and outside no_grad; a gradient to be "
            "differentiated again needs create_graph=True",
        )
    )


def not_a_scalar(y) -> RuntimeError:
    problem = "a gradient can be left out only for a result of one element."
    return RuntimeError(
        message(
            "backward",
            problem,
            expect="a scalar loss, or a gradient of the result's shape",
            actual=f"shape {tuple(y.shape)}",
            do="reduce the result (loss.sum() or loss.mean()), or give the gradient",
        )
    )


def misfit_start(y, gy) -> RuntimeError:
    problem = "the gradient given does not have the result's shape."
    do = "give one gradient for each entry of the result"
    return RuntimeError(
        message("backward", problem, expect=tuple(y.shape), actual=tuple(gy.shape), do=do)
    )


def unpaired_gradients(outputs: int, gradients: int) -> RuntimeError:
    problem = "the outputs and the gradients given do not pair up."
    return RuntimeError(
        message("backward", problem, expect=f"{outputs} gradients", actual=gradients)
    )


def not_a_tensor(where: str, x) -> TypeError:
    problem = "this is not a tensor."
    do = "make it one with minigrad.tensor(...)"
    return TypeError(message(where, problem, expect="a Tensor", actual=type(x).__name__, do=do))


def no_inputs(where: str) -> ValueError:
    problem = "there is no tensor to give a gradient to."
    return ValueError(message(where, problem, expect="one input or more", actual="none"))


def misfit_hook(node, gradient, replaced) -> RuntimeError:
    actual = tuple(replaced.shape) if hasattr(replaced, "array") else type(replaced).__name__
    problem = "what the hook returned cannot take the gradient's place."
    expect = f"None, or a tensor of shape {tuple(gradient.shape)}"
    return RuntimeError(message("hook", problem, expect=expect, actual=actual))


def unused_inputs(which: list) -> RuntimeError:
    problem = f"inputs {which} did not lead to the outputs."
    return RuntimeError(message("grad", problem, do="give allow_unused=True to get None for them"))


def mode_of_async(function) -> TypeError:
    return TypeError(
        message(
            "grad mode",
            f"{function.__name__!r} is an async function: others run while it waits, and the mode "
            "of a thread would be switched for them.",
            expect="a function, or a generator function",
            do="inside it, put the computation, without any await, in a block: with no_grad(): ...",
        )
    )


# -------------------------------------------------------------------------------- tensors


def no_gradient(where: str) -> RuntimeError:
    return RuntimeError(
        message(
            where,
            "the tensor requires no gradient.",
            expect="requires_grad=True, or a result of such tensors",
            actual="requires_grad=False",
            do="x.requires_grad_() before it is used",
        )
    )


def gradient_of_result() -> UserWarning:
    problem = "this tensor is the result of an operation, and only leaves keep a gradient."
    do = "call x.retain_grad() before backward, or read .grad of the leaf it was computed from"
    return UserWarning(message("grad", problem, actual=".grad is None", do=do))


def no_axes(where: str) -> TypeError:
    return TypeError(message(where, "a tensor without axes has no length and no rows."))


def always_requires_grad() -> RuntimeError:
    problem = "a result of recorded operations always requires a gradient."
    do = "use x.detach() for a tensor outside the graph"
    return RuntimeError(message("requires_grad", problem, do=do))


def not_floating(where: str, dtype) -> TypeError:
    return TypeError(
        message(
            where,
            "only floating tensors have gradients.",
            expect="a floating dtype",
            actual=dtype,
            do="x.float() or x.double() first",
        )
    )


def numpy_of_recorded() -> RuntimeError:
    problem = "the tensor requires a gradient, which would not follow into NumPy."
    do = "use the tensor's own functions (x.mean() for np.mean(x)), or x.detach().numpy()"
    return RuntimeError(message("numpy", problem, do=do))


def numpy_of_gpu(device) -> TypeError:
    problem = "the tensor is on a GPU."
    return TypeError(message("numpy", problem, actual=device, do="x.cpu().numpy()"))


def not_one_element(where: str, shape: tuple, do: str = "") -> ValueError:
    problem = "the tensor does not have exactly one element."
    return ValueError(message(where, problem, actual=f"shape {tuple(shape)}", do=do))


def copy_of_recorded() -> RuntimeError:
    return RuntimeError(
        message("deepcopy", "the tensor is part of a graph.", do="copy x.detach() instead")
    )


def in_place_while_recording(name: str) -> RuntimeError:
    problem = (
        "a tensor that requires a gradient is changed in place, or written into another, "
        "while the graph is recorded."
    )
    do = "to update a parameter, work under no_grad(); to compute on, write y = x + ..."
    return RuntimeError(message(name, problem, do=do))


def not_writable(name: str) -> RuntimeError:
    problem = "the memory cannot be written: it is read-only, or several entries share it (expand)."
    return RuntimeError(message(name, problem, do="work on a copy: x = x.clone()"))


def misfit_result(name: str, shape: tuple, result: tuple) -> ValueError:
    problem = "the result does not fit into the tensor."
    return ValueError(message(name, problem, expect=tuple(shape), actual=tuple(result)))


def misfit_dtype(name: str, dtype, result) -> TypeError:
    problem = "the result's dtype does not fit into the tensor."
    do = "convert the tensor first"
    return TypeError(message(name, problem, expect=dtype, actual=result, do=do))
