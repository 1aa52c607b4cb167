"""Heads: probabilities by hand, masks, sampling against what is claimed, densities against SciPy."""

from __future__ import annotations

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Box, Discrete, MultiDiscrete, Observation
from rlhf_games.learning.distributions import Categorical, Gaussian, Head, MultiCategorical, head_for
from rlhf_games.rollout.evaluate import random_actions
from rlhf_games.testing.play import random_action

DRAWS = 20_000


def repeat(row: list[float] | list[bool], times: int) -> jax.Array:
    return jnp.tile(jnp.asarray(row)[None], (times, 1))


def test_each_space_has_its_head() -> None:
    assert head_for(Discrete(("a", "b", "c"))) == Categorical(3)
    assert head_for(MultiDiscrete((2, 3), ("on", "gear"))) == MultiCategorical((2, 3))
    assert head_for(Box((2, 2), (0.0,) * 4, (1.0,) * 4)).size == 8


def test_categorical_by_hand() -> None:
    # Logits log 1, log 2, log 5 are probabilities 1/8, 2/8, 5/8; without the third they are 1/3, 2/3.
    head, outputs = Categorical(3), jnp.log(jnp.array([[1.0, 2.0, 5.0]] * 2))
    legal = jnp.array([[True, True, True], [True, True, False]])
    np.testing.assert_allclose(head.probabilities(outputs, legal), [[1 / 8, 2 / 8, 5 / 8], [1 / 3, 2 / 3, 0]], rtol=1e-6)
    np.testing.assert_allclose(head.log_prob(outputs, legal, jnp.array([2, 1])), np.log([5 / 8, 2 / 3]), rtol=1e-6)
    by_hand = [-sum(p * math.log(p) for p in row) for row in ((1 / 8, 2 / 8, 5 / 8), (1 / 3, 2 / 3))]
    np.testing.assert_allclose(head.entropy(outputs, legal), by_hand, rtol=1e-6)


def test_divergences_by_hand() -> None:
    # From (1/4, 3/4) to (1/2, 1/2): 1/4 log(1/2) + 3/4 log(3/2); the third action is illegal and counts nothing.
    one, other = jnp.log(jnp.array([[1.0, 3.0, 9.0]])), jnp.log(jnp.array([[2.0, 2.0, 1.0]]))
    by_hand = 0.25 * math.log(0.5) + 0.75 * math.log(1.5)
    legal = jnp.array([[True, True, False]])
    np.testing.assert_allclose(Categorical(3).kl(one, other, legal), [by_hand], rtol=1e-5)
    np.testing.assert_array_equal(Categorical(3).kl(one, one, legal), [0.0])
    # Two choices: the same once more beside one that does not change.
    twice = MultiCategorical((2, 1)).kl(one, other, jnp.ones((1, 3), bool))
    np.testing.assert_allclose(twice, [by_hand], rtol=1e-5)
    # Normal(0.5, e^-0.5) to Normal(0, e^-1): log(σ2/σ1) + (σ1² + (μ1 - μ2)²) / (2 σ2²) - 1/2 = -0.5 + (e^-1 + 0.25) / (2 e^-2) - 0.5.
    box = Gaussian(Box((1,), (-1.0,), (1.0,)))
    found = box.kl(jnp.array([[0.5, 0.0]]), jnp.array([[0.0, -0.5]]), jnp.ones((1, 1), bool))
    np.testing.assert_allclose(found, [-1.0 + (math.exp(-1) + 0.25) / (2 * math.exp(-2))], rtol=1e-5)


def test_categorical_draws_as_often_as_it_says_and_never_what_is_illegal() -> None:
    head, outputs, legal = Categorical(4), repeat([0.0, 1.0, 30.0, 2.0], DRAWS), repeat([True, True, False, True], DRAWS)
    sample = head.sample(outputs, legal, jax.random.key(0))
    told = np.asarray(head.probabilities(outputs[:1], legal[:1])[0])
    drawn = np.bincount(np.asarray(sample.action), minlength=4) / DRAWS
    assert told[2] == 0.0
    assert drawn[2] == 0.0
    assert np.abs(drawn - told).max() < 5 * 0.5 / math.sqrt(DRAWS)  # five standard errors at most
    assert sample.action is sample.raw


