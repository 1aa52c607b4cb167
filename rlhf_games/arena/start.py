"""Puts views and sessions together and opens the window. JAX and the database are imported behind the first frame."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rlhf_games import workspace
from rlhf_games.arena.desk import read_desk
from rlhf_games.arena.games import about, cards
from rlhf_games.arena.keys import Keymap
from rlhf_games.arena.person import Person, login_name, remember, settings_folder, who
from rlhf_games.arena.runs import Target, age_words, find_runs
from rlhf_games.arena.tasks import TASKS, Task
from rlhf_games.arena.waiting import Lookout
from rlhf_games.arena.work import new_worker
from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.arena.menu_view import Entry
    from rlhf_games.arena.view import View
    from rlhf_games.feedback.store import Store

# An accelerator belongs to the learner: JAX would take most of its memory, and a window asks about a few states at a time.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

RUNS = Path("runs")
"""Where runs lie when nothing else is said."""
PLAYS = RUNS / "plays.sqlite"
"""Where plays go when nothing else is said."""
_NO_RUN = (
    "A run is an agent that learns from answers. Start one in a terminal, in the same folder:",
    "▸ rlhf-games run --teacher human – the answers are yours; a window for them opens",
    "▸ rlhf-games run – a script answers; the agent is there to be watched, asked and coached",
    "Then open this window again. Or play a game now.",
)
"""What Home says where it knows of no run."""


def read_keymap(folder: Path) -> Keymap:
    """This person's ``keys.toml``. Raises ``UserError`` where it is wrong."""
    from rlhf_games.arena import menu_view, name_view, play_view

    views = {task.name: task.commands() for task in TASKS}
    views |= {"play": play_view.COMMANDS, "menu": menu_view.COMMANDS, "name": name_view.COMMANDS}
    return Keymap.read(folder / "keys.toml", {view: [command.name for command in commands] for view, commands in views.items()})


def show(annotator: str, *views: Callable[[Person], View]) -> None:
    """Opens the window and runs it until it is closed.

    Args:
      annotator: who the person is; empty: as remembered. Where no name is remembered they are asked, once; where several share the desk
        (``ask_name`` in ``arena.toml``), every time.
      views: are shown one after the other, each when the one before it is left.
    """
    from rlhf_games.arena.app import App
    from rlhf_games.arena.name_view import NameView

    folder = settings_folder()
    keymap, name, desk = read_keymap(folder), who(annotator, folder), read_desk(folder / "arena.toml")

    def known(name: str) -> list[View]:
        person = Person(name, keymap, desk=desk)
        return [make(person) for make in views]

    if not name or (desk.ask_name and not annotator):
        App(NameView(name or login_name(), keymap, lambda said: known(remember(said, folder)))).run()
        return
    made = known(name)
    app = App(made.pop())
    while made:
        app.open(made.pop())
    app.run()


def play(game: str, person: Person, store: str | Path = PLAYS, people: int = 1) -> View:
    """Playing a game of the workspaces. Raises ``UserError`` where there is none of that name, or not as many seats."""
    return _play(game, person, store, people, {}, None)


def _play(game: str, person: Person, store: str | Path, people: int, options: Mapping[str, Any], target: Target | None) -> View:
    from rlhf_games.arena.headway import Headway
    from rlhf_games.arena.play_view import PlayView
    from rlhf_games.arena.playing import PlaySession

    card = workspace.card(game)
    if not 1 <= people <= min(2, card.players):
        raise UserError(f"{card.title} has {card.players} seat(s) and the keyboard has room for two: --people must fit both, got {people}")
    session = PlaySession(
        lambda: workspace.load_game(game, options),
        lambda: _open_plays(store),
        person.annotator,
        new_worker("game"),
        keymap=person.keymap,
        people=people,
    )
    if target is None:
        return PlayView(session, person.keymap, card.title, card.aim)
    return PlayView(session, person.keymap, card.title, card.aim, run=target.name, headway=Headway(target))


