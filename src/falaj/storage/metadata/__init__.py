"""Rows and transactions: SQLAlchemy Core over SQLite; `schema` has the registry, `database` connections."""
