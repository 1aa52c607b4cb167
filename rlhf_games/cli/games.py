"""``rlhf-games games``: what there is to play. Reads cards only; no game is imported."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated

import tyro

from rlhf_games.core.card import Card
from rlhf_games.core.errors import UserError


@dataclass(frozen=True)
class Games:
    """List the games that the workspaces hold, by family."""

    filter: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TEXT")] = ""
    """Only games whose name, title or kind has this in it."""
    json: bool = False
    """One JSON list instead of a table, for scripts."""

    def run(self) -> int:
        """Prints the list."""
        from rlhf_games import workspace

        found = [card for card in workspace.cards() if matches(card, self.filter)]
        if self.json:
            print(json.dumps([as_mapping(card) for card in found], indent=1))
            return 0
        if not found:
            names = "no workspace holds any game" if not self.filter else f"no game has {self.filter!r} in its name, title or kind"
            raise UserError(f"{names}; rlhf-games games lists all, rlhf-games new makes a folder for your own")
        _print_table(found)
        return 0


def matches(card: Card, text: str) -> bool:
    """Whether ``text`` is part of the card's name, title or kind; case does not matter."""
    wanted = text.casefold()
    return any(wanted in entry.casefold() for entry in (card.name, card.title, card.kind))


def as_mapping(card: Card) -> dict[str, str | int]:
    """The card as JSON values."""
    return {
        "name": card.name,
        "title": card.title,
        "family": card.family,
        "kind": card.kind,
        "players": card.players,
        "aim": card.aim,
        "folder": str(card.folder),
    }


def _print_table(found: list[Card]) -> None:
    from rich.table import Table
    from rich.text import Text

    from rlhf_games.cli.console import wide_console
    from rlhf_games.core.literal import literal

    console = wide_console()
    for family, members in groupby(found, key=lambda card: card.family):
        group = list(members)
        title = Text.assemble((literal(family), "bold"), f"  {len(group)} {group[0].kind} game{'s' if len(group) > 1 else ''}")
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
        table.add_column(no_wrap=True, style="cyan")
        table.add_column(no_wrap=True, justify="right", style="dim")
        table.add_column()
        for card in group:
            players = f"{card.players} player{'s' if card.players > 1 else ' '}"
            table.add_row(Text(literal(card.name)), players, Text(literal(f"{card.title}. {card.aim}")))
        console.print(table)
        console.print()
    console.print(Text(f"{len(found)} game{'s' if len(found) > 1 else ''}", style="dim"))
