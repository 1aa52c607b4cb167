"""Opens the coaching of a run's agent. Database, game, policy and JAX are loaded behind the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from rlhf_games.arena.ask_task import open_ask
from rlhf_games.arena.games import about
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Target
from rlhf_games.arena.work import new_worker
from rlhf_games.core.errors import UserError

if TYPE_CHECKING:
    from rlhf_games.arena.coach_session import CoachSession
    from rlhf_games.arena.view import View

HAND_BACK = 0.3
"""Default of ``--hand-back``."""


def open_coach(target: Target, person: Person, hand_back: float = HAND_BACK) -> View:
    """Coaching the agent of a run while it plays.

    Args:
      target: a run.
      person: who coaches.
      hand_back: seconds after the last control key was let go of until the agent plays again.

    Raises:
      UserError: ``target`` is a store without a run.
    """
    from rlhf_games.arena.opening_view import OpeningView

    if not 0.0 <= hand_back <= 10.0:
        raise UserError(f"--hand-back must be 0 to 10 seconds, got {hand_back}")
    folder = target.folder
    if folder is None:
        raise UserError(f"{target.name} is a store: an agent is coached in a run; name the run's folder")
    worker = new_worker("game")

    def load() -> CoachSession:
        from rlhf_games.arena.coach_game import CoachGame
        from rlhf_games.arena.coach_log import CoachLog
        from rlhf_games.arena.coach_session import CoachSession
        from rlhf_games.feedback.store import Store
        from rlhf_games.published.run import PublishedRun

        game = CoachGame(PublishedRun.open(folder))
        log = CoachLog(Store.open(target.store, create=False), person.annotator, new_worker("store"))
        return CoachSession(game, log, worker, new_worker("instead"), keymap=person.keymap, hand_back=hand_back)

    def then(session: CoachSession) -> View:
        from rlhf_games.arena.coach_view import CoachView

        ask = partial(open_ask, target, person)
        headway = Headway(target, shows_score=person.desk.agent_score)
        return CoachView(session, person.keymap, *about(session.spec.name), headway, ask=ask)

    return OpeningView("Coach", "Loading the agent…", worker.submit(load), then, lambda session: session.close())


def commands() -> Sequence[Command]:
    """What its view can be told."""
    from rlhf_games.arena.coach_view import COMMANDS

    return COMMANDS
