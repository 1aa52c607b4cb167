"""Rollouts that are cut while a seat waits: its last move is learned from once it is known what came of it."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.agent import Action, Rollout
from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.learning.returns import rollout_advantages
from rlhf_games.rollout.device import Transition, start, unroll
from rlhf_games.rollout.turns import carried_on, nothing_pending


class State(NamedTuple):
    t: jax.Array
    reward: jax.Array
    length: jax.Array


class Turns:
    """Two seats in turn, seat 0 first. The move that ends the game (after 2 to 5, as the seed says) costs the other seat 1."""

    spec = GameSpec("test/turns", "1", 2, Observation((2,), "float32", "vector"), Discrete(("a", "b")), 1.0, True, "Made up.")

    def init(self, key: jax.Array) -> State:
        return State(jnp.int32(0), jnp.zeros(2), jax.random.randint(key, (), 2, 6))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        t = state.t + 1
        other = (jnp.arange(2) != state.t % 2).astype(jnp.float32)
        return State(t, jnp.where(t >= state.length, -other, jnp.zeros(2)), state.length)

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        """Both seats see the time and their number."""
        seen = jnp.stack([jnp.full(2, state.t), jnp.arange(2)], 1).astype(jnp.float32)
        over = state.t >= state.length
        return TimeStep(seen, state.reward, over, over & False, jnp.ones((2, 2), bool), jnp.arange(2) == state.t % 2)


class Clerk:
    """Plays about at random, and values a sight at 1 more than its time; what a seat that waits sees, at 1,000."""

    def init(self, key: jax.Array, spec: GameSpec) -> Any:
        return ()

    def params(self, state: Any) -> Any:
        return state

    def value(self, params: Any, observation: jax.Array) -> jax.Array:
        mine = observation[:, 0] % 2 == observation[:, 1]
        return jnp.where(mine, observation[:, 0] + 1, 1000.0)

    def act(self, params: Any, observation: jax.Array, key: jax.Array, legal: jax.Array) -> Action:
        return Action(jax.random.randint(key, observation.shape[:1], 0, 2), {"mark": observation[:, 0]})


GAME, CLERK = Turns(), Clerk()


def pay(params: None, transition: Transition, key: jax.Array) -> jax.Array:
    return transition.reward


def play(parts: int, steps: int, lanes: int, *, hide_ends: bool = False) -> list[Rollout]:
    """``parts`` rollouts in a row, as a learner sees them."""
    games, pending = start(GAME, 0, lanes), nothing_pending(CLERK, GAME.spec, lanes, hide_ends)  # type: ignore[arg-type]
    assert pending is not None
    seen = []
    for _ in range(parts):
        games, rollout, _ = unroll(GAME, CLERK, pay, (), None, games, jax.random.key(1), steps=steps, hide_ends=hide_ends)  # type: ignore[arg-type]
        rollout, pending = carried_on(rollout, pending)
        seen.append(rollout)
    return seen


def targets(rollout: Rollout) -> list[tuple[int, int, float]]:
    """Lane, seat and target of each move that counts, γ = 0.9 and λ = 0, by time, lane and seat."""
    lanes = rollout.reward.shape[1]
    flat = (-1, *rollout.observation.shape[3:])
    value = CLERK.value((), rollout.observation.reshape(flat)).reshape(rollout.reward.shape)
    last = CLERK.value((), rollout.last_observation.reshape(flat)).reshape(lanes, 2)
    found = rollout_advantages(rollout, value, last, discount=0.9, trace=0.0)
    assert np.array_equal(rollout.extras["mark"], rollout.observation[..., 0]), "moves keep their own rows together"
    where = np.argwhere(np.asarray(found.counts))
    return [(int(n), int(p), round(float(found.target[t, n, p]), 4)) for t, n, p in where]


def test_what_the_next_rollout_begins_with_belongs_to_the_last_move_of_this_one() -> None:
    # A game of two moves: seat 0, seat 1, over, at -1 for seat 0. Rollouts of one step see the moves one by one.
    seeds = [lane for lane in range(16) if int(start(GAME, 0, 16).state.length[lane]) == 2]
    first, second = play(2, 1, 16)
    for lane in seeds:
        assert [entry for entry in targets(first) if entry[0] == lane] == [], "nobody knows yet what came of seat 0's move"
        assert [entry for entry in targets(second) if entry[0] == lane] == [(lane, 0, -1.0), (lane, 1, 0.0)]
    assert seeds


@pytest.mark.parametrize("steps", [1, 2, 3, 8])
@pytest.mark.parametrize("hide_ends", [False, True])
def test_cut_rollouts_teach_what_a_whole_one_teaches(steps: int, hide_ends: bool) -> None:
    # Without a trace a target needs no more than the seat's next move; so wherever the cuts are, every move has the same target. Only
    # moves whose outcome lies after the last step are missing, and they are the same ones.
    (whole,) = play(1, 24, 4, hide_ends=hide_ends)
    parts = play(24 // steps, steps, 4, hide_ends=hide_ends)
    expected = Counter(targets(whole))
    found = Counter(entry for part in parts for entry in targets(part))
    assert sum(expected.values()) >= 24 * 4 - 2 * 4
    assert found == expected


def test_where_no_seat_waits_nothing_is_carried() -> None:
    one = GameSpec(**(vars(GAME.spec) | {"players": 1}))
    together = GameSpec(**(vars(GAME.spec) | {"turn_based": False}))
    assert nothing_pending(CLERK, one, 4, hide_ends=True) is None  # type: ignore[arg-type]
    assert nothing_pending(CLERK, together, 4, hide_ends=False) is None  # type: ignore[arg-type]
