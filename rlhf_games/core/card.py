"""A family's ``cards.toml``: what can be said of its games without importing them."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rlhf_games.core.errors import UserError


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
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing: a game family needs cards.toml beside its game.py") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}") from error
    try:
        return [
            Card(
                family=folder.name,
                name=f"{folder.name}/{game['name']}",
                title=game["title"],
                kind=table["kind"],
                players=int(game["players"]),
                aim=game["aim"],
                folder=folder,
            )
            for game in table["game"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: every [[game]] needs name, title, players, aim, and the file needs kind; problem: {error!r}") from error
