"""What happens while a person plays. No pygame; nothing here waits: the game runs on ``worker``.

A decision is taken at fixed times from the keys that are held then (a key that was only tapped since the last decision counts too),
handed to the worker, and its pictures are shown over the time until the next decision.
"""

from __future__ import annotations

import secrets
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import closing
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from rlhf_games.arena.clock import StepClock
from rlhf_games.arena.keys import HeldKeys, Keymap, Press, chosen_action
from rlhf_games.arena.playback import next_speed
from rlhf_games.arena.work import Worker
from rlhf_games.core.errors import UserError
from rlhf_games.core.spaces import Discrete
from rlhf_games.feedback.answers import Demonstration
from rlhf_games.feedback.store import AnswerDraft, Store
from rlhf_games.replay.recorder import SessionRecorder

if TYPE_CHECKING:
    from rlhf_games.core.game import Game, GameSpec, Session, TimeStep

Phase: TypeAlias = Literal["opening", "ready", "playing", "paused", "over", "saving", "failed", "broken"]
"""``over``: the episode ended or was stopped, and the person says whether to keep it. ``broken``: the game cannot be played."""
Chords: TypeAlias = dict[frozenset[str], int]
RANDOM = "random"
"""Who plays the seats that no person plays: a uniformly random legal action at every decision."""


class Moment(NamedTuple):
    """What a decision brought."""

    frames: NDArray[np.uint8]
    """``[F, H, W, 3]``."""
    reward: NDArray[np.float32]
    """``[P]``."""
    ended: bool
    legal: NDArray[np.bool_]
    """``[P, A]``."""
    acting: NDArray[np.bool_]
    """``[P]``."""


class Opened(NamedTuple):
    """A new episode."""

    session: Session
    recorder: SessionRecorder
    seed: int
    moment: Moment


