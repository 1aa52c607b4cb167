"""From the keys of somebody who plays for a run to what its learner makes of it: what they showed, and how they rated it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pygame
import pytest

from rlhf_games.arena import start
from rlhf_games.arena.app import App
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.person import Person
from rlhf_games.arena.play_view import PlayView
from rlhf_games.arena.runs import find_target
from rlhf_games.cli.main import main
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Demonstration, Rating
from rlhf_games.feedback.free_standing import FreeStanding
from rlhf_games.feedback.labels import Label, LabelReader
from rlhf_games.feedback.lessons import LessonReader
from rlhf_games.feedback.store import QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.reward.dataset import AnswerDataset
from rlhf_games.workspace import load_game

from ..reward.pull import Pull  # noqa: TID252 - tests are no package
from .conftest import press, until

LENGTH = 5
OPTIONS = {"sticky_action_prob": 0.0}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run whose game has options of its own and whose first policy was asked about once."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"name": "tiny", "game": {"name": "minatar/freeway", "options": OPTIONS}}))
    session = load_game("minatar/freeway", OPTIONS).open(0)
    recorder = SessionRecorder(session, 0, player=("agent",), policy="tiny/0")
    for _ in range(20):
        recorder.step(np.zeros(1, np.int32))
    with Store.open(folder / "store.sqlite") as store:
        [first] = store.add_replays([recorder.replay()])
        store.post_queries([QueryDraft("rating", (Clip((Segment(first, 0, LENGTH),)),), session="tiny")])
    return folder


@cache
def pull() -> Pull:
    return Pull.fresh(load_game("minatar/freeway", OPTIONS).spec, action=True)


class Learner:
    """The learner's end of the run's store."""

    def __init__(self, store: Store) -> None:
        game = load_game("minatar/freeway", OPTIONS)
        self.store, self.spec = store, game.spec
        self.reader = ClipReader(game, store.replay)
        self.labels = LabelReader(store, "tiny", FreeStanding(store, game.spec, "tiny", LENGTH, self.reader.read))
        self.lessons = LessonReader(store, game.spec)
        self.pull = pull()

    def push(self, kind: str) -> tuple[Label, float]:
        """The first label of a kind, and how fast what it calls good (better: less what it is better than) grows as its loss falls."""
        self.labels.poll()
        label = next(label for label in self.labels.labels if label.source == kind)
        data = AnswerDataset(self.reader, self.pull.ensemble, LENGTH, 2, 0, 0.0, bootstrap=False)
        data.update([label])
        return label, self.pull.push(self.reader, data.rows(), *label.clips)


@pytest.fixture
def played(run: Path, show: Callable[..., App]) -> Iterator[tuple[App, PlayView]]:
    view = start.play_for(find_target(str(run)), Person("ann", Keymap()))
    assert isinstance(view, PlayView)
    app = show(view, time.monotonic)
    until(app, lambda: view.session.phase == "ready")
    yield app, view
    app.close()


def play(app: App, view: PlayView, grade: int) -> None:
    """Up for a dozen decisions, then a stop and a grade."""
    kept = view.session.kept
    until(app, lambda: view.session.phase == "ready")
    press(app, pygame.K_UP, up=False)
    until(app, lambda: view.session.decisions >= 12)
    press(app, pygame.K_r, text="r")
    assert view.session.phase == "over"
    time.sleep(0.5)  # a digit in the heat of the last moment would not count
    press(app, pygame.K_0 + grade, text=str(grade))
    until(app, lambda: view.session.kept > kept)


def test_what_is_played_for_a_run_teaches_it(run: Path, played: tuple[App, PlayView]) -> None:
    signs = {}
    for grade in (5, 1):
        play(*played, grade)
        with Store.open(run) as store:
            [rating] = store.answers(kinds=("rating",)).answers
            assert (rating.value, rating.annotator) == (Rating(grade), "ann")
            assert rating.replay_id is not None
            label, signs[grade] = Learner(store).push("rating")
            assert {segment.replay_id for segment in label.clips[0].segments} == {rating.replay_id}
            assert label.clips[0].length == LENGTH < store.replay(rating.replay_id).length
            store.retract(rating.id, "ann")
    assert signs[5] > 1e-6
    assert signs[1] < -1e-6
    with Store.open(run) as store:
        learner = Learner(store)
        shown = store.answers(kinds=("demonstration",)).answers
        assert [answer.value for answer in shown] == [Demonstration(store.replay(answer.replay_id or "").length) for answer in shown]
        assert learner.lessons.poll()
        assert [lesson.answer_id for lesson in learner.lessons.lessons] == [answer.id for answer in shown]
        label, sign = learner.push("demonstration")
        assert sign > 1e-6
        assert label.clips[0] == Clip((Segment(shown[0].replay_id or "", 0, LENGTH),))
        assert learner.labels.answered == store.progress().answered == 0, "nobody asked for it: no budget is used up"


def test_the_run_is_in_sight_while_one_plays_for_it(played: tuple[App, PlayView]) -> None:
    app, view = played
    until(app, lambda: view.run_words != "")
    assert view.run_words == "0 answered · 1 open · 0/min"
    assert view._run == "tiny"


def test_what_is_no_run_of_a_game_is_refused(tmp_path: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store.open(tmp_path / "store.sqlite").close()
    with pytest.raises(UserError, match="no run of a known game"):
        start.play_for(find_target(str(tmp_path)), Person("ann", Keymap()))
    assert main(["play", str(run), "--store", "x.sqlite", "--annotator", "ann"]) == 2
    assert "goes to the run" in capsys.readouterr().err
