"""Probe games with known answers: each isolates one thing that a learner must get right.

The five one-step probes are those of A. Jones, *Debugging Reinforcement Learning Systems Without The Agonizing Pain* (2021); the
identity games ask for ``action == observation`` in each kind of action space. A learner that fails one of them is wrong, and which
one it fails says where to look:

======================  ==================================================
``ConstantReward``      the value loss, or its optimiser
``ObservedReward``      back-propagation through the value network
``DelayedReward``       discounting and bootstrapping
``ActionReward``        advantages, the policy loss, or its optimiser
``MatchObservation``    rows of observation and action that got mixed up
``Identity*``           sampling and log-probabilities of one action space
======================  ==================================================

All are device games with one player and a vector observation, so they run wherever other games run. ``F`` is the number of features.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec, Session, TimeStep
from rlhf_games.core.session import DeviceSession
from rlhf_games.core.spaces import ActionSpace, Box, Discrete, MultiDiscrete, Observation

_CELL = 32


class Answers(NamedTuple):
    """What a learner that has understood the probe says of ``K`` observations."""

    observation: NDArray[np.float32]
    """``[K, F]``."""
    value: NDArray[np.float32]
    """``[K]`` expected discounted return under the best policy."""
    action: NDArray[np.int32] | NDArray[np.float32] | None
    """``[K, ...]`` the best action; None where there is no choice."""


class ProbeState(NamedTuple):
    """A probe at one moment."""

    observation: jax.Array
    """``[F]`` float32."""
    reward: jax.Array
    """``[]`` float32 earned by the last action."""
    t: jax.Array
    """``[]`` int32 steps played."""


class Probe(ABC):
    """A game of ``length`` steps; a subclass says what is observed, what is earned and what the answers are."""

    probe: ClassVar[str]
    length: ClassVar[int] = 1

    @property
    @abstractmethod
    def actions(self) -> ActionSpace:
        """The action space."""

    @property
    @abstractmethod
    def features(self) -> int:
        """``F``, the size of the observation."""

    @abstractmethod
    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """The observation ``[F]`` float32 at step ``t`` (``[]`` int32); the key is consumed."""

    @abstractmethod
    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """``[]`` float32 for ``action`` (``[...]``, without the player axis) at ``observation`` and step ``t``."""

    @abstractmethod
    def answers(self, discount: float) -> Answers:
        """What is true of this probe at the given discount."""

    @cached_property
    def spec(self) -> GameSpec:
        """The game's description."""
        space = self.actions
        keys = {str(i): i for i in range(space.n)} if isinstance(space, Discrete) else {}
        return GameSpec(
            name=f"probe/{self.probe}",
            version="1",
            players=1,
            observation=Observation((self.features,), "float32", "vector"),
            actions=space,
            decisions_per_second=4.0,
            turn_based=True,
            aim=(self.__doc__ or self.probe).splitlines()[0],
            options=json.loads(json.dumps(dataclasses.asdict(self))) if dataclasses.is_dataclass(self) else {},
            keys=keys,
            frame_shape=(_CELL, _CELL * self.features),
        )

    def init(self, key: jax.Array) -> ProbeState:
        """The start of an episode; the key is consumed."""
        return ProbeState(self.observe(key, jnp.int32(0)), jnp.float32(0), jnp.int32(0))

    def step(self, state: ProbeState, action: jax.Array, key: jax.Array) -> ProbeState:
        """The next state; ``action`` is ``[1, ...]``; the key is consumed."""
        reward = self.reward(state.observation, action[0], state.t)
        return ProbeState(self.observe(key, state.t + 1), reward, state.t + 1)

    def timestep(self, state: ProbeState) -> TimeStep[jax.Array]:
        """What the player sees."""
        return TimeStep(
            observation=state.observation[None],
            reward=state.reward[None],
            terminated=state.t >= self.length,
            truncated=jnp.zeros((), bool),
            legal_action_mask=jnp.ones((1, self.actions.n), bool),
            acting=jnp.ones((1,), bool),
        )

    def draw(self, state: ProbeState) -> NDArray[np.uint8]:
        """One grey square per feature: black for -1, white for 1."""
        shade = np.clip(127.5 + 127.5 * np.asarray(state.observation), 0, 255).astype(np.uint8)
        return np.ascontiguousarray(np.broadcast_to(np.repeat(shade, _CELL)[None, :, None], (_CELL, _CELL * self.features, 3)))

    def open(self, seed: int) -> Session:
        """One interactive game."""
        return DeviceSession(self, seed)


