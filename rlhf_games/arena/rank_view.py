"""How ranking looks: the clips in a grid, their ranks large beside them, and the order from best to worst beneath."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.answer_view import HINTS, SHARED, AnswerView, Words
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command
from rlhf_games.arena.pen import Pen, fit, key_for
from rlhf_games.arena.ranking import MOST_CLIPS, Order, RankSession
from rlhf_games.arena.theme import Style
from rlhf_games.feedback.answers import Ranking

_DIGITS = tuple(range(1, MOST_CLIPS + 1))
COMMANDS = (
    *(Command(f"clip {digit}", (str(digit), f"[{digit}]"), "the clip of this number comes next") for digit in _DIGITS),
    *(Command(f"tie {digit}", (f"shift+{digit}",), "it is as good as the one before: a tie") for digit in _DIGITS),
    Command("next", ("right", "pad:dpright"), "mark the next clip"),
    Command("previous", ("left", "pad:dpleft"), "mark the clip before"),
    Command("take", ("down", "pad:dpdown"), "the marked clip comes next"),
    Command("tie", ("shift+down", "shift+pad:dpdown"), "the marked clip is as good as the one before"),
    Command("confirm", ("return", "shift+pad:y", "pad:y"), "store; the rest share the last place"),
    Command("unsure", ("up", "pad:dpup"), "can't tell"),
    *(command for command in SHARED if command.name != "retry"),
)
_ORDINALS = ("1st", "2nd", "3rd", "4th", "5th", "6th", "7th", "8th", "9th")
_STRIP = 54
"""Height of the order beneath the clips, in design pixels."""
_SIDE, _TOP = 100, 60
"""Room for a clip's digit and rank: beside it, or above it."""
_GAP, _PAD = 12, 10


class Card(NamedTuple):
    """What is seen around one clip now; decides whether it must be painted again."""

    query: int
    place: int
    badge: str
    """The rank, with ``=`` before it in a tie."""
    state: str
    """``marked``, ``held`` (being dragged), ``target`` (of what is dragged), ``stored`` or empty."""
    end: str
    bars: bool
    beside: bool
    """Digit and rank stand beside the clip, not above it."""


class Grid(NamedTuple):
    """How cards lie."""

    columns: int
    rows: int
    beside: bool


