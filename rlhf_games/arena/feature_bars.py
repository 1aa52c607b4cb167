"""What the reward model looks at where an observation is a list of numbers: a bar for each feature, by name."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.saliency import Saliency

_ROW, _NAME = 34, 0.4
"""A row's height in design pixels; the share of the width that names may take."""


def feature_weights(what: Saliency, names: Sequence[str]) -> list[tuple[str, float, float]]:
    """Name, change of the reward and share of the greatest change of every feature, the greatest first.

    Args:
      what: of a vector, ``heat[1, F]``.
      names: of the features; where they are not known, numbers stand in.
    """
    heat = what.heat.reshape(-1)
    known = list(names) if len(names) == len(heat) else [f"feature {number}" for number in range(len(heat))]
    order = np.argsort(-heat, kind="stable").tolist()
    return [(known[i].replace("_", " "), float(heat[i]) * what.strongest, float(heat[i])) for i in order]


def paint_features(pen: Pen, what: Saliency, names: Sequence[str]) -> None:
    """As many bars as there is room for, the longest above."""
    pad, row = pen.px(18), pen.px(_ROW)
    pen.box(pen.area)
    pen.text((pad, pen.px(14)), "THE REWARD CHANGES WITHOUT", "label", theme.MUTED, width=pen.area.w - 2 * pad)
    top, room = pen.px(48), pen.area.w - 2 * pad
    shown = feature_weights(what, names)[: max(0, (pen.area.h - top - pad) // row)]
    if not shown or what.strongest == 0:
        pen.paragraph((pad, top), "The reward for this step hangs on no single feature.", room, 3, "small")
        return
    left, figures = round(room * _NAME), pen.text_width("0.000", "small") + pen.px(10)
    for number, (name, change, share) in enumerate(shown):
        y = top + number * row + row // 2
        pen.text((pad, y), name, "small", anchor="midleft", width=left - pen.px(10))
        bar = Rect(pad + left, y - pen.px(7), max(1, room - left - figures), pen.px(14))
        pen.bar(bar, share)
        pen.text((pad + room, y), f"{change:.3f}", "small", theme.MUTED, "midright")
