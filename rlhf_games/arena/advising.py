"""What happens while the agent asks a person: still states where its policy is unsure. No pygame; nothing here waits.

Questions come from two places: ``advice`` queries that wait in the store go first, then states of the newest episodes where the published
policy has the greatest entropy, far apart in time and not answered before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.episodes import Episodes
from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.reel import LoadGame
from rlhf_games.arena.remarks import Remark, Remarks
from rlhf_games.arena.unsure import Finder, Still
from rlhf_games.arena.work import Worker
from rlhf_games.feedback.answers import Advice

if TYPE_CHECKING:
    from rlhf_games.feedback.store import Store

Phase: TypeAlias = Literal["waiting", "showing", "saving", "failed"]

AHEAD = 4
"""Questions that are found beyond the one on the screen."""
_UNDONE = 20
"""Answers that can be asked again: each keeps its episode in memory."""
_LOOK_EVERY = 3.0
LEAD = 2.0
"""Seconds of play before a state that can be looked at."""


class AdviseSession:
    """One person advising. Call ``tick`` often."""

    def __init__(
        self,
        store: Store,
        episodes: Episodes,
        minds: Minds,
        remarks: Remarks,
        load_game: LoadGame,
        worker: Worker,
        close: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """``worker``: looks through episodes and leases queries; ``close``: done at the end, when nothing uses the store any more."""
        self.episodes, self.minds, self.remarks = episodes, minds, remarks
        self._close, self._now, self._wall = close, now, wall
        self._finder = Finder(store, load_game, remarks.annotator)
        self._looking = Errands(worker)
        self._queue: deque[Still] = deque()
        self._looked: set[str] = set()
        self._queries_at = now()
        self._remark: Remark | None = None
        self._history: deque[tuple[Remark, Still]] = deque(maxlen=_UNDONE)
        self._undone: tuple[Remark, Still] | None = None
        self.current: Still | None = None
        self.phase: Phase = "waiting"
        self.given = 0
        self.notice = ""
        self.lead_from: float | None = None
        """Since when the play that led here is shown; None: the still is."""
        self._shown_at = 0.0
        self._closed = False

    @property
    def annotator(self) -> str:
        """Who answers."""
        return self.remarks.annotator

    @property
    def ahead(self) -> int:
        """Questions that can be shown at once."""
        return len(self._queue)

    @property
    def remark(self) -> Remark | None:
        """The answer that is being stored, or whose storing failed."""
        return self._remark

    @property
    def settled(self) -> bool:
        """Whether nothing is being looked for, and nothing will be until something new comes."""
        looked = self.minds.looked and self.episodes.looked
        more = self.minds.newest is not None and any(episode.policy and episode.id not in self._looked for episode in self.episodes.listed)
        return looked and self._looking.free and not more

    @property
    def words(self) -> str:
        """What is being waited for."""
        if not self.minds.looked or not self.episodes.looked:
            return "Opening the run…"
        if not self.settled:
            return "The agent looks through its games for what it is unsure of…"
        return self.minds.problem or "There is nothing the agent wants to know now. New questions come with new games."

    @property
    def legal(self) -> NDArray[np.bool_]:
        """``[A]`` of the state on the screen."""
        assert self.current is not None
        legal: NDArray[np.bool_] = self.current.tape.legal(self.current.t)[self.current.seat]
        return legal

    def shown(self) -> tuple[int, int] | None:
        """Position and number of its picture that are to be seen now."""
        if self.current is None:
            return None
        tape, t = self.current.tape, self.current.t
        if self.lead_from is not None:
            rate = tape.spec.decisions_per_second
            place = max(0.0, t - LEAD * rate) + (self._now() - self.lead_from) * rate
            if place < t:
                return int(place), int(place % 1 * len(tape.pictures(int(place))))
        return t, len(tape.pictures(t)) - 1

    # What the person does

    def answer(self, action: int | None) -> bool:
        """What they would do; None: can't tell. False where there is nothing to answer, or it is not possible."""
        still = self.current
        if self.phase != "showing" or still is None:
            return False
        if action is not None and not (0 <= action < len(self.legal) and self.legal[action]):
            self.notice = "That is not possible here."
            return False
        value = Advice(action, still.seat)
        self._remark = self.remarks.say(value, still.tape.replay.id, still.t, self._shown_at, still.query_id)
        self.phase, self.notice = "saving", ""
        return True

    def pass_by(self) -> None:
        """Another question; this one is not answered, and comes again in another session."""
        if self.phase == "showing" and self._queue:
            self.current, self.phase = None, "waiting"

    def undo(self) -> None:
        """Takes back the last answer and asks it again."""
        if self.phase not in ("showing", "waiting") or self._undone is not None:
            return
        if not self._history:
            self.notice = "There is no answer of this session left to take back."
            return
        self._undone = self._history.pop()
        self.remarks.undo()

    def lead(self) -> None:
        """Shows what led here."""
        self.lead_from = self._now()

    def retry(self) -> None:
        """Stores a failed answer again."""
        if self.phase == "failed":
            self.remarks.retry()
            self.phase = "saving"

    def drop(self) -> None:
        """Gives a failed answer up."""
        if self.phase == "failed":
            self.remarks.drop()
            self.current, self._remark, self.phase, self.notice = None, None, "waiting", ""

    def close(self) -> None:
        """Gives back what was not answered. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        self.minds.close()
        self._looking.close(self._finder.give_back)
        self.episodes.close(self._close)

    # Time

    def tick(self) -> None:
        """Takes in what is stored and found, and shows the next question when it may."""
        if self._closed:
            return
        self.episodes.tick()
        self.minds.tick()
        self.remarks.tick()
        self._looking.tick()
        self._settle()
        if self._undone is not None and self._undone[0].state != "leaving":
            self._show_again(*self._undone)
        if self.phase == "waiting" and self._queue:
            self._show(self._queue.popleft())
        if self._looking.free and len(self._queue) < AHEAD:
            self._look_on()

    def _settle(self) -> None:
        remark = self._remark
        if self.phase != "saving" or remark is None or remark.state == "sending":
            return
        if remark.state == "failed":
            self.phase, self.notice = "failed", self.remarks.problem
            return
        assert self.current is not None
        self._history.append((remark, self.current))
        self.given += 1
        self.current, self._remark, self.phase = None, None, "waiting"

    def _show_again(self, remark: Remark, still: Still) -> None:
        self._undone = None
        if remark.state == "stored":
            self._history.append((remark, still))
            self.notice = self.remarks.problem
            return
        self.given -= 1
        if self.current is not None:
            self._queue.appendleft(self.current)
        self._show(still)
        self.notice = "Taken back."

    def _show(self, still: Still) -> None:
        self.current, self.phase, self.notice, self.lead_from = still, "showing", "", None
        self._shown_at = self._wall()

    def _look_on(self) -> None:
        """Looks for more questions: in the store, then in the newest episode that was not looked through yet."""
        if self._now() >= self._queries_at:
            self._queries_at = self._now() + _LOOK_EVERY
            self._looking.start("looking into the store", lambda: self._finder.waiting(AHEAD), self._take, self._fail)
            return
        mind = self.minds.newest
        if mind is None or not self.remarks.looked:
            return
        episode = next((episode for episode in self.episodes.listed if episode.id not in self._looked and episode.policy), None)
        if episode is None:
            return
        self._looked.add(episode.id)
        answered = {t for replay_id, t in self.remarks.advised() if replay_id == episode.id}
        self._looking.start("looking through an episode", lambda: self._finder.unsure(mind, episode.id, answered), self._take, self._fail)

    def _take(self, found: list[Still]) -> None:
        asked = [still for still in found if still.query_id is not None and still.query_id not in self._held()]
        self._queue.extendleft(reversed(asked))
        self._queue.extend(still for still in found if still.query_id is None)

    def _held(self) -> set[int | None]:
        """Queries that are on the screen, waiting here, or answered: one that was taken back may be given out again."""
        said = [still for remark, still in self._history if remark.state in ("sending", "stored")]
        return {still.query_id for still in (*self._queue, *said, *([self.current] if self.current is not None else []))}

    def _fail(self, error: BaseException) -> None:
        self.notice = problem_words(error)
