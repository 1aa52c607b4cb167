"""Re-simulation: exact against interactive play; refused where it is not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhf_games.core.game import Game
from rlhf_games.replay import device
from rlhf_games.replay.checksum import MARK_EVERY, Checksum
from rlhf_games.replay.piece import rounds
from rlhf_games.replay.replay import Replay, ReplayMismatch
from rlhf_games.replay.simulate import Track, simulate
from rlhf_games.workspace import load_game


def same(one: Track, other: Track) -> bool:
    return all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_device_games_exactly(breakout: Game, episodes: list[Any]) -> None:
    replays = [episode.replay(breakout.spec) for episode in episodes]
    for track, episode in zip(simulate(breakout, replays), episodes, strict=True):
        assert same(track, episode.track)


@pytest.mark.parametrize("name", ["minatar/freeway", "minatar/asterix", "board/connect_four", "board/tic_tac_toe"])
def test_other_device_games_exactly(name: str, player: Callable[..., Any]) -> None:
    game = load_game(name)
    steps = 2_200 if name == "minatar/freeway" else 300
    played = [player(game, seed, steps) for seed in range(1 if steps > 300 else 6)]
    tracks = simulate(game, [episode.replay(game.spec) for episode in played])
    assert sum(len(episode.action) for episode in played) > (2_000 if steps > 300 else 30)
    for track, episode in zip(tracks, played, strict=True):
        assert same(track, episode.track)


def test_host_games_exactly(walk: Any, player: Callable[..., Any]) -> None:
    played = [player(walk, seed, 300) for seed in range(40)]
    assert len({len(episode.action) for episode in played}) > 5
    tracks = simulate(walk, [episode.replay(walk.spec) for episode in played])
    for track, episode in zip(tracks, played, strict=True):
        assert same(track, episode.track)


def test_no_recompilation_for_any_length(breakout: Game, player: Callable[..., Any]) -> None:
    simulate(breakout, [player(breakout, seed, 3).replay(breakout.spec) for seed in range(3)])
    advance = device._programs(breakout, False).advance
    compiled = advance._cache_size()
    for steps in (1, 2, 33, 64, 200):
        simulate(breakout, [player(breakout, seed, steps).replay(breakout.spec) for seed in range(steps % 4 + 1)])
    assert advance._cache_size() == compiled


def test_without_observations(breakout: Game, episodes: list[Any]) -> None:
    replays = [episode.replay(breakout.spec) for episode in episodes[:3]]
    for track, episode in zip(simulate(breakout, replays, observations=False), episodes, strict=False):
        assert track.observation.shape == (0, *episode.track.observation.shape[1:])
        assert np.array_equal(track.reward, episode.track.reward)
    assert simulate(breakout, []) == []


def change(replay: Replay, **checksum: Any) -> Replay:
    sums = replay.checksum
    fields = {"returns": sums.returns, "length": sums.length, "observation": sums.observation, "marks": sums.marks, **checksum}
    return replace(replay, checksum=Checksum(**fields))


@pytest.fixture(scope="module")
def long(endless: Any, player: Callable[..., Any]) -> Any:
    return player(endless, 4, 600)


def test_what_differs_is_said(endless: Any, long: Any) -> None:
    replay = long.replay(endless.spec)
    assert (replay.length, replay.ended, len(replay.checksum.marks)) == (600, "truncated", 2)
    simulate(endless, [replay])
    cases = [
        (change(replay, returns=(1.5, 2.0)), r"return: recorded 1\.5, 2, now "),
        (change(replay, observation="0" * 32), "hash of the last observation: recorded 0000"),
        (change(replay, marks=(replay.checksum.marks[0], "0" * 16)), f"hash of the steps {MARK_EVERY} to {2 * MARK_EVERY - 1}"),
        (replace(replay, ended="terminated"), "end after step 599: recorded terminated, now truncated"),
        (replace(replay, seed=99), "hash of the steps 0 to 255"),
        (replace(replay, seed=99, versions={"jax": "0.1"}), r"recorded with jax 0\.1 \(here "),
        (replace(replay, game_version="2"), "version: recorded '2', here '1'"),
        (replace(replay, options={"size": 7, "limit": 600}), "option size: recorded 7, here 100"),
        (replace(replay, game="probe/other"), "game: recorded 'probe/other'"),
    ]
    for wrong, message in cases:
        with pytest.raises(ReplayMismatch, match=message) as caught:
            simulate(endless, [replay, wrong])
        assert wrong.id in str(caught.value)


def test_differences_are_listed_together(endless: Any, long: Any) -> None:
    wrong = change(long.replay(endless.spec), returns=(0.0, 0.0), observation="1" * 32)
    with pytest.raises(ReplayMismatch) as caught:
        simulate(endless, [wrong])
    assert re.search(r"return: .*; hash of the last observation: ", str(caught.value))
    assert simulate(endless, [wrong], check=False)[0].reward.shape == (600, 2)


def test_changed_actions_are_noticed(player: Callable[..., Any]) -> None:
    """Freeway's chicken crosses the road more often: the hash along the way says so without playing to the end."""
    game = load_game("minatar/freeway")
    replay = player(game, 1, 400).replay(game.spec)
    actions = replay.actions.copy()
    actions[100:200] = game.spec.actions.meanings.index("up")
    with pytest.raises(ReplayMismatch, match="hash of the steps 0 to 255"):
        simulate(game, [replace(replay, actions=actions)])


def test_a_replay_that_goes_on_after_the_end_is_refused(breakout: Game, episodes: list[Any]) -> None:
    episode = next(one for one in episodes if one.track.terminated[-1])
    replay = episode.replay(breakout.spec)
    n = replay.length + 40
    actions = np.concatenate([replay.actions, np.zeros((40, 1), np.int32)])
    longer = replace(replay, actions=actions, checksum=replace(replay.checksum, length=n, marks=("0" * 16,) * (n // MARK_EVERY)))
    with pytest.raises(ReplayMismatch, match=f"length: recorded {n}, now over after step {replay.length - 1}"):
        simulate(breakout, [longer], check=False)


def test_refused_before_anything_is_simulated(walk: Any, player: Callable[..., Any]) -> None:
    replay = player(walk, 0, 50).replay(walk.spec)
    with pytest.raises(ReplayMismatch):
        simulate(walk, [replay, replace(replay, game_version="0")])
    assert walk.reset_games == 0


@given(st.lists(st.integers(1, 50), max_size=20), st.integers(1, 6), st.integers(1, 20))
def test_rounds_play_everything_once_in_order(lengths: list[int], width: int, chunk: int) -> None:
    played: dict[int, list[tuple[int, int]]] = {job: [] for job in range(len(lengths))}
    lanes: dict[int, set[int]] = {job: set() for job in range(len(lengths))}
    for slots in rounds(lengths, width, chunk):
        assert len(slots) == width
        assert any(slots)
        for lane, slot in enumerate(slots):
            if slot is not None:
                played[slot.job].append((slot.start, slot.stop))
                lanes[slot.job].add(lane)
                assert 0 < slot.stop - slot.start <= chunk
    for job, length in enumerate(lengths):
        assert [start for start, _ in played[job]] == [0, *(stop for _, stop in played[job][:-1])]
        assert played[job][-1][1] == length
        assert len(lanes[job]) == 1
