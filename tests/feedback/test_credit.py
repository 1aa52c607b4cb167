"""The steps that a cheer can mean, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.credit import credit, credit_steps, credited


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


def test_later_means_that_so_much_of_the_window_came_after_the_last_step() -> None:
    # the last step filled 1.5 to 0.5 seconds before the key: wholly in the window; 4.5 to 3.5 is half in it
    np.testing.assert_allclose(credit(5, 1.0, 0.5), [0.0, 0.5, 1.0, 1.0, 1.0], atol=1e-6)
    assert credit_steps(1.0, 0.5) == 4


STILL = Evaluation(1.0, speed=0.0)


@pytest.mark.parametrize(
    ("value", "step", "length", "start", "shares"),
    [
        (STILL, 200, 201, 200, 1),
        (STILL, 0, 300, 0, 1),
        (STILL, 300, 300, 300, 0),
        # 15 a second: back 60 steps, without the last 3
        (Evaluation(1.0), 200, 300, 140, 57),
        (Evaluation(1.0), 0, 300, 0, 0),
        (Evaluation(1.0), 3, 300, 3, 0),
        # the same seconds of the person are four times as many steps, or half as many: 240 - 12, and 30 - 1 (0.2 s are 1.5 steps)
        (Evaluation(1.0, speed=4.0), 400, 500, 160, 228),
        (Evaluation(1.0, speed=0.5), 200, 300, 170, 29),
        # a second after the end the window holds the last 3 seconds, and the very last decision counts
        (Evaluation(1.0, since_end=1.0), 299, 300, 255, 45),
        # 0.1 s after it: 3.9 s are 58.5 steps, the last 0.1 s are 1.5 of them
        (Evaluation(1.0, since_end=0.1), 299, 300, 241, 58),
        (Evaluation(1.0, since_end=5.0), 299, 300, 300, 0),
    ],
)
def test_what_a_mark_is_about(value: Evaluation, step: int, length: int, start: int, shares: int) -> None:
    found = credited(value, step, length, 15.0)
    assert (found.start, len(found.credit)) == (start, shares)
    np.testing.assert_allclose(found.credit[1:-1], 1.0, rtol=1e-6)
    assert all(found.credit > 0)


def test_a_step_that_lies_partly_in_the_window_counts_partly() -> None:
    slow = credited(Evaluation(1.0, speed=0.5), 200, 300, 15.0).credit
    np.testing.assert_allclose(slow[-2:], [1.0, 0.5], rtol=1e-5)  # the last but one filled 0.27 to 0.13 s before: half of it is in
    soon = credited(Evaluation(1.0, since_end=0.1), 299, 300, 15.0).credit
    np.testing.assert_allclose((soon[0], soon[-1]), (0.5, 0.5), rtol=1e-5)
