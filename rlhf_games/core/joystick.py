"""A joystick with one button: its actions, and the keys and gamepad buttons that stand for it.

For families of games whose actions are named by what is pushed: ``noop``, ``fire``, or directions and ``fire`` joined by hyphens
(``up-right-fire``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

ACTIONS = (
    "noop", "fire", "up", "right", "left", "down", "up-right", "up-left", "down-right", "down-left", "up-fire", "right-fire", "left-fire",
    "down-fire", "up-right-fire", "up-left-fire", "down-right-fire", "down-left-fire",
)  # fmt: skip
"""All 18, in the order of their usual codes."""
_KEYS = {"fire": "space", "up": "up", "down": "down", "left": "left", "right": "right"}
_BUTTONS = {"fire": "a", "up": "dpup", "down": "dpdown", "left": "dpleft", "right": "dpright"}


def meanings(codes: Sequence[int], moves: Mapping[str, str] | None = None) -> tuple[str, ...]:
    """What actions mean to a person, by their codes. ``moves``: what a direction does in a game that turns it into another one."""
    turned = moves or {}
    return tuple("-".join(turned.get(part, part) for part in ACTIONS[code].split("-")) for code in codes)


def keys(meanings: Sequence[str]) -> dict[str, int]:
    """Which keys held together mean which action: fire first, then directions (``"space+up+right"``)."""
    return _chords(meanings, _KEYS)


def buttons(meanings: Sequence[str]) -> dict[str, int]:
    """The same for a gamepad's buttons (``"a+dpup+dpright"``)."""
    return _chords(meanings, _BUTTONS)


def idle(meanings: Sequence[str]) -> int:
    """The action that does nothing; where there is none the first one stands in."""
    return meanings.index("noop") if "noop" in meanings else 0


def _chords(meanings: Sequence[str], names: Mapping[str, str]) -> dict[str, int]:
    chords = {}
    for index, meaning in enumerate(meanings):
        parts = sorted(meaning.split("-"), key=lambda part: part != "fire")
        if meaning != "noop":
            chords["+".join(names[part] for part in parts)] = index
    return chords
