"""What every suite may use."""

from support.databases import each_db, postgres_url
from support.ray_cluster import ray

__all__ = ["each_db", "postgres_url", "ray"]
