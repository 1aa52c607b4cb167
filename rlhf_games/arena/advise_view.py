"""How it looks when the agent asks: a still state, and the keys with which a person says what they would do."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.actions_view import Bars, action_of, crowded, keys_of, paint_bars
from rlhf_games.arena.advising import AdviseSession
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.controls import Chords, game_commands, seat_chords
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.pick import DIGITS, Pick
from rlhf_games.arena.reel_view import draw_picture, draw_waiting
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.view import Next
from rlhf_games.core.spaces import Discrete

COMMANDS = (
    Command("digit", DIGITS, "I would do the action of that number"),
    Command("unsure", ("up", "u", "pad:y"), "can't tell"),
    Command("lead", ("l", "pad:a"), "see what led here"),
    Command("skip", ("k", "shift+pad:a"), "another question"),
    Command("undo", ("backspace", "pad:b"), "take the last answer back"),
    Command("retry", ("return", "shift+pad:y"), "store a failed answer again"),
    Command("drop", ("delete", "shift+pad:b"), "give a failed answer up"),
)
_SHOWN = (("unsure", "can't tell"), ("lead", "what led here"), ("skip", "another"), ("undo", "undo"))
_FAILED = (("retry", "try again"), ("drop", "give it up"))

_BLIND = 0.995
"""From here on uncertainty is shown as 100%."""


class AdviseView(SessionView[AdviseSession]):
    """Shows an `AdviseSession`."""

    title = "The agent asks"

    def __init__(
        self,
        session: AdviseSession,
        keymap: Keymap,
        *,
        name: Callable[[str], tuple[str, str]],
        headway: Headway | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``name``: title and aim of a game by its name; ``headway``: of the run."""
        super().__init__(session, headway)
        self._keymap, self._name, self._now = keymap, name, now
        self._pick = Pick()

    @property
    def commands(self) -> Sequence[Command]:
        """Keys of the game belong to the game."""
        return self._keymap.commands("advise", COMMANDS, frozenset[str]().union(*self._chords()))

    @property
    def game_keys(self) -> Sequence[Command]:
        """What the person would do."""
        current = self.session.current
        return () if current is None else game_commands(current.tape.spec, self._chords(), "I would do")

    @property
    def hurried(self) -> bool:
        """While an answer is on its way to the disk: the next question is to come at once."""
        return self.session.phase == "saving"

    def _chords(self) -> Chords:
        current = self.session.current
        return {} if current is None else seat_chords(0, current.tape.spec, self._keymap)

    @property
    def unsaved(self) -> str:
        """What was said and is not stored."""
        return self.session.remarks.unsaved

    @property
    def saving(self) -> bool:
        """While something is on its way."""
        return self.session.remarks.busy

    # Input

    def press(self, press: Press, command: str | None) -> Next:
        """A key of the game, or a command."""
        chords = self._chords()
        if self._pick.meant(press, chords):
            action = self._pick.press(press, chords)
            if action is not None:
                self.session.answer(action)
        elif command == "digit":  # a key of a person's own, or one that only writes a digit
            digit = press.among(DIGITS) or press.text
            if digit in DIGITS:
                self.session.answer(DIGITS.index(digit))
        elif command is not None:
            return self.click(command)
        return None

    def click(self, command: str) -> Next:
        """A command by its name; ``action 2`` is an answer."""
        session, name = self.session, command.removeprefix("shift+")
        if (action := action_of(name)) is not None:
            session.answer(action)
        elif name == "unsure":
            session.answer(None)
        elif name in ("lead", "skip", "undo", "retry", "drop"):
            commands = {"lead": session.lead, "skip": session.pass_by, "undo": session.undo, "retry": session.retry, "drop": session.drop}
            commands[name]()
        return None

    def focus(self, gained: bool) -> None:
        """Keys that are down elsewhere do not count, and what led here does not run on unseen."""
        self._pick.clear()
        if not gained:
            self.session.lead_from = None

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session = self.session
        still = session.current
        canvas.begin(("advise", canvas.width, canvas.height, still is not None))
        areas = frame_areas(canvas)
        title, aim = self._name(still.tape.replay.game) if still is not None else ("", "")
        heading = ("What would you do here?", f"{title}: {aim}") if still is not None else ("The agent asks", "")
        canvas.part("heading", areas.heading, heading, lambda pen: _paint_heading(pen, *heading))
        self.draw_standing(canvas, areas.standing, f"{session.given} answered now", f"as {session.annotator}", self.run_words)
        if still is None:
            waiting = session.phase == "waiting" and not session.settled
            draw_waiting(canvas, areas.stage, self._now(), session.words, session.notice, problem=not waiting)
        else:
            self._draw_still(canvas, areas.stage)
        words, colour = (session.notice, theme.AMBER) if session.notice else (self._who(), theme.MUTED)
        canvas.part(
            "status", areas.status, (words, colour), lambda pen: pen.text(pen.area.center, words, "body", colour, "center", pen.area.w)
        )
        footer(canvas, areas.footer, self.commands, _FAILED if session.phase == "failed" else _SHOWN)

    def _draw_still(self, canvas: Canvas, stage: Rect) -> None:
        session = self.session
        still, shown = session.current, session.shown()
        assert still is not None
        assert shown is not None
        t, number = shown
        bars = self._bars()
        side, gap = canvas.px(600 if bars is not None and crowded(len(bars.meanings)) else 400), canvas.px(16)
        strip = still.tape.pictures(t)
        key = (still.tape.replay.id, t, number)
        draw_picture(canvas, "picture", Rect(stage.x, stage.y, stage.w - side - gap, stage.h), key, strip.shape[1:], lambda: strip[number])
        panel = Rect(stage.right - side, stage.y, side, stage.h)
        seat = f" · SEAT {still.seat}" if still.tape.spec.players > 1 else ""
        unsure = next(command.keys[:1] for command in self.commands if command.name == "unsure")
        canvas.part("panel", panel, (bars, session.phase, unsure, still.seat), lambda pen: _paint_panel(pen, bars, unsure, seat))

    def _bars(self) -> Bars | None:
        still = self.session.current
        assert still is not None
        actions = still.tape.spec.actions
        if not isinstance(actions, Discrete):
            return None
        remark = self.session.remark
        said = getattr(remark.value, "action", None) if remark is not None else None
        keys = keys_of(self._chords(), actions.n)
        return Bars(actions.meanings, None, tuple(self.session.legal.tolist()), None, said if isinstance(said, int) else None, keys, True)

    def _who(self) -> str:
        still = self.session.current
        if still is None:
            return self.learner_words
        if still.uncertainty is None:
            return "A learner asks."
        if still.uncertainty >= _BLIND:
            return f"Policy {still.policy} has no preference here: it would choose blindly."
        return f"Policy {still.policy} is {still.uncertainty:.0%} unsure; 100% would be a blind choice."


def _paint_heading(pen: Pen, words: str, aim: str) -> None:
    pen.text((0, 0), words, "title", width=pen.area.w)
    pen.paragraph((0, pen.px(42)), aim, pen.area.w, 2, "small")


def _paint_panel(pen: Pen, bars: Bars | None, unsure: tuple[str, ...], seat: str) -> None:
    pen.box(pen.area)
    pad, last = pen.px(20), pen.px(44)
    pen.text((pad, pen.px(16)), f"PRESS ONE KEY{seat}", "label", theme.MUTED)
    pen.hint((pad + pen.px(6), pen.area.bottom - last // 2 - pen.px(8)), unsure, "can't tell", "unsure", theme.TEXT)
    if bars is not None:
        paint_bars(pen, Rect(pad, pen.px(48), pen.area.w - 2 * pad, pen.area.h - pen.px(64) - last), bars)
