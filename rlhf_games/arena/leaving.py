"""Before the window closes, or an answer that is not stored is left behind, the person is asked."""

from __future__ import annotations

from typing import Literal, NamedTuple, Protocol, TypeAlias, runtime_checkable

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.view import View

Way: TypeAlias = Literal["back", "quit"]
CONFIRM = ("return", "enter", "[enter]", "pad:a", "pad:start")
AGAIN = ("escape", "pad:back")


@runtime_checkable
class Unsaved(Protocol):
    """A view that may hold what could not be stored."""

    @property
    def unsaved(self) -> str:
        """What is not on the disk, and may be lost if it were left now, in a sentence; empty most of the time."""
        ...

    def settle(self) -> None:
        """Waits, for a moment, for what is on its way to the disk."""
        ...


@runtime_checkable
class Passing(Protocol):
    """A view that only leads to another one: who leaves that leaves it too."""

    @property
    def passing(self) -> bool:
        """Whether that is so now."""
        ...


class Question(NamedTuple):
    """What is asked before somebody leaves."""

    way: Way
    title: str
    words: str
    keys: tuple[str, ...]
    """Any of these: yes. Every other key: no."""
    lost: bool
    """Whether something would be lost, or may be."""


def question(way: Way, leaving: list[View], behind: list[View], known: str) -> Question | None:
    """What to ask before the views ``leaving`` are left; None: nothing.

    Args:
      way: ``back`` (the last one is left) or ``quit`` (the window is closed).
      leaving: all that would be left.
      behind: what lies behind them.
      known: what is known of what was said in the window, in a sentence.
    """
    for view in leaving:
        if isinstance(view, Unsaved):
            view.settle()
    lost = " ".join(view.unsaved for view in leaving if isinstance(view, Unsaved) and view.unsaved)
    if lost:
        return Question(way, "Leave without it?", lost, CONFIRM, True)
    if way == "back" and all(isinstance(view, Passing) and view.passing for view in behind):
        return Question(way, "Close the arena?", known, (*CONFIRM, *AGAIN), False)
    return None


def draw_question(canvas: Canvas, asked: Question) -> None:
    """Paints the whole window."""
    canvas.begin(("leaving", asked))
    canvas.part("leaving", Rect(0, 0, canvas.width, canvas.height), asked, lambda pen: _paint(pen, asked))


def _paint(pen: Pen, asked: Question) -> None:
    box = Rect(0, 0, min(pen.px(760), pen.area.w - pen.px(24)), min(pen.px(280), pen.area.h - pen.px(24)))
    box.center = pen.area.center
    pen.box(box, theme.PANEL, theme.AMBER)
    pad = pen.px(28)
    pen.text((box.centerx, box.y + pad), asked.title, "title", anchor="midtop", width=box.w - 2 * pad)
    pen.paragraph((box.centerx, box.y + pad + pen.px(52)), asked.words, box.w - 2 * pad, 3, centred=True)
    y = box.bottom - pad - pen.px(12)
    yes = ("return", "escape") if "escape" in asked.keys else ("return",)
    left = pen.hint((box.x + pad, y), yes, "leave", "leave", theme.TEXT).right
    stay = "any other key: stay"
    pen.text((max(left + pad, box.right - pad), y), stay, "body", theme.TEXT, "midright", max(1, box.right - 2 * pad - left))
    pen.click(Rect(box.centerx, y - pen.px(20), box.w // 2, pen.px(40)), "stay")
