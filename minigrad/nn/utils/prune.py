"""Pruning by masks: entries of a weight are held at zero while the network trains on.

To prune the parameter `weight` of a layer is to write it as a product::

    weight = weight_mask * weight_orig

``weight_orig`` is the `Parameter` that it was before: an optimizer that holds it goes on with it.
``weight_mask``, ones and zeros, is a buffer: it is saved and moved with the layer. And ``weight``
is an ordinary result of the two, computed again before every forward, by a pre-hook. Backprop
needs to know nothing of pruning: by the product rule the gradient of ``weight_orig`` is
``weight_mask * gw``, zero where the mask is zero. Momentum and weight decay may still move an
entry of ``weight_orig`` there; the product stays zero, so what was pruned stays pruned.

Which entries go is decided by a method, a class with a `compute_mask`. There are two families.
*Unstructured* methods choose single entries; *structured* ones choose whole channels, the slices
along one axis. Pruning again prunes from what is left, and never brings anything back.

**A mask saves nothing by itself**: zeros are multiplied like all numbers. It says what can be
left out; ``minigrad/compress/`` then leaves it out.

The names, arguments and results are those of ``torch.nn.utils.prune``.

Before this: ``nn/module.py`` (hooks and buffers). Next: ``minigrad/compress/``.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import numpy as np

from ... import autograd, backend
from ..._errors import message
from ..._tensor import Tensor
from ...functions.shape import cat
from ..module import Module, Parameter
from . import _prune_checks as _checks

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "PruningContainer",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]

# ------------------------------------------------------------------- what all methods share


class BasePruningMethod(ABC):
    """A way of choosing what to prune, and the pre-hook that keeps it pruned.

    A subclass sets `PRUNING_TYPE` and defines `compute_mask`::

        class EverySecond(BasePruningMethod):
            PRUNING_TYPE = "unstructured"

            def compute_mask(self, t, default_mask):
                mask = default_mask.clone()
                mask.view(-1)[::2] = 0
                return mask

        EverySecond.apply(layer, "weight")

    Attributes
    ----------
    PRUNING_TYPE : {"unstructured", "structured", "global"}
        What `compute_mask` is given when something is pruned already: the entries that are left,
        in one row; the channels along ``self.dim`` that are left; or everything.
    """

    PRUNING_TYPE: str
    _tensor_name: str | None = None  # the parameter it was applied to

    @abstractmethod
    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return the mask for a tensor.

        Parameters
        ----------
        t : Tensor
            The importance of each entry; by default these are the weights themselves.
        default_mask : Tensor
            What was pruned before: of the shape of `t`, ones at first. Not to be changed.

        Returns
        -------
        Tensor
            Of the same shape: 1 where an entry stays, 0 where it goes.
        """

    def __call__(self, module: Module, inputs: tuple = ()) -> None:
        """Compute the masked parameter again: this is the pre-hook."""
        setattr(module, self._tensor_name, self.apply_mask(module))

    @property
    def computes(self) -> str | None:
        """The attribute that this pre-hook computes from the module's parameters and buffers."""
        return self._tensor_name

    def apply_mask(self, module: Module) -> Tensor:
        """Return mask times original, as a result through which gradients flow."""
        self._require_applied("apply_mask")
        mask = getattr(module, self._tensor_name + "_mask")
        orig = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=orig.dtype) * orig

    @classmethod
    def apply(
        cls, module: Module, name: str, *args, importance_scores: Tensor | None = None, **kwargs
    ) -> BasePruningMethod:
        """Prune a parameter, or prune it further; either all of it happens, or nothing.

        Parameters
        ----------
        module : Module
            The layer itself, not the network around it.
        name : str
            The parameter's name there, such as ``"weight"``.
        *args, **kwargs
            Go to the method: ``cls(*args, **kwargs)``.
        importance_scores : Tensor, optional
            What to choose by instead of the weights; of their shape.

        Returns
        -------
        BasePruningMethod
            The method, now a hook of the module. Where the parameter was pruned before, a
            `PruningContainer` of the methods until now and this one.

        Raises
        ------
        AttributeError
            If the module has no such parameter.
        ValueError
            If the parameter is None, if its entries or the scores are not finite, and where
            amounts, shapes or axes do not fit.
        """
        method = cls(*args, **kwargs)
        method._tensor_name = name
        where = f"{cls.__name__} of {name!r}"
        hook = _hook_of(where, module, name)
        weight, default_mask = _current(where, module, name, hook)
        scores = _checks.scores_or(where, importance_scores, weight)
        if hook is not None:
            before = hook.function
            before = before if isinstance(before, PruningContainer) else [before]
            method = PruningContainer(*before, method)
        with autograd.no_grad():
            mask = method.compute_mask(scores, default_mask)
        _checks.check_mask(where, mask, weight.shape)
        # All that can fail is behind us: now the module is changed.
        if hook is None:
            parameter = getattr(module, name)
            delattr(module, name)
            module.register_parameter(name + "_orig", parameter)
        else:
            module._forward_pre_hooks.remove(hook)
        module.register_buffer(name + "_mask", mask)
        module.register_forward_pre_hook(method)
        method(module)
        return method

    def prune(
        self,
        t: Tensor,
        default_mask: Tensor | None = None,
        importance_scores: Tensor | None = None,
    ) -> Tensor:
        """Return a tensor times the mask that the method computes for it; no module is needed.

        Parameters
        ----------
        t : Tensor
        default_mask : Tensor, optional
            What is pruned already; ones by default.
        importance_scores : Tensor, optional
            What to choose by instead of `t`; of its shape.
        """
        where = f"{type(self).__name__}.prune"
        default_mask = _ones_like(t) if default_mask is None else default_mask
        _checks.check_mask(where, default_mask, t.shape)
        with autograd.no_grad():
            scores = _checks.scores_or(where, importance_scores, t.detach())
            mask = self.compute_mask(scores, default_mask)
        return t * mask

    def remove(self, module: Module) -> None:
        """Make the pruning permanent: the masked values become the parameter, without a mask.

        The parameter is the same object as ever. Nothing holds its zeros at zero any more:
        gradients, momentum and weight decay of further steps may change them.
        """
        self._require_applied("remove")
        name = self._tensor_name
        with autograd.no_grad():
            masked = self.apply_mask(module)
        parameter = getattr(module, name + "_orig")
        for part in (name, name + "_orig", name + "_mask"):
            delattr(module, part)
        parameter.data = masked
        setattr(module, name, parameter)
        module._forward_pre_hooks.remove(_find_hook(module, name))

    def _require_applied(self, what: str) -> None:
        if self._tensor_name is None:
            problem = "the method was not applied to a module yet."
            do = f"{type(self).__name__}.apply(module, name, ...)"
            raise ValueError(message(f"{type(self).__name__}.{what}", problem, do=do))

    def _where(self) -> str:
        of = "" if self._tensor_name is None else f" of {self._tensor_name!r}"
        return type(self).__name__ + of


