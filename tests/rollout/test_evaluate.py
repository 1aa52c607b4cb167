"""Evaluation on a game whose lengths and returns follow from its seeds, and against random players."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.agent import Action
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.keys import step_key
from rlhf_games.core.spaces import Box, Discrete, MultiDiscrete, Observation
from rlhf_games.rollout.device import episode_seed
from rlhf_games.rollout.evaluate import evaluate, evaluate_versus_random, random_actions
from rlhf_games.testing import ConstantReward
from rlhf_games.workspace import load_game


class Clock(NamedTuple):
    """State of ``Race``."""

    length: jax.Array
    t: jax.Array
    reward: jax.Array


class Race:
    """Two seats earn 1 for action 2; ends after 1 to 9 steps, drawn by the seed. Past its end it goes on paying 100."""

    spec = GameSpec("test/race", "1", 2, Observation((1,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, False, "Run.")

    def init(self, key: jax.Array) -> Clock:
        return Clock(jax.random.randint(key, (), 1, 10), jnp.int32(0), jnp.zeros(2))

    def step(self, state: Clock, action: jax.Array, key: jax.Array) -> Clock:
        return Clock(state.length, state.t + 1, jnp.where(state.t >= state.length, 100.0, (action == 2).astype(jnp.float32)))

    def timestep(self, state: Clock) -> TimeStep[jax.Array]:
        over = state.t >= state.length
        return TimeStep(jnp.zeros((2, 1)), state.reward, over, over & False, jnp.ones((2, 3), bool), jnp.ones((2,), bool))


class Always:
    """Chooses its parameter."""

    def act(self, params: jax.Array, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        return Action(jnp.full((observation.shape[0],), params, jnp.int32), ())


class First:
    """The first legal action."""

    def act(self, params: jax.Array, observation: jax.Array, key: jax.Array, legal_action_mask: jax.Array) -> Action:
        return Action(jnp.argmax(legal_action_mask, -1).astype(jnp.int32), ())


RACE, ALWAYS = Race(), Always()


def lengths(seed: int, episodes: int) -> list[int]:
    seeds = [episode_seed(jnp.uint32(seed), jnp.int32(lane), jnp.int32(0)) for lane in range(episodes)]
    return [int(RACE.init(step_key(one, 0)).length) for one in seeds]


def play(seed: int, episodes: int = 12, max_steps: int = 100, action: int = 2) -> Any:
    return evaluate(RACE, ALWAYS, jnp.int32(action), seed, episodes, max_steps)  # type: ignore[arg-type]


def test_every_lane_stops_at_its_own_end() -> None:
    played = play(seed=2**32 - 1)
    expected = lengths(2**32 - 1, 12)
    assert len(set(expected)) > 3
    assert played.lengths.tolist() == expected
    assert played.returns.tolist() == [[length, length] for length in expected]
    assert played.finished.all()
    assert played.returns.shape == (12, 2)


def test_the_limit_cuts_off() -> None:
    played, expected = play(seed=1, max_steps=4), lengths(1, 12)
    assert played.lengths.tolist() == [min(length, 4) for length in expected]
    assert played.finished.tolist() == [length <= 4 for length in expected]
    assert 0 < played.finished.sum() < 12


def test_seeds_decide() -> None:
    again, other = play(seed=1).lengths.tolist(), play(seed=2).lengths.tolist()
    assert play(seed=1).lengths.tolist() == again != other
    assert play(seed=1, action=0).returns.sum() == 0


def test_against_random_each_seat_in_turn() -> None:
    match = evaluate_versus_random(RACE, ALWAYS, jnp.int32(2), 11, seed=3)  # type: ignore[arg-type]
    assert match.seat.tolist() == [0, 1] * 5 + [0]
    assert match.lengths.tolist() == lengths(3, 11)
    assert match.score.tolist() == match.lengths.tolist()  # the agent earns 1 a step in whichever seat
    assert match.win_share == 1
    assert match.loss_share == 0


def test_random_players_win_and_lose_at_a_board_as_often_as_chance_has_it() -> None:
    """The first legal cell against uniform cells: nobody plays well, so both win, and draws are rare."""
    match = evaluate_versus_random(load_game("board/tic_tac_toe"), First(), jnp.int32(0), 400, seed=1)  # type: ignore[arg-type]
    assert match.finished.all()
    assert set(match.lengths.tolist()) <= set(range(5, 10))
    assert set(match.score.tolist()) == {-1.0, 0.0, 1.0}  # an illegal move would end a game before the fifth
    assert 0.15 < match.loss_share < 0.85
    assert 0.15 < match.win_share < 0.85


def test_random_actions_are_uniform_over_what_is_legal() -> None:
    legal = jnp.tile(jnp.array([[True, False, True, True, False]]), (9_000, 1))
    drawn = np.bincount(np.asarray(random_actions(Discrete(tuple("abcde")), jax.random.key(0), legal)), minlength=5) / 9_000
    np.testing.assert_allclose(drawn, [1 / 3, 0, 1 / 3, 1 / 3, 0], atol=0.03)
    pairs = np.asarray(random_actions(MultiDiscrete((2, 3), ("on", "gear")), jax.random.key(0), legal))
    assert {tuple(pair) for pair in pairs.tolist()} == {(0, 0), (0, 1)}
    points = np.asarray(random_actions(Box((2,), (-1.0, 0.0), (1.0, 3.0)), jax.random.key(0), legal[:, :1]))
    np.testing.assert_allclose(points.min(0), [-1, 0], atol=0.01)
    np.testing.assert_allclose(points.max(0), [1, 3], atol=0.01)


def test_what_cannot_be_played_is_refused() -> None:
    with pytest.raises(UserError, match="at least one episode"):
        play(seed=1, episodes=0)
    with pytest.raises(UserError, match="one seat only"):
        evaluate_versus_random(ConstantReward(), ALWAYS, jnp.int32(0), 4, seed=1)  # type: ignore[arg-type]
