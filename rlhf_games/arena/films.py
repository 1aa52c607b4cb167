"""Clips made ready for the screen, in a thread of their own. JAX is imported there, by the first game that is loaded."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games import workspace
from rlhf_games.arena.work import Worker
from rlhf_games.core.errors import UserError
from rlhf_games.replay.clip import Clip
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:
    from rlhf_games.core.game import Game
    from rlhf_games.replay.frames import FrameReader

_CACHE_BYTES = 128 << 20
_REPLAYS = 64
"""Replays that stay in memory: neighbouring pairs often come from the same episodes."""


class Footage(NamedTuple):
    """A clip that can be shown."""

    frames: NDArray[np.uint8]
    """``[F, H, W, 3]``."""
    fps: float
    """Pictures per second at the game's natural speed."""
    game: str
    """``family/game``."""
    players: int
    ends: bool
    """The episode ends with the clip's last step."""

    @property
    def seconds(self) -> float:
        """Duration at natural speed."""
        return len(self.frames) / self.fps


class Projector:
    """Draws clips of any game of the workspaces; work is done one clip after the other, in the order asked for."""

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

    def request(self, clip: Clip) -> Future[Footage]:
        """Returns at once; the future holds a ``UserError`` where the clip cannot be shown."""
        return self._worker.submit(lambda: self._develop(clip))

    def close(self) -> None:
        """Drops what has not begun. Safe to call twice."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _develop(self, clip: Clip) -> Footage:
        replay = self._fetch(clip.segments[-1].replay_id)
        reader = self._reader(replay)
        ends = replay.ended != "unfinished" and clip.segments[-1].stop == replay.length
        return Footage(reader.frames(clip), reader.fps, replay.game, replay.players, ends)

    def _reader(self, replay: Replay) -> FrameReader:
        name = f"{replay.game} {sorted(replay.options.items())}"
        if name not in self._readers:
            from rlhf_games.replay.frames import FrameReader

            game = self._load_game(replay.game, replay.options)
            if 0 in game.spec.frame_shape:
                raise UserError(f"{replay.game} has no pictures, so nobody can judge it")
            self._readers[name] = FrameReader(game, self._fetch, _CACHE_BYTES)
        return self._readers[name]
