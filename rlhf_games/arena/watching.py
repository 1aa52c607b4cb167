"""What happens while a person watches the agent's latest games. No pygame; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable

from rlhf_games.arena.browsing import Browser
from rlhf_games.arena.episodes import Episode, Episodes
from rlhf_games.arena.fresh import Fresh
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.reel import Reel


def by_an_agent(episode: Episode) -> bool:
    """Whether a policy played it."""
    return bool(episode.policy) or "agent" in episode.player


class WatchSession(Browser):
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
        """As in `Browser`."""
        super().__init__(episodes, reel, minds, fresh, close, now)
        self.head.paused = False
        self._newest_shown = -1.0

    @property
    def unseen(self) -> int:
        """Episodes of the list that are newer than the present one."""
        return self.episodes.place(self.reel.replay_id) or 0

    def shown(self) -> tuple[int, int] | None:
        """Position and number of its picture that are to be seen now; None while there is nothing."""
        return self.reel.at(self.head) if self.reel.phase == "ready" else None

    def show(self, replay_id: str) -> None:
        """Opens an episode, or begins it again."""
        if replay_id != self.reel.replay_id:
            super().show(replay_id)
        self.head.seek(0.0, 0)

    def seek(self, t: int) -> None:
        """To a decision, as far as the episode is played."""
        self.head.seek(t, self.reel.limit)

    def step(self, by: int) -> None:
        """Pauses and moves by pictures."""
        if self.reel.phase == "ready":
            self.head.step(by, self.reel.per_decision, self.reel.limit)

    def go_on(self) -> None:
        """Goes to the next episode at the end of one."""
        super().go_on()
        if self.episode is not None:
            self._newest_shown = max(self._newest_shown, self.episode.recorded_at)
        if self.reel.phase == "ready" and self.reel.tape.done and self.head.over and not self.head.paused:
            self._show_next()

    def _show_next(self) -> None:
        """What is new goes first; after the oldest one it begins again."""
        listed, place = self.episodes.listed, self.episodes.place(self.reel.replay_id)
        if not listed:
            self.seek(0)
        elif listed[0].recorded_at > self._newest_shown or place is None:
            self.newest()
        else:
            self.show(listed[(place + 1) % len(listed)].id)
