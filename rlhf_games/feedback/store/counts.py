"""Who answers, and how far things are. Functions on a connection; ``store.py`` gives them their transactions."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rlhf_games.feedback.schema import STILL_WANTED, annotators, answers, queries, retractions
from rlhf_games.feedback.store.records import Annotator, Progress, Row

_EFFECTIVE = answers.outerjoin(retractions, retractions.c.answer_id == answers.c.id)


def read_annotators(connection: Connection, store: str) -> list[Annotator]:
    """All annotators with the number of their effective answers, by name."""
    counted = sa.select(answers.c.annotator, sa.func.count().label("answers")).select_from(_EFFECTIVE)
    counts = counted.where(retractions.c.id.is_(None)).group_by(answers.c.annotator).subquery()
    statement = sa.select(annotators, sa.func.coalesce(counts.c.answers, 0).label("answers"))
    statement = statement.outerjoin(counts, counts.c.annotator == annotators.c.name).order_by(annotators.c.name)
    return [_read_annotator(Row(store, "annotators", dict(row))) for row in connection.execute(statement).mappings()]


def _read_annotator(row: Row) -> Annotator:
    details = row.json("details")
    if not isinstance(details, dict):
        raise row.fail("details", f"expected an object, got {details!r}")
    return Annotator(row.text("name"), row.text("kind"), details, row.number("since"), row.integer("answers"))


def read_progress(connection: Connection, now: float, window: float) -> Progress:
    """Counts at the time ``now``; the rate is over the last ``window`` seconds."""
    count = sa.func.count()
    effective = sa.select(count).select_from(_EFFECTIVE).where(answers.c.query_id.is_not(None), retractions.c.id.is_(None))
    waiting = sa.select(count).select_from(queries).where(STILL_WANTED)

    def number(statement: sa.Select[Any]) -> int:
        return int(connection.execute(statement).scalar_one())

    return Progress(
        answered=number(effective),
        open=number(waiting),
        leased=number(waiting.where(queries.c.leased_until > now)),
        withdrawn=number(sa.select(count).select_from(queries).where(queries.c.withdrawn_at.is_not(None))),
        retracted=number(sa.select(count).select_from(retractions)),
        per_minute=number(effective.where(answers.c.received_at > now - window)) * 60.0 / window,
    )
