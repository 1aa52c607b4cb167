"""An ensemble of reward networks as pure functions: all members in one ``vmap``.

Shapes: ``M`` members, ``B`` transitions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from numpy.typing import ArrayLike, NDArray

from rlhf_games.core.agent import PyTree
from rlhf_games.core.game import GameSpec
from rlhf_games.reward.networks import Encoder, NetworkConfig, encoder, example, resolve_kind, reward_network
from rlhf_games.rollout.device import Transition

Anchor: TypeAlias = Literal["none", "median", "mean"]

_FAR = 5.0
"""Standardised features are clipped here: rare events (a new wave of aliens) must not drown what happens at every step."""


_ROWS_AT_ONCE = 8192
"""Rows whose deviations are taken at once: float64, so not all."""


class RewardParams(NamedTuple):
    """Everything that determines the learned reward; saved and loaded as one."""

    members: PyTree
    """Network parameters, leaves ``[M, ...]``."""
    tie_margin: jax.Array
    """``[M]`` float32: inverse softplus of each member's tie margin."""
    offset: jax.Array
    """``[M]`` float32: subtracted from each member's output: where its zero is."""
    scale: jax.Array
    """``[M]`` float32 > 0: each member's output is divided by it, so that all members count alike."""
    feature_mean: jax.Array
    """``[F]`` float32: mean of flat features over the labelled clips (a scalar 0 for pixels)."""
    feature_scale: jax.Array
    """``[F]`` float32 > 0: their standard deviation (a scalar 1 for pixels)."""


@dataclass(frozen=True, eq=False)
class RewardEnsemble:
    """The static half of a reward model: encoder and graph. Parameters travel apart."""

    encode: Encoder = field(repr=False)
    graph: Any = field(repr=False)
    members: int
    pixels: bool

    draw: Callable[[jax.Array], PyTree] = field(repr=False)
    """Compiled: keys ``[M]`` to fresh network parameters, leaves ``[M, ...]``."""
    width: tuple[int, ...]
    """Shape of the features' mean and scale: ``[F]``, or ``[]`` for pixels."""

    @classmethod
    def build(cls, spec: GameSpec, config: NetworkConfig, members: int) -> RewardEnsemble:
        """The ensemble for a game; raises ``ValueError`` where the network does not fit it."""
        graph, _ = nnx.split(nnx.eval_shape(lambda: reward_network(spec, config, rngs=nnx.Rngs(0))))

        def one(key: jax.Array) -> PyTree:
            return nnx.split(reward_network(spec, config, rngs=nnx.Rngs(key)))[1]

        encode, pixels = encoder(spec, config), resolve_kind(spec, config) == "pixels"
        width = () if pixels else jax.eval_shape(encode, example(spec)).shape[1:]
        return cls(encode, graph, members, pixels, jax.jit(jax.vmap(one)), width)

    @classmethod
    def create(cls, spec: GameSpec, config: NetworkConfig, members: int, key: jax.Array) -> tuple[RewardEnsemble, RewardParams]:
        """A fresh ensemble and its parameters; the key is consumed."""
        ensemble = cls.build(spec, config, members)
        return ensemble, ensemble.initial(key)

    def initial(self, key: jax.Array) -> RewardParams:
        """Fresh parameters; the key is consumed."""
        ones = jnp.ones((self.members,), jnp.float32)
        zeros, unit = jnp.zeros(self.width, jnp.float32), jnp.ones(self.width, jnp.float32)
        return RewardParams(self.draw(jax.random.split(key, self.members)), 0.5 * ones, 0.0 * ones, ones, zeros, unit)

    def prepared(self, params: RewardParams, features: jax.Array) -> jax.Array:
        """Features ``[..., F]`` as the networks take them: standardised and clipped; pixels as they are."""
        if self.pixels:
            return features
        lead = (1,) * (features.ndim - 1)
        mean, scale = params.feature_mean.reshape(*lead, -1), params.feature_scale.reshape(*lead, -1)
        return jnp.clip((features - mean) / scale, -_FAR, _FAR)

    def member(self, member_params: PyTree, prepared: jax.Array) -> jax.Array:
        """``[B]`` outputs of one member, whose parameters have no leading axis, on prepared features ``[B, ...]``."""
        output: jax.Array = nnx.merge(self.graph, member_params)(prepared)
        return output

    def outputs(self, members: PyTree, prepared: jax.Array) -> jax.Array:
        """``[M, B]`` outputs of all members, parameters ``[M, ...]``, on prepared features ``[B, ...]``."""
        if not self.pixels:
            return jax.vmap(self.member, in_axes=(0, None))(members, prepared)
        # one after the other: as one grouped convolution they are ten times slower on CPU
        return jnp.stack([self.member(jax.tree.map(lambda leaf: leaf[i], members), prepared) for i in range(self.members)])  # noqa: B023

    def raw(self, params: RewardParams, features: jax.Array) -> jax.Array:
        """``[M, B]`` outputs on features ``[B, ...]``, in the units of the likelihood."""
        return self.outputs(params.members, self.prepared(params, features))

    def normalised(self, params: RewardParams, features: jax.Array) -> jax.Array:
        """``[M, B]`` each member in its own units (Christiano et al. 2017, 2.2.3: members are normalised independently)."""
        return (self.raw(params, features) - params.offset[:, None]) / params.scale[:, None]

    def mean(self, params: RewardParams, transition: Transition) -> jax.Array:
        """``[B]`` the learned reward of transitions: the mean of the normalised members."""
        return jnp.mean(self.normalised(params, self.encode(transition)), axis=0)


