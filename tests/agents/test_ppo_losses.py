"""The clipped objective, number by number."""

from __future__ import annotations

import importlib
import math
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from rlhf_games.workspace import load_agent

OFF = {"clip": 0.2, "value_clip": 0.0, "value_weight": 0.5, "entropy_weight": 0.1}


@pytest.fixture(scope="module")
def losses() -> Any:
    load_agent("ppo", {})
    return importlib.import_module("rlhf_games_workspace.agents.ppo.losses")


def batch(losses: Any, *, advantage: list[float], weight: list[float], value: list[float], target: list[float]) -> Any:
    """Rows whose old log-probability is log ½."""
    rows = len(advantage)
    empty = jnp.zeros((rows, 1))
    old = jnp.full((rows,), math.log(0.5))
    return losses.Batch(empty, empty, empty > 0, old, *(jnp.array(x, jnp.float32) for x in (value, advantage, target, weight)))


def test_by_hand(losses: Any) -> None:
    # New probabilities 0.75, 0.3, 0.3, 0.5 against 0.5: ratios 1.5, 0.6, 0.6, 1. ε = 0.2.
    # Advantages 2, 1, -1, 3 give min(3, 2.4), min(0.6, 0.8), min(-0.6, -0.8), 3 = 2.4, 0.6, -0.8, 3: mean 1.3.
    # Values 1, 2, 3, 4 against targets 0, 2, 5, 4: ½ · mean(1, 0, 4, 0) = 0.625.
    # Entropies 0.1, 0.2, 0.3, 0.4: mean 0.25. Total = -1.3 + 0.5·0.625 - 0.1·0.25 = -1.0125.
    # k3 = mean(0.5 - log 1.5, -0.4 - log 0.6, -0.4 - log 0.6, 0). Three of four ratios are outside of the range.
    b = batch(losses, advantage=[2, 1, -1, 3], weight=[1] * 4, value=[0] * 4, target=[0, 2, 5, 4])
    new, entropy = jnp.log(jnp.array([0.75, 0.3, 0.3, 0.5])), jnp.array([0.1, 0.2, 0.3, 0.4])
    out = losses.ppo_losses(new, entropy, jnp.array([1.0, 2.0, 3.0, 4.0]), b, jnp.float32(4), **OFF)
    assert float(out.policy) == pytest.approx(-1.3)
    assert float(out.value) == pytest.approx(0.625)
    assert float(out.entropy) == pytest.approx(0.25)
    assert float(out.total) == pytest.approx(-1.0125)
    assert float(out.kl) == pytest.approx((0.5 - math.log(1.5) - 0.8 - 2 * math.log(0.6)) / 4)
    assert float(out.clipped) == pytest.approx(0.75)


def test_rows_of_weight_zero_teach_nothing(losses: Any) -> None:
    # Only the first row counts: ratio 1.5 clipped to 1.2, times 2; value error 1; entropy 0.1; denominator 1.
    b = batch(losses, advantage=[2, 1000], weight=[1, 0], value=[0, 0], target=[0, 1000])

    def total(log_prob: jax.Array, entropy: jax.Array, value: jax.Array) -> jax.Array:
        result: jax.Array = losses.ppo_losses(log_prob, entropy, value, b, jnp.float32(1), **OFF).total
        return result

    rows = jnp.log(jnp.array([0.75, 0.45])), jnp.array([0.1, 9.0]), jnp.array([1.0, -5.0])
    assert float(total(*rows)) == pytest.approx(-2.4 + 0.5 * 0.5 * 1 - 0.1 * 0.1)
    assert all(float(gradient[1]) == 0.0 for gradient in jax.grad(total, argnums=(0, 1, 2))(*rows))


def test_a_clipped_ratio_has_no_gradient_but_on_the_way_back(losses: Any) -> None:
    # ∂/∂log p of -ratio·A is -ratio·A where the ratio is not clipped. Rows: too far and better (0), too far and worse (pulled back).
    b = batch(losses, advantage=[1, -1, 1], weight=[1] * 3, value=[0] * 3, target=[0] * 3)

    def policy(log_prob: jax.Array) -> jax.Array:
        result: jax.Array = losses.ppo_losses(log_prob, jnp.zeros(3), jnp.zeros(3), b, jnp.float32(1), **OFF).policy
        return result

    gradient = jax.grad(policy)(jnp.log(jnp.array([0.75, 0.75, 0.55])))
    assert gradient.tolist() == pytest.approx([0, 1.5, -1.1])


def test_value_clipping(losses: Any) -> None:
    # Old 0, limit 1. Row 0: new 3, target 5: max((3-5)², (1-5)²) = 16 and no gradient. Row 1: new 3, target -1: max(16, 4) = 16.
    # Row 2: new 0.5, target 2: both 2.25. ½ · (16 + 16 + 2.25) = 17.125; unclipped ½ · (4 + 16 + 2.25) = 11.125.
    b = batch(losses, advantage=[0] * 3, weight=[1] * 3, value=[0] * 3, target=[5, -1, 2])

    def value_loss(value: jax.Array, limit: float) -> jax.Array:
        result: jax.Array = losses.ppo_losses(b.log_prob, jnp.zeros(3), value, b, jnp.float32(1), **OFF | {"value_clip": limit}).value
        return result

    new = jnp.array([3.0, 3.0, 0.5])
    assert float(value_loss(new, 1.0)) == pytest.approx(17.125)
    assert float(value_loss(new, 0.0)) == pytest.approx(11.125)
    assert jax.grad(value_loss)(new, 1.0).tolist() == pytest.approx([0, 4, -1.5])


def test_parts_of_a_batch_add_up(losses: Any) -> None:
    b = batch(losses, advantage=[2, 1, -1, 3], weight=[1, 0, 1, 1], value=[0] * 4, target=[0, 2, 5, 4])
    rows = jnp.log(jnp.array([0.75, 0.3, 0.3, 0.5])), jnp.array([0.1, 0.2, 0.3, 0.4]), jnp.array([1.0, 2.0, 3.0, 4.0])
    whole = losses.ppo_losses(*rows, b, jnp.float32(3), **OFF)
    halves = [
        losses.ppo_losses(*jax.tree.map(lambda x, s=part: x[s], (*rows, b)), jnp.float32(3), **OFF) for part in (slice(2), slice(2, 4))
    ]
    for name, expected, one, other in zip(whole._fields, whole, *halves, strict=True):
        assert float(one + other) == pytest.approx(float(expected), rel=1e-5), name
