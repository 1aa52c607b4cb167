"""Keeps pygame for the thread of the window.

Games of others use pygame too: an environment that is closed calls ``pygame.quit()``, one that draws for people opens a window and takes
the events. The games run on worker threads of this process (a process of their own would cost them their speed), so there these calls do
nothing, or work on a surface that nobody sees. Drawing on surfaces is free for all.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

import pygame
from pygame._sdl2 import controller

_lock = threading.Lock()
_owners: set[int] = set()
"""The threads that have a window open: each one at most, as pygame has but one."""
_elsewhere = threading.local()
_wrapped = False


def own() -> None:
    """A window was opened by this thread: until `disown`, calls of others do it no harm."""
    with _lock:
        _owners.add(threading.get_ident())
        _wrap_once()


def disown() -> None:
    """The window of this thread is closed. More often than `own`: nothing happens."""
    with _lock:
        _owners.discard(threading.get_ident())


def _nothing(*_: Any, **__: Any) -> None:
    """Instead of what would change the window, or end what it needs."""


def _surface(size: Any = (0, 0), *_: Any, **__: Any) -> pygame.Surface:
    """Instead of a window."""
    width, height = (int(side) for side in size)
    _elsewhere.surface = pygame.Surface((width or 640, height or 480))
    surface: pygame.Surface = _elsewhere.surface
    return surface


def _own_surface() -> pygame.Surface | None:
    return getattr(_elsewhere, "surface", None)


def _stand_ins() -> list[tuple[ModuleType, str, Callable[..., Any]]]:
    """What is called in place of pygame's functions on other threads."""
    nothing = {
        pygame: ("quit",),
        pygame.base: ("quit",),
        pygame.display: (
            "init quit flip update set_caption set_icon iconify toggle_fullscreen set_palette set_gamma set_gamma_ramp "
            "set_allow_screensaver set_window_position"
        ).split(),
        pygame.event: ("pump", "clear", "set_blocked", "set_allowed", "set_grab", "set_keyboard_grab"),
        pygame.font: ("quit",),
        pygame.joystick: ("quit",),
        controller: ("quit", "set_eventstate"),
        pygame.key: ("set_repeat", "start_text_input", "stop_text_input", "set_text_input_rect", "set_mods"),
        pygame.mouse: ("set_visible", "set_pos", "set_cursor", "set_relative_mode"),
        pygame.time: ("set_timer",),
    }
    found: list[tuple[ModuleType, str, Callable[..., Any]]] = [
        (where, name, _nothing) for where, names in nothing.items() for name in names
    ]
    return [
        *found,
        (pygame.display, "set_mode", _surface),
        (pygame.display, "get_surface", _own_surface),
        (pygame.event, "get", lambda *_, **__: []),
        (pygame.event, "poll", lambda: pygame.Event(pygame.NOEVENT)),
        (pygame.event, "wait", lambda *_, **__: pygame.Event(pygame.NOEVENT)),
        (pygame.event, "peek", lambda *_, **__: False),
        (pygame.event, "post", lambda *_, **__: False),
    ]


def _wrap_once() -> None:
    global _wrapped
    if _wrapped:
        return
    _wrapped = True
    for where, name, stand_in in _stand_ins():
        if (function := getattr(where, name, None)) is not None:
            setattr(where, name, _guarded(function, stand_in))


def _guarded(function: Callable[..., Any], stand_in: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **keywords: Any) -> Any:
        mine = not _owners or threading.get_ident() in _owners
        return (function if mine else stand_in)(*args, **keywords)

    return call