class PruningContainer(BasePruningMethod):
    """The methods that were applied to one parameter, in their order.

    Parameters
    ----------
    *args : BasePruningMethod
        All of them for the same parameter.
    """

    def __init__(self, *args: BasePruningMethod):
        self._pruning_methods: tuple[BasePruningMethod, ...] = ()
        if args:
            self._tensor_name = getattr(args[0], "_tensor_name", None)
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: BasePruningMethod) -> None:
        """Add a method at the end; it must be for the same parameter."""
        if not isinstance(method, BasePruningMethod):
            problem, expect = "this is no pruning method.", "a BasePruningMethod"
            actual = type(method).__name__
            raise TypeError(message("PruningContainer", problem, expect=expect, actual=actual))
        if method._tensor_name != self._tensor_name:
            raise ValueError(
                message(
                    "PruningContainer",
                    "a container is for one parameter.",
                    expect=f"a method for {self._tensor_name!r}",
                    actual=f"one for {method._tensor_name!r}",
                )
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Iterator[BasePruningMethod]:
        return iter(self._pruning_methods)

    def __getitem__(self, index) -> BasePruningMethod:
        return self._pruning_methods[index]

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """Return `default_mask` with what the last method prunes of the rest.

        The method sees only what is left: an amount of 0.2 is a fifth of that, so that pruning
        0.2 twice leaves 0.8 * 0.8 = 0.64.
        """
        method = self._pruning_methods[-1]
        left = _what_is_left(method, t, default_mask)
        part = method.compute_mask(t[left], default_mask[left])
        _checks.check_mask(method._where(), part, t[left].shape)
        mask = default_mask.clone()
        mask[left] = part.to(mask.dtype)
        return mask


def _what_is_left(method: BasePruningMethod, t: Tensor, mask: Tensor):
    """Return the index of that part of `t` which the method chooses from."""
    kind = getattr(method, "PRUNING_TYPE", None)
    if kind == "unstructured":
        return mask == 1
    if kind == "structured":
        axis = _checks.channel_axis(method._where(), t, getattr(method, "dim", None))
        others = [i for i in range(t.ndim) if i != axis]
        return (slice(None),) * axis + (mask.sum(others) != 0,)
    if kind == "global":
        return (slice(None),) * t.ndim
    raise ValueError(
        message(
            method._where(),
            "there is no such PRUNING_TYPE.",
            expect="'unstructured', 'structured' or 'global'",
            actual=repr(kind),
            do=f'write PRUNING_TYPE = "unstructured" into class {type(method).__name__}',
        )
    )


# ----------------------------------------------------------------------------- the methods


class Identity(BasePruningMethod):
    """Prune nothing: the mask is all ones (or stays what it is).

    It makes the parts of a pruned layer, so that a state dict with a mask can be loaded into it.
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask

    @classmethod
    def apply(cls, module: Module, name: str) -> BasePruningMethod:
        return super().apply(module, name)


class _Unstructured(BasePruningMethod):
    """Prune `amount` of the entries; a subclass says which go first."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: int | float):
        _checks.check_amount(type(self).__name__, amount)
        self.amount = amount

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        count = _checks.count_of(self._where(), self.amount, t.numel(), "entries")
        keep = Tensor(backend.array_module(t.array).ones(t.numel(), default_mask.dtype))
        keep[self._first_to_go(t, count)] = 0
        return default_mask * keep.reshape(t.shape)

    def _first_to_go(self, t: Tensor, count: int) -> Tensor | np.ndarray:
        """Return the places of `count` entries in the flattened tensor."""
        raise NotImplementedError


class RandomUnstructured(_Unstructured):
    """Prune entries at random.

    Parameters
    ----------
    amount : int or float
        How many entries; a float from 0 to 1 is a fraction of those not pruned yet, rounded to
        the nearest count (and to the even one from half-way).
    generator : minigrad.Generator or numpy.random.Generator, optional
        Where the random numbers come from; by default from what `minigrad.manual_seed` seeds.
    """

    def __init__(self, amount: int | float, generator=None):
        super().__init__(amount)
        self.generator = generator

    def _first_to_go(self, t: Tensor, count: int) -> np.ndarray:
        return backend.generator(self.generator).permutation(t.numel())[:count]

    @classmethod
    def apply(
        cls, module: Module, name: str, amount: int | float, generator=None
    ) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, generator=generator)


