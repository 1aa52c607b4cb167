"""The append-only log of answers and retractions. Functions on a connection; ``store.py`` gives them their transactions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import Ranking, to_json
from rlhf_games.feedback.schema import answers, episodes, log_head, queries, replays, retractions
from rlhf_games.feedback.store.records import Answer, AnswerDraft, AnswerPage, Row, read_answer
from rlhf_games.feedback.store.sql import chunks, dictionaries, lock_head, select_where_in

_EFFECTIVE = answers.outerjoin(retractions, retractions.c.answer_id == answers.c.id)
"""Answers with their retraction, where there is one."""
_WITH_REPLAY = sa.select(answers, episodes.c.replay_id.label("linked")).select_from(
    _EFFECTIVE.outerjoin(episodes, episodes.c.episode == answers.c.episode)
)
"""The same with the replay that their episode became, where there is one."""


def post(connection: Connection, store: str, drafts: Sequence[AnswerDraft], now: float, session: str | None = None) -> list[int]:
    """Appends the answers and returns their ids in order; a draft whose uuid is known gives the id of the earlier answer.

    ``session``: the only one that free-standing answers belong to; None: to all.

    Raises:
      UserError: nothing is stored: an answer does not fit its query, or its annotator has answered the query already.
    """
    head = lock_head(connection)
    known = _known(connection, store, drafts)
    fresh = [draft for draft in drafts if draft.uuid not in known]
    if len({draft.uuid for draft in fresh}) < len(fresh):
        raise UserError("two answers posted together have the same uuid; make one per answer")
    displays = _check_queries(connection, store, fresh)
    rows = [_row(draft, head + place, displays, now, session) for place, draft in enumerate(fresh, start=1)]
    if rows:
        _move_head(connection, head + len(rows))
        connection.execute(sa.insert(answers), rows)
        _count_down(connection, [draft for draft in fresh if draft.query_id is not None])
    ids = known | {row["uuid"]: row["id"] for row in rows}
    return [ids[draft.uuid] for draft in drafts]


def _move_head(connection: Connection, value: int) -> None:
    connection.execute(sa.update(log_head).values(value=value))


def _row(draft: AnswerDraft, answer_id: int, displays: dict[int, str], now: float, session: str | None) -> dict[str, Any]:
    copied = ("uuid", "query_id", "annotator", "replay_id", "episode", "step", "shown_at", "answered_at")
    display = "[]" if draft.query_id is None else displays[draft.query_id]
    row = {name: getattr(draft, name) for name in copied} | {"session": session if draft.query_id is None else None}
    return row | {"id": answer_id, "kind": draft.value.kind, "payload": to_json(draft.value), "display": display, "received_at": now}


def _known(connection: Connection, store: str, drafts: Sequence[AnswerDraft]) -> dict[str, int]:
    """Ids of the drafts that are stored already; one with the same uuid and other content is refused."""
    rows = select_where_in(connection, sa.select(answers), answers.c.uuid, [draft.uuid for draft in drafts])
    stored = {row["uuid"]: read_answer(Row(store, "answers", row)) for row in rows}
    for draft in drafts:
        answer = stored.get(draft.uuid)
        if answer is not None and (answer.query_id, answer.annotator, answer.value) != (draft.query_id, draft.annotator, draft.value):
            raise UserError(f"answer uuid {draft.uuid} was used for another answer ({answer.id}) before; make a new uuid for a new answer")
    return {uuid: answer.id for uuid, answer in stored.items()}


def _check_queries(connection: Connection, store: str, drafts: Sequence[AnswerDraft]) -> dict[int, str]:
    """The display order (JSON) of each query answered, once it is clear that the answers fit."""
    ids = [draft.query_id for draft in drafts if draft.query_id is not None]
    columns = sa.select(queries.c.id, queries.c.kind, queries.c.display)
    found = {row["id"]: row for row in select_where_in(connection, columns, queries.c.id, ids)}
    taken = _answered(connection, ids)
    for draft in drafts:
        if draft.query_id is None:
            continue
        query = found.get(draft.query_id)
        if query is None:
            raise UserError(f"there is no query {draft.query_id} to answer")
        if draft.value.kind != query["kind"]:
            raise UserError(f"query {draft.query_id} asks for a {query['kind']}, not for a {draft.value.kind}")
        shown = len(Row(store, "queries", query).json("display"))
        if isinstance(draft.value, Ranking) and draft.value.ranks and len(draft.value.ranks) != shown:
            raise UserError(f"query {draft.query_id} shows {shown} clips, the answer ranks {len(draft.value.ranks)}")
        if (draft.query_id, draft.annotator) in taken:
            raise UserError(f"{draft.annotator} has answered query {draft.query_id} already; take that answer back first")
        taken.add((draft.query_id, draft.annotator))
    return {query_id: row["display"] for query_id, row in found.items()}


def _answered(connection: Connection, ids: Sequence[int]) -> set[tuple[int, str]]:
    statement = sa.select(answers.c.query_id, answers.c.annotator).select_from(_EFFECTIVE).where(retractions.c.id.is_(None))
    return {(row["query_id"], row["annotator"]) for row in select_where_in(connection, statement, answers.c.query_id, ids)}


def _count_down(connection: Connection, drafts: Sequence[AnswerDraft]) -> None:
    """One answer fewer is wanted of each query, and its annotator's lease ends."""
    held: dict[str, list[int]] = {}
    for draft in drafts:
        if draft.query_id is not None:
            held.setdefault(draft.annotator, []).append(draft.query_id)
    fewer = sa.update(queries).values(remaining=queries.c.remaining - 1)
    for annotator, ids in held.items():
        mine = queries.c.leased_by == annotator
        ended = fewer.values({name: sa.case((mine, None), else_=queries.c[name]) for name in ("leased_by", "leased_until", "lease_holder")})
        for piece in chunks(ids):
            connection.execute(ended.where(queries.c.id.in_(piece)))


