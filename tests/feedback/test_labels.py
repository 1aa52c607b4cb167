from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import AnswerValue, Choice, Preference, Ranking, Rating
from rlhf_games.feedback.labels import LabelReader, RankingLabel, asked_label, pair_labels, ties
from rlhf_games.feedback.store import Answer, Query, QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment

from .conftest import asker, draft, make_replay

Ask = Callable[..., list[int]]


@pytest.mark.parametrize("display", [(0, 1), (1, 0)])
@pytest.mark.parametrize("choice", ["left", "right", "equal", "unsure"])
def test_a_label_names_the_clip_that_was_meant_whichever_side_it_was_on(
    store: Store, ask: Ask, display: tuple[int, int], choice: Choice
) -> None:
    (query_id,) = ask(1, display=display, control=display == (1, 0))
    query = store.lease("ann")
    assert query is not None
    meant = {"left": query.shown[0], "right": query.shown[1]}.get(choice)
    strength = 2 if meant else 1
    (answer_id,) = store.post_answers([draft(query_id, Preference(choice, strength))])
    labels = pair_labels(store.answers().answers, {query_id: query})
    if choice == "unsure":
        assert labels == []
        return
    (label,) = labels
    assert (label.query_id, label.answer_id, label.annotator, label.strength) == (query_id, answer_id, "ann", strength)
    assert (label.first, label.second) == query.clips
    assert label.control == (display == (1, 0))
    better = {"first": label.first, "second": label.second, "tie": None}[label.kind]
    assert better == meant


def test_annotators_give_a_label_each_and_retractions_take_theirs_out(store: Store, ask: Ask) -> None:
    first, second = ask(2, display=(0, 1), wanted=2)
    reader = LabelReader(store)
    assert not reader.poll()
    store.post_answers(
        [draft(first, Preference("left"), "ann"), draft(first, Preference("right"), "bob"), draft(second, Preference("unsure"))]
    )
    assert reader.poll()
    assert [(label.annotator, label.kind) for label in reader.labels] == [("ann", "first"), ("bob", "second")]
    assert reader.answered == 3
    assert not reader.poll()
    store.undo_last("bob")
    assert reader.poll()
    assert [label.annotator for label in reader.labels] == ["ann"]
    store.undo_last("ann")  # the "can't tell": no label changes, the count does
    assert reader.poll()
    assert (len(reader.labels), reader.answered) == (1, 1)
    store.post_answers([draft(first, Preference("equal"), "bob")])
    store.undo_last("bob")
    assert not reader.poll(), "given and taken back between two looks"
    fresh = LabelReader(store)
    assert fresh.poll()
    assert fresh.labels == reader.labels


def test_a_reader_that_follows_agrees_with_one_that_comes_late(sqlite_store: Store) -> None:
    rng = np.random.default_rng(3)
    ids = asker(sqlite_store)(80, rng)
    reader = LabelReader(sqlite_store)
    choices: list[Choice] = ["left", "right", "equal", "unsure"]
    for query_id in ids:
        sqlite_store.post_answers([draft(query_id, Preference(choices[rng.integers(4)]))])
        if rng.random() < 0.3:
            sqlite_store.undo_last("ann")
        if rng.random() < 0.3:
            reader.poll()
    reader.poll()
    fresh = LabelReader(sqlite_store)
    fresh.poll()
    assert reader.labels == fresh.labels
    assert reader.answered == fresh.answered == len(sqlite_store.answers().answers)


def test_labels_of_one_session(sqlite_store: Store) -> None:
    ask = asker(sqlite_store)
    (mine,), (other,) = ask(1, session="a"), ask(1, session="b")
    sqlite_store.post_answers([draft(mine), draft(other)])
    reader = LabelReader(sqlite_store, session="a")
    assert reader.poll()
    assert [label.query_id for label in reader.labels] == [mine]


def test_answers_count_while_their_question_does(sqlite_store: Store) -> None:
    """As where a run goes back, and asks the same again later."""
    early, late = asker(sqlite_store)(2, session="a")
    asked = {early}
    reader = LabelReader(sqlite_store, session="a", asked=asked)
    sqlite_store.post_answers([draft(late), draft(early)])
    assert reader.poll()
    assert ([label.query_id for label in reader.labels], reader.answered) == ([early], 1)
    asked.add(late)
    assert ([label.query_id for label in reader.labels], reader.answered) == ([late, early], 2), "in the order of the answers"
    sqlite_store.retract(sqlite_store.answers().answers[0].id, "ann")
    assert reader.poll()
    assert ([label.query_id for label in reader.labels], reader.answered) == ([early], 1)


def damaged(query: Query, value: AnswerValue, display: tuple[int, ...] | None = None) -> Answer:
    return Answer(1, "u", query.id, "ann", value, query.display if display is None else display, None, None, None, 1.0, 2.0, 3.0)


def test_answers_that_do_not_fit_their_question_are_refused(sqlite_store: Store) -> None:
    (replay,) = sqlite_store.add_replays([make_replay(0)])
    clips = tuple(Clip((Segment(replay, start, 5),)) for start in (0, 10, 20))
    ids = sqlite_store.post_queries([QueryDraft("ranking", clips), QueryDraft("rating", clips[:1])])
    ranking, rating = sqlite_store.queries(ids)
    for answer, query in (
        (damaged(ranking, Ranking((0, 1))), ranking),
        (damaged(ranking, Rating(3)), ranking),
        (damaged(ranking, Ranking((0, 1, 2)), (0, 1)), ranking),
        (damaged(rating, Ranking((0, 1))), rating),
    ):
        with pytest.raises(UserError, match="the store is damaged"):
            asked_label(answer, query)
    assert asked_label(damaged(rating, Rating(None)), rating) is None
    label = asked_label(damaged(ranking, Ranking((2, 0, 1)), (1, 2, 0)), ranking)
    assert isinstance(label, RankingLabel)
    # places 0, 1, 2 showed clips 1, 2, 0
    assert label.ranks == (1, 2, 0)
    assert ties(label) == [False] * 3
