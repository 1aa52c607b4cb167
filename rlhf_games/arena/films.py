"""Clips made ready for the screen, in a thread of their own. JAX is imported there, by the first game that is loaded."""

from __future__ import annotations

import zlib
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games import workspace
from rlhf_games.arena.work import Worker
from rlhf_games.core.errors import UserError
from rlhf_games.replay.cache import ByteCache
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import clip_ends
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:
    from rlhf_games.core.game import Game
    from rlhf_games.replay.frames import FrameReader

_CACHE_BYTES = 48 << 20
"""Packed pictures that stay: about six hundred Atari clips of 25 decisions."""
SEAM_REST = 0.5
"""Seconds for which a clip stands still where one episode ends and the next begins, so that nobody takes the new one for the old."""
_REPLAYS = 64
"""Replays that stay in memory: neighbouring pairs often come from the same episodes."""
_Key: TypeAlias = tuple[Segment, ...]


class Pictures(Protocol):
    """Pictures ``[F, H, W, 3]`` uint8 of which one at a time is looked at; a NumPy array is one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(F, H, W, 3)``."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> Any:
        """Picture ``[H, W, 3]``."""
        ...


class Strip:
    """Pictures packed one by one: a hundredth of the memory (an Atari clip of 25 decisions is 10 MB unpacked), 0.1 ms to look at one."""

    def __init__(self, frames: NDArray[np.uint8], order: NDArray[np.int64] | None = None) -> None:
        """``frames``: ``[F, H, W, 3]``, not kept; ``order``: numbers of the pictures as they follow each other, each once by default."""
        packed = [zlib.compress(np.ascontiguousarray(picture).data, 1) for picture in frames]
        self.nbytes = sum(map(len, packed))
        """Memory that they take."""
        self._packed = packed if order is None else [packed[number] for number in order.tolist()]
        self.shape: tuple[int, ...] = (len(self._packed), *frames.shape[1:])

    def __len__(self) -> int:
        return len(self._packed)

    def __getitem__(self, number: int, /) -> NDArray[np.uint8]:
        return np.frombuffer(zlib.decompress(self._packed[number]), np.uint8).reshape(self.shape[1:])


class Footage(NamedTuple):
    """A clip that can be shown."""

    frames: Pictures
    fps: float
    """Pictures per second at the game's natural speed."""
    game: str
    """``family/game``."""
    players: int
    ends: bool
    """The episode ends with the clip's last step."""
    score: tuple[tuple[int, int, int, int], ...] = ()
    """``GameSpec.score_in_frame``: where the pictures show the score."""
    seams: tuple[tuple[int, int], ...] = ()
    """Where an episode ends inside the clip: the number of its last picture, which then stands still, and of the next one's first."""

    def ends_at(self, number: int) -> bool:
        """Whether picture ``number`` is the last one of an episode that ends inside the clip."""
        return any(last <= number < begin for last, begin in self.seams)

    def episode(self, number: int) -> int:
        """Which of the clip's episodes picture ``number`` belongs to, from 0."""
        return sum(begin <= number for _, begin in self.seams)

    @property
    def seconds(self) -> float:
        """Duration at natural speed."""
        return len(self.frames) / self.fps

    @property
    def size(self) -> tuple[int, int]:
        """``(width, height)`` of a picture."""
        return self.frames.shape[2], self.frames.shape[1]


