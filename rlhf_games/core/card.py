"""A family's ``cards.toml``: what can be said of its games without importing them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rlhf_games.core.errors import UserError
from rlhf_games.core.parse import parse_toml

_KINDS: tuple[Literal["device", "host"], ...] = ("device", "host")
_LONGEST = 1_000
_MOST_PLAYERS = 1_000


@dataclass(frozen=True)
class Card:
    """One game as ``rlhf-games games`` lists it."""

    family: str
    """Folder name under ``games/``."""
    name: str
    """``family/game``."""
    title: str
    """The name people know it by."""
    kind: Literal["device", "host"]
    players: int
    aim: str
    """One sentence for a person who has never seen it."""
    folder: Path


def read_cards(folder: Path) -> list[Card]:
    """Reads ``folder/cards.toml``: ``kind`` and one ``[[game]]`` with ``name``, ``title``, ``players``, ``aim`` per game.

    Raises:
      UserError: the file is missing, is not TOML, or lacks a key.
    """
    path = folder / "cards.toml"
    try:
        table = parse_toml(path.read_bytes())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: a game family needs cards.toml beside its game.py") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    try:
        return [
            Card(
                family=folder.name,
                name=f"{folder.name}/{_line(game, 'name')}",
                title=_line(game, "title"),
                kind=_kind(table["kind"]),
                players=_players(game["players"]),
                aim=_line(game, "aim"),
                folder=folder,
            )
            for game in table["game"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: every [[game]] needs name, title, players, aim, and the file needs kind; problem: {error!r}") from error


def _line(game: dict[str, Any], key: str) -> str:
    """What is shown to people: one line that no terminal obeys."""
    text = game[key]
    if not isinstance(text, str) or not 1 <= len(text) <= _LONGEST or not text.isprintable():
        raise ValueError(f"{key} must be one line of 1 to {_LONGEST} printable characters, got {str(text)[:80]!r}")
    return text


def _kind(value: Any) -> Literal["device", "host"]:
    for kind in _KINDS:
        if value == kind:
            return kind
    raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {str(value)[:80]!r}")


def _players(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= _MOST_PLAYERS:
        raise ValueError(f"players must be an integer in 1..{_MOST_PLAYERS}, got {str(value)[:80]!r}")
    return value
