"""How judging looks: two clips side by side."""

from __future__ import annotations

from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.answer_view import HINTS, SHARED, AnswerView, Words
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Command
from rlhf_games.arena.pen import Pen
from rlhf_games.feedback.answers import Choice, Preference

COMMANDS = (
    Command("left", ("left", "pad:dpleft"), "the left clip is better"),
    Command("right", ("right", "pad:dpright"), "the right clip is better"),
    Command("clearly_left", ("shift+left", "shift+pad:dpleft"), "the left clip is clearly better"),
    Command("clearly_right", ("shift+right", "shift+pad:dpright"), "the right clip is clearly better"),
    Command("equal", ("down", "pad:dpdown"), "both are equally good"),
    Command("unsure", ("up", "pad:dpup"), "can't tell"),
    *SHARED,
)
_SIDES = ("left", "right")
_ANSWERS: dict[str, tuple[Choice, int]] = {
    "left": ("left", 1),
    "right": ("right", 1),
    "clearly_left": ("left", 2),
    "clearly_right": ("right", 2),
    "equal": ("equal", 1),
    "unsure": ("unsure", 1),
}


class _Card(NamedTuple):
    """What is seen around one clip now; decides whether it must be painted again."""

    query: int
    place: int
    mark: str
    end: str
    bars: bool


class JudgeView(AnswerView[JudgeSession]):
    """Shows a `JudgeSession`."""

    title = "Judge"
    words = Words("pair", "Which clip is better?")
    all_commands = COMMANDS
    hints = (
        *(("left", "left better"), ("right", "right better"), ("clearly_left", "clearly"), ("equal", "equal"), ("unsure", "can't tell")),
        *((name, HINTS[name]) for name in ("undo", "pause")),
    )

    def answer(self, name: str, shift: bool) -> bool:
        """Which clip is better; with Shift: clearly."""
        if name not in _ANSWERS:
            return False
        choice, strength = _ANSWERS[name]
        self.session.answer(choice, 2 if shift and choice in _SIDES else strength)
        return True

    def say(self, value: Preference) -> str:
        """In words."""
        clearly = "clearly " if value.strength == 2 else ""
        return {"equal": "equal", "unsure": "can't tell"}.get(value.choice, f"{value.choice} {clearly}better")

    def draw_question(self, canvas: Canvas, stage: Rect) -> None:
        """Two cards with a clip on each."""
        assert self.session.current is not None
        query = self.session.current.query.id
        gap = canvas.px(24)
        width = (stage.w - gap) // 2
        for place, side in enumerate(_SIDES):
            rect = Rect(stage.x + place * (width + gap), stage.y, width, stage.h)
            card = _Card(query, place, self._mark(side), self.end_words(place), self._bars)
            canvas.part(side, rect, card, lambda pen, card=card: self._paint_card(pen, card))  # type: ignore[misc]
            pad, top, bottom = canvas.px(16), canvas.px(40), canvas.px(30)
            room = Rect(rect.x + pad, rect.y + top, rect.w - 2 * pad, rect.h - top - bottom)
            self.draw_clip(canvas, place, room, Rect(room.x, rect.bottom - canvas.px(20), room.w, canvas.px(8)), card)

    def _mark(self, side: str) -> str:
        """What is written over the clip while its answer is stored: words and a frame, not a colour alone."""
        chosen = self.session.chosen
        if chosen is None:
            return ""
        if chosen.choice in _SIDES:
            return ("CLEARLY BETTER" if chosen.strength == 2 else "BETTER") if chosen.choice == side else ""
        return "EQUAL" if chosen.choice == "equal" else "CAN'T TELL"

    def _paint_card(self, pen: Pen, card: _Card) -> None:
        area, pad = pen.area, pen.px(16)
        pen.box(area, theme.PANEL, theme.BLUE if card.mark else None, width=4)
        pen.click(area, _SIDES[card.place])
        pen.text((pad, pad // 2 + pen.px(4)), f"{_SIDES[card.place].upper()}{self.seat_words(card.place)}", "label", theme.MUTED)
        words, colour = (card.mark, theme.BLUE) if card.mark else (card.end, theme.AMBER)
        if words:
            pen.text((area.right - pad, pad // 2 + pen.px(4)), words, "label", colour, "topright")
