"""The lines of an op's ``backward``, as HTML with quiet colours.

The page shows the very code that computed the gradient, so it is read from the running class, not
copied here.

Before this: ``_notation.py``. Next: ``_heatmap.py``.
"""

from __future__ import annotations

import html
import inspect
import io
import keyword
import textwrap
import tokenize


def backward_source(op: type) -> dict:
    """Return the source of ``op.backward`` as ``{"code": html, "where": text}``.

    Where there is none (a class typed into a prompt), the code is empty and the text says so. A
    fused twin that the engine uses while nothing is recorded is mentioned under ``"fast"``.
    """
    method = op.backward
    result = {"code": "", "where": "source not available: the class was defined interactively"}
    try:
        lines, first = inspect.getsourcelines(method)
    except (OSError, TypeError):
        return result
    result["code"] = highlight(textwrap.dedent("".join(lines)).rstrip())
    result["where"] = f"{method.__qualname__} in {method.__module__}, line {first}"
    if op.fast_backward is not None:
        result["fast"] = True
    return result


def highlight(code: str) -> str:
    """Return Python source as HTML: keywords, strings, comments and ``self`` in <span>s."""
    starts = [0]
    for line in code.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    parts, done = [], 0
    try:
        for token in tokenize.generate_tokens(io.StringIO(code).readline):
            kind = _kind(token)
            if kind is None:
                continue
            begin = starts[token.start[0] - 1] + token.start[1]
            end = starts[token.end[0] - 1] + token.end[1]
            parts.append(html.escape(code[done:begin]))
            parts.append(f'<span class="{kind}">{html.escape(code[begin:end])}</span>')
            done = end
    except (tokenize.TokenError, IndentationError):  # half a statement: show the rest plainly
        pass
    return "".join(parts) + html.escape(code[done:])


def _kind(token: tokenize.TokenInfo) -> str | None:
    if token.type == tokenize.COMMENT:
        return "c"
    if token.type == tokenize.STRING:
        return "s"
    if token.type == tokenize.NUMBER:
        return "n"
    if token.type == tokenize.NAME:
        if keyword.iskeyword(token.string):
            return "k"
        if token.string == "self":
            return "v"
    return None
