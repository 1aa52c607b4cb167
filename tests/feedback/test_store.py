from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Callable

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Advice, Demonstration, Evaluation, Preference, Question, Ranking, Rating, Takeover
from rlhf_games.feedback.export import exported
from rlhf_games.feedback.store import AnswerDraft, QueryDraft, Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.replay import Replay

from .conftest import Clock, draft, make_replay

Ask = Callable[..., list[int]]


def test_replays_come_back_as_they_were(store: Store) -> None:
    replays = [make_replay(seed) for seed in range(3)]
    ids = store.add_replays([*replays, replays[0]])
    assert ids == [replay.id for replay in (*replays, replays[0])]
    assert [store.replay(replay_id) for replay_id in ids[:3]] == replays
    assert sorted(store.replay_ids("probe/none")) == sorted(ids[:3])
    assert store.replay_ids("probe/other") == []
    with pytest.raises(UserError, match="no replay 'xyz'"):
        store.replay("xyz")


def test_a_query_comes_back_as_it_was_posted(store: Store, clock: Clock) -> None:
    (replay_id,) = store.add_replays([make_replay(0)])
    clips = tuple(Clip((Segment(replay_id, start, 20), Segment(replay_id, 50, 5))) for start in (0, 30, 60))
    posted = QueryDraft(
        "ranking",
        clips,
        strategy="disagreement",
        acquisition=0.25,
        session="s",
        iteration=3,
        policy_version="p7",
        reward_version="r2",
        control=True,
        wanted=2,
        display=(2, 0, 1),
        recent_return=-4.5,
        recent_length=80.0,
        key="k",
    )
    (query_id,) = store.post_queries([posted])
    (query,) = store.queries([query_id])
    for name in ("kind", "clips", "strategy", "acquisition", "session", "iteration", "policy_version", "reward_version"):
        assert getattr(query, name) == getattr(posted, name), name
    assert (query.control, query.wanted, query.display, query.key) == (True, 2, (2, 0, 1), "k")
    assert (query.recent_return, query.recent_length, query.posted_at) == (-4.5, 80.0, clock.now)
    assert query.shown == (clips[2], clips[0], clips[1])


def test_display_order_is_drawn_evenly_and_repeats_with_the_generator(store: Store, ask: Ask) -> None:
    once, again = ask(400, np.random.default_rng(5)), ask(400, np.random.default_rng(5))
    orders = [query.display for query in store.queries(once)]
    assert orders == [query.display for query in store.queries(again)]
    swapped = sum(order == (1, 0) for order in orders)
    assert 140 < swapped < 260  # six standard deviations of a fair coin


def test_a_query_about_something_nobody_can_be_shown_is_refused(store: Store) -> None:
    (known,) = store.add_replays([make_replay(0, 50)])
    good = Clip((Segment(known, 0, 25),))
    with pytest.raises(UserError, match="query 0, clip 1: replay 'missing' is not in the store"):
        store.post_queries([QueryDraft("preference", (good, Clip((Segment("missing", 0, 25),))))])
    with pytest.raises(UserError, match="which has 50 steps"):
        store.post_queries([QueryDraft("preference", (good, Clip((Segment(known, 26, 25),))))])
    with pytest.raises(UserError, match="which has 50 steps"):
        store.post_queries([QueryDraft("advice", replay_id=known, step=51)])
    assert store.query_ids() == []


def test_a_key_names_one_query(store: Store) -> None:
    (replay_id,) = store.add_replays([make_replay(0)])
    clips = [Clip((Segment(replay_id, start, 10),)) for start in range(6)]
    first = store.post_queries([QueryDraft("preference", (clips[0], clips[1]), key="a")])
    again = store.post_queries(
        [QueryDraft("preference", (clips[0], clips[1]), key="a"), QueryDraft("preference", (clips[2], clips[3]), key="b")]
    )
    assert again[0] == first[0]
    assert store.query_ids() == again
    with pytest.raises(UserError, match="key 'a' was used for another question"):
        store.post_queries([QueryDraft("preference", (clips[4], clips[5]), key="a")])


