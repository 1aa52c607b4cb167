"""Re-simulation of device games: one compiled program per batch width, whatever the lengths of the replays.

Shapes: ``W`` games side by side, ``C`` steps per call, ``P`` players.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple, cast

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import DeviceGame
from rlhf_games.core.keys import step_key
from rlhf_games.replay.piece import Job, Piece, Slot, rounds

CHUNK = 32
"""Steps per call: short enough that short episodes waste little, long enough that the call itself costs little."""
WIDTHS = (8, 64)
"""Batch widths that are compiled, each when it is first needed."""


class _Programs(NamedTuple):
    start: Any
    refill: Any
    advance: Any


class Chunk(NamedTuple):
    """What one call gives; arrays stay on the device until they are looked at."""

    slots: list[Slot | None]
    before: jax.Array
    """Observations ``[W, P, ...]`` before the first step."""
    after: jax.Array
    """Observations ``[C, W, P, ...]`` after each step."""
    reward: jax.Array
    """``[C, W, P]`` float32."""
    terminated: jax.Array
    """``[C, W]``."""
    truncated: jax.Array
    """``[C, W]``."""
    legal: jax.Array
    """Legal-action masks ``[C, W, P, A]`` before each step."""
    acting: jax.Array
    """``[C, W, P]``: whose move each step was."""
    first_state: Any
    """States ``[W, ...]`` before the first step."""
    states: Any
    """States after each step, leaves ``[C, W, ...]``; ``()`` unless asked for."""


@lru_cache(maxsize=64)
def _programs(game: Any, with_states: bool) -> _Programs:
    # game: DeviceGame, which as a protocol is not known to be hashable; games are, by identity or as frozen dataclasses
    def start(seed: jax.Array) -> Any:
        return jax.vmap(lambda one: game.init(step_key(one, 0)))(seed)

    def refill(fresh: jax.Array, new: Any, old: Any) -> Any:
        return jax.vmap(lambda pick, a, b: jax.tree.map(partial(jax.lax.select, pick), a, b))(fresh, new, old)

    def step(state: Any, action: jax.Array, seed: jax.Array, t: jax.Array) -> Any:
        after = game.step(state, action, step_key(seed, t + 1))
        return after, game.timestep(after)

    def advance(state: Any, seed: jax.Array, t: jax.Array, actions: jax.Array) -> Any:
        def body(carry: Any, action: jax.Array) -> Any:
            state, choice, t = carry
            state, seen = jax.vmap(step)(state, action, seed, t)
            told = (seen.observation, seen.reward, seen.terminated, seen.truncated, *choice)
            return (state, (seen.legal_action_mask, seen.acting), t + 1), (told, state if with_states else ())

        before = jax.vmap(game.timestep)(state)
        (after, _, _), (told, states) = jax.lax.scan(body, (state, (before.legal_action_mask, before.acting), t), actions)
        return after, before.observation, told, states

    return _Programs(jax.jit(start), jax.jit(refill), jax.jit(advance))


def chunks(game: DeviceGame, jobs: Sequence[Job], width: int, chunk: int = CHUNK, with_states: bool = False) -> Iterator[Chunk]:
    """Plays the jobs in batches of ``width``; each chunk is computed while the one before is looked at."""
    programs = _programs(cast("Hashable", game), with_states)
    ahead: deque[Chunk] = deque()
    state: Any = None
    seed = np.zeros(width, np.uint32)
    for slots in rounds([len(job.actions) for job in jobs], width, chunk):
        fresh = np.array([slot is not None and slot.start == 0 for slot in slots])
        seed = np.array([jobs[slot.job].seed if slot else old for slot, old in zip(slots, seed, strict=True)], np.uint32)
        if fresh.any():
            new = programs.start(seed)
            state = new if state is None else programs.refill(fresh, new, state)
        t = np.array([slot.start if slot else 0 for slot in slots], np.int32)
        first = state
        state, before, told, states = programs.advance(first, seed, t, _actions(jobs, slots, chunk))
        after, reward, terminated, truncated, legal, acting = told
        ahead.append(Chunk(slots, before, after, reward, terminated, truncated, legal, acting, first, states))
        if len(ahead) > 1:
            yield ahead.popleft()
    yield from ahead


def play(game: DeviceGame, jobs: Sequence[Job], width: int | None = None, chunk: int = CHUNK) -> Iterator[Piece]:
    """Plays the jobs and hands out their pieces; ``width`` is chosen by the number of jobs unless given."""
    for done in chunks(game, jobs, width or _width(len(jobs)), chunk):
        yield from pieces(done)


def pieces(done: Chunk) -> Iterator[Piece]:
    """What each game of the batch played in the chunk."""
    reward, terminated, truncated = (np.asarray(array) for array in (done.reward, done.terminated, done.truncated))
    for lane, slot in enumerate(done.slots):
        if slot is not None:
            n = slot.stop - slot.start
            before = partial(_row, done.before, lane)
            after, legal, acting = (partial(_column, array, n, lane) for array in (done.after, done.legal, done.acting))
            yield Piece(*slot, before, after, reward[:n, lane], terminated[:n, lane], truncated[:n, lane], legal, acting)


def _width(jobs: int) -> int:
    return next((width for width in WIDTHS if jobs <= width), WIDTHS[-1])


def _actions(jobs: Sequence[Job], slots: list[Slot | None], chunk: int) -> NDArray[Any]:
    """``[C, W, P, ...]``; games without a job, and steps after a job's end, take action 0, which nobody looks at."""
    sample = jobs[0].actions
    actions = np.zeros((chunk, len(slots), *sample.shape[1:]), sample.dtype)
    for lane, slot in enumerate(slots):
        if slot is not None:
            actions[: slot.stop - slot.start, lane] = jobs[slot.job].actions[slot.start : slot.stop]
    return actions


def _row(array: jax.Array, lane: int) -> NDArray[Any]:
    host: NDArray[Any] = np.asarray(array)
    return host[lane, ...]


def _column(array: jax.Array, n: int, lane: int) -> NDArray[Any]:
    host: NDArray[Any] = np.asarray(array)
    return host[:n, lane]
