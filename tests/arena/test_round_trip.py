"""From the key to the gradient: a key press moves the learned reward in the direction the person meant."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.films import Projector
from rlhf_games.arena.judge_view import JudgeView
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Keymap
from rlhf_games.feedback.store import Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader

from ..reward.conftest import Coins  # noqa: TID252 - tests are no package
from ..reward.conftest import play as play_coins  # noqa: TID252 - tests are no package
from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from ..reward.test_round_trip import Judge as Learner  # noqa: TID252 - tests are no package
from .conftest import Inline, press, pump


class Seat:
    """A person before the window, and the learner's end of the same store. The clips are drawn from their replays, as always."""

    def __init__(self, store: Store, pull: Pull, display: tuple[int, int], show: Callable[..., App]) -> None:
        game = Coins()
        replays = {replay.id: replay for replay in (play_coins(game, seed) for seed in range(6))}
        store.add_replays(list(replays.values()))
        reader = ClipReader(game, replays.__getitem__)
        clips = [Clip((Segment(replay_id, start, 4),)) for replay_id in replays for start in (0, 4, 8)]
        totals = reader.read(clips).reward.sum(1)
        pair = clips[int(np.argmax(totals))], clips[int(np.argmin(totals))]
        self.learner = Learner(store, reader, pull, pair, display)
        session = JudgeSession(store, Projector(store.replay, Inline(), lambda name, options: game), "ann", Inline())
        view = JudgeView(session, Keymap(), aim=lambda name: ("Coins", "Collect coins."))
        self.app = show(view, time.monotonic)
        pump(self.app, 3)

    def push(self) -> float:
        pump(self.app, 3)
        return self.learner.push()


@pytest.fixture(scope="module")
def pull() -> Pull:
    return Pull.fresh(Coins().spec, action=False)


@pytest.fixture
def sit(store: Store, pull: Pull, show: Callable[..., App]) -> Callable[[tuple[int, int]], Seat]:
    return lambda display: Seat(store, pull, display, show)


@pytest.mark.parametrize("display", [(0, 1), (1, 0)])
def test_the_side_that_a_key_names_rises_and_undo_takes_it_back(sit: Any, display: tuple[int, int]) -> None:
    seat = sit(display)
    press(seat.app, pygame.K_LEFT)
    left = seat.push()
    assert left > 1e-6
    press(seat.app, pygame.K_BACKSPACE)
    assert seat.push() == 0.0
    press(seat.app, pygame.K_RIGHT)
    right = seat.push()
    assert right < -1e-6
    press(seat.app, pygame.K_BACKSPACE)
    seat.push()
    press(seat.app, pygame.K_RIGHT, pygame.KMOD_LSHIFT)
    assert seat.push() < -1e-6
    [label] = seat.learner.labels.labels
    assert (label.strength, label.kind) == (2, "second" if display == (0, 1) else "first")


def test_equal_pulls_together_and_cannot_tell_teaches_nothing(sit: Any) -> None:
    seat = sit((1, 0))
    press(seat.app, pygame.K_DOWN)
    push, apart = seat.push(), seat.learner.apart()
    assert abs(apart) > 1e-3
    assert np.sign(push) == -np.sign(apart)
    press(seat.app, pygame.K_BACKSPACE)
    seat.push()
    press(seat.app, pygame.K_UP)
    assert seat.push() == 0.0
    assert seat.learner.labels.answered == 1
