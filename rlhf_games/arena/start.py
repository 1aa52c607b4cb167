"""Puts views and sessions together and opens the window. JAX and the database are imported behind the first frame."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_games import workspace
from rlhf_games.arena.games import about, cards
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Target
from rlhf_games.arena.tasks import TASKS
from rlhf_games.arena.work import new_worker
from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.arena.view import View
    from rlhf_games.feedback.store import Progress, Store

PLAYS = Path("runs/plays.sqlite")
"""Where plays go when nothing else is said."""


def read_keymap(folder: Path) -> Keymap:
    """This person's ``keys.toml``. Raises ``UserError`` where it is wrong."""
    from rlhf_games.arena import menu_view, play_view

    views = {task.name: task.commands() for task in TASKS} | {"play": play_view.COMMANDS, "menu": menu_view.COMMANDS}
    return Keymap.read(folder / "keys.toml", {view: [command.name for command in commands] for view, commands in views.items()})


def show(view: View, first: View | None = None) -> None:
    """Opens the window and runs it until it is closed; ``first``: is shown first, in front of ``view``."""
    from rlhf_games.arena.app import App

    app = App(view)
    if first is not None:
        app.open(first)
    app.run()


def play(game: str, person: Person, store: str | Path = PLAYS, people: int = 1, options: Mapping[str, Any] | None = None) -> View:
    """Playing a game of the workspaces. Raises ``UserError`` where there is none of that name, or not as many seats."""
    from rlhf_games.arena.play_view import PlayView
    from rlhf_games.arena.playing import PlaySession

    card = workspace.card(game)
    if not 1 <= people <= min(2, card.players):
        raise UserError(f"{card.title} has {card.players} seat(s) and the keyboard has room for two: --people must fit both, got {people}")
    session = PlaySession(
        lambda: workspace.load_game(game, options or {}),
        lambda: _open_plays(store),
        person.annotator,
        new_worker("game"),
        keymap=person.keymap,
        people=people,
    )
    return PlayView(session, person.keymap, card.title, card.aim)


def _open_plays(target: str | Path) -> Store:
    from rlhf_games.feedback.store import Store

    if "://" not in str(target):
        Path(target).expanduser().parent.mkdir(parents=True, exist_ok=True)
    return Store.open(target)


def home(target: Target | None, person: Person, store: str | Path = PLAYS) -> View:
    """What there is to do: judge what waits in a run, play its game, play any other."""
    from rlhf_games.arena.menu_view import Entry, MenuView

    waiting = _Waiting(target)

    def entries() -> Sequence[Entry]:
        found = []
        if target is not None:
            found += [
                Entry(task.title, task.words, lambda task=task: task.open(target, person), waiting.words() if task.kinds else "")  # type: ignore[misc]
                for task in TASKS
                if task.offered(target)
            ]
            if target.game and (card := about(target.game))[0]:
                found.append(Entry(f"Play {card[0]}", card[1], lambda: play(target.game, person, store), "the run's game"))
        return [
            *found,
            Entry(
                "Play any game",
                "Show how it is done: what you keep is stored as a demonstration.",
                lambda: games(person, store),
                f"{len(cards())} games",
            ),
        ]

    subtitle = f"The run {target.name}." if target is not None else "No run is open: rlhf-games arena RUN opens one."
    corner = ("rlhf-games", f"you are {person.annotator}")
    return MenuView("What would you like to do?", subtitle, entries, person.keymap, corner=corner, close=waiting.close)


def games(person: Person, store: str | Path = PLAYS) -> View:
    """All games of the workspaces that a person can play."""
    from rlhf_games.arena.menu_view import Entry, MenuView

    def seats(players: int) -> str:
        return "1 player" if players == 1 else f"{players} seats"

    entries = [
        Entry(card.title, card.aim, lambda name=card.name: play(name, person, store), f"{card.name} · {seats(card.players)}")  # type: ignore[misc]
        for card in cards()
    ]
    return MenuView("Which game?", "Type a few letters to search.", lambda: entries, person.keymap)


class _Waiting:
    """How many pairs wait in a store; looks every few seconds, in a thread of its own."""

    def __init__(self, target: Target | None) -> None:
        self._target = target
        self._worker = new_worker("waiting") if target is not None else None
        self._store: Store | None = None
        self._asked: Future[Progress] | None = None
        self._known: Progress | None = None
        self._at = 0.0

    def words(self) -> str:
        """For the menu; never waits."""
        if self._asked is not None and self._asked.done():
            self._known = None if self._asked.exception() is not None else self._asked.result()
            self._asked = None
        if self._asked is None and self._worker is not None and time.monotonic() >= self._at:
            self._at = time.monotonic() + 3.0
            self._asked = self._worker.submit(self._look)
        if self._known is None:
            return ""
        return f"{self._known.open} waiting · {self._known.answered} answered"

    def _look(self) -> Progress:
        from rlhf_games.feedback.store import Store

        assert self._target is not None
        self._store = self._store or Store.open(self._target.store, create=False)
        return self._store.progress()

    def close(self) -> None:
        """Lets go of the store."""
        if self._worker is not None:
            self._worker.shutdown(wait=True, cancel_futures=True)
        if self._store is not None:
            self._store.close()
