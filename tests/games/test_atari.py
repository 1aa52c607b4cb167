"""Atari: sessions play what batches play, bit for bit; masks blank what they say; options do what they say."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import HostBatch, HostGame, Session, TimeStep
from rlhf_games.core.spaces import Discrete
from rlhf_games.workspace import cards, load_game

NAMES = [card.name for card in cards() if card.family == "atari"]
MASKED = {
    "beam_rider", "breakout", "enduro", "hero", "montezuma_revenge", "pong", "private_eye", "qbert", "seaquest", "space_invaders",
}  # fmt: skip
BIG = 3_000_000_123
"""A seed above 2³¹: the emulator's own seeds are signed."""


def load(name: str, **options: Any) -> HostGame:
    game = load_game(f"atari/{name}", options)
    assert isinstance(game, HostGame)
    return game


def count(game: HostGame) -> int:
    assert isinstance(game.spec.actions, Discrete)
    return game.spec.actions.n


@contextmanager
def batch_of(game: HostGame, *seeds: int) -> Iterator[tuple[HostBatch, TimeStep[NDArray[Any]]]]:
    with closing(game.batch(len(seeds))) as batch:
        yield batch, batch.reset(np.array(seeds, np.uint32))


def play(batch: HostBatch, actions: NDArray[Any]) -> TimeStep[NDArray[Any]]:
    batch.send(actions)
    return batch.recv()


def assert_same(batch: TimeStep[NDArray[Any]], lane: int, session: TimeStep[NDArray[Any]], when: Any = "") -> None:
    for name, ours, theirs in zip(TimeStep._fields, batch, session, strict=True):
        if name == "out":
            assert ours is theirs is None, "nobody is ever out of a game of one seat"
        else:
            np.testing.assert_array_equal(ours[lane], theirs, err_msg=f"{name} {when}")


@pytest.mark.parametrize("name", ["pong", "breakout", "seaquest", "double_dunk"])
def test_a_session_is_a_lane_of_a_batch_also_in_later_episodes(name: str) -> None:
    """Double Dunk presses buttons while it starts; sticky actions are on."""
    game = load(name, max_frames_per_episode=78)
    rng = np.random.default_rng(0)
    with batch_of(game, 5, 6) as (batch, seen):
        seeds = np.array([5, 6])
        sessions = [game.open(int(seed)) for seed in seeds]
        ends = 0
        for step in range(50):
            actions = rng.integers(count(game), size=(2, 1))
            seen = play(batch, actions)
            for lane, session in enumerate(sessions):
                assert_same(seen, lane, session.step(actions[lane]), (step, lane))
            over = seen.terminated | seen.truncated
            ends += int(over.sum())
            if over.any():
                seeds = np.where(over, BIG + 10 * step + np.arange(2), seeds)
                seen = batch.reset(seeds.astype(np.uint32), over)
                sessions = [game.open(int(seed)) if new else old for seed, new, old in zip(seeds, over, sessions, strict=True)]
                for lane in np.flatnonzero(over):
                    assert_same(seen, int(lane), sessions[lane].timestep, (step, lane))
    assert ends >= 4


def test_breakout_to_its_own_end() -> None:
    game = load("breakout")
    rng = np.random.default_rng(1)
    with batch_of(game, BIG) as (batch, seen):
        session = game.open(BIG)
        while not seen.terminated[0]:
            actions = rng.integers(count(game), size=(1, 1))
            seen = play(batch, actions)
            assert_same(seen, 0, session.step(actions[0]))
        assert session.timestep.terminated
        assert not session.timestep.truncated
        with pytest.raises(RuntimeError, match="the episode is over"):
            session.step(np.array([0]))
        with pytest.raises(RuntimeError, match=r"games \[0\] must be reset"):
            batch.send(np.zeros((1, 1)))


def test_the_cards_say_what_the_emulator_says() -> None:
    from ale_py import ALEInterface, LoggerMode, roms

    ALEInterface.setLoggerMode(LoggerMode.Error)
    playable = [rom for rom in roms.get_all_rom_ids() if ALEInterface.isSupportedROM(str(roms.get_rom_path(rom))) is not None]
    assert [name.partition("/")[2] for name in NAMES] == sorted(playable)
    for rom in playable[::6]:
        ale = ALEInterface()
        ale.loadROM(str(roms.get_rom_path(rom)))
        spec = load(rom).spec
        assert spec.frame_shape == ale.getScreenDims(), rom
        said = [action.name.lower() for action in ale.getMinimalActionSet()]
        assert [meaning.replace("-", "") for meaning in spec.actions.meanings] == said, rom