def test_leases_are_exclusive_until_they_run_out(store: Store, ask: Ask, clock: Clock) -> None:
    first, second = ask(2)
    query = store.lease("ann", seconds=10)
    assert query is not None
    assert query.id == first
    other = store.lease("bob", seconds=20)
    assert other is not None
    assert other.id == second
    assert store.lease("eve") is None
    assert store.lease("ann") is None
    clock.now += 10
    again = store.lease("eve", seconds=5)
    assert again is not None
    assert again.id == first
    assert store.renew("ann", [first], 60) == []
    assert store.renew("bob", [second], 60) == [second]
    clock.now += 30
    late = store.lease("ann")
    assert late is not None
    assert late.id == first, "bob renewed, eve did not"


def test_released_and_withdrawn_queries(store: Store, ask: Ask) -> None:
    ids = ask(3)
    assert [query.id for query in store.lease_many("ann", 5)] == ids
    store.release("ann", [ids[1]])
    query = store.lease("bob")
    assert query is not None
    assert query.id == ids[1]
    store.release("bob", [ids[0]])
    assert store.lease("bob") is None, "bob cannot give back what ann holds"
    store.release("ann")
    assert store.withdraw([ids[0]]) == 1
    assert store.withdraw([ids[0]]) == 0
    query = store.lease("bob")
    assert query is not None
    assert query.id == ids[2]
    assert store.query_ids(still_wanted=True) == ids[1:]
    assert store.answer(ids[0], "ann", Preference("left"), 1, 2, "late") > 0, "an answer on its way is not thrown away"


def test_a_withdrawn_question_is_asked_again_under_its_key(store: Store) -> None:
    (replay,) = store.add_replays([make_replay(0)])
    first, second = (QueryDraft("rating", (Clip((Segment(replay, start, 5),)),), key=f"k{start}") for start in (0, 10))
    ids = store.post_queries([first, second])
    assert store.withdraw(ids) == 2
    assert store.post_queries([second]) == ids[1:]
    assert store.query_ids(still_wanted=True) == ids[1:]
    known = store.queries_of_keys(["k10", "k0", "k20"])
    assert {key: query.id for key, query in known.items()} == {"k0": ids[0], "k10": ids[1]}
    assert known["k0"].asks(first)
    assert not known["k0"].asks(second)


def test_leases_by_kind_and_by_id(store: Store, ask: Ask) -> None:
    ids = ask(3)
    (replay_id,) = store.add_replays([make_replay(9)])
    (rating,) = store.post_queries([QueryDraft("rating", (Clip((Segment(replay_id, 0, 10),)),))])
    query = store.lease("ann", kinds=["rating", "ranking"])
    assert query is not None
    assert query.id == rating
    query = store.lease("ann", only=[ids[2]])
    assert query is not None
    assert query.id == ids[2]
    assert store.lease("ann", only=[ids[2]]) is None
    assert store.query_ids(kind="rating") == [rating]


def test_several_annotators_on_one_query(store: Store, ask: Ask) -> None:
    (query_id,) = ask(1, wanted=2)
    for name in ("ann", "bob"):
        query = store.lease(name)
        assert query is not None
        store.post_answers([draft(query_id, annotator=name)])
        assert store.lease(name) is None
    assert store.lease("eve") is None
    assert [answer.annotator for answer in store.answers().answers] == ["ann", "bob"]


def test_answers_are_idempotent_by_uuid(store: Store, ask: Ask) -> None:
    first, second = ask(2)
    answer_id = store.answer(first, "ann", Preference("left", 2), 1.0, 2.5, "u1")
    assert store.answer(first, "ann", Preference("left", 2), 1.0, 2.5, "u1") == answer_id
    mixed = store.post_answers([AnswerDraft("ann", Preference("left", 2), 1.0, 2.5, "u1", query_id=first), draft(second)])
    assert mixed == [answer_id, answer_id + 1]
    with pytest.raises(UserError, match="uuid u1 was used for another answer"):
        store.answer(first, "ann", Preference("right"), 1.0, 2.5, "u1")
    with pytest.raises(UserError, match="ann has answered query"):
        store.post_answers([draft(first)])
    stored = store.answers().answers
    assert [(answer.uuid, answer.shown_at, answer.answered_at) for answer in stored][:1] == [("u1", 1.0, 2.5)]
    assert len(stored) == 2


