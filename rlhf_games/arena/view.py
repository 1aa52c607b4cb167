"""What the window shows at one time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.keys import Command, Press


class View(Protocol):
    """One screen. It answers every input with what to show next: another view, itself (None), or ``"back"``."""

    @property
    def title(self) -> str:
        """For the window's title and the help."""
        ...

    @property
    def commands(self) -> Sequence[Command]:
        """Everything it can be told, for the help; ``back`` and ``help`` belong to the window."""
        ...

    @property
    def hurried(self) -> bool:
        """Whether something is being waited for that should be seen before the next regular frame."""
        ...

    def press(self, press: Press, command: str | None) -> Next:
        """A key or button; ``command`` is what it means here when it went down."""
        ...

    def click(self, command: str) -> Next:
        """Something clickable was clicked; ``shift+`` stands before the command where Shift was held."""
        ...

    def back(self) -> Next:
        """Esc."""
        ...

    def focus(self, gained: bool) -> None:
        """The window got or lost the keyboard, or the help was closed or opened."""
        ...

    def update(self) -> Next:
        """Called sixty times a second."""
        ...

    def draw(self, canvas: Canvas) -> None:
        """Paints; called after `update`. It never waits."""
        ...

    def close(self) -> None:
        """The view is left: nothing it holds stays held. May take a moment. Safe to call twice."""
        ...


@runtime_checkable
class Draggable(Protocol):
    """A view in which things can be dragged with the mouse. What can be dragged counts as clicked when the button comes up, not down."""

    def grabs(self, command: str) -> bool:
        """Whether the clickable place of this command can be dragged."""
        ...

    def drag(self, command: str, over: str | None, done: bool) -> None:
        """What was grabbed is ``over`` another clickable place (None: over none); ``done``: it was let go of there."""
        ...


@runtime_checkable
class Playable(Protocol):
    """A view in which keys of a game count too."""

    @property
    def game_keys(self) -> Sequence[Command]:
        """What they do in the game, for the help; empty while that is not known."""
        ...


@runtime_checkable
class Writable(Protocol):
    """A view in which text can be typed, with any layout, dead keys and input methods."""

    def write(self, text: str) -> None:
        """Text was typed."""
        ...

    def compose(self, text: str) -> None:
        """What an input method is composing now; empty: nothing any more."""
        ...


Next: TypeAlias = View | Literal["back"] | None
