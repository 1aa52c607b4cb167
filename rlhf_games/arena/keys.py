"""Which key does what: commands of a view, the player's chords, and a person's own choice of keys. Knows no pygame.

A key is named by what is printed on it, as pygame names it (``"left"``, ``"space"``, ``"a"``, ``"["``); ``"@w"`` is the key at the
place where a US keyboard has W, whatever is printed there. A gamepad button is ``"pad:"`` and SDL's name (``"pad:dpleft"``), of the
second gamepad ``"pad2:"``; a command may ask for ``"shift+left"``.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from rlhf_games.core.errors import UserError, nearest
from rlhf_games.core.parse import parse_toml

SECOND_PLAYER = {"up": "@w", "left": "@a", "down": "@s", "right": "@d", "space": "@f"}
"""What the second player at one keyboard presses in place of the first one's keys: a cross, so it goes by place."""
_CROSS = frozenset("wasd")
PADS = ("pad:", "pad2:")
"""What names of gamepad buttons begin with, by player."""


class Press(NamedTuple):
    """A key or button that went down or came up."""

    key: str
    """Name of the key."""
    down: bool
    text: str = ""
    """What the key writes on this keyboard, if anything; finds ``[`` and ``?`` on every layout."""
    shift: bool = False
    place: str = ""
    """Name of the key that a US keyboard has at this place, where it is one that writes; empty for all others."""

    @property
    def names(self) -> tuple[str, ...]:
        """All that it can be known by, the most special first."""
        if self.key.startswith(PADS[1]):  # where nobody plays with it, the second gamepad does what the first one does
            return self.key, PADS[0] + self.key.removeprefix(PADS[1])
        keypad = self.key[1:-1] if self.key.startswith("[") and self.key[1:-1].isdigit() else ""
        return tuple(name for name in (self.key, f"@{self.place or self.key}", keypad) if name)

    def among(self, known: Container[str]) -> str:
        """By which of the known names it goes; empty: by none."""
        return next((name for name in self.names if name in known), "")


class Command(NamedTuple):
    """Something a view can be told to do."""

    name: str
    keys: tuple[str, ...]
    help: str
    """What it does, in a few words."""


@dataclass(frozen=True)
class Keymap:
    """A person's own keys, from ``keys.toml``; what it does not name stays as it is.

    ::

        [judge]                 # a view, and for each of its commands the keys
        left = ["left", "h"]
        [seat1]                 # what the second player presses for each key of the game
        up = "i"
    """

    views: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    seats: Mapping[int, Mapping[str, str]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path, known: Mapping[str, Iterable[str]]) -> Keymap:
        """Reads ``keys.toml``; a missing file changes nothing.

        Args:
          path: the file.
          known: the commands of each view.

        Raises:
          UserError: not TOML, an unknown view or command, or a key that is no text.
        """
        try:
            table = parse_toml(path.read_bytes())
        except FileNotFoundError:
            return cls()
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}; mend it or remove it") from error
        views, seats = {}, {}
        for section, entries in table.items():
            if not isinstance(entries, dict):
                raise UserError(f"{path}: {section} must be a section: [{section}]")
            if section in ("seat0", "seat1"):
                seats[int(section[-1])] = {name: _text(path, section, name, key) for name, key in entries.items()}
            elif section in known:
                views[section] = {name: _keys(path, section, name, keys, known[section]) for name, keys in entries.items()}
            else:
                raise UserError(f"{path}: there is no section [{section}]{nearest(section, [*known, 'seat0', 'seat1'])}")
        return cls(views, seats)

    def commands(self, view: str, defaults: Iterable[Command], taken: Iterable[str] = ()) -> tuple[Command, ...]:
        """The commands of a view with this person's keys.

        Keys that are ``taken`` (by the game) are left out, and a key that the person gave to a command is no other's any more.
        """
        chosen, busy = self.views.get(view, {}), frozenset(name for key in taken for name in _taken(key))
        wanted = busy.union(*chosen.values())

        def keys(command: Command) -> tuple[str, ...]:
            own = chosen.get(command.name)
            return tuple(key for key in (command.keys if own is None else own) if key not in (wanted if own is None else busy))

        return tuple(command._replace(keys=keys(command)) for command in defaults)

    def seat(self, seat: int, keys: Mapping[str, int]) -> dict[frozenset[str], int]:
        """The chords of one seat: the game's own keys, with this person's (or the second player's) in their place.

        Where a game is steered with W A S D, these are the keys at their places.
        """
        cross = {key: f"@{key}" for key in _CROSS} if {part for chord in keys for part in chord.split("+")} >= _CROSS else {}
        swap = {**cross, **(SECOND_PLAYER if seat == 1 else {}), **self.seats.get(seat, {})}
        return {frozenset(swap.get(key, key) for key in chord.split("+")): action for chord, action in keys.items()}


