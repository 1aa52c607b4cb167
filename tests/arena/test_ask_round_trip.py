"""From the key in Ask to the gradient: a mark on a decision is about that decision."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.ask_view import AskView
from rlhf_games.arena.keys import Keymap
from rlhf_games.feedback.answers import Evaluation
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import EvaluationLabel, LabelReader
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.dataset import AnswerDataset

from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from .asking_world import Walk, World, name, rows
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
    """After 3.05 s at 10 decisions a second decision 29 is on the screen, which was taken at 3.0 s.

    A mark says nothing of what came in the last 0.2 s.
    """
    play(asked, 3.05)
    press(asked.app, pygame.K_EQUALS, text="=")
    pump(asked.app, 3)
    [answer] = rows(asked.world.store, "evaluation")
    assert (answer.step, answer.value) == (29, Evaluation(0.5, speed=1.0))
    [segment] = asked.label().clips[0].segments
    assert (segment.start, segment.start + segment.length) == (0, 27), "decisions 27 and 28 are those of the last 0.2 s"


def test_the_end_can_be_marked_while_it_is_seen(asked: Asked) -> None:
    """The episode has 40 decisions: after 4.5 s its end has been on the screen for 0.5 s, and the last decision is 39."""
    play(asked, 4.5)
    press(asked.app, pygame.K_MINUS, text="-")
    pump(asked.app, 3)
    [answer] = rows(asked.world.store, "evaluation")
    assert isinstance(answer.value, Evaluation)
    assert (answer.step, answer.value.value, answer.value.speed) == (39, -0.5, 1.0)
    assert answer.value.since_end == pytest.approx(0.5, abs=0.06)
    play(asked, 4.0, begin=False)
    press(asked.app, pygame.K_MINUS, text="-")
    pump(asked.app, 3)
    assert len(rows(asked.world.store, "evaluation")) == 1
    assert asked.session.notice.startswith("There is nothing to mark here"), "nobody can mean what they saw more than 4 s ago"


def test_at_the_end_and_before_the_first_decision_a_mark_says_that_it_is_none(asked: Asked) -> None:
    press(asked.app, pygame.K_SPACE)
    press(asked.app, pygame.K_EQUALS, text="=")
    assert asked.session.notice.startswith("There is nothing to mark here"), "nothing has been seen yet"
    asked.session.move(40)
    asked.session.notice = ""
    press(asked.app, pygame.K_EQUALS, text="=")
    pump(asked.app, 3)
    assert asked.session.notice.startswith("There is nothing to mark here"), "it stands still after the last decision"
    assert rows(asked.world.store, "evaluation") == []


def play(asked: Asked, seconds: float, begin: bool = True) -> None:
    """The episode plays for so long."""
    if begin:
        press(asked.app, pygame.K_SPACE)
    for _ in range(round(seconds / 0.05)):
        asked.clock.now += 0.05 + 1e-9
        pump(asked.app, 1)