class L1Unstructured(_Unstructured):
    """Prune the entries of the smallest size |w|; of equal ones the first go first.

    Parameters
    ----------
    amount : int or float
        How many entries; a float from 0 to 1 is a fraction of those not pruned yet, rounded to
        the nearest count (and to the even one from half-way).
    """

    def _first_to_go(self, t: Tensor, count: int) -> Tensor:
        _checks.refuse_nan(self._where(), t)
        return t.abs().reshape(-1).topk(count, largest=False).indices

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        amount: int | float,
        importance_scores: Tensor | None = None,
    ) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, importance_scores=importance_scores)


class _Structured(BasePruningMethod):
    """Prune `amount` of the channels along axis `dim`; a subclass says which go first."""

    PRUNING_TYPE = "structured"

    def __init__(self, amount: int | float, dim: int = -1):
        _checks.check_amount(type(self).__name__, amount)
        self.amount, self.dim = amount, dim

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        axis = _checks.channel_axis(self._where(), t, self.dim)
        channels = t.shape[axis]
        count = _checks.count_of(self._where(), self.amount, channels, "channels")
        keep = Tensor(backend.array_module(t.array).ones(channels, default_mask.dtype))
        keep[self._first_to_go(t, axis, count)] = 0
        return default_mask * keep.reshape((channels,) + (1,) * (t.ndim - 1 - axis))

    def _first_to_go(self, t: Tensor, axis: int, count: int) -> Tensor | np.ndarray:
        """Return the places of `count` channels along the axis."""
        raise NotImplementedError


