"""Short words for arrays: ``0.7071``, ``[1, −2, 3]``, ``−2.1 … 3.4``, ``3 of 10 NaN``.

Before this: ``_arrange.py``. Next: ``_text.py``, then ``_svg.py``, which writes them into boxes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_FEW, _WIDE = 6, 26  # entries, characters: what is written out


@dataclass(frozen=True)
class Summary:
    """What is left of an array in a picture.

    Attributes
    ----------
    text : str
        The numbers themselves while they are few, else the smallest and the largest.
    size : int
    low, high : float or None
        The smallest and the largest finite entry.
    nan, inf : int
        How many entries are NaN, and how many infinite.
    """

    text: str
    size: int
    low: float | None = None
    high: float | None = None
    nan: int = 0
    inf: int = 0

    @property
    def is_suspect(self) -> bool:
        """Whether there are NaN or infinite entries."""
        return bool(self.nan or self.inf)


def summarise(array: np.ndarray) -> Summary:
    """Return the summary of an array of any kind."""
    array = np.asarray(array)
    if not array.size:
        return Summary("empty", 0)
    if array.dtype.kind not in "fiub":
        return Summary(str(array.dtype), array.size)
    wide = array.astype(np.float64)
    finite = wide[np.isfinite(wide)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (None, None)
    nan = int(np.isnan(wide).sum())
    inf = array.size - finite.size - nan
    text = _listed(array) if array.size <= _FEW else ""
    if not text or len(text) > _WIDE:
        text = _ranged(array.size, low, high, nan, inf)
    return Summary(text, array.size, low, high, nan, inf)


def merge(summaries: list[Summary]) -> Summary:
    """Return the summary of several arrays taken together."""
    lows = [s.low for s in summaries if s.low is not None]
    highs = [s.high for s in summaries if s.high is not None]
    low, high = (min(lows), max(highs)) if lows else (None, None)
    size = sum([s.size for s in summaries])
    nan, inf = sum([s.nan for s in summaries]), sum([s.inf for s in summaries])
    return Summary(_ranged(size, low, high, nan, inf), size, low, high, nan, inf)


def shape_text(shape: tuple[int, ...]) -> str:
    """Return a shape as ``32×6×28×28``, ``(32,)`` or ``scalar``."""
    if len(shape) == 1:
        return f"({shape[0]},)"
    return "×".join([str(size) for size in shape]) or "scalar"


def short(number: float, digits: int = 4) -> str:
    """Return a number in a few digits, with a real minus sign: ``−0.1235``, ``1.2e−5``."""
    if isinstance(number, (bool, np.bool_)):
        return str(bool(number))
    number = float(number)
    if not np.isfinite(number):
        return str(number).replace("-", "−")
    if number == int(number) and abs(number) < 1e6:
        return str(int(number)).replace("-", "−")  # and so −0.0 is 0
    text, _, exponent = f"{number:.{digits}g}".partition("e")
    if exponent:
        text, _, exponent = f"{number:.3g}".partition("e")
        text = f"{text}e{int(exponent)}"
    return text.replace("-", "−")


def _listed(array: np.ndarray) -> str:
    if array.ndim == 0:
        return short(array.item())
    return "[" + ", ".join([_listed(part) for part in array]) + "]"


def _ranged(size: int, low, high, nan: int, inf: int) -> str:
    parts = []
    if low is not None and low == high:
        parts.append(f"all {short(low)}" if not (nan or inf) else short(low))
    elif low is not None:
        parts.append(f"{short(low, 3)} … {short(high, 3)}")
    parts += [
        f"{count:,} of {size:,} {word}" for count, word in ((nan, "NaN"), (inf, "inf")) if count
    ]
    return ", ".join(parts) or "empty"
