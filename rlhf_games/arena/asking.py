"""What happens while a person questions the agent about its decisions. No pygame; nothing here waits."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.branching import Fork, fork
from rlhf_games.arena.browsing import Browser
from rlhf_games.arena.controls import Chords, seat_chords
from rlhf_games.arena.dwelling import Dwelling
from rlhf_games.arena.episodes import Episodes
from rlhf_games.arena.errands import problem_words
from rlhf_games.arena.fresh import Fresh
from rlhf_games.arena.insight import Thought
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.looking import Looking, Place
from rlhf_games.arena.minds import Minds
from rlhf_games.arena.playback import Playback
from rlhf_games.arena.reel import Reel
from rlhf_games.arena.remarks import Remarks
from rlhf_games.arena.saliency import Saliency
from rlhf_games.core.spaces import Discrete
from rlhf_games.feedback.answers import Advice, Aspect, Evaluation
from rlhf_games.feedback.credit import SLOWEST

Curve: TypeAlias = Literal["reward", "value"]
Choosing: TypeAlias = Literal["", "what-if", "teach"]
"""Which question about an action waits for a key of the game."""

_NOTICE_SECONDS = 2.5
"""How long a notice is shown."""
_EVALUATION = 0.5
"""How much a mark says."""


class AskSession(Browser):
    """One person asking. Call ``tick`` often."""

    def __init__(
        self,
        episodes: Episodes,
        reel: Reel,
        minds: Minds,
        remarks: Remarks,
        fresh: Fresh,
        close: Callable[[], None],
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        at: tuple[str, int] | None = None,
    ) -> None:
        """As in `Browser`; ``at``: the replay and the decision to begin with; None: the newest episode."""
        super().__init__(episodes, reel, minds, fresh, close, now)
        self.remarks = remarks
        self._at = at
        self.playback = Playback(now)
        """Of the two branches of a what-if."""
        self.overlay = False
        """Whether it is shown what the reward model looks at."""
        self.curve: Curve = "reward"
        self.choosing: Choosing = ""
        self.fork: Fork | None = None
        """The what-if on the screen."""
        self.forking = False
        """Whether one is being played."""
        self._notice, self._notice_until = "", 0.0
        self._clock = now
        self._dwelling = Dwelling(now, wall)
        self._looking = Looking(reel)
        self._trying: tuple[int, int, int] | None = None

    # Where the person is

    @property
    def t(self) -> int:
        """The decision that is looked at; the episode's length at its end."""
        return max(0, min(self.head.t, self.reel.limit))

    @property
    def seat(self) -> int:
        """Whose decision it is: in a turn-based game the one who moves, else the one chosen."""
        return self._seat_at(self.t)

    def _seat_at(self, t: int) -> int:
        spec = self.reel.spec
        if spec is not None and spec.turn_based and self.reel.phase == "ready":
            return int(np.argmax(self.reel.tape.acting(t)))
        return super().seat

    @property
    def decision(self) -> bool:
        """Whether there is a decision to be asked about."""
        return self.reel.phase == "ready" and self.t < self.reel.tape.length

    @property
    def thought(self) -> Thought | None:
        """What the policy thinks of it; None where that is not known (yet)."""
        return self.reel.thought(self.t, self.seat) if self.decision else None

    @property
    def legal(self) -> NDArray[np.bool_]:
        """``[A]`` of the seat at this decision."""
        legal: NDArray[np.bool_] = self.reel.tape.legal(self.t)[self.seat]
        return legal

    @property
    def taken(self) -> int | None:
        """The action that was taken; None where there is none, or it is no single choice."""
        if not self.decision or not isinstance(self.reel.tape.spec.actions, Discrete):
            return None
        return int(self.reel.tape.replay.actions[self.t, self.seat])

    @property
    def policy(self) -> str:
        """Who is asked."""
        return "" if self.reel.mind is None else self.reel.mind.about.policy

    @property
    def newer(self) -> bool:
        """Whether a newer policy than the one that is asked has been published."""
        newest = self.minds.newest
        return newest is not None and newest.about.policy != self.policy

    @property
    def salient(self) -> Saliency | None:
        """What the reward model looks at in this step; None where that is not known (yet)."""
        return self._looking.at(self._place())

    def shown(self) -> tuple[int, int] | None:
        """Position and number of its picture that are to be seen now: standing still, the state that is decided in."""
        if self.reel.phase != "ready":
            return None
        t, number = self.reel.at(self.head)
        return (t, len(self.reel.tape.pictures(t)) - 1) if self.head.paused else (t, number)

    def keys(self, keymap: Keymap) -> Chords:
        """The game's own keys and buttons, by chord."""
        return {} if self.reel.spec is None else seat_chords(0, self.reel.spec, keymap)

    @property
    def notice(self) -> str:
        """What the person should know; for a moment."""
        return self._notice if self._clock() < self._notice_until else ""

    @notice.setter
    def notice(self, words: str) -> None:
        self._notice, self._notice_until = words, self._clock() + _NOTICE_SECONDS

    # What the person does

    def move(self, by: int) -> None:
        """To another decision."""
        self.head.paused = True
        self.seek(self.t + by)

    def seek(self, t: int) -> None:
        """To a decision, as far as the episode is played."""
        self.leave_fork()
        self.choosing = ""
        self.head.seek(t, self.reel.limit)
        self._arrive()

    def begin(self) -> None:
        """Opens the episode that is to be asked about first."""
        if self._at is None:
            super().begin()
        else:
            self.show(self._at[0])

    def play_fresh(self) -> None:
        """A new game of the newest policy; it is opened once it is played."""
        self.notice = self.minds.problem
        super().play_fresh()

    def renew(self) -> None:
        """Asks the newest policy about this episode, at this decision."""
        if self.newer and self.reel.replay_id:
            position = self.head.position
            self.show(self.reel.replay_id)
            self.head.seek(position, self.reel.limit)

    def faster(self, faster: bool) -> None:
        """The next of the speeds, for the episode and for branches."""
        self.head.faster(faster)
        self.playback.speed = self.head.speed

    def other_seat(self) -> None:
        """The next seat, where all act at once."""
        self.leave_fork()
        super().other_seat()

    def choose(self, what: Choosing) -> None:
        """Waits for a key of the game that says which action is meant."""
        if not self._askable():
            return
        self.head.paused = True
        if what == "teach" and self.fork is not None:
            self.teach(self.fork.action)
        elif what == "what-if" and self.reel.mind is None:
            self.notice = self.minds.problem or "No policy is there to go on with."
        else:
            self.choosing = what

    def pick(self, action: int) -> None:
        """The action that is meant; where nothing was asked yet, that is a what-if."""
        if not self._askable() or not 0 <= action < len(self.legal):
            return
        if not self.legal[action]:
            self.notice = f"“{self._meaning(action)}” is not possible here."
            return
        what, self.choosing = self.choosing or "what-if", ""
        if what == "teach":
            self.teach(action)
        else:
            self.what_if(action)

    def what_if(self, action: int) -> None:
        """Plays on from here with this action, and beside it as the policy would."""
        mind = self.reel.mind
        if mind is None or not self._askable() or self.forking:
            return
        self.head.paused, self.notice, self.forking, self.fork = True, "", True, None
        tape, t, seat = self.reel.tape, self.t, self.seat
        self._trying = (t, seat, action)
        self.remarks.ask("what-if", tape.replay.id, t, seat, self.policy, self._dwelling.since, action)
        self.reel.demand("playing both branches", lambda: fork(tape, mind, t, seat, action), self._forked, self._not_forked)

    def leave_fork(self) -> None:
        """Back to the episode."""
        self.fork, self.forking = None, False

    def teach(self, action: int) -> None:
        """This is the right action here."""
        if self._askable():
            self._tell(Advice(action, self.seat))
            self.notice = f"Taught: “{self._meaning(action)}” at decision {self.t}."

    def mark(self, good: bool) -> None:
        """What was done here is good, or bad; while the episode plays: what was seen just now.

        Standing still, the state of decision ``t`` is on the screen. While the episode plays, position ``t`` shows what came of decision
        ``t - 1``; after the last one, marks count as long as somebody can mean what they saw.
        """
        if self.reel.phase != "ready":
            return
        live, ended = not self.head.paused, self.t >= self.reel.tape.length
        step = self.t - 1 if live else self.t
        if step < 0 or (ended and (not live or self.head.rested >= SLOWEST)):
            self.notice = "There is nothing to mark here: go to a decision, and mark that one."
            return
        seat = self._seat_at(step)
        since_end = self.head.rested if live and ended else None
        value = Evaluation(_EVALUATION if good else -_EVALUATION, seat, self.head.speed if live else 0.0, since_end)
        self.remarks.say(value, self.reel.replay_id, step, self._dwelling.since)
        what = "What was seen up to decision" if live else "Decision"
        self.notice = f"{what} {step} is marked {'good' if good else 'bad'}."

    def undo(self) -> None:
        """Takes back the newest mark or lesson of this session, and goes to where it was."""
        remark = self.remarks.undo()
        if remark is None:
            self.notice = "There is nothing of this session left to take back."
            return
        self.notice = f"Taken back at decision {remark.step}."
        if remark.replay_id == self.reel.replay_id:
            self.head.paused = True
            self.seek(remark.step)

    # Time

    def go_on(self) -> None:
        """Takes in what was said, and notes what is being looked at."""
        self.remarks.tick()
        super().go_on()
        if self._at is not None and self.reel.replay_id:
            self._go_there(*self._at)
        if self.fork is not None:
            self.playback.tick()
        self._dwell()
        self._look()

    def _go_there(self, replay_id: str, t: int) -> None:
        """To where the person wants to begin, as soon as it is played that far; not where they have gone elsewhere meanwhile."""
        if self.reel.replay_id != replay_id or self.head.t:
            self._at = None
        elif self.reel.limit >= t:
            self.seek(t)
            self._at = None

    def show(self, replay_id: str) -> None:
        """Opens an episode; every question about the last one is over."""
        self.leave_fork()
        self.choosing, self.notice = "", ""
        self._looking.forget()
        self.head.paused = True
        super().show(replay_id)

    def _askable(self) -> bool:
        if self.decision and not isinstance(self.reel.tape.spec.actions, Discrete):
            self.notice = "This game has no single choice of actions: it can be looked at and marked."
            return False
        return self.decision

    def _tell(self, value: Advice) -> None:
        """Says something about the decision that is looked at."""
        self.remarks.say(value, self.reel.replay_id, self.t, self._dwelling.since)

    def _meaning(self, action: int) -> str:
        actions = self.reel.tape.spec.actions
        return actions.meanings[action] if isinstance(actions, Discrete) else str(action)

    def _forked(self, found: Fork) -> None:
        if not self.forking or (found.t, found.seat, found.action) != self._trying:
            return  # the person has gone on meanwhile
        self.fork, self.forking = found, False
        self.playback.load((found.chosen.film, found.policy.film))

    def _not_forked(self, error: BaseException) -> None:
        self.forking, self.notice = False, f"This cannot be tried: {problem_words(error)}"

    def _place(self) -> Place:
        return Place(self.reel.replay_id, self.t, self.seat, self.policy)

    def _arrive(self) -> None:
        """Notes when another decision can be seen."""
        self._dwelling.arrive((self.reel.replay_id, self.t, self.seat, self.reel.phase == "ready"))

    def _dwell(self) -> None:
        """Notes since when the person is here; what they look at for a while, they asked."""
        self._arrive()
        here = (*self._place(), self.reel.phase, self.curve, self.overlay)
        if not self._dwelling.stays(here, self.head.paused) or self.thought is None:
            return
        looked_at: dict[Aspect, bool] = {
            "policy": True,
            "value": self.curve == "value",
            "reward": self.overlay and self.salient is not None,
        }
        for aspect in (aspect for aspect, looked in looked_at.items() if looked):
            self.remarks.ask(aspect, self.reel.replay_id, self.t, self.seat, self.policy, self._dwelling.since)

    def _look(self) -> None:
        """Finds out what the reward model looks at, where that is to be seen."""
        mind = self.reel.mind
        if self.overlay and self.decision and mind is not None and self.head.paused and self.fork is None:
            self._looking.ask(self._place(), mind, self._not_seen)

    def _not_seen(self, words: str) -> None:
        self.overlay, self.notice = False, words
