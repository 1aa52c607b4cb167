"""Whole replays played again: observations, rewards, ends."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import DeviceGame, Game
from rlhf_games.replay import device, host
from rlhf_games.replay.collect import Collector
from rlhf_games.replay.piece import Job, Piece
from rlhf_games.replay.replay import Replay, check_spec

__all__ = ["Track", "play", "run", "simulate"]


class Track(NamedTuple):
    """What a replay shows when it is played again."""

    observation: NDArray[Any]
    """``[T + 1, P, ...]``: before each action, and after the last one; ``[0, P, ...]`` where observations were not asked for."""
    reward: NDArray[np.float32]
    """``[T, P]``."""
    terminated: NDArray[np.bool_]
    """``[T]``."""
    truncated: NDArray[np.bool_]
    """``[T]``."""


def simulate(game: Game, replays: Sequence[Replay], *, check: bool = True, observations: bool = True) -> list[Track]:
    """Plays replays again, many side by side.

    Args:
      game: the game they were recorded in, with the same version and options.
      replays: of any lengths; the compiled program is the same for all.
      check: compare return, length, end, hashes along the way and of the last observation with the recording.
      observations: keep the observations (``T + 1`` of them for each replay and seat; this may be large).

    Raises:
      ReplayMismatch: a replay belongs to another game, version or options (found before anything is simulated), or brings
        something else than it did; the message says what differs and where.
    """
    collectors = []
    for replay in replays:
        check_spec(replay, game.spec)
        collectors.append(Collector(replay, game.spec, [(0, replay.length)] if observations else [], replay.length))
    run(game, collectors)
    return [_track(game, collector, check) for collector in collectors]


def run(game: Game, collectors: Sequence[Collector]) -> None:
    """Plays what the collectors ask for and hands them their pieces."""
    for piece in play(game, [collector.job for collector in collectors]):
        collectors[piece.job].add(piece)


def play(game: Game, jobs: Sequence[Job]) -> Iterator[Piece]:
    """The pieces of all jobs; pieces of one job come in order."""
    if not jobs:
        return iter(())
    return device.play(game, jobs) if isinstance(game, DeviceGame) else host.play(game, jobs)


def _track(game: Game, collector: Collector, check: bool) -> Track:
    if check:
        collector.check()
    windows = collector.windows()
    shape = (0, collector.replay.players, *game.spec.observation.shape)
    observation = windows[0].observation if windows else np.empty(shape, game.spec.observation.dtype)
    return Track(observation, collector.reward, collector.terminated, collector.truncated)
