"""What modules say when they are used wrongly: each function returns the exception to raise.

They stand apart so that ``module.py`` reads as what it does.
"""

from __future__ import annotations

from collections.abc import Iterable

from .._errors import message


def no_forward(module) -> NotImplementedError:
    problem = "it defines no forward."
    return NotImplementedError(
        message(type(module).__name__, problem, do="def forward(self, x): ...")
    )


def not_initialised(module, what: str) -> AttributeError:
    problem = f"{what} before super().__init__() was called."
    do = "call super().__init__() in the first line of __init__"
    return AttributeError(message(type(module).__name__, problem, do=do))


def unknown_name(module, kind: str, name: str, known: Iterable[str]) -> AttributeError:
    import difflib  # imported here: it is needed for nothing else

    close = difflib.get_close_matches(name, known, n=3)
    do = f"did you mean {' or '.join(map(repr, close))}?" if close else ""
    return AttributeError(message(type(module).__name__, f"it has no {kind} {name!r}.", do=do))


def not_a_parameter(module, name: str, value) -> TypeError:
    return TypeError(
        message(
            type(module).__name__,
            f"{name!r} is a parameter, and this would end its training.",
            expect="a Parameter or None",
            actual=type(value).__name__,
            do=f"wrap it in nn.Parameter(...), or set self.{name}.data, or del self.{name} first",
        )
    )


def wrong_kind(module, name: str, kind: str, value) -> TypeError:
    problem, actual = f"{name!r} is no {kind}.", type(value).__name__
    return TypeError(
        message(type(module).__name__, problem, expect=f"a {kind} or None", actual=actual)
    )


def bad_name(module, name) -> KeyError:
    problem = f"{name!r} cannot be the name of a part."
    expect = "a name that is not empty, has no dot, and does not mean something else already"
    return KeyError(message(type(module).__name__, problem, expect=expect))


def not_a_mode(mode) -> ValueError:
    return ValueError(
        message("train", "the mode is not a bool.", expect="True or False", actual=mode)
    )


def not_floating(dtype) -> TypeError:
    problem, expect = "parameters have floating dtypes only.", "float16, float32 or float64"
    return TypeError(message("Module.to", problem, expect=expect, actual=dtype))


def misfit_state(module, complaints: dict[str, list[str]]) -> RuntimeError:
    lines = [
        f"\n  {kind}: {', '.join(map(str, keys))}" for kind, keys in complaints.items() if keys
    ]
    problem = f"these entries do not fit {type(module).__name__}, which is unchanged."
    odd = [*complaints.get("Missing", ()), *complaints.get("Unexpected", ())]
    if any(str(key).endswith("_mask") for key in odd):  # one of the two was pruned
        lines += [
            "\n  Do: prune both alike: nn.utils.prune.identity(layer, 'weight') gives a layer a "
            "mask, prune.remove(layer, 'weight') takes it away"
        ]
    return RuntimeError(f"load_state_dict: {problem}{''.join(lines)}")


def not_a_state_dict(module, given) -> TypeError:
    return TypeError(
        message(
            f"{type(module).__name__}.load_state_dict",
            "this is not a state dict.",
            expect="a dict from names to tensors",
            actual=type(given).__name__,
            do="for a file, load_state_dict(minigrad.load(path))",
        )
    )
