"""Clips made ready: in which order, how often, and in how much memory."""

from __future__ import annotations

import random
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest

from rlhf_games.arena import films
from rlhf_games.arena.films import Footage, Projector, Strip
from rlhf_games.arena.work import Worker
from rlhf_games.core.errors import UserError
from rlhf_games.feedback.store import Store
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.recorder import SessionRecorder

from .conftest import Inline, Line, Manual
from .storms import Erratic


@pytest.fixture
def drawn(monkeypatch: Any) -> list[Clip]:
    """Clips in the order in which they were drawn."""
    order: list[Clip] = []
    real = Projector._develop

    def develop(self: Projector, clip: Clip) -> Footage:
        order.append(clip)
        return real(self, clip)

    monkeypatch.setattr(Projector, "_develop", develop)
    return order


def projector(store: Store, worker: Worker) -> Projector:
    return Projector(store.replay, worker, lambda name, options: Line(limit=400))


def test_packed_pictures_are_the_pictures() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 7, 9, 3), np.uint8)
    frames[1:4] = 0
    strip = Strip(frames)
    assert (len(strip), strip.shape) == (5, (5, 7, 9, 3))
    assert all(np.array_equal(strip[number], frames[number]) for number in range(5))
    assert strip.nbytes < frames.nbytes


def test_first_what_is_urgent_then_what_was_asked_for_then_what_is_expected(store: Store, clips: Any, drawn: list[Clip]) -> None:
    found, worker = clips(6), Manual()
    made = projector(store, worker)
    made.expect(found[3:])
    first, second = made.request(found[0]), made.request(found[1])
    last = made.request(found[2], urgent=True)
    made.expect([found[5], found[4], found[1]])
    worker.work()
    assert drawn == [found[2], found[0], found[1], found[5], found[4]], "what is expected no longer is not drawn"
    for future, clip in ((first, found[0]), (second, found[1]), (last, found[2])):
        footage = future.result()
        assert len(footage.frames) == 1 + 4 * clip.length
        assert footage.size == (6, 4)
    assert made.request(found[4]).done(), "it was drawn before it was asked for"
    assert len(drawn) == 5


def test_the_end_of_an_episode_inside_a_clip_stands_still(store: Store, clips: Any) -> None:
    """Line has four pictures a decision and 40 a second: a rest of half a second is 20 pictures."""
    [clip] = clips(1)
    whole = store.replay(clip.segments[0].replay_id)
    known = {whole.id: whole}
    made = Projector(known.__getitem__, Inline(), lambda name, options: Line(limit=400))
    recorder = SessionRecorder(Line(limit=400).open(8), 8, player=("agent",))
    for t in range(3):
        recorder.step(np.array([t % 3], np.int32))
    second = recorder.replay()
    known[second.id] = second
    footage = made.request(Clip((Segment(whole.id, 398, 2), Segment(second.id, 0, 3)))).result()
    assert (footage.fps, len(footage.frames)) == (40.0, (1 + 8) + 20 + (1 + 12))
    assert footage.seams == ((8, 29),)
    assert [footage.ends_at(number) for number in (7, 8, 28, 29)] == [False, True, True, False]
    assert [footage.episode(number) for number in (0, 28, 29, 41)] == [0, 0, 1, 1]
    assert {int(footage.frames[number][0, 0, 0]) for number in range(8, 29)} == {400 % 256}
    assert footage.frames[29][0, 0, 0] == 0
    assert not footage.ends, "its recording was cut off there"


def test_one_clip_in_several_questions_is_drawn_once(store: Store, clips: Any, drawn: list[Clip]) -> None:
    [clip], worker = clips(1), Manual()
    made = projector(store, worker)
    futures = [made.request(clip) for _ in range(3)]
    made.expect([clip])
    worker.work()
    assert drawn == [clip]
    assert {id(future.result()) for future in futures} == {id(futures[0].result())}


def test_a_clip_that_cannot_be_drawn_does_not_stop_the_others(store: Store, clips: Any) -> None:
    first, second = clips(2)
    game = Line(limit=400)
    made = Projector(store.replay, Inline(), lambda name, options: game)
    game.spec.options["changed"] = True  # no longer the game that was recorded
    bad = made.request(first)
    assert isinstance(bad.exception(), UserError)
    game.spec.options.clear()
    assert made.request(second).exception() is None
    assert made.request(first).exception() is None, "it is tried again"


def test_memory_is_bounded(store: Store, clips: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(films, "_CACHE_BYTES", 3000)
    made = projector(store, Inline())
    for clip in clips(60):
        made.request(clip)
        assert made._cache.nbytes <= 3000
    assert 0 < len(made._cache) < 60
    assert all(reader.cached_bytes == 0 for reader in made._readers.values())


def test_nobody_waits_forever(store: Store, clips: Any) -> None:
    chance, found = random.Random(2), clips(40)
    worker = Erratic(chance)
    made = projector(store, worker)
    futures: list[Future[Footage]] = []
    for _ in range(600):
        if chance.random() < 0.5:
            futures.append(made.request(chance.choice(found), urgent=chance.random() < 0.2))
        else:
            made.expect(chance.sample(found, 8))
        if chance.random() < 0.3:
            worker.work_one()
    worker.shutdown()
    assert all(future.done() for future in futures)
    assert (made._turns, len(made._asked), len(made._expected), len(made._drawing)) == (0, 0, 0, 0)
    made.close()
    made.close()


def test_games_that_stayed_open_are_closed_after_everything_else(store: Store, clips: Any) -> None:
    found, worker, game = clips(2), Manual(), Line(limit=400)
    made = Projector(store.replay, worker, lambda name, options: game)
    drawn = made.request(found[0])
    worker.work()
    assert drawn.done()
    assert not all(session.closed for session in game.opened), "the next clip of this episode is drawn from where it stands"
    late = made.request(found[1])
    worker.shutdown = lambda *_, **__: None  # type: ignore[method-assign]
    made.close()
    assert not all(session.closed for session in game.opened), "nobody who leaves waits for it"
    worker.work()
    assert all(session.closed for session in game.opened)
    assert not late.done()
