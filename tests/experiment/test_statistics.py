import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.experiment import statistics as stats

FEW = st.lists(st.floats(-10, 10), min_size=1, max_size=6)


def test_iqm_drops_a_quarter_at_each_end() -> None:
    assert stats.iqm([100.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -50.0]) == pytest.approx((2 + 3 + 4 + 5) / 4)
    assert stats.iqm([0.0, 10.0, 2.0, 3.0, 4.0]) == pytest.approx(3.0)  # one of five at each end
    assert stats.iqm([0.0, 3.0, 9.0]) == pytest.approx(4.0)  # too few to drop any
    np.testing.assert_allclose(stats.iqm([[0.0, 1.0, 2.0, 9.0], [1.0, 1.0, 1.0, 1.0]]), [1.5, 1.0])


def test_gap_counts_only_what_is_missing() -> None:
    assert stats.optimality_gap([0.5, 2.0, 1.0, 0.0]) == pytest.approx((0.5 + 0 + 0 + 1) / 4)
    assert stats.optimality_gap([1.0], target=3.0) == pytest.approx(2.0)


def test_profile_is_the_share_above() -> None:
    scores = {"a": [0.0, 1.0], "b": [0.2, 0.4, 0.6, 0.8]}
    np.testing.assert_allclose(stats.performance_profile(scores, [-1, 0, 0.5, 1]), [1, (0.5 + 1) / 2, 0.5, 0])


def test_improvement_by_hand() -> None:
    found = stats.probability_of_improvement({"a": [1.0, 3.0]}, {"a": [2.0, 3.0]})
    assert found.value == pytest.approx((0 + 0 + 1 + 0.5) / 4)
    two = stats.probability_of_improvement({"a": [5.0], "b": [1.0]}, {"a": [1.0], "b": [1.0]})
    assert two.value == pytest.approx(0.75)
    assert not two.known
    with pytest.raises(UserError, match="only one of them has b"):
        stats.probability_of_improvement({"a": [1]}, {"a": [1], "b": [2]})


@given(FEW, FEW)
def test_improvement_is_antisymmetric(x: list[float], y: list[float]) -> None:
    there = stats.probability_of_improvement({"a": x}, {"a": y}).value
    back = stats.probability_of_improvement({"a": y}, {"a": x}).value
    assert there + back == pytest.approx(1)


def test_resampling_stays_within_each_task() -> None:
    """Runs of a task are equal, tasks differ widely: resampling within tasks changes nothing at all."""
    scores = {"low": [0.0] * 5, "high": [100.0] * 5}
    assert stats.aggregate(scores, stats.mean) == (50, 50, 50)


