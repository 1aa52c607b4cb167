"""Runs in the environment of the peer rejax: PPO on gymnax's MinAtar Breakout, paid by the game's own reward.

One JSON argument: games, steps, epochs, minibatches, hidden, updates. Each line on standard input asks for ``updates`` updates; the
answer is their time. Compiles before the first.
"""

import importlib
import json
import sys
import time
from typing import Any

# by name, because our own environment does not have them, or has another version
jax: Any = importlib.import_module("jax")
gymnax: Any = importlib.import_module("gymnax")
rejax: Any = importlib.import_module("rejax")


def main() -> None:
    """Answers until its input ends."""
    settings = json.loads(sys.argv[1])
    environment, parameters = gymnax.make("Breakout-MinAtar")
    algorithm = rejax.get_algo("ppo").create(
        env=environment,
        env_params=parameters,
        num_envs=settings["games"],
        num_steps=settings["steps"],
        num_epochs=settings["epochs"],
        num_minibatches=settings["minibatches"],
        agent_kwargs={"activation": "relu", "hidden_layer_sizes": tuple(settings["hidden"])},
        learning_rate=1e-3,
        max_grad_norm=0.5,
    )

    train = jax.jit(lambda state: jax.lax.fori_loop(0, settings["updates"], lambda _, s: algorithm.train_iteration(s), state))
    state = jax.block_until_ready(train(algorithm.init_state(jax.random.key(0))))
    for _ in sys.stdin:
        begin = time.perf_counter()
        state = jax.block_until_ready(train(state))
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
