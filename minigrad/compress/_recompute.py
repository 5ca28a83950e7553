"""A weight that is computed anew at every forward from other parameters.

Quantization-aware training and trained centroids need the same trick: the optimizer shall move
something else than the weight (the weight before rounding; the few shared values), and the layer,
which knows nothing of it, shall find its weight where it always was. So the parameter ``weight``
gives way to others (``weight_orig``, or ``weight_centroids``), and before each forward a hook
computes a plain tensor ``weight`` from them; autograd carries the gradients through.

Before this: ``nn/module.py``, for hooks; ``nn/utils/prune.py``, which does it for masks. Next:
``quantize.py`` and ``share.py``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module, Parameter
from ._select import require_model


class Recompute:
    """The pre-hook that computes one weight; a subclass says in ``compute`` what the weight is.

    It is of the same kind as the hook of a mask in ``nn/utils/prune.py``: it names in ``computes``
    the attribute that it makes, so that copying, moving and loading the module know to make it
    anew.

    Parameters
    ----------
    module : Module
        The layer.
    name : str
        Its parameter, such as ``"weight"``.
    parts : dict of str to Parameter or Tensor
        What the weight is computed from, by the ending of its name: parameters are trained,
        tensors become buffers.
    """

    def __init__(self, module: Module, name: str, parts: dict[str, Tensor]):
        self.computes = name
        self.endings = list(parts)
        delattr(module, name)
        for ending, part in parts.items():
            add = module.register_parameter if isinstance(part, Parameter) else None
            (add or module.register_buffer)(f"{name}_{ending}", part)
        module.register_forward_pre_hook(self)
        self(module)

    def __call__(self, module: Module, inputs: tuple = ()) -> None:
        """Compute the weight again, as a result through which gradients flow."""
        setattr(module, self.computes, self.compute(module))

    def part(self, module: Module, ending: str) -> Tensor:
        """Return one of the parts."""
        return getattr(module, f"{self.computes}_{ending}")

    def compute(self, module: Module) -> Tensor:
        """Return the weight, recorded."""
        raise NotImplementedError

    def remove(self, module: Module) -> None:
        """Put an ordinary parameter with the weight's present value back in its place."""
        trained = any(self.part(module, ending).requires_grad for ending in self.endings)
        weight = Parameter(self.compute(module).detach(), trained)
        for name in (self.computes, *(f"{self.computes}_{ending}" for ending in self.endings)):
            delattr(module, name)
        hooks = module._forward_pre_hooks
        hooks[:] = [hook for hook in hooks if hook.function is not self]
        module.register_parameter(self.computes, weight)


def check_free(model: Module, chosen: Iterable[str], where: str, tied: bool = False) -> None:
    """Refuse parameters that another is computed from already or (unless `tied`) have two places.

    Raises
    ------
    ValueError
        Names the parameter; nothing was changed.
    """
    places = Counter(id(p) for _, p in model.named_parameters(remove_duplicate=False))
    for name in chosen:
        path, _, own = name.rpartition(".")
        computed = getattr(model.get_submodule(path), own.rpartition("_")[0] or own, None)
        if isinstance(computed, Tensor) and not isinstance(computed, Parameter):
            raise ValueError(
                message(
                    f"{where} {name!r}",
                    "another weight is computed from this one already.",
                    do="end that first: finish_quantization, finish_sharing, "
                    "or detach_masks (prune.remove)",
                )
            )
        if not tied and places[id(model.get_parameter(name))] > 1:
            raise ValueError(
                message(
                    f"{where} {name!r}",
                    "two layers use this parameter; recomputing it in one would part them.",
                    do="leave it out with names=",
                )
            )


def recomputed(model: Module, kind: type[Recompute]) -> list[tuple[Module, Recompute]]:
    """Return the module and the hook of every weight that is computed in this way."""
    return [
        (module, hook.function)
        for module in model.modules()
        for hook in module._computing_hooks()
        if isinstance(hook.function, kind)
    ]


def remove_all(model: Module, kind: type[Recompute], where: str) -> None:
    """Undo every `kind` in the model; refuse a model that has none."""
    require_model(model, where)
    found = recomputed(model, kind)
    if not found:
        raise ValueError(message(where, "no weight of the model is computed in this way."))
    for module, rule in found:
        rule.remove(module)
