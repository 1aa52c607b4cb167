"""The tables of the feedback store (SQLAlchemy Core, the same on SQLite and PostgreSQL).

Answers and retractions are append-only and share one gapless counter (``log_head``), taken under a lock inside the transaction that
inserts them. So their ids come into view in order on every database, and a reader that remembers the last id it saw misses nothing
(a plain PostgreSQL sequence would let id 8 be seen before id 7).

JSON is kept as text and parsed by our own code, so that a damaged row can be refused by the name of its table and field.
Times are seconds since 1970 (UTC): PostgreSQL by the clock of the server, SQLite by that of the machine, answers also by the client's.
"""

from __future__ import annotations

import sqlalchemy as sa

SCHEMA_REVISION = "0002"
"""The Alembic revision these tables belong to; a test compares both with the migrations."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = sa.BigInteger().with_variant(sa.Integer, "sqlite")
"""64-bit on PostgreSQL; SQLite needs the word INTEGER for a key that counts by itself (and it is 64-bit there anyway)."""

replays = sa.Table(
    "replays",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="content hash"),
    sa.Column("game", sa.Text, nullable=False, index=True),
    sa.Column("game_version", sa.Text, nullable=False),
    sa.Column("length", sa.Integer, nullable=False, comment="decisions"),
    sa.Column("policy_id", sa.Text, nullable=False),
    sa.Column("added_at", sa.Double, nullable=False),
    sa.Column("data", sa.LargeBinary, nullable=False, comment="Replay.to_bytes()"),
)

clips = sa.Table(
    "clips",
    metadata,
    sa.Column("id", sa.Text, primary_key=True, comment="hash of the JSON form"),
    sa.Column("length", sa.Integer, nullable=False, comment="decisions"),
    sa.Column("json", sa.Text, nullable=False, comment="Clip.to_json()"),
)

queries = sa.Table(
    "queries",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=True),
    sa.Column("key", sa.Text, unique=True, comment="chosen by the poster: posting the same key again is no new query"),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("display", sa.Text, nullable=False, comment="JSON: display[place] is the index of the clip shown there"),
    sa.Column("replay_id", sa.Text, sa.ForeignKey("replays.id"), comment="the still state asked about, where there is one"),
    sa.Column("step", sa.Integer),
    sa.Column("strategy", sa.Text, nullable=False),
    sa.Column("acquisition", sa.Double, comment="what the strategy thought the answer was worth"),
    sa.Column("session", sa.Text, nullable=False, index=True),
    sa.Column("iteration", sa.Integer, nullable=False),
    sa.Column("policy_version", sa.Text, nullable=False),
    sa.Column("reward_version", sa.Text, nullable=False),
    sa.Column("recent_return", sa.Double, comment="mean true return of the last episodes when posted (for teachers' thresholds)"),
    sa.Column("recent_length", sa.Double, comment="mean length of the same episodes"),
    sa.Column("control", sa.Boolean, nullable=False, comment="belongs to a control arm"),
    sa.Column("posted_at", sa.Double, nullable=False),
    sa.Column("withdrawn_at", sa.Double),
    sa.Column("wanted", sa.Integer, nullable=False, comment="how many annotators shall answer"),
    sa.Column("remaining", sa.Integer, nullable=False, comment="wanted minus effective answers; may fall below 0"),
    sa.Column("leased_by", sa.Text),
    sa.Column("leased_until", sa.Double),
    sa.Column("lease_holder", sa.Text, comment="process and call that hold the lease"),
    sqlite_autoincrement=True,
)
# Literals, not parameters: SQLite uses a partial index only where the condition is spelt out in the statement.
STILL_WANTED = sa.and_(queries.c.remaining > sa.literal_column("0"), queries.c.withdrawn_at.is_(None))
"""Condition of a query that somebody should still answer."""
sa.Index("ix_queries_still_wanted", queries.c.id, sqlite_where=STILL_WANTED, postgresql_where=STILL_WANTED)

query_clips = sa.Table(
    "query_clips",
    metadata,
    sa.Column("query_id", BigId, sa.ForeignKey("queries.id"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, comment="canonical order, from 0"),
    sa.Column("clip_id", sa.Text, sa.ForeignKey("clips.id"), nullable=False),
)

annotators = sa.Table(
    "annotators",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="person, teacher or recorded"),
    sa.Column("details", sa.Text, nullable=False, comment="JSON object, e.g. the teacher's configuration"),
    sa.Column("since", sa.Double, nullable=False),
)

log_head = sa.Table(
    "log_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False, comment="always 1: the table has one row"),
    sa.Column("value", BigId, nullable=False, comment="the last id given to an answer or a retraction"),
)

answers = sa.Table(
    "answers",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=False, comment="from log_head"),
    sa.Column("uuid", sa.Text, nullable=False, unique=True, comment="made by the client: a retried post is stored once"),
    sa.Column("query_id", BigId, sa.ForeignKey("queries.id")),
    sa.Column("annotator", sa.Text, sa.ForeignKey("annotators.name"), nullable=False, index=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False, comment="JSON of answers.py"),
    sa.Column("display", sa.Text, nullable=False, comment="JSON: the query's display order as it was shown"),
    sa.Column("replay_id", sa.Text, comment="what a free-standing answer is about"),
    sa.Column("episode", sa.Text, comment="the same, while the episode is still being played and has no replay yet"),
    sa.Column("step", sa.Integer),
    sa.Column("shown_at", sa.Double, nullable=False),
    sa.Column("answered_at", sa.Double, nullable=False),
    sa.Column("received_at", sa.Double, nullable=False, index=True),
    sa.Column("session", sa.Text, comment="of a free-standing answer that belongs to one session only"),
    sa.Index("ix_answers_query_id_annotator", "query_id", "annotator"),
)

retractions = sa.Table(
    "retractions",
    metadata,
    sa.Column("id", BigId, primary_key=True, autoincrement=False, comment="from log_head"),
    sa.Column("answer_id", BigId, sa.ForeignKey("answers.id"), nullable=False, unique=True),
    sa.Column("annotator", sa.Text, sa.ForeignKey("annotators.name"), nullable=False),
    sa.Column("retracted_at", sa.Double, nullable=False),
)

episodes = sa.Table(
    "episodes",
    metadata,
    sa.Column("episode", sa.Text, primary_key=True, comment="answers.episode"),
    sa.Column("replay_id", sa.Text, sa.ForeignKey("replays.id"), nullable=False),
)
