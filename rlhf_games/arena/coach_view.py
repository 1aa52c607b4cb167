"""How coaching looks: the game with the ribbon of marks under it, beside it who plays, large."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.coach_hands import SEAT
from rlhf_games.arena.coach_log import MILD, STRONG
from rlhf_games.arena.coach_ribbon import Ribbon, paint_ribbon
from rlhf_games.arena.coach_session import CoachSession
from rlhf_games.arena.controls import action_words, control_words, game_commands
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen, key_for
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.stage import fact, key_table, notice, running_picture, shared_table, still_picture
from rlhf_games.arena.view import Next, View
from rlhf_games.replay.replay import Replay

COMMANDS = (
    Command("praise", ("+", "=", "[+]", "pad:y"), "that was good"),
    Command("strong_praise", ("page up", "[*]", "shift+pad:y"), "that was very good"),
    Command("scold", ("-", "[-]", "pad:x"), "that was bad"),
    Command("strong_scold", ("page down", "[/]", "shift+pad:x"), "that was very bad"),
    Command("undo", ("backspace", "pad:b"), "take the last mark or takeover back"),
    Command("pause", ("p", "pad:start"), "pause, go on"),
    Command("restart", ("r",), "another episode"),
    Command("slower", ("[",), "slower"),
    Command("faster", ("]",), "faster"),
    Command("ask", ("a",), "stop, and ask why it did that"),
)
VALUES = {"praise": MILD, "strong_praise": STRONG, "scold": -MILD, "strong_scold": -STRONG}
_SIDE, _RIBBON, _GAP = 340, 116, 16
"""Design pixels: the panel's width, the ribbon's height, the space between."""
_ROOMY = 420
"""A panel that is lower than so many design pixels says the least that a coach needs."""
_TURNS = 12


class CoachView(SessionView[CoachSession]):
    """Shows a `CoachSession`."""

    def __init__(
        self,
        session: CoachSession,
        keymap: Keymap,
        title: str,
        aim: str,
        headway: Headway | None = None,
        now: Callable[[], float] = time.monotonic,
        ask: Callable[[Future[Replay]], View] | None = None,
    ) -> None:
        """``headway``: of the run; ``ask``: the view in which the last decision of an episode is asked about."""
        super().__init__(session, headway)
        self.title = f"Coach {title}"
        self._name, self._aim, self._keymap, self._now, self._ask = title, aim, keymap, now, ask
        self._still = 0
        """Frames in which the game stood still: what is painted over the picture then must be painted away."""

    @property
    def commands(self) -> Sequence[Command]:
        """Keys of the game belong to the game."""
        return self._keymap.commands("coach", COMMANDS, self.session.hands.vocabulary)

    @property
    def game_keys(self) -> Sequence[Command]:
        """Any of them takes over."""
        return game_commands(self.session.spec, self.session.hands.chords, "take over")

    @property
    def hurried(self) -> bool:
        """While the game works on a decision: its picture is to come at once."""
        return self.session.phase == "playing" and self.session.working

    @property
    def unsaved(self) -> str:
        """Marks and takeovers that are not stored."""
        return self.session.log.unsaved

    @property
    def saving(self) -> bool:
        """While one of them is on its way."""
        return self.session.log.busy

    def settle(self) -> None:
        """The game stands still, and a takeover is stored."""
        self.session.let_rest()
        super().settle()

    # Input

    def press(self, press: Press, command: str | None) -> Next:
        """A key of the game, or a command; any key begins. A key of the game is never a command."""
        if command is None or press.among(self.session.hands.vocabulary):
            if press.down and self.session.phase == "ready":
                self.session.start()
            else:
                self.session.press(press)
        elif command in VALUES:
            self.session.evaluate(VALUES[command], press.key)
        else:
            return self.click(command)
        return None

    def click(self, command: str) -> Next:
        """A command by its name; with Shift, praise and scolding are strong."""
        session = self.session
        name = command.removeprefix("shift+")
        if name in VALUES:
            strong = f"strong_{name}" if command != name else name
            session.evaluate(VALUES.get(strong, VALUES[name]))
            return None
        match name:
            case "undo":
                session.undo()
            case "pause":
                session.pause()
            case "restart":
                session.restart()
            case "slower" | "faster":
                session.change_speed(name == "faster")
            case "ask" if self._ask is not None:
                stored = session.stand_still()
                return None if stored is None else self._ask(stored)
        return None

    def focus(self, gained: bool) -> None:
        """The game stands still while the person is elsewhere; it goes on when they say so."""
        if not gained:
            self.session.lose_focus()

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session, log = self.session, self.session.log
        canvas.begin(("coach", canvas.width, canvas.height))
        areas = frame_areas(canvas)
        canvas.part("heading", areas.heading, self._name, self._paint_heading)
        kept = f"{log.standing} mark{'' if log.standing == 1 else 's'} stored"
        self.draw_standing(canvas, areas.standing, f"episode {session.episode} · {kept}", f"coached by {log.annotator}", self.run_words)
        side, gap, low = canvas.px(_SIDE), canvas.px(_GAP), canvas.px(_RIBBON)
        left = areas.stage.w - side - gap
        self._draw_stage(canvas, Rect(areas.stage.x, areas.stage.y, left, areas.stage.h - low - gap))
        rate = session.spec.decisions_per_second
        grip = None if session.grip is None else (session.grip.start, session.grip.stop)
        ribbon = Ribbon(session.decisions, rate, log.version, session.name, grip)
        place = Rect(areas.stage.x, areas.stage.bottom - low, left, low)
        canvas.part("ribbon", place, ribbon, lambda pen: paint_ribbon(pen, ribbon, log.marks))
        panel = Rect(areas.stage.right - side, areas.stage.y, side, areas.stage.h)
        driver = (panel.x, panel.y, panel.w, canvas.px(116 if panel.h >= canvas.px(_ROOMY) else 70))
        canvas.part("driver", Rect(driver), session.driver, self._paint_driver)
        below = Rect(panel.x, panel.y + driver[3] + gap, panel.w, panel.h - driver[3] - gap)
        canvas.part("panel", below, (session.policy, session.speed, session.action, session.acted), self._paint_panel)
        told = session.problem or log.problem or log.notice or session.notice or ("The agent is thinking…" if session.late else "")
        words, colour = (told, theme.AMBER) if told else (self.learner_words, theme.MUTED)
        canvas.part("status", areas.status, words, lambda pen: pen.text(pen.area.center, words, "body", colour, "center", pen.area.w))
        names = [("praise", "good"), ("scold", "bad"), ("strong_praise", "very good"), ("strong_scold", "very bad")]
        names += [("undo", "take back"), ("ask", "ask why"), ("pause", "pause"), ("restart", "anew")]
        names += [("slower", "slower"), ("faster", "faster")]
        footer(canvas, areas.footer, self.commands, names)

    def _paint_heading(self, pen: Pen) -> None:
        pen.text((0, 0), self.title, "title")
        pen.paragraph((0, pen.px(42)), self._aim, pen.area.w, 2, "small")

    def _draw_stage(self, canvas: Canvas, rect: Rect) -> None:
        session = self.session
        picture = session.picture()
        if session.phase == "broken" or picture is None:
            turn = int(self._now() * _TURNS)
            canvas.part("stage", rect, (session.phase, turn), lambda pen: self._paint_waiting(pen, turn / _TURNS))
            return
        if session.phase in ("playing", "opening"):
            running_picture(canvas, rect, picture, (session.name, session.decisions, session.frame), self._still)
            return
        self._still += 1
        key = (session.phase, session.name, session.decisions, session.frame)
        canvas.part("stage", rect, key, self._paint_stage)

    def _paint_waiting(self, pen: Pen, turn: float) -> None:
        pen.box(pen.area)
        x, y = pen.area.center
        if self.session.phase == "broken":
            pen.text((x, y - pen.px(60)), "This game cannot go on", "title", anchor="midbottom")
            words = f"{self.session.problem} {self.unsaved or 'What you said before is stored.'}"
            pen.paragraph((x, y - pen.px(40)), words, pen.area.w - pen.px(80), 5, centred=True)
            return
        pen.spinner((x, y - pen.px(60)), turn)
        pen.text((x, y), "Starting the game…", "title", anchor="midtop")

    def _paint_stage(self, pen: Pen) -> None:
        session = self.session
        picture = session.picture()
        assert picture is not None
        still_picture(pen, picture, dim=True)
        match session.phase:
            case "ready":
                notice(pen, "Ready?", f"Any key of the game, or {key_for(self.commands, 'pause')}: the agent begins.")
            case "paused":
                notice(pen, "Paused", f"{key_for(self.commands, 'pause')} goes on.")
            case "over":
                notice(pen, "Game over", "You can still judge its end.")

    def _paint_driver(self, pen: Pen) -> None:
        words, colour = ("● YOU", theme.AMBER) if self.session.driver == "you" else ("▶ AGENT", theme.BLUE)
        pen.box(pen.area, theme.RAISED if self.session.driver == "you" else theme.PANEL, colour, width=4)
        x, y = pen.px(22), pen.px(14)
        if pen.area.h < pen.px(100):
            pen.text((x, pen.area.centery), words, "title", colour, "midleft", pen.area.w - 2 * x)
            return
        pen.text((x, y), "NOW PLAYING", "label", theme.MUTED)
        pen.text((x, y + pen.px(26)), words, "huge", colour, width=pen.area.w - 2 * x)

    def _paint_panel(self, pen: Pen) -> None:
        session, spec = self.session, self.session.spec
        pen.box(pen.area)
        x, y, width = pen.px(22), pen.px(18), pen.area.w - pen.px(44)
        last = action_words(spec, session.action, session.acted, ["seat 0"])
        if pen.area.h < pen.px(_ROOMY) - pen.px(116):
            self._paint_least(pen, last)
            return
        y = fact(pen, x, y, width, "POLICY", session.policy)
        y = fact(pen, x, y, width, "SPEED", f"×{session.speed:g}")
        y = fact(pen, x, y, width, "LAST ACTION" if spec.players == 1 or spec.turn_based else "LAST ACTION OF SEAT 0", last)
        if spec.seats:
            pen.text((x, y), "THE AGENT YOU COACH PLAYS", "label", theme.MUTED)
            pen.text((x, y + pen.px(22)), spec.seats[SEAT], "small", width=width)
            y += pen.px(60)
        pen.text((x, y), "HOLD TO TAKE OVER", "label", theme.MUTED)
        key_table(pen, x, y + pen.px(38), width, control_words(spec, session.hands.chords))

    def _paint_least(self, pen: Pen, last: str) -> None:
        """Where there is little room: what was done last, and the keys that take over."""
        x, y, width = pen.px(12), pen.px(10), pen.area.w - pen.px(24)
        y = pen.text((x, y), f"last action: {last}", "small", width=width).bottom + pen.px(6)
        keys = [((key,), meaning) for key, meaning in control_words(self.session.spec, self.session.hands.chords)]
        shared_table(pen, Rect(x, y, width, pen.area.h - y - pen.px(8)), keys)
