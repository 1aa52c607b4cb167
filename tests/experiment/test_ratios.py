"""Shares of the true reward's gain: when there are none, and what their intervals count."""

import math

import numpy as np
import pytest

from rlhf_games.experiment.ratios import Reference, aggregate_ratios
from rlhf_games.experiment.statistics import mean


@pytest.mark.parametrize(
    ("true", "random", "clear"),
    [
        ([4.0, 6.0], 0.0, False),  # 5 standard errors of 1, where t is 6.31
        ([4.0, 6.0], -2.0, True),  # 7
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1.5, False),  # 1.5 / 0.7071 = 2.121, where t is 2.132
        ([1.0, 2.0, 3.0, 4.0, 5.0], 1.49, True),  # 1.51 / 0.7071 = 2.135
        ([5.0, 5.0], 5.0, False),
        ([5.0, 5.0], 4.0, True),
        ([-2.0, -3.0], 2.0, False),  # upside down
        ([5.0], 4.0, True),
    ],
)
def test_a_span_must_be_clear(true: list[float], random: float, clear: bool) -> None:
    problem = Reference(np.array(true), random).problem()
    assert (not problem) == clear
    assert clear or "not clearly above the untrained policy" in problem


def test_evaluation_error_counts_where_it_is_all_there_is() -> None:
    assert Reference(np.array([5.0]), 4.0, true_error=0.7).problem()  # 1 is less than 1.645 x 0.7
    assert not Reference(np.array([5.0]), 4.0, true_error=0.6).problem()
    assert Reference(np.array([5.0]), 4.0, random_error=0.7).problem()


def test_a_run_and_the_true_run_of_its_seed_are_resampled_together() -> None:
    """Each run reaches 0.8 of the true run of its seed: so does every resample. Drawn apart they would differ."""
    true = np.array([4.0, 6.0, 9.0])
    assert aggregate_ratios({"a": (0.8 * true, Reference(true, 0.0))}, mean) == pytest.approx((0.8, 0.8, 0.8))


def test_the_true_runs_vary_too() -> None:
    """Runs of 5 and 5 over means of 4, 5 and 6 (1/4, 1/2, 1/4) are 1.25, 1 and 0.8333; widened as two runs are."""
    wide = math.sqrt(2) * 12.7062 / 1.95996
    found = aggregate_ratios({"a": (np.array([5.0, 5.0]), Reference(np.array([4.0, 6.0]), 0.0))}, mean)
    assert found == pytest.approx((1, 1 - wide / 6, 1 + wide / 4), rel=1e-4)


def test_the_error_of_the_untrained_score_counts() -> None:
    runs, true = np.array([5.0, 5.0]), np.array([10.0, 10.0])
    exact = aggregate_ratios({"a": (runs, Reference(true, 0.0))})
    assert exact == pytest.approx((0.5, 0.5, 0.5))
    rough = aggregate_ratios({"a": (runs, Reference(true, 0.0, random_error=1.0))})
    assert rough.low < 0.5 < rough.high


def test_one_seed_gives_no_interval() -> None:
    found = aggregate_ratios({"a": (np.array([5.0]), Reference(np.array([10.0]), 0.0))})
    assert found.value == 0.5
    assert not found.known
