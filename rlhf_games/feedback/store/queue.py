"""Queries: posting, leasing, withdrawing. Functions on a connection; ``store.py`` gives them their transactions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.schema import STILL_WANTED, answers, clips, queries, query_clips, replays, retractions
from rlhf_games.feedback.store.holder import is_gone
from rlhf_games.feedback.store.records import Query, QueryDraft, Row, read_query
from rlhf_games.feedback.store.sql import chunks, insert_new, lock_head, select_where_in
from rlhf_games.replay.clip import Clip

LONGEST_LEASE = 3600.0
"""Seconds that a lease can last without being renewed."""


def clip_id(text: str) -> str:
    """The id of the clip with this JSON form."""
    return blake2b(text.encode(), digest_size=16).hexdigest()


def post(connection: Connection, store: str, drafts: Sequence[QueryDraft], now: float) -> list[int]:
    """Stores the questions, whose display orders are drawn, and returns their ids in order.

    A draft whose key is known gives the id of the earlier query, which is asked again where it was withdrawn.
    """
    _check_material(connection, drafts)
    known = _posted_keys(connection, drafts)
    forms = [[clip.to_json() for clip in draft.clips] for draft in drafts]
    rows, places = [], []
    for index, draft in enumerate(drafts):
        if draft.key not in known:
            rows.append(_query_row(draft, now))
            places.append(index)
    lengths = {text: clip.length for draft, texts in zip(drafts, forms, strict=True) for clip, text in zip(draft.clips, texts, strict=True)}
    insert_new(connection, clips, [{"id": clip_id(text), "length": length, "json": text} for text, length in lengths.items()])
    ids: dict[int, int] = {}
    if rows:
        statement = sa.insert(queries).returning(queries.c.id, sort_by_parameter_order=True)
        ids = dict(zip(places, connection.execute(statement, rows).scalars(), strict=True))
        links = [
            {"query_id": ids[index], "place": place, "clip_id": clip_id(text)}
            for index in places
            for place, text in enumerate(forms[index])
        ]
        if links:
            connection.execute(sa.insert(query_clips), links)
    _ask_again(connection, store, drafts, known)
    return [ids[index] if index in ids else known[str(draft.key)] for index, draft in enumerate(drafts)]


def _query_row(draft: QueryDraft, now: float) -> dict[str, Any]:
    copied = ("key", "kind", "replay_id", "step", "strategy", "acquisition", "session", "iteration", "policy_version", "reward_version")
    row = {name: getattr(draft, name) for name in (*copied, "recent_return", "recent_length", "control", "wanted")}
    return row | {"display": json.dumps(draft.display), "posted_at": now, "remaining": draft.wanted}


def _check_material(connection: Connection, drafts: Sequence[QueryDraft]) -> None:
    """Refuses questions about replays that the store does not hold: nobody could be shown them."""
    wanted: dict[str, str] = {}
    for index, draft in enumerate(drafts):
        for number, clip in enumerate(draft.clips):
            wanted |= {segment.replay_id: f"query {index}, clip {number}" for segment in clip.segments}
        if draft.replay_id is not None:
            wanted[draft.replay_id] = f"query {index}"
    found = {
        row["id"]: row["length"] for row in select_where_in(connection, sa.select(replays.c.id, replays.c.length), replays.c.id, [*wanted])
    }
    for replay_id, where in wanted.items():
        if replay_id not in found:
            raise UserError(f"{where}: replay {replay_id!r} is not in the store; add it with add_replays first")
    for index, draft in enumerate(drafts):
        ends = [(segment.replay_id, segment.start + segment.length) for clip in draft.clips for segment in clip.segments]
        ends += [(draft.replay_id, draft.step)] if draft.replay_id is not None and draft.step is not None else []
        for replay_id, end in ends:
            if end > found[replay_id]:
                raise UserError(f"query {index}: asks about step {end} of replay {replay_id!r}, which has {found[replay_id]} steps")


def _posted_keys(connection: Connection, drafts: Sequence[QueryDraft]) -> dict[str | None, int]:
    keys = [draft.key for draft in drafts if draft.key is not None]
    if len(set(keys)) < len(keys):
        raise UserError("two queries posted together have the same key; a key names one query")
    return {row["key"]: row["id"] for row in select_where_in(connection, sa.select(queries.c.key, queries.c.id), queries.c.key, keys)}


def _ask_again(connection: Connection, store: str, drafts: Sequence[QueryDraft], known: dict[str | None, int]) -> None:
    """Raises ``UserError`` where a known key stands for another question."""
    repeated = {known[draft.key]: draft for draft in drafts if draft.key in known}
    for query in load(connection, store, [*repeated]):
        draft = repeated[query.id]
        if not query.asks(draft):
            raise UserError(f"query key {draft.key!r} was used for another question before; use a new key for a new question")
    for piece in chunks([*repeated]):
        again = sa.update(queries).where(queries.c.id.in_(piece), queries.c.withdrawn_at.is_not(None))
        connection.execute(again.values(withdrawn_at=None))


def of_keys(connection: Connection, store: str, keys: Sequence[str]) -> dict[str, Query]:
    """The queries with these keys, as far as there are any."""
    ids = [row["id"] for row in select_where_in(connection, sa.select(queries.c.id), queries.c.key, keys)]
    return {str(query.key): query for query in load(connection, store, ids)}


def load(connection: Connection, store: str, ids: Sequence[int]) -> list[Query]:
    """The queries with these ids, in the order given.

    Raises:
      UserError: an id is not there, or a row is damaged.
    """
    rows = {row["id"]: row for row in select_where_in(connection, sa.select(queries), queries.c.id, ids)}
    joined = sa.select(query_clips.c.query_id, query_clips.c.place, clips.c.id, clips.c.json).join(
        clips, clips.c.id == query_clips.c.clip_id
    )
    found: dict[int, dict[int, Clip]] = {}
    read: dict[str, Clip] = {}
    for part in select_where_in(connection, joined, query_clips.c.query_id, ids):
        query_id, place, name, text = part.values()
        clip = read[name] = read[name] if name in read else _read_clip(Row(store, "clips", {"id": name, "json": text}))
        found.setdefault(query_id, {})[place] = clip
    result = []
    for query_id in ids:
        if query_id not in rows:
            raise UserError(f"{store}: there is no query {query_id}")
        row, places = Row(store, "queries", rows[query_id]), found.get(query_id, {})
        if sorted(places) != list(range(len(places))):
            raise row.fail("clips", f"table query_clips has places {sorted(places)}")
        result.append(read_query(row, tuple(places[place] for place in range(len(places)))))
    return result


def _read_clip(row: Row) -> Clip:
    try:
        return Clip.from_json(row.text("json"))
    except UserError as error:
        raise row.fail("json", error) from error


class Wanted(NamedTuple):
    """Which queries somebody wants to answer."""

    annotator: str
    most: int
    """Queries, at most."""
    kinds: Sequence[str] | None
    only: Sequence[int] | None
    session: str | None


def of_session(statement: sa.Select[Any], session: str | None) -> sa.Select[Any]:
    """The statement for the queries of one session; None: all."""
    return statement if session is None else statement.where(queries.c.session == session)


def is_leased(now: float) -> sa.ColumnElement[bool]:
    """Condition of a query that somebody is looking at. A lease that ends later than any can was made by a clock that was wrong."""
    return sa.and_(queries.c.leased_until > now, queries.c.leased_until <= now + LONGEST_LEASE)


def lease(connection: Connection, wanted: Wanted, call: str, seconds: float, now: float) -> list[int]:
    """Takes queries for the annotator, oldest first; returns their ids.

    On SQLite the transaction already holds the only write lock. On PostgreSQL rows that another lease is just taking are skipped, and
    rows that changed since the statement began are checked again before they are locked: two callers never get the same query.

    Args:
      connection: in a writing transaction.
      wanted: what is to be leased.
      call: names the call: made again because nobody knows whether it was done, it gives what it took.
      seconds: until the lease runs out.
      now: seconds since 1970.
    """
    taken: Sequence[int] = (
        connection.execute(sa.select(queries.c.id).where(STILL_WANTED, queries.c.lease_holder == call).order_by(queries.c.id))
        .scalars()
        .all()
    )
    if taken:
        return list(taken)
    answered = (
        sa.select(answers.c.id)
        .outerjoin(retractions, retractions.c.answer_id == answers.c.id)
        .where(answers.c.query_id == queries.c.id, answers.c.annotator == wanted.annotator, retractions.c.id.is_(None))
    )
    free = sa.or_(queries.c.leased_until.is_(None), ~is_leased(now))
    chosen = of_session(sa.select(queries.c.id), wanted.session).where(STILL_WANTED, free, ~answered.exists())
    if wanted.kinds is not None:
        chosen = chosen.where(queries.c.kind.in_(wanted.kinds))
    if wanted.only is not None:
        chosen = chosen.where(queries.c.id.in_(wanted.only))
    chosen = chosen.order_by(queries.c.id).limit(wanted.most).with_for_update(skip_locked=True, key_share=True)
    taken = connection.execute(chosen).scalars().all()
    held = {"leased_by": wanted.annotator, "leased_until": now + seconds, "lease_holder": call}
    for piece in chunks(taken):
        connection.execute(sa.update(queries).where(queries.c.id.in_(piece)).values(**held))
    return list(taken)


def _held_by(annotator: str, holder: str) -> sa.ColumnElement[bool]:
    return sa.and_(queries.c.leased_by == annotator, queries.c.lease_holder.startswith(f"{holder}/", autoescape=True))


def renew(connection: Connection, annotator: str, holder: str, ids: Sequence[int], seconds: float, now: float) -> list[int]:
    """Prolongs leases that the holder still has; returns the ids of those."""
    lock_head(connection)
    held: list[int] = []
    for piece in chunks(ids):
        condition = sa.and_(queries.c.id.in_(piece), _held_by(annotator, holder), is_leased(now))
        held += connection.execute(sa.update(queries).where(condition).values(leased_until=now + seconds).returning(queries.c.id)).scalars()
    return sorted(held)


def release(connection: Connection, annotator: str, holder: str, ids: Sequence[int] | None) -> None:
    """Gives back leases of the holder: these, or all, and then also those of the annotator's processes that are gone."""
    lock_head(connection)
    free = sa.update(queries).values(leased_by=None, leased_until=None, lease_holder=None)
    if ids is not None:
        for piece in chunks(ids):
            connection.execute(free.where(queries.c.id.in_(piece), _held_by(annotator, holder)))
        return
    mine = sa.select(queries.c.lease_holder).where(STILL_WANTED, queries.c.leased_by == annotator).distinct()
    for call in connection.execute(mine).scalars().all():
        if call is None or call.startswith(f"{holder}/") or is_gone(call.rpartition("/")[0]):
            same = queries.c.lease_holder.is_(None) if call is None else queries.c.lease_holder == call
            connection.execute(free.where(queries.c.leased_by == annotator, same))


def withdraw(connection: Connection, ids: Sequence[int], now: float) -> int:
    """Stops asking these queries; returns how many were still asked."""
    lock_head(connection)
    count = 0
    for piece in chunks(ids):
        condition = sa.and_(queries.c.id.in_(piece), STILL_WANTED)
        count += connection.execute(sa.update(queries).where(condition).values(withdrawn_at=now)).rowcount
    return count
