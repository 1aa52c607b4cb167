"""What people show becomes lessons: the right steps, seats and actions; nothing of other games, nothing that was taken back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete, Observation
from rlhf_games.feedback.answers import Advice, AnswerValue, Demonstration, Evaluation, Takeover
from rlhf_games.feedback.lessons import LessonReader
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment

from .conftest import draft, make_replay

SPEC = GameSpec("probe/none", "1", 1, Observation((3,), "float32", "vector"), Discrete(("a", "b", "c", "d")), 10.0, False, "Made up.")


@pytest.fixture
def world(sqlite_store: Store) -> tuple[Store, LessonReader, str]:
    (replay_id,) = sqlite_store.add_replays([make_replay(3)])
    return sqlite_store, LessonReader(sqlite_store, SPEC), replay_id


def say(store: Store, value: AnswerValue, **about: Any) -> int:
    store.post_answers([AnswerDraft("ann", value, 1.0, 2.0, str(uuid.uuid4()), **about)])
    return store.answers().answers[-1].id


def test_each_kind_shows_its_steps(world: tuple[Store, LessonReader, str]) -> None:
    store, reader, replay_id = world
    assert not reader.poll()
    say(store, Advice(2), replay_id=replay_id, step=7)
    say(store, Takeover(5), replay_id=replay_id, step=20)
    say(store, Demonstration(400), replay_id=replay_id, step=90)
    say(store, Evaluation(1.0), replay_id=replay_id, step=3)
    assert reader.poll()
    assert [(lesson.clip, lesson.action) for lesson in reader.lessons] == [
        (Clip((Segment(replay_id, 7, 1),)), 2),
        (Clip((Segment(replay_id, 20, 5),)), None),
        (Clip((Segment(replay_id, 90, 10),)), None),  # no further than the replay goes
    ]
    assert not reader.poll()


def test_advice_that_was_asked_for(world: tuple[Store, LessonReader, str]) -> None:
    store, reader, replay_id = world
    first, second = store.post_queries([QueryDraft("advice", replay_id=replay_id, step=step) for step in (11, 12)])
    store.post_answers([draft(first, Advice(1)), draft(second, Advice(None))])
    reader.poll()
    assert [(lesson.clip.segments[0].start, lesson.action) for lesson in reader.lessons] == [(11, 1)], "can't tell teaches nothing"


def test_what_was_taken_back_is_forgotten(world: tuple[Store, LessonReader, str]) -> None:
    store, reader, replay_id = world
    say(store, Advice(2), replay_id=replay_id, step=7)
    wrong = say(store, Advice(3), replay_id=replay_id, step=8)
    reader.poll()
    store.retract(wrong, "ann")
    assert reader.poll()
    assert [lesson.action for lesson in reader.lessons] == [2]


def test_answers_about_an_episode_wait_for_its_replay(world: tuple[Store, LessonReader, str]) -> None:
    store, reader, replay_id = world
    say(store, Takeover(4), episode="live", step=2)
    say(store, Advice(1), replay_id=replay_id, step=0)
    reader.poll()
    assert [lesson.action for lesson in reader.lessons] == [1]
    store.link_episode("live", replay_id)
    assert reader.poll()
    assert [lesson.clip.segments[0].start for lesson in reader.lessons] == [2, 0], "in the order of the answers"


@pytest.mark.parametrize(
    ("value", "step"),
    [(Advice(4), 0), (Advice((0.5,)), 0), (Advice(1, seat=1), 0), (Takeover(3), 100)],
    ids=["no such action", "another kind of action", "no such seat", "past the end"],
)
def test_what_cannot_be_teaches_nothing(world: tuple[Store, LessonReader, str], value: AnswerValue, step: int) -> None:
    store, reader, replay_id = world
    say(store, value, replay_id=replay_id, step=step)
    reader.poll()
    assert reader.lessons == ()


def test_other_games_say_nothing(sqlite_store: Store) -> None:
    (replay_id,) = sqlite_store.add_replays([make_replay(3)])
    reader = LessonReader(sqlite_store, GameSpec(**(vars(SPEC) | {"version": "2"})))
    say(sqlite_store, Advice(1), replay_id=replay_id, step=0)
    reader.poll()
    assert reader.lessons == ()
