"""What happens while a person watches the agent's latest games. No pygame; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from rlhf_games.arena.episodes import Episode, Episodes
from rlhf_games.arena.fresh import Fresh
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.playhead import Playhead
from rlhf_games.arena.reel import Reel
from rlhf_games.replay.replay import Replay


def by_an_agent(episode: Episode) -> bool:
    """Whether a policy played it."""
    return bool(episode.policy) or "agent" in episode.player


class WatchSession:
    """Plays the newest policy's newest episode, then the others; what the learner records meanwhile comes next."""

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
        self.episodes, self.reel, self.minds = episodes, reel, minds
        self.fresh = fresh
        self.head = Playhead(now)
        self.head.paused = False
        self.truth = False
        """Whether the game's own score may be seen."""
        self.unseen = 0
        """Episodes of the list that came since the present one was opened, and are newer."""
        self._newest_shown = -1.0
        self._close = close
        self._closed = False

    @property
    def episode(self) -> Episode | None:
        """What is shown; None while nothing is."""
        place = self.episodes.place(self.reel.replay_id)
        return None if place is None else self.episodes.listed[place]

    def tick(self) -> None:
        """Lets everything go on."""
        if self._closed:
            return
        self.episodes.tick()
        self.minds.tick()
        self.fresh.tick()
        self.reel.near = self.head.t
        self.reel.tick()
        if not self.reel.replay_id and self.minds.looked and self.episodes.listed:
            self._show(0)
        place = self.episodes.place(self.reel.replay_id)
        self.unseen = place or 0
        spec = self.reel.spec
        if spec is None or self.reel.phase != "ready":
            self.head.tick(0.0, 1)
            return
        self.head.tick(spec.decisions_per_second, self.reel.limit)
        if self.reel.tape.done and self.head.over and not self.head.paused:
            self._show_next()

    def shown(self) -> tuple[int, int] | None:
        """Position and number of its picture that are to be seen now; None while there is nothing."""
        return self.reel.at(self.head) if self.reel.phase == "ready" else None

    def go(self, by: int) -> None:
        """Another episode: the next older one for 1, the next newer one for -1."""
        place = self.episodes.place(self.reel.replay_id)
        if self.episodes.listed:
            self._show(min(len(self.episodes.listed) - 1, max(0, (place or 0) + by)))

    def newest(self) -> None:
        """The newest episode."""
        if self.episodes.listed:
            self._show(0)

    def play_fresh(self) -> None:
        """A new game of the newest policy; it is shown once it is played."""
        if self.minds.newest is not None:
            self.fresh.play(self.minds.newest, self._played)

    def _played(self, replay: Replay) -> None:
        self.episodes.look()
        self._newest_shown = max(self._newest_shown, replay.recorded_at)
        self._open(replay.id)

    def seek(self, t: int) -> None:
        """To a decision, as far as the episode is played."""
        self.head.seek(t, self.reel.limit)

    def step(self, by: int) -> None:
        """Pauses and moves by pictures."""
        if self.reel.phase == "ready":
            self.head.step(by, self.reel.per_decision, self.reel.limit)

    def close(self) -> None:
        """Ends. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.minds.close()
        self.fresh.close()
        self.reel.close()
        self.episodes.close(self._close)

    def _show_next(self) -> None:
        """What is new goes first; after the oldest one it begins again."""
        count = len(self.episodes.listed)
        place = self.episodes.place(self.reel.replay_id) or 0
        if self.unseen and self.episodes.listed[0].recorded_at > self._newest_shown:
            self._show(0)
        else:
            self._show((place + 1) % count)

    def _show(self, place: int) -> None:
        episode = self.episodes.listed[place]
        self._newest_shown = max(self._newest_shown, episode.recorded_at)
        self._open(episode.id)

    def _open(self, replay_id: str) -> None:
        if replay_id != self.reel.replay_id:
            self.reel.show(replay_id, self.minds.newest)
        self.head.seek(0.0, 0)
