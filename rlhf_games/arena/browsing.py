"""What Watch and Ask have in common: a person goes through the episodes of a store. No pygame; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from rlhf_games.arena.episodes import Episode, Episodes
from rlhf_games.arena.fresh import Fresh
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.playhead import Playhead
from rlhf_games.arena.reel import Reel
from rlhf_games.replay.replay import Replay


class Browser:
    """One episode at a time, the newest first. Call ``tick`` often."""

    def __init__(
        self,
        episodes: Episodes,
        reel: Reel,
        minds: Minds,
        fresh: Fresh,
        close: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``close``: done at the end, when nothing uses the store any more."""
        self.episodes, self.reel, self.minds, self.fresh = episodes, reel, minds, fresh
        self.head = Playhead(now)
        self.truth = False
        """Whether the game's own points may be seen."""
        self._seat = 0
        self._close = close
        self._closed = False

    @property
    def episode(self) -> Episode | None:
        """What is shown; None while nothing is, or where it is not in the list (yet)."""
        place = self.episodes.place(self.reel.replay_id)
        return None if place is None else self.episodes.listed[place]

    @property
    def seat(self) -> int:
        """Whose rewards are shown."""
        spec = self.reel.spec
        return 0 if spec is None else self._seat % spec.players

    # What the person does

    def other_seat(self) -> None:
        """The next seat."""
        self._seat += 1

    def go(self, by: int) -> None:
        """Another episode: the next older one for 1, the next newer one for -1."""
        listed, place = self.episodes.listed, self.episodes.place(self.reel.replay_id) or 0
        if listed:
            self.show(listed[min(len(listed) - 1, max(0, place + by))].id)

    def newest(self) -> None:
        """The newest episode."""
        if self.episodes.listed:
            self.show(self.episodes.listed[0].id)

    def begin(self) -> None:
        """Opens what is shown first."""
        self.newest()

    def play_fresh(self) -> None:
        """A new game of the newest policy; it is shown once it is played."""
        if self.minds.newest is not None:
            self.fresh.play(self.minds.newest, self._played)

    def show(self, replay_id: str) -> None:
        """Opens an episode at its beginning, and has the newest policy asked about it."""
        self.reel.show(replay_id, self.minds.newest)
        self.head.seek(0.0, 0)

    def close(self) -> None:
        """Ends. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.minds.close()
        self.fresh.close()
        self.reel.close()
        self.episodes.close(self._close)

    # Time

    def tick(self) -> None:
        """Lets everything go on."""
        if not self._closed:
            self.go_on()

    def go_on(self) -> None:
        """The inside of `tick`."""
        self.episodes.tick()
        self.minds.tick()
        self.fresh.tick()
        self.reel.near = self.head.t
        self.reel.tick()
        if not self.reel.replay_id and self.minds.looked:
            self.begin()
        spec = self.reel.spec
        if spec is None or self.reel.phase != "ready":
            self.head.tick(0.0, 1)
        else:
            self.head.tick(spec.decisions_per_second, self.reel.limit)

    def _played(self, replay: Replay) -> None:
        self.episodes.look()
        self.show(replay.id)