class RandomStructured(_Structured):
    """Prune channels at random.

    Parameters
    ----------
    amount : int or float
        How many channels; a float from 0 to 1 is a fraction of those not pruned yet.
    dim : int
        The axis along which the channels lie: for the weight of `Linear` and `Conv2d`, 0 for
        output channels and 1 for input channels.
    generator : minigrad.Generator or numpy.random.Generator, optional
        Where the random numbers come from; by default from what `minigrad.manual_seed` seeds.
    """

    def __init__(self, amount: int | float, dim: int = -1, generator=None):
        super().__init__(amount, dim)
        self.generator = generator

    def _first_to_go(self, t: Tensor, axis: int, count: int) -> np.ndarray:
        return backend.generator(self.generator).permutation(t.shape[axis])[:count]

    @classmethod
    def apply(
        cls, module: Module, name: str, amount: int | float, dim: int = -1, generator=None
    ) -> BasePruningMethod:
        return super().apply(module, name, amount=amount, dim=dim, generator=generator)


class LnStructured(_Structured):
    """Prune the channels of the smallest n-norm, (sum |w|^n)^(1/n); of equal ones the first.

    Parameters
    ----------
    amount : int or float
        How many channels; a float from 0 to 1 is a fraction of those not pruned yet.
    n : int, float, inf, -inf, "fro" or "nuc"
        "fro" is 2, infinity the largest entry and -infinity the smallest, 0 the number of
        entries that are not zero; "nuc", for three axes, the sum of the singular values.
    dim : int
        The axis along which the channels lie.
    """

    def __init__(self, amount: int | float, n: int | float | str, dim: int = -1):
        super().__init__(amount, dim)
        _checks.check_norm(type(self).__name__, n)
        self.n = n

    def _first_to_go(self, t: Tensor, axis: int, count: int) -> Tensor:
        _checks.refuse_nan(self._where(), t)
        norms = _channel_norms(self._where(), t.array, self.n, axis)
        return Tensor(norms).topk(count, largest=False).indices

    @classmethod
    def apply(
        cls,
        module: Module,
        name: str,
        amount: int | float,
        n: int | float | str,
        dim: int,
        importance_scores: Tensor | None = None,
    ) -> BasePruningMethod:
        options = dict(amount=amount, n=n, dim=dim)
        return super().apply(module, name, importance_scores=importance_scores, **options)


class CustomFromMask(BasePruningMethod):
    """Prune what a mask says, in addition to what is pruned already.

    Parameters
    ----------
    mask : Tensor
        Ones and zeros, of the parameter's shape.
    """

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor):
        _checks.require_tensor(type(self).__name__, "mask", mask)
        self.mask = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        _checks.check_mask(self._where(), self.mask, default_mask.shape)
        _checks.refuse_nan(self._where(), self.mask)
        return default_mask * self.mask.to(default_mask.device, default_mask.dtype)

    @classmethod
    def apply(cls, module: Module, name: str, mask: Tensor) -> BasePruningMethod:
        return super().apply(module, name, mask=mask)