def play_for(target: Target, person: Person, people: int = 1) -> View:
    """Playing the game of a run, with its options, for that run: what is kept goes into its store, where its learner finds it.

    Raises:
      UserError: it is not known which game that is, or it has not as many seats.
    """
    if not target.game:
        raise UserError(f"{target.name} is no run of a known game: name the folder of a run, or a game and --store {target.store}")
    return _play(target.game, person, target.store, people, target.options, target)


def _open_plays(target: str | Path) -> Store:
    from rlhf_games.feedback.store import Store

    if "://" not in str(target):
        Path(target).expanduser().parent.mkdir(parents=True, exist_ok=True)
    return Store.open(target)


def home(target: Target | None, person: Person, store: str | Path = PLAYS, runs: Path = RUNS) -> View:
    """What there is to do in a run or store; without one: which runs there are under ``runs``, and all games."""
    return _runs(runs, person, store) if target is None else _tasks(target, person, store)


def _tasks(target: Target, person: Person, store: str | Path) -> View:
    """Everything that can be done in one run or store."""
    from rlhf_games.arena.menu_view import Entry, MenuView

    lookout = Lookout([target])
    title = about(target.game)[0] if target.game else ""

    def entries() -> Sequence[Entry]:
        seen = lookout.look(target)

        def note(task: Task) -> str:
            if seen is None or seen.problem or not task.kinds:
                return seen.problem if seen is not None and task.kinds else ""
            count = seen.count(task.kinds)
            return f"{count} waiting" if count else "nothing waits"

        found = [
            Entry(task.title, task.words, lambda task=task: task.open(target, person), note(task))  # type: ignore[misc]
            for task in TASKS
            if task.offered(target)
        ]
        if title:
            words = "Show the run how it is done, and rate what you played."
            found.append(Entry(f"Play {title}", words, lambda: play_for(target, person), "the run's game"))
        return [*found, _any_game(person, store)]

    subtitle = f"The run {target.name}: {title}." if title else f"{target.name}. Answers go there."
    if target.folder is None:
        subtitle += " No agent is there to ask or coach: a run has one (rlhf-games run)."
    return MenuView("What would you like to do?", subtitle, entries, person.keymap, close=lookout.close, **_who(person))


def _runs(folder: Path, person: Person, store: str | Path) -> View:
    """The runs that there are, newest first, with what waits in each."""
    from rlhf_games.arena.menu_view import Entry, MenuView

    found = find_runs(folder)
    lookout = Lookout(found)
    now = time.time()

    def entry(target: Target) -> Entry:
        seen = lookout.look(target)
        what = about(target.game)[0] if target.folder else "answers without an agent: its games can be watched"
        words = " · ".join(part for part in (what, "" if seen is None else seen.words) if part)
        return Entry(target.name, words, lambda: home(target, person, store), age_words(target, now))

    def entries() -> Sequence[Entry]:
        return [*map(entry, found), _any_game(person, store)]

    subtitle = "Choose a run, newest first, or a game." if found else f"There is no run in {folder.resolve()} yet."
    hint = () if any(target.folder for target in found) else _NO_RUN
    return MenuView("Runs", subtitle, entries, person.keymap, close=lookout.close, hint=hint, **_who(person))


def _any_game(person: Person, store: str | Path) -> Entry:
    from rlhf_games.arena.menu_view import Entry

    words = "Show how it is done: what you keep is stored as a demonstration."
    return Entry("Play any game", words, lambda: games(person, store), f"{len(cards())} games")


def _who(person: Person) -> dict[str, Any]:
    """Who the person is, for a menu, and how somebody else takes their place."""

    def become(name: str) -> list[View]:
        person.annotator = remember(name, settings_folder())
        return []

    def somebody_else() -> View:
        from rlhf_games.arena.name_view import NameView

        return NameView(person.annotator, person.keymap, become)

    return {"corner": lambda: ("rlhf-games", f"you are {person.annotator}"), "somebody_else": somebody_else}


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
