"""Alembic's scripts: each revision brings the metadata database one schema further, on SQLite and on PostgreSQL."""