def _channel_norms(where: str, array, n, axis: int):
    """Return the n-norm of each slice along the axis, in float64; shape (channels,)."""
    xp = backend.array_module(array)
    others = tuple([i for i in range(array.ndim) if i != axis])
    array = abs(array.astype(np.float64)) if n != "nuc" else array.astype(np.float64)
    if n == "nuc":
        if array.ndim != 3:
            problem = "the nuclear norm is for channels that are matrices."
            raise ValueError(
                message(where, problem, expect="a tensor of 3 axes", actual=array.shape)
            )
        return xp.linalg.svd(xp.moveaxis(array, axis, 0), compute_uv=False).sum(-1)
    if n == 0:
        return (array != 0).sum(others)
    if n in (math.inf, -math.inf):
        return array.max(others) if n > 0 else array.min(others)
    n = 2 if n == "fro" else n
    with np.errstate(divide="ignore"):  # of negative n: a zero makes the sum infinite, the norm 0
        return (array**n).sum(others) ** (1 / n)


# --------------------------------------------------------------------------- the functions


def identity(module: Module, name: str) -> Module:
    """Give a parameter a mask of ones: nothing is pruned. Return the module.

    After it, a state dict that was saved of a pruned module can be loaded.
    """
    Identity.apply(module, name)
    return module


def random_unstructured(
    module: Module, name: str, amount: int | float, *, generator=None
) -> Module:
    """Prune entries of a parameter at random; return the module.

    Parameters
    ----------
    module : Module
    name : str
        The parameter's name in the module.
    amount : int or float
        How many entries; a float from 0 to 1 is a fraction of those not pruned yet.
    generator : minigrad.Generator or numpy.random.Generator, optional
        Where the random numbers come from; by default from what `minigrad.manual_seed` seeds.
    """
    RandomUnstructured.apply(module, name, amount, generator)
    return module


def l1_unstructured(
    module: Module, name: str, amount: int | float, importance_scores: Tensor | None = None
) -> Module:
    """Prune the entries of a parameter that are nearest to zero; return the module.

    Parameters
    ----------
    module : Module
    name : str
        The parameter's name in the module.
    amount : int or float
        How many entries; a float from 0 to 1 is a fraction of those not pruned yet, rounded to
        the nearest count (and to the even one from half-way).
    importance_scores : Tensor, optional
        Choose by the size of these, of the parameter's shape, instead of that of the weights.

    Raises
    ------
    AttributeError
        If the module has no such parameter.
    ValueError
        For an amount below 0, above 1 (as a float) or above the number of entries that are left;
        for scores of another shape; for weights or scores that are NaN.
    TypeError
        For an amount that is no number.

    Examples
    --------
    >>> from minigrad import nn
    >>> from minigrad.nn.utils import prune
    >>> layer = prune.l1_unstructured(nn.Linear(2, 3), "weight", amount=0.5)
    >>> list(layer.state_dict())
    ['bias', 'weight_orig', 'weight_mask']
    >>> int((layer.weight == 0).sum())
    3
    """
    L1Unstructured.apply(module, name, amount, importance_scores)
    return module


def random_structured(
    module: Module, name: str, amount: int | float, dim: int, *, generator=None
) -> Module:
    """Prune channels of a parameter at random; return the module.

    See `ln_structured` for the parameters, `random_unstructured` for the generator.
    """
    RandomStructured.apply(module, name, amount, dim, generator)
    return module


