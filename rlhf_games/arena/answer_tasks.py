"""Opens the answering of a store's questions: pairs to judge, clips to rank and to rate. What is slow is loaded behind the first frame."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rlhf_games.arena.games import about
from rlhf_games.arena.headway import Headway
from rlhf_games.arena.keys import Command
from rlhf_games.arena.person import Person
from rlhf_games.arena.runs import Target
from rlhf_games.arena.work import new_worker

if TYPE_CHECKING:
    from rlhf_games.arena.answer_view import AnswerView
    from rlhf_games.arena.answering import AnswerSession
    from rlhf_games.arena.view import View


def open_judge(target: Target, person: Person) -> View:
    """Judging the pairs that wait in a store."""
    from rlhf_games.arena.judge_view import JudgeView
    from rlhf_games.arena.judging import JudgeSession

    return _open(target, person, JudgeSession, JudgeView)


def open_rank(target: Target, person: Person) -> View:
    """Ranking the clips that wait in a store."""
    from rlhf_games.arena.rank_view import RankView
    from rlhf_games.arena.ranking import RankSession

    return _open(target, person, RankSession, RankView)


def open_rate(target: Target, person: Person) -> View:
    """Rating the clips that wait in a store."""
    from rlhf_games.arena.rate_view import RateView
    from rlhf_games.arena.rating import RateSession

    return _open(target, person, RateSession, RateView)


def judge_commands() -> Sequence[Command]:
    """What the judge's view can be told."""
    from rlhf_games.arena.judge_view import COMMANDS

    return COMMANDS


def rank_commands() -> Sequence[Command]:
    """What the ranker's view can be told."""
    from rlhf_games.arena.rank_view import COMMANDS

    return COMMANDS


def rate_commands() -> Sequence[Command]:
    """What the rater's view can be told."""
    from rlhf_games.arena.rate_view import COMMANDS

    return COMMANDS


def _open(target: Target, person: Person, make: type[AnswerSession[Any]], show: type[AnswerView[Any]]) -> View:
    from rlhf_games.arena.opening_view import OpeningView

    worker = new_worker("store")

    def load() -> AnswerSession[Any]:
        from rlhf_games.arena.films import Projector
        from rlhf_games.feedback.store import Store

        store = Store.open(target.store, create=False)
        films = Projector(store.replay, new_worker("films"))
        return make(store, films, person.annotator, worker, least_seconds=person.desk.least_seconds)

    def then(session: AnswerSession[Any]) -> View:
        headway = Headway(target, shows_score=person.desk.agent_score)
        return show(session, person.keymap, aim=about, headway=headway, hide_score=person.hide_score)

    return OpeningView(show.title, "Opening the store…", worker.submit(load), then, lambda session: session.close())
