"""From the coach's key to the gradient: what was praised rises, what was scolded falls, and my way rises above the agent's."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jax
import numpy as np
import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.coach_game import CoachGame
from rlhf_games.arena.coach_log import CoachLog
from rlhf_games.arena.coach_session import CoachSession
from rlhf_games.arena.coach_view import CoachView
from rlhf_games.arena.keys import Keymap
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import EvaluationLabel, LabelReader
from rlhf_games.feedback.store import Store
from rlhf_games.published.run import PublishedRun
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.workspace import load_game

from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from .conftest import Inline, Time, press, pump
from .small_run import publish_fresh

LENGTH = 5


@cache
def pull() -> Pull:
    """Of a model that is sure of nothing: over 200 steps a fresh one may be as sure as floats allow, and then no mark moves it."""
    fresh = Pull.fresh(load_game("minatar/freeway").spec, action=True)
    params = fresh.params._replace(members=jax.tree.map(lambda leaf: 0.1 * leaf, fresh.params.members))
    return Pull((fresh.ensemble, params))


class Coach:
    """A person before the window, a real policy in a real game, and the learner's end of the same store."""

    def __init__(self, folder: Path, store: Store, clock: Time, show: Callable[..., App]) -> None:
        publish_fresh(folder, "minatar/freeway")
        game = CoachGame(PublishedRun.open(folder))
        worker, seeds = Inline(), itertools.count(3)
        log = CoachLog(store, "ann", worker, clock)
        self.session = CoachSession(game, log, worker, worker, now=clock, wall=clock, seeds=lambda: next(seeds))
        self.clock, self.rate = clock, game.spec.decisions_per_second
        self.app = show(CoachView(self.session, Keymap(), "Freeway", "", now=clock), clock)
        played = PublishedRun.open(folder).newest().game
        self.pull = pull()
        self.reader = ClipReader(played, store.replay)
        self.labels = LabelReader(store, "tiny", FreeStanding(store, played.spec, "tiny", LENGTH))
        self.data = AnswerDataset(self.reader, self.pull.ensemble, LENGTH, 2, 0, 0.0, bootstrap=False)
        self.run(0.1)
        press(self.app, pygame.K_F5)

    def run(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.now += step + 1e-9
            pump(self.app, 2)

    def push(self, kind: str) -> float:
        """How fast the reward of what a mark is about (of a takeover: less that of ``instead``) grows along the downhill direction."""
        self.labels.poll()
        self.data.update(self.labels.labels)
        rows = self.data.rows().get(kind)
        if rows is None:
            return 0.0
        [label] = self.data.labels

        weight = np.asarray(label.credit, np.float32) if isinstance(label, EvaluationLabel) else None
        return self.pull.push(self.reader, {kind: rows}, *label.clips, weight=weight)


@pytest.fixture
def coach(tmp_path: Path, store: Store, clock: Time, show: Callable[..., App]) -> Coach:
    return Coach(tmp_path, store, clock, show)


def test_praise_raises_and_scolding_lowers(coach: Coach) -> None:
    coach.run(2.0)
    assert coach.push("evaluation") == 0.0
    press(coach.app, pygame.K_EQUALS, text="=")
    mild = coach.push("evaluation")
    assert mild > 1e-6
    press(coach.app, pygame.K_BACKSPACE)
    assert coach.push("evaluation") == 0.0, "taken back, it teaches nothing"
    press(coach.app, pygame.K_MINUS, text="-")
    assert coach.push("evaluation") < -1e-6
    press(coach.app, pygame.K_BACKSPACE)
    coach.push("evaluation")
    press(coach.app, pygame.K_PAGEUP)
    assert coach.push("evaluation") > 1.5 * mild, "very good is more than good"


def place(coach: Coach) -> tuple[int, int]:
    """Where the one mark is in the episode: its first step and how many."""
    [label] = coach.data.labels
    [segment] = label.clips[0].segments
    return segment.start, segment.length


def test_where_time_stands_still_the_decision_on_the_screen_is_meant(coach: Coach) -> None:
    coach.run(2.0)
    press(coach.app, pygame.K_p, text="p")
    last = coach.session.decisions - 1
    press(coach.app, pygame.K_MINUS, text="-")
    assert coach.push("evaluation") < -1e-6
    assert place(coach) == (last, 1)


@pytest.mark.parametrize(("faster", "speed"), [(0, 1.0), (4, 4.0)])
def test_the_window_holds_the_seconds_of_the_person(coach: Coach, faster: int, speed: float) -> None:
    for _ in range(faster):
        press(coach.app, pygame.K_RIGHTBRACKET, text="]")
    coach.run(5.0, 0.02)
    last = coach.session.decisions - 1
    seen = coach.rate * speed  # decisions a second
    assert last > 4 * seen
    press(coach.app, pygame.K_MINUS, text="-")
    assert coach.push("evaluation") < -1e-6
    start, steps = place(coach)
    assert (start, start + steps) == (last - math.ceil(4 * seen), last - math.floor(0.2 * seen))


def test_my_way_rises_above_what_the_agent_would_have_done(coach: Coach) -> None:
    coach.run(1.0)
    press(coach.app, pygame.K_UP, up=False)
    coach.run(0.5)
    pygame.event.post(pygame.Event(pygame.KEYUP, key=pygame.K_UP, mod=0))
    coach.run(0.6)
    assert coach.session.driver == "agent"
    assert coach.push("takeover") > 1e-6
    [label] = coach.data.labels
    mine, agents = (coach.reader.read([clip]).action[0] for clip in label.clips)
    assert set(np.asarray(mine).tolist()) == {coach.session.spec.keys["up"]}
    assert not np.array_equal(mine, agents)
    press(coach.app, pygame.K_BACKSPACE)
    assert coach.push("takeover") == 0.0
