"""PPO's parts: the contract, micro-batches, and that each setting does what its name says."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.testing import AgentSubject, check_agent, example_specs
from rlhf_games.workspace import agent_config, load_agent

SPEC = GameSpec("test/rows", "1", 1, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, False, "Made up.")
TURNS = GameSpec("test/turns", "1", 2, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c")), 10.0, True, "Made up.")
GRID = GameSpec("test/grid", "1", 1, Observation((5, 5, 2), "bool", "grid"), Discrete(("a", "b")), 10.0, False, "Made up.")
SPECS = {"rows": SPEC, "turns": TURNS, "grid": GRID}
SMALL = {"hidden": (8,), "epochs": 1, "minibatches": 1}


@lru_cache(maxsize=64)  # what equal settings compiled is shared
def subject(spec: str = "rows", **config: Any) -> AgentSubject:
    """An agent with made-up experience ``[16, 4]`` in which it chose every action."""
    return AgentSubject(load_agent("ppo", SMALL | config), SPECS[spec], steps=16, games=4)


def update(it: AgentSubject, progress: float = 0.0, **rollout: Any) -> tuple[Any, dict[str, jax.Array]]:
    state, metrics = it.update(copied(it.state), it.rollout._replace(**rollout), jax.random.key(5), jnp.float32(progress))
    return state, metrics


def copied(state: Any) -> Any:
    """Updates take the memory of the state they are given, and tests share theirs."""
    return jax.tree.map(jnp.copy, state)


def norm(tree: Any) -> float:
    """Of all leaves together."""
    return math.sqrt(sum(float(jnp.sum(jnp.square(leaf))) for leaf in jax.tree.leaves(tree)))


def moved(it: AgentSubject, **kwargs: Any) -> float:
    """How far one update moves the parameters."""
    return norm(jax.tree.map(jnp.subtract, update(it, **kwargs)[0].params, it.params))


def gradient(it: AgentSubject, **kwargs: Any) -> Any:
    """The (clipped) gradient of a single step: Adam's first moment starts at 0 and takes a tenth of it."""
    return jax.tree.map(lambda m: 10 * m, update(it, **kwargs)[0].optimiser[1].mu)


@pytest.mark.parametrize("spec", example_specs(), ids=lambda spec: spec.name)
def test_contract(spec: GameSpec) -> None:
    """Every action space, every layout, one and two seats, in turn and at once."""
    image = spec.observation.layout == "image"
    config: dict[str, Any] = {"hidden": [16], "minibatches": 2 if image else 4, "epochs": 1 if image else 2}
    if image:  # convolutions over pixels are slow: the contract's lessons are 1,024 pictures
        config |= {"imitation_steps": 8, "imitation_batch": 16}
    check_agent(load_agent("ppo", config), spec, steps=4 if image else 16, games=4 if image else 8)


@pytest.mark.parametrize("spec", ["rows", "turns"])
def test_microbatches_give_the_same_gradient(spec: str) -> None:
    whole, parts = (subject(spec, microbatch=rows) for rows in (0, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), gradient(whole), gradient(parts))
    for name, expected in update(whole)[1].items():
        assert float(update(parts)[1][name]) == pytest.approx(float(expected), rel=1e-4, abs=1e-6), name


def test_microbatches_and_minibatches_must_divide() -> None:
    with pytest.raises(ValueError, match="microbatch of 7 rows does not divide a minibatch of 64"):
        update(subject(microbatch=7))
    with pytest.raises(ValueError, match="5 minibatches do not divide 64 rows"):
        update(subject(minibatches=5))


def test_gradient_norm_is_bounded() -> None:
    free = norm(gradient(subject(max_gradient_norm=1e6)))
    assert free > 0.02
    assert norm(gradient(subject(max_gradient_norm=0.01))) == pytest.approx(0.01, rel=1e-3)
    assert norm(gradient(subject(max_gradient_norm=2 * free))) == pytest.approx(free, rel=1e-3)


