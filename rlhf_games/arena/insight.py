"""What a published policy and its reward model think of the states of an episode.

Shapes: ``T`` decisions, ``P`` seats, ``A`` actions, ``M`` ensemble members. JAX is imported when something is asked, so ask on a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.tape import Seen

if TYPE_CHECKING:
    import jax

    from rlhf_games.core.agent import Explanation
    from rlhf_games.published.container import About
    from rlhf_games.rollout.device import Transition

CHUNK = 32
"""Decisions that are thought about at once."""


class Mind(Protocol):
    """A policy with its reward model; ``rlhf_games.published.models.Publication`` is one. Arrays are NumPy, ``B`` rows."""

    @property
    def about(self) -> About:
        """Which policy it is."""
        ...

    def policy(self, observation: NDArray[Any], key: jax.Array, legal: NDArray[np.bool_]) -> NDArray[Any]:
        """``[B, ...]`` sampled legal actions; the key is consumed."""
        ...

    def explain(self, observation: NDArray[Any], legal: NDArray[np.bool_]) -> Explanation:
        """``probabilities[B, A]`` and ``value[B]``."""
        ...

    def reward(self, transition: Transition) -> NDArray[np.float32]:
        """``[M, B]`` what each member pays."""
        ...


class Insight(NamedTuple):
    """Thoughts about decisions ``start`` to ``start + n - 1``."""

    start: int
    probabilities: NDArray[np.float32]
    """``[n, P, A]`` (of a box action the mean, ``[n, P, dim]``)."""
    value: NDArray[np.float32]
    """``[n, P]``."""
    reward: NDArray[np.float32]
    """``[M, n, P]`` predicted for the step that was taken."""


class Thought(NamedTuple):
    """The same of one seat at one decision."""

    probabilities: NDArray[np.float32]
    """``[A]``."""
    value: float
    reward: NDArray[np.float32]
    """``[M]``."""


def policy_key(seed: int, t: int) -> jax.Array:
    """The key with which a policy chooses at decision ``t`` of a what-if branch of the episode ``seed``: equal on every branch."""
    from rlhf_games.core import keys

    return keys.policy_key(seed, t)


def consider(mind: Mind, seen: Seen) -> Insight:
    """Asks about all seats of all these decisions at once."""
    probabilities, value = explained(mind, seen)
    return Insight(seen.start, probabilities, value, paid(mind, seen))


def explained(mind: Mind, seen: Seen) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """``[n, P, A]`` probabilities and ``[n, P]`` values."""
    n, players = seen.legal.shape[:2]
    found = mind.explain(_rows(seen.observation), _rows(seen.legal))
    return np.asarray(found.probabilities).reshape(n, players, -1), np.asarray(found.value).reshape(n, players)


def paid(mind: Mind, seen: Seen) -> NDArray[np.float32]:
    """``[M, n, P]`` the predicted reward of these steps."""
    from rlhf_games.rollout.device import Transition

    rows: list[Any] = [_rows(array) for array in (seen.observation, seen.action, seen.next_observation, seen.reward)]
    members = np.asarray(mind.reward(Transition(*rows)), np.float32)
    return members.reshape(len(members), *seen.reward.shape)


def _rows(array: NDArray[Any]) -> NDArray[Any]:
    return array.reshape(-1, *array.shape[2:])


class Timeline:
    """What is known so far of a whole episode; grows piece by piece, in any order."""

    def __init__(self, length: int) -> None:
        self.length = length
        self.version = 0
        """Grows with every piece: what was drawn of an older one must be drawn anew."""
        self._known = np.zeros(-(-length // CHUNK), bool)
        self._probabilities: NDArray[np.float32] | None = None
        self._value: NDArray[np.float32] | None = None
        self._reward: NDArray[np.float32] | None = None

    def put(self, insight: Insight) -> None:
        """Takes in a piece that begins at a multiple of ``CHUNK`` and is as long, or reaches the end."""
        if self._probabilities is None or self._value is None or self._reward is None:
            self._probabilities = np.full((self.length, *insight.probabilities.shape[1:]), np.nan, np.float32)
            self._value = np.full((self.length, insight.value.shape[1]), np.nan, np.float32)
            self._reward = np.full((len(insight.reward), self.length, insight.value.shape[1]), np.nan, np.float32)
        steps = slice(insight.start, insight.start + len(insight.value))
        self._probabilities[steps], self._value[steps], self._reward[:, steps] = insight.probabilities, insight.value, insight.reward
        self._known[insight.start // CHUNK] = True
        self.version += 1

    def missing(self, near: int, limit: int) -> tuple[int, int] | None:
        """The unknown piece ``(start, stop)`` nearest to a decision, of those that end by ``limit``; None where there is none."""
        pieces: list[int] = [k for k in np.flatnonzero(~self._known).tolist() if min(self.length, (k + 1) * CHUNK) <= limit]
        if not pieces:
            return None
        here = near // CHUNK
        best: int = min(pieces, key=lambda piece: (abs(piece - here), -piece))
        return best * CHUNK, min(self.length, (best + 1) * CHUNK)

    def at(self, t: int, seat: int) -> Thought | None:
        """What is thought at decision ``t``; None where that is not known (yet)."""
        if self._probabilities is None or self._value is None or self._reward is None:
            return None
        if not 0 <= t < self.length or not self._known[t // CHUNK]:
            return None
        return Thought(self._probabilities[t, seat], float(self._value[t, seat]), self._reward[:, t, seat])

    def rewards(self, seat: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """``[T]`` mean and ``[T]`` standard deviation over the ensemble of the predicted reward; NaN where unknown."""
        if self._reward is None:
            nothing = np.full(self.length, np.nan, np.float32)
            return nothing, nothing
        return self._reward[:, :, seat].mean(0), self._reward[:, :, seat].std(0)

    def values(self, seat: int) -> NDArray[np.float32]:
        """``[T]`` values; NaN where unknown."""
        return np.full(self.length, np.nan, np.float32) if self._value is None else self._value[:, seat]
