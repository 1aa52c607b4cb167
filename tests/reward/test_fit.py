"""Fitting finds what is known by hand, and keeps the best it had."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.feedback.likelihoods import FIRST, SECOND, TIE
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.fit import LEAST_TIE_MARGIN, FitConfig, fit, initial_state
from rlhf_games.reward.gradient import clip_returns, log_probs
from rlhf_games.reward.rows import Rows, pair_rows

Model = tuple[RewardEnsemble, RewardParams]
HEADS, TAILS = np.array([1.0, 0.0], np.float32), np.array([-1.0, 0.0], np.float32)


def comparisons(labels: list[int], capacity: int = 128, holdout: Any = False) -> Rows:
    """Heads against tails, one step each, in either order; ``labels`` say ``FIRST`` where heads is better."""
    features = np.zeros((capacity, 2, 2, 2), np.float32)
    mask, label = np.zeros((capacity, 2, 2), bool), np.zeros(capacity, np.int32)
    for row, said in enumerate(labels):
        swapped = row % 2
        features[row, :, 0] = [TAILS, HEADS] if swapped else [HEADS, TAILS]
        label[row] = said if said == TIE or not swapped else 1 - said
    count = len(labels)
    mask[:count, :, 0] = True
    held = np.zeros(capacity, bool)
    held[:count] = holdout
    weight = np.broadcast_to((~held & (np.arange(capacity) < count)).astype(np.float32), (2, capacity))
    return pair_rows(features, mask, label, weight, held)


def difference(model: Model) -> np.ndarray:
    """``[M]`` r(heads) - r(tails)."""
    raw = model[0].raw(model[1], jnp.stack([HEADS, TAILS]))
    return np.asarray(raw[:, 0] - raw[:, 1])


@pytest.mark.parametrize(("noise", "said"), [(0.0, (70, 20, 10)), (0.3, (59, 24, 17))])
def test_known_log_odds_are_found(model: Model, noise: float, said: tuple[int, int, int]) -> None:
    # P = (.7, .2, .1): σ(d - δ) = .7 and σ(-d - δ) = .2, so d - δ = log(7/3), d + δ = log 4;
    # with ε = .3 the same P shows as .7 P + .1 = (.59, .24, .17)
    data = comparisons([FIRST] * said[0] + [SECOND] * said[1] + [TIE] * said[2])
    config = FitConfig(learning_rate=1e-2, batch=128, max_epochs=1500, noise=noise, weight_decay=1e-6)
    state, report = fit(model[0], config, initial_state(model[1]), {"preference": data}, jax.random.key(1))
    low, high = np.log(7 / 3), np.log(4)
    np.testing.assert_allclose(difference((model[0], state.params)), (low + high) / 2, atol=0.03)
    np.testing.assert_allclose(jax.nn.softplus(state.params.tie_margin), (high - low) / 2, atol=0.03)
    shares = np.array(said) / 100
    np.testing.assert_allclose(report.train_loss, -(shares * np.log(shares)).sum(), atol=0.01)
    assert int(report.epochs) == 1500


def test_the_best_on_the_hold_out_is_kept_and_fitting_stops(model: Model) -> None:
    # training says heads, the hold-out says tails: the longer it trains, the worse it measures
    said = [FIRST] * 40 + [SECOND] * 20
    data = comparisons(said, holdout=np.arange(60) >= 40)
    config = FitConfig(learning_rate=1e-2, batch=48, max_epochs=200, patience=5)  # 48 does not divide 128
    state, report = fit(model[0], config, initial_state(model[1]), {"preference": data}, jax.random.key(1))
    before = -log_probs(model[0], model[1], "preference", data, config.noise)[:, 40:60].mean(1)
    after = -log_probs(model[0], state.params, "preference", data, config.noise)[:, 40:60].mean(1)
    assert (after <= before + 1e-6).all()
    np.testing.assert_allclose(report.holdout_loss, after, rtol=1e-5)
    assert int(report.epochs) < 20


def test_what_has_no_weight_changes_nothing(model: Model) -> None:
    config = FitConfig(batch=48, max_epochs=3)
    clean = comparisons([FIRST] * 100)
    content = clean.clips.content.at[200:].set(9.0).at[:, 1].set(7.0)
    dirty = clean._replace(clips=clean.clips._replace(content=content), label=clean.label.at[100:].set(TIE))
    key = jax.random.key(2)
    data = [{"preference": rows} for rows in (clean, dirty)]
    fitted = [fit(model[0], config, initial_state(model[1]), rows, key)[0].params.members for rows in data]
    for a, b in zip(*(jax.tree.leaves(members) for members in fitted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert (np.asarray(jax.tree.leaves(fitted[0])[0]) != np.asarray(jax.tree.leaves(model[1].members)[0])).any()


def test_without_labels_the_model_stays(model: Model) -> None:
    config = FitConfig(batch=48, max_epochs=3)
    state, report = fit(model[0], config, initial_state(model[1]), {"preference": comparisons([])}, jax.random.key(2))
    np.testing.assert_array_equal(difference((model[0], state.params)), difference(model))
    assert np.isfinite(report.train_loss).all()
    assert np.isfinite(report.holdout_loss).all()


def test_the_tie_margin_never_vanishes(model: Model) -> None:
    start = model[1]._replace(tie_margin=jnp.full((2,), LEAST_TIE_MARGIN))
    config = FitConfig(batch=48, max_epochs=3)
    state, _ = fit(model[0], config, initial_state(start), {"preference": comparisons([FIRST] * 100)}, jax.random.key(2))
    np.testing.assert_array_equal(state.params.tie_margin, LEAST_TIE_MARGIN)
    state, _ = fit(model[0], config, state, {"preference": comparisons([TIE] * 100)}, jax.random.key(2))
    assert (state.params.tie_margin > LEAST_TIE_MARGIN).all()


def test_returns_sum_what_the_mask_shows(model: Model) -> None:
    features = jnp.asarray(np.stack([np.stack([HEADS, TAILS, HEADS]), np.stack([TAILS, HEADS, HEADS])]))
    mask = jnp.array([[True, True, True], [True, False, False]])
    heads, tails = np.asarray(model[0].raw(model[1], jnp.stack([HEADS, TAILS]))).T
    expected = np.stack([2 * heads + tails, tails], axis=1)
    np.testing.assert_allclose(clip_returns(*model, features, mask), expected, rtol=1e-5)