def test_learning_rate_scales_the_step_and_anneals_to_nothing() -> None:
    step = moved(subject(learning_rate=1e-3))
    assert moved(subject(learning_rate=2e-3)) == pytest.approx(2 * step, rel=1e-3)
    assert moved(subject(learning_rate=1e-3), progress=0.75) == pytest.approx(step / 4, rel=1e-3)
    assert moved(subject(learning_rate=1e-3), progress=1.0) == 0.0
    assert moved(subject(learning_rate=1e-3, anneal=False), progress=0.75) == pytest.approx(step, rel=1e-3)


def test_adam_epsilon() -> None:
    # Adam's first step is g / (|g| + ε): with ε far above the gradient it is g / ε.
    it = subject(adam_epsilon=100.0, learning_rate=1.0)
    assert moved(it) == pytest.approx(norm(gradient(it)) / 100, rel=1e-2)


def test_epochs_and_minibatches_are_counted() -> None:
    assert int(update(subject(epochs=3, minibatches=4))[0].optimiser[1].count) == 12


def _target_of(discount: float, trace: float) -> float:
    """The value error of one step with value 0 everywhere tells the targets."""
    it = subject(discount=discount, trace=trace)
    zeros = jnp.zeros_like(it.rollout.reward)
    reward = zeros.at[1].set(1.0)
    ends = jnp.zeros_like(it.rollout.terminated)
    params = jax.tree.map(jnp.zeros_like, it.params)
    extras = it.rollout.extras._replace(value=zeros)
    rollout = it.rollout._replace(reward=reward, terminated=ends, truncated=ends, bootstrap=zeros, extras=extras)
    metrics = it.update(copied(it.state)._replace(params=params), rollout, jax.random.key(0), jnp.float32(0))[1]
    return float(metrics["loss/value"])


def test_discount_and_trace() -> None:
    # A reward of 1 at step 1 and values of 0: targets γλ at step 0 and 1 at step 1, of 16 steps. ½ · mean of their squares.
    for discount, trace in ((0.9, 0.5), (0.5, 1.0)):
        assert _target_of(discount, trace) == pytest.approx(0.5 * (1 + (discount * trace) ** 2) / 16, rel=1e-5)


def test_clip_stops_the_policy() -> None:
    """With a value weight and an entropy weight of 0, many epochs on one batch go on only as long as ratios stay near 1."""
    many = {"epochs": 60, "value_weight": 0.0, "entropy_weight": 0.0, "learning_rate": 0.01}
    narrow, wide = (float(update(subject(clip=clip, **many))[1]["loss/kl"]) for clip in (0.05, 10.0))
    assert narrow < wide / 5


def test_loss_weights() -> None:
    def value_gradient(**config: Any) -> float:
        return float(jnp.abs(gradient(subject(max_gradient_norm=1e6, **config))["critic"]["kernel"][...]).sum())

    def policy_gradient(**config: Any) -> jax.Array:
        kernel: jax.Array = gradient(subject(max_gradient_norm=1e6, **config))["actor"]["kernel"][...]
        return kernel

    assert value_gradient(value_weight=0.0) == 0.0
    assert value_gradient(value_weight=1.0) == pytest.approx(2 * value_gradient(), rel=1e-4)
    none, usual, hundredfold = (policy_gradient(entropy_weight=weight) for weight in (0.0, 0.01, 1.0))
    assert float(jnp.abs(hundredfold - none).max()) > 1e-4
    np.testing.assert_allclose(hundredfold - none, 100 * (usual - none), atol=1e-4)


