"""The first schema: replays, clips, queries, annotators, answers, retractions, episodes."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Creates all tables."""
    _material()
    _queries()
    _log()


def _material() -> None:
    op.create_table(
        "replays",
        sa.Column("id", sa.Text, nullable=False, comment="content hash"),
        sa.Column("game", sa.Text, nullable=False),
        sa.Column("game_version", sa.Text, nullable=False),
        sa.Column("length", sa.Integer, nullable=False, comment="decisions"),
        sa.Column("policy_id", sa.Text, nullable=False),
        sa.Column("added_at", sa.Double, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False, comment="Replay.to_bytes()"),
        sa.PrimaryKeyConstraint("id", name="pk_replays"),
    )
    op.create_index("ix_replays_game", "replays", ["game"])
    op.create_table(
        "clips",
        sa.Column("id", sa.Text, nullable=False, comment="hash of the JSON form"),
        sa.Column("length", sa.Integer, nullable=False, comment="decisions"),
        sa.Column("json", sa.Text, nullable=False, comment="Clip.to_json()"),
        sa.PrimaryKeyConstraint("id", name="pk_clips"),
    )
    op.create_table(
        "episodes",
        sa.Column("episode", sa.Text, nullable=False, comment="answers.episode"),
        sa.Column("replay_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("episode", name="pk_episodes"),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"], name="fk_episodes_replay_id_replays"),
    )


def _queries() -> None:
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "queries",
        sa.Column("id", big, autoincrement=True, nullable=False),
        sa.Column("key", sa.Text, comment="chosen by the poster: posting the same key again is no new query"),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("display", sa.Text, nullable=False, comment="JSON: display[place] is the index of the clip shown there"),
        sa.Column("replay_id", sa.Text, comment="the still state asked about, where there is one"),
        sa.Column("step", sa.Integer),
        sa.Column("strategy", sa.Text, nullable=False),
        sa.Column("acquisition", sa.Double, comment="what the strategy thought the answer was worth"),
        sa.Column("session", sa.Text, nullable=False),
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
        sa.PrimaryKeyConstraint("id", name="pk_queries"),
        sa.UniqueConstraint("key", name="uq_queries_key"),
        sa.ForeignKeyConstraint(["replay_id"], ["replays.id"], name="fk_queries_replay_id_replays"),
        sqlite_autoincrement=True,
    )
    waiting = sa.text("remaining > 0 AND withdrawn_at IS NULL")
    op.create_index("ix_queries_still_wanted", "queries", ["id"], sqlite_where=waiting, postgresql_where=waiting)
    op.create_table(
        "query_clips",
        sa.Column("query_id", big, nullable=False),
        sa.Column("place", sa.Integer, nullable=False, comment="canonical order, from 0"),
        sa.Column("clip_id", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("query_id", "place", name="pk_query_clips"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_query_clips_query_id_queries"),
        sa.ForeignKeyConstraint(["clip_id"], ["clips.id"], name="fk_query_clips_clip_id_clips"),
    )


def _log() -> None:
    big = sa.BigInteger().with_variant(sa.Integer, "sqlite")
    op.create_table(
        "annotators",
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False, comment="person, teacher or recorded"),
        sa.Column("details", sa.Text, nullable=False, comment="JSON object, e.g. the teacher's configuration"),
        sa.Column("since", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_annotators"),
    )
    head = op.create_table(
        "log_head",
        sa.Column("id", sa.Integer, autoincrement=False, nullable=False, comment="always 1: the table has one row"),
        sa.Column("value", big, nullable=False, comment="the last id given to an answer or a retraction"),
        sa.PrimaryKeyConstraint("id", name="pk_log_head"),
    )
    op.bulk_insert(head, [{"id": 1, "value": 0}])
    op.create_table(
        "answers",
        sa.Column("id", big, autoincrement=False, nullable=False, comment="from log_head"),
        sa.Column("uuid", sa.Text, nullable=False, comment="made by the client: a retried post is stored once"),
        sa.Column("query_id", big),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("payload", sa.Text, nullable=False, comment="JSON of answers.py"),
        sa.Column("display", sa.Text, nullable=False, comment="JSON: the query's display order as it was shown"),
        sa.Column("replay_id", sa.Text, comment="what a free-standing answer is about"),
        sa.Column("episode", sa.Text, comment="the same, while the episode is still being played and has no replay yet"),
        sa.Column("step", sa.Integer),
        sa.Column("shown_at", sa.Double, nullable=False),
        sa.Column("answered_at", sa.Double, nullable=False),
        sa.Column("received_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_answers"),
        sa.UniqueConstraint("uuid", name="uq_answers_uuid"),
        sa.ForeignKeyConstraint(["query_id"], ["queries.id"], name="fk_answers_query_id_queries"),
        sa.ForeignKeyConstraint(["annotator"], ["annotators.name"], name="fk_answers_annotator_annotators"),
    )
    for column in ("query_id", "annotator", "received_at"):
        op.create_index(f"ix_answers_{column}", "answers", [column])
    op.create_table(
        "retractions",
        sa.Column("id", big, autoincrement=False, nullable=False, comment="from log_head"),
        sa.Column("answer_id", big, nullable=False),
        sa.Column("annotator", sa.Text, nullable=False),
        sa.Column("retracted_at", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_retractions"),
        sa.UniqueConstraint("answer_id", name="uq_retractions_answer_id"),
        sa.ForeignKeyConstraint(["answer_id"], ["answers.id"], name="fk_retractions_answer_id_answers"),
        sa.ForeignKeyConstraint(["annotator"], ["annotators.name"], name="fk_retractions_annotator_annotators"),
    )
