"""A game as it is played on a worker thread: opened, stepped, recorded and stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.controls import RANDOM
from rlhf_games.arena.moment import Moment, moment_of
from rlhf_games.core.errors import UserError
from rlhf_games.core.spaces import Discrete
from rlhf_games.feedback.answers import Demonstration, Rating

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec, TimeStep
    from rlhf_games.feedback.store import Store
    from rlhf_games.replay.recorder import SessionRecorder


@dataclass
class Verdict:
    """What a person says about an episode they have played. Kept until it is stored: a second try stores the same answers."""

    annotator: str
    people: int
    """Seats that they played, from 0."""
    began_at: float = 0.0
    stopped_at: float = 0.0
    """Seconds since 1970."""
    stars: int | None = None
    """Their rating of it, 1 to 5; None: none."""
    rated_at: float = 0.0
    uuids: tuple[str, ...] = field(default_factory=tuple)
    """Of the answers: one for each seat, and one for the rating."""

    def __post_init__(self) -> None:
        self.uuids = self.uuids or tuple(uuid.uuid4().hex for _ in range(self.people + 1))


def check_playable(spec: GameSpec, people: int) -> None:
    """Raises ``UserError`` where ``people`` persons cannot play the game with keys."""
    if not isinstance(spec.actions, Discrete) or not spec.keys:
        raise UserError(f"{spec.name} cannot be played with keys: it needs a discrete choice of actions and a table of keys in its spec")
    if 0 in spec.frame_shape:
        raise UserError(f"{spec.name} has no pictures, so a person cannot play it")
    if not 1 <= people <= min(2, spec.players):
        raise UserError(
            f"{spec.name} has {spec.players} seat{'s' if spec.players > 1 else ''}: --people must be 1{' or 2' if spec.players > 1 else ''}"
        )


class Playroom:
    """Loads a game and a store, and plays episode after episode. Every method is for the worker."""

    def __init__(
        self, load_game: Callable[[], Game], open_store: Callable[[], Store], annotator: str, people: int, wall: Callable[[], float]
    ) -> None:
        """``annotator``: plays the first ``people`` seats, the others play at random; ``wall``: seconds since 1970, for the replays."""
        self._load_game, self._open_store, self._wall = load_game, open_store, wall
        self._annotator, self._people = annotator, people
        self._game: Game | None = None
        self._store: Store | None = None
        self._recorder: SessionRecorder | None = None
        """Of the present episode."""

    def prepare(self) -> GameSpec:
        """Opens the store, loads the game and plays a decision; raises ``UserError`` where it cannot be played."""
        self._store = self._open_store()
        game = self._load_game()
        check_playable(game.spec, self._people)
        with closing(game.open(0)) as trial:  # whatever is compiled at the first step is compiled now, not under the person's hands
            trial.step(_legal(trial.timestep, game.spec.idle_action))
            trial.frames()
        self._game = game
        return game.spec

    def begin(self, seed: int) -> Moment:
        """A new episode; the last one is over."""
        from rlhf_games.replay.recorder import SessionRecorder

        assert self._game is not None, "prepare comes first"
        self._end()
        session = self._game.open(seed)
        players = tuple(self._annotator if seat < self._people else RANDOM for seat in range(self._game.spec.players))
        self._recorder = SessionRecorder(session, seed, player=players, clock=self._wall)
        return moment_of(session.timestep, session.frames())

    def advance(self, action: NDArray[np.int32]) -> Moment:
        """Plays one decision, ``[P]``."""
        recorder = self._playing()
        return moment_of(recorder.step(action), recorder.session.frames())

    def write(self, events: Sequence[tuple[float, str, bool]], verdict: Verdict | None) -> None:
        """Stores the episode; with a verdict also as a demonstration of every person's seat, and its rating if there is one."""
        from rlhf_games.feedback.store import AnswerDraft

        assert self._store is not None
        replay = self._playing().replay(events)
        self._store.add_replays([replay])
        if verdict is None:
            return
        who, began, stopped = verdict.annotator, verdict.began_at, max(verdict.began_at, verdict.stopped_at)
        drafts = [
            AnswerDraft(who, Demonstration(replay.length, seat), began, stopped, verdict.uuids[seat], replay_id=replay.id, step=0)
            for seat in range(verdict.people)
        ]
        if verdict.stars is not None:
            at = max(stopped, verdict.rated_at)
            drafts.append(AnswerDraft(who, Rating(verdict.stars), began, at, verdict.uuids[-1], replay_id=replay.id, step=0))
        self._store.post_answers(drafts)

    def close(self) -> None:
        """Lets go of everything."""
        self._end()
        if self._store is not None:
            self._store.close()

    def _playing(self) -> SessionRecorder:
        assert self._recorder is not None, "begin comes first"
        return self._recorder

    def _end(self) -> None:
        if self._recorder is not None:
            self._recorder.session.close()


def _legal(seen: TimeStep[NDArray[Any]], wish: int) -> NDArray[np.int32]:
    """A legal action for every seat: the wished-for one where it may be."""
    legal = np.asarray(seen.legal_action_mask)
    return np.where(legal[:, wish], wish, legal.argmax(1)).astype(np.int32)
