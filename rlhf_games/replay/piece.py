"""What both kinds of simulation hand out: pieces of episodes, in any order between episodes and in order within one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import TimeStep


class Job(NamedTuple):
    """An episode to play from its seed."""

    seed: int
    actions: NDArray[Any]
    """``[T, P, ...]``: the first ``T`` actions, T ≥ 1."""


def _not_kept() -> NDArray[np.bool_]:
    raise AssertionError("whoever made this piece did not keep who could do what")


class Piece(NamedTuple):
    """Steps ``start`` to ``stop - 1`` of job ``job``; ``n = stop - start``."""

    job: int
    start: int
    stop: int
    before: Callable[[], NDArray[Any]]
    """Observation ``[P, ...]`` before step ``start``. A call, because most pieces are simulated only to get past them."""
    after: Callable[[], NDArray[Any]]
    """Observations ``[n, P, ...]`` after each step."""
    reward: NDArray[np.float32]
    """``[n, P]``."""
    terminated: NDArray[np.bool_]
    """``[n]``."""
    truncated: NDArray[np.bool_]
    """``[n]``."""
    legal: Callable[[], NDArray[np.bool_]] = _not_kept
    """Legal-action masks ``[n, P, A]`` before each step."""
    acting: Callable[[], NDArray[np.bool_]] = _not_kept
    """``[n, P]``: whose move each step was."""


def step_piece(t: int, before: TimeStep[NDArray[Any]], after: TimeStep[NDArray[Any]]) -> Piece:
    """Step ``t`` of one game that is played step by step (job 0)."""
    return Piece(
        job=0,
        start=t,
        stop=t + 1,
        before=lambda: before.observation,
        after=lambda: after.observation[None],
        reward=np.asarray(after.reward, np.float32)[None],
        terminated=np.asarray(after.terminated, bool)[None],
        truncated=np.asarray(after.truncated, bool)[None],
    )


class Slot(NamedTuple):
    """What one game of a batch plays in one round."""

    job: int
    start: int
    stop: int


def rounds(lengths: Sequence[int], width: int, chunk: int) -> Iterator[list[Slot | None]]:
    """Shares jobs of the given lengths among ``width`` games that all play up to ``chunk`` steps a round.

    Longest jobs first, and a game that is done takes the next job at once, so that few games idle. ``None``: nothing left to play.
    """
    waiting = deque(sorted(range(len(lengths)), key=lambda job: -lengths[job]))
    slots: list[Slot | None] = [None] * width
    while True:
        for lane, slot in enumerate(slots):
            if slot is not None and slot.stop < lengths[slot.job]:
                slots[lane] = Slot(slot.job, slot.stop, min(slot.stop + chunk, lengths[slot.job]))
            elif waiting:
                job = waiting.popleft()
                slots[lane] = Slot(job, 0, min(chunk, lengths[job]))
            else:
                slots[lane] = None
        if not any(slots):
            return
        yield list(slots)
