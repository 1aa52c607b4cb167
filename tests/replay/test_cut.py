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


Steps = list[tuple[str, int]]


def steps_of(clip: Clip) -> tuple[tuple[str, int], ...]:
    return tuple((segment.replay_id, t) for segment in clip.segments for t in range(segment.start, segment.stop))


def runs_of(lane: list[Replay]) -> list[Steps]:
    """All steps of a lane, broken behind unfinished replays."""
    runs: list[Steps] = [[]]
    for replay in lane:
        runs[-1] += [(replay.id, t) for t in range(replay.length)]
        if replay.ended == "unfinished":
            runs.append([])
    return runs


@KEEP
@given(shapes=lane_shapes, length=st.integers(1, 40))
def test_hidden_ends_that_clips_may_cross(make_replay: MakeReplay, shapes: Any, length: int) -> None:
    """By brute force: every full window of every run of steps."""
    lanes = lanes_of(make_replay, shapes)
    runs = [run for lane in lanes for run in runs_of(lane)]
    steps = [steps_of(clip) for clip in every_clip(lanes, length, ends="hidden", cross_ends=True)]
    assert len(steps) == len(set(steps))
    assert set(steps) == {tuple(run[s : s + length]) for run in runs for s in range(len(run) - length + 1)}


@KEEP
@given(shapes=lane_shapes, length=st.integers(1, 40))
def test_hidden_ends(make_replay: MakeReplay, shapes: Any, length: int) -> None:
    """By brute force: every full window inside an episode, and where one is shorter than a clip, those that begin in it."""
    lanes = lanes_of(make_replay, shapes)
    lengths = {replay.id: replay.length for lane in lanes for replay in lane}
    windows = [run[s : s + length] for lane in lanes for run in runs_of(lane) for s in range(len(run) - length + 1)]
    expected = {tuple(window) for window in windows if len({replay for replay, _ in window}) == 1 or lengths[window[0][0]] < length}
    clips = every_clip(lanes, length, ends="hidden")
    assert all(clip.length == length for clip in clips), "a length tells of no end"
    steps = [steps_of(clip) for clip in clips]
    assert len(steps) == len(set(steps))
    assert set(steps) == expected


def test_a_clip_that_would_cross_an_end_is_moved_back(make_replay: MakeReplay) -> None:
    """Clips of 4 of episodes of 6, 3 and 5 steps: starts 0, 1, 2 (also drawn as 3, 4, 5); 0, 1, 2 with what follows; 0, 1 (2, 3, 4)."""
    lane = [make_replay(6, seed=1), make_replay(3, seed=2), make_replay(5, seed=3)]
    long, short, last = (replay.id for replay in lane)
    rng = np.random.default_rng(5)
    drawn = Counter(cut_clips([lane], 4, rng, 1, ends="hidden")[0].segments for _ in range(14_000))
    chances = {(Segment(long, 0, 4),): 1, (Segment(long, 1, 4),): 1, (Segment(long, 2, 4),): 4}
    chances |= {(Segment(short, t, 3 - t), Segment(last, 0, 1 + t)): 1 for t in range(3)}
    chances |= {(Segment(last, 0, 4),): 1, (Segment(last, 1, 4),): 4}
    assert set(drawn) == set(chances)
    for segments, of_14 in chances.items():
        assert abs(drawn[segments] - 1000 * of_14) < 5 * np.sqrt(1000 * of_14)


def test_no_step_of_a_long_episode_is_shown_less_for_being_its_last(make_replay: MakeReplay) -> None:
    """40 steps, clips of 5: every step from the fifth on is in clips of 5 of the 40 positions, the last ones too."""
    lane = [make_replay(40)]
    rng = np.random.default_rng(6)
    shown = Counter(step for _ in range(8_000) for step in steps_of(cut_clips([lane], 5, rng, 1, ends="hidden")[0]))
    counts = [shown[lane[0].id, t] for t in range(4, 40)]
    assert all(abs(count - 1000) < 5 * np.sqrt(1000 * 7 / 8) for count in counts[:31])
    assert all(count > 1000 - 5 * np.sqrt(1000) for count in counts[31:])


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
