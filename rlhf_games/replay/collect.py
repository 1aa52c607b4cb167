"""Gathers the pieces of one re-simulated replay and compares them with what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec
from rlhf_games.replay.checksum import MARK_EVERY, Checksum, digest, mark_steps, marks_of, returns_of
from rlhf_games.replay.piece import Job, Piece
from rlhf_games.replay.replay import Replay, ReplayMismatch, package_versions


@dataclass(frozen=True)
class Window:
    """Steps ``start`` to ``start + n - 1`` of one replay, for all seats."""

    start: int
    observation: NDArray[Any]
    """``[n + 1, P, ...]``: before each step, and after the last one."""
    action: NDArray[Any]
    """``[n, P, ...]``."""
    reward: NDArray[np.float32]
    """``[n, P]``."""
    ended: NDArray[np.bool_]
    """``[n]``: the episode was over after this step."""

    @property
    def stop(self) -> int:
        """The step after the last one."""
        return self.start + len(self.action)

    @property
    def nbytes(self) -> int:
        """Memory that the arrays take."""
        return self.observation.nbytes + self.action.nbytes + self.reward.nbytes + self.ended.nbytes

    def cut(self, start: int, stop: int) -> Window:
        """A view of the steps from ``start`` to ``stop - 1``, which must lie inside."""
        a, b = start - self.start, stop - self.start
        return Window(start, self.observation[a : b + 1], self.action[a:b], self.reward[a:b], self.ended[a:b])


def enough_to_check(replay: Replay, stop: int) -> int:
    """How far a replay must be played so that everything before ``stop`` is checked: the next mark or the end."""
    return min(replay.length, -(-stop // MARK_EVERY) * MARK_EVERY)


class Collector:
    """Receives the pieces of one replay in order."""

    def __init__(self, replay: Replay, spec: GameSpec, wanted: Sequence[tuple[int, int]], until: int) -> None:
        """``wanted``: windows ``(start, stop)`` to keep; ``until``: how many steps will be played."""
        self.replay = replay
        self.until = until
        self.reward = np.zeros((until, replay.players), np.float32)
        self.terminated = np.zeros(until, bool)
        self.truncated = np.zeros(until, bool)
        self._wanted = list(wanted)
        shape = (replay.players, *spec.observation.shape)
        self._observations = [np.empty((stop - start + 1, *shape), spec.observation.dtype) for start, stop in self._wanted]
        self._digests: list[bytes] = []
        self._last: NDArray[Any] | None = None

    @property
    def job(self) -> Job:
        """What has to be played."""
        return Job(self.replay.seed, self.replay.actions[: self.until])

    def add(self, piece: Piece) -> None:
        """Takes the next piece.

        Raises:
          ReplayMismatch: the episode is over although the replay goes on: what came later would belong to no episode.
        """
        a, b = piece.start, piece.stop
        self.reward[a:b], self.terminated[a:b], self.truncated[a:b] = piece.reward, piece.terminated, piece.truncated
        over = self.terminated[a:b] | self.truncated[a:b]
        if over[: self.replay.length - 1 - a].any():
            raise _mismatch(self.replay, [f"length: recorded {self.replay.length}, now over after step {a + int(over.argmax())}"])
        for (start, stop), kept in zip(self._wanted, self._observations, strict=True):
            _copy(piece, start, stop, kept)
        for t in mark_steps(a, b):
            self._digests.append(digest(piece.after()[t - a]))
        if b == self.until:
            self._last = np.array(piece.after()[-1])

    def check(self) -> None:
        """Compares with the recording as far as it was played.

        Raises:
          ReplayMismatch: naming everything that differs, and where first.
        """
        recorded, differences = self.replay.checksum, self._differences_at_marks()
        if self.until == self.replay.length:
            differences += self._differences_at_end(recorded)
        if differences:
            raise _mismatch(self.replay, differences)

    def check_marks(self) -> int:
        """Compares what has been added so far with the recording's marks; returns how many steps that covers.

        Raises:
          ReplayMismatch: naming the first mark that differs.
        """
        if differences := self._differences_at_marks():
            raise _mismatch(self.replay, differences)
        return len(self._digests) * MARK_EVERY

    def windows(self) -> list[Window]:
        """The windows that were asked for, in the order asked."""
        over = self.terminated | self.truncated
        return [  # copies: a view would keep the whole replay in memory
            Window(start, kept, self.replay.actions[start:stop].copy(), self.reward[start:stop].copy(), over[start:stop].copy())
            for (start, stop), kept in zip(self._wanted, self._observations, strict=True)
        ]

    def _differences_at_marks(self) -> list[str]:
        recorded, marks = self.replay.checksum.marks, marks_of(self.reward, self._digests)
        wrong = [k for k, (old, new) in enumerate(zip(recorded, marks, strict=False)) if old != new]
        if not wrong:
            return []
        steps = f"{wrong[0] * MARK_EVERY} to {(wrong[0] + 1) * MARK_EVERY - 1}"
        return [f"hash of the steps {steps}: recorded {recorded[wrong[0]]}, now {marks[wrong[0]]}"]

    def _differences_at_end(self, recorded: Checksum) -> list[str]:
        assert self._last is not None, "check() comes after the last piece"
        differences = []
        returns, last = returns_of(self.reward), digest(self._last).hex()
        if returns != recorded.returns:
            differences.append(f"return: recorded {_numbers(recorded.returns)}, now {_numbers(returns)}")
        if last != recorded.observation:
            differences.append(f"hash of the last observation: recorded {recorded.observation}, now {last}")
        ended = "terminated" if self.terminated[-1] else "truncated" if self.truncated[-1] else "unfinished"
        if ended != self.replay.ended:
            differences.append(f"end after step {self.replay.length - 1}: recorded {self.replay.ended}, now {ended}")
        return differences


def _copy(piece: Piece, start: int, stop: int, kept: NDArray[Any]) -> None:
    """Copies the observations of the window ``[start, stop)`` that lie in the piece into ``kept[stop - start + 1, P, ...]``."""
    low, high = max(start, piece.start), min(stop, piece.stop)
    if low >= high:
        return
    if piece.start <= start:
        kept[0] = piece.before() if start == piece.start else piece.after()[start - piece.start - 1]
    kept[low - start + 1 : high - start + 1] = piece.after()[low - piece.start : high - piece.start]


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.9g}" for value in values)


def _mismatch(replay: Replay, differences: list[str]) -> ReplayMismatch:
    here = package_versions()
    packages = [f"{name} {old} (here {here.get(name, 'none')})" for name, old in sorted(replay.versions.items()) if here.get(name) != old]
    hint = f"recorded with {', '.join(packages)}" if packages else "recorded with the same package versions"
    return ReplayMismatch(
        f"replay {replay.id} of {replay.game} {replay.game_version} no longer reproduces: {'; '.join(differences)}; {hint}; "
        "install the recorded versions, or leave this replay out"
    )
