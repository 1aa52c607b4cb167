"""Opens the judging of a store. Database, games and JAX are loaded behind the first frame."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from rlhf_games.arena.games import about
from rlhf_games.arena.keys import Command
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Learning, MetricsTail, Target
from rlhf_games.arena.work import new_worker

if TYPE_CHECKING:
    from rlhf_games.arena.judging import JudgeSession
    from rlhf_games.arena.view import View


def open_judge(target: Target, person: Person) -> View:
    """Judging the pairs that wait in a store."""
    from rlhf_games.arena.opening_view import OpeningView

    worker = new_worker("store")

    def load() -> JudgeSession:
        from rlhf_games.arena.films import Projector
        from rlhf_games.arena.judging import JudgeSession
        from rlhf_games.feedback.store import Store

        store = Store.open(target.store, create=False)
        return JudgeSession(store, Projector(store.replay, new_worker("films")), person.annotator, worker)

    def then(session: JudgeSession) -> View:
        from rlhf_games.arena.judge_view import JudgeView

        return JudgeView(session, person.keymap, aim=about, learning=follow(target), budget=target.budget)

    return OpeningView("Judge", "Opening the store…", worker.submit(load), then, lambda session: session.close())


def commands() -> Sequence[Command]:
    """What its view can be told."""
    from rlhf_games.arena.judge_view import COMMANDS

    return COMMANDS


def follow(target: Target) -> Callable[[], Future[Learning | None]] | None:
    """Asks how the agent of a run does, without waiting; None where there is no run."""
    if target.folder is None:
        return None
    worker, tail = new_worker("metrics"), MetricsTail(target.folder / "metrics.jsonl")
    return lambda: worker.submit(tail.poll)
