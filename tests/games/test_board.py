"""Connect four and tic-tac-toe: turn order, seats and colours, wins, draws, illegal moves, pictures."""

from __future__ import annotations

import importlib
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from rlhf_games import workspace
from rlhf_games.testing.play import DeviceBatch, random_action

SIZES = {"connect_four": (6, 7, 4), "tic_tac_toe": (3, 3, 3)}


def view() -> Any:
    return importlib.import_module("rlhf_games_workspace.games.board.view")


def opened(name: str, starter: int) -> Any:
    """A session in which the seat ``starter`` moves first."""
    game = workspace.load_game(f"board/{name}")
    return next(session for session in map(game.open, range(50)) if session.timestep.acting[starter])


def play(session: Any, moves: list[int]) -> Any:
    """Plays the moves; the seat that waits says -1, which must not matter."""
    for move in moves:
        action = np.where(session.timestep.acting, move, -1).astype(np.int32)
        session.step(action)
    return session.timestep


@pytest.mark.parametrize("starter", [0, 1])
@pytest.mark.parametrize("name", SIZES)
def test_seats_move_in_turn_and_see_their_own_stones_first(name: str, starter: int) -> None:
    session = opened(name, starter)
    assert not session.timestep.observation.any()
    timestep = play(session, [0])
    assert timestep.acting.tolist() == [starter != 0, starter != 1]
    row = SIZES[name][0] - 1 if name == "connect_four" else 0
    assert timestep.observation[starter, row, 0].tolist() == [True, False]
    assert timestep.observation[1 - starter, row, 0].tolist() == [False, True]
    assert timestep.observation.sum() == 2
    assert timestep.reward.tolist() == [0.0, 0.0]
    assert play(session, [1]).acting[starter]


@pytest.mark.parametrize("starter", [0, 1])
@pytest.mark.parametrize(
    ("name", "moves"),
    [
        ("tic_tac_toe", [0, 3, 1, 4, 2]),  # top row
        ("tic_tac_toe", [0, 1, 4, 2, 8]),  # aslant
        ("connect_four", [3, 0, 3, 0, 3, 0, 3]),  # column
        ("connect_four", [0, 0, 1, 1, 2, 2, 3]),  # bottom row
        ("connect_four", [0, 1, 1, 2, 2, 3, 2, 3, 3, 6, 3]),  # rising
    ],
)
def test_the_one_who_completes_a_row_wins(name: str, moves: list[int], starter: int) -> None:
    session = opened(name, starter)
    before = play(session, moves[:-1])
    assert not before.terminated
    after = play(session, moves[-1:])
    assert after.terminated
    assert not after.truncated
    assert after.reward[starter] == 1.0
    assert after.reward[1 - starter] == -1.0
    assert after.legal_action_mask.all()


def test_the_second_player_can_win() -> None:
    timestep = play(opened("tic_tac_toe", 0), [0, 3, 1, 4, 8, 5])
    assert timestep.reward.tolist() == [-1.0, 1.0]


def test_a_full_board_without_a_row_is_a_draw() -> None:
    timestep = play(opened("tic_tac_toe", 1), [0, 1, 2, 4, 3, 5, 7, 6, 8])
    assert timestep.terminated
    assert timestep.reward.tolist() == [0.0, 0.0]


def test_a_full_column_is_illegal_for_both_seats() -> None:
    timestep = play(opened("connect_four", 0), [2] * 6)
    expected = [True, True, False, True, True, True, True]
    assert timestep.legal_action_mask.tolist() == [expected, expected]
    assert not timestep.terminated


@pytest.mark.parametrize(("name", "moves"), [("tic_tac_toe", [4, 4]), ("connect_four", [2] * 7)])
def test_an_illegal_move_loses_and_leaves_the_board(name: str, moves: list[int]) -> None:
    session = opened(name, 0)
    before = play(session, moves[:-1])
    offender = int(np.flatnonzero(before.acting)[0])
    after = play(session, moves[-1:])
    assert after.terminated
    assert after.reward[offender] == -1.0
    assert after.reward[1 - offender] == 1.0
    assert np.array_equal(before.observation, after.observation)
    with pytest.raises(RuntimeError, match="over"):
        play(session, [0])


@pytest.mark.parametrize("name", SIZES)
def test_either_seat_starts_in_about_half_of_the_episodes(name: str) -> None:
    batch = DeviceBatch(workspace.load_game(f"board/{name}"), 1_024)
    acting = batch.reset(np.arange(1_024, dtype=np.uint32)).acting
    assert (acting.sum(axis=1) == 1).all()
    assert abs(acting[:, 0].mean() - 0.5) < 5 * 0.5 / np.sqrt(1_024)


@pytest.mark.parametrize("name", SIZES)
def test_games_end_exactly_when_a_row_is_complete_or_the_board_is_full(name: str) -> None:
    """Random games against an independent search for rows."""
    rows, columns, length = SIZES[name]
    game = workspace.load_game(f"board/{name}")
    batch, rng = DeviceBatch(game, 64), np.random.default_rng(3)
    timestep = batch.reset(np.arange(64, dtype=np.uint32))
    wins = draws = 0
    over = np.zeros(64, bool)
    for _ in range(rows * columns):
        batch.send(random_action(game.spec, timestep.legal_action_mask, rng))
        timestep = batch.recv()
        for i in np.flatnonzero(~over):
            mine, theirs = np.moveaxis(timestep.observation[i, 0], -1, 0)
            board = np.where(mine, 0, np.where(theirs, 1, -1)).astype(np.int8)
            lit = view().winning_cells(board, length)
            owner = {int(stone) for stone in board[lit]}
            expected = [1.0, -1.0] if owner == {0} else [-1.0, 1.0] if owner == {1} else [0.0, 0.0]
            assert timestep.reward[i].tolist() == expected
            assert bool(timestep.terminated[i]) == (bool(lit.any()) or bool((board >= 0).all()))
            wins += bool(lit.any())
            draws += bool((board >= 0).all() and not lit.any())
        over |= timestep.terminated
    assert over.all()
    assert wins > 10
    assert name == "connect_four" or draws > 3


def test_the_picture_shows_the_last_move_the_winners_row_and_whose_turn_it_is() -> None:
    session = opened("connect_four", 0)
    shots = [session.frames()[0]]
    for move in [3, 0, 3, 0, 3, 0, 3]:
        play(session, [move])
        shots.append(session.frames()[0])
    assert all((one != other).any() for one, other in pairwise(shots))
    status = view()._STATUS
    assert len({shot[:status].tobytes() for shot in shots}) == 3  # seat 0 to move, seat 1 to move, seat 0 won
    game = workspace.load_game("board/connect_four")
    assert shots[0].shape == (*game.spec.frame_shape, 3)
    size, left = view()._LOOKS["connect_four"].tile, view()._MARGIN
    tiles = shots[-1][status : status + 6 * size, left : left + 7 * size].reshape(6, size, 7, size, 3).transpose(0, 2, 1, 3, 4)
    red = view()._tile("connect_four", 0, True)  # the first player's disc, framed
    lit = {(row, column) for row in range(6) for column in range(7) if np.array_equal(tiles[row, column], red)}
    assert lit == {(2, 3), (3, 3), (4, 3), (5, 3)}


def test_stones_differ_in_shape_and_not_by_colour_alone() -> None:
    for name in SIZES:
        grey = [view()._tile(name, colour, False).mean(axis=-1) for colour in (-1, 0, 1)]
        for i in range(3):
            for j in range(i):
                assert np.abs(grey[i] - grey[j]).mean() > 5