def check_playable(spec: GameSpec, people: int) -> None:
    """Raises ``UserError`` where ``people`` persons cannot play the game with keys."""
    if not isinstance(spec.actions, Discrete) or not spec.keys:
        raise UserError(f"{spec.name} cannot be played with keys: it needs a discrete choice of actions and a table of keys in its spec")
    if 0 in spec.frame_shape:
        raise UserError(f"{spec.name} has no pictures, so a person cannot play it")
    if not 1 <= people <= min(2, spec.players):
        raise UserError(
            f"{spec.name} has {spec.players} seat{'s' if spec.players > 1 else ''}: --people must be 1{' or 2' if spec.players > 1 else ''}"
        )


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
        self._load_game, self._open_store, self._worker = load_game, open_store, worker
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
        self._held = HeldKeys()
        self._chords: list[Chords] = []
        self._vocabulary: frozenset[str] = frozenset()
        self._clock = StepClock(1.0, now)
        self._opened: Opened | None = None
        self._moment: Moment | None = None
        self._shown_from = 0.0
        self._rng = np.random.default_rng(0)
        self._events: list[tuple[float, str, bool]] = []
        self._played, self._since = 0.0, 0.0
        self._began_at = self._stopped_at = 0.0
        self._uuids: tuple[str, ...] = ()
        self._store: Store | None = None
        self._game: Game | None = None
        self._closed = False
        self._job: Future[Any] | None = None
        self._ticks = 0

    # On the worker

    def _prepare(self) -> Opened:
        self._store = self._open_store()
        game = self._load_game()
        check_playable(game.spec, self.people)
        self._chords = [self._seat_chords(seat, game.spec) for seat in range(self.people)]
        self._vocabulary = frozenset[str]().union(*(chord for chords in self._chords for chord in chords))
        with closing(game.open(0)) as trial:  # whatever is compiled at the first step is compiled now, not under the person's hands
            trial.step(_legal(trial.timestep, game.spec.idle_action))
            trial.frames()
        self._game, self.spec = game, game.spec
        return self._open()

    def _seat_chords(self, seat: int, spec: GameSpec) -> Chords:
        chords = self._keymap.seat(seat, spec.keys)
        if seat == 0:
            return chords | {frozenset(f"pad:{part}" for part in chord.split("+")): action for chord, action in spec.buttons.items()}
        if not spec.turn_based and chords.keys() & self._keymap.seat(0, spec.keys).keys():
            raise UserError(f"{spec.name}: the second player needs keys of their own: name them in keys.toml under [seat1]")
        return chords

    def _open(self) -> Opened:
        assert self._game is not None
        seed = self._seeds()
        session = self._game.open(seed)
        players = self.spec.players if self.spec is not None else 1
        people = tuple(self.annotator if seat < self.people else RANDOM for seat in range(players))
        recorder = SessionRecorder(session, seed, player=people, clock=self._wall)
        return Opened(session, recorder, seed, _moment(session.timestep, session.frames()))

    def _advance(self, opened: Opened, action: NDArray[np.int32]) -> Moment:
        seen = opened.recorder.step(action)
        return _moment(seen, opened.session.frames())

    def _write(self, opened: Opened, teach: bool) -> None:
        """Stores the episode; ``teach``: as a demonstration of every person's seat."""
        assert self._store is not None
        replay = opened.recorder.replay(self._events)
        self._store.add_replays([replay])
        began, stopped = self._began_at, max(self._began_at, self._stopped_at)
        self._store.post_answers(
            [
                AnswerDraft(self.annotator, Demonstration(replay.length, seat), began, stopped, name, replay_id=replay.id, step=0)
                for seat, name in enumerate(self._uuids if teach else ())
            ]
        )

    # What the person does

    def chords(self, seat: int) -> Chords:
        """What the person in this seat presses, by chord; empty where no person sits there."""
        return self._chords[seat] if seat < len(self._chords) else {}

    @property
    def game_keys(self) -> frozenset[str]:
        """Every key that the people at the keyboard play with."""
        return self._vocabulary

    def press(self, press: Press) -> None:
        """A key of the game went down or up."""
        if press.key not in self._vocabulary or not self._held.press(press.key, press.down):
            return
        if self.phase == "ready" and press.down:
            self._start()
        if self.phase in ("playing", "paused"):
            self._events.append((round(self._elapsed(), 4), press.key, press.down))

    def pause(self) -> None:
        """Stands still, or goes on; an episode that was stopped goes on too, where the game is not over."""
        if self.phase == "playing":
            self._stop("paused")
        elif self.phase == "paused" or (self.phase == "over" and not self.ended):
            self._go_on()

    def lose_focus(self) -> None:
        """The keyboard belongs to another window: all keys are let go of, and the game stands still."""
        for key in self._held.clear():
            if self.phase in ("playing", "paused"):
                self._events.append((round(self._elapsed(), 4), key, False))
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
        """Stops the episode; where that is done already (or nothing was played), throws it away and begins a new one."""
        if self.phase in ("playing", "paused") and self.decisions:
            self._stop("over")
        elif self.phase in ("ready", "over", "failed", "playing", "paused"):
            self.discard(anyway=True)

    def keep(self) -> None:
        """Stores the episode as a demonstration; a new one begins when it is on the disk."""
        if self.phase not in ("over", "failed") or self._job is not None or self._opened is None:
            return
        opened = self._opened
        self._uuids = self._uuids or tuple(uuid.uuid4().hex for _ in range(self.people))
        self.phase, self.problem = "saving", ""
        self._job = self._worker.submit(lambda: self._write(opened, teach=True))

    def discard(self, anyway: bool = False) -> None:
        """Throws the episode away and begins a new one."""
        if self._job is None and (anyway or self.phase in ("over", "failed")):
            self._next_episode()

    def close(self) -> None:
        """Ends. A piece of play that was neither kept nor thrown away is stored as a replay, but teaches nothing. Safe to call twice."""
        if self._closed:
            return
        self._closed = True
        opened = self._opened
        if opened is not None and self.decisions and self.phase in ("playing", "paused", "over", "failed"):
            self._worker.submit(lambda: self._write(opened, teach=self.phase == "failed"))
        self._worker.submit(self._finish)
        self._worker.shutdown(wait=True)

    def _finish(self) -> None:
        if self._opened is not None:
            self._opened.session.close()
        if self._store is not None:
            self._store.close()

    # Time

    def tick(self) -> None:
        """Takes in what the worker has finished, and decides when it is time."""
        if self._closed:
            return
        self._ticks += 1
        if self._ticks == 2:  # the first frame is on the screen: now the game (and JAX with it) may be imported
            self._job = self._worker.submit(self._prepare)
        self._collect()
        if self.phase == "playing" and self._job is None:
            self._play()

    def picture(self) -> NDArray[np.uint8] | None:
        """The picture ``[H, W, 3]`` to show now; None while there is none."""
        if self._moment is None:
            return None
        picture: NDArray[np.uint8] = self._moment.frames[self.frame]
        return picture

    @property
    def frame(self) -> int:
        """Number of the present picture among those of the last decision."""
        if self._moment is None:
            return 0
        count = len(self._moment.frames)
        return min(count - 1, int((self._now() - self._shown_from) / self._clock.interval * count))

    @property
    def deciding(self) -> bool:
        """Whether the worker is busy with a decision."""
        return self._job is not None

    @property
    def my_turn(self) -> bool:
        """Whether a person is to move (in a simultaneous game always)."""
        return self._moment is not None and bool(self._moment.acting[: self.people].any())

    def _play(self) -> None:
        if self.ended:
            if self._now() >= self._shown_from + self._clock.interval:
                self._stop("over")
            return
        assert self.spec is not None
        at_once = self.spec.turn_based and self.my_turn and self._held.waiting
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
        assert self.spec is not None
        assert self._moment is not None
        keys = self._held.take(taps_only=self.spec.turn_based)
        chosen = [chosen_action(chords, keys) for chords in self._chords]
        if self.wait_for_key and not forced and not self.spec.turn_based and all(action is None for action in chosen):
            return None
        actions = np.zeros(self.spec.players, np.int32)
        for seat in np.flatnonzero(self._moment.acting):
            legal = self._moment.legal[seat]
            if seat >= self.people:
                actions[seat] = self._rng.choice(np.flatnonzero(legal))
                continue
            action = self._choose(chosen[seat], legal)
            if action is None:
                return None
            actions[seat] = action
        return actions

    def _choose(self, action: int | None, legal: NDArray[np.bool_]) -> int | None:
        """A person's action; None where the game waits for another key."""
        assert self.spec is not None
        if action is not None and legal[action]:
            self.notice = ""
            return action
        if self.spec.turn_based:
            assert isinstance(self.spec.actions, Discrete)
            self.notice = self.notice if action is None else f"{self.spec.actions.meanings[action]} is not possible now"
            return None
        return self.spec.idle_action if legal[self.spec.idle_action] else int(np.argmax(legal))

    def _submit(self, action: NDArray[np.int32]) -> None:
        opened = self._opened
        assert opened is not None
        self.action = tuple(int(entry) for entry in action)
        self._job = self._worker.submit(lambda: self._advance(opened, action))

    def _collect(self) -> None:
        if self._job is None or not self._job.done():
            return
        job, self._job = self._job, None
        error = job.exception()
        if error is not None:
            if self.phase == "saving":
                self.phase, self.problem = "failed", f"The episode is not stored: {error}"
            else:
                self.phase, self.problem = "broken", str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        elif self.phase == "opening":
            self._begin(job.result())
        elif self.phase == "saving":
            self.kept += 1
            self._next_episode()
        else:
            self._see(job.result())

    def _see(self, moment: Moment) -> None:
        self._moment, self._shown_from = moment, self._now()
        self.returns = self.returns + moment.reward
        self.decisions += 1
        self.ended = moment.ended
        if self.ended and self.phase == "paused":
            self._stop("over")

    def _next_episode(self) -> None:
        opened, self.phase = self._opened, "opening"
        self._held.clear()

        def renew() -> Opened:
            if opened is not None:
                opened.session.close()
            return self._open()

        self._job = self._worker.submit(renew)

    def _begin(self, opened: Opened) -> None:
        assert self.spec is not None
        self._opened, self._moment = opened, opened.moment
        self._rng = np.random.default_rng([opened.seed, 1])
        self.episode += 1
        self.decisions, self.ended, self.action, self.notice = 0, False, (), ""
        self.returns = np.zeros(self.spec.players)
        self._events, self._uuids, self._played = [], (), 0.0
        self._held.clear()
        self.phase = "ready"
        if self.spec.turn_based:
            self._start()

    def _start(self) -> None:
        assert self.spec is not None
        self._began_at = self._wall()
        self._go_on()
        self._clock = StepClock(self.spec.decisions_per_second * self.speed, self._now)

    def _go_on(self) -> None:
        self.phase, self._since = "playing", self._now()
        self._clock.restart()

    def _stop(self, phase: Phase) -> None:
        if self.phase == "playing":
            self._played += self._now() - self._since
        self.phase, self._stopped_at = phase, self._wall()

    def _elapsed(self) -> float:
        """Seconds played in this episode, pauses left out."""
        return self._played + (self._now() - self._since if self.phase == "playing" else 0.0)


def _moment(seen: TimeStep[NDArray[Any]], frames: NDArray[np.uint8]) -> Moment:
    ended = bool(seen.terminated) or bool(seen.truncated)
    return Moment(frames, np.asarray(seen.reward), ended, np.asarray(seen.legal_action_mask), np.asarray(seen.acting))


def _legal(seen: TimeStep[NDArray[Any]], wish: int) -> NDArray[np.int32]:
    """A legal action for every seat: the wished-for one where it may be."""
    legal = np.asarray(seen.legal_action_mask)
    return np.where(legal[:, wish], wish, legal.argmax(1)).astype(np.int32)


def control_words(spec: GameSpec, chords: Mapping[frozenset[str], int]) -> list[tuple[str, str]]:
    """Single keys and what they mean, for people: ``[("left", "left"), ("space", "fire")]``; chords of several keys follow from them."""
    assert isinstance(spec.actions, Discrete)
    singles = [(next(iter(chord)), spec.actions.meanings[action]) for chord, action in chords.items() if len(chord) == 1]
    return [(key, meaning) for key, meaning in singles if not key.startswith("pad:")]
