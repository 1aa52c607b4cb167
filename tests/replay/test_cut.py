"""Cutting: which clips there are, how often each is drawn, and that none shows what it must not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_games.core.errors import UserError
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import cut_clips, same_steps
from rlhf_games.replay.replay import Replay

MakeReplay = Callable[..., Replay]
KEEP = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
lane_shapes = st.lists(
    st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["terminated", "truncated", "unfinished"])), max_size=6), max_size=3
)


def lanes_of(make_replay: MakeReplay, shapes: Any) -> list[list[Replay]]:
    return [[make_replay(length, ended, 100 * i + j) for j, (length, ended) in enumerate(lane)] for i, lane in enumerate(shapes)]


def every_clip(lanes: list[list[Replay]], length: int, **options: Any) -> list[Clip]:
    return cut_clips(lanes, length, np.random.default_rng(0), 10_000, **options)


@KEEP
@given(shapes=lane_shapes, length=st.integers(1, 40), least=st.integers(1, 5))
def test_visible_ends(make_replay: MakeReplay, shapes: Any, length: int, least: int) -> None:
    lanes, least = lanes_of(make_replay, shapes), min(least, length)
    clips = every_clip(lanes, length, ends="visible", least=least)
    expected = {
        Clip((Segment(replay.id, start, min(length, replay.length - start)),))
        for lane in lanes
        for replay in lane
        for start in range(replay.length)
        if start + length <= replay.length or (replay.ended != "unfinished" and start + least <= replay.length)
    }
    assert len(clips) == len(expected)
    assert set(clips) == expected


@KEEP
@given(shapes=lane_shapes, length=st.integers(1, 40))
def test_hidden_ends(make_replay: MakeReplay, shapes: Any, length: int) -> None:
    """By brute force: number all steps of a lane, break behind unfinished replays, take every full window."""
    lanes = lanes_of(make_replay, shapes)
    expected = set()
    for lane in lanes:
        runs: list[list[tuple[str, int]]] = [[]]
        for replay in lane:
            runs[-1] += [(replay.id, t) for t in range(replay.length)]
            if replay.ended == "unfinished":
                runs.append([])
        expected |= {tuple(run[s : s + length]) for run in runs for s in range(len(run) - length + 1)}
    clips = every_clip(lanes, length, ends="hidden")
    assert all(clip.length == length for clip in clips)
    steps = [tuple((s.replay_id, t) for s in clip.segments for t in range(s.start, s.stop)) for clip in clips]
    assert len(steps) == len(set(steps))
    assert set(steps) == expected


def test_every_start_position_has_the_same_chance(make_replay: MakeReplay) -> None:
    lanes = [[make_replay(3, seed=1), make_replay(7, seed=2)], [make_replay(10, seed=3)]]
    rng = np.random.default_rng(1)
    drawn = Counter(cut_clips(lanes, 4, rng, 1)[0].segments[0] for _ in range(8_000))
    assert len(drawn) == 20
    assert all(abs(n - 400) < 5 * 20 for n in drawn.values())  # five standard deviations of a count of 400


@pytest.mark.parametrize("ends", ["visible", "hidden"])
def test_half_life(make_replay: MakeReplay, ends: Any) -> None:
    """Two positions 10 steps apart: at a half-life of 10 the older one is drawn half as often."""
    lane = [make_replay(6, seed=1), make_replay(14, seed=2)]
    rng = np.random.default_rng(2)
    drawn = Counter(cut_clips([lane], 1, rng, 1, ends=ends, half_life=10.0)[0].segments[0] for _ in range(12_000))
    weights = {(lane[0].id, t): 0.5 ** ((19 - t) / 10) for t in range(6)} | {(lane[1].id, t): 0.5 ** ((13 - t) / 10) for t in range(14)}
    for (replay_id, t), weight in weights.items():
        mean = 12_000 * weight / sum(weights.values())
        assert abs(drawn[Segment(replay_id, t, 1)] - mean) < 5 * np.sqrt(mean)


def test_recency_counts_from_the_lanes_end_also_behind_a_gap(make_replay: MakeReplay) -> None:
    lane = [make_replay(200, "unfinished", seed=1), make_replay(200, seed=2)]
    clips = cut_clips([lane], 10, np.random.default_rng(0), 50, ends="hidden", half_life=5.0)
    assert {segment.replay_id for clip in clips for segment in clip.segments} == {lane[1].id}


def test_clips_differ_and_are_repeatable(make_replay: MakeReplay) -> None:
    lanes = [[make_replay(50, seed=seed) for seed in range(4)]]
    for half_life in (None, 40.0):
        clips = cut_clips(lanes, 5, np.random.default_rng(3), 150, half_life=half_life)
        assert len(set(clips)) == 150
        assert clips == cut_clips(lanes, 5, np.random.default_rng(3), 150, half_life=half_life)


def test_seats(make_replay: MakeReplay) -> None:
    clips = every_clip([[make_replay(500)]], 5, seats=(0, 2))
    seats = Counter(clip.seat for clip in clips)
    assert set(seats) == {0, 2}
    assert abs(seats[0] - 250) < 60


def test_nothing_to_cut(make_replay: MakeReplay) -> None:
    for lanes in ([], [[]], [[make_replay(3, "unfinished")]]):
        for half_life in (None, 1.0):
            assert cut_clips(lanes, 5, np.random.default_rng(0), 4, half_life=half_life) == []
            assert cut_clips(lanes, 5, np.random.default_rng(0), 4, ends="hidden", half_life=half_life) == []


@pytest.mark.parametrize("wrong", [{"length": 0}, {"count": -1}, {"half_life": 0.0}, {"seats": ()}, {"seats": (-1,)}, {"least": 6}])
def test_settings_out_of_range(make_replay: MakeReplay, wrong: dict[str, Any]) -> None:
    options = {"length": 5, "count": 1, **wrong}
    with pytest.raises(UserError, match="clip"):
        cut_clips([[make_replay(9)]], options.pop("length"), np.random.default_rng(0), options.pop("count"), **options)


def test_same_steps_of_different_replays(make_replay: MakeReplay) -> None:
    whole = make_replay(40)
    prefix = replace(whole, actions=whole.actions[:30], checksum=replace(whole.checksum, length=30), ended="unfinished")
    other = make_replay(40, seed=1)
    known = {replay.id: replay for replay in (whole, prefix, other)}
    key = [same_steps(Clip((Segment(replay.id, 10, 5),)), known.__getitem__) for replay in (whole, prefix, other)]
    assert key[0] == key[1] != key[2]
    assert key[0] != same_steps(Clip((Segment(whole.id, 11, 5),)), known.__getitem__)
    assert key[0] != same_steps(Clip((Segment(whole.id, 10, 5),), seat=1), known.__getitem__)
