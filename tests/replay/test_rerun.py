"""Clips drawn from a replay that is kept open are those that playing it from its seed shows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rlhf_games.core.game import RewindableSession
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay, ReplayMismatch
from rlhf_games.replay.rerun import Rerun
from rlhf_games.workspace import load_game


def play(game: Any, seed: int, steps: int) -> tuple[Replay, list[Any]]:
    """A replay, and every picture of it: entry ``t + 1`` is what step ``t`` brought."""
    session, rng = game.open(seed), np.random.default_rng(seed)
    recorder = SessionRecorder(session, seed, player=("agent",) * game.spec.players)
    pictures = [session.frames()]
    while len(pictures) <= steps and not (session.timestep.terminated or session.timestep.truncated):
        recorder.step(rng.integers(0, game.spec.actions.n, game.spec.players).astype(np.int32))
        pictures.append(session.frames())
    return recorder.replay(), pictures


@pytest.fixture(scope="module")
def pong() -> tuple[Any, Replay, list[Any]]:
    game = load_game("atari/pong")
    return game, *play(game, 5, 400)


def same(shown: list[tuple[int, Any]], pictures: list[Any], start: int, stop: int) -> bool:
    expected = [(0, pictures[start][-1:]), *((t - start, pictures[t + 1]) for t in range(start, stop))]
    return all(step == other and np.array_equal(frames, others) for (step, frames), (other, others) in zip(shown, expected, strict=True))


@pytest.mark.parametrize("name", ["atari/breakout", "atari/montezuma_revenge", "pettingzoo/pong"])
def test_pieces_in_any_order(name: str) -> None:
    game: Any = load_game(name)
    replay, pictures = play(game, 3, 330)
    rerun, rng = Rerun(game, replay), np.random.default_rng(0)
    starts = [0, *rng.integers(0, replay.length - 20, 6).tolist(), replay.length - 20, 0, 65, 64, 63]
    for start in starts:
        start = min(start, replay.length - 20)
        assert same(rerun.draw(start, start + 20), pictures, start, start + 20), start
    rerun.close()


def test_it_is_not_played_from_its_seed_again(pong: Any) -> None:
    game, replay, pictures = pong
    rerun = Rerun(game, replay)
    rerun.draw(300, 320)
    before = len(rerun._session._played)  # type: ignore[attr-defined]
    steps = []
    real = rerun._session._decide  # type: ignore[attr-defined]
    rerun._session._decide = lambda action, **more: (steps.append(action), real(action, **more))[1]  # type: ignore[attr-defined]
    assert same(rerun.draw(200, 220), pictures, 200, 220)
    assert before >= 320
    assert len(steps) <= 2 * 64, "from the bookmark before it to the one after it"


def test_skipping_brings_what_stepping_brings(pong: Any) -> None:
    game, replay, _ = pong
    stepped, skipped = game.open(replay.seed), game.open(replay.seed)
    assert isinstance(skipped, RewindableSession)
    rewards = np.stack([stepped.step(action).reward for action in replay.actions[:150]])
    brought = skipped.skip(replay.actions[:150])
    assert np.array_equal(brought.reward, rewards)
    for a, b in zip(stepped.timestep, skipped.timestep, strict=True):
        assert np.array_equal(a, b)
    mark = skipped.bookmark()
    seen = [skipped.step(action).observation for action in replay.actions[150:200]]
    for _ in range(2):
        skipped.go_back(mark)
        assert np.array_equal(skipped.timestep.observation, stepped.timestep.observation)
        assert all(np.array_equal(skipped.step(action).observation, old) for action, old in zip(replay.actions[150:200], seen, strict=True))


def test_going_back_from_the_end_of_an_episode() -> None:
    game: Any = load_game("atari/breakout")
    replay, pictures = play(game, 1, 5000)
    assert replay.ended == "terminated"
    rerun = Rerun(game, replay)
    for start in (replay.length - 10, 5, replay.length - 10, 70):
        assert same(rerun.draw(start, start + 10), pictures, start, start + 10)


@pytest.mark.parametrize("start", [0, 30, 320])
def test_a_replay_that_does_not_reproduce_is_refused(pong: Any, start: int) -> None:
    game, replay, _ = pong
    actions = replay.actions.copy()
    actions[20:60] = 2
    with pytest.raises(ReplayMismatch, match="no longer reproduces"):
        Rerun(game, replace(replay, actions=actions)).draw(start, start + 20)


def test_a_bookmark_that_leads_elsewhere_is_noticed(pong: Any) -> None:
    game, replay, _ = pong
    rerun = Rerun(game, replay)
    rerun.draw(300, 320)
    rerun._places[192] = rerun._places[192]._replace(bookmark=rerun._places[64].bookmark)
    with pytest.raises(ReplayMismatch, match="another way"):
        rerun.draw(200, 220)
