"""A model is believed only where it predicts answers that it never saw."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.skill import Skill, guess, pooled_skill, skill


def _unseen_by_all(log_prob: Any, label: Any, noise: float = 0.0) -> Skill:
    return skill(log_prob, np.ones_like(log_prob, bool), label, noise)


def test_gain_by_hand() -> None:
    # 1 tie of 5, so the guess gives ties (1 + 1) / (5 + 3) = 1/4 and each side 3/8
    label = np.array([FIRST, SECOND, FIRST, SECOND, TIE])
    members = np.log([[0.9, 0.5, 0.5, 0.5, 0.2], [0.6, 0.5, 0.5, 0.5, 0.4]])
    unseen = np.array([[True, False, False, False, True], [True, False, False, False, False]])
    gains = [math.log((0.9 + 0.6) / 2) - math.log(3 / 8), math.log(0.2) - math.log(1 / 4)]  # the tie was seen by the second member
    known = skill(members, unseen, label, noise=0.0)
    assert known.gain == pytest.approx(sum(gains) / 2)
    assert known.error == pytest.approx(abs(gains[0] - gains[1]) / math.sqrt(2) / math.sqrt(2))
    assert known.answers == 2


def test_coin_flips_convince_seldom_and_knowledge_always() -> None:
    rng = np.random.default_rng(0)
    believed = 0
    for _ in range(400):
        label = rng.integers(2, size=60)
        guesses = rng.uniform(0.2, 0.8, 60)  # P(first) of a model that knows nothing
        believed += _unseen_by_all(np.log(np.where(label == FIRST, guesses, 1 - guesses))[None], label).convinces(2.0)
    assert believed <= 400 * 0.05, "at most one in twenty"
    right = np.log(np.full((1, 60), 0.9)) + rng.normal(0, 0.05, (1, 60))
    assert _unseen_by_all(right, rng.integers(2, size=60)).convinces(2.0)


def test_ties_alone_teach_nothing() -> None:
    ties = np.full(50, TIE)
    assert not _unseen_by_all(np.log(np.full((3, 50), 0.93)), ties).convinces(2.0), "the frequencies alone predict ties as well"


def test_what_every_member_saw_is_not_held_against_the_model() -> None:
    known = skill(np.zeros((3, 1)), np.zeros((3, 1), bool), np.array([FIRST]), 0.0)
    assert known.answers == 0
    assert known.convinces(2.0)


def test_the_guess_allows_for_the_same_errors_as_the_model() -> None:
    # a model whose answers are 10 % random cannot give a tie more than 0.9 + 0.1 / 3; on ties alone it is as good as the guess, not worse
    ties = np.full(97, TIE)  # the guess: (97 + 1) / (97 + 3)
    assert _unseen_by_all(np.log(np.full((1, 97), 0.9 * 0.98 + 0.1 / 3)), ties, noise=0.1).gain == pytest.approx(0.0)


def test_what_somebody_guesses_who_never_looks_at_the_clips() -> None:
    stars = np.array([0, 0, 4, 2])  # (2 + 1) / 9, (1 + 1) / 9 ...
    np.testing.assert_allclose(np.exp(guess("rating", stars, 0.0)), np.array([3, 3, 2, 2]) / 9)
    np.testing.assert_allclose(np.exp(guess("rating", stars, 0.1)), 0.9 * np.array([3, 3, 2, 2]) / 9 + 0.02)
    cheers = np.array([1.0, 1.0, -0.5])  # 3 of 5 cheer
    np.testing.assert_allclose(guess("evaluation", cheers, 0.0), [math.log(3 / 5), math.log(3 / 5), 0.5 * math.log(2 / 5)])
    for kind in ("takeover", "demonstration"):
        np.testing.assert_allclose(np.exp(guess(kind, np.zeros(2, int), 0.1)), 0.45 + 0.1 / 3)


def test_the_guess_of_a_ranking_knows_how_often_what_ties() -> None:
    # of three clips 4 patterns of ties: all apart (6 rankings), best two or worst two together (3 each), all together (1)
    ranks = np.array([[0, 1, 2, -1], [2, 1, 0, -1], [0, 0, 1, -1], [0, 0, 0, -1]])
    np.testing.assert_allclose(np.exp(guess("ranking", ranks, 0.0)), [3 / 8 / 6, 3 / 8 / 6, 2 / 8 / 3, 2 / 8 / 1])
    np.testing.assert_allclose(np.exp(guess("ranking", ranks, 0.13))[0], 0.87 * 3 / 8 / 6 + 0.01)


def test_the_skill_on_several_kinds_is_the_mean_over_all_answers() -> None:
    unseen = np.ones((1, 2), bool)
    even = np.log([0.5, 0.5])
    known = pooled_skill([(np.log([[0.9, 0.6]]), unseen, even), (np.log([[0.8, 0.1]]), np.array([[True, False]]), even)])
    gains = np.log([1.8, 1.2, 1.6])
    assert known.answers == 3
    assert known.gain == pytest.approx(gains.mean())
    assert known.error == pytest.approx(gains.std(ddof=1) / math.sqrt(3))
    assert pooled_skill([]).answers == 0
