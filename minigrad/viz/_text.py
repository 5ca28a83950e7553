"""How wide a text is, what XML takes of it, and what is left of one that is too long.

A viewer's font is not known here, so widths are those of DejaVu Sans, one of the widest in use;
text in any other usual font takes less room than is left for it.

Before this: ``_numbers.py``. Next: ``_svg.py`` and ``_drawing.py``, which write it.
"""

from __future__ import annotations

import unicodedata

_LONGEST = 30  # characters of a title or a number before it is cut

# Advance widths of the printable ASCII characters from space to tilde, in hundredths of an em.
_WIDTHS = (
    32, 40, 46, 84, 64, 95, 78, 27, 39, 39, 50, 84, 32, 36, 32, 34, 64, 64, 64, 64, 64, 64, 64, 64,
    64, 64, 34, 34, 84, 84, 84, 53, 100, 68, 69, 70, 77, 63, 58, 77, 75, 29, 29, 66, 56, 86, 75,
    79, 60, 79, 69, 63, 61, 73, 68, 99, 69, 61, 69, 39, 34, 39, 84, 50, 50, 61, 63, 55, 63, 62, 35,
    63, 63, 28, 28, 58, 28, 97, 63, 61, 63, 63, 41, 52, 39, 63, 59, 82, 59, 59, 52, 64, 34, 64, 84,
)  # fmt: skip


def text_width(text: str, size: float = 12.0, bold: bool = False) -> float:
    """Return how many pixels a text needs at most."""
    hundredths = 0
    for character in text:
        code = ord(character)
        if 32 <= code < 127:
            hundredths += _WIDTHS[code - 32]
        elif unicodedata.combining(character):
            continue
        else:
            hundredths += 130 if unicodedata.east_asian_width(character) in "WF" else 100
        hundredths += 10 if bold else 0
    return hundredths * size / 100


def escape(text: str) -> str:
    """Return a text that XML takes: markup escaped, characters that XML forbids replaced."""
    legal = [
        c
        if c in "\t\n\r" or " " <= c <= "\ud7ff" or "\ue000" <= c <= "\ufffd" or c > "\uffff"
        else "�"
        for c in text
    ]
    text = "".join(legal).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return text.replace('"', "&quot;")


def cut(text: str, longest: int = _LONGEST) -> str:
    """Return a text in one line; of a long one the end, which in dotted names says most."""
    text = " ".join(text.split())
    return text if len(text) <= longest else "…" + text[len(text) - longest + 1 :]