def test_a_batch_of_answers_is_stored_whole_or_not_at_all(store: Store, ask: Ask) -> None:
    first, second = ask(2)
    for bad, message in [
        (draft(999), "no query 999"),
        (draft(second, Rating(3)), "asks for a preference, not for a rating"),
        (draft(first), "has answered"),
    ]:
        with pytest.raises(UserError, match=message):
            store.post_answers([draft(first), bad])
        assert store.answers().answers == ()
        assert store.query_ids(still_wanted=True) == [first, second]


def test_an_answer_keeps_the_order_it_was_shown_in(store: Store, ask: Ask) -> None:
    ids = ask(20)
    store.post_answers([draft(query_id) for query_id in ids])
    orders = {query.id: query.display for query in store.queries(ids)}
    assert {answer.query_id: answer.display for answer in store.answers().answers} == orders


def test_retraction_takes_an_answer_out_and_asks_again(store: Store, ask: Ask) -> None:
    ids = ask(3)
    posted = store.post_answers([draft(query_id) for query_id in ids])
    page = store.answers()
    assert [answer.id for answer in page.answers] == posted
    store.retract(posted[1], "ann")
    store.retract(posted[1], "ann")
    after = store.answers(page.cursor)
    assert (after.answers, after.retracted) == ((), (posted[1],))
    assert [answer.id for answer in store.answers().answers] == [posted[0], posted[2]]
    assert store.answers().retracted == ()
    query = store.lease("ann")
    assert query is not None
    assert query.id == ids[1]
    (again,) = store.post_answers([draft(ids[1], Preference("right"))])
    page = store.answers(after.cursor)
    assert [answer.id for answer in page.answers] == [again]
    assert store.lease("ann") is None
    with pytest.raises(UserError, match="ann's"):
        store.retract(again, "bob")
    with pytest.raises(UserError, match="no answer 12345"):
        store.retract(12345, "ann")
    history = store.history()
    assert [answer.id for answer, _ in history] == [*posted, again]
    assert [taken_back is not None for _, taken_back in history] == [False, True, False, False]


def test_undo_reaches_across_sessions_and_stays_with_its_annotator(target: str) -> None:
    with Store.open(target) as store:
        from .conftest import asker

        ids = asker(store)(4)
        mine = store.post_answers([draft(query_id) for query_id in ids[:3]])
        store.post_answers([draft(ids[3], annotator="bob")])
    for expected in reversed(mine):
        with Store.open(target, create=False) as store:
            undone = store.undo_last("ann")
            assert undone is not None
            assert undone.id == expected
            query = store.lease("ann", only=[undone.query_id or 0])
            assert query is not None, "what was taken back can be looked at again at once"
            store.release("ann")
    with Store.open(target, create=False) as store:
        assert store.undo_last("ann") is None
        assert [answer.annotator for answer in store.answers().answers] == ["bob"]


def test_undo_of_some_kinds_leaves_others(store: Store, ask: Ask) -> None:
    (query_id,) = ask(1)
    (judged,) = store.post_answers([draft(query_id)])
    store.post_answers([AnswerDraft("ann", Evaluation(1.0), 1, 2, "live", episode="e", step=0)])
    undone = store.undo_last("ann", kinds=["preference"])
    assert undone is not None
    assert (undone.id, undone.value) == (judged, Preference("left"))
    assert store.undo_last("ann", kinds=["preference"]) is None
    assert [answer.kind for answer in store.answers().answers] == ["evaluation"]


def test_the_cursor_sees_everything_once(store: Store, ask: Ask) -> None:
    ids = ask(60)
    rng = np.random.default_rng(0)
    seen: set[int] = set()
    standing: set[int] = set()
    cursor = 0
    for query_id in ids:
        standing |= set(store.post_answers([draft(query_id)]))
        if rng.random() < 0.3:
            undone = store.undo_last("ann")
            standing -= {undone.id} if undone else set()
        if rng.random() < 0.4:
            page = store.answers(cursor)
            assert not seen & {answer.id for answer in page.answers}
            assert set(page.retracted) <= seen
            seen = (seen | {answer.id for answer in page.answers}) - set(page.retracted)
            assert seen == standing
            cursor = page.cursor
    assert store.answers(store.answers().cursor).answers == ()
    with pytest.raises(UserError, match="ahead of the store"):
        store.answers(10**6)


