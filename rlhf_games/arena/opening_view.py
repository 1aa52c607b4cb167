"""A spinner while something is opened."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.view import Next, View
from rlhf_games.core.errors import UserError

T = TypeVar("T")
_TURNS = 12


class OpeningView(Generic[T]):
    """Waits for ``work`` and then shows the view that ``then`` makes of it; tells what is wrong where it fails."""

    commands: Sequence[Command] = ()

    def __init__(
        self,
        title: str,
        words: str,
        work: Future[T],
        then: Callable[[T], View],
        unused: Callable[[T], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``unused``: puts away what was opened when the person left meanwhile."""
        self.title = title
        self._words, self._work, self._then, self._unused, self._now = words, work, then, unused, now
        self._view: View | None = None
        self._problem = ""

    @property
    def passing(self) -> bool:
        """Once it is open, leaving that means leaving this."""
        return self._view is not None

    @property
    def hurried(self) -> bool:
        """A spinner needs no hurry."""
        return False

    def press(self, press: Press, command: str | None) -> Next:
        """Keys mean nothing yet."""
        return self._view.press(press, command) if self._view is not None else None

    def click(self, command: str) -> Next:
        """Nor do clicks."""
        return None

    def back(self) -> Next:
        """Leaves."""
        return "back"

    def focus(self, gained: bool) -> None:
        """Leaving this view for the opened one and coming back from that means going back."""

    def update(self) -> Next:
        """Looks whether it is open."""
        if self._view is not None:
            return "back"  # the opened view was left
        if self._problem or not self._work.done():
            return None
        error = self._work.exception()
        if isinstance(error, UserError):
            self._problem = str(error)
            return None
        self._view = self._then(self._work.result())
        return self._view

    def draw(self, canvas: Canvas) -> None:
        """A spinner, or the problem."""
        canvas.begin(("opening", canvas.width, canvas.height))
        areas = frame_areas(canvas)
        canvas.part("heading", areas.heading, self.title, lambda pen: pen.text((0, 0), self.title, "title"))
        turn = 0 if self._problem else int(self._now() * _TURNS)
        canvas.part("stage", areas.stage, (turn, self._problem), lambda pen: self._paint(pen, turn / _TURNS))
        footer(canvas, areas.footer, (), ())

    def _paint(self, pen: Pen, turn: float) -> None:
        pen.box(Rect(pen.area))
        x, y = pen.area.center
        if self._problem:
            pen.text((x, y - pen.px(60)), "This cannot be opened", "title", theme.AMBER, "midbottom")
            pen.paragraph((x, y - pen.px(40)), self._problem, pen.area.w - pen.px(80), 5, colour=theme.TEXT, centred=True)
            return
        pen.spinner((x, y - pen.px(60)), turn)
        pen.text((x, y), self._words, "title", anchor="midtop")

    def close(self) -> None:
        """Puts away what is opened too late."""
        if self._view is None:
            self._work.add_done_callback(self._put_away)

    def _put_away(self, work: Future[T]) -> None:
        if not work.cancelled() and work.exception() is None:
            self._unused(work.result())
