"""What happens while the agent asks a person: still states where its policy is unsure. No pygame; nothing here waits.

Questions come from two places: ``advice`` queries that wait in the store go first, then states of the newest episodes where the published
policy has the greatest entropy, far apart in time and not answered before.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.episodes import Episodes
from rlhf_games.arena.errands import Errands, problem_words
from rlhf_games.arena.insight import CHUNK, Mind, explained
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.reel import LoadGame
from rlhf_games.arena.remarks import Remark, Remarks
from rlhf_games.arena.tape import Tape
from rlhf_games.arena.work import Worker
from rlhf_games.core.spaces import Discrete
from rlhf_games.feedback.answers import Advice

if TYPE_CHECKING:
    from rlhf_games.core.game import Game
    from rlhf_games.feedback.store import Query, Store

Phase: TypeAlias = Literal["waiting", "showing", "saving", "failed"]

AHEAD = 4
"""Questions that are found beyond the one on the screen."""
PER_EPISODE = 3
"""Questions about one episode, at most."""
APART = 1.5
"""Seconds of play between two questions about one episode, at least."""
_LONGEST = 2_000
"""Decisions of an episode that are looked through: the later ones of very long episodes are left out."""
_UNDONE = 20
"""Answers that can be asked again: each keeps its episode in memory."""
_LEASE_SECONDS = 600.0
_LOOK_EVERY = 3.0
LEAD = 2.0
"""Seconds of play before a state that can be looked at."""


class Still(NamedTuple):
    """A question: what would you do here?"""

    tape: Tape
    t: int
    seat: int
    uncertainty: float | None
    """Entropy of the policy as a share of the greatest possible, in [0, 1]; None where a learner asks."""
    query_id: int | None = None
    policy: str = ""
    """Who is unsure."""


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
        self._store, self.episodes, self.minds, self.remarks = store, episodes, minds, remarks
        self._load_game, self._close, self._now, self._wall = load_game, close, now, wall
        self._looking = Errands(worker)
        self._games: dict[str, Game] = {}
        self._queue: deque[Still] = deque()
        self._looked: set[str] = set()
        self._leased: list[int] = []
        self._begun = False
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
        self._looking.close(self._give_back)
        self.episodes.close(self._close)

    def _give_back(self) -> None:
        if self._leased:
            self._store.release(self.annotator, self._leased)

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
        if self.phase != "saving" or remark is None or remark.state == "saving":
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
        if remark.state == "solid":
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
            self._looking.start("looking into the store", self._lease, self._take, self._fail)
            return
        mind = self.minds.newest
        if mind is None or not self.remarks.looked:
            return
        episode = next((episode for episode in self.episodes.listed if episode.id not in self._looked and episode.policy), None)
        if episode is None:
            return
        self._looked.add(episode.id)
        answered = {t for replay_id, t in self.remarks.advised() if replay_id == episode.id}
        self._looking.start("looking through an episode", lambda: self._look_through(mind, episode.id, answered), self._take, self._fail)

    def _take(self, found: list[Still]) -> None:
        asked = [still for still in found if still.query_id is not None]
        self._leased += [still.query_id for still in asked if still.query_id is not None]
        self._queue.extendleft(reversed(asked))
        self._queue.extend(still for still in found if still.query_id is None)

    def _fail(self, error: BaseException) -> None:
        self.notice = problem_words(error)

    # On the worker

    def _lease(self) -> list[Still]:
        if not self._begun:
            self._begun = True
            self._store.release(self.annotator)
        found = self._store.lease_many(self.annotator, AHEAD, kinds=("advice",), seconds=_LEASE_SECONDS)
        return [self._still(query) for query in found]

    def _still(self, query: Query) -> Still:
        assert query.replay_id is not None
        assert query.step is not None
        tape = self._tape(query.replay_id, query.step + 1)
        seat = int(np.argmax(tape.acting(query.step)))
        return Still(tape, query.step, seat, None, query.id, query.policy_version)

    def _look_through(self, mind: Mind, replay_id: str, answered: set[int]) -> list[Still]:
        tape = self._tape(replay_id, _LONGEST)
        if not isinstance(tape.spec.actions, Discrete):
            return []
        count = min(tape.length, tape.checked - 1)
        parts = [uncertainty(mind, tape, start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
        if not parts:
            return []
        unsure = np.concatenate(parts)
        chosen = far_apart(unsure, PER_EPISODE, max(1, round(APART * tape.spec.decisions_per_second)), answered)
        return [Still(tape, t, seat, float(unsure[t, seat]), policy=mind.about.policy) for t, seat in chosen]

    def _tape(self, replay_id: str, until: int) -> Tape:
        replay = self._store.replay(replay_id)
        name = f"{replay.game} {sorted(replay.options.items())}"
        if name not in self._games:
            self._games[name] = self._load_game(replay.game, replay.options)
        tape = Tape(self._games[name], replay)
        while not tape.done and tape.checked <= until:
            tape.play(CHUNK)
        tape.close()
        return tape


def uncertainty(mind: Mind, tape: Tape, start: int, stop: int) -> NDArray[np.float64]:
    """``[n, P]`` entropy of the policy at decisions ``start .. stop - 1``, as a share of a blind choice's; -1 where nothing is chosen."""
    seen = tape.look(start, stop)
    probabilities = explained(mind, seen)[0].astype(np.float64)
    entropy = -np.sum(probabilities * np.log(np.maximum(probabilities, 1e-12)), axis=-1)
    choices = seen.legal.sum(-1)
    acting = np.stack([tape.acting(t) for t in range(start, stop)])
    share: NDArray[np.float64] = np.where(acting & (choices > 1), entropy / np.log(np.maximum(choices, 2)), -1.0)
    return share


def far_apart(unsure: NDArray[np.float64], count: int, apart: int, answered: set[int]) -> list[tuple[int, int]]:
    """The most uncertain decisions and their seats, most uncertain first, at least ``apart`` from each other and from ``answered``.

    Args:
      unsure: ``[T, P]``, -1 where nothing is chosen.
      count: at most this many.
      apart: decisions.
      answered: decisions that were answered before.
    """
    best, seat = unsure.max(1), unsure.argmax(1)
    taken, chosen = list(answered), list[tuple[int, int]]()
    for t in np.argsort(-best, kind="stable").tolist():
        if len(chosen) == count or best[t] < 0:
            break
        if all(abs(t - other) >= apart for other in taken):
            taken.append(t)
            chosen.append((t, int(seat[t])))
    return chosen
