"""CartPole: every step is worth 1, so comparisons are about length, and what is paid must not turn them upside down."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from rlhf_games import workspace
from rlhf_games.cli.progress import reward_notes
from rlhf_games.experiment.build import Bench
from rlhf_games.experiment.spec import (
    AgentChoice,
    Experiment,
    FeedbackConfig,
    GameChoice,
    ModelConfig,
    RecordConfig,
    RolloutConfig,
)
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.rollout.device import Transition

LAB = Path(__file__).resolve().parents[2] / "experiments" / "reward-zero" / "lab"


@pytest.fixture
def classic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(workspace.VARIABLE, str(LAB))
    workspace.refresh()
    yield
    monkeypatch.undo()
    workspace.refresh()


def test_longer_episodes_are_paid_more_and_measured_as_they_are_lived(classic: None, tmp_path: Path) -> None:
    experiment = Experiment(
        game=GameChoice("classic/cartpole"),
        agent=AgentChoice("ppo", {"hidden": (8,), "epochs": 1, "minibatches": 2}),
        steps=512,
        iterations=2,
        rollout=RolloutConfig(games=4, steps=64),
        record=RecordConfig(lanes=8, steps=128),
        model=ModelConfig(members=2),
        feedback=FeedbackConfig(budget=60, initial=0.8),
    )
    loop = Bench(experiment).loop(experiment, tmp_path / "answers.sqlite")
    seen: list[dict[str, float]] = []
    loop.run(lambda progress: seen.append(dict(progress.metrics)))
    assert len(loop.asker.episodes) == 16
    for metrics in seen:
        assert metrics["reward_model/zero_open"] < 1.0, "clips of unequal length say what a step is worth"
        assert metrics["reward_model/episodes"] == 16.0
        assert metrics["reward_model/episode_spearman"] > 0.9
        assert metrics["reward_model/episode_agreement"] > 0.9
        assert reward_notes(metrics, "median") == []
    # the same model with the convention alone: every episode's steps lie about zero, and length decides nothing any more
    params, recording = loop.state.model.params, loop.asker.episodes[-1]
    batch = loop.asker.reader.read([Clip((Segment(recording.id, 0, recording.length),))])
    steps = Transition(batch.observation[0], batch.action[0], batch.next_observation[0], batch.reward[0])
    raw = np.asarray(loop.ensemble.raw(params, loop.ensemble.encode(steps)))
    assert (raw.mean(axis=1) > 0).all(), "living is good"
    assert (np.asarray(params.offset) < np.median(raw, axis=1)).all(), "and is paid so"
    loop.store.close()


def test_the_run_says_what_was_chosen_about_the_zero() -> None:
    [note] = reward_notes({"reward_model/zero_open": 1.0, "reward_model/episode_agreement": 0.9}, "median")
    assert "the median step is taken to be worth 0" in note
    [note] = reward_notes({"reward_model/zero_open": 0.6, "reward_model/episode_agreement": -0.73}, "mean")
    assert "orders whole episodes differently" in note
    assert 'model.anchor = "mean"' in note
    assert reward_notes({"reward_model/zero_open": 1.0, "reward_model/episode_agreement": -0.73}, "none") == []
    assert reward_notes({"true_return": 1.0}, "median") == []