def test_every_kind_of_answer_has_its_place(store: Store, ask: Ask) -> None:
    (replay_id,) = store.add_replays([make_replay(3)])
    clips = tuple(Clip((Segment(replay_id, start, 10),)) for start in (0, 20, 40))
    ranking, rating, advice = store.post_queries(
        [QueryDraft("ranking", clips), QueryDraft("rating", clips[:1]), QueryDraft("advice", replay_id=replay_id, step=7)]
    )
    asked = [(ranking, Ranking((0, 1, 1))), (rating, Rating(4)), (advice, Advice(2))]
    free = [Demonstration(30), Takeover(5, instead=replay_id), Advice((0.5, -0.5)), Question("what-if", 3)]
    store.post_answers(
        [draft(query_id, value) for query_id, value in asked]
        + [AnswerDraft("ann", value, 1, 2, str(uuid.uuid4()), replay_id=replay_id, step=4) for value in free]
        + [AnswerDraft("ann", Evaluation(-1.0), 1, 2, "live", episode="e1", step=9)]
    )
    stored = store.answers().answers
    assert [answer.value for answer in stored] == [value for _, value in asked] + free + [Evaluation(-1.0)]
    assert [answer.replay_id for answer in stored[3:]] == [replay_id] * 4 + [None]
    store.link_episode("e1", replay_id)
    (live,) = store.answers(kinds=["evaluation"]).answers
    assert (live.episode, live.replay_id, live.step) == ("e1", replay_id, 9)
    (other,) = store.add_replays([make_replay(4)])
    store.link_episode("e1", replay_id)
    with pytest.raises(UserError, match="linked to replay"):
        store.link_episode("e1", other)
    with pytest.raises(UserError, match="shows 3 clips"):
        store.post_answers([draft(ranking, Ranking((0, 1)), annotator="bob")])


def test_an_episode_grows_under_its_answers(store: Store) -> None:
    whole = make_replay(3, 90)
    parts = [cut(whole, 20), cut(whole, 50)]
    store.post_answers([AnswerDraft("ann", Evaluation(1.0), 1, 2, "live", episode="e1", step=9)])
    seen = []
    for replay in (*parts, parts[0], whole, parts[1]):
        store.grow_episode("e1", replay)
        (live,) = store.answers(kinds=["evaluation"]).answers
        seen.append(live.replay_id)
    assert seen == [parts[0].id, parts[1].id, parts[1].id, whole.id, whole.id]
    assert store.replay(parts[0].id) == parts[0], "an answer read earlier keeps what it was read with"
    for other in (make_replay(4, 120), cut(make_replay(3, 95), 95)):
        with pytest.raises(UserError, match="does not go on"):
            store.grow_episode("e1", other)
    (live,) = store.answers(kinds=["evaluation"]).answers
    assert live.replay_id == whole.id


def cut(replay: Replay, length: int) -> Replay:
    """The replay as it was while it was played."""
    return dataclasses.replace(
        replay, actions=replay.actions[:length], checksum=dataclasses.replace(replay.checksum, length=length), ended="unfinished"
    )


def test_progress_counts(store: Store, ask: Ask, clock: Clock) -> None:
    ids = ask(6)
    store.post_answers([draft(query_id) for query_id in ids[:2]])
    clock.now += 100
    store.post_answers([draft(ids[2])])
    store.undo_last("ann")
    store.post_answers([draft(ids[2], annotator="bob")])
    store.withdraw([ids[5]])
    store.lease("eve")
    progress = store.progress(window=30)
    assert (progress.answered, progress.open, progress.leased, progress.withdrawn, progress.retracted) == (3, 2, 1, 1, 1)
    assert progress.per_minute == 2.0
    store.register("eve", "teacher", {"beta": 1.0})
    found = {person.name: (person.kind, person.details, person.answers) for person in store.annotators()}
    assert found == {"ann": ("person", {}, 2), "bob": ("person", {}, 1), "eve": ("teacher", {"beta": 1.0}, 0)}


