"""What people can read about the games of the workspaces. Loads none of them."""

from __future__ import annotations

from functools import cache

from rlhf_games import workspace
from rlhf_games.core.card import Card


@cache
def cards() -> tuple[Card, ...]:
    """Every game of the workspaces."""
    return tuple(workspace.cards())


def about(game: str) -> tuple[str, str]:
    """Title and aim of a game; the name alone where no workspace has it."""
    for card in cards():
        if card.name == game:
            return card.title, card.aim
    return game, ""
