"""What happens while a person plays. No pygame; nothing here waits: the game runs on ``worker`` (see ``playroom.py``).

A decision is taken at fixed times from the keys that are held then (a key that was only tapped since the last decision counts too),
handed to the worker, and its pictures are shown over the time until the next decision.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.controls import Chords, Controls, KeyLog
from rlhf_games.arena.errands import problem_words
from rlhf_games.arena.keys import Keymap, Press
from rlhf_games.arena.moment import Moment, Screening
from rlhf_games.arena.playback import next_speed
from rlhf_games.arena.playroom import Playroom, Verdict
from rlhf_games.arena.work import Worker

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec
    from rlhf_games.feedback.store import Store

Phase: TypeAlias = Literal["opening", "ready", "playing", "paused", "over", "saving", "failed", "broken"]
"""``over``: the episode ended or was stopped, and the person says whether to keep it. ``broken``: the game cannot be played."""
_HEAT = 0.4
"""Seconds after an episode's end in which a digit is still the game's, not a rating."""


class PlaySession:
    """One person (or two) playing episode after episode of one game. Call ``tick`` often."""

    def __init__(
        self,
        load_game: Callable[[], Game],
        open_store: Callable[[], Store],
        annotator: str,
        worker: Worker,
        *,
        keymap: Keymap | None = None,
        people: int = 1,
        now: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        seeds: Callable[[], int] = lambda: secrets.randbits(32),
    ) -> None:
        """``load_game``, ``open_store``: called on the worker; ``seeds``: one uint32 for each episode; the rest as in `JudgeSession`."""
        self._room, self._worker = Playroom(load_game, open_store, annotator, people, wall), worker
        self._keymap, self._now, self._wall, self._seeds = keymap or Keymap(), now, wall, seeds
        self.annotator, self.people = annotator, people
        self.phase: Phase = "opening"
        self.problem = ""
        """Why the game cannot be played, or why the episode could not be stored."""
        self.notice = ""
        self.spec: GameSpec | None = None
        """Known once the game is loaded."""
        self.speed = 1.0
        self.wait_for_key = False
        """The game stands still while no key is held."""
        self.kept = 0
        """Episodes of this session that are stored."""
        self.episode = 0
        """Number of the present episode, from 1."""
        self.decisions = 0
        self.returns: NDArray[np.float64] = np.zeros(1)
        """``[P]`` score of this episode, in the game's own points."""
        self.ended = False
        """The game is over by itself (not stopped by the person)."""
        self.action: tuple[int, ...] = ()
        """The last decision, one action per seat."""
        self.acted: tuple[bool, ...] = ()
        """Who decided it, by seat."""
        self._controls: Controls | None = None
        self._clock = StepClock(1.0, now)
        self._screen = Screening(now)
        self._over_from = 0.0
        self._keys = KeyLog(now)
        self._verdict = Verdict(annotator, people)
        self._seed = 0
        self._closed = False
        self._job: Future[Any] | None = None
        self._ticks = 0

    # What the person does

    def chords(self, seat: int) -> Chords:
        """What the person in this seat presses, by chord; empty where no person sits there."""
        return self._controls.chords[seat] if self._controls is not None and seat < self.people else {}

    @property
    def game_keys(self) -> frozenset[str]:
        """Every key that the people at the keyboard play with."""
        return self._controls.vocabulary if self._controls is not None else frozenset()

    def press(self, press: Press) -> None:
        """A key of the game went down or up."""
        name = "" if self._controls is None else self._controls.press(press)
        if not name:
            return
        if self.phase == "ready" and press.down:
            self._start()
        if self.phase in ("playing", "paused"):
            self._keys.note(name, press.down)

    def point(self, action: int) -> None:
        """Plays what was pointed at."""
        if self._controls is not None and self.phase == "playing":
            self._controls.point(action)

    def pause(self) -> None:
        """Stands still, or goes on; an episode that was stopped goes on too, where the game is not over."""
        if self.phase == "playing":
            self._stop("paused")
        elif self.phase == "paused" or (self.phase == "over" and not self.ended):
            self._go_on()

    def lose_focus(self) -> None:
        """The keyboard belongs to another window: all keys are let go of, and the game stands still."""
        for key in self._controls.clear() if self._controls is not None else ():
            if self.phase in ("playing", "paused"):
                self._keys.note(key, False)
        if self.phase == "playing":
            self._stop("paused")

    def step_once(self) -> None:
        """Pauses; where it is paused, takes one decision."""
        if self.phase == "playing":
            self._stop("paused")
        elif self.phase == "paused" and self._job is None and not self.ended:
            action = self._decide(forced=True)
            if action is not None:
                self._submit(action)

    def change_speed(self, faster: bool) -> None:
        """The next slower or faster of the speeds."""
        self.speed = next_speed(self.speed, faster)
        if self.spec is not None:
            self._clock.set_rate(self.spec.decisions_per_second * self.speed)

    def stop(self) -> bool:
        """Ends the episode where it is and asks whether to keep it; returns False where nothing was played yet."""
        if self.phase in ("playing", "paused") and self.decisions:
            self._stop("over")
        return self.phase in ("over", "saving", "failed")

    def restart(self) -> None:
        """Stops the episode; where that is done already (or nothing was played), throws it away and begins a new one.

        An episode that was to be kept and could not be stored stays: `discard` throws it away.
        """
        if self.phase in ("playing", "paused") and self.decisions:
            self._stop("over")
        elif self.phase in ("ready", "over", "playing", "paused"):
            self.discard(anyway=True)

    def keep(self) -> None:
        """Stores the episode as a demonstration; a new one begins when it is on the disk."""
        if self.phase not in ("over", "failed") or self._job is not None:
            return
        events, verdict = self._keys.events, self._verdict
        self.phase, self.problem = "saving", ""
        self._job = self._worker.submit(lambda: self._room.write(events, verdict))

    def rate(self, stars: int) -> None:
        """Keeps the episode and rates it, 1 (worst) to 5 (best). A key pressed in the heat of the last moment does not count."""
        if self.phase not in ("over", "failed") or self._now() - self._over_from < _HEAT:
            return
        if self.phase == "over":
            self._verdict.stars, self._verdict.rated_at = stars, self._wall()
        self.keep()

    def discard(self, anyway: bool = False) -> None:
        """Throws the episode away and begins a new one."""
        if self._job is None and (anyway or self.phase in ("over", "failed")):
            self._next_episode()

    def close(self) -> None:
        """Ends. A piece of play that was neither kept nor thrown away is stored as a replay, but teaches nothing. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        if self.decisions and self.phase in ("playing", "paused", "over", "failed"):
            events, verdict = self._keys.events, self._verdict if self.phase == "failed" else None
            self._worker.submit(lambda: self._room.write(events, verdict))
        self._worker.submit(self._room.close)
        self._worker.shutdown(wait=True)

    # Time

    def tick(self) -> None:
        """Takes in what the worker has finished, and decides when it is time."""
        if self._closed:
            return
        self._ticks += 1
        if self._ticks == 2:  # the first frame is on the screen: now the game (and JAX with it) may be imported
            self._next_episode()
        self._collect()
        if self.phase == "playing" and self._job is None:
            self._play()

    def picture(self) -> NDArray[np.uint8] | None:
        """The picture ``[H, W, 3]`` to show now; None while there is none."""
        return self._screen.picture(self._clock.interval)

    @property
    def frame(self) -> int:
        """Number of the present picture among those of the last decision."""
        return self._screen.frame(self._clock.interval)

    @property
    def deciding(self) -> bool:
        """Whether the worker is busy with a decision."""
        return self._job is not None

    @property
    def my_turn(self) -> bool:
        """Whether a person is to move (in a simultaneous game always)."""
        moment = self._screen.moment
        return moment is not None and bool(moment.acting[: self.people].any())

    def _play(self) -> None:
        if self.ended:
            if self._now() >= self._screen.since + self._clock.interval:
                self._stop("over")
            return
        assert self._controls is not None
        at_once = self._controls.spec.turn_based and self.my_turn and self._controls.waiting
        if not at_once and self._clock.remaining > 0:
            return
        action = self._decide()
        if action is None:
            return
        if at_once:
            self._clock.restart()
        else:
            self._clock.due()
        self._submit(action)

    def _decide(self, forced: bool = False) -> NDArray[np.int32] | None:
        """One action per seat; None: not yet."""
        assert self._controls is not None
        assert self._screen.moment is not None
        action = self._controls.decide(self._screen.moment, only_with_key=self.wait_for_key and not forced)
        self.notice = self._controls.refusal
        return action

    def _submit(self, action: NDArray[np.int32]) -> None:
        assert self._screen.moment is not None
        self.action, self.acted = tuple(action.tolist()), tuple(self._screen.moment.acting.tolist())
        self._job = self._worker.submit(lambda: self._room.advance(action))

    def _collect(self) -> None:
        if self._job is None or not self._job.done():
            return
        job, self._job = self._job, None
        error = job.exception()
        if error is not None:
            if self.phase == "saving":
                self.phase, self.problem = "failed", f"The episode is not stored: {error}"
            else:
                self.phase, self.problem = "broken", problem_words(error)
        elif self.phase == "opening":
            self._begin(job.result())
        elif self.phase == "saving":
            self.kept += 1
            self._next_episode()
        else:
            self._see(job.result())

    def _see(self, moment: Moment) -> None:
        self._screen.show(moment)
        self.returns = self.returns + moment.reward
        self.decisions += 1
        self.ended = moment.ended
        if self.ended and self.phase == "paused":
            self._stop("over")

    def _next_episode(self) -> None:
        self.phase, self._seed = "opening", self._seeds()
        if self._controls is not None:
            self._controls.clear()
        seed = self._seed
        self._job = self._worker.submit(lambda: self._open(seed))

    def _open(self, seed: int) -> Moment:
        """On the worker: a new episode; the first time, everything is loaded."""
        if self.spec is None:
            spec = self._room.prepare()
            self._controls, self.spec = Controls(spec, self._keymap, self.people), spec
        return self._room.begin(seed)

    def _begin(self, moment: Moment) -> None:
        assert self.spec is not None
        assert self._controls is not None
        self._screen.show(moment)
        self._controls.begin(self._seed)
        self.episode += 1
        self.decisions, self.ended, self.action, self.acted, self.notice = 0, False, (), (), ""
        self.returns = np.zeros(self.spec.players)
        self._keys, self._verdict = KeyLog(self._now), Verdict(self.annotator, self.people)
        self.phase = "ready"
        if self.spec.turn_based:
            self._start()

    def _start(self) -> None:
        assert self.spec is not None
        self._verdict.began_at = self._wall()
        self._go_on()
        self._clock = StepClock(self.spec.decisions_per_second * self.speed, self._now)

    def _go_on(self) -> None:
        self.phase = "playing"
        self._keys.run(True)
        self._clock.restart()

    def _stop(self, phase: Phase) -> None:
        self._keys.run(False)
        self.phase, self._verdict.stopped_at, self._over_from = phase, self._wall(), self._now()
