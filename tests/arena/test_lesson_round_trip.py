"""From the key to the policy: what a person says is right becomes likelier, whether they said it in Ask or the agent asked them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pygame
import pytest

from rlhf_games.arena.advise_view import AdviseView
from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.keys import Keymap
from rlhf_games.core.agent import Lessons
from rlhf_games.feedback.lessons import LessonReader
from rlhf_games.workspace import load_agent

from .asking_world import World
from .conftest import Time, press, pump

Show = Callable[..., App]
KEYS = {1: pygame.K_LEFT, 2: pygame.K_RIGHT, 3: pygame.K_SPACE}
"""The game's keys, by the action they mean."""


def name(game: str) -> tuple[str, str]:
    return "Walk", "Walk."


class Learner:
    """The learner's end of the store: a fresh policy, and what it makes of the lessons there."""

    def __init__(self, world: World) -> None:
        self._world, self.reader = world, LessonReader(world.store, world.game.spec)
        self._agent: Any = load_agent("ppo", {"hidden": (8,), "imitation_steps": 1, "imitation_batch": 8})
        self._state = self._agent.init(jax.random.key(0), world.game.spec)

    def gain(self, action: int) -> float:
        """How much one step of imitation adds to the probability of ``action`` where it was shown; 0 where nothing is shown."""
        self.reader.poll()
        if not self.reader.lessons:
            return 0.0
        [lesson] = self.reader.lessons
        assert lesson.action == action
        [segment] = lesson.clip.segments
        session = self._world.game.open(self._world.store.replay(segment.replay_id).seed)
        for taken in self._world.store.replay(segment.replay_id).actions[: segment.start]:
            session.step(taken)
        seen = jnp.asarray(session.timestep.observation[lesson.clip.seat][None])
        legal = jnp.ones((1, 4), bool)
        lessons = Lessons(seen, jnp.asarray([action], jnp.int32), jnp.ones(1, jnp.float32), legal)
        after, _ = self._agent.imitate(self._state, lessons, jax.random.key(1), jnp.float32(0.0))
        told = [np.asarray(self._agent.explain(self._agent.params(state), seen, legal).probabilities)[0] for state in (self._state, after)]
        return float(told[1][action] - told[0][action])


@pytest.mark.parametrize("action", sorted(KEYS))
def test_what_is_taught_in_ask_rises_and_undo_takes_it_back(world: World, show: Show, clock: Time, action: int) -> None:
    view = AskView(world.ask(), Keymap(), name=name, advise=lambda: AdviseView(world.advise(), Keymap(), name=name), now=clock)
    app, learner = show(view, clock), Learner(world)
    pump(app, 30)
    press(app, pygame.K_RIGHT, pygame.KMOD_LSHIFT)
    press(app, pygame.K_t, text="t")
    press(app, KEYS[action])
    pump(app, 3)
    assert learner.gain(action) > 0
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    assert learner.gain(action) == 0.0
    view.close()


@pytest.mark.parametrize("action", sorted(KEYS))
def test_what_the_agent_is_told_rises(world: World, show: Show, clock: Time, action: int) -> None:
    view = AdviseView(world.advise(), Keymap(), name=name, now=clock)
    app, learner = show(view, clock), Learner(world)
    pump(app, 30)
    press(app, KEYS[action], text=" " if action == 3 else "")
    pump(app, 6)
    assert learner.gain(action) > 0
    press(app, pygame.K_BACKSPACE)
    pump(app, 6)
    press(app, pygame.K_UP)  # can't tell
    pump(app, 6)
    assert learner.gain(action) == 0.0
    view.close()
