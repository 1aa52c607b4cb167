"""The folder of a run that has published what it learned, without the time that learning takes."""

from __future__ import annotations

import json
from pathlib import Path

import jax

from rlhf_games.feedback.store import Store
from rlhf_games.published.container import About
from rlhf_games.published.publishing import publish
from rlhf_games.reward.ensemble import RewardEnsemble
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.workspace import load_agent, load_game


def published_run(folder: Path, game: str, iteration: int = 1) -> Path:
    """A fresh agent and a fresh reward model, published as of ``iteration``; again: with other parameters."""
    loaded, agent = load_game(game), load_agent("ppo", {"hidden": [16]})
    ensemble = RewardEnsemble.build(loaded.spec, NetworkConfig(hidden=(8,)), 2)
    key = jax.random.key(iteration)
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"game": {"name": game}, "feedback": {"budget": 10}}))
    Store.open(folder / "store.sqlite").close()
    about = About(
        run="fresh",
        iteration=iteration,
        steps=0,
        policy=f"fresh/{iteration}",
        trusted=False,
        published_at=0.0,
        game=game,
        game_options={},
        agent="ppo",
        agent_config={"hidden": [16]},
        network={"hidden": [8]},
        members=2,
    )
    publish(folder, about, agent.params(agent.init(key, loaded.spec)), ensemble.initial(key))
    return folder