class _OneFeature(Probe):
    """A probe with one feature and the actions ``choices``."""

    choices: ClassVar[tuple[str, ...]] = ("wait",)

    @property
    def actions(self) -> Discrete:
        """The action space."""
        return Discrete(self.choices)

    @property
    def features(self) -> int:
        """One."""
        return 1

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """Always 0."""
        return jnp.zeros((1,))


@dataclass(frozen=True)
class ConstantReward(_OneFeature):
    """One action, always the same observation, always +1: the value is 1."""

    probe: ClassVar[str] = "constant_reward"

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """Always 1."""
        return jnp.ones(())

    def answers(self, discount: float) -> Answers:
        """The value is 1."""
        return Answers(np.zeros((1, 1), np.float32), np.ones(1, np.float32), None)


@dataclass(frozen=True)
class ObservedReward(_OneFeature):
    """One action, an observation of -1 or +1 that says what will be earned: the value is the observation."""

    probe: ClassVar[str] = "observed_reward"

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """A fair coin: -1 or +1."""
        return jax.random.rademacher(key, (1,), jnp.float32)

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """The observation."""
        return observation[0]

    def answers(self, discount: float) -> Answers:
        """The value is the observation."""
        both = np.array([[-1], [1]], np.float32)
        return Answers(both, both[:, 0], None)


@dataclass(frozen=True)
class DelayedReward(_OneFeature):
    """One action, two steps, +1 after the second: the values are the discount and 1."""

    probe: ClassVar[str] = "delayed_reward"
    length: ClassVar[int] = 2

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """0 at the first step, 1 after it."""
        second: jax.Array = (t > 0).astype(jnp.float32)
        return second[None]

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """1 for the second step."""
        return (t == 1).astype(jnp.float32)

    def answers(self, discount: float) -> Answers:
        """The discount at 0, and 1 at 1."""
        return Answers(np.array([[0], [1]], np.float32), np.array([discount, 1], np.float32), None)


@dataclass(frozen=True)
class ActionReward(_OneFeature):
    """Two actions, always the same observation; the second action earns +1, the first -1."""

    probe: ClassVar[str] = "action_reward"
    choices: ClassVar[tuple[str, ...]] = ("lose", "win")

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """+1 for action 1, -1 for action 0."""
        return 2 * action.astype(jnp.float32) - 1

    def answers(self, discount: float) -> Answers:
        """Action 1, worth 1."""
        return Answers(np.zeros((1, 1), np.float32), np.ones(1, np.float32), np.ones(1, np.int32))


@dataclass(frozen=True)
class MatchObservation(_OneFeature):
    """Two actions, an observation of -1 or +1; the action that matches it earns +1, the other -1."""

    probe: ClassVar[str] = "match_observation"
    choices: ClassVar[tuple[str, ...]] = ("minus", "plus")

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """A fair coin: -1 or +1."""
        return jax.random.rademacher(key, (1,), jnp.float32)

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """+1 where the action's sign is the observation's."""
        return observation[0] * (2 * action.astype(jnp.float32) - 1)

    def answers(self, discount: float) -> Answers:
        """The action of the observation's sign, worth 1."""
        return Answers(np.array([[-1], [1]], np.float32), np.ones(2, np.float32), np.array([0, 1], np.int32))


