"""Pictures of clips: the same ones that were shown while playing; cached, bounded, drawn ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from threading import Event, get_ident
from typing import Any

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import Game
from rlhf_games.replay import device
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import cut_clips
from rlhf_games.replay.frames import FrameReader, rest_at_seams
from rlhf_games.replay.replay import Replay, ReplayMismatch


def shelf_of(game: Any, played: list[Any]) -> tuple[dict[str, Replay], dict[str, Any]]:
    replays = [episode.replay(game.spec) for episode in played]
    return {replay.id: replay for replay in replays}, dict(zip((replay.id for replay in replays), played, strict=True))


def expected(clip: Clip, played: dict[str, Any]) -> tuple[Any, list[int]]:
    """From the pictures that were taken while playing."""
    pictures, steps, begin = [], [], 0
    for segment in clip.segments:
        shown = played[segment.replay_id].frames
        blocks = [shown[segment.start][-1:], *shown[segment.start + 1 : segment.stop + 1]]
        pictures += blocks
        for i, block in enumerate(blocks):
            steps += [begin + max(0, i - 1)] * len(block)
        begin += segment.length
    return np.concatenate(pictures), steps


def test_device_game(breakout: Game, episodes: list[Any]) -> None:
    shelf, played = shelf_of(breakout, episodes)
    clips = cut_clips([list(shelf.values())], 40, np.random.default_rng(0), 12, ends="hidden")
    clips += cut_clips([list(shelf.values())], 40, np.random.default_rng(0), 12, ends="visible")
    with FrameReader(breakout, shelf.__getitem__) as reader:
        for clip in clips:
            film = reader.film(clip)
            frames, steps = expected(clip, played)
            assert film.frames.dtype == np.uint8
            assert film.frames.shape[1:] == (*breakout.spec.frame_shape, 3)
            assert np.array_equal(film.frames, frames)
            assert film.step.tolist() == steps
        assert reader.fps == breakout.spec.decisions_per_second


def test_where_another_episode_begins_is_known(breakout: Game, episodes: list[Any]) -> None:
    shelf, _ = shelf_of(breakout, episodes)
    first, second, third = list(shelf)[:3]
    parts = (Segment(first, shelf[first].length - 2, 2), Segment(second, 0, 3), Segment(third, 0, 1))
    with FrameReader(breakout, shelf.__getitem__) as reader:
        assert reader.film(Clip(parts)).seams == (3, 7), "each part has a picture before its first action: 3, 4 and 2 pictures"
        assert reader.film(Clip(parts[:1])).seams == ()
        jump = (Segment(first, 0, 1), Segment(first, 2, 1))
        assert reader.film(Clip(jump)).seams == (), "a jump inside an episode is not its end"


def test_pictures_rest_at_seams() -> None:
    order, seams = rest_at_seams(7, (3, 5), 2)
    assert order.tolist() == [0, 1, 2, 2, 2, 3, 4, 4, 4, 5, 6]
    assert seams == ((2, 5), (6, 9))
    order, seams = rest_at_seams(3, (), 2)
    assert (order.tolist(), seams) == ([0, 1, 2], ())


def test_device_game_across_chunks(breakout: Game, episodes: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Clips that begin, end and lie at the borders of the simulation's chunks: every clip of an episode, in chunks of two steps."""
    monkeypatch.setattr(device, "chunks", partial(device.chunks, chunk=2))
    shelf, played = shelf_of(breakout, [next(episode for episode in episodes if 6 <= len(episode.action) < 12)])
    ((replay_id, replay),) = shelf.items()
    with FrameReader(breakout, shelf.__getitem__) as reader:
        for start, stop in combinations(range(replay.length + 1), 2):
            clip = Clip((Segment(replay_id, start, stop - start),))
            assert np.array_equal(reader.frames(clip), expected(clip, played)[0])


