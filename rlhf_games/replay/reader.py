"""Clips as padded arrays, for reward models and teachers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import Game, GameSpec
from rlhf_games.replay.cache import ByteCache
from rlhf_games.replay.checksum import digest
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.collect import Collector, Window, enough_to_check
from rlhf_games.replay.replay import Replay, check_spec
from rlhf_games.replay.simulate import Track, play, run


class ClipBatch(NamedTuple):
    """``B`` clips padded to ``L`` steps, each from the side of its own seat. Padding is zero."""

    observation: NDArray[Any]
    """``[B, L, ...]`` before the action."""
    next_observation: NDArray[Any]
    """``[B, L, ...]`` after the action; at an episode's end its own last one, never the next episode's first."""
    action: NDArray[Any]
    """``[B, L, ...]`` int32 or float32; where the seat did not act: an entry without meaning."""
    reward: NDArray[np.float32]
    """``[B, L]``: the game's own."""
    mask: NDArray[np.bool_]
    """``[B, L]``: True for steps, False for padding."""
    ended: NDArray[np.bool_]
    """``[B, L]``: the episode was over (by its rules or a limit) after this step."""

    def content_keys(self) -> list[bytes]:
        """One key per clip, equal for clips that look and act alike, also when seeds and positions differ (16 bytes each)."""
        shown = (self.observation, self.next_observation, self.action, self.mask)
        return [digest(np.frombuffer(b"".join(digest(array[i]) for array in shown), np.uint8)) for i in range(len(self.mask))]


class Choices(NamedTuple):
    """Who could do what before each of ``n`` steps."""

    legal: NDArray[np.bool_]
    """``[n, P, A]``: legal actions. Of a seat that waits they say nothing: games may give it the mask of the seat that moves."""
    acting: NDArray[np.bool_]
    """``[n, P]``: whose move it was."""


_Key = tuple[str, int, int]


