"""A small game that can be branched, a policy and a reward model whose thoughts are known, and a store with a few of its episodes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.advising import AdviseSession
from rlhf_games.arena.asking import AskSession
from rlhf_games.arena.episodes import Episode, Episodes
from rlhf_games.arena.fresh import Fresh
from rlhf_games.arena.insight import Mind
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.reel import Reel
from rlhf_games.arena.remarks import Remarks
from rlhf_games.arena.watching import WatchSession, by_an_agent
from rlhf_games.core.agent import Explanation
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.feedback.store import Answer, Store
from rlhf_games.published.container import About
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay

from .conftest import Inline, Time

ROWS, COLUMNS, PLANES = 3, 8, 2
SIZE = (1280, 800)
"""Of the window in which the views about it are shown."""


def name(game: str) -> tuple[str, str]:
    """What it is called, and its aim."""
    return "Walk", "Walk."


class Walk:
    """A host game on a grid: plane 0 shows where each seat stands, plane 1 a star. On odd columns action 3 is not legal."""

    def __init__(self, limit: int = 40, seats: int = 1, turns: bool = False) -> None:
        self.limit = limit
        self.spec = GameSpec(
            name="test/walk",
            version="1",
            players=seats,
            observation=Observation((ROWS, COLUMNS, PLANES), "bool", "grid", ("walker", "star")),
            actions=Discrete(("stay", "left", "right", "jump")),
            decisions_per_second=10.0,
            turn_based=turns,
            aim="Walk.",
            keys={"left": 1, "right": 2, "space": 3},
            buttons={"dpleft": 1, "dpright": 2},
            frame_shape=(ROWS * 4, COLUMNS * 4),
        )

    def open(self, seed: int) -> WalkSession:
        return WalkSession(self, seed)

    def batch(self, size: int) -> WalkBatch:
        return WalkBatch(self, size)


class WalkBatch:
    """Several games side by side."""

    def __init__(self, game: Walk, size: int) -> None:
        self._game = game
        self._games = [WalkSession(game, 0) for _ in range(size)]

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> TimeStep[NDArray[Any]]:
        for number, seed in enumerate(seeds):
            if where is None or where[number]:
                self._games[number] = WalkSession(self._game, int(seed))
        return self.recv()

    def send(self, actions: NDArray[Any]) -> None:
        for session, action in zip(self._games, actions, strict=True):
            if not session.timestep.terminated:
                session.step(action)

    def recv(self) -> TimeStep[NDArray[Any]]:
        return TimeStep(*(np.stack(parts) for parts in zip(*(session.timestep for session in self._games), strict=True)))

    def close(self) -> None:
        pass


class WalkSession:
    """Two pictures a decision."""

    def __init__(self, game: Walk, seed: int) -> None:
        self.spec, self._game = game.spec, game
        self._star = np.random.default_rng(seed).integers(0, ROWS * COLUMNS, game.limit + 1)
        self._place = np.full(game.spec.players, COLUMNS // 2)
        self._t = 0
        self.timestep = self._see(np.zeros(game.spec.players, np.float32))

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        if self.timestep.terminated:
            raise RuntimeError("over")
        move = np.choose(np.asarray(action), (0, -1, 1, 2))
        self._place = np.where(self.timestep.acting, (self._place + move) % COLUMNS, self._place)
        self._t += 1
        star = self._star[self._t] % COLUMNS
        self.timestep = self._see((self._place == star).astype(np.float32))
        return self.timestep

    def frames(self) -> NDArray[np.uint8]:
        picture = np.zeros((ROWS, COLUMNS, 3), np.uint8)
        picture[..., :PLANES] = self.timestep.observation[0] * 255
        large = np.repeat(np.repeat(picture, 4, 0), 4, 1)
        return np.stack([large, np.maximum(large, self._t % 256)]) if self._t else large[None]

    def branch(self) -> WalkSession:
        copy = object.__new__(WalkSession)
        copy.__dict__.update(self.__dict__)
        return copy

    def close(self) -> None:
        pass

    def _see(self, reward: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        seats = self.spec.players
        seen = np.zeros((seats, ROWS, COLUMNS, PLANES), bool)
        legal = np.ones((seats, 4), bool)
        for seat in range(seats):
            seen[seat, seat % ROWS, self._place[seat], 0] = True
            seen[seat, self._star[self._t] // COLUMNS, self._star[self._t] % COLUMNS, 1] = True
            legal[seat, 3] = self._place[seat] % 2 == 0
        acting = np.ones(seats, bool) if not self.spec.turn_based else np.arange(seats) == self._t % seats
        return TimeStep(seen, reward, np.bool_(self._t >= self._game.limit), np.bool_(False), legal, acting)


class KnownMind:
    """Wants to go right the more the further left it stands; pays for the walker in one corner cell; its members differ by a factor."""

    cell = (0, 5, 0)

    def __init__(self, name: str = "tiny/1") -> None:
        self.about = About("tiny", 1, 1000, name, True, 1.0, "test/walk", {}, "known", {}, {}, 3)
        self.broken = False

    def policy(self, observation: NDArray[Any], key: jax.Array, legal: NDArray[np.bool_]) -> NDArray[Any]:
        chosen = jax.random.randint(key, (len(observation),), 0, 3)
        return np.asarray(chosen, np.int32)

    def explain(self, observation: NDArray[Any], legal: NDArray[np.bool_]) -> Explanation:
        if self.broken:
            raise UserError("another version published this")
        place = observation[..., 0].any(1).argmax(1)
        wish = np.stack([np.ones_like(place), np.ones_like(place), 1 + place, np.ones_like(place)], 1) * legal
        return Explanation(wish / wish.sum(1, keepdims=True), place.astype(np.float32))  # type: ignore[arg-type]

    def reward(self, transition: Any) -> NDArray[np.float32]:
        there = np.asarray(transition.next_observation)[(slice(None), *self.cell)].astype(np.float32)
        return np.stack([there * factor for factor in (1.0, 2.0, 3.0)])


class Published:
    """What a run publishes; a test puts more into it."""

    def __init__(self, *minds: Mind) -> None:
        self.minds = list(minds)

    def reader(self) -> Reader:
        """For one session."""
        return Reader(self)


class Reader:
    """Gives the newest where it is another one than last time."""

    def __init__(self, published: Published) -> None:
        self._published = published
        self._given: Mind | None = None

    def poll(self) -> Mind | None:
        newest = self._published.minds[-1] if self._published.minds else None
        given, self._given = self._given, newest
        return newest if newest is not given else None


def walk_replay(game: Walk, seed: int, steps: int = 40, policy: str = "tiny/1", at: float = 0.0) -> Replay:
    """An episode, or its beginning, of legal actions that depend on the seed."""
    session, rng = game.open(seed), np.random.default_rng(seed)
    recorder = SessionRecorder(session, seed, player=("agent",) * game.spec.players, policy=policy, clock=lambda: at)
    for _ in range(min(steps, game.limit)):
        recorder.step(rng.integers(0, 3, game.spec.players).astype(np.int32))
    return recorder.replay()


class World(NamedTuple):
    """Everything that a session is made of, turned by hand."""

    game: Walk
    store: Store
    clock: Time
    published: Published
    worker: Any
    """Does everything but the reading of episodes."""
    writer: Any

    def ask(self, at: tuple[str, int] | None = None) -> AskSession:
        parts = self._parts()
        return AskSession(parts[0], self._reel(), parts[1], self.remarks(), self.fresh(), lambda: None, self.clock, self.clock, at)

    def watch(self) -> WatchSession:
        parts = self._parts(by_an_agent)
        return WatchSession(parts[0], self._reel(), parts[1], self.fresh(), lambda: None, self.clock)

    def advise(self) -> AdviseSession:
        episodes, minds = self._parts(by_an_agent)
        load = self.load
        return AdviseSession(self.store, episodes, minds, self.remarks(), load, self.worker, lambda: None, self.clock, self.clock)

    def remarks(self) -> Remarks:
        return Remarks(self.store, "ann", self.writer, self.clock, self.clock)

    def fresh(self) -> Fresh:
        return Fresh(self.load, lambda replay: self.store.add_replays([replay]), self.worker, seeds=lambda: 123, wall=self.clock)

    def load(self, name: str, options: Any) -> Any:
        return self.game

    def _parts(self, wanted: Callable[[Episode], bool] = lambda episode: True) -> tuple[Episodes, Minds]:
        episodes = Episodes(self.store, Inline(), self.clock, wanted)
        return episodes, Minds(self.published.reader, Inline(), self.clock)

    def _reel(self) -> Reel:
        return Reel(self.load, self.store.replay, self.worker, self.worker)


def make_world(folder: Path, clock: Time, game: Walk | None = None, worker: Any = None, writer: Any = None, seeds: int = 3) -> World:
    """A store with a few episodes, newest last, and one published policy."""
    game = game or Walk()
    store = Store.open(folder / "store.sqlite")
    store.add_replays([walk_replay(game, seed, at=10.0 + seed) for seed in range(seeds)])
    return World(game, store, clock, Published(KnownMind()), worker or Inline(), writer or Inline())


def settle(session: Any, until: Callable[[], bool] = lambda: False, ticks: int = 40) -> None:
    """Ticks until something is so, or nothing more comes."""
    for _ in range(ticks):
        session.tick()
        if until():
            return


def rows(store: Store, *kinds: str) -> list[Answer]:
    """What stands in a store, of all kinds or of these."""
    return [answer for answer in store.answers().answers if not kinds or answer.kind in kinds]
