"""The store: the only thing that learners and people share."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from rlhf_games.core.errors import UserError
from rlhf_games.feedback.answers import AnswerValue
from rlhf_games.feedback.schema import STILL_WANTED, annotators, episodes, queries, replays
from rlhf_games.feedback.store import counts, log, queue
from rlhf_games.feedback.store.database import StoreLost, describe, open_engine, parse_target
from rlhf_games.feedback.store.holder import new_holder
from rlhf_games.feedback.store.records import Annotator, Answer, AnswerDraft, AnswerPage, Progress, Query, QueryDraft, Row, check_name
from rlhf_games.feedback.store.sql import insert_new, select_where_in
from rlhf_games.feedback.store.transactions import Transactions, repeated
from rlhf_games.replay.replay import Replay


class Store(Transactions):
    """Replays, queries and answers in one database, for many processes at a time.

    Every method is one transaction. When a writing method returns, what it wrote is on the disk and visible to everybody. Methods may
    be called from several threads. They raise ``UserError`` where a person or a program handed in what cannot be stored, where a row of
    the database does not hold what it should, and where the file is not the one any more that was opened.
    """

    def __init__(
        self,
        reader: Engine,
        writer: Engine,
        clock: Callable[[], float] | None = None,
        again: Callable[[StoreLost], bool] | None = None,
        session: str | None = None,
        name: str | None = None,
    ) -> None:
        super().__init__(reader, writer, clock, again, name)
        self.session = session
        """Where it was opened as a run's part of a shared store: only this session's questions and answers are seen. None: all."""
        self._holder = new_holder()
        self._registered: set[str] = set()

    @classmethod
    def open(
        cls,
        target: str | Path,
        *,
        create: bool = True,
        clock: Callable[[], float] | None = None,
        again: Callable[[StoreLost], bool] | None = None,
        read_only: bool = False,
    ) -> Store:
        """Opens a store and brings its schema up to date.

        Args:
          target: path of a SQLite file, the folder of a run (its ``store.sqlite``, or its part of the store that ``run --store`` named), or
            a ``postgresql://`` URL.
          create: make the store where there is none.
          clock: seconds since 1970; None: PostgreSQL's own clock, this machine's on SQLite.
          again: asked whenever the database does not answer (PostgreSQL starts again): True tries the same once more; it may wait first.
            What must not be done twice (`undo_last`) is not. None: never.
          read_only: nothing is changed, not even an earlier schema; works without the right to write. A store of an earlier schema is read
            from a copy in memory on SQLite, and refused on PostgreSQL.

        Raises:
          UserError: cannot be opened, or was made by a newer version.
        """
        address = parse_target(target)
        return cls(*open_engine(address.url, create, read_only), clock, again, address.session, describe(address.url))

    def close(self) -> None:
        """Closes all connections. The store can be used again: it connects anew."""
        self._reader.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Replays

    @repeated
    def add_replays(self, items: Sequence[Replay]) -> list[str]:
        """Adds replays that are not there yet; returns the ids of all, in order."""
        with self._write() as connection:
            now = self._now(connection)
            rows = [_replay_row(replay, now) for replay in items]
            insert_new(connection, replays, rows)
        return [str(row["id"]) for row in rows]

    @repeated
    def replays(self, ids: Sequence[str]) -> dict[str, Replay]:
        """These replays by id."""
        wanted = list(dict.fromkeys(ids))
        with self._read() as connection:
            rows = select_where_in(connection, sa.select(replays.c.id, replays.c.data), replays.c.id, wanted)
        found = {row["id"]: self._read_replay(row) for row in rows}
        if missing := [replay_id for replay_id in wanted if replay_id not in found]:
            raise UserError(f"{self.name}: there is no replay {missing[0]!r}")
        return found

    def replay(self, replay_id: str) -> Replay:
        """One replay."""
        return self.replays([replay_id])[replay_id]

    @repeated
    def replay_ids(self, game: str | None = None) -> list[str]:
        """Ids of all replays (of one game, ``family/game``), in the order in which they were added."""
        statement = log.replays_of_session(sa.select(replays.c.id).order_by(replays.c.added_at, replays.c.id), self.session)
        with self._read() as connection:
            return list(connection.execute(statement if game is None else statement.where(replays.c.game == game)).scalars())

    @repeated
    def replay_games(self) -> dict[str, str]:
        """The game (``family/game``) of every replay, by id, without reading what was played."""
        with self._read() as connection:
            return {row.id: row.game for row in connection.execute(sa.select(replays.c.id, replays.c.game))}

    def _read_replay(self, values: Any) -> Replay:
        row = Row(self.name, "replays", values)
        try:
            replay = Replay.from_bytes(values["data"])
        except UserError as error:
            raise row.fail("data", error) from error
        if replay.id != values["id"]:
            raise row.fail("id", f"the data is replay {replay.id}")
        return replay

    # Queries

    def post_queries(self, drafts: Sequence[QueryDraft], rng: np.random.Generator | None = None) -> list[int]:
        """Asks these questions, all or none; returns their ids in order.

        One whose key is known is no new one; where it was withdrawn, it is asked again.

        Args:
          drafts: questions about replays that the store holds.
          rng: draws the display orders that drafts leave open; default: fresh from the system. Give one for a run that can be repeated.
        """
        rng = rng or np.random.default_rng()
        # Drawn for known drafts too, and once: what the others get must not depend on what was posted before a crash.
        displays = [tuple(rng.permutation(len(draft.clips)).tolist()) if draft.display is None else draft.display for draft in drafts]
        return self._post_queries([replace(draft, display=display) for draft, display in zip(drafts, displays, strict=True)])

    @repeated
    def _post_queries(self, drafts: Sequence[QueryDraft]) -> list[int]:
        with self._write() as connection:
            return queue.post(connection, self.name, drafts, self._now(connection))

    @repeated
    def queries(self, ids: Sequence[int]) -> list[Query]:
        """These queries, in the order given."""
        with self._read() as connection:
            return queue.load(connection, self.name, ids)

    @repeated
    def queries_of_keys(self, keys: Sequence[str]) -> dict[str, Query]:
        """Those queries that were posted under these keys."""
        with self._read() as connection:
            return queue.of_keys(connection, self.name, keys)

    @repeated
    def query_ids(self, *, kind: str | None = None, still_wanted: bool = False, session: str | None = None) -> list[int]:
        """Ids of queries, oldest first: all, of one kind, of one session, or only those that somebody should still answer."""
        statement = queue.of_session(sa.select(queries.c.id).order_by(queries.c.id), session or self.session)
        statement = statement if kind is None else statement.where(queries.c.kind == kind)
        with self._read() as connection:
            return list(connection.execute(statement.where(STILL_WANTED) if still_wanted else statement).scalars())

    def lease_many(
        self,
        annotator: str,
        count: int,
        *,
        kinds: Sequence[str] | None = None,
        seconds: float = 60.0,
        only: Sequence[int] | None = None,
        session: str | None = None,
    ) -> list[Query]:
        """Takes up to ``count`` queries to answer, oldest first; until the lease runs out nobody else gets them.

        A lease belongs to this store object (a window, a teacher), not to the annotator: who answers in two windows gets different
        queries. A query that the annotator has answered, or that is leased, is not given out.

        Args:
          annotator: who will answer.
          count: at most this many.
          kinds: kinds of query wanted; None: any.
          seconds: length of the lease, at most ``queue.LONGEST_LEASE``; ``renew`` prolongs it.
          only: choose among these query ids.
          session: choose among the queries of this session; None: of all.
        """
        if not 0 < seconds <= queue.LONGEST_LEASE:
            raise ValueError(f"a lease lasts up to {queue.LONGEST_LEASE:g} seconds, got {seconds}; renew it")
        self._know(annotator)
        wanted = queue.Wanted(annotator, count, kinds, only, session or self.session)
        return self._lease(wanted, f"{self._holder}/{uuid.uuid4().hex[:8]}", seconds)

    @repeated
    def _lease(self, wanted: queue.Wanted, call: str, seconds: float) -> list[Query]:
        with self._write() as connection:
            return queue.load(connection, self.name, queue.lease(connection, wanted, call, seconds, self._now(connection)))

    def lease(
        self, annotator: str, *, kinds: Sequence[str] | None = None, seconds: float = 60.0, only: Sequence[int] | None = None
    ) -> Query | None:
        """Takes one query to answer, or None where nothing waits; see `lease_many`."""
        return next(iter(self.lease_many(annotator, 1, kinds=kinds, seconds=seconds, only=only)), None)

    @repeated
    def renew(self, annotator: str, ids: Sequence[int], seconds: float = 60.0) -> list[int]:
        """Prolongs leases from now; returns the ids of those that this store object still held (the others may be somebody else's now)."""
        with self._write() as connection:
            return queue.renew(connection, annotator, self._holder, ids, seconds, self._now(connection))

    @repeated
    def release(self, annotator: str, ids: Sequence[int] | None = None) -> None:
        """Gives back unanswered queries that this store object holds: these, or (None) all.

        None also gives back what the annotator held in processes that are gone. Another window of the same person keeps its own.
        """
        with self._write() as connection:
            queue.release(connection, annotator, self._holder, ids)

    @repeated
    def withdraw(self, ids: Sequence[int]) -> int:
        """Stops asking these queries; returns how many were still asked. An answer that is already on its way is still accepted."""
        with self._write() as connection:
            return queue.withdraw(connection, ids, self._now(connection))

    # Answers

    def answer(self, query_id: int, annotator: str, value: AnswerValue, shown_at: float, answered_at: float, uuid: str) -> int:
        """Stores one answer to a query and returns its id; it is on the disk when this returns. Safe to retry with the same ``uuid``."""
        return self.post_answers([AnswerDraft(annotator, value, shown_at, answered_at, uuid, query_id=query_id)])[0]

    @repeated
    def post_answers(self, drafts: Sequence[AnswerDraft]) -> list[int]:
        """Stores answers, all or none, and returns their ids in order; see `answer`.

        An answer is accepted also when its lease has run out or its query was withdrawn: a person's work is never thrown away.
        """
        for annotator in dict.fromkeys(draft.annotator for draft in drafts):
            self._know(annotator)
        with self._write() as connection:
            return log.post(connection, self.name, drafts, self._now(connection), self.session)

    @repeated
    def retract(self, answer_id: int, annotator: str) -> None:
        """Takes back an answer of the same annotator; its query is asked again."""
        with self._write() as connection:
            log.retract(connection, answer_id, annotator, self._now(connection))

    def undo_last(self, annotator: str, *, kinds: Sequence[str] | None = None) -> Answer | None:
        """Takes back the annotator's newest effective answer (of these kinds), also of an earlier session.

        Returns what was taken back, None where there is none. Its query can be leased again: ``lease(annotator, only=[query_id])``.
        """
        with self._write() as connection:
            answer = log.last(connection, self.name, annotator, kinds, self.session)
            if answer is not None:
                log.retract(connection, answer.id, annotator, self._now(connection))
            return answer

    @repeated
    def answers(self, since: int = 0, *, kinds: Sequence[str] | None = None) -> AnswerPage:
        """Effective answers after the cursor, oldest first, and earlier ones taken back since. Cheap where nothing is new."""
        with self._read() as connection:
            return log.read(connection, self.name, since, kinds, self.session)

    @repeated
    def answers_about(self, ids: Collection[int]) -> tuple[Answer, ...]:
        """Those of these effective answers whose episode has a replay by now, oldest first. Cheap where none has."""
        with self._read() as connection:
            return log.linked(connection, self.name, sorted(ids))

    @repeated
    def history(self) -> list[tuple[Answer, float | None]]:
        """Every answer ever given with the time at which it was taken back (None: it stands), oldest first."""
        with self._read() as connection:
            return log.history(connection, self.name, self.session)

    @repeated
    def link_episode(self, episode: str, replay_id: str) -> None:
        """Tells which replay an episode became, so that answers given while it was played belong to the replay."""
        with self._write() as connection:
            insert_new(connection, episodes, [{"episode": episode, "replay_id": replay_id}])
            linked = connection.execute(sa.select(episodes.c.replay_id).where(episodes.c.episode == episode)).scalar_one()
            if linked != replay_id:
                raise UserError(f"episode {episode!r} is linked to replay {linked} already, not to {replay_id}")

    @repeated
    def grow_episode(self, episode: str, replay: Replay) -> None:
        """Stores an episode as far as it was played and links its answers to it; to be called again as it grows.

        Answers that were read before stay with the replay that they were read with, which stays too. A replay that comes late (one that
        is linked is longer already) changes nothing.

        Raises:
          UserError: the episode is linked to a replay that is not the beginning of this one.
        """
        linked_id = sa.select(episodes.c.replay_id).where(episodes.c.episode == episode)
        with self._write() as connection:
            insert_new(connection, replays, [_replay_row(replay, self._now(connection))])
            insert_new(connection, episodes, [{"episode": episode, "replay_id": replay.id}])
            found = connection.execute(sa.select(replays.c.id, replays.c.data).where(replays.c.id == linked_id.scalar_subquery()))
            linked = self._read_replay(found.mappings().one())
            if linked.id == replay.id or replay.begins(linked):
                return
            if not linked.begins(replay):
                raise UserError(f"episode {episode!r} is linked to replay {linked.id}, and replay {replay.id} does not go on from there")
            connection.execute(sa.update(episodes).where(episodes.c.episode == episode).values(replay_id=replay.id))

    # Annotators and progress

    @repeated
    def register(self, name: str, kind: str = "person", details: dict[str, Any] | None = None) -> None:
        """Says who an annotator is (``person``, ``teacher``, ``recorded``); without it a name counts as a person at its first use."""
        if kind not in ("person", "teacher", "recorded"):
            raise ValueError(f"kind of annotator must be person, teacher or recorded, got {kind!r}")
        check_name(name)
        text = json.dumps(details or {}, sort_keys=True, allow_nan=False)
        with self._write() as connection:
            insert_new(connection, annotators, [{"name": name, "kind": kind, "details": text, "since": self._now(connection)}])
            connection.execute(sa.update(annotators).where(annotators.c.name == name).values(kind=kind, details=text))

    @repeated
    def _know(self, name: str) -> None:
        # In a transaction of its own, so that a name is remembered only once it is in the table; remembering it saves a statement per
        # answer.
        if name in self._registered:
            return
        check_name(name)
        with self._write() as connection:
            insert_new(connection, annotators, [{"name": name, "kind": "person", "details": "{}", "since": self._now(connection)}])
        self._registered.add(name)

    @repeated
    def annotators(self) -> list[Annotator]:
        """Everybody who has leased or answered (in the store's session, where it has one), with the number of their effective answers."""
        with self._read() as connection:
            return counts.read_annotators(connection, self.name, self.session)

    @repeated
    def progress(self, window: float = 60.0) -> Progress:
        """Counts for people; ``per_minute`` is over the last ``window`` seconds."""
        with self._read() as connection:
            return counts.read_progress(connection, self._now(connection), window, self.session)


def _replay_row(replay: Replay, now: float) -> dict[str, Any]:
    return {
        "id": replay.id,
        "game": replay.game,
        "game_version": replay.game_version,
        "length": replay.length,
        "policy_id": replay.policy,
        "added_at": now,
        "data": replay.to_bytes(),
    }
