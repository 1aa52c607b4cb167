"""PPO learns what is known to be true: the probes' values and actions, and not to lose at tic-tac-toe."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.rollout.device import Transition, start, unroll
from rlhf_games.rollout.evaluate import evaluate, evaluate_versus_random
from rlhf_games.testing import IDENTITY_PROBES, ONE_STEP_PROBES, IdentityBox, Probe
from rlhf_games.workspace import load_agent, load_game

DISCOUNT = 0.8
PROBES = {
    "learning_rate": 5e-3,
    "hidden": (16, 16),
    "activation": "tanh",
    "minibatches": 2,
    "entropy_weight": 0.0,
    "discount": DISCOUNT,
}


def own_reward(params: None, transition: Transition, key: jax.Array) -> jax.Array:
    return transition.reward


def learn(game: Any, config: dict[str, Any], *, updates: int, lanes: int, steps: int) -> tuple[Any, Any]:
    """The agent and its parameters after ``updates × lanes × steps`` steps, as one compiled program."""
    agent: Any = load_agent("ppo", config)

    def one(carry: Any, number: jax.Array) -> Any:
        state, lanes = carry
        play_key, learn_key = jax.random.split(jax.random.fold_in(jax.random.key(0), number))
        lanes, rollout, _ = unroll(game, agent, own_reward, state.params, None, lanes, play_key, steps=steps, hide_ends=False)
        return (agent.update(state, rollout, learn_key, number.astype(jnp.float32) / updates)[0], lanes), None

    program = jax.jit(lambda state, lanes: jax.lax.scan(one, (state, lanes), jnp.arange(updates))[0][0])
    return agent, program(agent.init(jax.random.key(0), game.spec), start(game, 0, lanes)).params


@pytest.mark.parametrize("probe", ONE_STEP_PROBES + IDENTITY_PROBES, ids=lambda probe: probe.probe)
def test_probe(probe: Probe) -> None:
    """Within 19,200 steps: values to 0.05 (a box keeps some noise: 0.15), the right action in at least 98 % (a box: within 0.1)."""
    agent, params = learn(probe, PROBES, updates=150, lanes=32, steps=4)
    answers, box = probe.answers(DISCOUNT), isinstance(probe, IdentityBox)
    seen = jnp.asarray(answers.observation)
    told = agent.explain(params, seen, jnp.ones((len(seen), probe.actions.n), bool))
    np.testing.assert_allclose(told.value, answers.value, atol=0.15 if box else 0.05)
    if box:
        np.testing.assert_allclose(told.probabilities, answers.action, atol=0.1)
    elif answers.action is not None:
        tiled = jnp.repeat(seen, 200, 0)
        chosen = agent.act(params, tiled, jax.random.key(1), jnp.ones((len(tiled), probe.actions.n), bool)).action
        right = np.asarray(chosen) == np.repeat(answers.action, 200, 0)
        assert right.reshape(len(tiled), -1).all(1).mean() >= 0.98


def test_self_play_at_tic_tac_toe() -> None:
    """One network in both seats learns from its own games to beat random players from either seat."""
    game = load_game("board/tic_tac_toe")
    config = {"learning_rate": 6e-3, "hidden": (64, 64), "minibatches": 4, "entropy_weight": 0.02}
    agent, params = learn(game, config, updates=220, lanes=128, steps=16)
    match = evaluate_versus_random(game, agent, params, 400, seed=7)
    for seat in (0, 1):
        score = match.score[match.seat == seat]
        assert (score > 0).mean() > 0.75
        assert (score < 0).mean() < 0.06
    against_itself = evaluate(game, agent, params, 3, 256, 20).returns
    assert np.array_equal(against_itself.sum(1), np.zeros(256))
    assert abs(against_itself[:, 0].mean()) < 0.25  # the seats share one network, and who starts is drawn
