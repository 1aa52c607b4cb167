"""From the key to the gradient, for rankings and ratings: a key press moves the learned reward in the direction the person meant."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pygame
import pytest

from rlhf_games.arena.app import App
from rlhf_games.arena.films import Projector
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.rank_view import RankView
from rlhf_games.arena.ranking import RankSession
from rlhf_games.arena.rate_view import RateView
from rlhf_games.arena.rating import RateSession
from rlhf_games.feedback.labels import LabelReader
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.reward.dataset import AnswerDataset

from ..reward.conftest import Coins  # noqa: TID252 - tests are no package
from ..reward.conftest import play as play_coins  # noqa: TID252 - tests are no package
from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from .conftest import Inline, press, pump


@cache
def pull() -> Pull:
    return Pull.fresh(Coins().spec, action=False)


class Seat:
    """A person before the window, and the learner's end of the same store. The clips are drawn from their replays, as always."""

    def __init__(self, store: Store, show: Callable[..., App]) -> None:
        game = Coins()
        replays = {replay.id: replay for replay in (play_coins(game, seed) for seed in range(6))}
        store.add_replays(list(replays.values()))
        self.store, self._show = store, show
        self._reader = ClipReader(game, replays.__getitem__)
        self._projector = Projector(store.replay, Inline(), lambda name, options: game)
        clips = [Clip((Segment(replay_id, start, 4),)) for replay_id in replays for start in (0, 4, 8)]
        order = np.argsort(self._reader.read(clips).reward.sum(1), kind="stable")
        self.best, self.middle, self.worst = (clips[order[place]] for place in (-1, len(order) // 2, 0))
        self._pull = pull()
        self._labels = LabelReader(store)
        self._data = AnswerDataset(self._reader, self._pull.ensemble, 4, 2, 0, 0.0, bootstrap=False)

    def rank(self, display: tuple[int, ...]) -> App:
        """The clips shown at the places 1, 2, 3 are those of ``display``: 0 the best one."""
        self.store.post_queries([QueryDraft("ranking", (self.best, self.middle, self.worst), display=display)])
        return self._open(RankView(RankSession(self.store, self._projector, "ann", Inline()), Keymap(), aim=lambda name: ("", "")))

    def rate(self) -> App:
        self.store.post_queries([QueryDraft("rating", (self.best,))])
        return self._open(RateView(RateSession(self.store, self._projector, "ann", Inline()), Keymap(), aim=lambda name: ("", "")))

    def _open(self, view: Any) -> App:
        app = self._show(view, time.monotonic)
        pump(app, 3)
        assert view.session.phase == "showing"
        return app

    def push(self, better: Clip, worse: Clip | None = None) -> float:
        """How fast r(better) - r(worse) grows along the downhill direction of the fit's loss; 0 where nothing teaches."""
        self._labels.poll()
        self._data.update(self._labels.labels)
        return self._pull.push(self._reader, self._data.rows(), better, worse)

    def worth(self, clip: Clip) -> float:
        """The predicted reward along a clip."""
        return self._pull.worth(self._reader, clip)[0]


@pytest.fixture
def seat(store: Store, show: Callable[..., App]) -> Seat:
    return Seat(store, show)


@pytest.mark.parametrize("display", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_the_clip_whose_digit_comes_first_rises(seat: Seat, display: tuple[int, ...]) -> None:
    app = seat.rank(display)
    digits = [pygame.K_1 + display.index(clip) for clip in range(3)]
    for key in digits:
        press(app, key)
    assert seat.push(seat.best, seat.worst) > 1e-6
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    assert seat.push(seat.best, seat.worst) == 0.0
    for key in reversed(digits):
        press(app, key)
    assert seat.push(seat.best, seat.worst) < -1e-6


def test_a_tie_pulls_together(seat: Seat) -> None:
    app = seat.rank((0, 1, 2))
    apart = seat.worth(seat.best) - seat.worth(seat.middle)
    assert abs(apart) > 1e-3
    press(app, pygame.K_1)
    press(app, pygame.K_2, pygame.KMOD_LSHIFT)
    press(app, pygame.K_3)
    assert np.sign(seat.push(seat.best, seat.middle)) == -np.sign(apart)
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    assert seat.push(seat.best, seat.middle) == 0.0


def test_clips_left_out_are_worse_and_cannot_tell_teaches_nothing(seat: Seat) -> None:
    app = seat.rank((2, 1, 0))
    press(app, pygame.K_3)
    press(app, pygame.K_RETURN)
    assert seat.push(seat.best, seat.worst) > 1e-6
    assert seat.push(seat.best, seat.middle) > 1e-6
    press(app, pygame.K_BACKSPACE)
    pump(app, 3)
    press(app, pygame.K_UP)
    assert seat.push(seat.best, seat.worst) == 0.0
    assert seat.store.progress().answered == 1


def test_a_high_grade_lifts_and_a_low_one_lowers(seat: Seat) -> None:
    app = seat.rate()
    for key, sign in ((pygame.K_5, 1), (pygame.K_1, -1)):
        press(app, key)
        assert np.sign(seat.push(seat.best)) == sign
        press(app, pygame.K_BACKSPACE)
        pump(app, 3)
        assert seat.push(seat.best) == 0.0
    press(app, pygame.K_UP)
    assert seat.push(seat.best) == 0.0
    assert seat.store.progress().answered == 1
