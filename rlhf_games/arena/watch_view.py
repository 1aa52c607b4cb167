"""How watching looks: the agent's game large, and under it what the reward model thinks of each step."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import numpy as np
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.figures import figure
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import key_for
from rlhf_games.arena.reel_view import draw_heading, draw_picture, draw_waiting, end_words, reward_strip, waiting_words
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.timeline_view import GAP, HEIGHT, TimelineView, seek_to
from rlhf_games.arena.view import Next
from rlhf_games.arena.watching import WatchSession

COMMANDS = (
    Command("back1", ("left", "pad:dpleft"), "one decision back"),
    Command("forward1", ("right", "pad:dpright"), "one decision on"),
    Command("older", ("down", "pad:dpdown"), "the next older episode"),
    Command("newer", ("up", "pad:dpup"), "the next newer episode"),
    Command("newest", ("home",), "the newest episode"),
    Command("fresh", ("g",), "the newest policy plays a new game"),
    Command("pause", ("space", "p", "pad:a"), "pause, go on"),
    Command("restart", ("r", "pad:x"), "from the beginning"),
    Command("slower", ("[", "pad:leftstick"), "slower"),
    Command("faster", ("]", "pad:rightstick"), "faster"),
    Command("step_back", (",",), "one picture back"),
    Command("step", (".",), "one picture forward"),
    Command("truth", ("o",), "the game's own points, or not"),
    Command("seat", ("e",), "the learned reward of another seat"),
)
_SHOWN = (
    ("newer", "newer"),
    ("older", "older"),
    ("fresh", "new game"),
    ("pause", "pause"),
    ("slower", "slower"),
    ("faster", "faster"),
    ("step", "step"),
    ("truth", "points"),
)
_SEATS = (*_SHOWN[:3], ("seat", "seat"), *_SHOWN[3:])
"""The same in a game for several."""


class WatchView(SessionView[WatchSession]):
    """Shows a `WatchSession`."""

    title = "Watch"

    def __init__(
        self,
        session: WatchSession,
        keymap: Keymap,
        *,
        name: Callable[[str], tuple[str, str]],
        headway: Headway | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``name``: title and aim of a game by its name; ``headway``: of the run."""
        super().__init__(session, headway)
        self.commands: Sequence[Command] = keymap.commands("watch", COMMANDS)
        self._name, self._now = name, now
        self._timeline = TimelineView()
        self._paused_by_focus = False

    @property
    def unsaved(self) -> str:
        """Nothing: nothing is said here."""
        return ""

    # Input

    def click(self, command: str) -> Next:
        """A command by its name; ``seek 37`` leads to a decision."""
        session, name = self.session, command.removeprefix("shift+")
        if (t := seek_to(name)) is not None:
            session.seek(t)
            return None
        match name:
            case "back1" | "forward1":
                session.head.paused = True
                session.seek(session.head.t + (1 if name == "forward1" else -1))
            case "older" | "newer":
                session.go(1 if name == "older" else -1)
            case "newest":
                session.newest()
            case "fresh":
                session.play_fresh()
            case "pause":
                session.head.toggle()
            case "restart":
                session.seek(0)
            case "slower" | "faster":
                session.head.faster(name == "faster")
            case "step" | "step_back":
                session.step(1 if name == "step" else -1)
            case "truth":
                session.truth = not session.truth
                self.show_score(session.truth)
            case "seat":
                session.other_seat()
        return None

    def grabs(self, command: str) -> bool:
        """The cursor of the timeline can be dragged."""
        return seek_to(command) is not None

    def drag(self, command: str, over: str | None, done: bool) -> None:
        """Scrubs."""
        if over is not None and (t := seek_to(over)) is not None:
            self.session.head.paused = True
            self.session.seek(t)

    def focus(self, gained: bool) -> None:
        """The game stands still while the person is elsewhere."""
        head = self.session.head
        if gained and self._paused_by_focus and head.paused:
            head.toggle()
        self._paused_by_focus = not gained and (self._paused_by_focus or not head.paused)
        head.paused = head.paused or not gained

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session, reel = self.session, self.session.reel
        ready = reel.phase == "ready"
        episode = session.episode
        canvas.begin(("watch", canvas.width, canvas.height, ready, reel.replay_id if ready else ""))
        areas = frame_areas(canvas)
        title = self._name(episode.game)[0] if episode is not None else ""
        draw_heading(canvas, areas.heading, f"Watch {title}", session)
        self.draw_standing(canvas, areas.standing, *self._standing(), self.run_words)
        if not ready:
            draw_waiting(canvas, areas.stage, self._now(), *waiting_words(session, self.headway))
        else:
            self._draw_episode(canvas, areas.stage)
        status, colour = self._status(), theme.AMBER if self._end_words else theme.MUTED
        canvas.part("status", areas.status, status, lambda pen: pen.text(pen.area.center, status, "body", colour, "center", pen.area.w))
        several = ready and reel.tape.spec.players > 1
        footer(canvas, areas.footer, self.commands, _SEATS if several else _SHOWN)

    def _draw_episode(self, canvas: Canvas, stage: Rect) -> None:
        session, reel = self.session, self.session.reel
        shown = session.shown()
        assert shown is not None
        t, number = shown
        height = canvas.px(HEIGHT)
        above = Rect(stage.x, stage.y, stage.w, stage.h - height - canvas.px(GAP))
        tape = reel.tape
        strip, key = tape.pictures(t), (tape.replay.id, t, number)
        draw_picture(canvas, "picture", above, key, strip.shape[1:], lambda: strip[number], ending=tape.ends_at(t))
        line, series = reward_strip(reel, session.head, session.seat, (), truth=session.truth)
        self._timeline.draw(canvas, Rect(stage.x, stage.bottom - height, stage.w, height), line, series)

    def _standing(self) -> tuple[str, str]:
        """What it came to so far, for the reward model and, only when asked, in the game's own points."""
        session, reel = self.session, self.session.reel
        if reel.phase != "ready":
            return "", ""
        t = min(session.head.t, reel.tape.length)
        assert reel.scene is not None
        seat = session.seat
        whose = f"seat {seat} of {reel.tape.spec.players}: " if reel.tape.spec.players > 1 else ""
        learned = float(np.nansum(reel.scene.timeline.rewards(seat)[0][:t]))
        points = float(reel.tape.rewards(seat)[:t].sum())
        return (
            f"{whose}learned return {figure(learned, '+.2f')}" if reel.mind is not None else "",
            f"points so far {figure(points, 'g')}" if session.truth else f"points: {key_for(self.commands, 'truth')} shows them",
        )

    @property
    def _end_words(self) -> str:
        shown = self.session.shown()
        return "" if shown is None else end_words(self.session.reel, shown[0])

    def _status(self) -> str:
        session, head = self.session, self.session.head
        parts = [self._end_words]
        parts += [session.fresh.words or session.fresh.problem or (session.reel.words if session.reel.phase == "ready" else "")]
        parts += ["paused"] if head.paused else []
        parts += [f"speed ×{head.speed:g}"] if head.speed != 1.0 else []
        parts += [f"{session.unseen} newer in the list"] if session.unseen else []
        return " · ".join(part for part in parts if part) or self.learner_words
