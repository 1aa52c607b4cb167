"""The contract suite of agents: ``check_agent`` for tests, ``AGENT_RULES`` for tools that report rule by rule.

Everything runs on random observations and masks of the game's shapes, so no game is played.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import Action, Agent, Imitator, Lessons, Rollout, shared_memory
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Box, Discrete, MultiDiscrete, Observation
from rlhf_games.testing.play import choice_bounds
from rlhf_games.testing.rule import Rule, demand, expect

_ROWS = 64
_LESSON_DRAWS = 16
"""How often each shown action is to be drawn."""
_DRAWS, _DRAWS_OF_PIXELS = 4_096, 256
"""Actions drawn to compare frequencies with what ``explain`` says; convolutions over pixels are slow."""


@dataclass(frozen=True, eq=False)
class AgentSubject:
    """An agent under test on games of one description."""

    agent: Agent
    spec: GameSpec
    seed: int = 0
    steps: int = 32
    """``T`` of the made-up rollout."""
    games: int = 8
    """``N`` of the made-up rollout; steps × games × players must suit the agent's minibatches."""

    @cached_property
    def rng(self) -> np.random.Generator:
        """For made-up experience."""
        return np.random.default_rng(self.seed)

    @property
    def draws(self) -> int:
        """How many actions the rules about sampling draw."""
        return _DRAWS_OF_PIXELS if self.spec.observation.layout == "image" else _DRAWS

    @cached_property
    def state(self) -> Any:
        """A fresh learner."""
        return self.agent.init(jax.random.key(self.seed), self.spec)

    @cached_property
    def params(self) -> Any:
        """What a fresh learner acts with."""
        return self.agent.params(self.state)

    @cached_property
    def act(self) -> Any:
        """``agent.act``, compiled."""
        return jax.jit(self.agent.act)

    @cached_property
    def explain(self) -> Any:
        """``agent.explain``, compiled."""
        return jax.jit(self.agent.explain)

    @cached_property
    def update(self) -> Any:
        """``agent.update``, compiled as a run compiles it: the state is donated, that is, its memory is used for the next one."""
        return jax.jit(self.agent.update, donate_argnums=(0,))

    @cached_property
    def rows(self) -> tuple[jax.Array, jax.Array]:
        """A batch of random observations ``[B, ...]`` and masks ``[B, A]``."""
        return jnp.asarray(self.observations(_ROWS)), jnp.asarray(self.masks(_ROWS))

    def observations(self, *shape: int) -> NDArray[Any]:
        """Random observations ``[*shape, ...]``."""
        seen = self.spec.observation
        size = (*shape, *seen.shape)
        if seen.dtype == "bool":
            return self.rng.random(size) < 0.2
        if seen.dtype == "uint8":
            return self.rng.integers(0, 256, size, np.uint8)
        return self.rng.normal(size=size).astype(np.float32)

    def masks(self, *shape: int) -> NDArray[np.bool_]:
        """Random masks ``[*shape, A]`` with at least one legal action per choice."""
        mask = np.ones((*shape, self.spec.actions.n), bool)
        if isinstance(self.spec.actions, Box):
            return mask
        for start, end in choice_bounds(self.spec.actions):
            part = self.rng.random((*shape, end - start))
            mask[..., start:end] = (part < 0.5) | (part == part.min(axis=-1, keepdims=True))
        return mask

    @cached_property
    def rollout(self) -> Rollout:
        """Made-up experience in which the agent itself chose every action: ends of both kinds, and seats that wait."""
        shape = (self.steps, self.games, self.spec.players)
        rows = math.prod(shape)
        observation, mask = self.observations(*shape), self.masks(*shape)
        flat = jnp.asarray(observation).reshape(rows, *observation.shape[3:]), jnp.asarray(mask).reshape(rows, -1)
        chosen: Action = self.act(self.params, flat[0], jax.random.key(self.seed + 1), flat[1])
        terminated = self.rng.random(shape[:2]) < 0.05
        truncated = (self.rng.random(shape[:2]) < 0.05) & ~terminated
        turn = self.rng.integers(0, self.spec.players, shape[:2])
        acting = (turn[..., None] == np.arange(self.spec.players)) | (not self.spec.turn_based)
        waits = np.concatenate([~acting[1:], acting[:1]]) & self.spec.turn_based
        return Rollout(
            observation=jnp.asarray(observation),
            action=chosen.action.reshape(*shape, *chosen.action.shape[1:]),
            reward=jnp.asarray(self.rng.normal(size=shape), jnp.float32),
            terminated=jnp.asarray(terminated),
            truncated=jnp.asarray(truncated),
            legal_action_mask=jnp.asarray(mask),
            acting=jnp.asarray(acting),
            extras=jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), chosen.extras),
            bootstrap=jnp.asarray(self.rng.normal(size=shape) * truncated[..., None], jnp.float32),
            last_observation=jnp.asarray(self.observations(*shape[1:])),
            out=jnp.zeros(shape, bool),
            waits=jnp.asarray(waits),
        )

    @cached_property
    def updates(self) -> Sequence[tuple[Any, dict[str, jax.Array]]]:
        """``(state, metrics)`` of the same update made twice under ``jit`` with the same key."""
        return [self.learn(self.rollout) for _ in range(2)]

    def learn(self, rollout: Rollout) -> tuple[Any, dict[str, jax.Array]]:
        """One update from ``rollout``, always with the same key."""
        state, metrics = self.update(jax.tree.map(jnp.copy, self.state), rollout, jax.random.key(self.seed + 2), jnp.float32(0.25))
        return state, metrics


