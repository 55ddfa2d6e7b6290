"""What every suite may use."""

from support.databases import each_db, postgres_url

__all__ = ["each_db", "postgres_url"]
