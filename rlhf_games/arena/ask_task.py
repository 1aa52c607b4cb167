"""Opens Watch, Ask and the agent's own questions. Database, games, policies and JAX are loaded behind the first frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING, NamedTuple

from rlhf_games import workspace
from rlhf_games.arena.games import about
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Target
from rlhf_games.arena.work import Worker, new_worker

if TYPE_CHECKING:
    from rlhf_games.arena.episodes import Episode, Episodes
    from rlhf_games.arena.fresh import Fresh
    from rlhf_games.arena.minds import Minds, Publications
    from rlhf_games.arena.reel import Reel
    from rlhf_games.arena.view import View
    from rlhf_games.feedback.store import Store
    from rlhf_games.replay.replay import Replay


class _Parts(NamedTuple):
    """What all three sessions are made of."""

    store: Store
    writer: Worker
    """Does what is stored, in order."""
    episodes: Episodes
    minds: Minds
    end: Callable[[], None]
    """Ends ``writer`` after what is queued there, and lets go of the store."""


def open_watch(target: Target, person: Person) -> View:
    """The agent's latest games."""
    from rlhf_games.arena.opening_view import OpeningView
    from rlhf_games.arena.watching import WatchSession, by_an_agent

    worker = new_worker("open")

    def load() -> WatchSession:
        parts = _parts(target, by_an_agent)
        return WatchSession(parts.episodes, _reel(parts, target.game), parts.minds, _fresh(parts), parts.end)

    def then(session: WatchSession) -> View:
        from rlhf_games.arena.watch_view import WatchView

        worker.shutdown(wait=False)
        return WatchView(session, person.keymap, name=about, headway=Headway(target, shows_score=person.desk.agent_score))

    return OpeningView("Watch", "Opening the run…", worker.submit(load), then, lambda session: session.close())


def open_ask(target: Target, person: Person, about_last: Future[Replay] | None = None) -> View:
    """Questions to the agent; ``about_last``: an episode at whose last decision it opens, once it is stored."""
    from rlhf_games.arena.asking import AskSession
    from rlhf_games.arena.opening_view import OpeningView

    worker = new_worker("open")

    def load() -> AskSession:
        from rlhf_games.arena.remarks import Remarks

        parts = _parts(target)
        remarks = Remarks(parts.store, person.annotator, parts.writer)
        at = None if about_last is None else (about_last.result().id, about_last.result().length - 1)
        return AskSession(parts.episodes, _reel(parts, target.game), parts.minds, remarks, _fresh(parts), parts.end, at=at)

    def then(session: AskSession) -> View:
        from rlhf_games.arena.ask_view import AskView

        worker.shutdown(wait=False)
        return AskView(
            session,
            person.keymap,
            name=about,
            advise=lambda: open_advise(target, person),
            headway=Headway(target, shows_score=person.desk.agent_score),
        )

    return OpeningView("Ask", "Opening the run…", worker.submit(load), then, lambda session: session.close())


def open_advise(target: Target, person: Person) -> View:
    """Questions of the agent."""
    from rlhf_games.arena.advising import AdviseSession
    from rlhf_games.arena.opening_view import OpeningView

    worker = new_worker("open")

    def load() -> AdviseSession:
        from rlhf_games.arena.remarks import Remarks
        from rlhf_games.arena.watching import by_an_agent

        parts = _parts(target, by_an_agent)
        remarks = Remarks(parts.store, person.annotator, parts.writer)
        return AdviseSession(parts.store, parts.episodes, parts.minds, remarks, workspace.load_game, new_worker("looking"), parts.end)

    def then(session: AdviseSession) -> View:
        from rlhf_games.arena.advise_view import AdviseView

        worker.shutdown(wait=False)
        return AdviseView(session, person.keymap, name=about, headway=Headway(target, shows_score=person.desk.agent_score))

    return OpeningView("The agent asks", "Opening the run…", worker.submit(load), then, lambda session: session.close())


def watch_commands() -> Sequence[Command]:
    """What Watch can be told."""
    from rlhf_games.arena.watch_view import COMMANDS

    return COMMANDS


def ask_commands() -> Sequence[Command]:
    """What Ask can be told."""
    from rlhf_games.arena.ask_view import COMMANDS

    return COMMANDS


def advise_commands() -> Sequence[Command]:
    """What can be said while the agent asks."""
    from rlhf_games.arena.advise_view import COMMANDS

    return COMMANDS


def _parts(target: Target, wanted: Callable[[Episode], bool] = lambda episode: True) -> _Parts:
    """On a worker."""
    from rlhf_games.arena.episodes import Episodes
    from rlhf_games.arena.minds import Minds
    from rlhf_games.feedback.store import Store

    store = Store.open(target.store, create=False)
    writer = new_worker("answers")

    def end() -> None:
        writer.shutdown(wait=True)
        store.close()

    folder = target.folder
    minds = Minds(None if folder is None else lambda: _publications(str(folder)), new_worker("policies"), time.monotonic)
    return _Parts(store, writer, Episodes(store, new_worker("episodes"), time.monotonic, wanted), minds, end)


def _publications(folder: str) -> Publications:
    from rlhf_games.published.run import PublishedRun

    return PublishedRun.open(folder)


def _fresh(parts: _Parts) -> Fresh:
    from rlhf_games.arena.fresh import Fresh

    return Fresh(workspace.load_game, lambda replay: parts.store.add_replays([replay]), new_worker("new game"))


def _reel(parts: _Parts, game: str) -> Reel:
    from rlhf_games.arena.reel import Reel

    player = new_worker("replay")
    if game:  # the game (and JAX with it) is imported while the store is being read; a problem shows when an episode is opened
        player.submit(lambda: workspace.load_game(game))
    return Reel(workspace.load_game, parts.store.replay, player, new_worker("thoughts"))
