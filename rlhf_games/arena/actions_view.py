"""How a choice of actions looks: bars of probabilities with the keys that mean them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.pick import DIGITS

ACTION = "action "


class Bars(NamedTuple):
    """What the bars show."""

    meanings: tuple[str, ...]
    probabilities: tuple[float, ...] | None
    """None: not known (yet)."""
    legal: tuple[bool, ...]
    taken: int | None
    """The action that was taken: marked by a diamond."""
    wanted: int | None
    """The action that a what-if is about: marked by a frame."""
    keys: tuple[tuple[str, ...], ...]
    """For each action the keys of its shortest chord; empty where it has none."""
    choosing: bool
    """An action is being asked for: the keys are shown in place of the digits."""


def keys_of(chords: Mapping[frozenset[str], int], count: int) -> tuple[tuple[str, ...], ...]:
    """For each action the keys of its shortest chord on the keyboard."""
    found: list[tuple[str, ...]] = [()] * count
    for chord, action in chords.items():
        if any(key.startswith("pad:") for key in chord) or action >= count:
            continue
        if not found[action] or len(chord) < len(found[action]):
            found[action] = tuple(sorted(chord, key=lambda key: (len(key) > 1, key)))
    return tuple(found)


def paint_bars(pen: Pen, area: Rect, bars: Bars) -> None:
    """Paints them from the top of ``area`` downwards; each row can be clicked."""
    count = len(bars.meanings)
    row = min(pen.px(36), area.h // max(1, count))
    names = area.w * 2 // 5 if not bars.choosing else area.w * 3 // 5
    style = "small" if row >= pen.px(24) else "label"
    for number, meaning in enumerate(bars.meanings):
        rect = Rect(area.x, area.y + number * row, area.w, row)
        y = rect.centery
        if bars.wanted == number:
            pen.box(rect, theme.RAISED, theme.BLUE, 6, 1.5)
        pen.click(rect, f"{ACTION}{number}")
        x = rect.x + pen.px(6)
        if row >= pen.px(30):
            caps = bars.keys[number] if bars.choosing and bars.keys[number] else DIGITS[number : number + 1]
            for key in caps:
                x = pen.keycap((x, y), key, theme.TEXT if bars.legal[number] else theme.LINE).right + pen.px(4)
        colour = theme.TEXT if bars.legal[number] else theme.LINE
        pen.text((x + pen.px(4), y), meaning, style, colour, "midleft", rect.x + names - x - pen.px(4))  # type: ignore[arg-type]
        _paint_bar(pen, Rect(rect.x + names, rect.y, rect.w - names, row), bars, number)


def _paint_bar(pen: Pen, rect: Rect, bars: Bars, number: int) -> None:
    y, size = rect.centery, pen.px(7)
    if bars.taken == number:
        x = rect.x + size
        pen.polygon([(x, y - size), (x + size, y), (x, y + size), (x - size, y)], theme.AMBER)
    if not bars.legal[number]:
        pen.text((rect.right, y), "not possible", "label", theme.LINE, "midright", rect.w - 3 * size)
        return
    if bars.probabilities is None:
        return
    share = bars.probabilities[number]
    percent = pen.px(54)
    bar = Rect(rect.x + 3 * size, y - pen.px(7), rect.w - 3 * size - percent, pen.px(14))
    if bar.w > 0:
        pen.bar(bar, share)
    pen.text((rect.right - pen.px(4), y), f"{share:.0%}" if share >= 0.005 or share == 0 else "<1%", "label", theme.TEXT, "midright")


def action_of(command: str) -> int | None:
    """The action that a command names; None where it is another command."""
    return int(command.removeprefix(ACTION)) if command.startswith(ACTION) else None
