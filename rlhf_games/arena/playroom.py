"""A game as it is played on a worker thread: opened, stepped, recorded and stored."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.spaces import Discrete
from rlhf_games.feedback.answers import Demonstration, Rating

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec, Session, TimeStep
    from rlhf_games.feedback.store import Store
    from rlhf_games.replay.recorder import SessionRecorder


class Moment(NamedTuple):
    """What a decision brought."""

    frames: NDArray[np.uint8]
    """``[F, H, W, 3]``."""
    reward: NDArray[np.float32]
    """``[P]``."""
    ended: bool
    legal: NDArray[np.bool_]
    """``[P, A]``."""
    acting: NDArray[np.bool_]
    """``[P]``."""


class Opened(NamedTuple):
    """A new episode."""

    session: Session
    recorder: SessionRecorder
    seed: int
    moment: Moment


@dataclass
class Verdict:
    """What a person says about an episode they have played. Kept until it is stored: a second try stores the same answers."""

    annotator: str
    people: int
    """Seats that they played, from 0."""
    began_at: float
    stopped_at: float
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

    def __init__(self, load_game: Callable[[], Game], open_store: Callable[[], Store], wall: Callable[[], float]) -> None:
        """``wall``: seconds since 1970, for the replays."""
        self._load_game, self._open_store, self._wall = load_game, open_store, wall
        self._game: Game | None = None
        self._store: Store | None = None

    def prepare(self, people: int) -> GameSpec:
        """Opens the store, loads the game and plays a decision; raises ``UserError`` where it cannot be played."""
        self._store = self._open_store()
        game = self._load_game()
        check_playable(game.spec, people)
        with closing(game.open(0)) as trial:  # whatever is compiled at the first step is compiled now, not under the person's hands
            trial.step(_legal(trial.timestep, game.spec.idle_action))
            trial.frames()
        self._game = game
        return game.spec

    def open(self, seed: int, players: Sequence[str]) -> Opened:
        """A new episode; ``players``: who plays each seat."""
        from rlhf_games.replay.recorder import SessionRecorder

        assert self._game is not None
        session = self._game.open(seed)
        recorder = SessionRecorder(session, seed, player=tuple(players), clock=self._wall)
        return Opened(session, recorder, seed, _moment(session.timestep, session.frames()))

    def advance(self, opened: Opened, action: NDArray[np.int32]) -> Moment:
        """Plays one decision, ``[P]``."""
        seen = opened.recorder.step(action)
        return _moment(seen, opened.session.frames())

    def write(self, opened: Opened, events: Sequence[tuple[float, str, bool]], verdict: Verdict | None) -> None:
        """Stores the episode; with a verdict also as a demonstration of every person's seat, and its rating if there is one."""
        from rlhf_games.feedback.store import AnswerDraft

        assert self._store is not None
        replay = opened.recorder.replay(events)
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

    def close(self, opened: Opened | None) -> None:
        """Lets go of everything."""
        if opened is not None:
            opened.session.close()
        if self._store is not None:
            self._store.close()


def _moment(seen: TimeStep[NDArray[Any]], frames: NDArray[np.uint8]) -> Moment:
    ended = bool(seen.terminated) or bool(seen.truncated)
    return Moment(frames, np.asarray(seen.reward), ended, np.asarray(seen.legal_action_mask), np.asarray(seen.acting))


def _legal(seen: TimeStep[NDArray[Any]], wish: int) -> NDArray[np.int32]:
    """A legal action for every seat: the wished-for one where it may be."""
    legal = np.asarray(seen.legal_action_mask)
    return np.where(legal[:, wish], wish, legal.argmax(1)).astype(np.int32)
