"""How well an agent plays: whole episodes of device games, compiled once per game, agent and number of episodes.

Shapes: ``E`` episodes side by side, ``P`` players, ``A`` actions. Every episode is played from its own seed in its own lane, which stops
counting at its end, so long episodes count as much as short ones. (Taking the first episodes that end would favour short ones.)
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import lru_cache
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import Agent, PyTree
from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame, TimeStep
from rlhf_games.core.keys import step_key, stream_key
from rlhf_games.core.spaces import ActionSpace, Box, MultiDiscrete
from rlhf_games.core.streams import Stream
from rlhf_games.rollout.device import episode_seed

Choose = Callable[[PyTree, TimeStep[jax.Array], jax.Array], jax.Array]
"""``(params, timestep [E, P, ...], key) → actions [E, P, ...]``."""


class Episodes(NamedTuple):
    """What was played, as NumPy arrays."""

    returns: NDArray[np.float32]
    """``[E, P]`` undiscounted sum of the game's own rewards."""
    lengths: NDArray[np.int32]
    """``[E]`` steps, at most the limit."""
    finished: NDArray[np.bool_]
    """``[E]`` whether the game ended by itself (terminated or truncated) within the limit."""


class Versus(NamedTuple):
    """Games of an agent in one seat against uniformly random players in the others, as NumPy arrays."""

    score: NDArray[np.float32]
    """``[E]`` the agent's return; positive is a win and 0 a draw in a zero-sum game."""
    seat: NDArray[np.int32]
    """``[E]`` where the agent sat."""
    lengths: NDArray[np.int32]
    """``[E]`` steps, at most the limit."""
    finished: NDArray[np.bool_]
    """``[E]`` whether the game ended by itself within the limit."""

    @property
    def win_share(self) -> float:
        """Share of games with a positive score."""
        return float(np.mean(self.score > 0))

    @property
    def loss_share(self) -> float:
        """Share of games with a negative score."""
        return float(np.mean(self.score < 0))


def evaluate(game: DeviceGame, agent: Agent, params: PyTree, seed: int, episodes: int, max_steps: int) -> Episodes:
    """Plays ``episodes`` whole episodes with the agent in every seat, choosing as in training (it samples).

    Args:
      game: what is played.
      agent: chooses for every seat; hashable, because compiled programs are kept by agent.
      params: what ``agent.act`` needs.
      seed: uint32, of all episodes and choices; equal arguments give equal results.
      episodes: ``E``, at least 1.
      max_steps: where an episode is cut off that does not end by itself, at least 1.

    Raises:
      UserError: a number is too small.
    """
    _demand(episodes, max_steps)
    return Episodes(
        *jax.tree.map(np.asarray, _self_play(game, cast("Hashable", agent), episodes)(params, np.uint32(seed), np.int32(max_steps)))
    )


def evaluate_versus_random(game: DeviceGame, agent: Agent, params: PyTree, games: int, seed: int, max_steps: int = 10_000) -> Versus:
    """Plays ``games`` games of the agent against uniformly random legal players; it sits in each seat in turn.

    Args:
      game: a game of two or more seats.
      agent: chooses for its seat, by sampling; hashable.
      params: what ``agent.act`` needs.
      games: ``E``, at least 1.
      seed: uint32, of all episodes and choices.
      max_steps: where a game is cut off that does not end by itself.

    Raises:
      UserError: the game has one seat only, or a number is too small.
    """
    _demand(games, max_steps)
    players = game.spec.players
    if players < 2:
        raise UserError(f"{game.spec.name} has one seat only: there is nobody to play against; use evaluate")
    played = Episodes(
        *jax.tree.map(np.asarray, _versus_random(game, cast("Hashable", agent), games)(params, np.uint32(seed), np.int32(max_steps)))
    )
    seat = np.arange(games, dtype=np.int32) % players
    return Versus(played.returns[np.arange(games), seat], seat, played.lengths, played.finished)