def check_agent(agent: Agent, spec: GameSpec, *, seed: int = 0, steps: int = 32, games: int = 8) -> None:
    """Checks every rule of the contract of agents (``rlhf_games.core.agent``) on ``agent``, for games like ``spec``.

    Args:
      agent: the agent; it need not be initialised.
      spec: a game's description; only its shapes, spaces and number of players matter.
      seed: of parameters and made-up experience.
      steps: ``T`` of the made-up rollout.
      games: ``N`` of the made-up rollout.

    Raises:
      AssertionError: names every rule that is broken, and with what numbers.
    """
    demand(AGENT_RULES, AgentSubject(agent, spec, seed, steps, games), f"{type(agent).__name__} on {spec.name}")


def _init_is_reproducible(subject: AgentSubject) -> None:
    leaves = jax.tree.leaves(subject.params)
    expect(leaves, "params(state) holds no array")
    for path, leaf in jax.tree_util.tree_leaves_with_path(subject.params):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            expect(bool(jnp.isfinite(leaf).all()), f"params{jax.tree_util.keystr(path)} starts with entries that are not finite")
    again = subject.agent.init(jax.random.key(subject.seed), subject.spec)
    text = _first_change(subject.state, again)
    expect(not text, f"init with the same key gives another state: {text}")
    other = subject.agent.params(subject.agent.init(jax.random.key(subject.seed + 77), subject.spec))
    expect(_first_change(subject.params, other), "init with another key gives the same parameters: the key is not used")


def _actions_are_right(subject: AgentSubject) -> None:
    space = subject.spec.actions
    observation, mask = subject.rows
    chosen: Action = subject.act(subject.params, observation, jax.random.key(3), mask)
    shape, dtype = (_ROWS, *space.shape), np.dtype(space.dtype)
    found = (chosen.action.shape, chosen.action.dtype)
    expect(found == (shape, dtype), f"action is {found[1]}{found[0]}, not {dtype}{shape}")
    for path, leaf in jax.tree_util.tree_leaves_with_path(chosen.extras):
        expect(leaf.shape[:1] == (_ROWS,), f"extras{jax.tree_util.keystr(path)} has shape {leaf.shape}, not ({_ROWS}, ...)")


