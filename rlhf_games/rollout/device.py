"""Playing many device games at once, inside ``jit``.

Shapes: ``T`` steps, ``N`` lanes (games side by side), ``P`` players. A lane plays one episode after another, each from its own seed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from rlhf_games.core.agent import Agent, PyTree, Rollout
from rlhf_games.core.game import DeviceGame, TimeStep, seats_out
from rlhf_games.core.keys import step_key, stream_key
from rlhf_games.core.streams import Stream

_PAID_TOGETHER = 1024
"""Transitions whose reward is computed in one go."""


class Transition(NamedTuple):
    """One step of a batch of seats, as a reward source sees it; leaves ``[B, ...]``."""

    observation: jax.Array
    action: jax.Array
    next_observation: jax.Array
    """The episode's own last observation at its end, never the next episode's first."""
    reward: jax.Array
    """The game's own reward."""


class RewardFunction(Protocol):
    """What the learner is paid: a pure function of parameters and transitions."""

    def __call__(self, params: PyTree, transition: Transition, key: jax.Array) -> jax.Array:
        """``[B]`` float32; the key is consumed (deterministic rewards leave it alone)."""
        ...


class Lanes(NamedTuple):
    """The games in play."""

    state: PyTree
    """Game states, leaves ``[N, ...]``."""
    base: jax.Array
    """``[]`` uint32: the run's seed for this batch of lanes."""
    seed: jax.Array
    """``[N]`` uint32: seed of each lane's present episode."""
    episode: jax.Array
    """``[N]`` int32: how many episodes the lane has finished."""
    t: jax.Array
    """``[N]`` int32: steps taken in the present episode."""
    episode_return: jax.Array
    """``[N, P]`` float32: the game's own reward so far."""


class Played(NamedTuple):
    """What a step left behind beside the rollout, leaves ``[T, N, ...]``: for statistics and for the recorder."""

    reward: jax.Array
    """``[T, N, P]`` the game's own reward."""
    terminated: jax.Array
    """``[T, N]`` bool, the true end, also where the experiment hides it."""
    truncated: jax.Array
    seed: jax.Array
    """``[T, N]`` uint32 of the episode the step belongs to."""
    episode_return: jax.Array
    """``[T, N, P]`` including this step; the episode's return where it ended."""
    length: jax.Array
    """``[T, N]`` int32 steps taken including this one."""
    next_observation: jax.Array | None
    """``[T, N, P, ...]`` with the episode's own last observation at its end; only when asked for."""


def episode_seed(base: jax.Array, lane: jax.Array, episode: jax.Array) -> jax.Array:
    """``[]`` uint32: the seed of a lane's ``episode``-th episode, a function of the three numbers alone."""
    key = jax.random.fold_in(jax.random.fold_in(stream_key(Stream.EPISODES, base), lane), episode)
    return jax.random.bits(key, dtype=jnp.uint32)


def start(game: DeviceGame, base: int | jax.Array, lanes: int) -> Lanes:
    """Opens ``lanes`` games; ``base`` (uint32) determines every episode they will ever play."""
    base = jnp.asarray(base, jnp.uint32)
    zeros = jnp.zeros((lanes,), jnp.int32)
    seed = jax.vmap(episode_seed, in_axes=(None, 0, 0))(base, jnp.arange(lanes), zeros)
    state = jax.vmap(lambda s: game.init(step_key(s, 0)))(seed)
    return Lanes(state, base, seed, zeros, zeros, jnp.zeros((lanes, game.spec.players), jnp.float32))


