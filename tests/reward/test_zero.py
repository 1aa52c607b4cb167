"""The zero of the reward: answers that fix it are not overruled, and where they leave it open the convention holds."""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.clips import ClipTable
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams, anchor_of, calibrated
from rlhf_games.reward.rows import Rows, Scale
from rlhf_games.reward.zero import DOUBT, Fitted, constant_log_prob, find_zero, paid_log_prob

Model = tuple[RewardEnsemble, RewardParams]
LONGEST = 8
CUTS = np.array([-1.5, -0.5, 0.5, 1.5], np.float32)


def fitted(kind: str, steps: Any, worth: Any, label: Any, credit: NDArray[Any] | None = None, annotator: Any = None) -> Fitted:
    """Answers about clips of ``steps [n, W]`` steps, each of which one member says is worth ``worth [n, W]``; all train."""
    steps, worth = np.asarray(steps), np.asarray(worth, np.float32)
    count, width = steps.shape
    mask = np.arange(LONGEST) < steps.reshape(-1, 1)
    counted = np.zeros((count * width, 0), np.float32) if credit is None else np.broadcast_to(credit, mask.shape).astype(np.float32)
    table = ClipTable(jnp.zeros((count * width, LONGEST, 1)), jnp.zeros((count * width, LONGEST, 0), jnp.int32), jnp.asarray(mask),
                      jnp.asarray(counted))  # fmt: skip
    places = jnp.arange(count * width, dtype=jnp.int32).reshape(count, width)
    who = np.zeros(count, np.int32) if annotator is None else np.asarray(annotator, np.int32)
    rows = Rows(table, places, jnp.asarray(label), jnp.asarray(who), jnp.ones((1, count)), jnp.zeros(count, bool))
    sums = np.asarray(table.summed(jnp.ones((1, count, width, LONGEST)), places))
    cuts = np.broadcast_to(CUTS, (1, int(who.max()) + 1, 4)).astype(np.float32)
    return Fitted(kind, rows, jnp.asarray(sums * worth[None]), Scale(jnp.ones(1), jnp.asarray(cuts)))


def pairs(steps: Any, worth: Any, label: Any) -> Fitted:
    return fitted("preference", steps, worth, np.asarray(label, np.int32))


def test_clips_of_equal_length_leave_the_zero_open() -> None:
    # steps worth 3 and 2.5: whatever is subtracted, the difference of the clips is 8 · 0.5
    answers = pairs([[8, 8]] * 20, [[3.0, 2.5]] * 20, [FIRST] * 20)
    found = find_zero([answers], [2.75], 0.0)
    assert found.open == 1.0
    np.testing.assert_array_equal(found.offset, [2.75])
    np.testing.assert_allclose(paid_log_prob(answers, [2.75], 0.0), paid_log_prob(answers, [0.0], 0.0), atol=1e-5)


def test_longer_is_better_is_not_turned_upside_down() -> None:
    # every step is worth 2.5: clips of 8 steps beat clips of 2; with 2.5 subtracted they would be worth the same
    answers = pairs([[8, 2]] * 40, [[2.5, 2.5]] * 40, [FIRST] * 40)
    found = find_zero([answers], [2.5], 0.0)
    # d = 6 (2.5 - offset): 40 answers lose 40 (log σ(15 - 1) - log σ(d - 1)) nats, at most 1.92
    lost = [40 * (np.log1p(np.exp(1 - 6 * 2.5 * (1 - k / 20))) - np.log1p(np.exp(1 - 15.0))) for k in range(21)]
    allowed = max(k for k in range(21) if max(lost[: k + 1]) <= DOUBT)
    assert 0 < allowed < 20
    assert found.open == pytest.approx(allowed / 20)
    assert found.offset[0] == pytest.approx(2.5 * allowed / 20)


