"""A new game of the newest policy, played when a person asks for one: a run that is over records none by itself. Nothing here waits."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.insight import Mind, policy_key
from rlhf_games.arena.work import Worker
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:
    from rlhf_games.core.game import Game

SECONDS = 60.0
"""Of play at the game's natural speed, at most."""


class Fresh:
    """Call ``tick`` often."""

    def __init__(
        self,
        load_game: Callable[[str, dict[str, Any]], Game],
        add: Callable[[Replay], object],
        worker: Worker,
        *,
        seeds: Callable[[], int] = lambda: secrets.randbits(32),
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``add``: stores a replay; called on the worker, as ``load_game`` is."""
        self._load_game, self._add, self._seeds, self._wall = load_game, add, seeds, wall
        self._errands = Errands(worker)
        self.problem = ""

    @property
    def words(self) -> str:
        """What is being done; empty while nothing is."""
        return self._errands.words

    def play(self, mind: Mind, then: Callable[[Replay], None]) -> None:
        """Has the policy play; ``then`` gets the stored replay inside a later `tick`. Nothing happens while one is being played."""
        if not self._errands.free:
            return
        self.problem = ""
        seed = self._seeds()
        self._errands.start("the newest policy plays a game…", lambda: self._play(mind, seed), then, self._fail)

    def tick(self) -> None:
        """Takes in what is done."""
        self._errands.tick()

    def close(self) -> None:
        """Ends."""
        self._errands.close()

    def _play(self, mind: Mind, seed: int) -> Replay:
        game = self._load_game(mind.about.game, mind.about.game_options)
        replay = play_episode(mind, game, seed, self._wall)
        self._add(replay)
        return replay

    def _fail(self, error: BaseException) -> None:
        self.problem = f"The policy could not play: {problem_words(error)}"


def play_episode(mind: Mind, game: Game, seed: int, wall: Callable[[], float] = time.time) -> Replay:
    """One episode from ``seed`` with the policy in all seats, or its first minute."""
    with closing(game.open(seed)) as session:
        player = ("agent",) * game.spec.players
        recorder = SessionRecorder(session, seed, player=player, policy=mind.about.policy, clock=wall)
        seen = session.timestep
        for t in range(max(1, round(SECONDS * game.spec.decisions_per_second))):
            seen = recorder.step(mind.policy(seen.observation, policy_key(seed, t), seen.legal_action_mask))
            if seen.terminated or seen.truncated:
                break
        return recorder.replay()
