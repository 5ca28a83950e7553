"""Formulas in a line of text, set as HTML.

The table of derivatives is written for two readers, of the source and of the page, in a notation
that both can read::

    {∂y}/{∂x}      a fraction
    x_i  A^T       one character below or above the line; x_{ij} for more
    gy ga gX       the gradient of the loss with respect to y, a, X, as the code names it
    [x > 0]        1 where the condition holds, else 0 (Iverson's bracket)

Single letters are variables and become italic; words (exp, ln, softmax) stay upright.

Before this: ``_formulas.py``, the table. Next: ``_source.py``.
"""

from __future__ import annotations

import html
import re

_TOKEN = re.compile(
    r"""(?P<gradient> g[A-Za-z](?![A-Za-z]))   # gy, gX: the gradient with respect to y, X
      | (?P<word> [A-Za-z]{2,})                # exp, ln, softmax: upright
      | (?P<letter> [A-Za-zσε])                # a variable: italic
      | (?P<script> [_^])
      | (?P<open> \{)
      | (?P<other> .)""",
    re.VERBOSE | re.DOTALL,
)


def to_html(text: str, *, prose: bool = False) -> str:
    """Set a formula in the notation of this file as HTML.

    Parameters
    ----------
    text : str
    prose : bool
        Whether it is a sentence with formulas in it: then only scripts are set.
    """
    parts, at = [], 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        kind, token, at = found.lastgroup, found.group(), found.end()
        if kind == "script":
            inside, at = _group(text, at)
            tag = "sub" if token == "_" else "sup"
            parts.append(f"<{tag}>{to_html(inside, prose=prose)}</{tag}>")
        elif kind == "open" and not prose:
            top, at = _group(text, at - 1)
            if text.startswith("/{", at):
                bottom, at = _group(text, at + 1)
                parts.append(_fraction(to_html(top), to_html(bottom)))
            else:
                parts.append(to_html(top))
        elif kind == "gradient" and not prose:
            index = f"<i>{token[1]}</i>"
            if text.startswith("_", at):  # gy_i: the two stand below the line together
                inside, at = _group(text, at + 1)
                index += f",{to_html(inside)}"
            parts.append(f"<i>g</i><sub>{index}</sub>")
        elif kind == "letter" and not prose:
            parts.append(f"<i>{token}</i>")
        else:
            parts.append(html.escape(token))
    return "".join(parts)


def _group(text: str, at: int) -> tuple[str, int]:
    """Return what stands in braces at `at`, or the one character there, and where it ends."""
    if text[at] != "{":
        return text[at], at + 1
    depth = 0
    for i in range(at, len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0:
            return text[at + 1 : i], i + 1
    raise ValueError(f"formula {text!r}: a brace is not closed")


def _fraction(top: str, bottom: str) -> str:
    # The stroke is drawn by the style sheet; the slash is for screen readers and for copying.
    slash = '<span class="sr">/</span>'
    return f'<span class="frac"><span>{top}</span>{slash}<span>{bottom}</span></span>'
