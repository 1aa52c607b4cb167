"""Play as pictures for reports: an agent's episode, and clips side by side."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import jax
import numpy as np
from numpy.typing import NDArray

from rlhf_games.core.agent import Agent, PyTree
from rlhf_games.core.game import Game
from rlhf_games.core.keys import policy_key
from rlhf_games.replay.frames import Film, rest_at_seams
from rlhf_games.replay.recorder import SessionRecorder
from rlhf_games.replay.replay import Replay

Pictures = NDArray[np.uint8]

_PAPER, _INK, _MARK, _END = (22, 25, 31), (236, 239, 244), (86, 180, 233), (246, 184, 74)
SEAM_WORDS = "An amber edge: an episode ends there."
"""For the caption of clips that `with_ends` marked."""
_REST = 0.5
"""Seconds that a clip stands still where an episode ends inside it."""
_GAP, _HEADER, _FRAME, _TEXT = 16, 40, 5, 19
"""Pixels: between the clips, above them, of the frame around the marked one, of a letter's height."""


def play(game: Game, agent: Agent, params: PyTree, seeds: Sequence[int], max_steps: int) -> list[Replay]:
    """One episode from each seed, the agent in all seats, as replays; cut off after ``max_steps``.

    Choices are keyed by seed and step: equal arguments give equal replays.
    """
    act = jax.jit(lambda seen, legal, key: agent.act(params, seen, key, legal).action)
    replays = []
    for seed in seeds:
        with closing(game.open(seed)) as session:
            recorder = SessionRecorder(session, seed, player=("agent",) * game.spec.players)
            seen: Any = session.timestep
            for t in range(max_steps):
                seen = recorder.step(np.asarray(act(seen.observation, seen.legal_action_mask, policy_key(seed, t))))
                if seen.terminated or seen.truncated:
                    break
            replays.append(recorder.replay())
    return replays


def median(replays: Sequence[Replay]) -> Replay:
    """The replay in the middle by the first seat's return (the shorter episode first where returns are equal)."""
    ordered = sorted(replays, key=lambda replay: (replay.checksum.returns[0], replay.length))
    return ordered[len(ordered) // 2]


def with_ends(film: Film, fps: float, ends: bool) -> Pictures:
    """A clip's pictures ``[F, H, W, 3]`` with every end of an episode marked: an amber edge, and half a second of rest inside the clip.

    Args:
      film: of a clip.
      fps: at which it will be shown.
      ends: the episode ends with the clip's last step.
    """
    order, seams = rest_at_seams(len(film.frames), film.seams, max(1, round(_REST * fps)))
    pictures = film.frames[order]
    last = [number for first, begin in seams for number in range(first, begin)] + ([len(pictures) - 1] if ends else [])
    width = max(2, min(pictures.shape[1:3]) // 40)
    for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        for number in last:
            pictures[number][edge] = _END
    return pictures


def side_by_side(films: Sequence[Pictures], headers: Sequence[str], marked: int | None = None) -> Pictures:
    """Films ``[F_i, H, W, 3]`` next to each other under one line of text each; the shorter ones stand still at their end.

    Args:
      films: of equal height and width.
      headers: one for each.
      marked: which one gets a frame.

    Returns:
      ``[F, H', W', 3]`` uint8.
    """
    frames = max(len(film) for film in films)
    height, width = films[0].shape[1:3]
    backdrop = _backdrop(len(films), height, width, headers, marked)
    canvas = np.repeat(backdrop[None], frames, axis=0)
    for place, film in enumerate(films):
        left, top = _corner(place, width)
        still = np.repeat(film[-1:], frames - len(film), axis=0)
        canvas[:, top : top + height, left : left + width] = np.concatenate([film, still])
    return canvas


def _corner(place: int, width: int) -> tuple[int, int]:
    """Left and top of a film's pictures."""
    return _FRAME + place * (width + 2 * _FRAME + _GAP), _HEADER + _FRAME


def _backdrop(count: int, height: int, width: int, headers: Sequence[str], marked: int | None) -> Pictures:
    from PIL import Image, ImageDraw

    size = (_corner(count - 1, width)[0] + width + _FRAME, _HEADER + height + 2 * _FRAME)
    image = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(image)
    for place, text in enumerate(headers):
        left, top = _corner(place, width)
        colour = _MARK if place == marked else _INK
        draw.text((left + 8, _HEADER // 2 + 2), text, fill=colour, font=_font(), anchor="lm")
        if place == marked:
            box = (left - _FRAME, top - _FRAME, left + width + _FRAME - 1, top + height + _FRAME - 1)
            draw.rectangle(box, outline=_MARK, width=_FRAME)
    return np.asarray(image, np.uint8)


def _font() -> Any:
    """The font that matplotlib brings along: the same on every machine."""
    import matplotlib as mpl
    from PIL import ImageFont

    return ImageFont.truetype(str(Path(mpl.get_data_path(), "fonts", "ttf", "DejaVuSans-Bold.ttf")), _TEXT)
