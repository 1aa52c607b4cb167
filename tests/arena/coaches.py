"""A published policy that needs no JAX, and a session in which a test turns every wheel by hand."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.coach_game import CoachGame
from rlhf_games.arena.coach_log import CoachLog
from rlhf_games.arena.coach_session import CoachSession
from rlhf_games.feedback.store import Store

from .conftest import Inline, Line, Time

STAY, LEFT, RIGHT = 0, 1, 2


class Policy:
    """Always does the same."""

    def __init__(self, game: Line, name: str = "run/1", action: int = RIGHT) -> None:
        self.game, self.action = game, action
        self.about = SimpleNamespace(policy=name)

    def policy(self, observation: NDArray[Any], key: Any, legal: NDArray[np.bool_]) -> NDArray[np.int32]:
        assert len(observation) == len(legal) == self.game.spec.players
        return np.full(len(observation), self.action, np.int32)


class Runs:
    """What a learner has published: a test puts policies in."""

    def __init__(self, first: Policy) -> None:
        self.waiting: list[Policy] = []
        self.problem = ""
        self._newest = first

    def newest(self) -> Policy:
        return self._newest

    def poll(self) -> Policy | None:
        if not self.waiting:
            return None
        self._newest = self.waiting.pop()
        return self._newest


class Coached:
    """A session on the line, its clock, its store and what it was told."""

    def __init__(
        self, store: Store, clock: Time, game: Line | None = None, worker: Any = None, writer: Any = None, **settings: Any
    ) -> None:
        """``worker``: plays the game; ``writer``: stores what is said, the same one where none is given."""
        self.store, self.clock = store, clock
        self.game = game or Line()
        self.runs = Runs(Policy(self.game))
        self.worker = worker or Inline()
        seeds = itertools.count(100)
        self.log = CoachLog(store, "ann", writer or self.worker, clock)
        self.session = CoachSession(
            CoachGame(self.runs), self.log, self.worker, self.worker, now=clock, wall=clock, seeds=lambda: next(seeds), **settings
        )
        self.session.tick()

    def run(self, seconds: float, step: float = 0.05) -> None:
        """Time passes, as in a window that hurries while something is being worked on."""
        for _ in range(round(seconds / step)):
            self.clock.now += step + 1e-9  # a little late, as ever: sums of tenths are not exact
            self.session.tick()
            self.session.tick()

    def started(self) -> Coached:
        self.session.start()
        return self