def test_value_clip_stops_the_value() -> None:
    many = {"epochs": 40, "learning_rate": 0.01, "value_weight": 1.0, "max_gradient_norm": 10.0, "entropy_weight": 0.0}

    def change(limit: float) -> float:
        it = subject(value_clip=limit, **many)
        rollout = {"reward": it.rollout.reward + 5.0}
        after = it.agent.value(update(it, **rollout)[0].params, it.rollout.observation.reshape(64, 3))
        return float(jnp.mean(after - it.rollout.extras.value.reshape(64)))

    assert change(0.1) < change(0.0) / 3


def test_normalised_advantages_do_not_care_for_the_rewards_scale() -> None:
    def policy_gradient(scale: float, normalise: bool) -> jax.Array:
        it = subject(normalise_advantage=normalise, value_weight=0.0, entropy_weight=0.0, max_gradient_norm=1e6)
        zeros = jnp.zeros_like(it.rollout.reward)
        extras, reward = it.rollout.extras._replace(value=zeros), it.rollout.reward * scale
        done = jnp.ones_like(it.rollout.terminated)
        kernel: jax.Array = gradient(it, reward=reward, extras=extras, terminated=done, bootstrap=zeros)["actor"]["kernel"][...]
        return kernel

    np.testing.assert_allclose(policy_gradient(10, True), policy_gradient(1, True), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(policy_gradient(10, False), 10 * policy_gradient(1, False), rtol=1e-3, atol=1e-6)


def test_network_settings_shape_the_network() -> None:
    def sizes(**config: Any) -> dict[str, tuple[int, ...]]:
        leaves = jax.tree_util.tree_leaves_with_path(subject("grid", **config).params)
        return {jax.tree_util.keystr(path): leaf.shape for path, leaf in leaves}

    assert sizes(hidden=(8, 4)) == sizes(hidden=(8, 4), network="mlp")
    assert {(50, 8), (8, 4), (4, 2), (4, 1)} <= set(sizes(hidden=(8, 4)).values())
    assert (18, 16) in sizes(network="cnn").values()  # 3×3 patches of two planes
    assert len(sizes(hidden=(8, 4), shared=False)) == len(sizes(hidden=(8, 4))) + 4  # two more layers, each with weights and biases


def test_activations_differ() -> None:
    values = [
        float(jnp.sum(it.agent.value(it.params, it.rows[0]))) for it in (subject(activation=a) for a in ("relu", "tanh", "leaky_relu"))
    ]
    assert len(set(values)) == 3


def test_value_metrics_leave_out_who_waits() -> None:
    """Foretelling perfectly at one's own moves is a perfect score, whatever is said at the others'."""
    it = subject("turns")
    ends, acting = jnp.ones_like(it.rollout.terminated), it.rollout.acting
    value = jnp.where(acting, it.rollout.reward, 100.0)
    extras = it.rollout.extras._replace(value=value)
    metrics = update(it, extras=extras, terminated=ends, bootstrap=jnp.zeros_like(value))[1]
    assert float(metrics["value/explained_variance"]) == pytest.approx(1, abs=1e-5)
    assert float(metrics["value/mean"]) == pytest.approx(float(value[acting].mean()), rel=1e-4)


def test_bound_agents_act_with_parameters_from_elsewhere() -> None:
    it = subject()
    stranger: Any = load_agent("ppo", SMALL)
    with pytest.raises(RuntimeError, match=r"bind\(spec\)"):
        stranger.act(it.params, it.rows[0], jax.random.key(0), it.rows[1])
    stranger.bind(SPEC)
    np.testing.assert_array_equal(stranger.value(it.params, it.rows[0]), it.agent.value(it.params, it.rows[0]))


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ({"clip": 0.0}, "clip must be positive, got 0.0"),
        ({"epochs": 0}, "epochs must be positive"),
        ({"discount": 1.1}, r"discount must be in \[0, 1\], got 1.1"),
        ({"entropy_weight": -0.1}, "entropy_weight must not be negative"),
        ({"hidden": ()}, "hidden must name at least one"),
        ({"hidden": (8, 0)}, "all positive"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        agent_config("ppo")(**setting)
