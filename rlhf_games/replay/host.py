"""Re-simulation of host games: several replays side by side in one batch of emulators."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import HostBatch, HostGame, TimeStep
from rlhf_games.replay.piece import Job, Piece, Slot

WIDTH = 8
"""Games side by side: emulators gain from a few threads, and each costs memory."""


def play(game: HostGame, jobs: Sequence[Job], width: int = WIDTH) -> Iterator[Piece]:
    """Plays the jobs side by side and hands out pieces of one step."""
    with closing(game.batch(min(width, len(jobs)))) as batch:
        yield from _play(batch, jobs, min(width, len(jobs)), int(game.spec.idle_action))


def _play(batch: HostBatch, jobs: Sequence[Job], width: int, idle: int) -> Iterator[Piece]:
    waiting = deque(sorted(range(len(jobs)), key=lambda job: -len(jobs[job].actions)))
    slots: list[Slot | None] = [_next(waiting) for _ in range(width)]
    seeds = np.array([jobs[slot.job].seed if slot else 0 for slot in slots], np.uint32)
    before = batch.reset(seeds)
    while any(slots):
        batch.send(_actions(jobs, slots, idle))
        seen = batch.recv()
        for lane, slot in enumerate(slots):
            if slot is not None:
                yield _piece(slot, before, seen, lane)
        before = seen
        again = _advance(jobs, slots, waiting, seen)
        if again.any() and any(slots):
            seeds = np.array([jobs[slot.job].seed if slot else 0 for slot in slots], np.uint32)
            before = batch.reset(seeds, again)


def _advance(jobs: Sequence[Job], slots: list[Slot | None], waiting: deque[int], seen: TimeStep[NDArray[Any]]) -> NDArray[np.bool_]:
    """Moves every game on, in place; returns which must be reset: those with a new job, and ended ones that have nothing to do."""
    again = np.zeros(len(slots), bool)
    for lane, slot in enumerate(slots):
        if slot is not None and slot.stop < len(jobs[slot.job].actions):
            slots[lane] = Slot(slot.job, slot.stop, slot.stop + 1)
        elif slot is not None and waiting:
            slots[lane], again[lane] = _next(waiting), True
        else:
            slots[lane] = None
    ended: NDArray[np.bool_] = again | seen.terminated | seen.truncated
    return ended


def _next(waiting: deque[int]) -> Slot | None:
    return Slot(waiting.popleft(), 0, 1) if waiting else None


def _actions(jobs: Sequence[Job], slots: list[Slot | None], idle: int) -> NDArray[Any]:
    sample = jobs[0].actions[0]
    rest = np.full_like(sample, idle) if sample.dtype.kind == "i" else np.zeros_like(sample)
    return np.stack([jobs[slot.job].actions[slot.start] if slot else rest for slot in slots])


def _piece(slot: Slot, before: TimeStep[NDArray[Any]], seen: TimeStep[NDArray[Any]], lane: int) -> Piece:
    first, observation = before.observation[lane], seen.observation[lane]
    legal, acting = before.legal_action_mask[lane], before.acting[lane]
    return Piece(
        *slot,
        before=lambda: first,
        after=lambda: observation[None],
        reward=np.asarray(seen.reward[lane], np.float32)[None],
        terminated=np.asarray(seen.terminated)[lane : lane + 1],
        truncated=np.asarray(seen.truncated)[lane : lane + 1],
        legal=lambda: legal[None],
        acting=lambda: acting[None],
    )