def _actions_are_legal(subject: AgentSubject) -> None:
    space = subject.spec.actions
    observation, mask = jnp.asarray(subject.observations(subject.draws)), subject.masks(subject.draws)
    action = np.asarray(subject.act(subject.params, observation, jax.random.key(4), jnp.asarray(mask)).action)
    if isinstance(space, Box):
        low, high = space.bounds
        outside = int(((action < low) | (action > high)).sum())
        expect(not outside, f"{outside} of {action.size} entries lie outside the box (smallest {action.min()}, largest {action.max()})")
        return
    for i, (start, end) in enumerate(choice_bounds(space)):
        column = action.reshape(subject.draws, -1)[:, i]
        expect(((column >= 0) & (column < end - start)).all(), f"choice {i} is {column.min()} to {column.max()}, not in [0, {end - start})")
        illegal = int((~mask[np.arange(subject.draws), start + column]).sum())
        expect(not illegal, f"{illegal} of {subject.draws} sampled actions were illegal under random masks")


def _acting_depends_on_the_key_only(subject: AgentSubject) -> None:
    observation, mask = jnp.asarray(subject.observations(subject.draws)), jnp.asarray(subject.masks(subject.draws))
    first, again, other = (subject.act(subject.params, observation, jax.random.key(seed), mask).action for seed in (5, 5, 6))
    expect(bool((first == again).all()), "act with the same key chooses differently the second time")
    space = subject.spec.actions
    if isinstance(space, Box) or max(end - start for start, end in choice_bounds(space)) > 1:
        expect(bool((first != other).any()), f"act with another key chooses the same {subject.draws} actions: the key is not used")


def _values_are_right(subject: AgentSubject) -> None:
    observation, mask = subject.rows
    value = jax.jit(subject.agent.value)(subject.params, observation)
    expect((value.shape, value.dtype) == ((_ROWS,), jnp.float32), f"value is {value.dtype}{value.shape}, not float32({_ROWS},)")
    expect(bool(jnp.isfinite(value).all()), "value has entries that are not finite")
    told = subject.explain(subject.params, observation, mask).value
    worst = float(jnp.abs(told - value).max())
    expect(worst < 1e-4, f"explain and value disagree about the value by up to {worst:.3g}")


def _explanations_are_distributions(subject: AgentSubject) -> None:
    space = subject.spec.actions
    observation, mask = subject.rows
    told = np.asarray(subject.explain(subject.params, observation, mask).probabilities)
    width = math.prod(space.shape) if isinstance(space, Box) else space.n
    expect(told.shape == (_ROWS, width), f"probabilities have shape {told.shape}, not {(_ROWS, width)}")
    expect(np.isfinite(told).all(), "probabilities have entries that are not finite")
    if isinstance(space, Box):
        low, high = (bound.reshape(-1) for bound in space.bounds)
        outside = (told < low) | (told > high)
        expect(not outside.any(), f"{int(outside.sum())} entries of mean actions lie outside the box")
        return
    expect((told >= 0).all(), f"the smallest probability is {told.min()}")
    illegal = float(told[~np.asarray(mask)].max(initial=0.0))
    expect(illegal < 1e-6, f"an illegal action has probability {illegal:.3g}")
    for start, end in choice_bounds(space):
        sums = told[:, start:end].sum(axis=1)
        expect(np.allclose(sums, 1, atol=1e-4), f"probabilities of [{start}, {end}) sum to {sums.min():.6f} to {sums.max():.6f}")


def _sampling_agrees_with_explaining(subject: AgentSubject) -> None:
    space = subject.spec.actions
    if isinstance(space, Box):
        return
    observation, mask = (jnp.broadcast_to(rows[:1], (subject.draws, *rows.shape[1:])) for rows in subject.rows)
    told = np.asarray(subject.explain(subject.params, observation[:1], mask[:1]).probabilities[0], np.float64)
    action = np.asarray(subject.act(subject.params, observation, jax.random.key(7), mask).action).reshape(subject.draws, -1)
    for i, (start, end) in enumerate(choice_bounds(space)):
        frequency = np.bincount(action[:, i], minlength=end - start) / subject.draws
        allowed = 5 * np.sqrt(told[start:end] * (1 - told[start:end]) / subject.draws) + 1e-3  # five standard errors
        worst = int(np.argmax(np.abs(frequency - told[start:end]) - allowed))
        drawn, said = frequency[worst], told[start + worst]
        expect(
            abs(drawn - said) <= allowed[worst], f"value {worst} of choice {i} is drawn in a share of {drawn:.3f}, explain says {said:.3f}"
        )


