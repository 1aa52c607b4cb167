"""Playing games for the contract suite: random legal actions, recorded episodes, what differs between two time steps.

Shapes: ``N`` games, ``P`` players, ``A`` actions, ``L`` steps of an episode.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import DeviceGame, Game, GameSpec, HostBatch, TimeStep
from rlhf_games.core.session import episode_functions
from rlhf_games.core.spaces import ActionSpace, Box, Discrete, MultiDiscrete

HostStep: TypeAlias = TimeStep[NDArray[Any]]


@dataclass
class Episode:
    """One recorded episode, or its beginning."""

    seed: int
    steps: list[HostStep]
    """``L + 1`` time steps without a batch axis, the first from the reset."""
    actions: list[NDArray[Any]] = field(default_factory=list)
    """``L`` actions ``[P, ...]``."""

    @property
    def ended(self) -> bool:
        """Whether the last time step ended the episode."""
        return bool(self.steps[-1].terminated or self.steps[-1].truncated)


def random_action(spec: GameSpec, mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[Any]:
    """Uniformly random legal actions for masks ``[..., A]``; returns ``[..., *spec.actions.shape]``.

    Where a mask allows nothing (a seat that does not act), the action is 0.
    """
    space = spec.actions
    if isinstance(space, Box):
        low, high = space.bounds
        return np.clip(rng.uniform(low, high, mask.shape[:-1] + space.shape).astype(np.float32), low, high)
    columns = [_random_choice(mask[..., start:end], rng) for start, end in choice_bounds(space)]
    return columns[0] if isinstance(space, Discrete) else np.stack(columns, axis=-1)


def _random_choice(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int32]:
    drawn: NDArray[np.int32] = np.argmax(np.where(mask, rng.random(mask.shape), -1.0), axis=-1).astype(np.int32)
    return drawn


def choice_bounds(space: ActionSpace) -> list[tuple[int, int]]:
    """``(start, end)`` of each choice in the legal-action mask."""
    sizes = space.sizes if isinstance(space, MultiDiscrete) else (space.n,)
    ends = np.cumsum(sizes).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def play(game: Game, seed: int, limit: int, actions: Iterable[NDArray[Any]] | None = None) -> Episode:
    """Opens ``seed`` and plays up to ``limit`` decisions: the given ``actions``, or random ones drawn from the seed."""
    session = game.open(seed)
    try:
        episode = Episode(seed, [snapshot(session.timestep)])
        rng = np.random.default_rng(seed)
        given = None if actions is None else iter(actions)
        while len(episode.actions) < limit and not episode.ended:
            action = random_action(game.spec, episode.steps[-1].legal_action_mask, rng) if given is None else next(given, None)
            if action is None:
                break
            episode.actions.append(action)
            episode.steps.append(snapshot(session.step(action)))
        return episode
    finally:
        session.close()


def snapshot(timestep: TimeStep[Any]) -> HostStep:
    """A copy that no later step can change."""
    copied: HostStep = jax.tree.map(np.array, timestep)
    return copied


def difference(expected: TimeStep[Any], found: TimeStep[Any]) -> str:
    """Names the first field that differs and by how much; empty where nothing does."""
    for name, left, right in zip(TimeStep._fields, expected, found, strict=True):
        one, other = np.asarray(left), np.asarray(right)
        if one.shape != other.shape or one.dtype != other.dtype:
            return f"{name} is {other.dtype}{list(other.shape)} instead of {one.dtype}{list(one.shape)}"
        unequal = (one != other) & ~((one != one) & (other != other))
        if unequal.any():
            at = tuple(int(i) for i in np.argwhere(unequal)[0])
            place = f"{name}{list(at)}" if at else name
            return f"{place} is {other[at]} instead of {one[at]} ({int(unequal.sum())} of {unequal.size} entries differ)"
    return ""


class DeviceBatch:
    """``N`` games of a device game side by side, by ``jit`` of ``vmap``, as a host batch: what a driver on the device does."""

    def __init__(self, game: DeviceGame, size: int) -> None:
        start, advance = episode_functions(game)
        self._start, self._advance = jax.jit(jax.vmap(start)), jax.jit(jax.vmap(advance))
        self._seeds, self._t = np.zeros(size, np.uint32), np.zeros(size, np.int32)
        self._state: Any = None
        self._timestep: Any = None

    def reset(self, seeds: NDArray[np.uint32], where: NDArray[np.bool_] | None = None) -> HostStep:
        """Starts new episodes in the games ``where``."""
        chosen = np.ones(len(seeds), bool) if where is None else where
        state, timestep = self._start(jnp.asarray(seeds, jnp.uint32))
        if self._state is None:
            self._state, self._timestep = state, timestep
        still = self._timestep._replace(reward=jnp.zeros_like(self._timestep.reward))
        self._state = jax.tree.map(lambda new, old: _choose(chosen, new, old), state, self._state)
        self._timestep = jax.tree.map(lambda new, old: _choose(chosen, new, old), timestep, still)
        self._seeds, self._t = np.where(chosen, seeds, self._seeds), np.where(chosen, 0, self._t).astype(np.int32)
        return snapshot(self._timestep)

    def send(self, actions: NDArray[Any]) -> None:
        """Plays one decision in every game."""
        self._state, self._timestep = self._advance(self._state, jnp.asarray(actions), self._seeds, self._t)
        self._t = self._t + 1

    def recv(self) -> HostStep:
        """What the actions brought."""
        return snapshot(self._timestep)

    def close(self) -> None:
        """Nothing to free."""


def _choose(where: NDArray[np.bool_], new: jax.Array, old: jax.Array) -> jax.Array:
    if jnp.issubdtype(new.dtype, jax.dtypes.prng_key):
        keys: jax.Array = jax.random.wrap_key_data(_choose(where, jax.random.key_data(new), jax.random.key_data(old)))
        return keys
    rows = jnp.asarray(where.reshape(where.shape + (1,) * (new.ndim - 1)))
    chosen: jax.Array = jnp.where(rows, new, old)
    return chosen


@dataclass
class BatchRecord:
    """What ``record_batch`` saw."""

    episodes: list[Episode]
    """All episodes, whole and begun, game by game."""
    complaints: list[str]
    """What a reset did to games that it should have left alone."""


def record_batch(batch: HostBatch | DeviceBatch, spec: GameSpec, size: int, steps: int, seed: int) -> BatchRecord:
    """Plays ``steps`` decisions of ``size`` games with random actions; each episode that ends is followed by one with its own seed."""
    rng = np.random.default_rng(seed)
    next_seeds = (np.arange(size) + 1000 * (seed + 1)).astype(np.uint32)
    timestep = batch.reset(next_seeds)
    running = [Episode(int(next_seeds[i]), [_game(timestep, i)]) for i in range(size)]
    record = BatchRecord([], [])
    for _ in range(math.ceil(steps / size)):
        actions = random_action(spec, timestep.legal_action_mask, rng)
        batch.send(actions)
        timestep = batch.recv()
        for i, episode in enumerate(running):
            episode.actions.append(actions[i].copy())
            episode.steps.append(_game(timestep, i))
        over = np.asarray(timestep.terminated | timestep.truncated)
        if over.any():
            next_seeds = next_seeds + np.uint32(size)
            before, timestep = timestep, batch.reset(next_seeds, over)
            record.complaints += _disturbed(before, timestep, over)
            for i in np.flatnonzero(over).tolist():
                record.episodes.append(running[i])
                running[i] = Episode(int(next_seeds[i]), [_game(timestep, i)])
    record.episodes += running
    return record


def _disturbed(before: HostStep, after: HostStep, over: NDArray[np.bool_]) -> list[str]:
    """What a reset of the games ``over`` changed in the others, beside the reward, which must be 0."""
    found = []
    for i in np.flatnonzero(~over).tolist():
        expected = _game(before, i)
        text = difference(expected._replace(reward=np.zeros_like(expected.reward)), _game(after, i))
        if text:
            found.append(f"resetting games {np.flatnonzero(over).tolist()} changed game {i}, which was not to be reset: {text}")
    return found


def _game(timestep: HostStep, i: int) -> HostStep:
    """Game ``i`` of a batch, copied."""
    one: HostStep = jax.tree.map(lambda entry: np.array(entry[i]), timestep)
    return one