@pytest.mark.parametrize("head", [Categorical(3), MultiCategorical((2, 1))])
def test_seats_that_may_do_nothing_give_finite_gradients(head: Head) -> None:
    def total(outputs: jax.Array) -> jax.Array:
        legal = jnp.zeros((1, 3), bool)
        sample = head.sample(outputs, legal, jax.random.key(0))
        return jnp.sum(head.log_prob(outputs, legal, sample.raw) + head.entropy(outputs, legal))

    assert bool(jnp.isfinite(jax.grad(total)(jnp.array([[1.0, -2.0, 3.0]]))).all())


def test_multi_categorical_is_a_product() -> None:
    head = MultiCategorical((2, 3))
    outputs = jax.random.normal(jax.random.key(1), (1, 5))
    legal = jnp.array([[True, True, True, False, True]])
    first, second = Categorical(2), Categorical(3)
    a, b = (first.probabilities(outputs[:, :2], legal[:, :2]), second.probabilities(outputs[:, 2:], legal[:, 2:]))
    np.testing.assert_allclose(head.probabilities(outputs, legal), jnp.concatenate([a, b], -1))
    entropy = first.entropy(outputs[:, :2], legal[:, :2]) + second.entropy(outputs[:, 2:], legal[:, 2:])
    np.testing.assert_allclose(head.entropy(outputs, legal), entropy, rtol=1e-6)
    whole = 0.0
    for i, j in itertools.product(range(2), (0, 2)):
        probability = float(jnp.exp(head.log_prob(outputs, legal, jnp.array([[i, j]])))[0])
        assert probability == pytest.approx(float(a[0, i] * b[0, j]), rel=1e-5)
        whole += probability
    assert whole == pytest.approx(1, abs=1e-5)


def test_multi_categorical_draws_each_choice_on_its_own() -> None:
    head = MultiCategorical((2, 3))
    outputs, legal = repeat([0.0, 1.0, 0.0, 9.0, 1.0], DRAWS), repeat([True, True, True, False, True], DRAWS)
    action = np.asarray(head.sample(outputs, legal, jax.random.key(0)).action)
    assert (action.shape, action.dtype) == ((DRAWS, 2), np.int32)
    told = np.asarray(head.probabilities(outputs[:1], legal[:1])[0])
    for column, start, end in ((0, 0, 2), (1, 2, 5)):
        drawn = np.bincount(action[:, column], minlength=end - start) / DRAWS
        assert np.abs(drawn - told[start:end]).max() < 5 * 0.5 / math.sqrt(DRAWS)
    assert abs(np.corrcoef(action.T)[0, 1]) < 5 / math.sqrt(DRAWS)


def test_gaussian_density_and_entropy_are_scipys() -> None:
    head = Gaussian(Box((2,), (-1.0, 0.0), (1.0, 3.0)))
    outputs = jnp.array([[0.3, -0.2, 0.1, -0.6]])  # means, then log standard deviations 0.5 above the real ones
    raw = jnp.array([[0.9, -1.4]])
    legal = jnp.ones((1, 1), bool)
    normal = scipy.stats.norm([0.3, -0.2], np.exp([-0.4, -1.1]))
    np.testing.assert_allclose(head.log_prob(outputs, legal, raw), [normal.logpdf([0.9, -1.4]).sum()], rtol=1e-5)
    np.testing.assert_allclose(head.entropy(outputs, legal), [normal.entropy().sum()], rtol=1e-5)


