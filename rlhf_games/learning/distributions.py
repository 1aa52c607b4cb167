"""Distributions over actions, one per action space, as pure functions of a network's outputs.

Shapes: ``B`` batch, ``K`` outputs of the network (``head.size``), ``A`` width of the legal-action mask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from rlhf_games.core.spaces import ActionSpace, Box, Discrete, MultiDiscrete

_ILLEGAL = -1e9
"""Logit of an illegal action: exp of it is exactly 0 in float32, and its entropy term is 0, not NaN."""


class Sample(NamedTuple):
    """A draw from a head."""

    action: jax.Array
    """``[B, ...]`` what the game is given."""
    raw: jax.Array
    """``[B, ...]`` what ``log_prob`` is asked about (differs from the action only where a box is clipped)."""


class Head(Protocol):
    """How a network's outputs become actions."""

    @property
    def size(self) -> int:
        """Number of outputs ``K`` the head needs."""
        ...

    def sample(self, outputs: jax.Array, legal: jax.Array, key: jax.Array) -> Sample:
        """Draws one action per row; the key is consumed."""
        ...

    def log_prob(self, outputs: jax.Array, legal: jax.Array, raw: jax.Array) -> jax.Array:
        """``[B]`` log-probability (a density for a box)."""
        ...

    def raw(self, action: jax.Array) -> jax.Array:
        """``[B, ...]`` what ``log_prob`` is asked about for actions from elsewhere."""
        ...

    def entropy(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]`` entropy in nats."""
        ...

    def kl(self, outputs: jax.Array, others: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]`` KL divergence of ``others`` from ``outputs`` in nats, ``E_outputs[log outputs - log others]``."""
        ...

    def probabilities(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B, A]`` probabilities for people to look at; for a box the mean action ``[B, dim]``."""
        ...


@dataclass(frozen=True)
class Categorical:
    """One choice out of ``size``."""

    size: int

    def _log_probs(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        return jax.nn.log_softmax(jnp.where(legal, outputs, _ILLEGAL))

    def sample(self, outputs: jax.Array, legal: jax.Array, key: jax.Array) -> Sample:
        """Draws by the Gumbel trick."""
        action = jax.random.categorical(key, jnp.where(legal, outputs, _ILLEGAL)).astype(jnp.int32)
        return Sample(action, action)

    def log_prob(self, outputs: jax.Array, legal: jax.Array, raw: jax.Array) -> jax.Array:
        """``[B]``; ``raw`` is ``[B]`` int32."""
        chosen = jax.nn.one_hot(raw, self.size, dtype=outputs.dtype)
        return jnp.sum(self._log_probs(outputs, legal) * chosen, axis=-1)

    def raw(self, action: jax.Array) -> jax.Array:
        """``[B]``: the action itself."""
        return action

    def entropy(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]``, at most ``log(number of legal actions)``."""
        log_probs = self._log_probs(outputs, legal)
        return -jnp.sum(jnp.exp(log_probs) * jnp.where(legal, log_probs, 0.0), axis=-1)

    def kl(self, outputs: jax.Array, others: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]``; illegal actions count nothing."""
        log_probs = self._log_probs(outputs, legal)
        return jnp.sum(jnp.exp(log_probs) * jnp.where(legal, log_probs - self._log_probs(others, legal), 0.0), axis=-1)

    def probabilities(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B, A]``, illegal ones exactly 0."""
        return jnp.exp(self._log_probs(outputs, legal))


