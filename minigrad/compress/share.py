"""Weight sharing: each weight of a layer takes one of a few values, and the values are trained.

*k-means* gathers a layer's weights into k groups; each weight then is the *centroid* of its
group, and it suffices to store which one: log2(k) bits, and a codebook of k numbers. The values
are where the weights are, not on a regular grid, so fewer bits do than in ``quantize.py``.

Then the centroids are trained on. All weights of a group move together, and so the gradient of a
centroid is the sum of its weights' gradients (Deep Compression, figure 3)::

    dL/dc_k  =  sum of dL/dw_ij over all i, j with code_ij = k

There is no line for this below: the weight is ``centroids[codes]``, and summing is what autograd
does for an entry that was read many times.

    compress.share_weights(model, bits=5)    # weight -> weight_centroids, weight_codes
    optimizer = optim.Adam(model.parameters(), lr=1e-4)
    ...                                      # your training loop, as ever
    compress.finish_sharing(model)           # ordinary weights again, of few distinct values

Zeros stay: a pruned weight keeps the value 0, which is not trained.

Before this: ``quantize.py`` (``int8.py`` may wait). Next: ``coding.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from .. import backend
from .._errors import message
from .._tensor import Tensor
from ..functions.shape import cat
from ..nn.module import Module, Parameter
from ._recompute import Recompute, check_free, remove_all
from ._select import check_bits, check_finite, for_each, select

__all__ = ["finish_sharing", "kmeans", "share_weights"]


def kmeans(
    values: np.ndarray, k: int, *, init: str = "linear", iterations: int = 100, generator=None
) -> tuple[np.ndarray, np.ndarray]:
    """Gather numbers into k groups such that they lie close to their group's mean.

    Parameters
    ----------
    values : array, shape (N,)
        Finite, at least one.
    k : int, at least 1
    init : {"linear", "density", "random"}
        The first centroids: evenly spaced from the least to the greatest value; evenly spaced in
        rank, so that each has as many values; or k of the values. Linear is Deep Compression's
        choice: large weights are few, but they matter most, and only here they get centroids.
    iterations : int
        At most so many rounds; it ends as soon as no value changes its group.
    generator : Generator, optional
        For ``init="random"``.

    Returns
    -------
    centroids : array, shape (k,)
        Ascending, in the dtype of the values. A group that nobody joins keeps its centroid.
    codes : array of int64, shape (N,)
        The group of each value.

    Raises
    ------
    ValueError
        If k or init are not known, or the values are none or not finite.

    Notes
    -----
    Lloyd's algorithm: join the nearest centroid; move each centroid to the mean of its group;
    repeat. Neither step can increase the sum of squared distances. In one dimension the nearest
    centroid is found by bisection between their midpoints.

    Han, Mao and Dally (2016), Deep compression: compressing deep neural networks with pruning,
    trained quantization and Huffman coding, sections 3.1 and 3.2, equation 2.
    """
    values = check_finite(Tensor(np.asarray(values)), "kmeans").ravel()
    if not (isinstance(k, (int, np.integer)) and k >= 1 and values.size):
        raise ValueError(
            message(
                "kmeans",
                "there is nothing to gather, or no group for it.",
                expect="k >= 1 and at least one value",
                actual=f"k={k!r}, {values.size} values",
            )
        )
    _check_init(init, "kmeans")
    centroids = _first_centroids(values, k, init, generator)
    codes = _nearest(values, centroids)
    for _ in range(iterations):
        count = np.bincount(codes, minlength=k)
        total = np.bincount(codes, weights=values, minlength=k)
        centroids = np.sort(np.where(count > 0, total / np.maximum(count, 1), centroids))
        before, codes = codes, _nearest(values, centroids)
        if np.array_equal(before, codes):
            break
    return centroids.astype(values.dtype), codes


def _first_centroids(values: np.ndarray, k: int, init: str, generator) -> np.ndarray:
    if init == "linear":
        return np.linspace(values.min(), values.max(), k, dtype=np.float64)
    if init == "density":
        return np.quantile(values.astype(np.float64), (np.arange(k) + 0.5) / k)
    rng = backend.generator(generator)
    return np.sort(rng.choice(values, k, replace=k > values.size).astype(np.float64))


def _check_init(init: str, where: str) -> None:
    if init in ("linear", "density", "random"):
        return
    raise ValueError(
        message(where, "no such init.", expect="'linear', 'density' or 'random'", actual=repr(init))
    )


def _nearest(values: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    return np.searchsorted((centroids[1:] + centroids[:-1]) / 2, values)


class _SharedWeight(Recompute):
    """weight = (0, centroids)[codes]; code 0 is the zero that stays zero."""

    def __init__(self, module: Module, name: str, bits: int, init: str, generator):
        weight = getattr(module, name)
        values = backend.to_numpy(weight.array)
        kept = values != 0
        k = 2**bits if kept.all() else 2**bits - 1  # zero needs a code, too
        survivors = values[kept]
        centroids, codes = np.zeros(0, values.dtype), np.zeros(values.shape, np.int64)
        if survivors.size:
            k = min(k, np.unique(survivors).size)
            centroids, codes[kept] = kmeans(survivors, k, init=init, generator=generator)
            codes[kept] += 1
        device = weight.device
        parts = {
            "centroids": Parameter(
                Tensor(backend.asarray_on(centroids, device)), weight.requires_grad
            ),
            "codes": Tensor(backend.asarray_on(codes, device)),
        }
        super().__init__(module, name, parts)

    def compute(self, module: Module) -> Tensor:
        centroids = self.part(module, "centroids")
        zero = Tensor(backend.array_module(centroids.array).zeros(1, centroids.dtype))
        return cat([zero, centroids])[self.part(module, "codes")]


def share_weights(
    model: Module,
    bits: int | Mapping[str, int] = 5,
    *,
    init: str = "linear",
    names: Iterable[str] | None = None,
    generator=None,
) -> None:
    """Let the weights of each layer share at most 2**bits values, which can then be trained.

    Each parameter ``weight`` becomes a parameter ``weight_centroids``, which the optimizer moves
    (make the optimizer afterwards), and a buffer ``weight_codes``. `finish_sharing` ends it.

    Parameters
    ----------
    model : Module
    bits : int or dict, 1 to 8
        For all layers, or one for each name. Of a layer with zeros (a pruned one), zero is one of
        the 2**bits values; it stays zero.
    init : {"linear", "density", "random"}
        See `kmeans`.
    names : iterable of str, optional
        Parameters; by default all with two axes or more.
    generator : Generator, optional
        For ``init="random"``.

    Raises
    ------
    ValueError
        If bits are out of range, init is not known, or a weight is not finite.
    AttributeError
        If a name is no parameter.
    """
    chosen = select(model, names, "share_weights")
    bits_of = for_each(bits, chosen, "share_weights")
    for value in bits_of.values():
        check_bits(value, 1, 8, "share_weights")
    _check_init(init, "share_weights")
    check_free(model, chosen, "share_weights")
    for name in chosen:
        path, _, own = name.rpartition(".")
        _SharedWeight(model.get_submodule(path), own, bits_of[name], init, generator)


def finish_sharing(model: Module) -> None:
    """Make the weights ordinary parameters again; each layer's have few distinct values."""
    remove_all(model, _SharedWeight, "finish_sharing")