def ln_structured(
    module: Module,
    name: str,
    amount: int | float,
    n: int | float | str,
    dim: int,
    importance_scores: Tensor | None = None,
) -> Module:
    """Prune the channels of a parameter that have the smallest n-norm; return the module.

    Parameters
    ----------
    module : Module
    name : str
        The parameter's name in the module.
    amount : int or float
        How many channels; a float from 0 to 1 is a fraction of those not pruned yet.
    n : int, float, inf, -inf, "fro" or "nuc"
        Which norm; see `LnStructured`.
    dim : int
        The axis along which the channels lie: for the weight of `Linear` and `Conv2d`, 0 for
        output channels and 1 for input channels.
    importance_scores : Tensor, optional
        Choose by the norms of these, of the parameter's shape, instead of those of the weights.

    Raises
    ------
    IndexError
        If there is no axis `dim`.
    ValueError
        For a parameter with fewer than two axes, and as `l1_unstructured`.
    """
    LnStructured.apply(module, name, amount, n, dim, importance_scores)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type[BasePruningMethod],
    importance_scores: dict[tuple[Module, str], Tensor] | None = None,
    **kwargs,
) -> None:
    """Prune several parameters as if they were one: a layer may lose more, another less.

    Parameters
    ----------
    parameters : iterable of (Module, str)
        What to prune.
    pruning_method : class
        An unstructured method, such as `L1Unstructured`.
    importance_scores : dict, optional
        By (module, name), what to choose by instead of the weights; those left out are chosen
        by their weights.
    **kwargs
        Go to the method: ``amount`` is counted over all parameters together.

    Raises
    ------
    TypeError
        For a method that is not an unstructured one.
    ValueError
        Without parameters, or if one comes twice; and as `l1_unstructured`. Nothing is changed.

    Examples
    --------
    >>> from minigrad import nn
    >>> from minigrad.nn.utils import prune
    >>> net = nn.Sequential(nn.Linear(10, 4), nn.ReLU(), nn.Linear(4, 1))
    >>> weights = [(net[0], "weight"), (net[2], "weight")]
    >>> prune.global_unstructured(weights, prune.L1Unstructured, amount=10)
    >>> sum(int((buffer == 0).sum()) for buffer in net.buffers())
    10
    """
    where = "global_unstructured"
    parameters = _checks.as_pairs(where, parameters)
    method = _unstructured_method(where, pruning_method, kwargs)
    given = _checks.scores_by_pair(where, importance_scores)
    scores, masks = [], []
    for module, name in parameters:
        of = f"{where} of {name!r} in {type(module).__name__}"
        weight, mask = _current(of, module, name, _hook_of(of, module, name))
        scores.append(_checks.scores_or(of, given.get((module, name)), weight))
        masks.append(mask)
    with autograd.no_grad():
        mask = PruningContainer(method).compute_mask(_as_vector(scores), _as_vector(masks))
    start = 0
    for (module, name), score in zip(parameters, scores, strict=True):
        end = start + score.numel()
        custom_from_mask(module, name, mask[start:end].reshape(score.shape))
        start = end


def _unstructured_method(where: str, pruning_method, options: dict) -> BasePruningMethod:
    is_class = isinstance(pruning_method, type) and issubclass(pruning_method, BasePruningMethod)
    # The class is asked first: a structured one would object to the options before it is made.
    kind = getattr(pruning_method, "PRUNING_TYPE", None)
    if is_class and kind not in ("structured", "global"):
        _checks.check_options(where, pruning_method, options)
        method = pruning_method(**options)
        if getattr(method, "PRUNING_TYPE", None) == "unstructured":
            return method
    problem = "only unstructured methods compare entries across layers."
    expect = "a class such as prune.L1Unstructured or prune.RandomUnstructured"
    name = getattr(pruning_method, "__name__", pruning_method)
    do = "prune each layer by itself, with prune.ln_structured or prune.random_structured"
    do = do if is_class and kind == "structured" else ""
    raise TypeError(message(where, problem, expect=expect, actual=name, do=do))