def _update_keeps_structure(subject: AgentSubject) -> None:
    state, metrics = subject.updates[0]
    expect(str(jax.tree.structure(state)) == str(jax.tree.structure(subject.state)), "update changes the structure of the state")
    for (path, one), other in zip(jax.tree_util.tree_leaves_with_path(subject.state), jax.tree.leaves(state), strict=True):
        where = jax.tree_util.keystr(path)
        same = (one.shape, one.dtype) == (other.shape, other.dtype)
        expect(same, f"state{where} is {one.dtype}{one.shape}, after an update {other.dtype}{other.shape}")
        if jnp.issubdtype(other.dtype, jnp.floating):
            expect(bool(jnp.isfinite(other).all()), f"after one update state{where} has entries that are not finite")
    for name, metric in metrics.items():
        expect(metric.shape == (), f"metric {name!r} has shape {metric.shape}, not ()")
        expect(bool(jnp.isfinite(metric)), f"metric {name!r} is {metric}, not one finite number")


def _update_learns(subject: AgentSubject) -> None:
    after = subject.agent.params(subject.updates[0][0])
    expect(_first_change(subject.params, after), "update leaves all parameters as they were")


def _update_is_reproducible(subject: AgentSubject) -> None:
    (first, told), (again, told_again) = subject.updates
    text = _first_change(first, again) or _first_change(told, told_again)
    expect(not text, f"the same update with the same key differs: {text}")


def _update_may_be_given_its_state(subject: AgentSubject) -> None:
    """Twice in a row from a state of its own, which is gone after each time, as in a run."""
    state = subject.agent.init(jax.random.key(subject.seed), subject.spec)
    if text := shared_memory(state):
        raise AssertionError(f"init: {text}")
    for number in (1, 2):
        try:
            state, _ = subject.update(state, subject.rollout, jax.random.key(subject.seed + number), jnp.float32(0.25))
        except RuntimeError as error:  # of JAX: memory that is gone is used
            raise AssertionError(f"update number {number} fails when its state is donated: {error}") from error


def _imitation_makes_the_shown_likelier(subject: AgentSubject) -> None:
    """One action shown in every state, to agents that can imitate; padding (weight 0) shows another."""
    space = subject.spec.actions
    if not isinstance(subject.agent, Imitator) or isinstance(space, Box):
        return
    observation, _ = subject.rows
    shown = jnp.zeros((_ROWS, *space.shape), jnp.int32)
    legal = jnp.ones((_ROWS, space.n), bool)
    padded = Lessons(
        jnp.concatenate([observation, observation]),
        jnp.concatenate([shown, shown + 1]),
        jnp.concatenate([jnp.full(_ROWS, _LESSON_DRAWS), jnp.zeros(_ROWS)]).astype(jnp.float32),
        jnp.concatenate([legal, legal]),
    )
    state, _ = jax.jit(subject.agent.imitate)(subject.state, padded, jax.random.key(subject.seed + 11), jnp.float32(0.25))
    before, after = (
        np.asarray(subject.explain(params, observation, legal).probabilities) for params in (subject.params, subject.agent.params(state))
    )
    for start, _ in choice_bounds(space):
        gain = float(np.mean(after[:, start] - before[:, start]))
        expect(gain > 0, f"the action that was shown became less likely (by {-gain:.3f} on average)")


