"""Runs in the environment of the peer stable-baselines3: its PPO on Atari Pong, paid by the game's own reward.

One JSON argument: games, steps, epochs, minibatch (rows), updates. Each line on standard input asks for ``updates`` updates; the answer
is their time. Warms up before the first. Emulators run one after the other in this process (``DummyVecEnv``), the library's default.
"""

import json
import sys
import time

import ale_py
import gymnasium
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_atari_env
from stable_baselines3.common.vec_env import VecFrameStack


def main() -> None:
    """Answers until its input ends."""
    settings = json.loads(sys.argv[1])
    gymnasium.register_envs(ale_py)
    games = VecFrameStack(make_atari_env("PongNoFrameskip-v4", n_envs=settings["games"], seed=0), n_stack=4)
    model = PPO(
        "CnnPolicy",
        games,
        n_steps=settings["steps"],
        batch_size=settings["minibatch"],
        n_epochs=settings["epochs"],
        learning_rate=2.5e-4,
        clip_range=0.1,
        ent_coef=0.01,
        device="cpu",
        seed=0,
    )
    rollout = settings["games"] * settings["steps"]
    model.learn(rollout)
    for _ in sys.stdin:
        begin = time.perf_counter()
        model.learn(rollout * settings["updates"], reset_num_timesteps=False)
        print(json.dumps({"seconds": time.perf_counter() - begin}), flush=True)


if __name__ == "__main__":
    main()
