"""Whole episodes are paid as the sum of what their steps are paid."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from rlhf_games.experiment.episode_measures import measured_episodes
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.rollout.device import Transition


def test_whole_episodes_by_hand(reader: ClipReader, replays: dict[str, Replay], model: tuple[RewardEnsemble, RewardParams]) -> None:
    ensemble, params = model
    params = params._replace(offset=jnp.array([0.3, -0.2]), scale=jnp.array([2.0, 0.5]))
    found = measured_episodes(ensemble, params, reader, list(replays.values()))
    batch = reader.read([Clip((Segment(replay_id, 0, 12),)) for replay_id in replays])

    def flat(x: Any) -> Any:
        return jnp.asarray(x.reshape(-1, *x.shape[2:]))

    steps = Transition(flat(batch.observation), flat(batch.action), flat(batch.next_observation), flat(batch.reward))
    raw = np.asarray(ensemble.raw(params, ensemble.encode(steps))).reshape(2, 12, 12)
    paid = ((raw - np.array([0.3, -0.2])[:, None, None]) / np.array([2.0, 0.5])[:, None, None]).sum(2).mean(0)
    assert found["reward_model/episodes"] == 12.0
    assert found["reward_model/episode_spearman"] == pytest.approx(stats.spearmanr(paid, batch.reward.sum(1)).statistic)
    assert found["reward_model/episode_agreement"] == pytest.approx(1.0), "all are equally long"


def test_three_episodes_are_too_few(reader: ClipReader, replays: dict[str, Replay], model: tuple[RewardEnsemble, RewardParams]) -> None:
    assert measured_episodes(*model, reader, list(replays.values())[:3]) == {}
