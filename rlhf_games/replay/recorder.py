"""Makes replays out of what a batch of games produces while it plays."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec, Session, TimeStep
from rlhf_games.replay.checksum import checksum_of, digest, mark_steps
from rlhf_games.replay.replay import Ended, Replay, package_versions


class Chunk(NamedTuple):
    """``T`` consecutive steps of ``R`` recorded games (lanes); NumPy arrays, or anything that ``np.asarray`` takes."""

    seed: Any
    """``[T, R]`` uint32: the seed of the episode that the step belongs to."""
    action: Any
    """``[T, R, P, ...]``."""
    reward: Any
    """``[T, R, P]`` float32: what the game itself gave."""
    terminated: Any
    """``[T, R]`` bool, after the action, as the game says it (also where the experiment hides ends from the agent)."""
    truncated: Any
    """``[T, R]`` bool, after the action."""
    observation: Any
    """``[T, R, P, ...]`` after the action, of the same episode: at an end its own last observation, never the next one's first."""


@dataclass
class _Open:
    """An episode that is being played."""

    seed: int
    length: int = 0
    actions: list[NDArray[Any]] = field(default_factory=list)
    rewards: list[NDArray[np.float32]] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    last: NDArray[Any] | None = None


class EpisodeRecorder:
    """Collects each lane's episodes; how the stream is cut into chunks makes no difference."""

    def __init__(
        self,
        spec: GameSpec,
        lanes: int,
        *,
        player: Sequence[str] = (),
        versions: dict[str, str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """``player``: who plays each seat (default: ``"agent"``); ``clock``: seconds since 1970."""
        self._spec = spec
        self._player = tuple(player) or ("agent",) * spec.players
        self._versions = dict(package_versions() if versions is None else versions)
        self._clock = clock
        self._open: list[_Open | None] = [None] * lanes

    def add(self, chunk: Chunk, policy: str = "") -> list[Replay]:
        """Takes the next steps of all lanes; returns the episodes that ended in them, lane by lane and in time order.

        Args:
          chunk: the next ``T`` steps.
          policy: which policy chose these actions; an episode is filed under the policy that ended it.

        Raises:
          ValueError: the number of lanes is wrong, or a seed changes within an episode.
        """
        arrays = Chunk(*(np.asarray(array) for array in chunk))
        if arrays.seed.ndim != 2 or arrays.seed.shape[1] != len(self._open):
            raise ValueError(f"chunk.seed must be [T, {len(self._open)}], got {arrays.seed.shape}")
        finished: list[Replay] = []
        for lane in range(len(self._open)):
            finished += self._add_lane(lane, Chunk(*(array[:, lane] for array in arrays)), policy)
        return finished

    def open_episodes(self, policy: str = "") -> list[Replay]:
        """The episodes that are still being played, as far as they have come, so that clips can be cut from them too."""
        return [self._seal(lane, episode, "unfinished", policy) for lane, episode in enumerate(self._open) if episode is not None]

    def go_on(self, replay: Replay, observation: NDArray[Any], reward: NDArray[np.float32]) -> None:
        """Takes up an unfinished replay in its lane again, as `open_episodes` gave it.

        Args:
          replay: what was recorded so far.
          observation: ``[T, P, ...]`` after each action, as re-simulation gives it.
          reward: ``[T, P]``.

        Raises:
          ValueError: the lane already records an episode, or there is no such lane.
        """
        if not 0 <= replay.lane < len(self._open) or self._open[replay.lane] is not None:
            raise ValueError(f"lane {replay.lane} of {len(self._open)} cannot go on with a replay: it is missing or records already")
        steps, never = replay.length, np.zeros(replay.length, bool)
        seed = np.full(steps, replay.seed, np.uint32)
        self._extend(replay.lane, Chunk(seed, replay.actions, reward, never, never, observation))

    def branch(self, player: Sequence[str]) -> EpisodeRecorder:
        """A copy that shares nothing that changes; its episodes are ``player``'s."""
        copy = EpisodeRecorder(self._spec, len(self._open), player=player, versions=self._versions, clock=self._clock)
        copy._open = [
            episode and replace(episode, actions=[*episode.actions], rewards=[*episode.rewards], digests=[*episode.digests])
            for episode in self._open
        ]
        return copy

    def _add_lane(self, lane: int, steps: Chunk, policy: str) -> list[Replay]:
        ends = np.flatnonzero(steps.terminated | steps.truncated)
        finished = []
        start = 0
        for stop in [int(end) + 1 for end in ends]:
            self._extend(lane, Chunk(*(array[start:stop] for array in steps)))
            ended: Ended = "terminated" if steps.terminated[stop - 1] else "truncated"
            episode = self._open[lane]
            assert episode is not None
            finished.append(self._seal(lane, episode, ended, policy))
            self._open[lane] = None
            start = stop
        if start < len(steps.seed):
            self._extend(lane, Chunk(*(array[start:] for array in steps)))
        return finished

    def _extend(self, lane: int, steps: Chunk) -> None:
        episode = self._open[lane] or _Open(int(steps.seed[0]))
        self._open[lane] = episode
        wrong = np.flatnonzero(steps.seed != episode.seed)
        if wrong.size:
            t = episode.length + int(wrong[0])
            raise ValueError(f"lane {lane}: seed changes from {episode.seed} to {int(steps.seed[wrong[0]])} at step {t} of an episode")
        begin, episode.length = episode.length, episode.length + len(steps.seed)
        episode.actions.append(np.array(steps.action, self._spec.actions.dtype))
        episode.rewards.append(np.array(steps.reward, np.float32))
        episode.digests += [digest(steps.observation[t - begin]) for t in mark_steps(begin, episode.length)]
        episode.last = np.array(steps.observation[-1])

    def _seal(self, lane: int, episode: _Open, ended: Ended, policy: str) -> Replay:
        assert episode.last is not None
        return Replay(
            game=self._spec.name,
            game_version=self._spec.version,
            options=self._spec.options,
            seed=episode.seed,
            actions=np.concatenate(episode.actions),
            checksum=checksum_of(np.concatenate(episode.rewards), episode.last, episode.digests),
            ended=ended,
            player=self._player,
            policy=policy,
            lane=lane,
            recorded_at=self._clock(),
            versions=self._versions,
        )


class SessionRecorder:
    """Plays one interactive session and makes its replay: for people, takeovers and evaluations."""

    def __init__(
        self, session: Session, seed: int, *, player: Sequence[str], policy: str = "", clock: Callable[[], float] = time.time
    ) -> None:
        """``session``: just opened from ``seed``; ``player``: who plays each seat; ``policy``: which policy plays the agent's seats."""
        self._session = session
        self._seed = np.full((1, 1), seed, np.uint32)
        self.policy = policy
        """May be changed while it plays: an episode is filed under the policy that ended it."""
        self._recorder = EpisodeRecorder(session.spec, 1, player=player, clock=clock)
        self._finished: list[Replay] = []

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision ``[P, ...]``; raises ``RuntimeError`` when the episode is over."""
        seen = self._session.step(action)
        arrays = (action, seen.reward, seen.terminated, seen.truncated, seen.observation)
        self._finished += self._recorder.add(Chunk(self._seed, *(np.asarray(array)[None, None] for array in arrays)), self.policy)
        return seen

    def branch(self, player: Sequence[str]) -> SessionRecorder:
        """A recorder that goes its own way from here, with a copy of the game; from here on ``player`` plays."""
        copy = object.__new__(SessionRecorder)
        copy._session, copy._seed, copy.policy, copy._finished = self._session.branch(), self._seed, self.policy, list(self._finished)
        copy._recorder = self._recorder.branch(player)
        return copy

    @property
    def session(self) -> Session:
        """The game that is played."""
        return self._session

    def replay(self, key_events: Sequence[tuple[float, str, bool]] = ()) -> Replay:
        """The episode, or its beginning where it is not over; ``key_events`` as in `Replay`.

        Raises:
          RuntimeError: nothing has been played yet.
        """
        made = self._finished or self._recorder.open_episodes(self.policy)
        if not made:
            raise RuntimeError(f"{self._session.spec.name}: a replay needs at least one step")
        return replace(made[0], key_events=tuple(key_events))