def with_feature_scale(params: RewardParams, features: ArrayLike) -> RewardParams:
    """Sets the features' mean and standard deviation from flat features ``[B, F]``; features that never vary are left out (scaled to 0).

    In NumPy, block by block: ``B`` differs at every call, and a compiled program would be compiled again each time.
    """
    rows = np.asarray(features)
    mean = rows.mean(axis=0, dtype=np.float64)
    squares = np.zeros_like(mean)
    for begin in range(0, len(rows), _ROWS_AT_ONCE):
        squares += np.square(rows[begin : begin + _ROWS_AT_ONCE] - mean).sum(axis=0)
    deviation = np.sqrt(squares / len(rows))
    scale = np.where(deviation > 1e-4, deviation, 1e6)
    return params._replace(feature_mean=jnp.asarray(mean, jnp.float32), feature_scale=jnp.asarray(scale, jnp.float32))


def with_tie_share(params: RewardParams, share: float) -> RewardParams:
    """Sets the tie margins so that two clips worth the same tie with this probability: where a first fit begins.

    ``P(tie | d = 0) = tanh(δ / 2)``. Where nearly all answers are ties, gradient steps alone would take most of the budget to find it.
    """
    margin = 2.0 * math.atanh(min(max(share, 0.1), 0.98))
    return params._replace(tie_margin=jnp.full_like(params.tie_margin, math.log(math.expm1(margin))))


def anchor_of(outputs: ArrayLike, anchor: Anchor) -> NDArray[np.float32]:
    """``[M]`` the raw output that the convention says is worth 0, from outputs ``[M, B]`` on the present policy's steps."""
    rows = np.asarray(outputs, np.float32)
    if anchor == "none":
        return np.zeros(len(rows), np.float32)
    return np.asarray(np.median(rows, axis=1) if anchor == "median" else np.mean(rows, axis=1), np.float32)


def calibrated(params: RewardParams, outputs: jax.Array, *, offset: ArrayLike, spread: float) -> RewardParams:
    """Sets where zero is, and the scale: recent steps shall lie ``spread`` from zero, in the root mean square.

    About zero and not about the mean: where answers say that every step is worth about as much, that is what is paid, and not the
    little by which steps differ, blown up.

    Args:
      params: before.
      outputs: ``[M, B]`` raw outputs on recent transitions.
      offset: ``[M]`` the raw output that is worth 0 (`rlhf_games.reward.zero`).
      spread: root mean square that each member's reward shall have on them.
    """
    zero = jnp.asarray(offset, jnp.float32)
    size = jnp.sqrt(jnp.mean(jnp.square(outputs - zero[:, None]), axis=1))
    return params._replace(offset=zero, scale=jnp.maximum(size, 1e-6) / spread)
