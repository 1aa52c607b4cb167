"""A known reward is found again from each kind of answer, and kinds of answers are learned from together."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.reward.clips import ClipTable
from rlhf_games.reward.cuts import fitted_cuts
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams, with_tie_share
from rlhf_games.reward.fit import FitConfig, KindWeights, fit, initial_state
from rlhf_games.reward.gradient import log_probs, returns_of
from rlhf_games.reward.minibatches import shuffled_order
from rlhf_games.reward.rows import Answers, Rows, ascending, raw_cuts

Model = tuple[RewardEnsemble, RewardParams]
STEPS, COUNT = 6, 320
TRUE = 0.8
"""Reward of a step per unit of its first feature."""


def rows(label: Any, features: NDArray[Any], credit: NDArray[Any] | None = None, annotator: Any = None, held: float = 0.2) -> Rows:
    """``features [K, W, L, F]`` as rows; a share of them is held out."""
    count, width, steps = features.shape[:3]
    clips = features.reshape(count * width, steps, -1)
    counted = np.zeros((count * width, 0), np.float32) if credit is None else np.broadcast_to(credit, (count * width, steps))
    table = ClipTable(
        jnp.asarray(clips), jnp.zeros((count * width, steps, 0), jnp.int32), jnp.ones((count * width, steps), bool), jnp.asarray(counted)
    )
    places = jnp.arange(count * width, dtype=jnp.int32).reshape(count, width)
    holdout = np.arange(count) < held * count
    who = np.zeros(count, np.int32) if annotator is None else annotator
    weight = np.broadcast_to((~holdout).astype(np.float32), (2, count))
    return Rows(table, places, jnp.asarray(label), jnp.asarray(who), jnp.asarray(weight), jnp.asarray(holdout))


def shown(seed: int, width: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """``[K, W, L, 2]`` features and ``[K, W]`` the returns they are worth."""
    features = np.random.default_rng(seed).normal(size=(COUNT, width, STEPS, 2)).astype(np.float32)
    return features, TRUE * features[..., 0].sum(-1)


def drawn_ranking(returns: NDArray[Any], rng: np.random.Generator) -> NDArray[Any]:
    """Plackett–Luce without ties."""
    return np.argsort(np.argsort(-(returns + rng.gumbel(size=returns.shape)), axis=1), axis=1).astype(np.int32)


def from_kind(kind: str, seed: int = 1) -> Rows:
    rng = np.random.default_rng([seed, 7])
    if kind == "ranking":
        features, returns = shown(seed, 4)
        return rows(drawn_ranking(returns, rng), features)
    features, returns = shown(seed, 1)
    value = returns[:, 0]
    if kind == "rating":
        who = np.arange(COUNT) % 2  # the second one is hard to please
        cuts = np.array([[-2.0, -0.7, 0.7, 2.0], [0.0, 1.0, 2.0, 3.5]])[who]
        return rows((value + rng.logistic(size=COUNT) > cuts.T).sum(0).astype(np.int32), features, annotator=who.astype(np.int32))
    credit = np.array([0.0, 1.0, 1.0, 1.0, 1.0, 0.5], np.float32)
    meant = (TRUE * features[..., 0] * credit).sum(-1)[:, 0]
    said = np.where(meant + rng.logistic(size=COUNT) > 0, 1.0, -1.0).astype(np.float32)
    return rows(said, features, credit)


def slope(model: Model, params: RewardParams) -> NDArray[Any]:
    """``[M, 2]`` how much each feature is worth, by least squares on what the members predict."""
    features = np.random.default_rng(9).normal(size=(500, 2)).astype(np.float32)
    raw = np.asarray(model[0].raw(params, jnp.asarray(features)))
    design = np.concatenate([features, np.ones((500, 1))], axis=1)
    return np.linalg.lstsq(design, raw.T, rcond=None)[0].T[:, :2]


@pytest.mark.parametrize("kind", ["ranking", "rating", "evaluation"])
def test_a_known_reward_is_found_again(model: Model, kind: str) -> None:
    config = FitConfig(learning_rate=1e-2, max_epochs=60, noise=0.0, patience=10)
    data = {kind: from_kind(kind)}
    start = initial_state(with_tie_share(model[1], 0.0))  # nobody ties
    state, report = fit(model[0], config, start, data, jax.random.key(1))
    found = slope(model, state.params)
    np.testing.assert_allclose(found[:, 0], TRUE, rtol=0.4)
    np.testing.assert_allclose(found[:, 1], 0.0, atol=0.2)
    held = np.asarray(data[kind].holdout)
    log_prob = np.asarray(log_probs(model[0], state.params, kind, data[kind], 0.0, report.cuts))
    np.testing.assert_allclose(-log_prob[:, held].mean(1), report.holdout_loss, rtol=1e-4)
    assert set(report.returns) == {kind}
    np.testing.assert_allclose(report.returns[kind], returns_of(model[0], state.params, data[kind]), rtol=1e-4, atol=1e-5)


def test_each_annotator_has_cut_points(model: Model) -> None:
    config = FitConfig(learning_rate=1e-2, max_epochs=60, noise=0.0, patience=10)
    _, report = fit(model[0], config, initial_state(model[1]), {"rating": from_kind("rating")}, jax.random.key(1))
    cuts = np.asarray(report.cuts)[:, :2]
    assert (np.diff(cuts, axis=-1) > 0).all()
    # a network has a zero of its own, so only differences are known
    between = cuts[:, 1] - cuts[:, 0]
    np.testing.assert_allclose(between.mean(0), [2.0, 1.7, 1.3, 1.5], atol=0.8)


def test_kinds_teach_together_and_by_their_weights(model: Model) -> None:
    right, wrong = from_kind("ranking"), from_kind("rating")
    wrong = wrong._replace(label=4 - wrong.label)  # whoever rates likes the opposite
    config = FitConfig(learning_rate=1e-2, max_epochs=30, noise=0.0)
    found = []
    for weights in (KindWeights(rating=0.0), KindWeights(ranking=0.05), KindWeights(ranking=0.0)):
        changed = FitConfig(**{**vars(config), "weights": weights})
        state, report = fit(model[0], changed, initial_state(model[1]), {"ranking": right, "rating": wrong}, jax.random.key(1))
        assert set(report.returns) == {kind for kind in ("ranking", "rating") if weights.of(kind) > 0}
        found.append(slope(model, state.params)[:, 0].mean())
    assert found[0] > 0.3
    assert found[1] < 0
    assert found[2] < -0.3


def test_nothing_that_counts_is_refused(model: Model) -> None:
    with pytest.raises(ValueError, match="nothing to fit"):
        fit(
            model[0],
            FitConfig(weights=KindWeights(ranking=0.0)),
            initial_state(model[1]),
            {"ranking": from_kind("ranking")},
            jax.random.key(1),
        )
    with pytest.raises(ValueError, match=r"weights.rating must be at least 0"):
        KindWeights(rating=-1.0)


def test_the_mean_over_kinds_is_what_is_minimised(model: Model) -> None:
    data: Answers = {"ranking": from_kind("ranking"), "evaluation": from_kind("evaluation")}
    config = FitConfig(max_epochs=1, learning_rate=1e-9, weights=KindWeights(evaluation=3.0))
    _, report = fit(model[0], config, initial_state(model[1]), data, jax.random.key(1))
    parts = {kind: np.asarray(log_probs(model[0], model[1], kind, part, config.noise)) for kind, part in data.items()}
    for held, loss in ((True, report.holdout_loss), (False, report.train_loss)):
        chosen = {kind: parts[kind][:, np.asarray(part.holdout) == held] for kind, part in data.items()}
        total = chosen["ranking"].sum(1) + 3.0 * chosen["evaluation"].sum(1)
        count = chosen["ranking"].shape[1] + 3.0 * chosen["evaluation"].shape[1]
        np.testing.assert_allclose(loss, -total / count, rtol=1e-4)


def test_returns_are_credited_sums(model: Model) -> None:
    part = from_kind("evaluation")
    returns = np.asarray(returns_of(model[0], model[1], part))
    features, credit = np.asarray(part.clips.content), np.asarray(part.clips.credit)
    raw = np.asarray(model[0].raw(model[1], jnp.asarray(features.reshape(-1, 2)))).reshape(2, COUNT, STEPS)
    np.testing.assert_allclose(returns[:, :, 0], (raw * credit[None]).sum(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", [5, 11])
def test_every_row_comes_once_in_a_pass_however_many_steps_it_has(steps: int) -> None:
    part = from_kind("evaluation")
    order = shuffled_order(part, 64, jax.random.key(3))
    assert int(order.steps) == 4  # 256 train
    came = np.concatenate([np.asarray(order.batch(jnp.int32(i), jnp.int32(steps))) for i in range(steps)])
    trains = np.flatnonzero(~np.asarray(part.holdout))
    counts = np.bincount(came, minlength=COUNT + 1)
    assert (counts[trains] == 1).all()
    assert counts[np.flatnonzero(part.holdout)].max() <= 1, "what is held out has no weight, wherever it comes"


def test_cut_points_begin_where_the_stars_put_them() -> None:
    rng = np.random.default_rng(0)
    returns = np.zeros((1, 1000))
    stars = rng.choice(5, 1000, p=[0.1, 0.2, 0.4, 0.2, 0.1])
    [[cuts]] = fitted_cuts(returns, stars, np.zeros(1000, int), np.ones((1, 1000)), (1, 5))
    share = np.cumsum(np.bincount(stars, minlength=5) + 0.5)[:-1] / 1002.5
    np.testing.assert_allclose(cuts, np.log(share / (1 - share)), atol=1e-6)  # σ(c) is the share where all returns are 0
    np.testing.assert_allclose(ascending(raw_cuts(cuts)), cuts, rtol=1e-4)
    nobody = fitted_cuts(returns[:, :0], stars[:0], np.zeros(0, int), np.ones((1, 0)), (2, 5))
    assert np.isfinite(nobody).all()
    assert (np.diff(nobody, axis=-1) > 0).all()
