"""The contract suite of agents: a small sound agent passes, and every rule is broken once, on purpose."""

from __future__ import annotations

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import pytest

from rlhf_games.core.agent import Action, Explanation, Rollout
from rlhf_games.testing import AGENT_RULES, AgentSubject, check_agent, example_specs, verdicts

GRID = next(spec for spec in example_specs() if spec.name == "example/grid")


class Linear:
    """A softmax policy on a linear layer, moved towards actions that earned more than the average: sound, if not clever."""

    width: ClassVar[int] = GRID.actions.n

    def init(self, key: Any, spec: Any) -> Any:
        size = 1
        for side in spec.observation.shape:
            size *= side
        return {"w": 0.1 * jax.random.normal(key, (size, self.width)), "v": jnp.zeros((size,)), "t": jnp.int32(0)}

    def params(self, state: Any) -> Any:
        return {"w": state["w"], "v": state["v"]}

    def logits(self, params: Any, observation: Any, legal: Any) -> Any:
        flat = observation.reshape(observation.shape[0], -1).astype(jnp.float32)
        return jnp.where(legal, flat @ params["w"], -jnp.inf)

    def act(self, params: Any, observation: Any, key: Any, legal_action_mask: Any) -> Action:
        logits = self.logits(params, observation, legal_action_mask)
        action = jax.random.categorical(key, logits).astype(jnp.int32)
        return Action(action, {"log_prob": jnp.take_along_axis(jax.nn.log_softmax(logits), action[:, None], 1)[:, 0]})

    def value(self, params: Any, observation: Any) -> Any:
        return observation.reshape(observation.shape[0], -1).astype(jnp.float32) @ params["v"]

    def explain(self, params: Any, observation: Any, legal_action_mask: Any) -> Explanation:
        return Explanation(jax.nn.softmax(self.logits(params, observation, legal_action_mask)), self.value(params, observation))

    def update(self, state: Any, rollout: Rollout, key: Any, progress: Any) -> Any:
        rows = rollout.reward.size
        observation = rollout.observation.reshape(rows, *rollout.observation.shape[3:])
        legal, action = rollout.legal_action_mask.reshape(rows, -1), rollout.action.reshape(rows)
        weight = (rollout.reward * rollout.acting.astype(jnp.float32)).reshape(rows)

        def loss(w: Any) -> Any:
            log_prob = jax.nn.log_softmax(self.logits({"w": w}, observation, legal))
            return -jnp.mean(jnp.take_along_axis(log_prob, action[:, None], 1)[:, 0] * weight)

        value, gradient = jax.value_and_grad(loss)(state["w"])
        return {**state, "w": state["w"] - 0.1 * gradient, "t": state["t"] + 1}, {"loss": value}


class Keyless(Linear):
    def init(self, key: Any, spec: Any) -> Any:
        return super().init(jax.random.key(0), spec)


class Wide(Linear):
    def act(self, *args: Any) -> Action:
        action, extras = super().act(*args)
        return Action(action.astype(jnp.float32), extras)


class Lawless(Linear):
    def act(self, params: Any, observation: Any, key: Any, legal_action_mask: Any) -> Action:
        return super().act(params, observation, key, jnp.ones_like(legal_action_mask))


class Greedy(Linear):
    def act(self, params: Any, observation: Any, key: Any, legal_action_mask: Any) -> Action:
        return super().act(params, observation, jax.random.key(0), legal_action_mask)


class TwoMinded(Linear):
    def value(self, params: Any, observation: Any) -> Any:
        return super().value(params, observation) + 1

    def explain(self, params: Any, observation: Any, legal_action_mask: Any) -> Explanation:
        told = super().explain(params, observation, legal_action_mask)
        return told._replace(value=told.value - 1)


class Unnormal(Linear):
    def explain(self, *args: Any) -> Explanation:
        told = super().explain(*args)
        return told._replace(probabilities=told.probabilities * 0.9)


class Boaster(Linear):
    """Says that it is surer than it is."""

    def explain(self, params: Any, observation: Any, legal_action_mask: Any) -> Explanation:
        told = super().explain(params, observation, legal_action_mask)
        return told._replace(probabilities=jax.nn.softmax(9 * self.logits(params, observation, legal_action_mask)))


