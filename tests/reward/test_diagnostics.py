"""Every number of the report, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.diagnostics import expected_calibration_error, report, spearman, two_way_nll

LOG3 = math.log(3.0)
"""σ(log 3) = 3/4."""


def returns(*differences: float, members: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predicted returns ``[M, n]`` of first and second clips with these differences."""
    second = np.full((members, len(differences)), 5.0)
    return second + np.array(differences), second


def test_hold_out_by_hand() -> None:
    # right, wrong, a tie, right
    first, second = returns(LOG3, LOG3, LOG3, -LOG3)
    label = np.array([FIRST, SECOND, TIE, SECOND])
    true = np.array([[3.0, 0.0], [1.0, 2.0], [1.0, 1.0], [0.0, 0.0]])
    found = report(first, second, label, 0.0, true_returns=true)
    assert (found.holdout, found.tie_share, found.accuracy) == (4, 0.25, pytest.approx(2 / 3))
    assert found.accuracy_by_difference == {"0..1": 1.0, "1..2": 0.0, "2..4": 1.0}
    low, high = math.log(3 / 4), math.log(1 / 4)
    assert found.nll == pytest.approx(-(low + high + (low + high) / 2 + low) / 4)
    assert found.nll_floor == pytest.approx(math.log(2.0) / 4)
    assert found.brier == pytest.approx((1 / 16 + 9 / 16 + 1 / 16) / 3)
    # the bin of 3/4 holds outcomes 1 and 0, the bin of 1/4 holds 0
    assert found.ece == pytest.approx((abs(2 * 0.75 - 1) + 0.25) / 3)
    assert found.to_dict()["accuracy_difference_2..4"] == 1.0


def test_noise_bounds_the_probability() -> None:
    first, second = returns(100.0)
    assert report(first, second, np.array([SECOND]), 0.1).nll == pytest.approx(-math.log(0.05))
    assert report(first, second, np.array([FIRST]), 0.1).brier == pytest.approx(0.05**2)


def test_members_are_averaged_as_probabilities() -> None:
    first, second = np.array([[LOG3], [-100.0]]), np.zeros((2, 1))
    found = report(first, second, np.array([FIRST]), 0.0)
    assert found.brier == pytest.approx((1 - 0.375) ** 2)
    assert found.accuracy == 0.0


def test_the_floor_is_reached_by_a_perfect_model() -> None:
    first, second = returns(50.0, -50.0, 0.0)
    found = report(first, second, np.array([FIRST, SECOND, TIE]), 0.0)
    assert found.nll == pytest.approx(found.nll_floor)
    assert found.accuracy == 1.0


def test_undecided_counts_half() -> None:
    first, second = returns(0.0)
    assert report(first, second, np.array([FIRST]), 0.0).accuracy == 0.5


def test_little_or_no_hold_out_leaves_out_what_is_unknown() -> None:
    none = report(np.zeros((2, 0)), np.zeros((2, 0)), np.zeros(0, int), 0.1, true_returns=np.zeros((0, 2)))
    assert none.to_dict() == {"holdout": 0.0}
    first, second = returns(1.0)
    tie = report(first, second, np.array([TIE]), 0.1, clips=(first, np.ones(1)), labelled=first, current=first)
    assert set(tie.to_dict()) == {"holdout", "tie_share", "nll", "nll_floor"}
    one = report(first, second, np.array([FIRST]), 0.1).to_dict()
    assert set(one) == {"holdout", "tie_share", "accuracy", "nll", "nll_floor", "ece", "brier"}
    assert all(type(value) is float and math.isfinite(value) for value in one.values())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="labels"):
        report(np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(2, int), 0.1)
    with pytest.raises(ValueError, match="finite"):
        report(np.full((2, 1), np.nan), np.zeros((2, 1)), np.zeros(1, int), 0.1)


def test_rank_correlation() -> None:
    predicted = np.array([[1.0, 2.0, 3.0, 40.0], [1.0, 2.0, 3.0, 40.0]])
    assert spearman(predicted, np.array([0.0, 1.0, 2.0, 3.0])) == pytest.approx(1.0)
    # ranks 1 2 3 4 against 2 1 3 4: 1 - 6 Σd² / (n (n² - 1)) = 1 - 12 / 60
    assert spearman(predicted, np.array([1.0, 0.0, 2.0, 3.0])) == pytest.approx(0.8)
    assert spearman(predicted, np.ones(4)) is None
    assert spearman(predicted[:, :1], np.ones(1)) is None


def test_calibration_error_at_the_edges() -> None:
    p = np.array([0.0, 1.0, 1.0, 0.95])
    assert expected_calibration_error(p, np.array([False, True, True, True])) == pytest.approx(0.05 / 4)
    assert math.isfinite(two_way_nll(np.array([0.0, 1.0]), np.array([FIRST, SECOND])))
