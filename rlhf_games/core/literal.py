"""Text from files, flags and stores, made safe to show: what a terminal would obey is shown as its escape instead."""

from __future__ import annotations

import unicodedata

_KEPT = "\n\t"
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode categories that are not drawn: controls (escape sequences begin with one), formats (direction overrides), lone surrogates,
line and paragraph separators."""


def literal(text: str, longest: int = 0) -> str:
    r"""``text`` with every character that is not drawn written as its escape (``\x1b``); line breaks and tabs stay.

    Args:
      text: anything.
      longest: of each line, in characters; the middle of longer ones is left out and counted. 0: no limit.
    """
    lines = text.split("\n")
    if longest:
        lines = [_shortened(line, longest) for line in lines]
    return "\n".join(lines if all(map(str.isprintable, lines)) else map(_escaped, lines))


def _escaped(line: str) -> str:
    return "".join(repr(char)[1:-1] if char not in _KEPT and unicodedata.category(char) in _HIDDEN else char for char in line)


def _shortened(line: str, longest: int) -> str:
    if len(line) <= longest:
        return line
    half = longest // 2
    return f"{line[:half]} ... ({len(line) - 2 * half:,} characters left out) ... {line[-half:]}"
