"""From the key in Ask to the gradient: a mark on a decision is about that decision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.keys import Keymap
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import EvaluationLabel, LabelReader
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.dataset import AnswerDataset

from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from .asking_world import Walk, World, name
from .conftest import Time, press, pump

LENGTH = 5


@cache
def pull() -> Pull:
    return Pull.fresh(Walk().spec, action=True)


class Asked:
    """A person in Ask, and the learner's end of the same store."""

    def __init__(self, world: World, show: Callable[..., App], clock: Time) -> None:
        self.world, self.clock = world, clock
        self.session = world.ask()
        self.view = AskView(self.session, Keymap(), name=name, advise=lambda: self.view, now=clock)
        self.app = show(self.view, clock)
        self._reader = ClipReader(world.game, world.store.replay)
        self._labels = LabelReader(world.store, "tiny", FreeStanding(world.store, world.game.spec, "tiny", LENGTH))
        self._data = AnswerDataset(self._reader, pull().ensemble, LENGTH, 2, 0, 0.0, bootstrap=False)
        pump(self.app, 30)

    def label(self) -> EvaluationLabel:
        """The one mark."""
        self._labels.poll()
        self._data.update(self._labels.labels)
        [label] = self._data.labels
        assert isinstance(label, EvaluationLabel)
        return label

    def push(self, t: int) -> float:
        """How fast the reward of decision ``t`` grows along the downhill direction of the fit's loss."""
        return pull().push(self._reader, self._data.rows(), self.decision(t))

    def decision(self, t: int) -> Clip:
        return Clip((Segment(self.session.reel.replay_id, t, 1),))


@pytest.fixture
def asked(world: World, show: Callable[..., App], clock: Time) -> Asked:
    return Asked(world, show, clock)


@pytest.mark.parametrize(("key", "text", "sign"), [(pygame.K_EQUALS, "=", 1), (pygame.K_MINUS, "-", -1)])
@pytest.mark.parametrize("t", [0, 20])
def test_a_mark_moves_the_reward_of_the_decision_that_is_looked_at(asked: Asked, t: int, key: int, text: str, sign: int) -> None:
    for _ in range(t // 10):
        press(asked.app, pygame.K_RIGHT, pygame.KMOD_LSHIFT)
    pump(asked.app, 3)
    assert asked.session.t == t
    press(asked.app, key, text=text)
    pump(asked.app, 3)
    label = asked.label()
    assert (label.clips, label.credit) == ((asked.decision(t),), (1.0,))
    assert sign * asked.push(t) > 1e-6


def test_while_the_episode_plays_a_mark_is_about_what_was_seen(asked: Asked) -> None:
    press(asked.app, pygame.K_SPACE)
    for _ in range(30):
        asked.clock.now += 0.1
        pump(asked.app, 1)
    t = asked.session.t
    assert 20 <= t < 40
    press(asked.app, pygame.K_EQUALS, text="=")
    pump(asked.app, 3)
    [segment] = asked.label().clips[0].segments
    assert (segment.start, segment.start + segment.length) == (0, t - 2), "10 decisions a second: all but the last 0.2 s"
