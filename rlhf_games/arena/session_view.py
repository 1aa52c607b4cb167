"""What all views of a session have in common: the session goes on, how far its run is stays in sight, and both end with the view."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Generic, Protocol, TypeVar

from pygame import Rect

from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Press
from rlhf_games.arena.layout import standing
from rlhf_games.arena.view import Next


class Session(Protocol):
    """What happens in a view."""

    def tick(self) -> None:
        """Lets it go on."""
        ...

    def close(self) -> None:
        """Ends it."""
        ...


S = TypeVar("S", bound=Session)
_SETTLE_SECONDS = 0.5
"""How long somebody who leaves waits for what is on its way to the disk; then they are asked."""


class SessionView(ABC, Generic[S]):
    """The base of such a view."""

    def __init__(self, session: S, headway: Headway | None) -> None:
        """``headway``: of the run that the session belongs to, if any; ends with the view."""
        self.session = session
        self.headway = headway

    @property
    def hurried(self) -> bool:
        """Nothing is waited for that a frame is not soon enough for."""
        return False

    @property
    @abstractmethod
    def unsaved(self) -> str:
        """What is not on the disk, and may be lost if it were left now; empty most of the time."""

    @property
    def saving(self) -> bool:
        """Whether something is on its way to the disk."""
        return False

    def settle(self) -> None:
        """Before it is left: waits, for a moment, for what is on its way to the disk."""
        until = time.monotonic() + _SETTLE_SECONDS
        self.session.tick()
        while self.saving and time.monotonic() < until:
            time.sleep(0.005)
            self.session.tick()

    def press(self, press: Press, command: str | None) -> Next:
        """A key."""
        return self.click(command) if command is not None else None

    def click(self, command: str) -> Next:
        """A command by its name."""
        return None

    def back(self) -> Next:
        """Leaves; where something is not stored, whoever shows the view asks first."""
        return "back"

    def update(self) -> Next:
        """Lets the session go on."""
        self.session.tick()
        if self.headway is not None:
            self.headway.tick()
        return None

    def close(self) -> None:
        """Ends the session."""
        self.session.close()
        if self.headway is not None:
            self.headway.close()

    def draw_standing(self, canvas: Canvas, rect: Rect, *lines: str) -> None:
        """Lines of the session's own numbers; beside them how the agent does, where the person wants to see it."""
        shown = self.headway is not None and self.headway.shows_score
        standing(canvas, rect, lines, self.headway.learning if self.headway is not None and shown else None)

    def show_score(self, shown: bool) -> None:
        """Whether the agent's score is to be seen from now on."""
        if self.headway is not None:
            self.headway.shows_score = shown

    @property
    def learner_words(self) -> str:
        """What the run's learner does now; empty where nobody knows."""
        return "" if self.headway is None or self.headway.learner is None else self.headway.learner.words

    @property
    def run_words(self) -> str:
        """How far the run is; empty where there is none."""
        return "" if self.headway is None else self.headway.words
