"""Clips as pictures for people."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from functools import cached_property
from threading import Lock
from typing import Any, NamedTuple, Self

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import DeviceGame, Game, GameSpec, HostGame, TimeStep
from rlhf_games.core.spaces import Box, MultiDiscrete
from rlhf_games.replay import device
from rlhf_games.replay.cache import ByteCache
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.collect import Collector, enough_to_check
from rlhf_games.replay.replay import Replay, check_spec
from rlhf_games.replay.rerun import Rerun

Pictures = NDArray[np.uint8]
_RERUNS = 12
"""Replays of host games that are kept open: clips that are asked about together often come from the same episodes."""


class Film(NamedTuple):
    """A clip's pictures, and what they show."""

    frames: Pictures
    """``[F, H, W, 3]``: of each segment the picture before its first action, then what each action brought."""
    step: NDArray[np.int32]
    """``[F]``: step of the clip (from 0) that the picture belongs to; a segment's first picture belongs to its first step."""
    seams: tuple[int, ...] = ()
    """Numbers of the pictures with which another episode begins, ascending."""


def rest_at_seams(count: int, seams: Sequence[int], rest: int) -> tuple[NDArray[np.int64], tuple[tuple[int, int], ...]]:
    """An order in which pictures are shown so that the end of an episode inside a clip can be seen.

    Args:
      count: pictures.
      seams: numbers of those with which another episode begins, ascending.
      rest: how often each picture before a seam is shown again.

    Returns:
      ``[count + rest · seams]`` numbers of pictures, and for each seam two places in that order: where the last picture of the old episode
      is shown first, and where the new episode begins.
    """
    times = np.ones(count, np.int64)
    times[[seam - 1 for seam in seams]] += rest
    order = np.repeat(np.arange(count), times)
    begins = [seam + rest * (number + 1) for number, seam in enumerate(seams)]
    return order, tuple((begin - rest - 1, begin) for begin in begins)


