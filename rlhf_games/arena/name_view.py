"""Who are you? Asked in the window once, where no name is remembered: every answer carries it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable

from pygame import Rect

from rlhf_games.arena import theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, Keymap, Press
from rlhf_games.arena.layout import footer, frame_areas
from rlhf_games.arena.pen import Pen
from rlhf_games.arena.view import Next, View
from rlhf_games.core.errors import UserError

COMMANDS = (
    Command("choose", ("return", "[enter]", "pad:a"), "this is my name"),
    Command("erase", ("backspace",), "take back the last letter"),
)
_LONGEST = 100


class NameView:
    """A line to type in; what it leads to is shown once the name is said."""

    title = "Who are you?"

    def __init__(self, name: str, keymap: Keymap, then: Callable[[str], Iterable[View]]) -> None:
        """``name``: stands there to begin with; ``then``: what is shown, one view after the other; may refuse a name (``UserError``)."""
        self.commands = keymap.commands("name", COMMANDS)
        self.name = name
        self._fresh = True
        """The first letter replaces what stood there to begin with."""
        self.composed = ""
        """What an input method is composing."""
        self._then = then
        self._views: list[View] | None = None
        self._problem = ""

    @property
    def passing(self) -> bool:
        """Where nothing more is shown after it."""
        return self._views == []

    @property
    def hurried(self) -> bool:
        """Nothing is waited for."""
        return False

    def press(self, press: Press, command: str | None) -> Next:
        """A command; letters come as text."""
        return None if command is None else self.click(command)

    def write(self, text: str) -> None:
        """Letters of the name."""
        self.composed = ""
        letters = "".join(letter for letter in text if letter.isprintable())
        if letters:
            name = unicodedata.normalize("NFC", ("" if self._fresh else self.name) + letters)
            self.name, self._fresh, self._problem = name[:_LONGEST], False, ""

    def compose(self, text: str) -> None:
        """What an input method is composing: shown after the name, but not a part of it yet."""
        self.composed = text

    def click(self, command: str) -> Next:
        """A command by its name."""
        match command.removeprefix("shift+"):
            case "erase":
                self.name, self._fresh, self._problem = self.name[:-1], False, ""
            case "choose":
                try:
                    self._views = list(self._then(self.name.strip()))
                except UserError as error:
                    self._problem = str(error)
        return None

    def back(self) -> Next:
        """Leaves: nothing is done without a name."""
        return "back"

    def focus(self, gained: bool) -> None:
        """Nothing runs here."""

    def update(self) -> Next:
        """Leads on; where all that it led to was left, away."""
        if self._views is None:
            return None
        return self._views.pop(0) if self._views else "back"

    def close(self) -> None:
        """Puts away what was not shown."""
        for view in self._views or ():
            view.close()

    def draw(self, canvas: Canvas) -> None:
        """Paints what changed."""
        canvas.begin(("name", canvas.width, canvas.height))
        areas = frame_areas(canvas)
        canvas.part("heading", areas.heading, "", self._paint_heading)
        field = Rect(areas.stage.x, areas.stage.y, areas.stage.w, canvas.px(84))
        canvas.part("field", field, (self.name, self.composed), self._paint_field)
        problem = self._problem
        canvas.part(
            "status", areas.status, problem, lambda pen: pen.text(pen.area.center, problem, "body", theme.AMBER, "center", pen.area.w)
        )
        footer(canvas, areas.footer, self.commands, [("choose", "that's me"), ("erase", "erase")])

    def _paint_heading(self, pen: Pen) -> None:
        pen.text((0, 0), self.title, "title")
        words = "Your answers will carry this name. --annotator NAME says another one on the command line."
        pen.paragraph((0, pen.px(42)), words, pen.area.w, 2, "small")

    def _paint_field(self, pen: Pen) -> None:
        pen.box(pen.area, theme.RAISED, theme.BLUE)
        x, y, room = pen.px(22), pen.area.centery, pen.area.w - pen.px(44)
        said = pen.text((x, y), self.name, "title", anchor="midleft", width=room) if self.name else Rect(x, y, 0, 0)
        composed = pen.text((said.right, y), self.composed, "title", theme.MUTED, "midleft", max(1, x + room - said.right))
        pen.text((composed.right if self.composed else said.right, y), "▏", "title", anchor="midleft")
