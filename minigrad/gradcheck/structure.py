"""The right derivatives, put together wrongly: only the diagonal, not summed, not transposed.

Here the Jacobian earns its keep: each candidate is what a certain mistake makes of it.

Before this: ``upstreams.py``. Next: ``places.py``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np

from .evidence import Cause, Evidence
from .factors import own_output
from .naming import listed


def wrong_structure(e: Evidence) -> Iterator[Cause]:
    """The Jacobian is used in part, or turned."""
    if e.table.size < 2:
        return
    yield from diagonal(e)
    yield from overwritten(e)
    yield from wrong_order(e)
    yield from another_part(e)
    yield from turned_jacobian(e)
    yield from wrong_product(e)


def overwritten_index(e: Evidence) -> Iterator[Cause]:
    if _repeated_index(e) and e.table.size > 1:
        yield from overwritten(e)


def overwritten(e: Evidence) -> Iterator[Cause]:
    """One contribution alone is kept where several should be added up (= for +=)."""
    table = e.table.reshape(e.y.shape + (e.x.size,))
    for axes in _axis_groups(e.y.ndim):
        rest = tuple([k for k in range(e.y.ndim) if k not in axes])
        count = int(np.prod([e.y.shape[k] for k in axes]))
        if count < 2:
            continue
        order = (*axes, *rest, e.y.ndim)
        slopes = table.transpose(order).reshape(count, -1, e.x.size)
        touched = (slopes != 0).any(axis=1)  # which steps of a loop over these axes reach x
        if not (touched.sum(axis=0) > 1).any():
            continue
        last = count - 1 - touched[::-1].argmax(axis=0)
        for which, chosen in (("last", last), ("first", touched.argmax(axis=0))):
            arrays = []
            for gy in e.upstreams:
                weights = gy.transpose(order[:-1]).reshape(count, -1)
                shares = np.einsum("kr,krn->kn", weights, slopes)
                arrays.append(shares[chosen, np.arange(e.x.size)].reshape(e.x.shape))
            if e.close(arrays):
                repeated = _repeated_index(e)
                over = listed(axes)
                text = f"only the {which} contribution along {over} of the output is kept"
                if repeated:
                    text = f"contributions overwrite each other where {repeated} repeats"
                yield Cause(f"{text}: = instead of +=", "add all of them up")


def _axis_groups(count: int) -> list[tuple[int, ...]]:
    """Return runs of neighbouring axes, the later ones first: a loop may run over any."""
    runs = [tuple(range(a, b)) for a in range(count) for b in range(a + 1, count + 1)]
    return sorted(runs, key=lambda run: (-run[-1], len(run)))


def _repeated_index(e: Evidence) -> str | None:
    """Return the name of an integer input with repeated entries."""
    for name, x in zip(e.problem.names, e.problem.inputs):
        if isinstance(x, np.ndarray) and x.dtype.kind in "iu" and np.unique(x).size < x.size:
            return name
    return None


def diagonal(e: Evidence) -> Iterator[Cause]:
    """Each output by its own input only, though it depends on the others too."""
    table = e.table.reshape(e.y.shape + e.x.shape)
    if e.y.shape == e.x.shape and e.x.ndim:
        kept = e.table.diagonal().reshape(e.x.shape)
        if e.close([gy * kept for gy in e.upstreams]):
            text = "only the diagonal of the Jacobian is used: the paths from each input to the "
            yield Cause(text + "other outputs are missing", "")
    for a, b in itertools.product(range(e.y.ndim), range(e.x.ndim)):
        if e.y.shape[a] == e.x.shape[b] > 1:
            n = e.y.shape[a]
            own = np.eye(n).reshape(
                [n if k in (a, e.y.ndim + b) else 1 for k in range(e.y.ndim + e.x.ndim)]
            )
            if (table * (1 - own)).any():
                part = (table * own).reshape(e.table.shape)
                arrays = [(gy.ravel() @ part).reshape(e.x.shape) for gy in e.upstreams]
                if e.close(arrays):
                    text = f"the paths to other places along axis {a} of the output are missing"
                    yield Cause(text, "only the output at an entry's own place counts in yours")


def turned_jacobian(e: Evidence) -> Iterator[Cause]:
    """J gy in place of J^T gy: for a product, the matrix without its transposition."""
    if e.x.size == e.y.size:
        arrays = [(e.table @ gy.ravel()).reshape(e.x.shape) for gy in e.upstreams]
        if e.known.all() and e.close(arrays):
            text = "a transpose is missing, or two steps are in the wrong order"
            yield Cause(text, "yours is J gy, the right one is J^T gy (J is the Jacobian)")


def wrong_order(e: Evidence) -> Iterator[Cause]:
    """The right numbers in another order."""
    if not e.known.all() or not _telling(e):
        return
    long = [k for k in range(e.x.ndim) if e.x.shape[k] > 1]
    for count in range(1, len(long) + 1):
        for axes in itertools.combinations(long, count):
            if e.close([np.flip(g, axes) for g in e.expected]):
                yield Cause(f"in reverse order along {listed(axes)}")
    for axis in long:
        for by in range(1, e.x.shape[axis]):
            if e.close([np.roll(g, by, axis) for g in e.expected]):
                yield Cause(f"shifted along axis {axis}")
    for by in itertools.product(*[(-1, 0, 1) if n > 1 else (0,) for n in e.x.shape[:4]]):
        moved = tuple([_part(k, n) for k, n in zip(by, e.x.shape)])
        still = tuple([_part(-k, n) for k, n in zip(by, e.x.shape)])
        axes = tuple([k for k, n in enumerate(by) if n])
        enough = axes and e.yours[0][moved].size > max(3, e.x.size / 3)
        before = [g[still] for g in e.expected]
        if not enough or _overlaps([g[moved] for g in e.expected], before):
            continue  # then the right gradient looks the same when shifted
        if _overlaps([g[moved] for g in e.yours], before):
            yield Cause(f"shifted by one along {listed(axes)}")
    if e.x.shape != e.y.shape and e.x.size == e.y.size:
        flat = [gy.reshape(e.x.shape) for gy in e.upstreams]
        if e.close(flat) and e.close([_like_sorted(g, f) for g, f in zip(e.expected, flat)]):
            yield Cause("reshaped where the axes should be exchanged (transpose)")


def _telling(e: Evidence) -> bool:
    """Whether there are enough different numbers to tell one order from another."""
    numbers = np.concatenate([abs(g).ravel() for g in e.expected]) / (e.scale or 1)
    return np.unique(np.round(numbers, 9)).size > 4


def _part(by: int, length: int) -> slice:
    return slice(max(0, by), length + min(0, by))


def _overlaps(yours: list[np.ndarray], expected: list[np.ndarray]) -> bool:
    pairs = zip(yours, expected)
    return all(
        [b.any() and np.allclose(a, b, rtol=1e-6, atol=1e-9 * abs(b).max()) for a, b in pairs]
    )


def _like_sorted(numbers: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return the numbers, sorted as those in `order` are."""
    found = np.empty(numbers.size)
    found[np.argsort(order, axis=None)] = np.sort(numbers, axis=None)
    return found.reshape(order.shape)


