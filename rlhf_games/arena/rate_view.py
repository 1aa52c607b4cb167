"""How rating looks: one clip, large, and the five grades beside it."""

from __future__ import annotations

from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.answer_view import HINTS, SHARED, AnswerView, Words
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, is_pad
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.rating import SCALE, RateSession
from rlhf_games.arena.theme import Style
from rlhf_games.feedback.answers import Rating

_PADS = {1: ("pad:dpdown",), 3: ("pad:dpleft",), 5: ("pad:dpright",)}
"""Gamepads have three grades at hand and the shoulder button for the two between."""
_SHIFTED = {2: ("shift+pad:dpleft",), 4: ("shift+pad:dpright",)}
COMMANDS = (
    *(
        Command(f"rate {grade}", (str(grade), f"[{grade}]", *_PADS.get(grade, ()), *_SHIFTED.get(grade, ())), f"{grade}: {word}")
        for grade, word in SCALE.items()
    ),
    Command("unsure", ("up", "pad:dpup"), "can't tell"),
    *SHARED,
)
_ROOMY = 76
"""Height of a row from which on a grade's word and its squares stand one above the other, in design pixels."""
_SIDE = 360
"""Width of the grades, in design pixels."""


class _Card(NamedTuple):
    """What is seen around the clip now; decides whether it must be painted again."""

    query: int
    mark: str
    end: str
    bars: bool


class RateView(AnswerView[RateSession]):
    """Shows a `RateSession`."""

    title = "Rate"
    words = Words("clip", "How good is this clip?")
    all_commands = COMMANDS
    hints = (
        *(("rate 1", SCALE[1]), ("rate 5", SCALE[5]), ("unsure", "can't tell")),
        *((name, HINTS[name]) for name in ("undo", "pause", "restart")),
    )

    def answer(self, name: str, shift: bool) -> bool:
        """Rates the clip."""
        word, _, grade = name.partition(" ")
        if word == "rate" and grade.isdigit():
            self.session.rate(int(grade))
        elif name == "unsure":
            self.session.rate(None)
        else:
            return False
        return True

    def say(self, value: Rating) -> str:
        """In words."""
        return _words(value)

    def draw_question(self, canvas: Canvas, stage: Rect) -> None:
        """The clip and the grades."""
        session = self.session
        assert session.current is not None
        side = min(canvas.px(_SIDE), stage.w // 2)
        rect = Rect(stage.x, stage.y, stage.w - side - canvas.px(24), stage.h)
        card = _Card(
            session.current.query.id, "" if session.chosen is None else _words(session.chosen).upper(), self.end_words(0), self._bars
        )
        canvas.part("card", rect, card, lambda pen: self._paint_card(pen, card))
        pad, top, bottom = canvas.px(16), canvas.px(40), canvas.px(30)
        room = Rect(rect.x + pad, rect.y + top, rect.w - 2 * pad, rect.h - top - bottom)
        self.draw_clip(canvas, 0, room, Rect(room.x, rect.bottom - canvas.px(20), room.w, canvas.px(8)), card)
        chosen = None if session.chosen is None else session.chosen.stars
        keys = tuple(next((key for key in command.keys if not is_pad(key)), "") for command in self.commands[: len(SCALE)])
        grades = Rect(rect.right + canvas.px(24), stage.y, side, stage.h)
        canvas.part("grades", grades, (chosen, keys), lambda pen: _paint_grades(pen, chosen, keys))

    def _paint_card(self, pen: Pen, card: _Card) -> None:
        area, pad = pen.area, pen.px(16)
        pen.box(area, theme.PANEL, theme.BLUE if card.mark else None, width=4)
        pen.text((pad, pad // 2 + pen.px(4)), f"CLIP{self.seat_words(0)}", "label", theme.MUTED)
        words, colour = (card.mark, theme.BLUE) if card.mark else (card.end, theme.AMBER)
        if words:
            pen.text((area.right - pad, pad // 2 + pen.px(4)), words, "label", colour, "topright")


def _paint_grades(pen: Pen, chosen: int | None, keys: tuple[str, ...]) -> None:
    """Five rows, the best above; how many squares are filled says the grade without a word."""
    gap = pen.px(12)
    height = (pen.area.h - gap * (len(SCALE) - 1)) // len(SCALE)
    for row, grade in enumerate(sorted(SCALE, reverse=True)):
        box = Rect(0, row * (height + gap), pen.area.w, height)
        taken = grade == chosen
        pen.box(box, theme.RAISED if taken else theme.PANEL, theme.BLUE if taken else None, width=4)
        pen.click(box, f"rate {grade}")
        style: Style = "huge" if height >= pen.px(_ROOMY) else "title"
        left = pen.text((pen.px(24), box.centery), str(grade), style, theme.BLUE if taken else theme.TEXT, "midleft").right + pen.px(24)
        if height < pen.px(_ROOMY):  # no room for squares under the word
            pen.text((left, box.centery), SCALE[grade], "strong", anchor="midleft", width=box.w - left - gap)
        else:
            pen.text((left, box.centery - pen.px(4)), SCALE[grade], "title", anchor="bottomleft", width=box.w - left - gap)
            _paint_squares(pen, left, box.centery + pen.px(8), grade)
        if keys[grade - 1] != str(grade):  # this person's own key
            pen.keycap((box.right - pen.px(64), box.centery), keys[grade - 1] or "–")


def _paint_squares(pen: Pen, left: int, top: int, grade: int) -> None:
    size = pen.px(16)
    for number in range(len(SCALE)):
        square = Rect(left + number * (size + pen.px(6)), top, size, size)
        pen.box(square, theme.BLUE if number < grade else theme.BACKGROUND, theme.LINE, 4)


def _words(said: Rating) -> str:
    return "can't tell" if said.stars is None else f"{said.stars}, {SCALE[said.stars]}"