def random_actions(space: ActionSpace, key: jax.Array, legal: jax.Array) -> jax.Array:
    """``[B, ...]`` uniformly random legal actions for masks ``[B, A]``; the key is consumed."""
    if isinstance(space, Box):
        low, high = (jnp.asarray(bound)[None] for bound in space.bounds)
        drawn = low + (high - low) * jax.random.uniform(key, (legal.shape[0], *space.shape))
        return jnp.clip(drawn, low, high)  # rounding may have left the box
    logits = jnp.where(legal, 0.0, -1e9)
    if not isinstance(space, MultiDiscrete):
        return jax.random.categorical(key, logits).astype(jnp.int32)
    parts = jnp.split(logits, np.cumsum(space.sizes)[:-1].tolist(), axis=-1)
    keys = jax.random.split(key, len(parts))
    return jnp.stack([jax.random.categorical(k, part) for k, part in zip(keys, parts, strict=True)], axis=-1).astype(jnp.int32)


def _demand(episodes: int, max_steps: int) -> None:
    if episodes < 1 or max_steps < 1:
        raise UserError(f"evaluation needs at least one episode and one step, got {episodes} episodes of at most {max_steps} steps")


@lru_cache(maxsize=16)
def _self_play(game: DeviceGame, agent: Any, episodes: int) -> Any:
    return jax.jit(lambda params, seed, limit: _play(game, _chooser(agent), params, seed, episodes, limit))


@lru_cache(maxsize=16)
def _versus_random(game: DeviceGame, agent: Any, episodes: int) -> Any:
    mine = jnp.arange(episodes)[:, None] % game.spec.players == jnp.arange(game.spec.players)[None]
    ours = _chooser(agent)

    def choose(params: PyTree, seen: TimeStep[jax.Array], key: jax.Array) -> jax.Array:
        key, other = jax.random.split(key)
        action = ours(params, seen, key)
        theirs = random_actions(game.spec.actions, other, _flat(seen.legal_action_mask)).reshape(action.shape)
        return jnp.where(mine.reshape(mine.shape + (1,) * (action.ndim - 2)), action, theirs)

    return jax.jit(lambda params, seed, limit: _play(game, choose, params, seed, episodes, limit))


def _chooser(agent: Agent) -> Choose:
    def choose(params: PyTree, seen: TimeStep[jax.Array], key: jax.Array) -> jax.Array:
        action = agent.act(params, _flat(seen.observation), key, _flat(seen.legal_action_mask)).action
        return action.reshape(*seen.acting.shape, *action.shape[1:])

    return choose


class _Carry(NamedTuple):
    state: PyTree
    t: jax.Array
    returns: jax.Array
    lengths: jax.Array
    finished: jax.Array


def _play(game: DeviceGame, choose: Choose, params: PyTree, seed: jax.Array, episodes: int, limit: jax.Array) -> tuple[jax.Array, ...]:
    """Returns, lengths and ends; runs until every lane has ended or the limit is reached."""
    lanes = jnp.arange(episodes)
    seeds = jax.vmap(episode_seed, in_axes=(None, 0, None))(seed, lanes, jnp.int32(0))
    acting_key = stream_key(Stream.EVALUATION, seed)
    advance: Callable[..., PyTree] = jax.vmap(
        lambda state, action, one, t: game.step(state, action, step_key(one, t + 1)), in_axes=(0, 0, 0, None)
    )

    def going(carry: _Carry) -> jax.Array:
        return (carry.t < limit) & ~jnp.all(carry.finished)

    def step(carry: _Carry) -> _Carry:
        seen = jax.vmap(game.timestep)(carry.state)
        action = choose(params, seen, jax.random.fold_in(acting_key, carry.t))
        state = advance(carry.state, action, seeds, carry.t)
        after = jax.vmap(game.timestep)(state)
        playing = ~carry.finished  # lanes whose episode is over go on, and nothing of it counts
        return _Carry(
            state=state,
            t=carry.t + 1,
            returns=carry.returns + jnp.where(playing[:, None], after.reward, 0.0),
            lengths=carry.lengths + playing.astype(jnp.int32),
            finished=carry.finished | after.terminated | after.truncated,
        )

    state = jax.vmap(lambda one: game.init(step_key(one, 0)))(seeds)
    zeros = jnp.zeros((episodes,), jnp.int32)
    start = _Carry(state, jnp.int32(0), jnp.zeros((episodes, game.spec.players)), zeros, zeros > 0)
    end = jax.lax.while_loop(going, step, start)
    return end.returns, end.lengths, end.finished


def _flat(x: jax.Array) -> jax.Array:
    """``[E, P, ...] → [E·P, ...]``."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