def test_annotators_and_unasked_answers_of_one_session(store: Store, ask: Ask) -> None:
    mine, theirs = ask(2, session="mine"), ask(2, session="theirs")
    (replay_id, *_) = store.replay_ids()
    store.post_answers([draft(mine[0]), draft(theirs[0]), draft(theirs[1]), draft(theirs[0], annotator="bob")])
    store.lease_many("eve", 1, only=[mine[1]])
    store.lease_many("fay", 1, only=[theirs[0]])
    for session, name in (("mine", "gus"), ("theirs", "hal"), (None, "ida")):
        store.session = session
        store.post_answers([AnswerDraft(name, Evaluation(1.0), 1.0, 2.0, name, replay_id=replay_id, step=3)])
    store.session = "theirs"
    assert store.undo_last("bob") is not None
    assert {person.name: person.answers for person in store.annotators()} == {"ann": 2, "bob": 0, "hal": 1, "ida": 1}
    assert {row["uuid"]: row["session"] for row in exported(store) if row["query_id"] is None} == {"hal": "theirs", "ida": None}
    assert {row["session"] for row in exported(store) if row["query_id"] is not None} == {"theirs"}
    store.session = "mine"
    assert {person.name: person.answers for person in store.annotators()} == {"ann": 1, "eve": 0, "gus": 1, "ida": 1}
    assert [answer.session for answer in store.answers().answers] == [None, "mine", None]


def test_more_rows_than_one_statement_takes(store: Store, ask: Ask) -> None:
    ids = ask(1_300)
    assert len(store.lease_many("ann", 2_000)) == 1_300
    store.post_answers([draft(query_id) for query_id in ids])
    assert [answer.query_id for answer in store.answers().answers] == ids
    assert store.query_ids(still_wanted=True) == []


@pytest.mark.parametrize("name", ["", " ann", "a\nb", "x" * 101])
def test_names_of_annotators_are_checked(sqlite_store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="annotator's name"):
        sqlite_store.lease(name)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"kind": "mood"}, "QueryDraft.kind"),
        ({"kind": "preference", "clips": ()}, "QueryDraft.clips"),
        ({"kind": "rating", "display": (1,)}, "QueryDraft.display"),
        ({"kind": "rating", "step": 3, "replay_id": "x"}, "QueryDraft.replay_id"),
        ({"kind": "rating", "wanted": 0}, "QueryDraft.wanted"),
        ({"kind": "rating", "iteration": -1}, "QueryDraft.iteration"),
        ({"kind": "rating", "acquisition": float("nan")}, "QueryDraft.acquisition"),
        ({"kind": "rating", "session": "a\0b"}, "QueryDraft.session"),
        ({"kind": "advice", "clips": (), "replay_id": "x", "step": 2**40}, "QueryDraft.step"),
    ],
)
def test_a_wrong_query_is_refused_by_the_name_of_its_field(fields: dict[str, object], message: str) -> None:
    clip = Clip((Segment("r", 0, 5),))
    with pytest.raises(ValueError, match=message):
        QueryDraft(**{"clips": (clip,), **fields})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": "left"}, "AnswerDraft.value"),
        ({"uuid": ""}, "AnswerDraft.uuid"),
        ({"shown_at": 3.0}, "AnswerDraft.shown_at"),
        ({"answered_at": float("inf")}, "AnswerDraft.shown_at"),
        ({"replay_id": "r"}, "exactly one of"),
        ({"query_id": None}, "exactly one of"),
        ({"step": 4}, "AnswerDraft.step"),
        ({"query_id": None, "episode": "e"}, "AnswerDraft.step"),
    ],
)
def test_a_wrong_answer_is_refused_by_the_name_of_its_field(fields: dict[str, object], message: str) -> None:
    good = {"annotator": "ann", "value": Preference("left"), "shown_at": 1.0, "answered_at": 2.0, "uuid": "u", "query_id": 1}
    with pytest.raises(ValueError, match=message):
        AnswerDraft(**(good | fields))  # type: ignore[arg-type]
