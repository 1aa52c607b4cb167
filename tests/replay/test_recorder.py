"""The recorder: what it makes of a stream, however the stream is cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rlhf_games.core.game import Game, GameSpec
from rlhf_games.replay.recorder import Chunk, EpisodeRecorder, SessionRecorder
from rlhf_games.replay.replay import Replay
from rlhf_games.replay.simulate import simulate


def stream(spec: GameSpec, seed: int, steps: int, lanes: int) -> Chunk:
    """A stream of the right shapes with ends at random places; an episode's seed is new after each end."""
    rng = np.random.default_rng(seed)
    size = (steps, lanes)
    terminated = rng.random(size) < rng.choice([0.002, 0.05, 0.6])
    truncated = ~terminated & (rng.random(size) < 0.01)
    ends = terminated | truncated
    episode = np.cumsum(ends, 0) - ends
    seeds = (episode * lanes + np.arange(lanes) + 1000 * seed).astype(np.uint32)
    return Chunk(
        seeds,
        rng.normal(size=(*size, spec.players, 3)).astype(np.float32),
        rng.normal(size=(*size, spec.players)).astype(np.float32),
        terminated,
        truncated,
        rng.normal(size=(*size, spec.players, 4)).astype(np.float32),
    )


def record(spec: GameSpec, chunk: Chunk, cuts: list[int]) -> list[list[Replay]]:
    """Per lane, with what is unfinished at the end."""
    recorder = EpisodeRecorder(spec, chunk.seed.shape[1], clock=lambda: 7.0)
    replays = []
    for start, stop in zip([0, *cuts], [*cuts, len(chunk.seed)], strict=True):
        replays += recorder.add(Chunk(*(array[start:stop] for array in chunk)), policy="p")
        recorder.open_episodes()  # looking changes nothing
    replays += recorder.open_episodes("p")
    return [[replay for replay in replays if replay.lane == lane] for lane in range(chunk.seed.shape[1])]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(seed=st.integers(0, 30), steps=st.integers(1, 700), lanes=st.integers(1, 3), cuts=st.lists(st.integers(0, 700), max_size=12))
def test_any_chunking_gives_the_same_replays(box_spec: GameSpec, seed: int, steps: int, lanes: int, cuts: list[int]) -> None:
    chunk = stream(box_spec, seed, steps, lanes)
    whole = record(box_spec, chunk, [])
    assert record(box_spec, chunk, sorted(min(cut, steps) for cut in cuts)) == whole
    for lane, replays in enumerate(whole):
        assert np.array_equal(np.concatenate([replay.actions for replay in replays]), chunk.action[:, lane])
        assert [replay.ended == "unfinished" for replay in replays[:-1]] == [False] * (len(replays) - 1)
        ends = np.cumsum([replay.length for replay in replays]) - 1
        for replay, end in zip(replays, ends, strict=True):
            said = {(True, False): "terminated", (False, True): "truncated", (False, False): "unfinished"}
            assert replay.ended == said[bool(chunk.terminated[end, lane]), bool(chunk.truncated[end, lane])]
            assert replay.seed == chunk.seed[end, lane]


def test_recorded_episodes_reproduce(breakout: Game, episodes: list[Any]) -> None:
    recorder = EpisodeRecorder(breakout.spec, 1, clock=lambda: 7.0)
    made = [recorder.add(episode.chunk(), policy="p1") for episode in episodes]
    replays = [replay for one in made for replay in one] + recorder.open_episodes("p1")
    assert [replay.seed for replay in replays] == [episode.seed for episode in episodes]
    for replay, episode in zip(replays, episodes, strict=True):
        by_hand = episode.replay(breakout.spec)
        assert replay.checksum == by_hand.checksum
        assert np.array_equal(replay.actions, by_hand.actions)
        assert (replay.player, replay.policy, replay.recorded_at) == (("agent",), "p1", 7.0)
    simulate(breakout, replays)


def test_a_prefix_reproduces(breakout: Game, player: Callable[..., Any]) -> None:
    episode = player(breakout, 3, 5)
    recorder = EpisodeRecorder(breakout.spec, 1)
    assert recorder.open_episodes() == []
    assert recorder.add(episode.chunk()) == []
    (prefix,) = recorder.open_episodes()
    assert (prefix.length, prefix.ended) == (5, "unfinished")
    simulate(breakout, [prefix])


def test_the_stream_stays_the_callers(box_spec: GameSpec) -> None:
    chunk = stream(box_spec, 1, 400, 1)
    chunk.terminated[:] = chunk.truncated[:] = False
    chunk.seed[:] = 5
    recorder = EpisodeRecorder(box_spec, 1, clock=lambda: 7.0)
    recorder.add(chunk)
    before = recorder.open_episodes()
    for array in chunk:
        array[:] = 0
    assert recorder.open_episodes() == before


def test_a_broken_stream_is_refused(box_spec: GameSpec) -> None:
    chunk = stream(box_spec, 1, 20, 1)
    chunk.terminated[:] = chunk.truncated[:] = False
    chunk.seed[:] = 5
    chunk.seed[12:] = 6
    recorder = EpisodeRecorder(box_spec, 1)
    recorder.add(Chunk(*(array[:10] for array in chunk)))
    with pytest.raises(ValueError, match="seed changes from 5 to 6 at step 12"):
        recorder.add(Chunk(*(array[10:] for array in chunk)))
    with pytest.raises(ValueError, match=r"\[T, 2\], got \(20, 1\)"):
        EpisodeRecorder(box_spec, 2).add(chunk)


def test_a_person_at_the_keyboard(walk: Any) -> None:
    recorder = SessionRecorder(walk.open(5), 5, player=("ann", "agent"), policy="p3", clock=lambda: 7.0)
    with pytest.raises(RuntimeError, match="at least one step"):
        recorder.replay()
    rng = np.random.default_rng(0)
    events = ((0.5, "left", True), (0.7, "left", False))
    for t in range(400):
        seen = recorder.step(rng.integers(0, 3, 2).astype(np.int32))
        replay = recorder.replay(events)
        assert (replay.length, replay.player, replay.policy, replay.key_events) == (t + 1, ("ann", "agent"), "p3", events)
        if seen.terminated or seen.truncated:
            break
        assert replay.ended == "unfinished"
    assert replay.ended == "terminated"
    simulate(walk, [replay])
    with pytest.raises(RuntimeError):
        recorder.step(np.zeros(2, np.int32))
    assert recorder.replay(events) == replay


def test_a_branch_goes_its_own_way(walk: Any) -> None:
    recorder = SessionRecorder(walk.open(5), 5, player=("ann", "agent"), policy="p3")
    for _ in range(3):
        recorder.step(np.array([1, 2], np.int32))
    branch = recorder.branch(("agent", "agent"))
    branch.policy = "p4"
    for _ in range(2):
        branch.step(np.array([2, 2], np.int32))
    recorder.step(np.array([0, 0], np.int32))
    mine, other = recorder.replay(), branch.replay()
    assert mine.actions.tolist() == [[1, 2]] * 3 + [[0, 0]]
    assert other.actions.tolist() == [[1, 2]] * 3 + [[2, 2]] * 2
    assert (other.player, other.policy, mine.player, mine.policy) == (("agent", "agent"), "p4", ("ann", "agent"), "p3")
    simulate(walk, [mine, other])
