"""PettingZoo Atari: sessions play what batches play, on threads too; seats, ends and options do what they say."""

from __future__ import annotations

import importlib
import threading
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games.core.errors import UserError
from rlhf_games.core.game import HostGame
from rlhf_games.core.spaces import Discrete
from rlhf_games.workspace import cards, load_game

CARDS = [card for card in cards() if card.family == "pettingzoo"]
BIG = 3_000_000_123


def load(name: str, **options: Any) -> HostGame:
    game = load_game(f"pettingzoo/{name}", options)
    assert isinstance(game, HostGame)
    return game


def count(game: HostGame) -> int:
    assert isinstance(game.spec.actions, Discrete)
    return game.spec.actions.n


@pytest.mark.parametrize("name", ["pong", "warlords"])
def test_sessions_are_lanes_of_a_batch_also_in_later_episodes(name: str) -> None:
    game = load(name, max_frames_per_episode=50)
    rng = np.random.default_rng(0)
    seeds, ends = np.array([5, 6]), 0
    with closing(game.batch(2)) as batch:
        batch.reset(seeds.astype(np.uint32))
        sessions = [game.open(int(seed)) for seed in seeds]
        for step in range(27):
            actions = rng.integers(count(game), size=(2, game.spec.players))
            batch.send(actions)
            seen = batch.recv()
            for lane, session in enumerate(sessions):
                for ours, theirs in zip(session.step(actions[lane]), seen, strict=True):
                    np.testing.assert_array_equal(ours, theirs[lane], err_msg=f"step {step}")
            over = seen.terminated | seen.truncated
            if over.any():
                ends += int(over.sum())
                seeds = np.where(over, BIG + step + np.arange(2), seeds)
                batch.reset(seeds.astype(np.uint32), over)
                sessions = [game.open(int(seed)) if new else old for seed, new, old in zip(seeds, over, sessions, strict=True)]
    assert ends >= 4


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_the_cards_say_what_pettingzoo_says() -> None:
    from ale_py import roms
    from pettingzoo.atari.all_modules import atari_environments

    assert len(CARDS) == 24
    environments = {name.partition("/")[2] for name in atari_environments}
    games = {card.name.partition("/")[2]: load(card.name.partition("/")[2]) for card in CARDS}
    assert {game.spec.version.split("-")[1] for game in games.values()} == environments
    for name in list(games)[::4]:
        spec = games[name].spec
        env = importlib.import_module(f"pettingzoo.atari.{spec.version.split('-')[1]}").parallel_env(
            auto_rom_install_path=str(Path(roms.__file__).parent), obs_type="grayscale_image"
        )
        assert spec.players == len(env.possible_agents)
        assert count(games[name]) == env.action_space(env.possible_agents[0]).n
        assert spec.frame_shape == env.observation_space(env.possible_agents[0]).shape[:2]


def test_seats_see_one_screen_and_who_they_are() -> None:
    observation = load("warlords").open(3).timestep.observation
    for seat, value in enumerate((0, 85, 170, 255)):
        np.testing.assert_array_equal(observation[seat, ..., :4], observation[0, ..., :4])
        assert (observation[seat, ..., 4] == value).all()
    assert load("warlords", seat_plane=False).open(3).timestep.observation.shape == (4, 84, 84, 4)


def test_a_branch_goes_on_exactly_and_apart() -> None:
    game = load("boxing")
    rng = np.random.default_rng(2)
    session = game.open(11)
    for _ in range(10):
        session.step(rng.integers(count(game), size=2))
    branch, other = session.branch(), session.branch()
    np.testing.assert_array_equal(branch.frames(), session.frames())
    for _ in range(3):
        other.step(np.array([1, 1]))
    for _ in range(20):
        action = rng.integers(count(game), size=2)
        for ours, theirs in zip(session.step(action), branch.step(action), strict=True):
            np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(branch.frames(), session.frames())


def test_an_episode_ends_by_itself_and_pays_the_seats_apart() -> None:
    """Pong: nobody moves, so somebody misses; what one seat wins the other loses."""
    session = load("pong", sticky_action_prob=0.0).open(1)
    rewards = np.stack([session.step(np.array([1, 1])).reward for _ in range(250)])
    assert rewards.any()
    np.testing.assert_array_equal(rewards[:, 0], -rewards[:, 1])


