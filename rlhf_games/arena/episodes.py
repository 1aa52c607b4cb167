"""The episodes that a store holds, newest policy first; follows the store while a learner adds to it. No pygame; nothing here waits."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.work import Worker
from rlhf_games.replay.replay import Replay

if TYPE_CHECKING:
    from rlhf_games.feedback.store import Store

_LOOK_EVERY = 2.0
"""Seconds."""
_AT_ONCE = 100
"""Replays that are read at a time, newest first."""


class Episode(NamedTuple):
    """What a list says of a replay."""

    id: str
    game: str
    policy: str
    """Which policy played; empty where none did."""
    player: tuple[str, ...]
    length: int
    returns: tuple[float, ...]
    recorded_at: float
    seed: int
    ended: bool


class Episodes:
    """Call ``tick`` often."""

    def __init__(
        self, store: Store, worker: Worker, now: Callable[[], float], wanted: Callable[[Episode], bool] = lambda episode: True
    ) -> None:
        """``wanted``: which episodes to list."""
        self._store, self._now, self._wanted = store, now, wanted
        self._errands = Errands(worker)
        self._seen: set[str] = set()
        self._known: dict[str, Episode] = {}
        self._look_at = now()
        self.listed: tuple[Episode, ...] = ()
        """Newest policy first, and of one policy the newest episode first. Of an episode that was recorded several times, the longest."""
        self._places: dict[str, int] = {}
        self.looked = False
        """Whether the store was read."""
        self.problem = ""

    def place(self, replay_id: str) -> int | None:
        """Where in the list a replay is; None where it is not."""
        return self._places.get(replay_id)

    def look(self) -> None:
        """Looks at the next tick: something is new."""
        self._look_at = self._now()

    def tick(self) -> None:
        """Looks into the store now and then."""
        self._errands.tick()
        if self._errands.free and self._now() >= self._look_at:
            self._look_at = self._now() + _LOOK_EVERY
            self._errands.start("reading the store", self._read, self._take, self._fail)

    def close(self, last: Callable[[], None]) -> None:
        """Ends; ``last`` is done on the worker."""
        self._errands.close(last)

    def _read(self) -> tuple[list[Episode], bool]:
        """On the worker: some that are new, and whether there are more."""
        fresh = [replay_id for replay_id in reversed(self._store.replay_ids()) if replay_id not in self._seen]
        found = self._store.replays(fresh[:_AT_ONCE])
        return [about(replay) for replay in found.values()], len(fresh) > _AT_ONCE

    def _take(self, read: tuple[list[Episode], bool]) -> None:
        found, more = read
        self.looked, self.problem = True, ""
        self._look_at = self._now() if more else self._look_at
        if not found:
            return
        self._seen |= {episode.id for episode in found}
        self._known |= {episode.id: episode for episode in found if self._wanted(episode)}
        self.listed = in_order(self._known.values())
        self._places = {episode.id: number for number, episode in enumerate(self.listed)}

    def _fail(self, error: BaseException) -> None:
        self.looked, self.problem = True, problem_words(error)


def about(replay: Replay) -> Episode:
    """What a list says of it."""
    return Episode(
        replay.id,
        replay.game,
        replay.policy,
        replay.player,
        replay.length,
        replay.checksum.returns,
        replay.recorded_at,
        replay.seed,
        replay.ended != "unfinished",
    )


def in_order(episodes: Iterable[Episode]) -> tuple[Episode, ...]:
    """Newest policy first, then newest episode first; beginnings of an episode that is there longer are left out."""
    longest: dict[tuple[str, int, tuple[str, ...]], Episode] = {}
    for episode in episodes:
        key = (episode.game, episode.seed, episode.player)
        if key not in longest or (longest[key].length, longest[key].id) < (episode.length, episode.id):
            longest[key] = episode
    newest: dict[str, float] = {}
    for episode in longest.values():
        newest[episode.policy] = max(newest.get(episode.policy, 0.0), episode.recorded_at)
    order = sorted(longest.values(), key=lambda episode: (newest[episode.policy], episode.policy, episode.recorded_at, episode.id))
    return tuple(reversed(order))
