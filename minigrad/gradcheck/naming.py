"""Names for numbers and arrays: is 0.25 one over N, is this array 1 - y?

A factor gets a name only if a named size or a simple constant gives exactly that number, and an
array only if a simple expression of an input or the output gives exactly that array.

Before this: ``evidence.py``. Next: ``causes.py``, which uses both.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import re
from collections.abc import Iterator

import numpy as np

# ------------------------------------------------------------------------------------- numbers

_CONSTANTS = {
    "sqrt(2)": math.sqrt(2),
    "pi": math.pi,
    "e": math.e,
    "log(2)": math.log(2),
    "log(10)": math.log(10),
    **{str(n): float(n) for n in (10, 16, 32, 64, 100, 1000)},
}


def factor_names(value: float, sizes: dict[str, float]) -> list[str]:
    """Return the simplest expressions that give a positive number; none if there is none."""
    found: dict[str, float] = {}
    for cost, name, number in _expressions(sizes):
        if same_number(number, value):
            found[name] = min(cost, found.get(name, cost))
    cheapest = min(found.values(), default=0.0)
    simplest = [name for name, cost in found.items() if cost <= cheapest + 0.4]
    own = {name for name in sizes if ".s" not in name and name not in _of_equal_size(sizes)}
    named = [name for name in simplest if ".s" not in name and _words(name) & {*sizes}]
    whole = [name for name in simplest if name.removeprefix("1/").isdigit()]
    sure = [name for name in named if own.issuperset(_words(name)) and "**" not in name]
    if sure:  # then x.size, and 3/2 for (1 - p)/p, say nothing more; a longer product might
        counts = {name.count("*") for name in sure}
        others = [n for n in simplest if ".s" in n and "*" in n and n.count("*") not in counts]
        simplest = [name for name in simplest if name in [*named, *whole, *others]]
    if len(simplest) > 3 and 0 < len(named) <= 3:
        return named
    if len(simplest) > 3 and not whole:  # nobody knows which of so many products is meant
        n = max(value, 1 / value)
        whole = [f"{n:.0f}" if value > 1 else f"1/{n:.0f}"] if same_number(n, round(n)) else []
    return whole if len(simplest) > 3 and whole else simplest[:3]


def _words(text: str) -> set[str]:
    """Return the names in an expression."""
    return set(re.findall(r"[^\W\d][\w .]*(?<! )", text))


def _of_equal_size(sizes: dict[str, float]) -> set[str]:
    """Return the names that share their number: nobody knows which of them is meant."""
    counts = [value for name, value in sizes.items() if ".s" not in name]
    return {name for name, value in sizes.items() if counts.count(value) > 1}


def _expressions(sizes: dict[str, float]) -> Iterator[tuple[float, str, float]]:
    """Yield names with their numbers, and how far-fetched they are (plain shapes cost more)."""
    named, plain = {}, {}
    for name, value in sizes.items():
        if 0 < value < math.inf and value != 1:
            (plain if ".s" in name else named)[name] = float(value)
    for base, group in ((1.0, named), (1.5, plain)):
        for name, n in group.items():
            cost = base + 0.5 * ("*" in name)
            whole = f"({name})" if "*" in name else name
            yield cost, name, n
            yield cost, f"1/{whole}", 1 / n
            yield cost + 1, f"sqrt({name})", math.sqrt(n)
            yield cost + 1, f"1/sqrt({name})", 1 / math.sqrt(n)
    for p, q in itertools.product(range(1, 11), repeat=2):
        near = abs(p - q) == 1  # 5/4 is 1/(1 - 0.2), but 7/3 could be anything
        if near or (1 in (p, q) and 2 < max(p, q) < 10):
            cost = {2: 1.0, 3: 1.0, 4: 1.0}.get(max(p, q), 2.0) if 1 in (p, q) else 2.2
            yield cost, f"{p}/{q}" if q > 1 else str(p), p / q
    for name, n in _CONSTANTS.items():
        yield 2.0, name, n
        yield 2.0, f"1/{name}", 1 / n
    for cost, group in ((2.3, named), (2.5, plain)):
        for name, n in group.items():
            whole = f"({name})" if "*" in name else name
            yield cost, f"{whole}**2", n * n
            yield cost, f"1/{whole}**2", 1 / (n * n)
    for name, n in named.items():
        if n < 1:
            yield 1.5, f"(1 - {name})", 1 - n
            yield 1.5, f"1/(1 - {name})", 1 / (1 - n)
            yield 2.0, f"{name}/(1 - {name})", n / (1 - n)
            yield 2.0, f"(1 - {name})/{name}", (1 - n) / n
            yield 2.2, f"(1 - {name})**2", (1 - n) ** 2
            yield 2.2, f"1/(1 - {name})**2", 1 / (1 - n) ** 2
    for cost, group in ((1.9, named), (2.7, plain)):
        for name, n in group.items():
            if n > 2:
                yield cost, f"({name} - 1)", n - 1
                yield cost, f"1/({name} - 1)", 1 / (n - 1)
                yield cost, f"{name}/({name} - 1)", n / (n - 1)
                yield cost, f"({name} - 1)/{name}", (n - 1) / n
    for name, n in named.items():
        for k in [k for k in (2, 3, 4) if k != n]:
            yield 2.5, f"{k}*{name}", k * n
            yield 2.5, f"1/({k}*{name})", 1 / (k * n)
            yield 2.5, f"{name}/{k}", n / k
            yield 2.5, f"{k}/{name}", k / n
    for cost, far, group in ((1.5, 1.5, named), (2.0, 2.7, plain)):
        for (a, n), (b, m) in itertools.combinations(group.items(), 2):
            if "*" in a + b:
                continue
            yield cost + 0.3, f"{a}*{b}", n * m
            yield cost + 0.3, f"1/({a}*{b})", 1 / (n * m)
            yield far, f"{a}/{b}", n / m
            yield far, f"{b}/{a}", m / n
    equal = _of_equal_size(sizes)
    for (a, n), (b, m), (c, k) in itertools.combinations(named.items(), 3):
        cost = 2.2 if equal.isdisjoint((a, b, c)) else 2.7
        yield cost, f"{a}*{b}*{c}", n * m * k
        yield cost, f"1/({a}*{b}*{c})", 1 / (n * m * k)


def same_number(a: float, b: float) -> bool:
    """Whether two numbers are equal, up to the precision of differences."""
    return abs(a - b) <= 1e-6 * abs(b)


def scaled(ratio: float, sizes: dict[str, float]) -> str | None:
    """Say in a phrase that an array is `ratio` times the right one; None if it has no name."""
    sign = "the sign is wrong" if ratio < 0 else ""
    size = abs(ratio)
    if same_number(size, 1):
        return sign or None
    names, inverse = (
        factor_names(max(size, 1 / size), sizes),
        factor_names(min(size, 1 / size), sizes),
    )
    if not names or not inverse:
        return None
    number = f"{max(size, 1 / size):.6g}"
    times = " = ".join(dict.fromkeys([*names, number])) + " times"
    if size > 1:
        text = f"{times} too large: the factor {' or '.join(inverse)} is missing"
    else:
        text = f"{times} too small: the factor {' or '.join(names)} is missing"
        if any([not name.isdigit() for name in names]):
            text += f", or {' or '.join(inverse)} is too many"
    return f"{sign}, and {text}" if sign else text


def all_sizes(sizes: dict[str, float], inputs: list, names: list[str], y) -> dict[str, float]:
    """Return the named sizes, and under plain names the lengths and counts that have no name."""
    found = {name: float(value) for name, value in sizes.items()}
    for name, x in zip(names, inputs):
        if isinstance(x, (int, float)) and not isinstance(x, bool):
            found.setdefault(name, float(x))
    taken = {*found.values(), 1.0}
    arrays = [(n.replace(" ", "_"), x) for n, x in zip([*names, "y"], [*inputs, y])]
    arrays = [(name, x) for name, x in arrays if isinstance(x, np.ndarray)]
    measures = []
    for name, x in arrays:
        measures += [(f"{name}.shape[{k}]", n) for k, n in enumerate(x.shape)]
        measures += [(f"{name}.size", x.size)] if x.ndim != 1 else []
    for name, x in reversed(arrays):  # what a sum or mean over some of the axes runs over
        counts = range(2, x.ndim)
        groups = [axes for n in counts for axes in itertools.combinations(range(x.ndim), n)]
        for axes in sorted(groups, key=lambda axes: axes not in ((0, 2, 3), (2, 3))):
            text = "*".join([f"{name}.shape[{k}]" for k in axes])
            measures.append((text, math.prod([x.shape[k] for k in axes])))
    for text, n in measures:
        if float(n) not in taken:
            found[text] = float(n)
            taken.add(float(n))
    return found


# ---------------------------------------------------------------------------------------- axes


def listed(axes, names: list[str] | None = None) -> str:
    """Return ``axis 0`` or ``axes 0, 2 and 3 (W)``: the axes, with what they are called."""
    parts = [str(k) for k in axes] if names is None else names
    text = " and ".join([part for part in (", ".join(parts[:-1]), parts[-1]) if part])
    return f"{'axis' if len(parts) == 1 else 'axes'} {text}"


def named_axes(axes, shape: tuple, sizes: dict[str, float], shapes: list[tuple]) -> str:
    """Return the axes with the sizes that they are named for.

    Where two sizes have that length, or two axes of one array, nobody knows which is meant.
    """
    parts = []
    for k in axes:
        names = [name for name, n in sizes.items() if n == shape[k]]
        unique = len(names) == 1 and all([s.count(shape[k]) < 2 for s in [shape, *shapes]])
        parts.append(f"{k} ({names[0]})" if unique else str(k))
    return listed(axes, parts)


# -------------------------------------------------------------------------------------- arrays


def _sigmoid(q):
    return 1 / (1 + np.exp(-q))


# What may be forgotten or too many. The reciprocal of each is tried too, and needs no line.
_FUNCTIONS = (
    ("{0}", lambda q: q),
    ("{0}**2", lambda q: q * q),
    ("{0}**3", lambda q: q**3),
    ("sqrt({0})", np.sqrt),
    ("(1 - {0})", lambda q: 1 - q),
    ("(1 + {0})", lambda q: 1 + q),
    ("({0}*(1 - {0}))", lambda q: q * (1 - q)),
    ("(1 - {0}**2)", lambda q: 1 - q * q),
    ("(1 + {0}**2)", lambda q: 1 + q * q),
    ("((1 - {0})/{0})", lambda q: (1 - q) / q),
    ("exp({0})", np.exp),
    ("log({0})", np.log),
    ("(1 + log({0}))", lambda q: 1 + np.log(q)),
    ("log(1 + {0})", np.log1p),
    ("log(1 - {0})", lambda q: np.log(1 - q)),
    ("sin({0})", np.sin),
    ("cos({0})", np.cos),
    ("tanh({0})", np.tanh),
    ("(1 - tanh({0})**2)", lambda q: 1 - np.tanh(q) ** 2),
    ("sigmoid({0})", _sigmoid),
    ("(1 - sigmoid({0}))", lambda q: _sigmoid(-q)),
    ("(sigmoid({0})*(1 - sigmoid({0})))", lambda q: _sigmoid(q) * _sigmoid(-q)),
    ("|{0}|", np.abs),
    ("sign({0})", np.sign),
    ("({0} > 0)", lambda q: np.where(q > 0, 1.0, 0.0)),
)

_PAIRS = (
    ("{0}*{1}", lambda p, q: p * q),
    ("({0}/{1})", lambda p, q: p / q),
    ("({0} - {1})", lambda p, q: p - q),
    ("({0} + {1})", lambda p, q: p + q),
    ("({0} - {1})**2", lambda p, q: (p - q) ** 2),
    ("|{0} - {1}|", lambda p, q: abs(p - q)),
    ("sign({0} - {1})", lambda p, q: np.sign(p - q)),
    ("{0}**{1}", lambda p, q: p**q),
    ("{1}**{0}", lambda p, q: q**p),
    ("{0}**({1} - 1)", lambda p, q: p ** (q - 1)),
    ("({0}/{1}**2)", lambda p, q: p / q**2),
    ("(log({0})/log({1}))", lambda p, q: np.log(p) / np.log(q)),
    ("(sigmoid({0}) - {1})", lambda p, q: _sigmoid(p) - q),
)


def _softmax(q, axis):
    powers = np.exp(q - q.max(axis=axis, keepdims=True))
    return powers / powers.sum(axis=axis, keepdims=True)


_STATISTICS = (
    ("norm({0})", lambda q, a: np.sqrt((q * q).sum(axis=a, keepdims=True))),
    ("norm({0})**2", lambda q, a: (q * q).sum(axis=a, keepdims=True)),
    ("std({0})", lambda q, a: q.std(axis=a, keepdims=True)),
    ("var({0})", lambda q, a: q.var(axis=a, keepdims=True)),
    ("sqrt(var({0}) + 1e-5)", lambda q, a: np.sqrt(q.var(axis=a, keepdims=True) + 1e-5)),
    ("(var({0}) + 1e-5)", lambda q, a: q.var(axis=a, keepdims=True) + 1e-5),
    ("sqrt(var({0}) + 1e-3)", lambda q, a: np.sqrt(q.var(axis=a, keepdims=True) + 1e-3)),
    ("(var({0}) + 1e-3)", lambda q, a: q.var(axis=a, keepdims=True) + 1e-3),
    ("sum({0})", lambda q, a: q.sum(axis=a, keepdims=True)),
    ("mean({0})", lambda q, a: q.mean(axis=a, keepdims=True)),
    ("max({0})", lambda q, a: q.max(axis=a, keepdims=True)),
    ("sum(exp({0}))", lambda q, a: np.exp(q).sum(axis=a, keepdims=True)),
    ("({0} - mean({0}))", lambda q, a: q - q.mean(axis=a, keepdims=True)),
    ("softmax({0})", _softmax),
    ("softmax({0})*(1 - softmax({0}))", lambda q, a: _softmax(q, a) * (1 - _softmax(q, a))),
)


def elementary(arrays: dict[str, np.ndarray], shape: tuple) -> Iterator[tuple[str, np.ndarray]]:
    """Yield simple functions of single arrays and of pairs, spread to `shape`, with their names."""
    spread = {name: list(_spread(q, shape)) for name, q in arrays.items()}
    for name, forms in spread.items():
        for q in forms:
            for text, function in _FUNCTIONS:
                yield text.format(name), function(q)
    for (a, ps), (b, qs) in itertools.combinations(spread.items(), 2):
        for p, q in itertools.product(ps[:1], qs[:1]):
            for text, function in _PAIRS:
                yield text.format(a, b), function(p, q)
            yield f"{b}**({a} - 1)", q ** (p - 1)
            yield f"({b}/{a}**2)", q / p**2


def statistics(arrays: dict[str, np.ndarray], shape: tuple) -> Iterator[tuple[str, np.ndarray]]:
    """Yield norms, means, deviations along axes, spread to `shape`, with their names."""
    for name, q in arrays.items():
        for axis, which in _axes(q):
            for text, statistic in _STATISTICS:
                for spread in list(_spread(statistic(q, axis), shape))[:1]:
                    yield text.format(name) + which, spread


def _axes(q: np.ndarray) -> Iterator[tuple]:
    if q.size > 1:
        yield None, ""
    if q.ndim > 1:
        for axis in range(q.ndim):
            yield axis, f" along axis {axis}"
    if q.ndim == 4:
        yield (0, 2, 3), " along axes 0, 2 and 3"


def _spread(q: np.ndarray, shape: tuple) -> Iterator[np.ndarray]:
    """Yield `q` spread to a shape: as NumPy does it, or along an earlier axis."""
    with contextlib.suppress(ValueError):
        yield np.broadcast_to(q, shape)
    if q.size == 1:
        yield np.broadcast_to(q.reshape(()), shape)
    elif 0 < q.ndim < len(shape):
        for start in range(len(shape) - q.ndim):  # one number for each row, or for each channel
            if shape[start : start + q.ndim] == q.shape:
                rest = (1,) * (len(shape) - q.ndim - start)
                yield np.broadcast_to(q.reshape(q.shape + rest), shape)
