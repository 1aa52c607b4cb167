"""What is painted of the reward: its line over time, and light where it comes from."""

from __future__ import annotations

import numpy as np
import pygame

from rlhf_games.arena.saliency import Saliency
from rlhf_games.arena.salient_view import edge, lit
from rlhf_games.arena.timeline_view import graph, place_of, seek_to


def test_a_graph_has_the_line_where_the_numbers_are() -> None:
    mean = np.array([0.0, 1.0, -1.0, np.nan], np.float32)
    painted = graph(mean, np.array([0.1, 0.0, 0.5, np.nan], np.float32), 3, (80, 60))
    line = np.argwhere((painted.pixels == (105, 178, 255)).all(-1))
    columns = {x: line[line[:, 1] == x, 0].mean() for x in (10, 30, 50)}
    assert columns[30] < columns[10] < columns[50], "upwards is more"
    assert not (line[:, 1] >= 61).any(), "nothing where nothing is known"
    assert painted.low < -1.5 < 1.0 < painted.high
    assert (painted.pixels[:, 70] == (20, 23, 29)).all(), "not played yet"
    many = graph(np.sin(np.arange(5000)).astype(np.float32), np.zeros(5000, np.float32), 5000, (100, 50))
    assert (many.pixels == (105, 178, 255)).all(-1).sum(0).min() > 30, "least and greatest of each column"
    assert seek_to("seek 12") == 12
    assert seek_to("newer") is None
    assert place_of(0.5, 10, pygame.Rect(100, 0, 200, 10)) == 110


def test_light_lies_where_the_heat_is_without_colour() -> None:
    picture = np.full((20, 30, 3), 200, np.uint8)
    heat = np.zeros((2, 2), np.float32)
    heat[1, 0] = 1.0
    shown = lit(picture, Saliency(heat, 1.0, np.zeros(0, np.float32)), (10, 10, 10, 20))
    assert (shown[:10] == 200).all(), "outside the board everything stays"
    assert (shown[12, 25] < 60).all()
    assert (shown[17, 15] == 200).all()
    assert (shown[15, 10] == 255).all(), "the strongest place is framed"
    assert edge(np.ones((5, 5), bool)).sum() == 16
    assert edge(np.ones((5, 5), bool), 2).sum() == 24
