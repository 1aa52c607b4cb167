"""Probabilities of answers, by hand."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE, first_probability, preference_log_prob

LABELS = jnp.array([FIRST, SECOND, TIE])
REAL = st.floats(-30.0, 30.0, width=32)
MARGIN = st.floats(0.0078125, 20.0, width=32)


def probabilities(difference: float, margin: float, noise: float) -> np.ndarray:
    """``[3]``: first, second, tie."""
    return np.exp(np.asarray(preference_log_prob(jnp.float32(difference), LABELS, jnp.float32(margin), noise)))


@given(REAL, MARGIN, st.sampled_from([0.0, 0.1, 0.9]))
def test_they_sum_to_one(difference: float, margin: float, noise: float) -> None:
    found = probabilities(difference, margin, noise)
    assert found.sum() == pytest.approx(1.0, abs=2e-4)
    assert found.min() >= noise / 3 * 0.999
    np.testing.assert_allclose(probabilities(-difference, margin, noise), found[[1, 0, 2]], rtol=1e-4, atol=1e-30)


def test_by_hand() -> None:
    # σ(log 8 - log 2) = 4/5, σ(-log 8 - log 2) = 1/17, (2² - 1) · 4/5 · 1/17 = 12/85
    np.testing.assert_allclose(probabilities(math.log(8), math.log(2), 0.0), [4 / 5, 1 / 17, 12 / 85], rtol=1e-5)
    np.testing.assert_allclose(probabilities(math.log(8), math.log(2), 0.3), np.array([4 / 5, 1 / 17, 12 / 85]) * 0.7 + 0.1, rtol=1e-5)


def test_without_a_margin_it_is_bradley_terry() -> None:
    found = probabilities(math.log(3), 1e-6, 0.0)
    np.testing.assert_allclose(found, [0.75, 0.25, 0.0], atol=1e-5)
    assert first_probability(jnp.float32(math.log(3))) == pytest.approx(0.75)


def test_ties_are_likeliest_between_equals_and_grow_with_the_margin() -> None:
    ties = [probabilities(d, 0.5, 0.0)[TIE] for d in (0.0, 1.0, -1.0, 5.0)]
    assert ties[0] > ties[1] == pytest.approx(ties[2])
    assert ties[1] > ties[3]
    assert probabilities(0.0, 1.0, 0.0)[TIE] > ties[0]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_gradients_point_the_right_way(noise: float) -> None:
    slope = jax.grad(preference_log_prob, argnums=(0, 2))

    def at(difference: float, label: int, margin: float = 0.5) -> tuple[float, float]:
        found = slope(jnp.float32(difference), jnp.int32(label), jnp.float32(margin), noise)
        return float(found[0]), float(found[1])

    for difference in (-5.0, 0.0, 5.0):
        assert at(difference, FIRST)[0] > 0 > at(difference, SECOND)[0]
        assert at(difference, TIE)[1] > 0
    assert at(2.0, TIE)[0] < 0 < at(-2.0, TIE)[0]
    assert at(0.0, TIE)[0] == pytest.approx(0.0, abs=1e-6)
    assert at(0.0, FIRST)[1] < 0


def test_noise_bounds_the_pull_of_a_wrong_answer() -> None:
    pull = jax.grad(preference_log_prob)
    honest = abs(float(pull(jnp.float32(12.0), jnp.int32(SECOND), jnp.float32(0.1), 0.0)))
    forgiving = abs(float(pull(jnp.float32(12.0), jnp.int32(SECOND), jnp.float32(0.1), 0.1)))
    assert honest == pytest.approx(1.0, abs=0.01)
    assert forgiving < 0.01


def test_nothing_overflows() -> None:
    found = preference_log_prob(jnp.array([1e4, -1e4, 0.0]), LABELS, jnp.float32(100.0), 0.1)
    gradient = jax.grad(lambda d, m: jnp.sum(preference_log_prob(d, LABELS, m, 0.1)), argnums=(0, 1))
    assert jnp.isfinite(found).all()
    assert all(jnp.isfinite(part).all() for part in gradient(jnp.array([1e4, -1e4, 0.0]), jnp.float32(100.0)))