def another_part(e: Evidence) -> Iterator[Cause]:
    """A part of the upstream gradient, but not the right one."""
    if e.y.ndim != e.x.ndim or e.y.shape == e.x.shape:
        return
    extra = [n - m for n, m in zip(e.y.shape, e.x.shape)]
    if any([k < 0 for k in extra]):
        return
    for starts in itertools.islice(itertools.product(*[range(k + 1) for k in extra]), 200):
        part = tuple([slice(k, k + m) for k, m in zip(starts, e.x.shape)])
        if e.close([gy[part] for gy in e.upstreams]):
            shown = ", ".join([f"{p.start}:{p.stop}" for p in part])
            yield Cause(f"cut out of the upstream gradient at the wrong place: gy[{shown}]")


def misplaced(e: Evidence) -> Iterator[Cause]:
    """Each entry has its own local derivative, but the upstream gradient of another output."""
    own = own_output(e)
    if own is None or e.y.size < 2 or not e.known.all():
        return
    slopes = np.where(own >= 0, e.table.sum(axis=0).reshape(e.x.shape), 0.0).ravel()
    fits = np.ones((e.y.size, e.x.size), bool)
    for gy, yours in zip(e.upstreams, e.yours):
        error = abs(gy.reshape(-1, 1) * slopes - yours.ravel())
        fits &= error <= 1e-6 * abs(yours.ravel()) + 1e-8 * e.scale
    if fits.any(axis=0).all() and slopes.any():
        text = "the upstream gradient goes to the wrong entries (np.tile where np.repeat belongs?)"
        yield Cause(text, "each entry would be right with the upstream of another output")
    if _telling(e) and e.close([_like_sorted(g, mine) for g, mine in zip(e.expected, e.yours)]):
        yield Cause("the right numbers in the wrong order")


def wrong_product(e: Evidence) -> Iterator[Cause]:
    """A product of two arrays, but not the right one: which is it?"""
    if e.y.ndim < 2:
        return
    arrays = {n: x for n, x in zip(e.problem.names, e.problem.inputs) if _is_matrix(x)}
    for name, q in arrays.items():
        products = {key: f(e.upstreams[0], q) for key, f in _PRODUCTS.items()}
        right = [k for k, v in products.items() if v is not None and _fits(e, k, q, e.expected)]
        for key in products:
            if products[key] is None or key in right or not _fits(e, key, q, e.yours):
                continue
            if "*" in key and not right:
                continue  # then it is not known that a matrix product belongs there
            shown = key.format(name)
            yield Cause(_mistaken(key, right, name), f"yours is {shown}")


