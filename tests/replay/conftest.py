"""Episodes played step by step through interactive sessions: the truth that re-simulation is compared with."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.game import Game, GameSpec, TimeStep
from rlhf_games.core.spaces import Box, Discrete, Observation
from rlhf_games.replay.checksum import checksum_of, seen_digests
from rlhf_games.replay.recorder import Chunk
from rlhf_games.replay.replay import Replay
from rlhf_games.replay.simulate import Track
from rlhf_games.workspace import load_game


@dataclass(frozen=True)
class Episode:
    """One episode as it was seen while it was played."""

    seed: int
    action: NDArray[Any]
    track: Track
    frames: list[NDArray[np.uint8]]

    def replay(self, spec: GameSpec, lane: int = 0) -> Replay:
        """Built by hand, not by the recorder."""
        track, length = self.track, len(self.action)
        digests = seen_digests(lambda t: track.observation[t + 1], length)
        return Replay(
            game=spec.name,
            game_version=spec.version,
            options=spec.options,
            seed=self.seed,
            actions=self.action,
            checksum=checksum_of(track.reward, track.observation[-1], digests),
            ended="terminated" if track.terminated[-1] else "truncated" if track.truncated[-1] else "unfinished",
            player=("agent",) * spec.players,
            lane=lane,
        )

    def chunk(self) -> Chunk:
        """The episode as a recorder with one lane is given it."""
        length = len(self.action)
        arrays = (self.action, self.track.reward, self.track.terminated, self.track.truncated, self.track.observation[1:])
        return Chunk(np.full((length, 1), self.seed, np.uint32), *(array[:, None] for array in arrays))


def play(game: Game, seed: int, steps: int, frames: bool = False, still: float = 0.0) -> Episode:
    """Plays random legal actions until the end or for ``steps`` steps; ``still``: chance of action 0 instead."""
    rng = np.random.default_rng(seed)
    session = game.open(seed)
    seen: list[TimeStep[NDArray[Any]]] = [session.timestep]
    shown = [session.frames()] if frames else []
    actions = []
    while len(actions) < steps and not (seen[-1].terminated or seen[-1].truncated):
        mask = seen[-1].legal_action_mask
        choice = np.array([rng.choice(np.flatnonzero(row)) if row.any() else 0 for row in mask], np.int32)
        actions.append(choice if rng.random() >= still else np.zeros_like(choice))
        seen.append(session.step(actions[-1]))
        shown += [session.frames()] if frames else []
    session.close()
    track = Track(
        np.stack([step.observation for step in seen]),
        np.stack([step.reward for step in seen[1:]]).astype(np.float32),
        np.array([bool(step.terminated) for step in seen[1:]]),
        np.array([bool(step.truncated) for step in seen[1:]]),
    )
    return Episode(seed, np.stack(actions), track, shown)


class Walk:
    """A host game for two seats: each walks on a line, steps slip at random, the first to leave ends the game.

    Four pictures a decision; the last decision of an episode has three, as emulators that stop early.
    """

    def __init__(self, size: int = 5, limit: int = 400, version: str = "1") -> None:
        self.size, self.limit = size, limit
        self.spec = GameSpec(
            name="probe/walk",
            version=version,
            players=2,
            observation=Observation((3,), "uint8", "vector"),
            actions=Discrete(("stay", "left", "right")),
            decisions_per_second=15.0,
            turn_based=False,
            aim="Leave to the right.",
            options={"size": size, "limit": limit},
            frame_shape=(2, 3),
        )
        self.opened = 0
        self.drawn = 0
        self.reset_games = 0

    def open(self, seed: int) -> WalkSession:
        self.opened += 1
        return WalkSession(self, seed)

    def batch(self, size: int) -> WalkBatch:
        return WalkBatch(self, size)


class WalkSession:
    def __init__(self, game: Walk, seed: int) -> None:
        self.game, self.spec = game, game.spec
        self._rng = np.random.default_rng(seed)
        self._place = np.full(2, game.size)
        self._t = 0
        self._shown = 1
        self.timestep = self._see(np.zeros(2, np.float32))

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        if self.timestep.terminated or self.timestep.truncated:
            raise RuntimeError("over")
        moves = np.array([0, -1, 1])[action] + self._rng.integers(-1, 2, 2)
        self._place = self._place + moves
        self._t += 1
        self.timestep = self._see(moves.astype(np.float32) / 3)
        self._shown = 3 if self.timestep.terminated or self.timestep.truncated else 4
        return self.timestep

    def frames(self) -> NDArray[np.uint8]:
        self.game.drawn += 1
        return np.full((self._shown, 2, 3, 3), self._t % 256, np.uint8)

    def branch(self) -> WalkSession:
        return copy.deepcopy(self)

    def close(self) -> None:
        pass

    def _see(self, reward: NDArray[np.float32]) -> TimeStep[NDArray[Any]]:
        out = bool(((self._place < 0) | (self._place > 2 * self.game.size)).any())
        shown = np.clip(self._place, 0, 2 * self.game.size)
        observation = np.stack([[shown[0], shown[1], self._t % 256], [shown[1], shown[0], self._t % 256]]).astype(np.uint8)
        truncated = np.bool_(not out and self._t >= self.game.limit)
        return TimeStep(observation, reward, np.bool_(out), truncated, np.ones((2, 3), bool), np.ones(2, bool))


class WalkBatch:
    def __init__(self, game: Walk, size: int) -> None:
        self.game, self.size = game, size
        self._sessions: list[WalkSession] = []
        self._actions: NDArray[Any] = np.zeros(0)

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> TimeStep[NDArray[Any]]:
        if where is None:
            self._sessions = [WalkSession(self.game, int(seed)) for seed in seeds]
        else:
            self._sessions = [
                WalkSession(self.game, int(seed)) if again else session
                for seed, again, session in zip(seeds, where, self._sessions, strict=True)
            ]
        self.game.reset_games += self.size if where is None else int(where.sum())
        return self._stack([session.timestep for session in self._sessions])

    def send(self, actions: NDArray[Any]) -> None:
        self._actions = actions

    def recv(self) -> TimeStep[NDArray[Any]]:
        return self._stack([session.step(action) for session, action in zip(self._sessions, self._actions, strict=True)])

    def close(self) -> None:
        self._sessions = []

    def _stack(self, steps: Sequence[TimeStep[NDArray[Any]]]) -> TimeStep[NDArray[Any]]:
        return TimeStep(*(np.stack(arrays) for arrays in zip(*steps, strict=True)))


@pytest.fixture(scope="session")
def player() -> Callable[..., Episode]:
    return play


@pytest.fixture
def walk() -> Walk:
    return Walk()


@pytest.fixture(scope="session")
def endless() -> Walk:
    """Ends only by its limit of 600 steps."""
    return Walk(size=100, limit=600)


@pytest.fixture(scope="session")
def breakout() -> Game:
    return load_game("minatar/breakout")


@pytest.fixture(scope="session")
def episodes(breakout: Game) -> list[Episode]:
    """Twelve episodes of MinAtar Breakout, most of them short, with pictures."""
    return [play(breakout, seed, 600, frames=True) for seed in range(12)]


@pytest.fixture
def make_replay() -> Callable[..., Replay]:
    """A replay that no game needs to reproduce, for what only looks at lengths and ends."""

    def make(length: int, ended: Any = "terminated", seed: int = 0, **changes: Any) -> Replay:
        actions = np.random.default_rng(seed).integers(0, 3, (length, 1)).astype(np.int32)
        reward = np.ones((length, 1), np.float32)
        seen = np.zeros((1, 4), np.uint8)
        sums = checksum_of(reward, seen, seen_digests(lambda t: seen + np.uint8(t % 256), length))
        replay = Replay("probe/none", "1", {"a": 1}, seed, actions, sums, ended, ("agent",))
        return replace(replay, **changes)

    return make


@pytest.fixture
def box_spec() -> GameSpec:
    return GameSpec(
        name="probe/box",
        version="1",
        players=2,
        observation=Observation((4,), "float32", "vector"),
        actions=Box((3,), (-1.0,) * 3, (1.0,) * 3),
        decisions_per_second=20.0,
        turn_based=False,
        aim="",
    )