def test_one_unequal_pair_in_many_equal_ones_weighs_as_one_answer() -> None:
    # the shorter clip is better: a step costs; the median step, -1, may be taken for 0 only as far as that one answer allows
    equal, unequal = [[8, 8]] * 99, [[8, 2]]
    answers = pairs(equal + unequal, [[-1.0, -1.0]] * 100, [TIE] * 99 + [SECOND])
    # d = -6 (1 - t) with δ = 1: log P(second) = log σ(6 (1 - t) - 1); at t = 1 it is log σ(-1) = -1.31, a loss below 1.92
    assert find_zero([answers], [-1.0], 0.0).open == 1.0
    more = pairs(equal + unequal * 3, [[-1.0, -1.0]] * 102, [TIE] * 99 + [SECOND] * 3)
    assert find_zero([more], [-1.0], 0.0).open < 1.0


def test_live_marks_fix_the_zero() -> None:
    credit = np.array([1.0, 1.0, 0.5, 0, 0, 0, 0, 0], np.float32)
    praised = fitted("evaluation", [[8]] * 30, [[1.0]] * 30, np.ones(30, np.float32), credit)
    # H = 2.5 · 1; the convention would make it 0 and praise a coin flip
    np.testing.assert_allclose(paid_log_prob(praised, [0.0], 0.0), math.log(1 / (1 + math.exp(-2.5))), rtol=1e-5)
    np.testing.assert_allclose(paid_log_prob(praised, [1.0], 0.0), math.log(0.5), rtol=1e-5)
    assert find_zero([praised], [1.0], 0.0).open < 0.5


def test_stars_for_clips_of_one_length_leave_the_zero_open_and_for_episodes_of_many_they_do_not() -> None:
    stars = np.array([0, 1, 2, 3, 4] * 8, np.int32)
    equal = fitted("rating", [[4]] * 40, (stars[:, None] - 2.0) / 4 + 5.0, stars)
    equal = equal._replace(scale=equal.scale._replace(cuts=equal.scale.cuts + 20.0))  # cut-points where the returns are
    assert find_zero([equal], [5.0], 0.0).open == 1.0, "cut-points move along"
    lengths = np.array([[1], [2], [4], [6], [8]] * 8)
    unequal = fitted("rating", lengths, np.full((40, 1), 1.0), stars)
    unequal = unequal._replace(scale=unequal.scale._replace(cuts=jnp.asarray([[[1.5, 3.0, 5.0, 7.0]]], jnp.float32)))
    assert find_zero([unequal], [1.0], 0.0).open < 1.0, "long clips have many stars: a step is worth something"


def test_each_annotators_cut_points_move_with_their_own_clips() -> None:
    both = fitted("rating", [[2], [2], [8], [8]], [[1.0]] * 4, np.array([1, 2, 1, 2], np.int32), annotator=[0, 0, 1, 1])
    # returns 2 and 8 less 2 and 8; cut-points less 2 and 8: nothing changes
    np.testing.assert_allclose(paid_log_prob(both, [1.0], 0.0), paid_log_prob(both, [0.0], 0.0), atol=1e-5)


def test_a_constant_model_knows_ties_and_marks_but_no_clip() -> None:
    answers = pairs([[8, 2]] * 2, [[1.0, 1.0]] * 2, [TIE, FIRST])
    # d = 0, δ = 1: P(tie) = tanh(1/2), each side half of the rest
    tie = math.tanh(0.5)
    np.testing.assert_allclose(np.exp(constant_log_prob(answers, 0.0)), [[tie, (1 - tie) / 2]], rtol=1e-5)
    marks = fitted("evaluation", [[1], [3]], [[1.0], [1.0]], np.array([1.0, -1.0], np.float32))
    mean = 2.0
    np.testing.assert_allclose(np.exp(constant_log_prob(marks, 0.0)), [[1 / (1 + math.exp(-mean)), 1 / (1 + math.exp(mean))]], rtol=1e-5)


def test_the_scale_is_measured_from_zero(model: Model) -> None:
    outputs = jnp.array([[1.0, 3.0], [4.0, 4.0]])
    np.testing.assert_array_equal(anchor_of(outputs, "median"), [2.0, 4.0])
    np.testing.assert_array_equal(anchor_of(outputs, "none"), [0.0, 0.0])
    params = calibrated(model[1], outputs, offset=[0.0, 1.0], spread=0.5)
    np.testing.assert_allclose(params.offset, [0.0, 1.0])
    np.testing.assert_allclose(params.scale, [math.sqrt(5.0) / 0.5, 3.0 / 0.5])
