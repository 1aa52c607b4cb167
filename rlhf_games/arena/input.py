"""From pygame's events to presses, text, clicks and changes of the window."""

from __future__ import annotations

import unicodedata
from typing import Literal, NamedTuple, TypeAlias

import pygame

from rlhf_games.arena.keys import Press
from rlhf_games.arena.pads import Pads

_RENAMED = {"enter": "return", "left shift": "shift", "right shift": "shift"}
_PLACES = {4 + number: letter for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz1234567890")} | {
    45: "-", 46: "=", 47: "[", 48: "]", 49: "\\", 51: ";", 52: "'", 53: "`", 54: ",", 55: ".", 56: "/",
}  # fmt: skip
"""What a US keyboard writes, by SDL's scancodes."""

_DIGITS = frozenset("1234567890")


class Click(NamedTuple):
    """The left mouse button went down."""

    position: tuple[int, int]
    shift: bool


class Drag(NamedTuple):
    """The mouse moved with its left button down, or the button came up (``done``)."""

    position: tuple[int, int]
    done: bool


class Text(NamedTuple):
    """Text was typed, by whatever keys, dead keys or input method."""

    text: str
    done: bool
    """False: an input method is still composing it, and takes the place of what it composed before."""


Signal: TypeAlias = Literal["quit", "focus lost", "focus gained", "redraw"]
Input: TypeAlias = Press | Text | Click | Drag | Signal


class Translator:
    """Reads pygame's events; remembers which keys are down, and the gamepads."""

    def __init__(self) -> None:
        self._pads = Pads()
        self._down: dict[tuple[int, int], tuple[str, str]] = {}
        """Name and place of each key that is down: it comes up by the same ones, though the layout may have changed."""
        self._latin = True
        """Whether the layout has Latin letters, as far as was seen."""

    def read(self, event: pygame.Event) -> list[Input]:
        """What an event means; an empty list for most."""
        kind = event.type
        if kind in (pygame.KEYDOWN, pygame.KEYUP):
            return self._key(event)
        if kind in (pygame.TEXTINPUT, pygame.TEXTEDITING):
            return [Text(event.text, kind == pygame.TEXTINPUT)]
        if kind == pygame.MOUSEBUTTONDOWN and event.button == 1:
            return [Click(tuple(event.pos), bool(pygame.key.get_mods() & pygame.KMOD_SHIFT))]
        if kind == pygame.MOUSEMOTION and event.buttons[0]:
            return [Drag(tuple(event.pos), False)]
        if kind == pygame.MOUSEBUTTONUP and event.button == 1:
            return [Drag(tuple(event.pos), True)]
        if kind == pygame.KEYMAPCHANGED:
            self._latin = True
        return [*self._pads.read(event), *_SIGNALS.get(kind, ())]

    def _key(self, event: pygame.Event) -> list[Input]:
        scancode = getattr(event, "scancode", 0)
        shift = bool(event.mod & pygame.KMOD_SHIFT)
        if event.type == pygame.KEYUP:
            key, place = self._down.pop((scancode, 0 if scancode else event.key), self._named(event.key, scancode))
            return [Press(key, False, "", shift, place)] if key else []
        text = event.unicode.strip().lower() if event.unicode.isprintable() else ""
        key, place = self._named(event.key, scancode)
        if place in _DIGITS and text in _DIGITS:
            key, shift = text, False  # where digits are written with Shift, it says nothing more
        self._down[scancode, 0 if scancode else event.key] = key, place
        return [Press(key, True, text, shift, place)] if key else []

    def _named(self, keycode: int, scancode: int) -> tuple[str, str]:
        """Name and place of a key.

        It is named by what is printed on it. Where that is no Latin letter, it is named by its place: so are all letters of such a layout.
        A key of the upper row is a digit on every layout.
        """
        place = _PLACES.get(scancode, "")
        name = pygame.key.name(keycode).lower()
        if not place:
            return _RENAMED.get(name, name), ""
        sign = name or (chr(keycode) if 127 < keycode < 0x110000 else "")  # empty: a dead key
        if place.isalpha() and sign.isalpha():
            self._latin = _is_latin(sign)
        foreign = sign.isalpha() and not _is_latin(sign)
        if foreign or (place.isalpha() and not (sign and self._latin)) or (place in _DIGITS and sign not in _DIGITS):
            return place, place
        return sign, place


def _is_latin(letter: str) -> bool:
    return len(letter) > 1 or unicodedata.name(letter, "").startswith("LATIN")


_SIGNALS: dict[int, tuple[Signal, ...]] = {
    pygame.QUIT: ("quit",),
    pygame.WINDOWFOCUSLOST: ("focus lost",),
    pygame.WINDOWMINIMIZED: ("focus lost",),
    pygame.WINDOWFOCUSGAINED: ("focus gained",),
    pygame.WINDOWSIZECHANGED: ("redraw",),
    pygame.WINDOWEXPOSED: ("redraw",),
}
