"""The folder of a run that has published a policy and recorded a few of its games: real game, real agent, weights as they are drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rlhf_games.arena.insight import Mind
from rlhf_games.core.keys import step_key
from rlhf_games.feedback.store import Store
from rlhf_games.published.container import About
from rlhf_games.published.models import Publication
from rlhf_games.published.publishing import publish
from rlhf_games.published.run import PublishedRun
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.workspace import load_agent, load_game


def publish_fresh(folder: Path, game_name: str, iteration: int = 0, seed: int = 0, members: int = 3) -> Publication:
    """Publishes an agent that has learned nothing, and reads it back."""
    game, agent = load_game(game_name), load_agent("ppo")
    ensemble = RewardEnsemble.build(game.spec, NetworkConfig(), members)
    key = jax.random.key(seed + iteration)
    about = About(
        "tiny", iteration, 1000 * iteration, f"tiny/{iteration}", True, 1.0, game_name, dict(game.spec.options), "ppo", {}, {}, members
    )
    publish(folder, about, agent.params(agent.init(key, game.spec)), ensemble.initial(key))
    return PublishedRun.open(folder).newest()


def record(mind: Mind, game: Any, seed: int, steps: int, at: float = 0.0) -> Replay:
    """An episode that the policy plays, or its beginning."""
    session = game.open(seed)
    recorder = SessionRecorder(session, seed, player=("agent",) * game.spec.players, policy=mind.about.policy, clock=lambda: at)
    seen = session.timestep
    for t in range(steps):
        seen = recorder.step(mind.policy(seen.observation, step_key(seed, t), seen.legal_action_mask))
        if seen.terminated or seen.truncated:
            break
    return recorder.replay()


def make_run(folder: Path, game_name: str = "minatar/breakout", seeds: tuple[int, ...] = (0, 1, 2, 3), steps: int = 60) -> Path:
    """``folder`` as a run keeps it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"name": "tiny", "game": {"name": game_name}, "feedback": {"budget": 100}}))
    mind = publish_fresh(folder, game_name)
    replays = [record(mind, mind.game, seed, steps, at=10.0 + seed) for seed in seeds]
    with Store.open(folder / "store.sqlite") as store:
        store.add_replays(replays)
    return folder


def moved(replay: Replay) -> bool:
    """Whether different actions were taken in it."""
    return len(np.unique(replay.actions)) > 1