def test_the_interval_is_that_of_the_mean() -> None:
    runs = np.random.default_rng(1).normal(size=400)
    found = stats.aggregate({"a": runs}, stats.mean, repetitions=4000)
    half = 1.96 * runs.std() / math.sqrt(400)
    assert found.value == pytest.approx(runs.mean())
    assert found.low == pytest.approx(runs.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(runs.mean() + half, abs=0.15 * half)
    narrow = stats.aggregate({"a": runs}, stats.mean, confidence=0.5)
    assert found.low < narrow.low < narrow.high < found.high


def test_the_interval_of_two_runs_by_hand() -> None:
    """Resampled means are 0, 1 and 2 (1/4, 1/2, 1/4): percentiles 0 and 2; t is 12.706 with one degree of freedom, 4.3027 with two."""
    wide = math.sqrt(2) * 12.7062 / 1.95996
    assert stats.aggregate({"a": [0.0, 2.0]}, stats.mean) == pytest.approx((1, 1 - wide, 1 + wide), rel=1e-4)
    two = math.sqrt(2) * 4.30265 / 1.95996  # both tasks move the mean alike; both low at once in 1/16 of resamples
    assert stats.aggregate({"a": [0.0, 2.0], "b": [0.0, 2.0]}, stats.mean) == pytest.approx((1, 1 - two, 1 + two), rel=1e-4)
    one = math.sqrt(2) * 12.7062 / 1.95996 / 2  # a task whose runs are equal moves nothing and adds no degree of freedom
    assert stats.aggregate({"a": [0.0, 2.0], "b": [1.0, 1.0]}, stats.mean) == pytest.approx((1, 1 - one, 1 + one), rel=1e-4)


def test_students_interval_by_hand() -> None:
    low, high = stats.mean_interval([[1.0, 3.0], [5.0, 5.0]])  # standard errors 1 and 0
    np.testing.assert_allclose(low, [2 - 12.7062, 5], rtol=1e-5)
    np.testing.assert_allclose(high, [2 + 12.7062, 5], rtol=1e-5)
    assert np.isnan(stats.mean_interval([1.0])).all()


def test_intervals_of_five_runs_cover_what_they_promise() -> None:
    """The plain percentile interval of five runs covers 83 %."""
    worlds = np.random.default_rng(0).normal(size=(1000, 5))
    found = [stats.aggregate({"a": runs}, stats.mean, repetitions=500, seed=i) for i, runs in enumerate(worlds)]
    covered = np.mean([interval.low <= 0 <= interval.high for interval in found])
    assert 0.93 <= covered <= 0.97


def test_improvement_has_newcombes_interval() -> None:
    """Three runs that all beat three: at p = 1/2 the variance is 1/4 (1 + 2 (1/3 + 1/3)) / 9, so that many errors below 1 is 1/2."""
    errors = 0.5 / math.sqrt(0.25 * (1 + 2 * (1 / 3 + 1 / 3)) / 9)
    confidence = math.erf(errors / math.sqrt(2))
    found = stats.probability_of_improvement({"a": [4.0, 5.0, 6.0]}, {"a": [1.0, 2.0, 3.0]}, confidence=confidence)
    assert found == pytest.approx((1, 0.5, 1))
    back = stats.probability_of_improvement({"a": [1.0, 2.0, 3.0]}, {"a": [4.0, 5.0, 6.0]}, confidence=confidence)
    assert back == pytest.approx((0, 0, 0.5))
    two = stats.probability_of_improvement({"a": [3.0, 4.0]}, {"a": [1.0, 2.0]})
    assert two.low < 0.5  # two of two say little


@given(st.dictionaries(st.text(max_size=3), FEW, min_size=1, max_size=3))
def test_intervals_are_ordered_and_repeatable(scores: dict[str, list[float]]) -> None:
    found = stats.aggregate(scores, repetitions=50, seed=3)
    assert found.known == (min(map(len, scores.values())) > 1)
    assert not found.known or found.low <= found.value <= found.high
    np.testing.assert_array_equal(stats.aggregate(scores, repetitions=50, seed=3), found)


def test_ratios_by_hand() -> None:
    np.testing.assert_allclose(stats.normalised_ratio([2.0, 7.0, 12.0, 0.0], random=2.0, reference=12.0), [0, 0.5, 1, -0.2])
    np.testing.assert_allclose(stats.normalised_ratio(-15.0, random=-20.0, reference=-10.0), 0.5)
    for reference in (2.0, 2.0 + 1e-9, -2.0, math.nan, math.inf):
        with pytest.raises(UserError, match="is not above"):
            stats.normalised_ratio([1.0], random=2.0, reference=reference)


@pytest.mark.parametrize("scores", [{}, {"a": []}, {"a": [math.nan]}, {"a": [1.0], "b": [[1.0]]}])
def test_holes_are_named(scores: dict[str, list[float]]) -> None:
    with pytest.raises(UserError, match=r"scores|task"):
        stats.aggregate(scores)


def test_rows_are_gathered() -> None:
    rows = [{"game": "x", "score": 1}, {"game": "y", "score": 2.0}, {"game": "x", "score": 3}]
    found = stats.by_task(rows, "game", "score")
    assert {task: list(runs) for task, runs in found.items()} == {"x": [1.0, 3.0], "y": [2.0]}
