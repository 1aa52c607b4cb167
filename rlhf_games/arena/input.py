"""From pygame's events to presses, clicks and changes of the window."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

import pygame
from pygame._sdl2 import controller

from rlhf_games.arena.keys import Press

_BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick", "leftshoulder", "rightshoulder", "dpup", "dpdown", "dpleft",
    "dpright",
)  # fmt: skip
"""SDL's names of game-controller buttons, in the order of its enumeration."""
_STICK = {0: ("dpleft", "dpright"), 1: ("dpup", "dpdown")}
"""The left stick stands in for the cross."""
_PUSHED = 16_000
"""Half of the stick's way."""
_RENAMED = {"enter": "return", "left shift": "shift", "right shift": "shift"}


class Click(NamedTuple):
    """The left mouse button went down."""

    position: tuple[int, int]
    shift: bool


class Drag(NamedTuple):
    """The mouse moved with its left button down, or the button came up (``done``)."""

    position: tuple[int, int]
    done: bool


Signal: TypeAlias = Literal["quit", "focus lost", "focus gained", "redraw"]
Input: TypeAlias = Press | Click | Drag | Signal


class Translator:
    """Reads pygame's events; remembers which gamepads there are and where their sticks stand."""

    def __init__(self) -> None:
        controller.init()
        self._pads: dict[int, controller.Controller] = {}
        self._stick: dict[tuple[int, int], str] = {}
        self._down: set[tuple[int, int]] = set()
        """Buttons that are down, by gamepad."""

    def read(self, event: pygame.Event) -> list[Input]:
        """What an event means; an empty list for most."""
        kind = event.type
        if kind in (pygame.KEYDOWN, pygame.KEYUP):
            return self._key(event)
        if kind == pygame.MOUSEBUTTONDOWN and event.button == 1:
            return [Click(tuple(event.pos), bool(pygame.key.get_mods() & pygame.KMOD_SHIFT))]
        if kind == pygame.MOUSEMOTION and event.buttons[0]:
            return [Drag(tuple(event.pos), False)]
        if kind == pygame.MOUSEBUTTONUP and event.button == 1:
            return [Drag(tuple(event.pos), True)]
        if kind in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP):
            return self._button(event)
        if kind == pygame.CONTROLLERAXISMOTION and event.axis in _STICK:
            return self._axis(event)
        if kind == pygame.CONTROLLERDEVICEADDED:
            self._pads[event.device_index] = controller.Controller(event.device_index)
        if kind == pygame.CONTROLLERDEVICEREMOVED:
            return self._unplugged(event.instance_id)
        return list(_SIGNALS.get(kind, ()))

    def _key(self, event: pygame.Event) -> list[Input]:
        name = pygame.key.name(event.key).lower()
        text = event.unicode if event.type == pygame.KEYDOWN and event.unicode.isprintable() else ""
        key = _RENAMED.get(name, name)
        return [Press(key, event.type == pygame.KEYDOWN, text.strip().lower(), bool(event.mod & pygame.KMOD_SHIFT))] if key else []

    def _button(self, event: pygame.Event) -> list[Input]:
        if not 0 <= event.button < len(_BUTTONS):
            return []
        down = event.type == pygame.CONTROLLERBUTTONDOWN
        (self._down.add if down else self._down.discard)((event.instance_id, event.button))
        return [Press(f"pad:{_BUTTONS[event.button]}", down, "", self._shift)]

    @property
    def _shift(self) -> bool:
        """A shoulder button is down."""
        return any(_BUTTONS[button].endswith("shoulder") for _, button in self._down)

    def _unplugged(self, pad: int) -> list[Input]:
        """A gamepad that is gone holds nothing any more."""
        names = [_BUTTONS[button] for its, button in self._down if its == pad]
        names += [name for (its, _), name in self._stick.items() if its == pad]
        self._down = {place for place in self._down if place[0] != pad}
        self._stick = {place: name for place, name in self._stick.items() if place[0] != pad}
        return [Press(f"pad:{name}", False) for name in names if name]

    def _axis(self, event: pygame.Event) -> list[Input]:
        place = (event.instance_id, event.axis)
        pushed = "" if abs(event.value) < _PUSHED else _STICK[event.axis][event.value > 0]
        before, self._stick[place] = self._stick.get(place, ""), pushed
        if pushed == before:
            return []
        return [Press(f"pad:{name}", down, "", self._shift) for name, down in ((before, False), (pushed, True)) if name]


_SIGNALS: dict[int, tuple[Signal, ...]] = {
    pygame.QUIT: ("quit",),
    pygame.WINDOWFOCUSLOST: ("focus lost",),
    pygame.WINDOWMINIMIZED: ("focus lost",),
    pygame.WINDOWFOCUSGAINED: ("focus gained",),
    pygame.WINDOWSIZECHANGED: ("redraw",),
    pygame.WINDOWEXPOSED: ("redraw",),
}
