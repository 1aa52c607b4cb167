"""What the views in which clips are judged, ranked and rated share: how clips run, what stands around them, what waiting looks like."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen, fit
from rlhf_games.arena.playback import next_speed
from rlhf_games.arena.reel_view import TURNS, paint_picture, paint_waiting
from rlhf_games.arena.session_view import SessionView
from rlhf_games.arena.tasks import TASKS
from rlhf_games.arena.view import Next
from rlhf_games.arena.waiting import KINDS

if TYPE_CHECKING:
    from rlhf_games.arena.answering import AnswerSession
    from rlhf_games.arena.films import Footage
    from rlhf_games.feedback.store import Progress

SHARED = (
    Command("undo", ("backspace", "pad:b"), "take back the last answer"),
    Command("pause", ("space", "p", "pad:a"), "pause, go on"),
    Command("restart", ("r", "pad:x"), "from the beginning"),
    Command("slower", ("[", "pad:leftstick"), "slower"),
    Command("faster", ("]", "pad:rightstick"), "faster"),
    Command("step_back", (",",), "one picture back"),
    Command("step", (".",), "one picture forward"),
    Command("bars", ("b",), "bars under the clips"),
    Command("score", ("h",), "hide the game's score, or show it"),
    Command("truth", ("o",), "the agent's score, or not"),
    Command("retry", ("return", "shift+pad:y"), "store a failed answer again"),
    Command("drop", ("delete", "shift+pad:b"), "give a failed answer up"),
)
"""What every such view can be told besides its answers."""
_THANKS = "All done, thank you."
_EPISODE_ENDS = "EPISODE ENDS HERE"
HINTS = {"undo": "undo", "pause": "pause", "restart": "start over"}

Session = TypeVar("Session", bound="AnswerSession")  # type: ignore[type-arg]  # of whatever kind of answer


class Words(NamedTuple):
    """What a view calls its questions."""

    one: str
    """One of them: "pair"."""
    heading: str
    """Above a question on the screen."""


class AnswerView(SessionView[Session], Generic[Session]):
    """Shows an `AnswerSession`; what is asked and how it is answered is a subclass's."""

    title: ClassVar[str]
    words: ClassVar[Words]
    all_commands: ClassVar[tuple[Command, ...]]
    """With their usual keys."""
    hints: ClassVar[tuple[tuple[str, str], ...]]
    """Commands and words at the lower edge."""
    failed_hints: ClassVar[tuple[tuple[str, str], ...]] = (("retry", "try again"), ("drop", "give it up"))
    """The same where an answer could not be stored."""

    def __init__(
        self,
        session: Session,
        keymap: Keymap,
        *,
        aim: Callable[[str], tuple[str, str]],
        headway: Headway | None = None,
        now: Callable[[], float] = time.monotonic,
        bars: bool = True,
        hide_score: bool = False,
    ) -> None:
        """``aim``: title and aim of a game by name; ``headway``: of the run, if there is one; ``bars``, ``hide_score``: to begin with."""
        super().__init__(session, headway)
        self.commands: Sequence[Command] = keymap.commands(self.title.lower(), self.all_commands)
        self._aim, self._now = aim, now
        self._bars, self._hide_score = bars, hide_score
        self._paused_by_focus = False

    @property
    def hurried(self) -> bool:
        """While an answer is on its way to the disk: the next question is to come at once."""
        return self.session.phase in ("saving", "undoing")

    @property
    def unsaved(self) -> str:
        """An answer whose storing failed, or is not done."""
        session = self.session
        if session.phase not in ("failed", "saving") or session.chosen is None:
            return ""
        return f"Your answer “{self.say(session.chosen)}” is not stored{'' if session.phase == 'failed' else ' yet'}, and would be lost."

    @property
    def saving(self) -> bool:
        """While an answer is on its way."""
        return self.session.phase in ("saving", "undoing")

    # For subclasses

    @abstractmethod
    def answer(self, name: str, shift: bool) -> bool:
        """A command that belongs to this kind of answer; False where it is not one of those."""

    @abstractmethod
    def say(self, value: Any) -> str:
        """An answer of this kind in words."""

    @abstractmethod
    def draw_question(self, canvas: Canvas, stage: Rect) -> None:
        """Paints what changed on the stage; there is a question."""

    # Input

    def click(self, command: str) -> Next:
        """A command by its name."""
        shift, _, name = command.rpartition("+")
        if self.answer(name, bool(shift)):
            return None
        if name in ("undo", "retry", "drop"):
            {"undo": self.session.undo, "retry": self.session.retry, "drop": self.session.drop}[name]()
        elif name == "bars":
            self._bars = not self._bars
        elif name == "score":
            self._hide_score = not self._hide_score
        elif name == "truth":
            self.show_score(self.headway is not None and not self.headway.shows_score)
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

    def focus(self, gained: bool) -> None:
        """The clips stand still while the person is elsewhere, and no others come."""
        self.session.watched = gained
        playback = self.session.playback
        if gained and self._paused_by_focus:
            playback.paused = False
        self._paused_by_focus = not gained and (self._paused_by_focus or not playback.paused)
        playback.paused = playback.paused or not gained

    # Drawing

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        session = self.session
        showing = session.current is not None
        canvas.begin((self.title, canvas.width, canvas.height, showing, *self.scene()))
        areas = frame_areas(canvas)
        title, aim = self._aim(session.current.footage[0].game) if session.current is not None else ("", "")
        heading = self.words.heading if showing else self.title
        canvas.part("heading", areas.heading, (heading, aim), lambda pen: _heading(pen, heading, f"{title}: {aim}" if title else ""))
        self.draw_standing(canvas, areas.standing, *self._standing())
        if showing:
            self.draw_question(canvas, areas.stage)
        else:
            words, more, idle = self._waiting_words()
            turn = 0 if idle else int(self._now() * TURNS)
            waiting = (turn, words, more, idle)
            canvas.part("wait", areas.stage, waiting, lambda pen: paint_waiting(pen, turn / TURNS, words, more, idle, theme.TEXT))
        status = self._status()
        canvas.part(
            "status", areas.status, status, lambda pen: pen.text(pen.area.center, status[0], "body", status[1], "center", pen.area.w)
        )
        footer(canvas, areas.footer, self.commands, self.failed_hints if session.phase == "failed" else self.hints)

    def scene(self) -> tuple[Hashable, ...]:
        """What decides where the parts lie, besides the window's size."""
        return ()

    def _standing(self) -> tuple[str, str]:
        """The numbers in the corner: what was done, what is left."""
        session = self.session
        if session.progress is None or session.waiting is None:
            return f"{session.given} by you", f"as {session.annotator}"
        budget = None if self.headway is None else self.headway.budget
        left = f"{max(0, budget - session.progress.answered)} left" if budget is not None else f"{session.waiting} open"
        return (
            f"{session.progress.answered} answered · {left}",
            f"{session.progress.per_minute:.0f} a minute · {session.given} now by {session.annotator}",
        )

    def _waiting_words(self) -> tuple[str, str, bool]:
        """What is being waited for, more about it, and whether nothing is."""
        session = self.session
        if session.phase == "undoing":
            return "Taking back…", "", False
        if session.loading:
            return "Drawing the clips…", "The first ones take a few seconds: the game is being loaded.", False
        if session.progress is None:
            return "Opening the store…", "", False
        if session.waiting and not session.none_for_me:
            return f"Fetching the next {self.words.one}…", "", False
        return self._nothing_words(session.progress, max(0, (session.waiting or 0) - session.broken))

    def _nothing_words(self, progress: Progress, others: int) -> tuple[str, str, bool]:
        """What is said to somebody for whom no question is left; ``others``: those that wait for other people."""
        session, nothing = self.session, f"No {self.words.one} is waiting."
        mine = f", {session.given} of them now by you" if session.given else ""
        if session.broken and not others:
            return nothing, f"{session.broken} cannot be shown: the line below says why.", True
        if others:
            return nothing, f"{others} wait for other people: they hold them, or you could not tell. What comes back appears here.", True
        learner = None if self.headway is None else self.headway.learner
        if learner is not None and learner.state == "finished":
            return _THANKS, f"The run is over. It has {progress.answered} answers{mine}.", True
        if self.headway is not None and self.headway.budget is not None and progress.answered >= self.headway.budget:
            return (
                _THANKS,
                f"All {progress.answered} answers that the run wanted are given{mine}. Watch shows what the agent makes of them.",
                True,
            )
        if session.elsewhere:
            return nothing, _elsewhere_words(session.elsewhere), True
        if learner is not None and learner.state == "away":
            return nothing, f"{learner.words[:1].upper()}{learner.words[1:]}.", True
        if learner is None and progress.answered:
            return _THANKS, f"Every question of this store is answered{mine}. Where somebody asks more, they appear here.", True
        return nothing, "New ones appear here as soon as the learner asks. You can stay, or leave with Esc.", False

    def _status(self) -> tuple[str, theme.Colour]:
        session, playback = self.session, self.session.playback
        if session.notice:
            return session.notice, theme.AMBER
        if (stored := session.acknowledged) is not None:
            return f"✓ stored: {self.say(stored)}", theme.BLUE
        parts = []
        if session.current is not None and self._hide_score:
            marked = all(film.score for film in session.current.footage)
            parts.append("the score is hidden" if marked else "nobody has marked where this game shows its score")
        if session.current is not None and session.current.taken_back is not None and session.phase == "showing":
            parts.append(f"taken back: you had said “{self.say(session.current.taken_back)}”")
        if session.current is not None and playback.paused:
            parts.append("paused")
        if playback.speed != 1.0:
            parts.append(f"speed ×{playback.speed:g}")
        if not parts:
            return self.learner_words, theme.MUTED
        return " · ".join(parts), theme.MUTED

    def draw_clip(self, canvas: Canvas, place: int, room: Rect, bar: Rect, card: Hashable) -> None:
        """The moving parts of the clip at ``place``, which lie on a card painted with the key ``card``."""
        film, playback = self.film(place), self.session.playback
        if room.w <= 0 or room.h <= 0:
            return
        rect = Rect((0, 0), fit(film.size, room.size)[0])
        rect.center = room.center
        number, covered = playback.frame(place), film.score if self._hide_score else ()
        ending = film.ends_at(number) or (film.ends and playback.over(place))
        key = (card, number, covered, ending)
        canvas.part(f"clip {place}", rect, key, lambda pen: paint_picture(pen, _cover(film.frames[number], covered), ending), theme.PANEL)
        if self._bars:
            done = round(playback.share(place) * bar.w)
            seams = tuple(begin / len(film.frames) for _, begin in film.seams)
            canvas.part(f"bar {place}", bar, (card, done), lambda pen: _paint_bar(pen, done / bar.w, seams), theme.PANEL)

    def film(self, place: int) -> Footage:
        """What is shown at ``place``; there is a question."""
        assert self.session.current is not None
        film: Footage = self.session.current.footage[place]
        return film

    def end_words(self, place: int) -> str:
        """What is written over a clip that has come to its end in this round, or where it shows several episodes; else empty."""
        film, playback = self.film(place), self.session.playback
        if playback.over(place):
            return _EPISODE_ENDS if film.ends else "CLIP ENDS HERE"
        number = playback.frame(place)
        if film.ends_at(number):
            return _EPISODE_ENDS
        return f"EPISODE {film.episode(number) + 1} OF {len(film.seams) + 1}" if film.seams else ""

    def seat_words(self, place: int) -> str:
        """Whose eyes the clip is seen with, where there are several; else empty."""
        assert self.session.current is not None
        return f" · seat {self.session.current.query.shown[place].seat}" if self.film(place).players > 1 else ""