def test_a_seat_that_is_out_no_longer_acts() -> None:
    game = load("wizard_of_wor")
    rng = np.random.default_rng(0)
    session = game.open(2)
    alone = 0
    for _ in range(3_000):
        seen = session.step(rng.integers(count(game), size=2))
        if seen.terminated:
            break
        alone += int(seen.acting.sum() == 1)
        assert seen.out is not None
        np.testing.assert_array_equal(seen.out, ~seen.acting)
        assert not seen.reward[~seen.acting].any() or alone == 1
    assert seen.terminated
    assert not seen.truncated
    assert not seen.acting.any()
    assert alone > 0
    with pytest.raises(RuntimeError, match="the episode is over"):
        session.step(np.zeros(2, int))


def after(name: str, **options: Any) -> NDArray[Any]:
    """What is seen after a dozen decisions."""
    session = load(name, **options).open(21)
    for step in range(12):
        session.step(np.array([step % 5, (step + 2) % 5]))
    return session.timestep.observation


by_default = cache(after)


@pytest.mark.parametrize(
    "options",
    [
        {"frame_skip": 2},
        {"sticky_action_prob": 0.0},
        {"noop_max": 0},
        {"full_action_space": True},
        {"frame_stack": 2},
        {"screen_size": 64},
        {"max_pool": False},
    ],
    ids=str,
)
def test_each_option_changes_what_is_seen(options: dict[str, Any]) -> None:
    name = "pong" if "full_action_space" in options else "boxing"  # boxing uses all 18 actions anyway

    default, changed = by_default(name), after(name, **options)
    assert default.shape != changed.shape or (default != changed).any()
    assert count(load(name, **options)) == 18


def test_rewards_are_clipped_only_when_asked() -> None:
    def earned(clip: bool) -> float:
        session = load("space_invaders", reward_clipping=clip).open(1)
        return max(float(session.step(np.array([1, 1])).reward.max()) for _ in range(300))

    assert earned(clip=False) > 1
    assert earned(clip=True) == 1


def test_what_cannot_be_is_refused_in_words_and_close_ends_the_threads() -> None:
    with pytest.raises(UserError, match="frame_stack: must be at least 1"):
        load("pong", frame_stack=0)
    with pytest.raises(UserError, match="there is no game"):
        load("pongg")
    batch = load("pong", max_frames_per_episode=4).batch(2)
    with pytest.raises(RuntimeError, match=r"games \[0, 1\] must be reset"):
        batch.send(np.zeros((2, 2)))
    batch.reset(np.array([1, 2], np.uint32))
    with pytest.raises(ValueError, match="actions must be 0 to 5"):
        batch.send(np.full((2, 2), 6))
    batch.send(np.zeros((2, 2), int))
    assert batch.recv().truncated.all()
    with pytest.raises(RuntimeError, match="must be reset"):
        batch.send(np.zeros((2, 2), int))
    batch.close()
    batch.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pettingzoo/pong")]


def mine(name: str, seat: int, action: int, colour: tuple[int, int, int]) -> NDArray[np.bool_]:
    """Where the picture has a seat's colour after it has done an action."""
    with closing(load(name, sticky_action_prob=0.0).open(3)) as session:
        for t in range(31):
            actions = np.full(session.spec.players, int(t < 3), np.int32)  # fire, to begin
            actions[seat] = action if t >= 30 else actions[seat]
            session.step(actions)
        found: NDArray[np.bool_] = (session.frames()[-1] == colour).all(-1)
    return found


@pytest.mark.parametrize(
    ("name", "colours", "sides"),
    [
        ("pong", [(92, 186, 92), (213, 130, 74)], [1, -1]),
        ("foozpong", [(104, 72, 198), (187, 187, 53), (104, 72, 198), (187, 187, 53)], [1, -1, 1, -1]),
    ],
)
def test_up_goes_up_and_the_seats_are_where_the_cards_say(name: str, colours: list[tuple[int, int, int]], sides: list[int]) -> None:
    spec = load(name, sticky_action_prob=0.0).spec
    assert isinstance(spec.actions, Discrete)
    assert [spec.actions.meanings[spec.keys[key]] for key in ("up", "down", "space+up")] == ["up", "down", "up-fire"]
    for seat, (colour, side) in enumerate(zip(colours, sides, strict=True)):
        high, low = (mine(name, seat, spec.keys[key], colour) for key in ("up", "down"))
        moved = high ^ low
        columns = moved.any(0)
        shared = {rows: (np.roll(high, rows, 0) & low)[:, columns].sum() for rows in range(-20, 21)}
        assert max(shared, key=shared.__getitem__) > 0, f"seat {seat}: what went up lies this many rows above what went down"
        assert ("right" if side > 0 else "left") in spec.seats[seat]
        if spec.players == 2:
            assert np.sign(np.flatnonzero(moved.any(0)).mean() - 80) == side
