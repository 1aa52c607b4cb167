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
    assert two == pytest.approx((0.75, 0.75, 0.75))
    with pytest.raises(UserError, match="only one of them has b"):
        stats.probability_of_improvement({"a": [1]}, {"a": [1], "b": [2]})


@given(FEW, FEW)
def test_improvement_is_antisymmetric(x: list[float], y: list[float]) -> None:
    there = stats.probability_of_improvement({"a": x}, {"a": y}, repetitions=10).value
    back = stats.probability_of_improvement({"a": y}, {"a": x}, repetitions=10).value
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


@given(st.dictionaries(st.text(max_size=3), FEW, min_size=1, max_size=3))
def test_intervals_are_ordered_and_repeatable(scores: dict[str, list[float]]) -> None:
    found = stats.aggregate(scores, repetitions=50, seed=3)
    assert found.low <= found.high
    everything = np.concatenate(list(scores.values()))
    assert everything.min() - 1e-9 <= found.low
    assert found.high <= everything.max() + 1e-9
    assert stats.aggregate(scores, repetitions=50, seed=3) == found


def test_ratios_by_hand() -> None:
    np.testing.assert_allclose(stats.normalised_ratio([2.0, 7.0, 12.0, 0.0], random=2.0, reference=12.0), [0, 0.5, 1, -0.2])
    np.testing.assert_allclose(stats.normalised_ratio(-15.0, random=-20.0, reference=-10.0), 0.5)
    np.testing.assert_allclose(stats.normalised_ratio(1.0, random=2.0, reference=-2.0), 0.25)  # where less is better
    for reference in (2.0, 2.0 + 1e-9, math.nan, math.inf):
        with pytest.raises(UserError, match="do not differ"):
            stats.normalised_ratio([1.0], random=2.0, reference=reference)


@pytest.mark.parametrize("scores", [{}, {"a": []}, {"a": [math.nan]}, {"a": [1.0], "b": [[1.0]]}])
def test_holes_are_named(scores: dict[str, list[float]]) -> None:
    with pytest.raises(UserError, match=r"scores|task"):
        stats.aggregate(scores)


def test_rows_are_gathered() -> None:
    rows = [{"game": "x", "score": 1}, {"game": "y", "score": 2.0}, {"game": "x", "score": 3}]
    found = stats.by_task(rows, "game", "score")
    assert {task: list(runs) for task, runs in found.items()} == {"x": [1.0, 3.0], "y": [2.0]}
