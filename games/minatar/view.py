"""Pictures of MinAtar for people, drawn from the observation's planes: a board of tiles and, beside it, what each tile is."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from .sprites import TILE, sprite

_MARGIN = 8
_LEGEND = 128
_BACKGROUND = (22, 26, 38)
_CELLS = ((33, 38, 54), (37, 43, 60))
_TEXT = (214, 218, 228)

# Drawn first to last, so that what matters most lies on top; kinds not named here come first.
_LAYERS = (
    *("speed_1", "speed_2", "speed_3", "speed_4", "speed_5", "trail", "brick", "oxygen_gauge", "diver_gauge", "sub_back"),
    *("alien", "alien_left", "alien_right", "gold", "diver", "car", "enemy", "enemy_fish", "enemy_sub", "enemy_bullet"),
    *("friendly_bullet", "ball", "player", "paddle", "chicken", "cannon", "sub_front"),
)

_LABELS = {
    "sub_front": "you",
    "sub_back": "your stern",
    "player": "you",
    "paddle": "you: paddle",
    "chicken": "you: chicken",
    "cannon": "you: cannon",
    "trail": "came from",
    "ball_before": "ball came from",
    "friendly_bullet": "your shot",
    "enemy_bullet": "enemy shot",
    "enemy_fish": "enemy fish",
    "enemy_sub": "enemy sub",
    "oxygen_gauge": "oxygen left",
    "diver_gauge": "divers aboard",
    "diver": "diver to save",
    "gold": "gold",
    "alien_left": "moves left",
    "alien_right": "moves right",
    "speed_1": "car: fastest",
    "speed_2": "car: fast",
    "speed_3": "car: medium",
    "speed_4": "car: slow",
    "speed_5": "car: slowest",
}


def frame_shape(observation_shape: tuple[int, ...]) -> tuple[int, int]:
    """``(height, width)`` in pixels of the picture of an observation ``(H, W, C)``."""
    rows, columns, _ = observation_shape
    return rows * TILE + 2 * _MARGIN, columns * TILE + 2 * _MARGIN + _LEGEND


def board_place(observation_shape: tuple[int, ...]) -> tuple[int, int, int, int]:
    """``(top, left, height, width)`` in pixels of the board in such a picture."""
    return _MARGIN, _MARGIN, observation_shape[0] * TILE, observation_shape[1] * TILE


def draw(observation: NDArray[np.bool_], channels: tuple[str, ...]) -> NDArray[np.uint8]:
    """A picture of one observation.

    Args:
      observation: ``[H, W, C]`` bool.
      channels: the name of each of the ``C`` planes, as in ``cards.toml``.

    Returns:
      ``[height, width, 3]`` uint8, of ``frame_shape(observation.shape)``.
    """
    rows, columns, _ = observation.shape
    picture = _empty(rows, columns, channels).copy()
    board = picture[_MARGIN : _MARGIN + rows * TILE, _MARGIN : _MARGIN + columns * TILE]
    tiles = board.reshape(rows, TILE, columns, TILE, 3).transpose(0, 2, 1, 3, 4)  # a view: [H, W, TILE, TILE, 3]
    for plane in _order(channels):
        y, x = np.nonzero(observation[:, :, plane])
        if len(y):
            colour, through = sprite(_kind(channels, plane))
            tiles[y, x] = colour + ((tiles[y, x] * through) >> 8)
    return picture


def _kind(channels: tuple[str, ...], plane: int) -> str:
    """Which sprite stands for a plane: breakout's trail is where the ball was."""
    return "ball_before" if channels[plane] == "trail" and "ball" in channels else channels[plane]


@lru_cache(maxsize=16)
def _order(channels: tuple[str, ...]) -> tuple[int, ...]:
    rank = {name: position for position, name in enumerate(_LAYERS)}
    return tuple(sorted(range(len(channels)), key=lambda plane: rank.get(channels[plane], -1)))


@lru_cache(maxsize=16)
def _empty(rows: int, columns: int, channels: tuple[str, ...]) -> NDArray[np.uint8]:
    """The picture without anything on the board."""
    height, width = frame_shape((rows, columns, len(channels)))
    image = Image.new("RGB", (width, height), _BACKGROUND)
    pen = ImageDraw.Draw(image)
    for y in range(rows):
        for x in range(columns):
            left, top = _MARGIN + x * TILE, _MARGIN + y * TILE
            pen.rectangle((left, top, left + TILE - 1, top + TILE - 1), fill=_CELLS[(x + y) % 2])
    picture = np.array(image)
    left = 2 * _MARGIN + columns * TILE
    for row, plane in enumerate(_legend(channels)):
        _legend_row(picture, left, _MARGIN + row * TILE, _kind(channels, plane))
    picture.setflags(write=False)
    return picture


def _legend(channels: tuple[str, ...]) -> list[int]:
    """Planes in the order the legend names them: what you are, then the rest from most to least important."""
    return list(reversed(_order(channels)))


def _legend_row(picture: NDArray[np.uint8], left: int, top: int, kind: str) -> None:
    small = TILE - 6
    backdrop = ("alien", kind) if kind in ("alien_left", "alien_right") else (kind,)
    cell = np.full((TILE, TILE, 3), _CELLS[0], np.uint16)
    for layer in backdrop:
        colour, through = sprite(layer)
        cell = colour + ((cell * through) >> 8)
    icon = Image.fromarray(cell.astype(np.uint8)).resize((small, small), Image.Resampling.LANCZOS)
    picture[top + 3 : top + 3 + small, left : left + small] = np.asarray(icon)
    label = Image.new("RGB", (_LEGEND - small - _MARGIN - 4, TILE), _BACKGROUND)
    text = _LABELS.get(kind, kind.replace("_", " "))
    ImageDraw.Draw(label).text((0, TILE // 2), text, fill=_TEXT, font=ImageFont.load_default(13), anchor="lm")
    x = left + small + 6
    picture[top : top + TILE, x : x + label.width] = np.asarray(label)
