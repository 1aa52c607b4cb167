"""One PettingZoo Atari game at the pace of decisions: frame skip, sticky actions, stacking, seats that drop out."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.game import TimeStep

from .options import Options
from .screen import shrink


@dataclass(frozen=True)
class Setup:
    """What a game needs to start, all of it plain data."""

    env: str
    """PettingZoo's module without its version, for example ``pong``."""
    players: int
    actions: int
    """``A``."""
    options: Options


class Seats:
    """The seats of one game and the emulator between them."""

    def __init__(self, setup: Setup, watch: Callable[[Any], None] | None = None) -> None:
        """``watch`` is called with the emulator after every frame of a decision, and when an episode has begun."""
        self.setup = setup
        self._watch = watch or (lambda emulator: None)
        self._env = _make(setup)
        self._draws = np.random.Generator(np.random.Philox(0))
        self._seed = 0
        self._over = True

    @property
    def over(self) -> bool:
        """Whether the episode has ended."""
        return self._over

    def reset(self, seed: int) -> TimeStep[NDArray[Any]]:
        """Starts the episode ``seed``; the emulator takes its lower 31 bits, sticky actions all of it."""
        options, players = self.setup.options, self.setup.players
        self._seed = int(seed)
        self._env.reset(seed=self._seed & 0x7FFFFFFF)
        self._draws = np.random.Generator(np.random.Philox(self._seed))
        for _ in range(int(self._draws.integers(max(options.noop_max, 1)))):
            self._env.ale.act(np.zeros(players, np.int32))
        self._held = np.full(players, -1)
        self._frame = 0
        newest = self._look()
        self._last_two = [newest, newest]
        black = np.zeros((options.screen_size, options.screen_size), np.uint8)
        self._stack = [*[black] * (options.frame_stack - 1), shrink(newest, options.screen_size)]
        self._over = False
        self._watch(self._env.ale)
        return self._timestep(np.zeros(players, np.float32), truncated=False)

    def step(self, actions: NDArray[Any]) -> TimeStep[NDArray[Any]]:
        """Plays one decision, ``actions`` is ``[P]`` in ``[0, A)``; entries of seats that are out are ignored."""
        options, names = self.setup.options, self._env.possible_agents
        reward = np.zeros(self.setup.players, np.float32)
        stuck = self._draws.random((options.frame_skip, self.setup.players)) < options.sticky_action_prob
        for frame in range(options.frame_skip):
            # Before the first action of an episode there is nothing to repeat.
            self._held = np.where(stuck[frame] & (self._held >= 0), self._held, actions)
            alive = list(self._env.agents)
            _, earned, _, _, _ = self._env.step({name: int(self._held[names.index(name)]) for name in alive})
            for name in alive:
                reward[names.index(name)] += earned[name]
            self._frame += 1
            self._last_two = [self._last_two[1], self._look()]
            self._watch(self._env.ale)
            if not self._env.agents or self._frame >= options.max_frames_per_episode:
                break
        picture = np.maximum(*self._last_two) if options.max_pool else self._last_two[1]
        self._stack = [*self._stack[1:], shrink(picture, options.screen_size)]
        truncated = bool(self._env.agents) and self._frame >= options.max_frames_per_episode
        self._over = truncated or not self._env.agents
        return self._timestep(np.clip(reward, -1, 1) if options.reward_clipping else reward, truncated=truncated)

    def copy_to(self, other: Seats) -> None:
        """Puts ``other`` (of the same set-up) where this game stands."""
        other._env.reset(seed=self._seed & 0x7FFFFFFF)
        other._env.restore_full_state(self._env.clone_full_state())
        other._env.agents, other._env.terminations = list(self._env.agents), dict(self._env.terminations)
        other._env.frame = self._env.frame
        other._draws.bit_generator.state = self._draws.bit_generator.state
        other._seed, other._over, other._frame = self._seed, self._over, self._frame
        other._held, other._last_two, other._stack = self._held.copy(), list(self._last_two), list(self._stack)

    def _look(self) -> NDArray[np.uint8]:
        picture: NDArray[np.uint8] = self._env.ale.getScreenGrayscale()[..., 0]
        return picture

    def _timestep(self, reward: NDArray[np.float32], *, truncated: bool) -> TimeStep[NDArray[Any]]:
        players, names = self.setup.players, self._env.possible_agents
        screen = np.stack(self._stack, -1)
        observation = np.repeat(screen[None], players, 0)
        if self.setup.options.seat_plane:
            planes = np.arange(players, dtype=np.uint16) * 255 // max(players - 1, 1)
            plane = np.broadcast_to(planes.astype(np.uint8)[:, None, None, None], (*observation.shape[:3], 1))
            observation = np.concatenate([observation, plane], -1)
        return TimeStep(
            observation=observation,
            reward=reward,
            terminated=np.array(self._over and not truncated),
            truncated=np.array(truncated),
            legal_action_mask=np.ones((players, self.setup.actions), bool),
            acting=np.array([name in self._env.agents for name in names]),
            out=np.array([name not in self._env.agents for name in names]),
        )


def _make(setup: Setup) -> Any:
    """PettingZoo's own environment, without its guards, on the ROMs that ale-py ships."""
    from ale_py import roms

    # The module inside the package: the versioned one beside it warns that there is a registry now, which wraps the same.
    module = importlib.import_module(f"pettingzoo.atari.{setup.env}.{setup.env}")
    return module.parallel_env(
        auto_rom_install_path=str(Path(roms.__file__).parent),
        obs_type="ram",  # the pictures are fetched here, only where they are wanted
        full_action_space=setup.options.full_action_space,
        # Truncation is ours: theirs does not take the agents out.
        max_cycles=2**31,
    ).unwrapped
