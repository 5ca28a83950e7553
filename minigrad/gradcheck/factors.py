"""Too much or too little by a factor: a number with a name, or an expression, entry by entry.

Before this: ``naming.py``. Next: ``structure.py``.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator

import numpy as np

from .evidence import Cause, Evidence
from .naming import all_sizes, elementary, factor_names, same_number, scaled, statistics


def sizes_of(e: Evidence) -> dict[str, float]:
    """Return the numbers that a factor may be named for."""
    problem = e.problem
    inputs = [float(x) if i in problem.optional else x for i, x in enumerate(problem.inputs)]
    return all_sizes(problem.sizes, inputs, problem.names, e.y)


def global_factor(e: Evidence) -> Iterator[Cause]:
    """Every entry has the same factor too much or too little, one that has a name."""
    ratio = e.ratio()
    name = scaled(ratio, sizes_of(e)) if ratio else None
    if name:
        yield Cause(name, f"every entry is {ratio:.9g} times the expected one")


def unnamed_factor(e: Evidence) -> Iterator[Cause]:
    ratio = e.ratio()
    if ratio:
        yield Cause(f"every entry is {ratio:.6g} times the right one")


# ------------------------------------------------------------------------------- entry by entry


def element_ratio(e: Evidence) -> Iterator[Cause]:
    """A factor that is a simple expression of an input or of the output."""
    found = _matching_factors(e, constants=e.elsewhere is not None)
    matches = list(found)
    if matches and e.elsewhere is not None:
        again = _matching_factors(e.elsewhere)
        matches = [match for match in matches if match in again]
    if not matches:
        return
    extra = min([extra for extra, _, _ in matches], key=len)
    matches = [(text, too_many) for other, text, too_many in matches if other == extra]
    best, too_many = min(matches, key=lambda match: _simplicity(e, match[0]))
    formulas = list(wrong_formula(e)) if _is_roundabout(e, best) else []
    if formulas:  # yours is gy * x says more than that y/x is missing
        yield min(formulas, key=lambda cause: len(cause.text))
        return
    names = sorted([text for text, side in matches if side == too_many], key=len)
    names = [n for n in names if n.strip("|") == n] or names  # |x| beside x tells nothing more
    values = found[extra, best, too_many]
    equal = [n for n in names if _same(found[extra, n, too_many], values)]
    cause = _factor_phrase(e, [best, *[n for n in equal if n != best]], too_many)
    yield Cause(f"{cause}; and {extra}" if extra else cause, "so it is in every entry")


def _simplicity(e: Evidence, text: str) -> tuple:
    return _is_roundabout(e, text), len(text), text == "y"


def _is_roundabout(e: Evidence, text: str) -> bool:
    """Whether an expression is made of the output and an input, such as y/x for 1/norm(x)."""
    words = set(re.findall(r"\w+", text))
    return "y" in words and "y" not in e.problem.names and not words.isdisjoint(e.problem.names)


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a, b, rtol=1e-9, atol=0, equal_nan=True)


def _matching_factors(e: Evidence, constants: bool = False) -> dict[tuple, np.ndarray]:
    """Return what else, the expressions that yours has too much (True) or too little, and values.

    Where the factor is the same number in every entry, no expression that varies is looked at.
    """
    big = [e.known & (abs(g) > 1e-4 * e.scale) for g in e.expected]
    if not any([b.any() for b in big]) or (e.known & ~e.wrong & np.any(big, axis=0)).any():
        return {}  # where some entries are right, it is a matter of places
    ratio = np.concatenate([g[b] / x[b] for g, x, b in zip(e.yours, e.expected, big)])
    found, sizes, is_number = {}, sizes_of(e), e.x.size > 1 and e.ratio() is not None
    for text, values, may_be_constant in _expressions(e):
        constant = e.x.size > 1 and bool(np.ptp(values[e.known]) <= 1e-9 * abs(values).max())
        if constant and not may_be_constant and not constants:
            continue  # then it is a number, and tells nothing of this expression
        if is_number and not constant:
            continue
        factors = np.concatenate([values[b] for b in big])
        for too_many in (True, False):
            c = _common(ratio / factors if too_many else ratio * factors)
            extra = "" if same_number(c, 1) else scaled(c, sizes) if c else None
            if extra is None or (constant and extra):
                continue
            factor = values if too_many else 1 / values
            if e.close([np.where(g == 0, 0.0, c * factor * g) for g in e.expected]):
                found.setdefault((extra, text, too_many), values)
    return found


def _expressions(e: Evidence) -> Iterator[tuple[str, np.ndarray, bool]]:
    arrays = _arrays(e)
    for text, values in elementary({n: q for n, q in arrays.items() if not q.ndim}, e.x.shape):
        yield text, values, True
    for text, values in elementary(arrays, e.x.shape):
        yield text, values, False
    for text, values in statistics(arrays, e.x.shape):
        yield text, values, True


def _common(share: np.ndarray) -> float:
    """Return the number that all entries are, or 0."""
    c = float(np.median(share)) if share.size else 0.0
    return c if (abs(share - c) <= 1e-5 * abs(c)).all() else 0.0


def _factor_phrase(e: Evidence, names: list[str], too_many: bool) -> str:
    """Say which factor there is too much or too little; sure only if one side is gy itself."""
    name = names[0]
    both = name if name in e.problem.names else " = ".join(names[:2])
    if e.x.shape == e.y.shape and e.close(e.upstreams):
        return f"the factor {f'1/{name}' if too_many else both} is missing (yours is gy alone)"
    if len(name) > 16:  # too long to be said three times
        if too_many:
            return f"the factor {name} is too many, or a division by it is missing"
        return f"the factor {name} is missing, or a division by it is too many"
    if too_many:
        return f"{name} times too large: the factor {both} is too many, or 1/{name} is missing"
    return f"{name} times too small: the factor {both} is missing, or 1/{name} is too many"


def _arrays(e: Evidence) -> dict[str, np.ndarray]:
    """Return the output and the inputs of which a factor may be made."""
    arrays = {"y": e.y} if e.y.size else {}
    for name, x in zip(e.problem.names, e.problem.inputs):
        if isinstance(x, np.ndarray) and x.dtype.kind in "fiub" and x.size:
            arrays[name] = x.astype(np.float64)
            if x.dtype.kind in "iu" and e.x.ndim > 1 and x.shape == e.x.shape[:-1]:
                hit = np.arange(e.x.shape[-1]) == x[..., None]
                arrays[f"onehot({name})"] = hit.astype(np.float64)
    return arrays


# -------------------------------------------------------------------------- the wrong formula


def wrong_formula(e: Evidence) -> Iterator[Cause]:
    """Each input leads to one output only: then yours / gy is a local derivative. Which?"""
    own = own_output(e)
    if own is None:
        return
    upstreams = [np.where(own >= 0, gy.ravel()[own], 0.0) for gy in e.upstreams]
    live = e.known & (own >= 0)
    if live.sum() < 3:
        return
    local = [(g / gy)[live] for g, gy in zip(e.yours, upstreams)]
    if not np.allclose(local, local[0], rtol=1e-6, atol=0, equal_nan=True):
        return  # it depends on the upstream gradient in another way
    ones = [("", np.ones(e.x.shape), False)]
    for text, values, _ in itertools.chain(ones, _expressions(e)):
        for power, how in ((1, "*"), (-1, "/")):
            factor = values if power == 1 else 1 / values
            c = _common(local[0] / factor[live])
            number = _number(c, sizes_of(e)) if c else None
            if number is None or not e.close([c * factor * gy for gy in upstreams]):
                continue
            formula = f"{number}gy {how} {text}" if text else f"{number}gy"
            yield Cause(f"the wrong local derivative: yours is {formula}")


def own_output(e: Evidence) -> np.ndarray | None:
    """Return the place of the one output that each entry leads to, -1 for none."""
    used = e.table != 0
    if not used.size or (used.sum(axis=0) > 1).any():
        return None
    if e.y.size == 1:
        own = np.zeros(e.x.size, int)
    elif (
        e.x.shape == e.y.shape
        and (used.argmax(axis=0) == np.arange(e.x.size))[used.any(axis=0)].all()
    ):
        own = np.arange(e.x.size)
    else:
        own = np.where(used.any(axis=0), used.argmax(axis=0), -1)
    return own.reshape(e.x.shape)


def _number(c: float, sizes: dict[str, float]) -> str | None:
    """Return a factor before a formula: nothing, a sign, a name; None if it has no name."""
    sign = "-" if c < 0 else ""
    if same_number(abs(c), 1):
        return sign
    names = factor_names(abs(c), sizes)
    return f"{sign}{names[0]} * " if names else None
