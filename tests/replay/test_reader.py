"""Clips as arrays: right content, masks, ends, seats; the cache is bounded and only a cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import Game
from rlhf_games.replay.cache import ByteCache
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import cut_clips
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.replay import Replay, ReplayMismatch
from rlhf_games.replay.simulate import Track


class Shelf(dict[str, Replay]):
    """Replays by id, counting how often one is fetched."""

    def __init__(self, replays: list[Replay]) -> None:
        super().__init__({replay.id: replay for replay in replays})
        self.fetched = 0

    def fetch(self, replay_id: str) -> Replay:
        self.fetched += 1
        return self[replay_id]


def check_row(batch: Any, row: int, clip: Clip, tracks: dict[str, Track], actions: dict[str, Any]) -> None:
    t = 0
    for segment in clip.segments:
        track = tracks[segment.replay_id]
        for s in range(segment.start, segment.stop):
            assert batch.mask[row, t]
            assert np.array_equal(batch.observation[row, t], track.observation[s, clip.seat])
            assert np.array_equal(batch.next_observation[row, t], track.observation[s + 1, clip.seat])
            assert np.array_equal(batch.action[row, t], actions[segment.replay_id][s, clip.seat])
            assert batch.reward[row, t] == track.reward[s, clip.seat]
            assert batch.ended[row, t] == (track.terminated[s] or track.truncated[s])
            t += 1
    for array in batch:
        assert not array[row, t:].any()


def shelf_of(game: Any, played: list[Any]) -> tuple[Shelf, dict[str, Track], dict[str, Any]]:
    replays = [episode.replay(game.spec) for episode in played]
    tracks = {replay.id: episode.track for replay, episode in zip(replays, played, strict=True)}
    return Shelf(replays), tracks, {replay.id: replay.actions for replay in replays}


@pytest.mark.parametrize("ends", ["visible", "hidden"])
def test_clips_across_short_episodes(breakout: Game, episodes: list[Any], ends: Any) -> None:
    shelf, tracks, actions = shelf_of(breakout, episodes)
    clips = cut_clips([list(shelf.values())], 25, np.random.default_rng(0), 40, ends=ends)
    assert (max(len(clip.segments) for clip in clips) > 1) == (ends == "hidden")
    batch = ClipReader(breakout, shelf.fetch).read(clips, length=25)
    assert batch.mask.shape == (40, 25)
    assert batch.mask.all() == (ends == "hidden")
    assert batch.ended.any()
    for row, clip in enumerate(clips):
        check_row(batch, row, clip, tracks, actions)


def test_seats_of_a_host_game(walk: Any, player: Callable[..., Any]) -> None:
    shelf, tracks, actions = shelf_of(walk, [player(walk, seed, 100) for seed in range(20)])
    clips = cut_clips([list(shelf.values())], 30, np.random.default_rng(0), 30, ends="hidden", seats=(0, 1))
    batch = ClipReader(walk, shelf.fetch).read(clips, length=40)
    assert {clip.seat for clip in clips} == {0, 1}
    assert batch.observation.shape == (30, 40, 3)
    for row, clip in enumerate(clips):
        check_row(batch, row, clip, tracks, actions)


def test_played_only_as_far_as_needed(endless: Any, player: Callable[..., Any]) -> None:
    replay = player(endless, 1, 600).replay(endless.spec)
    stepped = []
    reader = ClipReader(_Counting(endless, stepped), {replay.id: replay}.__getitem__)
    reader.read([Clip((Segment(replay.id, 10, 20),))])
    assert len(stepped) == 256  # to the next mark
    reader.read([Clip((Segment(replay.id, 12, 5),))])
    assert len(stepped) == 256  # inside what is known


class _Counting:
    """A host game that notes every batch step."""

    def __init__(self, game: Any, stepped: list[int]) -> None:
        self._game, self._stepped, self.spec = game, stepped, game.spec

    def open(self, seed: int) -> Any:
        return self._game.open(seed)

    def batch(self, size: int) -> Any:
        batch = self._game.batch(size)
        send = batch.send

        def counted(actions: Any) -> None:
            self._stepped.append(len(actions))
            send(actions)

        batch.send = counted
        return batch


def test_cache_is_used_and_bounded(breakout: Game, episodes: list[Any]) -> None:
    shelf, tracks, actions = shelf_of(breakout, episodes)
    clips = cut_clips([list(shelf.values())], 5, np.random.default_rng(0), 60)
    limit = 20_000
    reader = ClipReader(breakout, shelf.fetch, cache_bytes=limit)
    whole = ClipReader(breakout, shelf.fetch)
    for start in range(0, 60, 6):
        some = clips[start : start + 6]
        batch = reader.read(some)
        assert 0 < reader.cached_bytes <= limit
        for one, other in zip(batch, whole.read(some), strict=True):
            assert np.array_equal(one, other)
    before = shelf.fetched
    again = whole.read(clips)
    assert shelf.fetched == before
    for row, clip in enumerate(clips):
        check_row(again, row, clip, tracks, actions)


def test_primed_clips_are_not_simulated(walk: Any, player: Callable[..., Any]) -> None:
    episode = player(walk, 3, 100)
    replay = episode.replay(walk.spec)
    shelf = Shelf([replay])
    reader, simulated = ClipReader(walk, shelf.fetch), ClipReader(walk, shelf.fetch)
    reader.prime(replay, episode.track)
    clips = [Clip((Segment(replay.id, start, min(4, replay.length - start)),), seat=1) for start in range(replay.length)]
    primed = reader.read(clips)
    assert shelf.fetched == 0
    for one, other in zip(primed, simulated.read(clips), strict=True):
        assert np.array_equal(one, other)
    part = ClipReader(walk, shelf.fetch)
    part.prime(replay, Track(*(array[2:] for array in episode.track)), start=2)
    assert np.array_equal(part.read(clips[2:]).observation, primed.observation[2:])
    with pytest.raises(ValueError, match="do not fit"):
        reader.prime(replay, episode.track, start=1)


def test_wrong_clips_are_refused(walk: Any, player: Callable[..., Any]) -> None:
    replay = player(walk, 3, 100).replay(walk.spec)
    reader = ClipReader(walk, {replay.id: replay}.__getitem__)
    with pytest.raises(UserError, match=f"has {replay.length} steps"):
        reader.read([Clip((Segment(replay.id, replay.length - 2, 3),))])
    with pytest.raises(UserError, match="seat 2, but probe/walk has seats 0 to 1"):
        reader.read([Clip((Segment(replay.id, 0, 3),), seat=2)])
    with pytest.raises(UserError, match="4 steps does not fit into 3"):
        reader.read([Clip((Segment(replay.id, 0, 4),))], length=3)


def test_what_does_not_reproduce_is_not_shown(endless: Any, player: Callable[..., Any]) -> None:
    replay = player(endless, 1, 600).replay(endless.spec)
    other = replace(replay, seed=2)
    for wrong in (other, replace(replay, game_version="0")):
        with pytest.raises(ReplayMismatch):
            ClipReader(endless, {wrong.id: wrong}.__getitem__).read([Clip((Segment(wrong.id, 5, 5),))])


def test_content_keys_find_clips_that_look_alike(breakout: Game, player: Callable[..., Any]) -> None:
    """The first Breakout steps look the same for many seeds, as nothing has happened yet."""
    played = [player(breakout, seed, 3, still=1.0) for seed in range(8)]
    shelf, tracks, _ = shelf_of(breakout, played)
    clips = [Clip((Segment(replay_id, 0, 3),)) for replay_id in shelf]
    batch = ClipReader(breakout, shelf.fetch).read(clips)
    keys = batch.content_keys()
    for i, one in enumerate(tracks.values()):
        for j, other in enumerate(tracks.values()):
            assert (keys[i] == keys[j]) == np.array_equal(one.observation, other.observation)
    assert 1 < len(set(keys)) < len(keys)


def test_byte_cache_keeps_what_was_used_last() -> None:
    gone: list[str] = []
    cache: ByteCache[str, bytes] = ByteCache(10, len, gone.append)
    for key in "abc":
        cache.put(key, bytes(3))
    assert cache.get("a") == bytes(3)
    cache.put("d", bytes(4))
    assert (gone, cache.nbytes, len(cache)) == (["b"], 10, 3)
    cache.put("a", bytes(1))
    cache.put("e", bytes(11))
    assert ("a" in cache, "e" in cache, cache.nbytes, gone) == (True, False, 8, ["b", "e"])