@pytest.mark.parametrize("name", ["pong", "space_invaders", "pooyan", "qbert", "air_raid"])
def test_a_branch_goes_on_exactly_and_apart(name: str) -> None:
    """Q*bert's and Air Raid's branches are played again; the pictures of Pooyan and Air Raid are taller than 210."""
    game = load(name)
    rng = np.random.default_rng(2)
    session = game.open(11)
    for _ in range(20):
        session.step(rng.integers(count(game), size=1))
    before = session.timestep.observation.copy()
    branch, other = session.branch(), session.branch()
    np.testing.assert_array_equal(branch.frames(), session.frames())
    for _ in range(5):
        other.step(np.array([count(game) - 1]))
    np.testing.assert_array_equal(session.timestep.observation, before)
    for _ in range(40):
        action = rng.integers(count(game), size=1)
        for ours, theirs in zip(session.step(action), branch.step(action), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(branch.frames(), session.frames())


@pytest.mark.parametrize("seed", [0, 7, BIG])
def test_the_stuck_action_is_told_from_the_numbers_that_the_emulator_draws(seed: int) -> None:
    """Beyond a Mersenne Twister's 624 numbers; a state that was saved goes on with the same ones."""
    session: Any = load("pong").open(seed)
    emulator = session._emulator
    numbers = np.random.RandomState(seed & 0x7FFFFFFF).randint(0, 2**32, (2000, 2), np.uint32)[emulator.frame :, 0]
    held, wanted = emulator._held, []
    codes = np.random.default_rng(seed).choice([2, 3], 700).tolist()
    for number, code in zip(numbers.tolist(), codes, strict=False):
        held = code if number / 2**32 >= 0.25 else held
        wanted.append(held)
    assert wanted != codes

    def play(begin: int) -> list[int]:
        return [(emulator.act(code), emulator._held)[1] for code in codes[begin:]]

    def saved_at(frames: int) -> Any:
        for code in codes[:frames]:
            emulator.act(code)
        return emulator.save()

    begin = emulator.save()
    assert play(0) == wanted
    emulator.restore(begin)
    middle = saved_at(400)
    assert play(400) == wanted[400:]
    emulator.restore(middle)
    assert play(400) == wanted[400:]


def test_frames_are_every_frame_in_colour() -> None:
    game = load("pong", frame_skip=5)
    session = game.open(3)
    assert session.frames().shape == (1, 210, 160, 3)
    session.step(np.array([0]))
    frames = session.frames()
    assert frames.shape == (5, 210, 160, 3)
    assert frames.dtype == np.uint8
    assert len(np.unique(frames.reshape(-1, 3), axis=0)) >= 3
    single = load("pong", frame_skip=1).open(3)
    for frame in frames:
        single.step(np.array([0]))
        np.testing.assert_array_equal(single.frames()[0], frame)


def after(options: dict[str, Any], steps: int = 12, name: str = "breakout") -> tuple[Session, TimeStep[NDArray[Any]]]:
    """A batch and a session with these options, checked against each other for a few steps."""
    game = load(name, **options)
    rng = np.random.default_rng(4)
    session = game.open(22)
    with batch_of(game, 22) as (batch, seen):
        for _ in range(steps):
            action = rng.integers(4, size=(1, 1))
            seen = play(batch, action)
            assert_same(seen, 0, session.step(action[0]), options)
            if seen.terminated[0] or seen.truncated[0]:
                break
    return session, session.timestep


@cache
def by_default(name: str) -> NDArray[Any]:
    """What is seen after 60 decisions without options."""
    return after({}, 60, name)[1].observation


@pytest.mark.parametrize(
    "options",
    [
        {"frame_skip": 2},
        {"frame_skip": 1},
        {"sticky_action_prob": 0.0},
        {"sticky_action_prob": 0.9},
        {"noop_max": 0},
        {"noop_max": 200},
        {"full_action_space": True},
        {"frame_stack": 2},
        {"screen_size": 64},
        {"screen_size": 160},
        {"grayscale": False},
        {"max_pool": False},
        {"hide_score": True},
    ],
    ids=str,
)
def test_each_option_changes_what_is_seen_alike_in_batch_and_session(options: dict[str, Any]) -> None:
    name = "breakout" if "full_action_space" in options else "seaquest"  # Seaquest uses all 18 actions anyway
    default, changed = by_default(name), after(options, 60, name)[1].observation
    assert default.shape != changed.shape or (default != changed).any()
    shape = {"frame_stack": (84, 84, 2), "screen_size": (options.get("screen_size"),) * 2 + (4,), "grayscale": (84, 84, 12)}
    assert changed.shape[1:] == shape.get(next(iter(options)), (84, 84, 4))


def test_fire_is_pressed_at_the_start() -> None:
    """Breakout serves its first ball on fire: nobody presses it here."""
    served, waiting = (load("breakout", sticky_action_prob=0.0, fire_reset=fire) for fire in (True, False))
    seen = []
    for game in (served, waiting):
        session = game.open(24)
        with batch_of(game, 24) as (batch, _):
            for _ in range(12):
                assert_same(play(batch, np.array([[0]])), 0, session.step(np.array([0])))
        seen.append(session.timestep.observation)
    assert (seen[0] != seen[1]).any()


def test_full_action_space_has_all_actions() -> None:
    assert count(load("breakout")) == 4
    spec = load("breakout", full_action_space=True).spec
    assert count(load("breakout", full_action_space=True)) == 18
    assert spec.keys["space+up+right"] == 14
    assert spec.buttons["a+dpup+dpright"] == 14


def test_rewards_are_clipped_only_when_asked() -> None:
    """Q*bert pays 25 for a cube."""

    def earned(clip: bool) -> set[float]:
        session = load("qbert", reward_clipping=clip, sticky_action_prob=0.0).open(1)
        rewards = {float(session.step(np.array([5 if step % 2 else 0])).reward[0]) for step in range(60)}
        with batch_of(load("qbert", reward_clipping=clip, sticky_action_prob=0.0), 1) as (batch, _):
            assert rewards == {float(play(batch, np.array([[5 if step % 2 else 0]])).reward[0, 0]) for step in range(60)}
        return rewards

    assert earned(clip=False) == {0.0, 25.0}
    assert earned(clip=True) == {0.0, 1.0}


def test_episodes_end_where_options_say() -> None:
    session, last = after({"max_frames_per_episode": 30}, 50)
    assert (bool(last.terminated), bool(last.truncated)) == (False, True)
    assert len(session.frames()) == 2  # 30 = 7 · 4 + 2
    session, last = after({"end_on_life_loss": True}, 400)
    assert (bool(last.terminated), bool(last.truncated)) == (True, False)
    assert not after({}, 30)[1].terminated


def test_masks_blank_score_and_lives_and_nothing_else() -> None:
    rng = np.random.default_rng(5)
    for name in sorted(MASKED):
        game = load(name)
        shown, hidden = game.open(9), load(name, hide_score=True).open(9)
        for _ in range(70 if name == "qbert" else 12):  # Q*bert shows its score in every other second only
            action = rng.integers(count(game), size=1)
            one, other = shown.step(action).observation[0], hidden.step(action).observation[0]
        differs = (one != other).any(-1)
        assert differs.any(), name
        assert differs.mean() < 0.25, name
        assert not other[differs].any(), name
        np.testing.assert_array_equal(shown.frames(), hidden.frames())
        assert game.spec.hides_score


def test_people_can_have_the_score_covered_where_it_is_marked() -> None:
    for name in sorted(MASKED):
        spec = load(name).spec
        assert spec.score_in_frame == load(name, hide_score=True).spec.score_in_frame
        for top, left, height, width in spec.score_in_frame:
            assert 0 <= top < top + height <= spec.frame_shape[0]
            assert 0 <= left < left + width <= spec.frame_shape[1]
    session = load("breakout").open(9)
    for _ in range(12):
        session.step(np.array([0], np.int32))
    [(top, left, height, width)] = session.spec.score_in_frame
    assert session.frames()[-1][top : top + height, left : left + width].any(), "that is where the digits are"
    assert load("tetris").spec.score_in_frame == ()


def test_nothing_of_a_changing_score_is_seen() -> None:
    """Space Invaders: with the aliens standing elsewhere or not, the rows of the score are black in every observation."""
    game = load("space_invaders", hide_score=True)
    assert game.spec.observation.shape == (84, 84, 4)
    rows = slice(9 * 84 // 210, -(-21 * 84 // 210))
    rng = np.random.default_rng(6)
    session, paid = game.open(2), 0.0
    for _ in range(150):
        seen = session.step(rng.integers(6, size=1))
        paid += float(seen.reward[0])
        assert not seen.observation[0, rows].any()
    assert paid > 0
    assert session.frames()[0, 10:20].any()


def test_what_cannot_be_is_refused_in_words() -> None:
    with pytest.raises(UserError, match=r"hide_score is not possible.*beam_rider, breakout"):
        load("tetris", hide_score=True)
    with pytest.raises(UserError, match="sticky_action_prob: must be in"):
        load("pong", sticky_action_prob=1.0)
    with pytest.raises(UserError, match="frame_skip: must be at least 1, got 0"):
        load("pong", frame_skip=0)
    with pytest.raises(UserError, match="36 to 160"):
        load("pong", screen_size=210)
    with pytest.raises(UserError, match="did you mean 'atari/pong'"):
        load("pnog")
    with batch_of(load("pong"), 1) as (batch, _):
        with pytest.raises(ValueError, match="actions must be 0 to 5"):
            batch.send(np.array([[6]]))
        with pytest.raises(RuntimeError, match="without send"):
            batch.recv()
        with pytest.raises(ValueError, match=r"must be \[1\]"):
            batch.reset(np.zeros(2, np.uint32))
        batch.close()


def test_a_partial_reset_leaves_the_others_alone() -> None:
    game = load("pong")
    with batch_of(game, 1, 2) as (batch, _):
        before = play(batch, np.array([[2], [3]]))
        seen = batch.reset(np.array([0, 9], np.uint32), np.array([False, True]))
        np.testing.assert_array_equal(seen.observation[0], before.observation[0])
        assert (seen.observation[1] != before.observation[1]).any()
        assert not seen.reward.any()