class Projector:
    """Draws clips of any game of the workspaces, one after the other: those asked for in their order, then those expected.

    Clips that were drawn stay, packed, in a cache of bounded size. May be used from several threads.
    """

    def __init__(
        self,
        fetch_replay: Callable[[str], Replay],
        worker: Worker,
        load_game: Callable[[str, dict[str, Any]], Game] = workspace.load_game,
    ) -> None:
        self._fetch = lru_cache(_REPLAYS)(fetch_replay)
        self._worker = worker
        self._load_game = load_game
        self._readers: dict[str, FrameReader] = {}
        self._scores: dict[str, tuple[tuple[int, int, int, int], ...]] = {}
        self._cache: ByteCache[_Key, Footage] = ByteCache(_CACHE_BYTES, lambda film: getattr(film.frames, "nbytes", 0))
        self._lock = Lock()
        self._asked: OrderedDict[_Key, tuple[Clip, Future[Footage]]] = OrderedDict()
        self._expected: OrderedDict[_Key, Clip] = OrderedDict()
        self._drawing: dict[_Key, Future[Footage]] = {}
        self._closed = False
        self._turns = 0
        """Turns that the worker was asked for and has not begun."""

    def request(self, clip: Clip, urgent: bool = False) -> Future[Footage]:
        """Returns at once; ``urgent``: before all others. The future holds a ``UserError`` where the clip cannot be shown."""
        key = clip.segments
        with self._lock:
            if (drawn := self._cache.get(key)) is not None:
                done: Future[Footage] = Future()
                done.set_result(drawn)
                return done
            if key in self._drawing:
                return self._drawing[key]
            self._expected.pop(key, None)
            _, future = self._asked.setdefault(key, (clip, Future()))
            if urgent:
                self._asked.move_to_end(key, last=False)
        self._ask_for_turns()
        return future

    def expect(self, clips: Sequence[Clip]) -> None:
        """Clips that will probably be asked for; takes the place of what was expected before."""
        with self._lock:
            known = (*self._asked, *self._drawing)
            self._expected = OrderedDict((clip.segments, clip) for clip in clips if clip.segments not in self._cache)
            for key in known:
                self._expected.pop(key, None)
        self._ask_for_turns()

    def close(self) -> None:
        """Drops what has not begun; games that stayed open are closed in the background. Safe to call twice."""
        with self._lock:
            self._asked.clear()
            self._expected.clear()
            closed, self._closed = self._closed, True
        if not closed:
            self._worker.submit(self._close_readers)
        self._worker.shutdown(wait=False)

    def _close_readers(self) -> None:
        """On the worker, after everything else: an emulator is let go of where it was used, not wherever garbage is collected."""
        for reader in self._readers.values():
            reader.close()

    def _ask_for_turns(self) -> None:
        with self._lock:
            more = len(self._asked) + len(self._expected) - self._turns
            self._turns += max(0, more)
        for _ in range(more):
            self._worker.submit(self._turn)

    def _turn(self) -> None:
        """On the worker: draws the next clip, if any is left."""
        with self._lock:
            self._turns -= 1
            if self._asked:
                key, (clip, future) = self._asked.popitem(last=False)
            elif self._expected:
                key, clip = self._expected.popitem(last=False)
                future = Future()
            else:
                return
            self._drawing[key] = future
        try:
            film = self._develop(clip)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a clip belongs to whoever asked for it
            with self._lock:
                del self._drawing[key]
            future.set_exception(error)
            return
        with self._lock:
            self._cache.put(key, film)
            del self._drawing[key]
        future.set_result(film)

    def _develop(self, clip: Clip) -> Footage:
        replay = self._fetch(clip.segments[-1].replay_id)
        reader = self._reader(replay)
        ends = clip_ends(clip, self._fetch)
        from rlhf_games.replay.frames import rest_at_seams

        film, fps = reader.film(clip), reader.fps
        order, seams = rest_at_seams(len(film.frames), film.seams, max(1, round(SEAM_REST * fps)))
        return Footage(Strip(film.frames, order), fps, replay.game, replay.players, ends, self._scores[replay.game], seams)

    def _reader(self, replay: Replay) -> FrameReader:
        name = f"{replay.game} {sorted(replay.options.items())}"
        if name not in self._readers:
            from rlhf_games.replay.frames import FrameReader

            game = self._load_game(replay.game, replay.options)
            if 0 in game.spec.frame_shape:
                raise UserError(f"{replay.game} has no pictures, so nobody can judge it")
            self._scores[replay.game] = game.spec.score_in_frame
            self._readers[name] = FrameReader(game, self._fetch, cache_bytes=0)  # packed pictures are kept here instead
        return self._readers[name]
