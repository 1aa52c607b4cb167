"""How playing looks: the game large, beside it who plays and with which keys."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.controls import RANDOM, action_words, control_words, game_commands
from rlhf_games.arena.figures import figure
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen, key_for
from rlhf_games.arena.playing import PlaySession
from rlhf_games.arena.rating import SCALE
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.stage import CELL, fact, key_table, notice, running_picture, shared_table, still_picture
from rlhf_games.arena.view import Next
from rlhf_games.core.game import GameSpec
from rlhf_games.core.spaces import Discrete

COMMANDS = (
    Command("pause", ("p", "pad:start"), "pause, go on"),
    Command("restart", ("r",), "stop; once more: play anew"),
    Command("slower", ("[",), "slower"),
    Command("faster", ("]",), "faster"),
    Command("step", (".",), "pause, then step by step"),
    Command("wait", ("tab",), "the game waits for keys, or runs"),
    Command("keep", ("return", "shift+pad:y", "pad:y"), "keep the stopped episode"),
    Command("discard", ("delete", "shift+pad:b"), "throw it away"),
    *(
        Command(f"rate {grade}", (str(grade), f"[{grade}]", f"f{grade + 4}"), f"keep it, rated {grade}: {word}")
        for grade, word in SCALE.items()
    ),
)
_RUNNING = (
    ("pause", "pause"),
    ("restart", "stop"),
    ("slower", "slower"),
    ("faster", "faster"),
    ("step", "step"),
    ("wait", "wait for keys"),
)
_OVER = (("keep", "keep"), ("discard", "throw away"), ("restart", "play anew"))
_FAILED = (("keep", "try again"), ("discard", "throw away"))
_TURNS = 12
PEOPLE = ("first player", "second player")
"""What people are called, by seat."""


class PlayView(SessionView[PlaySession]):
    """Shows a `PlaySession`."""

    def __init__(
        self,
        session: PlaySession,
        keymap: Keymap,
        title: str,
        aim: str,
        now: Callable[[], float] = time.monotonic,
        *,
        run: str = "",
        headway: Headway | None = None,
    ) -> None:
        """``run``: name of the run that what is kept goes to; empty where it goes to none; ``headway``: of that run."""
        super().__init__(session, headway)
        self._run = run
        self.title = f"Play {title}"
        self._name, self._aim, self._keymap, self._now = title, aim, keymap, now
        self._leaving = False
        self._still = 0
        """Frames in which the game stood still: what is painted over the picture then must be painted away."""

    @property
    def commands(self) -> Sequence[Command]:
        """Keys of the game belong to the game, after its end too: who goes on typing says nothing."""
        return self._keymap.commands("play", COMMANDS, self.session.game_keys)

    @property
    def game_keys(self) -> Sequence[Command]:
        """What every person's keys do in the game."""
        spec, people = self.session.spec, range(self.session.people)
        names = ("the game",) if len(people) == 1 else PEOPLE
        return () if spec is None else [line for seat in people for line in game_commands(spec, self.session.chords(seat), names[seat])]

    @property
    def hurried(self) -> bool:
        """While the game works on a decision: its picture is to come at once."""
        return self.session.phase == "playing" and self.session.deciding

    @property
    def unsaved(self) -> str:
        """An episode that was to be kept."""
        session = self.session
        if session.phase not in ("saving", "failed"):
            return ""
        return session.problem or "The episode is not stored yet."

    @property
    def saving(self) -> bool:
        """While one is on its way."""
        return self.session.phase == "saving"

    # Input

    def press(self, press: Press, command: str | None) -> Next:
        """A key of the game, or a command; never both."""
        if command is not None and not press.among(self.session.game_keys):
            return self.click(command)
        self.session.press(press)
        return None

    def click(self, command: str) -> Next:
        """A command by its name."""
        session = self.session
        name = command.removeprefix("shift+")
        if name.startswith("rate "):
            session.rate(int(name.split()[1]))
        if name.startswith(CELL):
            session.point(int(name.removeprefix(CELL)))
        match name:
            case "pause":
                self._leaving = False
                session.pause()
            case "restart":
                self._leaving = False
                session.restart()
            case "slower" | "faster":
                session.change_speed(command.endswith("faster"))
            case "step":
                session.step_once()
            case "wait":
                session.wait_for_key = not session.wait_for_key
            case "keep":
                session.keep()
            case "discard":
                session.discard()
        return None

    def back(self) -> Next:
        """Leaves; where an episode is being played, asks first whether to keep it. Asked twice, it is kept."""
        if self.session.phase in ("saving", "failed"):
            return "back"  # who shows this view asks
        if self._leaving and self.session.phase == "over":
            self.session.keep()
            return None
        if not self.session.stop():
            return "back"
        self._leaving = True
        return None

    def focus(self, gained: bool) -> None:
        """The game stands still while the person is elsewhere; it goes on when they say so."""
        if not gained:
            self.session.lose_focus()

    def update(self) -> Next:
        """Lets the session go on; leaves once what was played is kept."""
        super().update()
        done = self.session.phase in ("opening", "ready") or (self.session.phase == "playing" and not self.session.decisions)
        return "back" if self._leaving and done else None

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session = self.session
        canvas.begin(("play", canvas.width, canvas.height))
        areas = frame_areas(canvas)
        canvas.part("heading", areas.heading, self._name, self._paint_heading)
        kept = f"{session.kept} kept" if session.kept else "none kept yet"
        where = f" for {self._run}" if self._run else ""
        self.draw_standing(
            canvas, areas.standing, f"episode {session.episode} · {kept}", f"played by {session.annotator}{where}", self.run_words
        )
        side = min(canvas.px(340), areas.stage.w * 2 // 5)
        stage = Rect(areas.stage.x, areas.stage.y, areas.stage.w - side - canvas.px(24), areas.stage.h)
        self._draw_stage(canvas, stage)
        panel = Rect(stage.right + canvas.px(24), stage.y, side, stage.h)
        state = (
            session.phase,
            session.speed,
            session.wait_for_key,
            session.my_turn,
            session.returns.tolist(),
            session.action,
            session.acted,
        )
        canvas.part("panel", panel, str(state), self._paint_panel)
        leaving = "Esc once more keeps this episode and leaves." if self._leaving and session.phase == "over" else ""
        told = session.problem or session.notice or leaving
        words, colour = (told, theme.AMBER) if told else (self.learner_words, theme.MUTED)
        canvas.part("status", areas.status, words, lambda pen: pen.text(pen.area.center, words, "body", colour, "center", pen.area.w))
        hints = {"over": _OVER, "failed": _FAILED}.get(session.phase, _RUNNING)
        footer(canvas, areas.footer, self.commands, hints)

    def _paint_heading(self, pen: Pen) -> None:
        pen.text((0, 0), self._name, "title")
        pen.paragraph((0, pen.px(42)), self._aim, pen.area.w, 2, "small")

    def _draw_stage(self, canvas: Canvas, rect: Rect) -> None:
        session = self.session
        if session.phase in ("opening", "saving") or session.picture() is None:
            turn = int(self._now() * _TURNS)
            canvas.part("stage", rect, (session.phase, turn), lambda pen: self._paint_waiting(pen, turn / _TURNS))
            return
        if session.phase == "playing":
            self._draw_running(canvas, rect)
            return
        self._still += 1
        key = (session.phase, session.episode, session.decisions, session.frame, session.ended)
        canvas.part("stage", rect, key, self._paint_stage)

    def _draw_running(self, canvas: Canvas, rect: Rect) -> None:
        """Only the picture itself is painted again while the game runs."""
        session = self.session
        picture = session.picture()
        assert picture is not None
        running_picture(canvas, rect, picture, (session.episode, session.decisions, session.frame), self._still, session.spec)

    def _paint_waiting(self, pen: Pen, turn: float) -> None:
        pen.box(pen.area)
        x, y = pen.area.center
        session = self.session
        if session.phase == "broken":
            pen.text((x, y - pen.px(60)), "This game cannot be played", "title", anchor="midbottom")
            pen.paragraph((x, y - pen.px(40)), session.problem, pen.area.w - pen.px(80), 5, centred=True)
            return
        pen.spinner((x, y - pen.px(60)), turn)
        words = "Storing the episode…" if session.phase == "saving" else "Starting the game…" if session.episode == 0 else "Next episode…"
        pen.text((x, y), words, "title", anchor="midtop")
        if session.episode == 0:
            pen.text((x, y + pen.px(46)), "The first start takes a few seconds.", "body", theme.MUTED, "midtop")

    def _paint_stage(self, pen: Pen) -> None:
        session = self.session
        picture = session.picture()
        assert picture is not None
        still_picture(pen, picture, dim=session.phase in ("ready", "paused", "over", "failed"))
        match session.phase:
            case "ready":
                notice(pen, "Ready?", "Press any key of the game to start.")
            case "paused":
                notice(pen, "Paused", f"{key_for(self.commands, 'pause')} goes on.")
            case "over" | "failed":
                self._paint_over(pen)

    def _paint_over(self, pen: Pen) -> None:
        session = self.session
        failed = session.phase == "failed"
        title = "Not stored" if failed else "Game over" if session.ended else "Stopped"
        points = "point" if session.returns[0] == 1 else "points"
        score = f"{figure(session.returns[0], 'g')} {points} in {session.decisions} decisions."
        box = notice(pen, title, score, 240)
        keys = {command.name: command.keys[:1] for command in self.commands}
        if not failed:
            self._paint_grades(pen, Rect(box.x, box.bottom - pen.px(106), box.w, pen.px(40)), keys)
        hints = [*(_FAILED if failed else _OVER[:2])] + ([] if session.ended or failed else [("pause", "go on")])
        _paint_row(pen, box, box.bottom - pen.px(40), [(keys[name], words, name) for name, words in hints if keys[name]])

    def _paint_grades(self, pen: Pen, row: Rect, keys: dict[str, tuple[str, ...]]) -> None:
        """Grades to keep the episode with, side by side; the outermost by name."""
        shown = [(keys[f"rate {grade}"], word if grade in (1, 5) else "", f"rate {grade}") for grade, word in SCALE.items()]
        pen.text((row.centerx, row.y + pen.px(2)), "Rate it, and it is kept:", "small", theme.MUTED, "midbottom")
        _paint_row(pen, row, row.centery, shown)

    def _paint_panel(self, pen: Pen) -> None:
        session, spec = self.session, self.session.spec
        pen.box(pen.area)
        x, y, width = pen.px(22), pen.px(20), pen.area.w - pen.px(44)
        pen.text((x, y), "SCORE", "label", theme.MUTED)
        scores = " : ".join(figure(score, "g") for score in session.returns)
        pen.text((x, y + pen.px(22)), scores, "huge" if pen.text_width(scores, "huge") <= width else "title", width=width)
        y += pen.px(104)
        mode = "waits for your keys" if session.wait_for_key else "runs by itself"
        if spec is not None and spec.turn_based:
            mode = ("your turn" if session.my_turn else "the other's turn") if session.phase == "playing" else "turn by turn"
        y = fact(pen, x, y, width, "SPEED", f"×{session.speed:g} · {mode}")
        if spec is None or not isinstance(spec.actions, Discrete):
            return
        names = ("you",) if session.people == 1 else ("first", "second")
        y = fact(pen, x, y, width, "LAST ACTION", action_words(spec, session.action, session.acted, names))
        y = self._paint_seats(pen, x, y, width, spec)
        self._paint_keys(pen, Rect(x, y, width, pen.area.h - y - pen.px(12)), spec)

    def _paint_seats(self, pen: Pen, x: int, y: int, width: int, spec: GameSpec) -> int:
        """Who sits where: the people first; returns where their keys begin."""
        session = self.session
        for seat in range(session.people):
            who = session.annotator if session.people == 1 else PEOPLE[seat]
            label = ("YOU PLAY" if spec.seats else "KEYS") if spec.players == 1 else f"SEAT {seat} · {who}"
            y = _seat(pen, x, y, width, label, spec.seats[seat] if spec.seats else "")
        others = list(range(session.people, spec.players))
        if others:
            label = f"SEAT{'S' if len(others) > 1 else ''} {', '.join(map(str, others))}"
            y = _seat(pen, x, y, width, label, f"play{'' if len(others) > 1 else 's'} at {RANDOM}")
            y = _seat(pen, x, y, width, "YOUR KEYS" if session.people == 1 else "THEIR KEYS", "")
        return _seat(pen, x, y - pen.px(4), width, "", "or click the board") if spec.cells else y

    def _paint_keys(self, pen: Pen, area: Rect, spec: GameSpec) -> None:
        mine, *others = (control_words(spec, self.session.chords(seat)) for seat in range(self.session.people))
        if any(key.startswith("@") for words in others for key, _ in words):
            pen.text(area.bottomleft, "letters: by place, as on a US layout", "label", theme.MUTED, "bottomleft", area.w)
            area.h -= pen.px(24)
        if not others:
            key_table(pen, area.x, area.y + pen.px(15), area.w, mine)
            return
        keys: dict[str, list[str]] = {}
        for words in (mine, *others):
            for key, meaning in words:
                if key not in keys.setdefault(meaning, []):
                    keys[meaning].append(key)
        shared_table(pen, area, [(caps, meaning) for meaning, caps in keys.items()])


def _paint_row(pen: Pen, box: Rect, y: int, shown: Sequence[tuple[tuple[str, ...], str, str]]) -> None:
    """Keys with words and commands, side by side in the middle of ``box``; closer together, or without words, where it is narrow."""

    def width(words_too: bool, gap: int) -> int:
        return sum(pen.hint_width(keys, words if words_too else "") for keys, words, _ in shown) + gap * (len(shown) - 1)

    room = box.w - pen.px(16)
    ways = [(True, pen.px(22)), (True, pen.px(10)), (False, pen.px(10)), (False, pen.px(4))]
    words_too, gap = next((way for way in ways if width(*way) <= room), ways[-1])
    x = box.centerx - width(words_too, gap) // 2
    for keys, words, command in shown:
        x = pen.hint((x, y), keys, words if words_too else "", command, theme.TEXT).right + gap


def _seat(pen: Pen, x: int, y: int, width: int, label: str, words: str) -> int:
    """A label, and words under it, where there are any; returns where the next one begins."""
    if label:
        pen.text((x, y), label, "label", theme.MUTED, width=width)
        y += pen.px(24)
    if words:
        pen.text((x, y), words, "small", width=width)
        y += pen.px(26)
    return y