def _as_vector(tensors: list[Tensor]) -> Tensor:
    return cat([tensor.reshape(-1) for tensor in tensors])


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Prune the entries of a parameter where a mask is 0; return the module.

    Parameters
    ----------
    module : Module
    name : str
        The parameter's name in the module.
    mask : Tensor
        Ones and zeros (or booleans), of the parameter's shape.
    """
    CustomFromMask.apply(module, name, mask)
    return module


def remove(module: Module, name: str) -> Module:
    """Make the pruning of a parameter permanent; return the module.

    The masked values become the parameter, ``weight_orig`` and ``weight_mask`` go. Nothing is
    undone; but nothing holds the zeros at zero any more: a further training step may change them.

    Raises
    ------
    ValueError
        If the parameter is not pruned.
    """
    _checks.require_module("remove", module)
    hook = _find_hook(module, name)
    if hook is None:
        pruned = [h.function._tensor_name for h in _pruning_hooks(module)]
        raise ValueError(
            message(
                f"remove of {name!r}",
                f"this parameter of {type(module).__name__} is not pruned.",
                expect=" or ".join(map(repr, pruned)) or "a pruned parameter, and there is none",
                actual=repr(name),
                do="call remove on the layer that was pruned, not on the network around it",
            )
        )
    hook.function.remove(module)
    return module


def is_pruned(module: Module) -> bool:
    """Return whether a parameter of the module, or of one below it, has a mask."""
    _checks.require_module("is_pruned", module)
    return any([_pruning_hooks(part) for part in module.modules()])


# ------------------------------------------------------------------ finding what is pruned


def _pruning_hooks(module: Module) -> list:
    hooks = module._forward_pre_hooks
    return [hook for hook in hooks if isinstance(hook.function, BasePruningMethod)]


def _find_hook(module: Module, name: str):
    """Return the hook that prunes a parameter, or None; there is never more than one."""
    return next((h for h in _pruning_hooks(module) if h.function._tensor_name == name), None)


def _hook_of(where: str, module: Module, name: str):
    """Return the hook that prunes the parameter, or None; refuse what is no parameter."""
    _checks.require_module(where, module)
    if not isinstance(name, str):
        problem, expect = "the parameter is named by a string.", "such as 'weight'"
        raise TypeError(message(where, problem, expect=expect, actual=type(name).__name__))
    hook = _find_hook(module, name)
    if hook is not None:
        return hook
    own = vars(module)
    known = [key for key, _ in module._own_parameters()]
    if isinstance(own.get(name), Parameter):
        _require_free(where, module, name)
        return None
    if name in own and own[name] is None:
        problem = f"there is nothing to prune: {name!r} of {type(module).__name__} is None."
        raise ValueError(message(where, problem, do="leave this layer out"))
    layer, _, last = name.rpartition(".")
    do = f"give the layer itself: model.get_submodule({layer!r}), {last!r}" if layer else ""
    problem = f"{type(module).__name__} has no parameter {name!r} of its own."
    expect = " or ".join(map(repr, known)) or "a layer with parameters of its own"
    raise AttributeError(message(where, problem, expect=expect, actual=repr(name), do=do))


def _require_free(where: str, module: Module, name: str) -> None:
    """Refuse to prune where the names that pruning makes mean something already."""
    base, _, end = name.rpartition("_")
    if end == "orig" and _find_hook(module, base) is not None:
        problem = f"this is the unmasked form of {base!r}, which is pruned already."
        raise ValueError(message(where, problem, do=f"prune {base!r} again to prune it further"))
    for taken in (name + "_orig", name + "_mask"):
        if taken in vars(module):
            problem = f"{type(module).__name__} has an attribute {taken!r}, which pruning needs."
            raise ValueError(message(where, problem, do="rename that attribute"))


def _current(where: str, module: Module, name: str, hook) -> tuple[Tensor, Tensor]:
    """Return the parameter's values as they are now, masked, and a copy of its mask."""
    if hook is None:
        weight = getattr(module, name).detach()
        mask = _ones_like(weight)
    else:
        # Not module.weight: an optimizer may have stepped since that was computed.
        weight = hook.function.apply_mask(module).detach()
        mask = getattr(module, name + "_mask").detach().clone()
    if not weight.isfinite().all():
        raise ValueError(
            message(
                where,
                "the weights are not finite: NaN times a mask of 0 is NaN, and not 0.",
                expect="finite weights",
                actual=f"{int((~weight.isfinite()).sum())} of {weight.numel()} NaN or infinite",
                do="find the step of training that made them so",
            )
        )
    return weight, mask


def _ones_like(t: Tensor) -> Tensor:
    return Tensor(backend.array_module(t.array).ones_like(t.array))
