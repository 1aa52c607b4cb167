"""The steps that a cheer can mean, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rlhf_games.feedback.credit import credit, credit_steps


def test_at_one_decision_a_second_the_last_step_loses_the_reaction_time() -> None:
    # back 4 seconds to 0.2: the steps that filled 4..3, 3..2, 2..1 count fully, the one of 1..0 for 0.8 seconds; 5..4 is too long ago
    np.testing.assert_allclose(credit(5, 1.0), [0.0, 1.0, 1.0, 1.0, 0.8], atol=1e-6)
    assert credit_steps(1.0) == 4


def test_at_fifteen_a_second_the_last_three_steps_came_too_late() -> None:
    steps = credit_steps(15.0)
    assert steps == 60
    weights = credit(steps, 15.0)
    np.testing.assert_allclose(weights[-4:], [1.0, 0.0, 0.0, 0.0], atol=1e-6)  # 4/15 = 0.27 > 0.2 = 3/15
    np.testing.assert_allclose(weights[:-3], 1.0)
    np.testing.assert_allclose(weights.sum() / 15.0, 3.8)  # the whole window, in seconds


@pytest.mark.parametrize("rate", [0.1, 0.25])
def test_a_step_longer_than_the_window_counts_fully(rate: float) -> None:
    assert credit(credit_steps(rate), rate).max() == pytest.approx(1.0)


def test_near_the_beginning_there_are_fewer_steps() -> None:
    np.testing.assert_array_equal(credit(2, 15.0), [0.0, 0.0])
    np.testing.assert_allclose(credit(4, 15.0), credit(60, 15.0)[-4:])
