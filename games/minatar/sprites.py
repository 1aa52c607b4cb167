"""One picture per kind of thing in the MinAtar games, drawn once and kept.

Colours are Okabe and Ito's colour-blind-safe palette; every kind also has its own shape, so that nothing is told by colour alone.
Coordinates in the drawing code are pixels of a 32×32 tile; drawing happens at eight times that size and is then reduced.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

TILE = 32
"""Pixels of one grid cell."""
_SCALE = 8

Colour: TypeAlias = tuple[int, int, int]
ORANGE: Colour = (230, 159, 0)
SKY: Colour = (86, 180, 233)
GREEN: Colour = (0, 158, 115)
YELLOW: Colour = (240, 228, 66)
BLUE: Colour = (0, 114, 178)
RED: Colour = (213, 94, 0)
PINK: Colour = (204, 121, 167)
WHITE: Colour = (245, 245, 240)
GREY: Colour = (118, 128, 150)
INK: Colour = (16, 20, 32)


class _Pen:
    """Shapes in tile coordinates on a transparent tile."""

    def __init__(self) -> None:
        self.image = Image.new("RGBA", (TILE * _SCALE, TILE * _SCALE), (0, 0, 0, 0))
        self._draw = ImageDraw.Draw(self.image)

    def box(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, radius: float = 0.0) -> None:
        self._draw.rounded_rectangle([v * _SCALE for v in (x0, y0, x1, y1)], radius * _SCALE, fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: Colour, height: float | None = None) -> None:
        tall = radius if height is None else height
        self._draw.ellipse([v * _SCALE for v in (x - radius, y - tall, x + radius, y + tall)], fill=colour)

    def ring(self, x: float, y: float, radius: float, colour: Colour, width: float) -> None:
        corners = [v * _SCALE for v in (x - radius, y - radius, x + radius, y + radius)]
        self._draw.ellipse(corners, outline=colour, width=int(width * _SCALE))

    def shape(self, colour: Colour, *points: tuple[float, float]) -> None:
        self._draw.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=colour)

    def line(self, x0: float, y0: float, x1: float, y1: float, colour: Colour, width: float) -> None:
        self._draw.line([v * _SCALE for v in (x0, y0, x1, y1)], fill=colour, width=int(width * _SCALE))


def _person(pen: _Pen) -> None:
    pen.disc(16, 9, 6, SKY)
    pen.shape(SKY, (16, 13), (27, 29), (5, 29))
    pen.disc(13.5, 8.5, 1.4, INK)
    pen.disc(18.5, 8.5, 1.4, INK)


def _spiky(pen: _Pen) -> None:
    points = []
    for k in range(16):
        angle, radius = np.pi * k / 8, 14.5 if k % 2 == 0 else 9.0
        points.append((16 + radius * float(np.cos(angle)), 16 + radius * float(np.sin(angle))))
    pen.shape(RED, *points)
    pen.line(9.5, 11, 14.5, 13.5, INK, 1.8)
    pen.line(22.5, 11, 17.5, 13.5, INK, 1.8)
    pen.disc(12.5, 15, 1.8, WHITE)
    pen.disc(19.5, 15, 1.8, WHITE)
    pen.box(11.5, 19.5, 20.5, 21.5, INK, 1)


def _gold(pen: _Pen) -> None:
    pen.disc(16, 16, 11.5, YELLOW)
    pen.ring(16, 16, 8.5, ORANGE, 1.6)
    pen.shape(ORANGE, (16, 10), (19.5, 16), (16, 22), (12.5, 16))


def _trail(pen: _Pen) -> None:
    pen.disc(16, 16, 4.5, GREY)
    pen.disc(7, 16, 2.2, GREY)
    pen.disc(25, 16, 2.2, GREY)


def _paddle(pen: _Pen) -> None:
    pen.box(1, 11, 31, 21, SKY, 5)
    pen.box(4, 13, 28, 15, WHITE, 1)


def _ball(pen: _Pen) -> None:
    pen.disc(16, 16, 9, WHITE)
    pen.disc(13, 13, 2.6, GREY)


def _echo(pen: _Pen) -> None:
    pen.ring(16, 16, 7, GREY, 1.6)
    pen.disc(16, 16, 2, GREY)


def _brick(pen: _Pen) -> None:
    pen.box(1, 3, 31, 29, ORANGE, 3)
    pen.box(3, 5, 29, 8, YELLOW, 1)
    pen.line(1, 16.5, 31, 16.5, INK, 1)
    pen.line(16, 3, 16, 16.5, INK, 1)


def _chicken(pen: _Pen) -> None:
    pen.disc(15, 19, 9.5, WHITE, 8.5)
    pen.disc(21, 10, 5.5, WHITE)
    pen.shape(ORANGE, (26, 9), (31, 11), (26, 13))
    pen.disc(20, 4.6, 2.2, RED)
    pen.disc(22.5, 9, 1.2, INK)
    pen.line(12, 27, 12, 31, ORANGE, 1.8)
    pen.line(18, 27, 18, 31, ORANGE, 1.8)
    pen.shape(SKY, (5, 13), (14, 18), (6, 21))


def _car(pen: _Pen) -> None:
    pen.box(1.5, 12, 30.5, 23, RED, 4)
    pen.box(8, 7, 24, 15, RED, 4)
    pen.box(10.5, 9, 15, 13.5, INK, 1)
    pen.box(17, 9, 21.5, 13.5, INK, 1)
    for x in (8.5, 23.5):
        pen.disc(x, 23, 4, INK)
        pen.disc(x, 23, 2.4, GREY)


def _streaks(count: int) -> Callable[[_Pen], None]:
    def draw(pen: _Pen) -> None:
        top = 16 - 2.5 * (count - 1)
        for k in range(count):
            pen.box(4, top + 5 * k - 1.1, 28, top + 5 * k + 1.1, GREY, 1)

    return draw


def _submarine(colour: Colour, periscope: bool) -> Callable[[_Pen], None]:
    def draw(pen: _Pen) -> None:
        pen.disc(16, 19, 14.5, colour, 8.5)
        pen.box(10, 6, 20, 14, colour, 3)
        for x in (8.5, 16, 23.5):
            pen.disc(x, 19, 2.4, INK)
        if periscope:
            pen.line(18, 1.5, 18, 8, colour, 2)
            pen.line(17, 2.4, 24, 2.4, colour, 2)
        else:
            pen.shape(INK, (10, 6), (20, 6), (15, 12))

    return draw


def _stern(pen: _Pen) -> None:
    pen.disc(16, 19, 6, SKY, 4)
    for k in range(3):
        angle = 2 * np.pi * k / 3 - np.pi / 2
        pen.disc(16 + 7 * float(np.cos(angle)), 19 + 7 * float(np.sin(angle)), 3.6, SKY)


def _own_shot(pen: _Pen) -> None:
    pen.shape(YELLOW, (16, 4), (22, 16), (16, 28), (10, 16))


def _enemy_shot(pen: _Pen) -> None:
    pen.disc(16, 16, 8, RED)
    pen.line(12, 12, 20, 20, INK, 2)
    pen.line(20, 12, 12, 20, INK, 2)


def _fish(pen: _Pen) -> None:
    pen.disc(16, 16, 9.5, PINK, 7.5)
    for side in (-1, 1):
        pen.shape(PINK, (16 + side * 6, 16), (16 + side * 14.5, 9), (16 + side * 14.5, 23))
        pen.disc(16 + side * 3.5, 14, 1.5, INK)
    pen.line(11.5, 19.5, 20.5, 19.5, INK, 1.5)


def _air(pen: _Pen) -> None:
    pen.box(1, 6, 31, 26, BLUE, 3)
    for x, y, radius in ((9, 19, 3.4), (17, 12, 4.2), (24, 19, 3)):
        pen.ring(x, y, radius, WHITE, 1.4)


def _diver_aboard(pen: _Pen) -> None:
    pen.box(2, 6, 30, 26, GREEN, 3)
    pen.disc(16, 12.5, 3.6, WHITE)
    pen.shape(WHITE, (16, 14), (22, 24.5), (10, 24.5))


def _diver(pen: _Pen) -> None:
    pen.disc(16, 9, 6, GREEN)
    pen.disc(16, 9, 3.6, WHITE)
    pen.box(12, 14, 20, 24, GREEN, 3)
    for side in (-1, 1):
        pen.line(16 + side * 3, 16, 16 + side * 11, 20, GREEN, 3)
        pen.line(16 + side * 2, 23, 16 + side * 6, 30, GREEN, 3.4)


def _cannon(pen: _Pen) -> None:
    pen.box(2, 19, 30, 29, SKY, 4)
    pen.box(9, 13, 23, 22, SKY, 3)
    pen.box(14, 3, 18, 16, WHITE, 1.5)


def _alien(pen: _Pen) -> None:
    pen.box(6, 6, 26, 22, GREEN, 8)
    for x in (4, 12, 20, 28):
        pen.line(16 + (x - 16) * 0.6, 20, x, 28, GREEN, 2.6)
    for side in (-1, 1):
        pen.line(16 + side * 5, 7, 16 + side * 8, 2, GREEN, 2)
        pen.disc(16 + side * 5, 13, 4, WHITE)


def _pupils(side: int) -> Callable[[_Pen], None]:
    def draw(pen: _Pen) -> None:
        for x in (11, 21):
            pen.disc(x + side * 2, 13, 2, INK)

    return draw


def _unknown(pen: _Pen) -> None:
    pen.box(6, 6, 26, 26, GREY, 4)


_PENS: dict[str, Callable[[_Pen], None]] = {
    "player": _person,
    "enemy": _spiky,
    "trail": _trail,
    "gold": _gold,
    "paddle": _paddle,
    "ball": _ball,
    "ball_before": _echo,
    "brick": _brick,
    "chicken": _chicken,
    "car": _car,
    **{f"speed_{k}": _streaks(6 - k) for k in range(1, 6)},
    "sub_front": _submarine(SKY, periscope=True),
    "sub_back": _stern,
    "friendly_bullet": _own_shot,
    "enemy_bullet": _enemy_shot,
    "enemy_fish": _fish,
    "enemy_sub": _submarine(RED, periscope=False),
    "oxygen_gauge": _air,
    "diver_gauge": _diver_aboard,
    "diver": _diver,
    "cannon": _cannon,
    "alien": _alien,
    "alien_left": _pupils(-1),
    "alien_right": _pupils(1),
}


@lru_cache(maxsize=64)
def sprite(kind: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
    """The tile of one kind of thing as ``(premultiplied colour[32, 32, 3], 256 - alpha[32, 32, 1])``, ready for blending.

    A kind that has no drawing of its own gets a grey square.
    """
    pen = _Pen()
    _PENS.get(kind, _unknown)(pen)
    tile = np.asarray(pen.image.convert("RGBa").resize((TILE, TILE), Image.Resampling.BOX), np.uint16)
    alpha = tile[..., 3:] + (tile[..., 3:] >> 7)  # 0..256, so that 8-bit shifts divide exactly
    return tile[..., :3], 256 - alpha