@dataclass(frozen=True)
class IdentityDiscrete(Probe):
    """Choose the action that the observation shows; +1 where it is the same, else 0."""

    probe: ClassVar[str] = "identity_discrete"
    size: int = 4
    """Number of actions."""

    @property
    def actions(self) -> Discrete:
        """``size`` actions."""
        return Discrete(tuple(f"choose {i}" for i in range(self.size)))

    @property
    def features(self) -> int:
        """One per action."""
        return self.size

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """A random action, one-hot."""
        return jax.nn.one_hot(jax.random.randint(key, (), 0, self.size), self.size)

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """1 where the action is the one shown."""
        return observation[action]

    def answers(self, discount: float) -> Answers:
        """The action shown, worth 1."""
        return Answers(np.eye(self.size, dtype=np.float32), np.ones(self.size, np.float32), np.arange(self.size, dtype=np.int32))


@dataclass(frozen=True)
class IdentityMultiDiscrete(Probe):
    """Make every choice as the observation shows it; earns the share of choices that are right."""

    probe: ClassVar[str] = "identity_multi_discrete"
    sizes: tuple[int, ...] = (2, 3)
    """Number of values of each choice."""

    @property
    def actions(self) -> MultiDiscrete:
        """One choice per entry of ``sizes``."""
        return MultiDiscrete(tuple(self.sizes), tuple(f"choice {i}" for i in range(len(self.sizes))))

    @property
    def features(self) -> int:
        """One per value of each choice."""
        return sum(self.sizes)

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """A random action, each choice one-hot, side by side."""
        wanted = jax.random.randint(key, (len(self.sizes),), 0, jnp.array(self.sizes))
        return jnp.concatenate([jax.nn.one_hot(wanted[i], size) for i, size in enumerate(self.sizes)])

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """Share of choices that are as shown, in [0, 1]."""
        starts = np.cumsum((0, *self.sizes[:-1])).astype(np.int32)
        return observation[action + starts].mean()

    def answers(self, discount: float) -> Answers:
        """Every combination, worth 1."""
        action = np.stack(np.meshgrid(*(np.arange(size) for size in self.sizes), indexing="ij"), -1).reshape(-1, len(self.sizes))
        hot = [np.eye(size, dtype=np.float32)[action[:, i]] for i, size in enumerate(self.sizes)]
        return Answers(np.concatenate(hot, axis=1), np.ones(len(action), np.float32), action.astype(np.int32))


@dataclass(frozen=True)
class IdentityBox(Probe):
    """Answer with the vector that is observed; earns minus the largest difference."""

    probe: ClassVar[str] = "identity_box"
    size: int = 2
    """Entries of the vector, each in [-1, 1]."""

    @property
    def actions(self) -> Box:
        """The cube [-1, 1] of ``size`` dimensions."""
        return Box((self.size,), (-1.0,) * self.size, (1.0,) * self.size)

    @property
    def features(self) -> int:
        """As many as the action has."""
        return self.size

    def observe(self, key: jax.Array, t: jax.Array) -> jax.Array:
        """Uniform in the cube."""
        return jax.random.uniform(key, (self.size,), minval=-1, maxval=1)

    def reward(self, observation: jax.Array, action: jax.Array, t: jax.Array) -> jax.Array:
        """``-max|action - observation|``, at best 0; free of sums and products, whose rounding would depend on the compiler."""
        return -jnp.max(jnp.abs(action - observation))

    def answers(self, discount: float) -> Answers:
        """The observation itself, worth 0, at the corners of half the cube and at its middle."""
        corners = np.stack(np.meshgrid(*[[-0.5, 0.0, 0.5]] * self.size, indexing="ij"), -1).reshape(-1, self.size).astype(np.float32)
        return Answers(corners, np.zeros(len(corners), np.float32), corners)


ONE_STEP_PROBES: tuple[Probe, ...] = (ConstantReward(), ObservedReward(), DelayedReward(), ActionReward(), MatchObservation())
"""The five probes, in the order in which to try them."""
IDENTITY_PROBES: tuple[Probe, ...] = (IdentityDiscrete(), IdentityMultiDiscrete(), IdentityBox())
"""``action == observation`` in each kind of action space."""
