"""How asking looks: a decision of the agent, what it thinks of it, and what would come of another one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.actions_view import action_of, crowded
from rlhf_games.arena.ask_panels import draw_fork, draw_thoughts
from rlhf_games.arena.asking import AskSession
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.controls import game_commands
from rlhf_games.arena.feature_bars import paint_features
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import key_for
from rlhf_games.arena.pick import DIGITS, Pick
from rlhf_games.arena.reel_view import draw_heading, draw_picture, draw_waiting, end_words, reward_strip, waiting_words
from rlhf_games.arena.salient_view import lit
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.timeline_view import GAP, HEIGHT, TimelineView, seek_to
from rlhf_games.arena.view import Next, View
from rlhf_games.core.spaces import Discrete

COMMANDS = (
    Command("back1", ("left", "pad:dpleft"), "one decision back"),
    Command("forward1", ("right", "pad:dpright"), "one decision on"),
    Command("back10", ("shift+left", "shift+pad:dpleft"), "ten decisions back"),
    Command("forward10", ("shift+right", "shift+pad:dpright"), "ten decisions on"),
    Command("older", ("down", "pad:dpdown"), "the next older episode"),
    Command("newer", ("up", "pad:dpup"), "the next newer episode"),
    Command("newest", ("home",), "the latest episode"),
    Command("fresh", ("g",), "the newest policy plays a new game"),
    Command("play", ("space", "p", "pad:a"), "play, stand still"),
    Command("slower", ("[", "pad:leftstick"), "slower"),
    Command("faster", ("]", "pad:rightstick"), "faster"),
    Command("what_if", ("w", "pad:x"), "what if? then a key of the game"),
    Command("digit", DIGITS, "what if: the action of that number"),
    Command("teach", ("t", "pad:y"), "this is right here: then a key"),
    Command("good", ("+", "=", "[+]"), "this decision is good"),
    Command("bad", ("-", "[-]"), "this decision is bad"),
    Command("undo", ("backspace", "pad:b"), "take the last mark or lesson back"),
    Command("overlay", ("s", "shift+pad:x"), "what the reward model looks at"),
    Command("curve", ("v",), "along time: reward or value"),
    Command("truth", ("o",), "the game's own points, or not"),
    Command("seat", ("e",), "another seat"),
    Command("renew", ("n",), "ask the newest policy"),
    Command("agent_asks", ("q",), "let the agent ask you"),
    Command("retry", ("return", "shift+pad:y"), "store what failed again; go on"),
    Command("drop", ("delete", "shift+pad:b"), "give what failed up"),
)
_SHOWN = (("back1", "back"), ("forward1", "on"), ("what_if", "what if?"), ("teach", "teach"), ("good", "good"), ("bad", "bad"))
_SHOWN_TOO = (("undo", "undo"), ("overlay", "look"), ("agent_asks", "agent asks"))
_FORKED = (
    ("teach", "this is right"),
    ("good", "what it did: good"),
    ("bad", "bad"),
    ("play", "pause"),
    ("retry", "go on"),
    ("what_if", "another"),
)


class AskView(SessionView[AskSession]):
    """Shows an `AskSession`."""

    title = "Ask"

    def __init__(
        self,
        session: AskSession,
        keymap: Keymap,
        *,
        name: Callable[[str], tuple[str, str]],
        advise: Callable[[], View],
        headway: Headway | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """``name``: title and aim of a game by its name; ``advise``: the view in which the agent asks; ``headway``: of the run."""
        super().__init__(session, headway)
        self._keymap, self._name, self._advise, self._now = keymap, name, advise, now
        self._timeline = TimelineView()
        self._pick = Pick()

    @property
    def commands(self) -> Sequence[Command]:
        """While an action is asked for, the keys of the game belong to the game."""
        taken = frozenset[str]().union(*self.session.keys(self._keymap)) if self.session.choosing else frozenset[str]()
        return self._keymap.commands("ask", COMMANDS, taken)

    @property
    def game_keys(self) -> Sequence[Command]:
        """Which action is meant, once one is asked for."""
        spec = self.session.reel.spec
        if spec is None or not isinstance(spec.actions, Discrete):
            return ()
        return game_commands(spec, self.session.keys(self._keymap), "the action meant")

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
        """A key of the game while an action is asked for, or a command."""
        session, keys = self.session, self.session.keys(self._keymap)
        if session.choosing and self._pick.meant(press, keys):
            action = self._pick.press(press, keys)
            if action is not None:
                session.pick(action)
        elif command == "digit":
            session.pick(DIGITS.index(press.among(DIGITS) or press.text))
        elif command is not None:
            return self.click(command)
        return None

    def click(self, command: str) -> Next:
        """A command by its name; ``seek 37`` leads to a decision, ``action 2`` means an action."""
        session, name = self.session, command.removeprefix("shift+")
        if (t := seek_to(name)) is not None:
            session.move(t - session.t)
        elif (action := action_of(name)) is not None:
            session.pick(action)
        elif name == "agent_asks":
            session.head.paused = True
            return self._advise()
        elif not self._move(name):
            self._say(name)
        return None

    def _move(self, name: str) -> bool:
        """Commands about where the person is; False where it is none of them."""
        session = self.session
        steps = {"back1": -1, "forward1": 1, "back10": -10, "forward10": 10}
        match name:
            case "back1" | "forward1" | "back10" | "forward10":
                session.move(steps[name])
            case "older" | "newer":
                session.go(1 if name == "older" else -1)
            case "newest":
                session.newest()
            case "fresh":
                session.play_fresh()
            case "play" if session.fork is not None:
                session.playback.paused = not session.playback.paused
            case "play":
                session.choosing = ""
                session.head.toggle()
            case "slower" | "faster":
                session.faster(name == "faster")
            case "seat":
                session.other_seat()
            case _:
                return False
        return True

    def _say(self, name: str) -> None:
        """Commands that ask, teach, mark or show."""
        session = self.session
        match name:
            case "what_if" | "teach":
                self._pick.clear()
                session.choose("what-if" if name == "what_if" else "teach")
            case "good" | "bad":
                session.mark(name == "good")
            case "undo":
                session.undo()
            case "overlay":
                session.overlay = not session.overlay
            case "curve":
                session.curve = "value" if session.curve == "reward" else "reward"
            case "truth":
                session.truth = not session.truth
                self.show_score(session.truth)
            case "renew":
                session.renew()
            case "retry" if session.remarks.stuck:
                session.remarks.retry()
            case "retry":
                session.leave_fork()
            case "drop":
                session.remarks.drop()

    def grabs(self, command: str) -> bool:
        """The cursor of the timeline can be dragged."""
        return seek_to(command) is not None

    def drag(self, command: str, over: str | None, done: bool) -> None:
        """Scrubs."""
        if over is not None and (t := seek_to(over)) is not None:
            self.session.move(t - self.session.t)

    def back(self) -> Next:
        """From a question back to the episode, and from there away."""
        session = self.session
        if session.choosing or session.fork is not None or session.forking:
            session.choosing = ""
            session.leave_fork()
            return None
        return "back"

    def focus(self, gained: bool) -> None:
        """Everything stands still while the person is elsewhere."""
        self._pick.clear()
        for clip in (self.session.head, self.session.playback):
            clip.paused = clip.paused or not gained

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session, reel = self.session, self.session.reel
        ready, forked = reel.phase == "ready", session.fork is not None
        lit_up = ready and session.overlay and session.head.paused and session.salient is not None
        canvas.begin(("ask", canvas.width, canvas.height, ready, forked, reel.replay_id if ready else "", lit_up))
        areas = frame_areas(canvas)
        episode = session.episode
        title = self._name(episode.game)[0] if episode is not None else ""
        draw_heading(canvas, areas.heading, f"Ask the agent about {title}" if title else "Ask", session)
        self.draw_standing(canvas, areas.standing, *self._standing(), self.run_words)
        if ready:
            self._draw_episode(canvas, areas.stage)
        else:
            draw_waiting(canvas, areas.stage, self._now(), *waiting_words(session, self.headway))
        status = self._status()
        canvas.part(
            "status", areas.status, status, lambda pen: pen.text(pen.area.center, status[0], "body", status[1], "center", pen.area.w)
        )
        footer(canvas, areas.footer, self.commands, _FORKED if forked else _SHOWN + _SHOWN_TOO)

    def _draw_episode(self, canvas: Canvas, stage: Rect) -> None:
        session = self.session
        if session.fork is not None:
            draw_fork(canvas, stage, session)
            return
        actions = session.reel.tape.spec.actions
        wide = isinstance(actions, Discrete) and crowded(actions.n)
        height, side, gap = canvas.px(HEIGHT), canvas.px(600 if wide else 440), canvas.px(GAP)
        above = stage.h - height - gap
        self._draw_state(canvas, Rect(stage.x, stage.y, stage.w - side - gap, above))
        draw_thoughts(canvas, Rect(stage.right - side, stage.y, side, above), session, self._keymap, self._now())
        marks = session.remarks.marks(session.reel.replay_id)
        strip, series = reward_strip(session.reel, session.head, session.seat, marks, values=session.curve == "value", truth=session.truth)
        self._timeline.draw(canvas, Rect(stage.x, stage.bottom - height, stage.w, height), strip, series)

    def _draw_state(self, canvas: Canvas, rect: Rect) -> None:
        session, tape = self.session, self.session.reel.tape
        shown = session.shown()
        assert shown is not None
        t, number = shown
        strip = tape.pictures(t)
        salient = session.salient if session.overlay and session.head.paused else None
        key = (tape.replay.id, t, number, salient is not None, session.seat, session.policy)
        if salient is not None and tape.spec.observation.layout == "vector":
            what, names, side = salient, tape.spec.observation.channels, rect.w * 2 // 5
            features = Rect(rect.right - side, rect.y, side, rect.h)
            rect = Rect(rect.x, rect.y, rect.w - side - canvas.px(GAP), rect.h)
            canvas.part("features", features, key, lambda pen: paint_features(pen, what, names))
            salient = None
        if salient is None:
            draw_picture(canvas, "picture", rect, key, strip.shape[1:], lambda: strip[number], ending=tape.ends_at(t))
        else:
            draw_picture(canvas, "picture", rect, key, strip.shape[1:], lambda: lit(strip[number], salient, tape.spec.board_in_frame))

    def _standing(self) -> tuple[str, str]:
        remarks = self.session.remarks
        stored = sum(remark.state == "stored" for remark in remarks.given)
        return f"{stored} stored · {remarks.questions} asked", f"as {remarks.annotator}"

    def _status(self) -> tuple[str, theme.Colour]:
        session = self.session
        if session.remarks.problem:
            again, drop = (key_for(self.commands, name) for name in ("retry", "drop"))
            return f"{session.remarks.problem} {again} tries again, {drop} gives it up.", theme.AMBER
        if session.choosing:
            what = "What if the agent did…" if session.choosing == "what-if" else "What is right here?"
            return f"{what} Press a key of the game or a number, or click the action. Esc: never mind.", theme.TEXT
        if session.forking or session.fresh.words:
            return session.fresh.words or "Playing both branches…", theme.MUTED
        if session.fresh.problem:
            return session.fresh.problem, theme.AMBER
        parts = [session.notice] if session.notice else []
        if session.newer and session.policy:
            parts.append(f"a newer policy is there: {key_for(self.commands, 'renew')} asks it")
        if session.overlay and session.salient is None and session.decision and session.policy and session.head.paused:
            parts.append("asking the reward model…")
        if session.reel.phase == "ready":
            parts += [end_words(session.reel, session.head.t), *([] if parts else [session.reel.words])]
        if session.head.speed != 1.0:
            parts.append(f"speed ×{session.head.speed:g}")
        found = " · ".join(part for part in parts if part)
        return found or self.learner_words, theme.TEXT if session.notice else theme.MUTED