def _elsewhere_words(waiting: Mapping[str, int]) -> str:
    """Which questions of other kinds wait, and what they are answered in."""
    parts = []
    for kind, count in waiting.items():
        title = next(task.title for task in TASKS if kind in task.kinds)
        parts.append(
            f"{count} {KINDS[kind][count != 1]} wait{'s' if count == 1 else ''}: {title} answers {'it' if count == 1 else 'them'}."
        )
    return " ".join(parts)


def _cover(picture: NDArray[np.uint8], places: Sequence[tuple[int, int, int, int]]) -> NDArray[np.uint8]:
    """A picture ``[H, W, 3]`` with nothing to be seen at some places."""
    covered = picture.copy() if places else picture
    for top, left, height, width in places:
        covered[top : top + height, left : left + width] = theme.RAISED
    return covered


def _paint_bar(pen: Pen, share: float, seams: Sequence[float]) -> None:
    """How much of a clip was shown, with a notch where another episode begins."""
    pen.bar(pen.area, share)
    for seam in seams:
        pen.box(Rect(round(seam * pen.area.w) - pen.px(2), 0, pen.px(4), pen.area.h), theme.AMBER, radius=0)


def _heading(pen: Pen, words: str, aim: str) -> None:
    pen.text((0, 0), words, "title", width=pen.area.w)
    pen.paragraph((0, pen.px(42)), aim, pen.area.w, 2, "small")
