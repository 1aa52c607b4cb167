"""MinAtar: facts worked out by hand from the rules, and the pictures."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpy.typing import NDArray

from rlhf_games import workspace
from rlhf_games.core.errors import UserError
from rlhf_games.core.keys import step_key

NAMES = ("asterix", "breakout", "freeway", "seaquest", "space_invaders")
CALM = {"sticky_action_prob": 0.0}


def view() -> Any:
    return importlib.import_module("rlhf_games_workspace.games.minatar.view")


def sprites() -> Any:
    return importlib.import_module("rlhf_games_workspace.games.minatar.sprites")


def load(name: str, **options: Any) -> Any:
    return workspace.load_game(f"minatar/{name}", CALM | options)


def act(game: Any, meaning: str) -> NDArray[np.int32]:
    return np.array([game.spec.actions.meanings.index(meaning)], np.int32)


def start(game: Any) -> Any:
    return jax.jit(game.init)(step_key(0, 0))


def plane(game: Any, timestep: Any, channel: str) -> set[tuple[int, int]]:
    """Cells ``(row, column)`` in which a plane is set."""
    found = np.argwhere(timestep.observation[0, :, :, game.spec.observation.channels.index(channel)])
    return {(int(row), int(column)) for row, column in found}


def breakout_from(side: int) -> Any:
    """A calm game whose ball starts in column ``side`` (0 or 9)."""
    game = load("breakout")
    return next(session for session in map(game.open, range(50)) if plane(game, session.timestep, "ball") == {(3, side)})


def test_actions_and_keys() -> None:
    expected = {
        "asterix": ("stay", "left", "up", "right", "down"),
        "breakout": ("stay", "left", "right"),
        "freeway": ("stay", "up", "down"),
        "seaquest": ("stay", "left", "up", "right", "down", "fire"),
        "space_invaders": ("stay", "left", "right", "fire"),
    }
    assert {name: load(name).spec.actions.meanings for name in NAMES} == expected
    assert load("seaquest").spec.keys == {"left": 1, "up": 2, "right": 3, "down": 4, "space": 5}
    assert load("space_invaders").spec.keys["space"] == 3
    assert load("space_invaders").spec.buttons["a"] == 3


def test_breakout_ball_is_missed_after_six_steps_without_moving() -> None:
    session = breakout_from(0)
    game = load("breakout")
    assert plane(game, session.timestep, "paddle") == {(9, 4)}
    assert plane(game, session.timestep, "brick") == {(row, column) for row in (1, 2, 3) for column in range(10)}
    for k in range(1, 7):
        timestep = session.step(act(game, "stay"))
        assert plane(game, timestep, "ball") == {(3 + k, k)}
        assert plane(game, timestep, "trail") == {(2 + k, k - 1)}
        assert bool(timestep.terminated) == (k == 6)
        assert timestep.reward == [0.0]


def test_breakout_bounce_breaks_a_brick_at_step_eleven() -> None:
    game, session = load("breakout"), breakout_from(0)
    timesteps = [session.step(act(game, "right" if k == 0 else "stay")) for k in range(11)]
    # Down-right to (8, 5), off the paddle's middle to (8, 6), up to (5, 9), off the wall to (4, 9), into the brick at (3, 8).
    path = [(4, 1), (5, 2), (6, 3), (7, 4), (8, 5), (8, 6), (7, 7), (6, 8), (5, 9), (4, 9), (4, 8)]
    assert [plane(game, timestep, "ball") for timestep in timesteps] == [{cell} for cell in path]
    assert [float(timestep.reward[0]) for timestep in timesteps] == [0.0] * 10 + [1.0]
    assert (3, 8) not in plane(game, timesteps[-1], "brick")
    assert len(plane(game, timesteps[-1], "brick")) == 29


def test_breakout_is_mirrored_from_the_other_side() -> None:
    game, session = load("breakout"), breakout_from(9)
    timesteps = [session.step(act(game, "stay")) for _ in range(11)]
    assert float(timesteps[-1].reward[0]) == 1.0
    assert (3, 1) not in plane(game, timesteps[-1], "brick")


def test_freeway_chicken_moves_every_third_step_and_time_runs_out_at_2501() -> None:
    game = load("freeway")
    session = game.open(0)
    rows = [plane(game, session.step(act(game, "up")), "chicken") for _ in range(7)]
    assert rows[:4] == [{(9, 4)}, {(9, 4)}, {(9, 4)}, {(8, 4)}]  # the first move waits for the timer of 3
    step = jax.jit(game.step)
    state = start(game)
    assert int(state.game._terminate_timer) == 2_500
    state = state._replace(game=state.game.replace(_terminate_timer=jnp.int32(1)))
    ends = []
    for t in range(2):  # timer 1 -> 0 -> -1
        state = step(state, jnp.zeros((1,), jnp.int32), step_key(0, t + 1))
        ends.append(bool(game.timestep(state).terminated))
    assert ends == [False, True]


def test_freeway_cars_of_speed_k_move_every_k_plus_one_steps() -> None:
    game = load("freeway")
    session = game.open(3)
    history = [session.step(act(game, "stay")) for _ in range(60)]
    for row in range(1, 9):
        (speed,) = (k for k in range(1, 6) if any(cell[0] == row for cell in plane(game, history[0], f"speed_{k}")))
        columns = [next(column for r, column in plane(game, timestep, "car") if r == row) for timestep in history]
        moved = [t for t, (one, other) in enumerate(pairwise(columns)) if one != other]
        assert {later - earlier for earlier, later in pairwise(moved)} == {speed + 1}


def test_space_invaders_first_shot_hits_at_step_six() -> None:
    game = load("space_invaders")
    session = game.open(0)
    assert plane(game, session.timestep, "alien") == {(row, column) for row in range(4) for column in range(2, 8)}
    assert plane(game, session.timestep, "alien_left") == plane(game, session.timestep, "alien")
    assert not plane(game, session.timestep, "alien_right")
    rewards = []
    for k in range(1, 7):
        timestep = session.step(act(game, "fire" if k == 1 else "stay"))
        rewards.append(float(timestep.reward[0]))
        assert plane(game, timestep, "friendly_bullet") == ({(9 - k, 5)} if k < 6 else set())
    assert rewards == [0, 0, 0, 0, 0, 1]
    assert (3, 5) not in plane(game, timestep, "alien")
    assert len(plane(game, timestep, "alien")) == 23


@pytest.mark.parametrize(("is_gold", "reward", "over"), [(1, 1.0, False), (0, 0.0, True)])
def test_asterix_gold_is_collected_and_enemies_kill(is_gold: int, reward: float, over: bool) -> None:
    game = load("asterix")
    state = start(game)
    beside = state.game._entities.at[4].set(jnp.array([6, 5, 1, is_gold], jnp.int32))
    state = state._replace(game=state.game.replace(_entities=beside))
    after = jax.jit(game.step)(state, jnp.asarray(act(game, "right")), step_key(0, 1))
    timestep = jax.tree.map(np.asarray, game.timestep(after))
    assert plane(game, timestep, "player") == {(5, 6)}
    assert float(timestep.reward[0]) == reward
    assert bool(timestep.terminated) == over


def test_seaquest_surfacing_without_a_diver_ends_the_game() -> None:
    game = load("seaquest")
    session = game.open(0)
    start = session.timestep
    assert plane(game, start, "sub_front") == {(0, 5)}
    assert plane(game, start, "sub_back") == {(0, 6)}
    assert plane(game, start, "oxygen_gauge") == {(9, column) for column in range(10)}
    assert plane(game, start, "diver_gauge") == set()
    down = session.step(act(game, "down"))
    assert plane(game, down, "sub_front") == {(1, 5)}
    assert not down.terminated
    up = session.step(act(game, "up"))
    assert up.terminated
    assert up.reward == [0.0]


def test_episodes_are_truncated_after_max_steps_and_only_then() -> None:
    game = load("freeway", max_steps=9)
    session = game.open(5)
    ends = []
    for _ in range(9):
        timestep = session.step(act(game, "up"))
        ends.append((bool(timestep.terminated), bool(timestep.truncated)))
    assert ends == [(False, False)] * 8 + [(False, True)]
    with pytest.raises(RuntimeError, match="over"):
        session.step(act(game, "up"))


def test_a_step_after_termination_changes_nothing_and_earns_nothing() -> None:
    game = load("breakout")
    step = jax.jit(game.step)
    state = start(game)
    state = state._replace(game=state.game.replace(_pos=jnp.int32(0)))
    for t in range(7):
        before, state = state, step(state, jnp.zeros((1,), jnp.int32), step_key(1, t + 1))
    ended, after = game.timestep(before), game.timestep(state)
    assert ended.terminated
    assert after.terminated
    assert not after.truncated
    assert after.reward == jnp.zeros((1,))
    assert bool((ended.observation == after.observation).all())
    assert bool(after.legal_action_mask.all())


def test_sticky_actions_repeat_the_last_action_as_often_as_asked() -> None:
    game = workspace.load_game("minatar/breakout", {"sticky_action_prob": 0.25})
    seeds = jnp.arange(4_096, dtype=jnp.uint32)
    right = jnp.full((1,), 2, jnp.int32)

    def first_step(seed: jax.Array) -> jax.Array:
        state = game.step(game.init(step_key(seed, 0)), right, step_key(seed, 1))
        return game.timestep(state).observation[0, 9, 5, 0]

    moved = float(jax.jit(jax.vmap(first_step))(seeds).mean())  # the action before the first is "stay"
    assert abs(moved - 0.75) < 5 * np.sqrt(0.75 * 0.25 / 4_096)


def test_wrong_options_are_refused_with_the_numbers() -> None:
    with pytest.raises(UserError, match=r"sticky_action_prob: must be in \[0, 1\), got 1.0"):
        workspace.load_game("minatar/breakout", {"sticky_action_prob": 1.0})
    with pytest.raises(UserError, match="max_step"):
        workspace.load_game("minatar/breakout", {"max_step": 3})


def test_equal_games_share_what_was_compiled() -> None:
    one, other = load("breakout"), load("breakout")
    assert one == other
    assert hash(one) == hash(other)
    assert one != load("breakout", max_steps=7)


@pytest.mark.parametrize("name", NAMES)
def test_each_plane_is_drawn_in_its_own_cell_only(name: str) -> None:
    spec = load(name).spec
    empty = np.zeros(spec.observation.shape, bool)
    ground = view().draw(empty, spec.observation.channels)
    tile, margin = sprites().TILE, view()._MARGIN
    for channel in range(empty.shape[-1]):
        one = empty.copy()
        one[2, 7, channel] = True
        changed = (view().draw(one, spec.observation.channels) != ground).any(axis=-1)
        rows, columns = np.nonzero(changed)
        assert len(rows) > 20, f"{spec.observation.channels[channel]} is hardly visible"
        assert margin + 2 * tile <= rows.min()
        assert rows.max() < margin + 3 * tile
        assert margin + 7 * tile <= columns.min()
        assert columns.max() < margin + 8 * tile


@pytest.mark.parametrize("name", NAMES)
def test_planes_differ_in_shape_and_not_by_colour_alone(name: str) -> None:
    channels = load(name).spec.observation.channels
    greys = []
    for channel in range(len(channels)):
        colour, through = sprites().sprite(view()._kind(channels, channel))
        assert (colour <= 256 - through).all()  # premultiplied: adds no more light than it covers
        # Pupils are dark and lie on an alien's white eyes, so look at every tile on a dark and on a light ground.
        greys.append([colour.sum(axis=-1) / 3 + ground * through[..., 0] / 256 for ground in (40, 220)])
    for i in range(len(channels)):
        for j in range(i):
            apart = max(int((np.abs(one - other) > 40).sum()) for one, other in zip(greys[i], greys[j], strict=True))
            assert apart > 20, f"{channels[i]} and {channels[j]} look alike without colour"


@pytest.mark.parametrize("name", NAMES)
def test_every_plane_has_a_drawing_of_its_own(name: str) -> None:
    channels = load(name).spec.observation.channels
    assert all(view()._kind(channels, channel) in sprites()._PENS for channel in range(len(channels)))


def test_a_plane_without_a_drawing_is_still_visible() -> None:
    observation = np.zeros((4, 5, 1), bool)
    empty = view().draw(observation, ("portal",))
    observation[1, 1, 0] = True
    assert (view().draw(observation, ("portal",)) != empty).any()
    assert empty.shape == (*view().frame_shape((4, 5, 1)), 3)
