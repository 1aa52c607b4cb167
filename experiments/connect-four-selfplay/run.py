"""Parameter-sharing PPO against itself at a two-seat board game, measured against uniformly random players.

Usage: python experiments/connect-four-selfplay/run.py [--game board/connect_four] [--moves 2000000] [--seed 0] [--games 400]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import jax
import jax.numpy as jnp

from rlhf_games.rollout.device import Transition, start, unroll
from rlhf_games.rollout.evaluate import evaluate_versus_random
from rlhf_games.workspace import load_agent, load_game

LANES, STEPS = 128, 32
CONFIG = {"learning_rate": 1e-3, "hidden": (128, 64), "epochs": 4, "minibatches": 8, "discount": 0.99, "entropy_weight": 0.03}


def own_reward(params: None, transition: Transition, key: jax.Array) -> jax.Array:
    """The game's own: +1 for winning, -1 for losing."""
    return transition.reward


def main() -> None:
    """Trains, plays against random at five points on the way, and prints one JSON line per point."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--game", default="board/connect_four")
    parser.add_argument("--moves", type=int, default=1_500_000, help="moves of self-play, of all games together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--games", type=int, default=400, help="games against random at each point, half in each seat")
    args = parser.parse_args()
    game: Any = load_game(args.game)
    agent: Any = load_agent("ppo", CONFIG)
    updates, points = max(5, args.moves // (LANES * STEPS)), 5

    @jax.jit
    def learn(state: Any, lanes: Any, first: jax.Array) -> Any:
        def one(carry: Any, number: jax.Array) -> Any:
            state, lanes = carry
            play_key, learn_key = jax.random.split(jax.random.fold_in(jax.random.key(args.seed), number))
            lanes, rollout, _ = unroll(game, agent, own_reward, state.params, None, lanes, play_key, steps=STEPS, hide_ends=False)
            state, metrics = agent.update(state, rollout, learn_key, number.astype(jnp.float32) / updates)
            return (state, lanes), metrics

        return jax.lax.scan(one, (state, lanes), first + jnp.arange(updates // points))

    state, lanes = agent.init(jax.random.key(args.seed), game.spec), start(game, args.seed, LANES)
    began = time.perf_counter()
    for point in range(points + 1):
        match = evaluate_versus_random(game, agent, state.params, args.games, seed=args.seed + 1_000)
        done = point * (updates // points) * LANES * STEPS
        line = {"moves": done, "won": match.win_share, "lost": match.loss_share, "seconds": round(time.perf_counter() - began, 1)}
        print(json.dumps(line), flush=True)
        if point < points:
            (state, lanes), _ = learn(state, lanes, jnp.int32(point * (updates // points)))


if __name__ == "__main__":
    main()
