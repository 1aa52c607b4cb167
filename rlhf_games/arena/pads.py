"""The gamepads: which ones there are, whose they are, and what is down on each.

A gamepad goes by its instance id, which SDL never gives twice; device indices move whenever one is pulled out.
"""

from __future__ import annotations

from contextlib import suppress

import pygame
from pygame._sdl2 import controller

from rlhf_games.arena.keys import PADS, Press

_BUTTONS = (
    "a", "b", "x", "y", "back", "guide", "start", "leftstick", "rightstick", "leftshoulder", "rightshoulder", "dpup", "dpdown", "dpleft",
    "dpright",
)  # fmt: skip
"""SDL's names of game-controller buttons, in the order of its enumeration."""
_STICK = {0: ("dpleft", "dpright"), 1: ("dpup", "dpdown")}
"""The left stick stands in for the cross."""
_PUSHED = 16_000
"""Half of the stick's way."""


class Pads:
    """Reads the events of gamepads. The first that is plugged in is the first player's, the next one the second player's.

    One that is plugged in again gets the first place that is free. Where there are more than two, all others do what the first one does.
    """

    def __init__(self) -> None:
        pygame.joystick.init()
        controller.init()
        self._open: dict[int, tuple[pygame.joystick.JoystickType, controller.Controller]] = {}
        """By instance id. Both must live: pygame closes a gamepad with whichever goes first."""
        self._player: dict[int, int] = {}
        """Number of the player by instance id, from 0."""
        self._down: dict[tuple[int, str], str] = {}
        """Buttons that are down, by instance id and what pushes them (a button, or an axis of the stick)."""

    def read(self, event: pygame.Event) -> list[Press]:
        """What an event means; an empty list for most."""
        kind = event.type
        if kind == pygame.CONTROLLERDEVICEADDED:
            self._scan()
        elif kind == pygame.CONTROLLERDEVICEREMOVED:
            return self._unplugged(event.instance_id)
        elif kind in (pygame.CONTROLLERBUTTONDOWN, pygame.CONTROLLERBUTTONUP) and 0 <= event.button < len(_BUTTONS):
            return self._button(event.instance_id, _BUTTONS[event.button], kind == pygame.CONTROLLERBUTTONDOWN)
        elif kind == pygame.CONTROLLERAXISMOTION and event.axis in _STICK:
            pushed = "" if abs(event.value) < _PUSHED else _STICK[event.axis][event.value > 0]
            return self._stick(event.instance_id, f"stick {event.axis}", pushed)
        return []

    def _scan(self) -> None:
        """Opens every gamepad that is not open yet.

        All of them, not the one that the event names: its index may be another's by now.
        """
        for index in range(controller.get_count()):
            with suppress(RuntimeError):  # pygame.error: pulled out again meanwhile
                if controller.is_controller(index):
                    self._plugged(pygame.joystick.Joystick(index), index)

    def _plugged(self, joystick: pygame.joystick.JoystickType, index: int) -> None:
        instance = joystick.get_instance_id()
        if instance not in self._open:
            self._open[instance] = joystick, controller.Controller(index)
            self._seat(instance)

    def _seat(self, pad: int) -> int:
        """Number of the player whose gamepad this is."""
        if pad not in self._player:
            busy = set(self._player.values())
            self._player[pad] = next(number for number in range(len(busy) + 1) if number not in busy)
        return self._player[pad]

    def _name(self, pad: int, button: str) -> str:
        player = self._seat(pad)
        return (PADS[player] if player < len(PADS) else PADS[0]) + button

    def _button(self, pad: int, name: str, down: bool) -> list[Press]:
        if down:
            self._down[pad, name] = name
        else:
            self._down.pop((pad, name), None)
        return [self._press(pad, name, down)]

    def _stick(self, pad: int, axis: str, pushed: str) -> list[Press]:
        """``pushed``: what an axis stands in for now; empty: nothing."""
        before = self._down.pop((pad, axis), "")
        if pushed:
            self._down[pad, axis] = pushed
        return [self._press(pad, name, down) for name, down in ((before, False), (pushed, True)) if name and pushed != before]

    def _press(self, pad: int, name: str, down: bool) -> Press:
        """A shoulder button that is down on the same gamepad counts as Shift."""
        shift = any(button.endswith("shoulder") for (its, _), button in self._down.items() if its == pad)
        return Press(self._name(pad, name), down, "", shift)

    def _unplugged(self, pad: int) -> list[Press]:
        """One that is gone holds nothing any more; the others keep what they hold, and their players."""
        gone = [(place, name) for place, name in self._down.items() if place[0] == pad]
        found = [Press(self._name(pad, name), False) for _, name in gone]
        for place, _ in gone:
            del self._down[place]
        self._player.pop(pad, None)
        for opened in self._open.pop(pad, ()):
            opened.quit()
        return found