def _text(path: Path, section: str, name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise UserError(f"{path}: [{section}] {name} must be the name of a key in quotes, got {value!r}")
    return value.lower()


def _keys(path: Path, section: str, name: str, value: Any, known: Iterable[str]) -> tuple[str, ...]:
    names = list(known)
    if name not in names:
        raise UserError(f"{path}: [{section}] has no command {name!r}{nearest(name, names)}")
    return tuple(_text(path, section, name, key) for key in (value if isinstance(value, list) else [value]))


def is_pad(key: str) -> bool:
    """Whether a key (or a chord, or one with ``shift+``) is a gamepad's."""
    return key.removeprefix("shift+").startswith(PADS)


def _taken(key: str) -> tuple[str, ...]:
    """What no command may go by where a game needs a key."""
    plain = key.removeprefix("@")
    return key, plain, f"[{plain}]" if plain.isdigit() else plain


def find(commands: Iterable[Command], press: Press) -> str | None:
    """The command that a key means; with Shift held, ``shift+key`` goes before what the key writes, and that before the key.

    Shift that is needed to write a sign (``+`` on a US keyboard) does not count as held with it.
    """
    shifted = [f"shift+{name}" for name in press.names] if press.shift else []
    for form in shifted + [press.text] * bool(press.text) + list(press.names):
        for command in commands:
            if form in command.keys:
                return command.name
    return None


class HeldKeys:
    """Which keys are down, which went down since the last look, and the chord they make."""

    def __init__(self) -> None:
        self._held: dict[str, int] = {}
        self._tapped: dict[str, int] = {}
        self._count = 0

    @property
    def held(self) -> tuple[str, ...]:
        """Keys that are down, in the order in which they went down."""
        return tuple(self._held)

    def press(self, key: str, down: bool) -> bool:
        """Takes note; returns whether this changed anything (a key that is down cannot go down again)."""
        if not down:
            return self._held.pop(key, None) is not None
        if key in self._held:
            return False
        self._count += 1
        self._held[key] = self._tapped[key] = self._count
        return True

    def take_note(self, press: Press, known: Container[str]) -> str:
        """The same for a press of one of the known keys; returns by which name it changed anything, empty where it did not."""
        name = press.among(known)
        return name if name and self.press(name, press.down) else ""

    def clear(self) -> tuple[str, ...]:
        """Lets go of everything, as when the window loses the keyboard; returns what was held."""
        held = self.held
        self._held.clear()
        self._tapped.clear()
        return held

    def take(self, taps_only: bool = False) -> dict[str, int]:
        """Keys that count for this decision with the order in which they went down; taps are used up.

        A key that went down and up between two decisions counts once: no tap is lost.
        """
        keys = dict(self._tapped) if taps_only else self._held | self._tapped
        self._tapped.clear()
        return keys

    @property
    def waiting(self) -> bool:
        """Whether a key went down since the last look."""
        return bool(self._tapped)


def chosen_action(chords: Mapping[frozenset[str], int], keys: Mapping[str, int]) -> int | None:
    """The action of the largest chord that is wholly down; of two as large, the one with the key pressed last. None: no chord."""
    down = [chord for chord in chords if chord <= keys.keys()]
    if not down:
        return None
    return chords[max(down, key=lambda chord: (len(chord), sorted((keys[key] for key in chord), reverse=True)))]