class FrameReader:
    """Draws clips by playing their replays again, remembers what was used last, and works ahead in a thread of its own.

    Every piece is compared with the recording before it is shown. May be used from several threads; close it when done.
    """

    def __init__(self, game: Game, fetch_replay: Callable[[str], Replay], cache_bytes: int = 256 << 20) -> None:
        """``fetch_replay`` is also called from the background thread."""
        self._game = game
        self._fetch = fetch_replay
        self._cache: ByteCache[tuple[Segment, ...], Film] = ByteCache(cache_bytes, lambda film: film.frames.nbytes + film.step.nbytes)
        self._pending: dict[tuple[Segment, ...], Future[Film]] = {}
        self._lock = Lock()
        self._reruns: OrderedDict[str, Rerun] = OrderedDict()
        self._rerunning = Lock()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="frames")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def cached_bytes(self) -> int:
        """Memory that the cache holds; at most ``cache_bytes``."""
        return self._cache.nbytes

    @cached_property
    def fps(self) -> float:
        """Pictures per second at the game's natural speed: decisions per second times pictures per decision."""
        if isinstance(self._game, DeviceGame):
            return self._game.spec.decisions_per_second
        with closing(self._game.open(0)) as session:
            session.step(_any_action(self._game.spec, session.timestep))
            return self._game.spec.decisions_per_second * len(session.frames())

    def frames(self, clip: Clip) -> Pictures:
        """The clip's pictures ``[F, H, W, 3]``; read-only. See `film`."""
        return self.film(clip).frames

    def film(self, clip: Clip) -> Film:
        """The clip's pictures: at once where they are in the cache, else after playing the replay up to the clip's end.

        Raises:
          ReplayMismatch: a replay belongs to another game or does not reproduce.
          UserError: the clip lies outside its replay.
        """
        film = self._cache.get(clip.segments)
        if film is not None:
            return film
        with self._lock:
            future = self._pending.get(clip.segments)
        if future is not None and not future.cancel():  # waiting in the queue: faster to do it here
            return future.result()
        return self._load(clip)

    def prefetch(self, clips: Iterable[Clip]) -> None:
        """Has the clips drawn in the background, in this order; returns at once. Problems show when the clip is asked for."""
        for clip in clips:
            with self._lock:
                if clip.segments in self._cache or clip.segments in self._pending:
                    continue
                future = self._pending[clip.segments] = self._worker.submit(self._load, clip)
            future.add_done_callback(lambda done, key=clip.segments: self._settled(key, done))  # type: ignore[misc]

    def ready(self, clip: Clip) -> bool:
        """Whether `film` will answer at once."""
        return clip.segments in self._cache

    def close(self) -> None:
        """Ends the background thread; what it has begun is finished, what waits is dropped. Safe to call twice."""
        self._worker.shutdown(wait=True, cancel_futures=True)
        with self._rerunning:
            while self._reruns:
                self._reruns.popitem()[1].close()

    def _settled(self, key: tuple[Segment, ...], future: Future[Film]) -> None:
        with self._lock:
            if self._pending.get(key) is future:
                del self._pending[key]

    def _load(self, clip: Clip) -> Film:
        pictures: list[Pictures] = []
        steps: list[int] = []
        seams: list[int] = []
        begin, episode = 0, clip.segments[0].replay_id
        for segment in clip.segments:
            if segment.replay_id != episode:
                seams.append(len(steps))
                episode = segment.replay_id
            for t, shown in self._draw(segment):
                pictures.append(shown)
                steps += [begin + t] * len(shown)
            begin += segment.length
        film = Film(np.concatenate(pictures), np.array(steps, np.int32), tuple(seams))
        film.frames.flags.writeable = False
        self._cache.put(clip.segments, film)
        return film

    def _draw(self, segment: Segment) -> list[tuple[int, Pictures]]:
        """Pairs of step within the segment and pictures ``[F, H, W, 3]``, all checked."""
        replay = self._fetch(segment.replay_id)
        check_spec(replay, self._game.spec)
        if segment.stop > replay.length:
            raise UserError(
                f"a clip asks for step {segment.stop - 1} of replay {replay.id}, which has {replay.length} steps: cut the clip again"
            )
        if isinstance(self._game, HostGame):
            return self._draw_host(self._game, replay, segment)
        collector = Collector(replay, self._game.spec, (), enough_to_check(replay, segment.stop))
        shown = list(_draw_device(self._game, collector, segment))
        collector.check()
        return shown

    def _draw_host(self, game: HostGame, replay: Replay, segment: Segment) -> list[tuple[int, Pictures]]:
        """From a rerun that is open already, where there is one."""
        with self._rerunning:
            rerun = self._reruns.pop(replay.id, None) or Rerun(game, replay)
            try:
                shown = rerun.draw(segment.start, segment.stop)
            except BaseException:
                rerun.close()
                raise
            self._reruns[replay.id] = rerun
            if len(self._reruns) > _RERUNS:
                self._reruns.popitem(last=False)[1].close()
            return shown


def _draw_device(game: DeviceGame, collector: Collector, segment: Segment) -> Iterator[tuple[int, Pictures]]:
    """Simulates in one compiled program and draws only what is shown."""
    for done in device.chunks(game, [collector.job], width=1, with_states=True):
        collector.add(next(device.pieces(done)))
        slot = done.slots[0]
        assert slot is not None
        if slot.start >= segment.stop or slot.stop < segment.start:
            continue
        if slot.start == segment.start == 0:
            yield 0, _picture(game, done.first_state, (0,))
        states = jax.tree.map(np.asarray, done.states)
        for t in range(max(slot.start, segment.start - 1), min(slot.stop, segment.stop)):
            yield max(0, t - segment.start), _picture(game, states, (t - slot.start, 0))


def _picture(game: DeviceGame, states: Any, index: tuple[int, ...]) -> Pictures:
    return game.draw(jax.tree.map(lambda leaf: np.asarray(leaf)[index], states))[None]


def _any_action(spec: GameSpec, timestep: TimeStep[NDArray[Any]]) -> NDArray[Any]:
    """Some legal action for every seat, ``[P, ...]``."""
    shape = (spec.players, *spec.actions.shape)
    if isinstance(spec.actions, Box):
        return np.broadcast_to(spec.actions.bounds[0], shape).copy()
    if isinstance(spec.actions, MultiDiscrete):
        return np.zeros(shape, np.int32)
    chosen: NDArray[Any] = np.asarray(timestep.legal_action_mask).argmax(-1).astype(np.int32)
    return chosen