def retract(connection: Connection, answer_id: int, annotator: str, now: float) -> None:
    """Takes an answer back by a new row; its query is asked again. Taking it back twice is the same as once."""
    head = lock_head(connection)
    found = connection.execute(sa.select(answers.c.query_id, answers.c.annotator).where(answers.c.id == answer_id)).one_or_none()
    if found is None:
        raise UserError(f"there is no answer {answer_id} to take back")
    if found.annotator != annotator:
        raise UserError(f"answer {answer_id} is {found.annotator}'s; {annotator} cannot take it back")
    if connection.execute(sa.select(retractions.c.id).where(retractions.c.answer_id == answer_id)).scalar() is not None:
        return
    _move_head(connection, head + 1)
    connection.execute(sa.insert(retractions).values(id=head + 1, answer_id=answer_id, annotator=annotator, retracted_at=now))
    if found.query_id is not None:
        connection.execute(sa.update(queries).where(queries.c.id == found.query_id).values(remaining=queries.c.remaining + 1))


def of_session(statement: sa.Select[Any], session: str | None) -> sa.Select[Any]:
    """The statement for answers that belong to one session; None: all. Free-standing ones may belong to every session."""
    if session is None:
        return statement
    asked = sa.select(queries.c.id).where(queries.c.id == answers.c.query_id, queries.c.session == session).exists()
    free = sa.and_(answers.c.query_id.is_(None), sa.or_(answers.c.session.is_(None), answers.c.session == session))
    return statement.where(sa.or_(asked, free))


def replays_of_session(statement: sa.Select[Any], session: str | None) -> sa.Select[Any]:
    """The statement for replays of a session's policies, and those that its free-standing answers are about; None: all."""
    if session is None:
        return statement
    mine = sa.select(answers).where(answers.c.session == session).subquery()
    played = sa.select(episodes.c.replay_id).join(mine, mine.c.episode == episodes.c.episode)
    about = sa.select(mine.c.replay_id).where(mine.c.replay_id.is_not(None)).union(played)
    own = replays.c.policy_id.startswith(f"{session}/", autoescape=True)
    return statement.where(sa.or_(own, replays.c.id.in_(about)))


def last(connection: Connection, store: str, annotator: str, kinds: Sequence[str] | None, session: str | None = None) -> Answer | None:
    """The annotator's newest effective answer (of these kinds), whichever session or process gave it."""
    lock_head(connection)
    mine = sa.select(answers).select_from(_EFFECTIVE).where(answers.c.annotator == annotator, retractions.c.id.is_(None))
    mine = of_session(mine, session)
    mine = mine if kinds is None else mine.where(answers.c.kind.in_(kinds))
    row = connection.execute(mine.order_by(answers.c.id.desc()).limit(1)).mappings().one_or_none()
    return None if row is None else read_answer(Row(store, "answers", dict(row)))


def read(connection: Connection, store: str, since: int, kinds: Sequence[str] | None, session: str | None = None) -> AnswerPage:
    """What is new since the cursor. One look at ``log_head`` where nothing is.

    The head is read first, and nothing after it is returned: what is appended meanwhile belongs to the next page.
    """
    head = int(connection.execute(sa.select(log_head.c.value)).scalar_one())
    if head < since:
        raise UserError(f"{store}: cursor {since} is ahead of the store ({head}): it belongs to another store, or the store is an old copy")
    if head == since:
        return AnswerPage((), (), since)
    new = sa.and_(answers.c.id > since, answers.c.id <= head, sa.or_(retractions.c.id.is_(None), retractions.c.id > head))
    statement = of_session(_WITH_REPLAY.where(new).order_by(answers.c.id), session)
    if kinds is not None:
        statement = statement.where(answers.c.kind.in_(kinds))
    rows = dictionaries(connection.execute(statement))
    gone = sa.select(retractions.c.answer_id).where(retractions.c.id > since, retractions.c.id <= head, retractions.c.answer_id <= since)
    return AnswerPage(
        tuple(_with_replay(store, row) for row in rows),
        tuple(connection.execute(gone.order_by(retractions.c.id)).scalars()),
        head,
    )


def _with_replay(store: str, row: dict[str, Any]) -> Answer:
    return read_answer(Row(store, "answers", row | {"replay_id": row["replay_id"] or row["linked"]}))


def linked(connection: Connection, store: str, ids: Sequence[int]) -> tuple[Answer, ...]:
    """Those of these effective answers that are about a replay, or about an episode that has become one; oldest first."""
    there = sa.or_(answers.c.replay_id.is_not(None), episodes.c.replay_id.is_not(None))
    statement = _WITH_REPLAY.where(retractions.c.id.is_(None), there)
    rows = select_where_in(connection, statement, answers.c.id, ids)
    return tuple(_with_replay(store, row) for row in sorted(rows, key=lambda row: int(row["id"])))


def history(connection: Connection, store: str, session: str | None = None) -> list[tuple[Answer, float | None]]:
    """Every answer ever given with the time it was taken back, if it was; oldest first."""
    statement = sa.select(answers, retractions.c.retracted_at).select_from(_EFFECTIVE).order_by(answers.c.id)
    rows = connection.execute(of_session(statement, session)).mappings()
    return [(read_answer(Row(store, "answers", dict(row))), row["retracted_at"]) for row in rows]
