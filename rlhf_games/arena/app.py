"""The window: one view at a time, sixty times a second."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from types import FrameType
from typing import Literal

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
# Only what changed is sent to the screen. SDL's default goes through a texture of the whole window: six times as slow (9 ms a frame
# against 1.7 ms, two Atari clips under Xvfb).
os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")

import pygame

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.display import open_display
from rlhf_games.arena.help import draw_help
from rlhf_games.arena.input import Click, Drag, Input, Text, Translator
from rlhf_games.arena.keys import Press, find
from rlhf_games.arena.leaving import Question, draw_question, question
from rlhf_games.arena.own_pygame import disown, own
from rlhf_games.arena.view import Draggable, Next, View, Writable
from rlhf_games.arena.work import drawing_first

FRAMES_PER_SECOND = 60.0
_HURRIED_SECONDS = 0.002
_DRAG_PIXELS = 8
"""A mouse that moved less was meant to click."""
_BACK = ("escape", "pad:back")
_HELP = ("f1", "pad:guide")
_FULL_SCREEN = "f11"
_MODIFIERS = frozenset(
    {"shift", "caps lock", "alt gr"} | {f"{side} {name}" for side in ("left", "right") for name in ("ctrl", "alt", "meta")}
)
"""Alone they answer nothing: a key that is typed with them comes after them."""


class App:
    """Shows views until the last one is left. ``view`` is None then."""

    def __init__(self, view: View, now: Callable[[], float] = time.monotonic, size: tuple[int, int] = theme.DESIGN_SIZE) -> None:
        open_display()
        own()
        pygame.font.init()
        surface = pygame.display.set_mode(size, pygame.RESIZABLE)
        self.view: View | None = view
        self.canvas = Canvas(surface)
        self.helping = False
        self.asking: Question | None = None
        """What is asked before somebody leaves."""
        self._windowed: tuple[int, int] | None = None
        """How large the window was before it filled the screen; None: it does not."""
        self._behind: list[View] = []
        self._leaving: list[Thread] = []
        self._gave_up = False
        """Whether somebody has left something behind that was not stored."""
        self._now = now
        self._inputs = Translator()
        self._title = ""
        self._grabbed: tuple[str, Click] | None = None
        """What the mouse has gone down on, where that can be dragged."""
        self._dragging = False
        self._pressed: object = None
        """Whom the last key went to (itself: the help), until one comes up: the text that it writes is for nobody else."""

    def run(self) -> None:
        """Until the window is closed. Between frames it sleeps; input is taken the moment it comes."""
        clock = StepClock(FRAMES_PER_SECOND, self._now)
        try:
            with drawing_first(), _ending_on_signals():
                while self.view is not None:
                    self.turn(clock)
        finally:
            self.close()

    def turn(self, clock: StepClock) -> None:
        """Once round the loop: sleeps until there is input or the next frame is due, takes the one, paints the other."""
        if self.view is None:
            return
        patience = min(clock.remaining, _HURRIED_SECONDS) if self.view.hurried else clock.remaining
        self.take(pygame.event.wait(max(1, round(patience * 1000))))
        while self.view is not None and (event := pygame.event.poll()).type != pygame.NOEVENT:
            self.take(event)
        if clock.due() or (self.view is not None and self.view.hurried):
            self.frame()

    def open(self, view: View) -> None:
        """Shows a view in front of the present one."""
        self._go(view)

    def take(self, event: pygame.Event) -> None:
        """One event of pygame's."""
        for entry in self._inputs.read(event):
            if self.view is not None:
                self._go(self._react(self.view, entry))

    def frame(self) -> None:
        """Lets the view go on and paints what changed."""
        if self.view is None:
            return
        self._go(self.view.update())
        if self.view is None:
            return
        if self.view.title != self._title:
            self._title = self.view.title
            pygame.display.set_caption(f"rlhf-games: {self._title}")
        if self.asking is not None:
            draw_question(self.canvas, self.asking)
        elif self.helping:
            draw_help(self.canvas, self.view)
        else:
            self.view.draw(self.canvas)
        if changed := self.canvas.finish():
            pygame.display.update(changed)

    def close(self) -> None:
        """Takes the window away at once, then lets every view put its things in order."""
        views, self.view = [*([self.view] if self.view is not None else []), *reversed(self._behind)], None
        self._behind = []
        pygame.display.quit()
        disown()
        for view in views:
            view.close()
        for thread in self._leaving:
            thread.join()

    def _react(self, view: View, entry: Input) -> Next:
        if isinstance(entry, Press):
            self._pressed = None if not entry.down else self if self.helping or self.asking is not None else view
            return self._press(view, entry)
        if isinstance(entry, Text):
            self._write(view, entry)
            return None
        if isinstance(entry, Click):
            return self._click(view, entry)
        if isinstance(entry, Drag):
            return self._drag(view, entry)
        if entry == "quit":
            self._leave("quit")
        elif entry == "redraw":
            surface = pygame.display.get_surface()
            assert surface is not None
            self.canvas.use(surface)
        elif not self.helping and self.asking is None:
            view.focus(entry == "focus gained")
        return None

    def _leave(self, way: Literal["back", "quit"]) -> None:
        """Back to what lies behind, or away; asks where something would be lost, and before the window closes for a key. Once."""
        assert self.view is not None
        behind, asked = self._behind, None
        if self.asking is None:
            going = any(thread.is_alive() for thread in self._leaving)
            asked = question(way, [self.view, *behind] if way == "quit" else [self.view], behind, _still_known(going, self._gave_up))
        elif self.asking.lost:
            self._gave_up = True
        if asked is None:
            self.asking = None
            self.close() if way == "quit" else self._go("back")
            return
        self.asking, self.helping, self._grabbed = asked, False, None
        self.view.focus(False)

    def _answer(self, view: View, leave: bool) -> None:
        """The person said whether to leave."""
        asked = self.asking
        assert asked is not None
        if leave:
            self._leave(asked.way)
            return
        self.asking = None
        self.canvas.clear()
        view.focus(True)

    def _fill_screen(self) -> None:
        """Full screen, or the window as it was before."""
        surface = pygame.display.get_surface()
        assert surface is not None
        if self._windowed is None:
            self._windowed = surface.get_size()
            surface = pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            surface = pygame.display.set_mode(self._windowed, pygame.RESIZABLE)
            self._windowed = None
        self.canvas.use(surface)

    def _press(self, view: View, press: Press) -> Next:
        if not press.down:
            return view.press(press, None)
        if press.key == _FULL_SCREEN:
            self._fill_screen()
            return None
        if self.asking is not None:
            if press.key not in _MODIFIERS:
                self._answer(view, bool(press.among(self.asking.keys)))
            return None
        if self.helping:
            self._help(view, False)
            return None
        command = find(view.commands, press)
        if press.among(_BACK):
            return self._back(view)
        if command is None and (press.among(_HELP) or (press.text == "?" and not isinstance(view, Writable))):
            self._help(view, True)
            return None
        return view.press(press, command)

    def _write(self, view: View, text: Text) -> None:
        """Text for a view that takes any; none of a key that led to it from another view, or that ended the help."""
        if self.helping or self.asking is not None or not isinstance(view, Writable) or self._pressed not in (None, view):
            return
        if text.done:
            view.write(text.text)
        else:
            view.compose(text.text)

    def _back(self, view: View) -> Next:
        to = view.back()
        if to == "back":
            self._leave("back")
            return None
        return to

    def _click(self, view: View, click: Click) -> Next:
        if self.asking is not None:
            command = self.canvas.command_at(click.position)
            if command in ("leave", "stay"):
                self._answer(view, command == "leave")
            return None
        if self.helping:
            self._help(view, False)
            return None
        command = self.canvas.command_at(click.position)
        if command == "help":
            self._help(view, True)
        elif command == "back":
            return self._back(view)
        elif command is not None and isinstance(view, Draggable) and view.grabs(command):
            self._grabbed, self._dragging = (command, click), False
        elif command is not None:
            return view.click(f"shift+{command}" if click.shift else command)
        return None

    def _drag(self, view: View, drag: Drag) -> Next:
        """Something grabbed moves; where it was let go of without having moved, it was clicked."""
        if self._grabbed is None or not isinstance(view, Draggable):
            return None
        command, click = self._grabbed
        self._dragging = self._dragging or max(abs(a - b) for a, b in zip(drag.position, click.position, strict=True)) >= _DRAG_PIXELS
        if drag.done:
            self._grabbed = None
        if self._dragging:
            view.drag(command, self.canvas.command_at(drag.position), drag.done)
            return None
        return view.click(f"shift+{command}" if click.shift else command) if drag.done else None

    def _help(self, view: View, show: bool) -> None:
        self.helping, self._grabbed = show, None
        view.focus(not show)
        self.canvas.clear()

    def _go(self, to: Next) -> None:
        """Another view; what lies behind it stays open, so that going back finds it as it was."""
        if to is None or self.view is None:
            return
        if to == "back":
            self._leaving.append(Thread(target=self.view.close, name="leaving"))  # may wait for the disk: the window must not
            self._leaving[-1].start()
            self.view = self._behind.pop() if self._behind else None
            if self.asking is not None and self.asking.way == "back":
                self.asking = None  # what it was about has gone by itself
            if self.view is not None:
                self.view.focus(self.asking is None and not self.helping)
        else:
            assert not isinstance(to, str)
            self._behind.append(self.view)
            self.view = to
            if self.asking is not None or self.helping:
                self.view.focus(False)  # it opens beneath them: nobody sees it
        self._grabbed = None
        self.canvas.clear()


def _still_known(going: bool, gave_up: bool) -> str:
    """What is known, before the window closes, of all that was said in it; ``going``: something may still be on its way."""
    if going:
        return "What was said is still being stored: the program ends when that is done."
    return "What was not stored is lost." if gave_up else "What you said is stored."


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """SIGTERM ends the program as closing the window does: leases are given back."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit(143)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
