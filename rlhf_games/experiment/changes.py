"""In which settings two experiments differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rlhf_games.config import to_mapping
from rlhf_games.experiment.spec import Experiment

_SHOWN = 3


def differences(before: Experiment, now: Experiment) -> str:
    """The first few settings that differ, in words: ``feedback.budget was 700, is 1400``; empty where none does."""
    old, new = _flat(to_mapping(before)), _flat(to_mapping(now))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
    words = [f"{key} was {old.get(key, 'not set')}, is {new.get(key, 'not set')}" for key in keys[:_SHOWN]]
    return ", ".join(words) + (f", and {len(keys) - _SHOWN} more" if len(keys) > _SHOWN else "")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Values by dotted key."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        found |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) and value else {f"{prefix}{key}": value}
    return found
