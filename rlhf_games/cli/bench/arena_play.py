"""How soon a key is seen in Play: from the key to the frame that shows the decision it made."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from rlhf_games.cli.bench.frames import frame_seconds

if TYPE_CHECKING:
    from rlhf_games.arena.app import App
    from rlhf_games.arena.playing import PlaySession

_PATIENCE = 120.0
"""Seconds for anything that is waited for."""


class Play(TypedDict):
    """One game, played with two keys in turn."""

    game: str
    presses: int
    key_p50_ms: float
    key_p95_ms: float
    """From the key to the frame that shows the first picture of its decision."""
    bound_ms: float
    """One frame and one decision: what a key may take that comes at the worst moment."""
    frame_p99_ms: float
    """Work of a frame meanwhile."""


def measure_play(game: str, presses: int, interval: float) -> Play:
    """Plays in the real loop of the window; a key goes down about every ``interval`` seconds, never in step with the decisions."""
    import numpy as np

    from rlhf_games.arena import start
    from rlhf_games.arena.app import FRAMES_PER_SECOND, App
    from rlhf_games.arena.keys import Keymap
    from rlhf_games.arena.person import Person
    from rlhf_games.arena.play_view import PlayView
    from rlhf_games.arena.work import drawing_first

    with drawing_first(), tempfile.TemporaryDirectory() as folder:
        view = start.play(game, Person("bench", Keymap()), Path(folder) / "plays.sqlite")
        assert isinstance(view, PlayView)
        app = App(view)
        try:
            player = _Player(app, view.session)
            rng = np.random.default_rng(0)
            gaps: list[float] = []
            while len(gaps) < presses:
                player.rest(float(rng.uniform(0.5, 1.5)) * interval)
                if (gap := player.press()) is not None:
                    gaps.append(gap)
        finally:
            app.close()
    p50, p95 = np.percentile(np.array(gaps) * 1000, (50, 95))
    assert view.session.spec is not None
    return Play(
        game=game,
        presses=presses,
        key_p50_ms=float(p50),
        key_p95_ms=float(p95),
        bound_ms=1000.0 / FRAMES_PER_SECOND + 1000.0 / view.session.spec.decisions_per_second,
        frame_p99_ms=float(np.percentile(np.array(player.frames) * 1000, 99)),
    )


class _Player:
    """Holds one of two keys, and now and then the other one."""

    def __init__(self, app: App, session: PlaySession) -> None:
        from rlhf_games.arena.app import FRAMES_PER_SECOND
        from rlhf_games.arena.clock import StepClock

        self._app, self._session = app, session
        self._clock = StepClock(FRAMES_PER_SECOND, time.monotonic)
        self.frames = frame_seconds(app)
        """Seconds of work of each frame so far."""
        self._until(lambda: session.phase in ("ready", "playing"))
        singles = [(next(iter(chord)), action) for chord, action in session.chords(0).items() if len(chord) == 1]
        by_action = {action: key for key, action in singles if not key.startswith("pad:")}
        self._keys = [(key, action) for action, key in by_action.items()][:2]
        self._held = ""

    def rest(self, seconds: float) -> None:
        """Lets the game go on; where an episode is over, another one begins."""
        self._again()
        until = time.monotonic() + seconds
        self._until(lambda: time.monotonic() >= until)
        self._again()

    def press(self) -> float | None:
        """The other key goes down; seconds until a frame shows what came of it. None: the episode ended before that."""
        import pygame

        session = self._session
        key, action = next(entry for entry in self._keys if entry[0] != self._held)
        begin = time.perf_counter()
        if self._held:
            pygame.event.post(pygame.Event(pygame.KEYUP, key=pygame.key.key_code(self._held), mod=0, unicode=""))
        pygame.event.post(pygame.Event(pygame.KEYDOWN, key=pygame.key.key_code(key), mod=0, unicode=""))
        self._held = key
        self._until(lambda: session.action[:1] == (action,) or session.phase == "over")
        decided = session.decisions
        self._until(lambda: session.decisions > decided or session.phase == "over")
        return time.perf_counter() - begin if session.decisions > decided else None

    def _again(self) -> None:
        """A new episode where there is none that goes on; a key begins it."""
        if self._session.phase == "playing":
            return
        if self._session.phase in ("over", "failed"):
            self._session.discard()
        self._until(lambda: self._session.phase == "ready")
        self._held = ""
        self.press()

    def _until(self, there: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE
        while not there():
            if time.monotonic() > deadline or self._session.phase == "broken":
                raise TimeoutError(f"nothing came of it within {_PATIENCE:.0f} s: {self._session.problem}")
            self._app.turn(self._clock)