@dataclass(frozen=True)
class MultiCategorical:
    """Independent choices side by side; the mask and the outputs are concatenated in the same order."""

    sizes: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of outputs."""
        return sum(self.sizes)

    def _parts(self, array: jax.Array) -> list[jax.Array]:
        return jnp.split(array, np.cumsum(self.sizes)[:-1].tolist(), axis=-1)

    def _each(self, outputs: jax.Array, legal: jax.Array) -> list[tuple[Categorical, jax.Array, jax.Array]]:
        heads = [Categorical(size) for size in self.sizes]
        return list(zip(heads, self._parts(outputs), self._parts(legal), strict=True))

    def sample(self, outputs: jax.Array, legal: jax.Array, key: jax.Array) -> Sample:
        """``[B, len(sizes)]`` int32."""
        keys = jax.random.split(key, len(self.sizes))
        parts = self._each(outputs, legal)
        action = jnp.stack([head.sample(o, m, k).action for (head, o, m), k in zip(parts, keys, strict=True)], axis=-1)
        return Sample(action, action)

    def log_prob(self, outputs: jax.Array, legal: jax.Array, raw: jax.Array) -> jax.Array:
        """``[B]``, the sum over choices."""
        parts = enumerate(self._each(outputs, legal))
        return jnp.sum(jnp.stack([head.log_prob(o, m, raw[..., i]) for i, (head, o, m) in parts]), axis=0)

    def raw(self, action: jax.Array) -> jax.Array:
        """``[B, len(sizes)]``: the action itself."""
        return action

    def entropy(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]``, the sum over choices."""
        return jnp.sum(jnp.stack([head.entropy(o, m) for head, o, m in self._each(outputs, legal)]), axis=0)

    def kl(self, outputs: jax.Array, others: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]``, the sum over choices."""
        parts = zip(self._each(outputs, legal), self._parts(others), strict=True)
        return jnp.sum(jnp.stack([head.kl(one, other, mask) for (head, one, mask), other in parts]), axis=0)

    def probabilities(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B, A]``; each choice's part sums to 1."""
        return jnp.concatenate([head.probabilities(o, m) for head, o, m in self._each(outputs, legal)], axis=-1)


@dataclass(frozen=True)
class Gaussian:
    """A diagonal Gaussian in units where the box is [-1, 1]; draws are clipped into the box, densities are of the unclipped draw."""

    box: Box

    @property
    def size(self) -> int:
        """A mean and a log standard deviation per dimension."""
        return 2 * math.prod(self.box.shape)

    def _moments(self, outputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        mean, log_std = jnp.split(outputs, 2, axis=-1)
        return mean, jnp.clip(log_std - 0.5, -5.0, 1.0)

    def _middle_and_half(self) -> tuple[jax.Array, ...]:
        low, high = (bound.reshape(-1).astype(np.float64) for bound in self.box.bounds)
        return tuple(jnp.asarray(part.astype(np.float32))[None] for part in ((high + low) / 2, (high - low) / 2))

    def raw(self, action: jax.Array) -> jax.Array:
        """``[B, dim]`` in [-1, 1]."""
        middle, half = self._middle_and_half()
        return ((action.reshape(action.shape[0], *middle.shape[1:]) - middle) / half).reshape(action.shape[0], -1)

    def _into_box(self, raw: jax.Array) -> jax.Array:
        middle, half = self._middle_and_half()
        low, high = (jnp.asarray(bound)[None] for bound in self.box.bounds)
        scaled = (middle + half * jnp.clip(raw, -1.0, 1.0)).reshape(raw.shape[0], *self.box.shape)
        return jnp.clip(scaled, low, high)  # rounding may have left the box

    def sample(self, outputs: jax.Array, legal: jax.Array, key: jax.Array) -> Sample:
        """Action ``[B, *shape]`` inside the box; raw ``[B, dim]``."""
        del legal  # a box has no illegal actions
        mean, log_std = self._moments(outputs)
        raw = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return Sample(self._into_box(raw), raw)

    def log_prob(self, outputs: jax.Array, legal: jax.Array, raw: jax.Array) -> jax.Array:
        """``[B]`` log-density of the unclipped draw."""
        del legal
        mean, log_std = self._moments(outputs)
        z = (raw - mean) * jnp.exp(-log_std)
        return jnp.sum(-0.5 * jnp.square(z) - log_std - 0.5 * math.log(2 * math.pi), axis=-1)

    def entropy(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]`` differential entropy."""
        del legal
        _, log_std = self._moments(outputs)
        return jnp.sum(log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)

    def kl(self, outputs: jax.Array, others: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B]``, of the unclipped draws."""
        del legal
        (mean, log_std), (other_mean, other_log_std) = self._moments(outputs), self._moments(others)
        spread = jnp.exp(2 * (log_std - other_log_std)) + jnp.square((mean - other_mean) * jnp.exp(-other_log_std))
        return jnp.sum(other_log_std - log_std + 0.5 * spread - 0.5, axis=-1)

    def probabilities(self, outputs: jax.Array, legal: jax.Array) -> jax.Array:
        """``[B, dim]`` the mean action in the game's units."""
        del legal
        mean, _ = self._moments(outputs)
        return self._into_box(mean).reshape(mean.shape)


def head_for(space: ActionSpace) -> Head:
    """The head for an action space."""
    if isinstance(space, Discrete):
        return Categorical(space.n)
    if isinstance(space, MultiDiscrete):
        return MultiCategorical(space.sizes)
    return Gaussian(space)
