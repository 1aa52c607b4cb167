"""What was answered in one store is said again in another, about what is shown there."""

from __future__ import annotations

import dataclasses
import itertools
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Advice, AnswerValue, Preference, Ranking, Rating
from rlhf_games.feedback.recorded import RecordedTeacher
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment

from .conftest import make_replay


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "first.sqlite") as store:
        yield store


@pytest.fixture
def second(tmp_path: Path) -> Iterator[Store]:
    with Store.open(tmp_path / "second.sqlite") as store:
        yield store


def clips(store: Store, starts: tuple[int, ...], policy: str = "p1") -> tuple[Clip, ...]:
    """Clips of the same episode, recorded under a policy's name of the store's own."""
    replay = dataclasses.replace(make_replay(0), policy=policy)
    store.add_replays([replay])
    return tuple(Clip((Segment(replay.id, start, 10),)) for start in starts)


def say(store: Store, query: int, value: AnswerValue, who: str = "ann") -> int:
    return store.post_answers([AnswerDraft(who, value, 10.0, 12.5, uuid.uuid4().hex, query_id=query)])[0]


def teach(second: Store, first: Store) -> RecordedTeacher:
    teacher = RecordedTeacher(second, first.name)
    while teacher.answer_pending(2):
        pass
    return teacher


@pytest.mark.parametrize("then", [(0, 1), (1, 0)])
@pytest.mark.parametrize("now", [(0, 1), (1, 0)])
@pytest.mark.parametrize("value", [Preference("left", 2), Preference("right"), Preference("equal"), Preference("unsure")])
def test_the_same_clip_is_better_on_whichever_side(
    first: Store, second: Store, then: tuple[int, int], now: tuple[int, int], value: Preference
) -> None:
    [query] = first.post_queries([QueryDraft("preference", clips(first, (0, 40)), display=then)])
    say(first, query, value)
    second.post_queries([QueryDraft("preference", clips(second, (0, 40), "p7"), display=now)])
    assert teach(second, first).matched == 1
    [answer] = second.answers().answers
    assert isinstance(answer.value, Preference)
    assert answer.value.strength == value.strength
    if value.choice in ("left", "right"):
        assert now[("left", "right").index(answer.value.choice)] == then[("left", "right").index(value.choice)]
    else:
        assert answer.value == value
    assert (answer.annotator, answer.shown_at, answer.answered_at) == ("recorded:ann", 10.0, 12.5)
    [annotator] = second.annotators()
    assert annotator.kind == "recorded"


@pytest.mark.parametrize("now", list(itertools.permutations(range(3))))
def test_rankings_follow_their_clips(first: Store, second: Store, now: tuple[int, ...]) -> None:
    [query] = first.post_queries([QueryDraft("ranking", clips(first, (0, 20, 40)), display=(2, 0, 1))])
    say(first, query, Ranking((0, 1, 1)))
    second.post_queries([QueryDraft("ranking", clips(second, (0, 20, 40), "p7"), display=now)])
    teach(second, first)
    [answer] = second.answers().answers
    assert isinstance(answer.value, Ranking)
    assert {clip: answer.value.ranks[place] for place, clip in enumerate(now)} == {2: 0, 0: 1, 1: 1}


def test_ratings_and_advice_too(first: Store, second: Store) -> None:
    for store, policy in ((first, "p1"), (second, "p7")):
        [clip] = clips(store, (30,), policy)
        rated, asked = store.post_queries(
            [QueryDraft("rating", (clip,)), QueryDraft("advice", replay_id=clip.segments[0].replay_id, step=12)]
        )
        if store is first:
            say(store, rated, Rating(4))
            say(store, asked, Advice(2))
    assert teach(second, first).matched == 2
    assert [answer.value for answer in second.answers().answers] == [Rating(4), Advice(2)]


def test_what_was_not_answered_there_stays_open(first: Store, second: Store) -> None:
    pair = clips(first, (0, 40))
    asked, taken_back = first.post_queries([QueryDraft("preference", pair), QueryDraft("preference", clips(first, (10, 50)))])
    say(first, asked, Preference("left"))
    first.retract(say(first, taken_back, Preference("left")), "ann")
    known, *unknown = second.post_queries(
        [QueryDraft("preference", clips(second, starts)) for starts in ((0, 40), (10, 50), (0, 41))]
        + [QueryDraft("rating", clips(second, (0,)))]
    )
    teacher = teach(second, first)
    assert (teacher.matched, teacher.unmatched) == (1, 3)
    assert [answer.query_id for answer in second.answers().answers] == [known]
    assert second.query_ids(still_wanted=True) == unknown
    again = teach(second, first)
    assert (again.matched, again.unmatched) == (1, 3), "also after a restart"
    assert len(second.history()) == 1
    assert second.lease("bob") is not None, "people may answer them"


def test_several_people_answered(first: Store, second: Store) -> None:
    [query] = first.post_queries([QueryDraft("preference", clips(first, (0, 40)), wanted=2, display=(0, 1))])
    say(first, query, Preference("left"))
    say(first, query, Preference("right"), "bob")
    second.post_queries([QueryDraft("preference", clips(second, (0, 40)), wanted=2, display=(0, 1))])
    assert teach(second, first).matched == 1
    said = [(answer.annotator, answer.value) for answer in second.answers().answers]
    assert said == [("recorded:ann", Preference("left")), ("recorded:bob", Preference("right"))]


def test_said_again_after_a_crash_it_is_stored_once(first: Store, second: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    [query] = first.post_queries([QueryDraft("preference", clips(first, (0, 40)))])
    say(first, query, Preference("left"))
    second.post_queries([QueryDraft("preference", clips(second, (0, 40)), wanted=2)])
    for _ in range(2):
        teach(second, first)
    assert len(second.history()) == 1


def test_a_store_that_is_not_there(second: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        RecordedTeacher(second, tmp_path / "nowhere")
