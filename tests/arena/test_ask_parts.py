"""Tapes, thoughts, branches and saliency against their plain twins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from rlhf_games.arena.branching import branch_steps, fork, play_on
from rlhf_games.arena.feature_bars import feature_weights
from rlhf_games.arena.insight import CHUNK, Timeline, consider, policy_key
from rlhf_games.arena.saliency import saliency
from rlhf_games.arena.tape import Seen, Tape
from rlhf_games.arena.unsure import far_apart, uncertainty
from rlhf_games.core.game import Game
from rlhf_games.core.spaces import Observation
from rlhf_games.replay.clip import Clip, Segment
from rlhf_games.replay.frames import FrameReader
from rlhf_games.replay.replay import Replay, ReplayMismatch
from rlhf_games.replay.simulate import simulate
from rlhf_games.rollout.device import Transition
from rlhf_games.workspace import load_game

from .asking_world import KnownMind, Walk, walk_replay
from .small_run import publish_fresh, record


def played(game: Any, replay: Replay) -> Tape:
    tape = Tape(game, replay)
    while not tape.done:
        tape.play(CHUNK)
    return tape


@pytest.fixture(scope="module")
def breakout(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A published policy of MinAtar's Breakout."""
    return publish_fresh(tmp_path_factory.mktemp("run"), "minatar/breakout")


def longest(mind: Any) -> Replay:
    return max((record(mind, mind.game, seed, 80) for seed in range(4)), key=lambda replay: replay.length)


# Tapes


def test_a_tape_shows_what_replays_and_clips_show(breakout: Any) -> None:
    replay = longest(breakout)
    tape, [track] = played(breakout.game, replay), simulate(breakout.game, [replay])
    seen = tape.look(0, replay.length)
    np.testing.assert_array_equal(seen.observation, track.observation[:-1])
    np.testing.assert_array_equal(seen.next_observation, track.observation[1:])
    np.testing.assert_array_equal(tape.rewards(0), track.reward[:, 0])
    with FrameReader(breakout.game, lambda _: replay) as reader:
        film = reader.frames(Clip((Segment(replay.id, 0, replay.length),)))
    pictures = [tape.pictures(t)[k] for t in range(replay.length + 1) for k in range(len(tape.pictures(t)))]
    np.testing.assert_array_equal(np.stack(pictures), film)