def _mistaken(key: str, right: list[str], name: str) -> str:
    """Say what two products differ in."""
    if "*" in key:
        return f"an element-wise product (gy * {name}) where a matrix product belongs"
    if right:
        flat = key.replace(".T", "")
        if flat in [k.replace(".T", "") for k in right]:
            return f"a transpose is wrong: yours is {key.format(name)}"
        return f"the order of the product is wrong: yours is {key.format(name)}"
    return f"the wrong product: yours is {key.format(name)}"


def _product(left_turned: bool, right_turned: bool, upstream_first: bool):
    def product(gy, q):
        p, q = (gy, q) if upstream_first else (q, gy)
        p = p.swapaxes(-1, -2) if left_turned else p
        q = q.swapaxes(-1, -2) if right_turned else q
        try:
            return p @ q
        except ValueError:
            return None

    return product


def _elementwise(gy, q):
    try:
        return gy * q
    except ValueError:
        return None


_PRODUCTS = {"gy * {0}": _elementwise}
for _first in (True, False):
    for _left, _right in itertools.product((False, True), repeat=2):
        _names = ["gy" + ".T" * _left, "{0}" + ".T" * _right]
        if not _first:
            _names = ["{0}" + ".T" * _left, "gy" + ".T" * _right]
        _PRODUCTS[" @ ".join(_names)] = _product(_left, _right, _first)


def _fits(e: Evidence, key: str, q: np.ndarray, targets: list[np.ndarray]) -> bool:
    arrays = [_PRODUCTS[key](gy, q) for gy in e.upstreams]
    return all([a is not None and a.shape == e.x.shape for a in arrays]) and e.close(
        arrays, targets
    )


def _is_matrix(x) -> bool:
    return isinstance(x, np.ndarray) and x.ndim > 1 and x.dtype.kind == "f"


# ------------------------------------------------------------------------ what is missing


def missing_path(e: Evidence) -> Iterator[Cause]:
    """Expected less yours is something simple, the same along an axis: a path is missing."""
    if not e.x.ndim or not e.known.all():
        return
    missing = [expected - yours for expected, yours in zip(e.expected, e.yours)]
    proof = "expected - yours is exactly such a term"
    for axes in _groups_of(e.x.shape):
        along = f"along {listed(axes)}"
        ones, centred = np.ones(e.x.shape), e.x - e.x.mean(axis=axes, keepdims=True)
        if _explained(missing, [ones], axes, e):
            text = f"a term that is the same {along} is missing, wrong or too many"
            yield Cause(f"{text} (a path through a mean or a sum)", proof)
        if _explained(missing, [centred], axes, e):
            text = f"a term proportional to {e.name} - mean({e.name}) {along} is missing, wrong or"
            yield Cause(f"{text} too many (the path through the variance)", proof)
        for name, q in _directions(e):
            if _explained(missing, [q], axes, e):
                text = f"a term proportional to {name} {along} is missing, wrong or too many"
                yield Cause(f"{text} (a path through a sum)", proof)
        if _explained(missing, [ones, centred], axes, e):
            text = f"the paths through the mean and the variance {along} are missing, wrong or"
            yield Cause(f"{text} too many", "expected - yours is such terms")


def _groups_of(shape: tuple) -> Iterator[tuple[int, ...]]:
    """Yield the sets of axes along which there are at least three entries, the largest first."""
    for count in range(len(shape), 0, -1):
        for axes in itertools.combinations(range(len(shape)), count):
            if np.prod([shape[k] for k in axes]) > 2 and all([shape[k] > 1 for k in axes]):
                yield axes


def _directions(e: Evidence) -> Iterator[tuple[str, np.ndarray]]:
    if e.y.shape == e.x.shape:
        yield "the output y", e.y
        yield "exp(y)", np.exp(np.minimum(e.y, 500))
    for name, other in zip(e.problem.names, e.problem.inputs):
        if isinstance(other, np.ndarray) and other.shape == e.x.shape:
            yield f"the input {name}", other.astype(np.float64)


def _explained(missing, terms: list[np.ndarray], axes: tuple, e: Evidence) -> bool:
    """Whether each difference is the terms times something that is the same along the axes."""
    rest = [k for k in range(e.x.ndim) if k not in axes]
    count = int(np.prod([e.x.shape[k] for k in axes]))
    if count < len(terms) + 2:
        return False

    def columns(array):
        return array.transpose([*rest, *axes]).reshape(-1, count, 1)

    system = np.concatenate([columns(t) for t in terms], axis=2)
    if not np.isfinite(system).all():
        return False
    inverse = np.linalg.pinv(system)
    for d, mine, doubt in zip(missing, e.yours, e.doubts):
        d, mine, doubt = columns(d), columns(mine), columns(doubt)
        factors = inverse @ d
        size = abs(d) + abs(system) @ abs(factors)  # of each entry: one huge one hides no other
        if not (abs(d - system @ factors) <= 1e-6 * size + 1e-10 * abs(mine) + doubt).all():
            return False
    return True
