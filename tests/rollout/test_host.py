"""The collector on a host game whose every number can be worked out by hand, and on a real one."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.agent import Action, Explanation
from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.rollout.host import HostCollector, HostExperience, joined
from rlhf_games.rollout.host_lanes import episode_seed
from rlhf_games.workspace import load_game


class Counting:
    """Two seats see (seed mod 7, t, seat); each earns its action; ends at step 3 + seed mod 4, truncated for odd seeds."""

    spec = GameSpec("test/counting", "1", 2, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, False, "Count.")

    def batch(self, size: int) -> CountingBatch:
        return CountingBatch(size)


class CountingBatch:
    def __init__(self, size: int) -> None:
        self.seeds, self.t, self.over = np.zeros(size, np.int64), np.zeros(size, np.int64), np.ones(size, bool)

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> TimeStep[NDArray[Any]]:
        where = np.ones(len(self.t), bool) if where is None else where
        self.seeds, self.t = np.where(where, seeds, self.seeds), np.where(where, 0, self.t)
        self.over &= ~where
        return self._seen(np.zeros((len(self.t), 2)), np.zeros(len(self.t), bool))

    def send(self, actions: NDArray[Any]) -> None:
        assert not self.over.any()
        self.actions = actions

    def recv(self) -> TimeStep[NDArray[Any]]:
        self.t = self.t + 1
        self.over = self.t == 3 + self.seeds % 4
        return self._seen(self.actions, self.over)

    def close(self) -> None: ...

    def _seen(self, reward: NDArray[Any], over: NDArray[np.bool_]) -> TimeStep[NDArray[Any]]:
        n, odd = len(self.t), self.seeds % 2 == 1
        rows = [np.stack([self.seeds % 7, self.t, np.full(n, seat)], -1) for seat in (0, 1)]
        return TimeStep(
            np.stack(rows, 1).astype(np.float32),
            reward.astype(np.float32),
            over & ~odd,
            over & odd,
            np.ones((n, 2, 3), bool),
            np.ones((n, 2), bool),
        )


class Dice:
    """Chooses at random; says what it saw and values a state at 10 t + seat."""

    def init(self, key: Any, spec: GameSpec) -> Any: ...
    def params(self, state: Any) -> Any: ...
    def update(self, state: Any, rollout: Any, key: Any) -> Any: ...
    def explain(self, params: Any, observation: Any, legal_action_mask: Any) -> Explanation:
        raise NotImplementedError

    def act(self, params: Any, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        logits = jnp.log(legal_action_mask.astype(jnp.float32))
        return Action(jax.random.categorical(key, logits), {"first": observation.reshape(len(observation), -1)[:, 1]})

    def value(self, params: Any, observation: jax.Array) -> jax.Array:
        features = observation.reshape(len(observation), -1).astype(jnp.float32)
        return 10.0 * features[:, 1] + features[:, 2]


def collector(**changes: Any) -> HostCollector:
    settings: dict[str, Any] = {"games": 5, "seed": 3} | changes
    return HostCollector(settings.pop("game", Counting()), Dice(), **settings)


def same(a: HostExperience, b: HostExperience) -> None:
    jax.tree.map(np.testing.assert_array_equal, (a.rollout, a.played), (b.rollout, b.played))
    jax.tree.map(np.testing.assert_array_equal, a.last_of_episode, b.last_of_episode)
    for one, other in zip(sorted(a.episodes, key=lambda e: e.seed), sorted(b.episodes, key=lambda e: e.seed), strict=True):
        assert (one.lane, one.seed, one.ended) == (other.lane, other.seed, other.ended)
        np.testing.assert_array_equal(one.actions, other.actions)


@pytest.mark.parametrize("parts", [(12,), (5, 1, 6)], ids=["at once", "in parts"])
def test_every_number_of_the_rollout(parts: tuple[int, ...]) -> None:
    play = collector()
    seen = joined([play.collect(None, jax.random.key(i), steps) for i, steps in enumerate(parts)])
    rollout, played = seen.rollout, seen.played
    assert rollout.observation.shape == (12, 5, 2, 3)
    np.testing.assert_array_equal(rollout.observation[..., 0], np.repeat(played.seed[..., None] % 7, 2, -1))
    np.testing.assert_array_equal(rollout.extras["first"], rollout.observation[..., 1])
    np.testing.assert_array_equal(rollout.reward, rollout.action.astype(np.float32))
    for lane in range(5):
        t = episode = 0
        for step in range(12):
            seed = int(episode_seed(3, lane, episode))
            assert played.seed[step, lane] == seed
            assert rollout.observation[step, lane, 0, 1] == t
            over = t + 1 == 3 + seed % 4
            assert (rollout.terminated[step, lane], rollout.truncated[step, lane]) == (over and seed % 2 == 0, over and seed % 2 == 1)
            value = [10.0 * (t + 1), 10.0 * (t + 1) + 1] if over and seed % 2 else [0, 0]
            np.testing.assert_array_equal(rollout.bootstrap[step, lane], value)
            assert seen.next_observation(step)[lane, 0, 1] == t + 1
            t, episode = (0, episode + 1) if over else (t + 1, episode)
        assert rollout.last_observation[lane, 0, 1] == t


def test_episodes_hold_what_a_replay_needs() -> None:
    play = collector()
    seen = play.collect(None, jax.random.key(0), 12)
    assert len(seen.episodes) == int((seen.played.terminated | seen.played.truncated).sum()) >= 8
    for episode in seen.episodes:
        assert episode.length == 3 + episode.seed % 4 == len(episode.actions)
        assert episode.ended == ("truncated" if episode.seed % 2 else "terminated")
        np.testing.assert_array_equal(episode.returns, episode.actions.sum(0))
    assert [episode.length for episode in play.present()] == [int(t) for t in seen.rollout.last_observation[:, 0, 1]]


def test_hidden_ends_are_told_to_nobody_but_the_statistics() -> None:
    visible, hidden = (collector(episode_ends=ends).collect(None, jax.random.key(0), 12) for ends in ("visible", "hidden"))
    assert not hidden.rollout.terminated.any()
    assert not hidden.rollout.truncated.any()
    assert not hidden.rollout.bootstrap.any()
    jax.tree.map(np.testing.assert_array_equal, hidden.played, visible.played)
    np.testing.assert_array_equal(hidden.rollout.observation, visible.rollout.observation)


@pytest.mark.parametrize("games", [1, 2, 5])
def test_overlap_changes_nothing(games: int) -> None:
    together, plain = (collector(games=games, overlap=overlap) for overlap in (True, False))
    for call in range(3):
        same(*(play.collect(None, jax.random.key(call), 12) for play in (together, plain)))


def test_a_rebuilt_collector_goes_on_exactly() -> None:
    play = collector()
    play.collect(None, jax.random.key(0), 7)
    again = collector(state=play.state())
    for call in range(1, 4):
        same(*(one.collect(None, jax.random.key(call), 7) for one in (play, again)))


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        collector(games=0)
    with pytest.raises(ValueError, match="at least 1"):
        collector().collect(None, jax.random.key(0), 0)
    with pytest.raises(ValueError, match="5 games with seed 3"):
        collector(games=4, state=collector().state())


def test_a_real_emulator_overlapped_resumed_and_replayed() -> None:
    game = load_game("atari/breakout", {"max_frames_per_episode": 90})
    together, plain = (collector(game=game, games=3, overlap=overlap) for overlap in (True, False))
    first = together.collect(None, jax.random.key(0), 15)
    same(first, plain.collect(None, jax.random.key(0), 15))
    state = together.state()
    resumed = collector(game=game, games=3, state=state)
    second = together.collect(None, jax.random.key(1), 15)
    same(second, resumed.collect(None, jax.random.key(1), 15))
    episode = second.episodes[0]
    assert episode.ended == "truncated"
    session = game.open(episode.seed)
    for action, reward in zip(episode.actions, episode.rewards, strict=True):
        np.testing.assert_array_equal(session.step(action).reward, reward)
    t, lane = next(iter(second.last_of_episode))
    np.testing.assert_array_equal(session.timestep.observation, second.last_of_episode[t, lane])
    for play in (together, plain, resumed):
        play.close()
