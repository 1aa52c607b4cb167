"""Alembic's entry: runs inside the connection and the transaction that ``feedback.store.database`` hands in."""

from alembic import context

from rlhf_games.feedback.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