def _waiting_seats_do_not_matter(subject: AgentSubject) -> None:
    """What a seat that does not act is said to have chosen, or to be worth, must not be learned from."""
    if not subject.spec.turn_based or subject.spec.players < 2:
        return
    rollout = subject.rollout
    rows, mask = math.prod(rollout.acting.shape), rollout.legal_action_mask
    observation = rollout.observation.reshape(rows, *rollout.observation.shape[3:])
    other: Action = subject.act(subject.params, observation, jax.random.key(subject.seed + 9), mask.reshape(rows, -1))

    def replace(mine: jax.Array, strange: jax.Array) -> jax.Array:
        acting = rollout.acting.reshape(rollout.acting.shape + (1,) * (mine.ndim - 3))
        return jnp.where(acting, mine, strange.reshape(mine.shape))

    changed = rollout._replace(action=replace(rollout.action, other.action), extras=jax.tree.map(replace, rollout.extras, other.extras))
    waits = rollout.waits[-1].reshape(rollout.waits.shape[1:] + (1,) * (rollout.last_observation.ndim - 2))
    strange = jnp.asarray(subject.observations(*rollout.waits.shape[1:]))
    changed = changed._replace(last_observation=jnp.where(waits, strange, rollout.last_observation))
    text = _first_change(subject.updates[0][0], subject.learn(changed)[0])
    expect(not text, f"what waiting seats are said to have chosen, or see at the end, changes what is learned: {text}")


def _first_change(one: Any, other: Any) -> str:
    """Where two trees of arrays differ first; empty where they are the same."""
    for (path, left), right in zip(jax.tree_util.tree_leaves_with_path(one), jax.tree.leaves(other), strict=True):
        keys = jnp.issubdtype(left.dtype, jax.dtypes.prng_key)
        a, b = (np.asarray(jax.random.key_data(leaf) if keys else leaf) for leaf in (left, right))
        if a.shape != b.shape or not np.array_equal(a, b):
            gap = "shapes" if a.shape != b.shape else f"{int((a != b).sum())} of {a.size} entries"
            return f"{jax.tree_util.keystr(path)} ({gap} differ)"
    return ""


def example_specs() -> tuple[GameSpec, ...]:
    """Descriptions that between them have every action space, every observation layout and one or two players; none is a real game."""
    grid = Observation((6, 7, 2), "bool", "grid")
    image = Observation((84, 84, 4), "uint8", "image")
    vector = Observation((5,), "float32", "vector")
    steer = Box((2,), (-2.89, 0.0), (-2.38, 3.0))  # scaled without care, -2.89 becomes -2.8900003
    return (
        GameSpec("example/grid", "1", 2, grid, Discrete(tuple("abcdefg")), 2.0, True, "Grid, discrete, two seats in turn."),
        GameSpec("example/vector", "1", 1, vector, MultiDiscrete((2, 3), ("on", "gear")), 10.0, False, "Vector, several choices at once."),
        GameSpec("example/box", "1", 2, vector, steer, 10.0, False, "Vector, real-valued actions, two seats at once."),
        GameSpec("example/image", "1", 1, image, Discrete(("stay", "go")), 15.0, False, "Pixels, discrete."),
    )


AGENT_RULES: tuple[Rule[AgentSubject], ...] = (
    Rule("init", "init depends on its key and gives finite parameters", _init_is_reproducible),
    Rule("act", "actions and extras have the right shapes and dtypes", _actions_are_right),
    Rule("legality", "sampled actions are legal under random masks", _actions_are_legal),
    Rule("key", "the key alone decides what is sampled", _acting_depends_on_the_key_only),
    Rule("value", "values are finite float32, and explain says the same", _values_are_right),
    Rule("explain", "explain gives distributions that rule out illegal actions", _explanations_are_distributions),
    Rule("frequencies", "actions are drawn as often as explain says", _sampling_agrees_with_explaining),
    Rule("update", "update compiles, keeps the state's structure and dtypes, and reports finite numbers", _update_keeps_structure),
    Rule("learns", "update changes the parameters", _update_learns),
    Rule("reproducible", "the same update with the same key gives the same state", _update_is_reproducible),
    Rule("donation", "update works when it is given its state away, as in a run", _update_may_be_given_its_state),
    Rule("waiting", "what seats that do not act are said to choose, or see at the end, is not learned from", _waiting_seats_do_not_matter),
    Rule("imitate", "an agent that can imitate takes shown actions more often", _imitation_makes_the_shown_likelier),
)
"""Every rule of the contract."""
