"""JSON and TOML from files, flags and stores: what is refused is refused as a ``ValueError``, whatever stands there.

A byte order mark at the beginning (as Windows editors write it) is passed over. Nothing is nested deeper than ``DEEPEST``, so that what
was read can be walked through, compared and written again.
"""

from __future__ import annotations

import json
import math
import tomllib
from typing import Any, NoReturn

DEEPEST = 64
"""Tables and lists within each other."""
_MARK = "\ufeff"


def parse_json(text: str | bytes) -> Any:
    """The value of a JSON text, in which every number is finite.

    Raises:
      ValueError: not JSON, not UTF-8, a number that is none or too large for a float, or nested too deeply.
    """
    try:
        value = json.loads(_plain(text), parse_float=_finite, parse_constant=_refuse)
    except RecursionError as error:
        raise _too_deep() from error
    _demand_shallow(value)
    return value


def parse_toml(text: str | bytes) -> dict[str, Any]:
    """The table of a TOML text. TOML has infinity and NaN: they are read as what they are.

    Raises:
      ValueError: not TOML, not UTF-8, or nested too deeply.
    """
    try:
        table = tomllib.loads(_plain(text))
    except RecursionError as error:
        raise _too_deep() from error
    _demand_shallow(table)
    return table


def _plain(text: str | bytes) -> str:
    return (text if isinstance(text, str) else text.decode("utf-8")).removeprefix(_MARK)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"the number {text[:40]} is too large")
    return value


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")


def _demand_shallow(value: Any) -> None:
    level = [value]
    for _ in range(DEEPEST + 1):
        inner = (entry.values() if isinstance(entry, dict) else entry for entry in level if isinstance(entry, dict | list))
        level = [child for entries in inner for child in entries if isinstance(child, dict | list)]
        if not level:
            return
    raise _too_deep()


def _too_deep() -> ValueError:
    return ValueError(f"nested too deeply (more than {DEEPEST} tables or lists within each other)")
