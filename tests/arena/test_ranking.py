"""What happens while a person ranks clips, and how the view takes it from keys and the mouse."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pygame
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.arena.app import App
from rlhf_games.arena.held import Asked
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.rank_view import COMMANDS, RankView, best_grid, card_rect, clip_room, order_words
from rlhf_games.arena.ranking import Order, RankSession
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Ranking
from rlhf_games.feedback.store import QueryDraft, Store

from .conftest import Films, Inline, Time, fits, place, press, pump, values
from .storms import KEYS, Erratic, assert_answered_once, record_posts, storm

Ranked = Callable[..., tuple[App, RankView]]


@pytest.fixture
def questions(store: Store, clips: Any) -> Callable[..., list[int]]:
    """Posts ranking queries of so many clips each, shown in canonical order or in the one given."""

    def post(*sizes: int, display: tuple[int, ...] | None = None) -> list[int]:
        drafts, found = [], clips(sum(sizes))
        for size in sizes:
            chosen, found = tuple(found[:size]), found[size:]
            drafts.append(QueryDraft("ranking", chosen, display=display or tuple(range(size))))
        return store.post_queries(drafts)

    return post


@pytest.fixture
def rank(store: Store, films: Films, clock: Time) -> Callable[[], RankSession]:
    return lambda: RankSession(store, films, "ann", Inline(), clock, clock)


@pytest.fixture
def ranking(rank: Any, show: Any, clock: Time) -> Ranked:
    def make(**more: Any) -> tuple[App, RankView]:
        view = RankView(rank(), Keymap(), aim=lambda name: ("Line", "Go right."), now=clock, **more)
        app = show(view, clock)
        pump(app, 2)
        return app, view

    return make


def drag(app: App, source: str, target: str) -> None:
    begin = place(app, source)
    app.take(pygame.Event(pygame.MOUSEBUTTONDOWN, pos=begin, button=1))
    app.take(pygame.Event(pygame.MOUSEMOTION, pos=(begin[0] + 30, begin[1]), buttons=(1, 0, 0)))
    app.frame()
    app.take(pygame.Event(pygame.MOUSEMOTION, pos=place(app, target), buttons=(1, 0, 0)))
    app.frame()
    app.take(pygame.Event(pygame.MOUSEBUTTONUP, pos=place(app, target), button=1))
    pump(app, 2)


def test_an_order_by_hand() -> None:
    order = Order(4).append(2).append(0).append(3, tie=True)
    assert order.groups == ((2,), (0, 3))
    assert order.ranks == (1, 2, 0, 1), "the clip that was not named shares the place after the last with nobody else"
    assert (order.rank(1), order.rank(3)) == (None, 1)
    assert order.insert(3, 0).groups == ((3,), (2,), (0,))
    assert order.insert(2, 2).groups == ((0, 3), (2,))
    assert order.join(2, 3).groups == ((0, 3, 2),)
    assert order.join(1, 2).groups == ((2, 1), (0, 3))
    assert Order(3).join(0, 2).groups == ((2, 0),), "neither had a rank"
    assert Order(2).append(1, tie=True).groups == ((1,),), "there is nothing before the first"
    assert order_words((1, 0, 1)) == "2 > 1 = 3"


@given(clips=st.integers(2, 9), moves=st.lists(st.tuples(st.sampled_from("aijt"), st.integers(0, 8), st.integers(0, 9)), max_size=30))
def test_every_order_is_a_valid_answer(clips: int, moves: list[tuple[str, int, int]]) -> None:
    order = Order(clips)
    for move, clip, other in moves:
        if clip >= clips:
            continue
        if move in "at" and clip not in order.placed:
            order = order.append(clip, tie=move == "t")
        elif move == "i":
            order = order.insert(clip, min(other, len(order.groups)))
        elif move == "j" and other < clips:
            order = order.join(clip, other)
        assert all(order.groups)
        named = [clip for group in order.groups for clip in group]
        assert len(named) == len(set(named))
        answer = Ranking(order.ranks)
        assert len(answer.ranks) == clips
        assert order.complete == (len(named) == clips)


def test_the_last_digit_stores(rank: Any, questions: Any, store: Store, clock: Time) -> None:
    [query, other] = questions(3, 4)
    session = rank()
    session.tick()
    assert session.place(1)
    assert not session.place(1), "a clip has one rank"
    assert session.place(2, tie=True)
    assert values(store) == []
    clock.now += 2.0
    assert session.place(0)
    [answer] = store.answers().answers
    assert (answer.value, answer.query_id, answer.shown_at, answer.answered_at) == (Ranking((1, 0, 0)), query, 1000.0, 1002.0)
    session.tick()
    assert session.current is not None
    assert (session.current.query.id, session.order) == (other, Order(4))
    session.place(3)
    assert session.confirm(), "the rest share the last place"
    assert values(store)[-1] == Ranking((1, 1, 1, 0))


def test_back_takes_steps_back_and_then_answers(rank: Any, questions: Any, store: Store) -> None:
    first, second = questions(3, 3)
    session = rank()
    session.tick()
    for clip in (0, 1, 2):
        session.place(clip)
    session.tick()
    session.place(2)
    session.place(1)
    session.back()
    session.back()
    assert session.order == Order(3)
    assert len(values(store)) == 1
    session.back()
    session.tick()
    session.tick()
    assert values(store) == []
    assert session.current is not None
    assert (session.current.query.id, session.current.taken_back) == (first, Ranking((0, 1, 2)))
    session.unsure()
    session.tick()
    assert values(store) == [Ranking(())]
    assert session.current is not None
    assert session.current.query.id == second


def test_what_was_dragged_waits_for_confirm(rank: Any, questions: Any, store: Store) -> None:
    questions(2)
    session = rank()
    session.tick()
    assert not session.confirm(), "nothing is ranked yet"
    session.insert(0, 0)
    session.insert(1, 0)
    assert session.order.complete
    session.tick()
    assert values(store) == []
    session.join(0, 1)
    session.back()
    assert session.confirm()
    assert values(store) == [Ranking((1, 0))]


def test_too_many_clips_are_named_and_passed_over(rank: Any, questions: Any) -> None:
    big, small = questions(10, 3)
    session = rank()
    session.tick()
    assert f"Question {big} cannot be shown: it has 10 clips" in session.notice
    assert session.current is not None
    assert session.current.query.id == small


def test_a_failed_ranking_is_stored_once_by_enter(ranking: Ranked, questions: Any, store: Store, monkeypatch: Any) -> None:
    questions(2)
    app, view = ranking()
    real = store.post_answers

    def fail(_drafts: Any) -> Any:
        raise UserError("full")

    monkeypatch.setattr(store, "post_answers", fail)
    press(app, pygame.K_2)
    press(app, pygame.K_1)
    assert view.session.phase == "failed"
    monkeypatch.setattr(store, "post_answers", real)
    press(app, pygame.K_RETURN)
    assert values(store) == [Ranking((1, 0))]


def test_keys(ranking: Ranked, questions: Any, store: Store) -> None:
    questions(4, 3, 3)
    app, view = ranking()
    press(app, pygame.K_3, text="3")
    press(app, pygame.K_3, text="3")
    assert "already" in view._status()[0]
    press(app, pygame.K_1, pygame.KMOD_LSHIFT, text="!")
    press(app, pygame.K_KP4, text="4")
    press(app, pygame.K_2, text="2")
    assert values(store) == [Ranking((0, 2, 0, 1))]
    pump(app, 2)
    press(app, pygame.K_UP)
    assert values(store)[1:] == [Ranking(())]
    pump(app, 2)
    pad: dict[str, Any] = {"instance_id": 0}
    for button in (14, 12, 14, 12):  # the cross: to the right, down (take), right, down
        app.take(pygame.Event(pygame.CONTROLLERBUTTONDOWN, button=button, **pad))
    pump(app)
    assert view.session.order.groups == ((1,), (2,))
    press(app, pygame.K_RETURN)
    assert values(store)[2:] == [Ranking((2, 0, 1))]
    press(app, pygame.K_BACKSPACE)
    pump(app, 2)
    assert "2 > 3 > 1" in view._status()[0]
    assert all(command.help and command.keys for command in COMMANDS)


def test_the_mouse(ranking: Ranked, questions: Any, store: Store) -> None:
    questions(3)
    app, view = ranking()
    for clip in (2, 1):
        for kind in (pygame.MOUSEBUTTONDOWN, pygame.MOUSEBUTTONUP):
            app.take(pygame.Event(kind, pos=place(app, f"clip {clip}"), button=1))
        pump(app)
    assert view.session.order.groups == ((1,), (0,)), "a click is the clip's digit"
    drag(app, "clip 3", "gap 0")
    assert view.session.order.groups == ((2,), (1,), (0,))
    drag(app, "chip 1", "clip 3")
    assert view.session.order.groups == ((2, 0), (1,))
    drag(app, "chip 2", "gap 0")
    assert view.session.order.groups == ((1,), (2, 0))
    assert values(store) == []
    press(app, pygame.K_RETURN)
    assert values(store) == [Ranking((1, 0, 1))]


def test_ranks_are_of_places_and_labels_of_clips(ranking: Ranked, questions: Any, store: Store) -> None:
    [query] = questions(3, display=(2, 0, 1))
    app, view = ranking()
    asked: Asked[Ranking] | None = view.session.current
    assert asked is not None
    assert [clip.segments[0].start for clip in asked.query.shown] == [asked.query.clips[i].segments[0].start for i in (2, 0, 1)]
    for key in (pygame.K_1, pygame.K_2, pygame.K_3):
        press(app, key)
    [answer] = store.answers().answers
    assert (answer.query_id, answer.value, answer.display) == (query, Ranking((0, 1, 2)), (2, 0, 1))


@pytest.mark.parametrize("size", [(320, 240), (1280, 800), (2560, 1440), (300, 1500)])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 9])
def test_any_size_of_window(ranking: Ranked, questions: Any, size: tuple[int, int], count: int) -> None:
    questions(count)
    fits(*ranking(), size)


@pytest.mark.parametrize("count", range(2, 10))
def test_clips_do_not_overlap(count: int) -> None:
    area = pygame.Rect(10, 20, 1216, 488)
    grid = best_grid(count, area.size, (160, 210))
    cards = [card_rect(place, grid, area, 1.0) for place in range(count)]
    assert all(area.contains(card) for card in cards)
    assert all(card.collidelist(cards[:number]) < 0 for number, card in enumerate(cards))
    assert all(card.contains(clip_room(card, grid.beside, 1.0)) for card in cards)
    if count <= 6:
        room = clip_room(cards[0], grid.beside, 1.0)
        assert room.w >= 160, "an Atari picture is never made smaller"
        assert room.h >= 210


def test_the_ranker_survives(store: Store, questions: Any, clock: Time, show: Any, monkeypatch: Any) -> None:
    chance = random.Random(6)
    worker = Erratic(chance)
    ids = questions(*(chance.randrange(2, 7) for _ in range(60)))
    store._clock = clock
    session = RankSession(store, Films(), "ann", worker, clock, clock)
    posted = record_posts(store, monkeypatch)
    view = RankView(session, Keymap(), aim=lambda name: (name, ""), now=clock)
    monkeypatch.setattr(view, "back", lambda: None)  # Esc would end the storm
    storm(show(view, clock), clock, chance, worker, [*KEYS, *(pygame.K_1 + digit for digit in range(7)), pygame.K_1, pygame.K_2])
    session.close()
    assert_answered_once(store, ids, 60, posted)


def test_a_ranking_that_is_complete_too_early_is_stored_in_time(store: Store, films: Films, show: Any, questions: Any, clock: Time) -> None:
    questions(2)
    session = RankSession(store, films, "ann", Inline(), clock, clock, least_seconds=2.0)
    app = show(RankView(session, Keymap(), aim=lambda name: ("Line", ""), now=clock), clock)
    pump(app, 2)

    def later(seconds: float) -> None:
        clock.now += seconds
        pump(app, 3)

    later(0.5)
    for key, text in ((pygame.K_2, "2"), (pygame.K_1, "1")):
        press(app, key, text=text)
    assert session.notice == "Look a little longer: this ranking is stored then."
    press(app, pygame.K_BACKSPACE)
    later(2.0)
    assert values(store) == [], "taken back, it is not complete"
    press(app, pygame.K_BACKSPACE)
    assert session.order.groups == ()
    session._looked = 0.5
    for key, text in ((pygame.K_2, "2"), (pygame.K_1, "1")):
        press(app, key, text=text)
    later(1.0)
    assert values(store) == []
    later(0.6)
    assert values(store) == [Ranking((1, 0))]
