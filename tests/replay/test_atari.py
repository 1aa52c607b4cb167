"""Replays of real emulators: recorded in a batch, the same in another batch and in the 60 Hz colour view."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.game import HostGame
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.cut import cut_clips
from rlhf_games.replay.frames import FrameReader
from rlhf_games.replay.reader import ClipReader
from rlhf_games.replay.recorder import Chunk, EpisodeRecorder
from rlhf_games.replay.replay import Replay
from rlhf_games.replay.simulate import simulate
from rlhf_games.workspace import load_game

LANES, STEPS = 3, 320


def record(game: HostGame) -> tuple[list[list[Replay]], dict[int, NDArray[Any]]]:
    """Plays at random in a batch that starts ended games again; per lane the replays, and per seed the observations ``[T, P, ...]``."""
    rng = np.random.default_rng(0)
    recorder = EpisodeRecorder(game.spec, LANES)
    seeds = np.arange(LANES, dtype=np.uint32)
    replays, seen = [], {}
    batch = game.batch(LANES)
    batch.reset(seeds)
    for _ in range(STEPS):
        actions = rng.integers(0, game.spec.actions.n, (LANES, 1)).astype(np.int32)
        batch.send(actions)
        step = batch.recv()
        for lane, seed in enumerate(seeds.tolist()):
            seen.setdefault(seed, []).append(step.observation[lane])
        chunk = Chunk(seeds.copy(), actions, step.reward, step.terminated, step.truncated, step.observation)
        replays += recorder.add(Chunk(*(array[None] for array in chunk)))
        over = step.terminated | step.truncated
        if over.any():
            seeds = np.where(over, seeds + LANES, seeds).astype(np.uint32)
            batch.reset(seeds, over)
    batch.close()
    replays += recorder.open_episodes()
    lanes = [[replay for replay in replays if replay.lane == lane] for lane in range(LANES)]
    return lanes, {seed: np.stack(observations) for seed, observations in seen.items()}


@pytest.fixture(scope="module", params=["atari/pong", "atari/breakout"])
def played(request: pytest.FixtureRequest) -> tuple[HostGame, list[list[Replay]], dict[int, NDArray[Any]]]:
    game = load_game(request.param)
    assert isinstance(game, HostGame)
    return game, *record(game)


def test_exact(played: Any) -> None:
    game, lanes, seen = played
    replays = [replay for lane in lanes for replay in lane]
    assert sum(replay.length for replay in replays) == LANES * STEPS
    assert len(replays) > LANES or game.spec.name == "atari/pong", "games of Breakout were over and began again"
    for track, replay in zip(simulate(game, replays), replays, strict=True):
        assert np.array_equal(track.observation[1:], seen[replay.seed])


def test_clips(played: Any) -> None:
    game, lanes, seen = played
    known = {replay.id: replay for lane in lanes for replay in lane}
    clips = cut_clips(lanes, 25, np.random.default_rng(0), 6, ends="hidden")
    batch = ClipReader(game, known.__getitem__).read(clips)
    assert batch.mask.all()
    for row, clip in enumerate(clips):
        expected = np.concatenate([seen[known[s.replay_id].seed][s.start : s.stop, 0] for s in clip.segments])
        assert np.array_equal(batch.next_observation[row], expected)


def test_pictures(played: Any) -> None:
    """The interactive session must show the hashes that the batch recorded, or the reader refuses; and 4 pictures a decision."""
    game, lanes, _ = played
    replay = max((replay for lane in lanes for replay in lane), key=lambda one: one.length)
    with FrameReader(game, {replay.id: replay}.__getitem__) as reader:
        assert reader.fps == pytest.approx(60.0)
        film = reader.film(Clip((Segment(replay.id, 60, 20),)))
    assert film.frames.shape == (1 + 4 * 20, *game.spec.frame_shape, 3)
    assert film.step.tolist() == [0] + [t for t in range(20) for _ in range(4)]
    assert len({frame.tobytes() for frame in film.frames}) > 40
