"""PPO in a game that a seat may leave: there is nothing after that, however good the others have it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.core.game import GameSpec, TimeStep
from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.rollout.device import Transition, start, unroll
from rlhf_games.rollout.evaluate import evaluate
from rlhf_games.testing import check_game
from rlhf_games.workspace import load_agent

LENGTH = 4


class State(NamedTuple):
    t: jax.Array
    out: jax.Array
    left: jax.Array
    """Who went just now."""


class Leaving:
    """Two seats at once, four steps. Leaving pays 2 at once; who is still there at the end earns 20. Seats see the time."""

    spec = GameSpec(
        "test/leaving", "1", 2, Observation((LENGTH,), "float32", "vector"), Discrete(("stay", "leave")), 1.0, False, "Made up.",
        frame_shape=(8, 8),
    )  # fmt: skip

    def init(self, key: jax.Array) -> State:
        return State(jnp.int32(0), jnp.zeros(2, bool), jnp.zeros(2, bool))

    def step(self, state: State, action: jax.Array, key: jax.Array) -> State:
        left = (action == 1) & ~state.out
        return State(state.t + 1, state.out | left, left)

    def timestep(self, state: State) -> TimeStep[jax.Array]:
        over = (state.t >= LENGTH) | jnp.all(state.out)
        earned = jnp.where(state.left, 2.0, jnp.where((state.t >= LENGTH) & ~state.out, 20.0, 0.0))
        seen = jnp.broadcast_to(jax.nn.one_hot(state.t, LENGTH)[None], (2, LENGTH))
        return TimeStep(seen, earned, over, over & False, jnp.ones((2, 2), bool), ~state.out, state.out)

    def draw(self, state: Any) -> Any:
        return np.full((8, 8, 3), int(state.t), np.uint8)

    def open(self, seed: int) -> Any:
        return DeviceSession(self, seed)


def pay(params: None, transition: Transition, key: jax.Array) -> jax.Array:
    return transition.reward


def test_leaving_fulfils_the_contract() -> None:
    check_game(Leaving(), steps=100, deterministic=True)


def test_it_learns_to_stay() -> None:
    """Rollouts of one step, so that every move is cut off from what follows: who leaves must not be worth what those who stay are."""
    game, updates, steps = Leaving(), 300, 1
    agent: Any = load_agent("ppo", {"learning_rate": 5e-3, "hidden": (16,), "minibatches": 2, "discount": 1.0, "entropy_weight": 0.0})

    def one(carry: Any, number: jax.Array) -> Any:
        state, lanes = carry
        play_key, learn_key = jax.random.split(jax.random.fold_in(jax.random.key(0), number))
        lanes, rollout, _ = unroll(game, agent, pay, state.params, None, lanes, play_key, steps=steps, hide_ends=False)
        return (agent.update(state, rollout, learn_key, jnp.float32(0.0))[0], lanes), None

    program = jax.jit(lambda state, lanes: jax.lax.scan(one, (state, lanes), jnp.arange(updates))[0][0])
    state = program(agent.init(jax.random.key(0), game.spec), start(game, 0, 96))
    returns = evaluate(game, agent, state.params, 1, 64, LENGTH).returns
    assert returns.mean() > 18, "2 for who leaves, 20 for who stays"
