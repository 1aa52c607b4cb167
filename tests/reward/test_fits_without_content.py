"""Whole fits to answers that say nothing about the clips, or hardly anything: nobody may be convinced."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.experiment.fitting import Refit, refit
from rlhf_games.experiment.spec import ModelConfig
from rlhf_games.feedback.labels import UNSOLICITED, EvaluationLabel, Label, PairLabel
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.fit import FitConfig, initial_state

Model = tuple[RewardEnsemble, RewardParams]
CONFIG = ModelConfig(members=2, fit=FitConfig(max_epochs=20))


def fitted(model: Model, reader: ClipReader, labels: list[Label], seed: int = 0) -> Refit:
    """A first fit to these labels."""
    data = AnswerDataset(reader, model[0], 4, 2, seed, holdout=0.2, bootstrap=True)
    data.update(labels)
    features = jnp.asarray(data.features_flat())
    found = refit(model[0], CONFIG, data, initial_state(model[1]), model[1], features, jax.random.key(seed))
    assert found is not None
    return found


def pairs(clips: list[Clip], kinds: list[str], seed: int) -> list[Label]:
    """Random pairs of clips that do not overlap, some of them asked about again and again."""
    rng = np.random.default_rng(seed)
    places = [rng.choice(len(clips), 2, replace=False) for _ in kinds]
    return [
        PairLabel(query, query, "ann", clips[a], clips[b], kind, 1, False)  # type: ignore[arg-type]
        for query, ((a, b), kind) in enumerate(zip(places, kinds, strict=True), 1)
    ]


@pytest.mark.parametrize("seed", range(12))
def test_nearly_all_ties_and_a_few_coin_flips(model: Model, reader: ClipReader, clips: list[Clip], seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    kinds = [str(rng.choice(["first", "second"])) if flip else "tie" for flip in rng.uniform(size=100) < 0.02]
    found = fitted(model, reader, pairs(clips, kinds, seed), seed)
    assert not found.skill.convinces(CONFIG.trust)
    assert found.metrics["reward_model/trusted"] == 0.0


def test_all_praise(model: Model, reader: ClipReader, clips: list[Clip]) -> None:
    labels: list[Label] = [
        EvaluationLabel(UNSOLICITED + i, i, "ann", (clip,), 1.0, (1.0,) * clip.length) for i, clip in enumerate(clips, 1)
    ]
    found = fitted(model, reader, labels)
    assert found.skill.answers > 0
    assert not found.skill.convinces(CONFIG.trust)


def test_demonstrations_alone(model: Model, reader: ClipReader, clips: list[Clip]) -> None:
    labels: list[Label] = [
        PairLabel(UNSOLICITED + 1, 1, "ann", clips[i], clips[i + 1], "first", 1, False, "demonstration", i) for i in range(0, 30, 2)
    ]
    found = fitted(model, reader, labels)
    assert found.skill.answers == 0
    assert not found.skill.convinces(CONFIG.trust)


def test_answers_that_mean_something_convince(model: Model, reader: ClipReader, clips: list[Clip]) -> None:
    episodes = dict.fromkeys(clip.segments[0].replay_id for clip in clips)
    short = [Clip((Segment(replay, start, 2),)) for start in range(0, 12, 2) for replay in episodes]  # 72: no step is shown twice
    worth = reader.read(short, 4).reward.sum(1)
    labels: list[Label] = []
    for query, (a, b) in enumerate(zip(range(0, 72, 2), range(1, 72, 2), strict=True), 1):
        kind = "tie" if worth[a] == worth[b] else "first" if worth[a] > worth[b] else "second"
        labels.append(PairLabel(query, query, "ann", short[a], short[b], kind, 1, False))  # type: ignore[arg-type]
    config = ModelConfig(members=2, fit=FitConfig(max_epochs=200, learning_rate=2e-2, patience=50))
    data = AnswerDataset(reader, model[0], 4, 2, 0, holdout=0.2, bootstrap=True)
    data.update(labels)
    found = refit(model[0], config, data, initial_state(model[1]), model[1], jnp.asarray(data.features_flat()), jax.random.key(0))
    assert found is not None
    assert found.skill.convinces(config.trust)
