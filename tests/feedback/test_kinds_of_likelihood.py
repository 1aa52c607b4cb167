"""Rankings, ratings and evaluations: probabilities worked out by hand, and all outcomes sum to 1."""

from __future__ import annotations

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import (
    FIRST,
    TIE,
    evaluation_log_prob,
    preference_log_prob,
    ranking_log_prob,
    rankings,
    rating_log_prob,
)

ranking_compiled = jax.jit(ranking_log_prob, static_argnums=3)
rating_compiled = jax.jit(rating_log_prob, static_argnums=3)


def every_ranking(clips: int) -> list[tuple[int, ...]]:
    return [ranks for ranks in product(range(clips), repeat=clips) if set(ranks) == set(range(max(ranks) + 1))]


def ranked(returns: list[float], ranks: list[tuple[int, ...]], margin: float, noise: float = 0.0) -> np.ndarray:
    values = jnp.broadcast_to(jnp.array(returns, jnp.float32), (len(ranks), len(returns)))
    return np.exp(np.asarray(ranking_compiled(values, jnp.array(ranks, jnp.int32), jnp.full(len(ranks), margin, jnp.float32), noise)))


@pytest.mark.parametrize(("clips", "count"), [(2, 3), (3, 13), (4, 75), (5, 541), (6, 4683)])
def test_rankings_with_ties_are_counted(clips: int, count: int) -> None:
    assert rankings(clips) == count
    if clips < 5:
        assert len(every_ranking(clips)) == count


@pytest.mark.parametrize("noise", [0.0, 0.3])
@pytest.mark.parametrize("clips", [2, 3, 4])
def test_all_rankings_sum_to_one(clips: int, noise: float) -> None:
    returns = [0.3, -1.2, 2.0, 0.1][:clips]
    assert ranked(returns, every_ranking(clips), 0.7, noise).sum() == pytest.approx(1.0, abs=1e-5)


def test_without_ties_a_ranking_is_plackett_luce() -> None:
    strength = np.exp([1.0, 0.0, -0.5])
    by_hand = strength[2] / strength.sum() * strength[0] / (strength[0] + strength[1])  # third, first, second
    assert ranked([1.0, 0.0, -0.5], [(1, 2, 0)], 1e-6)[0] == pytest.approx(by_hand, rel=1e-4)


def test_ties_by_hand() -> None:
    # ν = e^δ - 1 = 1: strengths a = 4, b = 1, c = 1; sets of two have the geometric mean, all three the cube root of 4
    margin = float(np.log(2.0))
    a, b, c = 4.0, 1.0, 1.0
    everything = a + b + c + 2.0 + 2.0 + 1.0 + 4.0 ** (1 / 3)
    returns = [float(np.log(4.0)), 0.0, 0.0]
    assert ranked(returns, [(0, 0, 1)], margin)[0] == pytest.approx(2.0 / everything, rel=1e-5)  # {a, b}, then c alone
    assert ranked(returns, [(0, 0, 0)], margin)[0] == pytest.approx(4.0 ** (1 / 3) / everything, rel=1e-5)
    assert ranked(returns, [(0, 1, 1)], margin)[0] == pytest.approx(a / everything * 1.0 / (b + c + 1.0), rel=1e-5)


def test_two_equal_clips_tie_as_often_as_in_the_model_of_pairs() -> None:
    for margin in (0.1, 0.7, 3.0):
        pair = jnp.exp(preference_log_prob(jnp.float32(0.0), jnp.int32(TIE), jnp.float32(margin), 0.1))
        assert ranked([0.4, 0.4], [(0, 0)], margin, 0.1)[0] == pytest.approx(float(pair), rel=1e-4)


def test_places_without_a_clip_count_nowhere() -> None:
    short, padded = ranked([0.2, 1.0], [(1, 0)], 0.5, 0.1), ranked([0.2, 1.0, 9.0], [(1, 0, -1)], 0.5, 0.1)
    np.testing.assert_allclose(short, padded, rtol=1e-5)
    gradient = jax.grad(lambda r: ranking_compiled(r, jnp.array([1, 0, -1]), jnp.float32(0.5), 0.1))(jnp.array([0.2, 1.0, 9.0]))
    assert gradient[2] == 0.0
    assert gradient[1] > 0.0 > gradient[0]
    assert np.isfinite(gradient).all()


def stars(value: float, noise: float = 0.0) -> np.ndarray:
    cuts = jnp.broadcast_to(jnp.array([-2.0, -0.5, 0.5, 3.0]), (5, 4))
    return np.exp(np.asarray(rating_compiled(jnp.full(5, value), jnp.arange(5), cuts, noise)))


@pytest.mark.parametrize("noise", [0.0, 0.2])
@pytest.mark.parametrize("value", [-30.0, -1.0, 0.0, 4.0, 30.0])
def test_all_stars_sum_to_one(value: float, noise: float) -> None:
    found = stars(value, noise)
    assert found.sum() == pytest.approx(1.0, abs=1e-5)
    assert (found >= noise / 5 - 1e-6).all()


def test_stars_by_hand() -> None:
    def below(cut: float) -> float:
        return 1.0 / (1.0 + np.exp(-(cut - 1.0)))  # σ(c - R) with R = 1

    by_hand = [below(-2.0), below(-0.5) - below(-2.0), below(0.5) - below(-0.5), below(3.0) - below(0.5), 1.0 - below(3.0)]
    np.testing.assert_allclose(stars(1.0), by_hand, rtol=1e-4)
    np.testing.assert_allclose(stars(1.0, 0.1), 0.9 * np.array(by_hand) + 0.02, rtol=1e-4)


def test_an_evaluation_by_hand() -> None:
    values = jnp.array([1.0, -1.0, 0.5])
    found = evaluation_log_prob(jnp.full(3, 2.0), values, 0.1)
    cheer, scold = 0.9 / (1.0 + np.exp(-2.0)) + 0.05, 0.9 / (1.0 + np.exp(2.0)) + 0.05
    assert cheer + scold == pytest.approx(1.0)
    np.testing.assert_allclose(found, [np.log(cheer), np.log(scold), 0.5 * np.log(cheer)], rtol=1e-5)
    gradient = jax.vmap(jax.grad(lambda h, v: evaluation_log_prob(h, v, 0.1)))(jnp.full(3, 2.0), values)
    assert gradient[0] > gradient[2] > 0.0 > gradient[1]


def test_the_same_answer_in_the_same_words_for_a_pair() -> None:
    pair = jnp.exp(preference_log_prob(jnp.float32(1.0), jnp.int32(FIRST), jnp.float32(1e-6), 0.0))
    assert ranked([1.0, 0.0], [(0, 1)], 1e-6)[0] == pytest.approx(float(pair), rel=1e-4)
