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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.coach_hands import SEAT, Hands
from rlhf_games.arena.coach_log import CoachLog, Mark
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.playback import next_speed
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Evaluation, Takeover

if TYPE_CHECKING:
    from rlhf_games.arena.coach_game import CoachGame, Fork, Proposal, Scene
    from rlhf_games.arena.work import Worker
    from rlhf_games.replay.replay import Replay

Phase: TypeAlias = Literal["opening", "ready", "playing", "paused", "over", "broken"]
_RELOAD_SECONDS = 2.0
_OVER_SECONDS = 2.0
"""How long a finished episode stays, so that late marks still find it."""
_NOTICE_SECONDS = 3.0
_LATE_SECONDS = 0.15
"""A wait that is longer is shown."""


@dataclass
class Grip:
    """A takeover that goes on."""

    start: int
    """First decision that a key decided."""
    stop: int
    """One more than the last."""
    shown_at: float
    fork: Future[Fork]


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
        self._now, self._wall, self._seeds = now, wall, seeds
        self.spec = game.spec
        self.phase: Phase = "opening"
        self.problem = ""
        """Why the game cannot go on."""
        self.policy = game.policy
        """Name of the policy that plays."""
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
        self.hands = Hands(self.spec, keymap or Keymap(), hand_back, now)
        self.grip: Grip | None = None
        self._clock = StepClock(self.spec.decisions_per_second, now)
        self._scene: Scene | None = None
        self._shown_from, self._shown_at, self._due_at = 0.0, 0.0, 0.0
        self._away = True
        """The next episode waits for the person."""
        self._job: Future[Scene] | None = None
        self._thought: Future[Proposal] | None = None
        self._reloading: Future[tuple[str, str]] | None = None
        self._reload_at = now() + _RELOAD_SECONDS
        self._next_at = 0.0
        self._notice, self._notice_until = "", 0.0
        self._closed = False
        self._begin()

    # What the person does

    def start(self) -> None:
        """Begins a new episode that waits for it."""
        if self.phase == "ready":
            self._go_on()

    def evaluate(self, value: float, key: str = "") -> bool:
        """Praises (above 0) or scolds (below 0) what is on the screen; returns False where nothing was decided there yet."""
        if self.phase not in ("playing", "paused", "over") or not self.decisions:
            self._say("There is nothing to judge yet: wait until the agent has done something.")
            return False
        now = max(self._wall(), self._shown_at)  # the computer's clock may be set back meanwhile
        if key:
            self.hands.log.note(key, True)
        self.log.say(Mark(self.name, self.decisions - 1, Evaluation(value, SEAT), self._shown_at, now), self._replay())
        return True

    def undo(self) -> None:
        """Takes the newest mark or takeover back."""
        self.log.undo()

    def press(self, press: Press) -> None:
        """A control key went down: the person takes over; or up."""
        if not self.hands.press(press):
            return
        if press.down:
            self.start()
        if self.phase in ("playing", "paused", "over"):
            self.hands.log.note(press.key, press.down)
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

    def stand_still(self) -> Future[Replay] | None:
        """Stops, so that the last decision can be asked about: the episode so far, once it is stored; None: no decision yet."""
        if self.phase not in ("playing", "paused", "over") or not self.decisions:
            self._say("There is nothing to ask about yet: wait until the agent has done something.")
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
        if self._closed or self.phase == "broken":
            return
        self.log.tick()
        self._collect()
        self._follow()
        if self.phase == "playing":
            if self.hands.rested:
                self._let_go()
            self._play()
        elif self.phase == "over" and self._now() >= self._next_at:
            self._begin()

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
        if self._scene is None:
            return 0
        count = len(self._scene.frames)
        return max(0, min(count - 1, int((self._now() - self._shown_from) / self._clock.interval * count)))

    def picture(self) -> NDArray[np.uint8] | None:
        """The picture ``[H, W, 3]`` to show now; None while there is none."""
        if self._scene is None:
            return None
        picture: NDArray[np.uint8] = self._scene.frames[self.frame]
        return picture

    @property
    def _my_move(self) -> bool:
        """A turn-based game waits for the person."""
        return self.spec.turn_based and self.driver == "you" and self._scene is not None and bool(self._scene.acting[SEAT])

    def _follow(self) -> None:
        """Looks for a newer policy now and then."""
        if self._reloading is not None and self._reloading.done():
            reloading, self._reloading = self._reloading, None
            if (error := reloading.exception()) is not None:
                self._say(f"A newer policy cannot be used: {error}")
            elif (found := reloading.result())[0] != self.policy:
                self.policy = found[0]
                self._say(f"The agent has learned: policy {self.policy} plays now.")
            elif found[1]:
                self._say(found[1])
        if self._reloading is None and self._now() >= self._reload_at:
            self._reload_at = self._now() + _RELOAD_SECONDS
            self._reloading = self._worker.submit(self._game.reload)

    def _let_go(self) -> None:
        """The agent has the game back; what the person did is stored."""
        self.hands.driver, grip, self.grip = "agent", self.grip, None
        if grip is None:
            return
        length = grip.stop - grip.start
        instead = self._aside.submit(lambda: _play_on(grip.fork, length))
        now = max(self._wall(), grip.shown_at)
        self.log.say(Mark(self.name, grip.start, Takeover(length, SEAT), grip.shown_at, now), self._replay(), instead)

    def _play(self) -> None:
        if self._clock.remaining > 0:
            self._due_at = self._now() + self._clock.remaining
            return
        if self._job is not None:
            return
        if self.ended:
            self._over()
            return
        action = self._decide()
        if action is not None:
            self._clock.due()
            self._submit(action)

    def _decide(self) -> NDArray[Any] | None:
        """One action per seat; None: not yet."""
        assert self._scene is not None
        mine = self.driver == "you" and bool(self._scene.acting[SEAT])
        alone = mine and self.spec.players == 1
        if not alone and (self._thought is None or not self._thought.done()):
            return None
        actions = np.zeros(self.spec.players, np.int32) if alone or self._thought is None else np.array(self._thought.result().action)
        if not mine:
            return actions
        chosen = self.hands.choose()
        legal = self._scene.legal[SEAT]
        if chosen is not None and legal[chosen]:
            self._hold()
            actions[SEAT] = chosen
        elif self.spec.turn_based:
            return None
        else:
            actions[SEAT] = self.spec.idle_action if legal[self.spec.idle_action] else int(np.argmax(legal))
        return actions

    def _hold(self) -> None:
        """A key decides the next decision."""
        if self.grip is None:
            self.grip = Grip(self.decisions, self.decisions, self._shown_at, self._worker.submit(self._game.fork))
        self.grip.stop = self.decisions + 1

    def _submit(self, action: NDArray[Any]) -> None:
        self.action = tuple(int(entry) for entry in action)
        self._job = self._worker.submit(lambda: self._game.step(action))
        self._think()

    def _think(self) -> None:
        """The next action is chosen while the present decision is on the screen."""
        self._thought = self._worker.submit(self._game.propose)

    def _collect(self) -> None:
        for job in (self._job, self._thought):
            if job is not None and job.done() and (error := job.exception()) is not None:
                self.problem = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
                self.phase = "broken"
                return
        if self._job is None or not self._job.done():
            return
        self._scene, self._job = self._job.result(), None
        self._shown_from, self._shown_at = self._now(), self._wall()
        self.ended = self._scene.ended
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
        self.decisions, self.ended, self.action, self.grip = 0, False, (), None
        self.hands.begin()
        self._job = self._worker.submit(lambda: self._game.begin(seed))
        self._think()

    def _over(self) -> None:
        self._keep()
        self._next_at = self._now() + _OVER_SECONDS
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


def _play_on(fork: Future[Fork], length: int) -> Replay | None:
    return fork.result().play(length)