class ClipReader:
    """Plays the needed pieces of replays again, all side by side, and remembers what was used last.

    Every piece is compared with the recording's marks before it is given out. Not for several threads at once.
    """

    def __init__(self, game: Game, fetch_replay: Callable[[str], Replay], cache_bytes: int = 512 << 20) -> None:
        self._game = game
        self._fetch = fetch_replay
        self._cache: ByteCache[_Key, Window] = ByteCache(cache_bytes, lambda window: window.nbytes, self._forget)
        self._windows: dict[str, list[_Key]] = {}
        """Which windows of a replay are in the cache."""

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        return self._game.spec

    @property
    def cached_bytes(self) -> int:
        """Memory that the cache holds; at most ``cache_bytes``."""
        return self._cache.nbytes

    def read(self, clips: Sequence[Clip], length: int | None = None) -> ClipBatch:
        """The clips as arrays.

        Args:
          clips: at least one.
          length: ``L``; default: the longest clip's. Give the same every time to keep compiled programs.

        Raises:
          ReplayMismatch: a replay belongs to another game or does not reproduce.
          UserError: a clip lies outside its replay, has a seat that the game has not, or is longer than ``length``.
        """
        longest = max(clip.length for clip in clips)
        if length is not None and longest > length:
            raise UserError(f"a clip of {longest} steps does not fit into {length}: read with a larger length, or cut shorter clips")
        windows = self._gather([segment for clip in clips for segment in clip.segments])
        return self._batch(clips, windows, length or longest)

    def choices(self, segments: Sequence[Segment]) -> list[Choices]:
        """Who could do what before each step of each segment, by playing again; nothing of it is remembered.

        Raises:
          ReplayMismatch: a replay belongs to another game or does not reproduce.
          UserError: a segment lies outside its replay.
        """
        collectors = [self._collector(segment.replay_id, [segment]) for segment in segments]
        spec = self.spec
        sizes = [(segment.length, spec.players) for segment in segments]
        found = [Choices(np.ones((*size, spec.actions.n), bool), np.zeros(size, bool)) for size in sizes]
        for piece in play(self._game, [collector.job for collector in collectors]):
            collectors[piece.job].add(piece)
            segment = segments[piece.job]
            low, high = max(segment.start, piece.start), min(segment.stop, piece.stop)
            if low < high:
                into, of = slice(low - segment.start, high - segment.start), slice(low - piece.start, high - piece.start)
                found[piece.job].legal[into] = piece.legal()[of]
                found[piece.job].acting[into] = piece.acting()[of]
        for collector in collectors:
            collector.check()
        return found

    def prime(self, replay: Replay, track: Track, start: int = 0) -> None:
        """Puts arrays of steps ``start .. start + n - 1`` into the cache, so that they need not be simulated.

        The caller vouches for them: they are what the replay shows (a recorder has just seen them). ``track.observation`` is
        ``[n + 1, P, ...]``, ``track.reward`` ``[n, P]``.
        """
        check_spec(replay, self._game.spec)
        n = len(track.reward)
        if len(track.observation) != n + 1 or not 0 <= start <= replay.length - n:
            raise ValueError(f"{len(track.observation)} observations and {n} rewards do not fit into {replay.length} steps from {start}")
        ended = np.asarray(track.terminated) | np.asarray(track.truncated)
        self._keep(replay.id, Window(start, track.observation, replay.actions[start : start + n], track.reward, ended))

    def _gather(self, segments: Iterable[Segment]) -> dict[Segment, Window]:
        """A window for each segment, from the cache or from one simulation of everything that is missing."""
        found = {segment: self._cached(segment) for segment in segments}
        missing: dict[str, list[Segment]] = {}
        for segment in (segment for segment, window in found.items() if window is None):
            missing.setdefault(segment.replay_id, []).append(segment)
        collectors = [self._collector(replay_id, wanted) for replay_id, wanted in missing.items()]
        run(self._game, collectors)
        for collector, wanted in zip(collectors, missing.values(), strict=True):
            collector.check()
            found.update(zip(wanted, collector.windows(), strict=True))
        for segment in (segment for wanted in missing.values() for segment in wanted):
            self._keep(segment.replay_id, _some(found[segment]))
        return {segment: _some(window) for segment, window in found.items()}

    def _collector(self, replay_id: str, segments: list[Segment]) -> Collector:
        replay = self._fetch(replay_id)
        check_spec(replay, self._game.spec)
        stop = max(segment.stop for segment in segments)
        if stop > replay.length:
            raise UserError(f"a clip asks for step {stop - 1} of replay {replay_id}, which has {replay.length} steps: cut the clip again")
        wanted = [(segment.start, segment.stop) for segment in segments]
        return Collector(replay, self._game.spec, wanted, enough_to_check(replay, stop))

    def _cached(self, segment: Segment) -> Window | None:
        for key in self._windows.get(segment.replay_id, ()):
            if key[1] <= segment.start and segment.stop <= key[2]:
                window = self._cache.get(key)
                return window and window.cut(segment.start, segment.stop)
        return None

    def _keep(self, replay_id: str, window: Window) -> None:
        key = (replay_id, window.start, window.stop)
        if key not in self._cache:
            self._windows.setdefault(replay_id, []).append(key)
        self._cache.put(key, window)

    def _forget(self, key: _Key) -> None:
        keys = self._windows[key[0]]
        keys.remove(key)
        if not keys:
            del self._windows[key[0]]

    def _batch(self, clips: Sequence[Clip], windows: dict[Segment, Window], length: int) -> ClipBatch:
        spec = self._game.spec
        size = (len(clips), length)
        batch = ClipBatch(
            observation=np.zeros((*size, *spec.observation.shape), spec.observation.dtype),
            next_observation=np.zeros((*size, *spec.observation.shape), spec.observation.dtype),
            action=np.zeros((*size, *spec.actions.shape), spec.actions.dtype),
            reward=np.zeros(size, np.float32),
            mask=np.zeros(size, bool),
            ended=np.zeros(size, bool),
        )
        for row, clip in enumerate(clips):
            if clip.seat >= spec.players:
                raise UserError(f"a clip shows seat {clip.seat}, but {spec.name} has seats 0 to {spec.players - 1}: cut the clip again")
            _fill(batch, row, clip, windows)
        return batch


def _fill(batch: ClipBatch, row: int, clip: Clip, windows: dict[Segment, Window]) -> None:
    begin = 0
    for segment in clip.segments:
        window, steps = windows[segment], slice(begin, begin + segment.length)
        batch.observation[row, steps] = window.observation[:-1, clip.seat]
        batch.next_observation[row, steps] = window.observation[1:, clip.seat]
        batch.action[row, steps] = window.action[:, clip.seat]
        batch.reward[row, steps] = window.reward[:, clip.seat]
        batch.ended[row, steps] = window.ended
        batch.mask[row, steps] = True
        begin += segment.length


def _some(window: Window | None) -> Window:
    assert window is not None, "every missing window was simulated"
    return window
