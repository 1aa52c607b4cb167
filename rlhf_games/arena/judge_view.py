"""How judging looks: two clips side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.judging import JudgeSession
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas, standing
from rlhf_games.arena.pen import Pen, fit
from rlhf_games.arena.playback import next_speed
from rlhf_games.arena.runs import Learning
from rlhf_games.arena.view import Next
from rlhf_games.feedback.answers import Choice

COMMANDS = (
    Command("left", ("left", "pad:dpleft"), "the left clip is better"),
    Command("right", ("right", "pad:dpright"), "the right clip is better"),
    Command("clearly_left", ("shift+left", "shift+pad:dpleft"), "the left clip is clearly better"),
    Command("clearly_right", ("shift+right", "shift+pad:dpright"), "the right clip is clearly better"),
    Command("equal", ("down", "pad:dpdown"), "both are equally good"),
    Command("unsure", ("up", "pad:dpup"), "can't tell"),
    Command("undo", ("backspace", "pad:b"), "take back the last answer"),
    Command("pause", ("space", "pad:a"), "pause, go on"),
    Command("restart", ("r", "pad:x"), "from the beginning"),
    Command("slower", ("[", "pad:leftstick"), "slower"),
    Command("faster", ("]", "pad:rightstick"), "faster"),
    Command("step_back", (",",), "one picture back"),
    Command("step", (".",), "one picture forward"),
    Command("bars", ("b",), "bars under the clips"),
    Command("retry", ("return", "pad:start"), "store a failed answer again"),
    Command("drop", ("delete", "pad:y"), "give a failed answer up"),
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
    over: bool
    bars: bool


class JudgeView:
    """Shows a `JudgeSession`."""

    title = "Judge"

    def __init__(
        self,
        session: JudgeSession,
        keymap: Keymap,
        *,
        aim: Callable[[str], tuple[str, str]],
        learning: Callable[[], Future[Learning | None]] | None = None,
        budget: int | None = None,
        now: Callable[[], float] = time.monotonic,
        bars: bool = True,
    ) -> None:
        """``aim``: title and aim of a game by name; ``learning``: asks how the agent does, without waiting; ``budget``: answers wanted."""
        self.session = session
        self.commands: Sequence[Command] = keymap.commands("judge", COMMANDS)
        self._aim, self._learning, self._budget, self._now = aim, learning, budget, now
        self._bars = bars
        self._asked: Future[Learning | None] | None = None
        self._known: Learning | None = None
        self._ask_at = now()
        self._paused_by_focus = False

    @property
    def hurried(self) -> bool:
        """While an answer is on its way to the disk: the next pair is to come at once."""
        return self.session.phase in ("saving", "undoing")

    # Input

    def press(self, press: Press, command: str | None) -> Next:
        """A key."""
        return self.click(command) if command is not None else None

    def click(self, command: str) -> Next:
        """A command by its name."""
        shift, _, name = command.rpartition("+")
        if name in _ANSWERS:
            choice, strength = _ANSWERS[name]
            self.session.answer(choice, 2 if shift and choice in _SIDES else strength)
        elif name in ("undo", "retry", "drop"):
            {"undo": self.session.undo, "retry": self.session.retry, "drop": self.session.drop}[name]()
        elif name == "bars":
            self._bars = not self._bars
        else:
            self._wind(name)
        return None

    def _wind(self, name: str) -> None:
        """Commands about how the clips run."""
        playback = self.session.playback
        match name:
            case "pause":
                playback.paused = not playback.paused
            case "restart":
                playback.restart()
            case "slower" | "faster":
                playback.speed = next_speed(playback.speed, name == "faster")
            case "step" | "step_back":
                playback.step(1 if name == "step" else -1)

    def back(self) -> Next:
        """Leaves; the session keeps every answer."""
        return "back"

    def focus(self, gained: bool) -> None:
        """The clips stand still while the person is elsewhere."""
        playback = self.session.playback
        if gained and self._paused_by_focus:
            playback.paused = False
        self._paused_by_focus = not gained and (self._paused_by_focus or not playback.paused)
        playback.paused = playback.paused or not gained

    def update(self) -> Next:
        """Lets the session go on."""
        self.session.tick()
        if self._learning is not None:
            self._ask()
        return None

    def _ask(self) -> None:
        assert self._learning is not None
        if self._asked is not None and self._asked.done():
            self._known, self._asked = self._asked.result(), None
        if self._asked is None and self._now() >= self._ask_at:
            self._ask_at = self._now() + 2.0
            self._asked = self._learning()

    def close(self) -> None:
        """Gives back what was not answered."""
        self.session.close()

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session = self.session
        showing = session.current is not None
        canvas.begin(("judge", canvas.width, canvas.height, showing))
        areas = frame_areas(canvas)
        title, aim = self._aim(session.current.footage[0].game) if session.current is not None else ("", "")
        heading = "Which clip is better?" if showing else "Judge"
        canvas.part("heading", areas.heading, (heading, aim), lambda pen: _heading(pen, heading, f"{title}: {aim}" if title else ""))
        standing(canvas, areas.standing, self._standing(), self._known)
        if showing:
            self._draw_pair(canvas, areas.stage)
        else:
            turn = int(self._now() * 12)
            waiting = self._waiting_words()
            canvas.part("wait", areas.stage, (turn, waiting), lambda pen: _wait(pen, turn / 12, *waiting))
        status = self._status()
        canvas.part(
            "status", areas.status, status, lambda pen: pen.text(pen.area.center, status[0], "body", status[1], "center", pen.area.w)
        )
        failed = session.phase == "failed"
        names = ("retry", "drop") if failed else ("left", "right", "clearly_left", "equal", "unsure", "undo", "pause")
        words = {"left": "left better", "right": "right better", "clearly_left": "clearly", "equal": "equal", "unsure": "can't tell"}
        words |= {"undo": "undo", "pause": "pause", "retry": "try again", "drop": "give it up"}
        footer(canvas, areas.footer, self.commands, [(name, words[name]) for name in names])

    def _standing(self) -> tuple[str, str]:
        """The numbers in the corner: what was done, what is left."""
        progress = self.session.progress
        if progress is None:
            return f"{self.session.given} by you", f"as {self.session.annotator}"
        left = f"{max(0, self._budget - progress.answered)} left" if self._budget is not None else f"{progress.open} open"
        return (
            f"{progress.answered} answered · {left}",
            f"{progress.per_minute:.0f} a minute · {self.session.given} now by {self.session.annotator}",
        )

    def _waiting_words(self) -> tuple[str, str]:
        session = self.session
        if session.phase == "undoing":
            return "Taking back…", ""
        if session.loading:
            return "Drawing the clips…", "The first ones take a few seconds: the game is being loaded."
        if session.progress is None:
            return "Opening the store…", ""
        if session.progress.open > session.progress.leased:
            return "Fetching the next pair…", ""
        return "No pair is waiting.", "New ones appear here as soon as the learner asks. You can stay, or leave with Esc."

    def _status(self) -> tuple[str, theme.Colour]:
        session, playback = self.session, self.session.playback
        if session.notice:
            return session.notice, theme.AMBER
        parts = []
        if session.current is not None and session.current.taken_back is not None and session.phase == "showing":
            said = session.current.taken_back
            name = {"equal": "equal", "unsure": "can't tell"}.get(
                said.choice, f"{said.choice} {'clearly ' if said.strength == 2 else ''}better"
            )
            parts.append(f"taken back: you had said “{name}”")
        if session.current is not None and playback.paused:
            parts.append("paused")
        if playback.speed != 1.0:
            parts.append(f"speed ×{playback.speed:g}")
        return " · ".join(parts), theme.MUTED

    def _draw_pair(self, canvas: Canvas, stage: Rect) -> None:
        session, playback = self.session, self.session.playback
        pair = session.current
        assert pair is not None
        gap = canvas.px(24)
        width = (stage.w - gap) // 2
        for place, side in enumerate(_SIDES):
            rect = Rect(stage.x + place * (width + gap), stage.y, width, stage.h)
            card = _Card(pair.query.id, place, self._mark(side), playback.over(place), self._bars)
            canvas.part(side, rect, card, lambda pen, card=card: self._paint_card(pen, card))  # type: ignore[misc]
            self._draw_clip(canvas, rect, card)

    def _draw_clip(self, canvas: Canvas, card_rect: Rect, card: _Card) -> None:
        """The moving parts, which lie on the card."""
        pair, playback = self.session.current, self.session.playback
        assert pair is not None
        film = pair.footage[card.place]
        pad, top, bottom = canvas.px(16), canvas.px(40), canvas.px(30)
        inner = Rect(card_rect.x + pad, card_rect.y + top, card_rect.w - 2 * pad, card_rect.h - top - bottom)
        if inner.w <= 0 or inner.h <= 0:
            return
        size, _ = fit((film.frames.shape[2], film.frames.shape[1]), inner.size)
        place = Rect((0, 0), size)
        place.center = inner.center
        number = playback.frame(card.place)
        canvas.part(f"clip {card.place}", place, (card, number), lambda pen: pen.picture(film.frames[number], pen.area), theme.PANEL)
        if card.bars:
            bar = Rect(inner.x, card_rect.bottom - canvas.px(20), inner.w, canvas.px(8))
            done = round(playback.share(card.place) * bar.w)
            canvas.part(f"bar {card.place}", bar, (card, done), lambda pen: pen.bar(pen.area, done / bar.w), theme.PANEL)

    def _mark(self, side: str) -> str:
        """What is written over the clip while its answer is stored: words and a frame, not a colour alone."""
        chosen = self.session.chosen
        if chosen is None:
            return ""
        if chosen.choice in _SIDES:
            return ("CLEARLY BETTER" if chosen.strength == 2 else "BETTER") if chosen.choice == side else ""
        return "EQUAL" if chosen.choice == "equal" else "CAN'T TELL"

    def _paint_card(self, pen: Pen, card: _Card) -> None:
        pair = self.session.current
        assert pair is not None
        film = pair.footage[card.place]
        area, pad = pen.area, pen.px(16)
        pen.box(area, theme.PANEL, theme.BLUE if card.mark else None, width=4)
        pen.click(area, _SIDES[card.place])
        seat = f" · seat {pair.query.shown[card.place].seat}" if film.players > 1 else ""
        pen.text((pad, pad // 2 + pen.px(4)), f"{_SIDES[card.place].upper()}{seat}", "label", theme.MUTED)
        if card.mark:
            pen.text((area.right - pad, pad // 2 + pen.px(4)), card.mark, "label", theme.BLUE, "topright")
        elif card.over:
            words = "EPISODE ENDS HERE" if film.ends else "CLIP ENDS HERE"
            pen.text((area.right - pad, pad // 2 + pen.px(4)), words, "label", theme.AMBER, "topright")


def _heading(pen: Pen, words: str, aim: str) -> None:
    pen.text((0, 0), words, "title")
    pen.paragraph((0, pen.px(42)), aim, pen.area.w, 2, "small")


def _wait(pen: Pen, turn: float, words: str, more: str) -> None:
    pen.box(pen.area)
    centre = pen.area.center
    pen.spinner((centre[0], centre[1] - pen.px(60)), turn)
    pen.text((centre[0], centre[1]), words, "title", anchor="midtop")
    pen.paragraph((centre[0], centre[1] + pen.px(48)), more, pen.area.w - pen.px(80), 2, centred=True)