def test_host_game(walk: Any, player: Callable[..., Any]) -> None:
    shelf, played = shelf_of(walk, [player(walk, seed, 100, frames=True) for seed in range(10)])
    clips = cut_clips([list(shelf.values())], 12, np.random.default_rng(1), 10, ends="hidden")
    with FrameReader(walk, shelf.__getitem__) as reader:
        assert reader.fps == 60.0
        for clip in clips:
            film = reader.film(clip)
            frames, steps = expected(clip, played)
            assert np.array_equal(film.frames, frames)
            assert film.step.tolist() == steps


def test_nothing_is_drawn_before_the_clip(endless: Any, player: Callable[..., Any]) -> None:
    shelf, _ = shelf_of(endless, [player(endless, 1, 600)])
    (replay_id,) = shelf
    with FrameReader(endless, shelf.__getitem__) as reader:
        before = endless.drawn
        reader.frames(Clip((Segment(replay_id, 300, 7),)))
        assert endless.drawn - before == 8


def test_cache_is_bounded(walk: Any, player: Callable[..., Any]) -> None:
    shelf, _ = shelf_of(walk, [player(walk, seed, 100) for seed in range(10)])
    clips = list({clip.segments: clip for clip in cut_clips([list(shelf.values())], 10, np.random.default_rng(0), 20)}.values())
    with FrameReader(walk, shelf.__getitem__, cache_bytes=3_000) as reader:
        for clip in clips:
            reader.film(clip)
            assert 0 < reader.cached_bytes <= 3_000
        opened = walk.opened
        reader.film(clips[-1])
        assert walk.opened == opened
        assert reader.ready(clips[-1])
        assert not reader.ready(clips[0])


def test_drawn_ahead_in_another_thread(walk: Any, player: Callable[..., Any]) -> None:
    shelf, played = shelf_of(walk, [player(walk, seed, 100, frames=True) for seed in range(6)])
    clips = [Clip((Segment(replay_id, 0, 2),)) for replay_id in shelf]
    threads, go = [], Event()

    def fetch(replay_id: str) -> Replay:
        threads.append(get_ident())
        assert go.wait(20)
        return shelf[replay_id]

    with FrameReader(walk, fetch) as reader:
        reader.prefetch(clips)
        reader.prefetch(clips)  # once is enough
        go.set()
        for clip in clips:
            assert np.array_equal(reader.frames(clip), expected(clip, played)[0])
    assert len(threads) == len(clips)
    assert threads[0] != get_ident()


def test_what_waits_in_the_queue_is_drawn_at_once_when_asked_for(walk: Any, player: Callable[..., Any]) -> None:
    shelf, _ = shelf_of(walk, [player(walk, seed, 100) for seed in range(3)])
    first, second, _ = clips = [Clip((Segment(replay_id, 0, 2),)) for replay_id in shelf]
    go = Event()

    def fetch(replay_id: str) -> Replay:
        if replay_id == first.segments[0].replay_id:
            assert go.wait(20)
        return shelf[replay_id]

    with FrameReader(walk, fetch) as reader:
        reader.prefetch(clips)
        assert len(reader.frames(second)) > 0  # although the thread still waits for the first
        assert not reader.ready(first)
        go.set()
        assert len(reader.frames(first)) > 0


def test_problems_show_when_asked_for(walk: Any, player: Callable[..., Any]) -> None:
    replay = player(walk, 1, 100).replay(walk.spec)
    wrong = replace(replay, seed=2)
    shelf = {one.id: one for one in (replay, wrong)}
    with FrameReader(walk, shelf.__getitem__) as reader:
        clip = Clip((Segment(wrong.id, 0, 2),))
        reader.prefetch([clip])
        for _ in range(2):
            with pytest.raises(ReplayMismatch):
                reader.film(clip)
        with pytest.raises(UserError, match=f"has {replay.length} steps"):
            reader.film(Clip((Segment(replay.id, 0, replay.length + 1),)))
    reader.close()


def test_pictures_cannot_be_changed(walk: Any, player: Callable[..., Any]) -> None:
    replay = player(walk, 1, 100).replay(walk.spec)
    with FrameReader(walk, {replay.id: replay}.__getitem__) as reader:
        frames = reader.frames(Clip((Segment(replay.id, 0, 1),)))
        with pytest.raises(ValueError, match="read-only"):
            frames[:] = 0