def best_grid(count: int, area: tuple[int, int], picture: tuple[int, int], scale: float = 1.0) -> Grid:
    """The grid in which pictures are shown largest; of several, the one with the fewest empty places.

    Args:
      count: how many clips.
      area: ``(width, height)`` in pixels.
      picture: ``(width, height)`` of a picture of the game.
      scale: pixels per pixel of the design.
    """

    def value(grid: Grid) -> tuple[int, int, int]:
        room = clip_room(card_rect(0, grid, Rect(0, 0, *area), scale), grid.beside, scale)
        shown = fit(picture, (max(1, room.w), max(1, room.h)))[0]
        return shown[0] * shown[1], -grid.columns * grid.rows, room.w * room.h

    return max((Grid(columns, -(-count // columns), beside) for columns in range(1, count + 1) for beside in (False, True)), key=value)


def card_rect(place: int, grid: Grid, area: Rect, scale: float) -> Rect:
    """Where a clip's card lies."""
    gap = round(_GAP * scale)
    width, height = (area.w - gap * (grid.columns - 1)) // grid.columns, (area.h - gap * (grid.rows - 1)) // grid.rows
    row, column = divmod(place, grid.columns)
    return Rect(area.x + column * (width + gap), area.y + row * (height + gap), width, height)


def clip_room(card: Rect, beside: bool, scale: float) -> Rect:
    """Where on its card a clip may lie."""
    pad, left, top, bottom = (round(size * scale) for size in (_PAD, _SIDE if beside else _PAD, _PAD if beside else _TOP, 2 * _PAD))
    return Rect(card.x + left, card.y + top, card.w - left - pad, card.h - top - bottom)


class RankView(AnswerView[RankSession]):
    """Shows a `RankSession`."""

    title = "Rank"
    words = Words("question", "Which is best, which comes next?")
    all_commands = COMMANDS
    hints = (
        *(("clip 1", "comes next"), ("tie 1", "ties"), ("confirm", "store"), ("unsure", "can't tell")),
        *((name, HINTS[name]) for name in ("undo", "pause")),
    )
    failed_hints = (("confirm", "try again"), ("drop", "give it up"))
    _marked = 0
    _held: tuple[str, str] | None = None
    """What is being dragged, and what it is over."""

    # Input

    def answer(self, name: str, shift: bool) -> bool:
        """Ranks a clip, stores or gives up the ranking."""
        session = self.session
        word, _, number = name.partition(" ")
        if word in ("clip", "tie") and number.isdigit():
            self._place(int(number) - 1, shift or word == "tie")
        elif name in ("take", "tie"):
            self._place(self._marked, shift or name == "tie")
        elif name in ("next", "previous"):
            self._marked = (self._marked + (1 if name == "next" else -1)) % max(1, session.order.clips)
        elif name == "confirm":
            (session.retry if session.phase == "failed" else self._confirm)()
        elif name == "unsure":
            session.unsure()
        elif name == "undo":
            session.back()
        else:
            return word in ("gap", "chip")  # places to drag to: a click there means nothing
        return True

    def _place(self, clip: int, tie: bool) -> None:
        if not self.session.place(clip, tie) and clip in self.session.order.placed and self.session.answerable:
            self.session.notice = f"Clip {clip + 1} has its rank already: {key_for(self.commands, 'undo')} takes the last step back."

    def _confirm(self) -> None:
        if not self.session.confirm() and self.session.answerable:
            self.session.notice = "Nothing is ranked yet: begin with the digit of the best clip."

    def grabs(self, command: str) -> bool:
        """Clips can be dragged: on their cards, and in the order beneath."""
        return command.partition(" ")[0] in ("clip", "chip")

    def drag(self, command: str, over: str | None, done: bool) -> None:
        """A clip onto another one: a tie; onto a gap in the order: a rank of its own there."""
        self._held = None if done else (command, over or "")
        word, _, number = (over or "").partition(" ")
        if not done or not number.isdigit():
            return
        clip = int(command.split()[1]) - 1
        if word == "gap":
            self.session.insert(clip, int(number))
        elif word in ("clip", "chip"):
            self.session.join(clip, int(number) - 1)

    def say(self, value: Ranking) -> str:
        """In words."""
        return order_words(value.ranks) if value.ranks else "can't tell"

    # Drawing

    def scene(self) -> tuple[Hashable, ...]:
        """Another number of clips lies in another grid."""
        current = self.session.current
        return () if current is None else (len(current.films), max(film.size for film in current.footage))

    def draw_question(self, canvas: Canvas, stage: Rect) -> None:
        """The clips, and their order beneath."""
        session = self.session
        assert session.current is not None
        strip = canvas.px(_STRIP)
        area = Rect(stage.x, stage.y, stage.w, stage.h - strip - canvas.px(_GAP))
        grid = best_grid(session.order.clips, area.size, max(film.size for film in session.current.footage), canvas.scale)
        self._marked = min(self._marked, session.order.clips - 1)
        for place in range(session.order.clips):
            rect = card_rect(place, grid, area, canvas.scale)
            card = self._card(place, grid.beside)
            canvas.part(f"card {place}", rect, card, lambda pen, card=card: self._paint_card(pen, card))  # type: ignore[misc]
            room = clip_room(rect, grid.beside, canvas.scale)
            self.draw_clip(canvas, place, room, Rect(room.x, rect.bottom - canvas.px(14), room.w, canvas.px(7)), card)
        beneath = Rect(stage.x, stage.bottom - strip, stage.w, strip)
        key = (session.current.query.id, session.order, self._held, session.chosen)
        canvas.part("order", beneath, key, lambda pen: _paint_order(pen, session.order, self._held))

    def _card(self, place: int, beside: bool) -> Card:
        session = self.session
        assert session.current is not None
        rank = session.order.rank(place)
        tie = rank is not None and len(session.order.groups[rank]) > 1
        badge = "" if rank is None else ("=" if tie else "") + _ORDINALS[rank]
        state = "stored" if session.chosen is not None else "marked" if place == self._marked else ""
        if self._held is not None:
            grabbed, over = (entry.partition(" ")[2] if not entry.startswith("gap") else "" for entry in self._held)
            state = "held" if grabbed == str(place + 1) else "target" if over == str(place + 1) else ""
        if session.chosen is not None and not session.chosen.ranks:
            badge = "?"
        elif session.chosen is not None and rank is None:
            badge = "=" + _ORDINALS[session.chosen.ranks[place]]
        return Card(session.current.query.id, place, badge, state, self.end_words(place), self._bars, beside)

    def _paint_card(self, pen: Pen, card: Card) -> None:
        area, pad = pen.area, pen.px(_PAD)
        border = {"": None, "marked": theme.LINE, "stored": theme.BLUE}.get(card.state, theme.AMBER)
        pen.box(area, theme.PANEL, border, width=4 if card.state in ("held", "target", "stored") else 2)
        pen.click(area, f"clip {card.place + 1}")
        words = {"held": "DRAGGED", "target": "A TIE WITH THIS"}.get(card.state, card.end) + self.seat_words(card.place)
        if card.beside:
            width = pen.px(_SIDE) - 2 * pad
            top = pen.text((pad + pen.px(4), pad), str(card.place + 1), "huge", theme.TEXT).bottom
            if card.badge:
                _badge(pen, Rect(pad, top + pad, width, pen.px(54)), card.badge)
            for number, word in enumerate(words.split()):
                pen.text((pad + width // 2, area.bottom - pen.px(96) + number * pen.px(20)), word, "label", theme.AMBER, "midtop", width)
            return
        right = pen.text((pad + pen.px(6), pen.px(_TOP) // 2), str(card.place + 1), "huge", theme.TEXT, "midleft").right
        if card.badge:
            left = right + pen.px(16)
            width = min(pen.text_width(card.badge, "title") + pen.px(24), area.right - pad - left)
            right = _badge(pen, Rect(left, pad, max(1, width), pen.px(_TOP) - 2 * pad + pen.px(6)), card.badge).right
        room = max(0, area.right - 2 * pad - right)
        if pen.text_width(words, "label") > room:
            words = words.removesuffix(" HERE") if "ENDS" in words else words.removeprefix("EPISODE ").replace(" OF ", "/")
        pen.text((area.right - pad, pen.px(_TOP) // 2), words, "label", theme.AMBER, "midright", room)


def _badge(pen: Pen, rect: Rect, words: str) -> Rect:
    """A rank, to be read from a metre; smaller where there is no room for that."""
    pen.box(rect, theme.BLUE, radius=10)
    styles: tuple[Style, ...] = ("title", "strong", "small", "label")
    style = next((style for style in styles if pen.text_width(words, style) <= rect.w - pen.px(8)), styles[-1])
    pen.text(rect.center, words, style, theme.BACKGROUND, "center", rect.w)
    return rect


def _paint_order(pen: Pen, order: Order, held: tuple[str, str] | None) -> None:
    """The clips from best to worst; gaps between them are places to drop a clip at."""
    area, pad, over = pen.area, pen.px(12), held[1] if held is not None else ""
    pen.box(area, theme.PANEL)
    x = pen.text((pad, area.centery), "BEST", "label", theme.MUTED, "midleft").right + pad
    right = pen.text((area.right - pad, area.centery), "WORST", "label", theme.MUTED, "midright").left - pad
    gaps = len(order.groups) + 1
    gap = pen.px(56 if held is not None else 34)
    for rank, group in enumerate(order.groups):
        x = _gap(pen, Rect(x, 0, gap, area.h), rank, over, dragging=held is not None)
        x = _chips(pen, x, group, over)
    _gap(pen, Rect(x, 0, max(gap, right - x), area.h), gaps - 1, over, dragging=held is not None)
    if not order.groups and held is None:
        pen.text((x + gap, area.centery), "Digits, or drag clips here", "body", theme.MUTED, "midleft", max(1, right - x - gap))


def _chips(pen: Pen, x: int, group: Sequence[int], over: str) -> int:
    """Clips of the same rank; returns where they end."""
    chip, middle = pen.px(44), pen.area.centery
    for number, clip in enumerate(group):
        if number:
            x = pen.text((x + pen.px(4), middle), "=", "title", theme.TEXT, "midleft").right + pen.px(4)
        box = Rect(x, middle - chip // 2, chip, chip)
        pen.box(box, theme.BLUE if over != f"chip {clip + 1}" else theme.AMBER, radius=8)
        pen.text(box.center, str(clip + 1), "title", theme.BACKGROUND, "center")
        pen.click(box, f"chip {clip + 1}")
        x = box.right
    return x


def _gap(pen: Pen, rect: Rect, number: int, over: str, *, dragging: bool) -> int:
    """A place between ranks; returns its right edge."""
    pen.click(rect, f"gap {number}")
    if over == f"gap {number}":
        pen.box(Rect(rect.x + pen.px(6), rect.y + pen.px(8), rect.w - pen.px(12), rect.h - pen.px(16)), theme.RAISED, theme.AMBER, 8)
    elif number or dragging:
        words = "▸" if not dragging else "+"
        pen.text((rect.x + min(rect.w, pen.px(34)) // 2, rect.centery), words if rect.w else "", "body", theme.MUTED, "center")
    return rect.right


def order_words(ranks: tuple[int, ...]) -> str:
    """A ranking as people write it: ``2 > 1 = 3``."""
    groups = [[str(clip + 1) for clip, other in enumerate(ranks) if other == rank] for rank in sorted(set(ranks))]
    return " > ".join(" = ".join(group) for group in groups)
