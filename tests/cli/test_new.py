"""A new lab works as it is: its game and its agent are found, fulfil their contracts, and the agent learns the game."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games import workspace
from rlhf_games.cli.main import main
from rlhf_games.cli.new import make_lab as new_lab
from rlhf_games.core.agent import Agent
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame
from rlhf_games.experiment.files import load_experiment
from rlhf_games.rollout.device import start, unroll


@pytest.fixture
def lab(tmp_path: Path, fresh_workspace: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    assert main(["new", str(tmp_path / "my-lab"), "--game", "garden", "--agent", "climber"]) == 0
    monkeypatch.chdir(tmp_path / "my-lab" / "games")
    workspace.refresh()
    return tmp_path / "my-lab"


def test_found_beside_the_built_in_ones_from_inside(lab: Path) -> None:
    names = [card.name for card in workspace.cards()]
    assert "garden/apples" in names
    assert len(names) > 5
    assert {"climber", "ppo"} <= set(workspace.agents())
    assert (lab / ".gitignore").read_text().endswith("runs/\n")
    pages = [page.read_text() for page in lab.rglob("*.md")]
    assert len(pages) == 5
    assert not any("$" in page for page in pages)


def test_nothing_is_overwritten(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()}
    assert main(["new", str(lab)]) == 2
    assert "not empty" in capsys.readouterr().err
    assert main(["new", str(lab / "README.md")]) == 2
    assert {path: path.read_bytes() for path in lab.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["two words", "1st", "", "class", "../up", "a/b"])
def test_names_must_be_python_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="Python name"):
        new_lab(tmp_path / "lab", game=name)
    assert not (tmp_path / "lab").exists()


def test_the_game_by_hand(lab: Path) -> None:
    session = workspace.load_game("garden/apples", {"rows": 3, "columns": 3, "apples": 2}).open(5)
    spec = session.spec
    assert spec.name == "garden/apples"
    stay, left, right = (np.array([i], np.int32) for i in range(3))
    rewards = []
    for _ in range(2):  # an apple takes two decisions to fall; the basket reaches it from the middle in one, from anywhere in two
        for _ in range(2):
            basket, apple = (np.argwhere(session.timestep.observation[0, ..., plane])[0] for plane in range(2))
            side = int(np.sign(apple[1] - basket[1]))
            rewards.append(float(session.step((stay, right, left)[side]).reward[0]))
    assert rewards == [0.0, 1.0, 0.0, 1.0]
    assert session.timestep.terminated
    frames = session.frames()
    assert frames.shape == (1, *spec.frame_shape, 3)
    assert frames.dtype == np.uint8


def test_game_and_agent_fulfil_their_contracts(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", "game", "garden/apples", "--steps", "200"]) == 0
    assert main(["check", "agent", "climber", "--game", "garden/apples"]) == 0
    assert "FAIL" not in capsys.readouterr().out.upper()


def test_its_experiment_runs_from_inside(lab: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experiment = load_experiment("first")
    assert (experiment.game.name, experiment.agent.name) == ("garden/apples", "climber")
    small = {"steps": 3_200, "iterations": 2, "feedback.budget": 40, "evaluation_episodes": 8, "model.fit.max_epochs": 4, "record.lanes": 4}
    assert main(["run", "first", "--out", str(lab / "runs" / "first"), *(f"--set={key}={value}" for key, value in small.items())]) == 0
    out = capsys.readouterr().out
    assert f"{lab / 'experiments' / 'first' / 'experiment.toml'}): climber plays garden/apples, 3,200 steps, 40 answers" in out
    assert json.loads((lab / "runs" / "first" / "summary.json").read_text())["answers"] == 40
    assert main(["report", str(lab / "runs" / "first")]) == 0


def _train(game: DeviceGame, agent: Agent, updates: int) -> list[float]:
    """Returns the mean return of the episodes that ended in each update."""

    def paid(params: Any, transition: Any, key: Any) -> jax.Array:
        return jnp.asarray(transition.reward)

    @jax.jit
    def update(learner: Any, lanes: Any, key: jax.Array, progress: jax.Array) -> Any:
        play, learn = jax.random.split(key)
        lanes, rollout, played = unroll(game, agent, paid, agent.params(learner), (), lanes, play, steps=25, hide_ends=False)
        learner, metrics = agent.update(learner, rollout, learn, progress)
        ended = played.terminated.astype(jnp.float32)[..., None]
        return learner, lanes, jnp.sum(ended * played.episode_return) / jnp.sum(ended), metrics

    learner, lanes = agent.init(jax.random.key(0), game.spec), start(game, 7, 32)
    returns = []
    for i in range(updates):
        learner, lanes, mean, metrics = update(learner, lanes, jax.random.fold_in(jax.random.key(1), i), jnp.float32(i / updates))
        assert all(bool(jnp.isfinite(value)) for value in metrics.values())
        returns.append(float(mean))
    return returns


def test_the_agent_learns_the_game(lab: Path) -> None:
    game = workspace.load_game("garden/apples", {"apples": 5})
    assert isinstance(game, DeviceGame)
    returns = _train(game, workspace.load_agent("climber"), 100)
    assert np.mean(returns[:4]) < 2.5
    assert np.mean(returns[-10:]) > 4.5
