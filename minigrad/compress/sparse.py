"""Parameter pruning: which weights may go.

A *mask* says for each weight whether it stays. Here are three ways to choose one: by a threshold,
by keeping the largest few, or at random, which is the control that every better way must beat.

The training loop remains yours. Masks survive it by one line after each step::

    masks = compress.sparse_masks(model, keep=0.1)
    compress.apply_masks(model, masks)
    for images, labels in loader:
        ...
        optimizer.step()                      # momentum and weight decay move pruned weights, too,
        compress.apply_masks(model, masks)    # and this brings them back to zero

or by ``compress.attach_masks(model, masks)``, which hands them over to ``nn.utils.prune``: then
nothing is to be called, for the layer's weight is computed as mask times parameter in every
forward. `detach_masks` makes it an ordinary weight again, with zeros. Of a model with masks, what
is pruned stays so: masks are chosen among the weights that are left, and are shares of all.

Before this: ``__init__.py``. Next: ``csr.py``, which stores the weights that stay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..nn.module import Module
from ..nn.utils import prune
from ._select import (
    MaskedWeight,
    check_finite,
    for_each,
    is_number,
    parameter_of,
    require_dict,
    require_model,
    select_masked,
)

__all__ = [
    "apply_masks",
    "attach_masks",
    "detach_masks",
    "sparse_masks",
    "sparsity",
    "threshold_masks",
]

Masks = dict[str, Tensor]


# ------------------------------------------------------------------------------ choosing masks


def threshold_masks(
    model: Module,
    threshold: float | Mapping[str, float] | None = None,
    *,
    quality: float | Mapping[str, float] | None = None,
    names: Iterable[str] | None = None,
) -> Masks:
    """Keep the weights whose magnitude is above a threshold: ``|w| > t``.

    Not ``w > t``: a strongly negative weight says as much as a strongly positive one, and half of
    all weights are negative.

    Parameters
    ----------
    model : Module
    threshold : float or dict, at least 0
        The t for all layers, or one for each name.
    quality : float or dict, at least 0
        In place of `threshold`: t = quality * (standard deviation of the layer's weights), so
        that one number suits layers of different scale.
    names : iterable of str, optional
        Parameters to prune; by default all with two axes or more.

    Returns
    -------
    dict of str to Tensor
        One mask of bools for each name, True where the weight stays. The model is unchanged.

    Raises
    ------
    ValueError
        If not exactly one of `threshold` and `quality` is given, one is negative or NaN, or a
        weight is not finite.
    AttributeError
        If a name is no parameter.

    Notes
    -----
    Han, Pool, Tran and Dally (2015), Learning both weights and connections for efficient neural
    networks, section 3: the threshold is "a quality parameter multiplied by the standard
    deviation of a layer's weights".
    """
    where = "threshold_masks"
    if (threshold is None) == (quality is None):
        raise ValueError(message(where, "give either a threshold or a quality, not both or none."))
    chosen = select_masked(model, names, where)
    masks = {}
    for name, t in for_each(quality if threshold is None else threshold, chosen, where).items():
        if not is_number(t) or not 0 <= t < np.inf:
            raise ValueError(
                message(
                    where,
                    "the bound for magnitudes is out of range.",
                    expect="a finite number >= 0",
                    actual=repr(t),
                )
            )
        w, left = chosen[name].values(), chosen[name].mask
        if threshold is None:
            t = t * (w if left is None else w[left]).std() if w.size else t
        kept = np.abs(w) > t
        masks[name] = _mask_like(kept if left is None else kept & left, chosen[name])
    return masks


def sparse_masks(
    model: Module,
    keep: float | int | Mapping[str, float | int],
    *,
    criterion: str = "magnitude",
    scope: str = "global",
    names: Iterable[str] | None = None,
    generator=None,
) -> Masks:
    """Keep the weights that score highest, and exactly as many as asked for.

    Parameters
    ----------
    model : Module
    keep : float, int or dict
        What stays: a float in [0, 1] is a share, an int a number of weights. With
        ``scope="layer"`` it may be a dict with one for each name.
    criterion : {"magnitude", "taylor", "random"}
        The score of a weight: ``|w|``; ``|w g|``, the change of the loss that a first-order
        Taylor series predicts for w -> 0 (needs gradients: call ``backward`` first, on as many
        samples as you can); or a random number.
    scope : {"global", "layer"}
        Whether all weights compete with each other, or those of each layer among themselves.
    names : iterable of str, optional
        Parameters to prune; by default all with two axes or more.
    generator : Generator, optional
        For ``criterion="random"``.

    Returns
    -------
    dict of str to Tensor
        One mask of bools for each name, True where the weight stays. The model is unchanged.

    Raises
    ------
    ValueError
        If `keep` is not in [0, 1] or is more than there is, a weight is not finite, or an option
        is not known.
    RuntimeError
        If ``"taylor"`` finds no gradient.
    AttributeError
        If a name is no parameter.

    Notes
    -----
    Of equal scores the first stay. Taylor score: Molchanov, Tyree, Karras, Aila and Kautz (2017),
    Pruning convolutional neural networks for resource efficient inference, equation 7.
    """
    where = "sparse_masks"
    _check_option(where, "criterion", criterion, ("magnitude", "taylor", "random"))
    _check_option(where, "scope", scope, ("global", "layer"))
    chosen = select_masked(model, names, where)
    rng = backend.generator(generator) if criterion == "random" else None
    scores = {name: _score(name, p, criterion, rng) for name, p in chosen.items()}
    if scope == "layer":
        keeps = for_each(keep, chosen, where)
        kept = {name: _largest(s.ravel(), keeps[name], where) for name, s in scores.items()}
    else:
        if isinstance(keep, Mapping):
            raise ValueError(message(where, "a keep for each layer needs scope='layer'."))
        all_kept = _largest(np.concatenate([s.ravel() for s in scores.values()]), keep, where)
        ends = np.cumsum([s.size for s in scores.values()])[:-1]
        kept = dict(zip(scores, np.split(all_kept, ends)))
    masks = {}
    for name, weight in chosen.items():
        mask = kept[name].reshape(weight.parameter.shape)
        masks[name] = _mask_like(mask if weight.mask is None else mask & weight.mask, weight)
    return masks


def _score(name: str, weight: MaskedWeight, criterion: str, rng) -> np.ndarray:
    """Return the scores of the weights; what is pruned already comes after all others."""
    scores = _score_of(name, weight.values(), weight.parameter, criterion, rng)
    return scores if weight.mask is None else np.where(weight.mask, scores, -1.0)


def _score_of(name: str, w: np.ndarray, p: Tensor, criterion: str, rng) -> np.ndarray:
    if criterion == "magnitude":
        return np.abs(w)
    if criterion == "random":
        return rng.random(w.shape)
    if p.grad is None:
        raise RuntimeError(
            message(
                f"sparse_masks {name!r}",
                "the Taylor score |w g| needs a gradient, and there is none.",
                do="loss.backward() on training samples first, without a step after it",
            )
        )
    return np.abs(w * check_finite(p.grad, f"sparse_masks gradient of {name!r}"))


def _largest(scores: np.ndarray, keep: float | int, where: str) -> np.ndarray:
    """Return which of a flat array of scores are the largest; ties go to the first."""
    total = scores.size
    is_count = isinstance(keep, (int, np.integer))
    if not is_number(keep) or not 0 <= keep <= (total if is_count else 1):
        raise ValueError(
            message(
                where,
                "keep is not an amount of weights.",
                expect=f"a share in [0.0, 1.0], or a whole number from 0 to {total:,}",
                actual=repr(keep),
            )
        )
    count = int(keep) if is_count else round(keep * total)
    mask = np.zeros(total, bool)
    mask[np.argsort(-scores, kind="stable")[:count]] = True
    return mask


def _check_option(where: str, name: str, value, known: tuple) -> None:
    if value not in known:
        raise ValueError(message(where, f"no such {name}.", expect=known, actual=repr(value)))


def _mask_like(mask: np.ndarray, weight: MaskedWeight) -> Tensor:
    return Tensor(backend.asarray_on(mask, weight.parameter.device))


# ------------------------------------------------------------------------------- using masks


def apply_masks(model: Module, masks: Masks) -> None:
    """Set the weights that do not stay to zero, in place: once, and again after each step.

    Raises
    ------
    AttributeError
        If a mask's name is no parameter.
    TypeError
        If a mask is no tensor, or there is no model or no dict of masks.
    ValueError
        If a mask does not have its weight's shape, or is neither 0 nor 1 somewhere. Then no
        weight is changed.
    """
    require_model(model, "apply_masks")
    require_dict(masks, "apply_masks", "masks", "what sparse_masks returns")
    parameters = dict(model.named_parameters(remove_duplicate=False))
    chosen = {}
    for name, mask in masks.items():
        # While a weight is computed from others (quantization-aware training), those are meant.
        p = parameters.get(f"{name}_orig")
        p = parameter_of(model, name, "apply_masks") if p is None else p
        _check_mask("apply_masks", name, mask, p)
        chosen[name] = p
    for name, p in chosen.items():  # all or none: the checks come first
        mask, array = masks[name], p.array
        array *= mask.to(p.device).array  # many times faster than to write zeros where it is False,
        array += 0  # but makes -0.0 of negative weights, and this 0.0 of that
        p.bump_version()


def _check_mask(where: str, name: str, mask: Tensor, p: Tensor) -> None:
    where = f"{where} {name!r}"
    if not isinstance(mask, Tensor):
        problem, do = "the mask is not a tensor.", "make it one with minigrad.tensor(...)"
        actual = type(mask).__name__
        raise TypeError(message(where, problem, expect="a Tensor", actual=actual, do=do))
    if mask.shape != p.shape:
        problem = "the mask does not have the weight's shape."
        raise ValueError(message(where, problem, expect=p.shape, actual=mask.shape))
    if mask.dtype.kind != "b" and not ((mask.array == 0) | (mask.array == 1)).all():
        problem = "the mask holds other numbers than 0 and 1, and would scale the weights."
        raise ValueError(message(where, problem, do="say which stay: mask = scores > threshold"))


def attach_masks(model: Module, masks: Masks) -> None:
    """Hand the masks over to `nn.utils.prune`, which applies them in every forward.

    The parameter ``weight`` becomes ``weight_orig``, the same object, so an optimizer that holds
    it goes on with it; ``weight`` is computed. Where there is a mask already, both count: what
    was pruned stays pruned. Errors as `apply_masks`; then nothing is attached.
    """
    require_dict(masks, "attach_masks", "masks", "what sparse_masks returns")
    for name, weight in select_masked(model, masks, "attach_masks").items():
        _check_mask("attach_masks", name, masks[name], weight.parameter)
    for name, mask in masks.items():
        path, _, own = name.rpartition(".")
        prune.custom_from_mask(model.get_submodule(path), own, mask)


def detach_masks(model: Module) -> None:
    """Make masks permanent: ordinary weights again, with zeros that nothing holds any more.

    Weights without a mask are left as they are; so is a model without any.
    """
    require_model(model, "detach_masks")
    for module in list(model.modules()):
        for hook in module._computing_hooks():
            if isinstance(hook.function, prune.BasePruningMethod):
                prune.remove(module, hook.function.computes)


def sparsity(model: Module, names: Iterable[str] | None = None) -> float:
    """Return the share of zeros among the weights (by default those with two axes or more)."""
    arrays = [weight.values() for weight in select_masked(model, names, "sparsity").values()]
    return 1.0 - sum(np.count_nonzero(a) for a in arrays) / sum(a.size for a in arrays)
