"""Which action a person means: one key of the game, a chord of them, or a digit. No pygame."""

from __future__ import annotations

from collections.abc import Mapping

from rlhf_games.arena.keys import HeldKeys, Press, chosen_action

DIGITS = tuple("1234567890")
"""The first ten actions, in the order of their list."""


class Pick:
    """Reads presses until an action is meant; a chord counts when the first of its keys comes up."""

    def __init__(self) -> None:
        self._held = HeldKeys()

    def clear(self) -> None:
        """Lets go of everything."""
        self._held.clear()

    @staticmethod
    def meant(press: Press, chords: Mapping[frozenset[str], int]) -> bool:
        """Whether a press is about an action: a key of the game, or a digit, also where the layout has a sign there."""
        return bool(press.among(frozenset[str]().union(*chords)) or _digit(press))

    def press(self, press: Press, chords: Mapping[frozenset[str], int]) -> int | None:
        """A key; returns the action once it is meant."""
        keys = frozenset[str]().union(*chords)
        if name := press.among(keys):
            self._held.press(name, press.down)
            return None if press.down else self._taken(chords)
        digit = _digit(press)
        return DIGITS.index(digit) if press.down and digit else None

    def _taken(self, chords: Mapping[frozenset[str], int]) -> int | None:
        if not self._held.waiting:
            return None  # it went down before anything was asked
        action = chosen_action(chords, self._held.take())
        self._held.clear()
        return action


def _digit(press: Press) -> str:
    """The digit of a press, by what is printed on the key or by its place; empty where it is none."""
    return press.among(DIGITS) or (press.place if press.place in DIGITS else "")
