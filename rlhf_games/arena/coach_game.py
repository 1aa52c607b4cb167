"""The game that is coached, as one worker plays it: the newest published policy in every seat, a person in seat 0 when they want to.

Shapes: ``P`` seats. Nothing here knows of time or keys; everything is called on the worker, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.insight import Mind, policy_key
from rlhf_games.arena.moment import Moment, moment_of
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame
from rlhf_games.core.spaces import Discrete

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec, Session, TimeStep
    from rlhf_games.replay.recorder import SessionRecorder
    from rlhf_games.replay.replay import Replay

AGENT = "agent"
"""Who plays a seat in a replay; what a person did in between is told by takeovers."""


class Player(Mind, Protocol):
    """A published policy that knows its game; ``rlhf_games.published.models.Publication`` is one."""

    @property
    def game(self) -> Game:
        """The run's game."""
        ...


class Published(Protocol):
    """Follows what a run publishes; ``rlhf_games.published.run.PublishedRun`` does."""

    @property
    def problem(self) -> str:
        """Why the newest one cannot be read; empty where it can."""
        ...

    def newest(self) -> Player:
        """The newest policy."""
        ...

    def poll(self) -> Player | None:
        """A newer one than that given last."""
        ...


class Proposal(NamedTuple):
    """What the policy would do next."""

    action: NDArray[Any]
    """``[P, ...]``."""
    policy: str
    """Name of the policy."""


class Fork:
    """The game as it was when a person took over: the policy of that moment goes on from there by itself."""

    def __init__(self, mind: Player, seed: int, played: Sequence[NDArray[Any]], seen: NDArray[Any], copy: SessionRecorder | None) -> None:
        """The present state of an episode.

        Args:
          mind: the policy.
          seed: of the episode.
          played: its actions so far, each ``[P, ...]``.
          seen: ``[P, ...]`` what the seats see now.
          copy: of the game, where that costs nothing; None: the episode is played again, when and where it does not disturb.
        """
        self._mind, self._seed, self._played, self._seen, self._copy = mind, seed, tuple(played), seen, copy

    def play(self, length: int) -> Replay | None:
        """Plays ``length`` decisions (fewer where the game is over before), on any thread, once.

        Returns:
          The whole episode; None where the game did not come to the same state again.
        """
        recorder = self._copy or _recorder(self._mind, self._seed)
        with closing(recorder.session) as session:
            for action in () if self._copy is not None else self._played:
                recorder.step(action)
            if not np.array_equal(session.timestep.observation, self._seen):
                return None
            for t in range(len(self._played), len(self._played) + length):
                if _over(recorder.step(_choose(self._mind, session, self._seed, t))):
                    break
            return recorder.replay()


class CoachGame:
    """The game of a run, episode after episode."""

    def __init__(self, published: Published) -> None:
        """Loads the newest policy and its game, and compiles what playing needs.

        Raises:
          UserError: nothing is published, it cannot be read, or its game cannot be shown or played with keys.
        """
        self._published = published
        self._mind = published.newest()
        self._game = self._mind.game
        self.spec: GameSpec = self._game.spec
        check_coachable(self.spec)
        self._recorder: SessionRecorder | None = None
        self._seed = 0
        self._actions: list[NDArray[Any]] = []
        self.begin(0)  # whatever is compiled at the first step is compiled now, not under the person's eyes
        self.step(self.propose().action)

    @property
    def policy(self) -> str:
        """Name of the policy that plays."""
        return self._mind.about.policy

    def begin(self, seed: int) -> Moment:
        """A new episode."""
        self.close()
        self._seed, self._actions = seed, []
        self._recorder = _recorder(self._mind, seed)
        session = self._recorder.session
        return moment_of(session.timestep, session.frames())

    def propose(self) -> Proposal:
        """What the policy does in the present state (nothing that counts, where the game is over); equal each time it is asked."""
        recorder = self._playing()
        if _over(recorder.session.timestep):
            return Proposal(np.zeros((self.spec.players,), np.int32), self.policy)
        return Proposal(_choose(self._mind, recorder.session, self._seed, len(self._actions)), self.policy)

    def step(self, action: NDArray[Any]) -> Moment:
        """Plays one decision ``[P, ...]``."""
        recorder = self._playing()
        recorder.policy = self.policy
        seen = recorder.step(action)
        self._actions.append(action)
        return moment_of(seen, recorder.session.frames())

    def fork(self) -> Fork:
        """The present state, to be played on without the person."""
        recorder = self._playing()
        # The state of a device game is a value. An emulator's takes a fifth of a second to copy, just when the person wants to play.
        copy = recorder.branch((AGENT,) * self.spec.players) if isinstance(self._game, DeviceGame) else None
        seen = np.array(recorder.session.timestep.observation)
        return Fork(self._mind, self._seed, self._actions, seen, copy)

    def replay(self, key_events: list[tuple[float, str, bool]]) -> Replay:
        """The episode as far as it was played (at least one decision)."""
        return self._playing().replay(key_events)

    def reload(self) -> tuple[str, str]:
        """Takes the newest policy, for the decisions from now on; returns its name and what is wrong with a newer one, if anything."""
        newer = self._published.poll()
        if newer is not None:
            self._mind = newer
        return self.policy, self._published.problem

    def close(self) -> None:
        """Ends the episode. Safe to call twice."""
        if self._recorder is not None:
            self._recorder.session.close()

    def _playing(self) -> SessionRecorder:
        assert self._recorder is not None, "begin comes first"
        return self._recorder


def check_coachable(spec: GameSpec) -> None:
    """Raises ``UserError`` where a person can neither see the game nor take over."""
    if 0 in spec.frame_shape:
        raise UserError(f"{spec.name} has no pictures, so nobody can coach an agent in it")
    if not isinstance(spec.actions, Discrete) or not spec.keys:
        raise UserError(f"{spec.name} cannot be played with keys, so nobody can take over from its agent")


def _recorder(mind: Player, seed: int) -> SessionRecorder:
    """A new episode, played by the policy."""
    from rlhf_games.replay.recorder import SessionRecorder

    spec = mind.game.spec
    return SessionRecorder(mind.game.open(seed), seed, player=(AGENT,) * spec.players, policy=mind.about.policy)


def _choose(mind: Player, session: Session, seed: int, t: int) -> NDArray[Any]:
    seen = session.timestep
    return np.array(mind.policy(np.asarray(seen.observation), policy_key(seed, t), np.asarray(seen.legal_action_mask)))


def _over(seen: TimeStep[NDArray[Any]]) -> bool:
    return bool(seen.terminated) or bool(seen.truncated)