@pytest.mark.parametrize("game", [Walk(limit=300), load_game("minatar/asterix")])
def test_the_game_stands_at_any_decision_as_it_stood(game: Game) -> None:
    rng = np.random.default_rng(1)
    from rlhf_games.replay.recorder import SessionRecorder

    session = game.open(5)
    recorder = SessionRecorder(session, 5, player=("agent",))
    while recorder_length(session) is False:
        recorder.step(rng.integers(0, 3, 1).astype(np.int32))
    replay = recorder.replay()
    tape = played(game, replay)
    for t in {0, 1, 15, 16, 17, replay.length // 2, replay.length - 1} & set(range(replay.length)):
        standing = tape.session_at(t)
        np.testing.assert_array_equal(standing.timestep.observation, tape.look(t, t + 1).observation[0])
        after = standing.step(replay.actions[t])
        np.testing.assert_array_equal(after.observation, tape.look(t, t + 1).next_observation[0])
        np.testing.assert_array_equal(tape.session_at(t).timestep.observation, tape.look(t, t + 1).observation[0])


def recorder_length(session: Any) -> bool:
    return bool(session.timestep.terminated or session.timestep.truncated)


def test_nothing_is_shown_before_it_is_checked() -> None:
    game = Walk(limit=400)
    tape = Tape(game, walk_replay(game, 1, 400))
    tape.play(200)
    assert tape.checked == 0
    with pytest.raises(IndexError, match="not played yet"):
        tape.pictures(0)
    tape.play(100)
    assert tape.checked == 257, "up to the first mark"
    tape.play(100)
    assert tape.done
    assert tape.checked == 401


def test_what_does_not_reproduce_is_refused_at_the_first_mark() -> None:
    game = Walk(limit=400)
    replay = walk_replay(game, 1, 400)
    other = replace(replay, seed=2)
    tape = Tape(game, other)
    with pytest.raises(ReplayMismatch, match="steps 0 to 255"):
        tape.play(300)
    assert tape.checked == 0
    short = walk_replay(Walk(), 1, 40)
    with pytest.raises(ReplayMismatch, match="no longer reproduces"):
        Tape(Walk(), replace(short, seed=3)).play(100)
    with pytest.raises(ReplayMismatch, match="does not belong"):
        Tape(load_game("minatar/breakout"), short)


# Thoughts


def test_thoughts_are_the_agents_own(breakout: Any) -> None:
    tape = played(breakout.game, longest(breakout))
    seen = tape.look(0, min(CHUNK, tape.length))
    insight = consider(breakout, seen)
    rows = seen.observation[:, 0]
    explained = breakout.agent.explain(breakout.agent_params, jax.numpy.asarray(rows), jax.numpy.asarray(seen.legal[:, 0]))
    np.testing.assert_allclose(insight.probabilities[:, 0], explained.probabilities, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(insight.value[:, 0], explained.value, rtol=1e-4, atol=1e-5)
    transition: Any = Transition(rows, seen.action[:, 0], seen.next_observation[:, 0], seen.reward[:, 0])  # type: ignore[arg-type]
    ensemble = breakout.ensemble
    expected = ensemble.normalised(breakout.reward_params, ensemble.encode(jax.tree.map(jax.numpy.asarray, transition)))
    np.testing.assert_allclose(insight.reward[:, :, 0], expected, rtol=1e-3, atol=1e-4)


def test_a_timeline_asks_for_what_is_nearest_and_is_played() -> None:
    game = Walk(limit=100)
    tape, mind = played(game, walk_replay(game, 1, 100)), KnownMind()
    timeline = Timeline(100)
    assert timeline.missing(50, 40) == (0, 32), "the next piece is not played yet"
    assert timeline.missing(50, 100) == (32, 64)
    assert timeline.at(50, 0) is None
    timeline.put(consider(mind, tape.look(32, 64)))
    assert timeline.version == 1
    assert timeline.missing(50, 100) == (64, 96)
    thought = timeline.at(50, 0)
    assert thought is not None
    np.testing.assert_allclose(thought.probabilities, mind.explain(*(a[0] for a in rows(tape, 50))).probabilities[0])
    mean, spread = timeline.rewards(0)
    assert np.isnan(mean[:32]).all()
    np.testing.assert_allclose(spread[32:64], mean[32:64] * np.std([1, 2, 3]) / 2, rtol=1e-6)
    for start in (0, 64, 96):
        timeline.put(consider(mind, tape.look(start, min(100, start + CHUNK))))
    assert timeline.missing(0, 100) is None
    assert np.isfinite(timeline.values(0)).all()


def rows(tape: Tape, t: int) -> tuple[Any, Any]:
    seen = tape.look(t, t + 1)
    return seen.observation, seen.legal


# What if


@pytest.mark.parametrize("name", ["minatar/breakout", "atari/pong"])
def test_branches_are_plain_re_simulations(name: str, tmp_path: Path) -> None:
    mind = publish_fresh(tmp_path, name, members=2)
    replay = record(mind, mind.game, 1, 20)
    tape, t = played(mind.game, replay), min(4, replay.length - 1)
    other = (int(replay.actions[t, 0]) + 1) % 3
    found = fork(tape, mind, t, 0, other)
    assert found.chosen.actions[0, 0] == other
    assert len(found.chosen.actions) <= branch_steps(mind.game.spec.decisions_per_second)
    for branch in (found.chosen, found.policy):
        again = mind.game.open(replay.seed)
        for action in replay.actions[:t]:
            again.step(action)
        pictures, seen = [again.frames()[-1]], [again.timestep]
        for action in branch.actions:
            seen.append(again.step(action))
            pictures += list(again.frames())
        shown = np.stack([branch.film.frames[k] for k in range(len(branch.film.frames))])
        np.testing.assert_array_equal(shown, np.stack(pictures))
        assert branch.ended == bool(seen[-1].terminated or seen[-1].truncated)
        columns: Any = [np.stack([one.observation[0] for one in part]) for part in (seen[:-1], seen[1:])]
        rewards = mind.reward(Transition(columns[0], branch.actions[:, 0], columns[1], np.stack([one.reward[0] for one in seen[1:]])))  # type: ignore[arg-type]
        np.testing.assert_allclose(branch.reward, rewards, rtol=1e-4, atol=1e-5)
    keys = [policy_key(replay.seed, t + k) for k in range(len(found.policy.actions))]
    expected = mind.policy(tape.look(t, t + 1).observation[0], keys[0], tape.legal(t))
    assert found.policy.actions[0, 0] == expected[0], "the policy's own choice with the same key"
    assert play_on(tape, mind, t, 0, None).actions.tolist() == found.policy.actions.tolist(), "again the same"


@pytest.mark.parametrize("name", ["minatar/space_invaders", "board/connect_four"])
def test_a_game_knows_where_its_board_lies_in_the_picture(name: str) -> None:
    game = load_game(name)
    assert game.spec.board_in_frame is not None
    top, left, height, width = game.spec.board_in_frame
    session, changed = game.open(1), 0
    for t in range(12):
        seen, picture = session.timestep.observation[0], session.frames()[-1]
        after = session.step(np.full(game.spec.players, t % 3, np.int32))
        other = session.frames()[-1]
        rows, columns = seen.shape[:2]
        part = (picture != other).any(-1)[top : top + height, left : left + width]
        cells = part.reshape(rows, height // rows, columns, width // columns).any((1, 3))
        moved = (seen != after.observation[0]).any(-1)
        assert (cells[moved]).all(), "what changes on the board changes in its cell of the picture"
        changed += int(moved.sum())
        if after.terminated:
            break
    assert changed > 3


# Saliency


class Looker(KnownMind):
    """Pays what one place of the next observation holds, and more where another is set."""

    def __init__(self, place: tuple[Any, ...]) -> None:
        super().__init__()
        self.place = place

    def reward(self, transition: Any) -> Any:
        there = np.asarray(transition.next_observation, np.float32)[(slice(None), *self.place)]
        total = there.reshape(len(there), -1).mean(1)
        return np.stack([total, 2 * total])


def step_of(observation: Any) -> Seen:
    return Seen(
        0,
        observation[None, None],
        observation[None, None],
        np.zeros((1, 1), np.int32),
        np.ones((1, 1, 3), bool),
        np.zeros((1, 1), np.float32),
    )


def test_saliency_finds_the_cell_and_the_plane() -> None:
    board = np.random.default_rng(0).random((6, 7, 4)) < 0.5
    board[2, 5, 3] = True
    what = saliency(Looker((2, 5, 3)), step_of(board), 0, Observation(board.shape, "bool", "grid"))
    assert np.argwhere(what.heat > 0).tolist() == [[2, 5]]
    assert what.heat[2, 5] == 1.0
    assert what.strongest == pytest.approx(1.5)
    assert np.flatnonzero(what.channels).tolist() == [3]
    board[2, 5, 3] = False
    empty = saliency(Looker((2, 5, 3)), step_of(board), 0, Observation(board.shape, "bool", "grid"))
    assert empty.strongest == 0
    assert not empty.heat.any()


def test_saliency_finds_the_pixels_and_the_feature() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (84, 84, 4), dtype=np.uint8)
    picture[60:66, 20:26] = 255
    what = saliency(Looker((slice(60, 66), slice(20, 26))), step_of(picture), 0, Observation(picture.shape, "uint8", "image"))
    y, x = np.unravel_index(what.heat.argmax(), what.heat.shape)
    assert abs(int(y) - 63) <= 4
    assert abs(int(x) - 23) <= 4
    assert what.heat[:40].max() < 0.05
    vector = np.linspace(1, 2, 9, dtype=np.float32)
    features = saliency(Looker((4,)), step_of(vector), 0, Observation((9,), "float32", "vector"))
    weights = feature_weights(features, [f"part_{number}" for number in range(9)])
    assert weights[0] == ("part 4", pytest.approx(features.strongest), 1.0)
    assert [share for _, _, share in weights[1:]] == [0.0] * 8
    assert feature_weights(features, ())[0][0] == "feature 4", "where nobody has named them"
    assert features.heat.shape == (1, 9)
    assert np.flatnonzero(features.heat).tolist() == [4]


# Uncertainty


def test_the_uncertain_decisions_are_far_apart_and_new() -> None:
    unsure = np.full((100, 2), 0.1)
    unsure[30, 1], unsure[31, 0], unsure[60, 0], unsure[90, 0] = 0.9, 0.85, 0.8, 0.7
    assert far_apart(unsure, 3, 10, set()) == [(30, 1), (60, 0), (90, 0)]
    assert far_apart(unsure, 2, 10, {29}) == [(60, 0), (90, 0)]
    assert far_apart(np.full((50, 1), -1.0), 3, 10, set()) == []


def test_uncertainty_is_a_share_of_a_blind_choice() -> None:
    game = Walk(seats=2, turns=True)
    tape = played(game, walk_replay(game, 1))

    class Sure(KnownMind):
        def explain(self, observation: Any, legal: Any) -> Any:
            found = super().explain(observation, legal)
            blind = legal / legal.sum(1, keepdims=True)
            return found._replace(probabilities=np.where(np.arange(len(legal))[:, None] < len(legal) // 2, blind, np.eye(4)[0]))

    share = uncertainty(Sure(), tape, 0, 40)
    acting = np.stack([tape.acting(t) for t in range(40)])
    assert (share[~acting] == -1).all()
    np.testing.assert_allclose(share[:20][acting[:20]], 1.0)
    np.testing.assert_allclose(share[20:][acting[20:]], 0.0, atol=1e-9)
