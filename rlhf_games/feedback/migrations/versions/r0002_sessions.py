"""Leases say which process holds them, free-standing answers which session they belong to; indexes for large stores."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Adds two columns and two indexes; one index goes, which a longer one replaces."""
    holder = sa.Column("lease_holder", sa.Text, comment="process and call that hold the lease")
    session = sa.Column("session", sa.Text, comment="of a free-standing answer that belongs to one session only")
    # no batch mode: SQLite adds columns in place, and a copy of the table would lose AUTOINCREMENT
    op.add_column("queries", holder)
    op.add_column("answers", session)
    op.create_index("ix_queries_session", "queries", ["session"])
    op.create_index("ix_answers_query_id_annotator", "answers", ["query_id", "annotator"])
    op.drop_index("ix_answers_query_id", "answers")
