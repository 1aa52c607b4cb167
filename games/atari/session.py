"""One interactive Atari game: what a batch plays, bit for bit, with every frame in colour and instant copies.

A session drives a single emulator and repeats the vector environment's preprocessing around it (``screen.resize``). What cannot be
computed here, the number of idle frames that the vector environment draws from the seed, is asked of a one-game vector environment
when the session opens, and its first picture is compared with ours.
"""

from __future__ import annotations

import atexit
import zlib
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from threading import Lock
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import GameSpec, Session, Skipped, TimeStep

from .batch import emulator_seed, vector_env
from .options import Options
from .screen import Mask, resize

_NOOP, _FIRE = 0, 1


@dataclass(frozen=True)
class Cartridge:
    """What a session must know of the game it plays."""

    rom: str
    codes: tuple[int, ...]
    """ALE action code of each action."""
    copies: bool
    """Whether the emulator's saved state restores this game exactly."""


class Bookmark(NamedTuple):
    """Where a session stood."""

    played: int
    elapsed: int
    lives: int
    emulator: EmulatorState
    stack: bytes
    """The observation's planes, packed: a bookmark takes some 20 kB."""
    raw: bytes


class AtariSession:
    """One Atari game, played decision by decision."""

    def __init__(self, spec: GameSpec, cartridge: Cartridge, options: Options, mask: Mask | None, seed: int) -> None:
        self._spec, self._cartridge, self._codes, self._options, self._mask = spec, cartridge, cartridge.codes, options, mask
        self._seed = int(emulator_seed(seed))
        self._played: list[int] = []
        self._elapsed = 0
        self._stack: list[NDArray[np.uint8]] = []
        self._raw: list[NDArray[np.uint8]] = []
        self._frames: list[NDArray[np.uint8]] = []
        self._emulator = Emulator(cartridge.rom, self._seed, options.sticky_action_prob)
        start, picture = _vector_start(cartridge.rom, options, self._seed)
        self._begin(start)
        if not np.array_equal(self._stack[-1], picture):
            raise RuntimeError(f"{spec.name}: the first picture from seed {seed} is not the batch's: this ale-py preprocesses differently")
        self._timestep = self._seen(0.0, terminated=False, truncated=False)

    @property
    def spec(self) -> GameSpec:
        """The game's description."""
        return self._spec

    @property
    def timestep(self) -> TimeStep[NDArray[Any]]:
        """What the player sees now."""
        return self._timestep

    def step(self, action: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision, ``action`` is ``[1]``; raises ``RuntimeError`` when the episode is over."""
        reward, terminated, truncated = self._decide(int(np.asarray(action).reshape(1)[0]))
        self._push()
        self._timestep = self._seen(reward, terminated=terminated, truncated=truncated)
        return self._timestep

    def skip(self, actions: NDArray[Any]) -> Skipped:
        """Plays the decisions ``[n, 1]``; see `rlhf_games.core.game.RewindableSession`. Twice as fast as `step`."""
        chosen = np.asarray(actions).reshape(-1).tolist()
        brought: list[tuple[float, bool, bool]] = []
        # What is still on the stack at the end must be looked at, and one more: a decision that ends at once keeps the picture before.
        unseen = max(0, len(chosen) - self._options.frame_stack - 1)
        for number, action in enumerate(chosen):
            brought.append(self._decide(action, look=number >= unseen))
            if number >= unseen:
                self._push()
            if brought[-1][1] or brought[-1][2]:
                break
        reward, terminated, truncated = brought[-1]
        self._timestep = self._seen(reward, terminated=terminated, truncated=truncated)
        rewards, ends, cuts = zip(*brought, strict=True)
        return Skipped(np.array(rewards, np.float32)[:, None], np.array(ends, bool), np.array(cuts, bool))

    def bookmark(self) -> Bookmark | None:
        """Where the session stands; None where the emulator's state cannot be restored exactly."""
        state = self._emulator.save() if self._cartridge.copies else None
        if state is None or self._timestep.terminated or self._timestep.truncated:
            return None
        stack, raw = (zlib.compress(np.stack(planes).data, 1) for planes in (self._stack, self._raw))
        return Bookmark(len(self._played), self._elapsed, self._lives, state, stack, raw)

    def go_back(self, bookmark: Bookmark) -> None:
        """Stands where it stood; see `rlhf_games.core.game.RewindableSession`."""
        del self._played[bookmark.played :]
        self._elapsed, self._lives = bookmark.elapsed, bookmark.lives
        self._emulator.restore(bookmark.emulator)
        self._stack = _unpack(bookmark.stack, self._stack)
        self._raw = _unpack(bookmark.raw, self._raw)
        self._frames = []
        self._timestep = self._seen(0.0, terminated=False, truncated=False)

    def frames(self) -> NDArray[np.uint8]:
        """Every frame since the last decision, ``[F, H, W, 3]``."""
        return np.stack(self._frames)

    def branch(self) -> Session:
        """An independent copy: the emulator's state is copied, or, where that is not exact, the episode is played again."""
        emulator = self._emulator.copy() if self._cartridge.copies else None
        if emulator is None:
            return self._again()
        copy = object.__new__(AtariSession)
        copy.__dict__.update(self.__dict__)
        copy._played, copy._stack, copy._raw = list(self._played), list(self._stack), list(self._raw)
        copy._emulator = emulator
        return copy

    def close(self) -> None:
        """Nothing to free by hand: the emulator goes with the session."""

    def _again(self) -> AtariSession:
        other = AtariSession(self._spec, self._cartridge, self._options, self._mask, self._seed)
        for action in self._played:
            other.step(np.array([action]))
        return other

    def _begin(self, start: int) -> None:
        """Presses fire and waits until the emulator has run ``start`` frames, as the vector environment does."""
        waits = start - self._emulator.frame
        if self._options.fire_reset and _FIRE in self._codes:
            self._emulator.act(_FIRE)
            waits -= 1
        for _ in range(waits):
            self._emulator.act(_NOOP)
            self._emulator.restart_if_over()
        newest = self._look()
        self._raw = [newest, np.zeros_like(newest)]
        size = self._options.screen_size
        self._stack = [np.zeros((size, size, *newest.shape[2:]), np.uint8)] * self._options.frame_stack
        self._push()
        self._lives = self._emulator.lives
        self._frames = [self._emulator.picture()]

    def _decide(self, action: int, *, look: bool = True) -> tuple[float, bool, bool]:
        """Plays one decision; returns reward, terminated and truncated."""
        if self._timestep.terminated or self._timestep.truncated:
            raise RuntimeError(f"{self._spec.name}: the episode is over; open a new session with another seed")
        if not 0 <= action < len(self._codes):
            raise ValueError(f"{self._spec.name}: action must be 0 to {len(self._codes) - 1}, got {action}")
        self._played.append(action)
        reward, ended = self._hold(self._codes[action], look=look)
        if self._options.reward_clipping:
            reward = max(-1, min(1, reward))
        return float(reward), ended, self._elapsed >= self._options.max_frames_per_episode and not ended

    def _hold(self, code: int, *, look: bool) -> tuple[int, bool]:
        """Holds the action for ``frame_skip`` frames; returns the reward and whether the episode terminated."""
        reward, lost = 0, False
        self._frames = []
        for left in range(self._options.frame_skip, 0, -1):
            reward += self._emulator.act(code)
            if look:
                self._frames.append(self._emulator.picture())
            self._elapsed += 1
            over, lives = self._emulator.over, self._emulator.lives
            lost = self._options.end_on_life_loss and 0 < lives < self._lives
            if over or lost or self._elapsed >= self._options.max_frames_per_episode:
                break
            if left <= 2 and look:
                self._raw[left - 1] = self._look()
        self._lives = self._emulator.lives
        return reward, over or lost

    def _look(self) -> NDArray[np.uint8]:
        return self._emulator.grey() if self._options.grayscale else self._emulator.picture()

    def _push(self) -> None:
        if self._options.max_pool:
            self._raw[0] = np.maximum(self._raw[0], self._raw[1])
        self._stack = [*self._stack[1:], resize(self._raw[0], self._options.screen_size)]

    def _seen(self, reward: float, *, terminated: bool, truncated: bool) -> TimeStep[NDArray[Any]]:
        observation = np.concatenate([plane if plane.ndim == 3 else plane[..., None] for plane in self._stack], -1)
        if self._mask:
            self._mask.blank(observation)
        return TimeStep(
            observation=observation[None],
            reward=np.array([reward], np.float32),
            terminated=np.array(terminated),
            truncated=np.array(truncated),
            legal_action_mask=np.ones((1, len(self._codes)), bool),
            acting=np.ones(1, bool),
        )


class EmulatorState(NamedTuple):
    """Where an emulator stood."""

    state: Any
    """The emulator's own, with its random numbers."""
    draws: NDArray[np.uint32]
    """``[625]``: the Mersenne Twister beside it, and where in it the next number lies."""
    held: int


class Emulator:
    """A single emulator with sticky actions, and the one thing its saved state lacks: the action that is stuck.

    The emulator draws two numbers per frame from a Mersenne Twister and repeats the last action where the first is below the
    stickiness; drawing the same numbers beside it tells which action it holds.
    """

    def __init__(self, rom: str, seed: int, sticky: float) -> None:
        from ale_py import Action, ALEInterface, LoggerMode, roms

        ALEInterface.setLoggerMode(LoggerMode.Error)
        self._rom, self._seed, self._sticky = rom, seed, sticky
        self._actions = [Action(code) for code in range(18)]
        self._ale: Any = ALEInterface()
        self._ale.setFloat("repeat_action_probability", sticky)
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(str(roms.get_rom_path(rom)))
        self._ale.reset_game()
        self._held = _NOOP
        self._draws = _twister(seed)
        # Where the cartridge itself needs buttons pressed to start, an unknown number of draws is already gone.
        self._known = sticky == 0.0 or self.frame == 0

    @property
    def frame(self) -> int:
        """Frames since the cartridge was loaded."""
        return int(self._ale.getFrameNumber())

    @property
    def lives(self) -> int:
        """Lives left; 0 in games without."""
        return int(self._ale.lives())

    @property
    def over(self) -> bool:
        """Whether the game has ended."""
        return bool(self._ale.game_over())

    def act(self, code: int) -> int:
        """Runs one frame with an ALE action code; returns the reward."""
        first, _ = self._draws.getrandbits(32), self._draws.getrandbits(32)
        if first / 2**32 >= self._sticky:
            self._held = code
        return int(self._ale.act(self._actions[code]))

    def restart_if_over(self) -> None:
        """A game that ends before its player may act starts again."""
        if self.over:
            self._ale.reset_game()
            self._held = _NOOP

    def grey(self) -> NDArray[np.uint8]:
        """The picture in grey, ``[H, W]``."""
        picture: NDArray[np.uint8] = self._ale.getScreenGrayscale()
        return picture

    def picture(self) -> NDArray[np.uint8]:
        """The picture in colour, ``[H, W, 3]``."""
        picture: NDArray[np.uint8] = self._ale.getScreenRGB()
        return picture

    def copy(self) -> Emulator | None:
        """An emulator that will go on exactly as this one; None where that cannot be known."""
        if not self._known:
            return None
        other = Emulator(self._rom, self._seed, self._sticky)
        other.restore(self._state())
        return other

    def save(self) -> EmulatorState | None:
        """Where it stands; None where that cannot be known."""
        return self._state() if self._known else None

    def restore(self, saved: EmulatorState) -> None:
        """Goes on exactly as from there. What is on the screen is right again after the next frame."""
        self._ale.restoreState(saved.state)  # a game that is over would not act
        self._put_draws(saved.draws)  # the emulator's random numbers came back too
        while self._held != saved.held:  # has it hold the same action; the state put in once more undoes the rest
            self.act(saved.held)
        self._ale.restoreState(saved.state)
        self._put_draws(saved.draws)

    def _state(self) -> EmulatorState:
        # As Python's numbers the twister would take ten times the memory, in every bookmark.
        return EmulatorState(self._ale.cloneState(include_rng=True), np.array(self._draws.getstate()[1], np.uint32), self._held)

    def _put_draws(self, draws: NDArray[np.uint32]) -> None:
        self._draws.setstate((Random.VERSION, tuple(draws.tolist()), None))


def _twister(seed: int) -> Random:
    """The Mersenne Twister that C++ (and NumPy) make of a seed.

    Python seeds another way but goes on alike, and its draw takes 0.2 µs and keeps the interpreter. NumPy's takes 5 µs and lets go of
    the interpreter every time: once a frame, which keeps threads that wait for it from ever asking (see `rlhf_games.arena.work`).
    """
    state = np.random.RandomState(seed).get_state(legacy=False)["state"]
    draws = Random()
    draws.setstate((Random.VERSION, (*state["key"].tolist(), state["pos"]), None))
    return draws


def _unpack(packed: bytes, like: list[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    return list(np.frombuffer(zlib.decompress(packed), np.uint8).reshape(len(like), *like[0].shape))


_STARTING = Lock()


@lru_cache(4)
def _starter(rom: str, options: Options) -> Any:
    """The vector environment that is asked how episodes begin: making one takes longer than resetting it."""
    return vector_env(rom, 1, options, threads=1)


# Before the interpreter takes itself apart: the emulator's binding complains about every one that is left then.
atexit.register(_starter.cache_clear)


def _vector_start(rom: str, options: Options, seed: int) -> tuple[int, NDArray[np.uint8]]:
    """Frames that a one-game vector environment has run after ``reset(seed)``, and its newest picture."""
    with _STARTING:
        stack, info = _starter(rom, options).reset(seed=np.array([seed], np.int64))
        return int(info["frame_number"][0]), np.array(stack[0, -1])
