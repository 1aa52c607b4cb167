"""The one exception whose text is meant for a person."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

_MOST_LISTED = 30


class UserError(Exception):
    """Something a person can mend: the message says what was wrong, where, and how to mend it.

    The command line prints the message without a traceback and exits with status 2.
    """


def nearest(word: str, known: Iterable[str]) -> str:
    """Returns ``"; did you mean 'x'?"`` for the known word closest to ``word``, or the list of known words (of many, the first)."""
    choices = sorted(known)
    if close := closest(word, choices):
        return did_you_mean(close)
    if len(choices) > _MOST_LISTED:
        choices = [*choices[:_MOST_LISTED], f"and {len(choices) - _MOST_LISTED} more"]
    return f"; known are: {', '.join(choices)}" if choices else "; none are known here"


def closest(word: str, known: Iterable[str]) -> str:
    """The known word that ``word`` is most likely a slip of; empty where none is close."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)), "")


def did_you_mean(*words: str) -> str:
    """``"; did you mean 'x'?"``, or ``'x' or 'y'``."""
    return f"; did you mean {' or '.join(map(repr, words))}?"
