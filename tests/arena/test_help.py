"""The help says everything, and says it whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pygame
import pytest
from pygame import Rect

from rlhf_games.arena import menu_view, name_view, play_view, theme
from rlhf_games.arena.canvas import Canvas
from rlhf_games.arena.controls import game_commands, seat_chords
from rlhf_games.arena.help import draw_help
from rlhf_games.arena.keys import Command, Keymap
from rlhf_games.arena.stage import key_table
from rlhf_games.arena.tasks import TASKS
from rlhf_games.arena.text import Fonts
from rlhf_games.workspace import load_game

PLAYED = {"play": "the game", "coach": "take over", "ask": "the action meant", "advise": "I would do"}
"""Views in which keys of a game count, and what is said of them there."""
VIEWS: dict[str, Callable[[], Sequence[Command]]] = {task.name: task.commands for task in TASKS}
VIEWS |= {"play": lambda: play_view.COMMANDS, "menu": lambda: menu_view.COMMANDS, "name": lambda: name_view.COMMANDS}


@dataclass
class Told:
    """As much of a view as the help looks at."""

    title: str
    commands: Sequence[Command]
    game_keys: Sequence[Command] = ()


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Words that did not fit where they were written."""
    pygame.display.init()
    pygame.font.init()
    found: list[str] = []
    real = Fonts.shorten

    def shorten(self: Fonts, words: str, style: theme.Style, width: int) -> str:
        shown = real(self, words, style, width)
        found.extend([words] if shown != words else [])
        return shown

    monkeypatch.setattr(Fonts, "shorten", shorten)
    yield found
    pygame.quit()


def canvas() -> Canvas:
    return Canvas(pygame.display.set_mode(theme.DESIGN_SIZE))


@pytest.mark.parametrize("name", sorted(VIEWS))
def test_no_words_are_cut_off(name: str, cut: list[str]) -> None:
    spec, view = load_game("pettingzoo/boxing").spec, Told(name, VIEWS[name]())
    if name in PLAYED:
        view.game_keys = game_commands(spec, seat_chords(0, spec, Keymap()), PLAYED[name])
    draw_help(canvas(), view)  # type: ignore[arg-type]
    assert not cut


def test_two_players_find_all_their_keys(cut: list[str]) -> None:
    spec = load_game("pettingzoo/boxing").spec
    keys = [
        line
        for seat, who in enumerate(("first player", "second player"))
        for line in game_commands(spec, seat_chords(seat, spec, Keymap()), who)
    ]
    draw_help(canvas(), Told("play", play_view.COMMANDS, keys))  # type: ignore[arg-type]
    assert not cut


@pytest.mark.parametrize("count", [12, 13, 40])
def test_a_table_of_too_many_keys_says_where_the_others_are(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[tuple[str, ...], str]] = []
    pygame.font.init()
    surface = canvas()
    surface.part(
        "table",
        Rect(0, 0, 400, 700),
        count,
        lambda pen: (
            monkeypatch.setattr(pen, "hint", lambda at, keys, words, **_: said.append((keys, words))),
            key_table(pen, 0, 0, 400, [(chr(97 + n), str(n)) for n in range(count)]),
        ),
    )
    assert len(said) == 12
    assert said[-1] == ((("l",), "11") if count == 12 else (("f1",), "all keys"))
    pygame.quit()
