"""How a choice of actions looks: bars of probabilities with the keys that mean them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.keys import is_pad
from rlhf_games.arena.pen import Pen, cap
from rlhf_games.arena.pick import DIGITS

ACTION = "action "
CROWDED = 12
"""More actions than this are shown in two columns."""


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
        if any(is_pad(key) for key in chord) or action >= count:
            continue
        if not found[action] or len(chord) < len(found[action]):
            found[action] = tuple(sorted(chord, key=lambda key: (len(key) > 1, key)))
    return tuple(found)


def crowded(count: int) -> bool:
    """Whether so many actions need two columns, and a wider panel."""
    return count > CROWDED


def paint_bars(pen: Pen, area: Rect, bars: Bars) -> None:
    """Paints them from the top of ``area`` downwards; each row can be clicked."""
    count = len(bars.meanings)
    columns = 2 if crowded(count) else 1
    rows, gap = -(-count // columns), pen.px(18)
    row = min(pen.px(36), area.h // max(1, rows))
    width = (area.w - (columns - 1) * gap) // columns
    for number in range(count):
        rect = Rect(area.x + number // rows * (width + gap), area.y + number % rows * row, width, row)
        if bars.wanted == number:
            pen.box(rect, theme.RAISED, theme.BLUE, 6, 1.5)
        pen.click(rect, f"{ACTION}{number}")
        (_paint_small if columns > 1 else _paint_row)(pen, rect, bars, number)


def _paint_row(pen: Pen, rect: Rect, bars: Bars, number: int) -> None:
    """The key or digit, what it means, and the bar."""
    x, y = rect.x + pen.px(6), rect.centery
    colour = theme.TEXT if bars.legal[number] else theme.LINE
    if rect.h >= pen.px(30):
        for key in _caps(bars, number):
            x = pen.keycap((x, y), key, colour).right + pen.px(4)
    names = rect.x + (rect.w * 3 // 5 if bars.choosing else rect.w * 2 // 5)
    pen.text((x + pen.px(4), y), bars.meanings[number], "small", colour, "midleft", names - x - pen.px(4))
    _paint_bar(pen, Rect(names, rect.y, rect.right - names, rect.h), bars, number)


def _paint_small(pen: Pen, rect: Rect, bars: Bars, number: int) -> None:
    """The same where there is little room: keys in place of the bar while an action is asked for."""
    y, colour = rect.centery, theme.TEXT if bars.legal[number] else theme.LINE
    x = rect.x + pen.px(22)
    if number < len(DIGITS):
        pen.text((rect.x, y), DIGITS[number], "label", theme.MUTED, "midleft")
    keys = " ".join(cap(key) for key in bars.keys[number]) if bars.choosing else ""
    names = rect.right - pen.text_width(keys, "label") - pen.px(8) if keys else rect.x + rect.w * 3 // 5
    pen.text((x, y), bars.meanings[number], "label", colour, "midleft", max(1, names - x))
    if bars.choosing:
        pen.text((rect.right, y), keys, "label", theme.MUTED, "midright")
    else:
        _paint_bar(pen, Rect(names, rect.y, rect.right - names, rect.h), bars, number)


def _caps(bars: Bars, number: int) -> tuple[str, ...]:
    return bars.keys[number] if bars.choosing and bars.keys[number] else DIGITS[number : number + 1]


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
    percent = pen.px(46)
    bar = Rect(rect.x + 3 * size, y - pen.px(7), rect.w - 3 * size - percent, pen.px(14))
    if bar.w > 0:
        pen.bar(bar, share)
    pen.text((rect.right - pen.px(4), y), f"{share:.0%}" if share >= 0.005 or share == 0 else "<1%", "label", theme.TEXT, "midright")


def action_of(command: str) -> int | None:
    """The action that a command names; None where it is another command."""
    return int(command.removeprefix(ACTION)) if command.startswith(ACTION) else None
