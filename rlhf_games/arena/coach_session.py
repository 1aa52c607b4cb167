"""What happens while a person coaches an agent that plays. No pygame; nothing here waits: the game runs on a worker.

The agent's next action is asked for while the present decision is still on the screen; where it is late, the game stands still until it
comes. A control key takes over, and a short while after the last one was let go of the agent has the game back.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.coach_hands import SEAT, Hands
from rlhf_games.arena.coach_log import CoachLog, Mark
from rlhf_games.arena.coach_policy import NewestPolicy
from rlhf_games.arena.coach_takeover import Grip, Takeovers
from rlhf_games.arena.errands import problem_words
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.moment import Moment, Screening
from rlhf_games.arena.playback import next_speed
from rlhf_games.feedback.answers import Evaluation, Takeover

if TYPE_CHECKING:
    from rlhf_games.arena.coach_game import CoachGame, Proposal
    from rlhf_games.arena.work import Worker
    from rlhf_games.replay.replay import Replay

Phase: TypeAlias = Literal["opening", "ready", "playing", "paused", "over", "broken"]
_OVER_SECONDS = 2.0
"""How long a finished episode stays, so that late marks still find it."""
_NOTICE_SECONDS = 3.0
_LATE_SECONDS = 0.15
"""A wait that is longer is shown."""


class CoachSession:
    """One person coaching episode after episode. Call ``tick`` often."""

    def __init__(
        self,
        game: CoachGame,
        log: CoachLog,
        worker: Worker,
        aside: Worker,
        *,
        keymap: Keymap | None = None,
        hand_back: float = 0.3,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        seeds: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        """A session that begins its first episode.

        Args:
          game: is played on ``worker``.
          log: keeps what is said.
          worker: a thread of its own.
          aside: another one, on which the agent plays what it would have done.
          keymap: this person's keys.
          hand_back: seconds after the last control key was let go of until the agent plays again.
          now: seconds, never going back.
          wall: seconds since 1970.
          seeds: one uint32 for each episode.
        """
        self._game, self.log, self._worker, self._aside = game, log, worker, aside
        self._policy = NewestPolicy(game, worker, now)
        self._takeovers = Takeovers(lambda: worker.submit(game.fork), aside)
        self._now, self._wall, self._seeds = now, wall, seeds
        self.spec = game.spec
        self.phase: Phase = "opening"
        self.problem = ""
        """Why the game cannot go on."""
        self.speed = 1.0
        self.episode = 0
        """Number of the present episode, from 1."""
        self.name = ""
        """Of the present episode, as its answers carry it."""
        self.decisions = 0
        """Decisions on the screen so far in this episode."""
        self.ended = False
        self.action: tuple[int, ...] = ()
        """The last decision, one action per seat."""
        self.acted: tuple[bool, ...] = ()
        """Who decided it, by seat."""
        self.hands = Hands(self.spec, keymap or Keymap(), hand_back, now)
        self._clock = StepClock(self.spec.decisions_per_second, now)
        self._screen = Screening(now)
        self._shown_at = self._due_at = 0.0
        self._away = True
        """The next episode waits for the person."""
        self._job: Future[Moment] | None = None
        self._thought: Future[Proposal] | None = None
        self._over_from = 0.0
        """When the last decision of an episode had been seen."""
        self._notice, self._notice_until = "", 0.0
        self._closed = False
        self._begin()

    # What the person does

    def start(self) -> None:
        """Begins a new episode that waits for it, with the agent at the controls, whatever key is down."""
        if self.phase == "ready":
            self.hands.let_drop()
            self._go_on()

    def evaluate(self, value: float, key: str = "") -> bool:
        """Praises (above 0) or scolds (below 0) what is on the screen; returns False where nothing was decided there yet."""
        if not self._something_done("judge"):
            return False
        if key:
            self.hands.log.note(key, True)
        still = self.phase == "paused" or self._my_move or self.late
        speed = 0.0 if still else self.speed
        since_end = max(0.0, self._now() - self._over_from) if self.phase == "over" else None
        self._tell(self.decisions - 1, Evaluation(value, SEAT, speed, since_end), self._shown_at)
        return True

    def undo(self) -> None:
        """Takes the newest mark or takeover back."""
        self.log.undo()

    def press(self, press: Press) -> None:
        """A control key went down: the person takes over (where the episode waits, it begins instead); or up."""
        if self.phase == "ready" and press.down:
            self.start()
            return
        name = self.hands.press(press)
        if not name:
            return
        if self.phase in ("playing", "paused", "over"):
            self.hands.log.note(name, press.down)
        self.hands.touch(take=press.down and self.phase in ("playing", "paused"))

    def pause(self) -> None:
        """Stands still, or goes on."""
        if self.phase == "playing":
            self._stop("paused")
        elif self.phase in ("paused", "ready"):
            self._go_on()

    def lose_focus(self) -> None:
        """The keyboard belongs to another window: all keys are let go of, and the game stands still."""
        self.hands.clear()
        self._away = True
        if self.phase == "playing":
            self._stop("paused")

    def let_rest(self) -> None:
        """Stops, and ends a takeover, so that it is stored."""
        self.lose_focus()
        if self.grip is not None:
            self._let_go()

    def stand_still(self) -> Future[Replay] | None:
        """Stops, so that the last decision can be asked about: the episode so far, once it is stored; None: no decision yet."""
        if not self._something_done("ask about"):
            return None
        self.lose_focus()
        return self.log.keep(self.name, self._replay())

    def change_speed(self, faster: bool) -> None:
        """The next slower or faster of the speeds."""
        self.speed = next_speed(self.speed, faster)
        self._clock.set_rate(self.spec.decisions_per_second * self.speed)

    def restart(self) -> None:
        """Ends the episode where it is and begins another."""
        if self.phase in ("playing", "paused", "over"):
            self._keep()
            self._begin()

    def close(self) -> None:
        """Ends: the episode is stored as far as it was played. May wait for the disk. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self.phase in ("playing", "paused"):
            self._keep()
        self._worker.submit(self._game.close)
        self._worker.shutdown(wait=True)
        self._aside.shutdown(wait=True)
        self.log.close()

    # Time

    def tick(self) -> None:
        """Takes in what the workers have finished, and decides when it is time."""
        if self._closed:
            return
        self.log.tick()
        if self.phase == "broken":
            return
        self._collect()
        if news := self._policy.tick():
            self._say(news)
        if self.phase == "playing":
            if self.hands.rested:
                self._let_go()
            self._play()
        elif self.phase == "over" and self._now() >= self._over_from + _OVER_SECONDS:
            self._begin()

    @property
    def policy(self) -> str:
        """Name of the policy that plays."""
        return self._policy.name

    @property
    def grip(self) -> Grip | None:
        """The takeover that goes on."""
        return self._takeovers.grip

    @property
    def driver(self) -> Literal["agent", "you"]:
        """Who has the game."""
        return self.hands.driver

    @property
    def notice(self) -> str:
        """What the person should know for a moment; empty most of the time."""
        return self._notice if self._now() < self._notice_until else ""

    @property
    def late(self) -> bool:
        """Whether the game stands still because the agent (or the game itself) has not done yet."""
        return self.phase == "playing" and not self._my_move and self._now() - self._due_at > _LATE_SECONDS

    @property
    def working(self) -> bool:
        """Whether a decision is being played."""
        return self._job is not None

    @property
    def frame(self) -> int:
        """Number of the present picture among those of the last decision."""
        return self._screen.frame(self._clock.interval)

    def picture(self) -> NDArray[np.uint8] | None:
        """The picture ``[H, W, 3]`` to show now; None while there is none."""
        return self._screen.picture(self._clock.interval)

    @property
    def _my_move(self) -> bool:
        """A turn-based game waits for the person."""
        return self.spec.turn_based and self._screen.moment is not None and self.hands.mine(self._screen.moment)

    def _let_go(self) -> None:
        """The agent has the game back; what the person did is stored."""
        self.hands.driver = "agent"
        if (ended := self._takeovers.let_go()) is not None:
            grip, instead = ended
            self._tell(grip.start, Takeover(grip.stop - grip.start, SEAT), grip.shown_at, instead)

    def _tell(self, step: int, value: Evaluation | Takeover, shown_at: float, instead: Future[Replay | None] | None = None) -> None:
        """Stores what was said about a decision that was seen at ``shown_at``."""
        answered_at = max(self._wall(), shown_at)  # the computer's clock may be set back meanwhile
        self.log.say(Mark(self.name, step, value, shown_at, answered_at), self._replay(), instead)

    def _play(self) -> None:
        if self._clock.remaining > 0:
            self._due_at = self._now() + self._clock.remaining
            return
        if self._job is not None:
            return
        if self.ended:
            self._over()
            return
        assert self._screen.moment is not None
        thought = self._thought.result() if self._thought is not None and self._thought.done() else None
        choice = self.hands.decide(self._screen.moment, None if thought is None else thought.action)
        if choice is None:
            return
        if choice.by_key:
            self._takeovers.hold(self.decisions, self._shown_at)
        self._clock.due()
        self._submit(choice.action)

    def _submit(self, action: NDArray[Any]) -> None:
        assert self._screen.moment is not None
        self.action, self.acted = tuple(action.tolist()), tuple(self._screen.moment.acting.tolist())
        self._job = self._worker.submit(lambda: self._game.step(action))
        self._think()

    def _think(self) -> None:
        """The next action is chosen while the present decision is on the screen."""
        self._thought = self._worker.submit(self._game.propose)

    def _collect(self) -> None:
        for job in (self._job, self._thought):
            if job is not None and job.done() and (error := job.exception()) is not None:
                self.phase, self.problem = "broken", problem_words(error)
                return
        if self._job is None or not self._job.done():
            return
        moment, self._job = self._job.result(), None
        self._screen.show(moment)
        self._shown_at, self.ended = self._wall(), moment.ended
        if self.phase == "opening":
            self.phase = "ready"
            self.episode += 1
            if not self._away:
                self._go_on()
        else:
            self.decisions += 1

    # Episodes

    def _begin(self) -> None:
        """A new episode; the last one must be kept."""
        seed = self._seeds()
        self.phase, self.name = "opening", uuid.uuid4().hex
        self.decisions, self.ended, self.action, self.acted = 0, False, (), ()
        self.hands.begin()
        self._takeovers.begin()
        self._job = self._worker.submit(lambda: self._game.begin(seed))
        self._think()

    def _over(self) -> None:
        self._keep()
        self._over_from = self._now()
        self._stop("over")

    def _keep(self) -> None:
        """Stores the episode as far as it was played, and a takeover that goes on."""
        if not self.decisions:
            return
        self._let_go()
        self.log.keep(self.name, self._replay())

    def _replay(self) -> Future[Replay]:
        """The episode as far as it will have been played when the worker comes to it."""
        events = list(self.hands.log.events)
        return self._worker.submit(lambda: self._game.replay(events))

    def _go_on(self) -> None:
        self.phase, self._away = "playing", False
        self._due_at = self._now() + self._clock.interval
        self.hands.run(True)
        self._clock.restart()

    def _stop(self, phase: Phase) -> None:
        self.phase = phase
        self.hands.run(False)

    def _say(self, words: str) -> None:
        self._notice, self._notice_until = words, self._now() + _NOTICE_SECONDS

    def _something_done(self, what: str) -> bool:
        """Whether there is a decision on the screen; says so where there is none to ``what``."""
        if self.phase in ("playing", "paused", "over") and self.decisions:
            return True
        self._say(f"There is nothing to {what} yet: wait until the agent has done something.")
        return False
