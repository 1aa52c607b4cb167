"""A list to choose from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas, standing
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.view import Next, View

COMMANDS = (
    Command("up", ("up", "pad:dpup"), "up the list"),
    Command("down", ("down", "pad:dpdown"), "down the list"),
    Command("page_up", ("page up",), "a page up"),
    Command("page_down", ("page down",), "a page down"),
    Command("choose", ("return", "pad:a"), "open what is marked"),
    Command("erase", ("backspace",), "take back the last letter of the search"),
    Command("somebody_else", ("f2",), "somebody else sits here now"),
)
_ROW = 62


class Entry(NamedTuple):
    """One line of a menu."""

    title: str
    words: str
    open: Callable[[], View]
    """Makes the view that the entry leads to."""
    note: str = ""
    """At the right."""


class MenuView:
    """Shows entries; typing letters narrows them down."""

    def __init__(
        self,
        title: str,
        subtitle: str,
        entries: Callable[[], Sequence[Entry]],
        keymap: Keymap,
        *,
        corner: Callable[[], tuple[str, str]] = lambda: ("", ""),
        somebody_else: Callable[[], View] | None = None,
        close: Callable[[], None] = lambda: None,
        hint: Sequence[str] = (),
    ) -> None:
        """As said.

        Args:
          title: at the top.
          subtitle: under it.
          entries: called at every frame, so it must be quick.
          keymap: of the person.
          corner: two lines at the top right.
          somebody_else: where another person can say who they are.
          close: called when it is left.
          hint: paragraphs under the last entry, while nothing is searched for.
        """
        self.title = title
        commands = keymap.commands("menu", COMMANDS)
        self.commands: Sequence[Command] = [c for c in commands if c.name != "somebody_else" or somebody_else is not None]
        self._somebody_else = somebody_else
        self._subtitle, self._entries, self._corner, self._close = subtitle, entries, corner, close
        self._hint = tuple(hint)
        self._search = ""
        self._marked = 0
        self._rows = 1

    @property
    def hurried(self) -> bool:
        """Nothing is waited for."""
        return False

    @property
    def shown(self) -> list[Entry]:
        """Entries that hold every word of the search."""
        words = self._search.lower().split()
        return [entry for entry in self._entries() if all(word in f"{entry.title} {entry.words} {entry.note}".lower() for word in words)]

    @property
    def marked(self) -> int:
        """Number of the marked entry among those shown."""
        return max(0, min(self._marked, len(self.shown) - 1))

    def press(self, press: Press, command: str | None) -> Next:
        """A command, or a letter of the search."""
        if command is not None:
            return self.click(command)
        if press.down and (press.text or press.key == "space") and len(self._search) < 40:
            letter = press.text if press.text.isascii() else press.key  # on a keyboard without Latin letters: by their places
            self._search, self._marked = self._search + (letter or " "), 0
        return None

    def click(self, command: str) -> Next:
        """A command by its name; ``entry 3`` opens the fourth entry."""
        command = command.removeprefix("shift+")
        if command.startswith("entry "):
            self._marked = int(command.split()[1])
            return self._choose()
        steps = {"up": -1, "down": 1, "page_up": -self._rows, "page_down": self._rows}
        if command in steps:
            self._marked = max(0, min(len(self.shown) - 1, self.marked + steps[command]))
        elif command == "erase":
            self._search, self._marked = self._search[:-1], 0
        elif command == "choose":
            return self._choose()
        elif command == "somebody_else" and self._somebody_else is not None:
            return self._somebody_else()
        return None

    def _choose(self) -> Next:
        entries = self.shown
        return entries[self.marked].open() if entries else None

    def back(self) -> Next:
        """Empties the search, or leaves."""
        if self._search:
            self._search = ""
            return None
        return "back"

    def focus(self, gained: bool) -> None:
        """Nothing runs here."""

    def update(self) -> Next:
        """Nothing changes by itself."""
        return None

    def close(self) -> None:
        """Puts away what the menu was opened with."""
        self._close()

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        canvas.begin(("menu", self.title, canvas.width, canvas.height))
        areas = frame_areas(canvas)
        canvas.part("heading", areas.heading, self._search, self._paint_heading)
        standing(canvas, areas.standing, self._corner())
        entries = self.shown
        self._rows = max(1, areas.stage.h // canvas.px(_ROW))
        first = max(0, min(self.marked - self._rows // 2, len(entries) - self._rows))
        visible = tuple((entry.title, entry.words, entry.note) for entry in entries[first : first + self._rows])
        key = (visible, self.marked, first, len(entries), self._search if not entries else "", self._below)
        canvas.part("list", areas.stage, key, lambda pen: self._paint(pen, visible, first, len(entries)))
        words = f"{len(entries)} match “{self._search}”" if self._search and entries else ""
        canvas.part("status", areas.status, words, lambda pen: pen.text(pen.area.center, words, "body", theme.MUTED, "center"))
        footer(canvas, areas.footer, self.commands, [("up", "up"), ("down", "down"), ("choose", "open"), ("somebody_else", "not you?")])

    @property
    def _below(self) -> tuple[str, ...]:
        """Paragraphs under the last entry."""
        if not self._search:
            return self._hint
        return () if self.shown else (f"Nothing matches “{self._search}”. ⌫ takes letters back, Esc shows everything again.",)

    def _paint_heading(self, pen: Pen) -> None:
        pen.text((0, 0), self.title, "title")
        words = f"Search: {self._search}▏" if self._search else self._subtitle
        pen.paragraph((0, pen.px(42)), words, pen.area.w, 2, "small")

    def _paint(self, pen: Pen, visible: Sequence[tuple[str, str, str]], first: int, count: int) -> None:
        row, pad = pen.px(_ROW), pen.px(22)
        below = pad + len(visible) * row
        for words in self._below:
            below = pen.paragraph((pad, below), words, pen.area.w - 2 * pad, 3) + pen.px(8)
        for number, (title, words, note) in enumerate(visible):
            rect = Rect(0, number * row, pen.area.w - pen.px(18), row - pen.px(8))
            marked = first + number == self.marked
            pen.box(rect, theme.RAISED if marked else theme.PANEL, theme.BLUE if marked else None)
            pen.click(rect, f"entry {first + number}")
            left = pad + pen.px(30)
            if marked:
                pen.text((pad - pen.px(4), rect.centery), "▸", "title", theme.BLUE, "midleft")
            edge = pen.text((rect.right - pad, rect.centery), note, "small", theme.MUTED, "midright").left - pad
            pen.text((left, rect.y + pen.px(3)), title, "strong", width=edge - left)
            pen.text((left, rect.y + pen.px(29)), words, "small", theme.MUTED, width=edge - left)
        if count > len(visible):
            track = Rect(pen.area.w - pen.px(8), 0, pen.px(6), pen.area.h - pen.px(8))
            pen.box(track, theme.PANEL, radius=3)
            height = max(pen.px(24), track.h * len(visible) // count)
            pen.box(Rect(track.x, round((track.h - height) * first / (count - len(visible))), track.w, height), theme.LINE, radius=3)
