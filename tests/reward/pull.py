"""Which way what was said pulls a reward model: what the tests from an answer to its effect ask, for all kinds of answers.

Compiled once for a model, not once for a test: a test makes a store and people of its own, but shares the model, which nothing moves.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.ensemble import RewardEnsemble, RewardParams
from rlhf_games.reward.gradient import log_probs
from rlhf_games.reward.networks import NetworkConfig
from rlhf_games.reward.rows import Rows
from rlhf_games.rollout.device import Transition

CUTS = jnp.broadcast_to(jnp.array([-1.5, -0.5, 0.5, 1.5]), (2, 4, 4))
"""``[M, A, 4]`` cut-points of the ratings."""


class Pull:
    """A small model of two members, the downhill direction of a fit's loss on it, and how rewards move along that."""

    def __init__(self, model: tuple[RewardEnsemble, RewardParams]) -> None:
        self.ensemble, self.params = model
        self._downhill, self._summed = jax.jit(self._fall), jax.jit(jax.value_and_grad(self._sum))

    @classmethod
    def fresh(cls, spec: GameSpec, action: bool) -> Pull:
        """Of a fresh model for a game, which sees actions or does not."""
        return cls(RewardEnsemble.create(spec, NetworkConfig(hidden=(8,), action=action), 2, jax.random.key(0)))

    def push(
        self, reader: ClipReader, rows: Mapping[str, Rows], better: Clip, worse: Clip | None = None, weight: NDArray[Any] | None = None
    ) -> float:
        """How fast r(better) - r(worse) grows along the downhill direction of the fit's loss on some rows; 0 where there are none."""
        if not rows:
            return 0.0
        falls = jax.tree.leaves(self._downhill(self.params.members, dict(rows)))
        slopes = [self.worth(reader, clip, weight)[1] for clip in (better, worse) if clip is not None]
        return float(sum(np.vdot(fall, first - sum(rest)) for fall, first, *rest in zip(falls, *slopes, strict=True)))

    def worth(self, reader: ClipReader, clip: Clip, weight: NDArray[Any] | None = None) -> tuple[float, Sequence[NDArray[Any]]]:
        """The predicted reward along a clip, summed over members, and the leaves of its gradient; read and encoded here."""
        batch = reader.read([clip])
        steps = Transition(*(jnp.asarray(x[0]) for x in (batch.observation, batch.action, batch.next_observation, batch.reward)))
        found, slope = self._summed(self.params.members, steps, np.ones(clip.length, np.float32) if weight is None else weight)
        return float(found), [np.asarray(leaf) for leaf in jax.tree.leaves(slope)]

    def _fall(self, members: Any, rows: dict[str, Rows]) -> Any:
        def loss(members: Any) -> jax.Array:
            params = self.params._replace(members=members)
            parts = [jnp.sum(log_probs(self.ensemble, params, kind, part, 0.1, CUTS) * part.weight) for kind, part in rows.items()]
            return -sum(parts, jnp.float32(0.0))

        return jax.tree.map(jnp.negative, jax.grad(loss)(members))

    def _sum(self, members: Any, steps: Transition, weight: jax.Array) -> jax.Array:
        raw = self.ensemble.raw(self.params._replace(members=members), self.ensemble.encode(steps))
        return jnp.sum(raw * weight[None])
