"""Labels become rows: the right features, each clip read once, nothing left of what was taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.labels import PairLabel
from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipBatch, ClipReader
from rlhf_games.reward.dataset import GROWS_BY, AnswerDataset
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams, with_feature_scale
from rlhf_games.reward.holdout import bootstrap_counts

Model = tuple[RewardEnsemble, RewardParams]
Make = Callable[..., PairLabel]


class Watched(ClipReader):
    """Remembers what was read."""

    def __init__(self, reader: ClipReader) -> None:
        self._inner, self.clips = reader, list[Clip]()

    @property
    def spec(self) -> Any:
        return self._inner.spec

    def read(self, clips: Sequence[Clip], length: int | None = None) -> ClipBatch:
        self.clips += clips
        return self._inner.read(clips, length)


@pytest.fixture
def watched(reader: ClipReader) -> Watched:
    return Watched(reader)


@pytest.fixture
def data(watched: Watched, model: Model) -> AnswerDataset:
    return AnswerDataset(watched, model[0], 4, 2, seed=0, holdout=0.0, bootstrap=False)


def test_rows_hold_what_was_seen(data: AnswerDataset, label: Make, reader: ClipReader, clips: list[Clip]) -> None:
    short = Clip((Segment(clips[0].segments[0].replay_id, 10, 2),))
    data.update([label(3, 4, 5, "tie"), label(1, short, 3, "second"), label(2, 1, 2)])
    rows = data.rows()["preference"]
    assert [entry.query_id for entry in data.labels] == [1, 2, 3]
    assert rows.label[:3].tolist() == [SECOND, FIRST, TIE]
    mask = rows.clips.mask[rows.places]
    assert mask[0, 0].tolist() == [True, True, False, False]
    assert mask[:3].sum() == 2 + 5 * 4
    batch = reader.read([short, clips[3]], 4)
    # `flat` networks see the observation and its change
    features = rows.clips.features(rows.places[0])
    np.testing.assert_array_equal(features[:, :, 0], batch.observation[..., 0])
    change = (batch.next_observation - batch.observation)[..., 0]
    np.testing.assert_array_equal(features[:, :, 1], change)
    np.testing.assert_array_equal(data.returns()[0], batch.reward.sum(1))
    assert data.features_flat().shape == (2 + 5 * 4, 2)


def test_padding_and_weights(data: AnswerDataset, label: Make) -> None:
    data.update([label(1, 0, 1, strength=2), label(2, 2, 3)])
    rows = data.rows()["preference"]
    assert rows.weight.shape == (2, GROWS_BY)
    np.testing.assert_array_equal(rows.weight[:, :2], 1.0)  # strength 2 weighs the same
    assert not np.asarray(rows.weight)[:, 2:].any()
    assert not np.asarray(rows.clips.mask)[4:].any()
    assert not np.asarray(rows.holdout).any()
    assert data.rows()["preference"] is rows


def test_capacity_grows_in_steps(data: AnswerDataset, label: Make) -> None:
    entries = [label(query, query % 36, (query + 1) % 36) for query in range(1, GROWS_BY + 2)]
    data.update(entries[:GROWS_BY])
    assert data.rows()["preference"].label.shape == (GROWS_BY,)
    data.update(entries)
    rows = data.rows()["preference"]
    assert rows.places.shape == (2 * GROWS_BY, 2)
    assert rows.clips.content.shape == (4 * GROWS_BY, 4, 2)


def test_a_clip_is_read_once_and_dropped_with_its_last_label(data: AnswerDataset, watched: Watched, label: Make) -> None:
    first, second = label(1, 0, 1), label(2, 1, 2)
    assert data.update([first])
    assert data.update([second, first])
    assert not data.update([first, second])
    assert len(watched.clips) == len(set(watched.clips)) == 3
    assert data.update([second])
    assert data.features_flat().shape == (8, 2)
    data.update([first, second])
    assert len(watched.clips) == 4
    data.update([])
    assert len(data) == 0
    assert data.returns().shape == (0, 2)
    assert data.features_flat().shape == (0, 2)
    assert data.rows() == {}


def test_too_long_clips_are_refused_and_change_nothing(data: AnswerDataset, label: Make, clips: list[Clip]) -> None:
    data.update([label(1, 0, 1)])
    with pytest.raises(UserError, match="5 steps does not fit into 4"):
        data.update([label(1, 0, 1), label(2, 2, Clip((Segment(clips[3].segments[0].replay_id, 0, 5),)))])
    assert len(data) == 1
    assert data.features_flat().shape == (8, 2)


def test_hold_out_rows_never_train_and_members_differ(reader: ClipReader, model: Model, label: Make) -> None:
    data = AnswerDataset(reader, model[0], 4, 2, seed=1, holdout=0.5, bootstrap=True)
    entries = [label(query, 2 * query, 2 * query + 1) for query in range(18)]
    data.update(entries)
    rows = data.rows()["preference"]
    np.testing.assert_array_equal(rows.holdout[:18], data.holdout)
    assert 0 < data.holdout.sum() < 18
    expected = np.where(data.holdout, 0.0, bootstrap_counts(1, 2, [entry.query_id for entry in entries]))
    np.testing.assert_array_equal(rows.weight[:, :18], expected)
    assert (expected[0] != expected[1]).any()


def test_one_member_is_not_resampled(reader: ClipReader, coins: Any, label: Make, model: Model) -> None:
    data = AnswerDataset(reader, model[0], 4, 1, seed=1, holdout=0.0, bootstrap=True)
    data.update([label(query, query, query + 1) for query in range(20)])
    np.testing.assert_array_equal(data.rows()["preference"].weight[:, :20], 1.0)


def test_features_are_what_the_ensemble_takes(data: AnswerDataset, label: Make, model: Model) -> None:
    data.update([label(1, 0, 1)])
    ensemble, params = model
    features = data.features_flat()
    raw = ensemble.raw(params, jnp.asarray(features))
    assert raw.shape == (2, 8)
    assert jnp.isfinite(raw).all()


def test_the_feature_scale_is_measured_and_what_never_varies_is_left_out(model: Model) -> None:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (20_000, 2)).astype(np.float32)
    rows[:, 1] = 7.0
    params = with_feature_scale(model[1], rows)
    np.testing.assert_allclose(params.feature_mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-6)
    np.testing.assert_allclose(params.feature_scale, [rows[:, 0].std(dtype=np.float64), 1e6], rtol=1e-6)
    assert params.feature_mean.dtype == params.feature_scale.dtype == jnp.float32