def _flat(x: jax.Array) -> jax.Array:
    """``[N, P, ...] → [N·P, ...]``."""
    return x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _restart(game: DeviceGame, lanes: Lanes, done: jax.Array) -> Lanes:
    """Starts the next episode in the lanes that are done; costs nothing at steps where none is."""

    def fresh(lanes: Lanes) -> Lanes:
        episode = lanes.episode + done.astype(jnp.int32)
        seed = jax.vmap(episode_seed, in_axes=(None, 0, 0))(lanes.base, jnp.arange(done.shape[0]), episode)
        state = jax.vmap(lambda s: game.init(step_key(s, 0)))(seed)

        def pick(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(done.reshape(done.shape + (1,) * (new.ndim - 1)), new, old)

        return Lanes(
            state=jax.tree.map(pick, state, lanes.state),
            base=lanes.base,
            seed=seed,
            episode=episode,
            t=jnp.where(done, 0, lanes.t),
            episode_return=jnp.where(done[:, None], 0.0, lanes.episode_return),
        )

    after: Lanes = jax.lax.cond(jnp.any(done), fresh, lambda lanes: lanes, lanes)
    return after


def unroll(
    game: DeviceGame,
    agent: Agent,
    reward_function: RewardFunction,
    agent_params: PyTree,
    reward_params: PyTree,
    lanes: Lanes,
    key: jax.Array,
    *,
    steps: int,
    hide_ends: bool,
    keep_next: bool = False,
) -> tuple[Lanes, Rollout, Played]:
    """Plays ``steps`` steps in every lane; pure, for use inside ``jit``.

    Args:
      game: the rules.
      agent: chooses for every seat; choices of seats that do not act are ignored by the game.
      reward_function: pays the learner.
      agent_params: what ``agent.act`` needs.
      reward_params: what ``reward_function`` needs.
      lanes: where the games stand.
      key: consumed.
      steps: ``T``.
      hide_ends: tell the learner of no episode end: both flags False, so that values are bootstrapped through ends.
      keep_next: also return the next observations (doubles the memory).
    """
    timestep_of: Callable[[PyTree], TimeStep[jax.Array]] = jax.vmap(game.timestep)
    advance: Callable[..., PyTree] = jax.vmap(lambda state, action, seed, t: game.step(state, action, step_key(seed, t + 1)))

    def step(lanes: Lanes, key: jax.Array) -> tuple[Lanes, Any]:
        before = timestep_of(lanes.state)
        seats = before.acting.shape
        chosen = agent.act(agent_params, _flat(before.observation), key, _flat(before.legal_action_mask))
        action = chosen.action.reshape(*seats, *chosen.action.shape[1:])
        state = advance(lanes.state, action, lanes.seed, lanes.t)
        after = timestep_of(state)
        transition = Transition(before.observation, action, after.observation, after.reward)
        terminated, truncated = (jnp.zeros_like(after.terminated),) * 2 if hide_ends else (after.terminated, after.truncated)
        out, waits = out_and_waiting(after, hide_ends)
        bootstrap = jnp.where(out, 0.0, _bootstrap(agent, agent_params, after.observation, truncated))
        earned, taken = lanes.episode_return + after.reward, lanes.t + 1
        extras = jax.tree.map(lambda x: x.reshape(*seats, *x.shape[1:]), chosen.extras)
        learned_from = (terminated, truncated, before.legal_action_mask, before.acting, extras, bootstrap)
        last = (out, waits)
        played = (after.terminated, after.truncated, lanes.seed, earned, taken)
        lanes = lanes._replace(state=state, t=taken, episode_return=earned)
        return _restart(game, lanes, after.terminated | after.truncated), (transition, learned_from, last, played)

    act_key, reward_key = jax.random.split(key)
    lanes, (transitions, learned_from, (out, waits), played) = jax.lax.scan(step, lanes, jax.random.split(act_key, steps))
    reward = _paid(reward_function, reward_params, transitions, reward_key)
    seen = (transitions.observation, transitions.action, reward)
    now = timestep_of(lanes.state)
    if hide_ends:  # the rollout goes on into the episode that began
        waits = waits.at[-1].set(~now.acting)
    rollout = Rollout(*(*seen, *learned_from, now.observation, out, waits))
    return lanes, rollout, Played(*(transitions.reward, *played, transitions.next_observation if keep_next else None))


def out_and_waiting(after: TimeStep[Any], hide_ends: bool) -> tuple[Any, Any]:
    """``[..., P]`` twice: who is out as far as the learner may know, and who waits."""
    out = after.acting & ~after.acting if hide_ends else seats_out(after)
    return out, ~after.acting & ~out


def _paid(reward_function: RewardFunction, params: PyTree, transitions: Transition, key: jax.Array) -> jax.Array:
    """``[T, N, P]`` rewards of transitions ``[T, N, P, ...]``, many steps at a time: by itself a step is too little work for a core."""
    steps, seats = transitions.reward.shape[0], transitions.reward.shape[1:]
    together = max(size for size in range(1, steps + 1) if steps % size == 0 and (size == 1 or size * math.prod(seats) <= _PAID_TOGETHER))

    def pay(chunk: tuple[Transition, jax.Array]) -> jax.Array:
        return reward_function(params, *chunk)

    chunks = jax.tree.map(lambda x: x.reshape(steps // together, together * math.prod(seats), *x.shape[3:]), transitions)
    paid: jax.Array = jax.lax.map(pay, (chunks, jax.random.split(key, steps // together)))
    return paid.reshape(steps, *seats)


def _bootstrap(agent: Agent, params: PyTree, observation: jax.Array, truncated: jax.Array) -> jax.Array:
    """``[N, P]``: value of the last observation where truncated; the network runs only at steps where some game was."""
    seats = observation.shape[:2]

    def value(_: None) -> jax.Array:
        return jnp.where(truncated[:, None], agent.value(params, _flat(observation)).reshape(seats), 0.0)

    values: jax.Array = jax.lax.cond(jnp.any(truncated), value, lambda _: jnp.zeros(seats, jnp.float32), None)
    return values