def test_gaussian_draws_lie_in_the_box() -> None:
    box = Box((2, 1), (-1.0, 0.0), (1.0, 3.0))
    head, legal = Gaussian(box), jnp.ones((DRAWS, 1), bool)
    outputs = repeat([0.5, 0.0, 0.5, 0.5], DRAWS)  # standard deviation 1 in units where the box is [-1, 1]
    sample = head.sample(outputs, legal, jax.random.key(0))
    assert (sample.action.shape, sample.raw.shape) == ((DRAWS, 2, 1), (DRAWS, 2))
    flat = np.asarray(sample.action).reshape(DRAWS, 2)
    assert np.array_equal(flat.min(0), [-1, 0])  # so wide a draw reaches both bounds and never passes them
    assert np.array_equal(flat.max(0), [1, 3])
    z = np.asarray(sample.raw)
    assert np.abs(z.mean(0) - [0.5, 0.0]).max() < 5 / math.sqrt(DRAWS)
    assert np.abs(z.std(0) - 1).max() < 5 / math.sqrt(DRAWS)
    inside = (np.abs(z) < 1).all(1)
    np.testing.assert_allclose(flat[inside], [0, 1.5] + z[inside] * [1, 1.5], rtol=1e-4, atol=1e-5)


@st.composite
def boxes(draw: st.DrawFn) -> Box:
    """Anywhere, of any width that float32 can tell from nothing."""
    size = draw(st.integers(1, 4))
    widths = st.floats(-30, 18).map(lambda power: 10.0**power)
    low = [draw(st.sampled_from((-1, 1))) * draw(widths) for _ in range(size)]
    high = [float(np.nextafter(np.float32(start), np.float32(np.inf))) + draw(widths) for start in low]
    return Box((size,), tuple(low), tuple(high))


@settings(max_examples=60, deadline=None)
@given(boxes(), st.integers(0, 2**32 - 1))
def test_actions_never_leave_their_box(box: Box, seed: int) -> None:
    """Draws at both bounds and between, random actions, and the mean that is shown."""
    low, high = box.bounds
    (size,) = box.shape
    means = np.random.default_rng(seed).choice([-9.0, -1.0, 0.0, 1.0, 9.0, 0.3], (50, size))
    outputs, legal = jnp.asarray(np.concatenate([means, np.full((50, size), -4.5)], 1), jnp.float32), jnp.ones((50, 1), bool)
    head, key = Gaussian(box), jax.random.key(seed)
    spec = GameSpec("test/box", "1", 1, Observation((1,), "float32", "vector"), box, 1.0, False, "Made up.")
    for actions in (
        head.sample(outputs, legal, key).action,
        head.probabilities(outputs, legal),
        random_actions(box, key, legal),
        random_action(spec, np.ones((50, 1), bool), np.random.default_rng(seed)),
    ):
        found = np.asarray(actions)
        assert np.isfinite(found).all()
        assert ((low <= found) & (found <= high)).all()
    back = head.raw(jnp.stack([jnp.asarray(low), jnp.asarray(high)]))
    assert np.isfinite(back).all()


@pytest.mark.parametrize(
    ("low", "high", "message"),
    [
        (-math.inf, math.inf, "must be finite"),
        (0.0, math.inf, "must be finite"),
        (-3.4e38, 3.4e38, "must be finite, and at most 1.8e"),
        (-1e20, 0.0, "must be finite, and at most 1.8e"),
        (math.nan, 1.0, "must be finite"),
        (1.0, 1.0, "low must be below high"),
        (1e8, 1e8 + 1, "also in float32"),
        (0.0, 1e-40, "also in float32"),
    ],
)
def test_boxes_that_float32_cannot_hold_are_refused(low: float, high: float, message: str) -> None:
    with pytest.raises(UserError, match=f"entry 1 of a box reaches from .*{message}"):
        Box((2,), (0.0, low), (1.0, high))


def test_gaussian_mean_is_shown_in_the_games_units() -> None:
    head = Gaussian(Box((2,), (-1.0, 0.0), (1.0, 3.0)))
    shown = head.probabilities(jnp.array([[0.5, 0.5, 0.0, 0.0], [-7.0, 7.0, 0.0, 0.0]]), jnp.ones((2, 1), bool))
    np.testing.assert_allclose(shown, [[0.5, 2.25], [-1, 3]], rtol=1e-6)
