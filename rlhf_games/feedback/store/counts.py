"""Who answers, and how far things are. Functions on a connection; ``store.py`` gives them their transactions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rlhf_games.feedback.schema import STILL_WANTED, annotators, answers, queries, retractions
from rlhf_games.feedback.store import log
from rlhf_games.feedback.store.queue import is_leased, of_session
from rlhf_games.feedback.store.records import Annotator, Progress, Row

_EFFECTIVE = answers.outerjoin(retractions, retractions.c.answer_id == answers.c.id)


def read_annotators(connection: Connection, store: str, session: str | None = None) -> list[Annotator]:
    """Annotators with the number of their effective answers, by name: all, or those who answered or hold a query of one session."""
    standing = sa.func.count().filter(retractions.c.id.is_(None)).label("answers")
    counted = log.of_session(sa.select(answers.c.annotator, standing).select_from(_EFFECTIVE), session)
    counts = counted.group_by(answers.c.annotator).subquery()
    statement = sa.select(annotators, sa.func.coalesce(counts.c.answers, 0).label("answers"))
    statement = statement.outerjoin(counts, counts.c.annotator == annotators.c.name).order_by(annotators.c.name)
    if session is not None:
        holders = of_session(sa.select(queries.c.leased_by).where(queries.c.leased_by.is_not(None)), session)
        statement = statement.where(sa.or_(counts.c.annotator.is_not(None), annotators.c.name.in_(holders)))
    return [_read_annotator(Row(store, "annotators", dict(row))) for row in connection.execute(statement).mappings()]


def _read_annotator(row: Row) -> Annotator:
    details = row.json("details")
    if not isinstance(details, dict):
        raise row.fail("details", f"expected an object, got {details!r}")
    return Annotator(row.text("name"), row.text("kind"), details, row.number("since"), row.integer("answers"))


def read_progress(connection: Connection, now: float, window: float, session: str | None = None) -> Progress:
    """Counts at the time ``now``, of one session or (None) of all; the rate is over the last ``window`` seconds."""
    count = sa.func.count()
    effective = sa.select(count).select_from(_EFFECTIVE.join(queries, queries.c.id == answers.c.query_id)).where(retractions.c.id.is_(None))
    back = sa.select(count).select_from(retractions)
    if session is not None:
        back = back.join(answers, answers.c.id == retractions.c.answer_id).join(queries, queries.c.id == answers.c.query_id)
    asked = sa.select(count).select_from(queries)

    def number(statement: sa.Select[Any]) -> int:
        return int(connection.execute(of_session(statement, session)).scalar_one())

    given = sa.func.coalesce(sa.func.sum(queries.c.wanted - queries.c.remaining), 0)
    both = sa.select(given, sa.func.count(queries.c.withdrawn_at)).select_from(queries)
    answered, withdrawn = connection.execute(of_session(both, session)).one()
    return Progress(
        answered=int(answered),
        open=number(asked.where(STILL_WANTED)),
        leased=number(asked.where(STILL_WANTED, is_leased(now))),
        withdrawn=int(withdrawn),
        retracted=number(back),
        per_minute=number(effective.where(answers.c.received_at > now - window)) * 60.0 / window,
    )
