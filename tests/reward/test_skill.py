"""A model is believed only where it predicts answers that it never saw, and answers without content never make it believed."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.skill import Predicted, Skill, guess, skill

WORST = -100.0
"""Log-probabilities of a constant model that is worse than any guess by frequencies."""


def predicted(
    log_prob: Any, label: Any, *, kind: str = "preference", constant: Any = None, unseen: Any = None, units: Any = None
) -> Predicted:
    log_prob = np.asarray(log_prob, np.float64)
    count = log_prob.shape[1]
    return Predicted(
        kind,
        log_prob,
        np.full_like(log_prob, WORST) if constant is None else np.asarray(constant),
        np.ones(log_prob.shape, bool) if unseen is None else np.asarray(unseen),
        np.asarray(label),
        list(range(count)) if units is None else units,
    )


def unseen_by_all(log_prob: Any, label: Any, noise: float = 0.0, **more: Any) -> Skill:
    return skill([predicted(log_prob, label, **more)], noise)


def test_gain_and_error_by_hand() -> None:
    # 1 tie of 5, so the guess gives ties (1 + 1) / (5 + 3) = 1/4 and each side 3/8
    label = np.array([FIRST, SECOND, FIRST, SECOND, TIE])
    members = np.log([[0.9, 0.5, 0.5, 0.5, 0.2], [0.6, 0.5, 0.5, 0.5, 0.4]])
    unseen = np.array([[True, False, False, False, True], [True, False, False, False, False]])
    gains = [math.log((0.9 + 0.6) / 2) - math.log(3 / 8), math.log(0.2) - math.log(1 / 4)]  # the tie was seen by the second member
    known = unseen_by_all(members, label, unseen=unseen)
    assert known.gain == pytest.approx(sum(gains) / 2)
    # squares about 0, and one answer more as large as the largest
    assert known.error == pytest.approx(math.sqrt(gains[0] ** 2 + gains[1] ** 2 + gains[0] ** 2) / 2)
    assert known.answers == 2


def test_the_better_of_the_two_guesses_is_what_counts() -> None:
    label = np.array([FIRST, SECOND])
    frequencies = 2 / 5  # (1 - 1/5) / 2
    assert unseen_by_all(np.log([[0.5, 0.5]]), label).gain == pytest.approx(math.log(0.5 / frequencies))
    assert unseen_by_all(np.log([[0.5, 0.5]]), label, constant=np.log([[0.45, 0.5]])).gain == pytest.approx(
        (math.log(0.5 / 0.45) + math.log(1.0)) / 2
    )


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_four_answers_convince_nobody_however_right_they_are(count: int) -> None:
    assert not unseen_by_all(np.log(np.full((1, count), 0.99)), np.zeros(count, int)).convinces(2.0)


def test_five_right_answers_convince() -> None:
    # 5 g / √(5 g² + g²) = 5 / √6
    known = unseen_by_all(np.log(np.full((1, 5), 0.99)), np.zeros(5, int))
    assert known.gain / known.error == pytest.approx(5 / math.sqrt(6))
    assert known.convinces(2.0)


def test_coin_flips_convince_seldom_and_knowledge_always() -> None:
    rng = np.random.default_rng(0)
    believed = 0
    for _ in range(400):
        label = rng.integers(2, size=60)
        guesses = rng.uniform(0.2, 0.8, 60)  # P(first) of a model that knows nothing
        log_prob = np.log(np.where(label == FIRST, guesses, 1 - guesses))[None]
        believed += unseen_by_all(log_prob, label, constant=np.full((1, 60), math.log(0.5))).convinces(2.0)
    assert believed <= 400 * 0.05, "at most one in twenty"
    right = np.log(np.full((1, 60), 0.9)) + rng.normal(0, 0.05, (1, 60))
    assert unseen_by_all(right, rng.integers(2, size=60)).convinces(2.0)


def test_ties_with_a_few_coin_flips_convince_nobody() -> None:
    # 98 ties, which a constant model foretells as well, and two flips that happened to be foretold
    label = np.array([TIE] * 98 + [FIRST, SECOND])
    model = np.log([[0.97] * 98 + [0.5, 0.5]])
    constant = np.log([[0.97] * 98 + [0.015, 0.015]])
    known = unseen_by_all(model, label, constant=constant)
    assert known.gain > 0
    assert not known.convinces(2.0)


def test_ties_alone_teach_nothing() -> None:
    ties = np.full(100, TIE)
    surest = np.log(np.full((3, 100), 0.995))  # surer than the smoothed frequencies, 101 / 103
    assert unseen_by_all(surest, ties).gain > 0, "against the frequencies alone it would gain"
    assert not unseen_by_all(surest, ties, constant=surest).convinces(2.0)


def test_where_nothing_was_unseen_nobody_is_convinced_but_for_nothing() -> None:
    known = skill([predicted(np.zeros((3, 1)), [FIRST], unseen=np.zeros((3, 1), bool))], 0.0)
    assert known.answers == 0
    assert not known.convinces(2.0)
    assert known.convinces(0.0)
    assert skill([], 0.0).answers == 0


def test_what_is_right_by_definition_convinces_nobody() -> None:
    for kind in ("takeover", "demonstration"):
        certain = predicted(np.log(np.full((1, 40), 0.999)), np.full(40, FIRST), kind=kind)
        assert skill([certain], 0.0) == Skill(0.0, 0.0, 0)
        flips = predicted(np.log(np.full((1, 10), 0.4)), np.full(10, FIRST), constant=np.log(np.full((1, 10), 0.4)))
        assert skill([certain, flips], 0.0) == skill([flips], 0.0), "nor does it help others to"


def test_answers_of_one_unit_are_one_observation() -> None:
    # 40 marks in one episode, all foretold: their gains are added up before they are squared, and 1 / √2 < 2
    log_prob, label = np.log(np.full((1, 40), 0.9)), np.array([1.0, -1.0] * 20, np.float32)
    apart = unseen_by_all(log_prob, label, kind="evaluation", constant=np.log(np.full((1, 40), 0.5)))
    together = unseen_by_all(log_prob, label, kind="evaluation", constant=np.log(np.full((1, 40), 0.5)), units=["episode"] * 40)
    assert together.gain == apart.gain
    assert apart.gain / apart.error == pytest.approx(40 / math.sqrt(41))
    assert together.gain / together.error == pytest.approx(1 / math.sqrt(2))


def test_the_guess_allows_for_the_same_errors_as_the_model() -> None:
    # a model whose answers are 10 % random cannot give a tie more than 0.9 + 0.1 / 3; on ties alone it is as good as the guess, not worse
    ties = np.full(97, TIE)  # the guess: (97 + 1) / (97 + 3)
    assert unseen_by_all(np.log(np.full((1, 97), 0.9 * 0.98 + 0.1 / 3)), ties, noise=0.1).gain == pytest.approx(0.0)


def test_what_somebody_guesses_who_never_looks_at_the_clips() -> None:
    stars = np.array([0, 0, 4, 2])  # (2 + 1) / 9, (1 + 1) / 9 ...
    np.testing.assert_allclose(np.exp(guess("rating", stars, 0.0)), np.array([3, 3, 2, 2]) / 9)
    np.testing.assert_allclose(np.exp(guess("rating", stars, 0.1)), 0.9 * np.array([3, 3, 2, 2]) / 9 + 0.02)
    praise = np.array([1.0, 1.0, -0.5])  # 3 of 5 praise
    np.testing.assert_allclose(guess("evaluation", praise, 0.0), [math.log(3 / 5), math.log(3 / 5), 0.5 * math.log(2 / 5)])


def test_the_guess_of_a_ranking_knows_how_often_what_ties() -> None:
    # of three clips 4 patterns of ties: all apart (6 rankings), best two or worst two together (3 each), all together (1)
    ranks = np.array([[0, 1, 2, -1], [2, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, -1]])
    np.testing.assert_allclose(np.exp(guess("ranking", ranks, 0.0)), [3 / 8 / 6, 3 / 8 / 6, 2 / 8 / 3, 2 / 8 / 1])
    np.testing.assert_allclose(np.exp(guess("ranking", ranks, 0.13))[0], 0.87 * 3 / 8 / 6 + 0.01)


def test_the_skill_on_several_kinds_is_the_mean_over_all_answers() -> None:
    preference = predicted(np.log([[0.9, 0.6]]), [FIRST, FIRST], constant=np.log([[0.5, 0.5]]))
    rating = predicted(np.log([[0.8, 0.1]]), [0, 1], kind="rating", constant=np.log([[0.5, 0.5]]), unseen=[[True, False]], units=["c", "d"])
    known = skill([preference, rating], 0.0)
    gains = np.log([1.8, 1.2, 1.6])
    assert known.answers == 3
    assert known.gain == pytest.approx(gains.mean())
    assert known.error == pytest.approx(math.sqrt(np.square(gains).sum() + gains[0] ** 2) / 3)
