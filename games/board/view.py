"""Pictures of the board games: tiles drawn once and kept, a line that says whose turn it is, and the keys to press."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

_SCALE = 4
_STATUS = 36
_KEYS = 26
_MARGIN = 8
_BACKGROUND = (22, 26, 38)
_TEXT = (226, 229, 236)
_FAINT = (140, 148, 168)
_LIT = (245, 245, 240)
# Okabe and Ito's palette: vermillion and yellow, sky blue and orange stay apart for every kind of colour vision.
_RED, _YELLOW, _SKY, _ORANGE, _BLUE, _INK = (213, 94, 0), (240, 228, 66), (86, 180, 233), (230, 159, 0), (0, 84, 138), (16, 20, 32)


@dataclass(frozen=True)
class _Look:
    """Sizes of one game's picture."""

    rows: int
    columns: int
    tile: int
    """Pixels of one cell."""
    row_to_win: int


_LOOKS = {"connect_four": _Look(6, 7, 56, 4), "tic_tac_toe": _Look(3, 3, 112, 3)}


def frame_shape(name: str) -> tuple[int, int]:
    """``(height, width)`` in pixels of the picture of the game ``name``."""
    look = _LOOKS[name]
    return _STATUS + look.rows * look.tile + _KEYS, look.columns * look.tile + 2 * _MARGIN


def board_place(name: str) -> tuple[int, int, int, int]:
    """``(top, left, height, width)`` in pixels of the board in such a picture."""
    look = _LOOKS[name]
    return _STATUS, _MARGIN, look.rows * look.tile, look.columns * look.tile


def draw(name: str, board: NDArray[np.int8], last_action: int, status: str) -> NDArray[np.uint8]:
    """A picture of one position.

    Args:
      name: ``connect_four`` or ``tic_tac_toe``.
      board: ``[rows, columns]``: -1 empty, 0 and 1 the two colours.
      last_action: the move that led here, -1 for none; it is framed.
      status: the line above the board.

    Returns:
      ``[height, width, 3]`` uint8, of ``frame_shape(name)``.
    """
    look = _LOOKS[name]
    picture = _ground(name).copy()
    picture[:_STATUS] = _line(status, picture.shape[1], _STATUS, _TEXT, 17)
    won = winning_cells(board, look.row_to_win)
    framed = _last_cell(name, board, last_action)
    for row in range(look.rows):
        for column in range(look.columns):
            top, left = _STATUS + row * look.tile, _MARGIN + column * look.tile
            lit = bool(won[row, column]) or (row, column) == framed
            picture[top : top + look.tile, left : left + look.tile] = _tile(name, int(board[row, column]), lit)
    return picture


def winning_cells(board: NDArray[np.int8], length: int) -> NDArray[np.bool_]:
    """``[rows, columns]`` bool: the cells of every line of ``length`` equal stones, to be lit in the picture."""
    rows, columns = board.shape
    found = np.zeros(board.shape, bool)
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for row, column in np.argwhere(board >= 0):
            cells = [(row + k * down, column + k * right) for k in range(length)]
            inside = 0 <= cells[-1][0] < rows and 0 <= cells[-1][1] < columns
            if inside and all(board[cell] == board[row, column] for cell in cells):
                found[tuple(zip(*cells, strict=True))] = True
    return found


def _last_cell(name: str, board: NDArray[np.int8], last_action: int) -> tuple[int, int] | None:
    if last_action < 0:
        return None
    if name == "connect_four":
        filled = np.flatnonzero(board[:, last_action] >= 0)
        return (int(filled[0]), last_action) if len(filled) else None
    row, column = divmod(last_action, board.shape[1])
    return row, column


@lru_cache(maxsize=4)
def _ground(name: str) -> NDArray[np.uint8]:
    """Everything that never changes: background and, under the board, the keys of connect four's columns."""
    look = _LOOKS[name]
    picture = np.full((*frame_shape(name), 3), _BACKGROUND, np.uint8)
    if name == "connect_four":
        for column in range(look.columns):
            left = _MARGIN + column * look.tile
            picture[-_KEYS:, left : left + look.tile] = _line(str(column + 1), look.tile, _KEYS, _FAINT, 15)
    else:
        picture[-_KEYS:] = _line("keys 1 to 9, left to right, top to bottom", picture.shape[1], _KEYS, _FAINT, 13)
    picture.setflags(write=False)
    return picture


@lru_cache(maxsize=64)
def _line(text: str, width: int, height: int, colour: tuple[int, int, int], size: int) -> NDArray[np.uint8]:
    image = Image.new("RGB", (width, height), _BACKGROUND)
    ImageDraw.Draw(image).text((width // 2, height // 2), text, fill=colour, font=ImageFont.load_default(size), anchor="mm")
    return np.asarray(image)


@lru_cache(maxsize=16)
def _tile(name: str, colour: int, lit: bool) -> NDArray[np.uint8]:
    """One cell; ``colour`` is -1, 0 or 1; a lit cell is framed."""
    size = _LOOKS[name].tile * _SCALE
    image = Image.new("RGB", (size, size), _BLUE if name == "connect_four" else (37, 43, 60))
    pen = ImageDraw.Draw(image)
    (_disc_tile if name == "connect_four" else _mark_tile)(pen, size, colour, lit)
    return np.asarray(image.resize((size // _SCALE, size // _SCALE), Image.Resampling.LANCZOS))


def _circle(pen: ImageDraw.ImageDraw, size: int, radius: float, fill: tuple[int, int, int]) -> None:
    """A disc in the middle; ``radius`` as a share of the tile."""
    low, high = size * (0.5 - radius), size * (0.5 + radius)
    pen.ellipse((low, low, high, high), fill=fill)


def _disc_tile(pen: ImageDraw.ImageDraw, size: int, colour: int, lit: bool) -> None:
    if lit:
        _circle(pen, size, 0.46, _LIT)
    _circle(pen, size, 0.41, _BACKGROUND)
    if colour == 0:  # a red disc with a hole: told from the other by shape too
        _circle(pen, size, 0.40, _RED)
        _circle(pen, size, 0.22, _INK)
        _circle(pen, size, 0.15, _RED)
    elif colour == 1:
        _circle(pen, size, 0.40, _YELLOW)
        square = [(0.5, 0.3), (0.7, 0.5), (0.5, 0.7), (0.3, 0.5)]
        pen.polygon([(size * x, size * y) for x, y in square], fill=_ORANGE)


def _mark_tile(pen: ImageDraw.ImageDraw, size: int, colour: int, lit: bool) -> None:
    frame, width = (_LIT, 0.035) if lit else (_BACKGROUND, 0.02)
    pen.rectangle((0, 0, size - 1, size - 1), outline=frame, width=int(size * width))
    if colour == 0:
        for x0, x1 in ((0.25, 0.75), (0.75, 0.25)):
            pen.line((size * x0, size * 0.25, size * x1, size * 0.75), fill=_SKY, width=int(size * 0.12))
    elif colour == 1:
        _circle(pen, size, 0.32, _ORANGE)
        _circle(pen, size, 0.20, (37, 43, 60))
