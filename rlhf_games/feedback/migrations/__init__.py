"""Alembic migrations of the feedback store. They run when a store is opened; nobody calls them by hand."""