class Drifting(Linear):
    def update(self, *args: Any) -> Any:
        state, metrics = super().update(*args)
        return {**state, "t": state["t"].astype(jnp.float32)}, metrics


class Lazy(Linear):
    def update(self, state: Any, *args: Any) -> Any:
        return {**state, "t": state["t"] + 1}, {}


class Moody(Linear):
    """Learns differently each time."""

    def update(self, *args: Any) -> Any:
        state, metrics = super().update(*args)
        noise = jax.pure_callback(self.noise, jax.ShapeDtypeStruct((), jnp.float32))
        return {**state, "w": state["w"] + noise}, metrics

    count = 0

    def noise(self) -> Any:
        self.count += 1
        return jnp.float32(self.count)


class Shared(Linear):
    """Begins with a target network that is its own network: the very same array."""

    def init(self, key: Any, spec: Any) -> Any:
        state = super().init(key, spec)
        return {**state, "target": state["w"]}

    def update(self, state: Any, *args: Any) -> Any:
        after, metrics = super().update(state, *args)
        return {**after, "target": jnp.where(state["t"] % 2 == 0, state["w"], state["target"])}, metrics


class Independent(Shared):
    """The same with a copy."""

    def init(self, key: Any, spec: Any) -> Any:
        state = super().init(key, spec)
        return {**state, "target": jnp.copy(state["w"])}


class Eavesdropper(Linear):
    """Learns from seats that wait."""

    def update(self, state: Any, rollout: Rollout, key: Any, progress: Any) -> Any:
        return super().update(state, rollout._replace(acting=jnp.ones_like(rollout.acting)), key, progress)


class Contrary(Linear):
    """Unlearns what it is shown, and minds what only fills up."""

    def imitate(self, state: Any, lessons: Any, key: Any, progress: Any) -> Any:
        def loss(w: Any) -> Any:
            legal = jnp.ones((len(lessons.weight), self.width), bool)
            log_prob = jax.nn.log_softmax(self.logits({**state, "w": w}, lessons.observation, legal))
            return jnp.mean(jnp.take_along_axis(log_prob, lessons.action[:, None], axis=1))

        return {**state, "w": state["w"] - jax.grad(loss)(state["w"])}, {}


BROKEN: list[tuple[str, str, type[Linear]]] = [
    ("init", "the key is not used", Keyless),
    ("act", "action is float32", Wide),
    ("legality", "sampled actions were illegal", Lawless),
    ("key", "the key is not used", Greedy),
    ("value", "disagree about the value by up to 1", TwoMinded),
    ("explain", "sum to 0.9", Unnormal),
    ("frequencies", "explain says", Boaster),
    ("update", "['t'] is int32(), after an update float32()", Drifting),
    ("learns", "leaves all parameters as they were", Lazy),
    ("reproducible", "the same update with the same key differs", Moody),
    ("donation", "state['target'] and state['w'] are the same array", Shared),
    ("waiting", "what waiting seats are said to have chosen", Eavesdropper),
    ("imitate", "the action that was shown became less likely", Contrary),
]


def test_a_sound_agent_passes() -> None:
    check_agent(Linear(), GRID)


def test_a_target_network_that_is_a_copy_passes() -> None:
    check_agent(Independent(), GRID)


@pytest.mark.parametrize(("name", "message", "kind"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_broken_rule_is_found_and_explained(name: str, message: str, kind: type[Linear]) -> None:
    (rule,) = [rule for rule in AGENT_RULES if rule.name == name]
    (verdict,) = verdicts([rule], AgentSubject(kind(), GRID))
    assert message in verdict.problem


def test_every_rule_is_broken_by_some_test() -> None:
    assert {name for name, _, _ in BROKEN} == {rule.name for rule in AGENT_RULES}


def test_examples_cover_every_space_and_layout() -> None:
    specs = example_specs()
    assert {type(spec.actions).__name__ for spec in specs} == {"Discrete", "MultiDiscrete", "Box"}
    assert {spec.observation.layout for spec in specs} == {"vector", "grid", "image"}
    assert {spec.players for spec in specs} == {1, 2}
    assert {spec.turn_based for spec in specs} == {True, False}
