"""Rollouts of device games: a game whose every number is known, and real games against interactive sessions."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.agent import Action
from rlhf_games.core.game import DeviceGame, GameSpec, TimeStep
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.rollout.device import Lanes, Transition, episode_seed, start, unroll
from rlhf_games.workspace import load_game

CHUNK, CHUNKS, LANES, BASE = 17, 3, 6, 2**32 - 5


class Draw(NamedTuple):
    """What the agent below left for its learner."""

    number: jax.Array


class Uniform:
    """Legal actions at random; the parameter is added to its values. With ``fixed``, the observation decides and not the key."""

    def __init__(self, fixed: bool = False) -> None:
        self.fixed = fixed

    def act(self, params: jax.Array, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        number = jax.random.uniform(key, legal_action_mask.shape)
        if self.fixed:
            number = jnp.cos(self._sum(observation)[:, None] * 7 + jnp.arange(legal_action_mask.shape[1], dtype=jnp.float32)[None])
        return Action(jnp.argmax(jnp.where(legal_action_mask, number, -2.0), -1).astype(jnp.int32), Draw(number[:, 0]))

    def value(self, params: jax.Array, observation: jax.Array) -> jax.Array:
        return params + self._sum(observation)

    def _sum(self, observation: jax.Array) -> jax.Array:
        rows = observation.reshape(observation.shape[0], -1).astype(jnp.float32)
        return rows @ jnp.arange(rows.shape[1], dtype=jnp.float32)


class Clock(NamedTuple):
    """State of ``Counting``."""

    luck: jax.Array
    t: jax.Array
    reward: jax.Array


class Counting:
    """Two seats see (luck of the episode, t, seat) and earn their own action; ends after 2 + luck steps, truncated for odd luck."""

    spec = GameSpec("test/counting", "1", 2, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, False, "Count.")

    def init(self, key: jax.Array) -> Clock:
        return Clock(jax.random.randint(key, (), 0, 4), jnp.int32(0), jnp.zeros(2))

    def step(self, state: Clock, action: jax.Array, key: jax.Array) -> Clock:
        return Clock(state.luck, state.t + 1, action.astype(jnp.float32))

    def timestep(self, state: Clock) -> TimeStep[jax.Array]:
        seen = jnp.stack([jnp.stack([state.luck, state.t, jnp.int32(seat)]) for seat in (0, 1)]).astype(jnp.float32)
        over, odd = state.t >= 2 + state.luck, state.luck % 2 == 1
        return TimeStep(seen, state.reward, over & ~odd, over & odd, jnp.ones((2, 3), bool), jnp.ones((2,), bool))


def pay(params: jax.Array, transition: Transition, key: jax.Array) -> jax.Array:
    """A reward that depends on every part of the transition."""
    after = transition.next_observation.reshape(len(transition.reward), -1).astype(jnp.float32)
    return params * transition.reward + 10 * after.sum(-1) + transition.action.astype(jnp.float32)


@lru_cache
def program(game: DeviceGame, fixed: bool, steps: int, hide: bool) -> Any:
    """Compiled once per game and setting."""
    played = partial(unroll, game, Uniform(fixed), pay, steps=steps, hide_ends=hide, keep_next=True)  # type: ignore[arg-type]
    return jax.jit(lambda lanes, key: played(jnp.float32(0.5), jnp.float32(2), lanes, key))


def collect(
    game: DeviceGame, *, hide: bool = False, fixed: bool = False, chunks: int = CHUNKS, steps: int = CHUNK
) -> tuple[Any, Any, Lanes]:
    """``chunks`` unrolls in a row, laid end to end as NumPy: rollout, what was played, and the lanes at the end."""
    lanes, pieces = start(game, BASE, LANES), []
    for i in range(chunks):
        lanes, rollout, played = program(game, fixed, steps, hide)(lanes, jax.random.key(i))
        pieces.append((rollout._replace(last_observation=None), played))
    rollout, played = jax.tree.map(lambda *x: np.concatenate(x), *pieces)
    return rollout, played, lanes


GAMES: dict[str, tuple[str, dict[str, Any]]] = {
    "both kinds of end, chance": ("minatar/breakout", {"max_steps": 9}),
    "two seats in turn": ("board/tic_tac_toe", {}),
}


@lru_cache
def game_of(name: str) -> Any:
    """A game whose episodes are shorter than a chunk but do not fit into it evenly."""
    return Counting() if name == "counting" else load_game(GAMES[name][0], GAMES[name][1])


@pytest.fixture(params=["counting", *GAMES])
def game(request: pytest.FixtureRequest) -> Any:
    return game_of(request.param)


def test_every_episode_has_its_own_seed(game: Any) -> None:
    _, played, lanes = collect(game)
    over = played.terminated | played.truncated
    assert over.sum() > LANES  # some lane has finished more than one
    seeds = []
    for lane in range(LANES):
        episode = np.concatenate([[0], np.cumsum(over[:, lane])[:-1]])
        expected = [int(episode_seed(jnp.uint32(BASE), jnp.int32(lane), jnp.int32(number))) for number in range(episode[-1] + 1)]
        np.testing.assert_array_equal(played.seed[:, lane], np.array(expected, np.uint32)[episode])
        seeds += expected
        assert int(lanes.episode[lane]) == over[:, lane].sum()
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize("name", GAMES)
def test_seed_and_actions_replay_in_a_session(name: str) -> None:
    """Also where an episode goes on from one unroll to the next: three were laid end to end."""
    game = game_of(name)
    rollout, played, lanes = collect(game)
    over = played.terminated | played.truncated
    for lane in range(LANES):
        session, length = game.open(int(played.seed[0, lane])), 0
        for t in range(CHUNK * CHUNKS):
            seen = session.timestep
            np.testing.assert_array_equal(seen.observation, rollout.observation[t, lane])
            np.testing.assert_array_equal(seen.legal_action_mask, rollout.legal_action_mask[t, lane])
            np.testing.assert_array_equal(seen.acting, rollout.acting[t, lane])
            after = session.step(rollout.action[t, lane])
            length += 1
            np.testing.assert_array_equal(after.reward, played.reward[t, lane])
            np.testing.assert_array_equal(after.observation, played.next_observation[t, lane])
            assert (after.terminated, after.truncated, length) == (
                played.terminated[t, lane],
                played.truncated[t, lane],
                played.length[t, lane],
            )
            if over[t, lane] and t + 1 < CHUNK * CHUNKS:
                session, length = game.open(int(played.seed[t + 1, lane])), 0
        assert int(lanes.t[lane]) == (0 if over[-1, lane] else length)


def test_returns_and_lengths_add_up(game: Any) -> None:
    _, played, _ = collect(game)
    running, length = np.zeros((LANES, game.spec.players)), np.zeros(LANES)
    for t in range(CHUNK * CHUNKS):
        running, length = running + played.reward[t], length + 1
        np.testing.assert_allclose(played.episode_return[t], running)
        np.testing.assert_array_equal(played.length[t], length)
        over = played.terminated[t] | played.truncated[t]
        running[over], length[over] = 0, 0


def test_the_last_observation_is_the_episodes_own_and_the_next_is_a_fresh_start() -> None:
    rollout, played, _ = collect(game_of("counting"))
    over = played.terminated | played.truncated
    luck, t = played.next_observation[..., 0, 0], played.next_observation[..., 0, 1]
    assert np.array_equal(over, t == 2 + luck)
    assert np.array_equal(t, played.length)
    assert np.array_equal(rollout.observation[1:, ..., 1][over[:-1]], np.zeros((over[:-1].sum(), 2)))
    kept = ~over[:-1]
    np.testing.assert_array_equal(rollout.observation[1:][kept], played.next_observation[:-1][kept])


def test_the_learner_is_paid_by_the_reward_function(game: Any) -> None:
    rollout, played, _ = collect(game)
    after = played.next_observation.astype(np.float32)
    expected = 2 * played.reward + 10 * after.reshape(*after.shape[:3], -1).sum(-1) + rollout.action
    np.testing.assert_allclose(rollout.reward, expected, rtol=1e-6)


def test_chance_in_rewards_is_new_at_every_step() -> None:
    def lottery(params: None, transition: Transition, key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, transition.reward.shape)

    play = partial(unroll, game_of("counting"), Uniform(), lottery, jnp.float32(0), None, steps=5, hide_ends=False)  # type: ignore[arg-type]
    _, rollout, _ = jax.jit(play)(start(game_of("counting"), BASE, LANES), jax.random.key(0))
    assert len(np.unique(rollout.reward)) == rollout.reward.size
    assert not np.intersect1d(rollout.reward, rollout.extras.number).size  # nor is it the agent's


def test_only_truncated_episodes_are_bootstrapped() -> None:
    rollout, played, _ = collect(game_of("counting"))
    assert played.truncated.any()
    assert played.terminated.any()
    value = 0.5 + played.next_observation @ np.array([0, 1, 2], np.float32)
    np.testing.assert_allclose(rollout.bootstrap, np.where(played.truncated[..., None], value, 0), rtol=1e-6)
    np.testing.assert_array_equal(rollout.terminated, played.terminated)
    np.testing.assert_array_equal(rollout.truncated, played.truncated)


def test_hidden_ends_are_hidden_from_the_learner_only() -> None:
    open_rollout, open_played, _ = collect(game_of("counting"))
    rollout, played, _ = collect(game_of("counting"), hide=True)
    assert not rollout.terminated.any()
    assert not rollout.truncated.any()
    assert not rollout.bootstrap.any()
    jax.tree.map(np.testing.assert_array_equal, played, open_played)
    np.testing.assert_array_equal(rollout.observation, open_rollout.observation)


@pytest.mark.parametrize("name", ["counting", "both kinds of end, chance"])
def test_two_halves_are_one_whole(name: str) -> None:
    """With an agent that needs no key, how the steps are cut into calls changes nothing."""
    game = game_of(name)
    whole, halves = (collect(game, fixed=True, chunks=chunks, steps=steps) for chunks, steps in ((1, 20), (2, 10)))
    jax.tree.map(np.testing.assert_array_equal, whole, halves)


def test_last_observation_is_what_the_next_call_starts_with() -> None:
    lanes = start(Counting(), 3, LANES)
    lanes, first, _ = program(game_of("counting"), False, CHUNK, False)(lanes, jax.random.key(0))
    _, second, _ = program(game_of("counting"), False, CHUNK, False)(lanes, jax.random.key(1))
    np.testing.assert_array_equal(first.last_observation, second.observation[0])


def test_extras_keep_their_seats(game: Any) -> None:
    """The agent leaves its first random number; where that is the largest of all legal ones, action 0 was chosen."""
    rollout, _, _ = collect(game)
    assert rollout.extras.number.shape == rollout.action.shape
    assert len(np.unique(rollout.extras.number)) > rollout.action.size * 0.9
    chosen = rollout.action == 0
    assert rollout.extras.number[chosen].mean() > rollout.extras.number[~chosen].mean() + 0.1
