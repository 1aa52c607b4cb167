"""A model is believed only where it predicts answers that it never saw."""

from __future__ import annotations

import math

import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.skill import skill


def test_gain_by_hand() -> None:
    # training labels: 1 tie of 5, so the guess gives ties (1 + 1) / (5 + 3) = 1/4 and each side 3/8
    trained = np.array([FIRST, SECOND, FIRST, SECOND, TIE])
    held = np.array([FIRST, TIE])
    members = np.log([[0.9, 0.2], [0.6, 0.4]])  # averaged: 0.75 and 0.3
    gains = [math.log(0.75) - math.log(3 / 8), math.log(0.3) - math.log(1 / 4)]
    known = skill(members, held, trained)
    assert known.gain == pytest.approx(sum(gains) / 2)
    assert known.error == pytest.approx(abs(gains[0] - gains[1]) / math.sqrt(2) / math.sqrt(2))
    assert known.answers == 2


def test_coin_flips_convince_seldom_and_knowledge_always() -> None:
    rng = np.random.default_rng(0)
    believed = 0
    for _ in range(400):
        label = rng.integers(2, size=60)
        guesses = rng.uniform(0.2, 0.8, 60)  # P(first) of a model that knows nothing
        log_prob = np.log(np.where(label == FIRST, guesses, 1 - guesses))[None]
        believed += skill(log_prob, label, rng.integers(2, size=240)).convinces(2.0)
    assert believed <= 400 * 0.05, "at most one in twenty"
    right = np.log(np.full((1, 60), 0.9)) + rng.normal(0, 0.05, (1, 60))
    assert skill(right, rng.integers(2, size=60), rng.integers(2, size=240)).convinces(2.0)


def test_ties_alone_teach_nothing() -> None:
    ties = np.full(50, TIE)
    known = skill(np.log(np.full((3, 10), 0.93)), ties[:10], ties)
    assert not known.convinces(2.0), "the frequencies alone predict ties as well"


def test_nothing_held_out_is_not_held_against_the_model() -> None:
    assert skill(np.zeros((3, 0)), np.zeros(0, int), np.array([FIRST])).convinces(2.0)
